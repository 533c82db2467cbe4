/* SPDX-License-Identifier: MIT */
/* `stoa rm --store`: objects by their ids. */
#include "store.h"

static int remove_one(struct stoa_store *store, const char *word, bool force, bool as_json)
{
	struct store_id id;
	int result, status = store_id_parse("rm", word, &id);
	char text[STORE_ID_TEXT];
	struct json json;

	if (status != TOOL_GO)
		return status;
	result = stoa_store_delete(store, id.bytes, id.length);
	if (as_json) {
		json_begin(&json, stdout);
		json_text(&json, "id", store_id_text(id.bytes, id.length, text));
		json_bool(&json, "removed", result == 0);
		json_end(&json);
	}
	if (result == 0 || (force && result == -STOA_ENOENT))
		return TOOL_OK;
	return store_fail(&id, result);
}

int store_rm(const char *where, char **words, int count, bool force, bool as_json)
{
	struct stoa_store *store;
	int worst = TOOL_OK, status = store_connect("rm", where, 0, &store);

	if (status != TOOL_GO)
		return status;
	for (int i = 0; i < count; i++) {
		status = remove_one(store, words[i], force, as_json);
		worst = status > worst ? status : worst;
	}
	stoa_store_close(store);
	return worst;
}
