/* SPDX-License-Identifier: MIT */
/*
 * Names where Linux has its own ways: names that outlive their users, what dead users leave and who clears it up, and what lies in
 * a name's place that is not ours. The places are looked at directly: /dev/shm/stoa.<uid>/NAME.seg and NAME.lock.
 */
#include <segment/linux.h>

#include <os/linux/places.h>
#include <pthread.h>
#include <sys/file.h>
#include <time.h>

static char *place_file(const char *name, const char *suffix)
{
	static char paths[4][400];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "/dev/shm/stoa.%u/%s%s", geteuid(), name, suffix);
	return path;
}

static struct stoa_segment *make(const char *name, uint32_t flags)
{
	struct stoa_segment_options options = {.flags = flags};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	return segment;
}

/* The process is a zombie to /proc/self, though it lives on in its other threads. */
static void await_end_of_main_thread(void)
{
	const struct timespec moment = {0, 1000000};
	char line[512] = "";

	while (!strstr(line, ") Z ")) {
		FILE *file = fopen("/proc/self/stat", "re");

		CHECK(file && fgets(line, sizeof(line), file));
		fclose(file);
		nanosleep(&moment, NULL);
	}
}

static void *use_names(void *name)
{
	struct stoa_segment *first, *second;
	struct os_name *use;
	int descriptor;

	await_end_of_main_thread();
	first = make(name, 0);
	CHECK_RC(stoa_segment_commit(first, PAGE), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &second), 0);
	CHECK_RC(stoa_segment_dup_descriptor(second, STOA_READ, &descriptor), 0);
	CHECK_SYS(close(descriptor));
	CHECK_RC(os_name_adopt(os_name_handle(first->name), &use), 0);
	os_name_disown(use);
	stoa_segment_close(second);
	stoa_segment_close(first);
	CHECK(!name_exists(name));
	_exit(7);
}

static void end_the_main_thread(void *name)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, use_names, name), 0);
	pthread_exit(NULL);
}

TEST(names_work_without_the_main_thread)
{
	CHECK_EQ(test_join(test_role(end_the_main_thread, (void *)(uintptr_t)test_name("n"))), 7);
}

TEST(persistent_names_stay)
{
	const char *name = test_name("p");
	struct stoa_segment_options options = {.flags = STOA_PERSISTENT};
	struct stoa_segment *segment;
	uint32_t removed;

	stoa_segment_close(make(name, STOA_PERSISTENT));
	CHECK_RC(stoa_segment_gc(0, &removed), 0);
	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), -STOA_EEXIST);
	check_detail("it exists and is persistent: open it, or remove it (stoa rm)");
	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	CHECK_RC(stoa_segment_unlink(name, 0), 0);
	CHECK(!name_exists(name));
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_ENOENT);
	CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
	stoa_segment_close(segment);
}

struct doomed {
	const char *name;
	uint32_t flags;
	_Atomic uint32_t *ready;
};

static void die_with_it(void *argument)
{
	struct doomed *doomed = argument;

	make(doomed->name, doomed->flags);
	atomic_store(doomed->ready, 1);
	for (;;)
		pause();
}

static void leave_behind(const char *name, uint32_t flags)
{
	struct doomed doomed = {name, flags, test_shared(sizeof(uint32_t))};
	pid_t role = test_role(die_with_it, &doomed);

	test_await(doomed.ready, 1);
	test_kill(role);
	munmap((void *)doomed.ready, sizeof(uint32_t));
}

TEST(opening_what_the_dead_left_is_enoent_and_removes_it)
{
	const char *name = test_name("dead");
	struct stoa_segment *segment;

	leave_behind(name, 0);
	CHECK(name_exists(name));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
	check_detail("are dead");
	CHECK(!name_exists(name));
}

TEST(creating_over_what_the_dead_left)
{
	const char *name = test_name("dead");
	struct stoa_segment *segment;

	leave_behind(name, 0);
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &segment), 0);
	stoa_segment_close(segment);
	leave_behind(name, 0);
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &segment), 0);
	stoa_segment_close(segment);
	leave_behind(name, 0);
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_ENOENT);
	CHECK(!name_exists(name));
}

