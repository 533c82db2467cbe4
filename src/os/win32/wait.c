/* SPDX-License-Identifier: MIT */
/*
 * Windows: sleeping on words. The system waits on addresses within one process only, so a word that several processes know has a
 * named event, made of its memory's identity and its offset, by whoever first sleeps there.
 *
 * The hard idea is how an event that stays set (all sleepers must wake) serves again and again without a count of sleepers:
 *
 *   sleeper: reset the event; compare the word; equal: wait; different: set the event again and return
 *   waker:   change the word; set the event
 *
 * Whoever resets looks at the word afterwards: if it had been changed for others to wake, it sets the event for them again. If it
 * is equal, the word is again one that others sleep behind with its waiters flag set, and whoever changes it next sets the
 * event. A sleeper that dies between reset and set, and a waker between change and set, cost others a wake-up: there is no
 * os_wake_cover() here, and waits look again every quarter of a second. tests/test_death_win32.c dies at each of these places, and without
 * that look it finds the sleepers.
 *
 * A name that nobody has open does not exist: a waker who finds none has nobody to wake, as sleepers open it before they
 * compare the word.
 *
 * Words of this process alone: each sleeper hangs an event of its own into a list that wakers walk.
 */
#include <os/win32/sys.h>

#include <base/atomic.h>
#include <base/counters.h>
#include <string.h>

/* ---- named events, kept open until their memory is closed ---- */

struct named_event {
	struct named_event *next;
	struct sys_place place;
	HANDLE event;
	unsigned users;
};

#define BUCKETS 256u
static struct named_event *buckets[BUCKETS];
static SRWLOCK events_lock = SRWLOCK_INIT;

static struct named_event **bucket_of(const struct sys_place *place)
{
	uint64_t mixed = (place->identity[0] ^ place->offset) * UINT64_C(0x9e3779b97f4a7c15);

	return &buckets[mixed >> 56];
}

/*
 * The event of a place, opened by this process before or now; `make` creates it if nobody has it. NULL: nobody has it, or the
 * system has no more. To be given back.
 */
static struct named_event *event_get(const struct sys_place *place, bool make)
{
	struct named_event **bucket = bucket_of(place), *found;
	wchar_t name[SYS_NAME_ROOM];

	AcquireSRWLockExclusive(&events_lock);
	for (found = *bucket; found; found = found->next)
		if (!memcmp(&found->place, place, sizeof(*place)))
			break;
	if (!found && (found = os_allocate(sizeof(*found)))) {
		sys_place_name("w", place, 0, name);
		found->place = *place;
		found->event = make ? CreateEventW(sys_owner_only(), TRUE, FALSE, name)
				    : OpenEventW(EVENT_MODIFY_STATE | SYNCHRONIZE, FALSE, name);
		if (found->event) {
			found->next = *bucket;
			*bucket = found;
		} else {
			os_free(found);
			found = NULL;
		}
	}
	if (found)
		found->users++;
	ReleaseSRWLockExclusive(&events_lock);
	return found;
}

static void event_put(struct named_event *event)
{
	AcquireSRWLockExclusive(&events_lock);
	event->users--;
	ReleaseSRWLockExclusive(&events_lock);
}

void sys_forget_waits(const struct sys_place *place)
{
	AcquireSRWLockExclusive(&events_lock);
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct named_event **link = &buckets[i], *event;

		while ((event = *link)) {
			if (event->users || memcmp(event->place.identity, place->identity, sizeof(place->identity))) {
				link = &event->next;
				continue;
			}
			*link = event->next;
			CloseHandle(event->event);
			os_free(event);
		}
	}
	ReleaseSRWLockExclusive(&events_lock);
}

/* ---- words of this process ---- */

struct own_sleep {
	struct own_sleep *next;
	const _Atomic uint32_t *word;
	HANDLE event;
	unsigned number; /* of the word in its wait */
	bool woken;
};
static struct own_sleep *own_sleeps;
static SRWLOCK own_lock = SRWLOCK_INIT;

