/* SPDX-License-Identifier: MIT */
/*
 * The client of `stoa find`: makes the segment, starts the servers, takes their batches, prints what is complete, and sees to it that
 * whatever a dead server left undone is done by another. See find.h for the whole.
 *
 * The client alone decides what is done: a directory counts when its last section has arrived here. Its own end needs no
 * care: the segment has no name, and the servers watch this process.
 */
#include "find.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/process.h"
#include "tool.h"

#define GROUP (STOA_WAIT_MAX - 1) /* processes watched in one wait, beside the channel */
#define BEAT 16                   /* batches between two beats */
#define FRUITLESS 16              /* servers that may die, each started after the one before, without any progress */
#define LAST_WAIT UINT64_C(5000000000) /* for servers that should end, before they are killed */
#define ROTATE UINT64_C(100000000)     /* one group of processes, when there are several */
#define FLUSH UINT64_C(100000000)      /* nanoseconds between writes while there is little to write */

/* A server process as the client knows it. */
struct peer {
	int64_t id; /* 0: none runs */
	bool ended; /* seen, and its id may be another's now */
	uint32_t number;
	struct stoa_process *process;
	uint64_t stopped; /* since when somebody has had it stopped; 0: runs, when last looked at */
	bool ended_by_us; /* because of that */
	uint64_t sleeps;  /* of it, as its last batch told */
	uint64_t wakes;
	uint64_t directory; /* `pending` is of */
	struct find_text pending;
};

struct client {
	const struct find_options *options;
	struct find_area area;
	struct stoa_receiver *receiver;
	struct find_output *output;
	struct peer peers[FIND_JOBS_MAX];
	struct find_report report;
	char token[STOA_TOKEN_SIZE];
	uint64_t acknowledged;
	uint64_t total;
	uint64_t top;
	struct find_text directory; /* path of the one being printed, with the '/' */
	struct find_text prefix;    /* DIR with a '/' */
	uint64_t beaten;            /* when the beat was last moved */
	uint64_t looked;            /* and when servers that are stopped were last looked for */
	uint64_t flushed;
	uint64_t progress;  /* `acknowledged` when a server last died */
	unsigned fruitless; /* deaths since then that count */
	uint32_t counted;   /* number of the newest server at the last of them */
	unsigned group;
	uint64_t killed_at; /* when a server was killed as the user asked; 0: not yet */
};

/* How often to look after servers. */
static uint64_t period(const struct client *client)
{
	return client->options->patience / 4;
}

/*
 * A server that somebody has stopped keeps its directories and perhaps a lock. After half the patience, before others lose theirs with that
 * lock, it is killed: whoever takes over its work must know that it will not wake up and go on.
 */
static void end_the_stopped(struct client *client)
{
	uint64_t now = stoa_now();

	if (now - client->looked < period(client))
		return;
	client->looked = now;
	for (unsigned i = 0; i < client->options->jobs; i++) {
		struct peer *peer = &client->peers[i];

		if (!peer->id || peer->ended || !process_stopped(peer->id)) {
			peer->stopped = 0;
		} else if (!peer->stopped) {
			peer->stopped = now;
		} else if (now - peer->stopped >= client->options->patience / 2) {
			peer->ended_by_us = true;
			process_kill(peer->id);
		}
	}
}

/* In slices, as the owner may be stopped. */
static int lock(struct client *client)
{
	int result;

	do {
		result = stoa_mutex_lock(client->area.segment, &client->area.shared->mutex,
					 stoa_deadline_in(period(client)));
		if (result == STOA_TIMED_OUT)
			end_the_stopped(client);
	} while (result == STOA_TIMED_OUT);
	if (result < 0) {
		tool_fail_result("find: lock", result);
		return result;
	}
	if (result == STOA_OWNER_DIED)
		find_table_repair(&client->area);
	return 0;
}

static void unlock(struct client *client)
{
	stoa_mutex_unlock(client->area.segment, &client->area.shared->mutex);
}

/* Learn how far the table has grown, and tell the servers that the client is well. */
static int look_at_table(struct client *client)
{
	struct find_shared *shared = client->area.shared;
	int result = lock(client);

	if (result < 0)
		return result;
	client->total = shared->table.total;
	client->top = shared->table.top;
	shared->beat++;
	client->beaten = stoa_now();
	unlock(client);
	return 0;
}

/* ---- entries ---- */

static void fail_path(const char *path, size_t length, int error)
{
	char *safe = malloc(4 * length + 4);

	tool_fail("find: '%s': %s", safe ? text_safe(path, length, safe, 4 * length + 4) : "?", walk_error_text(error));
	free(safe);
}

