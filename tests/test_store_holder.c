/* SPDX-License-Identifier: MIT */
/*
 * The process that holds a server's memory: what was put is there for the successor, whenever and however the server ends; nothing of an
 * enemy's stays; and nothing at all once it is told to end.
 */
#include <harness/test.h>
#include <store/hold.h>
#include <store/holder.h>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static const char *socket_path(void)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/s.held", test_dir());
	return path;
}

static bool is_there(const char *suffix)
{
	char path[220];

	snprintf(path, sizeof(path), "%s%s", socket_path(), suffix);
	return access(path, F_OK) == 0;
}

static struct store_holder *start(void)
{
	struct store_holder *holder;

	CHECK_RC(store_holder_start(socket_path(), &holder), 0);
	CHECK_INT(store_holder_process(holder), >, 0);
	return holder;
}

/* The harness's children by now. */
static void reap(uint32_t process, int expected)
{
	int status;

	CHECK_EQ(waitpid((pid_t)process, &status, 0), process);
	CHECK_EQ(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), expected);
}

static void end(struct store_holder *holder)
{
	uint32_t process = store_holder_process(holder);

	CHECK_RC(store_holder_end(holder), 0);
	CHECK(!is_there("") && !is_there(".lock"));
	reap(process, 0);
}

/* ---- what is held ---- */

/* A memory object that says which it is. */
static os_handle make_object(uint64_t number)
{
	os_handle memory;

	CHECK_RC(os_memory_create(OS_PAGE, 0, &memory), 0);
	CHECK_RC(os_memory_set_length(memory, OS_PAGE), 0);
	CHECK_RC(os_memory_write(memory, 0, &number, sizeof(number)), 0);
	return memory;
}

static uint64_t number_of(os_handle memory)
{
	uint64_t number;
	size_t got;

	CHECK_RC(os_memory_read(memory, 0, &number, sizeof(number), &got), 0);
	CHECK_EQ(got, sizeof(number));
	return number;
}

static const char *name_of(unsigned index)
{
	static char names[4][STORE_HOLDER_NAME];
	static unsigned next;
	char *name = names[next++ % 4];

	snprintf(name, STORE_HOLDER_NAME, "arena-%u", index);
	return name;
}

static void put(struct store_holder *holder, unsigned index, uint64_t number)
{
	os_handle memory = make_object(number);

	CHECK_RC(store_holder_put(holder, name_of(index), memory), 0);
	os_handle_close(memory);
}

#define MANY 10000
struct found {
	uint64_t numbers[MANY]; /* 0: not there */
	unsigned count;
	unsigned stop_at; /* 0: never */
};

static int find(const char *name, os_handle memory, void *argument)
{
	struct found *found = argument;
	unsigned index;

	CHECK_EQ(sscanf(name, "arena-%u", &index), 1);
	CHECK_INT(index, <, MANY);
	CHECK_EQ(found->numbers[index], 0);
	found->numbers[index] = number_of(memory);
	CHECK(found->numbers[index]);
	os_handle_close(memory);
	return ++found->count == found->stop_at ? 77 : 0;
}

static const struct found *find_all(struct store_holder *holder)
{
	static struct found found;

	memset(&found, 0, sizeof(found));
	CHECK_RC(store_holder_visit(holder, find, &found), 0);
	return &found;
}

TEST(what_is_put_is_found_until_it_is_dropped)
{
	struct store_holder *holder = start();
	const struct found *found;

	CHECK_EQ(find_all(holder)->count, 0);
	for (unsigned i = 0; i < 100; i++)
		put(holder, i, 1000 + i);
	found = find_all(holder);
	CHECK_EQ(found->count, 100);
	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(found->numbers[i], 1000 + i);
	put(holder, 7, 7777); /* replaces */
	for (unsigned i = 0; i < 100; i += 2)
		CHECK_RC(store_holder_drop(holder, name_of(i)), 0);
	CHECK_RC(store_holder_drop(holder, name_of(0)), -STOA_ENOENT);
	found = find_all(holder);
	CHECK_EQ(found->count, 50);
	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(found->numbers[i], i % 2 == 0 ? 0 : i == 7 ? 7777 : 1000 + i);
	end(holder);
}

