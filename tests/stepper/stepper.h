/* SPDX-License-Identifier: MIT */
/*
 * Proof by stepping: any process may die at any instruction, and the others go on. Uses libc and ptrace(2) only.
 *
 * An operation is run once, instruction by instruction, in a victim process. Between two instructions only three things can
 * make a different world for those who survive: the shared bytes, the names, and the words of the robust list (private, but
 * the kernel reads them when the thread ends). The instructions that change one of these, and the system calls, are
 * *interesting*. Then, for each point to prove, a fresh world is made, a fresh victim runs up to that point and is killed,
 * and a stranger checks that all is well. Short operations are killed before every instruction, longer ones before and after
 * each interesting one; and system calls also from inside, at random delays.
 *
 * A world is a process of its own: whatever goes wrong in it, hangs included, ends with it.
 */
#ifndef TESTS_STEPPER_H
#define TESTS_STEPPER_H

#include <base/cc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STEP_HELPERS_MAX 16
#define STEP_CONTROL_SIZE 4096
#define STEP_MESSAGE_SIZE 400
#define STEP_OUTCOMES_MAX 8

struct step_world {
	void *control;     /* STEP_CONTROL_SIZE bytes shared by all processes of this world; watched; zero at first */
	void *hidden;      /* the same, but not watched: for the helpers' reports */
	const char *token; /* in no other world: all names that the operation makes contain it */
	const char *names; /* the directory they are made in; NULL: none is watched */
	void *local;       /* the operation's own; made by setup(), inherited by everybody */
	pid_t helpers[STEP_HELPERS_MAX];
	unsigned helper_count;
	unsigned unblocks; /* how often unblock() was called */
	bool victim_ended; /* the victim reached its end marker before it was killed */
	uint64_t limit;    /* nanoseconds that a check may take */
	char *message;     /* what went wrong */
};

/*
 * Results of setup() and verify(): verify() returns the outcome it found, 0 .. outcomes - 1, or step_bad(). Outcomes are numbered
 * in the order in which they can occur: a later kill must never give an earlier outcome, the kill before the first
 * instruction gives the first, and after the last instruction the last.
 */
struct step_operation {
	const char *name;
	const char *outcome_names[STEP_OUTCOMES_MAX]; /* as many as there are; NULL ends */
	int (*setup)(struct step_world *world);       /* in the world's process, before the victim is forked */
	void (*prepare)(struct step_world *world);    /* in the victim, unwatched */
	void (*operate)(struct step_world *world);    /* in the victim: what is proved */
	void (*unblock)(
		struct step_world *world); /* in the world's process: the victim sleeps, still or again; may be NULL */
	int (*meet)(
		struct step_world *world); /* there, while the victim stands at its last point; may be NULL; -1: bad */
	int (*settle)(struct step_world *world); /* there, after the death; may be NULL; -1: bad */
	int (*verify)(struct step_world *world); /* in a stranger's process, after the death */
	bool unordered;                          /* others race with the victim: only the first outcome is foretold */
};

struct step_settings {
	const char *names;        /* directory whose entries are watched; may be NULL */
	uint64_t limit;           /* nanoseconds for a check; passing it is a failure */
	uint32_t every_below;     /* shorter operations are killed before every instruction */
	uint32_t samples;         /* longer ones also before so many uninteresting ones, evenly spread */
	uint32_t interesting_max; /* kill before so many interesting ones, about, and not before all of them; 0: all */
	uint32_t inside;          /* kills inside each system call */
	uint32_t failures_max;    /* stop after so many */
	uint64_t seed;
};

struct step_report {
	uint32_t instructions;
	uint32_t shared_changes;
	uint32_t name_changes;
	uint32_t robust_changes;
	uint32_t system_calls;
	uint32_t interesting;
	uint32_t kills;        /* between instructions */
	uint32_t kills_inside; /* inside system calls */
	uint32_t missed;       /* points that the victim did not pass in its own runs, however often it was tried */
	uint32_t skipped;      /* ... of the evenly spread ones: a loop had fewer turns */
	uint32_t failures;
	bool every; /* every instruction was a kill point */
	uint32_t outcomes[STEP_OUTCOMES_MAX];
	uint64_t nanoseconds;
	char message[STEP_MESSAGE_SIZE]; /* the first failure */
};

/* NULL, or the reason why nothing can be stepped here. */
const char *step_unavailable(void);

/* true: proved. false: report->message says what failed and where. */
bool step_prove(const struct step_operation *operation, const struct step_settings *settings,
		struct step_report *report);

/* One line on stdout, after a '#'. */
void step_print(const struct step_operation *operation, const struct step_report *report);

/* Record what is wrong; -1. */
int step_bad(struct step_world *world, const char *format, ...) CC_PRINTF(2, 3);

/* A process of this world, killed with it, that runs `body` and ends with status 0. Its number, or -1. */
int step_helper(struct step_world *world, void (*body)(struct step_world *world));

/* Wait until the helper sleeps in the kernel or *counter reaches `least`. */
bool step_asleep_or(const struct step_world *world, unsigned number, const _Atomic uint32_t *counter, uint32_t least);

/* Wait until the process sleeps in the kernel (it must not sleep before what is meant). false: not within the limit. */
bool step_asleep(const struct step_world *world, pid_t process);

/* Wait until every helper sleeps or has ended. false: not within the limit. */
bool step_all_quiet(const struct step_world *world);

/* Wait until *counter reaches `least`. false: not within the limit. */
bool step_reaches(const struct step_world *world, const _Atomic uint32_t *counter, uint32_t least);

/* End a helper with SIGKILL and reap it. Only in the world's process. */
void step_kill_helper(struct step_world *world, unsigned number);

uint64_t step_now(void);

#endif
