/* SPDX-License-Identifier: MIT */
/* A client that speaks the protocol itself, as an enemy does. */
#ifndef TESTS_STORE_RAW_H
#define TESTS_STORE_RAW_H

#include <store/kit.h>

#include <store/layout.h>

struct raw {
	os_handle socket, passed[5];
	struct store_header *directory; /* read-only */
	struct store_session *session;
	unsigned char *ring;
	struct store_leases *leases;
	uint64_t directory_length, session_length, leases_length;
	uint64_t tail, serial, seen;
};

/* 0, or the server's refusal, or what the system says. */
int raw_open(const struct kit *kit, uint32_t lines, struct raw *ret_raw);
void raw_close(struct raw *raw);

/* Put a request into the ring: head (length, lengths of parts and serial are filled in), id, and `size` bytes. The server is told. */
void raw_ask(struct raw *raw, struct store_request head, const void *id, const void *data, uint32_t size);
/* Wait for the next completion. false: the session has been ended. */
bool raw_answer(struct raw *raw, struct store_completion *ret);
/* Both. -STOA_ECLOSED: the session has been ended. */
int raw_call(struct raw *raw, struct store_request head, const void *id, const void *data, uint32_t size,
	     struct store_completion *ret);

/* A descriptor of an arena. */
int raw_arena(struct raw *raw, uint32_t arena, os_handle *ret_memory);

/* Has the server sent it away? */
bool raw_ended(const struct raw *raw);

#endif
