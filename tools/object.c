/* SPDX-License-Identifier: MIT */
/* One of our named objects, looked at, and in words. Uses the public API and os/scan.h. */
#include "object.h"

#include <inttypes.h>
#include <string.h>

#include "os/local.h"
#include "os/process.h"

int object_open(const char *name, uint32_t flags, struct object *ret_object)
{
	struct object object = {.name = name};
	int result = stoa_inspect_open(name, flags, &object.inspector);

	if (result < 0)
		return tool_fail_named(name, result);
	result = stoa_inspect_get(object.inspector, &object.is);
	if (result < 0) {
		stoa_inspect_close(object.inspector);
		return tool_fail_named(name, result);
	}
	*ret_object = object;
	return TOOL_GO;
}

void object_close(struct object *object)
{
	stoa_inspect_close(object->inspector);
	object->inspector = NULL;
}

const char *object_kind(uint32_t kind)
{
	static const char *const names[] = {"segment", "mutex", "event", "semaphore", "channel", "pager"};

	return kind <= STOA_KIND_PAGER ? names[kind] : "damaged";
}

static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{STOA_RAW, "raw"},       {STOA_PERSISTENT, "persistent"}, {STOA_SHRINKABLE, "shrinkable"},
	{STOA_GLOBAL, "global"}, {STOA_EXECUTABLE, "executable"}, {STOA_WORLD_READABLE, "world-readable"},
};
#define FLAG_COUNT (sizeof(flag_names) / sizeof(flag_names[0]))

const char *object_flags(uint32_t flags, char buffer[OBJECT_FLAGS_TEXT])
{
	size_t used = 0;

	for (size_t i = 0; i < FLAG_COUNT; i++)
		if (flags & flag_names[i].flag)
			used += (size_t)snprintf(buffer + used, OBJECT_FLAGS_TEXT - used, "%s%s", used ? ", " : "",
						 flag_names[i].name);
	return used ? buffer : strcpy(buffer, "-");
}

void object_json_flags(struct json *json, uint32_t flags)
{
	json_array_begin(json, "flags");
	for (size_t i = 0; i < FLAG_COUNT; i++)
		if (flags & flag_names[i].flag)
			json_text(json, NULL, flag_names[i].name);
	json_array_end(json);
}

const char *object_owner(uint32_t owner, char buffer[OBJECT_OWNER_TEXT])
{
	if (owner == UINT32_MAX)
		return strcpy(buffer, "-");
	if (!local_user_name(owner, buffer, OBJECT_OWNER_TEXT))
		snprintf(buffer, OBJECT_OWNER_TEXT, "%" PRIu32, owner);
	return buffer;
}

const struct scan_object *object_in_scan(const struct object *object, const struct scan *scan)
{
	for (size_t i = 0; scan && i < scan->count; i++)
		if (scan->objects[i].device == object->is.object[0] && scan->objects[i].inode == object->is.object[1])
			return &scan->objects[i];
	return NULL;
}

void object_others(const struct scan_object *found, struct scan_object *ret_users, struct scan_user *room, size_t most)
{
	*ret_users = *found;
	ret_users->users = room;
	ret_users->user_count = 0;
	for (size_t i = 0; i < found->user_count && ret_users->user_count < most; i++)
		if (found->users[i].process != process_self())
			room[ret_users->user_count++] = found->users[i];
}

bool object_users_known(const struct scan *scan)
{
	return scan && scan->hidden != SCAN_HIDDEN_USERS;
}

void object_users(const struct scan_object *object, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = 0;
	for (size_t i = 0; object && i < object->user_count && used < size; i++) {
		const struct scan_user *user = &object->users[i];
		int got = snprintf(buffer + used, size - used, "%s%" PRId64 " %s%s", i ? ", " : "", user->process,
				   user->command, user->maps ? "" : "*");

		used += got > 0 ? (size_t)got : 0;
	}
}

void object_json_users(struct json *json, const struct scan_object *object)
{
	json_array_begin(json, "users");
	for (size_t i = 0; object && i < object->user_count; i++) {
		json_object_begin(json, NULL);
		json_signed(json, "pid", object->users[i].process);
		json_text(json, "command", object->users[i].command);
		json_bool(json, "maps", object->users[i].maps);
		json_bool(json, "opens", object->users[i].opens);
		json_object_end(json);
	}
	json_array_end(json);
}
