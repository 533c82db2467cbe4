/* SPDX-License-Identifier: MIT */
/*
 * Scenes of pagers: the world's process has one, the victim is another member, and dies. Whatever it was doing, the blocks are as before or as
 * after; nobody waits for it; what was flushed stays; and the world's writes are still told, in every block. Touches are made by
 * stoa_pager_get(), which does all that a fault does but the signal. Uses death.h, and the pager's layout.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "death.h"

#include <base/mutant.h>
#include <pager/pager.h>

#define BLOCKS 16
#define FRAMES 8
#define PAGE 4096
#define FLUSHED UINT64_C(0xf1)
#define DIRTY UINT64_C(0xd1)

struct pager_scene {
	unsigned char *bytes; /* of the backing: a memory object, so that it is watched */
	int sockets[3][2];    /* for the victim, a helper, and a stranger */
	int gate[2];          /* a fill of the victim's waits for a byte, where it is to be slow */
	bool slow;
	struct stoa_backing *backing;
	struct stoa_pager *pager; /* of this process */
	uint64_t written[BLOCKS]; /* what the world wrote, or 0 */
};

static struct pager_scene *scene_of(const struct step_world *world)
{
	return world->local;
}

/* ---- the backing ---- */

static int fill_scene(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct pager_scene *scene = context;
	char byte;

	if (scene->slow && read(scene->gate[0], &byte, 1) != 1)
		return -STOA_EIO;
	memcpy(bytes, scene->bytes + offset, length);
	return 0;
}

static int write_scene(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	struct pager_scene *scene = context;

	memcpy(scene->bytes + offset, bytes, length);
	return 0;
}

static int size_scene(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = BLOCKS * PAGE;
	return 0;
}

static uint64_t *stored(const struct step_world *world, uint64_t block)
{
	return (uint64_t *)(void *)(scene_of(world)->bytes + block * PAGE);
}

static volatile uint64_t *word_of(const struct step_world *world, uint64_t block)
{
	return (volatile uint64_t *)stoa_pager_address(scene_of(world)->pager) + block * PAGE / 8;
}

/* ---- the world ---- */

static int set_up_with(struct step_world *world, uint32_t frames, uint32_t read_ahead, uint32_t way)
{
	static const struct stoa_backing_calls calls = {fill_scene, write_scene, NULL, size_scene, NULL};
	const struct stoa_pager_options options = {
		.budget = frames * PAGE,
		.read_ahead = read_ahead,
		.way = way,
		/* all that a victim does is stepped */
		.flags = STOA_PAGER_NO_BACKGROUND | (way == STOA_PAGER_SERVED ? 0 : STOA_PAGER_NO_THREAD),
	};
	struct pager_scene *scene = calloc(1, sizeof(*scene));
	int memory = (int)syscall(SYS_memfd_create, "store", 1);

	if (!scene || memory < 0 || ftruncate(memory, BLOCKS * PAGE) || pipe(scene->gate))
		return step_bad(world, "no memory, or no pipe");
	world->local = scene;
	os_capabilities(); /* probed once in a process, here and not in each victim */
	scene->bytes = mmap(NULL, BLOCKS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	for (uint64_t i = 0; i < BLOCKS; i++)
		*stored(world, i) = i + 1;
	if (stoa_pager_install_handlers() || stoa_backing_create(&calls, scene, &scene->backing) ||
	    stoa_pager_create(NULL, scene->backing, &options, &scene->pager))
		return step_bad(world, "setting up: %s", stoa_error_detail());
	/* Only the world's process serves; who joins has no threads, which nobody else can wish for. */
	scene->pager->shared->header.flags |= STOA_PAGER_NO_THREAD;
	for (unsigned i = 0; i < 3; i++)
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, scene->sockets[i]) ||
		    stoa_pager_send_with_socket(scene->pager, scene->sockets[i][0]))
			return step_bad(world, "handing on: %s", stoa_error_detail());
	return 0;
}

