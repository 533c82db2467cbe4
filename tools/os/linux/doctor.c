/* SPDX-License-Identifier: MIT */
/* The list of Linux probes for `stoa doctor`, and how a probe speaks. Uses libc only. */
#include "doctor_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const struct {
	const char *topic;
	void (*probe)(struct doctor_finding *finding);
} probes[] = {
	{"kernel", probe_kernel},
	{"page size", probe_page_size},
	{"wait on many", probe_waitv},
	{"deaths", probe_relay},
	{"membarrier", probe_membarrier},
	{"memfd", probe_memfd},
	{"populate", probe_populate},
	{"huge pages", probe_huge},
	{"/dev/shm", probe_dev_shm},
	{"names", probe_directory},
	{"RemoveIPC", probe_remove_ipc},
	{"host memory", probe_host_memory},
	{"memory cgroup", probe_cgroup},
	{"RLIMIT_NOFILE", probe_descriptors},
	{"RLIMIT_FSIZE", probe_file_size},
	{"RLIMIT_AS", probe_address_space},
	{"max_map_count", probe_map_count},
	{"userfaultfd", probe_userfaultfd},
	{"PAGEMAP_SCAN", probe_pagemap_scan},
	{"io_uring", probe_io_uring},
};

int doctor_probe(size_t i, struct doctor_finding *ret_finding)
{
	if (i >= sizeof(probes) / sizeof(probes[0]))
		return 0;
	memset(ret_finding, 0, sizeof(*ret_finding));
	ret_finding->topic = probes[i].topic;
	probes[i].probe(ret_finding);
	return 1;
}

void doctor_found(struct doctor_finding *finding, enum doctor_level level, const char *format, ...)
{
	va_list arguments;

	finding->level = level;
	va_start(arguments, format);
	vsnprintf(finding->state, sizeof(finding->state), format, arguments);
	va_end(arguments);
}

void doctor_so(struct doctor_finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->consequence, sizeof(finding->consequence), format, arguments);
	va_end(arguments);
}

void doctor_remedy(struct doctor_finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->remedy, sizeof(finding->remedy), format, arguments);
	va_end(arguments);
}

bool doctor_read_line(const char *path, char *buffer, size_t size)
{
	FILE *file = fopen(path, "re");
	bool got = file && fgets(buffer, (int)size, file);

	if (file)
		fclose(file);
	if (got)
		buffer[strcspn(buffer, "\n")] = 0;
	return got;
}

bool doctor_read_number(const char *path, uint64_t *ret_number)
{
	char text[64];

	return doctor_read_line(path, text, sizeof(text)) && sscanf(text, "%" SCNu64, ret_number) == 1;
}
