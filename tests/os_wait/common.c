/* SPDX-License-Identifier: MIT */
/* See common.h. Uses segment: its memory is known by the same name to all. */
#include <os_wait/common.h>

#include <segment/segment.h>
#include <stoa/stoa.h>

#define SLOT 5u /* whose page has the life word; the roster is not used */

struct board *board;
_Atomic uint64_t *life_word;
static struct stoa_segment *segment;

static void find(void)
{
	void *page;

	board = stoa_segment_address(segment);
	CHECK_RC(os_map(segment->memory, SLOT * OS_PAGE, OS_PAGE, OS_READ | OS_WRITE, &page), 0);
	life_word = (_Atomic uint64_t *)(void *)((char *)page + OS_LIFE_OFFSET);
}

void set_up(void)
{
	const struct stoa_segment_options options = {.commit = sizeof(struct board)};

	CHECK_RC(stoa_segment_create(NULL, 1 << 16, &options, &segment), 0);
	CHECK_RC(segment_back_slot(segment, SLOT), 0);
	find();
	test_share(&segment, find);
}

void tear_down(void)
{
	CHECK_RC(os_unmap((char *)(uintptr_t)life_word - OS_LIFE_OFFSET, OS_PAGE), 0);
	stoa_segment_close(segment);
	segment = NULL;
}

static void sleeper(void *argument)
{
	unsigned count = *(unsigned *)argument;
	struct os_wait_word words[4];

	for (unsigned i = 0; i < count; i++)
		words[i] = (struct os_wait_word){&board->words[i], 0, OS_WORD_WOKEN};
	if (board->cover)
		(void)os_wake_cover(&board->words[board->cover - 1]);
	atomic_store(&board->woken, (uint32_t)(os_wait(words, count, os_now() + 15 * SECOND) + 10));
}

pid_t asleep(unsigned count)
{
	static unsigned counts[5] = {0, 1, 2, 3, 4};
	pid_t role = test_role(sleeper, &counts[count]);

	test_await_sleep(role);
	return role;
}

struct os_life *map_life(void)
{
	struct os_life *life;

	CHECK_RC(os_life_map(segment->memory, SLOT * OS_PAGE, &life), 0);
	return life;
}

struct os_life *enter(void)
{
	struct os_life *life = map_life();
	uint64_t word, seen = atomic_load(life_word);

	CHECK(os_life_enter(life, seen, &word));
	CHECK_EQ(word & OS_LIFE_ID, os_thread_id());
	CHECK_EQ(word >> 32, (seen >> 32) + 1);
	CHECK_EQ(word & OS_LIFE_WAITERS, seen & OS_LIFE_WAITERS);
	return life;
}

void check_dead(uint32_t generation, uint32_t flags)
{
	CHECK_EQ(os_life_look(life_word), (uint64_t)generation << 32 | OS_LIFE_DIED | flags);
}

void live(void *unused)
{
	(void)unused;
	(void)enter();
	atomic_store(&board->ready, 1);
	test_pause();
}
