/* SPDX-License-Identifier: MIT */
/*
 * Waiting for who holds a pager's block: claim, let go, sleep on {word, relay, the holder's life}; death at every step. Slots are not used
 * again here, as mutex.pml has that. README.md tells what each -D switch takes away.
 */
#include "kernel.pml"

#ifndef ROUNDS
#define ROUNDS 1	/* times each thread holds the block */
#endif

#define AT_WORD		1
#define AT_RELAY	2
#define AT_LIFE		3

/* The block's word: thread + 1, 0 is nobody; how often it has changed. */
byte holder, version;
bool waiters;

bool dead[NT], life_waiters[NT];

byte q_word[NT], q_relay[NT], q_life[NT];

#define IS_AS_SEEN	(version == v_version && holder == v_holder)

inline forget()
{
	v_holder = 0; v_version = 0; place = 0; flag = false
}

proctype thread(byte me)
{
	byte i, place, rounds = ROUNDS;
	byte v_holder, v_version;
	bool flag, covered;

look:
	atomic {
		if
		:: holder == 0 -> holder = me + 1; version++; goto held
		:: holder != 0 -> v_holder = holder; v_version = version
		OR_DIE
		fi
	}
	atomic {
		if
		:: !dead[v_holder - 1] -> goto arm
		:: dead[v_holder - 1] && IS_AS_SEEN -> holder = me + 1; version++; forget(); goto held	/* it takes its place */
		:: dead[v_holder - 1] && !IS_AS_SEEN -> forget(); goto look
		OR_DIE
		fi
	}

arm:
	atomic {
		if
		:: true ->
#ifndef NO_PENDING
			covered = true;
#endif
			skip
		OR_DIE
		fi
	}
	atomic {
		if
		:: IS_AS_SEEN -> waiters = true
		:: !IS_AS_SEEN -> goto awake
		OR_DIE
		fi
	}
	atomic {
		if
#ifdef LIFE_NOT_FLAGGED
		:: true
#else
		:: !dead[v_holder - 1] -> life_waiters[v_holder - 1] = true
		:: dead[v_holder - 1] -> goto awake
#endif
		OR_DIE
		fi
	}
	/* futex_waitv() compares the low half, which has not the version. */
	atomic {
		if
#ifdef RECHECK_DROPPED
		:: true -> q_word[me] = 1
#else
		:: holder == v_holder && waiters -> q_word[me] = 1
		:: !(holder == v_holder && waiters) -> goto awake
#endif
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> q_relay[me] = 1
		OR_DIE
		fi
	}
	atomic {
		if
#ifdef NO_LIFE
		:: true -> asleep[me] = true
#else
		:: !dead[v_holder - 1] -> q_life[me] = v_holder; asleep[me] = true
		:: dead[v_holder - 1] -> goto awake
#endif
		OR_DIE
		fi
	}
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
			place = woken[me];
			woken[me] = 0;
			q_word[me] = 0; q_relay[me] = 0; q_life[me] = 0;
			asleep[me] = false
		OR_DIE
		fi
	}
	atomic {
		if
		:: place >= AT_RELAY -> WAKE_ALL(q_relay, 1, AT_RELAY)
		:: place < AT_RELAY
		OR_DIE
		fi
	}
	atomic {
		if
		:: dead[v_holder - 1] -> WAKE_ALL(q_life, v_holder, AT_LIFE)
		:: !dead[v_holder - 1]
		OR_DIE
		fi
	}
	atomic {
		if
		:: true -> covered = false; forget(); goto look
		OR_DIE
		fi
	}

held:
	atomic {
		if
		:: true ->
			flag = waiters;
			holder = 0;
			waiters = false;
			version++
		OR_DIE
		fi
	}
#ifndef RELEASER_SILENT
	atomic {
		if
#ifdef ONE_WOKEN
		:: flag -> WAKE_ONE(q_word, 1, AT_WORD)
#else
		:: flag -> WAKE_ALL(q_word, 1, AT_WORD)
#endif
		:: !flag
		OR_DIE
		fi
	}
#endif
	atomic {
		flag = false;
		rounds--;
		if
		:: rounds > 0 -> goto look
		:: else -> goto finished
		fi
	}

dying:	/* The kernel: the robust list, then the pending word. */
	atomic {
		woken[me] = 0;
		q_word[me] = 0; q_relay[me] = 0; q_life[me] = 0;
		asleep[me] = false;
		forget();
		rounds = 0;
		dead[me] = true
	}
	atomic {
		if
		:: life_waiters[me] -> WAKE_ONE(q_life, me + 1, AT_LIFE)
		:: else
		fi
	}
	atomic {
		if
		:: covered -> WAKE_ONE(q_relay, 1, AT_RELAY)
		:: else
		fi
	}
finished:
	atomic { forget(); covered = false }
}

/* Nothing can move: nobody may sleep for a block that nobody alive holds. */
proctype monitor()
{
	byte n;
end:
	atomic {
		timeout;
		do
		:: n < NT ->
			assert(!(asleep[n] && woken[n] == 0 && (holder == 0 || dead[holder - 1])));
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
		:: n < NT -> run thread(n); n++
		:: else -> break
		od;
		run monitor()
	}
}
