/* SPDX-License-Identifier: MIT */
/*
 * `stoa bench`: chooses cases, runs them one after the other and prints a table or JSON lines. Uses the tool's helpers; the
 * measuring itself is in measure.c.
 */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <stoa/stoa.h>

#include "chart.h"
#include "crew.h"
#include "os/host.h"
#include "os/rival.h"
#include "os/walk.h"
#include "tool.h"

#define PAIRS_FULL 25
#define PAIRS_QUICK 3
#define PAIRS_DEFAULT UINT64_MAX
#define CASES_MAX 128
#define PAIR_SECONDS 60
#define CHART_ROUNDS 10

static int leave(struct bench *bench, int status, const char *format, va_list arguments)
{
	vsnprintf(bench->reason, sizeof(bench->reason), format, arguments);
	return status;
}

int bench_skip(struct bench *bench, const char *format, ...)
{
	va_list arguments;
	int status;

	va_start(arguments, format);
	status = leave(bench, BENCH_SKIPPED, format, arguments);
	va_end(arguments);
	return status;
}

int bench_fail(struct bench *bench, const char *format, ...)
{
	va_list arguments;
	int status;

	va_start(arguments, format);
	status = leave(bench, BENCH_FAILED, format, arguments);
	va_end(arguments);
	return status;
}

int bench_fail_result(struct bench *bench, const char *what, int result)
{
	if (result < 0)
		return bench_fail(bench, "%s: %s: %s", what, stoa_error_name(result), stoa_error_detail());
	return bench_fail(bench, "%s: unexpected %s", what, stoa_error_name(result));
}

int bench_fail_system(struct bench *bench, const char *what, int error)
{
	return bench_fail(bench, "%s: %s", what, walk_error_text(error));
}

unsigned bench_scale(const struct bench *bench, unsigned full, unsigned quick)
{
	return bench->quick ? quick : full;
}

/*
 * A lost wake-up would let a case wait for ever: the cases wait without deadlines, as their baselines do. So every pair has a
 * time limit, and at its end the program says which case it was and stops; its crew ends with it.
 */
static void show_progress(void *argument, unsigned done, unsigned pairs)
{
	const struct bench *bench = argument;

	host_watch(bench->which->name, PAIR_SECONDS);
	progress_show("[%u/%u] %s: pair %u of %u", bench->place, bench->places, bench->which->name, done, pairs);
}

int bench_pairs(struct bench *bench, int (*subject)(void *context, struct series *samples),
		int (*baseline)(void *context, struct series *samples), void *context)
{
	const struct measure_plan plan = {
		.pairs = bench->pairs,
		.subject = subject,
		.baseline = baseline,
		.context = context,
		.progress = show_progress,
		.progress_argument = bench,
	};
	int status = measure_run(&plan, &bench->result);

	return status == -1 ? bench_fail(bench, "out of memory for samples") : status;
}

/* ---- choosing ---- */

static const struct bench_case *const tables[] = {
	bench_segment_cases, bench_file_cases,   bench_pager_cases, bench_mutex_cases, bench_wait_cases,
	bench_channel_cases, bench_stream_cases, bench_count_cases, bench_peer_cases,  bench_get_cases,
	bench_put_cases,     bench_held_cases,   bench_find_cases,
};

/* Case number `at` over all tables, or NULL behind the last. */
static const struct bench_case *case_at(size_t at)
{
	for (size_t i = 0; i < CC_COUNT(tables); i++) {
		for (const struct bench_case *entry = tables[i]; entry->name; entry++) {
			if (at-- == 0)
				return entry;
		}
	}
	return NULL;
}

const struct bench_case *bench_find_case(const char *name)
{
	const struct bench_case *entry = NULL;

	for (size_t i = 0; (entry = case_at(i)) != NULL && strcmp(entry->name, name) != 0; i++)
		continue;
	return entry;
}

static const char *case_name(const void *list, size_t i)
{
	const struct bench_case *entry = case_at(i);

	(void)list;
	return entry ? entry->name : NULL;
}

