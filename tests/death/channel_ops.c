/* SPDX-License-Identifier: MIT */
/*
 * Scenes of channels: what a sender had committed arrives whole and once, what it had not is as if it never was; what a receiver had taken is
 * gone with it, and the room comes back; who sleeps is woken; places come free. Uses death.h, and the channel's layout.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "death.h"

#include <channel/channel.h>

#define SMALL 40   /* of others */
#define LARGE 5000 /* too large for the ring */
#define LENGTH 896 /* of messages: the smallest ring takes four, and the fifth does not fit behind them */

bool death_apart;

struct channel_scene {
	struct stoa_segment *segment;
	struct stoa_channel *channel;
	struct stoa_channel *to_send, *to_receive; /* the same, or what was granted */
	struct stoa_sender *sender;                /* of the process that joined */
	struct stoa_receiver *receiver;
};

static struct channel_scene *scene_of(const struct step_world *world)
{
	return world->local;
}

static int set_up(struct step_world *world, uint32_t kind, uint32_t senders, uint32_t receivers)
{
	const struct stoa_segment_options segment_options = {.roster_slots = 12};
	const struct stoa_channel_options options = {
		.kind = kind, .ring = 4096, .senders = senders, .receivers = receivers, .large = 1 << 14};
	struct channel_scene *scene = calloc(1, sizeof(*scene));
	struct roster *roster;

	if (!scene)
		return step_bad(world, "out of memory");
	world->local = scene;
	os_capabilities(); /* probed once in a process, here and not in each victim */
	if (death_apart)
		return death_make_apart(&options, &scene->channel, &scene->to_send, &scene->to_receive)
			       ? step_bad(world, "setting up: %s", stoa_error_detail())
			       : 0;
	if (stoa_segment_create(NULL, 1 << 20, &segment_options, &scene->segment) ||
	    stoa_channel_place(scene->segment, 0, &options, &scene->channel) || roster_attach(scene->segment, &roster))
		return step_bad(world, "setting up: %s", stoa_error_detail());
	scene->to_send = scene->to_receive = scene->channel;
	return 0;
}

/* What a death leaves is what the next one can go on with. */
static int check_remains(struct step_world *world)
{
	return death_check_channel(world, scene_of(world)->channel);
}

/* ---- what everybody does ---- */

static void join_sender(struct step_world *world)
{
	struct channel_scene *scene = scene_of(world);

	death_must(world, stoa_sender_join(scene->to_send, &(struct stoa_sender_options){.waiting = STOA_SLEEP},
					   &scene->sender));
}

static void join_receiver(struct step_world *world)
{
	struct channel_scene *scene = scene_of(world);

	death_must(world, stoa_receiver_join(scene->to_receive, &(struct stoa_receiver_options){.waiting = STOA_SLEEP},
					     &scene->receiver));
}

static void send_of(struct step_world *world, uint64_t length, unsigned char value, uint64_t deadline)
{
	struct stoa_loan loan;
	int rc = stoa_sender_loan(scene_of(world)->sender, length, deadline, &loan);

	death_must(world, rc ? -STOA_ESYSTEM : 0);
	/* Processors set long runs by one instruction that is stepped byte by byte. */
	memset(loan.bytes, value, length < LENGTH ? length : LENGTH);
	if (length > LENGTH)
		memset((unsigned char *)loan.bytes + length - SMALL, value, SMALL);
	death_must(world, stoa_sender_commit(scene_of(world)->sender, &loan));
}

static void send(struct step_world *world, unsigned char value, uint64_t deadline)
{
	send_of(world, LENGTH, value, deadline);
}

