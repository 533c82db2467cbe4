/* SPDX-License-Identifier: MIT */
/* What survivors could see of a victim: hashes of the shared bytes, the names and the robust list. Used by stepper.c only. */
#ifndef TESTS_STEPPER_WATCH_H
#define TESTS_STEPPER_WATCH_H

#include <stdint.h>
#include <sys/types.h>

#include "stepper.h"

#define WATCH_FILES_MAX 32

struct watch {
	pid_t pid;
	const struct step_world *world;
	uint64_t robust_head;
	int files[WATCH_FILES_MAX];  /* shared memory that the victim has open */
	void *maps[WATCH_FILES_MAX]; /* of each, or MAP_FAILED */
	off_t lengths[WATCH_FILES_MAX];
	unsigned file_count;
};

void watch_begin(struct watch *watch, pid_t pid, const struct step_world *world);
void watch_end(struct watch *watch);

/* After a system call: descriptors may have come or gone. */
void watch_refresh(struct watch *watch);

uint64_t watch_shared(const struct watch *watch);
uint64_t watch_names(const struct watch *watch);
uint64_t watch_robust(const struct watch *watch);

#endif
