/* SPDX-License-Identifier: MIT */
/* What stoad does with --metrics-http where it was built without libmicrohttpd. */
#include "../http.h"

#include "../../tool.h"

int http_start(const char *where, int (*fill)(void *argument, char *ret_text, uint64_t room), void *argument,
	       struct http **ret_http, char place[HTTP_WHERE])
{
	(void)where, (void)fill, (void)argument, (void)ret_http, (void)place;
	return tool_fail(
		"--metrics-http: this stoad was built without libmicrohttpd; 'stoa stat --store --metrics' tells the same");
}

void http_stop(struct http *http)
{
	(void)http;
}
