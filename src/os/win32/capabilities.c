/* SPDX-License-Identifier: MIT */
/* Windows: what waits can do. No system call passes on the wake of a thread that dies: waits look again now and then. */
#include <os/win32/sys.h>

const struct os_capabilities *os_capabilities(void)
{
	static const struct os_capabilities found = {
		.relays_wakes = false,
		.waits_on_many = true,
		.life_words = true,
		.lives_by_name = true,
	};

	return &found;
}

bool os_probe_relay(void)
{
	return false;
}

const void *os_wake_cover(const _Atomic uint32_t *word)
{
	(void)word;
	return NULL;
}

void os_wake_uncover(const void *before)
{
	(void)before;
}
