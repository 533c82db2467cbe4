/* SPDX-License-Identifier: MIT */
/*
 * The directory as its readers see it: where its parts lie, whether it is one, and how an id is found. Uses base and error sentences.
 *
 * Find is lock-free: it looks again only where the server has just changed what it was looking at, and gives up after LOOKS of those. It
 * takes effect, finding, at its second load of the entry's state; not finding, where it has seen the last bucket that the id could be in to count no passed
 * ids, or, if the id's entry ended or was handed on meanwhile, there. A place that was loaded twice, with the same state of its entry before and
 * after the second load, is what it was all the time: a state never comes back, as FREE and DYING are followed by another generation, which counts
 * 38 bits. Nobody who dies in here leaves anything.
 */
#include <store/directory.h>

#include <base/error.h>
#include <inttypes.h>
#include <store/directory_parts.h>

/* All that two programs must agree on to share a store. Whoever changes one of these things changes this string. */
static const char layout[] =
	"little-endian; page 4096; header 256 in page 0: magic8 layout8 buckets4 entries4 names4 arenas4 key16 check8 fences4 zero4, "
	"asleep4 zero4 server8 reached4x3 backed4x3 zero24, objects8 bytes8 limit8 sessions8 puts8 deletes8 evictions8 refusals8, spilled8 spilled_bytes8 spill_limit8 spills8 restores8 spill_failures8 spill_losses8 zero8; kinds 5; operations 12; bucket 64: passed4 zero4 "
	"places8x7: entry32 tag32; entry 128: state8: state8 zero16 generation38, id32 arena4 id_length1 kind1 meta_length2 offset8 size8, name4 "
	"owner4 access4 reader4 flags4 session4 serial8 room8 extent8 made8 check8; name 192; arena 64: generation8 kind4 owner4 access4 reader4 "
	"session4 zero4 size8 key8 check8 zero8; an area begins with a page; reach 32; hash: multiply and fold 1; leases: reached4 "
	"zero60, lines of 8 words: entry24 generation38 flip1 in_use1; session: tail, head, completed, seen8 waiting4 in lines, told8 lost8, taken8, "
	"prefix_length4 prefix192, 8 sentences at 1024: serial8 text248, completions at 4096: "
	"serial8 result4 entry4 state8 arena4 zero4 offset8 size8 zero16, of 1024, ring; request 56: length4 op2 id2 serial8 size8 state8 entry4 flags4 "
	"meta2 kind1 access1 reader4 of8; event 256: lost8 size8 date8 what4 id_length4 zero32 id192; tail of an extent 64: length8";

static const uint8_t magic[8] = STORE_MAGIC;

#define LOOKS 64u /* at a place that changes */
#define BUCKETS_MAX (UINT32_C(1) << 24)
#define ARENAS_MAX (UINT32_C(1) << 20)
#define ARENA_SIZE_MAX (UINT64_C(1) << 48)

#ifdef STOA_MUTANTS
void (*directory_stored)(void);
#endif

static uint64_t pages(uint64_t bytes)
{
	return (bytes + OS_PAGE - 1) & ~(OS_PAGE - 1);
}

int directory_shape(uint32_t objects, uint32_t arenas, struct store_shape *ret_shape)
{
	struct store_shape shape = {1, objects + 1, objects + 1, arenas + 1};

	if (!objects || objects >= STORE_ENTRIES_MAX || !arenas || arenas >= ARENAS_MAX)
		return error_set(-STOA_ERANGE, "a store cannot have room for %" PRIu32 " objects in %" PRIu32 " arenas",
				 objects, arenas);
	while ((uint64_t)shape.buckets * STORE_PLACES * 2 < (uint64_t)shape.entries * 3)
		shape.buckets *= 2;
	*ret_shape = shape;
	return 0;
}

