/* SPDX-License-Identifier: MIT */
/*
 * `stoa put`: a file, or the input, becomes an object. What is long and of known length is read into its place in the store; the rest is
 * collected first.
 */
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "os/files.h"
#include "os/names.h"

#define SMALL 4096 /* bytes: shorter ones are handed over, not made in place */
#define CHUNK (UINT64_C(4) << 20)

struct putting {
	const char *file; /* NULL: the input */
	const char *where, *kind_text, *access_text;
	bool replace, pinned, shared_delete, as_json;
	uint64_t wait;
	uint64_t follow; /* so many bytes at most, which others read while they come; 0: not so */
	const char *meta;
	struct store_id id;
	char text[STORE_ID_TEXT]; /* of the id */
	struct files_input input;
	struct stoa_store *store;
	struct stoa_object_options options;
};

/* ---- options ---- */

static int parse_kind(struct putting *putting)
{
	static const char *const names[] = {"auto", "copied", "private", "sealed"};

	for (uint32_t i = 0; putting->kind_text && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(putting->kind_text, names[i]) == 0) {
			putting->options.kind = i;
			return TOOL_GO;
		}
	if (!putting->kind_text)
		return TOOL_GO;
	return tool_misuse("put: --kind '%s' is not one of auto, copied, private, sealed", putting->kind_text);
}

static int parse_access(struct putting *putting)
{
	const char *text = putting->access_text;
	struct stoa_object_options *options = &putting->options;

	if (!text || strcmp(text, "owner") == 0)
		return TOOL_GO;
	if (strcmp(text, "all") == 0) {
		options->access = STOA_ACCESS_ALL;
		return TOOL_GO;
	}
	if (strncmp(text, "user:", 5) == 0) {
		options->access = STOA_ACCESS_USER;
		if (names_user_number(text + 5, &options->reader))
			return TOOL_GO;
		return tool_fail("put: --access: there is no user '%s'", text + 5);
	}
	if (strncmp(text, "group:", 6) == 0) {
		options->access = STOA_ACCESS_GROUP;
		if (names_group_number(text + 6, &options->reader))
			return TOOL_GO;
		return tool_fail("put: --access: there is no group '%s'", text + 6);
	}
	return tool_misuse("put: --access '%s' is not one of owner, all, user:NAME, group:NAME", text);
}

static int parse(struct putting *putting, const char *id)
{
	struct stoa_object_options *options = &putting->options;
	int status = store_id_parse("put", id, &putting->id);

	if (status == TOOL_GO)
		status = parse_kind(putting);
	if (status == TOOL_GO)
		status = parse_access(putting);
	if (status != TOOL_GO)
		return status;
	if (putting->follow && (putting->replace || putting->options.kind % STOA_OBJECT_PRIVATE))
		return tool_misuse(
			"put: what is read while it comes is private, and replaces nothing: no --replace, no "
			"other --kind");
	if (putting->meta && strlen(putting->meta) > STOA_META_MAX)
		return tool_misuse("put: --meta has %zu bytes, and may have %d", strlen(putting->meta), STOA_META_MAX);
	store_id_text(putting->id.bytes, putting->id.length, putting->text);
	options->meta = putting->meta;
	options->meta_length = putting->meta ? (uint32_t)strlen(putting->meta) : 0;
	options->flags = (putting->replace ? STOA_OBJECT_REPLACE : 0) | (putting->pinned ? STOA_OBJECT_PINNED : 0) |
			 (putting->shared_delete ? STOA_OBJECT_SHARED_DELETE : 0);
	return TOOL_GO;
}

/* ---- reading ---- */

static const char *input_name(const struct putting *putting)
{
	return putting->file && strcmp(putting->file, "-") != 0 ? putting->file : "the input";
}

static int input_failed(const struct putting *putting, int error)
{
	return tool_fail("%s cannot be read: %s", input_name(putting), strerror(error));
}

/* Up to `room` bytes, with progress. TOOL_GO and how many there were. */
static int read_into(const struct putting *putting, char *to, uint64_t room, uint64_t *ret_size)
{
	char done[SIZE_TEXT], all[SIZE_TEXT];
	uint64_t size = 0;

	while (size < room) {
		uint64_t step = room - size < CHUNK ? room - size : CHUNK;
		int64_t got = files_read(&putting->input, to + size, step);

		if (got < 0)
			return input_failed(putting, (int)-got);
		size += (uint64_t)got;
		if ((uint64_t)got < step)
			break;
		progress_show("'%s': %s of %s", putting->text, size_text(size, done), size_text(room, all));
	}
	*ret_size = size;
	return TOOL_GO;
}

