/* SPDX-License-Identifier: MIT */
/*
 * One segment and one process at a time: creation, what a commit does and does not do, discarding, shrinking, views,
 * access, seals, numbers. Uses the public API; looks at the memory object only where the promise is about the object.
 */
#include <segment/common.h>

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

TEST(commit_makes_exactly_the_pages)
{
	struct stoa_segment *segment = make(300 * GIB, 0, 0);
	unsigned char *data = bytes_of(segment);

	CHECK_EQ(stoa_segment_reserve(segment), 300 * GIB);
	CHECK_EQ(stoa_segment_committed(segment), 0);
	CHECK_EQ(touch(data), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 5000), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_EQ(blocks(segment), 3 * PAGE);
	CHECK_EQ(touch(data + 2 * PAGE - 1), 0);
	CHECK_EQ(data[2 * PAGE - 1], 1);
	CHECK_EQ(touch(data + 2 * PAGE), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 1), 0);
	CHECK_RC(stoa_segment_commit(segment, 0), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_RC(stoa_segment_commit(segment, 300 * GIB + 1), -STOA_ERANGE);
	CHECK_RC(stoa_segment_commit(NULL, 1), -STOA_EINVAL);
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

TEST(smallest_segments)
{
	struct stoa_segment *segment = make(1, 1, 0);
	struct stoa_segment_stat stat;

	CHECK_EQ(blocks(segment), 2 * PAGE);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.resident, 2 * PAGE);
	CHECK_EQ(stat.reserve, PAGE);
	CHECK_EQ(stat.committed, PAGE);
	CHECK_EQ(stat.owner, geteuid());
	CHECK_EQ(stat.seals, STOA_SEAL_SHRINK);
	CHECK_EQ(stat.roster_slots, 1023);
	CHECK_EQ(stat.roster_alive, 0);
	CHECK(stat.identity != 0);
	stoa_segment_close(segment);
	segment = make(1, 1, STOA_RAW);
	CHECK_EQ(blocks(segment), PAGE);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.identity, 0);
	CHECK_EQ(stat.roster_slots, 0);
	stoa_segment_close(segment);
}

