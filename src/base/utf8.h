/* SPDX-License-Identifier: MIT */
/* Reading UTF-8. Uses nothing. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the UTF-8 sequence at `text` (of which `left` bytes remain), its value in *ret_code; 0 when invalid. */
static inline size_t utf8_decode(const unsigned char *text, size_t left, uint32_t *ret_code)
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

#endif
