/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of reassembly.c: datagrams in pieces, in any order, that fit together or don't. */
#include "boot/boot.h"
#include "boot/test.h"
#include "netbuf/reassembly.h"

enum { SLOTS = 8, MAX_BYTES = 65515, SECOND = 1000000000 };

static struct reassembly *r;
static uint8_t source_bytes[65536];
static uint64_t now_ns;
static struct reassembly_whole whole;

static void start_reassembly(void)
{
    static uint8_t *memory;

    if (!memory)
        memory = boot_alloc(reassembly_bytes(SLOTS), CACHE_LINE);
    CHECK(memory);
    memset(memory, 0, reassembly_bytes(SLOTS));
    r = reassembly_create(memory, SLOTS, 88172645463325252);
    for (uint32_t i = 0; i < sizeof source_bytes; i++)
        source_bytes[i] = (uint8_t)(i * 7 + i / 251);
    now_ns = 100;
}

/* A piece of the datagram with this identification from a host. */
static enum reassembly_result piece_of(uint32_t host, uint32_t identification, uint32_t offset,
                                       uint32_t len, bool more)
{
    struct reassembly_fragment f = {.key = {.identification = identification, .protocol = 17},
                                    .bytes = source_bytes + offset,
                                    .len = len,
                                    .offset = offset,
                                    .max_bytes = MAX_BYTES,
                                    .more = more,
                                    .protocol = offset == 0 ? 17 : 99};

    reassembly_ipv4_address(f.key.source, host);
    reassembly_ipv4_address(f.key.destination, 0x0a00020f);
    return reassembly_add(r, &f, now_ns, &whole);
}

static enum reassembly_result piece(uint32_t offset, uint32_t len, bool more)
{
    return piece_of(1, 1, offset, len, more);
}

static void check_whole(uint32_t len)
{
    CHECK_EQ(whole.len, len);
    CHECK_EQ(whole.protocol, 17);
    CHECK(memcmp(whole.bytes, source_bytes, len) == 0);
    reassembly_release(r, whole.bytes);
}

TEST(reassembly_puts_pieces_together_in_any_order)
{
    static const uint8_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const uint32_t at[] = {0, 1480, 2960, 3333};

    start_reassembly();
    for (uint32_t i = 0; i < ARRAY_LEN(orders); i++)
        for (uint32_t n = 0; n < 3; n++) {
            const uint32_t k = orders[i][n];
            CHECK_EQ(piece(at[k], at[k + 1] - at[k], k < 2),
                     n < 2 ? REASSEMBLY_KEPT : REASSEMBLY_WHOLE);
            if (n == 2)
                check_whole(3333);
        }
    CHECK_EQ(reassembly_stats(r)->wholes, ARRAY_LEN(orders));
}

TEST(reassembly_takes_the_longest_datagram_over_the_smallest_mtu)
{
    enum { PIECE = 552 };

    start_reassembly();
    for (uint32_t at = 0; at + PIECE < MAX_BYTES; at += PIECE)
        CHECK_EQ(piece(at, PIECE, true), REASSEMBLY_KEPT);
    CHECK_EQ(piece(MAX_BYTES / PIECE * PIECE, MAX_BYTES % PIECE, false), REASSEMBLY_WHOLE);
    check_whole(MAX_BYTES);
}

TEST(reassembly_refuses_shapes_that_cannot_be)
{
    start_reassembly();
    CHECK_EQ(piece(0, 0, true), REASSEMBLY_SHAPE);
    CHECK_EQ(piece(0, 1479, true), REASSEMBLY_SHAPE);
    CHECK_EQ(piece(65512, 8, true), REASSEMBLY_SHAPE);
    CHECK_EQ(piece(65512, 4, false), REASSEMBLY_SHAPE);
    CHECK_EQ(piece(65512, 3, false), REASSEMBLY_KEPT);
}

/* Whatever ends a datagram, the rest of it is dropped until its time is over. */
static void check_is_dropped(void)
{
    CHECK_EQ(piece(0, 64, false), REASSEMBLY_REST);
    CHECK_EQ(piece(8000, 64, true), REASSEMBLY_REST);
    now_ns += REASSEMBLY_NS;
    CHECK_EQ(piece(0, 64, false), REASSEMBLY_WHOLE);
    check_whole(64);
    CHECK_EQ(reassembly_stats(r)->late, 0);
}

