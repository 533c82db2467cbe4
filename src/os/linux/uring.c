/* SPDX-License-Identifier: MIT */
/*
 * The kernel's rings (io_uring; man 7 io_uring): two queues in memory that it shares with this process. One thread fills the first, and says
 * so with a system call, which orders all it has written before; the kernel fills the other, and raises an event. No thread of the kernel's
 * polls. Uses the system calls themselves, as libc has none for it.
 */
#include <os/linux/ring.h>

#include <base/atomic.h>
#include <base/error.h>
#include <linux/io_uring.h>
#include <os/linux/sys.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

_Atomic uint32_t os_ring_without;

/* One queue's words in what is shared. */
struct queue {
	_Atomic uint32_t *head, *tail;
	uint32_t mask;
};

struct uring {
	int fd;
	void *map, *entries_map;
	size_t map_length, entries_length;
	struct queue asked, done;
	uint32_t *order; /* of the first queue: which entry is the n-th */
	struct io_uring_sqe *asks;
	const struct io_uring_cqe *answers;
	uint32_t tail;  /* of the first queue, by us */
	uint32_t begun; /* the kernel has taken up to here */
};

/* What this file needs, all of it in Linux 5.11. */
static const uint8_t needed[] = {IORING_OP_OPENAT, IORING_OP_CLOSE,    IORING_OP_READ,
				 IORING_OP_WRITE,  IORING_OP_RENAMEAT, IORING_OP_UNLINKAT};

#define OPERATIONS 64u /* that are asked about */

static int check_operations(int fd)
{
	uint64_t room[(sizeof(struct io_uring_probe) + OPERATIONS * sizeof(struct io_uring_probe_op)) / 8] = {0};
	const struct io_uring_probe *probe = (const struct io_uring_probe *)room;

	if (SYS(syscall, SYS_io_uring_register, fd, IORING_REGISTER_PROBE, room, OPERATIONS) < 0)
		return sys_failed("asking what io_uring can do");
	for (size_t i = 0; i < CC_COUNT(needed); i++)
		if (needed[i] > probe->last_op || !(probe->ops[needed[i]].flags & IO_URING_OP_SUPPORTED))
			return error_set(-STOA_ENOTSUP, "this kernel's io_uring lacks an operation (%u)", needed[i]);
	return 0;
}

static void *at(const struct uring *uring, uint32_t offset)
{
	return (unsigned char *)uring->map + offset;
}

static int map_queues(struct uring *uring, const struct io_uring_params *params)
{
	size_t asked = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	size_t done = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	void *map;

	if (!(params->features & IORING_FEAT_SINGLE_MMAP))
		return error_set(-STOA_ENOTSUP, "this kernel's io_uring is too old");
	uring->map_length = asked > done ? asked : done;
	map = SYS(mmap, NULL, uring->map_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring->fd,
		  IORING_OFF_SQ_RING);
	if (map == MAP_FAILED)
		return sys_failed("mapping an io_uring");
	uring->map = map;
	uring->entries_length = params->sq_entries * sizeof(struct io_uring_sqe);
	map = SYS(mmap, NULL, uring->entries_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring->fd,
		  IORING_OFF_SQES);
	if (map == MAP_FAILED)
		return sys_failed("mapping an io_uring");
	uring->entries_map = map;
	uring->asks = map;
	uring->asked = (struct queue){at(uring, params->sq_off.head), at(uring, params->sq_off.tail),
				      *(uint32_t *)at(uring, params->sq_off.ring_mask)};
	uring->done = (struct queue){at(uring, params->cq_off.head), at(uring, params->cq_off.tail),
				     *(uint32_t *)at(uring, params->cq_off.ring_mask)};
	uring->order = at(uring, params->sq_off.array);
	uring->answers = at(uring, params->cq_off.cqes);
	return 0;
}

static void uring_close(void *state)
{
	struct uring *uring = state;

	if (uring->map)
		munmap(uring->map, uring->map_length);
	if (uring->entries_map)
		munmap(uring->entries_map, uring->entries_length);
	if (uring->fd >= 0)
		close(uring->fd);
	os_free(uring);
}

