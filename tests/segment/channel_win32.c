/* SPDX-License-Identifier: MIT */
/* See channel.h: named pipes, whose packets are messages and whose streams are not opened for overlapped operations; and CreateProcess(). */
#include <segment/channel.h>
#include <segment/common.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <windows/start.h>

const char *channel_name(void)
{
	static char name[256];

	snprintf(name, sizeof(name), "\\\\.\\pipe\\stoa-%s", test_name("channel"));
	return name;
}

static DWORD mode_of(enum channel_kind kind, bool waits)
{
	return (kind == CHANNEL_PACKETS ? PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE : 0) | (waits ? 0 : PIPE_NOWAIT);
}

static int make_end(enum channel_kind kind, bool waits)
{
	HANDLE end = CreateNamedPipeA(channel_name(),
				      PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE |
					      (kind == CHANNEL_PACKETS ? FILE_FLAG_OVERLAPPED : 0),
				      mode_of(kind, waits) | PIPE_REJECT_REMOTE_CLIENTS, 1, 4096, 4096, 0, NULL);

	return (int)(intptr_t)end;
}

int channel_lonely(enum channel_kind kind)
{
	return make_end(kind, true);
}

int channel_listen(enum channel_kind kind)
{
	return make_end(kind, true);
}

int channel_accept(int listener)
{
	HANDLE pipe = (HANDLE)(intptr_t)listener;
	OVERLAPPED operation = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
	DWORD none;
	BOOL done = ConnectNamedPipe(pipe, &operation) || GetLastError() == ERROR_PIPE_CONNECTED ||
		    (GetLastError() == ERROR_IO_PENDING && GetOverlappedResult(pipe, &operation, &none, TRUE));

	CloseHandle(operation.hEvent);
	return done ? listener : -1;
}

static int connect_to(const char *name, enum channel_kind kind, bool waits)
{
	HANDLE end = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
				 kind == CHANNEL_PACKETS ? FILE_FLAG_OVERLAPPED : 0, NULL);
	DWORD mode = mode_of(kind, waits) & ~(DWORD)PIPE_TYPE_MESSAGE;

	return end != INVALID_HANDLE_VALUE && SetNamedPipeHandleState(end, &mode, NULL, NULL) ? (int)(intptr_t)end : -1;
}

int channel_connect(const char *name, enum channel_kind kind)
{
	return connect_to(name, kind, true);
}

int channel_pair(enum channel_kind kind, bool waits, int *ret_ends)
{
	ret_ends[0] = make_end(kind, waits);
	ret_ends[1] = ret_ends[0] == -1 ? -1 : connect_to(channel_name(), kind, waits);
	return ret_ends[1] == -1 ? -1 : 0;
}

void channel_close(int end)
{
	CloseHandle((HANDLE)(intptr_t)end);
}

static void write_all(int end, const void *bytes, size_t length)
{
	OVERLAPPED operation = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
	HANDLE pipe = (HANDLE)(intptr_t)end;
	DWORD wrote = 0;

	CHECK(WriteFile(pipe, bytes, (DWORD)length, NULL, &operation) || GetLastError() == ERROR_IO_PENDING);
	CHECK(GetOverlappedResult(pipe, &operation, &wrote, TRUE));
	CHECK_EQ(wrote, length);
	CloseHandle(operation.hEvent);
}

/* What goes before the library's message: where the handle is in the receiver, which is the process at the other end. */
struct packet {
	char magic[8];
	uint64_t handle;
	char bytes[128];
};

static void fill(struct packet *packet, int end, const void *bytes, size_t length, int descriptor)
{
	HANDLE pipe = (HANDLE)(intptr_t)end, self = GetCurrentProcess(), process, copy = NULL;
	ULONG client, server;

	memcpy(packet->magic, "STOAHND\n", 8);
	CHECK_INT(length, <=, sizeof(packet->bytes));
	memcpy(packet->bytes, bytes, length);
	if (descriptor >= 0) {
		CHECK(GetNamedPipeClientProcessId(pipe, &client) && GetNamedPipeServerProcessId(pipe, &server));
		process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, client == GetCurrentProcessId() ? server : client);
		CHECK(process && DuplicateHandle(self, (HANDLE)(intptr_t)descriptor, process, &copy, 0, FALSE,
						 DUPLICATE_SAME_ACCESS));
		CloseHandle(process);
	}
	packet->handle = (uint64_t)(uintptr_t)copy;
}

