/* SPDX-License-Identifier: MIT */
/*
 * The directory as its server writes it: one thread. What is free is known in private memory only. Uses base, memory of the process and what the
 * server gives to commit pages.
 *
 * Each function changes what readers see with one store: directory_place() and _hand_over() that of the place, _seal() and _set_state() that
 * of the state, _remove() that of the place. Whoever dies before it has done nothing, after it all but for counts of passed ids that are too high.
 *
 *   dies in       leaves                                                            which the next server
 *   enter         a FREE entry; a WRITING one without a place                       tells, and its request is done again
 *   place         passed ids that are none                                          counts again
 *   hand_over     two SEALED ones of an id, one with the place                      tells the other as LEFT
 *   set_state     DYING, with its place                                             takes that away
 *   remove        passed ids that are none; DYING without a place                   counts again
 *   free          -
 */
#include <store/directory.h>

#include <assert.h>
#include <base/error.h>
#include <inttypes.h>
#include <store/directory_parts.h>

/* Pages are committed in steps of this. */
#define STEP (UINT64_C(64) << 10)

/* ---- numbers ---- */

static int pool_back(struct directory_book *book, struct directory_pool *pool, uint32_t reached)
{
	uint32_t numbers = reached + book->ahead < pool->limit ? reached + book->ahead : pool->limit;
	uint64_t to = pool->begin + ((uint64_t)numbers * pool->size + STEP - 1) / STEP * STEP;
	int rc;

	if (to > pool->end)
		to = pool->end;
	if (to <= pool->backed)
		return 0;
	rc = book->commit(book->argument, pool->backed, to);
	if (rc < 0)
		return rc;
	book->committed += to - pool->backed;
	pool->backed = to;
	put_count(pool->told_backed, numbers);
	return 0;
}

int directory_pool_back(struct directory_book *book, struct directory_pool *pool)
{
	uint32_t backed = load_rlx(pool->told_backed), numbers = backed < pool->limit ? backed : pool->limit;
	int rc;

	/* Of what was never used there is no page, not even for number 0, which is not used. */
	if (numbers < pool->reached && pool->reached > 1)
		numbers = pool->reached;
	book->ahead = 0;
	rc = numbers ? pool_back(book, pool, numbers) : 0;
	if (rc == 0)
		put_count(pool->told, pool->reached);
	book->ahead = DIRECTORY_AHEAD;
	return rc;
}

int directory_pool_reach(struct directory_book *book, struct directory_pool *pool, uint32_t reached)
{
	int rc = pool_back(book, pool, reached);

	if (rc < 0)
		return rc;
	pool->reached = reached;
	put_count(pool->told, reached);
	return 0;
}

static int pool_take(struct directory_book *book, struct directory_pool *pool, const char *what, uint32_t *ret_number)
{
	int rc = 0;

	/* What moves give back is not to be all that they have: numbers that were never used, with their pages, stay ahead. */
	if (pool->count <= book->ahead)
		rc = pool_back(book, pool, pool->reached);
	if (rc < 0)
		return rc;
	if (pool->count) {
		*ret_number = pool->free[--pool->count];
		return 0;
	}
	if (pool->reached >= pool->limit)
		return error_set(-STOA_ELIMIT, "the store has no room for more %s: there are %" PRIu32, what,
				 pool->limit - 1);
	rc = directory_pool_reach(book, pool, pool->reached + 1);
	if (rc == 0)
		*ret_number = pool->reached - 1;
	return rc;
}

static void pool_give(struct directory_pool *pool, uint32_t number)
{
	assert(number && number < pool->reached && pool->count < pool->limit);
	pool->free[pool->count++] = number;
}

static int pool_open(struct directory_pool *pool, uint32_t limit, uint32_t size, uint64_t begin, uint64_t end,
		     _Atomic uint32_t *told, _Atomic uint32_t *told_backed)
{
	uint32_t *room = os_pages_allocate((uint64_t)limit * sizeof(*room));

	*pool = (struct directory_pool){room, 0, 1, limit, size, begin, begin, end, told, told_backed};
	return room ? 0 : error_set(-STOA_ENOMEM, "no memory for the numbers of a store's directory");
}

static void pool_close(struct directory_pool *pool)
{
	if (pool->free)
		os_pages_free(pool->free, (uint64_t)pool->limit * sizeof(*pool->free));
	pool->free = NULL;
}

/* ---- the book ---- */

void directory_close(struct directory_book *book)
{
	pool_close(&book->entries);
	pool_close(&book->names);
	pool_close(&book->arenas);
	os_free(book->placed);
	book->placed = NULL;
}

