/* SPDX-License-Identifier: MIT */
/*
 * One segment and one process at a time, where Linux has its own ways: giving memory back, shrinking, seals, huge pages,
 * what its system calls and its /proc show.
 */
#include <segment/linux.h>

#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static struct stoa_segment *make(uint64_t reserve, uint64_t commit, uint32_t flags)
{
	struct stoa_segment_options options = {.commit = commit, .flags = flags};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, reserve, &options, &segment), 0);
	return segment;
}

TEST(the_smallest_segment_is_two_pages_and_sealed)
{
	struct stoa_segment *segment = make(1, 1, 0);
	struct stoa_segment_stat stat;

	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.resident, 2 * PAGE);
	CHECK_EQ(stat.seals, STOA_SEAL_SHRINK);
	stoa_segment_close(segment);
}

/* Under strict seccomp any system call but read, write and exit kills. */
TEST(a_smaller_commit_makes_no_system_call)
{
	struct stoa_segment *segment = make(GIB, MIB, 0);
	pid_t child = fork();
	int status;

	CHECK_SYS(child);
	if (child == 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		for (unsigned i = 0; i < 100000; i++)
			if (stoa_segment_commit(segment, i * 8 % MIB) != 0)
				syscall(SYS_exit, 1);
		syscall(SYS_exit, 0);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	stoa_segment_close(segment);
}

TEST(discard_gives_memory_back)
{
	struct stoa_segment *segment = make(GIB, 16 * PAGE, 0);
	unsigned char *data = bytes_of(segment);
	uint64_t before = blocks(segment);

	memset(data, 7, 16 * PAGE);
	CHECK_RC(stoa_segment_discard(segment, 4 * PAGE, 8 * PAGE), 0);
	CHECK_EQ(blocks(segment), before - 8 * PAGE);
	CHECK_RC(stoa_segment_recommit(segment, 4 * PAGE, 8 * PAGE), 0);
	CHECK_EQ(blocks(segment), before);
	CHECK_EQ(data[4 * PAGE - 1], 7);
	CHECK_EQ(data[4 * PAGE], 0);
	CHECK_EQ(data[12 * PAGE - 1], 0);
	CHECK_EQ(data[12 * PAGE], 7);
	CHECK_EQ(stoa_segment_committed(segment), 16 * PAGE);
	CHECK_RC(stoa_segment_discard(segment, 1, PAGE), -STOA_EINVAL);
	CHECK_RC(stoa_segment_discard(segment, 0, 1), -STOA_EINVAL);
	CHECK_RC(stoa_segment_discard(segment, 15 * PAGE, 2 * PAGE), -STOA_EUNCOMMITTED);
	CHECK_RC(stoa_segment_discard(segment, GIB, PAGE), -STOA_ERANGE);
	CHECK_RC(stoa_segment_discard(segment, UINT64_MAX - PAGE + 1, PAGE), -STOA_ERANGE);
	stoa_segment_close(segment);
}

TEST(shrinking_is_allowed_where_it_was_agreed)
{
	struct stoa_segment *segment = make(GIB, 16 * PAGE, 0);
	unsigned char *data;

	CHECK_RC(stoa_segment_shrink(segment, PAGE), -STOA_ERIGHTS);
	CHECK_EQ(ftruncate((int)segment->memory, 0), -1);
	CHECK_EQ(errno, EPERM);
	stoa_segment_close(segment);

	segment = make(GIB, 16 * PAGE, STOA_SHRINKABLE);
	data = bytes_of(segment);
	data[3 * PAGE] = 5;
	CHECK_RC(stoa_segment_shrink(segment, 2 * PAGE + 1), 0);
	CHECK_EQ(stoa_segment_committed(segment), 3 * PAGE);
	CHECK_EQ(touch(data + 3 * PAGE), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 16 * PAGE), 0);
	CHECK_EQ(touch(data + 15 * PAGE), 0);
	CHECK_EQ(data[3 * PAGE], 0);
	stoa_segment_close(segment);
}

static void shrink_in_child(void *segment)
{
	CHECK_RC(stoa_segment_shrink(segment, PAGE), 0);
}