/* "sync" and "sync.mutex" select "sync.mutex"; "sync.mu" does not. */
static bool selects(const char *word, const char *name)
{
	size_t length = strlen(word);

	return strncmp(word, name, length) == 0 && (name[length] == 0 || name[length] == '.');
}

/* Put the chosen cases, in the tables' order, into `chosen`. */
static int choose(int count, char **words, const struct bench_case **chosen, unsigned *ret_chosen)
{
	const struct bench_case *entry;
	bool known[CASES_MAX] = {false};

	*ret_chosen = 0;
	for (size_t i = 0; (entry = case_at(i)) != NULL; i++) {
		bool wanted = count == 0;

		for (int k = 0; k < count && k < CASES_MAX; k++) {
			if (selects(words[k], entry->name))
				known[k] = wanted = true;
		}
		if (wanted && *ret_chosen < CASES_MAX)
			chosen[(*ret_chosen)++] = entry;
	}
	for (int k = 0; k < count && k < CASES_MAX; k++) {
		const char *nearest = known[k] ? NULL : nearest_word(words[k], case_name, NULL);

		if (nearest)
			return tool_misuse("bench: no case '%s'; did you mean '%s'? --list shows all", words[k],
					   nearest);
		if (!known[k])
			return tool_misuse("bench: no case '%s'; --list shows all", words[k]);
	}
	return TOOL_GO;
}

/* ---- printing ---- */

static bool more_is_better(const struct bench_case *which)
{
	return strstr(which->unit, "/s") != NULL;
}

#define CELL 32

/* Four digits that matter. */
static const char *figure(double value, char text[CELL])
{
	int decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;

	if (!(value >= 0)) /* not a number */
		snprintf(text, CELL, "-");
	else
		snprintf(text, CELL, "%.*f", decimals, value);
	return text;
}

static const char *target_text(const struct bench_case *which, char text[CELL])
{
	const struct bench_target *target = &which->target;

	if (!rival_has_targets)
		snprintf(text, CELL, "-");
	else if (target->low > 0 && target->high > 0)
		snprintf(text, CELL, "%.2f..%.2f", target->low, target->high);
	else if (target->absolute)
		snprintf(text, CELL, "%s %g %s",
			 target->high > 0 ? "<=" : ">=", target->high > 0 ? target->high : target->low, which->unit);
	else if (target->high > 0)
		snprintf(text, CELL, "<= %.3g", target->high);
	else if (target->low > 0)
		snprintf(text, CELL, ">= %.3g", target->low);
	else
		snprintf(text, CELL, "-");
	return text;
}

/* What 99 of 100 samples were at least as good as. */
static double worst_but_one(const struct bench_case *which, struct series *samples)
{
	return series_percentile(samples, more_is_better(which) ? 0.01 : 0.99);
}

/* Of these, 999 of 1000 say something: times, and as many, else it would be the worst one. */
static bool are_many(const struct bench_case *which, const struct series *samples)
{
	return !more_is_better(which) && samples->count >= 1000;
}

static double worst_of_many(const struct bench_case *which, struct series *samples)
{
	return are_many(which, samples) ? series_percentile(samples, 0.999) : (double)NAN;
}

static const char *verdict(struct bench *bench)
{
	const struct bench_target *target = &bench->which->target;
	double value = target->absolute ? series_percentile(&bench->result.samples, 0.5) : bench->result.ratio;

	if ((target->low <= 0 && target->high <= 0) || !rival_has_targets)
		return "-";
	if ((target->low > 0 && value < target->low) || (target->high > 0 && value > target->high))
		return "no";
	return "yes";
}

static const struct table_column columns[] = {
	{"case", 0},
	{"unit", 0},
	{"n", TABLE_RIGHT},
	{"p50", TABLE_RIGHT},
	{"p99", TABLE_RIGHT},
	{"p99.9", TABLE_RIGHT},
	{"base p50", TABLE_RIGHT},
	{"base p99", TABLE_RIGHT},
	{"base p99.9", TABLE_RIGHT},
	{"ratio", TABLE_RIGHT},
	{"target", 0},
	{"meets", 0},
	{"baseline", 0},
};

