/* SPDX-License-Identifier: MIT */
/*
 * Every system call that os/local.h and the holder make fails once, in turn: what is asked for fails or succeeds, outputs stay as they were on
 * failure, no descriptor or memory is left, and afterwards all works. The holder's own calls fail too, as it comes out of this program.
 *
 * Linked with a library built with STOA_FAULTS (os/linux/sys.h).
 */
#include <harness/test.h>
#include <os/linux/sys.h>
#include <os/local.h>
#include <store/holder.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[200];

static const int errors[] = {ENOMEM, EMFILE, EINTR, EIO, ENOPROTOOPT, ENOSYS, EACCES};

static unsigned descriptors(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned count = 0;

	CHECK(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

/* What a call gave: an error, and then nothing. Errors have their names in stoa/error.h. */
static int gave(int rc, const os_handle *handle)
{
	CHECK(rc >= 0 ? *handle != OS_NO_HANDLE : *handle == OS_NO_HANDLE);
	CHECK_INT(rc, >=, -STOA_ETRUNCATED);
	return rc;
}

#define UNLESS(rc, call) ((rc) < 0 ? (rc) : (call))

static void sockets(void)
{
	os_handle client = OS_NO_HANDLE, server = OS_NO_HANDLE, process = OS_NO_HANDLE, poller = OS_NO_HANDLE,
		  pair[2] = {OS_NO_HANDLE, OS_NO_HANDLE}, passed = OS_NO_HANDLE;
	struct os_listener listener = {.socket = OS_NO_HANDLE, .lock = OS_NO_HANDLE};
	struct os_poller_event event;
	struct os_peer peer = {.group_count = 4711};
	unsigned count = 0;
	char byte;
	size_t length;
	uint32_t ready;
	int rc = gave(os_local_pair(pair), &pair[0]);

	rc = UNLESS(rc, gave(os_local_listen(path, 0600, &listener), &listener.socket));
	rc = UNLESS(rc, gave(os_local_connect(path, &client), &client));
	rc = UNLESS(rc, gave(os_local_accept(&listener, &server), &server));
	rc = UNLESS(rc, os_local_peer(server, &peer));
	CHECK((rc < 0) == (peer.group_count == 4711));
	rc = UNLESS(rc, gave(os_local_peer_process(server, &process), &process));
	rc = UNLESS(rc, gave(os_poller_create(&poller), &poller));
	rc = UNLESS(rc, os_poller_add(poller, server, 7));
	rc = UNLESS(rc, os_local_send(client, "x", 1, pair, 1));
	rc = UNLESS(rc, os_poller_wait(poller, UINT64_MAX, &event, 1, &count));
	rc = UNLESS(rc, os_wait_readable(&server, 1, UINT64_MAX, &ready));
	rc = UNLESS(rc, gave(os_local_receive(server, &byte, 1, &length, &passed, 1, &count), &passed));
	if (poller != OS_NO_HANDLE)
		os_poller_remove(poller, server);
	if (listener.socket != OS_NO_HANDLE)
		os_local_unlisten(&listener);
	for (size_t i = 0; i < 7; i++)
		os_handle_close((const os_handle[]){client, server, process, poller, pair[0], pair[1], passed}[i]);
}

/* Where the path was left by the dead. */
static void successor(void)
{
	struct os_listener listener = {.socket = OS_NO_HANDLE};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int left = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)unlink(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	CHECK_SYS(bind(left, (struct sockaddr *)&address, sizeof(address)));
	close(left);
	if (gave(os_local_listen(path, 0600, &listener), &listener.socket) == 0)
		os_local_unlisten(&listener);
}

static void adopted(void)
{
	struct os_listener listener = {.socket = OS_NO_HANDLE};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK_SYS(bind(fd, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t))); /* somewhere */
	CHECK_SYS(listen(fd, 1));
	if (gave(os_local_adopt(fd, &listener), &listener.socket) == 0)
		os_local_unlisten(&listener);
	else
		close(fd);
}

static void nothing(void *argument, const os_handle *handles)
{
	(void)argument, (void)handles;
}

static void detached(void)
{
	CHECK_INT(os_process_detach("x", nothing, NULL, 0, &(os_handle){0}, 1), >=, -STOA_ETRUNCATED);
}

static int close_it(const char *name, os_handle memory, void *argument)
{
	(void)name, (void)argument;
	os_handle_close(memory);
	return 0;
}

static void held(void)
{
	struct store_holder *holder = NULL;
	int rc = store_holder_start(path, &holder);

	CHECK((rc == 0) == (holder != NULL));
	rc = UNLESS(rc, store_holder_put(holder, "a", 0));
	rc = UNLESS(rc, store_holder_put(holder, "b", 0));
	rc = UNLESS(rc, store_holder_visit(holder, close_it, NULL));
	rc = UNLESS(rc, store_holder_drop(holder, "a"));
	if (holder && rc)
		store_holder_close(holder);
	else if (holder)
		(void)store_holder_end(holder);
}

/* Processes of their own are the harness's children; one that still holds something is told to end. */
static void end_all(void)
{
	struct store_holder *holder;

	CHECK_RC(store_holder_start(path, &holder), 0);
	CHECK_RC(store_holder_put(holder, "a", 0), 0);
	CHECK_RC(store_holder_end(holder), 0);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

/* Does each call fail somewhere? `after` calls are tried behind the last that this process makes, for its children's. */
static void try_all(void (*scenario)(void), uint64_t after, void (*end)(void))
{
	for (size_t i = 0; i < CC_COUNT(errors); i++) {
		uint64_t calls = 1;

		for (uint64_t nth = 1; nth <= calls + after; nth++) {
			unsigned before = descriptors();
			int64_t allocations = os_fault_allocations();

			os_fault_arm(nth, errors[i]);
			scenario();
			calls = os_fault_calls() > calls ? os_fault_calls() : calls;
			os_fault_arm(0, 0);
			if (end)
				end();
			CHECK_EQ(descriptors(), before);
			CHECK_EQ(os_fault_allocations(), allocations);
		}
		scenario(); /* all works */
		if (end)
			end();
		CHECK_INT(calls, >, 3);
	}
}

static void set_path(void)
{
	snprintf(path, sizeof(path), "%s/s", test_dir());
}

TEST_TIMEOUT(sockets_without_a_call, 60)
{
	set_path();
	try_all(sockets, 2, NULL);
	try_all(successor, 2, NULL);
	try_all(adopted, 2, NULL);
}

static void reap_all(void)
{
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

TEST_TIMEOUT(a_process_of_its_own_without_a_call, 60)
{
	try_all(detached, 12, reap_all);
}

TEST_TIMEOUT(a_holder_without_a_call, 300)
{
	set_path();
	try_all(held, 60, end_all);
}
