/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_arp.c - ARP (RFC 826): answers who asks for an address of ours, and keeps a table of
 * neighbours' addresses, which is filled in two ways:
 *
 *   heard      a packet about us told the sender's address. Such an entry may be replaced by the
 *              next stranger's: whoever sends many packets pushes out other heard ones.
 *   asked for  the app wants to send to it (inet_resolve). Its entry stays until the app asks for
 *              INET_ARP_ASKED others, whatever strangers send.
 *
 *     HEARD --- resolve ---> STALE                    KNOWN <--- answer --- ASKING, STALE, SILENT
 *     (none) --- resolve ---> ASKING                   KNOWN --- a minute ---> STALE (asks again)
 *     ASKING, STALE --- three requests without an answer ---> SILENT --- 20 s, resolve ---> ASKING
 */
#include "boot/boot.h"
#include "netbuf/arp.h"
#include "netbuf/inet6_build.h"
#include "netbuf/inet_build.h"

#define ASK_AGAIN_NS 1000000000ull /* RFC 1122, section 2.3.2.1: at most one a second */
#define KNOWN_NS     60000000000ull
#define SILENT_NS    20000000000ull
#define NEVER_NS     UINT64_MAX

enum { ASK_COUNT = 3 };

static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t nobody[ETH_MAC_BYTES];

/* --- packets ------------------------------------------------------------------------------------
 */

/* Makes nb an ARP packet from us, by our address `from`, to the Ethernet address `to`. */
static RUNS_SELDOM void arp_build(const struct inet *inet, struct netbuf *nb, uint32_t from,
                                  const uint8_t *to, uint16_t op, const uint8_t *target_mac,
                                  uint32_t target_ip)
{
    struct arp_packet *arp = (struct arp_packet *)(nb->data + IP_OFFSET);

    inet_eth_build(inet, (struct eth_header *)nb->data, to, ETH_TYPE_ARP);
    arp->hrd = be16(ARP_HRD_ETHERNET);
    arp->pro = be16(ETH_TYPE_IPV4);
    arp->hln = ETH_MAC_BYTES;
    arp->pln = sizeof arp->spa;
    arp->op = be16(op);
    eth_mac_copy(arp->sha, inet->mac);
    arp->spa = be32(from);
    eth_mac_copy(arp->tha, target_mac);
    arp->tpa = be32(target_ip);
    nb->len = IP_OFFSET + sizeof *arp;
    nb->flags = 0;
}

RUNS_SELDOM void inet_arp_build_request(const struct inet *inet, struct netbuf *nb, uint32_t from,
                                        uint32_t ip)
{
    assert(netbuf_headroom(nb) + IP_OFFSET + sizeof(struct arp_packet) <= nb->buf_bytes);
    arp_build(inet, nb, from, broadcast, ARP_OP_REQUEST, nobody, ip);
}

/* --- the table ----------------------------------------------------------------------------------
 */

static RUNS_SELDOM struct inet_arp_entry *arp_find(struct inet *inet, uint32_t ip)
{
    for (uint32_t i = 0; i < INET_ARP_ENTRIES; i++)
        if (inet->arp[i].state != INET_ARP_FREE && inet->arp[i].ip == ip)
            return &inet->arp[i];
    return NULL;
}

static bool asked_for(const struct inet_arp_entry *entry)
{
    return entry->state > INET_ARP_HEARD;
}

/* The entry whose turn it is to be replaced: entries that the app asked for take turns among
 * themselves, and so do the others. There is always one of the others, as fewer than all are ever
 * asked for. */
static RUNS_SELDOM struct inet_arp_entry *arp_next_victim(struct inet *inet, bool asked)
{
    uint32_t *next = &inet->arp_next[asked];
    struct inet_arp_entry *entry;

    do {
        entry = &inet->arp[*next];
        *next = (*next + 1) % INET_ARP_ENTRIES;
    } while (asked_for(entry) != asked);
    return entry;
}

/* A packet says that `ip` is at `mac`: always taken if the neighbour has an entry; a new entry only
 * if the packet was about us (`add`), as RFC 826's merge has it. */
