/* SPDX-License-Identifier: MIT */
/* Between the files of the Linux doctor: its probes, and how they speak. */
#ifndef TOOLS_OS_LINUX_DOCTOR_INTERNAL_H
#define TOOLS_OS_LINUX_DOCTOR_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../doctor.h"

/* Fill a finding. The sizeof lets the compiler check the formats. Several `so`s or `do`s: the last one counts. */
#define found(finding, level, ...) ((void)sizeof(printf(__VA_ARGS__)), doctor_found(finding, level, __VA_ARGS__))
#define so(finding, ...) ((void)sizeof(printf(__VA_ARGS__)), doctor_so(finding, __VA_ARGS__))
#define remedy(finding, ...) ((void)sizeof(printf(__VA_ARGS__)), doctor_remedy(finding, __VA_ARGS__))
void doctor_found(struct doctor_finding *finding, enum doctor_level level, const char *format, ...);
void doctor_so(struct doctor_finding *finding, const char *format, ...);
void doctor_remedy(struct doctor_finding *finding, const char *format, ...);

/* The first line of a small file, without its end; false when it cannot be read. */
bool doctor_read_line(const char *path, char *buffer, size_t size);
/* The number at the start of a file. */
bool doctor_read_number(const char *path, uint64_t *ret_number);

/* Kernel: doctor_kernel.c. */
void probe_kernel(struct doctor_finding *finding);
void probe_page_size(struct doctor_finding *finding);
void probe_waitv(struct doctor_finding *finding);
void probe_relay(struct doctor_finding *finding);
void probe_membarrier(struct doctor_finding *finding);
void probe_memfd(struct doctor_finding *finding);
void probe_populate(struct doctor_finding *finding);
void probe_userfaultfd(struct doctor_finding *finding);
void probe_pagemap_scan(struct doctor_finding *finding);
void probe_io_uring(struct doctor_finding *finding);

/* Memory: doctor_memory.c. */
void probe_huge(struct doctor_finding *finding);
void probe_dev_shm(struct doctor_finding *finding);
void probe_directory(struct doctor_finding *finding);
void probe_host_memory(struct doctor_finding *finding);
void probe_cgroup(struct doctor_finding *finding);

/* Limits: doctor_limits.c. */
void probe_descriptors(struct doctor_finding *finding);
void probe_file_size(struct doctor_finding *finding);
void probe_address_space(struct doctor_finding *finding);
void probe_map_count(struct doctor_finding *finding);

/* The service manager's habits: doctor_login.c. */
void probe_remove_ipc(struct doctor_finding *finding);

#endif
