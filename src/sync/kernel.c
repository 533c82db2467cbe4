/* SPDX-License-Identifier: MIT */
/*
 * Plain kernel objects: handles that know their kind and rights, and sections as raw segments. What the system does, os.h has.
 * Uses segment.
 */
#include <base/error.h>
#include <inttypes.h>
#include <os/os.h>
#include <segment/header.h>
#include <segment/segment.h>
#include <stoa/kernel.h>

_Static_assert(STOA_KERNEL_MUTEX == OS_KERNEL_MUTEX && STOA_KERNEL_EVENT == OS_KERNEL_EVENT &&
		       STOA_KERNEL_SEMAPHORE == OS_KERNEL_SEMAPHORE && STOA_KERNEL_WAIT_MAX == OS_KERNEL_WAIT_MAX,
	       "kinds are passed through");

struct stoa_kernel {
	os_handle handle;
	uint32_t kind;
	uint32_t rights; /* STOA_RIGHT_* */
};

static const struct stoa_sync_options defaults;

/* ---- opening ---- */

static int check_options(uint32_t kind, const struct stoa_sync_options *options)
{
	static const uint32_t flags[] = {
		[STOA_KERNEL_MUTEX] = STOA_OWNED,
		[STOA_KERNEL_EVENT] = STOA_SIGNALED | STOA_MANUAL,
		[STOA_KERNEL_SEMAPHORE] = 0,
	};

	if (kind < STOA_KERNEL_MUTEX || kind > STOA_KERNEL_SEMAPHORE)
		return error_set(-STOA_EINVAL, "%" PRIu32 " is no kind of kernel object", kind);
	if (options->disposition > STOA_CREATE_ONLY || options->segment_flags || options->flags & ~flags[kind] ||
	    options->rights & ~(STOA_RIGHT_WAIT | STOA_RIGHT_SIGNAL))
		return error_set(-STOA_EINVAL,
				 "options that do not go with this kind of kernel object: disposition %" PRIu32
				 ", rights %" PRIx32 ", flags %" PRIx32 ", segment flags %" PRIx32,
				 options->disposition, options->rights, options->flags, options->segment_flags);
	if (options->maximum > INT32_MAX ||
	    options->initial > (options->maximum ? options->maximum : (uint32_t)INT32_MAX))
		return error_set(-STOA_EINVAL, "a count of %" PRIu32 " of %" PRIu32, options->initial,
				 options->maximum);
	return 0;
}

static struct os_kernel_options translate(uint32_t kind, uint32_t rights, const struct stoa_sync_options *options)
{
	return (struct os_kernel_options){
		.kind = (enum os_kernel_kind)kind,
		.may_open = options->disposition != STOA_CREATE_ONLY,
		.may_create = options->disposition != STOA_OPEN_ONLY,
		.may_wait = rights & STOA_RIGHT_WAIT,
		.may_signal = rights & STOA_RIGHT_SIGNAL,
		.owned = options->flags & STOA_OWNED,
		.signaled = options->flags & STOA_SIGNALED,
		.manual = options->flags & STOA_MANUAL,
		.initial = options->initial,
		.maximum = options->maximum ? options->maximum : INT32_MAX,
	};
}

int stoa_kernel_open(const char *name, uint32_t kind, const struct stoa_sync_options *options,
		     struct stoa_kernel **ret_object)
{
	struct os_kernel_options how;
	struct stoa_kernel *object;
	int rc;

	options = options ? options : &defaults;
	if (!name || !ret_object)
		return error_set(-STOA_EINVAL, "a kernel object needs a name, and a place for the handle");
	rc = check_options(kind, options);
	if (rc < 0)
		return rc;
	object = os_allocate(sizeof(*object));
	if (!object)
		return -STOA_ENOMEM;
	object->kind = kind;
	object->rights = options->rights ? options->rights : STOA_RIGHT_WAIT | STOA_RIGHT_SIGNAL;
	how = translate(kind, object->rights, options);
	rc = os_kernel_open(name, &how, &object->handle);
	if (rc < 0)
		os_free(object);
	else
		*ret_object = object;
	return rc;
}

void stoa_kernel_close(struct stoa_kernel *object)
{
	if (!object)
		return;
	os_handle_close(object->handle);
	os_free(object);
}

/* ---- using ---- */

static int check_right(const struct stoa_kernel *object, uint32_t right)
{
	if ((object->rights & right) == right)
		return 0;
	return error_set(-STOA_ERIGHTS, "this handle was opened without the right to %s",
			 right & STOA_RIGHT_WAIT ? "wait" : "signal");
}

static int check_kind(const struct stoa_kernel *object, uint32_t kind, uint32_t right)
{
	if (!object || object->kind != kind)
		return error_set(-STOA_EINVAL, "no kernel object, or one of another kind (%" PRIu32 ")",
				 object ? object->kind : 0);
	return check_right(object, right);
}

