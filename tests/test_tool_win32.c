/* SPDX-License-Identifier: MIT */
/* What the tool asks of Windows, by Windows' rules where Wine has laxer ones: the form of paths, and names in 16-bit units. */
#include <harness/test.h>

#include "../tools/os/walk.h"
#include "../tools/os/win32/wide.h"
#include "tool/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stoa/stoa.h>

static void check_path(const char *path, const wchar_t *expected)
{
	wchar_t *wide = wide_path(path);

	CHECK(wide != NULL);
	if (wcscmp(wide, expected) != 0)
		test_fail(__FILE__, __LINE__, "'%s' became '%ls'", path, wide);
	free(wide);
}

/* Without the prefix Windows, other than Wine, takes no path beyond 260 units, and gives "NUL" and "x." meanings of their own. */
TEST(paths_have_the_form_without_a_limit)
{
	check_path("C:\\a", L"\\\\?\\C:\\a");
	check_path("C:/a/b/../c", L"\\\\?\\C:\\a\\c");
	check_path("C:/", L"\\\\?\\C:\\");
	check_path("\\\\host\\share\\a", L"\\\\?\\UNC\\host\\share\\a");
	check_path("//host/share/a", L"\\\\?\\UNC\\host\\share\\a");
	check_path("\\\\?\\C:\\a", L"\\\\?\\C:\\a");
	check_path("\\\\?\\UNC\\host\\share", L"\\\\?\\UNC\\host\\share");
	/* What has the form is taken as it is, what looks like it is not. */
	check_path("\\\\?\\C:\\x. \\NUL", L"\\\\?\\C:\\x. \\NUL");
	check_path("//?/C:/a", L"\\\\?\\C:\\a");
	check_path("\\\\.\\C:\\a", L"\\\\.\\C:\\a");
}

/* By the rules of Windows, which a user of it expects where the path is his own. */
TEST(paths_mean_what_they_mean_on_windows)
{
	wchar_t here[MAX_PATH], expected[MAX_PATH + 16];
	char relative[8] = "Z:x";

	check_path("C:\\a. ", L"\\\\?\\C:\\a");
	check_path("NUL", L"\\\\.\\NUL");
	check_path("C:\\a\\.\\b\\", L"\\\\?\\C:\\a\\b\\");
	CHECK(SetCurrentDirectoryA(test_dir()));
	CHECK_INT(GetCurrentDirectoryW(MAX_PATH, here), >, 3);
	swprintf(expected, CC_COUNT(expected), L"\\\\?\\%ls\\x", here);
	check_path("x", expected);
	relative[0] = (char)here[0];
	check_path(relative, expected); /* on that drive, where we are there */
	swprintf(expected, CC_COUNT(expected), L"\\\\?\\%lc:\\x", here[0]);
	check_path("\\x", expected);
	CHECK(SetCurrentDirectoryA("C:\\"));
}

TEST(long_paths_stay_whole)
{
	char path[3000] = "C:/";
	wchar_t *wide;

	memset(path + 3, 'x', sizeof(path) - 4);
	wide = wide_path(path);
	CHECK(wide != NULL);
	CHECK_EQ(wcslen(wide), strlen(path) + 4);
	free(wide);
}

static void check_round(const wchar_t *name, const char *expected)
{
	size_t bytes = 0;
	char *text = wide_to_text(name, wcslen(name), &bytes);
	wchar_t *again;

	CHECK(text != NULL);
	CHECK_STR(text, expected);
	CHECK_EQ(bytes, strlen(expected));
	again = wide_from_text(text, bytes);
	CHECK(again != NULL && wcscmp(again, name) == 0);
	free(again);
	free(text);
}

TEST(every_name_comes_back)
{
	check_round(L"", "");
	check_round(L"plain", "plain");
	check_round(L"\u00fc\u65e5", "\xc3\xbc\xe6\x97\xa5");
	check_round(L"\xd83d\xde00", "\xf0\x9f\x98\x80");
	/* Halves alone, the wrong way round, and before something else. */
	check_round(L"\xd83d", "\xed\xa0\xbd");
	check_round(L"\xde00\xd83d", "\xed\xb8\x80\xed\xa0\xbd");
	check_round(L"\xd83dx", "\xed\xa0\xbdx");
}

TEST(bytes_that_are_no_characters_become_the_one_that_says_so)
{
	static const char *const bad[] = {"\xff", "\xc0", "\xf8", "\x80", "\xc3"};

	for (size_t i = 0; i < CC_COUNT(bad); i++) {
		wchar_t *wide = wide_from_text(bad[i], strlen(bad[i]));

		CHECK(wide != NULL && wide[0] == 0xfffd && wide[1] == 0);
		free(wide);
	}
}

