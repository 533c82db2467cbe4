/* SPDX-License-Identifier: MIT */
/*
 * Two programs that know nothing of each other but a name: a client starts a server, which walks a directory tree and hands it each entry
 * through a named segment, with a named mutex, two named semaphores and a named event. Either may be killed at any time.
 */
#include <segment/common.h>

#include <dirent.h>

#define PLACES 16
#define DIRECTORIES 12
#define FILES 9
#define ENTRIES (1 + DIRECTORIES * (1 + FILES))

/* In the segment; the mutex guards it. */
struct queue {
	uint32_t first, count;
	char paths[PLACES][512];
};

/* The same things in both programs: all by name. */
struct shared {
	struct stoa_segment *segments[5];
	struct queue *queue;
	struct stoa_mutex *mutex;
	struct stoa_semaphore *filled, *free;
	struct stoa_event *end; /* set by the server: that was all */
};
static struct shared shared;

/* What a command line would say. */
struct errand {
	char root[256];
	_Atomic int64_t client, server; /* processes; the client's when all that they share is there */
	_Atomic uint32_t received;      /* by the client */
};
static struct errand *errand;

static void share(uint32_t disposition)
{
	struct stoa_sync_options plain = {.disposition = disposition};
	struct stoa_sync_options none = {.disposition = disposition, .maximum = PLACES};
	struct stoa_sync_options all = {.disposition = disposition, .maximum = PLACES, .initial = PLACES};
	struct stoa_sync_options manual = {.disposition = disposition, .flags = STOA_MANUAL};
	struct stoa_segment_options committed = {.commit = sizeof(struct queue)};
	int existed = disposition == STOA_OPEN_ONLY ? STOA_EXISTED : 0;

	if (existed)
		CHECK_RC(stoa_segment_open(test_name("queue"), NULL, &shared.segments[0]), 0);
	else
		CHECK_RC(stoa_segment_create(test_name("queue"), MIB, &committed, &shared.segments[0]), 0);
	shared.queue = stoa_segment_address(shared.segments[0]);
	CHECK_RC(stoa_mutex_open(test_name("mutex"), &plain, &shared.segments[1], &shared.mutex), existed);
	CHECK_RC(stoa_semaphore_open(test_name("filled"), &none, &shared.segments[2], &shared.filled), existed);
	CHECK_RC(stoa_semaphore_open(test_name("free"), &all, &shared.segments[3], &shared.free), existed);
	CHECK_RC(stoa_event_open(test_name("end"), &manual, &shared.segments[4], &shared.end), existed);
}

static void let_go(void)
{
	for (size_t i = 0; i < CC_COUNT(shared.segments); i++)
		stoa_segment_close(shared.segments[i]);
}

static void lock_queue(void)
{
	CHECK(stoa_mutex_lock(shared.segments[1], shared.mutex, STOA_FOREVER) >= 0);
}

static void unlock_queue(void)
{
	CHECK_RC(stoa_mutex_unlock(shared.segments[1], shared.mutex), 0);
}

/* ---- the server ---- */

static struct stoa_process *client;

/* false: the client is gone. */
static bool hand_over(const char *path)
{
	const struct stoa_waitable things[] = {
		{shared.segments[3], shared.free, STOA_WAIT_SEMAPHORE, 0},
		{NULL, client, STOA_WAIT_PROCESS, 0},
	};
	struct queue *queue = shared.queue;
	size_t which;

	CHECK_RC(stoa_wait_any(things, CC_COUNT(things), STOA_FOREVER, &which), 0);
	if (which == 1)
		return false;
	lock_queue();
	strcpy(queue->paths[(queue->first + queue->count) % PLACES], path);
	queue->count++;
	unlock_queue();
	CHECK_RC(stoa_semaphore_post(shared.segments[2], shared.filled, 1), 0);
	return true;
}

/* What can be listed is a directory. */
static bool walk(const char *path, bool (*visit)(const char *path))
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	bool going = visit(path);

	while (directory && going && (entry = readdir(directory))) {
		char below[512];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		CHECK_INT(snprintf(below, sizeof(below), "%s/%s", path, entry->d_name), <, sizeof(below));
		going = walk(below, visit);
	}
	if (directory)
		closedir(directory);
	return going;
}

static void serve(void *argument)
{
	bool whole;

	errand = argument;
	share(STOA_OPEN_ONLY);
	CHECK_RC(stoa_process_open(atomic_load(&errand->client), &client), 0);
	whole = walk(errand->root, hand_over);
	if (whole)
		CHECK_RC(stoa_event_set(shared.segments[4], shared.end), 0);
	stoa_process_close(client);
	let_go();
}

/* ---- the client ---- */

static char found[ENTRIES + 1][512];
static unsigned found_count;

static bool find(const char *path)
{
	CHECK_INT(found_count, <, CC_COUNT(found));
	strcpy(found[found_count++], path);
	return true;
}

static void receive(void)
{
	struct queue *queue = shared.queue;
	char path[512];

	lock_queue();
	CHECK_INT(queue->count, >, 0);
	memcpy(path, queue->paths[queue->first % PLACES], sizeof(path));
	queue->first = (queue->first + 1) % PLACES;
	queue->count--;
	unlock_queue();
	CHECK_RC(stoa_semaphore_post(shared.segments[3], shared.free, 1), 0);
	find(path);
	atomic_fetch_add(&errand->received, 1);
}

