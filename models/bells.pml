/* SPDX-License-Identifier: MIT */
/*
 * How the ends of a channel sleep and wake: bits, bells, barriers imposed on others, lives slept on. Threads 0 .. SENDERS - 1 join,
 * send and leave; the others receive, each record once. What a sender stores without a fence waits in a buffer until it comes out
 * by itself, or a barrier, a swap or its death drives it out. Where records lie is in lane.pml. README.md tells what each -D switch
 * takes away.
 */
#include "kernel.pml"

#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef JOINED
#define JOINED SENDERS	/* senders from this one on join while others sleep */
#endif
#ifndef RECORDS
#define RECORDS 1	/* by each sender */
#endif
#define FIRST_SLEEPER SENDERS

#if STOPS > 0
#error "a sender that is stopped between bell and wake keeps the others from waking: see README.md"
#endif

/* The end of receiver n. One that is also watched through a descriptor has two threads. */
#ifdef ONE_END
#define END		0
#define ENDS		1
#else
#define END		(me - FIRST_SLEEPER)
#define ENDS		(NT - SENDERS)
#endif

#define AT_BELL		1
#define AT_RELAY	2
#define AT_LIFE		3

/* The receivers' bits, their bells, and the value each of them sleeps on; how many threads of an end sleep. */
bool waiting[ENDS];
byte bell[ENDS], sleeps_on[ENDS], sleepers[ENDS];
bool locked[ENDS];

/* The places of the senders, who has ever been there, and the lives of their threads. */
byte owner[SENDERS], l_gen[SENDERS];
bool joined[SENDERS], l_alive[SENDERS], l_waiters[SENDERS];

/* Records to be had; and what waits in each sender's buffer: records, then that it leaves. */
byte available, buffered[SENDERS];
bool leaves_buffered[SENDERS];

/* Who sleeps on the bell of end n (n + 1), on the relay (1), on the life of sender 0, 1 (1). */
byte q_bell[NT], q_relay[NT], q_life0[NT], q_life1[NT];

#define LIVES(s)	(owner[s] != 0 && l_alive[s] && l_gen[s] == owner[s])
#if SENDERS == 1
#define PEERS_LEFT	(!LIVES(0) && joined[0])
#else
#define PEERS_LEFT	(!LIVES(0) && !LIVES(1) && (joined[0] || joined[1]))
#endif

#define DRAIN(s) \
	available = available + buffered[s]; \
	buffered[s] = 0; \
	owner[s] = (leaves_buffered[s] -> 0 : owner[s]); \
	leaves_buffered[s] = false

#define WAKE_LIFE_ONE(s) \
	if \
	:: s == 0 -> WAKE_ONE(q_life0, 1, AT_LIFE) \
	:: s == 1 -> WAKE_ONE(q_life1, 1, AT_LIFE) \
	fi
#define WAKE_LIFE_ALL(s) \
	if \
	:: s == 0 -> WAKE_ALL(q_life0, 1, AT_LIFE) \
	:: s == 1 -> WAKE_ALL(q_life1, 1, AT_LIFE) \
	fi

proctype memory()
{
end:
	do
	:: atomic { buffered[0] > 0 -> available++; buffered[0]-- }
	:: atomic { buffered[0] == 0 && leaves_buffered[0] -> owner[0] = 0; leaves_buffered[0] = false }
#if SENDERS > 1
	:: atomic { buffered[1] > 0 -> available++; buffered[1]-- }
	:: atomic { buffered[1] == 0 && leaves_buffered[1] -> owner[1] = 0; leaves_buffered[1] = false }
#endif
	od
}

