/*
 * The protocol between the broker and its readers, for spin: one board, its catalogs, the broker's
 * commands, reports, crash and restart, and readers with skips of their own. Checked by
 * tests/campaign/protocol.sh; a -D of the list at the end breaks one rule on purpose, and the
 * script fails unless spin finds out.
 *
 *   here                      in the source
 *   -----------------------   -------------------------------------------------------------------
 *   mem[], the word names     include/keybroker_shared/board.h: struct kb_board
 *   word(), id_of(), …        the same: kb_word_make, kb_word_id, kb_word_status
 *   PLAIN, RELEASE, memory    atomic_store_explicit, relaxed and release, on a machine that reorders
 *   set_slot                  broker/board.c: board_set_slot; publication.c: next_word
 *   announce                  publication.c: publication_announce; board.c: board_set_catalog,
 *                             board_announce; catalog_unlink
 *   apply_report, touch       pipeline.c: server_report, decline; status_rules.c: model_is_stale
 *   recover                   pipeline.c: server_tick
 *   stage, commit, publish    pipeline.c: server_stage, group_succeeded; committer.c: commit
 *   starting                  startup.c: load, publish_first; store.c: store_begin_start
 *   read_catalog              board.h: kb_board_read_catalog
 *   sync                      client/reader.c: kbi_reader_sync, follow_catalog; catalog.c:
 *                             kbi_catalog_open
 *   take_hint, scan, standing client/choose.c, the functions of these names
 *   refresh                   client/reader.c: kbi_reader_refresh
 *   report                    client/report.c: kbi_report, judge_failure; skip.c
 *
 * Memory: every store of the broker enters a buffer. A release store leaves it when all before it
 * have left; a relaxed one whenever no earlier store to the same word is before it, so it overtakes
 * releases, as C allows. Renaming, unlinking and acknowledging are system calls that others see
 * through the kernel's locks: they leave like releases. Readers' loads happen in program order:
 * all are acquires, or relaxed after an acquire and with nothing behind them that they could pass
 * to harm.
 *
 * Left out: expiry (a clock's business, not the protocol's), spread, endpoints, the guard, waiting
 * (wait.pml), boards that are replaced, the rate limit on declined reports, and slot_count, which only grows
 * before the first key that needs it is named. Time is one step: a deadline of 1 passes when `now`
 * becomes 1, one of 2 never does.
 */

#ifndef READERS
#define READERS 1
#endif
#ifndef COMMANDS
#define COMMANDS 1
#endif
#ifndef REPORTS
#define REPORTS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef FAILURES
#define FAILURES 0
#endif
#ifndef BUFFER
#define BUFFER 4
#endif

/* ---- words, files, ghosts ------------------------------------------------------------------ */

#define GEN 0
#define HGEN 1
#define HCAT 2
#define HUNTIL 3
#define HPOS 4
#define INDEX 5
#define VER(i) (6 + 3 * (i))
#define SIZE(i) (7 + 3 * (i))
#define SUM(i) (8 + 3 * (i))
#define STATUS(slot) (12 + 2 * (slot))
#define DEADLINE(slot) (13 + 2 * (slot))
#define WORDS 16
#define UNLINK 17 /* not words: what is done by a system call */
#define RENAME 18
#define ACK 19
#define RELEASED 32

#define NONE 2 /* no position, no slot */
#define PENDING 255
#define NEVER 3

/* A status word: id (1–3), change counter, status. Slot 0 always holds key 1; slot 1 holds key 2,
 * or key 3 once that took its place. */
#define NORMAL 0
#define COOLING 1
#define EXCEEDED 2
#define DISABLED 3
#define word(id, counter, status) ((id) * 32 + ((counter) & 7) * 4 + (status))
#define id_of(w) ((w) >> 5)
#define counter_of(w) (((w) >> 2) & 7)
#define status_of(w) ((w) & 3)

/* What a catalog says: bit 0 the order, bit 1 key 1's secret, bit 2 who is in slot 1. */
#define slot_at(content, position) ((position) ^ ((content) & 1))
#define secret_in(content) (((content) >> 1) & 1)
#define id_in(content, slot) ((slot) == 0 -> 1 : 2 + (((content) >> 2) & 1))

