/* SPDX-License-Identifier: MIT */
/*
 * The proof itself: one pass that records the path of an operation, then one world for each kill. Uses trace.h, watch.h and
 * world.c. The hard idea: a point is named by its instruction and by how often that was visited, so that it is found again at
 * full speed and also when spinning took more or fewer turns than in the recorded run.
 */
#include "stepper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trace.h"
#include "watch.h"

#define STEPS_MAX (1u << 20)
#define VISITS_SIZE (1u << 16)
#define STEP_AGAIN_MAX 60000 /* instructions in single steps take long */
#define TRIES_MAX 12         /* to come to a point that others' speed decides about */
#define UNBLOCKS_MAX 5000    /* in a world; one that sleeps more often sleeps for ever */
#define WORLD_LIMIT_FACTOR 4 /* a whole world may take this many times the limit of one check */

#define CHANGED_SHARED 1u
#define CHANGED_NAMES 2u
#define CHANGED_ROBUST 4u
#define SYSTEM_CALL 8u

struct step {
	uint64_t ip;
	uint32_t visit;    /* how often the victim had come to `ip`, this time included */
	uint32_t changed;  /* by this instruction */
	uint64_t duration; /* of a system call */
};

/* Shared between the prover and its worlds. */
struct exchange {
	_Atomic uint64_t program_base;
	uint32_t count;
	int32_t outcome; /* -1 failed, -2 missed */
	uint32_t system_call_slept;
	char message[STEP_MESSAGE_SIZE];
	struct step steps[STEPS_MAX];
};

/* What a world is to do. */
struct task {
	enum { TASK_RECORD, TASK_KILL } kind;
	uint32_t index; /* kill before this step; == count: after the last */
	bool inside;    /* a system call: kill inside it */
	bool by_steps;  /* go there by single steps */
	uint64_t delay;
};

struct prover {
	const struct step_operation *operation;
	const struct step_settings *settings;
	struct step_report *report;
	struct exchange *exchange;
	uint64_t random;
	uint32_t met; /* interesting points so far */
};

struct visits {
	uint64_t ip[VISITS_SIZE];
	uint32_t count[VISITS_SIZE];
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t visit(struct visits *visits, uint64_t ip)
{
	uint32_t at = (uint32_t)((ip * UINT64_C(0x9e3779b97f4a7c15)) >> 48);

	for (uint32_t tries = 0; tries < VISITS_SIZE; tries++, at = (at + 1) % VISITS_SIZE) {
		if (visits->ip[at] == ip)
			return ++visits->count[at];
		if (visits->ip[at] == 0) {
			visits->ip[at] = ip;
			return visits->count[at] = 1;
		}
	}
	return 0;
}

/* ---- inside a world ---- */

struct scene {
	struct step_world world;
	const struct step_operation *operation;
	struct exchange *exchange;
	struct trace trace;
	uint64_t patience; /* until then, once unblock() has been called often enough */
};

static bool wake_victim(void *argument)
{
	struct scene *scene = argument;

	if (scene->operation->unblock && scene->world.unblocks <= UNBLOCKS_MAX) {
		scene->world.unblocks++;
		scene->operation->unblock(&scene->world);
		scene->patience = step_now() + scene->world.limit;
		return true;
	}
	/* Who wakes it may be another one that was woken, and has to wait for a processor. */
	if (step_now() < scene->patience)
		return true;
	step_bad(&scene->world, "the victim sleeps and nothing will wake it");
	return false;
}

static void be_victim(struct scene *scene)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!trace_me())
		_exit(1);
	if (scene->operation->prepare)
		scene->operation->prepare(&scene->world);
	trace_mark();
	scene->operation->operate(&scene->world);
	trace_mark();
	_exit(0);
}

static bool open_scene(struct scene *scene)
{
	pid_t pid;

	if (scene->operation->setup(&scene->world) < 0)
		return step_bad(&scene->world, "setup failed") >= 0;
	pid = fork();
	if (pid < 0)
		return step_bad(&scene->world, "fork: %s", strerror(errno)) >= 0;
	if (pid == 0)
		be_victim(scene);
	if (!trace_begin(&scene->trace, pid))
		return step_bad(&scene->world, "the victim did not come to its start (wait status %#x)",
				(unsigned)scene->trace.status) >= 0;
	return true;
}

