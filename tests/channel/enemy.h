/* SPDX-License-Identifier: MIT */
/* What an enemy with one role of a granted channel or stream writes: random and chosen values, anywhere in its part and its side's roster. */
#ifndef TESTS_CHANNEL_ENEMY_H
#define TESTS_CHANNEL_ENEMY_H

#include <channel/grant.h>

static inline uint64_t enemy_value(uint64_t *random, uint64_t present)
{
	static const uint64_t values[] = {
		0, 1, 63, 64, UINT64_MAX, UINT64_MAX - 63, INT64_MAX, 4095, UINT64_C(1) << 38};
	uint64_t choice = test_random(random);

	switch (choice % 6) {
	case 0: return values[(choice >> 8) % CC_COUNT(values)];
	case 1: return present ^ UINT64_C(1) << ((choice >> 8) % 64);
	case 2: return present + ((choice >> 8) % 256 - 128) * CHANNEL_RECORD_UNIT;
	case 3: return (choice >> 8) % 4 << 32 | (choice >> 10) % 4 << 14 | (choice >> 12) % 8;  /* an identity */
	case 4: return (choice >> 8) % 4 << 32 | (uint64_t)OS_LIFE_WAITERS | (choice >> 10) % 4; /* a life */
	default: return choice;
	}
}

/* Lives and relay; who sleeps and on what; anything. */
static inline void enemy_strike(struct stoa_segment *mine, const struct roster *roster, uint64_t *random)
{
	uint64_t choice = test_random(random), at = (choice >> 8) % stoa_segment_committed(mine) / 8 * 8;
	unsigned char *target = bytes_of(mine) + at;

	if (choice % 8 == 0)
		target = (unsigned char *)roster_page(roster, 1 + (uint32_t)(choice >> 8) % 4) + 4032 +
			 (choice >> 16) % 8 * 8;
	else if (choice % 8 < 5)
		target = bytes_of(mine) + CHANNEL_BELLS + (choice >> 8) % 2048 / 8 * 8;
	store_rlx((_Atomic uint64_t *)(void *)target,
		  enemy_value(random, load_rlx((_Atomic uint64_t *)(void *)target)));
}

#endif