byte mem[WORDS];
byte buffer_word[BUFFER], buffer_value[BUFFER], buffered;
byte files = 2;  /* bit v: the file of version v is there under its name */
byte content[8]; /* by version; a published file never changes */
byte versions = 1;
bit now;

/* What the broker intends, which is ahead of what can be seen. */
byte intent_word[2], intent_deadline[2];
byte announced; /* the generation that was announced last */
byte last_ok[4]; /* by id: the newest generation in which the key was usable */

/* A key on the board that may be used. */
#define usable(w, deadline) \
    ((w) != 0 && (status_of(w) == NORMAL || \
                  (status_of(w) != DISABLED && (deadline) == 1 && now == 1)))

byte met[READERS]; /* by id: the key could be used at a moment of the reader's call */
#define met_now(slot) (usable(mem[STATUS(slot)], mem[DEADLINE(slot)]) -> 1 << id_of(mem[STATUS(slot)]) : 0)

/* ---- readers' answers, for the end --------------------------------------------------------- */

byte choice_slot[READERS], choice_id[READERS];
byte broker_choice, broker_choice_id = 1;
#ifdef SETTLES
bit rests; /* the reader has looked, and nothing is left for it to try again */
bit dead;  /* the broker, for good */
#endif

chan reports = [2] of { byte, byte, byte, byte, bit }; /* id, generation, secret, epoch, quota */

/* Ghost: how often the key at this slot was renewed, and what was acknowledged of it. */
byte epoch[2];
byte acknowledged_content;
bit acknowledged_disabled;

hidden byte each;

/* A deadline passes by itself, also while the board still shows what the broker has changed since:
 * a key that the board lets back is usable in the board's own generation. */
#define back(slot) \
    (mem[STATUS(slot)] != 0 && status_of(mem[STATUS(slot)]) != NORMAL && \
     usable(mem[STATUS(slot)], mem[DEADLINE(slot)]))
inline look_back() {
    for (each : 0 .. 1) {
        if
        :: back(each) && last_ok[id_of(mem[STATUS(each)])] < mem[GEN] ->
            last_ok[id_of(mem[STATUS(each)])] = mem[GEN]
        :: else
        fi
    }
    for (each : 0 .. READERS - 1) {
        if
        :: met[each] -> met[each] = met[each] | met_now(0) | met_now(1)
        :: else
        fi
    }
    each = 0
}

/* ---- memory --------------------------------------------------------------------------------- */

#define same(i, j) ((buffer_word[i] & 31) == (buffer_word[j] & 31))
#define may_pass(i) (buffered > (i) && buffer_word[i] < RELEASED)

inline become_visible(i) {
    d_step {
        if
        :: (buffer_word[i] & 31) < WORDS ->
            assert((buffer_word[i] & 31) != GEN || buffer_value[i] > mem[GEN]); /* never back */
            mem[buffer_word[i] & 31] = buffer_value[i]
        :: (buffer_word[i] & 31) == UNLINK -> files = files & ~(1 << buffer_value[i])
        :: (buffer_word[i] & 31) == RENAME -> files = files | (1 << buffer_value[i])
        :: (buffer_word[i] & 31) == ACK ->
            /* Whoever asks from now on finds the command's generation, and by that its effect. */
            assert(mem[GEN] >= buffer_value[i])
        fi;
        buffered--;
        for (each : i .. BUFFER - 2) {
            buffer_word[each] = buffer_word[each + 1];
            buffer_value[each] = buffer_value[each + 1]
        }
        buffer_word[BUFFER - 1] = 0;
        buffer_value[BUFFER - 1] = 0;
        look_back()
    }
}

proctype memory() {
end:
    do
    :: atomic { buffered > 0 -> become_visible(0) }
    :: atomic { may_pass(1) && !same(1, 0) -> become_visible(1) }
    :: atomic { may_pass(2) && !same(2, 0) && !same(2, 1) -> become_visible(2) }
    :: atomic { may_pass(3) && !same(3, 0) && !same(3, 1) && !same(3, 2) -> become_visible(3) }
#if BUFFER > 6
    :: atomic {
        may_pass(4) && !same(4, 0) && !same(4, 1) && !same(4, 2) && !same(4, 3) -> become_visible(4)
    }
    :: atomic {
        may_pass(5) && !same(5, 0) && !same(5, 1) && !same(5, 2) && !same(5, 3) && !same(5, 4) ->
            become_visible(5)
    }
    :: atomic {
        may_pass(6) && !same(6, 0) && !same(6, 1) && !same(6, 2) && !same(6, 3) && !same(6, 4) &&
        !same(6, 5) -> become_visible(6)
    }
#endif
    od
}

