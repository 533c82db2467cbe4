/* SPDX-License-Identifier: MIT */
/* `stoa find`: the command itself, which is the client unless it was started as a server, and its summary. */
#include "find.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static double per_second(uint64_t count, uint64_t nanoseconds)
{
	return nanoseconds ? (double)count * 1e9 / (double)nanoseconds : 0;
}

static void print_deaths(const struct find_report *report)
{
	if (report->impatient)
		fprintf(stderr,
			"patience     %" PRIu32 " server%s left while the client was stuck, and others took over\n",
			report->impatient, report->impatient == 1 ? "" : "s");
	if (report->killed)
		fprintf(stderr,
			"killed       %" PRIu32 " server%s, the last was process %" PRId64 "; %" PRIu64
			" directories were done again,\n"
			"             in %" PRIu64 " of them for the entries only: their sub-directories were known\n",
			report->killed, report->killed == 1 ? "" : "s", report->last_killed, report->redone,
			report->redone_spread);
	if (report->noticed)
		fprintf(stderr, "             a new server was on its way %.1f ms after the kill\n",
			(double)report->noticed / 1e6);
	if (!report->killed)
		fprintf(stderr, "killed       no server; %" PRIu64 " directories were done again\n", report->redone);
}

void find_report_print(const struct find_report *report)
{
	char reserved[SIZE_TEXT];
	char committed[SIZE_TEXT];

	fprintf(stderr, "entries      %" PRIu64 " in %" PRIu64 " directories, %" PRIu64 " could not be read\n",
		report->entries, report->directories, report->errors);
	fprintf(stderr, "time         %.3f s, %.0f entries/s\n", (double)report->nanoseconds / 1e9,
		per_second(report->entries, report->nanoseconds));
	fprintf(stderr, "processes    1 client and %" PRIu32 " servers, %" PRIu32 " started in all\n", report->jobs,
		report->started);
	fprintf(stderr, "batches      %" PRIu64 " of up to %" PRIu32 "KiB, handed over without copying\n",
		report->batches, FIND_RING / 4 / 1024);
	fprintf(stderr, "memory       %s reserved, %s committed\n", size_text(report->reserved, reserved),
		size_text(report->committed, committed));
	fprintf(stderr, "waiting      %" PRIu64 " sleeps, %" PRIu64 " wake-ups\n", report->sleeps, report->wakes);
	print_deaths(report);
}

int command_find(int argc, char **argv)
{
	struct find_options options;
	int status;

	if (argc > 1 && strcmp(argv[1], "--server") == 0)
		return find_server(argc, argv);
	status = find_options_parse(argc, argv, &options);
	return status == TOOL_GO ? find_client(&options) : status;
}
