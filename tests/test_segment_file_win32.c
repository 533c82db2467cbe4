/* SPDX-License-Identifier: MIT */
/* As test_segment_file.c, by what Windows alone has: how files are shared, long paths, names in UTF-16, attributes. */
#include <segment/common.h>

#include <os/win32/memory.h>
#include <os/win32/nt.h>

static char *path_of(const char *name)
{
	static char paths[8][600];
	static unsigned next;
	char *path = paths[next++ % CC_COUNT(paths)];

	snprintf(path, sizeof(paths[0]), "%s\\%s", test_dir(), name);
	return path;
}

static HANDLE open_plainly(const char *path, DWORD access, DWORD share, DWORD how)
{
	return CreateFileA(path, access, share, NULL, how, FILE_ATTRIBUTE_NORMAL, NULL);
}

static bool is_there(const char *path)
{
	return GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES;
}

/* A section has to have been made with the right to extend it, or a file could never grow. */
TEST(the_sections_of_files_can_be_extended)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = PAGE};
	struct nt_object_info info;
	struct stoa_segment *segment;
	struct map map;
	ULONG length;

	CHECK_RC(stoa_segment_file(path_of("grows"), MIB, &create, &segment), 0);
	CHECK(map_at(stoa_segment_address(segment), &map) && map.section);
	CHECK(NT_DONE(nt_functions()->query_object(map.section, NT_OBJECT_BASIC, &info, sizeof(info), &length)));
	CHECK(info.access & SECTION_EXTEND_SIZE);
	stoa_segment_close(segment);
}

/* Made longer by a program that knows nothing of segments: the length is seen, and what no map shows is refused, not touched. */
TEST(a_file_that_others_make_longer)
{
	static char bytes[100000];
	char *path = path_of("longer");
	struct stoa_segment *segment, *again;
	struct stoa_prefetch *prefetch;
	HANDLE other = open_plainly(path, GENERIC_READ | GENERIC_WRITE,
				    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, CREATE_NEW);
	bool grows = files_grow();
	DWORD wrote;

	memset(bytes, 6, sizeof(bytes));
	CHECK(WriteFile(other, bytes, 5000, &wrote, NULL));
	CHECK_RC(stoa_segment_file(path, MIB, NULL, &segment), 0);
	CHECK(WriteFile(other, bytes, sizeof(bytes) - 5000, &wrote, NULL));
	CHECK_EQ(stoa_segment_committed(segment), sizeof(bytes));
	CHECK_RC(stoa_segment_prefetch(segment, 0, 2 * PAGE, &prefetch), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), 0);
	stoa_prefetch_close(prefetch);
	if (!grows) {
		CHECK_EQ(touch(bytes_of(segment) + 2 * PAGE), ABSENT);
		CHECK_RC(stoa_segment_prefetch(segment, PAGE, 2 * PAGE, &prefetch), 0);
		CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), -STOA_EIO);
		stoa_prefetch_close(prefetch);
	}
	CHECK_RC(stoa_segment_commit(segment, sizeof(bytes)), grows ? 0 : -STOA_ENOTSUP);
	CHECK_RC(stoa_segment_flush(segment, 0, MIB, STOA_DURABLE), 0);
	CHECK_RC(stoa_segment_file(path, 0, NULL, &again), 0);
	CHECK_EQ(bytes_of(again)[sizeof(bytes) - 1], 6);
	stoa_segment_close(again);
	stoa_segment_close(segment);
	CloseHandle(other);
}

/* What could not be committed is removed, unless somebody else has it open by then, or it is not what was made. */
TEST(a_file_that_others_have_open_stays)
{
	char *path = path_of("unmade");
	os_handle file;
	HANDLE other;

	CHECK_RC(os_file_prepare(path, &file), 0);
	other = open_plainly(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, OPEN_EXISTING);
	CHECK(other != INVALID_HANDLE_VALUE);
	os_file_unmake(file, path);
	CHECK(is_there(path));
	CloseHandle(other);
	CHECK_RC(os_file_prepare(path, &file), -STOA_EEXIST);
	CHECK(DeleteFileA(path));

	CHECK_RC(os_file_prepare(path, &file), 0);
	CHECK_RC(os_memory_write(file, 0, "x", 1), 0);
	os_file_unmake(file, path);
	CHECK(is_there(path));
	CHECK(DeleteFileA(path));

	CHECK_RC(os_file_prepare(path, &file), 0);
	os_file_unmake(file, path);
	CHECK(!is_there(path));
}