/* All there is, into memory that is the caller's. More than the store may ever hold is not collected. */
static int collect(const struct putting *putting, char **ret_bytes, uint64_t *ret_size)
{
	struct stoa_store_stat stat = {.limit = UINT64_MAX};
	uint64_t size = 0, room = putting->input.known ? putting->input.size + 1 : 65536;
	char *bytes = malloc(room), limit[SIZE_TEXT];

	(void)stoa_store_stat(putting->store, &stat);
	while (bytes) {
		int64_t got = files_read(&putting->input, bytes + size, room - size);
		char *more;

		if (got < 0) {
			free(bytes);
			return input_failed(putting, (int)-got);
		}
		size += (uint64_t)got;
		if (size < room) {
			*ret_bytes = bytes;
			*ret_size = size;
			return TOOL_GO;
		}
		if (size > stat.limit) {
			free(bytes);
			return tool_fail("object '%s': %s has more bytes than the store's limit, %s", putting->text,
					 input_name(putting), size_text(stat.limit, limit));
		}
		progress_show("'%s': %s", putting->text, size_text(size, limit));
		more = realloc(bytes, 2 * room);
		if (!more)
			free(bytes);
		bytes = more;
		room *= 2;
	}
	return tool_fail("object '%s': no memory to collect %s", putting->text, input_name(putting));
}

/* ---- putting ---- */

static int finish(const struct putting *putting, uint64_t size)
{
	struct json json;

	if (putting->as_json) {
		json_begin(&json, stdout);
		json_text(&json, "id", putting->text);
		json_number(&json, "size", size);
		json_end(&json);
	}
	return TOOL_OK;
}

static int put_failed(const struct putting *putting, int result)
{
	if (result == STOA_TIMED_OUT && !putting->wait)
		return tool_fail("object '%s': the store's server does not answer", putting->text);
	if (result == STOA_TIMED_OUT)
		return tool_fail("object '%s': there was no room in time; 'stoa ls --store' tells what is there",
				 putting->text);
	return store_fail(&putting->id, result);
}

static int put_collected(struct putting *putting)
{
	uint64_t size = 0;
	char *bytes = NULL;
	int result, status = collect(putting, &bytes, &size);

	if (status != TOOL_GO)
		return status;
	result = stoa_store_put(putting->store, putting->id.bytes, putting->id.length, bytes, size, &putting->options);
	free(bytes);
	return result ? put_failed(putting, result) : finish(putting, size);
}

static int fill(struct putting *putting, const struct stoa_draft *draft, uint64_t *ret_size)
{
	char more;
	int status = read_into(putting, draft->data, draft->room, ret_size);

	if (status == TOOL_GO && *ret_size == draft->room && files_read(&putting->input, &more, 1) == 1)
		return tool_fail("object '%s': %s grew while it was read", putting->text, input_name(putting));
	return status;
}

static int put_in_place(struct putting *putting)
{
	struct stoa_draft draft;
	uint64_t size = 0;
	int result, status;

	result = stoa_store_create(putting->store, putting->id.bytes, putting->id.length, putting->input.size,
				   &putting->options, &draft);
	if (result)
		return put_failed(putting, result);
	status = fill(putting, &draft, &size);
	if (status != TOOL_GO) {
		stoa_draft_abort(putting->store, &draft);
		return status;
	}
	result = stoa_draft_seal(putting->store, &draft, size);
	return result ? put_failed(putting, result) : finish(putting, size);
}

/* As it comes. */
static int fill_followed(struct putting *putting, struct stoa_draft *draft, uint64_t *ret_size)
{
	char more, text[SIZE_TEXT];
	uint64_t size = 0;
	int64_t got;

	while (size < draft->room) {
		got = files_read_some(&putting->input, (char *)draft->data + size, draft->room - size);
		if (got < 0)
			return input_failed(putting, (int)-got);
		*ret_size = size;
		if (got == 0)
			return TOOL_GO;
		size += (uint64_t)got;
		if (stoa_draft_advance(putting->store, draft, size) < 0)
			return store_fail(&putting->id, -STOA_ECLOSED);
	}
	*ret_size = size;
	got = files_read_some(&putting->input, &more, 1);
	if (got > 0)
		return tool_fail("object '%s': %s has more bytes than --follow gives room for, %s", putting->text,
				 input_name(putting), size_text(draft->room, text));
	return got < 0 ? input_failed(putting, (int)-got) : TOOL_GO;
}

