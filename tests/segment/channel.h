/* SPDX-License-Identifier: MIT */
/*
 * The ways in which a segment goes from process to process, as each system has them: channels to send it over (Unix sockets; named
 * pipes), and programs that are started with it. What is put on a channel here is not the library's doing, and so can be anything.
 */
#ifndef TESTS_SEGMENT_CHANNEL_H
#define TESTS_SEGMENT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stoa/stoa.h>

enum channel_kind { CHANNEL_BYTES, CHANNEL_PACKETS };

/* Two ends in this process; with `waits` false neither waits for the other. -1, from all of these: it failed. */
int channel_pair(enum channel_kind kind, bool waits, int *ret_ends);

/* Two processes: one listens and accepts, the other connects to the test's channel, or to one by name. Accepting closes the listener. */
const char *channel_name(void);
int channel_listen(enum channel_kind kind);
int channel_accept(int listener);
int channel_connect(const char *name, enum channel_kind kind);

/* An end that nobody ever connected. */
int channel_lonely(enum channel_kind kind);
void channel_close(int end);

/*
 * What the library writes, `length` bytes of its message with one descriptor, or none (-1). `first` of the bytes go with the
 * descriptor, the others after it. A message that is not finished brings no descriptor where the receiver could not learn of it.
 */
void channel_put(int end, const void *bytes, size_t first, size_t length, int descriptor);
void channel_put_half(int end, const void *bytes, size_t first, int descriptor);

/* Something open that is neither memory nor a file; closed with channel_close(). */
int strange_descriptor(void);
bool is_open(int descriptor);

/* Whatever the system offers to write through a handle that only reads, to widen the map of `data`, or to cut the memory: all refused. */
void check_no_way_to_write(int memory, void *data);

/*
 * Start this program again, with the segment (may be NULL: with nothing of ours), `setting` in its environment and the segment's
 * token as STOA_TEST_TOKEN. Its constructors see that. Returns what program_join() takes, which gives its exit status.
 */
intptr_t program_start(struct stoa_segment *segment, const char *setting);
int program_join(intptr_t program);

#endif
