/* SPDX-License-Identifier: MIT */
/*
 * Channels: how many messages go from process to process, and how long one takes there and back, against bare means that survive
 * nothing: a ring in place with shared indices, a queue of Vyukov's, a cache line. Every byte is written before and read after.
 *
 * The one hard idea: senders and receivers of one block run until the receivers have counted everything, each in a line of its own; so
 * a block's time has no start and no end of a process in it, only one wake-up per member.
 */
#include "bench.h"

#include <string.h>

#include <base/atomic.h>
#include <stoa/stoa.h>

#include "crew.h"
#include "os/host.h"
#include "os/rival.h"

#define ENDS 2
#define CELLS 4096u
#define WRONG 1000

/* The bare means. */
struct ring {
	_Atomic uint64_t head;
	char pad8[120];
	_Atomic uint64_t tail;
	char pad136[120];
};

struct cell { /* of a bounded queue for many, after D. Vyukov */
	_Atomic uint64_t sequence;
	char payload[64];
	char pad72[56];
};

struct queue {
	_Atomic uint64_t head;
	char pad8[120];
	_Atomic uint64_t tail;
	char pad136[120];
	struct cell cells[CELLS];
};

struct line {
	_Atomic uint64_t turn;
	char payload[64];
	char pad72[56];
};

/* What the processes share: this, the bare means' memory, and the channels. */
struct arena {
	struct {
		_Atomic uint64_t count;
		char pad8[120];
	} got[ENDS];
	_Atomic uint64_t wanted; /* in this block */
	char pad0[120];
	_Atomic uint32_t ready; /* receivers that have begun */
	char pad1[124];
	struct line lines[2];
	struct rival_signal signals[2];
	struct ring ring;
	struct queue queue;
};

struct flow;
struct means {
	int (*put)(struct flow *flow, uint64_t number);
	int (*take)(struct flow *flow); /* 0, or STOA_TIMED_OUT */
};

struct flow {
	struct bench *bench;
	struct stoa_segment *segment;
	struct arena *arena;
	unsigned char *bytes; /* of the bare ring */
	struct stoa_channel *channels[2];
	struct stoa_sender *sender;
	struct stoa_receiver *receiver;
	const struct means *baseline;
	uint64_t size;     /* of a message */
	uint64_t slots;    /* of the bare ring */
	uint64_t messages; /* of a block and sender */
	unsigned senders, receivers;
	unsigned number; /* of this receiver */
	uint32_t turn;
	struct crew crew;
};

/* ---- the means ---- */

static int channel_put(struct flow *flow, uint64_t number)
{
	struct stoa_loan loan;
	int rc = stoa_sender_loan(flow->sender, flow->size, STOA_FOREVER, &loan);

	if (rc)
		return rc;
	measure_fill(loan.bytes, flow->size, number);
	return stoa_sender_commit(flow->sender, &loan);
}

static int channel_take(struct flow *flow)
{
	struct stoa_message message;
	int rc = stoa_receiver_receive(flow->receiver, STOA_TRY, &message);

	if (rc)
		return rc;
	measure_use(measure_sum(message.bytes, message.length));
	return stoa_receiver_release(flow->receiver, &message);
}

static int ring_put(struct flow *flow, uint64_t number)
{
	struct ring *ring = &flow->arena->ring;
	uint64_t tail = load_rlx(&ring->tail);

	while (tail - load_acq(&ring->head) == flow->slots) /* A1: it was read; pairs with R1 in ring_take() */
		cc_pause();
	measure_fill(flow->bytes + tail % flow->slots * flow->size, flow->size, number);
	store_rel(&ring->tail, tail + 1); /* R2: the message; pairs with A2 in ring_take() */
	return 0;
}

static int ring_take(struct flow *flow)
{
	struct ring *ring = &flow->arena->ring;
	uint64_t head = load_rlx(&ring->head);

	if (load_acq(&ring->tail) == head) /* A2: the message; pairs with R2 in ring_put() */
		return STOA_TIMED_OUT;
	measure_use(measure_sum(flow->bytes + head % flow->slots * flow->size, flow->size));
	store_rel(&ring->head, head + 1); /* R1: it was read; pairs with A1 in ring_put() */
	return 0;
}