static int set_up(struct step_world *world)
{
	return set_up_with(world, FRAMES, 1, STOA_PAGER_AUTO);
}

static void world_writes(struct step_world *world, uint64_t block, uint64_t value)
{
	*word_of(world, block) = value;
	scene_of(world)->written[block] = value;
}

/* Blocks 0 to 3 are dirty, by the world; 4 to 7 are clean. */
static int use_some(struct step_world *world)
{
	for (uint64_t i = 0; i < 4; i++)
		world_writes(world, i, DIRTY + i);
	for (uint64_t i = 4; i < FRAMES; i++)
		(void)*word_of(world, i);
	return 0;
}

static int set_up_used(struct step_world *world)
{
	return set_up(world) < 0 ? -1 : use_some(world);
}

enum { VICTIM, HELPER, STRANGER };

static void join_as(struct step_world *world, unsigned who)
{
	struct pager_scene *scene = scene_of(world);

	death_must(world, stoa_pager_receive_with_socket(scene->sockets[who][1], scene->backing, &scene->pager));
}

static void join(struct step_world *world)
{
	join_as(world, VICTIM);
}

/* Join, and have all windows armed and words backed, so that the operation is what is proved. */
static void prepare(struct step_world *world)
{
	join(world);
	death_must(world, stoa_pager_get(scene_of(world)->pager, (BLOCKS - 1) * PAGE, 1, STOA_READ));
	death_must(world, stoa_pager_discard(scene_of(world)->pager, (BLOCKS - 1) * PAGE, PAGE));
}

/* The same, but all frames stay in use. */
static void prepare_full(struct step_world *world)
{
	join(world);
	death_must(world, stoa_pager_get(scene_of(world)->pager, (BLOCKS - 1) * PAGE, 1, STOA_READ));
}

/* ---- what must hold after each death ---- */

static uint64_t expected(const struct step_world *world, uint64_t block)
{
	const struct pager_scene *scene = scene_of(world);

	return scene->written[block] ? scene->written[block] : *stored(world, block);
}

/* Every block that is there has a frame of its own, and there are not more of them than frames. */
static int check_frames(struct step_world *world)
{
	const struct stoa_pager *pager = scene_of(world)->pager;
	unsigned there = 0;

	for (uint64_t block = 0; block < BLOCKS; block++) {
		bool found = false;

		if (!word_is_there(load_rlx(&pager->words[block])))
			continue;
		there++;
		for (uint32_t i = 0; i < pager->frames; i++)
			found |= (load_rlx(&pager->frame_table[i]) & FRAME_BLOCK) == block + 1;
		if (!found)
			return step_bad(world, "block %llu is there without a frame", (unsigned long long)block);
	}
	return there > pager->frames ? step_bad(world, "%u blocks are there, of %u", there, pager->frames) : 0;
}

/* The world reads and writes every block, twice with a flush between: nothing hangs, is lost, or is written unseen. */
static int use_all(struct step_world *world)
{
	struct pager_scene *scene = scene_of(world);

	for (uint64_t turn = 0; turn < 2; turn++) {
		for (uint64_t block = 0; block < BLOCKS; block++) {
			uint64_t value = *word_of(world, block);

			if (turn && value != 1000 + block)
				return step_bad(world, "block %llu has %llu", (unsigned long long)block,
						(unsigned long long)value);
			*word_of(world, block) = 1000 + block + turn * 1000;
		}
		if (stoa_pager_flush(scene->pager, 0, BLOCKS * PAGE, STOA_DURABLE))
			return step_bad(world, "flush: %s", stoa_error_detail());
		for (uint64_t block = 0; block < BLOCKS; block++)
			if (*stored(world, block) != 1000 + block + turn * 1000)
				return step_bad(world, "a write to block %llu was not seen", (unsigned long long)block);
	}
	memset(scene->written, 0, sizeof(scene->written)); /* all of it is in the store */
	return check_frames(world);
}

