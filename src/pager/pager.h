/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. Uses sync, backing and all below. */
#ifndef PAGER_PAGER_H
#define PAGER_PAGER_H

#include <base/cc.h>
#include <base/error.h>
#include <os/trap.h>
#include <pager/layout.h>
#include <segment/segment.h>

#define PAGER_BATCH 64                    /* blocks that are evicted, or written back, at a time */
#define PAGER_WORDS_WINDOW UINT64_C(8192) /* words that are backed with memory at a time: 64 KiB */

/* Another member, as this process reaches it. */
struct pager_remote {
	uint64_t serial; /* 0: nobody */
	uint64_t base;
	os_handle handle;
	bool client;  /* he has no backing */
	bool watched; /* by this process's server */
};

/* Whose map a touch was in; NULL is this process's own. */
struct pager_target {
	uint32_t place;
	uint64_t serial;
};

struct pager_keeper;
struct pager_server;

struct stoa_pager {
	/* What every touch reads. */
	unsigned char *address;
	uint64_t size;   /* in whole blocks */
	uint64_t length; /* the user's */
	uint64_t blocks;
	uint32_t block;
	uint32_t shift; /* block == 1 << shift */
	uint32_t frames;
	uint32_t on_error;
	uint32_t rank;
	uint32_t run_max;         /* blocks filled at a time */
	uint32_t window;          /* bytes armed at a time, and */
	_Atomic uint32_t advice;  /* STOA_ADVISE_* */
	_Atomic uint64_t *armed;  /* a bit for each */
	_Atomic uint64_t *backed; /* a bit for each PAGER_WORDS_WINDOW of words */
	_Atomic uint64_t *words;
	struct os_trap *trap;
	struct stoa_backing *backing; /* NULL: others have it, and serve this process */
	struct pager_seat *seat;      /* this process's */
	bool writes;                  /* the backing does */
	bool writable;                /* so does the creator's, or this one: others may write, too */
	bool serves;                  /* others than itself: it has a backing that does all they may */
	bool served;                  /* STOA_PAGER_SERVED */

	struct pager_shared *shared;
	_Atomic uint64_t *frame_table;
	_Atomic uint32_t *links;
	struct stoa_segment *control;
	os_handle memory; /* of the pages, where others can have them; else OS_NO_HANDLE */
	os_handle board[2];
	uint64_t made_in; /* fork generation */
	uint32_t place;   /* among the members */
	uint64_t serial;
	struct pager_keeper *keeper;
	struct pager_server *server;
	uint32_t dirty_age; /* as the header had them when it was checked */
	uint32_t dirty_percent;
	uint64_t identity[2];
	struct os_lock arming; /* guards windows being armed, words being backed */
	uint32_t armed_alone;

	struct os_lock reaching; /* guards what follows */
	uint64_t seen;           /* `changes` when the remotes were looked at */
	struct pager_remote remotes[STOA_PAGER_MEMBERS];

	struct os_lock pinning; /* guards this process's pins */
	struct os_lock asking;  /* guards its request */

	_Atomic(unsigned char *) buffers[16]; /* not in use: buffer_take() */
	uint64_t buffer;                      /* bytes of each */
};

/* Several blocks on their way together, in the order of their numbers. */
struct pager_batch {
	unsigned count;
	struct {
		uint64_t block;
		uint64_t seen; /* its word before it was claimed */
		int result;    /* of its write-back; 0: may go on */
	} of[PAGER_BATCH];
};

static inline void pager_count(struct stoa_pager *pager, enum pager_counter counter, uint64_t count)
{
	add_rlx(&pager->seat->counters[counter], count);
}

/* ---- words (word.c) ---- */

/* Back the block's word with memory. ENOMEM, ELIMIT. */
int pager_back_word(struct stoa_pager *pager, uint64_t block);
bool pager_word_is_backed(const struct stoa_pager *pager, uint64_t block);

/* The calling thread's identity in the control segment. */
int pager_self(struct stoa_pager *pager, uint64_t *ret_identity);

/* Nothing, but in a build for tests (MUTANT_DAWDLE): stand there for a while. */
void pager_dawdle(const struct stoa_pager *pager, uint64_t block);

/* Claim the block, whose word was `seen`, for what `state` says. */
bool pager_claim(struct stoa_pager *pager, uint64_t block, uint64_t seen, enum pager_state state, uint64_t self);

/* Its holder goes on to another state of holding. false: it is not, any more, ours: the memory was overwritten. */
bool pager_go_on(struct stoa_pager *pager, uint64_t block, enum pager_state state, uint64_t self);

