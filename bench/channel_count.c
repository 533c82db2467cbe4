/* SPDX-License-Identifier: MIT */
/*
 * What it costs to send a message that nobody waits for, in instructions and in calls of the system; of those there must be none.
 * No clock, so any machine tells the same. Uses what the other cases of channels use (channel.h).
 *
 * The one hard idea: the same process is run with so many messages and with twice as many; what differs is theirs alone.
 */
#include "channel.h"

#include <stdlib.h>

#include "os/count.h"

#define MESSAGES 50u
#define ROOM (64u << 10)

enum { INSTRUCTIONS, CALLS }; /* variants */

struct sending {
	struct flow flow; /* first, as means know only that */
	struct bench *bench;
	const struct means *means;
	unsigned messages;
	struct rival_pipe pipe;
};

static int pipe_put(struct flow *flow, uint64_t number)
{
	struct sending *sending = (struct sending *)flow;
	unsigned char message[64];

	measure_fill(message, sizeof(message), number);
	return rival_pipe_write(&sending->pipe, message, sizeof(message));
}

static const struct means by_pipe = {pipe_put, NULL};

/* In the process that is counted, which joins for itself. */
static int channel_prepare(struct flow *flow)
{
	const struct stoa_channel_options options = {.ring = ROOM};
	int rc = stoa_channel_create(NULL, &options, &flow->channels[0]);

	if (!rc)
		rc = stoa_sender_join(flow->channels[0], NULL, &flow->sender);
	return rc ? rc : stoa_receiver_join(flow->channels[0], NULL, &flow->receiver);
}

static int prepare(void *context)
{
	struct sending *sending = context;
	struct flow *flow = &sending->flow;
	int rc = 0;

	flow->size = 64;
	flow->slots = ROOM / 64;
	if (sending->means == &by_channel)
		rc = channel_prepare(flow);
	else if (sending->means == &by_pipe)
		rc = rival_pipe_make(&sending->pipe);
	else
		rc = (flow->arena = calloc(1, sizeof(*flow->arena))) && (flow->bytes = calloc(1, ROOM)) ? 0 : -1;
	return rc ? rc : sending->means->put(flow, 0); /* the first message: symbols are looked up, pages touched */
}

static int work(void *context)
{
	struct sending *sending = context;
	int rc = 0;

	for (unsigned i = 0; !rc && i < sending->messages; i++)
		rc = sending->means->put(&sending->flow, i);
	return rc;
}

static int block(struct sending *sending, const struct means *means, struct series *samples)
{
	const struct counted what = {prepare, work, sending};
	bool calls = sending->bench->which->variant == CALLS;
	uint64_t counts[2] = {0, 0};
	int error = 0;

	sending->means = means;
	for (unsigned i = 0; !error && i < 2; i++) {
		sending->messages = MESSAGES << i;
		error = count_run(&what, calls, &counts[i]);
	}
	if (error < 0)
		return bench_fail(sending->bench, "a process that was to send failed");
	if (error > 0)
		return bench_fail_system(sending->bench, "counting another process", error);
	series_add(samples, (double)(counts[1] - counts[0]) / MESSAGES);
	return 0;
}

static int by_stoa(void *context, struct series *samples)
{
	return block(context, &by_channel, samples);
}

static int by_rival(void *context, struct series *samples)
{
	struct sending *sending = context;

	return block(sending, sending->bench->which->variant == CALLS ? &by_pipe : &by_ring, samples);
}

static int run_count(struct bench *bench)
{
	struct sending sending = {.bench = bench};
	const char *missing = count_missing();

	return missing ? bench_skip(bench, "%s", missing) : bench_pairs(bench, by_stoa, by_rival, &sending);
}

const struct bench_case bench_count_cases[] = {
	{"channel.send_nowaiter", "instructions", "a bare ring", "send 64 bytes that nobody waits for", NO_TARGET,
	 run_count, INSTRUCTIONS, NULL},
	{"channel.send_nowaiter.calls",
	 "calls",
	 rival_pipe_name,
	 "the same: not one in a thousand",
	 {.high = 0.001, .absolute = true},
	 run_count,
	 CALLS,
	 NULL},
	{0},
};
