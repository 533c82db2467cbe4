/* SPDX-License-Identifier: MIT */
/*
 * First touches of pages with GNU libsigsegv, for `stoa bench`: a program of its own, as that library is under the GPL. Uses it, and POSIX.
 * Argument: PAGES. Each byte that arrives on standard input, a socket as standard output is, has the pages taken away, outside of the times, and
 * touched in order; the answer is a double for each 64 of them: nanoseconds a page, or one of -1: it failed. Ends when the socket closes.
 *
 * The handler opens the page, fills it in place, and closes it to writers, as a first write is to be noticed, too. That is the fastest there is with
 * protection, and of one thread: others would see the page half made. In order, neighbours are alike, so the kernel has few pieces to keep.
 */
#include <stdbool.h>
#include <stdlib.h>

#include <sigsegv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"
#include "os/host.h"

#define PAGE ((size_t)4096)
#define BATCH 64

static sigsegv_dispatcher dispatcher;
static char *region;

static int on_touch(void *address, void *argument)
{
	size_t offset = (size_t)((char *)address - region) / PAGE * PAGE;

	(void)argument;
	if (mprotect(region + offset, PAGE, PROT_READ | PROT_WRITE))
		return 0;
	measure_fill(region + offset, PAGE, offset);
	return mprotect(region + offset, PAGE, PROT_READ) == 0;
}

static int on_fault(void *address, int serious)
{
	(void)serious;
	return sigsegv_dispatch(&dispatcher, address);
}

static bool begin(size_t length)
{
	region = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region == MAP_FAILED || madvise(region, length, MADV_NOHUGEPAGE))
		return false;
	sigsegv_init(&dispatcher);
	sigsegv_register(&dispatcher, region, length, on_touch, NULL);
	return sigsegv_install_handler(on_fault) == 0;
}

static bool forget(size_t length)
{
	return mprotect(region, length, PROT_NONE) == 0 && madvise(region, length, MADV_DONTNEED) == 0;
}

static void touch_all(size_t pages, double *ret_means)
{
	for (size_t i = 0; i < pages; i += BATCH) {
		uint64_t start = host_now();

		for (size_t k = 0; k < BATCH; k++)
			(void)*(volatile char *)(region + (i + k) * PAGE);
		ret_means[i / BATCH] = (double)(host_now() - start) / BATCH;
	}
}

static bool is_filled(size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (*(const uint64_t *)(const void *)(region + i * PAGE) != i * PAGE)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	size_t pages = argc == 2 ? strtoul(argv[1], NULL, 10) / BATCH * BATCH : 0,
	       length = pages / BATCH * sizeof(double);
	double *means = malloc(length + sizeof(*means));
	bool good = pages && means && begin(pages * PAGE);
	int status = 0;
	char byte;

	host_pin(0);
	while (!status && recv(STDIN_FILENO, &byte, 1, 0) == 1) {
		good = good && forget(pages * PAGE);
		if (good)
			touch_all(pages, means);
		good = good && is_filled(pages);
		if (!good && means)
			means[0] = -1;
		if (!means || send(STDOUT_FILENO, means, length, MSG_NOSIGNAL) != (ssize_t)length)
			status = 1;
	}
	free(means);
	return status;
}
