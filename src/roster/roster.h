/* SPDX-License-Identifier: MIT */
/*
 * The roster: which threads take part in a segment, and which of them are alive. Locks, claims and leases all name their
 * holder as {slot, generation} and ask here whether it still runs.
 *
 * A thread enrols when it first locks or claims something in a segment. Its slot is a page in the segment (see
 * segment/segment.h): a life word at the end that only its own end turns dead, and the log of its unfinished claims.
 */
#ifndef ROSTER_ROSTER_H
#define ROSTER_ROSTER_H

#include <base/cc.h>
#include <os/os.h>
#include <segment/segment.h>
#include <stdatomic.h>

/* One holder, in 64 bits: generation << 32 | tag | generation's low 16 bits << 14 | slot. The low half alone is a futex. */
#define ROSTER_SLOT_BITS 14
#define ROSTER_SLOT_MASK UINT64_C(0x3fff)
#define ROSTER_GENERATION16_SHIFT 14

static inline uint32_t roster_slot(uint64_t identity)
{
	return (uint32_t)(identity & ROSTER_SLOT_MASK);
}

/* The shared roster page. `claims` is written by its owner, and cleared by whoever repairs after its death. */
#define ROSTER_CLAIMS_MAX 32
struct roster_page {
	_Atomic uint64_t claim_state;			/* 0 @0: none, logging, committed; see sync/wait_all.c */
	_Atomic uint64_t claims[ROSTER_CLAIMS_MAX];	/* 8: offset of the object in the data; 0 is none */
	uint8_t unused[OS_LIFE_OFFSET - 8 - 8 * ROSTER_CLAIMS_MAX];
	_Atomic uint64_t life;				/* 4072: generation << 32 | life flags | thread id */
	uint8_t rest[16];
};
_Static_assert(sizeof(struct roster_page) == 4096, "a roster page is one page");
_Static_assert(offsetof(struct roster_page, claims) == 8, "layout");
_Static_assert(offsetof(struct roster_page, life) == OS_LIFE_OFFSET, "layout");

#endif
