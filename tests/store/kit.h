/* SPDX-License-Identifier: MIT */
/*
 * A store's server in a role of its own, whose books can be looked at while it stands still, and objects that tell whether they are whole: each begins
 * with a hash of its id and of all the bytes that follow.
 */
#ifndef TESTS_STORE_KIT_H
#define TESTS_STORE_KIT_H

#include <harness/test.h>

#include <base/atomic.h>
#include <stoa/stoa.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define SECOND UINT64_C(1000000000)

/* In test_shared(). */
struct kit {
	char path[100];
	struct stoa_server_options options;
	unsigned handles;          /* the server may have open; 0: as many as the test */
	pid_t server;              /* the role */
	_Atomic uint32_t ready;    /* it listens */
	_Atomic uint32_t looked;   /* how often its books were looked at */
	_Atomic uint64_t left;     /* bytes that the last look found committed */
	_Atomic uint32_t drafts;   /* and how many were being made */
	_Atomic uint32_t words[8]; /* the test's */
};

/* With root's rights gone, if there were any: then it is another user than the server. */
bool kit_become_another(void);

/* Start a server. `options` may be NULL; the socket is the kit's. */
struct kit *kit_start(const struct stoa_server_options *options);
/* A server where a test has stopped one, or killed it. */
void kit_serve(struct kit *kit);
/* Have it look at its books; it fails the test if they are wrong. Returns the bytes that are committed. */
uint64_t kit_look(struct kit *kit);
/* The same; returns how many objects are being made. */
uint32_t kit_drafts(struct kit *kit);
/* Stop it, with a last look. */
void kit_stop(struct kit *kit);
/* Wait until it has so many clients. The store is one of them. */
void kit_await_clients(struct stoa_store *store, uint64_t clients);

/* Are a server's books right? It stands still. Fails the test. */
struct stoa_server;
void kit_check_books(struct stoa_server *server);

struct stoa_store *kit_open(const struct kit *kit);
uint64_t kit_later(uint64_t milliseconds);

/* Fill `bytes` (16 or more) as an object of that id. */
void kit_make(void *bytes, uint64_t size, const void *id, size_t id_length, uint64_t seed);
/* Is that what kit_make() made? */
bool kit_whole(const void *bytes, uint64_t size, const void *id, size_t id_length);

int kit_put(struct stoa_store *store, const char *id, uint64_t size, uint64_t seed,
	    const struct stoa_object_options *options);
/* Get, check, and release. */
int kit_get(struct stoa_store *store, const char *id, uint64_t deadline);
int kit_delete(struct stoa_store *store, const char *id);

#endif
