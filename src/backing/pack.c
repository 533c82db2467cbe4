/* SPDX-License-Identifier: MIT */
/* The index of a file of frames: pack.h has the layout and the idea. All that is read may be anything, and is checked. Uses base and os. */
#include <backing/pack.h>

#include <base/error.h>
#include <base/hash.h>
#include <base/mutant.h>
#include <inttypes.h>
#include <string.h>

static const uint8_t magic[8] = {'S', 'T', 'O', 'A', 'Z', 'S', 'T', '\n'};

static uint64_t super_check(const struct pack_super *super)
{
	return hash_words(1, super, offsetof(struct pack_super, check));
}

static uint64_t page_check(uint64_t number, const struct pack_page *page)
{
	return hash_words(hash_words(number, &page->sequence, sizeof(page->sequence)), page->entries,
			  sizeof(page->entries));
}

uint64_t pack_hash(uint64_t frame, const void *bytes, size_t length)
{
	return hash_words(frame, bytes, length);
}

static bool bit(const uint64_t *bits, uint64_t at)
{
	return bits[at / 64] >> at % 64 & 1;
}

static void set_bit(uint64_t *bits, uint64_t at, bool value)
{
	uint64_t mask = UINT64_C(1) << at % 64;

	bits[at / 64] = value ? bits[at / 64] | mask : bits[at / 64] & ~mask;
}

static void set_run(uint64_t *bits, uint64_t at, uint64_t count, bool value)
{
	for (uint64_t i = at; i < at + count; i++)
		set_bit(bits, i, value);
}

bool pack_frame_valid(uint64_t frame)
{
	return frame >= PACK_FRAME_MIN && frame <= PACK_FRAME_MAX && (frame & (frame - 1)) == 0;
}

/* ---- sizes ---- */

static uint64_t unit_of(uint64_t frame)
{
	return frame / 32 > DISK_SECTOR ? frame / 32 : DISK_SECTOR;
}

static int measure(struct pack *pack, uint64_t size, uint64_t frame)
{
	pack->size = size;
	pack->frame = frame;
	pack->unit = unit_of(frame);
	pack->frames = size / frame + (size % frame != 0);
	if (pack->frames == 0 || pack->frames > PACK_FRAMES_MAX)
		return error_set(-STOA_EINVAL,
				 "%" PRIu64 " bytes in frames of %" PRIu64 ": 1 to 2^26 frames; take larger ones", size,
				 frame);
	pack->pages = (pack->frames + PACK_ENTRIES - 1) / PACK_ENTRIES;
	pack->data = (PACK_INDEX + pack->pages * 2 * DISK_SECTOR + OS_PAGE - 1) & ~(OS_PAGE - 1);
	/* Every frame twice, uncompressed: until the next flush there are the old ones, too. */
	pack->units = 2 * pack->frames * (frame / pack->unit);
	return 0;
}

static uint64_t units_of(const struct pack *pack, uint64_t length)
{
	return (length + pack->unit - 1) / pack->unit;
}

int pack_format(const struct disk *disk, os_handle file, uint64_t size, uint64_t frame)
{
	struct pack_super super = {.layout = hash_bytes(PACK_LAYOUT, sizeof(PACK_LAYOUT) - 1),
				   .size = size,
				   .frame = frame,
				   .unit = unit_of(frame)};
	struct pack measured;
	int rc = measure(&measured, size, frame);

	if (rc < 0)
		return rc;
	memcpy(super.magic, magic, sizeof(magic));
	super.check = super_check(&super);
	return disk->write(disk, file, 0, &super, sizeof(super));
}

/* ---- reading ---- */

static int damaged(const char *what)
{
	return error_set(-STOA_EFORMAT, "not a compressed file of stoa's, or damaged: %s", what);
}

static int read_super(struct pack *pack)
{
	struct pack_super super;
	int rc = disk_read(pack->disk, pack->file, 0, &super, sizeof(super));

	if (rc < 0)
		return rc;
	if (memcmp(super.magic, magic, sizeof(magic)) != 0 || super.check != super_check(&super))
		return damaged("its begin is none");
	if (super.layout != hash_bytes(PACK_LAYOUT, sizeof(PACK_LAYOUT) - 1))
		return error_set(-STOA_EVERSION, "a compressed file of a layout that this library does not speak");
	if (!pack_frame_valid(super.frame) || super.unit != unit_of(super.frame) ||
	    measure(pack, super.size, super.frame) < 0)
		return damaged("its frames have no possible length");
	return 0;
}

