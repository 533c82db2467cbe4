/* SPDX-License-Identifier: MIT */
/*
 * The server, between its files. One thread does everything (server.c); so nothing here is locked.
 *   server.c   the loop            session.c  clients: greeting, rings, the end       request.c  what is asked for
 *   object.c   objects             memory.c   arenas, and room under the limit
 *   region.c   memory handed out   account.c  who may what, and who pays              reap.c     freeing
 *   waiting.c  who waits for objects and room                report.c   what it tells of itself and its clients
 *   evict.c    what has to go          spill.c    what goes to files, and comes back (spill_move.c, spill_file.c)
 *   events.c   subscriptions           audit.c    what the system has beside what the books say
 */
#ifndef STORE_SERVER_H
#define STORE_SERVER_H

#include <os/local.h>
#include <os/os.h>
#include <store/directory.h>
#include <store/heap.h>
#include <store/holder.h>
#include <store/journal.h>
#include <store/layout.h>
#include <store/lease.h>
#include <store/message.h>

#define SERVER_CLIENTS_DEFAULT 256u
#define SERVER_CLIENTS_MAX 4095u
#define SERVER_ARENAS 65535u
#define SERVER_DRAFTS 1024u
#define SERVER_LIMIT_MIN (UINT64_C(16) << 20)
#define SERVER_LIMIT_MAX (UINT64_C(1) << 48)
#define SERVER_OBJECTS_DEFAULT ((UINT32_C(1) << 20) - 1)
#define SERVER_BATCH 64u /* requests of one session before the next one's turn */

/* Keys of what is polled. */
#define SERVER_KEY_LISTENER UINT64_MAX
#define SERVER_KEY_CALL (UINT64_MAX - 1)
#define SERVER_KEY_HOLDER (UINT64_MAX - 2)
#define SERVER_KEY_FILES (UINT64_MAX - 3)
#define SERVER_KEY_BELL (UINT64_C(1) << 32) /* with a session's number */

/*
 * Not an error of the client's: there may be room when objects that are on their way to files have got there. The request stays the next of its
 * session, as if it had not been looked at, and is done again then. Nobody else is told of it.
 */
#define SERVER_LATER (-1000)

/* Where an object is to lie: an arena has one class. */
struct server_class {
	uint32_t kind; /* enum store_kind */
	uint32_t owner;
	uint32_t access;
	uint32_t reader;
	uint64_t writer; /* key of the session that may write it; 0: the server alone */
};

struct server_arena {
	struct server_arena *next; /* of those with a heap */
	struct server_class class;
	os_handle memory;
	unsigned char *address;  /* the server's map of all of it; NULL where it writes nothing */
	struct store_heap *heap; /* NULL: one object */
	uint64_t size;
	uint64_t resident; /* without a heap: bytes committed */
	bool writable;     /* by all who may have it */
	bool lingers;      /* it is gone, but for those who still have it open: `resident` is what it has */
	uint32_t number;
	uint32_t objects; /* entries that lie in it */
};

struct server_waiter {
	uint64_t serial;
	uint64_t size; /* of the room that it waits for, if there is no id */
	struct server_waiter *next;
	uint32_t session;
	bool fetches; /* it waits until it is no longer spilled, and not for what may come */
	uint8_t id_length;
	uint8_t id[STOA_ID_MAX];
};

/* Who needs room and cannot have it yet, in the order of coming. */
struct server_turn {
	uint64_t number; /* 0: it does not wait */
	uint64_t rooms;  /* stoa_server.rooms when it was last tried */
};

/* What a request (that at the head of a session's ring, or a restore) is to have: it is counted, and committed in steps. */
struct server_coming {
	struct server_arena *arena; /* NULL: nothing */
	uint64_t offset, extent;
	uint64_t owed; /* bytes that are counted and not committed yet */
};

struct server_subscription {
	struct server_session *session;
	struct server_subscription *next;
	uint64_t told, lost; /* as in the session's memory, where the client can write them */
	uint64_t event;      /* the last one that it was told, or lost */
	uint32_t listed; /* entries before this one it has been told of; from there on they are still to be listed */
	uint32_t prefix_length;
	uint8_t prefix[STOA_ID_MAX];
};

