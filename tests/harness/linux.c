/* SPDX-License-Identifier: MIT */
/*
 * The Linux half of the test harness: isolated children, roles and leak checks, over libc and /proc.
 *
 * A privileged run gives each test a mount namespace with an empty /dev/shm, so every name left there is the test's. Others
 * share /dev/shm and recognise a test's names by what test_name() puts into them.
 */
#include <harness/harness.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const unsigned test_start_cost = 1;

static char dir[4096];
static bool own_names; /* /dev/shm is this test's alone */

/* ---- leaks ---- */

enum { DESCRIPTORS, NAMES, THREADS, MAPPINGS, KINDS };
static const char *const kinds[] = {"descriptor", "name", "thread", "mapping"};

struct holdings {
	unsigned count[KINDS];
	char example[KINDS][200];
};

static void count_paths(struct holdings *h, int kind, const char *pattern)
{
	glob_t found;

	if (glob(pattern, 0, NULL, &found) == 0) {
		h->count[kind] = (unsigned)found.gl_pathc;
		snprintf(h->example[kind], sizeof(h->example[kind]), "%s", found.gl_pathv[found.gl_pathc - 1]);
		globfree(&found);
	}
}

static void count_mappings(struct holdings *h)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/dev/shm/") || strstr(line, "/memfd:") || strstr(line, "stoa"))
			snprintf(h->example[MAPPINGS], sizeof(h->example[0]), "%.*s (%u)", (int)strcspn(line, "\n"),
				 line, ++h->count[MAPPINGS]);
	if (maps)
		fclose(maps);
}

static const char *names_pattern(void)
{
	static char pattern[64];

	snprintf(pattern, sizeof(pattern), "/dev/shm/stoa.*/*t%" PRIu32 "-*", atomic_load(&test_status->pid));
	return own_names ? "/dev/shm/stoa.*/*" : pattern;
}

static struct holdings take_stock(void)
{
	struct holdings h = {0};

	count_mappings(&h);
	count_paths(&h, NAMES, names_pattern());
	count_paths(&h, THREADS, "/proc/self/task/*");
	count_paths(&h, DESCRIPTORS, "/proc/self/fd/*");
	return h;
}

/* The first kind of thing that is more than before; false when there is none. */
static bool find_leak(const struct holdings *before, char *text, size_t size)
{
	struct holdings now = take_stock();
	/* A thread sanitizer has its own of the others. */
	int compared = STOA_SANITIZES_THREADS || test_roles_are_threads() ? THREADS : KINDS;

	text[0] = 0;
	if (waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0)
		snprintf(text, size, "leak: a child process is left, running or not waited for");
	for (int i = 0; i < compared && !text[0]; i++)
		if (now.count[i] > before->count[i])
			snprintf(text, size, "leak: %u %s(s), e.g. %s", now.count[i] - before->count[i], kinds[i],
				 now.example[i]);
	return text[0];
}

/* Helper threads may still be ending: look again for a while, 5 s on an idle machine. */
static void check_leaks(const struct holdings *before, bool foretold)
{
	char text[512];

	if (atomic_load(&test_status->leaks_ok))
		return;
	for (unsigned i = 0; find_leak(before, text, sizeof(text)); i++) {
		if (i == (foretold ? 50 : 2500)) {
			test_conclude(TEST_FAILED, NULL, 0, "%s", text);
			return;
		}
		test_nap(2);
	}
}

/* ---- one test ---- */

static volatile sig_atomic_t out_of_time;

static void on_signal(int signal)
{
	out_of_time = signal;
}

void system_child(int count, char **arguments)
{
	(void)count, (void)arguments;
}

