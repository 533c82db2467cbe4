/* SPDX-License-Identifier: MIT */
/*
 * The segment of one search: made and laid out by the client, adopted and checked by its servers. It has no name, so nothing of it can
 * outlast the last of the processes.
 */
#include "find.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static uint64_t whole_pages(uint64_t bytes)
{
	uint64_t page = stoa_page_size();

	return (bytes + page - 1) / page * page;
}

static void attach(struct stoa_segment *segment, struct find_area *area)
{
	area->segment = segment;
	area->base = stoa_segment_address(segment);
	area->reserve = stoa_segment_reserve(segment);
	area->shared = (struct find_shared *)(void *)area->base;
	area->channel = NULL;
}

void find_area_close(struct find_area *area)
{
	stoa_channel_close(area->channel);
	stoa_segment_close(area->segment);
	area->segment = NULL;
}

static void fill(struct find_area *area, const struct find_options *options, bool attributes)
{
	struct find_shared *shared = area->shared;
	const struct find_filter *filter = &options->filter;
	uint32_t glob_length = filter->glob_length == FIND_NO_GLOB ? 0 : filter->glob_length;

	shared->magic = FIND_MAGIC;
	shared->version = FIND_VERSION;
	shared->jobs = options->jobs;
	shared->patience = options->patience;
	shared->size_min = filter->size_min;
	shared->size_max = filter->size_max;
	shared->types = filter->types;
	shared->attributes = attributes;
	shared->root_length = (uint32_t)strlen(options->root);
	shared->glob_length = filter->glob_length;
	shared->text = sizeof(*shared);
	shared->channel = whole_pages(shared->text + shared->root_length + 1 + glob_length + 1);
}

static struct stoa_channel_options batches(uint32_t jobs)
{
	return (struct stoa_channel_options){.senders = jobs, .ring = FIND_RING};
}

static int lay_out(struct find_area *area, const struct find_options *options, bool attributes)
{
	const struct stoa_channel_options channel = batches(options->jobs);
	struct find_shared *shared = area->shared;
	struct find_shared plan;
	uint64_t size;
	char *text;
	int result;

	/* Plan first: the header itself may not be wholly committed. */
	area->shared = &plan;
	memset(&plan, 0, sizeof(plan));
	fill(area, options, attributes);
	area->shared = shared;
	result = stoa_channel_size(&channel, &size);
	if (result == 0)
		result = stoa_channel_place(area->segment, plan.channel, &channel, &area->channel);
	if (result < 0)
		return result;
	plan.arena = plan.channel + size;
	*shared = plan;
	text = (char *)area->base + plan.text;
	memcpy(text, options->root, plan.root_length);
	if (plan.glob_length != FIND_NO_GLOB)
		memcpy(text + plan.root_length + 1, options->filter.glob, plan.glob_length);
	result = stoa_mutex_init(area->segment, &shared->mutex, 0);
	if (result == 0)
		result = stoa_semaphore_init(area->segment, &shared->work, 0, STOA_SEMAPHORE_MAX);
	return result == 0 ? find_table_start(area) : result;
}

int find_area_create(const struct find_options *options, bool attributes, struct find_area *ret_area)
{
	struct stoa_segment *segment;
	uint64_t reserve = FIND_RESERVE;
	int result = stoa_segment_create(NULL, reserve, NULL, &segment);

	/* Where addresses are rationed (ulimit -v), less will do for most trees. */
	while (result < 0 && reserve > FIND_RESERVE_LEAST) {
		reserve /= 4;
		result = stoa_segment_create(NULL, reserve, NULL, &segment);
	}
	if (result < 0)
		return result;
	attach(segment, ret_area);
	result = lay_out(ret_area, options, attributes);
	if (result < 0)
		find_area_close(ret_area);
	return result;
}

