/* SPDX-License-Identifier: MIT */
/* `stoa ls --store` and `stoa stat --store`: objects, and the store itself. Asks the server nothing but for metrics. Uses the public API. */
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/local.h"
#include "os/names.h"

#define OWNER_TEXT 64
#define READER_TEXT 80

/* ---- collecting ---- */

struct found {
	struct stoa_object_info info; /* `id` is the next */
	uint8_t id[STOA_ID_MAX];
};

struct founds {
	struct found *list;
	size_t count;
	size_t room;
	bool failed;
};

static int collect(const struct stoa_object_info *info, void *argument)
{
	struct founds *founds = argument;
	struct found *found;

	if (founds->count == founds->room) {
		size_t room = founds->room ? 2 * founds->room : 64;
		struct found *list = realloc(founds->list, room * sizeof(*list));

		founds->failed = !list;
		if (!list)
			return 1;
		founds->list = list;
		founds->room = room;
	}
	found = &founds->list[founds->count++];
	found->info = *info;
	memcpy(found->id, info->id, info->id_length);
	return 0;
}

static int by_id(const void *left, const void *right)
{
	const struct found *a = left, *b = right;
	uint32_t shorter = a->info.id_length < b->info.id_length ? a->info.id_length : b->info.id_length;
	int order = memcmp(a->id, b->id, shorter);

	return order ? order : (a->info.id_length > b->info.id_length) - (a->info.id_length < b->info.id_length);
}

/* All of them, in the order of their ids. TOOL_GO; the list is the caller's in any case. */
static int collect_all(struct stoa_store *store, struct founds *founds)
{
	int result = stoa_store_list(store, collect, founds);

	if (founds->failed)
		return tool_fail("out of memory");
	if (result < 0)
		return tool_fail_result(NULL, result);
	if (founds->count > 1)
		qsort(founds->list, founds->count, sizeof(founds->list[0]), by_id);
	return TOOL_GO;
}

/* ---- in words ---- */

/* The last is an allocation of a manager (stoa/manager.h), which the store holds, too. */
static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = {"?", "copied", "private", "sealed", "memory"};

	return names[kind < sizeof(names) / sizeof(names[0]) ? kind : 0];
}

static const char *access_name(uint32_t access)
{
	static const char *const names[] = {"owner", "user", "group", "all"};

	return access <= STOA_ACCESS_ALL ? names[access] : "?";
}

static const char *user_text(uint32_t user, char buffer[OWNER_TEXT])
{
	if (!local_user_name(user, buffer, OWNER_TEXT))
		snprintf(buffer, OWNER_TEXT, "%" PRIu32, user);
	return buffer;
}

/* As --access of put has it. */
static const char *access_text(const struct stoa_object_info *info, char buffer[READER_TEXT])
{
	char name[OWNER_TEXT];

	if (info->access == STOA_ACCESS_GROUP) {
		if (!names_group(info->reader, name, sizeof(name)))
			snprintf(name, sizeof(name), "%" PRIu32, info->reader);
	} else {
		user_text(info->reader, name);
	}
	if (info->access == STOA_ACCESS_USER || info->access == STOA_ACCESS_GROUP)
		snprintf(buffer, READER_TEXT, "%s:%s", access_name(info->access), name);
	else
		snprintf(buffer, READER_TEXT, "%s", access_name(info->access));
	return buffer;
}

static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {{STOA_OBJECT_PINNED, "pinned"},
		  {STOA_OBJECT_SHARED_DELETE, "shared-delete"},
		  {STOA_ALLOCATION_KEEP, "kept"},
		  {STOA_OBJECT_SPILLED, "spilled"}};
#define FLAG_COUNT (sizeof(flag_names) / sizeof(flag_names[0]))