proctype clock() {
    d_step {
        now = 1;
        for (each : 0 .. 1) {
            if
            :: usable(intent_word[each], intent_deadline[each]) ->
                last_ok[id_of(intent_word[each])] = announced
            :: else
            fi
        }
        look_back()
    }
}

/* ---- the broker ------------------------------------------------------------------------------ */

byte crashes;

#define PUT(w, v) \
    atomic { \
        if \
        :: buffered < BUFFER -> \
            buffer_word[buffered] = w; \
            buffer_value[buffered] = v; \
            buffered++ \
        :: crashes < CRASHES -> crashes++; goto down \
        fi \
    }
#define PLAIN(w, v) PUT(w, v)
#define RELEASE(w, v) PUT((w) + RELEASED, v)

#ifdef GENERATION_RELAXED
#define GENERATION_STORE PLAIN
#else
#define GENERATION_STORE RELEASE
#endif
#ifdef DESCRIPTOR_RELAXED
#define DESCRIPTOR_STORE PLAIN
#else
#define DESCRIPTOR_STORE RELEASE
#endif

/* The next generation; numbers are the start's, sixteen to a start. */
#define take_generation() changes++; assert(changes < 16); generation = start * 16 + changes

/* What the slot is about to say; a declined report moves the word alone. */
inline intend(slot) {
    if
    :: !touching ->
        shown = status[slot];
        intent_deadline[slot] = deadline[slot]
    :: else -> shown = status_of(intent_word[slot])
    fi;
    intent_word[slot] = word(id_in(broker_content, slot),
                             (id_of(intent_word[slot]) == id_in(broker_content, slot)
                                  -> counter_of(intent_word[slot]) + 1 : 0), shown);
    shown = 0
}

/* The first normal key in the published order, and when one ranked above it comes back. */
inline choose() {
    broker_choice = NONE;
    broker_choice_id = 0;
    hint = NONE;
    until = NEVER;
    for (p : 0 .. 1) {
        slot = slot_at(broker_content, p);
        if
        :: hint == NONE && status_of(intent_word[slot]) == NORMAL ->
            hint = p;
            broker_choice = slot;
            broker_choice_id = id_of(intent_word[slot])
        :: hint == NONE && status_of(intent_word[slot]) != NORMAL && intent_deadline[slot] ->
            until = (intent_deadline[slot] < until -> intent_deadline[slot] : until)
        :: else
        fi
    }
    slot = 0
}

inline set_slot(slot) {
    PLAIN(DEADLINE(slot), intent_deadline[slot]);
    RELEASE(STATUS(slot), intent_word[slot])
}