struct server_session {
	uint32_t number;
	bool greeted;
	os_handle socket, bell, client_bell;
	os_handle memory, leases_memory;
	struct os_peer peer;
	struct store_session *shared;
	unsigned char *ring;
	uint64_t ring_size;
	uint64_t key; /* another one for each session there ever was */
	/* The server's own positions; those in shared memory are for the client. */
	uint64_t head, completed, serial;
	struct journal_session *record;
	bool tell;       /* it has been told something since its last bell */
	bool tell_later; /* it is among server->telling */
	struct server_session *next_telling;
	struct server_subscription *subscription; /* NULL: it is none */
	struct store_leases *leases;
	uint32_t lines;
	uint64_t *seen;   /* the leases at the last look for what is used; NULL: there was none */
	uint64_t charged; /* bytes of objects that it has made */
	uint64_t own;     /* bytes of its own memory, which its user is charged for */
	uint32_t waits;
	struct server_turn turn; /* of its next request, or of its greeting */
	struct store_message hello;
	uint32_t regions; /* that end with it */
	uint32_t draft_count;
	uint32_t drafts[SERVER_DRAFTS]; /* entries that it makes */
	struct server_coming coming;
};

/* The request that a dead server was doing; its effect may be there. */
struct server_redo {
	uint64_t key; /* of its session; 0: none */
	uint64_t serial;
	uint64_t entry; /* that it was to change, from `state`; 0: none was noted */
	uint64_t state;
	uint32_t made; /* the entry that it has made; 0: none */
	uint32_t left; /* that it has sealed, and not given its place; 0: none */
};

/* How much the clients of one user have. */
struct server_user {
	uint32_t user;
	uint32_t arenas;
	uint64_t charged; /* for objects, and for its sessions' own memory */
	struct server_user *next;
};

/* What only reports want to know; since this server has started. */
struct server_tally {
	uint64_t requests[FIGURE_COUNT - FIGURE_REQUESTS]; /* by enum store_op */
	uint64_t sleeps, reports;
};

struct stoa_server {
	struct stoa_server_options options;
	char path[OS_PATH_ROOM]; /* options.socket */
	os_handle poller;
	os_handle call; /* raised for what other threads want */
	struct os_listener listener;
	bool listens;
	bool deaf;       /* nobody is let in for want of descriptors: not polled meanwhile */
	os_handle spare; /* a descriptor to tell somebody so with */
	_Atomic uint32_t stopping;
	_Atomic uint32_t left; /* it is to leave all to a successor */
	struct os_lock lock;   /* what follows: connections of this program's own handles */
	os_handle arriving[8];
	unsigned arrived;
	bool figures_wanted;            /* another thread waits for them, */
	_Atomic uint32_t figures_taken; /* which counts up when they are there */
	uint64_t figures[FIGURE_COUNT];

	struct os_extent directory_extent;
	uint64_t directory_length;  /* of its map */
	os_handle directory_reader; /* what clients get of it */
	struct directory_book book;
	struct store_header *header; /* the directory's */

	struct server_arena **arenas; /* by number */
	struct server_arena *shared;  /* those with a heap; the last used first */
	uint32_t shared_count, arena_count;
	struct server_arena *lingering;
	uint32_t audited;                /* the last arena that was looked at */
	uint64_t next_audit, audit_wait; /* when to look at the next ones; how long it was to wait for that */
	uint64_t committed;              /* bytes, everything included */
	uint64_t keys;                   /* the last session's */

	/* For a successor. */
	struct journal *journal;
	os_handle journal_memory;
	uint64_t journal_length;     /* of its map */
	struct store_holder *holder; /* NULL: nothing outlives this process */
	uint64_t next_hold;          /* when to look for another one, if it is lost */
	bool leaving;                /* what is held stays so when the server is closed */
	struct server_redo redo;
	uint32_t lost; /* entries that were damaged */

	struct server_session **sessions; /* by number */
	uint32_t session_count;
	struct server_user *users;
	struct server_waiter *waiters;
	struct server_session *telling;            /* who has been told something by another one's request */
	struct server_subscription *subscriptions; /* all; NULL: nobody wants to know */
	uint64_t event;                            /* counts what they were told */

