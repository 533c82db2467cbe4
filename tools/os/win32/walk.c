/* SPDX-License-Identifier: MIT */
/*
 * Reading directories on Windows: each is opened by its full path, in the form without a limit on its length, and read in large
 * pieces with all attributes that the system keeps in directories. What leads elsewhere (links, junctions) is shown as a link and never followed:
 * the last part of a path is opened as what it is itself. So nothing that is read lies in itself.
 */
#include "../walk.h"
#include "wide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define READ_BYTES 65536
#define KEPT 64 /* directories whose paths are remembered */

struct kept {
	uint64_t id;   /* 0: none */
	wchar_t *path; /* with a final backslash */
};

struct walk {
	wchar_t *root;
	struct kept kept[KEPT]; /* a ring; kept[now] is being read */
	unsigned now;
	HANDLE directory; /* being read */
	char listed;      /* the type of the last entry, as listed */
	bool started;
	bool filled;
	size_t at;
	char *name; /* the last entry's */
	_Alignas(8) unsigned char buffer[READ_BYTES];
};

const char *walk_error_text(int error)
{
	static char text[600];
	wchar_t wide[200];
	DWORD units = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, (DWORD)error, 0,
				     wide, sizeof(wide) / sizeof(*wide), NULL);
	char *told;

	if (error == WALK_LOOP)
		return "the directory is one of those that it lies in";
	while (units && (wide[units - 1] <= L' ' || wide[units - 1] == L'.'))
		units--;
	told = wide_to_text(wide, units, NULL);
	if (units && told)
		snprintf(text, sizeof(text), "%s", told);
	else
		snprintf(text, sizeof(text), "system error %d", error);
	free(told);
	return text;
}

int walk_error_name_too_long(void)
{
	return ERROR_FILENAME_EXCED_RANGE;
}

static bool is_separator(char character)
{
	return character == '/' || character == '\\';
}

/* Bytes of "C:", which is the place on that drive where we are: a name may follow, and it is a different one behind a '/'. */
static size_t drive_length(const char *path)
{
	return path[0] && path[1] == ':' ? 2 : 0;
}

const char *walk_last_name(const char *path, size_t *ret_length)
{
	size_t first = drive_length(path), end = strlen(path), start;

	while (end > first && is_separator(path[end - 1]))
		end--;
	for (start = end; start > first && !is_separator(path[start - 1]);)
		start--;
	if (start == end) {
		start = 0;
		end = strlen(path);
	}
	*ret_length = end - start;
	return path + start;
}

bool walk_takes_name(const char *path)
{
	size_t length = strlen(path);

	return length == drive_length(path) || is_separator(path[length - 1]);
}

#define SURROGATE 0x20000000u /* in a tag: stands for something elsewhere */

/* Special files as other parts of Windows write them into their tags. */
static const struct {
	uint32_t tag;
	char type;
} tagged[] = {
	{0x80000023u, 's'}, /* AF_UNIX */
	{0x80000024u, 'p'}, /* and these are of the Linux subsystem */
	{0x80000025u, 'c'},
	{0x80000026u, 'b'},
};

/* A tag that is not told could lead anywhere. Those that are not surrogates belong to what fills files in: clouds, containers, compression. */
char walk_type(uint32_t attributes, uint32_t tag)
{
	bool has_tag = attributes & FILE_ATTRIBUTE_REPARSE_POINT;

	if (has_tag && (!tag || tag & SURROGATE))
		return 'l';
	for (size_t i = 0; has_tag && i < sizeof(tagged) / sizeof(*tagged); i++)
		if (tagged[i].tag == tag)
			return tagged[i].type;
	if (attributes & FILE_ATTRIBUTE_DIRECTORY)
		return 'd';
	return attributes & FILE_ATTRIBUTE_DEVICE ? 'c' : 'f';
}

/* From hundreds of nanoseconds since 1601. */
static struct walk_time time_of(int64_t ticks)
{
	int64_t since = ticks - INT64_C(116444736000000000);
	int64_t seconds = since / 10000000, rest = since % 10000000;

	if (ticks <= 0)
		return (struct walk_time){0, 0, 0};
	if (rest < 0) {
		seconds--;
		rest += 10000000;
	}
	return (struct walk_time){seconds, (uint32_t)rest * 100, 1};
}

/* Permissions as a Windows directory shows them: who may write is not in it but for the read-only mark. */
static uint32_t mode_of(DWORD attributes)
{
	uint32_t mode = attributes & FILE_ATTRIBUTE_READONLY ? 0444 : 0644;

	return attributes & FILE_ATTRIBUTE_DIRECTORY ? mode | 0111 : mode;
}

static HANDLE open_itself(const wchar_t *path, DWORD access, DWORD flags)
{
	return CreateFileW(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
			   FILE_FLAG_BACKUP_SEMANTICS | flags, NULL);
}

