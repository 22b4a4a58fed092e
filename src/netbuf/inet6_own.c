/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet6_own.c - the host's own IPv6 addresses: the key net.ip6, duplicate address detection, and
 * addresses for prefixes that routers advertise (RFC 4862).
 *
 *     TENTATIVE --- asked once, a second without an objection ---> VALID, announced twice
 *     TENTATIVE --- another host has it, or wants it ---> DUPLICATE --- the link came anew ---+
 *         ^-----------------------------------------------------------------------------------+
 *     any of a router's prefix --- its lifetime is over ---> FREE
 *
 * Before an address is probed for and whenever it is announced, switches are told of the group by
 * which it is looked for, too (inet_mld.c).
 *
 * All of that is done by the core that calls inet_next_packet; other cores read states, find
 * duplicates, and hear routers.
 */
#include "boot/boot.h"
#include "netbuf/inet6_build.h"

#define NEVER_NS    UINT64_MAX
#define SECOND_NS   1000000000ull
#define PROBE_NS    SECOND_NS       /* RFC 4861, section 10: RETRANS_TIMER */
#define ANNOUNCE_NS (2 * SECOND_NS) /* as with ARP */
#define SOLICIT_NS  (4 * SECOND_NS) /* RFC 7559, section 2: IRT, doubled each time up to MRT */
#define SOLICIT_MAX (3600 * SECOND_NS)
#define QUERY_NS    (SECOND_NS / 2) /* between two questions for reports that are looked at */
#define KEEP_S      7200            /* RFC 4862, section 5.5.3: what no router cuts a lifetime to */
#define FOREVER_S   UINT32_MAX

enum {
    PROBES = 1,                    /* RFC 4862, section 5.1: DupAddrDetectTransmits */
    ANNOUNCEMENTS = 2,             /* RFC 4861, section 7.2.6 allows three */
    MAX_QUERY_MS = 10000,          /* RFC 2710, section 7.3: Query Response Interval */
    LINES = 16,                    /* that an image tells of addresses that come and go */
    ROUTED = 1 + INET6_CONFIGURED, /* the first entry for a router's prefix */
};

/* What net.ip6 says. */
static struct {
    bool off, automatic, link;
    uint32_t count;
    struct ipv6_prefix prefixes[INET6_CONFIGURED];
} conf;

static RUNS_SELDOM const char *parse(const struct boot_key *key, const char *text);
BOOT_KEY(
    "net.ip6+", parse, &conf, NULL, "",
    "an IPv6 address and how many bits of it name the network; auto: addresses by routers, the "
    "default; link: only the link-local one; off: no IPv6");

static RUNS_SELDOM const char *parse(const struct boot_key *key, const char *text)
{
    (void)key;
    const bool off = strcmp(text, "off") == 0;

    if (conf.off || (off && (conf.count > 0 || conf.automatic || conf.link)))
        return "off, or addresses, but not both";
    conf.off = off;
    if (off)
        return NULL;
    if (strcmp(text, "auto") == 0) {
        conf.automatic = true;
        return NULL;
    }
    if (strcmp(text, "link") == 0) {
        conf.link = true;
        return NULL;
    }
    struct ipv6_prefix prefix;
    if (!ipv6_read_prefix(text, &prefix))
        return "an address and prefix length such as fd00::2/64, or auto, link, off";
    if (!ipv6_prefix_is_host(&prefix))
        return "the address of a host: no group's, loopback's, network's first or IPv4's in IPv6";
    if (conf.count == INET6_CONFIGURED)
        return "at most 4 addresses";
    conf.prefixes[conf.count++] = prefix;
    return NULL;
}

/* --- reading ------------------------------------------------------------------------------------
 */

struct inet6_own *inet6_find(struct inet6 *inet6, const struct ipv6_address *address)
{
    for (uint32_t i = 0; i < INET6_OWN; i++)
        if (inet6_state(&inet6->own[i]) != INET6_FREE &&
            ipv6_equal(&inet6->own[i].prefix.address, address))
            return &inet6->own[i];
    return NULL;
}

bool inet6_has(const struct inet6 *inet6, const struct ipv6_address *address)
{
    for (uint32_t i = 0; i < INET6_OWN; i++)
        if (inet6_state(&inet6->own[i]) == INET6_VALID &&
            ipv6_equal(&inet6->own[i].prefix.address, address))
            return true;
    return false;
}

bool inet6_is_near(const struct inet6 *inet6, const struct ipv6_address *address)
{
    for (uint32_t i = 0; i < INET6_OWN; i++)
        if (inet6_state(&inet6->own[i]) == INET6_VALID &&
            ipv6_prefix_has(&inet6->own[i].prefix, address))
            return true;
    return false;
}

