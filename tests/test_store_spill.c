/* SPDX-License-Identifier: MIT */
/*
 * Spilling: what memory has no room for goes to files and comes back as it was, by the kernel's rings and by threads; files that were changed, cut
 * off, exchanged or removed; a folder that is full, a disk that fails; clients that want more than there is room for at a time; a server
 * killed while it moves objects.
 */
#include <store/directory.h>
#include <store/kit.h>
#include <store/raw.h>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <os/ring.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT (32 * MIB)

static char folder[200];

static struct stoa_server_options options_of(uint32_t flags)
{
	snprintf(folder, sizeof(folder), "%s/files", test_dir());
	return (struct stoa_server_options){.limit = LIMIT, .flags = flags, .objects = 5000, .spill_folder = folder};
}

static struct kit *start(uint32_t flags)
{
	struct stoa_server_options options = options_of(flags);

	return kit_start(&options);
}

static void need_kernel(void)
{
	struct os_ring *ring;

	if (os_ring_create(OS_RING_KERNEL, 8, &ring) < 0)
		SKIP("no io_uring here: %s", stoa_error_detail());
	os_ring_close(ring);
}

static const char *name_of(unsigned number)
{
	static char name[40];

	/* Every seventh has a long id. */
	snprintf(name, sizeof(name), number % 7 ? "object %u" : "object with an id of 33 bytes:%05u", number);
	return name;
}

static struct stoa_store_stat stat_of(struct stoa_store *store)
{
	struct stoa_store_stat stat;

	CHECK_RC(stoa_store_stat(store, &stat), 0);
	return stat;
}

static void put(struct stoa_store *store, unsigned number, uint64_t size, uint32_t flags, uint32_t kind)
{
	struct stoa_object_options options = {.flags = flags, .kind = kind, .meta = name_of(number), .meta_length = 8};

	CHECK_RC(kit_put(store, name_of(number), size, number, &options), 0);
}

/* What the list says of it. */
struct seen {
	const char *id;
	struct stoa_object_info info;
	unsigned count, spilled;
};

static int see(const struct stoa_object_info *info, void *argument)
{
	struct seen *seen = argument;

	seen->count++;
	seen->spilled += !!(info->flags & STOA_OBJECT_SPILLED);
	if (seen->id && strlen(seen->id) == info->id_length && memcmp(info->id, seen->id, info->id_length) == 0)
		seen->info = *info;
	return 0;
}

static struct seen look_at(struct stoa_store *store, const char *id)
{
	struct seen seen = {.id = id};

	CHECK_RC(stoa_store_list(store, see, &seen), 0);
	return seen;
}

static bool is_spilled(struct stoa_store *store, unsigned number)
{
	return look_at(store, name_of(number)).info.flags & STOA_OBJECT_SPILLED;
}

/* Objects of 1 MiB until the first ones are spilled; returns how many there are. */
static unsigned fill(struct stoa_store *store, unsigned from, uint32_t kind)
{
	unsigned number = from;

	do
		put(store, number++, MIB, 0, kind);
	while (look_at(store, NULL).spilled < 4);
	return number;
}

static unsigned first_spilled(struct stoa_store *store)
{
	unsigned number = 0;

	while (!is_spilled(store, number))
		number++;
	return number;
}

/* ---- files ---- */

/* Call `visit` for each file of objects; returns how many. */
static unsigned each_file(void (*visit)(const char *path, const char *argument), const char *argument)
{
	DIR *list = opendir(folder);
	const struct dirent *entry;
	unsigned count = 0;

	CHECK(list != NULL);
	while ((entry = readdir(list)) != NULL) {
		char path[600];

		if (!strstr(entry->d_name, ".object"))
			continue;
		count++;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (visit)
			visit(path, argument);
	}
	closedir(list);
	return count;
}

