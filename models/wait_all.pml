/* SPDX-License-Identifier: MIT */
/*
 * wait_all: two objects claimed in order, given back or taken together; claims of the dead finished by whoever meets them and
 * by the slot's next owner. Beside it plain waiters, and setters that post while objects are claimed.
 */
#include "kernel.pml"

#ifndef SETTERS
#define SETTERS 1	/* threads 0 .. SETTERS - 1 post to both objects, the others wait */
#endif
#ifndef ALLS
#define ALLS 2		/* threads SETTERS .. SETTERS + ALLS - 1 wait for both, the rest for object 1 */
#endif
#ifndef POSTS
#define POSTS 1		/* to each object by each setter */
#endif
#define FIRST_ALL	SETTERS
#define FIRST_ONE	(SETTERS + ALLS)
#define NS		ALLS	/* slots 1..NS, of those who claim */
#define OBJECTS		2

/* An automatic event is kept to 1, or 2 while it is claimed, so that a set is not lost. */
#ifdef SEMAPHORE
#define LIMIT(o)	200
#define LIMIT_FREE	200
#else
#define LIMIT(o)	(w_claim[o] == 0 -> 1 : 2)
#define LIMIT_FREE	1
#endif

/* Places in the vector of a sleeper. */
#define AT_WORD		1
#define AT_RELAY	2
#define AT_LIFE		3

/* The signal words. A claim names slot and generation. AVAILABLE is count > 0 and no claim. */
byte w_count[OBJECTS], w_claim[OBJECTS], w_claim_gen[OBJECTS];
bool w_waiters[OBJECTS];

/*
 * The sequence number, as those see it who compare it: has it not moved since thread t looked at object o? [t * OBJECTS + o]
 * This keeps runs apart no longer than somebody remembers the difference.
 */
bool unmoved[NT * OBJECTS];
#define LOOKED(o)	unmoved[me * OBJECTS + o] = true
#define UNMOVED(o)	unmoved[me * OBJECTS + o]
#define MOVE(o)		d_step { \
	i = 0; \
	do \
	:: i < NT -> unmoved[i * OBJECTS + o] = false; i++ \
	:: else -> break \
	od; \
	i = 0 }
#define FORGET		d_step { unmoved[me * OBJECTS] = false; unmoved[me * OBJECTS + 1] = false }

/* The life words, and the logs in the roster pages. */
byte l_gen[NS + 1], l_id[NS + 1], log_gen[NS + 1];
bool l_waiters[NS + 1];
#define NONE		0
#define OPEN		1
#define COMMITTED	2
byte log_state[NS + 1];

/* Who sleeps on object o (o + 1), on the relay (1), on the life word of slot n (n). */
byte q_word[NT], q_relay[NT], q_life[NT];

/* Ghosts: what each claimer, by slot and generation, has taken; units posted and taken by plain waiters. */
#define HOLDER(s, g)	((s) * 4 + (g))
byte took[(NS + 1) * 8];	/* [HOLDER * 2 + object] */
byte posted[OBJECTS], taken[OBJECTS];

byte sleeps_for[NT];	/* object + 1, or 3 for both */

#define ALIVE(s, g)	(l_id[s] != 0 && l_gen[s] == (g))
#define AVAILABLE(o)	(w_claim[o] == 0 && w_count[o] > 0)

/* The end of a claim counts as a post does: a sleeper that has compared the claim must notice. */
#ifdef NO_SEQUENCE_AT_FINISH
#define BUMP(o)		skip
#else
#define BUMP(o)		MOVE(o)
#endif

/* Finish the claim of {s, g} on object o, if it is there; then wake, and clear WAITERS. f_ variables are the caller's. */
#define FINISH(o, s, g, take) \
	atomic { \
		if \
		:: w_claim[o] == s && w_claim_gen[o] == g -> \
			w_claim[o] = 0; \
			w_claim_gen[o] = 0; \
			BUMP(o); \
			if \
			:: take && w_count[o] > 0 -> w_count[o]--; took[HOLDER(s, g) * 2 + o]++ \
			:: else \
			fi; \
			if \
			:: w_count[o] > LIMIT_FREE -> w_count[o] = LIMIT_FREE \
			:: else \
			fi; \
			f_wake = (w_count[o] > 0 && w_waiters[o]); \
			f_count = w_count[o]; \
			LOOKED(o) \
		:: !(w_claim[o] == s && w_claim_gen[o] == g) -> f_wake = false \
		OR_DIE \
		fi \
	}; \
	if \
	:: f_wake -> \
		atomic { \
			if \
			:: true -> WAKE_ALL(q_word, o + 1, AT_WORD) \
			OR_DIE \
			fi \
		}; \
		atomic { \
			if \
			:: w_count[o] == f_count && UNMOVED(o) && w_claim[o] == 0 -> w_waiters[o] = false \
			:: !(w_count[o] == f_count && UNMOVED(o) && w_claim[o] == 0) \
			OR_DIE \
			fi; \
			f_wake = false \
		} \
	:: else \
	fi; \
	atomic { f_count = 0; unmoved[me * OBJECTS + o] = false }

