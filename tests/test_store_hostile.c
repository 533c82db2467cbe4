/* SPDX-License-Identifier: MIT */
/*
 * Enemies of a store: clients that speak its protocol as it is not meant, and try to write and read what they must not. The server and other clients go on, and
 * nothing grows.
 */
#include <store/raw.h>
#include <store/worker.h>

#include <dirent.h>
#include <fcntl.h>
#include <os/local.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/directory.h>
#include <store/lease.h>
#include <store/message.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct stoa_server_options open_to_all = {
	.limit = 64 * MIB, .user_limit = 40 * MIB, .objects = 60000, .socket_mode = 0666};

static const struct store_request no_request;

static struct kit *start_for_all(void)
{
	struct kit *kit = kit_start(&open_to_all);

	CHECK_SYS(chmod(test_dir(), 0711));
	return kit;
}

static unsigned descriptors_of(pid_t process)
{
	char path[40];
	unsigned count = 0;
	DIR *list;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)process);
	list = opendir(path);
	CHECK(list != NULL);
	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

static void check_alive(const struct kit *kit)
{
	struct stoa_store *store = kit_open(kit);
	struct stoa_object_options options = {.flags = STOA_OBJECT_REPLACE};

	for (unsigned i = 0; i < 4; i++) {
		options.kind = i;
		CHECK_RC(kit_put(store, "alive", 5000, i, &options), 0);
		CHECK_RC(kit_get(store, "alive", 0), 0);
	}
	CHECK_RC(kit_delete(store, "alive"), 0);
	stoa_store_close(store);
}

static void await_gone(struct kit *kit)
{
	struct stoa_store *store = kit_open(kit);

	kit_await_clients(store, 1);
	stoa_store_close(store);
	(void)kit_look(kit);
}

/* ---- one at a time ---- */

/* The bell's flags and its content are what its owner has; the other's are not. */
TEST(a_bell_that_waits_for_ever_does_not_ring_back)
{
	struct kit *kit = start_for_all();
	struct store_completion completion;
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	for (unsigned i = PASSED_BELL; i <= PASSED_CLIENT_BELL; i++) {
		int fd = (int)raw.passed[i];
		uint64_t much = UINT64_MAX - 1;

		while (write(fd, &much, sizeof(much)) > 0)
			;
		CHECK_SYS(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK));
	}
	store_rlx(&raw.session->waiting, 1);
	for (unsigned i = 0; i < 100; i++) {
		struct store_request wait = {.op = STORE_OP_WAIT, .id_length = 2};

		raw_ask(&raw, wait, "no", NULL, 0);
		raw_ask(&raw, (struct store_request){.op = STORE_OP_CANCEL, .of = raw.serial}, NULL, NULL, 0);
		CHECK(raw_answer(&raw, &completion));
		CHECK_RC(completion.result, STOA_TIMED_OUT);
		CHECK(raw_answer(&raw, &completion));
		CHECK_RC(completion.result, 0);
	}
	check_alive(kit);
	raw_close(&raw);
	await_gone(kit);
	kit_stop(kit);
}

/* One closes its bells, another its end of everything but them. */
TEST(closed_bells_wake_nobody)
{
	struct kit *kit = start_for_all();
	struct store_completion completion;
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	os_handle_close(raw.passed[PASSED_CLIENT_BELL]);
	store_rlx(&raw.session->waiting, 1);
	CHECK_RC(raw_call(&raw, (struct store_request){.op = STORE_OP_CANCEL}, NULL, NULL, 0, &completion), 0);
	os_handle_close(raw.passed[PASSED_BELL]);
	raw.passed[PASSED_BELL] = raw.passed[PASSED_CLIENT_BELL] = OS_NO_HANDLE;
	check_alive(kit);
	test_await_sleep(kit->server);
	raw_close(&raw);
	await_gone(kit);
	kit_stop(kit);
}

static void expect_ended(const struct kit *kit, void (*sin)(struct raw *raw))
{
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	sin(&raw);
	fence_seq();
	os_bell_ring(raw.passed[PASSED_BELL]);
	while (!raw_ended(&raw))
		test_nap(1);
	raw_close(&raw);
}

static void tail_too_far(struct raw *raw)
{
	store_rlx(&raw->session->tail, UINT64_C(1) << 40);
}

static void tail_back(struct raw *raw)
{
	store_rlx(&raw->session->tail, UINT64_MAX - 63);
}