TEST(a_commit_after_a_peers_cut_is_not_answered_from_memory)
{
	struct stoa_segment *segment = make(GIB, 16 * PAGE, STOA_SHRINKABLE);

	CHECK_EQ(test_join(test_role(shrink_in_child, segment)), 0);
	CHECK_EQ(stoa_segment_committed(segment), PAGE);
	CHECK_RC(stoa_segment_commit(segment, 16 * PAGE), 0);
	CHECK_EQ(touch(bytes_of(segment) + 15 * PAGE), 0);
	stoa_segment_close(segment);
}

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* What was not made executable cannot become a program either. */
TEST(execution_is_sealed_off)
{
	struct stoa_segment *segment = make(MIB, PAGE, 0), *program = make(MIB, PAGE, STOA_EXECUTABLE);
	int probe = memfd_create("probe", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	CHECK_EQ(fchmod((int)program->memory, 0755), 0);
	if (probe >= 0) {
		CHECK_EQ(fchmod((int)segment->memory, 0755), -1);
		CHECK_EQ(errno, EPERM);
		close(probe);
	}
	stoa_segment_close(segment);
	stoa_segment_close(program);
	if (probe < 0)
		SKIP("this kernel cannot seal memory against execution");
}

/* A core file with a terabyte of reserve in it would take minutes. */
TEST(maps_are_no_part_of_core_files)
{
	struct stoa_segment *segment = make(GIB, PAGE, 0);
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[512], start[32];
	bool inside = false, found = false;

	CHECK(maps != NULL);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)bytes_of(segment));
	while (!found && fgets(line, sizeof(line), maps)) {
		inside = inside || strncmp(line, start, strlen(start)) == 0;
		found = inside && strncmp(line, "VmFlags:", 8) == 0;
	}
	CHECK(found && strstr(line, " dd"));
	fclose(maps);
	stoa_segment_close(segment);
}

TEST(sealed_against_growth)
{
	struct stoa_segment *segment = make(GIB, 2 * PAGE, 0);

	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_GROW), 0);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	CHECK_RC(stoa_segment_commit(segment, 3 * PAGE), -STOA_ERIGHTS);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	stoa_segment_close(segment);
}

TEST(sealed_against_new_writers)
{
	struct stoa_segment *segment = make(GIB, 2 * PAGE, 0);
	void *view;

	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_FUTURE_WRITE), 0);
	CHECK_EQ(touch(bytes_of(segment)), 0);
	CHECK_RC(stoa_segment_commit(segment, 4 * PAGE), 0);
	CHECK_EQ(touch(bytes_of(segment) + 3 * PAGE), 0);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE, &view), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_discard(segment, 0, PAGE), -STOA_ERIGHTS);
	stoa_segment_close(segment);
}

TEST(immutable)
{
	struct stoa_segment *segment = make(GIB, 2 * PAGE, 0);
	unsigned char *data = bytes_of(segment);
	struct stoa_segment_stat stat;
	void *view;

	data[5] = 55;
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE, &view), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), -STOA_EBUSY);
	CHECK_EQ(touch(data), SIGSEGV); /* the handle's own map has become read-only all the same */
	CHECK_RC(stoa_view_unmap(view, PAGE), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE | STOA_SEAL_GROW), 0);
	CHECK_EQ(bytes_of(segment), data);
	CHECK_EQ(data[5], 55);
	CHECK_EQ(touch(data), SIGSEGV);
	CHECK_RC(stoa_segment_commit(segment, 3 * PAGE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	CHECK_EQ(mprotect(data, PAGE, PROT_READ | PROT_WRITE), -1);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ, &view), 0);
	CHECK_EQ(((unsigned char *)view)[5], 55);
	CHECK_RC(stoa_view_unmap(view, PAGE), 0);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.seals, STOA_SEAL_WRITE | STOA_SEAL_GROW | STOA_SEAL_SHRINK);
	CHECK_EQ(pwrite((int)segment->memory, "x", 1, 0), -1);
	CHECK_RC(stoa_segment_seal(segment, 16), -STOA_EINVAL);
	stoa_segment_close(segment);
}

/* Bytes of the map at `address` that are mapped by huge pages. */
static unsigned long long huge_bytes(const void *address)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long long start, end, kib, huge = 0;
	bool ours = false;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			ours = (uintptr_t)address >= start && (uintptr_t)address < end;
		if (ours && sscanf(line, "ShmemPmdMapped: %llu", &kib) == 1)
			huge += kib * 1024;
	}
	if (maps)
		fclose(maps);
	return huge;
}

/* ---- huge pages: a private mount of /dev/shm offers them to named segments, whatever the host is set to ---- */

#define SETTING "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define LARGE (64 * MIB)

/* The setting is the host's and stays; in our mount namespace another text lies over it, and /dev/shm does as it says. */
static void offer_huge_pages(void)
{
	const char *setting;
	char path[600];

	need_root("mounting");
	snprintf(path, sizeof(path), "%s/setting", test_dir());
	write_text(path, "always within_size [advise] never deny force\n");
	if (mount(path, SETTING, "none", MS_BIND, NULL) != 0 || !os_huge_offered(&setting))
		SKIP("no mount over " SETTING ": %s", strerror(errno));
	if (mount("test", "/dev/shm", "tmpfs", MS_REMOUNT, "huge=advise,mode=1777") != 0)
		SKIP("no tmpfs with huge=advise: %s", strerror(errno));
}

