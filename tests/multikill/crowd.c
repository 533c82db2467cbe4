/* SPDX-License-Identifier: MIT */
/* See crowd.h. */
#include <multikill/crowd.h>

#include <kill/system.h>
#include <os/os.h>
#include <unistd.h>

struct stoa_segment *segment;
struct stoa_mutex *mutex;
struct stoa_event *event;
struct stoa_semaphore *semaphore;
struct reports *reports;
uint32_t rescues;

static void find_objects(void)
{
	mutex = stoa_segment_address(segment);
	event = (void *)((char *)stoa_segment_address(segment) + 64);
	semaphore = (void *)((char *)stoa_segment_address(segment) + 128);
}

void set_up(void)
{
	const struct stoa_segment_options options = {.commit = 4096, .roster_slots = 32};

	CHECK_RC(stoa_segment_create(NULL, 1 << 16, &options, &segment), 0);
	find_objects();
	test_share(&segment, find_objects);
	reports = test_shared(sizeof(*reports));
}

void fresh(void)
{
	memset(reports, 0, sizeof(*reports));
	CHECK_RC(stoa_mutex_init(segment, mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, event, 0), 0);
	CHECK_RC(stoa_semaphore_init(segment, semaphore, 0, 100), 0);
}

void begin(void *argument, unsigned cpu)
{
	reports = argument;
	run_on(cpu);
}

void report_and_stay(int result)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	CHECK(result >= 0);
	atomic_fetch_add(&reports->rescued, (uint32_t)stat.rescues);
	atomic_fetch_add(&reports->done, 1);
	test_pause();
}

void waiter(void *argument)
{
	int result;

	begin(argument, 0);
	atomic_fetch_add(&reports->ready, 1);
	result = stoa_mutex_lock(segment, mutex, STOA_FOREVER);
	/* Before it is given back: who dies in between has others told. */
	atomic_fetch_add(&reports->died, result == STOA_OWNER_DIED);
	if (result >= 0)
		CHECK_RC(stoa_mutex_unlock(segment, mutex), 0);
	report_and_stay(result);
}

void expect_no_rescue(unsigned round)
{
	if (os_capabilities()->relays_wakes && atomic_load(&reports->rescued))
		test_fail(__FILE__, __LINE__, LOST " and found by the periodic re-check, round %u", round);
}

void expect_done(uint32_t count, unsigned round)
{
	uint64_t end = stoa_deadline_in(LIMIT);

	while (atomic_load(&reports->done) < count && stoa_now() < end)
		usleep(200);
	if (atomic_load(&reports->done) < count)
		test_fail(__FILE__, __LINE__, LOST ": %u of %u survivors came through, round %u",
			  atomic_load(&reports->done), count, round);
	expect_no_rescue(round);
	rescues += atomic_load(&reports->rescued);
}
