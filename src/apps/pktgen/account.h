/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account.h - loss, reordering and duplicates of numbered packets.
 *
 * Numbers count up from 0, one a packet; a packet carries the low 32 bits. A window of the last
 * 65536 numbers remembers which ones came. A number that is skipped counts as missing until it
 * comes late.
 *
 *          first               next - 65536                next
 *     ------|-----------------------|==========window========|----->
 *            settled                  a bit each: came?        not seen yet
 */
#ifndef PKTGEN_ACCOUNT_H
#define PKTGEN_ACCOUNT_H

#include "boot/lib.h"

enum { ACCOUNT_WINDOW = 65536 };

struct account {
    uint64_t first;      /* the first number that counts */
    uint64_t next;       /* one more than the highest seen */
    uint64_t missing;    /* numbers below `next` that haven't come */
    uint64_t reordered;  /* came after a higher number */
    uint64_t duplicates; /* came again */
    uint64_t stale;      /* from before the window, so either reordered or duplicates */
    bool first_seen_is_first;
    /* A bit for each number, set if it came. Numbers that are 65536 apart share a bit, so the bit
     * of a number not seen yet is that of an earlier one: while all packets come in order it is set
     * already, and account_add only reads. */
    uint64_t came[ACCOUNT_WINDOW / 64];
};

/* From 0 on, or from the first number that comes, for a receiver that joins a running stream. */
void account_init(struct account *a, bool first_seen_is_first);

/* account_add for a packet that doesn't come in order, or after one that didn't. */
bool account_add_other(struct account *a, uint32_t sequence);

/* A packet came. True if its number is new. */
static inline bool account_add(struct account *a, uint32_t sequence)
{
    uint64_t word = a->came[sequence % ACCOUNT_WINDOW / 64];

    if (likely(sequence == (uint32_t)a->next && word >> sequence % 64 & 1)) {
        a->next++;
        return true;
    }
    return account_add_other(a, sequence);
}

/* Of several accounts, and of several streams of numbers. */
struct account_sum {
    uint64_t first; /* the lowest of all streams */
    uint64_t unique, missing, reordered, duplicates, stale;
    bool any; /* some number came */
};

/* Adds a stream whose packets came to several places, each with an account of what it saw of it: a
 * number that came twice came to the same place twice. Accounts that saw nothing are allowed. */
void account_add_stream(struct account_sum *sum, const struct account *const *accounts,
                        uint32_t count);

/* How many different numbers came. */
static inline uint64_t account_unique(const struct account *a)
{
    return a->next - a->first - a->missing;
}

#endif
