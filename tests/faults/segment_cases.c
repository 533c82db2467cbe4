/* SPDX-License-Identifier: MIT */
/* Fault cases of segments, their names, views, prefetches and transfer. */
#include "faults.h"

#include <segment/segment.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- segments ---- */

void close_ret(struct run *run, int result)
{
	if (result >= 0)
		stoa_segment_close(run->ret.segment);
}

void close_and_unlink(struct run *run, int result)
{
	close_ret(run, result);
	stoa_segment_unlink(run->name, 0);
}

static int create_unnamed(struct run *run)
{
	return stoa_segment_create(NULL, RESERVE, &(struct stoa_segment_options){.commit = 8192}, &run->ret.segment);
}

static int create_named(struct run *run)
{
	return stoa_segment_create(run->name, RESERVE, &(struct stoa_segment_options){.commit = 8192},
				   &run->ret.segment);
}

/* Has this test a /dev/shm of its own? Otherwise other tests have names there. */
static bool own_names(void)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[512];
	bool own = false;

	while (mounts && fgets(line, sizeof(line), mounts))
		own = own || strncmp(line, "test /dev/shm ", 14) == 0;
	if (mounts)
		fclose(mounts);
	return own;
}

static void set_directory(mode_t mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/shm/stoa.%u", (unsigned)geteuid());
	if (own_names())
		CHECK_SYS(chmod(path, mode));
}

static void open_directory(struct run *run)
{
	(void)run;
	set_directory(0755);
}

/* Refused anyway; nothing may come of what fails while the reason is looked for. */
static int create_where_others_may_enter(struct run *run)
{
	int result = own_names() ? create_named(run) : -STOA_EACCES;

	CHECK_INT(result, <, 0);
	return result == -STOA_EACCES ? 0 : result;
}

static void close_directory(struct run *run, int result)
{
	(void)run, (void)result;
	set_directory(0700);
}

static int create_persistent(struct run *run)
{
	return stoa_segment_create(run->name, RESERVE,
				   &(struct stoa_segment_options){.commit = 8192, .flags = STOA_PERSISTENT},
				   &run->ret.segment);
}

static int open_named(struct run *run)
{
	return stoa_segment_open(run->taken, NULL, &run->ret.segment);
}

static int create_or_open_new(struct run *run)
{
	return stoa_segment_create_or_open(run->name, RESERVE, NULL, &run->ret.segment);
}

static int create_or_open_old(struct run *run)
{
	return stoa_segment_create_or_open(run->taken, RESERVE, NULL, &run->ret.segment);
}

static int open_file(struct run *run)
{
	return stoa_segment_file(run->path, RESERVE, NULL, &run->ret.segment);
}

static const char *new_path(const struct run *run)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s.new", run->path);
	return path;
}

static int make_file(struct run *run)
{
	return stoa_segment_file(new_path(run), RESERVE,
				 &(struct stoa_segment_options){.commit = 8192, .flags = STOA_FILE_CREATE},
				 &run->ret.segment);
}

/* Made whole, or not at all. */
static void remove_file(struct run *run, int result)
{
	struct stat status;

	if (result < 0) {
		CHECK_EQ(access(new_path(run), F_OK), -1);
		return;
	}
	CHECK_SYS(stat(new_path(run), &status));
	CHECK_EQ(status.st_size, 8192);
	stoa_segment_close(run->ret.segment);
	CHECK_SYS(unlink(new_path(run)));
}

static void make_named(struct run *run)
{
	CHECK_RC(create_named(run), 0);
}

static int close_named(struct run *run)
{
	stoa_segment_close(run->ret.segment);
	return 0;
}

static void make_persistent(struct run *run)
{
	CHECK_RC(create_persistent(run), 0);
	stoa_segment_close(run->ret.segment);
	run->ret.bits = UNTOUCHED;
}

static int unlink_named(struct run *run)
{
	return stoa_segment_unlink(run->name, 0);
}

static void unlink_again(struct run *run, int result)
{
	CHECK_RC(stoa_segment_unlink(run->name, 0), result ? 0 : -STOA_ENOENT);
}

static int gc(struct run *run)
{
	return stoa_segment_gc(0, &run->ret.user);
}