/* Look at the bits; ring the bells of those who sleep. */
#ifdef FENCED
#define ASK	DRAIN(me); saw = waiting[0] + (ENDS > 1 && waiting[ENDS - 1] -> 2 : 0)
#else
#define ASK	saw = waiting[0] + (ENDS > 1 && waiting[ENDS - 1] -> 2 : 0)
#endif
#ifdef NOT_COVERED
#define COVERED		false
#else
#define COVERED		true
#endif
#define RING_BELLS \
	atomic { \
		if \
		:: true -> ASK; e = 0 \
		OR_DIE \
		fi \
	}; \
	if \
	:: saw > 0 -> \
		atomic { \
			if \
			:: true -> pending = COVERED \
			OR_DIE \
			fi \
		}; \
		do \
		:: e < ENDS && (saw >> e) & 1 -> \
			atomic { \
				if \
				:: true -> value = sleeps_on[e] \
				OR_DIE \
				fi \
			}; \
			atomic { \
				if \
				:: bell[e] == value -> bell[e] = value + 1; DRAIN(me); value = 1 \
				:: bell[e] != value -> value = 0 \
				OR_DIE \
				fi \
			}; \
			atomic { \
				if \
				:: value == 1 -> WAKE_ALL(q_bell, e + 1, AT_BELL) \
				:: value == 0 \
				OR_DIE \
				fi; \
				value = 0; \
				e++ \
			} \
		:: e < ENDS && !((saw >> e) & 1) -> e++ \
		:: e == ENDS -> break \
		od \
	:: else \
	fi; \
	atomic { \
		if \
		:: true -> pending = false; saw = 0; e = 0 \
		OR_DIE \
		fi \
	}

proctype sender(byte me)
{
	byte i, e, saw, value, gen, left;
	bool pending;

	atomic {
		gen = 1;
		left = RECORDS;
		if
		:: me < JOINED -> goto send
		:: else
		fi
	}
join:
	atomic {
		if
		:: true -> owner[me] = gen
		OR_DIE
		fi
	}
#ifndef JOINER_SILENT
	RING_BELLS;
#endif
	atomic {
		if
		:: true -> joined[me] = true
		OR_DIE
		fi
	}
send:
	if
	:: left > 0 ->
		atomic {
			if
			:: true -> buffered[me]++; left--
			OR_DIE
			fi
		}
		RING_BELLS;
		goto send
	:: left == 0
	:: left > 0
	fi;
	/* Stay, idle; or leave. */
	if
	:: goto finished
	:: true
	fi;
	atomic {
		if
		:: true -> leaves_buffered[me] = true
		OR_DIE
		fi
	}
	RING_BELLS;
	goto finished;

dying:	/* The kernel marks the life and wakes one; then it looks at the pending word. */
	atomic {
		DRAIN(me);
		saw = 0; e = 0; value = 0; left = 0;
		l_alive[me] = false
	}
	atomic {
		if
		:: l_waiters[me] -> WAKE_LIFE_ONE(me)
		:: else
		fi
	}
	atomic {
		if
		:: pending -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi;
		pending = false;
		if
		:: births > 0 -> births--
		:: true -> goto finished
		fi
	}
	/* Another takes its slot in the roster, and its place. */
	atomic {
		if
		:: l_waiters[me] -> WAKE_LIFE_ALL(me)
		:: else
		fi
	}
	atomic { gen++; l_gen[me] = gen; l_alive[me] = true; left = 1; goto join }
finished:
	atomic { left = 0; gen = 0 }
}

#define LOCK	atomic { \
	if \
	:: !locked[END] -> locked[END] = true \
	OR_DIE \
	fi }
#define UNLOCK	locked[END] = false

/* Sleep on the lives of those who own a place: flag them. */
#define WATCH_PEERS \
	do \
	:: s < SENDERS -> \
		atomic { \
			if \
			:: LIVES(s) -> l_waiters[s] = true; watched[s] = owner[s] \
			:: !LIVES(s) \
			OR_DIE \
			fi; \
			s++ \
		} \
	:: s == SENDERS -> s = 0; break \
	od

