/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netbuf.h - packet buffers and their pools.
 *
 * A pool belongs to the app that made it: so many buffers, each of one size, taken from the
 * machine's memory once. A netbuf is the description of one buffer and is exactly one cache line;
 * the buffer itself lies elsewhere, in pages that hold nothing but packets, because a back end may
 * read those pages at any time.
 *
 *        netbuf (64 bytes)                 buffer (pool.buf_bytes)
 *      +-------------------+      start  +------------+ <- never crosses a page
 *      | data  ------------+--------+    |  headroom  |
 *      | len, headroom ... |        +--> +------------+ data
 *      | next (chain)      |             |   packet   | len
 *      +-------------------+             +------------+
 *      | private area      |             |  tailroom  |
 *      | (pool.priv_bytes) |             +------------+
 *      +-------------------+
 *
 * Ownership: netbuf_alloc gives a buffer to the caller. Whoever holds it frees it, or hands it on:
 * netdev_tx_burst takes the buffers it accepts, netdev_rx_burst gives buffers to the caller.
 * Using a pool from more than one core at a time is an error.
 */
#ifndef NETBUF_NETBUF_H
#define NETBUF_NETBUF_H

#include "boot/lib.h"

/* Flags of a packet, in its first netbuf. */
enum netbuf_flag {
    /* Receive: the device has verified the layer 4 checksum. */
    NETBUF_CSUM_GOOD = 1 << 0,
    /* Both ways: the 16-bit sum at csum_start + csum_offset holds the pseudo header's sum only, and
     * the rest from csum_start on is still to be added. On transmit the device does it (needs
     * NETDEV_OFFLOAD_TX_CSUM); on receive the sender was on this machine and left it out. */
    NETBUF_CSUM_PARTIAL = 1 << 1,
    /* Transmit, a hint: the frame's first bytes were just written, so this core's cache has a line
     * that the device reads next. The driver may pass that line on. */
    NETBUF_CHANGED = 1 << 2,
};

/*
 * In this order:
 *      0  what each packet changes. Taking a buffer writes `data` and, as one word, check, len and
 *         flags; giving it back writes `check`, and `next` if the packet was a chain: a free buffer
 *         has none;
 *     24  what some packets have, and is only read if a flag says so;
 *     28  what stays as the pool made it;
 *     56  what is the driver's.
 */
