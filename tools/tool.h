/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands of the `stoa` tool share: options and help from one table, sizes and durations, safe text, JSON, tables,
 * progress, errors and exit statuses. Uses libc and the public headers only; so does every subcommand.
 *
 * To add a subcommand: write `int command_NAME(int argc, char **argv)` in tools/NAME.c (argv[0] is its name), declare it at the
 * end of this header, add its line to the table in main.c and its file to meson.build. It describes itself in a struct usage,
 * calls options_parse() first, and returns TOOL_OK, TOOL_FAILED or TOOL_MISUSE.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses. */
#define TOOL_OK 0
#define TOOL_FAILED 1  /* it was asked for rightly and did not work */
#define TOOL_MISUSE 2  /* the command line makes no sense */
#define TOOL_DAMAGED 3 /* a check found damage */
#define TOOL_GO (-1)   /* from options_parse(): go on */

struct command {
	const char *name;
	const char *summary; /* one line of `stoa --help` */
	int (*run)(int argc, char **argv);
};

/* ---- options.c ---- */

enum option_kind {
	OPTION_FLAG,     /* value: bool *, set to true */
	OPTION_TEXT,     /* value: const char ** */
	OPTION_NUMBER,   /* value: uint64_t * */
	OPTION_SIZE,     /* value: uint64_t *, bytes */
	OPTION_DURATION, /* value: uint64_t *, nanoseconds */
	OPTION_CHOICE,   /* value: const char **, set to what stands behind '=' in the long form, else to "" */
};

struct option_spec {
	char letter;      /* 0: long form only */
	const char *name; /* long form without the dashes */
	enum option_kind kind;
	void *value;
	const char *argument; /* how help calls the argument, e.g. "SIZE"; NULL for flags */
	const char *help;     /* one line, or several separated by '\n' */
};

/* All about a subcommand's command line; --help is printed from it. */
struct usage {
	const char *command;  /* "ls"; NULL: the program has no commands */
	const char *operands; /* "[NAME...]"; "" for none */
	const char *about;    /* what it does, a few lines */
	const struct option_spec *options;
	size_t option_count;
	int operands_min;
	int operands_max;     /* -1: any number */
	const char *examples; /* lines "  $ stoa ..." with what they do */
};

/*
 * Parse argv[1..argc-1]. Options and operands may be mixed; "--" ends the options; --help (-h) is known everywhere. TOOL_GO:
 * go on; the operands are argv[1..*ret_operands]. Otherwise everything has been said and the result is the exit status.
 */
int options_parse(const struct usage *usage, int argc, char **argv, int *ret_operands);

/* The entry nearest to `word` as people mistype it, or NULL when none is near. `next` gives entry i, NULL at the end. */
const char *nearest_word(const char *word, const char *(*next)(const void *list, size_t i), const void *list);

/* ---- report.c ---- */

/* "stoa", until a program says otherwise: what its sentences begin with. */
extern const char *tool_program;

/*
 * Errors, on the error output, as "stoa: SENTENCE" with control characters made harmless. Both return the exit status to pass on:
 * TOOL_FAILED, TOOL_MISUSE. The sizeof lets the compiler check the format without calling anything.
 */
#define tool_fail(...) ((void)sizeof(printf(__VA_ARGS__)), tool_fail_format(__VA_ARGS__))
#define tool_misuse(...) ((void)sizeof(printf(__VA_ARGS__)), tool_misuse_format(__VA_ARGS__))
#define tool_warn(...) ((void)sizeof(printf(__VA_ARGS__)), tool_warn_format(__VA_ARGS__))
int tool_fail_format(const char *format, ...);
int tool_misuse_format(const char *format, ...);
void tool_warn_format(const char *format, ...);

/* No error: what a program that goes on wants to be known. */
#define tool_note(...) ((void)sizeof(printf(__VA_ARGS__)), tool_note_format(__VA_ARGS__))
void tool_note_format(const char *format, ...);

/*
 * A stoa function returned the negative `result`: report stoa_error_detail(), or the general text where there is none, behind
 * "`subject`: " unless subject is NULL. Returns TOOL_FAILED.
 */
int tool_fail_result(const char *subject, int result);

/*
 * The same about the named object `name`: its sentence begins "segment 'NAME': ". TOOL_MISUSE for
 * what is wrong on every system: a name that cannot be one, options that exclude each other.
 */
int tool_fail_named(const char *name, int result);

/* "segment 'NAME'". Returns `buffer`. */
#define TOOL_SUBJECT 300
const char *tool_subject(const char *name, char buffer[TOOL_SUBJECT]);

/* Colours are used only when the output is a terminal, NO_COLOR is unset or empty and TERM is not "dumb". Else these are "". */
enum colour { COLOUR_OFF, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_BLUE, COLOUR_CYAN };
const char *colour(FILE *out, enum colour which);

/* Columns of the terminal behind `out`; 80 when it is none and COLUMNS is unset. */
unsigned terminal_width(FILE *out);

/*
 * One line on the error output that is overwritten as work goes on; silent unless that is a terminal. Shown at most ten times a
 * second. progress_end() wipes it; call it before printing anything else.
 */
#define progress_show(...) ((void)sizeof(printf(__VA_ARGS__)), progress_show_format(__VA_ARGS__))
void progress_show_format(const char *format, ...);
void progress_end(void);

/* ---- text.c ---- */

