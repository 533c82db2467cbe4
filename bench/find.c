/* SPDX-License-Identifier: MIT */
/* `stoa find` against the system's own search over one tree, both as programs with their output thrown away. Uses libc only. */
#include "bench.h"

#include <inttypes.h>
#include <string.h>

#include "os/host.h"
#include "os/peer.h"
#include "os/rival.h"

struct search {
	struct bench *bench;
	struct rival_search rival;
};

/* `stoa find TREE`, or the rival; complaints about unreadable folders are not our subject. */
static int start(struct search *search, bool ours, unsigned how, struct peer *ret_peer)
{
	const char *const find[] = {"stoa", "find", search->rival.tree, NULL};
	int error = peer_start(ret_peer, ours ? NULL : search->rival.program, ours ? find : search->rival.arguments,
			       how | PEER_QUIET);

	return error ? bench_fail_system(search->bench, ours ? "stoa find" : search->rival.name, error) : 0;
}

/* Exit status 1 of both means that some folder could not be read. */
static int end(struct search *search, bool ours, struct peer *peer)
{
	const char *who = ours ? "stoa find" : search->rival.name;
	int status = peer_end(peer, false);

	if (status < 0)
		return bench_fail(search->bench, "%s was killed", who);
	return status > 1 ? bench_fail(search->bench, "%s ended with status %d", who, status) : 0;
}

static int run_program(struct search *search, bool ours, struct series *samples)
{
	uint64_t begin = host_now();
	struct peer peer;
	int status = start(search, ours, 0, &peer);

	if (!status)
		status = end(search, ours, &peer);
	if (!status)
		series_add(samples, (double)(host_now() - begin) * 1e-6);
	return status;
}

/* What a program printed, without regard to order: bytes and a sum over all of them. */
struct digest {
	uint64_t bytes;
	uint64_t sum;
};

static int digest_program(struct search *search, bool ours, struct digest *ret_digest)
{
	static unsigned char buffer[65536];
	struct peer peer;
	size_t length;
	int status = start(search, ours, PEER_WRITES, &peer);

	memset(ret_digest, 0, sizeof(*ret_digest));
	if (status)
		return status;
	while ((length = peer_read(&peer, buffer, sizeof(buffer))) > 0) {
		for (size_t i = 0; i < length; i++)
			ret_digest->sum += (uint64_t)buffer[i] * buffer[i];
		ret_digest->bytes += length;
	}
	return end(search, ours, &peer);
}

/* A search that prints something else may well be faster. A tree that changes meanwhile gets a second chance, and a third. */
static int check_same(struct search *search)
{
	struct digest ours, theirs;
	int status = 0;

	for (unsigned chance = 0; !status && chance < 3; chance++) {
		status = digest_program(search, true, &ours);
		if (!status)
			status = digest_program(search, false, &theirs);
		if (!status && ours.bytes == theirs.bytes && ours.sum == theirs.sum)
			return 0;
	}
	if (status)
		return status;
	return bench_fail(search->bench,
			  "stoa find and %s print different things: %" PRIu64 " against %" PRIu64 " bytes",
			  search->rival.name, ours.bytes, theirs.bytes);
}

static int search_subject(void *context, struct series *samples)
{
	return run_program(context, true, samples);
}

static int search_baseline(void *context, struct series *samples)
{
	return run_program(context, false, samples);
}

static int run_find(struct bench *bench)
{
	struct search search = {.bench = bench};
	int status;

	rival_search_choose(bench->quick, &search.rival);
	if (search.rival.missing)
		return bench_skip(bench, "%s", search.rival.missing);
	bench->baseline = search.rival.name;
	status = check_same(&search);
	return status ? status : bench_pairs(bench, search_subject, search_baseline, &search);
}

const struct bench_case bench_find_cases[] = {
	{rival_search_case, "ms", rival_search_name, rival_search_about, {.high = 1.0}, run_find, 0, NULL},
	{0},
};
