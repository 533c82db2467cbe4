/* SPDX-License-Identifier: MIT */
/*
 * A pager that has a name, for the tests of the tool: `paged NAME` touches more than its budget, says "ready", and for as long as its input does not
 * end touches a block every millisecond, in turn.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <stoa/stoa.h>

#define PAGE 4096
#define BLOCKS 256

static int fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	memset(bytes, (int)(offset / PAGE), length);
	return 0;
}

static int write_to(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	(void)context;
	(void)offset;
	(void)length;
	(void)bytes;
	return 0;
}

static int size(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = BLOCKS * PAGE;
	return 0;
}

int main(int argc, char **argv)
{
	const struct stoa_backing_calls calls = {.fill = fill, .write = write_to, .size = size};
	const struct stoa_pager_options options = {
		.budget = 32 * PAGE, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};
	struct pollfd input = {.fd = 0, .events = POLLIN};
	struct stoa_backing *backing = NULL;
	struct stoa_pager *pager = NULL;
	volatile unsigned char *bytes;
	int rc;

	if (argc != 2 || stoa_pager_install_handlers() || stoa_backing_create(&calls, NULL, &backing) ||
	    stoa_pager_create(argv[1], backing, &options, &pager)) {
		fprintf(stderr, "paged: %s\n", stoa_error_detail());
		return 1;
	}
	bytes = stoa_pager_address(pager);
	for (unsigned i = 0; i < BLOCKS; i++)
		(void)bytes[i * PAGE];
	for (unsigned i = 0; i < 5; i++)
		bytes[i * PAGE] = 1;
	printf("ready\n");
	fflush(stdout);
	for (unsigned i = 0; poll(&input, 1, 1) == 0; i++)
		(void)bytes[i % BLOCKS * PAGE];
	rc = stoa_pager_close(pager);
	stoa_backing_close(backing);
	return rc != 0;
}