static void print_row(struct table *table, struct bench *bench, int status)
{
	struct measure_result *result = &bench->result;
	const char *meets = status ? "-" : verdict(bench);
	char text[sizeof(bench->reason) + CELL];

	table_cell(table, bench->which->name, COLOUR_BOLD);
	table_cell(table, bench->which->unit, COLOUR_OFF);
	snprintf(text, sizeof(text), "%zu", result->samples.count);
	table_cell(table, status ? "-" : text, COLOUR_OFF);
	table_cell(table, figure(series_percentile(&result->samples, 0.5), text), COLOUR_OFF);
	table_cell(table, figure(worst_but_one(bench->which, &result->samples), text), COLOUR_OFF);
	table_cell(table, figure(worst_of_many(bench->which, &result->samples), text), COLOUR_OFF);
	table_cell(table, figure(series_percentile(&result->baseline, 0.5), text), COLOUR_OFF);
	table_cell(table, figure(worst_but_one(bench->which, &result->baseline), text), COLOUR_OFF);
	table_cell(table, figure(worst_of_many(bench->which, &result->baseline), text), COLOUR_OFF);
	table_cell(table, figure(status ? (double)NAN : result->ratio, text), COLOUR_BOLD);
	table_cell(table, target_text(bench->which, text), COLOUR_OFF);
	table_cell(table, meets, strcmp(meets, "no") == 0 ? COLOUR_RED : COLOUR_GREEN);
	snprintf(text, sizeof(text), "%s%s",
		 status == 0               ? ""
		 : status == BENCH_SKIPPED ? "skipped: "
					   : "FAILED: ",
		 status ? bench->reason : bench->baseline);
	table_cell(table, text, status == BENCH_FAILED ? COLOUR_RED : COLOUR_OFF);
}

static void print_json(struct bench *bench, int status)
{
	struct measure_result *result = &bench->result;
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "case", bench->which->name);
	json_text(&json, "unit", bench->which->unit);
	if (status) {
		json_text(&json, status == BENCH_SKIPPED ? "skipped" : "failed", bench->reason);
		json_end(&json);
		return;
	}
	json_number(&json, "n", result->samples.count);
	json_real(&json, "p50", series_percentile(&result->samples, 0.5));
	json_real(&json, "p99", worst_but_one(bench->which, &result->samples));
	json_text(&json, "baseline", bench->baseline);
	json_real(&json, "baseline_p50", series_percentile(&result->baseline, 0.5));
	json_real(&json, "baseline_p99", worst_but_one(bench->which, &result->baseline));
	json_real(&json, "ratio", result->ratio);
	if (are_many(bench->which, &result->samples)) {
		json_real(&json, "p999", worst_of_many(bench->which, &result->samples));
		json_real(&json, "baseline_p999", worst_of_many(bench->which, &result->baseline));
	}
	json_end(&json);
}

static int print_list(bool as_json)
{
	static const struct table_column list_columns[] = {{"case", 0}, {"unit", 0}, {"target", 0}, {"what", 0}};
	struct table *table = as_json ? NULL : table_create(list_columns, CC_COUNT(list_columns));
	const struct bench_case *entry;
	char target[CELL];
	int status = TOOL_OK;

	if (!as_json && !table)
		return tool_fail("bench: out of memory");
	for (size_t i = 0; (entry = case_at(i)) != NULL; i++) {
		struct json json;

		if (table) {
			table_cell(table, entry->name, COLOUR_BOLD);
			table_cell(table, entry->unit, COLOUR_OFF);
			table_cell(table, target_text(entry, target), COLOUR_OFF);
			table_cell(table, entry->about, COLOUR_OFF);
			continue;
		}
		json_begin(&json, stdout);
		json_text(&json, "case", entry->name);
		json_text(&json, "unit", entry->unit);
		json_text(&json, "baseline", entry->baseline);
		json_text(&json, "target", target_text(entry, target));
		json_text(&json, "about", entry->about);
		json_end(&json);
	}
	if (table)
		status = table_print(table, stdout);
	table_destroy(table);
	return status;
}

