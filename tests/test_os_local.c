/* SPDX-License-Identifier: MIT */
/*
 * Local sockets of os/local.h: who may have a path, what the dead leave there, who is at the other end, messages with descriptors from friend and
 * enemy, and waits.
 */
#include <harness/test.h>
#include <os/local.h>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define NOBODY 65534
#define SECOND UINT64_C(1000000000)

static char path[200];

static const char *at(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	return path;
}

static bool is_there(const char *name)
{
	return access(at(name), F_OK) == 0;
}

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

static void become_nobody(void)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL)); /* which that has cleared */
}

static void need_root(void)
{
	if (geteuid() != 0)
		SKIP("another user needs root");
}

/* Two ends over the listener. */
static void meet(const char *where, const struct os_listener *listener, os_handle *client, os_handle *server)
{
	CHECK_RC(os_local_connect(where, client), 0);
	CHECK_RC(os_local_accept(listener, server), 0);
}

static void say(os_handle socket, const char *text)
{
	CHECK_RC(os_local_send(socket, text, strlen(text) + 1, NULL, 0), 0);
}

static void hear(os_handle socket, const char *expected)
{
	char text[64];
	size_t length;
	uint32_t ready;

	CHECK_RC(os_wait_readable(&socket, 1, UINT64_MAX, &ready), 0);
	CHECK_RC(os_local_receive(socket, text, sizeof(text), &length, NULL, 0, NULL), 0);
	CHECK_EQ(length, strlen(expected) + 1);
	CHECK_STR(text, expected);
}

static int receive_nothing(os_handle socket)
{
	char byte;
	size_t length;

	return os_local_receive(socket, &byte, 1, &length, NULL, 0, NULL);
}

/* ---- listening ---- */