	uint64_t *recent; /* a bit for each entry: at the last look it had been used */
	uint64_t *used;   /* a bit for each entry: a client has used it since the hand came by */
	uint32_t hand;
	uint64_t *held;  /* a bit for each entry: it was found in a lease; between two looks none is set */
	uint32_t *dying; /* entries, to be freed when nobody holds them */
	uint32_t dying_count, dying_room;
	uint64_t next_scan;         /* of the leases */
	uint64_t date;              /* when the requests that are being done were looked at */
	bool room_came;             /* for those who wait for it */
	bool stepped;               /* a step of something long was done: sockets are looked at before the next */
	uint64_t rooms;             /* counts changes after which there may be room where there was none */
	uint64_t turns;             /* counts those who have waited for it */
	uint32_t turn_count;        /* of sessions */
	struct server_spill *spill; /* NULL: nothing goes to files */
	struct server_tally tally;
	uint64_t started; /* nanoseconds since 1970 */
	uint64_t space;   /* os_process_space() */
};

/* More in a count that others read: a locked addition, which nobody else's need asks for, would wait for all stores before it. */
static inline void server_count(_Atomic uint64_t *count, uint64_t more)
{
	store_rlx(count, load_rlx(count) + more);
}

/* ---- server.c ---- */

/* A client of this program: the server takes the socket over. From any thread. EBUSY: too many at a time. */
int server_attach(struct stoa_server *server, os_handle socket);

/* ---- adopt.c ---- */

/*
 * Everything that a dead server left in the server's holder. 0: it is taken over. ADOPT_NOTHING: there is nothing, or what a server that never served
 * has left. On failure all stays held as it was, for another try.
 */
#define ADOPT_NOTHING 1
int adopt_all(struct stoa_server *server);

/* ---- keeping.c: what outlives the server; without a holder these do nothing ---- */

#define KEEP_DIRECTORY "directory"
#define KEEP_JOURNAL "journal"
void keep_name_arena(char name[STORE_HOLDER_NAME], uint32_t arena, uint64_t generation);
void keep_name_session(char name[STORE_HOLDER_NAME], uint64_t key, unsigned part);
#define KEEP_PARTS 5u /* of a session: socket, memory, leases, bell, client's bell */

int keep_arena(struct stoa_server *server, const struct server_arena *arena);
void keep_drop_arena(struct stoa_server *server, uint32_t arena, uint64_t generation);
int keep_session(struct stoa_server *server, const struct server_session *session);
void keep_drop_session(struct stoa_server *server, const struct server_session *session);
/* All there is, into a new holder, as the last one has ended, or there was none. */
int keep_all(struct stoa_server *server);

/* ---- session.c ---- */

int session_accept(struct stoa_server *server, os_handle socket);
/* End up to `count` of those who connected and said nothing since, the first ones. Returns how many. */
unsigned session_drop_silent(struct stoa_server *server, unsigned count);
/* Let nobody in, and say why; the socket is closed. */
void session_refuse(os_handle socket, int result);
/* Something came on its socket: a message, or the end. */
void session_message(struct stoa_server *server, struct server_session *session);
void session_end(struct stoa_server *server, struct server_session *session);
/* There may be the room that its welcome needs. */
void session_greet_again(struct stoa_server *server, struct server_session *session);
/* Do what it asked for, up to SERVER_BATCH requests. Returns how many. */
unsigned session_work(struct stoa_server *server, struct server_session *session);
bool session_has_work(const struct stoa_server *server, const struct server_session *session);
/* Take over a session, of whose handles `parts` are; they are closed when it fails. -STOA_EFORMAT: it is not what it says. */
int session_adopt(struct stoa_server *server, uint32_t number, const os_handle parts[KEEP_PARTS]);
/* It can be seen after session_tell(), which comes after one or several, and raises the bell if the client sleeps. */
void session_complete(struct server_session *session, const struct store_completion *completion);
void session_tell(struct server_session *session);
/* Those that were told something meanwhile get one bell for all of it: when a batch of requests is done, or when there is nothing more to do. */
void session_tell_later(struct stoa_server *server, struct server_session *session);
void session_tell_all(struct stoa_server *server);

/* Tell it something, without descriptors. -STOA_EBUSY: it does not take what it was told before. */
int session_say(const struct server_session *session, struct store_message *message, size_t length);

