/* SPDX-License-Identifier: MIT */
/*
 * Linux: listening at a path, connecting, and who is at the other end, over Unix sockets of whole messages (SOCK_SEQPACKET). Uses base and os.h.
 *
 * The hard part is the path: bind(2) fails where a dead server has left its socket file, and to remove that file is to remove the one of a server
 * that just starts, unless starting is exclusive. It is by a lock on a file beside the socket, which the kernel gives back when its
 * holder dies; whoever has it is alone with the path.
 */
#include <os/linux/sys.h>
#include <os/local.h>

#include <base/error.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define KIND (SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC)
_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == OS_LOCAL_PATH + 1, "a path and its final 0");

static int make_address(const char *path, struct sockaddr_un *address)
{
	size_t length = strlen(path);

	if (!length || length > OS_LOCAL_PATH)
		return error_set(-STOA_ENAME, "'%s' has %zu bytes, and a socket's path 1 to %d", path, length,
				 OS_LOCAL_PATH);
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, length);
	return 0;
}

static int no_descriptor(const char *what)
{
	return sys_failed("no socket to %s", what);
}

/* ---- listening ---- */

/* That of the path counts when it is removed; the program may be in another directory by then. */
int os_local_absolute(const char *path, char *absolute)
{
	size_t used = 0;

	if (path[0] != '/') {
		if (!SYS_POINTER(getcwd, absolute, OS_PATH_ROOM))
			return sys_failed("looking where '%s' is", path);
		used = strlen(absolute);
	}
	if (used + strlen(path) + sizeof("/.lock") > OS_PATH_ROOM)
		return error_set(-STOA_ENAME, "the whole path of '%s' is too long", path);
	snprintf(absolute + used, OS_PATH_ROOM - used, "%s%s", used ? "/" : "", path);
	return 0;
}

/* Can nobody but this user and the system's administrator put another file in the place of ours? */
static int check_directory(const char *path)
{
	char directory[OS_PATH_ROOM], name[64];
	struct stat status;

	snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path), path);
	if (SYS(stat, directory[0] ? directory : "/", &status) < 0)
		return sys_failed("the directory of '%s'", path);
	if (!(status.st_mode & S_IWOTH))
		return 0;
	if (!(status.st_mode & S_ISVTX))
		return error_set(
			-STOA_EACCES,
			"all users may write the directory of '%s', so any of them could put a socket there in place "
			"of it; take another one, or set its sticky bit (chmod +t)",
			path);
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return error_set(-STOA_EACCES, "the directory of '%s' is for all users to write and belongs to %s",
				 path, sys_user_name(status.st_uid, name, sizeof(name)));
	return 0;
}

static int try_lock(const char *path, const char *lock_path, os_handle *ret_lock)
{
	struct stat status;
	char name[64];
	os_handle lock;
	int rc = os_file_open_own(lock_path, true, &lock);

	if (rc)
		return rc;
	if (SYS(fstat, sys_fd(lock), &status) < 0)
		rc = sys_failed("looking at '%s'", lock_path);
	else if (status.st_uid != geteuid())
		rc = error_set(-STOA_EACCES, "'%s' belongs to %s", lock_path,
			       sys_user_name(status.st_uid, name, sizeof(name)));
	else
		rc = os_file_lock(lock, 0, OS_LOCK_EXCLUSIVE, false);
	if (rc == -STOA_EBUSY)
		rc = error_set(-STOA_EEXIST, "another process listens at '%s'", path);
	if (rc)
		os_handle_close(lock);
	else
		*ret_lock = lock;
	return rc;
}

/* The lock counts if its file is still there afterwards: who stops listening removes it, with the lock held. */
static int lock_place(struct os_listener *listener)
{
	char lock_path[OS_PATH_ROOM];

	snprintf(lock_path, sizeof(lock_path), "%.*s.lock", (int)(sizeof(lock_path) - sizeof(".lock")), listener->path);
	for (unsigned i = 0; i < 100; i++) {
		int rc = try_lock(listener->path, lock_path, &listener->lock);

		if (rc || os_file_is_at(listener->lock, lock_path))
			return rc;
		os_handle_close(listener->lock);
		listener->lock = OS_NO_HANDLE;
	}
	return error_set(-STOA_EBUSY, "others start and stop listening at '%s' all the time", listener->path);
}

