/* SPDX-License-Identifier: MIT */
/* What the files of this folder share: the handle, the ends, and how an end waits. Uses sync and all below it. */
#ifndef CHANNEL_CHANNEL_H
#define CHANNEL_CHANNEL_H

#include <base/cc.h>
#include <base/error.h>
#include <base/mutant.h>
#include <channel/layout.h>
#include <roster/roster.h>
#include <segment/segment.h>
#include <stoa/grant.h>
#include <sync/wait_set.h>

struct stoa_channel {
	struct channel_plan plan;
	struct stoa_segment
		*segments[2]; /* the receivers', then the senders': each has its part, and is in its roster */
	bool owns_segments;
	os_handle lent[2];        /* descriptors of them that only read, to be inherited (grant.c) */
	unsigned char *receiving; /* the parts, mapped */
	unsigned char *sending;
	struct channel_bells *receiving_bells;
	struct channel_bells *sending_bells;
	struct channel_lane *lanes;
	struct channel_reader *readers;
};

static inline struct stoa_segment *channel_segment(const struct stoa_channel *channel, bool of_senders)
{
	return channel->segments[of_senders];
}

/* Are the parts two memory objects, so that there may be those who can write but one? */
static inline bool channel_is_apart(const struct stoa_channel *channel)
{
	return channel->segments[0] != channel->segments[1];
}

static inline bool channel_is_stream(const struct stoa_channel *channel)
{
	return channel->plan.shape.kind == CHANNEL_STREAM;
}

/* What sentences call it, and its ends. (channel.c, end.c) */
const char *channel_noun(bool stream);
const char *channel_end_noun(bool of_stream, bool is_sender);

/* ERIGHTS: the handle may not become that. (end.c) */
int channel_refuse_end(bool of_stream, bool is_sender);

static inline _Atomic uint64_t *channel_hold(const struct stoa_channel *channel, uint32_t reader, uint32_t lane)
{
	unsigned char *row = channel->receiving + channel->plan.holds + reader * channel->plan.hold_row;

	return (_Atomic uint64_t *)(void *)row + lane;
}

static inline _Atomic uint64_t *channel_head(const struct stoa_channel *channel, uint32_t lane)
{
	struct channel_head *heads = (void *)(channel->receiving + channel->plan.heads);

	return &heads[lane].position;
}

static inline unsigned char *channel_ring(const struct stoa_channel *channel, uint32_t lane)
{
	return channel->sending + channel->plan.rings + lane * channel->plan.shape.ring;
}

static inline unsigned char *channel_area(const struct stoa_channel *channel, uint32_t lane)
{
	return channel->sending + channel->plan.areas + lane * channel->plan.shape.large;
}

/* A position's place in its ring: whole units, so that no position reaches beyond the ring's end. */
static inline uint64_t ring_mask(const struct channel_shape *shape)
{
	return shape->ring - CHANNEL_RECORD_UNIT;
}

/* A position as it may be used, of one that somebody else wrote. */
static inline uint64_t whole_position(uint64_t position)
{
	return position & ~(CHANNEL_RECORD_UNIT - 1);
}

static inline struct channel_record *record_at(unsigned char *ring, uint64_t mask, uint64_t position)
{
	return (void *)(ring + (position & mask));
}

/* From a record's begin to its payload, and to its end. */
static inline uint64_t record_payload(const struct record_form *form, uint64_t position, uint32_t kind)
{
	uint64_t unit = form->alignment;

	if (CC_UNLIKELY(kind != RECORD_MESSAGE))
		unit = kind == RECORD_WIDE ? form->wide_alignment : 0;

	if (CC_LIKELY(!unit))
		return form->payload;
	return ((position + form->payload + unit - 1) & ~(unit - 1)) - position;
}

static inline uint64_t record_size(const struct record_form *form, uint64_t position, uint64_t length, uint32_t kind)
{
	return (record_payload(form, position, kind) + length + CHANNEL_RECORD_UNIT - 1) & ~(CHANNEL_RECORD_UNIT - 1);
}

/*
 * The record whose word at `position` is `word`, read once: how long it is with its header. 0: it is none that could be there,
 * so the memory was overwritten. A word of 0 is not asked about: nothing is published there, whatever the position's tag.
 */
static inline uint64_t record_valid(const struct record_form *form, uint64_t position, uint64_t word)
{
	uint32_t kind = (uint32_t)word & RECORD_KIND_MASK, length = (uint32_t)word & RECORD_LENGTH_MASK;
	uint64_t to_end = form->ring - (position & (form->ring - 1)), size = 0;

	if (CC_LIKELY(kind == RECORD_MESSAGE || kind == RECORD_WIDE))
		size = record_size(form, position, length, kind);
	else if (kind == RECORD_LARGE && length == sizeof(struct channel_place))
		size = record_size(form, position, length, kind);
	else if (kind == RECORD_SKIP)
		size = length * CHANNEL_RECORD_UNIT;
	else if (kind == RECORD_SKIP_LAP)
		size = to_end;
	return size <= to_end && !(position % CHANNEL_RECORD_UNIT) ? size : 0;
}

static inline bool record_is_message(uint64_t word)
{
	uint32_t kind = (uint32_t)word & RECORD_KIND_MASK;

	return CC_LIKELY(kind == RECORD_MESSAGE) || kind == RECORD_WIDE || kind == RECORD_LARGE;
}

/* ---- making and opening, with the layout at hand, or known to be a stream's or not ---- */

int channel_create(const char *name, uint32_t segment_flags, struct channel_plan *plan, bool may_open,
		   struct stoa_channel **ret_channel);
