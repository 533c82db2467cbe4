/* SPDX-License-Identifier: MIT */
/*
 * Comparing a named object, or what was placed in one, with what it may be. Every value is copied once from the object; nothing found in it is followed. What
 * can be seen is what a crash at any instruction leaves, and that is never damage: only what no sequence of ours writes is.
 */
#include <inspect/inspect.h>

#include <base/error.h>
#include <base/signal.h>
#include <inttypes.h>
#include <roster/roster.h>
#include <segment/segment.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sync/object.h>

struct checking {
	const struct stoa_inspector *inspector;
	void (*report)(void *argument, int severity, const char *sentence);
	void *argument;
	int damages;
	bool ended; /* enough: an object of random bytes would give thousands of lines */
};

#define DAMAGES_MAX 50

static void tell(struct checking *checking, int severity, const char *format, ...) CC_PRINTF(3, 4);

static void tell(struct checking *checking, int severity, const char *format, ...)
{
	char sentence[400];
	va_list arguments;

	checking->damages += severity == STOA_DAMAGE;
	if (checking->ended)
		return;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	checking->report(checking->argument, severity, sentence);
	if (checking->damages < DAMAGES_MAX)
		return;
	checking->report(checking->argument, STOA_REMARK, "there is more damage, which is not listed");
	checking->ended = true;
}

/* Bytes that nobody ever writes. */
static void check_unused(struct checking *checking, const uint8_t *page, size_t from, size_t to, const char *what,
			 uint32_t slot)
{
	size_t at = from;

	while (at < to && page[at] == 0)
		at++;
	if (at < to && slot)
		tell(checking, STOA_DAMAGE, "%s %" PRIu32 ": byte %zu is not used and should be zero", what, slot, at);
	else if (at < to)
		tell(checking, STOA_DAMAGE, "%s: byte %zu is not used and should be zero", what, at);
}

static int check_header(struct checking *checking)
{
	const struct stoa_inspector *inspector = checking->inspector;
	uint8_t page[OS_PAGE];
	int rc;

	if (inspector->header_result < 0) {
		struct segment_header header;

		/* Once more, for the sentence; it may be in the record, which is gone. */
		rc = inspector->raw ? inspector->header_result : header_read(inspector->memory, &header);
		tell(checking, STOA_DAMAGE, "header: %s",
		     rc < 0 && !inspector->raw ? stoa_error_detail() : "the record is damaged");
		return 0;
	}
	if (inspector->raw) {
		tell(checking, STOA_REMARK,
		     "raw: all its bytes are data, and only the record beside it can be checked");
		return 0;
	}
	rc = inspect_read(inspector, 0, page, sizeof(page));
	if (rc < 0)
		return rc;
	check_unused(checking, page, sizeof(struct segment_header), sizeof(page), "header", 0);
	return 0;
}

static int check_length(struct checking *checking)
{
	const struct segment_header *header = &checking->inspector->header;
	struct os_memory_info info;
	int rc = os_memory_info(checking->inspector->memory, &info);

	if (rc < 0)
		return rc;
	if (info.length < header->data_offset)
		tell(checking, STOA_DAMAGE,
		     "length: the object ends at byte %" PRIu64 ", before its data at %" PRIu64
		     ": somebody cut it, and touching the rest raises SIGBUS",
		     info.length, header->data_offset);
	else if (info.length - header->data_offset > header->reserve)
		tell(checking, STOA_DAMAGE, "length: %" PRIu64 " bytes of data are more than the reserve of %" PRIu64,
		     info.length - header->data_offset, header->reserve);
	else if ((info.length - header->data_offset) % OS_PAGE && !(header->flags & STOA_RAW))
		tell(checking, STOA_DAMAGE, "length: %" PRIu64 " bytes of data are not whole pages",
		     info.length - header->data_offset);
	if (info.owner != header->owner)
		tell(checking, STOA_DAMAGE, "owner: the header says user %" PRIu32 ", the system %" PRIu32,
		     header->owner, info.owner);
	return 0;
}

static void check_claims(struct checking *checking, uint32_t slot, const uint64_t *words)
{
	uint32_t state = (uint32_t)words[0];
	uint32_t left = 0;

	if (state > ROSTER_CLAIMS_COMMITTED)
		tell(checking, STOA_DAMAGE, "roster slot %" PRIu32 ": claim state %" PRIu32 " does not exist", slot,
		     state);
	for (unsigned i = 1; i <= ROSTER_CLAIMS_MAX; i++) {
		left += words[i] != 0;
		if (words[i] && (words[i] - 1 >= checking->inspector->header.reserve || (words[i] - 1) % 8))
			tell(checking, STOA_DAMAGE,
			     "roster slot %" PRIu32 ": it claims an object at offset %" PRIu64 ", where none can be",
			     slot, words[i] - 1);
	}
	if (left && state != ROSTER_CLAIMS_NONE)
		tell(checking, STOA_REMARK,
		     "roster slot %" PRIu32 ": an unfinished wait for all names %" PRIu32 " objects", slot, left);
}

