/* SPDX-License-Identifier: MIT */
/*
 * Leases, taken, released, and looked at by the server. Uses base and os.
 *
 * A thread owns one line of each store's at a time. When all its words are taken it gives the line up as it is, and becomes the owner of another that has
 * a free one; so lines that are full, or whose words were since released, are nobody's. Owners are thread ids in private memory, under a lock; who
 * ended without giving up its line is found out when there is no other. A thread that gets an id again finds that line as its own.
 */
#include <store/lease.h>

#include <base/error.h>
#include <base/mutant.h>
#include <inttypes.h>

CC_THREAD struct lease_line lease_lines[LEASE_CACHE];

static _Atomic uint64_t serials;

int lease_open(struct store_leases *shared, uint32_t lines, const _Atomic uint32_t *fences, struct leases *ret_leases)
{
	static const _Atomic uint32_t always = 1;
	uint32_t *owners = os_allocate(lines * sizeof(*owners));
	uint64_t serial;

	if (!owners)
		return -STOA_ENOMEM;
	serial = add_rlx(&serials, 1) + 1;
	*ret_leases = (struct leases){.shared = shared,
				      .fences = os_barrier_join() ? fences : &always,
				      .lines = lines,
				      .slot = (uint32_t)(serial % LEASE_CACHE),
				      .serial = serial,
				      .made_in = os_fork_generation(),
				      .owners = owners};
	return 0;
}

void lease_close(struct leases *leases)
{
	os_free(leases->owners);
	leases->owners = NULL;
}

/* ---- lines ---- */

static uint32_t free_word(const _Atomic uint64_t *words, uint32_t from)
{
	for (uint32_t i = 0; i < LEASES_PER_LINE; i++) {
		uint32_t at = (from + i) % LEASES_PER_LINE;

		/* A1: who had it is done with the object; pairs with R1 in lease.h */
		if (!(load_acq(&words[at]) & LEASE_IN_USE))
			return at;
	}
	return LEASES_PER_LINE;
}

static bool has_free(const struct leases *leases, uint32_t line)
{
	return free_word(&leases->shared->words[(uint64_t)line * LEASES_PER_LINE], 0) < LEASES_PER_LINE;
}

/* The line that the thread owns already, if it has one that it no longer knows of; its number, or `lines`. */
static uint32_t own_line(const struct leases *leases, uint32_t self)
{
	uint32_t line = 0;

	while (line < leases->lines && leases->owners[line] != self)
		line++;
	return line;
}

/* A line with a free word that is nobody's; `ended`: or was somebody's who has ended. */
static uint32_t next_line(const struct leases *leases, bool ended)
{
	uint32_t alive = 0;

	for (uint32_t i = 0; i < leases->lines; i++) {
		uint32_t line = (leases->next + i) % leases->lines, owner = leases->owners[line];

		if (owner && (!ended || owner == alive))
			continue;
		if (owner && os_thread_runs(owner))
			alive = owner;
		else if (has_free(leases, line))
			return line;
	}
	return leases->lines;
}

/* The line that is to be `self`'s, or `lines`. */
static uint32_t choose_line(struct leases *leases, uint32_t self, const struct lease_line *before)
{
	uint32_t line = before->serial == leases->serial ? before->first / LEASES_PER_LINE : own_line(leases, self);

	if (line < leases->lines) {
		if (has_free(leases, line))
			return line;
		leases->owners[line] = 0;
	}
	line = next_line(leases, false);
	return line < leases->lines ? line : next_line(leases, true);
}

static CC_NOINLINE int find_line(struct leases *leases, struct lease_line *ret_line)
{
	uint32_t self = os_thread_id(), line;

	os_lock(&leases->lock);
	line = choose_line(leases, self, ret_line);
	if (line < leases->lines) {
		leases->owners[line] = self;
		leases->next = (line + 1) % leases->lines;
		if (line >= load_rlx(&leases->shared->reached))
			store_rlx(&leases->shared->reached, line + 1);
	}
	os_unlock(&leases->lock);
	if (line >= leases->lines) {
		ret_line->serial = 0; /* it gave up the one that it had */
		return error_set(-STOA_ELIMIT,
				 "all %" PRIu64 " leases of this process are in use, or kept for other threads",
				 (uint64_t)leases->lines * LEASES_PER_LINE);
	}
	*ret_line = (struct lease_line){.serial = leases->serial,
					.words = &leases->shared->words[(uint64_t)line * LEASES_PER_LINE],
					.first = line * LEASES_PER_LINE};
	return 0;
}

int lease_take_slowly(struct leases *leases, uint64_t lease, const _Atomic uint64_t *state, uint64_t expected,
		      uint32_t *ret_lease)
{
	struct lease_line *line = &lease_lines[leases->slot];
	uint32_t at = LEASES_PER_LINE;

	if (leases->made_in != load_rlx(&os_forks))
		return error_set(-STOA_ECLOSED,
				 "a store belongs to the process that opened it, not to its forked children");
	if (line->serial == leases->serial)
		at = free_word(line->words, line->next);
	if (at == LEASES_PER_LINE) {
		int rc = find_line(leases, line);

		if (rc < 0)
			return rc;
		at = free_word(line->words, 0); /* there is one: nobody else takes them */
	}
	lease |= ~load_rlx(&line->words[at]) & LEASE_FLIP;
	return lease_hold(leases, line, at, lease, state, expected, ret_lease);
}

/* ---- the server ---- */

bool lease_barrier(const _Atomic uint32_t *fences)
{
	if (MUTANT(LEASES_UNFENCED))
		return true;
	if (!load_rlx(fences))
		return os_barrier_impose();
	fence_seq(); /* pairs with that in lease_hold() */
	return true;
}

void lease_scan(const struct store_leases *shared, uint32_t lines, uint32_t entries,
		void (*visit)(void *argument, uint32_t entry, uint64_t generation, bool in_use), void *argument)
{
	uint32_t reached = load_rlx(&shared->reached);
	uint64_t count = (uint64_t)(reached < lines ? reached : lines) * LEASES_PER_LINE;

	for (uint64_t i = 0; i < count; i++) {
		/* A3: whoever held it is done; pairs with R1 in lease.h, R2 in lease.h */
		uint64_t word = load_acq(&shared->words[i]);
		uint32_t entry = (uint32_t)(word & LEASE_ENTRY_MASK);

		if (entry && entry < entries)
			visit(argument, entry, word >> 24 & STORE_GENERATION_MASK, (word & LEASE_IN_USE) != 0);
	}
}

void lease_used(const struct store_leases *shared, uint32_t lines, uint32_t entries, uint64_t *seen,
		void (*visit)(void *argument, uint32_t entry, uint64_t generation), void *argument)
{
	uint32_t reached = load_rlx(&shared->reached);
	uint64_t count = (uint64_t)(reached < lines ? reached : lines) * LEASES_PER_LINE;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t word = load_rlx(&shared->words[i]);
		uint32_t entry = (uint32_t)(word & LEASE_ENTRY_MASK);
		bool changed = (word & ~LEASE_IN_USE) != seen[i];

		seen[i] = word & ~LEASE_IN_USE;
		if (entry && entry < entries && (changed || word & LEASE_IN_USE))
			visit(argument, entry, word >> 24 & STORE_GENERATION_MASK);
	}
}
