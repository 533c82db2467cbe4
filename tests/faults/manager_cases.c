/* SPDX-License-Identifier: MIT */
/* Fault cases of memory that a store's server hands out: the client's system calls fail, then the server's. */
#include "faults.h"

#include <fcntl.h>
#include <os/linux/sys.h>
#include <unistd.h>

#define ASK_ERRORS "EINVAL ECLOSED EBUSY ENOTSUP EACCES EFORMAT ENOENT"
#define ALLOC_ERRORS ASK_ERRORS " EEXIST ERANGE"
#define LENGTH UINT64_C(8192)
#define MAY_GROW UINT64_C(65536)

static int alloc(struct run *run)
{
	const struct stoa_allocation_options options = {.id = "memory", .id_length = 6, .reserve = MAY_GROW};
	int rc = stoa_manager_alloc(run->store, LENGTH, STOA_READ | STOA_WRITE, &options, &run->big.allocation);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void make(struct run *run)
{
	start_store(run, 0);
}

static void make_for_server(struct run *run)
{
	start_store(run, 0);
	count_server(run);
}

static void use(const struct stoa_allocation *allocation)
{
	CHECK_INT(stoa_manager_length(allocation), >=, LENGTH);
	memset(allocation->address, 7, LENGTH);
}

static void reconnect(struct run *run)
{
	stoa_store_close(run->store);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
}

/* What was not given is nobody's, and its id is free. */
static void free_allocated(struct run *run, int result)
{
	if (result < 0) {
		int rc = alloc(run);

		if (rc == -STOA_ECLOSED) {
			reconnect(run);
			rc = alloc(run);
		}
		CHECK_RC(rc, 0);
	}
	use(&run->big.allocation);
	CHECK_RC(stoa_manager_free(run->store, &run->big.allocation), 0);
	end_store(run);
}

static int alloc_nameless(struct run *run)
{
	int rc = stoa_manager_alloc(run->store, LENGTH, STOA_READ, NULL, &run->big.allocation);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void free_nameless(struct run *run, int result)
{
	if (result < 0)
		CHECK_RC(alloc_nameless(run), 0);
	use(&run->big.allocation);
	CHECK_RC(stoa_manager_free(run->store, &run->big.allocation), 0);
	end_store(run);
}

/* The other client's, which ours gets. */
static void make_allocation(struct run *run)
{
	const struct stoa_allocation_options options = {.id = "memory", .id_length = 6, .reserve = MAY_GROW};

	make(run);
	CHECK_RC(stoa_manager_alloc(run->other, LENGTH, STOA_READ | STOA_WRITE, &options, &run->allocation), 0);
	use(&run->allocation);
	sleep_serving(run);
}

static void make_allocation_for_server(struct run *run)
{
	make_allocation(run);
	count_server(run);
}

static int get(struct run *run)
{
	return stoa_manager_get(run->store, "memory", 6, &run->big.allocation);
}

static void free_all(struct run *run)
{
	CHECK_RC(stoa_manager_free(run->other, &run->allocation), 0);
	end_store(run);
}

static void release_got(struct run *run, int result)
{
	if (result < 0) {
		int rc = get(run);

		if (rc == -STOA_ECLOSED) {
			reconnect(run);
			rc = get(run);
		}
		CHECK_RC(rc, 0);
	}
	CHECK_EQ(*(char *)run->big.allocation.address, 7);
	stoa_manager_release(run->store, &run->big.allocation);
	free_all(run);
}

static int map(struct run *run)
{
	return stoa_manager_map(run->allocation.descriptor, &run->big.allocation);
}

static void release_mapped(struct run *run, int result)
{
	if (result < 0)
		CHECK_RC(map(run), 0);
	CHECK_EQ(*(char *)run->big.allocation.address, 7);
	stoa_manager_release(NULL, &run->big.allocation);
	free_all(run);
}

/* Ours has it, too, in run->big. */
static void make_got(struct run *run)
{
	make_allocation(run);
	CHECK_RC(get(run), 0);
	sleep_serving(run);
}

static void make_got_for_server(struct run *run)
{
	make_got(run);
	count_server(run);
}

static int grow(struct run *run)
{
	int rc = stoa_manager_grow(run->store, &run->big.allocation, MAY_GROW);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void free_grown(struct run *run, int result)
{
	if (result < 0) {
		CHECK_INT(run->big.allocation.length, <, MAY_GROW);
		CHECK_RC(grow(run), 0);
	}
	CHECK_EQ(stoa_manager_length(&run->allocation), MAY_GROW);
	memset(run->allocation.address, 8, MAY_GROW);
	CHECK_EQ(((char *)run->big.allocation.address)[MAY_GROW - 1], 8);
	stoa_manager_release(run->store, &run->big.allocation);
	free_all(run);
}

static int length(struct run *run)
{
	(void)stoa_manager_length(&run->big.allocation);
	return 0;
}

static int note_holder(const struct stoa_store_client *client, void *argument)
{
	*(unsigned *)argument += client->leases;
	return 0;
}

static int ask_holders(struct run *run)
{
	unsigned count = 0;
	int rc = stoa_manager_holders(run->store, &run->big.allocation, note_holder, &count);

	CHECK_INT(rc, <=, 0);
	CHECK_EQ(count, rc == 0 ? 2 : 0);
	return rc;
}

static void end_got(struct run *run, int result)
{
	(void)result;
	CHECK_EQ(stoa_manager_length(&run->big.allocation), LENGTH);
	stoa_manager_release(run->store, &run->big.allocation);
	free_all(run);
}

static int release(struct run *run)
{
	stoa_manager_release(run->store, &run->big.allocation);
	return 0;
}

static void end_released(struct run *run, int result)
{
	(void)result;
	CHECK(!run->big.allocation.address);
	free_all(run);
}

static void make_allocated(struct run *run)
{
	make(run);
	CHECK_RC(alloc(run), 0);
	run->allocation = run->big.allocation;
	sleep_serving(run);
}

static void make_allocated_for_server(struct run *run)
{
	make_allocated(run);
	count_server(run);
}

static int free_it(struct run *run)
{
	int rc = stoa_manager_free(run->store, &run->allocation);

	CHECK_INT(rc, <=, 0);
	return rc;
}

/* It is let go of whatever failed; its id is free at the latest when its maker is gone. */
static void end_freed(struct run *run, int result)
{
	CHECK(!run->allocation.address);
	if (result < 0)
		reconnect(run);
	CHECK_RC(alloc(run), 0);
	CHECK_RC(stoa_manager_free(run->store, &run->big.allocation), 0);
	end_store(run);
}

const struct fault_case manager_cases[] = {
	{"stoa_manager_alloc", ALLOC_ERRORS, make, alloc, free_allocated},
	{"stoa_manager_alloc", ALLOC_ERRORS, make, alloc_nameless, free_nameless},
	{"stoa_manager_get", ASK_ERRORS, make_allocation, get, release_got},
	{"stoa_manager_map", "EFORMAT EACCES EBUSY", make_allocation, map, release_mapped},
	{"stoa_manager_grow", ASK_ERRORS " ERANGE ERIGHTS", make_got, grow, free_grown},
	{"stoa_manager_length", "", make_got, length, end_got},
	{"stoa_manager_holders", ASK_ERRORS, make_got, ask_holders, end_got},
	{"stoa_manager_release", "", make_got, release, end_released},
	{"stoa_manager_free", ASK_ERRORS, make_allocated, free_it, end_freed},
	{"in the server: stoa_manager_alloc", ALLOC_ERRORS, make_for_server, alloc, free_allocated},
	{"in the server: stoa_manager_get", ASK_ERRORS, make_allocation_for_server, get, release_got},
	{"in the server: stoa_manager_grow", ASK_ERRORS " ERANGE ERIGHTS", make_got_for_server, grow, free_grown},
	{"in the server: stoa_manager_free", ASK_ERRORS, make_allocated_for_server, free_it, end_freed},
	{0},
};
