/* SPDX-License-Identifier: MIT */
/*
 * Bytes that flow through the standard streams, without buffers of the C library, and how a command that moves them is asked to end.
 * Implemented once per system under tools/os/<system>/.
 */
#ifndef TOOLS_OS_FLOW_H
#define TOOLS_OS_FLOW_H

#include <stddef.h>
#include <stdint.h>

/*
 * From now on a request to end (Ctrl-C, a signal) only makes flow_asked() tell its number, and ends reading and writing; a second one
 * ends the process. An output that nobody reads any more is an error of flow_write(), no signal.
 */
void flow_begin(void);
int flow_asked(void); /* 0, or a number for console_end_as() */
int flow_broken(
	void); /* the number with which a process ends whose output nobody reads; 0: such ends are ordinary failures */

/* From the input: how many bytes, 0 at its end or when asked to end, -1 with errno. */
ptrdiff_t flow_read(void *to, size_t room);

/* All of it to the output: 0, or an errno value: EPIPE: nobody reads; EINTR: asked to end before all was written. */
int flow_write(const void *from, size_t length);

#endif
