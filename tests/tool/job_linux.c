/* SPDX-License-Identifier: MIT */
/* The tool beside the test, on Linux. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS 64
#define ARGUMENTS_MAX 24

struct job {
	pid_t process;
	int input, output; /* our ends of pipes, or -1 */
	char errors[1 << 12];
};
static struct job jobs[JOBS];
static unsigned job_count;

/* What the child gets; *ret_ours is our end of a pipe, or -1. */
static int open_stream(const char *what, bool is_input, int *ret_ours)
{
	int ends[2], descriptor;

	*ret_ours = -1;
	if (what == JOB_PIPE || what == JOB_UNWAITING) {
		CHECK_SYS(pipe2(ends, O_CLOEXEC));
		if (what == JOB_UNWAITING)
			CHECK_SYS(fcntl(ends[!is_input], F_SETFL, O_NONBLOCK));
		*ret_ours = ends[is_input];
		return ends[!is_input];
	}
	what = what ? what : "/dev/null";
	descriptor = is_input ? open(what, O_RDONLY | O_CLOEXEC)
			      : open(what, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK_SYS(descriptor);
	return descriptor;
}

static const char *errors_path(const struct job *job)
{
	char name[32];

	snprintf(name, sizeof(name), "job-%u.err", (unsigned)(job - jobs));
	return job_path(name);
}

struct job *start_stoa(const char *input, const char *output, const char *first, ...)
{
	char *arguments[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t) "stoa", (char *)(uintptr_t)first};
	struct job *job = &jobs[job_count++];
	int streams[3];
	va_list list;

	CHECK_INT(job_count, <=, JOBS);
	va_start(list, first);
	for (int i = 2; (arguments[i] = va_arg(list, char *)) != NULL; i++)
		CHECK_INT(i, <=, ARGUMENTS_MAX);
	va_end(list);
	streams[0] = open_stream(input, true, &job->input);
	streams[1] = open_stream(output, false, &job->output);
	streams[2] = open(errors_path(job), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK_SYS(streams[2]);
	job->process = fork();
	CHECK_SYS(job->process);
	if (job->process == 0) {
		for (int i = 0; i < 3; i++)
			dup2(streams[i], i);
		execv(STOA_TOOL, arguments);
		_exit(127);
	}
	for (int i = 0; i < 3; i++)
		close(streams[i]);
	return job;
}

int end_stoa(struct job *job)
{
	int status, errors;
	ssize_t got;

	end_job_input(job);
	CHECK_EQ(waitpid(job->process, &status, 0), job->process);
	end_job_output(job);
	errors = open(errors_path(job), O_RDONLY | O_CLOEXEC);
	CHECK_SYS(errors);
	got = read(errors, job->errors, sizeof(job->errors) - 1);
	CHECK_SYS(got);
	job->errors[got] = 0;
	close(errors);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

const char *job_errors(const struct job *job)
{
	return job->errors;
}

void kill_stoa(struct job *job)
{
	CHECK_SYS(kill(job->process, SIGKILL));
	CHECK_EQ(end_stoa(job), -SIGKILL);
}

int64_t job_process(const struct job *job)
{
	return job->process;
}

void write_job(struct job *job, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t done = write(job->input, at, length);

		CHECK_SYS(done);
		at += done;
		length -= (size_t)done;
	}
}

bool offer_job(struct job *job, char byte)
{
	return write(job->input, &byte, 1) == 1;
}

void end_job_input(struct job *job)
{
	if (job->input >= 0)
		close(job->input);
	job->input = -1;
}

size_t read_job(struct job *job, void *to, size_t room)
{
	ssize_t got = read(job->output, to, room);

	CHECK_SYS(got);
	return (size_t)got;
}

void end_job_output(struct job *job)
{
	if (job->output >= 0)
		close(job->output);
	job->output = -1;
}
