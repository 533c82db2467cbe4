/* SPDX-License-Identifier: MIT */
/* `stoa get`: an object's bytes to the output or into a file, which is there whole or not at all; and `stoa wait`, for objects to be there. */
#include "store.h"

#include <string.h>
#include <time.h>

#include "os/console.h"
#include "os/files.h"
#include "os/flow.h"

#define CHUNK (UINT64_C(4) << 20)
#define RESTORE_WAIT UINT64_C(10000000000) /* nanoseconds, without --wait, for an object that is in a file */

struct getting {
	const char *word, *file, *where; /* the id as it was given; no file: the output */
	bool meta, follow, as_json;
	uint64_t wait;
	struct stoa_store *store;
	struct stoa_object object;
};

/* ---- writing ---- */

static int write_some(const struct files_output *output, const char *bytes, uint64_t length)
{
	return output ? files_write(output, bytes, length) : flow_write(bytes, length);
}

/* 0, or an errno value. */
static int write_all(const struct getting *getting, const struct files_output *output, const char *bytes, uint64_t size)
{
	char done_text[SIZE_TEXT], all[SIZE_TEXT];
	bool tell = output || !console_is_terminal(stdout);
	uint64_t done = 0;

	while (done < size) {
		uint64_t step = size - done < CHUNK ? size - done : CHUNK;
		int error = write_some(output, bytes + done, step);

		if (error)
			return error;
		done += step;
		if (tell)
			progress_show("'%s': %s of %s", getting->word, size_text(done, done_text),
				      size_text(size, all));
	}
	return 0;
}

/* The bytes that were asked for. */
static int write_file(const struct getting *getting, const char *bytes, uint64_t size)
{
	struct files_output output;
	int error;

	flow_begin(); /* what was begun is dropped when this process is asked to end */
	error = files_create(getting->file, &output);
	if (error)
		return tool_fail("%s cannot be made: %s", getting->file, strerror(error));
	error = write_all(getting, &output, bytes, size);
	progress_end();
	if (!error)
		error = files_commit(&output);
	else
		files_drop(&output);
	if (error && !flow_asked())
		return tool_fail("%s cannot be written: %s; it is as it was", getting->file, strerror(error));
	return error ? TOOL_FAILED : TOOL_OK;
}

static int write_output(const struct getting *getting, const char *bytes, uint64_t size)
{
	int error;

	fflush(stdout);
	error = write_all(getting, NULL, bytes, size);
	progress_end();
	return error ? tool_fail("cannot write the output: %s", strerror(error)) : TOOL_OK;
}

static void print_json(const struct getting *getting, const struct store_id *id)
{
	char text[STORE_ID_TEXT];
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "id", store_id_text(id->bytes, id->length, text));
	json_number(&json, "size", getting->object.size);
	if (getting->object.meta_length)
		json_bytes(&json, "meta", getting->object.meta, getting->object.meta_length);
	else
		json_null(&json, "meta");
	json_end(&json);
}

static int write_object(const struct getting *getting, const struct store_id *id)
{
	const struct stoa_object *object = &getting->object;
	const char *bytes = getting->meta ? object->meta : object->data;
	uint64_t size = getting->meta ? object->meta_length : object->size;
	int status = TOOL_OK;

	if (getting->file && strcmp(getting->file, "-") != 0)
		status = write_file(getting, bytes, size);
	else if (!getting->as_json)
		status = write_output(getting, bytes, size);
	if (status == TOOL_OK && getting->as_json)
		print_json(getting, id);
	return status;
}

/* ---- following ---- */

#define PIECE UINT64_C(50000000) /* nanoseconds: a request to end is seen after so long at most */

/* More of it, or its end; as stoa_object_await(). STOA_TIMED_OUT: this was asked to end. */
static int await_more(struct getting *getting)
{
	int result = STOA_TIMED_OUT;

	while (result == STOA_TIMED_OUT && !flow_asked())
		result = stoa_object_await(getting->store, &getting->object, stoa_deadline_in(PIECE));
	return result;
}

/* All that comes. *ret_result: STOA_CLOSED, and it is complete; or why there is no more. Returns 0, or an errno value of the output. */
static int write_as_it_comes(struct getting *getting, const struct files_output *output, int *ret_result)
{
	const struct stoa_object *object = &getting->object;
	uint64_t done = 0;
	int result = 0;

	while (result == 0) {
		int error = write_some(output, (const char *)object->data + done, object->size - done);

		if (error)
			return error;
		done = object->size;
		result = await_more(getting);
	}
	*ret_result = result;
	return result == STOA_CLOSED ? write_some(output, (const char *)object->data + done, object->size - done) : 0;
}

static int follow(struct getting *getting, const struct store_id *id)
{
	bool to_file = getting->file && strcmp(getting->file, "-") != 0;
	struct files_output output;
	int error = 0, result = 0, status = TOOL_OK;

	flow_begin();
	fflush(stdout);
	if (to_file && (error = files_create(getting->file, &output)) != 0)
		return tool_fail("%s cannot be made: %s", getting->file, strerror(error));
	error = write_as_it_comes(getting, to_file ? &output : NULL, &result);
	if (!error && result < 0)
		status = tool_fail("object '%s': %s", getting->word, stoa_error_detail());
	if (to_file && !error && result == STOA_CLOSED)
		error = files_commit(&output);
	else if (to_file)
		files_drop(&output);
	if (error && !flow_asked())
		return tool_fail("%s cannot be written: %s", to_file ? getting->file : "the output", strerror(error));
	if (status == TOOL_OK && result == STOA_CLOSED && getting->as_json)
		print_json(getting, id);
	return error || result != STOA_CLOSED ? TOOL_FAILED : status;
}

