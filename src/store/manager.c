/* SPDX-License-Identifier: MIT */
/*
 * Memory handed out by the server, for its clients: an entry of the directory of the kind REGION, with an arena of its own that is as long
 * as is committed of it. Who has it open holds a lease, as of an object, so the server does not give its pages away meanwhile.
 */
#include <store/client.h>

#include <base/error.h>
#include <stoa/manager.h>
#include <string.h>

enum { HOLD_LEASE, HOLD_ENTRY, HOLD_STATE, HOLD_MANAGED };

#define RANDOM_ID 16u

/* Lease the entry, get a descriptor of its memory, and map it. */
static int open_region(struct stoa_store *store, uint32_t entry, uint64_t state, struct stoa_allocation *allocation)
{
	struct directory_object object;
	os_handle memory;
	uint32_t lease;
	bool writable;
	void *address;
	int rc = lease_take(&store->leases, entry, directory_state(&store->directory, entry), state, &lease);

	if (rc)
		return rc == LEASE_CHANGED ? -STOA_ENOENT : rc;
	rc = directory_read(&store->directory, entry, state, &object);
	if (rc == 0 && object.entry.kind != STORE_REGION)
		rc = error_set(-STOA_EKIND, "that id belongs to an object");
	if (rc == 0)
		rc = client_fetch(store, object.entry.arena, &memory, &writable);
	if (rc)
		goto fail;
	rc = os_map(memory, 0, object.entry.room, writable ? OS_READ | OS_WRITE : OS_READ, &address);
	if (rc < 0) {
		os_handle_close(memory);
		goto fail;
	}
	allocation->address = address;
	allocation->reserve = object.entry.room;
	allocation->length = load_rlx(&store->directory.entries[entry].size);
	allocation->descriptor = memory;
	allocation->prot = writable ? STOA_READ | STOA_WRITE : STOA_READ;
	allocation->id_length = object.entry.id_length;
	memcpy(allocation->id, object.id, object.entry.id_length);
	allocation->hold[HOLD_LEASE] = lease;
	allocation->hold[HOLD_ENTRY] = entry;
	allocation->hold[HOLD_STATE] = state;
	allocation->hold[HOLD_MANAGED] = 1;
	return 0;
fail:
	lease_release(&store->leases, lease);
	return rc;
}

static uint64_t pages(uint64_t bytes)
{
	return (bytes + OS_PAGE - 1) & ~(OS_PAGE - 1);
}

static int check(const struct stoa_store *manager, uint64_t length, uint32_t prot,
		 const struct stoa_allocation_options *options)
{
	int rc = client_usable(manager);

	if (rc < 0)
		return rc;
	if (prot != STOA_READ && prot != (STOA_READ | STOA_WRITE))
		return error_set(-STOA_EINVAL, "others get memory to read, or to read and write");
	if (!length || length > STOA_MANAGER_RESERVE_MAX || options->reserve > STOA_MANAGER_RESERVE_MAX)
		return error_set(-STOA_EINVAL, "an allocation has 1 byte to 1TiB");
	if (options->reserve && options->reserve < length)
		return error_set(-STOA_ERANGE, "the reserve is less than the length");
	if (options->id_length > STOA_ID_MAX || (options->id_length && !options->id))
		return error_set(-STOA_EINVAL, "an id has 1 to %u bytes", STOA_ID_MAX);
	if (options->access > STOA_ACCESS_ALL || options->flags & ~STOA_ALLOCATION_KEEP)
		return error_set(-STOA_EINVAL, "no such access (%u) or flags (0x%x)", options->access, options->flags);
	return 0;
}

/* Free this one, and no other that has its id since. Writes no sentence. */
static int end_region(struct stoa_store *manager, const void *id, uint32_t id_length, uint32_t entry, uint64_t state)
{
	struct store_request request = {
		.op = STORE_OP_DELETE, .id_length = (uint16_t)id_length, .entry = entry, .state = state};
	struct store_completion gone;

	return client_call(manager, &request, &(struct client_bytes){.id = id}, &gone, client_patience(0));
}

int stoa_manager_alloc(struct stoa_store *manager, uint64_t length, uint32_t prot,
		       const struct stoa_allocation_options *options, struct stoa_allocation *ret_allocation)
{
	static const struct stoa_allocation_options none;
	struct stoa_allocation allocation = {0};
	struct store_request request = {.op = STORE_OP_CREATE, .kind = STORE_REGION};
	struct store_completion made;
	struct client_bytes bytes;
	uint8_t random[RANDOM_ID];
	int rc;

	options = options ? options : &none;
	rc = check(manager, length, prot, options);
	if (rc == 0 && !options->id_length)
		rc = os_random(random, sizeof(random));
	if (rc < 0)
		return rc;
	bytes = (struct client_bytes){.id = options->id_length ? options->id : random};
	request.id_length = (uint16_t)(options->id_length ? options->id_length : RANDOM_ID);
	request.access = (uint8_t)options->access;
	request.reader = options->reader;
	request.flags = options->flags | (prot & STOA_WRITE ? STORE_WRITABLE : 0);
	request.size = pages(length);
	request.of = pages(options->reserve ? options->reserve : length);
	rc = client_ask_for_room(manager, &request, &bytes, options->deadline, &made);
	if (rc)
		return rc < 0 ? client_refuse_told(rc, bytes.id, request.id_length) : rc;
	rc = open_region(manager, made.entry, made.state, &allocation);
	if (rc) {
		(void)end_region(manager, bytes.id, request.id_length, made.entry, made.state);
		return rc;
	}
	*ret_allocation = allocation;
	return 0;
}

