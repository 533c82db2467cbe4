/* SPDX-License-Identifier: MIT */
/*
 * The host scan on Linux: the set of objects, and the order of the passes. Uses /proc and libc. An object is known by its device and
 * inode, which maps, descriptors and directories all tell, so that it appears once however many processes use it.
 */
#include "scan_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t hash_place(const struct scanner *scanner, uint64_t device, uint64_t inode)
{
	uint64_t mixed = (inode ^ device << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(mixed >> 20) & (scanner->index_size - 1);
}

static void index_add(struct scanner *scanner, size_t number)
{
	const struct scan_object *object = &scanner->scan->objects[number];
	size_t place = hash_place(scanner, object->device, object->inode);

	while (scanner->index[place])
		place = (place + 1) & (scanner->index_size - 1);
	scanner->index[place] = (uint32_t)number + 1;
}

/* Twice the objects, and an index that is at most half full. */
static int grow(struct scanner *scanner)
{
	size_t room = scanner->room ? 2 * scanner->room : 256;
	struct scan_object *objects = realloc(scanner->scan->objects, room * sizeof(*objects));
	uint32_t *index;

	if (!objects)
		return ENOMEM;
	scanner->scan->objects = objects;
	index = calloc(2 * room, sizeof(*index));
	if (!index)
		return ENOMEM;
	free(scanner->index);
	scanner->index = index;
	scanner->index_size = 2 * room;
	scanner->room = room;
	for (size_t i = 0; i < scanner->scan->count; i++)
		index_add(scanner, i);
	return 0;
}

struct scan_object *scan_lookup(const struct scanner *scanner, uint64_t device, uint64_t inode)
{
	if (!scanner->index)
		return NULL;
	for (size_t place = hash_place(scanner, device, inode); scanner->index[place];
	     place = (place + 1) & (scanner->index_size - 1)) {
		struct scan_object *object = &scanner->scan->objects[scanner->index[place] - 1];

		if (object->device == device && object->inode == inode)
			return object;
	}
	return NULL;
}

struct scan_object *scan_find(struct scanner *scanner, uint64_t device, uint64_t inode, bool *ret_new)
{
	struct scan *scan = scanner->scan;
	struct scan_object *object = scan_lookup(scanner, device, inode);

	*ret_new = !object;
	if (object)
		return object;
	if (scan->count == scanner->room && grow(scanner) != 0)
		return NULL;
	object = &scan->objects[scan->count];
	memset(object, 0, sizeof(*object));
	object->size = SCAN_UNKNOWN;
	object->resident = SCAN_UNKNOWN;
	object->owner = UINT32_MAX;
	object->device = device;
	object->inode = inode;
	index_add(scanner, scan->count++);
	return object;
}

int scan_use(struct scan_object *object, int64_t process, const char *command, bool maps, bool opens)
{
	struct scan_user *users;
	char *copy;

	/* Processes come one after the other: if it is known, it is the last. */
	if (object->user_count > 0 && object->users[object->user_count - 1].process == process) {
		object->users[object->user_count - 1].maps |= maps;
		object->users[object->user_count - 1].opens |= opens;
		return 0;
	}
	users = realloc(object->users, (object->user_count + 1) * sizeof(*users));
	if (!users)
		return ENOMEM;
	object->users = users;
	copy = strdup(command);
	if (!copy)
		return ENOMEM;
	users[object->user_count++] = (struct scan_user){process, copy, maps, opens};
	return 0;
}

void scan_take_stat(struct scan_object *object, const struct stat *st)
{
	object->size = (uint64_t)st->st_size;
	object->resident = (uint64_t)st->st_blocks * 512;
	object->owner = st->st_uid;
	object->mode = st->st_mode & 07777;
	object->changed = st->st_ctime;
	object->deleted = st->st_nlink == 0;
}

/* The kernel's internal mount has no path; a memfd of our own tells its device. */
static int find_kernel_device(struct scanner *scanner)
{
	struct stat st;
	int descriptor = memfd_create("stoa-scan", MFD_CLOEXEC);

	if (descriptor < 0)
		return errno == ENOSYS ? 0 : errno;
	if (fstat(descriptor, &st) == 0)
		scanner->kernel_device = st.st_dev;
	close(descriptor);
	return 0;
}

#define INITIAL_PID_NAMESPACE 0xeffffffcu /* the inode that the kernel gives the host's own */

/* Process 1 is there always, and another user's unless we may see all. */
static enum scan_hidden find_hidden(void)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) != 0 || st.st_ino != INITIAL_PID_NAMESPACE)
		return SCAN_HIDDEN_NAMESPACE;
	return stat("/proc/1", &st) == 0 ? SCAN_HIDDEN_NONE : SCAN_HIDDEN_MOUNT;
}

int scan_host(bool all_files, void (*progress)(uint64_t processes), struct scan **ret_scan)
{
	struct scanner scanner = {0};
	int error;

	scanner.all_files = all_files;
	scanner.scan = calloc(1, sizeof(*scanner.scan));
	error = scanner.scan ? find_kernel_device(&scanner) : ENOMEM;
	if (!error)
		error = scan_mounts(&scanner, "/proc/self/mountinfo", true);
	if (!error)
		scanner.scan->hidden = find_hidden();
	/* System V first: maps of its segments then find them by their id. */
	if (!error)
		error = scan_sysv(&scanner);
	if (!error)
		error = scan_processes(&scanner, progress);
	if (!error)
		error = scan_files(&scanner);
	for (size_t i = 0; i < scanner.device_count; i++)
		free(scanner.devices[i].directory);
	for (size_t i = 0; i < scanner.namespace_count; i++)
		free(scanner.namespaces[i]);
	free(scanner.devices);
	free(scanner.namespaces);
	free(scanner.index);
	if (error)
		scan_destroy(scanner.scan);
	else
		*ret_scan = scanner.scan;
	return error;
}

void scan_destroy(struct scan *scan)
{
	if (!scan)
		return;
	for (size_t i = 0; i < scan->count; i++) {
		for (size_t k = 0; k < scan->objects[i].user_count; k++)
			free(scan->objects[i].users[k].command);
		free(scan->objects[i].users);
		free(scan->objects[i].name);
	}
	free(scan->objects);
	free(scan);
}

int scan_orphaned(const struct scan *scan, const struct scan_object *object)
{
	if (object->user_count > 0)
		return 0;
	if (object->kind == SCAN_SYSV)
		return object->attached == 0;
	return scan->processes_refused > 0 || scan->hidden ? -1 : 1;
}

/* Root is refused only where its rights are cut. */
const char *scan_remedy(void)
{
	return geteuid() == 0 ? "root needs CAP_SYS_PTRACE on this host to see all" : "run as root to see all";
}
