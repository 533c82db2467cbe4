/* SPDX-License-Identifier: MIT */
/* Several handles of one segment in a process, and what a handle can no longer do once it has become another. */
#include <harness/test.h>

#include <stoa/stoa.h>

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)

static struct stoa_segment *make(const char *name)
{
	struct stoa_segment_options options = {.commit = PAGE};
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_create(name, MIB, &options, &segment), 0);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), 0), 0);
	return segment;
}

static struct stoa_mutex *mutex_of(struct stoa_segment *segment)
{
	return stoa_segment_address(segment);
}

/* Whichever handle was used first, and whichever closes first: what a thread holds stays held until the last has closed. */
TEST(a_mutex_stays_held_until_the_last_handle_closes)
{
	const char *name = test_name("handles");
	struct stoa_segment *a = make(name), *b = NULL, *c = NULL;

	CHECK_RC(stoa_segment_open(name, NULL, &b), 0);
	CHECK_RC(stoa_mutex_lock(a, mutex_of(a), STOA_TRY), 0);
	stoa_segment_close(a);
	CHECK_RC(stoa_mutex_lock(b, mutex_of(b), STOA_TRY), -STOA_EDEADLOCK);
	CHECK_RC(stoa_mutex_unlock(b, mutex_of(b)), 0);
	CHECK_RC(stoa_mutex_lock(b, mutex_of(b), STOA_TRY), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &c), 0);
	CHECK_RC(stoa_mutex_unlock(c, mutex_of(c)), 0);
	CHECK_RC(stoa_mutex_lock(c, mutex_of(c), STOA_TRY), 0);
	stoa_segment_close(b);
	CHECK_RC(stoa_mutex_unlock(c, mutex_of(c)), 0);
	stoa_segment_close(c);
}

static void lock_of_the_dead(void *name)
{
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
	stoa_segment_close(segment);
}

TEST(the_last_handle_abandons)
{
	const struct stoa_segment_options persistent = {.commit = PAGE, .flags = STOA_PERSISTENT};
	const char *name = test_name("abandoned");
	struct stoa_segment *a = NULL, *b = NULL;

	CHECK_RC(stoa_segment_create(name, MIB, &persistent, &a), 0);
	CHECK_RC(stoa_mutex_init(a, mutex_of(a), 0), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &b), 0);
	CHECK_RC(stoa_mutex_lock(a, mutex_of(a), STOA_TRY), 0);
	stoa_segment_close(a);
	stoa_segment_close(b);
	CHECK_EQ(test_join(test_role(lock_of_the_dead, (void *)(uintptr_t)name)), 0);
	CHECK_RC(stoa_segment_unlink(name, 0), 0);
}

/* Filled under a lock, then made immutable: the roster's own map is no writer in the way. */
TEST(sealed_after_locking)
{
	struct stoa_segment *segment = make(NULL), *other = NULL;
	int descriptor;

	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), -STOA_ERIGHTS);
	stoa_segment_close(segment);

	segment = make(NULL);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &other), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), -STOA_EBUSY); /* the other handle may write */
	CHECK_RC(stoa_mutex_unlock(other, mutex_of(other)), 0);             /* and the lock is its now */
	stoa_segment_close(other);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), 0);
	stoa_segment_close(segment);
}

TEST(an_opener_has_what_it_asks_for)
{
	const struct stoa_segment_options two = {.commit = 2 * PAGE}, much = {.commit = 2 * MIB};
	const char *name = test_name("asked");
	struct stoa_segment *a = NULL, *b = NULL;

	CHECK_RC(stoa_segment_create(name, MIB, NULL, &a), 0);
	CHECK_EQ(stoa_segment_committed(a), 0);
	CHECK_RC(stoa_segment_create_or_open(name, 4 * MIB, &two, &b), STOA_EXISTED);
	CHECK_EQ(stoa_segment_committed(a), 2 * PAGE);
	CHECK_EQ(stoa_segment_reserve(b), MIB);
	stoa_segment_close(b);
	b = NULL;
	CHECK_RC(stoa_segment_create_or_open(name, 4 * MIB, &much, &b), -STOA_ERANGE);
	CHECK(b == NULL);
	stoa_segment_close(a);
}

TEST(there_must_be_a_place_for_what_is_returned)
{
	const char *name = test_name("nowhere");
	struct stoa_segment *segment = NULL;
	struct stoa_mutex *mutex = NULL;
	struct stoa_event *event = NULL;
	struct stoa_semaphore *semaphore = NULL;

	CHECK_RC(stoa_mutex_open(name, NULL, NULL, &mutex), -STOA_EINVAL);
	CHECK_RC(stoa_mutex_open(name, NULL, &segment, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_event_open(name, NULL, NULL, &event), -STOA_EINVAL);
	CHECK_RC(stoa_event_open(name, NULL, &segment, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_semaphore_open(name, NULL, NULL, &semaphore), -STOA_EINVAL);
	CHECK_RC(stoa_semaphore_open(name, NULL, &segment, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_process_open(1, NULL), -STOA_EINVAL);
	stoa_wait_stat(NULL);
	CHECK(!segment && !mutex && !event && !semaphore);
}

/* Whether the rest of the set could be had or not. */
TEST(a_set_with_a_mutex_that_is_held_is_refused)
{
	struct stoa_segment *segment = make(NULL);
	struct stoa_event *event = (void *)(mutex_of(segment) + 1);
	struct stoa_waitable set[2] = {{segment, event, STOA_WAIT_EVENT, 0},
				       {segment, mutex_of(segment), STOA_WAIT_MUTEX, 0}};
	size_t index;

	CHECK_RC(stoa_event_init(segment, event, 0), 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
	for (int signaled = 0; signaled < 2; signaled++) {
		CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), -STOA_EDEADLOCK);
		CHECK_RC(stoa_wait_all(set, 2, STOA_FOREVER, &index), -STOA_EDEADLOCK);
		CHECK_RC(stoa_event_set(segment, event), 0);
	}
	CHECK_RC(stoa_event_wait(segment, event, STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
	stoa_segment_close(segment);
}
