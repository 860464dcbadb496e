/* The tick-by-tick engine in C, to compare with: run_ticks of mpwake.model.simulator over step of mpwake.model.core.
 *
 * Reads a machine that benchmarks/model.py has written, runs it from the same state as often as it is told, prints the
 * CPU seconds of each run, and writes the state in which the last one ends. docs/model.md says what a step does.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE = 4096, COLUMNS = 8, REGISTERS = 16, SLOTS = 8 };
enum { PC, STATUS, WAIT, BASE, RESET_ROW, ID, BUFFERED, R, B = R + REGISTERS, AGENT = B + 4 * SLOTS };
enum { RUNNING, LANDED, HALTED, DEAD };
enum { SC, TSO, RELAXED };
enum { NONE, IMPOSSIBLE, LOAD_, STORE_, VISIBLE, LANDING, RETURN_, EMIT_, RESET_, REQUEST };
enum { KIND, OFFSET, WIDTH, VALUE, NUMBER, POSITION, TOLD };
enum { FINISHED, STUCK, SPENT };
enum {
    HALT, LOAD, STORE, BRANCH, SET, ADD, POLL, JUMP, NEXT, RETURN, WOKEN_TEST, WOKEN_ADD, WOKEN_REMOVE, EMIT, RESET,
    FENCE, DELAY, DIE, ENTER
};

typedef int64_t word;

/* What the file begins with; the arrays follow in the order of struct machine. */
struct header { word agents, rows, requests, woken, memory, ticks, random, runs; };

struct machine {
    struct header h;
    uint8_t *page;
    word *code, *agents, *requests, *woken, *told;
    word random, used[3], end;
};

static void tell(struct machine *m, word kind, word offset, word width, word value, word number) {
    m->told[KIND] = kind;
    m->told[OFFSET] = offset;
    m->told[WIDTH] = width;
    m->told[VALUE] = value;
    m->told[NUMBER] = number;
}

static word add(word left, word right) { return (word)((uint64_t)left + (uint64_t)right); }

static word cut(word value, word width) { return width == 8 ? value : value & (((word)1 << (8 * width)) - 1); }

static void write_page(struct machine *m, word offset, word width, word value) {
    for (word number = 0; number < width; number++) m->page[offset + number] = (uint8_t)(value >> (8 * number));
}

static word read_page(const struct machine *m, const word *a, word offset, word width) {
    uint64_t value = 0;
    if (a[BUFFERED] == 0) {
        for (word number = 0; number < 8; number++) {
            if (number == width) break;
            value |= (uint64_t)m->page[offset + number] << (8 * number);
        }
        return (word)value;
    }
    for (word number = 0; number < width; number++) {
        word at = offset + number;
        uint64_t byte = m->page[at];
        for (word slot = a[BUFFERED] - 1; slot >= 0; slot--) {
            const word *one = a + B + 4 * slot;
            if (one[0] <= at && at < one[0] + one[1]) {
                byte = (uint64_t)(one[2] >> (8 * (at - one[0]))) & 0xFF;
                break;
            }
        }
        value |= byte << (8 * number);
    }
    return (word)value;
}

static word operand(const word *a, word kind, word value) { return kind == 1 ? a[R + value] : value; }

static int holds(word condition, word left, word right) {
    switch (condition) {
    case 0: return left == right;
    case 1: return left != right;
    case 2: return (uint64_t)left < (uint64_t)right;
    case 3: return (uint64_t)left >= (uint64_t)right;
    default: return 1;
    }
}

static word find(const struct machine *m, word id) {
    word mask = m->h.woken - 1, at = (word)(((uint64_t)(id & 0xFFFFFF) * 0x9E3779B1u) >> 7) & mask, empty = -1;
    for (word tries = 0; tries <= mask; tries++) {
        word state = m->woken[2 * at];
        if (state == 1 && m->woken[2 * at + 1] == id) return at;
        if (state != 1 && empty < 0) empty = at;
        if (state == 0) break;
        at = (at + 1) & mask;
    }
    return -1 - (empty >= 0 ? empty : mask + 1);
}

static void wake(struct machine *m, word id) {
    word at = find(m, id);
    if (at < 0 && -1 - at < m->h.woken) {
        m->woken[2 * (-1 - at)] = 1;
        m->woken[2 * (-1 - at) + 1] = id;
    }
}

static void unwake(struct machine *m, word id) {
    word at = find(m, id);
    if (at >= 0) m->woken[2 * at] = 2;
}

