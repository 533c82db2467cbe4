/* SPDX-License-Identifier: MIT */
/*
 * One message with one handle over a named pipe: the sender puts a copy of the handle into the receiver's process and
 * says its number there. Only a process that may do that can mean such a number: one of another user cannot, and a
 * message from one is refused before anything is done with the number, which could be that of any handle here.
 *
 *   offset size field
 *   0      8    magic   "STOAHND\n"
 *   8      8    handle  its number in the receiver
 *   16     n    the caller's bytes
 */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <string.h>

struct message {
	uint8_t magic[8];
	uint64_t handle;
};
_Static_assert(offsetof(struct message, handle) == 8, "layout");
_Static_assert(sizeof(struct message) == 16, "layout");

static const uint8_t message_magic[8] = {'S', 'T', 'O', 'A', 'H', 'N', 'D', '\n'};

#define CALLER_MAX 512

/* Which process is at the other end. */
static int peer_process(HANDLE pipe, DWORD *ret_id)
{
	ULONG client, server;

	if (GetFileType(pipe) != FILE_TYPE_PIPE || !GetNamedPipeClientProcessId(pipe, &client) ||
	    !GetNamedPipeServerProcessId(pipe, &server))
		return error_set(-STOA_EINVAL, "handing a segment over needs a connected named pipe");
	*ret_id = client == GetCurrentProcessId() ? server : client;
	return 0;
}

/* Reads or writes all of it; pipes may have been opened for overlapped operations or not. */
static int move(HANDLE pipe, void *bytes, size_t length, bool out, size_t *ret_moved)
{
	OVERLAPPED operation = {0};
	DWORD moved = 0, error = ERROR_SUCCESS;
	size_t used = 0;
	int rc = 0;

	operation.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!operation.hEvent)
		return sys_failed("making an event to wait for a pipe");
	while (used < length && error == ERROR_SUCCESS) {
		char *at = (char *)bytes + used;
		DWORD left = (DWORD)(length - used);

		if (!(out ? WriteFile(pipe, at, left, NULL, &operation) : ReadFile(pipe, at, left, NULL, &operation)))
			error = GetLastError();
		/* A packet that is longer than we wanted leaves the rest to the next read. */
		if (error == ERROR_IO_PENDING || error == ERROR_MORE_DATA)
			error = ERROR_SUCCESS;
		moved = 0;
		if (error == ERROR_SUCCESS && !GetOverlappedResult(pipe, &operation, &moved, TRUE))
			error = GetLastError() == ERROR_MORE_DATA ? ERROR_SUCCESS : GetLastError();
		used += moved;
	}
	CloseHandle(operation.hEvent);
	SetLastError(error);
	if (error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA || error == ERROR_PIPE_NOT_CONNECTED)
		rc = error_set(-STOA_ECLOSED, "the other end has closed the pipe");
	else if (error != ERROR_SUCCESS)
		rc = sys_failed("%s a segment", out ? "sending" : "receiving");
	*ret_moved = used;
	return rc;
}

/* Put a copy of the handle into the process. */
static int give(DWORD id, os_handle passed, uint64_t *ret_number)
{
	HANDLE process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, id), copy;
	BOOL done;

	if (!process)
		return sys_failed("handing a segment to process %lu", id);
	done = DuplicateHandle(GetCurrentProcess(), sys_handle(passed), process, &copy, 0, FALSE,
			       DUPLICATE_SAME_ACCESS);
	CloseHandle(process);
	if (!done)
		return sys_failed("handing a segment to process %lu", id);
	*ret_number = (uint64_t)(uintptr_t)copy;
	return 0;
}

/* Take back what nobody will hear of. */
static void take_back(DWORD id, uint64_t number)
{
	HANDLE process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, id);

	if (!process)
		return;
	(void)DuplicateHandle(process, sys_handle((os_handle)number), NULL, NULL, 0, FALSE, DUPLICATE_CLOSE_SOURCE);
	CloseHandle(process);
}

int os_send(os_handle socket, const void *bytes, size_t length, os_handle passed)
{
	unsigned char packet[sizeof(struct message) + CALLER_MAX];
	struct message message;
	size_t sent;
	DWORD id;
	int rc = length <= CALLER_MAX ? peer_process(sys_handle(socket), &id) : -STOA_EINVAL;

	if (rc == 0)
		rc = give(id, passed, &message.handle);
	if (rc < 0)
		return rc;
	memcpy(message.magic, message_magic, sizeof(message_magic));
	memcpy(packet, &message, sizeof(message));
	memcpy(packet + sizeof(message), bytes, length);
	rc = move(sys_handle(socket), packet, sizeof(message) + length, true, &sent);
	/* Once all is said the number is the receiver's. */
	if (rc < 0 && sent < sizeof(message) + length)
		take_back(id, message.handle);
	return rc;
}

int os_socket_peer(os_handle socket, uint32_t *ret_user)
{
	HANDLE process;
	DWORD id;
	int rc = peer_process(sys_handle(socket), &id);

	if (rc < 0)
		return rc;
	process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, id);
	*ret_user = process ? sys_user_of(process) : OS_SENDER_UNKNOWN;
	if (process)
		CloseHandle(process);
	return 0;
}

/*
 * Who sent what was received, even when that process has ended: the system noted the client when it connected, and a
 * pipe belongs to the user who made it.
 */
static uint32_t sender_of(HANDLE pipe)
{
	uint32_t user = OS_SENDER_UNKNOWN;
	DWORD flags = 0;
	HANDLE token;

	if (os_socket_peer((os_handle)pipe, &user) < 0 || user != OS_SENDER_UNKNOWN ||
	    !GetNamedPipeInfo(pipe, &flags, NULL, NULL, NULL))
		return user;
	if (!(flags & PIPE_SERVER_END))
		return memory_owner(pipe);
	if (!ImpersonateNamedPipeClient(pipe))
		return user;
	if (OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, TRUE, &token)) {
		user = sys_user_of_token(token);
		CloseHandle(token);
	}
	/* A thread that cannot become itself again must not go on as somebody else. */
	if (!RevertToSelf())
		TerminateProcess(GetCurrentProcess(), 3);
	return user;
}

int os_receive(os_handle socket, void *bytes, size_t length, os_handle *ret_passed, uint32_t *ret_sender)
{
	unsigned char packet[sizeof(struct message) + CALLER_MAX];
	struct message message;
	struct memory object;
	uint32_t sender;
	size_t got = 0;
	DWORD id;
	int rc = length <= CALLER_MAX ? peer_process(sys_handle(socket), &id) : -STOA_EINVAL;

	if (rc == 0)
		rc = move(sys_handle(socket), packet, sizeof(message) + length, false, &got);
	if (rc < 0)
		return rc == -STOA_ECLOSED && got
			       ? error_set(-STOA_EFORMAT, "the other end closed in the middle of a message")
			       : rc;
	memcpy(&message, packet, sizeof(message));
	if (memcmp(message.magic, message_magic, sizeof(message_magic)) != 0 || message.handle > INT32_MAX)
		return error_set(-STOA_EFORMAT, "a message that is not stoa's: %zu bytes", got);
	sender = sender_of(sys_handle(socket));
	if (sender != os_user_id())
		return error_set(-STOA_EACCES, "a handle from another user cannot have come with a message");
	if (memory_look((os_handle)message.handle, &object) < 0)
		return error_set(-STOA_EFORMAT, "a message that is not stoa's: no handle came with it");
	memcpy(bytes, packet + sizeof(message), length);
	*ret_passed = (os_handle)message.handle;
	*ret_sender = sender;
	return 0;
}
