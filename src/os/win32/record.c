/* SPDX-License-Identifier: MIT */
/*
 * The records of names: how they are called, written and read. A record's state is stored last, so that a maker who
 * dies between two stores leaves no half of a record. They are memory that others may have written: each is copied once
 * and checked.
 */
#include <os/win32/names.h>

#include <base/atomic.h>
#include <base/error.h>
#include <os/win32/nt.h>
#include <string.h>

#define RECORD_VERSION 1u

int names_wide(const wchar_t *prefix, const char *name, uint32_t flags, wchar_t wide[NAMES_ROOM])
{
	wchar_t text[NAMES_ROOM];
	size_t at;

	wcscpy(wide, flags & OS_NAME_GLOBAL ? L"Global\\" : L"Local\\");
	wcscat(wide, prefix);
	at = wcslen(wide);
	if (!sys_wide(name, text, CC_COUNT(text)))
		return error_set(-STOA_ENAME, "'%.64s' cannot be a name: it is too long or not UTF-8", name);
	for (const wchar_t *next = text; *next; next++) {
		bool escaped = *next == L'\\' || *next == L'%';

		if (at + (escaped ? 3 : 1) >= NAMES_ROOM)
			return error_set(-STOA_ENAME, "the name is longer than names of kernel objects may be (%d)",
					 NAMES_ROOM - 1);
		if (escaped) {
			wcscpy(wide + at, *next == L'%' ? L"%25" : L"%5C");
			at += 3;
		} else {
			wide[at++] = *next;
		}
	}
	wide[at] = 0;
	return 0;
}

int names_wide_record(const char *name, uint32_t flags, unsigned number, wchar_t wide[NAMES_ROOM])
{
	int rc = names_wide(NAMES_RECORD_PREFIX, name, flags, wide);
	size_t at;

	if (rc < 0 || !number)
		return rc;
	at = wcslen(wide);
	if (at + 2 >= NAMES_ROOM)
		return error_set(-STOA_ENAME, "the name is longer than names of kernel objects may be (%d)",
				 NAMES_ROOM - 3);
	wide[at] = L'%';
	wide[at + 1] = (wchar_t)(L'0' + number);
	wide[at + 2] = 0;
	return 0;
}

/* The number of a record at the end of its name: not an escape, as these have two digits. */
static bool is_number(const char *text)
{
	return text[0] == '%' && text[1] > '0' && text[1] < (char)('0' + NAMES_RECORDS) && !text[2];
}

const char *names_text(const wchar_t *escaped, char text[NAMES_TEXT_ROOM])
{
	char *to = text;

	if (WideCharToMultiByte(CP_UTF8, 0, escaped, -1, text, NAMES_TEXT_ROOM, NULL, NULL) <= 0)
		return NULL;
	for (const char *from = text; *from && !is_number(from); to++) {
		bool percent = strncmp(from, "%25", 3) == 0, backslash = strncmp(from, "%5C", 3) == 0;

		*to = percent ? '%' : backslash ? '\\' : *from;
		from += percent || backslash ? 3 : 1;
	}
	*to = 0;
	return *text ? text : NULL;
}

HANDLE names_open_record(const wchar_t *wide, DWORD access)
{
	return OpenFileMappingW(MEMORY_READ_ACCESS | access, FALSE, wide);
}

void names_write_record(struct names_page *page, uint32_t flags, const unsigned char id[MEMORY_ID_BYTES],
			const void *bytes, size_t length)
{
	/* A2: before the stores below, also for who finds this process dead; pairs with A1 in names_read_page() */
	(void)swap_acq_rel(&page->state, NAMES_EMPTY);
	page->flags = flags;
	page->length = (uint32_t)length;
	page->version = RECORD_VERSION;
	memcpy(page->id, id, MEMORY_ID_BYTES);
	if (length)
		memcpy(page->bytes, bytes, length);
	store_rel(&page->state, NAMES_LIVE); /* R1: publishes the record; pairs with A1 in names_read_page() */
}

bool names_read_page(struct names_page *page, struct names_record *ret_record)
{
	struct names_page copy;

	if (load_acq(&page->state) != NAMES_LIVE) /* A1: sees the record; pairs with R1 in names_write_record() */
		return false;
	memcpy(&copy, page, sizeof(copy));
	if (copy.version != RECORD_VERSION || copy.length > OS_NAME_RECORD_MAX)
		return false;
	ret_record->flags = copy.flags & (OS_NAME_GLOBAL | OS_NAME_WORLD_READABLE);
	memcpy(ret_record->id, copy.id, sizeof(copy.id));
	memcpy(ret_record->bytes, copy.bytes, sizeof(copy.bytes));
	ret_record->length = copy.length;
	return true;
}

bool names_of_memory(HANDLE section)
{
	struct nt_section_info info;
	const struct nt *nt = nt_functions();

	return nt->query_section && NT_DONE(nt->query_section(section, NT_SECTION_BASIC, &info, sizeof(info), NULL)) &&
	       !(info.attributes & (SEC_FILE | SEC_IMAGE));
}

struct names_page *names_map_record(HANDLE record, DWORD access)
{
	struct names_page *page = MapViewOfFile(record, access, 0, 0, sizeof(struct names_page));

	/* Whoever made it may have committed nothing. */
	if (!page ||
	    (memory_run((const unsigned char *)page, sizeof(*page)) == sizeof(*page) && names_of_memory(record)))
		return page;
	(void)UnmapViewOfFile(page);
	SetLastError(ERROR_INVALID_HANDLE);
	return NULL;
}

bool names_read_record(HANDLE record, struct names_record *ret_record)
{
	struct names_page *page = names_map_record(record, FILE_MAP_READ);
	bool live = page && names_read_page(page, ret_record);

	if (page)
		(void)UnmapViewOfFile(page);
	return live;
}

HANDLE names_open_object(const struct names_record *record, uint32_t space, DWORD access)
{
	wchar_t wide[MEMORY_NAME_ROOM];

	memory_name(space & OS_NAME_GLOBAL, record->id, wide);
	return OpenFileMappingW(access, FALSE, wide);
}
