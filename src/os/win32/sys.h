/* SPDX-License-Identifier: MIT */
/*
 * What the files of the Windows half share: errors, names of kernel objects, and where in which memory a word lies. Windows finds
 * sleepers and the living by name: each memory object's name is the 128 random bits that os_memory_identify() was told, each
 * word's is that and its offset.
 */
#ifndef OS_WIN32_SYS_H
#define OS_WIN32_SYS_H

#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00
#endif
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <base/cc.h>
#include <os/os.h>

/* The stoa error that a value of GetLastError() stands for. */
int sys_error(DWORD system_error);

/* Record "<format>: <the system's text>" and return the stoa error of GetLastError(), which stays as it was. */
int sys_failed(const char *format, ...) CC_PRINTF(1, 2);

/* UTF-8 to UTF-16 with a final 0; false where it does not fit or is no UTF-8. `room` counts elements. */
bool sys_wide(const char *text, wchar_t *wide, size_t room);

/* For objects that only this user may open: a descriptor with the user's own SID. NULL with the sentence set. */
SECURITY_ATTRIBUTES *sys_owner_only(void);

/* The same, and everybody may read. */
SECURITY_ATTRIBUTES *sys_world_readable(void);

/* For objects that nobody may open again, nor get another handle to than the like of one he has: this user neither. */
SECURITY_ATTRIBUTES *sys_handle_only(void);

/* Whose an object is: unknown where the handle does not let us ask. Programs run as administrator make things of theirs. */
enum sys_owner { SYS_OWNER_UNKNOWN, SYS_OWNER_WE, SYS_OWNER_ADMINISTRATORS, SYS_OWNER_OTHER };
enum sys_owner sys_owner_of(HANDLE object);

static inline bool sys_is_ours(HANDLE object)
{
	return sys_owner_of(object) == SYS_OWNER_WE;
}

/* The user of a process, as os_user_id() has it; OS_SENDER_UNKNOWN where it cannot be asked. Of a token; of a SID. */
uint32_t sys_user_of(HANDLE process);
uint32_t sys_user_of_token(HANDLE token);
uint32_t sys_user_number(PSID sid);

/*
 * Milliseconds to sleep at a time with a deadline. The clock goes on while the machine sleeps; the system's timeouts do not, and
 * would end that much too late.
 */
#define SYS_SLEEP_MAX 1000u

static inline HANDLE sys_handle(os_handle handle)
{
	return (HANDLE)handle;
}

/*
 * Where the names of kernel objects lie: each session has its own, and those of the host are seen in all. What belongs to
 * a memory object has its name where that one has; memory of another session can be received as a handle, but none of its names
 * can be reached.
 */
enum sys_space { SYS_LOCAL, SYS_GLOBAL, SYS_ELSEWHERE };

/* A place in memory that several processes share. */
struct sys_place {
	uint64_t identity[2];
	uint64_t offset; /* in the memory object */
	uint64_t space;  /* enum sys_space: without padding, as places are compared byte by byte */
};

/* Where the address lies; false for memory of this process alone, or memory that has no identity yet. (map.c) */
bool sys_place_of(const volatile void *address, struct sys_place *ret_place);

/* Identity and space, as os_memory_identify() was told about the handle or the one it is a duplicate of. (handles.c) */
bool sys_identity_of(os_handle memory, struct sys_place *place);

/* "Local\stoa.<kind>.<identity>.<offset>.<number>" or "Global\..." */
#define SYS_NAME_ROOM 96
void sys_place_name(const char *kind, const struct sys_place *place, uint32_t number, wchar_t name[SYS_NAME_ROOM]);

/* The mutex that the owner of the life word at `place` holds; NULL: no such owner has it. To be closed. (life.c) */
HANDLE sys_life_mutex(const struct sys_place *place, uint32_t generation);

/* Does the calling thread hold it, who would get it a second time? Its id in the word does not tell: ids are used again. */
bool sys_life_is_ours(HANDLE mutex);

/* A word's kernel objects are not needed any more when its memory's last handle here has closed. (wait.c) */
void sys_forget_waits(const struct sys_place *place);

#endif
