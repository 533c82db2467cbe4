/* SPDX-License-Identifier: MIT */
/*
 * Honest commit: when it returns, the pages exist, and nothing that happens later turns a touch into a signal. fallocate()
 * makes them; it grows the object by itself and never cuts it, so any number of processes may call it at once.
 *
 * Three things would kill the process instead of failing: RLIMIT_FSIZE (SIGXFSZ), a memory group's limit, and the host's
 * out-of-memory killer. Each is looked at before. Steps are small because kernels before 6.9 restart a large fallocate from
 * its beginning at every signal.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <fcntl.h>
#include <inttypes.h>
#include <os/linux/limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define STEP OS_HUGE_PAGE
#define CHUNK (16 * STEP)

/* The C library's getrlimit() is prlimit64(2), which takes twice as long, and this runs once per page committed. */
static int own_limit(int resource, struct rlimit *ret_limit)
{
#ifdef SYS_getrlimit
	return (int)syscall(SYS_getrlimit, resource, ret_limit);
#else
	return getrlimit((__rlimit_resource_t)resource, ret_limit);
#endif
}

int os_length_allowed(uint64_t length)
{
	char texts[2][ERROR_SIZE];
	struct rlimit limit;

	if (SYS(own_limit, RLIMIT_FSIZE, &limit) < 0)
		return sys_failed("asking for RLIMIT_FSIZE");
	if (limit.rlim_cur == RLIM_INFINITY || length <= limit.rlim_cur)
		return 0;
	return error_set(-STOA_ELIMIT, "the memory object would have %s, but RLIMIT_FSIZE (ulimit -f) allows %s",
			 error_size(length, texts[0]), error_size(limit.rlim_cur, texts[1]));
}

/* Growing past the space that a mounted file system has left is refused before any of it is taken. */
static int space_allowed(const struct os_extent *extent, uint64_t growth)
{
	struct statfs system;

	if (SYS(fstatfs, sys_fd(extent->memory), &system) < 0)
		return sys_failed("asking for free space");
	/* A memfd's system has no limit and says 0 blocks. */
	if (system.f_blocks == 0)
		return 0;
	if (growth <= (uint64_t)system.f_bavail * (uint64_t)system.f_bsize)
		return 0;
	return sys_full(sys_fd(extent->memory), growth);
}

/* At byte `at`, with `end` to be reached. */
static int commit_failed(int fd, uint64_t at, uint64_t end)
{
	switch (errno) {
	case EPERM: return error_set(-STOA_ERIGHTS, "sealed against growth at %" PRIu64 " bytes", at);
	case EBADF: return error_set(-STOA_ERIGHTS, "a read-only handle cannot commit");
	case ENOSPC: return sys_full(fd, end - at);
	default: return sys_failed("committing memory at %" PRIu64 " bytes", at);
	}
}

/* For file systems without fallocate: append zeros. Appending never overwrites what another process wrote meanwhile. */
static int append_zeros(int fd, uint64_t end)
{
	static const char zeros[64 * 1024];
	uint64_t length;

	while ((length = os_memory_length(fd)) < end) {
		uint64_t missing = end - length;
		struct iovec piece = {(void *)(uintptr_t)zeros,
				      missing < sizeof(zeros) ? (size_t)missing : sizeof(zeros)};

		if (SYS(pwritev2, fd, &piece, 1, -1, RWF_APPEND) < 0 && errno != EINTR)
			return commit_failed(fd, length, end);
	}
	return 0;
}

/* One step with fallocate; halved when signals interrupt it again and again. */
static int allocate(int fd, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length, piece = length;

	while (offset < end) {
		if (piece > end - offset)
			piece = end - offset;
		if (SYS(fallocate, fd, 0, (off_t)offset, (off_t)piece) == 0)
			offset += piece;
		else if (errno == EOPNOTSUPP)
			return append_zeros(fd, end);
		else if (errno != EINTR)
			return commit_failed(fd, offset, end);
		else if (piece > OS_PAGE)
			piece = (piece / 2 + OS_PAGE - 1) & ~(OS_PAGE - 1);
	}
	return 0;
}

/*
 * Grow the object so that [at, at + STEP) of the extent lies inside, leaving room for huge pages. Where it cannot be cut a
 * truncate does it: a further length set by another process meanwhile is not undone, the seal forbids it (EPERM). Elsewhere a
 * truncate might cut what another process has just committed; there the last page of the next CHUNK is allocated, and the
 * block with that page has to be collapsed into a huge one later.
 */