TEST(a_client_and_a_server_meet)
{
	struct os_listener listener;
	os_handle client, server;

	CHECK_RC(os_local_connect(at("s"), &client), -STOA_ENOENT);
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	CHECK_RC(os_local_accept(&listener, &server), -STOA_EBUSY);
	meet(at("s"), &listener, &client, &server);
	say(client, "question");
	hear(server, "question");
	say(server, "answer");
	hear(client, "answer");
	CHECK_EQ(fcntl((int)client, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl((int)server, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl((int)server, F_GETFL) & O_NONBLOCK);
	os_local_unlisten(&listener);
	CHECK(!is_there("s") && !is_there("s.lock"));
	CHECK_RC(os_local_connect(at("s"), &client), -STOA_ENOENT);
	say(client, "still there");
	os_handle_close(client);
	hear(server, "still there");
	CHECK_RC(receive_nothing(server), -STOA_ECLOSED);
	os_handle_close(server);
}

TEST(the_mode_is_as_asked_for_whatever_the_umask)
{
	static const mode_t modes[] = {0600, 0660, 0666}, masks[] = {0, 022, 077, 0777};
	struct os_listener listener;
	struct stat status;

	for (size_t i = 0; i < CC_COUNT(modes) * CC_COUNT(masks); i++) {
		umask(masks[i % CC_COUNT(masks)]);
		CHECK_RC(os_local_listen(at("s"), modes[i / CC_COUNT(masks)], &listener), 0);
		CHECK_SYS(stat(at("s"), &status));
		CHECK_EQ(status.st_mode, S_IFSOCK | modes[i / CC_COUNT(masks)]);
		umask(022);
		os_local_unlisten(&listener);
	}
}

TEST(a_path_has_one_server)
{
	struct os_listener listener, second;
	os_handle client, server;

	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	CHECK_RC(os_local_listen(at("s"), 0600, &second), -STOA_EEXIST);
	CHECK(strstr(stoa_error_detail(), "/s'"));
	meet(at("s"), &listener, &client, &server);
	os_handle_close(client);
	os_handle_close(server);
	/* Though somebody take its file away. */
	CHECK_SYS(unlink(at("s")));
	CHECK_RC(os_local_listen(at("s"), 0600, &second), -STOA_EEXIST);
	os_local_unlisten(&listener);
	CHECK_RC(os_local_listen(at("s"), 0600, &second), 0);
	os_local_unlisten(&second);
}

/* A server that does not know of locks, and what it listens with. */
static int stranger(const char *where, int kind)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", where);
	CHECK_SYS(fd);
	CHECK_SYS(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	if (kind != SOCK_DGRAM)
		CHECK_SYS(listen(fd, 0));
	return fd;
}

TEST(a_living_server_of_another_kind_keeps_its_path)
{
	static const int kinds[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
	struct os_listener listener;
	os_handle client;

	for (size_t i = 0; i < CC_COUNT(kinds); i++) {
		int fd = stranger(at("s"), kinds[i]);

		CHECK_RC(os_local_listen(at("s"), 0600, &listener), -STOA_EEXIST);
		if (i)
			CHECK_RC(os_local_connect(at("s"), &client), -STOA_EKIND);
		CHECK(is_there("s"));
		close(fd);
		CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0); /* its file was left */
		os_local_unlisten(&listener);
	}
}

TEST(a_place_that_cannot_be_a_sockets_is_an_error)
{
	char longest[OS_LOCAL_PATH + 2];
	struct os_listener listener;
	unsigned before = descriptors();
	os_handle client;
	int fd = open(at("file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	CHECK_SYS(fd);
	close(fd);
	CHECK_RC(os_local_listen(at("file"), 0600, &listener), -STOA_EKIND);
	CHECK(is_there("file"));
	CHECK_RC(os_local_connect(at("file"), &client), -STOA_ENOENT);
	CHECK_SYS(symlink("nowhere", at("link")));
	CHECK_RC(os_local_listen(at("link"), 0600, &listener), -STOA_EKIND);
	CHECK_SYS(mkdir(at("directory"), 0700));
	CHECK_RC(os_local_listen(at("directory"), 0600, &listener), -STOA_EKIND);
	CHECK_SYS(symlink("nowhere", at("s.lock")));
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), -STOA_EKIND);
	CHECK_RC(os_local_listen(at("no/s"), 0600, &listener), -STOA_ENOENT);
	CHECK_RC(os_local_connect(at("no/s"), &client), -STOA_ENOENT);
	CHECK_RC(os_local_listen("", 0600, &listener), -STOA_ENAME);
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, test_dir(), strlen(test_dir()));
	longest[strlen(test_dir())] = '/';
	longest[OS_LOCAL_PATH + 1] = 0;
	CHECK_RC(os_local_listen(longest, 0600, &listener), -STOA_ENAME);
	CHECK_RC(os_local_connect(longest, &client), -STOA_ENAME);
	CHECK_EQ(descriptors(), before);
	longest[OS_LOCAL_PATH] = 0;
	CHECK_RC(os_local_listen(longest, 0600, &listener), 0);
	CHECK_RC(os_local_connect(longest, &client), 0);
	os_handle_close(client);
	os_local_unlisten(&listener);
}

TEST(a_directory_for_all_must_be_sticky_and_ones_own_or_roots)
{
	struct os_listener listener;

	CHECK_SYS(mkdir(at("open"), 0700));
	CHECK_SYS(chmod(at("open"), 0777));
	CHECK_RC(os_local_listen(at("open/s"), 0600, &listener), -STOA_EACCES);
	CHECK(strstr(stoa_error_detail(), "sticky"));
	CHECK_SYS(chmod(at("open"), 01777));
	CHECK_RC(os_local_listen(at("open/s"), 0600, &listener), 0);
	os_local_unlisten(&listener);
	if (geteuid() != 0)
		return;
	CHECK_SYS(chown(at("open"), NOBODY, NOBODY));
	CHECK_RC(os_local_listen(at("open/s"), 0600, &listener), -STOA_EACCES);
	CHECK(strstr(stoa_error_detail(), "65534"));
}

static void listen_as_nobody(void *unused)
{
	struct os_listener listener;

	(void)unused;
	become_nobody();
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), -STOA_EACCES); /* root's lock file, or its directory */
	CHECK_RC(os_local_connect(at("s"), &listener.socket), -STOA_EACCES);
}

TEST(another_users_lock_file_is_not_used)
{
	struct os_listener listener;

	need_root();
	CHECK_SYS(chmod(test_dir(), 01777));
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	CHECK_EQ(test_join(test_role(listen_as_nobody, NULL)), 0);
	os_local_unlisten(&listener);
	close(open(at("s.lock"), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
	CHECK_SYS(chown(at("s.lock"), NOBODY, NOBODY));
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), -STOA_EACCES);
}

