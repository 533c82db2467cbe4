/* SPDX-License-Identifier: MIT */
/*
 * The host scan's pass over the processes: what each has mapped (/proc/N/maps) and open (/proc/N/fd). Processes come and go
 * meanwhile: one that is gone is no error. Of others' processes an ordinary user sees nothing; they are counted.
 *
 * What /proc/N tells is its main thread's. When that has ended and others go on, they are asked: all threads have the same maps. Each
 * may have descriptors of its own.
 */
#include "scan_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The process being looked at. */
struct process {
	struct scanner *scanner;
	int64_t id;
	int directory;    /* /proc/N */
	int64_t thread;   /* one that lives, the main one if it does */
	int living;       /* its directory: /proc/N or /proc/N/task/T */
	uint64_t ipc;     /* its System V namespace's number when that is not ours, else 0: ids repeat there */
	char command[64]; /* as the kernel keeps it, at most 15 bytes, or 63 of kernel threads */
};

/* One line of maps. A newline in the path stands there as \012; the name behind a descriptor is exact and wins. */
struct map_line {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t inode;
	dev_t device;
	bool shared;
	const char *path;
};

static bool parse_map_line(const char *line, struct map_line *ret_map)
{
	unsigned major_number;
	unsigned minor_number;
	char rights[8];
	int path_at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %n", &ret_map->start, &ret_map->end,
		   rights, &ret_map->offset, &major_number, &minor_number, &ret_map->inode, &path_at) < 7)
		return false;
	ret_map->device = makedev(major_number, minor_number);
	ret_map->shared = strlen(rights) == 4 && rights[3] == 's';
	ret_map->path = path_at ? line + path_at : "";
	return true;
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* What lies in the kernel's own mount, by the names that it gives. */
static enum scan_kind kind_of_path(const char *path)
{
	if (starts_with(path, "/memfd:"))
		return SCAN_MEMFD;
	if (starts_with(path, "/SYSV"))
		return SCAN_SYSV;
	if (starts_with(path, "/dev/zero") || starts_with(path, "/anon_hugepage"))
		return SCAN_ANONYMOUS;
	return SCAN_FILE;
}

/* Name an object: without the kernel's " (deleted)", which memfds always have, and the memfd's prefix. */
static int name_object(struct scan_object *object, const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t length = strlen(path);

	object->kind = kind_of_path(path);
	if (length > sizeof(deleted) - 1 && strcmp(path + length - (sizeof(deleted) - 1), deleted) == 0) {
		length -= sizeof(deleted) - 1;
		object->deleted = true;
	}
	if (object->kind == SCAN_MEMFD && length >= 7) {
		path += 7;
		length -= 7;
	}
	if (object->kind == SCAN_ANONYMOUS) {
		path = "";
		length = 0;
	}
	free(object->name);
	object->name = strndup(path, length);
	return object->name ? 0 : ENOMEM;
}

/* Size, memory and owner of a mapped object that nobody has open: through map_files where the system lets us. */
static void stat_mapped(const struct process *process, const struct map_line *map, struct scan_object *object)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	if (fstatat(process->directory, path, &st, 0) == 0) {
		bool deleted = object->deleted;

		scan_take_stat(object, &st);
		object->deleted |= deleted;
	}
}

static int take_map(const struct process *process, const struct map_line *map)
{
	struct scanner *scanner = process->scanner;
	const struct memory_device *device = scan_device(scanner, map->device);
	enum scan_kind kind = kind_of_path(map->path);
	struct scan_object *object;
	bool is_new;

	if (!device && map->device != scanner->kernel_device && kind == SCAN_FILE)
		return 0;
	if (kind == SCAN_FILE && !map->shared && (!device || !device->posix))
		return 0; /* a program or library that happens to lie in a tmpfs */
	object = scan_find(scanner, kind == SCAN_SYSV ? process->ipc : map->device, map->inode, &is_new);
	if (!object)
		return ENOMEM;
	if (is_new && name_object(object, map->path) != 0)
		return ENOMEM;
	if (object->size == SCAN_UNKNOWN)
		stat_mapped(process, map, object);
	if (object->resident == SCAN_UNKNOWN) {
		uint64_t reaches = map->offset + (map->end - map->start);

		object->size = object->size == SCAN_UNKNOWN || object->size < reaches ? reaches : object->size;
	}
	object->shared |= map->shared;
	return scan_use(object, process->id, process->command, true, false);
}

