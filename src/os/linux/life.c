/* SPDX-License-Identifier: MIT */
/*
 * Linux: life words, by the kernel's robust futex list without its danger.
 *
 * A robust mutex in shared memory carries list links there too: a peer that writes them steers the kernel and glibc. Here the
 * word is the last thing in the shared page and the links fall into the page behind it, which is private:
 *
 *      shared page (mapped for this alone)          private page (MADV_WIPEONFORK)
 *   +--------------------------+------+----+----+   +------+------+-------------------+
 *   | claims log ...           | life | gen|    |   | prev | next | identity ...      |
 *   +--------------------------+------+----+----+   +------+------+-------------------+
 *   0                          4072   4076          4096   4104 = node, life = node - 32
 *
 * Peers can write the life word, at worst declaring its owner dead or alive wrongly in this one segment. The links, and so
 * other segments and the program's own robust mutexes, are out of reach. (Robust futexes: kernel document
 * locking/robust-futexes.)
 *
 * Entering: the node is "pending" from before the word names this thread until after it is linked, so that at every
 * instruction the kernel either finds the word through the pending pointer or the list, or it does not name us. For those few
 * instructions a thread of the same id in another container that wins the slot could be declared dead by our death; the
 * word is looked at once more before, to keep them few. Leaving needs no such thing: the word is marked first.
 */
#include <base/atomic.h>
#include <base/cc.h>
#include <base/error.h>
#include <base/mutant.h>
#include <os/linux/robust.h>
#include <os/linux/sys.h>
#include <os/os.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LINK_NEXT 1 /* glibc: links[0] is prev, links[1] next; the list runs through the `next` fields */
#define LINK_BYTES 8

_Static_assert(OS_LIFE_OFFSET - ROBUST_OFFSET == 4096 + LINK_BYTES,
	       "`next` must be the second word of the private page");
_Static_assert(offsetof(struct os_life, links) == 0, "`prev` must be the first");

int os_life_map(os_handle memory, uint64_t offset, struct os_life **ret_life)
{
	unsigned char *pair;

	/* Asked afresh: a fork that went around libc leaves the thread without a list, and the cached head stale. */
	if (!robust_head_find())
		return error_set(-STOA_ENOTSUP,
				 "this C library's robust mutex list is not set up, or has a layout that "
				 "stoa does not know");
	pair = SYS(mmap, NULL, 2 * OS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pair == MAP_FAILED)
		return error_set(-STOA_ENOMEM, "no memory for a life page: %s", strerror(errno));
	if (SYS(mmap, pair, OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)memory, (off_t)offset) ==
		    MAP_FAILED ||
	    SYS(madvise, pair + OS_PAGE, OS_PAGE, MADV_WIPEONFORK)) {
		int error = errno == ENOMEM                     ? -STOA_ELIMIT
			    : errno == EPERM || errno == EACCES ? -STOA_ERIGHTS
								: -STOA_ESYSTEM;

		error_set(error, "cannot map a life page: %s", strerror(errno));
		munmap(pair, 2 * OS_PAGE);
		return error;
	}
	*ret_life = (struct os_life *)(void *)(pair + OS_PAGE);
	(*ret_life)->word = (_Atomic uint64_t *)(void *)(pair + OS_LIFE_OFFSET);
	return 0;
}

void os_life_unmap(struct os_life *life)
{
	munmap((unsigned char *)life - OS_PAGE, 2 * OS_PAGE);
}

/* glibc's own enqueue and dequeue, in our words. Bit 0 of a link marks a priority-inheritance neighbour: kept. */
static void link_first(struct robust_list_head *head, struct os_life *life)
{
	uint64_t first = (uint64_t)(uintptr_t)head->list.next;
	uint64_t node = (uint64_t)(uintptr_t)&life->links[LINK_NEXT];

	life->links[0] = (uint64_t)(uintptr_t)&head->list;
	life->links[LINK_NEXT] = first;
	cc_compiler_barrier();
	*(uint64_t *)(uintptr_t)((first & ~UINT64_C(1)) - LINK_BYTES) = node;
	cc_compiler_barrier();
	head->list.next = (struct robust_list *)(uintptr_t)node;
	cc_compiler_barrier();
}

