/* SPDX-License-Identifier: MIT */
/*
 * Two processes have one paged region, each with a backing of its own on the same file, and mark its blocks as fast as they can, within a budget that
 * is a fraction of it. One is killed in the midst. The other goes on, and at the end every mark is accounted for, in the file. Linux only.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define BLOCK 4096u
#define BLOCKS 2048u
#define PATH "example.shared"

/* What a block begins with: how often each has marked it. */
struct marks {
	uint64_t by[2];
};

static volatile uint64_t *told; /* marks that the child has made, as it says itself */

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "pager_shared: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

static struct stoa_backing *open_backing(void)
{
	struct stoa_backing *backing;

	check(stoa_backing_file(PATH, STOA_BACKING_CREATE, (uint64_t)BLOCKS * BLOCK, &backing), "backing");
	return backing;
}

static void mark(struct stoa_pager *pager, uint64_t number, unsigned who)
{
	char *bytes = stoa_pager_address(pager);
	struct marks *marks = (void *)(bytes + number * 1021 % BLOCKS * BLOCK); /* all of them, in some order */

	marks->by[who]++;
}

/* Goes on until it is killed. */
static void child(int socket)
{
	struct stoa_pager *pager;

	check(stoa_pager_install_handlers(), "handlers");
	check(stoa_pager_receive_with_socket(socket, open_backing(), &pager), "receive");
	for (;; (*told)++)
		mark(pager, *told, 1);
}

/* The marks of one of the two, as a stranger finds them in the file. */
static uint64_t marks_in_file(unsigned who)
{
	FILE *file = fopen(PATH, "rb");
	uint64_t sum = 0;

	for (uint64_t i = 0; file && i < BLOCKS; i++) {
		struct marks marks;

		if (fseek(file, (long)(i * BLOCK), SEEK_SET) || fread(&marks, sizeof(marks), 1, file) != 1)
			return 0;
		sum += marks.by[who];
	}
	if (file)
		fclose(file);
	return sum;
}

int main(void)
{
	struct stoa_pager_options options = {.budget = (uint64_t)BLOCKS * BLOCK / 8, .way = STOA_PAGER_INLINE};
	struct stoa_backing *backing = open_backing();
	struct stoa_pager_stat stat;
	struct stoa_pager *pager;
	uint64_t mine = 0, found;
	int sockets[2];
	pid_t pid;

	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets))
		return 1;
	pid = fork();
	if (pid == 0)
		child(sockets[1]);
	check(stoa_pager_install_handlers(), "handlers");
	if (stoa_pager_create(NULL, backing, &options, &pager) < 0)
		return remove(PATH) | (printf("not here: %s\n", stoa_error_detail()) < 0);
	check(stoa_pager_send_with_socket(pager, sockets[0]), "send");
	while (*told < 3000)
		mark(pager, mine++, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(stoa_pager_stat(pager, &stat), "stat");
	printf("two had it; one was killed after some thousand marks: %u of %u are alive\n", stat.members_alive,
	       stat.members);
	for (unsigned i = 0; i < 3 * BLOCKS; i++)
		mark(pager, mine++, 0);
	check(stoa_pager_close(pager), "close");
	stoa_backing_close(backing);
	printf("mine in the file: %s\n", marks_in_file(0) == mine ? "all" : "not all");
	found = marks_in_file(1);
	/* It may have died between a mark and telling it. */
	printf("those of the dead: %s\n", found == *told || found == *told + 1 ? "all that it told" : "not all");
	remove(PATH);
	return 0;
}
