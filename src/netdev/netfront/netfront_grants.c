/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_grants.c - which pages the back end may use: those of the rings, and those of the pools
 * that packets come from. They are granted when a connection is made, a pool of packets to be sent
 * when its first packet is, and taken back at its end: no packet costs a grant.
 *
 * Several cores may send the first packet of a pool at the same time. While they run, the table of
 * pools only grows, so a core reads it without the lock; it takes the lock to add a pool or to
 * grant one's pages.
 *
 * A back end may keep a page mapped for longer than it should. Then the grant stays, what was in
 * flight in that page isn't given back, and there is no other connection until the grant has ended:
 * netfront_connect.c looks again and again.
 */
#include "boot/boot.h"
#include "boot/xen.h"
#include "netdev/netfront/netfront.h"

uint32_t netfront_grants_take(struct netfront_grants *g)
{
    for (uint32_t i = 0; g->held > 0 && i < g->pages; i++)
        if (g->refs[i] && xen_grant_end(g->refs[i])) {
            g->refs[i] = 0;
            g->held--;
        }
    return g->held;
}

bool netfront_grants_give(struct netfront_grants *g, uint16_t domid, bool readonly)
{
    if (g->held > 0 || g->pages > xen_grants_free())
        return false;
    for (uint32_t i = 0; i < g->pages; i++) {
        g->refs[i] = xen_grant(domid, g->base + (size_t)i * PAGE_SIZE, readonly);
        if (!g->refs[i]) {
            netfront_grants_take(g);
            return false;
        }
        g->held++;
    }
    return true;
}

static struct netfront_pool *find_pool(struct netfront *nf, const struct netbuf_pool *pool)
{
    const uint32_t count = load_acquire(&nf->pools_count); /* so many are filled in */

    for (uint32_t i = 0; i < count; i++)
        if (nf->pools[i].pool == pool)
            return &nf->pools[i];
    return NULL;
}

struct netfront_pool *netfront_pool_of(struct netfront *nf, const struct netbuf_pool *pool)
{
    struct netfront_pool *entry = find_pool(nf, pool);
    size_t bytes;

    if (entry || nf->pools_count == NETFRONT_POOLS_MAX)
        return entry;
    const uint8_t *base = netbuf_pool_memory(pool, &bytes);
    uint32_t pages = (uint32_t)(bytes / PAGE_SIZE);
    uint32_t *refs = boot_alloc(pages * sizeof *refs, CACHE_LINE); /* a pool is never destroyed */
    if (!refs)
        return NULL;
    entry = &nf->pools[nf->pools_count];
    *entry = (struct netfront_pool){.pool = pool,
                                    .grants = {.base = base, .refs = refs, .pages = pages}};
    store_release(&nf->pools_count, nf->pools_count + 1);
    return entry;
}

static struct netfront_pool *grant(struct netfront *nf, const struct netbuf_pool *pool,
                                   bool readonly)
{
    struct netfront_pool *entry = netfront_pool_of(nf, pool);

    if (entry && !entry->failed && !entry->granted &&
        netfront_grants_give(&entry->grants, nf->domid, readonly))
        store_release(&entry->granted, true); /* whoever sees that sees the references */
    if (entry && entry->granted)
        return entry;
    if (entry)
        entry->failed = true;
    if (!nf->short_said)
        print("%s: the pages of pool %s can't be granted to domain %u: %u grants are free, %u in "
              "use; its packets are dropped.\n",
              nf->where, netbuf_pool_conf(pool)->name, nf->domid, xen_grants_free(),
              xen_grants_used());
    nf->short_said = true;
    return NULL;
}

struct netfront_pool *netfront_pool_granted(struct netfront *nf, const struct netbuf_pool *pool,
                                            bool readonly)
{
    static bool locked;
    struct netfront_pool *entry = find_pool(nf, pool);

    if (entry && load_acquire(&entry->granted))
        return entry;
    while (__atomic_exchange_n(&locked, true, __ATOMIC_ACQUIRE))
        xen_yield();
    entry = grant(nf, pool, readonly);
    store_release(&locked, false);
    return entry;
}

bool netfront_grants_has(struct netfront *nf, const struct netbuf *nb)
{
    const struct netfront_pool *entry = find_pool(nf, nb->pool);

    return entry && entry->grants.refs[(uint32_t)(nb->start - entry->grants.base) / PAGE_SIZE];
}

uint32_t netfront_grants_take_all(struct netfront *nf)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < nf->pools_count; i++) {
        kept += netfront_grants_take(&nf->pools[i].grants);
        nf->pools[i].granted = nf->pools[i].failed = false;
    }
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        if (nf->rx[q])
            kept += netfront_grants_take(&nf->rx[q]->page);
        if (nf->tx[q])
            kept += netfront_grants_take(&nf->tx[q]->page);
    }
    nf->kept = kept;
    return kept;
}

static void forget(struct netfront_grants *g)
{
    if (g->refs)
        memset(g->refs, 0, g->pages * sizeof *g->refs);
    g->held = 0;
}

void netfront_grants_forget(struct netfront *nf)
{
    for (uint32_t i = 0; i < nf->pools_count; i++) {
        forget(&nf->pools[i].grants);
        nf->pools[i].granted = nf->pools[i].failed = false;
    }
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        if (nf->rx[q])
            forget(&nf->rx[q]->page);
        if (nf->tx[q])
            forget(&nf->tx[q]->page);
    }
    nf->kept = 0;
}
