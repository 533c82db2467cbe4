/* SPDX-License-Identifier: MIT */
/*
 * What may be a name: 1 to STOA_NAME_MAX bytes of valid UTF-8 without '/', control characters and "." or "..". The rule is
 * the same on every system, so that a program that works on one does on all.
 */
#include <base/error.h>
#include <segment/segment.h>
#include <string.h>

/* Length of the UTF-8 sequence at `text` (of which `left` bytes remain), its value in *ret_code; 0 when invalid. */
static size_t decode(const unsigned char *text, size_t left, uint32_t *ret_code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = text[0] < 0x80       ? 1
			: text[0] >> 5 == 6  ? 2
			: text[0] >> 4 == 14 ? 3
			: text[0] >> 3 == 30 ? 4
					     : 0;
	uint32_t code = length == 1 ? text[0] : text[0] & (0xffu >> (length + 1));

	if (length == 0 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if (text[i] >> 6 != 2)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

int segment_check_name(const char *name)
{
	const unsigned char *text = (const unsigned char *)name;
	size_t length = strnlen(name, STOA_NAME_MAX + 1), at = 0;

	if (length == 0)
		return error_set(-STOA_ENAME, "the name is empty");
	if (length > STOA_NAME_MAX)
		return error_set(-STOA_ENAME, "the name is longer than %d bytes", STOA_NAME_MAX);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return error_set(-STOA_ENAME, "that cannot be a name");
	while (at < length) {
		uint32_t code = 0;
		size_t step = decode(text + at, length - at, &code);

		if (step == 0)
			return error_set(-STOA_ENAME, "the name is not valid UTF-8 at byte %zu", at);
		if (code < 0x20 || (code >= 0x7f && code < 0xa0))
			return error_set(-STOA_ENAME, "the name has a control character at byte %zu", at);
		if (code == '/' || code == '\\')
			return error_set(-STOA_ENAME, "the name has a '%c'", (char)code);
		at += step;
	}
	return 0;
}
