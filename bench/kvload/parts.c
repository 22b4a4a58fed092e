/* SPDX-License-Identifier: BSD-2-Clause */
/* parts.c - see parts.h. */
#include "parts.h"
#include "memory.h"

#include <string.h>

struct parts *parts_create(uint32_t room)
{
    struct parts *parts = memory_grow(NULL, sizeof *parts + room);

    parts->room = room;
    parts_forget(parts);
    return parts;
}

void parts_forget(struct parts *parts)
{
    parts->seen = 0;
    parts->total = parts->bytes = 0;
}

enum parts_state parts_take(struct parts *parts, const uint8_t *datagram, uint32_t len)
{
    if (len <= PARTS_HEADER || len - PARTS_HEADER > PARTS_PAYLOAD)
        return PARTS_WRONG;
    const uint32_t number = (uint32_t)datagram[2] << 8 | datagram[3];
    const uint32_t total = (uint32_t)datagram[4] << 8 | datagram[5];
    len -= PARTS_HEADER;
    if (total > PARTS_MAX || number >= total || (parts->total > 0 && total != parts->total) ||
        parts->seen >> number & 1 || datagram[6] != 0 || datagram[7] != 0 ||
        len > parts->room - parts->bytes)
        return PARTS_WRONG;
    parts->total = total;
    parts->seen |= 1ull << number;
    parts->at[number] = parts->bytes;
    parts->len[number] = len;
    memcpy(parts->text + parts->bytes, datagram + PARTS_HEADER, len);
    parts->bytes += len;
    return parts->seen == UINT64_MAX >> (64 - total) ? PARTS_WHOLE : PARTS_MORE;
}

uint32_t parts_join(const struct parts *parts, uint8_t *to)
{
    uint32_t len = 0;

    for (uint32_t i = 0; i < parts->total; len += parts->len[i++])
        memcpy(to + len, parts->text + parts->at[i], parts->len[i]);
    return len;
}
