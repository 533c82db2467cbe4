/* SPDX-License-Identifier: MIT */
/*
 * What a server that comes after a dead one must know beside the directory: how far each client's requests have been done, and which one
 * was being done. Memory that only servers map; it is held over the server's death (holder.h), as are the memory objects and sockets it speaks of.
 *
 *   0          64               128                 + 128 each
 *   +----------+----------------+-------------------+
 *   | header   | current        | sessions, by      |
 *   | (const.) |                | number            |
 *   +----------+----------------+-------------------+
 *
 * A request is done in this order: `current` says which one, and which entry it changes, from which state; the change, which is one store to the
 * entry's state; its completion; the session's `completed`, `serial`, `head`.
 *
 *   killed                          the successor
 *   before the change               does it (it is still at `head`)
 *   after it, before `serial`       finds that the entry's state is no longer `state`, or an entry that this very request made; completes it
 *                                   (and first gives what was sealed the place of what it replaces, if that was not done)
 *   after `serial`, before `head`   finds a serial that is done, and goes on behind it
 * The client is shown completions after that, several at a time; what it had not been shown it is by the successor, which goes by the journal's count.
 * So each request is done once. A completion may be told twice, which the client ignores. Requests that wait are asked again by the client,
 * when it sees another server in the directory's header.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <base/atomic.h>
#include <base/cc.h>
#include <base/mutant.h>
#include <os/os.h>

#include <stddef.h>

/* How far a subscription is: replaced as a whole, by journal_session.which. */
struct journal_told {
	_Atomic uint64_t told, lost;
	_Atomic uint64_t event;  /* the last change that it was told, or lost */
	_Atomic uint32_t listed; /* entries before this one it has been told of */
	uint8_t pad_28[4];
};
_Static_assert(sizeof(struct journal_told) == 32, "layout");

struct journal_session {
	_Atomic uint64_t key; /* of the session; 0: none. Written last, and first when it ends */
	_Atomic uint64_t head, completed, serial;
	uint64_t ring_size;
	uint32_t lines;
	_Atomic uint32_t welcomed;   /* 1: the client has been told that it is one */
	_Atomic uint32_t subscribed; /* 1: it is a subscription, or about to become one, with its first request */
	_Atomic uint32_t which;      /* 0, 1: of the following */
	uint8_t pad_56[8];
	struct journal_told told[2];
};
_Static_assert(offsetof(struct journal_session, head) == 8, "layout");
_Static_assert(offsetof(struct journal_session, ring_size) == 32, "layout");
_Static_assert(offsetof(struct journal_session, welcomed) == 44, "layout");
_Static_assert(offsetof(struct journal_session, told) == 64, "layout");
_Static_assert(sizeof(struct journal_session) == 128, "layout");

struct journal {
	uint8_t magic[8];
	uint64_t layout;
	uint32_t sessions;
	uint32_t unused_20;
	_Atomic uint64_t keys; /* the last session's */
	uint8_t pad_32[32];
	/* The request that is being done. */
	_Atomic uint64_t key; /* of its session; 0: none */
	_Atomic uint64_t serial;
	_Atomic uint64_t entry; /* that it changes; 0: it makes one */
	_Atomic uint64_t state; /* from this state */
	/* A change of which subscriptions are to be told. */
	_Atomic uint64_t event;    /* counts them */
	_Atomic uint64_t event_of; /* {what : 16 | entry that it replaces : 24 | entry : 24}; 0: all have been told */
	_Atomic uint64_t event_state; /* the entry's, before */
	uint8_t pad_120[8];
	struct journal_session session[1]; /* `sessions` of them */
};
_Static_assert(offsetof(struct journal, keys) == 24, "layout");
_Static_assert(offsetof(struct journal, key) == 64, "layout");
_Static_assert(offsetof(struct journal, event_of) == 104, "layout");
_Static_assert(offsetof(struct journal, session) == 128, "layout");

static inline uint64_t journal_length(uint32_t sessions)
{
	uint64_t bytes = offsetof(struct journal, session) + (uint64_t)sessions * sizeof(struct journal_session);

	return (bytes + OS_PAGE - 1) & ~(OS_PAGE - 1);
}

void journal_begin(struct journal *journal, uint32_t sessions);

/* Is that a journal, of `length` bytes and this layout? -STOA_EFORMAT, EVERSION. */
int journal_check(const struct journal *journal, uint64_t length);

/* A request begins; the change that it is about to make; it has been done, and the session is at `head` then. */
static inline void journal_request(struct journal *journal, uint64_t key, uint64_t serial)
{
	store_rlx(&journal->key, 0);
	cc_compiler_barrier();
	store_rlx(&journal->entry, 0);
	store_rlx(&journal->serial, serial);
	cc_compiler_barrier();
	store_rlx(&journal->key, key);
	cc_compiler_barrier();
}

static inline void journal_change(struct journal *journal, uint32_t entry, uint64_t state)
{
	if (MUTANT(CHANGES_UNNOTED))
		return;
	store_rlx(&journal->state, state);
	cc_compiler_barrier();
	store_rlx(&journal->entry, entry);
	cc_compiler_barrier();
}

static inline void journal_done(struct journal_session *session, uint64_t serial, uint64_t head)
{
	cc_compiler_barrier();
	store_rlx(&session->serial, serial);
	cc_compiler_barrier();
	store_rlx(&session->head, head);
}

#endif
