/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of pool.c: pools, chains, and what must not be freed. */
#include "boot/boot.h"
#include "boot/test.h"
#include "netbuf/netbuf.h"

enum { COUNT = 16, BUF_BYTES = 512, HEADROOM = 64, PRIV_BYTES = 100 };

static const struct netbuf_pool_conf small = {"small", COUNT, BUF_BYTES, HEADROOM, PRIV_BYTES};

static struct netbuf_pool *make(const struct netbuf_pool_conf *conf)
{
    struct netbuf_pool *pool = netbuf_pool_create(conf);

    CHECK(pool);
    CHECK(netbuf_pool_whole(pool));
    return pool;
}

/* One pool for most tests; each gives back all that it took. */
static struct netbuf_pool *shared_pool(void)
{
    static struct netbuf_pool *pool;

    if (!pool || !netbuf_pool_whole(pool)) /* a failed test may have kept some */
        pool = make(&small);
    return pool;
}

/* A packet of `pieces` buffers, `len` bytes in each, counting up from `first`. */
static struct netbuf *packet_of(struct netbuf_pool *pool, uint32_t pieces, uint32_t len,
                                uint8_t first)
{
    struct netbuf *packet = NULL;

    for (uint32_t i = 0; i < pieces; i++) {
        struct netbuf *nb = netbuf_alloc(pool);
        CHECK(nb && netbuf_append(nb, len));
        for (uint32_t at = 0; at < len; at++)
            nb->data[at] = first++;
        if (packet)
            netbuf_chain(packet, nb);
        else
            packet = nb;
    }
    return packet;
}

TEST(pool_limits)
{
    static const struct netbuf_pool_conf bad[] = {
        {"no buffer", 0, 2048, 0, 0},     {"too many", (1 << 20) + 1, 2048, 0, 0},
        {"too small", 1, 64, 0, 0},       {"too large", 1, 8192, 0, 0},
        {"no lines", 1, 1500, 0, 0},      {"size 0", 1, 0, 0, 0},
        {"headroom", 1, 128, 65, 0},      {"all headroom", 1, 2048, 2048, 0},
        {"headroom+", 1, 128, 0xffff, 0}, {"private", 1, 2048, 0, 1025},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!netbuf_pool_create(&bad[i]));
    make(&(struct netbuf_pool_conf){"least", 1, 128, 64, 0});
    make(&(struct netbuf_pool_conf){"most", 1, 4096, 4032, 1024});
}

TEST(pool_is_not_made_without_memory)
{
    /* Larger than what is left, on a machine of less than 4 GiB. */
    struct netbuf_pool_conf huge = {"huge", 1 << 20, 4096, 0, 0};
    size_t free_bytes = boot_alloc_max();

    if (netbuf_pool_bytes(&huge) <= free_bytes)
        return;
    CHECK(!netbuf_pool_create(&huge));
    CHECK_EQ(boot_alloc_max(), free_bytes);
}

TEST(pool_tells_what_it_takes)
{
    size_t before = boot_alloc_max();
    make(&small);

    CHECK(netbuf_pool_bytes(&small) >= COUNT * (BUF_BYTES + 64 + 128 + sizeof(void *)));
    CHECK(before - boot_alloc_max() <= netbuf_pool_bytes(&small) + PAGE_SIZE);
}

TEST(pool_hands_out_empty_buffers)
{
    struct netbuf_pool *pool = shared_pool();
    struct netbuf *nb = netbuf_alloc(pool);

    CHECK(nb);
    nb->flags = NETBUF_CSUM_PARTIAL;
    CHECK(netbuf_append(nb, 10));
    CHECK(netbuf_prepend(nb, 10));
    nb->next = netbuf_alloc(pool);
    netbuf_free(nb);
    struct netbuf *bufs[2];
    CHECK_EQ(netbuf_alloc_bulk(pool, bufs, 2), 2);
    CHECK(bufs[0] == nb || bufs[1] == nb); /* given back last, so among the first to go */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(bufs[i]->len, 0);
        CHECK_EQ(bufs[i]->flags, 0);
        CHECK(!bufs[i]->next);
        CHECK_EQ(netbuf_headroom(bufs[i]), HEADROOM);
        CHECK_EQ(netbuf_tailroom(bufs[i]), BUF_BYTES - HEADROOM);
    }
    netbuf_free_bulk(bufs, 2);
    CHECK(netbuf_pool_whole(pool));
}

