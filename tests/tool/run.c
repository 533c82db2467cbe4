/* SPDX-License-Identifier: MIT */
/* Looking at what the tool said. */
#include "run.h"

const char *line_with(const char *text, const char *part)
{
	static char line[1 << 16];
	const char *found = strstr(text, part);
	const char *start = found;
	size_t length;

	if (!found)
		return NULL;
	while (start > text && start[-1] != '\n')
		start--;
	length = strcspn(start, "\n");
	CHECK_INT(length, <, sizeof(line));
	memcpy(line, start, length);
	line[length] = 0;
	return line;
}

void check_has(const char *file, int line, const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		test_fail(file, line, "no '%s' in '%.600s'", part, text ? text : "a line that is not there");
}

void check_json(const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		size_t length = strcspn(line, "\n");

		if (line[length] != '\n' || !json_is_object(line, length))
			test_fail(__FILE__, __LINE__, "no JSON: '%.*s'", (int)length, line);
	}
	check_json_in_python(text);
}
