/* SPDX-License-Identifier: MIT */
/*
 * What this system offers to stoa: the system-specific half of `stoa doctor`. Implemented once per system under
 * tools/os/<system>/. Probes by asking and trying on memory of its own; changes nothing.
 */
#ifndef TOOLS_OS_DOCTOR_H
#define TOOLS_OS_DOCTOR_H

#include <stddef.h>

enum doctor_level {
	DOCTOR_OK,   /* as it should be */
	DOCTOR_WARN, /* works, with a consequence worth knowing */
	DOCTOR_OFF,  /* not there; stoa does without, or refuses what needs it */
};

/* One finding. Texts are "" where there is nothing to say. */
struct doctor_finding {
	const char *topic;
	enum doctor_level level;
	char state[160];       /* what was found */
	char consequence[320]; /* what follows from it */
	char remedy[320];      /* how to change it: a command, or a sentence */
};

/* Probe number `i` of the list, from 0: fills *ret_finding, or returns 0 behind the last. */
int doctor_probe(size_t i, struct doctor_finding *ret_finding);

#endif
