/* SPDX-License-Identifier: MIT */
/*
 * The chart of channels; see chart.h. Panels stand in two columns, one per kind of measurement; a panel has a row per library, best first:
 * its name, a mark at the median, for times a line to the 99th percentile, and the figure. Uses libc only.
 *
 * The one hard idea: it must be read on white and on black, by those who do not tell red from green, and in print: three marks of
 * three shapes, in a blue and an orange that differ in brightness too, with a dark set for who asks for one (prefers-color-scheme).
 */
#include "chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 16
#define ROW 20.0     /* height */
#define HEAD 50.0    /* of a panel, above its rows */
#define FOOT 40.0    /* below them: the scale */
#define TOP 84.0     /* above the first panels */
#define COLUMN 476.0 /* width of a column of panels, and where things stand in it */
#define NAMES 162.0
#define PLOT 210.0
#define FIGURES 446.0

enum mark { OURS, BARE, OTHERS };

struct row {
	const struct bench_case *which;
	const char *name;
	enum mark mark;
	double p50, p99;
	double pace, bare_p99; /* of the baseline beside it: median, 99th percentile */
};

#define PANEL(words, word, left, more, measure)                                                               \
	{                                                                                                     \
		.title = words, .ours = "channel." word, .others = "channel.peers." word ".", .column = left, \
		.rate = more, .unit = measure                                                                 \
	}

static struct panel {
	const char *title;
	const char *ours;   /* the case */
	const char *others; /* what theirs begin with */
	unsigned column;
	bool rate;
	const char *unit;
	const char *bare; /* the name of the baseline */
	struct row rows[ROWS_MAX];
	unsigned count;
} panels[] = {
	PANEL("64 bytes there and back, never asleep", "rtt_spin", 0, false, "ns"),
	PANEL("64 bytes there and back, always asleep", "rtt_block", 0, false, "ns"),
	PANEL("Messages of 64 bytes", "throughput_64", 0, true, "M/s"),
	PANEL("Messages of 4 KiB", "throughput_4k", 1, true, "M/s"),
	PANEL("Messages of 1 MiB", "throughput_1m", 1, true, "GB/s"),
};

/* The last words of others' cases, and how people call them. */
static const char *const names[][2] = {
	{"ck", "ck_ring"}, {"boost", "Boost message_queue"}, {"zmq", "ZeroMQ ipc://"},      {"nng", "nng ipc://"},
	{"pipe", "pipe"},  {"stream", "Unix stream"},        {"seqpacket", "Unix packets"},
};

static const char *name_of(const char *word)
{
	for (size_t i = 0; i < CC_COUNT(names); i++)
		if (strcmp(names[i][0], word) == 0)
			return names[i][1];
	return word;
}

static struct panel *panel_of(const struct bench_case *which)
{
	for (size_t i = 0; i < CC_COUNT(panels); i++)
		if (strcmp(which->name, panels[i].ours) == 0 ||
		    strncmp(which->name, panels[i].others, strlen(panels[i].others)) == 0)
			return &panels[i];
	return NULL;
}

bool chart_shows(const struct bench_case *which)
{
	return panel_of(which) != NULL;
}

/* The usual pace of a panel's baseline. */
static double pace_of(const struct panel *panel)
{
	struct series paces = {0};
	double median;

	for (unsigned i = 0; i < panel->count; i++)
		series_add(&paces, panel->rows[i].pace);
	median = series_percentile(&paces, 0.5);
	series_free(&paces);
	return median;
}

/* How far apart, as a factor >= 1. */
static double distance(double pace, double usual)
{
	return pace > usual ? pace / usual : usual / pace;
}

static struct row *row_of(struct panel *panel, const struct bench_case *which)
{
	for (unsigned i = 0; panel && i < panel->count; i++)
		if (panel->rows[i].which == which)
			return &panel->rows[i];
	return NULL;
}

bool chart_is_apart(const struct bench_case *which)
{
	struct panel *panel = panel_of(which);
	const struct row *row = row_of(panel, which);

	return row && distance(row->pace, pace_of(panel)) > MEASURE_SHIFT_MAX;
}

void chart_add(struct bench *bench)
{
	struct panel *panel = panel_of(bench->which);
	struct measure_result *result = &bench->result;
	struct row *old = row_of(panel, bench->which);
	bool ours = panel && strcmp(bench->which->name, panel->ours) == 0;
	struct row row = {bench->which, "stoa", OURS, 0, 0, 0, 0};

	if (!panel || (!old && panel->count == ROWS_MAX - 1))
		return;
	if (!ours) {
		row.mark = OTHERS;
		row.name = name_of(bench->which->name + strlen(panel->others));
	}
	row.p50 = series_percentile(&result->samples, 0.5);
	row.p99 = series_percentile(&result->samples, 0.99);
	row.pace = series_percentile(&result->baseline, 0.5);
	row.bare_p99 = series_percentile(&result->baseline, 0.99);
	panel->bare = bench->baseline;
	if (!old)
		panel->rows[panel->count++] = row;
	else if (distance(row.pace, pace_of(panel)) < distance(old->pace, pace_of(panel)))
		*old = row;
}