int directory_book_open(const struct directory *directory, int (*commit)(void *argument, uint64_t from, uint64_t to),
			void *argument, struct directory_book *ret_book)
{
	const struct store_shape *shape = &directory->shape;
	struct store_header *header = directory->header;
	struct directory_book book = {
		.directory = *directory, .ahead = DIRECTORY_AHEAD, .commit = commit, .argument = argument};
	const struct directory_plan *plan = &book.plan;
	int rc = directory_plan(shape, &book.plan);

	if (rc == 0)
		rc = pool_open(&book.entries, shape->entries, sizeof(struct store_entry), plan->entries, plan->names,
			       &header->reached_entries, &header->backed_entries);
	if (rc == 0)
		rc = pool_open(&book.names, shape->names, sizeof(struct store_name), plan->names, plan->arenas,
			       &header->reached_names, &header->backed_names);
	if (rc == 0)
		rc = pool_open(&book.arenas, shape->arenas, sizeof(struct store_arena), plan->arenas, plan->length,
			       &header->reached_arenas, &header->backed_arenas);
	if (rc == 0) {
		book.placed = os_allocate(bit_bytes(shape->entries));
		rc = book.placed ? commit(argument, 0, plan->entries) : -STOA_ENOMEM;
		book.committed = plan->entries;
	}
	if (rc < 0)
		directory_close(&book);
	else
		*ret_book = book;
	return rc;
}

int directory_create(void *map, const struct store_shape *shape, const uint64_t key[2],
		     int (*commit)(void *argument, uint64_t from, uint64_t to), void *argument,
		     struct directory_book *ret_book)
{
	struct store_header head = {0};
	struct directory_book book;
	struct directory_plan plan;
	struct directory directory;
	int rc = directory_plan(shape, &plan);

	if (rc < 0)
		return rc;
	directory_at(map, shape, key, &plan, &directory);
	rc = directory_book_open(&directory, commit, argument, &book);
	if (rc < 0)
		return rc;
	directory_head(shape, key, &head);
	for (unsigned i = 0; i < offsetof(struct store_header, fences) / 8; i++)
		put_word(map, i, id_word((const uint8_t *)&head + 8 * (size_t)i));
	put_count(book.entries.told, 1);
	put_count(book.names.told, 1);
	put_count(book.arenas.told, 1);
	*ret_book = book;
	return 0;
}

/* ---- entries ---- */

static struct store_entry *entry_at(const struct directory_book *book, uint32_t entry)
{
	assert(entry && entry < book->entries.reached);
	return &book->directory.entries[entry];
}

static void write_name(const struct directory_book *book, uint32_t name, const struct directory_key *key)
{
	for (uint32_t i = 0; i < (key->length + 7) / 8; i++)
		put_word(&book->directory.names[name], i, id_word_at(key->bytes, key->length, i));
}

/* All but the state. */
static void write_entry(struct store_entry *to, const struct store_entry *fields, const struct directory_key *key,
			uint32_t name, uint64_t generation)
{
	struct store_entry copy;

	memcpy(&copy, fields, sizeof(copy));
	memcpy(copy.id, key->words, sizeof(copy.id));
	copy.id_length = (uint8_t)key->length;
	copy.name = name;
	copy.check = directory_check(&copy, generation);
	for (unsigned i = ENTRY_ID; i < WORDS(copy); i++)
		put_word(to, i, id_word((const uint8_t *)&copy + 8 * (size_t)i));
}

int directory_enter(struct directory_book *book, const void *id, uint32_t length, const struct store_entry *fields,
		    uint32_t *ret_entry)
{
	uint32_t entry, name = 0;
	struct directory_key key;
	struct store_entry *to;
	uint64_t generation;
	int rc;

	assert(length && length <= STOA_ID_MAX && load_rlx(&fields->size) <= fields->room);
	rc = pool_take(book, &book->entries, "objects", &entry);
	if (rc < 0)
		return rc;
	if (length > STORE_ID_INLINE)
		rc = pool_take(book, &book->names, "objects with long ids", &name);
	if (rc < 0) {
		pool_give(&book->entries, entry);
		return rc;
	}
	to = entry_at(book, entry);
	generation = (store_generation_of(load_rlx(&to->state)) + 1) & STORE_GENERATION_MASK;
	generation += !generation;
	directory_key_make(&book->directory, id, length, &key);
	fence_rel(); /* that it is FREE, before what it becomes; pairs with those in follow_place(), directory_read() */
	if (MUTANT(ENTRY_STATE_FIRST))
		put_word(&to->state, 0, store_state_word(generation, STORE_WRITING));
	if (name)
		write_name(book, name, &key);
	write_entry(to, fields, &key, name, generation);
	/* R2: the entry is complete; pairs with A2 in follow_place(), A6 in directory_read(), A9 in directory_find() */
	store_rel(&to->state, store_state_word(generation, STORE_WRITING));
	STORED();
	*ret_entry = entry;
	return 0;
}

