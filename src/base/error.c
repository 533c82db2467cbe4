/* SPDX-License-Identifier: MIT */
/* Error names, texts and the per-thread sentence. Uses libc only. */
#include <base/error.h>

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
};

static CC_THREAD char sentence[512];

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

#undef error_set /* as analysers see them */
#undef error_prefix

int error_set(int error, const char *format, ...)
{
	int saved = errno;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	errno = saved;
	return error;
}

int error_prefix(int error, const char *format, ...)
{
	int saved = errno;
	char old[sizeof(sentence)];
	va_list arguments;
	int used;

	memcpy(old, sentence, sizeof(old));
	va_start(arguments, format);
	used = vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	if (used >= 0 && (size_t)used < sizeof(sentence))
		snprintf(sentence + used, sizeof(sentence) - (size_t)used, ": %s", old);
	errno = saved;
	return error;
}
