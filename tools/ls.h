/* SPDX-License-Identifier: MIT */
/* Between the two halves of `stoa ls`. */
#ifndef TOOLS_LS_H
#define TOOLS_LS_H

#include "tool.h"

struct ls_options {
	bool all;
	bool global;
	bool files;
	bool orphaned;
	bool json;
	const char *store; /* NULL: not asked for */
};

int ls_all(const struct ls_options *options);

#endif
