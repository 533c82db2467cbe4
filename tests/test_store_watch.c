/* SPDX-License-Identifier: MIT */
/* What a store's server tells of its clients: who has an object, who is connected, figures; who may ask; and who asks too much. */
#include <store/exposition.h>
#include <store/raw.h>

#include <grp.h>
#include <os/local.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/directory.h>
#include <store/lease.h>
#include <store/message.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define MANY 150u

static const struct stoa_server_options small = {.limit = 64 * MIB};
static const struct stoa_server_options open_to_all = {.limit = 64 * MIB, .socket_mode = 0666};

struct told {
	struct stoa_store_client clients[MANY + 10];
	unsigned count;
	int end_with; /* at the first */
};

static int note_client(const struct stoa_store_client *client, void *argument)
{
	struct told *told = argument;

	CHECK(told->count < CC_COUNT(told->clients));
	told->clients[told->count++] = *client;
	return told->end_with;
}

static struct told *holders_of(struct stoa_store *store, const char *id, int expected)
{
	static struct told told;

	memset(&told, 0, sizeof(told));
	CHECK_RC(stoa_store_holders(store, id, (uint32_t)strlen(id), note_client, &told), expected);
	return &told;
}

static struct told *clients_of(struct stoa_store *store)
{
	static struct told told;

	memset(&told, 0, sizeof(told));
	CHECK_RC(stoa_store_clients(store, note_client, &told), 0);
	return &told;
}

/* Of that process, other than the one that asks; NULL: there is none. */
static const struct stoa_store_client *find_process(const struct told *told, pid_t process)
{
	for (unsigned i = 0; i < told->count; i++)
		if (told->clients[i].process == (uint32_t)process && !(told->clients[i].flags & STOA_CLIENT_SELF))
			return &told->clients[i];
	return NULL;
}

static const struct stoa_store_client *find_self(const struct told *told)
{
	const struct stoa_store_client *found = NULL;

	for (unsigned i = 0; i < told->count; i++)
		if (told->clients[i].flags & STOA_CLIENT_SELF) {
			CHECK(!found);
			found = &told->clients[i];
		}
	return found;
}

static void ready(struct kit *kit, unsigned word)
{
	store_rel(&kit->words[word], 1);
}

/* ---- who has it ---- */

/* Hold "it" twice, then once, then not, as the test says. */
static void hold_it(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct stoa_object first, second;

	CHECK_RC(stoa_store_get(store, "it", 2, 0, &first), 0);
	CHECK_RC(stoa_store_get(store, "it", 2, 0, &second), 0);
	ready(kit, 0);
	test_await(&kit->words[1], 1);
	stoa_object_release(store, &first);
	ready(kit, 2);
	test_await(&kit->words[3], 1);
	stoa_object_release(store, &second);
	ready(kit, 4);
	test_pause();
}

TEST(holders_are_told_as_they_come_and_go)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *maker = kit_open(kit);
	const struct stoa_store_client *client;
	const struct told *told;
	pid_t role;

	CHECK_RC(kit_put(maker, "it", 5000, 1, NULL), 0);
	CHECK_RC(kit_put(maker, "other", 5000, 1, NULL), 0);
	role = test_role(hold_it, kit);
	test_await(&kit->words[0], 1);
	told = holders_of(store, "it", 0);
	CHECK_EQ(told->count, 2);
	client = find_process(told, role);
	CHECK(client != NULL);
	CHECK_EQ(client->leases, 2);
	CHECK_EQ(client->user, geteuid());
	CHECK_EQ(client->flags, 0);
	CHECK_EQ(client->charged, 0);
	client = find_process(told, getpid());
	CHECK(client != NULL);
	CHECK_EQ(client->flags, STOA_CLIENT_MAKER);
	CHECK_EQ(client->leases, 0);
	CHECK_INT(client->charged, >=, 10000);
	ready(kit, 1);
	test_await(&kit->words[2], 1);
	CHECK_EQ(find_process(holders_of(store, "it", 0), role)->leases, 1);
	CHECK_EQ(holders_of(store, "other", 0)->count, 1);
	ready(kit, 3);
	test_await(&kit->words[4], 1);
	CHECK_EQ(holders_of(store, "it", 0)->count, 1);
	stoa_store_close(maker);
	kit_await_clients(store, 2);
	CHECK_EQ(holders_of(store, "it", 0)->count, 0);
	CHECK_RC(kit_delete(store, "it"), 0);
	(void)holders_of(store, "it", -STOA_ENOENT);
	CHECK_STR(stoa_error_detail(), "object 'it': nothing has that name");
	test_kill(role);
	stoa_store_close(store);
	kit_stop(kit);
}