/* As it was before there was a server: none is left that could disturb. */
static void begin_again(void)
{
	while (stoa_semaphore_wait(shared.segments[2], shared.filled, STOA_TRY) == 0)
		;
	while (stoa_semaphore_wait(shared.segments[3], shared.free, STOA_TRY) == 0)
		;
	lock_queue();
	shared.queue->first = shared.queue->count = 0;
	unlock_queue();
	CHECK_RC(stoa_semaphore_post(shared.segments[3], shared.free, PLACES), 0);
	CHECK_RC(stoa_event_reset(shared.segments[4], shared.end), 0);
	found_count = 0;
}

/* Until the server has ended, or has handed over that many. true: it said that this was all. */
static bool take_in(struct stoa_process *server, unsigned at_most)
{
	const struct stoa_waitable things[] = {
		{shared.segments[2], shared.filled, STOA_WAIT_SEMAPHORE, 0},
		{shared.segments[4], shared.end, STOA_WAIT_EVENT, 0},
		{NULL, server, STOA_WAIT_PROCESS, 0},
	};
	size_t which = 0;

	while (found_count < at_most) {
		CHECK_RC(stoa_wait_any(things, CC_COUNT(things), STOA_FOREVER, &which), 0);
		if (which)
			break;
		receive();
	}
	return which == 1;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(a, b);
}

static char wanted[ENTRIES][512];

static void check_found(void)
{
	CHECK_EQ(found_count, ENTRIES);
	qsort(found, found_count, sizeof(found[0]), by_path);
	for (unsigned i = 0; i < ENTRIES; i++)
		CHECK_STR(found[i], wanted[i]);
}

/* ---- the tests ---- */

static void make_tree(void)
{
	char path[400];

	errand = test_shared(sizeof(*errand));
	snprintf(errand->root, sizeof(errand->root), "%s/tree", test_dir());
	make_folder(errand->root);
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		snprintf(path, sizeof(path), "%s/%u", errand->root, i);
		make_folder(path);
		for (unsigned k = 0; k < FILES; k++) {
			FILE *file;

			snprintf(path, sizeof(path), "%s/%u/%u", errand->root, i, k);
			file = fopen(path, "w");
			CHECK(file && fclose(file) == 0);
		}
	}
	found_count = 0;
	CHECK(walk(errand->root, find));
	CHECK_EQ(found_count, ENTRIES);
	memcpy(wanted, found, sizeof(wanted));
	qsort(wanted, ENTRIES, sizeof(wanted[0]), by_path);
}

static void nothing_is_left(void)
{
	static const char *const names[] = {"queue", "mutex", "filled", "free", "end"};
	struct stoa_segment *segment;

	for (size_t i = 0; i < CC_COUNT(names); i++)
		CHECK_RC(stoa_segment_open(test_name(names[i]), NULL, &segment), -STOA_ENOENT);
}

/* One search; the server is killed when it has handed over that many, and another one begins again. */
static void search(unsigned killed_at)
{
	struct stoa_process *server;
	bool whole = false;

	share(STOA_CREATE_ONLY);
	for (unsigned servers = 0; !whole; servers++) {
		pid_t role;

		CHECK_INT(servers, <, 2);
		begin_again();
		role = test_role(serve, errand);
		CHECK_RC(stoa_process_open(role, &server), 0);
		whole = take_in(server, servers == 0 ? killed_at : ENTRIES + 1);
		if (whole)
			CHECK_EQ(test_join(role), 0);
		else
			test_kill(role);
		stoa_process_close(server);
	}
	check_found();
	let_go();
	nothing_is_left();
}

TEST_TIMEOUT(r3_a_server_finds_for_a_client, 60)
{
	uint64_t random = test_seed();

	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	make_tree();
	atomic_store(&errand->client, (int64_t)os_process_id());
	search(ENTRIES + 1);
	for (unsigned i = 0; i < test_rounds(8, 200); i++)
		search((unsigned)(test_random(&random) % ENTRIES));
}

static void be_client(void *argument)
{
	struct stoa_process *server;

	errand = argument;
	found_count = 0;
	share(STOA_CREATE_ONLY);
	atomic_store(&errand->client, (int64_t)os_process_id());
	while (!atomic_load(&errand->server))
		test_nap(1);
	CHECK_RC(stoa_process_open(atomic_load(&errand->server), &server), 0);
	(void)take_in(server, ENTRIES + 1);
	test_pause();
}

/* The server notices, and ends; all names go with it. */
TEST_TIMEOUT(r3_a_clients_death_ends_its_server, 60)
{
	uint64_t random = test_seed();

	make_tree();
	for (unsigned i = 0; i < test_rounds(8, 200); i++) {
		unsigned killed_at = 1 + (unsigned)(test_random(&random) % ENTRIES); /* both have all by then */
		pid_t role, server;

		atomic_store(&errand->client, 0);
		atomic_store(&errand->server, 0);
		atomic_store(&errand->received, 0);
		role = test_role(be_client, errand);
		while (!atomic_load(&errand->client))
			test_nap(1);
		server = test_role(serve, errand);
		atomic_store(&errand->server, server);
		while (atomic_load(&errand->received) < killed_at)
			os_yield();
		test_kill(role);
		CHECK_EQ(test_join(server), 0);
		nothing_is_left();
	}
}
