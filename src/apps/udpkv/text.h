/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h - memcached's text protocol, the commands of version 1.6.18, as a pure step: the bytes of
 * a request in, the bytes of an answer out. The protocol is told in memcached's protocol.txt; where
 * that is silent (what a bad request is answered) the running memcached was asked, and
 * tests/memcached_compare.py asks it again.
 *
 * A request is one or more commands. Each is a line that ends with \n or \r\n, words between
 * spaces; a storage command's line is followed by its data block. All of it is in one datagram:
 * nothing is remembered from one request to the next.
 */
#ifndef UDPKV_TEXT_H
#define UDPKV_TEXT_H

#include "apps/udpkv/line.h"
#include "apps/udpkv/reply.h"
#include "apps/udpkv/shards.h"

#define TEXT_VERSION "1.6.18-ringloop"

#define TEXT_MAX_REQUEST 4096 /* at least the size of a pool's buffer */

/* What stats shows, in this order: numbers of 64 bits and nothing else. */
struct text_stats {
    uint64_t cmd_get, cmd_set, cmd_flush, cmd_touch;
    uint64_t get_hits, get_misses;
    uint64_t delete_misses, delete_hits;
    uint64_t incr_misses, incr_hits, decr_misses, decr_hits;
    uint64_t cas_misses, cas_hits, cas_badval;
    uint64_t touch_hits, touch_misses;
};

/* A counter of somebody else that stats shows as well. */
struct text_counter {
    const char *name;
    const uint64_t *value;
};

/* A part of stats that somebody else shows: the lines of `stats NAME`, but for the closing END. */
struct text_part {
    const char *name;
    void (*show)(const void *whose, struct reply *reply);
    const void *whose;
};

/* One for each core. stats tells the sums of all: it reads what the others are counting. */
struct text {
    struct shards shards; /* this core's */
    size_t store_bytes;   /* limit_maxbytes */
    struct text *next;    /* of another core; all are a ring, one alone is its own next */
    const struct text_counter *counters;
    uint32_t counter_count;
    const struct text_part *parts;
    uint32_t part_count;
    uint32_t start_s;
    uint64_t commands; /* lines run; the end of a datagram that is no whole line isn't one */
    struct text_stats stats, before; /* counted, and how much of it up to the last `stats reset` */
    uint8_t line[TEXT_MAX_REQUEST];  /* the copy of a line that is run */
};

/* How a request ended. */
enum text_end {
    TEXT_WHOLE,
    TEXT_CUT, /* its last line has no end; it was ignored, what was before it was done */
};

/* Runs the commands of a request of at most TEXT_MAX_REQUEST bytes, at the time that shards_tick
 * set last. `first` is its first line if the caller has read that already; NULL, or a line that
 * isn't taken, if not. With a reply that breaks (reply.h) it stops, and what was done stays done.
 * Each byte of the request is read once, and may be overwritten by the answer (reply.aside). */
enum text_end text_run(struct text *text, const uint8_t *request, size_t len,
                       const struct line *first, struct reply *reply);

/* One item in the answer to get (with_cas: to gets), without the END: in text_item.c. */
void text_put_item(struct reply *reply, struct item *item, bool with_cas);

/* The counters of all cores since the last `stats reset`; how many cores there are. */
struct text_stats text_sum_stats(const struct text *text);
uint32_t text_cores(const struct text *text);

/* For a text_part: a line of stats, whose name is the two texts put together. */
void text_show_number(struct reply *reply, const char *prefix, const char *name, uint64_t value);
void text_show_text(struct reply *reply, const char *prefix, const char *name, const char *value);

#endif
