/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of checksum.h: the examples of the RFCs, and all short lengths at all alignments. */
#include "boot/test.h"
#include "netbuf/checksum.h"

/* As RFC 1071 tells it, a word at a time, in host order. */
static uint16_t slow_sum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void fill(uint8_t *data, size_t len)
{
    uint32_t x = 12345;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (uint8_t)(x >> 24);
    }
}

TEST(csum_of_the_rfc_1071_example)
{
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    CHECK_EQ(be16(csum_fold(csum_add(0, data, sizeof data))), 0xddf2);
    CHECK_EQ(be16(csum_finish(csum_add(0, data, sizeof data))), 0x220d);
}

TEST(csum_of_an_ipv4_header)
{
    uint8_t data[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                      0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

    CHECK_EQ(be16(csum_finish(csum_add(0, data, sizeof data))), 0xb861);
    CHECK_EQ(be16(csum_finish(csum_add_20(0, data))), 0xb861);
    store_be16(data + 10, 0xb861);
    CHECK_EQ(csum_fold(csum_add_20(0, data)), 0xffff);
}

TEST(csum_update_of_the_rfc_1624_example)
{
    CHECK_EQ(be16(csum_update(be16(0xdd2f), be16(0x5555), be16(0x3285))), 0xffff); /* or 0 */
}

TEST(csum_update_to_a_packet_of_zeroes)
{
    CHECK_EQ(csum_update(be16(0xf7ff), be16(0x0800), 0), csum_finish(0));
}

TEST(csum_update_is_like_summing_again)
{
    uint8_t data[64];

    fill(data, sizeof data);
    for (uint32_t word = 0; word < 0x10000; word += 251) {
        uint16_t before, after, sum = csum_finish(csum_add(0, data, sizeof data));
        memcpy(&before, data + 6, 2);
        store_be16(data + 6, (uint16_t)word);
        memcpy(&after, data + 6, 2);
        CHECK_EQ(csum_update(sum, before, after), csum_finish(csum_add(0, data, sizeof data)));
    }
}

TEST(csum_of_every_length_and_alignment)
{
    static uint8_t data[8 + 300];

    fill(data, sizeof data);
    for (size_t start = 0; start < 8; start++)
        for (size_t len = 0; len <= 300; len++)
            CHECK_EQ(be16(csum_fold(csum_add(0, data + start, len))), slow_sum(data + start, len));
}

TEST(csum_carries_to_the_end)
{
    static uint8_t data[1501];

    memset(data, 0xff, sizeof data);
    for (size_t len = 1; len <= sizeof data; len++)
        CHECK_EQ(be16(csum_fold(csum_add(0, data, len))), slow_sum(data, len));
    CHECK_EQ(csum_fold(csum_add(UINT64_MAX, data, 8)), 0xffff);
    CHECK_EQ(csum_fold(csum_carry(UINT64_MAX, 1)), 1);
}

TEST(csum_of_udp_is_never_zero)
{
    CHECK_EQ(csum_finish(0xffff), 0);
    CHECK_EQ(csum_finish_udp(0xffff), 0xffff);
    for (uint32_t sum = 1; sum < 0xffff; sum++)
        CHECK_EQ(csum_finish_udp(sum), csum_finish(sum));
}

TEST(csum_in_pieces_is_the_sum_of_the_whole)
{
    static uint8_t data[200];

    fill(data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut += 2) {
        uint64_t sum = csum_add(csum_add(0, data, cut), data + cut, sizeof data - cut);
        CHECK_EQ(be16(csum_fold(sum)), slow_sum(data, sizeof data));
    }
}

TEST(csum_pseudo_is_the_sum_of_the_pseudo_header)
{
    static const uint8_t header[] = {192, 168, 0, 1, 10, 255, 254, 15, 0, 17, 0x05, 0xdc};

    CHECK_EQ(csum_fold(csum_pseudo(0xc0a80001, 0x0afffe0f, 17, 1500)),
             csum_fold(csum_add(0, header, sizeof header)));
}