TEST(huge_page_policy)
{
	struct stoa_segment_options options = {.huge = STOA_HUGE_REQUIRE, .commit = 1};
	const char *setting, *names[] = {NULL, test_name("huge")};
	struct stoa_segment_stat stat;
	struct stoa_segment *segment;

	if (!os_huge_offered(&setting)) {
		CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), -STOA_ENOTSUP);
		check_detail("shmem_enabled");
		offer_huge_pages(); /* to unnamed ones where they are required: collapsing pages does not ask for the setting */
		CHECK(os_huge_offered(&setting));
	}
	for (size_t i = 0; i < CC_COUNT(names); i++) {
		CHECK_RC(stoa_segment_create(names[i], GIB + 1, &options, &segment), 0);
		CHECK_EQ(stoa_segment_reserve(segment), GIB + 2 * MIB);
		CHECK_EQ((uintptr_t)bytes_of(segment) % (2 * MIB), 0);
		CHECK_RC(stoa_segment_stat(segment, &stat), 0);
		CHECK_EQ(stat.huge, STOA_HUGE_REQUIRE);
		CHECK_EQ(stat.committed, 2 * MIB);
		CHECK_RC(stoa_segment_commit(segment, 64 * MIB - 1), 0);
		CHECK_EQ(blocks(segment), 64 * MIB + PAGE);
		memset(bytes_of(segment), 1, 64 * MIB);
		if (huge_bytes(bytes_of(segment)) < 64 * MIB)
			test_note("only %llu of 64 MiB in huge pages: memory is scattered",
				  huge_bytes(bytes_of(segment)));
		stoa_segment_close(segment);
	}
	options.huge = STOA_HUGE_AUTO;
	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	if (strcmp(setting, "advise") == 0)
		CHECK_EQ(blocks(segment), 2 * PAGE);
	CHECK_RC(stoa_segment_commit(segment, 64 * MIB), 0);
	CHECK_EQ(stoa_segment_committed(segment), 64 * MIB);
	CHECK_EQ(blocks(segment), 64 * MIB + PAGE);
	stoa_segment_close(segment);
}

/* Is the flag ("hg", "nh": asked for huge pages, or for none) set on the map at `address`? */
static bool has_map_flag(const void *address, const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[512], start[32];
	bool ours = false, found = false;

	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)address);
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		ours = ours || strncmp(line, start, strlen(start)) == 0;
		found = ours && strncmp(line, "VmFlags:", 8) == 0;
	}
	if (maps)
		fclose(maps);
	return found && strstr(line, flag);
}

static void expect_small_pages(const char *name)
{
	struct stoa_segment_options options = {.huge = STOA_HUGE_NEVER};
	struct stoa_segment_stat stat;
	struct stoa_segment *segment;
	const char *setting;

	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.huge, STOA_HUGE_NEVER);
	CHECK_RC(stoa_segment_commit(segment, 8 * MIB + 1), 0);
	CHECK_EQ(stoa_segment_committed(segment), 8 * MIB + PAGE); /* not rounded up to more */
	memset(bytes_of(segment), 1, 8 * MIB);
	CHECK_EQ(huge_bytes(bytes_of(segment)), 0);
	CHECK(!has_map_flag(bytes_of(segment), " hg"));
	if (os_huge_offered(&setting)) /* else nobody has to be told */
		CHECK(has_map_flag(bytes_of(segment), " nh"));
	stoa_segment_close(segment);
}

TEST(no_huge_pages_for_who_wants_none)
{
	expect_small_pages(NULL);
	expect_small_pages(test_name("small"));
}

/* What the system itself gives, asked without stoa. */
static unsigned long long bare_huge_bytes(void)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *room = mmap(NULL, LARGE + 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start = room + (2 * MIB - (uintptr_t)room % (2 * MIB));
	unsigned long long huge;

	CHECK_SYS(fd);
	CHECK_SYS(ftruncate(fd, (off_t)LARGE));
	CHECK(mmap(start, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == start);
	CHECK_SYS(madvise(start, LARGE, MADV_HUGEPAGE));
	memset(start, 1, LARGE);
	huge = huge_bytes(start);
	munmap(room, LARGE + 2 * MIB);
	close(fd);
	return huge;
}

/* In steps of `step`, each of which must leave all as it was: the bytes, and no page more than were asked for. */
static struct stoa_segment *grow_large(uint32_t policy, uint64_t step, uint64_t unit)
{
	struct stoa_segment_options options = {.huge = policy};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(test_name("large"), GIB, &options, &segment), 0);
	for (uint64_t length = step; length <= LARGE; length += step) {
		CHECK_RC(stoa_segment_commit(segment, length), 0);
		CHECK_INT(stoa_segment_committed(segment), >=, segment_round_up(length, unit));
		for (uint64_t at = length - step; at < length; at += PAGE) {
			CHECK_EQ(bytes_of(segment)[at], 0);
			bytes_of(segment)[at] = (unsigned char)(at >> 12 | 1);
		}
	}
	for (uint64_t at = 0; at < LARGE; at += PAGE)
		CHECK_EQ(bytes_of(segment)[at], (unsigned char)(at >> 12 | 1));
	CHECK_EQ(stoa_segment_committed(segment), LARGE);
	CHECK_EQ(committed_blocks(segment), LARGE + PAGE);
	return segment;
}