static int judge(struct scene *scene)
{
	uint64_t end = step_now() + 3 * scene->world.limit;
	pid_t judge = fork();
	int status = 0;

	if (judge < 0)
		return step_bad(&scene->world, "fork: %s", strerror(errno));
	if (judge == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		scene->exchange->outcome = scene->operation->verify(&scene->world);
		_exit(0);
	}
	for (unsigned round = 0; waitpid(judge, &status, WNOHANG) == 0; round++) {
		const struct timespec pause = {0, 100000};

		if (step_now() > end) {
			kill(judge, SIGKILL);
			waitpid(judge, NULL, 0);
			return step_bad(&scene->world, "the check did not end: something hangs");
		}
		if (round > 20)
			nanosleep(&pause, NULL);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return step_bad(&scene->world, "the check crashed (wait status %#x)", (unsigned)status);
	return scene->exchange->outcome;
}

/* After the death: what the others do by themselves, then the check. */
static int follow_up(struct scene *scene)
{
	if (scene->operation->settle && scene->operation->settle(&scene->world) < 0)
		return step_bad(&scene->world, "what followed the death failed");
	return judge(scene);
}

/* One instruction of the recorded run; false at the end or on failure. */
static bool record_step(struct scene *scene, struct watch *watch, struct step *step, uint64_t *hashes)
{
	bool call = trace_at_system_call(&scene->trace, step->ip);
	uint64_t start = call ? step_now() : 0, shared, robust;
	enum trace_stop stop;

	trace_step(&scene->trace);
	do
		stop = trace_wait(&scene->trace, call, scene->world.limit);
	while (stop == TRACE_ASLEEP && wake_victim(scene));
	if (stop != TRACE_STEPPED) {
		if (stop != TRACE_MARK)
			step_bad(&scene->world, "the victim came to grief (wait status %#x)",
				 (unsigned)scene->trace.status);
		return false;
	}
	if (call) {
		uint64_t names;

		step->changed |= SYSTEM_CALL;
		step->duration = step_now() - start;
		watch_refresh(watch);
		names = watch_names(watch);
		step->changed |= names != hashes[1] ? CHANGED_NAMES : 0;
		hashes[1] = names;
	}
	shared = watch_shared(watch);
	robust = watch_robust(watch);
	step->changed |= (shared != hashes[0] ? CHANGED_SHARED : 0) | (robust != hashes[2] ? CHANGED_ROBUST : 0);
	hashes[0] = shared;
	hashes[2] = robust;
	return true;
}

static int record(struct scene *scene)
{
	struct exchange *exchange = scene->exchange;
	struct visits *visits = calloc(1, sizeof(*visits));
	struct watch watch;
	uint64_t hashes[3];
	uint32_t count = 0, last_call = 0;

	if (!visits)
		return step_bad(&scene->world, "out of memory");
	watch_begin(&watch, scene->trace.pid, &scene->world);
	hashes[0] = watch_shared(&watch);
	hashes[1] = watch_names(&watch);
	hashes[2] = watch_robust(&watch);
	for (; count < STEPS_MAX; count++) {
		struct step *step = &exchange->steps[count];

		*step = (struct step){.ip = trace_ip(&scene->trace)};
		step->visit = visit(visits, step->ip);
		if (!record_step(scene, &watch, step, hashes))
			break;
		if (step->changed & SYSTEM_CALL)
			last_call = count;
	}
	watch_end(&watch);
	free(visits);
	if (scene->operation->meet && !scene->world.message[0])
		scene->operation->meet(&scene->world);
	trace_kill(&scene->trace);
	if (count == STEPS_MAX)
		return step_bad(&scene->world, "more than %u instructions", STEPS_MAX);
	/* The end marker is a system call of ours. */
	exchange->count = last_call;
	return scene->world.message[0] ? -1 : follow_up(scene);
}

/* Step the victim `index` times. */
static enum trace_stop step_to(struct scene *scene, uint32_t index)
{
	enum trace_stop stop = TRACE_STEPPED;

	for (uint32_t i = 0; i < index && stop == TRACE_STEPPED; i++) {
		bool call = trace_at_system_call(&scene->trace, trace_ip(&scene->trace));

		trace_step(&scene->trace);
		do
			stop = trace_wait(&scene->trace, call, scene->world.limit);
		while (stop == TRACE_ASLEEP && wake_victim(scene));
	}
	return stop;
}

static enum trace_stop reach(struct scene *scene, const struct task *task)
{
	const struct step *step = &scene->exchange->steps[task->index];
	enum trace_stop stop;

	if (task->index < scene->exchange->count && !task->by_steps && step->visit && step->visit * 3 + 4 < task->index)
		return trace_run_to(&scene->trace, step->ip, step->visit, scene->world.limit, wake_victim, scene);
	if (task->index < scene->exchange->count)
		return step_to(scene, task->index);
	trace_go(&scene->trace);
	do
		stop = trace_wait(&scene->trace, true, scene->world.limit);
	while (stop == TRACE_ASLEEP && wake_victim(scene));
	return stop;
}

static void spin_for(uint64_t nanoseconds)
{
	uint64_t end = step_now() + nanoseconds;

	while (step_now() < end)
		;
}

/* Let the victim go into its system call, no further; a sleeper is killed asleep or just after it was woken. */
static void go_inside(struct scene *scene, const struct task *task)
{
	trace_step(&scene->trace);
	if (scene->exchange->steps[task->index].duration < 1000000 || !scene->operation->unblock) {
		spin_for(task->delay);
		return;
	}
	if (trace_wait(&scene->trace, true, scene->world.limit) != TRACE_ASLEEP || task->delay % 3 == 0)
		return;
	wake_victim(scene);
	spin_for(task->delay % 400000);
}

static int kill_there(struct scene *scene, const struct task *task)
{
	enum trace_stop stop = reach(scene, task);
	bool at_end = task->index == scene->exchange->count;
	int outcome;

	if (stop == TRACE_CRASHED || stop == TRACE_ENDED || stop == TRACE_ASLEEP)
		return step_bad(&scene->world, "the victim did not come to its point (wait status %#x)",
				(unsigned)scene->trace.status);
	scene->world.victim_ended = stop == TRACE_MARK;
	if (scene->operation->meet && scene->operation->meet(&scene->world) < 0)
		return step_bad(&scene->world, "what met the victim failed");
	if (task->inside && stop == TRACE_STEPPED)
		go_inside(scene, task);
	trace_kill(&scene->trace);
	outcome = follow_up(scene);
	return stop == TRACE_MARK && !at_end && outcome >= 0 ? -2 : outcome;
}

static void be_world(const struct prover *prover, const struct task *task, const char *token)
{
	struct scene scene = {.operation = prover->operation, .exchange = prover->exchange};
	int result = -1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	scene.world.token = token;
	scene.world.names = prover->settings->names;
	scene.world.limit = prover->settings->limit;
	scene.world.message = prover->exchange->message;
	scene.world.control =
		mmap(NULL, 2 * STEP_CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (scene.world.control == MAP_FAILED) {
		step_bad(&scene.world, "no memory for the world");
		_exit(0);
	}
	scene.world.hidden = (char *)scene.world.control + STEP_CONTROL_SIZE;
	if (open_scene(&scene))
		result = task->kind == TASK_RECORD ? record(&scene) : kill_there(&scene, task);
	prover->exchange->outcome = result;
	for (unsigned i = 0; i < scene.world.helper_count; i++)
		step_kill_helper(&scene.world, i);
	_exit(0);
}

/* ---- the prover ---- */

/* Run one world to its end. The outcome; -1 with a message; -2 when the victim never came to the point. */
static int run_world(struct prover *prover, const struct task *task)
{
	static uint32_t worlds;
	uint64_t end = step_now() + WORLD_LIMIT_FACTOR * prover->settings->limit;
	struct exchange *exchange = prover->exchange;
	char token[64];
	int status = 0;
	pid_t pid;

	snprintf(token, sizeof(token), "step-%d-%u", (int)getpid(), worlds++);
	exchange->outcome = -1;
	exchange->message[0] = 0;
	pid = fork();
	if (pid == 0)
		be_world(prover, task, token);
	if (pid < 0) {
		snprintf(exchange->message, STEP_MESSAGE_SIZE, "fork: %s", strerror(errno));
		return -1;
	}
	for (unsigned round = 0; waitpid(pid, &status, WNOHANG) == 0; round++) {
		const struct timespec pause = {0, 100000};

		if (task->kind == TASK_KILL && step_now() > end) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			snprintf(exchange->message, STEP_MESSAGE_SIZE, "the world hangs");
			return -1;
		}
		if (round > 20)
			nanosleep(&pause, NULL);
	}
	if ((!WIFEXITED(status) || WEXITSTATUS(status)) && exchange->outcome >= 0)
		exchange->outcome = -1;
	if (exchange->outcome == -1 && !exchange->message[0])
		snprintf(exchange->message, STEP_MESSAGE_SIZE, "the world ended with wait status %#x",
			 (unsigned)status);
	return exchange->outcome;
}

/* Where in the program: the function and line, when addr2line is here to say; it must not matter whether it is. */
static void locate(uint64_t ip, char *text, size_t size)
{
	char line[512], command[700], program[256] = "";
	unsigned long from, to, offset;
	FILE *maps = fopen("/proc/self/maps", "r");

	snprintf(text, size, "%#llx", (unsigned long long)ip);
	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %255s", &from, &to, &offset, program) == 4 && ip >= from &&
		    ip < to)
			break;
		else
			program[0] = 0;
	if (maps)
		fclose(maps);
	if (program[0] != '/')
		return;
	snprintf(text, size, "%s+%#llx", program, (unsigned long long)(ip - from + offset));
	snprintf(command, sizeof(command), "addr2line -spfe '%s' %#llx 2>/dev/null", program,
		 (unsigned long long)(ip - from + offset));
	maps = popen(command, "r");
	if (maps && fgets(line, sizeof(line), maps) && line[0] != '?')
		snprintf(text, size, "%.*s", (int)strcspn(line, "\n"), line);
	if (maps)
		pclose(maps);
}