int directory_enter_ahead(struct directory_book *book, const void *id, uint32_t length,
			  const struct store_entry *fields, uint32_t *ret_entry)
{
	int rc;

	book->ahead = 0;
	rc = directory_enter(book, id, length, fields, ret_entry);
	book->ahead = DIRECTORY_AHEAD;
	return rc;
}

uint32_t directory_left(const struct directory_book *book)
{
	return book->entries.limit - book->entries.reached + book->entries.count;
}

void directory_free(struct directory_book *book, uint32_t entry)
{
	struct store_entry *from = entry_at(book, entry);
	uint32_t name = from->name;

	assert(!bit_get(book->placed, entry));
	put_word(&from->state, 0, store_state_word(store_generation_of(load_rlx(&from->state)), STORE_FREE));
	pool_give(&book->entries, entry);
	if (name)
		pool_give(&book->names, name);
}

uint64_t directory_set_state(struct directory_book *book, uint32_t entry, enum store_state state)
{
	struct store_entry *of = entry_at(book, entry);
	uint64_t generation = store_generation_of(load_rlx(&of->state));

	assert(state != STORE_FREE);
	/* R6: all before, as of what comes back to memory; pairs with A2 in directory.c, and A6 in directory.c */
	store_rel(&of->state, store_state_word(generation, state));
	STORED();
	return generation;
}

void directory_grow(struct directory_book *book, uint32_t entry, uint64_t size)
{
	put_word(&entry_at(book, entry)->size, 0, size);
}

void directory_seal(struct directory_book *book, uint32_t entry, uint64_t size)
{
	struct store_entry *of = entry_at(book, entry);

	assert(size <= of->room && store_state_of(load_rlx(&of->state)) == STORE_WRITING);
	put_word(&of->size, 0, size);
	directory_set_state(book, entry, STORE_SEALED);
}

void directory_set_flags(struct directory_book *book, uint32_t entry, uint32_t flags)
{
	put_count(&entry_at(book, entry)->flags, flags);
}

const uint8_t *directory_id(const struct directory_book *book, uint32_t entry, uint32_t *ret_length)
{
	const struct store_entry *of = entry_at(book, entry);

	*ret_length = of->id_length;
	return of->name ? book->directory.names[of->name].bytes : of->id;
}

/* ---- places ---- */

static uint64_t hash_of(const struct directory_book *book, uint32_t entry)
{
	const struct store_entry *of = entry_at(book, entry);
	uint64_t words[STORE_ID_INLINE / 8];

	memcpy(words, of->id, sizeof(words));
	return key_hash(book->directory.key, words, of->id_length);
}

static int free_place(const struct store_bucket *bucket)
{
	for (int i = 0; i < (int)STORE_PLACES; i++)
		if (!load_rlx(&bucket->places[i]))
			return i;
	return -1;
}

/* The ids that have passed the `hops` buckets from `at` on are one more, or less. */
static void count_passed(const struct directory_book *book, uint32_t at, uint32_t hops, uint32_t more)
{
	for (; hops; hops--, at = next_bucket(&book->directory, at)) {
		_Atomic uint32_t *passed = &book->directory.buckets[at].passed;

		/* R5: what had passed has ended, so that it is not missed before; pairs with A5 in search() */
		store_rel(passed, load_rlx(passed) + more);
		STORED();
	}
}

int directory_place(struct directory_book *book, uint32_t entry)
{
	uint64_t hash = hash_of(book, entry);
	uint32_t home = key_bucket(&book->directory, hash), at = home;

	assert(!bit_get(book->placed, entry));
	for (uint32_t hop = 0; hop < STORE_REACH && hop < book->directory.shape.buckets; hop++) {
		struct store_bucket *bucket = &book->directory.buckets[at];
		int i = free_place(bucket);

		if (i >= 0) {
			count_passed(book, home, hop, 1);
			/* R1: the entry, and that it has passed; pairs with A1 in search(), A8 in pick() */
			store_rel(&bucket->places[i], place_word(hash, entry));
			STORED();
			bit_set(book->placed, entry);
			return 0;
		}
		at = next_bucket(&book->directory, at);
	}
	return error_set(-STOA_ELIMIT, "too many ids of the store fall on one place of its directory");
}

