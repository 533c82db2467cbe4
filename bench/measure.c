/* SPDX-License-Identifier: MIT */
/* Interleaved blocks, medians and payloads; see measure.h. Uses libc and the clock only. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <base/cc.h>

#include "os/host.h"

void series_add(struct series *series, double value)
{
	if (series->count == series->capacity) {
		size_t capacity = series->capacity ? series->capacity * 2 : 256;
		double *values = realloc(series->values, capacity * sizeof(*values));

		if (!values) {
			series->failed = true;
			return;
		}
		series->values = values;
		series->capacity = capacity;
	}
	series->values[series->count++] = value;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return (a > b) - (a < b);
}

double series_percentile(struct series *series, double fraction)
{
	size_t place;

	if (!series->count)
		return (double)NAN;
	qsort(series->values, series->count, sizeof(*series->values), compare);
	place = (size_t)(fraction * (double)(series->count - 1) + 0.5);
	return series->values[place];
}

void series_free(struct series *series)
{
	free(series->values);
	memset(series, 0, sizeof(*series));
}

void measure_result_free(struct measure_result *result)
{
	series_free(&result->samples);
	series_free(&result->baseline);
}

/* Run one block and keep its samples in `pool`; its median goes to *ret_median. */
static int block(int (*run)(void *context, struct series *samples), void *context, struct series *pool,
		 double *ret_median)
{
	struct series samples = {0};
	int rc = run(context, &samples);

	if (!rc && samples.count) {
		*ret_median = series_percentile(&samples, 0.5);
		for (size_t i = 0; i < samples.count; i++)
			series_add(pool, samples.values[i]);
	}
	if (!rc && (samples.failed || !samples.count || pool->failed))
		rc = -1;
	series_free(&samples);
	return rc;
}

struct quotient {
	double value;
	double shift; /* how far apart the two baseline blocks are, as a factor >= 1 */
};

/* Median of the quotients taken in a steady phase; of all, when hardly any was. */
static double judge(const struct quotient *quotients, unsigned count, unsigned *ret_dropped)
{
	struct series steady = {0};
	struct series all = {0};
	double median;

	for (unsigned i = 0; i < count; i++) {
		series_add(&all, quotients[i].value);
		if (quotients[i].shift <= MEASURE_SHIFT_MAX)
			series_add(&steady, quotients[i].value);
	}
	if (steady.count * 3 >= all.count) {
		*ret_dropped = (unsigned)(all.count - steady.count);
		median = series_percentile(&steady, 0.5);
	} else {
		*ret_dropped = 0;
		median = series_percentile(&all, 0.5);
	}
	series_free(&steady);
	series_free(&all);
	return median;
}

/* The alternating blocks; fills one quotient per pair. */
static int alternate(const struct measure_plan *plan, struct quotient *quotients, struct measure_result *result)
{
	double before;
	double middle;
	double after;
	int rc = block(plan->baseline, plan->context, &result->baseline, &before);

	for (unsigned i = 0; !rc && i < plan->pairs; i++) {
		rc = block(plan->subject, plan->context, &result->samples, &middle);
		if (!rc)
			rc = block(plan->baseline, plan->context, &result->baseline, &after);
		if (rc)
			break;
		quotients[i].value = middle / ((before + after) / 2);
		quotients[i].shift = before > after ? before / after : after / before;
		before = after;
		if (plan->progress)
			plan->progress(plan->progress_argument, i + 1, plan->pairs);
	}
	return rc;
}

/* A block of each whose samples nobody keeps: caches, page tables and clock speed settle. */
static int warm_up(const struct measure_plan *plan)
{
	struct series scratch = {0};
	double median;
	int rc = block(plan->baseline, plan->context, &scratch, &median);

	if (!rc)
		rc = block(plan->subject, plan->context, &scratch, &median);
	series_free(&scratch);
	return rc;
}

int measure_run(const struct measure_plan *plan, struct measure_result *ret_result)
{
	struct quotient *quotients = calloc(plan->pairs, sizeof(*quotients));
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	if (!quotients)
		return -1;
	rc = warm_up(plan);
	if (!rc)
		rc = alternate(plan, quotients, ret_result);
	if (!rc) {
		ret_result->pairs = plan->pairs;
		ret_result->ratio = judge(quotients, plan->pairs, &ret_result->dropped);
	}
	free(quotients);
	return rc;
}

void measure_spin(uint64_t nanoseconds)
{
	uint64_t end = host_now() + nanoseconds;

	while (host_now() < end)
		cc_pause();
}

void measure_fill(void *bytes, size_t length, uint64_t value)
{
	memset(bytes, (int)(value & 0xff), length);
	memcpy(bytes, &value, length < sizeof(value) ? length : sizeof(value));
	cc_compiler_barrier();
}

uint64_t measure_sum(const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	/* Copied, which costs nothing: another library's message may lie anywhere. */
	for (size_t left = length / 32; left; left--) {
		uint64_t words[4];

		memcpy(words, at, sizeof(words));
		at += sizeof(words);
		a += words[0];
		b += words[1];
		c += words[2];
		d += words[3];
	}
	return a + b + c + d;
}

volatile uint64_t measure_sink;

void measure_use(uint64_t value)
{
	measure_sink = value;
}
