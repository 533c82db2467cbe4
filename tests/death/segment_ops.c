/* SPDX-License-Identifier: MIT */
/*
 * Scenes of segments and their names: a name leads to a complete segment or to nothing, users keep what they have open, and what the
 * dead leave behind goes with the next opener or gc. Uses death.h.
 */
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "death.h"

#include <os/os.h>

#define RESERVE (UINT64_C(64) << 20)
#define COMMIT (UINT64_C(5) << 20)

/* The handle of the process that calls: the world's, the victim's. */
static struct stoa_segment **mine(struct step_world *world)
{
	return &death_scene(world)->segment;
}

static int setup_nothing(struct step_world *world)
{
	world->local = calloc(1, sizeof(struct death_scene));
	return world->local ? 0 : step_bad(world, "out of memory");
}

/* ---- what must be there ---- */

/* Entries of the directory that belong to this world. */
static int names_left(const struct step_world *world)
{
	DIR *directory = opendir(world->names);
	struct dirent *entry;
	int count = 0;

	while (directory && (entry = readdir(directory)) != NULL)
		count += strstr(entry->d_name, world->token) != NULL;
	if (directory)
		closedir(directory);
	return count;
}

static int no_names_left(struct step_world *world)
{
	int left = names_left(world);

	return left ? step_bad(world, "%d names are left, also after an opener came by", left) : 0;
}

static int check_complete(struct step_world *world, struct stoa_segment *segment)
{
	struct stoa_mutex *mutex = stoa_segment_address(segment);
	int result;

	if (stoa_segment_reserve(segment) != RESERVE || stoa_segment_committed(segment) < 4096)
		return step_bad(world, "an incomplete segment: reserve %llu, committed %llu",
				(unsigned long long)stoa_segment_reserve(segment),
				(unsigned long long)stoa_segment_committed(segment));
	result = stoa_mutex_init(segment, mutex, 0);
	if (!result)
		result = stoa_mutex_lock(segment, mutex, death_deadline(world));
	if (!result)
		result = stoa_mutex_unlock(segment, mutex);
	return result ? step_bad(world, "the segment cannot be used: %s", stoa_error_detail()) : 0;
}

/* 0 nothing has the name, 1 a complete segment has it. */
static int look(struct step_world *world)
{
	struct stoa_segment *segment;
	int result = stoa_segment_open(world->token, NULL, &segment);

	if (result == -STOA_ENOENT)
		return 0;
	if (result)
		return step_bad(world, "open: %s: %s", stoa_error_name(result), stoa_error_detail());
	result = check_complete(world, segment);
	stoa_segment_close(segment);
	return result < 0 ? result : 1;
}

/* A new segment of that name can be made and goes again: nothing of the old one is in the way. */
static int check_name_is_free(struct step_world *world)
{
	const struct stoa_segment_options options = {.commit = 4096};
	struct stoa_segment *segment;
	int result = stoa_segment_create(world->token, RESERVE, &options, &segment);

	if (result)
		return step_bad(world, "the name is not free again: %s", stoa_error_detail());
	result = check_complete(world, segment);
	stoa_segment_close(segment);
	return result < 0 ? result : no_names_left(world);
}

/* ---- creating ---- */

static void create(struct step_world *world, const char *name, uint32_t flags)
{
	const struct stoa_segment_options options = {.flags = flags, .commit = 4096, .roster_slots = 4};

	death_must(world, stoa_segment_create(name, RESERVE, &options, mine(world)));
}

static void create_unnamed(struct step_world *world)
{
	create(world, NULL, 0);
}

static void create_transient(struct step_world *world)
{
	create(world, world->token, 0);
}

static void create_persistent(struct step_world *world)
{
	create(world, world->token, STOA_PERSISTENT);
}

static int verify_nothing(struct step_world *world)
{
	int found = look(world);

	if (found)
		return found < 0 ? found
				 : step_bad(world, "the name of a transient segment without users leads somewhere");
	return check_name_is_free(world) < 0 ? -1 : 0;
}

static int verify_unnamed(struct step_world *world)
{
	return no_names_left(world) < 0 ? -1 : 0;
}

