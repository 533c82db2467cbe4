/* SPDX-License-Identifier: MIT */
/* A reader of JSON that keeps nothing: is this one object, as RFC 8259 has it, in UTF-8? */
#include "run.h"

#include <base/utf8.h>

#define DEPTH 16

struct reader {
	const char *at;
	const char *end;
	unsigned depth;
};

static bool take(struct reader *reader, char byte)
{
	if (reader->at == reader->end || *reader->at != byte)
		return false;
	reader->at++;
	return true;
}

static bool take_word(struct reader *reader, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
		return false;
	reader->at += length;
	return true;
}

static size_t take_any(struct reader *reader, const char *set, size_t most)
{
	size_t taken = 0;

	while (taken < most && reader->at < reader->end && *reader->at && strchr(set, *reader->at)) {
		reader->at++;
		taken++;
	}
	return taken;
}

static bool take_string(struct reader *reader)
{
	if (!take(reader, '"'))
		return false;
	while (!take(reader, '"')) {
		uint32_t code;
		size_t step = utf8_decode((const unsigned char *)reader->at, (size_t)(reader->end - reader->at), &code);

		if (take(reader, '\\')) {
			if (take(reader, 'u') ? take_any(reader, "0123456789abcdefABCDEF", 4) != 4
					      : !take_any(reader, "\"\\/bfnrt", 1))
				return false;
		} else if (step == 0 || (unsigned char)*reader->at < 0x20) {
			return false;
		} else {
			reader->at += step;
		}
	}
	return true;
}

static bool take_number(struct reader *reader)
{
	static const char digits[] = "0123456789";

	take(reader, '-');
	if (!take(reader, '0') && !take_any(reader, digits, SIZE_MAX))
		return false;
	if (take(reader, '.') && !take_any(reader, digits, SIZE_MAX))
		return false;
	if (!take_any(reader, "eE", 1))
		return true;
	take_any(reader, "+-", 1);
	return take_any(reader, digits, SIZE_MAX);
}

static bool take_value(struct reader *reader);

/* What stands between two brackets: values, with keys before them or not. */
static bool take_group(struct reader *reader, char closing, bool keys)
{
	bool more = !take(reader, closing);
	bool good = ++reader->depth < DEPTH;

	while (good && more) {
		good = (!keys || (take_string(reader) && take(reader, ':'))) && take_value(reader);
		more = good && take(reader, ',');
		good = good && (more || take(reader, closing));
	}
	reader->depth--;
	return good;
}

static bool take_value(struct reader *reader)
{
	if (take(reader, '{'))
		return take_group(reader, '}', true);
	if (take(reader, '['))
		return take_group(reader, ']', false);
	return take_word(reader, "true") || take_word(reader, "false") || take_word(reader, "null") ||
	       take_string(reader) || take_number(reader);
}

bool json_is_object(const char *text, size_t length)
{
	struct reader reader = {text, text + length, 0};

	return length > 0 && *text == '{' && take_value(&reader) && reader.at == reader.end;
}
