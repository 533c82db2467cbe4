/* SPDX-License-Identifier: MIT */
/*
 * Looking at named objects by reading, never by mapping: readable objects cannot raise a signal or be changed that way, and
 * damaged ones can be looked at like any other.
 */
#include <inspect/inspect.h>

#include <base/error.h>
#include <inttypes.h>
#include <roster/roster.h>
#include <segment/segment.h>
#include <string.h>

/* The header: in the name's record when the segment is raw, else in the object. */
static int learn_header(struct stoa_inspector *inspector, const unsigned char *record, size_t record_length)
{
	if (record_length == 0)
		return header_read(inspector->memory, &inspector->header);
	inspector->raw = true;
	if (record_length != sizeof(inspector->header))
		return error_set(-STOA_EFORMAT, "a record of %zu bytes is not a raw segment's", record_length);
	memcpy(&inspector->header, record, sizeof(inspector->header));
	return header_valid(&inspector->header, true);
}

static int open_inspector(const char *name, uint32_t flags, struct stoa_inspector *inspector)
{
	unsigned char record[OS_NAME_RECORD_MAX];
	size_t record_length = 0;
	uint32_t how = flags & STOA_GLOBAL ? OS_NAME_GLOBAL : 0;
	int rc = os_name_look(name, how, &inspector->memory, record, &record_length, &inspector->left);

	if (rc < 0)
		return error_prefix(rc, "segment '%s'", name);
	inspector->header_result = learn_header(inspector, record, record_length);
	if (inspector->header_result < 0)
		memset(&inspector->header, 0, sizeof(inspector->header));
	inspector->other_system = header_of_other_system(&inspector->header);
	if (inspector->header_result == 0 && !inspector->raw)
		rc = os_memory_identify(inspector->memory, inspector->header.identity);
	if (rc < 0)
		os_handle_close(inspector->memory);
	return rc;
}

int stoa_inspect_open(const char *name, uint32_t flags, struct stoa_inspector **ret_inspector)
{
	struct stoa_inspector *inspector;
	int rc;

	if (!name)
		return error_set(-STOA_EINVAL, "no name to inspect was given");
	if (!ret_inspector)
		return error_set(-STOA_EINVAL, "no place for the inspector was given");
	if (flags & ~STOA_GLOBAL)
		return error_refuse("inspecting", ERROR_SEGMENT_FLAGS, flags & ~STOA_GLOBAL);
	rc = segment_check_name(name);
	if (rc < 0)
		return rc;
	inspector = os_allocate(sizeof(*inspector));
	if (!inspector)
		return -STOA_ENOMEM;
	rc = open_inspector(name, flags, inspector);
	if (rc < 0) {
		os_free(inspector);
		return rc;
	}
	*ret_inspector = inspector;
	return 0;
}

void stoa_inspect_close(struct stoa_inspector *inspector)
{
	if (!inspector)
		return;
	os_handle_close(inspector->memory);
	os_free(inspector);
}

int inspect_read(const struct stoa_inspector *inspector, uint64_t offset, void *bytes, size_t length)
{
	size_t got = 0;
	int rc = os_memory_read(inspector->memory, offset, bytes, length, &got);

	if (rc == 0)
		memset((char *)bytes + got, 0, length - got);
	return rc;
}

int stoa_inspect_descriptor(const struct stoa_inspector *inspector)
{
	return inspector ? (int)inspector->memory : error_set(-STOA_EINVAL, "no inspector was given");
}

/* What proves that another system's thread lives is not here: its word is all there is. */
int inspect_life(const struct stoa_inspector *inspector, uint32_t slot, uint64_t *ret_life)
{
	uint64_t offset = (uint64_t)slot * OS_PAGE + OS_LIFE_OFFSET;

	return inspector->other_system ? inspect_read(inspector, offset, ret_life, sizeof(*ret_life))
				       : os_life_read(inspector->memory, offset, ret_life);
}

static int count_claims(const struct stoa_inspector *inspector, uint32_t slot, uint32_t *ret_claims)
{
	uint64_t words[1 + ROSTER_CLAIMS_MAX]; /* claim_state, claims */
	int rc = inspect_read(inspector, (uint64_t)slot * OS_PAGE, words, sizeof(words));

	if (rc < 0)
		return rc;
	*ret_claims = 0;
	for (unsigned i = 1; (uint32_t)words[0] != ROSTER_CLAIMS_NONE && i <= ROSTER_CLAIMS_MAX; i++)
		*ret_claims += words[i] != 0;
	return 0;
}

