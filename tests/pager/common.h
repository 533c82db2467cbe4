/* SPDX-License-Identifier: MIT */
/*
 * What the tests of pagers share: a backing whose bytes lie in memory that all roles have (test_shared()), so that what was written back can be
 * looked at, and a pager handed from role to role over a pair of sockets.
 */
#ifndef PAGER_COMMON_H
#define PAGER_COMMON_H

#include <base/atomic.h>
#include <harness/test.h>
#include <stoa/stoa.h>

/* Lies in test_shared() memory, the bytes behind it. */
struct store {
	uint64_t size;
	_Atomic uint64_t fills, writes, flushes; /* calls */
	_Atomic int fail_fill, fail_write;       /* results, if not 0, */
	_Atomic uint64_t fail_from, fail_end;    /* of what lies there */
	_Atomic uint32_t delay;                  /* microseconds of each call */
	_Atomic uint32_t hangs;                  /* calls for what lies there do not return until it is 0 */
	uint8_t pad_64[4096 - 64];
	unsigned char bytes[];
};
_Static_assert(offsetof(struct store, bytes) == 4096, "what lies there may be of any type");

struct store *store_make(uint64_t size);
struct stoa_backing *store_backing(struct store *store);

/* A pager on it, in this process; and in another one, which has received it. */
struct stoa_pager *pager_make(struct stoa_backing *backing, const struct stoa_pager_options *options);
bool pager_is_shared(void); /* this system has pagers of several processes */
void pager_sockets(int sockets[2]);
void pager_sockets_close(int sockets[2]);
void pager_pass(int sockets[2], struct stoa_pager *pager);
struct stoa_pager *pager_take(int sockets[2], struct stoa_backing *backing);

#endif