static void unlock_place(struct os_listener *listener)
{
	char lock_path[OS_PATH_ROOM];

	if (listener->lock == OS_NO_HANDLE)
		return;
	snprintf(lock_path, sizeof(lock_path), "%.*s.lock", (int)(sizeof(lock_path) - sizeof(".lock")), listener->path);
	(void)os_file_remove(listener->lock, lock_path);
	os_handle_close(listener->lock);
	listener->lock = OS_NO_HANDLE;
}

static bool look(const char *path, struct stat *status)
{
	return SYS(lstat, path, status) == 0;
}

/* Take away what a dead server has left; the lock is held. A server that knows nothing of locks answers. */
static int clear_place(const struct os_listener *listener, const char *path)
{
	struct stat status;
	os_handle other;
	int rc;

	if (!look(listener->path, &status))
		return errno == ENOENT ? 0 : sys_failed("looking at '%s'", path);
	if (!S_ISSOCK(status.st_mode))
		return error_set(-STOA_EKIND, "'%s' is there, and is no socket", path);
	rc = os_local_connect(path, &other);
	if (!rc)
		os_handle_close(other);
	if (!rc || rc == -STOA_EBUSY || rc == -STOA_EKIND)
		return error_set(-STOA_EEXIST, "another program listens at '%s'", path);
	if (rc != -STOA_ENOENT)
		return rc;
	if (SYS(unlink, listener->path) < 0 && errno != ENOENT)
		return sys_failed("removing '%s', which a dead server has left,", path);
	return 0;
}

static void remove_place(const struct os_listener *listener)
{
	struct stat status;

	if (look(listener->path, &status) && status.st_dev == listener->identity[0] &&
	    status.st_ino == listener->identity[1])
		(void)SYS(unlink, listener->path);
}

/*
 * bind(2) makes the file with the socket's own mode, less the umask, so never with more than asked for; and before listen(2) nobody
 * can connect.
 */