/* The place that the entry has, and how far it is from home. */
static _Atomic uint64_t *place_of(const struct directory_book *book, uint32_t entry, uint64_t hash, uint32_t *ret_hops)
{
	uint32_t at = key_bucket(&book->directory, hash);

	for (uint32_t hop = 0; hop < STORE_REACH; hop++, at = next_bucket(&book->directory, at)) {
		struct store_bucket *bucket = &book->directory.buckets[at];

		for (unsigned i = 0; i < STORE_PLACES; i++) {
			if (load_rlx(&bucket->places[i]) == place_word(hash, entry)) {
				*ret_hops = hop;
				return &bucket->places[i];
			}
		}
	}
	return NULL;
}

void directory_hand_over(struct directory_book *book, uint32_t old, uint32_t entry)
{
	uint64_t hash = hash_of(book, entry);
	uint32_t hops;
	_Atomic uint64_t *place = place_of(book, old, hash, &hops);

	assert(place && bit_get(book->placed, old) && !bit_get(book->placed, entry));
	if (!place)
		return;
	if (MUTANT(PLACE_TAKEN_FIRST))
		put_word(place, 0, 0);
	/* R3: the entry that has it now; pairs with A3 in follow_place(), A4 in follow_place() */
	store_rel(place, place_word(hash, entry));
	STORED();
	bit_clear(book->placed, old);
	bit_set(book->placed, entry);
}

void directory_remove(struct directory_book *book, uint32_t entry)
{
	uint64_t hash = hash_of(book, entry);
	_Atomic uint64_t *place;
	uint32_t hops;

	if (!bit_get(book->placed, entry))
		return;
	place = place_of(book, entry, hash, &hops);
	assert(place);
	bit_clear(book->placed, entry);
	if (!place)
		return;
	store_rlx(place, 0);
	STORED();
	count_passed(book, key_bucket(&book->directory, hash), hops, UINT32_MAX);
}

bool directory_has_place(const struct directory_book *book, uint32_t entry)
{
	return bit_get(book->placed, entry);
}

const struct store_bucket *directory_home(const struct directory_book *book, const void *id, uint32_t length)
{
	struct directory_key key;

	directory_key_make(&book->directory, id, length, &key);
	return &book->directory.buckets[key_bucket(&book->directory, key.hash)];
}

uint32_t directory_lookup(const struct directory_book *book, const void *id, uint32_t length)
{
	const struct directory *directory = &book->directory;
	struct directory_key key;
	uint32_t at;

	if (!length || length > STOA_ID_MAX)
		return 0;
	directory_key_make(directory, id, length, &key);
	at = key_bucket(directory, key.hash);
	for (unsigned hop = 0; hop < STORE_REACH; hop++, at = next_bucket(directory, at)) {
		const struct store_bucket *bucket = &directory->buckets[at];

		for (unsigned i = 0; i < STORE_PLACES; i++) {
			uint64_t word = load_rlx(&bucket->places[i]);
			uint32_t entry = (uint32_t)word;

			if (entry && word == place_word(key.hash, entry) &&
			    directory_same_id(directory, entry_at(book, entry), &key))
				return entry;
		}
		if (!load_rlx(&bucket->passed))
			break;
	}
	return 0;
}

/* ---- arenas ---- */

int directory_arena_add(struct directory_book *book, const struct store_arena *fields, uint32_t *ret_arena)
{
	struct store_arena copy;
	struct store_arena *to;
	uint64_t generation;
	uint32_t arena;
	int rc = pool_take(book, &book->arenas, "arenas", &arena);

	if (rc < 0)
		return rc;
	to = &book->directory.arenas[arena];
	memcpy(&copy, fields, sizeof(copy));
	generation = load_rlx(&to->generation) + 1;
	copy.check = directory_arena_check(&copy, generation);
	fence_rel(); /* that there was none, before what it becomes; pairs with that in directory_arena_read() */
	for (unsigned i = 1; i < WORDS(copy); i++)
		put_word(to, i, id_word((const uint8_t *)&copy + 8 * (size_t)i));
	/* R7: it is complete; pairs with A7 in directory_arena_read() */
	store_rel(&to->generation, generation);
	STORED();
	*ret_arena = arena;
	return 0;
}

void directory_arena_set_session(struct directory_book *book, uint32_t arena, uint32_t session)
{
	put_count(&book->directory.arenas[arena].session, session);
}

void directory_arena_drop(struct directory_book *book, uint32_t arena)
{
	struct store_arena *from = &book->directory.arenas[arena];
	uint64_t generation = load_rlx(&from->generation);

	assert(generation & 1);
	put_word(&from->generation, 0, generation + 1);
	pool_give(&book->arenas, arena);
}
