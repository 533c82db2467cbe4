/* SPDX-License-Identifier: MIT */
/*
 * Spilling, between its files: spill.c decides, spill_move.c moves the bytes, spill_file.c knows what a file looks like.
 *
 * A file of the folder, which holds one object:
 *   0          1024
 *   +----------+----------------+
 *   | header   | the bytes      |
 *   +----------+----------------+
 * It is written as "stoa-<store>-<entry>-<generation>.half", the header last, and then given the same name with ".object". So what has that name is
 * whole, but for what the disk or somebody else did to it since, which the hashes find. <store> is the directory's random key: files of other
 * stores, and others' files, are not touched. "stoa-<store>.store" says that the folder is that store's.
 */
#ifndef STORE_SPILL_H
#define STORE_SPILL_H

#include <os/ring.h>
#include <store/object_parts.h>
#include <store/server.h>

#include <stddef.h>

struct spill_header {
	uint8_t magic[8];
	uint64_t layout; /* hash of the layout's description */
	uint64_t key[2]; /* of the store's directory */
	uint32_t entry;
	uint8_t id_length;
	uint8_t kind; /* enum store_kind, in memory */
	uint16_t meta_length;
	uint64_t generation;
	uint64_t size;
	uint64_t made;
	uint32_t owner, access, reader;
	uint32_t unused_76;
	uint64_t bytes_check; /* hash of the object's bytes */
	uint8_t id[STOA_ID_MAX];
	uint8_t meta[STOA_META_MAX];
	uint8_t pad_792[224];
	uint64_t check; /* hash of all before */
};
_Static_assert(offsetof(struct spill_header, entry) == 32, "layout");
_Static_assert(offsetof(struct spill_header, generation) == 40, "layout");
_Static_assert(offsetof(struct spill_header, owner) == 64, "layout");
_Static_assert(offsetof(struct spill_header, bytes_check) == 80, "layout");
_Static_assert(offsetof(struct spill_header, id) == 88, "layout");
_Static_assert(offsetof(struct spill_header, meta) == 280, "layout");
_Static_assert(offsetof(struct spill_header, check) == 1016, "layout");
_Static_assert(sizeof(struct spill_header) == 1024, "layout");

/* ---- spill_file.c ---- */

#define SPILL_NAME 80
void spill_name(const struct stoa_server *server, uint32_t entry, uint64_t generation, const char *ending,
		char name[SPILL_NAME]);
void spill_store_name(const struct stoa_server *server, char name[SPILL_NAME]);
#define SPILL_HALF "half"
#define SPILL_WHOLE "object"

/* Is it the name of a file of this store? *ret_whole: one with the second ending. */
bool spill_name_parse(const struct stoa_server *server, const char *name, uint32_t *ret_entry, uint64_t *ret_generation,
		      bool *ret_whole);

/* Of an entry of the kind FILE; bytes_check and check are to come. */
void spill_header_fill(const struct stoa_server *server, uint32_t number, struct spill_header *header);
void spill_header_close(struct spill_header *header, uint64_t bytes_check);

/* Is this, which was read from a file, the header of that entry's object? */
bool spill_header_good(const struct stoa_server *server, uint32_t number, const struct spill_header *header);

#define SPILL_CHECK UINT64_C(0x57b1) /* what the hash of an object's bytes begins with */

static inline uint64_t spill_length(uint64_t size)
{
	return sizeof(struct spill_header) + size;
}

/* ---- spill_move.c ---- */

#define SPILL_MOVES 16u /* at a time, each way */
#define SPILL_REMOVALS 64u
#define SPILL_CHUNK (512u << 10)

enum spill_stage { SPILL_IDLE, SPILL_OPEN, SPILL_BYTES, SPILL_HEADER, SPILL_CLOSE, SPILL_RENAME };

/* One object on its way. Out: from the entry `from` in memory to `to`, which is a FILE; in: the other way. */
struct spill_move {
	struct os_job job;
	enum spill_stage stage;
	bool out;
	int result; /* what went wrong first */
	uint32_t from, to;
	uint64_t from_state, to_state;
	uint64_t size, at; /* bytes, and those that are done */
	uint64_t going;    /* bytes of memory that come free */
	uint32_t chunk;    /* bytes that are under way, with the header if they are the first */
	uint32_t there;    /* of them, done */
	uint64_t check;
	os_handle file;
	unsigned char *bytes; /* SPILL_CHUNK of them */
	char name[SPILL_NAME], half[SPILL_NAME];
	struct spill_header header;
};

struct spill_removal {
	struct os_job job;
	uint64_t length;
	struct spill_removal *next; /* of those that wait, or are free */
	char name[SPILL_NAME];
};

/* One that somebody waits for, and that is not on its way yet. */
struct spill_fetch {
	uint32_t entry;
	uint64_t state;
	struct server_turn turn;
	struct spill_fetch *next;
};

/* What was just restored is not spilled before who asked for it has had the time to hold it. */
struct spill_guard {
	uint32_t entry;
	uint64_t state;
	uint64_t until;
};
#define SPILL_GUARDS 64u

struct server_spill {
	struct os_ring *ring;
	os_handle folder;
	uint64_t bytes;    /* of files */
	uint64_t removing; /* of them, of files that are being removed */
	uint64_t going;    /* bytes of memory that come free when all have gone out that are on their way */
	uint64_t largest;
	uint64_t paused; /* nothing is spilled until then, as it just failed */
	uint64_t tries;  /* when those who wait for room are to try again */
	uint64_t again;  /* when the ring is to be tried again; 0: it need not be */
	uint32_t hand;   /* of those in files, for a cache that has too many */
	uint32_t outs, ins, removals;
	struct spill_move moves[2 * SPILL_MOVES]; /* out, then in */
	struct spill_removal *waiting;
	struct spill_fetch *first, **last;
	struct server_coming coming; /* what the first one gets */
	bool restoring;              /* room is made for what comes back */
	bool known;                  /* the folder is this store's */
	bool ends;
	bool failing; /* the last try to write a file was none */
	struct spill_guard guards[SPILL_GUARDS];
	unsigned next_guard;
};

/* Begin to move `from`. -STOA_EBUSY: as many are under way as may be; or what was lacking. */
int spill_move_out(struct stoa_server *server, uint32_t from);
/* SERVER_LATER: when there is room for it. MEMORY_STEPS: that is being made (spill->coming), the same again. */
int spill_move_in(struct stoa_server *server, uint32_t from);

/* Is the entry on its way? */
bool spill_is_moved(const struct server_spill *spill, uint32_t from);

/* Wait for all that is under way, and forget it. */
void spill_close_moves(struct stoa_server *server);

/* Take what is done, and go on with it. Returns whether anything was. */
bool spill_move_on(struct stoa_server *server);

/* ---- spill.c ---- */

void spill_count(struct stoa_server *server, uint64_t more);
/* A file of `length` bytes that are counted is removed, when it is its turn. */
void spill_remove(struct stoa_server *server, const char *name, uint64_t length);
void spill_removed(struct stoa_server *server, struct spill_removal *removal);
/* Nothing can be written now. */
void spill_failed(struct stoa_server *server, int result);
/* Who waits for it is told; it is gone if it is `lost`. */
void spill_unrestored(struct stoa_server *server, uint32_t number, int result, bool lost);
void spill_guard(struct stoa_server *server, uint32_t entry);

#endif