TEST(gc_removes_what_the_dead_left)
{
	const char *dead = test_name("dead"), *alive = test_name("alive"), *kept = test_name("kept");
	struct stoa_segment *segment = make(alive, 0);
	uint32_t removed = 77;

	if (geteuid() == 0) /* only there nobody else's names are counted */
		leave_behind(test_name("dead2"), STOA_RAW);
	leave_behind(dead, 0);
	leave_behind(kept, STOA_PERSISTENT);
	CHECK_RC(stoa_segment_gc(0, &removed), 0);
	CHECK_INT(removed, >=, geteuid() == 0 ? 2 : 1);
	CHECK(!name_exists(dead));
	CHECK(name_exists(alive));
	CHECK(name_exists(kept));
	CHECK_RC(stoa_segment_unlink(kept, 0), 0);
	CHECK_RC(stoa_segment_gc(0, NULL), 0);
	CHECK_RC(stoa_segment_gc(STOA_RAW, &removed), -STOA_EINVAL);
	stoa_segment_close(segment);
}

/* Each state that death inside an operation can leave (see the table in names.c). */
TEST(half_done_removals_and_creations)
{
	const char *name = test_name("half");
	struct stoa_segment *users, *segment;

	/* A creator died after making the lock file: nothing has the name. */
	stoa_segment_close(make(name, 0));
	write_text(place_file(name, ".lock"), "");
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
	CHECK(!name_exists(name));
	write_text(place_file(name, ".lock"), "");
	stoa_segment_close(make(name, 0));
	CHECK(!name_exists(name));

	/* An unlink died between the two files: the users go on, the name is free. */
	users = make(name, 0);
	CHECK_SYS(unlink(place_file(name, ".seg")));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
	segment = make(name, 0);
	stoa_segment_close(users);
	CHECK(name_exists(name));
	stoa_segment_close(segment);
	CHECK(!name_exists(name));
}

static void hold_in_child(void *argument)
{
	struct doomed *child = argument;

	atomic_store(child->ready, 1);
	test_await(child->ready, 2);
	exit(0);
}

TEST(a_forked_child_keeps_the_name)
{
	const char *name = test_name("fork");
	struct stoa_segment *segment = make(name, 0), *again;
	struct doomed child = {name, 0, test_shared(sizeof(uint32_t))};
	pid_t role = test_role(hold_in_child, &child);

	test_await(child.ready, 1);
	stoa_segment_close(segment);
	CHECK_RC(stoa_segment_open(name, NULL, &again), 0);
	stoa_segment_close(again);
	atomic_store(child.ready, 2);
	CHECK_EQ(test_join(role), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &again), -STOA_ENOENT);
}

static void close_in_child(void *segment)
{
	stoa_segment_close(segment);
}

TEST(a_forked_child_closing_drops_nothing_of_its_parents)
{
	const char *name = test_name("fork");
	struct stoa_segment *segment = make(name, 0), *again;

	CHECK_EQ(test_join(test_role(close_in_child, segment)), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &again), 0);
	stoa_segment_close(again);
	stoa_segment_close(segment);
}

/* Whatever lies there that stoa did not make is named, and left alone. */
TEST(foreign_things_in_the_place)
{
	const char *name = test_name("foreign");
	char file[400];
	struct stoa_segment *segment = NULL, *other;

	snprintf(file, sizeof(file), "%s", place_file(name, ".seg"));
	stoa_segment_close(make(name, 0)); /* makes the directory */
	write_text(file, "just a file");
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	check_detail("not made by stoa");
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &segment), -STOA_EEXIST);
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_EFORMAT);
	CHECK_SYS(access(file, F_OK));
	CHECK_EQ(access(place_file(name, ".lock"), F_OK), -1);
	write_text(place_file(name, ".lock"), ""); /* as a maker leaves that died when it met the file */
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_EFORMAT);
	CHECK_SYS(access(file, F_OK));
	CHECK_SYS(unlink(file));

	CHECK_SYS(symlink("/etc/passwd", file));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	check_detail("symbolic link");
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &segment), -STOA_EEXIST);
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &segment), -STOA_EFORMAT);
	CHECK_SYS(unlink(file));

	CHECK_SYS(mkdir(file, 0700));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	CHECK_SYS(rmdir(file));
	CHECK_SYS(mkfifo(file, 0600));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	CHECK_SYS(unlink(file));

	/* A second name for another segment's file. */
	other = make(test_name("other"), 0);
	CHECK_SYS(link(place_file(test_name("other"), ".seg"), file));
	CHECK_SYS(link(place_file(test_name("other"), ".lock"), place_file(name, ".lock")));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	check_detail("2 names");
	CHECK_SYS(unlink(file));
	CHECK_SYS(unlink(place_file(name, ".lock")));
	stoa_segment_close(other);

	snprintf(file, sizeof(file), "%s", place_file(name, ".lock"));
	CHECK_SYS(symlink("/etc/passwd", file));
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &segment), -STOA_EFORMAT);
	check_detail("symbolic link");
	CHECK_SYS(unlink(file));
	CHECK(segment == NULL);
}

