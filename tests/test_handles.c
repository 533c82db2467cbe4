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

/* The same without a name: a second handle made of the first one's descriptor. */
TEST(a_mutex_stays_held_where_a_descriptor_was_taken)
{
	struct stoa_segment *a = make(NULL), *b = NULL;
	int descriptor;

	CHECK_RC(stoa_mutex_lock(a, mutex_of(a), STOA_TRY), 0);
	CHECK_RC(stoa_segment_dup_descriptor(a, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &b), 0);
	CHECK_RC(stoa_mutex_lock(b, mutex_of(b), STOA_TRY), -STOA_EDEADLOCK);
	stoa_segment_close(a);
	CHECK_RC(stoa_mutex_lock(b, mutex_of(b), STOA_TRY), -STOA_EDEADLOCK);
	CHECK_RC(stoa_mutex_unlock(b, mutex_of(b)), 0);
	CHECK_RC(stoa_mutex_lock(b, mutex_of(b), STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(b, mutex_of(b)), 0);
	stoa_segment_close(b);
}

/* A process that has the segment open meanwhile, and is the next one to lock. */
static void lock_of_the_dead(void *argument)
{
	_Atomic uint32_t *step = argument;
	struct stoa_segment *segment = NULL;

	test_await(step, 1);
	CHECK_RC(stoa_segment_open(test_name("abandoned"), NULL, &segment), 0);
	atomic_store(step, 2);
	test_await(step, 3);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), STOA_TIMED_OUT);
	atomic_store(step, 4);
	test_await(step, 5);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
	stoa_segment_close(segment);
}

TEST(the_last_handle_abandons)
{
	_Atomic uint32_t *step = test_shared(sizeof(*step));
	const char *name = test_name("abandoned");
	pid_t other = test_role(lock_of_the_dead, (void *)step); /* before there is anything that it could inherit */
	struct stoa_segment *a = make(name), *b = NULL;

	CHECK_RC(stoa_segment_open(name, NULL, &b), 0);
	CHECK_RC(stoa_mutex_lock(a, mutex_of(a), STOA_TRY), 0);
	atomic_store(step, 1);
	test_await(step, 2);
	stoa_segment_close(a);
	atomic_store(step, 3);
	test_await(step, 4);
	stoa_segment_close(b);
	atomic_store(step, 5);
	CHECK_EQ(test_join(other), 0);
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
