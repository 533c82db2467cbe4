/* SPDX-License-Identifier: MIT */
/*
 * Object store: bytes under an id that one process puts and others get, in place. A server holds them (stoad, or threads of this program)
 * in memory that clients see. A get asks nobody and copies nothing: it takes tens of nanoseconds, and works while the server is stopped or
 * dead. Linux only.
 *
 * An object is made, written, sealed, and from then on does not change. How sure that is depends on its kind:
 *   STOA_OBJECT_COPIED   the server's copy: nobody but the server can write it (up to 64 KiB)
 *   STOA_OBJECT_PRIVATE  written in place, in memory that its maker can write, and nobody else
 *   STOA_OBJECT_SEALED   written in place; once it is sealed the kernel lets nobody write it, its maker and the server included
 * The kernel enforces this between users: clients of the server's own user could turn a read-only descriptor into another, as they
 * could debug the server. For SEALED it holds against everybody.
 *
 * Who may read an object is enforced by the kernel, too, as it decides who gets a descriptor; ids, sizes and owners of objects are seen by all
 * clients of a server.
 *
 * Threads: all functions may be called by any number of threads at once, but close. A forked child must not use its parent's handle
 * (ECLOSED), and opens its own; what the parent holds it can read as long as the parent holds it. Not for signal handlers.
 *
 * Room: where memory is full the server may write objects that nobody holds to files (stoa_server_options.spill_folder), the least recently used first.
 * They stay what they were: listed, to be deleted and replaced, with their rights, and counted in their maker's and user's limits. A get has one
 * brought back, as memory that the server alone can write (COPIED), but SEALED ones as SEALED. Pins: who holds an object, and STOA_OBJECT_PINNED, keep it in
 * memory whatever happens (hard); that it was used lately makes the server prefer others (soft). Who needs room waits until others have gone, with a
 * deadline of 0 too, as long as for a server.
 * Memory: an object that was deleted counts as long as anybody has it mapped, released or not. The pages of a SEALED object are made, and charged to a memory
 * group, by its maker.
 *
 * Death: what a client held comes back; what it had not sealed is gone; what it had sealed stays. When a server dies, gets go on; other
 * calls wait for its successor until their deadline.
 *
 * Errors: beside those named, whatever asks the server may give ECLOSED (it has ended and closed the connection: open another), EBUSY (it does not
 * answer, or cannot do that now) and EFORMAT (it does not say what it must). A handle goes on after all but ECLOSED.
 */
#ifndef STOA_STORE_H
#define STOA_STORE_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/keeper.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_store; /* a connection, of this process only */

#define STOA_ID_MAX 192                     /* bytes of an id: any bytes; names are ids. At most 32 is quickest */
#define STOA_META_MAX 512                   /* bytes of metadata */
#define STOA_OBJECT_MAX (UINT64_C(1) << 40) /* bytes of an object */

#define STOA_LEASES_MAX 65536
struct stoa_store_options { /* all zero is the default */
	uint32_t flags;     /* 0 */
	uint32_t leases;    /* objects that this process holds at a time, at most; 0 is 4096 */
};

/*
 * Connect. `where` is the path of a server's socket, "embedded:" or "embedded:SIZE" (e.g. "embedded:1GiB") for a server in threads of this
 * program, or NULL for the environment's STOA_STORE, else the default socket (stoad(8)). All embedded handles of a
 * program share one server, which ends with the last of them. Waits for nobody: ENOENT when no server listens there. EACCES, EVERSION, EFORMAT.
 */
STOA_API int stoa_store_open(const char *where, const struct stoa_store_options *options,
			     struct stoa_store **ret_store);

/*
 * The path of the default socket, with a 0 behind it, to a buffer of `room` bytes: STOA_STORE of the environment if that is a path, else
 * stoad.socket in /run (root) or in XDG_RUNTIME_DIR. ENOENT: neither is set; ERANGE: no room.
 */
STOA_API int stoa_store_path(char *ret_path, uint64_t room);

/* What it holds is released, what it has not sealed is dropped. NULL is allowed. */
STOA_API void stoa_store_close(struct stoa_store *store);

