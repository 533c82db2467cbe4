/* SPDX-License-Identifier: MIT */
/* The tool's frame: command lines, text from strangers, JSON, sizes. On every system. */
#include <harness/test.h>

#include "../tools/tool.h"
#include "tool/run.h"

#include <stdio.h>

/* ---- command lines ---- */

TEST(help_is_for_asking)
{
	const struct run *run = run_stoa("--help", NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "usage: stoa COMMAND");
	CHECK_STR(run->err, "");
	run = run_stoa(NULL);
	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "usage: stoa COMMAND");
	CHECK_STR(run->out, "");
}

/* Each command that the help lists explains itself, with an example, and knows nothing of --nonsense. */
TEST(every_command_explains_itself)
{
	static char list[sizeof(run_stoa("--help", NULL)->out)];
	unsigned count = 0;

	memcpy(list, run_stoa("--help", NULL)->out, sizeof(list));
	for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
		const struct run *run;
		char name[16];

		if (strncmp(line, "  ", 2) != 0 || sscanf(line + 2, "%15[a-z]", name) != 1 || strcmp(name, "help") == 0)
			continue;
		run = run_stoa(name, "--help", NULL);
		CHECK_EQ(run->status, 0);
		CHECK_HAS(run->out, "usage: stoa ");
		CHECK_HAS(run->out, "$ stoa ");
		CHECK_HAS(run->out, "      --json ");
		run = run_stoa(name, "--nonsense", NULL);
		CHECK_EQ(run->status, 2);
		CHECK_HAS(run->err, "no option '--nonsense'");
		count++;
	}
	CHECK_INT(count, >=, 2);
}

TEST(mistyped_words_are_guessed)
{
	const struct run *run = run_stoa("dcotor", NULL);

	CHECK_EQ(run->status, 2);
	CHECK_STR(run->err, "stoa: no command 'dcotor'; did you mean 'doctor'? 'stoa --help' lists them\n");
	run = run_stoa("ls", "--jsno", NULL);
	CHECK_EQ(run->status, 2);
	CHECK_STR(run->err, "stoa: ls: no option '--jsno'; did you mean '--json'? Try 'stoa ls --help'\n");
	run = run_stoa("frobnicate", NULL);
	CHECK_EQ(run->status, 2);
	CHECK_LACKS(run->err, "did you mean");
}

TEST(misuse_is_told_and_harmless)
{
	const struct run *run = run_stoa("doctor", "me", NULL);

	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "does not know what to do with 'me'");
	CHECK_EQ(run_stoa("doctor", "--json=yes", NULL)->status, 2);
	CHECK_EQ(run_stoa("doctor", "-z", NULL)->status, 2);
	CHECK_EQ(run_stoa("--nonsense", NULL)->status, 2);
	/* A word that steers terminals is shown, not obeyed. */
	run = run_stoa("\033[31m\n", NULL);
	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "'\\e[31m\\n'");
	CHECK_EQ(strchr(run->err, '\033'), NULL);
}

/* Each finding by its level, all of them counted at the end; --quiet leaves out what is well. */
TEST(doctor_counts_what_it_finds)
{
	static const char *const levels[] = {"\"level\":\"ok\"", "\"level\":\"warn\"", "\"level\":\"off\""};
	unsigned found[3] = {0};
	unsigned told[3];
	const struct run *run = run_stoa("doctor", "--json", NULL);

	CHECK_EQ(run->status, 0);
	CHECK_STR(run->err, "");
	check_json(run->out);
	for (size_t i = 0; i < CC_COUNT(levels); i++)
		for (const char *at = run->out; (at = strstr(at, levels[i])) != NULL; at++)
			found[i]++;
	CHECK_INT(found[0], >=, 2);
	run = run_stoa("doctor", NULL);
	CHECK_EQ(sscanf(line_with(run->out, " ok, "), "%u ok, %u warn, %u off", &told[0], &told[1], &told[2]), 3);
	for (size_t i = 0; i < CC_COUNT(levels); i++)
		CHECK_EQ(told[i], found[i]);
	CHECK_LACKS(run_stoa("doctor", "-q", "--json", NULL)->out, levels[0]);
}

TEST(version_is_told)
{
	const struct run *run = run_stoa("--version", NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "stoa ");
}

/* ---- text ---- */

static void check_size(const char *text, uint64_t bytes, const char *again)
{
	char buffer[SIZE_TEXT];
	uint64_t got = 1;

	CHECK(size_parse(text, &got));
	CHECK_EQ(got, bytes);
	CHECK_STR(size_text(bytes, buffer), again);
}

TEST(sizes)
{
	static const char *const bad[] = {
		"", "-1", "1e3", "GiB", "1GiBs", "1 2", "17179869184GiB", "99999999999999999999"};
	char text[SIZE_TEXT];
	uint64_t bytes = 7;

	check_size("0", 0, "0");
	check_size("4096", 4096, "4KiB");
	check_size("1023", 1023, "1023B");
	check_size("64K", 65536, "64KiB");
	check_size("1.5GiB", UINT64_C(1610612736), "1.5GiB");
	check_size("1TiB", UINT64_C(1) << 40, "1TiB");
	check_size("2MB", 2000000, "1.9MiB");
	check_size("1048575", 1048575, "1023KiB");
	check_size("2PiB", UINT64_C(1) << 51, "2PiB");
	check_size("4EiB", UINT64_C(1) << 62, "4EiB");
	check_size("3E", UINT64_C(3) << 60, "3EiB");
	check_size("1PB", UINT64_C(1000000000000000), "909TiB");
	/* Never rounded up, so it can be given back. */
	CHECK_STR(size_text(UINT64_MAX, text), "15.9EiB");
	CHECK(size_parse(text, &bytes));
	bytes = 7;
	for (size_t i = 0; i < CC_COUNT(bad); i++)
		CHECK(!size_parse(bad[i], &bytes));
	CHECK_EQ(bytes, 7);
}

