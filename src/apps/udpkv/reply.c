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

RUNS_SELDOM void reply_header(struct reply *reply, uint16_t status, uint32_t extras_len,
                              uint32_t key_len, uint32_t body_len, uint64_t cas)
{
    uint8_t header[REPLY_HEADER_BYTES] = {0x81, reply->packet[1]};

    store_be16(header + 2, (uint16_t)key_len);
    header[4] = (uint8_t)extras_len;
    store_be16(header + 6, status);
    store_be32(header + 8, body_len);
    memcpy(header + 12, reply->packet + 12, 4); /* opaque: as the client gave it */
    store_be32(header + 16, (uint32_t)(cas >> 32));
    store_be32(header + 20, (uint32_t)cas);
    reply_put(reply, header, sizeof header);
}

RUNS_SELDOM void reply_error(struct reply *reply, uint16_t status, const char *text)
{
    reply_header(reply, status, 0, 0, (uint32_t)strlen(text), 0);
    reply_text(reply, text);
}
