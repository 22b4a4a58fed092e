/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h - memcached's text protocol, the commands of version 1.6.18, as a pure step: the bytes of
 * a request in, the bytes of an answer out. The protocol is told in memcached's protocol.txt; where
 * that doesn't say what a bad request is answered, the answers are those of a running memcached,
 * with which tests/memcached_compare.py compares them.
 *
 * A request is one or more commands. Each is a line that ends with \n or \r\n, words between
 * spaces; a storage command's line is followed by its data block. All of it is in one datagram:
 * nothing is remembered from one request to the next. If its first byte is that of the binary
 * protocol then all of its commands are (binary.h).
 */
#ifndef UDPKV_TEXT_H
#define UDPKV_TEXT_H

#include "apps/udpkv/line.h"
#include "apps/udpkv/reply.h"
#include "apps/udpkv/shards.h"

#define TEXT_VERSION "1.6.18-ringloop"

#define TEXT_MAX_REQUEST 4096  /* at least the size of a pool's buffer */
#define TEXT_MAX_LARGE   65527 /* of a large request: what UDP over IPv6 can carry */

/* What stats shows, in this order: numbers of 64 bits and nothing else. */
struct text_stats {
    uint64_t cmd_get, cmd_set, cmd_flush, cmd_touch;
    uint64_t get_hits, get_misses;
    uint64_t delete_misses, delete_hits;
    uint64_t incr_misses, incr_hits, decr_misses, decr_hits;
    uint64_t cas_misses, cas_hits, cas_badval;
    uint64_t touch_hits, touch_misses;
    uint64_t store_too_large;
    uint64_t bytes_read, bytes_written; /* of UDP payloads: with the 8 bytes of the frame header */
};

/* A counter that isn't in struct text_stats and that stats shows as well. */
struct text_counter {
    const char *name;
    const uint64_t *value;
};

/* A part of stats that another file shows: show writes the lines of `stats NAME`, without the
 * closing END. */
struct text_part {
    const char *name;
    void (*show)(const void *whose, struct reply *reply);
    const void *whose;
};

/* One for each core. stats tells the sums of all, and for that reads what other cores count
 * meanwhile. */
struct text {
    struct shards shards; /* this core's */
    size_t store_bytes;   /* limit_maxbytes */
    struct text *next;    /* another core's: all texts form a ring; a single one is its own next */
    const struct text_counter *counters;
    uint32_t counter_count;
    const struct text_part *parts;
    uint32_t part_count;
    uint32_t start_s;
    uint64_t commands;               /* lines that were run; a last one without its end isn't */
    struct text_stats stats, before; /* counted since the start; and until the last `stats reset` */
    uint8_t line[TEXT_MAX_REQUEST];  /* the copy of a line that is run */
};

/* How a request ended. */
enum text_end {
    TEXT_WHOLE,
    TEXT_CUT, /* its last line has no end, or its last binary request isn't whole; it was ignored,
                 those before it were run */
};

/* Runs the commands of a request of at most TEXT_MAX_REQUEST bytes, at the time that shards_tick
 * set last. `first` is the first line if the caller has read it; if not, NULL or a line whose
 * `taken` is 0. When the reply breaks (reply.h) it stops, and commands that were run stay done.
 * Each byte of the request is read once, and may be overwritten by the answer (reply.aside).
 * A large request, one of up to TEXT_MAX_LARGE bytes, lies where neither the answer nor anybody
 * else writes: its lines are used where they are, however long they are. */
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
