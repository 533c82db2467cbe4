/* SPDX-License-Identifier: MIT */
/*
 * Running out: a full file system, RLIMIT_FSIZE, memory groups, the host. Each must be an error from commit, in every
 * process, and never a signal, neither then nor at a later touch. And many processes that commit at once.
 */
#include <segment/linux.h>

#include <base/error.h>
#include <os/linux/limits.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>

/* A small /dev/shm for this test alone. */
static void make_shm(const char *size)
{
	need_root("a small file system");
	if (mount("test", "/dev/shm", "tmpfs", MS_REMOUNT, size) != 0)
		SKIP("no mount namespace to make /dev/shm small in: %s", strerror(errno));
}

static void small_shm(void)
{
	make_shm("size=2m");
}

static void touch_all(struct stoa_segment *segment, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += PAGE)
		bytes_of(segment)[at] = 1;
}

static void meet_a_full_system(void *argument)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_open(argument, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, 3 * MIB), -STOA_ENOMEM);
	CHECK_RC(stoa_segment_commit(segment, 64 * MIB), -STOA_ENOMEM);
	CHECK_EQ(stoa_segment_committed(segment), MIB);
	touch_all(segment, MIB);
	CHECK_EQ(touch(bytes_of(segment) + MIB), SIGBUS);
	stoa_segment_close(segment);
}

TEST(a_full_file_system_is_an_error_in_every_process)
{
	struct stoa_segment_options options = {.commit = MIB};
	struct stoa_segment *segment, *other = NULL;
	char name[] = "full";

	small_shm();
	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(test_join(test_role(meet_a_full_system, name)), 0);
	CHECK_RC(stoa_segment_commit(segment, 3 * MIB), -STOA_ENOMEM);
	check_detail("2MiB more do not fit: the file system of '/dev/shm/stoa.0' has ");
	check_detail("stoa ls");
	options.commit = 2 * MIB;
	CHECK_RC(stoa_segment_create("second", GIB, &options, &other), -STOA_ENOMEM);
	CHECK(other == NULL);
	CHECK_EQ(access("/dev/shm/stoa.0/second.seg", F_OK), -1);
	touch_all(segment, MIB);
	stoa_segment_close(segment);
}

TEST(a_file_system_without_inodes_says_what_to_do)
{
	struct stoa_segment *segment = NULL;

	make_shm("nr_inodes=1");
	CHECK_RC(stoa_segment_create("none", GIB, NULL, &segment), -STOA_ENOMEM);
	check_detail("df -i");
	CHECK(segment == NULL);
}

/* Some of the steps would succeed: nothing of it may stay, nor the space be taken from others for nothing. */
TEST(what_does_not_fit_takes_nothing)
{
	struct stoa_segment_options options = {.commit = MIB};
	struct stoa_segment *segment;

	make_shm("size=16m");
	CHECK_RC(stoa_segment_create("large", GIB, &options, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, 64 * MIB), -STOA_ENOMEM);
	check_detail("left");
	CHECK_EQ(stoa_segment_committed(segment), MIB);
	CHECK_RC(stoa_segment_commit(segment, 12 * MIB), 0);
	stoa_segment_close(segment);
}

/* Each takes single pages until there are none: all that was committed must be there. */
static void take_pages_of(void *argument)
{
	struct stoa_segment *segment;
	uint64_t length = 0;
	int rc = stoa_segment_create(argument, GIB, NULL, &segment);

	if (rc == -STOA_ENOMEM) /* the others were quicker */
		return;
	CHECK_RC(rc, 0);
	while (stoa_segment_commit(segment, length + PAGE) == 0)
		length += PAGE;
	CHECK_RC(stoa_segment_commit(segment, length + PAGE), -STOA_ENOMEM);
	check_detail("4KiB more do not fit: the file system of '/dev/shm/stoa.0' has 0B left");
	touch_all(segment, length);
	CHECK_EQ(touch(bytes_of(segment) + length), SIGBUS);
	stoa_segment_close(segment);
}

