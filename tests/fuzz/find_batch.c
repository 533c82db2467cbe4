/* SPDX-License-Identifier: MIT */
/* Any bytes as a batch of `stoa find`: read to its end, and never past it. */
#include "../tools/find.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct find_section section;
	struct find_item item;
	size_t at = 0;

	while (find_batch_section(bytes, length, &at, &section) == 1) {
		size_t inside = 0;

		while (find_batch_item(bytes + at, section.bytes, &inside, &item) == 1)
			if ((const uint8_t *)item.name < bytes + at ||
			    (const uint8_t *)item.name + item.length > bytes + at + section.bytes)
				abort();
		at += section.bytes;
		if (at > length)
			abort();
	}
	return 0;
}
