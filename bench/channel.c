/* SPDX-License-Identifier: MIT */
/*
 * Channels: how many messages go from process to process, and how long one takes there and back, against bare means that survive
 * nothing. Here are the plans, what they need set up, and the cases. Uses the public headers. The one hard idea is in channel.h.
 */
#include "channel.h"

#include "os/host.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

#define TRIP(way, messages, short_run)                                                                       \
	{                                                                                                    \
		.trip = true, .waiting = (way), .senders = 1, .receivers = 1, .size = 64, .room = 256 * KIB, \
		.full = (messages), .quick = (short_run)                                                     \
	}
#define ONE_WAY(bytes, space, messages, short_run)                                                    \
	{                                                                                             \
		.waiting = STOA_SPIN, .senders = 1, .receivers = 1, .size = (bytes), .room = (space), \
		.against = &by_ring, .full = (messages), .quick = (short_run)                         \
	}
#define MANY(count, means, apart, messages)                                                                    \
	{                                                                                                      \
		.waiting = STOA_SPIN, .senders = (count), .receivers = (count), .size = 64, .room = 256 * KIB, \
		.own_cpus = (apart), .against = (means), .full = (messages), .quick = 2000                     \
	}
#define TO_ALL(count, apart, messages)                                                                        \
	{                                                                                                     \
		.waiting = STOA_SPIN, .kind = STOA_BROADCAST, .senders = 1, .receivers = (count), .size = 64, \
		.room = 256 * KIB, .own_cpus = (apart), .against = &by_fan, .full = (messages), .quick = 2000 \
	}

static const struct plan plans[FLOW_PLANS] = {
	[TRIP_SPIN] = TRIP(STOA_SPIN, 20000, 2000),
	[TRIP_BLOCK] = TRIP(STOA_SLEEP, 500, 50),
	[TRIP_BALANCED] = TRIP(STOA_BALANCED, 500, 50),
	[SMALL] = ONE_WAY(64, 256 * KIB, 500000, 2000),
	[PAGE] = ONE_WAY(4 * KIB, 256 * KIB, 50000, 2000),
	[LARGE] = ONE_WAY(MIB, 8 * MIB, 400, 20),
	[SHARED] = MANY(2, &by_locked, false, 20000),
	[VYUKOV] = MANY(2, &by_queue, false, 500000),
	[FAN] = TO_ALL(3, false, 500000),
	[SCALE_QUEUE] = MANY(1, &by_queue, true, 500000),
	[SCALE_QUEUE + 1] = MANY(2, &by_queue, true, 500000),
	[SCALE_QUEUE + 2] = MANY(4, &by_queue, true, 250000),
	[SCALE_QUEUE + 3] = MANY(8, &by_queue, true, 125000),
	[SCALE_FAN] = TO_ALL(1, true, 500000),
	[SCALE_FAN + 1] = TO_ALL(2, true, 500000),
	[SCALE_FAN + 2] = TO_ALL(4, true, 500000),
	[SCALE_FAN + 3] = TO_ALL(8, true, 500000),
};

/* ---- setting up: one segment holds the arena, the bare ring's memory, two channels ---- */

static uint64_t raw_offset(void)
{
	return (sizeof(struct channel_arena) + 4095) & ~UINT64_C(4095);
}

static void choose(struct flow *flow)
{
	const struct plan *plan = &plans[flow->bench->which->variant % (1u << PLAN_BITS)];

	flow->plan = plan;
	flow->size = plan->size;
	flow->slots = plan->room / plan->size;
	flow->messages = bench_scale(flow->bench, plan->full, plan->quick);
	flow->crowded = plan->senders + plan->receivers > host_cpus();
}

static struct stoa_channel_options channel_options(const struct flow *flow)
{
	return (struct stoa_channel_options){
		.kind = flow->plan->kind,
		.senders = flow->plan->senders,
		.receivers = flow->plan->receivers,
		.ring = flow->plan->room,
	};
}

static uint64_t channel_offset(const struct flow *flow, unsigned which)
{
	const struct stoa_channel_options options = channel_options(flow);
	uint64_t size = 0;

	stoa_channel_size(&options, &size);
	return raw_offset() + flow->plan->room + which * size;
}

