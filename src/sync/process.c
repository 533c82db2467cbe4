/* SPDX-License-Identifier: MIT */
/* The end of a process as something to wait for: a latch in private memory that the os layer's helper sets. Uses os. */
#include <base/error.h>
#include <sync/item.h>
#include <sync/wait_set.h>

struct stoa_process {
	os_handle handle;
	_Atomic uint64_t latch;
	uint64_t watched_by; /* process id: a forked child watches anew */
	struct os_process_watch *watch;
};

int stoa_process_open(int64_t id, struct stoa_process **ret_process)
{
	struct stoa_process *process = os_allocate(sizeof(*process));
	int rc;

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
	return os_process_ended(process->handle);
}

void stoa_process_close(struct stoa_process *process)
{
	if (!process)
		return;
	if (process->watch && process->watched_by == os_process_id())
		os_process_unwatch(process->watch);
	os_handle_close(process->handle);
	os_free(process);
}

static void ended(void *argument)
{
	signal_latch(argument);
}

int process_latch(struct stoa_process *process, _Atomic uint64_t **ret_word)
{
	uint64_t self = os_process_id();

	if (!process->watch || process->watched_by != self) {
		int rc = os_process_watch(process->handle, ended, &process->latch, &process->watch);

		if (rc)
			return rc;
		process->watched_by = self;
	}
	*ret_word = &process->latch;
	return 0;
}