int directory_plan(const struct store_shape *shape, struct directory_plan *ret_plan)
{
	struct directory_plan plan;

	if (!shape->buckets || shape->buckets & (shape->buckets - 1) || shape->buckets > BUCKETS_MAX ||
	    shape->entries < 2 || shape->entries > STORE_ENTRIES_MAX || shape->names < 1 ||
	    shape->names > STORE_ENTRIES_MAX || shape->arenas < 2 || shape->arenas > ARENAS_MAX)
		return error_set(-STOA_ERANGE,
				 "a directory of %" PRIu32 " buckets, %" PRIu32 " entries, %" PRIu32 " names, %" PRIu32
				 " arenas",
				 shape->buckets, shape->entries, shape->names, shape->arenas);
	plan.buckets = OS_PAGE;
	plan.entries = plan.buckets + pages(shape->buckets * sizeof(struct store_bucket));
	plan.names = plan.entries + pages(shape->entries * sizeof(struct store_entry));
	plan.arenas = plan.names + pages(shape->names * sizeof(struct store_name));
	plan.length = plan.arenas + pages(shape->arenas * sizeof(struct store_arena));
	*ret_plan = plan;
	return 0;
}

void directory_at(void *map, const struct store_shape *shape, const uint64_t key[2], const struct directory_plan *plan,
		  struct directory *ret_directory)
{
	uint8_t *bytes = map;

	ret_directory->header = map;
	ret_directory->buckets = (struct store_bucket *)(void *)(bytes + plan->buckets);
	ret_directory->entries = (struct store_entry *)(void *)(bytes + plan->entries);
	ret_directory->names = (struct store_name *)(void *)(bytes + plan->names);
	ret_directory->arenas = (struct store_arena *)(void *)(bytes + plan->arenas);
	ret_directory->shape = *shape;
	ret_directory->key[0] = key[0];
	ret_directory->key[1] = key[1];
	ret_directory->second = key_second(key, 0, 0);
	ret_directory->length = plan->length;
}

/* The constant part of a header, up to `check`. */
void directory_head(const struct store_shape *shape, const uint64_t key[2], struct store_header *ret_head)
{
	memcpy(ret_head->magic, magic, sizeof(magic));
	ret_head->layout = hash_bytes(layout, sizeof(layout));
	ret_head->shape = *shape;
	ret_head->key[0] = key[0];
	ret_head->key[1] = key[1];
	ret_head->check = hash_bytes(ret_head, offsetof(struct store_header, check));
}

int directory_open(const void *map, uint64_t length, struct directory *ret_directory)
{
	struct store_header head;
	struct directory_plan plan;

	if (length < OS_PAGE)
		return error_set(-STOA_EFORMAT, "not a store's directory: it ends after %" PRIu64 " bytes", length);
	memcpy(&head, map, offsetof(struct store_header, fences));
	if (memcmp(head.magic, magic, sizeof(magic)) != 0)
		return error_set(-STOA_EFORMAT, "not a store's directory: it does not begin with the mark of one");
	if (head.layout != hash_bytes(layout, sizeof(layout)))
		return error_set(-STOA_EVERSION,
				 "a store of another layout (%016" PRIx64 ", this library has %016" PRIx64
				 "): server and clients must use the same version of stoa",
				 head.layout, hash_bytes(layout, sizeof(layout)));
	if (head.check != hash_bytes(&head, offsetof(struct store_header, check)))
		return error_set(-STOA_EFORMAT, "a store's header is damaged");
	if (directory_plan(&head.shape, &plan) < 0)
		return error_prefix(-STOA_EFORMAT, "a store's header says");
	if (plan.length > length)
		return error_set(-STOA_EFORMAT, "a store's directory of %" PRIu64 " bytes ends after %" PRIu64,
				 plan.length, length);
	directory_at((void *)(uintptr_t)map, &head.shape, head.key, &plan, ret_directory);
	return 0;
}

/* ---- ids ---- */

void directory_long_words(const uint64_t key[2], const uint8_t *bytes, uint32_t length, uint64_t words[4])
{
	uint64_t first = key[0], second = key[1] ^ length;

	for (uint32_t i = 0; i < (length + 7) / 8; i++) {
		uint64_t word = id_word_at(bytes, length, i);

		first = cc_multiply_fold(first ^ word, key[1] ^ HASH_A);
		second = cc_multiply_fold(second ^ word, key[0] ^ HASH_B) + HASH_C;
	}
	words[0] = first;
	words[1] = second;
	words[2] = words[3] = 0;
}

