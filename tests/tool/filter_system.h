/* SPDX-License-Identifier: MIT */
/* What tool/filter.c needs of its system. */
#ifndef TOOL_FILTER_SYSTEM_H
#define TOOL_FILTER_SYSTEM_H

void filter_start(void); /* streams are bytes */
void filter_die(void);   /* as killed */

#endif
