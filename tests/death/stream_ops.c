/* SPDX-License-Identifier: MIT */
/*
 * Scenes of streams: what a writer had written is read, what it had not is as if it never was, and its end is told as what it was; who
 * sleeps is woken; a place that nobody ever had is free, one that somebody had is not. Uses death.h, and the stream's layout.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "death.h"

#include <channel/stream.h>

#define RING 4096
#define LENGTH 100 /* of what is written at a time */

struct stream_scene {
	struct stoa_segment *segment;
	struct stoa_stream *stream;
	struct stoa_stream *to_write, *to_read; /* the same, or what was granted */
	struct stoa_writer *writer;             /* of the process that joined */
	struct stoa_reader *reader;
	unsigned char bytes[64 * RING]; /* of the stream */
};

static struct stream_scene *scene_of(const struct step_world *world)
{
	return world->local;
}

static struct channel_lane *lane_of(const struct step_world *world)
{
	return &scene_of(world)->stream->channel.lanes[0];
}

static int set_up(struct step_world *world)
{
	const struct stoa_segment_options segment_options = {.roster_slots = 12};
	const struct stoa_stream_options options = {.ring = RING};
	struct stream_scene *scene = calloc(1, sizeof(*scene));
	struct roster *roster;

	if (!scene)
		return step_bad(world, "out of memory");
	for (unsigned i = 0; i < sizeof(scene->bytes); i++)
		scene->bytes[i] = (unsigned char)(i / LENGTH + 1); /* each hundred differ from those before */
	world->local = scene;
	os_capabilities(); /* probed once in a process, here and not in each victim */
	if (death_apart)
		return death_make_stream_apart(RING, &scene->stream, &scene->to_write, &scene->to_read)
			       ? step_bad(world, "setting up: %s", stoa_error_detail())
			       : 0;
	if (stoa_segment_create(NULL, 1 << 20, &segment_options, &scene->segment) ||
	    stoa_stream_place(scene->segment, 0, &options, &scene->stream) || roster_attach(scene->segment, &roster))
		return step_bad(world, "setting up: %s", stoa_error_detail());
	scene->to_write = scene->to_read = scene->stream;
	return 0;
}

/* What a death leaves is in order. */
static int check_remains(struct step_world *world)
{
	return death_check_channel(world, &scene_of(world)->stream->channel);
}

/* ---- what everybody does ---- */

static void join_writer(struct step_world *world)
{
	struct stream_scene *scene = scene_of(world);

	death_must(world, stoa_writer_join(scene->to_write, &(struct stoa_writer_options){.waiting = STOA_SLEEP},
					   &scene->writer));
}

static void join_reader(struct step_world *world)
{
	struct stream_scene *scene = scene_of(world);

	death_must(world, stoa_reader_join(scene->to_read, &(struct stoa_reader_options){.waiting = STOA_SLEEP},
					   &scene->reader));
}

static int write_some(struct step_world *world, uint64_t position, uint64_t length, uint64_t deadline)
{
	return stoa_stream_write(scene_of(world)->writer, scene_of(world)->bytes + position, length, deadline, NULL);
}

/* All there is until the stream has ended, or STOA_TIMED_OUT. Returns that; *got counts. */
static int read_all(struct step_world *world, uint64_t deadline, uint64_t *got)
{
	unsigned char bytes[RING];
	uint64_t more;
	int rc;

	while ((rc = stoa_stream_read(scene_of(world)->reader, bytes, sizeof(bytes), deadline, &more)) == 0) {
		for (uint64_t i = 0; i < more; i++)
			if (bytes[i] != scene_of(world)->bytes[*got + i])
				return step_bad(world, "byte %llu is %u", (unsigned long long)(*got + i), bytes[i]);
		*got += more;
	}
	return rc;
}

/* ---- the other end, asleep ---- */

/* Tells what it got, and how the stream ended. */
static void sleeping_reader(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	uint64_t got = 0;
	int rc;

	join_reader(world);
	atomic_fetch_add(&reports->ready, 1);
	rc = read_all(world, STOA_FOREVER, &got);
	atomic_store(&reports->given, (uint32_t)got);
	atomic_store(&reports->error, rc);
	atomic_fetch_add(&reports->done, 1);
}