/* ---- report.c ---- */

/* Answer a question about this server. An error ends the session. */
int report_answer(struct stoa_server *server, const struct server_session *session, const struct store_message *asked);
/* The figures that another thread waits for. */
void report_figures_for_threads(struct stoa_server *server);

/* ---- request.c ---- */

/* What a request consists of, copied or checked; `meta` and `data` lie in the client's ring and may change any time. */
struct server_request {
	struct store_request head;
	uint8_t id[STOA_ID_MAX];
	const unsigned char *meta;
	const unsigned char *data;
	const unsigned char *record;
	uint64_t taken; /* bytes of the ring */
};

/*
 * Do it, and complete it, or note who waits. false: SERVER_LATER; or it takes long, and a step of it was done: the same request again, when others
 * have had their turn. Nobody can have seen anything of it; so should the server die, it begins anew.
 */
bool request_execute(struct stoa_server *server, struct server_session *session, const struct server_request *request);

/* ---- object.c, region.c, account.c, reap.c, object_adopt.c; object_parts.h has what is between them ---- */

/* All return 0 or a negative error for the client; create, allocate and grow MEMORY_STEPS, too. `ret` gets place and state. */
int object_put(struct stoa_server *server, struct server_session *session, const struct server_request *request,
	       struct store_completion *ret);
int object_create(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		  struct store_completion *ret);
int object_seal(struct stoa_server *server, struct server_session *session, const struct server_request *request);
int object_mark(struct stoa_server *server, struct server_session *session, const struct server_request *request);
int object_abort(struct stoa_server *server, struct server_session *session, uint32_t entry, uint64_t state);
int object_delete(struct stoa_server *server, struct server_session *session, const struct server_request *request);

/* Whatever `session` makes, or the one whose CREATE had `serial`. */
void object_abort_all(struct stoa_server *server, struct server_session *session, uint64_t serial);

/* The entry of a SEALED object. -STOA_ENOENT. */
int object_find(const struct stoa_server *server, const struct server_request *request, uint32_t *ret_entry);

/* Where it is, for who asked. */
void object_describe(const struct stoa_server *server, uint32_t entry, struct store_completion *ret);

/* Memory that is no object: made, and made longer. */
int object_allocate(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		    struct store_completion *ret);
int object_grow(struct stoa_server *server, struct server_session *session, const struct store_request *head);
/* What a session has made, and was not to be kept. */
void object_end_regions(struct stoa_server *server, struct server_session *session);

/* May this client read what lies there? */
bool object_may_read(const struct server_session *session, uint32_t owner, uint32_t access, uint32_t reader);

/* What a session calls itself in entries: another one for each session there was for a long time. */
uint32_t object_session_tag(const struct server_session *session);

/* Is a lease of the session on an entry of that generation one that counts? */
bool object_may_hold(const struct stoa_server *server, const struct server_session *session, uint32_t number,
		     uint64_t generation);

/* It is not found any more, and freed when nobody holds it: STOA_EVENT_DELETED or EVICTED. -STOA_ENOMEM. */
int object_end(struct stoa_server *server, uint32_t entry, uint32_t what);

/* Free those of the dying that nobody holds any more. Returns whether any were. */
bool object_reap(struct stoa_server *server);

/* An entry that a dead server left. */
int object_adopt(struct stoa_server *server, uint32_t entry, enum directory_finding finding); /* -STOA_ENOMEM */
/* All of them have been taken over: finish what it was doing. */
int object_adopted(struct stoa_server *server);

/* ---- events.c ---- */

int events_subscribe(struct stoa_server *server, struct server_session *session, const struct server_request *request);
void events_end(struct stoa_server *server, struct server_session *session);

/* Before and after a change, if there are subscriptions; none: it is not made. Of `old` the entry takes the place; 0: of none. */
void events_note(struct stoa_server *server, uint32_t what, uint32_t number, uint32_t old);
void events_noted(struct stoa_server *server);
void events_none(struct stoa_server *server);

static inline void events_before(struct stoa_server *server, uint32_t what, uint32_t number, uint32_t old)
{
	if (CC_UNLIKELY(server->subscriptions != NULL))
		events_note(server, what, number, old);
}

