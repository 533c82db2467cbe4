/* SPDX-License-Identifier: MIT */
/* Work on files that nobody waits for, whichever way it is done: how much of it is under way, and the notifier. */
#include <os/linux/ring.h>

#include <base/atomic.h>
#include <base/error.h>
#include <os/linux/sys.h>

struct os_ring {
	const struct ring_way *way;
	void *state;
	os_handle event;
	unsigned depth, busy;
	struct os_job *refused; /* done without having been begun */
};

static int start(struct os_ring *ring, enum os_ring_way way)
{
	int rc = way == OS_RING_THREADS ? -STOA_ENOTSUP : uring_create(ring->depth, ring->event, &ring->state);

	ring->way = &uring_way;
	if (rc == 0 || way == OS_RING_KERNEL)
		return rc;
	ring->way = &pool_way;
	return pool_create(ring->depth, ring->event, &ring->state);
}

int os_ring_create(enum os_ring_way way, unsigned depth, struct os_ring **ret_ring)
{
	struct os_ring *ring = os_allocate(sizeof(*ring));
	int rc = ring ? os_notifier_create(&ring->event) : -STOA_ENOMEM;

	if (rc < 0) {
		os_free(ring);
		return rc;
	}
	ring->depth = depth;
	rc = start(ring, way);
	if (rc < 0) {
		os_handle_close(ring->event);
		os_free(ring);
		return rc;
	}
	*ret_ring = ring;
	return 0;
}

void os_ring_close(struct os_ring *ring)
{
	if (!ring)
		return;
	while (os_ring_wait(ring))
		;
	ring->way->close(ring->state);
	os_handle_close(ring->event);
	os_free(ring);
}

enum os_ring_way os_ring_way(const struct os_ring *ring)
{
	return ring->way == &uring_way ? OS_RING_KERNEL : OS_RING_THREADS;
}

os_handle os_ring_event(const struct os_ring *ring)
{
	return ring->event;
}

bool os_ring_submit(struct os_ring *ring, struct os_job *job)
{
	int rc = 0;

	if (ring->busy == ring->depth)
		return false;
	ring->busy++;
	/* Beyond a limit of this process (RLIMIT_FSIZE) a write would be a signal. */
	if (job->kind == OS_JOB_WRITE)
		rc = os_length_allowed(job->offset + job->length);
	if (rc == 0)
		rc = ring->way->submit(ring->state, job);
	if (rc < 0) {
		job->result = rc;
		job->next = ring->refused;
		ring->refused = job;
		os_notifier_raise(ring->event);
	}
	return true;
}

int os_ring_go(struct os_ring *ring)
{
	return ring->way->go(ring->state);
}

struct os_job *os_ring_take(struct os_ring *ring)
{
	struct os_job *job = ring->refused;

	if (job)
		ring->refused = job->next;
	else
		job = ring->way->take(ring->state);
	if (job)
		ring->busy--;
	return job;
}

struct os_job *os_ring_wait(struct os_ring *ring)
{
	struct os_job *job = NULL;

	while (ring->busy && (job = os_ring_take(ring)) == NULL) {
		(void)os_ring_go(ring);
		ring->way->await(ring->state);
	}
	return job;
}