static RUNS_SELDOM void arp_learn(struct inet *inet, uint32_t ip, const uint8_t *mac, bool add)
{
    struct inet_arp_entry *entry = arp_find(inet, ip);

    if (!entry && !add)
        return;
    if (!entry) {
        entry = arp_next_victim(inet, false);
        *entry = (struct inet_arp_entry){.ip = ip, .state = INET_ARP_HEARD};
    }
    eth_mac_copy(entry->mac, mac);
    if (asked_for(entry)) {
        entry->state = INET_ARP_KNOWN;
        entry->due_ns = inet->now_ns + KNOWN_NS;
    }
}

RUNS_SELDOM enum inet_verdict inet_arp_input(struct inet *inet, struct netbuf *nb)
{
    if (nb->len < IP_OFFSET + sizeof(struct arp_packet))
        return inet_drop(inet, INET_DROP_ARP_SHORT);
    const struct arp_packet arp = *(const struct arp_packet *)(nb->data + IP_OFFSET);
    uint32_t spa = be32(arp.spa);
    uint16_t op = be16(arp.op);

    if (be16(arp.hrd) != ARP_HRD_ETHERNET || be16(arp.pro) != ETH_TYPE_IPV4 ||
        arp.hln != ETH_MAC_BYTES || arp.pln != sizeof arp.spa ||
        (op != ARP_OP_REQUEST && op != ARP_OP_REPLY))
        return inet_drop(inet, INET_DROP_ARP_FORMAT);
    /* A sender without an address asks whether it can have ours: it must be told no, but there is
     * nothing to learn (RFC 5227, section 2.1.1). */
    const bool probe = spa == 0 && op == ARP_OP_REQUEST;
    const uint32_t tpa = be32(arp.tpa);
    const bool is_host = inet_mac_plausible(inet, eth_mac_number(arp.sha)); /* another one */
    if (is_host && inet_address_contradicts(inet, probe ? tpa : spa, probe, arp.sha))
        return inet_drop(inet, INET_DROP_ARP_CONFLICT);
    const uint32_t target = inet_find_address(inet, tpa);
    const bool about_us =
        target < INET_ADDRESSES && !(inet->addresses[target].flags & INET_ADDRESS_QUIET);
    /* Of ours it can be one that others have, too: any other was a conflict. */
    const bool shared = inet_find_address(inet, spa) < INET_ADDRESSES;
    const bool sender_can_be = is_host && (probe || shared || inet_ip_plausible(inet, spa));
    if (sender_can_be && !probe)
        arp_learn(inet, spa, arp.sha, about_us);
    if (!about_us)
        return inet_drop(inet, INET_DROP_ARP_TARGET);
    if (!sender_can_be)
        return inet_drop(inet, INET_DROP_ARP_SENDER);
    if (op == ARP_OP_REPLY)
        return inet_drop(inet, INET_DROP_ARP_REPLY);
    arp_build(inet, nb, tpa, arp.sha, ARP_OP_REPLY, arp.sha, spa);
    inet->arp_replies++;
    return INET_REPLY;
}

/* --- asking -------------------------------------------------------------------------------------
 */

static RUNS_SELDOM void arp_ask(struct inet *inet, struct inet_arp_entry *entry,
                                enum inet_arp_state state)
{
    entry->state = (uint8_t)state;
    entry->requests = 0;
    entry->due_ns = inet->now_ns;
    inet->has_packets = true;
}

/* One more is asked for: if they are all that may be, another one isn't any more. */
static RUNS_SELDOM void arp_count_asked(struct inet *inet)
{
    if (inet->arp_asked < INET_ARP_ASKED)
        inet->arp_asked++;
    else
        *arp_next_victim(inet, true) = (struct inet_arp_entry){.state = INET_ARP_FREE};
}

static RUNS_SELDOM struct inet_arp_entry *arp_add_asked(struct inet *inet, uint32_t ip)
{
    arp_count_asked(inet);
    struct inet_arp_entry *entry = arp_next_victim(inet, false);

    *entry = (struct inet_arp_entry){.ip = ip};
    arp_ask(inet, entry, INET_ARP_ASKING);
    return entry;
}

/* Is the address one of a neighbour? */
static RUNS_SELDOM bool in_our_networks(const struct inet *inet, uint32_t ip)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++)
        if (inet->addresses[i].state == INET_ADDRESS_USED &&
            ipv4_prefix_has(inet->addresses[i].prefix, ip))
            return true;
    return false;
}

