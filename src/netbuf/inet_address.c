/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_address.c - our IPv4 addresses: the keys that give them, and how an address comes into use
 * and is kept (RFC 5227).
 *
 *     with INET_ADDRESS_PROBE, unless quiet:
 *         PROBING --- three probes without an answer ---> USED, announced
 *         PROBING --- another host has it ---> TAKEN --- a minute ---> PROBING
 *     else:
 *         USED at once, announced unless quiet
 *
 * Two announcements tell of an address, whenever the link came, too. If another host speaks as if
 * an address in use were its own, the console tells it, once, and the address is defended by an
 * announcement, at most one each ten seconds, for as long as the other goes on: section 2.4 (c),
 * which is for hosts that others count on finding at one address.
 */
#include "boot/boot.h"
#include "netbuf/inet6_build.h"
#include "netbuf/inet_build.h"

/* RFC 5227, section 1.1 */
#define PROBE_WAIT_NS      1000000000ull
#define PROBE_MIN_NS       1000000000ull
#define PROBE_MAX_NS       2000000000ull
#define ANNOUNCE_WAIT_NS   2000000000ull
#define ANNOUNCE_NS        2000000000ull
#define DEFEND_INTERVAL_NS 10000000000ull
#define RATE_LIMIT_NS      60000000000ull

enum { PROBE_COUNT = 3, ANNOUNCE_COUNT = 2 };

struct ipv4_prefix inet_ip;

/* What the command line gives behind the first net.ip. */
struct given_address {
    struct ipv4_prefix prefix;
    uint8_t flags;
};

static struct given_address given[INET_ADDRESSES - 1];
static uint32_t given_count, ip_values;
static bool probe_first;

static RUNS_SELDOM const char *add_given(struct ipv4_prefix prefix, uint8_t flags)
{
    if (given_count == ARRAY_LEN(given))
        return "at most 8 addresses, of net.ip and net.vip together";
    given[given_count++] = (struct given_address){prefix, flags};
    return NULL;
}

/* The first value is another one for who asks a DHCP server. */
static RUNS_SELDOM bool parse_dhcp(const char *text)
{
    if (strcmp(text, "dhcp") != 0 || ip_values != 1)
        return false;
    inet_ip_by_dhcp = true;
    inet_ip = INET_NO_ADDRESS;
    ip_values++;
    return true;
}

/* Called with the default first, which the first value replaces. What is static here isn't made on
 * the stack, with SSE, which an emulated ring 0 doesn't have: with ring=0 keys are read in it. */
static RUNS_SELDOM const char *parse_ip(const struct boot_key *key, const char *text)
{
    static struct ipv4_prefix prefix;
    static const struct boot_key one = {.dst = &prefix};
    const char *expected = ipv4_parse_prefix(&one, text);

    if (parse_dhcp(text))
        return NULL;
    if (expected || prefix.address == 0)
        return "an address and prefix length such as 10.0.2.15/24, or dhcp as the first one";
    if (ip_values++ >= 2)
        return add_given(prefix, 0);
    *(struct ipv4_prefix *)key->dst = prefix;
    return NULL;
}

static RUNS_SELDOM const char *parse_vip(const struct boot_key *key, const char *text)
{
    static struct ipv4_prefix prefix = {.len = 32};
    static const struct boot_key one = {.dst = &prefix.address};
    const char *expected = ipv4_parse_address(&one, text);

    (void)key;
    return expected ? expected : add_given(prefix, INET_ADDRESS_QUIET);
}

BOOT_KEY("net.ip+", parse_ip, &inet_ip, "10.0.2.15/24", "",
         "our IPv4 address and how many bits of it name the network; up to 8 with net.vip; dhcp: "
         "the first one by DHCP");
BOOT_KEY("net.vip+", parse_vip, NULL, NULL, "",
         "an address that others have, too: not announced, not answered by ARP");