/* Does the file have the object's id? Its header tells. */
static bool is_file_of(const char *path, const char *id)
{
	char header[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK_SYS(fd);
	CHECK_EQ(read(fd, header, sizeof(header)), sizeof(header));
	close(fd);
	return strncmp(header + 88, id, strlen(id) + 1) == 0;
}

static char found[2][600];

static void note_file(const char *path, const char *id)
{
	if (is_file_of(path, id))
		strcpy(found[0], path);
}

static const char *file_of(const char *id)
{
	found[0][0] = 0;
	each_file(note_file, id);
	CHECK(found[0][0]);
	return found[0];
}

/* ---- out and in ---- */

#define TIMES 10u

static uint64_t size_of(unsigned number)
{
	static const uint64_t sizes[] = {100, 3 * KIB, 64 * KIB, 523264, 523265, 300 * KIB, MIB, 5 * MIB / 2 + 5};

	return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

static uint32_t kind_of(unsigned number)
{
	return size_of(number) > 64 * KIB ? number % 3 == 0 ? STOA_OBJECT_SEALED : STOA_OBJECT_PRIVATE
					  : STOA_OBJECT_AUTO;
}

static void check_one(struct stoa_store *store, unsigned number)
{
	struct stoa_object object;
	const char *id = name_of(number);

	CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), kit_later(30000), &object), 0);
	CHECK_EQ(object.size, size_of(number));
	CHECK(kit_whole(object.data, object.size, id, strlen(id)));
	CHECK_EQ(object.meta_length, 8);
	CHECK(memcmp(object.meta, id, 8) == 0);
	stoa_object_release(store, &object);
}

static void ten_times(void)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct stoa_store_stat stat;
	uint64_t bytes = 0;
	unsigned count = 0;

	for (; bytes < TIMES * LIMIT - LIMIT; bytes += size_of(count++))
		put(store, count, size_of(count), 0, kind_of(count));
	CHECK_EQ(look_at(store, NULL).count, count);
	stat = stat_of(store);
	CHECK_EQ(stat.objects, count);
	CHECK_EQ(stat.evictions, 0);
	CHECK_INT(stat.spilled, >, count / 2);
	CHECK_INT(stat.committed, <=, LIMIT);
	kit_look(kit);
	for (unsigned i = 0; i < count; i++)
		CHECK_EQ(stoa_store_contains(store, name_of(i), (uint32_t)strlen(name_of(i))), 1);
	/* In another order: the first, the last, the second ... */
	for (unsigned i = 0; i < count; i++)
		check_one(store, i % 2 ? count - 1 - i / 2 : i / 2);
	kit_look(kit);
	stat = stat_of(store);
	CHECK_EQ(stat.objects, count);
	CHECK_INT(stat.restores, >=, count / 2);
	CHECK_EQ(stat.spill_failures, 0);
	CHECK_EQ(stat.spill_losses, 0);
	stoa_store_close(store);
	kit_stop(kit);
	/* What ends as it should leaves nothing. */
	CHECK_EQ(each_file(NULL, NULL), 0);
}

TEST_TIMEOUT(ten_times_the_memory_by_the_kernel, 120)
{
	need_kernel();
	ten_times();
}

TEST_TIMEOUT(ten_times_the_memory_by_threads, 120)
{
	store_rlx(&os_ring_without, 1);
	ten_times();
}

/* A get that does not wait says that it would have to, and has it brought back all the same. */
TEST(a_get_that_does_not_wait)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	unsigned number;

	fill(store, 0, 0);
	number = first_spilled(store);
	CHECK_RC(kit_get(store, name_of(number), 0), STOA_TIMED_OUT);
	for (unsigned i = 0; is_spilled(store, number); i++) {
		CHECK_INT(i, <, 10000);
		test_nap(1);
	}
	CHECK_RC(kit_get(store, name_of(number), 0), 0);
	CHECK_RC(kit_get(store, "nothing", 0), -STOA_ENOENT);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Deleted and replaced, in its file as in memory. */