/* An object held: its bytes stay as and where they are until it is released. */
struct stoa_object {
	const void *data;
	uint64_t size;
	const void *meta;
	uint32_t meta_length;
	uint32_t reserved;
	uint64_t hold[4]; /* the library's */
};

/*
 * Hold the object `id`. If there is none, wait for one until `deadline` (stoa_now() based; 0 does not wait, UINT64_MAX does so
 * for ever). ENOENT (deadline 0), STOA_TIMED_OUT, EACCES (its owner does not let this user read it), ELIMIT (too many are held).
 *
 * One that is in a file is brought back until then. With deadline 0 that is begun and not waited for: STOA_TIMED_OUT, and a later get finds it. EFORMAT: its file
 * was damaged or gone; so is the object now. EIO, ENOMEM (no room for it), ELIMIT: it could not be read now; it is still there.
 */
STOA_API int stoa_store_get(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t deadline,
			    struct stoa_object *ret_object);
STOA_API void stoa_object_release(struct stoa_store *store, struct stoa_object *object);

/*
 * Hold several in one go. Waits until all are there, or until `deadline`: for all of them at once, and each is held as soon as it comes (but where very
 * many are missing, some are looked for only when others have come). results: of each as get gives it; what has 0 is held, each to be released by itself,
 * an id that is given twice also twice. Returns the first that is not 0: the others are held all the same.
 *
 * STOA_GET_ALL: all of them, or none. Unless it returns 0 nothing is held, and `result` 0 only says that this one was there.
 */
#define STOA_GET_ALL (1u << 0)
struct stoa_get {
	const void *id;
	uint32_t id_length;
	int32_t result;
	struct stoa_object object;
};
STOA_API int stoa_store_get_many(struct stoa_store *store, struct stoa_get *gets, uint32_t count, uint32_t flags,
				 uint64_t deadline);

/* 1: there is such an object, sealed, in memory or in a file; 0: not. */
STOA_API int stoa_store_contains(struct stoa_store *store, const void *id, uint32_t id_length);

/* stoa_object_options.kind */
#define STOA_OBJECT_AUTO 0 /* COPIED up to 4 KiB in put, else PRIVATE */
#define STOA_OBJECT_COPIED 1
#define STOA_OBJECT_PRIVATE 2
#define STOA_OBJECT_SEALED 3

/* stoa_object_options.access: who may read it beside its owner */
#define STOA_ACCESS_OWNER 0
#define STOA_ACCESS_USER 1  /* the user `reader` */
#define STOA_ACCESS_GROUP 2 /* the group `reader` */
#define STOA_ACCESS_ALL 3   /* all users of the server */

/* stoa_object_options.flags */
#define STOA_OBJECT_REPLACE (1u << 0)       /* instead of what has the id; who holds that keeps it */
#define STOA_OBJECT_PINNED (1u << 1)        /* is not evicted, nor spilled */
#define STOA_OBJECT_SHARED_DELETE (1u << 2) /* who may read it may delete it */

#define STOA_OBJECT_FOLLOWED (1u << 3) /* create, PRIVATE, not REPLACE: others may read it while it grows */
#define STOA_OBJECT_SPILLED (1u << 12) /* only in stoa_object_info: it is in a file, and a get has it brought back */
#define STOA_OBJECT_FLAGS (STOA_OBJECT_REPLACE | STOA_OBJECT_PINNED | STOA_OBJECT_SHARED_DELETE | STOA_OBJECT_FOLLOWED)

struct stoa_object_options { /* all zero is the default */
	uint32_t kind;
	uint32_t access;
	uint32_t reader;
	uint32_t flags;
	const void *meta; /* copied */
	uint32_t meta_length;
	uint32_t reserved;
	uint64_t
		deadline; /* until when to wait for room, and for a server; 0 does not wait for room, and 10 s for a server */
};

/*
 * Make an object of `size` bytes and seal it. EEXIST, ENOMEM (no room: nothing more could be evicted), ELIMIT (quota),
 * ERANGE (more than the store may ever have), STOA_TIMED_OUT, EINVAL.
 */
STOA_API int stoa_store_put(struct stoa_store *store, const void *id, uint32_t id_length, const void *data,
			    uint64_t size, const struct stoa_object_options *options);

