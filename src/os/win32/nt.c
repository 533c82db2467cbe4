/* SPDX-License-Identifier: MIT */
/* Finding the functions of ntdll, once. */
#include <os/win32/nt.h>

static struct nt nt;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

typedef void function(void);

static function *find(const wchar_t *library, const char *name)
{
	HMODULE module = GetModuleHandleW(library);

	return module ? (function *)GetProcAddress(module, name) : NULL;
}

static BOOL CALLBACK set_up(PINIT_ONCE self, PVOID parameter, PVOID *context)
{
	static const wchar_t library[] = L"ntdll.dll";
	DWORD before = GetLastError(); /* a caller's, which what lacks here must not replace */

	(void)self, (void)parameter, (void)context;
	nt.query_object = (CC_TYPEOF(nt.query_object))find(library, "NtQueryObject");
	nt.query_section = (CC_TYPEOF(nt.query_section))find(library, "NtQuerySection");
	nt.query_mutex = (CC_TYPEOF(nt.query_mutex))find(library, "NtQueryMutant");
	nt.query_file = (CC_TYPEOF(nt.query_file))find(library, "NtQueryInformationFile");
	nt.create_section = (CC_TYPEOF(nt.create_section))find(library, "NtCreateSection");
	nt.map_view = (CC_TYPEOF(nt.map_view))find(library, "NtMapViewOfSection");
	nt.extend_section = (CC_TYPEOF(nt.extend_section))find(library, "NtExtendSection");
	nt.open_directory = (CC_TYPEOF(nt.open_directory))find(library, "NtOpenDirectoryObject");
	nt.query_directory = (CC_TYPEOF(nt.query_directory))find(library, "NtQueryDirectoryObject");
	nt.error_of = (CC_TYPEOF(nt.error_of))find(library, "RtlNtStatusToDosError");
	nt.prefetch = (CC_TYPEOF(nt.prefetch))find(L"kernel32.dll", "PrefetchVirtualMemory");
	nt.client_computer = (CC_TYPEOF(nt.client_computer))find(L"kernel32.dll", "GetNamedPipeClientComputerNameW");
	nt.allocate = (CC_TYPEOF(nt.allocate))find(L"kernelbase.dll", "VirtualAlloc2");
	nt.map = (CC_TYPEOF(nt.map))find(L"kernelbase.dll", "MapViewOfFile3");
	nt.unmap = (CC_TYPEOF(nt.unmap))find(L"kernelbase.dll", "UnmapViewOfFile2");
	SetLastError(before);
	return TRUE;
}

/* Looking for what is not there sets an error, which would hide one that a caller is about to tell. */
const struct nt *nt_functions(void)
{
	DWORD error = GetLastError();

	InitOnceExecuteOnce(&once, set_up, NULL, NULL);
	SetLastError(error);
	return &nt;
}

void nt_set_error(LONG status)
{
	SetLastError(nt_functions()->error_of ? nt_functions()->error_of(status) : ERROR_GEN_FAILURE);
}
