/* SPDX-License-Identifier: MIT */
/*
 * Redis in place of a store, on request of `stoa bench`. Arguments: put|put_many|get SIZE DIRECTORY. Each 32-bit number that arrives on standard
 * input, a socket as standard output is, is answered like those of main.c: nanoseconds of each put or of gets, millions of puts a second,
 * and of what is large, GB/s.
 *
 * Used well: a server of its own, with a Unix socket and nothing else, that writes no files, on the next CPU; hiredis, and requests for many
 * sent at once (pipelined). It copies what is put and got, which is its way. The server ends with this process.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../measure.h"
#include "../os/host.h"

#define KEYS 256u
#define AT_A_TIME 256u
#define LARGE ((size_t)1 << 20)
#define PATIENCE 5000u /* looks whether it has come up, a millisecond each */

static struct {
	const char *kind;
	size_t size;
	char folder[80], path[100];
	pid_t server;
	redisContext *redis;
	char *bytes;
	uint64_t value;
	char reason[256];
} peer;

static int refuse(const char *what, const char *why)
{
	snprintf(peer.reason, sizeof(peer.reason), "%s: %s", what, why);
	return -1;
}

static int refuse_reply(const redisReply *reply)
{
	return refuse("redis", reply && reply->type == REDIS_REPLY_ERROR ? reply->str : peer.redis->errstr);
}

/* ---- the server ---- */

static void become_server(void)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	host_pin(1);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", peer.path, "--save", "", "--appendonly",
	       "no", (char *)NULL);
	_exit(127);
}

static int start(const char *directory)
{
	if (snprintf(peer.folder, sizeof(peer.folder), "%s/stoa-bench-XXXXXX", directory) >= (int)sizeof(peer.folder))
		return refuse(directory, "a path too long for a socket");
	if (!mkdtemp(peer.folder)) {
		peer.folder[0] = 0;
		return refuse(directory, "no folder can be made there");
	}
	snprintf(peer.path, sizeof(peer.path), "%s/redis", peer.folder);
	peer.server = fork();
	if (peer.server == 0)
		become_server();
	for (unsigned i = 0; peer.server > 0 && i < PATIENCE; i++) {
		peer.redis = redisConnectUnix(peer.path);
		if (peer.redis && !peer.redis->err)
			return 0;
		redisFree(peer.redis);
		peer.redis = NULL;
		host_sleep(1000000);
		if (waitpid(peer.server, NULL, WNOHANG) == peer.server)
			peer.server = -1;
	}
	return refuse("redis-server", "it does not come up");
}

static void end(void)
{
	redisFree(peer.redis);
	if (peer.server > 0) {
		kill(peer.server, SIGKILL);
		waitpid(peer.server, NULL, 0);
	}
	if (peer.folder[0]) {
		unlink(peer.path);
		rmdir(peer.folder);
	}
}

/* ---- requests ---- */

static bool is_large(void)
{
	return peer.size >= LARGE;
}

static int done(redisReply *reply)
{
	int rc = reply && reply->type == REDIS_REPLY_STATUS ? 0 : refuse_reply(reply);

	freeReplyObject(reply);
	return rc;
}

static int put(unsigned key)
{
	return done(redisCommand(peer.redis, "SET bench/%06u %b", key, peer.bytes, peer.size));
}

static int get(unsigned key)
{
	redisReply *reply = redisCommand(peer.redis, "GET bench/%06u", key);
	int rc = reply && reply->type == REDIS_REPLY_STRING && reply->len == peer.size ? 0 : refuse_reply(reply);

	if (!rc)
		measure_use(measure_sum(reply->str, reply->len));
	freeReplyObject(reply);
	return rc;
}

static int put_many(uint32_t times)
{
	int rc = 0;

	for (uint32_t first = 0; !rc && first < times; first += AT_A_TIME) {
		uint32_t count = times - first < AT_A_TIME ? times - first : AT_A_TIME;
		void *reply;

		for (uint32_t i = 0; i < count; i++)
			redisAppendCommand(peer.redis, "SET bench/%06u %b", first + i, peer.bytes, peer.size);
		for (uint32_t i = 0; !rc && i < count; i++)
			rc = redisGetReply(peer.redis, &reply) ? refuse_reply(NULL) : done(reply);
	}
	return rc;
}

/* ---- blocks ---- */

static int one(uint32_t number)
{
	return strcmp(peer.kind, "get") == 0 ? get(number % (is_large() ? 1 : KEYS)) : put(is_large() ? 0 : number);
}

static int block(uint32_t times, struct series *samples)
{
	uint64_t begin;
	int rc = 0;

	measure_fill(peer.bytes, peer.size, ++peer.value);
	if (strcmp(peer.kind, "put_many") == 0) {
		begin = host_now();
		rc = put_many(times);
		series_add(samples, times * 1e3 / (double)(host_now() - begin));
		return rc;
	}
	for (uint32_t i = 0; !rc && i < times; i++) {
		begin = host_now();
		rc = one(i);
		series_add(samples, is_large() ? (double)peer.size / (double)(host_now() - begin)
					       : (double)(host_now() - begin));
	}
	return rc;
}

static int prepare(int argc, char **argv)
{
	int rc;

	if (argc != 4)
		return refuse("stoa-bench-peer-redis", "it is for the bench itself");
	peer.kind = argv[1];
	peer.size = strtoull(argv[2], NULL, 10);
	peer.bytes = malloc(peer.size);
	if (!peer.bytes)
		return refuse("malloc", "out of memory");
	measure_fill(peer.bytes, peer.size, 0);
	rc = start(argv[3]);
	for (unsigned i = 0; !rc && i < (is_large() ? 1 : KEYS); i++)
		rc = put(i);
	return rc;
}

static bool give(const void *bytes, size_t length)
{
	return send(STDOUT_FILENO, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool answer(int rc, const struct series *samples)
{
	uint64_t count = rc ? UINT64_MAX : samples->count;

	return give(&count, sizeof(count)) && (rc ? give(peer.reason, sizeof(peer.reason))
						  : !count || give(samples->values, count * sizeof(*samples->values)));
}

int main(int argc, char **argv)
{
	struct series none = {0};
	uint32_t times;
	int rc;

	prctl(PR_SET_PDEATHSIG, 0); /* it sees by its input that the bench is gone, and takes its files away */
	host_cpus();                /* before anything is pinned */
	host_pin(0);
	rc = prepare(argc, argv);
	for (bool asked = answer(rc, &none);
	     asked && !rc && recv(STDIN_FILENO, &times, sizeof(times), MSG_WAITALL) == sizeof(times);) {
		struct series samples = {0};

		rc = block(times, &samples);
		asked = answer(rc, &samples);
		series_free(&samples);
	}
	end();
	return rc ? 1 : 0;
}
