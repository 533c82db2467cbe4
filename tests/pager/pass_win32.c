/* SPDX-License-Identifier: MIT */
/* See common.h: on Windows a pager is one process's. */
#include "common.h"

bool pager_is_shared(void)
{
	return false;
}

void pager_sockets(int sockets[2])
{
	sockets[0] = sockets[1] = -1;
}

void pager_sockets_close(int sockets[2])
{
	(void)sockets;
}

void pager_pass(int sockets[2], struct stoa_pager *pager)
{
	CHECK_RC(stoa_pager_send_with_socket(pager, sockets[0]), 0);
}

struct stoa_pager *pager_take(int sockets[2], struct stoa_backing *backing)
{
	struct stoa_pager *pager;

	CHECK_RC(stoa_pager_receive_with_socket(sockets[1], backing, &pager), 0);
	return pager;
}