/* The value of the next message, -1 if there is none, or what is wrong. */
#define NONE (-1)
#define WRONG (-2)
static int receive(struct step_world *world, uint64_t deadline)
{
	struct stoa_message message;
	const unsigned char *bytes;
	int rc = stoa_receiver_receive(scene_of(world)->receiver, deadline, &message);

	if (rc == STOA_TIMED_OUT)
		return NONE;
	if (rc)
		return step_bad(world, "receive: %s", stoa_error_name(rc)), WRONG;
	bytes = message.bytes;
	for (unsigned i = 0; i < message.length; i = i + 1 == LENGTH ? LARGE - SMALL : i + 1)
		if ((message.length != LENGTH && message.length != SMALL && message.length != LARGE) ||
		    bytes[i] != bytes[0])
			return step_bad(world, "a torn message"), WRONG;
	rc = bytes[0];
	death_must(world, stoa_receiver_release(scene_of(world)->receiver, &message));
	return rc;
}

/* A stranger receives: 1 .. `sent`, or all but the last; then goes on with what it sends itself. Which it was. */
static int receive_all(struct step_world *world, int first, int sent)
{
	int next = first, got;

	if (check_remains(world) < 0)
		return -1;
	join_receiver(world);
	while ((got = receive(world, STOA_TRY)) == next)
		next++;
	if (got != NONE || next < sent || next > sent + 1)
		return step_bad(world, "%d of %d messages, then %d", next - 1, sent, got);
	join_sender(world);
	for (int i = 0; i < 8; i++) {
		send(world, 77, STOA_TRY);
		if (receive(world, STOA_TRY) != 77)
			return step_bad(world, "what comes next is not received");
	}
	stoa_sender_leave(scene_of(world)->sender);
	stoa_receiver_leave(scene_of(world)->receiver);
	return check_remains(world) < 0 ? -1 : next - sent;
}

/* ---- sending ---- */

static int setup_queue(struct step_world *world)
{
	return set_up(world, STOA_QUEUE, 1, 1);
}

static int setup_broadcast(struct step_world *world)
{
	return set_up(world, STOA_BROADCAST, 1, 1);
}

static void prepare_sender(struct step_world *world)
{
	join_sender(world);
	send(world, 1, STOA_TRY);
}

static void operate_send(struct step_world *world)
{
	send(world, 2, STOA_TRY);
}

static void operate_send_small(struct step_world *world)
{
	send_of(world, SMALL, 2, STOA_TRY);
}

static void operate_send_large(struct step_world *world)
{
	send_of(world, LARGE, 2, STOA_TRY);
}

static void operate_send_batch(struct step_world *world)
{
	static unsigned char two[SMALL], three[SMALL];
	const struct stoa_bytes batch[] = {{two, SMALL}, {three, SMALL}};
	uint32_t sent;

	memset(two, 2, SMALL);
	memset(three, 3, SMALL);
	death_must(world, stoa_sender_send_batch(scene_of(world)->sender, batch, 2, STOA_TRY, &sent));
}

/* None, one or both. */
static int verify_send_batch(struct step_world *world)
{
	int next = 1, got;

	join_receiver(world);
	while ((got = receive(world, STOA_TRY)) == next)
		next++;
	stoa_receiver_leave(scene_of(world)->receiver);
	if (got != NONE || next < 2)
		return step_bad(world, "%d messages, then %d", next - 1, got);
	return next - 2;
}

static int verify_send(struct step_world *world)
{
	return receive_all(world, 1, 2);
}

/* The lap ends with this one: it is skipped, and the record goes to the ring's begin. */
static int setup_lap(struct step_world *world)
{
	if (setup_queue(world) < 0)
		return -1;
	join_sender(world);
	join_receiver(world);
	for (unsigned char i = 1; i <= 4; i++)
		send(world, i, STOA_TRY);
	for (int i = 1; i <= 3; i++)
		if (receive(world, STOA_TRY) != i)
			return step_bad(world, "setting up");
	stoa_sender_leave(scene_of(world)->sender);
	stoa_receiver_leave(scene_of(world)->receiver);
	return 0;
}

static int verify_lap(struct step_world *world)
{
	return receive_all(world, 4, 5);
}

static void operate_lap(struct step_world *world)
{
	send(world, 5, STOA_TRY);
}

