/* SPDX-License-Identifier: MIT */
/*
 * stoad: the server of an object store, as a program. It is told everything by its command line, stays in the foreground, says little, and ends
 * when it is asked to. Uses the public API, and os/daemon.h.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/stoa.h>

#include "os/console.h"
#include "os/daemon.h"
#include "os/http.h"
#include "os/process.h"

#define PATH_ROOM 4096
#define OBJECTS 1048575u /* the library's defaults */
#define CLIENTS 256u

struct daemon {
	const char *socket, *mode_text;
	const char *limit_text, *client_limit_text, *user_limit_text, *http_text;
	const char *spill_folder, *spill_limit_text;
	uint64_t objects, clients, user_clients, user_pieces;
	bool held, evict, quiet, verbose, version;
	char path[PATH_ROOM];
	char place[PATH_ROOM + 32]; /* where it listens, in words */
	uint64_t descriptors;
	struct stoa_server_options options;
	struct http *http;                    /* NULL: no metrics over HTTP */
	_Atomic(struct stoa_server *) server; /* that metrics are asked of; NULL: it does not run yet */
};

/* ---- options ---- */

/* "1GiB", or "50%" of the machine's memory. */
static int parse_limit(const char *option, const char *text, uint64_t *ret_bytes)
{
	size_t length = text ? strlen(text) : 0;
	uint64_t percent, memory = daemon_memory();
	char number[8];

	if (!text)
		return TOOL_GO;
	if (size_parse(text, ret_bytes)) {
		if (*ret_bytes)
			return TOOL_GO;
		return tool_misuse("%s %s leaves no room for anything; use e.g. 1GiB, or 50%% of the memory", option,
				   text);
	}
	if (length >= 2 && length < sizeof(number) && text[length - 1] == '%') {
		snprintf(number, sizeof(number), "%.*s", (int)length - 1, text);
		if (number_parse(number, &percent) && percent >= 1 && percent <= 100 && memory) {
			*ret_bytes = memory / 100 * percent;
			return TOOL_GO;
		}
	}
	return tool_misuse("%s '%s' is not a size; use e.g. 1GiB, or 50%% of the memory", option, text);
}

static int parse_mode(const char *text, uint32_t *ret_mode)
{
	uint32_t mode = 0;
	size_t length = text ? strlen(text) : 0;
	bool good = length >= 3 && length <= 4;

	if (!text)
		return TOOL_GO;
	for (const char *digit = text; *digit && good; digit++) {
		good = *digit >= '0' && *digit <= '7';
		mode = mode * 8 + (uint32_t)(*digit - '0');
	}
	if (!good || mode > 0777)
		return tool_misuse("--mode '%s' is not the mode of a socket; use e.g. 0660", text);
	if (!(mode & 0222))
		return tool_misuse("--mode '%s' lets nobody connect, which takes the right to write; use e.g. 0660",
				   text);
	*ret_mode = mode;
	return TOOL_GO;
}

static int parse_count(const char *option, uint64_t count, uint32_t *ret_count)
{
	if (count > UINT32_MAX)
		return tool_misuse("%s %" PRIu64 " is more than a store can have", option, count);
	*ret_count = (uint32_t)count;
	return TOOL_GO;
}

static int parse_spilling(struct daemon *daemon)
{
	struct stoa_server_options *options = &daemon->options;

	if (daemon->spill_limit_text && !daemon->spill_folder)
		return tool_misuse("--spill-limit needs --spill-dir DIR");
	if (daemon->spill_folder && !*daemon->spill_folder)
		return tool_misuse("--spill-dir '' is not a path");
	options->spill_folder = daemon->spill_folder;
	return parse_limit("--spill-limit", daemon->spill_limit_text, &options->spill_limit);
}

