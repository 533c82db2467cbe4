/* SPDX-License-Identifier: MIT */
/*
 * A compressed file: each frame of it is compressed by itself, so that any can be read alone. pack.h has the layout. Uses base, os and libzstd.
 *
 * What compresses is made when the file is opened, and used once then, so that fill and write ask for no memory: as many contexts as there
 * are processors, lent to whoever comes.
 */
#include <backing/packed.h>

#include <base/atomic.h>
#include <base/error.h>
#include <inttypes.h>
#include <string.h>
#include <zstd.h>

#define CONTEXTS_MAX 16u
#define LEVEL_DEFAULT 3
#define RELOADS 100 /* of a reader whose frame is replaced all the time */

/* What one thread works with. */
struct context {
	_Atomic bool taken;
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *expander;
	unsigned char *stored, *frame; /* a frame as it lies in the file, and as it is */
};

struct packed {
	struct pack pack;
	struct os_lock lock;    /* of the index */
	_Atomic uint32_t owner; /* the thread that has it */
	uint64_t forks;         /* os_fork_generation() of its process */
	int level;
	unsigned count;
	size_t room; /* of context.stored */
	struct context contexts[CONTEXTS_MAX];
};

static struct context *borrow(struct packed *packed)
{
	for (;;) {
		for (unsigned i = 0; i < packed->count; i++) {
			bool taken = false;

			/* A1: what the last one did with it is seen; pairs with R1 in give_back() */
			if (cas_acq(&packed->contexts[i].taken, &taken, true))
				return &packed->contexts[i];
		}
		os_yield();
	}
}

static void give_back(struct context *context)
{
	store_rel(&context->taken, false); /* R1: done with it; pairs with A1 in borrow() */
}

/* ---- the index ---- */

static int enter(struct packed *packed)
{
	if (load_rlx(&packed->owner) == os_thread_id())
		return error_set(-STOA_EDEADLOCK, "this thread was interrupted in a write to the file; its signal "
						  "handler cannot write");
	os_lock(&packed->lock);
	store_rlx(&packed->owner, os_thread_id());
	return 0;
}

static void leave(struct packed *packed)
{
	store_rlx(&packed->owner, 0);
	os_unlock(&packed->lock);
}

/* For who writes. */
static int enter_to_write(struct packed *packed)
{
	int rc = packed->forks == os_fork_generation()
			 ? enter(packed)
			 : error_set(-STOA_ENOTSUP, "a forked child can only read its parent's compressed file");

	if (rc == 0 && packed->pack.failed) {
		leave(packed);
		rc = error_set(-STOA_EIO, "a flush has failed: what the file has on the disk is not known");
	}
	return rc;
}

/* ---- reading ---- */

static int unpack(struct packed *packed, struct context *context, uint64_t number, const struct pack_entry *entry,
		  void *bytes)
{
	const struct pack *pack = &packed->pack;
	size_t length = (size_t)pack_length(entry), got;
	int rc;

	if (!length) {
		memset(bytes, 0, (size_t)pack->frame);
		return 0;
	}
	rc = disk_read(pack->disk, pack->file, pack_offset(pack, entry), context->stored, length);
	if (rc < 0)
		return rc;
	if (pack_hash(number, context->stored, length) != entry->check)
		return error_set(-STOA_EFORMAT, "frame %" PRIu64 " of the file is damaged", number);
	if (length == pack->frame) {
		memcpy(bytes, context->stored, length);
		return 0;
	}
	got = ZSTD_decompressDCtx(context->expander, bytes, (size_t)pack->frame, context->stored, length);
	if (ZSTD_isError(got) || got != pack->frame)
		return error_set(-STOA_EFORMAT, "frame %" PRIu64 " of the file cannot be expanded", number);
	return 0;
}

/* A frame as the index has it now; for who only reads, as a writer may since have moved it. */
static int fetch(struct packed *packed, uint64_t number, bool reload, struct pack_entry *ret_entry)
{
	int rc = 0;

	if (packed->pack.writable) {
		*ret_entry = packed->pack.entries[number]; /* nobody writes it meanwhile */
		return 0;
	}
	rc = enter(packed);
	if (rc < 0)
		return rc;
	if (reload)
		rc = pack_reload(&packed->pack, number);
	*ret_entry = packed->pack.entries[number];
	leave(packed);
	return rc;
}

static int fill_frame(struct packed *packed, struct context *context, uint64_t number, void *bytes)
{
	struct pack_entry entry, before;
	int rc = fetch(packed, number, false, &entry);

	if (rc == 0)
		rc = unpack(packed, context, number, &entry, bytes);
	for (unsigned i = 0; i < RELOADS && rc == -STOA_EFORMAT && !packed->pack.writable; i++) {
		before = entry;
		rc = fetch(packed, number, true, &entry);
		if (rc == 0 && i && memcmp(&before, &entry, sizeof(entry)) == 0)
			return error_set(-STOA_EFORMAT, "frame %" PRIu64 " of the file is damaged", number);
		if (rc == 0)
			rc = unpack(packed, context, number, &entry, bytes);
	}
	return rc;
}

