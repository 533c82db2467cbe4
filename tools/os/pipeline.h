/* SPDX-License-Identifier: MIT */
/*
 * Several programs, the output of each the input of the next, as a shell runs them: the system-specific half of `stoa pipe`. Implemented
 * once per system under tools/os/<system>/. Errors are the system's numbers, positive, for walk_error_text().
 */
#ifndef TOOLS_OS_PIPELINE_H
#define TOOLS_OS_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pipeline_link { /* between two of them; where it is counted */
	uint64_t bytes;
	uint64_t waited_for_input;  /* nanoseconds, for the one before it to write */
	uint64_t waited_for_output; /* for the one behind it to read */
};

struct pipeline {
	char ***commands; /* each its words, NULL at the end */
	size_t count;
	uint64_t buffer; /* bytes between two of them, as many as the system gives */
	/*
	 * A name for each of the count - 1 links, in the environment of the two that it is between: STOA_STREAM_OUT of the one, STOA_STREAM_IN
	 * of the other. Who passes this process something by such a name passes it to the first, or gets it from the last.
	 */
	char **names;
	bool counts;                 /* this process carries the bytes, and fills in `links` */
	struct pipeline_link *links; /* count - 1 */
	int *statuses; /* as a shell tells them: of one that could not be started 127 (not found) or 126 */
	/* Called for each that could not be started; the others are, all the same. */
	void (*refused)(const char *command, bool found, int error);
};

/*
 * Run them until all have ended. What asks this process to end goes to them, unless the terminal has told them itself. The standard input and
 * output belong to the commands, and are closed here. 0 or an error, when nothing was started.
 */
int pipeline_run(struct pipeline *pipeline);

/* The number for console_end_as() of a request to end that came meanwhile and ended one of them with `status`; else 0. */
int pipeline_ended_by(int status);

#endif
