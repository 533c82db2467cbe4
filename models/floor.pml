/* SPDX-License-Identifier: MIT */
/*
 * A broadcast's lane: the sender raises the floor before it overwrites; a reader that blocks joins meanwhile; one that may be
 * overtaken follows. Records of one unit. Stores of the words that the two sides tell each other by, floor and holds, wait in a
 * buffer until a fence, or until they come out by themselves. README.md tells what each -D switch takes away.
 */
#ifndef DEATHS
#define DEATHS 1	/* of senders, each of whom has a successor */
#endif
#ifndef MESSAGES
#define MESSAGES 4
#endif
#ifndef BLOCKERS
#define BLOCKERS 1	/* receivers 0 .. BLOCKERS - 1 block */
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#define RING 3
#define AT(p)		((p) % RING)
#define NONE		255

/* The ring, by position: whose word and whose payload are there. A word that is zero is nobody's. */
byte word[RING], payload[RING];

/* The lane, and what is in the sender's buffer for the floor. `given_up`: what lies before it may have been overwritten. */
byte tail, sent, floor, given_up, floor_buffer = NONE;

/* Holds, and the receivers' buffers. */
byte hold[RECEIVERS], hold_buffer[RECEIVERS];
bool joined[RECEIVERS];

byte deaths;

/* Ghosts. */
byte published;
bool sender_done, at_end[RECEIVERS];

#define BLOCKS(n)	(n < BLOCKERS)
#define OR_DIE	:: deaths > 0 -> deaths--; goto dying

/* Stores come out of the buffers at any time. */
proctype memory()
{
end:
	do
	:: atomic { floor_buffer != NONE -> floor = floor_buffer; floor_buffer = NONE }
	:: atomic { hold_buffer[0] != NONE -> hold[0] = hold_buffer[0]; hold_buffer[0] = NONE }
#if RECEIVERS > 1
	:: atomic { hold_buffer[1] != NONE -> hold[1] = hold_buffer[1]; hold_buffer[1] = NONE }
#endif
	od
}

inline drain_floor()
{
	if
	:: floor_buffer != NONE -> floor = floor_buffer; floor_buffer = NONE
	:: else
	fi
}

/* One store after another: what was in the buffer comes out first. */
inline store_floor(value)
{
	drain_floor();
	floor_buffer = value
}

/* The lowest hold that counts, and the tail. */
#define LOOK_AT_HOLDS \
	atomic { least = tail; i = 0 }; \
	do \
	:: i < BLOCKERS -> \
		atomic { \
			if \
			:: joined[i] && hold[i] < least && hold[i] >= mine -> least = hold[i] \
			:: else \
			fi; \
			i++ \
		} \
	:: else -> i = 0; break \
	od

#define COULD_HAVE_ROOM(n)	(!joined[n] || hold[n] < mine || hold[n] >= needs - RING)

proctype sender()
{
	byte i, position, mine, limit, needs, least, raised;

adopt:	/* One step: nobody else writes what is read here, and what its last owner stored has come out. */
	atomic {
		drain_floor();
		position = tail;
		do
		:: word[AT(position)] == position + 1 -> position++
		:: else -> break
		od;
		assert(position == published);
#ifdef FLOOR_ADOPTED
		mine = floor;
#else
		mine = given_up;
#endif
		limit = mine + RING
	}
#ifndef FLOOR_ADOPTED
	/* The floor may have been raised, and the holds not yet been looked at. */
	atomic {
		if
		:: true -> store_floor(mine)
		OR_DIE
		fi
	}
#endif
#ifndef SENT_NOT_ADOPTED
	atomic {
		if
		:: true -> sent = position
		OR_DIE
		fi
	}
#endif
	atomic {
		if
		:: true -> tail = position
		OR_DIE
		fi
	}
send:
	if
	:: position == MESSAGES -> goto finished
	:: else
	fi;
	atomic {
		needs = position + 2;
		if
		:: needs <= limit -> goto roomy
		:: else
		fi
	}
find:
	LOOK_AT_HOLDS;
	/* As far as is needed, and one further, to leave those who follow some way. */
	raised = (needs - RING + 1 < least -> needs - RING + 1 : least);
#ifndef FLOOR_LAST
	atomic {
		if
		:: true -> store_floor(raised)
		OR_DIE
		fi
	}
#ifndef NO_FENCE_AFTER_FLOOR
	atomic {
		if
		:: true -> drain_floor()
		OR_DIE
		fi
	}
#endif
#endif
#ifndef NO_SECOND_LOOK
	LOOK_AT_HOLDS;
	atomic {
		if
		:: least < raised ->
			raised = least;
#ifndef FLOOR_LAST
			store_floor(raised)
#endif
		:: least >= raised
		OR_DIE
		fi
	}
#endif
	/* Before it is overwritten. */
	atomic {
		if
		:: true -> given_up = raised; mine = raised; limit = raised + RING; least = 0; raised = 0
		OR_DIE
		fi
	}
	if
	:: needs > limit ->
		atomic {
			if
			:: COULD_HAVE_ROOM(0)
#if BLOCKERS > 1
			   && COULD_HAVE_ROOM(1)
#endif
				-> goto find
			OR_DIE
			fi
		}
	:: else
	fi;
roomy:	/* Zero the word behind, write the payload, publish. */
	atomic {
		if
		:: true -> word[AT(position + 1)] = 0
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> payload[AT(position)] = position
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> word[AT(position)] = position + 1; published++; position++; needs = 0
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> sent = position
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> tail = position
		OR_DIE
		fi
	}
#ifdef FLOOR_LAST
	atomic { store_floor(mine) }
	atomic { drain_floor() }
#endif
	goto send;
dying:
	atomic { i = 0; position = 0; mine = 0; limit = 0; needs = 0; least = 0; raised = 0; goto adopt }
finished:
	atomic { position = 0; mine = 0; limit = 0; needs = 0; sender_done = true }
}

