/* SPDX-License-Identifier: MIT */
/* Options to layout, and the header that tells it to those who come later. Uses base. */
#include <channel/layout.h>

#include <base/error.h>
#include <base/hash.h>
#include <inttypes.h>
#include <string.h>

static const uint8_t magic[8] = {'S', 'T', 'O', 'A', 'C', 'H', 'N', '\n'};

/* All that two programs must agree on to share a channel. Whoever changes one of these things changes this string. */
static const char layout[] =
	"little-endian; page 4096; receiving part, then sending part, each: header at 0: magic8 layout8 kind4 flags4 "
	"senders4 receivers4 ring8 alignment4 zero4 large8 check8; at 4096: waiting8 fences4, bells 64x8 at 64, 640 in all; "
	"receiving: readers of 128: owner8 received8 bytes8 lost8 sleeps8 wakes8, at 64 lag8 slow4 sleeps_on4 joined4 ending4 settled8; "
	"rows of holds, whole lines; heads of 64; sending: lanes of 128: owner8 tail8 sent8 bytes8 sleeps8 wakes8 "
	"most8, at 64 floor8 wants8 sleeps_on4 joined4 given_up8 ending4 zero4 area_used8; rings from whole pages; areas behind; record at multiples of 64: word8 "
	"(position/64+1 32, kind 4, length 28) sequence8, timed: time8 zero8; kinds 1 message 2 skip 3 skip to the end 4 "
	"message aligned to 64 5 message in the area: offset8 length8; "
	"kind 2: a stream, bytes instead of records";

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static uint64_t whole(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) & ~(unit - 1);
}

static int check_ends(const char *what, uint32_t count)
{
	if (count <= STOA_ENDS_MAX)
		return 0;
	return error_set(-STOA_EINVAL, "%" PRIu32 " %s: a channel has places for at most %d", count, what,
			 STOA_ENDS_MAX);
}

static int refuse_kind(uint32_t kind)
{
	return error_set(-STOA_EINVAL, "kind %" PRIu32 " is neither STOA_QUEUE nor STOA_BROADCAST", kind);
}

static int check_shape(const struct channel_shape *shape)
{
	char text[ERROR_SIZE];
	int rc = check_ends("senders", shape->senders);

	if (!rc)
		rc = check_ends("receivers", shape->receivers);
	if (rc)
		return rc;
	if (shape->kind == CHANNEL_STREAM ? shape->senders != 1 || shape->receivers != 1 : shape->kind > STOA_BROADCAST)
		return refuse_kind(shape->kind);
	if (shape->flags & ~STOA_TIMES)
		return error_set(-STOA_EINVAL, "a channel takes no flags but STOA_TIMES; 0x%" PRIx32 " was given",
				 shape->flags);
	if (!is_power_of_two(shape->ring) || shape->ring < CHANNEL_RING_MIN || shape->ring > CHANNEL_RING_MAX)
		return error_set(-STOA_EINVAL, "a ring of %s is not a power of two from 4KiB to 1GiB; use e.g. 256KiB",
				 error_size(shape->ring, text));
	if (!is_power_of_two(shape->alignment) || shape->alignment < 16 || shape->alignment > 4096)
		return error_set(-STOA_EINVAL, "an alignment of %" PRIu32 " is not a power of two from 16 to 4096",
				 shape->alignment);
	if (shape->ring < 4 * (uint64_t)shape->alignment)
		return error_set(-STOA_EINVAL, "an alignment of %" PRIu32 " needs a ring of at least four times that",
				 shape->alignment);
	if (shape->large > CHANNEL_LARGE_MAX || shape->large % OS_PAGE)
		return error_set(-STOA_EINVAL, "%s for larger messages are more than 1TiB, or not in whole pages",
				 error_size(shape->large, text));
	return 0;
}

