/* SPDX-License-Identifier: MIT */
/*
 * The directory of a store: which objects there are. The server alone writes it, in one thread; any number of clients look things up at the
 * same time, in a map that they can only read, and wait for nobody. layout.h shows it.
 *
 * Readers (struct directory):
 *   find    the entry of an id, and the state it was seen in
 *   look    what a get needs of an entry that a lease holds
 *   read    all of an entry that nothing holds
 *
 * The server (struct directory_book): enter -> place (or hand_over) -> seal ... set_state(DYING) -> remove -> (no lease) -> free.
 * What a server that died leaves, directory_adopt() makes good, after any of its stores, while clients go on looking.
 */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H

#include <base/cc.h>
#include <store/layout.h>

/* ---- its shape ---- */

struct directory_plan {
	uint64_t buckets, entries, names, arenas; /* where they begin */
	uint64_t length;                          /* whole pages */
};

/* A shape with room for so many objects and arenas, and its plan. -STOA_ERANGE; plan: also of a shape that is none. */
int directory_shape(uint32_t objects, uint32_t arenas, struct store_shape *ret_shape);
int directory_plan(const struct store_shape *shape, struct directory_plan *ret_plan);

/* ---- readers ---- */

/* A map of a directory, and what was checked when it was opened: later nobody looks at the header's shape and key again. */
struct directory {
	struct store_header *header; /* for a client all of this is read-only memory */
	struct store_bucket *buckets;
	struct store_entry *entries;
	struct store_name *names;
	struct store_arena *arenas;
	struct store_shape shape;
	uint64_t key[2];
	uint64_t second; /* what short ids add to their hash */
	uint64_t length;
};

/* `length` bytes are mapped. -STOA_EFORMAT, -STOA_EVERSION. */
int directory_open(const void *map, uint64_t length, struct directory *ret_directory);

enum directory_found {
	DIRECTORY_FOUND,  /* WRITING, SEALED or SPILLED: ret_state tells */
	DIRECTORY_ABSENT, /* at some moment of the call there was none */
	DIRECTORY_UNSURE, /* it changed too often meanwhile: ask the server */
};

/* Ids have 1..STOA_ID_MAX bytes; of others there is none. *ret_state is the entry's state word as it was when the id was the entry's. */
enum directory_found directory_find(const struct directory *directory, const void *id, uint32_t length,
				    uint32_t *ret_entry, uint64_t *ret_state);

/* The entry's state word, where `entry` came from directory_find(). */
static inline const _Atomic uint64_t *directory_state(const struct directory *directory, uint32_t entry)
{
	return &directory->entries[entry].state;
}

/*
 * Where an object lies: the entry's first line. `arena` is checked against the shape; whether offset + size lie in what is mapped of
 * the arena, the caller does.
 */
struct directory_where {
	uint32_t arena;
	uint16_t meta_length; /* at most STOA_META_MAX */
	uint8_t kind;
	uint64_t offset;
	uint64_t size;
};

int directory_damaged(uint32_t entry); /* -STOA_EFORMAT, with its sentence */

/* Of an entry that cannot change, as a lease holds it. -STOA_EFORMAT. */
static inline int directory_look(const struct directory *directory, uint32_t entry, struct directory_where *ret_where)
{
	const struct store_entry *from = &directory->entries[entry];

	if (CC_UNLIKELY(from->arena >= directory->shape.arenas || from->meta_length > STOA_META_MAX))
		return directory_damaged(entry);
	*ret_where = (struct directory_where){.arena = from->arena,
					      .meta_length = from->meta_length,
					      .kind = from->kind,
					      .offset = from->offset,
					      .size = load_rlx(&from->size)};
	return 0;
}

/* All of an entry, as long as its state word is `state`. */
struct directory_object {
	struct store_entry entry;
	uint8_t id[STOA_ID_MAX]; /* entry.id_length bytes */
	uint64_t arena_size;
};
#define DIRECTORY_CHANGED 1 /* the entry is no longer what it was */
/* Everything lies in its range, the extent in its arena (but of SPILLED ones). DIRECTORY_CHANGED, -STOA_EFORMAT. */
int directory_read(const struct directory *directory, uint32_t entry, uint64_t state,
		   struct directory_object *ret_object);

/* For lists: entries 1 .. limit - 1 may be in use. */
uint32_t directory_limit(const struct directory *directory);

/* An arena as it is: its generation is odd. DIRECTORY_CHANGED: there is none, or it just changed. -STOA_EFORMAT. */
int directory_arena_read(const struct directory *directory, uint32_t arena, struct store_arena *ret_arena);

/* ---- the server ---- */

/* Numbers that are free: below `reached` those in the stack, and all from there on. */
struct directory_pool {
	uint32_t *free;
	uint32_t count;
	uint32_t reached;
	uint32_t limit;
	uint32_t size;               /* bytes that a number has in the directory, */
	uint64_t begin, backed, end; /* from here; up to there they are backed; the next part */
	_Atomic uint32_t *told;      /* `reached` in the header */
	_Atomic uint32_t *told_backed;
};