static int verify_persistent(struct step_world *world)
{
	int found = look(world);

	if (found == 1 && stoa_segment_unlink(world->token, 0))
		return step_bad(world, "unlink: %s", stoa_error_detail());
	if (found < 0)
		return found;
	return check_name_is_free(world) < 0 ? -1 : found;
}

/* Somebody else: opens, says how that went, and closes when told. */
static void opener(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	struct stoa_segment *segment;
	int result;

	atomic_store(&reports->ready, 1);
	result = stoa_segment_open(world->token, NULL, &segment);
	if (result && result != -STOA_ENOENT)
		step_bad(world, "open: %s: %s", stoa_error_name(result), stoa_error_detail());
	else if (!result && check_complete(world, segment) == 0)
		atomic_store(&reports->started, 1);
	atomic_store(&reports->done, 1);
	while (!atomic_load(&reports->go))
		usleep(200);
	if (!result)
		stoa_segment_close(segment);
	atomic_store(&reports->released, 1);
}

/*
 * He begins while the victim stands still, and may have to wait for it; then the victim dies. He gets nothing, or a complete segment
 * that the death does not touch.
 */
static int meet_opener(struct step_world *world)
{
	if (step_helper(world, opener) < 0 || !step_reaches(world, &death_reports(world)->ready, 1))
		return step_bad(world, "the opener does not begin");
	usleep(500);
	return 0;
}

/* Who has it open keeps it, under its name; when he goes, it goes. */
static int settle_opener(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int found;

	if (!step_reaches(world, &reports->done, 1))
		return step_bad(world, "the opener waits for the dead");
	if (world->message[0])
		return -1;
	if (atomic_load(&reports->started)) {
		found = look(world);
		if (found <= 0)
			return found < 0 ? found : step_bad(world, "the name is gone although the segment is in use");
	}
	atomic_store(&reports->go, 1);
	return step_reaches(world, &reports->released, 1) ? 0 : step_bad(world, "the opener does not close");
}

/* The same with the world itself as the user from before. */
static int settle_user(struct step_world *world)
{
	int found = look(world);

	if (found <= 0)
		return found < 0 ? found : step_bad(world, "the name is gone although the segment is in use");
	if (check_complete(world, *mine(world)) < 0)
		return -1;
	stoa_segment_close(*mine(world));
	return no_names_left(world);
}

static int verify_met(struct step_world *world)
{
	if (atomic_load(&death_reports(world)->started) && no_names_left(world) < 0)
		return -1;
	return verify_nothing(world) < 0 ? -1 : (int)atomic_load(&death_reports(world)->started);
}

static void create_or_open(struct step_world *world)
{
	const struct stoa_segment_options options = {.flags = STOA_PERSISTENT, .commit = 4096, .roster_slots = 4};

	death_must(world, stoa_segment_create_or_open(world->token, RESERVE, &options, mine(world)));
}

/* ---- opening, closing, unlinking ---- */

static int setup_transient(struct step_world *world)
{
	if (setup_nothing(world) < 0)
		return -1;
	create_transient(world);
	return 0;
}

static int setup_persistent(struct step_world *world)
{
	if (setup_nothing(world) < 0)
		return -1;
	create_persistent(world);
	stoa_segment_close(*mine(world));
	*mine(world) = NULL;
	return 0;
}

static void open_it(struct step_world *world)
{
	death_must(world, stoa_segment_open(world->token, NULL, mine(world)));
}

static void close_it(struct step_world *world)
{
	stoa_segment_close(*mine(world));
}

static void unlink_it(struct step_world *world)
{
	death_must(world, stoa_segment_unlink(world->token, 0));
}

static int verify_kept(struct step_world *world)
{
	return verify_persistent(world) == 1 ? 0 : step_bad(world, "a persistent segment is gone");
}

static int verify_unlinked(struct step_world *world)
{
	int found = verify_persistent(world);

	return found < 0 ? found : !found;
}

/* ---- committing ---- */

static void commit(struct step_world *world)
{
	death_must(world, stoa_segment_commit(*mine(world), COMMIT));
}

static int setup_unnamed(struct step_world *world)
{
	if (setup_nothing(world) < 0)
		return -1;
	create_unnamed(world);
	return 0;
}

