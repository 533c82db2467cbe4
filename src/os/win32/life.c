/* SPDX-License-Identifier: MIT */
/*
 * Windows: life words. Each member holds, as long as its thread lives, a kernel mutex whose name is made of the memory's
 * identity, the word's offset and the owner's generation. The system abandons it when the thread ends, however it ends; it
 * marks no memory, so who looks at the word asks for the mutex, and marks the word of the dead.
 *
 *   the mutex                     its owner is
 *   does not exist                dead: nobody but the owner must have it open, and the owner has
 *   is held                       alive
 *   can be had (or is abandoned)  dead: given back at once, so that the next one who waits gets it
 *
 * Entering: the mutex is made and held before the word names its generation; leaving: the word is marked, then the mutex given
 * up. Names carry the generation, so that a name is never used twice.
 */
#include <os/win32/memory.h>
#include <os/win32/nt.h>
#include <os/win32/sys.h>

#include <base/atomic.h>
#include <base/error.h>
#include <base/mutant.h>

#include <string.h>

/* What os_life is the start of. */
struct membership {
	struct os_life life;
	unsigned char *page; /* NULL once the memory was let go on our behalf */
	HANDLE mutex;        /* ours while we are a member */
	struct sys_place place;
};

static struct membership *membership_of(struct os_life *life)
{
	return cc_container_of(life, struct membership, life);
}

HANDLE sys_life_mutex(const struct sys_place *place, uint32_t generation)
{
	wchar_t name[SYS_NAME_ROOM];

	sys_place_name("l", place, generation, name);
	return OpenMutexW(SYNCHRONIZE | MUTEX_MODIFY_STATE | MUTANT_QUERY_STATE, FALSE, name);
}

int os_life_map(os_handle memory, uint64_t offset, struct os_life **ret_life)
{
	struct membership *membership = os_allocate(sizeof(*membership));
	void *page;
	int rc;

	if (!membership)
		return -STOA_ENOMEM;
	rc = os_map(memory, offset, OS_PAGE, OS_READ | OS_WRITE, &page);
	if (rc) {
		os_free(membership);
		return rc;
	}
	membership->page = page;
	membership->life.word = (_Atomic uint64_t *)(void *)(membership->page + OS_LIFE_OFFSET);
	if (!sys_place_of((const void *)membership->life.word, &membership->place)) {
		os_life_unmap(&membership->life);
		return error_set(-STOA_ENOTSUP, "memory without an identity has no life words");
	}
	*ret_life = &membership->life;
	return 0;
}

void os_life_unmap(struct os_life *life)
{
	struct membership *membership = membership_of(life);

	if (membership->page)
		(void)os_unmap(membership->page, OS_PAGE);
	if (membership->mutex)
		CloseHandle(membership->mutex);
	os_free(membership);
}

/* Mark the word dead if it is still `seen`. true: somebody may sleep on it, in a wait for the owner's mutex. */
static bool mark_dead(_Atomic uint64_t *word, uint64_t seen)
{
	uint64_t dead = (seen & ~(uint64_t)OS_LIFE_ID) | OS_LIFE_DIED;

	/* L3: all its owner wrote is visible to who sees it dead; pairs with L2 in os_life_look() */
	return seen & OS_LIFE_ID && cas_seq(word, &seen, dead) && seen & OS_LIFE_WAITERS;
}

bool sys_life_is_ours(HANDLE mutex)
{
	struct nt_mutex_info info;

	return nt_functions()->query_mutex &&
	       NT_DONE(nt_functions()->query_mutex(mutex, NT_MUTEX_BASIC, &info, sizeof(info), NULL)) && info.ours;
}