TEST(names_are_checked)
{
	static const char *const wrong[] = {"", "a b", "a:b", "\x01", "\xc3\xa4", "12345678901234567890123456789012"};
	struct store_holder *holder = start();
	os_handle memory = make_object(1);

	for (size_t i = 0; i < CC_COUNT(wrong); i++) {
		CHECK_RC(store_holder_put(holder, wrong[i], memory), -STOA_ENAME);
		CHECK_RC(store_holder_drop(holder, wrong[i]), -STOA_ENAME);
	}
	CHECK_RC(store_holder_put(holder, "1234567890123456789012345678901", memory), 0);
	CHECK_RC(store_holder_put(holder, "~", memory), 0);
	CHECK_RC(store_holder_put(holder, "x", 999), -STOA_EINVAL);
	CHECK_RC(store_holder_drop(holder, "1234567890123456789012345678901"), 0);
	CHECK_RC(store_holder_drop(holder, "1234567890123456789012345678901"), -STOA_ENOENT);
	os_handle_close(memory);
	end(holder);
}

static int drop_it(const char *name, os_handle memory, void *argument)
{
	os_handle_close(memory);
	return store_holder_drop(argument, name);
}

TEST(a_visitor_may_stop_and_may_drop)
{
	static struct found found;
	struct store_holder *holder = start();

	for (unsigned i = 0; i < 100; i++)
		put(holder, i, 1 + i);
	found.stop_at = 21;
	CHECK_RC(store_holder_visit(holder, find, &found), 77);
	CHECK_EQ(found.count, 21);
	CHECK_RC(store_holder_visit(holder, drop_it, holder), 0);
	CHECK_EQ(find_all(holder)->count, 0);
	put(holder, 1, 5);
	CHECK_EQ(find_all(holder)->numbers[1], 5);
	end(holder);
}

/* Against a table of our own. */
TEST(any_order_of_puts_and_drops)
{
	static uint64_t numbers[300];
	struct store_holder *holder = start();
	uint64_t random = test_seed();

	for (unsigned i = 0; i < test_rounds(3000, 100000); i++) {
		unsigned index = (unsigned)(test_random(&random) % CC_COUNT(numbers));

		if (test_random(&random) % 2) {
			numbers[index] = 1 + i;
			put(holder, index, 1 + i);
		} else {
			CHECK_RC(store_holder_drop(holder, name_of(index)), numbers[index] ? 0 : -STOA_ENOENT);
			numbers[index] = 0;
		}
	}
	CHECK(!memcmp(find_all(holder)->numbers, numbers, sizeof(numbers)));
	end(holder);
}

/* ---- many ---- */

static void allow_many(void)
{
	if (os_handles_allow() < MANY + 1000)
		SKIP("no more than %u descriptors for a process (ulimit -Hn)", os_handles_allow());
}

TEST_TIMEOUT(ten_thousand_are_held, 60)
{
	static struct store_held held[MANY];
	struct store_holder *holder;
	const struct found *found;

	allow_many();
	holder = start();
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(held[i].name, sizeof(held[i].name), "arena-%u", i);
		held[i].memory = make_object(i + 1);
	}
	CHECK_RC(store_holder_put_many(holder, held, MANY), 0);
	for (unsigned i = 0; i < MANY; i++)
		os_handle_close(held[i].memory);
	store_holder_close(holder);
	holder = start();
	found = find_all(holder);
	CHECK_EQ(found->count, MANY);
	for (unsigned i = 0; i < MANY; i++)
		CHECK_EQ(found->numbers[i], i + 1);
	for (unsigned i = 0; i < MANY; i++)
		CHECK_RC(store_holder_drop(holder, name_of(i)), 0);
	CHECK_EQ(find_all(holder)->count, 0);
	end(holder);
}

static unsigned descriptors_of(uint32_t process)
{
	char path[64];
	unsigned count = 0;
	struct dirent *entry;
	DIR *list;

	snprintf(path, sizeof(path), "/proc/%u/fd", process);
	list = opendir(path);
	CHECK(list);
	while ((entry = readdir(list)))
		count += entry->d_name[0] != '.';
	closedir(list);
	return count;
}

