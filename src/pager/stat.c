/* SPDX-License-Identifier: MIT */
/*
 * A pager in numbers. All follows from words that members keep in its memory. What is there is found by way
 * of the frames, which are few, and not by all words; two frames that name one block, as a death may leave them, count once. Uses look.
 */
#include <pager/look.h>
#include <pager/pager.h>

_Static_assert(STOA_PAGER_LATENCIES == PAGER_HISTOGRAM, "latencies are passed through");

/* ---- blocks ---- */

struct blocks {
	const struct pager_look *look;
	uint64_t *set;
	struct stoa_pager_stat *stat;
};

static int note_frame(void *argument, uint32_t frame, uint64_t held)
{
	struct blocks *blocks = argument;
	uint64_t block = (held & FRAME_BLOCK) - 1;

	(void)frame;
	if (held & FRAME_BLOCK && block < blocks->look->plan.blocks)
		blocks->set[block / 64] |= UINT64_C(1) << block % 64;
	return 0;
}

static int count_block(void *argument, uint64_t block, uint64_t word)
{
	struct stoa_pager_stat *stat = ((struct blocks *)argument)->stat;
	enum pager_state state = word_state(word);

	(void)block;
	stat->clean += !word_is_busy(word) && state == BLOCK_CLEAN;
	stat->dirty += !word_is_busy(word) && state == BLOCK_DIRTY;
	stat->poisoned += !word_is_busy(word) && state == BLOCK_POISONED;
	stat->busy += word_is_busy(word) || state == BLOCK_LEFT;
	return 0;
}

static int count_blocks(const struct pager_look *look, struct stoa_pager_stat *stat)
{
	struct blocks blocks = {look, pager_look_set(look), stat};
	int rc;

	if (!blocks.set)
		return -STOA_ENOMEM;
	rc = pager_look_frames(look, note_frame, &blocks);
	if (!rc)
		rc = pager_look_words(look, blocks.set, count_block, &blocks);
	stat->resident = stat->clean + stat->dirty + stat->busy;
	os_free(blocks.set);
	return rc;
}

/* ---- members ---- */

static uint64_t seat_offset(uint32_t place)
{
	return offsetof(struct pager_shared, seats) + (uint64_t)place * sizeof(struct pager_seat);
}

static int count_pins(const struct pager_look *look, uint32_t place, uint64_t used, uint64_t *ret_pinned)
{
	struct pager_pin pins[STOA_PINS_MAX];
	uint64_t sum = 0;
	int rc;

	used = used < STOA_PINS_MAX ? used : STOA_PINS_MAX;
	rc = pager_look_read(look, seat_offset(place) + offsetof(struct pager_seat, pins), pins, used * sizeof(*pins));
	if (rc)
		return rc;
	for (uint64_t i = 0; i < used; i++) {
		uint64_t count = load_rlx(&pins[i].first) ? load_rlx(&pins[i].count) : 0;

		sum += count < look->plan.blocks ? count : look->plan.blocks;
	}
	*ret_pinned = sum;
	return 0;
}

/* What a seat begins with. */
struct counts {
	uint64_t counters[PAGER_COUNTERS];
	uint64_t histogram[PAGER_HISTOGRAM];
	uint64_t pins_used;
	uint64_t server; /* the pager's */
};
#define COUNTS_READ offsetof(struct counts, server)
_Static_assert(COUNTS_READ == offsetof(struct pager_seat, pins_used) + sizeof(uint64_t), "as the seat");

static void add_counts(const struct counts *counts, struct stoa_pager_stat *stat)
{
	const uint64_t *from = counts->counters;

	stat->faults += from[PAGER_FAULTS];
	stat->fills += from[PAGER_FILLS];
	stat->fill_calls += from[PAGER_FILL_CALLS];
	stat->refaults += from[PAGER_REFAULTS];
	stat->opens += from[PAGER_OPENS];
	stat->writes += from[PAGER_WRITES];
	stat->write_calls += from[PAGER_WRITE_CALLS];
	stat->evictions += from[PAGER_EVICTIONS];
	stat->dropped += from[PAGER_DROPPED];
	stat->waits += from[PAGER_WAITS];
	stat->errors += from[PAGER_ERRORS];
	stat->repairs += from[PAGER_REPAIRS];
	stat->hits += from[PAGER_HITS];
	stat->misses += from[PAGER_MISSES];
	for (unsigned i = 0; i < PAGER_HISTOGRAM; i++)
		stat->latency[i] += counts->histogram[i];
}

