/* SPDX-License-Identifier: MIT */
/*
 * What `stoa find` prints: a path per line as find(1) does, paths ended by 0, or a JSON object per line; as entries arrive, or sorted by
 * the bytes of their paths at the end. Paths go out as they are, but a terminal gets them made safe.
 */
#include "find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/console.h"
#include "tool.h"

#define WRITE_BYTES ((size_t)64 << 10)

/* An entry kept for sorting; its path, and attributes if it has any, lie in `kept_bytes`. */
struct kept_entry {
	const char *path; /* set when all are there */
	size_t offset;
	uint32_t length;
	uint8_t kind;
	char type;
};

struct find_output {
	bool nul;
	bool json;
	bool sort;
	bool terminal;
	bool safe; /* make paths safe for it */
	bool failed;
	int error;
	uint64_t entries;
	struct find_text line; /* one path */
	struct find_text out;  /* what waits for a larger write */
	struct find_text kept_bytes;
	struct kept_entry *kept;
	size_t kept_count;
	size_t kept_size;
};

struct find_output *find_output_create(const struct find_options *options)
{
	static char buffer[65536]; /* objects are written piece by piece */
	struct find_output *output = calloc(1, sizeof(*output));

	if (!output)
		return NULL;
	output->nul = options->nul;
	output->json = options->json;
	output->sort = options->sort;
	output->terminal = console_is_terminal(stdout);
	if (!output->terminal)
		setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	output->safe = output->terminal && !options->nul && !options->json;
	return output;
}

void find_output_destroy(struct find_output *output)
{
	if (!output)
		return;
	find_text_free(&output->line);
	find_text_free(&output->out);
	find_text_free(&output->kept_bytes);
	free(output->kept);
	free(output);
}

bool find_output_is_terminal(const struct find_output *output)
{
	return output->terminal;
}

bool find_output_failed(const struct find_output *output)
{
	return output->failed;
}

uint64_t find_output_entries(const struct find_output *output)
{
	return output->entries;
}

static void note_failure(struct find_output *output)
{
	if (!output->failed)
		output->error = errno;
	output->failed = true;
}

static void write_out(struct find_output *output)
{
	if (output->out.length && fwrite(output->out.bytes, 1, output->out.length, stdout) != output->out.length)
		note_failure(output);
	output->out.length = 0;
}

bool find_output_flush(struct find_output *output)
{
	write_out(output);
	if (fflush(stdout) != 0)
		note_failure(output);
	if (output->failed)
		errno = output->error;
	return !output->failed;
}

/* A path in two parts, as it is. */
static int add_path(struct find_output *output, const char *directory, size_t length, const char *name,
		    size_t name_length)
{
	struct find_text *out = &output->out;
	char *to;

	if (!find_text_reserve(out, length + name_length + 1))
		return -STOA_ENOMEM;
	to = out->bytes + out->length;
	memcpy(to, directory, length);
	memcpy(to + length, name, name_length);
	to[length + name_length] = output->nul ? 0 : '\n';
	out->length += length + name_length + 1;
	if (out->length >= WRITE_BYTES)
		write_out(output);
	return 0;
}

static int print_path(struct find_output *output, const char *path, size_t length)
{
	char *safe;
	size_t size = 4 * length + 4; /* a byte becomes four at most */

	if (!output->safe)
		return add_path(output, path, length, "", 0);
	safe = malloc(size);
	if (!safe)
		return -STOA_ENOMEM;
	text_safe(path, length, safe, size);
	if (printf("%s\n", safe) < 0)
		note_failure(output);
	free(safe);
	return 0;
}

static const char *type_name(char type)
{
	switch (type) {
	case 'f': return "file";
	case 'd': return "directory";
	case 'l': return "link";
	case 'p': return "pipe";
	case 's': return "socket";
	case 'b': return "block-device";
	case 'c': return "character-device";
	default: return "unknown";
	}
}

static void print_time(struct json *json, const char *key, const char *nanoseconds_key, const struct walk_time *time)
{
	if (!time->known)
		return;
	json_signed(json, key, time->seconds);
	json_number(json, nanoseconds_key, time->nanoseconds);
}

