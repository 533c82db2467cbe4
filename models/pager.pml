/* SPDX-License-Identifier: MIT */
/*
 * A pager's block: threads of several processes that touch it, one that evicts or discards it, one that flushes it, one whose process joins late,
 * one that pins it. A process may be killed at any step: then one of its threads is dead, and the others go on, through its map, for as long
 * as they like. README.md tells what each -D switch takes away.
 *
 * A map has `forbidden`: a write there faults. The kernel's rules: a page is everybody's; taking it away forgets `forbidden` in all maps;
 * one that appears in a map where nothing is forbidden can be written there, untold. Each map's turn is a step of its own.
 *
 * A swap that claims is one step with the look before it: it succeeds only on what was seen. (Versions are left out: a swap that is
 * fooled finds the same state as was seen.) Waiting for a holder is left out, too: pager_wait.pml has it.
 */
#ifndef DEATHS
#define DEATHS 0	/* processes */
#endif
/* ONE_PAGE: the block is one page, and open from the first moment where it is filled to be written. */
#ifndef TOUCHES
#define TOUCHES 2	/* by each who touches */
#endif
#ifndef EVICTIONS
#define EVICTIONS 1
#endif
#ifndef FLUSHES
#define FLUSHES 1
#endif
#ifndef FAILURES
#define FAILURES 0	/* of taking away, or of putting there */
#endif
/* Who there is: the process of each, 255 for nobody. Process 2 is the one that joins late. */
#ifndef TOUCHER_2
#define TOUCHER_2 255
#endif
#ifndef EVICTOR
#define EVICTOR 255
#endif
#ifndef FLUSHER
#define FLUSHER 255
#endif
#ifndef JOINER
#define JOINER 255
#endif
#ifndef PINNER
#define PINNER 255
#endif

#define MAPS 3
#define PINNING (PINNER % MAPS)
#define TOUCHERS 3	/* threads 1, 2, and 3, the joiner: each counts in its own place of the block */
#define THREADS 6

#define EMPTY 0
#define CLEAN 1
#define DIRTY 2
#define LEFT 3
#define FILLING 4
#define OPENING 5
#define CHOOSING 6
#define CLEANING 7
#define EVICTING 8
#define PUTTING 9

byte state = EMPTY, holder;
bool present, forbidden[MAPS], accessible[MAPS];
byte page_1, page_2, page_3, store_1, store_2, store_3;
bool joined, counted;	/* process 2: it is a member; it has counted `changes` up */
bool pinned;
bool dead[THREADS + 1], killed[MAPS];
byte deaths, failures;

/* Ghosts: what was written, what has been flushed, who fills; a discard may forget. */
byte done_1, done_2, done_3, kept_1, kept_2, kept_3, fills;
bool forgets, holds;	/* `holds`: the pin has returned */

#define SOMEBODY_WRITES(m)	(accessible[m] && !forbidden[m])
#define LOOK_AT_ALL \
	assert(state != CLEAN || (present && !SOMEBODY_WRITES(0) && !SOMEBODY_WRITES(1) && !SOMEBODY_WRITES(2))); \
	assert(state != CLEAN || (page_1 == store_1 && page_2 == store_2 && page_3 == store_3)); \
	assert(state != DIRTY || present); \
	assert(!holds || killed[PINNING] || present)

#define OR_DIE	:: deaths > 0 || killed[m] -> goto dying

#define CLAIM(s)	state = s; holder = self
#define LET_GO(s)	state = s; holder = 0; LOOK_AT_ALL

#define WRITTEN(n)	page_##n == done_##n
#define COUNT_UP(n) \
	if \
	:: self == n -> page_##n++; done_##n++ \
	:: else \
	fi

/* Through the map of the thread's process. */
inline touch_page()
{
	assert(WRITTEN(1) && WRITTEN(2) && WRITTEN(3));
	if
	:: write -> COUNT_UP(1); COUNT_UP(2); COUNT_UP(3)
	:: else
	fi
}

inline take_away()
{
	present = false;
	forbidden[0] = false;
	forbidden[1] = false;
	forbidden[2] = false;
	page_1 = 0;
	page_2 = 0;
	page_3 = 0;
	if
	:: forgets -> forgets = false; done_1 = store_1; done_2 = store_2; done_3 = store_3
	:: else
	fi;
	assert(store_1 == done_1 && store_2 == done_2 && store_3 == done_3)
}

#define TOUCH 0
#define EVICT 1
#define FLUSH 2
#define JOIN 3
#define PIN 4