BOOT_KEY("net.probe", boot_parse_bool, &probe_first, "off", "",
         "on: an address is used only when ARP probes found no other host with it, some 7 s later");

/* --- setting addresses --------------------------------------------------------------------------
 */

/* The pauses of RFC 5227 are for hosts that nobody waits for. A DHCP server has mostly looked
 * already whether the address is free, and the pause that RFC 2131, section 4.4.1, asks for has no
 * length. */
RUNS_SELDOM static uint64_t pause_of(const struct inet_address *address, uint64_t pause_ns)
{
    return address->flags & INET_ADDRESS_LEASED ? pause_ns / 10 : pause_ns;
}

/* Up to a moment of so many nanoseconds: hosts that start together don't all speak at once. */
RUNS_SELDOM static uint64_t random_ns(uint64_t max_ns)
{
    return boot_random() % max_ns;
}

static bool is_quiet(const struct inet_address *address)
{
    return address->flags & INET_ADDRESS_QUIET;
}

/* What inet_input looks at follows the addresses. */
static RUNS_SELDOM void note_addresses(struct inet *inet)
{
    const struct inet_address *first = &inet->addresses[0];

    inet->prefix = first->prefix;
    inet->ip_number = first->state == INET_ADDRESS_USED ? first->prefix.address : INET_NO_IP_NUMBER;
    inet->no_sources = 0;
    for (uint32_t i = 0; i < INET_ADDRESSES; i++)
        if (inet->addresses[i].state == INET_ADDRESS_USED)
            inet->no_sources |=
                1ull << inet->own[i] % 64 | 1ull << inet->addresses[i].broadcast % 64;
}

static RUNS_SELDOM void announce(struct inet_address *address, uint64_t due_ns)
{
    address->left = is_quiet(address) ? 0 : ANNOUNCE_COUNT;
    address->due_ns = due_ns;
}

static RUNS_SELDOM void probe(struct inet_address *address, uint64_t due_ns)
{
    address->state = INET_ADDRESS_PROBING;
    address->left = PROBE_COUNT;
    address->due_ns = due_ns;
}

RUNS_SELDOM void inet_put_address(struct inet *inet, uint32_t index, struct ipv4_prefix prefix,
                                  uint8_t flags)
{
    struct inet_address *address = &inet->addresses[index];

    assert(index < INET_ADDRESSES);
    *address = (struct inet_address){.prefix = prefix, .flags = flags};
    inet->own[index] = prefix.address;
    if (prefix.address != 0) {
        address->broadcast = ipv4_prefix_broadcast(prefix);
        address->state = INET_ADDRESS_USED;
        announce(address, inet->now_ns);
        if (flags & INET_ADDRESS_PROBE && !is_quiet(address))
            probe(address, inet->now_ns + random_ns(pause_of(address, PROBE_WAIT_NS)));
        inet->has_packets = true;
    }
    note_addresses(inet);
}

RUNS_SELDOM void inet_address_in_state(struct inet *inet, uint32_t index,
                                       enum inet_address_state state)
{
    inet->addresses[index].state = (uint8_t)state;
    inet->addresses[index].left = 0;
    note_addresses(inet);
}

RUNS_SELDOM void inet_set_address(struct inet *inet, struct ipv4_prefix prefix)
{
    inet_put_address(inet, 0, prefix, 0);
    inet_arp_forget(inet);
}

static RUNS_SELDOM void set_configured(struct inet *inet, uint32_t index, struct ipv4_prefix prefix,
                                       uint8_t flags)
{
    char text[IPV4_TEXT_BYTES];

    if (!ipv4_prefix_is_host(prefix))
        boot_misconfigured(
            "%s/%u can't be a host's address; give one that is unicast and neither its network's "
            "first nor its last.",
            ipv4_format(text, prefix.address), prefix.len);
    for (uint32_t i = 0; i < index; i++)
        if (inet->own[i] == prefix.address)
            boot_misconfigured("the address %s is given twice; give it once.",
                               ipv4_format(text, prefix.address));
    inet_put_address(inet, index, prefix, flags);
}

