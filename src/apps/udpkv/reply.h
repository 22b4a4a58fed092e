/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply.h - where a command writes its answer: a run of pieces of memory. When a piece is full,
 * `more` brings the next one; it belongs to whoever made the reply.
 *
 * The first piece may be the memory that holds the request. What has been read of it may be
 * overwritten. Before a command is run, reply_guard tells what hasn't: if the answer gets that far,
 * then the rest of the request moves to `aside`, and reply_unguard says by how much.
 */
#ifndef UDPKV_REPLY_H
#define UDPKV_REPLY_H

#include "boot/lib.h"

struct reply {
    uint8_t *at, *end; /* the free part of the current piece */
    /* Sets at and end to a new piece; false if there is none, and then the reply is broken. */
    bool (*more)(struct reply *reply);
    bool broken;           /* it is incomplete: what is written now is ignored */
    uint8_t *aside;        /* room for the rest of the request, or NULL: it lies elsewhere anyway */
    const uint8_t *unread; /* the rest that is guarded, or NULL */
    size_t unread_len;
    uint8_t *guarded_end; /* `end` as it is without the guard */
    ptrdiff_t moved;      /* from the rest's old place to its new one */
};

/* The part of reply_put for what doesn't fit the current piece. */
void reply_put_split(struct reply *reply, const void *bytes, size_t len);

static inline void reply_put(struct reply *reply, const void *bytes, size_t len)
{
    if (unlikely(len > (size_t)(reply->end - reply->at))) {
        reply_put_split(reply, bytes, len);
        return;
    }
    memcpy(reply->at, bytes, len);
    reply->at += len;
}

void reply_text(struct reply *reply, const char *text);
void reply_u64(struct reply *reply, uint64_t number);

/* Guards the rest of a request, `len` bytes that may be overwritten by the answer otherwise. */
static inline void reply_guard(struct reply *reply, const uint8_t *unread, size_t len)
{
    if (likely(len == 0) || !reply->aside)
        return;
    reply->unread = unread;
    reply->unread_len = len;
    reply->guarded_end = reply->end;
    reply->end = MIN(reply->end, (uint8_t *)(uintptr_t)unread);
}

/* Ends it. Returns how far the rest was moved: to be added to every pointer to it. */
static inline ptrdiff_t reply_unguard(struct reply *reply)
{
    ptrdiff_t moved = reply->moved;

    if (unlikely(reply->unread)) {
        reply->unread = NULL;
        reply->end = reply->guarded_end;
    }
    reply->moved = 0;
    return moved;
}

#endif