/* Which library was measured: one that is linked in would flatter every call by its missing PLT. */
static void print_library(unsigned dropped, unsigned pairs)
{
	const char *file = host_library(stoa_version());

	if (file)
		printf("\nlibrary %s (%s)", stoa_version(), file);
	printf("\nratio: median over pairs of interleaved blocks; %u of %u pairs dropped, as the machine changed its pace "
	       "between their baselines\n",
	       dropped, pairs);
}

/* ---- running ---- */

struct settings {
	bool json;
	bool list;
	bool quick;
	uint64_t pairs;
	const char *directory;
	bool directory_named;
	const char *svg; /* where the chart goes */
	FILE *chart;
};

/* Before anything is measured: can the chart be drawn, and written? */
static int chart_begin(struct settings *settings, const struct bench_case *const *chosen, unsigned count)
{
	bool shown = false;

	for (unsigned i = 0; i < count; i++)
		shown |= chart_shows(chosen[i]);
	if (!shown)
		return tool_misuse("bench: --svg draws the speed of channels, and no case that has it was chosen");
	settings->chart = host_create(settings->svg);
	return settings->chart ? TOOL_GO : tool_fail("bench: --svg '%s': %s", settings->svg, strerror(errno));
}

static int chart_end(const struct settings *settings)
{
	char host[256], machine[512], day[16] = "";
	time_t now = time(NULL);
	struct tm *date = localtime(&now);
	bool good;

	if (date)
		strftime(day, sizeof(day), "%Y-%m-%d", date);
	host_describe(host, sizeof(host));
	snprintf(machine, sizeof(machine), "%s, %u processors; stoa %s, %s%s", host, host_cpus(), stoa_version(), day,
		 settings->quick ? "; --quick, which says nothing" : "");
	good = chart_write(settings->chart, machine);
	good &= fclose(settings->chart) == 0;
	return good ? TOOL_OK : tool_fail("bench: --svg '%s': it could not be written", settings->svg);
}

static int run_one(struct bench *bench, const struct settings *settings, const struct bench_case *which, unsigned place,
		   unsigned places)
{
	int status;

	*bench = (struct bench){
		.which = which,
		.quick = settings->quick,
		.pairs = (unsigned)settings->pairs,
		.directory = settings->directory,
		.directory_named = settings->directory_named,
		.baseline = which->baseline,
		.place = place,
		.places = places,
	};
	fflush(stdout); /* what is known may be read while the next case runs */
	progress_show("[%u/%u] %s", place, places, which->name);
	host_watch(which->name, PAIR_SECONDS);
	status = which->run(bench);
	host_watch(NULL, 0);
	host_unpin();
	progress_end();
	return status;
}

/* What stood apart, some times again: for the chart alone, what was printed stays. */
static void run_apart(const struct settings *settings, const struct bench_case *const *chosen, unsigned count)
{
	for (unsigned k = 0; k < CHART_ROUNDS && !settings->quick; k++) {
		for (unsigned i = 0; i < count; i++) {
			struct bench bench;

			if (!chart_is_apart(chosen[i]))
				continue;
			if (run_one(&bench, settings, chosen[i], i + 1, count) == 0)
				chart_add(&bench);
			measure_result_free(&bench.result);
		}
	}
}