struct netbuf {
    uint8_t *data;       /* first byte of the packet in this buffer */
    struct netbuf *next; /* next piece of the same packet, or NULL */
    union {
        struct {
            uint32_t check; /* the pool's own: of which pool, where, and free or in use */
            uint16_t len;   /* bytes of the packet in this buffer */
            uint16_t flags; /* enum netbuf_flag */
        };
        uint64_t check_alone; /* the pool's own: check, with len and flags 0 */
    };
    uint16_t csum_start;      /* with NETBUF_CSUM_PARTIAL: bytes from data */
    uint16_t csum_offset;     /* with NETBUF_CSUM_PARTIAL: bytes from csum_start */
    uint32_t index;           /* position in the pool; constant */
    uint8_t *start;           /* first byte of the buffer; constant */
    struct netbuf_pool *pool; /* constant */
    uint16_t buf_bytes;       /* size of the buffer; constant */
    uint64_t driver[1];       /* for the driver that holds the buffer */
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(sizeof(struct netbuf) == CACHE_LINE, "a netbuf is one cache line");
_Static_assert(offsetof(struct netbuf, check) == offsetof(struct netbuf, check_alone) &&
                   offsetof(struct netbuf, len) > offsetof(struct netbuf, check),
               "check is the low half of check_alone");

struct netbuf_pool_conf {
    const char *name;        /* for messages; must stay */
    uint32_t count;          /* buffers: 1 to 1 << 20 */
    uint16_t buf_bytes;      /* of each, headroom included: a multiple of 64, 128 to 4096 */
    uint16_t headroom_bytes; /* between start and data of a fresh buffer: at most buf_bytes - 64 */
    uint16_t priv_bytes;     /* private area behind each netbuf, 0 to 1024 */
};

/* Makes a pool. Returns NULL if a limit is broken or memory is short. There is no destroy: what is
 * taken from the machine stays taken. */
struct netbuf_pool *netbuf_pool_create(const struct netbuf_pool_conf *conf);

/* Bytes of memory that such a pool takes. */
size_t netbuf_pool_bytes(const struct netbuf_pool_conf *conf);

/* Buffers that are free now, and buffers that the pool has. */
uint32_t netbuf_pool_free_count(const struct netbuf_pool *pool);
uint32_t netbuf_pool_count(const struct netbuf_pool *pool);

/* How the pool was made. */
const struct netbuf_pool_conf *netbuf_pool_conf(const struct netbuf_pool *pool);

/* The memory that the pool's buffers lie in: whole pages that hold nothing else. */
const uint8_t *netbuf_pool_memory(const struct netbuf_pool *pool, size_t *bytes);

/* True if every buffer is back and each is there once. Slow: for the end of a run and for tests. */
bool netbuf_pool_whole(const struct netbuf_pool *pool);

/* The same of all pools that were made, and says so on the console: the last line of an app. */
bool netbuf_pools_report(void);

/* One buffer: empty (len 0, data after the headroom, no flags, no next), or NULL if none is left.
 */
struct netbuf *netbuf_alloc(struct netbuf_pool *pool);

/* As many as there are, at most n. Returns how many were written to bufs. */
uint32_t netbuf_alloc_bulk(struct netbuf_pool *pool, struct netbuf **bufs, uint32_t n);

/* Gives back a packet, all pieces of it. Freeing a buffer that is free, or one that is no pool's,
 * panics. NULL is allowed. */
void netbuf_free(struct netbuf *packet);

/* Gives back n packets; they may be of different pools. */
void netbuf_free_bulk(struct netbuf **packets, uint32_t n);

/* The buffer's private area, priv_bytes long, aligned to 64. Kept over free and alloc. */
static inline void *netbuf_priv(struct netbuf *nb)
{
    return nb + 1;
}

static inline uint32_t netbuf_headroom(const struct netbuf *nb)
{
    return (uint32_t)(nb->data - nb->start);
}

static inline uint32_t netbuf_tailroom(const struct netbuf *nb)
{
    return nb->buf_bytes - netbuf_headroom(nb) - nb->len;
}

/* Grows the piece at its front. Returns the new first byte; NULL, changing nothing, if the headroom
 * is too small. */
static inline uint8_t *netbuf_prepend(struct netbuf *nb, uint32_t len)
{
    if (unlikely(len > netbuf_headroom(nb)))
        return NULL;
    nb->len = (uint16_t)(nb->len + len);
    return nb->data -= len;
}

/* Grows the piece at its end. Returns the first new byte, or NULL if the tailroom is too small. */
static inline uint8_t *netbuf_append(struct netbuf *nb, uint32_t len)
{
    uint8_t *end = nb->data + nb->len;
    if (unlikely(len > netbuf_tailroom(nb)))
        return NULL;
    nb->len = (uint16_t)(nb->len + len);
    return end;
}

/* Cuts bytes off the front of the piece. Returns the new first byte, or NULL, changing nothing, if
 * it has fewer. */
static inline uint8_t *netbuf_trim_front(struct netbuf *nb, uint32_t len)
{
    if (unlikely(len > nb->len))
        return NULL;
    nb->len = (uint16_t)(nb->len - len);
    return nb->data += len;
}

/* Cuts the piece to at most len bytes. */
static inline void netbuf_trim(struct netbuf *nb, uint32_t len)
{
    if (nb->len > len)
        nb->len = (uint16_t)len;
}

/* Puts the packet `tail` behind the packet `head`: one packet from then on. */
void netbuf_chain(struct netbuf *head, struct netbuf *tail);

/* Bytes and pieces of a whole packet. */
uint32_t netbuf_packet_len(const struct netbuf *packet);
uint32_t netbuf_packet_pieces(const struct netbuf *packet);

/* Copies a chained packet's bytes into `first`, frees the rest. False, changing nothing, if they
 * don't fit. */
bool netbuf_linearize(struct netbuf *first);

#endif
