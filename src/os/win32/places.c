/* SPDX-License-Identifier: MIT */
/*
 * Places for views. Windows 10 (1803) has placeholders: reserved room that a view replaces, and that comes back when the view goes. Elsewhere,
 * Wine 8 among them, room is released and the view made at its address, and the reverse: meanwhile another thread's allocation can get
 * in. So the range lies where the system does not put what may lie anywhere, and each step sees whether somebody was faster.
 *
 * Room is released only as it was reserved. Where there are no placeholders each unit is reserved by itself, but a piece at a time, when it is first
 * used: else a terabyte would be sixteen million reservations.
 */
#include <os/win32/places.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/win32/memory.h>
#include <os/win32/nt.h>

#define TRIES 16
#define PIECE (UINT64_C(16) << 20)
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x40000
#define MEM_REPLACE_PLACEHOLDER 0x4000
#define MEM_PRESERVE_PLACEHOLDER 2
#define MEM_COALESCE_PLACEHOLDERS 1
#endif

/* ---- placeholders ---- */

static unsigned char *reserve_placeholder(unsigned char *base, uint64_t length)
{
	return nt_functions()->allocate(GetCurrentProcess(), base, (SIZE_T)length,
					MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
}

/* Make a placeholder of this part of a larger one. */
static bool cut_placeholder(unsigned char *at, uint64_t length)
{
	return VirtualFree(at, (SIZE_T)length, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER);
}

static bool join_placeholders(unsigned char *at, uint64_t length)
{
	return VirtualFree(at, (SIZE_T)length, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS);
}

static bool replace_placeholder(unsigned char *at, uint64_t length, HANDLE section, uint64_t from, bool writable)
{
	return nt_functions()->map(section, GetCurrentProcess(), at, from, (SIZE_T)length, MEM_REPLACE_PLACEHOLDER,
				   writable ? PAGE_READWRITE : PAGE_READONLY, NULL, 0) == at;
}

static bool put_placeholder_back(unsigned char *at)
{
	return nt_functions()->unmap(GetCurrentProcess(), at, MEM_PRESERVE_PLACEHOLDER);
}

/* All that is done with them, once: some systems have the functions, and not this. */
static bool try_placeholders(HANDLE section)
{
	const uint64_t unit = MEMORY_GRAIN;
	unsigned char *base = reserve_placeholder(NULL, 4 * unit);
	bool works;

	if (!base)
		return false;
	works = cut_placeholder(base + unit, unit);
	for (unsigned i = 0; i < 2 && works; i++) {
		works = replace_placeholder(base + unit, unit, section, 0, true);
		if (works && !put_placeholder_back(base + unit)) {
			(void)UnmapViewOfFile(base + unit);
			works = false;
		}
	}
	works = works && join_placeholders(base, 4 * unit);
	(void)VirtualFree(base, 0, MEM_RELEASE);
	if (!works)
		for (unsigned i = 1; i < 4; i++)
			(void)VirtualFree(base + i * unit, 0, MEM_RELEASE);
	return works;
}

static bool placeholders;

static BOOL CALLBACK look_for_placeholders(PINIT_ONCE self, PVOID parameter, PVOID *context)
{
	const struct nt *nt = nt_functions();
	HANDLE section;

	(void)self, (void)parameter, (void)context;
	if (!nt->allocate || !nt->map || !nt->unmap)
		return TRUE;
	section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, SEC_COMMIT | PAGE_READWRITE, 0, (DWORD)MEMORY_GRAIN,
				     NULL);
	if (!section)
		return TRUE;
	placeholders = try_placeholders(section);
	(void)CloseHandle(section);
	return TRUE;
}

static bool have_placeholders(void)
{
	static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

	InitOnceExecuteOnce(&once, look_for_placeholders, NULL, NULL);
	return placeholders;
}

/* ---- reserving ---- */

static bool reserve_plainly(unsigned char *at, uint64_t length)
{
	return VirtualAlloc(at, (SIZE_T)length, MEM_RESERVE, PAGE_NOACCESS) == at;
}

/* In parts of so many bytes; all or nothing. */
static bool reserve_parts(unsigned char *base, uint64_t length, uint64_t part)
{
	for (uint64_t at = 0; at < length; at += part) {
		if (reserve_plainly(base + at, length - at < part ? length - at : part))
			continue;
		while (at) {
			at -= part;
			(void)VirtualFree(base + at, 0, MEM_RELEASE);
		}
		return false;
	}
	return true;
}

static int no_room(uint64_t length)
{
	return error_set(-STOA_ELIMIT, "no room for a range of %" PRIu64 " bytes: the address space is used up",
			 length);
}

