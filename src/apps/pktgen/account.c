/* SPDX-License-Identifier: BSD-2-Clause */
/* account.c - loss, reordering and duplicates; see account.h. */
#include "apps/pktgen/account.h"

RUNS_SELDOM void account_init(struct account *a, bool first_seen_is_first)
{
    *a = (struct account){.first_seen_is_first = first_seen_is_first};
    memset(a->came, 0xff, sizeof a->came);
}

static uint64_t *window_word(struct account *a, uint64_t sequence)
{
    return &a->came[sequence % ACCOUNT_WINDOW / 64];
}

/* Numbers up to `ahead` after the next one are skipped. */
static void skip_to(struct account *a, uint32_t ahead)
{
    a->missing += ahead;
    if (ahead >= ACCOUNT_WINDOW)
        memset(a->came, 0, sizeof a->came);
    else
        for (uint64_t s = a->next; s < a->next + ahead; s++)
            *window_word(a, s) &= ~(1ull << s % 64);
    a->next += ahead;
}

bool account_add_other(struct account *a, uint32_t sequence)
{
    if (a->next == 0 && a->first_seen_is_first)
        a->first = a->next = sequence;
    /* The high bits of the number aren't in the packet: the number is the one nearest to `next`. */
    int32_t ahead = (int32_t)(sequence - (uint32_t)a->next);
    uint64_t number = a->next + (uint64_t)(int64_t)ahead, bit = 1ull << sequence % 64;
    if (ahead >= 0) {
        skip_to(a, (uint32_t)ahead);
        *window_word(a, number) |= bit;
        a->next = number + 1;
        return true;
    }
    uint32_t back = 0u - (uint32_t)ahead;
    if (back > ACCOUNT_WINDOW || back > a->next - a->first) {
        a->stale++;
        return false;
    }
    if (*window_word(a, number) & bit) {
        a->duplicates++;
        return false;
    }
    *window_word(a, number) |= bit;
    a->missing--;
    a->reordered++;
    return true;
}

RUNS_SELDOM void account_add_stream(struct account_sum *sum, const struct account *const *accounts,
                                    uint32_t count)
{
    uint64_t first = UINT64_MAX, next = 0, unique = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct account *a = accounts[i];
        sum->reordered += a->reordered;
        sum->duplicates += a->duplicates;
        sum->stale += a->stale;
        if (a->next == 0)
            continue; /* nothing came here */
        first = MIN(first, a->first);
        next = MAX(next, a->next);
        unique += account_unique(a);
    }
    if (next == 0)
        return;
    sum->unique += unique;
    sum->missing += next - first - unique;
    sum->first = sum->any ? MIN(sum->first, first) : first;
    sum->any = true;
}