#define FLAGS_TEXT 64
static const char *flags_text(uint32_t flags, char buffer[FLAGS_TEXT])
{
	size_t used = 0;

	for (size_t i = 0; i < FLAG_COUNT; i++)
		if (flags & flag_names[i].flag)
			used += (size_t)snprintf(buffer + used, FLAGS_TEXT - used, "%s%s", used ? ", " : "",
						 flag_names[i].name);
	return used ? buffer : strcpy(buffer, "-");
}

/* Nanoseconds since it was made. */
static uint64_t age_of(const struct stoa_object_info *info)
{
	uint64_t now = (uint64_t)time(NULL) * UINT64_C(1000000000);

	return now > info->made ? now - info->made : 0;
}

/* ---- ls ---- */

static void print_row(struct table *table, const struct found *found)
{
	const struct stoa_object_info *info = &found->info;
	char id[STORE_ID_TEXT], size[SIZE_TEXT], meta[SIZE_TEXT], owner[OWNER_TEXT], readers[READER_TEXT];
	char age[DURATION_TEXT], flags[FLAGS_TEXT];

	table_cell(table, store_id_text(found->id, info->id_length, id), COLOUR_BOLD);
	table_cell(table, size_text(info->size, size), COLOUR_OFF);
	table_cell(table, kind_name(info->kind), COLOUR_OFF);
	table_cell(table, user_text(info->owner, owner), COLOUR_OFF);
	table_cell(table, access_text(info, readers), COLOUR_OFF);
	table_cell(table, duration_text(age_of(info) / 1000000000 * 1000000000, age), COLOUR_OFF);
	table_cell(table, info->meta_length ? size_text(info->meta_length, meta) : "-", COLOUR_OFF);
	table_cell(table, flags_text(info->flags, flags), COLOUR_OFF);
}

/* The members that ls and stat share; the object stays open. */
static void begin_json(struct json *json, const struct found *found)
{
	const struct stoa_object_info *info = &found->info;
	char id[STORE_ID_TEXT];

	json_begin(json, stdout);
	json_text(json, "id", store_id_text(found->id, info->id_length, id));
	json_number(json, "size", info->size);
	json_text(json, "kind", kind_name(info->kind));
	json_number(json, "owner", info->owner);
	json_text(json, "access", access_name(info->access));
	if (info->access == STOA_ACCESS_USER || info->access == STOA_ACCESS_GROUP)
		json_number(json, "reader", info->reader);
	else
		json_null(json, "reader");
	json_number(json, "meta_length", info->meta_length);
	json_number(json, "made", info->made / 1000000000);
	json_number(json, "age", age_of(info) / 1000000000);
	json_array_begin(json, "flags");
	for (size_t i = 0; i < FLAG_COUNT; i++)
		if (info->flags & flag_names[i].flag)
			json_text(json, NULL, flag_names[i].name);
	json_array_end(json);
}

static int print_all(const struct founds *founds, bool as_json)
{
	static const struct table_column columns[] = {
		{"ID", 0},     {"SIZE", TABLE_RIGHT}, {"KIND", 0},           {"OWNER", 0},
		{"ACCESS", 0}, {"AGE", TABLE_RIGHT},  {"META", TABLE_RIGHT}, {"FLAGS", 0},
	};
	struct table *table;
	struct json json;
	int status;

	for (size_t i = 0; as_json && i < founds->count; i++) {
		begin_json(&json, &founds->list[i]);
		json_end(&json);
	}
	if (as_json)
		return TOOL_OK;
	table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	if (!table)
		return tool_fail("out of memory");
	for (size_t i = 0; i < founds->count; i++)
		print_row(table, &founds->list[i]);
	status = table_print(table, stdout);
	table_destroy(table);
	return status;
}

int store_ls(const char *where, bool as_json)
{
	struct founds founds = {0};
	struct stoa_store *store;
	int status = store_connect("ls", where, 0, &store);

	if (status != TOOL_GO)
		return status;
	status = collect_all(store, &founds);
	stoa_store_close(store);
	if (status == TOOL_GO)
		status = print_all(&founds, as_json);
	free(founds.list);
	return status;
}

