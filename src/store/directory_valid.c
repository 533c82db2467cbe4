/* SPDX-License-Identifier: MIT */
/* Whether a directory is as it should be: for tests, and for who looks at one that a dead server left. Reads only, and believes nothing. */
#include <store/directory.h>

#include <base/error.h>
#include <inttypes.h>
#include <store/directory_parts.h>

struct check {
	struct directory directory;
	uint32_t entries, names, arenas; /* reached */
	uint64_t *placed, *named;        /* bitmaps */
	uint32_t *passed;
};

static int check_reached(struct check *check)
{
	const struct store_header *header = check->directory.header;
	const struct store_shape *shape = &check->directory.shape;

	check->entries = load_rlx(&header->reached_entries);
	check->names = load_rlx(&header->reached_names);
	check->arenas = load_rlx(&header->reached_arenas);
	if (check->entries < 1 || check->entries > shape->entries || check->names < 1 || check->names > shape->names ||
	    check->arenas < 1 || check->arenas > shape->arenas)
		return error_set(-STOA_EFORMAT,
				 "a store's header says that %" PRIu32 " entries, %" PRIu32 " names, %" PRIu32
				 " arenas were used",
				 check->entries, check->names, check->arenas);
	return 0;
}

/* What the place leads to, whether it may stand there, and whom it has passed. */
static int check_place(struct check *check, uint32_t bucket, uint64_t word)
{
	const struct directory *directory = &check->directory;
	uint32_t entry = (uint32_t)word, home, length;
	struct directory_object object = {0};
	struct directory_key key;

	if (!entry || entry >= check->entries)
		return error_set(-STOA_EFORMAT, "bucket %" PRIu32 " leads to entry %" PRIu32 ", which was never used",
				 bucket, entry);
	directory_copy(directory, entry, &object);
	length = object.entry.id_length;
	if (!state_found(load_rlx(&object.entry.state)) || !length || length > STOA_ID_MAX)
		return error_set(-STOA_EFORMAT,
				 "bucket %" PRIu32 " leads to entry %" PRIu32 ", which is none to be found", bucket,
				 entry);
	directory_key_make(directory, object.id, length, &key);
	home = key_bucket(directory, key.hash);
	if (word != place_word(key.hash, entry) || ((bucket - home) & (directory->shape.buckets - 1)) >= STORE_REACH)
		return error_set(-STOA_EFORMAT,
				 "bucket %" PRIu32 " leads to entry %" PRIu32 ", which belongs elsewhere", bucket,
				 entry);
	if (bit_get(check->placed, entry))
		return error_set(-STOA_EFORMAT, "two places lead to entry %" PRIu32, entry);
	bit_set(check->placed, entry);
	for (; home != bucket; home = next_bucket(directory, home))
		check->passed[home]++;
	return 0;
}

static int check_buckets(struct check *check)
{
	const struct directory *directory = &check->directory;
	int rc = 0;

	for (uint32_t at = 0; at < directory->shape.buckets && rc == 0; at++) {
		for (unsigned i = 0; i < STORE_PLACES && rc == 0; i++) {
			uint64_t word = load_rlx(&directory->buckets[at].places[i]);

			if (word)
				rc = check_place(check, at, word);
		}
	}
	for (uint32_t at = 0; at < directory->shape.buckets && rc == 0; at++) {
		uint32_t passed = load_rlx(&directory->buckets[at].passed);

		if (passed != check->passed[at])
			rc = error_set(-STOA_EFORMAT,
				       "bucket %" PRIu32 " counts %" PRIu32 " passed ids, and there are %" PRIu32, at,
				       passed, check->passed[at]);
	}
	return rc;
}

static int check_entry(struct check *check, uint32_t number)
{
	const struct directory *directory = &check->directory;
	struct directory_object object = {0};
	uint64_t state, seen;
	uint32_t found;

	directory_copy(directory, number, &object);
	state = load_rlx(&object.entry.state);
	if (state == store_state_word(store_generation_of(state), STORE_FREE))
		return 0;
	if (!state_sound(state) || !directory_entry_sound(directory, &object))
		return error_set(-STOA_EFORMAT, "entry %" PRIu32 " is damaged", number);
	if (object.entry.name && (object.entry.name >= check->names || bit_get(check->named, object.entry.name)))
		return error_set(-STOA_EFORMAT, "entry %" PRIu32 " has name %" PRIu32 ", which is not its own", number,
				 object.entry.name);
	if (object.entry.name)
		bit_set(check->named, object.entry.name);
	if (bit_get(check->placed, number)
		    ? directory_find(directory, object.id, object.entry.id_length, &found, &seen) != DIRECTORY_FOUND ||
			      found != number
		    : store_state_of(state) == STORE_SEALED || store_state_of(state) == STORE_SPILLED)
		return error_set(-STOA_EFORMAT, "entry %" PRIu32 " is not found by its id", number);
	return 0;
}

static int check_arenas(const struct check *check)
{
	for (uint32_t i = 1; i < check->arenas; i++) {
		const struct store_arena *arena = &check->directory.arenas[i];

		if (load_rlx(&arena->generation) & 1 && !directory_arena_sound(arena))
			return error_set(-STOA_EFORMAT, "arena %" PRIu32 " is damaged", i);
	}
	return 0;
}

int directory_valid(const void *map, uint64_t length)
{
	struct check check = {0};
	int rc = directory_open(map, length, &check.directory);

	if (rc == 0)
		rc = check_reached(&check);
	if (rc < 0)
		return rc;
	check.placed = os_allocate(bit_bytes(check.entries));
	check.named = os_allocate(bit_bytes(check.names));
	check.passed = os_allocate(check.directory.shape.buckets * sizeof(*check.passed));
	rc = check.placed && check.named && check.passed ? check_arenas(&check) : -STOA_ENOMEM;
	if (rc == 0)
		rc = check_buckets(&check);
	for (uint32_t i = 1; i < check.entries && rc == 0; i++)
		rc = check_entry(&check, i);
	os_free(check.placed);
	os_free(check.named);
	os_free(check.passed);
	return rc;
}