static void failed(struct prover *prover, const struct task *task, const char *what)
{
	struct step_report *report = prover->report;
	char place[300] = "after the last instruction";

	if (report->failures++)
		return;
	if (task->index < prover->exchange->count)
		locate(prover->exchange->steps[task->index].ip, place, sizeof(place));
	snprintf(report->message, sizeof(report->message), "killed %s instruction %u of %u (%.*s, visit %u): %.*s",
		 task->inside ? "inside" : "before", task->index, prover->exchange->count, 120, place,
		 prover->exchange->steps[task->index].visit, 220, what);
}

static void tally(struct prover *prover)
{
	struct step_report *report = prover->report;

	report->instructions = prover->exchange->count;
	for (uint32_t i = 0; i < prover->exchange->count; i++) {
		uint32_t changed = prover->exchange->steps[i].changed;

		report->shared_changes += (changed & CHANGED_SHARED) != 0;
		report->name_changes += (changed & CHANGED_NAMES) != 0;
		report->robust_changes += (changed & CHANGED_ROBUST) != 0;
		report->system_calls += (changed & SYSTEM_CALL) != 0;
		report->interesting += changed != 0;
	}
	report->every = report->instructions < prover->settings->every_below;
}

/* Something changes here. */
static bool is_interesting(const struct prover *prover, uint32_t index)
{
	const struct step *steps = prover->exchange->steps;

	return index == 0 || index >= prover->exchange->count || steps[index].changed || steps[index - 1].changed;
}

