/* SPDX-License-Identifier: MIT */
/* Events and semaphores: signal words with a kind and a maximum. Uses roster. */
#include <base/signal.h>
#include <inttypes.h>
#include <sync/item.h>
#include <sync/wait_set.h>

static int signal_wait(struct stoa_segment *segment, void *place, uint32_t kind, uint64_t deadline)
{
	struct object *object = place;
	struct item item;
	int rc = object_check(segment, place, kind, STOA_RIGHT_WAIT);

	if (rc)
		return rc;
	rc = item_init(&item, segment, object,
		       load_rlx(&object->kind) == OBJECT_EVENT_MANUAL ? ITEM_LATCH : ITEM_SIGNAL, false);
	return rc ? rc : wait_for_any(&item, 1, deadline, NULL);
}

int stoa_event_init(struct stoa_segment *segment, struct stoa_event *event, uint32_t flags)
{
	int rc = object_check_place(segment, event, 0);

	if (rc)
		return rc;
	if (flags & ~(STOA_SIGNALED | STOA_MANUAL))
		return error_refuse("an event", ERROR_SYNC_FLAGS, flags & ~(STOA_SIGNALED | STOA_MANUAL));
	return object_init(segment, event, flags & STOA_MANUAL ? OBJECT_EVENT_MANUAL : OBJECT_EVENT_AUTO, 1,
			   signal_with(0, flags & STOA_SIGNALED ? 1 : 0, 0));
}

int stoa_event_set(struct stoa_segment *segment, struct stoa_event *event)
{
	int rc = object_check(segment, event, OBJECT_EVENT_AUTO, STOA_RIGHT_SIGNAL);

	return rc ? rc : signal_post(segment, (struct object *)(void *)event, 1, true);
}

int stoa_event_reset(struct stoa_segment *segment, struct stoa_event *event)
{
	int rc = object_check(segment, event, OBJECT_EVENT_AUTO, STOA_RIGHT_SIGNAL);

	if (!rc)
		signal_reset((struct object *)(void *)event);
	return rc;
}

int stoa_event_wait(struct stoa_segment *segment, struct stoa_event *event, uint64_t deadline)
{
	return signal_wait(segment, event, OBJECT_EVENT_AUTO, deadline);
}

int stoa_semaphore_init(struct stoa_segment *segment, struct stoa_semaphore *semaphore, uint32_t initial,
			uint32_t maximum)
{
	int rc = object_check_place(segment, semaphore, 0);

	if (rc)
		return rc;
	if (!maximum || maximum > STOA_SEMAPHORE_MAX)
		return error_set(-STOA_EINVAL, "a semaphore's maximum is 1 to %" PRIu32 ", not %" PRIu32,
				 STOA_SEMAPHORE_MAX, maximum);
	if (initial > maximum)
		return error_set(-STOA_EINVAL, "initial %" PRIu32 " exceeds maximum %" PRIu32, initial, maximum);
	return object_init(segment, semaphore, OBJECT_SEMAPHORE, maximum, signal_with(0, initial, 0));
}

int stoa_semaphore_post(struct stoa_segment *segment, struct stoa_semaphore *semaphore, uint32_t count)
{
	int rc = object_check(segment, semaphore, OBJECT_SEMAPHORE, STOA_RIGHT_SIGNAL);

	if (rc || !count)
		return rc;
	return signal_post(segment, (struct object *)(void *)semaphore, count, false);
}

int stoa_semaphore_wait(struct stoa_segment *segment, struct stoa_semaphore *semaphore, uint64_t deadline)
{
	return signal_wait(segment, semaphore, OBJECT_SEMAPHORE, deadline);
}