static void report_error(struct client *client, const struct find_item *item)
{
	const struct find_text *directory = &client->directory;
	size_t length = directory->length;
	char *path = malloc(length + item->length + 1);

	client->report.errors++;
	if (path) {
		memcpy(path, directory->bytes, length);
		memcpy(path + length, item->name, item->length);
		length += item->length;
		/* The directory itself is named without the '/' that its entries have before them. */
		if (item->length == 0)
			length = length > client->prefix.length ? length - 1 : strlen(client->options->root);
		fail_path(path, length, item->error);
	}
	free(path);
}

static int print_items(struct client *client, const void *bytes, size_t length)
{
	struct find_item item;
	size_t at = 0;
	int result;

	while ((result = find_batch_item(bytes, length, &at, &item)) == 1) {
		if (item.kind == FIND_KIND_ERROR)
			report_error(client, &item);
		else if (find_output_entry(client->output, client->directory.bytes, client->directory.length, &item) <
			 0)
			return -STOA_ENOMEM;
	}
	return result;
}

/* The last section of a directory has arrived: print all of it, once. */
static int acknowledge(struct client *client, struct peer *peer, uint64_t directory, const void *bytes, size_t length)
{
	struct find_record record;
	int result;

	if (!find_table_look(&client->area, directory, client->top, &record) &&
	    (look_at_table(client) < 0 || !find_table_look(&client->area, directory, client->top, &record)))
		return -STOA_EFORMAT;
	if (record.directory->owner != peer->number || record.directory->acknowledged)
		return -STOA_EFORMAT;
	result = find_table_path(&client->area, directory, client->top, client->prefix.bytes, client->prefix.length,
				 &client->directory);
	if (result == 0 && peer->pending.length)
		result = print_items(client, peer->pending.bytes, peer->pending.length);
	if (result == 0)
		result = print_items(client, bytes, length);
	if (result < 0)
		return result;
	peer->pending.length = 0;
	record.directory->acknowledged = 1;
	client->acknowledged++;
	return 0;
}

static int take_section(struct client *client, struct peer *peer, const struct find_section *section, const void *bytes)
{
	if (section->flags & FIND_FIRST) {
		peer->pending.length = 0;
		peer->directory = section->directory;
	}
	if (section->directory != peer->directory)
		return -STOA_EFORMAT;
	if (section->flags & FIND_LAST)
		return acknowledge(client, peer, section->directory, bytes, section->bytes);
	return find_text_add(&peer->pending, bytes, section->bytes) ? 0 : -STOA_ENOMEM;
}

static int take_sections(struct client *client, struct peer *peer, const unsigned char *bytes, size_t length)
{
	struct find_section section;
	size_t at = 0;
	int result;

	while ((result = find_batch_section(bytes, length, &at, &section)) == 1) {
		result = take_section(client, peer, &section, bytes + at);
		if (result < 0)
			return result;
		at += section.bytes;
	}
	return result;
}

static int report_damage(struct client *client, int result)
{
	progress_end();
	if (result == -STOA_ENOMEM)
		tool_fail("find: no memory for %" PRIu64 " entries", find_output_entries(client->output));
	else
		tool_fail("find: a batch in the shared memory is damaged");
	return result;
}

/* Kill the server whose batch has just come, if the user asked for that: it is at work. */
static void kill_as_asked(struct client *client, const struct peer *peer)
{
	if (client->killed_at || peer->ended || find_output_entries(client->output) < client->options->kill_after)
		return;
	client->killed_at = stoa_now();
	process_kill(peer->id);
}

static int take_batch(struct client *client, const struct stoa_message *message)
{
	struct find_batch head;
	struct peer *peer;
	int result = -STOA_EFORMAT;

	if (message->length < sizeof(head))
		return report_damage(client, result);
	memcpy(&head, message->bytes, sizeof(head));
	peer = head.place < client->options->jobs ? &client->peers[head.place] : NULL;
	if (peer && peer->id && peer->number == head.server)
		result = take_sections(client, peer, (const unsigned char *)message->bytes + sizeof(head),
				       message->length - sizeof(head));
	if (result < 0)
		return report_damage(client, result);
	peer->sleeps = head.sleeps;
	peer->wakes = head.wakes;
	client->report.batches++;
	kill_as_asked(client, peer);
	return 0;
}

