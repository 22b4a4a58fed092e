/* SPDX-License-Identifier: BSD-2-Clause */
/* report.h - what becomes of a run: memtier's closing table, and JSON with its names. */
#ifndef KVLOAD_REPORT_H
#define KVLOAD_REPORT_H

#include "load.h"
#include "server_stats.h"

#include <stdio.h>

struct report {
    const struct options *options;
    struct load_result result; /* of all threads; seconds: of the longest */
    uint64_t foreign;
    double start_unix_ms, finish_unix_ms, first_answer_unix_ms;
    double cycles_hz;
    struct server_stats before, after; /* what the server counted; empty if it didn't tell */
};

/* Adds a thread's result to that of all. */
void report_add(struct load_result *total, const struct load_result *one);

void report_table(FILE *file, const struct report *report);

/* One JSON object; on one line if compact. */
void report_json(FILE *file, const struct report *report);

#endif
