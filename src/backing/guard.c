/* SPDX-License-Identifier: MIT */
/*
 * A crash-safe file: each write goes into a log, durable, before it goes in place, so that no block is ever left half written. log.h has
 * the layout and what a crash leaves. Uses base and os.
 *
 * One log serves all processes: entries of one order, as what is replayed after a crash has to end with the latest. A lock (WORK) is held
 * for each write, and with it in the kernel's hands a death is noticed by whoever takes it next: the board tells what was half done. Logs of
 * each process alone would let writes of several wait for the disk at once, but a log that holds an old copy of a block must be known to be over
 * before another one's newer copy is forgotten, and that knowledge itself would have to be durable.
 *
 * USE is held, shared, by each handle for its life. Who can take it alone is the first: whatever happened, the machine may have crashed, so
 * all that is in the log is replayed. Who comes later finds everything in order but for what `flying` tells.
 */
#include <backing/guard.h>

#include <base/atomic.h>
#include <base/error.h>
#include <base/mutant.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BYTE_USE 0
#define BYTE_WORK 1
#define TRIES 1000 /* others make and remove the log meanwhile */

struct guard {
	struct log log;
	struct os_lock lock;    /* WORK is the handle's, so threads need one, too */
	_Atomic uint32_t owner; /* the thread that has it */
	_Atomic bool failed;    /* as the board says; here, too, should that not have been written */
	uint64_t forks;         /* os_fork_generation() of its process */
	char path[OS_PATH_ROOM];
};

static int lock_log(const struct guard *guard, unsigned byte, enum os_lock_kind kind, bool wait)
{
	return guard->log.disk->lock(guard->log.disk, guard->log.log, byte, kind, wait);
}

static bool is_ours(struct guard *guard)
{
	return load_rlx(&guard->owner) == os_thread_id();
}

/* ---- the lock, and what comes with it ---- */

static void leave(struct guard *guard)
{
	(void)lock_log(guard, BYTE_WORK, OS_LOCK_NONE, false);
	store_rlx(&guard->owner, 0);
	os_unlock(&guard->lock);
}

/* Who had the lock before died between going in place and saying so, or could not go there. */
static int settle(struct guard *guard, struct log_board *board)
{
	uint64_t taken;
	int rc = log_apply(&guard->log, board->flying, board->sequence, LOG_TO_DATA, &taken);

	if (rc == 0 && !taken)
		return error_set(-STOA_EFORMAT, "the log is damaged: it lacks what was being written");
	if (rc < 0)
		return rc;
	board->flying = 0;
	return log_write_board(&guard->log, board);
}

static int look_at_board(struct guard *guard, struct log_board *ret_board)
{
	int rc = log_read_board(&guard->log, ret_board);

	if (rc > 0)
		return error_set(-STOA_EFORMAT, "the log is damaged: nobody knows where it ends");
	if (rc == 0 && (ret_board->failed || load_rlx(&guard->failed)))
		return error_set(-STOA_EIO,
				 "the file could not be written to its disk before; the log has all: close it in all "
				 "processes and open it again");
	return rc < 0 || !ret_board->flying ? rc : settle(guard, ret_board);
}

/* Take the lock; the board is read, and nothing is half done. On failure it is not held. */
static int enter(struct guard *guard, struct log_board *ret_board)
{
	int rc;

	if (guard->forks != os_fork_generation())
		return error_set(-STOA_ENOTSUP, "a forked child must open a crash-safe file itself");
	if (is_ours(guard))
		return error_set(-STOA_EDEADLOCK,
				 "this thread was interrupted in a write to the file; its signal handler cannot write");
	os_lock(&guard->lock);
	store_rlx(&guard->owner, os_thread_id());
	rc = lock_log(guard, BYTE_WORK, OS_LOCK_EXCLUSIVE, true);
	if (rc == 0)
		rc = look_at_board(guard, ret_board);
	if (rc < 0)
		leave(guard);
	return rc;
}

/* All that was written becomes durable in place. */
static int sync_data(struct guard *guard, struct log_board *board)
{
	const struct disk *disk = guard->log.disk;
	int rc = board->synced == board->sequence ? 0 : disk->sync(disk, guard->log.data);

	/* The system tells only once, and forgets what it could not write: what the log has is all that is left. */
	if (rc < 0) {
		board->failed = 1;
		store_rlx(&guard->failed, true);
	} else {
		board->synced = board->sequence;
	}
	return rc;
}

/* ---- writing ---- */

/* Go on in the other half, whose entries are durably over since this one was begun. */
static int turn(struct guard *guard, struct log_board *board)
{
	uint64_t half = guard->log.header.half;
	int rc = MUTANT(LOG_REUSED) ? 0 : sync_data(guard, board), wrote;

	/* Once the header says so nothing may be added to this half; so first the board. */
	if (rc == 0) {
		board->tail = board->end > LOG_START + half ? LOG_START : board->end;
		board->end = board->tail + half;
		board->retiring = board->sequence;
	}
	wrote = log_write_board(&guard->log, board);
	return rc < 0 ? rc : wrote;
}

