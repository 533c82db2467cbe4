/* SPDX-License-Identifier: MIT */
/* What the tests of granted channels and streams share on Linux: all ways to write a part that only reads. */
#ifndef TESTS_CHANNEL_GRANT_LINUX_H
#define TESTS_CHANNEL_GRANT_LINUX_H

#include <channel/grant.h>
#include <segment/linux.h>

static inline int reopen(const struct stoa_segment *segment, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)segment->memory);
	return open(path, flags | O_CLOEXEC);
}

/* Nothing of a part that only reads, be it through the descriptor, the map, or the roster's map. */
static inline void expect_only_reads_linux(const struct stoa_channel *channel, unsigned part, bool reopens)
{
	struct stoa_segment *segment = channel->segments[part];
	int memory = (int)segment->memory, wider = reopen(segment, O_RDWR);
	struct roster *roster;

	CHECK_EQ(touch(bytes_of(segment) + CHANNEL_BELLS), REFUSED);
	CHECK_RC(roster_attach(segment, &roster), 0);
	CHECK_EQ(touch(roster_page(roster, 1)), REFUSED);
	check_no_way_to_write(memory, bytes_of(segment));
	CHECK_EQ(mprotect(roster_page(roster, 1), PAGE, PROT_READ | PROT_WRITE), -1);
	CHECK_EQ(fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)PAGE), -1);
	CHECK_EQ(fcntl(memory, F_ADD_SEALS, F_SEAL_GROW), -1);
	CHECK_EQ(madvise(bytes_of(segment), PAGE, MADV_REMOVE), -1);
	CHECK(reopens || wider == -1);
	if (wider < 0)
		return;
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, wider, 0) == MAP_FAILED);
	CHECK_EQ(pwrite(wider, "x", 1, 0), -1);
	CHECK_EQ(ftruncate(wider, 0), -1);
	CHECK_EQ(fallocate(wider, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)PAGE), -1);
	close(wider);
}

#endif
