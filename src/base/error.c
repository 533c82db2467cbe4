/* SPDX-License-Identifier: MIT */
/*
 * Error names, texts and the per-thread sentence. What a sentence quotes, names and paths, may be anything: what is no
 * printable UTF-8 in it is written as \xNN, so that a sentence can go to a terminal. Uses libc only.
 */
#include <base/error.h>
#include <base/utf8.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <stoa/stoa.h>

static const struct {
	int value;
	const char *name;
	const char *text;
} results[] = {
	{0, "STOA_OK", "done"},
	{STOA_EXISTED, "STOA_EXISTED", "it existed and has been opened"},
	{STOA_OWNER_DIED, "STOA_OWNER_DIED", "the last owner died holding it"},
	{STOA_TIMED_OUT, "STOA_TIMED_OUT", "the deadline passed"},
	{STOA_CLOSED, "STOA_CLOSED", "nobody is left on the other side"},
	{STOA_OVERRUN, "STOA_OVERRUN", "it was overwritten while it was read"},
	{-STOA_EINVAL, "STOA_EINVAL", "an argument is not usable"},
	{-STOA_ENAME, "STOA_ENAME", "not a usable name"},
	{-STOA_ENOENT, "STOA_ENOENT", "nothing has that name"},
	{-STOA_EEXIST, "STOA_EEXIST", "something already has that name"},
	{-STOA_EACCES, "STOA_EACCES", "access refused"},
	{-STOA_ENOMEM, "STOA_ENOMEM", "out of memory"},
	{-STOA_ELIMIT, "STOA_ELIMIT", "a limit is reached"},
	{-STOA_ERANGE, "STOA_ERANGE", "outside the reserve"},
	{-STOA_EFORMAT, "STOA_EFORMAT", "not a stoa object, or damaged"},
	{-STOA_EVERSION, "STOA_EVERSION", "a layout this library does not speak"},
	{-STOA_EKIND, "STOA_EKIND", "another kind of object"},
	{-STOA_ERIGHTS, "STOA_ERIGHTS", "the handle lacks the right"},
	{-STOA_ENOTOWNER, "STOA_ENOTOWNER", "the caller does not hold it"},
	{-STOA_EDEADLOCK, "STOA_EDEADLOCK", "the caller already holds it"},
	{-STOA_EOVERFLOW, "STOA_EOVERFLOW", "past the maximum"},
	{-STOA_EUNCOMMITTED, "STOA_EUNCOMMITTED", "not committed"},
	{-STOA_EBUSY, "STOA_EBUSY", "in use"},
	{-STOA_ENOTSUP, "STOA_ENOTSUP", "not supported here"},
	{-STOA_EIO, "STOA_EIO", "input or output failed"},
	{-STOA_ECLOSED, "STOA_ECLOSED", "the other end is gone"},
	{-STOA_ESYSTEM, "STOA_ESYSTEM", "unexpected system failure"},
	{-STOA_ETRUNCATED, "STOA_ETRUNCATED", "it ends before its end"},
};

static const struct {
	enum error_flags of;
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{ERROR_SEGMENT_FLAGS, STOA_RAW, "STOA_RAW"},
	{ERROR_SEGMENT_FLAGS, STOA_PERSISTENT, "STOA_PERSISTENT"},
	{ERROR_SEGMENT_FLAGS, STOA_SHRINKABLE, "STOA_SHRINKABLE"},
	{ERROR_SEGMENT_FLAGS, STOA_GLOBAL, "STOA_GLOBAL"},
	{ERROR_SEGMENT_FLAGS, STOA_READ_ONLY, "STOA_READ_ONLY"},
	{ERROR_SEGMENT_FLAGS, STOA_EXECUTABLE, "STOA_EXECUTABLE"},
	{ERROR_SEGMENT_FLAGS, STOA_FILE_CREATE, "STOA_FILE_CREATE"},
	{ERROR_SEGMENT_FLAGS, STOA_WORLD_READABLE, "STOA_WORLD_READABLE"},
	{ERROR_SEGMENT_FLAGS, STOA_ANY_KIND, "STOA_ANY_KIND"},
	{ERROR_ACCESS, STOA_READ, "STOA_READ"},
	{ERROR_ACCESS, STOA_WRITE, "STOA_WRITE"},
	{ERROR_ACCESS, STOA_EXEC, "STOA_EXEC"},
	{ERROR_ACCESS, STOA_PRIVATE, "STOA_PRIVATE"},
	{ERROR_SEALS, STOA_SEAL_GROW, "STOA_SEAL_GROW"},
	{ERROR_SEALS, STOA_SEAL_SHRINK, "STOA_SEAL_SHRINK"},
	{ERROR_SEALS, STOA_SEAL_FUTURE_WRITE, "STOA_SEAL_FUTURE_WRITE"},
	{ERROR_SEALS, STOA_SEAL_WRITE, "STOA_SEAL_WRITE"},
	{ERROR_FLUSH_FLAGS, STOA_DURABLE, "STOA_DURABLE"},
	{ERROR_SYNC_FLAGS, STOA_OWNED, "STOA_OWNED"},
	{ERROR_SYNC_FLAGS, STOA_SIGNALED, "STOA_SIGNALED"},
	{ERROR_SYNC_FLAGS, STOA_MANUAL, "STOA_MANUAL"},
	{ERROR_RIGHTS, STOA_RIGHT_WAIT, "STOA_RIGHT_WAIT"},
	{ERROR_RIGHTS, STOA_RIGHT_SIGNAL, "STOA_RIGHT_SIGNAL"},
	{ERROR_BACKING_FLAGS, STOA_BACKING_READ_ONLY, "STOA_BACKING_READ_ONLY"},
	{ERROR_BACKING_FLAGS, STOA_BACKING_CREATE, "STOA_BACKING_CREATE"},
	{ERROR_BACKING_FLAGS, STOA_BACKING_CRASH_SAFE, "STOA_BACKING_CRASH_SAFE"},
};

