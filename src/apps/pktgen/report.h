/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - what pktgen says: a line a second while it runs, then a summary as text or as JSON.
 *
 * Rates are those of a stretch between two samples. Bits on the wire count what Ethernet adds to a
 * frame: CRC, preamble and gap, 24 bytes.
 */
#ifndef PKTGEN_REPORT_H
#define PKTGEN_REPORT_H

#include "apps/pktgen/options.h"
#include "apps/pktgen/receive.h"
#include "netdev/netdev.h"

/* Counters at a moment, all counting up. */
struct report_sample {
    uint64_t now_cycles;
    uint64_t busy_cycles; /* of those, spent on steps that moved packets */
    uint64_t waits;       /* times that it slept, and interrupts that woke it */
    uint64_t interrupts;
    struct netdev_queue_stats rx, tx;
};

struct report_run {
    const struct options *options;
    struct account_sum numbers; /* of the packets received */
    uint64_t unnumbered;
    const struct histogram *latency; /* in cycles */
    const struct netdev_info *info;
    uint64_t hz;                   /* cycles a second */
    struct report_sample from, to; /* from the first packet to the last one, warm-up left out */
    uint64_t made;                 /* packets sent, warm-up included */
    uint64_t forward_drops;        /* packets that found no room in the transmit ring */
    uint64_t skipped_cycles;       /* of struct pace; of several cores the highest */
};

/* Writes one line about what happened between two samples; returns its length as format does. */
size_t report_line(char *text, size_t size, const struct options *o, uint64_t hz,
                   const struct report_sample *from, const struct report_sample *to);

void report_text(const struct report_run *run);

/* One line; the only one of pktgen's that begins with a brace. */
void report_json(const struct report_run *run);

#endif