TEST(named_segments_get_huge_pages_where_they_are_offered)
{
	unsigned long long bare;
	struct stoa_segment *segment;

	offer_huge_pages();
	bare = bare_huge_bytes();
	if (bare < LARGE)
		SKIP("the system gives huge pages to %llu of %llu bytes only", bare, (unsigned long long)LARGE);
	segment = grow_large(STOA_HUGE_AUTO, LARGE, PAGE);
	/* All but the blocks whose last page was made first, one in each 32 MiB: to stay clear of what others commit. */
	CHECK_EQ(huge_bytes(bytes_of(segment)), LARGE - 2 * 2 * MIB);
	stoa_segment_close(segment);
	/* Pages one by one are small ones. */
	segment = grow_large(STOA_HUGE_AUTO, PAGE * 64, PAGE);
	CHECK_EQ(huge_bytes(bytes_of(segment)), 0);
	stoa_segment_close(segment);
	expect_small_pages(test_name("small"));
}

TEST(named_segments_that_require_huge_pages_have_no_others)
{
	static const uint64_t steps[] = {LARGE, 2 * MIB, 8 * MIB};
	struct stoa_segment *segment;
	unsigned long long bare;

	offer_huge_pages();
	bare = bare_huge_bytes();
	if (bare < LARGE)
		SKIP("the system gives huge pages to %llu of %llu bytes only", bare, (unsigned long long)LARGE);
	for (size_t i = 0; i < CC_COUNT(steps); i++) {
		segment = grow_large(STOA_HUGE_REQUIRE, steps[i], 2 * MIB);
		CHECK_EQ(huge_bytes(bytes_of(segment)), LARGE);
		stoa_segment_close(segment);
	}
}

static void commit_and_fill(void *argument)
{
	struct stoa_segment *segment;
	const char *name = argument;

	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	for (uint64_t length = 2 * MIB; length <= LARGE; length += 2 * MIB) {
		CHECK_RC(stoa_segment_commit(segment, length), 0);
		bytes_of(segment)[length - 1] = 1; /* never cut by the other, in whichever step it is */
	}
	stoa_segment_close(segment);
}

TEST(two_that_grow_by_huge_pages_do_not_cut_each_other)
{
	static const uint32_t policies[] = {STOA_HUGE_AUTO, STOA_HUGE_REQUIRE};

	offer_huge_pages();
	for (size_t i = 0; i < CC_COUNT(policies); i++) {
		struct stoa_segment_options options = {.huge = policies[i]};
		const char *name = test_name("both");
		struct stoa_segment *segment;
		pid_t roles[2];

		CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
		for (unsigned role = 0; role < 2; role++)
			roles[role] = test_role(commit_and_fill, (void *)(uintptr_t)name);
		for (unsigned role = 0; role < 2; role++)
			CHECK_EQ(test_join(roles[role]), 0);
		CHECK_EQ(stoa_segment_committed(segment), LARGE);
		for (uint64_t length = 2 * MIB; length <= LARGE; length += 2 * MIB)
			CHECK_EQ(bytes_of(segment)[length - 1], 1);
		CHECK_INT(committed_blocks(segment), >=, LARGE + PAGE);
		CHECK_INT(committed_blocks(segment), <=, LARGE + 3 * PAGE); /* and who took part */
		stoa_segment_close(segment);
	}
}

/* A peer that may grow the object does so without backing: this process commits all the same, and what it commits is there. */
TEST(growth_by_an_enemy_is_not_taken_for_memory)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), 0);
	CHECK_SYS(ftruncate((int)segment->memory, (off_t)(4 * MIB + GIB)));
	CHECK_EQ(stoa_segment_committed(segment), GIB);
	CHECK_RC(stoa_segment_commit(segment, MIB), 0);
	CHECK_EQ(blocks(segment), MIB + PAGE);
	stoa_segment_close(segment);
}
