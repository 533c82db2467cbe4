/* SPDX-License-Identifier: MIT */
/*
 * Handing a segment on: as a descriptor, in a message over a local socket, through exec. What the receiver may do is in the
 * descriptor. All that arrives is foreign: the message, the token, and the object behind the descriptor.
 *
 * The message, 32 bytes, goes with one descriptor:
 *   offset size field
 *   0      8    magic    "STOASND\n"
 *   8      4    version  1
 *   12     4    flags    STOA_RAW, STOA_EXECUTABLE
 *   16     8    reserve  raw: bytes; else 0, as the header has it
 *   24     8    unused   0
 */
#include <base/error.h>
#include <inttypes.h>
#include <segment/header.h>
#include <segment/segment.h>
#include <stdio.h>
#include <string.h>

struct message {
	uint8_t magic[8];
	uint32_t version;
	uint32_t flags;
	uint64_t reserve;
	uint64_t unused;
};
_Static_assert(offsetof(struct message, version) == 8, "layout");
_Static_assert(offsetof(struct message, flags) == 12, "layout");
_Static_assert(offsetof(struct message, reserve) == 16, "layout");
_Static_assert(offsetof(struct message, unused) == 24, "layout");
_Static_assert(sizeof(struct message) == 32, "layout");

static const uint8_t message_magic[8] = {'S', 'T', 'O', 'A', 'S', 'N', 'D', '\n'};

#define MESSAGE_VERSION 1u
#define MESSAGE_FLAGS (STOA_RAW | STOA_EXECUTABLE)

int stoa_segment_dup_descriptor(const struct stoa_segment *segment, uint32_t access, int *ret_descriptor)
{
	os_handle memory = OS_NO_HANDLE;
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!ret_descriptor)
		return error_set(-STOA_EINVAL, "no place for the descriptor was given");
	if (access & ~(STOA_READ | STOA_WRITE))
		return error_refuse("a descriptor", ERROR_ACCESS, access & ~(STOA_READ | STOA_WRITE));
	if (!(access & STOA_READ))
		return error_set(-STOA_EINVAL, "a descriptor is for STOA_READ or STOA_READ|STOA_WRITE");
	if (access & STOA_WRITE && !segment->writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot hand out a writable descriptor");
	rc = os_memory_duplicate(segment->memory, access | (segment->flags & STOA_EXECUTABLE ? OS_EXEC : 0), &memory);
	if (rc == 0)
		*ret_descriptor = (int)memory;
	return rc;
}

/* The header that an object without one gets. */
static int raw_header(const struct os_memory_info *info, uint64_t reserve, uint32_t flags,
		      struct segment_header *ret_header)
{
	if (reserve == 0)
		reserve = info->length;
	if (reserve == 0 || reserve > STOA_RESERVE_MAX)
		return error_set(-STOA_EINVAL, "a reserve of %" PRIu64 " bytes: it must be 1 to 2^40", reserve);
	if (reserve < info->length)
		return error_set(-STOA_ERANGE, "the object has %" PRIu64 " bytes, the reserve only %" PRIu64,
				 info->length, reserve);
	*ret_header = (struct segment_header){.flags = STOA_RAW | (flags & STOA_EXECUTABLE)};
	ret_header->reserve = segment_round_up(reserve, OS_PAGE);
	return 0;
}

/* Decide what the object is, and check it. */
static int learn_object(os_handle memory, const struct os_memory_info *info, uint64_t reserve, uint32_t flags,
			uint32_t kind, struct segment_header *ret_header)
{
	uint8_t start[8];
	size_t got = 0;
	int rc;

	if (!info->regular)
		return error_set(-STOA_EKIND, "the descriptor does not refer to memory or a regular file");
	if (!(flags & STOA_RAW)) {
		rc = os_memory_read(memory, 0, start, sizeof(start), &got);
		if (rc < 0)
			return rc;
	}
	if (flags & STOA_RAW || !header_is_ours(start, got))
		return raw_header(info, reserve, flags, ret_header);
	rc = header_read(memory, ret_header);
	if (rc == 0 && ret_header->kind != kind)
		rc = error_set(-STOA_EKIND, kind == SEGMENT_KIND_CHANNEL ? "the memory is not part of a channel"
					    : kind == SEGMENT_KIND_PAGER ? "the memory is not a pager's"
									 : "the segment belongs to a named mutex, "
									   "event or semaphore, a channel or a pager");
	return rc;
}