TEST(racing_for_the_last_page)
{
	static char names[4][8] = {"a", "b", "c", "d"};
	pid_t roles[4];

	small_shm();
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(take_pages_of, names[i]);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	if (geteuid() != 0)
		limit.rlim_max = bytes;
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &limit));
	signal(SIGXFSZ, SIG_DFL);
}

static void meet_the_file_limit(void *argument)
{
	struct stoa_segment *segment = argument, *other = NULL;
	struct stoa_segment_options raw = {.flags = STOA_RAW}, large = {.commit = 10 * MIB};

	limit_files(5 * MIB); /* the header and the roster take 4 MiB of offsets */
	CHECK_RC(stoa_segment_commit(segment, MIB), 0);
	CHECK_RC(stoa_segment_commit(segment, MIB + 1), -STOA_ELIMIT);
	check_detail("1028KiB of data behind 4MiB for the header and the roster: ");
	check_detail("RLIMIT_FSIZE");
	CHECK_RC(stoa_segment_commit(segment, 64 * MIB), -STOA_ELIMIT);
	CHECK_EQ(stoa_segment_committed(segment), MIB);
	limit_files(MIB);
	CHECK_RC(stoa_segment_create(NULL, GIB, &large, &other), -STOA_ELIMIT);
	check_detail("10MiB of data behind 4MiB for the header and the roster: the memory object would have 14MiB,");
	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &other), -STOA_ELIMIT);
	check_detail("RLIMIT_FSIZE");
	CHECK_RC(stoa_segment_create(test_name("f"), GIB, NULL, &other), -STOA_ELIMIT);
	CHECK(other == NULL);
	CHECK_RC(stoa_segment_create(NULL, GIB, &raw, &other), 0);
	CHECK_RC(stoa_segment_commit(other, MIB), 0);
	CHECK_RC(stoa_segment_commit(other, 2 * MIB), -STOA_ELIMIT);
	stoa_segment_close(other);
	limit_files(0);
	CHECK_RC(stoa_segment_create(test_name("f"), GIB, &raw, &other), -STOA_ELIMIT);
}

TEST(a_file_size_limit_is_an_error_and_no_signal)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), 0);
	test_name("f");
	CHECK_EQ(test_join(test_role(meet_the_file_limit, segment)), 0);
	/* The limit was that process's own: here it goes on, and there what we commit can be used. */
	CHECK_RC(stoa_segment_commit(segment, 2 * MIB), 0);
	touch_all(segment, 2 * MIB);
	stoa_segment_close(segment);
}

/* ---- memory groups ---- */

static char group[512];

static void remove_group(void)
{
	for (unsigned i = 0; i < 200 && rmdir(group) != 0 && errno == EBUSY; i++)
		usleep(10000);
}

/* Make a group of 32 MiB under ours, of whichever version is there. */
static void make_group(void)
{
	static const struct {
		const char *tree, *own, *limit;
	} versions[] = {{"/sys/fs/cgroup/memory", ":memory:", "memory.limit_in_bytes"},
			{"/sys/fs/cgroup", "0::", "memory.max"}};
	char list[4096] = "", path[600], *own;
	int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);

	need_root("a memory group");
	CHECK_SYS(read(fd, list, sizeof(list) - 1));
	close(fd);
	for (size_t i = 0; i < CC_COUNT(versions); i++) {
		own = strstr(list, versions[i].own);
		if (!own)
			continue;
		own += strlen(versions[i].own);
		snprintf(group, sizeof(group), "%s%.*s/stoa-test-%d", versions[i].tree, (int)strcspn(own, "\n"),
			 strcmp(own, "/") ? own : "", getpid());
		if (mkdir(group, 0755) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", group, versions[i].limit);
		if (access(path, W_OK) == 0) {
			write_text(path, "33554432");
			return;
		}
		remove_group();
	}
	SKIP("no memory group can be made here: %s", strerror(errno));
}

static void join_group(void)
{
	char path[600], text[32];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	snprintf(text, sizeof(text), "%d", getpid());
	write_text(path, text);
}