/* Numbers of channels; NO_CHANNEL: not that. */
#define NO_CHANNEL 2u
static int join(struct flow *flow, unsigned sends_to, unsigned receives_from)
{
	const struct stoa_sender_options sending = {.waiting = flow->plan->waiting};
	const struct stoa_receiver_options receiving = {.waiting = flow->plan->waiting};
	int rc = 0;

	if (sends_to < NO_CHANNEL)
		rc = stoa_sender_join(flow->channels[sends_to], &sending, &flow->sender);
	if (!rc && receives_from < NO_CHANNEL)
		rc = stoa_receiver_join(flow->channels[receives_from], &receiving, &flow->receiver);
	return rc;
}

static void part(struct flow *flow)
{
	stoa_sender_leave(flow->sender);
	stoa_receiver_leave(flow->receiver);
	stoa_channel_close(flow->channels[0]);
	stoa_channel_close(flow->channels[1]);
}

int flow_serve(const struct crew_member *self)
{
	struct bench bench = self->bench;
	struct flow flow = {
		.bench = &bench,
		.segment = self->segment,
		.arena = stoa_segment_address(self->segment),
		.number = self->number,
	};
	int rc = 0;

	choose(&flow);
	flow.bytes = (unsigned char *)flow.arena + raw_offset();
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = stoa_channel_attach(self->segment, channel_offset(&flow, i), &flow.channels[i]);
	if (!rc)
		rc = flow.plan->trip                       ? join(&flow, 1, 0)
		     : self->number < flow.plan->receivers ? join(&flow, NO_CHANNEL, 0)
							   : join(&flow, 0, NO_CHANNEL);
	if (rc)
		return rc;
	rc = crew_serve(self, flow.plan->trip ? trip_member : flow_member, &flow);
	part(&flow);
	return rc;
}

static int rivals_open(struct flow *flow)
{
	struct bench *bench = flow->bench;
	int error = rival_lock_make(&flow->arena->lock, true);

	for (unsigned i = 0; !error && i < 2; i++)
		error = rival_signal_make(&flow->arena->signals[i]);
	for (unsigned i = 0; i < CELLS; i++)
		store_rlx(&flow->arena->queue.cells[i].sequence, i);
	return error ? bench_fail_system(bench, bench->baseline, error) : 0;
}

static int flow_open(struct flow *flow)
{
	const struct stoa_channel_options options = channel_options(flow);
	uint64_t length = channel_offset(flow, 2);
	int rc = stoa_segment_create(NULL, length, NULL, &flow->segment);

	if (!rc)
		rc = stoa_segment_commit(flow->segment, length);
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = stoa_channel_place(flow->segment, channel_offset(flow, i), &options, &flow->channels[i]);
	if (rc)
		return bench_fail_result(flow->bench, "setting up a channel", rc);
	flow->arena = stoa_segment_address(flow->segment);
	flow->bytes = (unsigned char *)flow->arena + raw_offset();
	rc = rivals_open(flow);
	if (rc)
		return rc;
	rc = flow->plan->trip ? join(flow, 0, 1) : join(flow, 0, NO_CHANNEL);
	return rc ? bench_fail_result(flow->bench, "joining a channel", rc) : 0;
}

static void flow_close(struct flow *flow)
{
	crew_stop(&flow->crew);
	(void)peer_end(&flow->helper, true);
	part(flow);
	for (unsigned i = 0; flow->arena && i < 2; i++)
		rival_signal_end(&flow->arena->signals[i]);
	if (flow->arena)
		rival_lock_end(&flow->arena->lock);
	stoa_segment_close(flow->segment);
}

