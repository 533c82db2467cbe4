/* SPDX-License-Identifier: MIT */
/*
 * Who may what with an object, whose it is, and what its maker and their user are charged for it.
 */
#include <store/object_parts.h>

#include <base/error.h>

bool object_may_read(const struct server_session *session, uint32_t owner, uint32_t access, uint32_t reader)
{
	uint32_t user = session->peer.user;

	if (user == owner || user == 0 || access == STORE_BY_ALL)
		return true;
	return access == STORE_BY_USER ? user == reader
				       : access == STORE_BY_GROUP && os_peer_in_group(&session->peer, reader);
}

bool object_may_delete(const struct server_session *session, const struct store_entry *entry)
{
	if (session->peer.user == entry->owner || session->peer.user == 0)
		return true;
	return entry->flags & STOA_OBJECT_SHARED_DELETE &&
	       object_may_read(session, entry->owner, entry->access, entry->reader);
}

struct server_user *account_of_user(struct stoa_server *server, uint32_t user)
{
	struct server_user *account = server->users;

	while (account && account->user != user)
		account = account->next;
	if (account)
		return account;
	account = os_allocate(sizeof(*account));
	if (!account)
		return NULL;
	account->user = user;
	account->next = server->users;
	return server->users = account;
}

/* What the server moves it charges for both places for a while, whatever the limit says. */
static bool fits(uint64_t limit, uint64_t charged, uint64_t bytes)
{
	return charged <= limit && bytes <= limit - charged;
}

bool account_unbound(uint32_t user)
{
	return user == 0 || user == os_user_id();
}

/* May that be charged? Of the session there is no more question when it has ended. */
static bool may_have(const struct stoa_server *server, const struct server_session *session,
		     const struct server_user *account, uint64_t bytes)
{
	return (!session || fits(server->options.client_limit, session->charged, bytes)) &&
	       fits(server->options.user_limit, account->charged, bytes);
}

int account_charge_for(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes)
{
	struct server_user *account = account_of_user(server, user);
	char text[ERROR_SIZE];

	if (!account)
		return -STOA_ENOMEM;
	if (!may_have(server, session, account, bytes))
		(void)object_reap(server);
	if (session && !fits(server->options.client_limit, session->charged, bytes))
		return error_set(-STOA_ELIMIT, "a client may have %s", error_size(server->options.client_limit, text));
	if (!fits(server->options.user_limit, account->charged, bytes))
		return error_set(-STOA_ELIMIT, "a user's clients may have %s",
				 error_size(server->options.user_limit, text));
	if (session)
		session->charged += bytes;
	account->charged += bytes;
	return 0;
}

void account_move(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes)
{
	if (session)
		session->charged += bytes;
	account_of_user(server, user)->charged += bytes;
}

int account_charge(struct stoa_server *server, struct server_session *session, uint64_t bytes)
{
	return account_charge_for(server, session, session->peer.user, bytes);
}

#define TAG_BITS 12

uint32_t object_session_tag(const struct server_session *session)
{
	return (uint32_t)session->key << TAG_BITS | session->number;
}

struct server_session *object_maker(const struct stoa_server *server, const struct store_entry *entry)
{
	uint32_t number = entry->session & ((1u << TAG_BITS) - 1);
	struct server_session *session = number < server->options.clients ? server->sessions[number] : NULL;

	return session && object_session_tag(session) == entry->session ? session : NULL;
}

void account_refund(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes)
{
	/* A session of the same tag, a million sessions later, has not been charged for it. */
	if (session)
		session->charged -= bytes < session->charged ? bytes : session->charged;
	account_of_user(server, user)->charged -= bytes;
}

uint64_t account_size_of(const struct store_entry *entry)
{
	return entry->kind == STORE_REGION ? load_rlx(&entry->size) : entry->extent;
}
