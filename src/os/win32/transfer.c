/* SPDX-License-Identifier: MIT */
/*
 * One message with handles over a named pipe: the sender puts copies of the handles into the receiver's process and
 * says their numbers there. Only a process that may do that can mean such numbers: one of another user cannot, and a
 * message from one is refused before anything is done with the number, which could be that of any handle here.
 *
 *   offset size field
 *   0      8    magic    "STOAHND\n" with one handle, "STOAHN2\n" with two
 *   8      8    handle   its number in the receiver
 *   16     8    another  with two
 *   16/24  n    the caller's bytes
 */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/win32/nt.h>
#include <string.h>

struct message {
	uint8_t magic[8];
	uint64_t handles[OS_PASSED_MAX];
};
_Static_assert(offsetof(struct message, handles) == 8, "layout");
_Static_assert(sizeof(struct message) == 40, "layout");

static const uint8_t message_magics[OS_PASSED_MAX][8] = {{'S', 'T', 'O', 'A', 'H', 'N', 'D', '\n'},
							 {'S', 'T', 'O', 'A', 'H', 'N', '2', '\n'},
							 {'S', 'T', 'O', 'A', 'H', 'N', '3', '\n'},
							 {'S', 'T', 'O', 'A', 'H', 'N', '4', '\n'}};

/* What lies before the caller's bytes. */
static size_t head_length(unsigned count)
{
	return offsetof(struct message, handles) + count * sizeof(uint64_t);
}

#define CALLER_MAX 512

static int not_a_channel(void)
{
	return error_set(-STOA_EINVAL, "handing a segment over needs a connected named pipe");
}

static int closed(void)
{
	return error_set(-STOA_ECLOSED, "the other end has closed the pipe");
}

/* NT_PIPE_*; 0 where a handle does not let us ask, as one that only writes. */
static ULONG state_of(HANDLE pipe)
{
	const struct nt *nt = nt_functions();
	struct nt_pipe_info info;
	struct nt_io_status status;

	if (!nt->query_file || !NT_DONE(nt->query_file(pipe, &status, &info, sizeof(info), NT_FILE_PIPE_LOCAL)))
		return 0;
	return info.state;
}

/* Clients of other machines have numbers that mean nothing here. False on systems without such. */
static bool is_remote(HANDLE pipe)
{
	const struct nt *nt = nt_functions();
	wchar_t computer[256];
	DWORD flags;

	return nt->client_computer && GetNamedPipeInfo(pipe, &flags, NULL, NULL, NULL) && flags & PIPE_SERVER_END &&
	       (nt->client_computer(pipe, computer, sizeof(computer)) || GetLastError() != ERROR_PIPE_LOCAL);
}

/*
 * Which process is at the other end. A process at neither end has a handle that another one opened, and what is sent goes to that
 * one, or counts in it.
 */
static int peer_process(HANDLE pipe, DWORD *ret_id)
{
	DWORD self = GetCurrentProcessId();
	ULONG client, server, state;

	if (GetFileType(pipe) != FILE_TYPE_PIPE)
		return not_a_channel();
	state = state_of(pipe);
	if (state == NT_PIPE_DISCONNECTED)
		return closed();
	if (state == NT_PIPE_LISTENING || !GetNamedPipeClientProcessId(pipe, &client) ||
	    !GetNamedPipeServerProcessId(pipe, &server))
		return not_a_channel();
	if (is_remote(pipe))
		return error_set(-STOA_EINVAL, "the other end of the pipe is on another machine");
	if (client != self && server != self)
		return error_set(-STOA_EINVAL,
				 "this end of the pipe was opened by another process (%lu or %lu): each has to open "
				 "its own",
				 client, server);
	*ret_id = client == self ? server : client;
	return 0;
}

/* Does a read give one message, whole? Else they are a stream. */
static bool gives_packets(HANDLE pipe)
{
	DWORD state;

	return GetNamedPipeHandleStateW(pipe, &state, NULL, NULL, NULL, NULL, 0) && state & PIPE_READMODE_MESSAGE;
}

/* One read or write; pipes may have been opened for overlapped operations or not. Returns a system error. */
static DWORD move_once(HANDLE pipe, HANDLE event, void *bytes, size_t length, bool out, DWORD *ret_moved)
{
	/* The lowest bit: no word of it to a completion port that the pipe belongs to. */
	OVERLAPPED operation = {.hEvent = (HANDLE)((uintptr_t)event | 1)}; // NOLINT(performance-no-int-to-ptr)
	DWORD error = ERROR_SUCCESS;

	*ret_moved = 0;
	if (!(out ? WriteFile(pipe, bytes, (DWORD)length, NULL, &operation)
		  : ReadFile(pipe, bytes, (DWORD)length, NULL, &operation)))
		error = GetLastError();
	if (error != ERROR_SUCCESS && error != ERROR_IO_PENDING && error != ERROR_MORE_DATA)
		return error;
	return GetOverlappedResult(pipe, &operation, ret_moved, TRUE) ? error == ERROR_MORE_DATA ? error : ERROR_SUCCESS
								      : GetLastError();
}

