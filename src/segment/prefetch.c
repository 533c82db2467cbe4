/* SPDX-License-Identifier: MIT */
/*
 * Bringing pages in while the caller goes on. A helper thread populates the range step by step and then completes a signal
 * word (base/signal.h), manual-reset, which waits of every kind understand. An unreadable page ends it with -STOA_EIO; the
 * caller learns that from the wait and never meets the signal that a touch would raise.
 *
 * The word lies in this process's own memory. The worker's last access to it is the exchange; its wake afterwards uses the
 * address alone, so that the waiter may free the memory as soon as it has seen the exchange.
 */
#include <base/atomic.h>
#include <base/error.h>
#include <base/signal.h>
#include <inttypes.h>
#include <segment/segment.h>

#include <stoa/sync.h>

#define STEP (UINT64_C(4) << 20) /* how long close() may have to wait for the worker */

struct stoa_prefetch {
	_Atomic uint64_t word;
	_Atomic uint32_t stop;
	int result;
	struct segment_fetch fetch;
	uint64_t made_in; /* fork generation: a child has no worker */
};

static void complete(struct stoa_prefetch *prefetch, int result)
{
	uint64_t before;

	prefetch->result = result;
	/* R1: publishes the result; pairs with A1 in finished() */
	before = swap_acq_rel(&prefetch->word, UINT64_C(1) << SIGNAL_COUNT_SHIFT | SIGNAL_AVAILABLE);
	if (before & SIGNAL_WAITERS)
		os_wake(os_low_half(&prefetch->word));
}

static void work(void *argument)
{
	struct stoa_prefetch *prefetch = argument;
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < prefetch->fetch.length && !load_rlx(&prefetch->stop)) {
		uint64_t left = prefetch->fetch.length - at,
			 step = left < prefetch->fetch.step ? left : prefetch->fetch.step;

		rc = prefetch->fetch.bring(&prefetch->fetch, at, step);
		at += step;
	}
	complete(prefetch, rc);
}

int segment_prefetch_start(const struct segment_fetch *fetch, struct stoa_prefetch **ret_prefetch)
{
	struct stoa_prefetch *prefetch = os_allocate(sizeof(*prefetch));
	int rc;

	if (!prefetch)
		return -STOA_ENOMEM;
	prefetch->fetch = *fetch;
	prefetch->made_in = os_fork_generation();
	rc = os_thread_start("stoa-prefetch", work, prefetch);
	if (rc < 0) {
		os_free(prefetch);
		return rc;
	}
	*ret_prefetch = prefetch;
	return 0;
}

static int populate(const struct segment_fetch *fetch, uint64_t at, uint64_t length)
{
	const struct stoa_segment *segment = fetch->owner;

	return os_populate(segment->memory, segment->data_offset + fetch->offset + at,
			   segment->data + fetch->offset + at, length);
}

int stoa_segment_prefetch(struct stoa_segment *segment, uint64_t offset, uint64_t length,
			  struct stoa_prefetch **ret_prefetch)
{
	uint64_t committed;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!ret_prefetch)
		return error_set(-STOA_EINVAL, "no place for the prefetch was given");
	if (offset % OS_PAGE)
		return error_set(-STOA_EINVAL, "offset %" PRIu64 " is not that of a page of %u bytes", offset,
				 (unsigned)OS_PAGE);
	if (length == 0)
		return error_set(-STOA_EINVAL, "a prefetch of 0 bytes");
	if (offset > segment->reserve || length > segment->reserve - offset)
		return error_set(-STOA_ERANGE, "%" PRIu64 " bytes at %" PRIu64 " lie outside the reserve of %" PRIu64,
				 length, offset, segment->reserve);
	committed = stoa_segment_committed(segment);
	if (offset + length > committed)
		return error_set(-STOA_EUNCOMMITTED,
				 "%" PRIu64 " bytes at %" PRIu64 " reach beyond the %" PRIu64 " committed", length,
				 offset, committed);
	return segment_prefetch_start(
		&(struct segment_fetch){
			.bring = populate, .owner = segment, .offset = offset, .length = length, .step = STEP},
		ret_prefetch);
}

_Atomic uint64_t *segment_prefetch_word(struct stoa_prefetch *prefetch)
{
	return &prefetch->word;
}

static bool finished(struct stoa_prefetch *prefetch, uint64_t *ret_seen)
{
	*ret_seen = load_acq(&prefetch->word); /* A1: sees the result; pairs with R1 in complete() */
	return *ret_seen & SIGNAL_AVAILABLE;
}

/* Only after the word was seen AVAILABLE, in whichever way. */
int segment_prefetch_result(const struct stoa_prefetch *prefetch)
{
	if (prefetch->result < 0)
		return error_set(prefetch->result, "a page of the %" PRIu64 " bytes cannot be read: %s",
				 prefetch->fetch.length, stoa_error_text(prefetch->result));
	return 0;
}

int stoa_prefetch_wait(struct stoa_prefetch *prefetch, uint64_t deadline)
{
	uint64_t seen;

	if (!prefetch)
		return error_set(-STOA_EINVAL, "no prefetch was given");
	if (!finished(prefetch, &seen) && prefetch->made_in != os_fork_generation())
		return error_set(-STOA_EINVAL, "the prefetch is the parent's; a forked child has no worker for it");
	while (!finished(prefetch, &seen)) {
		struct os_wait_word word = {os_low_half(&prefetch->word), (uint32_t)(seen | SIGNAL_WAITERS),
					    OS_WORD_WOKEN};

		if (deadline == STOA_TRY || os_now() >= deadline)
			return STOA_TIMED_OUT;
		if (seen & SIGNAL_WAITERS || cas_rlx(&prefetch->word, &seen, seen | SIGNAL_WAITERS))
			(void)os_wait(&word, 1, deadline);
	}
	return segment_prefetch_result(prefetch);
}

void stoa_prefetch_close(struct stoa_prefetch *prefetch)
{
	if (!prefetch)
		return;
	store_rlx(&prefetch->stop, 1);
	(void)stoa_prefetch_wait(prefetch, STOA_FOREVER);
	os_free(prefetch);
}