/* Two at a time, the second committed first: both appear at once. */
static void operate_loans(struct step_world *world)
{
	struct stoa_sender *sender = scene_of(world)->sender;
	struct stoa_loan a, b;

	death_must(world, stoa_sender_loan(sender, LENGTH, STOA_TRY, &a));
	death_must(world, stoa_sender_loan(sender, LENGTH, STOA_TRY, &b));
	memset(a.bytes, 2, LENGTH);
	memset(b.bytes, 3, LENGTH);
	death_must(world, stoa_sender_commit(sender, &b));
	death_must(world, stoa_sender_commit(sender, &a));
}

static int verify_loans(struct step_world *world)
{
	int next = 1, got;

	if (check_remains(world) < 0)
		return -1;
	join_receiver(world);
	while ((got = receive(world, STOA_TRY)) == next)
		next++;
	/* Dead between the two publications, it leaves the first. */
	if (got != NONE || next < 2)
		return step_bad(world, "%d messages, then %d", next - 1, got);
	join_sender(world);
	send(world, 99, STOA_TRY);
	if (receive(world, STOA_TRY) != 99)
		return step_bad(world, "what comes next is not received");
	return next - 2;
}

static void operate_cancel(struct step_world *world)
{
	struct stoa_sender *sender = scene_of(world)->sender;
	struct stoa_loan a, b;

	death_must(world, stoa_sender_loan(sender, LENGTH, STOA_TRY, &a));
	death_must(world, stoa_sender_loan(sender, LENGTH, STOA_TRY, &b));
	memset(b.bytes, 2, LENGTH);
	death_must(world, stoa_sender_cancel(sender, &a));
	death_must(world, stoa_sender_commit(sender, &b));
}

static void operate_flush(struct step_world *world)
{
	death_must(world, stoa_sender_flush(scene_of(world)->sender, STOA_TRY) == STOA_TIMED_OUT ? 0 : -STOA_ESYSTEM);
}

static int verify_flush(struct step_world *world)
{
	int more = receive_all(world, 1, 1);

	return more < 0 ? more : more - 1;
}

/* ---- sending to a sleeper ---- */

static void sleeping_receiver(struct step_world *world)
{
	int got;

	join_receiver(world);
	atomic_fetch_add(&death_reports(world)->ready, 1);
	got = receive(world, STOA_FOREVER);
	death_report(world, got < 0 ? -STOA_ESYSTEM : 0);
}

static int put_to_sleep(struct step_world *world, void (*body)(struct step_world *world))
{
	uint32_t ready = atomic_load(&death_reports(world)->ready);
	int number = step_helper(world, body);

	if (number < 0 || !step_reaches(world, &death_reports(world)->ready, ready + 1) ||
	    !step_asleep(world, world->helpers[number]))
		return step_bad(world, "a sleeper does not sleep");
	return 0;
}

static int setup_sleeper(struct step_world *world)
{
	return setup_queue(world) < 0 ? -1 : put_to_sleep(world, sleeping_receiver);
}

static int setup_two_sleepers(struct step_world *world)
{
	if (set_up(world, STOA_QUEUE, 1, 2) < 0 || put_to_sleep(world, sleeping_receiver) < 0)
		return -1;
	return put_to_sleep(world, sleeping_receiver);
}

/* Is there a message that nobody has taken? */
static bool available(const struct step_world *world)
{
	const struct stoa_channel *channel = scene_of(world)->channel;
	uint64_t head = load_rlx(channel_head(channel, 0));

	return load_rlx(&record_at(channel_ring(channel, 0), 4095, head)->word) >> 32 == record_tag(head);
}

/* Until nothing more can happen by itself: how many of the sleepers are done. What is there must find one of them. */
static int settled_of(struct step_world *world, uint32_t sleepers)
{
	struct death_reports *reports = death_reports(world);
	uint64_t end = step_now() + world->limit;

	for (unsigned quiet = 0; quiet < 4; quiet++) {
		uint32_t before = atomic_load(&reports->done);

		if (before == sleepers)
			break;
		if (step_now() > end)
			return step_bad(world, "a message is there, and a receiver sleeps");
		usleep(500);
		if (!step_all_quiet(world))
			return step_bad(world, "a sleeper neither sleeps nor ends");
		if (available(world) || atomic_load(&reports->done) != before)
			quiet = 0;
	}
	return (int)atomic_load(&reports->done);
}