/* The slots that `changed` (bits), catalog, hint, generation, and what follows them. */
inline announce() {
    d_step {
        if
        :: changed & 1 -> intend(0)
        :: else
        fi;
        if
        :: changed & 2 -> intend(1)
        :: else
        fi;
        touching = 0;
        choose();
        for (p : 0 .. 1) {
            if
            :: usable(intent_word[p], intent_deadline[p]) -> last_ok[id_of(intent_word[p])] = generation
            :: else
            fi
        }
        p = 0;
        announced = generation;
        old = board_version
    }
#ifdef GENERATION_BEFORE_STATUS
    GENERATION_STORE(GEN, generation);
#endif
    if
    :: changed & 1 -> set_slot(0)
    :: else
    fi;
    if
    :: changed & 2 -> set_slot(1)
    :: else
    fi;
    if
    :: old != version ->
#ifdef UNLINK_BEFORE_INDEX
        RELEASE(UNLINK, old);
#endif
        d_step { board_index = 1 - board_index; board_version = version }
#ifdef INDEX_BEFORE_VERSION
        RELEASE(INDEX, board_index);
#endif
#ifndef VERSION_NOT_ZEROED
        PLAIN(VER(board_index), 0);
#endif
        DESCRIPTOR_STORE(SIZE(board_index), version);
        DESCRIPTOR_STORE(SUM(board_index), version);
        DESCRIPTOR_STORE(VER(board_index), version);
#ifndef INDEX_BEFORE_VERSION
        RELEASE(INDEX, board_index);
#endif
    :: else
    fi;
    PLAIN(HGEN, 0);
    RELEASE(HCAT, version);
    RELEASE(HUNTIL, until);
    RELEASE(HPOS, hint);
    RELEASE(HGEN, generation);
#ifndef GENERATION_BEFORE_STATUS
#ifdef NO_FIRST_GENERATION
    if
    :: changes > 1 -> GENERATION_STORE(GEN, generation)
    :: else
    fi;
#else
    GENERATION_STORE(GEN, generation);
#endif
#endif
#ifdef RENAME_LATE
    if
    :: old != version -> RELEASE(RENAME, version)
    :: else
    fi;
#endif
#ifndef UNLINK_BEFORE_INDEX
    if
    :: old != version -> RELEASE(UNLINK, old)
    :: else
    fi;
#endif
#ifndef NO_SWEEP
    /* A former broker may have died before it unlinked one, or before it published one. */
    if
    :: old != version && !swept ->
        d_step {
            swept = 1;
            stray = 0;
            for (p : 1 .. 7) {
                if
                :: p != version && p != old && (files >> p) & 1 -> stray = p
                :: else
                fi
            }
            p = 0
        }
        if
        :: stray -> RELEASE(UNLINK, stray); stray = 0
        :: else
        fi
    :: else
    fi;
#endif
    d_step { hint = 0; until = 0; old = 0; changed = 0 }
}

/* A report is judged; the word moves for every answer but one to a key that is down already. */
inline apply_report() {
    d_step {
        slot = (id == 1 -> 0 : 1);
        what = 0; /* 1: the word must move, 2: the key got worse */
        if
        :: id != id_in(model_content, slot) || id != id_in(broker_content, slot) -> skip /* unknown */
#ifdef PENDING_NOT_STALE
        :: else -> what = (ticket < since[slot] && since[slot] != PENDING -> 1 : 3)
#else
#ifdef REPORTS_NEVER_STALE
        :: else -> what = 3
#else
        :: else -> what = ((pending >> slot) & 1 || ticket < since[slot] -> 1 : 3)
#endif
#endif
        fi;
        if
        :: what == 3 && status[slot] == DISABLED -> what = 0
        :: what == 3 && quota && status[slot] < EXCEEDED ->
            what = 2; status[slot] = EXCEEDED; deadline[slot] = 0
        :: what == 3 && !quota && status[slot] < COOLING ->
            what = 2; status[slot] = COOLING; deadline[slot] = (now -> 2 : 1)
        :: what == 3 -> what = 0
        :: else
        fi;
        if
        :: what == 2 ->
            /* It failed with what it is now, and after its last renewal. */
            assert(its_epoch >= epoch[slot]);
            assert(id != 1 || secret == secret_in(model_content));
            dirty = dirty | (1 << slot)
        :: else
        fi;
#ifdef NO_TOUCH
        what = (what == 1 -> 0 : what);
#endif
        touching = (what == 1);
        id = 0; ticket = 0; secret = 0; its_epoch = 0; quota = 0
    }
}

/* Everything that is true and not staged goes to the disk with a commit. */
inline store_background() {
    for (p : 0 .. 1) {
        if
#ifdef OLD_OVER_NEW
        :: stored_status[p] = status_before[p]
#else
        :: (dirty >> p) & 1 && !((pending >> p) & 1) ->
            stored_status[p] = status[p];
            stored_deadline[p] = deadline[p];
            stored_since[p] = since[p];
            stored_epoch[p] = epoch[p]
        :: else
#endif
        fi
    }
    p = 0;
    dirty = dirty & pending
}

#define may_recover(slot) \
    (now == 1 && status[slot] == COOLING && deadline[slot] == 1 && !((pending >> slot) & 1))
inline recover(slot) {
    take_generation();
    status[slot] = NORMAL;
    deadline[slot] = 0;
    since[slot] = generation;
    epoch[slot]++;
    changed = 1 << slot;
    dirty = dirty | changed
}