static int parse(struct daemon *daemon)
{
	struct stoa_server_options *options = &daemon->options;
	int status = parse_limit("--limit", daemon->limit_text, &options->limit);

	if (status == TOOL_GO)
		status = parse_limit("--client-limit", daemon->client_limit_text, &options->client_limit);
	if (status == TOOL_GO)
		status = parse_limit("--user-limit", daemon->user_limit_text, &options->user_limit);
	if (status == TOOL_GO)
		status = parse_spilling(daemon);
	if (status == TOOL_GO)
		status = parse_mode(daemon->mode_text, &options->socket_mode);
	if (status == TOOL_GO)
		status = parse_count("--objects", daemon->objects, &options->objects);
	if (status == TOOL_GO)
		status = parse_count("--clients", daemon->clients, &options->clients);
	if (status == TOOL_GO)
		status = parse_count("--user-clients", daemon->user_clients, &options->user_clients);
	if (status == TOOL_GO)
		status = parse_count("--user-pieces", daemon->user_pieces, &options->user_pieces);
	if (status == TOOL_GO && daemon->quiet && daemon->verbose)
		status = tool_misuse("--quiet and --verbose exclude each other");
	options->flags = (daemon->held ? STOA_SERVER_HELD : 0) | (daemon->evict ? STOA_SERVER_EVICT : 0);
	return status;
}

/* ---- where to listen ---- */

static int find_place(struct daemon *daemon)
{
	struct stoa_server_options *options = &daemon->options;
	int descriptor, given;

	options->keeper = daemon->held ? daemon_keeper() : NULL;
	given = daemon_listening(&descriptor);
	if (given < 0)
		return tool_fail("the service manager gave several sockets, and a store listens with one");
	if (given > 0) {
		options->flags |= STOA_SERVER_ADOPT;
		options->descriptor = descriptor;
		snprintf(daemon->place, sizeof(daemon->place), "the service manager's socket");
		if (!daemon->held || options->keeper)
			return TOOL_GO;
	}
	if (!daemon->socket) {
		if (stoa_store_path(daemon->path, sizeof(daemon->path)) < 0)
			return tool_fail(
				"there is no default socket, as neither STOA_STORE nor XDG_RUNTIME_DIR is set; "
				"use --socket PATH");
		daemon->socket = daemon->path;
	}
	if (!*daemon->socket)
		return tool_misuse("--socket '' is not a path");
	/* With a socket that was given, the path only says where memory is held. */
	options->socket = daemon->socket;
	if (!given)
		snprintf(daemon->place, sizeof(daemon->place), "'%s'", daemon->socket);
	return TOOL_GO;
}

/* ---- running ---- */

static int start_failed(const struct daemon *daemon, int result)
{
	const char *detail = stoa_error_detail()[0] ? stoa_error_detail() : stoa_error_text(result);

	switch (result) {
	case -STOA_EEXIST: return tool_fail("%s; end it first, or serve another store with --socket PATH", detail);
	case -STOA_EINVAL: tool_fail("%s", detail); return TOOL_MISUSE;
	case -STOA_ENOMEM: return tool_fail("%s; a smaller --limit or --objects needs less", detail);
	case -STOA_ENOENT: return tool_fail("%s; make the directory of %s first", detail, daemon->place);
	default: return tool_fail("%s", detail);
	}
}

static void tell_start(const struct daemon *daemon, const struct stoa_server *server)
{
	const struct stoa_server_options *options = &daemon->options;
	struct stoa_store_stat stat;
	char limit[SIZE_TEXT], of_client[SIZE_TEXT], of_user[SIZE_TEXT];

	if (daemon->quiet)
		return;
	stoa_server_stat(server, &stat);
	tool_note("%s: serving at %s, with up to %s of memory; %" PRIu64 " %s there", stoa_version(), daemon->place,
		  size_text(stat.limit, limit), stat.objects, stat.objects == 1 ? "object is" : "objects are");
	if (!daemon->verbose)
		return;
	tool_note("process %" PRId64 ", up to %" PRIu64 " descriptors, socket mode %04o", daemon_process(),
		  daemon->descriptors, options->socket_mode ? options->socket_mode : 0600);
	tool_note("limits: %s of a client, %s of a user, %" PRIu32 " clients, %" PRIu32 " objects",
		  size_text(options->client_limit ? options->client_limit : stat.limit + stat.spill_limit, of_client),
		  size_text(options->user_limit ? options->user_limit : stat.limit + stat.spill_limit, of_user),
		  options->clients ? options->clients : CLIENTS, options->objects ? options->objects : OBJECTS);
	if (daemon->evict)
		tool_note("objects that nobody holds make room for new ones");
	if (daemon->spill_folder)
		tool_note("what memory has no room for goes to files in '%s', up to %s", daemon->spill_folder,
			  size_text(stat.spill_limit, limit));
	if (daemon->held)
		tool_note("objects outlive this process if it is killed, for the next server %s",
			  options->keeper ? "that the service manager starts" : "at the same path");
}

