/* SPDX-License-Identifier: MIT */
/* Fault cases of backings. */
#include "faults.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_ERRORS "EINVAL ENOENT EACCES EKIND ENAME EEXIST EBUSY ENOTSUP"

#define SAFE_ERRORS FILE_ERRORS " EFORMAT EVERSION"

static struct stoa_backing *backing;
static unsigned char bytes[8192];

static void close_backing(struct run *run, int result)
{
	if (result >= 0)
		stoa_backing_close(run->ret.backing);
}

static void make_memory(struct run *run)
{
	(void)run;
	CHECK_RC(stoa_backing_memory(8192, &backing), 0);
}

static void open_plain(struct run *run)
{
	CHECK_RC(stoa_backing_file(run->path, 0, 0, &backing), 0);
}

static void close_made(struct run *run, int result)
{
	(void)run, (void)result;
	stoa_backing_close(backing);
}

static int nothing_to_fill(void *context, uint64_t offset, uint64_t length, void *into)
{
	(void)context, (void)offset;
	memset(into, 0, (size_t)length);
	return 0;
}

static int eight_bytes(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = 8;
	return 0;
}

static int create(struct run *run)
{
	return stoa_backing_create(&(struct stoa_backing_calls){.fill = nothing_to_fill, .size = eight_bytes}, NULL,
				   &run->ret.backing);
}

static int memory(struct run *run)
{
	return stoa_backing_memory(8192, &run->ret.backing);
}

static int file(struct run *run)
{
	return stoa_backing_file(run->path, 0, 0, &run->ret.backing);
}

static const char *new_path(const struct run *run)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s.new", run->path);
	return path;
}

static int new_file(struct run *run)
{
	return stoa_backing_file(new_path(run), STOA_BACKING_CREATE, 8192, &run->ret.backing);
}

/* Made whole, or not at all. */
static void remove_file(struct run *run, int result)
{
	struct stat status;

	if (result < 0) {
		CHECK_EQ(access(new_path(run), F_OK), -1);
		return;
	}
	CHECK_SYS(stat(new_path(run), &status));
	CHECK_EQ(status.st_size, 8192);
	stoa_backing_close(run->ret.backing);
	CHECK_SYS(unlink(new_path(run)));
}

/* ---- crash-safe ---- */

static void open_safe(struct run *run)
{
	CHECK_RC(stoa_backing_file(run->path, STOA_BACKING_CRASH_SAFE, 0, &backing), 0);
}

static int safe_file(struct run *run)
{
	return stoa_backing_file(run->path, STOA_BACKING_CRASH_SAFE, 0, &run->ret.backing);
}

static int new_safe_file(struct run *run)
{
	return stoa_backing_file(new_path(run), STOA_BACKING_CRASH_SAFE | STOA_BACKING_CREATE, 8192, &run->ret.backing);
}

/* The log goes with whom it was made for, or the next. The file is there as a whole, or not at all. */
static void check_no_log(struct run *run, int result)
{
	char path[620];

	if (result < 0)
		open_safe(run);
	stoa_backing_close(result < 0 ? backing : run->ret.backing);
	snprintf(path, sizeof(path), "%s.stoa-log", run->path);
	CHECK_EQ(access(path, F_OK), -1);
}

static void remove_safe_file(struct run *run, int result)
{
	struct stat status;
	char path[620];

	if (result >= 0)
		stoa_backing_close(run->ret.backing);
	if (stat(new_path(run), &status) == 0)
		CHECK_EQ(status.st_size, 8192);
	(void)unlink(new_path(run));
	snprintf(path, sizeof(path), "%s.stoa-log", new_path(run));
	(void)unlink(path);
}

static void close_and_look(struct run *run, int result)
{
	(void)result;
	stoa_backing_close(backing);
	check_no_log(run, -1);
}

static void look(struct run *run, int result)
{
	(void)result;
	check_no_log(run, -1);
}

static int close_it(struct run *run)
{
	(void)run;
	stoa_backing_close(backing);
	return 0;
}