static int check_frames(const struct pack *pack, uint64_t offset, uint64_t length)
{
	if (offset % pack->frame == 0 && length % pack->frame == 0)
		return 0;
	return error_set(-STOA_EINVAL,
			 "%" PRIu64 " bytes at %" PRIu64 " are no whole frames: the file has such of %" PRIu64, length,
			 offset, pack->frame);
}

static int packed_fill(void *argument, uint64_t offset, uint64_t length, void *bytes)
{
	struct packed *packed = argument;
	const struct pack *pack = &packed->pack;
	size_t inside = backing_inside(pack->size, offset, length);
	int rc = check_frames(pack, offset, length);
	struct context *context;

	if (rc < 0)
		return rc;
	context = borrow(packed);
	for (uint64_t done = 0; done < inside && rc == 0; done += pack->frame)
		rc = fill_frame(packed, context, (offset + done) / pack->frame, (char *)bytes + done);
	give_back(context);
	if (rc == 0)
		memset((char *)bytes + inside, 0, (size_t)length - inside);
	return rc;
}

/* ---- writing ---- */

static bool is_zero(const unsigned char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* The frame as it is to be stored: *ret_length bytes at *ret_stored. */
static void compress(const struct packed *packed, struct context *context, const unsigned char *frame,
		     const unsigned char **ret_stored, size_t *ret_length)
{
	size_t whole = (size_t)packed->pack.frame, length = 0;

	if (!is_zero(frame, whole))
		length = ZSTD_compressCCtx(context->compressor, context->stored, packed->room, frame, whole,
					   packed->level);
	*ret_stored = context->stored;
	*ret_length = length;
	if (ZSTD_isError(length) || length >= whole) {
		*ret_stored = frame;
		*ret_length = whole;
	}
}

/* Room for it; where old frames take it all, they are let go of by a flush. */
static int reserve(struct packed *packed, uint64_t length, uint64_t *ret_place)
{
	int rc = enter_to_write(packed);

	*ret_place = 0;
	if (rc < 0)
		return rc;
	if (length) {
		rc = pack_reserve(&packed->pack, length, ret_place);
		if (rc == -STOA_ENOMEM)
			rc = pack_flush(&packed->pack);
		if (rc == 0 && !*ret_place)
			rc = pack_reserve(&packed->pack, length, ret_place);
	}
	leave(packed);
	return rc;
}

static int write_frame(struct packed *packed, struct context *context, uint64_t number, const unsigned char *frame)
{
	struct pack *pack = &packed->pack;
	const unsigned char *stored;
	struct pack_entry entry;
	size_t length;
	int rc, wrote = 0;

	compress(packed, context, frame, &stored, &length);
	entry.check = length ? pack_hash(number, stored, length) : 0;
	rc = reserve(packed, length, &entry.place);
	if (rc < 0)
		return rc;
	if (length)
		wrote = pack->disk->write(pack->disk, pack->file, pack_offset(pack, &entry), stored, length);
	rc = enter_to_write(packed);
	if (rc < 0)
		return rc;
	if (wrote == 0)
		pack_switch(pack, number, entry);
	else
		pack_release(pack, entry.place);
	leave(packed);
	return wrote;
}

static int packed_write(void *argument, uint64_t offset, uint64_t length, const void *bytes)
{
	struct packed *packed = argument;
	const struct pack *pack = &packed->pack;
	size_t inside = backing_inside(pack->size, offset, length), whole = (size_t)pack->frame;
	int rc = check_frames(pack, offset, length);
	struct context *context;

	if (rc < 0)
		return rc;
	context = borrow(packed);
	for (uint64_t done = 0; done < inside && rc == 0; done += whole) {
		const unsigned char *frame = (const unsigned char *)bytes + done;

		/* What is beyond the size is no part of it. */
		if (inside - done < whole) {
			memcpy(context->frame, frame, (size_t)(inside - done));
			memset(context->frame + (inside - done), 0, whole - (size_t)(inside - done));
			frame = context->frame;
		}
		rc = write_frame(packed, context, (offset + done) / whole, frame);
	}
	give_back(context);
	return rc;
}

static int packed_flush(void *argument)
{
	struct packed *packed = argument;
	int rc = enter_to_write(packed);

	if (rc < 0)
		return rc;
	rc = pack_flush(&packed->pack);
	leave(packed);
	return rc;
}

static int packed_size(void *argument, uint64_t *ret_size)
{
	const struct packed *packed = argument;

	*ret_size = packed->pack.size;
	return 0;
}

/* ---- opening and closing ---- */

static void release(struct packed *packed)
{
	for (unsigned i = 0; i < packed->count; i++) {
		ZSTD_freeCCtx(packed->contexts[i].compressor);
		ZSTD_freeDCtx(packed->contexts[i].expander);
		os_free(packed->contexts[i].stored);
		os_free(packed->contexts[i].frame);
	}
	pack_close(&packed->pack);
	os_free(packed);
}

static void packed_close(void *argument)
{
	struct packed *packed = argument;

	packed->pack.disk->close(packed->pack.disk, packed->pack.file);
	release(packed);
}

/* The compressor allocates at its first use, for frames of that length. */
static int make_context(struct packed *packed, struct context *context)
{
	size_t whole = (size_t)packed->pack.frame;

	context->expander = ZSTD_createDCtx();
	context->stored = os_allocate(packed->room);
	context->frame = os_allocate(whole);
	if (packed->pack.writable)
		context->compressor = ZSTD_createCCtx();
	if (!context->expander || !context->stored || !context->frame ||
	    (packed->pack.writable && !context->compressor))
		return error_set(-STOA_ENOMEM, "no memory for a compressor");
	if (packed->pack.writable && ZSTD_isError(ZSTD_compressCCtx(context->compressor, context->stored, packed->room,
								    context->frame, whole, packed->level)))
		return error_set(-STOA_ENOMEM, "no memory for compressing at level %d", packed->level);
	return 0;
}

int packed_attach(const struct disk *disk, os_handle file, bool writable, int level, struct stoa_backing **ret_backing)
{
	static const struct stoa_backing_calls reads = {
		.fill = packed_fill, .size = packed_size, .close = packed_close};
	static const struct stoa_backing_calls writes = {.fill = packed_fill,
							 .write = packed_write,
							 .flush = packed_flush,
							 .size = packed_size,
							 .close = packed_close};
	struct packed *packed = os_allocate(sizeof(*packed));
	unsigned wanted = os_cpu_count() + 1;
	int rc;

	if (!packed)
		return -STOA_ENOMEM;
	packed->level = level ? level : LEVEL_DEFAULT;
	packed->forks = os_fork_generation();
	rc = pack_open(&packed->pack, disk, file, writable);
	packed->room = ZSTD_compressBound((size_t)packed->pack.frame);
	while (rc == 0 && packed->count < wanted && packed->count < CONTEXTS_MAX)
		rc = make_context(packed, &packed->contexts[packed->count++]);
	if (rc == 0)
		rc = stoa_backing_create(writable ? &writes : &reads, packed, ret_backing);
	if (rc < 0)
		release(packed);
	return rc;
}

/* ---- files ---- */

static int open_packed(const char *path, const struct stoa_backing_zstd_options *options,
		       struct stoa_backing **ret_backing)
{
	bool writable = !(options->flags & STOA_BACKING_READ_ONLY);
	os_handle file = OS_NO_HANDLE;
	uint64_t length = 0;
	int rc = os_file_open(path, writable, &file);

	if (rc < 0)
		return rc;
	rc = backing_check_regular(file, &length);
	if (rc == 0 && writable) {
		rc = os_file_lock(file, PACK_BYTE_WRITER, OS_LOCK_EXCLUSIVE, false);
		if (rc == -STOA_EBUSY)
			rc = error_set(rc, "another process, or another handle, writes to it");
	}
	if (rc == 0)
		rc = packed_attach(&disk_system, file, writable, options->level, ret_backing);
	if (rc == 0)
		return 0;
	os_handle_close(file);
	return error_prefix(rc, "'%s'", path);
}

/* It gets its name when it is complete, and durable. */
static int make_packed(const char *path, const struct stoa_backing_zstd_options *options)
{
	os_handle file = OS_NO_HANDLE;
	int rc = os_file_prepare(path, &file);

	if (rc < 0)
		return rc;
	rc = pack_format(&disk_system, file, options->size, options->frame ? options->frame : PACK_FRAME_DEFAULT);
	if (rc == 0)
		rc = os_file_sync(file);
	rc = rc < 0 ? error_prefix(rc, "'%s'", path) : os_file_publish(file, path);
	if (rc < 0) {
		(void)os_file_set_length(file, 0); /* where it had its name from the start */
		os_file_unmake(file, path);
		return rc;
	}
	os_handle_close(file);
	return os_file_sync_name(path);
}

int backing_zstd(const char *path, const struct stoa_backing_zstd_options *options, struct stoa_backing **ret_backing)
{
	int rc;

	if (options->level < ZSTD_minCLevel() || options->level > ZSTD_maxCLevel())
		return error_set(-STOA_EINVAL, "zstd has no level %" PRId32 ": %d to %d", options->level,
				 ZSTD_minCLevel(), ZSTD_maxCLevel());
	rc = open_packed(path, options, ret_backing);
	if (rc != -STOA_ENOENT || !(options->flags & STOA_BACKING_CREATE))
		return rc;
	rc = make_packed(path, options);
	return rc < 0 && rc != -STOA_EEXIST ? rc : open_packed(path, options, ret_backing);
}
