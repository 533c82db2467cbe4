/* SPDX-License-Identifier: MIT */
/*
 * `stoad --held` beside a service manager that keeps descriptors, which is a thread of the test: it takes what systemd takes, forgets and gives back as
 * systemd does, starts stoad, and kills it.
 */
#include <harness/test.h>

#include "tool/run.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>
#include <store/exposition.h>

#define MIB ((size_t)1 << 20)
#define KEPT_MAX 400
#define DATA ((size_t)300000)

struct manager {
	char told[108], place[108]; /* as long as an address may be */
	int socket, end[2];
	unsigned limit; /* that it keeps */
	pthread_t thread;
	pthread_mutex_t lock; /* what follows */
	struct {
		char name[300];
		int descriptor;
	} kept[KEPT_MAX];
	unsigned count, refused, ready, barriers;
	int listening; /* -1: none */
	pid_t service;
};

static struct manager manager;

/* ---- what the service tells ---- */

/* The value of a line "KEY=value"; NULL: there is none. */
static const char *value_of(const char *text, const char *key, char value[300])
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, key, length) == 0 && line[length] == '=') {
			snprintf(value, 300, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
			return value;
		}
	return NULL;
}

static void forget(const char *name)
{
	unsigned left = 0;

	for (unsigned i = 0; i < manager.count; i++)
		if (strcmp(manager.kept[i].name, name) == 0)
			close(manager.kept[i].descriptor);
		else
			manager.kept[left++] = manager.kept[i];
	manager.count = left;
}

static void keep(const char *text, int descriptor)
{
	char name[300], poll_it[300];

	CHECK(value_of(text, "FDNAME", name) != NULL);
	CHECK_INT(strlen(name), <=, 255);
	for (const char *at = name; *at; at++)
		CHECK(*at > ' ' && *at < 127 && *at != ':');
	CHECK(value_of(text, "FDPOLL", poll_it) && strcmp(poll_it, "0") == 0);
	CHECK_INT(descriptor, >=, 0);
	if (manager.count >= manager.limit) {
		manager.refused++;
		close(descriptor);
		return;
	}
	snprintf(manager.kept[manager.count].name, sizeof(manager.kept[0].name), "%s", name);
	manager.kept[manager.count++].descriptor = descriptor;
}

static void take_message(void)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char text[4096], value[300], name[300];
	struct iovec bytes = {text, sizeof(text) - 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(manager.socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int descriptor = -1;

	if (got < 0)
		return;
	text[got] = 0;
	if (CMSG_FIRSTHDR(&message))
		memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(descriptor));
	pthread_mutex_lock(&manager.lock);
	if (value_of(text, "READY", value))
		manager.ready++;
	if (value_of(text, "FDSTORE", value)) {
		keep(text, descriptor);
	} else if (value_of(text, "FDSTOREREMOVE", value)) {
		CHECK(value_of(text, "FDNAME", name) != NULL);
		forget(name);
	} else if (descriptor >= 0) {
		CHECK_STR(text, "BARRIER=1");
		manager.barriers++;
		close(descriptor);
	}
	pthread_mutex_unlock(&manager.lock);
}

static void *manage(void *argument)
{
	struct pollfd fds[2] = {{manager.socket, POLLIN, 0}, {manager.end[0], POLLIN, 0}};

	(void)argument;
	while (poll(fds, 2, -1) < 0 || !fds[1].revents)
		if (fds[0].revents)
			take_message();
	return NULL;
}

static void begin(unsigned limit)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	manager = (struct manager){.limit = limit, .listening = -1};
	snprintf(manager.told, sizeof(manager.told), "%s/told", test_dir());
	snprintf(manager.place, sizeof(manager.place), "%s/s", test_dir());
	manager.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK_SYS(manager.socket);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", manager.told);
	CHECK_SYS(bind(manager.socket, (struct sockaddr *)&address, sizeof(address)));
	CHECK_SYS(pipe2(manager.end, O_CLOEXEC));
	CHECK_EQ(pthread_mutex_init(&manager.lock, NULL), 0);
	CHECK_EQ(pthread_create(&manager.thread, NULL, manage, NULL), 0);
	CHECK_SYS(setenv("STOA_STORE", manager.place, 1));
}

static void finish(void)
{
	close(manager.end[1]);
	CHECK_EQ(pthread_join(manager.thread, NULL), 0);
	close(manager.end[0]);
	close(manager.socket);
	while (manager.count)
		close(manager.kept[--manager.count].descriptor);
	if (manager.listening >= 0)
		close(manager.listening);
}

/* ---- the service ---- */

static void pass(int descriptor, int to)
{
	CHECK_SYS(dup2(descriptor, to)); /* without the mark that closes it */
}

