/* SPDX-License-Identifier: MIT */
/*
 * The handle: mapping an object, what can be asked of a handle without a system call, and letting go. Everything that a
 * handle knows about its segment is a private copy, taken and checked when it was made.
 */
#include <base/atomic.h>
#include <base/error.h>
#include <inttypes.h>
#include <segment/header.h>
#include <segment/segment.h>

#include <stoa/sync.h>

void (*segment_roster_detach)(struct stoa_segment *segment, struct roster *roster);

static struct os_lock lock; /* guards the list; taken after the roster layer's */
static struct stoa_segment *handles;
static bool forks_handled;

static void lock_handles(void)
{
	os_lock(&lock);
}

static void unlock_handles(void)
{
	os_unlock(&lock);
}

static int enter_handle(struct stoa_segment *segment)
{
	int rc = 0;

	lock_handles();
	if (!forks_handled)
		rc = os_fork_hooks(lock_handles, unlock_handles, unlock_handles);
	if (rc == 0) {
		forks_handled = true;
		segment->next = handles;
		handles = segment;
	}
	unlock_handles();
	return rc;
}

static void forget_handle(const struct stoa_segment *segment)
{
	lock_handles();
	for (struct stoa_segment **link = &handles; *link; link = &(*link)->next) {
		if (*link != segment)
			continue;
		*link = segment->next;
		break;
	}
	unlock_handles();
}

bool segment_pass_roster(const struct stoa_segment *from, struct roster *roster)
{
	struct stoa_segment *heir;

	lock_handles();
	for (heir = handles; heir; heir = heir->next)
		if (heir != from && heir->roster_slots && heir->identity[0] == from->identity[0] &&
		    heir->identity[1] == from->identity[1] && !load_rlx(&heir->roster))
			break;
	if (heir)
		store_rel(&heir->roster, roster); /* R1: publishes the roster; pairs with A1 in roster_attach() */
	unlock_handles();
	return heir;
}

static int map_data(struct stoa_segment *segment)
{
	uint32_t access = OS_READ | (segment->writable ? OS_WRITE : 0);
	void *address;
	int rc = os_map(segment->memory, segment->data_offset, segment->reserve, access, &address);

	/* Where memory cannot grow, more than it holds is an error; a header that says more is wrong. */
	if (rc == -STOA_ERANGE && !(segment->flags & STOA_RAW))
		return error_prefix(-STOA_EFORMAT, "a segment's header says more than its memory holds");
	if (rc < 0)
		return rc;
	segment->data = address;
	segment->extent.address = address;
	return 0;
}

static void set_huge(struct stoa_segment *segment)
{
	const char *setting;
	bool offered = segment->reserve >= OS_HUGE_PAGE && segment->extent.in_memory && os_huge_offered(&setting);

	/* Committing single pages must stay cheap in memory: os_commit() uses huge pages for whole blocks only. */
	segment->extent.huge = !offered || segment->huge == STOA_HUGE_NEVER ? OS_HUGE_NEVER
			       : segment->huge == STOA_HUGE_REQUIRE         ? OS_HUGE_REQUIRED
									    : OS_HUGE_WHERE_OFFERED;
	if (offered)
		os_huge_apply(segment->data, segment->reserve, segment->extent.huge);
}

/* Fill in what the object itself tells. */
static int take_info(struct stoa_segment *segment)
{
	struct os_memory_info info;
	int rc = os_memory_info(segment->memory, &info);

	if (rc < 0)
		return rc;
	if (!info.regular)
		return error_set(-STOA_EKIND, "the descriptor does not refer to memory or a regular file");
	segment->identity[0] = info.identity[0];
	segment->identity[1] = info.identity[1];
	segment->is_file = !info.in_memory;
	segment->can_be_cut = segment->is_file || segment->flags & STOA_SHRINKABLE ||
			      (info.takes_seals && !(info.seals & OS_SEAL_SHRINK));
	segment->extent.in_memory = info.in_memory;
	segment->extent.cannot_shrink = info.seals & OS_SEAL_SHRINK;
	return 0;
}

