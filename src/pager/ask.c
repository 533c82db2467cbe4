/* SPDX-License-Identifier: MIT */
/*
 * Asking: a process that has no backing writes what it wants into its page of the control segment, and the keeper of the process that serves does
 * it. One request of a process is on its way at a time.
 *
 * Death: a server that dies leaves the request asked for, so the next one does it; each can be done twice. Who asks and dies leaves one that is
 * forgotten, unless somebody was just doing it: others rely on what they wrote since. Without any server left the asker takes his request back.
 * What an enemy may do: ask for anything (checked here), and answer anything.
 */
#include <pager/pager.h>

#include <inttypes.h>

#define LOOK_EVERY UINT64_C(100000000) /* whether a server is alive */

static bool is_asked(uint64_t state)
{
	return state & 1;
}

/* Wait for the answer. */
static int await_answer(struct stoa_pager *pager, struct pager_request *request, uint64_t asked)
{
	int rc;

	while (load_acq(&request->state) == asked) { /* A1: the result; pairs with R2 in answer() */
		uint64_t expected = asked;

		if (!pager_has_server(pager) && cas_rlx(&request->state, &expected, asked + 1))
			return error_set(-STOA_ECLOSED, "no process is left that has the pager's backing");
		os_wait(&(struct os_wait_word){os_low_half(&request->state), (uint32_t)asked, OS_WORD_WOKEN}, 1,
			os_now() + LOOK_EVERY);
	}
	rc = (int)(int64_t)load_rlx(&request->result);
	return rc >= 0 ? 0 : error_set(rc, "who serves the pager: %s", stoa_error_text(rc));
}

int pager_ask(struct stoa_pager *pager, enum pager_ask what, uint64_t first, uint64_t count, uint32_t flags)
{
	struct pager_request *request = &pager->seat->request;
	uint64_t asked;
	int rc;

	os_lock(&pager->asking);
	asked = (load_rlx(&request->state) | 1) + (is_asked(load_rlx(&request->state)) ? 2 : 0);
	store_rlx(&request->what, what);
	store_rlx(&request->first, first);
	store_rlx(&request->count, count);
	store_rlx(&request->flags, flags);
	store_rel(&request->state, asked);         /* R3: the request; pairs with A2 in answer() */
	add_seq(&pager->shared->cursors.asked, 1); /* R1: the same; pairs with A4 in live() (keeper.c) */
	os_wake(os_low_half(&pager->shared->cursors.asked));
	rc = await_answer(pager, request, asked);
	os_unlock(&pager->asking);
	return rc;
}

/* ---- answering ---- */

static int get(struct stoa_pager *pager, uint32_t place, uint64_t first, uint64_t count, bool write)
{
	const struct pager_target to = {place, load_rlx(&pager->shared->members[place].serial)};
	int rc = 0;

	for (uint64_t i = 0; i < count && !rc; i++)
		rc = pager_resolve(pager, &to, first + i, write, true);
	return rc;
}

static int do_request(struct stoa_pager *pager, uint32_t place, const struct pager_request *request)
{
	uint64_t what = load_rlx(&request->what), first = load_rlx(&request->first), count = load_rlx(&request->count),
		 flags = load_rlx(&request->flags);
	int rc;

	if (first > pager->blocks || count > pager->blocks - first)
		return -STOA_ERANGE;
	switch (what) {
	case ASK_GET: return get(pager, place, first, count, flags & ASK_FLAG_WRITE);
	case ASK_WRITE_BACK:
		rc = pager_write_back(pager, first, first + count, false, true);
		return !rc && flags & ASK_FLAG_DURABLE ? stoa_backing_flush(pager->backing) : rc;
	case ASK_DROP: return pager_drop(pager, first, first + count, flags & ASK_FLAG_WRITE);
	default: return -STOA_EINVAL;
	}
}

static void answer(struct stoa_pager *pager, uint32_t place)
{
	struct pager_request *request = &pager->shared->seats[place].request;
	uint64_t state = load_acq(&request->state); /* A2: the request; pairs with R3 in pager_ask() */
	int rc;

	if (!is_asked(state))
		return;
	rc = do_request(pager, place, request);
	store_rlx(&request->result, (uint64_t)(int64_t)rc);
	if (cas_rel(&request->state, &state, state + 1)) /* R2: the result; pairs with A1 in await_answer() */
		os_wake(os_low_half(&request->state));
}

void pager_answer(struct stoa_pager *pager)
{
	for (uint32_t place = 0; place < STOA_PAGER_MEMBERS; place++)
		if (load_rlx(&pager->shared->members[place].flags) & MEMBER_CLIENT &&
		    load_rlx(&pager->shared->members[place].serial) && pager_member_lives(pager, place))
			answer(pager, place);
}
