/* SPDX-License-Identifier: MIT */
/*
 * Limits of the process, which programs started from here inherit. Uses POSIX limits.
 *
 * The one hard idea: a remedy must work for who reads it. A soft limit can be raised up to the hard one by its shell; a hard limit by
 * root only, and not in every container: whether this process may is found by trying, on itself.
 */
#include "doctor_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "../../tool.h"

#define FILES_ENOUGH 1024
#define FILES_GOOD 4096

struct limit_kind {
	unsigned resource; /* the system header's enum */
	char letter;       /* of ulimit */
	const char *name;  /* in prlimit(1) and limits.conf(5) */
};

/* Tried on this process, which ends soon; put back. */
static bool may_raise_hard(const struct limit_kind *kind, const struct rlimit *now, rlim_t wanted)
{
	const struct rlimit raised = {now->rlim_cur, wanted};

	return setrlimit(kind->resource, &raised) == 0 && setrlimit(kind->resource, now) == 0;
}

static void raise_remedy(struct doctor_finding *finding, const struct limit_kind *kind, const struct rlimit *now,
			 rlim_t wanted)
{
	char amount[24] = "unlimited";

	if (wanted != RLIM_INFINITY)
		snprintf(amount, sizeof(amount), "%" PRIu64, (uint64_t)wanted);
	if (now->rlim_max >= wanted) /* RLIM_INFINITY is the greatest number */
		remedy(finding, "ulimit -S -%c %s", kind->letter, amount);
	else if (may_raise_hard(kind, now, wanted))
		remedy(finding, "ulimit -%c %s", kind->letter, amount);
	else
		remedy(finding,
		       "the hard limit is as low; only root raises it. This shell's: sudo prlimit --pid $$ --%s=%s; of all "
		       "later logins: a line '* - %s %s' in /etc/security/limits.conf",
		       kind->name, amount, kind->name, amount);
}

void probe_descriptors(struct doctor_finding *finding)
{
	static const struct limit_kind kind = {RLIMIT_NOFILE, 'n', "nofile"};
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
		found(finding, DOCTOR_WARN, "%s", strerror(errno));
		return;
	}
	found(finding, limit.rlim_cur < FILES_ENOUGH ? DOCTOR_WARN : DOCTOR_OK, "%" PRIu64 " open files",
	      (uint64_t)limit.rlim_cur);
	if (limit.rlim_cur >= FILES_ENOUGH)
		return;
	so(finding, "each open segment takes up to two descriptors; then STOA_ELIMIT");
	raise_remedy(finding, &kind, &limit,
		     limit.rlim_max >= FILES_ENOUGH && limit.rlim_max < FILES_GOOD ? limit.rlim_max : FILES_GOOD);
}

/* A limit in bytes that is best not there. */
static void probe_bytes(struct doctor_finding *finding, const struct limit_kind *kind, const char *consequence)
{
	struct rlimit limit;
	char text[SIZE_TEXT];

	if (getrlimit(kind->resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
		found(finding, DOCTOR_OK, "unlimited");
		return;
	}
	found(finding, DOCTOR_WARN, "%s", size_text(limit.rlim_cur, text));
	so(finding, "%s", consequence);
	raise_remedy(finding, kind, &limit, RLIM_INFINITY);
}

void probe_file_size(struct doctor_finding *finding)
{
	static const struct limit_kind kind = {RLIMIT_FSIZE, 'f', "fsize"};

	probe_bytes(finding, &kind, "it counts for memory objects too: committing beyond it is STOA_ELIMIT");
}

void probe_address_space(struct doctor_finding *finding)
{
	static const struct limit_kind kind = {RLIMIT_AS, 'v', "as"};

	probe_bytes(finding, &kind,
		    "a segment maps its whole reserve: larger reserves fail with STOA_ENOMEM or STOA_ELIMIT");
}

void probe_map_count(struct doctor_finding *finding)
{
	uint64_t maps;

	if (!doctor_read_number("/proc/sys/vm/max_map_count", &maps)) {
		found(finding, DOCTOR_WARN, "cannot be read");
		return;
	}
	found(finding, maps < 65530 ? DOCTOR_WARN : DOCTOR_OK, "%" PRIu64 " maps per process", maps);
	if (maps < 65530)
		so(finding, "stoa_segment_protect() on many single pages ends with STOA_ELIMIT");
	if (maps < 65530)
		remedy(finding, "sudo sysctl vm.max_map_count=262144");
}
