/* SPDX-License-Identifier: MIT */
/*
 * A pager's frames: the stack of free ones, the hand, evicting, and what deaths leave; then one who lives alone takes all of them.
 * README.md tells what each -D switch takes away.
 *
 * Each who takes fills a block, if that is not there; the word of a block is no more here than who holds it, and whether it is there. A swap is one step
 * with the look before it where it is tried again until it succeeds.
 */
#ifndef TAKERS
#define TAKERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2	/* blocks that each fills */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef FAILURES
#define FAILURES 0	/* of fills */
#endif
#define FRAMES 2
#define WIDTH 2		/* of the hand */
#define BLOCKS 3
#define LAST (TAKERS + 1)
#define ALL (BLOCKS + FRAMES)	/* those behind BLOCKS are the last one's */

/* Blocks: who holds each, 0 is nobody; whether its word says that it is there; whether it has pages. */
byte owner[ALL];
bool there[ALL], pages[ALL];

/* Frames: block + 1, 0 is free. */
byte block_of[FRAMES], sequence[FRAMES], link[FRAMES];
bool linked[FRAMES];
byte hand, top, tag;

bool dead[LAST + 1];
byte deaths, failures, ended;

#define OR_DIE	:: deaths > 0 && me != LAST -> deaths--; goto dying

#define NAMED(b)	(block_of[0] == b + 1 || block_of[1] == b + 1)
#define LOOK_AT_ALL \
	assert((!pages[0] || NAMED(0)) && (!pages[1] || NAMED(1)) && (!pages[2] || NAMED(2)) && (!pages[3] || NAMED(3)) && \
	       (!pages[4] || NAMED(4)))

/* What pushes it must not be in the stack: so it holds each frame once. */
#define IS_IN_STACK(f)	(top == f + 1 || (top != 0 && link[top - 1] == f + 1))

#ifdef NO_TAG
#define COUNT_TAG
#else
#define COUNT_TAG	tag++
#endif