TEST(a_header_that_is_cut_off)
{
	const char *name = test_name("bad");
	struct stoa_segment *owner = make(name, STOA_SHRINKABLE), *segment = NULL;

	CHECK_SYS(ftruncate((int)owner->memory, 40));
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	check_detail("ends after 40 bytes");
	CHECK(segment == NULL);
	stoa_segment_close(owner);
}

static int count_entry(const struct stoa_segment_entry *entry, void *name)
{
	return strcmp(entry->name, name) == 0 ? (int)(1 + entry->in_use + entry->flags) : 0;
}

TEST(persistent_names_are_listed)
{
	char name[128];

	snprintf(name, sizeof(name), "%s", test_name("kept"));
	stoa_segment_close(make(name, STOA_PERSISTENT));
	CHECK_RC(stoa_segment_list(0, count_entry, name), 1 + STOA_PERSISTENT);
	CHECK_RC(stoa_segment_unlink(name, 0), 0);
}

/* ---- what other users do ---- */

static void squat(void *argument)
{
	(void)argument;
	become_nobody();
	CHECK_SYS(mkdir("/dev/shm/stoa.0", 0700)); /* as ours would be, but for its owner */
}

TEST(a_squatted_directory_is_refused_by_owner)
{
	struct stoa_segment *segment = NULL;

	need_root("another user");
	CHECK_EQ(test_join(test_role(squat, NULL)), 0);
	CHECK_RC(stoa_segment_create("x", GIB, NULL, &segment), -STOA_EACCES);
	check_detail("65534");
	CHECK_RC(stoa_segment_open("x", NULL, &segment), -STOA_EACCES);
	check_detail("65534");
	CHECK_SYS(rmdir("/dev/shm/stoa.0"));
	CHECK_SYS(symlink("/tmp", "/dev/shm/stoa.0"));
	CHECK_RC(stoa_segment_create("x", GIB, NULL, &segment), -STOA_EACCES);
	check_detail("not a directory");
	CHECK_SYS(unlink("/dev/shm/stoa.0"));
	CHECK_SYS(mkdir("/dev/shm/stoa.0", 0700));
	CHECK_SYS(chmod("/dev/shm/stoa.0", 0755));
	CHECK_RC(stoa_segment_create("x", GIB, NULL, &segment), -STOA_EACCES);
	check_detail("chmod 700");
	CHECK(segment == NULL);
	CHECK_SYS(rmdir("/dev/shm/stoa.0"));
}