TEST(pool_gives_every_buffer_once)
{
    struct netbuf_pool *pool = shared_pool();
    struct netbuf *bufs[COUNT + 1];

    CHECK_EQ(netbuf_pool_count(pool), COUNT);
    CHECK_EQ(netbuf_alloc_bulk(pool, bufs, 3), 3);
    CHECK_EQ(netbuf_pool_free_count(pool), COUNT - 3);
    CHECK_EQ(netbuf_alloc_bulk(pool, bufs + 3, COUNT), COUNT - 3);
    CHECK_EQ(netbuf_alloc_bulk(pool, bufs + COUNT, 1), 0);
    CHECK(!netbuf_alloc(pool));
    CHECK(!netbuf_pool_whole(pool));
    for (uint32_t i = 0; i < COUNT; i++) {
        for (uint32_t j = 0; j < i; j++)
            CHECK(bufs[i] != bufs[j] && bufs[i]->start != bufs[j]->start);
        memset(bufs[i]->start, (int)i, BUF_BYTES);
        memset(netbuf_priv(bufs[i]), 0x80 | (int)i, PRIV_BYTES);
    }
    for (uint32_t i = 0; i < COUNT; i++) { /* nobody wrote over anybody */
        CHECK_EQ(bufs[i]->start[0], i);
        CHECK_EQ(bufs[i]->start[BUF_BYTES - 1], i);
        CHECK_EQ(((uint8_t *)netbuf_priv(bufs[i]))[PRIV_BYTES - 1], 0x80 | i);
    }
    netbuf_free_bulk(bufs, COUNT);
    CHECK(netbuf_pool_whole(pool));
}

TEST(pool_alignment)
{
    enum { N = 5 };
    static const uint16_t sizes[] = {128, 192, 1024, 1600, 2048, 4096};

    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct netbuf_pool *pool = make(&(struct netbuf_pool_conf){"sizes", N, sizes[s], 0, 1});
        struct netbuf *bufs[N];
        CHECK_EQ(netbuf_alloc_bulk(pool, bufs, N), N);
        for (int i = 0; i < N; i++) {
            uintptr_t at = (uintptr_t)bufs[i]->start;
            CHECK_EQ(at / PAGE_SIZE, (at + sizes[s] - 1) / PAGE_SIZE);
            CHECK_EQ(at % CACHE_LINE, 0);
            CHECK_EQ((uintptr_t)bufs[i] % CACHE_LINE, 0);
            CHECK_EQ((uintptr_t)netbuf_priv(bufs[i]) % CACHE_LINE, 0);
            CHECK((uintptr_t)bufs[i] / PAGE_SIZE != at / PAGE_SIZE); /* only packets in there */
            memset(bufs[i]->start, i, sizes[s]);
        }
        for (int i = 0; i < N; i++) { /* none lies over another */
            CHECK_EQ(bufs[i]->start[0], i);
            CHECK_EQ(bufs[i]->start[sizes[s] - 1], i);
        }
        netbuf_free_bulk(bufs, N);
        CHECK(netbuf_pool_whole(pool));
    }
}

TEST(pool_begins_pages_at_different_lines)
{
    struct netbuf_pool *pool = make(&(struct netbuf_pool_conf){"places", 20, 1600, 0, 0});
    uint64_t seen = 0; /* the lines of a page, as bits */
    struct netbuf *bufs[20];

    CHECK_EQ(netbuf_alloc_bulk(pool, bufs, 20), 20);
    for (int i = 0; i < 20; i++) {
        uint64_t line = 1ull << (uintptr_t)bufs[i]->start % PAGE_SIZE / CACHE_LINE;
        CHECK(!(seen & line));
        seen |= line;
    }
    netbuf_free_bulk(bufs, 20);
}

TEST(pool_keeps_private_area_over_free_and_alloc)
{
    struct netbuf_pool *pool = shared_pool();
    struct netbuf *nb = netbuf_alloc(pool);

    memset(netbuf_priv(nb), 0x5a, PRIV_BYTES);
    netbuf_free(nb);
    CHECK(netbuf_alloc(pool) == nb);
    CHECK_EQ(((uint8_t *)netbuf_priv(nb))[PRIV_BYTES - 1], 0x5a);
    netbuf_free(nb);
}

TEST(pool_frees_packets_of_several_pools)
{
    struct netbuf_pool *a = shared_pool(), *b = make(&small);
    struct netbuf *packets[] = {packet_of(a, 1, 1, 0), packet_of(b, 3, 1, 0), NULL,
                                packet_of(a, 2, 1, 0), packet_of(b, 1, 1, 0)};

    netbuf_chain(packets[0], packet_of(b, 2, 1, 0)); /* pieces of both pools in one packet */
    CHECK_EQ(netbuf_pool_free_count(a), COUNT - 3);
    CHECK_EQ(netbuf_pool_free_count(b), COUNT - 6);
    netbuf_free_bulk(packets, ARRAY_LEN(packets));
    CHECK(netbuf_pool_whole(a) && netbuf_pool_whole(b));
    netbuf_free(NULL);
    netbuf_free_bulk(packets, 0);
}

