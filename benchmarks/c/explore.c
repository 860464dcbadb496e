/* The states of the agents shared-os and shared-ap under TSO, counted in C to compare with: N processors (1 to 15),
 * each woken once, in any order. benchmarks/spin/mailbox.pml is the same model.
 *
 * Breadth first. A state is one integer, the table is open addressing, and the slots of a batch of successors are asked
 * of memory before they are looked at. Prints states, transitions, states in which everybody has landed, violations,
 * depth, the most bytes that were in use, and the CPU seconds.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef N
#define N 2
#endif
#if N <= 9
typedef uint64_t state;
#else
typedef unsigned __int128 state;
#endif

/* A processor: polls, has seen a command, has matched ApicId, has read Command again, has loaded its vector or another,
 * has stored its acknowledgement, which is seen by the others or not, and has landed or not. */
enum { PARK, SEEN, MATCHED, TAKEN, LOADED, LOADED_WRONG, STORED, STORED_WRONG, VISIBLE, VISIBLE_WRONG, LANDED, DONE = 15 };
/* Where each part of a state stands. The operating system has made `stored` stores, of which `visible` are visible. */
enum { LEFT = 4 * N, OS = LEFT + N, SHOWN = OS + 2, TARGET = SHOWN + 2, COMMAND = TARGET + 4 };
enum { ID = COMMAND + 1, VECTOR = ID + 4 };
enum { BATCH = 128, MOST = 2 * N + 2 };

#define ONE ((state)1)
#define FIELD(s, at, mask) ((unsigned)((s) >> (at)) & (mask))
#define LOWS (((ONE << LEFT) - 1) / 15)
#define SET(s, at, mask, value) (((s) & ~((state)(mask) << (at))) | (state)(value) << (at))

static uint8_t following[128];
static state *table, *level, *next, batch[BATCH + MOST];
static uint64_t slots[BATCH + MOST], size, used, room, bytes, most_bytes, transitions, goals, violations, found;