static void check_life(struct checking *checking, uint32_t slot, uint64_t life)
{
	uint32_t id = (uint32_t)life & OS_LIFE_ID;

	if (id && life & OS_LIFE_DIED)
		tell(checking, STOA_DAMAGE, "roster slot %" PRIu32 ": thread %" PRIu32 " is there and dead at once",
		     slot, id);
	if (id && life >> 32 == 0)
		tell(checking, STOA_DAMAGE,
		     "roster slot %" PRIu32 ": thread %" PRIu32 " has generation 0, which nobody gets", slot, id);
}

static int check_slot(struct checking *checking, uint32_t slot)
{
	uint64_t words[OS_PAGE / 8];
	int rc = inspect_read(checking->inspector, (uint64_t)slot * OS_PAGE, words, sizeof(words));
	const uint8_t *page = (const uint8_t *)words;

	if (rc < 0)
		return rc;
	check_claims(checking, slot, words);
	check_unused(checking, page, offsetof(struct roster_page, unused_264), OS_LIFE_OFFSET, "roster slot", slot);
	check_life(checking, slot, words[OS_LIFE_OFFSET / 8]);
	check_unused(checking, page, offsetof(struct roster_page, unused_4080), OS_PAGE, "roster slot", slot);
	return 0;
}

/* Who a mutex word or a claim names: 1 alive or not to be told, 0 dead, -1 no such place (told). */
static int check_holder(struct checking *checking, uint32_t low, const char *what)
{
	uint32_t slot = low & (uint32_t)ROSTER_SLOT_MASK;
	uint32_t generation = (low >> ROSTER_GENERATION16_SHIFT) & 0xffff;
	uint64_t life = 0;

	if (slot < 1 || slot > checking->inspector->header.roster_slots ||
	    inspect_life(checking->inspector, slot, &life) < 0) {
		tell(checking, STOA_DAMAGE, "%s: it names roster slot %" PRIu32 ", which does not exist", what, slot);
		return -1;
	}
	return checking->inspector->other_system ||
	       ((life & OS_LIFE_ID) && !(life & OS_LIFE_DIED) && ((life >> 32) & 0xffff) == generation);
}

static void check_mutex(struct checking *checking, uint64_t word)
{
	uint64_t owner = word & ~MUTEX_WAITERS;

	if (mutex_is_free(word))
		return;
	if (((owner >> 32) & 0xffff) != ((owner >> ROSTER_GENERATION16_SHIFT) & 0xffff) || owner & (UINT64_C(1) << 30))
		tell(checking, STOA_DAMAGE, "mutex: the two halves of its word %016" PRIx64 " name different owners",
		     word);
	else if (check_holder(checking, (uint32_t)owner & ~(UINT32_C(3) << 30), "mutex") == 0)
		tell(checking, STOA_REMARK, "mutex: its owner is dead; the next to lock it is told so");
}

/* An automatic event that is set while a claim waits for its decision counts one more, see ARCHITECTURE.md. */
static void check_signal(struct checking *checking, uint64_t word, uint32_t kind, uint32_t maximum, const char *what)
{
	uint64_t count = signal_count(word);
	uint64_t claim = word & SIGNAL_CLAIM_MASK;
	uint64_t most = maximum + (claim && kind == OBJECT_EVENT_AUTO ? UINT64_C(1) : 0);

	if (maximum == 0 || maximum > SIGNAL_COUNT_MAX)
		tell(checking, STOA_DAMAGE, "%s: its maximum is %" PRIu32, what, maximum);
	else if (count > most)
		tell(checking, STOA_DAMAGE, "%s: its count %" PRIu64 " is above its maximum %" PRIu32, what, count,
		     maximum);
	if (word != signal_with(word, count, claim))
		tell(checking, STOA_DAMAGE, "%s: its word %016" PRIx64 " says available and unavailable at once", what,
		     word);
	if (claim && check_holder(checking, (uint32_t)claim, what) == 0)
		tell(checking, STOA_REMARK, "%s: a dead process claims it; whoever meets it next resolves that", what);
}

