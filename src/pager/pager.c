/* SPDX-License-Identifier: MIT */
/*
 * Making a pager, joining one, and leaving. Uses all of this folder.
 *
 * The memory of the pages is as long as the region from the begin on, without memory behind it; so touches fault where there is no page, and not
 * beyond an end. What a death in here leaves: nothing that has a name, but a member's place, which the next who joins takes over.
 */
#include <backing/backing.h>
#include <pager/pager.h>
#include <sync/object.h>

#include <inttypes.h>
#include <string.h>

/* ---- checks ---- */

int pager_check(const struct stoa_pager *pager)
{
	if (!pager)
		return error_set(-STOA_EINVAL, "no pager was given");
	if (pager->made_in != load_rlx(&os_forks))
		return error_set(-STOA_ENOTOWNER, "the pager is the parent's: a forked child does not have its memory");
	return 0;
}

int pager_check_range(const struct stoa_pager *pager, uint64_t offset, uint64_t length)
{
	int rc = pager_check(pager);

	if (!rc && (offset > pager->length || length > pager->length - offset))
		rc = error_set(-STOA_ERANGE, "%" PRIu64 " bytes at %" PRIu64 " lie outside the pager's %" PRIu64,
			       length, offset, pager->length);
	return rc;
}

void *stoa_pager_address(const struct stoa_pager *pager)
{
	return pager ? pager->address : NULL;
}

uint64_t stoa_pager_size(const struct stoa_pager *pager)
{
	return pager ? pager->length : 0;
}

/* ---- options ---- */

#define BUDGET_DEFAULT (UINT64_C(256) << 20)
#define READ_AHEAD_DEFAULT (UINT32_C(128) << 10)
#define DIRTY_AGE_DEFAULT 5000
#define DIRTY_PERCENT_DEFAULT 50
#define FLAGS (STOA_PAGER_NO_BACKGROUND | STOA_PAGER_NO_THREAD)

/* The first way that this system has, or the one that was asked for. */
static int choose_way(uint32_t wanted, uint32_t *ret_way)
{
	int rc = 0;

	if (wanted == STOA_PAGER_SERVED) {
		*ret_way = wanted;
		return os_trap_probe(OS_TRAP_SERVED);
	}
	if (wanted != STOA_PAGER_PROTECT) {
		rc = os_trap_probe(OS_TRAP_USERFAULT);
		*ret_way = STOA_PAGER_INLINE;
	}
	if (wanted == STOA_PAGER_PROTECT || (wanted == STOA_PAGER_AUTO && rc)) {
		rc = os_trap_probe(OS_TRAP_PROTECT);
		*ret_way = STOA_PAGER_PROTECT;
	}
	return rc;
}

static enum os_trap_way trap_way(const struct pager_header *header)
{
	static const enum os_trap_way ways[] = {
		[STOA_PAGER_INLINE] = OS_TRAP_USERFAULT,
		[STOA_PAGER_PROTECT] = OS_TRAP_PROTECT,
		[STOA_PAGER_SERVED] = OS_TRAP_SERVED,
	};

	return ways[header->way];
}

static int check_options(const struct stoa_pager_options *options)
{
	if (options->flags & ~FLAGS)
		return error_set(-STOA_EINVAL, "a pager does not take the flags 0x%" PRIx32, options->flags & ~FLAGS);
	if (options->flags & STOA_PAGER_NO_THREAD && !(options->flags & STOA_PAGER_NO_BACKGROUND))
		return error_set(-STOA_EINVAL, "without a thread nothing is written back in the background: "
					       "STOA_PAGER_NO_THREAD goes with STOA_PAGER_NO_BACKGROUND");
	if (options->way > STOA_PAGER_SERVED)
		return error_set(-STOA_EINVAL, "%" PRIu32 " is not a way", options->way);
	if (options->way == STOA_PAGER_SERVED && options->flags & STOA_PAGER_NO_THREAD)
		return error_set(-STOA_EINVAL, "STOA_PAGER_SERVED is done by threads: it does not go with "
					       "STOA_PAGER_NO_THREAD");
	return 0;
}

