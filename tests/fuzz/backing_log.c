/* SPDX-License-Identifier: MIT */
/* Logs from anywhere, as they come and with checks that fit: the file beside it gets no byte beyond its length, and no other log is made. */
#include "bytes.h"

#include <backing/guard.h>
#include <base/hash.h>

#define SIZE 65536u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Headers and entries at the places where they may be, with what a random change would hardly ever hit. */
static void seal(struct bytes *bytes)
{
	static const uint8_t header_magic[8] = {'S', 'T', 'O', 'A', 'L', 'O', 'G', '\n'},
			     entry_magic[8] = {'S', 'T', 'O', 'A', 'E', 'N', 'T', '\n'};
	struct log_header *header = (struct log_header *)(void *)bytes->files[0];

	memcpy(header->magic, header_magic, sizeof(header_magic));
	header->layout = hash_bytes(LOG_LAYOUT, sizeof(LOG_LAYOUT) - 1);
	header->half = LOG_HALF_MIN + header->half % 64 * 512;
	header->check = hash_words(header->salt, header, offsetof(struct log_header, check));
	for (uint64_t at = LOG_START; at + 512 < bytes->lengths[0]; at += 512) {
		struct log_entry *entry = (struct log_entry *)(void *)(bytes->files[0] + at);
		uint64_t room = BYTES_ROOM - at - 512;

		if (entry->magic[0] % 4)
			continue;
		memcpy(entry->magic, entry_magic, sizeof(entry_magic));
		entry->salt = header->salt;
		if (entry->zero % 2)
			entry->sequence = header->retired + 1 + entry->sequence % 3;
		if (entry->zero % 4 == 3)
			entry->length %= 4096;
		entry->content =
			hash_words(header->salt, entry + 8, (size_t)(entry->length < room ? entry->length : room));
		entry->check = hash_words(entry->salt, entry, offsetof(struct log_entry, check));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
	struct stoa_backing *backing;
	unsigned char block[4096];
	struct bytes bytes;

	for (int sealed = 0; sealed < 2; sealed++) {
		bytes_begin(&bytes, input, length, SIZE);
		if (sealed)
			seal(&bytes);
		if (guard_attach(&bytes.disk, 1, "log", 0, LOG_HALF_MIN, &backing) == 0) {
			(void)stoa_backing_fill(backing, 4096, sizeof(block), block);
			(void)stoa_backing_write(backing, 8192, sizeof(block), block);
			stoa_backing_close(backing);
		}
		if (bytes.lengths[1] != SIZE)
			abort();
		bytes_end(&bytes);
	}
	return 0;
}
