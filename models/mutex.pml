/* SPDX-License-Identifier: MIT */
/*
 * The mutex and the roster: enrol, lock, sleep on {word, relay, life, generation}, unlock, leave; death at every step, slots
 * used again. README.md tells what is left out, and what each -D switch takes away.
 */
#include "kernel.pml"

#ifdef NEIGHBOUR
#define LOCKERS	(NT - 1)	/* threads 0 .. LOCKERS - 1 lock */
#else
#define LOCKERS	NT
#endif
#define NS NT		/* slots 1..NS */
#ifndef ROUNDS
#define ROUNDS 1	/* times each thread locks */
#endif

/* Places in the vector of a sleeper. The generation is only compared, nobody wakes it. */
#define AT_WORD		1
#ifdef RELAY_LAST
#define AT_LIFE		2
#define AT_RELAY	3
#else
#define AT_RELAY	2
#define AT_LIFE		3
#endif

/* A wake that came by the relay, or by a life word, which may have hidden one by the relay, is for everybody. */
#ifdef LIFE_HIDES_RELAY
#define IS_FOR_ALL(p)	(p == AT_RELAY)
#else
#define IS_FOR_ALL(p)	(p == AT_RELAY || p == AT_LIFE)
#endif

/*
 * The mutex word; slot 0 is nobody. A free word with WAITERS has the unlocker's ticket: is it still the word that thread t left?
 */
byte m_slot, m_gen;
bool m_waiters, as_left_by[NT];

/* The life words; id 0 is dead. */
byte l_gen[NS + 1], l_id[NS + 1];
bool l_waiters[NS + 1];

/* Who sleeps on the mutex word (1), on the relay word (1), on the life word of slot n (n). */
byte q_word[NT], q_relay[NT], q_life[NT];

/* Ghosts: threads inside; whether the last owner died inside; whether somebody unlocked after a thread was stopped. */
byte holders;
bool dirty, stop_seen, unlocked_since;

/* Thread ids: all different, or all the same, as in several process-id namespaces. */
#ifdef SAME_ID
#define ID_OF(t)	1
#else
#define ID_OF(t)	(t + 1)
#endif
#define ID		ID_OF(me)

/* What `list_op_pending` names: the life word of slot n (n), or the relay word. */
#define RELAY		99
#ifdef PENDING_ON_LIFE
#define COVER		v_slot
#else
#define COVER		RELAY
#endif

#define WORD_IS_AS_SEEN	(m_slot == v_slot && m_gen == v_gen && m_waiters == v_waiters)
#define LIFE_IS_AS_SEEN	(l_id[v_slot] == v_id && l_gen[v_slot] == v_gen)

inline acquired(inherited)
{
	assert(holders == 0);
	assert(dirty == inherited);
	holders = 1;
	dirty = false;
	holding = true;
	m_slot = slot;
	m_gen = gen;
	d_step {
		i = 0;
		do
		:: i < NT -> as_left_by[i] = false; i++
		:: else -> break
		od;
		i = 0
	}
}

inline stopped()
{
	stop_seen = true;
	unlocked_since = false
}

inline forget()
{
	v_slot = 0; v_gen = 0; v_id = 0; v_waiters = false; flag = false; late = false; place = 0
}

