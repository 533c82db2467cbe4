/* SPDX-License-Identifier: MIT */
/* Work on files that nobody waits for (os/ring.h), by the kernel's rings and by threads: the same results; and folders of files. */
#include <harness/test.h>
#include <os/local.h>
#include <os/ring.h>

#include <base/atomic.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH 8u
#define LENGTH 100000u

static struct os_ring *ring;
static os_handle folder;

static void begin(enum os_ring_way way)
{
	char path[200];
	int rc = os_ring_create(way, DEPTH, &ring);

	if (rc == -STOA_ENOTSUP && way == OS_RING_KERNEL)
		SKIP("no io_uring here: %s", stoa_error_detail());
	CHECK_RC(rc, 0);
	CHECK_EQ(os_ring_way(ring), way);
	snprintf(path, sizeof(path), "%s/folder", test_dir());
	CHECK_RC(os_folder_open(path, &folder), 0);
}

static void end(void)
{
	os_ring_close(ring);
	os_handle_close(folder);
}

/* The next one that is done, by waiting for the event. */
static struct os_job *await(void)
{
	struct os_job *job;
	uint32_t ready;
	os_handle event = os_ring_event(ring);

	while ((job = os_ring_take(ring)) == NULL) {
		CHECK_RC(os_wait_readable(&event, 1, UINT64_MAX, &ready), 0);
		os_notifier_clear(event);
	}
	return job;
}

static int64_t do_job(struct os_job job)
{
	CHECK(os_ring_submit(ring, &job));
	CHECK_RC(os_ring_go(ring), 0);
	CHECK_EQ(await(), &job);
	return job.result;
}

static os_handle make(const char *name)
{
	int64_t file = do_job((struct os_job){.kind = OS_JOB_MAKE, .file = folder, .name = name});

	CHECK_INT(file, >=, 0);
	return file;
}

static void fill(unsigned char *bytes, unsigned seed)
{
	for (unsigned i = 0; i < LENGTH; i++)
		bytes[i] = (unsigned char)(i * seed >> 3);
}

/* A file as a store writes one: made, written, given its name, read, removed. */
static void one_file(enum os_ring_way way)
{
	static unsigned char out[LENGTH], in[LENGTH];
	uint64_t length = 0;
	os_handle file;

	begin(way);
	fill(out, 7);
	file = make("half");
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_MAKE, .file = folder, .name = "half"}), -STOA_EEXIST);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_WRITE, .file = file, .bytes = out, .length = LENGTH}), LENGTH);
	/* What a job does not use may be anything. */
	CHECK_EQ(do_job((struct os_job){
			 .kind = OS_JOB_CLOSE, .file = file, .name = "half", .bytes = out, .offset = 5, .length = 5}),
		 0);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_RENAME, .file = folder, .name = "half", .to = "whole"}), 0);
	CHECK_RC(os_folder_look(folder, "half", &length), -STOA_ENOENT);
	CHECK_RC(os_folder_look(folder, "whole", &length), 0);
	CHECK_EQ(length, LENGTH);
	file = do_job((struct os_job){.kind = OS_JOB_OPEN, .file = folder, .name = "whole"});
	CHECK_INT(file, >=, 0);
	CHECK_EQ(do_job((struct os_job){
			 .kind = OS_JOB_READ, .file = file, .bytes = in, .offset = 1000, .length = LENGTH}),
		 LENGTH - 1000);
	CHECK(memcmp(in, out + 1000, LENGTH - 1000) == 0);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_CLOSE, .file = file}), 0);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_REMOVE, .file = folder, .name = "whole"}), 0);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_REMOVE, .file = folder, .name = "whole"}), -STOA_ENOENT);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_OPEN, .file = folder, .name = "whole"}), -STOA_ENOENT);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_WRITE, .file = -1, .bytes = out, .length = 1}), -STOA_ESYSTEM);
	end();
}

