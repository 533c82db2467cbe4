/* SPDX-License-Identifier: MIT */
/* The mark of messages: a magic number, and a hash of all that client and server must agree on beside the directory. */
#include <store/message.h>

#include <base/atomic.h>
#include <base/hash.h>
#include <string.h>

/* Whoever changes one of these things changes this string. */
static const char layout[] =
	"message 64: magic8 layout8 kind4 result4 arena4 count4 generation8 size8 length8 space8; reports 4096: clients 64: key8 charged8 process4 user4 leases4 drafts4 regions4 waits4 flags4, figures 96 x 8; session: tail at 0, head 64, completed 128, "
	"seen 192, waiting 200, completions 1024 x 64 at 4096: serial8 result4 entry4 state8 arena4 zero4 offset8 size8; ring at 69632; "
	"request 56: length4 op2 id2 serial8 size8 state8 entry4 flags4 meta2 kind1 access1 reader4 of8, id, metadata, data, to 64; "
	"lease: in-use1 flip1 generation38 entry24; extent: data, to 64, metadata, to 64, tail 64: length8; an object of its own is "
	"backed and sealed by its maker";

void store_message_mark(struct store_message *message)
{
	memcpy(message->magic, STORE_MAGIC, sizeof(message->magic));
	message->layout = hash_bytes(layout, sizeof(layout));
}

bool store_message_is_marked(const struct store_message *message)
{
	return memcmp(message->magic, STORE_MAGIC, sizeof(message->magic)) == 0 &&
	       message->layout == hash_bytes(layout, sizeof(layout));
}

void store_header_stat(const struct store_header *header, struct stoa_store_stat *ret_stat)
{
	*ret_stat = (struct stoa_store_stat){
		.objects = load_rlx(&header->objects),
		.committed = load_rlx(&header->bytes),
		.limit = load_rlx(&header->limit),
		.clients = load_rlx(&header->sessions),
		.puts = load_rlx(&header->puts),
		.deletes = load_rlx(&header->deletes),
		.evictions = load_rlx(&header->evictions),
		.refusals = load_rlx(&header->refusals),
		.servers = load_rlx(&header->server),
		.spilled = load_rlx(&header->spilled),
		.spilled_bytes = load_rlx(&header->spilled_bytes),
		.spill_limit = load_rlx(&header->spill_limit),
		.spills = load_rlx(&header->spills),
		.restores = load_rlx(&header->restores),
		.spill_failures = load_rlx(&header->spill_failures),
		.spill_losses = load_rlx(&header->spill_losses),
	};
}
