/* SPDX-License-Identifier: MIT */
/*
 * The log of a crash-safe file: what is to be written goes there first. Layout of PATH.stoa-log, and reading it. Uses base and os.
 *
 *      0       4096      8192     12288            12288 + half         12288 + 2 half
 *      +---------+---------+---------+-----------------+-----------------+
 *      | header  | header  | board   | entry | entry | | entry |         |
 *      +---------+---------+---------+-----------------+-----------------+
 *        two copies, the      of the    first half        second half
 *        later one counts     living
 *
 *   header (512)  0 magic "STOALOG\n"  8 layout  16 salt  24 half  32 retired  40 version  48 0  56 check
 *   entry         0 magic "STOAENT\n"  8 salt  16 sequence  24 offset  32 length  40 content  48 0  56 check; the bytes at 512,
 *                 and the next entry at the following multiple of 512
 *   board (88)    0 salt  8 sequence  16 tail  24 end  32 flying  40 offset  48 length  56 synced  64 retiring  72 failed  80 check
 *
 * All numbers have 64 bits, little-endian. check: hash_words() of what is before it, content: of the bytes; both begun with the salt, which is
 * random, so that neither bytes of a user nor an older log are ever taken for an entry.
 *
 * Who writes: only the holder of the lock WORK. *sequence* counts entries, one after the other through both halves. Entries up to *retired* are
 * over: what they hold is durable in place. In one half entries follow each other without a gap; when one does not fit, the other half
 * begins anew, with a header that retires this half. So one sync() makes both durable, and no entry is overwritten before the header that
 * retires it is durable: that one was, an entire half ago. (Otherwise a crash could leave a part of them, from the first on, and old bytes be
 * replayed without the newer ones.) `retiring` stays until that sync has succeeded.
 *
 * What a crash of the machine leaves, after each store of a write:
 *   entry, not synced            it is incomplete: recovery does not go on from there; or whole: it is replayed. In place all is old
 *   header, not synced           the older copy counts, and retires less: more is replayed, in order, up to the same end
 *   entry synced, not in place   replayed
 *   in place, part or all        replayed: each block is new then
 *   board                        means nothing after a crash: it speaks of the processes that live
 * Recovery replays all entries after *retired* in their order, syncs the file, then retires them. Until that is durable the log is as
 * it was, so a crash of recovery repeats it. Before it all that it will replay is written to the log once more, and synced: a sync that failed
 * has the system take for clean what never reached the disk.
 *
 * What a death leaves, the machine going on: `flying` in the board tells of an entry whose bytes may be half in place. Whoever takes
 * WORK next, or wants to read such bytes, writes them again.
 */
#ifndef BACKING_LOG_H
#define BACKING_LOG_H

#include <backing/disk.h>
#include <stddef.h>

#define LOG_LAYOUT "log 1: header 4096 4096 board 4096 halves; entry 512 + bytes"
#define LOG_BOARD 8192u
#define LOG_START 12288u
#define LOG_HALF (UINT64_C(32) << 20)
#define LOG_HALF_MIN (UINT64_C(4) << 10)
#define LOG_HALF_MAX (UINT64_C(1) << 40)

struct log_header {
	uint8_t magic[8];
	uint64_t layout, salt, half, retired, version, zero, check;
};
_Static_assert(sizeof(struct log_header) == 64, "the table above");
_Static_assert(offsetof(struct log_header, salt) == 16 && offsetof(struct log_header, retired) == 32 &&
		       offsetof(struct log_header, check) == 56,
	       "the table above");

struct log_entry {
	uint8_t magic[8];
	uint64_t salt, sequence, offset, length, content, zero, check;
};
_Static_assert(sizeof(struct log_entry) == 64, "the table above");
_Static_assert(offsetof(struct log_entry, sequence) == 16 && offsetof(struct log_entry, content) == 40 &&
		       offsetof(struct log_entry, check) == 56,
	       "the table above");

struct log_board {
	uint64_t salt;
	uint64_t sequence;       /* of the last entry */
	uint64_t tail, end;      /* where the next goes, and where its half ends */
	uint64_t flying;         /* where the entry lies whose bytes are being written in place; 0: none */
	uint64_t offset, length; /* of these bytes */
	uint64_t synced;         /* what entries up to this hold is durable in place */
	uint64_t retiring; /* the header is to say that these are over, with the next sync; 0: it is durable as it is */
	uint64_t
		failed; /* the file could not be synced: nobody knows what of it is durable, so nothing is retired any more */
	uint64_t check;
};
_Static_assert(sizeof(struct log_board) == 88 && offsetof(struct log_board, check) == 80, "the table above");

/* One handle's view of a log. The holder of WORK may use all of it. */
struct log {
	const struct disk *disk;
	os_handle log, data;
	uint64_t size;            /* of the data */
	struct log_header header; /* as this process read or wrote it last */
	unsigned char *buffer;    /* LOG_BUFFER bytes, for what is read and written again */
};
#define LOG_BUFFER 65536u

/* Bytes of the log that an entry for `length` bytes takes. */
static inline uint64_t log_taken(uint64_t length)
{
	return DISK_SECTOR + (length + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
}

/*
 * Read the header: STOA_EXISTED when there is one, 0 for a log that was never completed (then it holds nothing that is needed), -STOA_EFORMAT
 * for a file that is none.
 */
int log_read_header(struct log *log);

/* Begin a log, durable; or write its header anew, with all up to `retired` over, durable with the next sync. */
int log_format(struct log *log, uint64_t half);
int log_write_header(struct log *log, uint64_t retired);

/* 0, or 1: it is being written in this moment. -STOA_EFORMAT */
int log_read_board(const struct log *log, struct log_board *ret_board);
int log_write_board(const struct log *log, struct log_board *board);

/* Write an entry at board->tail, and what follows from it into the board. Not synced. */
int log_append(const struct log *log, struct log_board *board, uint64_t offset, uint64_t length, const void *bytes);

/* Bring the bytes of the entry at `at` somewhere, if it is complete: *ret_taken is what it takes in the log. 0: it is not. */
enum log_target { LOG_TO_NOWHERE, LOG_TO_DATA, LOG_TO_LOG };
int log_apply(const struct log *log, uint64_t at, uint64_t sequence, enum log_target target, uint64_t *ret_taken);

/* Do so with all entries that are not over; nothing is synced. *ret_last is the last of all. */
int log_replay(const struct log *log, enum log_target target, uint64_t *ret_last);

#endif