static void tell_end(const struct daemon *daemon, const struct stoa_server *server)
{
	const char *signal = daemon_ended_by();
	struct stoa_store_stat stat;
	char bytes[SIZE_TEXT];

	if (daemon->quiet)
		return;
	stoa_server_stat(server, &stat);
	tool_note("ended%s%s with %" PRIu64 " %s in %s of memory", signal ? " by " : "", signal ? signal : "",
		  stat.objects, stat.objects == 1 ? "object" : "objects", size_text(stat.committed, bytes));
	if (daemon->verbose)
		tool_note("%" PRIu64 " put, %" PRIu64 " deleted, %" PRIu64 " evicted, %" PRIu64
			  " refused for want of room; %" PRIu64 " clients connected",
			  stat.puts, stat.deletes, stat.evictions, stat.refusals, stat.clients);
	if (daemon->verbose && daemon->spill_folder)
		tool_note("%" PRIu64 " spilled, %" PRIu64 " restored, %" PRIu64 " times that failed, %" PRIu64 " lost",
			  stat.spills, stat.restores, stat.spill_failures, stat.spill_losses);
}

static void tell(const char *sentence, void *argument)
{
	(void)argument;
	tool_note("%s", sentence);
}

static void stop(void *argument)
{
	if (daemon_leaves())
		stoa_server_leave(argument);
	else
		stoa_server_stop(argument);
}

static int fill_metrics(void *argument, char *ret_text, uint64_t room)
{
	struct stoa_server *server = atomic_load(&((struct daemon *)argument)->server);

	return server ? stoa_server_metrics(server, ret_text, room, NULL) : -1;
}

/* First of all: a port that is taken is no reason to end a store that was held. TOOL_GO, or a status, said. */
static int serve_metrics(struct daemon *daemon)
{
	char place[HTTP_WHERE];
	int status;

	if (!daemon->http_text)
		return TOOL_GO;
	status = http_start(daemon->http_text, fill_metrics, daemon, &daemon->http, place);
	if (status == TOOL_GO && !daemon->quiet)
		tool_note("metrics at %s", place);
	return status;
}

static int serve(struct daemon *daemon)
{
	struct stoa_server *server;
	int result, status = serve_metrics(daemon);

	if (status != TOOL_GO)
		return status;
	daemon->descriptors = daemon_allow_descriptors();
	daemon->options.tell = tell;
	result = stoa_server_start(&daemon->options, &server);
	if (result < 0) {
		http_stop(daemon->http);
		return start_failed(daemon, result);
	}
	atomic_store(&daemon->server, server);
	daemon_on_end(stop, server);
	tell_start(daemon, server);
	daemon_tell("READY=1");
	result = stoa_server_run(server);
	daemon_tell("STOPPING=1");
	http_stop(daemon->http);
	if (result == 0)
		tell_end(daemon, server);
	else
		tool_fail_result("the server ended", result);
	stoa_server_close(server);
	return result < 0 ? TOOL_FAILED : TOOL_OK;
}