bool directory_same_name(const struct directory *directory, const struct store_entry *entry,
			 const struct directory_key *key)
{
	uint32_t name = (uint32_t)get_word(entry, offsetof(struct store_entry, name) / 8);

	if (name >= directory->shape.names)
		return false;
	for (uint32_t i = 0; i < (key->length + 7) / 8; i++)
		if (get_word(&directory->names[name], i) != id_word_at(key->bytes, key->length, i))
			return false;
	return true;
}

/* Whether the place, which led to an entry in `word`, leads to the key's. */
static enum directory_found follow_place(const struct directory *directory, const struct directory_key *key,
					 const _Atomic uint64_t *place, uint64_t word, uint32_t *ret_entry,
					 uint64_t *ret_state)
{
	for (unsigned looks = 0; looks < LOOKS; looks++) {
		uint32_t number = (uint32_t)word;
		const struct store_entry *entry;
		uint64_t state, again = word;
		bool same;

		if (!number || number >= directory->shape.entries || (word ^ key->hash) >> 32)
			return DIRECTORY_ABSENT;
		entry = &directory->entries[number];
		/* A2: the id, as it is in this state; pairs with R2 in directory_enter() */
		state = load_acq(&entry->state);
		same = state_found(state) && directory_same_id(directory, entry, key);
		if (CC_UNLIKELY(!same))
			again = load_acq(place); /* A3: was it handed on? pairs with R3 in directory_hand_over() */
		fence_acq(); /* the id, before the state once more; pairs with that in directory_enter() */
		if (CC_LIKELY(load_rlx(&entry->state) == state) && again == word) {
			if (!same)
				return DIRECTORY_ABSENT;
			*ret_entry = number;
			*ret_state = state;
			return DIRECTORY_FOUND;
		}
		word = load_acq(place); /* A4: pairs with R3 in directory_hand_over() */
	}
	return DIRECTORY_UNSURE;
}

/* All buckets that the id may be in, and all places whose tag is its. */
static CC_APART enum directory_found search(const struct directory *directory, const void *id, uint32_t length,
					    uint32_t *ret_entry, uint64_t *ret_state)
{
	struct directory_key key;
	uint32_t at;

	if (!length || length > STOA_ID_MAX)
		return DIRECTORY_ABSENT;
	directory_key_make(directory, id, length, &key);
	at = key_bucket(directory, key.hash);

	for (unsigned hop = 0; hop < STORE_REACH; hop++, at = next_bucket(directory, at)) {
		const struct store_bucket *bucket = &directory->buckets[at];

		for (unsigned i = 0; i < STORE_PLACES; i++) {
			/* A1: the entry it leads to; pairs with R1 in directory_place() */
			uint64_t word = load_acq(&bucket->places[i]);
			enum directory_found found = DIRECTORY_ABSENT;

			if (!((word ^ key.hash) >> 32))
				found = follow_place(directory, &key, &bucket->places[i], word, ret_entry, ret_state);
			if (found != DIRECTORY_ABSENT)
				return found;
		}
		/* A5: not before what had passed has ended; pairs with R5 in count_passed() */
		if (!load_acq(&bucket->passed))
			break;
	}
	return DIRECTORY_ABSENT;
}

/* The place's word, where its tag is that of the hash; else `otherwise`. */
static CC_INLINED uint64_t pick(const struct store_bucket *bucket, unsigned place, uint64_t hash, uint64_t otherwise)
{
	/* A8: the entry it leads to; pairs with R1 in directory_place() */
	uint64_t word = load_acq(&bucket->places[place]);

	return (word ^ hash) >> 32 ? otherwise : word;
}

/* Which of the places it is differs from call to call, so no branch depends on that. */
static CC_INLINED uint64_t pick_any(const struct store_bucket *bucket, uint64_t hash)
{
	_Static_assert(STORE_PLACES == 7, "all of them");
	uint64_t word = pick(bucket, 0, hash, 0);

	word = pick(bucket, 1, hash, word);
	word = pick(bucket, 2, hash, word);
	word = pick(bucket, 3, hash, word);
	word = pick(bucket, 4, hash, word);
	word = pick(bucket, 5, hash, word);
	return pick(bucket, 6, hash, word);
}

