/* SPDX-License-Identifier: MIT */
/* A backing that is memory of this process: for what is to be gone with it, and for tests. Uses base and os. */
#include <backing/backing.h>

#include <base/error.h>
#include <inttypes.h>
#include <string.h>

struct memory {
	unsigned char *bytes;
	uint64_t size;
};

static int memory_fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	const struct memory *memory = context;
	size_t inside = backing_inside(memory->size, offset, length);

	if (inside)
		memcpy(bytes, memory->bytes + offset, inside);
	memset((char *)bytes + inside, 0, (size_t)length - inside);
	return 0;
}

static int memory_write(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	const struct memory *memory = context;
	size_t inside = backing_inside(memory->size, offset, length);

	if (inside)
		memcpy(memory->bytes + offset, bytes, inside);
	return 0;
}

static int memory_size(void *context, uint64_t *ret_size)
{
	const struct memory *memory = context;

	*ret_size = memory->size;
	return 0;
}

static void memory_close(void *context)
{
	struct memory *memory = context;

	os_free(memory->bytes);
	os_free(memory);
}

int stoa_backing_memory(uint64_t size, struct stoa_backing **ret_backing)
{
	/* No flush: what is written is as durable as it will ever be. */
	static const struct stoa_backing_calls calls = {
		.fill = memory_fill, .write = memory_write, .size = memory_size, .close = memory_close};
	struct memory *memory;
	int rc;

	if (!size || size > BACKING_SIZE_MAX)
		return error_set(-STOA_EINVAL, "%" PRIu64 " bytes of memory: 1 to 2^62 can be asked for", size);
	if (!ret_backing)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	memory = os_allocate(sizeof(*memory));
	if (!memory)
		return -STOA_ENOMEM;
	*memory = (struct memory){os_allocate((size_t)size), size};
	rc = memory->bytes ? stoa_backing_create(&calls, memory, ret_backing) : -STOA_ENOMEM;
	if (rc < 0)
		memory_close(memory);
	return rc;
}