#define WORD_IS_AS_SEEN(o) \
	(w_count[o] == v_count && UNMOVED(o) && w_claim[o] == v_slot && w_claim_gen[o] == v_gen)

proctype setter(byte me)
{
	byte i, o, rounds, v_count, v_claim, v_gen;
	bool pending, flag;

	atomic {
		rounds = POSTS;
		o = me % OBJECTS
	}
post:
	atomic {
		if
		:: true -> pending = true
		OR_DIE
		fi
	}
	atomic {
		if
		:: true ->
			if
			:: w_count[o] < LIMIT(o) -> w_count[o]++; posted[o]++
			:: else
			fi;
			MOVE(o);
			LOOKED(o);
			/* Not while it is claimed: a sleeper that looks again keeps the flag, and whoever ends the claim wakes. */
#ifndef CLEARED_WHILE_CLAIMED
			flag = w_waiters[o] && AVAILABLE(o);
#else
			flag = w_waiters[o];
#endif
			v_count = w_count[o];
			v_claim = w_claim[o];
			v_gen = w_claim_gen[o]
		OR_DIE
		fi
	}
	if
	:: flag ->
		atomic {
			if
			:: true -> WAKE_ALL(q_word, o + 1, AT_WORD)
			OR_DIE
			fi
		}
		atomic {
			if
			:: w_count[o] == v_count && UNMOVED(o) && w_claim[o] == v_claim && w_claim_gen[o] == v_gen ->
				w_waiters[o] = false
			:: !(w_count[o] == v_count && UNMOVED(o) && w_claim[o] == v_claim && w_claim_gen[o] == v_gen)
			OR_DIE
			fi
		}
	:: else
	fi;
	atomic {
		if
		:: true ->
			pending = false; flag = false; v_count = 0; FORGET; v_claim = 0; v_gen = 0;
			o = 1 - o;
			if
			:: o != me % OBJECTS -> goto post
			:: o == me % OBJECTS && rounds > 1 -> rounds--; goto post
			:: else -> goto finished
			fi
		OR_DIE
		fi
	}
dying:
	atomic { FORGET; v_count = 0; flag = false; v_claim = 0; v_gen = 0; rounds = 0; o = 0 }
	atomic {
		if
		:: pending -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi;
		pending = false
	}
finished:
	skip
}

inline forget()
{
	FORGET;
	v_slot = 0; v_gen = 0; v_count = 0; v_id = 0; flag = false; take = false; place = 0
}

