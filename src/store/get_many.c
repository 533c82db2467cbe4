/* SPDX-License-Identifier: MIT */
/*
 * Several gets in one go. Who finds all of them asks nobody. What is missing is asked for all at once, so that the server is woken once, and each is held
 * when the server says that it has come, whatever the others do: an object that were held only when all are there might be gone by then.
 *
 * Requests that wait keep slots of the session which others need for what these wait for; so those of all gets together have half of them, and
 * one get but so many. What is beyond that is asked for when others have come, and looked for at the deadline.
 */
#include <store/client.h>

#include <base/error.h>
#include <os/local.h>
#include <stoa/store.h>

#define WAITS_AT_A_TIME 256u
#define PARKED_MAX (SESSION_COMPLETIONS / 2)

/* `result` of a get that is still to come; nothing else has it meanwhile. */
#define MISSING STOA_TIMED_OUT
#define NOBODY UINT32_MAX
#define NO_ROOM_NAP 5u /* milliseconds */

struct batch {
	struct stoa_store *store;
	struct stoa_get *gets;
	uint32_t count;
	uint64_t deadline;
};

struct waits {
	uint64_t server;              /* that was asked */
	uint32_t next;                /* gets before this one are there, have failed, or are waited for */
	uint32_t pending;             /* calls */
	uint32_t places;              /* so many of the following were ever used */
	uint32_t of[WAITS_AT_A_TIME]; /* the get; NOBODY: the place is free */
	struct client_call calls[WAITS_AT_A_TIME];
};

/* ---- those that are there ---- */

/* STOA_TIMED_OUT: no server to ask where its bytes are. */
static int look(const struct batch *batch, struct stoa_get *get)
{
	int rc = client_hold(batch->store, get->id, get->id_length, STORE_SEALED, &get->object);
	bool spilled = rc == CLIENT_SPILLED;

	/* Without a deadline, only what a server has left half done is waited for; and what is in a file is begun to be brought back. */
	if ((rc == 1 || spilled) && !batch->deadline)
		rc = client_hold_later(batch->store, rc, get->id, get->id_length, 0, STORE_SEALED, &get->object);
	if (batch->deadline && (rc == 1 || spilled || rc == -STOA_ENOENT))
		get->result = MISSING;
	else
		get->result = rc < 0 ? client_refuse_hold(rc, get->id, get->id_length) : rc;
	return rc == STOA_TIMED_OUT && !spilled ? rc : 0;
}

/* All that are missing. That no server answers is found out once. */
static void look_for_all(const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++)
		if (batch->gets[i].result == MISSING && look(batch, &batch->gets[i]))
			return;
}

/* ---- those that are missing ---- */

static void leave_place(const struct batch *batch, struct waits *waits, uint32_t place)
{
	waits->of[place] = NOBODY;
	waits->pending--;
	add_rlx(&batch->store->parked, UINT32_MAX);
}

static void forget_all(const struct batch *batch, struct waits *waits)
{
	for (uint32_t i = 0; i < waits->places; i++)
		if (waits->of[i] != NOBODY) {
			client_forget(batch->store, &waits->calls[i]);
			leave_place(batch, waits, i);
		}
}

static int ask_for(const struct batch *batch, struct waits *waits, uint32_t place, uint32_t number)
{
	const struct stoa_get *get = &batch->gets[number];
	bool spilled = client_is_spilled(batch->store, get->id, get->id_length);
	struct store_request request = {.op = spilled ? STORE_OP_FETCH : STORE_OP_WAIT,
					.id_length = (uint16_t)get->id_length};
	int rc;

	if (place == waits->places)
		waits->places++;
	waits->of[place] = NOBODY;
	waits->calls[place] = (struct client_call){0};
	rc = client_ask(batch->store, &request, &(struct client_bytes){.id = get->id}, &waits->calls[place],
			batch->deadline);
	if (rc)
		return rc;
	waits->of[place] = number;
	waits->pending++;
	add_rlx(&batch->store->parked, 1);
	return 0;
}

/* May one more be asked for? */
static bool may_ask(const struct batch *batch, const struct waits *waits)
{
	return !waits->pending || (waits->pending < WAITS_AT_A_TIME && load_rlx(&batch->store->parked) < PARKED_MAX);
}

static uint32_t free_place(const struct waits *waits)
{
	uint32_t place = 0;

	if (waits->pending == waits->places)
		return waits->places;
	while (waits->of[place] != NOBODY)
		place++;
	return place;
}

