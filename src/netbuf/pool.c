/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.c - packet buffers and their pools.
 *
 * A pool is one block of memory, taken at once so that a pool is made wholly or not at all:
 *
 *     page-aligned                                       64-aligned
 *     +--------+--------+-----+--------+-- to a page --+--------+------+-----+------+------+
 *     | buffer | buffer | ... | buffer |               | netbuf | priv | ... | pool | free |
 *     +--------+--------+-----+--------+---------------+--------+------+-----+------+------+
 *
 * No buffer crosses a page. What a page has left over is used to begin each page's buffers at
 * another line than the page before: packets' first lines, the ones that are looked at, would
 * otherwise all compete for the same few sets of a cache. `free` is a stack of pointers: the
 * buffers given back last go out first, while they are still in the cache, and a burst of them in
 * the order in which it came.
 *
 * Every packet passes here twice, so what is checked of a netbuf is one word that tells of which
 * pool it is, where it lies, and whether it is free or in use (check_of). A free buffer has no
 * `next`: freeing a packet looks at it anyway, so taking a buffer needn't write it.
 */
#include "boot/boot.h"
#include "netbuf/netbuf.h"

enum {
    COUNT_MAX = 1 << 20,
    BUF_BYTES_MIN = 128,
    BUF_BYTES_MAX = 4096,
    ROOM_MIN = 64, /* what headroom must leave of a buffer */
    PRIV_BYTES_MAX = 1024,
};

/* Parts of netbuf.check: values that other memory is unlikely to hold, and apart by what two
 * netbufs' places, each a multiple of 64, never are. */
enum state {
    FREE = 0x6b1df4ee,
    USED = 0x2c9405ed,
    SEEN = 0x47a85ee7, /* while netbuf_pool_whole counts */
};

struct netbuf_pool {
    struct netbuf_pool_conf conf;
    struct netbuf_pool *next; /* the pool made before */
    uint8_t *netbufs;         /* the first of count, each stride bytes long */
    uint8_t *buffers;
    uint32_t stride;
    uint32_t free_count;
    struct netbuf *free[]; /* free[0] to free[free_count - 1] */
};

static struct netbuf_pool *pools; /* all of them, newest first */

static inline struct netbuf *element(const struct netbuf_pool *pool, uint32_t index)
{
    return (struct netbuf *)(pool->netbufs + (size_t)index * pool->stride);
}

/* What the pool's netbuf nb has in nb->check. A copy of it, lying elsewhere, has the wrong one.
 * Pool and state are added first, as their sum is the same for a whole burst. */
static inline uint32_t check_of(const struct netbuf_pool *pool, const struct netbuf *nb,
                                enum state state)
{
    return (uint32_t)(uintptr_t)nb + ((uint32_t)(uintptr_t)pool + state);
}

static RUNS_SELDOM bool conf_valid(const struct netbuf_pool_conf *conf)
{
    return conf->count >= 1 && conf->count <= COUNT_MAX && conf->buf_bytes % CACHE_LINE == 0 &&
           conf->buf_bytes >= BUF_BYTES_MIN && conf->buf_bytes <= BUF_BYTES_MAX &&
           conf->headroom_bytes <= conf->buf_bytes - ROOM_MIN && conf->priv_bytes <= PRIV_BYTES_MAX;
}

static RUNS_SELDOM size_t buffers_bytes(const struct netbuf_pool_conf *conf)
{
    const uint32_t per_page = PAGE_SIZE / conf->buf_bytes;

    return (size_t)(conf->count + per_page - 1) / per_page * PAGE_SIZE;
}

/* Where buffer `index` begins, from the pool's first page on. */
static size_t buffer_offset(const struct netbuf_pool_conf *conf, uint32_t index)
{
    const uint32_t per_page = PAGE_SIZE / conf->buf_bytes;
    const uint32_t places = PAGE_SIZE % conf->buf_bytes / CACHE_LINE + 1;
    const uint32_t page = index / per_page;

    return (size_t)page * PAGE_SIZE + page % places * CACHE_LINE +
           (size_t)(index % per_page) * conf->buf_bytes;
}

static size_t stride_bytes(const struct netbuf_pool_conf *conf)
{
    return sizeof(struct netbuf) + ALIGN_UP((size_t)conf->priv_bytes, CACHE_LINE);
}