TEST(pool_stays_whole_in_random_use)
{
    struct netbuf_pool *pool = shared_pool();
    struct netbuf *held[COUNT];
    uint32_t n = 0, x = 1;

    for (int i = 0; i < 20000; i++) {
        x = x * 1664525 + 1013904223;
        uint32_t want = x >> 28;
        if (x >> 27 & 1) {
            n += netbuf_alloc_bulk(pool, held + n, want);
        } else {
            want = MIN(want, n);
            n -= want;
            netbuf_free_bulk(held + n, want);
        }
        CHECK_EQ(netbuf_pool_free_count(pool), COUNT - n);
    }
    netbuf_free_bulk(held, n);
    CHECK(netbuf_pool_whole(pool));
}

TEST(pool_frees_a_burst_of_all_kinds)
{
    struct netbuf_pool *a = shared_pool(), *b = make(&small);
    struct netbuf *mixed[] = {packet_of(a, 1, 1, 0),
                              packet_of(a, 1, 1, 0),
                              packet_of(a, 3, 1, 0),
                              packet_of(a, 1, 1, 0),
                              packet_of(b, 1, 1, 0),
                              packet_of(a, 1, 1, 0),
                              NULL,
                              packet_of(a, 2, 1, 0)};
    struct netbuf *bufs[COUNT];

    netbuf_free_bulk(mixed, 1);
    CHECK_EQ(netbuf_pool_free_count(a), COUNT - 8);
    netbuf_free_bulk(mixed + 1, ARRAY_LEN(mixed) - 1);
    CHECK(netbuf_pool_whole(a) && netbuf_pool_whole(b));
    CHECK_EQ(netbuf_alloc_bulk(a, bufs, COUNT), COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK(!bufs[i]->next); /* no packet is left of the chains */
    netbuf_free_bulk(bufs, COUNT);
}

TEST(pool_hands_out_a_burst_in_the_order_it_came)
{
    struct netbuf_pool *pool = shared_pool();
    struct netbuf *bufs[COUNT], *again[COUNT];

    CHECK_EQ(netbuf_alloc_bulk(pool, bufs, COUNT), COUNT);
    netbuf_free_bulk(bufs, COUNT);
    CHECK_EQ(netbuf_alloc_bulk(pool, again, COUNT), COUNT);
    CHECK_EQ(memcmp(bufs, again, sizeof bufs), 0);
    netbuf_free_bulk(again, COUNT);
}

/* What is right in a burst goes back, what isn't is refused, wherever it stands. */
TEST(pool_refuses_in_a_burst)
{
    struct netbuf_pool *pool = make(&small), *other = make(&small);
    struct netbuf *nb = netbuf_alloc(pool), *freed = netbuf_alloc(pool), *above[3];
    static struct netbuf copy;

    copy = *nb;
    CHECK_EQ(netbuf_alloc_bulk(pool, above, 3), 3);
    netbuf_free(freed);
    netbuf_free_bulk(above, 3); /* so the bursts below don't take `freed` again */
    struct netbuf *const wrong[] = {freed, &copy, (struct netbuf *)((uint8_t *)nb + 8),
                                    (struct netbuf *)netbuf_priv(nb)};
    for (volatile size_t at = 0; at < 3; at++)
        for (volatile size_t i = 0; i < ARRAY_LEN(wrong); i++) {
            struct netbuf *burst[3];
            CHECK_EQ(netbuf_pool_free_count(pool), COUNT - 1);
            for (size_t k = 0; k < 3; k++)
                burst[k] = k == at ? wrong[i] : netbuf_alloc(k == 0 ? other : pool);
            CHECK_PANICS(netbuf_free_bulk(burst, 3));
            for (size_t k = at + 1; k < 3; k++) /* what stood behind it is still in use */
                netbuf_free(burst[k]);
            CHECK(netbuf_pool_whole(other));
        }
    nb->pool = other; /* written over: it is neither's now */
    CHECK_PANICS(netbuf_free(nb));
    nb->pool = pool;
    netbuf_free(nb);
    CHECK(netbuf_pool_whole(pool));
}

TEST(pool_refuses_double_free)
{
    struct netbuf_pool *pool = make(&small);
    struct netbuf *nb = netbuf_alloc(pool), *packet = packet_of(pool, 2, 1, 0);
    struct netbuf *twice[] = {netbuf_alloc(pool), NULL};

    netbuf_free(nb);
    CHECK_PANICS(netbuf_free(nb));
    netbuf_free(packet->next);
    CHECK_PANICS(netbuf_free(packet)); /* its second piece is free already */
    twice[1] = twice[0];
    CHECK_PANICS(netbuf_free_bulk(twice, 2));
    CHECK(netbuf_pool_whole(pool)); /* what was refused changed nothing */
}

TEST(pool_refuses_what_is_no_netbuf)
{
    struct netbuf_pool *pool = make(&small);
    struct netbuf *nb = netbuf_alloc(pool);
    static struct netbuf copy, blank;
    static uint64_t not_a_pool[64];

    copy = *nb; /* all fields right, but it is not the pool's */
    CHECK_PANICS(netbuf_free(&copy));
    CHECK_PANICS(netbuf_free(&blank));
    CHECK_PANICS(netbuf_free((struct netbuf *)(nb->start + 4)));
    CHECK_PANICS(netbuf_free((struct netbuf *)((uint8_t *)nb + 8)));
    CHECK_PANICS(netbuf_free(netbuf_priv(nb)));
    copy.pool = (struct netbuf_pool *)not_a_pool;
    CHECK_PANICS(netbuf_free(&copy));
    netbuf_free(nb);
    CHECK(netbuf_pool_whole(pool));
}

TEST(pool_whole_sees_what_was_overwritten)
{
    struct netbuf_pool *pool = make(&small);
    struct netbuf *nb = netbuf_alloc(pool);
    uint8_t *start = nb->start;

    netbuf_free(nb);
    nb->start++;
    CHECK(!netbuf_pool_whole(pool));
    nb->start = start;
    CHECK(netbuf_pool_whole(pool));
    nb->index++;
    CHECK(!netbuf_pool_whole(pool));
    nb->index--;
    nb->next = nb;
    CHECK(!netbuf_pool_whole(pool));
    nb->next = NULL;
    CHECK(netbuf_pool_whole(pool));
    nb->check++;
    CHECK(!netbuf_pool_whole(pool));
    CHECK_PANICS(netbuf_alloc(pool));
}

TEST(netbuf_grows_and_shrinks)
{
    struct netbuf *nb = netbuf_alloc(shared_pool());
    uint8_t *data = nb->data;

    CHECK(!netbuf_prepend(nb, HEADROOM + 1));
    CHECK(!netbuf_append(nb, BUF_BYTES - HEADROOM + 1));
    CHECK(!netbuf_trim_front(nb, 1));
    CHECK_EQ(nb->len, 0);
    CHECK(netbuf_append(nb, BUF_BYTES - HEADROOM) == data);
    CHECK(!netbuf_append(nb, 1));
    CHECK(netbuf_prepend(nb, HEADROOM) == nb->start);
    CHECK_EQ(nb->len, BUF_BYTES);
    CHECK(netbuf_trim_front(nb, 100) == nb->start + 100);
    netbuf_trim(nb, 500);
    CHECK_EQ(nb->len, BUF_BYTES - 100);
    netbuf_trim(nb, 10);
    CHECK_EQ(nb->len, 10);
    CHECK_EQ(netbuf_tailroom(nb), BUF_BYTES - 110);
    netbuf_free(nb);
}

TEST(netbuf_chain_and_linearize)
{
    struct netbuf_pool *pool = shared_pool();
    struct netbuf *packet = packet_of(pool, 2, 50, 0);

    netbuf_chain(packet, packet_of(pool, 3, 50, 100)); /* behind the last piece */
    CHECK_EQ(netbuf_packet_len(packet), 250);
    CHECK_EQ(netbuf_packet_pieces(packet), 5);
    CHECK(netbuf_linearize(packet));
    CHECK_EQ(packet->len, 250);
    CHECK(!packet->next);
    for (uint32_t i = 0; i < 250; i++)
        CHECK_EQ(packet->data[i], i);
    CHECK(netbuf_linearize(packet));
    CHECK_EQ(netbuf_pool_free_count(pool), COUNT - 1);
    netbuf_free(packet);
    CHECK(netbuf_pool_whole(pool));
}

TEST(netbuf_linearize_refuses_what_does_not_fit)
{
    struct netbuf_pool *pool = shared_pool();
    uint32_t room = BUF_BYTES - HEADROOM;
    struct netbuf *packet = packet_of(pool, 1, room - 10, 0);

    netbuf_chain(packet, packet_of(pool, 1, 11, 0));
    CHECK(!netbuf_linearize(packet));
    CHECK_EQ(packet->len, room - 10);
    CHECK_EQ(netbuf_packet_pieces(packet), 2);
    netbuf_trim(packet->next, 10); /* now it just fits */
    CHECK(netbuf_linearize(packet));
    CHECK_EQ(packet->len, room);
    netbuf_free(packet);
    CHECK(netbuf_pool_whole(pool));
}

TEST(netbuf_chain_to_itself_is_a_bug)
{
    struct netbuf *packet = packet_of(shared_pool(), 2, 1, 0);

    CHECK_PANICS(netbuf_chain(packet, packet));
    CHECK_PANICS(netbuf_chain(packet, packet->next));
    netbuf_free(packet);
}
