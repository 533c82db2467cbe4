/* SPDX-License-Identifier: MIT */
/* Where a client finds its server: at a path, or in threads of this program. */
#ifndef STORE_EMBEDDED_H
#define STORE_EMBEDDED_H

#include <os/os.h>

/*
 * Connect to `where`, as stoa_store_open() has it. ret_path: where that is, wherever this program goes. *ret_embedded: embedded_release() is to be called
 * in the end.
 */
int embedded_connect(const char *where, char ret_path[OS_PATH_ROOM], os_handle *ret_socket, bool *ret_embedded);

/* One handle less on this program's server; it ends with the last. */
void embedded_release(void);

/* Around a fork: so that its child finds nobody in the middle of something. */
void embedded_hold(void);
void embedded_go_on(void);

#endif
