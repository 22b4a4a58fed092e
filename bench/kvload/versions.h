/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * versions.h - which version of a key may a get find? The versions that one thread writes.
 *
 * An answer is right if some order explains it and all answers before: of any two operations on a
 * key of which one ended before the other began, that one comes first, and each get finds what was
 * written last (linearizability; Herlihy and Wing, TOPLAS 1990). A miss tells nothing, as a server
 * may evict.
 *
 * While no two writes of a key are on the way together, two numbers tell all: the version sent
 * last, and the newest that an answer has proved, as its write was confirmed or it was found:
 *
 *      proved when the get was sent  <=  version found  <=  sent when its answer is taken
 *
 * Writes that are on the way together have no order but the one that the server gave them, which
 * gets tell. Such a key has a history (struct history): for each version a span, from `done`, the
 * first moment at which its write or a get of it was done, to `asked`, the last at which one was
 * sent. If done < asked it was there all that time. As each version is written once, there is an
 * order if and only if (Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 1997)
 *
 *     - no two versions were there at the same time, and
 *     - none was asked for and done with while another was there all the time.
 *
 * A version that would break this if a get found it once more is over. It is forgotten when no
 * request is on its way that was sent before it was done. When only the version written last is
 * left, and no get of the key is on its way, the two numbers tell all again.
 *
 * Moments are cycles of the time stamp counter.
 */
#ifndef KVLOAD_VERSIONS_H
#define KVLOAD_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { VERSION_LAST = UINT16_MAX - 1, VERSION_OVERLAPS = UINT16_MAX };

/* Of one key. */
struct versions {
    uint16_t sent;   /* 0: none */
    uint16_t proved; /* 0: none; VERSION_OVERLAPS: its history tells */
};

struct history; /* of the keys that have one */
struct history_key;

/* `patience`: so many cycles after it was given up, a write is taken for lost on its way. Ends the
 * program if memory is short, as all that make a history longer do. */
struct history *history_create(uint64_t patience);

/* No request that is on its way was sent before `oldest`. To be told now and then. */
void history_look(struct history *history, uint64_t oldest);

struct history_key *history_find(struct history *history, uint32_t key);

/* What follows is for keys that have a history. */
void history_write(struct history *history, uint32_t key, uint16_t version, uint64_t now);
void history_read(struct history *history, uint32_t key);
bool history_written(struct history *history, struct versions *v, uint32_t key, uint16_t version,
                     uint64_t now);
bool history_found(struct history *history, struct versions *v, uint32_t key, uint16_t version,
                   uint16_t floor, uint64_t asked, uint64_t now);
void history_missed(struct history *history, struct versions *v, uint32_t key);
void history_give_up(struct history *history, uint32_t key, uint16_t version, uint64_t now);

/* Begins the history of a key whose version v->sent isn't proved, as another one is about to be
 * written. It was sent at `asked`; 0: nobody waits for its answer any more. */
void history_begin(struct history *history, struct versions *v, uint32_t key, uint64_t asked,
                   uint64_t now);

/* Is the version the same as the other, or later? They go round. */
static inline bool version_at_least(uint16_t version, uint16_t other)
{
    return (int16_t)(version - other) >= 0;
}

/* Is a write on the way, or lost, so that another needs a history that isn't there yet? */
static inline bool versions_overlap(const struct versions *v)
{
    return v->sent != v->proved && v->proved != VERSION_OVERLAPS;
}

/* A write is sent: its version. Not while versions_overlap. */
static inline uint16_t versions_write(struct history *history, struct versions *v, uint32_t key,
                                      uint64_t now)
{
    v->sent = v->sent == VERSION_LAST ? 1 : v->sent + 1;
    if (__builtin_expect(v->proved == VERSION_OVERLAPS, 0))
        history_write(history, key, v->sent, now);
    return v->sent;
}

/* It was answered. False: no order explains all answers. */
static inline bool versions_written(struct history *history, struct versions *v, uint32_t key,
                                    uint16_t version, uint64_t now)
{
    if (__builtin_expect(v->proved == VERSION_OVERLAPS, 0))
        return history_written(history, v, key, version, now);
    if (v->proved == 0 || version_at_least(version, v->proved))
        v->proved = version;
    return true;
}

/* A get is sent: its floor, the oldest version that it may find; 0: any. */
static inline uint16_t versions_read(struct history *history, struct versions *v, uint32_t key)
{
    if (__builtin_expect(v->proved == VERSION_OVERLAPS, 0))
        history_read(history, key);
    return v->proved;
}

/* It was sent at `asked` with this floor, and has found `version`. False: no order explains it. */
static inline bool versions_found(struct history *history, struct versions *v, uint32_t key,
                                  uint16_t version, uint16_t floor, uint64_t asked, uint64_t now)
{
    if (__builtin_expect(v->proved == VERSION_OVERLAPS, 0))
        return history_found(history, v, key, version, floor, asked, now);
    if (floor != 0 && !version_at_least(version, floor))
        return false;
    if (v->proved != 0 && !version_at_least(v->sent, version))
        return false;
    if (v->sent == 0)
        v->sent = version; /* from before this run */
    if (version_at_least(v->sent, version) &&
        (v->proved == 0 || version_at_least(version, v->proved)))
        v->proved = version;
    return true;
}

/* It has found nothing, or nobody waits for its answer any more. */
static inline void versions_missed(struct history *history, struct versions *v, uint32_t key,
                                   uint16_t floor)
{
    if (__builtin_expect(floor == VERSION_OVERLAPS, 0))
        history_missed(history, v, key);
}

/* Nobody waits for a write's answer any more: it was done, will be done any time, or never. */
static inline void versions_give_up(struct history *history, struct versions *v, uint32_t key,
                                    uint16_t version, uint64_t now)
{
    if (v->proved == VERSION_OVERLAPS)
        history_give_up(history, key, version, now);
}

#endif
