/* SPDX-License-Identifier: MIT */
/* Waits beside what Linux alone has: futexes woken by hand, filtered system calls, fork, zombies and named threads. */
#include <base/signal.h>
#include <sync/board.h>

#include <dirent.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void idle(void *argument)
{
	(void)argument;
	test_pause();
}

TEST(a_process_that_nobody_has_reaped_has_ended)
{
	struct stoa_process *process;
	pid_t role = test_role(idle, NULL);

	CHECK_RC(stoa_process_open(role, &process), 0);
	CHECK_SYS(kill(role, SIGKILL));
	while (!stoa_process_exited(process))
		test_nap(1);
	CHECK_EQ(test_join(role), TEST_KILLED);
	stoa_process_close(process);
	CHECK_RC(stoa_process_open(role, &process), -STOA_ENOENT);
}

static long wake_one(const _Atomic uint32_t *word)
{
	return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void hold_in_other(void *argument)
{
	struct stoa_segment *other = argument;

	CHECK_RC(stoa_mutex_lock(other, stoa_segment_address(other), STOA_FOREVER), 0);
	atomic_store(&board->ready, 1);
	test_pause();
}

static void wait_in_both(void *argument)
{
	struct stoa_segment *other = argument;
	struct stoa_waitable set[2] = {event_of(&board->event),
				       {other, stoa_segment_address(other), STOA_WAIT_MUTEX, 0}};
	struct stoa_wait_stat stat;
	size_t index;

	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), STOA_OWNER_DIED); /* found by the periodic look */
	stoa_wait_stat(&stat);
	if (os_capabilities()->waits_on_many)
		CHECK_EQ(stat.rescues, 1);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_mutex_unlock(other, stoa_segment_address(other)), 0);
}

/*
 * A relay or life word wakes one sleeper, who must pass that on even in death. A wait across segments is covered in its first
 * segment only, so it must not sleep on those words of another.
 */
TEST(a_wait_across_segments_takes_no_wake_that_it_cannot_pass_on)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_segment *other;
	struct roster *first, *second;
	struct roster_sight sight;
	pid_t owner, waiter;

	set_up();
	CHECK_RC(stoa_segment_create(NULL, 4096, &options, &other), 0);
	CHECK_RC(stoa_mutex_init(other, stoa_segment_address(other), 0), 0);
	owner = test_role(hold_in_other, other);
	test_await(&board->ready, 1);
	waiter = test_role(wait_in_both, other);
	test_await_sleep(waiter);
	CHECK_RC(roster_attach(segment, &first), 0);
	CHECK_RC(roster_attach(other, &second), 0);
	CHECK_EQ(wake_one(roster_relay(second)), 0);
	CHECK_EQ(roster_look(other, *(uint64_t *)stoa_segment_address(other) & ~MUTEX_WAITERS, false, &sight), 1);
	CHECK_EQ(wake_one(os_low_half(sight.life)), 0);
	test_await_sleep(waiter);
	if (os_capabilities()->waits_on_many)
		CHECK_EQ(wake_one(roster_relay(first)), 1);
	test_await_sleep(waiter);
	test_kill(owner);
	CHECK_EQ(test_join(waiter), 0);
	stoa_segment_close(other);
	tear_down();
}

/* ---- what a system may lack: this file is also built for a library that is told so ---- */

#define KILL_IF(what) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (what), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* The next wake system call kills. */
static void set_without_waking(void *argument)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		KILL_IF(FUTEX_WAKE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {CC_COUNT(steps), steps};
	struct rlimit no_core = {0, 0};

	(void)argument;
	CHECK_SYS(setrlimit(RLIMIT_CORE, &no_core));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		SKIP("system calls cannot be filtered: %s", strerror(errno));
	stoa_event_set(segment, &board->event);
	stoa_event_set(segment, &board->reply);
}

/* How many of the sleeper's wake-ups came from looking again: none where the system relays, whoever dies. */
static void check_rescues(pid_t sleeper)
{
	CHECK_EQ(test_join(test_role(set_without_waking, NULL)), -SIGSYS);
	CHECK_EQ(test_join(sleeper), 0);
	if (os_capabilities()->waits_on_many)
		CHECK_EQ(board->plain, os_capabilities()->relays_wakes ? 0 : 1);
}

static void wait_and_tell(void *argument)
{
	struct stoa_wait_stat stat;

	(void)argument;
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_FOREVER), 0);
	stoa_wait_stat(&stat);
	board->plain = stat.rescues;
}

static void wait_for_both_and_tell(void *argument)
{
	struct stoa_waitable both[2] = {event_of(&board->event), mutex_of(&board->mutex)};
	struct stoa_wait_stat stat;

	(void)argument;
	CHECK_RC(stoa_wait_all(both, 2, STOA_FOREVER, NULL), 0);
	stoa_wait_stat(&stat);
	board->plain = stat.rescues;
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

TEST(a_setter_that_dies_before_its_wake_leaves_no_sleeper_behind)
{
	void (*const sleepers[])(void *argument) = {wait_and_tell, wait_for_both_and_tell};

	for (size_t i = 0; i < CC_COUNT(sleepers); i++) {
		pid_t sleeper;

		set_up();
		sleeper = test_role_start("sleeper", sleepers[i], NULL);
		test_await_sleep(sleeper);
		check_rescues(sleeper);
		tear_down();
	}
}

/* Until as many threads of this process are called that. */
static void await_threads(const char *wanted, unsigned count)
{
	for (unsigned found = count + 1; found != count; usleep(1000)) {
		DIR *tasks = opendir("/proc/self/task");
		const struct dirent *task;

		CHECK(tasks);
		for (found = 0; (task = readdir(tasks));) {
			char path[300], comm[32] = "";
			FILE *file;

			snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
			file = fopen(path, "re");
			if (!file)
				continue;
			if (fgets(comm, sizeof(comm), file))
				comm[strcspn(comm, "\n")] = 0;
			fclose(file);
			found += strcmp(comm, wanted) == 0;
		}
		closedir(tasks);
	}
}

TEST(a_watchs_helper_says_what_it_is)
{
	struct stoa_waitable things[2];
	struct stoa_watch *watches[2];

	set_up();
	await_threads("stoa-watch", 0);
	for (unsigned i = 0; i < 2; i++) {
		things[i] = event_of(i ? &board->reply : &board->event);
		CHECK_RC(stoa_watch_open(&things[i], &watches[i]), 0);
		await_threads("stoa-watch", i + 1);
	}
	for (unsigned i = 0; i < 2; i++)
		stoa_watch_close(watches[i]);
	await_threads("stoa-watch", 0);
	tear_down();
}

static void with_parents_watch(void *argument)
{
	struct stoa_watch *watch = argument;

	CHECK_RC(stoa_watch_arm(watch), -STOA_EINVAL);
	stoa_watch_close(watch);
}

TEST(a_forked_child_can_close_its_parents_watch)
{
	struct stoa_waitable thing;
	struct stoa_watch *watch;

	set_up();
	thing = event_of(&board->event);
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(test_join(test_role(with_parents_watch, watch)), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_EQ(test_readable(stoa_watch_descriptor(watch), -1), 1);
	stoa_watch_close(watch);
	tear_down();
}
