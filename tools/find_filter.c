/* SPDX-License-Identifier: MIT */
/*
 * Which entries are wanted: by name, type and size. Names are bytes; where they are UTF-8, a '?' or a set in a pattern stands for one
 * character, else for one byte. Patterns are matched with one place to come back to, the last '*', so the time is bounded by
 * the product of the lengths.
 */
#include "find.h"

#include <string.h>

#include "tool.h"

bool find_filter_needs_size(const struct find_filter *filter)
{
	return filter->size_min > 0 || filter->size_max < UINT64_MAX;
}

bool find_filter_accepts(const struct find_filter *filter, const char *name, size_t length, char type,
			 const uint64_t *size)
{
	const char *letter = type ? strchr(FIND_TYPES, type) : NULL;

	if (filter->types && (!letter || !(filter->types & (1u << (letter - FIND_TYPES)))))
		return false;
	if (filter->glob_length != FIND_NO_GLOB && !find_glob_matches(filter->glob, filter->glob_length, name, length))
		return false;
	if (!find_filter_needs_size(filter))
		return true;
	return size && *size >= filter->size_min && *size <= filter->size_max;
}

/* One character: its code, or its byte with a mark where it is not UTF-8. */
static uint32_t character(const char *text, size_t length, size_t *ret_step)
{
	uint32_t code;
	size_t step;

	if ((unsigned char)text[0] < 0x80) {
		*ret_step = 1;
		return (unsigned char)text[0];
	}
	step = utf8_next(text, length, &code);
	*ret_step = step ? step : 1;
	return step ? code : UINT32_C(0x80000000) | (unsigned char)text[0];
}

struct set {
	size_t end; /* of the pattern's set, behind ']' */
	bool matches;
};

/* A member of a set, which may be written with a backslash. */
static uint32_t member(const char *glob, size_t length, size_t *at)
{
	size_t step;
	uint32_t code;

	if (glob[*at] == '\\' && *at + 1 < length)
		++*at;
	code = character(glob + *at, length - *at, &step);
	*at += step;
	return code;
}

/* "[a-z_]", "[!...]", "[^...]"; a ']' that comes first is a member. False: not a set, as nothing ends it. */
static bool read_set(const char *glob, size_t length, size_t at, uint32_t code, struct set *ret_set)
{
	bool inverted = false;
	bool found = false;
	size_t first;

	at++;
	if (at < length && (glob[at] == '!' || glob[at] == '^')) {
		inverted = true;
		at++;
	}
	for (first = at; at < length && (glob[at] != ']' || at == first);) {
		uint32_t low = member(glob, length, &at);
		uint32_t high = low;

		if (at + 1 < length && glob[at] == '-' && glob[at + 1] != ']') {
			at++;
			high = member(glob, length, &at);
		}
		found |= code >= low && code <= high;
	}
	if (at >= length)
		return false;
	ret_set->end = at + 1;
	ret_set->matches = found != inverted;
	return true;
}

/* Match one character of `name` at the pattern's place; *ret_next is the place behind. */
static bool matches_one(const char *glob, size_t length, size_t at, uint32_t code, size_t *ret_next)
{
	struct set set;
	size_t step;

	if (glob[at] == '?') {
		*ret_next = at + 1;
		return true;
	}
	if (glob[at] == '[' && read_set(glob, length, at, code, &set)) {
		*ret_next = set.end;
		return set.matches;
	}
	if (glob[at] == '\\' && at + 1 < length)
		at++;
	if (character(glob + at, length - at, &step) != code)
		return false;
	*ret_next = at + step;
	return true;
}

bool find_glob_matches(const char *glob, size_t glob_length, const char *name, size_t length)
{
	size_t g = 0;
	size_t n = 0;
	size_t star = SIZE_MAX; /* behind the last '*' */
	size_t star_name = 0;   /* where the name goes on after what it stands for */
	size_t step;

	while (n < length) {
		uint32_t code = character(name + n, length - n, &step);
		size_t next;

		if (g < glob_length && glob[g] == '*') {
			star = ++g;
			star_name = n;
		} else if (g < glob_length && matches_one(glob, glob_length, g, code, &next)) {
			g = next;
			n += step;
		} else if (star != SIZE_MAX) {
			character(name + star_name, length - star_name, &step);
			star_name += step;
			n = star_name;
			g = star;
		} else {
			return false;
		}
	}
	while (g < glob_length && glob[g] == '*')
		g++;
	return g == glob_length;
}
