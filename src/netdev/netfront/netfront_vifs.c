/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_vifs.c - the vifs of this domain: finds them at start, and looks after those that no app
 * uses.
 *
 * An app has the devices that there are at its start. But any vif's back end waits for an answer
 * when the vif is to be detached, also if the app chose another one, if it can't be used, or if it
 * came later. So each look at a device that is used looks at these, too: one watch on their folder
 * tells of vifs that come and go, one on each back end's that it closes.
 */
#include "boot/boot.h"
#include "boot/xen.h"
#include "netbuf/eth.h"
#include "netdev/netfront/netfront_store.h"

struct netfront_vifs netfront_vifs;

/* Calls visit for each vif in the store. False if it can't be read. */
static bool for_each_vif(void (*visit)(uint32_t vif))
{
    char names[NETFRONT_LIST_MAX];
    uint64_t vif;
    const int count = store_list(0, NETFRONT_FOLDER, names, sizeof names);
    const char *name = names;

    for (int i = 0; i < count; i++, name += strlen(name) + 1)
        if (parse_u64(name, strlen(name), UINT16_MAX, &vif))
            visit((uint32_t)vif);
    return count >= 0 || count == STORE_ENOENT;
}

/* --- at start ------------------------------------------------------------------------------- */

void netfront_vifs_resumed(void *unused)
{
    (void)unused;
    netfront_vifs.watch = store_watch(NETFRONT_FOLDER);
    for (uint32_t i = 0; i < netfront_vifs.count; i++)
        netfront_resumed(netfront_vifs.at_start[i]);
    for (uint32_t i = 0; i < NETFRONT_LATE_MAX; i++)
        if (netfront_vifs.late[i].where[0])
            netfront_resumed(&netfront_vifs.late[i]);
}

static void add_vif(uint32_t vif)
{
    if (netfront_vifs.count == NETFRONT_VIFS_MAX) {
        print("vif %u: left out, as there are more than %u.\n", vif, NETFRONT_VIFS_MAX);
        return;
    }
    struct netfront *nf = boot_alloc(sizeof *nf, CACHE_LINE);
    if (!nf)
        boot_misconfigured(
            "there is no memory for the network device vif %u; give the domain more.", vif);
    netfront_vifs.at_start[netfront_vifs.count++] = nf;
    if (netfront_init(nf, vif) != NETDEV_OK)
        netdev_unusable();
    else if (!netdev_register(&nf->base))
        print("vif %u: left out, as an image drives at most %d network devices.\n", vif,
              NETDEV_MAX);
}

void netfront_probe(void)
{
    netfront_vifs.watch = -1; /* if it began with that, its zeros would be in the image, too */
    if (!for_each_vif(add_vif)) {
        netdev_unusable();
        print("The store doesn't tell this domain's network devices; xenstore-ls -fp in dom0 shows "
              "whether xenstored answers, and whether this domain may read its " NETFRONT_FOLDER
              ".\n");
    }
    if (netfront_vifs.count > 0) {
        netfront_vifs.watch = store_watch(NETFRONT_FOLDER);
        xen_on_resume(netfront_vifs_resumed, NULL);
    }
}

/* --- later ---------------------------------------------------------------------------------- */

/* A started device has that number; it answers its back end itself. */
static bool is_used(uint32_t vif)
{
    for (uint32_t i = 0; i < netfront_vifs.count; i++)
        if (netfront_vifs.at_start[i]->base.state == NETDEV_STARTED &&
            netfront_vifs.at_start[i]->vif == vif)
            return true;
    return false;
}

/* Is it one that was there at start, or one that a started device is about to take? */
static bool is_known(const struct netfront *late)
{
    for (uint32_t i = 0; i < netfront_vifs.count; i++) {
        const struct netfront *nf = netfront_vifs.at_start[i];
        if (nf->vif == late->vif || (nf->base.state == NETDEV_STARTED && nf->phase != NETFRONT_UP &&
                                     memcmp(nf->mac, late->mac, sizeof nf->mac) == 0))
            return true;
    }
    return false;
}

/* The entry of a vif that came late, or a free one; NULL if there is neither. */
static struct netfront *late_entry(uint32_t vif)
{
    struct netfront *entry = NULL;

    for (uint32_t i = 0; i < NETFRONT_LATE_MAX; i++) {
        struct netfront *nf = &netfront_vifs.late[i];
        if (nf->where[0] && nf->vif == vif)
            return nf;
        if (!nf->where[0])
            entry = nf;
    }
    return entry;
}

static void forget_late(struct netfront *nf)
{
    if (nf->watch >= 0)
        store_unwatch(nf->watch);
    *nf = (struct netfront){0};
}

static void add_late(uint32_t vif)
{
    struct netfront *nf = late_entry(vif);
    char mac[ETH_MAC_TEXT_BYTES];

    if (!nf || nf->where[0] || is_used(vif))
        return;
    netfront_name(nf, vif);
    if (netfront_find_back(nf) == STORE_ENOENT) { /* no vif, but a node that one has left */
        forget_late(nf);
        return;
    }
    const bool readable = netfront_read_own(nf) == NETDEV_OK;
    if (is_known(nf))
        forget_late(nf);
    else if (readable)
        print("%s: it came while this image runs, with the MAC address %s, and isn't used.\n",
              nf->where, eth_mac_format(mac, nf->mac));
}

/* The vif may have another back end by now, or have gone. */
static void look_for_back(struct netfront *nf)
{
    const bool late = !nf->base.ops;

    if (netfront_find_back(nf) == STORE_ENOENT && late)
        forget_late(nf);
}

/* Calls visit for each vif that nobody uses. */
static void for_each_unused(void (*visit)(struct netfront *nf))
{
    for (uint32_t i = 0; i < netfront_vifs.count; i++) {
        struct netfront *nf = netfront_vifs.at_start[i];
        if (nf->base.state != NETDEV_STARTED && !is_used(nf->vif))
            visit(nf);
    }
    for (uint32_t i = 0; i < NETFRONT_LATE_MAX; i++)
        if (netfront_vifs.late[i].where[0] && !is_used(netfront_vifs.late[i].vif))
            visit(&netfront_vifs.late[i]);
}

void netfront_look_at_vifs(void)
{
    if (netfront_vifs.watch >= 0 && store_watch_fired(netfront_vifs.watch)) {
        for_each_unused(look_for_back);
        for_each_vif(add_late);
    }
    for_each_unused(netfront_answer);
}
