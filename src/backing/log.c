/* SPDX-License-Identifier: MIT */
/* Reading and writing the log: log.h has the layout and the idea. All that is read is checked, as a disk may give anything. Uses base and os. */
#include <backing/log.h>

#include <base/error.h>
#include <base/hash.h>
#include <inttypes.h>
#include <string.h>

static const uint8_t header_magic[8] = {'S', 'T', 'O', 'A', 'L', 'O', 'G', '\n'};
static const uint8_t entry_magic[8] = {'S', 'T', 'O', 'A', 'E', 'N', 'T', '\n'};

static uint64_t layout(void)
{
	return hash_bytes(LOG_LAYOUT, sizeof(LOG_LAYOUT) - 1);
}

static uint64_t header_check(const struct log_header *header)
{
	return hash_words(header->salt, header, offsetof(struct log_header, check));
}

static uint64_t entry_check(const struct log_entry *entry)
{
	return hash_words(entry->salt, entry, offsetof(struct log_entry, check));
}

static uint64_t board_check(const struct log_board *board)
{
	return hash_words(board->salt, board, offsetof(struct log_board, check));
}

static bool is_zero(const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (((const uint8_t *)bytes)[i])
			return false;
	return true;
}

static int damaged(const char *what)
{
	return error_set(-STOA_EFORMAT, "the log is damaged, or no log: %s", what);
}

/* 1: a header, 0: nothing was ever written there. */
static int judge_header(const struct log_header *header)
{
	if (is_zero(header, sizeof(*header)))
		return 0;
	if (memcmp(header->magic, header_magic, sizeof(header_magic)) != 0 || header->check != header_check(header))
		return damaged("its header is none");
	if (header->layout != layout())
		return error_set(-STOA_EVERSION, "the log is of a layout that this library does not speak");
	if (header->half < LOG_HALF_MIN || header->half > LOG_HALF_MAX || header->half % DISK_SECTOR)
		return damaged("its halves have no possible length");
	return 1;
}

/* Made, and never synced: then no entry is there yet, and of the headers there may be parts. */
static bool is_unborn(const struct log *log, const struct log_header copies[2])
{
	uint64_t length = UINT64_MAX;

	if (log->disk->length(log->disk, log->log, &length) < 0 || length > LOG_BOARD)
		return false;
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < sizeof(header_magic); k++)
			if (copies[i].magic[k] && copies[i].magic[k] != header_magic[k])
				return false;
	return true;
}

/* A copy that is damaged was being written; the other one counts then. */
int log_read_header(struct log *log)
{
	struct log_header copies[2];
	int states[2];
	unsigned later;

	for (unsigned i = 0; i < 2; i++) {
		int rc = disk_read(log->disk, log->log, (uint64_t)i * OS_PAGE, &copies[i], sizeof(copies[i]));

		if (rc < 0)
			return rc;
		states[i] = judge_header(&copies[i]);
	}
	if (states[0] <= 0 && states[1] <= 0)
		return is_unborn(log, copies) ? 0 : states[0] < 0 ? states[0] : damaged("it has lost its header");
	later = states[1] > 0 && (states[0] <= 0 || copies[1].version > copies[0].version);
	log->header = copies[later];
	return STOA_EXISTED;
}

static int put_header(struct log *log)
{
	struct log_header *header = &log->header;

	header->version++;
	header->check = header_check(header);
	return log->disk->write(log->disk, log->log, header->version % 2 * OS_PAGE, header, sizeof(*header));
}

int log_write_header(struct log *log, uint64_t retired)
{
	/* Others may have written it since. */
	int rc = log_read_header(log);

	if (rc <= 0)
		return rc < 0 ? rc : damaged("it has lost its header");
	log->header.retired = retired;
	return put_header(log);
}

int log_format(struct log *log, uint64_t half)
{
	int rc;

	log->header = (struct log_header){.layout = layout(), .half = half};
	memcpy(log->header.magic, header_magic, sizeof(header_magic));
	rc = os_random(&log->header.salt, sizeof(log->header.salt));
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		rc = put_header(log);
	return rc < 0 ? rc : log->disk->sync(log->disk, log->log);
}

int log_read_board(const struct log *log, struct log_board *ret_board)
{
	struct log_board board;
	int rc = disk_read(log->disk, log->log, LOG_BOARD, &board, sizeof(board));

	if (rc < 0)
		return rc;
	if (board.check != board_check(&board))
		return 1;
	if (board.salt != log->header.salt || board.end % log->header.half != LOG_START % log->header.half ||
	    board.end <= LOG_START || board.end > LOG_START + 2 * log->header.half || board.tail > board.end ||
	    board.tail < board.end - log->header.half || board.flying > board.tail)
		return damaged("it was replaced while it was used");
	*ret_board = board;
	return 0;
}

int log_write_board(const struct log *log, struct log_board *board)
{
	board->check = board_check(board);
	return log->disk->write(log->disk, log->log, LOG_BOARD, board, sizeof(*board));
}

