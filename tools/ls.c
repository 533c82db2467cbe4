/* SPDX-License-Identifier: MIT */
/* `stoa ls`: which shared memory there is: our named segments, or with --all every object on the host (list_all.c). */
#include "tool.h"

#include "ls.h"

int command_ls(int argc, char **argv)
{
	struct ls_options options = {0};
	const struct option_spec specs[] = {
		{'a', "all", OPTION_FLAG, &options.all, NULL, "every shared-memory object on the host, whoever made it:\n"
			"memfds, /dev/shm, System V, shared anonymous memory"},
		{'f', "files", OPTION_FLAG, &options.files, NULL, "with --all: also files in other memory file systems that\n"
			"nobody maps, e.g. in /run"},
		{'o', "orphaned", OPTION_FLAG, &options.orphaned, NULL, "with --all: only what nobody uses"},
		{0, "json", OPTION_FLAG, &options.json, NULL, "one JSON object per line"},
	};
	const struct usage usage = {
		"ls", "", "List shared memory.", specs, sizeof(specs) / sizeof(specs[0]), 0, 0,
		"  $ stoa ls --all              what is on this host, and who uses it\n"
		"  $ stoa ls --all --orphaned   memory that serves nobody any more\n"
		"  $ stoa ls --all --json | jq 'select(.resident > 1e9) | .name'",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	return ls_all(&options);
}