static void fill(void *unused)
{
	const struct rlimit few = {200, 200};
	struct store_held held[300];
	struct store_holder *holder;
	unsigned put_count = 0;
	int rc = 0;

	(void)unused;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few)); /* the holder's, too */
	holder = start();
	held[0].memory = make_object(5);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(held[i].name, sizeof(held[i].name), "arena-%u", i);
		held[i].memory = held[0].memory;
	}
	while (!(rc = store_holder_put(holder, held[put_count].name, held[0].memory)))
		put_count++;
	CHECK_RC(rc, -STOA_ELIMIT);
	CHECK_INT(put_count, >, 100);
	CHECK_RC(store_holder_put_many(holder, held, 300), -STOA_ELIMIT);
	CHECK_EQ(find_all(holder)->count, put_count);
	CHECK_RC(store_holder_put(holder, held[3].name, held[0].memory), 0); /* replaces */
	CHECK_RC(store_holder_drop(holder, held[3].name), 0);
	CHECK_RC(store_holder_put(holder, held[299].name, held[0].memory), 0);
	CHECK_RC(store_holder_put(holder, held[298].name, held[0].memory), -STOA_ELIMIT);
	store_holder_close(holder);
	holder = start(); /* there is room for a successor */
	CHECK_EQ(find_all(holder)->count, put_count);
	CHECK_INT(descriptors_of(store_holder_process(holder)), <, 200);
	CHECK_RC(store_holder_end(holder), 0);
}

TEST(the_holders_limit_is_an_error_of_the_put)
{
	CHECK_EQ(test_join(test_role(fill, NULL)), 0);
	CHECK_SYS(waitpid(-1, NULL, 0));
}

static int count_it(const char *name, os_handle memory, void *argument)
{
	(void)name, (void)memory;
	++*(unsigned *)argument;
	return 0;
}

TEST(a_visitors_limit_is_an_error_of_the_visit)
{
	struct store_holder *holder = start();
	struct rlimit limit, few;
	unsigned count = 0;

	for (unsigned i = 0; i < 100; i++)
		put(holder, i, i + 1);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	few = (struct rlimit){(rlim_t)store_holder_handle(holder) + 40, limit.rlim_max};
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few));
	CHECK_RC(store_holder_visit(holder, count_it, &count), -STOA_ELIMIT);
	CHECK_INT(count, <, 60);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	for (int fd = (int)store_holder_handle(holder) + 1; fd < (int)few.rlim_cur; fd++)
		close(fd);
	CHECK_EQ(find_all(holder)->count, 100); /* no answer is taken for another */
	end(holder);
}

/* ---- what the process has ---- */

static void check_process(uint32_t process)
{
	char path[64], line[512];
	unsigned shared = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/maps", process);
	file = fopen(path, "re");
	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		char rights[5] = "";

		CHECK_EQ(sscanf(line, "%*s %4s", rights), 1);
		shared += rights[3] == 's';
	}
	fclose(file);
	CHECK_EQ(shared, 0);
	snprintf(path, sizeof(path), "/proc/%u/comm", process);
	file = fopen(path, "re");
	CHECK(file && fgets(line, sizeof(line), file));
	fclose(file);
	CHECK_STR(line, "stoa-holder\n");
}

TEST(the_holder_has_no_map_and_only_descriptors_of_its_own)
{
	os_handle memory = make_object(1);
	struct store_holder *holder;
	void *address;

	CHECK_RC(os_map(memory, 0, OS_PAGE, OS_READ | OS_WRITE, &address), 0);
	CHECK_SYS(fcntl((int)memory, F_DUPFD, 500)); /* not to be closed in programs that it starts */
	holder = start();
	check_process(store_holder_process(holder));
	CHECK_EQ(descriptors_of(store_holder_process(holder)), 3 + 4); /* listener, lock, this connection and process */
	CHECK_RC(store_holder_put(holder, "x", memory), 0);
	CHECK_RC(store_holder_put(holder, "x", memory), 0);
	CHECK_EQ(descriptors_of(store_holder_process(holder)), 3 + 5);
	check_process(store_holder_process(holder));
	CHECK_RC(os_unmap(address, OS_PAGE), 0);
	os_handle_close(memory);
	close(500);
	end(holder);
}