/* Does the owner of the word at `place` run? */
static bool owner_lives(const struct sys_place *place, uint64_t word)
{
	HANDLE mutex;
	DWORD got = WAIT_TIMEOUT;

	if (MUTANT(UNLINKED))
		return true;
	mutex = sys_life_mutex(place, (uint32_t)(word >> 32));
	/* A mutex that we may not open is somebody's who lives. */
	if (!mutex)
		return GetLastError() != ERROR_FILE_NOT_FOUND;
	if ((uint32_t)(word & OS_LIFE_ID) != os_thread_id() || !sys_life_is_ours(mutex)) {
		got = WaitForSingleObject(mutex, 0);
		if (got == WAIT_OBJECT_0 || got == WAIT_ABANDONED)
			ReleaseMutex(mutex);
	}
	CloseHandle(mutex);
	return got == WAIT_TIMEOUT;
}

uint64_t os_life_look(_Atomic uint64_t *word)
{
	uint64_t seen = load_seq(word); /* L2: pairs with L1 in os_life_enter(), L3 in mark_dead() */
	struct sys_place place;
	struct map map;

	if (!(seen & OS_LIFE_ID) || !sys_place_of((const void *)word, &place) || owner_lives(&place, seen))
		return seen;
	if (!map_at((const void *)word, &map) || !(map.access & OS_WRITE))
		return (seen & ~(uint64_t)OS_LIFE_ID) | OS_LIFE_DIED;
	(void)mark_dead(word, seen);
	return load_seq(word); /* L4: pairs with L1 in os_life_enter(), L3 in mark_dead() */
}

int os_life_read(os_handle memory, uint64_t offset, uint64_t *ret_word)
{
	struct sys_place place = {.offset = offset};
	uint64_t word = 0;
	size_t got;
	int rc = os_memory_read(memory, offset, &word, sizeof(word), &got);

	if (rc)
		return rc;
	if (got < sizeof(word))
		word = 0;
	if (word & OS_LIFE_ID && sys_identity_of(memory, &place) && !owner_lives(&place, word))
		word = (word & ~(uint64_t)OS_LIFE_ID) | OS_LIFE_DIED;
	*ret_word = word;
	return 0;
}

bool os_life_enter(struct os_life *life, uint64_t seen, uint64_t *ret_word)
{
	struct membership *membership = membership_of(life);
	uint32_t generation = (uint32_t)(seen >> 32) + 1;
	wchar_t name[SYS_NAME_ROOM];
	uint64_t word;

	if (!generation)
		generation = 1;
	word = (uint64_t)generation << 32 | os_thread_id() | (seen & OS_LIFE_WAITERS);
	sys_place_name("l", &membership->place, generation, name);
	membership->mutex = CreateMutexW(sys_owner_only(), TRUE, name);
	if (!membership->mutex)
		return false;
	/* It existed: another thread is about to enter here, or somebody holds a name that is not theirs. */
	if (GetLastError() != ERROR_ALREADY_EXISTS) {
		/* L1: claims the slot; pairs with L2 in os_life_look() */
		if (cas_seq(life->word, &seen, word)) {
			*ret_word = word;
			return true;
		}
		ReleaseMutex(membership->mutex);
	}
	CloseHandle(membership->mutex);
	membership->mutex = NULL;
	return false;
}

/* The word, if it is still this member's and not an enemy's. */
static uint64_t own_word(const struct membership *membership)
{
	uint64_t word = load_rlx(membership->life.word), identity = load_rlx(&membership->life.identity);

	return identity && word >> 32 != identity >> 32 ? 0 : word;
}

void os_life_leave(struct os_life *life, const _Atomic uint32_t *relay)
{
	struct membership *membership = membership_of(life);

	(void)relay;
	if (membership->page)
		(void)mark_dead(life->word, own_word(membership));
	if (membership->mutex)
		ReleaseMutex(membership->mutex);
	os_life_unmap(life);
}

/* The mutex stays its thread's until that one comes by or ends, and nobody else can give it up: sleepers are told otherwise. */
void os_life_retire(struct os_life *life, const _Atomic uint32_t *relay)
{
	struct membership *membership = membership_of(life);

	if (mark_dead(life->word, own_word(membership)))
		os_wake(relay);
	(void)os_unmap(membership->page, OS_PAGE);
	membership->page = NULL;
}
