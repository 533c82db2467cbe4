/* SPDX-License-Identifier: MIT */
/*
 * Headroom under memory groups, versions 1 and 2, and on the host. One look costs tens of microseconds, so it grants a
 * credit: a sixteenth of the room that was found, for a tenth of a second, so that eight processes growing at full speed
 * use half the room before each looks again.
 */
#include <os/linux/limits.h>

#include <base/atomic.h>
#include <base/error.h>
#include <base/mutant.h>
#include <inttypes.h>
#include <os/linux/sys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CREDIT_SHARE 16
#define CREDIT_MAX (INT64_C(64) << 20)
#define SLACK (UINT64_C(256) << 10)
#define NO_LIMIT (UINT64_C(1) << 60) /* version 1 writes a huge number, version 2 the word max */

/* What a version's files are called. */
struct group_files {
	const char *limit, *usage, *swap_limit, *swap_usage, *inactive, *active;
	bool swap_includes_memory;
};

static const struct group_files version1 = {
	"memory.limit_in_bytes",
	"memory.usage_in_bytes",
	"memory.memsw.limit_in_bytes",
	"memory.memsw.usage_in_bytes",
	"total_inactive_file ",
	"total_active_file ",
	true,
};
static const struct group_files version2 = {
	"memory.max", "memory.current", "memory.swap.max", "memory.swap.current", "inactive_file ", "active_file ",
	false,
};

static uint64_t read_number(const char *group, const char *file, uint64_t otherwise)
{
	char path[1024], text[64];
	uint64_t value;

	if (snprintf(path, sizeof(path), "%s/%s", group, file) >= (int)sizeof(path) ||
	    sys_read_text(path, text, sizeof(text)) < 0 || text[0] < '0' || text[0] > '9')
		return otherwise;
	value = strtoull(text, NULL, 10);
	return value >= NO_LIMIT ? otherwise : value;
}

/* The number after `key` at the start of a line, times `unit`; 0 when absent. */
static uint64_t field(const char *text, const char *key, uint64_t unit)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0)
			return strtoull(line + length, NULL, 10) * unit;
	}
	return 0;
}

/* File pages that the kernel can drop when the group is full; active ones count half. */
static uint64_t droppable(const char *group, const struct group_files *files)
{
	char path[1024], text[4096];

	if (snprintf(path, sizeof(path), "%s/memory.stat", group) >= (int)sizeof(path) ||
	    sys_read_text(path, text, sizeof(text)) < 0)
		return 0;
	return field(text, files->inactive, 1) + field(text, files->active, 1) / 2;
}

static uint64_t swap_room(const char *group, const struct group_files *files, uint64_t room, uint64_t swap)
{
	uint64_t limit = read_number(group, files->swap_limit, UINT64_MAX);
	uint64_t used = read_number(group, files->swap_usage, 0), left;

	if (limit == UINT64_MAX)
		return swap;
	left = limit > used ? limit - used : 0;
	if (files->swap_includes_memory)
		left = left > room ? left - room : 0;
	return left < swap ? left : swap;
}

static void look_at_group(const char *group, const struct group_files *files, uint64_t swap, struct limits_room *room)
{
	uint64_t limit = read_number(group, files->limit, UINT64_MAX), usage, bytes;

	if (limit == UINT64_MAX)
		return;
	usage = read_number(group, files->usage, 0);
	bytes = limit > usage ? limit - usage : 0;
	bytes += swap_room(group, files, bytes, swap) + droppable(group, files);
	if (bytes >= room->bytes)
		return;
	room->bytes = bytes;
	snprintf(room->where, sizeof(room->where), "the memory group %.120s with its limit of %" PRIu64, group, limit);
}

/* The group and all above it, up to the root of its tree. Levels that do not exist in our view of the tree are skipped. */
static void look_at_tree(const char *mount, char *group, const struct group_files *files, uint64_t swap,
			 struct limits_room *room)
{
	char path[960];

	for (;;) {
		char *last = strrchr(group, '/');

		if (snprintf(path, sizeof(path), "%s%s", mount, strcmp(group, "/") ? group : "") < (int)sizeof(path))
			look_at_group(path, files, swap, room);
		if (!last || !*group)
			return;
		*last = 0;
	}
}

void limits_group_room(const char *list_path, const char *root, uint64_t swap, struct limits_room *ret_room)
{
	char list[4096], mount[256], *rest = list, *line;

	ret_room->bytes = UINT64_MAX;
	if (sys_read_text(list_path, list, sizeof(list)) < 0)
		return;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = 0;
		controllers++;
		if (strstr(controllers, "memory")) {
			snprintf(mount, sizeof(mount), "%s/memory", root);
			look_at_tree(mount, group, &version1, swap, ret_room);
		} else if (!*controllers) {
			char again[1024];

			snprintf(again, sizeof(again), "%s", group);
			look_at_tree(root, again, &version2, swap, ret_room);
			snprintf(mount, sizeof(mount), "%s/unified", root);
			look_at_tree(mount, group, &version2, swap, ret_room);
		}
	}
}

void limits_host_room(const char *path, struct limits_room *ret_room, uint64_t *ret_swap)
{
	char text[4096];
	uint64_t available;

	ret_room->bytes = UINT64_MAX;
	*ret_swap = 0;
	if (sys_read_text(path, text, sizeof(text)) < 0)
		return;
	/* A host that has none left says 0. */
	if (!strstr(text, "MemAvailable:"))
		return;
	available = field(text, "MemAvailable:", 1024);
	*ret_swap = field(text, "SwapFree:", 1024);
	ret_room->bytes = available + *ret_swap;
	snprintf(ret_room->where, sizeof(ret_room->where), "the host");
}

static void look(struct limits_room *ret_room)
{
	struct limits_room group;
	uint64_t swap;

	limits_host_room("/proc/meminfo", ret_room, &swap);
	limits_group_room("/proc/thread-self/cgroup", "/sys/fs/cgroup", swap, &group);
	if (group.bytes < ret_room->bytes)
		*ret_room = group;
}

uint64_t limits_credit_time = UINT64_C(100000000);

static _Atomic int64_t credit;
static _Atomic uint64_t credit_until;

static uint64_t coarse_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool limits_credit(uint64_t bytes)
{
	if (MUTANT(NO_LIMITS))
		return true;
	return bytes <= (uint64_t)CREDIT_MAX && coarse_now() < load_rlx(&credit_until) &&
	       add_rlx(&credit, -(int64_t)bytes) >= (int64_t)bytes;
}

int limits_memory(uint64_t bytes)
{
	char texts[2][ERROR_SIZE];
	struct limits_room room;
	uint64_t share;

	look(&room);
	if (room.bytes > NO_LIMIT)
		room.bytes = NO_LIMIT;
	/* Page tables and the kernel's own bookkeeping come on top. */
	if (bytes + bytes / 128 + SLACK > room.bytes)
		return error_set(-STOA_ENOMEM, "%s more: %s leaves only %s", error_size(bytes, texts[0]), room.where,
				 error_size(room.bytes, texts[1]));
	share = (room.bytes - bytes) / CREDIT_SHARE;
	store_rlx(&credit, share < (uint64_t)CREDIT_MAX ? (int64_t)share : CREDIT_MAX);
	store_rlx(&credit_until, coarse_now() + limits_credit_time);
	return 0;
}
