/* The agents shared-os and shared-ap under TSO, for SPIN: N processors (1 to 16), each woken once, in any order.
 *
 * A step is one load or store, or a buffered store that becomes visible, as in docs/explore.md. A poll that reads nothing
 * new changes nothing, and is a wait here. What is not read again is 0, so that it does not make two states differ.
 */
#ifndef N
#define N 2
#endif

byte command, apic_id, vector;  /* the mailbox; a processor's APIC ID and vector are its number */
bool left[N + 1] = true;        /* requests that were not taken */

/* The operating system: who it wakes, and how many of its three stores were made, and are visible. */
byte target, stored, visible;

/* With a request its first store is made. */
#define take(who) d_step { stored == 0 && left[who] -> left[who] = false; target = who; stored = 1 }

active proctype os() {
end:
    do
    :: take(1)
#if N > 1
    :: take(2)
#endif
#if N > 2
    :: take(3)
#endif
#if N > 3
    :: take(4)
#endif
#if N > 4
    :: take(5)
#endif
#if N > 5
    :: take(6)
#endif
#if N > 6
    :: take(7)
#endif
#if N > 7
    :: take(8)
#endif
#if N > 8
    :: take(9)
#endif
#if N > 9
    :: take(10)
#endif
#if N > 10
    :: take(11)
#endif
#if N > 11
    :: take(12)
#endif
#if N > 12
    :: take(13)
#endif
#if N > 13
    :: take(14)
#endif
#if N > 14
    :: take(15)
#endif
#if N > 15
    :: take(16)
#endif
    :: d_step { stored == 1 -> stored = 2 }
    :: d_step { stored == 2 -> stored = 3 }
    :: d_step { stored > visible && visible == 0 -> apic_id = target; visible = 1 }
    :: d_step { stored > visible && visible == 1 -> vector = target; visible = 2 }
    :: d_step { stored > visible && visible == 2 -> command = 1; visible = 3 }
       /* Before that, a poll reads its own store of 1. */
    :: d_step { visible == 3 && command == 0 -> target = 0; stored = 0; visible = 0 }
    od
}

active [N] proctype ap() {
    byte loaded;
park:
    command == 1;
seen:
    if
    :: apic_id == _pid
    :: else -> goto park
    fi;
    if
    :: command == 1
    :: else -> goto park
    fi;
    loaded = vector;
    skip;                       /* stores Command = 0 into its buffer */
    if
    :: d_step { command = 0 };
       d_step { assert(loaded == _pid); loaded = 0 }
    :: d_step { assert(loaded == _pid); loaded = 0 };
       d_step { command = 0 }
    fi;
end:
    false
}
