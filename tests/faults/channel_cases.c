/* SPDX-License-Identifier: MIT */
/* Fault cases of channels. */
#include "faults.h"

static const struct stoa_channel_options small = {.ring = 4096};

static int create(struct run *run)
{
	return stoa_channel_create(run->name, &small, &run->ret.channel);
}

static void close_channel(struct run *run, int result)
{
	if (result >= 0)
		stoa_channel_close(run->ret.channel);
}

static int create_or_open(struct run *run)
{
	return stoa_channel_create_or_open(run->name, &small, &run->ret.channel);
}

static void make_named(struct run *run)
{
	CHECK_RC(stoa_channel_create(run->name, &small, &run->channel), 0);
}

static int open_named(struct run *run)
{
	return stoa_channel_open(run->name, 0, &run->ret.channel);
}

static void close_named(struct run *run, int result)
{
	close_channel(run, result);
	stoa_channel_close(run->channel);
}

static int size(struct run *run)
{
	return stoa_channel_size(&small, &run->ret.bits);
}

#define PLACE (UINT64_C(1) << 20)

static void make_segment(struct run *run)
{
	CHECK_RC(stoa_segment_create(NULL, RESERVE, NULL, &run->fresh), 0);
}

static int place(struct run *run)
{
	return stoa_channel_place(run->fresh, PLACE, &small, &run->ret.channel);
}

static void close_segment(struct run *run, int result)
{
	close_channel(run, result);
	stoa_segment_close(run->fresh);
}

static void make_placed(struct run *run)
{
	make_segment(run);
	CHECK_RC(stoa_channel_place(run->fresh, PLACE, &small, &run->channel), 0);
	stoa_channel_close(run->channel);
}

static int attach(struct run *run)
{
	return stoa_channel_attach(run->fresh, PLACE, &run->ret.channel);
}

static int close_call(struct run *run)
{
	stoa_channel_close(run->channel);
	return 0;
}

static void fill_named(struct run *run)
{
	make_named(run);
	CHECK_RC(stoa_sender_join(run->channel, NULL, &run->sender), 0);
	CHECK_RC(stoa_sender_send(run->sender, "text", 4, STOA_TRY), 0);
	CHECK_RC(stoa_inspect_open(run->name, 0, &run->inspector), 0);
}

static int stat_call(struct run *run)
{
	return stoa_channel_stat(run->channel, &run->big.channel_stat);
}

static int inspect_channel(struct run *run)
{
	return stoa_inspect_channel(run->inspector, 0, &run->big.channel_stat);
}

static void ignore(void *argument, int severity, const char *sentence)
{
	(void)argument, (void)sentence;
	CHECK_EQ(severity, STOA_REMARK);
}

static int check_channel(struct run *run)
{
	return stoa_inspect_check(run->inspector, ignore, NULL);
}

static int check_placed(struct run *run)
{
	return stoa_inspect_check_channel(run->inspector, 0, ignore, NULL);
}

static int find_placed(struct run *run)
{
	return stoa_inspect_find_channel(run->inspector, 0, &run->ret.bits, &run->second.bits);
}

static void end_named(struct run *run, int result)
{
	(void)result;
	stoa_inspect_close(run->inspector);
	stoa_sender_leave(run->sender);
	stoa_channel_close(run->channel);
}

/* ---- ends ---- */

static void make_unnamed(struct run *run)
{
	CHECK_RC(stoa_channel_create(NULL, &small, &run->channel), 0);
}

static int join_sender(struct run *run)
{
	return stoa_sender_join(run->channel, NULL, &run->ret.sender);
}

static void leave_sender(struct run *run, int result)
{
	if (result >= 0)
		stoa_sender_leave(run->ret.sender);
	stoa_channel_close(run->channel);
}

static int join_receiver(struct run *run)
{
	return stoa_receiver_join(run->channel, NULL, &run->ret.receiver);
}

static void leave_receiver(struct run *run, int result)
{
	if (result >= 0)
		stoa_receiver_leave(run->ret.receiver);
	stoa_channel_close(run->channel);
}

static void make_ends(struct run *run)
{
	make_unnamed(run);
	CHECK_RC(stoa_sender_join(run->channel, NULL, &run->sender), 0);
	CHECK_RC(stoa_receiver_join(run->channel, NULL, &run->receiver), 0);
}

