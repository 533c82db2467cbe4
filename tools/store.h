/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands about objects share: ids as words of a command line, connecting, errors. And what ls, stat and rm do with --store; where
 * there is no object store, no_store.c says so.
 */
#ifndef TOOLS_STORE_H
#define TOOLS_STORE_H

#include "tool.h"

#include <stoa/stoa.h>

/* ---- store.c ---- */

struct store_id {
	uint32_t length;
	uint8_t bytes[STOA_ID_MAX];
};

/* A name, or 0x and bytes in hex. TOOL_GO, or TOOL_MISUSE after a sentence that begins with "`command`: ". */
int store_id_parse(const char *command, const char *text, struct store_id *ret_id);

/* The word that store_id_parse() takes for it: the name if it is one that can be shown, else 0x and hex. Returns `buffer`. */
#define STORE_ID_TEXT (2 * STOA_ID_MAX + 3)
const char *store_id_text(const void *id, uint32_t length, char buffer[STORE_ID_TEXT]);

/*
 * `where`: a socket's path; NULL or "": the default. Waits for a server until `deadline`; 0: does not. TOOL_GO, or the status after the error has
 * been said.
 */
int store_connect(const char *command, const char *where, uint64_t deadline, struct stoa_store **ret_store);

/* Say what went wrong with an object, with advice where there is some. Returns TOOL_FAILED, or TOOL_MISUSE. */
int store_fail(const struct store_id *id, int result);

#define STORE_HELP                                                                              \
	"the server at this socket, not the default one: STOA_STORE of\nthe environment, else " \
	"stoad.socket in $XDG_RUNTIME_DIR (root: /run)"

/* ---- store_look.c, store_rm.c ---- */

int store_ls(const char *where, bool as_json);
/* Of the objects that were named, or of the store. */
int store_stat(const char *where, char **words, int count, bool as_json);
/* What a monitor wants to know of the store. */
int store_metrics(const char *where);
int store_rm(const char *where, char **words, int count, bool force, bool as_json);

#endif