int stoa_inspect_member(const struct stoa_inspector *inspector, uint32_t from, struct stoa_member *ret_member)
{
	struct stoa_member member = {0};
	uint64_t life = 0;
	int rc = 0;

	if (!inspector)
		return error_set(-STOA_EINVAL, "no inspector was given");
	if (!ret_member)
		return error_set(-STOA_EINVAL, "no place for the member was given");
	if (inspector->header_result < 0)
		return error_set(-STOA_EFORMAT, "its header is damaged, so nothing tells where the roster is");
	for (member.slot = from ? from : 1; member.slot <= inspector->header.roster_slots; member.slot++) {
		rc = inspect_life(inspector, member.slot, &life);
		if (rc < 0 || life)
			break;
	}
	if (rc < 0)
		return rc;
	if (!life)
		return error_set(-STOA_ENOENT, "no roster slot from %" PRIu32 " on has been used", from);
	member.generation = (uint32_t)(life >> 32);
	member.thread = life & OS_LIFE_DIED ? 0 : (uint32_t)life & OS_LIFE_ID;
	rc = count_claims(inspector, member.slot, &member.claims);
	if (rc == 0)
		*ret_member = member;
	return rc;
}

static int count_alive(const struct stoa_inspector *inspector, uint32_t *ret_alive)
{
	uint32_t alive = 0;

	for (uint32_t slot = 1; slot <= inspector->header.roster_slots && !inspector->other_system; slot++) {
		uint64_t life;
		int rc = inspect_life(inspector, slot, &life);

		if (rc < 0)
			return rc;
		alive += (life & OS_LIFE_ID) != 0 && !(life & OS_LIFE_DIED);
	}
	*ret_alive = alive;
	return 0;
}

int stoa_inspect_get(const struct stoa_inspector *inspector, struct stoa_inspection *ret_inspection)
{
	const struct segment_header *header;
	struct stoa_inspection result = {.kind = STOA_KIND_DAMAGED};
	struct os_memory_info info;
	int rc;

	if (!inspector)
		return error_set(-STOA_EINVAL, "no inspector was given");
	if (!ret_inspection)
		return error_set(-STOA_EINVAL, "no place for the answer was given");
	header = &inspector->header;
	result.header = inspector->header_result;
	rc = os_memory_info(inspector->memory, &info);
	if (rc == 0)
		rc = count_alive(inspector, &result.roster_alive);
	if (rc < 0)
		return rc;
	result.length = info.length;
	result.resident = info.resident;
	result.object[0] = info.identity[0];
	result.object[1] = info.identity[1];
	result.owner = info.owner;
	result.left = inspector->left;
	result.other_system = inspector->other_system;
	if (inspector->header_result == 0) {
		result.kind = header->kind;
		result.flags = header->flags;
		result.huge = header->huge;
		result.reserve = header->reserve;
		result.data_offset = header->data_offset;
		result.committed = info.length > header->data_offset ? info.length - header->data_offset : 0;
		result.identity = header->identity[0];
		result.roster_slots = header->roster_slots;
	}
	*ret_inspection = result;
	return 0;
}

int stoa_inspect_capabilities(struct stoa_capabilities *ret_capabilities)
{
	const struct os_capabilities *waits = os_capabilities();
	const struct os_memory_capabilities *memory = os_memory_capabilities();

	if (!ret_capabilities)
		return error_set(-STOA_EINVAL, "no place for the answer was given");
	*ret_capabilities = (struct stoa_capabilities){
		.relays_wakes = waits->relays_wakes && os_probe_relay(),
		.waits_on_many = waits->waits_on_many,
		.life_words = waits->life_words,
		.noexec_seal = memory->noexec_seal,
		.huge_on_request = memory->huge_on_request,
		.populate = memory->populate,
		.read_only_maps = memory->read_only_maps,
		.gives_back = memory->gives_back,
	};
	return 0;
}

/* ---- channels ---- */

