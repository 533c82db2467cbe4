/* SPDX-License-Identifier: MIT */
/* What the kit does inside a server. */
#ifndef TESTS_STORE_BOOKS_H
#define TESTS_STORE_BOOKS_H

#include <stdint.h>

struct stoa_server;

/* A server that was stopped may run again. */
void kit_go_on(struct stoa_server *server);
uint32_t kit_drafts_of(const struct stoa_server *server);
uint64_t kit_committed(const struct stoa_server *server);

#endif
