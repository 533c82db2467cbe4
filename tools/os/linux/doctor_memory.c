/* SPDX-License-Identifier: MIT */
/* Memory: what a commit may run into. Reads /proc, /sys and the memory file system. Limits of the process are in doctor_limits.c. */
#include "doctor_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../../tool.h"

#define HUGE_SETTING "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define MIB (UINT64_C(1) << 20)

/* The word in brackets of "always within_size [advise] never". */
static bool chosen_word(const char *line, char *word, size_t size)
{
	const char *open = strchr(line, '[');
	const char *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return false;
	snprintf(word, size, "%.*s", (int)(close - open - 1), open + 1);
	return true;
}

void probe_huge(struct doctor_finding *finding)
{
	char line[128];
	char word[32];

	if (!doctor_read_line(HUGE_SETTING, line, sizeof(line)) || !chosen_word(line, word, sizeof(word))) {
		found(finding, DOCTOR_OFF, "this kernel has none for shared memory");
		so(finding, "every page is 4 KiB; a first touch costs about 2 us per page");
		return;
	}
	if (strcmp(word, "never") == 0 || strcmp(word, "deny") == 0) {
		found(finding, DOCTOR_OFF, "shmem_enabled is '%s'", word);
		so(finding,
		   "commits use 4 KiB pages: about ten times slower per byte, and more TLB misses; STOA_HUGE_REQUIRE fails");
		remedy(finding, "echo advise | sudo tee %s", HUGE_SETTING);
		return;
	}
	found(finding, DOCTOR_OK, "shmem_enabled is '%s'", word);
	if (strcmp(word, "always") == 0 || strcmp(word, "force") == 0)
		so(finding, "every shared memory of this host gets huge pages, also small ones");
}

void probe_dev_shm(struct doctor_finding *finding)
{
	struct statfs fs;
	char total_text[SIZE_TEXT];
	char free_text[SIZE_TEXT];
	uint64_t total;
	uint64_t available;
	uint64_t wanted; /* MiB */

	if (statfs("/dev/shm", &fs) != 0 || fs.f_type != TMPFS_MAGIC) {
		found(finding, DOCTOR_OFF, "/dev/shm is not a memory file system");
		so(finding, "named segments cannot be made, or lie on a disk");
		remedy(finding, "sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm");
		return;
	}
	total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
	available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	wanted = total < 1024 * MIB ? 2048 : 2 * (total / MIB);
	found(finding, DOCTOR_OK, "%s, %s free", total ? size_text(total, total_text) : "unlimited",
	      size_text(available, free_text));
	if (access("/dev/shm", W_OK | X_OK) != 0) {
		finding->level = DOCTOR_OFF;
		so(finding, "this user cannot make named segments: %s", strerror(errno));
		remedy(finding, "sudo chmod 1777 /dev/shm");
	} else if (total > 0 && (total <= 64 * MIB || available < total / 10)) {
		finding->level = DOCTOR_WARN;
		so(finding,
		   "named segments share this space with everybody; a commit beyond it fails with STOA_ENOMEM. Unnamed "
		   "segments (memfd) are not bound by it");
		remedy(finding,
		       "sudo mount -o remount,size=%" PRIu64 "M /dev/shm; for containers --shm-size=%" PRIu64
		       "m. 'stoa ls --all' shows who uses it",
		       wanted, wanted);
	} else if (fs.f_flags & ST_NOEXEC) {
		so(finding, "mounted noexec: views with STOA_EXEC are for unnamed segments only");
	}
}

void probe_directory(struct doctor_finding *finding)
{
	char path[64];
	struct stat st;
	const struct passwd *owner;
	uint32_t user = geteuid();

	snprintf(path, sizeof(path), "/dev/shm/stoa.%" PRIu32, user);
	if (lstat(path, &st) != 0) {
		found(finding, DOCTOR_OK, "%s is made at first use", path);
		return;
	}
	owner = getpwuid(st.st_uid);
	if (S_ISDIR(st.st_mode) && st.st_uid == user && (st.st_mode & 077) == 0) {
		found(finding, DOCTOR_OK, "%s is yours alone", path);
		return;
	}
	found(finding, DOCTOR_WARN, "%s is %s of user %s, mode %03o", path,
	      S_ISDIR(st.st_mode) ? "a directory" : "no directory", owner ? owner->pw_name : "unknown",
	      st.st_mode & 0777);
	if (S_ISDIR(st.st_mode) && st.st_uid == user) {
		so(finding, "others could enter it: stoa refuses to use it");
		remedy(finding, "chmod 700 %s", path);
		return;
	}
	so(finding, "somebody else has taken the place of your names: stoa refuses to use it");
	remedy(finding, "its owner or root removes it: sudo rm -r %s", path);
}