/* Blocks have what the world knows of. */
static int check_blocks(struct step_world *world)
{
	for (uint64_t block = 0; block < BLOCKS; block++) {
		uint64_t value = *word_of(world, block);

		if (value != expected(world, block))
			return step_bad(world, "block %llu has %llx, not %llx", (unsigned long long)block,
					(unsigned long long)value, (unsigned long long)expected(world, block));
	}
	return 0;
}

/* Before anything is evicted: what is there is right, and a write to it is told, in this very map. */
static int use_what_is_there(struct step_world *world)
{
	struct pager_scene *scene = scene_of(world);
	bool there[BLOCKS];

	for (uint64_t block = 0; block < BLOCKS; block++) {
		there[block] = word_is_there(load_rlx(&scene->pager->words[block]));
		if (there[block] && *word_of(world, block) != expected(world, block))
			return step_bad(world, "block %llu, which is there, has %llx", (unsigned long long)block,
					(unsigned long long)*word_of(world, block));
		if (there[block])
			world_writes(world, block, 3000 + block);
	}
	if (stoa_pager_flush(scene->pager, 0, BLOCKS * PAGE, 0))
		return step_bad(world, "flush: %s", stoa_error_detail());
	for (uint64_t block = 0; block < BLOCKS; block++)
		if (there[block] && *stored(world, block) != 3000 + block)
			return step_bad(world, "a write to block %llu was not seen", (unsigned long long)block);
	return 0;
}

static void fill_as_another(struct step_world *world)
{
	join_as(world, HELPER);
	for (uint64_t block = 0; block < FRAMES; block++)
		death_must(world, stoa_pager_get(scene_of(world)->pager, block * PAGE, 1, STOA_READ));
	atomic_fetch_add(&death_reports(world)->done, 1);
}

/* What is filled by another member is not writable in this map before that is told. */
static int let_another_fill(struct step_world *world)
{
	if (world->helper_count)
		return 0;
	if (step_helper(world, fill_as_another) < 0 || death_all_done(world, 1) < 0)
		return step_bad(world, "another member cannot fill");
	return use_what_is_there(world);
}

/* The outcome for verify() is what settle() found, as a stranger has no map. */
static int settle(struct step_world *world)
{
	/* Who joins from now on may touch. */
	if (scene_of(world)->pager->served)
		scene_of(world)->pager->shared->header.flags &= ~STOA_PAGER_NO_THREAD;
	if (check_frames(world) < 0 || use_what_is_there(world) < 0 || let_another_fill(world) < 0 ||
	    check_blocks(world) < 0)
		return -1;
	return use_all(world);
}

static int verify(struct step_world *world)
{
	/* A stranger joins, and finds what the world wrote last. */
	join_as(world, STRANGER);
	return check_blocks(world) < 0 ? -1 : (int)atomic_load(&death_reports(world)->given);
}

static void found(struct step_world *world, bool later)
{
	atomic_store(&death_reports(world)->given, later);
}

/* ---- filling ---- */

static void operate_fill(struct step_world *world)
{
	death_must(world, stoa_pager_get(scene_of(world)->pager, 2 * PAGE, 1, STOA_READ));
}

static int settle_fill(struct step_world *world)
{
	uint64_t word = load_rlx(&scene_of(world)->pager->words[2]);

	found(world, word_is_there(word));
	return settle(world);
}

static void operate_fill_to_write(struct step_world *world)
{
	death_must(world, stoa_pager_get(scene_of(world)->pager, 2 * PAGE, 1, STOA_READ | STOA_WRITE));
}

static int set_up_clean(struct step_world *world)
{
	if (set_up(world) < 0)
		return -1;
	(void)*word_of(world, 2);
	return 0;
}