#define HEAD offsetof(struct packet, bytes)

void channel_put(int end, const void *bytes, size_t first, size_t length, int descriptor)
{
	struct packet packet;

	fill(&packet, end, bytes, length, descriptor);
	write_all(end, &packet, HEAD + first);
	if (first < length)
		write_all(end, packet.bytes + first, length - first);
}

void channel_put_half(int end, const void *bytes, size_t first, int descriptor)
{
	(void)descriptor;
	channel_put(end, bytes, first, first, -1);
}

int strange_descriptor(void)
{
	return (int)(intptr_t)CreateEventA(NULL, FALSE, FALSE, NULL);
}

bool is_open(int descriptor)
{
	DWORD flags;

	return GetHandleInformation((HANDLE)(intptr_t)descriptor, &flags);
}

static void check_file_is_read_only(HANDLE file, void *data)
{
	DWORD wrote, before;

	CHECK(!WriteFile(file, "x", 1, &wrote, NULL) && GetLastError() == ERROR_ACCESS_DENIED);
	CHECK(!SetEndOfFile(file));
	CHECK(!CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL) && GetLastError() == ERROR_ACCESS_DENIED);
	CHECK(!VirtualProtect(data, 4096, PAGE_READWRITE, &before));
}

void check_no_way_to_write(int memory, void *data)
{
	static const DWORD accesses[] = {FILE_MAP_WRITE, FILE_MAP_ALL_ACCESS, FILE_MAP_WRITE | FILE_MAP_EXECUTE};
	HANDLE section = (HANDLE)(intptr_t)memory;
	DWORD before;
	void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 4096);

	if (!view) {
		check_file_is_read_only(section, data);
		return;
	}
	CHECK(!VirtualProtect(view, 4096, PAGE_READWRITE, &before));
	CHECK(UnmapViewOfFile(view));
	for (size_t i = 0; i < CC_COUNT(accesses); i++) {
		CHECK(MapViewOfFile(section, accesses[i], 0, 0, 4096) == NULL);
		CHECK_EQ(GetLastError(), ERROR_ACCESS_DENIED);
	}
	CHECK(!VirtualProtect(data, 4096, PAGE_READWRITE, &before));
}

static void set_environment(const char *setting, bool set)
{
	const char *value = strchr(setting, '=');
	char name[64];

	CHECK(value);
	snprintf(name, sizeof(name), "%.*s", (int)(value - setting), setting);
	CHECK(SetEnvironmentVariableA(name, set ? value + 1 : NULL));
}

intptr_t program_start(struct stoa_segment *segment, const char *setting)
{
	char token[STOA_TOKEN_SIZE], told[sizeof(token) + 32], line[1024] = "\"";
	PROCESS_INFORMATION process;

	if (segment) {
		CHECK_RC(stoa_segment_inherit(segment, token), 0);
		snprintf(told, sizeof(told), "STOA_TEST_TOKEN=%s", token);
		set_environment(told, true);
	}
	set_environment(setting, true);
	GetModuleFileNameA(NULL, line + 1, sizeof(line) - 2);
	strcat(line, "\"");
	CHECK(start_program(line, segment, 0, NULL, &process));
	set_environment(setting, false);
	if (segment)
		set_environment(told, false);
	CloseHandle(process.hThread);
	return (intptr_t)process.hProcess;
}

int program_join(intptr_t program)
{
	DWORD code = 0;

	WaitForSingleObject((HANDLE)program, INFINITE);
	GetExitCodeProcess((HANDLE)program, &code);
	CloseHandle((HANDLE)program);
	return (int)code;
}
