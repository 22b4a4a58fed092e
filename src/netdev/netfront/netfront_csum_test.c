/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of finding and completing checksums that are left open in a packet. */
#include "boot/test.h"
#include "netbuf/checksum.h"
#include "netdev/netfront/netfront_csum.h"

enum { FRAME = 120, ETHER = 14 };

/* A frame of zeroes with the type, and `next` as the first byte that tells what is behind the
 * header of IP. */
static struct netbuf *make(uint16_t type, uint8_t next)
{
    static struct netbuf_pool *pool;
    struct netbuf *nb;

    if (!pool)
        pool = netbuf_pool_create(
            &(struct netbuf_pool_conf){.name = "csum_test", .count = 2, .buf_bytes = 256});
    CHECK(pool);
    nb = netbuf_alloc(pool);
    CHECK(nb);
    memset(netbuf_append(nb, FRAME), 0, FRAME);
    store_be16(nb->data + 12, type);
    nb->data[ETHER] = type == 0x0800 ? 0x45 : 0x60;
    nb->data[ETHER + (type == 0x0800 ? 9 : 6)] = next;
    return nb;
}

static void check_found(struct netbuf *nb, uint32_t start, uint32_t offset)
{
    CHECK(netfront_csum_find(nb));
    CHECK_EQ(nb->flags, NETBUF_CSUM_PARTIAL);
    CHECK_EQ(nb->csum_start, start);
    CHECK_EQ(nb->csum_offset, offset);
    CHECK(netfront_csum_known(nb, true, true));
    /* A packet that ends before its sum has none. */
    netbuf_trim(nb, start + offset + 2);
    CHECK(netfront_csum_find(nb));
    for (uint32_t len = start + offset + 2; len-- > 0;) {
        netbuf_trim(nb, len);
        CHECK(!netfront_csum_find(nb) && !netfront_csum_known(nb, true, true));
    }
    netbuf_free(nb);
}

TEST(netfront_csum_finds_udp_and_tcp)
{
    check_found(make(0x0800, 17), ETHER + 20, 6);
    check_found(make(0x0800, 6), ETHER + 20, 16);
    check_found(make(0x86dd, 17), ETHER + 40, 6);
    check_found(make(0x86dd, 6), ETHER + 40, 16);
}

TEST(netfront_csum_passes_over_headers_of_ipv6)
{
    struct netbuf *nb = make(0x86dd, 0); /* hop by hop, 8 bytes; destination, 16; TCP */

    nb->data[ETHER + 40] = 60;
    nb->data[ETHER + 48] = 6;
    nb->data[ETHER + 49] = 1;
    check_found(nb, ETHER + 40 + 8 + 16, 16);
    nb = make(0x86dd, 0); /* hop by hop without end */
    CHECK(!netfront_csum_find(nb));
    netbuf_free(nb);
}

TEST(netfront_csum_finds_nothing_elsewhere)
{
    static const struct {
        uint16_t type;
        uint8_t next;
    } others[] = {{0x0800, 1}, {0x86dd, 58}, {0x0806, 17}, {0x86dd, 44}, {0, 0}};

    for (uint32_t i = 0; i < ARRAY_LEN(others); i++) {
        struct netbuf *nb = make(others[i].type, others[i].next);
        CHECK(!netfront_csum_find(nb));
        netbuf_free(nb);
    }
}

TEST(netfront_csum_is_known_only_in_its_place)
{
    struct netbuf *nb = make(0x0800, 17);

    nb->csum_start = ETHER + 20;
    nb->csum_offset = 6;
    CHECK(netfront_csum_known(nb, true, false));
    CHECK(!netfront_csum_known(nb, false, true));
    nb->csum_offset = 16;
    CHECK(!netfront_csum_known(nb, true, true));
    nb->csum_offset = 6;
    nb->csum_start++;
    CHECK(!netfront_csum_known(nb, true, true));
    netbuf_free(nb);
}

TEST(netfront_csum_completes)
{
    struct netbuf *nb = make(0x0800, 17);
    const uint32_t start = ETHER + 20;

    for (uint32_t i = start; i < FRAME; i++)
        nb->data[i] = (uint8_t)(i * 7);
    nb->flags = NETBUF_CSUM_PARTIAL;
    nb->csum_start = (uint16_t)start;
    nb->csum_offset = 6;
    store_be16(nb->data + start + 6, 0x1234); /* the pseudo header's */
    CHECK(netfront_csum_finish(nb));
    CHECK_EQ(nb->flags, 0);
    CHECK_EQ(csum_fold(csum_add(be16(0x1234), nb->data + start, FRAME - start)), 0xffff);
    memset(nb->data + start, 0, FRAME - start);
    store_be16(nb->data + start + 6, 0xffff); /* a sum of 0 is told as 0xffff */
    CHECK(netfront_csum_finish(nb));
    CHECK_EQ(load_be16(nb->data + start + 6), 0xffff);
    nb->csum_start = FRAME - 7;
    CHECK(!netfront_csum_finish(nb)); /* outside */
    netbuf_free(nb);
}
