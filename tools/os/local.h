/* SPDX-License-Identifier: MIT */
/* What the user's surroundings say: names of users, the local time. Implemented once per system under tools/os/<system>/. */
#ifndef TOOLS_OS_LOCAL_H
#define TOOLS_OS_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The name of user number `owner`; false where it has none, or numbers name nobody. */
bool local_user_name(uint32_t owner, char *buffer, size_t size);

/* "2031-02-28 23:59:59 +0100" for seconds since 1970, in local time; false when the system cannot tell. */
bool local_time_text(int64_t seconds, char *buffer, size_t size);

#endif