int uring_create(unsigned depth, os_handle event, void **ret_state)
{
	struct io_uring_params params = {0};
	struct uring *uring;
	int rc = 0, event_fd = sys_fd(event);

	if (load_rlx(&os_ring_without))
		return error_set(-STOA_ENOTSUP, "this process is to do without io_uring");
	uring = os_allocate(sizeof(*uring));
	if (!uring)
		return -STOA_ENOMEM;
	uring->fd = (int)SYS(syscall, SYS_io_uring_setup, depth, &params);
	if (uring->fd < 0) {
		(void)sys_failed("setting up an io_uring");
		/* By a sysctl, a filter of system calls, or as the kernel is old. */
		rc = errno == EPERM || errno == ENOSYS || errno == EACCES ? -STOA_ENOTSUP : sys_error(errno);
	}
	if (rc == 0)
		rc = check_operations(uring->fd);
	if (rc == 0)
		rc = map_queues(uring, &params);
	if (rc == 0 && SYS(syscall, SYS_io_uring_register, uring->fd, IORING_REGISTER_EVENTFD, &event_fd, 1) < 0)
		rc = sys_failed("having an io_uring tell when something is done");
	if (rc < 0) {
		uring_close(uring);
		return rc;
	}
	uring->tail = uring->begun = load_rlx(uring->asked.tail);
	*ret_state = uring;
	return 0;
}

/* What an operation does not use must be zero. */
static void describe(const struct os_job *job, struct io_uring_sqe *ask)
{
	uint64_t name = (uint64_t)(uintptr_t)job->name;

	memset(ask, 0, sizeof(*ask));
	ask->fd = sys_fd(job->file);
	ask->user_data = (uint64_t)(uintptr_t)job;
	switch (job->kind) {
	case OS_JOB_MAKE:
		ask->addr = name;
		ask->opcode = IORING_OP_OPENAT;
		ask->open_flags = RING_MAKE_FLAGS;
		ask->len = RING_MODE;
		break;
	case OS_JOB_OPEN:
		ask->addr = name;
		ask->opcode = IORING_OP_OPENAT;
		ask->open_flags = RING_OPEN_FLAGS;
		break;
	case OS_JOB_READ:
	case OS_JOB_WRITE:
		ask->opcode = job->kind == OS_JOB_READ ? IORING_OP_READ : IORING_OP_WRITE;
		ask->addr = (uint64_t)(uintptr_t)job->bytes;
		ask->len = job->length;
		ask->off = job->offset;
		break;
	case OS_JOB_RENAME:
		ask->addr = name;
		ask->opcode = IORING_OP_RENAMEAT;
		ask->addr2 = (uint64_t)(uintptr_t)job->to;
		ask->len = (uint32_t)sys_fd(job->file);
		break;
	case OS_JOB_REMOVE:
		ask->opcode = IORING_OP_UNLINKAT;
		ask->addr = name;
		break;
	case OS_JOB_CLOSE: ask->opcode = IORING_OP_CLOSE; break;
	}
}

/* No more than `depth` are ever under way, for which both queues have room. */
static int uring_submit(void *state, struct os_job *job)
{
	struct uring *uring = state;
	uint32_t place = uring->tail & uring->asked.mask;

	describe(job, &uring->asks[place]);
	uring->order[place] = place;
	store_rlx(uring->asked.tail, ++uring->tail);
	return 0;
}

static int enter(struct uring *uring, uint32_t least)
{
	uint32_t more = uring->tail - uring->begun;
	long taken;

	if (!more && !least)
		return 0;
	cc_compiler_barrier(); /* what was written, before the call in which this very thread, in the kernel, reads it */
	taken = SYS(syscall, SYS_io_uring_enter, uring->fd, more, least, least ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
	if (taken < 0)
		return errno == EINTR ? 0 : sys_failed("handing work to an io_uring");
	uring->begun += (uint32_t)taken;
	return 0;
}

static int uring_go(void *state)
{
	return enter(state, 0);
}

static struct os_job *uring_take(void *state)
{
	struct uring *uring = state;
	uint32_t head = load_rlx(uring->done.head);
	const struct io_uring_cqe *answer;
	struct os_job *job;

	/* A1: what the kernel says of it; pairs with A1, as the kernel's store has no label */
	if (head == load_acq(uring->done.tail))
		return NULL;
	answer = &uring->answers[head & uring->done.mask];
	job = (struct os_job *)(uintptr_t)answer->user_data;
	job->result = answer->res < 0 ? sys_error(-answer->res) : answer->res;
	/* R1: it is read, and may be another's; pairs with R1, as the kernel's load has no label */
	store_rel(uring->done.head, head + 1);
	return job;
}

static void uring_await(void *state)
{
	(void)enter(state, 1);
}

const struct ring_way uring_way = {uring_close, uring_submit, uring_go, uring_take, uring_await};
