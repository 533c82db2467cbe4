/* SPDX-License-Identifier: MIT */
/*
 * Names as kernel objects. Local\ is the user's session, Global\ the host; each name has
 *   stoa.n.NAME   a section of one page: the record, which says what object has the name
 *   stoa.g.NAME   a mutex: the gate, held while the record changes
 * and its object is a section stoa.o.ID (memory.c). The kernel removes each with its last handle. Each user of a name holds its
 * record, so that the name goes with the last of them, however that ends.
 */
#ifndef OS_WIN32_NAMES_H
#define OS_WIN32_NAMES_H

#include <os/win32/memory.h>

#define NAMES_RECORD_PREFIX L"stoa.n."
#define NAMES_GATE_PREFIX L"stoa.g."
#define NAMES_ROOM MAX_PATH
#define NAMES_TEXT_ROOM 256

/* A record's content, copied and checked. */
struct names_record {
	uint32_t flags; /* OS_NAME_* of the publisher */
	unsigned char id[MEMORY_ID_BYTES];
	unsigned char bytes[OS_NAME_RECORD_MAX];
	size_t length;
};

/* "Local\<prefix><name>", what kernel objects cannot have in their names escaped. -STOA_ENAME: too long. */
int names_wide(const wchar_t *prefix, const char *name, uint32_t flags, wchar_t wide[NAMES_ROOM]);

/* The other way: what follows the prefix. NULL: none of ours. */
const char *names_text(const wchar_t *escaped, char text[NAMES_TEXT_ROOM]);

/* Open a record to read it. GetLastError() on NULL. */
HANDLE names_open_record(const wchar_t *wide);

/* false: the name refers to nothing. */
bool names_read_record(HANDLE record, struct names_record *ret_record);

/* Open the object of a record; GetLastError() on NULL. */
HANDLE names_open_object(const struct names_record *record, uint32_t space, DWORD access);

#endif
