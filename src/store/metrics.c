/* SPDX-License-Identifier: MIT */
/*
 * Figures in Prometheus' text format, for who asks the server and for the program that runs it. A figure is a line of the table below; its help has neither
 * backslash nor line end, and its label's values are words, so nothing is escaped.
 */
#include <store/metrics.h>

#include <base/error.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stoa/store_stat.h>
#include <store/server.h>
#include <string.h>

#define PATIENCE UINT64_C(5000000000) /* nanoseconds that the server's loop has to answer */
#define AGAIN UINT64_C(100000000) /* nanoseconds after which it is called once more, as the system may have failed to */

enum form { FORM_GAUGE, FORM_COUNTER, FORM_SECONDS };

static const struct metric {
	const char *name;
	enum store_figure figure;
	enum form form;
	const char *help;
} metrics[] = {
	{"stoa_store_objects", FIGURE_OBJECTS, FORM_GAUGE, "Objects that can be got."},
	{"stoa_store_objects_limit", FIGURE_OBJECTS_LIMIT, FORM_GAUGE, "Objects that there may be at a time."},
	{"stoa_store_bytes", FIGURE_BYTES, FORM_GAUGE, "Memory that is committed, everything included."},
	{"stoa_store_limit_bytes", FIGURE_LIMIT, FORM_GAUGE, "Memory that may be committed."},
	{"stoa_store_warm_bytes", FIGURE_WARM, FORM_GAUGE, "Memory that is committed and holds nothing."},
	{"stoa_store_clients", FIGURE_CLIENTS, FORM_GAUGE, "Clients that are connected."},
	{"stoa_store_clients_limit", FIGURE_CLIENTS_LIMIT, FORM_GAUGE, "Clients that there may be at a time."},
	{"stoa_store_drafts", FIGURE_DRAFTS, FORM_GAUGE, "Objects that are being made in place."},
	{"stoa_store_allocations", FIGURE_ALLOCATIONS, FORM_GAUGE,
	 "Pieces of memory handed out that end with their makers."},
	{"stoa_store_waiting_requests", FIGURE_WAITS, FORM_GAUGE, "Requests that wait for an object, or for room."},
	{"stoa_store_dying_objects", FIGURE_DYING, FORM_GAUGE, "Objects that are deleted and still held."},
	{"stoa_store_arenas", FIGURE_ARENAS, FORM_GAUGE, "Memory objects that hold objects."},
	{"stoa_store_held", FIGURE_HELD, FORM_GAUGE, "1 if everything outlives the server now, else 0."},
	{"stoa_store_start_time_seconds", FIGURE_STARTED, FORM_SECONDS,
	 "When this server started, in seconds since 1970."},
	{"stoa_store_puts_total", FIGURE_PUTS, FORM_COUNTER, "Objects that were sealed."},
	{"stoa_store_deletes_total", FIGURE_DELETES, FORM_COUNTER, "Objects that were deleted."},
	{"stoa_store_evictions_total", FIGURE_EVICTIONS, FORM_COUNTER, "Objects that made room for others."},
	{"stoa_store_refusals_total", FIGURE_REFUSALS, FORM_COUNTER, "Requests that were refused for want of room."},
	{"stoa_store_connections_total", FIGURE_CONNECTIONS, FORM_COUNTER, "Clients that have connected."},
	{"stoa_store_servers_total", FIGURE_SERVERS, FORM_COUNTER,
	 "Servers of this store so far, each of which has taken over from the one before."},
	{"stoa_store_lost_entries_total", FIGURE_LOST, FORM_COUNTER,
	 "Objects that were found damaged when this server took over."},
	{"stoa_store_sleeps_total", FIGURE_SLEEPS, FORM_COUNTER, "How often this server had nothing to do and slept."},
	{"stoa_store_reports_total", FIGURE_REPORTS, FORM_COUNTER,
	 "Questions about clients and figures that this server has answered."},
	{"stoa_store_spilled_objects", FIGURE_SPILLED, FORM_GAUGE, "Objects that are in files."},
	{"stoa_store_spilled_bytes", FIGURE_SPILLED_BYTES, FORM_GAUGE, "Bytes of these files."},
	{"stoa_store_spill_limit_bytes", FIGURE_SPILL_LIMIT, FORM_GAUGE, "Bytes that these files may have."},
	{"stoa_store_spills_total", FIGURE_SPILLS, FORM_COUNTER, "Objects that went to files."},
	{"stoa_store_restores_total", FIGURE_RESTORES, FORM_COUNTER, "Objects that came back from files."},
	{"stoa_store_spill_failures_total", FIGURE_SPILL_FAILURES, FORM_COUNTER,
	 "Times that an object could not go to a file, or come back, and stayed where it was."},
	{"stoa_store_spill_losses_total", FIGURE_SPILL_LOSSES, FORM_COUNTER,
	 "Objects whose files were gone or damaged."},
};

