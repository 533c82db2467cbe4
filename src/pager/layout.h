/* SPDX-License-Identifier: MIT */
/*
 * A pager as it lies in shared memory: the control segment's data. The pages themselves are another memory object, as long as the region, in which
 * only those that are there take memory.
 *
 *   0          4096        8192       12288          12288 + 64 * 4096      page      page               page
 *   +----------+-----------+----------+--------------+-----------------------+---------+------------------+ - - - - - - - - -+
 *   | header   | cursors,  | members  | a page for   |                       | frames  | links            | words: one per   |
 *   | (const.) | mutex     | 0 .. 63  | each member: counters, pins          |         |                  | block, committed |
 *   |          |           |          |                                      |         |                  | as needed        |
 *   +----------+-----------+----------+--------------+-----------------------+---------+------------------+ - - - - - - - - -+
 *
 * A *block* is what is filled, written back and evicted at a time. Its word says how it is, and who is changing that:
 *
 *  63       52 51 50    44 43 40 39  38  37 36 35   32 31 30 29               0
 * +-----------+--+--------+-----+---+---+-----+-------+--+--+------------------+
 * | version   |0 | error  | lap | 0 | A | heat| state |W | 0| holder           |
 * +-----------+--+--------+-----+---+---+-----+-------+--+--+------------------+
 *   holder: the low 30 bits of a roster identity, 0: nobody. W: somebody sleeps until the holder lets go. A: dirty at the last look of the
 *   background. heat: how often the hand passes it by. lap: of the hand, when it was evicted. error: why it is poisoned. version: counts changes.
 *
 *   state       holder  pages                        this many may write            who dies here leaves
 *   EMPTY       no      none                         -
 *   CLEAN       no      there, as in the backing     nobody: forbidden in all maps
 *   DIRTY       no      there                        those who opened it
 *   POISONED    no      none                         -
 *   LEFT        no      some, or none                nobody knows                   (it could not be taken away: to be done again)
 *   FILLING     yes     none, or being put there     nobody                         taken away again: EMPTY
 *   PUTTING     yes     one, or none yet             the holder's process           DIRTY if it is there, else EMPTY
 *   OPENING     yes     there                        those who opened it            the holder's process may write: DIRTY
 *   CHOOSING    yes     there, as in the backing     nobody                         CLEAN
 *   CLEANING    yes     there                        being forbidden in all maps    DIRTY
 *   EVICTING    yes     there, or being taken away   nobody, or what they write is discarded  EMPTY, once it is
 *   Every change from one row to another is one compare-and-swap, to or from a holder; so no update can fall between a write-back and an
 *   eviction. Whoever meets a dead holder takes its place and does what the last column says (repair.c).
 *
 * A *frame* is a block's worth of the budget: {sequence : 23 | linked : 1 | block + 1 : 40}; 0 in the last: free. A block that has pages has a
 * frame, since its filler takes one before, and it is freed after the pages were taken away. The reverse need not hold: who dies may leave a frame that names
 * a block which is not there, or has another; the hand that comes by frees it.
 * Free frames are kept in a stack (Treiber 1986, with a tag); `linked` says that a frame is in it. Who dies with one in hand takes it out of the stack for good;
 * it is found by the hand then.
 *
 *   field                 written by                        a crash between two stores leaves
 *   hand                  who evicts: fetch-and-add         frames not looked at in this lap
 *   stack, links          who frees, or takes, a frame      see above
 *   changes               who joins, under the mutex        others look at the members once more
 *   members[i]            its process, under the mutex      serial last: no member, or one
 *   pins, counters        the member's process              a pin of the dead, which counts for nothing
 *   server, background    whose keeper is chosen: a swap    the next takes over from a dead one
 *   requests              see pager_request                 asked: done again by the next server; or by a dead one: forgotten when the place is taken
 *
 * A member's userfaultfd waits on a board (os/trap.h) in a note {serial, base, place}. Who makes pages writable, or takes them away, must reach all members:
 * it looks at `changes` after it has taken pages away; who joins counts it up before it arms anything.
 *
 * Where touches are served (STOA_PAGER_SERVED) a refused one leaves a poisoned place in the map it came from, which lasts. It is made while the block is held, and
 * a word that has an error, whatever its state, says that some map may have one: who fills the block shows it in all maps before he lets it go.
 */
#ifndef PAGER_LAYOUT_H
#define PAGER_LAYOUT_H

#include <base/atomic.h>
#include <os/os.h>
#include <roster/roster.h>
#include <stoa/pager.h>
#include <stoa/sync.h>

#include <stddef.h>

#define PAGER_MAGIC "STOAPGR"
#define PAGER_VERSION 1u

