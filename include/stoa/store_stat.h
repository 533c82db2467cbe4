/* SPDX-License-Identifier: MIT */
/*
 * What is known of a store beside its objects: its clients, who has an object, figures for a monitor. The server is asked, as leases of others are
 * its to see; it answers between other things, so all this is of a moment ago.
 *
 * Threads: any may ask, and while a visit goes on, too. Not for signal handlers. Blocks until the server answers, about 10 s at most. Errors as in
 * stoa/store.h: beside those named EBUSY (it does not answer), ECLOSED, EFORMAT, ENOMEM.
 */
#ifndef STOA_STORE_STAT_H
#define STOA_STORE_STAT_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/manager.h>
#include <stoa/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_store_client {   /* a connection */
	uint64_t connection; /* another number for each that there ever was */
	uint64_t charged;    /* bytes of what it has made, as far as that is there */
	uint32_t process;    /* that has connected, as the server numbers it; 0: it has no number there */
	uint32_t user;
	uint32_t leases;      /* how often it has the object; of all clients: how many it has, as it says itself */
	uint32_t drafts;      /* objects that it is making */
	uint32_t allocations; /* that end with it: stoa_manager_alloc() */
	uint32_t waits;       /* requests that wait for an object, or for room */
	uint32_t flags;       /* STOA_CLIENT_* */
	uint32_t reserved;    /* 0 */
};
#define STOA_CLIENT_MAKER (1u << 0) /* it has made the object, or is making it */
#define STOA_CLIENT_SELF (1u << 1)  /* the connection that asks */
#define STOA_CLIENT_ELSEWHERE \
	(1u << 2) /* `process` is no number of this process's system of them (pid namespace), or that is not known */

/*
 * Call `visit` for each client that has the object `id`, in no order, or has made it and is still there, until it returns non-zero; that is then the result.
 * A client that has just got it, or let go of it, may be missing, or there. It tells processes and users of others to who may read the object, and to nobody
 * else: EACCES. An object that is being made is found only if it can be followed. ENOENT.
 */
STOA_API int stoa_store_holders(struct stoa_store *store, const void *id, uint32_t id_length,
				int (*visit)(const struct stoa_store_client *client, void *argument), void *argument);

/* The same of memory that was handed out: who has it open. */
STOA_API int stoa_manager_holders(struct stoa_store *manager, const struct stoa_allocation *allocation,
				  int (*visit)(const struct stoa_store_client *client, void *argument), void *argument);

/* The same of all clients. Those of other users are told only to the administrator, and to the server's own user. */
STOA_API int stoa_store_clients(struct stoa_store *store,
				int (*visit)(const struct stoa_store_client *client, void *argument), void *argument);

/*
 * Counters and gauges in Prometheus' text format (version 0.0.4), to a buffer of `room` bytes, with a 0 behind them; *ret_length, which may be NULL, is without that. They are the
 * same for all users: counts, no ids. Counters of the store go on with the next server; those of one server, as requests, begin anew. ERANGE: no room;
 * STOA_METRICS_ROOM is enough. server: from any thread of a program that runs one, but for the one that does; EBUSY: it does not run.
 */
#define STOA_METRICS_ROOM 32768u
STOA_API int stoa_store_metrics(struct stoa_store *store, char *ret_text, uint64_t room, uint64_t *ret_length);
STOA_API int stoa_server_metrics(struct stoa_server *server, char *ret_text, uint64_t room, uint64_t *ret_length);

#ifdef __cplusplus
}
#endif
#endif
