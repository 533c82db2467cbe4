/* SPDX-License-Identifier: MIT */
/* Plain kernel objects: with an ordinary Win32 program on the other side (tests/windows/foreign.c), and what each call promises. */
#include <harness/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <windows/start.h>

#define SIZE 65536
#define SECOND UINT64_C(1000000000)
#define SOON stoa_deadline_in(20 * SECOND)

static const char *named(const char *what)
{
	static char names[16][256];
	static unsigned next;
	char *name = names[next++ % CC_COUNT(names)];

	snprintf(name, sizeof(names[0]), "%s.%s", test_name("kernel"), what);
	return name;
}

static struct stoa_kernel *make(const char *what, uint32_t kind, const struct stoa_sync_options *options)
{
	struct stoa_kernel *object = NULL;

	CHECK_RC(stoa_kernel_open(named(what), kind, options, &object), 0);
	return object;
}

static struct stoa_kernel *find(const char *what, uint32_t kind)
{
	struct stoa_sync_options options = {.disposition = STOA_OPEN_ONLY};
	struct stoa_kernel *object = NULL;

	CHECK_RC(stoa_kernel_open(named(what), kind, &options, &object), STOA_EXISTED);
	return object;
}

/* The other program, which lies beside this one. */
static HANDLE start_foreign(const char *what)
{
	PROCESS_INFORMATION process;
	char path[600], line[1000], *name;

	GetModuleFileNameA(NULL, path, sizeof(path) - 20);
	name = strrchr(path, '\\');
	strcpy(name ? name + 1 : path, "foreign.exe");
	snprintf(line, sizeof(line), "\"%s\" %s %s", path, what, test_name("kernel"));
	CHECK(start_program(line, true, 0, NULL, &process));
	CloseHandle(process.hThread);
	return process.hProcess;
}

static void join_foreign(HANDLE process)
{
	DWORD code = 1;

	CHECK_EQ(WaitForSingleObject(process, 20000), WAIT_OBJECT_0);
	CHECK(GetExitCodeProcess(process, &code));
	CHECK_EQ(code, 0);
	CloseHandle(process);
}