TEST(the_largest_reserve)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, STOA_RESERVE_MAX + 1, NULL, &segment), -STOA_EINVAL);
	CHECK_RC(stoa_segment_create(NULL, 0, NULL, &segment), -STOA_EINVAL);
	need_room(STOA_RESERVE_MAX);
	CHECK_RC(stoa_segment_create(NULL, STOA_RESERVE_MAX, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
	CHECK_EQ(touch(bytes_of(segment) + STOA_RESERVE_MAX - 1), SIGBUS);
	stoa_segment_close(segment);
}

static int never_called(const struct stoa_segment_entry *entry, void *argument)
{
	(void)entry, (void)argument;
	return -STOA_EIO;
}

TEST(options_are_checked)
{
	static const struct {
		struct stoa_segment_options options;
		const char *detail;
	} wrong[] = {
		{{.flags = UINT32_C(1) << 31}, "creating a segment does not take 0x80000000"},
		{{.flags = STOA_READ_ONLY}, "creating a segment does not take STOA_READ_ONLY"},
		{{.flags = STOA_FILE_CREATE | 0x600}, "does not take STOA_FILE_CREATE|0x600"},
		{{.flags = STOA_READ_ONLY | STOA_ANY_KIND}, "does not take STOA_READ_ONLY|STOA_ANY_KIND"},
		{{.flags = STOA_PERSISTENT}, "without a name"},
		{{.flags = STOA_GLOBAL}, "without a name"},
		{{.flags = STOA_WORLD_READABLE}, "without a name"},
		{{.huge = 3}, "huge 3 is none"},
		{{.roster_slots = 16384}, "at most 16383"},
		{{.reserved = 1}, "'reserved' is 1, not 0"},
	};
	struct stoa_segment_options too_much = {.commit = 2 * PAGE};
	struct stoa_segment_stat stat;
	struct stoa_segment *segment = NULL;

	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		check_refusal(stoa_segment_create(NULL, PAGE, &wrong[i].options, &segment), wrong[i].detail);
	CHECK_RC(stoa_segment_create(NULL, PAGE, &too_much, &segment), -STOA_ERANGE);
	check_refusal(stoa_segment_create(NULL, PAGE, NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_create_or_open(NULL, PAGE, NULL, &segment), "create-or-open needs a name");
	check_refusal(stoa_segment_open(NULL, NULL, &segment), "no name to open");
	check_refusal(stoa_segment_open("x", NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_unlink(NULL, 0), "no name to unlink");
	check_refusal(stoa_segment_unlink("x", STOA_RAW | STOA_GLOBAL), "unlinking does not take STOA_RAW");
	check_refusal(stoa_segment_list(STOA_RAW, never_called, NULL), "listing does not take STOA_RAW");
	check_refusal(stoa_segment_list(0, NULL, NULL), "no function");
	check_refusal(stoa_segment_gc(0x40, NULL), "cleaning up does not take STOA_FILE_CREATE");
	check_refusal(stoa_segment_stat(NULL, &stat), "no segment");
	CHECK(segment == NULL);
	stoa_segment_close(NULL);
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

TEST(views_show_the_same_bytes)
{
	struct stoa_segment *segment = make(GIB, 8 * PAGE, 0);
	unsigned char *data = bytes_of(segment), *view;
	void *address;

	CHECK_RC(stoa_view_map(segment, 2 * PAGE, 3 * PAGE, STOA_READ | STOA_WRITE, &address), 0);
	view = address;
	data[2 * PAGE + 7] = 42;
	CHECK_EQ(view[7], 42);
	view[8] = 43;
	CHECK_EQ(data[2 * PAGE + 8], 43);
	CHECK_RC(stoa_view_unmap(view, 3 * PAGE), 0);

	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE | STOA_PRIVATE, &address), 0);
	view = address;
	view[0] = 9;
	CHECK_EQ(data[0], 0);
	CHECK_RC(stoa_view_unmap(view, PAGE), 0);

	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ, &address), 0);
	CHECK_EQ(touch(address), SIGSEGV);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);

	/* Not committed yet: faults now, works after the commit. */
	CHECK_RC(stoa_view_map(segment, 8 * PAGE, PAGE, STOA_READ | STOA_WRITE, &address), 0);
	CHECK_EQ(touch(address), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 9 * PAGE), 0);
	CHECK_EQ(touch(address), 0);
	CHECK_EQ(data[8 * PAGE], 1);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);
	stoa_segment_close(segment);
}

TEST(views_are_checked)
{
	struct stoa_segment *segment = make(GIB, PAGE, 0);
	void *address = NULL;

	CHECK_RC(stoa_view_map(segment, 1, PAGE, STOA_READ, &address), -STOA_EINVAL);
	CHECK_RC(stoa_view_map(segment, 0, 0, STOA_READ, &address), -STOA_EINVAL);
	check_refusal(stoa_view_map(segment, 0, PAGE, 16, &address), "access to a segment does not take 0x10");
	check_refusal(stoa_view_map(NULL, 0, PAGE, STOA_READ, &address), "no segment");
	check_refusal(stoa_view_map(segment, 0, PAGE, STOA_READ, NULL), "no place for the view's address");
	check_refusal(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_PRIVATE),
		      "STOA_PRIVATE is for views only");
	check_refusal(stoa_segment_seal(segment, STOA_SEAL_GROW | 0x40), "sealing does not take 0x40");
	check_refusal(stoa_segment_seal(NULL, 0), "no segment");
	check_refusal(stoa_segment_stat(segment, NULL), "no place for the statistics");
	CHECK_RC(stoa_view_map(segment, GIB - PAGE, 2 * PAGE, STOA_READ, &address), -STOA_ERANGE);
	CHECK_RC(stoa_view_map(segment, 0, UINT64_MAX, STOA_READ, &address), -STOA_ERANGE);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_EXEC, &address), -STOA_ERIGHTS);
	CHECK_RC(stoa_view_unmap((char *)stoa_segment_address(segment) + 1, PAGE), -STOA_EINVAL);
	CHECK(address == NULL);
	stoa_segment_close(segment);
}

