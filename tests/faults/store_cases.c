/* SPDX-License-Identifier: MIT */
/*
 * Fault cases of what a store's clients call: first the client's own system calls fail, then the server's while it does what was asked for.
 * Whatever failed, the same call works afterwards, and the other client has noticed nothing.
 */
#include "faults.h"

#include <os/linux/sys.h>
#include <stdlib.h>
#include <unistd.h>

#define CLIENT_ERRORS "EINVAL ECLOSED EBUSY ENOTSUP EFORMAT"
#define MAKE_ERRORS CLIENT_ERRORS " EEXIST EACCES ERANGE"
#define FIND_ERRORS CLIENT_ERRORS " ENOENT EACCES"
#define CONNECT_ERRORS CLIENT_ERRORS " ENAME ENOENT EACCES EVERSION EKIND"

static void make(struct run *run)
{
	start_store(run, 0);
}

static void make_for_server(struct run *run)
{
	start_store(run, 0);
	count_server(run);
}

/* After a call that failed. Who has lost its connection opens another. */
static void again(struct run *run, int result, int (*call)(struct run *run))
{
	int rc = result < 0 ? call(run) : 0;

	if (rc != -STOA_ECLOSED) {
		CHECK_RC(rc, 0);
		return;
	}
	stoa_store_close(run->store);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	CHECK_RC(call(run), 0);
}

/* ---- connecting ---- */

static int find_path(struct run *run)
{
	return stoa_store_path(run->big.path, sizeof(run->big.path));
}

static void count_self(struct run *run)
{
	run->counted = os_thread_id();
	CHECK_SYS(setenv("STOA_STORE", "/somewhere", 1));
}

static void make_unopened(struct run *run)
{
	make(run);
	stoa_store_close(run->store);
	run->store = NULL;
	sleep_serving(run);
}

static void make_unopened_for_server(struct run *run)
{
	make_unopened(run);
	count_server(run);
}

static int open_it(struct run *run)
{
	return stoa_store_open(store_path(), NULL, &run->ret.store);
}

static void close_opened(struct run *run, int result)
{
	if (result == 0)
		run->store = run->ret.store;
	else
		CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	CHECK_RC(store_check(run->store, "copied", 100), 0);
	end_store(run);
}

static int open_embedded(struct run *run)
{
	return stoa_store_open("embedded:64MiB", NULL, &run->ret.store);
}

static void close_embedded(struct run *run, int result)
{
	if (result < 0)
		CHECK_RC(open_embedded(run), 0);
	CHECK_RC(store_put(run->ret.store, "it", 100, 0), 0);
	stoa_store_close(run->ret.store);
}

static int close_it(struct run *run)
{
	stoa_store_close(run->store);
	return 0;
}

static void open_again(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	end_store(run);
}

/* ---- getting ---- */

static int get(struct run *run, const char *id)
{
	return stoa_store_get(run->store, id, (uint32_t)strlen(id), 0, &run->big.object);
}

static void release_got(struct run *run, int result)
{
	if (result == 0)
		stoa_object_release(run->store, &run->big.object);
}

static int get_copied(struct run *run)
{
	return get(run, "copied");
}

static void end_copied(struct run *run, int result)
{
	release_got(run, result);
	again(run, result, get_copied);
	end_store(run);
}

static int get_private(struct run *run)
{
	return get(run, "private");
}

static void end_private(struct run *run, int result)
{
	release_got(run, result);
	again(run, result, get_private);
	end_store(run);
}

static int get_sealed(struct run *run)
{
	return get(run, "sealed");
}

/* What a call that failed has left mapped would keep the object's memory. */
static void end_sealed(struct run *run, int result)
{
	release_got(run, result);
	again(run, result, get_sealed);
	release_got(run, result < 0 ? 0 : -1);
	CHECK_RC(stoa_store_delete(run->other, "sealed", 6), 0);
	CHECK_RC(store_put(run->other, "sealed", STORE_PRIVATE_SIZE, STOA_OBJECT_SEALED), 0);
	end_store(run);
}

