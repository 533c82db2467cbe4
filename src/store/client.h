/* SPDX-License-Identifier: MIT */
/*
 * A process's connection to a store, between the files of the client's side:
 *   client.c  connecting, arenas     call.c  requests and their completions     get.c, get_many.c, put.c  what users call
 *   subscribe.c  connections that only listen
 */
#ifndef STORE_CLIENT_H
#define STORE_CLIENT_H

#include <base/atomic.h>
#include <os/os.h>
#include <stoa/store.h>
#include <store/directory.h>
#include <store/layout.h>
#include <store/lease.h>
#include <store/message.h>

#define CALL_DONE 1u  /* `completion` is there */
#define CALL_TAKEN 2u /* and who waited has seen it: of several that are waited for */

/* A request under way. It lies on the stack of who waits for it. */
struct client_call {
	struct store_completion completion;
	uint64_t serial;
	_Atomic uint32_t done; /* CALL_* */
};

/* Who gets the completion of a serial. */
struct client_slot {
	uint64_t serial;          /* 0: the slot is free */
	struct client_call *call; /* NULL: nobody */
	uint64_t of;              /* of a CANCEL: the serial that gets none any more when this has been completed */
};

/* An arena as this process has it. */
struct client_arena {
	_Atomic uint64_t generation; /* of what `address` is a map of; 0: of nothing. Written last */
	unsigned char *_Atomic address;
	uint64_t size;
	uint32_t holds; /* of one that holds a single object: it is mapped only while this is not 0 */
	bool writable;
};
#define CLIENT_ARENA_CHUNK 256u

struct stoa_store {
	/* What a get reads; constant. */
	struct directory directory;
	struct leases leases;
	struct client_arena *_Atomic *chunks; /* of CLIENT_ARENA_CHUNK arenas each, made when first needed */
	uint64_t forks;

	struct store_session *session;
	unsigned char *ring;
	uint64_t ring_size;
	uint64_t leases_length;
	os_handle socket, bell, client_bell;
	bool embedded;
	char *where; /* for another connection; absolute, or "embedded:" */

	/* Asking. */
	struct os_lock asking; /* the rest of this part */
	uint64_t tail, serial; /* the last serial given */
	struct client_slot slots[SESSION_COMPLETIONS];
	struct store_request
		debts[SESSION_COMPLETIONS]; /* what client_tell() found no room for: a head each, without id */
	uint32_t debt_count;
	_Atomic uint32_t parked; /* of the slots, those of gets of several that wait */

	/* Being told. One thread at a time looks for completions; the others wait for theirs, or for its place. */
	struct os_lock telling; /* `seen`, and who takes completions */
	uint64_t seen;
	_Atomic uint32_t leader;    /* 1: somebody looks */
	_Atomic uint32_t followers; /* who sleep meanwhile */
	_Atomic uint32_t turn;      /* counts leaders that left */

	struct os_lock mapping;   /* arenas, and the socket */
	_Atomic uint32_t hearing; /* 1: who takes the next message of the socket's */
	uint64_t questions;       /* for reports, so far */
	struct stoa_store *next;  /* of this process's */
};

/* -STOA_ECLOSED in a forked child. */
int client_usable(const struct stoa_store *store);

/* What follows a request's head. */
struct client_bytes {
	const void *id;
	const void *meta;
	const void *data;
	uint64_t data_length;
};

/*
 * Ask: `request` needs no length and serial. Waits for room in the ring until `deadline`. STOA_TIMED_OUT, ECLOSED; then nothing was asked. `call` may be NULL: what
 * comes of it is of no interest. The server is not told yet.
 */
int client_ask(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
	       struct client_call *call, uint64_t deadline);

/* Tell the server that there is something to do, once, after one or several asked. */
void client_ring(struct stoa_store *store);

/*
 * Wait for it. Returns its result; STOA_TIMED_OUT or -STOA_ECLOSED when nothing is known of it: then it is cancelled, and what it still
 * makes is dropped. With `server` not 0, STOA_EXISTED: that is no longer the server, and who has come since knows nothing of requests that wait.
 */
int client_wait(struct stoa_store *store, struct client_call *call, uint64_t server, uint64_t deadline);

