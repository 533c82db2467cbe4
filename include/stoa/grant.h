/* SPDX-License-Identifier: MIT */
/*
 * Handing channels and streams to other processes, with the right to send, to receive, or both: over a Unix socket or through exec, as
 * segments are (stoa/transfer.h). Only unnamed ones go: what their senders write and what their receivers write are two memory objects, so
 * that the kernel keeps one who was given but one role from writing what belongs to the other. See stoa_grant(3).
 *
 * A channel by name or in a segment of yours is one piece of memory, for processes of one user that trust each other: ENOTSUP.
 */
#ifndef STOA_GRANT_H
#define STOA_GRANT_H

#include <stdint.h>
#include <stoa/channel.h>
#include <stoa/error.h>
#include <stoa/stream.h>
#include <stoa/transfer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_GRANT_SENDER (1u << 0)
#define STOA_GRANT_RECEIVER (1u << 1)

/* What this handle may become: STOA_GRANT_*. Joining as anything else is ERIGHTS. */
STOA_API uint32_t stoa_channel_grants(const struct stoa_channel *channel);

/*
 * Send the channel over a connected Unix socket (Windows: a named pipe), as one message with two descriptors; blocks as the
 * socket does. `grant` is what the other process may become, at most what this one may: ERIGHTS. With one of the two it can read what
 * the other side writes, and another user cannot make that writable; against the same user see stoa_channel_seal(). `socket` is borrowed.
 * EINVAL, ENOTSUP, and errors as stoa_segment_send_with_socket().
 */
STOA_API int stoa_channel_send_with_socket(const struct stoa_channel *channel, uint32_t grant, int socket);

/*
 * Receive one: all or nothing. `ret_sender` as for a segment (may be NULL). Errors as stoa_segment_receive_with_socket(); EKIND: a
 * segment's, or a stream's; EFORMAT: a channel's message with something else, or damaged.
 */
STOA_API int stoa_channel_receive_with_socket(int socket, struct stoa_channel **ret_channel, uint32_t *ret_sender);

/*
 * Let the next exec in this process inherit the channel with that grant, and write a token for the new program into `token`
 * (STOA_TOKEN_SIZE bytes), which opens it with stoa_channel_adopt(), once. The last call for a handle counts: what an earlier one let be
 * inherited is not any more. Not from several threads at a time. Errors as stoa_segment_inherit(), and ERIGHTS, ENOTSUP.
 */
STOA_API int stoa_channel_inherit(struct stoa_channel *channel, uint32_t grant, char *token);
STOA_API int stoa_channel_adopt(const char *token, struct stoa_channel **ret_channel);

/*
 * From now on nobody, this process included, becomes what `grants` names who is it not already: threads that have joined so go on, also if they
 * leave and join again. The kernel refuses every new writable map of that part, so that the other side cannot make one even as the same
 * user. It cannot be undone. ENOTSUP (Windows), ERIGHTS, EINVAL.
 */
STOA_API int stoa_channel_seal(struct stoa_channel *channel, uint32_t grants);

/*
 * Streams, the same way: the right to write and the right to read. Handing on is not joining: a stream still has one writer and one reader in its
 * life, whoever of those it was handed to comes first. EKIND: a segment's, or a channel's.
 */
#define STOA_GRANT_WRITER STOA_GRANT_SENDER
#define STOA_GRANT_READER STOA_GRANT_RECEIVER
STOA_API uint32_t stoa_stream_grants(const struct stoa_stream *stream);
STOA_API int stoa_stream_send_with_socket(const struct stoa_stream *stream, uint32_t grant, int socket);
STOA_API int stoa_stream_receive_with_socket(int socket, struct stoa_stream **ret_stream, uint32_t *ret_sender);
STOA_API int stoa_stream_inherit(struct stoa_stream *stream, uint32_t grant, char *token);
STOA_API int stoa_stream_adopt(const char *token, struct stoa_stream **ret_stream);
STOA_API int stoa_stream_seal(struct stoa_stream *stream, uint32_t grants);

#ifdef __cplusplus
}
#endif
#endif