static bool wanted(const struct prover *prover, uint32_t index)
{
	uint32_t samples = prover->settings->samples;
	uint32_t stride = samples ? prover->exchange->count / samples + 1 : 0;

	return prover->report->every || is_interesting(prover, index) || (stride && index % stride == 0);
}

/* Of many interesting points some, other ones with each seed; always the first and the last one. */
static bool chosen(struct prover *prover, uint32_t index)
{
	uint32_t most = prover->settings->interesting_max;
	uint32_t stride = most ? prover->report->interesting * 2 / most + 1 : 1;

	if (index == 0 || index >= prover->exchange->count || !is_interesting(prover, index))
		return true;
	return (prover->met++ + prover->settings->seed) % stride == 0;
}

static int outcome_count(const struct step_operation *operation)
{
	int count = 0;

	while (count < STEP_OUTCOMES_MAX && operation->outcome_names[count])
		count++;
	return count;
}

static void kill_inside(struct prover *prover, uint32_t index)
{
	uint64_t duration = prover->exchange->steps[index].duration;

	for (uint32_t i = 0; i < prover->settings->inside; i++) {
		struct task task = {TASK_KILL, index, true, false, next_random(&prover->random) % (2 * duration + 1)};
		int outcome = run_world(prover, &task);

		prover->report->kills_inside++;
		if (outcome == -1)
			failed(prover, &task, prover->exchange->message);
	}
}

/* Spinning takes other turns each time: what is interesting is tried until the victim comes there. */
static int run_to(struct prover *prover, struct task *task)
{
	unsigned tries = is_interesting(prover, task->index) ? TRIES_MAX : 2;
	int outcome = -2;

	for (unsigned i = 0; i < tries && outcome == -2; i++) {
		task->by_steps = i % 2 && task->index <= STEP_AGAIN_MAX;
		outcome = run_world(prover, task);
	}
	return outcome;
}