proctype taker(byte me)
{
	byte block, rounds, frame, held, held_sequence, head, head_tag, next, i, passes;
	byte wanted;	/* what is to be done after a push: 0: go on with the hand, 1: with forgetting */
	bool was_linked;

	if
	:: me == LAST -> ended == TAKERS; rounds = FRAMES; block = BLOCKS - 1
	:: else -> rounds = ROUNDS
	fi;

more:
	atomic {
		if
		:: rounds == 0 -> goto out
		:: rounds > 0 && me != LAST -> rounds--; select(block : 0 .. BLOCKS - 1)
		:: rounds > 0 && me == LAST -> rounds--; block++; passes = 0
		fi
	}
	atomic {
		if
		:: owner[block] == 0 && !there[block] -> owner[block] = me
		:: !(owner[block] == 0 && !there[block]) -> goto more	/* pager.pml has what becomes of it */
		OR_DIE
		fi
	}

	/* ---- from the stack ---- */
pop:
	atomic {
		if
		:: top == 0 -> goto at_hand
		:: top != 0 -> head = top; head_tag = tag
		OR_DIE
		fi
	}
	atomic { next = link[head - 1] }
	atomic {
		if
		:: top == head && tag == head_tag -> top = next; COUNT_TAG; next = 0; head_tag = 0
		:: !(top == head && tag == head_tag) -> next = 0; head = 0; head_tag = 0; goto pop
		OR_DIE
		fi
	}
	atomic {
		if
		:: block_of[head - 1] == 0 ->
			block_of[head - 1] = block + 1;
			sequence[head - 1]++;
			linked[head - 1] = false;
			head = 0;
			goto got
		:: block_of[head - 1] != 0 -> linked[head - 1] = false; head = 0; goto pop	/* the hand was faster */
		OR_DIE
		fi
	}

	/* ---- at the hand ---- */
at_hand:
	atomic {
		if
		:: block_of[hand] != 0 -> goto evict
		:: block_of[hand] == 0 -> frame = hand; held_sequence = sequence[frame]
		OR_DIE
		fi
	}
	atomic {
		if
		:: hand == frame -> hand = (hand + 1) % FRAMES
		:: hand != frame -> frame = 0; held_sequence = 0; goto at_hand
		OR_DIE
		fi
	}
	atomic {
		if
		:: block_of[frame] == 0 && sequence[frame] == held_sequence ->
			block_of[frame] = block + 1;
			sequence[frame]++;
			frame = 0; held_sequence = 0;
			goto got
		:: !(block_of[frame] == 0 && sequence[frame] == held_sequence) -> frame = 0; held_sequence = 0; goto at_hand
		OR_DIE
		fi
	}

	/* ---- evicting ---- */
evict:
	atomic {
		if
		:: true -> frame = hand; hand = (hand + WIDTH) % FRAMES; i = 0
		OR_DIE
		fi;
		if
		:: me == LAST -> passes++; assert(passes <= 4)
		:: else
		fi
	}
consider:
	atomic {
		if
		:: i == WIDTH -> i = 0; frame = 0; goto pop
		:: else
		fi
	}
	atomic {
		if
		:: true -> held = block_of[frame]; held_sequence = sequence[frame]
		OR_DIE
		fi
	}
	atomic {
		if
#ifdef FREE_PASSED_BY
		:: held == 0 -> goto considered
#else
		:: held == 0 && block_of[frame] == 0 && sequence[frame] == held_sequence ->
			block_of[frame] = block + 1;
			sequence[frame]++;
			frame = 0; held_sequence = 0; i = 0;
			goto got
		:: held == 0 && !(block_of[frame] == 0 && sequence[frame] == held_sequence) -> goto considered
#endif
		:: held != 0 && owner[held - 1] == 0 && there[held - 1] -> owner[held - 1] = me; there[held - 1] = false
		:: held != 0 && owner[held - 1] == 0 && !there[held - 1] -> goto free	/* somebody left it behind */
		:: held != 0 && owner[held - 1] != 0 && dead[owner[held - 1]] -> owner[held - 1] = me; wanted = 1
		:: held != 0 && owner[held - 1] != 0 && !dead[owner[held - 1]] -> goto considered
		OR_DIE
		fi
	}
#ifdef FREED_FIRST
	if
	:: wanted == 0 -> goto free
	:: else
	fi;
freed_first:
#endif
	atomic {
		if
		:: true -> pages[held - 1] = false
		OR_DIE
		fi
	}
	if
	:: wanted == 1 -> goto forget
	:: else
	fi;
	atomic {
		if
		:: true -> owner[held - 1] = 0
		OR_DIE
		fi
	}
#ifdef FREED_FIRST
	goto considered;
#endif

free:
	atomic {
		if
#ifdef FREED_BLIND
		:: true ->
#else
		:: !(block_of[frame] == held && sequence[frame] == held_sequence) -> goto freed
		:: block_of[frame] == held && sequence[frame] == held_sequence ->
#endif
			block_of[frame] = 0;
			sequence[frame]++;
			was_linked = linked[frame];
			linked[frame] = true;
			LOOK_AT_ALL
		OR_DIE
		fi
	}
#ifndef NOT_LINKED
	if
	:: was_linked -> was_linked = false; goto freed
	:: else
	fi;
#endif
	was_linked = false;
push:
	atomic {
		if
		:: true -> head = top; head_tag = tag; assert(!IS_IN_STACK(frame))
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> link[frame] = head
		OR_DIE
		fi
	}
	atomic {
		if
		:: top == head && tag == head_tag -> top = frame + 1; COUNT_TAG; head = 0; head_tag = 0
		:: !(top == head && tag == head_tag) -> head = 0; head_tag = 0; goto push
		OR_DIE
		fi
	}
freed:
	if
	:: wanted == 1 -> goto forget
	:: else
	fi;
#ifdef FREED_FIRST
	if
	:: owner[held - 1] == me -> goto freed_first
	:: else
	fi;
#endif
considered:
	atomic { held = 0; held_sequence = 0; i++; frame = (frame + 1) % FRAMES; goto consider }

	/* What the dead held: free all frames that name it, while it is held. */
forget:
	atomic {
		if
		:: block_of[0] == held -> frame = 0; held_sequence = sequence[0]; goto free
		:: block_of[0] != held && block_of[1] == held -> frame = 1; held_sequence = sequence[1]; goto free
		:: block_of[0] != held && block_of[1] != held -> owner[held - 1] = 0; wanted = 0; goto considered
		OR_DIE
		fi
	}

	/* ---- filling ---- */
got:
	atomic {
		if
		:: true -> pages[block] = true; LOOK_AT_ALL
		:: failures > 0 && me != LAST -> failures--; owner[block] = 0; goto more
		OR_DIE
		fi
	}
	atomic {
		if
		:: me == LAST	/* it keeps them */
		:: me != LAST -> there[block] = true; owner[block] = 0
		OR_DIE
		fi
	}
	goto more;

dying:
	atomic {
		dead[me] = true;
		block = 0; rounds = 0; frame = 0; held = 0; held_sequence = 0; head = 0; head_tag = 0; next = 0; i = 0;
		wanted = 0; was_linked = false
	}
out:
	ended++
}

init {
	byte n = 1;

	atomic {
		select(deaths : 0 .. DEATHS);
		select(failures : 0 .. FAILURES);
#ifdef FULL
		block_of[0] = 1; there[0] = true; pages[0] = true;
		block_of[1] = 2; there[1] = true; pages[1] = true;
#endif
		do
		:: n <= LAST -> run taker(n); n++
		:: else -> break
		od
	}
}
