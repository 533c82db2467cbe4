/* SPDX-License-Identifier: MIT */
/*
 * A store's server and one client, whose requests, memory and messages are the input: requests that are nearly right, bytes written over all that the client
 * can write, messages on its socket. Whatever it was, the server goes on or sends it away; and when it and its objects are gone nothing is left.
 */
#include <os/local.h>
#include <stdlib.h>
#include <store/message.h>
#include <store/server.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct input {
	const uint8_t *bytes;
	size_t length;
};

/* One client; its memory as the server sees it, which is the same. */
struct client {
	struct stoa_server *server;
	os_handle socket;
	uint64_t tail, serial;
};

static struct stoa_server *start(void)
{
	static struct stoa_server *server;
	static const struct stoa_server_options options = {
		.limit = UINT64_C(32) << 20, .objects = 500, .clients = 2, .client_limit = 8 << 20};

	if (!server && stoa_server_start(&options, &server))
		abort();
	return server;
}

static struct server_session *session_of(const struct client *client)
{
	return client->server->sessions[0];
}

/* The next bytes of the input; zeros behind its end. */
static void take(struct input *input, void *to, size_t length)
{
	size_t some = length < input->length ? length : input->length;

	memset(to, 0, length);
	memcpy(to, input->bytes, some);
	input->bytes += some;
	input->length -= some;
}

static uint8_t take_byte(struct input *input)
{
	uint8_t byte;

	take(input, &byte, 1);
	return byte;
}

/* ---- what the client does ---- */

static void ask(struct client *client, struct input *input)
{
	struct server_session *session = session_of(client);
	struct store_request head = {0};
	uint8_t fields[16];
	uint32_t size, line;
	uint64_t at, left;

	take(input, fields, sizeof(fields));
	head.op = fields[0] % 15;
	head.id_length = fields[1] & 1 ? fields[1] / 2 : 0;
	head.meta_length = head.op == STORE_OP_PUT && fields[2] & 1 ? fields[2] : 0;
	size = head.op == STORE_OP_PUT ? fields[3] : 0;
	head.size = head.op == STORE_OP_PUT ? size : (uint64_t)fields[3] << fields[4] % 48;
	head.kind = head.op == STORE_OP_PUT ? STORE_IMMUTABLE : fields[5] % 6;
	head.access = fields[6] % 5;
	head.flags = fields[7] % 9;
	head.entry = fields[8] % 40;
	head.state = store_state_word(fields[9] % 8, (enum store_state)(fields[10] % 6));
	head.of = head.op == STORE_OP_CANCEL ? fields[11] % 32 : (uint64_t)fields[11] << fields[12] % 40;
	head.reader = fields[13] % 3;
	head.serial = ++client->serial;
	head.length = (uint32_t)sizeof(head) + head.id_length + head.meta_length + size;
	if (fields[14] == 255)
		memcpy((uint8_t *)&head + fields[15] % (sizeof(head) - 3), fields, 4);
	line = (uint32_t)store_line_up(sizeof(head) + head.id_length % 256u + head.meta_length % 1024u + size);
	at = client->tail % session->ring_size;
	left = session->ring_size - at;
	if (left < line)
		return;
	memcpy(session->ring + at, &head, sizeof(head));
	memset(session->ring + at + sizeof(head), fields[1], line - sizeof(head));
	client->tail += line;
	store_rel(&session->shared->tail, client->tail);
}

static void overwrite(struct client *client, struct input *input)
{
	struct server_session *session = session_of(client);
	uint8_t what[11];
	uint64_t at;

	take(input, what, sizeof(what));
	at = (uint64_t)what[0] << 8 | what[1];
	at = what[2] & 1 ? at % 256 : what[2] & 2 ? sizeof(struct store_session) + at % 4096 : at;
	memcpy((uint8_t *)session->shared + at, what + 3, 8);
}

static void lease(struct client *client, struct input *input)
{
	struct server_session *session = session_of(client);
	uint8_t what[10];

	take(input, what, sizeof(what));
	if (what[0] % 8 == 0)
		memcpy(session->leases, what + 2, 4);
	else
		memcpy((uint8_t *)session->leases + 64 + what[1] * (size_t)8, what + 2, 8);
}

static void say(struct client *client, struct input *input)
{
	struct store_message message;
	uint8_t how = take_byte(input);

	take(input, &message, how & 8 ? sizeof(message) : 40);
	message.kind %= 8;
	message.arena %= 10;
	message.generation %= 10;
	if (how & 7)
		store_message_mark(&message);
	(void)os_local_send(client->socket, &message, how == 255 ? 17 : sizeof(message), &client->socket, how == 254);
	session_message(client->server, session_of(client));
}

static void hear(const struct client *client)
{
	os_handle passed[OS_LOCAL_PASSED];
	uint8_t bytes[sizeof(struct store_report)];
	size_t length;
	unsigned count;

	while (os_local_receive(client->socket, bytes, sizeof(bytes), &length, passed, OS_LOCAL_PASSED, &count) == 0)
		while (count)
			os_handle_close(passed[--count]);
}

/* ---- the whole ---- */

static void connect_client(struct client *client)
{
	struct store_message hello = {.kind = STORE_HELLO, .count = 32};
	os_handle pair[2];

	if (os_local_pair(pair) || session_accept(client->server, pair[1]))
		abort();
	client->socket = pair[0];
	store_message_mark(&hello);
	if (os_local_send(client->socket, &hello, sizeof(hello), NULL, 0))
		abort();
	session_message(client->server, session_of(client));
	if (!session_of(client) || !session_of(client)->greeted)
		abort();
	hear(client);
}

static void play(struct client *client, struct input *input)
{
	while (input->length && session_of(client)) {
		switch (take_byte(input) % 8) {
		case 0: overwrite(client, input); break;
		case 1: lease(client, input); break;
		case 2: say(client, input); break;
		case 3: (void)object_reap(client->server); break;
		case 4: (void)session_work(client->server, session_of(client)); break;
		default: ask(client, input); break;
		}
		hear(client);
	}
	while (session_of(client) && session_has_work(client->server, session_of(client)))
		(void)session_work(client->server, session_of(client));
}

/* All is as it was before the client came. */
static void clean(struct stoa_server *server)
{
	static struct server_session nobody; /* of user 0: it may delete everything */
	struct server_request request = {.head = {.op = STORE_OP_DELETE}};

	for (uint32_t i = 1; i < server->book.entries.reached; i++) {
		uint32_t length;
		const uint8_t *id;

		if (store_state_of(load_rlx(directory_state(&server->book.directory, i))) != STORE_SEALED)
			continue;
		id = directory_id(&server->book, i, &length);
		request.head.id_length = (uint16_t)length;
		memcpy(request.id, id, length);
		if (object_delete(server, &nobody, &request))
			abort();
	}
	(void)object_reap(server);
	if (server->dying_count || server->waiters || load_rlx(&server->header->objects))
		abort();
	for (const struct server_user *user = server->users; user; user = user->next)
		if (user->charged)
			abort();
	for (const struct server_arena *arena = server->shared; arena; arena = arena->next)
		if (arena->objects || store_heap_used(arena->heap) || !store_heap_valid(arena->heap))
			abort();
	if (directory_valid(server->directory_extent.address, server->book.directory.length))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct client client = {.server = start()};
	struct input input = {bytes, length};

	connect_client(&client);
	play(&client, &input);
	if (session_of(&client))
		session_end(client.server, session_of(&client));
	os_handle_close(client.socket);
	clean(client.server);
	return 0;
}