/* ---- servers ---- */

struct board {
	_Atomic uint32_t ready, go;
	_Atomic uint64_t acknowledged; /* puts; the number of the last */
	_Atomic uint64_t dropped;      /* drops, of the lowest */
	_Atomic uint32_t process;      /* of the holder */
	_Atomic int result;
	uint64_t first;
};

static void serve_until_killed(void *argument)
{
	struct board *board = argument;
	struct store_holder *holder = start();

	put(holder, 3, 333);
	atomic_store(&board->process, store_holder_process(holder));
	atomic_store(&board->ready, 1);
	test_pause();
}

static void try_to_start(void *argument)
{
	struct board *board = argument;
	struct store_holder *holder;

	atomic_store(&board->result, store_holder_start(socket_path(), &holder));
}

TEST(one_server_at_a_time)
{
	struct board *board = test_shared(sizeof(*board));
	pid_t role = test_role(serve_until_killed, board);
	struct store_holder *holder;

	test_await(&board->ready, 1);
	CHECK_RC(store_holder_start(socket_path(), &holder), -STOA_EBUSY);
	CHECK(strstr(stoa_error_detail(), "another server"));
	CHECK_EQ(test_join(test_role(try_to_start, board)), 0);
	CHECK_RC(atomic_load(&board->result), -STOA_EBUSY);
	CHECK_SYS(kill(role, SIGSTOP)); /* stopped is alive */
	CHECK_RC(store_holder_start(socket_path(), &holder), -STOA_EBUSY);
	test_kill(role);
	holder = start();
	CHECK_EQ(store_holder_process(holder), atomic_load(&board->process));
	CHECK_EQ(find_all(holder)->numbers[3], 333);
	end(holder);
}

/* Its children have its connection as long as they live; they are not the server. */
static void serve_with_child_until_killed(void *argument)
{
	struct board *board = argument;
	struct store_holder *holder = start();

	put(holder, 3, 333);
	if (fork() == 0) {
		setsid(); /* does not die with its parent */
		atomic_store(&board->process, (uint32_t)getpid());
		atomic_store(&board->ready, 1);
		test_pause();
	}
	test_pause();
}

TEST(a_dead_servers_child_is_no_server)
{
	struct board *board = test_shared(sizeof(*board));
	pid_t role = test_role(serve_with_child_until_killed, board);
	struct store_holder *holder;

	test_await(&board->ready, 1);
	test_kill(role);
	holder = start();
	CHECK_EQ(find_all(holder)->numbers[3], 333);
	end(holder);
	CHECK_SYS(kill((pid_t)atomic_load(&board->process), SIGKILL));
	reap(atomic_load(&board->process), TEST_KILLED);
}

static void try_as_nobody(void *argument)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
	try_to_start(argument);
}

TEST(another_user_is_refused)
{
	struct board *board = test_shared(sizeof(*board));
	struct store_holder *holder;

	if (geteuid() != 0)
		SKIP("another user needs root");
	CHECK_SYS(chmod(test_dir(), 0755));
	holder = start();
	put(holder, 1, 1);
	CHECK_EQ(test_join(test_role(try_as_nobody, board)), 0);
	CHECK_RC(atomic_load(&board->result), -STOA_EACCES);
	CHECK_SYS(chmod(socket_path(), 0666)); /* though the file lets it */
	CHECK_EQ(test_join(test_role(try_as_nobody, board)), 0);
	CHECK_RC(atomic_load(&board->result), -STOA_EACCES);
	store_holder_close(holder);
	CHECK_EQ(test_join(test_role(try_as_nobody, board)), 0);
	CHECK_RC(atomic_load(&board->result), -STOA_EACCES);
	holder = start();
	CHECK_EQ(find_all(holder)->count, 1);
	end(holder);
}

/* Somebody else listens where the holder should. */
static void pretend(void *argument)
{
	struct board *board = argument;
	struct os_listener listener;

	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
	CHECK_RC(os_local_listen(socket_path(), 0666, &listener), 0);
	atomic_store(&board->ready, 1);
	test_pause();
}