/* One command is judged: what it says waits, and reports on its keys are stale from here on. */
inline stage() {
    atomic {
        commands++;
#ifdef OLD_OVER_NEW
        status_before[0] = status[0]; status_before[1] = status[1];
#endif
        if
#if !defined(ONLY_ORDER) && !defined(ONLY_CATALOGS) && !defined(ONLY_SECRET)
        :: status[0] != DISABLED -> command = 1; staged_status = DISABLED
        :: status[0] != NORMAL -> command = 1; staged_status = NORMAL
#endif
#ifndef ONLY_ORDER
        :: secret_in(model_content) == 0 -> command = 3; model_content = model_content | 2
#endif
#if !defined(ONLY_ORDER) && !defined(ONLY_SECRET)
        :: id_in(model_content, 1) == 2 -> command = 4; model_content = model_content | 4
#endif
#ifndef ONLY_SECRET
        :: command = 2; model_content = model_content ^ 1 /* the order */
#endif
        fi;
        d_step {
            if
            :: command == 1 ->
                pending = 1; status[0] = staged_status; deadline[0] = 0;
                if
                :: staged_status == NORMAL -> since[0] = PENDING; epoch[0]++
                :: else
                fi
            :: command == 3 -> pending = 1; since[0] = PENDING; epoch[0]++
            :: command == 4 ->
                pending = 2; status[1] = NORMAL; deadline[1] = 0; since[1] = PENDING; epoch[1]++
            :: else
            fi;
            staged_status = 0
        }
#ifdef ACK_BEFORE_COMMIT
        acknowledged_content = model_content;
        acknowledged_disabled = (status[0] == DISABLED)
#endif
    }
}

inline commit() {
    atomic {
        if
        :: crashes < CRASHES -> crashes++; goto down
        :: skip
        fi;
        d_step {
            stored_content = model_content;
            for (p : 0 .. 1) {
                if
                :: (pending >> p) & 1 ->
                    stored_status[p] = status[p];
                    stored_deadline[p] = deadline[p];
                    stored_since[p] = since[p];
                    stored_epoch[p] = epoch[p]
                :: else
                fi
            }
            store_background();
            versions = (command == 1 -> versions : versions + 1);
            built = (command == 1 -> 0 : versions);
            if
            :: built -> content[built] = model_content
            :: else
            fi
        }
        /* Between the commit and the renaming. */
        if
        :: crashes < CRASHES -> crashes++; goto down
        :: built ->
#ifndef RENAME_LATE
            files = files | (1 << built)
#endif
        :: !built
        fi
    }
}

inline publish() {
    atomic {
        take_generation();
        if
        :: built -> version = built; built = 0
        :: else
        fi;
        broker_content = model_content;
        changed = pending;
        committed = 0;
        if
        :: command == 4 -> intent_word[1] = 0; intent_deadline[1] = 0
        :: else
        fi;
        for (p : 0 .. 1) {
            if
            :: (pending >> p) & 1 && since[p] == PENDING -> since[p] = generation; dirty = dirty | (1 << p)
            :: else
            fi
        }
        p = 0;
        pending = 0
    }
    /* publication_set_catalog clears a slot whose key left. */
    if
    :: command == 4 -> set_slot(1)
    :: else
    fi;
#ifdef ACK_BEFORE_ANNOUNCE
    RELEASE(ACK, generation);
#endif
    acknowledging = 1
}

inline acknowledge() {
#ifndef ACK_BEFORE_ANNOUNCE
    RELEASE(ACK, generation);
#endif
    d_step {
        acknowledged_content = broker_content;
        acknowledged_disabled = (command == 1 -> status[0] == DISABLED : acknowledged_disabled);
        command = 0;
        acknowledging = 0
    }
}