/* May the handle write? Not where the descriptor only reads, and not where a seal refuses every new writer. */
static bool may_write(const struct os_memory_info *info, uint32_t flags)
{
	return info->writable && !(info->seals & (OS_SEAL_WRITE | OS_SEAL_FUTURE_WRITE)) && !(flags & STOA_READ_ONLY);
}

static int take(os_handle memory, uint64_t reserve, uint32_t flags, uint32_t kind, struct os_name *name,
		struct stoa_segment **ret_segment)
{
	struct segment_header header;
	struct os_memory_info info;
	int rc = os_memory_info(memory, &info);

	if (rc)
		return rc;
	rc = learn_object(memory, &info, reserve, flags, kind, &header);
	if (rc)
		return rc;
	rc = segment_attach(memory, &header, may_write(&info, flags), name, ret_segment);
	/* Memory that others made, without our rules: whoever else holds it may cut it, unless a seal forbids that. */
	if (!rc && header.flags & STOA_RAW && !name && !(info.seals & OS_SEAL_SHRINK))
		(*ret_segment)->can_be_cut = true;
	return rc;
}

int stoa_segment_take_descriptor(int descriptor, uint64_t reserve, const struct stoa_segment_options *options,
				 struct stoa_segment **ret_segment)
{
	const uint32_t known = STOA_RAW | STOA_READ_ONLY | STOA_EXECUTABLE;
	uint32_t flags = options ? options->flags : 0;
	struct stoa_segment *segment;
	int rc;

	if (descriptor < 0)
		return error_set(-STOA_EINVAL, "%d is not a descriptor", descriptor);
	if (!ret_segment)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	if (flags & ~known)
		return error_refuse("taking a descriptor", ERROR_SEGMENT_FLAGS, flags & ~known);
	if (reserve > STOA_RESERVE_MAX)
		return error_set(-STOA_EINVAL, "a reserve of %" PRIu64 " bytes is more than 2^40", reserve);
	rc = take(descriptor, reserve, flags, SEGMENT_KIND_DATA, NULL, &segment);
	if (rc)
		return rc;
	rc = os_handle_keep(descriptor);
	if (rc < 0) {
		segment->memory = OS_NO_HANDLE; /* still the caller's */
		stoa_segment_close(segment);
		return rc;
	}
	*ret_segment = segment;
	return 0;
}

/*
 * Who may write what is not sealed may also cut it, and with that kill whoever touches it: only ourselves and root, who can
 * anyway. One that the system does not name is a stranger.
 */
static int check_receiver(os_handle memory, int socket)
{
	uint32_t peer;
	int rc;

	if (os_memory_seals(memory) & OS_SEAL_SHRINK)
		return 0;
	rc = os_socket_peer(socket, &peer);
	if (rc < 0 || peer == 0 || peer == os_user_id())
		return rc;
	if (peer == OS_SENDER_UNKNOWN)
		return error_set(-STOA_ERIGHTS,
				 "who could write this memory could also cut it, and the socket does not tell whose "
				 "its other end is: send it read-only, or use an unnamed segment");
	return error_set(-STOA_ERIGHTS,
			 "user id %" PRIu32 " at the other end could cut this memory if it could write it: send it "
			 "read-only, or use an unnamed segment that is not shrinkable",
			 peer);
}

int segment_dup_for(const struct stoa_segment *segment, uint32_t access, int socket, os_handle *ret_memory)
{
	os_handle memory;
	int rc = os_memory_duplicate(segment->memory, access, &memory);

	if (rc == 0 && access & OS_WRITE) {
		rc = check_receiver(memory, socket);
		if (rc < 0)
			os_handle_close(memory);
	}
	if (rc == 0)
		*ret_memory = memory;
	return rc;
}