struct pager_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t features; /* 0 */
	uint64_t size;     /* bytes of the region, in whole blocks */
	uint64_t length;   /* bytes of it that are the user's */
	uint32_t block;    /* bytes */
	uint32_t frames;
	uint32_t on_error;
	uint32_t rank;
	uint32_t read_ahead; /* bytes */
	uint32_t way;
	uint32_t dirty_age;     /* milliseconds */
	uint32_t dirty_percent; /* of the frames */
	uint64_t identity[2];   /* of the memory object, so that two descriptors are known to belong together */
	uint32_t flags;         /* STOA_PAGER_NO_BACKGROUND ... */
	uint32_t read_only; /* 1: the creator's backing does not write, so who has none of his own must not either */
};
_Static_assert(offsetof(struct pager_header, size) == 16, "layout");
_Static_assert(offsetof(struct pager_header, block) == 32, "layout");
_Static_assert(offsetof(struct pager_header, read_ahead) == 48, "layout");
_Static_assert(offsetof(struct pager_header, identity) == 64, "layout");
_Static_assert(offsetof(struct pager_header, flags) == 80, "layout");
_Static_assert(sizeof(struct pager_header) == 88, "layout");

struct pager_cursors {
	_Atomic uint64_t hand; /* of the clock: counts frames */
	uint8_t pad_8[56];
	_Atomic uint64_t stack; /* tag : 32 | frame + 1 : 32 */
	uint8_t pad_72[56];
	_Atomic uint64_t changes; /* of the members */
	_Atomic uint64_t joins;
	_Atomic uint64_t background; /* the identity that writes back unasked */
	struct stoa_mutex mutex;     /* members, and the board */
	_Atomic uint64_t server;     /* the identity that serves those who have no backing */
	_Atomic uint64_t asked;      /* counts what they asked for */
	uint8_t pad_184[8];
};
_Static_assert(offsetof(struct pager_cursors, stack) == 64, "layout");
_Static_assert(offsetof(struct pager_cursors, changes) == 128, "layout");
_Static_assert(offsetof(struct pager_cursors, mutex) == 152, "layout");
_Static_assert(offsetof(struct pager_cursors, server) == 168, "layout");
_Static_assert(sizeof(struct pager_cursors) == 192, "layout");

struct pager_member {
	_Atomic uint64_t serial;   /* 0: nobody */
	_Atomic uint64_t identity; /* of a thread that lives as long as its process has the pager */
	_Atomic uint64_t base;     /* of its map */
	_Atomic uint64_t process;  /* its id, for people */
	_Atomic uint64_t flags;    /* MEMBER_* */
	uint8_t pad_40[24];
};
_Static_assert(sizeof(struct pager_member) == 64, "layout");
#define MEMBER_CLIENT UINT64_C(1) /* it has no backing: its touches are served by others (also in a note) */
#define MEMBER_CALLS UINT64_C(2)  /* its system calls may touch what is not there */
#define MEMBER_READS UINT64_C(4)  /* its backing only reads, though others may write: it serves itself alone */

/* What is counted, by each member. */
enum pager_counter {
	PAGER_FILLS,      /* blocks */
	PAGER_FILL_CALLS, /* of the backing */
	PAGER_OPENS,      /* blocks that became dirty */
	PAGER_WAITS,      /* touches that found somebody at it */
	PAGER_WRITES,     /* blocks written back */
	PAGER_WRITE_CALLS,
	PAGER_EVICTIONS,
	PAGER_REFAULTS, /* fills of what was evicted within a lap */
	PAGER_ERRORS,   /* fills and writes that failed */
	PAGER_REPAIRS,  /* of what the dead left */
	PAGER_FAULTS,   /* touches that came to the handler */
	PAGER_DROPPED,  /* dirty blocks that were discarded */
	PAGER_HITS,     /* touches, and blocks asked for, that needed no fill of their own */
	PAGER_MISSES,   /* those that filled what they touched */
	PAGER_COUNTERS = 32,
};
#define PAGER_HISTOGRAM 32 /* of faults: [i] took less than 2^(i + 8) ns */

struct pager_pin {
	_Atomic uint64_t first; /* block + 1; 0: none */
	_Atomic uint64_t count;
};
_Static_assert(sizeof(struct pager_pin) == 16, "layout");

/* What who has no backing asks for: written by him but for the result, while the state is even; answered while it is odd. */
struct pager_request {
	_Atomic uint64_t state;
	_Atomic uint64_t what;         /* enum pager_ask */
	_Atomic uint64_t first, count; /* blocks */
	_Atomic uint64_t flags;
	_Atomic uint64_t result; /* -STOA_E* as a word */
};
_Static_assert(sizeof(struct pager_request) == 48, "layout");