RUNS_SELDOM void inet_address_init(struct inet *inet, struct ipv4_prefix prefix)
{
    const uint8_t flags = probe_first ? INET_ADDRESS_PROBE : 0;

    if (prefix.address == 0 && prefix.len == INET_NO_ADDRESS.len)
        inet_put_address(inet, 0, prefix, 0);
    else
        set_configured(inet, 0, prefix, flags);
    for (uint32_t i = 0; i < given_count; i++)
        set_configured(inet, i + 1, given[i].prefix, flags | given[i].flags);
    inet->has_packets = false; /* it is the link's coming that begins: inet_arrived */
    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        inet->addresses[i].left = 0;
        inet->addresses[i].due_ns = UINT64_MAX;
    }
}

RUNS_SELDOM void inet_tell(const struct inet *inet)
{
    const char *before = " also has ";
    char ip[IPV4_TEXT_BYTES];

    if (inet->vlan == 0 && given_count == 0)
        return;
    print("%s:", boot_app);
    for (uint32_t i = 1; i < INET_ADDRESSES; i++) {
        const struct inet_address *address = &inet->addresses[i];
        if (address->state == INET_ADDRESS_FREE)
            continue;
        print("%s%s/%u%s", before, ipv4_format(ip, address->prefix.address), address->prefix.len,
              is_quiet(address) ? " (neither announced nor answered by ARP)" : "");
        before = ", ";
    }
    if (inet->vlan)
        print("%s lives in VLAN %u", given_count ? ", and" : "", inet->vlan);
    print(".\n");
}

/* --- looking them up ----------------------------------------------------------------------------
 */

uint32_t inet_find_address(struct inet *inet, uint32_t ip)
{
    if (inet->host && !inet_has_address(inet)) /* it may have one since its loop looked */
        inet_follow(inet);
    for (uint32_t i = 0; i < INET_ADDRESSES; i++)
        if (inet->addresses[i].state == INET_ADDRESS_USED && inet->own[i] == ip)
            return i;
    return INET_ADDRESSES;
}

RUNS_SELDOM bool inet_no_source(const struct inet *inet, uint32_t ip)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++)
        if (inet->addresses[i].state == INET_ADDRESS_USED &&
            (inet->own[i] == ip || inet->addresses[i].broadcast == ip))
            return true;
    return false;
}

RUNS_SELDOM enum inet_verdict inet_address_drop(struct inet *inet, uint32_t destination)
{
    bool all = destination == IPV4_BROADCAST;

    for (uint32_t i = 0; i < INET_ADDRESSES; i++)
        all |= inet->own[i] != 0 && destination == inet->addresses[i].broadcast;
    return inet_drop(inet, all ? INET_DROP_IP_BROADCAST : INET_DROP_IP_DESTINATION);
}

/* --- probes, announcements, conflicts -----------------------------------------------------------
 */

RUNS_SELDOM void inet_arrived(struct inet *inet)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        struct inet_address *address = &inet->addresses[i];
        if (address->state == INET_ADDRESS_USED)
            announce(address, 0);
        else if (address->state != INET_ADDRESS_FREE)
            probe(address, inet->now_ns + random_ns(PROBE_WAIT_NS));
    }
    if (inet->inet6)
        inet6_arrived(inet);
    if (inet->by_dhcp)
        dhcp_arrived(&inet->dhcp);
    inet->has_packets = true;
}

RUNS_SELDOM void inet_announce(const struct inet *inet, struct netbuf *nb)
{
    inet_arp_build_request(inet, nb, inet->own[0], inet->own[0]);
    inet_finish(inet, nb);
}

