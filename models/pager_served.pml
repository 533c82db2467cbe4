/* SPDX-License-Identifier: MIT */
/*
 * Served touches of one block: three maps, of two processes that have the backing and of one that has not, whose touches one of the others
 * takes. What fails is refused, by poisoning its place in that map; a mark at the word says that some map may have one. A process that dies is dead before
 * its threads are: they take touches, and change maps, for a moment yet. README.md tells what each -D switch takes away.
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef FAILS
#define FAILS 2		/* fills that fail */
#endif
#ifndef GETS
#define GETS 1		/* tries to fill what was poisoned, by each process */
#endif
#ifndef DROPS
#define DROPS 1		/* evictions, or discards of what is poisoned */
#endif
#ifndef TOUCHES
#define TOUCHES 2	/* of each map that has a toucher */
#endif

#define CLIENT	2	/* the map of the process that has no backing */
#define MAPS	3

mtype = { EMPTY, CLEAN, POISONED, FILLING, SHOWING, EVICTING };
mtype = { NONE, SHOWN, POISON };
mtype = { IDLE, WAITING, TAKEN, WOKEN };

/* The word; 0: nobody holds it, else the process that does + 1. */
mtype state = EMPTY;
byte holder;
bool mark;

bool page;
mtype map[MAPS] = NONE, touch[MAPS] = IDLE;

bool dead[2], gone[2];		/* its keeper is dead; none of its threads is left, nor its map */
byte serving = 1;		/* who takes the client's touches, + 1 */
byte deaths = DEATHS, fails = FAILS, drops = DROPS;
bool takes[2];			/* it takes the client's touches; also when it is dead, and another one serves by now, until it is gone */
bool fresh[2];			/* it took the place of a dead one, and has not yet seen that one gone */

/* What holds whenever nobody is at it: a place that is poisoned has its mark, and a mark lasts. */
#define POISONED_SOMEWHERE	(map[0] == POISON || map[1] == POISON || map[2] == POISON)
#define IN_ORDER	(holder != 0 || ((mark || !POISONED_SOMEWHERE) && (state != CLEAN || page) && (state != EMPTY || !page) && \
			 (page || (map[0] != SHOWN && map[1] != SHOWN && map[2] != SHOWN))))

#define LET_GO(as)	state = as; holder = 0; assert(IN_ORDER)
#define WAKE(m)		if :: touch[m] == WAITING || touch[m] == TAKEN -> touch[m] = WOKEN :: else fi

/* A thread that touches in map m, which ends with that process. */
proctype toucher(byte m)
{
	byte left = TOUCHES;

	do
	:: atomic { left == 0 -> break }
	:: atomic {
		left > 0 ->
		if
		:: map[m] == NONE && touch[m] == IDLE -> touch[m] = WAITING
		:: map[m] != NONE -> left--	/* it reads, or it is refused */
		fi
	}
	   do
	   :: atomic { touch[m] == WOKEN -> touch[m] = IDLE; break }
	   :: atomic { touch[m] == IDLE -> break }
	   /* It ends where nobody is left who could serve it; the client itself would refuse it then. */
	   :: atomic { (m < CLIENT && gone[m]) || (gone[0] && gone[1]) -> goto end }
	   od
	od;
end:	skip
}

/* A process dies: what is left of it goes on until it is gone. */
proctype killer(byte s)
{
	if
	:: atomic { deaths > 0 -> deaths--; dead[s] = true }
	   atomic { gone[s] = true; map[s] = NONE }
	:: true
	fi
}

#define OR_GONE		:: atomic { gone[me] -> goto over }