/* In the child: sockets first, then what was kept, as systemd orders them. */
static noreturn void become_service(char *const *arguments)
{
	int high[KEPT_MAX + 1], null = open("/dev/null", O_RDWR);
	char number[32], *names = calloc(KEPT_MAX + 1, 300);
	unsigned count = 0;

	dup2(null, 0);
	dup2(null, 1);
	if (manager.listening >= 0) {
		high[count++] = fcntl(manager.listening, F_DUPFD_CLOEXEC, 1000);
		strcat(names, "stoad.socket");
	}
	for (unsigned i = 0; i < manager.count; i++) {
		high[count] = fcntl(manager.kept[i].descriptor, F_DUPFD_CLOEXEC, 1000);
		CHECK_SYS(high[count]);
		if (count++)
			strcat(names, ":");
		strcat(names, manager.kept[i].name);
	}
	for (unsigned i = 0; i < count; i++)
		pass(high[i], 3 + (int)i);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%u", count);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	setenv("NOTIFY_SOCKET", manager.told, 1);
	snprintf(number, sizeof(number), "%u", manager.limit);
	setenv("FDSTORE", number, 1);
	execv(STOA_DAEMON, arguments);
	_exit(127);
}

static unsigned ready_count(void)
{
	unsigned ready;

	pthread_mutex_lock(&manager.lock);
	ready = manager.ready;
	pthread_mutex_unlock(&manager.lock);
	return ready;
}

static unsigned kept_count(void)
{
	unsigned count;

	pthread_mutex_lock(&manager.lock);
	count = manager.count;
	pthread_mutex_unlock(&manager.lock);
	return count;
}

static void start_service(void)
{
	char *arguments[] = {"stoad",
			     "--held",
			     "-q",
			     "--limit=64MiB",
			     "--objects=1000",
			     "--clients=20",
			     manager.listening < 0 ? "--socket" : NULL,
			     manager.place,
			     NULL};
	unsigned before = ready_count();

	pthread_mutex_lock(&manager.lock);
	manager.service = fork();
	CHECK_SYS(manager.service);
	if (manager.service == 0)
		become_service(arguments);
	pthread_mutex_unlock(&manager.lock);
	while (ready_count() == before) {
		CHECK_EQ(waitpid(manager.service, NULL, WNOHANG), 0);
		test_nap(1);
	}
}

static void end_service(int number, int expected)
{
	int status;

	CHECK_SYS(kill(manager.service, number));
	CHECK_EQ(waitpid(manager.service, &status, 0), manager.service);
	CHECK_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), expected);
}

/* ---- what must survive ---- */

static const char *data(void)
{
	static char bytes[DATA];

	for (size_t i = 0; i < DATA; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	return bytes;
}

static void put(struct stoa_store *store, const char *id, uint32_t kind)
{
	const struct stoa_object_options options = {.kind = kind};

	CHECK_RC(stoa_store_put(store, id, (uint32_t)strlen(id), data(), kind == STOA_OBJECT_COPIED ? 5000 : DATA,
				&options),
		 0);
}

static void check(struct stoa_store *store, const char *id, size_t size)
{
	struct stoa_object object;

	CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object), 0);
	CHECK_EQ(object.size, size);
	CHECK(memcmp(object.data, data(), size) == 0);
	stoa_object_release(store, &object);
}

static void survive(struct stoa_store *store, int number, int expected)
{
	struct stoa_store_stat before, after;
	struct stoa_object held;
	struct stoa_draft draft;

	CHECK_RC(stoa_store_stat(store, &before), 0);
	CHECK_RC(stoa_store_get(store, "private", 7, 0, &held), 0);
	CHECK_RC(stoa_store_create(store, "draft", 5, DATA, NULL, &draft), 0);
	memcpy(draft.data, data(), DATA / 2);
	end_service(number, expected);
	check(store, "private", DATA); /* gets go on */
	memcpy((char *)draft.data + DATA / 2, data() + DATA / 2, DATA / 2);
	start_service();
	CHECK_RC(stoa_store_stat(store, &after), 0);
	CHECK_EQ(after.servers, before.servers + 1);
	CHECK_EQ(after.objects, before.objects);
	CHECK_RC(stoa_draft_seal(store, &draft, DATA), 0);
	check(store, "draft", DATA);
	CHECK_RC(stoa_store_delete(store, "draft", 5), 0);
	CHECK(memcmp(held.data, data(), DATA) == 0);
	stoa_object_release(store, &held);
	put(store, "new", STOA_OBJECT_SEALED);
	CHECK_RC(stoa_store_delete(store, "new", 3), 0);
}

static void check_survival(void)
{
	struct stoa_store *store, *other;
	struct stat status;
	char path[220];

	start_service();
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_open(NULL, NULL, &other), 0);
	put(store, "copied", STOA_OBJECT_COPIED);
	put(store, "private", STOA_OBJECT_PRIVATE);
	put(store, "sealed", STOA_OBJECT_SEALED);
	for (int i = 0; i < 3; i++)
		survive(i & 1 ? other : store, SIGKILL, -SIGKILL);
	survive(store, SIGUSR1, 0);
	check(other, "copied", 5000);
	check(other, "private", DATA);
	check(other, "sealed", DATA);
	stoa_store_close(other);
	CHECK_RC(stoa_store_open(NULL, NULL, &other), 0);
	check(other, "sealed", DATA);
	/* There is no other process that holds anything. */
	snprintf(path, sizeof(path), "%s.held", manager.place);
	CHECK_EQ(stat(path, &status), -1);
	CHECK_INT(manager.barriers, >, 0);
	CHECK_EQ(manager.refused, 0);
	CHECK_INT(kept_count(), >=, 2 + 2 * 5 + 3);
	/* Who asks it to end ends the store. */
	end_service(SIGTERM, 0);
	CHECK_EQ(kept_count(), 0);
	CHECK_RC(stoa_store_delete(store, "copied", 6), -STOA_ECLOSED);
	stoa_store_close(store);
	stoa_store_close(other);
}