TEST(a_relative_path_is_the_same_place_from_elsewhere)
{
	struct os_listener listener;

	CHECK_SYS(chdir(test_dir()));
	CHECK_RC(os_local_listen("s", 0600, &listener), 0);
	CHECK(is_there("s") && is_there("s.lock"));
	CHECK_SYS(chdir("/"));
	os_local_unlisten(&listener);
	CHECK(!is_there("s") && !is_there("s.lock"));
}

TEST(only_ones_own_socket_file_is_removed)
{
	struct os_listener listener;
	int fd;

	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	CHECK_SYS(unlink(at("s")));
	fd = stranger(at("s"), SOCK_SEQPACKET);
	os_local_unlisten(&listener);
	CHECK(is_there("s"));
	close(fd);
}

/* ---- death ---- */

static void listen_until_killed(void *ready)
{
	struct os_listener listener;

	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	atomic_store((_Atomic uint32_t *)ready, 1);
	test_pause();
}

TEST(what_a_killed_server_has_left_is_its_successors)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	struct os_listener listener;
	os_handle client, server;

	for (unsigned i = 0; i < 10; i++) {
		pid_t role = test_role(listen_until_killed, ready);

		test_await(ready, 1);
		CHECK_RC(os_local_listen(at("s"), 0600, &listener), -STOA_EEXIST);
		CHECK_RC(os_local_connect(at("s"), &client), 0);
		test_kill(role);
		CHECK_RC(receive_nothing(client), -STOA_ECLOSED);
		os_handle_close(client);
		CHECK(is_there("s") && is_there("s.lock"));
		CHECK_RC(os_local_connect(at("s"), &client), -STOA_ENOENT);
		atomic_store(ready, 0);
	}
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	meet(at("s"), &listener, &client, &server);
	os_handle_close(client);
	os_handle_close(server);
	os_local_unlisten(&listener);
	CHECK(!is_there("s") && !is_there("s.lock"));
}

struct race {
	_Atomic uint32_t inside; /* who listens; 0: nobody */
	_Atomic uint32_t starts;
	uint64_t seed;
};

/* Who was killed while it listened has yet to be gone, maybe; who lives finds its place taken. */
static void await_end(uint32_t pid)
{
	os_handle process;

	if (!pid || os_process_open(pid, &process) == -STOA_ENOENT)
		return;
	while (!os_process_ended(process))
		test_nap(1);
	os_handle_close(process);
}

/* Whoever listens is the only one, and who connects comes to it. */
static void race_to_listen(void *argument)
{
	struct race *race = argument;
	uint64_t random = race->seed + (uint64_t)getpid();
	struct os_listener listener;
	os_handle client, server;

	for (;;) {
		int rc = os_local_listen(at("s"), 0600, &listener);

		if (rc) {
			if (rc != -STOA_EBUSY)
				CHECK_RC(rc, -STOA_EEXIST);
			continue;
		}
		await_end(atomic_exchange(&race->inside, (uint32_t)getpid()));
		atomic_fetch_add(&race->starts, 1);
		meet(at("s"), &listener, &client, &server);
		say(client, "to me");
		hear(server, "to me");
		os_handle_close(client);
		os_handle_close(server);
		for (uint64_t i = test_random(&random) % 20000; i; i--)
			atomic_load(&race->starts);
		CHECK_EQ(atomic_exchange(&race->inside, 0), getpid());
		os_local_unlisten(&listener);
	}
}

TEST_TIMEOUT(of_many_that_start_at_once_one_listens_and_deaths_free_the_path, 120)
{
	struct race *race = test_shared(sizeof(*race));
	unsigned rounds = test_rounds(100, 5000);
	struct os_listener listener;
	uint64_t random = race->seed = test_seed();
	pid_t roles[4];

	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(race_to_listen, race);
	for (unsigned i = 0; i < rounds; i++) {
		pid_t *victim = &roles[test_random(&random) % CC_COUNT(roles)];

		usleep((useconds_t)(test_random(&random) % 3000));
		test_kill(*victim);
		*victim = test_role(race_to_listen, race);
	}
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		test_kill(roles[i]);
	CHECK_INT(atomic_load(&race->starts), >, 0);
	test_note("%u starts", atomic_load(&race->starts));
	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	os_local_unlisten(&listener);
}

