/* SPDX-License-Identifier: MIT */
/*
 * Handing a channel on, or a stream, which is one: both its parts in one message over a local socket, or through exec. What the receiver may do is in the
 * descriptors: that of a part which it shall not write only reads. All that arrives is foreign. Uses segment.
 *
 * The message, 24 bytes, goes with two descriptors, of the part that receivers write and of that which senders write:
 *   offset size field
 *   0      8    magic    "STOACHG\n"
 *   8      4    version  1
 *   12     12   unused   0
 * With what os_send() puts before it this is as long as a segment's, so that one taken for the other is read to its end, and told.
 */
#include <channel/channel.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct message {
	uint8_t magic[8];
	uint32_t version;
	uint32_t unused[3];
};
_Static_assert(offsetof(struct message, version) == 8, "layout");
_Static_assert(offsetof(struct message, unused) == 12, "layout");
_Static_assert(sizeof(struct message) == 24, "layout");
_Static_assert(OS_PASSED_MAX >= 2, "the parts of a channel");

static const struct message the_message = {.magic = {'S', 'T', 'O', 'A', 'C', 'H', 'G', '\n'}, .version = 1};

static void close_both(os_handle parts[2])
{
	for (unsigned i = 0; i < 2; i++)
		if (parts[i] != OS_NO_HANDLE)
			os_handle_close(parts[i]);
}

/* ---- over a socket ---- */

/* A part that was sealed can be written by those who do, and nobody else. */
static int check_seals(const struct stoa_channel *channel, uint32_t grant)
{
	for (unsigned i = 0; i < 2; i++)
		if (channel_is_granted(grant, i) &&
		    os_memory_seals(channel->segments[i]->memory) & (OS_SEAL_FUTURE_WRITE | OS_SEAL_WRITE))
			return error_set(-STOA_ERIGHTS, "the %s is sealed: nobody can become a %s any more",
					 channel_noun(channel_is_stream(channel)),
					 channel_end_noun(channel_is_stream(channel), i));
	return 0;
}

int stoa_channel_send_with_socket(const struct stoa_channel *channel, uint32_t grant, int socket)
{
	os_handle parts[2] = {OS_NO_HANDLE, OS_NO_HANDLE};
	int rc = channel_check_grant(channel, grant);

	if (!rc)
		rc = check_seals(channel, grant);
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = segment_dup_for(channel->segments[i], OS_READ | (channel_is_granted(grant, i) ? OS_WRITE : 0),
				     socket, &parts[i]);
	if (!rc)
		rc = os_send(socket, &the_message, sizeof(the_message), parts, 2);
	close_both(parts);
	return rc;
}

static int check_message(const struct message *message)
{
	if (memcmp(message->magic, the_message.magic, sizeof(message->magic)) != 0)
		return error_set(-STOA_EFORMAT, "a message that brings neither a channel nor a stream");
	if (message->version != the_message.version)
		return error_set(-STOA_EVERSION, "a message of version %" PRIu32 ", this library speaks %" PRIu32,
				 message->version, the_message.version);
	if (memcmp(message->unused, the_message.unused, sizeof(message->unused)) != 0)
		return error_set(-STOA_EFORMAT, "a message with bytes that mean nothing");
	return 0;
}

/* Make a channel, or a stream, of two descriptors. On failure they are the caller's still. */
static int put_together(const os_handle parts[2], uint32_t sender, bool stream, struct stoa_channel **ret_channel)
{
	struct stoa_segment *segments[2] = {NULL, NULL};
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = segment_take_from(parts[i], sender, SEGMENT_KIND_CHANNEL, &segments[i]);
	if (!rc)
		rc = channel_open_apart(segments, stream, ret_channel);
	for (unsigned i = 0; i < 2 && rc; i++) {
		if (segments[i])
			segments[i]->memory = OS_NO_HANDLE;
		stoa_segment_close(segments[i]);
	}
	return rc;
}

int channel_receive(int socket, bool stream, struct stoa_channel **ret_channel, uint32_t *ret_sender)
{
	os_handle parts[2] = {OS_NO_HANDLE, OS_NO_HANDLE};
	struct message message;
	uint32_t sender;
	int rc = os_receive(socket, &message, sizeof(message), parts, 2, &sender);

	if (rc < 0)
		return rc;
	rc = check_message(&message);
	if (!rc)
		rc = put_together(parts, sender, stream, ret_channel);
	if (rc)
		close_both(parts);
	else if (ret_sender)
		*ret_sender = sender;
	return rc;
}

int stoa_channel_receive_with_socket(int socket, struct stoa_channel **ret_channel, uint32_t *ret_sender)
{
	if (!ret_channel)
		return error_set(-STOA_EINVAL, "no place for the channel was given");
	return channel_receive(socket, false, ret_channel, ret_sender);
}

/* ---- through exec ---- */

