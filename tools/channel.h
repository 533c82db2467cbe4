/* SPDX-License-Identifier: MIT */
/* Channels in words, for stat, ls and top: what the library tells of one without joining it. Uses the public API. */
#ifndef TOOLS_CHANNEL_H
#define TOOLS_CHANNEL_H

#include "object.h"

#include <stoa/channel_stat.h>

/* All ends together. */
struct channel_totals {
	uint64_t sent, sent_bytes; /* by senders */
	uint64_t received, received_bytes, lost;
	uint64_t sleeps, wakes;
	uint64_t used, most; /* bytes of all rings */
	uint64_t lag;        /* messages that wait to be received: of a broadcast, by the slowest of each sender */
	uint64_t lag_bytes;
};

/* False: it is no channel, or cannot be read as one. */
bool channel_inspect(const struct object *object, struct stoa_channel_stat *ret_stat);

void channel_add_up(const struct stoa_channel_stat *stat, struct channel_totals *ret_totals);

const char *channel_kind(uint32_t kind); /* "queue", ... */

/* "queue 2:1, 20 sent, 15 behind": kind, living senders and receivers, the main numbers. */
#define CHANNEL_SUMMARY 96
const char *channel_summary(const struct stoa_channel_stat *stat, char buffer[CHANNEL_SUMMARY]);

void channel_print(const struct object *object, const struct stoa_channel_stat *stat);
/* The member "channel": an object; null for none. With each end if `ends`. */
void channel_json(struct json *json, const struct stoa_channel_stat *stat, bool ends);

#endif