/* ---- adopting, accepting, connecting ---- */

TEST(a_managers_socket_is_adopted)
{
	int stream = stranger(at("stream"), SOCK_STREAM), fd = stranger(at("s"), SOCK_SEQPACKET), on = 1, mute;
	struct os_listener listener;
	os_handle client, server;

	CHECK_RC(os_local_adopt(stream, &listener), -STOA_EKIND);
	CHECK_RC(os_local_adopt(0, &listener), -STOA_EKIND);
	CHECK_RC(os_local_adopt(999, &listener), -STOA_EKIND);
	mute = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK_RC(os_local_adopt(mute, &listener), -STOA_EKIND);
	CHECK_SYS(fcntl(fd, F_SETFD, 0));
	CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on))); /* PassCredentials= */
	CHECK_RC(os_local_adopt(fd, &listener), 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_RC(os_local_accept(&listener, &server), -STOA_EBUSY);
	meet(at("s"), &listener, &client, &server);
	say(client, "hello");
	hear(server, "hello");
	os_handle_close(client);
	os_handle_close(server);
	os_local_unlisten(&listener);
	CHECK(is_there("s")); /* the manager's */
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
	close(mute);
	close(stream);
}

TEST(who_cannot_be_let_in_waits)
{
	struct rlimit limit, few;
	struct os_listener listener;
	os_handle client, server, pair[2];

	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	CHECK_RC(os_local_connect(at("s"), &client), 0);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	few = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few));
	CHECK_RC(os_local_accept(&listener, &server), -STOA_ELIMIT);
	CHECK_RC(os_local_connect(at("s"), &server), -STOA_ELIMIT);
	CHECK_RC(os_local_pair(pair), -STOA_ELIMIT);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_RC(os_local_accept(&listener, &server), 0);
	say(client, "at last");
	hear(server, "at last");
	os_handle_close(client);
	os_handle_close(server);
	os_local_unlisten(&listener);
}

TEST(a_server_that_lets_nobody_in_is_busy)
{
	int fd = stranger(at("s"), SOCK_SEQPACKET);
	os_handle first, second;

	CHECK_RC(os_local_connect(at("s"), &first), 0);
	CHECK_RC(os_local_connect(at("s"), &second), -STOA_EBUSY);
	os_handle_close(first);
	close(fd);
}

/* ---- who is at the other end ---- */

TEST(a_peer_is_known_by_the_kernel)
{
	os_handle ends[2], process;
	struct os_peer peer;
	char name[64];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(os_local_peer(ends[0], &peer), 0);
	CHECK_EQ(peer.user, geteuid());
	CHECK_EQ(peer.group, getegid());
	CHECK_EQ(peer.process, getpid());
	CHECK(os_peer_in_group(&peer, getegid()));
	CHECK(!os_peer_in_group(&peer, 12345));
	CHECK_RC(os_local_peer_process(ends[0], &process), 0);
	CHECK(!os_process_ended(process));
	CHECK_RC(os_local_peer(fd, &peer), -STOA_EINVAL);
	CHECK_INT(os_local_peer(999, &peer), <, 0);
	CHECK_INT(os_local_peer_process(999, &process), <, 0);
	CHECK(strstr(os_user_name(0, name, sizeof(name)), "root"));
	CHECK(strstr(os_group_name(0, name, sizeof(name)), "root"));
	CHECK_STR(os_group_name(54321, name, sizeof(name)), "group id 54321");
	CHECK_STR(os_user_name(54321, name, sizeof(name)), "user id 54321");
	os_handle_close(process);
	os_handle_close(ends[0]);
	os_handle_close(ends[1]);
	close(fd);
}

static void connect_and_wait(void *unused)
{
	os_handle socket;

	(void)unused;
	CHECK_RC(os_local_connect(at("s"), &socket), 0);
	hear(socket, "end");
}

