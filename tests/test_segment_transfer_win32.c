/* SPDX-License-Identifier: MIT */
/*
 * As test_segment_transfer.c, by what Windows alone has: kinds of pipes, completion ports, lists of handles to inherit, files that
 * go with their last handle, and sections that others have made.
 */
#include <segment/channel.h>
#include <segment/common.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <windows/start.h>

static struct stoa_segment *make(uint64_t commit)
{
	struct stoa_segment_options options = {.commit = commit};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	return segment;
}

static int number_of(HANDLE handle)
{
	CHECK(handle && handle != INVALID_HANDLE_VALUE);
	return (int)(intptr_t)handle;
}

static HANDLE handle_of(int number)
{
	return (HANDLE)(intptr_t)number;
}

/* ---- pipes ---- */

struct ends {
	HANDLE server, client;
};

static struct ends make_pipe(DWORD type, DWORD overlapped)
{
	const char *name = channel_name();
	struct ends ends = {CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX | overlapped, type, 1, 4096, 4096, 0, NULL),
			    NULL};

	CHECK(ends.server != INVALID_HANDLE_VALUE);
	ends.client = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, overlapped, NULL);
	CHECK(ends.client != INVALID_HANDLE_VALUE);
	return ends;
}

static void close_pipe(struct ends ends)
{
	CloseHandle(ends.client);
	CloseHandle(ends.server);
}

static void send_through(HANDLE from, HANDLE to)
{
	struct stoa_segment *segment = make(PAGE), *received;

	bytes_of(segment)[0] = 1;
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, number_of(from)), 0);
	CHECK_RC(stoa_segment_receive_with_socket(number_of(to), &received, NULL), 0);
	bytes_of(received)[0] = 2;
	CHECK_EQ(bytes_of(segment)[0], 2);
	stoa_segment_close(received);
	stoa_segment_close(segment);
}

/* Written as one message, read as bytes or as a message; opened for overlapped operations or not. */
TEST(pipes_of_every_kind)
{
	static const DWORD types[] = {PIPE_TYPE_BYTE, PIPE_TYPE_MESSAGE, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE};

	for (size_t i = 0; i < CC_COUNT(types); i++)
		for (DWORD overlapped = 0; overlapped <= FILE_FLAG_OVERLAPPED; overlapped += FILE_FLAG_OVERLAPPED) {
			struct ends ends = make_pipe(types[i], overlapped);

			send_through(ends.server, ends.client);
			send_through(ends.client, ends.server);
			close_pipe(ends);
		}
}

/* A program's own completion port hears nothing of what goes over its pipe in a call of ours. */
TEST(no_word_to_completion_ports)
{
	struct ends ends = make_pipe(PIPE_TYPE_BYTE, FILE_FLAG_OVERLAPPED);
	HANDLE port = CreateIoCompletionPort(ends.server, NULL, 7, 1);
	OVERLAPPED *operation;
	ULONG_PTR key;
	DWORD moved;

	CHECK(port);
	send_through(ends.server, ends.client);
	send_through(ends.client, ends.server);
	CHECK(!GetQueuedCompletionStatus(port, &moved, &key, &operation, 0));
	CHECK_EQ(GetLastError(), WAIT_TIMEOUT);
	CloseHandle(port);
	close_pipe(ends);
}

static void put(HANDLE pipe, const void *bytes, DWORD length)
{
	DWORD wrote;

	CHECK(WriteFile(pipe, bytes, length, &wrote, NULL) && wrote == length);
}

struct packet {
	char magic[8];
	uint64_t handle;
	char bytes[32];
};

static void refuse(const struct packet *packet, DWORD length, int expected)
{
	struct ends ends = make_pipe(PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, 0);
	DWORD mode = PIPE_READMODE_MESSAGE;
	struct stoa_segment *none = NULL;

	CHECK(SetNamedPipeHandleState(ends.client, &mode, NULL, NULL));
	put(ends.server, packet, length);
	CHECK_RC(stoa_segment_receive_with_socket(number_of(ends.client), &none, NULL), expected);
	CHECK(none == NULL);
	close_pipe(ends);
}

