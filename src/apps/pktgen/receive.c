/* receive.c - what becomes of received packets; see receive.h. */
#include "apps/pktgen/receive.h"
#include "apps/pktgen/packet.h"

enum { AHEAD = 4 }; /* packets whose first bytes are fetched before they are looked at */

static inline void look_at(struct receive *r, const struct netbuf *nb, uint64_t now)
{
    const volatile struct packet *p = (const struct packet *)nb->data;

    if (nb->len < sizeof *p || p->stamp.magic != be32(PACKET_MAGIC)) {
        r->unnumbered++;
        return;
    }
    if (account_add(&r->account, be32(p->stamp.sequence)) && r->timed) {
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
            look_at(r, packets[i], now);
        }
    netbuf_free_bulk(packets, n);
}
