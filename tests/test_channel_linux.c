/* SPDX-License-Identifier: MIT */
/* Channels over a fork: a child that uses its parent's ends is refused, and does them no harm. */
#include <harness/test.h>

#include <stdlib.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;
static struct stoa_loan loan;
static struct stoa_message held;

static int use_parents_ends(void)
{
	struct stoa_waitable set[] = {{NULL, receiver, STOA_WAIT_RECEIVER, 0}};
	struct stoa_message message;
	struct stoa_loan another;
	char byte;

	if (stoa_sender_send(sender, "b", 1, STOA_TRY) != -STOA_ENOTOWNER ||
	    stoa_sender_loan(sender, 1, STOA_FOREVER, &another) != -STOA_ENOTOWNER ||
	    stoa_sender_commit(sender, &loan) != -STOA_ENOTOWNER ||
	    stoa_sender_cancel(sender, &loan) != -STOA_ENOTOWNER)
		return 1;
	if (stoa_receiver_receive(receiver, STOA_FOREVER, &message) != -STOA_ENOTOWNER ||
	    stoa_receiver_recv(receiver, &byte, 1, STOA_TRY, &message) != -STOA_ENOTOWNER ||
	    stoa_receiver_release(receiver, &held) != -STOA_ENOTOWNER)
		return 2;
	if (stoa_wait_any(set, 1, STOA_TRY, NULL) != -STOA_ENOTOWNER)
		return 3;
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	return 0;
}

TEST(a_child_is_not_its_parent)
{
	struct stoa_message message;
	int status;
	pid_t child;

	CHECK_RC(stoa_channel_create(NULL, NULL, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	CHECK_RC(stoa_sender_send(sender, "a", 1, STOA_TRY), 0);
	CHECK_RC(stoa_sender_loan(sender, 1, STOA_TRY, &loan), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &held), 0);
	child = fork();
	CHECK_SYS(child);
	if (!child)
		_exit(use_parents_ends());
	CHECK_SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	*(char *)loan.bytes = 'c';
	CHECK_RC(stoa_sender_commit(sender, &loan), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
	CHECK_EQ(*(const char *)message.bytes, 'c');
	CHECK_EQ(message.sequence, 1);
	CHECK_RC(stoa_receiver_release(receiver, &held), 0);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}
