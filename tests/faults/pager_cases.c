/* SPDX-License-Identifier: MIT */
/* Fault cases of pagers, without a thread of the library's: what fails, fails in the call. */
#include "faults.h"

#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096
#define SIZE (64 * PAGE)
#define CREATE_PAGER_ERRORS CREATE_ERRORS " ENOTOWNER"
#define USE_ERRORS "EINVAL ERANGE ERIGHTS ENOTOWNER EDEADLOCK EBUSY ECLOSED EFORMAT"

static struct stoa_backing *backing;
static struct stoa_pager *pager, *other;

static int fill_zeros(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context, (void)offset;
	memset(bytes, 0, (size_t)length);
	return 0;
}

static int write_nowhere(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	(void)context, (void)offset, (void)length, (void)bytes;
	return 0;
}

static int size_of(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = SIZE;
	return 0;
}

static void make_backing(struct run *run)
{
	static const struct stoa_backing_calls calls = {fill_zeros, write_nowhere, NULL, size_of, NULL};

	(void)run;
	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_backing_create(&calls, NULL, &backing), 0);
}

static int create_with(const char *name, uint32_t way, struct stoa_pager **ret_pager)
{
	const struct stoa_pager_options options = {
		.budget = 16 * PAGE,
		.read_ahead = 1,
		.way = way,
		.flags = STOA_PAGER_NO_BACKGROUND | STOA_PAGER_NO_THREAD,
	};

	return stoa_pager_create(name, backing, &options, ret_pager);
}

/* With dirty and clean blocks, and a full budget. */
static void make_used(struct run *run)
{
	make_backing(run);
	CHECK_RC(create_with(NULL, STOA_PAGER_INLINE, &pager), 0);
	CHECK_RC(stoa_pager_get(pager, 0, 8 * PAGE, STOA_READ | STOA_WRITE), 0);
	CHECK_RC(stoa_pager_get(pager, 8 * PAGE, 8 * PAGE, STOA_READ), 0);
}

static void make_sockets(struct run *run)
{
	make_used(run);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->sockets));
}

static void make_sent(struct run *run)
{
	make_sockets(run);
	CHECK_RC(stoa_pager_send_with_socket(pager, run->sockets[0]), 0);
}

