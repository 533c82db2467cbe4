/* SPDX-License-Identifier: MIT */
/* Text in and out: UTF-8, names made safe for a terminal, sizes, durations and numbers. Uses libc and os/console.h. */
#include "tool.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "os/console.h"

size_t utf8_next(const char *text, size_t length, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = length ? (unsigned char)text[0] : 0xff;
	size_t need = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
	uint32_t code = need <= 1 ? first : first & (0xffu >> (need + 1));

	if (need == 0 || need > length)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (code < least[need] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	if (ret_code)
		*ret_code = code;
	return need;
}

bool utf8_valid(const char *text, size_t length)
{
	while (length > 0) {
		size_t step = utf8_next(text, length, NULL);

		if (step == 0)
			return false;
		text += step;
		length -= step;
	}
	return true;
}

bool text_steers(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
	       code >= 0xe0000;
}

/* One character, or one bad byte when `step` is 0, as safe text; returns its length. */
static size_t safe_character(const char *text, size_t step, uint32_t code, char out[16])
{
	static const char named[] = "\aa\bb\tt\nn\vv\ff\rr\033e\\\\";
	const char *name = NULL;

	for (const char *n = named; step == 1 && *n && !name; n += 2)
		if (*n == *text)
			name = n + 1;
	if (name)
		return (size_t)snprintf(out, 16, "\\%c", *name);
	if (step == 0 || (step == 1 && text_steers(code)))
		return (size_t)snprintf(out, 16, "\\x%02x", (unsigned char)*text);
	if (text_steers(code))
		return (size_t)snprintf(out, 16, "\\u{%" PRIx32 "}", code);
	memcpy(out, text, step);
	return step;
}

const char *text_safe(const char *text, size_t length, char *buffer, size_t size)
{
	size_t used = 0;
	size_t fits = 0; /* what can stay when "..." must follow */

	while (length > 0) {
		char piece[16];
		uint32_t code = 0;
		size_t step = utf8_next(text, length, &code);
		size_t got = safe_character(text, step, code, piece);

		if (used + got + 1 > size) {
			memcpy(buffer + fits, "...", 4);
			return buffer;
		}
		memcpy(buffer + used, piece, got);
		used += got;
		if (used + 4 <= size)
			fits = used;
		text += step ? step : 1;
		length -= step ? step : 1;
	}
	buffer[used] = 0;
	return buffer;
}

const char *text_safe_string(const char *text, char *buffer, size_t size)
{
	return text_safe(text, strlen(text), buffer, size);
}

size_t text_columns(const char *text)
{
	size_t columns = 0;
	size_t length = strlen(text);

	while (length > 0) {
		uint32_t code = 0;
		size_t step = utf8_next(text, length, &code);
		int width = step ? console_character_columns(code) : 1;

		columns += width > 0 ? (size_t)width : 0;
		text += step ? step : 1;
		length -= step ? step : 1;
	}
	return columns;
}

struct unit {
	const char *name;
	double factor;
};

/* A decimal number with an optional fraction and a unit from the table; whole numbers are exact. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_value)
{
	uint64_t whole = 0;
	double fraction = 0;
	const char *at = text;
	double value;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (whole > (UINT64_MAX - 9) / 10)
			return false;
		whole = whole * 10 + (uint64_t)(*at - '0');
	}
	if (at == text)
		return false;
	if (*at == '.') {
		double place = 0.1;

		for (at++; *at >= '0' && *at <= '9'; at++, place /= 10)
			fraction += place * (*at - '0');
	}
	while (*at == ' ')
		at++;
	while (units->name && strcmp(units->name, at) != 0)
		units++;
	if (!units->name)
		return false;
	value = ((double)whole + fraction) * units->factor;
	if (value >= 18446744073709551615.0)
		return false;
	*ret_value = whole * (uint64_t)units->factor + (uint64_t)(fraction * units->factor);
	return true;
}

bool size_parse(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{"", 1},
		{"B", 1},
		{"K", 1024},
		{"k", 1024},
		{"KiB", 1024},
		{"M", 1048576},
		{"MiB", 1048576},
		{"G", 1073741824},
		{"GiB", 1073741824},
		{"T", 1099511627776.0},
		{"TiB", 1099511627776.0},
		{"P", 1125899906842624.0},
		{"PiB", 1125899906842624.0},
		{"E", 1152921504606846976.0},
		{"EiB", 1152921504606846976.0},
		{"kB", 1e3},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"PB", 1e15},
		{"EB", 1e18},
		{NULL, 0},
	};

	return parse_with_unit(text, units, ret_bytes);
}

const char *size_text(uint64_t bytes, char buffer[SIZE_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	/* As a double, and not rounded up. */
	double value = (double)(bytes >> 53 ? bytes & ~UINT64_C(0x7ff) : bytes);
	size_t unit = 0;

	if (bytes == 0)
		return strcpy(buffer, "0");
	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	/* Rounded down, so that 1023.9 KiB never reads as more than there is; no needless ".0". */
	if (value < 9.995 && unit > 0 && floor(value * 100) != floor(value) * 100)
		snprintf(buffer, SIZE_TEXT, "%.3g%s", floor(value * 100) / 100, units[unit]);
	else if (value < 99.95 && unit > 0 && floor(value * 10) != floor(value) * 10)
		snprintf(buffer, SIZE_TEXT, "%.3g%s", floor(value * 10) / 10, units[unit]);
	else
		snprintf(buffer, SIZE_TEXT, "%.0f%s", floor(value), units[unit]);
	return buffer;
}