static bool plausible(const struct find_area *area, uint64_t committed)
{
	const struct find_shared *shared = area->shared;
	uint64_t glob_length = shared->glob_length == FIND_NO_GLOB ? 0 : shared->glob_length;
	uint64_t text_end;

	if (committed < sizeof(*shared) || committed > area->reserve || shared->magic != FIND_MAGIC ||
	    shared->version != FIND_VERSION || shared->jobs < 1 || shared->jobs > FIND_JOBS_MAX ||
	    shared->text != sizeof(*shared))
		return false;
	text_end = shared->text + shared->root_length + glob_length + 2;
	if (text_end > shared->channel || shared->channel > shared->arena || shared->arena > committed)
		return false;
	return area->base[shared->text + shared->root_length] == 0 && area->base[text_end - 1] == 0;
}

int find_area_adopt(const char *token, struct find_area *ret_area)
{
	struct stoa_segment *segment;
	int result = stoa_segment_adopt(token, &segment);

	if (result < 0)
		return result;
	attach(segment, ret_area);
	result = -STOA_EFORMAT;
	if (plausible(ret_area, stoa_segment_committed(segment)))
		result = stoa_channel_attach(segment, ret_area->shared->channel, &ret_area->channel);
	if (result < 0)
		stoa_segment_close(segment);
	return result;
}

void find_area_filter(const struct find_area *area, struct find_filter *ret_filter)
{
	const struct find_shared *shared = area->shared;

	ret_filter->types = shared->types;
	ret_filter->size_min = shared->size_min;
	ret_filter->size_max = shared->size_max;
	ret_filter->glob_length = shared->glob_length;
	ret_filter->glob = find_area_root(area) + shared->root_length + 1;
}

const char *find_area_root(const struct find_area *area)
{
	return (const char *)area->base + area->shared->text;
}

bool find_text_reserve(struct find_text *text, size_t more)
{
	size_t size = text->length + more;
	char *grown;

	if (size <= text->size)
		return true;
	size = size < 128 ? 256 : 2 * size;
	grown = realloc(text->bytes, size);
	if (!grown)
		return false;
	text->bytes = grown;
	text->size = size;
	return true;
}

bool find_text_add(struct find_text *text, const void *bytes, size_t length)
{
	if (!find_text_reserve(text, length))
		return false;
	if (length)
		memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	return true;
}

void find_text_free(struct find_text *text)
{
	free(text->bytes);
	memset(text, 0, sizeof(*text));
}

/* The length of the path, with a '/' behind each name. Parents lie below their children, so this ends. */
static int path_length(const struct find_area *area, uint64_t offset, uint64_t limit, size_t *ret_length)
{
	struct find_record record;
	size_t length = 0;

	while (find_table_look(area, offset, limit, &record)) {
		if (record.parent == 0) {
			*ret_length = length;
			return 0;
		}
		length += record.length + 1;
		limit = offset;
		offset = record.parent;
	}
	return -STOA_EFORMAT;
}

int find_table_path(const struct find_area *area, uint64_t offset, uint64_t limit, const char *prefix,
		    size_t prefix_length, struct find_text *ret_text)
{
	struct find_record record;
	size_t length;
	size_t at;
	int result = path_length(area, offset, limit, &length);

	if (result < 0)
		return result;
	ret_text->length = 0;
	if (!find_text_reserve(ret_text, prefix_length + length + 1))
		return -STOA_ENOMEM;
	memcpy(ret_text->bytes, prefix, prefix_length);
	/* From the end to the start; bounds again, as what is read twice may differ. */
	for (at = prefix_length + length; find_table_look(area, offset, limit, &record) && record.parent != 0;) {
		if (at - prefix_length < record.length + 1u)
			return -STOA_EFORMAT;
		ret_text->bytes[--at] = '/';
		at -= record.length;
		memcpy(ret_text->bytes + at, record.name, record.length);
		limit = offset;
		offset = record.parent;
	}
	if (at != prefix_length)
		return -STOA_EFORMAT;
	ret_text->length = prefix_length + length;
	ret_text->bytes[ret_text->length] = 0;
	return 0;
}