/* Fills the ring, and goes on until it is told. */
static void sleeping_writer(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	uint64_t written = RING;
	int rc = 0;

	join_writer(world);
	death_must(world, write_some(world, 0, RING, STOA_TRY));
	atomic_fetch_add(&reports->ready, 1);
	while (written < sizeof(scene_of(world)->bytes) && (rc = write_some(world, written, LENGTH, STOA_FOREVER)) == 0)
		written += LENGTH;
	atomic_store(&reports->error, rc);
	atomic_fetch_add(&reports->done, 1);
}

static int put_to_sleep(struct step_world *world, void (*body)(struct step_world *world))
{
	int number = step_helper(world, body);

	if (number < 0 || !step_reaches(world, &death_reports(world)->ready, 1) ||
	    !step_asleep(world, world->helpers[number]))
		return step_bad(world, "a sleeper does not sleep");
	return 0;
}

static int setup_reader(struct step_world *world)
{
	return set_up(world) < 0 ? -1 : put_to_sleep(world, sleeping_reader);
}

static int setup_writer(struct step_world *world)
{
	return set_up(world) < 0 ? -1 : put_to_sleep(world, sleeping_writer);
}

/* It is told in time; how. */
static int told(struct step_world *world)
{
	if (death_all_done(world, 1) < 0)
		return -1;
	return atomic_load(&death_reports(world)->error);
}

/* ---- writing ---- */

static void prepare_writer(struct step_world *world)
{
	join_writer(world);
	death_must(world, write_some(world, 0, LENGTH, STOA_TRY));
}

static void prepare_writer_only(struct step_world *world)
{
	join_writer(world);
}

/* The reader has read that, and sleeps again. */
static void prepare_writer_alone(struct step_world *world)
{
	struct stoa_channel *channel = &scene_of(world)->stream->channel;
	uint64_t end = step_now() + world->limit;

	prepare_writer(world);
	while ((load_rlx(channel_hold(channel, 0, 0)) != LENGTH || !load_rlx(&channel->receiving_bells->waiting)) &&
	       step_now() < end)
		usleep(100);
}

static void operate_write(struct step_world *world)
{
	death_must(world, write_some(world, LENGTH, LENGTH, STOA_TRY));
}

static void operate_first_write(struct step_world *world)
{
	death_must(world, write_some(world, 0, LENGTH, STOA_TRY));
}

static void operate_in_place(struct step_world *world)
{
	uint64_t room;
	void *at;

	death_must(world, stoa_stream_reserve(scene_of(world)->writer, 2 * LENGTH, STOA_TRY, &at, &room));
	memcpy(at, scene_of(world)->bytes + LENGTH, LENGTH);
	death_must(world, stoa_stream_commit(scene_of(world)->writer, LENGTH));
}

/* A reader comes: so many bytes, and the stream is truncated behind them. */
static int verify_write(struct step_world *world)
{
	uint64_t got = 0;
	int rc;

	join_reader(world);
	rc = read_all(world, death_deadline(world), &got);
	if (rc != -STOA_ETRUNCATED || got < LENGTH || got > 2 * LENGTH || got % LENGTH)
		return step_bad(world, "%llu bytes, then %s", (unsigned long long)got, stoa_error_name(rc));
	return (int)(got / LENGTH) - 1;
}

static int verify_wake(struct step_world *world)
{
	int rc = told(world);
	uint32_t got = atomic_load(&death_reports(world)->given);

	if (rc != -STOA_ETRUNCATED || (got && got != LENGTH))
		return step_bad(world, "%u bytes, then %s", got, stoa_error_name(rc));
	return (int)(got / LENGTH);
}

/* ---- ending ---- */

static void operate_finish(struct step_world *world)
{
	death_must(world, stoa_stream_finish(scene_of(world)->writer));
}

static void operate_fail(struct step_world *world)
{
	death_must(world, stoa_writer_fail(scene_of(world)->writer, -STOA_EIO));
}

static void operate_leave_writer(struct step_world *world)
{
	stoa_writer_leave(scene_of(world)->writer);
}

/* Not told, or told as it was; after all bytes. */
static int verify_end(struct step_world *world, int expected)
{
	int rc = told(world);
	uint32_t got = atomic_load(&death_reports(world)->given);

	if ((rc != -STOA_ETRUNCATED && rc != expected) || got != LENGTH)
		return step_bad(world, "%u bytes, then %s", got, stoa_error_name(rc));
	return rc == expected;
}

static int verify_finish(struct step_world *world)
{
	return verify_end(world, STOA_CLOSED);
}

static int verify_fail(struct step_world *world)
{
	return verify_end(world, -STOA_EIO);
}

static int verify_left(struct step_world *world)
{
	return verify_end(world, -STOA_ETRUNCATED) < 0 ? -1 : 0;
}