/* The threads of a process that has the backing, which serve; as one, since one leads. */
proctype server(byte me)
{
	byte to, m, gets = GETS;
	bool again, touched, marked;

next:
	again = false; touched = false; to = me; m = 0; marked = false;
end_here:
	do
	:: atomic { !gone[me] && takes[me] && touch[CLIENT] == WAITING -> touch[CLIENT] = TAKEN; to = CLIENT; touched = true; break }
	:: atomic { !gone[me] && me == 1 && touch[me] == WAITING -> touch[me] = TAKEN; touched = true; break }
	:: atomic { !gone[me] && gets > 0 && (state == POISONED || mark) -> gets--; again = true; break }
	:: atomic { !gone[me] && drops > 0 && holder == 0 && state == CLEAN -> drops--; state = EVICTING; holder = me + 1; goto take_away }
	:: atomic { !gone[me] && drops > 0 && holder == 0 && state == POISONED -> drops--; state = EMPTY;
#ifdef DISCARD_FORGETS
		mark = false;
#endif
		assert(IN_ORDER) }
	:: atomic { !gone[me] && serving != me + 1 && dead[1 - me] && serving == 2 - me -> serving = me + 1; takes[me] = true; fresh[me] = true }
#ifndef NO_WAKE
	:: atomic { !gone[me] && fresh[me] && serving == me + 1 ->
#ifdef WAKE_ONCE
		fresh[me] = false;
#else
		fresh[me] = !gone[1 - me];
#endif
		WAKE(CLIENT) }
#endif
	OR_GONE
	od;

resolve:
	do
	:: atomic { !gone[me] && holder != 0 && gone[holder - 1] ->	/* repaired */
		holder = me + 1;
		if
		:: state == SHOWING -> LET_GO(CLEAN)
		:: else -> state = EVICTING; goto take_away
		fi
	}
	:: atomic { !gone[me] && holder == 0 && (state == EMPTY || (state == POISONED && again)) -> state = FILLING; holder = me + 1; goto fill }
	:: atomic { !gone[me] && holder == 0 && state == CLEAN -> state = SHOWING; holder = me + 1; goto showing }
	:: atomic { !gone[me] && holder == 0 && state == POISONED && !again -> goto refuse }
	OR_GONE
	od;

fill:	/* where nobody sees it */
	if
	:: atomic { !gone[me] && fails > 0 -> fails--; mark = true; LET_GO(POISONED) }
	   if
	   :: touched -> goto refuse
	   :: else -> goto next
	   fi
	:: atomic { !gone[me] -> page = true;
		if
		:: to == me || !(gone[0] && gone[1]) -> map[to] = SHOWN
		:: else
		fi;
		WAKE(to) }
	OR_GONE
	fi;
	goto heal;

showing:
	if
	:: atomic { !gone[me] -> map[to] = SHOWN; WAKE(to) }
	OR_GONE
	fi;

heal:	/* where it has a mark now, all maps are shown it before it loses that */
	if
	:: atomic { !gone[me] -> marked = mark;
#ifdef HEAL_AFTER
		mark = false; LET_GO(CLEAN)
#endif
	}
	OR_GONE
	fi;
	do
	:: atomic { !gone[me] && marked && m < MAPS ->
		if
		:: m >= CLIENT || !gone[m] -> map[m] = SHOWN; WAKE(m)
		:: else
		fi;
		m++ }
	:: atomic { !gone[me] && (!marked || m == MAPS) -> break }
	OR_GONE
	od;
#ifndef HEAL_AFTER
	if
	:: atomic { !gone[me] ->
		mark = mark && !marked;
		LET_GO(CLEAN) }
	OR_GONE
	fi;
#endif
	goto next;

refuse:
	if
#ifdef REFUSED_UNHELD
	:: atomic { !gone[me] -> skip }
#else
	:: atomic { !gone[me] && holder == 0 && state == CLEAN -> WAKE(to) ; goto next }	/* by now: it touches again */
	:: atomic { !gone[me] && holder == 0 && state != CLEAN ->
		holder = me + 1; state = FILLING;
#ifndef MARK_LATE
		mark = true
#endif
		}
#endif
#ifdef MARKED_UNHELD
	:: atomic { !gone[me] && holder != 0 && !gone[holder - 1] -> mark = true }	/* he finds it when he lets go, or the next */
#endif
	:: atomic { !gone[me] && holder != 0 && gone[holder - 1] -> goto resolve }
	OR_GONE
	fi;
	if
	:: atomic { !gone[me] && map[to] == NONE ->
		if
		:: to == CLIENT || !gone[to] -> map[to] = POISON
		:: else
		fi;
		WAKE(to) }
	:: atomic { !gone[me] && map[to] != NONE -> WAKE(to) }
	OR_GONE
	fi;
	if
	:: atomic { !gone[me] && holder == me + 1 ->
#ifdef MARK_LATE
		mark = true;
#endif
		LET_GO(POISONED) }
	:: atomic { !gone[me] && holder != me + 1 -> skip }
	OR_GONE
	fi;
	goto next;

take_away:
	if
	:: atomic { !gone[me] -> page = false; m = 0;
		do
		:: m < MAPS -> if :: map[m] == SHOWN -> map[m] = NONE :: else fi; m++
		:: else -> break
		od }
	OR_GONE
	fi;
	if
	:: atomic { !gone[me] ->
#ifdef REPAIR_FORGETS
		mark = false;
#endif
		if
		:: mark -> LET_GO(POISONED)
		:: else -> LET_GO(EMPTY)
		fi }
	OR_GONE
	fi;
	if
	:: touched || again -> m = 0; goto resolve
	:: else -> goto next
	fi;

over:	skip
}

init
{
	atomic {
		takes[0] = true;
		run toucher(1); run toucher(CLIENT);
		run server(0); run server(1);
		run killer(0); run killer(1)
	}
}
