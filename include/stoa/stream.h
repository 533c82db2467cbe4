/* SPDX-License-Identifier: MIT */
/*
 * Streams: endless bytes from one writer to one reader, in order, through a ring that both see. Who is faster waits for the other. No
 * system call is made while nobody sleeps.
 *
 * A stream is used once: it has one writer and one reader in its life, which join in any order. The reader gets every byte
 * that was written, and then how the stream ended: STOA_CLOSED only if its writer said so with stoa_stream_finish(); the writer's
 * error if it failed; ETRUNCATED if it left or died without either. So nobody takes a part for the whole. A reader that fails, leaves or
 * dies is told to the writer at its next write: its error, or ECLOSED. How it ended stays: later calls give the same.
 *
 * An end is used by one thread at a time, and belongs to the thread that joined: see stoa/channel.h, also for
 * forked children and watches. What is used up by its ends is not reused: create another, or place it again.
 */
#ifndef STOA_STREAM_H
#define STOA_STREAM_H

#include <stdint.h>
#include <stoa/channel.h>
#include <stoa/error.h>
#include <stoa/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_stream; /* a handle, of this process only; so are the ends */
struct stoa_writer;
struct stoa_reader;

struct stoa_stream_options {    /* all zero is the default */
	uint64_t ring;          /* bytes that may be on their way: a power of two from 4 KiB to 1 GiB; 0 is 256 KiB */
	uint32_t segment_flags; /* by name: STOA_PERSISTENT, STOA_GLOBAL */
	uint32_t flags;         /* 0 */
};

/*
 * A stream by name, or unnamed (NULL) for threads and forked children of this process, and for whom it is handed to (stoa/grant.h); or in a
 * segment of yours, in as many bytes as size() tells. All as for channels, see there; the name or place of a channel of messages: EKIND.
 */
STOA_API int stoa_stream_create(const char *name, const struct stoa_stream_options *options,
				struct stoa_stream **ret_stream);
STOA_API int stoa_stream_open(const char *name, uint32_t segment_flags, struct stoa_stream **ret_stream);
STOA_API int stoa_stream_create_or_open(const char *name, const struct stoa_stream_options *options,
					struct stoa_stream **ret_stream);
STOA_API int stoa_stream_size(const struct stoa_stream_options *options, uint64_t *ret_size);
STOA_API int stoa_stream_place(struct stoa_segment *segment, uint64_t offset, const struct stoa_stream_options *options,
			       struct stoa_stream **ret_stream);
STOA_API int stoa_stream_attach(struct stoa_segment *segment, uint64_t offset, struct stoa_stream **ret_stream);

/* Its ends of this process must have left. NULL is allowed. */
STOA_API void stoa_stream_close(struct stoa_stream *stream);

struct stoa_writer_options { /* all zero is the default; NULL too */
	uint32_t waiting;    /* STOA_BALANCED, STOA_SPIN, STOA_SLEEP */
	uint32_t flags;      /* 0 */
};
struct stoa_reader_options {
	uint32_t waiting;
	uint32_t flags;
};

/*
 * Become the writer, or the reader. ELIMIT: somebody alive is (or the roster is full). ECLOSED: the stream has had it, even if that died.
 * ERIGHTS: this handle was opened, or handed over, without that right. leave() frees the end; NULL is allowed. EINVAL, ENOMEM, ENOTSUP
 * (the system proves no lives).
 */
STOA_API int stoa_writer_join(struct stoa_stream *stream, const struct stoa_writer_options *options,
			      struct stoa_writer **ret_writer);
STOA_API void stoa_writer_leave(struct stoa_writer *writer);
STOA_API int stoa_reader_join(struct stoa_stream *stream, const struct stoa_reader_options *options,
			      struct stoa_reader **ret_reader);
STOA_API void stoa_reader_leave(struct stoa_reader *reader);

/*
 * Write all `length` bytes, waiting for room until `deadline` (STOA_TRY, STOA_FOREVER, stoa_deadline_in()). 0: all were written.
 * STOA_TIMED_OUT: the first *ret_done of them, perhaps none; they are in the stream for good, go on with the rest. An
 * error: ECLOSED or the reader's own (it is gone), EINVAL (also after the end was told), EFORMAT (the memory was overwritten). *ret_done is
 * set unless an error came before the first byte; it may be NULL. The reader sees the bytes from when they were written, not
 * from the return.
 */
STOA_API int stoa_stream_write(struct stoa_writer *writer, const void *bytes, uint64_t length, uint64_t deadline,
			       uint64_t *ret_done);

/*
 * In place. reserve: *ret_room bytes, at least one and at most `most`, to be written at *ret_bytes; fewer where the ring is fuller, or ends.
 * Waits as write does while there is none. commit: the first `length` of them, which may be fewer, or 0, are written. What is
 * not committed was not reserved; so is what was reserved before a write or another reserve. EINVAL: more than was reserved.
 */
STOA_API int stoa_stream_reserve(struct stoa_writer *writer, uint64_t most, uint64_t deadline, void **ret_bytes,
				 uint64_t *ret_room);
STOA_API int stoa_stream_commit(struct stoa_writer *writer, uint64_t length);

/*
 * The end. finish: all is written. fail: something went wrong; `error` is a negative number, -STOA_E* or one of your own, that the
 * reader gets after the bytes before it. The first of them counts: EINVAL after the other. Neither waits.
 * flush: wait until the reader has read or consumed all that was written so far: 0, STOA_TIMED_OUT; errors as write.
 */
STOA_API int stoa_stream_finish(struct stoa_writer *writer);
STOA_API int stoa_writer_fail(struct stoa_writer *writer, int error);
STOA_API int stoa_stream_flush(struct stoa_writer *writer, uint64_t deadline);

/*
 * Read what is there, at least one byte and at most `room`, waiting for it until `deadline`; and about a microsecond more for what a writer of
 * small pieces is just writing, but with STOA_TRY or STOA_SLEEP. 0: *ret_got bytes. Without bytes, and
 * *ret_got 0: STOA_TIMED_OUT; STOA_CLOSED: the end, all was read. Errors: the writer's own, ETRUNCATED, EINVAL (also after
 * fail()), EFORMAT.
 */
STOA_API int stoa_stream_read(struct stoa_reader *reader, void *buffer, uint64_t room, uint64_t deadline,
			      uint64_t *ret_got);

/*
 * In place. peek: all bytes that lie there in one piece, at least one, at *ret_bytes; results as read. They stay as they are until consume(),
 * which is done with the first `length` of them, perhaps 0; what is not consumed is read or peeked again. EINVAL: more than was peeked.
 */
STOA_API int stoa_stream_peek(struct stoa_reader *reader, uint64_t deadline, const void **ret_bytes,
			      uint64_t *ret_length);
STOA_API int stoa_stream_consume(struct stoa_reader *reader, uint64_t length);

/* The reader wants no more: the writer's calls fail with `error`, negative as above, from now on. */
STOA_API int stoa_reader_fail(struct stoa_reader *reader, int error);

#ifdef __cplusplus
}
#endif
#endif
