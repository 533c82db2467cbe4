/* SPDX-License-Identifier: MIT */
/*
 * Is a pager as it should be? What a death at any instruction leaves is in order; what no sequence of ours writes is damage.
 *
 * First each word by itself. Then words and frames with each other, which are of different moments while the pager is used: a block that is there
 * has a frame, the same one for as long as its word's version is the same. So one whose frame was not found is told only if it has none
 * between two reads of its word that give the same version. Uses look.
 */
#include <pager/look.h>

#include <base/error.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SUSPECTS_MAX 64

struct validation {
	struct pager_look look;
	void (*tell)(void *argument, int severity, const char *sentence);
	void *argument;
	uint64_t *named;       /* blocks that a frame names */
	uint64_t spare_frames; /* that name a block which is not there, or which another names */
	uint64_t held_by_dead;
	unsigned suspects; /* blocks that are there without a frame, as far as was looked */
	struct suspect {
		uint64_t block, word;
		bool named;
	} suspect[SUSPECTS_MAX];
};

static void tell(struct validation *validation, int severity, const char *format, ...) CC_PRINTF(3, 4);

static void tell(struct validation *validation, int severity, const char *format, ...)
{
	char sentence[300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	validation->tell(validation->argument, severity, sentence);
}

/* ---- what is not used ---- */

/* Bytes that nobody ever writes; at most a page of them. */
static int check_unused(struct validation *validation, uint64_t from, uint64_t to, const char *what)
{
	unsigned char bytes[OS_PAGE];
	int rc = pager_look_read(&validation->look, from, bytes, to - from);

	for (uint64_t i = 0; i < to - from && !rc; i++)
		if (bytes[i]) {
			tell(validation, STOA_DAMAGE, "%s: byte %" PRIu64 " is not used and should be zero", what,
			     from + i);
			break;
		}
	return rc;
}

#define UNUSED(base, type, field, what)                                    \
	check_unused(validation, (uint64_t)(base) + offsetof(type, field), \
		     (uint64_t)(base) + offsetof(type, field) + sizeof(((type *)0)->field), (what))

static int check_all_unused(struct validation *validation)
{
	uint64_t cursors = offsetof(struct pager_shared, cursors);
	int rc = UNUSED(0, struct pager_shared, pad_88, "header");

	if (!rc)
		rc = UNUSED(0, struct pager_shared, pad_4288, "cursors");
	if (!rc)
		rc = UNUSED(cursors, struct pager_cursors, pad_8, "cursors");
	if (!rc)
		rc = UNUSED(cursors, struct pager_cursors, pad_72, "cursors");
	if (!rc)
		rc = UNUSED(cursors, struct pager_cursors, pad_184, "cursors");
	for (uint64_t i = 0; i < STOA_PAGER_MEMBERS && !rc; i++) {
		rc = UNUSED(offsetof(struct pager_shared, members) + i * sizeof(struct pager_member),
			    struct pager_member, pad_40, "members");
		if (!rc)
			rc = UNUSED(offsetof(struct pager_shared, seats) + i * sizeof(struct pager_seat),
				    struct pager_seat, pad_568, "members' pages");
	}
	return rc;
}

/* ---- members ---- */

/* A pin is two words, which may be of two moments: it is damage if it is still the same. */
static int check_pin(struct validation *validation, uint32_t place, uint64_t at, const struct pager_pin *pin)
{
	uint64_t first = load_rlx(&pin->first), count = load_rlx(&pin->count), blocks = validation->look.plan.blocks;
	struct pager_pin again;
	int rc;

	if (!first || (first <= blocks && count <= blocks - (first - 1)))
		return 0;
	rc = pager_look_read(&validation->look, at, &again, sizeof(again));
	if (!rc && load_rlx(&again.first) == first && load_rlx(&again.count) == count)
		tell(validation, STOA_DAMAGE,
		     "member %" PRIu32 ": it pins %" PRIu64 " blocks from %" PRIu64 " on, of %" PRIu64, place, count,
		     first - 1, blocks);
	return rc;
}

static int check_seat(struct validation *validation, uint32_t place)
{
	uint64_t seat = offsetof(struct pager_shared, seats) + (uint64_t)place * sizeof(struct pager_seat), used;
	struct pager_pin pins[STOA_PINS_MAX];
	int rc = pager_look_read(&validation->look, seat + offsetof(struct pager_seat, pins_used), &used, sizeof(used));

	if (rc)
		return rc;
	if (used > STOA_PINS_MAX) {
		tell(validation, STOA_DAMAGE, "member %" PRIu32 ": %" PRIu64 " pins, at most %d", place, used,
		     STOA_PINS_MAX);
		used = STOA_PINS_MAX;
	}
	rc = pager_look_read(&validation->look, seat + offsetof(struct pager_seat, pins), pins, used * sizeof(*pins));
	for (uint64_t i = 0; i < used && !rc; i++)
		rc = check_pin(validation, place, seat + offsetof(struct pager_seat, pins) + i * sizeof(*pins),
			       &pins[i]);
	return rc;
}

static int check_members(struct validation *validation)
{
	struct pager_member members[STOA_PAGER_MEMBERS];
	int rc = pager_look_read(&validation->look, offsetof(struct pager_shared, members), members, sizeof(members));

	for (uint32_t place = 0; place < STOA_PAGER_MEMBERS && !rc; place++) {
		uint64_t identity = load_rlx(&members[place].identity), slot = identity & ROSTER_SLOT_MASK;

		rc = check_seat(validation, place);
		if (rc || !load_rlx(&members[place].serial))
			continue;
		if (slot < 1 || slot > validation->look.site.slots)
			tell(validation, STOA_DAMAGE,
			     "member %" PRIu32 ": it names roster slot %" PRIu64 ", which does not exist", place, slot);
		else if (pager_look_identity(&validation->look, identity) == STOA_END_DEAD)
			tell(validation, STOA_REMARK,
			     "member %" PRIu32 ": process %" PRIu64 " is dead; its place is for the next who joins",
			     place, load_rlx(&members[place].process));
	}
	return rc;
}

/* ---- frames ---- */

static int check_frame(void *argument, uint32_t frame, uint64_t held)
{
	struct validation *validation = argument;
	uint64_t block = (held & FRAME_BLOCK) - 1;

	if (!(held & FRAME_BLOCK))
		return 0;
	if (block >= validation->look.plan.blocks) {
		tell(validation, STOA_DAMAGE, "frame %" PRIu32 ": it names block %" PRIu64 ", which does not exist",
		     frame, block);
		return 0;
	}
	validation->spare_frames += validation->named[block / 64] >> block % 64 & 1;
	validation->named[block / 64] |= UINT64_C(1) << block % 64;
	return 0;
}

#define LINKS 1024 /* read at a time */

static int check_stack(struct validation *validation)
{
	uint32_t frames = validation->look.header.frames, links[LINKS];
	uint64_t head;
	int rc = pager_look_read(&validation->look,
				 offsetof(struct pager_shared, cursors) + offsetof(struct pager_cursors, stack), &head,
				 sizeof(head));

	if (!rc && (uint32_t)head > frames)
		tell(validation, STOA_DAMAGE, "free frames: the first is %" PRIu32 " of %" PRIu32, (uint32_t)head - 1,
		     frames);
	for (uint32_t from = 0; from < frames && !rc; from += LINKS) {
		uint32_t count = frames - from < LINKS ? frames - from : LINKS;

		rc = pager_look_read(&validation->look, validation->look.plan.links + from * sizeof(uint32_t), links,
				     count * sizeof(uint32_t));
		for (uint32_t i = 0; i < count && !rc; i++)
			if (links[i] > frames)
				tell(validation, STOA_DAMAGE, "frame %" PRIu32 ": its link leads to frame %" PRIu32,
				     from + i, links[i] - 1);
	}
	return rc;
}

/* ---- words ---- */

#define WORD_UNUSED (UINT64_C(1) << 30 | UINT64_C(1) << 39 | UINT64_C(1) << 51)

static bool is_of_holder(enum pager_state state)
{
	return state >= BLOCK_FILLING && state != BLOCK_LEFT;
}

/* What is wrong with it, or NULL. */
static const char *fault_of(const struct validation *validation, uint64_t word)
{
	enum pager_state state = word_state(word);
	uint64_t slot = word & WORD_HOLDER & ROSTER_SLOT_MASK;

	if (word & WORD_UNUSED)
		return "a bit that is not used";
	if (state >= BLOCK_STATES)
		return "a state that does not exist";
	if (is_of_holder(state) != word_is_busy(word))
		return word_is_busy(word) ? "a holder in a state that has none" : "no holder in a state that has one";
	if (word_is_busy(word) && (slot < 1 || slot > validation->look.site.slots))
		return "a holder that does not exist";
	if (word & WORD_WAITERS && !word_is_busy(word))
		return "somebody who waits for nobody";
	if (state == BLOCK_POISONED && !(word & WORD_ERROR))
		return "no error that poisons it";
	return NULL;
}

/* Does a thread that has it still run, as far as the short identity in the word tells? */
static bool holder_is_dead(const struct validation *validation, uint64_t word)
{
	uint64_t slot = word & ROSTER_SLOT_MASK, life = 0;

	if (!validation->look.site.lives_known ||
	    os_life_read(validation->look.site.memory, slot * OS_PAGE + OS_LIFE_OFFSET, &life))
		return false;
	return !(life & OS_LIFE_ID) || life & OS_LIFE_DIED ||
	       ((life >> 32 ^ (word & WORD_HOLDER) >> ROSTER_GENERATION16_SHIFT) & 0xffff);
}

static int check_word(void *argument, uint64_t block, uint64_t word)
{
	struct validation *validation = argument;
	bool named = validation->named[block / 64] >> block % 64 & 1;
	const char *fault = fault_of(validation, word);

	if (fault) {
		tell(validation, STOA_DAMAGE, "block %" PRIu64 ": its word %016" PRIx64 " has %s", block, word, fault);
		return 0;
	}
	if (word_is_busy(word))
		validation->held_by_dead += holder_is_dead(validation, word);
	else if (word_is_there(word) && !named && validation->suspects < SUSPECTS_MAX)
		validation->suspect[validation->suspects++] = (struct suspect){block, word, false};
	else if (!word_is_there(word) && word_state(word) != BLOCK_LEFT)
		validation->spare_frames += named;
	return 0;
}

static int find_suspects(void *argument, uint32_t frame, uint64_t held)
{
	struct validation *validation = argument;

	(void)frame;
	for (unsigned i = 0; i < validation->suspects; i++)
		if ((held & FRAME_BLOCK) == validation->suspect[i].block + 1)
			validation->suspect[i].named = true;
	return 0;
}

/* Those that have no frame in a second look either, and did not change meanwhile. */
static int check_suspects(struct validation *validation)
{
	const struct pager_look *look = &validation->look;
	int rc = validation->suspects ? pager_look_frames(look, find_suspects, validation) : 0;

	for (unsigned i = 0; i < validation->suspects && !rc; i++) {
		const struct suspect *suspect = &validation->suspect[i];
		uint64_t now;

		rc = pager_look_read(look, look->plan.words + suspect->block * sizeof(now), &now, sizeof(now));
		if (!rc && !suspect->named && now >> WORD_VERSION_SHIFT == suspect->word >> WORD_VERSION_SHIFT &&
		    word_state(now) == word_state(suspect->word))
			tell(validation, STOA_DAMAGE, "block %" PRIu64 ": it is there, and no frame names it",
			     suspect->block);
	}
	return rc;
}

/* ---- all together ---- */

static int check_blocks(struct validation *validation)
{
	int rc = pager_look_frames(&validation->look, check_frame, validation);

	if (!rc)
		rc = check_stack(validation);
	if (!rc)
		rc = pager_look_words(&validation->look, NULL, check_word, validation);
	if (!rc)
		rc = check_suspects(validation);
	if (rc)
		return rc;
	if (validation->held_by_dead)
		tell(validation, STOA_REMARK,
		     "%" PRIu64 " blocks are held by the dead; whoever meets one puts it right",
		     validation->held_by_dead);
	if (validation->spare_frames)
		tell(validation, STOA_REMARK,
		     "%" PRIu64 " frames name a block that is not there, or that another names; the clock's hand frees "
		     "them",
		     validation->spare_frames);
	return 0;
}

int pager_valid(const struct pager_site *site, void (*report)(void *argument, int severity, const char *sentence),
		void *argument)
{
	struct validation validation = {.tell = report, .argument = argument};
	int rc = pager_look(site, &validation.look);

	if (rc == -STOA_EFORMAT || rc == -STOA_EVERSION) {
		tell(&validation, STOA_DAMAGE, "pager: %s", stoa_error_detail());
		return 0;
	}
	if (rc)
		return rc;
	validation.named = pager_look_set(&validation.look);
	if (!validation.named)
		return -STOA_ENOMEM;
	rc = check_all_unused(&validation);
	if (!rc)
		rc = check_members(&validation);
	if (!rc)
		rc = check_blocks(&validation);
	os_free(validation.named);
	return rc;
}
