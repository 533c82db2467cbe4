/* SPDX-License-Identifier: MIT */
/* The end of a process as something to wait for: a latch in private memory that the os layer's helper sets. Uses os. */
#include <base/error.h>
#include <sync/item.h>
#include <sync/wait_set.h>

struct stoa_process {
	os_handle handle;
	_Atomic uint64_t latch;
	_Atomic uint64_t watched; /* the fork generation + 1 whose helper watches it; a forked child watches anew */
	struct os_process_watch *watch;
};
#define WATCHED_SOON (UINT64_C(1) << 63) /* a thread of this process is about to */

int stoa_process_open(int64_t id, struct stoa_process **ret_process)
{
	struct stoa_process *process;
	int rc;

	if (!ret_process)
		return error_set(-STOA_EINVAL, "no place for the process's handle");
	process = os_allocate(sizeof(*process));
	if (!process)
		return -STOA_ENOMEM;
	rc = os_process_open(id, &process->handle);
	if (rc) {
		os_free(process);
		return rc;
	}
	*ret_process = process;
	return 0;
}

int stoa_process_exited(const struct stoa_process *process)
{
	if (!process)
		return error_set(-STOA_EINVAL, "no process was given");
	return os_process_ended(process->handle);
}

void stoa_process_close(struct stoa_process *process)
{
	if (!process)
		return;
	if (load_rlx(&process->watched) == os_fork_generation() + 1)
		os_process_unwatch(process->watch);
	os_handle_close(process->handle);
	os_free(process);
}

static void ended(void *argument)
{
	signal_latch(argument);
}

/* Have it watched once in this process, whichever thread comes first. */
static int watch_once(struct stoa_process *process)
{
	uint64_t self = os_fork_generation() + 1;
	uint64_t seen = load_acq(&process->watched); /* A1: pairs with R1 in watch_once() */
	int rc;

	while (seen != self) {
		if (seen == (self | WATCHED_SOON)) {
			os_yield();
			seen = load_acq(&process->watched); /* A2: as A1; pairs with R1 in watch_once() */
		} else if (cas_acq(&process->watched, &seen,
				   self | WATCHED_SOON)) { /* A3: pairs with R1 in watch_once() */
			rc = os_process_watch(process->handle, ended, &process->latch, &process->watch);
			store_rel(&process->watched, rc ? 0 : self); /* R1: pairs with A1 in watch_once() */
			return rc;
		}
	}
	return 0;
}

int process_latch(struct stoa_process *process, _Atomic uint64_t **ret_word)
{
	int rc = watch_once(process);

	if (rc)
		return rc;
	/* The helper may not have come to it yet: a try must not say "running" of a process that has ended. */
	if (os_process_ended(process->handle))
		signal_latch(&process->latch);
	*ret_word = &process->latch;
	return 0;
}
