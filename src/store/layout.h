/* SPDX-License-Identifier: MIT */
/*
 * A store as it lies in memory. The server makes every memory object, and writes all but three kinds of them alone:
 *
 *   object      server    its client    others     what it holds
 *   directory   writes    reads         read       which objects there are, and where
 *   arena       writes    (see below)   read       bytes of objects; one for each who may read, and for each who may write
 *   session     writes    writes        -          requests of one client, and their completions; or events, of a subscription
 *   leases      reads     writes        -          what one client has in use
 *   journal     writes    -             -          what a server that comes after a dead one must know of sessions
 *
 * An arena of the kind PRIVATE can be written by one client, which makes its objects there in place; of the kind SEALED, too, but it
 * holds one object, and nobody can write it once that is complete; IMMUTABLE ones can be written by no client.
 *
 * Directory:
 *   0          4096             + 64 each         + 128 each        + 192 each           + 64 each
 *   +----------+----------------+-----------------+-----------------+--------------------+--------+
 *   | header   | buckets        | entries         | long names      | arenas             | pad    |
 *   +----------+----------------+-----------------+-----------------+--------------------+--------+
 *   It is made as long as it may become. Header and buckets are committed at once, as they are read everywhere; of the rest, pages
 *   are committed before they are first used, in steps, from the lowest number up: the header's reached_* tell how far that is, and its backed_*
 *   how far there are pages.
 *
 * A *bucket* is a line of seven places {tag : 32 | entry : 32}, and counts those that had to go on to the next one, which are few: there are at
 * least three places for two entries. An id's place is never moved, and given, handed on and taken away with one store: whoever
 * looks finds what was there or what is, and never has to wait for who changes it.
 *
 * An *entry* is an object. Its first line is all that a get looks at:
 *   state  {zero : 2 | generation : 38 | zero : 16 | state : 8}: counts up whenever the entry becomes another object
 *
 *   state      gets                   who dies here leaves
 *   FREE       no                     -
 *   WRITING    only who follows it    server: it is continued; client: it is dropped, unless it may come back (session's grace)
 *   SEALED     yes                    -
 *   DYING      no; held ones stay     server: its successor waits for the leases and frees it
 *   SPILLED    no; it is asked for    server: its bytes are in a file, which its successor has, too
 *
 * An object in a file has the kind FILE and no arena: WRITING while its file is written, then SPILLED, when it takes the place of the one in memory,
 * and in the end DYING, until its file is removed. Back in memory it is a new entry, WRITING while its bytes are read, which takes the place of that one.
 *
 * A *lease* is a word of the client's: {IN_USE : 1 | FLIP : 1 | generation : 38 | entry : 24}. Who gets an object writes one, then looks at the
 * entry's state again: still the same, and the server cannot have missed the lease, since it first changes the state, then imposes a barrier on
 * all clients, then reads all leases. Release clears IN_USE; what remains tells the server which objects were used lately, as FLIP is another one at each use of the word.
 *
 *   field             written by                     a crash between two stores leaves
 *   header            server                         counts that are a little off: the next server counts again
 *   bucket.passed     server, before the place is    too many: the next server counts again
 *                     given and after it is taken
 *   bucket.places     server                         an entry without a place, or the reverse: the next server compares them all
 *   entry.state       server, last (first, when it   FREE: the other fields may be anything. Else they are complete, and `check`
 *                     ends)                          tells whether somebody wrote over them
 *   entry, else       server, while it is FREE;      see above
 *                     size before it is SEALED,
 *                     flags at any time
 *   arena             server; generation last, or    even: no arena. One without entries: the next server drops it
 *                     first when it ends
 *   request ring      client: record, then tail      not asked; or asked: the next server goes on at the journal's position
 *   completions       server: record, then tail      not told: the next server tells it
 *   leases            client                         a lease of the dead: dropped with its session
 *   journal           server, see journal.c
 *
 * Enemies: the server believes no word of a session or of leases; a client that reads the directory checks what it finds against the
 * sizes it knows. Whoever writes over its own session or leases harms itself alone.
 */
#ifndef STORE_LAYOUT_H
#define STORE_LAYOUT_H

#include <base/atomic.h>
#include <os/os.h>
#include <stoa/manager.h>
#include <stoa/store.h>
#include <stoa/subscription.h>