TEST(what_is_spilled_is_deleted_and_replaced)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object object;
	unsigned count = fill(store, 0, 0), number = first_spilled(store);

	CHECK_RC(kit_put(store, name_of(number), 4096, 5, NULL), -STOA_EEXIST);
	CHECK_RC(kit_put(store, name_of(number), 4096, 5, &(struct stoa_object_options){.flags = STOA_OBJECT_REPLACE}),
		 0);
	CHECK(!is_spilled(store, number));
	CHECK_RC(stoa_store_get(store, name_of(number), (uint32_t)strlen(name_of(number)), 0, &object), 0);
	CHECK_EQ(object.size, 4096);
	stoa_object_release(store, &object);
	number = first_spilled(store);
	CHECK_RC(kit_delete(store, name_of(number)), 0);
	CHECK_RC(kit_get(store, name_of(number), 0), -STOA_ENOENT);
	CHECK_EQ(look_at(store, NULL).count, count - 1);
	kit_look(kit);
	for (unsigned i = 0; i < count; i++)
		if (i != number)
			CHECK_RC(kit_delete(store, name_of(i)), 0);
	while (each_file(NULL, NULL) || stat_of(store).spilled_bytes)
		test_nap(1);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- what does not go ---- */

TEST(what_is_pinned_or_held_stays_in_memory)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object held[10];
	unsigned number = 0;

	for (; number < 10; number++) {
		put(store, number, MIB, 0, 0);
		CHECK_RC(stoa_store_get(store, name_of(number), (uint32_t)strlen(name_of(number)), 0, &held[number]),
			 0);
	}
	for (; number < 20; number++)
		put(store, number, MIB, STOA_OBJECT_PINNED, 0);
	fill(store, number, 0);
	for (number = 0; number < 20; number++)
		CHECK(!is_spilled(store, number));
	for (number = 0; number < 10; number++)
		stoa_object_release(store, &held[number]);
	/* Pinned where it is: it stays spilled, and when it is back it stays there. */
	number = first_spilled(store);
	CHECK_RC(stoa_store_pin(store, name_of(number), (uint32_t)strlen(name_of(number))), 0);
	CHECK(is_spilled(store, number));
	CHECK_RC(kit_get(store, name_of(number), kit_later(20000)), 0);
	for (unsigned i = 100; i < 160; i++)
		put(store, i, MIB, 0, 0);
	CHECK(!is_spilled(store, number));
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Of SEALED ones nobody can write the bytes afterwards, too; others can only be written by the server. */
TEST(what_comes_back_cannot_be_written)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object_info info;
	unsigned number, count = fill(store, 0, STOA_OBJECT_SEALED);

	number = first_spilled(store);
	CHECK_EQ(look_at(store, name_of(number)).info.kind, STOA_OBJECT_SEALED);
	CHECK_RC(kit_get(store, name_of(number), kit_later(20000)), 0);
	info = look_at(store, name_of(number)).info;
	CHECK_EQ(info.kind, STOA_OBJECT_SEALED);
	CHECK_EQ(info.size, MIB);
	for (unsigned i = 0; i < count; i++)
		CHECK_RC(kit_delete(store, name_of(i)), 0);
	fill(store, 0, STOA_OBJECT_PRIVATE);
	number = first_spilled(store);
	CHECK_EQ(look_at(store, name_of(number)).info.kind, STOA_OBJECT_PRIVATE);
	CHECK_RC(kit_get(store, name_of(number), kit_later(20000)), 0);
	CHECK_EQ(look_at(store, name_of(number)).info.kind, STOA_OBJECT_COPIED);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- the folder is full, the disk fails ---- */

static void put_until(struct stoa_store *store, unsigned number, unsigned milliseconds)
{
	struct stoa_object_options options = {.deadline = kit_later(milliseconds)};

	CHECK_RC(kit_put(store, name_of(number), MIB, number, &options), 0);
}

