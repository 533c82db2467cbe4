/* SPDX-License-Identifier: MIT */
/* The protocol spoken by hand: no check that the library makes stands in the way. */
#include <store/raw.h>

#include <os/local.h>
#include <store/directory.h>
#include <store/message.h>
#include <sys/mman.h>

static int receive(struct raw *raw, struct store_message *ret, os_handle *passed, unsigned room, unsigned *ret_count)
{
	size_t length;
	int rc;

	for (;;) {
		uint32_t ready;

		rc = os_local_receive(raw->socket, ret, sizeof(*ret), &length, passed, room, ret_count);
		if (rc != -STOA_EBUSY)
			break;
		rc = os_wait_readable(&raw->socket, 1, kit_later(10000), &ready);
		if (rc)
			return rc;
	}
	return rc < 0 ? rc : ret->result;
}

static void *map(os_handle memory, uint64_t *ret_length, int protection)
{
	void *address;

	*ret_length = os_memory_length(memory);
	address = mmap(NULL, *ret_length, protection, MAP_SHARED, (int)memory, 0);
	CHECK(address != MAP_FAILED);
	return address;
}

int raw_open(const struct kit *kit, uint32_t lines, struct raw *ret_raw)
{
	struct store_message message = {.kind = STORE_HELLO, .count = lines};
	struct raw raw = {0};
	unsigned count = 0;
	int rc = os_local_connect(kit->path, &raw.socket);

	if (rc)
		return rc;
	store_message_mark(&message);
	rc = os_local_send(raw.socket, &message, sizeof(message), NULL, 0);
	if (!rc)
		rc = receive(&raw, &message, raw.passed, PASSED_COUNT, &count);
	if (rc) {
		os_handle_close(raw.socket);
		return rc;
	}
	CHECK_EQ(count, PASSED_COUNT);
	raw.directory = map(raw.passed[PASSED_DIRECTORY], &raw.directory_length, PROT_READ);
	raw.session = map(raw.passed[PASSED_SESSION], &raw.session_length, PROT_READ | PROT_WRITE);
	raw.leases = map(raw.passed[PASSED_LEASES], &raw.leases_length, PROT_READ | PROT_WRITE);
	raw.ring = (unsigned char *)(raw.session + 1);
	*ret_raw = raw;
	return 0;
}

void raw_close(struct raw *raw)
{
	os_handle_close(raw->socket);
	for (unsigned i = 0; i < PASSED_COUNT; i++)
		os_handle_close(raw->passed[i]);
	munmap(raw->directory, raw->directory_length);
	munmap(raw->session, raw->session_length);
	munmap(raw->leases, raw->leases_length);
}

bool raw_ended(const struct raw *raw)
{
	return os_local_ended(raw->socket);
}

void raw_ask(struct raw *raw, struct store_request head, const void *id, const void *data, uint32_t size)
{
	uint64_t ring_size = raw->session_length - sizeof(struct store_session);
	uint64_t line, left = ring_size - raw->tail % ring_size;
	unsigned char *at;

	head.length = (uint32_t)(sizeof(head) + head.id_length + size);
	line = store_line_up(head.length);
	if (left < line) {
		struct store_request skip = {.length = (uint32_t)left, .op = STORE_OP_SKIP};

		memcpy(raw->ring + raw->tail % ring_size, &skip, sizeof(skip));
		raw->tail += left;
	}
	head.serial = ++raw->serial;
	at = raw->ring + raw->tail % ring_size;
	memcpy(at, &head, sizeof(head));
	if (head.id_length)
		memcpy(at + sizeof(head), id, head.id_length);
	if (size)
		memcpy(at + sizeof(head) + head.id_length, data, size);
	raw->tail += line;
	store_rel(&raw->session->tail, raw->tail);
	fence_seq();
	os_bell_ring(raw->passed[PASSED_BELL]);
}

bool raw_answer(struct raw *raw, struct store_completion *ret)
{
	uint64_t limit = kit_later(60000);

	while (load_acq(&raw->session->completed) == raw->seen) {
		CHECK(stoa_now() < limit);
		if (raw_ended(raw) && load_acq(&raw->session->completed) == raw->seen)
			return false;
		test_nap(1);
	}
	*ret = raw->session->completions[raw->seen++ % SESSION_COMPLETIONS];
	return true;
}

int raw_call(struct raw *raw, struct store_request head, const void *id, const void *data, uint32_t size,
	     struct store_completion *ret)
{
	raw_ask(raw, head, id, data, size);
	return raw_answer(raw, ret) ? ret->result : -STOA_ECLOSED;
}

int raw_arena(struct raw *raw, uint32_t arena, os_handle *ret_memory)
{
	struct store_message message = {.kind = STORE_ASK_ARENA, .arena = arena};
	struct store_arena record;
	struct directory directory;
	unsigned count = 0;
	int rc;

	CHECK_RC(directory_open(raw->directory, raw->directory_length, &directory), 0);
	CHECK_RC(directory_arena_read(&directory, arena, &record), 0);
	message.generation = load_rlx(&record.generation);
	store_message_mark(&message);
	rc = os_local_send(raw->socket, &message, sizeof(message), NULL, 0);
	if (rc)
		return rc;
	rc = receive(raw, &message, ret_memory, 1, &count);
	if (!rc)
		CHECK_EQ(count, 1);
	return rc;
}