static int ask_for_more(const struct batch *batch, struct waits *waits)
{
	int rc = 0;

	for (; rc == 0 && waits->next < batch->count && may_ask(batch, waits); waits->next++)
		if (batch->gets[waits->next].result == MISSING)
			rc = ask_for(batch, waits, free_place(waits), waits->next);
	client_ring(batch->store);
	return rc;
}

/* The server has answered. What has gone again meanwhile is waited for again; so is room for what comes from a file. */
static void take_answer(const struct batch *batch, struct stoa_get *get, int result)
{
	if (result == -STOA_ENOMEM)
		client_nap(NO_ROOM_NAP, batch->deadline);
	else if (result < 0 && result != -STOA_ENOENT)
		get->result = client_refuse(result, get->id, get->id_length);
	else
		(void)look(batch, get);
}

/* Those that the server has named. */
static int take(const struct batch *batch, struct waits *waits)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < waits->places; i++) {
		uint32_t number = waits->of[i];
		struct stoa_get *get;

		if (number == NOBODY || !client_taken(&waits->calls[i]))
			continue;
		leave_place(batch, waits, i);
		get = &batch->gets[number];
		take_answer(batch, get, waits->calls[i].completion.result);
		if (get->result == MISSING)
			rc = ask_for(batch, waits, i, number);
	}
	return rc;
}

/* Until all are there, or the deadline: STOA_TIMED_OUT. -STOA_ECLOSED. */
static CC_NOINLINE int wait_for_missing(const struct batch *batch)
{
	const _Atomic uint64_t *servers = &batch->store->directory.header->server;
	struct waits waits;
	int rc = 0;

	waits.next = waits.pending = waits.places = 0;
	waits.server = load_rlx(servers);
	while (rc == 0) {
		rc = ask_for_more(batch, &waits);
		if (rc || !waits.pending)
			break;
		rc = client_wait_any(batch->store, waits.calls, waits.places, waits.server, batch->deadline);
		if (rc == 0)
			rc = take(batch, &waits);
		if (rc != STOA_EXISTED)
			continue;
		/* Who has come since knows nothing of what waits. */
		forget_all(batch, &waits);
		waits.server = load_rlx(servers);
		waits.next = 0;
		rc = 0;
	}
	forget_all(batch, &waits);
	return rc;
}

static bool any_missing(const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++)
		if (batch->gets[i].result == MISSING)
			return true;
	return false;
}

/* ---- all of them ---- */

static void begin(const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		struct stoa_get *get = &batch->gets[i];

		get->object = (struct stoa_object){0};
		get->result = client_check_id(get->id, get->id_length);
		if (get->result == 0)
			get->result = MISSING;
	}
}

/* With the sentence of that one, where others failed later. */
static int first_result(const struct batch *batch)
{
	const struct stoa_get *first = NULL;
	uint32_t failed = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		first = first || !batch->gets[i].result ? first : &batch->gets[i];
		failed += batch->gets[i].result < 0;
	}
	if (!first)
		return 0;
	return first->result < 0 && failed > 1 ? client_refuse(first->result, first->id, first->id_length)
					       : first->result;
}

static void get_all(const struct batch *batch)
{
	int rc;

	look_for_all(batch);
	if (!batch->deadline || !any_missing(batch))
		return;
	rc = wait_for_missing(batch);
	look_for_all(batch);
	for (uint32_t i = 0; rc < 0 && i < batch->count; i++)
		if (batch->gets[i].result == MISSING)
			batch->gets[i].result = rc;
}

int stoa_store_get_many(struct stoa_store *store, struct stoa_get *gets, uint32_t count, uint32_t flags,
			uint64_t deadline)
{
	const struct batch batch = {store, gets, count, deadline};
	int before, rc = client_usable(store);

	if (rc < 0)
		return rc;
	if (flags & ~STOA_GET_ALL || (count && !gets))
		return error_set(-STOA_EINVAL, "no such flags: 0x%x, or no gets", flags);
	begin(&batch);
	before = os_cancel_hold();
	get_all(&batch);
	os_cancel_again(before);
	rc = first_result(&batch);
	for (uint32_t i = 0; rc && flags & STOA_GET_ALL && i < count; i++)
		if (gets[i].result == 0)
			stoa_object_release(store, &gets[i].object);
	return rc;
}
