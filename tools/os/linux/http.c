/* SPDX-License-Identifier: MIT */
/*
 * Metrics over HTTP by libmicrohttpd, in one thread of its own: who asks slowly, or not to the end, keeps nobody but others who ask, and those for
 * ten seconds at most. Whoever can connect may ask, as there is nothing in the figures that is a secret of a user.
 */
#include "../http.h"

#include "../../tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <stoa/store_stat.h>

#define CONNECTIONS 16u
#define PATIENCE 10u                        /* seconds without a byte */
#define CONNECTION_MEMORY ((size_t)8 << 10) /* a request's head fits, or is refused */

struct http {
	struct MHD_Daemon *daemon;
	int (*fill)(void *argument, char *ret_text, uint64_t room);
	void *argument;
	char text[STOA_METRICS_ROOM]; /* used by the one thread */
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* ---- where ---- */

static bool parse_address(const char *text, size_t length, uint16_t port, union address *ret)
{
	char host[INET6_ADDRSTRLEN + 1];

	memset(ret, 0, sizeof(*ret));
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']' && length - 2 < sizeof(host)) {
		snprintf(host, sizeof(host), "%.*s", (int)length - 2, text + 1);
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(port);
		return inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1;
	}
	if (length >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)length, length ? text : "127.0.0.1");
	if (!length)
		strcpy(host, "127.0.0.1");
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = htons(port);
	return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1;
}

static int parse_where(const char *where, union address *ret)
{
	const char *colon = strrchr(where, ':'), *digits = colon ? colon + 1 : where;
	uint64_t port;

	if (number_parse(digits, &port) && port <= UINT16_MAX &&
	    parse_address(where, colon ? (size_t)(colon - where) : 0, (uint16_t)port, ret))
		return TOOL_GO;
	return tool_misuse("--metrics-http '%s' is no address; use e.g. 9100, 127.0.0.1:9100, [::1]:9100, 0.0.0.0:9100",
			   where);
}

static void write_place(const struct http *http, const union address *address, char place[HTTP_WHERE])
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
	bool v6 = address->any.sa_family == AF_INET6;
	char host[INET6_ADDRSTRLEN] = "";

	inet_ntop(address->any.sa_family, v6 ? (const void *)&address->v6.sin6_addr : &address->v4.sin_addr, host,
		  sizeof(host));
	snprintf(place, HTTP_WHERE, v6 ? "http://[%s]:%u/metrics" : "http://%s:%u/metrics", host,
		 info ? info->port : 0u);
}

/* ---- answering ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text, const char *header,
			      const char *value)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, header, value) == MHD_YES)
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **state)
{
	static const char type[] = MHD_HTTP_HEADER_CONTENT_TYPE, plain[] = "text/plain; charset=utf-8";
	struct http *http = argument;

	(void)version, (void)upload, (void)state;
	if (*upload_size) /* whatever comes with it is of no interest */
		return MHD_NO;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n", MHD_HTTP_HEADER_ALLOW,
			      "GET, HEAD");
	if (strcmp(url, "/metrics") != 0)
		return answer(connection, MHD_HTTP_NOT_FOUND, "there is /metrics, and nothing else\n", type, plain);
	if (http->fill(http->argument, http->text, sizeof(http->text)) < 0)
		return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the server does not answer\n", type, plain);
	return answer(connection, MHD_HTTP_OK, http->text, type, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- starting and ending ---- */

int http_start(const char *where, int (*fill)(void *argument, char *ret_text, uint64_t room), void *argument,
	       struct http **ret_http, char place[HTTP_WHERE])
{
	struct http *http;
	union address address;
	int status = parse_where(where, &address);

	if (status != TOOL_GO)
		return status;
	http = calloc(1, sizeof(*http));
	if (!http)
		return tool_fail("out of memory");
	http->fill = fill;
	http->argument = argument;
	http->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | (address.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL,
		handle, http, MHD_OPTION_SOCK_ADDR, &address.any, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
	if (!http->daemon) {
		status = tool_fail("--metrics-http '%s': %s", where, strerror(errno));
		free(http);
		return status;
	}
	write_place(http, &address, place);
	*ret_http = http;
	return TOOL_GO;
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	MHD_stop_daemon(http->daemon);
	free(http);
}