/* Nobody makes it. */
static int get_later(struct run *run)
{
	int rc = stoa_store_get(run->store, "later", 5, stoa_deadline_in(3000000), &run->big.object);

	CHECK_INT(rc, !=, 0);
	return rc < 0 ? rc : 0;
}

static void end_later(struct run *run, int result)
{
	again(run, result, get_later);
	CHECK_RC(store_put(run->other, "later", 100, 0), 0);
	CHECK_RC(store_check(run->store, "later", 100), 0);
	end_store(run);
}

/* Those that are there, and one that does not come. */
static int get_many(struct run *run)
{
	struct stoa_get gets[] = {{.id = "copied", .id_length = 6},
				  {.id = "later", .id_length = 5},
				  {.id = "private", .id_length = 7},
				  {.id = "sealed", .id_length = 6}};
	int rc = stoa_store_get_many(run->store, gets, 4, 0, stoa_deadline_in(3000000)), first = 0;

	for (unsigned i = 0; i < 4; i++) {
		first = first ? first : gets[i].result;
		CHECK_EQ(gets[i].result == 0, gets[i].object.data != NULL);
		if (gets[i].result == 0)
			CHECK(!strcmp(gets[i].object.data, "what is put"));
		stoa_object_release(run->store, &gets[i].object);
	}
	CHECK_EQ(rc, first);
	CHECK_INT(gets[1].result, !=, 0);
	return rc < 0 ? rc : 0;
}

static int get_all_or_none(struct run *run)
{
	struct stoa_get gets[] = {{.id = "private", .id_length = 7}, {.id = "sealed", .id_length = 6}};
	int rc = stoa_store_get_many(run->store, gets, 2, STOA_GET_ALL, 0);

	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(rc == 0, gets[i].object.data != NULL);
		stoa_object_release(run->store, &gets[i].object);
	}
	return rc;
}

static void end_got_many(struct run *run, int result)
{
	again(run, result, get_many);
	CHECK_RC(store_put(run->other, "later", 100, 0), 0);
	CHECK_RC(store_check(run->store, "later", 100), 0);
	again(run, -1, get_all_or_none);
	end_store(run);
}

static void make_got(struct run *run)
{
	make(run);
	CHECK_RC(stoa_store_get(run->store, "sealed", 6, 0, &run->object), 0);
	sleep_serving(run);
}

static int release_it(struct run *run)
{
	stoa_object_release(run->store, &run->object);
	CHECK(!run->object.data);
	return 0;
}

static void end_plain(struct run *run, int result)
{
	(void)result;
	end_store(run);
}

static int contains(struct run *run)
{
	return stoa_store_contains(run->store, "copied", 6);
}

/* ---- making ---- */

static int put_copied(struct run *run)
{
	return store_put(run->store, "new", 100, STOA_OBJECT_COPIED);
}

static int put_private(struct run *run)
{
	return store_put(run->store, "new", STORE_PRIVATE_SIZE, STOA_OBJECT_PRIVATE);
}

static int put_sealed(struct run *run)
{
	return store_put(run->store, "new", STORE_PRIVATE_SIZE, STOA_OBJECT_SEALED);
}

static void end_put(struct run *run, int result, uint64_t size, int (*call)(struct run *run))
{
	if (result < 0) {
		CHECK_RC(store_check(run->other, "new", size), -STOA_ENOENT);
		again(run, result, call);
	}
	CHECK_RC(store_check(run->other, "new", size), 0);
	end_store(run);
}

static void end_put_copied(struct run *run, int result)
{
	end_put(run, result, 100, put_copied);
}

static void end_put_private(struct run *run, int result)
{
	end_put(run, result, STORE_PRIVATE_SIZE, put_private);
}

static void end_put_sealed(struct run *run, int result)
{
	end_put(run, result, STORE_PRIVATE_SIZE, put_sealed);
}

