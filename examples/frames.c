/* SPDX-License-Identifier: MIT */
/*
 * Video frames through a channel, without a copy: a child draws each into memory that it has on loan, its parent looks at
 * it there. Every tenth frame is kept for comparison while those that came after it are given back.
 */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

#define FRAMES 600
#define PIXELS (320 * 240)
#define KEY 10 /* every tenth is a key frame */

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "frames: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

/* A picture that moves by one pixel from frame to frame. */
static int draw(const char *name)
{
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_loan frame;

	check(stoa_channel_open(name, 0, &channel), "open");
	check(stoa_sender_join(channel, NULL, &sender), "join");
	for (int number = 0; number < FRAMES; number++) {
		check(stoa_sender_loan(sender, PIXELS, STOA_FOREVER, &frame), "loan");
		for (int i = 0; i < PIXELS; i++)
			((unsigned char *)frame.bytes)[i] = (unsigned char)(i + number);
		check(stoa_sender_commit(sender, &frame), "commit");
	}
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
	return 0;
}

int main(int argc, char **argv)
{
	/* Room for the frames from one key frame to the next. */
	const struct stoa_channel_options options = {.ring = 4 << 20};
	const struct stoa_receiver_options until_the_end = {.flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_message frame, key = {0};
	int frames = 0, keys = 0, moved = 0;
	struct stoa_receiver *receiver;
	struct stoa_channel *channel;
	struct child child;
	char name[64];

	if (argc > 1)
		return draw(argv[1]);
	snprintf(name, sizeof(name), "frames-%llu", (unsigned long long)stoa_now());
	check(stoa_channel_create(name, &options, &channel), "create");
	check(stoa_receiver_join(channel, &until_the_end, &receiver), "join");
	if (child_start(&child, name))
		return 1;
	while (check(stoa_receiver_receive(receiver, STOA_FOREVER, &frame), "receive") == 0) {
		const unsigned char *pixels = frame.bytes, *before = frames % KEY ? key.bytes : frame.bytes;

		for (int i = 0; i < PIXELS; i++)
			moved += pixels[i] == (unsigned char)(before[i] + frames % KEY);
		if (frames % KEY || keys++)
			check(stoa_receiver_release(receiver, frames % KEY ? &frame : &key), "release");
		if (frames++ % KEY == 0)
			key = frame;
	}
	printf("%d frames, drawn and looked at in place; %d were kept while others came and went\n", frames, keys);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
	return child_wait(&child) || moved != FRAMES * PIXELS;
}