static int settle_open(struct step_world *world)
{
	uint64_t word = load_rlx(&scene_of(world)->pager->words[2]);

	found(world, word_state(word) == BLOCK_DIRTY && !word_is_busy(word));
	return settle(world);
}

/* Of a full budget: something goes first, the world's dirty blocks among them. */
static void operate_fill_over_budget(struct step_world *world)
{
	death_must(world, stoa_pager_get(scene_of(world)->pager, 9 * PAGE, 1, STOA_READ));
}

static int settle_over_budget(struct step_world *world)
{
	found(world, word_is_there(load_rlx(&scene_of(world)->pager->words[9])));
	return settle(world);
}

/* ---- reading ahead ---- */

static int set_up_ahead(struct step_world *world)
{
	return set_up_with(world, BLOCKS, 2 * PAGE, STOA_PAGER_AUTO);
}

/* It has gone by the same step so often that the next touch has another block filled with it. */
static void go_by(struct step_world *world, int64_t step)
{
	prepare(world);
	for (int64_t i = 3; i > 0; i--)
		death_must(world,
			   stoa_pager_get(scene_of(world)->pager, (uint64_t)(4 - i * step) * PAGE, 1, STOA_READ));
}

static void prepare_steps(struct step_world *world)
{
	go_by(world, -3);
}

static void prepare_backward(struct step_world *world)
{
	go_by(world, -1);
}

static void operate_ahead(struct step_world *world)
{
	death_must(world, stoa_pager_get(scene_of(world)->pager, 4 * PAGE, 1, STOA_READ));
}

static int settle_steps(struct step_world *world)
{
	found(world, word_is_there(load_rlx(&scene_of(world)->pager->words[1])));
	return settle(world);
}

static int settle_backward(struct step_world *world)
{
	found(world, word_is_there(load_rlx(&scene_of(world)->pager->words[3])));
	return settle(world);
}

/* ---- a fill that others wait for ---- */

static void sleeping_member(struct step_world *world)
{
	join_as(world, HELPER);
	death_report(world, stoa_pager_get(scene_of(world)->pager, 2 * PAGE, 1, STOA_READ));
}

static void prepare_slow(struct step_world *world)
{
	prepare(world);
	scene_of(world)->slow = true;
}

/* The victim sleeps in its fill: one comes to wait for it, and then the fill goes on. */
static void let_others_wait(struct step_world *world)
{
	int number = step_helper(world, sleeping_member);

	if (number >= 0)
		(void)step_asleep(world, world->helpers[number]);
	if (write(scene_of(world)->gate[1], "x", 1) != 1)
		(void)step_bad(world, "no pipe");
}

static int settle_slow(struct step_world *world)
{
	if (world->helper_count && death_all_done(world, 1) < 0)
		return -1;
	return settle_fill(world);
}

/* ---- writing back, evicting, dropping ---- */

static void prepare_written(struct step_world *world)
{
	prepare(world);
	death_must(world, stoa_pager_get(scene_of(world)->pager, 6 * PAGE, 1, STOA_READ | STOA_WRITE));
	*word_of(world, 6) = FLUSHED;
}

static void operate_flush(struct step_world *world)
{
	death_must(world, stoa_pager_flush(scene_of(world)->pager, 0, BLOCKS * PAGE, STOA_DURABLE));
}

/* What the victim wrote, which the world did not; once the flush has ended it is in the store. */
static int settle_flush(struct step_world *world)
{
	bool stored_all = *stored(world, 6) == FLUSHED;

	for (uint64_t i = 0; i < 4; i++)
		stored_all = stored_all && *stored(world, i) == DIRTY + i;
	if (world->victim_ended && !stored_all)
		return step_bad(world, "what was flushed is not in the store");
	found(world, stored_all);
	scene_of(world)->written[6] = FLUSHED;
	return settle(world);
}

static void operate_evict(struct step_world *world)
{
	death_must(world, stoa_pager_advise(scene_of(world)->pager, 0, 6 * PAGE, STOA_ADVISE_DONT_NEED));
}

