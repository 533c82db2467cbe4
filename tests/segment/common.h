/* SPDX-License-Identifier: MIT */
/* What the tests of segments share: touching memory that may fault, and sizes. On every system. */
#ifndef TESTS_SEGMENT_COMMON_H
#define TESTS_SEGMENT_COMMON_H

#include <harness/test.h>

#include <segment/header.h>
#include <segment/segment.h>
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* What became of a child that read or wrote the byte: 0 when it may, ABSENT: nothing is there, REFUSED: not so. */
#define ABSENT 7   /* SIGBUS, where there are signals */
#define REFUSED 11 /* SIGSEGV */
int probe_byte(volatile unsigned char *byte, bool write);

/* Memory behind the segment's object, in bytes. */
uint64_t committed_blocks(const struct stoa_segment *segment);

/* Memory that the system needs to map memory for this process, where it tells; else 0. */
uint64_t page_table_bytes(void);

/* Whether the system takes back pages of memory that is shared, for stoa_segment_discard(). */
extern const bool gives_back;

/* Whether the system lets a file grow while it is mapped, tried without stoa. */
bool files_grow(void);

/* What can be opened by a path, and is no file. */
extern const char *const device_path;

/* How many times as long as on Linux it takes to open a segment: tests go fewer rounds. */
extern const unsigned open_cost;

/* Whether anything of a name of this user's is there, also of the dead. */
bool name_exists(const char *name);

/* For this user. */
void make_folder(const char *path);

/* A map as large as a reserve of that many bytes takes, asked for without stoa: the system may refuse it. */
void need_room(uint64_t reserve);

static inline int touch(void *byte)
{
	return probe_byte(byte, true);
}

/* The same where the system does not round pages up, so that counting them makes sense. */
static inline uint64_t blocks(const struct stoa_segment *segment)
{
	const char *setting;

	if (os_huge_offered(&setting) && strcmp(setting, "advise") != 0)
		SKIP("shmem_enabled is '%s': the system gives everybody huge pages", setting);
	return committed_blocks(segment);
}

static inline unsigned char *bytes_of(const struct stoa_segment *segment)
{
	return stoa_segment_address(segment);
}

/* The sentence of the last failure must mention `text`. */
static inline void check_detail(const char *text)
{
	if (!strstr(stoa_error_detail(), text))
		test_fail(__FILE__, __LINE__, "the detail is '%s', without '%s'", stoa_error_detail(), text);
}

/* The call refused an argument, and says which. */
static inline void check_refusal(int rc, const char *text)
{
	CHECK_RC(rc, -STOA_EINVAL);
	check_detail(text);
}

#endif
