/* SPDX-License-Identifier: MIT */
/* Headers from anywhere, once as they come and once with a check that fits: accepted ones must be within bounds. */
#include <segment/header.h>
#include <segment/segment.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void judge(const struct segment_header *header, bool raw)
{
	if (header_valid(header, raw) < 0)
		return;
	if (header->reserve == 0 || header->reserve > STOA_RESERVE_MAX || header->reserve % OS_PAGE ||
	    header->data_offset > ((uint64_t)SEGMENT_SLOTS_MAX + 1) * OS_PAGE + OS_HUGE_PAGE ||
	    header->roster_slots > SEGMENT_SLOTS_MAX || raw != (header->roster_slots == 0))
		abort();
}

/* The input gives everything but what a random change would hardly ever hit. */
static void judge_likely(struct segment_header header, bool raw)
{
	struct segment_header good = {.roster_slots = 1, .data_offset = OS_HUGE_PAGE, .reserve = OS_PAGE};

	if (header_seal(&good) < 0)
		return;
	memcpy(header.magic, good.magic, sizeof(good.magic));
	header.layout = good.layout;
	header.check = header_check(&header);
	judge(&header, raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct segment_header header = {0};

	memcpy(&header, bytes, length < sizeof(header) ? length : sizeof(header));
	for (int raw = 0; raw < 2; raw++) {
		judge(&header, raw);
		judge_likely(header, raw);
	}
	return 0;
}
