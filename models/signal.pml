/* SPDX-License-Identifier: MIT */
/*
 * The signal word: posting and waiting for automatic events, manual events (-DMANUAL) and semaphores (-DSEMAPHORE), one or two
 * objects in one segment; setters and waiters that die or stop at every step. Claims are in wait_all.pml.
 */
#include "kernel.pml"

#ifndef SETTERS
#define SETTERS 1	/* threads 0 .. SETTERS - 1 post, the others wait */
#endif
#ifndef POSTS
#define POSTS 1		/* by each setter */
#endif
#ifndef OBJECTS
#define OBJECTS 1	/* thread t posts to, or waits for, object t % OBJECTS */
#endif
#ifndef FIRST_ANY
#define FIRST_ANY NT	/* waiters from this thread on wait for any of both objects */
#endif

#if defined(MANUAL) || !defined(SEMAPHORE)
#define MAXIMUM 1
#define UNITS 1
#else
#define MAXIMUM 200
#define UNITS 2		/* each post gives */
#endif

/* Places in the vector of a sleeper: the words, then the relay. The high halves are only compared. */
#ifdef RELAY_FIRST
#define AT_RELAY	1
#define AT_WORD(o)	(2 + o)
#else
#define AT_WORD(o)	(1 + o)
#define AT_RELAY	(1 + OBJECTS)
#endif

/* The words. AVAILABLE is count > 0. */
byte w_count[OBJECTS], w_sequence[OBJECTS];
bool w_waiters[OBJECTS];

/* Who sleeps on the word of object 0, of object 1 (both: 1), on the relay (1). */
byte q_word0[NT], q_word1[NT], q_relay[NT];

/* Ghosts: units posted and taken; whether a thread was stopped and a post of the object was begun and finished after that. */
byte posted[OBJECTS], taken[OBJECTS];
bool stop_seen, posted_since[OBJECTS];

#define WAITS_FOR(t, o)	(t >= FIRST_ANY || t % OBJECTS == o)

inline stopped()
{
	stop_seen = true
}

#if OBJECTS == 2
#define WAKE_WORD(o) \
	if \
	:: o == 0 -> WAKE_ALL(q_word0, 1, AT_WORD(0)) \
	:: o == 1 -> WAKE_ALL(q_word1, 1, AT_WORD(1)) \
	fi
#else
#define WAKE_WORD(o)	WAKE_ALL(q_word0, 1, AT_WORD(0))
#endif

proctype setter(byte me)
{
	byte i, o, rounds, v_count, v_sequence;
	bool pending, flag, since;

	atomic {
		rounds = POSTS;
		o = me % OBJECTS
	}
post:
#ifndef NO_PENDING
	atomic {
		if
		:: true -> pending = true
		OR_DIE OR_STOP
		fi
	}
#endif
	atomic {
		if
		:: true ->
#ifdef SET_ONCE
			if
			:: MAXIMUM == 1 && w_count[o] == 1 -> since = stop_seen; goto posting_done
			:: else
			fi;
#endif
#ifndef MANUAL
			posted[o] = posted[o] + UNITS;
			if
			:: w_count[o] + UNITS > MAXIMUM -> posted[o] = posted[o] - UNITS
			:: else
			fi;
#endif
			if
			:: w_count[o] + UNITS <= MAXIMUM -> w_count[o] = w_count[o] + UNITS
			:: else
			fi;
#ifndef NO_SEQUENCE
			w_sequence[o]++;
#endif
			flag = w_waiters[o];
#ifdef WAITERS_CLEARED
			w_waiters[o] = false;
#endif
			v_count = w_count[o];
			v_sequence = w_sequence[o];
			since = stop_seen
		OR_DIE OR_STOP
		fi
	}
	if
	:: flag ->
		atomic {
			if
#ifdef ONE_WOKEN
			:: true -> WAKE_ONE(q_word0, 1, AT_WORD(0))
#else
			:: true -> WAKE_WORD(o)
#endif
			OR_DIE OR_STOP
			fi
		}
		atomic {
			if
#ifdef CLEAR_BLIND
			:: true -> w_waiters[o] = false
#else
			:: w_count[o] == v_count && w_sequence[o] == v_sequence && w_waiters[o] -> w_waiters[o] = false
			:: !(w_count[o] == v_count && w_sequence[o] == v_sequence && w_waiters[o])
#endif
			OR_DIE OR_STOP
			fi
		}
	:: else
	fi;
posting_done:
	atomic {
		if
		:: true ->
			posted_since[o] = posted_since[o] || since;
			pending = false; flag = false; since = false; v_count = 0; v_sequence = 0;
			rounds--;
			if
			:: rounds > 0 -> goto post
			:: else -> goto finished
			fi
		OR_DIE OR_STOP
		fi
	}
dying:
	atomic { v_count = 0; v_sequence = 0; flag = false; since = false; rounds = 0 }
	atomic {
		if
		:: pending -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi;
		pending = false;
		goto finished
	}
end_stopped:
	false;
finished:
	skip
}