static bool extend(const struct os_extent *extent, uint64_t at, uint64_t to)
{
	uint64_t last = at + CHUNK < to ? at + CHUNK : to - (to - at) % STEP;
	uint64_t length = os_memory_length(extent->memory);

	if (length >= extent->offset + at + STEP)
		return true;
	if (extent->cannot_shrink)
		return SYS(ftruncate, sys_fd(extent->memory), (off_t)(extent->offset + at + STEP)) == 0 ||
		       errno == EPERM;
	return allocate(sys_fd(extent->memory), extent->offset + last - OS_PAGE, OS_PAGE) == 0;
}

/* Back one whole, aligned block with a huge page if there is one. false: it is not backed at all. */
static bool allocate_huge(const struct os_extent *extent, uint64_t at, uint64_t to)
{
	if (!extend(extent, at, to) || SYS(madvise, extent->address + at, STEP, MADV_POPULATE_WRITE) < 0)
		return false;
	/* Thousands of times slower than a huge page from the start, and at once done where it is one. Best effort. */
	if (extent->huge == OS_HUGE_REQUIRED)
		(void)SYS(madvise, extent->address + at, STEP, MADV_COLLAPSE);
	return true;
}

/*
 * What [from, to) still needs, at most: all beyond the object's length, and below it no more than the object has holes.
 * Memory that other processes committed already is not counted again.
 */
static int memory_allowed(const struct os_extent *extent, uint64_t from, uint64_t to)
{
	uint64_t start = extent->offset + from, end = extent->offset + to, length, full, present, need;
	struct stat status;

	if (limits_credit(to - from))
		return 0;
	if (SYS(fstat, sys_fd(extent->memory), &status) < 0)
		return sys_failed("asking for a length");
	length = (uint64_t)status.st_size < end ? (uint64_t)status.st_size : end;
	full = (uint64_t)status.st_size > extent->offset ? (uint64_t)status.st_size - extent->offset : 0;
	present = (uint64_t)status.st_blocks * 512;
	need = length > start ? length - start : 0;
	if (need > full - (present < full ? present : full))
		need = full - (present < full ? present : full);
	return limits_memory(need + end - (length > start ? length : start));
}

int os_commit_allowed(const struct os_extent *extent, uint64_t from, uint64_t to)
{
	uint64_t start = extent->offset + from, end = extent->offset + to, length;
	int rc = os_length_allowed(end);

	if (rc < 0 && os_memory_length(extent->memory) < end)
		return rc;
	if (extent->in_memory) {
		rc = memory_allowed(extent, from, to);
		if (rc < 0)
			return rc;
	}
	/* Less than a step is taken or refused as a whole by the kernel; a whole one may be grown first and filled then. */
	if (to - from < STEP)
		return 0;
	length = os_memory_length(extent->memory);
	return length < end ? space_allowed(extent, end - (length > start ? length : start)) : 0;
}

int os_commit(const struct os_extent *extent, uint64_t from, uint64_t to, uint64_t *ret_done)
{
	uint64_t at = from;
	int rc = os_commit_allowed(extent, from, to);

	*ret_done = 0;
	if (rc < 0)
		return rc;
	while (at < to) {
		uint64_t in_block = (extent->offset + at) % STEP, step = STEP - in_block;

		if (step > to - at)
			step = to - at;
		if (extent->huge == OS_HUGE_NEVER || step < STEP || !allocate_huge(extent, at, to))
			rc = allocate(sys_fd(extent->memory), extent->offset + at, step);
		if (rc < 0)
			return rc;
		at += step;
		*ret_done = at - from;
	}
	return 0;
}

int os_discard(const struct os_extent *extent, uint64_t from, uint64_t to)
{
	int rc;

	do
		rc = SYS(fallocate, sys_fd(extent->memory), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(extent->offset + from), (off_t)(to - from));
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno == EPERM)
		return error_set(-STOA_ERIGHTS, "a seal against writing forbids giving pages back");
	return sys_failed("giving %" PRIu64 " bytes back", to - from);
}

int os_cut(const struct os_extent *extent, uint64_t length)
{
	if (SYS(ftruncate, sys_fd(extent->memory), (off_t)(extent->offset + length)) == 0)
		return 0;
	if (errno == EPERM)
		return error_set(-STOA_ERIGHTS, "a seal forbids cutting it");
	return sys_failed("cutting to %" PRIu64 " bytes", length);
}

int os_flush(const struct os_extent *extent, uint64_t from, uint64_t to, bool durable)
{
	int rc;

	if (durable)
		rc = SYS(msync, extent->address + from, to - from, MS_SYNC);
	else
		rc = SYS(sync_file_range, sys_fd(extent->memory), (off_t)(extent->offset + from), (off_t)(to - from),
			 SYNC_FILE_RANGE_WRITE);
	/* Memory has nowhere to be flushed to. */
	if (rc == 0 || (errno == EINVAL && extent->in_memory))
		return 0;
	return sys_failed("flushing %" PRIu64 " bytes", to - from);
}