int places_reserve(struct places *places)
{
	places->placeholders = have_placeholders();
	places->piece = PIECE;
	while (places->length / places->piece >= PLACES_PIECES)
		places->piece *= 2;
	for (unsigned tries = 0; tries < TRIES; tries++) {
		unsigned char *base = map_random_base(places->length);

		if (places->placeholders)
			base = reserve_placeholder(base, places->length);
		else if (base && !reserve_parts(base, places->length, places->piece))
			base = NULL;
		if (!base)
			continue;
		places->address = base;
		return 0;
	}
	return no_room(places->length);
}

static uint64_t piece_length(const struct places *places, uint64_t offset)
{
	uint64_t left = places->length - offset;

	return left < places->piece ? left : places->piece;
}

int places_split(const struct places *places, uint64_t offset, enum place_state *ret_state)
{
	unsigned char *at = places->address + offset;
	uint64_t length = piece_length(places, offset);

	*ret_state = PLACE_RESERVED;
	/* A placeholder is divided as its parts are needed; only the piece has to be one, to be joined again. */
	if (places->placeholders) {
		(void)cut_placeholder(at, length);
		return 0;
	}
	if (!VirtualFree(at, 0, MEM_RELEASE))
		return sys_failed("dividing reserved room");
	if (reserve_parts(at, length, places->unit))
		return 0;
	if (reserve_plainly(at, length))
		return no_room(length);
	*ret_state = PLACE_LOST;
	return error_set(-STOA_ELIMIT, "%" PRIu64 " bytes at %p were taken by somebody else", length, (void *)at);
}

void places_join(const struct places *places, uint64_t offset)
{
	if (places->placeholders)
		(void)join_placeholders(places->address + offset, piece_length(places, offset));
}

/* ---- views ---- */

static int lost(const struct places *places, const unsigned char *at, enum place_state *state)
{
	*state = PLACE_LOST;
	return error_set(-STOA_ELIMIT, "somebody else's memory is at %p, where %" PRIu32 " bytes of pages belong",
			 (const void *)at, places->unit);
}

static int reserve_again(const struct places *places, unsigned char *at, enum place_state *state)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		if (reserve_plainly(at, places->unit)) {
			*state = PLACE_RESERVED;
			return 0;
		}
		Sleep(tries / 4); /* most who allocate there give it back soon */
	}
	return lost(places, at, state);
}

static int show_plainly(const struct places *places, unsigned char *at, HANDLE section, uint64_t from, bool writable,
			enum place_state *state)
{
	int rc = *state == PLACE_LOST ? reserve_again(places, at, state) : 0, failed;

	if (rc)
		return rc;
	if (!VirtualFree(at, 0, MEM_RELEASE))
		return sys_failed("making room for pages");
	if (MapViewOfFileEx(section, writable ? FILE_MAP_WRITE : FILE_MAP_READ, 0, (DWORD)from, places->unit, at)) {
		*state = PLACE_VIEWED;
		return 0;
	}
	rc = map_failed(places->unit);
	failed = reserve_again(places, at, state);
	return failed ? failed : rc;
}

int place_show(const struct places *places, uint64_t offset, HANDLE section, uint64_t from, bool writable,
	       enum place_state *state)
{
	unsigned char *at = places->address + offset;

	if (!places->placeholders)
		return show_plainly(places, at, section, from, writable, state);
	/* Refused where it is one already, which is as well. */
	(void)cut_placeholder(at, places->unit);
	if (!replace_placeholder(at, places->unit, section, from, writable))
		return map_failed(places->unit);
	*state = PLACE_VIEWED;
	return 0;
}

int place_hide(const struct places *places, uint64_t offset, enum place_state *state)
{
	unsigned char *at = places->address + offset;

	if (places->placeholders) {
		if (!put_placeholder_back(at))
			return sys_failed("taking pages away");
		*state = PLACE_RESERVED;
		return 0;
	}
	if (*state == PLACE_VIEWED && !UnmapViewOfFile(at))
		return sys_failed("taking pages away");
	return reserve_again(places, at, state);
}

void places_release(const struct places *places, bool (*is_lost)(void *argument, uint64_t offset), void *argument)
{
	unsigned char *end = places->address + places->length;
	MEMORY_BASIC_INFORMATION info;

	for (unsigned char *at = places->address; at < end;) {
		if (is_lost(argument, (uint64_t)(at - places->address))) {
			at += places->unit;
			continue;
		}
		if (!VirtualQuery(at, &info, sizeof(info)))
			return;
		if (info.State == MEM_RESERVE && info.Type != MEM_MAPPED)
			(void)VirtualFree(info.AllocationBase, 0, MEM_RELEASE);
		else if (info.State != MEM_FREE)
			(void)UnmapViewOfFile(info.AllocationBase);
		at = (unsigned char *)info.BaseAddress + info.RegionSize;
	}
}
