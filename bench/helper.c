/* SPDX-License-Identifier: MIT */
/* Answers of helpers: a 64-bit count and so many doubles, or a count of UINT64_MAX and a text of 256 bytes that says what went wrong. */
#include "helper.h"

#include <string.h>

#define ANSWER_MAX 65536u /* samples of a block */

static bool read_all(struct peer *peer, void *bytes, size_t length)
{
	size_t got = 0, more = 1;

	for (; more && got < length; got += more)
		more = peer_read(peer, (char *)bytes + got, length - got);
	return got == length;
}

int helper_answer(struct bench *bench, struct peer *helper, struct series *samples)
{
	char reason[256];
	uint64_t count;
	double value;

	if (!read_all(helper, &count, sizeof(count)))
		return bench_fail(bench, "the helper is gone");
	if (count == UINT64_MAX && read_all(helper, reason, sizeof(reason)))
		return bench_fail(bench, "%.*s", (int)strnlen(reason, sizeof(reason)), reason);
	for (uint64_t i = 0; i < count; i++) {
		if (count > ANSWER_MAX || !read_all(helper, &value, sizeof(value)) || !(value > 0))
			return bench_fail(bench, "the helper answered nonsense");
		series_add(samples, value);
	}
	return 0;
}
