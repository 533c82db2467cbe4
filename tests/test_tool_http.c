/* SPDX-License-Identifier: MIT */
/* `stoad --metrics-http`, asked by hand through a socket: what it answers, whom it keeps waiting, and what a port that is taken does to a store. */
#include <harness/test.h>

#include "tool/daemon.h"
#include "tool/run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>
#include <store/exposition.h>

#define CONNECTIONS 16 /* at a time, as stoad allows */

#define NEEDS_HTTP()                                         \
	do {                                                 \
		if (!STOA_HAS_HTTP)                          \
			SKIP("built without libmicrohttpd"); \
	} while (0)

/* The port that it has told on its error output, with the host before it. */
static uint16_t port_of(const struct daemon *daemon, const char *host)
{
	char path[300], text[4096], begin[100];
	const char *at = NULL;
	ssize_t got;
	int file;

	snprintf(path, sizeof(path), "%s/stoad-%d.err", test_dir(), (int)daemon->process);
	file = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_SYS(file);
	got = read(file, text, sizeof(text) - 1);
	CHECK_SYS(got);
	text[got] = 0;
	close(file);
	snprintf(begin, sizeof(begin), "metrics at http://%s:", host);
	at = strstr(text, begin);
	CHECK(at != NULL);
	CHECK_HAS(at, "/metrics\n");
	return (uint16_t)strtoul(at + strlen(begin), NULL, 10);
}

static int connect_to(uint16_t port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_SYS(fd);
	CHECK_SYS(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
	return fd;
}

/* All until the other end closes. */
static const char *read_all(int fd)
{
	static char text[1 << 17];
	size_t length = 0;
	ssize_t got;

	while ((got = recv(fd, text + length, sizeof(text) - 1 - length, 0)) > 0)
		length += (size_t)got;
	text[length] = 0;
	close(fd);
	return text;
}

static const char *ask(uint16_t port, const char *request)
{
	int fd = connect_to(port);

	CHECK_EQ(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return read_all(fd);
}

static const char *ask_for(uint16_t port, const char *method, const char *path)
{
	char request[300];

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method,
		 path);
	return ask(port, request);
}

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	CHECK(end != NULL);
	return end + 4;
}

