/* SPDX-License-Identifier: MIT */
/*
 * As test_multikill.c, with a death that only Linux can build: thread ids come again in each process namespace, so that who follows in a slot
 * can have the id of who died there.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where wake-ups must be lost.
 */
#include <multikill/crowd.h>

#include <errno.h>
#include <os/os.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct namespace_role {
	_Atomic uint32_t thread_id, refused, enrolled;
	bool locks;
};

/* The first process of a new process namespace: its thread id is 1, in every one. */
static void first_in_namespace(void *argument)
{
	struct namespace_role *role = argument;
	pid_t child;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWPID : CLONE_NEWPID) != 0) {
		atomic_store(&role->refused, (uint32_t)errno);
		return;
	}
	child = fork();
	CHECK_SYS(child);
	if (child) {
		waitpid(child, NULL, 0);
		_exit(0); /* a leak sanitizer cannot look from in here */
	}
	atomic_store(&role->thread_id, os_thread_id());
	if (role->locks)
		CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_FOREVER), 0);
	else
		CHECK_RC(stoa_mutex_init(segment, (void *)(semaphore + 4), STOA_OWNED), 0);
	atomic_store(&role->enrolled, 1);
	test_pause();
}

static pid_t start_in_namespace(struct namespace_role *role, bool locks)
{
	pid_t pid;

	memset(role, 0, sizeof(*role));
	role->locks = locks;
	pid = test_role_start("namespace", first_in_namespace, role);
	while (!atomic_load(&role->enrolled) && !atomic_load(&role->refused))
		usleep(500);
	if (atomic_load(&role->refused)) {
		test_join(pid);
		stoa_segment_close(segment);
		SKIP("a process namespace is refused: %s", strerror((int)atomic_load(&role->refused)));
	}
	CHECK_EQ(atomic_load(&role->thread_id), 1);
	return pid;
}

/* The role's child is the namespace's first process, and dies with the namespace or before. */
static void kill_namespace(pid_t role)
{
	char path[64];
	int child = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)role, (int)role);
	file = fopen(path, "re");
	CHECK(file && fscanf(file, "%d", &child) == 1 && child > 1);
	fclose(file);
	CHECK_SYS(kill(child, SIGKILL));
	CHECK_EQ(test_join(role), 0);
}

/*
 * A sleeper is stopped while the owner dies and a namesake takes the slot: the life word's low half is then what it was before.
 * Let go again, the sleeper must not sleep on.
 */
static void namesake(unsigned rounds)
{
	struct namespace_role *role;

	set_up();
	role = test_shared(sizeof(*role));
	for (unsigned round = 0; round < rounds; round++) {
		pid_t sleeper, first, second;

		fresh();
		first = start_in_namespace(role, true);
		sleeper = test_role(waiter, reports);
		test_await(&reports->ready, 1);
		test_await_sleep(sleeper);
		CHECK_SYS(kill(sleeper, SIGSTOP));
		CHECK_SYS(waitpid(sleeper, NULL, WUNTRACED));
		kill_namespace(first);
		second = start_in_namespace(role, false);
		CHECK_SYS(kill(sleeper, SIGCONT));
		expect_done(1, round);
		CHECK_EQ(atomic_load(&reports->died), 1);
		test_kill(sleeper);
		kill_namespace(second);
	}
	stoa_segment_close(segment);
}

#ifdef STOA_MUTANTS
uint64_t mutants_chosen = MUTANT_BIT(MUTANT_NO_GENERATION_SLEEP);

TEST_DEFINE(namesake_not_told_apart, 120, false, LOST)
{
	namesake(1000);
}
#else
TEST_TIMEOUT(namesake_in_the_slot, 120)
{
	namesake(test_rounds(6, 400));
}
#endif
