/* SPDX-License-Identifier: MIT */
/* Blocks of messages, one way or there and back, in the process that measures and in the members of its crew. See channel.h. */
#include "channel.h"

#include <string.h>

#include "os/host.h"

/* ---- many messages one way ---- */

static uint64_t got(const struct flow *flow)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < flow->plan->receivers; i++)
		sum += load_rlx(&flow->arena->got[i].count);
	return sum;
}

static void idle(const struct flow *flow)
{
	if (flow->crowded)
		host_yield();
	else
		cc_pause();
}

static int put_all(struct flow *flow, const struct means *means)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < flow->messages; i++) {
		while ((rc = means->put(flow, i)) == STOA_TIMED_OUT)
			idle(flow);
	}
	return rc;
}

static int take_all(struct flow *flow, const struct means *means)
{
	uint64_t wanted = load_rlx(&flow->arena->wanted), count = load_rlx(&flow->arena->got[flow->number].count);

	add_rlx(&flow->arena->ready, 1);
	for (;;) {
		int rc = means->take(flow);

		if (rc == 0) {
			store_rlx(&flow->arena->got[flow->number].count, ++count);
			continue;
		}
		if (rc != STOA_TIMED_OUT)
			return rc;
		if (got(flow) == wanted)
			return 0;
		if (flow->crowded)
			host_yield();
	}
}

/* Members: the receivers, then all senders but one, which is the process that measures. */
int flow_member(void *context, unsigned member, unsigned job)
{
	struct flow *flow = context;
	const struct means *means = job == 1 ? &by_channel : flow->plan->against;

	return member < flow->plan->receivers ? take_all(flow, means) : put_all(flow, means);
}

static int flow_block(struct flow *flow, const struct means *means, unsigned job, struct series *samples)
{
	const struct plan *plan = flow->plan;
	struct channel_arena *arena = flow->arena;
	uint64_t all = flow->messages * plan->senders, start;
	int rc;

	store_rlx(&arena->wanted, got(flow) + all * (plan->kind == STOA_BROADCAST ? plan->receivers : 1));
	store_rlx(&arena->ready, 0);
	if (crew_begin(&flow->crew, job))
		return bench_fail(flow->bench, "another process is gone");
	while (load_rlx(&arena->ready) < plan->receivers)
		host_yield();
	start = host_now();
	rc = put_all(flow, means);
	while (!rc && got(flow) < load_rlx(&arena->wanted))
		idle(flow);
	series_add(samples,
		   (double)all * (flow->size >= 1 << 20 ? (double)flow->size : 1000) / (double)(host_now() - start));
	if (rc)
		return bench_fail_result(flow->bench, "sending", rc);
	return crew_end(&flow->crew) ? bench_fail(flow->bench, "another process failed or hangs") : 0;
}

int flow_subject(void *context, struct series *samples)
{
	return flow_block(context, &by_channel, 1, samples);
}

int flow_baseline(void *context, struct series *samples)
{
	struct flow *flow = context;

	return flow_block(flow, flow->plan->against, 2, samples);
}

/* ---- there and back ---- */

static int trip_put(struct flow *flow, bool channel, unsigned way, uint64_t turn)
{
	struct line *line = &flow->arena->lines[way];

	if (channel)
		return by_channel.put(flow, turn);
	measure_fill(line->payload, sizeof(line->payload), turn);
	if (flow->plan->waiting != STOA_SPIN)
		return rival_signal_give(&flow->arena->signals[way], (uint32_t)turn);
	store_rel(&line->turn, turn); /* R1: the payload; pairs with A1 in trip_take() */
	return 0;
}

static int trip_take(struct flow *flow, bool channel, unsigned way, uint64_t turn)
{
	struct line *line = &flow->arena->lines[way];
	struct stoa_message message;
	uint64_t first;
	int rc;

	if (channel) {
		rc = stoa_receiver_receive(flow->receiver, STOA_FOREVER, &message);
		if (rc)
			return rc;
		memcpy(&first, message.bytes, sizeof(first));
		measure_use(measure_sum(message.bytes, message.length));
		rc = stoa_receiver_release(flow->receiver, &message);
		return rc || first == turn ? rc : WRONG;
	}
	if (flow->plan->waiting != STOA_SPIN) {
		rc = rival_signal_take(&flow->arena->signals[way], (uint32_t)turn);
		if (rc)
			return rc;
	} else {
		while (load_acq(&line->turn) != turn) /* A1: the payload; pairs with R1 in trip_put() */
			;
	}
	measure_use(measure_sum(line->payload, sizeof(line->payload)));
	return 0;
}

/* Turns count on over all blocks, in both processes alike. */
int trip_member(void *context, unsigned member, unsigned job)
{
	struct flow *flow = context;
	int rc = 0;

	(void)member;
	for (uint64_t i = 0; !rc && i < flow->messages; i++) {
		rc = trip_take(flow, job == 1, 0, ++flow->turn);
		if (!rc)
			rc = trip_put(flow, job == 1, 1, flow->turn);
	}
	return rc;
}

static int trip_block(struct flow *flow, unsigned job, struct series *samples)
{
	unsigned batch = flow->plan->waiting == STOA_SPIN ? TRIP_BATCH : 1;
	int rc = 0;

	if (crew_begin(&flow->crew, job))
		return bench_fail(flow->bench, "the other process is gone");
	for (uint64_t i = 0; !rc && i < flow->messages; i += batch) {
		uint64_t start = host_now();

		for (unsigned k = 0; !rc && k < batch; k++) {
			rc = trip_put(flow, job == 1, 0, ++flow->turn);
			if (!rc)
				rc = trip_take(flow, job == 1, 1, flow->turn);
		}
		series_add(samples, (double)(host_now() - start) / batch);
	}
	if (rc)
		return bench_fail(flow->bench, "round trip %u failed", flow->turn);
	return crew_end(&flow->crew) ? bench_fail(flow->bench, "the other process failed or hangs") : 0;
}

int trip_subject(void *context, struct series *samples)
{
	return trip_block(context, 1, samples);
}

int trip_baseline(void *context, struct series *samples)
{
	return trip_block(context, 2, samples);
}