/*
 * Wait until one of several that were asked for is there: then client_taken() of it is true, once. The others go on. STOA_TIMED_OUT; STOA_EXISTED, as above;
 * -STOA_ECLOSED. Before the calls go out of sight each is taken, or forgotten: what it still makes is dropped.
 */
int client_wait_any(struct stoa_store *store, struct client_call *calls, uint32_t count, uint64_t server,
		    uint64_t deadline);
bool client_taken(struct client_call *call);
void client_forget(struct stoa_store *store, struct client_call *call);

/*
 * Say something that needs no answer, and has no id: CANCEL, ABORT. Waits for nobody: where there is no room, as the server does not run, it is
 * said with what is asked for next.
 */
void client_tell(struct stoa_store *store, const struct store_request *request);

/* Ask, if that can be done now, and do not wait for an answer. */
void client_begin(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes);

/* Ask and wait. */
int client_call(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
		struct store_completion *ret_completion, uint64_t deadline);

/* The same with a request that the server completes when it is time: look again then. It may be sooner, as another server knows nothing of it. */
int client_await(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
		 uint64_t deadline);

/*
 * The address of an arena, as it is now, mapped if it was not, and its size. One that holds a single object is mapped until it has been released as often.
 * -STOA_EACCES, ENOENT (there is none any more), ECLOSED, ENOMEM, ELIMIT; STOA_TIMED_OUT: no server answers.
 */
int client_arena(struct stoa_store *store, uint32_t arena, bool one_object, unsigned char **ret_address,
		 uint64_t *ret_size);
/* A descriptor of an arena as it is now, for the caller. Errors as client_arena(). */
int client_fetch(struct stoa_store *store, uint32_t arena, os_handle *ret_memory, bool *ret_writable);
void client_arena_release(struct stoa_store *store, uint32_t arena);

/*
 * Ask for a report: `question` says which. *ret_report has at most `most` records of `each` bytes. STOA_TIMED_OUT: no server answers. What the server answers: -STOA_ENOENT, EACCES.
 */
int client_report(struct stoa_store *store, struct store_message *question, uint64_t each, uint32_t most,
		  struct store_report *ret_report);

/* Hold an object that is in one of two states: SEALED, and another one or SEALED, too. As get, without waiting. CLIENT_SPILLED: it is in a file. */
#define CLIENT_SPILLED 2
bool client_is_spilled(const struct stoa_store *store, const void *id, uint32_t id_length);
int client_hold(struct stoa_store *store, const void *id, uint32_t id_length, enum store_state other,
		struct stoa_object *ret_object);

/* What that gave, with the id in the sentence: where the id is not found it had said nothing. */
int client_refuse_hold(int rc, const void *id, uint32_t id_length);

/* Go on where that gave `rc`: wait for it until `deadline`. */
int client_hold_later(struct stoa_store *store, int rc, const void *id, uint32_t id_length, uint64_t deadline,
		      enum store_state other, struct stoa_object *ret_object);

/* Find what is sealed. -STOA_ENOENT; -STOA_EBUSY: the server died in the middle of a change, and no other comes. */
int client_find(struct stoa_store *store, const void *id, uint32_t id_length, uint32_t *ret_entry, uint64_t *ret_state);

/* client_call(), again when there may be room for it, until `deadline`. */
int client_ask_for_room(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
			uint64_t deadline, struct store_completion *ret_completion);
/* Sleep for so many milliseconds, or until the deadline. */
void client_nap(unsigned milliseconds, uint64_t deadline);

/* The socket has a message, and nobody may be waiting for it: then it is dropped. */
void client_discard(struct stoa_store *store);

/* The tail of a new draft. */
void follow_begin(void *tail);

/* Until when to wait for a server, where the caller has no deadline for that. */
uint64_t client_patience(uint64_t deadline);

/* -STOA_EINVAL: not an id. */
int client_check_id(const void *id, uint32_t id_length);

/* The error of a request about an object, with its id in the sentence. Returns `rc`. */
int client_refuse(int rc, const void *id, uint32_t id_length);
/* The same, behind which the sentence stands that was said last: of client_call() and client_wait(), which say one of each error. */
int client_refuse_told(int rc, const void *id, uint32_t id_length);

#endif
