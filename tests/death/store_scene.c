/* SPDX-License-Identifier: MIT */
/* The world of a store's scene: its server, its clients, and what a stranger does afterwards. See store_scene.h. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_scene.h"

#define MIB (UINT64_C(1) << 20)

/* ---- the server ---- */

int scene_try_serve(struct step_world *world, bool held)
{
	struct store_scene *scene = store_scene(world);
	struct stoa_server_options options = {.socket = scene->path,
					      .limit = 64 * MIB,
					      .objects = 50,
					      .clients = 5,
					      .flags = STOA_SERVER_ADOPT | (held ? STOA_SERVER_HELD : 0)};

	options.descriptor = fcntl((int)scene->listener, F_DUPFD_CLOEXEC, 0);
	return stoa_server_start(&options, &scene->server);
}

int scene_serve(struct step_world *world, bool held)
{
	int rc = scene_try_serve(world, held);

	return rc < 0 ? step_bad(world, "no server: %s: %s", stoa_error_name(rc), stoa_error_detail()) : 0;
}

static void *run(void *argument)
{
	(void)stoa_server_run(argument);
	return NULL;
}

int scene_run(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	store_rlx(&scene->server->stopping, 0);
	return pthread_create(&scene->runs, NULL, run, scene->server) ? step_bad(world, "no thread") : 0;
}

void scene_halt(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	stoa_server_stop(scene->server);
	pthread_join(scene->runs, NULL);
}

void scene_leave(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	scene->server->leaving = true;
	stoa_server_close(scene->server);
	scene->server = NULL;
}

static bool has_message(const struct server_session *session)
{
	uint32_t ready;

	return os_wait_readable(&session->socket, 1, 0, &ready) == 0;
}

bool scene_round(struct stoa_server *server)
{
	os_handle socket;

	if (os_local_accept(&server->listener, &socket) == 0) {
		(void)session_accept(server, socket);
		return true;
	}
	for (unsigned i = 0; i < server->session_count; i++) {
		struct server_session *session = server->sessions[i];

		if (!session)
			continue;
		if (has_message(session)) {
			session_message(server, session);
			return true;
		}
		if (!session_has_work(server, session))
			continue;
		os_bell_clear(session->bell);
		(void)session_work(server, session);
		return true;
	}
	return false;
}

void scene_rounds(struct stoa_server *server)
{
	while (scene_round(server))
		;
}

/* ---- the world ---- */

static int listen_there(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	struct os_listener listener;

	if (os_local_listen(scene->path, 0600, &listener))
		return step_bad(world, "listen: %s", stoa_error_detail());
	scene->listener = listener.socket;
	os_handle_close(listener.lock);
	return 0;
}

static int open_client(struct step_world *world, struct stoa_store **ret_store)
{
	const struct stoa_store_options options = {.leases = 8};
	int rc = stoa_store_open(store_scene(world)->path, &options, ret_store);

	return rc ? step_bad(world, "open: %s: %s", stoa_error_name(rc), stoa_error_detail()) : 0;
}

int scene_put(struct step_world *world, struct stoa_store *store, const char *id, int byte, uint32_t size,
	      uint32_t kind, uint32_t flags)
{
	const struct stoa_object_options options = {.kind = kind, .flags = flags};
	unsigned char bytes[SCENE_LARGE];
	int rc;

	memset(bytes, byte, size);
	rc = stoa_store_put(store, id, (uint32_t)strlen(id), bytes, size, &options);
	return rc ? step_bad(world, "put '%s': %s: %s", id, stoa_error_name(rc), stoa_error_detail()) : 0;
}

int scene_begin(struct step_world *world)
{
	struct store_scene *scene = calloc(1, sizeof(*scene));

	if (!scene)
		return step_bad(world, "out of memory");
	world->local = scene;
	scene->socket = scene->listener = OS_NO_HANDLE;
	os_capabilities();
	snprintf(scene->path, sizeof(scene->path), "%s/%s", world->names, world->token);
	return listen_there(world);
}

int scene_setup(struct step_world *world, bool held)
{
	struct store_scene *scene;
	int rc = scene_begin(world);

	if (rc)
		return rc;
	scene = store_scene(world);
	rc = scene_serve(world, held);
	if (rc == 0)
		rc = scene_run(world);
	if (rc == 0)
		rc = open_client(world, &scene->asks);
	if (rc == 0)
		rc = open_client(world, &scene->reads);
	if (rc == 0)
		rc = scene_put(world, scene->asks, "old", SCENE_OLD, SCENE_SIZE, STOA_OBJECT_COPIED, 0);
	if (rc == 0)
		rc = scene_put(world, scene->reads, "keep", SCENE_KEEP, SCENE_SIZE, STOA_OBJECT_COPIED, 0);
	/* So that it has the arena, and needs no server to read. */
	return rc == 0 && scene_read(world, "old") != SCENE_OLD ? step_bad(world, "'old' is not there") : rc;
}