static int gc_global(struct run *run)
{
	return stoa_segment_gc(STOA_GLOBAL, &run->ret.user);
}

static int create_global(struct run *run)
{
	return stoa_segment_create(run->name, RESERVE,
				   &(struct stoa_segment_options){.commit = 8192, .flags = STOA_GLOBAL},
				   &run->ret.segment);
}

static void make_global(struct run *run)
{
	CHECK_RC(create_global(run), 0);
	run->fresh = run->ret.segment;
	run->ret.bits = UNTOUCHED;
}

static void close_fresh(struct run *run, int result)
{
	(void)result;
	stoa_segment_close(run->fresh);
}

static void close_both(struct run *run, int result)
{
	close_ret(run, result);
	stoa_segment_close(run->fresh);
}

static int open_global(struct run *run)
{
	return stoa_segment_open(run->name, &(struct stoa_segment_options){.flags = STOA_GLOBAL}, &run->ret.segment);
}

static int open_read_only(struct run *run)
{
	return stoa_segment_open(run->taken, &(struct stoa_segment_options){.flags = STOA_READ_ONLY},
				 &run->ret.segment);
}

static int unlink_global(struct run *run)
{
	return stoa_segment_unlink(run->name, STOA_GLOBAL);
}

static int ignore_entry(const struct stoa_segment_entry *entry, void *argument)
{
	(void)argument;
	return entry->name ? 0 : -STOA_EFORMAT;
}

static int list(struct run *run)
{
	(void)run;
	return stoa_segment_list(0, ignore_entry, NULL);
}

/* A list that misses a name is worse than none. */
static int find_entry(const struct stoa_segment_entry *entry, void *argument)
{
	struct run *run = argument;

	return strcmp(entry->name, run->name) == 0;
}

static int list_global(struct run *run)
{
	int result = stoa_segment_list(STOA_GLOBAL, find_entry, run);

	CHECK(result != 0);
	return result < 0 ? result : 0;
}

static int read_properties(struct run *run)
{
	CHECK(stoa_segment_address(run->segment) == run->objects);
	CHECK_EQ(stoa_segment_reserve(run->segment), RESERVE);
	return 0;
}

static int read_committed(struct run *run)
{
	return stoa_segment_committed(run->segment) > RESERVE ? -STOA_EFORMAT : 0;
}

static int commit(struct run *run)
{
	return stoa_segment_commit(run->segment, UINT64_C(3) << 20);
}

static int commit_file(struct run *run)
{
	return stoa_segment_commit(run->file, 65536);
}

static void shrink_back(struct run *run, int result)
{
	uint64_t length = stoa_segment_committed(run->segment);

	if (!result)
		CHECK_EQ(length, UINT64_C(3) << 20);
	memset((char *)stoa_segment_address(run->segment) + 4096, 1, length - 4096);
	CHECK_RC(stoa_segment_shrink(run->segment, 65536), 0);
}

static int discard(struct run *run)
{
	return stoa_segment_discard(run->segment, 8192, 8192);
}

static void recommit_again(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_segment_recommit(run->segment, 8192, 8192), 0);
}

static void discard_first(struct run *run)
{
	CHECK_RC(discard(run), 0);
}

static int recommit(struct run *run)
{
	return stoa_segment_recommit(run->segment, 8192, 8192);
}

static int shrink(struct run *run)
{
	return stoa_segment_shrink(run->segment, 32768);
}

static void commit_back(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_segment_commit(run->segment, 65536), 0);
	CHECK_RC(stoa_segment_recommit(run->segment, 0, 65536), 0);
}

static int map_view(struct run *run)
{
	return stoa_view_map(run->segment, 4096, 8192, STOA_READ, &run->ret.address);
}

static void unmap_view(struct run *run, int result)
{
	if (!result)
		CHECK_RC(stoa_view_unmap(run->ret.address, 8192), 0);
}

static void make_view(struct run *run)
{
	CHECK_RC(map_view(run), 0);
}

static int unmap_view_call(struct run *run)
{
	return stoa_view_unmap(run->ret.address, 8192);
}

static void unmap_view_again(struct run *run, int result)
{
	if (result)
		CHECK_RC(stoa_view_unmap(run->ret.address, 8192), 0);
}