TEST(reassembly_ends_a_datagram_whose_pieces_overlap)
{
    static const uint32_t overlaps[][2] = {{0, 8},    {64, 64}, {56, 16},  {120, 16},
                                           {56, 144}, {72, 8},  {8, 2000}, {64, 72}};

    for (uint32_t i = 0; i < ARRAY_LEN(overlaps); i++) {
        start_reassembly();
        CHECK_EQ(piece(64, 64, true), REASSEMBLY_KEPT);
        CHECK_EQ(piece(0, 8, true), REASSEMBLY_KEPT);
        source_bytes[7]++;
        source_bytes[64]++;
        source_bytes[79]++;
        source_bytes[127]++;
        CHECK_EQ(piece(overlaps[i][0], overlaps[i][1], true), REASSEMBLY_OVERLAP);
        check_is_dropped();
    }
}

TEST(reassembly_passes_over_pieces_that_come_twice)
{
    start_reassembly();
    CHECK_EQ(piece(64, 64, true), REASSEMBLY_KEPT);
    CHECK_EQ(piece(64, 64, true), REASSEMBLY_AGAIN);
    CHECK_EQ(piece(72, 8, true), REASSEMBLY_AGAIN);
    CHECK_EQ(piece(128, 3, false), REASSEMBLY_KEPT);
    CHECK_EQ(piece(128, 3, false), REASSEMBLY_AGAIN);
    CHECK_EQ(piece(0, 64, true), REASSEMBLY_WHOLE);
    check_whole(131);
}

TEST(reassembly_ends_a_datagram_with_two_ends)
{
    static const struct {
        uint32_t offset, len;
        bool more;
    } others[] = {{136, 8, false}, {120, 8, false}, {128, 4, false},
                  {128, 8, true},  {8000, 8, true}, {0, 136, true}};

    for (uint32_t i = 0; i < ARRAY_LEN(others); i++) {
        start_reassembly();
        CHECK_EQ(piece(128, 3, false), REASSEMBLY_KEPT);
        CHECK_EQ(piece(others[i].offset, others[i].len, others[i].more), REASSEMBLY_END);
        check_is_dropped();
    }
    start_reassembly(); /* the last piece ends before another one */
    CHECK_EQ(piece(128, 8, true), REASSEMBLY_KEPT);
    CHECK_EQ(piece(0, 64, false), REASSEMBLY_END);
    check_is_dropped();
}

TEST(reassembly_ends_a_datagram_of_too_many_pieces)
{
    start_reassembly();
    for (uint32_t i = 0; i < REASSEMBLY_FRAGMENTS; i++)
        CHECK_EQ(piece(8 * i, 8, true), REASSEMBLY_KEPT);
    CHECK_EQ(piece(8 * REASSEMBLY_FRAGMENTS, 8, false), REASSEMBLY_MANY);
    check_is_dropped();
}

TEST(reassembly_gives_up_what_is_late)
{
    start_reassembly();
    CHECK_EQ(piece_of(1, 1, 0, 64, true), REASSEMBLY_KEPT);
    now_ns += REASSEMBLY_NS - SECOND;
    CHECK_EQ(piece_of(1, 2, 0, 64, true), REASSEMBLY_KEPT);
    now_ns += SECOND - 1;
    reassembly_tick(r, now_ns);
    CHECK_EQ(reassembly_stats(r)->late, 0);
    now_ns++;
    reassembly_tick(r, now_ns);
    CHECK_EQ(reassembly_stats(r)->late, 1);
    CHECK_EQ(piece_of(1, 1, 64, 64, false), REASSEMBLY_KEPT); /* of another one by now */
    CHECK_EQ(piece_of(1, 2, 64, 64, false), REASSEMBLY_WHOLE);
    check_whole(128);
    now_ns += REASSEMBLY_NS;
    CHECK_EQ(piece_of(9, 9, 0, 64, true), REASSEMBLY_KEPT);
    CHECK_EQ(reassembly_stats(r)->late, 2);
}

TEST(reassembly_gives_a_source_its_share_and_no_more)
{
    start_reassembly();
    for (uint32_t i = 0; i < SLOTS / 2; i++)
        CHECK_EQ(piece_of(2, i, 0, 64, true), REASSEMBLY_KEPT);
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(piece_of(1, i, 0, 64, true), REASSEMBLY_KEPT);
    CHECK_EQ(reassembly_stats(r)->share, 1000 - SLOTS / 2);
    CHECK_EQ(reassembly_stats(r)->crowded, 0);
    for (uint32_t i = 0; i < SLOTS / 2; i++) {
        CHECK_EQ(piece_of(2, i, 64, 64, false), REASSEMBLY_WHOLE);
        check_whole(128);
    }
    CHECK_EQ(piece_of(1, 999, 64, 64, false), REASSEMBLY_WHOLE); /* the newest one is there */
    check_whole(128);
}

