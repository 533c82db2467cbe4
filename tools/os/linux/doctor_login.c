/* SPDX-License-Identifier: MIT */
/*
 * Does the service manager delete this user's names at logout? systemd-logind does so by default (RemoveIPC) for ordinary users
 * that do not linger. The setting is read as it reads it: the main file first, then drop-ins in the order of their names.
 */
#include "doctor_internal.h"

#include <dirent.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Directories of configuration, the stronger first: of two files of one name only the first counts. */
static const char *const places[] = {"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"};
#define PLACES (sizeof(places) / sizeof(places[0]))

#define FIRST_ORDINARY_USER 1000

static bool is_no(const char *word)
{
	return strcasecmp(word, "no") == 0 || strcasecmp(word, "false") == 0 || strcasecmp(word, "off") == 0 ||
	       strcmp(word, "0") == 0 || strcasecmp(word, "n") == 0 || strcasecmp(word, "f") == 0;
}

/* Apply a file's "RemoveIPC=" lines to *removes. False when there is no such file. */
static bool apply_file(const char *path, bool *removes)
{
	char line[512];
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		char word[64];

		if (sscanf(line, " RemoveIPC = %63s", word) == 1)
			*removes = !is_no(word);
	}
	fclose(file);
	return true;
}

static void apply_drop_in(const char *name, bool *removes)
{
	char path[512];

	for (size_t i = 0; i < PLACES; i++) {
		snprintf(path, sizeof(path), "%s/logind.conf.d/%s", places[i], name);
		if (apply_file(path, removes))
			return;
	}
}

static int is_conf(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

#define DROP_INS_MAX 256

static void apply_drop_ins(bool *removes)
{
	char *names[DROP_INS_MAX];
	char path[512];
	size_t count = 0;

	for (size_t i = 0; i < PLACES; i++) {
		struct dirent **entries;
		int found_here;

		snprintf(path, sizeof(path), "%s/logind.conf.d", places[i]);
		found_here = scandir(path, &entries, is_conf, NULL);
		for (int k = 0; k < found_here; k++) {
			if (count < DROP_INS_MAX && (names[count] = strdup(entries[k]->d_name)) != NULL)
				count++;
			free(entries[k]);
		}
		if (found_here >= 0)
			free(entries);
	}
	qsort(names, count, sizeof(names[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			apply_drop_in(names[i], removes);
	}
	for (size_t i = 0; i < count; i++)
		free(names[i]);
}

void probe_remove_ipc(struct doctor_finding *finding)
{
	const struct passwd *user = getpwuid(geteuid());
	char path[512];
	bool removes = true; /* the default */

	if (access("/run/systemd/system", F_OK) != 0) {
		found(finding, DOCTOR_OK, "systemd does not run here");
		return;
	}
	for (size_t i = 0; i < PLACES; i++) {
		snprintf(path, sizeof(path), "%s/logind.conf", places[i]);
		if (apply_file(path, &removes))
			break;
	}
	apply_drop_ins(&removes);
	if (!removes) {
		found(finding, DOCTOR_OK, "no: names outlive logins");
		return;
	}
	if (geteuid() < FIRST_ORDINARY_USER) {
		found(finding, DOCTOR_OK, "yes, but not for system users such as this one");
		return;
	}
	snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", user ? user->pw_name : "");
	if (user && access(path, F_OK) == 0) {
		found(finding, DOCTOR_OK, "yes, but %s lingers", user->pw_name);
		return;
	}
	found(finding, DOCTOR_WARN, "yes, and this user does not linger");
	so(finding,
	   "at the end of your last login systemd deletes your files in /dev/shm: named segments vanish under programs "
	   "that still run, and others make new ones of the same name");
	remedy(finding, "loginctl enable-linger %s; or RemoveIPC=no in /etc/systemd/logind.conf",
	       user ? user->pw_name : "USER");
}