proctype waiter(byte me)
{
	byte i, o, place;
	byte slot, gen;					/* who I am, when I claim */
	byte v_slot, v_gen, v_count, v_id;	/* the word that was busy, and its claimer's life */
	byte f_count;
	bool pending, flag, take, f_wake;

	atomic {
		if
		:: me >= FIRST_ONE -> o = 1; sleeps_for[me] = 2; goto try
		:: else -> sleeps_for[me] = 3
		fi;
		slot = me - FIRST_ALL + 1;	/* the first generation is enrolled from the start */
		gen = 1;
		goto attempt
	}

enrol:	/* The next owner of a dead slot finishes what its last owner claimed. */
	atomic {
		if
		:: l_id[1] == 0 -> v_slot = 1
#if NS > 1
		:: l_id[2] == 0 -> v_slot = 2
#endif
		OR_DIE
		fi;
		v_gen = l_gen[v_slot];
		take = (log_state[v_slot] == COMMITTED && log_gen[v_slot] == v_gen)
	}
#ifndef NO_FINISH_AT_ENROL
	FINISH(0, v_slot, v_gen, take);
	FINISH(1, v_slot, v_gen, take);
#endif
	atomic {
		if
		:: l_waiters[v_slot] -> WAKE_ALL(q_life, v_slot, AT_LIFE)
		:: !l_waiters[v_slot]
		OR_DIE
		fi
	}
	atomic {
		if
		:: l_id[v_slot] == 0 && l_gen[v_slot] == v_gen ->
			slot = v_slot;
			gen = v_gen + 1;
			l_gen[slot] = gen;
			l_id[slot] = me + 1;
			forget()
		:: !(l_id[v_slot] == 0 && l_gen[v_slot] == v_gen) -> forget(); goto enrol
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> log_state[slot] = NONE; log_gen[slot] = 0
		OR_DIE
		fi
	}

attempt: /* Both: log, then claim in order. */
	atomic {
		if
		:: true -> log_state[slot] = OPEN; log_gen[slot] = gen; o = 0
		OR_DIE
		fi
	}
try:
	atomic {
		forget();
		if
		:: AVAILABLE(o) && slot != 0 ->
			w_claim[o] = slot;
			w_claim_gen[o] = gen;
			o++;
			if
			:: o == OBJECTS -> o = 0; goto commit
			:: else -> goto try
			fi
		:: AVAILABLE(o) && slot == 0 -> w_count[o]--; taken[o]++; goto done
		:: !AVAILABLE(o) ->
			v_slot = w_claim[o];
			v_gen = w_claim_gen[o];
			v_count = w_count[o];
			LOOKED(o);
			if
			:: v_slot == 0 -> goto busy
			:: else
			fi
		OR_DIE
		fi
	}
	/* It is claimed: by the living? */
	atomic {
		flag = l_waiters[v_slot];
		v_id = l_id[v_slot];
		if
		:: v_id != 0 && l_gen[v_slot] == v_gen -> goto busy
		:: else -> skip
		fi
	}
#ifndef NO_FINISH_AT_MEETING
	atomic {
		if
		:: true -> take = (log_state[v_slot] == COMMITTED && log_gen[v_slot] == v_gen)
		OR_DIE
		fi
	}
	FINISH(o, v_slot, v_gen, take);
	goto try;
#endif

busy:	/* Give back what was claimed before it. */
	if
	:: slot != 0 ->
		if
		:: o == 1 -> FINISH(0, slot, gen, false)
		:: o == 0
		fi;
		atomic {
			if
			:: true -> log_state[slot] = NONE
			OR_DIE
			fi
		}
	:: slot == 0
	fi;
	/* Sleep on what was missing: cover, flag the word and the claimer's life word. */
	atomic {
		if
		:: true -> pending = true
		OR_DIE
		fi
	}
	atomic {
		if
		:: WORD_IS_AS_SEEN(o) -> w_waiters[o] = true
		:: !WORD_IS_AS_SEEN(o) -> goto awake
		OR_DIE
		fi
	}
	atomic {
		if
		:: v_slot == 0 || flag
		:: v_slot != 0 && !flag && l_id[v_slot] == v_id && l_gen[v_slot] == v_gen && !l_waiters[v_slot] -> l_waiters[v_slot] = true
		:: v_slot != 0 && !flag && !(l_id[v_slot] == v_id && l_gen[v_slot] == v_gen && !l_waiters[v_slot]) -> goto awake
		OR_DIE
		fi;
		flag = false
	}
	/* futex_waitv(): the low half, the relay, */
	atomic {
		if
		:: w_waiters[o] && !AVAILABLE(o) && w_claim[o] == v_slot && w_claim_gen[o] == v_gen -> q_word[me] = o + 1
		:: !(w_waiters[o] && !AVAILABLE(o) && w_claim[o] == v_slot && w_claim_gen[o] == v_gen) -> goto awake
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> q_relay[me] = 1
		OR_DIE
		fi
	}
	/* the claimer's life, and the high half: whoever claims now is the one that was seen, as ending a claim changes it. */
	atomic {
		if
		:: v_slot == 0
		:: v_slot != 0 && l_id[v_slot] == v_id && l_waiters[v_slot] -> q_life[me] = v_slot
		:: v_slot != 0 && !(l_id[v_slot] == v_id && l_waiters[v_slot]) -> goto awake
		OR_DIE
		fi
	}
	atomic {
		if
#ifdef HIGH_NOT_COMPARED
		:: v_slot != 0 -> asleep[me] = true
#endif
		:: w_count[o] == v_count && UNMOVED(o) -> asleep[me] = true
		:: !(w_count[o] == v_count && UNMOVED(o)) -> goto awake
		OR_DIE
		fi
	}
end_asleep:
	atomic {
		if
		:: woken[me] > 0
		OR_DIE
		fi
	}
awake:
	atomic {
		if
		:: true ->
			place = woken[me];
			woken[me] = 0;
			q_word[me] = 0; q_relay[me] = 0; q_life[me] = 0;
			asleep[me] = false
		OR_DIE
		fi
	}
	atomic {
		if
		:: place >= AT_RELAY -> WAKE_ALL(q_relay, 1, AT_RELAY)
		:: place < AT_RELAY
		OR_DIE
		fi
	}
	/* A wait for both ends here, and begins anew. */
	if
	:: slot != 0 ->
		atomic {
			if
			:: true -> pending = false; forget(); goto attempt
			OR_DIE
			fi
		}
	:: slot == 0 -> goto try
	fi;

commit:	/* All are held: the one store that decides. */
	atomic {
		if
		:: true ->
#ifndef NO_COMMIT
			log_state[slot] = COMMITTED
#endif
			skip
		OR_DIE
		fi
	}
	FINISH(0, slot, gen, true);
	FINISH(1, slot, gen, true);
	atomic {
		if
		:: true ->
			assert(took[HOLDER(slot, gen) * 2] == 1 && took[HOLDER(slot, gen) * 2 + 1] == 1);
			log_state[slot] = NONE
		OR_DIE
		fi
	}
done:
	atomic {
		if
		:: true -> pending = false; forget(); goto finished
		OR_DIE
		fi
	}

dying:
	atomic {
		woken[me] = 0;
		q_word[me] = 0; q_relay[me] = 0; q_life[me] = 0;
		asleep[me] = false;
		forget();
		f_count = 0; f_wake = false; o = 0;
		if
		:: slot != 0 -> l_id[slot] = 0; flag = l_waiters[slot]; v_slot = slot
		:: else
		fi;
		slot = 0;
		gen = 0
	}
	atomic {
		if
		:: flag -> WAKE_ONE(q_life, v_slot, AT_LIFE)
		:: else
		fi;
		flag = false;
		v_slot = 0
	}
	atomic {
		if
		:: pending -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi;
		pending = false;
		if
		:: births > 0 && me < FIRST_ONE -> births--; goto enrol
		:: true
		fi
	}
finished:
	atomic { o = 0; slot = 0; gen = 0 }
}