static int protect(struct run *run)
{
	return stoa_segment_protect(run->segment, 8192, 4096, STOA_READ);
}

static void unprotect(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_segment_protect(run->segment, 8192, 4096, STOA_READ | STOA_WRITE), 0);
}

static void make_unnamed(struct run *run)
{
	CHECK_RC(create_unnamed(run), 0);
}

static int seal(struct run *run)
{
	return stoa_segment_seal(run->ret.segment, STOA_SEAL_GROW | STOA_SEAL_WRITE);
}

static void close_always(struct run *run, int result)
{
	(void)result;
	stoa_segment_close(run->ret.segment);
}

static int flush(struct run *run)
{
	return stoa_segment_flush(run->file, 0, 8192, STOA_DURABLE);
}

static int flush_soon(struct run *run)
{
	return stoa_segment_flush(run->file, 0, 8192, 0);
}

static int prefetch(struct run *run)
{
	return stoa_segment_prefetch(run->segment, 0, 65536, &run->ret.prefetch);
}

static void close_prefetch(struct run *run, int result)
{
	if (!result)
		stoa_prefetch_close(run->ret.prefetch);
}

static void make_prefetch(struct run *run)
{
	CHECK_RC(prefetch(run), 0);
}

static int wait_for_prefetch(struct run *run)
{
	return stoa_prefetch_wait(run->ret.prefetch, STOA_FOREVER);
}

static void close_prefetch_always(struct run *run, int result)
{
	(void)result;
	stoa_prefetch_close(run->ret.prefetch);
}

static int close_prefetch_call(struct run *run)
{
	stoa_prefetch_close(run->ret.prefetch);
	return 0;
}

static int stat_segment(struct run *run)
{
	return stoa_segment_stat(run->segment, &run->big.stat);
}

/* ---- transfer ---- */

static int dup_read_only(struct run *run)
{
	return stoa_segment_dup_descriptor(run->segment, STOA_READ, &run->ret.number);
}

static int dup_writable(struct run *run)
{
	return stoa_segment_dup_descriptor(run->segment, STOA_READ | STOA_WRITE, &run->ret.number);
}

static void close_descriptor(struct run *run, int result)
{
	if (!result)
		CHECK_SYS(close(run->ret.number));
}

static void make_descriptor(struct run *run)
{
	CHECK_RC(stoa_segment_dup_descriptor(run->segment, STOA_READ | STOA_WRITE, &run->descriptor), 0);
}

static int take_descriptor(struct run *run)
{
	return stoa_segment_take_descriptor(run->descriptor, 0, NULL, &run->ret.segment);
}

static void close_taken(struct run *run, int result)
{
	if (result >= 0)
		stoa_segment_close(run->ret.segment);
	else
		CHECK_SYS(close(run->descriptor)); /* the caller's still */
}

static void make_sockets(struct run *run)
{
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->sockets));
}

static int send_it(struct run *run)
{
	return stoa_segment_send_with_socket(run->segment, STOA_READ | STOA_WRITE, run->sockets[0]);
}

/* Named: the peer's user is asked for. */
static void make_named_and_sockets(struct run *run)
{
	CHECK_RC(stoa_segment_open(run->taken, NULL, &run->fresh), 0);
	make_sockets(run);
}

static int send_named(struct run *run)
{
	return stoa_segment_send_with_socket(run->fresh, STOA_READ | STOA_WRITE, run->sockets[0]);
}

static int send_named_read_only(struct run *run)
{
	return stoa_segment_send_with_socket(run->fresh, STOA_READ, run->sockets[0]);
}

static void close_sockets(struct run *run, int result)
{
	(void)result;
	CHECK_SYS(close(run->sockets[0]));
	CHECK_SYS(close(run->sockets[1]));
}

static void close_fresh_and_sockets(struct run *run, int result)
{
	close_sockets(run, result);
	stoa_segment_close(run->fresh);
}

static void make_named_and_send(struct run *run)
{
	make_named_and_sockets(run);
	CHECK_RC(send_named(run), 0);
}

static void make_sockets_and_send(struct run *run)
{
	make_sockets(run);
	CHECK_RC(send_it(run), 0);
}

