/* SPDX-License-Identifier: MIT */
/*
 * The Windows half of tests/test_systems.c, which starts it: opens the Linux process's segment by the path of its file, makes one of its
 * own for the other to open, and takes turns with it. usage: peer OTHERS OWN RAW
 */
#include <systems/both.h>

#include <base/atomic.h>
#include <base/cc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct stoa_segment *theirs, *ours;

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "peer: %s (%s)\n", what, stoa_error_detail());
	exit(1);
}

static void check(const char *wrong)
{
	require(!wrong, wrong ? wrong : "");
}

static void await_turn(uint32_t turn)
{
	uint64_t until = stoa_deadline_in(UINT64_C(30000000000));

	while (atomic_load(&both_of(theirs)->turn) < turn) {
		require(stoa_now() < until, "the Linux process does not go on");
		os_yield();
	}
}

static void pass_turn(uint32_t turn)
{
	atomic_store(&both_of(theirs)->turn, turn);
}

/* What the other committed is known at once. A map made before it may not show it; one that is made now does. */
static void check_commits(const char *path)
{
	struct stoa_segment *again;
	unsigned char *bytes;

	require(stoa_segment_committed(theirs) == BOTH_RESERVE, "their commit is seen");
	require(both_open(path, &again) == 0, "opening it again");
	bytes = stoa_segment_address(again);
	require(bytes[BOTH_RESERVE - 1] == 41, "their byte behind it is seen");
	bytes[BOTH_RESERVE - 1] = 42;
	stoa_segment_close(again);
}

/* Where the system does not grow what is mapped, the file itself can be grown. */
static int extend(struct stoa_segment *segment, uint64_t length)
{
	static const unsigned char byte = 0;
	int rc = stoa_segment_commit(segment, length);

	require(rc == 0 || rc == -STOA_ENOTSUP, "committing in a file");
	return rc == 0 ? 0 : os_memory_write(segment->memory, segment->data_offset + length - 1, &byte, 1);
}

static void commit_ours(void)
{
	static const unsigned char byte = 43;

	check(both_grow(ours, extend));
	require(os_memory_write(ours->memory, ours->data_offset + BOTH_RESERVE - 1, &byte, 1) == 0, "growing a file");
	require(stoa_segment_committed(ours) == BOTH_RESERVE, "our file has grown");
}

static void make_raw(const char *path)
{
	struct stoa_segment_options options = {.flags = STOA_FILE_CREATE, .commit = BOTH_BYTES};
	struct stoa_segment *raw;

	require(stoa_segment_file(path, BOTH_RESERVE, &options, &raw) == 0, "making a file");
	strcpy(stoa_segment_address(raw), "from Windows");
	stoa_segment_close(raw);
}

int main(int count, char **arguments)
{
	require(count == 4, "three paths are needed");
	require(both_open(arguments[1], &theirs) == 0, "opening the Linux process's segment");
	check(both_check(theirs, 1));
	require(both_make(arguments[2], &ours) == 0, "making a segment in a file");
	check(both_change(ours, 1));
	pass_turn(1);
	await_turn(2);
	both_count(both_of(theirs));
	both_count(both_of(ours));
	check(both_check(theirs, 2));
	check(both_change(ours, 2));
	pass_turn(3);
	await_turn(4);
	check(both_follow(theirs));
	await_turn(5);
	check_commits(arguments[1]);
	commit_ours();
	make_raw(arguments[3]);
	pass_turn(6);
	await_turn(7);
	check(both_watch(theirs));
	check(both_toil(ours));
	pass_turn(8);
	await_turn(9);
	stoa_segment_close(ours);
	stoa_segment_close(theirs);
	return 0;
}
