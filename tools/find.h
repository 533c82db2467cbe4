/* SPDX-License-Identifier: MIT */
/*
 * `stoa find`: a client and several server processes that walk a directory tree together and hand its entries over through
 * one segment. Uses the public headers of stoa, and tools/os for what it needs of the system.
 *
 *   client                                   the segment                                     servers
 *   prints entries, acknowledges             +----------------------------------------+      walk directories
 *   directories, starts, watches   <-------- | find_shared: options, mutex, semaphore,| <--- claim them, hand entries over,
 *   and replaces servers                     |              table                     |      queue the sub-directories
 *                                            +----------------------------------------+
 *                                            | text: DIR and GLOB, each ended by 0    |
 *                                            +----------------------------------------+
 *                                            | channel: batches, servers to client    |
 *                                            +----------------------------------------+
 *                                            | arena: directory records, growing      |  committed as it grows
 *                                            +----------------------------------------+
 *
 * The hard idea is that a server may be killed at any instruction and still every entry is printed exactly once. Two facts
 * are kept apart for each directory: `spread` (its sub-directories are in the table, in one step: see find_table.c) and
 * `acknowledged` (the client has received the last of its entries). The client prints a directory only when it has all of it.
 * When a server has died, the client first receives what it had sent, and then queues again what that server
 * had claimed and the client has not acknowledged; who redoes a directory that was spread does not spread it again. A server that
 * is stopped counts as nothing until the client kills it.
 *
 * Everything but the batches is read and written under find_shared.mutex.
 */
#ifndef TOOLS_FIND_H
#define TOOLS_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stoa/stoa.h>

#include "os/walk.h"

#define FIND_MAGIC UINT64_C(0x646e6966616f7473) /* "stoafind" */
#define FIND_VERSION 3u
#define FIND_JOBS_MAX 64u
#define FIND_RING UINT32_C(131072)        /* bytes of batches on their way, of each server */
#define FIND_BATCH UINT32_C(32512)        /* of one, at most: a quarter of the ring, less what it costs to send it */
#define FIND_RESERVE (UINT64_C(16) << 30) /* some 300 million directories */
#define FIND_RESERVE_LEAST (UINT64_C(64) << 20)
#define FIND_NAME_BYTES 4096u /* no longer name is handed over */
#define FIND_NO_GLOB UINT32_MAX

/* How a server process ends, and what the client makes of it. */
#define FIND_EXIT_DONE 0
#define FIND_EXIT_FAILED 71   /* find_shared.sentence says why: the search fails */
#define FIND_EXIT_PATIENCE 72 /* the client did nothing for --patience: replaced when it goes on */
#define FIND_EXIT_ORPHAN 73   /* the client is gone, or takes no more */

/* ---- what lies in the segment ---- */

/*
 * The directory table. Records lie one behind the other in the arena, below `top`, and never move. Those that nobody has claimed are
 * chained, the newest first: those that a server found in a chain of its own, so that it goes on where it just was.
 */
struct find_table {
	_Atomic uint64_t top;                   /*  0 end of the records; storing it is what adds records */
	_Atomic uint64_t total;                 /*  8 records below top */
	_Atomic uint64_t waiting;               /* 16 of them in chains */
	uint64_t reserved[5];                   /* 24 */
	_Atomic uint64_t chains[FIND_JOBS_MAX]; /* 64 first record of each; 0 is none */
};

/* One directory: 32 bytes and its name (without its parents'), filled up with at least one 0 to a multiple of 8. */
struct find_directory {
	uint64_t parent;         /*  0 offset of the parent's record, which is smaller; 0: this is DIR itself */
	_Atomic uint64_t next;   /*  8 in its chain */
	_Atomic uint32_t owner;  /* 16 the server that claimed it last; 0 while it waits */
	_Atomic uint32_t spread; /* 20 1: its sub-directories are in the table */
	uint32_t acknowledged;   /* 24 1: the client has all its entries; the client's alone */
	uint32_t length;         /* 28 of the name */
};

struct find_shared {
	uint64_t magic;       /*   0 */
	uint32_t version;     /*   8 */
	uint32_t jobs;        /*  12 servers at a time */
	uint64_t reserved;    /*  16 */
	uint64_t patience;    /*  24 nanoseconds */
	uint64_t size_min;    /*  32 the filter */
	uint64_t size_max;    /*  40 */
	uint32_t types;       /*  48 */
	uint32_t attributes;  /*  52 1: entries carry attributes */
	uint32_t root_length; /*  56 */
	uint32_t glob_length; /*  60 FIND_NO_GLOB: none */
	uint64_t text;        /*  64 offsets in the segment */
	uint64_t channel;     /*  72 */
	uint64_t arena;       /*  80 */
	uint64_t padding0[5]; /*  88 */