static void kill_before(struct prover *prover, uint32_t index, int *lowest)
{
	struct task task = {TASK_KILL, index, false, false, 0};
	int outcome = run_to(prover, &task), last = outcome_count(prover->operation) - 1;
	char text[STEP_MESSAGE_SIZE];

	prover->report->kills++;
	if (outcome == -1) {
		failed(prover, &task, prover->exchange->message);
		return;
	}
	if (outcome == -2) {
		prover->report->missed++;
		prover->report->skipped += !is_interesting(prover, index);
		return;
	}
	prover->report->outcomes[outcome]++;
	if (prover->operation->unordered && (index || !outcome))
		return;
	if (outcome >= *lowest && (index || !outcome) && (index < prover->exchange->count || outcome == last)) {
		*lowest = outcome;
		return;
	}
	snprintf(text, sizeof(text), "the outcome is '%s', but it must be %s'%s'",
		 prover->operation->outcome_names[outcome], index && index < prover->exchange->count ? "at least " : "",
		 prover->operation->outcome_names[index == prover->exchange->count ? last : *lowest]);
	failed(prover, &task, text);
}

static void prove(struct prover *prover)
{
	const struct task recording = {TASK_RECORD, 0, false, false, 0};
	int lowest = 0;

	if (run_world(prover, &recording) < 0) {
		snprintf(prover->report->message, STEP_MESSAGE_SIZE, "recording: %.*s", 300, prover->exchange->message);
		prover->report->failures++;
		return;
	}
	tally(prover);
	for (uint32_t i = 0; i <= prover->exchange->count; i++) {
		if (prover->report->failures >= prover->settings->failures_max)
			return;
		if (!wanted(prover, i) || !chosen(prover, i))
			continue;
		kill_before(prover, i, &lowest);
		if (i < prover->exchange->count && prover->exchange->steps[i].changed & SYSTEM_CALL)
			kill_inside(prover, i);
	}
}

/* A world that failed leaves names which nobody looks at any more. */
static void remove_names(const char *path)
{
	DIR *directory = path ? opendir(path) : NULL;
	struct dirent *entry;
	char token[64];

	snprintf(token, sizeof(token), "step-%d-", (int)getpid());
	while (directory && (entry = readdir(directory)) != NULL)
		if (strstr(entry->d_name, token))
			unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
}

bool step_prove(const struct step_operation *operation, const struct step_settings *settings,
		struct step_report *report)
{
	struct prover prover = {operation, settings, report, NULL, settings->seed | 1, 0};
	uint64_t start = step_now();

	*report = (struct step_report){0};
	prover.exchange = mmap(NULL, sizeof(struct exchange), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (prover.exchange == MAP_FAILED) {
		report->failures = 1;
		snprintf(report->message, sizeof(report->message), "no memory for the recording");
		return false;
	}
	prove(&prover);
	remove_names(settings->names);
	munmap(prover.exchange, sizeof(struct exchange));
	report->nanoseconds = step_now() - start;
	return report->failures == 0;
}

void step_print(const struct step_operation *operation, const struct step_report *report)
{
	/* "= ": as test_figure() */
	printf("= %-28s %6u instructions, %4u interesting (%u shared, %u names, %u robust list, %u system calls): "
	       "%u kill points%s + %u inside calls, %.1f s;",
	       operation->name, report->instructions, report->interesting, report->shared_changes, report->name_changes,
	       report->robust_changes, report->system_calls, report->kills, report->every ? " (every instruction)" : "",
	       report->kills_inside, (double)report->nanoseconds / 1e9);
	for (int i = 0; i < outcome_count(operation); i++)
		printf(" %s %u", operation->outcome_names[i], report->outcomes[i]);
	if (report->missed)
		printf(" missed %u, %u of them in loops", report->missed, report->skipped);
	printf("\n");
	if (report->failures)
		printf("# %s: %u failures, first: %s\n", operation->name, report->failures, report->message);
	fflush(stdout);
}

const char *step_unavailable(void)
{
#if defined(__x86_64__)
	struct trace trace;
	pid_t pid = fork();

	if (pid == 0) {
		if (!trace_me())
			_exit(1);
		trace_mark();
		_exit(0);
	}
	if (pid < 0)
		return "fork is refused";
	if (!trace_begin(&trace, pid)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return "ptrace is refused here";
	}
	trace_step(&trace);
	if (trace_wait(&trace, false, 0) != TRACE_STEPPED) {
		trace_kill(&trace);
		return "this machine cannot single-step";
	}
	trace_kill(&trace);
	return NULL;
#else
	return "stepping is written for x86-64 only";
#endif
}
