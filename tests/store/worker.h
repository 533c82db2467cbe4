/* SPDX-License-Identifier: MIT */
/* A client that does all there is to do with a store, at random and at full rate, and looks at every byte that it gets. */
#ifndef TESTS_STORE_WORKER_H
#define TESTS_STORE_WORKER_H

#include <store/kit.h>

/* Work in two threads, for ever, or `turns` of each. The kit's path; `number` tells workers apart. */
void worker_run(const struct kit *kit, unsigned number, uint64_t seed, unsigned turns);

/* One thread's part, with a store that others may use too. */
void worker_turns(struct stoa_store *store, uint64_t seed, unsigned turns);

#endif
