/* SPDX-License-Identifier: MIT */
/*
 * Two hashes of 64 bits, which find damage and other layouts: FNV-1a for what is short, and one that takes eight bytes at a time for
 * blocks. They are no defence, as an enemy can compute them. Uses nothing.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_bytes(const void *bytes, size_t length)
{
	const uint8_t *next = bytes;
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	while (length--)
		value = (value ^ *next++) * UINT64_C(0x100000001b3);
	return value;
}

/*
 * Go on with `value` (begin with any number) over more bytes; whole words in all pieces but the last. Each word changes it by a bijection, so one
 * word that differs is always seen, several but for one in 2^64.
 */
static inline uint64_t hash_words(uint64_t value, const void *bytes, size_t length)
{
	const uint8_t *next = bytes;
	uint64_t word;

	for (; length >= sizeof(word); length -= sizeof(word), next += sizeof(word)) {
		memcpy(&word, next, sizeof(word));
		value = (value ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		value ^= value >> 32;
	}
	if (!length)
		return value;
	word = length; /* how much is left, and what */
	memcpy((uint8_t *)&word + 1, next, length);
	value = (value ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
	return value ^ value >> 29;
}

#endif
