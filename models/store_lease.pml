/* SPDX-License-Identifier: MIT */
/*
 * An object of a store that clients hold and release while the server ends it, waits for its leases, overwrites its bytes, and makes the entry another
 * object. Clients die anywhere, and so does the server, which has a successor. The stores that the two sides tell each other by, leases and the end of
 * the object, wait in a buffer until a barrier, or until they come out by themselves. README.md tells what each -D switch takes away.
 */
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef DEATHS
#define DEATHS 1	/* of clients */
#endif
#ifndef SERVER_DEATHS
#define SERVER_DEATHS 0
#endif
#ifndef OBJECTS
#define OBJECTS 3	/* one after the other, in one entry and one place */
#endif
#ifndef GETS
#define GETS 2		/* of each client */
#endif
#define NONE 255

#define FREE 0
#define SEALED 1
#define DYING 2

/* The entry's state word, and what is in the server's buffer for it; whose bytes are there, 0: nobody's. */
byte state = SEALED, generation = 1, state_buffer = NONE, bytes = 1;

/* A word of each client's, and its buffer. 0: not in use. */
byte lease[CLIENTS], lease_buffer[CLIENTS];
bool alive[CLIENTS];

byte deaths, server_deaths;
bool server_done; /* ghost */

#define OR_DIE	:: deaths > 0 -> deaths--; goto dying
#define SERVER_OR_DIE	:: server_deaths > 0 -> server_deaths--; goto dying

#ifdef NO_GENERATION
#define LEASE(g)	1
#define SAME(s, g)	(state == s)
#else
#define LEASE(g)	(g)
#define SAME(s, g)	(state == s && generation == g)
#endif

/* Stores come out of the buffers at any time. */
proctype memory()
{
end:
	do
	:: atomic { state_buffer != NONE -> state = state_buffer; state_buffer = NONE }
	:: atomic { lease_buffer[0] != NONE -> lease[0] = lease_buffer[0]; lease_buffer[0] = NONE }
#if CLIENTS > 1
	:: atomic { lease_buffer[1] != NONE -> lease[1] = lease_buffer[1]; lease_buffer[1] = NONE }
#endif
	od
}

inline drain_lease(n)
{
	if
	:: lease_buffer[n] != NONE -> lease[n] = lease_buffer[n]; lease_buffer[n] = NONE
	:: else
	fi
}

inline drain_state()
{
	if
	:: state_buffer != NONE -> state = state_buffer; state_buffer = NONE
	:: else
	fi
}

/* One store after another: what was in the buffer comes out first. */
inline store_lease(n, value)
{
	drain_lease(n);
	lease_buffer[n] = value
}

proctype client(byte me)
{
	byte expected, gets, looks;

get:
	atomic {
		looks = 0;
		expected = 0;
		if
		:: gets == GETS -> goto out
		:: else
		fi
	}
	/* The state, as it was found. Who finds no object asks the server, and looks again. */
	atomic {
		if
		:: state == SEALED -> expected = generation; gets++
		:: state != SEALED && server_done -> goto out
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> store_lease(me, LEASE(expected))
		OR_DIE
		fi
	}
#if defined(FENCES) && !defined(NO_CLIENT_FENCE)
	atomic {
		if
		:: true -> drain_lease(me)
		OR_DIE
		fi
	}
#endif
#ifndef NO_RECHECK
	atomic {
		if
		:: SAME(SEALED, expected)
		:: !SAME(SEALED, expected) -> goto release
		OR_DIE
		fi
	}
#endif
	/* Held: its bytes stay. */
	do
	:: looks < 2 ->
		atomic {
			if
			:: true -> assert(bytes == expected); looks++
			OR_DIE
			fi
		}
	:: else -> break
	od;
release:
	atomic {
		if
		:: true -> store_lease(me, 0)
		OR_DIE
		fi
	}
#ifdef RELEASED_EARLY
	if
	:: looks > 0 -> atomic { assert(bytes == expected) }
	:: else
	fi;
#endif
	goto get;
dying:	/* What it stored comes out; the kernel closes its socket. */
	atomic { drain_lease(me); alive[me] = false }
out:	skip
}

