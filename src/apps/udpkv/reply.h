/*
 * reply.h - where a command writes its answer: a run of pieces of memory. When a piece is full,
 * `more` brings the next one; it belongs to whoever made the reply.
 */
#ifndef UDPKV_REPLY_H
#define UDPKV_REPLY_H

#include "boot/lib.h"

struct reply {
    uint8_t *at, *end; /* the free part of the current piece */
    /* Sets at and end to a new piece; false if there is none, and then the reply is broken. */
    bool (*more)(struct reply *reply);
    bool broken; /* it is incomplete: what is written now is ignored */
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

#endif