/* All that is committed can be touched, and the rest can be committed by anybody. */
static int verify_committed(struct step_world *world)
{
	struct stoa_segment *segment = *mine(world);
	uint64_t length = stoa_segment_committed(segment);

	if (length < 4096 || length > COMMIT || length % stoa_page_size())
		return step_bad(world, "committed %llu", (unsigned long long)length);
	memset(stoa_segment_address(segment), 1, length);
	if (stoa_segment_commit(segment, COMMIT) || stoa_segment_committed(segment) != COMMIT)
		return step_bad(world, "commit after the death: %s", stoa_error_detail());
	memset(stoa_segment_address(segment), 2, COMMIT);
	return length == 4096 ? 0 : length == COMMIT ? 2 : 1;
}

/* ---- gc ---- */

/* A transient segment whose only user is dead. */
static void abandon(struct step_world *world)
{
	create_transient(world);
	raise(SIGKILL);
}

static int setup_orphan(struct step_world *world)
{
	if (setup_nothing(world) < 0 || step_helper(world, abandon) < 0)
		return -1;
	waitpid(world->helpers[0], NULL, 0);
	world->helpers[0] = 0;
	return names_left(world) ? 0 : step_bad(world, "there is nothing to sweep");
}

static void sweep(struct step_world *world)
{
	uint32_t removed;

	death_must(world, os_name_sweep(0, &removed));
}

/* Left by the dead sweeper or not, the next one takes it. */
static int verify_swept(struct step_world *world)
{
	int left = names_left(world);

	sweep(world);
	return no_names_left(world) < 0 ? -1 : left == 0;
}

/* ---- objects by name ---- */

static void open_mutex(struct step_world *world)
{
	const struct stoa_sync_options options = {.segment_flags = STOA_PERSISTENT, .flags = STOA_OWNED};
	struct stoa_mutex *mutex;

	death_must(world, stoa_mutex_open(world->token, &options, mine(world), &mutex));
}

static int verify_mutex(struct step_world *world)
{
	const struct stoa_sync_options options = {.disposition = STOA_OPEN_ONLY};
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;
	int result = stoa_mutex_open(world->token, &options, &segment, &mutex);

	if (result == -STOA_ENOENT)
		return check_name_is_free(world) < 0 ? -1 : 0;
	if (result != STOA_EXISTED)
		return step_bad(world, "open: %s: %s", stoa_error_name(result), stoa_error_detail());
	result = stoa_mutex_lock(segment, mutex, death_deadline(world));
	if (result != STOA_OWNER_DIED || stoa_mutex_unlock(segment, mutex))
		return step_bad(world, "the initial owner died, lock gave %s", stoa_error_name(result));
	stoa_segment_close(segment);
	if (stoa_segment_unlink(world->token, 0))
		return step_bad(world, "unlink: %s", stoa_error_detail());
	return check_name_is_free(world) < 0 ? -1 : 1;
}

static void open_semaphore(struct step_world *world)
{
	const struct stoa_sync_options options = {.segment_flags = STOA_PERSISTENT, .initial = 3, .maximum = 7};
	struct stoa_semaphore *semaphore;

	death_must(world, stoa_semaphore_open(world->token, &options, mine(world), &semaphore));
}

static int verify_semaphore(struct step_world *world)
{
	const struct stoa_sync_options options = {.disposition = STOA_OPEN_ONLY};
	struct stoa_segment *segment;
	struct stoa_semaphore *semaphore;
	int result = stoa_semaphore_open(world->token, &options, &segment, &semaphore), count = 0;

	if (result == -STOA_ENOENT)
		return check_name_is_free(world) < 0 ? -1 : 0;
	if (result != STOA_EXISTED)
		return step_bad(world, "open: %s: %s", stoa_error_name(result), stoa_error_detail());
	while (count < 9 && stoa_semaphore_wait(segment, semaphore, STOA_TRY) == 0)
		count++;
	stoa_segment_close(segment);
	if (count != 3 || stoa_segment_unlink(world->token, 0))
		return step_bad(world, "a new semaphore of 3 has %d", count);
	return check_name_is_free(world) < 0 ? -1 : 1;
}