static void full(uint32_t flags)
{
	struct stoa_server_options options = options_of(flags);
	struct stoa_store_stat stat;
	struct stoa_store *store;
	struct kit *kit;
	unsigned count = 0, there = 0;

	options.spill_limit = 20 * MIB;
	kit = kit_start(&options);
	store = kit_open(kit);
	while (count < 100 && kit_put(store, name_of(count), MIB, count, NULL) == 0)
		count++;
	stat = stat_of(store);
	CHECK_INT(stat.spilled_bytes, <=, options.spill_limit);
	CHECK_INT(stat.spilled, >=, 10);
	kit_look(kit);
	for (unsigned i = 0; i < count; i++)
		if (stoa_store_contains(store, name_of(i), (uint32_t)strlen(name_of(i))))
			there += kit_get(store, name_of(i), kit_later(10000)) == 0;
	CHECK_INT(stat_of(store).spilled_bytes, <=, options.spill_limit);
	if (flags & STOA_SERVER_EVICT) {
		CHECK_EQ(count, 100);
		CHECK_INT(stat.evictions, >, 0);
		CHECK_INT(there, >=, 30);
	} else {
		/* All there was room for, and each of them comes back, though something else has to go for it. */
		CHECK_INT(count, >=, 35);
		CHECK_INT(count, <, 60);
		CHECK_EQ(there, count);
	}
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(a_folder_that_is_full)
{
	full(0);
}

TEST(a_cache_whose_folder_is_full)
{
	full(STOA_SERVER_EVICT);
}

/* A file system of `size` bytes where the folder is, which goes with this process. */
static void mount_small(const char *size, unsigned long flags)
{
	if (!flags) {
		(void)options_of(0);
		CHECK_SYS(mkdir(folder, 0700));
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			SKIP("only a privileged user may mount a small file system");
	}
	CHECK_SYS(mount("small", folder, "tmpfs", flags, size));
}

/* The disk is full: who wants room is told that there is none, and all that was there stays. */
static void full_disk(void)
{
	struct stoa_store *store;
	struct kit *kit;
	unsigned count = 0;
	uint64_t failures;

	mount_small("size=3m,mode=700", 0);
	kit = start(0);
	store = kit_open(kit);
	while (kit_put(store, name_of(count), MIB, count, NULL) == 0)
		CHECK_INT(++count, <, 50);
	CHECK_INT(count, >=, 28);
	failures = stat_of(store).spill_failures;
	CHECK_INT(failures, >, 0);
	CHECK_INT(stat_of(store).spilled, <=, 2);
	kit_look(kit);
	for (unsigned i = 0; i < count; i++)
		CHECK(stoa_store_contains(store, name_of(i), (uint32_t)strlen(name_of(i))) == 1);
	/* Others have left room there: it is tried again. */
	mount_small("size=30m", MS_REMOUNT);
	put_until(store, count, 30000);
	for (unsigned i = 0; i <= count; i++)
		CHECK_RC(kit_get(store, name_of(i), kit_later(20000)), 0);
	CHECK_EQ(stat_of(store).spill_losses, 0);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST_TIMEOUT(a_full_disk_by_the_kernel, 60)
{
	need_kernel();
	full_disk();
}

TEST_TIMEOUT(a_full_disk_by_threads, 60)
{
	store_rlx(&os_ring_without, 1);
	full_disk();
}

/* ---- files that are not what they were ---- */

static void write_at(const char *path, off_t offset)
{
	unsigned char byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK_SYS(fd);
	CHECK_EQ(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x10;
	CHECK_EQ(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static void spoil(unsigned way, const char *path)
{
	switch (way) {
	case 0: write_at(path, 1024 + 500000); break;         /* the object's bytes */
	case 1: write_at(path, 1024 + (off_t)MIB - 1); break; /* the last of them */
	case 2: write_at(path, 300); break;                   /* metadata, or what would be */
	case 3: write_at(path, 48); break;                    /* its size */
	case 4: CHECK_SYS(truncate(path, 1024 + 4096)); break;
	case 5: CHECK_SYS(truncate(path, 10)); break;
	case 6: CHECK_SYS(truncate(path, 0)); break;
	default: CHECK_SYS(unlink(path)); break;
	}
}

#define WAYS 8u

TEST_TIMEOUT(files_that_are_spoilt_or_gone, 60)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	unsigned number, count = 0;

	for (; look_at(store, NULL).spilled < WAYS + 6; count++)
		put(store, count, MIB, 0, 0);
	for (unsigned way = 0; way < WAYS; way++) {
		number = first_spilled(store);
		spoil(way, file_of(name_of(number)));
		CHECK_RC(kit_get(store, name_of(number), kit_later(20000)), -STOA_EFORMAT);
		/* It is gone, and its id is free. */
		CHECK_RC(kit_get(store, name_of(number), 0), -STOA_ENOENT);
		CHECK_EQ(stat_of(store).spill_losses, way + 1);
		put(store, number, MIB, 0, 0);
	}
	/* The others are as they were. */
	for (unsigned i = 0; i < count; i++)
		CHECK_RC(kit_get(store, name_of(i), kit_later(20000)), 0);
	CHECK_EQ(stat_of(store).spill_losses, WAYS);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Two whole files, each with the other's name. */
TEST(files_that_were_exchanged)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	unsigned a, b;
	char third[300];

	fill(store, 0, 0);
	a = first_spilled(store);
	for (b = a + 1; !is_spilled(store, b); b++)
		;
	strcpy(found[1], file_of(name_of(a)));
	(void)file_of(name_of(b));
	snprintf(third, sizeof(third), "%s/third", test_dir());
	CHECK_SYS(rename(found[0], third));
	CHECK_SYS(rename(found[1], found[0]));
	CHECK_SYS(rename(third, found[1]));
	CHECK_RC(kit_get(store, name_of(a), kit_later(20000)), -STOA_EFORMAT);
	CHECK_RC(kit_get(store, name_of(b), kit_later(20000)), -STOA_EFORMAT);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- several want more than there is room for ---- */

#define TURNS 12u

struct wanting {
	struct kit *kit;
	unsigned number;
};

/* Each of these is more than half of the memory, so that one must go for the other. */
static void want(void *argument)
{
	const struct wanting *wanting = argument;
	struct stoa_store *store = kit_open(wanting->kit);
	_Atomic uint32_t *done = wanting->kit->words;

	for (unsigned i = 0; i < TURNS; i++) {
		CHECK_RC(kit_get(store, name_of(wanting->number), kit_later(60000)), 0);
		/* Until it is displaced, as long as anybody does that. */
		while (!is_spilled(store, wanting->number) && !load_rlx(&done[3 - wanting->number]))
			test_nap(1);
	}
	add_rlx(&done[wanting->number], 1);
	stoa_store_close(store);
}

TEST_TIMEOUT(two_that_displace_each_other_come_in_turns, 120)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct wanting wanting[3] = {{kit, 1}, {kit, 2}, {kit, 2}};
	pid_t roles[3];

	put(store, 1, 20 * MIB, 0, STOA_OBJECT_PRIVATE);
	put(store, 2, 20 * MIB, 0, STOA_OBJECT_SEALED);
	for (unsigned i = 0; i < 3; i++)
		roles[i] = test_role(want, &wanting[i]);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_INT(stat_of(store).restores, >=, TURNS);
	CHECK_EQ(stat_of(store).spill_losses, 0);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* What has come back stays until who asked for it has had the time to hold it, though somebody else wants its room. */
TEST_TIMEOUT(who_has_asked_gets_it, 60)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct store_request fetch = {.op = STORE_OP_FETCH};
	struct store_completion completion;
	unsigned got = 0;
	struct raw raw;

	put(store, 1, 20 * MIB, 0, 0);
	put(store, 2, 20 * MIB, 0, 0);
	CHECK_RC(raw_open(kit, 0, &raw), 0);
	for (unsigned i = 0; i < 6; i++) {
		unsigned number = is_spilled(store, 1) ? 1 : 2;

		fetch.id_length = (uint16_t)strlen(name_of(number));
		CHECK_RC(raw_call(&raw, fetch, name_of(number), NULL, 0, &completion), 0);
		fetch.id_length = (uint16_t)strlen(name_of(3 - number));
		raw_ask(&raw, fetch, name_of(3 - number), NULL, 0);
		/* Long enough for the server to spill it, if it did. */
		test_nap(50);
		got += kit_get(store, name_of(number), 0) == 0;
		CHECK(raw_answer(&raw, &completion));
		CHECK_RC(completion.result, 0);
	}
	/* On a machine that stands still it may have been too late. */
	CHECK_INT(got, >=, 1);
	raw_close(&raw);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Several that want the same one have it brought back once. */
static void get_once(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);

	add_rlx(&kit->words[0], 1);
	test_await(&kit->words[1], 1);
	CHECK_RC(kit_get(store, name_of(1), kit_later(20000)), 0);
	stoa_store_close(store);
}

TEST(several_gets_of_one_object_restore_it_once)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	pid_t roles[4];
	uint64_t restores;

	put(store, 1, 8 * MIB, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		roles[i] = test_role(get_once, kit);
	test_await(&kit->words[0], 4);
	for (unsigned i = 10; !is_spilled(store, 1); i++)
		put(store, i, MIB, 0, 0);
	restores = stat_of(store).restores;
	store_rel(&kit->words[1], 1);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(stat_of(store).restores, restores + 1);
	stoa_store_close(store);
	kit_stop(kit);
}

/* A client that comes when all memory is full of what may go is let in. */
TEST(who_connects_to_a_full_store_is_let_in)
{
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit), *others[6];

	fill(store, 0, 0);
	for (unsigned i = 0; i < 6; i++) {
		others[i] = kit_open(kit);
		put(others[i], 100 + i, 2 * MIB, 0, 0);
	}
	kit_look(kit);
	for (unsigned i = 0; i < 6; i++)
		stoa_store_close(others[i]);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- others' files ---- */

static void touch(const char *name)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_SYS(fd);
	close(fd);
}

static bool is_there(const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

TEST(files_of_others_stay)
{
	static const char other[] = "stoa-00000000000000010000000000000002-5-1.object";
	struct kit *kit;
	struct stoa_store *store;
	struct stat status;

	(void)options_of(0);
	CHECK_SYS(mkdir(folder, 0700));
	touch("letter");
	touch(other);
	kit = start(0);
	store = kit_open(kit);
	fill(store, 0, 0);
	stoa_store_close(store);
	kit_stop(kit);
	CHECK(is_there("letter") && is_there(other));
	CHECK_EQ(each_file(NULL, NULL), 1);
	CHECK_SYS(stat(folder, &status));
	CHECK_EQ(status.st_mode & 0777, 0700);
}

TEST(a_folder_that_others_can_change_is_none)
{
	struct stoa_server_options options = options_of(0);
	struct stoa_server *server;

	CHECK_SYS(mkdir(folder, 0700));
	CHECK_SYS(chmod(folder, 0777));
	CHECK_RC(stoa_server_start(&options, &server), -STOA_EACCES);
}

/* ---- rights ---- */

#define NOBODY 65534

static void be_nobody(void)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
}

/* What another user may not read does not come back for it, nor can it be deleted or replaced; what all may read does. */
static void as_other_user(void *argument)
{
	struct kit *kit = argument;
	struct stoa_object_options replacing = {.flags = STOA_OBJECT_REPLACE};
	struct stoa_store *store;
	uint64_t restores;

	be_nobody();
	store = kit_open(kit);
	restores = stat_of(store).restores;
	CHECK(is_spilled(store, 0) && is_spilled(store, 1));
	CHECK_RC(kit_get(store, name_of(0), kit_later(20000)), -STOA_EACCES);
	CHECK_RC(kit_delete(store, name_of(0)), -STOA_EACCES);
	CHECK_RC(kit_put(store, name_of(0), 100, 1, &replacing), -STOA_EACCES);
	CHECK_EQ(stat_of(store).restores, restores);
	CHECK(is_spilled(store, 0));
	CHECK_RC(kit_get(store, name_of(1), kit_later(20000)), 0);
	CHECK_RC(kit_delete(store, name_of(1)), -STOA_EACCES);
	stoa_store_close(store);
}

TEST(rights_stay_what_they_were)
{
	struct stoa_server_options options = options_of(0);
	struct stoa_object_options all = {.access = STOA_ACCESS_ALL};
	struct stoa_store *store;
	struct kit *kit;

	if (geteuid() != 0)
		SKIP("another user is needed, which only a privileged one can be");
	options.socket_mode = 0666;
	CHECK_SYS(chmod(test_dir(), 0755));
	kit = kit_start(&options);
	store = kit_open(kit);
	put(store, 0, MIB, 0, 0);
	CHECK_RC(kit_put(store, name_of(1), MIB, 1, &all), 0);
	for (unsigned i = 2; !is_spilled(store, 0) || !is_spilled(store, 1); i++)
		put(store, i, MIB, 0, 0);
	CHECK_EQ(test_join(test_role(as_other_user, kit)), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* In memory and in files: who may have so much has no more by being spilled. */
TEST(limits_count_what_is_in_files)
{
	struct stoa_server_options options = options_of(0);
	struct stoa_store *store;
	struct kit *kit;
	unsigned count = 0;

	options.client_limit = 50 * MIB;
	kit = kit_start(&options);
	store = kit_open(kit);
	while (kit_put(store, name_of(count), MIB, count, NULL) == 0)
		CHECK_INT(++count, <, 60);
	CHECK_RC(kit_put(store, "more", 2 * MIB, 1, NULL), -STOA_ELIMIT);
	CHECK_EQ(count, 49);
	for (unsigned i = 0; i < count; i++)
		CHECK_RC(kit_get(store, name_of(i), kit_later(20000)), 0);
	CHECK_RC(kit_delete(store, name_of(0)), 0);
	CHECK_RC(kit_put(store, "more", MIB, 1, &(struct stoa_object_options){.deadline = kit_later(10000)}), 0);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- enemies ---- */

/* An entry that the server makes of another one; 0: there is none now. */
static uint32_t find_made(const struct raw *raw, uint64_t *ret_state)
{
	struct directory directory;

	CHECK_RC(directory_open(raw->directory, raw->directory_length, &directory), 0);
	for (uint32_t entry = 1; entry < directory_limit(&directory); entry++) {
		*ret_state = load_rlx(&directory.entries[entry].state);
		if (store_state_of(*ret_state) == STORE_WRITING && !directory.entries[entry].serial)
			return entry;
	}
	return 0;
}

/* Ask, and try to end all that the server makes, until the answer comes. Returns how often there was something. */
static unsigned meddle(struct raw *raw, const char *id, enum store_op op)
{
	struct store_request fetch = {.op = STORE_OP_FETCH, .id_length = 4};
	struct store_completion completion = {0};
	uint64_t fetched, state = 0;
	unsigned tried = 0;
	uint32_t entry;

	raw_ask(raw, fetch, id, NULL, 0);
	fetched = raw->serial;
	while (completion.serial != fetched) {
		struct store_request end = {.op = (uint16_t)op};

		entry = find_made(raw, &state);
		end.entry = entry ? entry : 1;
		end.state = state;
		raw_ask(raw, end, NULL, NULL, 0);
		for (uint64_t asked = raw->serial; completion.serial != asked;) {
			CHECK(raw_answer(raw, &completion));
			if (completion.serial != fetched)
				continue;
			CHECK_RC(completion.result, 0);
			CHECK(raw_answer(raw, &completion));
			completion.serial = fetched;
			return tried;
		}
		CHECK_RC(completion.result, -STOA_ENOENT);
		tried += !!entry;
	}
	return tried;
}

/* A client that has made an object tries to seal and to drop what the server makes of it while it comes back. */
TEST_TIMEOUT(what_the_server_makes_is_no_clients, 60)
{
	struct stoa_object_options again = {.flags = STOA_OBJECT_REPLACE};
	struct kit *kit = start(0);
	struct stoa_store *store = kit_open(kit);
	struct store_completion completion;
	struct raw raw;
	unsigned tried = 0;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(raw_call(&raw,
			  (struct store_request){
				  .op = STORE_OP_CREATE, .id_length = 4, .size = 10 * MIB, .kind = STORE_PRIVATE},
			  "its1", NULL, 0, &completion),
		 0);
	CHECK_RC(raw_call(&raw,
			  (struct store_request){.op = STORE_OP_SEAL,
						 .size = 10 * MIB,
						 .entry = completion.entry,
						 .state = completion.state},
			  NULL, NULL, 0, &completion),
		 0);
	for (unsigned i = 0, j = 0; i < 10; i++) {
		while (!(look_at(store, "its1").info.flags & STOA_OBJECT_SPILLED))
			CHECK_RC(kit_put(store, name_of(j % 40), MIB, j, &again), 0), j++;
		tried += meddle(&raw, "its1", i & 1 ? STORE_OP_SEAL : STORE_OP_ABORT);
	}
	CHECK_INT(tried, >, 0);
	kit_look(kit);
	raw_close(&raw);
	stoa_store_close(store);
	kit_stop(kit);
}