/* Receive all batches that are there; *ret_taken counts them. */
static int take_batches(struct client *client, unsigned *ret_taken)
{
	struct stoa_message message;
	int result;

	*ret_taken = 0;
	if (!client->receiver)
		return 0;
	while ((result = stoa_receiver_receive(client->receiver, STOA_TRY, &message)) == 0) {
		result = take_batch(client, &message);
		stoa_receiver_release(client->receiver, &message);
		if (result == 0 && ++*ret_taken % BEAT == 0)
			result = look_at_table(client);
		if (result < 0 || find_output_failed(client->output))
			return result;
	}
	if (result < 0)
		tool_fail_result("find: receive", result);
	return result < 0 ? result : 0;
}

/* ---- servers ---- */

static int start_server(struct client *client, unsigned i)
{
	struct peer *peer = &client->peers[i];
	uint32_t number = client->report.started + 1;
	char place_text[16];
	char number_text[16];
	char *arguments[] = {"stoa", "find", "--server", client->token, place_text, number_text, NULL};
	int64_t id;
	int result;
	int error;

	snprintf(place_text, sizeof(place_text), "%u", i);
	snprintf(number_text, sizeof(number_text), "%u", number);
	error = process_start(arguments, &id);
	if (error) {
		tool_fail("find: cannot start server %u of %u: %s", i + 1, client->options->jobs,
			  walk_error_text(error));
		return -STOA_ESYSTEM;
	}
	client->report.started++;
	*peer = (struct peer){.id = id, .number = number, .pending = peer->pending};
	peer->pending.length = 0;
	result = stoa_process_open(peer->id, &peer->process);
	if (result < 0)
		tool_fail_result("find: watch a server", result);
	return result;
}

/* All servers look again: a dead one may have taken a wake-up to its grave. */
static int wake_all(struct client *client, bool finished)
{
	struct find_shared *shared = client->area.shared;
	int result = lock(client);

	if (result < 0)
		return result;
	shared->finished = finished;
	shared->idle = 0;
	stoa_semaphore_post(client->area.segment, &shared->work, client->options->jobs);
	unlock(client);
	return 0;
}

static void describe_end(struct client *client, const struct process_end *end, const struct peer *peer,
			 const struct find_requeued *requeued)
{
	char patience[DURATION_TEXT];

	progress_end();
	if (client->killed_at && !client->report.noticed)
		client->report.noticed = stoa_now() - client->killed_at;
	client->report.killed++;
	client->report.last_killed = peer->id;
	if (peer->ended_by_us)
		tool_warn("find: server process %" PRId64 " was stopped for more than %s, so it is killed; %" PRIu64
			  " directories are done again",
			  peer->id, duration_text(client->options->patience / 2, patience), requeued->directories);
	else if (end->killed)
		tool_warn("find: server process %" PRId64 " was ended %s; %" PRIu64 " directories are done again",
			  peer->id, process_killed_text(end->code), requeued->directories);
	else
		tool_warn("find: server process %" PRId64 " ended with status %d; %" PRIu64
			  " directories are done again",
			  peer->id, end->code, requeued->directories);
}

/*
 * Whether replacing servers leads nowhere. However many run at a time, their deaths at a time count once: only a server that was started
 * after the last death that counted, or the last progress, has had its chance. Who left because the client was stuck is no failure.
 */
static bool is_hopeless(struct client *client, uint32_t number, bool impatient)
{
	if (client->acknowledged != client->progress) {
		client->progress = client->acknowledged;
		client->fruitless = 0;
		client->counted = client->report.started;
	} else if (!impatient && number > client->counted) {
		client->fruitless++;
		client->counted = client->report.started;
	}
	return client->fruitless >= FRUITLESS;
}

/* What server `i` had claimed is for others now; a new one takes its place if there is anything left to do. */
static int replace(struct client *client, unsigned i, const struct process_end *end)
{
	struct peer *peer = &client->peers[i];
	struct find_requeued requeued;
	bool impatient = !end->killed && end->code == FIND_EXIT_PATIENCE;
	int result = lock(client);

	if (result < 0)
		return result;
	find_table_requeue(&client->area, peer->number, &requeued);
	client->total = client->area.shared->table.total;
	unlock(client);
	client->report.redone += requeued.directories;
	client->report.redone_spread += requeued.spread;
	if (impatient)
		client->report.impatient++;
	else
		describe_end(client, end, peer, &requeued);
	peer->id = 0;
	peer->pending.length = 0;
	result = wake_all(client, client->area.shared->finished);
	if (result < 0 || client->acknowledged == client->total)
		return result;
	if (!is_hopeless(client, peer->number, impatient))
		return start_server(client, i);
	tool_fail("find: %d servers in a row ended without finishing a single directory", FRUITLESS);
	return -STOA_ESYSTEM;
}