/* Numbers that are no handle, or not one that can have come so, are not touched; nor is what is no message of ours. */
TEST(numbers_that_are_no_handles)
{
	static const uint64_t numbers[] = {0, UINT64_MAX, 0x7ffffffc, UINT64_C(1) << 32};
	struct packet packet = {"STOAHND\n", 0, "STOASND\n\1"};
	HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
	DWORD flags;

	for (size_t i = 0; i < CC_COUNT(numbers); i++) {
		packet.handle = numbers[i];
		refuse(&packet, sizeof(packet), -STOA_EFORMAT);
	}
	packet.handle = (uint64_t)number_of(event);
	for (DWORD length = 1; length < 16; length += 7)
		refuse(&packet, length, -STOA_EFORMAT);
	packet.magic[0] = 'X';
	refuse(&packet, sizeof(packet), -STOA_EFORMAT);
	refuse(&packet, sizeof(packet) - 1, -STOA_EFORMAT);
	packet.handle |= UINT64_C(1) << 32;
	packet.magic[0] = 'S';
	refuse(&packet, sizeof(packet), -STOA_EFORMAT);
	CHECK(GetHandleInformation(event, &flags));
	CloseHandle(event);
}

static void use_an_end_of_others(void *argument)
{
	struct stoa_segment *segment = make(PAGE), *none = NULL;
	int end = (int)(uintptr_t)argument;

	check_refusal(stoa_segment_receive_with_socket(end, &none, NULL), "opened by another process");
	check_refusal(stoa_segment_send_with_socket(segment, STOA_READ, end), "opened by another process");
	check_refusal(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, end), "opened by another process");
	CHECK(none == NULL);
	stoa_segment_close(segment);
}

/* Whose handles a message is about is told by who opened the pipe: an end that was inherited leads to the wrong process. */
TEST(an_inherited_end_is_refused)
{
	struct ends ends = make_pipe(PIPE_TYPE_BYTE, 0);

	CHECK(SetHandleInformation(ends.client, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
	CHECK_EQ(test_join(test_role(use_an_end_of_others, (void *)(uintptr_t)number_of(ends.client))), 0);
	close_pipe(ends);
}

TEST(a_pipe_that_was_disconnected)
{
	struct ends ends = make_pipe(PIPE_TYPE_BYTE, 0);
	struct stoa_segment *segment = make(PAGE), *none = NULL;

	CHECK(DisconnectNamedPipe(ends.server));
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, number_of(ends.server)), -STOA_ECLOSED);
	CHECK_RC(stoa_segment_receive_with_socket(number_of(ends.server), &none, NULL), -STOA_ECLOSED);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, number_of(ends.client)), -STOA_ECLOSED);
	CHECK_RC(stoa_segment_receive_with_socket(number_of(ends.client), &none, NULL), -STOA_ECLOSED);
	CHECK(none == NULL);
	stoa_segment_close(segment);
	close_pipe(ends);
}

/* ---- what others have made ---- */

static void expect_a_page_more(struct stoa_segment *segment, struct stoa_segment *again)
{
	CHECK_EQ(stoa_segment_committed(segment), PAGE);
	CHECK_EQ(touch(bytes_of(segment) + PAGE), ABSENT);
	CHECK_RC(stoa_segment_commit(again, 2 * PAGE), 0);
	CHECK_EQ(touch(bytes_of(again) + PAGE), 0);
	CHECK_EQ(bytes_of(segment)[PAGE], 1);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
}

/* Sections do not grow: a reserve that is longer would be memory of this process alone. */
TEST(a_foreign_section_is_taken_raw)
{
	HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, 1 << 20, NULL);
	struct stoa_segment_options raw = {.flags = STOA_RAW};
	struct stoa_segment *segment, *again, *none = NULL;
	int number = number_of(section), other;
	char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);

	CHECK(view && VirtualAlloc(view, PAGE, MEM_COMMIT, PAGE_READWRITE));
	strcpy(view, "hello");
	CHECK_RC(stoa_segment_take_descriptor(number, 2 * MIB, NULL, &none), -STOA_ERANGE);
	check_detail("1048576");
	CHECK_RC(stoa_segment_take_descriptor(number, MIB + 1, &raw, &none), -STOA_ERANGE);
	CHECK(none == NULL && is_open(number));
	CHECK_RC(stoa_segment_take_descriptor(number, MIB, &raw, &segment), 0);
	CHECK_EQ(segment->roster_slots, 0);
	CHECK_STR((const char *)bytes_of(segment), "hello");
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &other), 0);
	CHECK_RC(stoa_segment_take_descriptor(other, MIB, &raw, &again), 0);
	expect_a_page_more(segment, again);
	CHECK_RC(stoa_segment_commit(segment, MIB), 0);
	view[MIB - 1] = 9;
	CHECK_EQ(bytes_of(segment)[MIB - 1], 9);
	CHECK_EQ(bytes_of(again)[MIB - 1], 9);
	CHECK_RC(stoa_segment_commit(segment, MIB + 1), -STOA_ERANGE);
	stoa_segment_close(again);
	stoa_segment_close(segment);
	CHECK(UnmapViewOfFile(view));
	CHECK(!is_open(number));
}