/* ---- stat of objects ---- */

static void print_size(const char *label, uint64_t bytes)
{
	char text[SIZE_TEXT];

	printf("%-11s %s (%" PRIu64 " bytes)\n", label, size_text(bytes, text), bytes);
}

static void print_line(const char *label, const char *text, size_t length)
{
	char safe[2600];

	printf("%-11s %s\n", label, text_safe(text, length, safe, sizeof(safe)));
}

/* Why there is none to show. A look has nothing brought back. */
static const char *meta_absent(const struct stoa_object_info *info)
{
	if (!info->meta_length)
		return "-";
	return info->flags & STOA_OBJECT_SPILLED ? "in its file" : "not for this user to read";
}

static void print_object(const struct found *found, const struct stoa_object *object)
{
	const struct stoa_object_info *info = &found->info;
	char text[STORE_ID_TEXT], name[OWNER_TEXT], readers[READER_TEXT], flags[FLAGS_TEXT], age[DURATION_TEXT];

	store_id_text(found->id, info->id_length, text);
	print_line("id", text, strlen(text));
	print_size("size", info->size);
	printf("%-11s %s\n", "kind", kind_name(info->kind));
	printf("%-11s %s\n", "owner", user_text(info->owner, name));
	printf("%-11s %s\n", "access", access_text(info, readers));
	if (local_time_text((int64_t)(info->made / 1000000000), text, sizeof(text)))
		printf("%-11s %s (%s ago)\n", "made", text, duration_text(age_of(info) / 1000000000 * 1000000000, age));
	printf("%-11s %s\n", "flags", flags_text(info->flags, flags));
	if (object && object->meta_length)
		print_line("meta", object->meta, object->meta_length);
	else
		printf("%-11s %s\n", "meta", meta_absent(info));
}

static void print_object_json(const struct found *found, const struct stoa_object *object)
{
	struct json json;

	begin_json(&json, found);
	if (object && object->meta_length)
		json_bytes(&json, "meta", object->meta, object->meta_length);
	else
		json_null(&json, "meta");
	if (found->info.flags & STOA_OBJECT_SPILLED)
		json_null(&json, "readable");
	else
		json_bool(&json, "readable", object != NULL);
	json_end(&json);
}

static int stat_one(struct stoa_store *store, const struct founds *founds, const char *word, bool as_json)
{
	struct found key = {0}, *found;
	struct stoa_object object, *held = NULL;
	struct store_id id;
	int status = store_id_parse("stat", word, &id);

	if (status != TOOL_GO)
		return status;
	key.info.id_length = id.length;
	memcpy(key.id, id.bytes, id.length);
	found = founds->count ? bsearch(&key, founds->list, founds->count, sizeof(key), by_id) : NULL;
	if (!found)
		return tool_fail("object '%s': there is no such object", word);
	/* Who may not read it, or comes too late, is told what all are told. */
	if (!(found->info.flags & STOA_OBJECT_SPILLED) && stoa_store_get(store, id.bytes, id.length, 0, &object) == 0)
		held = &object;
	if (as_json)
		print_object_json(found, held);
	else
		print_object(found, held);
	if (held)
		stoa_object_release(store, held);
	return TOOL_OK;
}

static int stat_each(struct stoa_store *store, const struct founds *founds, char **words, int count, bool as_json)
{
	int worst = TOOL_OK;

	for (int i = 0; i < count; i++) {
		int status;

		if (i && !as_json)
			printf("\n");
		status = stat_one(store, founds, words[i], as_json);
		worst = status > worst ? status : worst;
	}
	return worst;
}

static int stat_objects(struct stoa_store *store, char **words, int count, bool as_json)
{
	struct founds founds = {0};
	int status = collect_all(store, &founds);

	if (status == TOOL_GO)
		status = stat_each(store, &founds, words, count, as_json);
	free(founds.list);
	return status;
}

/* ---- stat of the store ---- */