static int put_followed(struct putting *putting)
{
	struct stoa_draft draft;
	uint64_t size = 0;
	int result, status;

	putting->options.flags |= STOA_OBJECT_FOLLOWED;
	result = stoa_store_create(putting->store, putting->id.bytes, putting->id.length, putting->follow,
				   &putting->options, &draft);
	if (result)
		return put_failed(putting, result);
	status = fill_followed(putting, &draft, &size);
	if (status != TOOL_GO) {
		stoa_draft_abort(putting->store, &draft);
		return status;
	}
	result = stoa_draft_seal(putting->store, &draft, size);
	return result ? put_failed(putting, result) : finish(putting, size);
}

static int put(struct putting *putting)
{
	int error = files_open(putting->file, &putting->input), status;

	if (error)
		return input_failed(putting, error);
	putting->options.deadline = putting->wait ? stoa_deadline_in(putting->wait) : 0;
	status = store_connect("put", putting->where, putting->options.deadline, &putting->store);
	if (status == TOOL_GO) {
		bool copied = putting->options.kind == STOA_OBJECT_COPIED ||
			      (putting->options.kind == STOA_OBJECT_AUTO && putting->input.size <= SMALL);

		if (putting->follow)
			status = put_followed(putting);
		else
			status = putting->input.known && !copied ? put_in_place(putting) : put_collected(putting);
		progress_end();
		stoa_store_close(putting->store);
	}
	files_close(&putting->input);
	return status;
}

int command_put(int argc, char **argv)
{
	struct putting putting = {0};
	const struct option_spec options[] = {
		{'r', "replace", OPTION_FLAG, &putting.replace, NULL,
		 "instead of what has the id; who holds that keeps it"},
		{'k', "kind", OPTION_TEXT, &putting.kind_text, "KIND",
		 "copied: only the server can ever have written it, up to 64KiB;\n"
		 "private: written in place; sealed: the same, and the kernel\n"
		 "lets nobody write it any more; auto: copied if it is short, else private"},
		{'a', "access", OPTION_TEXT, &putting.access_text, "WHO",
		 "who else may read it: owner (nobody), all, user:NAME, group:NAME"},
		{'m', "meta", OPTION_TEXT, &putting.meta, "TEXT",
		 "metadata, up to 512 bytes, which come with the object"},
		{'f', "follow", OPTION_SIZE, &putting.follow, "SIZE",
		 "others read it while it comes ('stoa get --follow'), and has\nroom for up to SIZE"},
		{'w', "wait", OPTION_DURATION, &putting.wait, "TIME", "wait for room, or for a server, up to TIME"},
		{0, "pinned", OPTION_FLAG, &putting.pinned, NULL, "it is never evicted to make room"},
		{0, "shared-delete", OPTION_FLAG, &putting.shared_delete, NULL, "who may read it may also remove it"},
		{'s', "store", OPTION_TEXT, &putting.where, "PATH", STORE_HELP},
		{0, "json", OPTION_FLAG, &putting.as_json, NULL, "one JSON object: id, size"},
	};
	const struct usage usage = {
		"put",
		"ID [FILE]",
		"Put a file, or the input, into an object store under ID. From then on it does not change, and all who may read it have\n"
		"it in place, without a copy. An id is a name of up to 192 bytes, or 0x and any bytes in hex.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		2,
		"  $ stoa put model weights.bin --access all\n"
		"  $ date | stoa put now --replace\n"
		"  $ stoa put 0x00ff17 frame.raw --meta 640x480\n"
		"  $ make 2>&1 | stoa put log --follow 16MiB\n"
		"  $ stoa ls --store            what is there",
	};
	int operands, status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = parse(&putting, argv[1]);
	if (status != TOOL_GO)
		return status;
	putting.file = operands > 1 ? argv[2] : NULL;
	return put(&putting);
}