/* Let go of a block of ours: change the bits in `mask` to those in `bits`, beside its state, and wake. */
void pager_let_go(struct stoa_pager *pager, uint64_t block, enum pager_state state, uint64_t mask, uint64_t bits,
		  uint64_t self);

/*
 * The block is held, as `seen` says: wait until it is not so any more. 0: look again. STOA_OWNER_DIED: its holder is dead, and it
 * is still so. -STOA_EDEADLOCK: this very thread holds it.
 */
int pager_wait(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self);

/* ---- frames (frames.c) ---- */

/* A frame for the block, perhaps by evicting others. -STOA_ENOMEM: all are pinned, or cannot be written back. */
int pager_frame_take(struct stoa_pager *pager, uint64_t block, uint64_t self);

/* The same, without waiting for others: who holds frames of blocks that are not there yet must not wait for more. */
bool pager_frame_try(struct stoa_pager *pager, uint64_t block, uint64_t self);

/* Make a free frame the block's, if `seen` is what it held still. */
bool pager_frame_claim(struct stoa_pager *pager, uint32_t frame, uint64_t seen, uint64_t block);

/* Free a frame that names the block, if `seen` is what it held still. */
bool pager_frame_free(struct stoa_pager *pager, uint32_t frame, uint64_t seen);

/* Free all that name the block, which is ours, and has no pages. Looks at every frame. */
void pager_frames_forget(struct stoa_pager *pager, uint64_t block);

/* ---- all members (members.c) ---- */

int pager_join(struct stoa_pager *pager, uint64_t identity);
void pager_part(struct stoa_pager *pager);

/* From now on writes to these blocks are told in every member. */
int pager_forbid(struct stoa_pager *pager, const struct pager_batch *batch);

/* Show the block, which is held and there, in every member, also where it was poisoned. OS_TRAP_WRITTEN: as os_trap_show(). */
int pager_show_all(struct stoa_pager *pager, uint64_t block);

/* What is done in one map: as os_trap_fill() and those below. -STOA_ECLOSED: it is gone. */
int pager_put(struct stoa_pager *pager, const struct pager_target *to, uint64_t offset, uint64_t length,
	      const void *bytes, bool writable);
enum pager_act { PAGER_ALLOW, PAGER_SHOW, PAGER_POISON, PAGER_OPEN, PAGER_WAKE };
int pager_do(struct stoa_pager *pager, const struct pager_target *to, enum pager_act act, uint64_t offset,
	     uint64_t length);
int pager_next_touch(struct stoa_pager *pager, const struct pager_target *from, struct os_trap_event *ret_event);

/* Have the touches of all who have no backing come to `watch`, with their places as tokens; as far as they do not yet. False: not all do. */
bool pager_watch_clients(struct stoa_pager *pager, struct os_watch *watch);
/* All who wait touch again: what a server took, and died over, is told once more. True: one that is dead may take some still, or not all are known. */
bool pager_wake_clients(struct stoa_pager *pager);
void pager_unwatch(struct stoa_pager *pager, struct os_watch *watch, const struct pager_target *from);
uint64_t pager_serial_of(struct stoa_pager *pager, uint32_t place); /* as watched; 0: nobody */

/* Is any process alive that has the backing, and may serve others by it? */
bool pager_has_server(struct stoa_pager *pager);

/* Is the member alive, as its thread's identity tells? */
bool pager_member_lives(struct stoa_pager *pager, uint32_t place);

/* ---- writing back and evicting (evict.c) ---- */

/* Blocks of the batch were claimed CLEANING: write them back. Each one's result tells; they stay claimed. */
void pager_clean(struct stoa_pager *pager, struct pager_batch *batch);

/* Blocks of the batch are EVICTING: take their pages away. On failure nothing is known of them: they stay claimed. */
int pager_empty(struct stoa_pager *pager, const struct pager_batch *batch);

/* Claim a block, whose word was `seen`, for what follows, or for pager_clean(): so that who dies before it is certain leaves it as it was. */
bool pager_choose(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self);

/*
 * Blocks were chosen: write back those that are dirty (`write`), take the pages away, and let go of all. Afterwards the batch has those
 * that were evicted; the others are as they were. The result is the last failure's: -STOA_EBUSY for what is pinned.
 */
int pager_write_and_evict(struct stoa_pager *pager, struct pager_batch *batch, bool write, uint64_t self);

/* Add to a batch, in order. */
void pager_batch_add(struct pager_batch *batch, uint64_t block, uint64_t seen);

