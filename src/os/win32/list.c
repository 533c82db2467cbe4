/* SPDX-License-Identifier: MIT */
/*
 * Listing names: the directory of kernel objects, filtered. All its names are taken first, as objects come and go while
 * entries are looked at. The system counts the entries of a directory, so one that goes while they are read makes the reader
 * miss another: it is read again until it is found alike twice.
 */
#include <os/win32/names.h>

#include <base/error.h>
#include <os/win32/nt.h>
#include <string.h>

#define MOST_READINGS 16

struct found {
	struct found *next;
	wchar_t escaped[];
};

static int open_directory(uint32_t flags, HANDLE *ret_directory)
{
	const struct nt *nt = nt_functions();
	wchar_t path[64] = L"\\BaseNamedObjects", digits[12];
	DWORD session = 0, at = CC_COUNT(digits) - 1;
	struct nt_text text;
	struct nt_object_attributes attributes = {.length = sizeof(attributes), .name = &text};
	LONG status;

	if (!nt->open_directory || !nt->query_directory)
		return error_set(-STOA_ENOTSUP, "this system does not list the names of kernel objects");
	if (!(flags & OS_NAME_GLOBAL))
		(void)ProcessIdToSessionId(GetCurrentProcessId(), &session);
	if (session) {
		digits[at] = 0;
		for (; session; session /= 10)
			digits[--at] = (wchar_t)(L'0' + session % 10);
		wcscpy(path, L"\\Sessions\\");
		wcscat(path, digits + at);
		wcscat(path, L"\\BaseNamedObjects");
	}
	text.text = path;
	text.bytes = (USHORT)(wcslen(path) * sizeof(*path));
	text.room = (USHORT)(text.bytes + sizeof(*path));
	status = nt->open_directory(ret_directory, NT_DIRECTORY_QUERY, &attributes);
	if (NT_DONE(status))
		return 0;
	nt_set_error(status);
	return sys_failed("listing the names of kernel objects");
}

/* Put the entry on the list when it is a record. */
static int take_entry(const struct nt_directory_entry *entry, struct found **list)
{
	const size_t prefix = wcslen(NAMES_RECORD_PREFIX);
	size_t length = entry->name.bytes / sizeof(wchar_t);
	struct found *found;

	if (length <= prefix || wcsncmp(entry->name.text, NAMES_RECORD_PREFIX, prefix) != 0)
		return 0;
	length -= prefix;
	found = os_allocate(sizeof(*found) + (length + 1) * sizeof(wchar_t));
	if (!found)
		return -STOA_ENOMEM;
	memcpy(found->escaped, entry->name.text + prefix, length * sizeof(wchar_t));
	found->next = *list;
	*list = found;
	return 0;
}

static void free_all(struct found *list)
{
	while (list) {
		struct found *next = list->next;

		os_free(list);
		list = next;
	}
}

static bool alike(const struct found *left, const struct found *right)
{
	for (; left && right && wcscmp(left->escaped, right->escaped) == 0; right = right->next)
		left = left->next;
	return !left && !right;
}

static int collect_once(HANDLE directory, struct found **list)
{
	union {
		struct nt_directory_entry entry;
		unsigned char room[4096];
	} buffer;
	ULONG context = 0, length;
	int rc = 0;

	for (bool first = true; rc == 0; first = false) {
		memset(&buffer.entry, 0, sizeof(buffer.entry));
		if (!NT_DONE(nt_functions()->query_directory(directory, &buffer, sizeof(buffer), TRUE, first, &context,
							     &length)) ||
		    !buffer.entry.name.text)
			break;
		rc = take_entry(&buffer.entry, list);
	}
	return rc;
}

/* As often as it takes, but not for ever where names come and go without end. */
static int collect(HANDLE directory, struct found **list)
{
	int rc = collect_once(directory, list);

	for (unsigned tries = 0; rc == 0 && tries < MOST_READINGS; tries++) {
		struct found *again = NULL;
		bool same;

		rc = collect_once(directory, &again);
		same = alike(*list, again);
		free_all(*list);
		*list = again;
		if (same)
			break;
	}
	return rc;
}

/* false: no name of ours, or no more. */
static bool describe(const wchar_t *escaped, uint32_t space, char text[NAMES_TEXT_ROOM],
		     struct os_name_entry *ret_entry)
{
	struct names_record content;
	wchar_t wide[NAMES_ROOM];
	HANDLE record, object;
	bool live;

	if (wcslen(escaped) + 16 > NAMES_ROOM || !names_text(escaped, text))
		return false;
	wcscpy(wide, space & OS_NAME_GLOBAL ? L"Global\\" NAMES_RECORD_PREFIX : L"Local\\" NAMES_RECORD_PREFIX);
	wcscat(wide, escaped);
	*ret_entry = (struct os_name_entry){text, space & OS_NAME_GLOBAL, OS_SENDER_UNKNOWN, true};
	record = names_open_record(wide, 0);
	/* Another user's: that it is there is all that can be told. */
	if (!record)
		return GetLastError() == ERROR_ACCESS_DENIED;
	live = names_read_record(record, &content);
	object = live ? names_open_object(&content, space, MEMORY_READ_ACCESS) : NULL;
	if (object) {
		ret_entry->flags |= content.flags & OS_NAME_WORLD_READABLE;
		ret_entry->owner = memory_owner(object);
		CloseHandle(object);
	}
	CloseHandle(record);
	return object != NULL;
}

int os_name_list(uint32_t flags, int (*visit)(const struct os_name_entry *entry, void *argument), void *argument)
{
	struct found *list = NULL;
	HANDLE directory;
	int rc = open_directory(flags, &directory);

	if (rc < 0)
		return rc;
	rc = collect(directory, &list);
	CloseHandle(directory);
	while (list) {
		struct found *found = list;
		struct os_name_entry entry;
		char text[NAMES_TEXT_ROOM];

		if (rc == 0 && describe(found->escaped, flags, text, &entry))
			rc = visit(&entry, argument);
		list = found->next;
		os_free(found);
	}
	return rc;
}

int os_name_sweep(uint32_t flags, uint32_t *ret_removed)
{
	(void)flags;
	*ret_removed = 0; /* the kernel leaves nothing */
	return 0;
}