proctype receiver(byte me)
{
	byte position, next, expected, first, received, lost, seen;
	bool there;

	/* Join: begin with the oldest, or with what comes. */
	atomic {
		joined[me] = true;
		position = floor;
		if
		:: true
		:: position = (tail > position -> tail : position)
		fi
	}
hold_it:
	atomic {
		if
		:: !BLOCKS(me)
		:: else ->
			if
			:: hold_buffer[me] != NONE -> hold[me] = hold_buffer[me]
			:: else
			fi;
			hold_buffer[me] = position
		fi
	}
#ifndef NO_FENCE_AFTER_HOLD
	atomic {
		if
		:: hold_buffer[me] != NONE -> hold[me] = hold_buffer[me]; hold_buffer[me] = NONE
		:: else
		fi
	}
#endif
	atomic {
		if
		:: floor > position -> position = floor; goto hold_it
		:: else -> next = position; position = 0
		fi
	}
	/* The number of the first: of what is there, or of what comes next. */
	atomic { expected = sent }
	atomic { there = (word[AT(next)] == next + 1); seen = next }
	if
	:: !BLOCKS(me) && floor > next -> expected = NONE
	:: else ->
		if
		:: there -> expected = seen
		:: else -> assert(expected == next)
		fi
	fi;
	first = expected;
receive:
#ifdef FLOOR_FIRST
	if
	:: !BLOCKS(me) && floor > next -> goto overtaken
	:: else
	fi;
#endif
	/* The word, then the sequence number, which is the position's, and is written with the payload. */
	atomic {
		there = (word[AT(next)] == next + 1);
		if
		:: BLOCKS(me) -> assert(there || (next == published && word[AT(next)] == 0))
		:: else
		fi
	}
	if
	:: there -> seen = payload[AT(next)]
	:: else
	fi;
#ifndef FLOOR_FIRST
	if
	:: !BLOCKS(me) && floor > next -> goto overtaken
	:: else
	fi;
#endif
	if
	:: !there -> goto nothing
	:: else
	fi;
	/* Taken. */
	atomic {
		assert(seen == next);
		there = false;
		if
		:: expected == NONE -> first = next
		:: else -> assert(next >= expected); lost = lost + next - expected
		fi;
		expected = next + 1;
		received++
	}
	/* Its bytes are copied. */
	seen = payload[AT(next)];
	/* Was it overwritten meanwhile? */
	if
	:: !BLOCKS(me) ->
#ifdef NO_LOOK_AFTER_COPY
		assert(seen == next);
#else
		if
		:: floor > next -> lost++; received--
		:: else -> assert(seen == next)
		fi
#endif
	:: else -> assert(seen == next)
	fi;
	atomic {
		seen = 0;
		next++;
		if
		:: BLOCKS(me) -> hold_buffer[me] = NONE; hold[me] = next	/* moving on late, harmless, is left out */
		:: else
		fi;
		assert(first == NONE || received + lost + first == next);
		assert(!BLOCKS(me) || lost == 0);
		goto receive
	}
overtaken:
	atomic {
		there = false; seen = 0;
#ifdef FLOOR_BELIEVED
		next = floor;
#else
		next = (floor > next -> floor : next);
#endif
		goto receive
	}
nothing:
	atomic { there = false; seen = 0; at_end[me] = (next == MESSAGES) }
end_nothing:
	atomic { word[AT(next)] == next + 1 || (!BLOCKS(me) && floor > next) -> at_end[me] = false; goto receive }
}

/* Nothing can move: all was sent, and everybody is behind the last one. */
proctype monitor()
{
	byte n;
end:
	atomic {
		timeout;
		assert(sender_done);
		do
		:: n < RECEIVERS -> assert(at_end[n]); n++
		:: else -> break
		od
	}
}

init {
	byte n;
	atomic {
		select(deaths : 0 .. DEATHS);
		do
		:: n < RECEIVERS -> hold[n] = NONE; hold_buffer[n] = NONE; n++
		:: else -> break
		od;
		n = 0;
		do
		:: n < RING -> payload[n] = NONE; n++
		:: else -> break
		od;
		n = 0;
		run memory();
		run sender();
		do
		:: n < RECEIVERS -> run receiver(n); n++
		:: else -> break
		od;
		run monitor()
	}
}
