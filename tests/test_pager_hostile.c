/* SPDX-License-Identifier: MIT */
/*
 * A member that writes anything into all that members share: the others may get wrong data and errors, and wait; none of them reads or writes
 * outside, or crashes. (Members trust each other with the data, and a forged holder who lives is waited for.)
 */
#include "pager/common.h"

#include <pager/pager.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCKS 256
#define VICTIMS 2

struct board {
	uint64_t seed;
	uint32_t way;
	_Atomic uint32_t ready;
	_Atomic uint64_t calls[VICTIMS], errors[VICTIMS], writes;
};

static struct board *board;
static struct store *store;
static int sockets[2];

static uint64_t nonsense(uint64_t *random, uint64_t now)
{
	uint64_t any = test_random(random);

	switch (any % 6) {
	case 0: return any;
	case 1: return now ^ UINT64_C(1) << (any >> 8) % 64;
	case 2: return now + (any >> 8) % 5 - 2;
	case 3: return (any >> 8) % (2 * BLOCKS);
	case 4: return UINT64_MAX - (any >> 8) % 4;
	default: return 0;
	}
}

/* Words, frames, links, cursors and members; not the mutex, whose forged owner would be waited for by all. */
static void scribble(struct stoa_pager *pager, uint64_t *random)
{
	_Atomic uint64_t *cursors = &pager->shared->cursors.hand, *links = (_Atomic uint64_t *)(void *)pager->links;
	_Atomic uint64_t *members = &pager->shared->members[0].serial;
	_Atomic uint64_t *seats = &pager->shared->seats[0].counters[0];
	_Atomic uint64_t *place;
	uint64_t any = test_random(random);

	switch (any % 9) {
	case 0: place = &cursors[(any >> 8) % 3 * 8]; break;
	case 8: place = any >> 8 & 1 ? &pager->shared->cursors.server : &pager->shared->cursors.asked; break;
	case 1: place = &links[(any >> 8) % (pager->frames / 2)]; break;
	case 2: place = &members[(any >> 8) % (STOA_PAGER_MEMBERS * sizeof(struct pager_member) / 8)]; break;
	case 3: place = &seats[(any >> 8) % (4 * PAGE / 8)]; break;
	case 4:
	case 5: place = &pager->frame_table[(any >> 8) % pager->frames]; break;
	default: place = &pager->words[(any >> 8) % BLOCKS];
	}
	store_rlx(place, nonsense(random, load_rlx(place)));
	add_rlx(&board->writes, 1);
}

static void enemy(void *argument)
{
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager = pager_take(sockets, backing);
	uint64_t random = board->seed;

	(void)argument;
	add_rlx(&board->ready, 1);
	while (load_rlx(&board->ready) < 1 + VICTIMS)
		usleep(100);
	for (;;) {
		scribble(pager, &random);
		if (test_random(&random) % 16 == 0)
			usleep(20);
	}
}

static void tell(unsigned number, int rc)
{
	add_rlx(&board->calls[number], 1);
	if (rc)
		add_rlx(&board->errors[number], 1);
}

static void victim(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	/* Of two who are served one has no backing, and asks for all that it does. */
	struct stoa_backing *backing = number && board->way == STOA_PAGER_SERVED ? NULL : store_backing(store);
	struct stoa_pager *pager = pager_take(sockets, backing);
	uint64_t random = board->seed + 1 + number;

	add_rlx(&board->ready, 1);
	for (;;) {
		uint64_t offset = test_random(&random) % (BLOCKS - 8) * PAGE;

		switch (test_random(&random) % 6) {
		case 0: tell(number, stoa_pager_flush(pager, offset, 8 * PAGE, 0)); break;
		case 1: tell(number, stoa_pager_advise(pager, offset, 8 * PAGE, STOA_ADVISE_DONT_NEED)); break;
		case 2:
			tell(number, stoa_pager_pin(pager, offset, PAGE, STOA_READ));
			(void)stoa_pager_unpin(pager, offset, PAGE);
			break;
		case 3: tell(number, stoa_pager_get(pager, offset, 4 * PAGE, STOA_READ | STOA_WRITE)); break;
		default: tell(number, stoa_pager_get(pager, offset, 4 * PAGE, STOA_READ));
		}
	}
}

/* Has the pager, and looks on: it may not come back from closing it. */
static void host(void *argument)
{
	const struct stoa_pager_options options = {
		.budget = 64 * PAGE,
		.read_ahead = 4 * PAGE,
		.way = board->way,
		.flags = STOA_PAGER_NO_BACKGROUND,
	};
	struct stoa_pager *pager = pager_make(store_backing(store), &options);

	(void)argument;
	for (unsigned i = 0; i <= VICTIMS; i++)
		pager_pass(sockets, pager);
	test_pause();
}

static void let_it_write(uint32_t way)
{
	pid_t roles[2 + VICTIMS];

	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	board->way = way;
	store = store_make(BLOCKS * PAGE);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	for (unsigned round = 0; round < test_rounds(6, 200); round++) {
		uint64_t end, calls = load_rlx(&board->calls[0]);

		store_rlx(&board->ready, 0);
		roles[0] = test_role(host, NULL);
		roles[1] = test_role(enemy, NULL);
		for (uintptr_t i = 0; i < VICTIMS; i++)
			roles[2 + i] = test_role(victim, (void *)i);
		while (load_rlx(&board->ready) < 1 + VICTIMS || load_rlx(&board->calls[0]) == calls)
			usleep(1000);
		end = stoa_now() + UINT64_C(300000000);
		while (stoa_now() < end)
			usleep(1000);
		for (unsigned i = 0; i < CC_COUNT(roles); i++) {
			kill(roles[i], SIGKILL);
			CHECK_EQ(test_join(roles[i]), TEST_KILLED); /* and nothing else ended it before */
		}
	}
	close(sockets[0]);
	close(sockets[1]);
	CHECK_INT(load_rlx(&board->writes), >, 1000);
	test_figure("%llu calls, %llu of them refused, under %llu hostile writes",
		    (unsigned long long)(load_rlx(&board->calls[0]) + load_rlx(&board->calls[1])),
		    (unsigned long long)(load_rlx(&board->errors[0]) + load_rlx(&board->errors[1])),
		    (unsigned long long)load_rlx(&board->writes));
}

TEST_TIMEOUT(an_enemy_that_writes_anything, 300)
{
	let_it_write(STOA_PAGER_INLINE);
}

TEST_TIMEOUT(an_enemy_of_those_who_serve, 300)
{
	let_it_write(STOA_PAGER_SERVED);
}