/* Into the log, durable; then in place. The lock is held. */
static int write_entry(struct guard *guard, struct log_board *board, uint64_t offset, uint64_t length,
		       const void *bytes)
{
	const struct disk *disk = guard->log.disk;
	int rc = board->end - board->tail < log_taken(length) ? turn(guard, board) : 0;

	if (rc == 0 && board->retiring)
		rc = log_write_header(&guard->log, board->retiring);
	if (rc == 0)
		rc = log_append(&guard->log, board, offset, length, bytes);
	if (rc == 0 && !MUTANT(LOG_UNSYNCED))
		rc = disk->sync(disk, guard->log.log);
	/* From here on it counts: whoever finds it unfinished finishes it. */
	board->retiring = 0;
	if (rc == 0)
		rc = log_write_board(&guard->log, board);
	if (rc == 0)
		rc = disk->write(disk, guard->log.data, offset, bytes, (size_t)length);
	if (rc < 0)
		return rc;
	board->flying = 0;
	return log_write_board(&guard->log, board);
}

/* How much of `left` bytes at `offset` one entry takes. What is more than half a log is cut where no block can be, as these lie at multiples. */
static uint64_t piece_of(const struct guard *guard, uint64_t offset, uint64_t left)
{
	uint64_t most = guard->log.header.half - DISK_SECTOR, multiple = DISK_SECTOR;

	while (multiple <= most / 2)
		multiple *= 2;
	return left <= most ? left : (offset + most) / multiple * multiple - offset;
}

static int guard_write(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	struct guard *guard = context;
	uint64_t inside = backing_inside(guard->log.size, offset, length);
	struct log_board board;
	/* What this process's limit does not let it put in place must not be in the log: all its later writes would have to finish that first. */
	int rc = inside ? os_length_allowed(offset + inside) : 0;

	for (uint64_t done = 0; rc == 0 && done < inside;) {
		uint64_t piece = piece_of(guard, offset + done, inside - done);

		rc = enter(guard, &board);
		if (rc < 0)
			return rc;
		rc = write_entry(guard, &board, offset + done, piece, (const char *)bytes + done);
		leave(guard);
		done += piece;
	}
	return rc;
}

/* It is durable in the log; after this it is so in the file, too, for who has the file alone. */
static int guard_flush(void *context)
{
	struct guard *guard = context;
	struct log_board board;
	int rc = enter(guard, &board), wrote;

	if (rc < 0)
		return rc;
	rc = sync_data(guard, &board);
	wrote = log_write_board(&guard->log, &board);
	leave(guard);
	return rc < 0 ? rc : wrote;
}

/* ---- reading ---- */

/* Is any of it being written? Only somebody who died can be about it, as ranges of the living do not overlap. */
static bool is_half_done(const struct guard *guard, uint64_t offset, uint64_t length)
{
	struct log_board board;
	int rc = 1;

	/* It may be in the middle of being written, not for long. */
	for (unsigned tries = 0; tries < TRIES && rc > 0; tries++)
		rc = log_read_board(&guard->log, &board);
	return rc != 0 || (board.flying && board.offset < offset + length && offset < board.offset + board.length);
}

static int guard_fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct guard *guard = context;
	size_t inside = backing_inside(guard->log.size, offset, length);
	struct log_board board;
	int rc = 0;

	if (inside && is_half_done(guard, offset, inside) && !is_ours(guard)) {
		rc = enter(guard, &board);
		if (rc == 0)
			leave(guard);
	}
	if (rc == 0)
		rc = disk_read(guard->log.disk, guard->log.data, offset, bytes, inside);
	if (rc == 0)
		memset((char *)bytes + inside, 0, (size_t)length - inside);
	return rc;
}

static int guard_size(void *context, uint64_t *ret_size)
{
	const struct guard *guard = context;

	*ret_size = guard->log.size;
	return 0;
}

/* ---- opening ---- */

/* What is replayed must not be lost in the middle of that, so first it is made durable, whatever became of it before. */
static int replay(struct guard *guard, uint64_t *ret_last)
{
	const struct disk *disk = guard->log.disk;
	struct log *log = &guard->log;
	int rc = log_write_header(log, log->header.retired);

	if (rc == 0)
		rc = log_replay(log, LOG_TO_LOG, ret_last);
	if (rc == 0)
		rc = disk->sync(disk, log->log);
	if (rc == 0)
		rc = log_replay(log, LOG_TO_DATA, ret_last);
	if (rc == 0 && !MUTANT(LOG_ENDED_EARLY))
		rc = disk->sync(disk, log->data);
	if (rc == 0)
		rc = log_write_header(log, *ret_last);
	return rc < 0 ? rc : disk->sync(disk, log->log);
}

