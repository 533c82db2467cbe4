/* SPDX-License-Identifier: MIT */
/*
 * Requests and completions: a ring of records from this process to the server, and one of answers back. Both sides look at the other's
 * positions in shared memory; a bell (a descriptor) is raised only for who sleeps.
 *
 * The hard part is that many threads share one ring. Asking is a short lock. Of those who wait, one is the leader: it looks for
 * completions, hands them to the others' calls, and sleeps on the bell; the others sleep on `turn`, which counts up when calls were completed
 * or the leader's place is free.
 *
 * The server may be stopped or dead: nothing here waits beyond a deadline. What is cancelled after its time may have been done.
 */
#include <store/client.h>

#include <assert.h>
#include <base/error.h>
#include <base/mutant.h>
#include <os/local.h>
#include <stoa/sync.h>
#include <string.h>

#define LOOKS 2000u                 /* before the leader sleeps */
#define RECHECK UINT64_C(250000000) /* nanoseconds: who sleeps looks whether the server is another */

/* When to look again, at the latest. */
static uint64_t recheck(uint64_t deadline)
{
	uint64_t soon = os_now() + RECHECK;

	return deadline < soon || MUTANT(NO_RECHECK) ? deadline : soon;
}

/* ---- being told ---- */

static struct client_slot *serial_slot(struct stoa_store *store, uint64_t serial)
{
	return &store->slots[serial % SESSION_COMPLETIONS];
}

/* Hand out one completion. The lock for asking is held. */
static void deliver(struct stoa_store *store, const struct store_completion *completion)
{
	struct client_slot *slot = serial_slot(store, completion->serial);
	struct client_call *call = slot->call;

	if (!completion->serial || slot->serial != completion->serial)
		return; /* damaged, or told twice */
	/* What waited for a server that died nobody knows of; the server cannot say so without going beyond its room for completions. */
	if (slot->of && serial_slot(store, slot->of)->serial == slot->of)
		*serial_slot(store, slot->of) = (struct client_slot){0};
	*slot = (struct client_slot){0};
	if (!call)
		return;
	call->completion = *completion;
	store_rel(&call->done,
		  CALL_DONE); /* R1: publishes the completion; pairs with A1 in client_wait(), A5 in client_taken() */
}

/* All that are there. Returns how many. */
static unsigned take(struct stoa_store *store)
{
	/* A2: the completions that it counts; pairs with R1 in session.c */
	uint64_t completed = load_acq(&store->session->completed);
	unsigned taken = 0;

	if (completed == store->seen)
		return 0;
	os_lock(&store->asking);
	/* A count that runs away is the server's fault, and not followed for ever. */
	while (store->seen != completed && taken < SESSION_COMPLETIONS) {
		struct store_completion completion = store->session->completions[store->seen % SESSION_COMPLETIONS];

		store->seen++;
		taken++;
		deliver(store, &completion);
	}
	os_unlock(&store->asking);
	store_rlx(&store->session->seen, store->seen);
	return taken;
}

static void wake_followers(struct stoa_store *store)
{
	add_seq(&store->turn, 1); /* Q1: before the look at followers; pairs with Q2 in follow() */
	/* Q3: after the count; pairs with Q2 in follow() */
	if (load_seq(&store->followers))
		os_wake(&store->turn);
}

static bool lead(struct stoa_store *store)
{
	uint32_t free = 0;

	return cas_seq(&store->leader, &free, 1); /* Q4: takes what the last leader saw; pairs with Q5 in resign() */
}

static void resign(struct stoa_store *store)
{
	store_seq(&store->leader, 0); /* Q5: the place is free, then followers are woken; pairs with Q6 in follow() */
	wake_followers(store);
}

/* Is one of them completed, which its owner has not taken yet? */
static bool any_done(const struct client_call *calls, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (load_rlx(&calls[i].done) == CALL_DONE)
			return true;
	return false;
}

