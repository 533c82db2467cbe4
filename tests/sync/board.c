/* SPDX-License-Identifier: MIT */
/* See board.h. */
#include <sync/board.h>

struct stoa_segment *segment;
struct board *board;

static void find_board(void)
{
	board = stoa_segment_address(segment);
}

void share_board(void)
{
	find_board();
	test_share(&segment, find_board);
}

void set_up(void)
{
	struct stoa_segment_options options = {.commit = sizeof(struct board)};

	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &options, &segment), 0);
	share_board();
	CHECK_RC(stoa_mutex_init(segment, &board->mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, &board->event, 0), 0);
	CHECK_RC(stoa_event_init(segment, &board->reply, 0), 0);
	CHECK_RC(stoa_event_init(segment, &board->manual, STOA_MANUAL), 0);
	CHECK_RC(stoa_semaphore_init(segment, &board->semaphore, 0, 10), 0);
}

void tear_down(void)
{
	stoa_segment_close(segment);
	segment = NULL;
}

struct stoa_waitable event_of(struct stoa_event *event)
{
	return (struct stoa_waitable){segment, event, STOA_WAIT_EVENT, 0};
}

struct stoa_waitable mutex_of(struct stoa_mutex *mutex)
{
	return (struct stoa_waitable){segment, mutex, STOA_WAIT_MUTEX, 0};
}

struct stoa_waitable semaphore_of(struct stoa_semaphore *semaphore)
{
	return (struct stoa_waitable){segment, semaphore, STOA_WAIT_SEMAPHORE, 0};
}
void hold_until_killed(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
	atomic_store(&board->ready, 1);
	test_pause();
}

struct stoa_segment *open_again(struct stoa_segment *from)
{
	struct stoa_segment *second;
	int descriptor;

	CHECK_RC(stoa_segment_dup_descriptor(from, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &second), 0);
	return second;
}
