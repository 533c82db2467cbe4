/* SPDX-License-Identifier: MIT */
/* Boards, which only pagers of several processes need, are refused: Windows has no handle with which one process forbids writes in another's map. */
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
