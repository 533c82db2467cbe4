/* SPDX-License-Identifier: MIT */
/* What the tool asks of Windows, by Windows' rules where Wine has laxer ones: the form of paths, and names in 16-bit units. */
#include <harness/test.h>

#include "../tools/os/walk.h"
#include "../tools/os/win32/wide.h"

#include <stdlib.h>
#include <wchar.h>

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