static bool entry_valid(const struct pack *pack, const struct pack_entry *entry)
{
	uint64_t length = pack_length(entry), unit = entry->place >> PACK_LENGTH_BITS;

	if (length == 0)
		return entry->place == 0;
	return length <= pack->frame && unit < pack->units && units_of(pack, length) <= pack->units - unit;
}

/* The valid copy that is the later one; zeros for a page that was never written. */
static int read_page(const struct pack *pack, uint64_t number, struct pack_page *ret_page)
{
	struct pack_page copies[2];
	int best = -1, blank = 0;
	int rc = disk_read(pack->disk, pack->file, PACK_INDEX + number * sizeof(copies), copies, sizeof(copies));

	if (rc < 0)
		return rc;
	for (int i = 0; i < 2; i++) {
		static const struct pack_page zeros;

		if (memcmp(&copies[i], &zeros, sizeof(zeros)) == 0)
			blank++;
		else if (copies[i].check == page_check(number, &copies[i]) && copies[i].sequence % 2 == (unsigned)i &&
			 (best < 0 || copies[i].sequence > copies[best].sequence))
			best = i;
	}
	if (best < 0 && !blank)
		return damaged("a page of its index");
	if (best < 0)
		memset(ret_page, 0, sizeof(*ret_page));
	else
		*ret_page = copies[best];
	for (unsigned i = 0; i < PACK_ENTRIES; i++)
		if (!entry_valid(pack, &ret_page->entries[i]))
			return damaged("its index leads out of it");
	return 0;
}

static uint64_t entries_of(const struct pack *pack, uint64_t number)
{
	uint64_t left = pack->frames - number * PACK_ENTRIES;

	return left < PACK_ENTRIES ? left : PACK_ENTRIES;
}

/* Two frames in one place would spoil each other once one of them is written. */
static int claim(struct pack *pack, const struct pack_entry *entry)
{
	uint64_t unit = entry->place >> PACK_LENGTH_BITS, count = units_of(pack, pack_length(entry));

	for (uint64_t i = unit; i < unit + count; i++)
		if (bit(pack->used, i))
			return damaged("two frames are in one place");
	set_run(pack->used, unit, count, true);
	return 0;
}

