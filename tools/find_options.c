/* SPDX-License-Identifier: MIT */
/* The command line of `stoa find`. */
#include "find.h"

#include <inttypes.h>
#include <string.h>

#include "os/process.h"
#include "tool.h"

#define PATIENCE UINT64_C(5000000000)
#define PATIENCE_MIN UINT64_C(100000000)

static int parse_types(const char *text, uint32_t *ret_types)
{
	uint32_t types = 0;

	for (const char *at = text; at && *at; at++) {
		const char *letter = strchr(FIND_TYPES, *at);

		if (*at == ',')
			continue;
		if (!letter)
			return tool_misuse("find: --type knows no '%c'; use letters of %s, e.g. --type f,l", *at,
					   FIND_TYPES);
		types |= 1u << (letter - FIND_TYPES);
	}
	if (text && !types)
		return tool_misuse("find: --type needs letters of %s, e.g. --type f,l", FIND_TYPES);
	*ret_types = types;
	return TOOL_GO;
}

/* "10M" exactly, "+10M" more, "-10M" less, "1M..10M" from and to. */
static int parse_size(const char *text, struct find_filter *filter)
{
	const char *range = text ? strstr(text, "..") : NULL;
	char low[32];
	uint64_t size;
	int status;

	filter->size_min = 0;
	filter->size_max = UINT64_MAX;
	if (!text)
		return TOOL_GO;
	if (range && range == text && !range[2])
		return tool_misuse("find: --size .. says nothing; use e.g. 1M..10M");
	if (range) {
		snprintf(low, sizeof(low), "%.*s", (int)(range - text < 31 ? range - text : 31), text);
		status = low[0] ? size_argument("find: --size", low, &filter->size_min) : TOOL_GO;
		if (status == TOOL_GO && range[2])
			status = size_argument("find: --size", range + 2, &filter->size_max);
		if (status == TOOL_GO && filter->size_min > filter->size_max)
			return tool_misuse("find: --size %s: nothing is of such a size", text);
		return status;
	}
	status = size_argument("find: --size", text + (*text == '+' || *text == '-'), &size);
	if (status != TOOL_GO)
		return status;
	if ((*text == '-' && size == 0) || (*text == '+' && size == UINT64_MAX))
		return tool_misuse("find: --size %s: nothing is of such a size", text);
	filter->size_min = *text == '-' ? 0 : *text == '+' ? size + 1 : size;
	filter->size_max = *text == '-' ? size - 1 : *text == '+' ? UINT64_MAX : size;
	return TOOL_GO;
}

/* What the table of options yields, before it is checked. */
struct raw {
	const char *name;
	const char *type;
	const char *size;
	uint64_t jobs; /* JOBS_DEFAULT: not given */
};
#define JOBS_DEFAULT UINT64_MAX

static int check(const struct raw *raw, struct find_options *options)
{
	int status;

	options->filter.glob = raw->name;
	options->filter.glob_length = raw->name ? (uint32_t)strlen(raw->name) : FIND_NO_GLOB;
	status = parse_types(raw->type, &options->filter.types);
	if (status == TOOL_GO)
		status = parse_size(raw->size, &options->filter);
	if (status != TOOL_GO)
		return status;
	if (options->json && options->nul)
		return tool_misuse("find: --json and --null exclude each other");
	if (raw->jobs != JOBS_DEFAULT && (raw->jobs == 0 || raw->jobs > FIND_JOBS_MAX))
		return tool_misuse("find: --jobs %" PRIu64 " is not 1 to %u", raw->jobs, FIND_JOBS_MAX);
	options->jobs = raw->jobs == JOBS_DEFAULT ? process_cpu_count() : (uint32_t)raw->jobs;
	if (options->jobs > FIND_JOBS_MAX)
		options->jobs = FIND_JOBS_MAX;
	if (options->patience < PATIENCE_MIN)
		return tool_misuse("find: --patience must be at least 100ms");
	if (!*options->root)
		return tool_misuse("find: the directory's name is empty");
	return TOOL_GO;
}

int find_options_parse(int argc, char **argv, struct find_options *ret_options)
{
	struct find_options options = {.root = ".", .patience = PATIENCE, .kill_after = UINT64_MAX};
	struct raw raw = {.jobs = JOBS_DEFAULT};
	const struct option_spec table[] = {
		{'n', "name", OPTION_TEXT, &raw.name, "GLOB",
		 "only names that match; * ? [a-z] \\, quoted from the shell"},
		{'t', "type", OPTION_TEXT, &raw.type, "LETTERS",
		 "only these: f file, d directory, l link, p pipe, s socket,\nb block device, c character device"},
		{'s', "size", OPTION_TEXT, &raw.size, "SIZE",
		 "only of this size: 10M, more: +10M, less: -10M, or 1M..10M"},
		{'0', "null", OPTION_FLAG, &options.nul, NULL, "end each path with a zero byte, for xargs -0"},
		{0, "json", OPTION_FLAG, &options.json, NULL,
		 "an object for each entry, with size, times and attributes"},
		{0, "sort", OPTION_FLAG, &options.sort, NULL, "sorted by the bytes of the paths"},
		{'j', "jobs", OPTION_NUMBER, &raw.jobs, "N", "server processes, 1 to 64; default one per core"},
		{0, "stats", OPTION_FLAG, &options.stats, NULL, "sum up on the error output how it was done"},
		{0, "patience", OPTION_DURATION, &options.patience, "TIME",
		 "servers leave when the client is stuck this long; default 5s.\nOthers take over when it goes on; a server that somebody stops\nis killed after half of it, and replaced"},
		{0, "kill-server-at", OPTION_NUMBER, &options.kill_after, "N",
		 "a demonstration: kill a server after N entries;\nnothing gets lost"},
	};
	const struct usage usage = {
		"find",
		"[DIR]",
		"List what is in DIR (default: .) and below, as find(1) does. Several processes walk the tree\n"
		"together and hand the entries over through shared memory; any of them may be killed.",
		table,
		sizeof(table) / sizeof(table[0]),
		0,
		1,
		"  $ stoa find /usr --name '*.so*' --type l\n"
		"  $ stoa find ~ --size +100M --json | jq -r '[.size, .path] | @tsv'\n"
		"  $ stoa find /usr --stats --kill-server-at 50000 >/dev/null"};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (operands)
		options.root = argv[1];
	status = check(&raw, &options);
	if (status == TOOL_GO)
		*ret_options = options;
	return status;
}
