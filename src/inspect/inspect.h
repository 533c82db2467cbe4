/* SPDX-License-Identifier: MIT */
/*
 * The inspector, and what its two files share. Uses os, segment's header, channel's and pager's look, and the layouts of roster and sync.
 */
#ifndef INSPECT_INSPECT_H
#define INSPECT_INSPECT_H

#include <channel/look.h>
#include <os/os.h>
#include <pager/look.h>
#include <segment/header.h>
#include <stoa/inspect.h>

struct stoa_inspector {
	os_handle memory;
	struct segment_header header; /* checked when header_result is 0 */
	int header_result;
	bool raw;          /* its header is the name's record */
	bool left;         /* by users that are dead */
	bool other_system; /* who of its threads lives cannot be told here */
};

/*
 * Copy bytes of the object; what lies beyond its end reads as zero, as holes do. Nothing is mapped, so a peer that cuts the object
 * meanwhile harms nobody.
 */
int inspect_read(const struct stoa_inspector *inspector, uint64_t offset, void *bytes, size_t length);

/* A channel at `offset` of its data; what is there need not be one. ERANGE, EFORMAT. */
int inspect_channel_site(const struct stoa_inspector *inspector, uint64_t offset, struct channel_site *ret_site);

/* The pager that it is. EFORMAT. */
int inspect_pager_site(const struct stoa_inspector *inspector, struct pager_site *ret_site);

/* A slot's life word: 0 where no thread ever was; without an id where its owner is known to be dead. */
int inspect_life(const struct stoa_inspector *inspector, uint32_t slot, uint64_t *ret_life);

#endif