static int read_index(struct pack *pack)
{
	struct pack_page page;

	for (uint64_t number = 0; number < pack->pages; number++) {
		int rc = read_page(pack, number, &page);

		if (rc < 0)
			return rc;
		pack->sequences[number] = page.sequence;
		for (unsigned i = 0; i < entries_of(pack, number); i++) {
			pack->entries[number * PACK_ENTRIES + i] = page.entries[i];
			rc = pack->writable ? claim(pack, &page.entries[i]) : 0;
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static void *bits(uint64_t count)
{
	return os_allocate((size_t)(count / 64 + 1) * 8);
}

static bool allocate(struct pack *pack)
{
	pack->entries = os_allocate((size_t)pack->frames * sizeof(*pack->entries));
	pack->sequences = os_allocate((size_t)pack->pages * sizeof(*pack->sequences));
	if (!pack->entries || !pack->sequences || !pack->writable)
		return pack->entries && pack->sequences;
	pack->used = bits(pack->units);
	pack->stale = bits(pack->units);
	pack->fresh = bits(pack->frames);
	pack->dirty = bits(pack->pages);
	return pack->used && pack->stale && pack->fresh && pack->dirty;
}

int pack_open(struct pack *pack, const struct disk *disk, os_handle file, bool writable)
{
	int rc;

	*pack = (struct pack){.disk = disk, .file = file, .writable = writable};
	rc = read_super(pack);
	if (rc == 0 && !allocate(pack))
		rc = -STOA_ENOMEM;
	if (rc == 0)
		rc = read_index(pack);
	/* A writer that died in a flush may have left pages that only the system has: what the disk's older ones name is not free before this. */
	return rc < 0 || !writable ? rc : disk->sync(disk, file);
}

void pack_close(struct pack *pack)
{
	os_free(pack->entries);
	os_free(pack->sequences);
	os_free(pack->used);
	os_free(pack->stale);
	os_free(pack->fresh);
	os_free(pack->dirty);
}

int pack_reload(struct pack *pack, uint64_t frame)
{
	uint64_t number = frame / PACK_ENTRIES;
	struct pack_page page;
	int rc = read_page(pack, number, &page);

	if (rc == 0)
		memcpy(&pack->entries[number * PACK_ENTRIES], page.entries,
		       (size_t)entries_of(pack, number) * sizeof(page.entries[0]));
	return rc;
}

/* ---- room ---- */

/* The first free run of `count` in [from, to); `to` if there is none. */
static uint64_t find_run(const struct pack *pack, uint64_t from, uint64_t to, uint64_t count)
{
	uint64_t run = 0;

	for (uint64_t at = from; at < to; at++) {
		if (at % 64 == 0 && pack->used[at / 64] == UINT64_MAX) {
			run = 0;
			at += 63;
			continue;
		}
		run = bit(pack->used, at) ? 0 : run + 1;
		if (run == count)
			return at + 1 - count;
	}
	return to;
}

int pack_reserve(struct pack *pack, uint64_t length, uint64_t *ret_place)
{
	uint64_t count = units_of(pack, length), at = find_run(pack, pack->next, pack->units, count);

	if (at == pack->units)
		at = find_run(pack, 0, pack->units, count);
	if (at == pack->units)
		return error_set(-STOA_ENOMEM, "no room for a frame in a run; a flush makes some");
	set_run(pack->used, at, count, true);
	pack->next = at + count;
	*ret_place = at << PACK_LENGTH_BITS | length;
	return 0;
}

/* What is first free is filled first, so that the file stays short. */
static void set_free(struct pack *pack, uint64_t at, uint64_t count)
{
	set_run(pack->used, at, count, false);
	if (at < pack->next)
		pack->next = at;
}

void pack_release(struct pack *pack, uint64_t place)
{
	const struct pack_entry entry = {.place = place};

	set_free(pack, place >> PACK_LENGTH_BITS, units_of(pack, pack_length(&entry)));
}

void pack_switch(struct pack *pack, uint64_t frame, struct pack_entry entry)
{
	const struct pack_entry old = pack->entries[frame];

	/* What no page on the disk names is free at once; the rest when none does any more. */
	if (bit(pack->fresh, frame) || MUTANT(SPACE_REUSED))
		pack_release(pack, old.place);
	else
		set_run(pack->stale, old.place >> PACK_LENGTH_BITS, units_of(pack, pack_length(&old)), true);
	pack->entries[frame] = entry;
	set_bit(pack->fresh, frame, true);
	set_bit(pack->dirty, frame / PACK_ENTRIES, true);
}

/* ---- flush ---- */

static int write_page(struct pack *pack, uint64_t number)
{
	struct pack_page page = {.sequence = pack->sequences[number] + 1};

	memcpy(page.entries, &pack->entries[number * PACK_ENTRIES],
	       (size_t)entries_of(pack, number) * sizeof(page.entries[0]));
	page.check = page_check(number, &page);
	pack->sequences[number] = page.sequence;
	return pack->disk->write(pack->disk, pack->file, PACK_INDEX + (number * 2 + page.sequence % 2) * sizeof(page),
				 &page, sizeof(page));
}

static int write_pages(struct pack *pack, unsigned *ret_count)
{
	*ret_count = 0;
	for (uint64_t number = 0; number < pack->pages; number++) {
		int rc = bit(pack->dirty, number) ? write_page(pack, number) : 0;

		if (rc < 0)
			return rc;
		*ret_count += bit(pack->dirty, number);
	}
	return 0;
}

static void free_stale(struct pack *pack)
{
	for (uint64_t word = 0; word <= pack->units / 64; word++) {
		if (!pack->stale[word])
			continue;
		pack->used[word] &= ~pack->stale[word];
		pack->stale[word] = 0;
		if (word * 64 < pack->next)
			pack->next = word * 64;
	}
	memset(pack->fresh, 0, (size_t)(pack->frames / 64 + 1) * 8);
	memset(pack->dirty, 0, (size_t)(pack->pages / 64 + 1) * 8);
}

int pack_flush(struct pack *pack)
{
	const struct disk *disk = pack->disk;
	unsigned count = 0;
	int rc = MUTANT(INDEX_FIRST) ? 0 : disk->sync(disk, pack->file);

	if (rc == 0)
		rc = write_pages(pack, &count);
	if (rc == 0 && count)
		rc = disk->sync(disk, pack->file);
	/* Nobody knows which pages are on the disk: nothing may be overwritten that any of them names. */
	if (rc < 0)
		pack->failed = true;
	else
		free_stale(pack);
	return rc;
}