void system_start(void)
{
	struct sigaction action = {.sa_handler = on_signal}; /* its return ends a wait */

	test_status = test_shared(sizeof(*test_status));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

noreturn void test_end(void)
{
	fflush(NULL);
	kill((pid_t)atomic_load(&test_status->pid), SIGKILL);
	kill(0, SIGKILL);
	_exit(1);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type, (void)place;
	return remove(path) && false;
}

static void name_dir(pid_t pid)
{
	const char *base = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.4000s/stoa-test-%d", base && !own_names ? base : "/dev/shm", (int)pid);
}

static void remove_dir(void)
{
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* What a test that failed has left where others see it. */
static void remove_names(void)
{
	glob_t found;

	if (glob(names_pattern(), 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		unlink(found.gl_pathv[i]);
	globfree(&found);
}

static void isolate(int output)
{
	struct rlimit no_core = {0, 0};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int number = 1; number < SIGRTMIN; number++)
		signal(number, SIG_DFL); /* nohup(1), or a shell, may have had some ignored */
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(null, 0);
	dup2(output, 1);
	dup2(output, 2);
	close(output);
	close(null);
	own_names = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
		    mount("test", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
	name_dir(getpid());
}

noreturn static void child(const struct test *test, int output)
{
	struct holdings before;

	isolate(output);
	atomic_store(&test_status->pid, (uint32_t)getpid());
	before = take_stock();
	test->body();
	fflush(NULL);
	remove_dir();
	check_leaks(&before, test->must_fail);
	test_conclude(TEST_PASSED, NULL, 0, "passed");
	exit(0);
}

/* Kill and reap everything the test has left, also what left its process group. */
static void sweep(pid_t pid)
{
	char path[64], text[16];
	FILE *children;

	kill(-pid, SIGKILL);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	for (int i = 0; i < 2500 && (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD); i++) {
		children = fopen(path, "re");
		while (children && fscanf(children, "%15s", text) == 1)
			kill((pid_t)strtol(text, NULL, 10), SIGKILL);
		if (children)
			fclose(children);
		test_nap(2);
	}
}

void system_run(const struct test *test, unsigned seconds, FILE **ret_output)
{
	int output = memfd_create("test-output", MFD_CLOEXEC);
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		child(test, output);
	setpgid(pid, pid);
	out_of_time = 0;
	alarm(seconds);
	while (pid > 0 && waitpid(pid, &status, 0) == -1 && !out_of_time)
		;
	alarm(0);
	if (pid < 0)
		test_conclude(TEST_FAILED, NULL, 0, "fork: %s", strerror(errno));
	else if (out_of_time)
		test_conclude(TEST_FAILED, NULL, 0, "hang: not finished after %u s", seconds);
	else if (WIFSIGNALED(status))
		test_conclude(TEST_FAILED, NULL, 0, "crash: killed by signal %d, %s", WTERMSIG(status),
			      strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0 && atomic_load(&test_status->state) == TEST_PASSED)
		atomic_store(&test_status->state, TEST_RUNNING); /* a sanitizer objected at exit */
	test_conclude(TEST_FAILED, NULL, 0, "ended early with exit status %d", WEXITSTATUS(status));
	if (pid > 0) {
		sweep(pid);
		name_dir(pid);
		remove_dir();
		remove_names();
	}
	if (out_of_time && out_of_time != SIGALRM)
		_exit(128 + out_of_time);
	*ret_output = fdopen(output, "r");
}

const char *test_dir(void)
{
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		test_fail(__FILE__, __LINE__, "%s: %s", dir, strerror(errno));
	return dir;
}

void *test_shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK_SYS((intptr_t)memory);
	return memory;
}

/* ---- roles ---- */

struct thread_role {
	pthread_t thread;
	void (*body)(void *argument);
	void *argument;
};
static struct thread_role thread_roles[64];
static unsigned thread_role_count;

static void *thread_role_main(void *role)
{
	((struct thread_role *)role)->body(((struct thread_role *)role)->argument);
	return NULL;
}

static pid_t start_thread(void (*body)(void *argument), void *argument)
{
	struct thread_role *role = &thread_roles[thread_role_count];

	CHECK(thread_role_count < CC_COUNT(thread_roles));
	*role = (struct thread_role){.body = body, .argument = argument};
	CHECK_EQ(pthread_create(&role->thread, NULL, thread_role_main, role), 0);
	return (pid_t)thread_role_count++;
}

pid_t test_role_start(const char *name, void (*body)(void *argument), void *argument)
{
	pid_t parent = getpid(), pid;

	if (test_roles_are_threads())
		return start_thread(body, argument);
	fflush(NULL);
	pid = fork();
	CHECK_SYS(pid);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, name);
	if (getppid() != parent)
		_exit(1);
	body(argument);
	fflush(NULL);
	_exit(0); /* not exit(): what it inherited is not its leak */
}

int test_join(pid_t role)
{
	int status;

	if (test_roles_are_threads()) {
		CHECK_EQ(pthread_join(thread_roles[role].thread, NULL), 0);
		return 0;
	}
	while (waitpid(role, &status, 0) == -1)
		CHECK_EQ(errno, EINTR);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void test_kill(pid_t role)
{
	if (test_roles_are_threads())
		SKIP("roles are threads, which cannot be killed");
	CHECK_SYS(kill(role, SIGKILL));
	test_join(role);
}

void test_await_sleep(pid_t role)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)role);
	for (test_nap(2); state != 'S' && !test_roles_are_threads(); test_nap(2)) {
		file = fopen(path, "re");
		if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			test_fail(__FILE__, __LINE__, "process %d is gone", (int)role);
		fclose(file);
	}
}

bool test_readable(intptr_t descriptor, int milliseconds)
{
	struct pollfd asked = {.fd = (int)descriptor, .events = POLLIN};

	return poll(&asked, 1, milliseconds) == 1;
}

void test_share_with(struct stoa_segment **segment, void (*after)(void),
		     int (*inherit)(struct stoa_segment *segment, char *token),
		     int (*adopt)(const char *token, struct stoa_segment **ret_segment))
{
	(void)segment, (void)after, (void)inherit, (void)adopt; /* fork has given roles all that */
}