#if defined(__x86_64__)
TEST(executable_views)
{
	static const unsigned char return_42[] = {0xb8, 42, 0, 0, 0, 0xc3};
	struct stoa_segment *segment = make(MIB, PAGE, STOA_EXECUTABLE);
	int (*function)(void);
	void *address;

	memcpy(bytes_of(segment), return_42, sizeof(return_42));
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_EXEC, &address), 0);
	memcpy(&function, &address, sizeof(function));
	CHECK_EQ(function(), 42);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);
	stoa_segment_close(segment);
}
#endif

TEST(protect_changes_this_process)
{
	struct stoa_segment *segment = make(GIB, 8 * PAGE, 0);
	unsigned char *data = bytes_of(segment);

	CHECK_RC(stoa_segment_protect(segment, PAGE, 2 * PAGE, STOA_READ), 0);
	CHECK_EQ(touch(data), 0);
	CHECK_EQ(touch(data + PAGE), SIGSEGV);
	CHECK_EQ(probe_byte(data + PAGE, false), 0);
	CHECK_RC(stoa_segment_protect(segment, PAGE, PAGE, STOA_NONE), 0);
	CHECK_EQ(probe_byte(data + PAGE, false), SIGSEGV);
	CHECK_RC(stoa_segment_protect(segment, 0, 8 * PAGE, STOA_READ | STOA_WRITE), 0);
	CHECK_EQ(touch(data + PAGE), 0);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_EXEC), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_PRIVATE), -STOA_EINVAL);
	CHECK_RC(stoa_segment_protect(segment, 7, PAGE, STOA_READ), -STOA_EINVAL);
	CHECK_RC(stoa_segment_protect(segment, GIB, PAGE, STOA_READ), -STOA_ERANGE);
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

TEST(a_page_at_a_time)
{
	struct stoa_segment *segment = make(GIB, 0, 0);

	for (uint64_t length = PAGE; length <= 4 * MIB; length += PAGE) {
		CHECK_RC(stoa_segment_commit(segment, length), 0);
		bytes_of(segment)[length - 1] = 1;
	}
	CHECK_EQ(stoa_segment_committed(segment), 4 * MIB);
	CHECK_EQ(blocks(segment), 4 * MIB + PAGE);
	stoa_segment_close(segment);
}

TEST(roster_pages_are_backed_on_demand)
{
	struct stoa_segment *segment = make(GIB, 0, 0);

	CHECK_EQ(blocks(segment), PAGE);
	CHECK_RC(segment_back_slot(segment, 1), 0);
	CHECK_RC(segment_back_slot(segment, 1), 0);
	CHECK_RC(segment_back_slot(segment, 1023), 0);
	CHECK_EQ(blocks(segment), 3 * PAGE);
	CHECK_RC(segment_back_slot(segment, 0), -STOA_EINVAL);
	CHECK_RC(segment_back_slot(segment, 1024), -STOA_EINVAL);
	stoa_segment_close(segment);
}

struct crowd {
	struct stoa_segment *segment;
	_Atomic uint32_t next;
};

/* Threads of one process share the handle: what each of them commits is there for it, whoever was first. */
static void commit_in_a_crowd(void *argument)
{
	struct crowd *crowd = argument;
	uint32_t mine;

	while ((mine = atomic_fetch_add(&crowd->next, 1)) < 512) {
		CHECK_RC(stoa_segment_commit(crowd->segment, (mine + 1) * PAGE), 0);
		bytes_of(crowd->segment)[mine * PAGE] = 1;
		CHECK_RC(segment_back_slot(crowd->segment, mine % 8 + 1), 0);
	}
}

TEST_THREADS(a_crowd_of_committers, 60)
{
	struct crowd *crowd = test_shared(sizeof(*crowd));
	pid_t roles[4];

	crowd->segment = make(GIB, 0, 0);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(commit_in_a_crowd, crowd);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(blocks(crowd->segment), 512 * PAGE + 8 * PAGE + PAGE);
	stoa_segment_close(crowd->segment);
	munmap(crowd, sizeof(*crowd));
}