TEST(a_section_that_only_reads)
{
	HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, PAGE, NULL), reader;
	struct stoa_segment *segment;

	CHECK(DuplicateHandle(GetCurrentProcess(), section, GetCurrentProcess(), &reader,
			      SECTION_MAP_READ | SECTION_QUERY, FALSE, 0));
	CHECK_RC(stoa_segment_take_descriptor(number_of(reader), 0, NULL, &segment), 0);
	CHECK_EQ(stoa_segment_reserve(segment), PAGE);
	CHECK_EQ(touch(bytes_of(segment)), REFUSED);
	CHECK_RC(stoa_segment_commit(segment, PAGE), -STOA_ERIGHTS);
	check_no_way_to_write((int)segment->memory, bytes_of(segment));
	stoa_segment_close(segment);
	CloseHandle(section);
}

/* ---- a file that goes with its last handle ---- */

static struct stoa_segment *temporary;

static void write_to_file(void *argument)
{
	(void)argument;
	memcpy(bytes_of(temporary) + PAGE, "by the child", 13);
}

TEST(r4_unlinked_temporary_file)
{
	char path[MAX_PATH];
	HANDLE file;

	snprintf(path, sizeof(path), "%s\\temporary", test_dir());
	file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
			   NULL, CREATE_NEW, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
	CHECK_RC(stoa_segment_take_descriptor(number_of(file), 2 * PAGE, NULL, &temporary), 0);
	CHECK_RC(stoa_segment_commit(temporary, 2 * PAGE), 0);
	test_share(&temporary, NULL);
	CHECK_EQ(test_join(test_role(write_to_file, NULL)), 0);
	CHECK_STR((const char *)bytes_of(temporary) + PAGE, "by the child");
	stoa_segment_close(temporary);
	CHECK_EQ(GetFileAttributesA(path), INVALID_FILE_ATTRIBUTES);
}

/* ---- a program that inherits what is on a list, and nothing else ---- */

/* What the program that was started so does, before the harness would: the number is in its environment. */
CC_CONSTRUCTOR static void be_what_we_were_told(void)
{
	const char *number = getenv("STOA_TEST_NUMBER"), *other = getenv("STOA_TEST_OTHER");
	struct stoa_segment *segment;

	if (!number || !other)
		return;
	if (is_open(atoi(other)))
		_Exit(2);
	if (stoa_segment_take_descriptor(atoi(number), 0, NULL, &segment) != 0)
		_Exit(3);
	if (bytes_of(segment)[0] != 17 || stoa_segment_commit(segment, 2 * PAGE) != 0 ||
	    os_handle_inherited(segment->memory))
		_Exit(4);
	bytes_of(segment)[PAGE] = 18;
	stoa_segment_close(segment);
	_Exit(0);
}

static void tell(const char *name, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	CHECK(SetEnvironmentVariableA(name, number ? text : NULL));
}

/* Started with that handle alone; the two calls say how much room the list needs. */
static DWORD run_with_handle(HANDLE handle)
{
	STARTUPINFOEXA how = {.StartupInfo.cb = sizeof(how)};
	PROCESS_INFORMATION process;
	char program[600] = "\"";
	SIZE_T room = 0;
	DWORD code;

	InitializeProcThreadAttributeList(NULL, 1, 0, &room);
	how.lpAttributeList = malloc(room);
	CHECK(InitializeProcThreadAttributeList(how.lpAttributeList, 1, 0, &room));
	CHECK(UpdateProcThreadAttribute(how.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &handle,
					sizeof(handle), NULL, NULL));
	GetModuleFileNameA(NULL, program + 1, sizeof(program) - 2);
	strcat(program, "\"");
	CHECK(start_program(program, true, EXTENDED_STARTUPINFO_PRESENT, &how.StartupInfo, &process));
	code = finish_program(&process);
	DeleteProcThreadAttributeList(how.lpAttributeList);
	free(how.lpAttributeList);
	return code;
}

TEST(a_list_of_handles_to_inherit)
{
	struct stoa_segment *segment = make(PAGE), *other = make(PAGE);
	int descriptor;

	bytes_of(segment)[0] = 17;
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK(SetHandleInformation(handle_of(descriptor), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
	CHECK_RC(os_handle_inherit(other->memory), 0); /* it would be inherited, but is not on the list */
	tell("STOA_TEST_NUMBER", descriptor);
	tell("STOA_TEST_OTHER", (int)other->memory);
	CHECK_EQ(run_with_handle(handle_of(descriptor)), 0);
	tell("STOA_TEST_NUMBER", 0);
	tell("STOA_TEST_OTHER", 0);
	CHECK_EQ(bytes_of(segment)[PAGE], 18);
	channel_close(descriptor);
	stoa_segment_close(other);
	stoa_segment_close(segment);
}