/* ---- drawing ---- */

static void text(FILE *out, const char *style, double x, double y, const char *words)
{
	fprintf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", style, x, y);
	for (; *words; words++) {
		if (strchr("&<>\"", *words))
			fprintf(out, "&#%d;", *words);
		else if ((unsigned char)*words >= 0x20 && (unsigned char)*words != 0x7f)
			putc(*words, out);
	}
	fputs("</text>\n", out);
}

/* Three digits that matter, of a time in the unit that people would say. */
static const char *figure(const struct panel *panel, double value, char words[32])
{
	const char *unit = panel->unit;

	if (!panel->rate && value >= 999.5e3) {
		value /= 1e6;
		unit = "ms";
	} else if (!panel->rate && value >= 999.5) {
		value /= 1e3;
		unit = "\xc2\xb5s"; /* micro */
	}
	snprintf(words, 32, "%.*f %s", value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, unit);
	return words;
}

/* Whole decades, as few as hold all. */
struct scale {
	double left;
	int first, last; /* powers of ten */
};

static double place(const struct scale *scale, double value)
{
	return scale->left + PLOT * (log10(value) - scale->first) / (scale->last - scale->first);
}

static struct scale scale_of(const struct panel *panel, double left)
{
	struct scale scale = {left, 99, -99};

	for (unsigned i = 0; i < panel->count; i++) {
		double p50 = panel->rows[i].p50, most = panel->rate ? p50 : panel->rows[i].p99;
		int low = (int)floor(log10(p50)), high = (int)ceil(log10(most));

		scale.first = low < scale.first ? low : scale.first;
		scale.last = high > scale.last ? high : scale.last;
	}
	if (scale.last == scale.first)
		scale.last++;
	return scale;
}

static void draw_mark(FILE *out, enum mark mark, double x, double y)
{
	if (mark == OURS)
		fprintf(out, "<circle class=\"ours\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>\n", x, y);
	else if (mark == BARE)
		fprintf(out, "<path class=\"bare\" d=\"M%.1f %.1fl5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>\n", x, y - 5.5);
	else
		fprintf(out, "<rect class=\"others\" x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\"/>\n", x - 4.5,
			y - 4.5);
}

static void draw_row(FILE *out, const struct panel *panel, const struct scale *scale, const struct row *row, double y)
{
	static const char *const lines[] = {"ours-line", "bare-line", "others-line"};
	double x = place(scale, row->p50);
	char words[32];

	text(out, row->mark == OURS ? "name strong" : "name", scale->left - 12, y + 4, row->name);
	fprintf(out, "<path class=\"guide\" d=\"M%.1f %.1fH%.1f\"/>\n", scale->left, y, x);
	if (!panel->rate) {
		double end = place(scale, row->p99);

		fprintf(out, "<path class=\"%s\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv6\"/>\n", lines[row->mark], x, y, end,
			end, y - 3);
	}
	draw_mark(out, row->mark, x, y);
	text(out, row->mark == OURS ? "figure strong" : "figure", scale->left - NAMES + FIGURES, y + 4,
	     figure(panel, row->p50, words));
}

static int better_first(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	return (a->p50 > b->p50) - (a->p50 < b->p50);
}

static int more_first(const void *left, const void *right)
{
	return better_first(right, left);
}

static void draw_scale(FILE *out, const struct panel *panel, const struct scale *scale, double top, double bottom)
{
	char words[32];

	for (int power = scale->first; power <= scale->last; power++) {
		double value = pow(10, power), at = place(scale, value);

		fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n", at, top, bottom);
		if (panel->rate)
			snprintf(words, sizeof(words), "%g", value);
		else if (value >= 1e6)
			snprintf(words, sizeof(words), "%g ms", value / 1e6);
		else if (value >= 1e3)
			snprintf(words, sizeof(words), "%g \xc2\xb5s", value / 1e3);
		else
			snprintf(words, sizeof(words), "%g ns", value);
		text(out, "tick", at, bottom + 14, words);
	}
}

