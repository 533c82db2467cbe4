/* SPDX-License-Identifier: MIT */
/*
 * Objects, between the files of the server that make, charge, free and adopt them; what the rest of the server needs is in server.h.
 */
#ifndef STORE_OBJECT_PARTS_H
#define STORE_OBJECT_PARTS_H

#include <store/server.h>

static inline struct store_entry *object_entry(const struct stoa_server *server, uint32_t entry)
{
	return &server->book.directory.entries[entry];
}

/* ---- account.c ---- */

bool object_may_delete(const struct server_session *session, const struct store_entry *entry);

/* The session that has made it, if that is still there, or NULL. */
struct server_session *object_maker(const struct stoa_server *server, const struct store_entry *entry);

/* The account of a user; made when there is none. NULL: no memory. */
struct server_user *account_of_user(struct stoa_server *server, uint32_t user);

/*
 * To a user, and to the session that made it, if that is still there (NULL: not). What was deleted counts until it is freed; so that is done before
 * anybody is refused. -STOA_ELIMIT, -STOA_ENOMEM.
 */
int account_charge_for(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes);
int account_charge(struct stoa_server *server, struct server_session *session, uint64_t bytes);
void account_refund(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes);

/* May the user have as many of something as there are? The system's administrator, and whose server it is. */
bool account_unbound(uint32_t user);

/* The server has moved it, and frees the one that it was: charged for without asking, to who was charged before. */
void account_move(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes);

/* What an entry is charged for; while the server makes it of one that was there, nothing. */
uint64_t account_size_of(const struct store_entry *entry);

/* ---- reap.c ---- */

/* A look at all leases, for any number of entries: which are in one. By the time of the answer it may be otherwise, but for those that clients find no more. */
struct object_look {
	struct stoa_server *server;
	const struct server_session *session; /* whose leases */
	uint32_t *found;                      /* entries whose bit was set */
	uint32_t count;
};
/* false: there is no memory, or the system cannot impose a barrier now; then there was no look. */
bool object_look_begin(struct stoa_server *server, struct object_look *look);
bool object_look_held(const struct object_look *look, uint32_t entry);
void object_look_end(struct object_look *look);

/* Room for one more of the dying, before anything is changed: that it is noted cannot fail later. -STOA_ENOMEM. */
int object_dying_room(struct stoa_server *server);

/* It is DYING: not found any more, and freed when nobody holds it. There is room among the dying. */
void object_hide(struct stoa_server *server, uint32_t number);

/* An object that clients have seen is none any more. There is room among the dying. `what`: subscriptions are told so; 0: not. */
void object_end_with_room(struct stoa_server *server, uint32_t number, uint32_t what);

/* Its entry and bytes come back: nobody has or gets it. */
void object_free(struct stoa_server *server, uint32_t number);

/* Nobody ever saw it: its entry and bytes come back at once. */
void object_undo(struct stoa_server *server, uint32_t number);

/* ---- object.c: the steps of making one ---- */

/* May there be a new object of that id, which is to be `entry`'s (0: of none yet)? *ret_old: the one it would replace; 0: none. */
int object_may_make(struct stoa_server *server, const struct server_session *session, const uint8_t *id,
		    uint32_t id_length, uint32_t entry, uint32_t flags, uint32_t *ret_old);

struct server_class object_class(const struct server_session *session, const struct store_request *head);

void object_fill_entry(const struct stoa_server *server, const struct server_session *session,
		       const struct store_request *head, const struct server_arena *arena, struct store_entry *fields);

/* An entry of the directory. What was deleted has its entries until it is freed; so that is done before anybody is refused. */
int object_enter(struct stoa_server *server, const struct server_request *request, const struct store_entry *fields,
		 uint32_t *ret_entry);

/* The entry is complete: it gets its id's place, which `old` has. On failure it is still WRITING. */
int object_publish(struct stoa_server *server, uint32_t number, uint32_t old, uint64_t size);

#endif