static void check_metrics(uint16_t port, double objects)
{
	const char *answer = ask_for(port, "GET", "/metrics");

	CHECK(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
	CHECK_HAS(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	metrics_check(body_of(answer));
	CHECK(metrics_value(body_of(answer), "stoa_store_objects") == objects);
}

TEST(what_it_answers)
{
	struct daemon daemon;
	const char *answer;
	uint16_t port;

	NEEDS_HTTP();
	start_daemon(&daemon, "s", "--limit=64MiB", "--metrics-http", "0", NULL);
	port = port_of(&daemon, "127.0.0.1");
	check_metrics(port, 0);
	CHECK_EQ(run_stoa("put", "x", NULL)->status, 0);
	check_metrics(port, 1);
	answer = ask_for(port, "HEAD", "/metrics");
	CHECK(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
	CHECK_HAS(answer, "version=0.0.4");
	CHECK_HAS(answer, "\r\nContent-Length: ");
	CHECK_STR(body_of(answer), "");
	CHECK(strncmp(ask_for(port, "GET", "/"), "HTTP/1.1 404 ", 13) == 0);
	CHECK(strncmp(ask_for(port, "GET", "/metrics/"), "HTTP/1.1 404 ", 13) == 0);
	CHECK(strncmp(ask_for(port, "HEAD", "/no"), "HTTP/1.1 404 ", 13) == 0);
	answer = ask_for(port, "DELETE", "/metrics");
	CHECK(strncmp(answer, "HTTP/1.1 405 ", 13) == 0);
	CHECK_HAS(answer, "\r\nAllow: GET, HEAD\r\n");
	CHECK_LACKS(ask(port, "nonsense\r\n\r\n"), "stoa_store_");
	check_metrics(port, 1);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(addresses_are_as_they_are_asked_for)
{
	static const char *const asked[][2] = {
		{":0", "127.0.0.1"}, {"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "0.0.0.0"}};
	struct daemon daemon;

	NEEDS_HTTP();
	for (size_t i = 0; i < CC_COUNT(asked); i++) {
		start_daemon(&daemon, "s", "--limit=64MiB", "--metrics-http", asked[i][0], NULL);
		check_metrics(port_of(&daemon, asked[i][1]), 0);
		CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	}
	start_daemon(&daemon, "s", "--limit=64MiB", "--metrics-http", "[::1]:0", NULL);
	if (!daemon.process) {
		CHECK_EQ(daemon.status, 1);
		SKIP("there is no IPv6 here");
	}
	CHECK_INT(port_of(&daemon, "[::1]"), >, 0);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* As many as may be connected, none of which asks to the end; the store does not notice. */
TEST_TIMEOUT(who_asks_slowly_keeps_no_client_waiting, 60)
{
	int slow[CONNECTIONS];
	struct daemon daemon;
	uint16_t port;

	NEEDS_HTTP();
	start_daemon(&daemon, "s", "--limit=64MiB", "--metrics-http", "0", NULL);
	port = port_of(&daemon, "127.0.0.1");
	for (size_t i = 0; i < CONNECTIONS; i++) {
		slow[i] = connect_to(port);
		CHECK_EQ(send(slow[i], "GET /metr", 9, MSG_NOSIGNAL), 9);
	}
	CHECK_EQ(run_stoa("put", "x", NULL)->status, 0);
	CHECK_EQ(run_stoa("get", "x", NULL)->status, 0);
	metrics_check(run_stoa("stat", "--store", "--metrics", NULL)->out);
	for (size_t i = 0; i < CONNECTIONS; i++)
		close(slow[i]);
	/* Some may still be on their way out. */
	while (strncmp(ask_for(port, "GET", "/metrics"), "HTTP/1.1 200 ", 13) != 0)
		test_nap(10);
	slow[0] = connect_to(port);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	close(slow[0]);
}

TEST(what_is_no_address_is_misuse)
{
	static const char *const wrong[] = {"",        "x",      "65536",    "-1",         "localhost:1",
					    "1.2.3:1", "[::1:1", "::1:9100", "127.0.0.1:", "127.0.0.1"};
	struct daemon daemon;

	NEEDS_HTTP();
	for (size_t i = 0; i < CC_COUNT(wrong); i++) {
		start_daemon(&daemon, "s", "--limit=64MiB", "--metrics-http", wrong[i], NULL);
		CHECK_EQ(daemon.status, 2);
		CHECK_HAS(daemon.errors, "is no address; use e.g. 9100");
	}
}

TEST(a_port_that_is_taken_ends_no_store_that_is_held)
{
	struct daemon daemon;
	char where[40];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	NEEDS_HTTP();
	CHECK_SYS(bind(taken, (struct sockaddr *)&address, sizeof(address)));
	CHECK_SYS(listen(taken, 1));
	CHECK_SYS(getsockname(taken, (struct sockaddr *)&address, &length));
	snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(address.sin_port));
	start_daemon(&daemon, "s", "--limit=64MiB", "--held", NULL);
	CHECK_EQ(run_stoa("put", "x", NULL)->status, 0);
	CHECK_EQ(end_daemon(&daemon, SIGKILL), -SIGKILL);
	start_daemon(&daemon, "s", "--limit=64MiB", "--held", "--metrics-http", where, NULL);
	CHECK_EQ(daemon.status, 1);
	CHECK_HAS(daemon.errors, where);
	CHECK_HAS(daemon.errors, "Address already in use");
	close(taken);
	start_daemon(&daemon, "s", "--limit=64MiB", "--held", "--metrics-http", where, NULL);
	check_metrics(ntohs(address.sin_port), 1);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	/* The holder is nobody's child, so it has become the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

TEST(without_the_library_it_says_so)
{
	struct daemon daemon;

	if (STOA_HAS_HTTP)
		SKIP("built with libmicrohttpd");
	start_daemon(&daemon, "s", "--limit=64MiB", "--metrics-http", "0", NULL);
	CHECK_EQ(daemon.status, 1);
	CHECK_HAS(daemon.errors, "was built without libmicrohttpd");
}