/* "stoach1:RECEIVING:SENDING:CHECK:CHECK", the numbers of the descriptors, and for each what ties it to the very object. */
#define TOKEN_FORMAT "stoach1:%" PRIu64 ":%" PRIu64 ":%" PRIx32 ":%" PRIx32
#define TOKEN_SCAN "stoach1:%" SCNu64 ":%" SCNu64 ":%" SCNx32 ":%" SCNx32

struct token {
	uint64_t parts[2];
	uint32_t checks[2];
};

/* The descriptor of part `i` to be inherited: the segment's own, or one that only reads, which the handle keeps. */
static int lend(struct stoa_channel *channel, unsigned i, bool writable, os_handle *ret_part)
{
	int rc = 0;

	if (writable) {
		*ret_part = channel->segments[i]->memory;
		return 0;
	}
	if (channel->lent[i] == OS_NO_HANDLE)
		rc = os_memory_duplicate(channel->segments[i]->memory, OS_READ, &channel->lent[i]);
	if (!rc)
		*ret_part = channel->lent[i];
	return rc;
}

static void keep_all(const struct stoa_channel *channel)
{
	for (unsigned i = 0; i < 2; i++) {
		(void)os_handle_keep(channel->segments[i]->memory);
		if (channel->lent[i] != OS_NO_HANDLE)
			(void)os_handle_keep(channel->lent[i]);
	}
}

int stoa_channel_inherit(struct stoa_channel *channel, uint32_t grant, char *token)
{
	os_handle parts[2] = {OS_NO_HANDLE, OS_NO_HANDLE};
	uint32_t checks[2];
	int rc = channel_check_grant(channel, grant);

	if (!rc && !token)
		rc = error_set(-STOA_EINVAL, "no room for the token was given");
	if (!rc)
		rc = check_seals(channel, grant);
	for (unsigned i = 0; i < 2 && !rc; i++) {
		rc = lend(channel, i, channel_is_granted(grant, i), &parts[i]);
		if (!rc)
			rc = segment_token_check(parts[i], &checks[i]);
	}
	if (rc)
		return rc;
	keep_all(channel);
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = os_handle_inherit(parts[i]);
	if (rc) {
		keep_all(channel);
		return rc;
	}
	snprintf(token, STOA_TOKEN_SIZE, TOKEN_FORMAT, (uint64_t)parts[0], (uint64_t)parts[1], checks[0], checks[1]);
	return 0;
}

/* A token is what we print for it and nothing else. */
static int parse_token(const char *text, struct token *ret_token)
{
	char again[STOA_TOKEN_SIZE];
	struct token token;

	if (strnlen(text, STOA_TOKEN_SIZE) < STOA_TOKEN_SIZE &&
	    sscanf(text, TOKEN_SCAN, &token.parts[0], &token.parts[1], &token.checks[0], &token.checks[1]) == 4) {
		snprintf(again, sizeof(again), TOKEN_FORMAT, token.parts[0], token.parts[1], token.checks[0],
			 token.checks[1]);
		if (strcmp(text, again) == 0 && token.parts[0] <= INT32_MAX && token.parts[1] <= INT32_MAX &&
		    token.parts[0] != token.parts[1]) {
			*ret_token = token;
			return 0;
		}
	}
	return error_set(-STOA_EFORMAT, "'%.63s' is not a token of an inherited channel or stream", text);
}

static int check_inherited(const struct token *token)
{
	uint32_t check;
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++) {
		if (!os_handle_inherited((os_handle)token->parts[i]))
			return error_set(-STOA_ENOENT,
					 "descriptor %" PRIu64 " was not inherited, or was adopted before",
					 token->parts[i]);
		rc = segment_token_check((os_handle)token->parts[i], &check);
		if (!rc && check != token->checks[i])
			rc = error_set(-STOA_ENOENT, "descriptor %" PRIu64 " is not of what was inherited",
				       token->parts[i]);
	}
	return rc;
}

int channel_adopt(const char *token, bool stream, struct stoa_channel **ret_channel)
{
	struct token parsed = {.parts = {0}};
	int rc;

	if (!token)
		return error_set(-STOA_EINVAL, "no token was given");
	rc = parse_token(token, &parsed);
	if (!rc)
		rc = check_inherited(&parsed);
	if (!rc)
		rc = put_together((os_handle[]){(os_handle)parsed.parts[0], (os_handle)parsed.parts[1]}, os_user_id(),
				  stream, ret_channel);
	/* Cannot fail any more than asking for the flags did. */
	for (unsigned i = 0; i < 2 && !rc; i++)
		(void)os_handle_keep((os_handle)parsed.parts[i]);
	return rc;
}

int stoa_channel_adopt(const char *token, struct stoa_channel **ret_channel)
{
	if (!ret_channel)
		return error_set(-STOA_EINVAL, "no place for the channel was given");
	return channel_adopt(token, false, ret_channel);
}