static void start_as_another(void *argument)
{
	CHECK_SYS(setresuid(54321, 54321, 54321));
	try_to_start(argument);
}

TEST(another_users_holder_is_refused)
{
	struct board *board = test_shared(sizeof(*board));
	struct store_holder *holder;
	pid_t role;

	if (geteuid() != 0)
		SKIP("another user needs root");
	CHECK_SYS(chmod(test_dir(), 01777));
	role = test_role(pretend, board);
	test_await(&board->ready, 1);
	CHECK_RC(store_holder_start(socket_path(), &holder), -STOA_EACCES);
	CHECK_EQ(test_join(test_role(start_as_another, board)), 0);
	CHECK_RC(atomic_load(&board->result), -STOA_EACCES);
	test_kill(role);
}

/* ---- death ---- */

#define RING 40u

/* Puts 1, 2, 3 ... and drops what is RING older, saying what it has been told is done. */
static void put_until_killed(void *argument)
{
	struct board *board = argument;
	struct store_holder *holder = start();
	uint64_t number = board->first;

	atomic_store(&board->process, store_holder_process(holder));
	for (;; number++) {
		if (number > RING && number - RING >= board->first) {
			/* The one before may not have been there: the predecessor died after it had asked. */
			int rc = store_holder_drop(holder, name_of((unsigned)((number - RING) % MANY)));

			if (rc != -STOA_ENOENT)
				CHECK_RC(rc, 0);
			atomic_store(&board->dropped, number - RING);
		}
		put(holder, (unsigned)(number % MANY), number);
		atomic_store(&board->acknowledged, number);
	}
}

/* All that was acknowledged is there, and not dropped; at most one put and one drop are under way. */
static void check_found(const struct found *found, uint64_t first, uint64_t dropped, uint64_t acknowledged)
{
	uint64_t lowest = dropped >= first ? dropped + 1 : first;

	for (uint64_t number = lowest; number <= acknowledged; number++) {
		uint64_t there = found->numbers[number % MANY];

		if (there != number && !(number == lowest && there == 0)) /* the drop under way */
			test_fail(__FILE__, __LINE__, "%llu is not held but %llu", (unsigned long long)number,
				  (unsigned long long)there);
	}
	CHECK_INT(found->count, <=, acknowledged + 1 - lowest + 1);
}

TEST_TIMEOUT(what_was_acknowledged_survives_a_kill_at_any_moment, 300)
{
	struct board *board = test_shared(sizeof(*board));
	unsigned rounds = test_rounds(50, 3000), holder_process = 0;
	uint64_t random = test_seed(), total = 0;

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t before = atomic_load(&board->acknowledged);
		struct store_holder *holder;
		pid_t role;

		board->first = before + 2;
		atomic_store(&board->dropped, 0);
		atomic_store(&board->acknowledged, board->first - 1);
		role = test_role(put_until_killed, board);
		usleep((useconds_t)(test_random(&random) % (i % 2 ? 20000 : 3000)));
		test_kill(role);
		holder = start();
		check_found(find_all(holder), board->first, atomic_load(&board->dropped),
			    atomic_load(&board->acknowledged));
		total += atomic_load(&board->acknowledged) + 1 - board->first;
		if (holder_process)
			CHECK_EQ(store_holder_process(holder), holder_process);
		holder_process = store_holder_process(holder);
		CHECK_RC(store_holder_visit(holder, drop_it, holder), 0);
		if (i % 10 == 9) {
			end(holder);
			holder_process = 0;
		} else {
			put(holder, MANY - 1, 1); /* so that it stays */
			CHECK_RC(store_holder_drop(holder, name_of(MANY - 1)), 0);
			store_holder_close(holder);
		}
	}
	test_note("%llu puts", (unsigned long long)total);
	CHECK_INT(total, >, 0);
	if (holder_process)
		end(start());
	while (waitpid(-1, NULL, __WALL | WNOHANG) > 0) /* children between, whose parent was killed */
		;
}

