/* SPDX-License-Identifier: MIT */
/* What is behind memory on Windows: as the system tells it, as Wine lets programs touch what is not committed. */
#include <segment/common.h>

#include <os/win32/nt.h>

int probe_byte(volatile unsigned char *byte, bool write)
{
	MEMORY_BASIC_INFORMATION info;

	CHECK(VirtualQuery((const void *)byte, &info, sizeof(info)));
	if (info.State != MEM_COMMIT)
		return ABSENT;
	if (info.Protect & (PAGE_NOACCESS | PAGE_GUARD) ||
	    (write &&
	     !(info.Protect & (PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY))))
		return REFUSED;
	if (write)
		*byte = 1;
	return 0;
}

uint64_t committed_blocks(const struct stoa_segment *segment)
{
	struct os_memory_info info;

	CHECK_RC(os_memory_info(segment->memory, &info), 0);
	/* One page of the roster is always there: it marks where the data begins, as a section has no length of its own. */
	return segment->flags & STOA_RAW ? info.resident : info.resident - PAGE;
}

void need_room(uint64_t reserve)
{
	void *room = VirtualAlloc(NULL, (SIZE_T)(reserve + 2 * MIB), MEM_RESERVE, PAGE_NOACCESS);

	if (!room)
		SKIP("no room for a map of %llu bytes", (unsigned long long)reserve);
	VirtualFree(room, 0, MEM_RELEASE);
}

const bool gives_back = false;
const unsigned open_cost = 10;
const char *const device_path = "NUL";

/* A view longer than its section, of which the section is then extended. */
static bool section_grows(HANDLE section)
{
	const struct nt *nt = nt_functions();
	LARGE_INTEGER size = {.QuadPart = 65536};
	SIZE_T length = 131072;
	void *view = NULL;
	bool grows;

	if (!nt->map_view || !nt->extend_section ||
	    !NT_DONE(nt->map_view(section, GetCurrentProcess(), &view, 0, 0, NULL, &length, NT_VIEW_UNMAP, MEM_RESERVE,
				  PAGE_READWRITE)))
		return false;
	grows = NT_DONE(nt->extend_section(section, &size));
	if (grows)
		((volatile char *)view)[65535] = 1;
	UnmapViewOfFile(view);
	return grows;
}

bool files_grow(void)
{
	char directory[MAX_PATH - 14], path[MAX_PATH];
	HANDLE file, section;
	bool grows;

	GetTempPathA(sizeof(directory), directory);
	GetTempFileNameA(directory, "gro", 0, path);
	file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
			   FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
	section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 4096, NULL);
	CHECK(section);
	grows = section_grows(section);
	CloseHandle(section);
	CloseHandle(file);
	return grows;
}

uint64_t page_table_bytes(void)
{
	return 0;
}

bool name_exists(const char *name)
{
	unsigned char record[OS_NAME_RECORD_MAX];
	size_t length;
	os_handle memory;
	bool left;
	int rc = os_name_look(name, 0, &memory, record, &length, &left);

	if (rc == 0)
		os_handle_close(memory);
	return rc != -STOA_ENOENT;
}

void make_folder(const char *path)
{
	CHECK(CreateDirectoryA(path, NULL));
}