/* Sleep until calls were completed, or the leader's place is free. */
static void follow(struct stoa_store *store, const struct client_call *calls, uint32_t count, uint64_t deadline)
{
	uint32_t turn = load_rlx(&store->turn);

	add_seq(&store->followers, 1); /* Q2: before the look at the leader; pairs with Q3 in wake_followers() */
	/* Q6: a leader that resigns later sees a follower; pairs with Q5 in resign() */
	if (load_seq(&store->leader) && !any_done(calls, count))
		(void)os_wait(&(struct os_wait_word){&store->turn, turn, OS_WORD_WOKEN}, 1, deadline);
	sub_acq_rel(&store->followers, 1); /* Q7: no order is needed; pairs with Q3 in wake_followers() */
}

/* Is there anything new: a completion, or room in the ring? */
static bool moved(const struct stoa_store *store, uint64_t head)
{
	return load_rlx(&store->session->completed) != store->seen || load_rlx(&store->session->head) != head;
}

/* As leader: look, for a while, then sleep until something moves. -STOA_ECLOSED: the server has closed the connection. */
static int look(struct stoa_store *store, uint64_t deadline)
{
	uint64_t head = load_rlx(&store->session->head);
	const os_handle sleeps_on[] = {store->client_bell, store->socket};
	uint32_t ready = 0;

	for (unsigned i = 0; i < LOOKS && !MUTANT(NO_LOOKS); i++) {
		if (moved(store, head))
			return 0;
		cc_pause();
	}
	store_rlx(&store->session->waiting, 1);
	fence_seq(); /* Q8: the flag, then the look; pairs with Q9 in session_tell() */
	/* A ring may have failed for want of memory: it is made up for after a while. */
	if (!moved(store, head) && os_wait_readable(sleeps_on, CC_COUNT(sleeps_on), recheck(deadline), &ready))
		client_ring(store);
	store_rlx(&store->session->waiting, 0);
	os_bell_clear(store->client_bell);
	if (!(ready & 2) || moved(store, head))
		return 0;
	if (os_local_ended(store->socket))
		return error_set(-STOA_ECLOSED, "the store's server has ended");
	client_discard(store);
	return 0;
}

/* Get on with what is under way: take what is there, or wait for it once. */
static int progress(struct stoa_store *store, const struct client_call *calls, uint32_t count, uint64_t deadline)
{
	int rc = 0;

	if (!lead(store)) {
		follow(store, calls, count, recheck(deadline));
		return 0;
	}
	if (!take(store) && !any_done(calls, count))
		rc = look(store, deadline);
	if (take(store))
		rc = 0;
	resign(store);
	return rc;
}

/* ---- asking ---- */

static unsigned char *place(const struct stoa_store *store, uint64_t position)
{
	return store->ring + position % store->ring_size;
}

/* Bytes up to the ring's end that a record of `length` cannot use. */
static uint64_t to_skip(const struct stoa_store *store, uint64_t length)
{
	uint64_t left = store->ring_size - store->tail % store->ring_size;

	return left < length ? left : 0;
}

/*
 * The next serial whose slot is free; 0: none is. One that has been waiting for long is passed by: what is asked for behind it may be
 * what it waits for.
 */
static uint64_t free_serial(const struct stoa_store *store)
{
	for (uint64_t serial = store->serial + 1; serial <= store->serial + SESSION_COMPLETIONS; serial++)
		if (!store->slots[serial % SESSION_COMPLETIONS].serial)
			return serial;
	return 0;
}

/* May a record of `length` be written now? The lock for asking is held. */
static bool fits(const struct stoa_store *store, uint64_t length)
{
	/* A3: the server is done with the bytes before; pairs with R2 in session_work() */
	uint64_t used = store->tail - load_acq(&store->session->head);

	if (used > store->ring_size || !free_serial(store))
		return false;
	return to_skip(store, length) + length <= store->ring_size - used;
}

static void append(unsigned char **at, const void *bytes, uint64_t length)
{
	assert(bytes || !length);
	if (length)
		memcpy(*at, bytes, length);
	*at += length;
}

