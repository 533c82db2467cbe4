/* SPDX-License-Identifier: MIT */
/*
 * What send, recv and tap share: the channel that they open or make, its options, waits that a request to end cuts short, what is counted and
 * said at the end.
 */
#ifndef TOOLS_TRANSFER_H
#define TOOLS_TRANSFER_H

#include "tool.h"

#include <stoa/stoa.h>

#define TOOL_LOST 4 /* done, but messages were lost */

/* The command line. */
struct transfer_options {
	const char *name;
	uint64_t ring, senders, receivers; /* of a channel that is made; 0: the usual */
	uint64_t timeout;                  /* of each wait; 0: none */
	uint64_t count;                    /* messages; 0: all */
	bool global, broadcast, times;
	bool records, bytes;
	bool stats, json;
};

struct transfer {
	const char *command;
	struct transfer_options options;
	struct stoa_channel *channel;
	uint64_t messages, bytes, lost;
	uint64_t begun;
};

/* Open the channel, or make it. TOOL_GO, or the status after the error has been said. */
int transfer_open(struct transfer *transfer);
void transfer_close(struct transfer *transfer);

/* A negative result of the channel: says what it was. TOOL_FAILED, or TOOL_MISUSE. */
int transfer_fail(const struct transfer *transfer, int result);

/*
 * Waits are cut into pieces, between which a request to end is seen: begin with patience_new(), and wait until patience_piece() as
 * long as patience_left() says.
 */
struct patience {
	uint64_t end;
};
struct patience patience_new(const struct transfer *transfer);
uint64_t patience_piece(const struct patience *patience);
bool patience_left(const struct patience *patience);

/* The next message, copied into a buffer that grows with the longest (all zero at first): as stoa_receiver_recv(). */
struct transfer_buffer {
	char *bytes;
	size_t room;
};
int transfer_receive(struct stoa_receiver *receiver, struct transfer_buffer *buffer, uint64_t deadline,
		     struct stoa_message *ret_message);
void transfer_buffer_free(struct transfer_buffer *buffer);

/* A message has passed. */
void transfer_count(struct transfer *transfer, uint64_t bytes);
bool transfer_counted_all(const struct transfer *transfer); /* as many as --count says */
/* While it works; silent where it would get between the lines of the output. */
void transfer_progress(const struct transfer *transfer);
/* The statistics, for people. */
void transfer_say(const struct transfer *transfer);
/* The statistics, if they are wanted. `status` is passed on. */
int transfer_report(const struct transfer *transfer, int status);

#endif
