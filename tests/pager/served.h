/* SPDX-License-Identifier: MIT */
/*
 * What the tests of served pagers share: a store of blocks, each filled with its number, a pager on it in this process, others that receive it, and touches
 * whose signals are told. Uses common.h.
 */
#ifndef PAGER_SERVED_H
#define PAGER_SERVED_H

#include "common.h"

#include <os/trap.h>
#include <pager/pager.h>

#define PAGE 4096
#define BLOCKS 64

struct board { /* in all roles */
	int sockets[2];
	_Atomic uint32_t turn;
	_Atomic uint32_t hang;    /* 1: calls of hanging_backing() for `hanging` wait until it is not */
	_Atomic uint32_t hangs;   /* one does */
	_Atomic uint64_t hanging; /* a block */
	_Atomic uint64_t place;
};

extern struct board *board;
extern struct store *store;
extern struct stoa_backing *backing;
extern struct stoa_pager *pager;

void set_up(void); /* all but backing and pager */
void begin(struct stoa_backing *on, const struct stoa_pager_options *options);
void end(void); /* what began */
void end_all(void);
struct stoa_pager *join_as_client(void);

uint64_t expected(uint64_t block); /* in each word of it */
uint64_t stored(uint64_t block);   /* in the first one, in the store */
volatile uint64_t *word_of(const struct stoa_pager *of, uint64_t block);

/* Roles take turns. */
void tell(uint32_t turn);
void await(uint32_t turn);

/* 0, or the signal that it was. */
int touch(volatile uint64_t *word, bool write);

/* Fills of the block fail from now on. */
void fail_at(uint64_t block, int rc);

/* For a table of calls. */
int size_of_store(void *context, uint64_t *ret_size);

/* On the store, but it hangs where it is told to; and one that cannot write. */
struct stoa_backing *hanging_backing(void);
struct stoa_backing *reading_backing(void);
void hang_at(uint64_t block);
void await_hanging(void);

#endif
