/* SPDX-License-Identifier: MIT */
/* The simulated disk: sim.h says what it does. */
#include "sim.h"

#include <base/atomic.h>
#include <base/error.h>
#include <harness/test.h>
#include <stdio.h>
#include <stdlib.h>

static struct sim *sim_of(const struct disk *disk)
{
	return cc_container_of(disk, struct sim, disk);
}

static struct sim_file *file_of(struct sim *sim, os_handle file)
{
	CHECK(file >= 0 && file < SIM_FILES);
	return &sim->files[file];
}

static uint64_t pick(struct sim *sim, uint64_t below)
{
	return test_random(&sim->random) % below;
}

/* ---- what goes wrong ---- */

static bool fits(const struct sim_fault *fault, enum sim_operation operation, const char *path, uint64_t offset,
		 uint64_t length)
{
	if (!(fault->operations & operation) || (fault->file && strcmp(fault->file, path)))
		return false;
	return !fault->to || operation == SIM_SYNC || (offset < fault->to && fault->from < offset + length);
}

static int fault(struct sim *sim, enum sim_operation operation, const char *path, uint64_t offset, uint64_t length)
{
	const struct sim_fault *fault = &sim->fault;

	if (!fits(fault, operation, path, offset, length) || ++sim->matching < fault->nth)
		return 0;
	if (fault->count && sim->matching >= fault->nth + fault->count)
		return 0;
	return error_set(fault->error, "the simulated disk fails");
}

/* Before each operation. The lock is held after it. */
static int begin(struct sim *sim, enum sim_operation operation, const char *path, uint64_t offset, uint64_t length)
{
	int rc;

	if (sim->milliseconds)
		test_nap(sim->milliseconds);
	if (load_seq(&sim->hangs)) {
		atomic_fetch_add(&sim->hanging, 1);
		test_await(&sim->hangs, 0);
		atomic_fetch_sub(&sim->hanging, 1);
	}
	os_lock(&sim->lock);
	rc = sim->off ? error_set(-STOA_EIO, "the simulated disk has no power")
		      : fault(sim, operation, path, offset, length);
	return rc;
}

/* Does the power go with this one, which changes something? */
static bool is_cut(struct sim *sim)
{
	if (!sim->power || --sim->power)
		return false;
	sim->off = true;
	return true;
}

static int no_power(void)
{
	return error_set(-STOA_EIO, "the simulated disk has lost its power");
}

/* ---- operations ---- */

static void make_room(struct sim_file *file, uint64_t length)
{
	uint64_t room = file->room ? file->room : 65536;

	while (room < length + SIM_SECTOR)
		room *= 2;
	if (room == file->room)
		return;
	file->bytes = realloc(file->bytes, room);
	file->durable = realloc(file->durable, room);
	CHECK(file->bytes && file->durable);
	memset(file->bytes + file->room, 0, room - file->room);
	memset(file->durable + file->room, 0, room - file->room);
	file->room = room;
}

static void note_sector(struct sim_file *file, uint64_t sector)
{
	struct sim_write *write;

	if (file->pendings == file->pending_room) {
		file->pending_room = file->pending_room ? 2 * file->pending_room : 64;
		file->pending = realloc(file->pending, file->pending_room * sizeof(*file->pending));
		CHECK(file->pending);
	}
	write = &file->pending[file->pendings++];
	write->sector = sector;
	memcpy(write->bytes, file->bytes + sector * SIM_SECTOR, SIM_SECTOR);
}

static void put(struct sim_file *file, uint64_t offset, const void *bytes, size_t length)
{
	if (!length)
		return;
	make_room(file, offset + length);
	memcpy(file->bytes + offset, bytes, length);
	if (offset + length > file->length)
		file->length = offset + length;
	for (uint64_t sector = offset / SIM_SECTOR; sector * SIM_SECTOR < offset + length; sector++)
		note_sector(file, sector);
}

static int sim_write_at(const struct disk *disk, os_handle handle, uint64_t offset, const void *bytes, size_t length)
{
	struct sim *sim = sim_of(disk);
	struct sim_file *file = file_of(sim, handle);
	int rc = begin(sim, SIM_WRITE, file->path, offset, length);

	sim->writes++;
	if (rc == 0 && is_cut(sim)) {
		/* A process that dies has written whole pages, from the begin; the sectors of a machine are chosen later. */
		if (sim->cut_in_the_middle)
			put(file, offset, bytes, pick(sim, length / SIM_SECTOR + 1) * SIM_SECTOR);
		rc = no_power();
	} else if (rc == 0) {
		put(file, offset, bytes, length);
	}
	os_unlock(&sim->lock);
	return rc;
}