static void open_event(struct step_world *world)
{
	const struct stoa_sync_options options = {.segment_flags = STOA_PERSISTENT,
						  .flags = STOA_MANUAL | STOA_SIGNALED};
	struct stoa_event *event;

	death_must(world, stoa_event_open(world->token, &options, mine(world), &event));
}

static int verify_event(struct step_world *world)
{
	const struct stoa_sync_options options = {.disposition = STOA_OPEN_ONLY};
	struct stoa_segment *segment;
	struct stoa_event *event;
	int result = stoa_event_open(world->token, &options, &segment, &event), passed = 0;

	if (result == -STOA_ENOENT)
		return check_name_is_free(world) < 0 ? -1 : 0;
	if (result != STOA_EXISTED)
		return step_bad(world, "open: %s: %s", stoa_error_name(result), stoa_error_detail());
	while (passed < 2 && stoa_event_wait(segment, event, STOA_TRY) == 0)
		passed++;
	stoa_segment_close(segment);
	if (passed != 2 || stoa_segment_unlink(world->token, 0))
		return step_bad(world, "a new manual event that is set let %d of 2 pass", passed);
	return check_name_is_free(world) < 0 ? -1 : 1;
}

const struct step_operation segment_operations[] = {
	{.name = "create unnamed",
	 .outcome_names = {"gone"},
	 .setup = setup_nothing,
	 .operate = create_unnamed,
	 .verify = verify_unnamed},
	{.name = "create transient",
	 .outcome_names = {"gone"},
	 .setup = setup_nothing,
	 .operate = create_transient,
	 .verify = verify_nothing},
	{.name = "create persistent",
	 .outcome_names = {"gone", "complete"},
	 .setup = setup_nothing,
	 .operate = create_persistent,
	 .verify = verify_persistent},
	{.name = "create_or_open",
	 .outcome_names = {"gone", "complete"},
	 .setup = setup_nothing,
	 .operate = create_or_open,
	 .verify = verify_persistent},
	{.name = "create, met by an opener",
	 .outcome_names = {"nothing", "kept"},
	 .setup = setup_nothing,
	 .operate = create_transient,
	 .meet = meet_opener,
	 .settle = settle_opener,
	 .verify = verify_met,
	 .unordered = true},
	{.name = "open",
	 .outcome_names = {"kept"},
	 .setup = setup_persistent,
	 .operate = open_it,
	 .verify = verify_kept},
	{.name = "open, in use",
	 .outcome_names = {"kept"},
	 .setup = setup_transient,
	 .operate = open_it,
	 .settle = settle_user,
	 .verify = verify_nothing},
	{.name = "close, the last user",
	 .outcome_names = {"gone"},
	 .setup = setup_nothing,
	 .prepare = create_transient,
	 .operate = close_it,
	 .verify = verify_nothing},
	{.name = "close, in use",
	 .outcome_names = {"kept"},
	 .setup = setup_transient,
	 .prepare = open_it,
	 .operate = close_it,
	 .settle = settle_user,
	 .verify = verify_nothing},
	{.name = "close persistent",
	 .outcome_names = {"kept"},
	 .setup = setup_persistent,
	 .prepare = open_it,
	 .operate = close_it,
	 .verify = verify_kept},
	{.name = "unlink",
	 .outcome_names = {"complete", "gone"},
	 .setup = setup_persistent,
	 .operate = unlink_it,
	 .verify = verify_unlinked},
	{.name = "commit",
	 .outcome_names = {"before", "part", "after"},
	 .setup = setup_unnamed,
	 .operate = commit,
	 .verify = verify_committed},
	{.name = "gc",
	 .outcome_names = {"left", "swept"},
	 .setup = setup_orphan,
	 .operate = sweep,
	 .verify = verify_swept},
	{.name = "mutex by name",
	 .outcome_names = {"gone", "complete"},
	 .setup = setup_nothing,
	 .operate = open_mutex,
	 .verify = verify_mutex},
	{.name = "event by name",
	 .outcome_names = {"gone", "complete"},
	 .setup = setup_nothing,
	 .operate = open_event,
	 .verify = verify_event},
	{.name = "semaphore by name",
	 .outcome_names = {"gone", "complete"},
	 .setup = setup_nothing,
	 .operate = open_semaphore,
	 .verify = verify_semaphore},
	{.name = NULL},
};
