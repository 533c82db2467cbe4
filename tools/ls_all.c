/* SPDX-License-Identifier: MIT */
/* `stoa ls --all`: shows what os/scan.h found. Names and commands come from strangers; the table and the JSON make them safe. */
#include "ls.h"

#include "object.h"
#include "os/scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(const struct scan_object *object)
{
	static const char *const names[] = {[SCAN_MEMFD] = "memfd",
					    [SCAN_FILE] = "file",
					    [SCAN_SYSV] = "sysv",
					    [SCAN_ANONYMOUS] = "anon",
					    [SCAN_SECTION] = "section"};

	return names[object->kind];
}

static bool is_mapped(const struct scan_object *object)
{
	for (size_t i = 0; i < object->user_count; i++)
		if (object->users[i].maps)
			return true;
	return false;
}

/* What needs attention, in one word. */
static const char *state_name(const struct scan *scan, const struct scan_object *object)
{
	int orphaned = scan_orphaned(scan, object);

	if (orphaned == 1)
		return "orphaned";
	if (orphaned < 0)
		return "orphaned?";
	if (!object->shared && is_mapped(object))
		return "private";
	return object->deleted && object->kind == SCAN_FILE ? "unlinked" : "used";
}

static void print_size(struct table *table, uint64_t bytes)
{
	char text[SIZE_TEXT];

	table_cell(table, bytes == SCAN_UNKNOWN ? "-" : size_text(bytes, text), COLOUR_OFF);
}

/* The users, or what the kernel counts where they are hidden from us. */
static void users_text(const struct scan *scan, const struct scan_object *object, char *buffer, size_t size)
{
	if (!object_users_known(scan))
		snprintf(buffer, size, "-");
	else if (object->user_count == 0 && object->attached > 0)
		snprintf(buffer, size, "%" PRIu64 " maps, of processes hidden from us", object->attached);
	else
		object_users(object, buffer, size);
}

static void print_row(struct table *table, const struct scan *scan, const struct scan_object *object)
{
	char users[900];
	char owner[OBJECT_OWNER_TEXT];
	const char *state = state_name(scan, object);

	users_text(scan, object, users, sizeof(users));
	table_cell(table, kind_name(object), COLOUR_OFF);
	print_size(table, object->size);
	print_size(table, object->resident);
	table_cell(table, object_owner(object->owner, owner), COLOUR_OFF);
	table_cell(table, state, state[0] == 'o' ? COLOUR_YELLOW : COLOUR_OFF);
	table_cell(table, object->name[0] ? object->name : "-", COLOUR_OFF);
	table_cell(table, users, COLOUR_OFF);
}

static void json_known(struct json *json, const char *key, bool known, uint64_t number)
{
	if (known)
		json_number(json, key, number);
	else
		json_null(json, key);
}

static void print_json(const struct scan *scan, const struct scan_object *object)
{
	struct json json;
	int orphaned = scan_orphaned(scan, object);
	bool users_known = object_users_known(scan);

	json_begin(&json, stdout);
	json_text(&json, "kind", kind_name(object));
	json_text(&json, "name", object->name);
	json_known(&json, "size", object->size != SCAN_UNKNOWN, object->size);
	json_known(&json, "resident", object->resident != SCAN_UNKNOWN, object->resident);
	json_known(&json, "owner", object->owner != UINT32_MAX, object->owner);
	json_bool(&json, "deleted", object->deleted);
	if (users_known)
		json_bool(&json, "shared", object->shared);
	else
		json_null(&json, "shared");
	if (orphaned < 0)
		json_null(&json, "orphaned");
	else
		json_bool(&json, "orphaned", orphaned == 1);
	json_known(&json, "device", object->device || object->inode, object->device);
	json_known(&json, "inode", object->device || object->inode, object->inode);
	if (users_known)
		object_json_users(&json, object);
	else
		json_null(&json, "users");
	json_end(&json);
}

/* The biggest first, as one looks for what eats the memory. */
static int compare(const void *left, const void *right)
{
	const struct scan_object *a = left;
	const struct scan_object *b = right;
	uint64_t x = a->resident == SCAN_UNKNOWN ? a->size : a->resident;
	uint64_t y = b->resident == SCAN_UNKNOWN ? b->size : b->resident;

	if (x != y)
		return x < y ? 1 : -1;
	return strcmp(a->name, b->name);
}

