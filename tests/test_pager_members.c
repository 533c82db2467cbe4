/* SPDX-License-Identifier: MIT */
/* Pagers in several processes: each is reached by all others, or it is an error; and what the dead had pinned counts for nothing. */
#include "pager/common.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCKS 64

struct board {
	int sockets[2];
	_Atomic uint32_t turn;
};

static struct board *board;
static struct store *store;

static void tell(uint32_t turn)
{
	store_rel(&board->turn, turn); /* pairs with await() */
}

static void await(uint32_t turn)
{
	while (load_acq(&board->turn) < turn) /* pairs with tell() */
		usleep(1000);
}

static void set_up(void)
{
	board = test_shared(sizeof(*board));
	store = store_make((uint64_t)BLOCKS * PAGE);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, board->sockets));
}

/* Reads the first block, and writes to it when it is there again by the other's doing. */
static void writer(void *argument)
{
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager = pager_take(board->sockets, backing);
	volatile unsigned char *bytes = stoa_pager_address(pager);

	(void)argument;
	(void)bytes[0];
	tell(1);
	await(2);
	bytes[0] = 7;
	tell(3);
	await(4);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

TEST(nothing_is_taken_away_from_who_cannot_be_reached)
{
	struct stoa_pager_options options = {.flags = STOA_PAGER_NO_BACKGROUND};
	struct rlimit limit, none;
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	volatile unsigned char *bytes;
	pid_t role;
	int spare;

	set_up();
	backing = store_backing(store);
	pager = pager_make(backing, &options);
	bytes = stoa_pager_address(pager);
	pager_pass(board->sockets, pager);
	role = test_role(writer, NULL);
	await(1);
	/* This process cannot take the other's descriptor. */
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK_SYS(spare = dup(0));
	none = limit;
	none.rlim_cur = (rlim_t)spare;
	CHECK_SYS(close(spare));
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &none));
	CHECK_EQ(stoa_pager_advise(pager, 0, PAGE, STOA_ADVISE_DONT_NEED), -STOA_ELIMIT);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	/* Now it can: whether the page is there or not, it is so for the other as well. */
	(void)bytes[0];
	tell(2);
	await(3);
	CHECK_RC(stoa_pager_advise(pager, 0, PAGE, STOA_ADVISE_DONT_NEED), 0);
	CHECK_EQ(store->bytes[0], 7);
	CHECK_EQ(bytes[0], 7);
	tell(4);
	CHECK_EQ(test_join(role), 0);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	close(board->sockets[0]);
	close(board->sockets[1]);
}

static void pinner(void *argument)
{
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager = pager_take(board->sockets, backing);

	(void)argument;
	CHECK_RC(stoa_pager_pin(pager, 0, BLOCKS / 2 * PAGE, STOA_READ), 0);
	tell(1);
	for (;;)
		pause();
}

TEST(pins_of_the_dead_count_for_nothing)
{
	struct stoa_pager_options options = {.budget = BLOCKS * PAGE};
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	pid_t role;

	set_up();
	backing = store_backing(store);
	pager = pager_make(backing, &options);
	pager_pass(board->sockets, pager);
	role = test_role(pinner, NULL);
	await(1);
	CHECK_EQ(stoa_pager_pin(pager, 0, BLOCKS / 2 * PAGE, STOA_READ), -STOA_ELIMIT);
	CHECK_SYS(kill(role, SIGKILL));
	(void)test_join(role);
	CHECK_RC(stoa_pager_pin(pager, 0, BLOCKS / 2 * PAGE, STOA_READ), 0);
	CHECK_RC(stoa_pager_unpin(pager, 0, BLOCKS / 2 * PAGE), 0);
	CHECK_RC(stoa_pager_advise(pager, 0, stoa_pager_size(pager), STOA_ADVISE_DONT_NEED), 0);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	close(board->sockets[0]);
	close(board->sockets[1]);
}
