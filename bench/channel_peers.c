/* SPDX-License-Identifier: MIT */
/*
 * Other libraries' ways for messages, and the system's own, each against the same bare means as channels are: so that the ratios of
 * all may be compared. Each is a program of its own (peers/), which does blocks on request; where it was not built, its cases say so.
 *
 * The one hard idea: the helper has two processes as we have, on the same CPUs, and sleeps while the baseline runs, as we do while it does.
 */
#include "channel.h"

#include <stdio.h>

#include "helper.h"

enum other { CK, BOOST, ZMQ, NNG, PIPE, STREAM, SEQPACKET };

/* The program; what it does where it can do several; and how many times fewer messages a block has, which takes a baseline's time then. */
static const struct {
	const char *program;
	const char *kind;
	unsigned fewer;
} others[] = {
	[CK] = {"stoa-bench-peer-ck", "ring", 1},
	[BOOST] = {"stoa-bench-peer-boost", "message_queue", 4},
	[ZMQ] = {"stoa-bench-peer-zmq", "ipc", 10},
	[NNG] = {"stoa-bench-peer-nng", "ipc", 20},
	[PIPE] = {"stoa-bench-peer-system", "pipe", 10},
	[STREAM] = {"stoa-bench-peer-system", "stream", 10},
	[SEQPACKET] = {"stoa-bench-peer-system", "seqpacket", 10},
};

static int helper_begin(struct flow *flow)
{
	const struct plan *plan = flow->plan;
	bool spins = plan->trip && plan->waiting == STOA_SPIN;
	unsigned other = flow->bench->which->variant >> PLAN_BITS;
	char path[4096], size[24], room[24], batch[16];
	const char *const arguments[] = {
		others[other].program,
		others[other].kind,
		plan->trip ? "trip" : "flow",
		spins ? "spin" : "block",
		size,
		room,
		batch,
		NULL,
	};
	const char *missing;
	int error;

	if (!rival_helper_path(others[other].program, path, sizeof(path), &missing))
		return bench_skip(flow->bench, "%s: %s", others[other].program, missing);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)plan->size);
	snprintf(room, sizeof(room), "%llu", (unsigned long long)(plan->trip ? 0 : plan->room));
	snprintf(batch, sizeof(batch), "%u", spins ? TRIP_BATCH : 1);
	error = peer_start(&flow->helper, path, arguments, PEER_READS | PEER_WRITES);
	return error ? bench_fail_system(flow->bench, path, error) : helper_answer(flow->bench, &flow->helper, NULL);
}

static int helper_block(void *context, struct series *samples)
{
	struct flow *flow = context;
	unsigned fewer = others[flow->bench->which->variant >> PLAN_BITS].fewer;
	uint32_t messages;

	if (flow->plan->trip || flow->bench->quick)
		fewer = 1;
	else if (flow->size >= 1 << 20) /* all copy at about the speed of memory */
		fewer = fewer < 4 ? fewer : 4;
	messages = (uint32_t)(flow->messages / fewer);

	if (!peer_write(&flow->helper, &messages, sizeof(messages)))
		return bench_fail(flow->bench, "the helper is gone");
	return helper_answer(flow->bench, &flow->helper, samples);
}

static int run_peer(struct bench *bench)
{
	return flow_run(bench, helper_begin, helper_block);
}

#define PEER(word, unit, baseline, about, plan, other)                                                            \
	{                                                                                                         \
		"channel.peers." word, unit, baseline, about, NO_TARGET, run_peer, (plan) | (other) << PLAN_BITS, \
			flow_serve                                                                                \
	}
#define WAY(name, about, other)                                                                  \
	PEER("throughput_64." name, "M/s", "a bare ring", about ", 64 bytes", SMALL, other),     \
		PEER("throughput_4k." name, "M/s", "a bare ring", about ", 4 KiB", PAGE, other), \
		PEER("throughput_1m." name, "GB/s", "a bare ring", about ", 1 MiB", LARGE, other)
#define SPIN(name, about, other) \
	PEER("rtt_spin." name, "ns", "a bare cache line", about ", there and back, never asleep", TRIP_SPIN, other)
#define BLOCK(name, about, other) \
	PEER("rtt_block." name, "ns", rival_signal_name, about ", there and back, asleep", TRIP_BLOCK, other)

const struct bench_case bench_peer_cases[] = {
	SPIN("ck", "Concurrency Kit's ring", CK),
	SPIN("boost", "Boost.Interprocess message_queue", BOOST),
	BLOCK("boost", "Boost.Interprocess message_queue", BOOST),
	BLOCK("zmq", "ZeroMQ ipc://", ZMQ),
	BLOCK("nng", "nng ipc://", NNG),
	BLOCK("pipe", "a pipe each way", PIPE),
	BLOCK("stream", "Unix stream sockets", STREAM),
	BLOCK("seqpacket", "Unix sequenced packets", SEQPACKET),
	WAY("ck", "Concurrency Kit's ring", CK),
	WAY("boost", "Boost.Interprocess message_queue", BOOST),
	WAY("zmq", "ZeroMQ ipc://", ZMQ),
	WAY("nng", "nng ipc://", NNG),
	WAY("pipe", "a pipe", PIPE),
	WAY("stream", "a Unix stream socket", STREAM),
	WAY("seqpacket", "a Unix socket of sequenced packets", SEQPACKET),
	{0},
};