TEST(reassembly_gives_up_the_oldest_when_there_is_no_slot)
{
    start_reassembly();
    for (uint32_t host = 0; host < 100; host++) {
        CHECK_EQ(piece_of(host, 1, 0, 64, true), REASSEMBLY_KEPT);
        CHECK_EQ(reassembly_stats(r)->crowded, host < SLOTS ? 0 : host + 1 - SLOTS);
    }
    for (uint32_t host = 100 - SLOTS; host < 100; host++) {
        CHECK_EQ(piece_of(host, 1, 64, 64, false), REASSEMBLY_WHOLE);
        check_whole(128);
    }
}

TEST(reassembly_leaves_whole_datagrams_alone_until_they_are_released)
{
    uint8_t *kept[SLOTS];

    start_reassembly();
    for (uint32_t i = 0; i < SLOTS; i++) {
        CHECK_EQ(piece_of(i, 1, 0, 64, true), REASSEMBLY_KEPT);
        CHECK_EQ(piece_of(i, 1, 64, 64 + i, false), REASSEMBLY_WHOLE);
        kept[i] = whole.bytes;
    }
    now_ns += 2 * REASSEMBLY_NS;
    CHECK_EQ(piece_of(99, 1, 0, 64, true), REASSEMBLY_NO_ROOM);
    for (uint32_t i = 0; i < SLOTS; i++) {
        CHECK(memcmp(kept[i], source_bytes, 128 + i) == 0);
        reassembly_release(r, kept[i] + 8);
    }
    CHECK_PANICS(reassembly_release(r, kept[0]));
    CHECK_EQ(piece_of(99, 1, 0, 64, true), REASSEMBLY_KEPT);
}

TEST(reassembly_keeps_apart_what_differs_in_any_part_of_the_key)
{
    struct reassembly_fragment f = {.bytes = source_bytes, .len = 8, .max_bytes = 8, .more = true};
    uint8_t *key = (uint8_t *)&f.key;

    for (uint32_t i = 0; i < sizeof f.key; i++) {
        start_reassembly();
        f.offset = 0;
        f.more = true;
        memset(key, 0, sizeof f.key);
        CHECK_EQ(reassembly_add(r, &f, now_ns, &whole), REASSEMBLY_KEPT);
        key[i] = 1;
        CHECK_EQ(reassembly_add(r, &f, now_ns, &whole), REASSEMBLY_KEPT);
        key[i] = 0;
        CHECK_EQ(reassembly_add(r, &f, now_ns, &whole), REASSEMBLY_AGAIN);
    }
}

static uint64_t dice_state;

static uint32_t dice(uint32_t limit)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (uint32_t)(dice_state >> 32) % limit;
}

/* Random pieces of few datagrams, most of which fit together: what is told to be whole is so to the
 * byte, and each slot comes back. */
TEST(reassembly_survives_anything)
{
    enum { PIECES = 300000 };
    uint32_t results[REASSEMBLY_RESULTS] = {0}, held = 0;
    uint8_t *hold[SLOTS];

    start_reassembly();
    dice_state = 2463534242;
    for (uint32_t i = 0; i < PIECES; i++) {
        const uint32_t id = dice(dice(8) ? 6 : 40), units = 4 + id % 8, at = dice(units);
        const uint32_t more = at + 1 < units, odd = dice(300) == 0;
        uint32_t offset = at * 104, len = more ? 104 : 1 + id;
        if (odd) {
            offset = dice(dice(2) ? 100 : 8192) * 8;
            len = dice(3000);
        }
        now_ns += dice(2000) == 0 ? REASSEMBLY_NS / 2 : 1;
        enum reassembly_result result = piece_of(id % 5, id, offset, len, odd ? dice(2) : more);
        results[result]++;
        if (result == REASSEMBLY_WHOLE) {
            CHECK(memcmp(whole.bytes, source_bytes, whole.len) == 0);
            hold[held++] = whole.bytes;
        }
        while (held > 0 && (dice(8) == 0 || held == SLOTS - (i < PIECES / 2)))
            reassembly_release(r, hold[--held]);
    }
    for (uint32_t i = 0; i < REASSEMBLY_RESULTS; i++)
        CHECK(i == REASSEMBLY_MANY || i == REASSEMBLY_NO_ROOM || results[i] > 10);
    while (held > 0)
        reassembly_release(r, hold[--held]);
    for (uint32_t i = 0; i < SLOTS; i++)
        CHECK_EQ(piece_of(1000 + i, 1, 0, 64, true), REASSEMBLY_KEPT);
}
