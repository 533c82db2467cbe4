/* SPDX-License-Identifier: MIT */
/*
 * Safeguards that a build for tests (STOA_MUTANTS) can take out: the tests of death must fail then, or they prove nothing. Mostly
 * one at a time; two where each repairs the other's loss. And what a system may lack, without which all must work, if slower. In
 * every other build MUTANT() is 0 and leaves no trace. Uses nothing.
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H

#include <stdint.h>

enum mutant {
	MUTANT_DEAD_OWNERS_LIVE,    /* who is dead is taken for alive */
	MUTANT_NO_WAITERS_FLAG,     /* sleepers do not tell the owner's life word that they are there */
	MUTANT_NO_PENDING_AT_ENROL, /* between naming a thread in its life word and linking it, nothing covers the word */
	MUTANT_UNLINKED, /* life words are not put into the robust list; nobody asks for the mutexes that stand for them */
	MUTANT_NO_WAKE_COVER,       /* setters and sleepers may take a wake-up to the grave */
	MUTANT_NO_RELAY_SLEEP,      /* sleepers do not sleep on the relay word */
	MUTANT_NO_RECHECK,          /* nobody looks again where no relay covers deaths */
	MUTANT_NO_GENERATION_SLEEP, /* sleepers tell a slot's owners by their thread ids only */
	MUTANT_WAKE_ONE,            /* one sleeper is woken where all should look again */
	MUTANT_DEATH_NOT_TOLD,      /* a dead owner's lock is handed on as if it had been unlocked */
	MUTANT_OFFSET_UNCHECKED,    /* an offset from shared memory is believed */
	MUTANT_CLAIMS_STAY,         /* claims of the dead are not resolved */
	MUTANT_CLAIMS_GIVEN_BACK,   /* they are given back also when all was decided */
	MUTANT_NAME_BEFORE_CONTENT, /* a segment gets its name before it is complete */
	MUTANT_ORPHANS_OPEN,        /* a transient segment without users can still be opened */
	MUTANT_ORPHANS_STAY,        /* nobody removes the names of the dead */
	MUTANT_RECORD_NOT_ENDED,    /* the word behind a record is not zeroed before that is published */
	MUTANT_HOLDS_SEEN_ONCE,     /* a floor is raised without a second look at the holds */
	MUTANT_TAKEN_UNHELD,        /* what is taken of a shared queue is not held before */
	MUTANT_TAIL_BELIEVED,       /* a sender goes on at the tail, whatever is published behind it */
	MUTANT_PEERS_UNWATCHED,     /* who waits for a message does not sleep on the lives of those who send */
	MUTANT_JOINED_UNTOLD,       /* who joins wakes nobody, so that nobody sleeps on its life */
	MUTANT_WRITERS_GO_ON,       /* blocks are written back while others may write them */
	MUTANT_DEAD_CLEANED,        /* what a dead process was just writing back counts as written */
	MUTANT_OPENED_UNCLAIMED,    /* a block is opened for writing without its being held */
	MUTANT_DAWDLE,              /* nothing is left out, but those who change a block's word are slow now and then */
	MUTANT_LOG_UNSYNCED,        /* bytes go in place before their entry in the log is durable */
	MUTANT_LOG_REUSED,          /* the log is used again before what it holds is durable in place */
	MUTANT_LOG_ENDED_EARLY,     /* recovery ends the log before what it did is durable */
	MUTANT_INDEX_FIRST,         /* an index names frames that are not durable yet */
	MUTANT_SPACE_REUSED,        /* the place of an old frame is used again while an index may name it */
	MUTANT_ENTRY_STATE_FIRST,   /* an entry has its state before it is complete */
	MUTANT_PLACE_TAKEN_FIRST,   /* a place is taken away from one object of an id before the next one has it */
	MUTANT_PASSED_BELIEVED,     /* who takes over a directory does not count the passed ids again */
	MUTANT_LEASE_UNCHECKED,     /* an object is held without a second look at its state */
	MUTANT_LEASES_UNFENCED,     /* leases are looked at without a barrier after the state was changed */
	MUTANT_CHANGES_UNNOTED,     /* a server does not note which entry it is about to change */
	MUTANT_DONE_AGAIN,          /* a successor does what was asked for, whether it has been done or not */
	MUTANT_DONE_OVERWRITTEN,    /* it notes that it begins, before it has looked whether that was done */
	MUTANT_DONE_BEFORE_TOLD,    /* a request counts as done before its client can know */
	MUTANT_LEFT_DROPPED,        /* what was sealed, and has not the place that it is to have, is dropped */
	MUTANT_WELCOME_ONCE,        /* a successor does not welcome who may not have heard it */
	MUTANT_DRAFTS_STAY,         /* what a client that has gone was making stays */
	MUTANT_REGIONS_STAY,        /* memory that a client had goes on without it */
	MUTANT_ARENAS_UNKEPT,       /* objects lie in memory that nobody keeps for a successor */
	MUTANT_SESSIONS_UNKEPT,     /* clients are welcomed that a successor does not know of */
	MUTANT_HOLDER_BLANK,        /* a new holder gets nothing of what the dead one had */
	/* Lacking, not wrong: */
	MUTANT_NO_RELAY,    /* the system is not known to pass on the wake-ups of the dying */
	MUTANT_WAIT_ON_ONE, /* threads can sleep on one word only */
	MUTANT_NO_LOOKS,    /* who waits for a store's server sleeps at once */
	MUTANT_NO_LIMITS,   /* limits of memory are not looked at: when they are depends on the time */
};

#ifdef STOA_MUTANTS
extern uint64_t mutants_chosen; /* defined, and set before the library is used, by the test program */
#define MUTANT_BIT(mutant) (UINT64_C(1) << (mutant))
#define MUTANT(name) ((mutants_chosen & MUTANT_BIT(MUTANT_##name)) != 0)
#else
#define MUTANT(name) 0
#endif

#endif
