/* SPDX-License-Identifier: MIT */
/* See common.h. */
#include "common.h"

#include <unistd.h>

static int delayed(struct store *store, const _Atomic int *fail, uint64_t offset, uint64_t length)
{
	if (load_rlx(&store->delay))
		usleep(load_rlx(&store->delay));
	if (offset >= load_rlx(&store->fail_end) || offset + length <= load_rlx(&store->fail_from))
		return 0;
	while (load_rlx(&store->hangs))
		usleep(1000);
	return load_rlx(fail);
}

static uint64_t inside(const struct store *store, uint64_t offset, uint64_t length)
{
	uint64_t left = offset < store->size ? store->size - offset : 0;

	return length < left ? length : left;
}

static int fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct store *store = context;
	uint64_t some = inside(store, offset, length);
	int rc = delayed(store, &store->fail_fill, offset, length);

	add_rlx(&store->fills, 1);
	if (rc)
		return rc;
	memcpy(bytes, store->bytes + offset, some);
	memset((char *)bytes + some, 0, length - some);
	return 0;
}

static int write_to(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	struct store *store = context;
	int rc = delayed(store, &store->fail_write, offset, length);

	if (!rc)
		memcpy(store->bytes + offset, bytes, inside(store, offset, length));
	add_seq(&store->writes, 1); /* and not before: who waits for it looks at the bytes */
	return rc;
}

static int flush(void *context)
{
	struct store *store = context;

	add_rlx(&store->flushes, 1);
	return 0;
}

static int size_of(void *context, uint64_t *ret_size)
{
	struct store *store = context;

	*ret_size = store->size;
	return 0;
}

struct store *store_make(uint64_t size)
{
	struct store *store = test_shared(sizeof(*store) + size);

	store->size = size;
	return store;
}

struct stoa_backing *store_backing(struct store *store)
{
	static const struct stoa_backing_calls calls = {fill, write_to, flush, size_of, NULL};
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_create(&calls, store, &backing), 0);
	return backing;
}

struct stoa_pager *pager_make(struct stoa_backing *backing, const struct stoa_pager_options *options)
{
	struct stoa_pager *pager;

	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_pager_create(NULL, backing, options, &pager), 0);
	return pager;
}
