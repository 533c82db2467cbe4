/* SPDX-License-Identifier: MIT */
/* Linked with the library whose safeguards can be taken out: the system lacks what STOA_FALLBACK names, and tests must pass all the same. */
#include <base/mutant.h>

uint64_t mutants_chosen = STOA_FALLBACK;