/* Whatever failed, messages still come. */
static void end_all(struct run *run, int result)
{
	struct stoa_message message;

	(void)result;
	while (stoa_receiver_receive(run->receiver, STOA_TRY, &message) == 0)
		CHECK_RC(stoa_receiver_release(run->receiver, &message), 0);
	CHECK_RC(stoa_sender_send(run->sender, "x", 1, STOA_TRY), 0);
	CHECK_RC(stoa_receiver_receive(run->receiver, STOA_TRY, &message), 0);
	CHECK_EQ(message.length, 1);
	CHECK_RC(stoa_receiver_release(run->receiver, &message), 0);
	stoa_sender_leave(run->sender);
	stoa_receiver_leave(run->receiver);
	stoa_channel_close(run->channel);
}

static int leave_sender_call(struct run *run)
{
	stoa_sender_leave(run->sender);
	return 0;
}

static void end_receiver(struct run *run, int result)
{
	(void)result;
	stoa_receiver_leave(run->receiver);
	stoa_channel_close(run->channel);
}

static int leave_receiver_call(struct run *run)
{
	stoa_receiver_leave(run->receiver);
	return 0;
}

static void end_sender(struct run *run, int result)
{
	(void)result;
	stoa_sender_leave(run->sender);
	stoa_channel_close(run->channel);
}

/* ---- messages ---- */

static void fill_ring(struct run *run)
{
	make_ends(run);
	while (stoa_sender_send(run->sender, "full", 4, STOA_TRY) == 0)
		;
}

static int loan(struct run *run)
{
	return stoa_sender_loan(run->sender, 100, stoa_deadline_in(1000000), &run->big.loan);
}

static void make_large_ends(struct run *run)
{
	const struct stoa_channel_options options = {.ring = 4096, .large = 1 << 20};

	CHECK_RC(stoa_channel_create(NULL, &options, &run->channel), 0);
	CHECK_RC(stoa_sender_join(run->channel, NULL, &run->sender), 0);
	CHECK_RC(stoa_receiver_join(run->channel, NULL, &run->receiver), 0);
}

static int loan_large(struct run *run)
{
	return stoa_sender_loan(run->sender, 50000, stoa_deadline_in(1000000), &run->big.loan);
}

static void make_large_message(struct run *run)
{
	make_large_ends(run);
	CHECK_RC(stoa_sender_loan(run->sender, 50000, STOA_TRY, &run->loan), 0);
	CHECK_RC(stoa_sender_commit(run->sender, &run->loan), 0);
}

static const struct stoa_bytes three[] = {{"one", 3}, {"two", 3}, {"three", 5}};

static int send_batch(struct run *run)
{
	return stoa_sender_send_batch(run->sender, three, 3, stoa_deadline_in(1000000), &run->ret.count);
}

static int receive_batch(struct run *run)
{
	struct stoa_message messages[4];
	int rc = stoa_receiver_receive_batch(run->receiver, messages, 4, stoa_deadline_in(1000000), &run->ret.count);

	return rc ? rc : stoa_receiver_release_batch(run->receiver, messages, run->ret.count);
}

static int release_batch(struct run *run)
{
	return stoa_receiver_release_batch(run->receiver, &run->message, 1);
}

static void cancel_loan(struct run *run, int result)
{
	if (result == 0)
		CHECK_RC(stoa_sender_cancel(run->sender, &run->big.loan), 0);
	end_all(run, result);
}

static void make_loan(struct run *run)
{
	make_ends(run);
	CHECK_RC(stoa_sender_loan(run->sender, 100, STOA_TRY, &run->loan), 0);
}

static int commit(struct run *run)
{
	return stoa_sender_commit(run->sender, &run->loan);
}

static int cancel(struct run *run)
{
	return stoa_sender_cancel(run->sender, &run->loan);
}

static int send(struct run *run)
{
	return stoa_sender_send(run->sender, "text", 4, stoa_deadline_in(1000000));
}

static void make_sent(struct run *run)
{
	make_ends(run);
	CHECK_RC(stoa_sender_send(run->sender, "text", 4, STOA_TRY), 0);
}

static int flush(struct run *run)
{
	return stoa_sender_flush(run->sender, stoa_deadline_in(1000000));
}

