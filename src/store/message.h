/* SPDX-License-Identifier: MIT */
/* What server and clients share beside the directory: what tells messages of a store's socket from others' (layout.h has their form), counts. */
#ifndef STORE_MESSAGE_H
#define STORE_MESSAGE_H

#include <stdbool.h>
#include <stoa/store.h>
#include <store/layout.h>

void store_message_mark(struct store_message *message);
bool store_message_is_marked(const struct store_message *message);

/* What a directory's header counts, for people. */
void store_header_stat(const struct store_header *header, struct stoa_store_stat *ret_stat);

#endif