/* A stream that gives a message in two pieces, the descriptor with the first. */
static void send_in_pieces(struct run *run)
{
	char bytes[64], control[CMSG_SPACE(sizeof(int))];
	struct iovec piece = {bytes, sizeof(bytes)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control};
	ssize_t length;

	make_sockets(run);
	CHECK_RC(send_it(run), 0);
	message.msg_controllen = sizeof(control);
	length = recvmsg(run->sockets[1], &message, MSG_CMSG_CLOEXEC);
	CHECK_SYS(length);
	close_sockets(run, 0);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, run->sockets));
	piece.iov_len = 10;
	CHECK_EQ(sendmsg(run->sockets[0], &message, 0), 10);
	CHECK_EQ(send(run->sockets[0], bytes + 10, (size_t)length - 10, 0), length - 10);
	memcpy(&run->descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(run->descriptor));
	CHECK_SYS(close(run->descriptor));
}

static int receive_it(struct run *run)
{
	int result = stoa_segment_receive_with_socket(run->sockets[1], &run->ret.segment, &run->second.user);

	if (result < 0)
		CHECK_EQ(run->second.bits, UNTOUCHED);
	return result;
}

static void close_received(struct run *run, int result)
{
	close_ret(run, result);
	close_sockets(run, result);
}

static void close_received_and_fresh(struct run *run, int result)
{
	close_received(run, result);
	stoa_segment_close(run->fresh);
}

static int inherit(struct run *run)
{
	return stoa_segment_inherit(run->ret.segment, run->big.token);
}

/* As after exec: the descriptor is there, inherited, and no handle. */
static void make_token(struct run *run)
{
	make_unnamed(run);
	CHECK_RC(stoa_segment_inherit(run->ret.segment, run->token), 0);
	run->descriptor = (int)run->ret.segment->memory;
	run->ret.segment->memory = OS_NO_HANDLE;
	stoa_segment_close(run->ret.segment);
	run->ret.bits = UNTOUCHED;
}

static int adopt(struct run *run)
{
	return stoa_segment_adopt(run->token, &run->ret.segment);
}

/* The handle goes, as by exec; both descriptors stay: the object's, and the lock's that keeps the name in use. */
static void make_named_token(struct run *run)
{
	struct os_name *name;

	make_named(run);
	CHECK_RC(stoa_segment_inherit(run->ret.segment, run->token), 0);
	run->descriptor = (int)run->ret.segment->memory;
	name = run->ret.segment->name;
	run->sockets[0] = (int)os_name_handle(name);
	run->ret.segment->name = NULL;
	run->ret.segment->memory = OS_NO_HANDLE;
	stoa_segment_close(run->ret.segment);
	os_name_disown(name);
	run->ret.bits = UNTOUCHED;
}

static void close_named_token(struct run *run, int result)
{
	close_taken(run, result);
	if (result < 0)
		CHECK_SYS(close(run->sockets[0])); /* the caller's still; what nobody uses is swept */
}

