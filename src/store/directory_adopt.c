/* SPDX-License-Identifier: MIT */
/*
 * Taking over the directory of a server that died, at whatever store. Its readers go on: the only changes they see are places that led to nothing
 * being taken away, entries without a place getting theirs, and counts of passed ids becoming exact, none of which can hide what they could
 * find. Should this server die in here, the next one begins again.
 *
 * Nothing is believed, though only the dead server could write here: an entry that does not pass its check, and lie in its ranges, is dropped.
 * Of two that claim one name, or one id, only one is kept. Time and private memory go with the entries that were ever used, and the buckets.
 */
#include <store/directory.h>

#include <base/error.h>
#include <inttypes.h>
#include <store/directory_parts.h>

/* finding + 1; 0: FREE. One more for what is good, and DYING. */
#define IS(finding) ((uint8_t)((finding) + 1))
#define IS_DYING ((uint8_t)(IS(DIRECTORY_LOST) + 1))

struct adoption {
	struct directory_book *book;
	struct directory_tally tally;
	uint64_t *hashes; /* of each entry's id */
	uint64_t *names;  /* that are somebody's */
	uint32_t *passed; /* of each bucket, as it should be */
	uint8_t *found;   /* of each entry: IS() */
};

static const struct directory *directory_of(const struct adoption *adoption)
{
	return &adoption->book->directory;
}

/* ---- arenas and entries ---- */

static void adopt_arenas(struct adoption *adoption)
{
	struct directory_pool *pool = &adoption->book->arenas;
	struct store_arena *arenas = directory_of(adoption)->arenas;

	for (uint32_t i = pool->reached - 1; i > 0; i--) {
		uint64_t generation = load_rlx(&arenas[i].generation);

		if (generation & 1 && !directory_arena_sound(&arenas[i])) {
			put_word(&arenas[i].generation, 0, generation + 1);
			adoption->tally.arenas_lost++;
		}
		if (!(load_rlx(&arenas[i].generation) & 1))
			pool->free[pool->count++] = i;
	}
}

static bool take_name(struct adoption *adoption, uint32_t name)
{
	if (!name)
		return true;
	if (name >= adoption->book->names.reached || bit_get(adoption->names, name))
		return false;
	bit_set(adoption->names, name);
	return true;
}

/* A copy of the entry that is sound, whose name nobody else has. */
static bool is_good(struct adoption *adoption, uint32_t number, struct directory_object *object)
{
	const struct directory *directory = directory_of(adoption);

	directory_copy(directory, number, object);
	return state_sound(load_rlx(&object->entry.state)) && directory_entry_sound(directory, object) &&
	       take_name(adoption, object->entry.name);
}

static void adopt_entry(struct adoption *adoption, uint32_t number, struct directory_object *object)
{
	const struct directory *directory = directory_of(adoption);
	struct store_entry *entry = &directory->entries[number];
	uint64_t state = load_rlx(&entry->state), words[STORE_ID_INLINE / 8];
	uint64_t none = store_state_word(store_generation_of(state), STORE_FREE);

	if (state == none)
		return;
	if (!is_good(adoption, number, object)) {
		put_word(&entry->state, 0, none);
		adoption->found[number] = store_state_of(state) == STORE_FREE ? 0 : IS(DIRECTORY_LOST);
		return;
	}
	/* It was about to be sealed. Of memory the size is what is committed, sealed or not. */
	if (store_state_of(state) == STORE_WRITING && entry->kind != STORE_REGION &&
	    load_rlx(&entry->size) != entry->room)
		put_word(&entry->size, 0, entry->room);
	memcpy(words, entry->id, sizeof(words));
	adoption->hashes[number] = key_hash(directory->key, words, entry->id_length);
	adoption->found[number] = store_state_of(state) == STORE_DYING ? IS_DYING : IS(DIRECTORY_GOOD);
}