TEST_TIMEOUT(objects_and_clients_outlive_their_server, 60)
{
	begin(300);
	check_survival();
	finish();
}

TEST_TIMEOUT(the_same_with_a_socket_that_the_manager_listens_with, 60)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	begin(300);
	manager.listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK_SYS(manager.listening);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", manager.place);
	CHECK_SYS(bind(manager.listening, (struct sockaddr *)&address, sizeof(address)));
	CHECK_SYS(listen(manager.listening, 20));
	check_survival();
	finish();
}

/* A client that died while there was no server is found out by the next one. */
static void die_holding(void *argument)
{
	_Atomic uint32_t *held = argument;
	struct stoa_object object;
	struct stoa_store *store;

	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_get(store, "private", 7, 0, &object), 0);
	atomic_store(held, 1);
	test_pause();
}

TEST_TIMEOUT(clients_that_die_meanwhile_are_found_out, 60)
{
	_Atomic uint32_t *held = test_shared(sizeof(*held));
	struct stoa_store_stat stat;
	struct stoa_store *store;
	unsigned before;
	pid_t role;

	begin(300);
	start_service();
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	put(store, "private", STOA_OBJECT_PRIVATE);
	before = kept_count();
	role = test_role(die_holding, held);
	test_await(held, 1);
	CHECK_EQ(kept_count(), before + 5);
	end_service(SIGKILL, -SIGKILL);
	test_kill(role);
	start_service();
	do
		CHECK_RC(stoa_store_stat(store, &stat), 0);
	while (stat.clients != 1);
	check(store, "private", DATA);
	while (kept_count() != before)
		test_nap(1);
	end_service(SIGTERM, 0);
	stoa_store_close(store);
	finish();
}

/* What it would drop in silence is not asked of it. */
TEST_TIMEOUT(no_more_is_kept_than_may_be, 60)
{
	struct stoa_store *stores[3];

	begin(2 + 2 * 5 + 1);
	start_service();
	CHECK_RC(stoa_store_open(NULL, NULL, &stores[0]), 0);
	CHECK_RC(stoa_store_open(NULL, NULL, &stores[1]), 0);
	put(stores[0], "copied", STOA_OBJECT_COPIED);
	CHECK_RC(stoa_store_open(NULL, NULL, &stores[2]), -STOA_ELIMIT);
	CHECK_RC(stoa_store_put(stores[0], "sealed", 6, data(), DATA,
				&(struct stoa_object_options){.kind = STOA_OBJECT_SEALED}),
		 -STOA_ELIMIT);
	CHECK_EQ(manager.refused, 0);
	stoa_store_close(stores[1]);
	while (kept_count() != 2 + 5 + 1)
		test_nap(1);
	CHECK_RC(stoa_store_open(NULL, NULL, &stores[2]), 0);
	end_service(SIGKILL, -SIGKILL);
	start_service();
	check(stores[2], "copied", 5000);
	CHECK_EQ(manager.refused, 0);
	end_service(SIGTERM, 0);
	stoa_store_close(stores[0]);
	stoa_store_close(stores[2]);
	finish();
}

/* As a manager's list may be cut short, or a stranger's descriptors may be among them. */
TEST_TIMEOUT(what_is_missing_or_strange_is_dropped, 60)
{
	struct stoa_store *store;

	begin(300);
	start_service();
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	put(store, "private", STOA_OBJECT_PRIVATE);
	put(store, "sealed", STOA_OBJECT_SEALED);
	end_service(SIGKILL, -SIGKILL);
	pthread_mutex_lock(&manager.lock);
	snprintf(manager.kept[manager.count].name, 300,
		 "stoa-kept.a-name-that-is-much-longer-than-any-of-the-stores-own");
	manager.kept[manager.count++].descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
	snprintf(manager.kept[manager.count].name, 300, "stoa-kept.s77.0");
	manager.kept[manager.count++].descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* One part of the client's session. */
	for (unsigned i = 0; i < manager.count; i++)
		if (strstr(manager.kept[i].name, "stoa-kept.s1.1")) {
			close(manager.kept[i].descriptor);
			manager.kept[i] = manager.kept[--manager.count];
		}
	pthread_mutex_unlock(&manager.lock);
	start_service();
	CHECK_RC(stoa_store_delete(store, "sealed", 6), -STOA_ECLOSED);
	stoa_store_close(store);
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	check(store, "private", DATA);
	check(store, "sealed", DATA);
	end_service(SIGTERM, 0);
	stoa_store_close(store);
	finish();
}