int log_append(const struct log *log, struct log_board *board, uint64_t offset, uint64_t length, const void *bytes)
{
	struct log_entry entry = {.salt = log->header.salt,
				  .sequence = board->sequence + 1,
				  .offset = offset,
				  .length = length,
				  .content = hash_words(log->header.salt, bytes, (size_t)length)};
	int rc;

	memcpy(entry.magic, entry_magic, sizeof(entry_magic));
	entry.check = entry_check(&entry);
	rc = log->disk->write(log->disk, log->log, board->tail, &entry, sizeof(entry));
	if (rc == 0)
		rc = log->disk->write(log->disk, log->log, board->tail + DISK_SECTOR, bytes, (size_t)length);
	if (rc < 0)
		return rc;
	board->sequence++;
	board->flying = board->tail;
	board->offset = offset;
	board->length = length;
	board->tail += log_taken(length);
	return 0;
}

/* Where the half ends in which `at` lies. */
static uint64_t half_end(const struct log *log, uint64_t at)
{
	return LOG_START + ((at - LOG_START) / log->header.half + 1) * log->header.half;
}

/* 1: an entry that lies as it should, with that number; 0: none. */
static int read_entry(const struct log *log, uint64_t at, uint64_t sequence, struct log_entry *ret_entry)
{
	uint64_t end = half_end(log, at);
	struct log_entry entry;
	int rc;

	if (end - at <= DISK_SECTOR)
		return 0;
	rc = disk_read(log->disk, log->log, at, &entry, sizeof(entry));
	if (rc < 0)
		return rc;
	if (memcmp(entry.magic, entry_magic, sizeof(entry_magic)) != 0 || entry.salt != log->header.salt ||
	    entry.check != entry_check(&entry) || entry.sequence != sequence || entry.length == 0 ||
	    entry.length > end - at - DISK_SECTOR)
		return 0;
	*ret_entry = entry;
	return 1;
}

/* Go through its bytes: does the hash fit? Or write them, to where each is in its place, or again to the log. */
static int pass(const struct log *log, uint64_t at, const struct log_entry *entry, enum log_target target,
		uint64_t *ret_hash)
{
	os_handle file = target == LOG_TO_DATA ? log->data : log->log;
	uint64_t to = target == LOG_TO_DATA ? entry->offset : at + DISK_SECTOR, hash = log->header.salt;

	for (uint64_t done = 0; done < entry->length;) {
		uint64_t left = entry->length - done;
		size_t piece = left < LOG_BUFFER ? (size_t)left : LOG_BUFFER;
		int rc = disk_read(log->disk, log->log, at + DISK_SECTOR + done, log->buffer, piece);

		if (rc == 0 && target != LOG_TO_NOWHERE)
			rc = log->disk->write(log->disk, file, to + done, log->buffer, piece);
		if (rc < 0)
			return rc;
		hash = hash_words(hash, log->buffer, piece);
		done += piece;
	}
	*ret_hash = hash;
	return 0;
}

int log_apply(const struct log *log, uint64_t at, uint64_t sequence, enum log_target target, uint64_t *ret_taken)
{
	struct log_entry entry;
	uint64_t hash = 0;
	int rc = read_entry(log, at, sequence, &entry);

	*ret_taken = 0;
	if (rc <= 0)
		return rc;
	rc = pass(log, at, &entry, LOG_TO_NOWHERE, &hash);
	if (rc < 0 || hash != entry.content)
		return rc;
	if (entry.offset > log->size || entry.length > log->size - entry.offset)
		return error_set(-STOA_EFORMAT,
				 "the log is of another file: %" PRIu64 " bytes at %" PRIu64 ", of %" PRIu64,
				 entry.length, entry.offset, log->size);
	if (target == LOG_TO_LOG)
		rc = log->disk->write(log->disk, log->log, at, &entry, sizeof(entry));
	if (rc == 0)
		rc = pass(log, at, &entry, target, &hash);
	if (rc == 0)
		*ret_taken = log_taken(entry.length);
	return rc;
}

/* One half, if it goes on with the entry behind *last. */
static int replay_half(const struct log *log, unsigned half, enum log_target target, uint64_t *last)
{
	uint64_t at = LOG_START + half * log->header.half, end = at + log->header.half, taken;

	for (; at < end; at += taken) {
		int rc = log_apply(log, at, *last + 1, target, &taken);

		if (rc < 0)
			return rc;
		if (!taken)
			break;
		++*last;
	}
	return 0;
}

int log_replay(const struct log *log, enum log_target target, uint64_t *ret_last)
{
	uint64_t last = log->header.retired, before;
	int rc = 0;

	/* Which half is the older one is told by where it goes on; at most the second, then the first. */
	for (unsigned half = 0; half < 3 && rc == 0; half++) {
		before = last;
		rc = replay_half(log, half % 2, target, &last);
		if (half == 1 && before == last)
			break;
	}
	if (rc == 0)
		*ret_last = last;
	return rc;
}
