/* SPDX-License-Identifier: MIT */
/* Compressed files from anywhere, as they come and with checks that fit: they are refused, or what they give is of the right length. */
#include "bytes.h"

#include <backing/packed.h>
#include <base/hash.h>

#define FRAME 4096u
#define FRAMES 40u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* The begin of a right one; pages and frames as they are, with checks that fit. */
static void seal(struct bytes *bytes)
{
	uint64_t data = 8192;

	(void)pack_format(&bytes->disk, 0, (uint64_t)FRAMES * FRAME - 100, FRAME);
	for (uint64_t number = 0; number < (FRAMES + PACK_ENTRIES - 1) / PACK_ENTRIES; number++) {
		struct pack_page *page =
			(struct pack_page *)(void *)(bytes->files[0] + PACK_INDEX + number * 2 * sizeof(*page));

		page->sequence &= ~UINT64_C(1);
		for (unsigned i = 0; i < PACK_ENTRIES; i++) {
			struct pack_entry *entry = &page->entries[i];
			uint64_t at, length;

			if (entry->check % 2)
				entry->place &= UINT64_C(0x7f000fff); /* within bounds, mostly */
			length = pack_length(entry);
			at = data + (entry->place >> PACK_LENGTH_BITS) * 512;
			if (at < BYTES_ROOM && length < BYTES_ROOM - at)
				entry->check =
					pack_hash(number * PACK_ENTRIES + i, bytes->files[0] + at, (size_t)length);
		}
		page->check = hash_words(hash_words(number, &page->sequence, sizeof(page->sequence)), page->entries,
					 sizeof(page->entries));
	}
}

static void use(struct stoa_backing *backing, bool writable)
{
	static unsigned char block[PACK_FRAME_MAX];
	uint64_t size;

	if (stoa_backing_size(backing, &size) < 0 || size > BYTES_ROOM * 64)
		return;
	for (uint64_t at = 0; at < size && at < 64 * FRAME; at += FRAME)
		(void)stoa_backing_fill(backing, at, FRAME, block);
	if (writable && stoa_backing_write(backing, 0, FRAME, block) == 0)
		(void)stoa_backing_flush(backing);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
	struct stoa_backing *backing;
	struct bytes bytes;

	for (int way = 0; way < 4; way++) {
		bytes_begin(&bytes, input, length, 0);
		if (way & 1)
			seal(&bytes);
		if (packed_attach(&bytes.disk, 0, way & 2, 1, &backing) == 0) {
			use(backing, way & 2);
			stoa_backing_close(backing);
		}
		bytes_end(&bytes);
	}
	return 0;
}
