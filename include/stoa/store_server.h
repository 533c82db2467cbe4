/* SPDX-License-Identifier: MIT */
/*
 * Servers of object stores, which hold the memory that clients (stoa/store.h) make objects in: run by stoad(8), or by any program. One thread does all the work,
 * that which calls stoa_server_run(); other functions than those that say so are for one thread at a time. Not for forked children.
 */
#ifndef STOA_STORE_SERVER_H
#define STOA_STORE_SERVER_H

#include <stoa/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Run a server in this process until stoa_server_stop(), or for ever: what stoad does. */
struct stoa_server;
struct stoa_server_options {      /* all zero is the default */
	const char *socket;       /* path; NULL: none, only for this program's own handles */
	uint64_t limit;           /* bytes of memory, everything included; 0: half of the machine's */
	uint64_t client_limit;    /* of one client; 0: the limit */
	uint64_t user_limit;      /* of all clients of one user, with what their connections take; 0: the limit */
	uint32_t objects;         /* at most; 0 is 1048575 */
	uint32_t clients;         /* at most; 0 is 256 */
	uint32_t flags;           /* STOA_SERVER_* */
	uint32_t socket_mode;     /* of the socket; 0 is 0600 */
	const char *spill_folder; /* where objects go that memory has no room for; NULL: nowhere */
	uint64_t spill_limit;     /* bytes of files there; 0: ten times `limit` */
	/* What people should know, as the loss of an object, in a sentence; called in the server's thread. NULL: nobody is told. */
	void (*tell)(const char *sentence, void *argument);
	void *tell_argument;
	int32_t descriptor; /* STOA_SERVER_ADOPT: a socket that a service manager has made and listens; the server's once that has started */
	/* Of one user who is neither root nor the server's own: at most so many clients, and pieces of memory (a SEALED object, an allocation, and
	 * what a client writes, and copies have, for one kind of readers, take one each); else ELIMIT. */
	uint32_t user_clients; /* 0: three quarters of `clients` */
	uint32_t user_pieces;  /* 0: half of what the server has descriptors for */
	uint32_t reserved;
	const struct stoa_keeper *
		keeper; /* STOA_SERVER_HELD: it keeps the memory; there until close. NULL: a process of the library's */
};
#define STOA_SERVER_HELD \
	(1u << 0) /* memory outlives the server, in a process of its own or a keeper's hands, for its successor */
#define STOA_SERVER_EVICT \
	(1u << 2) /* a cache: objects that nobody holds make room for new ones, the least recently used first */
#define STOA_SERVER_ADOPT (1u << 1) /* listen with `descriptor`; `socket` then only says where memory is held */
STOA_API int stoa_server_start(const struct stoa_server_options *options, struct stoa_server **ret_server);
STOA_API int stoa_server_run(struct stoa_server *server);   /* in the calling thread; 0 after stop */
STOA_API void stoa_server_stop(struct stoa_server *server); /* from any thread, or a signal handler */
STOA_API void stoa_server_leave(
	struct stoa_server *server); /* the same; but what is held stays, with all clients, for the next server */
STOA_API int stoa_server_stat(const struct stoa_server *server, struct stoa_store_stat *ret_stat); /* from any thread */
STOA_API void stoa_server_close(struct stoa_server *server);

#ifdef __cplusplus
}
#endif
#endif