static int settled(struct step_world *world)
{
	return settled_of(world, atomic_load(&death_reports(world)->ready));
}

static void prepare_sender_only(struct step_world *world)
{
	join_sender(world);
}

static void operate_wake(struct step_world *world)
{
	send(world, 1, STOA_TRY);
}

static int verify_wake(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int done = settled(world);
	uint32_t sleepers = atomic_load(&reports->ready);

	if (check_remains(world) < 0)
		return -1;
	if (done < 0 || done > 1)
		return done < 0 ? done : step_bad(world, "%d got one message", done);
	join_sender(world);
	for (uint32_t i = (uint32_t)done; i < sleepers; i++)
		send(world, 2, STOA_TRY);
	return death_all_done(world, sleepers) < 0 ? -1 : done;
}

/* ---- the sender and one that it wakes die together ---- */

/* Its message dies with it, if it got one. It is held back, so that it dies as soon as it is woken, before it looks. */
static void doomed_receiver(struct step_world *world)
{
	join_receiver(world);
	atomic_fetch_add(&death_reports(world)->ready, 1);
	receive(world, STOA_FOREVER);
	pause();
}

static int setup_doomed_first(struct step_world *world)
{
	if (set_up(world, STOA_QUEUE, 1, 2) < 0 || put_to_sleep(world, doomed_receiver) < 0 ||
	    put_to_sleep(world, sleeping_receiver) < 0)
		return -1;
	return death_hold_back(world, 0);
}

static int setup_doomed_last(struct step_world *world)
{
	if (set_up(world, STOA_QUEUE, 1, 2) < 0 || put_to_sleep(world, sleeping_receiver) < 0 ||
	    put_to_sleep(world, doomed_receiver) < 0)
		return -1;
	return death_hold_back(world, 1);
}

/* At once: woken by the send, or by the victim's death, it has hardly begun to look. */
static int settle_doomed_first(struct step_world *world)
{
	death_kill_held_back(world, 0);
	return 0;
}

static int settle_doomed_last(struct step_world *world)
{
	death_kill_held_back(world, 1);
	return 0;
}

static bool was_sent(const struct step_world *world)
{
	return load_rlx(&record_at(channel_ring(scene_of(world)->channel, 0), 4095, 0)->word) >> 32 == record_tag(0);
}

/* What nobody has taken must find the survivor: at once, and when there is a sender again. */
static int verify_doomed(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int sent = was_sent(world);

	if (settled_of(world, 1) < 0)
		return -1;
	join_sender(world);
	if (!atomic_load(&reports->done))
		send(world, 2, STOA_TRY);
	return death_all_done(world, 1) < 0 ? -1 : sent;
}

/* ---- receiving, while a sender sleeps for room ---- */

static void sleeping_sender(struct step_world *world)
{
	struct stoa_loan loan;
	int rc;

	join_sender(world);
	for (unsigned char i = 1; i <= 4; i++)
		send(world, i, STOA_TRY);
	atomic_fetch_add(&death_reports(world)->ready, 1);
	rc = stoa_sender_loan(scene_of(world)->sender, LENGTH, STOA_FOREVER, &loan);
	if (!rc) {
		memset(loan.bytes, 5, LENGTH);
		rc = stoa_sender_commit(scene_of(world)->sender, &loan);
	}
	death_report(world, rc);
	for (;;) /* what it sent is received after it, but not its death */
		pause();
}

static void prepare_receiver(struct step_world *world)
{
	join_receiver(world);
}

static int setup_full(struct step_world *world)
{
	return setup_queue(world) < 0 ? -1 : put_to_sleep(world, sleeping_sender);
}

static int setup_full_shared(struct step_world *world)
{
	return set_up(world, STOA_QUEUE, 1, 2) < 0 ? -1 : put_to_sleep(world, sleeping_sender);
}

