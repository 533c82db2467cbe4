/* SPDX-License-Identifier: MIT */
/*
 * A queue's lane: one sender at a time, receivers who share a head, each with a hold. Records of one or two units in a ring,
 * laps that end early, room, death of anybody at every step and who takes the place. Sleeping is in bells.pml: who
 * waits here goes on as soon as it could. README.md tells what each -D switch takes away.
 */
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef BIRTHS
#define BIRTHS 0	/* of those who take the place of the dead */
#endif
#ifndef MESSAGES
#define MESSAGES 4
#endif
#define RING 4
#define AT(p)		((p) % RING)
#ifndef FIRST
#define FIRST 2		/* units of the first message; they are long and short in turn */
#endif
#define SIZE(m)		(((m) + FIRST) % 2 == 0 -> 2 : 1)

#define NONE		255

/*
 * The ring: which position each unit was last written for, and what it looks like there. PAYLOAD may look like the word of any
 * record, of any size; the others have the position in the word.
 */
#define ZERO		0
#define MESSAGE		1
#define SKIP_LAP	2
#define PAYLOAD		3
byte unit_at[RING], unit[RING], unit_size[RING], unit_number[RING];

/* The lane. */
byte tail, sent;

/* The queue's head; per receiver its hold, and who owns the place: 0, or the number of an owner, who lives if it is `living`. */
byte head, hold[RECEIVERS], owner[RECEIVERS], living[RECEIVERS];

byte deaths, births;

/* Ghosts: messages published and taken, by number; has the queue been empty since receiver n looked at the head? */
byte published, taken[MESSAGES], died_with[MESSAGES];
bool was_empty[RECEIVERS], sender_done, sender_dead;

#define OR_DIE	:: deaths > 0 -> deaths--; goto dying

/* A record is there for who comes to the head. */
#define IS_THERE(p)	(unit_at[AT(p)] == (p) && (unit[AT(p)] == MESSAGE || unit[AT(p)] == SKIP_LAP))

/* What a hold of receiver n counts for, if its life is asked for. */
#define HELD_BY(n)	(owner[n] != 0 && owner[n] == living[n] && hold[n] >= floor && hold[n] < head -> hold[n] : head)

inline look_for_emptiness()
{
	if
	:: !IS_THERE(head) ->
		d_step {
			i = 0;
			do
			:: i < RECEIVERS -> was_empty[i] = true; i++
			:: else -> break
			od;
			i = 0
		}
	:: else
	fi
}

