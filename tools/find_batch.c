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
	return kind == FIND_KIND_ERROR ? (uint32_t)sizeof(int32_t) : 0;
}

bool find_writer_add(struct find_writer *writer, const struct find_item *item)
{
	struct find_entry head = {(uint16_t)item->length, item->kind, (uint8_t)item->type};
	uint32_t body = body_bytes(item->kind);
	uint32_t bytes = (uint32_t)sizeof(head) + body + item->length;
	unsigned char *to = writer->buffer + writer->used;

	if (FIND_BATCH - writer->used < bytes)
		return false;
	memcpy(to, &head, sizeof(head));
	to += sizeof(head);
	if (item->kind == FIND_KIND_ATTRIBUTES)
		memcpy(to, &item->attributes, body);
	else if (item->kind == FIND_KIND_ERROR)
		memcpy(to, &item->error, body);
	memcpy(to + body, item->name, item->length);
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
	if (section.bytes > length - *at - sizeof(section))
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
	if (head.kind > FIND_KIND_ERROR || sizeof(head) + body + head.length > length - *at)
		return -STOA_EFORMAT;
	from += sizeof(head);
	ret_item->kind = head.kind;
	ret_item->type = (char)head.type;
	ret_item->error = 0;
	if (head.kind == FIND_KIND_ATTRIBUTES)
		memcpy(&ret_item->attributes, from, body);
	else if (head.kind == FIND_KIND_ERROR)
		memcpy(&ret_item->error, from, body);
	ret_item->name = (const char *)from + body;
	ret_item->length = head.length;
	*at += sizeof(head) + body + head.length;
	return 1;
}