static int setup_full_of_three(struct step_world *world)
{
	return set_up(world, STOA_QUEUE, 1, 3) < 0 ? -1 : put_to_sleep(world, sleeping_sender);
}

static void operate_receive(struct step_world *world)
{
	if (receive(world, STOA_TRY) != 1)
		step_bad(world, "the victim received something else");
}

static int setup_small(struct step_world *world)
{
	if (setup_queue(world) < 0)
		return -1;
	join_sender(world);
	for (unsigned char i = 1; i <= 3; i++)
		send_of(world, SMALL, i, STOA_TRY);
	stoa_sender_leave(scene_of(world)->sender);
	return 0;
}

static int setup_large(struct step_world *world)
{
	if (setup_queue(world) < 0)
		return -1;
	join_sender(world);
	for (unsigned char i = 1; i <= 3; i++)
		send_of(world, i == 3 ? SMALL : LARGE, i, STOA_TRY);
	stoa_sender_leave(scene_of(world)->sender);
	return 0;
}

static int verify_small(struct step_world *world)
{
	int first, next;

	join_receiver(world);
	first = next = receive(world, STOA_TRY);
	if (first != 1 && first != 2)
		return step_bad(world, "the next message is %d", first);
	while (next == receive(world, STOA_TRY) - 1)
		next++;
	stoa_receiver_leave(scene_of(world)->receiver);
	return next == 3 ? first - 1 : step_bad(world, "after message %d came another", next);
}

/* The whole area is room again. */
static int verify_large(struct step_world *world)
{
	int outcome = verify_small(world);

	if (outcome < 0)
		return outcome;
	join_receiver(world);
	join_sender(world);
	send_of(world, 3 * LARGE, 4, STOA_TRY);
	stoa_sender_leave(scene_of(world)->sender);
	stoa_receiver_leave(scene_of(world)->receiver);
	return outcome;
}

/* Taken or not, released or not: what is left comes in order, and the sender gets its room. */
static int verify_receive(struct step_world *world)
{
	int first, next;

	if (check_remains(world) < 0)
		return -1;
	join_receiver(world);
	first = next = receive(world, death_deadline(world));
	if (first != 1 && first != 2)
		return step_bad(world, "the next message is %d", first);
	while (next < 5 && next > 0) {
		int got = receive(world, death_deadline(world));

		if (got != next + 1)
			return step_bad(world, "after message %d came %d", next, got);
		next = got;
	}
	return death_all_done(world, 1) < 0 ? -1 : first - 1;
}

/* While the victim stands somewhere in its claim, another takes what it comes to, and dies with it unreleased. */
static void meeting_receiver(struct step_world *world)
{
	struct stoa_message message;
	int rc;

	join_receiver(world);
	rc = stoa_receiver_receive(scene_of(world)->receiver, STOA_TRY, &message);
	if (rc)
		step_bad(world, "who met the victim received: %s", stoa_error_name(rc));
	atomic_store(&death_reports(world)->given, *(const unsigned char *)message.bytes);
	pause();
}

static int meet_receiver(struct step_world *world)
{
	int number = step_helper(world, meeting_receiver);

	if (number < 0 || !step_reaches(world, &death_reports(world)->given, 1))
		return step_bad(world, "who met the victim receives nothing");
	return 0;
}

static int settle_met(struct step_world *world)
{
	step_kill_helper(world, 1);
	return 0;
}

/* One of them took the first message; the victim took that or none. */
static int verify_met(struct step_world *world)
{
	int met = (int)atomic_load(&death_reports(world)->given), next;

	if (met != 1 && met != 2)
		return step_bad(world, "who met the victim received %d", met);
	join_receiver(world);
	for (next = met + 1; next <= 5; next++)
		if (receive(world, death_deadline(world)) != next)
			return step_bad(world, "message %d does not come next", next);
	return death_all_done(world, 1) < 0 ? -1 : met - 1;
}

/* ---- sleeping ---- */

/* The first sleep of a process looks for much; with that behind it, it is short. */
static void prepare_sleep(struct step_world *world)
{
	join_receiver(world);
	if (receive(world, stoa_deadline_in(1000000)) != NONE)
		step_bad(world, "something is there");
}