static int drainable(const struct machine *m, const word *a, word slot) {
    if (slot < 0 || slot >= a[BUFFERED]) return 0;
    if (m->h.memory != RELAXED || slot == 0) return m->h.memory != SC && slot == 0;
    const word *one = a + B + 4 * slot;
    if (one[3] != 0) return 0;
    for (const word *other = a + B; other < one; other += 4)
        if (other[0] < one[0] + one[1] && one[0] < other[0] + other[1]) return 0;
    return 1;
}

static void drain(struct machine *m, word *a, word slot) {
    word *one = a + B + 4 * slot;
    write_page(m, one[0], one[1], one[2]);
    tell(m, VISIBLE, one[0], one[1], one[2], 0);
    word left = --a[BUFFERED];
    for (; slot < left; slot++, one += 4) memcpy(one, one + 4, 4 * sizeof(word));
    memset(one, 0, 4 * sizeof(word));
}

static int store(struct machine *m, word *a, const word *row) {
    word offset = row[1], width = row[2], value = cut(operand(a, row[3], row[4]), width);
    if (m->h.memory == SC) {
        write_page(m, offset, width, value);
        tell(m, VISIBLE, offset, width, value, 0);
        return 1;
    }
    if (a[BUFFERED] == SLOTS) return 0;
    word *one = a + B + 4 * a[BUFFERED]++;
    one[0] = offset;
    one[1] = width;
    one[2] = value;
    one[3] = row[5];
    tell(m, STORE_, offset, width, value, 0);
    return 1;
}

static word poll(struct machine *m, word *a, const word *row) {
    word value = read_page(m, a, row[1], row[2]);
    tell(m, LOAD_, row[1], row[2], value, 0);
    if (holds(row[3], value, operand(a, row[4], row[5]))) return a[BASE] + row[6];
    if (row[7] < 0) return a[PC];
    a[R + row[7]] = add(a[R + row[7]], -1);
    return a[R + row[7]] == 0 ? a[PC] + 1 : a[PC];
}

static word request(struct machine *m, word agent, word *a, const word *row) {
    if (agent != 0 || m->told[POSITION] >= m->h.requests) return a[BASE] + row[4];
    const word *one = m->requests + 3 * m->told[POSITION];
    for (int column = 0; column < 3; column++) a[R + row[1 + column]] = one[column];
    tell(m, REQUEST, 0, 0, one[0], 0);
    m->told[POSITION]++;
    return a[PC] + 1;
}

static void reset(struct machine *m, word id) {
    for (word agent = 1; agent < m->h.agents; agent++) {
        word *a = m->agents + AGENT * agent;
        if (a[ID] == id && a[STATUS] == LANDED) {
            if (a[RESET_ROW] >= 0) {
                a[STATUS] = RUNNING;
                a[PC] = a[RESET_ROW];
                tell(m, RESET_, 0, 0, id, 0);
            }
            return;
        }
    }
}

static void operate(struct machine *m, word agent, word *a) {
    const word *row = m->code + COLUMNS * a[PC];
    word value, next = a[PC] + 1;
    switch (row[0]) {
    case LOAD:
        value = read_page(m, a, row[2], row[3]);
        a[R + row[1]] = value;
        tell(m, LOAD_, row[2], row[3], value, 0);
        break;
    case STORE: next = a[PC] + store(m, a, row); break;
    case BRANCH:
        if (holds(row[1], operand(a, row[2], row[3]), operand(a, row[4], row[5]))) next = a[BASE] + row[6];
        break;
    case SET: a[R + row[1]] = operand(a, row[2], row[3]); break;
    case ADD: a[R + row[1]] = cut(add(a[R + row[1]], operand(a, row[2], row[3])), row[4]); break;
    case POLL: next = poll(m, a, row); break;
    case NEXT: next = request(m, agent, a, row); break;
    case WOKEN_TEST:
        if (find(m, operand(a, row[1], row[2])) >= 0) next = a[BASE] + row[3];
        break;
    case WOKEN_ADD: wake(m, operand(a, row[1], row[2])); break;
    case WOKEN_REMOVE: unwake(m, operand(a, row[1], row[2])); break;
    case DELAY: a[WAIT] = operand(a, row[1], row[2]); break;
    case FENCE: next = a[PC] + (a[BUFFERED] == 0); break;
    case RETURN: tell(m, RETURN_, 0, 0, operand(a, row[1], row[2]), 0); break;
    case EMIT: tell(m, EMIT_, 0, 0, operand(a, row[2], row[3]), row[1]); break;
    case RESET: reset(m, operand(a, row[1], row[2])); break;
    case ENTER: tell(m, LANDING, 0, 0, operand(a, row[1], row[2]), 0); break;
    case JUMP:
        tell(m, LANDING, 0, 0, operand(a, row[1], row[2]), 0);
        a[STATUS] = LANDED;
        next = a[PC];
        break;
    case HALT:
        a[STATUS] = HALTED;
        next = a[PC];
        break;
    case DIE:
        a[STATUS] = DEAD;
        next = a[PC];
        break;
    }
    a[PC] = next;
}