static void tell_of_part(void *argument, int severity, const char *sentence)
{
	tell(argument, severity, "%s", sentence);
}

static int check_channel(struct checking *checking, uint64_t offset)
{
	struct channel_site site;
	int rc = inspect_channel_site(checking->inspector, offset, &site);

	return rc ? rc : channel_valid(&site, tell_of_part, checking);
}

/* What follows the word of a mutex, event or semaphore. */
struct sync_object {
	uint64_t word;
	uint32_t kind;
	uint32_t maximum;
};

static int check_pager(struct checking *checking)
{
	const struct segment_header *header = &checking->inspector->header;
	struct sync_object mutex;
	struct pager_site site;
	int rc = inspect_pager_site(checking->inspector, &site);

	if (!rc)
		rc = pager_valid(&site, tell_of_part, checking);
	if (!rc)
		rc = inspect_read(checking->inspector,
				  header->data_offset + offsetof(struct pager_shared, cursors) +
					  offsetof(struct pager_cursors, mutex),
				  &mutex, sizeof(mutex));
	if (rc)
		return rc;
	if (mutex.kind != OBJECT_MUTEX)
		tell(checking, STOA_DAMAGE, "mutex of the members: its mark is %08" PRIx32, mutex.kind);
	else
		check_mutex(checking, mutex.word);
	return 0;
}

/* The one object of a named mutex, event, semaphore, channel or pager. */
static int check_object(struct checking *checking)
{
	static const struct {
		uint32_t first, second;
		const char *name;
	} kinds[] = {
		[SEGMENT_KIND_MUTEX] = {OBJECT_MUTEX, OBJECT_MUTEX, "mutex"},
		[SEGMENT_KIND_EVENT] = {OBJECT_EVENT_AUTO, OBJECT_EVENT_MANUAL, "event"},
		[SEGMENT_KIND_SEMAPHORE] = {OBJECT_SEMAPHORE, OBJECT_SEMAPHORE, "semaphore"},
	};
	const struct segment_header *header = &checking->inspector->header;
	struct sync_object object;
	int rc;

	if (header->kind == SEGMENT_KIND_CHANNEL)
		return check_channel(checking, 0);
	if (header->kind == SEGMENT_KIND_PAGER)
		return check_pager(checking);
	if (header->kind == SEGMENT_KIND_DATA)
		return 0;
	rc = inspect_read(checking->inspector, header->data_offset, &object, sizeof(object));
	if (rc < 0)
		return rc;
	if (object.kind != kinds[header->kind].first && object.kind != kinds[header->kind].second)
		tell(checking, STOA_DAMAGE, "%s: its mark is %08" PRIx32, kinds[header->kind].name, object.kind);
	else if (header->kind == SEGMENT_KIND_MUTEX)
		check_mutex(checking, object.word);
	else
		check_signal(checking, object.word, object.kind, object.maximum, kinds[header->kind].name);
	return 0;
}

static int check_arguments(const struct checking *checking)
{
	if (!checking->inspector)
		return error_set(-STOA_EINVAL, "no inspector was given");
	return checking->report ? 0 : error_set(-STOA_EINVAL, "no function to report to was given");
}

int stoa_inspect_check_channel(const struct stoa_inspector *inspector, uint64_t offset,
			       void (*report)(void *argument, int severity, const char *sentence), void *argument)
{
	struct checking checking = {.inspector = inspector, .report = report, .argument = argument};
	int rc = check_arguments(&checking);

	if (!rc)
		rc = check_channel(&checking, offset);
	return rc < 0 ? rc : checking.damages;
}

int stoa_inspect_check(const struct stoa_inspector *inspector,
		       void (*report)(void *argument, int severity, const char *sentence), void *argument)
{
	struct checking checking = {.inspector = inspector, .report = report, .argument = argument};
	int rc = check_arguments(&checking);

	if (rc)
		return rc;
	if (inspector->left)
		tell(&checking, STOA_REMARK, "its users are dead; who makes or opens the name next removes it");
	if (inspector->other_system)
		tell(&checking, STOA_REMARK,
		     "its threads are those of another operating system: who of them lives cannot be told");
	rc = check_header(&checking);
	if (rc < 0 || inspector->header_result < 0)
		return rc < 0 ? rc : checking.damages;
	rc = check_length(&checking);
	for (uint32_t slot = 1; rc == 0 && slot <= inspector->header.roster_slots; slot++)
		rc = check_slot(&checking, slot);
	if (rc == 0)
		rc = check_object(&checking);
	return rc < 0 ? rc : checking.damages;
}
