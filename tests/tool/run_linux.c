/* SPDX-License-Identifier: MIT */
/* Runs the built tool with pipes on its outputs, and Python. Uses POSIX and the harness. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

static struct run last;

/* One pipe's reading end, and where its bytes go. */
struct capture {
	int descriptor;
	char *to;
	size_t room;
	size_t length;
};

static void read_some(struct capture *capture)
{
	ssize_t got = read(capture->descriptor, capture->to + capture->length, capture->room - 1 - capture->length);

	if (got > 0) {
		capture->length += (size_t)got;
		CHECK_INT(capture->length, <, capture->room - 1);
		return;
	}
	if (got < 0 && errno == EINTR)
		return;
	close(capture->descriptor);
	capture->descriptor = -1;
}

static void read_both(struct capture captures[2])
{
	while (captures[0].descriptor >= 0 || captures[1].descriptor >= 0) {
		struct pollfd fds[2] = {{captures[0].descriptor, POLLIN, 0}, {captures[1].descriptor, POLLIN, 0}};

		if (poll(fds, 2, -1) < 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				read_some(&captures[i]);
	}
	for (int i = 0; i < 2; i++)
		captures[i].to[captures[i].length] = 0;
}

static noreturn void become(const char *program, char *const *arguments, int out, int err)
{
	int null = open("/dev/null", O_RDONLY);

	dup2(null, 0);
	dup2(out, 1);
	dup2(err, 2);
	unsetenv("COLUMNS");
	execvp(program, arguments);
	_exit(127);
}

const struct run *run_stoa(const char *first, ...)
{
	char *arguments[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t) "stoa", (char *)(uintptr_t)first};
	struct capture captures[2] = {{-1, last.out, sizeof(last.out), 0}, {-1, last.err, sizeof(last.err), 0}};
	int out[2];
	int err[2];
	int status;
	pid_t pid;
	va_list list;

	va_start(list, first);
	for (int i = 2; first && (arguments[i] = va_arg(list, char *)) != NULL; i++)
		CHECK_INT(i, <=, ARGUMENTS_MAX);
	va_end(list);
	CHECK_SYS(pipe2(out, O_CLOEXEC));
	CHECK_SYS(pipe2(err, O_CLOEXEC));
	pid = fork();
	CHECK_SYS(pid);
	if (pid == 0)
		become(STOA_TOOL, arguments, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	captures[0].descriptor = out[0];
	captures[1].descriptor = err[0];
	read_both(captures);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	last.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	last.out_length = captures[0].length;
	return &last;
}

/* The one that the build found may lie where this user cannot go. */
static const char *find_python(void)
{
	static const char *const places[] = {STOA_PYTHON, "/usr/bin/python3", "/usr/local/bin/python3"};

	for (size_t i = 0; i < CC_COUNT(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

void check_json_in_python(const char *text)
{
	static const char program[] = "import sys, json\n"
				      "for line in sys.stdin.buffer:\n"
				      "    assert type(json.loads(line.decode('utf-8'))) is dict, line\n";
	char path[4200];
	char program_path[4200];
	char command[9000];
	FILE *file;

	if (!find_python()) {
		test_note("this user cannot run %s", STOA_PYTHON);
		return;
	}
	snprintf(path, sizeof(path), "%s/json", test_dir());
	snprintf(program_path, sizeof(program_path), "%s/check.py", test_dir());
	file = fopen(program_path, "we");
	CHECK(file != NULL);
	CHECK(fputs(program, file) >= 0);
	CHECK_EQ(fclose(file), 0);
	file = fopen(path, "we");
	CHECK(file != NULL);
	CHECK(fputs(text, file) >= 0);
	CHECK_EQ(fclose(file), 0);
	snprintf(command, sizeof(command), "%s '%s' < '%s'", find_python(), program_path, path);
	CHECK_EQ(system(command), 0);
}
