/* SPDX-License-Identifier: MIT */
/*
 * A stream: a channel with one lane and one reader, whose ring holds bytes. Uses channel.h.
 *
 *   0            hold          tail              hold + ring
 *   +- - - - - - +-------------+- - - - - - - - -+        positions count bytes from the first on; modulo the ring's size they are places
 *    read         to be read    free                      in the ring
 *
 *   field           written by                            a crash between two stores leaves
 *   lane.tail       writer, after the bytes before it     bytes that were never written
 *   lane.ending     writer, after the last tail           no end told: ETRUNCATED, as it should be
 *   hold[0][0]      reader, after it has read             bytes that nobody reads any more: a stream has one reader
 *   reader.ending   reader                                no error told: ECLOSED
 *   lane.wants      writer, before it sleeps              as in layout.h; so are the owners, `joined`, bits and bells
 *
 * The idea: the end is told beside the ring, so that it needs no room and never waits; and whoever finds an end, or a dead peer, looks
 * once more at what the peer had written before it goes by that. Both are stored in an order (bytes, tail, ending, owner) that makes the
 * second look see all.
 *
 * If an enemy wrote it: a tail or hold that cannot be is EFORMAT, one that can be gives bytes of the ring, or waits; an ending gives its
 * error. All are read once, and compared with what this end knows by itself.
 */
#ifndef CHANNEL_STREAM_H
#define CHANNEL_STREAM_H

#include <channel/channel.h>
#include <stoa/stream.h>

struct stoa_stream {
	struct stoa_channel channel; /* the handle is one of these */
};

/* lane.ending and reader.ending: */
#define ENDING_NONE 0u
#define ENDING_FINISHED 1u /* of the writer only */
/* else an error, which is negative */

struct stoa_writer {
	struct channel_end end; /* first: see channel_end.ready */
	unsigned char *ring;
	uint64_t size; /* of the ring */
	struct channel_lane *lane;
	const struct channel_reader *reader;
	const _Atomic uint64_t *hold;
	uint64_t position; /* as in lane.tail */
	uint64_t limit;    /* what it may write lies before */
	uint64_t reserved;
	_Atomic uint64_t needs; /* the limit that it was last refused for; read by a watch, too */
	bool has_ended;
};

struct stoa_reader {
	struct channel_end end;
	const unsigned char *ring;
	uint64_t size;
	const struct channel_lane *lane;
	struct channel_reader *self;
	_Atomic uint64_t *hold;
	_Atomic uint64_t next; /* as in its hold; read by a watch, too */
	uint64_t seen;         /* what lies before is there */
	uint64_t peeked;
	unsigned quiet; /* reads during which it is not waited for more than a byte */
	bool has_failed;
	bool has_ended;  /* all is read, and: */
	uint32_t ending; /* as the writer told it, or ENDING_NONE */
};

/*
 * Become one of the ends: channel_end_join(), but once in a stream's life. ECLOSED, and see there.
 */
int stream_join(struct stoa_stream *stream, struct channel_end *end, uint32_t waiting, uint32_t flags, bool is_writer);

/* Bytes from a position to the ring's end. */
static inline uint64_t stream_to_end(uint64_t size, uint64_t position)
{
	return size - (position & (size - 1));
}

/* An error that one end may tell the other. EINVAL. */
int stream_check_error(int error);

/* What an ending of the peer says: an error with its sentence. `who` is "writer" or "reader". */
int stream_told(const char *who, uint32_t ending);

#endif
