/* SPDX-License-Identifier: MIT */
/* find(1); see rival.h. */
#include "../rival.h"

#include <stdlib.h>

const char rival_search_case[] = "find.usr";
const char rival_search_about[] = "stoa find /usr, everything in the cache";
const char rival_search_name[] = "find /usr";

void rival_search_choose(bool quick, struct rival_search *ret_search)
{
	const char *tree = quick ? "/usr/include" : "/usr";

	*ret_search = (struct rival_search){
		.tree = tree,
		.name = quick ? "find /usr/include" : rival_search_name,
		.program = "find",
		.arguments = {"find", tree, NULL},
		.missing = system("command -v find >/dev/null 2>&1") == 0 ? NULL : "no find on the PATH",
	};
}

int rival_search_run(const char *tree)
{
	(void)tree;
	return -1;
}
