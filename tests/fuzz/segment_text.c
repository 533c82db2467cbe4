/* SPDX-License-Identifier: MIT */
/* Text from anywhere: names, tokens of inherited segments, and the lists that the kernel keeps of memory groups. */
#include <os/linux/limits.h>
#include <segment/segment.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void fuzz_groups(const char *text, size_t length)
{
	int list = memfd_create("list", MFD_CLOEXEC);
	struct limits_room room;
	uint64_t swap;
	char path[64];

	if (list < 0)
		return;
	if (write(list, text, length) == (ssize_t)length) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", list);
		limits_group_room(path, "/nowhere", 0, &room);
		limits_host_room(path, &room, &swap);
	}
	close(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1);
	struct stoa_segment *segment;

	if (!text)
		return 0;
	memcpy(text, bytes, length);
	text[length] = 0;
	if (segment_check_name(text) == 0 && (strchr(text, '/') || strlen(text) > STOA_NAME_MAX || !*text))
		abort();
	if (stoa_segment_adopt(text, &segment) == 0)
		stoa_segment_close(segment);
	fuzz_groups(text, length);
	free(text);
	return 0;
}
