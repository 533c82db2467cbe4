/* SPDX-License-Identifier: MIT */
/* Clock, CPUs and time limit on Linux; see host.h. */
#include "../host.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS UINT64_C(1000000000)

uint64_t host_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

void host_sleep(uint64_t nanoseconds)
{
	struct timespec time = {(time_t)(nanoseconds / NANOSECONDS), (long)(nanoseconds % NANOSECONDS)};

	nanosleep(&time, NULL);
}

void host_yield(void)
{
	sched_yield();
}

/* The mask at the first call. */
static const cpu_set_t *allowed(void)
{
	static cpu_set_t set;
	static bool known;

	if (!known) {
		CPU_ZERO(&set);
		if (sched_getaffinity(0, sizeof(set), &set) || !CPU_COUNT(&set))
			CPU_SET(0, &set);
		known = true;
	}
	return &set;
}

unsigned host_cpus(void)
{
	return (unsigned)CPU_COUNT(allowed());
}

void host_pin(unsigned place)
{
	const cpu_set_t *set = allowed();
	cpu_set_t one;

	place %= host_cpus();
	CPU_ZERO(&one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, set))
			continue;
		if (place-- == 0) {
			CPU_SET(cpu, &one);
			break;
		}
	}
	/* A refusal (a mask that changed meanwhile) leaves the process where it was: noisier, still correct. */
	(void)sched_setaffinity(0, sizeof(one), &one);
}

void host_unpin(void)
{
	(void)sched_setaffinity(0, sizeof(cpu_set_t), allowed());
}

const char *host_library(const void *something)
{
	Dl_info library;

	return dladdr(something, &library) ? library.dli_fname : NULL;
}

void host_describe(char *words, size_t size)
{
	FILE *list = fopen("/proc/cpuinfo", "re");
	char line[256], model[128] = "unknown processor";
	struct utsname system = {.release = "?"};

	while (list && fgets(line, sizeof(line), list))
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (list)
		fclose(list);
	(void)uname(&system);
	snprintf(words, size, "%s, %s %s", model, system.sysname, system.release);
}

FILE *host_create(const char *path)
{
	return fopen(path, "we");
}

static const char *watched_name;

static void expired(int number)
{
	static const char text[] = "\nstoa: bench: a pair took longer than a minute, the case hangs: ";

	(void)number;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
	    write(STDERR_FILENO, watched_name, strlen(watched_name)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
		_exit(1);
	_exit(1);
}

void host_watch(const char *name, unsigned seconds)
{
	struct sigaction action = {.sa_handler = seconds ? expired : SIG_DFL};

	watched_name = name;
	alarm(0);
	sigaction(SIGALRM, &action, NULL);
	alarm(seconds);
}
