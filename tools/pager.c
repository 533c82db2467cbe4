/* SPDX-License-Identifier: MIT */
/* A pager's numbers: as text, as JSON, as a picture. Uses the public API. */
#include "pager.h"

#include <inttypes.h>
#include <string.h>

bool pager_inspect(const struct object *object, struct stoa_pager_stat *ret_stat)
{
	return object->is.kind == STOA_KIND_PAGER && stoa_inspect_pager(object->inspector, ret_stat) == 0;
}

const char *pager_way(uint32_t way)
{
	static const char *const names[] = {"auto", "inline", "protect", "served"};

	return way <= STOA_PAGER_SERVED ? names[way] : "?";
}

const char *pager_on_error(uint32_t on_error)
{
	static const char *const names[] = {"poison", "zeros", "retry"};

	return on_error <= STOA_PAGER_RETRY ? names[on_error] : "?";
}

const char *pager_summary(const struct stoa_pager_stat *stat, char buffer[PAGER_SUMMARY])
{
	char resident[SIZE_TEXT], budget[SIZE_TEXT];

	snprintf(buffer, PAGER_SUMMARY, "%s of %s there, %" PRIu64 " dirty, %" PRIu32 " %s",
		 size_text(stat->resident * stat->block, resident),
		 size_text((uint64_t)stat->budget * stat->block, budget), stat->dirty, stat->members_alive,
		 stat->members_alive == 1 ? "process" : "processes");
	return buffer;
}

/* What it is to the others. */
static const char *member_role(const struct stoa_pager_member_stat *member)
{
	return member->flags & STOA_MEMBER_CLIENT ? " served" : member->flags & STOA_MEMBER_SERVES ? " serves" : "";
}

const char *pager_members(const struct stoa_pager_stat *stat, char *buffer, size_t size)
{
	size_t used = 0;

	snprintf(buffer, size, "nobody");
	for (uint32_t i = 0; i < stat->members && used < size; i++) {
		const struct stoa_pager_member_stat *member = &stat->member[i];
		int got = snprintf(buffer + used, size - used, "%s%" PRIu64 "%s%s", i ? ", " : "", member->process,
				   member_role(member), member->state == STOA_END_DEAD ? " dead" : "");

		used += got > 0 ? (size_t)got : 0;
	}
	return buffer;
}

const char *pager_shape(const struct stoa_pager_stat *stat, char buffer[PAGER_SHAPE])
{
	char size[SIZE_TEXT], block[SIZE_TEXT], budget[SIZE_TEXT], ahead[SIZE_TEXT],
		reads[SIZE_TEXT + 16] = "no read-ahead";

	if (stat->read_ahead > stat->block)
		snprintf(reads, sizeof(reads), "reads %s ahead", size_text(stat->read_ahead, ahead));
	snprintf(buffer, PAGER_SHAPE, "%s in blocks of %s, budget %s, %s, %s", size_text(stat->length, size),
		 size_text(stat->block, block), size_text((uint64_t)stat->budget * stat->block, budget),
		 pager_way(stat->way), reads);
	return buffer;
}

const char *pager_percent(uint64_t part, uint64_t all, char buffer[PAGER_PERCENT])
{
	if (!all)
		return strcpy(buffer, "-");
	snprintf(buffer, PAGER_PERCENT, "%.0f%%", 100.0 * (double)part / (double)all);
	return buffer;
}

/* ---- how long faults took ---- */

unsigned pager_latency(const uint64_t latency[STOA_PAGER_LATENCIES], double part)
{
	double all = 0, sum = 0;

	for (unsigned i = 0; i < STOA_PAGER_LATENCIES; i++)
		all += (double)latency[i];
	for (unsigned i = 0; i < STOA_PAGER_LATENCIES; i++) {
		sum += (double)latency[i];
		if (sum > 0 && sum >= part * all)
			return i;
	}
	return STOA_PAGER_LATENCIES;
}

