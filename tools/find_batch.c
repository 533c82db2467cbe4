/* SPDX-License-Identifier: MIT */
/*
 * Batches: what one message carries from a server to the client. Sections follow each other, each a head and entries of one directory; a
 * directory too large for one batch has a section in each of several. The reader checks every length against what
 * encloses it, so a batch that was scribbled over is refused and never read past its end.
 */
#include "find.h"

#include <string.h>

#define NO_SECTION UINT32_MAX

void find_writer_start(struct find_writer *writer, unsigned char *buffer)
{
	writer->buffer = buffer;
	writer->used = 0;
	writer->section = NO_SECTION;
}

bool find_writer_open(struct find_writer *writer, uint64_t directory, uint32_t flags)
{
	struct find_section section = {directory, 0, flags};

	if (FIND_BATCH - writer->used < sizeof(section))
		return false;
	memcpy(writer->buffer + writer->used, &section, sizeof(section));
	writer->section = writer->used;
	writer->used += (uint32_t)sizeof(section);
	return true;
}

void find_writer_close(struct find_writer *writer, uint32_t flags)
{
	struct find_section section;

	memcpy(&section, writer->buffer + writer->section, sizeof(section));
	section.bytes = writer->used - writer->section - (uint32_t)sizeof(section);
	section.flags |= flags;
	memcpy(writer->buffer + writer->section, &section, sizeof(section));
	writer->section = NO_SECTION;
}

static uint32_t body_bytes(uint8_t kind)
{
	if (kind == FIND_KIND_ATTRIBUTES)
		return (uint32_t)sizeof(struct walk_attributes);
	return kind == FIND_KIND_ERROR ? 8 : 0;
}

bool find_writer_add(struct find_writer *writer, const struct find_item *item)
{
	uint32_t body = body_bytes(item->kind);
	uint32_t length = item->length;
	uint32_t bytes = ((uint32_t)sizeof(struct find_entry) + body + length + 7) & ~7u;
	struct find_entry head = {(uint16_t)bytes, (uint16_t)length, item->kind, (uint8_t)item->type, 0};
	unsigned char *to = writer->buffer + writer->used;

	if (FIND_BATCH - writer->used < bytes)
		return false;
	memset(to + bytes - 8, 0, 8);
	memcpy(to, &head, sizeof(head));
	to += sizeof(head);
	if (item->kind == FIND_KIND_ATTRIBUTES)
		memcpy(to, &item->attributes, body);
	else if (item->kind == FIND_KIND_ERROR)
		memcpy(to, &item->error, sizeof(item->error));
	memcpy(to + body, item->name, length);
	writer->used += bytes;
	return true;
}

int find_batch_section(const unsigned char *bytes, size_t length, size_t *at, struct find_section *ret_section)
{
	struct find_section section;

	if (*at == length)
		return 0;
	if (length - *at < sizeof(section))
		return -STOA_EFORMAT;
	memcpy(&section, bytes + *at, sizeof(section));
	if (section.bytes > length - *at - sizeof(section) || section.bytes % 8 != 0)
		return -STOA_EFORMAT;
	*at += sizeof(section);
	*ret_section = section;
	return 1;
}

int find_batch_item(const unsigned char *bytes, size_t length, size_t *at, struct find_item *ret_item)
{
	const unsigned char *from = bytes + *at;
	struct find_entry head;
	uint32_t body;

	if (*at == length)
		return 0;
	if (length - *at < sizeof(head))
		return -STOA_EFORMAT;
	memcpy(&head, from, sizeof(head));
	body = body_bytes(head.kind);
	if (head.kind > FIND_KIND_ERROR || head.bytes > length - *at || head.bytes % 8 != 0 ||
	    sizeof(head) + body + head.length > head.bytes)
		return -STOA_EFORMAT;
	from += sizeof(head);
	ret_item->kind = head.kind;
	ret_item->type = (char)head.type;
	ret_item->error = 0;
	if (head.kind == FIND_KIND_ATTRIBUTES)
		memcpy(&ret_item->attributes, from, body);
	else if (head.kind == FIND_KIND_ERROR)
		memcpy(&ret_item->error, from, sizeof(ret_item->error));
	ret_item->name = (const char *)from + body;
	ret_item->length = head.length;
	*at += head.bytes;
	return 1;
}