static int fill_in(const struct stoa_pager_options *options, struct stoa_backing *backing, struct pager_header *header)
{
	uint64_t length = options->size, frames, budget = options->budget;
	int rc = check_options(options);

	if (!rc && !length)
		rc = stoa_backing_size(backing, &length);
	if (!rc)
		rc = choose_way(options->way, &header->way);
	if (rc)
		return rc;
	memcpy(header->magic, PAGER_MAGIC, sizeof(header->magic));
	header->version = PAGER_VERSION;
	header->length = length;
	header->block = options->block ? options->block : 4096;
	/* What is no block at all is refused as it is. */
	if (header->block >= OS_PAGE && header->block < os_trap_unit(trap_way(header)))
		header->block = os_trap_unit(trap_way(header));
	header->size = segment_round_up(length, header->block);
	frames = (budget ? budget : BUDGET_DEFAULT) / header->block;
	if (frames > header->size / header->block)
		frames = header->size / header->block;
	if (frames < 8 && (!budget || budget >= UINT64_C(8) * header->block))
		frames = 8; /* of a small region */
	header->frames = frames > UINT32_MAX ? UINT32_MAX : (uint32_t)frames;
	header->flags = options->flags;
	header->on_error = options->on_error;
	header->rank = options->rank;
	header->read_ahead = options->read_ahead ? options->read_ahead : READ_AHEAD_DEFAULT;
	header->dirty_age = options->dirty_age ? options->dirty_age : DIRTY_AGE_DEFAULT;
	header->dirty_percent = options->dirty_percent ? options->dirty_percent : DIRTY_PERCENT_DEFAULT;
	return 0;
}

/* ---- the handle ---- */

#define WINDOW (UINT32_C(16) << 20)
#define BUFFER_MIN (UINT64_C(128) << 10)

static uint32_t run_max(const struct pager_header *header)
{
	uint32_t run = header->read_ahead / header->block;

	if (run > header->frames / 8)
		run = header->frames / 8;
	return run ? run : 1;
}

static int allocate_bits(uint64_t count, _Atomic uint64_t **ret_bits)
{
	*ret_bits = os_allocate((count / 64 + 1) * sizeof(uint64_t));
	return *ret_bits ? 0 : -STOA_ENOMEM;
}

static int map_pages(struct stoa_pager *pager, const struct pager_header *header)
{
	struct os_trap_plan plan = {
		.way = trap_way(header),
		.memory = pager->memory,
		.length = pager->size,
		.unit = pager->block,
		.writable = pager->writes,
	};
	int rc = os_trap_map(&plan, &pager->trap);

	if (!rc)
		pager->address = os_trap_address(pager->trap);
	return rc;
}

static int set_up(struct stoa_pager *pager, const struct pager_header *header, const struct pager_plan *plan)
{
	unsigned char *data = pager->control->data;
	int rc;

	pager->shared = (void *)data;
	pager->frame_table = (void *)(data + plan->frames);
	pager->links = (void *)(data + plan->links);
	pager->words = (void *)(data + plan->words);
	pager->length = header->length;
	pager->size = header->size;
	pager->blocks = plan->blocks;
	pager->block = header->block;
	while (UINT32_C(1) << pager->shift < pager->block)
		pager->shift++;
	pager->frames = header->frames;
	pager->on_error = header->on_error;
	pager->rank = header->rank;
	pager->served = header->way == STOA_PAGER_SERVED;
	pager->writable = pager->writes || !header->read_only;
	if (!pager->backing)
		pager->writes = pager->writable;
	pager->serves = pager->served && pager->backing && pager->writes == pager->writable;
	pager->dirty_age = header->dirty_age;
	pager->dirty_percent = header->dirty_percent;
	memcpy(pager->identity, header->identity, sizeof(pager->identity));
	pager->run_max = run_max(header);
	pager->window = WINDOW;
	pager->buffer = (uint64_t)pager->run_max << pager->shift;
	if (pager->buffer < BUFFER_MIN)
		pager->buffer = BUFFER_MIN;
	rc = allocate_bits(pager->size / pager->window + 64, &pager->armed);
	if (!rc)
		rc = allocate_bits(plan->blocks / PAGER_WORDS_WINDOW + 1, &pager->backed);
	return rc ? rc : map_pages(pager, header);
}

/* A handle that has nothing yet. */
static struct stoa_pager *new_handle(struct stoa_backing *backing)
{
	struct stoa_pager *pager = os_allocate(sizeof(*pager));

