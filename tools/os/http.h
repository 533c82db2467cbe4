/* SPDX-License-Identifier: MIT */
/* A daemon's metrics over HTTP, for a monitor; where the build has libmicrohttpd. */
#ifndef TOOLS_OS_HTTP_H
#define TOOLS_OS_HTTP_H

#include <stdint.h>

#define HTTP_WHERE 80

struct http;

/*
 * Serve, in a thread of its own, `GET /metrics` with what `fill` writes to a buffer of `room` bytes; negative: it cannot now. `where` is PORT, :PORT, ADDRESS:PORT or [ADDRESS]:PORT,
 * in numbers; without an address it is this machine's own, 127.0.0.1; port 0: one that is free. TOOL_GO, or a status, said. `place` gets the URL.
 */
int http_start(const char *where, int (*fill)(void *argument, char *ret_text, uint64_t room), void *argument,
	       struct http **ret_http, char place[HTTP_WHERE]);
void http_stop(struct http *http); /* NULL is allowed */

#endif
