/* SPDX-License-Identifier: MIT */
/*
 * What a file of a spilled object looks like, and what it is called. Its name has numbers alone, so no client has a say in it. Who may write the
 * folder is the server's own user; of what is read nothing is believed.
 */
#include <store/spill.h>

#include <base/hash.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint8_t magic[8] = {'S', 'T', 'O', 'A', 'S', 'P', 'L', '\n'};

/* Whoever changes one of these things changes this string. */
static const char layout[] =
	"spilled object: magic8 layout8 key16 entry4 id_length1 kind1 meta_length2 generation8 size8 made8 owner4 "
	"access4 reader4 zero4 bytes_check8 id192 meta512 zero224 check8; bytes at 1024; hash_words from 0x57b1";

#define PREFIX "stoa-%016" PRIx64 "%016" PRIx64

void spill_name(const struct stoa_server *server, uint32_t entry, uint64_t generation, const char *ending,
		char name[SPILL_NAME])
{
	const uint64_t *key = server->book.directory.key;

	snprintf(name, SPILL_NAME, PREFIX "-%" PRIx32 "-%" PRIx64 ".%s", key[0], key[1], entry, generation, ending);
}

void spill_store_name(const struct stoa_server *server, char name[SPILL_NAME])
{
	const uint64_t *key = server->book.directory.key;

	snprintf(name, SPILL_NAME, PREFIX ".store", key[0], key[1]);
}

bool spill_name_parse(const struct stoa_server *server, const char *name, uint32_t *ret_entry, uint64_t *ret_generation,
		      bool *ret_whole)
{
	const char *endings[] = {SPILL_HALF, SPILL_WHOLE};
	const uint64_t *key = server->book.directory.key;
	char again[SPILL_NAME];
	size_t prefix = (size_t)snprintf(again, sizeof(again), PREFIX "-", key[0], key[1]);

	if (strncmp(name, again, prefix) != 0 ||
	    sscanf(name + prefix, "%" SCNx32 "-%" SCNx64, ret_entry, ret_generation) != 2)
		return false;
	/* Exactly as it would be written. */
	for (unsigned i = 0; i < CC_COUNT(endings); i++) {
		spill_name(server, *ret_entry, *ret_generation, endings[i], again);
		*ret_whole = i == 1;
		if (strcmp(name, again) == 0)
			return true;
	}
	return false;
}

void spill_header_fill(const struct stoa_server *server, uint32_t number, struct spill_header *header)
{
	const struct store_entry *entry = object_entry(server, number);
	uint32_t length;
	const uint8_t *id = directory_id(&server->book, number, &length);

	memset(header, 0, sizeof(*header));
	memcpy(header->magic, magic, sizeof(magic));
	header->layout = hash_bytes(layout, sizeof(layout));
	memcpy(header->key, server->book.directory.key, sizeof(header->key));
	header->entry = number;
	header->id_length = (uint8_t)length;
	header->kind = (uint8_t)entry->offset;
	header->meta_length = entry->meta_length;
	header->generation = store_generation_of(load_rlx(&entry->state));
	header->size = load_rlx(&entry->size);
	header->made = entry->made;
	header->owner = entry->owner;
	header->access = entry->access;
	header->reader = entry->reader;
	memcpy(header->id, id, length);
}

static uint64_t check_of(const struct spill_header *header)
{
	return hash_words(SPILL_CHECK, header, offsetof(struct spill_header, check));
}

void spill_header_close(struct spill_header *header, uint64_t bytes_check)
{
	header->bytes_check = bytes_check;
	header->check = check_of(header);
}

bool spill_header_good(const struct stoa_server *server, uint32_t number, const struct spill_header *header)
{
	struct spill_header wanted;

	if (header->check != check_of(header))
		return false;
	/* All that the entry says; what it does not say was hashed. */
	spill_header_fill(server, number, &wanted);
	memcpy(wanted.meta, header->meta, sizeof(wanted.meta));
	spill_header_close(&wanted, header->bytes_check);
	return memcmp(&wanted, header, sizeof(wanted)) == 0;
}
