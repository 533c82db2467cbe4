/* SPDX-License-Identifier: MIT */
/*
 * What the files of the directory share: how ids are hashed, how its memory is read and written while others do so, and what a sound entry is.
 *
 * All of the memory is accessed in whole words, relaxed where the state of an entry, or the place that leads to it, gives the order.
 */
#ifndef STORE_DIRECTORY_PARTS_H
#define STORE_DIRECTORY_PARTS_H

#include <base/cc.h>
#include <base/hash.h>
#include <base/mutant.h>
#include <store/directory.h>
#include <string.h>

/* What a test calls after each store into the directory; it looks there what one who dies now leaves. */
#ifdef STOA_MUTANTS
extern void (*directory_stored)(void);
#define STORED() (directory_stored ? directory_stored() : (void)0)
#else
#define STORED() ((void)0)
#endif

/* ---- a map of it ---- */

void directory_at(void *map, const struct store_shape *shape, const uint64_t key[2], const struct directory_plan *plan,
		  struct directory *ret_directory);

/* The constant part of a header, up to `check`. */
void directory_head(const struct store_shape *shape, const uint64_t key[2], struct store_header *ret_head);

/* A book without anything in it over a directory that is there; frees what it has made when it fails. */
int directory_book_open(const struct directory *directory, int (*commit)(void *argument, uint64_t from, uint64_t to),
			void *argument, struct directory_book *ret_book);

/* Numbers below `reached` have been used, so they must be backed. */
int directory_pool_reach(struct directory_book *book, struct directory_pool *pool, uint32_t reached);
/* The pages that a dead server had got for numbers up to pool->reached, and ahead of that. */
int directory_pool_back(struct directory_book *book, struct directory_pool *pool);

/* ---- words ---- */

static inline uint64_t get_word(const void *place, unsigned index)
{
	return load_rlx((const _Atomic uint64_t *)place + index);
}

static inline void put_word(void *place, unsigned index, uint64_t value)
{
	store_rlx((_Atomic uint64_t *)place + index, value);
	STORED();
}

static inline void put_count(_Atomic uint32_t *place, uint32_t value)
{
	store_rlx(place, value);
	STORED();
}

#define WORDS(type) ((unsigned)(sizeof(type) / sizeof(uint64_t)))

/* Words of an entry, and what is in them: layout.h. */
#define ENTRY_ID 1u
#define ENTRY_KIND 5u /* {arena : 32 | id_length : 8 | kind : 8 | meta_length : 16} */
#define ENTRY_OFFSET 6u
#define ENTRY_SIZE 7u
#define ENTRY_CHECK 15u

static inline uint32_t word_arena(uint64_t word)
{
	return (uint32_t)word;
}

static inline uint32_t word_id_length(uint64_t word)
{
	return (uint8_t)(word >> 32);
}

static inline uint8_t word_kind(uint64_t word)
{
	return (uint8_t)(word >> 40);
}

static inline uint16_t word_meta_length(uint64_t word)
{
	return (uint16_t)(word >> 48);
}

/* ---- ids ---- */

/* An id as entries have it, and its hash: {tag : 32 | bucket : 32}. */
struct directory_key {
	uint64_t words[STORE_ID_INLINE / 8];
	uint64_t hash;
	const uint8_t *bytes;
	uint32_t length;
};

/*
 * Multiplying pairs of words and laying the product's halves upon each other is what wyhash (Wang Yi) does. Numbers without a pattern stand
 * between the pairs. Who knows the key, as every client does, can make ids with one hash: they then find no room (STORE_REACH), and nothing else happens.
 */
#define HASH_A UINT64_C(0x9e3779b97f4a7c15)
#define HASH_B UINT64_C(0xbf58476d1ce4e5b9)
#define HASH_C UINT64_C(0x94d049bb133111eb)

/* What the third and fourth word of an id add; with none, as nearly always, the same for all. */
static inline uint64_t key_second(const uint64_t key[2], uint64_t third, uint64_t fourth)
{
	return cc_multiply_fold(third ^ key[0] ^ HASH_A, fourth ^ key[1] ^ HASH_B);
}

static inline uint64_t key_both(const uint64_t key[2], const uint64_t words[4], uint32_t length, uint64_t second)
{
	uint64_t first = cc_multiply_fold(words[0] ^ key[0], words[1] ^ key[1]);

	return cc_multiply_fold(first ^ HASH_C, second ^ key[0] ^ length);
}

static inline uint64_t key_hash(const uint64_t key[2], const uint64_t words[4], uint32_t length)
{
	return key_both(key, words, length, key_second(key, words[2], words[3]));
}

static inline uint64_t id_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* The last `rest` bytes, 1 .. 7, of an id of at least 8, which end at `end`. */
static inline uint64_t id_end(const uint8_t *end, uint32_t rest)
{
	return id_word(end - 8) >> (64 - 8 * rest);
}

/* An id of 1 .. 7 bytes. */
static inline uint64_t id_tiny(const uint8_t *bytes, uint32_t length)
{
	uint32_t low, high;

	if (length < 4)
		return bytes[0] | (uint64_t)bytes[length / 2] << 8 * (length / 2) |
		       (uint64_t)bytes[length - 1] << 8 * (length - 1);
	memcpy(&low, bytes, sizeof(low));
	memcpy(&high, bytes + length - 4, sizeof(high));
	return low | (uint64_t)high << 8 * (length - 4);
}

