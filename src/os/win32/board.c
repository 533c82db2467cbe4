/* SPDX-License-Identifier: MIT */
/*
 * Boards, and touches that wait, which only pagers of several processes and served ones need, are refused: Windows has no handle with which one
 * process changes another's map, or learns of its touches. What a pager never comes to without them does nothing.
 */
#include <base/error.h>
#include <os/trap.h>

static int refuse(void)
{
	return error_set(-STOA_ENOTSUP, "Windows has no pagers of several processes");
}

int os_board_create(os_handle ret_ends[2])
{
	(void)ret_ends;
	return refuse();
}

int os_board_post(const os_handle ends[2], const void *note, os_handle passed)
{
	(void)ends, (void)note, (void)passed;
	return refuse();
}

int os_board_look(const os_handle ends[2],
		  int (*visit)(const void *note, os_handle passed, bool *ret_kept, void *argument), void *argument)
{
	(void)ends, (void)visit, (void)argument;
	return refuse();
}

int os_board_drop(const os_handle ends[2])
{
	(void)ends;
	return STOA_CLOSED;
}

int os_trap_forbid_remote(os_handle remote, uint64_t base, uint64_t offset, uint64_t length)
{
	(void)remote, (void)base, (void)offset, (void)length;
	return refuse();
}

/* ---- touches that wait ---- */

void os_fault_raise(uint32_t thread, const void *address)
{
	(void)thread, (void)address;
}

_Atomic uint32_t os_trap_without;

int os_trap_show(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	(void)trap, (void)other, (void)offset, (void)length;
	return refuse();
}

int os_trap_poison(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	return os_trap_show(trap, other, offset, length);
}

int os_trap_open(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	return os_trap_show(trap, other, offset, length);
}

int os_trap_forgive(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	return os_trap_show(trap, NULL, offset, length);
}

int os_trap_wake(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	return os_trap_show(trap, other, offset, length);
}

int os_trap_take(struct os_trap *trap, const struct os_trap_other *other, struct os_trap_event *ret_event)
{
	(void)trap, (void)other, (void)ret_event;
	return refuse();
}

bool os_trap_serves_calls(const struct os_trap *trap)
{
	(void)trap;
	return false;
}

bool os_trap_poisons_others(void)
{
	return false;
}

int os_watch_create(struct os_watch **ret_watch)
{
	(void)ret_watch;
	return refuse();
}

void os_watch_close(struct os_watch *watch)
{
	(void)watch;
}

int os_watch_add(struct os_watch *watch, os_handle handle, uint64_t token, bool once)
{
	(void)watch, (void)handle, (void)token, (void)once;
	return refuse();
}

void os_watch_remove(struct os_watch *watch, os_handle handle)
{
	(void)watch, (void)handle;
}

void os_watch_poke(struct os_watch *watch)
{
	(void)watch;
}

uint64_t os_watch_wait(struct os_watch *watch, uint64_t timeout)
{
	(void)watch, (void)timeout;
	return OS_WATCH_NOTHING;
}