static void meet_the_group_limit(void *argument)
{
	struct stoa_segment *segment = argument;
	uint64_t length = 0;

	join_group();
	CHECK_RC(stoa_segment_commit(segment, 64 * MIB), -STOA_ENOMEM);
	check_detail("memory group");
	CHECK_EQ(stoa_segment_committed(segment), 0);
	while (stoa_segment_commit(segment, length + 16 * PAGE) == 0)
		length += 16 * PAGE;
	check_detail("memory group");
	CHECK_INT(length, >=, 24 * MIB);
	touch_all(segment, length);
	CHECK_EQ(stoa_segment_committed(segment), length);
}

TEST(a_group_limit_is_an_error_and_no_kill)
{
	struct stoa_segment *segment;
	int status;

	make_group();
	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), 0);
	status = test_join(test_role(meet_the_group_limit, segment));
	stoa_segment_close(segment);
	remove_group();
	CHECK_EQ(status, 0);
}

/* Pages that another process paid for are not counted against this one's group. */
static void use_what_is_there(void *argument)
{
	struct stoa_segment *segment;

	join_group();
	CHECK_RC(stoa_segment_open(argument, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, 48 * MIB), 0);
	stoa_segment_close(segment);
}

TEST(memory_that_others_committed_needs_no_room)
{
	struct stoa_segment_options options = {.commit = 48 * MIB};
	struct stoa_segment *segment;
	char name[128];
	int status;

	make_group();
	snprintf(name, sizeof(name), "%s", test_name("there"));
	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	status = test_join(test_role(use_what_is_there, name));
	stoa_segment_close(segment);
	remove_group();
	CHECK_EQ(status, 0);
}

static void put(const char *file, const char *text)
{
	char path[600], *slash;

	snprintf(path, sizeof(path), "%s/%s", test_dir(), file);
	for (slash = path + strlen(test_dir()) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = 0;
		mkdir(path, 0700);
	}
	write_text(path, text);
}

static uint64_t room_in(const char *list, uint64_t swap)
{
	struct limits_room room;
	char path[600];

	put("list", list);
	snprintf(path, sizeof(path), "%s/list", test_dir());
	limits_group_room(path, test_dir(), swap, &room);
	CHECK_SYS(unlink(path));
	return room.bytes;
}

/* Trees of both versions, made of plain files: what limits is the least along the way up, less what can be dropped. */
TEST(group_trees_are_read_right)
{
	CHECK_EQ(room_in("0::/nowhere\n", 0), UINT64_MAX);
	CHECK_EQ(room_in("", 0), UINT64_MAX);
	CHECK_EQ(room_in("nonsense\n:\n", 0), UINT64_MAX);
	put("a/memory.max", "max\n");
	put("a/b/memory.max", "1000\n");
	put("a/b/memory.current", "400\n");
	put("a/b/c/memory.max", "5000\n");
	put("a/b/c/memory.current", "100\n");
	CHECK_EQ(room_in("0::/a\n", 0), UINT64_MAX);
	CHECK_EQ(room_in("0::/a/b\n", 0), 600);
	CHECK_EQ(room_in("0::/a/b/c\n", 0), 600);
	CHECK_EQ(room_in("0::/a/b/c\n", 70), 670);
	put("a/b/memory.swap.max", "50");
	put("a/b/memory.swap.current", "20");
	CHECK_EQ(room_in("0::/a/b/c\n", 70), 630);
	put("a/b/memory.stat", "anon 7\ninactive_file 11\nactive_file 8\nslab 3\n");
	CHECK_EQ(room_in("1:name=systemd:/x\n0::/a/b\n", 0), 615);

	put("memory/v1/memory.limit_in_bytes", "2000\n");
	put("memory/v1/memory.usage_in_bytes", "1990\n");
	CHECK_EQ(room_in("4:cpu,memory:/v1\n", 0), 10);
	put("memory/v1/memory.stat", "total_inactive_file 100\ntotal_active_file 20\n");
	CHECK_EQ(room_in("4:memory:/v1/deeper\n0::/a/b\n", 0), 120);
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	CHECK_EQ(room_in("4:memory:/\n", 0), UINT64_MAX);
}

