/* SPDX-License-Identifier: MIT */
/* See served.h. */
#include "served.h"

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

struct board *board;
struct store *store;
struct stoa_backing *backing;
struct stoa_pager *pager;

uint64_t expected(uint64_t block)
{
	return ((block + 1) & 255) * UINT64_C(0x0101010101010101);
}

volatile uint64_t *word_of(const struct stoa_pager *of, uint64_t block)
{
	return (volatile uint64_t *)stoa_pager_address(of) + block * PAGE / 8;
}

uint64_t stored(uint64_t block)
{
	return *(uint64_t *)(void *)(store->bytes + block * PAGE);
}

void tell(uint32_t turn)
{
	store_rel(&board->turn, turn); /* pairs with await() */
}

void await(uint32_t turn)
{
	while (load_acq(&board->turn) < turn) /* pairs with tell() */
		usleep(1000);
}

void set_up(void)
{
	board = test_shared(sizeof(*board));
	store = store_make((uint64_t)BLOCKS * PAGE);
	for (uint64_t i = 0; i < BLOCKS; i++)
		memset(store->bytes + i * PAGE, (int)(i + 1) & 255, PAGE);
	pager_sockets(board->sockets);
}

void begin(struct stoa_backing *on, const struct stoa_pager_options *options)
{
	backing = on;
	CHECK_RC(stoa_pager_create(NULL, backing, options, &pager), 0);
}

void end(void)
{
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

void end_all(void)
{
	end();
	pager_sockets_close(board->sockets);
}

struct stoa_pager *join_as_client(void)
{
	struct stoa_pager *client;

	CHECK_RC(stoa_pager_receive_with_socket(board->sockets[1], NULL, &client), 0);
	return client;
}

static sigjmp_buf back;
static _Atomic int signalled;

static void on_signal(int number)
{
	store_rlx(&signalled, number);
	siglongjmp(back, 1);
}

int touch(volatile uint64_t *word, bool write)
{
	struct sigaction action = {.sa_handler = on_signal};

	CHECK_SYS(sigaction(SIGBUS, &action, NULL));
	CHECK_SYS(sigaction(SIGSEGV, &action, NULL));
	store_rlx(&signalled, 0);
	if (sigsetjmp(back, 1) == 0) {
		if (write)
			*word = 1;
		else
			(void)*word;
	}
	CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR && signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	return load_rlx(&signalled);
}

void fail_at(uint64_t block, int rc)
{
	store_rlx(&store->fail_from, block * PAGE);
	store_rlx(&store->fail_end, (block + 1) * PAGE);
	store_rlx(&store->fail_fill, rc);
}

/* ---- a backing that hangs, and one that only reads ---- */

void hang_at(uint64_t block)
{
	store_rlx(&board->hanging, block);
	store_rlx(&board->hangs, 0);
	store_rlx(&board->hang, 1);
}

void await_hanging(void)
{
	while (!load_rlx(&board->hangs))
		usleep(1000);
}

static void maybe_hang(uint64_t offset)
{
	if (offset != load_rlx(&board->hanging) * PAGE || !load_rlx(&board->hang))
		return;
	store_rlx(&board->hangs, 1);
	while (load_rlx(&board->hang))
		usleep(1000);
}

static int fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	maybe_hang(offset);
	memcpy(bytes, store->bytes + offset, length);
	return 0;
}

static int write_to(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	(void)context;
	maybe_hang(offset);
	memcpy(store->bytes + offset, bytes, length);
	return 0;
}

int size_of_store(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = BLOCKS * PAGE;
	return 0;
}

struct stoa_backing *hanging_backing(void)
{
	static const struct stoa_backing_calls calls = {.fill = fill, .write = write_to, .size = size_of_store};
	struct stoa_backing *made;

	CHECK_RC(stoa_backing_create(&calls, NULL, &made), 0);
	return made;
}

struct stoa_backing *reading_backing(void)
{
	static const struct stoa_backing_calls calls = {.fill = fill, .size = size_of_store};
	struct stoa_backing *made;

	CHECK_RC(stoa_backing_create(&calls, NULL, &made), 0);
	return made;
}