static void wake_own(const _Atomic uint32_t *word)
{
	AcquireSRWLockExclusive(&own_lock);
	for (struct own_sleep *sleep = own_sleeps; sleep; sleep = sleep->next) {
		if (sleep->word != word)
			continue;
		sleep->woken = true;
		SetEvent(sleep->event);
	}
	ReleaseSRWLockExclusive(&own_lock);
}

/* ---- one wait ---- */

#define HANDLES_MAX MAXIMUM_WAIT_OBJECTS
#define LOOK_AGAIN_MILLISECONDS 10 /* for words that got no handle */

struct wait {
	HANDLE handles[HANDLES_MAX];
	unsigned numbers[HANDLES_MAX];           /* of the words that the handles stand for */
	struct named_event *events[HANDLES_MAX]; /* or NULL: an owner's mutex, or our own event */
	unsigned count;
	struct own_sleep own[HANDLES_MAX];
	unsigned own_count;
	HANDLE own_event; /* for all of `own` */
	bool uncovered;   /* a word got no handle */
	bool changed;     /* an owner is known to be gone */
};

static void add(struct wait *wait, HANDLE handle, unsigned number, struct named_event *event)
{
	wait->handles[wait->count] = handle;
	wait->numbers[wait->count] = number;
	wait->events[wait->count] = event;
	wait->count++;
}

static void add_own(struct wait *wait, const struct os_wait_word *word, unsigned number)
{
	struct own_sleep *sleep = &wait->own[wait->own_count];

	if (!wait->own_event) {
		wait->own_event = CreateEventW(NULL, FALSE, FALSE, NULL);
		if (!wait->own_event) {
			wait->uncovered = true;
			return;
		}
		add(wait, wait->own_event, number, NULL);
	}
	*sleep = (struct own_sleep){own_sleeps, word->word, wait->own_event, number, false};
	wait->own_count++;
	AcquireSRWLockExclusive(&own_lock);
	sleep->next = own_sleeps;
	own_sleeps = sleep;
	ReleaseSRWLockExclusive(&own_lock);
}

static void add_shared(struct wait *wait, const struct sys_place *place, unsigned number)
{
	struct named_event *event = event_get(place, true);

	if (event)
		add(wait, event->event, number, event);
	else
		wait->uncovered = true;
}

/* Who owns the life word holds a mutex, which others get when it ends. */
static void add_owner(struct wait *wait, const struct os_wait_word *word, const struct sys_place *place,
		      unsigned number)
{
	HANDLE owner =
		sys_life_mutex(place, load_rlx(os_high_half((const _Atomic uint64_t *)(const void *)word->word)));

	if (!owner && GetLastError() == ERROR_FILE_NOT_FOUND)
		wait->changed = true;
	else if (!owner)
		wait->uncovered = true; /* it lives, for all we may know */
	else if ((word->value & OS_LIFE_ID) != os_thread_id() || !sys_life_is_ours(owner))
		add(wait, owner, number, NULL);
	else
		CloseHandle(owner); /* our own end is nothing that we could sleep for: we would get the mutex at once */
}

static void add_word(struct wait *wait, const struct os_wait_word *word, unsigned number)
{
	struct sys_place place;

	if (word->kind == OS_WORD_COMPARED)
		return;
	/* One place is kept for our own event. */
	if (wait->count >= HANDLES_MAX - 2 || wait->own_count >= HANDLES_MAX)
		wait->uncovered = true;
	else if (!sys_place_of(word->word, &place))
		add_own(wait, word, number);
	else if (word->kind == OS_WORD_LIFE)
		add_owner(wait, word, &place, number);
	else
		add_shared(wait, &place, number);
}

/* After the system calls that reset the events: they are full barriers, as those before the wakers' are. */
static bool all_equal(const struct os_wait_word *words, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (load_rlx(words[i].word) != words[i].value)
			return false;
	return true;
}

static void set_events(const struct wait *wait, bool to)
{
	for (unsigned i = 0; i < wait->count; i++) {
		if (wait->events[i] && to)
			SetEvent(wait->handles[i]);
		else if (wait->events[i])
			ResetEvent(wait->handles[i]);
	}
}

