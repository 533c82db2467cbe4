/* SPDX-License-Identifier: MIT */
/* The patterns of `stoa find` beside those of the C library, where that has any. */
#include <harness/test.h>

#include "../tools/find.h"

#include <fnmatch.h>

static bool matches(const char *glob, const char *name)
{
	return find_glob_matches(glob, strlen(glob), name, strlen(name));
}

TEST(random_patterns_match_as_in_the_c_library)
{
	static const char letters[] = "ab*?[]!-\\a*";
	uint64_t random = test_seed();
	unsigned matched = 0;

	for (unsigned i = 0; i < 200000; i++) {
		char glob[8] = "";
		char name[8] = "";
		bool set = false;

		for (uint64_t k = test_random(&random) % 7; k > 0; k--)
			glob[k - 1] = letters[test_random(&random) % (sizeof(letters) - 1)];
		for (uint64_t k = test_random(&random) % 7; k > 0; k--)
			name[k - 1] = "ab-]"[test_random(&random) % 4];
		/* What a stray '[', '!' or a '\' at the end means is nowhere agreed on. */
		set = strpbrk(glob, "[\\") != NULL;
		if (set && (strlen(glob) != strcspn(glob, "[\\")))
			continue;
		matched += matches(glob, name);
		if (matches(glob, name) != (fnmatch(glob, name, 0) == 0))
			test_fail(__FILE__, __LINE__, "'%s' and '%s'", glob, name);
	}
	CHECK_INT(matched, >, 1000);
}