/* What is left of a packet that is longer than it may be. */
static void skip_packet(HANDLE pipe, HANDLE event)
{
	unsigned char scratch[256];
	DWORD moved;

	while (move_once(pipe, event, scratch, sizeof(scratch), false, &moved) == ERROR_MORE_DATA)
		;
}

static int would_block(const char *what)
{
	return error_set(-STOA_EBUSY, "%s a segment would block, and the pipe does not wait (PIPE_NOWAIT)", what);
}

static int move_failed(DWORD error, const char *what)
{
	if (error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA || error == ERROR_PIPE_NOT_CONNECTED)
		return closed();
	if (error == ERROR_PIPE_LISTENING || error == ERROR_BAD_PIPE || error == ERROR_INVALID_HANDLE)
		return not_a_channel();
	SetLastError(error);
	return sys_failed("%s a segment", what);
}

static int not_ours(size_t got)
{
	return error_set(-STOA_EFORMAT, "a message that is not stoa's: %zu bytes", got);
}

/* Read a message of that length. *ret_got: bytes of one that is shorter or longer, and whole; 0 where it is not known to be. */
static int read_message(HANDLE pipe, HANDLE event, unsigned char *bytes, size_t length, size_t *ret_got)
{
	bool packets = gives_packets(pipe);
	DWORD error = ERROR_SUCCESS, moved;
	size_t used = 0;

	do {
		error = move_once(pipe, event, bytes + used, length - used, false, &moved);
		used += moved;
	} while (!packets && used < length && (error == ERROR_SUCCESS || error == ERROR_MORE_DATA));
	*ret_got = packets ? used : 0;
	if (packets && error == ERROR_MORE_DATA) {
		skip_packet(pipe, event);
		return not_ours(used + 1);
	}
	if (used == length)
		return 0;
	if (error == ERROR_SUCCESS)
		return not_ours(used);
	if (error == ERROR_NO_DATA)
		return used ? not_ours(used) : would_block("receiving");
	if (used)
		return error_set(-STOA_EFORMAT, "the other end closed in the middle of a message");
	return move_failed(error, "receiving");
}

/* *ret_sent: all of it; then what was sent counts, whatever is returned. */
static int write_message(HANDLE pipe, HANDLE event, unsigned char *bytes, size_t length, bool *ret_sent)
{
	DWORD error = ERROR_SUCCESS, moved = 1;
	size_t used = 0;

	while (used < length && moved && error == ERROR_SUCCESS) {
		error = move_once(pipe, event, bytes + used, length - used, true, &moved);
		used += moved;
	}
	*ret_sent = used == length;
	if (*ret_sent)
		return 0;
	return error == ERROR_SUCCESS ? would_block("sending") : move_failed(error, "sending");
}

static int make_event(HANDLE *ret_event)
{
	*ret_event = CreateEventW(NULL, TRUE, FALSE, NULL);
	return *ret_event ? 0 : sys_failed("making an event to wait for a pipe");
}