static void step(struct machine *m, word agent, word action) {
    word *a = m->agents + AGENT * agent;
    tell(m, NONE, 0, 0, 0, 0);
    if (action != 0) {
        if (drainable(m, a, action - 1)) drain(m, a, action - 1);
        else tell(m, IMPOSSIBLE, 0, 0, 0, 0);
    } else if (a[STATUS] != RUNNING) {
        tell(m, IMPOSSIBLE, 0, 0, 0, 0);
    } else if (a[WAIT] != 0) {
        a[WAIT] = add(a[WAIT], -1);
    } else {
        operate(m, agent, a);
    }
}

static word next_random(struct machine *m) {
    uint64_t one = (uint64_t)m->random;
    one ^= one << 13;
    one ^= one >> 7;
    one ^= one << 17;
    m->random = (word)one;
    return (word)(one >> 11);
}

static word run(struct machine *m) {
    word tick = 0, end = SPENT;
    for (; tick < m->h.ticks; tick++) {
        word drawn = next_random(m), agent = (uint32_t)drawn % (uint32_t)m->h.agents, action = 0;
        const word *a = m->agents + AGENT * agent;
        if (a[BUFFERED] > 0 && drawn & 0x100000000) action = 1 + (drawn >> 33) % a[BUFFERED];
        step(m, agent, action);
        if (agent == 0 && m->agents[STATUS] != RUNNING && m->agents[BUFFERED] == 0) {
            end = FINISHED;
            break;
        }
    }
    if (end == SPENT) tick--;
    m->used[1] = tick + 1;
    m->used[2] = tick;
    return end;
}

static void fail(const char *what) {
    fprintf(stderr, "tick: %s\n", what);
    exit(2);
}

static void *part(size_t size, FILE *from) {
    void *data = malloc(size ? size : 1);
    if (!data || (from && size && fread(data, size, 1, from) != 1)) fail("the file of the machine is too short");
    return data;
}

static size_t words(word count) { return (size_t)count * sizeof(word); }

static void read_machine(struct machine *m, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fread(&m->h, sizeof m->h, 1, file) != 1) fail("no machine to read");
    m->page = part(PAGE, file);
    m->code = part(words(m->h.rows * COLUMNS), file);
    m->agents = part(words(m->h.agents * AGENT), file);
    m->requests = part(words(m->h.requests * 3), file);
    m->woken = part(words(m->h.woken * 2), file);
    m->told = part(words(TOLD), file);
    fclose(file);
}

static void restore(struct machine *m, const struct machine *from) {
    memcpy(m->page, from->page, PAGE);
    memcpy(m->agents, from->agents, words(m->h.agents * AGENT));
    memcpy(m->woken, from->woken, words(m->h.woken * 2));
    memcpy(m->told, from->told, words(TOLD));
    memset(m->used, 0, sizeof m->used);
    m->random = m->h.random;
}

static void write_machine(const struct machine *m, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) fail("the result cannot be written");
    fwrite(m->page, PAGE, 1, file);
    fwrite(m->agents, words(m->h.agents * AGENT), 1, file);
    fwrite(m->woken, words(m->h.woken * 2), 1, file);
    fwrite(m->told, words(TOLD), 1, file);
    fwrite(&m->random, sizeof m->random, 1, file);
    fwrite(m->used, sizeof m->used, 1, file);
    fwrite(&m->end, sizeof m->end, 1, file);
    if (fclose(file)) fail("the result cannot be written");
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int count, char **words_) {
    struct machine from = {0}, m;
    if (count != 3) fail("usage: tick MACHINE RESULT");
    read_machine(&from, words_[1]);
    m = from;
    m.page = part(PAGE, NULL);
    m.agents = part(words(m.h.agents * AGENT), NULL);
    m.woken = part(words(m.h.woken * 2), NULL);
    m.told = part(words(TOLD), NULL);
    for (word number = 0; number < m.h.runs; number++) {
        restore(&m, &from);
        double begin = seconds();
        m.end = run(&m);
        printf("%.9f\n", seconds() - begin);
    }
    write_machine(&m, words_[2]);
    return 0;
}