static void unlink_node(struct os_life *life)
{
	uint64_t previous = life->links[0], next = life->links[LINK_NEXT];

	*(uint64_t *)(uintptr_t)(previous & ~UINT64_C(1)) = next;
	cc_compiler_barrier();
	*(uint64_t *)(uintptr_t)((next & ~UINT64_C(1)) - LINK_BYTES) = previous;
	cc_compiler_barrier();
}

uint64_t os_life_look(_Atomic uint64_t *word)
{
	return load_seq(word); /* L2: pairs with L1 in os_life_enter(), L3 in mark_dead() and the kernel's marking */
}

int os_life_read(os_handle memory, uint64_t offset, uint64_t *ret_word)
{
	uint64_t word = 0;
	size_t got;
	int rc = os_memory_read(memory, offset, &word, sizeof(word), &got);

	if (rc == 0)
		*ret_word = got == sizeof(word) ? word : 0;
	return rc;
}

bool os_life_enter(struct os_life *life, uint64_t seen, uint64_t *ret_word)
{
	struct robust_list_head *head = robust_head();
	uint32_t generation = (uint32_t)(seen >> 32) + 1;
	uint64_t word;
	bool entered;

	if (!generation)
		generation = 1;
	word = (uint64_t)generation << 32 | os_thread_id() | (seen & OS_LIFE_WAITERS);
	if (load_rlx(life->word) != seen)
		return false;
	head->list_op_pending =
		MUTANT(NO_PENDING_AT_ENROL) ? NULL : (struct robust_list *)(void *)&life->links[LINK_NEXT];
	cc_compiler_barrier();
	entered = cas_seq(life->word, &seen, word); /* L1: claims the slot; pairs with L2 in os_life_look() */
	cc_compiler_barrier();
	if (entered && !MUTANT(UNLINKED))
		link_first(head, life);
	head->list_op_pending = NULL;
	cc_compiler_barrier();
	if (entered)
		*ret_word = word;
	return entered;
}

/*
 * Mark the word dead if it names `id`; tells whether sleepers must be woken. A word that does not name it was overwritten by an
 * enemy: not ours to end.
 */
static bool mark_dead(_Atomic uint64_t *word, uint32_t id)
{
	uint64_t seen = load_rlx(word);

	while ((uint32_t)(seen & OS_LIFE_ID) == id) {
		uint64_t dead = (seen & ~(uint64_t)OS_LIFE_ID) | OS_LIFE_DIED;

		/* L3: all this thread wrote is visible to who sees it dead; pairs with L2 in os_life_look() */
		if (cas_seq(word, &seen, dead))
			return seen & OS_LIFE_WAITERS;
	}
	return false;
}

/*
 * From the mark on, the word may name another thread, of the same id in another container: it must then be neither in our list
 * nor pending. So it is unlinked first, while pending, and the pending word is changed right after the mark.
 */
void os_life_leave(struct os_life *life, const _Atomic uint32_t *relay)
{
	struct robust_list_head *head = robust_head();

	/* Wiped by a fork that went around libc: nothing of it is ours but the pages. */
	if (life->word) {
		bool waiters;

		head->list_op_pending = (struct robust_list *)(void *)&life->links[LINK_NEXT];
		cc_compiler_barrier();
		unlink_node(life);
		waiters = mark_dead(life->word, os_thread_id());
		cc_compiler_barrier();
		if (relay)
			(void)os_wake_cover(relay);
		else
			head->list_op_pending = NULL;
		if (waiters)
			os_wake(os_low_half(life->word));
		cc_compiler_barrier();
		head->list_op_pending = NULL;
	}
	os_life_unmap(life);
}

/*
 * The owner's node stays in its list; the shared page in front of it becomes a private one. Its word is 0 there, which the
 * kernel passes over at the owner's death.
 */
void os_life_retire(struct os_life *life, const _Atomic uint32_t *relay)
{
	unsigned char *page = (unsigned char *)life - OS_PAGE;

	(void)relay;
	if (mark_dead(life->word, (uint32_t)(load_rlx(life->word) & OS_LIFE_ID)))
		os_wake(os_low_half(life->word));
	/* Where memory is counted strictly it may fail; then the page stays, but its thread looks at it no more. */
	if (SYS(mmap, page, OS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		life->word = &life->nobody;
}