/* Instead of one of the other client's, which is of the same user. */
static int replace(struct run *run)
{
	const struct stoa_object_options options = {.flags = STOA_OBJECT_REPLACE};
	int rc = stoa_store_put(run->store, "replaced", 8, "new", 4, &options);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void make_replaced(struct run *run)
{
	make(run);
	CHECK_RC(store_put(run->other, "replaced", 50, 0), 0);
	sleep_serving(run);
	count_server(run);
}

static void end_replaced(struct run *run, int result)
{
	if (result < 0) {
		CHECK_RC(store_check(run->other, "replaced", 50), 0);
		again(run, result, replace);
	}
	CHECK_RC(stoa_store_get(run->other, "replaced", 8, 0, &run->object), 0);
	CHECK_STR(run->object.data, "new");
	stoa_object_release(run->other, &run->object);
	end_store(run);
}

static int put_many(struct run *run)
{
	static const char bytes[STORE_PRIVATE_SIZE] = "what is put";
	struct stoa_put puts[] = {
		{"a", bytes, 100, 1, 0}, {"b", bytes, STORE_PRIVATE_SIZE, 1, 0}, {"c", bytes, 50, 1, 0}};
	int rc = stoa_store_put_many(run->store, puts, 3, NULL), first = 0;

	for (unsigned i = 0; i < 3; i++) {
		CHECK_INT(puts[i].result, <=, 0);
		first = first ? first : puts[i].result;
	}
	CHECK_EQ(rc, first);
	return rc;
}

/* Each is there, or can be put again. */
static void end_many(struct run *run, int result)
{
	(void)result;
	for (unsigned i = 0; i < 3; i++) {
		const char *id = (const char *[]){"a", "b", "c"}[i];
		uint64_t size = (const uint64_t[]){100, STORE_PRIVATE_SIZE, 50}[i];

		if (store_check(run->other, id, size) < 0)
			CHECK_RC(store_put(run->other, id, size, 0), 0);
		CHECK_RC(store_check(run->other, id, size), 0);
	}
	end_store(run);
}

static int create_private(struct run *run)
{
	return stoa_store_create(run->store, "draft", 5, STORE_PRIVATE_SIZE, NULL, &run->big.draft);
}

static int create_sealed(struct run *run)
{
	const struct stoa_object_options options = {.kind = STOA_OBJECT_SEALED};

	return stoa_store_create(run->store, "draft", 5, STORE_PRIVATE_SIZE, &options, &run->big.draft);
}

static void seal_created(struct run *run, int result, int (*call)(struct run *run))
{
	again(run, result, call);
	memcpy(run->big.draft.data, "what is put", 12);
	CHECK_RC(stoa_draft_seal(run->store, &run->big.draft, 1000), 0);
	CHECK_RC(store_check(run->other, "draft", 1000), 0);
	end_store(run);
}

static void end_private_draft(struct run *run, int result)
{
	seal_created(run, result, create_private);
}

static void end_sealed_draft(struct run *run, int result)
{
	seal_created(run, result, create_sealed);
}

static void make_draft(struct run *run)
{
	const struct stoa_object_options options = {.kind = STOA_OBJECT_SEALED};

	make(run);
	CHECK_RC(stoa_store_create(run->store, "draft", 5, STORE_PRIVATE_SIZE, &options, &run->draft), 0);
	memcpy(run->draft.data, "what is put", 12);
	sleep_serving(run);
}

static void make_draft_for_server(struct run *run)
{
	make_draft(run);
	count_server(run);
}

static int seal(struct run *run)
{
	int rc = stoa_draft_seal(run->store, &run->draft, 1000);

	CHECK_INT(rc, <=, 0);
	return rc;
}

/* While a writable map stays, as the system did not take it back, it cannot be sealed. */
static void end_sealing(struct run *run, int result)
{
	if (result == -STOA_EBUSY) {
		stoa_draft_abort(run->store, &run->draft);
		end_store(run);
		return;
	}
	if (result < 0)
		result = seal(run);
	if (result == -STOA_ECLOSED) { /* the draft went with the connection */
		stoa_store_close(run->store);
		CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
		end_store(run);
		return;
	}
	CHECK_RC(result, 0);
	CHECK_RC(store_check(run->other, "draft", 1000), 0);
	end_store(run);
}

static int abort_it(struct run *run)
{
	stoa_draft_abort(run->store, &run->draft);
	return 0;
}

/* ---- read while it is made, by ours, of the other client's ---- */

static void make_growing(struct run *run)
{
	const struct stoa_object_options options = {.flags = STOA_OBJECT_FOLLOWED};

	make(run);
	CHECK_RC(stoa_store_create(run->other, "growing", 7, STORE_PRIVATE_SIZE, &options, &run->draft), 0);
	memcpy(run->draft.data, "what is put", 12);
	CHECK_RC(stoa_draft_advance(run->other, &run->draft, 12), 0);
	sleep_serving(run);
}

static void make_growing_for_server(struct run *run)
{
	make_growing(run);
	count_server(run);
}

static int follow(struct run *run)
{
	int rc = stoa_store_follow(run->store, "growing", 7, 0, &run->big.object);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void end_growing(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_draft_seal(run->other, &run->draft, 1000), 0);
	CHECK_RC(store_check(run->store, "growing", 1000), 0);
	end_store(run);
}

static void end_followed(struct run *run, int result)
{
	again(run, result, follow);
	CHECK_EQ(run->big.object.size, 12);
	CHECK_STR(run->big.object.data, "what is put");
	stoa_object_release(run->store, &run->big.object);
	end_growing(run, 0);
}

static int advance(struct run *run)
{
	return stoa_draft_advance(run->other, &run->draft, 500);
}

static void make_followed(struct run *run)
{
	make_growing(run);
	CHECK_RC(stoa_store_follow(run->store, "growing", 7, 0, &run->object), 0);
	sleep_serving(run);
}

/* Nothing more comes. */
static int await(struct run *run)
{
	int rc = stoa_object_await(run->store, &run->object, stoa_deadline_in(2000000));

	return rc == STOA_TIMED_OUT ? 0 : rc;
}

static void end_awaited(struct run *run, int result)
{
	CHECK_EQ(run->object.size, 12);
	CHECK_RC(advance(run), 0);
	CHECK_RC(stoa_object_await(run->store, &run->object, stoa_deadline_in(2000000)), 0);
	CHECK_EQ(run->object.size, 500);
	stoa_object_release(run->store, &run->object);
	end_growing(run, result);
}

static int pin(struct run *run)
{
	int rc = stoa_store_pin(run->store, "copied", 6);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void end_pinned(struct run *run, int result)
{
	again(run, result, pin);
	end_store(run);
}

static int unpin(struct run *run)
{
	int rc = stoa_store_unpin(run->store, "copied", 6);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void end_unpinned(struct run *run, int result)
{
	again(run, result, unpin);
	end_store(run);
}

/* ---- deleting ---- */

static int delete_it(struct run *run)
{
	int rc = stoa_store_delete(run->store, "deleted", 7);

	CHECK_INT(rc, <=, 0);
	return rc;
}

static void make_deleted(struct run *run)
{
	make(run);
	CHECK_RC(store_put(run->other, "deleted", STORE_PRIVATE_SIZE, STOA_OBJECT_SEALED), 0);
	sleep_serving(run);
}

static void make_deleted_for_server(struct run *run)
{
	make_deleted(run);
	count_server(run);
}

static void end_deleted(struct run *run, int result)
{
	again(run, result, delete_it);
	CHECK_RC(store_check(run->other, "deleted", STORE_PRIVATE_SIZE), -STOA_ENOENT);
	end_store(run);
}

/* ---- subscribing ---- */

static int subscribe(struct run *run)
{
	return stoa_store_subscribe(run->store, "co", 2, STOA_SUBSCRIBE_LIST, &run->ret.subscription);
}

static int next_event(struct run *run)
{
	struct stoa_store_event event;

	return stoa_subscription_next(run->second.subscription, stoa_deadline_in(UINT64_C(10000000000)), &event);
}

static void end_subscribed(struct run *run, int result)
{
	struct stoa_store_event event = {0};

	again(run, result, subscribe);
	run->second.subscription = run->ret.subscription;
	for (unsigned i = 0; i < 2; i++)
		CHECK_RC(stoa_subscription_next(run->second.subscription, stoa_deadline_in(UINT64_C(10000000000)),
						&event),
			 0);
	CHECK_EQ(event.what, STOA_EVENT_LISTED);
	CHECK_RC(store_put(run->other, "come", 100, 0), 0);
	CHECK_RC(next_event(run), 0);
	stoa_subscription_close(run->second.subscription);
	end_store(run);
}

static void make_subscribed(struct run *run)
{
	make(run);
	CHECK_RC(subscribe(run), 0);
	run->second.subscription = run->ret.subscription;
	sleep_serving(run);
}

static void end_next(struct run *run, int result)
{
	if (result < 0)
		CHECK_RC(next_event(run), 0);
	CHECK_RC(next_event(run), 0);
	stoa_subscription_close(run->second.subscription);
	end_store(run);
}

static int descriptor(struct run *run)
{
	return stoa_subscription_descriptor(run->second.subscription) >= 0 ? 0 : -STOA_EINVAL;
}

static int unsubscribe(struct run *run)
{
	stoa_subscription_close(run->second.subscription);
	return 0;
}

/* ---- looking ---- */

static int count_one(const struct stoa_object_info *info, void *count)
{
	(void)info;
	++*(unsigned *)count;
	return 0;
}

static int list(struct run *run)
{
	unsigned count = 0;
	int rc = stoa_store_list(run->store, count_one, &count);

	CHECK_EQ(count, 3);
	return rc;
}

static int look(struct run *run)
{
	return stoa_store_stat(run->store, &run->big.store_stat);
}

static int note_holder(const struct stoa_store_client *client, void *argument)
{
	CHECK_EQ(client->process, os_process_id());
	++*(unsigned *)argument;
	return 0;
}

/* The other one has made it. */
static int ask_holders(struct run *run)
{
	unsigned count = 0;
	int rc = stoa_store_holders(run->store, "copied", 6, note_holder, &count);

	CHECK_INT(rc, <=, 0);
	CHECK_EQ(count, rc == 0);
	return rc;
}

static void end_holders(struct run *run, int result)
{
	again(run, result, ask_holders);
	end_store(run);
}

static int ask_clients(struct run *run)
{
	unsigned count = 0;
	int rc = stoa_store_clients(run->store, note_holder, &count);

	CHECK_INT(rc, <=, 0);
	CHECK_INT(count, >=, rc == 0);
	return rc;
}

static void end_clients(struct run *run, int result)
{
	again(run, result, ask_clients);
	end_store(run);
}

static int ask_metrics(struct run *run)
{
	static char text[STOA_METRICS_ROOM];

	return stoa_store_metrics(run->store, text, sizeof(text), NULL);
}

static void end_metrics(struct run *run, int result)
{
	again(run, result, ask_metrics);
	end_store(run);
}

const struct fault_case store_cases[] = {
	{"stoa_store_path", "", count_self, find_path, NULL},
	{"stoa_store_open", CONNECT_ERRORS, make_unopened, open_it, close_opened},
	{"stoa_store_open, embedded", CONNECT_ERRORS, count_self, open_embedded, close_embedded},
	{"stoa_store_close", "", make, close_it, open_again},
	{"stoa_store_get", FIND_ERRORS, make, get_copied, end_copied},
	{"stoa_store_get", FIND_ERRORS, make, get_private, end_private},
	{"stoa_store_get", FIND_ERRORS, make, get_sealed, end_sealed},
	{"stoa_store_get", FIND_ERRORS, make, get_later, end_later},
	{"stoa_store_get_many", FIND_ERRORS, make, get_many, end_got_many},
	{"stoa_store_get_many", FIND_ERRORS, make, get_all_or_none, end_got_many},
	{"stoa_object_release", "", make_got, release_it, end_plain},
	{"stoa_store_contains", FIND_ERRORS, make, contains, end_plain},
	{"stoa_store_put", MAKE_ERRORS, make, put_copied, end_put_copied},
	{"stoa_store_put", MAKE_ERRORS, make, put_private, end_put_private},
	{"stoa_store_put", MAKE_ERRORS, make, put_sealed, end_put_sealed},
	{"stoa_store_put_many", MAKE_ERRORS, make, put_many, end_many},
	{"stoa_store_create", MAKE_ERRORS, make, create_private, end_private_draft},
	{"stoa_store_create", MAKE_ERRORS, make, create_sealed, end_sealed_draft},
	{"stoa_draft_seal", MAKE_ERRORS, make_draft, seal, end_sealing},
	{"stoa_draft_abort", "", make_draft, abort_it, end_plain},
	{"stoa_store_follow", FIND_ERRORS, make_growing, follow, end_followed},
	{"stoa_draft_advance", CLIENT_ERRORS " ERANGE", make_growing, advance, end_growing},
	{"stoa_object_await", CLIENT_ERRORS " ETRUNCATED", make_followed, await, end_awaited},
	{"stoa_store_pin", FIND_ERRORS, make, pin, end_pinned},
	{"stoa_store_unpin", FIND_ERRORS, make, unpin, end_unpinned},
	{"stoa_store_delete", FIND_ERRORS, make_deleted, delete_it, end_deleted},
	{"stoa_store_subscribe", CONNECT_ERRORS, make, subscribe, end_subscribed},
	{"stoa_subscription_next", CLIENT_ERRORS, make_subscribed, next_event, end_next},
	{"stoa_subscription_descriptor", "", make_subscribed, descriptor, end_next},
	{"stoa_subscription_close", "", make_subscribed, unsubscribe, end_plain},
	{"stoa_store_list", CLIENT_ERRORS, make, list, end_plain},
	{"stoa_store_stat", "", make, look, end_plain},
	{"stoa_store_holders", FIND_ERRORS, make, ask_holders, end_holders},
	{"stoa_store_clients", CLIENT_ERRORS, make, ask_clients, end_clients},
	{"stoa_store_metrics", CLIENT_ERRORS, make, ask_metrics, end_metrics},
	{"in the server: stoa_store_open", CONNECT_ERRORS, make_unopened_for_server, open_it, close_opened},
	{"in the server: stoa_store_get", FIND_ERRORS, make_for_server, get_copied, end_copied},
	{"in the server: stoa_store_get", FIND_ERRORS, make_for_server, get_private, end_private},
	{"in the server: stoa_store_get", FIND_ERRORS, make_for_server, get_sealed, end_sealed},
	{"in the server: stoa_store_get", FIND_ERRORS, make_for_server, get_later, end_later},
	{"in the server: stoa_store_get_many", FIND_ERRORS, make_for_server, get_many, end_got_many},
	{"in the server: stoa_store_put", MAKE_ERRORS, make_for_server, put_copied, end_put_copied},
	{"in the server: stoa_store_put", MAKE_ERRORS, make_for_server, put_private, end_put_private},
	{"in the server: stoa_store_put", MAKE_ERRORS, make_for_server, put_sealed, end_put_sealed},
	{"in the server: stoa_store_put", MAKE_ERRORS, make_replaced, replace, end_replaced},
	{"in the server: stoa_store_put_many", MAKE_ERRORS, make_for_server, put_many, end_many},
	{"in the server: stoa_store_create", MAKE_ERRORS, make_for_server, create_private, end_private_draft},
	{"in the server: stoa_store_create", MAKE_ERRORS, make_for_server, create_sealed, end_sealed_draft},
	{"in the server: stoa_draft_seal", MAKE_ERRORS, make_draft_for_server, seal, end_sealing},
	{"in the server: stoa_store_follow", FIND_ERRORS, make_growing_for_server, follow, end_followed},
	{"in the server: stoa_store_pin", FIND_ERRORS, make_for_server, pin, end_pinned},
	{"in the server: stoa_store_subscribe", CONNECT_ERRORS, make_for_server, subscribe, end_subscribed},
	{"in the server: stoa_store_delete", FIND_ERRORS, make_deleted_for_server, delete_it, end_deleted},
	{"in the server: stoa_store_holders", FIND_ERRORS, make_for_server, ask_holders, end_holders},
	{"in the server: stoa_store_metrics", CLIENT_ERRORS, make_for_server, ask_metrics, end_metrics},
	{0},
};
