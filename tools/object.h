/* SPDX-License-Identifier: MIT */
/* What stat, map, check and ls share: one of our named objects, looked at. Uses the inspector of the public API. */
#ifndef TOOLS_OBJECT_H
#define TOOLS_OBJECT_H

#include "tool.h"

#include <stoa/inspect.h>
#include <stoa/stoa.h>

#include "os/scan.h"

struct object {
	const char *name;
	struct stoa_inspector *inspector;
	struct stoa_inspection is;
};

/* Open and look. TOOL_GO, or the status after the error has been said. `flags`: 0 or STOA_GLOBAL. */
int object_open(const char *name, uint32_t flags, struct object *ret_object);
void object_close(struct object *object);

const char *object_kind(uint32_t kind); /* "segment", "mutex", ... */

/* "persistent, shrinkable"; "-" for none. */
#define OBJECT_FLAGS_TEXT 96
const char *object_flags(uint32_t flags, char buffer[OBJECT_FLAGS_TEXT]);
void object_json_flags(struct json *json, uint32_t flags);

/* A user's name, or its number. */
#define OBJECT_OWNER_TEXT 64
const char *object_owner(uint32_t owner, char buffer[OBJECT_OWNER_TEXT]);

/* The scan's entry of this object, or NULL. */
const struct scan_object *object_in_scan(const struct object *object, const struct scan *scan);

/* The processes that use it without this one, which has it open only to look; their list is in `room`. */
void object_others(const struct scan_object *found, struct scan_object *ret_users, struct scan_user *room, size_t most);

/* "412 postgres, 413 postgres, ...": as many as fit. Those that have it open but not mapped get a star. */
void object_users(const struct scan_object *object, char *buffer, size_t size);
void object_json_users(struct json *json, const struct scan_object *object); /* NULL: an empty list */
/* Whether the system told who uses what; `scan` may be NULL. */
bool object_users_known(const struct scan *scan);

#endif