/* ---- what everybody sees ---- */

int scene_read(struct step_world *world, const char *id)
{
	struct stoa_object object;
	int rc = stoa_store_get(store_scene(world)->reads, id, (uint32_t)strlen(id), 0, &object);
	const unsigned char *bytes;

	if (rc == -STOA_ENOENT)
		return SCENE_ABSENT;
	if (rc)
		return step_bad(world, "get '%s': %s: %s", id, stoa_error_name(rc), stoa_error_detail());
	bytes = object.data;
	rc = object.size ? bytes[0] : 0;
	for (uint64_t i = 0; i < object.size; i++)
		if (bytes[i] != rc)
			rc = step_bad(world, "'%s' is a mixture", id);
	if (rc >= 0 && object.size != SCENE_SIZE && object.size != SCENE_LARGE)
		rc = step_bad(world, "'%s' has %llu bytes", id, (unsigned long long)object.size);
	stoa_object_release(store_scene(world)->reads, &object);
	return rc;
}

uint32_t scene_count(const struct step_world *world, enum store_state state)
{
	const struct directory *directory = &store_scene(world)->reads->directory;
	uint32_t count = 0;

	for (uint32_t i = 1; i < directory_limit(directory); i++)
		count += store_state_of(load_rlx(directory_state(directory, i))) == state;
	return count;
}

int scene_is_new(struct step_world *world, const char *id, int before)
{
	int found = scene_read(world, id);

	if (found == before || found == SCENE_NEW)
		return found == SCENE_NEW;
	return found < 0 ? -1 : step_bad(world, "'%s' is full of %#x", id, (unsigned)found);
}

int scene_look_new(struct step_world *world)
{
	return scene_is_new(world, "new", SCENE_ABSENT);
}

int scene_look_old(struct step_world *world)
{
	return scene_is_new(world, "old", SCENE_OLD);
}

int scene_look_deleted(struct step_world *world)
{
	int found = scene_read(world, "old");

	return found == SCENE_OLD || found == SCENE_ABSENT ? found == SCENE_ABSENT : -1;
}

int scene_look_sealed(struct step_world *world)
{
	uint32_t sealed = scene_count(world, STORE_SEALED);

	return sealed == 2 || sealed == 3 ? (int)sealed - 2 : step_bad(world, "%u objects", sealed);
}

/* ---- afterwards ---- */

int scene_work(struct step_world *world)
{
	struct stoa_store *store;
	int rc = open_client(world, &store);

	if (rc)
		return rc;
	rc = scene_put(world, store, "stranger's", SCENE_NEW, SCENE_SIZE, STOA_OBJECT_COPIED, 0);
	if (rc == 0)
		rc = scene_put(world, store, "stranger's own", SCENE_NEW, SCENE_LARGE, STOA_OBJECT_PRIVATE, 0);
	if (rc == 0 && scene_read(world, "stranger's") != SCENE_NEW)
		rc = step_bad(world, "what a stranger put is not there");
	if (rc == 0 && scene_read(world, "stranger's own") != SCENE_NEW)
		rc = step_bad(world, "what a stranger made is not there");
	if (rc == 0 && stoa_store_delete(store, "stranger's", 10))
		rc = step_bad(world, "delete: %s", stoa_error_detail());
	if (rc == 0 && stoa_store_delete(store, "stranger's own", 14))
		rc = step_bad(world, "delete: %s", stoa_error_detail());
	stoa_store_close(store);
	return rc;
}

/* Names of the scene's, but the socket and its lock, which are the service manager's. */
int scene_check_names(struct step_world *world)
{
	DIR *directory = opendir(world->names);
	size_t length = strlen(world->token);
	struct dirent *entry;
	int rc = 0;

	while (directory && (entry = readdir(directory)) != NULL)
		if (strncmp(entry->d_name, world->token, length) == 0 && entry->d_name[length] &&
		    strcmp(entry->d_name + length, ".lock") != 0)
			rc = step_bad(world, "'%s' is left", entry->d_name);
	if (directory)
		closedir(directory);
	return rc;
}

int scene_end(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	uint32_t sessions = 0;
	int rc;

	stoa_store_close(scene->asks);
	stoa_store_close(scene->reads);
	if (scene->socket != OS_NO_HANDLE)
		os_handle_close(scene->socket);
	scene_rounds(scene->server);
	(void)object_reap(scene->server);
	for (uint32_t i = 0; i < scene->server->session_count; i++)
		sessions += scene->server->sessions[i] != NULL;
	if (sessions)
		return step_bad(world, "%u sessions of clients that have gone", sessions);
	rc = scene_check_books(world);
	stoa_server_close(scene->server);
	return rc == 0 ? scene_check_names(world) : rc;
}
