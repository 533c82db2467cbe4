/* SPDX-License-Identifier: MIT */
/* Journals: their begin, and what is checked of one that a dead server left. */
#include <store/journal.h>

#include <base/error.h>
#include <base/hash.h>
#include <string.h>

static const uint8_t magic[8] = {'S', 'T', 'O', 'A', 'J', 'N', 'L', '\n'};

/* Whoever changes one of these things changes this string. */
static const char layout[] =
	"journal: magic8 layout8 sessions4 zero4 keys8; at 64 key8 serial8 entry8 state8 event8 event_of8 event_state8; sessions of 128 at "
	"128: key8 head8 completed8 serial8 ring8 lines4 welcomed4 subscribed4 which4 zero8, told8 lost8 event8 listed4 zero4 twice";

void journal_begin(struct journal *journal, uint32_t sessions)
{
	journal->sessions = sessions;
	journal->layout = hash_bytes(layout, sizeof(layout));
	memcpy(journal->magic, magic, sizeof(magic));
}

int journal_check(const struct journal *journal, uint64_t length)
{
	if (memcmp(journal->magic, magic, sizeof(magic)) != 0)
		return error_set(-STOA_EFORMAT, "what was held is no journal");
	if (journal->layout != hash_bytes(layout, sizeof(layout)))
		return error_set(-STOA_EVERSION, "what was held is another version's journal");
	if (!journal->sessions || journal_length(journal->sessions) != length)
		return error_set(-STOA_EFORMAT, "what was held is a damaged journal");
	return 0;
}