/* A durable new start above the store's own count and above the board's; everything anew. */
inline starting() {
    atomic {
        buffered == 0; /* what was stored is seen by now */
        /* Who comes now, with no broker alive, finds a whole catalog. */
        assert(mem[VER(mem[INDEX])] != 0);
        assert(mem[SIZE(mem[INDEX])] == mem[VER(mem[INDEX])]);
        assert(mem[SUM(mem[INDEX])] == mem[VER(mem[INDEX])]);
        assert((files >> mem[VER(mem[INDEX])]) & 1);
        /* Nothing acknowledged was lost. */
        assert(((stored_content ^ acknowledged_content) & acknowledged_content & 6) == 0);
        assert(!acknowledged_disabled || stored_status[0] == DISABLED || command == 1);
        d_step {
            status[0] = stored_status[0]; status[1] = stored_status[1];
            deadline[0] = stored_deadline[0]; deadline[1] = stored_deadline[1];
            since[0] = stored_since[0]; since[1] = stored_since[1];
            epoch[0] = stored_epoch[0]; epoch[1] = stored_epoch[1];
            model_content = stored_content; broker_content = stored_content;
            pending = 0; dirty = 0; command = 0; built = 0; what = 0; swept = 0;
            changed = 0; committed = 0; acknowledging = 0; touching = 0;
            hint = 0; until = 0; old = 0; stray = 0; slot = 0;
            intent_word[0] = mem[STATUS(0)]; intent_word[1] = mem[STATUS(1)];
            intent_deadline[0] = mem[DEADLINE(0)]; intent_deadline[1] = mem[DEADLINE(1)];
            board_index = mem[INDEX];
            board_version = mem[VER(board_index)];
            changes = 0
        }
        if
        :: stored_start = 0 /* an older copy of the store was brought back */
        :: skip
        fi;
#ifdef NO_FLOOR
        start = stored_start + 1;
#else
        start = (stored_start > mem[GEN] / 16 -> stored_start : mem[GEN] / 16) + 1;
#endif
        stored_start = start;
        take_generation();
        for (p : 0 .. 1) {
            if
            :: since[p] == PENDING -> since[p] = generation; dirty = dirty | (1 << p)
            :: else
            fi
        }
        p = 0;
        versions++;
        version = versions;
        content[version] = stored_content;
        files = files | (1 << version)
    }
    changed = 3
}

proctype broker() {
    /* In memory, lost in a crash. `model`: staged; `broker`: published. */
    byte start = 1, changes = 1, generation = 17, version = 1, board_version = 1;
    bit board_index, touching, committed, acknowledging;
    byte status[2], deadline[2], since[2], model_content, broker_content;
    byte pending, dirty, command, staged_status, built, commands, shown, changed;
    bit swept = 1;
    byte hint, until, old, stray, p, slot, what, id, ticket, its_epoch;
    bit secret, quota;
    /* On the disk. */
    byte stored_start = 1, stored_status[2], stored_deadline[2], stored_since[2], stored_epoch[2];
    byte stored_content;
#ifdef OLD_OVER_NEW
    byte status_before[2];
#endif

up:
end:
    do
    :: atomic {
        reports ? id, ticket, secret, its_epoch, quota ->
            apply_report();
            if
            :: what -> what = 0; take_generation(); changed = 1 << slot; slot = 0; goto announcing
            :: else -> slot = 0
            fi
        }
    :: atomic { may_recover(0) -> recover(0); goto announcing }
    :: atomic { may_recover(1) -> recover(1); goto announcing }
    :: commands < COMMANDS && command == 0 -> stage()
    :: command != 0 && !committed -> commit(); committed = 1
    :: committed -> publish(); goto announcing
    :: atomic { dirty & ~pending & 3 && command == 0 -> d_step { store_background() } }
    :: atomic { crashes < CRASHES -> crashes++; goto down }
    od;

announcing:
    announce();
    if
    :: acknowledging -> acknowledge()
    :: else
    fi;
    goto up;

down:
#ifdef DIES
    dead = 1;
    false;
#endif
    atomic {
        if
        :: nempty(reports) -> reports ? id, ticket, secret, its_epoch, quota /* lost with its socket */
        :: skip /* waits in the reader's queue, and comes very late */
        fi;
        id = 0; ticket = 0; secret = 0; its_epoch = 0; quota = 0
    };
    starting();
    goto announcing
}

/* ---- a reader -------------------------------------------------------------------------------- */

/* kb_board_read_catalog: `v`, or 0 where it was met half-way. */
inline read_catalog() {
    i = mem[INDEX];
    v = mem[VER(i)];
    s = mem[SIZE(i)];
    c = mem[SUM(i)];
    d_step {
        if
#ifndef NO_RECHECK
        :: v != mem[VER(i)] -> v = 0
#endif
        :: else -> assert(v == 0 || (s == v && c == v)) /* never of two publishes */
        fi;
        i = 0; s = 0; c = 0
    }
}