/* A writer that sleeps for room, or has it in time. */
static void prepare_full(struct step_world *world)
{
	join_writer(world);
	death_must(world, write_some(world, 0, RING, STOA_TRY));
	if (write_some(world, RING, LENGTH, stoa_deadline_in(1000000)) != STOA_TIMED_OUT)
		step_bad(world, "a full ring has room");
}

static void operate_sleep(struct step_world *world)
{
	death_must(world, write_some(world, RING, LENGTH, STOA_FOREVER));
}

static int setup_own_reader(struct step_world *world)
{
	if (set_up(world) < 0)
		return -1;
	join_reader(world);
	return 0;
}

static void give_room(struct step_world *world)
{
	unsigned char bytes[LENGTH];
	uint64_t got;

	if (stoa_stream_read(scene_of(world)->reader, bytes, sizeof(bytes), STOA_TRY, &got) || got != LENGTH)
		step_bad(world, "the ring is full, and nothing is there");
	atomic_fetch_add(&death_reports(world)->given, LENGTH);
}

/* All that is left, behind what was read already. */
static int settle_sleep(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	uint64_t got = atomic_load(&reports->given);
	int rc = read_all(world, death_deadline(world), &got);

	if (rc != -STOA_ETRUNCATED || got < RING || got > RING + LENGTH)
		return step_bad(world, "%llu bytes, then %s", (unsigned long long)got, stoa_error_name(rc));
	atomic_store(&reports->given, (uint32_t)got);
	return world->message[0] ? -1 : check_remains(world);
}

static int verify_sleep(struct step_world *world)
{
	return atomic_load(&death_reports(world)->given) == RING + LENGTH;
}

/* ---- reading ---- */

static void prepare_reader(struct step_world *world)
{
	join_reader(world);
}

static void operate_read(struct step_world *world)
{
	unsigned char bytes[RING / 2];
	uint64_t got;

	death_must(world, stoa_stream_read(scene_of(world)->reader, bytes, sizeof(bytes), STOA_TRY, &got));
}

static void operate_peek(struct step_world *world)
{
	const void *bytes;
	uint64_t length;

	death_must(world, stoa_stream_peek(scene_of(world)->reader, STOA_TRY, &bytes, &length));
	death_must(world, stoa_stream_consume(scene_of(world)->reader, RING / 2));
}

static void operate_fail_reader(struct step_world *world)
{
	death_must(world, stoa_reader_fail(scene_of(world)->reader, -STOA_EIO));
}

static void operate_leave_reader(struct step_world *world)
{
	stoa_reader_leave(scene_of(world)->reader);
}

/* The writer is told that it is gone, whether it has room or not. */
static int verify_read(struct step_world *world)
{
	int rc = told(world);
	uint64_t hold = load_rlx(channel_hold(&scene_of(world)->stream->channel, 0, 0));

	if (rc != -STOA_ECLOSED || (hold && hold != RING / 2))
		return step_bad(world, "%llu bytes read, and the writer was told %s", (unsigned long long)hold,
				stoa_error_name(rc));
	return hold != 0;
}

static int verify_fail_reader(struct step_world *world)
{
	int rc = told(world);

	if (rc != -STOA_ECLOSED && rc != -STOA_EIO)
		return step_bad(world, "the writer was told %s", stoa_error_name(rc));
	return rc == -STOA_EIO;
}

static int verify_leave_reader(struct step_world *world)
{
	int rc = told(world);

	return rc == -STOA_ECLOSED ? 0 : step_bad(world, "the writer was told %s", stoa_error_name(rc));
}

/* ---- joining ---- */

/* Who never took part left the place to another; after who did, nobody may come. */
static int verify_join_writer(struct step_world *world)
{
	struct stream_scene *scene = scene_of(world);
	bool joined = load_rlx(&lane_of(world)->joined) != 0;
	uint64_t got = 0;
	int rc;

	join_reader(world);
	rc = stoa_writer_join(scene->to_write, NULL, &scene->writer);
	if (rc != (joined ? -STOA_ECLOSED : 0))
		return step_bad(world, "another writer: %s", stoa_error_name(rc));
	if (!joined) {
		death_must(world, write_some(world, 0, LENGTH, STOA_TRY));
		death_must(world, stoa_stream_finish(scene->writer));
	}
	rc = read_all(world, death_deadline(world), &got);
	if (joined ? rc != -STOA_ETRUNCATED || got : rc != STOA_CLOSED || got != LENGTH)
		return step_bad(world, "%llu bytes, then %s", (unsigned long long)got, stoa_error_name(rc));
	return joined;
}