const char *pager_bucket(unsigned bucket, char buffer[PAGER_BUCKET])
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double nanoseconds = (double)(UINT64_C(1) << (bucket + 8 < 63 ? bucket + 8 : 63));
	unsigned unit = 0;

	if (bucket >= STOA_PAGER_LATENCIES)
		return strcpy(buffer, "-");
	if (bucket + 1 == STOA_PAGER_LATENCIES) /* it has all that took longer */
		return strcpy(buffer, "more");
	while (nanoseconds >= 1000 && unit < 3) {
		nanoseconds /= 1000;
		unit++;
	}
	snprintf(buffer, PAGER_BUCKET, "<%.*f%s", unit && nanoseconds < 9.95 ? 1 : 0, nanoseconds, units[unit]);
	return buffer;
}

#define BAR_MOST 200

void pager_picture(const uint64_t latency[STOA_PAGER_LATENCIES], unsigned width, unsigned most,
		   void (*line)(void *argument, const char *text), void *argument)
{
	unsigned first = pager_latency(latency, 0), last = pager_latency(latency, 1);
	unsigned room = width > 24 + 10 ? width - 24 : 10;
	double longest = 1;

	for (unsigned i = 0; i < STOA_PAGER_LATENCIES; i++)
		longest = (double)latency[i] > longest ? (double)latency[i] : longest;
	room = room < BAR_MOST ? room : BAR_MOST;
	for (unsigned i = first; i <= last && i < STOA_PAGER_LATENCIES && i - first < most; i++) {
		unsigned length = (unsigned)((double)latency[i] / longest * room + 0.5);
		char bar[BAR_MOST + 1], bucket[PAGER_BUCKET], text[BAR_MOST + 64];

		memset(bar, '#', sizeof(bar));
		bar[length || !latency[i] ? length : 1] = 0;
		snprintf(text, sizeof(text), "%9s %12" PRIu64 " %s", pager_bucket(i, bucket), latency[i], bar);
		line(argument, text);
	}
}

/* ---- text ---- */

static void print_line(void *argument, const char *text)
{
	printf("%-11s %s\n", (const char *)argument, text);
}

static void print_member(const struct stoa_pager_member_stat *member)
{
	printf("%-11s   process %" PRIu64 "%s%s%s: %" PRIu64 " faults, %" PRIu64 " blocks filled, %" PRIu64 " pinned\n",
	       "", member->process, member_role(member), member->flags & STOA_MEMBER_CALLS ? ", system calls too" : "",
	       member->state == STOA_END_DEAD ? ", dead" : "", member->faults, member->fills, member->pinned);
}

void pager_print(const struct stoa_pager_stat *stat)
{
	char shape[PAGER_SHAPE], percent[PAGER_PERCENT], blank[] = "";

	printf("%-11s %s\n", "pager", pager_shape(stat, shape));
	printf("%-11s on errors %s, rank %" PRIu32 ", dirty for at most %" PRIu32 " ms or %" PRIu32 "%%\n", "",
	       pager_on_error(stat->on_error), stat->rank, stat->dirty_age, stat->dirty_percent);
	printf("%-11s %" PRIu64 " of %" PRIu32 " there: %" PRIu64 " clean, %" PRIu64 " dirty, %" PRIu64
	       " busy; %" PRIu64 " pinned, %" PRIu64 " poisoned\n",
	       "blocks", stat->resident, stat->budget, stat->clean, stat->dirty, stat->busy, stat->pinned,
	       stat->poisoned);
	printf("%-11s %" PRIu64 ", of which %" PRIu64 " waited for others\n", "faults", stat->faults, stat->waits);
	printf("%-11s %" PRIu64 " of %" PRIu64 " touches that were seen found their block there: %s\n", "hits",
	       stat->hits, stat->hits + stat->misses, pager_percent(stat->hits, stat->hits + stat->misses, percent));
	printf("%-11s %" PRIu64 " blocks with %" PRIu64 " calls; %" PRIu64 " had been evicted shortly before; %" PRIu64
	       " failed\n",
	       "filled", stat->fills, stat->fill_calls, stat->refaults, stat->errors);
	printf("%-11s %" PRIu64 " blocks with %" PRIu64 " calls, of %" PRIu64 " that became dirty; %" PRIu64
	       " discarded\n",
	       "written", stat->writes, stat->write_calls, stat->opens, stat->dropped);
	printf("%-11s %" PRIu64 " blocks; %" PRIu64 " put right after a death\n", "evicted", stat->evictions,
	       stat->repairs);
	printf("%-11s %" PRIu32 " of %" PRIu32 " alive\n", "members", stat->members_alive, stat->members);
	for (uint32_t i = 0; i < stat->members; i++)
		print_member(&stat->member[i]);
	if (stat->faults)
		printf("%-11s how long they took:\n", "faults");
	pager_picture(stat->latency, terminal_width(stdout) - 12, STOA_PAGER_LATENCIES, print_line, blank);
}