	if (!pager)
		return NULL;
	pager->backing = backing;
	pager->writes = backing && backing->calls.write;
	pager->memory = pager->board[0] = pager->board[1] = OS_NO_HANDLE;
	pager->place = STOA_PAGER_MEMBERS;
	pager->made_in = os_fork_generation();
	for (unsigned i = 0; i < STOA_PAGER_MEMBERS; i++)
		pager->remotes[i].handle = OS_NO_HANDLE;
	return pager;
}

/* Nothing is shown to the handler, and no member, any more. */
static void free_handle(struct stoa_pager *pager)
{
	/* A forked child has not the map, and must not take away what it may have there; nor wait for locks that others held. */
	if (pager->made_in == os_fork_generation())
		os_trap_unmap(pager->trap);
	else
		os_trap_forget(pager->trap);
	pager_server_free(pager);
	for (unsigned i = 0; i < STOA_PAGER_MEMBERS; i++) /* in a child: it has not parted */
		if (pager->remotes[i].serial)
			os_handle_close(pager->remotes[i].handle);
	for (unsigned i = 0; i < CC_COUNT(pager->buffers); i++)
		if (load_rlx(&pager->buffers[i]))
			os_pages_free(load_rlx(&pager->buffers[i]), pager->buffer);
	for (unsigned i = 0; i < 2; i++)
		if (pager->board[i] != OS_NO_HANDLE)
			os_handle_close(pager->board[i]);
	if (pager->memory != OS_NO_HANDLE)
		os_handle_close(pager->memory);
	stoa_segment_close(pager->control);
	os_free((void *)pager->armed);
	os_free((void *)pager->backed);
	os_free(pager);
}

/* Become a member, and have touches handled. */
static int begin(struct stoa_pager *pager, uint32_t flags)
{
	uint64_t identity;
	int rc = flags & STOA_PAGER_NO_THREAD
			 ? pager_self(pager, &identity)
			 : pager_keeper_start(pager, !(flags & STOA_PAGER_NO_BACKGROUND), &identity);

	if (!rc)
		rc = pager_join(pager, identity);
	if (!rc)
		rc = !pager->served ? pager_show(pager) : flags & STOA_PAGER_NO_THREAD ? 0 : pager_server_start(pager);
	if (!rc)
		pager_keeper_go(pager);
	return rc;
}

static void end(struct stoa_pager *pager)
{
	pager_hide(pager);
	pager_keeper_stop(pager);
	pager_server_stop(pager);
	pager_part(pager);
	free_handle(pager);
}

/* ---- creating ---- */

struct making {
	const struct pager_header *header;
	const struct pager_plan *plan;
};

static int fill_control(struct stoa_segment *segment, void *argument)
{
	const struct making *making = argument;
	struct pager_shared *shared = (void *)segment->data;
	int rc = stoa_segment_commit(segment, making->plan->committed);

	if (rc)
		return rc;
	store_rlx(&((struct object *)(void *)&shared->cursors.mutex)->kind, OBJECT_MUTEX);
	shared->header = *making->header;
	return 0;
}

static int make_memory(struct stoa_pager *pager, struct pager_header *header)
{
	struct os_memory_info info;
	int rc = os_memory_create(header->size, 0, &pager->memory);

	if (!rc)
		rc = os_memory_set_length(pager->memory, header->size);
	if (!rc)
		rc = os_memory_seal(pager->memory, OS_SEAL_GROW);
	if (!rc)
		rc = os_memory_info(pager->memory, &info);
	if (!rc)
		memcpy(header->identity, info.identity, sizeof(header->identity));
	return rc;
}

static int make(struct stoa_pager *pager, const char *name, const struct stoa_pager_options *options,
		struct pager_header *header)
{
	struct making making = {.header = header};
	struct pager_plan plan;
	int rc = fill_in(options, pager->backing, header);

	making.plan = &plan;
	if (!rc)
		rc = pager_plan(header, &plan);
	if (!rc)
		rc = os_length_allowed(header->size);
	/* What others can join needs memory that can be handed on. */
	if (!rc && header->way != STOA_PAGER_PROTECT)
		rc = make_memory(pager, header);
	if (!rc && header->way != STOA_PAGER_PROTECT)
		rc = os_board_create(pager->board);
	header->read_only = !pager->writes;
	if (!rc)
		rc = segment_create_kind(name, plan.reserve, NULL, SEGMENT_KIND_PAGER, fill_control, &making, false,
					 &pager->control);
	return rc ? rc : set_up(pager, header, &plan);
}