proctype a_thread(byte self; byte role; byte m)
{
	byte left = (role == EVICT -> EVICTIONS : (role == FLUSH -> FLUSHES : (role == PIN -> 1 : TOUCHES)));
	bool write, knows, knew;	/* of the joiner: now, and when all were forbidden to write */
	bool was_clean, failed;
	byte bytes_1, bytes_2, bytes_3, at;

	if
	:: role == JOIN -> goto join
	:: else
	fi;

next:
	write = false;
	if
	:: left == 0 -> goto out
	:: left > 0 && role == EVICT -> left--; goto evict
	:: left > 0 && role == FLUSH -> left--; goto flush
	:: left > 0 && role == PIN -> left--; goto pin
	:: left > 0 && (role == TOUCH || role == JOIN) -> left--; write = true
	:: left > 0 && (role == TOUCH || role == JOIN) -> left--
	fi;

	/* ---- touches and resolving ---- */
touch:
	atomic {
		if
		:: accessible[m] && present && (!write || !forbidden[m]) -> touch_page(); goto touched
		:: !(accessible[m] && present && (!write || !forbidden[m]))	/* a fault */
		OR_DIE
		fi
	}
resolve:
	atomic {
		if
		:: holder == 0 && state == EMPTY -> CLAIM(FILLING); fills++; assert(fills == 1 && !present); goto fill
		:: holder == 0 && (state == CLEAN || state == DIRTY) && !write -> goto touched_or_again
		:: holder == 0 && (state == CLEAN || state == DIRTY) && write ->
#ifdef OPENED_UNCLAIMED
			state = DIRTY
#else
			CLAIM(OPENING)
#endif
			goto open
		:: holder == 0 && state == LEFT -> CLAIM(EVICTING); goto taking
		:: holder != 0 && dead[holder] -> goto repair
		OR_DIE
		fi
	}
touched_or_again:
	if
	:: role == PIN -> goto pin_got
	:: else -> goto touch
	fi;
touched:
	goto next;

fill:
	atomic {
		if
		:: true -> bytes_1 = store_1; bytes_2 = store_2; bytes_3 = store_3
		OR_DIE
		fi
	}
#ifdef ONE_PAGE
	atomic {
		if
		:: failures > 0 -> failures--; fills--; bytes_1 = 0; bytes_2 = 0; bytes_3 = 0; state = EVICTING; goto taking
		:: write -> fills--; state = PUTTING
		:: !write
		OR_DIE
		fi
	}
#endif
	atomic {
		if
		:: true ->
			present = true;
			page_1 = bytes_1; page_2 = bytes_2; page_3 = bytes_3;
			bytes_1 = 0; bytes_2 = 0; bytes_3 = 0;
#if defined(WRITABLE_WHILE_FILLED) || defined(ONE_PAGE)
			forbidden[m] = !write;
#else
			forbidden[m] = true;
#endif
			LOOK_AT_ALL
		OR_DIE
		fi
	}
	atomic {
		if
#ifdef ONE_PAGE
		:: state == PUTTING -> LET_GO(DIRTY); goto touch
		:: state == FILLING -> fills--; LET_GO(CLEAN); goto touched_or_again
#else
		:: failures > 0 -> failures--; fills--; state = EVICTING; goto taking	/* what is to follow cannot be put there */
		:: write -> fills--;
#ifdef WRITABLE_WHILE_FILLED
			LET_GO(DIRTY); goto touch
#else
			state = OPENING; goto open
#endif
		:: !write -> fills--; LET_GO(CLEAN); goto touched_or_again
#endif
		:: deaths > 0 || killed[m] -> goto dying
		fi
	}

open:
	atomic {
		if
		:: true -> forbidden[m] = false; LOOK_AT_ALL
		OR_DIE
		fi
	}
#ifdef OPENED_UNCLAIMED
	if
	:: holder != self -> goto touched_or_again
	:: else
	fi;
#endif
	atomic {
		if
		:: true -> LET_GO(DIRTY)
		OR_DIE
		fi
	}
	goto touched_or_again;

	/* ---- what the dead leave ---- */
repair:
	atomic {
		/* Nobody has come between: this is one step with the look before it, or else it looks again. */
		if
		:: !(holder != 0 && dead[holder]) -> goto again
		:: holder != 0 && dead[holder] && state == FILLING ->
			fills--;
#ifdef DEAD_FILLS_STAY
			LET_GO(CLEAN); goto again
#else
			CLAIM(EVICTING); goto taking
#endif
		:: holder != 0 && dead[holder] && state == EVICTING ->
#ifdef DEAD_EVICTIONS_DONE
			LET_GO(EMPTY); goto again
#else
			CLAIM(EVICTING); goto taking
#endif
#ifdef DEAD_PUTS_TAKEN
		:: holder != 0 && dead[holder] && state == PUTTING -> CLAIM(EVICTING); goto taking
#else
		:: holder != 0 && dead[holder] && state == PUTTING && present -> LET_GO(DIRTY); goto again
		:: holder != 0 && dead[holder] && state == PUTTING && !present -> CLAIM(EVICTING); goto taking
#endif
		:: holder != 0 && dead[holder] && state == CHOOSING -> LET_GO(CLEAN); goto again
		:: holder != 0 && dead[holder] && state == OPENING ->
#ifdef DEAD_OPENINGS_CLEAN
			LET_GO(CLEAN); goto again
#else
			LET_GO(DIRTY); goto again
#endif
		:: holder != 0 && dead[holder] && state == CLEANING ->
#ifdef DEAD_CLEANINGS_CLEAN
			LET_GO(CLEAN); goto again
#else
			LET_GO(DIRTY); goto again
#endif
		OR_DIE
		fi
	}
again:
	if
	:: role == EVICT -> goto evict
	:: role == FLUSH -> goto flushing
	:: role == PIN -> goto resolve
	:: else -> goto touch
	fi;

	/* ---- evicting ---- */
evict:
#ifdef PINS_FIRST
	atomic {
		if
		:: pinned && !killed[PINNING] -> goto next
		:: else
		fi
	}
#endif
	atomic {
		if
		:: true -> goto next	/* there may be nothing to evict, for ever */
		:: holder == 0 && state == CLEAN ->
			was_clean = true;
#ifdef CHOSEN_AS_EVICTED
			CLAIM(EVICTING)
#else
			CLAIM(CHOOSING)
#endif
		:: holder == 0 && state == DIRTY ->
			was_clean = false;
			CLAIM(CLEANING)
		:: holder == 0 && state == LEFT -> CLAIM(EVICTING); goto taking
		:: holder != 0 && dead[holder] -> goto repair
		OR_DIE
		fi
	}
#ifndef PINS_FIRST
	atomic {
		if
		:: pinned && !killed[PINNING] ->
#ifdef RESTORED_CLEAN
			LET_GO(CLEAN);
#else
			if
			:: was_clean -> LET_GO(CLEAN)
			:: else -> LET_GO(DIRTY)
			fi;
#endif
			was_clean = false;
			goto next
		:: !(pinned && !killed[PINNING])
		OR_DIE
		fi
	}
#endif
	atomic {
		if
#ifdef DISCARD
		:: true -> forgets = !was_clean; was_clean = false; state = EVICTING; goto taking
#else
		:: was_clean -> was_clean = false; state = EVICTING; goto taking
		:: !was_clean -> goto clean
#endif
		OR_DIE
		fi
	}

	/* ---- flushing ---- */
flush:
	atomic { kept_1 = done_1; kept_2 = done_2; kept_3 = done_3 }
flushing:
	atomic {
		if
		:: holder == 0 && state != DIRTY ->
#ifndef DISCARD
			assert(store_1 >= kept_1 && store_2 >= kept_2 && store_3 >= kept_3);
#endif
			goto next
		:: holder == 0 && state == DIRTY -> CLAIM(CLEANING)
		:: holder != 0 && dead[holder] -> goto repair
		OR_DIE
		fi
	}

	/* ---- writing back; the holder's state is CLEANING ---- */
clean:
#ifndef WRITERS_GO_ON
	goto forbid;
#endif
forbidden_to_write:
	atomic {
		if
		:: true -> bytes_1 = page_1; bytes_2 = page_2; bytes_3 = page_3
		OR_DIE
		fi
	}
	atomic {
		if
		:: true ->
			/* What a flush has kept stays kept. */
			assert(bytes_1 >= store_1 && bytes_2 >= store_2 && bytes_3 >= store_3);
			store_1 = bytes_1; store_2 = bytes_2; store_3 = bytes_3;
			bytes_1 = 0; bytes_2 = 0; bytes_3 = 0
		OR_DIE
		fi
	}
	atomic {
		if
		:: role == FLUSH -> LET_GO(CLEAN); goto flushing
		:: role == EVICT -> state = EVICTING; goto taking
		OR_DIE
		fi
	}

	/* ---- taking away; the holder's state is EVICTING ---- */
taking:
#ifdef CHANGES_FIRST
	atomic { knows = counted && joined; knew = counted }
#endif
	atomic {
		if
		:: true ->
			take_away(); LOOK_AT_ALL
		:: failures > 0 -> failures--; LET_GO(LEFT); goto emptied
		OR_DIE
		fi
	}
#ifdef EMPTY_BEFORE_FORBIDDEN
	atomic {
		if
		:: true -> LET_GO(EMPTY)
		OR_DIE
		fi
	}
#endif
#ifndef MARKERS_FORGOTTEN
	goto forbid;
#endif
forbidden_again:
#ifndef EMPTY_BEFORE_FORBIDDEN
	atomic {
		if
		:: true -> LET_GO(EMPTY)
		OR_DIE
		fi
	}
#endif
emptied:
	if
	:: role == EVICT -> goto next
	:: else -> goto again
	fi;

	/* ---- forbidding in all maps ---- */
forbid:
#ifdef CHANGES_FIRST
	if
	:: state == EVICTING -> goto members_known
	:: else
	fi;
#endif
	atomic { knows = counted && joined; knew = counted }
members_known:
	do
	:: atomic {
		if
		:: at < MAPS && (at < 2 || knows) -> forbidden[at] = true; at++
		:: at == 2 && !knows -> at = MAPS
		OR_DIE
		fi
	   }
	   if
	   :: at == MAPS -> break
	   :: else
	   fi
	od;
	at = 0;
	atomic {
		if
#if defined(CHANGES_SEEN_ONCE) || defined(CHANGES_FIRST)
		:: true
#else
		:: knew == counted
		:: knew != counted -> goto forbid
#endif
		OR_DIE
		fi
	}
	knows = false; knew = false;
	if
	:: state == CLEANING && holder == self -> goto forbidden_to_write
	:: else -> goto forbidden_again
	fi;

	/* ---- joining ---- */
join:
	atomic {
		if
		:: true -> joined = true
		OR_DIE
		fi
	}
#ifndef ARMED_BEFORE_COUNTED
	atomic {
		if
		:: true -> counted = true
		OR_DIE
		fi
	}
#endif
	atomic {
		if
		:: true -> forbidden[m] = true
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> accessible[m] = true; LOOK_AT_ALL
		OR_DIE
		fi
	}
#ifdef ARMED_BEFORE_COUNTED
	atomic {
		if
		:: true -> counted = true
		OR_DIE
		fi
	}
#endif
	goto next;

	/* ---- pinning ---- */
pin:
	atomic {
		if
		:: true -> pinned = true
		OR_DIE
		fi
	}
	goto resolve;
pin_got:
	/* It has seen the block there, which was after it was pinned. */
	holds = true;
	atomic {
		if
		:: true -> LOOK_AT_ALL; holds = false; pinned = false
		OR_DIE
		fi
	}
	goto next;

dying:
	atomic {
		if
		:: !killed[m] -> deaths--; killed[m] = true
		:: else
		fi;
		dead[self] = true;
		if
		:: role == PIN -> pinned = false; holds = false
		:: else
		fi
	}
out:
	skip
}

init {
	atomic {
		select(deaths : 0 .. DEATHS);
		select(failures : 0 .. FAILURES);
		accessible[0] = true;
		forbidden[0] = true;
		accessible[1] = true;
		forbidden[1] = true;
		run a_thread(1, TOUCH, 0);
		if
		:: TOUCHER_2 < MAPS -> run a_thread(2, TOUCH, TOUCHER_2)
		:: else
		fi;
		if
		:: JOINER < MAPS -> run a_thread(3, JOIN, JOINER)
		:: else
		fi;
		if
		:: EVICTOR < MAPS -> run a_thread(4, EVICT, EVICTOR)
		:: else
		fi;
		if
		:: FLUSHER < MAPS -> run a_thread(5, FLUSH, FLUSHER)
		:: else
		fi;
		if
		:: PINNER < MAPS -> run a_thread(6, PIN, PINNER)
		:: else
		fi
	}
	/* When all is over: what was written is there, or in the store. */
	_nr_pr == 1;
	assert((WRITTEN(1) && WRITTEN(2) && WRITTEN(3) && present) ||
	       (!present && store_1 == done_1 && store_2 == done_2 && store_3 == done_3))
}