TEST(the_hosts_memory_is_read_right)
{
	struct limits_room room;
	uint64_t swap;
	char path[600];

	put("meminfo", "MemTotal: 100 kB\nMemAvailable:   40 kB\nSwapFree: 2 kB\n");
	snprintf(path, sizeof(path), "%s/meminfo", test_dir());
	limits_host_room(path, &room, &swap);
	CHECK_EQ(room.bytes, 42 * 1024);
	CHECK_EQ(swap, 2 * 1024);
	put("meminfo", "MemTotal: 100 kB\nMemAvailable:    0 kB\nSwapFree: 0 kB\n");
	limits_host_room(path, &room, &swap);
	CHECK_EQ(room.bytes, 0);
	CHECK_SYS(unlink(path));
	put("meminfo", "MemTotal: 100 kB\n"); /* kernels that do not say */
	limits_host_room(path, &room, &swap);
	CHECK_EQ(room.bytes, UINT64_MAX);
	limits_host_room("/nowhere", &room, &swap);
	CHECK_EQ(room.bytes, UINT64_MAX);
	limits_host_room("/proc/meminfo", &room, &swap);
	CHECK_INT(room.bytes, >, MIB);
}

TEST(more_than_the_host_has)
{
	struct stoa_segment *segment;

	need_room(STOA_RESERVE_MAX);
	CHECK_RC(stoa_segment_create(NULL, STOA_RESERVE_MAX, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, STOA_RESERVE_MAX), -STOA_ENOMEM);
	CHECK_EQ(stoa_segment_committed(segment), 0);
	stoa_segment_close(segment);
}

/* ---- segments that one thread takes part in ---- */

#define MEMBERSHIPS 1024

static struct stoa_segment *joined[MEMBERSHIPS + 1];

static int join_one(unsigned which)
{
	return stoa_mutex_lock(joined[which], stoa_segment_address(joined[which]), STOA_TRY);
}

/* Killed with a lock in each that it may take part in. */
static void join_as_many_as_can_be(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < MEMBERSHIPS; i++)
		CHECK_RC(join_one(i), 0);
	CHECK_RC(join_one(MEMBERSHIPS), -STOA_ELIMIT);
	check_detail("1024");
	stoa_segment_close(joined[0]);
	CHECK_RC(join_one(MEMBERSHIPS), 0);
	raise(SIGKILL);
}

/* More than these the kernel might not mark at its death, and the locks would stay held for ever. */
TEST(a_thread_takes_part_in_1024_segments_and_no_more)
{
	struct stoa_segment_options options = {.commit = PAGE, .roster_slots = 2};
	struct rlimit limit;

	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < 4 * MEMBERSHIPS)
		SKIP("%llu descriptors are too few", (unsigned long long)limit.rlim_max);
	for (unsigned i = 0; i <= MEMBERSHIPS; i++) {
		CHECK_RC(stoa_segment_create(NULL, PAGE, &options, &joined[i]), 0);
		CHECK_RC(stoa_mutex_init(joined[i], stoa_segment_address(joined[i]), 0), 0);
	}
	CHECK_EQ(test_join(test_role(join_as_many_as_can_be, NULL)), -SIGKILL);
	for (unsigned i = 0; i <= MEMBERSHIPS; i++) {
		CHECK_RC(join_one(i), STOA_OWNER_DIED);
		stoa_segment_close(joined[i]);
	}
}

/* ---- many at once ---- */

static uint64_t seed;

