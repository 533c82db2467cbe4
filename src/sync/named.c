/* SPDX-License-Identifier: MIT */
/* Mutexes, events and semaphores by name: a small named segment with the object at its start. Uses segment. */
#include <sync/object.h>

static int fill_mutex(struct stoa_segment *segment, void *argument)
{
	const struct stoa_sync_options *options = argument;

	return stoa_mutex_init(segment, stoa_segment_address(segment), options->flags);
}

static int fill_event(struct stoa_segment *segment, void *argument)
{
	const struct stoa_sync_options *options = argument;

	return stoa_event_init(segment, stoa_segment_address(segment), options->flags);
}

static int fill_semaphore(struct stoa_segment *segment, void *argument)
{
	const struct stoa_sync_options *options = argument;

	return stoa_semaphore_init(segment, stoa_segment_address(segment), options->initial,
				   options->maximum ? options->maximum : STOA_SEMAPHORE_MAX);
}

static int check_options(const struct stoa_sync_options *options)
{
	uint32_t all_rights = STOA_RIGHT_WAIT | STOA_RIGHT_SIGNAL;

	if (options->disposition > STOA_CREATE_ONLY)
		return error_set(-STOA_EINVAL, "disposition %u is none of 0, STOA_OPEN_ONLY and STOA_CREATE_ONLY",
				 (unsigned)options->disposition);
	if (options->rights & ~all_rights)
		return error_refuse("a named object's handle", ERROR_RIGHTS, options->rights & ~all_rights);
	if (options->segment_flags & ~(STOA_PERSISTENT | STOA_GLOBAL))
		return error_refuse("a named object", ERROR_SEGMENT_FLAGS,
				    options->segment_flags & ~(STOA_PERSISTENT | STOA_GLOBAL));
	return 0;
}

static int open_object(const char *name, const struct stoa_sync_options *given, uint32_t segment_kind, uint32_t kind,
		       int (*fill)(struct stoa_segment *segment, void *argument), struct stoa_segment **ret_segment,
		       void **ret_object)
{
	struct stoa_sync_options options = given ? *given : (struct stoa_sync_options){.disposition = 0};
	struct stoa_segment_options segment_options = {.flags = options.segment_flags, .commit = OS_PAGE};
	struct stoa_segment *segment;
	int rc = ret_segment ? check_options(&options) : error_set(-STOA_EINVAL, "no place for the segment's handle"),
	    outcome;

	if (rc)
		return rc;
	if (options.disposition == STOA_OPEN_ONLY) {
		rc = segment_open_kind(name, &segment_options, segment_kind, &segment);
		outcome = STOA_EXISTED;
	} else {
		rc = segment_create_kind(name, OS_PAGE, &segment_options, segment_kind, fill, &options,
					 options.disposition != STOA_CREATE_ONLY, &segment);
		outcome = rc;
	}
	if (rc < 0)
		return rc;
	rc = object_check(segment, segment->data, kind, 0);
	if (rc) {
		stoa_segment_close(segment);
		return error_prefix(rc, "%s '%s'",
				    kind == OBJECT_MUTEX       ? "mutex"
				    : kind == OBJECT_SEMAPHORE ? "semaphore"
							       : "event",
				    name);
	}
	if (options.rights)
		segment->rights &= options.rights;
	*ret_segment = segment;
	*ret_object = segment->data;
	return outcome;
}

int stoa_mutex_open(const char *name, const struct stoa_sync_options *options, struct stoa_segment **ret_segment,
		    struct stoa_mutex **ret_mutex)
{
	void *object;
	int rc = ret_mutex ? 0 : error_set(-STOA_EINVAL, "no place for the mutex");

	if (rc == 0)
		rc = open_object(name, options, SEGMENT_KIND_MUTEX, OBJECT_MUTEX, fill_mutex, ret_segment, &object);

	if (rc >= 0)
		*ret_mutex = object;
	return rc;
}

int stoa_event_open(const char *name, const struct stoa_sync_options *options, struct stoa_segment **ret_segment,
		    struct stoa_event **ret_event)
{
	void *object;
	int rc = ret_event ? 0 : error_set(-STOA_EINVAL, "no place for the event");

	if (rc == 0)
		rc = open_object(name, options, SEGMENT_KIND_EVENT, OBJECT_EVENT_AUTO, fill_event, ret_segment,
				 &object);

	if (rc >= 0)
		*ret_event = object;
	return rc;
}

int stoa_semaphore_open(const char *name, const struct stoa_sync_options *options, struct stoa_segment **ret_segment,
			struct stoa_semaphore **ret_semaphore)
{
	void *object;
	int rc = ret_semaphore ? 0 : error_set(-STOA_EINVAL, "no place for the semaphore");

	if (rc == 0)
		rc = open_object(name, options, SEGMENT_KIND_SEMAPHORE, OBJECT_SEMAPHORE, fill_semaphore, ret_segment,
				 &object);

	if (rc >= 0)
		*ret_semaphore = object;
	return rc;
}
