/* SPDX-License-Identifier: MIT */
/* What a holder's functions do where the program has a keeper of its own (stoa/keeper.h). Errors have sentences. */
#ifndef STORE_KEEPER_H
#define STORE_KEEPER_H

#include <stoa/keeper.h>
#include <store/holder.h>

int keeper_put(const struct stoa_keeper *keeper, const struct store_held *held, uint32_t count);
int keeper_drop(const struct stoa_keeper *keeper, const char *name);
int keeper_visit(const struct stoa_keeper *keeper, int (*visit)(const char *name, os_handle memory, void *argument),
		 void *argument);
int keeper_clear(const struct stoa_keeper *keeper);

#endif
