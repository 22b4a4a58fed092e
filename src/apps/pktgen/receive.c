/* SPDX-License-Identifier: BSD-2-Clause */
/* receive.c - what becomes of received packets; see receive.h. */
#include "apps/pktgen/receive.h"

enum { AHEAD = 4 }; /* packets whose first bytes are fetched before they are looked at */

/* The account of a packet's stream; NULL if it has no number. */
static inline struct account *account_of(struct receive *r, uint32_t magic)
{
    if (likely(magic == be32(PACKET_MAGIC)))
        return &r->accounts[0];
    uint32_t stream = be32(magic) - PACKET_MAGIC;
    return stream < PACKET_STREAMS ? &r->accounts[stream] : NULL;
}

static inline void note_packet(struct receive *r, const struct netbuf *nb, uint64_t now)
{
    const volatile struct packet *p = (const struct packet *)nb->data;

    struct account *account = nb->len < sizeof *p ? NULL : account_of(r, p->stamp.magic);
    if (unlikely(!account)) {
        r->unnumbered++;
        return;
    }
    if (account_add(account, be32(p->stamp.sequence)) && r->timed) {
        int64_t latency = (int64_t)(now - p->stamp.time);
        histogram_add(&r->latency, latency > 0 ? (uint64_t)latency : 0);
    }
}

void receive_burst(struct receive *r, struct netbuf **packets, uint32_t n, uint64_t now)
{
    if (r->numbered)
        for (uint32_t i = 0; i < n; i++) {
            if (i + AHEAD < n)
                __builtin_prefetch(packets[i + AHEAD]->data + PACKET_HEADERS);
            note_packet(r, packets[i], now);
        }
    netbuf_free_bulk(packets, n);
}