static void operate_sleep(struct step_world *world)
{
	if (receive(world, STOA_FOREVER) < 0)
		step_bad(world, "the victim received nothing");
}

/* The sender is there from the start: to look at it for the first time takes long. */
static int setup_one_of_two(struct step_world *world)
{
	if (set_up(world, STOA_QUEUE, 1, 3) < 0)
		return -1;
	join_sender(world);
	return put_to_sleep(world, sleeping_receiver);
}

/* Each time that the victim sleeps: the other one may have been faster. */
static void give_one(struct step_world *world)
{
	uint64_t end = step_now() + world->limit;

	while (available(world) && step_now() < end)
		usleep(200);
	if (available(world))
		step_bad(world, "the victim sleeps, and so do all who could take what is there");
	atomic_fetch_add(&death_reports(world)->given, 1);
	send(world, 1, STOA_TRY);
}

static int settle_sleep(struct step_world *world)
{
	if (!atomic_load(&death_reports(world)->given))
		give_one(world);
	return world->message[0] ? -1 : 0;
}

/* What the other did not get and is not left, the victim took: nothing (0), or one (1). */
static int verify_sleep(struct step_world *world)
{
	int given = (int)atomic_load(&death_reports(world)->given), done = settled(world), left = 0, taken;

	if (done < 0 || check_remains(world) < 0)
		return -1;
	join_receiver(world);
	while (left <= given && receive(world, STOA_TRY) == 1)
		left++;
	taken = given - done - left;
	if (taken < world->victim_ended || taken > 1)
		return step_bad(world, "%d given, %d arrived, %d left: the victim took %d", given, done, left, taken);
	return taken;
}

/* ---- joining and leaving ---- */

static void operate_join_sender(struct step_world *world)
{
	join_sender(world);
}

static void operate_join_receiver(struct step_world *world)
{
	join_receiver(world);
}

static void operate_leave_sender(struct step_world *world)
{
	stoa_sender_leave(scene_of(world)->sender);
}

static void operate_leave_receiver(struct step_world *world)
{
	stoa_receiver_leave(scene_of(world)->receiver);
}

static int verify_places(struct step_world *world)
{
	int rc;

	if (check_remains(world) < 0)
		return -1;
	join_receiver(world);
	join_sender(world);
	for (int i = 0; i < 8; i++) {
		send(world, 5, STOA_TRY);
		rc = receive(world, STOA_TRY);
		if (rc != 5)
			return step_bad(world, "sent 5, received %d", rc);
	}
	return check_remains(world);
}