proctype waiter(byte me)
{
	byte i, o, place;
	byte v_sequence[OBJECTS];	/* of the last try */
	bool pending, slept[OBJECTS], late;

try:	/* Each object in turn. */
	o = 0;
	do
	:: o < OBJECTS && WAITS_FOR(me, o) ->
		atomic {
			if
			:: w_count[o] > 0 ->
#ifndef MANUAL
				w_count[o]--;
				taken[o]++;
#endif
				goto leaving
			:: w_count[o] == 0 -> v_sequence[o] = w_sequence[o]; o++
			OR_DIE OR_STOP
			fi
		}
	:: o < OBJECTS && !WAITS_FOR(me, o) -> o++
	:: o == OBJECTS -> o = 0; break
	od;
	if
	:: late -> goto leaving
	:: !late
	fi;
	/* Cover the sleep, and set WAITERS in each word if it is as it was seen. */
	atomic {
		if
		:: true ->
#ifndef NO_SLEEPER_PENDING
			pending = true;
#endif
			skip
		OR_DIE OR_STOP
		fi
	}
	do
	:: o < OBJECTS && WAITS_FOR(me, o) ->
		atomic {
			if
			:: w_waiters[o] -> slept[o] = true; o++	/* a failed swap would only look again */
			:: !w_waiters[o] && w_count[o] == 0 && w_sequence[o] == v_sequence[o] ->
				w_waiters[o] = true; slept[o] = true; o++
			:: !w_waiters[o] && !(w_count[o] == 0 && w_sequence[o] == v_sequence[o]) -> goto again
			OR_DIE OR_STOP
			fi
		}
	:: o < OBJECTS && !WAITS_FOR(me, o) -> o++
	:: o == OBJECTS -> o = 0; break
	od;
	/* futex_waitv(). */
#ifdef RELAY_FIRST
	atomic {
		if
		:: true -> q_relay[me] = 1
		OR_DIE
		fi
	}
#endif
	do
	:: o < OBJECTS && WAITS_FOR(me, o) ->
		atomic {
			if
#ifdef RECHECK_DROPPED
			:: true ->
#else
			:: !(w_waiters[o] && w_count[o] == 0) -> goto awake
			:: w_waiters[o] && w_count[o] == 0 ->
#endif
				if
				:: o == 0 -> q_word0[me] = 1
				:: o == 1 -> q_word1[me] = 1
				fi;
				o++
			OR_DIE
			fi
		}
	:: o < OBJECTS && !WAITS_FOR(me, o) -> o++
	:: o == OBJECTS -> o = 0; break
	od;
#ifndef RELAY_FIRST
	atomic {
		if
		:: true -> q_relay[me] = 1
		OR_DIE
		fi
	}
#endif
#if !defined(RECHECK_DROPPED) && !defined(HIGH_NOT_COMPARED)
	do
	:: o < OBJECTS && WAITS_FOR(me, o) ->
		atomic {
			if
			:: w_count[o] == 0 && w_sequence[o] == v_sequence[o] -> o++
			:: !(w_count[o] == 0 && w_sequence[o] == v_sequence[o]) -> goto awake
			OR_DIE
			fi
		}
	:: o < OBJECTS && !WAITS_FOR(me, o) -> o++
	:: o == OBJECTS -> o = 0; break
	od;
#endif
	atomic { asleep[me] = true; v_sequence[0] = 0; v_sequence[OBJECTS - 1] = 0 }
end_asleep:
	atomic {
		if
		:: woken[me] > 0
		:: giveups > 0 -> giveups--; late = true
		OR_DIE
		fi
	}
awake:
	atomic {
		if
		:: true ->
			place = woken[me];
			woken[me] = 0;
			q_word0[me] = 0; q_word1[me] = 0; q_relay[me] = 0;
			asleep[me] = false
		OR_DIE OR_STOP
		fi
	}
	if
	:: place == AT_RELAY ->
		atomic {
			if
			:: true -> WAKE_ALL(q_relay, 1, AT_RELAY)
			OR_DIE OR_STOP
			fi
		}
	:: else
	fi;
again:
	o = 0;
	place = 0;
	goto try;

leaving: /* Having taken one, or given up: what is left available was perhaps our wake to pass on. */
	o = 0;
#ifndef NO_PASS_ON
	do
	:: o < OBJECTS ->
		atomic {
			if
			:: slept[o] && w_count[o] > 0 && w_waiters[o] -> WAKE_WORD(o)
			:: else
			OR_DIE OR_STOP
			fi;
			o++
		}
	:: o == OBJECTS -> o = 0; break
	od;
#endif
	atomic {
		if
		:: true -> pending = false; goto finished
		OR_DIE OR_STOP
		fi
	}
dying:
	atomic {
		woken[me] = 0;
		q_word0[me] = 0; q_word1[me] = 0; q_relay[me] = 0;
		asleep[me] = false
	}
	atomic {
		if
		:: pending -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi;
		goto finished
	}
end_stopped:
	false;
finished:
	atomic {
		o = 0; place = 0; late = false; pending = false;
		v_sequence[0] = 0; v_sequence[OBJECTS - 1] = 0;
		slept[0] = false; slept[OBJECTS - 1] = false
	}
}

proctype monitor()
{
	byte n, o;
end:
	atomic {
		timeout;
		do
		:: o < OBJECTS ->
#ifndef MANUAL
			assert(posted[o] == taken[o] + w_count[o]);
#endif
			n = SETTERS;
			do
			:: n < NT ->
				assert(!(asleep[n] && woken[n] == 0 && WAITS_FOR(n, o) && w_count[o] > 0 &&
					 (!stop_seen || posted_since[o])));
				n++
			:: else -> break
			od;
			o++
		:: else -> break
		od
	}
}

init {
	byte n;
	atomic {
		choose_budgets();
		do
		:: n < SETTERS -> run setter(n); n++
		:: n >= SETTERS && n < NT -> run waiter(n); n++
		:: n == NT -> break
		od;
		run monitor()
	}
}