/* "MemAvailable:   123 kB" of /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *field)
{
	char line[128];
	uint64_t kilobytes = 0;
	size_t length = strlen(field);
	FILE *file = fopen("/proc/meminfo", "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			kilobytes = strtoull(line + length + 1, NULL, 10);
	fclose(file);
	return kilobytes * 1024;
}

void probe_host_memory(struct doctor_finding *finding)
{
	uint64_t total = meminfo("MemTotal");
	uint64_t available = meminfo("MemAvailable");
	uint64_t swap = meminfo("SwapFree");
	char texts[3][SIZE_TEXT];

	found(finding, available < total / 20 ? DOCTOR_WARN : DOCTOR_OK, "%s, %s available, %s swap free",
	      size_text(total, texts[0]), size_text(available, texts[1]), size_text(swap, texts[2]));
	if (finding->level == DOCTOR_WARN)
		so(finding, "commits beyond it fail with STOA_ENOMEM, or the kernel's OOM killer ends a process");
}

/* Where the memory controller's groups are mounted, and our path below it. Old (1) or unified (2) hierarchy; 0: neither. */
static int find_cgroup(char *mount, char *path, size_t size)
{
	char line[1024];
	int version = 0;
	FILE *file = fopen("/proc/self/cgroup", "re");

	path[0] = 0;
	while (file && fgets(line, sizeof(line), file)) {
		char *controllers = strchr(line, ':');
		char *below = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!below)
			continue;
		*below = 0;
		below[1 + strcspn(below + 1, "\n")] = 0;
		if (strstr(controllers, "memory"))
			version = 1;
		else if (controllers[1] == 0 && version == 0)
			version = 2;
		else
			continue;
		snprintf(path, size, "%s", strcmp(below + 1, "/") == 0 ? "" : below + 1);
	}
	if (file)
		fclose(file);
	snprintf(mount, size, "%s", version == 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup");
	return version;
}

struct group_limit {
	uint64_t limit;
	uint64_t used;
	char path[1024];
};

/* The tightest limit from our group up to the root; below a container's root the upper ones are out of sight. */
static bool tightest_limit(struct group_limit *ret_limit)
{
	char mount[512];
	char path[512];
	char file[1100];
	bool any = false;
	int version = find_cgroup(mount, path, sizeof(path));

	ret_limit->limit = UINT64_MAX;
	if (version == 0)
		return false;
	for (;;) {
		uint64_t limit;

		snprintf(file, sizeof(file), "%s%s/%s", mount, path,
			 version == 1 ? "memory.limit_in_bytes" : "memory.max");
		if (doctor_read_number(file, &limit) && limit < ret_limit->limit && limit < UINT64_C(1) << 62) {
			ret_limit->limit = limit;
			snprintf(ret_limit->path, sizeof(ret_limit->path), "%s%s", mount, path);
			snprintf(file, sizeof(file), "%s/%s", ret_limit->path,
				 version == 1 ? "memory.usage_in_bytes" : "memory.current");
			any = doctor_read_number(file, &ret_limit->used);
		}
		if (!strrchr(path, '/'))
			return any;
		*strrchr(path, '/') = 0;
	}
}

void probe_cgroup(struct doctor_finding *finding)
{
	struct group_limit group;
	uint64_t headroom;
	char texts[2][SIZE_TEXT];

	if (!tightest_limit(&group)) {
		found(finding, DOCTOR_OK, "no limit in sight");
		return;
	}
	headroom = group.used < group.limit ? group.limit - group.used : 0;
	found(finding, headroom < group.limit / 10 ? DOCTOR_WARN : DOCTOR_OK, "%s, of which %s are left",
	      size_text(group.limit, texts[0]), size_text(headroom, texts[1]));
	so(finding,
	   "commit looks at what is left and fails in time; when others take it meanwhile the kernel kills a process of "
	   "the group");
	if (finding->level == DOCTOR_WARN)
		remedy(finding, "raise it in %s, or free memory", group.path);
}
