/* SPDX-License-Identifier: MIT */
/* Memory handed out by a manager: rights, growth, ends of those who made it, and of the manager. */
#include <harness/test.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)

static struct stoa_store *open_manager(void)
{
	struct stoa_store *manager;

	CHECK_RC(stoa_store_open("embedded:64MiB", NULL, &manager), 0);
	return manager;
}

static uint64_t committed(struct stoa_store *manager)
{
	struct stoa_store_stat stat;

	CHECK_RC(stoa_store_stat(manager, &stat), 0);
	return stat.committed;
}

/* Until the store has so many bytes, or less: those of the deleted are given back a moment later. */
static void await_committed(struct stoa_store *manager, uint64_t bytes)
{
	while (committed(manager) > bytes)
		test_nap(1);
}

TEST(memory_is_handed_out_and_comes_back)
{
	struct stoa_store *manager = open_manager(), *other = open_manager();
	struct stoa_allocation mine, theirs;
	uint64_t before;

	CHECK_RC(stoa_manager_alloc(manager, 100, STOA_READ | STOA_WRITE, NULL, &mine), 0);
	before = committed(manager);
	CHECK_RC(stoa_manager_get(other, mine.id, mine.id_length, &theirs), 0);
	CHECK(mine.address != theirs.address);
	CHECK_EQ(theirs.prot, STOA_READ | STOA_WRITE);
	CHECK_EQ(mine.length, 4096);
	memset(mine.address, 'x', 4096);
	CHECK(((char *)theirs.address)[4095] == 'x');
	((char *)theirs.address)[0] = 'y';
	CHECK(((char *)mine.address)[0] == 'y');
	CHECK_RC(stoa_manager_free(manager, &mine), 0);
	/* Who has it open keeps it. */
	CHECK(((char *)theirs.address)[4095] == 'x');
	CHECK_RC(stoa_manager_get(manager, theirs.id, theirs.id_length, &mine), -STOA_ENOENT);
	test_nap(20);
	CHECK(((char *)theirs.address)[4095] == 'x');
	stoa_manager_release(other, &theirs);
	await_committed(manager, before - 4096);
	stoa_store_close(other);
	stoa_store_close(manager);
}

TEST(what_others_may_do_the_kernel_enforces)
{
	struct stoa_allocation_options options = {.id = "readers", .id_length = 7};
	struct stoa_store *manager = open_manager(), *other = open_manager();
	struct stoa_allocation mine, theirs, passed;

	CHECK_RC(stoa_manager_alloc(manager, 64 * KIB, STOA_READ, &options, &mine), 0);
	CHECK_EQ(mine.prot, STOA_READ | STOA_WRITE);
	memset(mine.address, 7, 64 * KIB);
	CHECK_RC(stoa_manager_get(other, "readers", 7, &theirs), 0);
	CHECK_EQ(theirs.prot, STOA_READ);
	CHECK_EQ(((unsigned char *)theirs.address)[5], 7);
	CHECK_EQ(mprotect(theirs.address, 4096, PROT_READ | PROT_WRITE), -1);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)theirs.descriptor, 0) == MAP_FAILED);
	CHECK_EQ(pwrite((int)theirs.descriptor, "x", 1, 0), -1);
	CHECK_EQ(ftruncate((int)theirs.descriptor, 0), -1);
	CHECK_EQ(ftruncate((int)mine.descriptor, 0), -1);
	CHECK_RC(stoa_manager_grow(other, &theirs, 128 * KIB), -STOA_ERANGE);
	/* The descriptor alone, as if it had been passed on. */
	CHECK_RC(stoa_manager_map(theirs.descriptor, &passed), 0);
	CHECK_EQ(passed.prot, STOA_READ);
	CHECK_EQ(passed.length, 64 * KIB);
	CHECK_EQ(((unsigned char *)passed.address)[5], 7);
	stoa_manager_release(NULL, &passed);
	CHECK_RC(stoa_manager_map(0, &passed), -STOA_EFORMAT);
	stoa_manager_release(other, &theirs);
	CHECK_RC(stoa_manager_free(manager, &mine), 0);
	stoa_store_close(other);
	stoa_store_close(manager);
}

