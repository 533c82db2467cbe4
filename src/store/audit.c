/* SPDX-License-Identifier: MIT */
/*
 * What the system has beside what the books say. The kernel gives pages to whoever reads a hole of memory that it may read, and to whoever writes beyond what
 * was given to it; and memory that is gone lives as long as somebody has it open or mapped. So from time to time the server asks the system how much each
 * piece of memory has. What nobody was given is taken back; of what is gone, what is left stays in the account until the last one lets go, which the
 * kernel says (os_memory_alone()).
 *
 * So beyond the account there is at most what can be touched between two looks: a tenth of a second while there is anything to be found, more and more
 * while there is not.
 */
#include <store/object_parts.h>

#define EVERY UINT64_C(100000000)   /* nanoseconds between looks, when the last one found something */
#define SELDOM UINT64_C(6400000000) /* at most */
#define AT_A_TIME 256u              /* arenas */

/* ---- what nobody was given ---- */

static void punch(void *argument, uint64_t from, uint64_t to)
{
	(void)os_discard(argument, from, to);
}

void audit_clean(const struct server_arena *arena)
{
	struct os_extent extent = memory_extent(arena);
	uint64_t length = os_memory_length(arena->memory);

	if (!arena->heap)
		return;
	store_heap_visit_cold(arena->heap, punch, &extent);
	if (length > arena->size)
		punch(&extent, arena->size, length);
}

/* Memory handed out: who may write it can make it longer than what it was given. */
static bool cut_region(const struct server_arena *arena, const struct os_memory_info *info)
{
	struct os_extent extent = memory_extent(arena);

	if (info->length <= arena->resident)
		return false;
	punch(&extent, arena->resident, (info->length + OS_PAGE - 1) & ~(OS_PAGE - 1));
	return true;
}

static bool look_at_arena(const struct server_arena *arena)
{
	struct os_memory_info info;

	if (!arena || arena->lingers || os_memory_info(arena->memory, &info) < 0)
		return false;
	if (arena->class.kind == STORE_REGION)
		return cut_region(arena, &info);
	if (!arena->heap || (info.resident <= store_heap_committed(arena->heap) && info.length <= arena->size))
		return false;
	audit_clean(arena);
	return true;
}

static bool look_at_directory(struct stoa_server *server)
{
	const struct directory_pool *pools[] = {&server->book.entries, &server->book.names, &server->book.arenas};
	struct os_memory_info info;

	if (os_memory_info(server->directory_extent.memory, &info) < 0 || info.resident <= server->book.committed)
		return false;
	for (unsigned i = 0; i < CC_COUNT(pools); i++)
		if (pools[i]->backed < pools[i]->end)
			punch(&server->directory_extent, pools[i]->backed, pools[i]->end);
	return true;
}

/* ---- what is gone ---- */

/* What it has now, which may have grown by whoever has it; what can be taken back is. */
static void recount(struct stoa_server *server, struct server_arena *arena)
{
	struct os_extent extent = memory_extent(arena);
	struct os_memory_info info;

	if (os_memory_info(arena->memory, &info) < 0)
		return;
	if (info.resident && !(info.seals & OS_SEAL_WRITE)) {
		punch(&extent, 0, (info.length + OS_PAGE - 1) & ~(OS_PAGE - 1));
		if (os_memory_info(arena->memory, &info) < 0)
			return;
	}
	server->committed += info.resident;
	memory_returned(server, arena->resident);
	arena->resident = info.resident;
}

bool audit_linger(struct stoa_server *server, struct server_arena *arena)
{
	if (!arena->number || server->leaving || os_memory_alone(arena->memory) != 0)
		return false;
	arena->resident = arena->heap ? store_heap_committed(arena->heap) : arena->resident;
	memory_retire(server, arena);
	arena->next = server->lingering;
	server->lingering = arena;
	recount(server, arena);
	server->audit_wait = 0;
	server->next_audit = 0;
	return true;
}

bool audit_lingering(struct stoa_server *server, bool all)
{
	struct server_arena **link = &server->lingering, *arena;
	uint64_t before = server->committed;
	bool gone = false;

	while ((arena = *link) != NULL) {
		/* Without pages it only keeps a descriptor from others. */
		if (os_memory_alone(arena->memory) == 0 && (!all || arena->resident)) {
			recount(server, arena);
			link = &arena->next;
			continue;
		}
		*link = arena->next;
		memory_destroy(server, arena);
		gone = true;
	}
	return gone || server->committed < before;
}

/* ---- from time to time ---- */

void audit_look(struct stoa_server *server)
{
	uint32_t reached = server->book.arenas.reached;
	bool found = look_at_directory(server);

	for (uint32_t i = 0; i < AT_A_TIME && i < reached; i++) {
		server->audited = server->audited + 1 < reached ? server->audited + 1 : 1;
		found = look_at_arena(server->arenas[server->audited]) || found;
	}
	found = audit_lingering(server, false) || found;
	server->audit_wait = found || !server->audit_wait ? EVERY : server->audit_wait * 2;
	if (server->audit_wait > SELDOM)
		server->audit_wait = SELDOM;
	server->next_audit = os_now() + server->audit_wait;
}