static CC_THREAD char sentence[512];
static bool muted;

void error_mute(void)
{
	muted = true;
}

bool error_muted(void)
{
	return muted;
}

static size_t find_result(int result)
{
	size_t i = 0;

	/* Both signs name the same error; small positive numbers are outcomes first. */
	while (i < CC_COUNT(results) && results[i].value != result)
		i++;
	for (size_t k = 0; i == CC_COUNT(results) && k < CC_COUNT(results); k++)
		if (result > 0 && results[k].value == -result)
			return k;
	return i;
}

const char *stoa_error_name(int result)
{
	size_t i = find_result(result);

	return i < CC_COUNT(results) ? results[i].name : "unknown";
}

const char *stoa_error_text(int result)
{
	size_t i = find_result(result);

	return i < CC_COUNT(results) ? results[i].text : "unknown result";
}

const char *stoa_error_detail(void)
{
	return sentence;
}

void error_forget(void)
{
	sentence[0] = 0;
}

const char *stoa_version(void)
{
	return STOA_VERSION;
}

const char *error_size(uint64_t bytes, char text[ERROR_SIZE])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t whole = bytes, rest = 0;
	size_t unit = 0;
	bool exact = true;

	while (whole >= 1024 && (whole % 1024 == 0 || whole >= 10240)) {
		rest = whole % 1024;
		exact = exact && rest == 0;
		whole /= 1024;
		unit++;
	}
	if (exact)
		snprintf(text, ERROR_SIZE, "%" PRIu64 "%s", whole, units[unit]);
	else if (rest * 10 / 1024)
		snprintf(text, ERROR_SIZE, "%" PRIu64 ".%" PRIu64 "%s", whole, rest * 10 / 1024, units[unit]);
	else
		snprintf(text, ERROR_SIZE, "%" PRIu64 "B", bytes);
	return text;
}

/* Length of the printable character at `text`, which ends in 0; 0 when it is a control character or no UTF-8. */
static size_t printable(const unsigned char *text)
{
	uint32_t code;
	size_t length = utf8_decode(text, SIZE_MAX, &code);

	return length == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) ? 0 : length;
}

static void make_sentence(const char *text)
{
	size_t used = 0;

	for (size_t step; *text; text += step) {
		size_t whole = printable((const unsigned char *)text);

		step = whole ? whole : 1;
		if (used + (whole ? whole : 4) >= sizeof(sentence))
			break;
		if (whole)
			memcpy(sentence + used, text, whole);
		else
			snprintf(sentence + used, 5, "\\x%02x", (unsigned char)*text);
		used += whole ? whole : 4;
	}
	sentence[used] = 0;
}

#undef error_set /* as analysers see them */
#undef error_prefix
#undef error_refuse

int error_set(int error, const char *format, ...)
{
	int saved = errno;
	char text[sizeof(sentence)];
	va_list arguments;

	if (muted)
		return error;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	make_sentence(text);
	errno = saved;
	return error;
}

int error_prefix(int error, const char *format, ...)
{
	int saved = errno;
	char text[2 * sizeof(sentence) + 2];
	va_list arguments;
	size_t used;

	if (muted)
		return error;
	va_start(arguments, format);
	vsnprintf(text, sizeof(sentence), format, arguments);
	va_end(arguments);
	used = strnlen(text, sizeof(sentence));
	snprintf(text + used, sizeof(text) - used, ": %s", sentence);
	make_sentence(text);
	errno = saved;
	return error;
}

int error_refuse(const char *what, enum error_flags of, uint32_t flags)
{
	char names[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < CC_COUNT(flag_names); i++)
		if (flag_names[i].of == of && flags & flag_names[i].flag) {
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? "|" : "",
						 flag_names[i].name);
			flags &= ~flag_names[i].flag;
		}
	if (flags)
		snprintf(names + used, sizeof(names) - used, "%s0x%" PRIx32, used ? "|" : "", flags);
	return error_set(-STOA_EINVAL, "%s does not take %s", what, names);
}