const struct fault_case segment_cases[] = {
	{"stoa_segment_create", CREATE_ERRORS, NULL, create_unnamed, close_ret},
	{"stoa_segment_create", CREATE_ERRORS, NULL, create_named, close_ret},
	{"stoa_segment_create", CREATE_ERRORS, NULL, create_persistent, close_and_unlink},
	{"stoa_segment_create", CREATE_ERRORS, NULL, create_global, close_ret},
	{"stoa_segment_create", CREATE_ERRORS, open_directory, create_where_others_may_enter, close_directory},
	{"stoa_segment_open", OPEN_ERRORS, NULL, open_named, close_ret},
	{"stoa_segment_open", OPEN_ERRORS, NULL, open_read_only, close_ret},
	{"stoa_segment_open", OPEN_ERRORS, make_global, open_global, close_both},
	{"stoa_segment_create_or_open", BOTH_ERRORS, NULL, create_or_open_new, close_ret},
	{"stoa_segment_create_or_open", BOTH_ERRORS, NULL, create_or_open_old, close_ret},
	{"stoa_segment_file", CREATE_ERRORS " ENOENT EKIND ERANGE", NULL, open_file, close_ret},
	{"stoa_segment_file", CREATE_ERRORS " ENOENT EKIND ERANGE", NULL, make_file, remove_file},
	{"stoa_segment_close", "", make_named, close_named, NULL},
	{"stoa_segment_unlink", "ENAME ENOENT EACCES", make_persistent, unlink_named, unlink_again},
	{"stoa_segment_unlink", "ENAME ENOENT EACCES", make_global, unlink_global, close_fresh},
	{"stoa_segment_list", "EINVAL EACCES", NULL, list, NULL},
	{"stoa_segment_list", "EINVAL EACCES", make_global, list_global, close_fresh},
	{"stoa_segment_gc", "EINVAL EACCES", NULL, gc, NULL},
	{"stoa_segment_gc", "EINVAL EACCES", make_global, gc_global, close_fresh},
	{"stoa_segment_address", "", NULL, read_properties, NULL},
	{"stoa_segment_reserve", "", NULL, read_properties, NULL},
	{"stoa_segment_committed", "", NULL, read_committed, NULL},
	{"stoa_segment_commit", "ERANGE ERIGHTS", NULL, commit, shrink_back},
	{"stoa_segment_commit", "ERANGE ERIGHTS", NULL, commit_file, NULL},
	{"stoa_segment_discard", "EINVAL ERANGE EUNCOMMITTED ERIGHTS", NULL, discard, recommit_again},
	{"stoa_segment_recommit", "EINVAL ERANGE EUNCOMMITTED ERIGHTS", discard_first, recommit, recommit_again},
	{"stoa_segment_shrink", "ERIGHTS", NULL, shrink, commit_back},
	{"stoa_view_map", "EINVAL ERANGE ERIGHTS", NULL, map_view, unmap_view},
	{"stoa_view_unmap", "EINVAL", make_view, unmap_view_call, unmap_view_again},
	{"stoa_segment_protect", "EINVAL ERANGE ERIGHTS", NULL, protect, unprotect},
	{"stoa_segment_seal", "ENOTSUP EBUSY ERIGHTS", make_unnamed, seal, close_always},
	{"stoa_segment_flush", "EINVAL ERANGE", NULL, flush, NULL},
	{"stoa_segment_flush", "EINVAL ERANGE", NULL, flush_soon, NULL},
	{"stoa_segment_prefetch", "EINVAL ERANGE EUNCOMMITTED", NULL, prefetch, close_prefetch},
	{"stoa_prefetch_wait", "EINVAL", make_prefetch, wait_for_prefetch, close_prefetch_always},
	{"stoa_prefetch_close", "", make_prefetch, close_prefetch_call, NULL},
	{"stoa_segment_stat", "EINVAL", NULL, stat_segment, NULL},
	{"stoa_segment_dup_descriptor", "EINVAL ERIGHTS", NULL, dup_read_only, close_descriptor},
	{"stoa_segment_dup_descriptor", "EINVAL ERIGHTS", NULL, dup_writable, close_descriptor},
	{"stoa_segment_take_descriptor", OPEN_ERRORS, make_descriptor, take_descriptor, close_taken},
	{"stoa_segment_send_with_socket", "EINVAL ERIGHTS ECLOSED", make_sockets, send_it, close_sockets},
	{"stoa_segment_send_with_socket", "EINVAL ERIGHTS ECLOSED", make_named_and_sockets, send_named,
	 close_fresh_and_sockets},
	{"stoa_segment_send_with_socket", "EINVAL ERIGHTS ECLOSED", make_named_and_sockets, send_named_read_only,
	 close_fresh_and_sockets},
	{"stoa_segment_receive_with_socket", OPEN_ERRORS " ECLOSED", make_sockets_and_send, receive_it, close_received},
	{"stoa_segment_receive_with_socket", OPEN_ERRORS " ECLOSED", send_in_pieces, receive_it, close_received},
	{"stoa_segment_receive_with_socket", OPEN_ERRORS " ECLOSED", make_named_and_send, receive_it,
	 close_received_and_fresh},
	{"stoa_segment_inherit", "EINVAL", make_unnamed, inherit, close_always},
	{"stoa_segment_inherit", "EINVAL", make_named, inherit, close_always},
	{"stoa_segment_adopt", OPEN_ERRORS, make_token, adopt, close_taken},
	{"stoa_segment_adopt", OPEN_ERRORS, make_named_token, adopt, close_named_token},
	{0},
};