/* Several in one go: as many puts, but with one wait; results[i] is what each gave. Returns the first that is not 0. */
struct stoa_put {
	const void *id;
	const void *data;
	uint64_t size;
	uint32_t id_length;
	int32_t result;
};
STOA_API int stoa_store_put_many(struct stoa_store *store, struct stoa_put *puts, uint32_t count,
				 const struct stoa_object_options *options);

/* An object being made. */
struct stoa_draft {
	void *data; /* `room` bytes, to be written; what was there before is unspecified */
	uint64_t room;
	void *tail; /* this and what follows are the library's */
	uint64_t hold[4];
};

/* Room for an object of up to `room` bytes, to be written in place. Errors as put. seal: `size` bytes of it; aborts where it fails with EEXIST or EACCES; after other errors it can be tried again. */
STOA_API int stoa_store_create(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t room,
			       const struct stoa_object_options *options, struct stoa_draft *ret_draft);
STOA_API int stoa_draft_seal(struct stoa_store *store, struct stoa_draft *draft, uint64_t size);
STOA_API void stoa_draft_abort(struct stoa_store *store, struct stoa_draft *draft);

/*
 * An object that is read while it is made (STOA_OBJECT_FOLLOWED). advance: the first `length` bytes are written and do not change any more; who follows
 * sees them at once. One system call. ERANGE: beyond the room.
 *
 * follow: hold such an object, or one that is sealed already; `size` is what can be read. Waits for one as get does. await: until there is more than
 * object->size, which it raises: 0; STOA_CLOSED: it is sealed, and object->size is all; ETRUNCATED: its maker has given it up, or died; STOA_TIMED_OUT.
 */
STOA_API int stoa_draft_advance(struct stoa_store *store, struct stoa_draft *draft, uint64_t length);
STOA_API int stoa_store_follow(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t deadline,
			       struct stoa_object *ret_object);
STOA_API int stoa_object_await(struct stoa_store *store, struct stoa_object *object, uint64_t deadline);

/* Keep an object from being evicted and spilled, or no longer; one that is in a file stays there until it is got. Who may delete it may do so. ENOENT, EACCES. */
STOA_API int stoa_store_pin(struct stoa_store *store, const void *id, uint32_t id_length);
STOA_API int stoa_store_unpin(struct stoa_store *store, const void *id, uint32_t id_length);

/* The id is free at once; the bytes live until all who hold the object have released it. ENOENT, EACCES. */
STOA_API int stoa_store_delete(struct stoa_store *store, const void *id, uint32_t id_length);

/* Call `visit` for each object there is, in no order, until it returns non-zero; that is then the result. Asks nobody. */
struct stoa_object_info {
	const void *id;
	uint64_t size;
	uint64_t made; /* nanoseconds since 1970 */
	uint32_t id_length;
	uint32_t meta_length;
	uint32_t kind;
	uint32_t owner;
	uint32_t access;
	uint32_t reader;
	uint32_t flags;
	uint32_t reserved;
};
STOA_API int stoa_store_list(struct stoa_store *store,
			     int (*visit)(const struct stoa_object_info *info, void *argument), void *argument);

struct stoa_store_stat {
	uint64_t objects;
	uint64_t committed; /* bytes of memory, everything included */
	uint64_t limit;     /* of them */
	uint64_t clients;
	uint64_t puts;
	uint64_t deletes;
	uint64_t evictions;
	uint64_t refusals;       /* for want of room */
	uint64_t servers;        /* so far */
	uint64_t spilled;        /* of the objects: in files */
	uint64_t spilled_bytes;  /* of files */
	uint64_t spill_limit;    /* of them; 0: nothing is spilled */
	uint64_t spills;         /* so far */
	uint64_t restores;       /* so far */
	uint64_t spill_failures; /* of both, so far; such an object stays where it is */
	uint64_t spill_losses;   /* objects that are gone, as their files were gone or damaged */
};
STOA_API int stoa_store_stat(struct stoa_store *store, struct stoa_store_stat *ret_stat);

#ifdef __cplusplus
}
#endif

#include <stoa/store_server.h>
#endif
