/* SPDX-License-Identifier: MIT */
/*
 * What the cases of channels share: a plan per case, a flow at work, and the means that it alternates between.
 * Setting up and the cases' table are in channel.c, the means in channel_means.c, the blocks in channel_blocks.c.
 *
 * The one hard idea: senders and receivers of one block run until the receivers have counted everything, each in a line of its own; so
 * a block's time has no start and no end of a process in it, only one wake-up per member.
 */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include <base/atomic.h>
#include <stoa/stoa.h>

#include "crew.h"
#include "os/rival.h"

#define ENDS 8
#define CELLS 4096u
#define TRIP_BATCH 20u /* trips of a sample when nobody sleeps: one alone is hardly longer than a look at the clock */
#define WRONG 1000     /* a message came that should not; no stoa function returns this */

#define PLAN_BITS 8

struct flow;

/* A way for messages. Both return 0, or STOA_TIMED_OUT: it is full, or empty. */
struct means {
	int (*put)(struct flow *flow, uint64_t number);
	int (*take)(struct flow *flow);
};
extern const struct means by_channel;
extern const struct means by_ring;   /* one to one, with shared indices */
extern const struct means by_queue;  /* many to many, after D. Vyukov */
extern const struct means by_locked; /* many to many: the ring behind a lock that tells of its owner's death */
extern const struct means by_fan;    /* one to many, each gets all: the ring with an index per reader */

/* What a case does; its variant is the number of its plan, and what else it wants to say from PLAN_BITS on. */
struct plan {
	bool trip;        /* there and back, else one way */
	uint32_t waiting; /* how the channel's ends wait */
	uint32_t kind;
	unsigned senders, receivers;
	bool own_cpus;               /* makes sense only with a CPU for each end */
	uint64_t size;               /* of a message */
	uint64_t room;               /* bytes of the channel's ring, and of the bare one */
	const struct means *against; /* of those that go one way */
	unsigned full, quick;        /* messages of a block and sender */
};

struct bare_ring {
	_Atomic uint64_t tail;
	char pad8[120];
	struct {
		_Atomic uint64_t value;
		char pad8[120];
	} heads[ENDS];
};

struct cell {
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

/* What the processes share: this, the bare ring's memory, and two channels. */
struct channel_arena {
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
	struct rival_lock lock;
	struct bare_ring ring;
	struct queue queue;
};

struct flow {
	struct bench *bench;
	const struct plan *plan;
	uint64_t until; /* how long a receiver waits before it looks whether all is done */
	struct stoa_segment *segment;
	struct channel_arena *arena;
	unsigned char *bytes; /* of the bare ring */
	struct stoa_channel *channels[2];
	struct stoa_sender *sender;
	struct stoa_receiver *receiver;
	uint64_t size;
	uint64_t slots;    /* of the bare ring */
	uint64_t messages; /* of a block and sender */
	uint64_t seen;     /* by_fan: the oldest that a reader had not read when the sender looked last */
	unsigned number;   /* of this receiver */
	bool crowded;      /* more ends than CPUs: who has nothing to do lets others run */
	uint32_t turn;
	struct crew crew;
	struct peer helper; /* with another library */
};

/* One block for bench_pairs(), `context` is the flow; and what the members do, job 1 by channel, 2 by the baseline. */
int flow_subject(void *context, struct series *samples);
int flow_baseline(void *context, struct series *samples);
int flow_member(void *context, unsigned member, unsigned job);
int trip_subject(void *context, struct series *samples);
int trip_baseline(void *context, struct series *samples);
int trip_member(void *context, unsigned member, unsigned job);

/*
 * Set up a flow of the case's plan, begin() what the case needs beside it (may be NULL), run `subject` against the plan's baseline, and
 * clean up. And what its members do: the case's serve().
 */
int flow_run(struct bench *bench, int (*begin)(struct flow *flow),
	     int (*subject)(void *context, struct series *samples));
int flow_serve(const struct crew_member *self);

/* Numbers of the plans that others than channel.c speak of. */
enum flow_plan {
	TRIP_SPIN,
	TRIP_BLOCK,
	TRIP_BALANCED,
	SMALL,
	PAGE,
	LARGE,
	SHARED,
	VYUKOV,
	FAN,
	SCALE_QUEUE,                 /* 1, 2, 4, 8 on each side */
	SCALE_FAN = SCALE_QUEUE + 4, /* to 1, 2, 4, 8 */
	FLOW_PLANS = SCALE_FAN + 4,
};

#endif
