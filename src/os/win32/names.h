/* SPDX-License-Identifier: MIT */
/*
 * Names as kernel objects. Local\ is the user's session, Global\ the host; each name has
 *   stoa.n.NAME   a section of one page: the record, which says what object has the name
 *   stoa.g.NAME   a mutex: the gate, held while the record changes
 * and its object is a section stoa.o.ID (memory.c). The kernel removes each with its last handle. Each user of a name
 * holds its record, so that the name goes with the last of them, however that ends.
 *
 * Users of a removed name hold its record for as long as they like. So that they do not hold up the next owner's name too,
 * that one takes another record: stoa.n.NAME%1 to %3.
 *
 * Other users share these directories with us and may have been first with any name. What is theirs is told by the
 * owner that the system notes for each object: it is refused, but for reading what the host may read.
 */
#ifndef OS_WIN32_NAMES_H
#define OS_WIN32_NAMES_H

#include <os/win32/memory.h>
#include <stdatomic.h>

#define NAMES_RECORD_PREFIX L"stoa.n."
#define NAMES_GATE_PREFIX L"stoa.g."
#define NAMES_ROOM MAX_PATH
#define NAMES_TEXT_ROOM 256

/* In the record's page; zeros before the first maker. */
struct names_page {
	_Atomic uint32_t state;
	uint32_t flags;
	uint32_t length;
	uint32_t version;
	unsigned char id[MEMORY_ID_BYTES];
	unsigned char bytes[OS_NAME_RECORD_MAX];
};
_Static_assert(offsetof(struct names_page, flags) == 4, "layout");
_Static_assert(offsetof(struct names_page, length) == 8, "layout");
_Static_assert(offsetof(struct names_page, version) == 12, "layout");
_Static_assert(offsetof(struct names_page, id) == 16, "layout");
_Static_assert(offsetof(struct names_page, bytes) == 32, "layout");
_Static_assert(sizeof(struct names_page) == 288, "layout");

enum { NAMES_EMPTY, NAMES_LIVE, NAMES_GONE };

/* A record's content, copied and checked. */
struct names_record {
	uint32_t flags; /* OS_NAME_* of the publisher */
	unsigned char id[MEMORY_ID_BYTES];
	unsigned char bytes[OS_NAME_RECORD_MAX];
	size_t length;
};

/* "Local\<prefix><name>", what kernel objects cannot have in their names escaped. -STOA_ENAME: too long. */
int names_wide(const wchar_t *prefix, const char *name, uint32_t flags, wchar_t wide[NAMES_ROOM]);

/* A name's records, in the order in which they are looked for. */
#define NAMES_RECORDS 4u
int names_wide_record(const char *name, uint32_t flags, unsigned number, wchar_t wide[NAMES_ROOM]);

/* The other way: what follows the prefix, of whichever record. NULL: none of ours. */
const char *names_text(const wchar_t *escaped, char text[NAMES_TEXT_ROOM]);

/* Open a record to read it, and more as `access` says. GetLastError() on NULL. */
HANDLE names_open_record(const wchar_t *wide, DWORD access);

/* false: the name refers to nothing. */
bool names_read_record(HANDLE record, struct names_record *ret_record);

/* NULL also where it is not memory that can be touched: GetLastError() is ERROR_INVALID_HANDLE then. */
struct names_page *names_map_record(HANDLE record, DWORD access);

/* Under the gate. */
void names_write_record(struct names_page *page, uint32_t flags, const unsigned char id[MEMORY_ID_BYTES],
			const void *bytes, size_t length);

/*
 * Other users read without the gate, and may get parts of two records: an id that nothing has, so that the object is gone. The
 * bytes are only ever of raw segments, which others cannot read.
 */
bool names_read_page(struct names_page *page, struct names_record *ret_record);

/* Is it a section of memory, not of a file? Touching a file's page can fail at any time. */
bool names_of_memory(HANDLE section);

/* Open the object of a record; GetLastError() on NULL. */
HANDLE names_open_object(const struct names_record *record, uint32_t space, DWORD access);

#endif
