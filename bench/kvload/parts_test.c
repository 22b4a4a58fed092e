/* SPDX-License-Identifier: BSD-2-Clause */
/* parts_test.c - tests parts.c. Prints `ok NAME` for each, ends with 1 at the first that fails. */
#include "check.h"
#include "parts.h"
#include "pattern.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 200 };

static struct rng rng = {7};

static enum parts_state take(struct parts *parts, uint32_t number, uint32_t total, uint32_t len)
{
    uint8_t *bytes = malloc(PARTS_HEADER + len); /* of exactly the size, for the sanitizer */
    const uint8_t header[PARTS_HEADER] = {
        0, 1, (uint8_t)(number >> 8), (uint8_t)number, (uint8_t)(total >> 8), (uint8_t)total};

    memcpy(bytes, header, PARTS_HEADER);
    for (uint32_t i = 0; i < len; i++)
        bytes[PARTS_HEADER + i] = (uint8_t)(number + i);
    enum parts_state state = parts_take(parts, bytes, PARTS_HEADER + len);
    free(bytes);
    return state;
}

static void parts_come_in_any_order(void)
{
    static const uint32_t orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    struct parts *parts = parts_create(3);
    uint8_t whole[3];

    for (uint32_t i = 0; i < 3; i++) {
        CHECK(take(parts, orders[i][0], 3, 1) == PARTS_MORE);
        CHECK(take(parts, orders[i][1], 3, 1) == PARTS_MORE);
        CHECK(take(parts, orders[i][2], 3, 1) == PARTS_WHOLE);
        CHECK(parts_join(parts, whole) == 3 && memcmp(whole, "\0\1\2", 3) == 0);
        parts_forget(parts);
    }
    free(parts);
}

static void as_many_as_there_may_be(void)
{
    struct parts *parts = parts_create(PARTS_MAX * PARTS_PAYLOAD);

    for (uint32_t i = PARTS_MAX - 1; i > 0; i--)
        CHECK(take(parts, i, PARTS_MAX, PARTS_PAYLOAD) == PARTS_MORE);
    CHECK(take(parts, 0, PARTS_MAX, PARTS_PAYLOAD) == PARTS_WHOLE);
    CHECK(parts->bytes == PARTS_MAX * PARTS_PAYLOAD);
    free(parts);
}

static void what_is_no_part_is_left_out(void)
{
    struct parts *parts = parts_create(ROOM);
    static const uint8_t reserved[] = {0, 1, 0, 0, 0, 2, 0, 1, 'x'};

    CHECK(take(parts, 1, 3, ROOM - 1) == PARTS_MORE);
    CHECK(take(parts, 1, 3, 1) == PARTS_WRONG); /* twice */
    CHECK(take(parts, 3, 3, 1) == PARTS_WRONG); /* beyond the total */
    CHECK(take(parts, UINT16_MAX, 3, 1) == PARTS_WRONG);
    CHECK(take(parts, 0, 2, 1) == PARTS_WRONG); /* another total */
    CHECK(take(parts, 0, 4, 1) == PARTS_WRONG);
    CHECK(take(parts, 0, 0, 1) == PARTS_WRONG);
    CHECK(take(parts, 0, 3, 0) == PARTS_WRONG); /* empty */
    CHECK(take(parts, 0, 3, 2) == PARTS_WRONG); /* no room */
    CHECK(take(parts, 0, 3, PARTS_PAYLOAD + 1) == PARTS_WRONG);
    CHECK(parts_take(parts, reserved, PARTS_HEADER - 1) == PARTS_WRONG);
    parts_forget(parts);
    CHECK(parts_take(parts, reserved, sizeof reserved) == PARTS_WRONG);
    CHECK(take(parts, 0, PARTS_MAX + 1, 1) == PARTS_WRONG);
    CHECK(parts->total == 0 && parts->seen == 0);
    free(parts);
}

static void nothing_fills_more_than_the_room(void)
{
    struct parts *parts = parts_create(ROOM);
    uint8_t whole[ROOM];
    uint32_t whole_ones = 0;

    for (uint32_t i = 0; i < 300000; i++) {
        uint32_t total = (uint32_t)rng_below(&rng, 5), number = (uint32_t)rng_below(&rng, 5);
        if (rng_below(&rng, 50) == 0)
            number = (uint32_t)rng_below(&rng, 1 << 16);
        if (rng_below(&rng, 50) == 0)
            total = (uint32_t)rng_below(&rng, 1 << 16);
        switch (take(parts, number, total, (uint32_t)rng_below(&rng, ROOM / 2))) {
        case PARTS_WHOLE:
            whole_ones++;
            CHECK(parts_join(parts, whole) == parts->bytes);
            parts_forget(parts);
            break;
        default:
            if (rng_below(&rng, 20) == 0)
                parts_forget(parts);
        }
        CHECK(parts->bytes <= ROOM);
    }
    CHECK(whole_ones > 1000);
    free(parts);
}

int main(void)
{
    RUN(parts_come_in_any_order);
    RUN(as_many_as_there_may_be);
    RUN(what_is_no_part_is_left_out);
    RUN(nothing_fills_more_than_the_room);
}
