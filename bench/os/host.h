/* SPDX-License-Identifier: MIT */
/*
 * The machine under a benchmark: its clock, its CPUs, and an end for what hangs. Implemented once per system under
 * bench/os/<system>/; uses the system only, so that it can be trusted whatever state the library is in.
 */
#ifndef BENCH_OS_HOST_H
#define BENCH_OS_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

uint64_t host_now(void);               /* monotonic nanoseconds */
void host_sleep(uint64_t nanoseconds); /* not less, and more by the system's tick */
void host_yield(void);

/* CPUs that this process may run on, counted at the first call; pin to the `place`-th of them, modulo; unpin to all. */
unsigned host_cpus(void);
void host_pin(unsigned place);
void host_unpin(void);

/* The file whose code `something` of the library lies in; NULL when the system does not tell. */
const char *host_library(const void *something);

/* The processor and the system, for people. */
void host_describe(char *words, size_t size);

/* A file to write, whatever was there; its path is UTF-8. NULL: errno. */
FILE *host_create(const char *path);

/*
 * Unless it is called again within so many seconds, say that `name` hangs and end this process; 0 seconds: no more. Our peers
 * (peer.h) end with us.
 */
void host_watch(const char *name, unsigned seconds);

#endif
