/* SPDX-License-Identifier: MIT */
/*
 * A stream: a writer that writes, and tells the end or not, dies at any step, or leaves; others that come after it; a reader that
 * reads and finds out how it ended. Each store is seen in order, as all of them are releases. README.md tells what each -D switch takes away.
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef BYTES
#define BYTES 3
#endif
#ifndef WRITERS
#define WRITERS 2	/* one after the other, or at once */
#endif
#define RING 2
#define AT(p)		((p) % RING)

#define NONE 0
#define FINISHED 1
#define FAILED 2

/* A byte is its position and its writer; 255: half overwritten. */
byte byte_at[RING], byte_of[RING];
byte tail, hold, ending, owner, joined;
bool alive[WRITERS + 1];
byte deaths;

/* Ghosts: whose stream it is, how many of its bytes are there, and what it told. */
byte writer, written, told;

#define OR_DIE	:: deaths > 0 -> deaths--; goto dying

proctype a_writer(byte self)
{
	byte position;

#ifndef JOINS_AGAIN
	if
	:: joined -> goto out
	:: else
	fi;
#endif
	atomic {
		if
		:: owner == 0 || !alive[owner] -> owner = self
		:: else -> goto out
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> joined++
		OR_DIE
		fi
	}
#ifndef JOINS_AGAIN
#ifndef NOT_COUNTED
	atomic {
		if
		:: joined != 1 -> goto leaving
		:: else
		fi
	}
#endif
#else
	position = tail;
#endif
	atomic { writer = (writer == 0 -> self : writer) }
	do
	:: position < BYTES ->
		atomic {
			if
			:: position < hold + RING	/* room; it waits as bells.pml has it, until the reader has gone */
			OR_DIE
			fi
		}
#ifdef TAIL_FIRST
		atomic { tail = position + 1; written = tail }
#endif
		atomic {
			if
			:: true -> byte_at[AT(position)] = 255
			OR_DIE
			fi
		}
		atomic {
			if
			:: true -> byte_at[AT(position)] = position; byte_of[AT(position)] = self
			OR_DIE
			fi
		}
		position++;
#ifndef TAIL_FIRST
		atomic {
			if
			:: true -> tail = position; written = position
			OR_DIE
			fi
		}
#endif
	:: break	/* it has no more */
	od;
	atomic {
		if
		:: true -> ending = FINISHED; told = FINISHED
		:: true -> ending = FAILED; told = FAILED
		:: true	/* it leaves as it is */
		OR_DIE
		fi
	}
leaving:
	atomic {
		if
		:: owner == self -> owner = 0
		OR_DIE
		fi
	}
out:
	atomic { alive[self] = false; goto gone }
dying:
	atomic { alive[self] = false }
gone:	skip
}

/* Whether it lives, what it told, where its tail is: in this order. */
#define LOOK_AT_LIFE	atomic { gone = joined > 0 && (owner == 0 || !alive[owner]) }
#define LOOK_AT_ENDING	atomic { end = ending }
#define LOOK_AT_TAIL	atomic { seen = tail }

proctype a_reader()
{
	byte next, seen, end;
	bool gone;

	do
	:: true ->
		LOOK_AT_TAIL;
		if
		:: seen == next ->
#ifdef LIFE_LAST
			LOOK_AT_ENDING; LOOK_AT_LIFE; LOOK_AT_TAIL
#else
#ifdef ENDING_LAST
			LOOK_AT_LIFE; LOOK_AT_TAIL; LOOK_AT_ENDING
#else
			LOOK_AT_LIFE; LOOK_AT_ENDING; LOOK_AT_TAIL
#endif
#endif
		:: else
		fi;
		if
		:: seen != next ->
#ifdef HOLD_FIRST
			atomic { hold = next + 1 }
#endif
			atomic { assert(byte_at[AT(next)] == next); assert(byte_of[AT(next)] == writer) }
			next++;
#ifndef HOLD_FIRST
			atomic { hold = next }
#endif
		:: seen == next && (gone || end != NONE) -> break
		:: else	/* nothing yet: look again when something has changed, as bells.pml has it */
end_nothing:
			atomic { tail != next || ending != NONE || (joined > 0 && (owner == 0 || !alive[owner])) }
		fi
	od;
	/* All of it, and what it told. A writer that came and went must not change that. */
	assert(next == written);
	assert(end == told)
}

init {
	byte i = 1;

	deaths = DEATHS;
	atomic {
		do
		:: i <= WRITERS -> alive[i] = true; run a_writer(i); i++
		:: else -> break
		od;
		run a_reader()
	}
}
