/* SPDX-License-Identifier: MIT */
/* A store's directory, and what should be in it, for its tests: all that an entry says follows from its version. */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include <store/directory.h>

#define ARENA_SIZE (UINT64_C(1) << 30)

/* ---- a directory, and what should be in it ---- */

#define IDS_MAX 512

struct id {
	uint8_t bytes[STOA_ID_MAX];
	uint32_t length;
	uint32_t entry;   /* 0: none */
	uint64_t version; /* in `made`; 0: none is found */
	bool spilled, writing;
};

struct world {
	uint8_t *map;
	struct directory_plan plan;
	struct store_shape shape;
	struct directory_book book;
	uint64_t key[2];
	uint64_t random, versions;
	uint32_t arena;
	uint64_t backed; /* bytes that commit() was asked for */
	int refuse;      /* what commit() answers */
	uint32_t ids;
	struct id id[IDS_MAX];
};

struct told {
	struct world *world;
	uint32_t good, left, lost, last;
	uint32_t ended[64];
	uint32_t count;
};

int index_back(void *argument, uint64_t from, uint64_t to);
uint8_t *index_map_pages(uint64_t length, int protection);
void index_make_ids(struct world *world, uint32_t count);
void index_begin(struct world *world, uint32_t buckets, uint32_t entries, uint32_t ids);
void index_end(struct world *world);
int index_enter(struct world *world, const struct id *id, uint64_t version, uint32_t *ret_entry);
uint64_t index_sealed_size(uint64_t version);
uint64_t index_version_found(const struct directory *directory, const struct id *id);
void index_check_all(const struct world *world);
void index_end_entry(struct world *world, uint32_t entry);
void index_put(struct world *world, struct id *id);
void index_replace(struct world *world, struct id *id);
void index_finish_draft(struct world *world, struct id *id);
void index_change(struct world *world, struct id *id);
int index_back_nothing(void *argument, uint64_t from, uint64_t to);
void index_adopt(uint8_t *map, uint64_t length, struct directory_book *ret_book, struct told *told);

#endif