/* Nearly always an id is short and in its own bucket, its tag is there once, and nothing changes. All else is for search(). */
CC_HOT_CODE enum directory_found directory_find(const struct directory *directory, const void *id, uint32_t length,
						uint32_t *ret_entry, uint64_t *ret_state)
{
	const struct store_entry *entry;
	uint64_t words[STORE_ID_INLINE / 8], hash, state;
	uint32_t number;

	if (CC_UNLIKELY(length - 1 >= STORE_ID_INLINE))
		return search(directory, id, length, ret_entry, ret_state);
	hash = key_short(directory, id, length, words);
	number = (uint32_t)pick_any(&directory->buckets[key_bucket(directory, hash)], hash);
	if (CC_UNLIKELY(number - 1 >= directory->shape.entries - 1))
		return search(directory, id, length, ret_entry, ret_state);
	entry = &directory->entries[number];
	/* A9: the id, as it is in this state; pairs with R2 in directory_enter() */
	state = load_acq(&entry->state);
	if (CC_UNLIKELY(store_state_of(state) != STORE_SEALED || !directory_same_words(entry, words, length)))
		return search(directory, id, length, ret_entry, ret_state);
	fence_acq(); /* the id, before the state once more; pairs with that in directory_enter() */
	if (CC_UNLIKELY(load_rlx(&entry->state) != state))
		return search(directory, id, length, ret_entry, ret_state);
	*ret_entry = number;
	*ret_state = state;
	return DIRECTORY_FOUND;
}

/* ---- what an entry says ---- */

int directory_damaged(uint32_t entry)
{
	return error_set(-STOA_EFORMAT, "entry %" PRIu32 " of a store's directory is damaged", entry);
}

static void copy_words(void *to, const void *from, unsigned count)
{
	uint8_t *bytes = to;

	for (unsigned i = 0; i < count; i++) {
		uint64_t word = get_word(from, i);

		memcpy(bytes + 8 * (size_t)i, &word, sizeof(word));
	}
}

void directory_copy(const struct directory *directory, uint32_t entry, struct directory_object *ret_object)
{
	struct store_entry *copy = &ret_object->entry;
	struct store_arena arena = {0};

	copy_words(copy, &directory->entries[entry], WORDS(struct store_entry));
	if (copy->id_length <= STORE_ID_INLINE)
		memcpy(ret_object->id, copy->id, STORE_ID_INLINE);
	else if (copy->name < directory->shape.names)
		copy_words(ret_object->id, &directory->names[copy->name], WORDS(struct store_name));
	if (copy->arena < directory->shape.arenas)
		copy_words(&arena, &directory->arenas[copy->arena], WORDS(struct store_arena));
	ret_object->arena_size = load_rlx(&arena.generation) & 1 ? arena.size : 0;
}

int directory_read(const struct directory *directory, uint32_t entry, uint64_t state,
		   struct directory_object *ret_object)
{
	const struct store_entry *from = &directory->entries[entry];
	struct directory_object object = {0};

	/* A6: what it says in this state; pairs with R2 in directory_enter() */
	if (!entry || entry >= directory->shape.entries || !state_sound(state) || load_acq(&from->state) != state)
		return DIRECTORY_CHANGED;
	directory_copy(directory, entry, &object);
	fence_acq(); /* what was copied, before the state once more; pairs with that in directory_enter() */
	if (load_rlx(&from->state) != state)
		return DIRECTORY_CHANGED;
	if (!directory_entry_sound(directory, &object))
		return directory_damaged(entry);
	*ret_object = object;
	return 0;
}

uint32_t directory_limit(const struct directory *directory)
{
	uint32_t reached = load_rlx(&directory->header->reached_entries);

	return reached < directory->shape.entries ? reached : directory->shape.entries;
}