static void tail_odd(struct raw *raw)
{
	store_rlx(&raw->session->tail, 65);
}

static void write_head(struct raw *raw, struct store_request head, uint64_t tail)
{
	memcpy(raw->ring, &head, sizeof(head));
	store_rel(&raw->session->tail, tail);
}

static void nothing_written(struct raw *raw)
{
	write_head(raw, (struct store_request){0}, 64);
}

static void longer_than_written(struct raw *raw)
{
	write_head(raw, (struct store_request){.length = 1000, .serial = 1, .op = STORE_OP_CANCEL}, 64);
}

static void parts_longer_than_whole(struct raw *raw)
{
	write_head(
		raw,
		(struct store_request){.length = 64, .serial = 1, .op = STORE_OP_PUT, .id_length = 8, .size = 1 << 20},
		64);
}

static void sizes_that_wrap(struct raw *raw)
{
	write_head(raw,
		   (struct store_request){
			   .length = 64, .serial = 1, .op = STORE_OP_PUT, .id_length = 10, .size = UINT64_MAX - 1},
		   64);
}

static void skips_all(struct raw *raw)
{
	write_head(raw, (struct store_request){.length = 64, .op = STORE_OP_SKIP}, 64);
}

static void serial_twice(struct raw *raw)
{
	write_head(raw, (struct store_request){.length = sizeof(struct store_request), .op = STORE_OP_CANCEL}, 64);
}

static void id_too_long(struct raw *raw)
{
	write_head(raw,
		   (struct store_request){.length = 56 + 500, .serial = 1, .op = STORE_OP_DELETE, .id_length = 500},
		   640);
}

static void copy_too_large(struct raw *raw)
{
	struct store_request head = {.length = 56 + 1 + 65536 + 100,
				     .serial = 1,
				     .op = STORE_OP_PUT,
				     .id_length = 1,
				     .size = 65636,
				     .kind = STORE_IMMUTABLE};

	write_head(raw, head, store_line_up(head.length));
}

static void short_message(struct raw *raw)
{
	CHECK_RC(os_local_send(raw->socket, "hello", 5, NULL, 0), 0);
}

static void empty_message(struct raw *raw)
{
	CHECK_EQ(send((int)raw->socket, "", 0, MSG_NOSIGNAL), 0);
}

static void second_hello(struct raw *raw)
{
	struct store_message message = {.kind = STORE_HELLO};

	store_message_mark(&message);
	CHECK_RC(os_local_send(raw->socket, &message, sizeof(message), NULL, 0), 0);
}

static void brings_descriptors(struct raw *raw)
{
	struct store_message message = {.kind = STORE_ASK_ARENA, .arena = 1, .generation = 1};

	store_message_mark(&message);
	CHECK_RC(os_local_send(raw->socket, &message, sizeof(message), raw->passed, 5), 0);
}

static void shuts_down(struct raw *raw)
{
	CHECK_SYS(shutdown((int)raw->socket, SHUT_RDWR));
}

/* Asks and asks, and never reads what it is sent. */
static void never_reads(struct raw *raw)
{
	struct store_message message = {.kind = STORE_ASK_ARENA, .arena = 1, .generation = 1};
	int rc;

	store_message_mark(&message);
	do {
		rc = os_local_send(raw->socket, &message, sizeof(message), NULL, 0);
		if (rc == -STOA_EBUSY)
			test_nap(1);
	} while (rc == 0 || rc == -STOA_EBUSY);
	CHECK_RC(rc, -STOA_ECLOSED);
}