static int verify_join_reader(struct step_world *world)
{
	struct stream_scene *scene = scene_of(world);
	bool joined = load_rlx(&scene->stream->channel.readers[0].joined) != 0;
	uint64_t got = 0;
	int rc;

	join_writer(world);
	rc = stoa_reader_join(scene->to_read, NULL, &scene->reader);
	if (rc != (joined ? -STOA_ECLOSED : 0))
		return step_bad(world, "another reader: %s", stoa_error_name(rc));
	rc = write_some(world, 0, LENGTH, STOA_TRY);
	if (!joined)
		rc = rc ? rc : read_all(world, STOA_TRY, &got);
	else if (rc == 0) /* that it died is noticed at the latest when the ring is full */
		rc = write_some(world, LENGTH, RING, death_deadline(world));
	if (rc != (joined ? -STOA_ECLOSED : STOA_TIMED_OUT) || got != (joined ? 0 : LENGTH))
		return step_bad(world, "%llu bytes, then %s", (unsigned long long)got, stoa_error_name(rc));
	return joined;
}

const struct step_operation stream_operations[] = {
	{.name = "write to a stream",
	 .outcome_names = {"not written", "written"},
	 .setup = set_up,
	 .prepare = prepare_writer,
	 .operate = operate_write,
	 .settle = check_remains,
	 .verify = verify_write},
	{.name = "reserve and commit",
	 .outcome_names = {"not written", "written"},
	 .setup = set_up,
	 .prepare = prepare_writer,
	 .operate = operate_in_place,
	 .settle = check_remains,
	 .verify = verify_write},
	{.name = "write to a sleeping reader",
	 .outcome_names = {"not written", "written"},
	 .setup = setup_reader,
	 .prepare = prepare_writer_only,
	 .operate = operate_first_write,
	 .settle = check_remains,
	 .verify = verify_wake},
	{.name = "sleep for room and write",
	 .outcome_names = {"not written", "written"},
	 .setup = setup_own_reader,
	 .prepare = prepare_full,
	 .operate = operate_sleep,
	 .unblock = give_room,
	 .settle = settle_sleep,
	 .verify = verify_sleep},
	{.name = "finish a stream",
	 .outcome_names = {"truncated", "finished"},
	 .setup = setup_reader,
	 .prepare = prepare_writer_alone,
	 .operate = operate_finish,
	 .settle = check_remains,
	 .verify = verify_finish},
	{.name = "fail as writer",
	 .outcome_names = {"truncated", "told"},
	 .setup = setup_reader,
	 .prepare = prepare_writer_alone,
	 .operate = operate_fail,
	 .settle = check_remains,
	 .verify = verify_fail},
	{.name = "leave as writer",
	 .outcome_names = {"truncated"},
	 .setup = setup_reader,
	 .prepare = prepare_writer_alone,
	 .operate = operate_leave_writer,
	 .settle = check_remains,
	 .verify = verify_left},
	{.name = "read, and wake the writer",
	 .outcome_names = {"not read", "read"},
	 .setup = setup_writer,
	 .prepare = prepare_reader,
	 .operate = operate_read,
	 .settle = check_remains,
	 .verify = verify_read},
	{.name = "peek and consume",
	 .outcome_names = {"not read", "read"},
	 .setup = setup_writer,
	 .prepare = prepare_reader,
	 .operate = operate_peek,
	 .settle = check_remains,
	 .verify = verify_read},
	{.name = "fail as reader",
	 .outcome_names = {"gone", "told"},
	 .setup = setup_writer,
	 .prepare = prepare_reader,
	 .operate = operate_fail_reader,
	 .settle = check_remains,
	 .verify = verify_fail_reader},
	{.name = "leave as reader",
	 .outcome_names = {"gone"},
	 .setup = setup_writer,
	 .prepare = prepare_reader,
	 .operate = operate_leave_reader,
	 .settle = check_remains,
	 .verify = verify_leave_reader},
	{.name = "join as writer",
	 .outcome_names = {"free", "used"},
	 .setup = set_up,
	 .operate = join_writer,
	 .settle = check_remains,
	 .verify = verify_join_writer},
	{.name = "join as reader of a stream",
	 .outcome_names = {"free", "used"},
	 .setup = set_up,
	 .operate = join_reader,
	 .settle = check_remains,
	 .verify = verify_join_reader},
	{.name = NULL},
};
