/* SPDX-License-Identifier: MIT */
/*
 * Threads that do what the kernel's rings would, where this process may not have one. Two lists under one lock; the threads sleep on a count
 * that each job handed in changes. They start with the first job, so that who needs none has none.
 */
#include <os/linux/ring.h>

#include <base/atomic.h>
#include <base/error.h>
#include <os/linux/sys.h>
#include <stdio.h>
#include <unistd.h>

#define THREADS 4u
#define NAP UINT64_C(10000000) /* nanoseconds between looks whether all threads have ended */

struct pool {
	struct os_lock lock;
	struct os_job *first, **last; /* to be done */
	struct os_job *done, **done_last;
	_Atomic uint32_t turn;  /* changes with each job, and when it ends */
	_Atomic uint32_t alive; /* threads; changed under the lock */
	_Atomic uint32_t finished;
	bool ending;
	os_handle event;
};

static int64_t do_job(const struct os_job *job)
{
	int fd = sys_fd(job->file);
	off_t offset = (off_t)job->offset;

	switch (job->kind) {
	case OS_JOB_MAKE: return SYS(openat, fd, job->name, RING_MAKE_FLAGS, RING_MODE);
	case OS_JOB_OPEN: return SYS(openat, fd, job->name, RING_OPEN_FLAGS);
	case OS_JOB_READ: return SYS(pread, fd, job->bytes, job->length, offset);
	case OS_JOB_WRITE: return SYS(pwrite, fd, job->bytes, job->length, offset);
	case OS_JOB_RENAME: return SYS(renameat, fd, job->name, fd, job->to);
	case OS_JOB_REMOVE: return SYS(unlinkat, fd, job->name, 0);
	case OS_JOB_CLOSE: return close(fd);
	}
	errno = EINVAL;
	return -1;
}

static void do_one(struct pool *pool, struct os_job *job)
{
	int64_t result;

	do
		result = do_job(job);
	while (result < 0 && errno == EINTR && job->kind != OS_JOB_CLOSE);
	job->result = result < 0 ? sys_error(errno) : result;
	job->next = NULL;
	os_lock(&pool->lock);
	*pool->done_last = job;
	pool->done_last = &job->next;
	add_rlx(&pool->finished, 1);
	os_unlock(&pool->lock);
	os_notifier_raise(pool->event);
	os_wake(&pool->finished);
}

/* This thread is one of them no more, and does not touch the pool once the lock is free. */
static void leave(struct pool *pool)
{
	store_rlx(&pool->alive, load_rlx(&pool->alive) - 1);
	os_wake(&pool->alive);
	os_unlock(&pool->lock);
}

/* The next job; NULL: there will be none. */
static struct os_job *next_job(struct pool *pool)
{
	for (;;) {
		struct os_job *job;
		uint32_t turn;

		os_lock(&pool->lock);
		job = pool->first;
		turn = load_rlx(&pool->turn);
		if (!job && pool->ending) {
			leave(pool);
			return NULL;
		}
		if (job) {
			pool->first = job->next;
			if (!pool->first)
				pool->last = &pool->first;
		}
		os_unlock(&pool->lock);
		if (job)
			return job;
		(void)os_wait(&(struct os_wait_word){&pool->turn, turn, OS_WORD_WOKEN}, 1, UINT64_MAX);
	}
}

static void work(void *argument)
{
	struct os_job *job;

	while ((job = next_job(argument)) != NULL)
		do_one(argument, job);
}

int pool_create(unsigned depth, os_handle event, void **ret_state)
{
	struct pool *pool = os_allocate(sizeof(*pool));

	(void)depth;
	if (!pool)
		return -STOA_ENOMEM;
	pool->last = &pool->first;
	pool->done_last = &pool->done;
	pool->event = event;
	*ret_state = pool;
	return 0;
}

/* One more thread for the job, if there are few. 0 if there is any. */
static int have_thread(struct pool *pool)
{
	uint32_t alive;
	int rc;

	os_lock(&pool->lock);
	alive = load_rlx(&pool->alive);
	if (alive < THREADS)
		store_rlx(&pool->alive, alive + 1);
	os_unlock(&pool->lock);
	if (alive == THREADS)
		return 0;
	rc = os_thread_start("stoa-files", work, pool);
	if (rc == 0)
		return 0;
	os_lock(&pool->lock);
	store_rlx(&pool->alive, load_rlx(&pool->alive) - 1);
	os_unlock(&pool->lock);
	return alive ? 0 : rc;
}

static int pool_submit(void *state, struct os_job *job)
{
	struct pool *pool = state;
	int rc = have_thread(pool);

	if (rc < 0)
		return rc;
	job->next = NULL;
	os_lock(&pool->lock);
	*pool->last = job;
	pool->last = &job->next;
	add_rlx(&pool->turn, 1);
	os_unlock(&pool->lock);
	os_wake(&pool->turn);
	return 0;
}

static int pool_go(void *state)
{
	(void)state;
	return 0;
}

static struct os_job *pool_take(void *state)
{
	struct pool *pool = state;
	struct os_job *job;

	os_lock(&pool->lock);
	job = pool->done;
	if (job) {
		pool->done = job->next;
		if (!pool->done)
			pool->done_last = &pool->done;
	}
	os_unlock(&pool->lock);
	return job;
}

static void pool_await(void *state)
{
	struct pool *pool = state;
	uint32_t finished = load_rlx(&pool->finished);
	bool there;

	os_lock(&pool->lock);
	there = pool->done != NULL;
	os_unlock(&pool->lock);
	if (!there)
		(void)os_wait(&(struct os_wait_word){&pool->finished, finished, OS_WORD_WOKEN}, 1, UINT64_MAX);
}

static void pool_close(void *state)
{
	struct pool *pool = state;
	uint32_t alive;

	os_lock(&pool->lock);
	pool->ending = true;
	add_rlx(&pool->turn, 1);
	os_unlock(&pool->lock);
	for (;;) {
		os_wake(&pool->turn);
		os_lock(&pool->lock);
		alive = load_rlx(&pool->alive);
		os_unlock(&pool->lock);
		if (!alive)
			break;
		(void)os_wait(&(struct os_wait_word){&pool->alive, alive, OS_WORD_WOKEN}, 1, os_now() + NAP);
	}
	os_free(pool);
}

const struct ring_way pool_way = {pool_close, pool_submit, pool_go, pool_take, pool_await};