inline open_catalog() {
    error = 1;
    do
    :: tries < 2 ->
        tries++;
        read_catalog();
        if
        :: v == 0
        :: v != 0 && (files >> v) & 1 -> d_step { cat = v; error = 0; moved = 1 }; break
        :: v != 0 && failures < FAILURES -> failures++; break /* no descriptors left */
        :: v != 0 && !((files >> v) & 1) ->
            gone = v;
            read_catalog();
            assert(v != gone); /* the board never names a file that is not there */
            gone = 0
        fi
    :: tries == 2 -> break
    od;
    tries = 0;
    v = 0
}

inline sync() {
    if
    :: retry == 2 -> retry = 1 /* not yet */
    :: true ->
        i = mem[INDEX];
        v = mem[VER(i)];
        i = 0;
        if
        :: v == cat -> error = 0
        :: v == 0 -> error = 1
        :: else -> open_catalog()
        fi;
#ifdef NO_RETRY
        d_step { v = 0; retry = 0 }
#else
        d_step { v = 0; retry = (error -> 2 : 0) }
#endif
    fi
}

/* When the key at this slot may be used: 0 = now. */
inline standing(slot) {
    atomic {
        w = mem[STATUS(slot)];
        if
#ifndef WORD_WITHOUT_ID
        :: id_of(w) != id_in(content[cat], slot) -> from = NEVER
#endif
        :: else ->
            if
            :: status_of(w) == NORMAL -> from = 0
            :: status_of(w) == DISABLED -> from = NEVER
            :: else -> from = 4
            fi
        fi
    };
    if
    :: from == 4 ->
        d_step {
            from = mem[DEADLINE(slot)];
            from = (from == 0 -> NEVER : (from <= t -> 0 : from))
        }
    :: else
    fi;
    d_step {
        w = 0;
        from = (from == 0 && skip_word[slot] -> NEVER : from)
    }
}

inline take_hint() {
    if
    :: mem[HGEN] == g ->
        c = mem[HCAT];
        s = mem[HUNTIL];
        v = mem[HPOS];
        atomic {
            if
            :: mem[HGEN] != g -> v = NONE
            :: else
            fi;
            v = (c != cat || s <= t -> NONE : v);
            if
            :: v < NONE -> v = slot_at(content[cat], v)
            :: else
            fi
        };
        if
        :: v < NONE ->
#ifdef HINT_NOT_VERIFIED
            from = 0;
#else
            standing(v);
#endif
            d_step {
                if
                :: from == 0 -> found = v; until = s
                :: else
                fi;
                from = 0
            }
        :: else
        fi;
        d_step { c = 0; s = 0; v = 0 }
    :: else
    fi
}

inline scan() {
    until = NEVER;
    do
    :: found == NONE && p < 2 ->
        standing(slot_at(content[cat], p));
        d_step {
            if
            :: from == 0 -> found = slot_at(content[cat], p)
            :: else -> until = (from < until -> from : until)
            fi;
            from = 0;
            p++
        }
    :: else -> break
    od;
    p = 0
}

inline prune(slot) {
    if
    :: skip_word[slot] ->
        atomic {
            if
            :: mem[STATUS(slot)] != skip_word[slot] -> skip_word[slot] = 0
            :: else
            fi
        }
    :: else
    fi
}

inline refresh() {
    sync();
#ifdef TICKET_UNSYNCED
    ticket = g;
#else
    ticket = (error -> ticket : g);
#endif
    found = NONE;
    if
    :: cat != 0 ->
        prune(0);
        prune(1);
        if
        :: moved && !skip_word[0] && !skip_word[1] -> take_hint()
        :: else
        fi;
        if
        :: found == NONE -> scan()
        :: else
        fi
    :: else -> until = NEVER
    fi;
    d_step {
        choice_slot[r] = found;
        choice_id[r] = (found == NONE -> 0 : id_in(content[cat], found));
        /* Usable in this generation or a later one; and at a moment of this call. */
        assert(found == NONE || last_ok[choice_id[r]] >= g);
        assert(found == NONE || (met[r] >> choice_id[r]) & 1);
        met[r] = 0;
#ifdef GENERATION_READ_LAST
        seen = mem[GEN];
#else
        seen = g;
#endif
#ifdef SETTLES
        rests = (retry == 0);
#endif
        dirty = 0; found = 0; moved = 0; g = 0; t = 0
    }
}