/* Where the system refused to take pages away, or to protect them, the next who comes by does it again: all can be used. */
static void close_used(struct run *run, int result)
{
	(void)run, (void)result;
	CHECK_RC(stoa_pager_get(pager, 0, 16 * PAGE, STOA_READ | STOA_WRITE), 0);
	CHECK_RC(stoa_pager_get(pager, 16 * PAGE, 16 * PAGE, STOA_READ | STOA_WRITE), 0);
	memset(stoa_pager_address(pager), 1, SIZE);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

static void close_pinned(struct run *run, int result)
{
	if (result >= 0)
		CHECK_RC(stoa_pager_unpin(pager, 0, 4 * PAGE), 0);
	close_used(run, result);
}

static void close_made(struct run *run, int result)
{
	(void)run;
	if (result >= 0)
		CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(backing);
}

static void close_sockets(struct run *run, int result)
{
	CHECK_SYS(close(run->sockets[0]));
	CHECK_SYS(close(run->sockets[1]));
	close_used(run, result);
}

static void close_received(struct run *run, int result)
{
	if (result >= 0)
		CHECK_RC(stoa_pager_close(other), 0);
	close_sockets(run, result);
}

/* A message that nobody took. */
static void take_sent(struct run *run, int result)
{
	if (result >= 0) {
		CHECK_RC(stoa_pager_receive_with_socket(run->sockets[1], backing, &other), 0);
		CHECK_RC(stoa_pager_close(other), 0);
	}
	close_sockets(run, result);
}

static int install(struct run *run)
{
	(void)run;
	return stoa_pager_install_handlers();
}

static int create(struct run *run)
{
	(void)run;
	return create_with(NULL, STOA_PAGER_AUTO, &other);
}

static int create_named(struct run *run)
{
	return create_with(run->name, STOA_PAGER_INLINE, &other);
}

static int create_protected(struct run *run)
{
	(void)run;
	return create_with(NULL, STOA_PAGER_PROTECT, &other);
}

/* Served ones have threads, and what fails in those must end nothing. */
static int create_served(struct run *run)
{
	const struct stoa_pager_options options = {
		.budget = 16 * PAGE, .read_ahead = 1, .way = STOA_PAGER_SERVED, .flags = STOA_PAGER_NO_BACKGROUND};

	(void)run;
	return stoa_pager_create(NULL, backing, &options, &other);
}

static void close_served(struct run *run, int result)
{
	if (result >= 0)
		CHECK_EQ(*(volatile char *)stoa_pager_address(other), 0);
	close_made(run, result);
}

static int send_it(struct run *run)
{
	return stoa_pager_send_with_socket(pager, run->sockets[0]);
}

static int receive_it(struct run *run)
{
	return stoa_pager_receive_with_socket(run->sockets[1], backing, &other);
}

static int get(struct run *run)
{
	(void)run;
	return stoa_pager_get(pager, 16 * PAGE, 16 * PAGE, STOA_READ | STOA_WRITE);
}

/* Until it is done: the call that fails may be one of the worker's, whenever that comes to it. */
static int prefetch(struct run *run)
{
	struct stoa_prefetch *started;
	int rc = stoa_pager_prefetch(pager, 16 * PAGE, 16 * PAGE, &started);

	(void)run;
	if (rc)
		return rc;
	rc = stoa_prefetch_wait(started, STOA_FOREVER);
	stoa_prefetch_close(started);
	return rc;
}

static int pin(struct run *run)
{
	(void)run;
	return stoa_pager_pin(pager, 0, 4 * PAGE, STOA_READ | STOA_WRITE);
}

static void make_pinned(struct run *run)
{
	make_used(run);
	CHECK_RC(pin(run), 0);
}

static int unpin(struct run *run)
{
	(void)run;
	return stoa_pager_unpin(pager, 0, 4 * PAGE);
}

static int flush(struct run *run)
{
	(void)run;
	return stoa_pager_flush(pager, 0, SIZE, STOA_DURABLE);
}

static int discard(struct run *run)
{
	(void)run;
	return stoa_pager_discard(pager, 0, SIZE);
}

static int dont_need(struct run *run)
{
	(void)run;
	return stoa_pager_advise(pager, 0, SIZE, STOA_ADVISE_DONT_NEED);
}

/* Whatever the result is, it is closed. */
static int close_it(struct run *run)
{
	(void)run;
	return stoa_pager_close(pager);
}

static void close_backing(struct run *run, int result)
{
	(void)run, (void)result;
	stoa_backing_close(backing);
}

static int address(struct run *run)
{
	(void)run;
	return stoa_pager_address(pager) ? 0 : -STOA_EINVAL;
}

static int size(struct run *run)
{
	(void)run;
	return stoa_pager_size(pager) == SIZE ? 0 : -STOA_EINVAL;
}

/* One that has a name, looked at from outside. */
static void make_seen(struct run *run)
{
	make_backing(run);
	CHECK_RC(create_with(run->name, STOA_PAGER_INLINE, &pager), 0);
	CHECK_RC(stoa_pager_get(pager, 0, PAGE, STOA_READ), 0);
	CHECK_RC(stoa_inspect_open(run->name, 0, &run->inspector), 0);
}

static int stat_of(struct run *run)
{
	return stoa_pager_stat(pager, &run->big.pager_stat);
}

static int inspect(struct run *run)
{
	return stoa_inspect_pager(run->inspector, &run->big.pager_stat);
}

static int error_of(struct run *run)
{
	int error;

	(void)run;
	return stoa_pager_error(pager, PAGE, &error);
}

static void close_seen(struct run *run, int result)
{
	stoa_inspect_close(run->inspector);
	close_used(run, result);
}

const struct fault_case pager_cases[] = {
	{"stoa_pager_install_handlers", "ENOTSUP", NULL, install, NULL},
	{"stoa_pager_create", CREATE_PAGER_ERRORS, make_backing, create, close_made},
	{"stoa_pager_create", CREATE_PAGER_ERRORS, make_backing, create_named, close_made},
	{"stoa_pager_create", CREATE_PAGER_ERRORS, make_backing, create_protected, close_made},
	{"stoa_pager_create", CREATE_PAGER_ERRORS, make_backing, create_served, close_served},
	{"stoa_pager_close", USE_ERRORS, make_used, close_it, close_backing},
	{"stoa_pager_address", "", make_used, address, close_used},
	{"stoa_pager_size", "", make_used, size, close_used},
	{"stoa_pager_send_with_socket", "EINVAL ENOTOWNER ENOTSUP ECLOSED EBUSY", make_sockets, send_it, take_sent},
	{"stoa_pager_receive_with_socket", OPEN_ERRORS " EINVAL ENOTOWNER ECLOSED ERIGHTS ENOTSUP", make_sent,
	 receive_it, close_received},
	{"stoa_pager_get", USE_ERRORS, make_used, get, close_used},
	{"stoa_pager_prefetch", USE_ERRORS " ENOTSUP", make_used, prefetch, close_used},
	{"stoa_pager_pin", USE_ERRORS, make_used, pin, close_pinned},
	{"stoa_pager_unpin", USE_ERRORS, make_pinned, unpin, close_used},
	{"stoa_pager_flush", USE_ERRORS, make_used, flush, close_used},
	{"stoa_pager_discard", USE_ERRORS, make_used, discard, close_used},
	{"stoa_pager_advise", USE_ERRORS, make_used, dont_need, close_used},
	{"stoa_pager_stat", "EINVAL ENOTOWNER EFORMAT EVERSION", make_used, stat_of, close_used},
	{"stoa_pager_error", "EINVAL ENOTOWNER ERANGE", make_used, error_of, close_used},
	{"stoa_inspect_pager", "EINVAL EFORMAT EVERSION", make_seen, inspect, close_seen},
	{0},
};