static void lay_out(struct channel_plan *plan)
{
	const struct channel_shape *shape = &plan->shape;
	uint64_t bells_end = CHANNEL_BELLS + sizeof(struct channel_bells), room = shape->ring / 4;
	uint64_t header = shape->flags & STOA_TIMES ? RECORD_HEADER_TIMED : RECORD_HEADER;

	plan->form = (struct record_form){
		.ring = shape->ring,
		.payload =
			(uint32_t)(shape->alignment > CHANNEL_RECORD_UNIT ? header : whole(header, shape->alignment)),
		.alignment = shape->alignment > CHANNEL_RECORD_UNIT ? shape->alignment : 0,
		.wide_alignment = shape->alignment > CHANNEL_LINE ? shape->alignment : CHANNEL_LINE,
	};
	plan->readers = bells_end;
	plan->holds = plan->readers + shape->receivers * sizeof(struct channel_reader);
	plan->hold_row = whole(shape->senders * sizeof(uint64_t), 128);
	plan->heads = plan->holds + shape->receivers * plan->hold_row;
	plan->receiving_length = whole(plan->heads + shape->senders * sizeof(struct channel_head), OS_PAGE);
	plan->lanes = whole(bells_end, 128);
	plan->rings = whole(plan->lanes + shape->senders * sizeof(struct channel_lane), OS_PAGE);
	plan->sending_length = plan->rings + shape->senders * shape->ring;
	plan->areas = plan->sending_length;
	plan->sending_reserve = plan->areas + shape->senders * shape->large;
	/* Two records of this size, one of them skipped at the ring's end, and a word behind always fit. */
	plan->payload_max =
		room > 2 * shape->alignment ? room - RECORD_HEADER_TIMED - plan->form.wide_alignment : CHANNEL_LINE;
	if (plan->payload_max > RECORD_LENGTH_MASK)
		plan->payload_max = RECORD_LENGTH_MASK;
}

static int plan_shape(const struct channel_shape *shape, struct channel_plan *ret_plan)
{
	int rc = check_shape(shape);

	if (rc)
		return rc;
	ret_plan->shape = *shape;
	lay_out(ret_plan);
	return 0;
}

int channel_plan(const struct stoa_channel_options *options, struct channel_plan *ret_plan)
{
	static const struct stoa_channel_options defaults = {.kind = STOA_QUEUE};

	uint64_t large;

	options = options ? options : &defaults;
	if (options->kind == CHANNEL_STREAM)
		return refuse_kind(options->kind);
	large = options->large > CHANNEL_LARGE_MAX ? options->large : whole(options->large, OS_PAGE);
	return plan_shape(&(struct channel_shape){.kind = options->kind,
						  .flags = options->flags,
						  .senders = options->senders ? options->senders : 1,
						  .receivers = options->receivers ? options->receivers : 1,
						  .ring = options->ring ? options->ring : CHANNEL_RING_DEFAULT,
						  .alignment = options->alignment ? options->alignment : 16,
						  .large = large},
			  ret_plan);
}

int channel_plan_stream(uint64_t ring, struct channel_plan *ret_plan)
{
	return plan_shape(&(struct channel_shape){.kind = CHANNEL_STREAM,
						  .senders = 1,
						  .receivers = 1,
						  .ring = ring ? ring : CHANNEL_RING_DEFAULT,
						  .alignment = 16},
			  ret_plan);
}

static uint64_t header_check(const struct channel_header *header)
{
	return hash_bytes(header, offsetof(struct channel_header, check));
}

void channel_header_write(const struct channel_plan *plan, void *part)
{
	struct channel_header header = {.layout = hash_bytes(layout, sizeof(layout)), .shape = plan->shape};

	memcpy(header.magic, magic, sizeof(magic));
	header.check = header_check(&header);
	memcpy(part, &header, sizeof(header));
}

bool channel_header_is_marked(const struct channel_header *header)
{
	return memcmp(header->magic, magic, sizeof(magic)) == 0 && header->layout == hash_bytes(layout, sizeof(layout));
}

int channel_header_read(const struct channel_header *header, struct channel_plan *ret_plan)
{
	struct channel_plan plan;
	int rc;

	if (memcmp(header->magic, magic, sizeof(magic)) != 0)
		return error_set(-STOA_EFORMAT, "not a channel: it does not begin with the mark of one");
	if (header->layout != hash_bytes(layout, sizeof(layout)))
		return error_set(-STOA_EVERSION, "a channel of another layout: both programs must use the same "
						 "version of stoa");
	plan.shape = header->shape;
	rc = check_shape(&plan.shape);
	if (rc || header->check != header_check(header) || !plan.shape.senders || !plan.shape.receivers ||
	    plan.shape.unused)
		return error_set(-STOA_EFORMAT, "a channel's header is damaged");
	lay_out(&plan);
	*ret_plan = plan;
	return 0;
}
