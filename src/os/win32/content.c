/* SPDX-License-Identifier: MIT */
/*
 * The bytes of memory objects without a map of the caller's: copying in and out, and how much is committed.
 *
 * A page that is not committed faults when touched, so each view is asked first (VirtualQuery); a page never stops
 * being committed, so what was asked stays true. What is read often, the beginning with the header and the roster, is
 * read through a window that the handle keeps.
 */
#include <os/win32/memory.h>

#include <base/atomic.h>
#include <base/error.h>
#include <inttypes.h>
#include <string.h>

#define WINDOW (UINT64_C(64) << 20) /* all roster slots; whole views of large objects are slow to make */

int memory_glance(os_handle memory, uint64_t offset, uint64_t length, DWORD access, struct memory_glance *ret_glance)
{
	uint64_t start = offset & ~(MEMORY_GRAIN - 1), bytes = offset - start + length;
	HANDLE section = sys_handle(memory);
	unsigned char *view;

	view = MapViewOfFile(section, access, (DWORD)(start >> 32), (DWORD)start, (SIZE_T)(bytes + MEMORY_SPARE));
	/* Sections of others have no spare page. */
	if (!view)
		view = MapViewOfFile(section, access, (DWORD)(start >> 32), (DWORD)start, (SIZE_T)bytes);
	if (!view)
		return sys_failed("looking at %" PRIu64 " bytes at %" PRIu64, length, offset);
	*ret_glance = (struct memory_glance){view, view + (offset - start)};
	return 0;
}

void memory_look_away(const struct memory_glance *glance)
{
	(void)UnmapViewOfFile(glance->view);
}

/* One run of pages in the same state; at most `length` bytes. */
static uint64_t run(const unsigned char *from, uint64_t length, bool *ret_committed)
{
	MEMORY_BASIC_INFORMATION info;
	uint64_t bytes;

	*ret_committed = false;
	if (!VirtualQuery(from, &info, sizeof(info)))
		return length;
	bytes = (uint64_t)((const unsigned char *)info.BaseAddress + info.RegionSize - from);
	*ret_committed = info.State == MEM_COMMIT;
	return bytes < length ? bytes : length;
}

uint64_t memory_run(const unsigned char *from, uint64_t length)
{
	uint64_t total = 0;
	bool committed = true;

	/* Parts with different access are different runs. */
	while (total < length) {
		uint64_t bytes = run(from + total, length - total, &committed);

		if (!committed)
			break;
		total += bytes;
	}
	return total;
}

static uint64_t window_length(uint64_t size)
{
	return size < WINDOW ? size : WINDOW;
}

/* The handle's window, made now if need be; NULL where it cannot be. */
static const unsigned char *window_of(os_handle memory, uint64_t size)
{
	uint64_t length;
	unsigned char *window = memory_window(memory, &length);

	if (window)
		return window;
	length = window_length(size);
	window = MapViewOfFile(sys_handle(memory), FILE_MAP_READ, 0, 0, (SIZE_T)length);
	return window ? memory_set_window(memory, window, length) : NULL;
}

/* Life words are read so: they must not come in two halves. */
static void copy(void *to, const unsigned char *from, uint64_t length)
{
	uint64_t word;

	if (length != sizeof(word) || (uintptr_t)from % sizeof(word)) {
		memcpy(to, from, length);
		return;
	}
	word = load_rlx((const _Atomic uint64_t *)(const void *)from);
	memcpy(to, &word, sizeof(word));
}

static void copy_out(const unsigned char *from, uint64_t length, unsigned char *to)
{
	while (length) {
		bool committed;
		uint64_t bytes = run(from, length, &committed);

		if (committed)
			copy(to, from, bytes);
		else
			memset(to, 0, bytes);
		from += bytes;
		to += bytes;
		length -= bytes;
	}
}

static int read_section(os_handle memory, uint64_t size, uint64_t offset, void *bytes, size_t length)
{
	const unsigned char *window = offset + length <= WINDOW ? window_of(memory, size) : NULL;
	struct memory_glance glance = {NULL, NULL};
	int rc;

	if (window) {
		copy_out(window + offset, length, bytes);
		return 0;
	}
	rc = memory_glance(memory, offset, length, FILE_MAP_READ, &glance);
	if (rc < 0)
		return rc;
	copy_out(glance.at, length, bytes);
	memory_look_away(&glance);
	return 0;
}