proctype sender()
{
	byte i, position, floor, limit, number, size, needs, least, seen;
	bool ask_life, skips;

adopt:	/* Behind the last record published. One step: nobody else writes what is read here. */
	atomic {
		if
		:: true ->
			position = tail;
			number = sent;
			do
			:: unit_at[AT(position)] == position && unit[AT(position)] == MESSAGE ->
				number = unit_number[AT(position)] + 1;
				position = position + unit_size[AT(position)]
			:: unit_at[AT(position)] == position && unit[AT(position)] == SKIP_LAP ->
				position = position + RING - AT(position)
			:: else -> break
			od;
			assert(number == published);
			floor = (position > RING -> position - RING : 0);
			limit = floor + RING
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> sent = number
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> tail = position
		OR_DIE
		fi
	}

loan:
	if
	:: number == MESSAGES -> goto finished
	:: else
	fi;
	atomic {
		size = SIZE(number);
		skips = AT(position) + size > RING;
		needs = size + 1 + (skips -> position + RING - AT(position) : position);
		if
		:: needs <= limit -> goto roomy
		:: else
		fi
	}
	/* The tail, then the head, then the holds, each with its owner; without asking for lives, then with. */
	ask_life = false;
look:
	atomic { least = tail }
#ifndef HOLDS_FIRST
	atomic {
		if
		:: true -> least = (head < least && head >= floor -> head : least)
		OR_DIE
		fi
	}
#endif
	i = 0;
	do
	:: i < RECEIVERS ->
		atomic {
			if
			:: true -> seen = owner[i]
			OR_DIE
			fi
		}
		atomic {
			if
			:: seen == 0 || hold[i] >= least || hold[i] < floor
			:: !(seen == 0 || hold[i] >= least || hold[i] < floor) ->
				if
#ifndef DEAD_HOLD_COUNTED
				:: ask_life && living[i] != seen
#endif
				:: else -> least = hold[i]
				fi
			OR_DIE
			fi;
			seen = 0;
			i++
		}
	:: else -> i = 0; break
	od;
#ifdef HOLDS_FIRST
	atomic {
		if
		:: true -> least = (head < least && head >= floor -> head : least)
		OR_DIE
		fi
	}
#endif
	atomic {
		floor = least;
		limit = least + RING;
		least = 0;
		if
		:: needs <= limit -> goto roomy
		:: needs > limit && !ask_life -> ask_life = true; goto look
		:: else -> ask_life = false
		fi
	}
	/* Wait for room, as bells.pml has it: for ever if no receiver lives and none comes. */
end_room:
	atomic {
		if
#ifdef DEAD_HOLD_COUNTED
		:: needs <= head + RING && (hold[0] >= head || hold[0] < floor || owner[0] == 0 || needs <= hold[0] + RING) &&
		   (hold[1] >= head || hold[1] < floor || owner[1] == 0 || needs <= hold[1] + RING)
#else
		:: needs <= head + RING && needs <= HELD_BY(0) + RING && needs <= HELD_BY(1) + RING
#endif
		OR_DIE
		fi;
		goto look
	}

roomy:
	if
	:: skips ->
		atomic {
			if
			:: true ->
				seen = position + RING - AT(position);
				unit_at[AT(seen)] = seen;
				unit[AT(seen)] = ZERO
			OR_DIE
			fi
		}
		atomic {
			if
			:: true ->
				unit_at[AT(position)] = position;
				unit[AT(position)] = SKIP_LAP;
				position = seen;
				skips = false;
				seen = 0
			OR_DIE
			fi
		}
	:: else
	fi;
	/* Zero the word behind, write the payload, publish. */
#ifndef NOT_ZEROED
	atomic {
		if
		:: true -> unit_at[AT(position + size)] = position + size; unit[AT(position + size)] = ZERO
		OR_DIE
		fi
	}
#endif
	if
	:: size == 2 ->
		atomic {
			if
			:: true -> unit_at[AT(position + 1)] = position + 1; unit[AT(position + 1)] = PAYLOAD
			OR_DIE
			fi
		}
	:: else
	fi;
	atomic {
		if
		:: true ->
			unit_at[AT(position)] = position;
			unit[AT(position)] = MESSAGE;
			unit_size[AT(position)] = size;
			unit_number[AT(position)] = number;
			assert(number == published);
			published++;
			number++;
			position = position + size
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> sent = number
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> tail = position; size = 0; needs = 0; goto loan
		OR_DIE
		fi
	}
dying:
	atomic {
		i = 0; position = 0; floor = 0; limit = 0; number = 0; size = 0; needs = 0; least = 0; seen = 0;
		ask_life = false; skips = false;
		if
		:: births > 0 -> births--; goto adopt
		:: true -> sender_dead = true
		fi
	}
	goto end_dead;
finished:
	atomic { position = 0; floor = 0; limit = 0; number = 0; size = 0; needs = 0; sender_done = true }
end_dead:
	skip
}