int stoa_segment_send_with_socket(const struct stoa_segment *segment, uint32_t access, int socket)
{
	struct message message = {.version = MESSAGE_VERSION};
	int descriptor, rc = stoa_segment_dup_descriptor(segment, access, &descriptor);
	os_handle passed;

	if (rc < 0)
		return rc;
	passed = descriptor;
	memcpy(message.magic, message_magic, sizeof(message_magic));
	message.flags = segment->flags & MESSAGE_FLAGS;
	message.reserve = segment->flags & STOA_RAW ? segment->reserve : 0;
	if (access & STOA_WRITE)
		rc = check_receiver(segment->memory, socket);
	if (rc == 0)
		rc = os_send(socket, &message, sizeof(message), &passed, 1);
	os_handle_close(descriptor);
	return rc;
}

static int check_message(const struct message *message)
{
	if (memcmp(message->magic, message_magic, sizeof(message_magic)) != 0)
		return error_set(-STOA_EFORMAT, "a message that is not stoa's");
	if (message->version != MESSAGE_VERSION)
		return error_set(-STOA_EVERSION, "a message of version %" PRIu32 ", this library speaks %u",
				 message->version, MESSAGE_VERSION);
	if (message->flags & ~MESSAGE_FLAGS || message->unused || message->reserve > STOA_RESERVE_MAX)
		return error_set(-STOA_EFORMAT, "a message with flags 0x%" PRIx32 " and a reserve of %" PRIu64,
				 message->flags, message->reserve);
	return 0;
}

/* Memory that a stranger can cut is a way to kill whoever touches it. */
static int check_sender(os_handle memory, uint32_t sender)
{
	if (sender == 0 || sender == os_user_id() || os_memory_seals(memory) & OS_SEAL_SHRINK)
		return 0;
	return error_set(-STOA_EACCES,
			 "the memory is not sealed against cutting, and user id %" PRIu32 " is not trusted with it",
			 sender);
}

int segment_take_from(os_handle memory, uint32_t sender, uint32_t kind, struct stoa_segment **ret_segment)
{
	int rc = check_sender(memory, sender);

	return rc < 0 ? rc : take(memory, 0, 0, kind, NULL, ret_segment);
}

int stoa_segment_receive_with_socket(int socket, struct stoa_segment **ret_segment, uint32_t *ret_sender)
{
	struct message message;
	os_handle memory = OS_NO_HANDLE;
	uint32_t sender;
	int rc;

	if (!ret_segment)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	rc = os_receive(socket, &message, sizeof(message), &memory, 1, &sender);
	if (rc < 0)
		return rc;
	rc = check_message(&message);
	if (rc == 0)
		rc = check_sender(memory, sender);
	if (rc == 0)
		rc = take(memory, message.reserve, message.flags, SEGMENT_KIND_DATA, NULL, ret_segment);
	if (rc < 0)
		os_handle_close(memory);
	else if (ret_sender)
		*ret_sender = sender;
	return rc;
}

/*
 * The token: "stoa1:DESCRIPTOR:LOCK:FLAGS:RESERVE:CHECK", decimal and hexadecimal numbers; LOCK is -1 without a name, CHECK ties it to
 * the very object, as descriptor numbers are used again.
 */
#define TOKEN_FORMAT "stoa1:%" PRIu64 ":%" PRId64 ":%" PRIx32 ":%" PRIx64 ":%" PRIx32

int segment_token_check(os_handle memory, uint32_t *ret_check)
{
	struct os_memory_info info;
	uint64_t mixed;
	int rc = os_memory_info(memory, &info);

	if (rc < 0)
		return rc;
	mixed = (info.identity[0] * UINT64_C(0x9e3779b97f4a7c15)) ^ info.identity[1];
	*ret_check = (uint32_t)(mixed ^ mixed >> 32);
	return 0;
}