	struct stoa_mutex mutex;    /* 128 guards what follows, and the records */
	uint64_t beat;              /* 144 counts up while the client is well */
	uint32_t finished;          /* 152 no more directories will come; the client's alone */
	uint32_t idle;              /* 156 servers that sleep, or are about to, for `work` */
	struct stoa_semaphore work; /* 160 one for each of them for whom there is something to claim */
	uint64_t padding1[2];       /* 176 */
	struct find_table table;    /* 192 */
	char sentence[192];         /* 768 behind FIND_EXIT_FAILED; without the mutex, read when its writer has ended */
};

_Static_assert(sizeof(struct find_table) == 576, "layout");
_Static_assert(sizeof(struct find_directory) == 32, "layout");
_Static_assert(offsetof(struct find_shared, mutex) == 128, "layout");
_Static_assert(offsetof(struct find_shared, table) == 192, "layout");
_Static_assert(offsetof(struct find_shared, sentence) == 768, "layout");
_Static_assert(sizeof(struct find_shared) == 960, "layout");

/* ---- options and filter (find_options.c, find_filter.c) ---- */

/* Which entries are wanted. */
struct find_filter {
	uint32_t types;       /* bit per letter of FIND_TYPES; 0: all */
	uint32_t glob_length; /* FIND_NO_GLOB: none */
	const char *glob;
	uint64_t size_min; /* both inclusive; min 0, max UINT64_MAX: any, without looking */
	uint64_t size_max;
};
#define FIND_TYPES "fdlpsbc"

struct find_options {
	const char *root;
	struct find_filter filter;
	bool nul;
	bool json;
	bool sort;
	bool stats;
	uint32_t jobs;
	uint64_t patience;
	uint64_t kill_after; /* entries; UINT64_MAX: never */
};

/* TOOL_GO, or the exit status. */
int find_options_parse(int argc, char **argv, struct find_options *ret_options);

/* Whether the filter must know an entry's size. */
bool find_filter_needs_size(const struct find_filter *filter);
/* `size` NULL: not known; then a filter for sizes refuses. */
bool find_filter_accepts(const struct find_filter *filter, const char *name, size_t length, char type,
			 const uint64_t *size);
bool find_glob_matches(const char *glob, size_t glob_length, const char *name, size_t length);

/* ---- the segment as a process sees it (find_area.c) ---- */

struct find_area {
	struct stoa_segment *segment;
	unsigned char *base;
	uint64_t reserve;
	struct find_shared *shared;
	struct stoa_channel *channel;
};

int find_area_create(const struct find_options *options, bool attributes, struct find_area *ret_area);
int find_area_adopt(const char *token, struct find_area *ret_area); /* server: and check what is in it */
void find_area_filter(const struct find_area *area, struct find_filter *ret_filter);
const char *find_area_root(const struct find_area *area);
void find_area_close(struct find_area *area); /* its ends of the channel have left */

/* A growing text. */
struct find_text {
	char *bytes;
	size_t length;
	size_t size;
};
/* Room for `more` bytes behind it, and that many bytes added. False: out of memory. */
bool find_text_reserve(struct find_text *text, size_t more);
bool find_text_add(struct find_text *text, const void *bytes, size_t length);
void find_text_free(struct find_text *text);

/* ---- the directory table (find_table.c): all but find_table_look() under find_shared.mutex ---- */

/* A record, checked to lie below `limit`. */
struct find_record {
	struct find_directory *directory;
	uint64_t parent;
	const char *name;
	uint32_t length;
	uint64_t next; /* offset behind it */
};
bool find_table_look(const struct find_area *area, uint64_t offset, uint64_t limit, struct find_record *ret_record);

int find_table_start(struct find_area *area); /* empty but for DIR */
/* Claim up to `max` directories for `server`: of its own chain, or if that is empty of another. */
unsigned find_table_claim(struct find_area *area, uint32_t server, unsigned max, uint64_t *ret_offsets);
/* Add to `records` that of a sub-directory of `parent`. False: out of memory. */
bool find_table_collect(struct find_text *records, uint64_t parent, const char *name, size_t length);
/* Add records, all of each of their parents, and mark these spread, in one step. `server` is to claim them first. */
int find_table_spread(struct find_area *area, uint32_t server, const void *records, size_t bytes);
/* After STOA_OWNER_DIED, whatever the dead owner was at. */
void find_table_repair(struct find_area *area);