static uint32_t flags_of(const struct pager_member *member, uint64_t server)
{
	uint64_t flags = load_rlx(&member->flags);

	return (flags & MEMBER_CLIENT ? STOA_MEMBER_CLIENT : 0) | (flags & MEMBER_CALLS ? STOA_MEMBER_CALLS : 0) |
	       (server && load_rlx(&member->identity) == server ? STOA_MEMBER_SERVES : 0);
}

static int stat_member(const struct pager_look *look, uint32_t place, const struct pager_member *member,
		       const struct counts *counts, struct stoa_pager_stat *stat)
{
	struct stoa_pager_member_stat *of = &stat->member[stat->members];
	int state = pager_look_identity(look, load_rlx(&member->identity)), rc;

	if (state < 0)
		return state;
	*of = (struct stoa_pager_member_stat){
		.process = load_rlx(&member->process),
		.place = place,
		.state = state == STOA_END_FREE ? STOA_END_DEAD : (uint32_t)state,
		.flags = flags_of(member, counts->server),
		.faults = counts->counters[PAGER_FAULTS],
		.fills = counts->counters[PAGER_FILLS],
	};
	rc = count_pins(look, place, counts->pins_used, &of->pinned);
	stat->members++;
	stat->members_alive += of->state == STOA_END_ALIVE;
	if (of->state != STOA_END_DEAD)
		stat->pinned += of->pinned;
	return rc;
}

static int stat_members(const struct pager_look *look, struct stoa_pager_stat *stat)
{
	struct pager_member members[STOA_PAGER_MEMBERS];
	uint64_t server = 0;
	int rc = pager_look_read(look, offsetof(struct pager_shared, members), members, sizeof(members));

	if (!rc)
		rc = pager_look_read(look,
				     offsetof(struct pager_shared, cursors) + offsetof(struct pager_cursors, server),
				     &server, sizeof(server));
	for (uint32_t place = 0; place < STOA_PAGER_MEMBERS && !rc; place++) {
		struct counts counts = {.server = server};

		rc = pager_look_read(look, seat_offset(place), &counts, COUNTS_READ);
		if (rc)
			break;
		add_counts(&counts, stat);
		if (load_rlx(&members[place].serial))
			rc = stat_member(look, place, &members[place], &counts, stat);
	}
	return rc;
}

/* ---- all together ---- */

int pager_stat(const struct pager_site *site, struct stoa_pager_stat *ret_stat)
{
	struct stoa_pager_stat stat = {0};
	struct pager_look look;
	int rc = pager_look(site, &look);

	if (rc)
		return rc;
	stat.size = look.header.size;
	stat.length = look.header.length;
	stat.block = look.header.block;
	stat.budget = look.header.frames;
	stat.way = look.header.way;
	stat.on_error = look.header.on_error;
	stat.rank = look.header.rank;
	stat.read_ahead = look.header.read_ahead;
	stat.dirty_age = look.header.dirty_age;
	stat.dirty_percent = look.header.dirty_percent;
	rc = count_blocks(&look, &stat);
	if (!rc)
		rc = stat_members(&look, &stat);
	if (!rc)
		*ret_stat = stat;
	return rc;
}

int stoa_pager_stat(const struct stoa_pager *pager, struct stoa_pager_stat *ret_stat)
{
	struct pager_site site;
	int rc = pager_check(pager);

	if (!rc && !ret_stat)
		rc = error_set(-STOA_EINVAL, "no place for the statistics was given");
	if (rc)
		return rc;
	site = pager_site(pager->control);
	return pager_stat(&site, ret_stat);
}

int stoa_pager_error(const struct stoa_pager *pager, uint64_t offset, int *ret_error)
{
	int rc = pager_check(pager);
	struct pager_look look;
	uint64_t word;

	if (!rc && !ret_error)
		rc = error_set(-STOA_EINVAL, "no place for the error was given");
	if (!rc)
		rc = pager_check_range(pager, offset, 1);
	if (rc)
		return rc;
	/* Read, as its word has no memory yet where nobody has touched anything. */
	look.site = pager_site(pager->control);
	rc = pager_look_read(&look,
			     (uint64_t)((unsigned char *)&pager->words[offset >> pager->shift] - pager->control->data),
			     &word, sizeof(word));
	if (rc)
		return rc;
	*ret_error = word_state(word) == BLOCK_POISONED || word_state(word) == BLOCK_FILLING
			     ? -(int)(word >> WORD_ERROR_SHIFT & 127)
			     : 0;
	return 0;
}
