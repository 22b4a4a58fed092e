/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply.h - where a command writes its answer: a run of pieces of memory. When a piece is full,
 * `more` brings the next one; `more` and the pieces are those of the caller that made the reply.
 *
 * The first piece may be the memory that holds the request. The part of it that has been read may
 * be overwritten. Before a command is run, reply_guard names the part that hasn't been read: if the
 * answer reaches this part, it is copied to `aside` first, and reply_unguard tells how far it was
 * moved.
 */
#ifndef UDPKV_REPLY_H
#define UDPKV_REPLY_H

#include "boot/lib.h"

struct reply {
    uint8_t *at, *end; /* the free part of the current piece */
    /* Sets at and end to a new piece; false if there is none, and then the reply is broken. */
    bool (*more)(struct reply *reply);
    bool broken;           /* a piece was missing: further writes are ignored */
    uint8_t *aside;        /* room for the unread part, or NULL: it isn't overwritten anyway */
    const uint8_t *unread; /* the part that is guarded, or NULL */
    size_t unread_len;
    uint8_t *guarded_end;  /* `end` as it is without the guard */
    ptrdiff_t moved;       /* from the unread part's old place to its new one */
    const uint8_t *packet; /* NULL: answers are text. Of the binary protocol: the header of the
                              request that is being answered */
};

enum { REPLY_HEADER_BYTES = 24 }; /* of a request or an answer of the binary protocol */

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

/* The header of an answer of the binary protocol; extras and key are part of the body's length. */
void reply_header(struct reply *reply, uint16_t status, uint32_t extras_len, uint32_t key_len,
                  uint32_t body_len, uint64_t cas);

/* The whole of an answer that says why there is no other one. */
void reply_error(struct reply *reply, uint16_t status, const char *text);

/* Guards the unread part of a request, `len` bytes, from being overwritten by the answer. */
static inline void reply_guard(struct reply *reply, const uint8_t *unread, size_t len)
{
    if (likely(len == 0) || !reply->aside)
        return;
    reply->unread = unread;
    reply->unread_len = len;
    reply->guarded_end = reply->end;
    reply->end = MIN(reply->end, (uint8_t *)(uintptr_t)unread);
}

/* Ends the guard. Returns how far the unread part was moved, which is to be added to every pointer
 * to it. */
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