RUNS_SELDOM bool inet_address_contradicts(struct inet *inet, uint32_t ip, bool is_probe,
                                          const uint8_t *mac)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        struct inet_address *address = &inet->addresses[i];
        if (ip == 0 || inet->own[i] != ip || is_quiet(address))
            continue;
        /* Who probes for an address in use is answered like anyone who asks. */
        if (is_probe && address->state == INET_ADDRESS_USED)
            return false;
        if (inet->host) {
            inet_cores_conflict(inet, i, mac);
            return true;
        }
        address->conflict = true;
        eth_mac_copy(address->other, mac);
        inet->has_packets = true;
        return true;
    }
    return false;
}

static RUNS_SELDOM void tell_conflict(struct inet_address *address, const char *what_follows)
{
    char ip[IPV4_TEXT_BYTES], mac[ETH_MAC_TEXT_BYTES];

    if (address->told)
        return;
    address->told = true;
    print("%s: the host with MAC %s has our address %s, too: %s.\n", boot_app,
          eth_mac_format(mac, address->other), ipv4_format(ip, address->prefix.address),
          what_follows);
}

/* What follows from a conflict. An announcement may be due then. */
static RUNS_SELDOM void look_at_conflict(struct inet *inet, struct inet_address *address)
{
    if (!address->conflict)
        return;
    address->conflict = false;
    if (address->state == INET_ADDRESS_USED) {
        tell_conflict(address, "we go on with it; give one of the two another");
        if (inet->now_ns < address->defend_ns)
            return;
        address->defend_ns = inet->now_ns + DEFEND_INTERVAL_NS;
        address->left = MAX(address->left, (uint8_t)1);
        address->due_ns = inet->now_ns;
    } else if (address->state == INET_ADDRESS_PROBING) {
        if (!(address->flags & INET_ADDRESS_LEASED)) /* there DHCP tells what follows */
            tell_conflict(address, "we don't use it, and look again each minute");
        address->state = INET_ADDRESS_TAKEN;
        address->due_ns = inet->now_ns + RATE_LIMIT_NS;
    }
}

/* Nobody has it. */
static RUNS_SELDOM void take_into_use(struct inet *inet, struct inet_address *address)
{
    address->state = INET_ADDRESS_USED;
    address->told = false;
    announce(address, inet->now_ns);
    note_addresses(inet);
}

/* What is due for an address: true if nb is to be sent. */
static RUNS_SELDOM bool address_due(struct inet *inet, struct inet_address *address,
                                    struct netbuf *nb)
{
    const uint32_t ip = address->prefix.address;

    if (address->state == INET_ADDRESS_TAKEN)
        probe(address, inet->now_ns + random_ns(PROBE_WAIT_NS));
    else if (address->state == INET_ADDRESS_PROBING && address->left == 0)
        take_into_use(inet, address);
    else if (address->state == INET_ADDRESS_PROBING) {
        address->left--;
        address->due_ns =
            inet->now_ns +
            pause_of(address, address->left == 0
                                  ? ANNOUNCE_WAIT_NS
                                  : PROBE_MIN_NS + random_ns(PROBE_MAX_NS - PROBE_MIN_NS));
        inet_arp_build_request(inet, nb, 0, ip);
        return true;
    } else {
        address->left--;
        address->due_ns = inet->now_ns + ANNOUNCE_NS;
        inet_arp_build_request(inet, nb, ip, ip);
        return true;
    }
    return false;
}

static RUNS_SELDOM bool waits(const struct inet_address *address)
{
    return address->state == INET_ADDRESS_PROBING || address->state == INET_ADDRESS_TAKEN ||
           (address->state == INET_ADDRESS_USED && address->left > 0);
}

RUNS_SELDOM bool inet_address_next(struct inet *inet, struct netbuf *nb)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        struct inet_address *address = &inet->addresses[i];
        look_at_conflict(inet, address);
        while (waits(address) && inet->now_ns >= address->due_ns)
            if (address_due(inet, address, nb))
                return true;
        if (waits(address))
            inet->due_ns = MIN(inet->due_ns, address->due_ns);
    }
    return false;
}