proctype receiver(byte me)
{
	byte i, position, kind, size, number, generation, again;
	bool holding, there;

	generation = 1;		/* the first have joined already */
	goto receive;

join:	/* Take the place of the dead, then begin at the head. */
	atomic { generation++; living[me] = generation }
	atomic {
		if
		:: true -> owner[me] = generation
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> hold[me] = NONE
		OR_DIE
		fi
	}

receive:
	atomic {
		if
		:: true -> position = head; was_empty[me] = !IS_THERE(head)
		OR_DIE
		fi
	}
	atomic {
		if
		:: true ->
			kind = unit[AT(position)];
			there = (unit_at[AT(position)] == position && (kind == MESSAGE || kind == SKIP_LAP)) || kind == PAYLOAD;
			size = unit_size[AT(position)];
			number = unit_number[AT(position)];
			if
			:: kind == SKIP_LAP -> size = RING - AT(position)
			:: kind == PAYLOAD -> size = 0
			:: else
			fi
		OR_DIE
		fi
	}
	/* What the head has left behind may be overwritten: whatever does not lead to the swap must look whether it has. */
	atomic {
		if
		:: there && size > 0
#ifdef STALE_HEAD
		:: there && size == 0 -> assert(false)
		:: !there -> goto nothing
#else
		:: (!there || size == 0) && head != position -> goto clean
		:: (!there || size == 0) && head == position -> assert(!there); goto nothing
#endif
		OR_DIE
		fi
	}
#ifndef HOLD_LAST
	atomic {
		if
		:: true -> hold[me] = position
		OR_DIE
		fi
	}
#endif
	atomic {
		if
		:: head == position ->
			head = position + size;
			look_for_emptiness();
			if
			:: kind == MESSAGE ->
				assert(unit_at[AT(position)] == position && unit[AT(position)] == MESSAGE);
				assert(taken[number] == 0);
				taken[number]++;
				holding = true
			:: else -> skip
			fi
		:: head != position -> goto clean
		OR_DIE
		fi
	}
#ifdef HOLD_LAST
	atomic {
		if
		:: true -> hold[me] = position
		OR_DIE
		fi
	}
#endif
	if
	:: holding ->
		/* It is read in place until now: all of it must still be there. Then its room is given back. */
		atomic {
			if
			:: true ->
				assert(unit_at[AT(position)] == position && unit[AT(position)] == MESSAGE);
				assert(unit_number[AT(position)] == number);
				assert(size == 1 || unit_at[AT(position + 1)] == position + 1);
				holding = false
			OR_DIE
			fi
		}
		atomic {
			if
			:: true -> hold[me] = NONE
			OR_DIE
			fi
		}
	:: else
	fi;
clean:
	atomic { position = 0; kind = 0; size = 0; number = 0; there = false; was_empty[me] = false; goto receive }

nothing: /* There was a moment at which nothing was there. */
	atomic {
		if
		:: true ->
			assert(was_empty[me]);
			position = 0; kind = 0; size = 0; number = 0; there = false; was_empty[me] = false;
			hold[me] = NONE
		OR_DIE
		fi
	}
end_empty:
	atomic {
		if
		:: IS_THERE(head) -> goto receive
		OR_DIE
		fi
	}
dying:
	atomic {
		living[me] = 0;
		position = 0; kind = 0; size = 0; number = 0; there = false; holding = false; was_empty[me] = false;
		if
		:: births > 0 -> births--; goto join
		:: true
		fi
	}
}

/* Nothing can move: while a receiver lives, everything was sent and taken; by each at most once, as asserted above. */
proctype monitor()
{
	byte n;
end:
	atomic {
		timeout;
		if
		:: living[0] || living[1] ->
			assert(sender_done || sender_dead);
			do
			:: n < published -> assert(taken[n] == 1); n++
			:: else -> break
			od;
			assert(!sender_done || published == MESSAGES)
		:: else
		fi
	}
}

init {
	byte n;
	atomic {
		select(deaths : 0 .. DEATHS);
		select(births : 0 .. BIRTHS);
		do
		:: n < RECEIVERS -> hold[n] = NONE; owner[n] = 1; living[n] = 1; n++
		:: else -> break
		od;
		n = 0;
		run sender();
		do
		:: n < RECEIVERS -> run receiver(n); n++
		:: else -> break
		od;
		run monitor()
	}
}