static void start_and_put(void *argument)
{
	struct board *board = argument;
	struct store_holder *holder;

	while (atomic_load(&board->go) == 0)
		;
	for (;;) {
		int rc = store_holder_start(socket_path(), &holder);

		if (rc == -STOA_EBUSY)
			continue;
		CHECK_RC(rc, 0);
		/* Alone with it. */
		CHECK_EQ(atomic_exchange(&board->ready, 1), 0);
		put(holder, 1, 1 + find_all(holder)->numbers[1]);
		CHECK_EQ(atomic_exchange(&board->ready, 0), 1);
		store_holder_close(holder);
		return;
	}
}

TEST_TIMEOUT(servers_that_start_at_once_share_one_holder, 60)
{
	struct board *board = test_shared(sizeof(*board));
	pid_t roles[6];

	for (unsigned i = 0; i < test_rounds(10, 500); i++) {
		struct store_holder *holder;

		atomic_store(&board->go, 0);
		for (unsigned r = 0; r < CC_COUNT(roles); r++)
			roles[r] = test_role(start_and_put, board);
		atomic_store(&board->go, 1);
		for (unsigned r = 0; r < CC_COUNT(roles); r++)
			CHECK_EQ(test_join(roles[r]), 0);
		holder = start();
		CHECK_EQ(find_all(holder)->numbers[1], CC_COUNT(roles));
		end(holder);
	}
}

TEST(the_holders_end_shows_and_a_new_one_is_started)
{
	struct store_holder *holder = start();
	uint32_t process = store_holder_process(holder), ready;
	os_handle socket = store_holder_handle(holder), memory = make_object(1);

	put(holder, 1, 1);
	CHECK_RC(os_wait_readable(&socket, 1, 0, &ready), STOA_TIMED_OUT);
	CHECK_SYS(kill((pid_t)process, SIGTERM));
	CHECK_RC(os_wait_readable(&socket, 1, UINT64_MAX, &ready), 0);
	reap(process, -SIGTERM);
	CHECK_RC(store_holder_put(holder, "x", memory), -STOA_ECLOSED);
	CHECK_RC(store_holder_put(holder, "x", memory), -STOA_ECLOSED);
	CHECK_RC(store_holder_drop(holder, "x"), -STOA_ECLOSED);
	CHECK_RC(store_holder_visit(holder, count_it, NULL), -STOA_ECLOSED);
	CHECK_EQ(store_holder_handle(holder), OS_NO_HANDLE);
	CHECK_RC(store_holder_end(holder), -STOA_ECLOSED);
	CHECK(is_there("") && is_there(".lock")); /* left by the dead */
	holder = start();
	CHECK_EQ(find_all(holder)->count, 0);
	end(holder);
	os_handle_close(memory);
	store_holder_close(NULL);
}

TEST(the_end_lets_go_of_all)
{
	struct store_holder *holder = start();
	os_handle ends[2];
	uint32_t ready;

	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(store_holder_put(holder, "socket", ends[1]), 0);
	os_handle_close(ends[1]);
	CHECK_RC(os_wait_readable(ends, 1, 0, &ready), STOA_TIMED_OUT); /* held */
	end(holder);
	CHECK_RC(os_wait_readable(ends, 1, 0, &ready), 0); /* let go of */
	os_handle_close(ends[0]);
}

/* ---- enemies ---- */

static void say_anything(os_handle socket, uint64_t *random, const os_handle *objects)
{
	struct hold_message message = {.magic = HOLD_MAGIC};
	uint8_t bytes[sizeof(message) + 100];
	size_t length = sizeof(message);

	message.op = (uint32_t)(test_random(random) % 6);
	message.count = (uint32_t)(test_random(random) % 20);
	message.place = test_random(random) % 3 ? test_random(random) % 8 : test_random(random);
	for (unsigned i = 0; i < HOLD_BATCH; i++)
		snprintf(message.names[i], sizeof(message.names[i]), "enemy-%u", (unsigned)(test_random(random) % 30));
	if (message.op == HOLD_END) /* that is no enemy's */
		message.op = HOLD_PUT;
	memset(bytes, 0xa5, sizeof(bytes));
	memcpy(bytes, &message, sizeof(message));
	switch (test_random(random) % 4) {
	case 0: bytes[test_random(random) % sizeof(message)] ^= (uint8_t)(1 + test_random(random) % 255); break;
	case 1: length = 1 + test_random(random) % sizeof(bytes); break;
	case 2: length = hold_length(message.count); break;
	default: break;
	}
	memcpy(&message.op, bytes + offsetof(struct hold_message, op), sizeof(message.op));
	if (message.op == HOLD_END)
		return;
	(void)os_local_send(socket, bytes, length <= sizeof(bytes) ? length : sizeof(bytes), objects,
			    (unsigned)(test_random(random) % (OS_LOCAL_PASSED + 1)));
}