static int run(int argc, char **argv)
{
	struct daemon daemon = {0};
	const struct option_spec options[] = {
		{'s', "socket", OPTION_TEXT, &daemon.socket, "PATH",
		 "where clients connect; default: STOA_STORE of the environment,\n"
		 "else stoad.socket in $XDG_RUNTIME_DIR (root: in /run)"},
		{'m', "mode", OPTION_TEXT, &daemon.mode_text, "MODE",
		 "who may connect, as chmod has it: 0600 this user, 0666 all (0600)"},
		{'l', "limit", OPTION_TEXT, &daemon.limit_text, "SIZE",
		 "memory for everything, e.g. 4GiB, or 50% of the machine's (50%)"},
		{0, "client-limit", OPTION_TEXT, &daemon.client_limit_text, "SIZE",
		 "of it for the objects of one client (all)"},
		{0, "user-limit", OPTION_TEXT, &daemon.user_limit_text, "SIZE",
		 "of it for the objects and connections of one user (all)"},
		{0, "objects", OPTION_NUMBER, &daemon.objects, "N", "objects at a time, at most (1048575)"},
		{0, "clients", OPTION_NUMBER, &daemon.clients, "N", "clients at a time, at most (256)"},
		{0, "user-clients", OPTION_NUMBER, &daemon.user_clients, "N",
		 "of them of one user, but root and the server's own (3/4)"},
		{0, "user-pieces", OPTION_NUMBER, &daemon.user_pieces, "N",
		 "sealed objects, allocations, and arenas of such a user, at most\n(half of what the server has descriptors for)"},
		{'e', "evict", OPTION_FLAG, &daemon.evict, NULL,
		 "a cache: when it is full, objects that nobody holds make room\nfor new ones, the least recently used first"},
		{0, "spill-dir", OPTION_TEXT, &daemon.spill_folder, "DIR",
		 "when memory is full, objects that nobody holds go to files in\nthis directory, and come back when somebody gets them"},
		{0, "spill-limit", OPTION_TEXT, &daemon.spill_limit_text, "SIZE", "of these files (ten times --limit)"},
		{0, "held", OPTION_FLAG, &daemon.held, NULL,
		 "objects outlive this process if it is killed, or sent\nSIGUSR1, for the next server at the same path; SIGTERM ends them"},
		{0, "metrics-http", OPTION_TEXT, &daemon.http_text, "[ADDRESS:]PORT",
		 "tell a monitor (Prometheus) what is counted, at /metrics;\nwithout ADDRESS on 127.0.0.1 alone; port 0: any"},
		{'q', "quiet", OPTION_FLAG, &daemon.quiet, NULL, "say nothing but errors"},
		{'v', "verbose", OPTION_FLAG, &daemon.verbose, NULL, "say more at the start and the end"},
		{'V', "version", OPTION_FLAG, &daemon.version, NULL, "tell the version, and end"},
	};
	const struct usage usage = {
		NULL,
		"",
		"Serve an object store: programs put bytes under an id, and others get them, in place and without asking. Runs in the\n"
		"foreground until SIGTERM or Ctrl-C. Under systemd it takes a socket that systemd listens with, and tells when it is ready.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		0,
		"  $ stoad &                                          for this user\n"
		"  $ date | stoa put now && stoa get now && stoa ls --store\n"
		"  $ stoad --socket /tmp/frames.socket --limit 1GiB   a store of its own;\n"
		"  $ export STOA_STORE=/tmp/frames.socket             its clients find it so\n"
		"  # stoad --mode 0666 --user-limit 10%               for all users\n"
		"  # systemctl enable --now stoad.socket              the same, when it is needed",
	};
	int operands, status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO && daemon.version) {
		printf("stoad %s\n", stoa_version());
		return TOOL_OK;
	}
	if (status == TOOL_GO)
		status = parse(&daemon);
	if (status == TOOL_GO)
		status = find_place(&daemon);
	return status == TOOL_GO ? serve(&daemon) : status;
}

int main(int argc, char **argv)
{
	tool_program = "stoad";
	process_guard_standard();
	if (!console_start(&argc, &argv))
		return tool_fail("no memory for the arguments");
	return run(argc, argv);
}