int os_memory_read(os_handle memory, uint64_t offset, void *bytes, size_t length, size_t *ret_read)
{
	uint64_t seen;
	const unsigned char *window = memory_window(memory, &seen);
	struct memory now;
	int rc;

	/* The common case, some thousand times when a roster is counted: no question to the system but one. */
	if (window && offset < seen && length <= seen - offset) {
		copy_out(window + offset, length, bytes);
		*ret_read = length;
		return 0;
	}
	rc = memory_look(memory, &now);
	if (rc < 0)
		return rc;
	if (now.kind == MEMORY_FILE)
		return memory_file_read(sys_handle(memory), offset, bytes, length, ret_read);
	if (now.kind != MEMORY_SECTION)
		return error_set(-STOA_EKIND, "the handle does not refer to memory or a file");
	if (offset >= now.size)
		length = 0;
	else if (length > now.size - offset)
		length = (size_t)(now.size - offset);
	rc = length ? read_section(memory, now.size, offset, bytes, length) : 0;
	if (rc == 0)
		*ret_read = length;
	return rc;
}

bool os_memory_there(os_handle memory, uint64_t offset, uint64_t length)
{
	struct memory_glance glance = {NULL, NULL};
	struct memory now;
	bool there = false;

	if (memory_look(memory, &now) < 0)
		return false;
	if (now.kind != MEMORY_SECTION) {
		uint64_t present = os_memory_length(memory);

		return offset <= present && length <= present - offset;
	}
	if (offset <= now.size && length <= now.size - offset &&
	    memory_glance(memory, offset, length, FILE_MAP_READ, &glance) == 0) {
		there = memory_run(glance.at, length) == length;
		memory_look_away(&glance);
	}
	return there;
}

static int write_section(os_handle memory, uint64_t offset, const void *bytes, size_t length)
{
	struct memory_glance glance = {NULL, NULL};
	int rc = memory_glance(memory, offset, length, FILE_MAP_WRITE, &glance);

	if (rc < 0)
		return rc;
	if (!VirtualAlloc(glance.at, length, MEM_COMMIT, PAGE_READWRITE))
		rc = sys_failed("committing memory at %" PRIu64 " bytes", offset);
	else
		memcpy(glance.at, bytes, length);
	memory_look_away(&glance);
	return rc;
}

int os_memory_write(os_handle memory, uint64_t offset, const void *bytes, size_t length)
{
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc < 0 || length == 0)
		return rc;
	if (!now.writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot write");
	if (now.kind == MEMORY_FILE)
		return memory_file_write(sys_handle(memory), offset, bytes, length);
	if (offset > now.size || length > now.size - offset)
		return error_set(-STOA_ERANGE, "writing %zu bytes at %" PRIu64 ": the object holds %" PRIu64, length,
				 offset, now.size);
	return write_section(memory, offset, bytes, length);
}

/*
 * A section has no length of its own. The page before the length is committed, so that whoever has the handle alone
 * sees the length as the end of what is committed.
 */
int os_memory_set_length(os_handle memory, uint64_t length)
{
	static const unsigned char nothing[1];
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc == 0 && (now.kind != MEMORY_SECTION || length > now.size))
		return error_set(-STOA_ERANGE, "a length of %" PRIu64 " bytes: the object holds %" PRIu64, length,
				 now.size);
	return rc == 0 && length ? write_section(memory, length - 1, nothing, 1) : rc;
}

/* The end of the last committed run; *ret_total counts what is committed. */
static uint64_t last_end(const unsigned char *view, uint64_t length, uint64_t *ret_total)
{
	uint64_t at = 0, end = 0;

	*ret_total = 0;
	while (at < length) {
		bool committed;
		uint64_t bytes = run(view + at, length - at, &committed);

		at += bytes;
		if (!committed)
			continue;
		*ret_total += bytes;
		end = at;
	}
	return end;
}

void memory_measure(os_handle memory, const struct memory *known, uint64_t *ret_length, uint64_t *ret_resident)
{
	uint64_t room = window_length(known->size), end;
	const unsigned char *window = window_of(memory, known->size);

	*ret_length = *ret_resident = 0;
	if (!window)
		return;
	end = last_end(window, room, ret_resident);
	/* Committed up to the window's end: the data, which has no holes. */
	for (uint64_t from = room, step = WINDOW; end == from && from < known->size; from += step, step *= 2) {
		struct memory_glance glance = {NULL, NULL};

		if (step > known->size - from)
			step = known->size - from;
		if (memory_glance(memory, from, step, FILE_MAP_READ, &glance) < 0)
			break;
		end += memory_run(glance.at, step);
		memory_look_away(&glance);
	}
	if (end > room)
		*ret_resident += end - room;
	*ret_length = end;
}
