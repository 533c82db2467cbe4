/* SPDX-License-Identifier: MIT */
/*
 * A pager of random bytes, looked at from outside: likely ones, with a header of ours, of which the input then overwrites words, here and there; the
 * header too, at the end. Whatever lies there, the numbers are such as can be, and nothing outside is read.
 */
#include <pager/look.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define ARENA (UINT64_C(1) << 19)

static void ignore(void *argument, int severity, const char *sentence)
{
	if (!sentence[0] || severity > STOA_DAMAGE)
		abort();
	(void)argument;
}

static void look(const struct stoa_segment *segment)
{
	const struct pager_site site = pager_site(segment);
	struct stoa_pager_stat stat;

	if (pager_valid(&site, ignore, NULL))
		abort();
	if (pager_stat(&site, &stat))
		return; /* its header was overwritten */
	if (stat.resident + stat.poisoned > stat.budget || stat.resident != stat.clean + stat.dirty + stat.busy ||
	    stat.members > STOA_PAGER_MEMBERS || stat.members_alive > stat.members)
		abort();
}

static struct stoa_segment *arena(void)
{
	static struct stoa_segment *segment;
	static const struct stoa_segment_options options = {.commit = ARENA};

	if (!segment && stoa_segment_create(NULL, ARENA, &options, &segment))
		abort();
	return segment;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct pager_header header = {.magic = PAGER_MAGIC,
						   .version = PAGER_VERSION,
						   .size = 256 * 4096,
						   .length = 256 * 4096,
						   .block = 4096,
						   .frames = 32,
						   .way = STOA_PAGER_INLINE};
	struct stoa_segment *segment = arena();
	unsigned char *at = stoa_segment_address(segment);

	memset(at, 0, ARENA);
	memcpy(at, &header, sizeof(header));
	/* Ten bytes: where, in words, from the begin or from the frames on; and what. */
	for (; length >= 10; bytes += 10, length -= 10) {
		uint64_t where = (uint64_t)bytes[0] << 8 | bytes[1];
		uint64_t from = where & 0x8000 ? sizeof(struct pager_shared) : sizeof(header);

		where = from + where % 0x8000 * 8;
		if (where <= ARENA - 8)
			memcpy(at + where, bytes + 2, 8);
	}
	look(segment);
	memcpy(at, bytes, length);
	look(segment);
	return 0;
}
