/* SPDX-License-Identifier: MIT */
/*
 * A file whose second half cannot be read: a file system in user space that serves just that, for the tests of errors from
 * a device. Needs root and /dev/fuse.
 */
#ifndef TESTS_SEGMENT_BADFILE_H
#define TESTS_SEGMENT_BADFILE_H

#include <segment/linux.h>

#include <linux/fuse.h>
#include <sys/mount.h>

#define BADFILE_SIZE (UINT64_C(256) << 10)
#define BADFILE_GOOD (BADFILE_SIZE / 2)
#define BADFILE_BYTE 'g'

static inline struct fuse_attr badfile_attributes(uint64_t node)
{
	struct fuse_attr attributes = {.ino = node, .nlink = 1, .blksize = 4096};

	attributes.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	attributes.size = node == FUSE_ROOT_ID ? 0 : BADFILE_SIZE;
	attributes.blocks = attributes.size / 512;
	return attributes;
}

/* Fill in the answer to one request. Returns its length, or minus an errno; INT32_MIN: no answer is expected. */
static inline int badfile_answer(const struct fuse_in_header *request, const void *body, char *answer)
{
	const struct fuse_read_in *read_in = body;
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 65536};
	struct fuse_entry_out entry = {.nodeid = 2, .attr_valid = 100, .attr = badfile_attributes(2)};
	struct fuse_attr_out attributes = {.attr_valid = 100, .attr = badfile_attributes(request->nodeid)};
	struct fuse_open_out opened = {.fh = 1};

	switch (request->opcode) {
	case FUSE_INIT: memcpy(answer, &init, sizeof(init)); return (int)sizeof(init);
	case FUSE_LOOKUP: memcpy(answer, &entry, sizeof(entry)); return (int)sizeof(entry);
	case FUSE_GETATTR: memcpy(answer, &attributes, sizeof(attributes)); return (int)sizeof(attributes);
	case FUSE_OPEN: memcpy(answer, &opened, sizeof(opened)); return (int)sizeof(opened);
	case FUSE_READ:
		if (read_in->offset + read_in->size > BADFILE_GOOD)
			return -EIO;
		memset(answer, BADFILE_BYTE, read_in->size);
		return (int)read_in->size;
	case FUSE_FLUSH:
	case FUSE_RELEASE: return 0;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET: return INT32_MIN;
	default: return -ENOSYS;
	}
}

/* A role's body: serve until the file system is gone. */
static inline void badfile_serve(void *device)
{
	static char request[1 << 20], answer[1 << 20];
	int fd = *(int *)device;
	ssize_t got;

	while ((got = read(fd, request, sizeof(request))) > 0 || errno == EINTR || errno == ENOENT) {
		struct fuse_in_header *in = (void *)request;
		struct fuse_out_header *out = (void *)answer;
		int length;

		if (got <= 0)
			continue;
		length = badfile_answer(in, in + 1, (char *)(out + 1));
		if (length == INT32_MIN)
			continue;
		out->error = length < 0 ? length : 0;
		out->len = (uint32_t)sizeof(*out) + (uint32_t)(length > 0 ? length : 0);
		out->unique = in->unique;
		if (write(fd, answer, out->len) < 0)
			break;
	}
}

/* Mount it in the test's own place. The caller starts a role with badfile_serve(ret_device), and ends with badfile_unmount(). */
static inline void badfile_mount(char *path, size_t size, int *ret_device)
{
	char options[128];

	need_root("a file system with unreadable files");
	*ret_device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (*ret_device < 0)
		SKIP("no /dev/fuse: %s", strerror(errno));
	snprintf(path, size, "%s/bad", test_dir());
	CHECK_SYS(mkdir(path, 0700));
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", *ret_device);
	if (mount("stoa-test", path, "fuse", MS_NOSUID | MS_NODEV, options) != 0)
		SKIP("no file systems in user space here: %s", strerror(errno));
}

static inline void badfile_unmount(const char *path, int device, pid_t server)
{
	test_kill(server);
	CHECK_SYS(umount2(path, MNT_DETACH));
	close(device);
	CHECK_SYS(rmdir(path));
}

#endif
