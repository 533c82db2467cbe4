/* SPDX-License-Identifier: MIT */
/* What a service manager gives a daemon, between daemon.c and fdstore.c: descriptors under names, and where to tell it things. */
#ifndef TOOLS_OS_SERVICE_H
#define TOOLS_OS_SERVICE_H

#include <stdint.h>

#define SERVICE_FIRST 3
#define SERVICE_NAME 256          /* a descriptor's name, with its final 0 */
#define SERVICE_KEPT "stoa-kept." /* what names of kept ones begin with: a socket's has the name of its unit */

uint64_t service_number(const char *name); /* of the environment; 0: none */

/* The first of the descriptors that were given at the start; there are *ret_count. The name of one of them. */
int service_given(unsigned *ret_count);
const char *service_name(unsigned place, char name[SERVICE_NAME]);

/* A socket to tell the manager things through; -1: it wants to know nothing, or cannot be reached. */
int service_connect(void);

#endif