int stoa_manager_get(struct stoa_store *manager, const void *id, uint32_t id_length,
		     struct stoa_allocation *ret_allocation)
{
	struct stoa_allocation allocation = {0};
	uint64_t state;
	uint32_t entry;
	int rc = client_usable(manager);

	if (rc == 0 && (!id || !id_length || id_length > STOA_ID_MAX))
		rc = error_set(-STOA_EINVAL, "an id has 1 to %u bytes, not %u", STOA_ID_MAX, id_length);
	if (rc < 0)
		return rc;
	rc = client_find(manager, id, id_length, &entry, &state);
	if (rc == 0)
		rc = open_region(manager, entry, state, &allocation);
	if (rc == 0)
		*ret_allocation = allocation;
	return rc < 0 ? client_refuse_hold(rc, id, id_length) : rc;
}

int stoa_manager_map(intptr_t descriptor, struct stoa_allocation *ret_allocation)
{
	struct stoa_allocation allocation = {0};
	struct os_memory_info info;
	os_handle memory;
	int rc;

	/* First, as it asks no other process: a descriptor may be of any file system. */
	if (!(os_memory_seals(descriptor) & OS_SEAL_SHRINK))
		return error_set(-STOA_EFORMAT, "that descriptor is not of memory that a manager handed out");
	rc = os_memory_info(descriptor, &info);
	if (rc == 0)
		rc = os_memory_duplicate(descriptor, info.writable ? OS_READ | OS_WRITE : OS_READ, &memory);
	if (rc < 0)
		return rc;
	allocation.length = allocation.reserve = info.length;
	allocation.descriptor = memory;
	allocation.prot = info.writable ? STOA_READ | STOA_WRITE : STOA_READ;
	rc = info.length ? os_map(memory, 0, info.length, allocation.prot & STOA_WRITE ? OS_READ | OS_WRITE : OS_READ,
				  &allocation.address)
			 : error_set(-STOA_EFORMAT, "that memory is empty");
	if (rc < 0) {
		os_handle_close(memory);
		return rc;
	}
	*ret_allocation = allocation;
	return 0;
}

uint64_t stoa_manager_length(const struct stoa_allocation *allocation)
{
	uint64_t length = os_memory_length(allocation->descriptor);

	return length < allocation->reserve ? length : allocation->reserve;
}

int stoa_manager_grow(struct stoa_store *manager, struct stoa_allocation *allocation, uint64_t length)
{
	struct store_request request = {.op = STORE_OP_GROW,
					.entry = (uint32_t)allocation->hold[HOLD_ENTRY],
					.state = allocation->hold[HOLD_STATE],
					.size = pages(length)};
	struct store_completion grown;
	int rc = client_usable(manager);

	if (rc < 0)
		return rc;
	if (length > allocation->reserve)
		return error_set(-STOA_ERANGE, "the allocation cannot grow beyond its reserve");
	if (!allocation->hold[HOLD_MANAGED] || !(allocation->prot & STOA_WRITE))
		return error_set(-STOA_ERIGHTS, "only who may write an allocation can make it grow");
	rc = client_call(manager, &request, &(struct client_bytes){0}, &grown, client_patience(0));
	if (rc == 0)
		allocation->length = stoa_manager_length(allocation);
	return rc < 0 ? error_prefix(rc, "the allocation cannot grow") : rc;
}

void stoa_manager_release(struct stoa_store *manager, struct stoa_allocation *allocation)
{
	if (!allocation->address)
		return;
	os_unmap(allocation->address, allocation->reserve);
	os_handle_close(allocation->descriptor);
	if (allocation->hold[HOLD_MANAGED] && manager)
		lease_release(&manager->leases, (uint32_t)allocation->hold[HOLD_LEASE]);
	allocation->address = NULL;
}

int stoa_manager_free(struct stoa_store *manager, struct stoa_allocation *allocation)
{
	int rc = client_usable(manager);

	if (rc == 0 && !allocation->hold[HOLD_MANAGED])
		rc = error_set(-STOA_EINVAL, "memory that was mapped by its descriptor is only released");
	else if (rc == 0)
		rc = end_region(manager, allocation->id, allocation->id_length, (uint32_t)allocation->hold[HOLD_ENTRY],
				allocation->hold[HOLD_STATE]);
	if (rc < 0 && allocation->hold[HOLD_MANAGED] && client_usable(manager) == 0)
		(void)client_refuse(rc, allocation->id, allocation->id_length);
	if (rc != -STOA_EACCES)
		stoa_manager_release(manager, allocation);
	return rc;
}
