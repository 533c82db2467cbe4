/* SPDX-License-Identifier: MIT */
/* `stoa top`: looking at all that has a name, without taking part, and how fast it moves. Uses the inspector of the public API. */
#include "top.h"

#include <stdlib.h>
#include <string.h>

struct gathering {
	const struct top_options *options;
	struct top_sample sample;
	size_t room;
	bool failed;
};

static struct top_row *new_row(struct gathering *gathering, const char *name)
{
	struct top_sample *sample = &gathering->sample;

	if (sample->count == gathering->room) {
		size_t room = gathering->room ? 2 * gathering->room : 32;
		struct top_row *rows = realloc(sample->rows, room * sizeof(*rows));

		if (!rows)
			return NULL;
		sample->rows = rows;
		gathering->room = room;
	}
	sample->rows[sample->count] = (struct top_row){.name = strdup(name)};
	return sample->rows[sample->count].name ? &sample->rows[sample->count++] : NULL;
}

static void fill_row(struct top_row *row, const struct object *object)
{
	struct stoa_channel_stat stat;

	row->kind = object->is.kind;
	row->identity = object->is.identity;
	row->users = object->is.roster_alive;
	row->resident = object->is.resident;
	row->is_channel = channel_inspect(object, &stat);
	if (!row->is_channel)
		return;
	row->channel_kind = stat.kind;
	row->senders = stat.senders_alive;
	row->receivers = stat.receivers_alive;
	row->ring = stat.ring * stat.senders;
	channel_add_up(&stat, &row->totals);
}

/* What has gone meanwhile, or is another user's, is left out. */
static int gather(const struct stoa_segment_entry *found, void *argument)
{
	struct gathering *gathering = argument;
	struct object object = {.name = found->name};
	struct top_row *row;

	if (!live_wants(gathering->options->names, gathering->options->name_count, found->name) ||
	    stoa_inspect_open(found->name, found->flags & STOA_GLOBAL, &object.inspector) < 0)
		return 0;
	if (stoa_inspect_get(object.inspector, &object.is) == 0) {
		row = new_row(gathering, found->name);
		gathering->failed = !row;
		if (row) {
			row->flags = found->flags;
			fill_row(row, &object);
		}
	}
	object_close(&object);
	return gathering->failed;
}

static void compare(struct top_row *row, const struct top_sample *before, uint64_t time)
{
	for (size_t i = 0; before && i < before->count; i++) {
		const struct top_row *old = &before->rows[i];
		uint64_t passed = time - before->time;

		if (old->identity != row->identity || (old->flags ^ row->flags) & STOA_GLOBAL ||
		    strcmp(old->name, row->name) != 0)
			continue;
		row->messages = live_rate(row->totals.sent, old->totals.sent, passed);
		row->bytes = live_rate(row->totals.sent_bytes, old->totals.sent_bytes, passed);
		row->sleeps = live_rate(row->totals.sleeps, old->totals.sleeps, passed);
		row->lost = live_rate(row->totals.lost, old->totals.lost, passed);
	}
}

int top_take(const struct top_options *options, const struct top_sample *before, struct top_sample *ret_sample)
{
	struct gathering gathering = {.options = options, .sample = {.time = stoa_now()}};
	int result = stoa_segment_list(0, gather, &gathering);

	if (result >= 0 && !gathering.failed && options->global)
		result = stoa_segment_list(STOA_GLOBAL, gather, &gathering);
	if (result < 0 || gathering.failed) {
		top_drop(&gathering.sample);
		return gathering.failed ? tool_fail("out of memory") : tool_fail_result(NULL, result);
	}
	for (size_t i = 0; i < gathering.sample.count; i++)
		compare(&gathering.sample.rows[i], before, gathering.sample.time);
	gathering.sample.seconds = before ? (double)(gathering.sample.time - before->time) / 1e9 : 0;
	*ret_sample = gathering.sample;
	return TOOL_GO;
}

void top_drop(struct top_sample *sample)
{
	for (size_t i = 0; i < sample->count; i++)
		free(sample->rows[i].name);
	free(sample->rows);
	*sample = (struct top_sample){0};
}

/* ---- order ---- */

const char *top_sort_name(enum top_sort sort)
{
	static const char *const names[] = {"name", "messages", "bytes", "lag", "used", "sleeps", "users", "memory"};

	return sort < TOP_SORTS ? names[sort] : NULL;
}

static double measure(const struct top_row *row, enum top_sort sort)
{
	switch (sort) {
	case TOP_MESSAGES: return row->messages;
	case TOP_BYTES: return row->bytes;
	case TOP_LAG: return (double)row->totals.lag;
	case TOP_USED: return row->ring ? (double)row->totals.used / (double)row->ring : 0;
	case TOP_SLEEPS: return row->sleeps;
	case TOP_USERS: return row->users;
	case TOP_MEMORY: return (double)row->resident;
	default: return 0;
	}
}

static const struct top_options *ordering; /* qsort() has no argument to pass it by */

static int in_order(const void *left, const void *right)
{
	const struct top_row *a = left, *b = right;
	double first = measure(a, ordering->sort), second = measure(b, ordering->sort);
	int order = first > second ? -1 : first < second;

	if (!order)
		order = strcmp(a->name, b->name);
	return ordering->reverse ? -order : order;
}

void top_order(const struct top_options *options, struct top_sample *sample)
{
	ordering = options;
	if (sample->count > 1)
		qsort(sample->rows, sample->count, sizeof(sample->rows[0]), in_order);
}
