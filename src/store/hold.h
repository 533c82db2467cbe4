/* SPDX-License-Identifier: MIT */
/*
 * Between a server and its holder: messages over a local socket. The server asks, and the holder answers each request once, in order; and says
 * something before the first. It changes only together with the magic, as a holder is often older than the server that it meets.
 *
 *   request:  0 magic | 8 op | 12 count | 16 from | 24 names, 32 bytes each      and with PUT as many descriptors
 *   answer:   0 magic | 8 result | 12 count | 16 next | 24 names                 and with GET as many descriptors
 *
 *   op     asks                                          result
 *   PUT    hold these under these names                  0 when all are held, else the first that could not be
 *   DROP   let go of the one name                        0, -STOA_ENOENT
 *   GET    what is in places `from` on?                  0, up to HOLD_BATCH of them, and the place behind; none: that was all
 *   END    let go of all, and end                        0, when all is gone, the socket file too
 *   -      the first one, before anything is asked       0, and in `next` the holder's process id; or why it does not serve
 */
#ifndef STORE_HOLD_H
#define STORE_HOLD_H

#include <os/local.h>
#include <store/holder.h>

#include <stddef.h>

#define HOLD_MAGIC "STOAHLD1"
#define HOLD_BATCH OS_LOCAL_PASSED

enum hold_op { HOLD_PUT = 1, HOLD_DROP, HOLD_GET, HOLD_END };

struct hold_message {
	uint8_t magic[8];
	union {
		uint32_t op;
		int32_t result;
	};
	uint32_t count;
	uint64_t place; /* from; next */
	char names[HOLD_BATCH][STORE_HOLDER_NAME];
};
_Static_assert(offsetof(struct hold_message, op) == 8, "message");
_Static_assert(offsetof(struct hold_message, count) == 12, "message");
_Static_assert(offsetof(struct hold_message, place) == 16, "message");
_Static_assert(offsetof(struct hold_message, names) == 24, "message");
_Static_assert(sizeof(struct hold_message) == 24 + HOLD_BATCH * STORE_HOLDER_NAME, "message");

static inline size_t hold_length(uint32_t count)
{
	return offsetof(struct hold_message, names) + (size_t)count * STORE_HOLDER_NAME;
}

/* Is it one, of `length` bytes, with names that are names? 0, -STOA_EVERSION, -STOA_EFORMAT; no sentence. */
int hold_check(const struct hold_message *message, size_t length);
bool hold_is_name(const char name[STORE_HOLDER_NAME]);

/* The holder's process: the body for os_process_detach(). `argument` is a struct os_listener, whose socket and lock are handles[0] and [1]. */
void hold_run(void *argument, const os_handle *handles);

#endif
