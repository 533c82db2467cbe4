/* SPDX-License-Identifier: MIT */
/* The pager by page protection, as Windows has it: blocks of 64 KiB at least, exceptions in place of signals, and what becomes of the commit charge. */
#include "pager/common.h"

#include <stdio.h>
#include <windows.h>

#define BLOCK 65536
#define SLAB (UINT64_C(1) << 20) /* frames.c commits so much at a time */

static struct store *store;
static struct stoa_backing *backing;
static struct stoa_pager *pager;

/* Each block begins with its number + 1, in the store. */
static void number_blocks(uint64_t blocks)
{
	for (uint64_t i = 0; i < blocks; i++)
		*(uint64_t *)(void *)(store->bytes + i * BLOCK) = i + 1;
}

static void begin(uint64_t blocks, uint64_t budget, uint32_t on_error)
{
	struct stoa_pager_options options = {.block = BLOCK,
					     .budget = budget * BLOCK,
					     .read_ahead = 1,
					     .on_error = on_error,
					     .flags = STOA_PAGER_NO_BACKGROUND};

	store = store_make(blocks * BLOCK);
	number_blocks(blocks);
	backing = store_backing(store);
	pager = pager_make(backing, &options);
}

static void end(void)
{
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

static _Atomic uint64_t *word_of(uint64_t block)
{
	return (void *)((unsigned char *)stoa_pager_address(pager) + block * BLOCK);
}

static const uint64_t *stored(uint64_t block)
{
	return (const uint64_t *)(const void *)(store->bytes + block * BLOCK);
}

/* Not pthread_create(): winpthreads keeps what its own locks took. */
static HANDLE start(DWORD(WINAPI *body)(void *argument), uintptr_t argument)
{
	HANDLE thread = CreateThread(NULL, 0, body, (void *)argument, 0, NULL);

	CHECK(thread);
	return thread;
}

static void join(HANDLE thread)
{
	CHECK_EQ(WaitForSingleObject(thread, INFINITE), WAIT_OBJECT_0);
	CloseHandle(thread);
}

/* ---- touches that fail: an exception handler of the program's own, which comes last ---- */

static CC_THREAD struct {
	CONTEXT resume;
	const volatile void *expected;
	volatile bool faulted;
} probe;

static LONG CALLBACK see_fault(EXCEPTION_POINTERS *exception)
{
	const EXCEPTION_RECORD *record = exception->ExceptionRecord;

	if (record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION ||
	    record->ExceptionInformation[1] != (ULONG_PTR)probe.expected)
		return EXCEPTION_CONTINUE_SEARCH;
	probe.faulted = true;
	*exception->ContextRecord = probe.resume;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static bool touch_fails(volatile void *at, bool write)
{
	void *handler = AddVectoredExceptionHandler(0, see_fault);

	probe.expected = at;
	probe.faulted = false;
	RtlCaptureContext(&probe.resume); /* a fault comes back to here */
	if (!probe.faulted) {
		if (write)
			*(volatile uint64_t *)at = 1;
		else
			(void)*(volatile uint64_t *)at;
	}
	RemoveVectoredExceptionHandler(handler);
	return probe.faulted;
}

/* ---- what is there ---- */

static uint64_t committed(const void *from, const void *to, bool outside_pager)
{
	uint64_t sum = 0, size = stoa_pager_size(pager);
	MEMORY_BASIC_INFORMATION info;

	for (const unsigned char *at = from; at < (const unsigned char *)to;
	     at = (const unsigned char *)info.BaseAddress + info.RegionSize) {
		if (!VirtualQuery(at, &info, sizeof(info)))
			break;
		if (outside_pager && (uintptr_t)info.BaseAddress - (uintptr_t)stoa_pager_address(pager) < size)
			continue;
		if (info.State == MEM_COMMIT && info.Type == MEM_MAPPED)
			sum += info.RegionSize;
	}
	return sum;
}

static uint64_t shown(void)
{
	return committed(word_of(0), (unsigned char *)word_of(0) + stoa_pager_size(pager), false);
}

/* All else that is shared, of which the slabs behind the pages are what changes. */
static uint64_t behind(void)
{
	SYSTEM_INFO info;

	GetSystemInfo(&info);
	return committed(info.lpMinimumApplicationAddress, info.lpMaximumApplicationAddress, true);
}

/* ---- tests ---- */

TEST(refused_without_handlers)
{
	store = store_make(16 * BLOCK);
	backing = store_backing(store);
	CHECK_RC(stoa_pager_create(NULL, backing, NULL, &pager), -STOA_ENOTOWNER);
	stoa_backing_close(backing);
}

TEST(other_ways_are_refused)
{
	struct stoa_pager_options options = {.way = STOA_PAGER_INLINE};
	struct stoa_pager *none = NULL;

	begin(16, 8, STOA_PAGER_POISON);
	CHECK_RC(stoa_pager_create(NULL, backing, &options, &none), -STOA_ENOTSUP);
	CHECK(strstr(stoa_error_detail(), "userfaultfd"));
	options.way = STOA_PAGER_SERVED;
	CHECK_RC(stoa_pager_create(NULL, backing, &options, &none), -STOA_ENOTSUP);
	CHECK_RC(stoa_pager_send_with_socket(pager, 0), -STOA_ENOTSUP);
	CHECK_RC(stoa_pager_receive_with_socket(0, backing, &none), -STOA_ENOTSUP);
	end();
}

#define FILLED 32
static _Atomic uint32_t gate;

static DWORD WINAPI touch_all(void *argument)
{
	(void)argument;
	add_rlx(&gate, 1);
	while (load_rlx(&gate) < 8)
		test_nap(0);
	for (uint64_t i = 0; i < FILLED; i++)
		CHECK_EQ(load_rlx(word_of(i)), i + 1);
	return 0;
}

TEST_TIMEOUT(filled_once, 60)
{
	HANDLE threads[8];

	begin(FILLED, FILLED, STOA_PAGER_POISON);
	store_rlx(&store->delay, 2000);
	for (unsigned i = 0; i < 8; i++)
		threads[i] = start(touch_all, 0);
	for (unsigned i = 0; i < 8; i++)
		join(threads[i]);
	CHECK_EQ(load_rlx(&store->fills), FILLED);
	end();
}

TEST(small_blocks_are_filled_in_larger_ones)
{
	struct stoa_pager_options options = {.block = 4096, .read_ahead = 1};

	store = store_make(16 * BLOCK + 100);
	number_blocks(16);
	backing = store_backing(store);
	pager = pager_make(backing, &options);
	for (uint64_t i = 0; i < 16; i++)
		CHECK_EQ(load_rlx(word_of(i)), i + 1);
	CHECK_EQ(load_rlx(&store->fills), 16);
	CHECK_EQ(((unsigned char *)word_of(16))[99], 0);
	end();
}

TEST(written_back_when_dirty)
{
	begin(16, 16, STOA_PAGER_POISON);
	CHECK_EQ(load_rlx(word_of(2)), 3);
	CHECK_RC(stoa_pager_flush(pager, 0, 16 * BLOCK, 0), 0);
	CHECK_EQ(load_rlx(&store->writes), 0); /* what was only read */
	for (uint64_t i = 1; i <= 3; i++) {
		store_rlx(word_of(2), 100 * i);
		store_rlx(word_of(5) + 7, 200 * i);
		CHECK_RC(stoa_pager_flush(pager, 0, 16 * BLOCK, STOA_DURABLE), 0);
		CHECK_EQ(stored(2)[0], 100 * i);
		CHECK_EQ(stored(5)[7], 200 * i);
		CHECK_EQ(load_rlx(&store->writes), 2 * i);
		CHECK_RC(stoa_pager_flush(pager, 0, 16 * BLOCK, 0), 0);
		CHECK_EQ(load_rlx(&store->writes), 2 * i);
	}
	store_rlx(word_of(9), 900);
	end();
	CHECK_EQ(stored(9)[0], 900);
}

TEST_TIMEOUT(evicted_within_the_budget, 60)
{
	begin(64, 8, STOA_PAGER_POISON);
	for (uint64_t round = 1; round <= 2; round++)
		for (uint64_t i = 0; i < 64; i++) {
			add_rlx(word_of(i), round);
			CHECK_INT(shown(), <=, 8 * BLOCK);
		}
	CHECK_INT(load_rlx(&store->fills), >=, 64 + 56);
	end();
	for (uint64_t i = 0; i < 64; i++)
		CHECK_EQ(stored(i)[0], i + 1 + 3);
}

/* What was committed is given back: at most the budget, and a slab. */
TEST_TIMEOUT(the_commit_charge_returns, 60)
{
	uint64_t first, most = 0;

	begin(256, 64, STOA_PAGER_POISON);
	CHECK_EQ(load_rlx(word_of(0)), 1);
	first = behind();
	for (uint64_t i = 0; i < 256; i++) {
		CHECK_EQ(load_rlx(word_of(i)), i + 1);
		most = behind() > most ? behind() : most;
	}
	CHECK_INT(most, >=, first + 64 * BLOCK - SLAB); /* it measures what it says */
	CHECK_INT(most, <=, first + 64 * BLOCK);
	CHECK_RC(stoa_pager_advise(pager, 0, 256 * BLOCK, STOA_ADVISE_DONT_NEED), 0);
	CHECK_EQ(shown(), 0);
	CHECK_INT(behind(), <=, first);
	test_note("%llu KiB at first, %llu at most, %llu when all was given back", (unsigned long long)first >> 10,
		  (unsigned long long)most >> 10, (unsigned long long)behind() >> 10);
	end();
}

TEST(a_terabyte)
{
	struct stoa_pager_options options = {
		.size = UINT64_C(1) << 40, .budget = 16 * BLOCK, .flags = STOA_PAGER_NO_BACKGROUND};
	const uint64_t last = (UINT64_C(1) << 40) / BLOCK - 1;

	store = store_make(16 * BLOCK);
	number_blocks(16);
	backing = store_backing(store);
	pager = pager_make(backing, &options);
	CHECK_EQ(load_rlx(word_of(3)), 4);
	CHECK_EQ(load_rlx(word_of(last)), 0);
	CHECK_EQ(load_rlx(word_of(last / 2)), 0);
	end();
}

TEST(poisoned_and_healed)
{
	begin(16, 8, STOA_PAGER_POISON);
	store_rlx(&store->fail_from, 3 * BLOCK);
	store_rlx(&store->fail_end, 4 * BLOCK);
	store_rlx(&store->fail_fill, -STOA_EIO);
	CHECK_EQ(load_rlx(word_of(2)), 3);
	CHECK(touch_fails((void *)word_of(3), false));
	CHECK(touch_fails((void *)word_of(3), true));
	CHECK_RC(stoa_pager_get(pager, 3 * BLOCK, BLOCK, STOA_READ), -STOA_EIO);
	store_rlx(&store->fail_fill, 0);
	CHECK(touch_fails((void *)word_of(3), false)); /* a touch heals nothing */
	CHECK_RC(stoa_pager_get(pager, 3 * BLOCK, BLOCK, STOA_READ), 0);
	CHECK(!touch_fails((void *)word_of(3), false));
	CHECK_EQ(load_rlx(word_of(3)), 4);
	end();
}

TEST(zeros_instead)
{
	begin(16, 8, STOA_PAGER_ZEROS);
	store_rlx(&store->fail_end, 16 * BLOCK);
	store_rlx(&store->fail_fill, -STOA_EIO);
	CHECK_EQ(load_rlx(word_of(3)), 0);
	CHECK_RC(stoa_pager_flush(pager, 0, 16 * BLOCK, 0), 0);
	CHECK_EQ(stored(3)[0], 4);
	end();
}

static DWORD WINAPI read_third(void *argument)
{
	(void)argument;
	CHECK_EQ(load_rlx(word_of(3)), 4);
	return 0;
}

TEST(tried_again)
{
	HANDLE thread;

	begin(16, 8, STOA_PAGER_RETRY);
	store_rlx(&store->fail_end, 16 * BLOCK);
	store_rlx(&store->fail_fill, -STOA_EIO);
	thread = start(read_third, 0);
	while (load_rlx(&store->fills) < 3)
		test_nap(1);
	store_rlx(&store->fail_fill, 0);
	join(thread);
	end();
}

TEST_TIMEOUT(pinned, 60)
{
	uint64_t fills;

	begin(64, 8, STOA_PAGER_POISON);
	CHECK_RC(stoa_pager_pin(pager, 10 * BLOCK, 2 * BLOCK, STOA_READ | STOA_WRITE), 0);
	for (uint64_t i = 20; i < 64; i++)
		CHECK_EQ(load_rlx(word_of(i)), i + 1);
	fills = load_rlx(&store->fills);
	CHECK_EQ(load_rlx(word_of(10)), 11);
	CHECK_EQ(load_rlx(word_of(11)), 12);
	CHECK_EQ(load_rlx(&store->fills), fills);
	CHECK_RC(stoa_pager_discard(pager, 10 * BLOCK, BLOCK), -STOA_EBUSY);
	CHECK_RC(stoa_pager_pin(pager, 0, 5 * BLOCK, STOA_READ), -STOA_ELIMIT);
	CHECK_RC(stoa_pager_unpin(pager, 10 * BLOCK, 2 * BLOCK), 0);
	CHECK_RC(stoa_pager_discard(pager, 10 * BLOCK, BLOCK), 0);
	end();
}

TEST(discarded)
{
	begin(16, 8, STOA_PAGER_POISON);
	store_rlx(word_of(4), 77);
	CHECK_RC(stoa_pager_discard(pager, 4 * BLOCK, BLOCK), 0);
	CHECK_EQ(load_rlx(word_of(4)), 5);
	end();
	CHECK_EQ(stored(4)[0], 5);
}

/* However often: all frames are such that this block has left behind. */
TEST_TIMEOUT(given_back_again_and_again, 60)
{
	begin(16, 8, STOA_PAGER_POISON);
	for (unsigned i = 0; i < 20; i++) {
		CHECK_EQ(load_rlx(word_of(4)), 5);
		CHECK_RC(stoa_pager_advise(pager, 4 * BLOCK, BLOCK, STOA_ADVISE_DONT_NEED), 0);
	}
	end();
}

/* A call of the system does not fault: it fails where there is no page. */
TEST(calls_of_the_system)
{
	static const char text[] = "from a file";
	char path[MAX_PATH];
	HANDLE file;
	DWORD got;

	begin(16, 8, STOA_PAGER_POISON);
	snprintf(path, sizeof(path), "%s/file", test_dir());
	file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
	CHECK(file != INVALID_HANDLE_VALUE);
	CHECK(WriteFile(file, text, sizeof(text), &got, NULL));
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(!ReadFile(file, (void *)word_of(1), sizeof(text), &got, NULL));
	CHECK_EQ(GetLastError(), ERROR_NOACCESS);
	CHECK_RC(stoa_pager_pin(pager, BLOCK, BLOCK, STOA_READ | STOA_WRITE), 0);
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(ReadFile(file, (void *)word_of(1), sizeof(text), &got, NULL));
	CHECK_STR((char *)word_of(1), text);
	CloseHandle(file);
	end();
	CHECK_STR((const char *)stored(1), text);
}

static int size_16(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = 16 * BLOCK;
	return 0;
}

static int fill_ones(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context, (void)offset;
	memset(bytes, 1, length);
	return 0;
}

TEST(a_backing_that_only_reads)
{
	static const struct stoa_backing_calls calls = {fill_ones, NULL, NULL, size_16, NULL};

	CHECK_RC(stoa_backing_create(&calls, NULL, &backing), 0);
	pager = pager_make(backing, NULL);
	CHECK(touch_fails((void *)word_of(0), true));
	CHECK(!touch_fails((void *)word_of(0), false));
	CHECK(touch_fails((void *)word_of(0), true));
	CHECK_EQ(*(unsigned char *)word_of(0), 1);
	CHECK_RC(stoa_pager_get(pager, 0, BLOCK, STOA_WRITE), -STOA_ERIGHTS);
	end();
}

/* ---- callbacks that touch ---- */

static struct stoa_pager *other;
static int refused;

/* Of `other`, or with the context of pager. */
static int fill_from_pager(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	if (context) {
		memcpy(bytes, (unsigned char *)stoa_pager_address(pager) + offset, length);
		return 0;
	}
	memset(bytes, 0, length);
	refused = stoa_pager_get(other, offset, length, STOA_READ);
	return refused;
}

static struct stoa_pager *make_nested(void *context, uint32_t rank, struct stoa_backing **ret_backing)
{
	static const struct stoa_backing_calls calls = {fill_from_pager, NULL, NULL, size_16, NULL};
	struct stoa_pager_options options = {.rank = rank};

	CHECK_RC(stoa_backing_create(&calls, context, ret_backing), 0);
	return pager_make(*ret_backing, &options);
}

TEST(nested)
{
	struct stoa_backing *upper, *lower;
	struct stoa_pager *wrong;
	static int context;

	begin(16, 8, STOA_PAGER_POISON);
	other = make_nested(&context, 1, &upper);
	for (uint64_t i = 0; i < 16; i++)
		CHECK_EQ(((uint64_t *)stoa_pager_address(other))[i * BLOCK / 8], i + 1);
	wrong = make_nested(NULL, 1, &lower);
	CHECK_RC(stoa_pager_get(wrong, 0, BLOCK, STOA_READ), -STOA_EDEADLOCK);
	CHECK_EQ(refused, -STOA_EDEADLOCK);
	CHECK_RC(stoa_pager_close(wrong), 0);
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(upper);
	stoa_backing_close(lower);
	end();
}

/* ---- what is not the pager's ---- */

TEST(faults_of_others_are_passed_on)
{
	unsigned char *reserved = VirtualAlloc(NULL, BLOCK, MEM_RESERVE, PAGE_NOACCESS);

	begin(16, 8, STOA_PAGER_POISON);
	CHECK(reserved);
	CHECK(touch_fails(reserved + 8, false));
	CHECK(touch_fails((unsigned char *)word_of(0) + 16 * BLOCK, false)); /* behind the end */
	VirtualFree(reserved, 0, MEM_RELEASE);
	end();
}

TEST(errors_are_as_they_were)
{
	begin(16, 8, STOA_PAGER_POISON);
	errno = EDOM;
	SetLastError(ERROR_CRC);
	CHECK_EQ(load_rlx(word_of(3)), 4);
	CHECK_EQ(GetLastError(), ERROR_CRC);
	CHECK_EQ(errno, EDOM);
	end();
}

/* ---- races ---- */

static _Atomic uint32_t over;
static _Atomic uint64_t written;

static DWORD WINAPI write_on(void *argument)
{
	uintptr_t word = 1 + (uintptr_t)argument;

	while (!load_rlx(&over)) {
		add_rlx(word_of(5) + word, 1);
		add_rlx(&written, 1);
	}
	return 0;
}

/* What is filled for a reader can be written for a moment (trap.c): that must not be lost. */
TEST_TIMEOUT(written_just_when_it_was_filled, 120)
{
	unsigned rounds = test_rounds(200, 20000);
	uint64_t before = 0, sum;
	HANDLE threads[2];

	begin(16, 8, STOA_PAGER_POISON);
	for (uintptr_t i = 0; i < 2; i++)
		threads[i] = start(write_on, i);
	for (unsigned i = 0; i < rounds; i++) {
		CHECK_RC(stoa_pager_advise(pager, 5 * BLOCK, BLOCK, STOA_ADVISE_DONT_NEED), 0);
		CHECK_EQ(load_rlx(word_of(5)), 6);
		while (load_rlx(&written) == before)
			test_nap(0);
		before = load_rlx(&written);
	}
	store_rlx(&over, 1);
	for (unsigned i = 0; i < 2; i++)
		join(threads[i]);
	end();
	sum = stored(5)[1] + stored(5)[2];
	CHECK_EQ(sum, load_rlx(&written));
	test_figure("%llu writes, %llu write-backs", (unsigned long long)load_rlx(&written),
		    (unsigned long long)load_rlx(&store->writes));
}

static DWORD WINAPI squat(void *argument)
{
	void *place = (void *)word_of(7);

	(void)argument;
	while (!VirtualAlloc(place, BLOCK, MEM_RESERVE, PAGE_NOACCESS) && !load_rlx(&over))
		;
	if (!load_rlx(&over))
		store_rlx(&gate, 1);
	return 0;
}

/* Where the system cannot exchange a view for reserved room another may come in between: it is told, and nothing else is lost. */
TEST_TIMEOUT(a_place_that_others_take, 120)
{
	unsigned rounds = test_rounds(300, 20000), i;
	HANDLE thread;
	int rc = 0;

	begin(16, 8, STOA_PAGER_POISON);
	CHECK_EQ(load_rlx(word_of(7)), 8);
	thread = start(squat, 0);
	for (i = 0; i < rounds && !rc; i++) {
		rc = stoa_pager_advise(pager, 7 * BLOCK, BLOCK, STOA_ADVISE_DONT_NEED);
		if (!rc)
			rc = stoa_pager_get(pager, 7 * BLOCK, BLOCK, STOA_READ);
	}
	store_rlx(&over, 1);
	join(thread);
	if (!load_rlx(&gate)) {
		end();
		SKIP("nobody was as fast, in %u rounds", rounds);
	}
	CHECK_EQ(rc, -STOA_ELIMIT);
	CHECK_RC(stoa_pager_get(pager, 7 * BLOCK, BLOCK, STOA_READ), -STOA_ELIMIT);
	CHECK_EQ(load_rlx(word_of(6)), 7);
	CHECK(VirtualFree((void *)word_of(7), 0, MEM_RELEASE)); /* the other goes */
	CHECK_RC(stoa_pager_get(pager, 7 * BLOCK, BLOCK, STOA_READ), 0);
	CHECK_EQ(load_rlx(word_of(7)), 8);
	end();
	test_figure("taken in round %u", i);
}
