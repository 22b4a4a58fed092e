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
 * otherwise all compete for the same few sets of a cache. `free` is a stack of pointers: the buffer
 * given back last goes out first, while it is still in the cache.
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

/* netbuf.state: values that other memory is unlikely to hold. */
enum state {
    FREE = 0xf4ee,
    USED = 0x05ed,
    SEEN = 0x5ee7, /* while netbuf_pool_whole counts */
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

static bool conf_valid(const struct netbuf_pool_conf *conf)
{
    return conf->count >= 1 && conf->count <= COUNT_MAX && conf->buf_bytes % CACHE_LINE == 0 &&
           conf->buf_bytes >= BUF_BYTES_MIN && conf->buf_bytes <= BUF_BYTES_MAX &&
           conf->headroom_bytes <= conf->buf_bytes - ROOM_MIN && conf->priv_bytes <= PRIV_BYTES_MAX;
}

static size_t buffers_bytes(const struct netbuf_pool_conf *conf)
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

size_t netbuf_pool_bytes(const struct netbuf_pool_conf *conf)
{
    return buffers_bytes(conf) + conf->count * stride_bytes(conf) + sizeof(struct netbuf_pool) +
           conf->count * sizeof(struct netbuf *);
}

struct netbuf_pool *netbuf_pool_create(const struct netbuf_pool_conf *conf)
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
        nb->index = i;
        nb->start = memory + buffer_offset(conf, i);
        nb->buf_bytes = conf->buf_bytes;
        nb->state = FREE;
        pool->free[conf->count - 1 - i] = nb; /* the first buffer goes out first */
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

/* Is it this pool's netbuf, with all that is constant still as it was made? */
static bool intact(const struct netbuf_pool *pool, const struct netbuf *nb)
{
    uintptr_t at = (uintptr_t)nb - (uintptr_t)pool->netbufs;

    return at < (uintptr_t)pool->conf.count * pool->stride && at % pool->stride == 0 &&
           nb->pool == pool && nb->index == at / pool->stride &&
           nb->start == pool->buffers + buffer_offset(&pool->conf, nb->index) &&
           nb->buf_bytes == pool->conf.buf_bytes;
}

/* As many free entries as buffers, each a buffer of the pool, none twice: then all are there. */
bool netbuf_pool_whole(const struct netbuf_pool *pool)
{
    uint32_t seen = 0;

    if (pool->free_count != pool->conf.count)
        return false;
    while (seen < pool->free_count && intact(pool, pool->free[seen]) &&
           pool->free[seen]->state == FREE)
        pool->free[seen++]->state = SEEN;
    for (uint32_t i = 0; i < seen; i++)
        pool->free[i]->state = FREE;
    return seen == pool->free_count;
}

bool netbuf_pools_report(void)
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
    assert(nb->state == FREE);
    nb->state = USED;
    nb->data = nb->start + pool->conf.headroom_bytes;
    nb->next = NULL;
    nb->len = 0;
    nb->flags = 0;
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
    n = MIN(n, pool->free_count);
    struct netbuf **top = &pool->free[pool->free_count];
    for (uint32_t i = 0; i < n; i++)
        bufs[i] = hand_out(pool, *--top);
    pool->free_count -= n;
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

/* The pool that nb says it is from, if we made that pool: `pool` itself is not looked into before
 * we know. */
static struct netbuf_pool *pool_of(const struct netbuf *nb)
{
    struct netbuf_pool *pool = pools;

    if (unlikely((uintptr_t)nb % CACHE_LINE != 0))
        refuse_foreign(nb);
    while (pool && pool != nb->pool)
        pool = pool->next;
    if (unlikely(!pool))
        refuse_foreign(nb);
    return pool;
}

static inline void take_back(struct netbuf *nb)
{
    struct netbuf_pool *pool = pool_of(nb);

    if (unlikely(nb->index >= pool->conf.count || nb != element(pool, nb->index)))
        refuse_foreign(nb);
    if (unlikely(nb->state != USED))
        refuse_double(nb);
    nb->state = FREE;
    pool->free[pool->free_count++] = nb;
}

void netbuf_free(struct netbuf *packet)
{
    for (; packet; packet = packet->next) /* next stays as it is until the buffer goes out again */
        take_back(packet);
}

void netbuf_free_bulk(struct netbuf **packets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        netbuf_free(packets[i]);
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