static int sim_read_at(const struct disk *disk, os_handle handle, uint64_t offset, void *bytes, size_t length,
		       size_t *ret_read)
{
	struct sim *sim = sim_of(disk);
	struct sim_file *file = file_of(sim, handle);
	int rc = begin(sim, SIM_READ, file->path, offset, length);
	uint64_t left = offset < file->length ? file->length - offset : 0;
	size_t got = (size_t)(length < left ? length : left);

	sim->reads++;
	if (rc == 0) {
		memcpy(bytes, file->bytes + (got ? offset : 0), got);
		if (got && sim->wrong_reads && pick(sim, sim->wrong_reads) == 0)
			((unsigned char *)bytes)[pick(sim, got)] ^= (unsigned char)(1 + pick(sim, 255));
		*ret_read = got;
	}
	os_unlock(&sim->lock);
	return rc;
}

/* In a random order, and not all. */
static void lose_pending(struct sim *sim, struct sim_file *file)
{
	for (size_t i = 0, some = pick(sim, file->pendings + 1); i < some; i++) {
		size_t other = i + pick(sim, file->pendings - i);
		struct sim_write chosen = file->pending[other];

		file->pending[other] = file->pending[i];
		memcpy(file->durable + chosen.sector * SIM_SECTOR, chosen.bytes, SIM_SECTOR);
	}
	file->pendings = 0;
}

static void make_durable(struct sim_file *file)
{
	for (size_t i = 0; i < file->pendings; i++)
		memcpy(file->durable + file->pending[i].sector * SIM_SECTOR, file->pending[i].bytes, SIM_SECTOR);
	file->durable_length = file->length;
	file->pendings = 0;
}

static int sim_sync(const struct disk *disk, os_handle handle)
{
	struct sim *sim = sim_of(disk);
	struct sim_file *file = file_of(sim, handle);
	int rc = begin(sim, SIM_SYNC, file->path, 0, 0);

	sim->syncs++;
	if (rc < 0 && !sim->off)
		lose_pending(sim, file); /* as Linux has it: told once, and taken for clean */
	if (rc == 0 && is_cut(sim))
		rc = no_power();
	else if (rc == 0 && !sim->lies_about_syncs)
		make_durable(file);
	os_unlock(&sim->lock);
	return rc;
}

static int sim_length(const struct disk *disk, os_handle handle, uint64_t *ret_length)
{
	struct sim *sim = sim_of(disk);
	struct sim_file *file = file_of(sim, handle);
	int rc = begin(sim, SIM_READ, file->path, 0, 0);

	if (rc == 0)
		*ret_length = file->length;
	os_unlock(&sim->lock);
	return rc;
}

static struct sim_file *find(struct sim *sim, const char *path, bool make)
{
	struct sim_file *free_file = NULL;

	for (unsigned i = 0; i < SIM_FILES; i++) {
		if (sim->files[i].there && strcmp(sim->files[i].path, path) == 0)
			return &sim->files[i];
		if (!free_file && !sim->files[i].there && !sim->files[i].durably_there)
			free_file = &sim->files[i];
	}
	if (!make)
		return NULL;
	CHECK(free_file);
	free(free_file->bytes);
	free(free_file->durable);
	free(free_file->pending);
	*free_file = (struct sim_file){.there = true};
	snprintf(free_file->path, sizeof(free_file->path), "%s", path);
	make_room(free_file, 0);
	return free_file;
}

static int sim_open(const struct disk *disk, const char *path, bool create, os_handle *ret_file)
{
	struct sim *sim = sim_of(disk);
	int rc = begin(sim, SIM_OPEN, path, 0, 0);
	struct sim_file *file = rc == 0 ? find(sim, path, create) : NULL;

	if (rc == 0 && !file)
		rc = error_set(-STOA_ENOENT, "'%s' is not on the simulated disk", path);
	if (rc == 0)
		*ret_file = file - sim->files;
	os_unlock(&sim->lock);
	return rc;
}

static void sim_close(const struct disk *disk, os_handle file)
{
	(void)disk, (void)file;
}

static int sim_lock(const struct disk *disk, os_handle file, unsigned byte, enum os_lock_kind kind, bool wait)
{
	(void)disk, (void)file, (void)byte, (void)kind, (void)wait;
	return 0;
}