static int settle_evict(struct step_world *world)
{
	bool gone = true;

	for (uint64_t i = 0; i < 6; i++)
		gone = gone && !word_is_there(load_rlx(&scene_of(world)->pager->words[i]));
	found(world, gone);
	return settle(world);
}

static void operate_discard(struct step_world *world)
{
	death_must(world, stoa_pager_discard(scene_of(world)->pager, 2 * PAGE, PAGE));
}

/* Block 2 has what the world wrote, or what it had before. */
static int settle_discard(struct step_world *world)
{
	uint64_t value;

	/* Whoever meets what was begun completes it; until then the map may show what was there. */
	if (stoa_pager_get(scene_of(world)->pager, 2 * PAGE, 1, STOA_READ))
		return step_bad(world, "get: %s", stoa_error_detail());
	value = *word_of(world, 2);
	if (value != DIRTY + 2 && value != 3)
		return step_bad(world, "block 2 has %llx", (unsigned long long)value);
	found(world, value == 3);
	scene_of(world)->written[2] = value;
	return settle(world);
}

/* ---- pins, members ---- */

static void operate_pin(struct step_world *world)
{
	death_must(world, stoa_pager_pin(scene_of(world)->pager, 4 * PAGE, 2 * PAGE, STOA_READ));
}

/* Whatever it had pinned is not any more. */
static int settle_pin(struct step_world *world)
{
	found(world, world->victim_ended);
	if (stoa_pager_advise(scene_of(world)->pager, 0, BLOCKS * PAGE, STOA_ADVISE_DONT_NEED))
		return step_bad(world, "a dead process's pin stays: %s", stoa_error_detail());
	return settle(world);
}

static int settle_member(struct step_world *world)
{
	found(world, world->victim_ended);
	return settle(world);
}

static void operate_leave(struct step_world *world)
{
	death_must(world, stoa_pager_close(scene_of(world)->pager));
}

/* ---- served touches ---- */

static int set_up_served(struct step_world *world)
{
	return set_up_with(world, FRAMES, 1, STOA_PAGER_SERVED);
}

static int set_up_served_used(struct step_world *world)
{
	return set_up_served(world) < 0 ? -1 : use_some(world);
}

/* Block 2 is clean, and in the world's map alone. */
static int set_up_served_clean(struct step_world *world)
{
	if (set_up_served(world) < 0)
		return -1;
	(void)*word_of(world, 2);
	return 0;
}

/* A touch of block 2 was refused in the world's map. */
static int set_up_served_refused(struct step_world *world)
{
	if (set_up_served(world) < 0)
		return -1;
	pager_refuse(scene_of(world)->pager, NULL, 2, -STOA_EIO);
	return 0;
}

static void operate_refuse(struct step_world *world)
{
	pager_refuse(scene_of(world)->pager, NULL, 2, -STOA_EIO);
}

/* A client: it has no backing, and the world serves it, its calls, too. */
static void prepare_client(struct step_world *world)
{
	struct pager_scene *scene = scene_of(world);

	death_must(world, stoa_pager_receive_with_socket(scene->sockets[VICTIM][1], NULL, &scene->pager));
	*word_of(world, 6) = FLUSHED;
	/* All that asking does for the first time. */
	death_must(world, stoa_pager_get(scene->pager, 7 * PAGE, 1, STOA_READ));
}

/* Whoever serves wakes it with the answer, as soon as a processor is free for that. */
static void let_serve(struct step_world *world)
{
	(void)world;
	os_yield();
}

/* What is there was shown in all maps that had it poisoned: the world's touch is no signal. Else getting it does that. */
static int settle_refused(struct step_world *world)
{
	uint64_t word = load_rlx(&scene_of(world)->pager->words[2]);

	if (!word_is_there(word) && stoa_pager_get(scene_of(world)->pager, 2 * PAGE, 1, STOA_READ))
		return step_bad(world, "get: %s", stoa_error_detail());
	return settle(world);
}