/* The baseline's row, from beside the case whose pace was the usual one. True: another's was not. */
static bool add_bare(struct panel *panel)
{
	double pace = pace_of(panel);
	const struct row *nearest = &panel->rows[0];
	bool apart = false;

	for (unsigned i = 0; i < panel->count; i++) {
		const struct row *row = &panel->rows[i];

		apart |= distance(row->pace, pace) > MEASURE_SHIFT_MAX;
		nearest = distance(row->pace, pace) < distance(nearest->pace, pace) ? row : nearest;
	}
	panel->rows[panel->count++] =
		(struct row){NULL, panel->bare, BARE, nearest->pace, nearest->bare_p99, nearest->pace, 0};
	return apart;
}

/* Draw a panel with its upper left corner there; its height. */
static double draw_panel(FILE *out, struct panel *panel, double x, double y)
{
	bool apart = add_bare(panel);
	struct scale scale = scale_of(panel, x + NAMES);
	double bottom = y + HEAD + ROW * panel->count;

	qsort(panel->rows, panel->count, sizeof(*panel->rows), panel->rate ? more_first : better_first);
	text(out, "title", x, y + 16, panel->title);
	text(out, "note end", x + FIGURES, y + 16, panel->rate ? "more is better" : "less is better");
	if (apart)
		text(out, "note end", x + FIGURES, y + 32, "the machine changed its pace in between");
	draw_scale(out, panel, &scale, y + HEAD - 12, bottom);
	for (unsigned i = 0; i < panel->count; i++)
		draw_row(out, panel, &scale, &panel->rows[i], y + HEAD + ROW * i);
	return HEAD + ROW * panel->count + FOOT;
}

static const char style[] =
	"<style>\n"
	"text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1f2328}\n"
	".paper{fill:#fff}.head{font-size:17px;font-weight:600}.title{font-weight:600}.strong{font-weight:700}\n"
	".note,.tick{fill:#59636e;font-size:12px}.name,.figure,.end{text-anchor:end}.tick{text-anchor:middle}\n"
	".figure{font-variant-numeric:tabular-nums}\n"
	".grid{stroke:#d1d9e0;fill:none}.guide{stroke:#d1d9e0;stroke-dasharray:1 3;fill:none}\n"
	".ours{fill:#0072b2}.others{fill:#d55e00}.bare{fill:#fff;stroke:#59636e;stroke-width:2}\n"
	".ours-line,.others-line,.bare-line{stroke:#0072b2;stroke-width:1.5;fill:none;opacity:.7}\n"
	".others-line{stroke:#d55e00}.bare-line{stroke:#59636e}\n"
	"@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.note,.tick{fill:#9198a1}\n"
	".grid,.guide{stroke:#30363d}.ours{fill:#56b4e9}.others{fill:#e69f00}\n"
	".bare{fill:#0d1117;stroke:#9198a1}.ours-line{stroke:#56b4e9}.others-line{stroke:#e69f00}.bare-line{stroke:#9198a1}}\n"
	"</style>\n";

static void draw_legend(FILE *out, double x, double y)
{
	static const char *const words[] = {
		"stoa",
		"bare means in the same run, which survive nothing",
		"others",
	};

	for (unsigned i = 0; i < CC_COUNT(words); i++) {
		draw_mark(out, (enum mark)i, x + 8, y + ROW * i);
		text(out, "note", x + 24, y + ROW * i + 4, words[i]);
	}
	fprintf(out, "<path class=\"bare-line\" d=\"M%.1f %.1fh14m0 -3v6\"/>\n", x + 1, y + ROW * 3);
	text(out, "note", x + 24, y + ROW * 3 + 4,
	     "from the median to what 99 of 100 keep to; a sample without sleep is");
	text(out, "note", x + 24, y + ROW * 3 + 20, "the mean of 20 trips. Every byte is written and read.");
}

static double height_of(unsigned column)
{
	double height = 0;

	for (size_t i = 0; i < CC_COUNT(panels); i++)
		if (panels[i].column == column && panels[i].count)
			height += HEAD + ROW * (panels[i].count + 1) + FOOT;
	return height;
}

bool chart_write(FILE *out, const char *machine)
{
	double height = TOP + fmax(height_of(0), height_of(1) + 6 * ROW);
	double y[] = {TOP, TOP};

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"0 0 %.0f %.0f\">\n"
		"<title>Messages between two processes: stoa and others</title>\n%s"
		"<rect class=\"paper\" width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n",
		2 * COLUMN + 28, height, 2 * COLUMN + 28, height, style);
	text(out, "head", 20, 34, "Messages between two processes");
	text(out, "note", 20, 56, machine);
	for (size_t i = 0; i < CC_COUNT(panels); i++) {
		unsigned column = panels[i].column;

		if (panels[i].count)
			y[column] += draw_panel(out, &panels[i], 20 + COLUMN * column, y[column]);
	}
	draw_legend(out, 20 + COLUMN, y[1] + 4);
	fputs("</svg>\n", out);
	return fflush(out) == 0 && !ferror(out);
}