int stoa_kernel_wait_any(struct stoa_kernel *const *objects, size_t count, uint64_t deadline, size_t *ret_index)
{
	os_handle handles[STOA_KERNEL_WAIT_MAX];
	unsigned index;
	int rc;

	if (!objects || !count || count > STOA_KERNEL_WAIT_MAX)
		return error_set(-STOA_EINVAL, "a wait is for 1 to %d kernel objects, not %zu", STOA_KERNEL_WAIT_MAX,
				 count);
	for (size_t i = 0; i < count; i++) {
		if (!objects[i])
			return error_set(-STOA_EINVAL, "kernel object %zu of a wait is missing", i);
		for (size_t k = 0; k < i; k++)
			if (objects[k] == objects[i])
				return error_set(-STOA_EINVAL, "kernel objects %zu and %zu of a wait are the same", k,
						 i);
		rc = check_right(objects[i], STOA_RIGHT_WAIT);
		if (rc < 0)
			return rc;
		handles[i] = objects[i]->handle;
	}
	rc = os_kernel_wait(handles, (unsigned)count, deadline, &index);
	if (ret_index && (rc == 0 || rc == STOA_OWNER_DIED))
		*ret_index = index;
	return rc;
}

int stoa_kernel_wait(struct stoa_kernel *object, uint64_t deadline)
{
	return stoa_kernel_wait_any(&object, 1, deadline, NULL);
}

int stoa_kernel_unlock(struct stoa_kernel *mutex)
{
	int rc = check_kind(mutex, STOA_KERNEL_MUTEX, STOA_RIGHT_WAIT);

	return rc < 0 ? rc : os_kernel_signal(mutex->handle, OS_KERNEL_MUTEX, 0);
}

int stoa_kernel_set(struct stoa_kernel *event)
{
	int rc = check_kind(event, STOA_KERNEL_EVENT, STOA_RIGHT_SIGNAL);

	return rc < 0 ? rc : os_kernel_signal(event->handle, OS_KERNEL_EVENT, 0);
}

int stoa_kernel_reset(struct stoa_kernel *event)
{
	int rc = check_kind(event, STOA_KERNEL_EVENT, STOA_RIGHT_SIGNAL);

	return rc < 0 ? rc : os_kernel_reset(event->handle);
}

int stoa_kernel_post(struct stoa_kernel *semaphore, uint32_t count)
{
	int rc = check_kind(semaphore, STOA_KERNEL_SEMAPHORE, STOA_RIGHT_SIGNAL);

	if (rc < 0 || !count)
		return rc;
	if (count > INT32_MAX)
		return error_set(-STOA_EOVERFLOW, "%" PRIu32 " is beyond what a kernel semaphore counts", count);
	return os_kernel_signal(semaphore->handle, OS_KERNEL_SEMAPHORE, count);
}

/* ---- sections ---- */

/* Lay a raw segment over the section. On success it owns `memory`. */
static int attach(os_handle memory, uint64_t size, uint64_t wanted, bool writable, struct stoa_segment **ret_segment)
{
	struct segment_header header = {.flags = STOA_RAW};

	if (wanted > size || size > STOA_RESERVE_MAX)
		return error_set(-STOA_ERANGE,
				 "the section has %" PRIu64 " bytes: %" PRIu64 " were wanted, at most 2^40", size,
				 wanted);
	header.reserve = segment_round_up(size, OS_PAGE);
	return segment_attach(memory, &header, writable, NULL, ret_segment);
}

int stoa_kernel_segment(const char *name, uint64_t size, uint32_t disposition, uint32_t flags,
			struct stoa_segment **ret_segment)
{
	struct os_kernel_section how = {
		.may_open = disposition != STOA_CREATE_ONLY,
		.may_create = disposition != STOA_OPEN_ONLY && size,
		.writable = !(flags & STOA_READ_ONLY),
		.committed = !(flags & STOA_KERNEL_RESERVE),
		.size = size,
	};
	os_handle memory = OS_NO_HANDLE;
	uint64_t found;
	int rc, attached;

	if (!name || !ret_segment || disposition > STOA_CREATE_ONLY || flags & ~(STOA_KERNEL_RESERVE | STOA_READ_ONLY))
		return error_set(-STOA_EINVAL,
				 "a section needs a name, a place for the handle, a disposition (%" PRIu32
				 "), known flags (%" PRIx32 ")",
				 disposition, flags);
	if (size > STOA_RESERVE_MAX || (disposition == STOA_CREATE_ONLY && !size) ||
	    (flags & STOA_READ_ONLY && disposition != STOA_OPEN_ONLY))
		return error_set(-STOA_EINVAL,
				 "a section that is created has 1 to 2^40 bytes, not %" PRIu64 ", and can be written",
				 size);
	rc = os_kernel_section(name, &how, &memory, &found);
	if (rc < 0)
		return rc;
	attached = attach(memory, found, size, how.writable, ret_segment);
	if (attached < 0) {
		os_handle_close(memory);
		return error_prefix(attached, "'%s'", name);
	}
	return rc;
}
