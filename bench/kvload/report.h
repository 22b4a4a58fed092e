/* SPDX-License-Identifier: BSD-2-Clause */
/* report.h - what becomes of a run: memtier's closing table, and JSON with its names. */
#ifndef KVLOAD_REPORT_H
#define KVLOAD_REPORT_H

#include "load.h"
#include "losses.h"
#include "server_stats.h"

#include <stdio.h>

struct report {
    const struct options *options;
    struct load_result result;   /* of all threads; seconds: of the longest */
    struct load_second *seconds; /* of all threads: second_count of them; NULL: none */
    uint32_t second_count;
    uint64_t foreign;
    struct losses losses;
    double start_unix_ms, finish_unix_ms, first_answer_unix_ms;
    double cycles_hz;
    struct server_stats before, after; /* what the server counted; empty if it didn't tell */
};

/* By how much a counter of the server grew; 0 if it began anew meanwhile. */
double report_grown(const struct report *report, const char *name);

/* Adds a thread's result to that of all, whose seconds become those of the longest. */
void report_add(struct load_result *total, const struct load_result *one);

/* Sets the seconds: those of the threads added up. Ends the program if memory is short. */
void report_seconds(struct report *report, const struct load *const *loads);

/* What was asked for, then a table a run, then what came of all: report_end. */
void report_head(FILE *file, const struct options *options);
void report_table(FILE *file, const struct report *report, const char *title);
void report_end(FILE *file, const struct report *report);

/* Files PREFIX_{SET,GET,DELETE}_run_N.hgrm: percentiles as HdrHistogram's plotter reads them. False
 * if one can't be written. */
bool report_hgrm(const struct report *report, const char *prefix, uint32_t run);

/* One JSON object; on one line if compact. */
void report_json(FILE *file, const struct report *report);

#endif