static void check_last(const char *path, const char *expected, bool takes_name)
{
	size_t length;
	const char *last = walk_last_name(path, &length);

	if (length != strlen(expected) || memcmp(last, expected, length) != 0 || walk_takes_name(path) != takes_name)
		test_fail(__FILE__, __LINE__, "'%s': '%.*s', %d", path, (int)length, last, walk_takes_name(path));
}

TEST(both_separators_and_drives_are_known)
{
	check_last("a", "a", false);
	check_last("a/b", "b", false);
	check_last("a\\b", "b", false);
	check_last("a\\b/\\", "b", true);
	check_last("C:\\a b", "a b", false);
	check_last("C:a", "a", false);
	check_last("C:\\", "C:\\", true);
	check_last("C:", "C:", true); /* "C:/x" would be elsewhere */
	check_last("/", "/", true);
}

/* Junctions, symbolic links and mounted volumes lead elsewhere, and so may what does not tell; clouds and containers fill in. */
TEST(types_by_attributes_and_tags)
{
	enum { DIRECTORY = FILE_ATTRIBUTE_DIRECTORY, TAGGED = FILE_ATTRIBUTE_REPARSE_POINT };
	static const struct {
		uint32_t attributes, tag;
		char type;
	} cases[] = {
		{0, 0, 'f'},
		{FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_READONLY, 0, 'f'},
		{DIRECTORY, 0, 'd'},
		{DIRECTORY, IO_REPARSE_TAG_SYMLINK, 'd'}, /* without the mark it is the size of something else */
		{TAGGED | DIRECTORY, IO_REPARSE_TAG_MOUNT_POINT, 'l'},
		{TAGGED | DIRECTORY, IO_REPARSE_TAG_SYMLINK, 'l'},
		{TAGGED, IO_REPARSE_TAG_SYMLINK, 'l'},
		{TAGGED, 0xa000001du, 'l'}, /* of the Linux subsystem */
		{TAGGED | DIRECTORY, 0xa0000027u, 'l'},
		{TAGGED | DIRECTORY, 0, 'l'},
		{TAGGED | DIRECTORY, 0x9000601au, 'd'}, /* cloud */
		{TAGGED, 0x9000601au, 'f'},
		{TAGGED, 0x80000013u, 'f'}, /* deduplicated */
		{TAGGED, 0x80000023u, 's'},
		{TAGGED, 0x80000024u, 'p'},
		{TAGGED, 0x80000025u, 'c'},
		{TAGGED, 0x80000026u, 'b'},
	};

	for (size_t i = 0; i < CC_COUNT(cases); i++)
		if (walk_type(cases[i].attributes, cases[i].tag) != cases[i].type)
			test_fail(__FILE__, __LINE__, "%x with %x is %c", cases[i].attributes, cases[i].tag,
				  walk_type(cases[i].attributes, cases[i].tag));
}

TEST(devices_are_character_devices)
{
	struct walk_attributes attributes;
	char type = 0;

	CHECK_EQ(walk_look("NUL", &type, &attributes), 0);
	CHECK_EQ(type, 'c');
	CHECK_EQ(attributes.size, 0);
}

/* A file of this test with these attributes, as the walk sees it. */
static void look_at_file_with(DWORD given, struct walk_attributes *ret_attributes)
{
	char path[MAX_PATH + 16];
	HANDLE file;
	char type = 0;

	snprintf(path, sizeof(path), "%s\\marked", test_dir());
	file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, given, NULL);
	CHECK(file != INVALID_HANDLE_VALUE);
	CloseHandle(file);
	CHECK_EQ(walk_look(path, &type, ret_attributes), 0);
	CHECK_EQ(type, 'f');
	CHECK(SetFileAttributesA(path, FILE_ATTRIBUTE_NORMAL));
	CHECK(DeleteFileA(path));
}

TEST(attributes_are_those_of_windows)
{
	enum { MARKS = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_READONLY };
	struct walk_attributes attributes;

	look_at_file_with(FILE_ATTRIBUTE_NORMAL, &attributes);
	CHECK_EQ(attributes.flags & MARKS, 0);
	CHECK_EQ(attributes.mode, 0644);
	look_at_file_with(FILE_ATTRIBUTE_READONLY, &attributes);
	CHECK_EQ(attributes.flags & MARKS, FILE_ATTRIBUTE_READONLY);
	CHECK_EQ(attributes.mode, 0444);
	look_at_file_with(MARKS, &attributes);
	CHECK_EQ(attributes.flags & FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_READONLY);
	if ((attributes.flags & MARKS) != MARKS)
		SKIP("this file system keeps no hidden and system marks");
}