static int sim_sync_name(const struct disk *disk, const char *path)
{
	struct sim *sim = sim_of(disk);
	int rc = begin(sim, SIM_SYNC, path, 0, 0);

	if (rc == 0 && is_cut(sim))
		rc = no_power();
	for (unsigned i = 0; i < SIM_FILES && rc == 0 && !sim->lies_about_syncs; i++)
		sim->files[i].durably_there = sim->files[i].there; /* all are in one directory */
	os_unlock(&sim->lock);
	return rc;
}

static bool sim_is_at(const struct disk *disk, os_handle handle, const char *path)
{
	struct sim *sim = sim_of(disk);
	const struct sim_file *file = file_of(sim, handle);

	return file->there && strcmp(file->path, path) == 0;
}

static int sim_remove(const struct disk *disk, os_handle handle, const char *path)
{
	struct sim *sim = sim_of(disk);
	int rc = begin(sim, SIM_OPEN, path, 0, 0);

	if (rc == 0 && is_cut(sim))
		rc = no_power();
	else if (rc == 0)
		file_of(sim, handle)->there = false;
	os_unlock(&sim->lock);
	return rc;
}

/* ---- crashes ---- */

static void crash_file(struct sim *sim, struct sim_file *file)
{
	uint64_t length = file->durable_length;

	lose_pending(sim, file);
	if (file->length != length && pick(sim, 2))
		length = length + pick(sim, file->length > length ? file->length - length + 1 : 1);
	memset(file->durable + length, 0, file->room - length);
	memcpy(file->bytes, file->durable, file->room);
	file->length = file->durable_length = length;
	if (file->there != file->durably_there)
		file->there = file->durably_there = pick(sim, 2);
}

/* Of two files of one name, one removed and one made, the disk has either. */
static void lose_name(struct sim_file *file)
{
	file->there = file->durably_there = false;
}

void sim_crash(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_FILES; i++)
		if (sim->files[i].there || sim->files[i].durably_there)
			crash_file(sim, &sim->files[i]);
	for (unsigned i = 0; i < SIM_FILES; i++)
		for (unsigned k = i + 1; k < SIM_FILES && sim->files[i].there; k++)
			if (sim->files[k].there && !strcmp(sim->files[i].path, sim->files[k].path))
				lose_name(&sim->files[pick(sim, 2) ? i : k]);
	sim_restart(sim);
}

void sim_restart(struct sim *sim)
{
	sim->off = false;
	sim->power = 0;
}

os_handle sim_file(struct sim *sim, const char *path, uint64_t length)
{
	struct sim_file *file = find(sim, path, true);

	if (file->durably_there)
		return file - sim->files;
	make_room(file, length);
	file->length = file->durable_length = length;
	file->durably_there = true;
	return file - sim->files;
}

void sim_init(struct sim *sim, uint64_t seed)
{
	memset(sim, 0, sizeof(*sim));
	sim->random = seed;
	sim->disk = (struct disk){.open = sim_open,
				  .close = sim_close,
				  .read = sim_read_at,
				  .write = sim_write_at,
				  .sync = sim_sync,
				  .length = sim_length,
				  .lock = sim_lock,
				  .sync_name = sim_sync_name,
				  .is_at = sim_is_at,
				  .remove = sim_remove};
}

void sim_destroy(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_FILES; i++) {
		free(sim->files[i].bytes);
		free(sim->files[i].durable);
		free(sim->files[i].pending);
	}
}

/* ---- a plain backing ---- */

struct plain {
	struct sim *sim;
	os_handle file;
};

static int plain_fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	const struct plain *plain = context;

	return disk_read(&plain->sim->disk, plain->file, offset, bytes, (size_t)length);
}

static int plain_write(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	const struct plain *plain = context;
	uint64_t size = plain->sim->files[plain->file].length, left = offset < size ? size - offset : 0;

	return sim_write_at(&plain->sim->disk, plain->file, offset, bytes, (size_t)(length < left ? length : left));
}

static int plain_flush(void *context)
{
	const struct plain *plain = context;

	return sim_sync(&plain->sim->disk, plain->file);
}

static int plain_size(void *context, uint64_t *ret_size)
{
	const struct plain *plain = context;

	*ret_size = plain->sim->files[plain->file].length;
	return 0;
}

static void plain_close(void *context)
{
	free(context);
}

int sim_backing(struct sim *sim, os_handle file, struct stoa_backing **ret_backing)
{
	static const struct stoa_backing_calls calls = {plain_fill, plain_write, plain_flush, plain_size, plain_close};
	struct plain *plain = malloc(sizeof(*plain));

	CHECK(plain);
	*plain = (struct plain){sim, file};
	return stoa_backing_create(&calls, plain, ret_backing);
}
