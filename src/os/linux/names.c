/* SPDX-License-Identifier: MIT */
/*
 * Names and their life. A name is in use while somebody holds a read lock on the USE byte of its lock file; whoever makes
 * or removes a name holds a write lock on the GATE byte. These are locks of the open file description: a forked child
 * shares its parent's and cannot drop it, an exec keeps it with the descriptor, and death of the last holder ends it.
 *
 *   N.lock   byte 0 USE:  read-locked by each user; write-locked by who proves that there is none
 *            byte 1 GATE: write-locked while N.seg or N.lock appears or disappears
 *            length 0: no N.seg was ever made under it; 1: no record; longer: the record
 *   N.seg    the object; sticky mode bit: persistent
 *
 * N.lock appears before N.seg and disappears after it, and only under its gate; so whoever holds the gate of the file that
 * is N.lock knows that it stays N.lock. Death at any point leaves one of:
 *   N.lock alone                   nothing has the name. The next maker uses it, the next opener or sweep removes it.
 *   both, USE unlocked, transient  the users are dead. The next maker, opener or sweep removes both.
 *   N.lock alone, USE locked       an unlink died half-way. The next maker or sweep removes N.lock; the users keep the object.
 * An N.seg without N.lock, or with one of length 0, is not ours: it is refused and never removed.
 * The object itself has no name until it is complete (O_TMPFILE), so a half-made one is never seen.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <base/mutant.h>
#include <dirent.h>
#include <fcntl.h>
#include <os/linux/places.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTE_USE 0
#define BYTE_GATE 1
#define TRIES 400            /* about two seconds */
#define ONLY_LOOK (1u << 31) /* beside OS_NAME_*: begin no use, and remove nothing */

struct os_name {
	int lock;
	uint32_t flags;
	char name[]; /* "" when the name is gone already */
};

/* What removing found. */
enum leftover { LEFT_ALONE, LEFT_IN_USE, LEFT_REMOVED, LEFT_FOREIGN };

static int lock_byte(int fd, short type, off_t byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return SYS(fcntl, fd, F_OFD_SETLK, &lock);
}

static bool lock_is_busy(void)
{
	return errno == EAGAIN || errno == EACCES;
}

/* Who holds the byte against us: F_UNLCK nobody, F_RDLCK, F_WRLCK; -1 with errno. */
static int byte_holder(int fd, off_t byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return SYS(fcntl, fd, F_OFD_GETLK, &lock) < 0 ? -1 : lock.l_type;
}

/* Let the other go on; longer each time, as it holds locks for microseconds unless it was stopped. */
static void give_way(unsigned tries)
{
	struct timespec pause = {0, tries < 20 ? 20000 : 5000000};

	nanosleep(&pause, NULL);
}

static int stuck(const struct place *place)
{
	return error_set(-STOA_EBUSY, "a process that makes or removes '%s' does not go on; it may be stopped",
			 place->object);
}

/* The locks go with the descriptor. */
static void leave(int lock)
{
	close(lock);
}

static int open_lock(const struct place *place, bool create)
{
	int fd = SYS(openat, place->directory, place->lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 || errno != ENOENT || !create)
		return fd;
	return SYS(openat, place->directory, place->lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT | O_EXCL, 0600);
}

/* Was an object ever made under this lock file? 1, 0, or -STOA_* where that cannot be asked: then nothing may be removed. */
static int was_used(const struct place *place, int lock)
{
	struct stat status;

	if (SYS(fstat, lock, &status) < 0)
		return sys_failed("looking at '%s'", place->lock);
	return status.st_size > 0;
}

/* Check that a lock file is ours. Closes it otherwise. */
static int check_lock(const struct place *place, int fd)
{
	struct stat status;
	int rc = SYS(fstat, fd, &status) < 0 ? sys_failed("looking at '%s'", place->lock)
					     : place_check_own(place, place->lock, &status);

	if (rc < 0)
		leave(fd);
	return rc;
}