static int receive(struct run *run)
{
	return stoa_receiver_receive(run->receiver, stoa_deadline_in(1000000), &run->big.message);
}

static void release_received(struct run *run, int result)
{
	if (result == 0)
		CHECK_RC(stoa_receiver_release(run->receiver, &run->big.message), 0);
	end_all(run, result);
}

static void make_message(struct run *run)
{
	make_ends(run);
	CHECK_RC(stoa_sender_send(run->sender, "text", 4, STOA_TRY), 0);
	CHECK_RC(stoa_receiver_receive(run->receiver, STOA_TRY, &run->message), 0);
}

static int release(struct run *run)
{
	return stoa_receiver_release(run->receiver, &run->message);
}

static int recv_copy(struct run *run)
{
	char buffer[10];

	return stoa_receiver_recv(run->receiver, buffer, sizeof(buffer), stoa_deadline_in(1000000), &run->big.message);
}

const struct fault_case channel_cases[] = {
	{"stoa_channel_create", CREATE_ERRORS, NULL, create, close_channel},
	{"stoa_channel_create_or_open", BOTH_ERRORS, NULL, create_or_open, close_channel},
	{"stoa_channel_open", OPEN_ERRORS, make_named, open_named, close_named},
	{"stoa_channel_size", "EINVAL", NULL, size, NULL},
	{"stoa_channel_place", "EINVAL ERANGE ERIGHTS ENOTSUP", make_segment, place, close_segment},
	{"stoa_channel_attach", "EINVAL ERANGE ERIGHTS ENOTSUP EFORMAT", make_placed, attach, close_segment},
	{"stoa_channel_close", "", make_unnamed, close_call, NULL},
	{"stoa_channel_stat", "EINVAL EFORMAT EVERSION", fill_named, stat_call, end_named},
	{"stoa_inspect_channel", "EINVAL ERANGE ENOTSUP EFORMAT EVERSION", fill_named, inspect_channel, end_named},
	{"stoa_inspect_check", "EINVAL", fill_named, check_channel, end_named},
	{"stoa_inspect_check_channel", "EINVAL ERANGE ENOTSUP EFORMAT", fill_named, check_placed, end_named},
	{"stoa_inspect_find_channel", "EINVAL ENOTSUP EFORMAT ENOENT", fill_named, find_placed, end_named},
	{"stoa_sender_join", "EINVAL EFORMAT ENOTSUP", make_unnamed, join_sender, leave_sender},
	{"stoa_sender_leave", "", make_ends, leave_sender_call, end_receiver},
	{"stoa_sender_loan", "EINVAL ERANGE", make_ends, loan, cancel_loan},
	{"stoa_sender_loan", "EINVAL ERANGE", fill_ring, loan, cancel_loan},
	{"stoa_sender_loan", "EINVAL ERANGE ERIGHTS", make_large_ends, loan_large, cancel_loan},
	{"stoa_sender_commit", "EINVAL", make_loan, commit, end_all},
	{"stoa_sender_cancel", "EINVAL", make_loan, cancel, end_all},
	{"stoa_sender_send", "EINVAL ERANGE", fill_ring, send, end_all},
	{"stoa_sender_send_batch", "EINVAL ERANGE", fill_ring, send_batch, end_all},
	{"stoa_sender_flush", "EINVAL", make_sent, flush, end_all},
	{"stoa_receiver_join", "EINVAL ENOTSUP", make_unnamed, join_receiver, leave_receiver},
	{"stoa_receiver_leave", "", make_ends, leave_receiver_call, end_sender},
	{"stoa_receiver_receive", "EINVAL EFORMAT ECLOSED", make_ends, receive, release_received},
	{"stoa_receiver_receive", "EINVAL EFORMAT ECLOSED", make_large_message, receive, release_received},
	{"stoa_receiver_release", "EINVAL", make_message, release, end_all},
	{"stoa_receiver_receive_batch", "EINVAL EFORMAT ECLOSED", make_sent, receive_batch, end_all},
	{"stoa_receiver_release_batch", "EINVAL", make_message, release_batch, end_all},
	{"stoa_receiver_recv", "EINVAL ERANGE EFORMAT ECLOSED", make_ends, recv_copy, end_all},
	{0},
};