/* Nobody else has it: bring everything in order, and begin an empty log. WORK and USE are held. */
static int recover(struct guard *guard, uint64_t half)
{
	struct log *log = &guard->log;
	struct log_board board = {.synced = 0};
	int rc = log_read_header(log);

	if (rc == STOA_EXISTED) {
		rc = replay(guard, &board.sequence);
	} else if (rc == 0) {
		rc = log_format(log, half);
		if (rc == 0)
			rc = log->disk->sync_name(log->disk, guard->path);
	}
	if (rc < 0)
		return rc;
	board.salt = log->header.salt;
	board.synced = board.sequence;
	board.tail = LOG_START;
	board.end = LOG_START + log->header.half;
	return log_write_board(log, &board);
}

/* Open the log that has the path, and hold WORK. */
static int open_log(struct guard *guard, bool create)
{
	const struct disk *disk = guard->log.disk;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		int rc = disk->open(disk, guard->path, create, &guard->log.log);

		if (rc < 0)
			return rc;
		rc = lock_log(guard, BYTE_WORK, OS_LOCK_EXCLUSIVE, true);
		if (rc == 0 && disk->is_at(disk, guard->log.log, guard->path))
			return 0;
		/* Its last user has just removed it. */
		disk->close(disk, guard->log.log);
		guard->log.log = OS_NO_HANDLE;
		if (rc < 0)
			return rc;
		os_yield();
	}
	return error_set(-STOA_EBUSY, "'%s' is made and removed all the time", guard->path);
}

/* Become a user, the first or a further one. WORK is held. */
static int join(struct guard *guard, uint64_t half)
{
	int rc = lock_log(guard, BYTE_USE, OS_LOCK_EXCLUSIVE, false);

	if (rc == 0) {
		rc = recover(guard, half);
		(void)lock_log(guard, BYTE_USE, OS_LOCK_NONE, false);
	} else if (rc == -STOA_EBUSY) {
		rc = log_read_header(&guard->log);
		if (rc == 0)
			rc = error_set(-STOA_EFORMAT, "the log is damaged: it is used and has no header");
	}
	return rc < 0 ? rc : lock_log(guard, BYTE_USE, OS_LOCK_SHARED, false);
}

/* ---- closing ---- */

/* The log is over: all is in place, durable, and the log says so, should its removal be undone by a crash. */
static int end_log(struct guard *guard, struct log_board *board)
{
	const struct disk *disk = guard->log.disk;
	int rc = sync_data(guard, board);

	if (rc < 0) {
		(void)log_write_board(&guard->log, board);
		return rc;
	}
	rc = log_write_header(&guard->log, board->sequence);
	if (rc == 0)
		rc = disk->sync(disk, guard->log.log);
	return rc < 0 ? rc : disk->remove(disk, guard->log.log, guard->path);
}

/* Whoever is the last removes the log, if nothing fails; else the next opener finds it. */
static void guard_close(void *context)
{
	struct guard *guard = context;
	const struct disk *disk = guard->log.disk;
	struct log_board board;

	if (enter(guard, &board) == 0) {
		(void)lock_log(guard, BYTE_USE, OS_LOCK_NONE, false);
		if (lock_log(guard, BYTE_USE, OS_LOCK_EXCLUSIVE, false) == 0)
			(void)end_log(guard, &board);
		leave(guard);
	}
	disk->close(disk, guard->log.log);
	disk->close(disk, guard->log.data);
	os_free(guard->log.buffer);
	os_free(guard);
}

/* On failure the data is still the caller's. */
static int start(struct guard *guard, uint64_t half)
{
	const struct disk *disk = guard->log.disk;
	int rc = disk->length(disk, guard->log.data, &guard->log.size);

	if (rc == 0)
		rc = open_log(guard, true);
	if (rc == 0)
		rc = join(guard, half);
	if (guard->log.log == OS_NO_HANDLE)
		return rc;
	if (rc == 0)
		(void)lock_log(guard, BYTE_WORK, OS_LOCK_NONE, false);
	else
		disk->close(disk, guard->log.log);
	return rc;
}

int guard_attach(const struct disk *disk, os_handle data, const char *path, uint32_t flags, uint64_t half,
		 struct stoa_backing **ret_backing)
{
	static const struct stoa_backing_calls reads = {.fill = guard_fill, .size = guard_size, .close = guard_close};
	static const struct stoa_backing_calls writes = {.fill = guard_fill,
							 .write = guard_write,
							 .flush = guard_flush,
							 .size = guard_size,
							 .close = guard_close};
	struct stoa_backing *backing = NULL;
	struct guard *guard = os_allocate(sizeof(*guard));
	int rc = -STOA_ENOMEM;

	if (!guard)
		return rc;
	guard->log = (struct log){.disk = disk, .log = OS_NO_HANDLE, .data = data, .buffer = os_allocate(LOG_BUFFER)};
	guard->forks = os_fork_generation();
	snprintf(guard->path, sizeof(guard->path), "%s", path);
	if (guard->log.buffer)
		rc = stoa_backing_create(flags & STOA_BACKING_READ_ONLY ? &reads : &writes, guard, &backing);
	if (rc == 0)
		rc = start(guard, half);
	if (rc == 0) {
		*ret_backing = backing;
		return 0;
	}
	os_free(backing);
	os_free(guard->log.buffer);
	os_free(guard);
	return rc;
}
