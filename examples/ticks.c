/* SPDX-License-Identifier: MIT */
/*
 * A market's ticks, published by a child to two subscribers: a ledger that must see every one, so that the publisher waits for it,
 * and a display that looks now and then. The display holds nobody up, and knows exactly how many it missed.
 */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

#define TICKS 200000

static unsigned long long ticks, shown, lost;

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "ticks: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

static int publish(const char *name)
{
	struct stoa_channel *channel;
	struct stoa_sender *sender;

	check(stoa_channel_open(name, 0, &channel), "open");
	check(stoa_sender_join(channel, NULL, &sender), "join");
	for (uint64_t tick = 0; tick < TICKS; tick++)
		check(stoa_sender_send(sender, &tick, sizeof(tick), STOA_FOREVER), "send");
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
	return 0;
}

/* A copy of the next one, which may be overwritten at any time if it is slow. */
static int look(struct stoa_receiver *receiver, unsigned long long *seen)
{
	struct stoa_message message = {.lost = 0};
	uint64_t tick;
	int result = check(stoa_receiver_recv(receiver, &tick, sizeof(tick), STOA_FOREVER, &message), "receive");

	*seen += result == 0;
	lost += message.lost;
	return result;
}

int main(int argc, char **argv)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 8192, .receivers = 2};
	struct stoa_receiver_options how = {.flags = STOA_UNTIL_PEERS_LEAVE, .when_slow = STOA_BLOCK};
	struct stoa_receiver *ledger, *display;
	struct stoa_channel *channel;
	struct child child;
	char name[64];

	if (argc > 1)
		return publish(argv[1]);
	snprintf(name, sizeof(name), "ticks-%llu", (unsigned long long)stoa_now());
	check(stoa_channel_create(name, &options, &channel), "create");
	check(stoa_receiver_join(channel, &how, &ledger), "join");
	how.when_slow = STOA_DROP_OLDEST;
	check(stoa_receiver_join(channel, &how, &display), "join");
	if (child_start(&child, name))
		return 1;
	while (look(ledger, &ticks) == 0)
		if (ticks % 1000 == 0)
			look(display, &shown);
	while (look(display, &shown) == 0)
		;
	printf("ledger: %llu ticks; display: %llu of them shown, %llu missed\n", ticks, shown, lost);
	stoa_receiver_leave(display);
	stoa_receiver_leave(ledger);
	stoa_channel_close(channel);
	return child_wait(&child) || ticks != TICKS || shown + lost != TICKS;
}