/* Somebody waits until all senders have left: told of it, or finding it out by the death. */
static void until_closed(struct step_world *world)
{
	const struct stoa_receiver_options options = {.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_message message;
	int rc;

	death_must(world, stoa_receiver_join(scene_of(world)->to_receive, &options, &scene_of(world)->receiver));
	atomic_fetch_add(&death_reports(world)->ready, 1);
	rc = stoa_receiver_receive(scene_of(world)->receiver, STOA_FOREVER, &message);
	death_report(world, rc == STOA_CLOSED ? 0 : -STOA_ESYSTEM);
}

static int setup_until_closed(struct step_world *world)
{
	return setup_queue(world) < 0 ? -1 : put_to_sleep(world, until_closed);
}

/* Before it was a member the victim is nobody who could leave. */
static int verify_closed(struct step_world *world)
{
	return check_remains(world) < 0 ? -1 : death_all_done(world, 1);
}

const struct step_operation channel_operations[] = {
	{.name = "send",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_send,
	 .verify = verify_send},
	{.name = "send a small one",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_send_small,
	 .verify = verify_send},
	{.name = "send a large one",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_send_large,
	 .verify = verify_send},
	{.name = "send two at once",
	 .outcome_names = {"none", "one", "both"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_send_batch,
	 .verify = verify_send_batch},
	{.name = "send around the ring's end",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_lap,
	 .prepare = prepare_sender_only,
	 .operate = operate_lap,
	 .verify = verify_lap},
	{.name = "commit two, the second first",
	 .outcome_names = {"none", "one", "both"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_loans,
	 .verify = verify_loans},
	{.name = "cancel one, commit one",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_cancel,
	 .verify = verify_send},
	{.name = "flush what nobody receives",
	 .outcome_names = {"sent"},
	 .setup = setup_queue,
	 .prepare = prepare_sender,
	 .operate = operate_flush,
	 .verify = verify_flush},
	{.name = "send to a sleeper",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_sleeper,
	 .prepare = prepare_sender_only,
	 .operate = operate_wake,
	 .verify = verify_wake},
	{.name = "send to two sleepers",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_two_sleepers,
	 .prepare = prepare_sender_only,
	 .operate = operate_wake,
	 .verify = verify_wake},
	{.name = "send to two sleepers, the first dies",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_doomed_first,
	 .prepare = prepare_sender_only,
	 .operate = operate_wake,
	 .settle = settle_doomed_first,
	 .verify = verify_doomed},
	{.name = "send to two sleepers, the last dies",
	 .outcome_names = {"not sent", "sent"},
	 .setup = setup_doomed_last,
	 .prepare = prepare_sender_only,
	 .operate = operate_wake,
	 .settle = settle_doomed_last,
	 .verify = verify_doomed},
	{.name = "receive and release",
	 .outcome_names = {"there", "taken"},
	 .setup = setup_full,
	 .prepare = prepare_receiver,
	 .operate = operate_receive,
	 .verify = verify_receive},
	{.name = "receive and release a small one",
	 .outcome_names = {"there", "taken"},
	 .setup = setup_small,
	 .prepare = prepare_receiver,
	 .operate = operate_receive,
	 .verify = verify_small},
	{.name = "receive and release a large one",
	 .outcome_names = {"there", "taken"},
	 .setup = setup_large,
	 .prepare = prepare_receiver,
	 .operate = operate_receive,
	 .verify = verify_large},
	{.name = "receive as one of several",
	 .outcome_names = {"there", "taken"},
	 .setup = setup_full_shared,
	 .prepare = prepare_receiver,
	 .operate = operate_receive,
	 .verify = verify_receive},
	{.name = "receive as one of several, met",
	 .outcome_names = {"there", "taken"},
	 .setup = setup_full_of_three,
	 .prepare = prepare_receiver,
	 .operate = operate_receive,
	 .meet = meet_receiver,
	 .settle = settle_met,
	 .verify = verify_met},
	{.name = "sleep and receive",
	 .outcome_names = {"not taken", "taken"},
	 .setup = setup_one_of_two,
	 .prepare = prepare_sleep,
	 .operate = operate_sleep,
	 .unblock = give_one,
	 .settle = settle_sleep,
	 .verify = verify_sleep,
	 .unordered = true},
	{.name = "join as sender",
	 .outcome_names = {"free again"},
	 .setup = setup_queue,
	 .operate = operate_join_sender,
	 .verify = verify_places},
	{.name = "join as receiver",
	 .outcome_names = {"free again"},
	 .setup = setup_queue,
	 .operate = operate_join_receiver,
	 .verify = verify_places},
	{.name = "join a broadcast",
	 .outcome_names = {"free again"},
	 .setup = setup_broadcast,
	 .operate = operate_join_receiver,
	 .verify = verify_places},
	{.name = "leave as sender",
	 .outcome_names = {"free again"},
	 .setup = setup_queue,
	 .prepare = prepare_sender_only,
	 .operate = operate_leave_sender,
	 .verify = verify_places},
	{.name = "leave as receiver",
	 .outcome_names = {"free again"},
	 .setup = setup_queue,
	 .prepare = prepare_receiver,
	 .operate = operate_leave_receiver,
	 .verify = verify_places},
	{.name = "leave one who waits for that",
	 .outcome_names = {"told"},
	 .setup = setup_until_closed,
	 .prepare = prepare_sender_only,
	 .operate = operate_leave_sender,
	 .verify = verify_closed},
	{.name = NULL},
};