/* What is there for the taking, once the claims of the dead are finished. */
#define DEAD_CLAIM(o)	(w_claim[o] != 0 && !ALIVE(w_claim[o], w_claim_gen[o]))
#define DECIDED(o)	(log_state[w_claim[o]] == COMMITTED && log_gen[w_claim[o]] == w_claim_gen[o])
#define TO_BE_HAD(o)	((w_claim[o] == 0 && w_count[o] > 0) || (DEAD_CLAIM(o) && w_count[o] > (DECIDED(o) -> 1 : 0)))

proctype monitor()
{
	byte n, g;
end:
	atomic {
		timeout;
		do
		:: n < NT ->
			assert(!(asleep[n] && woken[n] == 0 && sleeps_for[n] == 2 && TO_BE_HAD(1)));
			assert(!(asleep[n] && woken[n] == 0 && sleeps_for[n] == 3 && TO_BE_HAD(0) && TO_BE_HAD(1)));
			n++
		:: else -> break
		od;
		/* All or none, for the dead as well. Nobody alive holds a claim. */
		assert(w_claim[0] == 0 || DEAD_CLAIM(0));
		assert(w_claim[1] == 0 || DEAD_CLAIM(1));
		n = 0;
		do
		:: n < 2 && w_claim[n] != 0 && DECIDED(n) -> took[HOLDER(w_claim[n], w_claim_gen[n]) * 2 + n]++; n++
		:: n < 2 && !(w_claim[n] != 0 && DECIDED(n)) -> n++
		:: else -> break
		od;
		n = 1;
		do
		:: n <= NS ->
			g = 1;
			do
			:: g < 4 ->
				assert(took[HOLDER(n, g) * 2] == took[HOLDER(n, g) * 2 + 1]);
				assert(took[HOLDER(n, g) * 2] <= 1);
				posted[0] = posted[0] - took[HOLDER(n, g) * 2];
				posted[1] = posted[1] - took[HOLDER(n, g) * 2 + 1];
				if
				:: w_claim[0] == n && w_claim_gen[0] == g && DECIDED(0) -> w_count[0]--; w_claim[0] = 0
				:: else
				fi;
				if
				:: w_claim[1] == n && w_claim_gen[1] == g && DECIDED(1) -> w_count[1]--; w_claim[1] = 0
				:: else
				fi;
				g++
			:: else -> break
			od;
			n++
		:: else -> break
		od;
#ifdef SEMAPHORE
		assert(posted[0] == w_count[0] + taken[0]);
		assert(posted[1] == w_count[1] + taken[1])
#endif
	}
}

init {
	byte n;
	atomic {
		choose_budgets();
		n = 1;
		do
		:: n <= NS -> l_id[n] = SETTERS + n; l_gen[n] = 1; n++
		:: else -> break
		od;
		n = 0;
		do
		:: n < SETTERS -> run setter(n); n++
		:: n >= SETTERS && n < NT -> run waiter(n); n++
		:: n == NT -> break
		od;
		run monitor()
	}
}
