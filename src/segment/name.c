/* SPDX-License-Identifier: MIT */
/*
 * What may be a name: 1 to STOA_NAME_MAX bytes of valid UTF-8 without '/', control characters and "." or "..". The rule is
 * the same on every system, so that a program that works on one does on all.
 */
#include <base/error.h>
#include <base/utf8.h>
#include <segment/segment.h>
#include <string.h>

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
		size_t step = utf8_decode(text + at, length - at, &code);

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