TEST(a_peers_end_shows)
{
	struct os_listener listener;
	os_handle server, process;
	uint32_t ready;

	CHECK_RC(os_local_listen(at("s"), 0600, &listener), 0);
	for (unsigned killed = 0; killed < 2; killed++) {
		pid_t role = test_role(connect_and_wait, NULL);

		CHECK_RC(os_wait_readable(&listener.socket, 1, UINT64_MAX, &ready), 0);
		CHECK_RC(os_local_accept(&listener, &server), 0);
		CHECK_RC(os_local_peer_process(server, &process), 0);
		CHECK_RC(os_wait_readable(&process, 1, os_now() + SECOND / 100, &ready), STOA_TIMED_OUT);
		if (killed)
			CHECK_SYS(kill(role, SIGKILL));
		else
			say(server, "end");
		CHECK_RC(os_wait_readable(&process, 1, UINT64_MAX, &ready), 0);
		CHECK(os_process_ended(process));
		test_join(role);
		os_handle_close(process);
		if (os_local_peer_process(server, &process) == 0) { /* newer kernels still know it */
			CHECK(os_process_ended(process));
			os_handle_close(process);
		}
		os_handle_close(server);
	}
	os_local_unlisten(&listener);
}

static void connect_with_groups(void *argument)
{
	const unsigned *count = argument;
	gid_t groups[300];
	os_handle socket;

	for (unsigned i = 0; i < *count; i++)
		groups[i] = 5000 + i;
	CHECK_SYS(setgroups(*count, groups));
	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_RC(os_local_connect(at("s"), &socket), 0);
	hear(socket, "end");
}

TEST(another_user_comes_with_its_groups)
{
	unsigned *count = test_shared(sizeof(*count));
	static const unsigned counts[] = {0, 1, 3, 255, 256, 257, 300};
	struct os_listener listener;
	struct os_peer peer;
	os_handle server;
	uint32_t ready;

	need_root();
	CHECK_SYS(chmod(test_dir(), 0711));
	CHECK_RC(os_local_listen(at("s"), 0666, &listener), 0);
	for (size_t i = 0; i < CC_COUNT(counts); i++) {
		pid_t role;

		*count = counts[i];
		role = test_role(connect_with_groups, count);
		CHECK_RC(os_wait_readable(&listener.socket, 1, UINT64_MAX, &ready), 0);
		CHECK_RC(os_local_accept(&listener, &server), 0);
		CHECK_RC(os_local_peer(server, &peer), 0);
		CHECK_EQ(peer.user, NOBODY);
		CHECK_EQ(peer.group, NOBODY);
		CHECK_EQ(peer.process, role);
		CHECK_EQ(peer.group_count, *count < OS_PEER_GROUPS ? *count : OS_PEER_GROUPS);
		for (unsigned group = 0; group < 300; group++)
			CHECK_EQ(os_peer_in_group(&peer, 5000 + group), group < peer.group_count);
		say(server, "end");
		CHECK_EQ(test_join(role), 0);
		os_handle_close(server);
	}
	os_local_unlisten(&listener);
}

/* ---- messages ---- */

TEST(messages_arrive_whole_and_in_order)
{
	static unsigned char out[100000], in[100001];
	uint64_t random = test_seed();
	os_handle ends[2];
	size_t length;

	CHECK_RC(os_local_pair(ends), 0);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)test_random(&random);
	for (unsigned round = 0; round < 200; round++) {
		size_t sizes[2] = {1 + test_random(&random) % (round % 2 ? 100 : 60000),
				   1 + test_random(&random) % sizeof(out)};

		for (unsigned i = 0; i < 2; i++)
			CHECK_RC(os_local_send(ends[0], out, sizes[i], NULL, 0), 0);
		for (unsigned i = 0; i < 2; i++) {
			CHECK_RC(os_local_receive(ends[1], in, sizeof(in), &length, NULL, 0, NULL), 0);
			CHECK_EQ(length, sizes[i]);
			CHECK(!memcmp(in, out, length));
		}
	}
	CHECK_RC(receive_nothing(ends[1]), -STOA_EBUSY);
	CHECK_RC(os_local_send(ends[0], out, 0, NULL, 0), -STOA_EINVAL);
	CHECK_RC(os_local_send(ends[0], out, 1, NULL, OS_LOCAL_PASSED + 1), -STOA_EINVAL);
	os_handle_close(ends[0]);
	os_handle_close(ends[1]);
}