TEST(a_foreign_program_uses_our_objects)
{
	struct stoa_sync_options owned = {.flags = STOA_OWNED}, manual = {.flags = STOA_MANUAL}, three = {.maximum = 3};
	struct stoa_kernel *mutex = make("mutex", STOA_KERNEL_MUTEX, &owned);
	struct stoa_kernel *event = make("event", STOA_KERNEL_EVENT, NULL);
	struct stoa_kernel *semaphore = make("semaphore", STOA_KERNEL_SEMAPHORE, &three);
	struct stoa_kernel *done = make("done", STOA_KERNEL_EVENT, &manual);
	struct stoa_segment *segment;
	HANDLE foreign;

	CHECK_RC(stoa_kernel_segment(named("section"), SIZE, STOA_CREATE_ONLY, 0, &segment), 0);
	CHECK_EQ(stoa_segment_committed(segment), SIZE);
	strcpy(stoa_segment_address(segment), "from stoa");
	foreign = start_foreign("use");
	CHECK_RC(stoa_kernel_wait(semaphore, SOON), 0); /* it has found the mutex held */
	CHECK_RC(stoa_kernel_unlock(mutex), 0);
	CHECK_RC(stoa_kernel_wait(semaphore, SOON), 0);
	CHECK_RC(stoa_kernel_wait(mutex, SOON), 0);
	CHECK_STR((const char *)stoa_segment_address(segment), "from Win32");
	CHECK_RC(stoa_kernel_unlock(mutex), 0);
	CHECK_RC(stoa_kernel_wait(semaphore, SOON), 0);
	CHECK_RC(stoa_kernel_wait(semaphore, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_kernel_set(event), 0);
	CHECK_RC(stoa_kernel_wait(done, SOON), 0);
	CHECK_RC(stoa_kernel_wait(done, STOA_TRY), 0);
	join_foreign(foreign);
	stoa_segment_close(segment);
	stoa_kernel_close(mutex);
	stoa_kernel_close(event);
	stoa_kernel_close(semaphore);
	stoa_kernel_close(done);
}

/* The sections that the foreign program has made: one wholly committed, of the other one page. */
static void use_sections(void)
{
	struct stoa_segment *whole, *reserved;

	CHECK_RC(stoa_kernel_segment(named("section"), 2 * SIZE, STOA_OPEN_ONLY, 0, &whole), -STOA_ERANGE);
	CHECK_RC(stoa_kernel_segment(named("section"), SIZE, STOA_CREATE_ONLY, 0, &whole), -STOA_EEXIST);
	CHECK_RC(stoa_kernel_segment(named("mutex"), 0, STOA_OPEN_ONLY, 0, &whole), -STOA_EKIND);
	CHECK_RC(stoa_kernel_segment(named("section"), SIZE, 0, 0, &whole), STOA_EXISTED);
	CHECK_RC(stoa_kernel_segment(named("reserve"), 0, STOA_OPEN_ONLY, 0, &reserved), STOA_EXISTED);
	CHECK_EQ(stoa_segment_reserve(whole), SIZE);
	CHECK_EQ(stoa_segment_reserve(reserved), SIZE);
	CHECK_EQ(stoa_segment_committed(whole), SIZE);
	CHECK_EQ(stoa_segment_committed(reserved), 4096);
	CHECK_STR((const char *)stoa_segment_address(whole), "from Win32");
	CHECK_STR((const char *)stoa_segment_address(reserved), "reserved by Win32");
	CHECK_RC(stoa_segment_commit(reserved, SIZE / 2), 0);
	strcpy(stoa_segment_address(whole), "from stoa");
	((char *)stoa_segment_address(reserved))[SIZE / 2 - 1] = 7;
	stoa_segment_close(whole);
	stoa_segment_close(reserved);
}

TEST(we_use_a_foreign_programs_objects)
{
	struct stoa_kernel *ready = make("ready", STOA_KERNEL_EVENT, NULL);
	struct stoa_kernel *again = make("again", STOA_KERNEL_EVENT, NULL);
	struct stoa_sync_options open = {.disposition = STOA_OPEN_ONLY};
	struct stoa_kernel *mutex, *event, *semaphore, *wrong;
	HANDLE foreign = start_foreign("make");

	CHECK_RC(stoa_kernel_wait(ready, SOON), 0);
	CHECK_RC(stoa_kernel_open(named("mutex"), STOA_KERNEL_EVENT, &open, &wrong), -STOA_EKIND);
	CHECK_RC(stoa_kernel_open(named("event"), STOA_KERNEL_SEMAPHORE, NULL, &wrong), -STOA_EKIND);
	mutex = find("mutex", STOA_KERNEL_MUTEX);
	event = find("event", STOA_KERNEL_EVENT);
	semaphore = find("semaphore", STOA_KERNEL_SEMAPHORE);
	use_sections();
	CHECK_RC(stoa_kernel_wait(mutex, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_kernel_unlock(mutex), -STOA_ENOTOWNER);
	CHECK_RC(stoa_kernel_post(semaphore, 3), -STOA_EOVERFLOW);
	CHECK_RC(stoa_kernel_post(semaphore, 1), 0);
	CHECK_RC(stoa_kernel_set(event), 0);
	CHECK_RC(stoa_kernel_wait(mutex, SOON), 0); /* it has checked all that, and let go */
	CHECK_RC(stoa_kernel_set(again), 0);
	CHECK_RC(stoa_kernel_unlock(mutex), 0);
	CHECK_RC(stoa_kernel_wait(ready, SOON), 0); /* it has the mutex, and ends with it */
	CHECK_RC(stoa_kernel_wait(mutex, SOON), STOA_OWNER_DIED);
	CHECK_RC(stoa_kernel_unlock(mutex), 0);
	join_foreign(foreign);
	stoa_kernel_close(mutex);
	stoa_kernel_close(event);
	stoa_kernel_close(semaphore);
	stoa_kernel_close(ready);
	stoa_kernel_close(again);
}

TEST(one_of_several_is_taken)
{
	struct stoa_sync_options two = {.initial = 2, .maximum = 2}, manual = {.flags = STOA_MANUAL};
	struct stoa_kernel *set[3] = {make("event", STOA_KERNEL_EVENT, &manual), make("mutex", STOA_KERNEL_MUTEX, NULL),
				      make("semaphore", STOA_KERNEL_SEMAPHORE, &two)};
	struct stoa_kernel *twice[2] = {set[0], set[0]};
	size_t index = 7;
	uint64_t until;

	CHECK_RC(stoa_kernel_wait_any(twice, 2, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_wait_any(set, 0, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_wait_any(set, 33, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_EQ(index, 7);
	CHECK_RC(stoa_kernel_wait_any(set, 3, STOA_TRY, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_kernel_wait_any(set, 3, STOA_TRY, &index), 0); /* recursive: locked once more */
	CHECK_RC(stoa_kernel_unlock(set[1]), 0);
	CHECK_RC(stoa_kernel_unlock(set[1]), 0);
	CHECK_RC(stoa_kernel_unlock(set[1]), -STOA_ENOTOWNER);
	CHECK_RC(stoa_kernel_set(set[0]), 0);
	CHECK_RC(stoa_kernel_wait_any(set, 3, STOA_TRY, &index), 0);
	CHECK_EQ(index, 0);
	CHECK_RC(stoa_kernel_reset(set[0]), 0);
	CHECK_RC(stoa_kernel_wait_any(&set[2], 1, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_kernel_wait(set[2], STOA_FOREVER), 0);
	until = stoa_deadline_in(SECOND / 50);
	CHECK_RC(stoa_kernel_wait(set[2], until), STOA_TIMED_OUT);
	CHECK_INT(stoa_now(), >=, until);
	for (unsigned i = 0; i < 3; i++)
		stoa_kernel_close(set[i]);
}

TEST(misuse_is_an_error)
{
	struct stoa_sync_options create = {.disposition = STOA_CREATE_ONLY}, open = {.disposition = STOA_OPEN_ONLY};
	struct stoa_sync_options looks = {.rights = STOA_RIGHT_WAIT}, tells = {.rights = STOA_RIGHT_SIGNAL};
	struct stoa_sync_options wrong = {.flags = STOA_MANUAL}, counts = {.initial = 3, .maximum = 2};
	struct stoa_kernel *event = make("event", STOA_KERNEL_EVENT, NULL), *other = NULL, *waiter, *setter;
	struct stoa_segment *segment = NULL;
	char long_name[400];

	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	CHECK_RC(stoa_kernel_open(NULL, STOA_KERNEL_EVENT, NULL, &other), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_open(named("x"), 4, NULL, &other), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_open(named("x"), STOA_KERNEL_MUTEX, &wrong, &other), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_open(named("x"), STOA_KERNEL_SEMAPHORE, &counts, &other), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_open("", STOA_KERNEL_EVENT, NULL, &other), -STOA_ENAME);
	CHECK_RC(stoa_kernel_open(long_name, STOA_KERNEL_EVENT, NULL, &other), -STOA_ENAME);
	CHECK_RC(stoa_kernel_open(named("x"), STOA_KERNEL_EVENT, &open, &other), -STOA_ENOENT);
	CHECK_RC(stoa_kernel_open(named("event"), STOA_KERNEL_EVENT, &create, &other), -STOA_EEXIST);
	CHECK_RC(stoa_kernel_open(named("event"), STOA_KERNEL_MUTEX, &create, &other), -STOA_EKIND);
	CHECK_RC(stoa_kernel_open(named("event"), STOA_KERNEL_EVENT, &looks, &waiter), STOA_EXISTED);
	CHECK_RC(stoa_kernel_open(named("event"), STOA_KERNEL_EVENT, &tells, &setter), STOA_EXISTED);
	CHECK_RC(stoa_kernel_set(waiter), -STOA_ERIGHTS);
	CHECK_RC(stoa_kernel_wait(setter, STOA_TRY), -STOA_ERIGHTS);
	CHECK_RC(stoa_kernel_set(setter), 0);
	CHECK_RC(stoa_kernel_wait(waiter, STOA_TRY), 0);
	CHECK_RC(stoa_kernel_unlock(event), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_post(event, 1), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_wait(NULL, STOA_TRY), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_segment(named("s"), 0, 0, 0, &segment), -STOA_ENOENT);
	CHECK_RC(stoa_kernel_segment(named("s"), 0, STOA_CREATE_ONLY, 0, &segment), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_segment(named("s"), SIZE, 0, STOA_READ_ONLY, &segment), -STOA_EINVAL);
	CHECK(!other && !segment);
	stoa_kernel_close(NULL);
	stoa_kernel_close(event);
	stoa_kernel_close(waiter);
	stoa_kernel_close(setter);
	CHECK_RC(stoa_kernel_open(named("event"), STOA_KERNEL_EVENT, &open, &other),
		 -STOA_ENOENT); /* with its last handle */
}

TEST(our_reserved_section_is_committed_for_all)
{
	struct stoa_segment *segment, *reader;

	CHECK_RC(stoa_kernel_segment(named("s"), SIZE, 0, STOA_KERNEL_RESERVE, &segment), 0);
	CHECK_RC(stoa_kernel_segment(named("s"), 0, STOA_OPEN_ONLY, STOA_READ_ONLY, &reader), STOA_EXISTED);
	CHECK(stoa_segment_address(segment) != stoa_segment_address(reader));
	CHECK_EQ(stoa_segment_committed(reader), 0);
	CHECK_RC(stoa_segment_commit(segment, SIZE / 2), 0);
	CHECK_EQ(stoa_segment_committed(reader), SIZE / 2);
	*(char *)stoa_segment_address(segment) = 5;
	CHECK_EQ(*(const char *)stoa_segment_address(reader), 5);
	CHECK_RC(stoa_segment_commit(reader, SIZE), -STOA_ERIGHTS);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), 0), -STOA_ENOTSUP);
	stoa_segment_close(segment);
	stoa_segment_close(reader);
}