static void print_spilling(const struct stoa_store_stat *stat)
{
	char used[SIZE_TEXT], limit[SIZE_TEXT];

	printf("%-11s %" PRIu64 " of the objects, %s of %s\n", "spilled", stat->spilled,
	       size_text(stat->spilled_bytes, used), size_text(stat->spill_limit, limit));
	printf("%-11s %" PRIu64 " spilled, %" PRIu64 " restored, %" PRIu64 " times that failed, %" PRIu64 " lost\n",
	       "files", stat->spills, stat->restores, stat->spill_failures, stat->spill_losses);
}

static void print_store(const struct stoa_store_stat *stat, const char *path)
{
	char used[SIZE_TEXT], limit[SIZE_TEXT];

	print_line("store", path, strlen(path));
	printf("%-11s %" PRIu64 "\n", "objects", stat->objects);
	printf("%-11s %s of %s (%" PRIu64 "%%)\n", "memory", size_text(stat->committed, used),
	       size_text(stat->limit, limit), stat->limit ? stat->committed * 100 / stat->limit : 0);
	printf("%-11s %" PRIu64 ", this one included\n", "clients", stat->clients);
	printf("%-11s %" PRIu64 " put, %" PRIu64 " deleted, %" PRIu64 " evicted to make room\n", "so far", stat->puts,
	       stat->deletes, stat->evictions);
	printf("%-11s %" PRIu64 ", for want of room\n", "refused", stat->refusals);
	if (stat->spill_limit)
		print_spilling(stat);
	printf("%-11s %" PRIu64 " so far\n", "servers", stat->servers);
}

static int stat_store(struct stoa_store *store, const char *path, bool as_json)
{
	struct stoa_store_stat stat;
	struct json json;
	int result = stoa_store_stat(store, &stat);

	if (result < 0)
		return tool_fail_result(NULL, result);
	if (!as_json) {
		print_store(&stat, path);
		return TOOL_OK;
	}
	json_begin(&json, stdout);
	json_text(&json, "store", path);
	json_number(&json, "objects", stat.objects);
	json_number(&json, "committed", stat.committed);
	json_number(&json, "limit", stat.limit);
	json_number(&json, "clients", stat.clients);
	json_number(&json, "puts", stat.puts);
	json_number(&json, "deletes", stat.deletes);
	json_number(&json, "evictions", stat.evictions);
	json_number(&json, "refusals", stat.refusals);
	json_number(&json, "servers", stat.servers);
	json_number(&json, "spilled", stat.spilled);
	json_number(&json, "spilled_bytes", stat.spilled_bytes);
	json_number(&json, "spill_limit", stat.spill_limit);
	json_number(&json, "spills", stat.spills);
	json_number(&json, "restores", stat.restores);
	json_number(&json, "spill_failures", stat.spill_failures);
	json_number(&json, "spill_losses", stat.spill_losses);
	json_end(&json);
	return TOOL_OK;
}

int store_stat(const char *where, char **words, int count, bool as_json)
{
	struct stoa_store *store;
	int status = store_connect("stat", where, 0, &store);
	char path[4096] = "";

	if (status != TOOL_GO)
		return status;
	if (where && *where)
		snprintf(path, sizeof(path), "%s", where);
	else
		(void)stoa_store_path(path, sizeof(path));
	status = count ? stat_objects(store, words, count, as_json) : stat_store(store, path, as_json);
	stoa_store_close(store);
	return status;
}

/* ---- metrics ---- */

int store_metrics(const char *where)
{
	char text[STOA_METRICS_ROOM];
	struct stoa_store *store;
	int result, status = store_connect("stat", where, 0, &store);

	if (status != TOOL_GO)
		return status;
	result = stoa_store_metrics(store, text, sizeof(text), NULL);
	stoa_store_close(store);
	if (result < 0)
		return tool_fail_result(NULL, result);
	fputs(text, stdout);
	return TOOL_OK;
}