TEST(a_sender_does_not_wait)
{
	static char large[16 << 20];
	os_handle ends[2];
	char text[2000] = "x";
	unsigned sent = 0, got = 0;
	size_t length;

	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(os_local_send(ends[0], large, sizeof(large), NULL, 0), -STOA_ERANGE);
	CHECK_SYS(fcntl((int)ends[0], F_SETFL, 0)); /* though its socket would */
	while (os_local_send(ends[0], text, sizeof(text), NULL, 0) == 0)
		sent++;
	CHECK_INT(sent, >, 10);
	CHECK_RC(os_local_send(ends[0], text, sizeof(text), NULL, 0), -STOA_EBUSY);
	while (os_local_receive(ends[1], text, sizeof(text), &length, NULL, 0, NULL) == 0)
		got++;
	CHECK_EQ(got, sent);
	CHECK_SYS(fcntl((int)ends[1], F_SETFL, 0));
	CHECK_RC(receive_nothing(ends[1]), -STOA_EBUSY);
	os_handle_close(ends[1]);
	CHECK_RC(os_local_send(ends[0], text, sizeof(text), NULL, 0), -STOA_ECLOSED); /* and no SIGPIPE */
	os_handle_close(ends[0]);
}

TEST(what_was_sent_before_the_end_arrives)
{
	os_handle ends[2];

	CHECK_RC(os_local_pair(ends), 0);
	say(ends[0], "first");
	say(ends[0], "second");
	say(ends[1], "never read");
	os_handle_close(ends[0]);
	hear(ends[1], "first");
	hear(ends[1], "second");
	CHECK_RC(receive_nothing(ends[1]), -STOA_ECLOSED);
	CHECK_RC(receive_nothing(ends[1]), -STOA_ECLOSED);
	os_handle_close(ends[1]);
}

/* As many memory objects, of which each says its number. */
static void make_objects(os_handle *objects, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		CHECK_RC(os_memory_create(4096, 0, &objects[i]), 0);
		CHECK_RC(os_memory_set_length(objects[i], 4096), 0);
		CHECK_RC(os_memory_write(objects[i], 0, &i, sizeof(i)), 0);
	}
}

static void close_all(const os_handle *handles, unsigned count)
{
	while (count)
		os_handle_close(handles[--count]);
}

TEST(descriptors_come_with_their_message)
{
	os_handle ends[2], objects[OS_LOCAL_PASSED], passed[OS_LOCAL_PASSED];
	unsigned before = descriptors(), count, number;
	size_t length;

	CHECK_RC(os_local_pair(ends), 0);
	make_objects(objects, OS_LOCAL_PASSED);
	for (unsigned sent = 0; sent <= OS_LOCAL_PASSED; sent++) {
		CHECK_RC(os_local_send(ends[0], &sent, sizeof(sent), objects, sent), 0);
		CHECK_RC(os_local_receive(ends[1], &number, sizeof(number), &length, passed, OS_LOCAL_PASSED, &count),
			 0);
		CHECK_EQ(number, sent);
		CHECK_EQ(count, sent);
		for (unsigned i = 0; i < count; i++) {
			CHECK_RC(os_memory_read(passed[i], 0, &number, sizeof(number), &length), 0);
			CHECK_EQ(number, i);
			CHECK_EQ(fcntl((int)passed[i], F_GETFD), FD_CLOEXEC);
		}
		close_all(passed, count);
	}
	close_all(objects, OS_LOCAL_PASSED);
	objects[0] = 999;
	CHECK_RC(os_local_send(ends[0], "x", 1, objects, 1), -STOA_EINVAL);
	close_all(ends, 2);
	CHECK_EQ(descriptors(), before);
}

/* ---- enemies ---- */