#include <stddef.h>

#define STORE_MAGIC "STOASTR"
#define STORE_LINE UINT64_C(64)

/* ---- directory ---- */

/* How much of everything there is room for; constant. */
struct store_shape {
	uint32_t buckets; /* a power of two */
	uint32_t entries; /* at most STORE_ENTRIES_MAX; number 0 is not used */
	uint32_t names;   /* number 0 is not used */
	uint32_t arenas;  /* number 0 is not used */
};
_Static_assert(sizeof(struct store_shape) == 16, "layout");
#define STORE_ENTRIES_MAX (UINT32_C(1) << 24)

struct store_header {
	uint8_t magic[8];
	uint64_t layout; /* hash of the layout's description */
	struct store_shape shape;
	uint64_t key[2]; /* of the hash of ids: random */
	uint64_t check;  /* hash of the bytes before */
	_Atomic uint32_t
		fences; /* 1: the server cannot impose barriers: every client passes its own. In this line, as each get looks at it */
	uint32_t unused_60;
	/* Another line: what every client looks at when it has asked for something. */
	_Atomic uint32_t asleep; /* 1: the server sleeps, or is about to: raise the session's bell */
	uint32_t unused_68;
	_Atomic uint64_t server; /* counts servers of this store, the dead ones too */
	/* Higher numbers were never used. */
	_Atomic uint32_t reached_entries;
	_Atomic uint32_t reached_names;
	_Atomic uint32_t reached_arenas;
	/* Up to here there are pages for them. */
	_Atomic uint32_t backed_entries;
	_Atomic uint32_t backed_names;
	_Atomic uint32_t backed_arenas;
	uint8_t pad_104[24];
	/* Another: for people. */
	_Atomic uint64_t objects;  /* SEALED or SPILLED */
	_Atomic uint64_t bytes;    /* of memory that are committed, everything included */
	_Atomic uint64_t limit;    /* of them */
	_Atomic uint64_t sessions; /* clients that are connected */
	_Atomic uint64_t puts;
	_Atomic uint64_t deletes;
	_Atomic uint64_t evictions;
	_Atomic uint64_t refusals; /* for want of room */
	/* Another: of what is in files. */
	_Atomic uint64_t spilled;       /* objects */
	_Atomic uint64_t spilled_bytes; /* of files, also of those being written and removed */
	_Atomic uint64_t spill_limit;   /* of them; 0: nothing is spilled */
	_Atomic uint64_t spills;
	_Atomic uint64_t restores;
	_Atomic uint64_t spill_failures; /* spills and restores that failed; the objects stay where they are */
	_Atomic uint64_t spill_losses;   /* objects whose files were gone or damaged */
	uint64_t unused_248;
};
_Static_assert(offsetof(struct store_header, shape) == 16, "layout");
_Static_assert(offsetof(struct store_header, key) == 32, "layout");
_Static_assert(offsetof(struct store_header, check) == 48, "layout");
_Static_assert(offsetof(struct store_header, asleep) == 64, "layout");
_Static_assert(offsetof(struct store_header, fences) == 56, "layout");
_Static_assert(offsetof(struct store_header, server) == 72, "layout");
_Static_assert(offsetof(struct store_header, reached_entries) == 80, "layout");
_Static_assert(offsetof(struct store_header, reached_arenas) == 88, "layout");
_Static_assert(offsetof(struct store_header, backed_arenas) == 100, "layout");
_Static_assert(offsetof(struct store_header, objects) == 128, "layout");
_Static_assert(offsetof(struct store_header, spilled) == 192, "layout");
_Static_assert(offsetof(struct store_header, spill_losses) == 240, "layout");
_Static_assert(sizeof(struct store_header) == 256, "layout");

#define STORE_PLACES 7u
struct store_bucket {
	_Atomic uint32_t passed; /* ids that would be here, and are in a later bucket */
	uint32_t unused_4;
	_Atomic uint64_t places[STORE_PLACES]; /* tag << 32 | entry; 0: none */
};
_Static_assert(offsetof(struct store_bucket, places) == 8, "layout");
_Static_assert(sizeof(struct store_bucket) == 64, "layout");

/* How many buckets an id may lie away from its own; more ids than that is an attack, or bad luck once in an age. */
#define STORE_REACH 32u