static int run_all(const struct settings *settings, const struct bench_case *const *chosen, unsigned count)
{
	struct table *table = settings->json ? NULL : table_create(columns, CC_COUNT(columns));
	unsigned dropped = 0;
	unsigned pairs = 0;
	int exit_status = TOOL_OK;

	if (!settings->json && !table)
		return tool_fail("bench: out of memory");
	for (unsigned i = 0; i < count; i++) {
		struct bench bench;
		int status = run_one(&bench, settings, chosen[i], i + 1, count);

		if (table)
			print_row(table, &bench, status);
		else
			print_json(&bench, status);
		if (status == BENCH_FAILED)
			exit_status = TOOL_FAILED;
		if (!status && settings->chart)
			chart_add(&bench);
		dropped += bench.result.dropped;
		pairs += bench.result.pairs;
		measure_result_free(&bench.result);
	}
	if (table && table_print(table, stdout) != TOOL_OK)
		exit_status = TOOL_FAILED;
	if (table)
		print_library(dropped, pairs);
	table_destroy(table);
	if (settings->chart) {
		run_apart(settings, chosen, count);
		exit_status = chart_end(settings) == TOOL_OK ? exit_status : TOOL_FAILED;
	}
	return exit_status;
}

static int parse(struct settings *settings, int argc, char **argv, int *ret_operands)
{
	const struct option_spec options[] = {
		{0, "json", OPTION_FLAG, &settings->json, NULL, "one JSON object per case and line"},
		{'l', "list", OPTION_FLAG, &settings->list, NULL, "name the cases and their targets, run none"},
		{'q', "quick", OPTION_FLAG, &settings->quick, NULL, "short: shows that everything runs, not how fast"},
		{0, "pairs", OPTION_NUMBER, &settings->pairs, "N", "pairs of blocks per case (25, quick: 3)"},
		{0, "directory", OPTION_TEXT, &settings->directory, "DIR",
		 "where file cases put a file (default: for temporary files)"},
		{0, "svg", OPTION_TEXT, &settings->svg, "FILE",
		 "draw the speed of channels, and of others, as a chart"},
	};
	const struct usage usage = {
		.command = "bench",
		.operands = "[CASE...]",
		.about =
			"Measure the library against the plain means of the system, both in alternating blocks in the same\n"
			"processes. 'ratio' is the case's median over the baseline's: below 1 is better for times, above 1 for\n"
			"rates. A CASE is a name of --list or its beginning: 'segment', 'sync.mutex'.",
		.options = options,
		.option_count = CC_COUNT(options),
		.operands_max = CASES_MAX,
		.examples = "  $ stoa bench                 all cases, a minute or two\n"
			    "  $ stoa bench sync --pairs 51 only synchronisation, more carefully\n"
			    "  $ stoa bench --json          for programs",
	};
	int status = options_parse(&usage, argc, argv, ret_operands);

	if (status == TOOL_GO && settings->pairs != PAIRS_DEFAULT && (settings->pairs == 0 || settings->pairs > 10000))
		return tool_misuse("bench: --pairs is 1 to 10000");
	if (settings->pairs == PAIRS_DEFAULT)
		settings->pairs = settings->quick ? PAIRS_QUICK : PAIRS_FULL;
	settings->directory_named = settings->directory != NULL;
	if (status == TOOL_GO && settings->directory) {
		int error = rival_directory_check(settings->directory);

		if (error)
			return tool_fail("bench: --directory '%s': %s", settings->directory, walk_error_text(error));
	}
	if (!settings->directory)
		settings->directory = rival_directory();
	return status;
}

int command_bench(int argc, char **argv)
{
	const struct bench_case *chosen[CASES_MAX];
	struct settings settings = {.pairs = PAIRS_DEFAULT};
	unsigned count;
	int operands;
	int status;

	if (argc > 1 && strcmp(argv[1], "--member") == 0)
		return crew_member(argc - 2, argv + 2);
	if (argc == 3 && strcmp(argv[1], "--rival-search") == 0 && (status = rival_search_run(argv[2])) >= 0)
		return status;
	status = parse(&settings, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (settings.list)
		return print_list(settings.json);
	host_cpus(); /* before anything is pinned */
	status = choose(operands, argv + 1, chosen, &count);
	if (status == TOOL_GO && settings.svg)
		status = chart_begin(&settings, chosen, count);
	return status == TOOL_GO ? run_all(&settings, chosen, count) : status;
}