static void print_summary(const struct scan *scan, size_t shown)
{
	uint64_t resident = 0;
	uint64_t orphaned = 0;
	size_t orphans = 0;
	char text[SIZE_TEXT];
	char other[SIZE_TEXT];

	for (size_t i = 0; i < scan->count; i++) {
		const struct scan_object *object = &scan->objects[i];
		uint64_t bytes = object->resident == SCAN_UNKNOWN ? 0 : object->resident;

		resident += bytes;
		if (scan_orphaned(scan, object) == 1) {
			orphaned += bytes;
			orphans++;
		}
	}
	printf("\n%zu of %zu objects, %s resident", shown, scan->count, size_text(resident, text));
	if (scan->hidden != SCAN_HIDDEN_USERS)
		printf("; %zu orphaned with %s; %" PRIu64 " %s seen", orphans, size_text(orphaned, text),
		       scan->processes, scan->processes == 1 ? "process" : "processes");
	printf("\n");
	if (scan->other_files > 0)
		printf("%" PRIu64 " more %s (%s) in other memory file systems, mapped by nobody: --files lists them\n",
		       scan->other_files, scan->other_files == 1 ? "file" : "files",
		       size_text(scan->other_bytes, other));
}

/* What could not be seen is said on the error output, so that it is not missed behind a pipe either. */
static void warn_about_hidden(const struct scan *scan)
{
	static const char *const hidden[] = {
		[SCAN_HIDDEN_NAMESPACE] =
			"only the processes of this pid namespace (container) are seen: others may use what is "
			"'orphaned?' here; run on the host to see all",
		[SCAN_HIDDEN_MOUNT] =
			"/proc hides the processes of others (hidepid): they may use what is 'orphaned?' here; "
			"run as root to see all",
		[SCAN_HIDDEN_USERS] = "this system does not tell which processes use a section, nor how much memory "
				      "is behind it; sections without a name are missing here",
	};
	const char *remedy = scan_remedy();

	if (scan->hidden)
		tool_warn("%s", hidden[scan->hidden]);
	if (scan->processes_refused > 0)
		tool_warn("%" PRIu64
			  " %s of others could not be looked into: the memfds there are missing here, and 'orphaned?' "
			  "means that it may be used there; %s",
			  scan->processes_refused, scan->processes_refused == 1 ? "process" : "processes", remedy);
	if (scan->directories_refused > 0)
		tool_warn("%" PRIu64 " %s of others could not be read; %s", scan->directories_refused,
			  scan->directories_refused == 1 ? "directory" : "directories", remedy);
}

static void show_progress(uint64_t processes)
{
	progress_show("looking into processes: %" PRIu64, processes);
}

static int show(const struct scan *scan, const struct ls_options *options)
{
	static const struct table_column columns[] = {
		{"KIND", 0},  {"SIZE", TABLE_RIGHT}, {"RESIDENT", TABLE_RIGHT},         {"OWNER", 0},
		{"STATE", 0}, {"NAME", 0},           {"USERS (* open, not mapped)", 0},
	};
	struct table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	int status = TOOL_OK;

	if (!table)
		return tool_fail("out of memory");
	for (size_t i = 0; i < scan->count; i++) {
		const struct scan_object *object = &scan->objects[i];

		if (options->orphaned && scan_orphaned(scan, object) == 0)
			continue;
		if (options->json)
			print_json(scan, object);
		else
			print_row(table, scan, object);
	}
	if (!options->json) {
		status = table_print(table, stdout);
		print_summary(scan, table_rows(table));
	}
	table_destroy(table);
	return status;
}

int ls_all(const struct ls_options *options)
{
	struct scan *scan;
	int status;
	int error = scan_host(options->files, show_progress, &scan);

	progress_end();
	if (error)
		return tool_fail("cannot look through this host: %s", strerror(error));
	if (scan->count > 0)
		qsort(scan->objects, scan->count, sizeof(scan->objects[0]), compare);
	status = show(scan, options);
	warn_about_hidden(scan);
	scan_destroy(scan);
	return status;
}
