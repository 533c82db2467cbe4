/* SPDX-License-Identifier: MIT */
/* See objects_each.h. */
#include <windows/objects_each.h>

#include <os/win32/nt.h>

#define PREFIX L"stoa"

struct visitor {
	void (*visit)(const wchar_t *kind, const wchar_t *name, void *argument);
	void *argument;
};

/* Texts of the system have no final 0. */
static const wchar_t *copy(const struct nt_text *text, wchar_t room[512])
{
	size_t length = text->bytes / sizeof(wchar_t);

	length = length < 511 ? length : 511;
	memcpy(room, text->text, length * sizeof(wchar_t));
	room[length] = 0;
	return room;
}

static void each_in(wchar_t *path, const struct visitor *visitor)
{
	struct nt_text text = {(USHORT)(wcslen(path) * sizeof(*path)), (USHORT)(wcslen(path) * sizeof(*path) + 2),
			       path};
	struct nt_object_attributes attributes = {.length = sizeof(attributes), .name = &text};
	union {
		struct nt_directory_entry entry;
		unsigned char room[4096];
	} buffer;
	wchar_t kind[512], name[512];
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
		if (wcsncmp(copy(&buffer.entry.name, name), PREFIX, wcslen(PREFIX)) == 0)
			visitor->visit(copy(&buffer.entry.type, kind), name, visitor->argument);
	}
	CloseHandle(directory);
}

void objects_each(void (*visit)(const wchar_t *kind, const wchar_t *name, void *argument), void *argument)
{
	const struct visitor visitor = {visit, argument};
	wchar_t of_session[64];
	DWORD session = 0;

	ProcessIdToSessionId(GetCurrentProcessId(), &session);
	swprintf(of_session, CC_COUNT(of_session), L"\\Sessions\\%lu\\BaseNamedObjects", session);
	each_in(of_session, &visitor);
	each_in((wchar_t[]){L"\\BaseNamedObjects"}, &visitor);
}