proctype thread(byte me)
{
	byte i, rounds, pending, place;
	byte slot, gen;			/* who I am */
	byte v_slot, v_gen, v_id;	/* the owner as I saw it */
	bool v_waiters, flag, holding, late;

	atomic {
		slot = me + 1;		/* the first generation is enrolled from the start */
		gen = 1;
		rounds = ROUNDS;
		goto lock
	}

enrol:	/* Choose a dead slot. Wake who may still sleep on its last owner. */
	atomic {
		rounds = ROUNDS;
		if
		:: l_id[1] == 0 -> v_slot = 1
		:: l_id[2] == 0 -> v_slot = 2
#if NS > 2
		:: l_id[3] == 0 -> v_slot = 3
#endif
#if NS > 3
		:: l_id[4] == 0 -> v_slot = 4
#endif
		OR_DIE
		fi;
		v_gen = l_gen[v_slot];
		flag = l_waiters[v_slot]
	}
#ifndef NO_WAKE_AT_ENROL
	atomic {
		if
		:: flag -> WAKE_ALL(q_life, v_slot, AT_LIFE)
		:: !flag
		OR_DIE
		fi
	}
#endif
	/* The own node is pending from here on, */
#ifndef SAME_ID
	atomic {
		if
		:: true -> pending = v_slot
		OR_DIE
		fi
	}
#endif
	/* until the node is linked after the compare-and-swap; pending or linked is the same to the kernel: one step. */
	atomic {
		if
		:: l_id[v_slot] == 0 && l_gen[v_slot] == v_gen ->
			slot = v_slot;
			gen = v_gen + 1;
			l_gen[slot] = gen;
			l_id[slot] = ID;
#ifdef WAITERS_CLEARED_AT_ENROL
			l_waiters[slot] = false;
#endif
			pending = 0;
			forget()
		:: !(l_id[v_slot] == 0 && l_gen[v_slot] == v_gen) -> pending = 0; forget(); goto enrol
		OR_DIE
		fi
	}

lock:
	atomic {
		if
		:: m_slot == 0 -> acquired(false); goto locked
		:: m_slot != 0 && late -> goto locked
		:: m_slot != 0 && !late -> v_slot = m_slot; v_gen = m_gen; v_waiters = m_waiters; place = 0
		OR_DIE OR_STOP
		fi
	}
	/* Is the owner alive? */
	atomic {
		v_id = l_id[v_slot];
		flag = l_waiters[v_slot];
		if
		:: v_id != 0 && l_gen[v_slot] == v_gen -> goto arm
		:: else -> skip
		fi
	}
	atomic {
		if
		:: WORD_IS_AS_SEEN ->
			acquired(true);
#ifdef WAITERS_LOST_AT_STEAL
			m_waiters = false;
#endif
			goto locked
		:: !WORD_IS_AS_SEEN -> goto lock
		OR_DIE OR_STOP
		fi
	}

arm:	/* Cover the sleep, set WAITERS in the mutex word, */
	atomic {
		if
		:: true ->
#ifndef NO_PENDING
			pending = COVER;
#endif
			skip
		OR_DIE OR_STOP
		fi
	}
	atomic {
		if
		:: v_waiters
		:: !v_waiters && WORD_IS_AS_SEEN -> m_waiters = true; v_waiters = true
		:: !v_waiters && !WORD_IS_AS_SEEN -> goto lock
		OR_DIE OR_STOP
		fi
	}
	/* and in the life word, if it is as it was read. */
	atomic {
		if
		:: flag
		:: !flag && LIFE_IS_AS_SEEN && !l_waiters[v_slot] -> l_waiters[v_slot] = true
		:: !flag && !(LIFE_IS_AS_SEEN && !l_waiters[v_slot]) -> goto lock
		OR_DIE OR_STOP
		fi;
		flag = false
	}
	/* futex_waitv(). */
	atomic {
		if
#ifdef RECHECK_DROPPED
		:: true -> q_word[me] = 1
#else
		:: WORD_IS_AS_SEEN -> q_word[me] = 1
		:: !WORD_IS_AS_SEEN -> goto awake
#endif
		OR_DIE
		fi
	}
#ifndef RELAY_LAST
	atomic {
		if
		:: true -> q_relay[me] = 1
		OR_DIE
		fi
	}
#endif
	atomic {
		if
		:: l_id[v_slot] == v_id && l_waiters[v_slot] -> q_life[me] = v_slot
		:: !(l_id[v_slot] == v_id && l_waiters[v_slot]) -> goto awake
		OR_DIE
		fi
	}
	atomic {
		if
		:: l_gen[v_slot] == v_gen -> asleep[me] = true
		:: l_gen[v_slot] != v_gen -> goto awake
		OR_DIE
		fi
#ifdef RELAY_LAST
		; q_relay[me] = 1
#endif
	}
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
			q_word[me] = 0; q_relay[me] = 0; q_life[me] = 0;
			asleep[me] = false
		OR_DIE OR_STOP
		fi
	}
	atomic {
		if
		:: IS_FOR_ALL(place) -> WAKE_ALL(q_relay, 1, AT_RELAY)
		:: !IS_FOR_ALL(place)
		OR_DIE OR_STOP
		fi
	}
#ifndef NO_WAKE_AT_DEATH
	atomic {
		if
		:: l_id[v_slot] == 0 || l_gen[v_slot] != v_gen -> WAKE_ALL(q_life, v_slot, AT_LIFE)
		:: !(l_id[v_slot] == 0 || l_gen[v_slot] != v_gen)
		OR_DIE OR_STOP
		fi
	}
#endif
	goto lock;

locked:	/* Or given up. */
	atomic {
		if
		:: true -> pending = 0; forget()
		OR_DIE OR_STOP
		fi
	}
	if
	:: holding
	:: else -> goto done
	fi;
	/* Unlock: to 0, or, when there are waiters, to WAITERS and a ticket. */
	atomic {
		if
		:: true ->
			assert(m_slot == slot && m_gen == gen);
			flag = m_waiters;
			m_slot = 0;
			m_gen = 0;
#ifdef WAITERS_CLEARED
			m_waiters = false;
#endif
			as_left_by[me] = flag;
			holding = false;
			holders = 0;
			unlocked_since = stop_seen && !flag
		OR_DIE OR_STOP
		fi
	}
	if
	:: flag ->
		atomic {
			if
#ifdef ONE_WOKEN
			:: true -> WAKE_ONE(q_word, 1, AT_WORD)
#else
			:: true -> WAKE_ALL(q_word, 1, AT_WORD)
#endif
			OR_DIE OR_STOP
			fi;
			unlocked_since = stop_seen
		}
		atomic {
			if
#ifdef NO_TICKET
			:: m_slot == 0 -> m_waiters = false
			:: m_slot != 0
#else
			:: as_left_by[me] -> m_waiters = false
			:: !as_left_by[me]
#endif
			OR_DIE OR_STOP
			fi;
			flag = false;
			as_left_by[me] = false
		}
	:: else
	fi;
