/* SPDX-License-Identifier: MIT */
/*
 * Pipelines on Linux. Between two programs that know nothing of each other a pipe of the kernel, with much room, is the shortest way: one copy
 * in, one out. Where bytes are counted, a thread moves pages from one pipe into the next, without looking at them.
 */
#include "../pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/sync.h>

#define SHELL_SIGNALED 128 /* and the signal: a status as a shell tells it */
#define PIECE ((size_t)1 << 20)

/* ---- requests to end ---- */

static volatile sig_atomic_t asked_by;
static pid_t *children;
static volatile sig_atomic_t child_count;

static sigset_t mask; /* that this process came with */

/* A terminal tells all of them itself. */
static void pass_on(int number, siginfo_t *how, void *context)
{
	int before = errno;

	(void)context;
	asked_by = number;
	for (sig_atomic_t i = 0; i < child_count && how->si_code <= 0; i++)
		if (children[i] > 0)
			kill(children[i], number);
	errno = before;
}

/* What comes while they are being started waits until all are known. */
static void watch_signals(void)
{
	static const int ends[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction usual = {.sa_handler = SIG_DFL}, old;
	sigset_t late;

	sigemptyset(&late);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaddset(&late, ends[i]) == 0 && sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(ends[i], &action, NULL);
	sigprocmask(SIG_BLOCK, &late, &mask);
	sigaction(SIGCHLD, &usual, NULL); /* ignored, which a parent may have left to us, it would hide how they end */
}

int pipeline_ended_by(int status)
{
	return asked_by && status == SHELL_SIGNALED + asked_by ? asked_by : 0;
}

/* ---- counting ---- */

struct relay {
	struct pipeline_link *link;
	int from, to;
	pthread_t thread;
	bool runs;
};

/* Until there is something to read: 1; 0: nobody writes any more, or nobody reads. */
static int await_input(const struct relay *relay)
{
	struct pollfd ends[2] = {{relay->from, POLLIN, 0}, {relay->to, 0, 0}};
	uint64_t begun = stoa_now();

	while (poll(ends, 2, -1) < 0)
		;
	relay->link->waited_for_input += stoa_now() - begun;
	return !ends[1].revents && ends[0].revents & POLLIN;
}

static void await_output(const struct relay *relay)
{
	struct pollfd end = {relay->to, POLLOUT, 0};
	uint64_t begun = stoa_now();

	while (poll(&end, 1, -1) < 0)
		;
	relay->link->waited_for_output += stoa_now() - begun;
}

static void *carry(void *argument)
{
	struct relay *relay = argument;

	while (await_input(relay)) {
		ssize_t moved = splice(relay->from, NULL, relay->to, NULL, PIECE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (moved > 0)
			relay->link->bytes += (uint64_t)moved;
		else if (moved < 0 && errno == EAGAIN)
			await_output(relay);
		else if (moved == 0 || errno != EINTR)
			break;
	}
	/* Whoever still writes learns that nobody reads, and the other way round. */
	close(relay->from);
	close(relay->to);
	return NULL;
}

static void start_relay(struct relay *relay)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&relay->thread, NULL, carry, relay);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	relay->runs = !error;
	if (error) {
		close(relay->from);
		close(relay->to);
	}
}

/* ---- starting ---- */

/* With as much room as the system gives. */
static int open_pipe(const struct pipeline *pipeline, int ends[2])
{
	uint64_t most = pipeline->buffer < (1u << 30) ? pipeline->buffer : 1u << 30;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	for (; most > 65536 && fcntl(ends[1], F_SETPIPE_SZ, (int)most) < 0; most /= 2)
		;
	return 0;
}

/* 0: it can be run. ENOENT; EACCES: it is there, but cannot be. */
static int check_program(const char *path)
{
	struct stat is;

	if (stat(path, &is) < 0 || S_ISDIR(is.st_mode))
		return ENOENT;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? EACCES : 0;
}

/* The file of a command, as a shell finds it: the first of its name in PATH that can be run. ENOENT, EACCES, ENAMETOOLONG. */
static int find_program(const char *name, char path[PATH_MAX])
{
	const char *given = getenv("PATH"), *at = given ? given : "/bin:/usr/bin";
	int error = ENOENT;

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX ? 0 : ENAMETOOLONG;
	while (name[0]) {
		int length = (int)strcspn(at, ":");
		int needed = snprintf(path, PATH_MAX, "%.*s/%s", length ? length : 1, length ? at : ".", name);
		int found = needed < PATH_MAX ? check_program(path) : ENOENT;

		if (found != ENOENT)
			error = found;
		if (!error || !at[length])
			break;
		at += length + 1;
	}
	return error;
}

/* What a command reads and writes; -1: as this process. */
struct streams {
	int input, output;
};

static int spawn(const char *program, char *const *words, const struct streams *streams, pid_t *ret_id)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error)
		goto out;
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &mask);
	if (streams->input >= 0)
		error = posix_spawn_file_actions_adddup2(&actions, streams->input, STDIN_FILENO);
	if (!error && streams->output >= 0)
		error = posix_spawn_file_actions_adddup2(&actions, streams->output, STDOUT_FILENO);
	if (!error)
		error = posix_spawn(ret_id, program, &actions, &attributes, words, environ);
	posix_spawnattr_destroy(&attributes);