/* ---- JSON ---- */

static void json_counts(struct json *json, const struct stoa_pager_stat *stat)
{
	json_number(json, "faults", stat->faults);
	json_number(json, "waits", stat->waits);
	json_number(json, "fills", stat->fills);
	json_number(json, "fill_calls", stat->fill_calls);
	json_number(json, "refaults", stat->refaults);
	json_number(json, "opens", stat->opens);
	json_number(json, "writes", stat->writes);
	json_number(json, "write_calls", stat->write_calls);
	json_number(json, "evictions", stat->evictions);
	json_number(json, "dropped", stat->dropped);
	json_number(json, "errors", stat->errors);
	json_number(json, "repairs", stat->repairs);
	json_number(json, "hits", stat->hits);
	json_number(json, "misses", stat->misses);
}

static void json_members(struct json *json, const struct stoa_pager_stat *stat)
{
	json_array_begin(json, "members");
	for (uint32_t i = 0; i < stat->members; i++) {
		const struct stoa_pager_member_stat *member = &stat->member[i];

		json_object_begin(json, NULL);
		json_number(json, "process", member->process);
		json_bool(json, "alive", member->state == STOA_END_ALIVE);
		json_number(json, "place", member->place);
		json_bool(json, "client", member->flags & STOA_MEMBER_CLIENT);
		json_bool(json, "serves", member->flags & STOA_MEMBER_SERVES);
		json_bool(json, "system_calls", member->flags & STOA_MEMBER_CALLS);
		json_number(json, "pinned", member->pinned);
		json_number(json, "faults", member->faults);
		json_number(json, "fills", member->fills);
		json_object_end(json);
	}
	json_array_end(json);
}

void pager_json_fields(struct json *json, const struct stoa_pager_stat *stat, bool all)
{
	json_number(json, "length", stat->length);
	json_number(json, "block", stat->block);
	json_number(json, "budget", stat->budget);
	json_text(json, "way", pager_way(stat->way));
	json_text(json, "on_error", pager_on_error(stat->on_error));
	json_number(json, "rank", stat->rank);
	json_number(json, "read_ahead", stat->read_ahead);
	json_number(json, "resident_blocks", stat->resident);
	json_number(json, "clean", stat->clean);
	json_number(json, "dirty", stat->dirty);
	json_number(json, "busy", stat->busy);
	json_number(json, "poisoned", stat->poisoned);
	json_number(json, "pinned", stat->pinned);
	json_counts(json, stat);
	json_number(json, "members_alive", stat->members_alive);
	if (!all)
		return;
	json_array_begin(json, "latency");
	for (unsigned i = 0; i < STOA_PAGER_LATENCIES; i++)
		json_number(json, NULL, stat->latency[i]);
	json_array_end(json);
	json_members(json, stat);
}

void pager_json(struct json *json, const struct stoa_pager_stat *stat, bool all)
{
	if (!stat) {
		json_null(json, "pager");
		return;
	}
	json_object_begin(json, "pager");
	pager_json_fields(json, stat, all);
	json_object_end(json);
}
