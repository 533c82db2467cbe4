/* SPDX-License-Identifier: MIT */
/*
 * Memory objects as the files of the Windows half see them. A handle of memory is a section's; of a user's file the
 * file's, and sections are made of it as it is mapped.
 */
#ifndef OS_WIN32_MEMORY_H
#define OS_WIN32_MEMORY_H

#include <os/win32/sys.h>

/* Views begin at multiples of this. */
#define MEMORY_GRAIN UINT64_C(65536)

/*
 * Sections are one page longer than asked for, and views reach into it: Wine shows other processes no commit that ends
 * where its view does.
 */
#define MEMORY_SPARE OS_PAGE

/* Enough to duplicate or open a section that is only read: to map, to ask for its size, its owner. */
#define MEMORY_READ_ACCESS (SECTION_MAP_READ | SECTION_QUERY | READ_CONTROL)
#define MEMORY_WRITE_ACCESS (MEMORY_READ_ACCESS | SECTION_MAP_WRITE | SECTION_MAP_EXECUTE)

enum memory_kind { MEMORY_OTHER, MEMORY_SECTION, MEMORY_FILE };

/* What the system says about a handle. */
struct memory {
	enum memory_kind kind;
	uint64_t object[2]; /* the same for all handles of one object */
	uint64_t size;      /* what a section can hold, a file's length */
	uint64_t spare;     /* bytes of a section behind that, see MEMORY_SPARE */
	enum sys_space space;
	bool of_file;    /* a file, or a section over one */
	bool executable; /* may be mapped so */
	bool writable;
};

int memory_look(os_handle handle, struct memory *ret_memory);

/* Forget what was kept about the handle, unless it is about `object`. NULL: the handle is new. (handles.c) */
void memory_refresh(os_handle memory, const uint64_t object[2]);
int memory_identify(os_handle memory, const struct memory *now, const uint64_t identity[2]);

/* The random bits in the name of a section that memory_create() made; false for others. */
#define MEMORY_ID_BYTES 16
bool memory_id(os_handle memory, unsigned char id[MEMORY_ID_BYTES]);

/* "Local\stoa.o.<id>" or "Global\..." */
#define MEMORY_NAME_ROOM 64
void memory_name(bool global, const unsigned char id[MEMORY_ID_BYTES], wchar_t name[MEMORY_NAME_ROOM]);

int memory_not_shrinkable(void); /* -STOA_ENOTSUP with its sentence */
int memory_create(uint64_t size, bool executable, bool global, SECURITY_ATTRIBUTES *rights, os_handle *ret_memory);

/* The user who owns the kernel object or file; OS_SENDER_UNKNOWN where the handle does not let us ask. */
uint32_t memory_owner(HANDLE handle);

/*
 * A view of the beginning of a section, for reading, kept until the handle closes. NULL: it has none (content.c maps
 * it).
 */
unsigned char *memory_window(os_handle memory, uint64_t *ret_length);
/* Give it one, unless somebody else has: that one is returned, and `window` unmapped. */
unsigned char *memory_set_window(os_handle memory, unsigned char *window, uint64_t length);

/* A view of part of a section, for a moment. (content.c) */
struct memory_glance {
	unsigned char *view;
	unsigned char *at; /* of the offset that was asked for */
};
int memory_glance(os_handle memory, uint64_t offset, uint64_t length, DWORD access, struct memory_glance *ret_glance);
void memory_look_away(const struct memory_glance *glance);

/* Bytes that are committed from `from` on, without a hole, at most `length`. (content.c) */
uint64_t memory_run(const unsigned char *from, uint64_t length);

/* How far a section reaches, and how much is committed in it. (content.c) */
void memory_measure(os_handle memory, const struct memory *known, uint64_t *ret_length, uint64_t *ret_resident);

/* A file's length, identity and disk space; kind MEMORY_OTHER for what is no file of bytes. (file.c) */
int memory_look_at_file(HANDLE file, struct memory *memory);
uint64_t memory_file_space(HANDLE file);
int memory_file_read(HANDLE file, uint64_t offset, void *bytes, size_t length, size_t *ret_read);
int memory_file_write(HANDLE file, uint64_t offset, const void *bytes, size_t length);

/* A map: what a view shows, and how. (map.c) */
struct map {
	unsigned char *address; /* of `offset`; the view begins at the multiple of MEMORY_GRAIN below */
	uint64_t offset, length;
	uint64_t mapped;        /* bytes of `length` that the view shows; behind them room that nobody can touch */
	uint64_t spare;         /* bytes of the view behind that, for nobody */
	struct sys_place place; /* identity and space, as os_memory_identify() was told, or 0 */
	os_handle memory;       /* as os_map() was told; OS_NO_HANDLE when it has closed */
	HANDLE section;         /* files: the view's own; else NULL */
	uint32_t access;        /* OS_* of os_map() */
	bool of_file;
	bool grows; /* the view follows its section as that is extended */
};

/* The map with the address in it. */
bool map_at(const volatile void *address, struct map *ret_map);
/* The longest map of the handle, and of those the one that was made first. */
bool map_longest(os_handle memory, struct map *ret_map);
void map_identified(os_handle memory, const struct sys_place *place);
void map_forget_handle(os_handle memory);
/* The map shows more of its file now, or is another one at the same address. */
void map_changed(const struct map *map);

/*
 * Make a view of `map` (files and sections alike) at `base`, or anywhere for NULL; `present` bytes of the object from
 * offset 0.
 */
int map_place(struct map *map, unsigned char *base, uint64_t present);

/* Take the view and the room behind it away. */
void map_remove(const struct map *map);

/*
 * A section over the file that `map` is of, at least `length` bytes long; 0: as long as the file is. NULL with
 * GetLastError().
 */
HANDLE map_file_section(const struct map *map, uint64_t length);

/* A random place for so many bytes, at a multiple of OS_HUGE_PAGE, which need not be free; NULL: anywhere. */
unsigned char *map_random_base(uint64_t length);

/* What VirtualProtect() knows the access by. */
DWORD map_protection(uint32_t access, bool copies);
int map_failed(uint64_t length);

#endif