enum store_state { STORE_FREE, STORE_WRITING, STORE_SEALED, STORE_DYING, STORE_SPILLED };
#define STORE_STATE_BITS 24
#define STORE_STATE_MASK UINT64_C(0xff)
#define STORE_GENERATION_MASK ((UINT64_C(1) << 38) - 1)

static inline uint64_t store_state_word(uint64_t generation, enum store_state state)
{
	return (generation & STORE_GENERATION_MASK) << STORE_STATE_BITS | (uint64_t)state;
}

static inline enum store_state store_state_of(uint64_t word)
{
	return (enum store_state)(word & STORE_STATE_MASK);
}

static inline uint64_t store_generation_of(uint64_t word)
{
	return word >> STORE_STATE_BITS & STORE_GENERATION_MASK;
}

#define STORE_ID_INLINE 32u

/*
 * REGION: memory that was handed out, and is no object: `size` is committed, and more may be, up to `room`. It has no tail.
 * FILE: an object whose bytes are in a file; `offset` is the kind that it had in memory. No arena has this kind.
 */
enum store_kind { STORE_IMMUTABLE = 1, STORE_PRIVATE, STORE_OWN, STORE_REGION, STORE_FILE };

/* Flags of an entry, beside STOA_OBJECT_* and STOA_ALLOCATION_*. */
#define STORE_WRITABLE (UINT32_C(1) << 16) /* REGION: who may have it may write it */
#define STORE_COMPLETE (UINT32_C(1) << 17) /* FOLLOWED, DYING: it had been sealed, so who follows it has all of it */

struct store_entry {
	_Atomic uint64_t state;
	uint8_t id[STORE_ID_INLINE]; /* longer ones: two hashes in the first 16 bytes, the rest 0; see `name` */
	uint32_t arena;
	uint8_t id_length;
	uint8_t kind; /* enum store_kind */
	uint16_t meta_length;
	uint64_t offset;       /* in the arena, of the object's first byte */
	_Atomic uint64_t size; /* bytes; while WRITING: as many as there is room for */
	/* Another line. */
	uint32_t name;          /* of a long id: where it is whole; else 0 */
	uint32_t owner;         /* user */
	uint32_t access;        /* enum store_access */
	uint32_t reader;        /* user or group, where `access` names one */
	_Atomic uint32_t flags; /* STOA_OBJECT_* */
	uint32_t session;       /* of who makes it, while WRITING */
	uint64_t serial; /* of the request that made it, in that session; 0: the server made it of one that was there */
	uint64_t room;   /* bytes that its extent has for data, from `offset` on */
	uint64_t extent; /* bytes of its extent, all in all */
	uint64_t made;   /* nanoseconds since 1970 */
	uint64_t check;  /* hash of id ... made, with the generation; not of size and flags, which change */
};
_Static_assert(offsetof(struct store_entry, id) == 8, "layout");
_Static_assert(offsetof(struct store_entry, arena) == 40, "layout");
_Static_assert(offsetof(struct store_entry, id_length) == 44, "layout");
_Static_assert(offsetof(struct store_entry, meta_length) == 46, "layout");
_Static_assert(offsetof(struct store_entry, offset) == 48, "layout");
_Static_assert(offsetof(struct store_entry, size) == 56, "layout");
_Static_assert(offsetof(struct store_entry, name) == 64, "layout");
_Static_assert(offsetof(struct store_entry, flags) == 80, "layout");
_Static_assert(offsetof(struct store_entry, serial) == 88, "layout");
_Static_assert(offsetof(struct store_entry, check) == 120, "layout");
_Static_assert(sizeof(struct store_entry) == 128, "layout");

/*
 * An object's extent:  data, `room` bytes | up to a line | metadata | up to a line | tail: one line
 */
struct store_tail {
	_Atomic uint64_t length; /* of an object that grows: bytes that can be read; its maker writes it */
	uint8_t pad_8[56];
};
_Static_assert(sizeof(struct store_tail) == 64, "layout");

static inline uint64_t store_line_up(uint64_t bytes)
{
	return (bytes + STORE_LINE - 1) & ~(STORE_LINE - 1);
}

static inline uint64_t store_extent(uint64_t room, uint32_t meta_length)
{
	return store_line_up(room) + store_line_up(meta_length) + sizeof(struct store_tail);
}