int channel_open(const char *name, uint32_t segment_flags, bool stream, struct stoa_channel **ret_channel);
int channel_place(struct stoa_segment *segment, uint64_t offset, const struct channel_plan *plan,
		  struct stoa_channel **ret_channel);
int channel_attach(struct stoa_segment *segment, uint64_t offset, bool stream, struct stoa_channel **ret_channel);

/* Where the message of a large record lies. */
static inline struct channel_place *record_place(const struct record_form *form, struct channel_record *record)
{
	return (void *)((unsigned char *)record + form->payload);
}

/* ---- ends ---- */

/* Make a handle; the parts are mapped by the segments, which it closes if it `owns` them. ENOMEM. (channel.c) */
int channel_handle(struct stoa_segment *const segments[2], unsigned char *receiving, unsigned char *sending,
		   const struct channel_plan *plan, bool owns, struct stoa_channel **ret_channel);

/* Is it a stream's, or is it not, as asked? EKIND. (channel.c) */
int channel_check_kind(const struct channel_plan *plan, bool stream);

/*
 * An unnamed channel, of two segments; a handle made of such two that came from elsewhere, which it owns then. EFORMAT, EVERSION, EKIND,
 * ENOTSUP. (apart.c)
 */
int channel_create_apart(struct channel_plan *plan, struct stoa_channel **ret_channel);
int channel_open_apart(struct stoa_segment *const segments[2], bool stream, struct stoa_channel **ret_channel);

/* Can the handle grant that? EINVAL, ENOTSUP, ERIGHTS. Then, is the part that senders (or receivers) write granted to be written? */
#define CHANNEL_GRANTS (STOA_GRANT_SENDER | STOA_GRANT_RECEIVER)
int channel_check_grant(const struct stoa_channel *channel, uint32_t grant);
bool channel_is_granted(uint32_t grant, bool to_send);

/* What came, as what was asked for; else EKIND. See stoa/grant.h. (grant.c) */
int channel_receive(int socket, bool stream, struct stoa_channel **ret_channel, uint32_t *ret_sender);
int channel_adopt(const char *token, bool stream, struct stoa_channel **ret_channel);

/* An end of this process, sender or receiver. */
struct channel_end {
	struct stoa_channel *channel;
	bool is_sender;
	bool observes;    /* without a place; nobody knows of it */
	uint32_t place;   /* lane or reader */
	uint32_t waiting; /* STOA_BALANCED ... */
	uint32_t flags;
	uint64_t identity;
	uint64_t made_in; /* fork generation: a child has the end, but it is not its own */

	struct channel_bells *own;   /* of its side: it sets its bit in `waiting`, and rings `bells` for the others */
	struct channel_bells *peers; /* of the other side: its own bell is there */
	_Atomic uint32_t *sleeps_on; /* its own */
	bool (*ready)(void *end, bool thorough); /* thoroughly: also whether the dead are in the way */
	struct os_lock lock;                     /* guards what follows, and this end's bit and `sleeps_on` */
	uint32_t sleepers;                       /* of this process; two where it is watched through a descriptor */

	bool fences;       /* this process passes barriers of its own */
	unsigned patience; /* how long it looks before it sleeps */
	unsigned waits;
};

/* Become the owner of a free place: ELIMIT when there is none. Places of the dead are free. */
int channel_end_join(struct channel_end *end, struct stoa_channel *channel, bool is_sender);
void channel_end_leave(struct channel_end *end);

/* Instead of joining: `silent`, all zero, is where it would ring, and nobody waits. */
void channel_end_observe(struct channel_end *end, struct stoa_channel *channel, struct channel_bells *silent);

/* May this process use it? */
static inline bool channel_end_is_parents(const struct channel_end *end)
{
	return end->made_in != load_rlx(&os_forks);
}

/* ENOTOWNER: the caller is a forked child, or the thread that joined has ended. */
int channel_end_check(const struct channel_end *end);

_Atomic uint64_t *channel_owner(const struct stoa_channel *channel, bool of_sender, uint32_t place);

/* Does the place's owner live? `owner` was read from it, and is not 0. */
bool channel_lives(const struct stoa_channel *channel, bool of_sender, uint64_t owner);

/* Were there ends on the other side, and is none left? */
bool channel_peers_left(const struct channel_end *end);

/*
 * Between two looks. Each look takes the line from who writes it, in the midst of a message perhaps: so the longer nothing came, the
 * seldomer it is looked.
 */
static inline void channel_pause(unsigned looks)
{
	for (unsigned i = looks < 24 ? looks / 8 + 1 : 4; i; i--)
		cc_pause();
}

/*
 * Wait until end->ready(), the deadline (STOA_TIMED_OUT), or until the peers have left, if that matters (STOA_CLOSED). Other
 * results are errors.
 */
int channel_end_wait(struct channel_end *end, uint64_t deadline);

/* Has it passed? To be asked where others can go on for ever making it seem that a wait was over. */
bool channel_too_late(uint64_t deadline);

/* Wake the other side's sleepers that `waiting` names. After what they wait for was stored. */
void channel_ring_bells(struct channel_end *end, uint64_t waiting);

/*
 * Who of the other side sleeps? To be asked after what they may wait for was stored. A sleeper sets its bit, then imposes a
 * barrier on all of us; where either process cannot take part in that, the asker passes one of its own.
 */
static inline uint64_t channel_waiting(const struct channel_end *end)
{
	if (CC_UNLIKELY(end->fences || load_rlx(&end->peers->fences)))
		fence_seq(); /* F1: what was stored, before the sleepers' bits; pairs with F2 in source_arm() */
	else
		cc_compiler_barrier();
	return load_acq(&end->peers->waiting); /* A1: the sleepers' `sleeps_on`; pairs with R2 in set_bit() */
}

#endif
