/* SPDX-License-Identifier: MIT */
/*
 * Making and checking headers. The hash finds damage and other layouts; it is no defence, as an enemy can compute it: the
 * checks of each field are.
 */
#include <segment/header.h>

#include <base/error.h>
#include <base/hash.h>
#include <inttypes.h>
#include <segment/segment.h>
#include <string.h>

static const uint8_t magic[8] = {'S', 'T', 'O', 'A', 'S', 'E', 'G', '\n'};

/* All that two programs must agree on to share a segment. Whoever changes one of these things changes this string. */
static const char layout[] =
	"little-endian; page 4096; header 96 in page 0: magic8 layout8 must8 may8 kind4 flags4 huge4 "
	"slots4 offset8 reserve8 identity16 owner4 zero4 check8; roster page n at 4096 n: state8 claims32x8 "
	"at 0, relay4 at 4032 of page 1, life8 at 4072: generation32 waiters1 died1 thread30; data at slots+1 "
	"pages up to 2 MiB; values of 16: word8, kind and what does not change 8; mutex word: generation32 "
	"waiters1 zero1 generation16 slot14; signal word: count24 sequence8 waiters1 available1 claim30";

#define STAYING_FLAGS \
	(STOA_RAW | STOA_PERSISTENT | STOA_SHRINKABLE | STOA_GLOBAL | STOA_EXECUTABLE | STOA_WORLD_READABLE)

uint64_t header_check(const struct segment_header *header)
{
	return hash_bytes(header, offsetof(struct segment_header, check));
}

bool header_of_other_system(const struct segment_header *header)
{
	return header->roster_slots &&
	       !!(header->may_ignore & HEADER_LIVES_BY_NAME) != os_capabilities()->lives_by_name;
}

uint64_t header_data_offset(uint32_t roster_slots)
{
	uint64_t pages = ((uint64_t)roster_slots + 1) * OS_PAGE;

	return (pages + OS_HUGE_PAGE - 1) & ~(OS_HUGE_PAGE - 1);
}

int header_seal(struct segment_header *header)
{
	int rc = os_random(header->identity, sizeof(header->identity));

	if (rc < 0)
		return rc;
	memcpy(header->magic, magic, sizeof(magic));
	header->layout = hash_bytes(layout, sizeof(layout));
	header->owner = os_user_id();
	if (os_capabilities()->lives_by_name)
		header->may_ignore |= HEADER_LIVES_BY_NAME;
	header->check = header_check(header);
	return 0;
}

bool header_is_ours(const void *bytes, size_t length)
{
	return length >= sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0;
}

static int check_place(const struct segment_header *header, bool raw)
{
	if (raw != !!(header->flags & STOA_RAW))
		return error_set(-STOA_EFORMAT, "a segment's header and its place disagree on whether it is raw");
	if (raw ? header->roster_slots != 0 || header->data_offset != 0
		: header->roster_slots < 1 || header->roster_slots > SEGMENT_SLOTS_MAX ||
			    header->data_offset != header_data_offset(header->roster_slots))
		return error_set(-STOA_EFORMAT, "a segment's header says %" PRIu32 " roster slots and data at %" PRIu64,
				 header->roster_slots, header->data_offset);
	return 0;
}

int header_valid(const struct segment_header *header, bool raw)
{
	if (!header_is_ours(header, sizeof(*header)))
		return error_set(-STOA_EFORMAT, "not a stoa segment: it does not begin with the mark of one");
	if (header->layout != hash_bytes(layout, sizeof(layout)))
		return error_set(-STOA_EVERSION,
				 "a segment of another layout (%016" PRIx64 ", this library has %016" PRIx64
				 "): both programs must use the same version of stoa",
				 header->layout, hash_bytes(layout, sizeof(layout)));
	if (header->must_know & ~HEADER_KNOWN_FEATURES)
		return error_set(-STOA_EVERSION,
				 "a segment with features 0x%" PRIx64 " that this library does not know",
				 header->must_know & ~HEADER_KNOWN_FEATURES);
	if (header->check != header_check(header))
		return error_set(-STOA_EFORMAT, "a segment's header is damaged");
	if (header->kind > SEGMENT_KIND_LAST || header->flags & ~STAYING_FLAGS || header->huge > STOA_HUGE_REQUIRE ||
	    header->unused)
		return error_set(-STOA_EFORMAT,
				 "a segment's header says kind %" PRIu32 ", flags 0x%" PRIx32 ", huge %" PRIu32,
				 header->kind, header->flags, header->huge);
	if (header->reserve == 0 || header->reserve > STOA_RESERVE_MAX || header->reserve % OS_PAGE)
		return error_set(-STOA_EFORMAT, "a segment's header says a reserve of %" PRIu64, header->reserve);
	return check_place(header, raw);
}

int header_read(os_handle memory, struct segment_header *ret_header)
{
	struct segment_header header;
	size_t got;
	int rc = os_memory_read(memory, 0, &header, sizeof(header), &got);

	if (rc < 0)
		return rc;
	if (got < sizeof(header))
		return error_set(-STOA_EFORMAT, "not a stoa segment: it ends after %zu bytes", got);
	rc = header_valid(&header, false);
	if (rc == 0)
		*ret_header = header;
	return rc;
}
