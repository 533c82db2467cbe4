/* SPDX-License-Identifier: MIT */
/*
 * The stepper proves itself: operations with a planted bug, where it must find the one place that gives them away, and the same
 * operations done right. Uses the harness, the stepper and raw futexes; nothing of the library.
 */
#include <harness/test.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <stepper/stepper.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DATA UINT32_C(0x12345678)

struct control {
	_Atomic uint32_t flag, data, waiting, woken;
	uint32_t padding[4];
	uint32_t work[256];
};

static const struct step_settings settings = {.names = "/dev/shm",
					      .limit = UINT64_C(5000000000),
					      .every_below = 1000,
					      .inside = 3,
					      .failures_max = 1,
					      .seed = 1};

static struct control *control(const struct step_world *world)
{
	return world->control;
}

/* Prove, and fail with the stepper's message when it does not hold. */
static struct step_report prove(const struct step_operation *operation, const struct step_settings *how)
{
	struct step_report report;

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	step_prove(operation, how, &report);
	step_print(operation, &report);
	if (report.failures)
		test_fail(__FILE__, __LINE__, "%s: %s", operation->name, report.message);
	return report;
}

static int no_setup(struct step_world *world)
{
	(void)world;
	return 0;
}

/* ---- publishing: data first, then the flag ---- */

static int publish_verify(struct step_world *world)
{
	if (!atomic_load(&control(world)->flag))
		return 0;
	if (atomic_load(&control(world)->data) != DATA)
		return step_bad(world, "the flag is up and the data is not there");
	return 1;
}

static void publish_right(struct step_world *world)
{
	atomic_store(&control(world)->data, DATA);
	atomic_store(&control(world)->flag, 1);
}

static void publish_wrong(struct step_world *world)
{
	atomic_store(&control(world)->flag, 1);
	atomic_store(&control(world)->data, DATA);
}

TEST(publish_right_is_proved)
{
	static const struct step_operation operation = {.name = "publish",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = publish_right,
							.verify = publish_verify};
	struct step_report report = prove(&operation, &settings);

	CHECK(report.every);
	CHECK_EQ(report.kills, report.instructions + 1);
	CHECK_EQ(report.shared_changes, 2);
	CHECK_EQ(report.missed, 0);
	CHECK(report.outcomes[0] > 0 && report.outcomes[1] > 0);
}

TEST_MUST_FAIL(publish_wrong_is_found, "the flag is up and the data is not there")
{
	static const struct step_operation operation = {.name = "publish wrong",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = publish_wrong,
							.verify = publish_verify};

	prove(&operation, &settings);
}

/* ---- the same in a long operation, where only what matters is killed ---- */

static void busy_work(struct step_world *world)
{
	volatile uint32_t sum = 0;

	(void)world;
	for (uint32_t i = 0; i < 3000; i++)
		sum = sum + i;
}

static void long_right(struct step_world *world)
{
	busy_work(world);
	publish_right(world);
	busy_work(world);
}

static void long_wrong(struct step_world *world)
{
	busy_work(world);
	publish_wrong(world);
	busy_work(world);
}

TEST(long_operation_is_pruned)
{
	static const struct step_operation operation = {.name = "long publish",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = long_right,
							.verify = publish_verify};
	struct step_report report = prove(&operation, &settings);

	CHECK(!report.every);
	CHECK_INT(report.instructions, >, 10000);
	CHECK_EQ(report.interesting, 2);
	CHECK_INT(report.kills, <=, 6);
	CHECK_EQ(report.missed, 0);
}

TEST_MUST_FAIL(long_wrong_is_found, "the flag is up and the data is not there")
{
	static const struct step_operation operation = {.name = "long publish wrong",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = long_wrong,
							.verify = publish_verify};

	prove(&operation, &settings);
}

/* ---- an outcome that comes back ---- */

static void raise_and_lower(struct step_world *world)
{
	atomic_store(&control(world)->data, DATA);
	atomic_store(&control(world)->flag, 1);
	atomic_store(&control(world)->flag, 0);
	atomic_store(&control(world)->flag, 1);
}

