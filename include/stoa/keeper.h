/* SPDX-License-Identifier: MIT */
/*
 * What keeps a store's memory while there is no server, where that is not to be a process of the library's own: a service manager that keeps
 * descriptors for the next start of a program, as systemd does (stoad uses it so), or anything else that outlives the server.
 *
 * The functions are the program's. The server calls them in stoa_server_start(), run and close, one at a time, in the thread that called these; they
 * must not call the server. They return 0 or a negative STOA_E*.
 */
#ifndef STOA_KEEPER_H
#define STOA_KEEPER_H

#include <stdint.h>
#include <stoa/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_KEPT_NAME 32 /* bytes of a name with its final 0: printable ASCII without blanks and ':' */

struct stoa_kept {
	const char *name;
	intptr_t descriptor; /* the server's; the keeper makes a copy */
};

struct stoa_keeper {
	/*
	 * Once this has returned 0 all of them are kept, though this process die at its next instruction. What had a name before is let go. When it fails, any of them may be
	 * kept. ELIMIT: no more can be.
	 */
	int (*put)(void *argument, const struct stoa_kept *kept, uint32_t count);
	/* Let go of the one name. ENOENT. */
	int (*drop)(void *argument, const char *name);
	/*
	 * Call `visit` for each that was kept when this program began, with a descriptor that is then the visit's, until it returns non-zero; that is the
	 * result. Only the first call of this process need have any.
	 */
	int (*visit)(void *argument, int (*visit)(const char *name, intptr_t descriptor, void *visit_argument),
		     void *visit_argument);
	/* Let go of all: the store ends. */
	int (*clear)(void *argument);
	void *argument;
};

#ifdef __cplusplus
}
#endif
#endif