/* errno values of a process that is gone, and of one that we may not look into. */
static bool is_gone(int error)
{
	return error == ENOENT || error == ESRCH;
}

static int scan_maps(const struct process *process)
{
	struct map_line map;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int error = 0;
	int descriptor = openat(process->living, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = descriptor >= 0 ? fdopen(descriptor, "r") : NULL;

	if (!maps) {
		error = errno;
		if (descriptor >= 0)
			close(descriptor);
		return error;
	}
	errno = 0;
	while (!error && (length = getline(&line, &room, maps)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		/* Inode 0 is memory of the process alone, or the host's first System V segment. */
		if (parse_map_line(line, &map) && (map.inode != 0 || kind_of_path(map.path) == SCAN_SYSV))
			error = take_map(process, &map);
	}
	if (!error && ferror(maps))
		error = errno;
	free(line);
	fclose(maps);
	return error;
}

/* Could this link of /proc/N/fd lead to memory? Only then is it followed: stat() of some remote file might hang. */
static bool link_is_interesting(const struct scanner *scanner, const char *path)
{
	if (starts_with(path, "/memfd:") || starts_with(path, "/dev/shm/"))
		return true;
	for (size_t i = 0; i < scanner->device_count; i++) {
		const char *directory = scanner->devices[i].directory;

		if (directory && starts_with(path, directory))
			return true;
	}
	return false;
}

static int take_descriptor(const struct process *process, int directory, const char *number)
{
	const struct memory_device *device;
	struct scan_object *object;
	char path[4096];
	struct stat st;
	bool is_new;
	ssize_t length = readlinkat(directory, number, path, sizeof(path) - 1);

	if (length <= 0)
		return length < 0 && errno == EACCES ? EACCES : 0;
	path[length] = 0;
	if (!link_is_interesting(process->scanner, path) || fstatat(directory, number, &st, 0) != 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	device = scan_device(process->scanner, st.st_dev);
	if (kind_of_path(path) == SCAN_FILE && !(device && device->posix)) {
		/* An ordinary open file of /run or /tmp becomes interesting only when somebody maps it. */
		return 0;
	}
	object = scan_find(process->scanner, st.st_dev, st.st_ino, &is_new);
	if (!object || name_object(object, path) != 0)
		return ENOMEM;
	scan_take_stat(object, &st);
	return scan_use(object, process->id, process->command, false, true);
}

static int scan_descriptors(const struct process *process, int thread)
{
	struct dirent *entry;
	int error = 0;
	int descriptor = openat(thread, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = descriptor >= 0 ? fdopendir(descriptor) : NULL;

	if (!directory) {
		error = errno;
		if (descriptor >= 0)
			close(descriptor);
		return error;
	}
	while (!error && (entry = readdir(directory)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			error = take_descriptor(process, descriptor, entry->d_name);
	closedir(directory);
	return error;
}

/* Containers mount their own: learn the memory file systems of each mount namespace that is met. */
static int learn_namespace(const struct process *process)
{
	struct scanner *scanner = process->scanner;
	char link[64];
	char path[64];
	char **namespaces;
	ssize_t length = readlinkat(process->living, "ns/mnt", link, sizeof(link) - 1);

	if (length <= 0)
		return 0;
	link[length] = 0;
	for (size_t i = 0; i < scanner->namespace_count; i++)
		if (strcmp(scanner->namespaces[i], link) == 0)
			return 0;
	namespaces = realloc(scanner->namespaces, (scanner->namespace_count + 1) * sizeof(*namespaces));
	if (!namespaces)
		return ENOMEM;
	scanner->namespaces = namespaces;
	namespaces[scanner->namespace_count] = strdup(link);
	if (!namespaces[scanner->namespace_count])
		return ENOMEM;
	scanner->namespace_count++;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/mountinfo", process->living);
	return scan_mounts(scanner, path, false) == ENOMEM ? ENOMEM : 0;
}

static uint64_t foreign_ipc(int directory)
{
	struct stat ours;
	struct stat theirs;

	if (stat("/proc/self/ns/ipc", &ours) != 0 || fstatat(directory, "ns/ipc", &theirs, 0) != 0)
		return 0;
	return ours.st_ino == theirs.st_ino ? 0 : theirs.st_ino;
}

static ssize_t read_small(int directory, const char *name, char *buffer, size_t size)
{
	int descriptor = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t length = descriptor >= 0 ? read(descriptor, buffer, size - 1) : -1;

	if (descriptor >= 0)
		close(descriptor);
	buffer[length > 0 ? length : 0] = 0;
	return length;
}

/* 0: kernel threads, and threads on their way out, use none; 1; -1: not ours to see. */
static int has_memory(int directory)
{
	char text[512];
	const char *after;
	uint64_t bytes;
	ssize_t length = read_small(directory, "stat", text, sizeof(text));

	if (length <= 0)
		return length == 0 || is_gone(errno) ? 0 : -1;
	after = strrchr(text, ')');
	return !after ||
	       sscanf(after + 1,
		      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u"
		      " %" SCNu64,
		      &bytes) != 1 ||
	       bytes != 0;
}

/* Call `visit` for each thread with its directory, until it does not return 0. */
static int each_thread(struct process *process, int (*visit)(struct process *process, int64_t id, int thread))
{
	struct dirent *entry;
	int result = 0;
	int descriptor = openat(process->directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = descriptor >= 0 ? fdopendir(descriptor) : NULL;

	if (!directory) {
		result = errno;
		if (descriptor >= 0)
			close(descriptor);
		return result;
	}
	while (!result && (entry = readdir(directory)) != NULL) {
		int thread = isdigit((unsigned char)entry->d_name[0])
				     ? openat(descriptor, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				     : -1;

		if (thread < 0)
			continue;
		result = visit(process, strtoll(entry->d_name, NULL, 10), thread);
		close(thread);
	}
	closedir(directory);
	return result;
}

static int take_living(struct process *process, int64_t id, int thread)
{
	if (has_memory(thread) != 1)
		return 0;
	process->thread = id;
	process->living = fcntl(thread, F_DUPFD_CLOEXEC, 3);
	return process->living < 0 ? errno : 1;
}

/* The descriptors of a thread that does not share those already looked at. */
static int take_own_descriptors(struct process *process, int64_t id, int thread)
{
	int error;

	if (id == process->thread || syscall(SYS_kcmp, (pid_t)process->thread, (pid_t)id, KCMP_FILES, 0, 0) == 0)
		return 0;
	error = scan_descriptors(process, thread);
	/* One that has ended has none, and belongs to root. */
	return is_gone(error) || (error != ENOMEM && has_memory(thread) == 0) ? 0 : error;
}

static int look_into(struct process *process)
{
	struct scan *scan = process->scanner->scan;
	int maps_error;
	int fd_error;

	if (read_small(process->directory, "comm", process->command, sizeof(process->command)) > 0)
		process->command[strcspn(process->command, "\n")] = 0;
	process->ipc = foreign_ipc(process->living);
	if (learn_namespace(process) != 0)
		return ENOMEM;
	maps_error = scan_maps(process);
	fd_error = scan_descriptors(process, process->living);
	if (fd_error == 0)
		fd_error = each_thread(process, take_own_descriptors);
	if (maps_error == ENOMEM || fd_error == ENOMEM)
		return ENOMEM;
	if (maps_error == 0 && fd_error == 0)
		scan->processes++;
	else if (!is_gone(maps_error) && !is_gone(fd_error) && has_memory(process->living) != 0)
		scan->processes_refused++;
	return 0;
}

static int scan_process(struct process *process)
{
	int memory = has_memory(process->directory);
	int result;

	process->thread = process->id;
	process->living = process->directory;
	if (memory == 0) {
		process->living = -1;
		result = each_thread(process, take_living);
		if (process->living < 0)
			return result == EMFILE || result == ENFILE || result == ENOMEM ? result : 0;
	}
	result = look_into(process);
	if (process->living != process->directory)
		close(process->living);
	return result;
}

int scan_processes(struct scanner *scanner, void (*progress)(uint64_t processes))
{
	struct dirent *entry;
	int error = 0;
	DIR *proc = opendir("/proc");

	if (!proc)
		return errno;
	while (!error && (entry = readdir(proc)) != NULL) {
		struct process process = {.scanner = scanner};

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		process.id = strtoll(entry->d_name, NULL, 10);
		process.directory = openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process.directory < 0) {
			/* It ended meanwhile; out of descriptors is another matter. */
			scanner->scan->processes_refused += errno == EACCES || errno == EPERM;
			error = is_gone(errno) || errno == EACCES || errno == EPERM ? 0 : errno;
			continue;
		}
		error = scan_process(&process);
		close(process.directory);
		if (progress)
			progress(scanner->scan->processes + scanner->scan->processes_refused);
	}
	closedir(proc);
	return error;
}