TEST(who_breaks_the_protocol_is_sent_away)
{
	static void (*const sins[])(struct raw * raw) = {tail_too_far,    tail_back,           tail_odd,
							 nothing_written, longer_than_written, parts_longer_than_whole,
							 sizes_that_wrap, skips_all,           serial_twice,
							 id_too_long,     copy_too_large,      short_message,
							 empty_message,   second_hello,        brings_descriptors,
							 shuts_down,      never_reads};
	struct kit *kit = start_for_all();
	struct stoa_store *store = kit_open(kit);
	unsigned before;

	CHECK_RC(kit_put(store, "there", 100, 1, NULL), 0);
	before = descriptors_of(kit->server);
	for (unsigned i = 0; i < CC_COUNT(sins); i++) {
		test_note("sin %u", i);
		expect_ended(kit, sins[i]);
		CHECK_RC(kit_get(store, "there", 0), 0);
		check_alive(kit);
	}
	kit_await_clients(store, 1);
	/* What somebody had open lingers until the server looks again, and finds that nobody has. */
	while (descriptors_of(kit->server) != before) {
		test_nap(1);
		kit_look(kit);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

/* Requests that are well-formed, and nonsense. */
TEST(nonsense_is_refused)
{
	static const struct {
		struct store_request head;
		int expected;
	} cases[] = {
		{{.op = 0}, -STOA_EINVAL},
		{{.op = 999}, -STOA_EINVAL},
		{{.op = STORE_OP_SEAL, .entry = 0xffffff, .state = 1}, -STOA_ENOENT},
		{{.op = STORE_OP_SEAL, .entry = UINT32_MAX, .state = UINT64_MAX}, -STOA_ENOENT},
		{{.op = STORE_OP_ABORT, .entry = 1, .state = 1}, -STOA_ENOENT},
		{{.op = STORE_OP_ABORT}, -STOA_ENOENT},
		{{.op = STORE_OP_CANCEL, .of = UINT64_MAX}, 0},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = STORE_IMMUTABLE}, -STOA_EINVAL},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = 77}, -STOA_EINVAL},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = STORE_PRIVATE, .access = 9}, -STOA_EINVAL},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = STORE_PRIVATE, .flags = 0x80}, -STOA_EINVAL},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = STORE_PRIVATE, .of = 513}, -STOA_EINVAL},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = STORE_PRIVATE, .size = UINT64_MAX}, -STOA_ERANGE},
		{{.op = STORE_OP_CREATE, .id_length = 1, .kind = STORE_OWN, .size = UINT64_MAX - 4096}, -STOA_ERANGE},
		{{.op = STORE_OP_PUT, .id_length = 1, .kind = STORE_OWN}, -STOA_EINVAL},
		{{.op = STORE_OP_DELETE, .id_length = 1}, -STOA_ENOENT},
	};
	struct kit *kit = start_for_all();
	struct store_completion completion;
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	for (unsigned i = 0; i < CC_COUNT(cases); i++) {
		test_note("case %u", i);
		CHECK_RC(raw_call(&raw, cases[i].head, "x", NULL, 0, &completion), cases[i].expected);
		CHECK_EQ(completion.serial, raw.serial);
	}
	raw_close(&raw);
	await_gone(kit);
	kit_stop(kit);
}

/* Leases on all there is and is not: what is deleted stays as long as they do, and nothing more. */
TEST(leases_of_garbage_harm_nobody)
{
	struct kit *kit = start_for_all();
	struct stoa_store *store = kit_open(kit);
	uint64_t random = test_seed();
	struct raw raw;

	CHECK_RC(raw_open(kit, 1000, &raw), 0);
	for (unsigned round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 8000; i++)
			store_rlx(&raw.leases->words[i],
				  round % 2 ? test_random(&random)
					    : lease_word((uint32_t)test_random(&random) % 60001, UINT64_C(1) << 24));
		store_rlx(&raw.leases->reached, round % 3 ? 1000 : UINT32_MAX);
		CHECK_RC(kit_put(store, "there", 5000, round, NULL), 0);
		CHECK_RC(kit_get(store, "there", 0), 0);
		CHECK_RC(kit_delete(store, "there"), 0);
		test_nap(5);
		/* Its books: the directory has no page more than the server knows of. */
		kit_look(kit);
	}
	raw_close(&raw);
	stoa_store_close(store);
	await_gone(kit);
	kit_stop(kit);
}

/* Leases on everything there is, as the directory tells all. */
static void hold_all(void *argument)
{
	struct kit *kit = argument;
	struct directory directory;
	struct raw raw;

	CHECK(kit_become_another());
	CHECK_RC(raw_open(kit, 1000, &raw), 0);
	CHECK_RC(directory_open(raw.directory, raw.directory_length, &directory), 0);
	store_rlx(&raw.leases->reached, 1000);
	store_rel(&kit->words[0], 1);
	for (;;)
		for (uint32_t i = 1; i < directory_limit(&directory); i++)
			store_rlx(&raw.leases->words[i], lease_word(i, load_rlx(&directory.entries[i].state)));
}

