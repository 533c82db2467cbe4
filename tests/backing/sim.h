/* SPDX-License-Identifier: MIT */
/*
 * A simulated disk of a few files, for tests of stores and of those who use them: in memory, and as bad as real ones can be. It may be
 * slow, fail, hang, lie, and lose its power.
 *
 * What was written and not synced stays in a set of sectors of 512 bytes. When the power goes, a random part of the set, in random order, has
 * reached the disk, and nothing else of it ever will: of several writes of one sector any may be the last. A length that was not synced is
 * any of those since the last sync; a name that was made or removed and not synced is there, or is not.
 *
 * One process; any thread. Locks are always free, as there is one user at a time.
 */
#ifndef TESTS_BACKING_SIM_H
#define TESTS_BACKING_SIM_H

#include <backing/disk.h>
#include <stoa/backing.h>

#define SIM_FILES 8
#define SIM_SECTOR DISK_SECTOR

enum sim_operation { SIM_READ = 1, SIM_WRITE = 2, SIM_SYNC = 4, SIM_OPEN = 8, SIM_ANY = 15 };

/* An operation that fails: those of the kinds, of the file (NULL: each), that touch the range, from the nth on, `count` of them. */
struct sim_fault {
	unsigned operations; /* enum sim_operation; 0: none */
	const char *file;
	uint64_t from, to; /* bytes of reads and writes; 0, 0: all */
	uint64_t nth;      /* from 1 */
	uint64_t count;    /* 0: all that follow */
	int error;
};

struct sim_write {
	uint64_t sector;
	unsigned char bytes[SIM_SECTOR];
};

struct sim_file {
	char path[96];
	unsigned char *bytes, *durable; /* as programs see it; as it is on the disk */
	uint64_t room, length, durable_length;
	struct sim_write *pending; /* in the order in which they were written */
	size_t pendings, pending_room;
	bool there, durably_there; /* has its name */
};

struct sim {
	struct disk disk; /* first: what the stores are given */
	struct os_lock lock;
	struct sim_file files[SIM_FILES];
	uint64_t random;
	/* Behaviour; may be set at any time. */
	uint64_t power;           /* operations that change something until the power goes; 0: it stays */
	bool cut_in_the_middle;   /* the last one has been done in part */
	bool lies_about_syncs;    /* sync says 0 and does nothing */
	uint64_t wrong_reads;     /* one of so many reads has a wrong byte; 0: none */
	unsigned milliseconds;    /* each operation takes so long */
	_Atomic uint32_t hangs;   /* 1: operations wait until it is 0 */
	_Atomic uint32_t hanging; /* how many do */
	struct sim_fault fault;
	uint64_t matching; /* operations that fitted the fault */
	/* What has happened. */
	bool off; /* the power is gone: all fails */
	uint64_t reads, writes, syncs;
};

void sim_init(struct sim *sim, uint64_t seed);
void sim_destroy(struct sim *sim);

/* The file, made empty (durably) if it is not there. */
os_handle sim_file(struct sim *sim, const char *path, uint64_t length);

/* As after a crash of the machine: what the disk has; the power is there again. Also without a cut before. */
void sim_crash(struct sim *sim);

/* As after a death of the process: what was written stays, but for the rest of the operation that was cut. */
void sim_restart(struct sim *sim);

/* A plain backing of a file of the disk, which it does not own, without anything between: for tests of pagers. */
int sim_backing(struct sim *sim, os_handle file, struct stoa_backing **ret_backing);

#endif