RUNS_SELDOM bool inet6_give_up(struct inet *inet, struct inet6_own *own)
{
    uint32_t state = INET6_TENTATIVE;

    inet->has_packets = true; /* the console is told when it is looked at */
    return __atomic_compare_exchange_n(&own->state, &state, INET6_DUPLICATE, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

RUNS_SELDOM void inet6_contest(struct inet *inet, struct inet6_own *own)
{
    if (!inet6_give_up(inet, own))
        own->is_contested |= inet6_state(own) == INET6_VALID;
}

RUNS_SELDOM bool inet6_hear(struct inet *inet, const struct inet6_heard *heard)
{
    struct inet6 *inet6 = inet->inet6;
    uint32_t state = INET6_HEARD_NONE;

    if (!__atomic_compare_exchange_n(&inet6->heard_state, &state, INET6_HEARD_WRITING, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    inet6->heard = *heard;
    store_release(&inet6->heard_state, INET6_HEARD_FULL);
    inet->has_packets = true;
    return true;
}

/* --- setting up ---------------------------------------------------------------------------------
 */

static void set_state(struct inet6_own *own, enum inet6_own_state state)
{
    store_release(&own->state, (uint32_t)state);
}

static RUNS_SELDOM void add_own(struct inet6_own *own, const struct ipv6_prefix *prefix,
                                uint64_t due_ns, uint64_t valid_until_ns)
{
    own->prefix = *prefix;
    own->probes = own->announcements = 0;
    own->is_told = own->is_contested = own->is_contest_told = false;
    own->due_ns = own->report_ns = due_ns;
    own->valid_until_ns = valid_until_ns;
    set_state(own, INET6_TENTATIVE);
}

/* RFC 4291, appendix A: the MAC address with two bytes in its middle and a bit turned over. */
static uint64_t interface_id_of(const uint8_t *mac)
{
    const uint8_t bytes[8] = {mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
    uint64_t id;

    memcpy(&id, bytes, sizeof id);
    return id;
}

RUNS_SELDOM void inet6_init(struct inet6 *inet6, struct inet *inet, uint32_t mtu_bytes)
{
    struct ipv6_prefix link_local = {{.bytes = {0xfe, 0x80}}, 64};
    char text[IPV6_TEXT_BYTES];

    inet->inet6 = NULL;
    if (conf.off)
        return;
    if (mtu_bytes < IPV6_MIN_MTU) {
        print("net.ip6: no IPv6, as the MTU is %u and every link of IPv6 has %u.\n", mtu_bytes,
              IPV6_MIN_MTU);
        return;
    }
    memset(inet6, 0, sizeof *inet6);
    inet6->mtu_bytes = inet6->device_mtu_bytes = mtu_bytes;
    inet6->has_routed = conf.automatic || (conf.count == 0 && !conf.link);
    inet6->lines = LINES;
    inet6->interface_id = interface_id_of(inet->mac);
    memcpy(link_local.address.bytes + 8, &inet6->interface_id, sizeof inet6->interface_id);
    add_own(&inet6->own[0], &link_local, NEVER_NS, NEVER_NS);
    for (uint32_t i = 0; i < conf.count; i++) {
        if (inet6_find(inet6, &conf.prefixes[i].address))
            boot_misconfigured("the address %s is given twice; give it once.",
                               ipv6_format(text, &conf.prefixes[i].address));
        add_own(&inet6->own[1 + i], &conf.prefixes[i], NEVER_NS, NEVER_NS);
    }
    inet->inet6 = inet6;
}

RUNS_SELDOM void inet6_join(struct inet6 *inet6, struct inet *inet)
{
    inet6->has_joined = true;
    inet->inet6 = inet6;
}

RUNS_SELDOM void inet6_print(const struct inet *inet, const char *app)
{
    char text[IPV6_TEXT_BYTES];
    const char *before = " are ";

    if (!inet->inet6)
        return;
    print("%s: IPv6 addresses", app);
    for (uint32_t i = 0; i < INET6_OWN; i++) {
        if (inet6_state(&inet->inet6->own[i]) == INET6_FREE)
            continue;
        print("%s%s", before, ipv6_format(text, &inet->inet6->own[i].prefix.address));
        before = ", ";
    }
    print("%s.\n", inet->inet6->has_routed ? ", and what routers advertise" : "");
}

/* --- what the host does by itself ---------------------------------------------------------------
 */

RUNS_SELDOM void inet6_arrived(struct inet *inet)
{
    struct inet6 *inet6 = inet->inet6;

    for (uint32_t i = 0; i < INET6_OWN; i++) {
        struct inet6_own *own = &inet6->own[i];
        own->due_ns = own->report_ns = 0;
        own->probes = 0;
        own->announcements = ANNOUNCEMENTS;
        if (inet6_state(own) == INET6_DUPLICATE)
            add_own(own, &own->prefix, 0, own->valid_until_ns);
    }
    inet6->solicit_pause_ns = inet6->has_routed ? SOLICIT_NS : 0;
    inet6->solicit_ns = 0;
}

static RUNS_SELDOM void tell(struct inet6 *inet6, struct inet6_own *own, const char *what)
{
    char text[IPV6_TEXT_BYTES];

    own->is_told = true;
    if (inet6->lines == 0)
        return;
    inet6->lines--;
    print("net.ip6: %s %s.\n", ipv6_format(text, &own->prefix.address), what);
}

/* Any number below a second, not the same for all hosts that hear a router at the same time (RFC
 * 4862, section 5.4.2). */
static uint64_t some_delay_ns(const struct inet6 *inet6, uint64_t now_ns)
{
    const uint64_t mixed = (inet6->interface_id ^ now_ns) * 0x9e3779b97f4a7c15ull;

    return (mixed >> 32) * SECOND_NS >> 32;
}

/* Somebody asks for reports: our groups are reported within the time that he gives. Questions may
 * be made up, so there are no more than some reports a second. */
static RUNS_SELDOM void read_query(struct inet6 *inet6, uint64_t now_ns)
{
    const uint32_t query_ms = __atomic_exchange_n(&inet6->query_ms, 0, __ATOMIC_ACQUIRE);

    if (query_ms == 0 || now_ns < inet6->query_ns)
        return;
    inet6->query_ns = now_ns + QUERY_NS;
    const uint64_t delay_ns =
        some_delay_ns(inet6, now_ns) / 1000 * MIN(query_ms - 1, (uint32_t)MAX_QUERY_MS);
    for (uint32_t i = 0; i < INET6_OWN; i++)
        inet6->own[i].report_ns = MIN(inet6->own[i].report_ns, now_ns + delay_ns);
}

static uint64_t until_ns(uint64_t now_ns, uint32_t valid_s)
{
    return valid_s == FOREVER_S ? NEVER_NS : now_ns + valid_s * SECOND_NS;
}

/* RFC 4862, section 5.5.3: a lifetime may be lengthened, but nobody, perhaps with a made-up
 * advertisement, cuts it to less than two hours. */
static RUNS_SELDOM void renew(struct inet6_own *own, uint64_t now_ns, uint32_t valid_s)
{
    if (valid_s > KEEP_S || until_ns(now_ns, valid_s) > own->valid_until_ns)
        own->valid_until_ns = until_ns(now_ns, valid_s);
    else if (own->valid_until_ns > now_ns + KEEP_S * SECOND_NS)
        own->valid_until_ns = now_ns + KEEP_S * SECOND_NS;
}

static RUNS_SELDOM void take_prefix(struct inet6 *inet6, uint64_t now_ns,
                                    const struct ipv6_prefix *prefix, uint32_t valid_s)
{
    struct inet6_own *own = inet6_find(inet6, &prefix->address);

    if (own) {
        if (own >= &inet6->own[ROUTED])
            renew(own, now_ns, valid_s);
        return;
    }
    for (uint32_t i = ROUTED; i < INET6_OWN && valid_s > 0; i++)
        if (inet6_state(&inet6->own[i]) == INET6_FREE) {
            add_own(&inet6->own[i], prefix, now_ns + some_delay_ns(inet6, now_ns),
                    until_ns(now_ns, valid_s));
            return;
        }
}

static RUNS_SELDOM void read_heard(struct inet6 *inet6, uint64_t now_ns)
{
    const struct inet6_heard *heard = &inet6->heard;

    if (load_acquire(&inet6->heard_state) != INET6_HEARD_FULL)
        return;
    for (uint32_t i = 0; i < heard->count; i++)
        take_prefix(inet6, now_ns, &heard->prefixes[i].prefix, heard->prefixes[i].valid_s);
    if (heard->mtu)
        inet6->mtu_bytes = heard->mtu;
    inet6->solicit_pause_ns = 0;
    store_release(&inet6->heard_state, INET6_HEARD_NONE);
}

/* Without its link-local address, which no other host of the link can have made in the same way, a
 * host has no IPv6 at all (RFC 4862, section 5.4.5). */
static RUNS_SELDOM void lose(struct inet6 *inet6, struct inet6_own *own)
{
    tell(inet6, own,
         own > inet6->own ? "isn't used, as another host has it"
                          : "is another host's, so there is no IPv6 until the link comes anew");
    for (uint32_t i = 1; i < INET6_OWN && own == inet6->own; i++)
        if (inet6_state(&inet6->own[i]) != INET6_FREE) {
            inet6->own[i].is_told = true;
            set_state(&inet6->own[i], INET6_DUPLICATE);
        }
    if (own == inet6->own)
        inet6->solicit_pause_ns = 0;
}

/* A tentative address whose time has come: makes nb the question whether another host has it, or,
 * when none had an answer, it is valid. */
static RUNS_SELDOM bool probe_or_take(struct inet *inet, struct inet6_own *own, struct netbuf *nb)
{
    uint32_t state = INET6_TENTATIVE;

    if (own->probes < PROBES) {
        own->probes++;
        own->due_ns = inet->now_ns + PROBE_NS;
        inet_nd_build_probe(inet, nb, &own->prefix.address);
        return true;
    }
    own->announcements = ANNOUNCEMENTS;
    if (__atomic_compare_exchange_n(&own->state, &state, INET6_VALID, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED) &&
        own >= &inet->inet6->own[ROUTED])
        tell(inet->inet6, own, "is ours, as a router advertised its network");
    return false;
}

/* Is it ours, or will it be, if nobody objects? */
static bool is_wanted(const struct inet6_own *own)
{
    return inet6_state(own) == INET6_TENTATIVE || inet6_state(own) == INET6_VALID;
}

/* What is to be done for one address now; true if nb is a packet for it. */
static RUNS_SELDOM bool own_next_packet(struct inet *inet, struct inet6_own *own, struct netbuf *nb)
{
    const uint64_t now_ns = inet->now_ns;

    if (inet6_state(own) != INET6_FREE && now_ns >= own->valid_until_ns) {
        tell(inet->inet6, own, "isn't ours any more: no router advertises its network");
        set_state(own, INET6_FREE);
    }
    if (own->is_contested && !own->is_contest_told) {
        own->is_contest_told = true;
        tell(inet->inet6, own, "is another host's, too; give one of the two another");
    }
    if (is_wanted(own) && now_ns >= own->report_ns) {
        own->report_ns = NEVER_NS;
        inet_mld_build_report(inet, nb, &own->prefix.address);
        return true;
    }
    if (inet6_state(own) == INET6_TENTATIVE && now_ns >= own->due_ns &&
        probe_or_take(inet, own, nb))
        return true;
    if (inet6_state(own) == INET6_DUPLICATE && !own->is_told)
        lose(inet->inet6, own);
    if (inet6_state(own) == INET6_VALID && own->announcements > 0 && now_ns >= own->due_ns) {
        own->announcements--;
        own->due_ns = now_ns + ANNOUNCE_NS;
        own->report_ns = now_ns;
        inet_nd_build_announcement(inet, nb, &own->prefix.address);
        return true;
    }
    if (inet6_state(own) == INET6_TENTATIVE ||
        (inet6_state(own) == INET6_VALID && own->announcements > 0))
        inet->due_ns = MIN(inet->due_ns, own->due_ns);
    if (is_wanted(own))
        inet->due_ns = MIN(inet->due_ns, own->report_ns);
    if (inet6_state(own) != INET6_FREE)
        inet->due_ns = MIN(inet->due_ns, own->valid_until_ns);
    return false;
}

RUNS_SELDOM bool inet6_next_packet(struct inet *inet, struct netbuf *nb)
{
    struct inet6 *inet6 = inet->inet6;

    read_heard(inet6, inet->now_ns);
    read_query(inet6, inet->now_ns);
    for (uint32_t i = 0; i < INET6_OWN; i++)
        if (own_next_packet(inet, &inet6->own[i], nb))
            return true;
    if (inet6->solicit_pause_ns > 0 && inet6_state(&inet6->own[0]) == INET6_VALID) {
        if (inet->now_ns >= inet6->solicit_ns) {
            inet6->solicit_ns =
                inet->now_ns + inet6->solicit_pause_ns + some_delay_ns(inet6, inet->now_ns);
            inet6->solicit_pause_ns = MIN(2 * inet6->solicit_pause_ns, SOLICIT_MAX);
            inet_nd_build_router_question(inet, nb);
            return true;
        }
        inet->due_ns = MIN(inet->due_ns, inet6->solicit_ns);
    }
    if (inet6->has_joined) /* another core hears a router or finds a duplicate, and can't wake us */
        inet->due_ns = MIN(inet->due_ns, inet->now_ns + SECOND_NS);
    return false;
}
