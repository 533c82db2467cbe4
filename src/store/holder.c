/* SPDX-License-Identifier: MIT */
/* The server's side of a holder: start it or find it, and ask it. See hold.h for what is said. Uses base and os. */
#include <store/hold.h>
#include <store/holder.h>
#include <store/keeper.h>

#include <base/error.h>
#include <stdio.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)
#define PATIENCE (10000 * MILLISECOND)        /* for an answer */
#define PATIENCE_TO_END (60000 * MILLISECOND) /* all memory is freed before */
#define PREDECESSOR (250 * MILLISECOND)       /* a server that was killed may take as long to be gone */
#define WINDOW 32u                            /* requests without an answer */

struct store_holder {
	const struct stoa_keeper *keeper; /* in the place of a process; NULL: not */
	os_handle socket; /* OS_NO_HANDLE: an answer did not come, so later ones would be taken for others */
	uint32_t process;
};

/* ---- messages ---- */

bool hold_is_name(const char name[STORE_HOLDER_NAME])
{
	size_t length = strnlen(name, STORE_HOLDER_NAME);

	for (size_t i = 0; i < STORE_HOLDER_NAME; i++)
		if (i < length ? name[i] <= ' ' || name[i] > '~' || name[i] == ':' : name[i] != 0)
			return false;
	return length > 0 && length < STORE_HOLDER_NAME;
}

int hold_check(const struct hold_message *message, size_t length)
{
	if (length < hold_length(0))
		return -STOA_EFORMAT;
	if (memcmp(message->magic, HOLD_MAGIC, sizeof(message->magic)) != 0)
		return -STOA_EVERSION;
	if (message->count > HOLD_BATCH || length != hold_length(message->count))
		return -STOA_EFORMAT;
	for (uint32_t i = 0; i < message->count; i++)
		if (!hold_is_name(message->names[i]))
			return -STOA_EFORMAT;
	return 0;
}

static int set_name(char place[STORE_HOLDER_NAME], const char *name)
{
	size_t length = strnlen(name, STORE_HOLDER_NAME);

	memset(place, 0, STORE_HOLDER_NAME);
	memcpy(place, name, length < STORE_HOLDER_NAME ? length : 0);
	return hold_is_name(place) ? 0 : error_set(-STOA_ENAME, "'%.40s' is no name for what is held", name);
}

static int is_lost(void)
{
	return error_set(-STOA_ECLOSED, "the holder has ended, or did not answer");
}

static void lose(struct store_holder *holder)
{
	os_handle_close(holder->socket);
	holder->socket = OS_NO_HANDLE;
}

static int say(const struct store_holder *holder, int result)
{
	switch (result) {
	case 0: return 0;
	case -STOA_ENOENT: return error_set(result, "it is not held");
	case -STOA_ELIMIT:
		return error_set(result, "the holder may open no more descriptors (its limit is ulimit -Hn)");
	case -STOA_EVERSION: return error_set(result, "the holder is of another version of the library");
	default:
		return error_set(result < 0 ? result : -STOA_EFORMAT, "the holder (process %u): %s", holder->process,
				 stoa_error_text(result));
	}
}

/* The next answer, and the answer->count handles it brings, with room for HOLD_BATCH; or NULL: none. */
static int hear(struct store_holder *holder, struct hold_message *answer, os_handle *passed, uint64_t patience)
{
	unsigned count = 0;
	uint32_t ready;
	size_t length;
	int rc = os_wait_readable(&holder->socket, 1, os_now() + patience, &ready);

	if (rc == STOA_TIMED_OUT)
		rc = error_set(-STOA_EBUSY, "the holder (process %u) does not answer", holder->process);
	else if (!rc)
		rc = os_local_receive(holder->socket, answer, sizeof(*answer), &length, passed, passed ? HOLD_BATCH : 0,
				      &count);
	if (rc == -STOA_ELIMIT) /* it was an answer */
		return rc;
	if (!rc && hold_check(answer, length))
		rc = say(holder, hold_check(answer, length));
	else if (!rc && passed && answer->count != count)
		rc = error_set(-STOA_EFORMAT, "the holder gave %u descriptors for %u names", count, answer->count);
	if (rc)
		lose(holder);
	else
		rc = say(holder, answer->result);
	while (rc && passed && count)
		os_handle_close(passed[--count]);
	return rc;
}

