/* SPDX-License-Identifier: MIT */
/*
 * One thing in a wait, whatever its kind: try to take it, and say what to sleep on until it may be had. The waits of
 * wait.c and wait_all.c, and every single lock and wait, are made of these.
 */
#ifndef SYNC_ITEM_H
#define SYNC_ITEM_H

#include <roster/roster.h>
#include <stoa/wait.h>
#include <sync/object.h>

#define ITEM_BUSY 16 /* not an outcome of the public API: it cannot be taken now */

/* Hostile writers can make a compare-and-swap fail for ever; after that many failures a try says busy. */
#define ITEM_PATIENCE 1000

enum item_kind {
	ITEM_MUTEX,
	ITEM_SIGNAL, /* automatic event, semaphore: taking counts down */
	ITEM_LATCH,  /* manual event, ended process, finished prefetch: taking changes nothing */
	ITEM_SOURCE, /* something of a layer above, which is only looked at */
};

/* How a layer above tells whether its thing is ready, and what to sleep on until it may be. */
struct item;
struct item_source {
	bool (*ready)(void *owner, bool thorough); /* one look; not thorough while spinning */

	/* Tell those who can make it ready that somebody sleeps, and on what. false: it is ready, or something changed. */
	bool (*arm)(struct item *item, struct os_wait_word *word);

	/* More words, at most `room`: to be compared after the relay, and not as sure to be slept on. Returns how many. */
	unsigned (*after_relay)(const struct item *item, struct os_wait_word *words, unsigned room);

	void (*woke)(struct item *item); /* after arm(), whatever it said, and the sleep */
};

struct item {
	enum item_kind kind;
	bool peek;                    /* only look whether it could be taken */
	struct stoa_segment *segment; /* NULL: private memory of this process */
	struct roster *roster;        /* of the segment */
	struct object *object;
	_Atomic uint64_t *word;
	uint64_t self;      /* mutex, claims: this thread's identity */
	uint64_t dead_word; /* mutex, taken with STOA_OWNER_DIED: what was there */

	/* from the last try that found it busy */
	uint64_t seen;
	bool has_holder; /* somebody owns or claims it */
	struct roster_sight holder;

	/* ITEM_SOURCE */
	const struct item_source *source;
	void *owner;
	uint64_t watched; /* for the source */
	bool looks_again; /* something that it waits for nobody will tell: it sleeps for a while only */

	/* from arming: was it slept on? */
	bool armed;
};

/* Set up an item for an object that was checked. Mutexes: enrols the thread, unless `peek`. */
int item_init(struct item *item, struct stoa_segment *segment, struct object *object, enum item_kind kind, bool peek);
void item_init_latch(struct item *item, _Atomic uint64_t *word);
int item_init_source(struct item *item, struct stoa_segment *segment, const struct item_source *source, void *owner);

/* Take it, without waiting. 0, STOA_OWNER_DIED, ITEM_BUSY, or an error. */
int item_try(struct item *item);

/*
 * After ITEM_BUSY: set the flags that make others wake us, and write the word of the object to sleep on. false: something
 * changed, try again. Then the words to sleep on after the relay, whose number is returned; wait_set.c has the order.
 */
#define ITEM_WORDS 3
bool item_arm(struct item *item, struct os_wait_word *word);
unsigned item_arm_after_relay(const struct item *item, struct os_wait_word *words, unsigned room);

/* After item_arm() and perhaps a sleep: a dead holder's other sleepers must look again too, and only one of them was woken. */
void item_pass_on_death(struct item *item);

/* Before leaving a wait that slept: a signal that is left available was perhaps our wake to pass on. */
void item_pass_on_signal(struct item *item);

/*
 * An order of things that is the same in all processes: by segment identity, then offset; private things first. 0: they are one
 * thing, perhaps through two handles.
 */
int item_compare(const struct item *a, const struct item *b);

/* Could it be taken now, by one relaxed look? For spinning. */
bool item_looks_free(const struct item *item);

/* mutex.c */
int mutex_try(struct item *item);
int mutex_check_not_held(const struct item *item); /* by this thread: EDEADLOCK */
void mutex_release(struct object *mutex, uint64_t self);
void mutex_give_back(struct item *item);

/* signal.c */
int signal_try(struct item *item);
int signal_post(struct stoa_segment *segment, struct object *object, uint32_t count, bool saturate);
int signal_claim(struct item *item);
bool signal_claim_held(const struct item *item);
void signal_finish_claim(struct object *object, uint64_t claim, bool take);
void signal_reset(struct object *object);
void signal_latch(_Atomic uint64_t *word);

#endif