static void *reserve(uint64_t count) {
    void *data = mmap(NULL, count * sizeof(state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        fprintf(stderr, "explore: no memory\n");
        exit(2);
    }
    madvise(data, count * sizeof(state), MADV_HUGEPAGE);
    bytes += count * sizeof(state);
    if (bytes > most_bytes) most_bytes = bytes;
    return data;
}

static void release(void *data, uint64_t count) {
    munmap(data, count * sizeof(state));
    bytes -= count * sizeof(state);
}

/* What a processor's step makes of it, by its own state, Command, and whether ApicId and the vector are its own. */
static void prepare(void) {
    for (unsigned at = 0; at < 128; at++) {
        unsigned one = at & 15, command = at >> 4 & 1, mine = at >> 5 & 1, own = at >> 6 & 1, to = one;
        switch (one) {
        case PARK: to = command ? SEEN : PARK; break;
        case SEEN: to = mine ? MATCHED : PARK; break;
        case MATCHED: to = command ? TAKEN : PARK; break;
        case TAKEN: to = own ? LOADED : LOADED_WRONG; break;
        case LOADED: to = STORED; break;
        case LOADED_WRONG: to = STORED_WRONG; break;
        case STORED: case STORED_WRONG: to = LANDED; break;
        case VISIBLE: case VISIBLE_WRONG: case LANDED: to = DONE; break;
        }
        following[at] = (uint8_t)to;
    }
}

static inline uint64_t hash(state s) {
    uint64_t word = (uint64_t)s * 0x9E3779B97F4A7C15u;
#if N > 9
    word = ((word ^ word >> 32) + (uint64_t)(s >> 64)) * 0x9E3779B97F4A7C15u;
#endif
    return (word ^ word >> 32) * 0xD6E8FEB86659FD93u;
}

/* In order of the hashes, so that a larger table is filled from one end to the other. */
static inline uint64_t slot_of(state s) { return (uint64_t)((unsigned __int128)hash(s) * size >> 64); }

static inline unsigned put(unsigned pending, state s) {
    uint64_t slot = slot_of(s);
    __builtin_prefetch(table + slot, 1, 3);
    batch[pending] = s;
    slots[pending] = slot;
    return pending + 1;
}

static inline int insert(state s, uint64_t slot) {
    while (table[slot]) {
        if (table[slot] == s) return 0;
        if (++slot == size) slot = 0;
    }
    table[slot] = s;
    return 1;
}

static void flush(unsigned pending) {
    for (unsigned number = 0; number < pending; number++) {
        if (insert(batch[number], slots[number])) {
            next[found++] = batch[number];
            used++;
        }
    }
}

static inline unsigned system_steps(state s, unsigned to) {
    unsigned stored = FIELD(s, OS, 3), shown = FIELD(s, SHOWN, 3), target = FIELD(s, TARGET, 15);
    if (stored == 0) {
        for (unsigned left = FIELD(s, LEFT, (1 << N) - 1); left; left &= left - 1) {
            unsigned who = (unsigned)__builtin_ctz(left);
            to = put(to, (s & ~(ONE << (LEFT + who))) | (state)(who + 1) << TARGET | ONE << OS);
        }
        return to;
    }
    if (stored < 3) to = put(to, s + (ONE << OS));
    if (shown < stored) {
        state after = s + (ONE << SHOWN);
        if (shown == 0) after = SET(after, ID, 15, target);
        else if (shown == 1) after = SET(after, VECTOR, 15, target);
        else after |= ONE << COMMAND;
        to = put(to, after);
    } else if (stored == 3 && !FIELD(s, COMMAND, 1)) {
        to = put(to, s & ~((state)0xFF << OS));
    }
    return to;
}

static inline unsigned processor_steps(state s, unsigned to) {
    unsigned command = FIELD(s, COMMAND, 1), id = FIELD(s, ID, 15), vector = FIELD(s, VECTOR, 15);
    state all = s & (s >> 1), any = s | (s >> 1);
    all = all & (all >> 2) & LOWS;
    any = (any | (any >> 2)) & LOWS;
    for (state able = (command ? LOWS : any) & ~all; able; able &= able - 1) {
        unsigned at = (unsigned)__builtin_ctzll((uint64_t)able), one = FIELD(s, at, 15), me = at / 4 + 1;
        if ((one >= STORED && one <= STORED_WRONG) || one == LANDED) {
            violations += !command || id != me;
            state after = s & ~(ONE << COMMAND);
            to = put(to, SET(after, at, 15, one == LANDED ? DONE : one + 2));
            if (one == LANDED) continue;
        }
        violations += one == STORED_WRONG || one == VISIBLE_WRONG;
        unsigned after = following[one | command << 4 | (unsigned)(id == me) << 5 | (unsigned)(vector == me) << 6];
        to = put(to, s ^ (state)(one ^ after) << at);
    }
    return to;
}

static void grow_table(void) {
    state *old = table;
    uint64_t count = size;
    size *= 2;
    table = reserve(size);
    for (uint64_t number = 0; number < count; number++)
        if (old[number]) insert(old[number], slot_of(old[number]));
    release(old, count);
}

static void grow_level(void) {
    state *more = reserve(2 * room);
    memcpy(more, next, found * sizeof(state));
    release(next, room);
    next = more;
    room *= 2;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(void) {
    double begin = seconds();
    uint64_t depth = 0, count = 1, level_room = 1 << 16;
    prepare();
    size = 1 << 16;
    room = 1 << 16;
    table = reserve(size);
    level = reserve(level_room);
    next = reserve(room);
    level[0] = ((ONE << N) - 1) << LEFT;
    used = (uint64_t)insert(level[0], slot_of(level[0]));
    while (count) {
        found = 0;
        for (uint64_t number = 0; number < count;) {
            unsigned pending = 0;
            if (2 * (used + BATCH + MOST) > size) grow_table();
            if (found + BATCH + MOST > room) grow_level();
            for (; number < count && pending < BATCH; number++) {
                state s = level[number];
                goals += (s & ((ONE << LEFT) - 1)) == (ONE << LEFT) - 1 && FIELD(s, OS, 3) == 0;
                pending = processor_steps(s, system_steps(s, pending));
            }
            transitions += pending;
            flush(pending);
        }
        state *other = level;
        uint64_t other_room = level_room;
        level = next, level_room = room, next = other, room = other_room;
        count = found;
        depth += count != 0;
    }
    printf("%llu %llu %llu %llu %llu %llu %.6f\n", (unsigned long long)used, (unsigned long long)transitions,
           (unsigned long long)goals, (unsigned long long)violations, (unsigned long long)depth,
           (unsigned long long)most_bytes, seconds() - begin);
    return 0;
}
