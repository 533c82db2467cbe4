/* SPDX-License-Identifier: MIT */
/* JSON as it goes: one object per line, nothing kept. Uses text.c. */
#include "tool.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* In the halves of UTF-16 where it needs two. */
static void write_code(FILE *out, uint32_t code)
{
	if (code >= 0x10000)
		fprintf(out, "\\u%04" PRIx32, 0xd800 + ((code - 0x10000) >> 10));
	fprintf(out, "\\u%04" PRIx32, code >= 0x10000 ? 0xdc00 + (code & 0x3ff) : code);
}

/* What a terminal obeys is escaped, and what programs that read lines take for the end of one. */
static void write_string(struct json *json, const char *text, size_t length)
{
	FILE *out = json->out;

	fputc('"', out);
	while (length > 0) {
		uint32_t code = 0;
		size_t step = utf8_next(text, length, &code);
		unsigned char byte = (unsigned char)*text;

		if (step == 0)
			fputs("\\ufffd", out);
		else if (byte == '"' || byte == '\\')
			fprintf(out, "\\%c", byte);
		else if (byte == '\n')
			fputs("\\n", out);
		else if (text_steers(code))
			write_code(out, code);
		else
			fwrite(text, 1, step, out);
		text += step ? step : 1;
		length -= step ? step : 1;
	}
	fputc('"', out);
}

/* What stands before a value: a comma when it is not the first, and its key when it is not in an array. */
static void write_key(struct json *json, const char *key, const char *suffix)
{
	if (json->comma)
		fputc(',', json->out);
	json->comma = true;
	if (key)
		fprintf(json->out, "\"%s%s\":", key, suffix);
}

void json_begin(struct json *json, FILE *out)
{
	json->out = out;
	json->comma = false;
	fputc('{', out);
}

void json_end(struct json *json)
{
	fputs("}\n", json->out);
}

void json_bytes(struct json *json, const char *key, const char *text, size_t length)
{
	write_key(json, key, "");
	write_string(json, text, length);
	if (!key || utf8_valid(text, length))
		return;
	write_key(json, key, "_hex");
	fputc('"', json->out);
	for (size_t i = 0; i < length; i++)
		fprintf(json->out, "%02x", (unsigned char)text[i]);
	fputc('"', json->out);
}

void json_text(struct json *json, const char *key, const char *text)
{
	if (text)
		json_bytes(json, key, text, strlen(text));
	else
		json_null(json, key);
}

void json_number(struct json *json, const char *key, uint64_t number)
{
	write_key(json, key, "");
	fprintf(json->out, "%" PRIu64, number);
}

void json_signed(struct json *json, const char *key, int64_t number)
{
	write_key(json, key, "");
	fprintf(json->out, "%" PRId64, number);
}

void json_real(struct json *json, const char *key, double number)
{
	if (!(fabs(number) <= DBL_MAX)) {
		json_null(json, key);
		return;
	}
	write_key(json, key, "");
	fprintf(json->out, "%.9g", number);
}

void json_bool(struct json *json, const char *key, bool truth)
{
	write_key(json, key, "");
	fputs(truth ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
	write_key(json, key, "");
	fputs("null", json->out);
}

static void open_group(struct json *json, const char *key, char bracket)
{
	write_key(json, key, "");
	fputc(bracket, json->out);
	json->comma = false;
}

static void close_group(struct json *json, char bracket)
{
	fputc(bracket, json->out);
	json->comma = true;
}

void json_array_begin(struct json *json, const char *key)
{
	open_group(json, key, '[');
}

void json_array_end(struct json *json)
{
	close_group(json, ']');
}

void json_object_begin(struct json *json, const char *key)
{
	open_group(json, key, '{');
}

void json_object_end(struct json *json)
{
	close_group(json, '}');
}