static int report_failure(struct client *client, unsigned i)
{
	char sentence[sizeof(client->area.shared->sentence)];

	memcpy(sentence, client->area.shared->sentence, sizeof(sentence));
	sentence[sizeof(sentence) - 1] = 0;
	progress_end();
	tool_fail("find: server process %" PRId64 " failed%s%s", client->peers[i].id, sentence[0] ? ": " : " to start",
		  sentence);
	client->peers[i].id = 0;
	return -STOA_ESYSTEM;
}

/* Server `i` has ended: take what it still handed over, then see how it ended. */
static int bury(struct client *client, unsigned i, const struct process_end *end)
{
	struct peer *peer = &client->peers[i];
	unsigned taken = 0;
	int result;

	peer->ended = true;
	result = take_batches(client, &taken);
	stoa_process_close(peer->process);
	peer->process = NULL;
	if (result < 0)
		return result;
	client->report.sleeps += peer->sleeps;
	client->report.wakes += peer->wakes;
	/* Afterwards it may end as it likes; before, also a status of 0 is a death: others can give it that. */
	if (!client->receiver || (!end->killed && client->area.shared->finished)) {
		peer->id = 0;
		return 0;
	}
	return !end->killed && end->code == FIND_EXIT_FAILED ? report_failure(client, i) : replace(client, i, end);
}

static int bury_the_dead(struct client *client, unsigned *ret_running)
{
	struct process_end end;

	*ret_running = 0;
	for (unsigned i = 0; i < client->options->jobs; i++) {
		int result = 0;

		if (client->peers[i].id && process_ended(client->peers[i].id, &end))
			result = bury(client, i, &end);
		if (result < 0)
			return result;
		*ret_running += client->peers[i].id != 0;
	}
	return 0;
}

/* ---- the search ---- */

/* Wait for a batch, the end of a server, or the time for the next beat. */
static int wait_for_news(struct client *client, uint64_t deadline)
{
	struct stoa_waitable set[STOA_WAIT_MAX];
	unsigned jobs = client->options->jobs;
	unsigned first = client->group * GROUP;
	size_t count = 0;
	size_t which;
	int result;

	if (client->receiver)
		set[count++] = (struct stoa_waitable){NULL, client->receiver, STOA_WAIT_RECEIVER, 0};

	for (unsigned i = first; i < jobs && i < first + GROUP; i++)
		if (client->peers[i].process)
			set[count++] = (struct stoa_waitable){NULL, client->peers[i].process, STOA_WAIT_PROCESS, 0};
	if (jobs > GROUP) {
		uint64_t turn = stoa_deadline_in(ROTATE);

		deadline = deadline < turn ? deadline : turn;
		client->group = first + GROUP < jobs ? client->group + 1 : 0;
	}
	if (!count)
		return 0;
	result = stoa_wait_any(set, count, deadline, &which);
	if (result < 0)
		tool_fail_result("find: wait for servers", result);
	return result;
}

/* Before sleeping: let a reader have what is there, now and then; 0, or how soon. */
static uint64_t flush_sometimes(struct client *client)
{
	uint64_t since = stoa_now() - client->flushed;

	if (!find_output_is_terminal(client->output))
		progress_show("%" PRIu64 " entries", find_output_entries(client->output));
	if (client->options->sort)
		return 0;
	if (since < FLUSH)
		return FLUSH - since;
	client->flushed += since;
	find_output_flush(client->output);
	return 0;
}

/* Until every directory in the table is acknowledged. */
static int search(struct client *client)
{
	uint64_t soon;
	unsigned running;
	unsigned taken;
	int result = 0;

	while (result >= 0 && client->acknowledged < client->total) {
		result = take_batches(client, &taken);
		end_the_stopped(client);
		if (result == 0 && !taken)
			result = bury_the_dead(client, &running);
		if (result == 0 && (taken || stoa_now() - client->beaten > period(client)))
			result = look_at_table(client);
		if (find_output_failed(client->output))
			return -STOA_EIO;
		if (result < 0 || taken || client->acknowledged >= client->total)
			continue;
		soon = flush_sometimes(client);
		result = wait_for_news(client, stoa_deadline_in(soon && soon < period(client) ? soon : period(client)));
	}
	return result < 0 ? result : 0;
}

/* Nobody is left behind: what does not end by itself is killed. */
static void end_all(struct client *client)
{
	struct process_end end;

	for (unsigned i = 0; i < client->options->jobs; i++) {
		struct peer *peer = &client->peers[i];

		if (peer->id && !peer->ended) {
			process_kill(peer->id);
			process_join(peer->id, &end);
		}
		stoa_process_close(peer->process);
		find_text_free(&peer->pending);
	}
}