static void be_refused(void *argument)
{
	struct stoa_segment_options global = {.flags = STOA_GLOBAL};
	struct stoa_segment_options reader = {.flags = STOA_GLOBAL | STOA_READ_ONLY};
	struct stoa_segment *segment = NULL;

	(void)argument;
	become_nobody();
	CHECK_RC(stoa_segment_open("private", &global, &segment), -STOA_EACCES);
	check_detail("root (user id 0)");
	CHECK_RC(stoa_segment_open("private", &reader, &segment), -STOA_EACCES);
	check_detail("root (user id 0)");
	CHECK_RC(stoa_segment_create_or_open("private", GIB, &global, &segment), -STOA_EACCES);
	CHECK_RC(stoa_segment_create("private", GIB, &global, &segment), -STOA_EACCES);
	CHECK_RC(stoa_segment_unlink("private", STOA_GLOBAL), -STOA_EACCES);
	CHECK_RC(stoa_segment_open("public", &global, &segment), -STOA_EACCES);
	CHECK_RC(stoa_segment_open("private", NULL, &segment), -STOA_ENOENT); /* the user's own space is another */
	CHECK(segment == NULL);
	CHECK_RC(stoa_segment_open("public", &reader, &segment), 0);
	CHECK_EQ(bytes_of(segment)[0], 11);
	CHECK_EQ(touch(bytes_of(segment)), SIGSEGV);
	CHECK_EQ(mprotect(bytes_of(segment), PAGE, PROT_READ | PROT_WRITE), -1);
	CHECK_EQ(ftruncate((int)segment->memory, 0), -1);
	stoa_segment_close(segment);
	CHECK_RC(stoa_segment_gc(STOA_GLOBAL, NULL), 0);
}

TEST(strangers_and_global_names)
{
	struct stoa_segment_options global = {.flags = STOA_GLOBAL, .commit = 1};
	struct stoa_segment *private_one, *public_one, *segment = NULL;

	need_root("another user");
	CHECK_RC(stoa_segment_create("private", GIB, &global, &private_one), 0);
	global.flags |= STOA_WORLD_READABLE;
	CHECK_RC(stoa_segment_create("public", GIB, &global, &public_one), 0);
	bytes_of(public_one)[0] = 11;
	CHECK_EQ(test_join(test_role(be_refused, NULL)), 0);
	CHECK_RC(stoa_segment_open("private", NULL, &segment), -STOA_ENOENT);
	CHECK_SYS(access("/dev/shm/stoa.global.private.seg", F_OK));
	stoa_segment_close(private_one);
	stoa_segment_close(public_one);
	CHECK_EQ(access("/dev/shm/stoa.global.private.seg", F_OK), -1);
	CHECK_EQ(access("/dev/shm/stoa.global.public.lock", F_OK), -1);
}

static int see_entry(const struct stoa_segment_entry *entry, void *argument)
{
	return strcmp(entry->name, argument) == 0 && entry->owner == geteuid() && entry->flags & STOA_GLOBAL &&
	       entry->in_use;
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	CHECK_SYS(stat(path, &status));
	return status.st_mode & 07777;
}

/* What every user can do, in a directory that all share. */
static void use_global_names(void *argument)
{
	struct stoa_segment_options global = {.flags = STOA_GLOBAL, .commit = 1}, open_it = {.flags = STOA_GLOBAL};
	struct stoa_segment *segment, *again, *none = NULL;
	char name[128], object[300], lock[300];

	if (argument)
		become_nobody();
	snprintf(name, sizeof(name), "%s", test_name("everybody"));
	snprintf(object, sizeof(object), "/dev/shm/stoa.global.%s.seg", name);
	snprintf(lock, sizeof(lock), "/dev/shm/stoa.global.%s.lock", name);
	CHECK_RC(stoa_segment_create(name, GIB, &global, &segment), 0);
	CHECK_RC(stoa_segment_create(name, GIB, &global, &none), -STOA_EEXIST);
	CHECK_RC(stoa_segment_open(name, NULL, &none), -STOA_ENOENT);
	CHECK_RC(stoa_segment_open(name, &open_it, &again), 0);
	bytes_of(segment)[0] = 12;
	CHECK_EQ(bytes_of(again)[0], 12);
	CHECK_EQ(mode_of(object), 0600);
	CHECK_EQ(stoa_segment_list(STOA_GLOBAL, see_entry, name), 1);
	CHECK_RC(stoa_segment_gc(STOA_GLOBAL, NULL), 0); /* takes nothing that is used */
	stoa_segment_close(segment);
	CHECK_SYS(access(object, F_OK));
	stoa_segment_close(again);
	CHECK_EQ(access(object, F_OK), -1);
	CHECK_EQ(access(lock, F_OK), -1);

	global.flags |= STOA_PERSISTENT | STOA_WORLD_READABLE;
	CHECK_RC(stoa_segment_create(name, GIB, &global, &segment), 0);
	stoa_segment_close(segment);
	CHECK_EQ(mode_of(object) & 0066, 0044);
	CHECK_RC(stoa_segment_unlink(name, STOA_GLOBAL), 0);
	CHECK_RC(stoa_segment_unlink(name, STOA_GLOBAL), -STOA_ENOENT);
	CHECK_EQ(access(lock, F_OK), -1);

	CHECK_SYS(symlink("/etc/passwd", object));
	CHECK_RC(stoa_segment_open(name, &open_it, &none), -STOA_EFORMAT);
	CHECK_SYS(unlink(object));
	CHECK(none == NULL);
}