/* ---- get ---- */

/* It is there, in a file, and comes back: that is not what --wait speaks of, which waits for what is not there, too. */
static int get_restored(struct getting *getting, const struct store_id *id)
{
	const struct timespec nap = {0, 1000000};
	uint64_t deadline = stoa_deadline_in(RESTORE_WAIT);
	int result;

	do {
		nanosleep(&nap, NULL);
		result = stoa_store_get(getting->store, id->bytes, id->length, 0, &getting->object);
	} while (result == STOA_TIMED_OUT && stoa_now() < deadline && !flow_asked());
	return result;
}

static int get(struct getting *getting)
{
	uint64_t deadline = getting->wait ? stoa_deadline_in(getting->wait) : 0;
	struct store_id id;
	int result, status = store_id_parse("get", getting->word, &id);

	if (status == TOOL_GO)
		status = store_connect("get", getting->where, deadline, &getting->store);
	if (status != TOOL_GO)
		return status;
	result = (getting->follow ? stoa_store_follow : stoa_store_get)(getting->store, id.bytes, id.length, deadline,
									&getting->object);
	if (result == STOA_TIMED_OUT && !getting->wait)
		result = get_restored(getting, &id);
	if (result) {
		status = store_fail(&id, result);
	} else {
		status = getting->follow ? follow(getting, &id) : write_object(getting, &id);
		stoa_object_release(getting->store, &getting->object);
	}
	stoa_store_close(getting->store);
	if (flow_asked())
		console_end_as(flow_asked());
	return status;
}

int command_get(int argc, char **argv)
{
	struct getting getting = {0};
	const struct option_spec options[] = {
		{'w', "wait", OPTION_DURATION, &getting.wait, "TIME",
		 "if there is none, wait for it, and for a server, up to TIME"},
		{'m', "meta", OPTION_FLAG, &getting.meta, NULL, "its metadata, not its bytes"},
		{'f', "follow", OPTION_FLAG, &getting.follow, NULL,
		 "also one that is still being made: its bytes as they come,\nuntil it is complete; it fails if its maker gives it up"},
		{'s', "store", OPTION_TEXT, &getting.where, "PATH", STORE_HELP},
		{0, "json", OPTION_FLAG, &getting.as_json, NULL,
		 "one JSON object, id, size, meta, on the output; the bytes are\nwritten to FILE, if there is one"},
	};
	const struct usage usage = {
		"get",
		"ID [FILE]",
		"Write the bytes of an object to the output, or into FILE, which is replaced when all is written, and else left as it was.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		2,
		"  $ stoa get model weights.bin\n"
		"  $ stoa get now --wait 10s\n"
		"  $ stoa get log --follow --wait 1min\n"
		"  $ stoa get 0x00ff17 --meta",
	};
	int operands, status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (getting.meta && getting.follow)
		return tool_misuse("get: metadata does not grow: --meta or --follow");
	getting.word = argv[1];
	getting.file = operands > 1 ? argv[2] : NULL;
	return get(&getting);
}

/* ---- wait ---- */

/* TOOL_GO: it is there. */
static int await(struct stoa_store *store, const struct store_id *id, uint64_t deadline)
{
	struct stoa_object object;
	int result = stoa_store_contains(store, id->bytes, id->length);

	if (result == 0) {
		result = stoa_store_get(store, id->bytes, id->length, deadline, &object);
		if (result == 0)
			stoa_object_release(store, &object);
		/* What this user may not read is there all the same. */
		if (result == 0 || result == -STOA_EACCES)
			result = 1;
	}
	if (result == 1)
		return TOOL_GO;
	return store_fail(id, result == 0 ? STOA_TIMED_OUT : result);
}

static int wait_each(struct stoa_store *store, char **words, int count, uint64_t deadline, bool as_json)
{
	char text[STORE_ID_TEXT];
	struct store_id id;
	struct json json;

	for (int i = 0; i < count; i++) {
		int status = store_id_parse("wait", words[i], &id);

		if (status == TOOL_GO)
			status = await(store, &id, deadline);
		if (status != TOOL_GO)
			return status;
		if (!as_json)
			continue;
		json_begin(&json, stdout);
		json_text(&json, "id", store_id_text(id.bytes, id.length, text));
		json_end(&json);
		fflush(stdout);
	}
	return TOOL_OK;
}

int command_wait(int argc, char **argv)
{
	bool as_json = false;
	uint64_t timeout = UINT64_MAX;
	const char *where = NULL;
	const struct option_spec options[] = {
		{'t', "timeout", OPTION_DURATION, &timeout, "TIME",
		 "fail after TIME; 0 only looks. Without, wait for ever"},
		{'s', "store", OPTION_TEXT, &where, "PATH", STORE_HELP},
		{0, "json", OPTION_FLAG, &as_json, NULL, "one JSON object for each that is there: id"},
	};
	const struct usage usage = {
		"wait",
		"ID...",
		"Wait until an object of each id is there.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		-1,
		"  $ stoa wait part-1 part-2 --timeout 1min && echo all there",
	};
	struct stoa_store *store;
	int operands, status = options_parse(&usage, argc, argv, &operands);
	uint64_t deadline = timeout == UINT64_MAX ? STOA_FOREVER : timeout ? stoa_deadline_in(timeout) : 0;

	/* For ever is for objects; where nobody serves any, somebody should know. */
	if (status == TOOL_GO)
		status = store_connect("wait", where, deadline == STOA_FOREVER ? 0 : deadline, &store);
	if (status != TOOL_GO)
		return status;
	status = wait_each(store, argv + 1, operands, deadline, as_json);
	stoa_store_close(store);
	return status;
}