static void copy_header(struct stoa_segment *segment, const struct segment_header *header)
{
	segment->roster_slots = header->roster_slots;
	segment->reserve = header->reserve;
	segment->data_offset = header->data_offset;
	segment->extent.offset = header->data_offset;
	segment->kind = header->kind;
	segment->flags = header->flags;
	segment->huge = header->huge;
	segment->header_identity = header->flags & STOA_RAW ? 0 : header->identity[0];
	segment->of_other_system = header_of_other_system(header);
}

/* Tell the system what the memory is called. */
static int identify(struct stoa_segment *segment, const struct segment_header *header)
{
	int rc = header->flags & STOA_RAW ? 0 : os_memory_identify(segment->memory, header->identity);

	segment->out_of_sight = rc == -STOA_ENOTSUP;
	return segment->out_of_sight ? 0 : rc;
}

int segment_attach(os_handle memory, const struct segment_header *header, bool writable, struct os_name *name,
		   struct stoa_segment **ret_segment)
{
	struct stoa_segment *segment = os_allocate(sizeof(*segment));
	int rc;

	if (!segment)
		return -STOA_ENOMEM;
	copy_header(segment, header);
	segment->memory = memory;
	segment->extent.memory = memory;
	segment->writable = writable;
	if (!writable)
		segment->flags |= STOA_READ_ONLY;
	segment->backed_slots = os_allocate((segment->roster_slots / 64 + 1) * sizeof(*segment->backed_slots));
	rc = segment->backed_slots ? take_info(segment) : -STOA_ENOMEM;
	if (rc == 0)
		rc = identify(segment, header);
	if (writable && segment->roster_slots && !segment->of_other_system && !segment->out_of_sight)
		segment->rights = STOA_RIGHT_WAIT | STOA_RIGHT_SIGNAL;
	if (rc == 0)
		rc = map_data(segment);
	if (rc == 0) {
		rc = enter_handle(segment);
		if (rc < 0)
			(void)os_unmap(segment->data, segment->reserve);
	}
	if (rc < 0) {
		os_free((void *)segment->backed_slots);
		os_free(segment);
		return rc;
	}
	set_huge(segment);
	segment->name = name;
	*ret_segment = segment;
	return 0;
}

void stoa_segment_close(struct stoa_segment *segment)
{
	struct roster *roster;

	if (!segment)
		return;
	/* The caller has ordered this after every use of the handle; from now on no other handle's close passes us its roster. */
	forget_handle(segment);
	roster = load_rlx(&segment->roster);
	if (roster)
		segment_roster_detach(segment, roster);
	(void)os_unmap(segment->data, segment->reserve);
	os_handle_close(segment->memory);
	/* Last: until here the name leads to a segment in use. */
	os_name_close(segment->name);
	os_free((void *)segment->backed_slots);
	os_free(segment);
}

void *stoa_segment_address(const struct stoa_segment *segment)
{
	return segment ? segment->data : NULL;
}

uint64_t stoa_segment_reserve(const struct stoa_segment *segment)
{
	return segment ? segment->reserve : 0;
}

uint64_t stoa_segment_committed(const struct stoa_segment *segment)
{
	uint64_t length = segment ? os_memory_length(segment->memory) : 0;

	if (!segment || length <= segment->data_offset)
		return 0;
	length -= segment->data_offset;
	return length < segment->reserve ? length : segment->reserve;
}

uint64_t stoa_page_size(void)
{
	return OS_PAGE;
}

int segment_check_range(const struct stoa_segment *segment, uint64_t offset, uint64_t length)
{
	if (offset % OS_PAGE || length % OS_PAGE || length == 0)
		return error_set(-STOA_EINVAL, "%" PRIu64 " bytes at %" PRIu64 " are not whole pages of %u", length,
				 offset, (unsigned)OS_PAGE);
	if (offset > segment->reserve || length > segment->reserve - offset)
		return error_set(-STOA_ERANGE, "%" PRIu64 " bytes at %" PRIu64 " lie outside the reserve of %" PRIu64,
				 length, offset, segment->reserve);
	return 0;
}