/* All is printed, or the search failed and nothing is received any more: every server ends. */
static int dismiss(struct client *client)
{
	uint64_t deadline = stoa_deadline_in(LAST_WAIT);
	unsigned running;
	unsigned taken;
	int result = wake_all(client, true);

	while (result == 0) {
		uint64_t soon = stoa_deadline_in(period(client));

		result = take_batches(client, &taken);
		end_the_stopped(client);
		if (result == 0)
			result = bury_the_dead(client, &running);
		if (result < 0 || running == 0 || stoa_now() >= deadline)
			break;
		result = wait_for_news(client, soon < deadline ? soon : deadline);
		result = result < 0 ? result : 0;
	}
	return result;
}

/* DIR itself, which no directory lists. 1: it is a directory to be searched; 0: it is not; -1: it cannot be seen. */
static int print_root(struct client *client)
{
	const char *root = client->options->root;
	struct find_item item = {.name = root, .length = (uint32_t)strlen(root)};
	const char *name;
	size_t length;
	int error = walk_look(root, &item.type, &item.attributes);

	if (error) {
		fail_path(root, strlen(root), error);
		return -1;
	}
	item.kind = FIND_KIND_ATTRIBUTES;
	/* --name sees its last name, or "/". */
	name = walk_last_name(root, &length);
	if (find_filter_accepts(&client->options->filter, name, length, item.type, &item.attributes.size) &&
	    find_output_entry(client->output, "", 0, &item) < 0)
		return -1;
	return item.type == 'd';
}

static int prepare(struct client *client)
{
	const struct find_options *options = client->options;
	size_t length = strlen(options->root);
	bool attributes = options->json || find_filter_needs_size(&options->filter);
	int result;

	if (!find_text_add(&client->prefix, options->root, length) ||
	    (!walk_takes_name(options->root) && !find_text_add(&client->prefix, "/", 1)))
		return report_damage(client, -STOA_ENOMEM);
	result = find_area_create(options, attributes, &client->area);
	if (result == 0)
		result = stoa_segment_inherit(client->area.segment, client->token);
	if (result < 0) {
		tool_fail_result("find", result);
		return result;
	}
	result = stoa_receiver_join(client->area.channel, NULL, &client->receiver);
	if (result < 0)
		return tool_fail_result("find: join the channel", result), result;
	result = look_at_table(client);
	for (unsigned i = 0; i < options->jobs && result == 0; i++)
		result = start_server(client, i);
	return result;
}

static void sum_up(struct client *client)
{
	struct find_report *report = &client->report;
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	report->sleeps += stat.sleeps;
	report->wakes += stat.wakes;
	report->jobs = client->options->jobs;
	report->directories = client->acknowledged;
	report->reserved = stoa_segment_reserve(client->area.segment);
	report->committed = stoa_segment_committed(client->area.segment);
}

static int search_tree(struct client *client)
{
	int result = prepare(client);

	if (result == 0)
		result = search(client);
	if (result == 0) {
		progress_end();
		find_output_finish(client->output);
		result = dismiss(client);
	} else if (client->area.segment) {
		stoa_receiver_leave(client->receiver);
		client->receiver = NULL;
		dismiss(client);
	}
	end_all(client);
	if (client->area.segment) {
		sum_up(client);
		stoa_receiver_leave(client->receiver);
		find_area_close(&client->area);
	}
	return result;
}

static int finish(struct client *client, int result)
{
	struct find_report *report = &client->report;

	progress_end();
	find_output_finish(client->output);
	if (find_output_failed(client->output))
		return tool_fail("find: cannot write the output: %s", strerror(errno));
	report->entries = find_output_entries(client->output);
	if (result == 0 && client->options->stats)
		find_report_print(report);
	return result < 0 || report->errors ? TOOL_FAILED : TOOL_OK;
}

int find_client(const struct find_options *options)
{
	struct client *client = calloc(1, sizeof(*client));
	uint64_t start = stoa_now();
	int result = -STOA_ENOMEM;

	if (!client)
		return tool_fail("find: no memory");
	client->options = options;
	client->output = find_output_create(options);
	if (client->output) {
		result = print_root(client);
		if (result == 1)
			result = search_tree(client);
		client->report.nanoseconds = stoa_now() - start;
		result = finish(client, result);
	} else {
		result = tool_fail("find: no memory");
	}
	find_output_destroy(client->output);
	find_text_free(&client->directory);
	find_text_free(&client->prefix);
	free(client);
	return result;
}
