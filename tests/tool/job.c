/* SPDX-License-Identifier: MIT */
/* Files for the tool's streams. */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>

const char *job_path(const char *name)
{
	static char paths[8][4200];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_dir(), name);
	return path;
}

const char *make_input(const char *name, const void *bytes, size_t length)
{
	const char *path = job_path(name);
	FILE *file = fopen(path, "wb");

	CHECK(file != NULL);
	CHECK_EQ(fwrite(bytes, 1, length, file), length);
	CHECK_EQ(fclose(file), 0);
	return path;
}

char *read_output(const char *name, size_t *ret_length)
{
	FILE *file = fopen(job_path(name), "rb");
	char *bytes;
	long length;

	CHECK(file != NULL);
	CHECK_EQ(fseek(file, 0, SEEK_END), 0);
	length = ftell(file);
	CHECK_INT(length, >=, 0);
	rewind(file);
	bytes = malloc((size_t)length + 1);
	CHECK(bytes != NULL);
	CHECK_EQ(fread(bytes, 1, (size_t)length, file), length);
	bytes[length] = 0;
	CHECK_EQ(fclose(file), 0);
	*ret_length = (size_t)length;
	return bytes;
}
