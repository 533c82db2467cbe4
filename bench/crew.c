/* SPDX-License-Identifier: MIT */
/* Members of a case, as those who start them see them and as they see themselves; see crew.h. */
#include "crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/segment.h>
#include <stoa/transfer.h>

#include "os/host.h"
#include "tool.h"

static int start_one(struct crew *crew, struct bench *bench, unsigned cpu, const char *token)
{
	char number[16], place[16];
	const char *const arguments[] = {
		"stoa", "bench", "--member", bench->which->name, number, place, bench->quick ? "quick" : "full",
		token,  NULL,
	};
	int error;

	snprintf(number, sizeof(number), "%u", crew->count);
	snprintf(place, sizeof(place), "%u", cpu);
	error = peer_start(&crew->peers[crew->count], NULL, arguments, PEER_READS | PEER_WRITES);
	if (error)
		return bench_fail_system(bench, "starting another process", error);
	crew->count++;
	return 0;
}

int crew_start(struct crew *crew, struct bench *bench, struct stoa_segment *segment, unsigned count, unsigned first_cpu)
{
	char token[STOA_TOKEN_SIZE];
	int rc = stoa_segment_inherit(segment, token);
	int status = 0;

	crew->count = 0;
	if (rc || count > CREW_MAX)
		return bench_fail_result(bench, "stoa_segment_inherit", rc);
	for (unsigned i = 0; !status && i < count; i++)
		status = start_one(crew, bench, first_cpu + i, token);
	return status;
}

int crew_begin(struct crew *crew, unsigned job)
{
	for (unsigned i = 0; i < crew->count; i++)
		if (!peer_write(&crew->peers[i], &job, sizeof(job)))
			return -1;
	return 0;
}

static bool read_all(struct peer *peer, void *bytes, size_t length)
{
	size_t got = 0, more = 1;

	for (; more && got < length; got += more)
		more = peer_read(peer, (char *)bytes + got, length - got);
	return got == length;
}

int crew_end(struct crew *crew)
{
	int failed = 0;

	for (unsigned i = 0; i < crew->count; i++) {
		int result;

		if (!read_all(&crew->peers[i], &result, sizeof(result)))
			return -1;
		if (result)
			failed = -1;
	}
	return failed;
}

void crew_stop(struct crew *crew)
{
	for (; crew->count; crew->count--)
		(void)peer_end(&crew->peers[crew->count - 1], true); /* also one that is stuck in a job */
}

/* ---- in a member ---- */

int crew_serve(const struct crew_member *self, int (*work)(void *context, unsigned member, unsigned job), void *context)
{
	unsigned job;

	while (fread(&job, sizeof(job), 1, stdin) == 1) {
		int result = work(context, self->number, job);

		if (fwrite(&result, sizeof(result), 1, stdout) != 1 || fflush(stdout))
			break;
	}
	return TOOL_OK;
}

int crew_member(int count, char **words)
{
	struct crew_member self = {.bench.pairs = 1};
	uint64_t number, cpu;
	int rc;

	if (count != 5 || !number_parse(words[1], &number) || !number_parse(words[2], &cpu))
		return tool_misuse("bench: --member is for the bench itself");
	self.number = (unsigned)number;
	self.bench.which = bench_find_case(words[0]);
	self.bench.quick = strcmp(words[3], "quick") == 0;
	if (!self.bench.which || !self.bench.which->serve)
		return tool_misuse("bench: --member is for the bench itself");
	rc = stoa_segment_adopt(words[4], &self.segment);
	if (rc < 0)
		return tool_fail_result("bench: a member of the crew", rc);
	host_pin((unsigned)cpu);
	rc = self.bench.which->serve(&self);
	stoa_segment_close(self.segment);
	return rc;
}
