/* SPDX-License-Identifier: BSD-2-Clause */
/* reply.c - writes an answer into pieces of memory; see reply.h. */
#include "apps/udpkv/reply.h"

/* Moves the unread part of the request aside, as the answer has reached it. */
static void move_unread_aside(struct reply *reply)
{
    memcpy(reply->aside, reply->unread, reply->unread_len);
    reply->moved = reply->aside - reply->unread;
    reply->end = reply->guarded_end;
    reply->unread = NULL;
    reply->aside = NULL; /* it holds the unread part from now on */
}

void reply_put_split(struct reply *reply, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;

    while (!reply->broken && len > 0) {
        size_t part = MIN(len, (size_t)(reply->end - reply->at));
        memcpy(reply->at, from, part);
        reply->at += part;
        from += part;
        len -= part;
        if (len > 0 && reply->unread) {
            move_unread_aside(reply);
        } else if (len > 0 && !reply->more(reply)) {
            reply->broken = true;
            reply->at = reply->end; /* later writes come here, too, and are ignored */
        }
    }
}

void reply_text(struct reply *reply, const char *text)
{
    reply_put(reply, text, strlen(text));
}

void reply_u64(struct reply *reply, uint64_t number)
{
    char text[20];
    size_t at = sizeof text;

    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    reply_put(reply, text + at, sizeof text - at);
}