/* As many as may be at a time, and no more; each is told once. */
static void many_jobs(enum os_ring_way way)
{
	static unsigned char bytes[DEPTH][LENGTH], back[LENGTH];
	struct os_job jobs[DEPTH], more = {.kind = OS_JOB_REMOVE, .name = "x"};
	os_handle file;

	begin(way);
	file = make("many");
	more.file = folder;
	for (unsigned round = 0; round < 20; round++) {
		uint64_t seen = 0;

		for (unsigned i = 0; i < DEPTH; i++) {
			fill(bytes[i], round * DEPTH + i + 1);
			jobs[i] = (struct os_job){.kind = OS_JOB_WRITE,
						  .file = file,
						  .bytes = bytes[i],
						  .offset = i * LENGTH,
						  .length = LENGTH,
						  .user = i};
			CHECK(os_ring_submit(ring, &jobs[i]));
		}
		CHECK(!os_ring_submit(ring, &more));
		CHECK_RC(os_ring_go(ring), 0);
		for (unsigned i = 0; i < DEPTH; i++) {
			struct os_job *job = await();

			CHECK_EQ(job->result, LENGTH);
			CHECK(!(seen >> job->user & 1));
			seen |= UINT64_C(1) << job->user;
		}
		CHECK(os_ring_take(ring) == NULL);
	}
	os_handle_close(file);
	file = do_job((struct os_job){.kind = OS_JOB_OPEN, .file = folder, .name = "many"});
	for (unsigned i = 0; i < DEPTH; i++) {
		CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_READ,
						.file = file,
						.bytes = back,
						.offset = i * LENGTH,
						.length = LENGTH}),
			 LENGTH);
		CHECK(memcmp(back, bytes[i], LENGTH) == 0);
	}
	/* What is under way when it is closed is done all the same. */
	CHECK(os_ring_submit(ring, &(struct os_job){.kind = OS_JOB_REMOVE, .file = folder, .name = "many"}));
	os_handle_close(file);
	os_ring_close(ring);
	CHECK_RC(os_folder_look(folder, "many", &(uint64_t){0}), -STOA_ENOENT);
	os_handle_close(folder);
}

/* Beyond the process's limit of file sizes a write fails, and no signal comes. */
static void too_long(enum os_ring_way way)
{
	struct rlimit limit = {1000, 1000};
	unsigned char bytes[1001] = {0};
	os_handle file;

	begin(way);
	file = make("long");
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_WRITE, .file = file, .bytes = bytes, .length = 1000}), 1000);
	CHECK_EQ(do_job((struct os_job){.kind = OS_JOB_WRITE, .file = file, .bytes = bytes, .length = 1001}),
		 -STOA_ELIMIT);
	os_handle_close(file);
	end();
}

TEST(one_file_by_the_kernel)
{
	one_file(OS_RING_KERNEL);
}

TEST(one_file_by_threads)
{
	one_file(OS_RING_THREADS);
}

TEST(many_jobs_by_the_kernel)
{
	many_jobs(OS_RING_KERNEL);
}

TEST(many_jobs_by_threads)
{
	many_jobs(OS_RING_THREADS);
}

TEST(a_file_too_long_by_the_kernel)
{
	too_long(OS_RING_KERNEL);
}

TEST(a_file_too_long_by_threads)
{
	too_long(OS_RING_THREADS);
}

TEST(without_the_kernels_rings_there_are_threads)
{
	struct os_ring *other;

	store_rlx(&os_ring_without, 1);
	CHECK_RC(os_ring_create(OS_RING_KERNEL, DEPTH, &other), -STOA_ENOTSUP);
	CHECK_RC(os_ring_create(OS_RING_ANY, DEPTH, &other), 0);
	CHECK_EQ(os_ring_way(other), OS_RING_THREADS);
	os_ring_close(other);
}

static int count_name(const char *name, void *argument)
{
	*(unsigned *)argument += name[0] != '.';
	return 0;
}

TEST(a_folder_is_its_users_alone)
{
	char path[200];
	struct stat status;
	unsigned count = 0;

	snprintf(path, sizeof(path), "%s/none/folder", test_dir());
	CHECK_RC(os_folder_open(path, &folder), -STOA_ENOENT);
	snprintf(path, sizeof(path), "%s/folder", test_dir());
	umask(0);
	CHECK_RC(os_folder_open(path, &folder), 0);
	CHECK_SYS(stat(path, &status));
	CHECK_EQ(status.st_mode & 0777, 0700);
	CHECK_RC(os_folder_mark(folder, "a"), 0);
	CHECK_RC(os_folder_mark(folder, "a"), 0);
	CHECK_RC(os_folder_mark(folder, "b"), 0);
	CHECK_RC(os_folder_visit(folder, count_name, &count), 0);
	CHECK_EQ(count, 2);
	CHECK_RC(os_folder_remove(folder, "b"), 0);
	CHECK_RC(os_folder_remove(folder, "b"), -STOA_ENOENT);
	count = 0;
	CHECK_RC(os_folder_visit(folder, count_name, &count), 0);
	CHECK_EQ(count, 1);
	CHECK_SYS(symlinkat("a", (int)folder, "link"));
	CHECK_RC(os_folder_look(folder, "link", &(uint64_t){0}), -STOA_ENOENT);
	os_handle_close(folder);
	CHECK_SYS(chmod(path, 0770));
	CHECK_RC(os_folder_open(path, &folder), -STOA_EACCES);
	snprintf(path, sizeof(path), "%s/folder/a", test_dir());
	CHECK_RC(os_folder_open(path, &folder), -STOA_EKIND);
}
