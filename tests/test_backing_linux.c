/* SPDX-License-Identifier: MIT */
/* Backings and what only Linux has: limits that kill, links, pipes, devices that fail, full file systems. */
#include "files.h"

#include <harness/test.h>

#include <segment/badfile.h>
#include <segment/common.h>
#include <segment/linux.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define BLOCK 4096u

/* Where write(2) would end the process, within the file too. */
TEST(the_limit_of_files_is_an_error)
{
	const struct rlimit limit = {BLOCK, BLOCK};
	static unsigned char bytes[2 * BLOCK];
	struct stoa_backing *backing, *large = NULL;

	CHECK_RC(stoa_backing_file(test_path("limited"), STOA_BACKING_CREATE, 4 * BLOCK, &backing), 0);
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_RC(stoa_backing_write(backing, 0, BLOCK, bytes), 0);
	CHECK_RC(stoa_backing_write(backing, 0, 2 * BLOCK, bytes), -STOA_ELIMIT);
	CHECK_RC(stoa_backing_write(backing, 2 * BLOCK, BLOCK, bytes), -STOA_ELIMIT);
	check_detail("ulimit -f");
	CHECK_RC(stoa_backing_file(test_path("larger"), STOA_BACKING_CREATE, 4 * BLOCK, &large), -STOA_ELIMIT);
	CHECK_EQ(access(test_path("larger"), F_OK), -1);
	stoa_backing_close(backing);
}

TEST(what_is_no_regular_file)
{
	struct stoa_backing *backing = NULL;

	CHECK_SYS(mkfifo(test_path("pipe"), 0600));
	CHECK_SYS(symlink(test_path("pipe"), test_path("to_pipe")));
	CHECK_SYS(symlink(test_path("nowhere"), test_path("to_nowhere")));
	CHECK_RC(stoa_backing_file(test_path("pipe"), 0, 0, &backing), -STOA_EKIND);
	CHECK_RC(stoa_backing_file(test_path("pipe"), STOA_BACKING_READ_ONLY, 0, &backing), -STOA_EKIND);
	CHECK_RC(stoa_backing_file(test_path("to_pipe"), STOA_BACKING_CREATE, 5, &backing), -STOA_EKIND);
	CHECK_RC(stoa_backing_file(test_path("to_nowhere"), STOA_BACKING_CREATE, 5, &backing), -STOA_ENOENT);
	check_detail("leads nowhere");
	CHECK_EQ(access(test_path("nowhere"), F_OK), -1);
	CHECK(backing == NULL);
}

TEST(a_device_that_fails)
{
	static unsigned char bytes[BADFILE_SIZE];
	struct stoa_backing *backing;
	char bad[600], path[640];
	pid_t server;
	int device;

	badfile_mount(bad, sizeof(bad), &device);
	server = test_role(badfile_serve, &device);
	snprintf(path, sizeof(path), "%s/file", bad);
	CHECK_RC(stoa_backing_file(path, STOA_BACKING_READ_ONLY, 0, &backing), 0);
	CHECK_RC(stoa_backing_fill(backing, 0, BLOCK, bytes), 0);
	CHECK_EQ(bytes[BLOCK - 1], BADFILE_BYTE);
	CHECK_RC(stoa_backing_fill(backing, BADFILE_SIZE - BLOCK, BLOCK, bytes), -STOA_EIO);
	CHECK_RC(stoa_backing_fill(backing, 0, BLOCK, bytes), 0);
	stoa_backing_close(backing);
	badfile_unmount(bad, device, server);
}

TEST(a_full_file_system)
{
	static unsigned char bytes[2 << 20];
	struct stoa_backing *backing;
	char path[600];

	need_root("a small file system");
	snprintf(path, sizeof(path), "%s/small", test_dir());
	CHECK_SYS(mkdir(path, 0700));
	if (mount("test", path, "tmpfs", 0, "size=1m") != 0)
		SKIP("no mounts here: %s", strerror(errno));
	memset(bytes, 1, sizeof(bytes));
	CHECK_RC(stoa_backing_file(test_path("small/file"), STOA_BACKING_CREATE, sizeof(bytes), &backing), 0);
	CHECK_RC(stoa_backing_write(backing, 0, sizeof(bytes), bytes), -STOA_ENOMEM);
	check_detail("do not fit");
	stoa_backing_close(backing);
	CHECK_SYS(umount2(path, MNT_DETACH));
	CHECK_SYS(rmdir(path));
}

static void read_in_a_child(void *argument)
{
	unsigned char byte;

	CHECK_RC(stoa_backing_fill(*(struct stoa_backing **)argument, BLOCK, 1, &byte), 0);
	CHECK_EQ(byte, 8);
}

TEST(a_forked_child_has_it_too)
{
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_file(test_path("forked"), STOA_BACKING_CREATE, 4 * BLOCK, &backing), 0);
	CHECK_RC(stoa_backing_write(backing, BLOCK, 1, "\10"), 0);
	CHECK_EQ(test_join(test_role(read_in_a_child, &backing)), 0);
	stoa_backing_close(backing);
}
