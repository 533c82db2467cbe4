/* SPDX-License-Identifier: MIT */
/*
 * The bare mechanism of pages on first touch: userfaultfd with UFFD_FEATURE_SIGBUS, resolved in the touching thread; see rival.h. It notices first writes,
 * as a pager must, so that the kernel's work is the same.
 */
#include "../rival.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <base/cc.h>

#include "../host.h"

const char rival_pages_name[] = "SIGBUS, fill, UFFDIO_COPY, no more";

#define FEATURES (UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
#define BLOCK_MAX ((size_t)1 << 20)
#define AT_A_TIME 64

static struct rival_pages *in_use;
static struct sigaction before;
static CC_THREAD char *buffer;

static int open_faults(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* UFFD_USER_MODE_ONLY */);
	int error;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

const char *rival_pages_missing(void)
{
	int fd = open_faults();

	if (fd < 0)
		return "userfaultfd for shared memory, with protection against writes, is refused here";
	close(fd);
	return NULL;
}

static int protect(const struct rival_pages *pages, size_t offset, size_t length, bool on)
{
	struct uffdio_writeprotect range = {
		.range = {(uintptr_t)pages->address + offset, length},
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl((int)pages->faults, UFFDIO_WRITEPROTECT, &range) ? errno : 0;
}

static int punch(const struct rival_pages *pages, size_t offset, size_t length)
{
	if (fallocate((int)pages->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length))
		return errno;
	return protect(pages, offset, length, true); /* a hole forgets it */
}

/* The oldest go. */
static int make_room(struct rival_pages *pages, size_t offset)
{
	size_t away = AT_A_TIME * pages->block;
	int error = 0;

	if (offset != pages->end)
		pages->first = pages->end = offset;
	while (!error && pages->end - pages->first >= pages->keep) {
		error = punch(pages, pages->first, away);
		pages->first += away;
	}
	pages->end += pages->block;
	return error;
}

static int resolve(struct rival_pages *pages, size_t offset, bool write)
{
	struct uffdio_copy page = {
		.dst = (uintptr_t)pages->address + offset,
		.len = pages->block,
		.mode = write ? 0 : UFFDIO_COPY_MODE_WP,
	};

	if (!buffer)
		buffer = mmap(NULL, BLOCK_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED || (pages->keep && make_room(pages, offset)))
		return ENOMEM;
	pages->fill(buffer, pages->block, offset);
	page.src = (uintptr_t)buffer;
	if (ioctl((int)pages->faults, UFFDIO_COPY, &page) == 0)
		return 0;
	/* It is there: a first write. */
	return errno == EEXIST ? protect(pages, offset, pages->block, false) : errno;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct rival_pages *pages = in_use;
	size_t offset = (size_t)((char *)info->si_addr - pages->address);
	bool write = false;
	int error = errno, failed;

#ifdef __x86_64__
	write = ((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2;
	/* Present and protected: nothing is to be filled. */
	if (write && ((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 1)
		failed = offset < pages->length
				 ? protect(pages, offset / pages->block * pages->block, pages->block, false)
				 : 1;
	else
#endif
		failed = offset < pages->length ? resolve(pages, offset / pages->block * pages->block, write) : 1;
	(void)context;
	if (failed) {
		signal(number, SIG_DFL);
		return;
	}
	errno = error;
}

int rival_pages_use(struct rival_pages *pages)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	int rc;

	if (!pages)
		return sigaction(SIGBUS, &before, NULL) ? errno : 0;
	in_use = pages;
	sigfillset(&action.sa_mask);
	sigdelset(&action.sa_mask, SIGBUS);
	sigdelset(&action.sa_mask, SIGSEGV);
	rc = sigaction(SIGBUS, &action, &before);
	return rc ? errno : 0;
}

int rival_pages_forget(struct rival_pages *pages)
{
	pages->first = pages->end = 0;
	return punch(pages, 0, pages->length);
}

int rival_pages_clean(struct rival_pages *pages)
{
	return protect(pages, 0, pages->length, true);
}

int rival_pages_make(struct rival_pages *pages)
{
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};
	int error = 0;

	pages->first = pages->end = 0;
	pages->faults = open_faults();
	if (pages->faults < 0)
		return (int)-pages->faults;
	pages->memory = memfd_create("stoa-bench", MFD_CLOEXEC);
	pages->address = MAP_FAILED;
	if (pages->memory < 0 || ftruncate((int)pages->memory, (off_t)pages->length))
		error = errno;
	if (!error) {
		pages->address = mmap(NULL, pages->length, PROT_READ | PROT_WRITE, MAP_SHARED, (int)pages->memory, 0);
		error = pages->address == MAP_FAILED ? errno : 0;
	}
	range.range.start = (uintptr_t)pages->address;
	range.range.len = pages->length;
	if (!error && ioctl((int)pages->faults, UFFDIO_REGISTER, &range))
		error = errno;
	if (!error)
		error = protect(pages, 0, pages->length, true);
	if (error)
		rival_pages_end(pages);
	return error;
}

void rival_pages_end(struct rival_pages *pages)
{
	if (pages->address != MAP_FAILED)
		munmap(pages->address, pages->length);
	if (pages->memory >= 0)
		close((int)pages->memory);
	close((int)pages->faults);
}

/* ---- a mapped file ---- */

const char rival_mapped_name[] = "a mapped file, pages dropped one by one";

int rival_mapped_make(const char *path, size_t length, unsigned keep, struct rival_mapped *ret_mapped)
{
	struct rival_mapped mapped = {.length = length, .keep = keep};
	int file = open(path, O_RDONLY | O_CLOEXEC), error = 0;

	if (file < 0)
		return errno;
	mapped.address = mmap(NULL, length, PROT_READ, MAP_SHARED, file, 0);
	if (mapped.address == MAP_FAILED)
		error = errno;
	close(file);
	mapped.touched = calloc(keep, sizeof(*mapped.touched));
	if (!error && (!mapped.touched || madvise(mapped.address, length, MADV_RANDOM)))
		error = mapped.touched ? errno : ENOMEM;
	*ret_mapped = mapped;
	return error;
}

void rival_mapped_end(struct rival_mapped *mapped)
{
	if (mapped->address != MAP_FAILED)
		munmap(mapped->address, mapped->length);
	free(mapped->touched);
}

unsigned char rival_mapped_touch(struct rival_mapped *mapped, size_t page)
{
	unsigned at = mapped->at++ % mapped->keep;

	if (mapped->touched[at])
		(void)madvise(mapped->address + (mapped->touched[at] - 1) * 4096, 4096, MADV_DONTNEED);
	mapped->touched[at] = page + 1;
	return *(volatile unsigned char *)(mapped->address + page * 4096);
}

/* ---- threads and children ---- */

struct crowd {
	pthread_barrier_t ready;
	void (*work)(void *context, unsigned number);
	void *context;
	unsigned next;
	uint64_t first, last; /* who began first, who ended last: nobody else need be running then */
	pthread_mutex_t lock;
};

static void *take_part(void *argument)
{
	struct crowd *crowd = argument;
	uint64_t begin, end;
	unsigned number;

	pthread_mutex_lock(&crowd->lock);
	number = crowd->next++;
	pthread_mutex_unlock(&crowd->lock);
	host_pin(number);
	pthread_barrier_wait(&crowd->ready);
	begin = host_now();
	crowd->work(crowd->context, number);
	end = host_now();
	pthread_mutex_lock(&crowd->lock);
	crowd->first = begin < crowd->first ? begin : crowd->first;
	crowd->last = end > crowd->last ? end : crowd->last;
	pthread_mutex_unlock(&crowd->lock);
	return NULL;
}

int rival_threads(unsigned count, void (*work)(void *context, unsigned number), void *context, uint64_t *ret_time)
{
	struct crowd crowd = {.work = work, .context = context, .first = UINT64_MAX, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t threads[64];
	unsigned started = 0;
	int error = 0;

	if (count > CC_COUNT(threads))
		return EINVAL;
	pthread_barrier_init(&crowd.ready, NULL, count);
	while (started < count && !error) {
		error = pthread_create(&threads[started], NULL, take_part, &crowd);
		started += !error;
	}
	if (error)
		exit(1); /* the others wait for it */
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	*ret_time = crowd.last - crowd.first;
	pthread_barrier_destroy(&crowd.ready);
	return 0;
}

int rival_twin_start(struct rival_twin *twin, void (*work)(void *context, int socket), void *context)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return errno;
	twin->process = fork();
	if (twin->process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sockets[0]);
		work(context, sockets[1]);
		_exit(0);
	}
	close(sockets[1]);
	twin->socket = sockets[0];
	if (twin->process > 0)
		return 0;
	close(sockets[0]);
	return errno;
}

void rival_twin_end(struct rival_twin *twin)
{
	kill((pid_t)twin->process, SIGKILL);
	waitpid((pid_t)twin->process, NULL, 0);
	close((int)twin->socket);
}

void rival_twin_outlast(void)
{
	prctl(PR_SET_PDEATHSIG, 0); /* of this thread alone */
}

void rival_twin_wait(int socket)
{
	char byte;

	while (read(socket, &byte, sizeof(byte)) < 0 && errno == EINTR)
		continue;
}

void rival_twin_leave(struct rival_twin *twin)
{
	close((int)twin->socket);
	while (waitpid((pid_t)twin->process, NULL, 0) < 0 && errno == EINTR)
		continue;
}