TEST(global_names_of_an_ordinary_user)
{
	use_global_names(NULL);
	if (geteuid() == 0)
		CHECK_EQ(test_join(test_role(use_global_names, "nobody")), 0);
}

static void plant(void *argument)
{
	struct stoa_segment_options global = {.flags = STOA_GLOBAL | STOA_PERSISTENT};
	struct stoa_segment *segment;

	(void)argument;
	become_nobody();
	CHECK_RC(stoa_segment_create("planted", GIB, &global, &segment), 0);
	stoa_segment_close(segment);
	CHECK_SYS(symlink("/etc/passwd", "/dev/shm/stoa.global.linked.seg"));
	CHECK_SYS(symlink("/etc/passwd", "/dev/shm/stoa.global.linked2.lock"));
}

/* Even root does not use, for writing, what another user has planted under a name; nor does it remove it. */
TEST(planted_global_names)
{
	struct stoa_segment_options global = {.flags = STOA_GLOBAL};
	struct stoa_segment *segment = NULL;

	need_root("another user");
	CHECK_EQ(test_join(test_role(plant, NULL)), 0);
	CHECK_RC(stoa_segment_open("planted", &global, &segment), -STOA_EACCES);
	check_detail("65534");
	CHECK_RC(stoa_segment_create_or_open("planted", GIB, &global, &segment), -STOA_EACCES);
	CHECK_RC(stoa_segment_create("planted", GIB, &global, &segment), -STOA_EACCES);
	CHECK_RC(stoa_segment_unlink("planted", STOA_GLOBAL), -STOA_EACCES);
	CHECK_RC(stoa_segment_gc(STOA_GLOBAL, NULL), 0);
	CHECK_SYS(access("/dev/shm/stoa.global.planted.seg", F_OK));
	CHECK_RC(stoa_segment_open("linked", &global, &segment), -STOA_EFORMAT);
	CHECK_RC(stoa_segment_create("linked", GIB, &global, &segment), -STOA_EEXIST);
	CHECK_RC(stoa_segment_create("linked2", GIB, &global, &segment), -STOA_EFORMAT);
	CHECK(segment == NULL);
	CHECK_SYS(unlink("/dev/shm/stoa.global.planted.seg"));
	CHECK_SYS(unlink("/dev/shm/stoa.global.planted.lock"));
	CHECK_SYS(unlink("/dev/shm/stoa.global.linked.seg"));
	CHECK_SYS(unlink("/dev/shm/stoa.global.linked2.lock"));
}

static void hold_gate(void *argument)
{
	struct doomed *holder = argument;
	int fd = open(place_file(holder->name, ".lock"), O_RDWR | O_CLOEXEC);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};

	CHECK_SYS(fd);
	CHECK_SYS(fcntl(fd, F_OFD_SETLK, &lock));
	atomic_store(holder->ready, 1);
	for (;;)
		pause();
}

/* A process stopped in the microseconds of making or removing a name delays others, and does not hang them. */
TEST(a_stopped_maker_is_an_error_in_time)
{
	const char *name = test_name("stopped");
	struct stoa_segment *segment = make(name, 0), *other = NULL;
	struct doomed holder = {name, 0, test_shared(sizeof(uint32_t))};
	pid_t role = test_role(hold_gate, &holder);

	test_await(holder.ready, 1);
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &other), -STOA_EBUSY);
	check_detail("stopped");
	CHECK_RC(stoa_segment_open(name, NULL, &other), 0); /* openers need no gate */
	stoa_segment_close(other);
	test_kill(role);
	stoa_segment_close(segment);
	munmap((void *)holder.ready, sizeof(uint32_t));
}