struct pager_seat { /* a member's page */
	_Atomic uint64_t counters[PAGER_COUNTERS];
	_Atomic uint64_t histogram[PAGER_HISTOGRAM];
	_Atomic uint64_t pins_used; /* places that were ever used */
	struct pager_request request;
	uint8_t pad_568[1024 - 568];
	struct pager_pin pins[STOA_PINS_MAX];
};
_Static_assert(offsetof(struct pager_seat, pins_used) == 512, "layout");
_Static_assert(offsetof(struct pager_seat, request) == 520, "layout");
_Static_assert(offsetof(struct pager_seat, pins) == 1024, "layout");
_Static_assert(sizeof(struct pager_seat) == OS_PAGE, "layout");

struct pager_shared {
	struct pager_header header;
	uint8_t pad_88[4096 - 88];
	struct pager_cursors cursors;
	uint8_t pad_4288[8192 - 4288];
	struct pager_member members[STOA_PAGER_MEMBERS];
	struct pager_seat seats[STOA_PAGER_MEMBERS];
};
_Static_assert(offsetof(struct pager_shared, cursors) == 4096, "layout");
_Static_assert(offsetof(struct pager_shared, members) == 8192, "layout");
_Static_assert(offsetof(struct pager_shared, seats) == 12288, "layout");
_Static_assert(sizeof(struct pager_shared) == 12288 + 64 * 4096, "layout");

/* What is on the board, with a member's remote. */
struct pager_note {
	uint64_t serial;
	uint64_t base;
	uint64_t place;
	uint64_t flags;
};

/* ---- words ---- */

enum pager_state {
	BLOCK_EMPTY,
	BLOCK_CLEAN,
	BLOCK_DIRTY,
	BLOCK_POISONED,
	BLOCK_FILLING,
	BLOCK_OPENING,
	BLOCK_CLEANING,
	BLOCK_EVICTING,
	BLOCK_LEFT,
	BLOCK_CHOOSING,
	BLOCK_PUTTING,
	BLOCK_STATES,
};

#define WORD_HOLDER ROSTER_SHORT_MASK
#define WORD_WAITERS (UINT64_C(1) << 31)
#define WORD_STATE_SHIFT 32
#define WORD_STATE (UINT64_C(15) << WORD_STATE_SHIFT)
#define WORD_HEAT_SHIFT 36
#define WORD_HEAT (UINT64_C(3) << WORD_HEAT_SHIFT)
#define WORD_AGED (UINT64_C(1) << 38)
#define WORD_LAP_SHIFT 40
#define WORD_LAP (UINT64_C(15) << WORD_LAP_SHIFT)
#define WORD_ERROR_SHIFT 44
#define WORD_ERROR (UINT64_C(127) << WORD_ERROR_SHIFT)
#define WORD_VERSION_SHIFT 52
#define WORD_VERSION_UNIT (UINT64_C(1) << WORD_VERSION_SHIFT)

static inline enum pager_state word_state(uint64_t word)
{
	return (enum pager_state)(word >> WORD_STATE_SHIFT & 15);
}

static inline bool word_is_busy(uint64_t word)
{
	return word & WORD_HOLDER;
}

static inline bool word_is_there(uint64_t word)
{
	return !word_is_busy(word) && (word_state(word) == BLOCK_CLEAN || word_state(word) == BLOCK_DIRTY);
}

/* The next word: another state, and holder (0: nobody); who sleeps is woken by whoever lets go. */
static inline uint64_t word_next(uint64_t word, enum pager_state state, uint64_t holder)
{
	uint64_t kept = word & ~(WORD_HOLDER | WORD_STATE | (holder ? 0 : WORD_WAITERS));

	return (kept + WORD_VERSION_UNIT) | (uint64_t)state << WORD_STATE_SHIFT | (holder & WORD_HOLDER);
}

/* ---- frames ---- */

#define FRAME_BLOCK ((UINT64_C(1) << 40) - 1)
#define FRAME_LINKED (UINT64_C(1) << 40)
#define FRAME_SEQUENCE_UNIT (UINT64_C(1) << 41)

static inline uint64_t frame_next(uint64_t frame, uint64_t block_plus_1)
{
	return ((frame & ~FRAME_BLOCK) + FRAME_SEQUENCE_UNIT) | block_plus_1;
}

/* ---- where everything is ---- */

struct pager_plan {
	uint64_t blocks;
	uint64_t frames, links, words; /* offsets in the control segment's data */
	uint64_t committed;            /* from the begin on: all but the words */
	uint64_t reserve;
};

/* Lay out what the header says. EINVAL: it says what cannot be. */
int pager_plan(const struct pager_header *header, struct pager_plan *ret_plan);

#endif
