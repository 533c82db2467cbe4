/* SPDX-License-Identifier: MIT */
/* What only Windows' sync has to prove: that it asks the system nothing while nobody is in the way. */
#include <harness/test.h>

#include <stoa/stoa.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* ---- calls that leave the program: all go through its import tables ---- */

#define CALLS_MAX 600
static struct {
	void **place;
	void *function;
} calls[CALLS_MAX];
static unsigned call_count;

static void allow_all(void)
{
	while (call_count) {
		call_count--;
		*calls[call_count].place = calls[call_count].function;
	}
}

static void called(void)
{
	allow_all();
	test_fail(__FILE__, __LINE__, "%s", "a function of the system was called");
}

/* Neither do these ask the kernel: they read the thread's own block. */
static bool is_harmless(const char *name)
{
	static const char *const harmless[] = {"TlsGetValue", "GetLastError", "SetLastError", "GetCurrentThreadId"};

	for (size_t i = 0; i < CC_COUNT(harmless); i++)
		if (strcmp(name, harmless[i]) == 0)
			return true;
	return false;
}

static void forbid_table(unsigned char *base, const IMAGE_IMPORT_DESCRIPTOR *library)
{
	const IMAGE_THUNK_DATA *names = (const void *)(base + library->OriginalFirstThunk);
	/* By itself, as its own place is among those that change. */
	static BOOL(WINAPI * protect)(void *address, SIZE_T size, DWORD access, DWORD *before);
	void **places = (void *)(base + library->FirstThunk);
	DWORD before;

	if (!protect)
		protect = VirtualProtect;

	for (size_t i = 0; names[i].u1.AddressOfData; i++) {
		const IMAGE_IMPORT_BY_NAME *import = (const void *)(base + names[i].u1.AddressOfData);
		void (*stand_in)(void) = called;

		if (names[i].u1.Ordinal & IMAGE_ORDINAL_FLAG || is_harmless((const char *)import->Name))
			continue;
		CHECK_INT(call_count, <, CALLS_MAX);
		CHECK(protect(&places[i], sizeof(*places), PAGE_READWRITE, &before));
		calls[call_count].place = &places[i];
		calls[call_count].function = places[i];
		call_count++;
		memcpy(&places[i], &stand_in, sizeof(stand_in));
	}
}

static bool is_systems(const char *library)
{
	return _strnicmp(library, "kernel32", 8) == 0 || _strnicmp(library, "ntdll", 5) == 0 ||
	       _strnicmp(library, "advapi32", 8) == 0 || _strnicmp(library, "api-ms-win-core", 15) == 0;
}

/* From here on a call of the system's libraries ends the test. */
static void forbid_all(void)
{
	unsigned char *base = (unsigned char *)GetModuleHandleA(NULL);
	const IMAGE_NT_HEADERS *headers = (const void *)(base + ((const IMAGE_DOS_HEADER *)(void *)base)->e_lfanew);
	const IMAGE_DATA_DIRECTORY *imports = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];

	for (const IMAGE_IMPORT_DESCRIPTOR *library = (const void *)(base + imports->VirtualAddress); library->Name;
	     library++)
		if (is_systems((const char *)(base + library->Name)))
			forbid_table(base, library);
	CHECK_INT(call_count, >, 50);
}

/* ---- */

struct board {
	struct stoa_mutex mutex;
	struct stoa_event event, manual;
	struct stoa_semaphore semaphore;
};

static void use_all(struct stoa_segment *segment, struct board *board)
{
	struct stoa_waitable set[] = {{segment, &board->event, STOA_WAIT_EVENT, 0},
				      {segment, &board->mutex, STOA_WAIT_MUTEX, 0},
				      {segment, &board->semaphore, STOA_WAIT_SEMAPHORE, 0}};
	size_t index;

	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_FOREVER), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_set(segment, &board->manual), 0);
	CHECK_RC(stoa_event_wait(segment, &board->manual, STOA_FOREVER), 0);
	CHECK_RC(stoa_event_reset(segment, &board->manual), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 2), 0);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_FOREVER), 0);
	CHECK_RC(stoa_wait_any(set, 3, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_wait_all(set, 3, STOA_FOREVER, NULL), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_segment_commit(segment, 4096), 0);
}

TEST(without_contention_the_system_is_not_asked)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_segment *segment;
	struct board *board;

	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &options, &segment), 0);
	board = stoa_segment_address(segment);
	CHECK_RC(stoa_mutex_init(segment, &board->mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, &board->event, 0), 0);
	CHECK_RC(stoa_event_init(segment, &board->manual, STOA_MANUAL), 0);
	CHECK_RC(stoa_semaphore_init(segment, &board->semaphore, 0, 5), 0);
	use_all(segment, board); /* the first time takes part, and finds out */
	forbid_all();
	for (unsigned i = 0; i < 1000; i++)
		use_all(segment, board);
	allow_all();
	stoa_segment_close(segment);
}

static void ask(void)
{
	forbid_all();
	SetEvent(NULL);
}

TEST_MUST_FAIL(a_call_would_be_seen, "a function of the system was called")
{
	ask();
}