int directory_arena_read(const struct directory *directory, uint32_t arena, struct store_arena *ret_arena)
{
	const struct store_arena *from = &directory->arenas[arena];
	struct store_arena copy;
	uint64_t generation;

	if (!arena || arena >= directory->shape.arenas)
		return error_set(-STOA_EFORMAT, "a store has no arena %" PRIu32, arena);
	generation = load_acq(&from->generation); /* A7: what it is; pairs with R7 in directory_arena_add() */
	copy_words(&copy, from, WORDS(copy));
	fence_acq(); /* pairs with that in directory_arena_add() */
	if (!(generation & 1) || load_rlx(&from->generation) != generation)
		return DIRECTORY_CHANGED;
	if (!directory_arena_sound(&copy))
		return error_set(-STOA_EFORMAT, "arena %" PRIu32 " of a store's directory is damaged", arena);
	*ret_arena = copy;
	return 0;
}

/* ---- what is sound ---- */

uint64_t directory_check(const struct store_entry *entry, uint64_t generation)
{
	struct store_entry copy;

	memcpy(&copy, entry, sizeof(copy));
	store_rlx(&copy.state, 0);
	store_rlx(&copy.size, 0);
	store_rlx(&copy.flags, 0);
	return hash_words(generation, &copy, offsetof(struct store_entry, check));
}

uint64_t directory_arena_check(const struct store_arena *arena, uint64_t generation)
{
	struct store_arena copy;

	memcpy(&copy, arena, sizeof(copy));
	store_rlx(&copy.generation, 0);
	store_rlx(&copy.session, 0);
	return hash_words(generation, &copy, offsetof(struct store_arena, check));
}

bool directory_arena_sound(const struct store_arena *arena)
{
	return arena->kind >= STORE_IMMUTABLE && arena->kind <= STORE_REGION && arena->access <= STORE_BY_ALL &&
	       arena->size <= ARENA_SIZE_MAX &&
	       arena->check == directory_arena_check(arena, load_rlx(&arena->generation));
}

/* The bytes that the object's extent has, at least. */
static uint64_t extent_of(const struct store_entry *entry)
{
	return entry->kind == STORE_REGION ? entry->room : store_extent(entry->room, entry->meta_length);
}

static bool extent_sound(const struct store_entry *entry, uint64_t arena_size)
{
	return entry->extent <= arena_size && entry->offset <= arena_size - entry->extent;
}

/* Are the id's words those of the id, and what fills its last word zeros, with which it is compared? */
static bool id_sound(const struct directory *directory, const struct directory_object *object)
{
	struct directory_key key;

	for (uint32_t i = object->entry.id_length; i % 8; i++)
		if (object->id[i])
			return false;
	directory_key_make(directory, object->id, object->entry.id_length, &key);
	return memcmp(object->entry.id, key.words, sizeof(key.words)) == 0;
}

/* Its kind, and the arena that goes with it. */
static bool place_sound(const struct directory *directory, const struct store_entry *entry)
{
	if (entry->kind == STORE_FILE)
		return !entry->arena && entry->offset >= STORE_IMMUTABLE && entry->offset < STORE_REGION &&
		       store_state_of(load_rlx(&entry->state)) != STORE_SEALED;
	return entry->kind >= STORE_IMMUTABLE && entry->kind <= STORE_REGION && entry->arena &&
	       entry->arena < directory->shape.arenas;
}

bool directory_entry_sound(const struct directory *directory, const struct directory_object *object)
{
	const struct store_entry *entry = &object->entry;
	bool is_long = entry->id_length > STORE_ID_INLINE;
	uint64_t state = load_rlx(&entry->state);

	if (!entry->id_length || entry->id_length > STOA_ID_MAX || is_long != !!entry->name ||
	    entry->name >= directory->shape.names || entry->access > STORE_BY_ALL ||
	    entry->meta_length > STOA_META_MAX || !place_sound(directory, entry))
		return false;
	if (entry->check != directory_check(entry, store_generation_of(state)) || entry->room > ARENA_SIZE_MAX ||
	    load_rlx(&entry->size) > entry->room || entry->extent < extent_of(entry))
		return false;
	if (!id_sound(directory, object))
		return false;
	return store_state_of(state) == STORE_SPILLED || entry->kind == STORE_FILE ||
	       extent_sound(entry, object->arena_size);
}