RUNS_SELDOM size_t netbuf_pool_bytes(const struct netbuf_pool_conf *conf)
{
    return buffers_bytes(conf) + conf->count * stride_bytes(conf) + sizeof(struct netbuf_pool) +
           conf->count * sizeof(struct netbuf *);
}

RUNS_SELDOM struct netbuf_pool *netbuf_pool_create(const struct netbuf_pool_conf *conf)
{
    if (!conf_valid(conf))
        return NULL;
    uint8_t *memory = boot_alloc(netbuf_pool_bytes(conf), PAGE_SIZE);
    if (!memory)
        return NULL;

    uint8_t *netbufs = memory + buffers_bytes(conf);
    size_t stride = stride_bytes(conf);
    struct netbuf_pool *pool = (struct netbuf_pool *)(netbufs + conf->count * stride);
    pool->conf = *conf;
    pool->netbufs = netbufs;
    pool->buffers = memory;
    pool->stride = (uint32_t)stride;
    for (uint32_t i = 0; i < conf->count; i++) {
        struct netbuf *nb = element(pool, i);
        nb->pool = pool;
        nb->start = memory + buffer_offset(conf, i);
        nb->buf_bytes = conf->buf_bytes;
        nb->index = i;
        nb->next = NULL;
        nb->check = check_of(pool, nb, FREE);
        pool->free[i] = nb;
    }
    pool->free_count = conf->count;
    pool->next = pools;
    pools = pool;
    return pool;
}

uint32_t netbuf_pool_free_count(const struct netbuf_pool *pool)
{
    return pool->free_count;
}

uint32_t netbuf_pool_count(const struct netbuf_pool *pool)
{
    return pool->conf.count;
}

const struct netbuf_pool_conf *netbuf_pool_conf(const struct netbuf_pool *pool)
{
    return &pool->conf;
}

const uint8_t *netbuf_pool_memory(const struct netbuf_pool *pool, size_t *bytes)
{
    *bytes = buffers_bytes(&pool->conf);
    return pool->buffers;
}

/* Is it this pool's netbuf and free, with all that is constant still as it was made? */
static RUNS_SELDOM bool intact(const struct netbuf_pool *pool, const struct netbuf *nb)
{
    uintptr_t at = (uintptr_t)nb - (uintptr_t)pool->netbufs;

    return at < (uintptr_t)pool->conf.count * pool->stride && at % pool->stride == 0 &&
           nb->index == at / pool->stride && nb->check == check_of(pool, nb, FREE) && !nb->next &&
           nb->pool == pool && nb->start == pool->buffers + buffer_offset(&pool->conf, nb->index) &&
           nb->buf_bytes == pool->conf.buf_bytes;
}

/* As many free entries as buffers, each a buffer of the pool, none twice: then all are there. */
RUNS_SELDOM bool netbuf_pool_whole(const struct netbuf_pool *pool)
{
    uint32_t seen = 0;

    if (pool->free_count != pool->conf.count)
        return false;
    for (; seen < pool->free_count && intact(pool, pool->free[seen]); seen++)
        pool->free[seen]->check = check_of(pool, pool->free[seen], SEEN);
    for (uint32_t i = 0; i < seen; i++)
        pool->free[i]->check = check_of(pool, pool->free[i], FREE);
    return seen == pool->free_count;
}

RUNS_SELDOM bool netbuf_pools_report(void)
{
    bool whole = true;

    for (const struct netbuf_pool *pool = pools; pool; pool = pool->next) {
        if (netbuf_pool_whole(pool))
            continue;
        whole = false;
        print("%s: pool %s misses %u buffers.\n", boot_app, pool->conf.name,
              pool->conf.count - pool->free_count);
    }
    if (whole)
        print("%s: every pool is whole.\n", boot_app);
    return whole;
}

static inline struct netbuf *hand_out(const struct netbuf_pool *pool, struct netbuf *nb)
{
    assert(nb->check == check_of(pool, nb, FREE));
    nb->check_alone = check_of(pool, nb, USED);
    nb->data = nb->start + pool->conf.headroom_bytes;
    return nb;
}

struct netbuf *netbuf_alloc(struct netbuf_pool *pool)
{
    if (unlikely(pool->free_count == 0))
        return NULL;
    return hand_out(pool, pool->free[--pool->free_count]);
}