struct directory_book {
	struct directory directory;
	struct directory_plan plan;
	struct directory_pool entries, names, arenas;
	uint64_t *placed;   /* a bit for each entry: it has a place */
	uint64_t committed; /* bytes */
	uint32_t ahead;     /* so many numbers more than were used are backed */
	int (*commit)(void *argument, uint64_t from,
		      uint64_t to); /* back these bytes of the directory, whole pages; 0 or an error */
	void *argument;
};

/*
 * A new directory in `map`: plan.length bytes, of zeros where they are committed. -STOA_ENOMEM, and what commit() says. `key` is random, but in tests.
 * close frees what the book has in private memory; the directory stays as it is.
 */
int directory_create(void *map, const struct store_shape *shape, const uint64_t key[2],
		     int (*commit)(void *argument, uint64_t from, uint64_t to), void *argument,
		     struct directory_book *ret_book);
void directory_close(struct directory_book *book);

/*
 * Take over what a dead server left in `length` bytes at `map`. Each entry that is not FREE is told, in the order of their numbers, when
 * all have been looked at and the buckets are in order; only then may the book be used, also by `visit`.
 */
enum directory_finding {
	DIRECTORY_GOOD, /* and has its place, if it is SEALED or SPILLED; WRITING: if it had one. DYING: never */
	DIRECTORY_LEFT, /* SEALED or SPILLED, but another entry has the place of its id: to be ended by the caller */
	DIRECTORY_LOST, /* damaged; it has been dropped, and is FREE */
};
struct directory_tally {
	uint32_t good, left, lost;
	uint32_t arenas_lost; /* damaged, and dropped */
};
/* -STOA_EFORMAT, -STOA_EVERSION, -STOA_ENOMEM, and what commit() says. */
int directory_adopt(void *map, uint64_t length, int (*commit)(void *argument, uint64_t from, uint64_t to),
		    void *argument, void (*visit)(void *argument, uint32_t entry, enum directory_finding finding),
		    struct directory_book *ret_book, struct directory_tally *ret_tally);

/* Where the id has its place, or would have, nearly always: so that it can be fetched before it is looked up. */
const struct store_bucket *directory_home(const struct directory_book *book, const void *id, uint32_t length);

/* The entry of an id, whatever its state, that has the id's place; 0: none. */
uint32_t directory_lookup(const struct directory_book *book, const void *id, uint32_t length);

/*
 * A new entry, WRITING, without a place. Of `fields` these count: arena, kind, meta_length, offset, size, owner, access, reader, flags, session, serial,
 * room, extent, made. -STOA_ELIMIT: no entry, or no room for a long id; what commit() says.
 */
int directory_enter(struct directory_book *book, const void *id, uint32_t length, const struct store_entry *fields,
		    uint32_t *ret_entry);

/*
 * The server's own: pages for so many entries more were got beforehand, so that these can be made when there is no memory left.
 * How many entries there may still be.
 */
#define DIRECTORY_AHEAD 64u
int directory_enter_ahead(struct directory_book *book, const void *id, uint32_t length,
			  const struct store_entry *fields, uint32_t *ret_entry);
uint32_t directory_left(const struct directory_book *book);

/* Give it the place of its id, which nothing has. -STOA_ELIMIT: there is none within reach. */
int directory_place(struct directory_book *book, uint32_t entry);

/* `entry` gets the place that `old`, of the same id, has: readers find one or the other. */
void directory_hand_over(struct directory_book *book, uint32_t old, uint32_t entry);

/* Take away its place, if it has one. */
void directory_remove(struct directory_book *book, uint32_t entry);
bool directory_has_place(const struct directory_book *book, uint32_t entry);

/* SEALED, with that size (at most its room). */
void directory_seal(struct directory_book *book, uint32_t entry, uint64_t size);

/* More of a SEALED one's room is committed. */
void directory_grow(struct directory_book *book, uint32_t entry, uint64_t size);

/* DYING or SPILLED, or SEALED again. Barrier and look at the leases come after this. Returns the generation, which stays. */
uint64_t directory_set_state(struct directory_book *book, uint32_t entry, enum store_state state);
void directory_set_flags(struct directory_book *book, uint32_t entry, uint32_t flags);

/* It has no place, and nobody uses it: the entry may become another object. */
void directory_free(struct directory_book *book, uint32_t entry);

/* The id: `*ret_length` bytes, valid until the entry is freed. */
const uint8_t *directory_id(const struct directory_book *book, uint32_t entry, uint32_t *ret_length);

/* Arenas. Of `fields` all but the generation count. -STOA_ELIMIT, and what commit() says. */
int directory_arena_add(struct directory_book *book, const struct store_arena *fields, uint32_t *ret_arena);
void directory_arena_set_session(struct directory_book *book, uint32_t arena, uint32_t session);
void directory_arena_drop(struct directory_book *book, uint32_t arena);

/* ---- checking ---- */

/*
 * Is everything as it should be when no change is under way? -STOA_EFORMAT, with what is wrong in the sentence. Does not write, and believes
 * nothing; beside a server at work it may find what is none.
 */
int directory_valid(const void *map, uint64_t length);

#endif
