/* SPDX-License-Identifier: MIT */
/*
 * R6, a column of numbers in a compressed file, far larger than the memory it may have: written, summed and updated through a plain pointer. Pages come
 * when they are touched and go when others are needed; nothing here reads, writes or compresses anything.
 *
 * pager_column [PATH]: the column has 2 GiB, or as many MiB as STOA_EXAMPLE_MIB says, and a sixteenth of that in memory. Linux only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)
#define BLOCK (32u << 10) /* a frame of the file: what is read and written at a time */

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "pager_column: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

static struct stoa_backing *open_backing(const char *path, uint64_t size)
{
	const struct stoa_backing_zstd_options options = {.flags = STOA_BACKING_CREATE, .size = size, .frame = BLOCK};
	struct stoa_backing *backing;
	int rc = stoa_backing_zstd(path, &options, &backing);

	if (rc == -STOA_ENOTSUP) /* it was built without libzstd: a plain file */
		rc = stoa_backing_file(path, STOA_BACKING_CREATE, size, &backing);
	check(rc, "backing");
	return backing;
}

struct column {
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	uint64_t *values;
	uint64_t count;
};

static struct column open_column(const char *path, uint64_t size)
{
	struct stoa_pager_options options = {.budget = size / 16, .block = BLOCK};
	struct column column = {.backing = open_backing(path, size)};

	check(stoa_pager_create(NULL, column.backing, &options, &column.pager), "pager");
	column.values = stoa_pager_address(column.pager);
	column.count = stoa_pager_size(column.pager) / sizeof(uint64_t);
	return column;
}

static void close_column(struct column *column)
{
	check(stoa_pager_flush(column->pager, 0, stoa_pager_size(column->pager), STOA_DURABLE), "flush");
	check(stoa_pager_close(column->pager), "close");
	stoa_backing_close(column->backing);
}

static uint64_t sum(const struct column *column)
{
	uint64_t total = 0;

	for (uint64_t i = 0; i < column->count; i++)
		total += column->values[i];
	return total;
}

/* How many there are of 0, step, 2 step ... below count, and their sum. */
static uint64_t sum_of_every(uint64_t step, uint64_t count)
{
	uint64_t many = (count + step - 1) / step;

	return many * (many - 1) / 2 * step;
}

static void tell(const struct column *column, const char *what)
{
	struct stoa_pager_stat stat;

	check(stoa_pager_stat(column->pager, &stat), "stat");
	printf("%s: %" PRIu64 " of %" PRIu64 " MiB in memory", what, (stat.resident * stat.block + MIB - 1) / MIB,
	       stat.length / MIB);
	printf("; filled in %s calls than blocks\n", stat.fill_calls < stat.fills ? "fewer" : "as many");
	if (stat.resident > stat.budget)
		exit(1);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "example.column", *mib = getenv("STOA_EXAMPLE_MIB");
	uint64_t size = (mib ? strtoull(mib, NULL, 10) : 2048) * MIB, wanted, total;
	struct column column;

	check(stoa_pager_install_handlers(), "handlers");
	column = open_column(path, size);
	for (uint64_t i = 0; i < column.count; i++)
		column.values[i] = i;
	tell(&column, "written");
	close_column(&column);

	column = open_column(path, size);
	total = sum(&column);
	wanted = sum_of_every(1, column.count);
	tell(&column, "summed");
	for (uint64_t i = 0; i < column.count; i += 1000) /* several in each block */
		column.values[i] *= 2;
	tell(&column, "updated");
	close_column(&column);
	printf("the sum of %" PRIu64 " values is %s\n", column.count, total == wanted ? "right" : "wrong");

	column = open_column(path, size);
	total = sum(&column) - wanted - sum_of_every(1000, column.count);
	printf("and with every thousandth doubled it is %s, read again\n", total ? "wrong" : "right");
	close_column(&column);
	remove(path);
	return total != 0;
}
