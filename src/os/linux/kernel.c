/* SPDX-License-Identifier: MIT */
/* Linux has no named kernel objects that other programs' mutexes, events and sections could be. Uses base. */
#include <base/error.h>
#include <os/os.h>

static int none(void)
{
	return error_set(-STOA_ENOTSUP, "plain kernel objects by name are Windows': here use those of stoa/sync.h, and "
					"stoa_segment_file() for memory that other programs map");
}

int os_kernel_open(const char *name, const struct os_kernel_options *options, os_handle *ret_object)
{
	(void)name, (void)options, (void)ret_object;
	return none();
}

int os_kernel_signal(os_handle object, enum os_kernel_kind kind, uint32_t count)
{
	(void)object, (void)kind, (void)count;
	return none();
}

int os_kernel_reset(os_handle event)
{
	(void)event;
	return none();
}

int os_kernel_wait(const os_handle *objects, unsigned count, uint64_t deadline, unsigned *ret_index)
{
	(void)objects, (void)count, (void)deadline, (void)ret_index;
	return none();
}

int os_kernel_section(const char *name, const struct os_kernel_section *section, os_handle *ret_memory,
		      uint64_t *ret_size)
{
	(void)name, (void)section, (void)ret_memory, (void)ret_size;
	return none();
}
