/* SPDX-License-Identifier: MIT */
/*
 * Creating and opening segments. A segment is complete, header, first commit and contents, before it gets its name; so
 * creation is all or nothing, and an opener never waits for a creator.
 */
#include <base/error.h>
#include <base/mutant.h>
#include <inttypes.h>
#include <segment/header.h>
#include <segment/segment.h>
#include <string.h>

static const struct stoa_segment_options defaults;

static uint32_t name_flags(uint32_t flags)
{
	return (flags & STOA_GLOBAL ? OS_NAME_GLOBAL : 0) | (flags & STOA_PERSISTENT ? OS_NAME_PERSISTENT : 0) |
	       (flags & STOA_WORLD_READABLE ? OS_NAME_WORLD_READABLE : 0) |
	       (flags & STOA_READ_ONLY ? OS_NAME_READ_ONLY : 0);
}

static int check_flags(const char *name, uint32_t flags)
{
	const uint32_t known =
		STOA_RAW | STOA_PERSISTENT | STOA_SHRINKABLE | STOA_GLOBAL | STOA_EXECUTABLE | STOA_WORLD_READABLE;

	if (flags & ~known)
		return error_refuse("creating a segment", ERROR_SEGMENT_FLAGS, flags & ~known);
	if (!name && flags & (STOA_PERSISTENT | STOA_GLOBAL | STOA_WORLD_READABLE))
		return error_set(-STOA_EINVAL,
				 "a segment without a name cannot be persistent, global or world-readable");
	if (flags & STOA_WORLD_READABLE && !(flags & STOA_GLOBAL))
		return error_set(-STOA_EINVAL,
				 "a world-readable segment must be global: nobody else reaches the user's own names");
	if (flags & STOA_WORLD_READABLE && flags & STOA_RAW)
		return error_set(-STOA_EINVAL,
				 "a raw segment cannot be world-readable: other users could not learn its reserve");
	return 0;
}

static int check_options(const char *name, uint64_t reserve, const struct stoa_segment_options *options)
{
	char texts[2][ERROR_SIZE];
	const char *setting = "";

	if (reserve == 0 || reserve > STOA_RESERVE_MAX)
		return error_set(-STOA_EINVAL, "a reserve of %s: it must be 1B to %s", error_size(reserve, texts[0]),
				 error_size(STOA_RESERVE_MAX, texts[1]));
	if (options->huge > STOA_HUGE_REQUIRE)
		return error_set(-STOA_EINVAL, "huge %" PRIu32 " is none of STOA_HUGE_*", options->huge);
	if (options->reserved)
		return error_set(-STOA_EINVAL, "the option 'reserved' is %" PRIu32 ", not 0", options->reserved);
	if (options->roster_slots > SEGMENT_SLOTS_MAX)
		return error_set(-STOA_EINVAL, "%" PRIu32 " roster slots: at most %u", options->roster_slots,
				 SEGMENT_SLOTS_MAX);
	if (segment_round_up(options->commit, OS_PAGE) > segment_round_up(reserve, OS_PAGE) ||
	    options->commit > reserve + OS_PAGE)
		return error_set(-STOA_ERANGE, "committing %s is beyond the reserve of %s",
				 error_size(options->commit, texts[0]), error_size(reserve, texts[1]));
	if (options->huge == STOA_HUGE_REQUIRE && !os_huge_offered(&setting))
		return os_huge_refused();
	return check_flags(name, options->flags);
}

static int make_header(uint64_t reserve, const struct stoa_segment_options *options, uint32_t kind,
		       struct segment_header *ret_header)
{
	struct segment_header header = {.kind = kind, .flags = options->flags, .huge = options->huge};

	header.reserve = segment_round_up(reserve, options->huge == STOA_HUGE_REQUIRE ? OS_HUGE_PAGE : OS_PAGE);
	if (!(options->flags & STOA_RAW)) {
		header.roster_slots = options->roster_slots ? options->roster_slots : SEGMENT_SLOTS_DEFAULT;
		header.data_offset = header_data_offset(header.roster_slots);
	}
	*ret_header = header;
	return header_seal(ret_header);
}

