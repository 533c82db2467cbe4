/* SPDX-License-Identifier: MIT */
/* A keeper of the program's own, in the place of a holder's process: its functions, with names that are checked both ways. Uses base. */
#include <store/keeper.h>

#include <base/error.h>
#include <store/hold.h>
#include <string.h>

#define AT_A_TIME 16u

_Static_assert(STOA_KEPT_NAME == STORE_HOLDER_NAME, "a name is one for either");

static int say(int rc)
{
	if (rc >= 0)
		return rc;
	if (rc == -STOA_ELIMIT)
		return error_set(rc, "what keeps the store's memory keeps no more descriptors");
	return error_set(rc, "what keeps the store's memory: %s", stoa_error_text(rc));
}

int keeper_put(const struct stoa_keeper *keeper, const struct store_held *held, uint32_t count)
{
	struct stoa_kept kept[AT_A_TIME];
	int rc = 0;

	while (count && rc == 0) {
		uint32_t some = count < AT_A_TIME ? count : AT_A_TIME;

		for (uint32_t i = 0; i < some; i++)
			kept[i] = (struct stoa_kept){held[i].name, held[i].memory};
		rc = keeper->put(keeper->argument, kept, some);
		held += some;
		count -= some;
	}
	return rc > 0 ? error_set(-STOA_EFORMAT, "a keeper's put gave %d", rc) : say(rc);
}

int keeper_drop(const struct stoa_keeper *keeper, const char *name)
{
	return say(keeper->drop(keeper->argument, name));
}

struct visiting {
	int (*visit)(const char *name, os_handle memory, void *argument);
	void *argument;
	int result;
};

/* What is no name of a store's is none of its business. */
static int visit_kept(const char *name, intptr_t descriptor, void *argument)
{
	struct visiting *visiting = argument;
	char place[STORE_HOLDER_NAME] = "";
	size_t length = strnlen(name, STORE_HOLDER_NAME);

	memcpy(place, name, length < STORE_HOLDER_NAME ? length : 0);
	if (!hold_is_name(place)) {
		os_handle_close(descriptor);
		return 0;
	}
	visiting->result = visiting->visit(place, descriptor, visiting->argument);
	return visiting->result ? 1 : 0;
}

int keeper_visit(const struct stoa_keeper *keeper, int (*visit)(const char *name, os_handle memory, void *argument),
		 void *argument)
{
	struct visiting visiting = {visit, argument, 0};
	int rc = keeper->visit(keeper->argument, visit_kept, &visiting);

	return visiting.result ? visiting.result : say(rc);
}

int keeper_clear(const struct stoa_keeper *keeper)
{
	return say(keeper->clear(keeper->argument));
}
