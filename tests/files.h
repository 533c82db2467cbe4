/* SPDX-License-Identifier: MIT */
/* Files of a test, in its own directory. */
#ifndef FILES_H
#define FILES_H

#include <harness/test.h>
#include <stdio.h>

/* The path of one; of each thread's 16 stay valid. */
static inline char *test_path(const char *name)
{
	static _Thread_local char paths[16][600];
	static _Thread_local unsigned next;
	char *path = paths[next++ % CC_COUNT(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_dir(), name);
	return path;
}

/* -1: there is no such file. */
static inline int64_t test_file_size(const char *path)
{
	FILE *file = fopen(path, "rb");
	int64_t size = -1;

	if (file && fseek(file, 0, SEEK_END) == 0)
		size = ftell(file);
	if (file)
		fclose(file);
	return size;
}

#endif