static void write_record(struct stoa_store *store, const struct store_request *request,
			 const struct client_bytes *bytes)
{
	uint64_t skipped = to_skip(store, store_line_up(request->length));
	unsigned char *at;

	if (skipped) {
		struct store_request skip = {.length = (uint32_t)skipped, .op = STORE_OP_SKIP};

		memcpy(place(store, store->tail), &skip, sizeof(skip));
		store->tail += skipped;
	}
	at = place(store, store->tail);
	append(&at, request, sizeof(*request));
	append(&at, bytes->id, request->id_length);
	append(&at, bytes->meta, request->meta_length);
	append(&at, bytes->data, bytes->data_length);
	store->tail += store_line_up(request->length);
	store_rel(&store->session->tail, store->tail); /* R3: publishes the records; pairs with A4 in session_work() */
}

/* Of what fits. The lock for asking is held. */
static void enqueue(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
		    struct client_call *call)
{
	store->serial = request->serial = free_serial(store);
	*serial_slot(store, request->serial) =
		(struct client_slot){request->serial, call, request->op == STORE_OP_CANCEL ? request->of : 0};
	if (call) {
		call->serial = request->serial;
		store_rlx(&call->done, 0);
	}
	write_record(store, request, bytes);
}

/* A request without anything behind it, if there is room. The lock for asking is held. */
static bool say(struct stoa_store *store, struct store_request request)
{
	request.length = sizeof(request);
	if (!fits(store, store_line_up(request.length)))
		return false;
	enqueue(store, &request, &(struct client_bytes){0}, NULL);
	return true;
}

static void pay_debts(struct stoa_store *store)
{
	while (store->debt_count && say(store, store->debts[store->debt_count - 1]))
		store->debt_count--;
}

void client_tell(struct stoa_store *store, const struct store_request *request)
{
	bool said;

	os_lock(&store->asking);
	said = say(store, *request);
	/* With so many owed the server has been gone for long, and drops all of it when the session ends. */
	if (!said && store->debt_count < SESSION_COMPLETIONS)
		store->debts[store->debt_count++] = *request;
	os_unlock(&store->asking);
	if (said)
		client_ring(store);
}

/* Wait, with the lock for asking, until a record fits. On failure it is unlocked. */
static int wait_to_fit(struct stoa_store *store, uint64_t length, uint64_t deadline)
{
	struct client_call none = {0};

	os_lock(&store->asking);
	for (pay_debts(store); !fits(store, length); pay_debts(store)) {
		int rc;

		os_unlock(&store->asking);
		client_ring(store);
		if (os_now() >= deadline)
			return STOA_TIMED_OUT;
		rc = progress(store, &none, 1, deadline);
		if (rc < 0)
			return rc;
		os_lock(&store->asking);
	}
	return 0;
}

int client_ask(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
	       struct client_call *call, uint64_t deadline)
{
	uint64_t length = sizeof(*request) + request->id_length + request->meta_length + bytes->data_length;
	int rc = wait_to_fit(store, store_line_up(length), deadline);

	if (rc)
		return rc;
	request->length = (uint32_t)length;
	enqueue(store, request, bytes, call);
	os_unlock(&store->asking);
	return 0;
}

void client_ring(struct stoa_store *store)
{
	const struct store_header *header = store->directory.header;

	/*
	 * Q10: requests, then the look; pairs with Q11 in sleep_until_asked(), which imposes a barrier on us between its flag and its own look, so that
	 * a compiler's suffices here.
	 */
	if (load_rlx(store->leases.fences))
		fence_seq();
	else
		cc_compiler_barrier();
	if (load_rlx(&header->asleep))
		os_bell_ring(store->bell);
}

/* Nobody waits for it any more: what it still makes is dropped. false: it has been completed meanwhile. */
static bool forget(struct stoa_store *store, const struct client_call *call)
{
	struct client_slot *slot = serial_slot(store, call->serial);
	bool forgotten;

	os_lock(&store->asking);
	forgotten = slot->serial == call->serial;
	if (forgotten)
		slot->call = NULL;
	os_unlock(&store->asking);
	if (forgotten)
		client_tell(store, &(struct store_request){.op = STORE_OP_CANCEL, .of = call->serial});
	return forgotten;
}