static void adopt_entries(struct adoption *adoption)
{
	struct directory_book *book = adoption->book;
	struct directory_object object = {0};

	for (uint32_t i = 1; i < book->entries.reached; i++)
		adopt_entry(adoption, i, &object);
	for (uint32_t i = book->entries.reached - 1; i > 0; i--)
		if (adoption->found[i] == 0 || adoption->found[i] == IS(DIRECTORY_LOST))
			book->entries.free[book->entries.count++] = i;
	for (uint32_t i = book->names.reached - 1; i > 0; i--)
		if (!bit_get(adoption->names, i))
			book->names.free[book->names.count++] = i;
}

/* ---- buckets ---- */

static uint32_t hops(const struct adoption *adoption, uint32_t from, uint32_t to)
{
	return (to - from) & (directory_of(adoption)->shape.buckets - 1);
}

/* May this stand in a place of the bucket? */
static bool belongs(const struct adoption *adoption, uint32_t bucket, uint64_t word)
{
	const struct directory_book *book = adoption->book;
	uint32_t entry = (uint32_t)word;

	return entry && entry < book->entries.reached && adoption->found[entry] == IS(DIRECTORY_GOOD) &&
	       word == place_word(adoption->hashes[entry], entry) && !bit_get(book->placed, entry) &&
	       hops(adoption, key_bucket(&book->directory, adoption->hashes[entry]), bucket) < STORE_REACH;
}

static void clear_place(_Atomic uint64_t *place)
{
	store_rlx(place, 0);
	STORED();
}

/* Take away what leads nowhere. */
static void clear_bucket(struct adoption *adoption, uint32_t at)
{
	struct store_bucket *bucket = &directory_of(adoption)->buckets[at];

	for (unsigned i = 0; i < STORE_PLACES; i++) {
		uint64_t word = load_rlx(&bucket->places[i]);

		if (!word)
			continue;
		if (belongs(adoption, at, word))
			bit_set(adoption->book->placed, (uint32_t)word);
		else
			clear_place(&bucket->places[i]);
	}
}

/* The first entry on the way from its home that has the id of `entry`, or 0. */
static uint32_t first_of(const struct adoption *adoption, uint32_t entry)
{
	const uint8_t *id;
	uint32_t length;

	id = directory_id(adoption->book, entry, &length);
	return directory_lookup(adoption->book, id, length);
}

/* Is another place's tag, between the entry's home and here, the same? Nearly always not. */
static bool tag_met(const struct adoption *adoption, uint32_t home, uint32_t at, uint64_t word)
{
	const struct directory *directory = directory_of(adoption);

	for (uint32_t bucket = home;; bucket = next_bucket(directory, bucket)) {
		for (unsigned i = 0; i < STORE_PLACES; i++) {
			uint64_t other = load_rlx(&directory->buckets[bucket].places[i]);

			if (other && other != word && !((other ^ word) >> 32))
				return true;
		}
		if (bucket == at)
			return false;
	}
}

/* What is left belongs here; but two of them may have one id. Count whom they pass. */
static void count_bucket(struct adoption *adoption, uint32_t at)
{
	const struct directory *directory = directory_of(adoption);
	struct store_bucket *bucket = &directory->buckets[at];

	for (unsigned i = 0; i < STORE_PLACES; i++) {
		uint64_t word = load_rlx(&bucket->places[i]);
		uint32_t entry = (uint32_t)word, home;

		if (!word)
			continue;
		home = key_bucket(directory, adoption->hashes[entry]);
		if (tag_met(adoption, home, at, word) && first_of(adoption, entry) != entry) {
			clear_place(&bucket->places[i]);
			bit_clear(adoption->book->placed, entry);
			continue;
		}
		for (; home != at; home = next_bucket(directory, home))
			adoption->passed[home]++;
	}
}

static void adopt_buckets(struct adoption *adoption)
{
	const struct directory *directory = directory_of(adoption);

	for (uint32_t i = 0; i < directory->shape.buckets; i++)
		clear_bucket(adoption, i);
	for (uint32_t i = 0; i < directory->shape.buckets; i++)
		count_bucket(adoption, i);
	for (uint32_t i = 0; i < directory->shape.buckets && !MUTANT(PASSED_BELIEVED); i++)
		if (load_rlx(&directory->buckets[i].passed) != adoption->passed[i])
			put_count(&directory->buckets[i].passed, adoption->passed[i]);
}