TEST(a_file_that_is_not_shared)
{
	char *path = path_of("own");
	struct stoa_segment *segment = NULL;
	HANDLE other = open_plainly(path, GENERIC_READ | GENERIC_WRITE, 0, CREATE_NEW);

	CHECK(other != INVALID_HANDLE_VALUE);
	CHECK_RC(stoa_segment_file(path, PAGE, NULL, &segment), -STOA_EBUSY);
	check_detail(path);
	CHECK(segment == NULL);
	CloseHandle(other);
	CHECK_RC(stoa_segment_file(path, PAGE, NULL, &segment), 0);
	/* We share: whoever does too can read, write and remove it. */
	other = open_plainly(path, GENERIC_READ | GENERIC_WRITE | DELETE,
			     FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, OPEN_EXISTING);
	CHECK(other != INVALID_HANDLE_VALUE);
	CloseHandle(other);
	stoa_segment_close(segment);
}

TEST(a_file_with_the_attribute_to_be_read_only)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	char *path = path_of("attribute");
	struct stoa_segment *segment = NULL;
	HANDLE file = open_plainly(path, GENERIC_WRITE, 0, CREATE_NEW);
	DWORD wrote;

	CHECK(WriteFile(file, "twelve bytes", 12, &wrote, NULL));
	CloseHandle(file);
	CHECK(SetFileAttributesA(path, FILE_ATTRIBUTE_READONLY));
	CHECK_RC(stoa_segment_file(path, 0, &reader, &segment), 0);
	CHECK_EQ(memcmp(bytes_of(segment), "twelve bytes", 12), 0);
	stoa_segment_close(segment);
	segment = NULL;
	file = open_plainly(path, GENERIC_WRITE, FILE_SHARE_READ, OPEN_EXISTING);
	if (file != INVALID_HANDLE_VALUE) {
		CloseHandle(file);
		SKIP("the attribute does not keep this user from writing, as under Wine it does not keep root");
	}
	CHECK_RC(stoa_segment_file(path, 0, NULL, &segment), -STOA_EACCES);
	check_detail(path);
	check_detail("belongs to");
	check_detail("may not open it for writing");
	CHECK(segment == NULL);
}

/* Paths are UTF-8, and what Windows makes of them UTF-16. */
TEST(paths_are_utf_8)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = PAGE};
	struct stoa_segment *segment = NULL;
	wchar_t wide[MAX_PATH + 16];

	CHECK_RC(stoa_segment_file(path_of("\xc3\xa4\xf0\x9f\x8f\x9b"), PAGE, &create, &segment), 0);
	stoa_segment_close(segment);
	swprintf(wide, CC_COUNT(wide), L"%hs\\\u00e4\U0001f3db", test_dir());
	CHECK(GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES);
	CHECK(DeleteFileW(wide)); /* the harness knows no such names */
	segment = NULL;
	CHECK_RC(stoa_segment_file(path_of("\xff"), PAGE, &create, &segment), -STOA_EINVAL);
	check_detail("no UTF-8");
	CHECK_RC(stoa_segment_file(path_of("a?b"), PAGE, &create, &segment), -STOA_ENAME);
	CHECK(segment == NULL);
}

/* Longer than MAX_PATH: made, found, not left behind, and removed again by hand. */
TEST(paths_may_be_long)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 2 * PAGE};
	static wchar_t wide[4][1200];
	static char path[4][1200];
	struct stoa_segment *segment = NULL;

	snprintf(path[0], sizeof(path[0]), "%s", test_dir());
	swprintf(wide[0], CC_COUNT(wide[0]), L"\\\\?\\%hs", path[0]);
	for (unsigned i = 1; i < 4; i++) {
		static const char part[] = "a-part-of-a-path-that-is-a-hundred-bytes-long-"
					   "or-a-little-more-so-that-three-of-them-are-more-than-a-path-may-be";

		snprintf(path[i], sizeof(path[i]), "%s/%s", path[i - 1], part);
		swprintf(wide[i], CC_COUNT(wide[i]), L"%ls\\%hs", wide[i - 1], part);
		if (i < 3)
			CHECK(CreateDirectoryW(wide[i], NULL));
	}
	CHECK_INT(strlen(path[3]), >, MAX_PATH);
	CHECK_RC(stoa_segment_file(path[3], PAGE, &create, &segment), -STOA_ERANGE);
	CHECK(GetFileAttributesW(wide[3]) == INVALID_FILE_ATTRIBUTES);
	create.commit = PAGE;
	CHECK_RC(stoa_segment_file(path[3], PAGE, &create, &segment), 0);
	bytes_of(segment)[0] = 5;
	stoa_segment_close(segment);
	CHECK_RC(stoa_segment_file(path[3], 0, NULL, &segment), 0);
	CHECK_EQ(bytes_of(segment)[0], 5);
	stoa_segment_close(segment);
	CHECK(DeleteFileW(wide[3]) && RemoveDirectoryW(wide[2]) && RemoveDirectoryW(wide[1]));
}
