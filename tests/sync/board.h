/* SPDX-License-Identifier: MIT */
/* What the tests of sync share: a segment with a few objects in it, and roles that several tests want. */
#ifndef SYNC_BOARD_H
#define SYNC_BOARD_H

#include <harness/test.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sync/item.h>

#define SECOND UINT64_C(1000000000)

/* What the roles of a test share. */
struct board {
	struct stoa_mutex mutex;
	struct stoa_event event, reply, manual;
	struct stoa_semaphore semaphore;
	_Atomic uint32_t ready;
	_Atomic uint32_t done;
	uint32_t rounds; /* for the roles */
	uint64_t plain;  /* guarded by the mutex */
};

/* The result is `expected`, and the sentence has `text`. */
#define CHECK_SAYS(call, expected, text)                                                                \
	do {                                                                                            \
		CHECK_RC(call, expected);                                                               \
		if (!strstr(stoa_error_detail(), text))                                                 \
			test_fail(__FILE__, __LINE__, "'%s', without '%s'", stoa_error_detail(), text); \
	} while (0)

extern struct stoa_segment *segment;
extern struct board *board;

void set_up(void);
void tear_down(void);
void share_board(void); /* what set_up() does last: roles have the segment too, and its board */

struct stoa_waitable event_of(struct stoa_event *event);
struct stoa_waitable mutex_of(struct stoa_mutex *mutex);
struct stoa_waitable semaphore_of(struct stoa_semaphore *semaphore);

/* A second handle on the segment. */
struct stoa_segment *open_again(struct stoa_segment *from);

/* A role: holds the mutex, says so in `ready`, and never gives it back. */
void hold_until_killed(void *argument);

#endif
