/* SPDX-License-Identifier: MIT */
/* The built `stoa`, running beside the test, with its streams in the test's hands. For the tests of send, recv, tap and pipe. */
#ifndef TOOL_JOB_H
#define TOOL_JOB_H

#include <harness/test.h>

struct job;

/* For input and output: a pipe to or from the test; and nothing at all. Else paths. */
#define JOB_PIPE ((const char *)1)
#define JOB_NOTHING NULL
#define JOB_UNWAITING \
	((const char *)2) /* a pipe whose other end, the job's, was made one that does not wait; on Linux */

/* Start stoa with the arguments (NULL at the end). Its error output goes to a file. At most 64 in a test. */
struct job *start_stoa(const char *input, const char *output, const char *first, ...);

/* Wait for its end: the exit status, or minus the signal. What belongs to the job is closed, and lasts until the test ends. */
int end_stoa(struct job *job);
const char *job_errors(const struct job *job); /* then */
void kill_stoa(struct job *job);               /* at once, as nobody could prevent; and end_stoa() */
int64_t job_process(const struct job *job);

/* The pipes; write_job() does not return before all is written, read_job() gives 0 at the end. */
void write_job(struct job *job, const void *bytes, size_t length);
bool offer_job(struct job *job, char byte); /* false: nobody reads any more */
void end_job_input(struct job *job);
size_t read_job(struct job *job, void *to, size_t room);
void end_job_output(struct job *job);

/* A file in the test's directory: its path (8 stay valid), made with these bytes, or read; bytes are freed by free(). */
const char *job_path(const char *name);
const char *make_input(const char *name, const void *bytes, size_t length);
char *read_output(const char *name, size_t *ret_length); /* and a 0 behind it */

#endif