static int make_memory(const char *name, const struct segment_header *header, os_handle *ret_memory)
{
	uint64_t size = header->data_offset + header->reserve;
	uint32_t flags = (header->flags & STOA_EXECUTABLE ? OS_MEMORY_EXECUTABLE : 0) |
			 (header->flags & STOA_SHRINKABLE ? OS_MEMORY_SHRINKABLE : 0);
	os_handle memory = OS_NO_HANDLE;
	uint32_t cut = header->flags & STOA_SHRINKABLE ? OS_NAME_SHRINKABLE : 0;
	int rc = name ? os_name_prepare(name, name_flags(header->flags) | cut, size, &memory)
		      : os_memory_create(size, flags, &memory);

	if (rc < 0)
		return rc;
	if (header->data_offset) {
		rc = os_memory_set_length(memory, header->data_offset);
		if (rc == 0)
			rc = os_memory_write(memory, 0, header, sizeof(*header));
	}
	if (rc < 0) {
		os_handle_close(memory);
		return rc;
	}
	*ret_memory = memory;
	return 0;
}

/* All that it takes, at once: whoever raises a limit has to know how far. */
static int check_length(const struct segment_header *header, uint64_t commit)
{
	uint64_t length = segment_round_up(commit, header->huge == STOA_HUGE_REQUIRE ? OS_HUGE_PAGE : OS_PAGE);

	return segment_explain_length(os_length_allowed(header->data_offset + length), header->data_offset, length);
}

static int create(const char *name, uint64_t reserve, const struct stoa_segment_options *options, uint32_t kind,
		  int (*fill)(struct stoa_segment *segment, void *argument), void *argument,
		  struct stoa_segment **ret_segment)
{
	struct stoa_segment *segment;
	struct segment_header header;
	os_handle memory = OS_NO_HANDLE;
	bool raw = options->flags & STOA_RAW;
	int rc = make_header(reserve, options, kind, &header);

	if (rc == 0)
		rc = check_length(&header, options->commit);
	if (rc == 0)
		rc = make_memory(name, &header, &memory);
	if (rc < 0)
		return rc;
	rc = segment_attach(memory, &header, true, NULL, &segment);
	if (rc < 0) {
		os_handle_close(memory);
		return rc;
	}
	if (MUTANT(NAME_BEFORE_CONTENT) && name)
		rc = os_name_publish(memory, name, name_flags(options->flags), &header, raw ? sizeof(header) : 0,
				     &segment->name);
	if (rc == 0 && options->commit)
		rc = stoa_segment_commit(segment, options->commit);
	if (rc == 0 && fill)
		rc = fill(segment, argument);
	if (rc == 0 && name && !MUTANT(NAME_BEFORE_CONTENT))
		rc = os_name_publish(memory, name, name_flags(options->flags), &header, raw ? sizeof(header) : 0,
				     &segment->name);
	if (rc < 0) {
		stoa_segment_close(segment);
		return rc;
	}
	*ret_segment = segment;
	return 0;
}

#define ANY_KIND UINT32_MAX

static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = {"a data segment", "a mutex",   "an event",
					    "a semaphore",    "a channel", "a pager"};

	_Static_assert(CC_COUNT(names) == SEGMENT_KIND_LAST + 1, "each kind has one");
	return kind <= SEGMENT_KIND_LAST ? names[kind] : "something unknown";
}

/* Find the header of an opened object: in its record when raw, else in itself. */
static int learn_header(os_handle memory, const void *record, size_t record_length, uint32_t kind,
			struct segment_header *ret_header)
{
	int rc;

	if (record_length) {
		memcpy(ret_header, record, sizeof(*ret_header));
		rc = record_length == sizeof(*ret_header)
			     ? header_valid(ret_header, true)
			     : error_set(-STOA_EFORMAT, "a record of %zu bytes is not a raw segment's", record_length);
	} else {
		rc = header_read(memory, ret_header);
	}
	if (rc < 0)
		return rc;
	if (ret_header->kind != kind && kind != ANY_KIND)
		return error_set(-STOA_EKIND, "the name belongs to %s, not to %s", kind_name(ret_header->kind),
				 kind_name(kind));
	return 0;
}

/* `flags` of the opener; those of the segment come from its header. */
static int open_named(const char *name, uint32_t flags, uint32_t kind, struct stoa_segment **ret_segment)
{
	unsigned char record[OS_NAME_RECORD_MAX];
	size_t record_length = 0;
	struct segment_header header;
	struct os_name *use;
	os_handle memory = OS_NO_HANDLE;
	int rc = os_name_open(name, name_flags(flags & (STOA_GLOBAL | STOA_READ_ONLY)), &memory, record, &record_length,
			      &use);

	if (rc < 0)
		return rc;
	rc = learn_header(memory, record, record_length, kind, &header);
	if (rc == 0)
		rc = segment_attach(memory, &header, !(flags & STOA_READ_ONLY), use, ret_segment);
	if (rc < 0) {
		os_handle_close(memory);
		os_name_close(use);
	}
	return rc;
}