struct find_requeued {
	uint64_t directories; /* to be redone */
	uint64_t spread;      /* of these, those whose sub-directories are known already */
};
/* Queue again what `server`, now dead, claimed and the client has not acknowledged. */
void find_table_requeue(struct find_area *area, uint32_t server, struct find_requeued *ret_requeued);
bool find_table_valid(const struct find_area *area);

/* `prefix` and the directory's path below DIR, "a/b/c/", in one text, behind which lies a 0. -STOA_EFORMAT, -STOA_ENOMEM. */
int find_table_path(const struct find_area *area, uint64_t offset, uint64_t limit, const char *prefix,
		    size_t prefix_length, struct find_text *ret_text);

/* ---- batches (find_batch.c) ---- */

/* A batch is a message: this, and sections, each some entries of one directory. */
struct find_batch {
	uint32_t place;
	uint32_t server; /* its number */
	uint64_t sleeps; /* of it, so far, for --stats */
	uint64_t wakes;
};
struct find_section {
	uint64_t directory; /* 0 offset of its record */
	uint32_t bytes;     /* 8 of entries behind this head */
	uint32_t flags;     /* 12 */
};
#define FIND_FIRST 1u /* the directory's first section from this server */
#define FIND_LAST 2u  /* and its last */

/* An entry's head; then, by `kind`, attributes or an error number; then the name. Nothing is aligned: every byte moves between processors. */
struct find_entry {
	uint16_t length; /* 0 of the name */
	uint8_t kind;    /* 2 */
	uint8_t type;    /* 3 letter of FIND_TYPES or '?' */
};
#define FIND_KIND_NAME 0u       /* name and type */
#define FIND_KIND_ATTRIBUTES 1u /* and attributes */
#define FIND_KIND_ERROR 2u      /* the entry (no name: the directory itself) could not be read */
_Static_assert(sizeof(struct find_section) == 16, "layout");
_Static_assert(sizeof(struct find_entry) == 4, "layout");

struct find_writer {
	unsigned char *buffer; /* FIND_BATCH bytes */
	uint32_t used;
	uint32_t section; /* where the open section's head is; UINT32_MAX: none is open */
};
void find_writer_start(struct find_writer *writer, unsigned char *buffer);
bool find_writer_open(struct find_writer *writer, uint64_t directory, uint32_t flags); /* false: does not fit */
void find_writer_close(struct find_writer *writer, uint32_t flags);

/* An entry outside a batch. */
struct find_item {
	const char *name;
	uint32_t length;
	uint8_t kind;
	char type;
	int32_t error;                     /* of the system, kind FIND_KIND_ERROR */
	struct walk_attributes attributes; /* kind FIND_KIND_ATTRIBUTES */
};
bool find_writer_add(struct find_writer *writer, const struct find_item *item); /* false: does not fit */

/* Both read at *at, which moves on. 1: here it is, 0: the end, -STOA_EFORMAT: not a batch. */
int find_batch_section(const unsigned char *bytes, size_t length, size_t *at, struct find_section *ret_section);
int find_batch_item(const unsigned char *bytes, size_t length, size_t *at, struct find_item *ret_item);

/* ---- output (find_output.c) ---- */

struct find_output;
struct find_output *find_output_create(const struct find_options *options); /* NULL: out of memory */
/* One entry; `directory` is the path of what it lies in, with the '/' (for DIR itself ""). 0 or -STOA_ENOMEM. */
int find_output_entry(struct find_output *output, const char *directory, size_t length, const struct find_item *item);
/* Write out what is held back for a larger write; false when the output does not take it (errno). */
bool find_output_flush(struct find_output *output);
/* Everything, in order with --sort. */
bool find_output_finish(struct find_output *output);
/* The user sees it as it comes. */
bool find_output_is_terminal(const struct find_output *output);
bool find_output_failed(const struct find_output *output);
uint64_t find_output_entries(const struct find_output *output);
void find_output_destroy(struct find_output *output);

/* ---- the two sides ---- */

struct find_report {
	uint64_t entries;
	uint64_t directories;
	uint64_t errors;
	uint64_t batches;
	uint64_t nanoseconds;
	uint64_t committed;
	uint64_t reserved;
	uint64_t sleeps;
	uint64_t wakes;
	uint32_t jobs;
	uint32_t started;   /* server processes in all */
	uint32_t killed;    /* ended otherwise than they should */
	uint32_t impatient; /* left because the client did nothing */
	uint64_t redone;
	uint64_t redone_spread;
	int64_t last_killed; /* process id */
	uint64_t noticed;    /* nanoseconds from killing a server ourselves to seeing to it; 0: did not */
};
void find_report_print(const struct find_report *report);

int find_client(const struct find_options *options);
int find_server(int argc, char **argv);

#endif
