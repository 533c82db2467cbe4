/* SPDX-License-Identifier: MIT */
/*
 * One case for each public function: what it is called with, and how all is as it was afterwards. test_faults.c runs each of them
 * with every system call failing in turn.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <harness/test.h>
#include <stoa/inspect.h>
#include <stoa/manager.h>
#include <stoa/stoa.h>

#define RESERVE (UINT64_C(4) << 20)
#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

/* Outputs that are not one number; none of them may change when a call fails. */
union big_output {
	char token[STOA_TOKEN_SIZE];
	struct stoa_segment_stat stat;
	struct stoa_inspection inspection;
	struct stoa_member member;
	struct stoa_capabilities capabilities;
	struct stoa_loan loan;
	struct stoa_message message;
	struct stoa_channel_stat channel_stat;
	struct stoa_pager_stat pager_stat;
	struct stoa_object object;
	struct stoa_draft draft;
	struct stoa_allocation allocation;
	struct stoa_store_stat store_stat;
	char path[256];
};

/* One run: what the case uses, and where its outputs go. */
struct run {
	struct stoa_segment *segment; /* unnamed, with the objects, used before */
	struct stoa_segment *file;    /* over a file */
	struct objects *objects;
	const char *name;  /* nothing has it */
	const char *taken; /* a persistent segment */
	const char *path;  /* a file of 8192 bytes */
	int sockets[2];
	struct stoa_segment *fresh; /* unnamed, with the objects; nobody takes part in it yet */
	struct stoa_process *process;
	struct stoa_prefetch *prefetch;
	struct stoa_inspector *inspector;
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_receiver *receiver;
	struct stoa_loan loan;
	struct stoa_message message;
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	struct stoa_reader *reader;
	char token[STOA_TOKEN_SIZE];
	int descriptor;
	uint32_t counted;           /* the thread whose calls fail; 0: all threads' */
	struct stoa_server *server; /* it runs in a thread, see begin_serving() */
	struct stoa_store *store;   /* its client */
	struct stoa_store *other;   /* another one: what fails for the first is nothing to it */
	struct stoa_object object;
	struct stoa_draft draft;
	struct stoa_allocation allocation;
	union {
		uint64_t bits;
		uint32_t count;
		struct stoa_segment *segment;
		struct stoa_prefetch *prefetch;
		struct stoa_process *process;
		struct stoa_watch *watch;
		struct stoa_inspector *inspector;
		struct stoa_mutex *mutex;
		struct stoa_event *event;
		struct stoa_semaphore *semaphore;
		struct stoa_channel *channel;
		struct stoa_sender *sender;
		struct stoa_receiver *receiver;
		struct stoa_stream *stream;
		struct stoa_writer *writer;
		struct stoa_reader *reader;
		struct stoa_backing *backing;
		struct stoa_store *store;
		struct stoa_subscription *subscription;
		struct stoa_server *server;
		void *address;
		int number;
		uint32_t user;
		size_t index;
	} ret, second;
	union big_output big;
};

struct objects {
	_Alignas(64) struct stoa_mutex mutex;
	_Alignas(64) struct stoa_event event;
	_Alignas(64) struct stoa_semaphore semaphore;
	_Alignas(64) struct stoa_mutex fresh_mutex;
	_Alignas(64) struct stoa_event fresh_event;
	_Alignas(64) struct stoa_semaphore fresh_semaphore;
};

struct fault_case {
	const char *function;
	const char *errors;               /* documented for it, by name; "" when it cannot fail */
	void (*prepare)(struct run *run); /* without faults; may be NULL */
	int (*call)(struct run *run);
	void (*undo)(struct run *run, int result); /* without faults; may be NULL */
};
extern const struct fault_case segment_cases[], sync_cases[], wait_cases[], channel_cases[], stream_cases[],
	grant_cases[], backing_cases[], pager_cases[], store_cases[], manager_cases[], server_cases[];

/* What a process does that has not used the library before: use() sets up what it needs, and takes it down again. */
struct first_use {
	const char *function;
	const char *errors;
	int (*use)(void);
};
extern const struct first_use first_uses[];

/* Used by both tables. */
void close_ret(struct run *run, int result); /* the handle in run->ret, when there is one */
void close_and_unlink(struct run *run, int result);

/* ---- stores (serving.c) ---- */

#define STORE_MIB (UINT64_C(1) << 20)
#define STORE_PRIVATE_SIZE UINT64_C(20000)

const char *store_path(void);
struct stoa_server_options store_options(uint32_t flags);

/* A server in a thread of this program, two clients, and the other one's objects "copied", "private" and "sealed". The caller's calls count. */
void start_store(struct run *run, uint32_t flags);
/* The same, and the server's calls count. */
void count_server(struct run *run);
/* The other client notices nothing; the server's books are right; and both end. */
void end_store(struct run *run);

void begin_serving(struct run *run); /* run->server, in a thread */
void stop_serving(struct run *run);  /* it can begin again */
void sleep_serving(struct run *run); /* until it has nothing to do */
void die_serving(
	struct run *run); /* what it held, its holder has; as if it had been killed when it had nothing to do */
void reap_holders(void);

void check_other(struct run *run);
int store_put(struct stoa_store *store, const char *id, uint64_t size, uint32_t kind);
int store_check(struct stoa_store *store, const char *id, uint64_t size);

/* Beside these, whatever asks the system may give ENOMEM, ELIMIT, EIO and ESYSTEM (stoa/error.h). */
#define CREATE_ERRORS "EINVAL ENAME EEXIST EACCES ENOTSUP EBUSY"
#define OPEN_ERRORS "ENAME ENOENT EACCES EFORMAT EVERSION EKIND EBUSY"
#define BOTH_ERRORS CREATE_ERRORS " " OPEN_ERRORS
#define OBJECT_ERRORS "EINVAL ERIGHTS EFORMAT EUNCOMMITTED ENOTSUP"

#endif