static inline void events_after(struct stoa_server *server)
{
	if (CC_UNLIKELY(server->subscriptions != NULL))
		events_noted(server);
}

/* Is there more to list, and room for it? Then some of it; returns how many entries were looked at. */
bool events_to_list(const struct server_session *session);
unsigned events_list(struct stoa_server *server, struct server_session *session);

/* What it has been told can be seen. */
void events_publish(const struct server_session *session);

/* A session that was adopted may be one. Then, when all else is adopted: tell what the last server had not come to. */
int events_adopt(struct stoa_server *server, struct server_session *session);
void events_adopted(struct stoa_server *server);

/* ---- evict.c ---- */

/*
 * Show objects that nobody holds and that may go, the least recently used first, until `visit` has enough. Those that were used since the last look
 * are shown if `even_recent`. Returns how many were taken.
 */
enum evict_answer { EVICT_PASSED, EVICT_TAKEN, EVICT_ENOUGH };
unsigned evict_visit(struct stoa_server *server, bool even_recent,
		     enum evict_answer (*visit)(struct stoa_server *server, uint32_t number, void *argument),
		     void *argument);

/* End some objects that nobody has used for long, so that a reap may free them. false: there are none. */
bool object_evict(struct stoa_server *server);
void evict_used(struct stoa_server *server, uint32_t entry);

/* ---- memory.c ---- */

int memory_start(struct stoa_server *server);
/* After a dead server: its directory, which is the server's then also on failure; then all its entries. */
int memory_adopt(struct stoa_server *server, os_handle directory);
int memory_adopt_entries(struct stoa_server *server,
			 void (*visit)(void *argument, uint32_t entry, enum directory_finding finding), void *argument);
/* The arena, as a server left it in `memory`, which is the arena's then, or closed. -STOA_EFORMAT: it is not what the directory says. */
int memory_adopt_arena(struct stoa_server *server, uint32_t number, os_handle memory);
/* Of a region so much is committed; what there is behind it a server was about to give when it died. */
void memory_adopt_region(struct server_arena *arena, uint64_t length);
/* All entries have been marked in the arenas' books. */
int memory_adopted(struct stoa_server *server);
void memory_end(struct stoa_server *server);

/*
 * `extent` bytes in an arena of that class, committed. ENOMEM: no room, though all was done to make some; ERANGE: there never will be. MEMORY_STEPS: they are
 * taken (`coming`, which is zero at first), and some are committed: the same again, or memory_drop_coming().
 */
#define MEMORY_STEPS 2
int memory_take(struct stoa_server *server, struct server_coming *coming, const struct server_class *class,
		uint64_t extent, struct server_arena **ret_arena, uint64_t *ret_offset);
/* The same for `length` bytes, with an arena for `reserve`. */
int memory_take_region(struct stoa_server *server, struct server_coming *coming, const struct server_class *class,
		       uint64_t length, uint64_t reserve, struct server_arena **ret_arena);
void memory_drop_coming(struct stoa_server *server, struct server_coming *coming);
/* More of a region, towards `length`, for which there is room: *ret_length is what it has then. */
int memory_grow(struct stoa_server *server, struct server_arena *arena, uint64_t length, uint64_t *ret_length);
void memory_give(struct stoa_server *server, struct server_arena *arena, uint64_t offset, uint64_t extent);

/* Commit pages of a memory object that the store keeps, under its limit. */
int memory_commit(struct stoa_server *server, const struct os_extent *extent, uint64_t from, uint64_t to);
void memory_returned(struct stoa_server *server, uint64_t bytes);

/* Might an object of `size` bytes be taken in? */
bool memory_may_fit(const struct stoa_server *server, uint64_t size);

/* The session's arenas are nobody's to write any more. */
void memory_orphan(struct stoa_server *server, const struct server_session *session);

/* Nobody can write its bytes any more, as its maker has sealed it, and all of them are there. EBUSY, EINVAL: not so. Waits for nothing. */
int memory_seal(struct stoa_server *server, struct server_arena *arena);

/* A descriptor of the arena for this client. EACCES, ENOENT. */
int memory_hand_out(struct stoa_server *server, const struct server_session *session, uint32_t number,
		    uint64_t generation, os_handle *ret_memory, bool *ret_writable);

