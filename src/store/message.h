/* SPDX-License-Identifier: MIT */
/* Messages of a store's socket: what tells them from others' (layout.h has their form). */
#ifndef STORE_MESSAGE_H
#define STORE_MESSAGE_H

#include <stdbool.h>
#include <store/layout.h>

void store_message_mark(struct store_message *message);
bool store_message_is_marked(const struct store_message *message);

#endif