bool duration_parse(const char *text, uint64_t *ret_nanoseconds)
{
	static const struct unit units[] = {
		{"", 1e9},    {"ns", 1},   {"us", 1e3},   {"\xc2\xb5s", 1e3}, {"ms", 1e6},    {"s", 1e9},
		{"sec", 1e9}, {"m", 60e9}, {"min", 60e9}, {"h", 3600e9},      {"d", 86400e9}, {NULL, 0},
	};

	return parse_with_unit(text, units, ret_nanoseconds);
}

const char *duration_text(uint64_t nanoseconds, char buffer[DURATION_TEXT])
{
	static const struct {
		uint64_t unit;
		const char *name;
	} units[] = {
		{UINT64_C(86400000000000), "d"},
		{UINT64_C(3600000000000), "h"},
		{UINT64_C(60000000000), "min"},
		{1000000000, "s"},
		{1000000, "ms"},
		{1000, "us"},
	};

	if (nanoseconds == 0)
		return strcpy(buffer, "0s");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (nanoseconds < units[i].unit)
			continue;
		snprintf(buffer, DURATION_TEXT, "%" PRIu64 "%s", nanoseconds / units[i].unit, units[i].name);
		return buffer;
	}
	snprintf(buffer, DURATION_TEXT, "%" PRIu64 "ns", nanoseconds);
	return buffer;
}

bool number_parse(const char *text, uint64_t *ret_number)
{
	static const struct unit units[] = {{"", 1}, {NULL, 0}};

	if (strpbrk(text, ". "))
		return false;
	return parse_with_unit(text, units, ret_number);
}

int size_argument(const char *subject, const char *text, uint64_t *ret_bytes)
{
	if (size_parse(text, ret_bytes))
		return TOOL_GO;
	return tool_misuse("%s %s is not a size; use e.g. 1GiB", subject, text[0] ? text : "''");
}

int duration_argument(const char *subject, const char *text, uint64_t *ret_nanoseconds)
{
	if (duration_parse(text, ret_nanoseconds))
		return TOOL_GO;
	return tool_misuse("%s %s is not a time; use e.g. 5s or 250ms", subject, text[0] ? text : "''");
}

int number_argument(const char *subject, const char *text, uint64_t *ret_number)
{
	if (number_parse(text, ret_number))
		return TOOL_GO;
	return tool_misuse("%s %s is not a number; use e.g. 4", subject, text[0] ? text : "''");
}