/* The status word is read before the report leaves, and kept with the skip. This reader skips a key
 * also when the board says that its ticket is stale, as one does that could not follow: so every
 * declined report must move the word. */
inline report() {
    w = mem[STATUS(held_id == 1 -> 0 : 1)];
    atomic {
        budget--;
        if
        :: nfull(reports) ->
            if
            :: reports ! held_id, held_ticket, held_secret, held_epoch, 0
            :: reports ! held_id, held_ticket, held_secret, held_epoch, 1
            fi
        :: full(reports)
        fi
    };
    d_step {
        if
        :: id_of(w) == held_id -> skip_word[(held_id == 1 -> 0 : 1)] = w
        :: else
        fi;
        dirty = 1; w = 0; held_id = 0; held_ticket = 0; held_secret = 0; held_epoch = 0
    }
}

proctype reader(byte r) {
    byte seen, cat, until = NEVER, ticket, skip_word[2], budget = REPORTS;
    bit dirty = 1;
    byte failures;
    byte retry; /* 2: the last try failed just now, 1: it may be tried again, 0: nothing to try */
    byte g, i, v, s, c, w, gone, from, found, tries, p;
    bit t, error, moved;
    /* A request that the caller makes with a key it was handed. */
    byte held_id, held_ticket, held_epoch;
    bit held_secret;

end:
    do
    :: d_step {
        mem[GEN] != seen || dirty || until <= now || retry ->
            g = mem[GEN];
            assert(g >= seen);
            t = now;
            moved = (g != seen);
#ifdef SETTLES
            rests = 0;
#endif
            met[r] = 128 | met_now(0) | met_now(1)
        };
        refresh()
    :: d_step {
        budget && held_id == 0 && choice_id[r] != 0 ->
            held_id = choice_id[r];
            held_ticket = ticket;
            held_secret = (held_id == 1 -> secret_in(content[cat]) : 0);
            held_epoch = epoch[(held_id == 1 -> 0 : 1)]
        }
    :: held_id != 0 -> report()
#ifndef SKIPS_LAST
    :: d_step { skip_word[0] -> skip_word[0] = 0; dirty = 1 }
    :: d_step { skip_word[1] -> skip_word[1] = 0; dirty = 1 }
#endif
    od
}

/* When nothing is left to do, every reader hands out what the broker would, and only the published
 * catalog is there. */
proctype end_of_all() {
    byte r;
    timeout ->
        assert(files == 1 << mem[VER(mem[INDEX])]);
        for (r : 0 .. READERS - 1) {
            assert(choice_slot[r] == broker_choice);
            assert(choice_id[r] == broker_choice_id)
        }
}

#ifdef SETTLES
/* Once no more changes come, the reader ends up with the broker's choice and stops looking; of a
 * broker that died on the way only the second can be asked. It needs no fairness: nobody here can
 * go round for ever while others wait for their turn. */
ltl settles {
    <> [] (rests && (dead || (choice_slot[0] == broker_choice && choice_id[0] == broker_choice_id)))
}
#endif

init {
    d_step {
        mem[GEN] = 17; mem[HGEN] = 17; mem[HCAT] = 1; mem[HUNTIL] = NEVER;
        mem[VER(0)] = 1; mem[SIZE(0)] = 1; mem[SUM(0)] = 1;
        mem[STATUS(0)] = word(1, 0, NORMAL); mem[STATUS(1)] = word(2, 0, NORMAL);
        intent_word[0] = mem[STATUS(0)]; intent_word[1] = mem[STATUS(1)];
        announced = 17; last_ok[1] = 17; last_ok[2] = 17;
        for (each : 0 .. READERS - 1) {
            choice_slot[each] = NONE
        }
    }
    atomic {
        run memory(); run clock(); run broker(); run reader(0)
#ifndef SETTLES
        ; run end_of_all()
#endif
#if READERS > 1
        ; run reader(1)
#endif
    }
}