done:
	atomic {
		if
		:: rounds > 1 -> rounds--; goto lock
		:: rounds <= 1 -> rounds = 0
		fi
	}
	/* Stay, idle; or leave: pending = relay, mark DIED, wake all, clear pending, unlink. */
	if
	:: goto finished
	:: atomic { true -> pending = RELAY }
	fi;
	atomic {
		if
		:: true ->
			flag = l_waiters[slot];
			l_id[slot] = 0;
			v_slot = slot;
			slot = 0;
			gen = 0
		OR_DIE OR_STOP
		fi
	}
	atomic {
		if
		:: flag -> WAKE_ALL(q_life, v_slot, AT_LIFE)
		:: !flag
		OR_DIE OR_STOP
		fi;
		goto finished
	}

dying:	/* The kernel takes the thread from its queues, walks its robust list, then looks at the pending word. */
	atomic {
		woken[me] = 0;
		q_word[me] = 0; q_relay[me] = 0; q_life[me] = 0;
		asleep[me] = false;
		forget();
		rounds = 0;
		as_left_by[me] = false;
		if
		:: holding -> holding = false; holders = 0; dirty = true
		:: else
		fi;
		if
		:: slot != 0 && l_id[slot] == ID -> l_id[slot] = 0; flag = l_waiters[slot]; v_slot = slot
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
		:: pending == 0
		:: pending == RELAY -> flag = true
		:: pending != 0 && pending != RELAY ->
			if
			:: l_id[pending] == 0 -> flag = true
			:: l_id[pending] == ID -> l_id[pending] = 0; flag = l_waiters[pending]
			:: l_id[pending] != 0 && l_id[pending] != ID -> pending = 0
			fi
		fi
	}
	atomic {
		if
		:: flag && pending != RELAY -> WAKE_ONE(q_life, pending, AT_LIFE)
		:: flag && pending == RELAY -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: !flag
		fi;
		flag = false;
		pending = 0;
		if
		:: births > 0 -> births--; goto enrol
		:: true -> goto finished
		fi
	}
end_stopped:
	false;
finished:
	atomic { pending = 0; forget() }
}

#ifdef NEIGHBOUR
/*
 * The last thread sleeps on another object of the segment, whose setter dies between its store and its wake: all that is
 * left of it is one wake of the relay word.
 */
bool setter_died;

proctype neighbour(byte me)
{
	byte i;

	atomic {
		if
		:: setter_died -> goto finished
		:: else -> q_relay[me] = 1; asleep[me] = true
		fi
	}
end_asleep:
	atomic {
		if
		:: woken[me] > 0
		OR_DIE
		fi;
		q_relay[me] = 0;
		asleep[me] = false
	}
	atomic {
		if
		:: woken[me] == AT_RELAY -> WAKE_ALL(q_relay, 1, AT_RELAY)
		OR_DIE
		fi;
		woken[me] = 0;
		goto finished
	}
dying:
	atomic { q_relay[me] = 0; asleep[me] = false; woken[me] = 0 }
	atomic { WAKE_ONE(q_relay, 1, AT_RELAY) }
finished:
	skip
}

proctype neighbours_setter()
{
	atomic { setter_died = true; WAKE_ONE(q_relay, 1, AT_RELAY) }
}
#endif

/* Nothing can move: nobody may sleep who could have the mutex. */
proctype monitor()
{
	byte n;
end:
	atomic {
		timeout;
		do
		:: n < NT ->
			assert(!(asleep[n] && woken[n] == 0 && (!stop_seen || unlocked_since) &&
				 n < LOCKERS && (m_slot == 0 || l_id[m_slot] == 0 || l_gen[m_slot] != m_gen)));
			n++
		:: else -> break
		od;
#ifdef NEIGHBOUR
		assert(!(setter_died && asleep[NT - 1] && woken[NT - 1] == 0))
#endif
	}
}

init {
	byte n;
	atomic {
		choose_budgets();
		n = 1;
		do
		:: n <= NT -> l_id[n] = ID_OF(n - 1); l_gen[n] = 1; n++
		:: else -> break
		od;
		n = 0;
		do
		:: n < LOCKERS -> run thread(n); n++
		:: else -> break
		od;
#ifdef NEIGHBOUR
		run neighbour(NT - 1);
		run neighbours_setter();
#endif
		run monitor()
	}
}
