/* SPDX-License-Identifier: MIT */
/*
 * Handing segments to other processes: over a Unix socket, as a bare descriptor, or through exec. (A forked child needs
 * none of this.) What the receiver may do is decided by the descriptor it gets, and enforced by the kernel. On Windows a
 * descriptor is a HANDLE, the socket a connected named pipe, and both processes are of one user: see stoa_transfer(3).
 */
#ifndef STOA_TRANSFER_H
#define STOA_TRANSFER_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A new descriptor for the segment: the caller owns it, close-on-exec. `access` is STOA_READ|STOA_WRITE or STOA_READ. A read-only
 * one cannot be widened by another user (reopen, map, mprotect and truncate are refused), but where a file's own mode lets that user
 * write; against the same user add STOA_SEAL_FUTURE_WRITE. A writable one of memory that is not sealed against cutting must
 * not come to another user: who can write it can cut it, and make any touch fault. EINVAL, ERIGHTS, ELIMIT, EACCES (STOA_READ of writable memory that belongs to another user, as what was
 * granted or what one made before giving up a user id).
 */
STOA_API int stoa_segment_dup_descriptor(const struct stoa_segment *segment, uint32_t access, int *ret_descriptor);

/*
 * Open what a descriptor refers to; on success the handle owns `descriptor`, on failure the caller still does. With STOA_RAW
 * in the options, or for an object without our header, `reserve` says how far it may grow (0: its size); with a header
 * `reserve` is ignored. STOA_READ_ONLY is implied by a read-only descriptor and by seals against writing. Errors as stoa_segment_open().
 */
STOA_API int stoa_segment_take_descriptor(int descriptor, uint64_t reserve, const struct stoa_segment_options *options,
					  struct stoa_segment **ret_segment);

/*
 * Send the segment over a connected Unix socket (stream or seqpacket), as one message with one descriptor; blocks as the
 * socket does. `socket` is borrowed. To another user (root excepted) only memory sealed against cutting is sent with STOA_WRITE:
 * unnamed segments that are not shrinkable; named ones and files go with STOA_READ, else ERIGHTS. Whose the other end is, the
 * kernel tells (SO_PEERCRED): who connected, or who listened, or who made the pair. EINVAL, ERIGHTS, ECLOSED, EBUSY (it does
 * not wait, and would have to), EACCES (Windows: another user's process), ESYSTEM.
 */
STOA_API int stoa_segment_send_with_socket(const struct stoa_segment *segment, uint32_t access, int socket);

/*
 * Receive one. `ret_sender` (may be NULL) gets the sender's user id from the kernel where the socket tells it, else
 * UINT32_MAX; of a socketpair it tells who made the pair, unless SO_PASSCRED was set on it before. A sender of another user (root excepted) must have sealed the memory against cutting (STOA_SEAL_SHRINK, as unnamed segments
 * are): else it could make any touch fault, and it is refused with EACCES. Errors as open, and ECLOSED at end of stream,
 * EFORMAT for a message that is not ours.
 */
STOA_API int stoa_segment_receive_with_socket(int socket, struct stoa_segment **ret_segment, uint32_t *ret_sender);

/*
 * Let the next exec in this process inherit the segment, and write a token for the new program into `token`
 * (STOA_TOKEN_SIZE bytes): pass it as an argument or in the environment. The new program opens it with
 * stoa_segment_adopt(), once. Usually called in a forked child, which then leaves the handle alone. A token works only in
 * the program that inherited it: ENOENT otherwise. EINVAL, ELIMIT, EFORMAT.
 */
#define STOA_TOKEN_SIZE 64
STOA_API int stoa_segment_inherit(struct stoa_segment *segment, char *token);
STOA_API int stoa_segment_adopt(const char *token, struct stoa_segment **ret_segment);

#ifdef __cplusplus
}
#endif
#endif
