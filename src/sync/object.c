/* SPDX-License-Identifier: MIT */
/* Checking and initialising the 16-byte values. Uses segment. */
#include <sync/object.h>

#include <inttypes.h>

static const char *kind_name(uint32_t kind)
{
	switch (kind) {
	case OBJECT_MUTEX: return "a mutex";
	case OBJECT_EVENT_AUTO:
	case OBJECT_EVENT_MANUAL: return "an event";
	case OBJECT_SEMAPHORE: return "a semaphore";
	default: return NULL;
	}
}

/* These bytes are not of `kind`, but `found`. */
static int wrong_kind(uintptr_t offset, uint32_t found, uint32_t kind)
{
	const char *wanted = kind == OBJECT_MUTEX ? "mutex" : kind == OBJECT_SEMAPHORE ? "semaphore" : "event";

	if (kind_name(found))
		return error_set(-STOA_EFORMAT, "the value at offset %" PRIuPTR " is %s, not %s", offset,
				 kind_name(found), kind_name(kind));
	return error_set(-STOA_EFORMAT, "no %s was initialised at offset %" PRIuPTR " (stoa_%s_init)", wanted, offset,
			 wanted);
}

/* Why a handle has no rights at all. */
static int no_rights(const struct stoa_segment *segment)
{
	if (!segment->roster_slots)
		return error_set(-STOA_ENOTSUP,
				 "this segment is raw: mutexes, events and semaphores need one with a header");
	return error_set(-STOA_ERIGHTS, "this handle is read-only: locking, waiting and signalling write");
}

int object_check_place(const struct stoa_segment *segment, const void *object, uint32_t right)
{
	uintptr_t offset;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!object)
		return error_set(-STOA_EINVAL, "no object was given");
	if (segment->of_other_system)
		return error_set(-STOA_ENOTSUP,
				 "the segment was made by a program of another operating system: mutexes, events and "
				 "semaphores work among that system's programs, the memory and atomics for all");
	if (segment->out_of_sight)
		return error_set(
			-STOA_ENOTSUP,
			"the segment is of another session, whose threads this one knows nothing of: mutexes, events "
			"and semaphores work in the session that made it, or in one made with STOA_GLOBAL");
	if (!segment->rights)
		return no_rights(segment);
	if ((segment->rights & right) != right)
		return error_set(-STOA_ERIGHTS, "this handle was opened without the right to %s",
				 right & STOA_RIGHT_WAIT ? "wait" : "signal");
	offset = (uintptr_t)object - (uintptr_t)segment->data;
	if (offset >= segment->reserve || segment->reserve - offset < sizeof(struct object))
		return error_set(-STOA_EINVAL, "%p lies outside this segment's data (an object of another handle?)",
				 object);
	if (offset % 8)
		return error_set(-STOA_EINVAL, "offset %" PRIuPTR " is not 8-byte aligned", offset);
	return 0;
}

int object_check(const struct stoa_segment *segment, const void *object, uint32_t kind, uint32_t right)
{
	int rc = object_check_place(segment, object, right);
	uint32_t found;

	if (rc)
		return rc;
	found = load_rlx(&((const struct object *)object)->kind);
	if (found == OBJECT_EVENT_MANUAL)
		found = OBJECT_EVENT_AUTO;
	if (found != kind)
		return wrong_kind((uintptr_t)object - (uintptr_t)segment->data, found, kind);
	return 0;
}

int object_init(const struct stoa_segment *segment, void *place, uint32_t kind, uint32_t maximum, uint64_t word)
{
	struct object *object = place;
	uint64_t offset = (uintptr_t)place - (uintptr_t)segment->data;

	if (offset + sizeof(*object) > stoa_segment_committed(segment))
		return error_set(-STOA_EUNCOMMITTED, "offset %" PRIu64 " is not committed", offset);
	store_rlx(&object->maximum, maximum);
	store_rlx(&object->word, word);
	store_rlx(&object->kind, kind); /* nobody else may use it yet: whoever tells them orders this */
	return 0;
}