struct store_name {
	uint8_t bytes[STOA_ID_MAX];
};
_Static_assert(sizeof(struct store_name) == 192, "layout");

/* Who may read what lies in an arena. Its owner always may; so may the system's administrator. */
enum store_access { STORE_BY_OWNER, STORE_BY_USER, STORE_BY_GROUP, STORE_BY_ALL };

struct store_arena {
	_Atomic uint64_t generation; /* odd: it is there */
	uint32_t kind;               /* enum store_kind */
	uint32_t owner;              /* user */
	uint32_t access;             /* enum store_access */
	uint32_t reader;
	_Atomic uint32_t session; /* that may write it, + 1; 0: none */
	uint32_t unused_28;
	uint64_t size;  /* bytes it may have; constant */
	uint64_t key;   /* of the session that may write it */
	uint64_t check; /* hash of all before, but the session, which changes */
	uint8_t pad_56[8];
};
_Static_assert(offsetof(struct store_arena, kind) == 8, "layout");
_Static_assert(offsetof(struct store_arena, session) == 24, "layout");
_Static_assert(offsetof(struct store_arena, size) == 32, "layout");
_Static_assert(offsetof(struct store_arena, check) == 48, "layout");
_Static_assert(sizeof(struct store_arena) == 64, "layout");

/* ---- leases ---- */

#define LEASE_IN_USE (UINT64_C(1) << 63)
#define LEASE_FLIP (UINT64_C(1) << 62)
#define LEASE_ENTRY_MASK UINT64_C(0xffffff)

static inline uint64_t lease_word(uint32_t entry, uint64_t state)
{
	return LEASE_IN_USE | store_generation_of(state) << 24 | entry;
}

#define LEASES_PER_LINE 8u
#define LEASE_LINES_DEFAULT 512u /* 4096 leases */

/* The memory object: this line, then lines of leases, each of which one thread takes from, and any gives back to. */
struct store_leases {
	_Atomic uint32_t reached; /* lines from here on were never used; a client that lies harms itself */
	uint8_t pad_4[60];
	_Atomic uint64_t words[]; /* lines * LEASES_PER_LINE */
};
_Static_assert(offsetof(struct store_leases, words) == 64, "layout");

/* ---- session ---- */

#define SESSION_COMPLETIONS 1024u /* requests under way, at most */
#define SESSION_RING_DEFAULT (UINT64_C(1) << 20)
#define SESSION_COPY_MAX (UINT64_C(64) << 10) /* bytes of an object that go through the ring */

struct store_completion {
	uint64_t serial;
	int32_t result;
	uint32_t entry;
	uint64_t state; /* the entry's */
	uint32_t arena;
	uint32_t unused_28;
	uint64_t offset;
	uint64_t size;
	uint8_t pad_48[16];
};
_Static_assert(offsetof(struct store_completion, state) == 16, "layout");
_Static_assert(sizeof(struct store_completion) == 64, "layout");

/* Of a request that failed: what the server says, for people. */
#define SESSION_SENTENCES 8u
struct store_sentence {
	_Atomic uint64_t serial; /* 0 while it changes */
	char text[248];          /* a 0 behind it */
};
_Static_assert(sizeof(struct store_sentence) == 256, "layout");

struct store_session {
	/* Written by the client. */
	_Atomic uint64_t tail; /* requests end here; bytes, never wraps */
	uint8_t pad_8[56];
	/* By the server. */
	_Atomic uint64_t head; /* requests before this are taken, and their bytes no longer needed */
	uint8_t pad_72[56];
	_Atomic uint64_t completed; /* completions so far */
	uint8_t pad_136[56];
	/* By the client. */
	_Atomic uint64_t seen;    /* completions it has taken */
	_Atomic uint32_t waiting; /* 1: it sleeps until its bell is raised */
	uint8_t pad_204[52];
	/* Of a subscription, whose ring has events from its beginning. By the server. */
	_Atomic uint64_t told; /* events so far */
	_Atomic uint64_t lost; /* and those for which there was no room */
	uint8_t pad_272[48];
	/* By the client. */
	_Atomic uint64_t taken; /* events before this are no longer needed */
	uint8_t pad_328[56];
	/* By the server, once. */
	uint32_t prefix_length;
	uint8_t prefix[STOA_ID_MAX];
	uint8_t pad_580[1024 - 580];
	/* By the server: why the last few requests failed, by serial. */
	struct store_sentence sentences[SESSION_SENTENCES];
	uint8_t pad_3072[1024];
	struct store_completion completions[SESSION_COMPLETIONS];
	/* From here on: the ring of requests. */
};
_Static_assert(offsetof(struct store_session, head) == 64, "layout");
_Static_assert(offsetof(struct store_session, completed) == 128, "layout");
_Static_assert(offsetof(struct store_session, seen) == 192, "layout");
_Static_assert(offsetof(struct store_session, waiting) == 200, "layout");
_Static_assert(offsetof(struct store_session, told) == 256, "layout");
_Static_assert(offsetof(struct store_session, taken) == 320, "layout");
_Static_assert(offsetof(struct store_session, prefix_length) == 384, "layout");
_Static_assert(offsetof(struct store_session, sentences) == 1024, "layout");
_Static_assert(offsetof(struct store_session, completions) == 4096, "layout");
_Static_assert(sizeof(struct store_session) == 4096 + 65536, "layout");

