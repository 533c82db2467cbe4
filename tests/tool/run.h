/* SPDX-License-Identifier: MIT */
/* Running the built `stoa` as a user does, and looking at what it says. For the tests of the tool. */
#ifndef TOOL_RUN_H
#define TOOL_RUN_H

#include <harness/test.h>

struct run {
	int status; /* exit status, or minus the signal */
	size_t out_length;
	char out[1 << 18];
	char err[1 << 14];
};

/* Run stoa with the arguments (NULL at the end) and wait for its end. The result is static: the next run overwrites it. */
const struct run *run_stoa(const char *first, ...);

/* Every line of the output must be a JSON object, without blanks: also by Python's word, where there is a Python. */
void check_json(const char *text);
bool json_is_object(const char *text, size_t length);
void check_json_in_python(const char *text);

/* The line of the output that has `part` in it, as a string that the next call overwrites, or NULL. */
const char *line_with(const char *text, const char *part);

#define CHECK_HAS(text, part) check_has(__FILE__, __LINE__, (text), (part))
#define CHECK_LACKS(text, part) CHECK(strstr((text), (part)) == NULL)
void check_has(const char *file, int line, const char *text, const char *part);

#endif