/* As os_commit() and others need it. */
struct os_extent memory_extent(const struct server_arena *arena);
/* Nothing is in it any more: it goes out of lists and books, but keeps its number, its memory, and `resident`. */
void memory_retire(struct stoa_server *server, struct server_arena *arena);
void memory_destroy(struct stoa_server *server, struct server_arena *arena);

/* ---- audit.c ---- */

/* Give back what is in no page that counts as committed: what others touched beside objects is memory that nobody has counted. */
void audit_clean(const struct server_arena *arena);
/* The arena has nothing in it: if others still have it open it stays, and is counted, until they let go. false: it can be destroyed. */
bool audit_linger(struct stoa_server *server, struct server_arena *arena);
/* Let go of those that others have let go of; with `all`, of those too that have no pages. Returns whether any memory or descriptor came of it. */
bool audit_lingering(struct stoa_server *server, bool all);
/* Look at some of the memory there is; server->next_audit is when to do so again. */
void audit_look(struct stoa_server *server);

/* ---- waiting.c ---- */

/* 0: there is no need to wait. 1: it will be completed. */
int waiting_add(struct stoa_server *server, struct server_session *session, const struct server_request *request);
void waiting_cancel(struct stoa_server *server, struct server_session *session, uint64_t serial);
void waiting_end(struct stoa_server *server, const struct server_session *session);
void waiting_sealed(struct stoa_server *server, const uint8_t *id, uint32_t id_length);
void waiting_room(struct stoa_server *server);
/* Does anybody wait for room? All of them may try again, as nobody tells the server when something may go to a file that could not before. */
bool waiting_for_room(const struct stoa_server *server);
void waiting_try(struct stoa_server *server);
/* As waiting_add(), of what is SPILLED and is being fetched. */
int waiting_add_fetch(struct stoa_server *server, struct server_session *session, const struct server_request *request);
/* Those that wait for the object to be fetched, and for nothing else, are told so. */
void waiting_fetched(struct stoa_server *server, const uint8_t *id, uint32_t id_length, int result);

/* ---- spill.c ---- */

/* Entries that the server keeps for itself, where it spills: a client's object never takes the last ones. */
#define SPILL_ENTRIES DIRECTORY_AHEAD

/* Open the folder, if there is to be one. */
int spill_start(struct stoa_server *server);
/* All entries are known: files that none of them names go, those of other stores stay. */
int spill_started(struct stoa_server *server);
void spill_end(struct stoa_server *server);

/* There are SPILLED entries of a dead server: is the folder the one where their files are? -STOA_EINVAL: not. */
int spill_knows(struct stoa_server *server);

/* Is the file of an entry that a dead server left there? */
bool spill_has_file(struct stoa_server *server, uint32_t number);
/* It is none, or not what was written: that is counted, and told. */
void spill_lost(struct stoa_server *server, uint32_t number);
/* It is counted, as it is found after a dead server. */
void spill_adopt(struct stoa_server *server, uint32_t number);

/* Objects are on their way to files, or are now, so that there may be `bytes` more. false: it is no use to wait. */
bool spill_some(struct stoa_server *server, uint64_t bytes);

/* 0: it is there. 1: it will be completed. */
int spill_fetch(struct stoa_server *server, struct server_session *session, const struct server_request *request);

/* Raised when something has been done. */
os_handle spill_event(const struct stoa_server *server);
/* What has been done goes on. */
void spill_work(struct stoa_server *server);
/* Until when to sleep at most. */
uint64_t spill_wake_up(const struct stoa_server *server);

/* An entry of the kind FILE ends: its file, whole or not, is removed. */
void spill_forget(struct stoa_server *server, uint32_t number);

/* The entries whose bit is set have been held since the last look. */
void spill_used(struct stoa_server *server, const uint64_t *recent);

/* Need those who need room, too, wait no longer than this one? A turn is taken when there is none, and ended by who has got its room, or will not. */
bool spill_is_turn(const struct stoa_server *server, const struct server_turn *turn);
void spill_wait_turn(struct stoa_server *server, struct server_turn *turn);
void spill_end_turn(struct stoa_server *server, struct server_turn *turn);

#endif
