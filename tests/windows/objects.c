/* SPDX-License-Identifier: MIT */
/* Prints the names of all kernel objects of stoa in this session, and of the host, a line each: what tests look at when all is over. */
#include <os/win32/nt.h>

#include <stdio.h>

#define PREFIX L"stoa"

static void print(const struct nt_directory_entry *entry)
{
	size_t length = entry->name.bytes / sizeof(wchar_t), prefix = wcslen(PREFIX);

	if (length < prefix || wcsncmp(entry->name.text, PREFIX, prefix) != 0)
		return;
	printf("%.*ls %.*ls\n", (int)(entry->type.bytes / sizeof(wchar_t)), entry->type.text, (int)length,
	       entry->name.text);
}

static void list(wchar_t *path)
{
	struct nt_text text = {(USHORT)(wcslen(path) * sizeof(*path)), (USHORT)(wcslen(path) * sizeof(*path) + 2),
			       path};
	struct nt_object_attributes attributes = {.length = sizeof(attributes), .name = &text};
	union {
		struct nt_directory_entry entry;
		unsigned char room[4096];
	} buffer;
	ULONG context = 0, length;
	HANDLE directory;

	if (!NT_DONE(nt_functions()->open_directory(&directory, NT_DIRECTORY_QUERY, &attributes)))
		return;
	for (BOOLEAN first = TRUE;; first = FALSE) {
		memset(&buffer.entry, 0, sizeof(buffer.entry));
		if (!NT_DONE(nt_functions()->query_directory(directory, &buffer, sizeof(buffer), TRUE, first, &context,
							     &length)) ||
		    !buffer.entry.name.text)
			break;
		print(&buffer.entry);
	}
	CloseHandle(directory);
}

int main(void)
{
	wchar_t of_session[64];
	DWORD session = 0;

	ProcessIdToSessionId(GetCurrentProcessId(), &session);
	swprintf(of_session, CC_COUNT(of_session), L"\\Sessions\\%lu\\BaseNamedObjects", session);
	list(of_session);
	list((wchar_t[]){L"\\BaseNamedObjects"});
	return 0;
}