proctype sleeper(byte me)
{
	byte i, s, place, value, watched[SENDERS];
	bool pending, armed;

try:
	atomic {
		if
		:: available > 0 ->
			available--;
			if
			:: goto leaving
			:: goto try
			fi
		:: available == 0
		OR_DIE
		fi
	}
#ifdef UNTIL
	atomic {
		if
		:: !PEERS_LEFT
		:: PEERS_LEFT ->
			if
			:: available > 0 -> goto try
			:: else -> goto leaving
			fi
		OR_DIE
		fi
	}
#endif
	/* Cover the sleep; note the bell's value; tell it, and that somebody sleeps. */
	atomic {
		if
		:: true -> pending = true
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> value = bell[END]
		OR_DIE
		fi
	}
#ifdef WATCHED_FIRST
	WATCH_PEERS;
#endif
#ifdef LOOK_FIRST
	atomic {
		if
		:: available > 0 -> goto awake
		:: available == 0
		OR_DIE
		fi
	}
#endif
#ifdef NOT_LOCKED
	atomic {
		if
		:: true -> sleepers[END]++; armed = true
		OR_DIE
		fi
	}
#ifdef SLEEPS_ON_BACK
	atomic {
		if
		:: true -> sleeps_on[END] = value
		OR_DIE
		fi
	}
#else
	atomic {
		if
		:: true -> sleeps_on[END] = (value > sleeps_on[END] -> value : sleeps_on[END])
		OR_DIE
		fi
	}
#endif
	atomic {
		if
		:: true -> waiting[END] = true
		OR_DIE
		fi
	}
#else
	/* One step for the other threads of this end, which hold a lock meanwhile; the others see the store, then the bit. */
	LOCK;
	atomic {
		sleepers[END]++;
		armed = true;
#ifdef SLEEPS_ON_BACK
		sleeps_on[END] = value
#else
		value = bell[END];
		sleeps_on[END] = value
#endif
	}
	atomic { waiting[END] = true; UNLOCK }
#endif
	/* Every thread passes a barrier, one after the other. */
#if !defined(NO_BARRIER) && !defined(FENCED)
	do
	:: s < SENDERS -> atomic { DRAIN(s); s++ }
	:: s == SENDERS -> s = 0; break
	od;
#endif
#if !defined(WATCHED_FIRST) && !defined(NO_LIVES)
	WATCH_PEERS;
#endif
	/* Nobody to watch: then somebody may have come and gone again, unless nobody ever was there. */
#ifdef UNTIL
#ifdef LEFT_BY_LIVES
#define SEEN_TO_LEAVE	PEERS_LEFT
#else
#define SEEN_TO_LEAVE	(joined[0] || joined[SENDERS - 1])
#endif
	atomic {
		if
		:: watched[0] == 0 && watched[SENDERS - 1] == 0 && SEEN_TO_LEAVE -> goto awake
		:: !(watched[0] == 0 && watched[SENDERS - 1] == 0 && SEEN_TO_LEAVE)
		OR_DIE
		fi
	}
#endif
#ifndef LOOK_FIRST
	atomic {
		if
		:: available > 0 -> goto awake
		:: available == 0
		OR_DIE
		fi
	}
#endif
	/* Has somebody gone who was watched? */
	do
	:: s < SENDERS ->
		atomic {
			if
			:: watched[s] != 0 && !(owner[s] != 0 && LIVES(s)) -> goto awake
			:: !(watched[s] != 0 && !(owner[s] != 0 && LIVES(s))) -> watched[s] = (watched[s] != 0 -> owner[s] : 0)
			OR_DIE
			fi;
			s++
		}
	:: s == SENDERS -> s = 0; break
	od;
	/* futex_waitv(): the bell, the relay, the bell's other half, then the lives, each with its generation. */
	atomic {
		if
		:: bell[END] == value -> q_bell[me] = END + 1
		:: bell[END] != value -> goto awake
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> q_relay[me] = 1
		OR_DIE
		fi
	}
#ifndef BELL_NOT_COMPARED
	atomic {
		if
		:: bell[END] == value
		:: bell[END] != value -> goto awake
		OR_DIE
		fi
	}
#endif
	do
	:: s < SENDERS && watched[s] != 0 ->
		atomic {
			if
			:: l_alive[s] && l_waiters[s] && l_gen[s] == watched[s] ->
				if
				:: s == 0 -> q_life0[me] = 1
				:: s == 1 -> q_life1[me] = 1
				fi
			:: !(l_alive[s] && l_waiters[s] && l_gen[s] == watched[s]) -> goto awake
			OR_DIE
			fi;
			s++
		}
	:: s < SENDERS && watched[s] == 0 -> s++
	:: s == SENDERS -> s = 0; break
	od;
	asleep[me] = true;
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
			s = 0;
			value = 0;
			place = woken[me];
			woken[me] = 0;
			q_bell[me] = 0; q_relay[me] = 0; q_life0[me] = 0; q_life1[me] = 0;
			asleep[me] = false
		OR_DIE
		fi
	}
	/* Others may have been meant, too. */
	atomic {
		if
		:: place >= AT_RELAY -> WAKE_ALL(q_relay, 1, AT_RELAY)
		:: place < AT_RELAY
		OR_DIE
		fi;
		place = 0
	}
