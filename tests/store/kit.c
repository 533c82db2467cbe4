/* SPDX-License-Identifier: MIT */
/* The kit's roles, and objects that can be told whole. */
#include <store/books.h>
#include <store/kit.h>

#include <base/hash.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOBODY 65534

bool kit_become_another(void)
{
	if (geteuid() != 0)
		return false;
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setresgid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL)); /* which that has cleared */
	return true;
}

/* ---- the server ---- */

static struct stoa_server *serving;
static _Atomic uint32_t look_wanted;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		store_rlx(&look_wanted, 1);
	stoa_server_stop(serving);
}

static void limit_handles(unsigned count)
{
	struct rlimit limit = {count, count};

	if (count)
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
}

static void serve(void *argument)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct kit *kit = argument;
	struct stoa_server_options options = kit->options;

	options.socket = kit->path;
	limit_handles(kit->handles);
	CHECK_RC(stoa_server_start(&options, &serving), 0);
	CHECK_SYS(sigaction(SIGUSR1, &action, NULL));
	CHECK_SYS(sigaction(SIGTERM, &action, NULL));
	store_rel(&kit->ready, 1);
	for (;;) {
		CHECK_RC(stoa_server_run(serving), 0);
		kit_check_books(serving);
		if (!load_rlx(&look_wanted))
			break;
		store_rlx(&look_wanted, 0);
		kit_go_on(serving);
		store_rlx(&kit->left, kit_committed(serving));
		store_rlx(&kit->drafts, kit_drafts_of(serving));
		add_rlx(&kit->looked, 1);
	}
	stoa_server_close(serving);
}

void kit_serve(struct kit *kit)
{
	store_rlx(&kit->ready, 0);
	kit->server = test_role(serve, kit);
	test_await(&kit->ready, 1);
}

struct kit *kit_start(const struct stoa_server_options *options)
{
	struct kit *kit = test_shared(sizeof(*kit));

	if (options)
		kit->options = *options;
	snprintf(kit->path, sizeof(kit->path), "%s/store", test_dir());
	kit_serve(kit);
	return kit;
}

uint64_t kit_look(struct kit *kit)
{
	uint32_t looked = load_rlx(&kit->looked);

	CHECK_SYS(kill(kit->server, SIGUSR1));
	test_await(&kit->looked, looked + 1);
	return load_rlx(&kit->left);
}

void kit_stop(struct kit *kit)
{
	CHECK_SYS(kill(kit->server, SIGTERM));
	CHECK_EQ(test_join(kit->server), 0);
}

void kit_await_clients(struct stoa_store *store, uint64_t clients)
{
	struct stoa_store_stat stat;

	do {
		CHECK_RC(stoa_store_stat(store, &stat), 0);
		test_nap(1);
	} while (stat.clients != clients);
}

/* ---- clients, objects ---- */

struct stoa_store *kit_open(const struct kit *kit)
{
	struct stoa_store *store;

	CHECK_RC(stoa_store_open(kit->path, NULL, &store), 0);
	return store;
}

uint64_t kit_later(uint64_t milliseconds)
{
	return stoa_now() + milliseconds * UINT64_C(1000000);
}

static uint64_t hash_of(const void *bytes, uint64_t size, const void *id, size_t id_length)
{
	return hash_words(hash_bytes(id, id_length), (const unsigned char *)bytes + 8, size - 8);
}

void kit_make(void *bytes, uint64_t size, const void *id, size_t id_length, uint64_t seed)
{
	uint64_t word = seed * UINT64_C(0x9e3779b97f4a7c15) + size;
	unsigned char *to = bytes;

	for (uint64_t at = 8; at < size; at += 8, word = word * UINT64_C(0xbf58476d1ce4e5b9) + 1)
		memcpy(to + at, &word, size - at < 8 ? (size_t)(size - at) : 8);
	word = hash_of(bytes, size, id, id_length);
	memcpy(to, &word, 8);
}

bool kit_whole(const void *bytes, uint64_t size, const void *id, size_t id_length)
{
	uint64_t word;

	if (size < 16)
		return false;
	memcpy(&word, bytes, 8);
	return word == hash_of(bytes, size, id, id_length);
}

int kit_put(struct stoa_store *store, const char *id, uint64_t size, uint64_t seed,
	    const struct stoa_object_options *options)
{
	unsigned char *bytes = malloc(size);
	int rc;

	CHECK(bytes != NULL);
	kit_make(bytes, size, id, strlen(id), seed);
	rc = stoa_store_put(store, id, (uint32_t)strlen(id), bytes, size, options);
	free(bytes);
	return rc;
}

int kit_get(struct stoa_store *store, const char *id, uint64_t deadline)
{
	struct stoa_object object;
	int rc = stoa_store_get(store, id, (uint32_t)strlen(id), deadline, &object);

	if (rc)
		return rc;
	CHECK(kit_whole(object.data, object.size, id, strlen(id)));
	stoa_object_release(store, &object);
	return 0;
}

int kit_delete(struct stoa_store *store, const char *id)
{
	return stoa_store_delete(store, id, (uint32_t)strlen(id));
}

uint32_t kit_drafts(struct kit *kit)
{
	kit_look(kit);
	return load_rlx(&kit->drafts);
}
