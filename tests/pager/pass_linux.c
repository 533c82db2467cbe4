/* SPDX-License-Identifier: MIT */
/* See common.h: pagers go over a pair of sockets. */
#include "common.h"

#include <sys/socket.h>
#include <unistd.h>

bool pager_is_shared(void)
{
	return true;
}

void pager_sockets(int sockets[2])
{
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
}

void pager_sockets_close(int sockets[2])
{
	close(sockets[0]);
	close(sockets[1]);
}

void pager_pass(int sockets[2], struct stoa_pager *pager)
{
	CHECK_RC(stoa_pager_send_with_socket(pager, sockets[0]), 0);
}

struct stoa_pager *pager_take(int sockets[2], struct stoa_backing *backing)
{
	struct stoa_pager *pager;

	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_pager_receive_with_socket(sockets[1], backing, &pager), 0);
	return pager;
}
