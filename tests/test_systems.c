/* SPDX-License-Identifier: MIT */
/*
 * One layout on two systems: this Linux process and a Windows process, under Wine, map the same files, at the same time. What the
 * Windows process does is in tests/systems/peer.c.
 *
 * Not a program of the harness, which ends whatever was started: Wine's server is also that of other tests.
 */
#include <systems/both.h>

#include <base/atomic.h>
#include <base/cc.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER "build-windows/tests/peer.exe"
#define SKIPPED 77

static struct stoa_segment *ours, *theirs;
static char directory[] = "/dev/shm/stoa-systems.XXXXXX", name[64];
static char linux_made[128], windows_made[128], raw_file[128];
static pid_t peer;

static void clean_up(void)
{
	stoa_segment_close(ours);
	stoa_segment_close(theirs);
	(void)unlink(windows_made);
	(void)unlink(raw_file);
	(void)rmdir(directory);
}

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	printf("not true: %s (%s)\n", what, stoa_error_detail());
	if (peer > 0)
		kill(peer, SIGKILL);
	clean_up();
	exit(1);
}

#define REQUIRE(condition) require((condition), #condition)

static void check(const char *wrong)
{
	require(!wrong, wrong ? wrong : "");
}

/* The path as Wine has it: its drive Z is this system's root. */
static const char *windows_path(const char *path, char text[160])
{
	snprintf(text, 160, "Z:%s", path);
	for (char *next = text; *next; next++)
		*next = *next == '/' ? '\\' : *next;
	return text;
}

static void start_peer(void)
{
	char text[3][160];

	peer = fork();
	require(peer >= 0, "fork");
	if (peer)
		return;
	/* Wine's server goes on for some seconds, for the next program: not in our group. */
	setsid();
	execl("scripts/wine", "scripts/wine", PEER, windows_path(linux_made, text[0]),
	      windows_path(windows_made, text[1]), windows_path(raw_file, text[2]), (char *)NULL);
	_exit(127);
}

static int peer_result(int flags)
{
	int status = 0;

	if (waitpid(peer, &status, flags) == 0)
		return -1;
	peer = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void await_turn(uint32_t turn)
{
	while (atomic_load(&both_of(ours)->turn) < turn) {
		require(peer_result(WNOHANG) == -1, "the Windows process goes on");
		usleep(1000);
	}
}

static void pass_turn(uint32_t turn)
{
	atomic_store(&both_of(ours)->turn, turn);
}

/* A segment that has a name is a file. */
static void make_ours(void)
{
	struct stoa_segment_options options = {.commit = BOTH_COMMIT, .roster_slots = 300};

	REQUIRE(mkdtemp(directory));
	snprintf(windows_made, sizeof(windows_made), "%s/windows.seg", directory);
	snprintf(raw_file, sizeof(raw_file), "%s/raw", directory);
	snprintf(name, sizeof(name), "test.systems.%ld", (long)getpid());
	snprintf(linux_made, sizeof(linux_made), "/dev/shm/stoa.%u/%s.seg", (unsigned)getuid(), name);
	REQUIRE(stoa_segment_create(name, BOTH_RESERVE, &options, &ours) == 0);
	REQUIRE(access(linux_made, R_OK | W_OK) == 0);
	check(both_change(ours, 1));
}

static void count(void)
{
	const uint64_t sum = UINT64_C(2) * BOTH_ROUNDS;

	pass_turn(2);
	both_count(both_of(ours));
	both_count(both_of(theirs));
	await_turn(3);
	REQUIRE(load_rlx(&both_of(ours)->added) == sum && load_rlx(&both_of(ours)->swapped) == sum);
	REQUIRE(load_rlx(&both_of(theirs)->added) == sum && load_rlx(&both_of(theirs)->swapped) == sum);
}

static void commit(void)
{
	unsigned char *bytes = stoa_segment_address(ours);

	pass_turn(4);
	check(both_grow(ours, stoa_segment_commit));
	bytes[BOTH_RESERVE - 1] = 41;
	pass_turn(5);
	check(both_follow(theirs));
	await_turn(6);
	REQUIRE(bytes[BOTH_RESERVE - 1] == 42);
	REQUIRE(stoa_segment_committed(theirs) == BOTH_RESERVE);
	bytes = stoa_segment_address(theirs);
	REQUIRE(bytes[BOTH_RESERVE - 1] == 43);
}

static void use_at_once(void)
{
	pass_turn(7);
	check(both_toil(ours));
	check(both_watch(theirs));
	await_turn(8);
}

static void check_raw(void)
{
	struct stoa_segment *raw;
	struct stat status;

	REQUIRE(stat(raw_file, &status) == 0 && status.st_size == BOTH_BYTES);
	REQUIRE(stoa_segment_file(raw_file, BOTH_RESERVE, NULL, &raw) == 0);
	REQUIRE(stoa_segment_committed(raw) == BOTH_BYTES);
	REQUIRE(strcmp(stoa_segment_address(raw), "from Windows") == 0);
	stoa_segment_close(raw);
}

int main(void)
{
	const char *wine = getenv("STOA_WINE");

	if (access(PEER, X_OK) != 0 || access(wine ? wine : "/usr/lib/wine/wine64", X_OK) != 0) {
		puts("no Windows build in build-windows, or no Wine: make build-windows");
		return SKIPPED;
	}
	alarm(120);
	make_ours();
	start_peer();
	await_turn(1);
	REQUIRE(both_open(windows_made, &theirs) == 0);
	check(both_check(theirs, 1));
	check(both_change(ours, 2));
	count();
	check(both_check(theirs, 2));
	commit();
	use_at_once();
	check_raw();
	pass_turn(9);
	REQUIRE(peer_result(0) == 0);
	clean_up();
	return 0;
}