static void commit_upwards(void *argument)
{
	struct stoa_segment *segment = argument;
	uint64_t random = seed ^ (uint64_t)getpid() << 32, wanted = 0, seen = 0;

	while (wanted < 24 * MIB) {
		wanted += test_random(&random) % (512 * 1024) + 1;
		CHECK_RC(stoa_segment_commit(segment, wanted), 0);
		CHECK_INT(stoa_segment_committed(segment), >=, seen);
		seen = stoa_segment_committed(segment);
		CHECK_INT(seen, >=, wanted);
		bytes_of(segment)[wanted - 1]++;
		bytes_of(segment)[test_random(&random) % seen]++;
	}
}

static void commit_with_eight(const char *name)
{
	struct stoa_segment *segment;
	pid_t roles[8];

	CHECK_RC(stoa_segment_create(name, GIB, NULL, &segment), 0);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(commit_upwards, segment);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_INT(blocks(segment), >=, stoa_segment_committed(segment));
	stoa_segment_close(segment);
}

TEST_TIMEOUT(eight_processes_commit_at_once, 60)
{
	seed = test_seed();
	commit_with_eight(NULL);
	commit_with_eight(test_name("eight"));
}

static void on_alarm(int number)
{
	(void)number;
}

TEST(signals_do_not_stop_a_commit)
{
	struct itimerval fast = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), 0);
	signal(SIGALRM, on_alarm);
	CHECK_SYS(setitimer(ITIMER_REAL, &fast, NULL));
	CHECK_RC(stoa_segment_commit(segment, 64 * MIB), 0);
	CHECK_SYS(setitimer(ITIMER_REAL, &off, NULL));
	CHECK_EQ(blocks(segment), 64 * MIB + PAGE);
	stoa_segment_close(segment);
}

static void out_of_descriptors(void *argument)
{
	struct rlimit limit = {64, 64};
	struct stoa_segment *segment = NULL;
	struct stoa_process *process;

	(void)argument;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	while (dup(0) >= 0)
		;
	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), -STOA_ELIMIT);
	check_detail("ulimit -n");
	CHECK_RC(stoa_segment_open("x", NULL, &segment), -STOA_ELIMIT);
	check_detail("ulimit -n");
	CHECK_RC(stoa_process_open(getppid(), &process), -STOA_ELIMIT);
	check_detail("ulimit -n");
	CHECK(segment == NULL);
	_exit(0); /* a leak checker at exit would need descriptors */
}

TEST(out_of_descriptors_is_an_error)
{
	CHECK_EQ(test_join(test_role(out_of_descriptors, NULL)), 0);
}

static void out_of_addresses(void *argument)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	struct stoa_segment *segment = NULL;
	struct rlimit limit;

	(void)argument;
	CHECK(file && fscanf(file, "%llu", &pages) == 1);
	fclose(file);
	limit.rlim_cur = limit.rlim_max = pages * PAGE + 256 * MIB; /* a sanitizer has terabytes already */
	CHECK_SYS(setrlimit(RLIMIT_AS, &limit));
	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), -STOA_ELIMIT);
	check_detail("RLIMIT_AS");
	CHECK_RC(stoa_segment_create(NULL, MIB, NULL, &segment), 0);
	stoa_segment_close(segment);
	_exit(0);
}

TEST(out_of_addresses_is_an_error)
{
	CHECK_EQ(test_join(test_role(out_of_addresses, NULL)), 0);
}

/* What stands in sentences: exact, or with a digit that tells that it is not. */
TEST(sizes_in_sentences)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{0, "0B"},
		{1023, "1023B"},
		{4097, "4097B"},
		{65536, "64KiB"},
		{65535, "63.9KiB"},
		{UINT64_C(1) << 30, "1GiB"},
		{(UINT64_C(1) << 30) + 1, "1073741825B"},
		{UINT64_C(65) << 30, "65GiB"},
		{(UINT64_C(1) << 38) - 4096, "255.9GiB"},
		{UINT64_C(999) << 40, "999TiB"},
		{UINT64_MAX, "15.9EiB"},
	};
	char text[ERROR_SIZE];

	for (size_t i = 0; i < CC_COUNT(sizes); i++)
		CHECK_STR(error_size(sizes[i].bytes, text), sizes[i].text);
}