/* Times before 1970 and beyond what 32 bits hold, and sizes likewise. */
TEST(times_and_sizes_are_whole)
{
	static const struct {
		int64_t ticks, seconds;
		uint32_t nanoseconds;
	} times[] = {
		{INT64_C(116444736000000000) - 5, -1, 999999500},
		{INT64_C(116444736000000000) - 864000000000, -86400, 0},
		{INT64_C(157468320000000000) + 1234567, INT64_C(4102358400), 123456700},
	};
	const LARGE_INTEGER size = {.QuadPart = (INT64_C(5) << 30) + 7};
	struct walk_attributes attributes;
	char path[MAX_PATH + 16], type;
	HANDLE file;

	snprintf(path, sizeof(path), "%s\\big", test_dir());
	file = CreateFileA(path, GENERIC_WRITE, 7, NULL, CREATE_ALWAYS, 0, NULL);
	CHECK(file != INVALID_HANDLE_VALUE);
	CHECK(SetFilePointerEx(file, size, NULL, FILE_BEGIN) && SetEndOfFile(file));
	for (size_t i = 0; i < CC_COUNT(times); i++) {
		const FILETIME time = {(DWORD)times[i].ticks, (DWORD)(times[i].ticks >> 32)};

		CHECK(SetFileTime(file, NULL, NULL, &time));
		CHECK_EQ(walk_look(path, &type, &attributes), 0);
		CHECK_EQ(attributes.modified.seconds, times[i].seconds);
		CHECK_EQ(attributes.modified.nanoseconds, times[i].nanoseconds);
		CHECK_EQ(attributes.size, size.QuadPart);
	}
	CloseHandle(file);
}

/* ---- doctor ---- */

static const char *doctor_on(const char *topic)
{
	char part[100];

	snprintf(part, sizeof(part), "\"topic\":\"%s\"", topic);
	return line_with(run_stoa("doctor", "--json", NULL)->out, part);
}

/* What it says of growing is what happens here, and it leaves no file. */
TEST(doctor_says_whether_files_grow)
{
	struct stoa_segment_options options = {.flags = STOA_FILE_CREATE, .commit = 65536};
	struct stoa_segment *segment;
	char path[MAX_PATH + 16];
	int result;

	snprintf(path, sizeof(path), "%s\\temporary", test_dir());
	CHECK(CreateDirectoryA(path, NULL) && SetEnvironmentVariableA("TMP", path));
	CHECK_HAS(doctor_on("growing files"), "a mapped file ");
	CHECK(RemoveDirectoryA(path)); /* which is refused when anything is in it */
	CHECK(SetEnvironmentVariableA("TMP", test_dir()));
	snprintf(path, sizeof(path), "%s\\file", test_dir());
	CHECK_RC(stoa_segment_file(path, 1 << 20, &options, &segment), 0);
	result = stoa_segment_commit(segment, 1 << 20);
	stoa_segment_close(segment);
	if (result == 0) {
		CHECK_HAS(doctor_on("growing files"), "\"level\":\"ok\"");
	} else {
		CHECK_RC(result, -STOA_ENOTSUP);
		CHECK_HAS(doctor_on("growing files"), "\"level\":\"off\",\"state\":\"a mapped file keeps its length\"");
	}
	CHECK(DeleteFileA(path));
	CHECK(SetEnvironmentVariableA("TMP", "C:\\no\\such\\place"));
	CHECK_HAS(doctor_on("growing files"), "\"level\":\"warn\",\"state\":\"could not be tried: ");
}

TEST(doctor_sees_the_limit_of_a_job)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation.LimitFlags =
							       JOB_OBJECT_LIMIT_PROCESS_MEMORY,
						       .ProcessMemoryLimit = (SIZE_T)3 << 30};
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION told = {.ProcessMemoryLimit = 0};
	HANDLE job = CreateJobObjectA(NULL, NULL);

	CHECK(job && AssignProcessToJobObject(job, GetCurrentProcess()));
	CHECK_HAS(doctor_on("job"), "\"level\":\"ok\",\"state\":\"it sets no limit to memory\"");
	CHECK(SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits)));
	CHECK(QueryInformationJobObject(NULL, JobObjectExtendedLimitInformation, &told, sizeof(told), NULL));
	if (told.ProcessMemoryLimit != limits.ProcessMemoryLimit)
		SKIP("this system keeps no limits of jobs");
	CHECK_HAS(doctor_on("job"), "\"level\":\"warn\",\"state\":\"this process can commit no more than 3072 MiB\"");
	CloseHandle(job);
}

TEST(doctor_tells_what_there_is)
{
	CHECK_HAS(doctor_on("system"), "Windows ");
	if (GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version"))
		CHECK_HAS(doctor_on("system"), "as played by Wine ");
	CHECK_HAS(doctor_on("commit limit"), " MiB can still be committed");
	CHECK_HAS(doctor_on("global names"), "\"state\":\"can");
	CHECK_HAS(doctor_on("deaths"), "the end of a thread wakes others");
}