/*
 * Length of the valid UTF-8 character at `text` (1..4, within `length` bytes), or 0 for a byte that starts none (overlong forms,
 * surrogates and values above U+10FFFF are none). *ret_code gets its code point; may be NULL.
 */
size_t utf8_next(const char *text, size_t length, uint32_t *ret_code);
bool utf8_valid(const char *text, size_t length);

/* Characters that a terminal obeys or that change how their neighbours look: controls, ends of lines, and marks of direction. */
bool text_steers(uint32_t code);

/*
 * Text from elsewhere (names, command lines) for people: control characters, bidirectional overrides and bytes that are not UTF-8
 * become \n, \t, \xNN and \u{NNNN}, a backslash becomes two, so that a name can neither steer the terminal nor pass for another. Cut,
 * with "..." at the end, to what fits in `size` (at least 4). Returns `buffer`.
 */
const char *text_safe(const char *text, size_t length, char *buffer, size_t size);
const char *text_safe_string(const char *text, char *buffer, size_t size);

/* Columns that safe text takes on a terminal. */
size_t text_columns(const char *text);

/*
 * "4096", "64KiB", "64K", "1.5GiB" (powers of 1024) and "64kB", "1GB" (powers of 1000). False when `text` is nothing of this kind
 * or does not fit in 64 bits. A result is never rounded up.
 */
bool size_parse(const char *text, uint64_t *ret_bytes);

/* "0", "512B", "64KiB", "1023KiB", "1.5GiB": rounded down, what size_parse() reads. Returns `buffer`. */
#define SIZE_TEXT 16
const char *size_text(uint64_t bytes, char buffer[SIZE_TEXT]);

/* "5s", "250ms", "10us", "3min", "2h", "1.5s", bare numbers are seconds. Nanoseconds; false as size_parse(). */
bool duration_parse(const char *text, uint64_t *ret_nanoseconds);

/* "12s", "3min", "5h", "9d", "250ms": one unit. Returns `buffer`. */
#define DURATION_TEXT 24
const char *duration_text(uint64_t nanoseconds, char buffer[DURATION_TEXT]);

/* A plain decimal number. */
bool number_parse(const char *text, uint64_t *ret_number);

/*
 * The same with the error reported: TOOL_GO, or TOOL_MISUSE after "stoa: SUBJECT TEXT is not a size; use e.g. 1GiB". `subject` is as in
 * "segment 'x': reserve".
 */
int size_argument(const char *subject, const char *text, uint64_t *ret_bytes);
int duration_argument(const char *subject, const char *text, uint64_t *ret_nanoseconds);
int number_argument(const char *subject, const char *text, uint64_t *ret_number);

/* ---- json.c ---- */

/*
 * Writes one object per line as it goes; nothing is kept in memory. Text that is not valid UTF-8 cannot be a JSON string: each bad
 * byte becomes U+FFFD, and a second member KEY_hex holds the exact bytes. Inside arrays `key` is NULL (and there is no _hex).
 */
struct json {
	FILE *out;
	bool comma;
};
void json_begin(struct json *json, FILE *out);                        /* { */
void json_end(struct json *json);                                     /* } and the line's end */
void json_text(struct json *json, const char *key, const char *text); /* NULL is null */
void json_bytes(struct json *json, const char *key, const char *text, size_t length);
void json_number(struct json *json, const char *key, uint64_t number);
void json_signed(struct json *json, const char *key, int64_t number);
void json_real(struct json *json, const char *key, double number); /* not finite: null */
void json_bool(struct json *json, const char *key, bool truth);
void json_null(struct json *json, const char *key);
void json_array_begin(struct json *json, const char *key);
void json_array_end(struct json *json);
void json_object_begin(struct json *json, const char *key);
void json_object_end(struct json *json);

/* ---- table.c ---- */

/*
 * Rows of text in columns as wide as their widest cell. Cells are copied, and made safe with text_safe(). The last column is not
 * padded, and cut to the terminal's width when the output is a terminal.
 */
struct table;
#define TABLE_RIGHT (1u << 0) /* align to the right */
struct table_column {
	const char *title;
	unsigned flags;
};
struct table *table_create(const struct table_column *columns, size_t count); /* NULL: out of memory */
void table_cell(struct table *table, const char *text, enum colour colour);   /* the next cell, row by row */
size_t table_rows(const struct table *table);
int table_print(struct table *table, FILE *out); /* TOOL_OK, or TOOL_FAILED (reported) when memory ran out meanwhile */
void table_destroy(struct table *table);

/* ---- the subcommands ---- */

int command_ls(int argc, char **argv);
int command_stat(int argc, char **argv);
int command_map(int argc, char **argv);
int command_check(int argc, char **argv);
int command_top(int argc, char **argv);
int command_pages(int argc, char **argv);
int command_create(int argc, char **argv);
int command_commit(int argc, char **argv);
int command_rm(int argc, char **argv);
int command_gc(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_bench(int argc, char **argv); /* in bench/ */
int command_find(int argc, char **argv);
int command_send(int argc, char **argv);
int command_recv(int argc, char **argv);
int command_pipe(int argc, char **argv);
int command_tap(int argc, char **argv);
int command_put(int argc, char **argv); /* these where there is an object store */
int command_get(int argc, char **argv);
int command_wait(int argc, char **argv);
int command_subscribe(int argc, char **argv);
int command_pin(int argc, char **argv);
int command_unpin(int argc, char **argv);
int command_who(int argc, char **argv);

#endif
