/* SPDX-License-Identifier: MIT */
/*
 * Hashes of all that outlives a victim. The shared bytes are read through maps of what the victim has open, only where the file has
 * data: reading elsewhere would allocate pages and so change what is watched. The robust list is walked as the
 * kernel walks it at the thread's end, so no knowledge of the library's private memory is needed.
 */
#include "watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)
#define BYTES_MAX (2 << 20)
#define ROBUST_MAX 256

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * MULTIPLIER;
	return hash ^ (hash >> 29);
}

/* Four words at a time, as each waits for the one before it in its own lane only. */
static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t length)
{
	uint64_t lanes[4] = {hash, hash + 1, hash + 2, hash + 3}, words[4], word = 0;
	const unsigned char *from = bytes;

	if (length >= 256) {
		for (; length >= sizeof(words); from += sizeof(words), length -= sizeof(words)) {
			memcpy(words, from, sizeof(words));
			for (unsigned i = 0; i < 4; i++)
				lanes[i] = mix(lanes[i], words[i]);
		}
		hash = mix(mix(mix(lanes[0], lanes[1]), lanes[2]), lanes[3]);
	}
	for (; length >= 8; from += 8, length -= 8) {
		memcpy(&word, from, 8);
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, from, length);
	return mix(hash, word);
}

void watch_begin(struct watch *watch, pid_t pid, const struct step_world *world)
{
	void *head = NULL;
	size_t length = 0;

	watch->pid = pid;
	watch->world = world;
	watch->file_count = 0;
	syscall(SYS_get_robust_list, pid, &head, &length);
	watch->robust_head = (uint64_t)(uintptr_t)head;
	watch_refresh(watch);
}

void watch_end(struct watch *watch)
{
	for (unsigned i = 0; i < watch->file_count; i++) {
		if (watch->maps[i] != MAP_FAILED)
			munmap(watch->maps[i], (size_t)watch->lengths[i]);
		close(watch->files[i]);
	}
	watch->file_count = 0;
}

static bool known(const struct watch *watch, const struct stat *entry)
{
	struct stat other;

	for (unsigned i = 0; i < watch->file_count; i++)
		if (!fstat(watch->files[i], &other) && other.st_ino == entry->st_ino && other.st_dev == entry->st_dev)
			return true;
	return false;
}

static void look_at(struct watch *watch, const char *path)
{
	struct stat entry;
	char target[256];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	int file;

	if (length <= 0)
		return;
	target[length] = 0;
	if (strncmp(target, "/memfd:", 7) && strncmp(target, "/dev/shm/", 9))
		return;
	if (stat(path, &entry) || !S_ISREG(entry.st_mode) || known(watch, &entry) ||
	    watch->file_count == WATCH_FILES_MAX)
		return;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return;
	watch->files[watch->file_count] = file;
	watch->lengths[watch->file_count] = entry.st_size;
	watch->maps[watch->file_count++] =
		entry.st_size ? mmap(NULL, (size_t)entry.st_size, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
}

void watch_refresh(struct watch *watch)
{
	char path[320];
	struct dirent *entry;
	DIR *directory;

	watch_end(watch);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)watch->pid);
	directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)watch->pid, entry->d_name);
		look_at(watch, path);
	}
	closedir(directory);
}

static uint64_t mix_file(uint64_t hash, const struct watch *watch, unsigned number)
{
	const unsigned char *map = watch->maps[number];
	off_t at = 0, total = 0;

	while (watch->maps[number] != MAP_FAILED) {
		off_t from = lseek(watch->files[number], at, SEEK_DATA);
		off_t to = from < 0 ? -1 : lseek(watch->files[number], from, SEEK_HOLE);

		if (to > watch->lengths[number])
			to = watch->lengths[number];
		if (to <= from || total > BYTES_MAX)
			break;
		if (to - from > BYTES_MAX)
			to = from + BYTES_MAX;
		hash = mix_bytes(mix(hash, (uint64_t)from), map + from, (size_t)(to - from));
		total += to - from;
		at = to;
	}
	return hash;
}

uint64_t watch_shared(const struct watch *watch)
{
	uint64_t hash = mix_bytes(1, watch->world->control, STEP_CONTROL_SIZE);

	for (unsigned i = 0; i < watch->file_count; i++)
		hash = mix_file(hash, watch, i);
	return hash;
}

/* Order of a directory is not fixed, so entries are added up. */
uint64_t watch_names(const struct watch *watch)
{
	uint64_t sum = 0;
	struct dirent *entry;
	DIR *directory;

	for (unsigned i = 0; i < watch->file_count; i++) {
		struct stat file;

		if (!fstat(watch->files[i], &file))
			sum += mix(mix(mix(2, file.st_ino), (uint64_t)file.st_size), (uint64_t)file.st_blocks);
	}
	directory = watch->world->names ? opendir(watch->world->names) : NULL;
	if (!directory)
		return sum;
	while ((entry = readdir(directory)) != NULL) {
		struct stat file;
		uint64_t hash;

		if (!strstr(entry->d_name, watch->world->token))
			continue;
		hash = mix_bytes(3, entry->d_name, strlen(entry->d_name));
		if (!fstatat(dirfd(directory), entry->d_name, &file, AT_SYMLINK_NOFOLLOW))
			hash = mix(mix(mix(hash, file.st_ino), (uint64_t)file.st_size), file.st_mode);
		sum += hash;
	}
	closedir(directory);
	return sum;
}

static bool peek(const struct watch *watch, uint64_t address, void *to, size_t length)
{
	struct iovec local = {to, length};
	struct iovec remote = {(void *)(uintptr_t)address, length};

	return process_vm_readv(watch->pid, &local, 1, &remote, 1, 0) == (ssize_t)length;
}

/* head: next, futex offset, pending. Each node's first word is the next node; its lowest bit is a flag. */
uint64_t watch_robust(const struct watch *watch)
{
	uint64_t head[3], node, hash;

	if (!watch->robust_head || !peek(watch, watch->robust_head, head, sizeof(head)))
		return 0;
	hash = mix(mix(4, head[1]), head[2]);
	node = head[0];
	for (unsigned i = 0; i < ROBUST_MAX && (node & ~UINT64_C(1)) != watch->robust_head; i++) {
		hash = mix(hash, node);
		if (!peek(watch, node & ~UINT64_C(1), &node, sizeof(node)))
			return mix(hash, 5);
	}
	return hash;
}