static void let_go(struct wait *wait)
{
	AcquireSRWLockExclusive(&own_lock);
	for (unsigned i = 0; i < wait->own_count; i++) {
		struct own_sleep **link = &own_sleeps;

		while (*link != &wait->own[i])
			link = &(*link)->next;
		*link = wait->own[i].next;
	}
	ReleaseSRWLockExclusive(&own_lock);
	for (unsigned i = 0; i < wait->count; i++) {
		if (wait->events[i])
			event_put(wait->events[i]);
		else
			CloseHandle(wait->handles[i]);
	}
}

/* Milliseconds until then, rounded up. */
static DWORD time_until(const struct wait *wait, uint64_t deadline)
{
	uint64_t now = os_now(), left = deadline > now ? (deadline - now + 999999) / 1000000 : 0;

	if (wait->uncovered && left > LOOK_AGAIN_MILLISECONDS)
		return LOOK_AGAIN_MILLISECONDS;
	return deadline == UINT64_MAX ? INFINITE : left > SYS_SLEEP_MAX ? SYS_SLEEP_MAX : (DWORD)left;
}

/* The number of the word that was woken. */
static int woken_word(struct wait *wait, unsigned which)
{
	if (wait->events[which])
		return (int)wait->numbers[which];
	if (wait->handles[which] == wait->own_event) {
		for (unsigned i = 0; i < wait->own_count; i++)
			if (wait->own[i].woken)
				return (int)wait->own[i].number;
		return OS_WAIT_CHANGED;
	}
	/* The owner is gone, and its mutex ours: the next who waits for it gets it from us. */
	ReleaseMutex(wait->handles[which]);
	return (int)wait->numbers[which];
}

static int sleep_until(struct wait *wait, uint64_t deadline)
{
	for (;;) {
		DWORD time = time_until(wait, deadline), got;

		if (wait->count)
			got = WaitForMultipleObjects(wait->count, wait->handles, FALSE, time);
		else
			got = SleepEx(time, FALSE), got = WAIT_TIMEOUT;
		if (got < WAIT_OBJECT_0 + wait->count)
			return woken_word(wait, got - WAIT_OBJECT_0);
		if (got >= WAIT_ABANDONED_0 && got < WAIT_ABANDONED_0 + wait->count)
			return woken_word(wait, got - WAIT_ABANDONED_0);
		if (got != WAIT_TIMEOUT) {
			os_yield();
			return OS_WAIT_CHANGED;
		}
		if (os_now() >= deadline)
			return OS_WAIT_TIMED_OUT;
		if (wait->uncovered)
			return OS_WAIT_CHANGED;
	}
}

int os_wait(const struct os_wait_word *words, unsigned count, uint64_t deadline)
{
	struct wait wait; /* 6 KiB, of which little is used: not cleared */
	int woken = OS_WAIT_CHANGED;

	wait.count = 0;
	wait.own_count = 0;
	wait.own_event = NULL;
	wait.uncovered = false;
	wait.changed = false;
	for (unsigned i = 0; i < count; i++)
		add_word(&wait, &words[i], i);
	counters_add(COUNTER_SLEEPS);
	set_events(&wait, false);
	if (wait.changed || !all_equal(words, count))
		set_events(&wait, true);
	else
		woken = sleep_until(&wait, deadline);
	let_go(&wait);
	return woken;
}

void os_wake(const _Atomic uint32_t *word)
{
	struct sys_place place;
	struct named_event *event;

	counters_add(COUNTER_WAKES);
	if (!sys_place_of(word, &place)) {
		wake_own(word);
		return;
	}
	event = event_get(&place, false);
	if (event) {
		SetEvent(event->event);
		event_put(event);
	}
}

/* ---- barriers on others: there are none across processes ---- */

bool os_barrier_join(void)
{
	return false;
}

bool os_barrier_can_impose(void)
{
	return false;
}

bool os_barrier_impose(void)
{
	return false;
}