enum store_op {
	STORE_OP_SKIP = 1, /* up to the ring's end */
	STORE_OP_PUT,      /* make an object of the bytes that follow, and seal it */
	STORE_OP_CREATE, /* give room for one; of an OWN its maker makes the pages, and seals them before it asks for SEAL */
	STORE_OP_SEAL,
	STORE_OP_ABORT,
	STORE_OP_DELETE,
	STORE_OP_WAIT, /* completes when an object of that id is sealed; with FOLLOWED, or can be followed; or sooner */
	STORE_OP_ROOM, /* completes when there may be room for `size` bytes */
	STORE_OP_CANCEL,    /* complete the request `of` now, if it waits */
	STORE_OP_MARK,      /* change an object's flags */
	STORE_OP_GROW,      /* commit at least `size` bytes of a REGION */
	STORE_OP_FETCH,     /* completes when a SPILLED object is SEALED, or gone */
	STORE_OP_SUBSCRIBE, /* a session's first: from now on it takes no requests, and its ring has events of ids that begin with this one's bytes */
};

/* A request in the ring, at a multiple of 64; id, then metadata, then data follow at once. */
struct store_request {
	uint32_t length; /* all in all, without what fills the last line */
	uint16_t op;
	uint16_t id_length;
	uint64_t serial; /* counts the session's requests; some may be left out */
	uint64_t size;   /* PUT, CREATE: bytes of data; SEAL: of data in the end; ROOM */
	uint64_t state;  /* SEAL, ABORT, GROW: of the entry; DELETE: if `entry` is not 0, only that one */
	uint32_t entry;
	uint32_t flags; /* STOA_OBJECT_* */
	uint16_t meta_length;
	uint8_t kind;   /* enum store_kind */
	uint8_t access; /* enum store_access */
	uint32_t reader;
	uint64_t
		of; /* CANCEL: a serial; CREATE: bytes of metadata that its maker will write; of a REGION, the reserve */
};
_Static_assert(offsetof(struct store_request, serial) == 8, "layout");
_Static_assert(offsetof(struct store_request, entry) == 32, "layout");
_Static_assert(offsetof(struct store_request, of) == 48, "layout");
_Static_assert(sizeof(struct store_request) == 56, "layout");
#define STORE_REQUEST_MAX (sizeof(struct store_request) + STOA_ID_MAX + STOA_META_MAX + SESSION_COPY_MAX)

/* An event in the ring of a subscription. */
struct store_event {
	uint64_t lost; /* those that were lost before it, all in all */
	uint64_t size; /* of the object */
	uint64_t date; /* nanoseconds since 1970 */
	uint32_t what; /* STOA_EVENT_* */
	uint32_t id_length;
	uint8_t pad_32[32];
	uint8_t id[STOA_ID_MAX];
};
_Static_assert(offsetof(struct store_event, what) == 24, "layout");
_Static_assert(offsetof(struct store_event, id) == 64, "layout");
_Static_assert(sizeof(struct store_event) == 256, "layout");

/* ---- the socket: greeting, and descriptors ---- */

