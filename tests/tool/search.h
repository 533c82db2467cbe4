/* SPDX-License-Identifier: MIT */
/* Trees to search, searches with their output in files, and find(1) to compare them with. For the tests of `stoa find`. */
#ifndef TOOL_SEARCH_H
#define TOOL_SEARCH_H

#include <harness/test.h>

/* A path in the test's directory; the last 8 stay valid. */
const char *file_path(const char *name);

/* Become a program, with its output and error output in these files. Returns only by _exit(127). */
void search_become(const char *program, char *const *arguments, const char *out, const char *err);
/* Start it; `arguments` end with NULL; what it says goes to the files NAME.out and NAME.err. */
pid_t launch(const char *name, const char *program, const char *const *arguments);
int await_end(pid_t pid); /* exit status, or minus the signal */
/* Orphans come to this process. They end by themselves, or the time limit finds them. How many there were. */
unsigned await_orphans(void);

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define STOA_FIND(name, ...) launch(name, STOA_TOOL, ARGUMENTS("stoa", "find", __VA_ARGS__))
#define GNU_FIND(name, ...) launch(name, "find", ARGUMENTS("find", __VA_ARGS__))

struct text {
	char *bytes; /* and a 0 behind them */
	size_t length;
};
struct text new_text(size_t size);
void free_text(struct text text);
struct text copy_of(struct text text);
struct text read_file(const char *path);
struct text sorted(struct text text, char end); /* as sort(1) does it; takes `text`; `end` is 0 or a newline */
void check_same(const char *what, struct text a, struct text b); /* takes both */
unsigned count_words(const char *text, const char *word);

struct text wanted(
	const char *dir); /* sorted paths, each ended by 0, from find(1); skips the test where there is none */

/* Where trees are made; only make_middling_tree() makes it itself. */
const char *tree_path(void);
void make_dir(const char *format, ...) CC_PRINTF(1, 2);
void make_file(const char *format, ...) CC_PRINTF(1, 2);
void make_odd_names(const char *tree);
void make_other_kinds(const char *tree); /* after make_odd_names() */
void make_deep(const char *tree);        /* its path several times longer than PATH_MAX */
void make_random(const char *tree, unsigned count, uint64_t *random);
void make_wide(const char *tree, unsigned count);
void make_middling_tree(uint64_t *random); /* 1200 directories below each other, 6000 files in another */
void remove_tree(void);                    /* what the harness cannot: deep and unreadable ones too */

#endif