/* What the dead holder of a block left: put it right. 0: look again. */
int pager_repair(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self);

/* How many frames the hand looks at, at a time. */
static inline uint32_t pager_hand_width(const struct stoa_pager *pager)
{
	return pager->frames / 4 < PAGER_BATCH ? pager->frames / 4 : PAGER_BATCH;
}

/* Evict a batch of frames from the hand on, for whoever needs one for `block`. */
struct pager_turn {
	bool taken;      /* one of them was free, and is the block's now */
	bool busy;       /* some were only held by others */
	unsigned looked; /* at so many */
	unsigned freed;
};
void pager_evict(struct stoa_pager *pager, uint64_t block, uint64_t self, struct pager_turn *ret_turn);

/* Write back the dirty ones among the blocks [first, end); only those that are `aged`, which marks the others. */
int pager_write_back(struct stoa_pager *pager, uint64_t first, uint64_t end, bool aged, bool wait);

/* Write back and evict the blocks [first, end), dirty ones too; or only drop them. */
int pager_drop(struct stoa_pager *pager, uint64_t first, uint64_t end, bool write_back);

/* Drop the block unless it is dirty. */
int pager_forget_clean(struct stoa_pager *pager, uint64_t block);

/* ---- resolving (resolve.c) ---- */

/* Have the block there, or open, for that map. `again`: also what is poisoned is filled. */
int pager_resolve(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, bool write, bool again);

/* Whose way the blocks that this thread resolves next lie on: a thread's, as touches tell it; 0: its own. */
void pager_touched_by(uint32_t thread);

/* A touch that waits for the block cannot be resolved, for that error: it fails, and so do all later ones, until the block could be filled. */
void pager_refuse(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, int error);

/* The rank of the pager whose callback that thread of this process is in, + 1; 0: none. Only known while there are served pagers. */
uint32_t pager_rank_within(uint32_t thread);
void pager_watch_ranks(bool begin);

/* Around each call of the backing: what it touches itself must be of lower ranks, which the first checks: -STOA_EDEADLOCK. */
int pager_check_rank(const struct stoa_pager *pager);
uint32_t pager_call_begin(const struct stoa_pager *pager);
void pager_call_end(uint32_t before);

/* Private memory of `pager->buffer` bytes. */
unsigned char *pager_buffer_take(struct stoa_pager *pager);
void pager_buffer_give(struct stoa_pager *pager, unsigned char *buffer);

/* ---- touches (touch.c) ---- */

int pager_show(struct stoa_pager *pager); /* to the handler */
void pager_hide(struct stoa_pager *pager);
void pager_measure(struct pager_seat *seat, uint64_t start);

/* ---- serving (server.c): threads that resolve the touches that wait ---- */

int pager_server_start(struct stoa_pager *pager);
void pager_server_stop(struct stoa_pager *pager);
void pager_server_free(struct stoa_pager *pager);                     /* its threads have ended, or are the parent's */
void pager_server_forget(struct stoa_pager *pager, os_handle remote); /* which is closed next */

/* ---- asking (ask.c): who has no backing has others do what needs one ---- */

enum pager_ask { ASK_GET, ASK_WRITE_BACK, ASK_DROP };
#define ASK_FLAG_WRITE 1   /* GET: open for writing. DROP: write back before */
#define ASK_FLAG_DURABLE 2 /* WRITE_BACK */

int pager_ask(struct stoa_pager *pager, enum pager_ask what, uint64_t first, uint64_t count, uint32_t flags);

/* Do what is asked for. */
void pager_answer(struct stoa_pager *pager);

/* ---- the keeper (keeper.c): a thread for as long as the process has the pager ---- */

/* It only lives until pager_keeper_go(), when the process is a member. */
int pager_keeper_start(struct stoa_pager *pager, bool background, uint64_t *ret_identity);
void pager_keeper_go(struct stoa_pager *pager);
void pager_keeper_stop(struct stoa_pager *pager);
void pager_keeper_bring_in(struct stoa_pager *pager, uint64_t first, uint64_t end);

/* ---- pins (pin.c) ---- */

/* Take what is pinned out of what may be evicted: results become -STOA_EBUSY. After the blocks were claimed. */
void pager_spare_pinned(struct stoa_pager *pager, struct pager_batch *batch);

/* EINVAL, ENOTOWNER (a forked child); a range: ERANGE. */
int pager_check(const struct stoa_pager *pager);
int pager_check_range(const struct stoa_pager *pager, uint64_t offset, uint64_t length);

#endif
