/* SPDX-License-Identifier: MIT */
/*
 * The roster: which threads take part in a segment, and which of them are alive. Locks, claims and leases all name their
 * holder as {slot, generation} and ask here whether it still runs.
 *
 * A thread enrols when it first locks or claims something in a segment. Its slot is a page of the segment's memory object (see
 * segment/segment.h), which no other thread writes while it lives, but for the flag that others wait for its end:
 *
 *   0        8                                264                4032    4036     4072                  4080  4096
 *   +--------+--------------------------------+------------------+-------+--------+---------------------+-----+
 *   | claim  | claims[32]: offsets of objects | unused           | relay | unused | life | generation   |     |
 *   | state  | claimed by an unfinished wait  |                  |       |        | (one 64-bit word)   |     |
 *   +--------+--------------------------------+------------------+-------+--------+---------------------+-----+
 *
 *   field        written by                         a crash between two stores leaves
 *   claims[i]    owner, before the claim's CAS      an offset without a claim: harmless
 *   claim_state  owner                              the decision on all claims of this generation: given back or taken
 *   relay        nobody (page 1 only)               always 0; sleepers and setters are covered by it
 *   life         owner's CAS; the kernel; WAITERS by anybody      see os/linux/life.c
 *
 * Whoever meets a claim of a dead holder finishes it; the next owner of the slot finishes all of them before it enters.
 */
#ifndef ROSTER_ROSTER_H
#define ROSTER_ROSTER_H

#include <base/atomic.h>
#include <base/cc.h>
#include <os/os.h>
#include <segment/segment.h>

/* One holder, in 64 bits: generation << 32 | generation's low 16 bits << 14 | slot. Bits 30 and 31 are zero. */
#define ROSTER_SLOT_MASK UINT64_C(0x3fff)
#define ROSTER_SHORT_MASK UINT64_C(0x3fffffff) /* low half: enough to name a holder in a claim */
#define ROSTER_GENERATION16_SHIFT 14

#define ROSTER_CLAIMS_MAX 32

/* roster_page.claim_state: generation << 32 | one of */
#define ROSTER_CLAIMS_NONE 0u
#define ROSTER_CLAIMS_OPEN 1u      /* claims are being made: give them back */
#define ROSTER_CLAIMS_COMMITTED 2u /* all were made: finish taking them */

struct roster_page {
	_Atomic uint64_t claim_state;
	_Atomic uint64_t claims[ROSTER_CLAIMS_MAX]; /* offset in the data + 1; 0 is none */
	uint8_t unused_264[4032 - 264];
	_Atomic uint32_t relay;
	uint8_t unused_4036[OS_LIFE_OFFSET - 4036];
	_Atomic uint64_t life;
	uint8_t unused_4080[16];
};
_Static_assert(sizeof(struct roster_page) == 4096, "a roster page is one page");
_Static_assert(offsetof(struct roster_page, claim_state) == 0, "layout");
_Static_assert(offsetof(struct roster_page, claims) == 8, "layout");
_Static_assert(offsetof(struct roster_page, relay) == 4032, "layout");
_Static_assert(offsetof(struct roster_page, life) == OS_LIFE_OFFSET, "layout");

/* One per memory object and process, shared by the handles on it; another one for those that only read, which look but do not enrol. */
struct roster;

/* The calling thread's latest membership: what the fast path of a lock looks at. */
struct roster_hot {
	const struct roster *roster;
	struct os_life *life;
};
extern CC_THREAD struct roster_hot roster_hot;

/* Slow half of roster_self(): enrol the calling thread, or find its membership. ELIMIT, ENOMEM, ENOTSUP, ERIGHTS. */
int roster_enrol(struct stoa_segment *segment, uint64_t *ret_identity);

/* The calling thread's identity if it takes part already, else 0; it is not enrolled. Errors as roster_attach(). */
int roster_find(struct stoa_segment *segment, uint64_t *ret_identity);

/* What the calling thread writes into lock words of this segment; 0 when roster_enrol() must be asked. */
static inline uint64_t roster_self(struct stoa_segment *segment)
{
	const struct roster *roster = load_rlx(&segment->roster); /* compared, not followed */

	if (CC_LIKELY(roster != NULL && roster_hot.roster == roster))
		return load_rlx(&roster_hot.life->identity);
	return 0;
}

/* Map the roster of a segment, without taking part. ENOTSUP for raw segments; EFORMAT, ENOMEM, ELIMIT. */
int roster_attach(struct stoa_segment *segment, struct roster **ret_roster);

/* The segment's relay word, see ARCHITECTURE.md. */
const _Atomic uint32_t *roster_relay(const struct roster *roster);

/* A holder as seen at one moment. */
struct roster_sight {
	_Atomic uint64_t *life;
	uint64_t seen; /* the life word */
	bool writable; /* through this map */
};

/*
 * Look at the holder that `identity` names; only its low half is compared when `is_short`. 1 alive, 0 dead. EFORMAT when the
 * slot does not exist, ENOMEM, ELIMIT when its page cannot be backed.
 */
int roster_look(struct stoa_segment *segment, uint64_t identity, bool is_short, struct roster_sight *ret_sight);

/*
 * Set the flag that makes the holder's end wake those who sleep on its life word. false: it changed, look again; or this process may
 * not write there, and the holder has not set the flag itself.
 */
bool roster_flag_waiters(struct roster_sight *sight);

/* The shared page of a slot that roster_look() or roster_enrol() has shown to exist. */
struct roster_page *roster_page(const struct roster *roster, uint32_t slot);

/*
 * Finishes the claims of a slot's dead owner, before the slot is taken again. Claims are the sync layer's, which defines this
 * (the roster must not call upwards by name).
 */
extern void (*const roster_finish_claims)(struct stoa_segment *segment, struct roster_page *page, uint64_t identity);

#endif
