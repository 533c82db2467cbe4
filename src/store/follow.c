/* SPDX-License-Identifier: MIT */
/*
 * Objects that are read while they are made. How long one is so far stands in its extent's tail, which its maker writes and everybody reads;
 * the futex of that word is what readers sleep on, so the server has no part in it. Their maker is believed in nothing but the bytes themselves.
 *
 * A maker that dies wakes nobody: who waits looks every 50 ms whether the entry is still being made.
 */
#include <store/client.h>

#include <base/error.h>
#include <stoa/store.h>

#define RECHECK UINT64_C(50000000)

void follow_begin(void *tail)
{
	store_rlx(&((struct store_tail *)tail)->length, 0);
}

int stoa_draft_advance(struct stoa_store *store, struct stoa_draft *draft, uint64_t length)
{
	struct store_tail *tail = draft->tail;

	if (client_usable(store) < 0)
		return -STOA_ECLOSED;
	if (length > draft->room || length < load_rlx(&tail->length))
		return error_set(-STOA_ERANGE, "the object has room for less, or more of it was shown already");
	store_rel(&tail->length, length); /* R1: the bytes before; pairs with A1 in shown() */
	os_wake(os_low_half(&tail->length));
	return 0;
}

static const struct store_entry *entry_of(const struct stoa_store *store, const struct stoa_object *object)
{
	return &store->directory.entries[object->hold[2]];
}

/* Its tail lies in its extent, which was checked when it was held. */
static const struct store_tail *tail_of(const struct stoa_store *store, const struct stoa_object *object)
{
	const struct store_entry *entry = entry_of(store, object);
	const unsigned char *data = object->data;

	return (const struct store_tail *)(const void *)(data + store_extent(entry->room, entry->meta_length) -
							 sizeof(struct store_tail));
}

/* How much of it can be read, and how it stands. */
static int shown(const struct stoa_store *store, const struct stoa_object *object, uint64_t *ret_length)
{
	const struct store_entry *entry = entry_of(store, object);
	uint64_t state, length;

	/* First: what is written before it is sealed is seen then. */
	state = load_acq(&entry->state); /* A2: its size; pairs with R6 in directory_set_state() */
	if (store_generation_of(state) != object->hold[3])
		return -STOA_ETRUNCATED;
	/* Aborted; or sealed, and deleted since, which is nothing to who holds it. */
	if (store_state_of(state) == STORE_DYING && !(load_rlx(&entry->flags) & STORE_COMPLETE))
		return -STOA_ETRUNCATED;
	if (store_state_of(state) != STORE_WRITING) {
		*ret_length = load_rlx(&entry->size);
		return STOA_CLOSED;
	}
	length = load_acq(&tail_of(store, object)->length); /* A1: the bytes; pairs with R1 in stoa_draft_advance() */
	*ret_length = length < entry->room ? length : entry->room;
	return 0;
}

/* Does the tail lie in the map of the arena? */
static int tail_is_there(struct stoa_store *store, const struct stoa_object *object)
{
	const struct store_entry *entry = entry_of(store, object);
	unsigned char *address;
	uint64_t size, room = entry->room, at;

	if (entry->kind != STORE_PRIVATE)
		return 0; /* it is complete; nobody looks at its tail */
	if (client_arena(store, entry->arena, false, &address, &size))
		return error_set(-STOA_EFORMAT, "an object's memory is gone");
	at = (uint64_t)((const unsigned char *)object->data - address);
	if (room > STOA_OBJECT_MAX || at > size || store_extent(room, entry->meta_length) > size - at)
		return error_set(-STOA_EFORMAT, "an object lies outside its arena");
	return 0;
}

int stoa_store_follow(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t deadline,
		      struct stoa_object *ret_object)
{
	struct stoa_object object;
	uint64_t length;
	int rc;

	rc = client_check_id(id, id_length);
	if (rc < 0)
		return rc;
	rc = client_hold(store, id, id_length, STORE_WRITING, &object);
	if (rc)
		rc = client_hold_later(store, rc, id, id_length, deadline, STORE_WRITING, &object);
	if (rc)
		return rc;
	rc = tail_is_there(store, &object);
	if (rc < 0) {
		stoa_object_release(store, &object);
		return rc;
	}
	if (shown(store, &object, &length) < 0)
		length = 0; /* stoa_object_await() tells */
	object.size = length;
	*ret_object = object;
	return 0;
}

int stoa_object_await(struct stoa_store *store, struct stoa_object *object, uint64_t deadline)
{
	const struct store_tail *tail;
	int rc = client_usable(store);

	if (rc < 0)
		return rc;
	if (entry_of(store, object)->kind != STORE_PRIVATE)
		return STOA_CLOSED;
	tail = tail_of(store, object);
	for (;;) {
		uint64_t length = 0, now;
		/* Before the look: what comes after it changes this. */
		uint32_t seen = load_rlx(os_low_half(&tail->length));

		rc = shown(store, object, &length);
		if (rc < 0)
			return error_set(rc, "its maker has given the object up");
		if (rc == STOA_CLOSED || length > object->size) {
			object->size = length;
			return rc;
		}
		now = os_now();
		if (now >= deadline)
			return STOA_TIMED_OUT;
		(void)os_wait(&(struct os_wait_word){os_low_half(&tail->length), seen, OS_WORD_WOKEN}, 1,
			      deadline < now + RECHECK ? deadline : now + RECHECK);
	}
}