TEST(durations)
{
	char buffer[DURATION_TEXT];
	uint64_t got;

	CHECK(duration_parse("5s", &got) && got == UINT64_C(5000000000));
	CHECK(duration_parse("250ms", &got) && got == 250000000);
	CHECK(duration_parse("1.5min", &got) && got == UINT64_C(90000000000));
	CHECK(!duration_parse("5 fortnights", &got));
	CHECK_STR(duration_text(UINT64_C(7200000000000), buffer), "2h");
	CHECK_STR(duration_text(999, buffer), "999ns");
}

TEST(safe_text)
{
	char buffer[64];

	CHECK_STR(text_safe_string("plain \xc3\xa4\xe2\x82\xac", buffer, sizeof(buffer)), "plain \xc3\xa4\xe2\x82\xac");
	CHECK_STR(text_safe_string("\033]0;x\a\\", buffer, sizeof(buffer)), "\\e]0;x\\a\\\\");
	/* Overlong, surrogate, beyond Unicode, cut short: not characters. */
	CHECK_STR(text_safe_string("\xc0\xaf", buffer, sizeof(buffer)), "\\xc0\\xaf");
	CHECK_STR(text_safe_string("\xed\xa0\x80", buffer, sizeof(buffer)), "\\xed\\xa0\\x80");
	CHECK_STR(text_safe_string("\xf4\x90\x80\x80", buffer, sizeof(buffer)), "\\xf4\\x90\\x80\\x80");
	CHECK_STR(text_safe_string("a\xe2\x82", buffer, sizeof(buffer)), "a\\xe2\\x82");
	/* C1 control, right-to-left override. */
	CHECK_STR(text_safe_string("\xc2\x9b"
				   "1m\xe2\x80\xae",
				   buffer, sizeof(buffer)),
		  "\\u{9b}1m\\u{202e}");
	CHECK_STR(text_safe_string("0123456789", buffer, 8), "0123...");
	CHECK_STR(text_safe_string("0123456", buffer, 8), "0123456");
}

/* What the other tests judge by. */
TEST(json_is_told_from_what_is_none)
{
	static const char *const good[] = {
		"{}",
		"{\"a\":[{},[],\"\",-0.5e+7,0,true,false,null,{\"b\":1}]}",
		"{\"\":\"\\u001b\\n\\\"\\\\\xc3\xbc\xf0\x9f\x98\x80\"}",
	};
	static const char *const bad[] = {
		"",
		"[]",
		"1",
		"{",
		"{}}",
		"{}{}",
		"{} ",
		"{,}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\":[1,]}",
		"{\"a\":[1 2]}",
		"{\"a\":01}",
		"{\"a\":1.}",
		"{\"a\":-}",
		"{\"a\":1e}",
		"{\"a\":nan}",
		"{\"a\":tru}",
		"{\"a\":\"}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc3\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
	};

	for (size_t i = 0; i < CC_COUNT(good); i++)
		if (!json_is_object(good[i], strlen(good[i])))
			test_fail(__FILE__, __LINE__, "refused: %s", good[i]);
	for (size_t i = 0; i < CC_COUNT(bad); i++)
		if (json_is_object(bad[i], strlen(bad[i])))
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
}

TEST(json_of_anything)
{
	static char text[8192];
	char bytes[256];
	struct json json;
	char path[4200];
	FILE *out;

	snprintf(path, sizeof(path), "%s/json-out", test_dir());
	out = fopen(path, "w+b");
	CHECK(out != NULL);
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	json_begin(&json, out);
	json_bytes(&json, "all", bytes, sizeof(bytes));
	json_text(&json, "none", NULL);
	json_text(&json, "steers", "\xc2\x9b\xe2\x80\xa8\xf3\xa0\x80\x81\xc3\xbc");
	json_array_begin(&json, "list");
	json_object_begin(&json, NULL);
	json_object_end(&json);
	json_number(&json, NULL, UINT64_MAX);
	json_signed(&json, NULL, -1);
	json_array_end(&json);
	json_real(&json, "real", 0.5);
	json_bool(&json, "yes", true);
	json_end(&json);
	rewind(out);
	CHECK_INT(fread(text, 1, sizeof(text) - 1, out), >, 0);
	CHECK_EQ(fclose(out), 0);
	check_json(text);
	CHECK_HAS(text, "\"all_hex\":\"000102");
	CHECK_HAS(text, "\"steers\":\"\\u009b\\u2028\\udb40\\udc01\xc3\xbc\"");
	CHECK_HAS(text, "\"list\":[{},18446744073709551615,-1],\"real\":0.5,\"yes\":true}");
}
