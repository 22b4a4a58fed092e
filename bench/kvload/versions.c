/* SPDX-License-Identifier: BSD-2-Clause */
/* versions.c - the histories of keys whose writes overlap; see versions.h. */
#include "versions.h"
#include "memory.h"

#include <string.h>

enum { FIRST_ROOM = 4, MANY = 16, BUCKET_BITS = 14 };

struct history_version {
    uint64_t done;  /* UINT64_MAX: not yet known to be */
    uint64_t asked; /* its write, or a get that found it */
    uint64_t lost;  /* when its write was given up; else 0 */
    uint16_t version;
    bool open; /* its write waits for its answer */
    bool over;
};

struct history_key {
    struct history_key *next; /* in its bucket */
    uint32_t key, count, room;
    uint32_t reads;   /* sent since the history began, and not answered */
    uint16_t first;   /* what was there before; 0: nothing is known of that */
    bool first_known; /* it is among the versions */
    uint64_t looked;  /* history->oldest, when what is over was looked for last */
    struct history_version *versions;
};

struct history {
    uint64_t oldest, patience;
    struct history_key *buckets[1 << BUCKET_BITS];
};

struct history *history_create(uint64_t patience)
{
    struct history *history = memory_grow(NULL, sizeof *history);

    memset(history, 0, sizeof *history);
    history->patience = patience;
    return history;
}

void history_look(struct history *history, uint64_t oldest)
{
    history->oldest = oldest;
}

static struct history_key **bucket(struct history *history, uint32_t key)
{
    return &history->buckets[key * 0x9e3779b1u >> (32 - BUCKET_BITS)];
}

struct history_key *history_find(struct history *history, uint32_t key)
{
    struct history_key *at = *bucket(history, key);

    while (at && at->key != key)
        at = at->next;
    return at;
}

static struct history_version *add(struct history_key *key, uint16_t version)
{
    if (key->count == key->room) {
        key->room = key->room ? 2 * key->room : FIRST_ROOM;
        key->versions = memory_grow(key->versions, key->room * sizeof *key->versions);
    }
    struct history_version *new = &key->versions[key->count++];
    *new = (struct history_version){.version = version};
    return new;
}

static void add_write(struct history_key *key, uint16_t version, uint64_t asked)
{
    struct history_version *new = add(key, version);

    new->done = UINT64_MAX;
    new->asked = asked;
    new->open = true;
}

void history_begin(struct history *history, struct versions *v, uint32_t number, uint64_t asked,
                   uint64_t now)
{
    struct history_key *key = memory_grow(NULL, sizeof *key), **head = bucket(history, number);

    *key = (struct history_key){.key = number, .first = v->proved, .next = *head};
    *head = key;
    if (key->first) {
        add(key, key->first); /* done since ever */
        key->first_known = true;
    }
    add_write(key, v->sent, asked);
    if (asked == 0)
        history_give_up(history, number, v->sent, now);
    v->proved = VERSION_OVERLAPS;
}

static struct history_version *find(struct history_key *key, uint16_t version)
{
    for (uint32_t i = key->count; i-- > 0;) /* the latest are asked for most */
        if (key->versions[i].version == version)
            return &key->versions[i];
    return NULL;
}

/* Can the two not both have been? */
static bool contradict(const struct history_version *a, const struct history_version *b)
{
    bool a_stayed = a->done < a->asked, b_stayed = b->done < b->asked;

    if (a_stayed && b_stayed)
        return (a->done > b->done ? a->done : b->done) <
               (a->asked < b->asked ? a->asked : b->asked);
    if (a_stayed)
        return b->asked > a->done && b->done < a->asked;
    return b_stayed && a->asked > b->done && a->done < b->asked;
}

static bool fits(const struct history_key *key, const struct history_version *version)
{
    for (uint32_t i = 0; i < key->count; i++)
        if (key->versions[i].version != version->version && contradict(version, &key->versions[i]))
            return false;
    return true;
}

/* Finds what is over, and forgets what no request on its way can find or contradict. */
static void forget(const struct history *history, struct history_key *key)
{
    uint32_t kept = 0;

    if (key->looked == history->oldest)
        return;
    key->looked = history->oldest;
    for (uint32_t i = 0; i < key->count; i++) {
        struct history_version later = key->versions[i];
        if (later.asked < history->oldest)
            later.asked = history->oldest;
        key->versions[i].over |= !fits(key, &later);
    }
    for (uint32_t i = 0; i < key->count; i++) {
        const struct history_version *at = &key->versions[i];
        bool past =
            at->over && !at->open && at->done < history->oldest && at->asked <= history->oldest;
        bool lost =
            at->lost && at->done == UINT64_MAX && at->lost + history->patience < history->oldest;
        if (!past && !lost)
            key->versions[kept++] = *at;
    }
    key->count = kept;
}

/* Ends the history if the version sent last is all that can be found from now on. */
static void settle(struct history *history, struct versions *v, struct history_key *key)
{
    struct history_key **at = bucket(history, key->key);

    forget(history, key);
    if (key->reads > 0 || key->count != 1 || key->versions[0].version != v->sent ||
        key->versions[0].open || key->versions[0].done == UINT64_MAX)
        return;
    while (*at != key)
        at = &(*at)->next;
    *at = key->next;
    free(key->versions);
    free(key);
    v->proved = v->sent;
}

void history_write(struct history *history, uint32_t number, uint16_t version, uint64_t now)
{
    struct history_key *key = history_find(history, number);

    if (key->count >= MANY)
        forget(history, key);
    add_write(key, version, now);
}

void history_read(struct history *history, uint32_t key)
{
    history_find(history, key)->reads++;
}

static bool is_done(const struct history_key *key, struct history_version *version, uint64_t now)
{
    if (now < version->done)
        version->done = now;
    return fits(key, version);
}

bool history_written(struct history *history, struct versions *v, uint32_t number, uint16_t version,
                     uint64_t now)
{
    struct history_key *key = history_find(history, number);
    struct history_version *at = find(key, version);

    if (!at)
        return true; /* sent before the history began, and proved by then */
    at->open = false;
    bool right = is_done(key, at, now);
    settle(history, v, key);
    return right;
}

static bool found(struct history_key *key, uint16_t version, uint16_t floor, uint64_t asked,
                  uint64_t now)
{
    struct history_version *at = find(key, version);

    if (!at && floor != VERSION_OVERLAPS) /* what was there before the history began */
        return floor == 0 ||
               (version_at_least(version, floor) && version_at_least(key->first, version));
    if (!at) {
        if (key->first_known)
            return false;
        at = add(key, version);
        key->first_known = true;
    }
    if (at->over)
        return false;
    if (asked > at->asked)
        at->asked = asked;
    return is_done(key, at, now);
}

bool history_found(struct history *history, struct versions *v, uint32_t number, uint16_t version,
                   uint16_t floor, uint64_t asked, uint64_t now)
{
    struct history_key *key = history_find(history, number);
    bool right = found(key, version, floor, asked, now);

    if (floor == VERSION_OVERLAPS)
        key->reads--;
    settle(history, v, key);
    return right;
}

void history_missed(struct history *history, struct versions *v, uint32_t number)
{
    struct history_key *key = history_find(history, number);

    key->reads--;
    settle(history, v, key);
}

void history_give_up(struct history *history, uint32_t number, uint16_t version, uint64_t now)
{
    struct history_version *at = find(history_find(history, number), version);

    if (at) {
        at->open = false;
        at->lost = now;
    }
}
