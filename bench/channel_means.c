/* SPDX-License-Identifier: MIT */
/*
 * The means that messages go by: the channel, and bare ones that survive nothing (a ring in place with shared indices, the same
 * for several readers, a queue of Vyukov's) or all that a lock survives. Every byte is written before and read after. See channel.h.
 */
#include "channel.h"

static int channel_put(struct flow *flow, uint64_t number)
{
	struct stoa_loan loan;
	int rc = stoa_sender_loan(flow->sender, flow->size, flow->crowded ? STOA_TRY : STOA_FOREVER, &loan);

	if (rc)
		return rc;
	measure_fill(loan.bytes, flow->size, number);
	return stoa_sender_commit(flow->sender, &loan);
}

static int channel_take(struct flow *flow)
{
	struct stoa_message message;
	int rc = stoa_receiver_receive(flow->receiver, flow->crowded ? STOA_TRY : flow->until, &message);

	if (rc == STOA_TIMED_OUT)
		flow->until = stoa_deadline_in(1000000);
	if (rc)
		return rc;
	measure_use(measure_sum(message.bytes, message.length));
	return stoa_receiver_release(flow->receiver, &message);
}

static unsigned char *slot(const struct flow *flow, uint64_t number)
{
	return flow->bytes + number % flow->slots * flow->size;
}

static int ring_put(struct flow *flow, uint64_t number)
{
	struct bare_ring *ring = &flow->arena->ring;
	uint64_t tail = load_rlx(&ring->tail);

	/* A1: it was read; pairs with R1 in ring_take() */
	if (tail - load_acq(&ring->heads[0].value) == flow->slots)
		return STOA_TIMED_OUT;
	measure_fill(slot(flow, tail), flow->size, number);
	store_rel(&ring->tail, tail + 1); /* R2: the message; pairs with A2 in ring_take() */
	return 0;
}

/* A receiver has the head of its number; of a ring one to one, that is 0. */
static int ring_take(struct flow *flow)
{
	struct bare_ring *ring = &flow->arena->ring;
	uint64_t head = load_rlx(&ring->heads[flow->number].value);

	if (load_acq(&ring->tail) == head) /* A2: the message; pairs with R2 in ring_put() */
		return STOA_TIMED_OUT;
	measure_use(measure_sum(slot(flow, head), flow->size));
	/* R1: it was read; pairs with A1 in ring_put() */
	store_rel(&ring->heads[flow->number].value, head + 1);
	return 0;
}

static uint64_t slowest(const struct flow *flow)
{
	const struct bare_ring *ring = &flow->arena->ring;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < flow->plan->receivers; i++) {
		uint64_t head = load_acq(&ring->heads[i].value); /* A3: it was read; pairs with R1 in ring_take() */

		least = head < least ? head : least;
	}
	return least;
}

/* It looks at the readers' heads only when it has to: else this would be slower than anybody would make it. */
static int fan_put(struct flow *flow, uint64_t number)
{
	struct bare_ring *ring = &flow->arena->ring;
	uint64_t tail = load_rlx(&ring->tail);

	if (tail - flow->seen == flow->slots && tail - (flow->seen = slowest(flow)) == flow->slots)
		return STOA_TIMED_OUT;
	measure_fill(slot(flow, tail), flow->size, number);
	store_rel(&ring->tail, tail + 1); /* R3: the message; pairs with A2 in ring_take() */
	return 0;
}

static int queue_put(struct flow *flow, uint64_t number)
{
	struct queue *queue = &flow->arena->queue;
	uint64_t tail = load_rlx(&queue->tail);

	for (;;) {
		struct cell *cell = &queue->cells[tail % CELLS];
		uint64_t sequence = load_acq(&cell->sequence); /* A4: it was read; pairs with R4 in queue_take() */

		if ((int64_t)(sequence - tail) < 0)
			return STOA_TIMED_OUT;
		if (sequence == tail && cas_rlx(&queue->tail, &tail, tail + 1)) {
			measure_fill(cell->payload, sizeof(cell->payload), number);
			store_rel(&cell->sequence, tail + 1); /* R5: the message; pairs with A5 in queue_take() */
			return 0;
		}
		if (sequence != tail)
			tail = load_rlx(&queue->tail);
	}
}

static int queue_take(struct flow *flow)
{
	struct queue *queue = &flow->arena->queue;
	uint64_t head = load_rlx(&queue->head);

	for (;;) {
		struct cell *cell = &queue->cells[head % CELLS];
		uint64_t sequence = load_acq(&cell->sequence); /* A5: the message; pairs with R5 in queue_put() */

		if ((int64_t)(sequence - head) <= 0)
			return STOA_TIMED_OUT;
		if (sequence == head + 1 && cas_rlx(&queue->head, &head, head + 1)) {
			measure_use(measure_sum(cell->payload, sizeof(cell->payload)));
			store_rel(&cell->sequence, head + CELLS); /* R4: it was read; pairs with A4 in queue_put() */
			return 0;
		}
		if (sequence != head + 1)
			head = load_rlx(&queue->head);
	}
}

/* The lock orders everything; whether it is worth taking is looked at without it. Nobody dies here, so nobody asks about that. */
static int locked_put(struct flow *flow, uint64_t number)
{
	struct bare_ring *ring = &flow->arena->ring;
	int rc = STOA_TIMED_OUT;
	uint64_t tail;

	if (load_rlx(&ring->tail) - load_rlx(&ring->heads[0].value) >= flow->slots)
		return STOA_TIMED_OUT;
	if (rival_lock_take(&flow->arena->lock))
		return WRONG;
	tail = load_rlx(&ring->tail);
	if (tail - load_rlx(&ring->heads[0].value) < flow->slots) {
		measure_fill(slot(flow, tail), flow->size, number);
		store_rlx(&ring->tail, tail + 1);
		rc = 0;
	}
	return rival_lock_give(&flow->arena->lock) ? WRONG : rc;
}

static int locked_take(struct flow *flow)
{
	struct bare_ring *ring = &flow->arena->ring;
	int rc = STOA_TIMED_OUT;
	uint64_t head;

	if (load_rlx(&ring->tail) == load_rlx(&ring->heads[0].value))
		return STOA_TIMED_OUT;
	if (rival_lock_take(&flow->arena->lock))
		return WRONG;
	head = load_rlx(&ring->heads[0].value);
	if (load_rlx(&ring->tail) != head) {
		measure_use(measure_sum(slot(flow, head), flow->size));
		store_rlx(&ring->heads[0].value, head + 1);
		rc = 0;
	}
	return rival_lock_give(&flow->arena->lock) ? WRONG : rc;
}

const struct means by_channel = {channel_put, channel_take};
const struct means by_ring = {ring_put, ring_take};
const struct means by_fan = {fan_put, ring_take};
const struct means by_queue = {queue_put, queue_take};
const struct means by_locked = {locked_put, locked_take};