static int fill(struct run *run)
{
	(void)run;
	return stoa_backing_fill(backing, 0, sizeof(bytes), bytes);
}

static int write_it(struct run *run)
{
	(void)run;
	return stoa_backing_write(backing, 0, sizeof(bytes), bytes);
}

static int flush(struct run *run)
{
	(void)run;
	return stoa_backing_flush(backing);
}

static int size(struct run *run)
{
	return stoa_backing_size(backing, &run->ret.bits);
}

/* ---- compressed ---- */

static int open_zstd(struct run *run, uint32_t flags)
{
	const struct stoa_backing_zstd_options options = {.flags = flags, .size = 8192, .frame = 4096};
	int rc = stoa_backing_zstd(new_path(run), &options, &run->ret.backing);

	return rc == -STOA_ENOTSUP ? 0 : rc; /* built without */
}

static int new_zstd(struct run *run)
{
	return open_zstd(run, STOA_BACKING_CREATE);
}

static int old_zstd(struct run *run)
{
	return open_zstd(run, 0);
}

static void close_zstd(struct run *run, int result)
{
	if (result >= 0 && run->ret.bits != UNTOUCHED)
		stoa_backing_close(run->ret.backing);
}

static void remove_zstd(struct run *run, int result)
{
	close_zstd(run, result);
	(void)unlink(new_path(run));
}

static void make_zstd(struct run *run)
{
	CHECK_RC(new_zstd(run), 0);
	close_zstd(run, 0);
	run->ret.bits = UNTOUCHED;
}

static void hold_zstd(struct run *run)
{
	make_zstd(run);
	CHECK_RC(old_zstd(run), 0);
	backing = run->ret.bits == UNTOUCHED ? NULL : run->ret.backing;
	run->ret.bits = UNTOUCHED;
	if (!backing)
		make_memory(run);
}

static void remove_held(struct run *run, int result)
{
	close_made(run, result);
	(void)unlink(new_path(run));
}

static int write_and_flush(struct run *run)
{
	int rc = write_it(run);

	return rc < 0 ? rc : flush(run);
}

const struct fault_case backing_cases[] = {
	{"stoa_backing_create", "EINVAL", NULL, create, close_backing},
	{"stoa_backing_close", "", make_memory, close_it, NULL},
	{"stoa_backing_close", "", open_plain, close_it, NULL},
	{"stoa_backing_fill", "EINVAL", open_plain, fill, close_made},
	{"stoa_backing_write", "EINVAL ERIGHTS", open_plain, write_it, close_made},
	{"stoa_backing_flush", "EINVAL", open_plain, flush, close_made},
	{"stoa_backing_size", "EINVAL", open_plain, size, close_made},
	{"stoa_backing_memory", "EINVAL", NULL, memory, close_backing},
	{"stoa_backing_file", FILE_ERRORS, NULL, file, close_backing},
	{"stoa_backing_file", FILE_ERRORS, NULL, new_file, remove_file},
	{"stoa_backing_file", SAFE_ERRORS, NULL, safe_file, check_no_log},
	{"stoa_backing_file", SAFE_ERRORS, NULL, new_safe_file, remove_safe_file},
	{"stoa_backing_write", "EINVAL ERIGHTS", open_safe, write_it, close_and_look},
	{"stoa_backing_fill", "EINVAL", open_safe, fill, close_and_look},
	{"stoa_backing_flush", "EINVAL", open_safe, flush, close_and_look},
	{"stoa_backing_close", "", open_safe, close_it, look},
	{"stoa_backing_zstd", SAFE_ERRORS, NULL, new_zstd, remove_zstd},
	{"stoa_backing_zstd", SAFE_ERRORS, make_zstd, old_zstd, remove_zstd},
	{"stoa_backing_fill", "EINVAL EFORMAT", hold_zstd, fill, remove_held},
	{"stoa_backing_flush", "EINVAL EIO", hold_zstd, write_and_flush, remove_held},
	{0},
};
