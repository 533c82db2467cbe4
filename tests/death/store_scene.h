/* SPDX-License-Identifier: MIT */
/*
 * Scenes of object stores, for the stepper: what those have in common where the server dies, and those where a client does. Each step of a
 * server is made where it is wanted, so that a victim takes the same path each time. Uses the store's insides.
 */
#ifndef TESTS_DEATH_STORE_SCENE_H
#define TESTS_DEATH_STORE_SCENE_H

#include <death/death.h>
#include <pthread.h>
#include <store/client.h>
#include <store/server.h>

#define SCENE_SIZE 300u   /* of objects that are copied */
#define SCENE_LARGE 1500u /* that are made in place */

/* Bytes of objects: all the same. */
enum { SCENE_ABSENT, SCENE_OLD = 0x11, SCENE_NEW = 0x22, SCENE_KEEP = 0x33 };

struct scene_call {
	struct stoa_store *store;
	struct client_call call;
	uint64_t server; /* the only one that knows of it, as it waits; 0: it is done by whichever comes */
};

struct store_scene {
	char path[128];
	os_handle listener;         /* over all servers' lives, as a service manager has it */
	struct stoa_server *server; /* of this process; NULL: there is none */
	pthread_t runs;
	struct stoa_store *asks;    /* the first client, session 0; NULL: it has ended */
	struct stoa_store *reads;   /* another one, session 1 */
	struct scene_call calls[2]; /* what is asked for */
	unsigned called;
	struct stoa_draft draft;
	struct stoa_object held;
	struct stoa_allocation region;
	struct os_listener holder; /* where the holder is the victim */
	os_handle socket;          /* of one who is not a client yet */
	os_handle spare[3];        /* copies of the first client's handles, for a victim that is to be it */
	uint32_t entry;            /* that the scene looks at */
	uint64_t state;
	const void *plan; /* what it is about */
};

static inline struct store_scene *store_scene(const struct step_world *world)
{
	return world->local;
}

extern const struct step_operation store_client_operations[];
extern const struct step_operation store_server_operations[];
extern const struct step_operation store_adoption_operations[];
extern const struct step_operation store_holder_operations[];

/* A server for this process, at the scene's path, with what a dead one left if it is held. -1, with the reason; try: the error. */
int scene_serve(struct step_world *world, bool held);
int scene_try_serve(struct step_world *world, bool held);
/* It works in a thread of its own until it is halted. */
int scene_run(struct step_world *world);
void scene_halt(struct step_world *world);
/* It is gone, as if it had been killed. */
void scene_leave(struct step_world *world);

/* A world with a place for servers to listen at, and nothing else. */
int scene_begin(struct step_world *world);
/* A world with a server, at rest, two clients, and the objects "old" and "keep". */
int scene_setup(struct step_world *world, bool held);

/*
 * One thing that a server would do now; false: there is none. No more than one, as whoever waited for it goes on at once, and may then be faster than
 * this process, or not. And all there is.
 */
bool scene_round(struct stoa_server *server);
void scene_rounds(struct stoa_server *server);

/* Put, with what came of it checked. */
int scene_put(struct step_world *world, struct stoa_store *store, const char *id, int byte, uint32_t size,
	      uint32_t kind, uint32_t flags);

/* What is there: SCENE_ABSENT, or the byte that it is full of; or -1, as it is no whole object. Asks no server. */
int scene_read(struct step_world *world, const char *id);

/* An outcome, or -1: is what the victim makes there, in place of what was before; likewise for "new" and "old"; is "old" gone? */
int scene_is_new(struct step_world *world, const char *id, int before);
int scene_look_new(struct step_world *world);
int scene_look_old(struct step_world *world);
int scene_look_deleted(struct step_world *world);
/* The same for what lies in memory of its own, which the reader has not mapped: entries tell. */
int scene_look_sealed(struct step_world *world);

/* Entries in a state, as everybody sees them. */
uint32_t scene_count(const struct step_world *world, enum store_state state);

/* Are the server's books right, and is nothing else there than what is in them? -1, with what is wrong. */
int scene_check_books(struct step_world *world);

/* A stranger comes, and works: what others left is in nobody's way. */
int scene_work(struct step_world *world);

/* Are only such names left as the service manager has? */
int scene_check_names(struct step_world *world);

/* All clients go, then the server with everything; nothing is left. */
int scene_end(struct step_world *world);

#endif