static int queue_put(struct flow *flow, uint64_t number)
{
	struct queue *queue = &flow->arena->queue;
	uint64_t tail = load_rlx(&queue->tail);

	for (;;) {
		struct cell *cell = &queue->cells[tail % CELLS];
		uint64_t sequence = load_acq(&cell->sequence); /* A3: it was read; pairs with R3 in queue_take() */

		if (sequence == tail && cas_rlx(&queue->tail, &tail, tail + 1)) {
			measure_fill(cell->payload, sizeof(cell->payload), number);
			store_rel(&cell->sequence, tail + 1); /* R4: the message; pairs with A4 in queue_take() */
			return 0;
		}
		if (sequence != tail) {
			cc_pause();
			tail = load_rlx(&queue->tail);
		}
	}
}

static int queue_take(struct flow *flow)
{
	struct queue *queue = &flow->arena->queue;
	uint64_t head = load_rlx(&queue->head);

	for (;;) {
		struct cell *cell = &queue->cells[head % CELLS];
		uint64_t sequence = load_acq(&cell->sequence); /* A4: the message; pairs with R4 in queue_put() */

		if ((int64_t)(sequence - head) <= 0)
			return STOA_TIMED_OUT;
		if (sequence == head + 1 && cas_rlx(&queue->head, &head, head + 1)) {
			measure_use(measure_sum(cell->payload, sizeof(cell->payload)));
			store_rel(&cell->sequence, head + CELLS); /* R3: it was read; pairs with A3 in queue_put() */
			return 0;
		}
		if (sequence != head + 1)
			head = load_rlx(&queue->head);
	}
}

static const struct means by_channel = {channel_put, channel_take};
static const struct means by_ring = {ring_put, ring_take};
static const struct means by_queue = {queue_put, queue_take};

/* ---- many messages one way ---- */

static uint64_t got(const struct flow *flow)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < flow->receivers; i++)
		sum += load_rlx(&flow->arena->got[i].count);
	return sum;
}

static int put_all(struct flow *flow, const struct means *means)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < flow->messages; i++)
		rc = means->put(flow, i);
	return rc;
}

static int take_all(struct flow *flow, const struct means *means)
{
	uint64_t wanted = load_rlx(&flow->arena->wanted), count = load_rlx(&flow->arena->got[flow->number].count);

	add_rlx(&flow->arena->ready, 1);
	for (;;) {
		int rc = means->take(flow);

		if (rc == 0)
			store_rlx(&flow->arena->got[flow->number].count, ++count);
		else if (rc != STOA_TIMED_OUT)
			return rc;
		else if (got(flow) == wanted)
			return 0;
	}
}

/* Members: the receivers, then all senders but one, which is the process that measures. */
static int flow_member(void *context, unsigned member, unsigned job)
{
	struct flow *flow = context;
	const struct means *means = job == 1 ? &by_channel : flow->baseline;

	return member < flow->receivers ? take_all(flow, means) : put_all(flow, means);
}

static int flow_block(struct flow *flow, const struct means *means, unsigned job, struct series *samples)
{
	struct arena *arena = flow->arena;
	uint64_t all = flow->messages * flow->senders, start;
	int rc;

	store_rlx(&arena->wanted, got(flow) + all);
	store_rlx(&arena->ready, 0);
	if (crew_begin(&flow->crew, job))
		return bench_fail(flow->bench, "another process is gone");
	while (load_rlx(&arena->ready) < flow->receivers)
		host_yield();
	start = host_now();
	rc = put_all(flow, means);
	while (!rc && got(flow) < load_rlx(&arena->wanted))
		cc_pause();
	series_add(samples,
		   (double)all * (flow->size >= 1 << 20 ? (double)flow->size : 1000) / (double)(host_now() - start));
	if (rc)
		return bench_fail_result(flow->bench, "sending", rc);
	return crew_end(&flow->crew) ? bench_fail(flow->bench, "another process failed or hangs") : 0;
}

static int flow_subject(void *context, struct series *samples)
{
	struct flow *flow = context;

	return flow_block(flow, &by_channel, 1, samples);
}

static int flow_baseline(void *context, struct series *samples)
{
	struct flow *flow = context;

	return flow_block(flow, flow->baseline, 2, samples);
}

/* ---- there and back ---- */