TEST(nobody_keeps_what_it_may_not_read)
{
	struct stoa_store *store;
	struct kit *kit;
	pid_t role;

	if (geteuid() != 0)
		SKIP("another user needs root");
	kit = start_for_all();
	store = kit_open(kit);
	role = test_role(hold_all, kit);
	test_await(&kit->words[0], 1);
	for (unsigned i = 0; i < 40; i++) {
		CHECK_RC(kit_put(store, "mine", 10 * MIB, i, NULL), 0);
		CHECK_RC(kit_delete(store, "mine"), 0);
	}
	test_kill(role);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- memory that the client can write ---- */

/* It makes an object in place and touches all around it. */
static void overreach(void *argument)
{
	struct kit *kit = argument;
	struct store_request create = {
		.op = STORE_OP_CREATE, .id_length = 5, .kind = STORE_PRIVATE, .size = 100000, .access = STORE_BY_ALL};
	struct store_completion made, sealed;
	os_handle memory;
	struct raw raw;

	(void)kit_become_another();
	CHECK_RC(raw_open(kit, 0, &raw), 0);
	for (unsigned i = PASSED_SESSION; i <= PASSED_LEASES; i++) {
		CHECK_EQ(fcntl((int)raw.passed[i], F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
		CHECK_EQ(ftruncate((int)raw.passed[i], 0), -1);
		CHECK_EQ(ftruncate((int)raw.passed[i], 1 << 30), -1);
	}
	CHECK_RC(raw_call(&raw, create, "extra", NULL, 0, &made), 0);
	CHECK_RC(raw_arena(&raw, made.arena, &memory), 0);
	CHECK_SYS(fallocate((int)memory, 0, 0, 20 << 20));
	CHECK_EQ(ftruncate((int)memory, 4096), -1);
	CHECK_EQ(fcntl((int)memory, F_ADD_SEALS, F_SEAL_WRITE), -1);
	CHECK_EQ(fcntl((int)memory, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	CHECK_EQ(fcntl((int)memory, F_ADD_SEALS, F_SEAL_GROW), -1);
	CHECK_SYS(ftruncate((int)memory, INT64_C(1) << 41));
	CHECK_SYS(fallocate((int)memory, 0, (INT64_C(1) << 41) - (4 << 20), 4 << 20));
	CHECK_EQ(pwrite((int)memory, "x", 1, (INT64_C(1) << 41) - 1), 1);
	CHECK_EQ(pwrite((int)memory, "x", 1, 30 << 20), 1);
	CHECK_RC(raw_call(&raw,
			  (struct store_request){
				  .op = STORE_OP_SEAL, .entry = made.entry, .state = made.state, .size = 100000},
			  NULL, NULL, 0, &sealed),
		 0);
	store_rel(&kit->words[0], 1);
	test_pause();
}

TEST(what_a_maker_took_beside_its_objects_goes_with_it)
{
	struct kit *kit = start_for_all();
	struct stoa_store *store = kit_open(kit);
	pid_t role = test_role(overreach, kit);
	struct stoa_object object;

	test_await(&kit->words[0], 1);
	CHECK_RC(stoa_store_get(store, "extra", 5, 0, &object), 0);
	test_kill(role);
	kit_await_clients(store, 1);
	kit_look(kit); /* compares with what the system has */
	stoa_object_release(store, &object);
	CHECK_RC(kit_delete(store, "extra"), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* A successor takes over what the enemy has written into, and made longer than it is. */
TEST(what_a_maker_took_does_not_stop_a_successor)
{
	struct stoa_server_options held = open_to_all;
	struct stoa_store *store;
	struct kit *kit;
	pid_t role;

	held.flags = STOA_SERVER_HELD;
	kit = kit_start(&held);
	CHECK_SYS(chmod(test_dir(), 0711));
	store = kit_open(kit);
	role = test_role(overreach, kit);
	test_await(&kit->words[0], 1);
	for (unsigned i = 0; i < 3; i++) {
		test_kill(kit->server);
		kit_serve(kit);
		CHECK_RC(
			kit_put(store, "new", 10 * MIB, i, &(struct stoa_object_options){.flags = STOA_OBJECT_REPLACE}),
			0);
		check_alive(kit);
		if (i == 1)
			test_kill(role);
	}
	kit_await_clients(store, 1);
	kit_look(kit);
	CHECK_RC(kit_delete(store, "extra"), 0);
	stoa_store_close(store);
	kit_stop(kit);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* Every way to write what a descriptor leads to. */
static void check_unwritable(os_handle memory, bool another)
{
	int fd = (int)memory;
	char path[40];
	void *address = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(address != MAP_FAILED);
	CHECK_EQ(mprotect(address, 4096, PROT_READ | PROT_WRITE), -1);
	munmap(address, 4096);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK_EQ(pwrite(fd, "x", 1, 0), -1);
	CHECK_EQ(ftruncate(fd, 0), -1);
	CHECK_EQ(ftruncate(fd, INT64_C(1) << 42), -1);
	CHECK_EQ(fallocate(fd, 0, 0, 4096), -1);
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), -1);
	if (!another)
		return; /* the user's own processes may */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_EQ(open(path, O_RDWR | O_CLOEXEC), -1);
	CHECK_EQ(open(path, O_WRONLY | O_CLOEXEC), -1);
	CHECK_EQ(fchmod(fd, 0666), -1);
}

static void try_to_write(void *argument)
{
	struct kit *kit = argument;
	bool another = kit_become_another();
	struct directory directory;
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(directory_open(raw.directory, raw.directory_length, &directory), 0);
	check_unwritable(raw.passed[PASSED_DIRECTORY], another);
	for (unsigned i = 0; i < 6; i++) {
		char id[20];
		uint32_t entry;
		uint64_t state;
		struct directory_where where = {0};
		os_handle memory;
		int rc;

		snprintf(id, sizeof(id), "object %u", i);
		CHECK_EQ(directory_find(&directory, id, (uint32_t)strlen(id), &entry, &state), DIRECTORY_FOUND);
		CHECK_RC(directory_look(&directory, entry, &where), 0);
		rc = raw_arena(&raw, where.arena, &memory);
		if (i >= 3 && another) {
			CHECK_RC(rc, -STOA_EACCES);
			continue;
		}
		CHECK_RC(rc, 0);
		check_unwritable(memory, another);
		os_handle_close(memory);
	}
	raw_close(&raw);
}

static void try_the_library(void *argument)
{
	struct kit *kit = argument;
	struct stoa_object_options options = {.flags = STOA_OBJECT_REPLACE};
	struct stoa_store *store;

	CHECK(kit_become_another());
	store = kit_open(kit);
	for (unsigned i = 0; i < 6; i++) {
		char id[20];

		snprintf(id, sizeof(id), "object %u", i);
		CHECK_RC(kit_get(store, id, 0), i < 3 ? 0 : -STOA_EACCES);
		CHECK_RC(kit_delete(store, id), -STOA_EACCES);
		CHECK_RC(kit_put(store, id, 100, 1, &options), -STOA_EACCES);
	}
	CHECK_RC(kit_put(store, "mine", 100, 1, NULL), 0);
	CHECK_RC(kit_delete(store, "mine"), 0);
	stoa_store_close(store);
}

/* Three that all may read, and three for their owner alone. */
static void make_six(struct stoa_store *store)
{
	for (unsigned i = 0; i < 6; i++) {
		struct stoa_object_options options = {.kind = i % 3 + 1,
						      .access = i < 3 ? STOA_ACCESS_ALL : STOA_ACCESS_OWNER};
		char id[20];

		snprintf(id, sizeof(id), "object %u", i);
		CHECK_RC(kit_put(store, id, 5000, i, &options), 0);
	}
}

TEST(nobody_writes_what_others_made)
{
	struct kit *kit = start_for_all();
	struct stoa_store *store = kit_open(kit);

	make_six(store);
	CHECK_EQ(test_join(test_role(try_to_write, kit)), 0);
	for (unsigned i = 0; i < 6; i++) {
		char id[20];

		snprintf(id, sizeof(id), "object %u", i);
		CHECK_RC(kit_get(store, id, 0), 0);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(other_users_read_what_they_may)
{
	struct kit *kit;
	struct stoa_store *store;

	if (geteuid() != 0)
		SKIP("another user needs root");
	kit = start_for_all();
	store = kit_open(kit);
	make_six(store);
	CHECK_EQ(test_join(test_role(try_the_library, kit)), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Who makes an object of its own backs and seals it; the server believes neither, and waits for neither. */
TEST(what_can_still_be_written_or_has_holes_is_not_sealed)
{
	struct kit *kit = start_for_all();
	struct store_request create = {.op = STORE_OP_CREATE, .id_length = 3, .kind = STORE_OWN, .size = 100000};
	struct store_completion made, sealed;
	struct store_request seal = {.op = STORE_OP_SEAL, .size = 100000};
	struct raw raw;
	os_handle memory;
	void *address;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	for (unsigned whole = 0; whole < 2; whole++) {
		create.flags = STOA_OBJECT_REPLACE;
		CHECK_RC(raw_call(&raw, create, "own", NULL, 0, &made), 0);
		CHECK_RC(raw_arena(&raw, made.arena, &memory), 0);
		CHECK_EQ(ftruncate((int)memory, 4096), -1);
		CHECK_EQ(ftruncate((int)memory, 1 << 20), -1);
		CHECK_EQ(fallocate((int)memory, 0, 0, whole ? (off_t)os_memory_length(memory) : 4096), 0);
		address = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, (int)memory, 0);
		CHECK(address != MAP_FAILED);
		seal.entry = made.entry;
		seal.state = made.state;
		CHECK_RC(raw_call(&raw, seal, NULL, NULL, 0, &sealed), -STOA_EBUSY);
		check_alive(kit);
		munmap(address, 100000);
		CHECK_RC(raw_call(&raw, seal, NULL, NULL, 0, &sealed), -STOA_EBUSY);
		CHECK_EQ(fcntl((int)memory, F_ADD_SEALS, F_SEAL_WRITE), 0);
		kit_look(kit);
		CHECK_RC(raw_call(&raw, seal, NULL, NULL, 0, &sealed), whole ? 0 : -STOA_EINVAL);
		kit_look(kit);
		if (!whole)
			os_handle_close(memory);
	}
	CHECK(mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, (int)memory, 0) == MAP_FAILED);
	CHECK_EQ(pwrite((int)memory, "x", 1, 0), -1);
	os_handle_close(memory);
	raw_close(&raw);
	await_gone(kit);
	kit_stop(kit);
}

/* One class after the other: arenas that hold nothing do not pile up. */
TEST(classes_do_not_pile_up)
{
	struct kit *kit = start_for_all();
	struct stoa_store *store = kit_open(kit);
	unsigned most = 0;

	for (unsigned i = 0; i < 1000; i++) {
		struct stoa_object_options options = {
			.kind = 1 + i % 2, .access = STOA_ACCESS_USER, .reader = i, .flags = STOA_OBJECT_REPLACE};
		unsigned count;

		CHECK_RC(kit_put(store, "object", 100, i, &options), 0);
		count = i % 50 ? 0 : descriptors_of(kit->server);
		most = most < count ? count : most;
	}
	CHECK_INT(most, <, 300);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- all at once ---- */

struct enemy {
	struct kit *kit;
	uint64_t seed;
	unsigned turns;
};

static void scribble(struct raw *raw, uint64_t *random)
{
	unsigned char *bytes = (unsigned char *)raw->session;
	uint64_t where = test_random(random) % (raw->session_length - 8);

	switch (test_random(random) % 4) {
	case 0: where %= 256; break;
	case 1: where = sizeof(struct store_session) + where % 4096; break;
	default: break;
	}
	*random += where;
	for (unsigned i = 0; i < 8; i++)
		bytes[where + i] = (unsigned char)(test_random(random) >> 11);
}

/* A request that is nearly right: one field of it is something else. */
static void nearly(struct raw *raw, uint64_t *random)
{
	static const uint16_t ops[] = {STORE_OP_PUT,  STORE_OP_CREATE, STORE_OP_SEAL,   STORE_OP_ABORT, STORE_OP_DELETE,
				       STORE_OP_WAIT, STORE_OP_ROOM,   STORE_OP_CANCEL, STORE_OP_MARK};
	struct store_request head = {.op = ops[test_random(random) % CC_COUNT(ops)]};
	uint64_t choice = test_random(random);
	bool with_id = head.op == STORE_OP_PUT || head.op == STORE_OP_CREATE || head.op == STORE_OP_DELETE ||
		       head.op == STORE_OP_WAIT;
	static unsigned char data[3000];
	uint32_t size = head.op == STORE_OP_PUT ? (uint32_t)(choice >> 40) % sizeof(data) : 0;
	unsigned char *bytes = (unsigned char *)&head;
	char id[40];

	snprintf(id, sizeof(id), "enemy's %u", (unsigned)(choice % 16));
	head.id_length = with_id ? (uint16_t)strlen(id) : 0;
	head.size = head.op == STORE_OP_CREATE ? choice >> 44 : size;
	head.kind = head.op == STORE_OP_PUT ? STORE_IMMUTABLE : (uint8_t)(STORE_PRIVATE + choice / 16 % 2);
	head.flags = choice / 64 % 2 ? STOA_OBJECT_REPLACE : 0;
	head.entry = (uint32_t)(choice >> 8) % 64;
	head.state = store_state_word(choice >> 16 & 15, STORE_WRITING);
	head.of = head.op == STORE_OP_CANCEL ? choice >> 30 & 31 : choice >> 50 & 63;
	if (choice % 7 == 0)
		bytes[8 + test_random(random) % (sizeof(head) - 8)] = (unsigned char)(choice >> 33);
	raw_ask(raw, head, id, data, size);
}

static void talk(struct raw *raw, uint64_t *random)
{
	struct store_message message = {.kind = (uint32_t)(test_random(random) % 6)};

	message.arena = (uint32_t)test_random(random) % 20;
	message.generation = test_random(random) % 9;
	if (test_random(random) % 8)
		store_message_mark(&message);
	(void)os_local_send(raw->socket, &message, test_random(random) % 16 ? sizeof(message) : 17, raw->passed,
			    test_random(random) % 16 ? 0 : 3);
}

static void lease(struct raw *raw, uint64_t *random)
{
	uint64_t word = test_random(random);

	store_rlx(&raw->leases->reached, (uint32_t)test_random(random));
	store_rlx(&raw->leases->words[word % ((raw->leases_length - 64) / 8)],
		  word % 3 ? lease_word((uint32_t)(word >> 8) % 300, word << 24) : test_random(random));
}

static void attack(void *argument)
{
	static void (*const attacks[])(struct raw * raw, uint64_t * random) = {scribble, nearly, nearly, nearly,
									       talk,     lease,  lease};
	const struct enemy *enemy = argument;
	uint64_t random = enemy->seed;

	(void)kit_become_another();
	for (unsigned turn = 0; turn < enemy->turns; turn++) {
		unsigned steps = (unsigned)(test_random(&random) % 300);
		uint64_t which = test_random(&random);
		struct raw raw;

		if (raw_open(enemy->kit, (uint32_t)(which >> 20) % 9000, &raw))
			continue;
		for (unsigned i = 0; i < steps && !raw_ended(&raw); i++) {
			void (*const one)(struct raw *, uint64_t *) =
				attacks[which % 3 ? which % CC_COUNT(attacks) : i % CC_COUNT(attacks)];

			one(&raw, &random);
			os_bell_ring(raw.passed[PASSED_BELL]);
		}
		raw_close(&raw);
	}
}

static void work(void *argument)
{
	const struct enemy *honest = argument;

	worker_run(honest->kit, 1, honest->seed, honest->turns);
}

static int delete_it(const struct stoa_object_info *info, void *argument)
{
	CHECK_RC(stoa_store_delete(argument, info->id, info->id_length), 0);
	return 0;
}

TEST_TIMEOUT(honest_clients_go_on_among_enemies, 240)
{
	enum { EACH = 2 };
	struct kit *kit = start_for_all();
	struct enemy *all = test_shared(2 * EACH * sizeof(*all));
	struct stoa_store *store = kit_open(kit);
	uint64_t seed = test_seed();
	unsigned before = descriptors_of(kit->server);
	pid_t roles[2 * EACH];

	for (unsigned i = 0; i < 2 * EACH; i++) {
		bool enemy = i < EACH;

		all[i] = (struct enemy){kit, seed + i, enemy ? test_rounds(400, 20000) : test_rounds(1500, 60000)};
		roles[i] = enemy ? test_role(attack, &all[i]) : test_role(work, &all[i]);
	}
	for (unsigned i = 0; i < 2 * EACH; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	kit_await_clients(store, 1);
	kit_look(kit);
	CHECK_RC(stoa_store_list(store, delete_it, store), 0);
	kit_look(kit);
	CHECK_INT(descriptors_of(kit->server), <=, before + 40);
	CHECK_RC(kit_put(store, "last", 10 * MIB, 1, NULL), 0);
	stoa_store_close(store);
	kit_stop(kit);
	(void)no_request;
}