static int look_at_file(HANDLE file, char *ret_type, struct walk_attributes *ret_attributes)
{
	BY_HANDLE_FILE_INFORMATION found;
	FILE_BASIC_INFO times;
	FILE_ATTRIBUTE_TAG_INFO tag = {0, 0};

	if (!GetFileInformationByHandle(file, &found) ||
	    !GetFileInformationByHandleEx(file, FileBasicInfo, &times, sizeof(times)))
		return (int)GetLastError();
	(void)GetFileInformationByHandleEx(file, FileAttributeTagInfo, &tag, sizeof(tag));
	*ret_type = walk_type(found.dwFileAttributes, tag.ReparseTag);
	*ret_attributes = (struct walk_attributes){
		.size = (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow,
		.inode = (uint64_t)found.nFileIndexHigh << 32 | found.nFileIndexLow,
		.links = found.nNumberOfLinks,
		.flags = found.dwFileAttributes,
		.mode = mode_of(found.dwFileAttributes),
		.modified = time_of(times.LastWriteTime.QuadPart),
		.changed = time_of(times.ChangeTime.QuadPart),
		.accessed = time_of(times.LastAccessTime.QuadPart),
		.born = time_of(times.CreationTime.QuadPart),
	};
	return 0;
}

static int look_at(const wchar_t *path, char *ret_type, struct walk_attributes *ret_attributes)
{
	HANDLE file = open_itself(path, FILE_READ_ATTRIBUTES, FILE_FLAG_OPEN_REPARSE_POINT);
	int error = 0;

	if (file == INVALID_HANDLE_VALUE)
		return (int)GetLastError();
	if (GetFileType(file) == FILE_TYPE_CHAR) { /* NUL, CON: they have no attributes */
		*ret_type = 'c';
		*ret_attributes = (struct walk_attributes){.links = 1};
	} else {
		error = look_at_file(file, ret_type, ret_attributes);
	}
	CloseHandle(file);
	return error;
}

int walk_look(const char *path, char *ret_type, struct walk_attributes *ret_attributes)
{
	wchar_t *wide = wide_path(path);
	int error = wide ? look_at(wide, ret_type, ret_attributes) : ERROR_NOT_ENOUGH_MEMORY;

	free(wide);
	return error;
}

/* `before` and `after` as one path with a final backslash; slashes become backslashes. */
static wchar_t *join(const wchar_t *before, const wchar_t *after)
{
	size_t first = wcslen(before), second = wcslen(after);
	wchar_t *path = malloc((first + second + 3) * sizeof(*path)), *end;

	if (!path)
		return NULL;
	wcscpy(path, before);
	if (first && path[first - 1] != L'\\')
		path[first++] = L'\\';
	wcscpy(path + first, after);
	for (end = path + first; *end; end++)
		if (*end == L'/')
			*end = L'\\';
	if (end > path && end[-1] != L'\\')
		*end++ = L'\\';
	*end = 0;
	return path;
}

int walk_create(const char *root, struct walk **ret_walk)
{
	struct walk *walk = calloc(1, sizeof(*walk));

	if (!walk)
		return ERROR_NOT_ENOUGH_MEMORY;
	walk->directory = INVALID_HANDLE_VALUE;
	walk->root = wide_path(root);
	if (!walk->root) {
		free(walk);
		return ERROR_NOT_ENOUGH_MEMORY;
	}
	*ret_walk = walk;
	return 0;
}

/* Its path takes the place of the one that was kept longest ago. */
void walk_end(struct walk *walk, unsigned children)
{
	if (walk->directory != INVALID_HANDLE_VALUE)
		CloseHandle(walk->directory);
	walk->directory = INVALID_HANDLE_VALUE;
	walk->filled = false;
	walk->at = 0;
	if (children)
		walk->now = (walk->now + 1) % KEPT;
}

void walk_destroy(struct walk *walk)
{
	if (!walk)
		return;
	walk_end(walk, 0);
	for (unsigned i = 0; i < KEPT; i++)
		free(walk->kept[i].path);
	free(walk->name);
	free(walk->root);
	free(walk);
}

static const struct kept *find_kept(struct walk *walk, uint64_t id)
{
	for (unsigned i = 0; i < KEPT; i++)
		if (id != 0 && walk->kept[i].id == id)
			return &walk->kept[i];
	return NULL;
}

bool walk_knows(struct walk *walk, uint64_t id)
{
	return find_kept(walk, id) != NULL;
}

/* A directory that something fills in as it is read is opened with its help; one that leads elsewhere is not opened. */
static int open_directory(const wchar_t *path, HANDLE *ret_directory)
{
	const DWORD access = FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES;
	FILE_ATTRIBUTE_TAG_INFO tag = {0, 0};
	HANDLE directory = open_itself(path, access, FILE_FLAG_OPEN_REPARSE_POINT);

	if (directory == INVALID_HANDLE_VALUE)
		return (int)GetLastError();
	/* File systems that do not tell have none. */
	if (GetFileInformationByHandleEx(directory, FileAttributeTagInfo, &tag, sizeof(tag)) &&
	    walk_type(tag.FileAttributes, tag.ReparseTag) != 'd') {
		CloseHandle(directory);
		return ERROR_DIRECTORY;
	}
	if (tag.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) {
		CloseHandle(directory);
		directory = open_itself(path, access, 0);
	}
	*ret_directory = directory;
	return directory == INVALID_HANDLE_VALUE ? (int)GetLastError() : 0;
}

/* Begin to read the directory at `path`, which is ours now. */
static int begin(struct walk *walk, uint64_t id, wchar_t *path)
{
	struct kept *kept;
	int error;

	walk_end(walk, 0);
	error = path ? open_directory(path, &walk->directory) : ERROR_NOT_ENOUGH_MEMORY;
	if (error) {
		free(path);
		return error;
	}
	kept = &walk->kept[walk->now];
	free(kept->path);
	*kept = (struct kept){id, path};
	walk->started = false;
	return 0;
}

int walk_begin_in(struct walk *walk, uint64_t id, uint64_t parent, const char *name)
{
	const struct kept *kept = find_kept(walk, parent);
	wchar_t *wide = wide_from_text(name, strlen(name));
	int error = kept && wide ? begin(walk, id, join(kept->path, wide)) : ERROR_NOT_ENOUGH_MEMORY;

	free(wide);
	return error;
}

int walk_begin(struct walk *walk, uint64_t id, const char *path)
{
	wchar_t *wide = wide_from_text(path, strlen(path));
	int error = wide ? begin(walk, id, join(walk->root, wide)) : ERROR_NOT_ENOUGH_MEMORY;

	free(wide);
	return error;
}

static bool is_dots(const wchar_t *name, size_t units)
{
	return units <= 2 && name[0] == L'.' && (units == 1 || name[1] == L'.');
}

/* The next record of the directory; NULL at the end (*ret_error 0) or on failure. */
static const FILE_ID_BOTH_DIR_INFO *next_record(struct walk *walk, int *ret_error)
{
	const FILE_ID_BOTH_DIR_INFO *record;

	*ret_error = 0;
	if (!walk->filled) {
		if (!GetFileInformationByHandleEx(
			    walk->directory, walk->started ? FileIdBothDirectoryInfo : FileIdBothDirectoryRestartInfo,
			    walk->buffer, READ_BYTES)) {
			DWORD error = GetLastError();

			*ret_error = error == ERROR_NO_MORE_FILES || error == ERROR_FILE_NOT_FOUND ? 0 : (int)error;
			return NULL;
		}
		walk->started = true;
		walk->filled = true;
		walk->at = 0;
	}
	record = (const FILE_ID_BOTH_DIR_INFO *)(const void *)(walk->buffer + walk->at);
	walk->filled = record->NextEntryOffset != 0;
	walk->at += record->NextEntryOffset;
	return record;
}

int walk_next(struct walk *walk, struct walk_entry *ret_entry, bool *ret_more)
{
	const FILE_ID_BOTH_DIR_INFO *record;
	size_t units;
	int error;

	do {
		record = next_record(walk, &error);
		if (!record) {
			*ret_more = false;
			return error;
		}
		units = record->FileNameLength / sizeof(wchar_t);
	} while (is_dots(record->FileName, units));
	free(walk->name);
	walk->name = wide_to_text(record->FileName, units, &ret_entry->length);
	if (!walk->name)
		return ERROR_NOT_ENOUGH_MEMORY;
	ret_entry->name = walk->name;
	/* Of a reparse point the record's size of extended attributes is the tag. */
	ret_entry->type = walk->listed = walk_type(record->FileAttributes, record->EaSize);
	*ret_more = true;
	return 0;
}

int walk_attributes(struct walk *walk, const char *name, char *ret_type, struct walk_attributes *ret_attributes)
{
	wchar_t *wide = wide_from_text(name, strlen(name));
	wchar_t *path = wide ? join(walk->kept[walk->now].path, wide) : NULL;
	int error = ERROR_NOT_ENOUGH_MEMORY;

	if (path) {
		path[wcslen(path) - 1] = 0; /* a final backslash would ask for a directory */
		error = look_at(path, ret_type, ret_attributes);
	}
	/* Wine lists links to directories, and opens what they lead to. */
	if (!error && walk->listed == 'l')
		*ret_type = 'l';
	free(path);
	free(wide);
	return error;
}

/* What leads elsewhere is a link here and is not followed, so nothing lies in itself. */
bool walk_may_loop(struct walk *walk, const char *name, struct walk_identity *ret_identity)
{
	(void)walk, (void)name, (void)ret_identity;
	return false;
}

bool walk_lies_in(struct walk *walk, const struct walk_identity *identity, unsigned levels)
{
	(void)walk, (void)identity, (void)levels;
	return false;
}