static int check_handled(uint32_t way)
{
	if (way == STOA_PAGER_SERVED || os_fault_installed())
		return 0;
	return error_set(-STOA_ENOTOWNER, "nobody handles touches: call stoa_pager_install_handlers() first");
}

int stoa_pager_create(const char *name, struct stoa_backing *backing, const struct stoa_pager_options *options,
		      struct stoa_pager **ret_pager)
{
	static const struct stoa_pager_options defaults = {.size = 0};
	struct pager_header header = {.features = 0};
	struct stoa_pager *pager;
	int rc;

	if (!backing || !ret_pager)
		return error_set(-STOA_EINVAL, "no backing, or no place for the pager, was given");
	options = options ? options : &defaults;
	rc = check_handled(options->way);
	if (rc)
		return rc;
	pager = new_handle(backing);
	if (!pager)
		return -STOA_ENOMEM;
	rc = make(pager, name, options, &header);
	if (!rc)
		rc = begin(pager, header.flags);
	if (rc) {
		end(pager);
		return rc;
	}
	*ret_pager = pager;
	return 0;
}

int stoa_pager_close(struct stoa_pager *pager)
{
	int rc = 0;

	if (!pager)
		return 0;
	if (!pager_check(pager)) {
		if (pager->writes)
			rc = pager->backing ? pager_write_back(pager, 0, pager->blocks, false, true)
					    : pager_ask(pager, ASK_WRITE_BACK, 0, pager->blocks, 0);
		end(pager);
	} else {
		free_handle(pager);
	}
	return rc;
}

/* ---- handing on ---- */

/*
 * A message of 32 bytes, with four descriptors: of the control segment, of the pages, and of the board's ends.
 *   offset size field
 *   0      8    magic    "STOAPGR\n"
 *   8      4    version  1
 *   12     4    unused   0
 *   16     16   identity of the pages' memory
 */
struct message {
	uint8_t magic[8];
	uint32_t version;
	uint32_t unused;
	uint64_t identity[2];
};
_Static_assert(offsetof(struct message, version) == 8, "layout");
_Static_assert(offsetof(struct message, identity) == 16, "layout");
_Static_assert(sizeof(struct message) == 32, "layout");
enum { PASSED_CONTROL, PASSED_PAGES, PASSED_BOARD, PASSED_BOARD_2, PASSED };
_Static_assert(PASSED == OS_PASSED_MAX, "what makes a pager");

static const uint8_t message_magic[8] = {'S', 'T', 'O', 'A', 'P', 'G', 'R', '\n'};

int stoa_pager_send_with_socket(const struct stoa_pager *pager, int socket)
{
	struct message message = {.version = PAGER_VERSION};
	int rc = pager_check(pager);

	if (!rc && os_trap_remote(pager->trap) == OS_NO_HANDLE)
		rc = error_set(-STOA_ENOTSUP, "a pager that goes by page protection is one process's alone");
	if (rc)
		return rc;
	memcpy(message.magic, message_magic, sizeof(message_magic));
	memcpy(message.identity, pager->identity, sizeof(message.identity));
	return os_send(socket, &message, sizeof(message),
		       (os_handle[]){pager->control->memory, pager->memory, pager->board[0], pager->board[1]}, PASSED);
}

static int receive_all(int socket, os_handle *ret_handles)
{
	struct message message;
	uint32_t sender;
	int rc = os_receive(socket, &message, sizeof(message), ret_handles, PASSED, &sender);

	if (rc < 0)
		return rc;
	if (memcmp(message.magic, message_magic, sizeof(message_magic)) != 0 || message.unused)
		return error_set(-STOA_EFORMAT, "a message that does not bring a pager");
	if (message.version != PAGER_VERSION)
		return error_set(-STOA_EVERSION, "a pager of version %" PRIu32 ", this library speaks %u",
				 message.version, PAGER_VERSION);
	if (sender != 0 && sender != os_user_id())
		return error_set(-STOA_EACCES,
				 "who shares a pager can write all of it: user id %" PRIu32 " is not trusted with that",
				 sender);
	return 0;
}

