/*
 * Sleeping and waking, for spin: readers in kb_wait, and the broker that wakes them in pieces, off
 * the way of its announcements. Checked by tests/campaign/protocol.sh for `settles`, with weak
 * fairness: once no more changes come, every sleeper has seen the newest generation, and the broker
 * has nothing left to wake. A -D of the list there breaks one rule on purpose.
 *
 *   here                     in the source
 *   ----------------------   ------------------------------------------------------------------------
 *   BITS, PIECE              32 (broker/board.c: board_wake, client/wait.c: doze), 64 (WAKE_PIECE)
 *   announce, wake           broker/publication.c: publication_announce, publication_wake
 *   starting                 broker/startup.c: every start ends with a new generation
 *   look, doze               client/wait.c: news, doze; the kernel compares and queues under a lock
 *   getting up               client/wait.c: alarm_ms, for place_check_ms
 *
 * Memory: a stored generation is seen some time later, but before the system call that wakes: that
 * is a barrier (the kernel's futex_wake has one). The futex is the generation's low half, where a
 * start's own number does not show; so a sleeper that was stopped between looking and sleeping may
 * take a new broker's generation for the one it has seen. Getting up about once a second is what
 * helps it, and what helps when a broker dies before it has woken anybody.
 */

#ifndef SLEEPERS
#define SLEEPERS 2
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#define BITS 2
#define PIECE 1
#define START 16 /* generations of one start */

#define futex_of(g) ((g) % START)
#define bit_of(g) ((g) % BITS)

byte written = START + 1, generation = START + 1; /* stored; seen by all */
byte seen[SLEEPERS];
bit asleep[SLEEPERS], waits_on[SLEEPERS];
bit wake_due;

/* The stored generation comes into everybody's sight. */
proctype memory() {
end:
    do
    :: generation != written -> generation = written
    od
}

#define is_meant(r, own) (asleep[r] && (waits_on[r] == bit_of(written)) == own)
#ifdef WAKE_EVERYBODY_IN_PIECES
#undef is_meant
#define is_meant(r, own) asleep[r]
#endif

/* Wake sleepers on the newest generation's own bit or on others, by chance, `limit` at most. */
inline wake_some(own, limit) {
    do
    :: woken < limit && is_meant(0, own) -> asleep[0] = 0; woken++
    :: woken < limit && is_meant(1, own) -> asleep[1] = 0; woken++
#if SLEEPERS > 2
    :: woken < limit && is_meant(2, own) -> asleep[2] = 0; woken++
#endif
    :: else -> break
    od
}

inline wake() {
    atomic {
#ifndef WAKE_OVERTAKES_GENERATION
        generation == written;
#endif
#ifdef NO_WAKE
        wake_due = 0;
        woken_generation = written;
#else
#ifndef COLLISION_FORGOTTEN
        if
        :: collided -> wake_some(1, SLEEPERS); woken = 0
        :: else
        fi;
#endif
        collided = 0;
        wake_some(0, PIECE);
        if
#ifndef ONE_PIECE_ONLY
        :: woken == PIECE /* there may be more */
        :: else -> wake_due = 0; woken_generation = written
#else
        :: true -> wake_due = 0; woken_generation = written
#endif
        fi;
        woken = 0
#endif
    }
}

proctype broker() {
    byte changes, crashes, woken_generation = START + 1, woken;
    bit collided;
end:
    do
    :: d_step {
        changes < CHANGES ->
            changes++;
            written++;
            wake_due = 1;
            collided = collided || written - woken_generation > BITS - 1
       }
    :: wake_due -> wake()
    :: atomic {
        crashes < CRASHES ->
            crashes++;
            if
            :: wake_due = 0; break /* for good */
            :: d_step { /* a new start, at once or after anything that the others do */
                written = (written / START + 1) * START + 1;
                woken_generation = 0;
                collided = 1;
                wake_due = 1
               }
            fi
       }
    od
}

proctype sleeper(byte r) {
end:
    do
    :: seen[r] = generation; /* news: look */
        atomic { /* doze */
            if
#ifdef NO_COMPARING
            :: true -> waits_on[r] = bit_of(seen[r]); asleep[r] = 1
#else
            :: futex_of(generation) == futex_of(seen[r]) -> waits_on[r] = bit_of(seen[r]); asleep[r] = 1
            :: else -> goto again
#endif
            fi
        };
        atomic {
            if
            :: !asleep[r]
#if defined(GETS_UP) && !defined(NEVER_GETS_UP)
            :: asleep[r] -> asleep[r] = 0
#endif
            fi;
            waits_on[r] = 0
        };
    again:
        skip
    od
}

/* Something always can move: spin's fairness says nothing of a world in which nothing does. */
proctype time() {
    do
    :: true -> skip
    od
}

init {
    atomic {
        run time();
        run memory(); run broker(); run sleeper(0); run sleeper(1)
#if SLEEPERS > 2
        ; run sleeper(2)
#endif
    }
}

#if SLEEPERS > 2
#define all_have_seen (seen[0] == written && seen[1] == written && seen[2] == written)
#else
#define all_have_seen (seen[0] == written && seen[1] == written)
#endif
ltl settles { <> [] (all_have_seen && !wake_due) }