#ifdef DEAD_LEASES_COUNT
#define HOLDS(n)	(lease[n] == LEASE(mine))
#else
#define HOLDS(n)	(alive[n] && lease[n] == LEASE(mine))
#endif

#if CLIENTS > 1
#define NOBODY_HOLDS	(!HOLDS(0) && !HOLDS(1))
#else
#define NOBODY_HOLDS	(!HOLDS(0))
#endif

#define SCAN \
	atomic { i = 0; held = false }; \
	do \
	:: i < CLIENTS -> \
		atomic { \
			if \
			:: HOLDS(i) -> held = true \
			:: else \
			fi; \
			i++ \
		} \
	:: else -> i = 0; break \
	od

proctype server()
{
	byte mine, i;
	bool held, adopted;

adopt:	/* What its predecessor stored has come out. */
	atomic {
		drain_state();
		mine = generation;
		if
		:: state == SEALED -> goto live
		:: state == DYING -> goto wait
		:: state == FREE -> goto make
		fi
	}
live:
	atomic {
		adopted = false;
		if
		:: mine == OBJECTS -> goto finished
		:: else
		fi
	}
#ifdef SCAN_FIRST
	SCAN;
	if
	:: held -> goto live
	:: else
	fi;
#endif
	atomic {
		if
		:: true -> state_buffer = DYING
		SERVER_OR_DIE
		fi
	}
#ifdef SCAN_FIRST
	atomic { drain_state(); goto free }
#endif
wait:
#ifdef ADOPTED_UNSCANNED
	if
	:: adopted -> goto free
	:: else
	fi;
#endif
#ifdef ADOPTED_UNFENCED
	if
	:: adopted -> goto scan
	:: else
	fi;
#endif
	/* All pass a barrier, one after the other; or each client passes its own, and the server this one. */
#if !defined(NO_BARRIER)
	atomic {
		if
		:: true -> drain_state()
		SERVER_OR_DIE
		fi
	}
#ifndef FENCES
	do
	:: i < CLIENTS ->
		atomic {
			if
			:: true -> drain_lease(i); i++
			SERVER_OR_DIE
			fi
		}
	:: else -> i = 0; break
	od;
#endif
#endif
scan:	/* Once more needs no other barrier. */
	SCAN;
	if
	:: held ->
		atomic {
			if
			:: NOBODY_HOLDS -> held = false; goto scan
			SERVER_OR_DIE
			fi
		}
	:: else
	fi;
free:
	atomic {
		if
		:: true -> drain_state(); state = FREE
		SERVER_OR_DIE
		fi
	}
make:	/* The place is used again, and the entry. */
	atomic {
		if
		:: true -> bytes = 0
		SERVER_OR_DIE
		fi
	}
	atomic {
		if
		:: true -> bytes = mine + 1
		SERVER_OR_DIE
		fi
	}
	atomic {
		if
		:: true -> mine++; generation = mine; state = SEALED
		SERVER_OR_DIE
		fi
	}
	goto live;
dying:
	atomic { i = 0; mine = 0; held = false; adopted = true; goto adopt }
finished:
	atomic { mine = 0; server_done = true }
}

/* Nothing can move: the server waits for nobody. */
proctype monitor()
{
end:
	atomic { timeout; assert(server_done) }
}

init {
	byte n;

	atomic {
		select(deaths : 0 .. DEATHS);
		select(server_deaths : 0 .. SERVER_DEATHS);
		n = 0;
		do
		:: n < CLIENTS -> lease_buffer[n] = NONE; alive[n] = true; n++
		:: else -> break
		od;
		n = 0;
		run memory();
		run server();
		do
		:: n < CLIENTS -> run client(n); n++
		:: else -> break
		od;
		run monitor()
	}
}