/* A message of `length` bytes with `count` copies of a descriptor, as no function of ours would send it. */
static void send_anything(os_handle socket, size_t length, unsigned count)
{
	static char bytes[4096];
	static _Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec piece = {bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *header;

	memset(control, 0, sizeof(control));
	message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (unsigned i = 0; i < count; i++)
		memcpy(CMSG_DATA(header) + i * sizeof(int), &(int){0}, sizeof(int));
	if (!count)
		message.msg_control = NULL, message.msg_controllen = 0;
	CHECK_SYS(sendmsg((int)socket, &message, 0));
}

TEST(nothing_of_an_enemys_message_stays)
{
	static const unsigned counts[] = {0, 1, 2, 15, 16, 17, 18, 31, 32, 100, 253}, rooms[] = {0, 1, 2, 15, 16};
	static const size_t lengths[] = {1, 99, 100, 101, 4096};
	os_handle ends[2], passed[OS_LOCAL_PASSED];
	unsigned before, count;
	char bytes[100];
	size_t got;

	CHECK_RC(os_local_pair(ends), 0);
	before = descriptors();
	for (size_t i = 0; i < CC_COUNT(counts) * CC_COUNT(rooms) * CC_COUNT(lengths); i++) {
		unsigned sent = counts[i % CC_COUNT(counts)], room = rooms[i / CC_COUNT(counts) % CC_COUNT(rooms)];
		size_t length = lengths[i / CC_COUNT(counts) / CC_COUNT(rooms)];
		bool fits = length <= sizeof(bytes) && sent <= room;

		count = 12345;
		got = 12345;
		send_anything(ends[0], length, sent);
		CHECK_RC(os_local_receive(ends[1], bytes, sizeof(bytes), &got, passed, room, &count),
			 fits ? 0 : -STOA_EFORMAT);
		CHECK_EQ(got, fits ? length : 12345);
		CHECK_EQ(count, fits ? sent : 12345);
		close_all(passed, fits ? sent : 0);
		CHECK_EQ(descriptors(), before);
	}
	send_anything(ends[0], 0, 5);
	CHECK_RC(os_local_receive(ends[1], bytes, sizeof(bytes), &got, passed, OS_LOCAL_PASSED, &count), -STOA_ECLOSED);
	CHECK_EQ(descriptors(), before);
	say(ends[0], "and on it goes");
	hear(ends[1], "and on it goes");
	close_all(ends, 2);
}

TEST(descriptors_beyond_the_limit_are_an_error_and_none_stays)
{
	os_handle ends[2], passed[OS_LOCAL_PASSED];
	struct rlimit limit, few;
	unsigned before, count;
	char byte;
	size_t got;

	CHECK_RC(os_local_pair(ends), 0);
	before = descriptors();
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	few = (struct rlimit){.rlim_cur = (rlim_t)ends[1] + 4, .rlim_max = limit.rlim_max};
	send_anything(ends[0], 1, 5);
	send_anything(ends[0], 1, 100);
	send_anything(ends[0], 1, 2);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few));
	CHECK_RC(os_local_receive(ends[1], &byte, 1, &got, passed, OS_LOCAL_PASSED, &count), -STOA_ELIMIT);
	CHECK_RC(os_local_receive(ends[1], &byte, 1, &got, passed, OS_LOCAL_PASSED, &count), -STOA_ELIMIT);
	CHECK_RC(os_local_receive(ends[1], &byte, 1, &got, passed, OS_LOCAL_PASSED, &count), 0);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	close_all(passed, count);
	CHECK_EQ(descriptors(), before);
	close_all(ends, 2);
}

/* ---- waiting ---- */