static int bind_and_listen(struct os_listener *listener, const char *path, mode_t mode,
			   const struct sockaddr_un *address)
{
	int fd = sys_fd(listener->socket);
	struct stat status;
	int rc = 0;

	if (SYS(fchmod, fd, mode) < 0)
		return sys_failed("making a socket for '%s'", path);
	if (SYS(bind, fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return errno == EADDRINUSE ? error_set(-STOA_EEXIST, "another program has just taken '%s'", path)
					   : sys_failed("making the socket '%s'", path);
	if (!look(listener->path, &status)) {
		rc = sys_failed("looking at '%s'", path);
		(void)SYS(unlink, listener->path);
		return rc;
	}
	listener->identity[0] = status.st_dev;
	listener->identity[1] = status.st_ino;
	if (SYS(chmod, listener->path, mode) < 0)
		rc = sys_failed("setting who may connect to '%s'", path);
	else if (SYS(listen, fd, SOMAXCONN) < 0)
		rc = sys_failed("listening at '%s'", path);
	if (rc)
		remove_place(listener);
	return rc;
}

static int start_listening(struct os_listener *listener, const char *path, uint32_t mode)
{
	struct sockaddr_un address;
	int rc = make_address(path, &address);

	if (!rc)
		rc = os_local_absolute(path, listener->path);
	if (!rc)
		rc = check_directory(listener->path);
	if (!rc)
		rc = lock_place(listener);
	if (!rc)
		rc = clear_place(listener, path);
	if (rc)
		return rc;
	listener->socket = SYS(socket, AF_UNIX, KIND, 0);
	if (listener->socket < 0)
		return no_descriptor("listen with");
	return bind_and_listen(listener, path, mode & 0777, &address);
}

int os_local_listen(const char *path, uint32_t mode, struct os_listener *ret_listener)
{
	struct os_listener listener = {.socket = OS_NO_HANDLE, .lock = OS_NO_HANDLE};
	int rc = start_listening(&listener, path, mode);

	if (rc) {
		os_handle_close(listener.socket);
		unlock_place(&listener);
		return rc;
	}
	*ret_listener = listener;
	return 0;
}

static bool has_option(int fd, int option, int value)
{
	int found = 0;
	socklen_t size = sizeof(found);

	return SYS(getsockopt, fd, SOL_SOCKET, option, &found, &size) == 0 && found == value;
}

/* Nothing may come with messages but what os_local_receive() has room for; what is accepted is as its listener is. */
static void pass_nothing(int fd)
{
	static const int options[] = {SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD};
	const int off = 0;

	for (size_t i = 0; i < CC_COUNT(options); i++)
		(void)SYS(setsockopt, fd, SOL_SOCKET, options[i], &off, sizeof(off)); /* unknown ones are off */
}

int os_local_adopt(os_handle socket, struct os_listener *ret_listener)
{
	int fd = sys_fd(socket), flags;

	if (!has_option(fd, SO_DOMAIN, AF_UNIX) || !has_option(fd, SO_TYPE, SOCK_SEQPACKET) ||
	    !has_option(fd, SO_ACCEPTCONN, 1))
		return error_set(
			-STOA_EKIND,
			"descriptor %d is no Unix socket of kind SOCK_SEQPACKET that listens (systemd: ListenSequentialPacket=)",
			fd);
	flags = SYS(fcntl, fd, F_GETFL);
	if (flags < 0 || SYS(fcntl, fd, F_SETFL, flags | O_NONBLOCK) < 0 || SYS(fcntl, fd, F_SETFD, FD_CLOEXEC) < 0)
		return sys_failed("listening with descriptor %d", fd);
	pass_nothing(fd);
	*ret_listener = (struct os_listener){.socket = socket, .lock = OS_NO_HANDLE};
	return 0;
}

void os_local_unlisten(struct os_listener *listener)
{
	if (listener->lock != OS_NO_HANDLE)
		remove_place(listener);
	os_handle_close(listener->socket);
	listener->socket = OS_NO_HANDLE;
	unlock_place(listener);
}

void os_local_disown(struct os_listener *listener)
{
	os_handle_close(listener->socket);
	os_handle_close(listener->lock);
	listener->socket = listener->lock = OS_NO_HANDLE;
}

int os_local_accept(const struct os_listener *listener, os_handle *ret_socket)
{
	int fd;

	do
		fd = SYS(accept4, sys_fd(listener->socket), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return error_set(-STOA_EBUSY, "nobody asks to be let in");
	if (fd < 0)
		return sys_failed("letting a client in");
	*ret_socket = fd;
	return 0;
}

/* ---- connecting ---- */

static int connect_failed(const char *path)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR: return error_set(-STOA_ENOENT, "nobody listens at '%s': there is no such socket", path);
	case ECONNREFUSED: return error_set(-STOA_ENOENT, "nobody listens at '%s'; whoever did has ended", path);
	case EPROTOTYPE: return error_set(-STOA_EKIND, "what listens at '%s' is another kind of server", path);
	case EAGAIN: return error_set(-STOA_EBUSY, "the server at '%s' lets nobody in: too many are waiting", path);
	default: return sys_failed("connecting to '%s'", path);
	}
}

int os_local_connect(const char *path, os_handle *ret_socket)
{
	struct sockaddr_un address;
	int rc = make_address(path, &address), fd;

	if (rc)
		return rc;
	fd = SYS(socket, AF_UNIX, KIND, 0);
	if (fd < 0)
		return no_descriptor("connect with");
	do
		rc = SYS(connect, fd, (const struct sockaddr *)&address, sizeof(address));
	while (rc < 0 && errno == EINTR);
	if (rc < 0) {
		rc = connect_failed(path);
		close(fd);
		return rc;
	}
	*ret_socket = fd;
	return 0;
}

int os_local_pair(os_handle ret_sockets[2])
{
	int fds[2];

	if (SYS(socketpair, AF_UNIX, KIND, 0, fds) < 0)
		return no_descriptor("connect with");
	ret_sockets[0] = fds[0];
	ret_sockets[1] = fds[1];
	return 0;
}

/* ---- who is at the other end ---- */

static int peer_failed(void)
{
	return sys_failed("asking who is at a socket's other end");
}

/* All of them are more than there is room for. The kernel has them in order. */
static int copy_some_groups(int fd, socklen_t size, struct os_peer *peer)
{
	uint32_t *all = os_allocate(size);
	int rc = 0;

	if (!all)
		return -STOA_ENOMEM;
	if (SYS(getsockopt, fd, SOL_SOCKET, SO_PEERGROUPS, all, &size) < 0)
		rc = peer_failed();
	else
		memcpy(peer->groups, all, sizeof(peer->groups));
	os_free(all);
	peer->group_count = OS_PEER_GROUPS;
	return rc;
}

static int peer_groups(int fd, struct os_peer *peer)
{
	socklen_t size = sizeof(peer->groups);

	if (SYS(getsockopt, fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &size) == 0)
		peer->group_count = size / (socklen_t)sizeof(*peer->groups);
	else if (errno == ERANGE && size > sizeof(peer->groups))
		return copy_some_groups(fd, size, peer);
	else if (errno != ENOPROTOOPT && errno != ENODATA) /* an old kernel; a peer without */
		return peer_failed();
	return 0;
}

int os_local_peer(os_handle socket, struct os_peer *ret_peer)
{
	struct os_peer peer = {0};
	struct ucred who;
	socklen_t size = sizeof(who);
	int rc;

	if (SYS(getsockopt, sys_fd(socket), SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return peer_failed();
	if (who.uid == (uid_t)-1)
		return error_set(-STOA_EINVAL, "a socket that is not connected has no other end");
	peer.user = who.uid;
	peer.group = who.gid;
	peer.process = (uint32_t)who.pid;
	rc = peer_groups(sys_fd(socket), &peer);
	if (!rc)
		*ret_peer = peer;
	return rc;
}

uint64_t os_process_space(void)
{
	struct stat st;

	return SYS(stat, "/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

bool os_peer_in_group(const struct os_peer *peer, uint32_t group)
{
	for (uint32_t i = 0; i < peer->group_count; i++)
		if (peer->groups[i] == group)
			return true;
	return peer->group == group;
}

/* Before Linux 6.5. The number might be another process's by now. */
static int open_by_number(os_handle socket, os_handle *ret_process)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	int rc;

	if (SYS(getsockopt, sys_fd(socket), SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return peer_failed();
	if (who.pid <= 0)
		return error_set(-STOA_ENOTSUP, "the process at a socket's other end has no number here");
	rc = os_process_open(who.pid, ret_process);
	return rc == -STOA_ENOENT ? error_prefix(-STOA_ECLOSED, "at a socket's other end") : rc;
}

int os_local_peer_process(os_handle socket, os_handle *ret_process)
{
	int fd = -1;
	socklen_t size = sizeof(fd);

	if (SYS(getsockopt, sys_fd(socket), SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) {
		*ret_process = fd;
		return 0;
	}
	if (errno == ENOPROTOOPT)
		return open_by_number(socket, ret_process);
	if (errno == ESRCH || errno == EINVAL) /* as the kernel's version has it */
		return error_set(-STOA_ECLOSED, "the process at a socket's other end has ended");
	return peer_failed();
}

const char *os_user_name(uint32_t user, char *text, size_t size)
{
	return sys_user_name(user, text, size);
}

const char *os_group_name(uint32_t group, char *text, size_t size)
{
	char buffer[4096];
	struct group entry, *found = NULL;

	if (SYS(getgrgid_r, group, &entry, buffer, sizeof(buffer), &found) == 0 && found)
		snprintf(text, size, "%s (group id %u)", found->gr_name, group);
	else
		snprintf(text, size, "group id %u", group);
	return text;
}