/* Put a copy of the handle into the process; of another user it would not take it, and could not give it back. */
static int give(DWORD id, os_handle passed, uint64_t *ret_number)
{
	HANDLE process = OpenProcess(PROCESS_DUP_HANDLE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, id), copy;
	bool ours = process && sys_user_of(process) == os_user_id();
	int rc = 0;

	if (process ? !ours : GetLastError() == ERROR_ACCESS_DENIED)
		rc = error_set(
			-STOA_EACCES,
			"process %lu at the other end is another user's, or has rights beyond this one's: handles "
			"do not go there",
			id);
	else if (!process || !DuplicateHandle(GetCurrentProcess(), sys_handle(passed), process, &copy, 0, FALSE,
					      DUPLICATE_SAME_ACCESS))
		rc = sys_failed("handing a segment to process %lu", id);
	if (process)
		CloseHandle(process);
	if (rc == 0)
		*ret_number = (uint64_t)(uintptr_t)copy;
	return rc;
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

int os_send(os_handle socket, const void *bytes, size_t length, const os_handle *passed, unsigned count)
{
	unsigned char packet[sizeof(struct message) + CALLER_MAX];
	HANDLE pipe = sys_handle(socket), event;
	struct message message;
	size_t head = head_length(count);
	unsigned given = 0;
	bool sent = false;
	DWORD id;
	int rc = length <= CALLER_MAX ? peer_process(pipe, &id) : not_a_channel();

	if (rc == 0 && state_of(pipe) == NT_PIPE_CLOSING)
		rc = closed();
	if (rc == 0)
		rc = make_event(&event);
	if (rc < 0)
		return rc;
	while (rc == 0 && given < count) {
		rc = give(id, passed[given], &message.handles[given]);
		given += rc == 0;
	}
	if (rc == 0) {
		memcpy(message.magic, message_magics[count - 1], sizeof(message.magic));
		memcpy(packet, &message, head);
		memcpy(packet + head, bytes, length);
		rc = write_message(pipe, event, packet, head + length, &sent);
	}
	/* Once all is said the numbers are the receiver's. */
	while (!sent && given)
		take_back(id, message.handles[--given]);
	CloseHandle(event);
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
 * Who sent what was received. A process's number does not tell, as it is another one's when that process has ended; but the
 * system has noted the client's user, and a pipe belongs to the user who made it. One of the administrators' may be any of
 * their programs': they may do everything anyhow, and the process says which user it is; as it does where a pipe's owner cannot
 * be asked for.
 */
static uint32_t server_user(HANDLE pipe)
{
	enum sys_owner owner = sys_owner_of(pipe);
	uint32_t user = OS_SENDER_UNKNOWN;

	if (owner == SYS_OWNER_WE)
		return os_user_id();
	if (owner != SYS_OWNER_OTHER)
		(void)os_socket_peer((os_handle)pipe, &user);
	return user;
}

static uint32_t sender_of(HANDLE pipe)
{
	uint32_t user = OS_SENDER_UNKNOWN;
	DWORD flags = 0;
	HANDLE token;

	if (!GetNamedPipeInfo(pipe, &flags, NULL, NULL, NULL))
		return user;
	if (!(flags & PIPE_SERVER_END))
		return server_user(pipe);
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

/* How many handles the message says that it brings; 0: it is not ours. */
static unsigned count_of(const struct message *message, size_t got)
{
	for (unsigned count = 1; count <= OS_PASSED_MAX; count++)
		if (got >= head_length(count) &&
		    !memcmp(message->magic, message_magics[count - 1], sizeof(message->magic)))
			return count;
	return 0;
}

/* Are there handles with the message, from one who could have put them here? */
static int check_head(HANDLE pipe, const unsigned char *packet, size_t got, uint64_t *ret_handles, unsigned *ret_count,
		      uint32_t *ret_sender)
{
	struct message message;
	unsigned count;
	DWORD flags;

	memcpy(&message, packet, sizeof(message));
	count = count_of(&message, got);
	for (unsigned i = 0; i < count; i++)
		if (message.handles[i] > INT32_MAX || (i && message.handles[i] == message.handles[0]))
			return not_ours(got);
	if (!count)
		return not_ours(got);
	*ret_sender = sender_of(pipe);
	if (*ret_sender != os_user_id())
		return error_set(-STOA_EACCES, "a handle from another user cannot have come with a message");
	for (unsigned i = 0; i < count; i++)
		if (!GetHandleInformation(sys_handle((os_handle)message.handles[i]), &flags))
			return error_set(-STOA_EFORMAT, "a message that is not stoa's: no handle came with it");
	memcpy(ret_handles, message.handles, count * sizeof(*ret_handles));
	*ret_count = count;
	return 0;
}

int os_receive(os_handle socket, void *bytes, size_t length, os_handle *ret_passed, unsigned wanted,
	       uint32_t *ret_sender)
{
	unsigned char packet[sizeof(struct message) + CALLER_MAX] = {0};
	HANDLE pipe = sys_handle(socket), event;
	uint64_t handles[OS_PASSED_MAX];
	size_t got = 0, head = head_length(wanted);
	unsigned count = 0;
	uint32_t sender;
	DWORD id;
	int rc = length <= CALLER_MAX ? peer_process(pipe, &id) : not_a_channel();

	if (rc == 0)
		rc = make_event(&event);
	if (rc < 0)
		return rc;
	rc = read_message(pipe, event, packet, head + length, &got);
	CloseHandle(event);
	if (rc == 0)
		rc = check_head(pipe, packet, head + length, handles, &count, &sender);
	else if (got && check_head(pipe, packet, got, handles, &count, &sender) == 0)
		rc = not_ours(got);
	if (rc == 0 && count != wanted)
		rc = not_ours(head + length);
	if (rc < 0) {
		while (count)
			(void)CloseHandle(sys_handle((os_handle)handles[--count]));
		return rc;
	}
	memcpy(bytes, packet + head, length);
	while (count--) {
		memory_refresh((os_handle)handles[count], NULL);
		ret_passed[count] = (os_handle)handles[count];
	}
	*ret_sender = sender;
	return 0;
}
