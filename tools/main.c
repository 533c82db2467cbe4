/* SPDX-License-Identifier: MIT */
/* The `stoa` tool: finds the subcommand and runs it. The table below is the only place that lists them. */
#include "tool.h"

#include <errno.h>
#include <string.h>

#include <stoa/stoa.h>

#include "os/console.h"
#include "os/process.h"

static int command_help(int argc, char **argv);

static const struct command commands[] = {
	{"ls", "list shared memory: ours, or all on this host", command_ls},
	{"stat", "all about one named object: sizes, threads, processes", command_stat},
	{"top", "channels and names live: rates, lag, rings in use", command_top},
	{"pages", "pagers live: what is there, faults, how long they take", command_pages},
	{"map", "a picture of a segment's pages", command_map},
	{"check", "is a named object damaged?", command_check},
	{"create", "make a named segment", command_create},
	{"commit", "make more of a named segment usable, everywhere", command_commit},
	{"rm", "remove names", command_rm},
	{"gc", "remove what killed programs left", command_gc},
	{"doctor", "what this system offers, and how to turn on what is off", command_doctor},
#if TOOL_HAS_BENCH /* the build has bench/ */
	{"bench", "measure stoa against the plain means of the system", command_bench},
#endif
	{"send", "the input into a channel, line by line or as it comes", command_send},
	{"recv", "a channel to the output", command_recv},
	{"tap", "watch a broadcast, without a place in it", command_tap},
	{"pipe", "commands one behind the other, as in a shell's pipe", command_pipe},
#if TOOL_HAS_STORE
	{"put", "bytes into an object store, under an id", command_put},
	{"get", "an object's bytes to the output, or into a file", command_get},
	{"wait", "until objects are there", command_wait},
	{"subscribe", "objects that come and go, line by line", command_subscribe},
	{"pin", "objects that are not to make room for others", command_pin},
	{"unpin", "objects that may make room again", command_unpin},
	{"who", "the processes that have an object, or are a store's clients", command_who},
#endif
	{"find", "list a directory tree, as find(1) does, with many processes", command_find},
	{"help", "explain a command", command_help},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static const char *command_name(const void *list, size_t i)
{
	(void)list;
	return i < COMMAND_COUNT ? commands[i].name : NULL;
}

static int unknown_command(const char *name)
{
	const char *nearest = nearest_word(name, command_name, NULL);

	if (nearest)
		return tool_misuse("no command '%s'; did you mean '%s'? 'stoa --help' lists them", name, nearest);
	return tool_misuse("no command '%s'; 'stoa --help' lists them", name);
}

static void print_help(FILE *out)
{
	fprintf(out, "stoa - shared memory for programs\n\n"
		     "usage: stoa COMMAND [OPTIONS] [OPERANDS]\n\ncommands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %s%-8s%s %s\n", colour(out, COLOUR_BOLD), commands[i].name, colour(out, COLOUR_OFF),
			commands[i].summary);
	fprintf(out, "\n'stoa COMMAND --help' explains one, with examples; 'stoa --version' tells the version.\n"
		     "Exit status: 0 done, 1 failed, 2 the command line makes no sense.\n");
}

static int command_help(int argc, char **argv)
{
	char help_option[] = "--help";
	char *help[] = {argc > 1 ? argv[1] : NULL, help_option, NULL};
	const struct command *command;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return TOOL_OK;
	}
	command = find_command(argv[1]);
	return command ? command->run(2, help) : unknown_command(argv[1]);
}

static int dispatch(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return TOOL_MISUSE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return TOOL_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("stoa %s\n", stoa_version());
		return TOOL_OK;
	}
	if (argv[1][0] == '-')
		return tool_misuse("no option '%s' before a command; try 'stoa --help'", argv[1]);
	command = find_command(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
	int status;

	process_guard_standard();
	if (!console_start(&argc, &argv))
		return tool_fail("no memory for the arguments");
	/* The terminal of a server of find is its client's. */
	console_use(argc < 3 || strcmp(argv[2], "--server") != 0);
	status = dispatch(argc, argv);
	progress_end();
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == TOOL_OK)
		return tool_fail("cannot write the output: %s", strerror(errno));
	return status;
}