static int ask(struct store_holder *holder, const struct hold_message *request, const os_handle *passed)
{
	int rc;

	if (holder->socket == OS_NO_HANDLE)
		return is_lost();
	rc = os_local_send(holder->socket, request, hold_length(request->count), passed,
			   request->op == HOLD_PUT ? request->count : 0);
	if (rc == -STOA_ECLOSED) {
		lose(holder);
		return is_lost();
	}
	return rc;
}

/* ---- finding it ---- */

/* Who listens there may be anybody, where others may write the directory. */
static int check_holder(const char *path, os_handle socket)
{
	struct os_peer peer;
	char name[64];
	int rc = os_local_peer(socket, &peer);

	if (!rc && peer.user != 0 && peer.user != os_user_id())
		rc = error_set(-STOA_EACCES, "what listens at '%s' is run by %s", path,
			       os_user_name(peer.user, name, sizeof(name)));
	return rc;
}

static int meet(const char *path, struct store_holder *holder)
{
	struct hold_message greeting = {.result = 0};
	int rc = os_local_connect(path, &holder->socket);

	if (rc)
		return rc;
	rc = check_holder(path, holder->socket);
	if (!rc)
		rc = hear(holder, &greeting, NULL, PATIENCE);
	if (rc)
		lose(holder);
	else
		holder->process = (uint32_t)greeting.place;
	switch (greeting.result) {
	case 0: return rc;
	case -STOA_EBUSY: return error_set(rc, "the holder at '%s' serves another server", path);
	default: return error_prefix(rc, "at '%s'", path);
	}
}

/* It listens before it is there: whoever connects meanwhile waits for it. */
static int launch(const char *path)
{
	struct os_listener listener;
	int rc = os_local_listen(path, 0600, &listener);

	if (rc)
		return rc;
	rc = os_process_detach("stoa-holder", hold_run, &listener, sizeof(listener),
			       (const os_handle[]){listener.socket, listener.lock}, 2);
	if (rc)
		os_local_unlisten(&listener);
	else
		os_local_disown(&listener);
	return rc;
}

static int find_or_launch(const char *path, struct store_holder *holder)
{
	uint64_t deadline = os_now() + PREDECESSOR;
	unsigned launches = 0;

	for (;;) {
		uint32_t ready;
		int rc = meet(path, holder);

		if (rc == -STOA_ENOENT && launches == 3)
			return error_set(-STOA_ESYSTEM, "holders for '%s' end as soon as they are started", path);
		if (rc == -STOA_ENOENT) {
			rc = launch(path);
			launches++;
			if (!rc)
				continue;
		}
		/* It serves a server that is just dying, is about to end itself, or another server launches it. */
		if ((rc != -STOA_EBUSY && rc != -STOA_ECLOSED && rc != -STOA_EEXIST) || os_now() >= deadline)
			return rc;
		(void)os_wait_readable(NULL, 0, os_now() + 2 * MILLISECOND, &ready);
	}
}

int store_holder_start(const char *path, struct store_holder **ret_holder)
{
	struct store_holder *holder = os_allocate(sizeof(*holder));
	int rc;

	if (!holder)
		return -STOA_ENOMEM;
	holder->socket = OS_NO_HANDLE;
	rc = find_or_launch(path, holder);
	if (rc)
		store_holder_close(holder);
	else
		*ret_holder = holder;
	return rc;
}

int store_holder_use(const struct stoa_keeper *keeper, struct store_holder **ret_holder)
{
	struct store_holder *holder;

	if (!keeper->put || !keeper->drop || !keeper->visit || !keeper->clear)
		return error_set(-STOA_EINVAL, "a keeper has four functions");
	holder = os_allocate(sizeof(*holder));
	if (!holder)
		return -STOA_ENOMEM;
	holder->socket = OS_NO_HANDLE;
	holder->keeper = keeper;
	*ret_holder = holder;
	return 0;
}

bool store_holder_is_lost(const struct store_holder *holder)
{
	return !holder->keeper && holder->socket == OS_NO_HANDLE;
}

os_handle store_holder_handle(const struct store_holder *holder)
{
	return holder->socket;
}