TEST(growth_is_seen_by_all_at_once)
{
	struct stoa_allocation_options options = {.id = "grows", .id_length = 5, .reserve = 1 << 30};
	struct stoa_store *manager = open_manager(), *other = open_manager();
	struct stoa_allocation mine, theirs;
	uint64_t before;

	CHECK_RC(stoa_manager_alloc(manager, 4096, STOA_READ | STOA_WRITE, &options, &mine), 0);
	CHECK_RC(stoa_manager_get(other, "grows", 5, &theirs), 0);
	CHECK_EQ(theirs.reserve, 1 << 30);
	before = committed(manager);
	CHECK_RC(stoa_manager_grow(other, &theirs, 8 * MIB), 0);
	CHECK_EQ(committed(manager), before + 8 * MIB - 4096);
	CHECK_EQ(stoa_manager_length(&mine), 8 * MIB);
	((char *)mine.address)[8 * MIB - 1] = 'm';
	CHECK(((char *)theirs.address)[8 * MIB - 1] == 'm');
	CHECK_RC(stoa_manager_grow(manager, &mine, 100), 0);
	CHECK_EQ(mine.length, 8 * MIB);
	/* More than the store has: an error, and nothing is changed. */
	CHECK_RC(stoa_manager_grow(manager, &mine, 512 * MIB), -STOA_ERANGE);
	CHECK_RC(stoa_manager_grow(manager, &mine, 60 * MIB), -STOA_ENOMEM);
	CHECK_EQ(committed(manager), before + 8 * MIB - 4096);
	CHECK_RC(stoa_manager_grow(manager, &mine, (1 << 30) + 1), -STOA_ERANGE);
	stoa_manager_release(other, &theirs);
	CHECK_RC(stoa_manager_free(manager, &mine), 0);
	await_committed(manager, before - 4096);
	stoa_store_close(other);
	stoa_store_close(manager);
}

TEST(who_frees_what_is_gone_does_not_free_its_successor)
{
	struct stoa_allocation_options options = {.id = "again", .id_length = 5};
	struct stoa_store *manager = open_manager(), *other = open_manager();
	struct stoa_allocation first, same, second;

	CHECK_RC(stoa_manager_alloc(manager, 1, STOA_READ, &options, &first), 0);
	CHECK_RC(stoa_manager_get(other, "again", 5, &same), 0);
	CHECK_RC(stoa_manager_free(manager, &first), 0);
	CHECK_RC(stoa_manager_alloc(manager, 1, STOA_READ, &options, &second), 0);
	CHECK_RC(stoa_manager_free(other, &same), -STOA_ENOENT);
	CHECK_EQ(stoa_store_contains(manager, "again", 5), 1);
	CHECK_RC(stoa_manager_free(manager, &second), 0);
	CHECK_EQ(stoa_store_contains(manager, "again", 5), 0);
	stoa_store_close(other);
	stoa_store_close(manager);
}

TEST(objects_and_memory_are_told_apart)
{
	struct stoa_allocation_options options = {.id = "memory", .id_length = 6};
	struct stoa_store *manager = open_manager();
	struct stoa_allocation allocation;
	struct stoa_object object;

	CHECK_RC(stoa_store_put(manager, "object", 6, "x", 1, NULL), 0);
	CHECK_RC(stoa_manager_alloc(manager, 1, STOA_READ, &options, &allocation), 0);
	CHECK_RC(stoa_manager_get(manager, "object", 6, &allocation), -STOA_EKIND);
	CHECK_RC(stoa_store_get(manager, "memory", 6, 0, &object), -STOA_EKIND);
	CHECK_RC(stoa_manager_alloc(manager, 1, STOA_READ, &options, &allocation), -STOA_EEXIST);
	CHECK_RC(stoa_manager_alloc(manager, 0, STOA_READ, NULL, &allocation), -STOA_EINVAL);
	CHECK_RC(stoa_manager_alloc(manager, 1, STOA_WRITE, NULL, &allocation), -STOA_EINVAL);
	CHECK_RC(stoa_manager_alloc(manager, 65 * MIB, STOA_READ, NULL, &allocation), -STOA_ERANGE);
	stoa_manager_release(manager, &allocation);
	stoa_store_close(manager);
}

/* ---- with a server of its own, and processes that die ---- */

static char socket_path[512];
static _Atomic uint32_t *steps;

static struct stoa_server_options server_options(void)
{
	return (struct stoa_server_options){.socket = socket_path, .limit = 64 * MIB, .flags = STOA_SERVER_HELD};
}

