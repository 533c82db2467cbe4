/* SPDX-License-Identifier: MIT */
/*
 * Looking at a channel from outside: its words are copied out of the memory object by reading, never mapped, so that who looks needs no
 * right to write, takes no part, and cannot be harmed by what lies there or by memory that is cut. Uses roster's layout and os.
 */
#ifndef CHANNEL_LOOK_H
#define CHANNEL_LOOK_H

#include <channel/channel.h>
#include <stoa/channel_stat.h>
#include <stoa/inspect.h>

/* Where a channel lies: its receiving part and its sending part, each in the segment whose roster its ends are in. */
struct channel_site {
	struct channel_part {
		os_handle memory;
		uint64_t at;    /* in the memory object */
		uint64_t room;  /* bytes from there on, up to the end of the reserve, or of what is committed */
		uint32_t slots; /* of the segment's roster */
	} parts[2];             /* the second lies behind the first, and need not be filled in, unless they are */
	bool apart;
	bool lives_known; /* false: its threads are another system's, or session's */
};

/* All of a channel but the rings, as it was at one moment; or rather the receiving part at one, the sending part at a later one. */
struct channel_look {
	struct channel_site site; /* with both parts */
	struct channel_plan plan;
	uint64_t words; /* length of the copy: the receiving part, and the sending part up to the rings */
	unsigned char *copy;
};

/* Read the headers, and the words. EFORMAT, EVERSION, ENOMEM; ESYSTEM, EIO. channel_look_end() only after 0. */
int channel_look(const struct channel_site *site, struct channel_look *ret_look);
void channel_look_end(struct channel_look *look);

/*
 * Does a channel's first part begin there, as its mark says? 1, with its length in *ret_length, whole pages and no more than there is room for; a
 * page if what it says cannot be. 0: no. Or an error of reading.
 */
int channel_look_mark(const struct channel_part *part, uint64_t *ret_length);

/* Copy the words once more, into `copy`, of look->words bytes. */
int channel_look_again(const struct channel_look *look, unsigned char *copy);

/* Copy bytes of a part from `offset` on; what is not there reads as zero. */
int channel_look_read(const struct channel_part *part, uint64_t offset, void *bytes, size_t length);

/* STOA_END_*: what of that owner is known; or an error of reading. *ret_life may be NULL; it is 0 where nothing was looked at. */
int channel_look_owner(const struct channel_site *site, bool of_sender, uint64_t owner, uint64_t *ret_life);

/* The parts of a copy. */
static inline const struct channel_bells *look_bells(const struct channel_look *look, bool of_senders)
{
	return (const void *)(look->copy + (of_senders ? look->plan.receiving_length : 0) + CHANNEL_BELLS);
}

static inline const struct channel_lane *look_lane(const struct channel_look *look, uint32_t lane)
{
	const struct channel_lane *lanes = (const void *)(look->copy + look->plan.receiving_length + look->plan.lanes);

	return &lanes[lane];
}

static inline const struct channel_reader *look_reader(const struct channel_look *look, uint32_t reader)
{
	const struct channel_reader *readers = (const void *)(look->copy + look->plan.readers);

	return &readers[reader];
}

static inline uint64_t look_hold(const struct channel_look *look, uint32_t reader, uint32_t lane)
{
	const _Atomic uint64_t *row = (const void *)(look->copy + look->plan.holds + reader * look->plan.hold_row);

	return load_rlx(&row[lane]);
}

static inline uint64_t look_head(const struct channel_look *look, uint32_t lane)
{
	const struct channel_head *heads = (const void *)(look->copy + look->plan.heads);

	return load_rlx(&heads[lane].position);
}

/* Where the ring of a lane has a position, in the sending part. */
static inline uint64_t look_place(const struct channel_look *look, uint32_t lane, uint64_t position)
{
	return look->plan.rings + lane * look->plan.shape.ring + (position & ring_mask(&look->plan.shape));
}

/* Where one lies that is open. */
struct channel_site channel_site(const struct stoa_channel *channel);

int channel_stat(const struct channel_site *site, struct stoa_channel_stat *ret_stat);

/*
 * Compare everything in the channel with what it may be, and call tell(argument, STOA_REMARK or STOA_DAMAGE, sentence) for each finding.
 * What a death at any instruction leaves is no damage. Who uses the channel changes it meanwhile: what is compared with each other
 * was seen to stay as it was. 0, or an error of reading.
 */
int channel_valid(const struct channel_site *site, void (*tell)(void *argument, int severity, const char *sentence),
		  void *argument);

#endif