/* What is held and was deleted is another one than what has the id since. */
TEST(who_keeps_what_was_replaced_does_not_hold_what_is_there)
{
	static const struct stoa_object_options replacing = {.flags = STOA_OBJECT_REPLACE};
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_object object;

	CHECK_RC(kit_put(store, "it", 5000, 1, NULL), 0);
	CHECK_RC(stoa_store_get(other, "it", 2, 0, &object), 0);
	CHECK_EQ(holders_of(store, "it", 0)->count, 2);
	CHECK_RC(kit_put(store, "it", 5000, 2, &replacing), 0);
	CHECK_EQ(holders_of(store, "it", 0)->count, 1);
	CHECK_EQ(find_self(holders_of(store, "it", 0))->flags, STOA_CLIENT_SELF | STOA_CLIENT_MAKER);
	stoa_object_release(other, &object);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(who_makes_an_object_that_is_followed_is_told)
{
	static const struct stoa_object_options followed = {.flags = STOA_OBJECT_FOLLOWED};
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_object object;
	struct stoa_draft draft, hidden;

	CHECK_RC(stoa_store_create(store, "film", 4, 10000, &followed, &draft), 0);
	CHECK_RC(stoa_store_create(store, "hidden", 6, 10000, NULL, &hidden), 0);
	CHECK_RC(stoa_store_follow(other, "film", 4, 0, &object), 0);
	CHECK_EQ(holders_of(store, "film", 0)->count, 2);
	CHECK_EQ(find_self(holders_of(store, "film", 0))->drafts, 2);
	CHECK_EQ(find_self(holders_of(other, "film", 0))->leases, 1);
	(void)holders_of(store, "hidden", -STOA_ENOENT);
	CHECK_RC(stoa_draft_seal(store, &draft, 10), 0);
	CHECK_EQ(find_self(holders_of(store, "film", 0))->drafts, 1);
	CHECK_EQ(find_self(holders_of(other, "film", 0))->leases, 1);
	stoa_draft_abort(store, &hidden);
	stoa_object_release(other, &object);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(who_has_memory_open_is_told)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_allocation mine, theirs;
	struct told told = {0};

	CHECK_RC(stoa_manager_alloc(store, 10000, STOA_READ, NULL, &mine), 0);
	CHECK_RC(stoa_manager_get(other, mine.id, mine.id_length, &theirs), 0);
	CHECK_RC(stoa_manager_holders(store, &mine, note_client, &told), 0);
	CHECK_EQ(told.count, 2);
	CHECK_EQ(find_self(&told)->flags, STOA_CLIENT_SELF | STOA_CLIENT_MAKER);
	CHECK_EQ(find_self(&told)->allocations, 1);
	CHECK_EQ(find_process(&told, getpid())->leases, 1);
	stoa_manager_release(other, &theirs);
	told.count = 0;
	CHECK_RC(stoa_manager_holders(store, &mine, note_client, &told), 0);
	CHECK_EQ(told.count, 1);
	CHECK_RC(stoa_manager_free(store, &mine), 0);
	CHECK_RC(stoa_manager_holders(store, &mine, note_client, &told), -STOA_ENOENT);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
}

/* More than fit into one answer; and a visit that has an end of its own. */
TEST(many_holders_are_all_told_once)
{
	static const struct stoa_server_options large = {.limit = 512 * MIB};
	struct kit *kit = kit_start(&large);
	struct stoa_store *stores[MANY];
	struct stoa_object objects[MANY];
	uint64_t sum = 0, expected = 0;
	struct told *told;

	for (unsigned i = 0; i < MANY; i++) {
		static const struct stoa_store_options few = {.leases = 16};

		CHECK_RC(stoa_store_open(kit->path, &few, &stores[i]), 0);
		if (i == 0)
			CHECK_RC(kit_put(stores[0], "it", 5000, 1, NULL), 0);
		CHECK_RC(stoa_store_get(stores[i], "it", 2, 0, &objects[i]), 0);
	}
	told = holders_of(stores[7], "it", 0);
	CHECK_EQ(told->count, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		CHECK_EQ(told->clients[i].leases, 1);
		sum += told->clients[i].connection;
		expected += i + 1;
	}
	CHECK_EQ(sum, expected);
	CHECK_EQ(clients_of(stores[3])->count, MANY);
	told->count = 0;
	told->end_with = 77;
	CHECK_RC(stoa_store_holders(stores[7], "it", 2, note_client, told), 77);
	CHECK_EQ(told->count, 1);
	told->end_with = -STOA_EACCES;
	CHECK_RC(stoa_store_clients(stores[7], note_client, told), -STOA_EACCES);
	CHECK_EQ(told->count, 2);
	for (unsigned i = 0; i < MANY; i++) {
		stoa_object_release(stores[i], &objects[i]);
		stoa_store_close(stores[i]);
	}
	kit_stop(kit);
}

TEST(what_is_no_id_is_refused)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct told told = {0};

	CHECK_RC(stoa_store_holders(store, "x", 0, note_client, &told), -STOA_EINVAL);
	CHECK_RC(stoa_store_holders(store, NULL, 1, note_client, &told), -STOA_EINVAL);
	CHECK_RC(stoa_store_holders(store, "x", STOA_ID_MAX + 1, note_client, &told), -STOA_EINVAL);
	(void)holders_of(store, "x", -STOA_ENOENT);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- all clients ---- */

TEST(clients_are_told_with_what_they_have)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *other;
	struct stoa_object objects[3];
	const struct stoa_store_client *client;
	struct told *told = clients_of(store);

	CHECK_EQ(told->count, 1);
	CHECK_EQ(told->clients[0].flags, STOA_CLIENT_SELF);
	CHECK_EQ(told->clients[0].process, getpid());
	CHECK_RC(kit_put(store, "it", 5000, 1, NULL), 0);
	other = kit_open(kit);
	for (unsigned i = 0; i < 3; i++)
		CHECK_RC(stoa_store_get(other, "it", 2, 0, &objects[i]), 0);
	told = clients_of(store);
	CHECK_EQ(told->count, 2);
	CHECK_INT(find_self(told)->charged, >=, 5000);
	CHECK_EQ(find_self(told)->leases, 0);
	client = find_process(told, getpid());
	CHECK_EQ(client->leases, 3);
	CHECK_EQ(client->charged, 0);
	for (unsigned i = 0; i < 3; i++)
		stoa_object_release(other, &objects[i]);
	CHECK_EQ(find_process(clients_of(store), getpid())->leases, 0);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
}