/* Bytes of data that there are: what a user has placed is committed, of what has a name of its own the areas come later. */
static int channel_room(const struct stoa_inspector *inspector, uint64_t *ret_room)
{
	const struct segment_header *header = &inspector->header;
	struct os_memory_info info;
	int rc;

	*ret_room = header->reserve;
	if (header->kind == SEGMENT_KIND_CHANNEL)
		return 0;
	rc = os_memory_info(inspector->memory, &info);
	if (rc < 0)
		return rc;
	info.length = info.length > header->data_offset ? info.length - header->data_offset : 0;
	*ret_room = info.length < header->reserve ? info.length : header->reserve;
	return 0;
}

int inspect_channel_site(const struct stoa_inspector *inspector, uint64_t offset, struct channel_site *ret_site)
{
	const struct segment_header *header = &inspector->header;
	uint64_t room;
	int rc;

	if (inspector->header_result < 0)
		return error_set(-STOA_EFORMAT, "its header is damaged, so nothing tells where a channel would be");
	if (inspector->raw || !header->roster_slots)
		return error_set(-STOA_ENOTSUP, "it is raw: channels are in what has a header");
	if (offset % OS_PAGE)
		return error_set(-STOA_EINVAL, "offset %" PRIu64 " is not in whole pages", offset);
	if (offset >= header->reserve)
		return error_set(-STOA_ERANGE, "offset %" PRIu64 " is beyond the segment's reserve", offset);
	rc = channel_room(inspector, &room);
	if (rc < 0)
		return rc;
	*ret_site = (struct channel_site){
		.parts[0] = {.memory = inspector->memory,
			     .at = header->data_offset + offset,
			     .room = room > offset ? room - offset : 0,
			     .slots = header->roster_slots},
		.lives_known = !inspector->other_system,
	};
	return 0;
}

int stoa_inspect_find_channel(const struct stoa_inspector *inspector, uint64_t from, uint64_t *ret_offset,
			      uint64_t *ret_length)
{
	struct channel_site site;
	uint64_t at, end;
	int rc;

	if (!inspector)
		return error_set(-STOA_EINVAL, "no inspector was given");
	if (!ret_offset || !ret_length)
		return error_set(-STOA_EINVAL, "no place for what is found was given");
	rc = inspect_channel_site(inspector, 0, &site);
	if (rc)
		return rc;
	end = site.parts[0].room;
	for (at = from < end ? (from + OS_PAGE - 1) & ~(uint64_t)(OS_PAGE - 1) : end; at < end; at += OS_PAGE) {
		struct channel_part part = site.parts[0];

		part.at += at;
		part.room -= at;
		rc = channel_look_mark(&part, ret_length);
		if (rc < 0)
			return rc;
		if (rc) {
			*ret_offset = at;
			return 0;
		}
	}
	return error_set(-STOA_ENOENT, "no channel is at or behind offset %" PRIu64, from);
}

int stoa_inspect_channel(const struct stoa_inspector *inspector, uint64_t offset, struct stoa_channel_stat *ret_stat)
{
	struct channel_site site;
	int rc;

	if (!inspector)
		return error_set(-STOA_EINVAL, "no inspector was given");
	if (!ret_stat)
		return error_set(-STOA_EINVAL, "no place for the statistics was given");
	rc = inspect_channel_site(inspector, offset, &site);
	return rc ? rc : channel_stat(&site, ret_stat);
}

/* ---- pagers ---- */

int inspect_pager_site(const struct stoa_inspector *inspector, struct pager_site *ret_site)
{
	const struct segment_header *header = &inspector->header;

	if (inspector->header_result < 0)
		return error_set(-STOA_EFORMAT, "its header is damaged, so nothing tells where a pager would be");
	if (header->kind != SEGMENT_KIND_PAGER)
		return error_set(-STOA_EFORMAT, "it is no pager");
	*ret_site = (struct pager_site){
		.memory = inspector->memory,
		.at = header->data_offset,
		.room = header->reserve,
		.slots = header->roster_slots,
		.lives_known = !inspector->other_system,
	};
	return 0;
}

int stoa_inspect_pager(const struct stoa_inspector *inspector, struct stoa_pager_stat *ret_stat)
{
	struct pager_site site;
	int rc;

	if (!inspector)
		return error_set(-STOA_EINVAL, "no inspector was given");
	if (!ret_stat)
		return error_set(-STOA_EINVAL, "no place for the statistics was given");
	rc = inspect_pager_site(inspector, &site);
	return rc ? rc : pager_stat(&site, ret_stat);
}
