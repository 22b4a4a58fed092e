/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.h - one thread's load: makes requests, keeps a window of them unanswered, checks answers.
 *
 * Every key belongs to one thread (key number modulo threads), so that all versions of what is
 * stored under it are known. A store or delete of a key has the key's next version; a deleted one
 * has no value, so it can't be found. versions.h tells which ones a get may find. A miss may always
 * be, as the server evicts; they are counted. Of a key that this run hasn't written yet any version
 * is taken, if only its bytes are right.
 *
 * An id is a slot's number, and above it how often the slot was used: an answer that comes after
 * its request was given up is told from one to the next request.
 */
#ifndef KVLOAD_LOAD_H
#define KVLOAD_LOAD_H

#include "histogram.h"
#include "late.h"
#include "parts.h"
#include "pattern.h"
#include "port.h"
#include "protocol.h"
#include "versions.h"

#include <signal.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum { LOAD_LENGTH_TEXT = 8 };

enum load_kind { LOAD_SET, LOAD_GET, LOAD_DELETE, LOAD_KINDS, LOAD_FREE = LOAD_KINDS };

struct load_tally {
    uint64_t count, hits, misses, bytes; /* answered; bytes: of both ways' payloads */
    struct histogram latency;
};

struct load_result {
    struct load_tally kinds[LOAD_KINDS];
    uint64_t sent;
    uint64_t timeouts;      /* requests without an answer in time */
    uint64_t late;          /* answers to requests that were given up */
    uint64_t latest_cycles; /* after so long the last of these came */
    uint64_t wrong;         /* answers that aren't right, and those to nothing, not even late */
    uint64_t busy_cycles, cycles; /* turns of the loop that moved something, and all */
    double seconds;               /* from the first request to the last answer */
};

/* Of a run, from its start to the end of one of its seconds. */
struct load_second {
    uint64_t count[LOAD_KINDS], latency_ns[LOAD_KINDS];
};

struct load_key {
    uint32_t number;  /* among the thread's own */
    uint16_t version; /* written, or for a get its floor: versions_read */
    uint8_t text_len;
    char text[37]; /* OPTIONS_MAX_PREFIX and the digits of 64 bits, and all of the struct */
};

struct load_slot {
    uint64_t due, sent; /* cycles: when the request should be, and was, sent */
    uint16_t id;
    uint8_t kind;
    uint8_t left; /* so many of its keys aren't answered yet: load_key */
    struct load_key key;
};

_Static_assert(sizeof(struct load_slot) == 64, "a slot is one cache line");

struct load_plan {
    uint8_t kind;
    uint8_t keys; /* how many */
};

/* " length\r\n", which ends the line before a value. */
struct load_length {
    union {
        uint64_t word;
        char text[LOAD_LENGTH_TEXT];
    };
    uint32_t text_len;
};

/* An answer of several datagrams, as far as it came. */
struct load_parts {
    uint64_t sent; /* the slot's when it was begun: its request's, as no two are sent at once */
    struct parts *parts;
};

struct load {
    const struct options *options;
    struct port *port;
    struct load_slot *slots;
    struct load_key *more_keys; /* multi_key_get - 1 of each slot */
    uint32_t *free;             /* free[0] to free[free_count - 1]: slots without a request */
    uint32_t slot_count, free_count, slot_bits;
    struct versions *keys;
    struct history *history;
    uint64_t key_first, key_step;
    uint32_t key_count;
    struct pattern set_pattern, get_pattern, all_keys;
    struct rng rng;
    char prefix[OPTIONS_MAX_PREFIX];
    uint32_t prefix_len, ratio_at;
    struct late *late;                 /* 2^16: by id */
    bool populating, gave_up;          /* gave_up: late isn't empty */
    uint64_t left;                     /* requests still to be planned */
    struct load_plan plan[PORT_BURST]; /* the next requests, whose keys are being fetched: a ring */
    uint32_t *plan_keys;               /* multi_key_get of each */
    uint32_t plan_first, plan_count;
    uint64_t cycles_hz, ns_per_cycle_32; /* the second: times 2^32 */
    double interval, next_due; /* open loop: cycles between requests, and when the next is due */
    struct load_result result;
    struct load_second *seconds; /* second_count of them: the last may be shorter */
    uint32_t second_count;
    struct load_length *lengths; /* of values of 0 to options->sizes.max bytes */
    struct load_parts *parts;    /* a slot's; memory is taken for those that need it */
    uint32_t parts_room;         /* bytes of the longest answer that can be right */
    uint8_t *whole;              /* the answer that was last put together, with a header */
};

/* What to do in a run. */
struct load_run {
    bool populate;  /* store every key once; the rest doesn't count */
    uint64_t count; /* requests, or UINT64_MAX */
    double time_s;  /* or as long as this, if not 0 */
    double rate;    /* requests a second of this thread; 0: closed loop */
};

/* Sets up thread `number` of options->threads. */
void load_init(struct load *load, const struct options *options, struct port *port, uint32_t number,
               uint64_t cycles_hz);

/* Takes the options' ratio and key pattern, which load_init has taken, anew. Between two runs. */
void load_ask(struct load *load);

/* Not 0: all runs end as if their time was over. For a signal's handler. */
extern volatile sig_atomic_t load_stop;

/* Runs; load->result, which is empty before, says what came of it. */
void load_run(struct load *load, const struct load_run *run);

/* The key of a request with which so many are left: it has its last one itself. */
static inline struct load_key *load_key(const struct load *load, const struct load_slot *slot,
                                        uint32_t left)
{
    if (likely(left == 1))
        return (struct load_key *)&slot->key;
    return &load->more_keys[(size_t)(slot - load->slots) * (load->options->multi_key_get - 1) +
                            left - 2];
}

/* Writes the key to a request. Copies all bytes of the field, which is quicker than copying only
 * those of the key: their number is fixed. */
static inline char *load_put_key(char *at, const struct load_key *key)
{
    memcpy(at, key->text, sizeof key->text);
    return at + key->text_len;
}

/* For the next item that is stored. */
static inline uint32_t load_expiry_s(struct load *load)
{
    const struct options *o = load->options;

    return o->expiry_min_s +
           (o->expiry_max_s > o->expiry_min_s
                ? (uint32_t)rng_below(&load->rng, o->expiry_max_s - o->expiry_min_s + 1)
                : 0);
}

static inline uint64_t load_key_number(const struct load *load, uint32_t key)
{
    return load->key_first + key * load->key_step;
}

static inline uint64_t load_cycles(void)
{
    return __builtin_ia32_rdtsc();
}

#endif