static void print_json(struct find_output *output, const char *path, size_t length, char type,
		       const struct walk_attributes *attributes)
{
	struct json json;

	json_begin(&json, stdout);
	json_bytes(&json, "path", path, length);
	json_text(&json, "type", type_name(type));
	if (attributes) {
		json_number(&json, "size", attributes->size);
		json_number(&json, "mode", attributes->mode);
		json_number(&json, "user", attributes->user);
		json_number(&json, "group", attributes->group);
		json_number(&json, "links", attributes->links);
		json_number(&json, "inode", attributes->inode);
		json_number(&json, "attributes", attributes->flags);
		print_time(&json, "modified", "modified_nanoseconds", &attributes->modified);
		print_time(&json, "changed", "changed_nanoseconds", &attributes->changed);
		print_time(&json, "accessed", "accessed_nanoseconds", &attributes->accessed);
		print_time(&json, "born", "born_nanoseconds", &attributes->born);
	}
	json_end(&json);
	if (ferror(stdout))
		note_failure(output);
}

static int print(struct find_output *output, const char *path, size_t length, char type,
		 const struct walk_attributes *attributes)
{
	if (!output->json)
		return print_path(output, path, length);
	print_json(output, path, length, type, attributes);
	return 0;
}

static int keep(struct find_output *output, const char *path, size_t length, const struct find_item *item)
{
	struct kept_entry *entry;

	if (output->kept_count == output->kept_size) {
		size_t size = output->kept_size ? 2 * output->kept_size : 1024;
		struct kept_entry *grown = realloc(output->kept, size * sizeof(*grown));

		if (!grown)
			return -STOA_ENOMEM;
		output->kept = grown;
		output->kept_size = size;
	}
	entry = &output->kept[output->kept_count];
	entry->offset = output->kept_bytes.length;
	entry->length = (uint32_t)length;
	entry->kind = item->kind;
	entry->type = item->type;
	if (!find_text_add(&output->kept_bytes, path, length) ||
	    (item->kind == FIND_KIND_ATTRIBUTES &&
	     !find_text_add(&output->kept_bytes, &item->attributes, sizeof(item->attributes))))
		return -STOA_ENOMEM;
	output->kept_count++;
	return 0;
}

int find_output_entry(struct find_output *output, const char *directory, size_t length, const struct find_item *item)
{
	struct find_text *line = &output->line;
	const struct walk_attributes *attributes = item->kind == FIND_KIND_ATTRIBUTES ? &item->attributes : NULL;

	output->entries++;
	if (!output->json && !output->sort && !output->safe)
		return add_path(output, directory, length, item->name, item->length);
	line->length = 0;
	if (!find_text_add(line, directory, length) || !find_text_add(line, item->name, item->length))
		return -STOA_ENOMEM;
	if (output->sort)
		return keep(output, line->bytes, line->length, item);
	return print(output, line->bytes, line->length, item->type, attributes);
}

static int compare(const void *a, const void *b)
{
	const struct kept_entry *left = a;
	const struct kept_entry *right = b;
	size_t shared = left->length < right->length ? left->length : right->length;
	int order = shared ? memcmp(left->path, right->path, shared) : 0;

	return order ? order : (left->length > right->length) - (left->length < right->length);
}

bool find_output_finish(struct find_output *output)
{
	struct walk_attributes attributes;

	for (size_t i = 0; i < output->kept_count; i++)
		output->kept[i].path = output->kept_bytes.bytes + output->kept[i].offset;
	if (output->kept_count)
		qsort(output->kept, output->kept_count, sizeof(*output->kept), compare);
	for (size_t i = 0; i < output->kept_count; i++) {
		const struct kept_entry *entry = &output->kept[i];
		bool full = entry->kind == FIND_KIND_ATTRIBUTES;

		if (full)
			memcpy(&attributes, entry->path + entry->length, sizeof(attributes));
		if (print(output, entry->path, entry->length, entry->type, full ? &attributes : NULL) < 0)
			note_failure(output);
	}
	output->kept_count = 0;
	return find_output_flush(output);
}