enum store_message_kind {
	STORE_HELLO = 1, /* client: `count` lines of leases are wanted */
	STORE_WELCOME, /* server: with the descriptors below; session `count`, `size` bytes of ring, `length` of directory */
	STORE_ASK_ARENA,  /* client: a descriptor of `arena`, of that generation */
	STORE_ARENA,      /* server: here it is, `size` bytes; with `count` 1 it can be written */
	STORE_ASK_REPORT, /* client: `arena` is an enum store_report_kind; see there. `length` is anything */
	STORE_REPORT, /* server: `count` records of it follow; go on at `size`, 0: that was all. `arena`, `generation`, `length` as asked */
};

/* What comes with a welcome, in this order. */
enum store_passed { PASSED_DIRECTORY, PASSED_SESSION, PASSED_LEASES, PASSED_BELL, PASSED_CLIENT_BELL, PASSED_COUNT };

/* A message of the socket, both ways. A session has one question on its way at a time. */
struct store_message {
	uint8_t magic[8];
	uint64_t layout;
	uint32_t kind;
	int32_t result; /* 0, or why not: then the rest is 0 */
	uint32_t arena;
	uint32_t count;
	uint64_t generation;
	uint64_t size;
	uint64_t length;
	uint64_t space; /* REPORT: of which space of process numbers those are that follow; 0: not known */
};
_Static_assert(offsetof(struct store_message, kind) == 16, "layout");
_Static_assert(offsetof(struct store_message, generation) == 32, "layout");
_Static_assert(offsetof(struct store_message, space) == 56, "layout");
_Static_assert(sizeof(struct store_message) == 64, "layout");

/*
 * What a server tells of itself and its clients beside what stands in the directory. It is told in pieces, each for itself: what an answer says is so when it is
 * sent, and nothing is kept for who asks.
 */
enum store_report_kind {
	/* Those who have the entry `count`, whose state is `generation` as it was found, or made it; `count` 0: all. From session `size` on */
	STORE_REPORT_CLIENTS = 1,
	STORE_REPORT_FIGURES, /* enum store_figure */
};

struct store_client_record {
	uint64_t key;     /* of its session */
	uint64_t charged; /* bytes */
	uint32_t process;
	uint32_t user;
	uint32_t leases;
	uint32_t drafts;
	uint32_t regions;
	uint32_t waits;
	uint32_t flags; /* STOA_CLIENT_* */
	uint32_t unused_44;
	uint8_t pad_48[16];
};
_Static_assert(offsetof(struct store_client_record, process) == 16, "layout");
_Static_assert(offsetof(struct store_client_record, flags) == 40, "layout");
_Static_assert(sizeof(struct store_client_record) == 64, "layout");
#define STORE_REPORT_RECORDS 63u

enum store_figure {
	FIGURE_OBJECTS,
	FIGURE_BYTES,
	FIGURE_LIMIT,
	FIGURE_CLIENTS,
	FIGURE_PUTS,
	FIGURE_DELETES,
	FIGURE_EVICTIONS,
	FIGURE_REFUSALS,
	FIGURE_SERVERS,
	FIGURE_OBJECTS_LIMIT,
	FIGURE_CLIENTS_LIMIT,
	FIGURE_CONNECTIONS, /* ever */
	FIGURE_DRAFTS,
	FIGURE_ALLOCATIONS, /* that go with their makers */
	FIGURE_WAITS,
	FIGURE_DYING,
	FIGURE_ARENAS,
	FIGURE_WARM, /* bytes that are committed and hold nothing */
	FIGURE_LOST,
	FIGURE_HELD,    /* 1: all outlives the server */
	FIGURE_STARTED, /* nanoseconds since 1970 */
	FIGURE_SLEEPS,
	FIGURE_REPORTS,
	FIGURE_SPILLED, /* objects that are in files; then bytes of files, and their limit */
	FIGURE_SPILLED_BYTES,
	FIGURE_SPILL_LIMIT,
	FIGURE_SPILLS,
	FIGURE_RESTORES,
	FIGURE_SPILL_FAILURES,
	FIGURE_SPILL_LOSSES,
	FIGURE_REQUESTS = 64, /* + enum store_op */
	FIGURE_COUNT = 96,
};

struct store_report {
	struct store_message head;
	union {
		struct store_client_record clients[STORE_REPORT_RECORDS];
		uint64_t figures[FIGURE_COUNT];
	};
};
_Static_assert(sizeof(struct store_report) == 4096, "layout");

#endif