int stoa_segment_inherit(struct stoa_segment *segment, char *token)
{
	os_handle use;
	uint32_t check;
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!token)
		return error_set(-STOA_EINVAL, "no room for the token was given");
	use = os_name_handle(segment->name);
	rc = segment_token_check(segment->memory, &check);
	if (rc == 0)
		rc = os_handle_inherit(segment->memory);
	if (rc == 0 && use != OS_NO_HANDLE) {
		rc = os_handle_inherit(use);
		if (rc < 0)
			(void)os_handle_keep(segment->memory);
	}
	if (rc < 0)
		return rc;
	snprintf(token, STOA_TOKEN_SIZE, TOKEN_FORMAT, (uint64_t)segment->memory, (int64_t)use,
		 segment->flags & (MESSAGE_FLAGS | STOA_READ_ONLY), segment->flags & STOA_RAW ? segment->reserve : 0,
		 check);
	return 0;
}

struct token {
	uint64_t memory;
	int64_t lock;
	uint32_t flags;
	uint64_t reserve;
	uint32_t check;
};

/* A token is what we print for it and nothing else: no signs, blanks or leading zeros that a scan would let pass. */
static int parse_token(const char *text, struct token *ret_token)
{
	char again[STOA_TOKEN_SIZE];
	struct token token;

	if (strnlen(text, STOA_TOKEN_SIZE) < STOA_TOKEN_SIZE &&
	    sscanf(text, "stoa1:%" SCNu64 ":%" SCNd64 ":%" SCNx32 ":%" SCNx64 ":%" SCNx32, &token.memory, &token.lock,
		   &token.flags, &token.reserve, &token.check) == 5) {
		snprintf(again, sizeof(again), TOKEN_FORMAT, token.memory, token.lock, token.flags, token.reserve,
			 token.check);
		if (strcmp(text, again) == 0 && token.memory <= INT32_MAX && token.lock >= -1 &&
		    token.lock <= INT32_MAX && token.reserve <= STOA_RESERVE_MAX &&
		    !(token.flags & ~(MESSAGE_FLAGS | STOA_READ_ONLY))) {
			*ret_token = token;
			return 0;
		}
	}
	return error_set(-STOA_EFORMAT, "'%.63s' is not a token of an inherited segment", text);
}

/* Both descriptors must be there, not yet adopted, and the object the one that was meant. */
static int check_inherited(const struct token *token)
{
	uint32_t check;
	int rc;

	if (!os_handle_inherited((os_handle)token->memory) ||
	    (token->lock >= 0 && !os_handle_inherited((os_handle)token->lock)))
		return error_set(-STOA_ENOENT, "descriptor %" PRIu64 " was not inherited, or was adopted before",
				 token->memory);
	rc = segment_token_check((os_handle)token->memory, &check);
	if (rc == 0 && check != token->check)
		rc = error_set(-STOA_ENOENT, "descriptor %" PRIu64 " is not the segment that was inherited",
			       token->memory);
	return rc;
}

int stoa_segment_adopt(const char *token, struct stoa_segment **ret_segment)
{
	struct os_name *name = NULL;
	struct token parsed = {0};
	int rc;

	if (!token)
		return error_set(-STOA_EINVAL, "no token was given");
	if (!ret_segment)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	rc = parse_token(token, &parsed);
	if (rc == 0)
		rc = check_inherited(&parsed);
	if (rc == 0)
		rc = os_name_adopt(parsed.lock >= 0 ? (os_handle)parsed.lock : OS_NO_HANDLE, &name);
	if (rc < 0)
		return rc;
	rc = take((os_handle)parsed.memory, parsed.reserve, parsed.flags, SEGMENT_KIND_DATA, name, ret_segment);
	if (rc < 0) {
		os_name_disown(name);
		return rc;
	}
	/* Cannot fail any more than asking for the flags did. */
	(void)os_handle_keep((os_handle)parsed.memory);
	if (parsed.lock >= 0)
		(void)os_handle_keep((os_handle)parsed.lock);
	return 0;
}