/* Do the two belong together, and is all there that the header says? */
static int check_received(const struct stoa_pager *pager, const struct pager_header *header,
			  const struct pager_plan *plan)
{
	struct os_memory_info info;
	int rc = os_memory_info(pager->memory, &info);

	if (rc)
		return rc;
	if (memcmp(header->identity, info.identity, sizeof(info.identity)) != 0 || info.length != header->size ||
	    header->way == STOA_PAGER_PROTECT)
		return error_set(-STOA_EFORMAT, "a pager whose parts do not belong together");
	if (!(info.seals & OS_SEAL_SHRINK))
		return error_set(-STOA_EFORMAT, "a pager whose memory can be cut");
	if (plan->reserve > pager->control->reserve)
		return error_set(-STOA_EFORMAT, "a pager that ends beyond its memory");
	return stoa_segment_commit(pager->control, plan->committed);
}

/* May this process join as it is? */
static int check_joining(const struct stoa_pager *pager, const struct pager_header *header)
{
	int rc = check_handled(header->way);

	if (!rc && !pager->backing && header->way != STOA_PAGER_SERVED)
		rc = error_set(-STOA_EINVAL, "no backing was given: only a served pager is shared without one");
	if (!rc)
		rc = os_trap_probe(trap_way(header));
	if (!rc && !pager->backing && !os_trap_poisons_others())
		rc = error_set(-STOA_ENOTSUP,
			       "a process without a backing could not be told of errors: Linux 6.6 or later is needed");
	return rc;
}

static int join_received(struct stoa_pager *pager)
{
	struct pager_header header;
	struct pager_plan plan;
	int rc = 0;

	if (!pager->control->writable || stoa_segment_committed(pager->control) < sizeof(struct pager_shared))
		return error_set(-STOA_EFORMAT, "a pager without its first pages");
	memcpy(&header, pager->control->data, sizeof(header));
	if (memcmp(header.magic, PAGER_MAGIC, sizeof(header.magic)) != 0 || header.version != PAGER_VERSION ||
	    header.features)
		return error_set(-STOA_EVERSION, "a pager of another version");
	rc = pager_plan(&header, &plan);
	if (!rc)
		rc = check_joining(pager, &header);
	if (!rc)
		rc = check_received(pager, &header, &plan);
	if (!rc)
		rc = set_up(pager, &header, &plan);
	return rc ? rc : begin(pager, header.flags);
}

/* Each handle goes to the pager, or is closed. */
static int take_parts(struct stoa_pager *pager, const os_handle parts[PASSED])
{
	int rc = segment_take_from(parts[PASSED_CONTROL], os_user_id(), SEGMENT_KIND_PAGER, &pager->control);

	if (rc)
		os_handle_close(parts[PASSED_CONTROL]);
	pager->memory = parts[PASSED_PAGES];
	pager->board[0] = parts[PASSED_BOARD];
	pager->board[1] = parts[PASSED_BOARD_2];
	return rc;
}

int stoa_pager_receive_with_socket(int socket, struct stoa_backing *backing, struct stoa_pager **ret_pager)
{
	os_handle parts[PASSED] = {OS_NO_HANDLE, OS_NO_HANDLE, OS_NO_HANDLE, OS_NO_HANDLE};
	struct stoa_pager *pager;
	int rc;

	if (!ret_pager)
		return error_set(-STOA_EINVAL, "no place for the pager was given");
	/* What no way of sharing can be had for is not even taken out of the socket. */
	rc = os_trap_probe(OS_TRAP_USERFAULT);
	if (rc && os_trap_probe(OS_TRAP_SERVED))
		return rc;
	pager = new_handle(backing);
	if (!pager)
		return -STOA_ENOMEM;
	rc = receive_all(socket, parts);
	if (!rc) {
		rc = take_parts(pager, parts);
	} else {
		for (unsigned i = 0; i < PASSED; i++)
			if (parts[i] != OS_NO_HANDLE)
				os_handle_close(parts[i]);
	}
	if (!rc)
		rc = join_received(pager);
	if (rc) {
		end(pager);
		return rc;
	}
	*ret_pager = pager;
	return 0;
}