/* A call has failed: with the server's sentence, if it has one and has not said too much since; else a general one. */
static int refused(const struct stoa_store *store, const struct client_call *call)
{
	const struct store_sentence *from = &store->session->sentences[call->serial % SESSION_SENTENCES];
	struct store_sentence sentence;
	int rc = call->completion.result;

	/* A6: the text; pairs with R2 in explain() */
	if (load_acq(&from->serial) != call->serial)
		return error_set(rc, "%s", stoa_error_text(rc));
	memcpy(sentence.text, from->text, sizeof(sentence.text));
	sentence.text[sizeof(sentence.text) - 1] = 0;
	fence_acq(); /* A7: it has not changed meanwhile; pairs with R1 in explain() */
	return load_rlx(&from->serial) == call->serial ? error_set(rc, "%s", sentence.text)
						       : error_set(rc, "%s", stoa_error_text(rc));
}

int client_wait(struct stoa_store *store, struct client_call *call, uint64_t server, uint64_t deadline)
{
	int rc = 0;

	/* A1: the completion; pairs with R1 in deliver() */
	while (!load_acq(&call->done)) {
		if (rc == 0 && server && load_rlx(&store->directory.header->server) != server)
			rc = STOA_EXISTED;
		if (rc == 0 && os_now() >= deadline)
			rc = STOA_TIMED_OUT;
		if (rc == 0)
			rc = progress(store, call, 1, deadline);
		if (rc && forget(store, call))
			return rc;
	}
	return call->completion.result < 0 ? refused(store, call) : call->completion.result;
}

int client_wait_any(struct stoa_store *store, struct client_call *calls, uint32_t count, uint64_t server,
		    uint64_t deadline)
{
	while (!any_done(calls, count)) {
		int rc;

		if (load_rlx(&store->directory.header->server) != server)
			return STOA_EXISTED;
		if (os_now() >= deadline)
			return STOA_TIMED_OUT;
		rc = progress(store, calls, count, deadline);
		if (rc)
			return rc;
	}
	return 0;
}

bool client_taken(struct client_call *call)
{
	/* A5: the completion; pairs with R1 in deliver() */
	if (load_acq(&call->done) != CALL_DONE)
		return false;
	store_rlx(&call->done, CALL_TAKEN);
	return true;
}

void client_forget(struct stoa_store *store, struct client_call *call)
{
	(void)forget(store, call);
	store_rlx(&call->done, CALL_TAKEN);
}

/* A thread that was cancelled in the middle would leave a call on its stack, and the leader's place taken. */
static int call_held(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
		     struct client_call *call, uint64_t server, uint64_t deadline)
{
	int before = os_cancel_hold(), rc = client_ask(store, request, bytes, call, deadline);

	if (rc == 0) {
		client_ring(store);
		rc = client_wait(store, call, server, deadline);
	}
	os_cancel_again(before);
	return rc;
}

int client_call(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
		struct store_completion *ret_completion, uint64_t deadline)
{
	struct client_call call = {0};
	int rc = call_held(store, request, bytes, &call, 0, deadline);

	if (rc == 0)
		*ret_completion = call.completion;
	return rc;
}

void client_begin(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes)
{
	int before = os_cancel_hold();

	/* The answers to those before may be all that there is no room for. */
	if (lead(store)) {
		(void)take(store);
		resign(store);
	}
	if (client_ask(store, request, bytes, NULL, 0) == 0)
		client_ring(store);
	os_cancel_again(before);
}

int client_await(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
		 uint64_t deadline)
{
	struct client_call call = {0};
	int rc = call_held(store, request, bytes, &call, load_rlx(&store->directory.header->server), deadline);

	return rc == STOA_EXISTED ? 0 : rc;
}