static int trip_put(struct flow *flow, bool channel, unsigned way, uint64_t turn)
{
	struct line *line = &flow->arena->lines[way];

	if (channel)
		return channel_put(flow, turn);
	measure_fill(line->payload, sizeof(line->payload), turn);
	if (flow->bench->which->variant & STOA_SLEEP || !(flow->bench->which->variant & STOA_SPIN))
		return rival_signal_give(&flow->arena->signals[way], (uint32_t)turn);
	store_rel(&line->turn, turn); /* R5: the payload; pairs with A5 in trip_take() */
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
	if (flow->bench->which->variant & STOA_SLEEP || !(flow->bench->which->variant & STOA_SPIN)) {
		rc = rival_signal_take(&flow->arena->signals[way], (uint32_t)turn);
		if (rc)
			return rc;
	} else {
		while (load_acq(&line->turn) != turn) /* A5: the payload; pairs with R5 in trip_put() */
			;
	}
	measure_use(measure_sum(line->payload, sizeof(line->payload)));
	return 0;
}

/* Turns count on over all blocks, in both processes alike. */
static int trip_member(void *context, unsigned member, unsigned job)
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
	unsigned batch = flow->bench->which->variant & STOA_SPIN ? 20 : 1;
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

static int trip_subject(void *context, struct series *samples)
{
	return trip_block(context, 1, samples);
}

static int trip_baseline(void *context, struct series *samples)
{
	return trip_block(context, 2, samples);
}

/* ---- setting up ---- */

enum { /* variants; those of trips are the channel's way of waiting */
       TRIP = 16,
       SMALL = 32,
       PAGE = 64,
       LARGE = 128,
       TWO_BY_TWO = 256,
};

static uint64_t raw_offset(void)
{
	return (sizeof(struct arena) + 4095) & ~UINT64_C(4095);
}

static void choose(struct flow *flow)
{
	unsigned variant = flow->bench->which->variant;

	flow->senders = flow->receivers = variant == TWO_BY_TWO ? 2 : 1;
	flow->size = variant == PAGE ? 4096 : variant == LARGE ? 1 << 20 : 64;
	flow->slots = variant == LARGE ? 8 : (256u << 10) / flow->size;
	flow->baseline = variant == TWO_BY_TWO ? &by_queue : &by_ring;
	if (variant & TRIP)
		flow->messages =
			bench_scale(flow->bench, variant & STOA_SPIN ? 20000 : 500, variant & STOA_SPIN ? 2000 : 50);
	else
		flow->messages = bench_scale(flow->bench,
					     variant == LARGE  ? 400
					     : variant == PAGE ? 50000
							       : 500000,
					     variant == LARGE ? 20 : 2000);
}

static struct stoa_channel_options channel_options(const struct flow *flow)
{
	return (struct stoa_channel_options){
		.senders = flow->senders,
		.receivers = flow->receivers,
		.ring = flow->size == 1 << 20 ? 8 << 20 : 256 << 10,
	};
}

/* Everything lies in one segment: the arena, the bare ring, two channels. */
static uint64_t channel_offset(const struct flow *flow, unsigned which)
{
	const struct stoa_channel_options options = channel_options(flow);
	uint64_t size = 0;

	stoa_channel_size(&options, &size);
	return raw_offset() + flow->slots * flow->size + which * size;
}

/* Numbers of channels; NO_CHANNEL: not that. */
#define NO_CHANNEL 2u
static int join(struct flow *flow, unsigned sends_to, unsigned receives_from)
{
	const uint32_t waiting = flow->bench->which->variant & TRIP ? flow->bench->which->variant & 3 : STOA_SPIN;
	const struct stoa_sender_options sending = {.waiting = waiting};
	const struct stoa_receiver_options receiving = {.waiting = waiting};
	int rc = 0;

	if (sends_to < NO_CHANNEL)
		rc = stoa_sender_join(flow->channels[sends_to], &sending, &flow->sender);
	if (!rc && receives_from < NO_CHANNEL)
		rc = stoa_receiver_join(flow->channels[receives_from], &receiving, &flow->receiver);
	return rc;
}

static int flow_serve(const struct crew_member *self)
{
	struct bench bench = self->bench;
	struct flow flow = {
		.bench = &bench,
		.segment = self->segment,
		.arena = stoa_segment_address(self->segment),
		.number = self->number,
	};
	bool trip = bench.which->variant & TRIP;
	int rc = 0;

	choose(&flow);
	flow.bytes = (unsigned char *)flow.arena + raw_offset();
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = stoa_channel_attach(self->segment, channel_offset(&flow, i), &flow.channels[i]);
	if (!rc)
		rc = trip                            ? join(&flow, 1, 0)
		     : self->number < flow.receivers ? join(&flow, NO_CHANNEL, 0)
						     : join(&flow, 0, NO_CHANNEL);
	if (rc)
		return rc;
	rc = crew_serve(self, trip ? trip_member : flow_member, &flow);
	stoa_sender_leave(flow.sender);
	stoa_receiver_leave(flow.receiver);
	stoa_channel_close(flow.channels[0]);
	stoa_channel_close(flow.channels[1]);
	return rc;
}