TEST(a_poller_tells_what_is_so)
{
	os_handle poller, ends[2], bell, process;
	struct os_poller_event events[4];
	unsigned count = 77;
	pid_t role = test_role((void (*)(void *))(void (*)(void))test_pause, NULL);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK_RC(os_poller_create(&poller), 0);
	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(os_notifier_create(&bell), 0);
	CHECK_RC(os_process_open(role, &process), 0);
	CHECK_RC(os_poller_add(poller, fd, 1), -STOA_EINVAL);
	CHECK_RC(os_poller_add(poller, 999, 1), -STOA_EINVAL);
	CHECK_RC(os_poller_add(poller, ends[0], UINT64_MAX), 0);
	CHECK_RC(os_poller_add(poller, ends[0], 1), -STOA_EEXIST);
	CHECK_RC(os_poller_add(poller, bell, 2), 0);
	CHECK_RC(os_poller_add(poller, process, 3), 0);
	CHECK_RC(os_poller_wait(poller, 0, events, 4, &count), STOA_TIMED_OUT);
	CHECK_RC(os_poller_wait(poller, os_now() + SECOND / 50, events, 4, &count), STOA_TIMED_OUT);
	CHECK_EQ(count, 77);
	os_notifier_raise(bell);
	CHECK_RC(os_poller_wait(poller, UINT64_MAX, events, 4, &count), 0);
	CHECK(count == 1 && events[0].key == 2 && events[0].readable && !events[0].ended);
	os_notifier_clear(bell);
	say(ends[1], "x");
	for (unsigned i = 0; i < 2; i++) { /* as long as it is so */
		CHECK_RC(os_poller_wait(poller, UINT64_MAX, events, 4, &count), 0);
		CHECK(count == 1 && events[0].key == UINT64_MAX && events[0].readable && !events[0].ended);
	}
	os_handle_close(ends[1]);
	CHECK_RC(os_poller_wait(poller, UINT64_MAX, events, 4, &count), 0);
	CHECK(count == 1 && events[0].readable && events[0].ended);
	os_poller_remove(poller, ends[0]);
	CHECK_RC(os_poller_wait(poller, 0, events, 4, &count), STOA_TIMED_OUT);
	test_kill(role);
	os_notifier_raise(bell);
	CHECK_RC(os_poller_wait(poller, UINT64_MAX, events, 4, &count), 0);
	CHECK_EQ(count, 2);
	CHECK_RC(os_poller_wait(poller, UINT64_MAX, events, 1, &count), 0);
	CHECK_EQ(count, 1);
	close_all((const os_handle[]){poller, ends[0], bell, process, fd}, 5);
}

static void on_alarm(int signal)
{
	(void)signal;
}

TEST(waits_go_on_after_signals_and_end_at_their_deadline)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 3000}, {0, 3000}};
	struct os_poller_event event;
	os_handle poller, ends[2];
	uint64_t deadline;
	uint32_t ready;
	unsigned count;

	CHECK_RC(os_poller_create(&poller), 0);
	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(os_poller_add(poller, ends[0], 1), 0);
	CHECK_SYS(sigaction(SIGALRM, &action, NULL));
	CHECK_SYS(setitimer(ITIMER_REAL, &often, NULL));
	for (unsigned i = 0; i < 5; i++) {
		deadline = os_now() + SECOND / 30;
		CHECK_RC(os_poller_wait(poller, deadline, &event, 1, &count), STOA_TIMED_OUT);
		CHECK_INT(os_now(), >=, deadline);
		deadline = os_now() + SECOND / 30;
		CHECK_RC(os_wait_readable(ends, 2, deadline, &ready), STOA_TIMED_OUT);
		CHECK_INT(os_now(), >=, deadline);
	}
	CHECK_SYS(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
	close_all((const os_handle[]){poller, ends[0], ends[1]}, 3);
}

TEST(a_wait_for_some_tells_which)
{
	os_handle ends[2], bells[33], many[34];
	uint32_t ready = 0xabcd;

	CHECK_RC(os_local_pair(ends), 0);
	for (unsigned i = 0; i < 33; i++)
		CHECK_RC(os_notifier_create(&bells[i]), 0);
	CHECK_RC(os_wait_readable(bells, 33, 0, &ready), -STOA_EINVAL);
	CHECK_RC(os_wait_readable(bells, 32, 0, &ready), STOA_TIMED_OUT);
	CHECK_RC(os_wait_readable(NULL, 0, os_now() + SECOND / 100, &ready), STOA_TIMED_OUT);
	CHECK_EQ(ready, 0xabcd);
	os_notifier_raise(bells[0]);
	os_notifier_raise(bells[31]);
	CHECK_RC(os_wait_readable(bells, 32, UINT64_MAX, &ready), 0);
	CHECK_EQ(ready, UINT32_C(0x80000001));
	many[0] = OS_NO_HANDLE;
	many[1] = ends[0];
	many[2] = bells[0];
	CHECK_RC(os_wait_readable(many, 3, UINT64_MAX, &ready), 0);
	CHECK_EQ(ready, 4);
	os_handle_close(ends[1]);
	CHECK_RC(os_wait_readable(many, 3, UINT64_MAX, &ready), 0);
	CHECK_EQ(ready, 6);
	many[0] = 999;
	CHECK_RC(os_wait_readable(many, 3, UINT64_MAX, &ready), -STOA_EINVAL);
	close_all(bells, 33);
	os_handle_close(ends[0]);
}