/* Those that are to be found and have no place get one, unless another has their id. */
static void place_rest(struct adoption *adoption)
{
	struct directory_book *book = adoption->book;

	for (uint32_t i = 1; i < book->entries.reached; i++) {
		if (adoption->found[i] != IS(DIRECTORY_GOOD) || bit_get(book->placed, i) ||
		    store_state_of(load_rlx(&book->directory.entries[i].state)) == STORE_WRITING)
			continue;
		if (first_of(adoption, i) || directory_place(book, i) < 0)
			adoption->found[i] = IS(DIRECTORY_LEFT);
	}
}

/* ---- all of it ---- */

static void tell(struct adoption *adoption,
		 void (*visit)(void *argument, uint32_t entry, enum directory_finding finding), void *argument)
{
	uint32_t counts[IS(DIRECTORY_LOST) + 1] = {0};
	uint32_t reached = adoption->book->entries.reached;

	for (uint32_t i = 1; i < reached; i++) {
		if (adoption->found[i] == IS_DYING)
			adoption->found[i] = IS(DIRECTORY_GOOD);
		counts[adoption->found[i]]++;
	}
	adoption->tally.good = counts[IS(DIRECTORY_GOOD)];
	adoption->tally.left = counts[IS(DIRECTORY_LEFT)];
	adoption->tally.lost = counts[IS(DIRECTORY_LOST)];
	for (uint32_t i = 1; visit && i < reached; i++)
		if (adoption->found[i])
			visit(argument, i, (enum directory_finding)(adoption->found[i] - 1));
}

static uint32_t reached_before(const _Atomic uint32_t *told, uint32_t limit)
{
	uint32_t reached = load_rlx(told);

	return reached < 1 ? 1 : reached < limit ? reached : limit;
}

static int reach_all(struct directory_book *book)
{
	struct directory_pool *pools[] = {&book->entries, &book->names, &book->arenas};
	int rc = 0;

	for (unsigned i = 0; i < CC_COUNT(pools) && rc == 0; i++) {
		pools[i]->reached = reached_before(pools[i]->told, pools[i]->limit);
		rc = directory_pool_back(book, pools[i]);
	}
	return rc;
}

static int prepare(struct adoption *adoption)
{
	const struct store_shape *shape = &directory_of(adoption)->shape;

	adoption->hashes = os_allocate(adoption->book->entries.reached * sizeof(*adoption->hashes));
	adoption->found = os_allocate(adoption->book->entries.reached);
	adoption->names = os_allocate(bit_bytes(adoption->book->names.reached));
	adoption->passed = os_allocate(shape->buckets * sizeof(*adoption->passed));
	return adoption->hashes && adoption->found && adoption->names && adoption->passed ? 0 : -STOA_ENOMEM;
}

static void finish(struct adoption *adoption)
{
	os_free(adoption->hashes);
	os_free(adoption->found);
	os_free(adoption->names);
	os_free(adoption->passed);
}

int directory_adopt(void *map, uint64_t length, int (*commit)(void *argument, uint64_t from, uint64_t to),
		    void *argument, void (*visit)(void *argument, uint32_t entry, enum directory_finding finding),
		    struct directory_book *ret_book, struct directory_tally *ret_tally)
{
	struct directory_book book;
	struct adoption adoption = {.book = &book};
	struct directory directory;
	int rc = directory_open(map, length, &directory);

	if (rc == 0)
		rc = directory_book_open(&directory, commit, argument, &book);
	if (rc)
		return rc;
	rc = reach_all(&book);
	if (rc == 0)
		rc = prepare(&adoption);
	if (rc) {
		finish(&adoption);
		directory_close(&book);
		return rc;
	}
	adopt_arenas(&adoption);
	adopt_entries(&adoption);
	adopt_buckets(&adoption);
	place_rest(&adoption);
	*ret_book = book;
	adoption.book = ret_book;
	tell(&adoption, visit, argument);
	finish(&adoption);
	*ret_tally = adoption.tally;
	return 0;
}
