/* SPDX-License-Identifier: MIT */
/* FNV-1a with 64 bits, which finds damage and other layouts; it is no defence, as an enemy can compute it. Uses nothing. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_bytes(const void *bytes, size_t length)
{
	const uint8_t *next = bytes;
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	while (length--)
		value = (value ^ *next++) * UINT64_C(0x100000001b3);
	return value;
}

#endif