static int settle_healed(struct step_world *world)
{
	found(world, word_is_there(load_rlx(&scene_of(world)->pager->words[2])));
	return settle_refused(world);
}

static int settle_refusal(struct step_world *world)
{
	uint64_t word = load_rlx(&scene_of(world)->pager->words[2]);

	found(world, word_state(word) == BLOCK_POISONED && !word_is_busy(word));
	return settle_refused(world);
}

#define SCENE(what, first, last, set, ready, does, then)                                                       \
	{                                                                                                      \
		.name = what, .outcome_names = {first, last}, .setup = set, .prepare = ready, .operate = does, \
		.settle = then, .verify = verify                                                               \
	}

const struct step_operation pager_operations[] = {
	SCENE("fill a block", "empty", "there", set_up, prepare, operate_fill, settle_fill),
	SCENE("fill a block to write", "empty", "dirty", set_up, prepare, operate_fill_to_write, settle_open),
	SCENE("open a block", "clean", "dirty", set_up_clean, prepare, operate_fill_to_write, settle_open),
	SCENE("open a dirty block", "dirty", NULL, set_up_used, prepare, operate_fill_to_write, settle),
	SCENE("fill over the budget", "not there", "there", set_up_used, prepare_full, operate_fill_over_budget,
	      settle_over_budget),
	SCENE("read ahead by steps", "not there", "there", set_up_ahead, prepare_steps, operate_ahead, settle_steps),
	SCENE("read ahead backward", "not there", "there", set_up_ahead, prepare_backward, operate_ahead,
	      settle_backward),
	{.name = "fill before sleepers",
	 .outcome_names = {"empty", "there"},
	 .setup = set_up,
	 .prepare = prepare_slow,
	 .operate = operate_fill,
	 .unblock = let_others_wait,
	 .settle = settle_slow,
	 .verify = verify,
	 .unordered = true},
	SCENE("flush blocks", "not flushed", "flushed", set_up_used, prepare_written, operate_flush, settle_flush),
	SCENE("evict blocks", "there", "gone", set_up_used, prepare, operate_evict, settle_evict),
	SCENE("discard a block", "there", "gone", set_up_used, prepare, operate_discard, settle_discard),
	SCENE("pin blocks", "before", "after", set_up_used, prepare, operate_pin, settle_pin),
	{.name = NULL},
};

const struct step_operation pager_served_operations[] = {
	SCENE("fill for a served map", "empty", "dirty", set_up_served, prepare, operate_fill_to_write, settle_open),
	SCENE("show a block", "clean", NULL, set_up_served_clean, prepare, operate_fill, settle),
	SCENE("open a served block", "clean", "dirty", set_up_served_clean, prepare, operate_fill_to_write,
	      settle_open),
	SCENE("evict served blocks", "there", "gone", set_up_served_used, prepare, operate_evict, settle_evict),
	SCENE("refuse a touch", "empty", "poisoned", set_up_served, prepare, operate_refuse, settle_refusal),
	{.name = "ask for a flush",
	 .outcome_names = {"not flushed", "flushed"},
	 .setup = set_up_served_used,
	 .prepare = prepare_client,
	 .operate = operate_flush,
	 .unblock = let_serve,
	 .settle = settle_flush,
	 .verify = verify,
	 .unordered = true},
	SCENE("fill what was refused", "poisoned", "there", set_up_served_refused, prepare, operate_fill,
	      settle_healed),
	{.name = NULL},
};

/* Long ones, for the number of members that each looks at. */
const struct step_operation pager_member_operations[] = {
	SCENE("join a pager", "before", "after", set_up_used, NULL, join, settle_member),
	SCENE("leave a pager", "before", "after", set_up_used, prepare, operate_leave, settle_member),
	{.name = NULL},
};