int flow_run(struct bench *bench, int (*begin)(struct flow *flow),
	     int (*subject)(void *context, struct series *samples))
{
	struct flow flow = {.bench = bench, .helper = {-1, -1, -1}};
	unsigned ends;
	int status;

	choose(&flow);
	ends = flow.plan->senders + flow.plan->receivers;
	if (host_cpus() < 2)
		return bench_skip(bench, "one CPU only");
	if (flow.plan->own_cpus && host_cpus() < ends)
		return bench_skip(bench, "%u CPUs, and this needs %u: one for each end", host_cpus(), ends);
	status = flow_open(&flow);
	host_pin(0);
	if (!status) /* each on the next CPU, around: of two to two, each CPU gets a sender and a receiver */
		status = crew_start(&flow.crew, bench, flow.segment, ends - 1, 1);
	if (!status && begin)
		status = begin(&flow);
	if (!status)
		status = bench_pairs(bench, subject, flow.plan->trip ? trip_baseline : flow_baseline, &flow);
	flow_close(&flow);
	return status;
}

static int run_trip(struct bench *bench)
{
	return flow_run(bench, NULL, trip_subject);
}

static int run_flow(struct bench *bench)
{
	return flow_run(bench, NULL, flow_subject);
}

#define CASE(word, unit, baseline, about, target, run, plan)                          \
	{                                                                             \
		"channel." word, unit, baseline, about, target, run, plan, flow_serve \
	}
#define AT_MOST(ratio)          \
	{                       \
		.high = (ratio) \
	}
#define AT_LEAST(ratio)        \
	{                      \
		.low = (ratio) \
	}

const struct bench_case bench_channel_cases[] = {
	CASE("rtt_spin", "ns", "a bare cache line", "64 bytes there and back, never asleep", AT_MOST(1.15), run_trip,
	     TRIP_SPIN),
	CASE("rtt_block", "ns", rival_signal_name, "the same, always asleep", AT_MOST(1.05), run_trip, TRIP_BLOCK),
	CASE("rtt_balanced", "ns", rival_signal_name, "the same, as it comes", AT_MOST(1.05), run_trip, TRIP_BALANCED),
	CASE("throughput_64", "M/s", "a bare ring", "messages of 64 bytes, one to one", AT_LEAST(1.5), run_flow, SMALL),
	CASE("throughput_4k", "M/s", "a bare ring", "messages of 4 KiB", AT_LEAST(1.0), run_flow, PAGE),
	CASE("throughput_1m", "GB/s", "a bare ring", "messages of 1 MiB", AT_LEAST(0.95), run_flow, LARGE),
	CASE("mpmc_2x2", "M/s", rival_locked_name, "64 bytes, two to two", NO_TARGET, run_flow, SHARED),
	CASE("queue_vyukov", "M/s", "Vyukov's queue", "64 bytes, two to two", AT_LEAST(0.6), run_flow, VYUKOV),
	CASE("broadcast_3", "M/s", "a bare ring with 3 heads", "64 bytes, one to three, each gets all", NO_TARGET,
	     run_flow, FAN),
	CASE("scaling.queue.1", "M/s", "Vyukov's queue", "64 bytes, one to one", NO_TARGET, run_flow, SCALE_QUEUE),
	CASE("scaling.queue.2", "M/s", "Vyukov's queue", "2 to 2, a CPU each", NO_TARGET, run_flow, SCALE_QUEUE + 1),
	CASE("scaling.queue.4", "M/s", "Vyukov's queue", "4 to 4, a CPU each", NO_TARGET, run_flow, SCALE_QUEUE + 2),
	CASE("scaling.queue.8", "M/s", "Vyukov's queue", "8 to 8, a CPU each", NO_TARGET, run_flow, SCALE_QUEUE + 3),
	CASE("scaling.broadcast.1", "M/s", "a bare ring", "64 bytes to one", NO_TARGET, run_flow, SCALE_FAN),
	CASE("scaling.broadcast.2", "M/s", "a bare ring with 2 heads", "to 2, a CPU each", NO_TARGET, run_flow,
	     SCALE_FAN + 1),
	CASE("scaling.broadcast.4", "M/s", "a bare ring with 4 heads", "to 4, a CPU each", NO_TARGET, run_flow,
	     SCALE_FAN + 2),
	CASE("scaling.broadcast.8", "M/s", "a bare ring with 8 heads", "to 8, a CPU each", NO_TARGET, run_flow,
	     SCALE_FAN + 3),
	{0},
};