static const char *const requests[FIGURE_COUNT - FIGURE_REQUESTS] = {
	[STORE_OP_PUT] = "put",     [STORE_OP_CREATE] = "create", [STORE_OP_SEAL] = "seal",
	[STORE_OP_ABORT] = "abort", [STORE_OP_DELETE] = "delete", [STORE_OP_WAIT] = "wait",
	[STORE_OP_ROOM] = "room",   [STORE_OP_CANCEL] = "cancel", [STORE_OP_MARK] = "mark",
	[STORE_OP_GROW] = "grow",   [STORE_OP_FETCH] = "fetch",   [STORE_OP_SUBSCRIBE] = "subscribe",
};

struct writer {
	char *text;
	uint64_t room, length;
};

CC_PRINTF(2, 3) static void write_text(struct writer *writer, const char *format, ...)
{
	uint64_t left = writer->length < writer->room ? writer->room - writer->length : 0;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(left ? writer->text + writer->length : NULL, left, format, arguments);
	va_end(arguments);
	writer->length += length > 0 ? (uint64_t)length : 0;
}

static void write_head(struct writer *writer, const char *name, const char *help, bool counter)
{
	write_text(writer, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, counter ? "counter" : "gauge");
}

static void write_requests(struct writer *writer, const uint64_t figures[FIGURE_COUNT])
{
	static const char name[] = "stoa_store_requests_total";

	write_head(writer, name, "Requests that this server has taken, by what they ask for.", true);
	for (size_t i = 0; i < CC_COUNT(requests); i++)
		if (requests[i])
			write_text(writer, "%s{op=\"%s\"} %" PRIu64 "\n", name, requests[i],
				   figures[FIGURE_REQUESTS + i]);
}

int store_metrics_write(const uint64_t figures[FIGURE_COUNT], char *ret_text, uint64_t room, uint64_t *ret_length)
{
	struct writer writer = {ret_text, room, 0};

	for (size_t i = 0; i < CC_COUNT(metrics); i++) {
		const struct metric *metric = &metrics[i];
		uint64_t value = figures[metric->figure];

		write_head(&writer, metric->name, metric->help, metric->form == FORM_COUNTER);
		if (metric->form == FORM_SECONDS)
			write_text(&writer, "%s %" PRIu64 ".%03" PRIu64 "\n", metric->name, value / 1000000000,
				   value / 1000000 % 1000);
		else
			write_text(&writer, "%s %" PRIu64 "\n", metric->name, value);
	}
	write_requests(&writer, figures);
	if (writer.length >= room)
		return error_set(-STOA_ERANGE, "the metrics have %" PRIu64 " bytes, and there is room for %" PRIu64,
				 writer.length + 1, room);
	if (ret_length)
		*ret_length = writer.length;
	return 0;
}

int stoa_server_metrics(struct stoa_server *server, char *ret_text, uint64_t room, uint64_t *ret_length)
{
	uint64_t deadline = os_now() + PATIENCE, figures[FIGURE_COUNT];
	uint32_t before;

	os_lock(&server->lock);
	before = load_rlx(&server->figures_taken);
	server->figures_wanted = true;
	os_unlock(&server->lock);
	for (uint64_t now = os_now(); load_rlx(&server->figures_taken) == before; now = os_now()) {
		if (now >= deadline || load_rlx(&server->stopping))
			return error_set(-STOA_EBUSY, "the server does not run");
		os_notifier_raise(server->call);
		(void)os_wait(&(struct os_wait_word){&server->figures_taken, before, OS_WORD_WOKEN}, 1, now + AGAIN);
	}
	os_lock(&server->lock);
	memcpy(figures, server->figures, sizeof(figures));
	os_unlock(&server->lock);
	return store_metrics_write(figures, ret_text, room, ret_length);
}