/* Two words of an id of 1 .. 16 bytes, with zeros behind its end. */
static CC_INLINED void id_half(const uint8_t *bytes, uint32_t length, uint64_t words[2])
{
	words[1] = 0;
	if (length < 8) {
		words[0] = id_tiny(bytes, length);
		return;
	}
	words[0] = id_word(bytes);
	if (length == 16)
		words[1] = id_word(bytes + 8);
	else if (length > 8)
		words[1] = id_end(bytes + length, length - 8);
}

/* The n-th word of an id, with zeros behind its end. */
static inline uint64_t id_word_at(const uint8_t *bytes, uint32_t length, uint32_t index)
{
	if (length < 8)
		return id_tiny(bytes, length);
	return index < length / 8 ? id_word(bytes + 8 * (size_t)index) : id_end(bytes + length, length % 8);
}

void directory_long_words(const uint64_t key[2], const uint8_t *bytes, uint32_t length, uint64_t words[4]);

/* The words of an id of 1 .. STORE_ID_INLINE bytes; returns its hash. */
static CC_INLINED uint64_t key_short(const struct directory *directory, const void *id, uint32_t length,
				     uint64_t words[4])
{
	const uint8_t *bytes = id;

	if (CC_LIKELY(length <= 16)) {
		words[2] = words[3] = 0;
		id_half(bytes, length, words);
		return key_both(directory->key, words, length, directory->second);
	}
	words[0] = id_word(bytes);
	words[1] = id_word(bytes + 8);
	id_half(bytes + 16, length - 16, words + 2);
	return key_hash(directory->key, words, length);
}

/* Of 1 .. STOA_ID_MAX bytes. */
static inline void directory_key_make(const struct directory *directory, const void *id, uint32_t length,
				      struct directory_key *ret_key)
{
	ret_key->bytes = id;
	ret_key->length = length;
	if (CC_LIKELY(length <= STORE_ID_INLINE)) {
		ret_key->hash = key_short(directory, id, length, ret_key->words);
		return;
	}
	directory_long_words(directory->key, id, length, ret_key->words);
	ret_key->hash = key_hash(directory->key, ret_key->words, length);
}

static inline uint32_t key_bucket(const struct directory *directory, uint64_t hash)
{
	return (uint32_t)hash & (directory->shape.buckets - 1);
}

static inline uint32_t next_bucket(const struct directory *directory, uint32_t bucket)
{
	return (bucket + 1) & (directory->shape.buckets - 1);
}

static inline uint64_t place_word(uint64_t hash, uint32_t entry)
{
	return (hash & ~UINT64_C(0xffffffff)) | entry;
}

/* Is this the entry's id? Says nothing that holds while the entry changes. */
bool directory_same_name(const struct directory *directory, const struct store_entry *entry,
			 const struct directory_key *key);

/* The words in the entry. */
static CC_INLINED bool directory_same_words(const struct store_entry *entry, const uint64_t words[4], uint32_t length)
{
	return !((word_id_length(get_word(entry, ENTRY_KIND)) ^ length) | (get_word(entry, ENTRY_ID) ^ words[0]) |
		 (get_word(entry, ENTRY_ID + 1) ^ words[1]) | (get_word(entry, ENTRY_ID + 2) ^ words[2]) |
		 (get_word(entry, ENTRY_ID + 3) ^ words[3]));
}

static inline bool directory_same_id(const struct directory *directory, const struct store_entry *entry,
				     const struct directory_key *key)
{
	return directory_same_words(entry, key->words, key->length) &&
	       (CC_LIKELY(key->length <= STORE_ID_INLINE) || directory_same_name(directory, entry, key));
}

/* ---- sound entries ---- */

/* The hash of an entry's words that belongs into `check`. */
uint64_t directory_check(const struct store_entry *entry, uint64_t generation);
uint64_t directory_arena_check(const struct store_arena *arena, uint64_t generation);

/* Of copies. Is everything in its range, and the id's words those of the id? The arena's size is given (0: there is none). */
bool directory_entry_sound(const struct directory *directory, const struct directory_object *object);
bool directory_arena_sound(const struct store_arena *arena);

/* Copies the entry with its id and its arena's size, whatever they are: the caller checks. */
void directory_copy(const struct directory *directory, uint32_t entry, struct directory_object *ret_object);

/* May something with this state word, which is no FREE one, be in the directory? */
static inline bool state_sound(uint64_t word)
{
	return word == store_state_word(store_generation_of(word), store_state_of(word)) &&
	       store_state_of(word) <= STORE_SPILLED && store_generation_of(word) != 0;
}

/* What has a place in the buckets. */
static inline bool state_found(uint64_t word)
{
	enum store_state state = store_state_of(word);

	return state == STORE_SEALED || state == STORE_WRITING || state == STORE_SPILLED;
}

/* A bitmap of numbers. */
static inline bool bit_get(const uint64_t *bits, uint32_t number)
{
	return bits[number / 64] >> number % 64 & 1;
}

static inline void bit_set(uint64_t *bits, uint32_t number)
{
	bits[number / 64] |= UINT64_C(1) << number % 64;
}

static inline void bit_clear(uint64_t *bits, uint32_t number)
{
	bits[number / 64] &= ~(UINT64_C(1) << number % 64);
}

static inline size_t bit_bytes(uint32_t count)
{
	return ((size_t)count + 63) / 64 * 8;
}

#endif