static void become_another(void)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL)); /* which that has cleared */
}

/* Who may read an object is told of all; of clients, another user is told its own only. */
static void look_as_another(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store, *second;

	become_another();
	store = kit_open(kit);
	CHECK_EQ(clients_of(store)->count, 1);
	CHECK(find_self(clients_of(store)) != NULL);
	second = kit_open(kit);
	CHECK_EQ(clients_of(store)->count, 2);
	(void)holders_of(store, "closed", -STOA_EACCES);
	CHECK_STR(stoa_error_detail(), "object 'closed': access refused");
	CHECK_EQ(holders_of(store, "open", 0)->count, 1);
	CHECK(!(holders_of(store, "open", 0)->clients[0].flags & STOA_CLIENT_SELF));
	ready(kit, 0);
	test_await(&kit->words[1], 1);
	stoa_store_close(second);
	stoa_store_close(store);
}

TEST(other_users_are_told_what_they_may_know)
{
	static const struct stoa_object_options for_all = {.access = STOA_ACCESS_ALL};
	struct stoa_store *store;
	struct kit *kit;
	pid_t role;

	if (geteuid() != 0)
		SKIP("only root can become another user");
	kit = kit_start(&open_to_all);
	CHECK_SYS(chmod(test_dir(), 0711));
	store = kit_open(kit);
	CHECK_RC(kit_put(store, "closed", 5000, 1, NULL), 0);
	CHECK_RC(kit_put(store, "open", 5000, 1, &for_all), 0);
	role = test_role(look_as_another, kit);
	test_await(&kit->words[0], 1);
	CHECK_EQ(clients_of(store)->count, 3);
	CHECK_EQ(find_process(clients_of(store), role)->user, NOBODY);
	ready(kit, 1);
	CHECK_EQ(test_join(role), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* It sees other numbers than the server. */
static void look_from_elsewhere(void *argument)
{
	struct kit *kit = argument;
	pid_t child;
	int status;

	CHECK_SYS(unshare(CLONE_NEWPID));
	child = fork();
	CHECK_SYS(child);
	if (child == 0) {
		struct stoa_store *store = kit_open(kit);

		CHECK_EQ(getpid(), 1);
		CHECK_EQ(clients_of(store)->count, 2);
		CHECK_EQ(find_self(clients_of(store))->flags, STOA_CLIENT_SELF | STOA_CLIENT_ELSEWHERE);
		CHECK_INT(find_self(clients_of(store))->process, >, 1);
		stoa_store_close(store);
		_exit(0);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
}

TEST(numbers_of_processes_are_the_servers)
{
	struct kit *kit;
	struct stoa_store *store;

	if (geteuid() != 0)
		SKIP("only root can have a pid namespace of its own here");
	kit = kit_start(&small);
	store = kit_open(kit);
	CHECK_EQ(test_join(test_role(look_from_elsewhere, kit)), 0);
	kit_await_clients(store, 1);
	CHECK_EQ(clients_of(store)->clients[0].flags, STOA_CLIENT_SELF);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- enemies ---- */

static int say(struct raw *raw, struct store_message message)
{
	store_message_mark(&message);
	return os_local_send(raw->socket, &message, sizeof(message), NULL, 0);
}

static int hear(struct raw *raw, struct store_report *report)
{
	size_t length;
	uint32_t asleep;

	CHECK_RC(os_wait_readable(&raw->socket, 1, kit_later(10000), &asleep), 0);
	return os_local_receive(raw->socket, report, sizeof(*report), &length, NULL, 0, NULL);
}

/* Writes that it holds what it may not read. */
static void lie(void *argument)
{
	struct kit *kit = argument;
	struct directory directory;
	uint64_t state;
	uint32_t entry;
	struct raw raw;

	become_another();
	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(directory_open(raw.directory, raw.directory_length, &directory), 0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(directory_find(&directory, i ? "open" : "closed", i ? 4 : 6, &entry, &state), DIRECTORY_FOUND);
		store_rlx(&raw.leases->words[i], lease_word(entry, state));
	}
	store_rel(&raw.leases->reached, UINT32_MAX);
	ready(kit, 0);
	test_await(&kit->words[1], 1);
	raw_close(&raw);
}

TEST(what_nobody_may_read_it_does_not_hold)
{
	static const struct stoa_object_options for_all = {.access = STOA_ACCESS_ALL};
	struct stoa_store *store;
	struct kit *kit;
	pid_t role;

	if (geteuid() != 0)
		SKIP("only root can become another user");
	kit = kit_start(&open_to_all);
	CHECK_SYS(chmod(test_dir(), 0711));
	store = kit_open(kit);
	CHECK_RC(kit_put(store, "closed", 5000, 1, NULL), 0);
	CHECK_RC(kit_put(store, "open", 5000, 1, &for_all), 0);
	role = test_role(lie, kit);
	test_await(&kit->words[0], 1);
	CHECK_EQ(holders_of(store, "open", 0)->count, 2);
	CHECK_EQ(holders_of(store, "closed", 0)->count, 1);
	ready(kit, 1);
	CHECK_EQ(test_join(role), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(questions_that_make_no_sense)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct store_report report;
	struct raw raw;

	CHECK_RC(kit_put(store, "it", 5000, 1, NULL), 0);
	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(say(&raw, (struct store_message){.kind = STORE_ASK_REPORT,
						  .arena = STORE_REPORT_CLIENTS,
						  .size = UINT64_MAX}),
		 0);
	CHECK_RC(hear(&raw, &report), 0);
	CHECK_RC(report.head.result, 0);
	CHECK_EQ(report.head.count, 0);
	CHECK_EQ(report.head.size, 0);
	for (uint32_t i = 1; i < 40; i++) {
		CHECK_RC(say(&raw, (struct store_message){.kind = STORE_ASK_REPORT,
							  .arena = STORE_REPORT_CLIENTS,
							  .count = UINT32_MAX >> (i - 1) % 32,
							  .generation = store_state_word(i, (enum store_state)(i % 5)),
							  .length = i}),
			 0);
		CHECK_RC(hear(&raw, &report), 0);
		CHECK_EQ(report.head.length, i);
		CHECK_EQ(report.head.kind, STORE_REPORT);
		CHECK(report.head.result == -STOA_ENOENT || report.head.count <= 1);
	}
	CHECK_RC(say(&raw, (struct store_message){.kind = STORE_ASK_REPORT, .arena = 77}), 0);
	while (!raw_ended(&raw))
		test_nap(1);
	raw_close(&raw);
	/* Before a greeting. */
	CHECK_RC(os_local_connect(kit->path, &raw.socket), 0);
	CHECK_RC(say(&raw, (struct store_message){.kind = STORE_ASK_REPORT, .arena = STORE_REPORT_FIGURES}), 0);
	while (!raw_ended(&raw))
		test_nap(1);
	os_handle_close(raw.socket);
	CHECK_RC(kit_get(store, "it", 0), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Its answers pile up in the system's memory, as far as that lets them; then it is sent away. */
TEST(who_asks_and_does_not_listen_is_sent_away)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct raw raw;
	int rc = 0;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	for (unsigned i = 0; rc == 0 || rc == -STOA_EBUSY; i++) {
		rc = say(&raw,
			 (struct store_message){.kind = STORE_ASK_REPORT, .arena = STORE_REPORT_FIGURES, .length = i});
		if (rc == -STOA_EBUSY)
			test_nap(1);
	}
	CHECK_RC(rc, -STOA_ECLOSED);
	raw_close(&raw);
	kit_await_clients(store, 1);
	CHECK_RC(kit_put(store, "it", 5000, 1, NULL), 0);
	CHECK_RC(kit_get(store, "it", 0), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- figures ---- */

static const char right[] =
	"# HELP a_total It.\n# TYPE a_total counter\na_total{x=\"1\",y=\"\\\\ \\\" \\n\"} 3\na_total 4e2\n"
	"# TYPE b gauge\n# HELP b That \\n \\\\.\nb -1.5\n";

TEST(the_reader_of_metrics_is_strict)
{
	static const char *const wrong[] = {
		"",
		"a 1\n",
		"# HELP a It.\na 1\n",
		"# HELP a It.\n# TYPE a gauge\n",
		"# HELP a It.\n# TYPE a gauge\na 1",
		"# HELP a It.\n# TYPE a gauge\na 1\na 2\n",
		"# HELP a It.\n# TYPE a gauge\na x\n",
		"# HELP a It.\n# TYPE a gauge\na\n",
		"# HELP a It.\n# TYPE a gauge\na 1 \n",
		"# HELP a It.\n# TYPE a gauge\na{} 1\n",
		"# HELP a It.\n# TYPE a gauge\na{b=1} 1\n",
		"# HELP a It.\n# TYPE a gauge\na{b=\"\\x\"} 1\n",
		"# HELP a It.\n# TYPE a gauge\na{b=\"\n\"} 1\n",
		"# HELP a It.\n# TYPE a gauge\na{b:=\"\"} 1\n",
		"# HELP a It.\n# TYPE a gauge\na{b=\"\"} 1\na{b=\"\"} 2\n",
		"# HELP a It.\n# TYPE a counter\na 1\n",
		"# HELP a_total It.\n# TYPE a_total gauge\na_total 1\n",
		"# HELP a_total It.\n# TYPE a_total counter\na_total -1\n",
		"# HELP a It.\n# TYPE a thing\na 1\n",
		"# HELP a It.\n# HELP a It.\n# TYPE a gauge\na 1\n",
		"# HELP 1a It.\n# TYPE 1a gauge\n1a 1\n",
		"# HELP a It.\n# TYPE a gauge\na 1\n\n",
		"# HELP a It.\n# TYPE a gauge\na 1\n# HELP b It.\n# TYPE b gauge\nb 1\na{x=\"\"} 1\n",
		"# HELP a \\t\n# TYPE a gauge\na 1\n",
		"# HELP a It.\n# TYPE a gauge\na 1\n# HELP b It.\n",
	};

	metrics_check(right);
	CHECK(metrics_value(right, "a_total") == 400);
	CHECK(metrics_value(right, "b") == -1.5);
	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		if (!metrics_wrong(wrong[i]))
			test_fail(__FILE__, __LINE__, "taken for right: %s", wrong[i]);
}

static const char *metrics_of(struct stoa_store *store)
{
	static char text[STOA_METRICS_ROOM];
	uint64_t length = 0;

	CHECK_RC(stoa_store_metrics(store, text, sizeof(text), &length), 0);
	CHECK_EQ(strlen(text), length);
	metrics_check(text);
	return text;
}

TEST(metrics_are_what_has_been_done)
{
	static const struct stoa_object_options followed = {.flags = STOA_OBJECT_FOLLOWED};
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_store_stat stat;
	struct stoa_object object;
	struct stoa_draft draft;
	const char *text;
	char id[20];

	for (unsigned i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_put(store, id, 100, i, NULL), 0);
	}
	CHECK_RC(stoa_store_create(store, "draft", 5, 100, &followed, &draft), 0);
	CHECK_RC(stoa_store_get(other, "1", 1, 0, &object), 0);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_delete(store, id), 0);
	}
	CHECK_RC(kit_delete(store, "none"), -STOA_ENOENT);
	CHECK_RC(stoa_store_pin(store, "5", 1), 0);
	CHECK_RC(kit_put(store, "large", 65 * MIB, 1, NULL), -STOA_ERANGE);
	while (metrics_value(text = metrics_of(store), "stoa_store_dying_objects") != 1)
		test_nap(1);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK(metrics_value(text, "stoa_store_objects") == 7);
	CHECK(metrics_value(text, "stoa_store_bytes") == (double)stat.committed);
	CHECK(metrics_value(text, "stoa_store_limit_bytes") == (double)(64 * MIB));
	CHECK(metrics_value(text, "stoa_store_clients") == 2);
	CHECK(metrics_value(text, "stoa_store_connections_total") == 2);
	CHECK(metrics_value(text, "stoa_store_drafts") == 1);
	CHECK(metrics_value(text, "stoa_store_puts_total") == 10);
	CHECK(metrics_value(text, "stoa_store_deletes_total") == 3);
	CHECK(metrics_value(text, "stoa_store_servers_total") == 1);
	CHECK(metrics_value(text, "stoa_store_held") == 0);
	CHECK(metrics_value(text, "stoa_store_lost_entries_total") == 0);
	CHECK(metrics_value(text, "stoa_store_requests_total{op=\"put\"}") == 10);
	CHECK(metrics_value(text, "stoa_store_requests_total{op=\"create\"}") == 2);
	CHECK(metrics_value(text, "stoa_store_requests_total{op=\"delete\"}") == 4);
	CHECK(metrics_value(text, "stoa_store_requests_total{op=\"mark\"}") == 1);
	CHECK(metrics_value(text, "stoa_store_requests_total{op=\"seal\"}") == 0);
	CHECK(metrics_value(text, "stoa_store_start_time_seconds") > 1e9);
	CHECK(metrics_value(text, "stoa_store_arenas") >= 1);
	CHECK(metrics_value(text, "stoa_store_warm_bytes") >= 0);
	stoa_draft_abort(store, &draft);
	stoa_object_release(other, &object);
	while (metrics_value(metrics_of(store), "stoa_store_dying_objects") != 0)
		test_nap(1);
	CHECK(metrics_value(metrics_of(store), "stoa_store_drafts") == 0);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
}

static void wait_in_vain(void *argument)
{
	struct stoa_store *store = kit_open(argument);

	(void)kit_get(store, "never", UINT64_MAX);
}

TEST(waits_are_counted)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	pid_t role = test_role(wait_in_vain, kit);

	while (metrics_value(metrics_of(store), "stoa_store_waiting_requests") != 1)
		test_nap(1);
	CHECK_EQ(find_process(clients_of(store), role)->waits, 1);
	test_kill(role);
	while (metrics_value(metrics_of(store), "stoa_store_waiting_requests") != 0)
		test_nap(1);
	CHECK_EQ(clients_of(store)->count, 1);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(metrics_need_room)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	char text[STOA_METRICS_ROOM];
	uint64_t length = strlen(metrics_of(store)), same = 77;

	CHECK_INT(length, <, STOA_METRICS_ROOM / 2);
	CHECK_RC(stoa_store_metrics(store, text, 100, &same), -STOA_ERANGE);
	CHECK_RC(stoa_store_metrics(store, NULL, 0, &same), -STOA_ERANGE);
	CHECK_EQ(same, 77);
	CHECK_RC(stoa_store_metrics(store, text, sizeof(text), NULL), 0);
	CHECK_RC(stoa_store_metrics(store, text, strlen(text) + 1, NULL), 0);
	metrics_check(text);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- of the program that runs the server ---- */

static void *run_server(void *argument)
{
	CHECK_RC(stoa_server_run(argument), 0);
	return NULL;
}

static void *ask_again_and_again(void *argument)
{
	char text[STOA_METRICS_ROOM];

	for (unsigned i = 0; i < 300; i++) {
		CHECK_RC(stoa_server_metrics(argument, text, sizeof(text), NULL), 0);
		metrics_value(text, "stoa_store_objects");
	}
	return NULL;
}

TEST(threads_of_the_servers_program_may_ask_it)
{
	struct stoa_server_options options = small;
	char path[200], text[STOA_METRICS_ROOM];
	struct stoa_server *server;
	struct stoa_store *store;
	pthread_t runs, asks[3];
	char id[20];

	snprintf(path, sizeof(path), "%s/s", test_dir());
	options.socket = path;
	CHECK_RC(stoa_server_start(&options, &server), 0);
	CHECK_EQ(pthread_create(&runs, NULL, run_server, server), 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&asks[i], NULL, ask_again_and_again, server), 0);
	CHECK_RC(stoa_store_open(path, NULL, &store), 0);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_put(store, id, 100, i, NULL), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(asks[i], NULL), 0);
	CHECK_RC(stoa_server_metrics(server, text, sizeof(text), NULL), 0);
	metrics_check(text);
	CHECK(metrics_value(text, "stoa_store_objects") == 2000);
	CHECK_RC(stoa_server_metrics(server, text, 10, NULL), -STOA_ERANGE);
	stoa_store_close(store);
	stoa_server_stop(server);
	CHECK_EQ(pthread_join(runs, NULL), 0);
	CHECK_RC(stoa_server_metrics(server, text, sizeof(text), NULL), -STOA_EBUSY);
	stoa_server_close(server);
}

/* ---- after a dead server ---- */

TEST(a_successor_is_asked_where_the_first_one_died)
{
	struct stoa_server_options held = {.limit = 64 * MIB, .flags = STOA_SERVER_HELD};
	struct kit *kit = kit_start(&held);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_object object;
	const char *text;

	CHECK_RC(kit_put(store, "it", 5000, 1, NULL), 0);
	CHECK_RC(stoa_store_get(other, "it", 2, 0, &object), 0);
	CHECK(metrics_value(metrics_of(store), "stoa_store_held") == 1);
	test_kill(kit->server);
	kit_serve(kit);
	CHECK_EQ(holders_of(store, "it", 0)->count, 2);
	CHECK_EQ(find_self(holders_of(store, "it", 0))->flags, STOA_CLIENT_MAKER | STOA_CLIENT_SELF);
	CHECK_EQ(find_self(holders_of(other, "it", 0))->leases, 1);
	text = metrics_of(store);
	CHECK(metrics_value(text, "stoa_store_servers_total") == 2);
	CHECK(metrics_value(text, "stoa_store_puts_total") == 1);
	CHECK(metrics_value(text, "stoa_store_requests_total{op=\"put\"}") == 0);
	stoa_object_release(other, &object);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
	/* The holder is nobody's child, so it has become the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}