#ifdef NOT_LOCKED
	atomic {
		if
		:: armed -> armed = false; sleepers[END]--; place = (sleepers[END] == 0 -> 1 : 0)
		:: !armed
		OR_DIE
		fi
	}
	atomic {
		if
		:: place == 1 -> waiting[END] = false
		:: place == 0
		OR_DIE
		fi;
		place = 0
	}
#else
	if
	:: armed ->
		LOCK;
		atomic {
			armed = false;
			sleepers[END]--;
			waiting[END] = (sleepers[END] == 0 -> false : waiting[END]);
			UNLOCK
		}
	:: !armed
	fi;
#endif
	do
	:: s < SENDERS ->
		atomic {
			if
			:: watched[s] != 0 && owner[s] != 0 && !LIVES(s) -> WAKE_LIFE_ALL(s)
			:: !(watched[s] != 0 && owner[s] != 0 && !LIVES(s))
			OR_DIE
			fi;
			watched[s] = 0;
			s++
		}
	:: s == SENDERS -> s = 0; break
	od;
	goto try;
leaving:
	atomic {
		if
		:: true -> pending = false; goto finished
		OR_DIE
		fi
	}
dying:	/* Its bit stays. Of an end with two threads both die at once, which is left out. */
	atomic {
		woken[me] = 0; place = 0; value = 0; s = 0; armed = false;
		q_bell[me] = 0; q_relay[me] = 0; q_life0[me] = 0; q_life1[me] = 0;
		asleep[me] = false
	}
	atomic {
		if
		:: pending -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi;
		pending = false
	}
finished:
	atomic { watched[0] = 0; watched[SENDERS - 1] = 0 }
}

proctype monitor()
{
	byte n;
end:
	atomic {
		timeout;
		n = FIRST_SLEEPER;
		do
		:: n < NT ->
			assert(!(asleep[n] && woken[n] == 0 && available > 0));
#ifdef UNTIL
			assert(!(asleep[n] && woken[n] == 0 && PEERS_LEFT));
#endif
			n++
		:: else -> break
		od
	}
}

init {
	byte n;
	atomic {
		choose_budgets();
		do
		:: n < SENDERS ->
			l_alive[n] = true;
			l_gen[n] = 1;
			if
			:: n < JOINED -> owner[n] = 1; joined[n] = true
			:: else
			fi;
			run sender(n);
			n++
		:: n >= SENDERS && n < NT -> run sleeper(n); n++
		:: n == NT -> break
		od;
		run memory();
		run monitor()
	}
}