static int flow_open(struct flow *flow)
{
	const struct stoa_channel_options options = channel_options(flow);
	struct bench *bench = flow->bench;
	uint64_t length = channel_offset(flow, 2);
	int rc = stoa_segment_create(NULL, length, NULL, &flow->segment);

	if (!rc)
		rc = stoa_segment_commit(flow->segment, length);
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = stoa_channel_place(flow->segment, channel_offset(flow, i), &options, &flow->channels[i]);
	if (rc)
		return bench_fail_result(bench, "setting up a channel", rc);
	flow->arena = stoa_segment_address(flow->segment);
	flow->bytes = (unsigned char *)flow->arena + raw_offset();
	for (unsigned i = 0; i < CELLS; i++)
		store_rlx(&flow->arena->queue.cells[i].sequence, i);
	for (unsigned i = 0; i < 2; i++) {
		rc = rival_signal_make(&flow->arena->signals[i]);
		if (rc)
			return bench_fail_system(bench, bench->baseline, rc);
	}
	rc = bench->which->variant & TRIP ? join(flow, 0, 1) : join(flow, 0, NO_CHANNEL);
	return rc ? bench_fail_result(bench, "joining a channel", rc) : 0;
}

static int run_flow(struct bench *bench)
{
	struct flow flow = {.bench = bench};
	bool trip = bench->which->variant & TRIP;
	int status;

	if (host_cpus() < 2)
		return bench_skip(bench, "one CPU only");
	choose(&flow);
	status = flow_open(&flow);
	host_pin(0);
	if (!status) /* receivers on the other CPU, a second sender on this one */
		status = crew_start(&flow.crew, bench, flow.segment, flow.receivers + flow.senders - 1, 1);
	if (!status)
		status = trip ? bench_pairs(bench, trip_subject, trip_baseline, &flow)
			      : bench_pairs(bench, flow_subject, flow_baseline, &flow);
	crew_stop(&flow.crew);
	stoa_sender_leave(flow.sender);
	stoa_receiver_leave(flow.receiver);
	stoa_channel_close(flow.channels[0]);
	stoa_channel_close(flow.channels[1]);
	for (unsigned i = 0; flow.arena && i < 2; i++)
		rival_signal_end(&flow.arena->signals[i]);
	stoa_segment_close(flow.segment);
	return status;
}

const struct bench_case bench_channel_cases[] = {
	{"channel.rtt_spin",
	 "ns",
	 "a bare cache line",
	 "64 bytes there and back, never asleep",
	 {.high = 1.15},
	 run_flow,
	 TRIP | STOA_SPIN,
	 flow_serve},
	{"channel.rtt_block",
	 "ns",
	 rival_signal_name,
	 "the same, always asleep",
	 {.high = 1.05},
	 run_flow,
	 TRIP | STOA_SLEEP,
	 flow_serve},
	{"channel.rtt_balanced",
	 "ns",
	 rival_signal_name,
	 "the same, as it comes",
	 {.high = 1.05},
	 run_flow,
	 TRIP | STOA_BALANCED,
	 flow_serve},
	{"channel.throughput_64",
	 "M/s",
	 "a bare ring",
	 "messages of 64 bytes, one to one",
	 {.low = 1.5},
	 run_flow,
	 SMALL,
	 flow_serve},
	{"channel.throughput_4k", "M/s", "a bare ring", "messages of 4 KiB", {.low = 1.0}, run_flow, PAGE, flow_serve},
	{"channel.throughput_1m",
	 "GB/s",
	 "a bare ring",
	 "messages of 1 MiB",
	 {.low = 0.95},
	 run_flow,
	 LARGE,
	 flow_serve},
	{"channel.queue_vyukov",
	 "M/s",
	 "Vyukov's queue",
	 "64 bytes, two to two",
	 {.low = 0.6},
	 run_flow,
	 TWO_BY_TWO,
	 flow_serve},
	{0},
};