uint32_t netbuf_alloc_bulk(struct netbuf_pool *pool, struct netbuf **bufs, uint32_t n)
{
    struct netbuf **end = &pool->free[pool->free_count];

    n = MIN(n, pool->free_count);
    pool->free_count -= n;
    for (struct netbuf **at = end - n; at < end; at++)
        *bufs++ = hand_out(pool, *at);
    return n;
}

_Noreturn static void refuse_foreign(const struct netbuf *nb)
{
    panic("netbuf_free was given %p, which is no netbuf of any pool; look at who made that pointer "
          "or wrote over the netbuf.",
          (const void *)nb);
}

_Noreturn static void refuse_double(const struct netbuf *nb)
{
    panic("netbuf_free was given buffer %u of pool %s twice; whoever gives a buffer away must "
          "forget it.",
          nb->index, nb->pool->conf.name);
}

/* The pool that nb says it is from, if we made that pool, or NULL: `pool` itself is not looked into
 * before we know. */
static inline struct netbuf_pool *pool_of(const struct netbuf *nb)
{
    struct netbuf_pool *pool = pools;

    if (unlikely((uintptr_t)nb % CACHE_LINE != 0))
        return NULL;
    while (pool && pool != nb->pool)
        pool = pool->next;
    return pool;
}

/* Gives back one buffer; returns the rest of its packet. */
static struct netbuf *take_back(struct netbuf *nb)
{
    struct netbuf_pool *pool = pool_of(nb);

    if (unlikely(pool && nb->check == check_of(pool, nb, FREE)))
        refuse_double(nb);
    if (unlikely(!pool || nb->check != check_of(pool, nb, USED)))
        refuse_foreign(nb);
    struct netbuf *rest = nb->next;
    nb->next = NULL;
    nb->check = check_of(pool, nb, FREE);
    pool->free[pool->free_count++] = nb;
    return rest;
}

void netbuf_free(struct netbuf *packet)
{
    while (packet)
        packet = take_back(packet);
}

/* Gives back the packets from `at` on that are single buffers of this pool and in use. Returns
 * where the first is that isn't, or the end. */
static inline struct netbuf **take_back_run(struct netbuf_pool *pool, struct netbuf **at,
                                            struct netbuf **end)
{
    struct netbuf **top = &pool->free[pool->free_count], **begin = at;

    for (; at < end; at++) {
        struct netbuf *nb = *at;
        if (unlikely(!nb || (uintptr_t)nb % CACHE_LINE != 0 || nb->pool != pool ||
                     nb->check != check_of(pool, nb, USED) || nb->next))
            break;
        nb->check = check_of(pool, nb, FREE);
        *top++ = nb;
    }
    pool->free_count += (uint32_t)(at - begin);
    return at;
}

void netbuf_free_bulk(struct netbuf **packets, uint32_t n)
{
    struct netbuf **at = packets, **end = packets + n;

    while (at < end) {
        struct netbuf_pool *pool = *at ? pool_of(*at) : NULL;
        if (likely(pool))
            at = take_back_run(pool, at, end);
        if (unlikely(at < end))
            netbuf_free(*at++); /* a chain, or NULL, of another pool, or what is refused */
    }
}

void netbuf_chain(struct netbuf *head, struct netbuf *tail)
{
    assert(head != tail);
    while (head->next) {
        head = head->next;
        assert(head != tail);
    }
    head->next = tail;
}

uint32_t netbuf_packet_len(const struct netbuf *packet)
{
    uint32_t len = 0;

    for (; packet; packet = packet->next)
        len += packet->len;
    return len;
}

uint32_t netbuf_packet_pieces(const struct netbuf *packet)
{
    uint32_t pieces = 0;

    for (; packet; packet = packet->next)
        pieces++;
    return pieces;
}

bool netbuf_linearize(struct netbuf *first)
{
    struct netbuf *rest = first->next;

    if (netbuf_packet_len(rest) > netbuf_tailroom(first))
        return false;
    for (struct netbuf *nb = rest; nb; nb = nb->next)
        memcpy(netbuf_append(first, nb->len), nb->data, nb->len);
    first->next = NULL;
    netbuf_free(rest);
    return true;
}
