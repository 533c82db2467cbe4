/* SPDX-License-Identifier: MIT */
/* stoa: shared memory for programs. This header brings in all of the library; each subject has its own. */
#ifndef STOA_STOA_H
#define STOA_STOA_H

#include <stoa/backing.h>
#include <stoa/channel.h>
#include <stoa/channel_stat.h>
#include <stoa/error.h>
#include <stoa/grant.h>
#include <stoa/inspect.h>
#include <stoa/keeper.h>
#include <stoa/kernel.h>
#include <stoa/manager.h>
#include <stoa/pager.h>
#include <stoa/pager_stat.h>
#include <stoa/segment.h>
#include <stoa/store.h>
#include <stoa/store_server.h>
#include <stoa/store_stat.h>
#include <stoa/stream.h>
#include <stoa/subscription.h>
#include <stoa/sync.h>
#include <stoa/transfer.h>
#include <stoa/wait.h>

#define STOA_VERSION_MAJOR 0
#define STOA_VERSION_MINOR 1
#define STOA_VERSION_PATCH 0
#define STOA_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is running, e.g. "0.1.0"; static storage. Safe anywhere. */
STOA_API const char *stoa_version(void);

#ifdef __cplusplus
}
#endif
#endif