static void serve(void *argument)
{
	struct stoa_server_options options = server_options();
	struct stoa_server *server;

	(void)argument;
	CHECK_RC(stoa_server_start(&options, &server), 0);
	++*steps;
	CHECK_RC(stoa_server_run(server), 0);
}

static pid_t start_server(void)
{
	uint32_t before;
	pid_t server;

	if (!steps) {
		snprintf(socket_path, sizeof(socket_path), "%s/manager", test_dir());
		steps = test_shared(sizeof(*steps));
	}
	before = *steps;
	server = test_role(serve, NULL);
	test_await(steps, before + 1);
	return server;
}

static void end_store(pid_t server)
{
	struct stoa_server_options options = server_options();
	struct stoa_server *last;

	test_kill(server);
	CHECK_RC(stoa_server_start(&options, &last), 0);
	stoa_server_close(last);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void make_and_die(void *argument)
{
	struct stoa_allocation_options kept = {.id = "kept", .id_length = 4, .flags = STOA_ALLOCATION_KEEP},
				       gone = {.id = "gone", .id_length = 4};
	struct stoa_allocation allocation;
	struct stoa_store *manager;

	(void)argument;
	CHECK_RC(stoa_store_open(socket_path, NULL, &manager), 0);
	CHECK_RC(stoa_manager_alloc(manager, 4 * MIB, STOA_READ, &gone, &allocation), 0);
	CHECK_RC(stoa_manager_alloc(manager, MIB, STOA_READ | STOA_WRITE, &kept, &allocation), 0);
	memset(allocation.address, 'k', MIB);
	++*steps;
	test_pause();
}

TEST(what_the_dead_made_comes_back_unless_it_is_kept)
{
	struct stoa_allocation kept, gone;
	struct stoa_store *manager;
	uint64_t before, with;
	pid_t server = start_server(), maker;

	CHECK_RC(stoa_store_open(socket_path, NULL, &manager), 0);
	before = committed(manager);
	maker = test_role(make_and_die, NULL);
	test_await(steps, 2);
	with = committed(manager);
	CHECK_INT(with, >=, before + 5 * MIB);
	CHECK_RC(stoa_manager_get(manager, "gone", 4, &gone), 0);
	test_kill(maker);
	while (stoa_store_contains(manager, "gone", 4))
		test_nap(1);
	/* It is held here still. */
	CHECK_INT(committed(manager), >=, before + 5 * MIB);
	stoa_manager_release(manager, &gone);
	await_committed(manager, with - 4 * MIB);
	CHECK_RC(stoa_manager_get(manager, "kept", 4, &kept), 0);
	CHECK(((char *)kept.address)[MIB - 1] == 'k');
	CHECK_RC(stoa_manager_free(manager, &kept), 0);
	await_committed(manager, with - 5 * MIB);
	stoa_store_close(manager);
	end_store(server);
}

TEST(memory_outlives_its_manager)
{
	struct stoa_allocation_options options = {.id = "id", .id_length = 2, .reserve = 16 * MIB};
	struct stoa_allocation mine, theirs;
	struct stoa_store *manager, *other;
	pid_t server = start_server();
	uint64_t before;

	CHECK_RC(stoa_store_open(socket_path, NULL, &manager), 0);
	CHECK_RC(stoa_manager_alloc(manager, MIB, STOA_READ, &options, &mine), 0);
	memset(mine.address, 'a', MIB);
	test_kill(server);
	((char *)mine.address)[3] = 'b';
	server = start_server();
	CHECK_RC(stoa_store_open(socket_path, NULL, &other), 0);
	before = committed(manager);
	CHECK_RC(stoa_manager_grow(manager, &mine, 2 * MIB), 0);
	CHECK_RC(stoa_manager_get(other, "id", 2, &theirs), 0);
	CHECK_EQ(theirs.length, 2 * MIB);
	CHECK_EQ(theirs.prot, STOA_READ);
	CHECK(memcmp(theirs.address, "aaab", 4) == 0);
	stoa_manager_release(other, &theirs);
	CHECK_RC(stoa_manager_free(manager, &mine), 0);
	await_committed(manager, before - MIB);
	stoa_store_close(other);
	stoa_store_close(manager);
	end_store(server);
}