out:
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* Is its first line text? */
static bool is_script(const char *path)
{
	char begin[80];
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = file >= 0 ? read(file, begin, sizeof(begin)) : -1;
	const char *end = got > 0 ? memchr(begin, '\n', (size_t)got) : NULL;

	if (file >= 0)
		close(file);
	return got == 0 || (got > 0 && !memchr(begin, 0, end ? (size_t)(end - begin) : (size_t)got));
}

/* A script that does not say whose it is, is the shell's. */
static int spawn_script(const char *path, char *const *words, const struct streams *streams, pid_t *ret_id)
{
	size_t count = 0;
	char **longer;
	int error;

	while (words[count])
		count++;
	longer = calloc(count + 2, sizeof(*longer));
	if (!longer)
		return ENOMEM;
	longer[0] = (char *)(uintptr_t) "sh";
	memcpy(longer + 1, words, count * sizeof(*longer));
	longer[1] = (char *)(uintptr_t)path;
	error = spawn("/bin/sh", longer, streams, ret_id);
	free(longer);
	return error;
}

static void start_command(struct pipeline *pipeline, size_t i, const struct streams *streams)
{
	char *const *words = pipeline->commands[i];
	char path[PATH_MAX];
	pid_t id = -1;
	int error = find_program(words[0], path);

	if (!error)
		error = spawn(path, words, streams, &id);
	if (error == ENOEXEC && is_script(path))
		error = spawn_script(path, words, streams, &id);
	children[i] = error ? -1 : id;
	child_count = (sig_atomic_t)(i + 1);
	if (!error)
		return;
	pipeline->statuses[i] = error == ENOENT ? 127 : 126;
	pipeline->refused(words[0], error != ENOENT, error);
}

/* `outer` is what stands behind the last. */
static void name_links(const struct pipeline *pipeline, size_t i, const char *outer)
{
	const char *next = i + 1 < pipeline->count ? pipeline->names[i] : outer;

	if (i > 0)
		setenv("STOA_STREAM_IN", pipeline->names[i - 1], 1);
	if (next)
		setenv("STOA_STREAM_OUT", next, 1);
	else
		unsetenv("STOA_STREAM_OUT");
}

static void close_if(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
}

/* The pipe, or two with a relay between them, behind command i. *ret_written is that command's output, *ret_read the next one's input. */
static int open_link(const struct pipeline *pipeline, size_t i, struct relay *relays, int *ret_written, int *ret_read)
{
	int first[2], second[2];
	int error = open_pipe(pipeline, first);

	if (!error && pipeline->counts) {
		error = open_pipe(pipeline, second);
		if (error) {
			close(first[0]);
			close(first[1]);
		}
	}
	if (error)
		return error;
	*ret_written = first[1];
	*ret_read = pipeline->counts ? second[0] : first[0];
	if (pipeline->counts)
		relays[i] = (struct relay){.link = &pipeline->links[i], .from = first[0], .to = second[1]};
	return 0;
}

/* Start all; where descriptors run out in between, the rest is refused. */
static void start_all(struct pipeline *pipeline, struct relay *relays)
{
	const char *given = getenv("STOA_STREAM_OUT");
	char *outer = given ? strdup(given) : NULL;
	int input = -1;

	for (size_t i = 0; i < pipeline->count; i++) {
		struct streams streams = {input, -1};
		int next = -1, error = 0;

		if (i + 1 < pipeline->count)
			error = open_link(pipeline, i, relays, &streams.output, &next);
		if (error) {
			for (; i < pipeline->count; i++) {
				pipeline->statuses[i] = 126;
				pipeline->refused(pipeline->commands[i][0], true, error);
			}
		} else {
			name_links(pipeline, i, outer);
			start_command(pipeline, i, &streams);
		}
		close_if(input);
		close_if(streams.output);
		input = next;
	}
	free(outer);
}

static int status_of(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return SHELL_SIGNALED + SIGKILL; /* not ours any more: how it ended is not known */
	return WIFSIGNALED(status) ? SHELL_SIGNALED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* So that those beyond see the end of ours, whatever we do. */
static void give_streams_away(void)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0)
		return;
	dup2(nothing, STDIN_FILENO);
	dup2(nothing, STDOUT_FILENO);
	if (nothing > STDERR_FILENO)
		close(nothing);
}

int pipeline_run(struct pipeline *pipeline)
{
	struct relay *relays = calloc(pipeline->count, sizeof(*relays));
	int error = 0;

	children = calloc(pipeline->count, sizeof(*children));
	if (!relays || !children) {
		error = ENOMEM;
		goto out;
	}
	watch_signals();
	start_all(pipeline, relays);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	give_streams_away();
	signal(SIGPIPE, SIG_IGN); /* after they were started, who would inherit it */
	for (size_t i = 0; i + 1 < pipeline->count && pipeline->counts; i++)
		if (relays[i].link)
			start_relay(&relays[i]);
	for (size_t i = 0; i < pipeline->count; i++)
		if (children[i] > 0) {
			pipeline->statuses[i] = status_of(children[i]);
			children[i] = 0; /* another process may get the number */
		}
	for (size_t i = 0; i + 1 < pipeline->count; i++)
		if (relays[i].runs)
			pthread_join(relays[i].thread, NULL);
out:
	child_count = 0;
	free(children);
	free(relays);
	return error;
}
