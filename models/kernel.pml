/* SPDX-License-Identifier: MIT */
/*
 * What the models share: threads that may be killed before any of their steps, and the kernel's futexes.
 *
 * Budgets of deaths, births and give-ups are chosen at the start of each run, not spent at will: else a run in which a
 * sleeper is forgotten could go on by killing that sleeper, and would never count as the end that it is.
 *
 * futex_waitv() compares and queues one word after the other. A sleeper stays queued on its other words until it runs
 * again, so a second wake of one sleeper may hit a thread that was woken already; of all words that were woken it is told
 * only the one that comes last in its vector. Which sleeper a wake finds is free; the kernel's order is one of the choices.
 */
#ifndef NT
#define NT 3		/* threads */
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef BIRTHS
#define BIRTHS 0	/* dead threads that start anew */
#endif
#ifndef GIVEUPS
#define GIVEUPS 0	/* sleeps that end by their deadline */
#endif
#ifndef STOPS
#define STOPS 0		/* threads stopped for ever */
#endif

byte deaths, births, giveups, stops;

byte woken[NT];		/* the place in its vector, from 1, of the last word that was woken; 0 is none */
bool asleep[NT];

#define OR_DIE	:: deaths > 0 -> deaths--; goto dying
#if STOPS > 0
#define OR_STOP	:: stops > 0 -> stops--; stopped(); goto end_stopped
#else
#define OR_STOP
#endif

/* Wake thread n from queue q, where it sleeps under the key k; the word has place p in its vector. */
#define HIT(q, p, n) \
	q[n] = 0; \
	if \
	:: woken[n] < p -> woken[n] = p \
	:: else \
	fi
#define PICK(q, k, p, n)	:: q[n] == k -> HIT(q, p, n)
#if NT == 2
#define PICKS(q, k, p)	PICK(q, k, p, 0) PICK(q, k, p, 1)
#elif NT == 3
#define PICKS(q, k, p)	PICK(q, k, p, 0) PICK(q, k, p, 1) PICK(q, k, p, 2)
#elif NT == 4
#define PICKS(q, k, p)	PICK(q, k, p, 0) PICK(q, k, p, 1) PICK(q, k, p, 2) PICK(q, k, p, 3)
#elif NT == 5
#define PICKS(q, k, p)	PICK(q, k, p, 0) PICK(q, k, p, 1) PICK(q, k, p, 2) PICK(q, k, p, 3) PICK(q, k, p, 4)
#else
#error "2 to 5 threads"
#endif

/* Both inside atomic; `i` is a scratch variable of the caller, 0 outside. */
#define WAKE_ONE(q, k, p)	if PICKS(q, k, p) :: else fi
#define WAKE_ALL(q, k, p)	d_step { \
	i = 0; \
	do \
	:: i < NT -> \
		if \
		:: q[i] == k -> HIT(q, p, i) \
		:: else \
		fi; \
		i++ \
	:: else -> break \
	od; \
	i = 0 }

inline choose_budgets()
{
	select(deaths : 0 .. DEATHS);
	select(births : 0 .. BIRTHS);
	select(giveups : 0 .. GIVEUPS);
	select(stops : 0 .. STOPS)
}