uint32_t store_holder_process(const struct store_holder *holder)
{
	return holder->process;
}

/* ---- asking ---- */

/* Up to HOLD_BATCH of them, in one message. */
static int ask_put(struct store_holder *holder, const struct store_held *held, uint32_t count)
{
	struct hold_message request = {.magic = HOLD_MAGIC, .op = HOLD_PUT, .count = count};
	os_handle passed[HOLD_BATCH];

	for (uint32_t i = 0; i < count; i++) {
		int rc = set_name(request.names[i], held[i].name);

		if (rc)
			return rc;
		passed[i] = held[i].memory;
	}
	return ask(holder, &request, passed);
}

int store_holder_put_many(struct store_holder *holder, const struct store_held *held, uint32_t count)
{
	struct hold_message answer;
	uint32_t waiting = 0;
	int first = 0;

	if (holder->keeper)
		return keeper_put(holder->keeper, held, count);
	while (count || waiting) {
		uint32_t batch = count < HOLD_BATCH ? count : HOLD_BATCH;
		int rc = -STOA_EBUSY;

		if (count && waiting < WINDOW)
			rc = ask_put(holder, held, batch);
		if ((rc == -STOA_EBUSY || rc == -STOA_ELIMIT) && waiting) { /* enough is under way */
			rc = hear(holder, &answer, NULL, PATIENCE);
			waiting--;
		} else {
			waiting += !rc;
			held += batch;
			count -= batch;
		}
		first = first ? first : rc;
		if (holder->socket == OS_NO_HANDLE)
			return first;
	}
	return first;
}

int store_holder_put(struct store_holder *holder, const char *name, os_handle memory)
{
	struct store_held held = {.memory = memory};
	int rc = set_name(held.name, name);

	return rc ? rc : store_holder_put_many(holder, &held, 1);
}

int store_holder_drop(struct store_holder *holder, const char *name)
{
	struct hold_message request = {.magic = HOLD_MAGIC, .op = HOLD_DROP, .count = 1}, answer;
	int rc = set_name(request.names[0], name);

	if (!rc && holder->keeper)
		return keeper_drop(holder->keeper, name);
	if (!rc)
		rc = ask(holder, &request, NULL);
	return rc ? rc : hear(holder, &answer, NULL, PATIENCE);
}

static int get(struct store_holder *holder, uint64_t from, struct hold_message *answer, os_handle *passed)
{
	const struct hold_message request = {.magic = HOLD_MAGIC, .op = HOLD_GET, .place = from};
	int rc = ask(holder, &request, NULL);

	if (!rc)
		rc = hear(holder, answer, passed, PATIENCE);
	if (rc || !answer->count || answer->place > from)
		return rc;
	for (uint32_t i = 0; i < answer->count; i++)
		os_handle_close(passed[i]);
	return error_set(-STOA_EFORMAT, "the holder gives the same again");
}

int store_holder_visit(struct store_holder *holder, int (*visit)(const char *name, os_handle memory, void *argument),
		       void *argument)
{
	struct hold_message answer = {.place = 0};
	os_handle passed[HOLD_BATCH];
	int rc;

	if (holder->keeper)
		return keeper_visit(holder->keeper, visit, argument);
	do {
		rc = get(holder, answer.place, &answer, passed);
		if (rc)
			return rc;
		for (uint32_t i = 0; i < answer.count; i++) {
			if (!rc)
				rc = visit(answer.names[i], passed[i], argument);
			else
				os_handle_close(passed[i]);
		}
	} while (!rc && answer.count);
	return rc;
}

void store_holder_close(struct store_holder *holder)
{
	if (!holder)
		return;
	os_handle_close(holder->socket);
	os_free(holder);
}

int store_holder_end(struct store_holder *holder)
{
	const struct hold_message request = {.magic = HOLD_MAGIC, .op = HOLD_END};
	struct hold_message answer;
	int rc;

	if (holder->keeper) {
		rc = keeper_clear(holder->keeper);
		store_holder_close(holder);
		return rc;
	}
	rc = ask(holder, &request, NULL);
	if (!rc)
		rc = hear(holder, &answer, NULL, PATIENCE_TO_END);
	store_holder_close(holder);
	return rc;
}