/* Open the name's lock file and hold its gate. -STOA_ENOENT without `create`. */
static int enter_gate(const struct place *place, bool create, int *ret_lock)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		int fd = open_lock(place, create), rc;

		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return place_open_failed(place, place->lock);
		rc = check_lock(place, fd);
		if (rc < 0)
			return rc;
		if (lock_byte(fd, F_WRLCK, BYTE_GATE) == 0) {
			if (place_same_file(place, place->lock, fd)) {
				*ret_lock = fd;
				return 0;
			}
			leave(fd);
			continue;
		}
		if (!lock_is_busy()) {
			rc = sys_failed("locking '%s'", place->lock);
			leave(fd);
			return rc;
		}
		leave(fd);
		give_way(tries);
	}
	return stuck(place);
}

static int remove_entry(const struct place *place, const char *entry)
{
	if (SYS(unlinkat, place->directory, entry, 0) < 0 && errno != ENOENT)
		return sys_failed("removing '%s'", entry);
	return 0;
}

/* With the object the name is gone. A lock file that cannot follow it is in nobody's way, and the next sweep's. */
static int remove_both(const struct place *place)
{
	int rc = remove_entry(place, place->object);

	if (rc == 0)
		(void)remove_entry(place, place->lock);
	return rc;
}

/* Under the gate: remove what has no user. */
static int remove_if_dead(const struct place *place, int lock, enum leftover *ret_found)
{
	struct stat status;
	int rc;

	*ret_found = LEFT_ALONE;
	if (SYS(fstatat, place->directory, place->object, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? remove_entry(place, place->lock)
				       : sys_failed("looking at '%s'", place->object);
	rc = place_check_own(place, place->object, &status);
	if (rc < 0)
		return rc;
	if (lock_byte(lock, F_WRLCK, BYTE_USE) < 0) {
		*ret_found = LEFT_IN_USE;
		return lock_is_busy() ? 0 : sys_failed("locking '%s'", place->lock);
	}
	rc = was_used(place, lock);
	if (rc == 0)
		*ret_found = LEFT_FOREIGN;
	if (rc <= 0)
		return rc < 0 ? rc : remove_entry(place, place->lock);
	if (status.st_mode & S_ISVTX)
		return lock_byte(lock, F_UNLCK, BYTE_USE) < 0 ? sys_failed("unlocking '%s'", place->lock) : 0;
	rc = MUTANT(ORPHANS_STAY) ? 0 : remove_both(place);
	if (rc == 0)
		*ret_found = LEFT_REMOVED;
	return rc;
}

/* Remove the name if its users are gone; nothing happens when `expected` (may be NULL) is no longer its lock file. */
static int sweep_name(const struct place *place, const struct stat *expected, enum leftover *ret_found)
{
	struct stat status;
	int lock, rc;

	*ret_found = LEFT_ALONE;
	rc = enter_gate(place, false, &lock);
	if (rc < 0)
		return rc == -STOA_ENOENT ? 0 : rc;
	if (expected &&
	    (SYS(fstat, lock, &status) < 0 || status.st_ino != expected->st_ino || status.st_dev != expected->st_dev)) {
		leave(lock);
		return 0;
	}
	rc = remove_if_dead(place, lock, ret_found);
	leave(lock);
	return rc;
}

static int new_name(int lock, const char *name, uint32_t flags, struct os_name **ret_name)
{
	size_t length = strlen(name) + 1;
	struct os_name *use = os_allocate(sizeof(*use) + length);

	if (!use)
		return -STOA_ENOMEM;
	use->lock = lock;
	use->flags = flags;
	memcpy(use->name, name, length);
	*ret_name = use;
	return 0;
}

int os_name_prepare(const char *name, uint32_t flags, uint64_t size, os_handle *ret_memory)
{
	mode_t mode = flags & OS_NAME_WORLD_READABLE ? 0644 : 0600;
	struct place place;
	int rc = place_open(name, flags, true, &place), fd;

	(void)size; /* a tmpfs file may grow as far as its file system */
	if (rc < 0)
		return rc;
	fd = SYS(openat, place.directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		rc = sys_failed("making a nameless file for '%s'", place.object);
	} else if (SYS(fchmod, fd, mode | (flags & OS_NAME_PERSISTENT ? S_ISVTX : 0)) < 0) {
		rc = sys_failed("setting the mode of '%s'", place.object);
		close(fd);
	} else {
		*ret_memory = fd;
	}
	place_close(&place);
	return rc;
}

/* Under the gate, USE not held by others: clear the object's place of what dead users left there. */
static int clear_place(const struct place *place, bool used)
{
	struct stat status;
	int rc;

	if (SYS(fstatat, place->directory, place->object, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : sys_failed("looking at '%s'", place->object);
	rc = place_check_own(place, place->object, &status);
	if (rc < 0)
		return error_prefix(-STOA_EEXIST, "the name is taken");
	if (!used)
		return error_set(-STOA_EEXIST, "the name is taken by a file that is no segment: '%s' has no lock file",
				 place->object);
	if (status.st_mode & S_ISVTX)
		return error_set(-STOA_EEXIST, "it exists and is persistent: open it, or remove it (stoa rm)");
	return remove_entry(place, place->object);
}

static int give_name(const struct place *place, int lock, os_handle memory, const void *record, size_t record_length)
{
	char path[40];
	int rc = os_length_allowed(record_length + 1);

	if (rc == 0 && SYS(ftruncate, lock, 1) < 0)
		rc = sys_failed("writing '%s'", place->lock);
	if (rc == 0 && record_length)
		rc = os_memory_write(lock, 0, record, record_length);
	if (rc < 0)
		return rc;
	/* Not /proc/self: that is the main thread, which may have ended. */
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", sys_fd(memory));
	if (SYS(linkat, AT_FDCWD, path, place->directory, place->object, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno == ENOENT)
		return error_set(-STOA_ENOTSUP, "naming '%s' needs /proc", place->object);
	return sys_failed("naming '%s'", place->object);
}

/* Under the gate. 1: the gate was that of an unlinked name and is gone; try again. */
static int publish_in_gate(const struct place *place, int lock, os_handle memory, const void *record,
			   size_t record_length)
{
	int used = was_used(place, lock), rc;
	struct stat status;

	if (used < 0)
		return used;
	if (lock_byte(lock, F_WRLCK, BYTE_USE) < 0) {
		if (!lock_is_busy())
			return sys_failed("locking '%s'", place->lock);
		if (SYS(fstatat, place->directory, place->object, &status, AT_SYMLINK_NOFOLLOW) == 0)
			return error_set(-STOA_EEXIST,
					 "it exists and is in use: open it, or remove its name (stoa rm)");
		rc = remove_entry(place, place->lock);
		return rc < 0 ? rc : 1;
	}
	rc = clear_place(place, used);
	if (rc == 0)
		rc = give_name(place, lock, memory, record, record_length);
	if (rc < 0) {
		if (!used)
			remove_entry(place, place->lock);
		return rc;
	}
	/* From "nobody can use it" to "we use it" in one step, then let others at the gate. */
	if (lock_byte(lock, F_RDLCK, BYTE_USE) == 0 && lock_byte(lock, F_UNLCK, BYTE_GATE) == 0)
		return 0;
	rc = sys_failed("locking '%s'", place->lock);
	remove_both(place);
	return rc;
}

int os_name_publish(os_handle memory, const char *name, uint32_t flags, const void *record, size_t record_length,
		    struct os_name **ret_name)
{
	struct os_name *use = NULL;
	struct place place;
	int rc = place_open(name, flags, true, &place), lock;

	if (rc < 0)
		return rc;
	rc = new_name(-1, name, flags, &use);
	if (rc < 0)
		goto out;
	do {
		rc = enter_gate(&place, true, &lock);
		if (rc < 0)
			break;
		rc = publish_in_gate(&place, lock, memory, record, record_length);
		if (rc != 0)
			leave(lock);
	} while (rc > 0);
	if (rc == 0) {
		use->lock = lock;
		*ret_name = use;
		use = NULL;
	}
out:
	os_free(use);
	place_close(&place);
	return rc;
}

/* Open the object itself. 0, or -STOA_*; *ret_status tells whose it is. */
static int open_object(const struct place *place, uint32_t flags, int *ret_object, struct stat *ret_status)
{
	int how = (flags & OS_NAME_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = SYS(openat, place->directory, place->object, how), rc = 0;

	if (fd < 0)
		return place_open_failed(place, place->object);
	if (SYS(fstat, fd, ret_status) < 0)
		rc = sys_failed("looking at '%s'", place->object);
	else if (!S_ISREG(ret_status->st_mode) || ret_status->st_uid == geteuid() || !(flags & OS_NAME_READ_ONLY))
		rc = place_check_own(place, place->object, ret_status);
	if (rc < 0)
		close(fd);
	else
		*ret_object = fd;
	return rc;
}

static int not_ours(const struct place *place)
{
	return error_set(-STOA_EFORMAT, "'%s' has no lock file of its own: it was not made by stoa", place->object);
}

/* Become a user of an object that was opened. 1: things moved, look again. *ret_lock is -1 except on 0. */
static int begin_use(const struct place *place, uint32_t flags, int object, const struct stat *status, int *ret_lock)
{
	int lock = open_lock(place, false), holder, used, rc;
	bool look = flags & ONLY_LOOK;

	*ret_lock = -1;
	if (lock < 0 && errno == ENOENT && place_same_file(place, place->object, object))
		return not_ours(place);
	if (lock < 0)
		return errno == ENOENT ? 1 : place_open_failed(place, place->lock);
	rc = check_lock(place, lock);
	if (rc < 0)
		return rc;
	holder = byte_holder(lock, BYTE_USE);
	used = holder == F_UNLCK ? was_used(place, lock) : 0;
	if (used < 0) {
		leave(lock);
		return used;
	}
	if (holder == F_UNLCK && !((look || status->st_mode & S_ISVTX) && used) && !MUTANT(ORPHANS_OPEN)) {
		rc = used || !place_same_file(place, place->object, object) ? -STOA_ENOENT : not_ours(place);
		leave(lock);
		return rc;
	}
	if (holder < 0 || holder == F_WRLCK || (!look && lock_byte(lock, F_RDLCK, BYTE_USE) < 0)) {
		rc = holder == F_WRLCK || lock_is_busy() ? 1 : sys_failed("locking '%s'", place->lock);
	} else if (!place_same_file(place, place->lock, lock) || !place_same_file(place, place->object, object)) {
		rc = 1;
	} else {
		*ret_lock = lock;
		return 0;
	}
	leave(lock);
	return rc;
}

static int no_such_name(const struct place *place, uint32_t flags)
{
	enum leftover found = LEFT_ALONE;

	/* Whatever dead users left goes now; not being able to is no reason for another error. */
	if (!(flags & ONLY_LOOK))
		(void)sweep_name(place, NULL, &found);
	return error_set(-STOA_ENOENT, "nothing has that name%s",
			 found == LEFT_REMOVED ? ": those who used it are dead" : "");
}

static int open_in_place(const struct place *place, uint32_t flags, int *ret_object, int *ret_lock)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		struct stat status;
		int object = -1, rc = open_object(place, flags, &object, &status);

		if (rc == -STOA_ENOENT)
			return no_such_name(place, flags);
		if (rc < 0)
			return rc;
		*ret_lock = -1;
		if (status.st_uid == geteuid())
			rc = begin_use(place, flags, object, &status, ret_lock);
		if (rc == 0) {
			*ret_object = object;
			return 0;
		}
		close(object);
		if (rc == -STOA_ENOENT)
			return no_such_name(place, flags);
		if (rc < 0)
			return rc;
		give_way(tries);
	}
	return stuck(place);
}

/* The object and its record; *ret_lock is -1 where both are another user's. */
static int open_named(const char *name, uint32_t flags, int *ret_object, int *ret_lock, void *record,
		      size_t *ret_record_length)
{
	struct place place;
	int rc = place_open(name, flags, false, &place);
	size_t length = 0;

	if (rc == -STOA_ENOENT)
		return error_set(rc, "nothing has that name");
	if (rc < 0)
		return rc;
	rc = open_in_place(&place, flags, ret_object, ret_lock);
	place_close(&place);
	if (rc < 0)
		return rc;
	if (*ret_lock >= 0)
		rc = os_memory_read(*ret_lock, 0, record, OS_NAME_RECORD_MAX, &length);
	if (rc < 0) {
		leave(*ret_lock);
		close(*ret_object);
		return rc;
	}
	*ret_record_length = length > 1 ? length : 0;
	return 0;
}

int os_name_open(const char *name, uint32_t flags, os_handle *ret_memory, void *record, size_t *ret_record_length,
		 struct os_name **ret_name)
{
	struct os_name *use = NULL;
	int object, lock, rc = open_named(name, flags, &object, &lock, record, ret_record_length);

	if (rc == 0 && lock >= 0) {
		rc = new_name(lock, name, flags, &use);
		if (rc < 0) {
			leave(lock);
			close(object);
		}
	}
	if (rc < 0)
		return rc;
	*ret_memory = object;
	*ret_name = use;
	return 0;
}

int os_name_look(const char *name, uint32_t flags, os_handle *ret_memory, void *record, size_t *ret_record_length,
		 bool *ret_left)
{
	struct stat status;
	int object, lock, holder = F_RDLCK;
	int rc = open_named(name, flags | OS_NAME_READ_ONLY | ONLY_LOOK, &object, &lock, record, ret_record_length);

	if (rc < 0)
		return rc;
	if (lock >= 0) {
		holder = byte_holder(lock, BYTE_USE);
		leave(lock);
	}
	if (holder < 0 || SYS(fstat, object, &status) < 0) {
		rc = sys_failed("looking at '%s'", name);
		close(object);
		return rc;
	}
	*ret_memory = object;
	*ret_left = holder == F_UNLCK && !(status.st_mode & S_ISVTX);
	return 0;
}

void os_name_close(struct os_name *name)
{
	struct stat status;
	struct place place;
	enum leftover found;
	bool known;

	if (!name)
		return;
	known = SYS(fstat, name->lock, &status) == 0;
	leave(name->lock);
	if (known && !(name->flags & OS_NAME_PERSISTENT) && name->name[0] &&
	    place_open(name->name, name->flags, false, &place) == 0) {
		(void)sweep_name(&place, &status, &found);
		place_close(&place);
	}
	os_free(name);
}

static int unlink_in_gate(const struct place *place, int lock)
{
	enum leftover found;
	int rc = remove_if_dead(place, lock, &found);
	struct stat status;

	if (rc < 0)
		return rc;
	if (found == LEFT_FOREIGN)
		return not_ours(place);
	if (found == LEFT_REMOVED || SYS(fstatat, place->directory, place->object, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(-STOA_ENOENT, "nothing has that name");
	return remove_both(place);
}

int os_name_unlink(const char *name, uint32_t flags)
{
	struct stat status;
	struct place place;
	int rc = place_open(name, flags, false, &place), lock;

	if (rc == -STOA_ENOENT)
		return error_set(rc, "nothing has that name");
	if (rc < 0)
		return rc;
	rc = enter_gate(&place, false, &lock);
	if (rc == 0) {
		rc = unlink_in_gate(&place, lock);
		leave(lock);
	} else if (rc == -STOA_ENOENT &&
		   SYS(fstatat, place.directory, place.object, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		rc = place_check_own(&place, place.object, &status);
		if (rc == 0)
			rc = not_ours(&place);
	} else if (rc == -STOA_ENOENT) {
		rc = error_set(rc, "nothing has that name");
	}
	place_close(&place);
	return rc;
}

os_handle os_name_handle(const struct os_name *name)
{
	return name ? name->lock : OS_NO_HANDLE;
}

void os_name_disown(struct os_name *name)
{
	os_free(name);
}

/* The lock file's path, read back, tells the name; a removed one has no name to care for any more. */
int os_name_adopt(os_handle handle, struct os_name **ret_name)
{
	char link[40], path[512], directory[64], *entry = NULL;
	uint32_t flags = 0;
	ssize_t length;

	if (handle == OS_NO_HANDLE) {
		*ret_name = NULL;
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", sys_fd(handle));
	length = SYS(readlink, link, path, sizeof(path) - 1);
	if (length < 0)
		return sys_failed("asking for the name of an inherited segment");
	path[length] = 0;
	for (unsigned i = 0; i < 2 && !entry; i++) {
		flags = i ? OS_NAME_GLOBAL : 0;
		place_path(flags, directory, sizeof(directory));
		if (strncmp(path, directory, strlen(directory)) == 0 && path[strlen(directory)] == '/' &&
		    !strchr(path + strlen(directory) + 1, '/'))
			entry = place_name_of(path + strlen(directory) + 1, ".lock", flags);
	}
	return new_name(sys_fd(handle), entry ? entry : "", flags, ret_name);
}

/* Describe one directory entry. 0: not a name of ours, or no more. */
static int describe(int directory, char *entry, uint32_t space, struct os_name_entry *ret_entry)
{
	struct place place = {.directory = directory};
	struct stat status, lock_status;
	int lock;

	ret_entry->name = place_name_of(entry, ".seg", space);
	if (!ret_entry->name)
		return 0;
	place_of_entry(entry, &place);
	if (SYS(fstatat, directory, place.object, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    SYS(fstatat, directory, place.lock, &lock_status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : sys_failed("looking at '%s'", ret_entry->name);
	if (!S_ISREG(status.st_mode))
		return 0;
	ret_entry->flags = (space & OS_NAME_GLOBAL) | (status.st_mode & S_ISVTX ? OS_NAME_PERSISTENT : 0) |
			   (status.st_mode & S_IROTH ? OS_NAME_WORLD_READABLE : 0);
	ret_entry->owner = status.st_uid;
	/* What another user's lock says cannot be asked. */
	lock = SYS(openat, directory, place.lock, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (lock < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return sys_failed("opening '%s'", place.lock);
	ret_entry->in_use = lock < 0 || byte_holder(lock, BYTE_USE) != F_UNLCK;
	if (lock >= 0)
		close(lock);
	return 1;
}

/* Open a space's directory for reading its entries; *ret_stream is NULL when there is none. */
static int open_stream(uint32_t flags, DIR **ret_stream)
{
	int directory, rc = place_open_directory(flags, false, &directory);

	*ret_stream = NULL;
	if (rc == -STOA_ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	*ret_stream = SYS_POINTER(fdopendir, directory);
	if (*ret_stream)
		return 0;
	rc = sys_failed("listing names");
	close(directory);
	return rc;
}

/* *ret_entry is NULL at the end, which is not to be taken for an error, nor the other way round. */
static int next_entry(DIR *stream, struct dirent **ret_entry)
{
	errno = 0;
	*ret_entry = SYS_POINTER(readdir, stream);
	return *ret_entry || !errno ? 0 : sys_failed("listing names");
}

int os_name_list(uint32_t flags, int (*visit)(const struct os_name_entry *entry, void *argument), void *argument)
{
	struct os_name_entry entry;
	struct dirent *found;
	char copy[256];
	DIR *stream;
	int rc = open_stream(flags, &stream);

	if (rc < 0 || !stream)
		return rc;
	while (rc == 0 && (rc = next_entry(stream, &found)) == 0 && found) {
		snprintf(copy, sizeof(copy), "%s", found->d_name);
		rc = describe(dirfd(stream), copy, flags, &entry);
		if (rc > 0)
			rc = visit(&entry, argument);
	}
	closedir(stream);
	return rc;
}

int os_name_sweep(uint32_t flags, uint32_t *ret_removed)
{
	enum leftover found;
	struct dirent *entry;
	struct place place;
	uint32_t removed = 0;
	char copy[256];
	DIR *stream;
	int rc = open_stream(flags, &stream);

	if (rc < 0)
		return rc;
	while (stream && (rc = next_entry(stream, &entry)) == 0 && entry) {
		snprintf(copy, sizeof(copy), "%s", entry->d_name);
		if (!place_name_of(copy, ".lock", flags))
			continue;
		place.directory = dirfd(stream);
		place_of_entry(copy, &place);
		/* What is another user's, or busy, stays. */
		if (sweep_name(&place, NULL, &found) == 0 && found == LEFT_REMOVED)
			removed++;
	}
	if (stream)
		closedir(stream);
	if (rc == 0)
		*ret_removed = removed;
	return rc;
}
