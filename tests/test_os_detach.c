/* SPDX-License-Identifier: MIT */
/*
 * A process of its own (os_process_detach()): what it has of the program that it comes from, and what not. It tells by messages, as all it shares
 * with its test is a socket.
 */
#include <harness/test.h>
#include <os/local.h>

#include <base/error.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE ((size_t)64 << 20)

struct report {
	pid_t process, session, group;
	unsigned descriptors; /* below 1024 */
	unsigned shared_maps;
	uint64_t private_bytes; /* of nobody's file */
	int handled_signals, ignored_signals, blocked_signals;
	char name[16], directory[64];
	bool null[3];
	bool says_nothing;
	unsigned char argument;
};

static bool leads_to_null(int fd)
{
	char path[64], target[32] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && !strcmp(target, "/dev/null");
}

/* Whole, without the heap. */
static void read_maps(struct report *report)
{
	static char text[1 << 20];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	while ((got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	text[used] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		unsigned long long start, end, inode;
		char rights[5], rest[2] = "";

		if (sscanf(line, "%llx-%llx %4s %*s %*s %llu %1s", &start, &end, rights, &inode, rest) < 4)
			continue;
		report->shared_maps += rights[3] == 's';
		report->private_bytes += inode == 0 && rest[0] != '[' ? end - start : 0;
	}
}

static void read_signals(struct report *report)
{
	struct sigaction action;
	sigset_t blocked;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	for (int number = 1; number < 32; number++) {
		if (sigaction(number, NULL, &action) < 0)
			continue;
		report->ignored_signals += action.sa_handler == SIG_IGN;
		report->handled_signals += action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL;
		report->blocked_signals += sigismember(&blocked, number);
	}
}

static void tell(void *argument, const os_handle *handles)
{
	struct report report = {
		.process = getpid(), .session = getsid(0), .group = getpgid(0), .argument = *(unsigned char *)argument};
	uint32_t ready;

	for (int fd = 0; fd < 1024; fd++)
		report.descriptors += fcntl(fd, F_GETFD) >= 0;
	for (int fd = 0; fd < 3; fd++)
		report.null[fd] = leads_to_null(fd);
	prctl(PR_GET_NAME, report.name);
	if (!getcwd(report.directory, sizeof(report.directory)))
		_exit(1);
	read_maps(&report);
	read_signals(&report);
	report.says_nothing = error_set(-STOA_EBUSY, "not this") == -STOA_EBUSY && !strstr(stoa_error_detail(), "this");
	os_local_send(handles[0], &report, sizeof(report), NULL, 0);
	os_wait_readable(handles, 1, UINT64_MAX, &ready); /* until told, or left alone */
}

static void hear(os_handle socket, struct report *report)
{
	size_t length;
	uint32_t ready;

	CHECK_RC(os_wait_readable(&socket, 1, UINT64_MAX, &ready), 0);
	CHECK_RC(os_local_receive(socket, report, sizeof(*report), &length, NULL, 0, NULL), 0);
	CHECK_EQ(length, sizeof(*report));
}

/* It is a child of the harness's by now. */
static int reap(pid_t process)
{
	int status;

	CHECK_EQ(waitpid(process, &status, 0), process);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void check_report(const struct report *report)
{
	CHECK_EQ(report->argument, 42);
	CHECK_EQ(report->descriptors, 4);
	CHECK(report->null[0] && report->null[1] && report->null[2]);
	CHECK_STR(report->name, "a-test's-own");
	CHECK_STR(report->directory, "/");
	CHECK_EQ(report->handled_signals, 0);
	CHECK_EQ(report->ignored_signals, 4);
	CHECK_EQ(report->blocked_signals, 0);
	CHECK_EQ(report->shared_maps, 0);
	CHECK(CC_WATCHED || report->private_bytes < LARGE / 4);
	CHECK(report->session != getsid(0) && report->session != report->process);
	CHECK_EQ(report->group, report->session);
	CHECK(report->says_nothing);
}

static int detach(os_handle socket)
{
	const unsigned char argument = 42;

	return os_process_detach("a-test's-own", tell, &argument, 1, &socket, 1);
}

static void on_signal(int number)
{
	(void)number;
}

static _Atomic unsigned child_signals, forks_handled;

static void on_child(int number)
{
	(void)number;
	atomic_fetch_add(&child_signals, 1);
}

static void on_fork(void)
{
	atomic_fetch_add(&forks_handled, 1);
}

/* What a program may have that a process of its own must not. */
static void have_much(os_handle *ret_memory, void **ret_private)
{
	struct sigaction action = {.sa_handler = on_signal};
	void *shared, *private = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(private != MAP_FAILED);
	memset(private, 1, LARGE);
	CHECK_SYS(sigaction(SIGUSR1, &action, NULL));
	CHECK_SYS(sigaction(SIGTERM, &action, NULL));
	action.sa_handler = SIG_IGN;
	CHECK_SYS(sigaction(SIGUSR2, &action, NULL));
	action.sa_handler = on_child;
	CHECK_SYS(sigaction(SIGCHLD, &action, NULL));
	CHECK_RC(os_memory_create(LARGE, 0, ret_memory), 0);
	CHECK_RC(os_memory_set_length(*ret_memory, LARGE), 0);
	CHECK_RC(os_map(*ret_memory, 0, LARGE, OS_READ | OS_WRITE, &shared), 0);
	CHECK_RC(os_unmap(shared, LARGE / 2), 0);
	*ret_private = private;
}

TEST(a_process_of_its_own_has_nothing_but_what_it_was_given)
{
	os_handle ends[2], memory;
	struct report report;
	void *private;

	have_much(&memory, &private);
	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(detach(ends[1]), 0);
	os_handle_close(ends[1]);
	hear(ends[0], &report);
	check_report(&report);
	CHECK_EQ(atomic_load(&child_signals), 0);
	os_handle_close(ends[0]);
	CHECK_EQ(reap(report.process), 0);
	os_handle_close(memory);
	munmap(private, LARGE);
	TEST_LEAKS_OK("half of a map is still there");
}

TEST(it_may_come_from_any_thread_while_others_use_the_heap)
{
	os_handle ends[2];
	struct report report;
	void *argument[1];

	argument[0] = NULL;
	CHECK_SYS(pthread_atfork(on_fork, on_fork, on_fork));
	for (unsigned i = 0; i < test_rounds(20, 500); i++) {
		CHECK_RC(os_local_pair(ends), 0);
		CHECK_RC(detach(ends[1]), 0);
		os_handle_close(ends[1]);
		hear(ends[0], &report);
		check_report(&report);
		os_handle_close(ends[0]);
		CHECK_EQ(reap(report.process), 0);
		CHECK_EQ(atomic_load(&forks_handled), 0);
		free(argument[0]);
		argument[0] = malloc(100);
	}
	free(argument[0]);
}

struct noise {
	_Atomic bool stop;
	os_handle end;
	int result;
};

static void *make_noise(void *argument)
{
	struct noise *noise = argument;

	while (!atomic_load(&noise->stop)) {
		char *text = malloc(3000);

		snprintf(text, 3000, "%s", strerror(1000));
		free(text);
	}
	return NULL;
}

static void *detach_in_thread(void *argument)
{
	struct noise *noise = argument;

	noise->result = detach(noise->end);
	return NULL;
}

TEST(it_comes_out_of_a_program_of_many_threads)
{
	struct noise noise = {.stop = false};
	pthread_t noisy[3], one;
	struct report report;
	os_handle ends[2];

	for (unsigned i = 0; i < CC_COUNT(noisy); i++)
		CHECK_EQ(pthread_create(&noisy[i], NULL, make_noise, &noise), 0);
	for (unsigned i = 0; i < test_rounds(20, 500); i++) {
		CHECK_RC(os_local_pair(ends), 0);
		noise.end = ends[1];
		CHECK_EQ(pthread_create(&one, NULL, detach_in_thread, &noise), 0);
		CHECK_EQ(pthread_join(one, NULL), 0);
		CHECK_RC(noise.result, 0);
		os_handle_close(ends[1]);
		hear(ends[0], &report);
		check_report(&report);
		os_handle_close(ends[0]);
		CHECK_EQ(reap(report.process), 0);
	}
	atomic_store(&noise.stop, true);
	for (unsigned i = 0; i < CC_COUNT(noisy); i++)
		CHECK_EQ(pthread_join(noisy[i], NULL), 0);
}

TEST(it_outlives_the_terminals_signals_and_ends_by_sigterm)
{
	static const int ignored[] = {SIGINT, SIGHUP, SIGQUIT, SIGPIPE};
	os_handle ends[2];
	struct report report;
	uint32_t ready;

	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(detach(ends[1]), 0);
	os_handle_close(ends[1]);
	hear(ends[0], &report);
	for (size_t i = 0; i < CC_COUNT(ignored); i++)
		CHECK_SYS(kill(report.process, ignored[i]));
	CHECK_RC(os_wait_readable(ends, 1, os_now() + UINT64_C(20000000), &ready), STOA_TIMED_OUT);
	CHECK_SYS(kill(report.process, SIGTERM));
	CHECK_EQ(reap(report.process), -SIGTERM);
	os_handle_close(ends[0]);
}

static void detach_and_pause(void *argument)
{
	const os_handle *ends = argument;

	CHECK_RC(detach(ends[1]), 0);
	os_handle_close(ends[1]);
	test_pause();
}

TEST(it_outlives_who_made_it)
{
	os_handle *ends = test_shared(2 * sizeof(*ends));
	struct report report;
	uint32_t ready;
	pid_t role;

	CHECK_RC(os_local_pair(ends), 0);
	role = test_role(detach_and_pause, ends);
	os_handle_close(ends[1]);
	hear(ends[0], &report);
	test_kill(role);
	CHECK_RC(os_wait_readable(ends, 1, os_now() + UINT64_C(20000000), &ready), STOA_TIMED_OUT);
	CHECK_SYS(kill(report.process, 0));
	os_handle_close(ends[0]);
	CHECK_EQ(reap(report.process), 0);
}

/* Descriptors of the lowest numbers are given, where /dev/null is to be. */
static void detach_without_stdio(void *argument)
{
	const os_handle *ends = argument;

	CHECK_EQ(dup2((int)ends[1], 0), 0);
	close(1);
	close(2);
	CHECK_RC(detach(0), 0);
}

TEST(it_comes_out_of_a_program_without_standard_descriptors)
{
	os_handle *ends = test_shared(2 * sizeof(*ends));
	struct report report;

	CHECK_RC(os_local_pair(ends), 0);
	CHECK_EQ(test_join(test_role(detach_without_stdio, ends)), 0);
	os_handle_close(ends[1]);
	hear(ends[0], &report);
	check_report(&report);
	os_handle_close(ends[0]);
	CHECK_EQ(reap(report.process), 0);
}

static void detach_too_many(void *unused)
{
	const struct rlimit none = {0, 0};
	os_handle ends[2];

	(void)unused;
	CHECK_SYS(setresuid(54322, 54322, 54322));
	CHECK_SYS(setrlimit(RLIMIT_NPROC, &none));
	CHECK_RC(os_local_pair(ends), 0);
	CHECK_RC(detach(ends[1]), -STOA_ELIMIT);
	CHECK(strstr(stoa_error_detail(), "own"));
}

TEST(no_more_processes_is_an_error)
{
	if (geteuid() != 0)
		SKIP("another user needs root");
	CHECK_EQ(test_join(test_role(detach_too_many, NULL)), 0);
}

static void allow_and_count(void *unused)
{
	struct rlimit limit = {20, 30};

	(void)unused;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(os_handles_allow(), 30);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(limit.rlim_cur, 30);
}

TEST(handles_are_allowed_up_to_the_hard_limit)
{
	CHECK_EQ(test_join(test_role(allow_and_count, NULL)), 0);
}