/* Open it, and have at least what the opener wants to be committed. */
static int open_and_commit(const char *name, const struct stoa_segment_options *options, uint32_t kind,
			   struct stoa_segment **ret_segment)
{
	struct stoa_segment *segment;
	int rc = open_named(name, options->flags, kind, &segment);

	if (rc < 0)
		return rc;
	if (options->commit)
		rc = stoa_segment_commit(segment, options->commit);
	if (rc < 0) {
		stoa_segment_close(segment);
		return error_prefix(rc, "it exists");
	}
	*ret_segment = segment;
	return 0;
}

/* The name in the sentence, unless it says the name already. */
static int about(int rc, uint32_t kind, const char *name)
{
	static const char *const titles[] = {"segment", "mutex", "event", "semaphore", "channel", "pager"};

	_Static_assert(CC_COUNT(titles) == SEGMENT_KIND_LAST + 1, "each kind has one");
	if (rc < 0 && name)
		return error_prefix(rc, "%s '%s'", titles[kind], name);
	return rc;
}

int segment_open_kind(const char *name, const struct stoa_segment_options *options, uint32_t kind,
		      struct stoa_segment **ret_segment)
{
	uint32_t flags;
	int rc;

	if (!name)
		return error_set(-STOA_EINVAL, "no name to open was given");
	if (!ret_segment)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	rc = segment_check_name(name);
	if (rc < 0)
		return about(rc, kind, name);
	flags = options ? options->flags : 0;
	return about(open_named(name, flags, flags & STOA_ANY_KIND && kind == SEGMENT_KIND_DATA ? ANY_KIND : kind,
				ret_segment),
		     kind, name);
}

int segment_create_kind(const char *name, uint64_t reserve, const struct stoa_segment_options *options, uint32_t kind,
			int (*fill)(struct stoa_segment *segment, void *argument), void *argument, bool may_open,
			struct stoa_segment **ret_segment)
{
	int rc;

	if (!ret_segment)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	if (may_open && !name)
		return error_set(-STOA_EINVAL, "create-or-open needs a name");
	options = options ? options : &defaults;
	rc = name ? segment_check_name(name) : 0;
	if (rc == 0)
		rc = check_options(name, reserve, options);
	if (rc < 0)
		return about(rc, kind, name);
	/* It may vanish between the two, and appear again: as often as others make it do so. */
	do {
		rc = may_open ? open_and_commit(name, options, kind, ret_segment) : -STOA_ENOENT;
		if (rc == 0)
			return STOA_EXISTED;
		if (rc == -STOA_ENOENT)
			rc = create(name, reserve, options, kind, fill, argument, ret_segment);
	} while (rc == -STOA_EEXIST && may_open);
	return about(rc, kind, name);
}

int stoa_segment_create(const char *name, uint64_t reserve, const struct stoa_segment_options *options,
			struct stoa_segment **ret_segment)
{
	return segment_create_kind(name, reserve, options, SEGMENT_KIND_DATA, NULL, NULL, false, ret_segment);
}

int stoa_segment_create_or_open(const char *name, uint64_t reserve, const struct stoa_segment_options *options,
				struct stoa_segment **ret_segment)
{
	return segment_create_kind(name, reserve, options, SEGMENT_KIND_DATA, NULL, NULL, true, ret_segment);
}

int stoa_segment_open(const char *name, const struct stoa_segment_options *options, struct stoa_segment **ret_segment)
{
	return segment_open_kind(name, options, SEGMENT_KIND_DATA, ret_segment);
}

int stoa_segment_unlink(const char *name, uint32_t flags)
{
	int rc;

	if (!name)
		return error_set(-STOA_EINVAL, "no name to unlink was given");
	if (flags & ~STOA_GLOBAL)
		return error_refuse("unlinking", ERROR_SEGMENT_FLAGS, flags & ~STOA_GLOBAL);
	rc = segment_check_name(name);
	if (rc == 0)
		rc = os_name_unlink(name, name_flags(flags));
	return about(rc, SEGMENT_KIND_DATA, name);
}
