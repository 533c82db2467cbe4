/* SPDX-License-Identifier: MIT */
/* As test_handles.c, with what other systems have not: names that outlive their users, and seals. */
#include <harness/test.h>

#include <stoa/stoa.h>

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)

static struct stoa_segment *make(const char *name, uint32_t flags)
{
	struct stoa_segment_options options = {.commit = PAGE, .flags = flags};
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_create(name, MIB, &options, &segment), 0);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), 0), 0);
	return segment;
}

static struct stoa_mutex *mutex_of(struct stoa_segment *segment)
{
	return stoa_segment_address(segment);
}

static void lock_of_the_dead(void *name)
{
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
	stoa_segment_close(segment);
}

TEST(what_the_last_handle_abandons_outlives_it)
{
	const char *name = test_name("abandoned");
	struct stoa_segment *a = make(name, STOA_PERSISTENT), *b = NULL;

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
	struct stoa_segment *segment = make(NULL, 0), *other = NULL;
	int descriptor;

	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), -STOA_ERIGHTS);
	stoa_segment_close(segment);

	segment = make(NULL, 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &other), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), -STOA_EBUSY); /* the other handle may write */
	CHECK_RC(stoa_mutex_unlock(other, mutex_of(other)), 0);             /* and the lock is its now */
	stoa_segment_close(other);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), 0);
	stoa_segment_close(segment);
}
