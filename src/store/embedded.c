/* SPDX-License-Identifier: MIT */
/* The server in a thread of this program, for tests and for programs that share with themselves alone. Its clients are connected by socket pairs. */
#include <store/embedded.h>

#include <base/error.h>
#include <os/local.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/store.h>
#include <store/server.h>
#include <string.h>

#define PREFIX "embedded:"

static struct {
	struct os_lock lock;
	struct stoa_server *server;
	uint32_t handles;
	uint64_t forks;
	_Atomic uint32_t ended;
} embedded;

/* "", or a number with an optional unit: bytes of the limit. */
static int parse_limit(const char *text, uint64_t *ret_limit)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
	char *end;
	unsigned long long number = strtoull(text, &end, 10);

	if (!*text) {
		*ret_limit = 0;
		return 0;
	}
	for (size_t i = 0; end != text && *text != '-' && i < CC_COUNT(units); i++)
		if (strcmp(end, units[i].name) == 0 && number <= UINT64_MAX >> units[i].shift) {
			*ret_limit = (uint64_t)number << units[i].shift;
			return 0;
		}
	return error_set(-STOA_EINVAL, "'%s' is not a size; use e.g. embedded:1GiB", text);
}

static void serve_program(void *argument)
{
	(void)stoa_server_run(argument);
	store_rel(&embedded.ended, 1); /* R1: the server is no longer used; pairs with A1 in stop() */
	os_wake(&embedded.ended);
}

static int start(const char *text)
{
	struct stoa_server_options options = {0};
	int rc = parse_limit(text, &options.limit);

	if (rc == 0)
		rc = stoa_server_start(&options, &embedded.server);
	if (rc < 0)
		return rc;
	store_rlx(&embedded.ended, 0);
	embedded.forks = os_fork_generation();
	rc = os_thread_start("stoa-store", serve_program, embedded.server);
	if (rc < 0) {
		stoa_server_close(embedded.server);
		embedded.server = NULL;
	}
	return rc;
}

static void stop(void)
{
	stoa_server_stop(embedded.server);
	while (!load_acq(&embedded.ended)) /* A1: pairs with R1 in serve_program() */
		(void)os_wait(&(struct os_wait_word){&embedded.ended, 0, OS_WORD_WOKEN}, 1, UINT64_MAX);
	stoa_server_close(embedded.server);
	embedded.server = NULL;
}

/* The lock is held. */
static int connect_embedded(const char *limit, os_handle *ret_socket)
{
	os_handle pair[2];
	int rc;

	/* A parent's server has no thread in its child. */
	if (embedded.server && embedded.forks != os_fork_generation()) {
		embedded.server = NULL;
		embedded.handles = 0;
	}
	rc = embedded.server ? 0 : start(limit);
	if (rc == 0)
		rc = os_local_pair(pair);
	if (rc == 0) {
		/* The server takes those that came before soon: its thread runs, and needs nothing of ours. */
		while ((rc = server_attach(embedded.server, pair[1])) == -STOA_EBUSY)
			os_yield();
		if (rc == 0) {
			embedded.handles++;
			*ret_socket = pair[0];
			return 0;
		}
		os_handle_close(pair[0]);
		os_handle_close(pair[1]);
	}
	if (embedded.server && !embedded.handles)
		stop();
	return rc;
}

void embedded_hold(void)
{
	os_lock(&embedded.lock);
}

void embedded_go_on(void)
{
	os_unlock(&embedded.lock);
}

void embedded_release(void)
{
	os_lock(&embedded.lock);
	if (--embedded.handles == 0)
		stop();
	os_unlock(&embedded.lock);
}

static bool is_embedded(const char *where)
{
	return where && strncmp(where, PREFIX, sizeof(PREFIX) - 1) == 0;
}

/* The default: of the system's administrator a place for all, else the user's own. */
int stoa_store_path(char *ret_path, uint64_t room)
{
	const char *named = getenv("STOA_STORE"), *directory = os_user_id() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	char path[OS_PATH_ROOM];
	int length;

	if (named && *named && !is_embedded(named))
		length = snprintf(path, sizeof(path), "%s", named);
	else if (directory && *directory)
		length = snprintf(path, sizeof(path), "%s/stoad.socket", directory);
	else
		return error_set(-STOA_ENOENT, "no store was named: set STOA_STORE to a path, or to 'embedded:'");
	if (length < 0 || (size_t)length >= sizeof(path) || (uint64_t)length >= room)
		return error_set(-STOA_ERANGE, "the path of the store's socket is too long");
	memcpy(ret_path, path, (size_t)length + 1);
	return 0;
}

int embedded_connect(const char *where, char ret_path[OS_PATH_ROOM], os_handle *ret_socket, bool *ret_embedded)
{
	char path[OS_PATH_ROOM];
	int rc;

	where = where ? where : getenv("STOA_STORE");
	*ret_embedded = is_embedded(where);
	if (*ret_embedded) {
		memcpy(ret_path, PREFIX, sizeof(PREFIX));
		os_lock(&embedded.lock);
		rc = connect_embedded(where + sizeof(PREFIX) - 1, ret_socket);
		os_unlock(&embedded.lock);
		return rc;
	}
	if (!where || !*where) {
		rc = stoa_store_path(path, sizeof(path));
		if (rc < 0)
			return rc;
		where = path;
	}
	rc = os_local_absolute(where, ret_path);
	if (rc == 0)
		rc = os_local_connect(where, ret_socket);
	return rc < 0 ? error_prefix(rc, "store '%s'", where) : 0;
}
