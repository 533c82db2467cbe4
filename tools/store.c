/* SPDX-License-Identifier: MIT */
/* Ids as people write them, and connections to a store. Uses the public API. */
#include "store.h"

#include <string.h>
#include <time.h>

/* ---- ids ---- */

static int digit_of(char letter)
{
	static const char digits[] = "0123456789abcdef";
	const char *found =
		letter ? strchr(digits, letter >= 'A' && letter <= 'F' ? letter - 'A' + 'a' : letter) : NULL;

	return found ? (int)(found - digits) : -1;
}

static bool hex_parse(const char *text, struct store_id *ret_id)
{
	size_t length = strlen(text);

	if (length == 0 || length % 2 || length > (size_t)2 * STOA_ID_MAX)
		return false;
	for (size_t i = 0; i < length; i += 2) {
		int high = digit_of(text[i]), low = digit_of(text[i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret_id->bytes[i / 2] = (uint8_t)(high * 16 + low);
	}
	ret_id->length = (uint32_t)length / 2;
	return true;
}

int store_id_parse(const char *command, const char *text, struct store_id *ret_id)
{
	size_t length = strlen(text);

	if (strncmp(text, "0x", 2) == 0) {
		if (hex_parse(text + 2, ret_id))
			return TOOL_GO;
		return tool_misuse(
			"%s: '%s' is no id: behind 0x stand 1 to %d bytes, each with two hex digits; a name that "
			"begins so is written in hex, too",
			command, text, STOA_ID_MAX);
	}
	if (length == 0)
		return tool_misuse("%s: an id is not empty", command);
	if (length > STOA_ID_MAX)
		return tool_misuse("%s: '%s' is no id: it has %zu bytes, and an id at most %d", command, text, length,
				   STOA_ID_MAX);
	memcpy(ret_id->bytes, text, length);
	ret_id->length = (uint32_t)length;
	return TOOL_GO;
}

static bool is_name(const char *bytes, size_t length)
{
	if (length >= 2 && memcmp(bytes, "0x", 2) == 0)
		return false;
	while (length > 0) {
		uint32_t code = 0;
		size_t step = utf8_next(bytes, length, &code);

		if (step == 0 || text_steers(code))
			return false;
		bytes += step;
		length -= step;
	}
	return true;
}

const char *store_id_text(const void *id, uint32_t length, char buffer[STORE_ID_TEXT])
{
	const uint8_t *bytes = id;

	if (is_name(id, length)) {
		memcpy(buffer, id, length);
		buffer[length] = 0;
		return buffer;
	}
	snprintf(buffer, STORE_ID_TEXT, "0x");
	for (uint32_t i = 0; i < length; i++)
		snprintf(buffer + 2 + (size_t)2 * i, 3, "%02x", bytes[i]);
	return buffer;
}

/* ---- connecting, errors ---- */

static int open_until(const char *where, uint64_t deadline, struct stoa_store **ret_store)
{
	const struct timespec nap = {.tv_nsec = 10000000};
	int result = stoa_store_open(where, NULL, ret_store);

	while (result == -STOA_ENOENT && stoa_now() < deadline) {
		nanosleep(&nap, NULL);
		result = stoa_store_open(where, NULL, ret_store);
	}
	return result;
}

int store_connect(const char *command, const char *where, uint64_t deadline, struct stoa_store **ret_store)
{
	char path[4096];
	int result;

	if (!where || !*where) {
		result = stoa_store_path(path, sizeof(path));
		if (result < 0)
			return tool_fail("%s: %s, or name the server's socket: --store=PATH", command,
					 stoa_error_detail());
		where = path;
	}
	if (strncmp(where, "embedded:", 9) == 0)
		return tool_misuse(
			"%s: an embedded store is seen by its own program alone; name the socket of a server", command);
	result = open_until(where, deadline, ret_store);
	if (result == -STOA_ENOENT)
		return tool_fail("%s; 'stoad --socket PATH' starts a server", stoa_error_detail());
	return result < 0 ? tool_fail_result(NULL, result) : TOOL_GO;
}

static const char *advice(int result)
{
	switch (result) {
	case -STOA_EEXIST: return "; --replace puts another in its place";
	case -STOA_ENOMEM:
		return "; 'stoa stat --store' tells the limit, 'stoa ls --store' what is there; --wait waits for room";
	case -STOA_ELIMIT:
		return ": --objects, --client-limit or --user-limit of its server, or how many this process may hold";
	default: return "";
	}
}

int store_fail(const struct store_id *id, int result)
{
	char text[STORE_ID_TEXT];

	if (result == STOA_TIMED_OUT)
		return tool_fail("object '%s': it did not come in time", store_id_text(id->bytes, id->length, text));
	tool_fail("%s%s", stoa_error_detail()[0] ? stoa_error_detail() : stoa_error_text(result), advice(result));
	return result == -STOA_EINVAL ? TOOL_MISUSE : TOOL_FAILED;
}
