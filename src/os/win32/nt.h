/* SPDX-License-Identifier: MIT */
/*
 * Functions of ntdll that the Win32 API does not offer in full: what a handle refers to, views longer than their
 * section, and listing the names of kernel objects. A system may lack any of them: then its pointer is NULL.
 */
#ifndef OS_WIN32_NT_H
#define OS_WIN32_NT_H

#include <os/win32/sys.h>

struct nt_text {
	USHORT bytes, room;
	wchar_t *text; /* without a final 0 */
};

struct nt_object_attributes {
	ULONG length;
	HANDLE root;
	struct nt_text *name;
	ULONG attributes;
	void *descriptor, *quality;
};

struct nt_object_info {
	ULONG attributes;
	ACCESS_MASK access;
	ULONG handles, pointers, unused[10];
};

struct nt_section_info {
	void *base;
	ULONG attributes; /* SEC_* */
	LARGE_INTEGER size;
};

struct nt_mutex_info {
	LONG count;
	BOOLEAN ours, abandoned;
};

struct nt_io_status {
	LONG_PTR status;
	ULONG_PTR information;
};

struct nt_pipe_info {
	ULONG type, configuration, instances_most, instances, in_quota, in_available, out_quota, out_available;
	ULONG state; /* NT_PIPE_* */
	ULONG end;
};

struct nt_directory_entry {
	struct nt_text name, type;
};

#define NT_OBJECT_BASIC 0
#define NT_OBJECT_NAME 1
#define NT_SECTION_BASIC 0
#define NT_MUTEX_BASIC 0
#define NT_FILE_PIPE_LOCAL 24
#define NT_PIPE_DISCONNECTED 1
#define NT_PIPE_LISTENING 2
#define NT_PIPE_CLOSING 4
#define NT_VIEW_UNMAP 2
#define NT_DIRECTORY_QUERY 1
#define NT_NOT_IMPLEMENTED ((LONG)0xc0000002)
#define NT_DONE(status) ((status) >= 0)

struct nt {
	LONG(NTAPI *query_object)(HANDLE object, int what, void *buffer, ULONG room, ULONG *ret_length);
	LONG(NTAPI *query_section)(HANDLE section, int what, void *buffer, SIZE_T room, SIZE_T *ret_length);
	LONG(NTAPI *query_mutex)(HANDLE mutex, int what, void *buffer, ULONG room, ULONG *ret_length);
	LONG(NTAPI *query_file)
	(HANDLE file, struct nt_io_status *status, void *buffer, ULONG room, int what);
	LONG(NTAPI *create_section)
	(HANDLE *ret_section, ACCESS_MASK access, struct nt_object_attributes *attributes, LARGE_INTEGER *size,
	 ULONG protection, ULONG kind, HANDLE file);
	LONG(NTAPI *map_view)
	(HANDLE section, HANDLE process, void **address, ULONG_PTR zero_bits, SIZE_T commit, LARGE_INTEGER *offset,
	 SIZE_T *length, int inherit, ULONG kind, ULONG protection);
	LONG(NTAPI *extend_section)(HANDLE section, LARGE_INTEGER *size);
	LONG(NTAPI *open_directory)(HANDLE *ret_directory, ACCESS_MASK access, struct nt_object_attributes *attributes);
	LONG(NTAPI *query_directory)
	(HANDLE directory, void *buffer, ULONG room, BOOLEAN single, BOOLEAN restart, ULONG *context,
	 ULONG *ret_length);
	ULONG(NTAPI *error_of)(LONG status);
	BOOL(WINAPI *prefetch)(HANDLE process, ULONG_PTR count, void *ranges, ULONG flags);
	void *(WINAPI *allocate)(HANDLE process, void *base, SIZE_T length, ULONG kind, ULONG protection, void *more,
				 ULONG count);
	void *(WINAPI *map)(HANDLE section, HANDLE process, void *base, ULONG64 offset, SIZE_T length, ULONG kind,
			    ULONG protection, void *more, ULONG count);
	BOOL(WINAPI *unmap)(HANDLE process, void *base, ULONG flags);
	BOOL(WINAPI *client_computer)(HANDLE pipe, wchar_t *name, ULONG room);
};

const struct nt *nt_functions(void);

/* Let GetLastError() say what an NT status means. */
void nt_set_error(LONG status);

#endif