/* Our address for a request for a neighbour's: that in its network, else the first that isn't
 * quiet; 0 if none is in use. */
RUNS_SELDOM static uint32_t arp_speaker(const struct inet *inet, uint32_t ip)
{
    uint32_t speaker = 0;

    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        const struct inet_address *address = &inet->addresses[i];
        if (address->state != INET_ADDRESS_USED || address->flags & INET_ADDRESS_QUIET)
            continue;
        if (ipv4_prefix_has(address->prefix, ip))
            return address->prefix.address;
        if (speaker == 0)
            speaker = address->prefix.address;
    }
    return speaker;
}

enum inet_neighbour inet_resolve(struct inet *inet, uint32_t ip, uint32_t gateway, uint64_t now_ns,
                                 uint8_t mac[ETH_MAC_BYTES])
{
    const uint32_t hop = in_our_networks(inet, ip) ? ip : gateway ? gateway : inet->router;

    inet->now_ns = now_ns;
    if (arp_speaker(inet, hop) == 0 || !inet_ip_plausible(inet, hop))
        return INET_NO_WAY;
    struct inet_arp_entry *entry = arp_find(inet, hop);
    if (!entry)
        entry = arp_add_asked(inet, hop);
    if (entry->state == INET_ARP_HEARD) { /* who knows how long ago */
        arp_count_asked(inet);
        arp_ask(inet, entry, INET_ARP_STALE);
    }
    if (entry->state == INET_ARP_KNOWN && now_ns >= entry->due_ns)
        arp_ask(inet, entry, INET_ARP_STALE);
    if (entry->state == INET_ARP_SILENT && now_ns >= entry->due_ns)
        arp_ask(inet, entry, INET_ARP_ASKING);
    if (entry->state == INET_ARP_ASKING)
        return INET_ASKING;
    if (entry->state == INET_ARP_SILENT)
        return INET_SILENT;
    eth_mac_copy(mac, entry->mac);
    return INET_KNOWN;
}

/* --- packets that the host sends by itself ------------------------------------------------------
 */

RUNS_SELDOM void inet_arp_forget(struct inet *inet)
{
    memset(inet->arp, 0, sizeof inet->arp);
    memset(inet->arp_next, 0, sizeof inet->arp_next);
    inet->arp_asked = 0;
}

/* Makes nb the next request for a neighbour, if it is time for one. */
static RUNS_SELDOM bool arp_ask_next(struct inet *inet, struct netbuf *nb)
{
    for (uint32_t i = 0; i < INET_ARP_ENTRIES; i++) {
        struct inet_arp_entry *entry = &inet->arp[i];
        if (entry->state != INET_ARP_ASKING && entry->state != INET_ARP_STALE)
            continue;
        if (inet->now_ns >= entry->due_ns && entry->requests == ASK_COUNT) {
            entry->state = INET_ARP_SILENT;
            entry->due_ns = inet->now_ns + SILENT_NS;
        } else if (inet->now_ns >= entry->due_ns) {
            entry->requests++;
            entry->due_ns = inet->now_ns + ASK_AGAIN_NS;
            inet_arp_build_request(inet, nb, arp_speaker(inet, entry->ip), entry->ip);
            return true;
        } else {
            inet->due_ns = MIN(inet->due_ns, entry->due_ns);
        }
    }
    return false;
}

RUNS_SELDOM bool inet_next_packet(struct inet *inet, uint64_t now_ns, struct netbuf *nb)
{
    bool made = false;

    inet->now_ns = now_ns;
    if (inet->shared.has_followers)
        inet_cores_collect(inet);
    do { /* once more if it was DHCP that changed the address */
        inet->has_packets = false;
        inet->due_ns = NEVER_NS;
        made = inet_address_next(inet, nb) || (inet->by_dhcp && inet_dhcp_next(inet, nb)) ||
               arp_ask_next(inet, nb) || (inet->inet6 && inet6_next_packet(inet, nb));
    } while (!made && inet->has_packets);
    inet->has_packets = made;
    if (inet->shared.has_followers)
        inet_cores_publish(inet);
    if (made)
        inet_finish(inet, nb);
    return made;
}