TEST_TIMEOUT(what_is_no_request_costs_the_connection_and_nothing_else, 60)
{
	struct store_holder *holder = start();
	uint32_t process = store_holder_process(holder);
	os_handle objects[OS_LOCAL_PASSED], memory = make_object(9), socket;
	uint64_t random = test_seed();
	const struct found *found;
	unsigned before;

	for (unsigned i = 0; i < OS_LOCAL_PASSED; i++)
		objects[i] = memory;
	for (unsigned i = 0; i < 50; i++)
		put(holder, i, i + 1);
	before = descriptors_of(process);
	store_holder_close(holder);
	for (unsigned i = 0; i < test_rounds(500, 20000); i++) {
		CHECK_RC(os_local_connect(socket_path(), &socket), 0);
		for (unsigned k = 0; k < 1 + i % 3; k++)
			say_anything(socket, &random, objects);
		os_handle_close(socket);
	}
	holder = start();
	CHECK_EQ(store_holder_process(holder), process);
	for (unsigned i = 0; i < 30; i++) {
		char name[STORE_HOLDER_NAME];

		snprintf(name, sizeof(name), "enemy-%u", i);
		(void)store_holder_drop(holder, name);
	}
	found = find_all(holder);
	CHECK_EQ(found->count, 50);
	for (unsigned i = 0; i < 50; i++)
		CHECK_EQ(found->numbers[i], i + 1);
	CHECK_EQ(descriptors_of(process), before);
	os_handle_close(memory);
	end(holder);
}

static int receive_answer(os_handle socket, struct hold_message *answer)
{
	uint32_t ready;
	size_t length;

	CHECK_RC(os_wait_readable(&socket, 1, UINT64_MAX, &ready), 0);
	return os_local_receive(socket, answer, sizeof(*answer), &length, NULL, 0, NULL);
}

TEST(another_version_is_told_so)
{
	struct store_holder *holder = start();
	struct hold_message message = {.magic = "STOAHLD0", .op = HOLD_GET};
	os_handle socket;

	put(holder, 1, 1);
	store_holder_close(holder);
	CHECK_RC(os_local_connect(socket_path(), &socket), 0);
	CHECK_RC(os_local_send(socket, &message, hold_length(0), NULL, 0), 0);
	CHECK_RC(receive_answer(socket, &message), 0);
	CHECK_RC(message.result, 0); /* the greeting */
	CHECK_RC(receive_answer(socket, &message), 0);
	CHECK_RC(message.result, -STOA_EVERSION);
	CHECK_RC(receive_answer(socket, &message), -STOA_ECLOSED);
	os_handle_close(socket);
	end(start());
}

/* Whoever asks and does not listen is not waited for. */
TEST(a_server_that_takes_no_answers_is_left)
{
	struct store_holder *holder = start();
	struct hold_message message = {.magic = HOLD_MAGIC, .op = HOLD_DROP, .count = 1, .names = {"nothing"}};
	uint32_t process = store_holder_process(holder), ready;
	os_handle socket;
	int rc = 0;

	put(holder, 1, 1);
	store_holder_close(holder);
	CHECK_RC(os_local_connect(socket_path(), &socket), 0);
	while (rc != -STOA_ECLOSED) {
		rc = os_local_send(socket, &message, hold_length(1), NULL, 0);
		if (rc == -STOA_EBUSY)
			(void)os_wait_readable(NULL, 0, os_now() + 1000000, &ready);
	}
	os_handle_close(socket);
	holder = start();
	CHECK_EQ(store_holder_process(holder), process);
	CHECK_EQ(find_all(holder)->count, 1);
	end(holder);
}