TEST_MUST_FAIL(flicker_is_found, "the outcome is 'not yet', but it must be at least 'published'")
{
	static const struct step_operation operation = {.name = "flicker",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = raise_and_lower,
							.verify = publish_verify};

	prove(&operation, &settings);
}

/* ---- names: a file appears complete or not at all ---- */

static int name_verify(struct step_world *world)
{
	char path[300];
	struct stat file;

	snprintf(path, sizeof(path), "%s/%s", world->names, world->token);
	if (stat(path, &file))
		return errno == ENOENT ? 0 : step_bad(world, "stat failed");
	unlink(path);
	return file.st_size == 4 ? 1 : step_bad(world, "the name is there and the file is incomplete");
}

static void name_right(struct step_world *world)
{
	char path[300], link[64];
	int file = open(world->names, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (write(file, "data", 4) != 4)
		_exit(1);
	snprintf(path, sizeof(path), "%s/%s", world->names, world->token);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static void name_wrong(struct step_world *world)
{
	char path[300];
	int file;

	snprintf(path, sizeof(path), "%s/%s", world->names, world->token);
	file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (write(file, "data", 4) != 4)
		_exit(1);
}

TEST(name_right_is_proved)
{
	static const struct step_operation operation = {.name = "name",
							.outcome_names = {"absent", "complete"},
							.setup = no_setup,
							.operate = name_right,
							.verify = name_verify};
	struct step_report report = prove(&operation, &settings);

	CHECK_INT(report.name_changes, >=, 2);
	CHECK_EQ(report.system_calls, 3);
	CHECK_EQ(report.kills_inside, 9);
	CHECK(report.outcomes[0] > 0 && report.outcomes[1] > 0);
}

TEST_MUST_FAIL(name_wrong_is_found, "the name is there and the file is incomplete")
{
	static const struct step_operation operation = {.name = "name wrong",
							.outcome_names = {"absent", "complete"},
							.setup = no_setup,
							.operate = name_wrong,
							.verify = name_verify};

	prove(&operation, &settings);
}

/* ---- a setter killed between its store and its wake: the kernel's robust list can pass the wake on ---- */

static void wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void sleeper(struct step_world *world)
{
	atomic_store(&control(world)->waiting, 1);
	while (!(atomic_load(&control(world)->flag) & FUTEX_OWNER_DIED))
		syscall(SYS_futex, &control(world)->flag, FUTEX_WAIT, FUTEX_WAITERS, NULL, NULL, 0);
	atomic_store(&control(world)->woken, 1);
}

static int wake_setup(struct step_world *world)
{
	int helper;

	atomic_store(&control(world)->flag, FUTEX_WAITERS);
	helper = step_helper(world, sleeper);
	if (helper < 0 || !step_reaches(world, &control(world)->waiting, 1) ||
	    !step_asleep(world, world->helpers[helper]))
		return step_bad(world, "the sleeper does not sleep");
	return 0;
}

static void set_and_wake(struct step_world *world)
{
	atomic_store(&control(world)->flag, FUTEX_WAITERS | FUTEX_OWNER_DIED);
	wake_all(&control(world)->flag);
}

static void set_and_wake_covered(struct step_world *world)
{
	struct robust_list_head *head;
	size_t length;

	syscall(SYS_get_robust_list, 0, &head, &length);
	head->list_op_pending = (struct robust_list *)((char *)&control(world)->flag - head->futex_offset);
	cc_compiler_barrier();
	set_and_wake(world);
	cc_compiler_barrier();
	head->list_op_pending = NULL;
}

static int wake_verify(struct step_world *world)
{
	if (!(atomic_load(&control(world)->flag) & FUTEX_OWNER_DIED))
		return 0;
	return step_reaches(world, &control(world)->woken, 1) ? 1 : step_bad(world, "the sleeper sleeps on");
}

/* Whether this kernel does is the library's question; here both answers are seen by the stepper. */
TEST(covered_wake_is_proved)
{
	static const struct step_operation operation = {.name = "covered wake",
							.outcome_names = {"unset", "set"},
							.setup = wake_setup,
							.operate = set_and_wake_covered,
							.verify = wake_verify};
	struct step_report report = prove(&operation, &settings);

	CHECK_EQ(report.robust_changes, 2);
	CHECK(report.outcomes[1] > 0);
}

TEST_MUST_FAIL(bare_wake_is_found, "the sleeper sleeps on")
{
	static const struct step_operation operation = {.name = "bare wake",
							.outcome_names = {"unset", "set"},
							.setup = wake_setup,
							.operate = set_and_wake,
							.verify = wake_verify};
	struct step_settings soon = settings;

	soon.limit = 1000000000;
	prove(&operation, &soon);
}

/* ---- a victim that sleeps ---- */

static void sleep_then_publish(struct step_world *world)
{
	atomic_store(&control(world)->waiting, 1);
	while (!atomic_load(&control(world)->woken))
		syscall(SYS_futex, &control(world)->woken, FUTEX_WAIT, 0, NULL, NULL, 0);
	publish_right(world);
}

static void unblock(struct step_world *world)
{
	atomic_store(&control(world)->woken, 1);
	wake_all(&control(world)->woken);
}

TEST(sleeping_victim_is_woken)
{
	static const struct step_operation operation = {.name = "sleep",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = sleep_then_publish,
							.unblock = unblock,
							.verify = publish_verify};
	struct step_report report = prove(&operation, &settings);

	CHECK_EQ(report.missed, 0);
	CHECK(report.outcomes[0] > 0 && report.outcomes[1] > 0);
}

/* By another, who is slow to come to it. */
static void wake_late(struct step_world *world)
{
	_Atomic uint32_t *asked = world->hidden;

	while (!atomic_load(asked))
		usleep(200);
	usleep(100000);
	unblock(world);
}

static int late_setup(struct step_world *world)
{
	return step_helper(world, wake_late);
}

static void ask_to_be_woken(struct step_world *world)
{
	atomic_store((_Atomic uint32_t *)world->hidden, 1);
}

TEST(a_victim_that_is_woken_late_is_waited_for)
{
	static const struct step_operation operation = {.name = "sleep long",
							.outcome_names = {"not yet", "published"},
							.setup = late_setup,
							.operate = sleep_then_publish,
							.unblock = ask_to_be_woken,
							.verify = publish_verify,
							.unordered = true};
	struct step_settings few = settings;
	struct step_report report;

	few.every_below = 0;
	report = prove(&operation, &few);
	CHECK(report.outcomes[0] > 0 && report.outcomes[1] > 0);
}

static void do_nothing(struct step_world *world)
{
	(void)world;
}

TEST_MUST_FAIL(sleeper_that_nobody_wakes_is_found, "the victim sleeps and nothing will wake it")
{
	static const struct step_operation operation = {.name = "sleep in vain",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = sleep_then_publish,
							.unblock = do_nothing,
							.verify = publish_verify};
	struct step_settings soon = settings;

	soon.limit = 100000000;
	prove(&operation, &soon);
}

TEST_MUST_FAIL(sleeper_for_ever_is_found, "the victim sleeps and nothing will wake it")
{
	static const struct step_operation operation = {.name = "sleep for ever",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = sleep_then_publish,
							.verify = publish_verify};

	prove(&operation, &settings);
}

/* ---- checks that do not end, or crash ---- */

static int hang(struct step_world *world)
{
	while (!world->victim_ended || world->limit)
		pause();
	return 0;
}

static int crash(struct step_world *world)
{
	(void)world;
	abort();
}

TEST_MUST_FAIL(hanging_check_is_found, "something hangs")
{
	static const struct step_operation operation = {.name = "hang",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = publish_right,
							.verify = hang};
	struct step_settings soon = settings;

	soon.limit = 100000000;
	prove(&operation, &soon);
}

TEST_MUST_FAIL(crashing_check_is_found, "the check crashed")
{
	static const struct step_operation operation = {.name = "crash",
							.outcome_names = {"not yet", "published"},
							.setup = no_setup,
							.operate = publish_right,
							.verify = crash};

	prove(&operation, &settings);
}
