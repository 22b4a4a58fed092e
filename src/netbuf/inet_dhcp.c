/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_dhcp.c - a host whose first address comes by DHCP: brings dhcp.h's messages to the wire and
 * servers' answers to it, and has the address that it leased probed for, used and given up.
 *
 * Until there is an address an answer may come to any: broadcast, or to the address that is offered
 * in a frame to us. So what inet.c would drop for its destination is looked at here first; later
 * answers come to our address, port 68.
 */
#include "boot/boot.h"
#include "netbuf/checksum.h"
#include "netbuf/inet_build.h"
#include "netbuf/udp.h"

bool inet_ip_by_dhcp;
static const char *host_name;

/* A label of RFC 1123, section 2.1. */
static RUNS_SELDOM const char *parse_host_name(const struct boot_key *key, const char *text)
{
    const size_t len = strlen(text);
    bool right = len > 0 && len <= DHCP_MAX_NAME && text[0] != '-' && text[len - 1] != '-';

    for (size_t i = 0; i < len; i++)
        right &= (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
                 (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '-';
    if (right)
        *(const char **)key->dst = text;
    return right ? NULL : "up to 63 letters, digits and hyphens within, such as kv-1";
}

BOOT_KEY("net.hostname", parse_host_name, &host_name, NULL, "",
         "the name that a DHCP server is told; none if not given");

enum { DHCP_FRAME_BYTES = INET_UDP_HEADROOM + DHCP_MESSAGE_BYTES };

_Static_assert(INET_DROP_DHCP_BUSY - INET_DROP_DHCP == DHCP_BUSY, "a drop for each dhcp_reason");

RUNS_SELDOM void inet_use_dhcp(struct inet *inet, const char *name, uint64_t seed)
{
    inet->by_dhcp = true;
    inet->has_packets = true;
    dhcp_init(&inet->dhcp, inet->mac, name, seed);
}

void inet_dhcp_init(struct inet *inet)
{
    inet_use_dhcp(inet, host_name, boot_random());
}

/* --- received -----------------------------------------------------------------------------------
 */

/* A datagram's place, as its headers tell it. */
struct datagram {
    const uint8_t *udp; /* its header */
    uint32_t len;       /* from there on */
    uint32_t source, destination;
};

/* Finds the datagram in a packet: false if there is none, or a part of one. */
static RUNS_SELDOM bool find_datagram(const struct netbuf *nb, struct datagram *found)
{
    const struct ipv4_header *ip = (const struct ipv4_header *)(nb->data + IP_OFFSET);

    if (nb->next || nb->len < INET_UDP_HEADROOM)
        return false;
    const struct ipv4_header header = *ip; /* once: it may change meanwhile */
    const uint32_t header_len = (header.version_ihl & 15u) * 4, total = be16(header.total_length);
    if (header.version_ihl >> 4 != 4 || header_len < sizeof header ||
        header_len + sizeof(struct udp_header) > total || IP_OFFSET + total > nb->len ||
        header.protocol != IPV4_PROTOCOL_UDP ||
        header.flags_fragment_offset & be16(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET))
        return false;
    *found = (struct datagram){(const uint8_t *)ip + header_len, total - header_len,
                               be32(header.source_address), be32(header.destination_address)};
    return csum_fold(csum_add(0, ip, header_len)) == 0xffff;
}

static enum dhcp_reason take_answer(struct inet *inet, const struct dhcp_answer *answer)
{
    if (inet->host)
        return inet_cores_mail(inet, answer);
    const enum dhcp_reason reason = dhcp_input(&inet->dhcp, answer);
    inet->has_packets |= reason == DHCP_TAKEN;
    return reason;
}

RUNS_SELDOM bool inet_dhcp_takes(struct inet *inet, const struct netbuf *nb)
{
    const struct inet *speaker = inet->host ? inet->host : inet;
    struct dhcp_answer answer;
    struct datagram datagram;

    if (!speaker->by_dhcp || !find_datagram(nb, &datagram))
        return false;
    const struct udp_header udp = *(const struct udp_header *)datagram.udp;
    const uint32_t len = be16(udp.length);
    if (be16(udp.destination_port) != DHCP_CLIENT_PORT)
        return false;
    if (!inet_ip_plausible(inet, datagram.source)) {
        inet_drop(inet, INET_DROP_IP_SOURCE);
    } else if (len < sizeof udp || len > datagram.len) {
        inet_drop(inet, INET_DROP_UDP_LENGTH);
    } else if (!inet_udp_whole(nb, (uint32_t)(datagram.udp - nb->data), datagram.source,
                               datagram.destination, len)) {
        inet_drop(inet, INET_DROP_UDP_CHECKSUM);
    } else {
        enum dhcp_reason reason =
            dhcp_read(datagram.udp + sizeof udp, len - (uint32_t)sizeof udp, inet->mac, &answer);
        eth_mac_copy(answer.mac, ((const struct eth_header *)nb->data)->source);
        if (reason == DHCP_TAKEN)
            reason = take_answer(inet, &answer);
        inet_drop(inet, INET_DROP_DHCP + (enum inet_drop)reason);
    }
    return true;
}

void inet_dhcp_collect(struct inet *inet, const struct dhcp_answer *answer)
{
    const enum dhcp_reason reason = dhcp_input(&inet->dhcp, answer);

    if (reason != DHCP_TAKEN) /* the core that received it has counted it as taken */
        inet_drop(inet, INET_DROP_DHCP + (enum inet_drop)reason);
}

/* --- sent ---------------------------------------------------------------------------------------
 */

/* Writes the headers of a message that lies in nb. */
static RUNS_SELDOM void dhcp_build(struct inet *inet, struct netbuf *nb,
                                   const struct dhcp_message *message)
{
    struct ipv4_header *ip = (struct ipv4_header *)(nb->data + IP_OFFSET);
    struct udp_header *udp = (struct udp_header *)(ip + 1);
    const uint32_t len = sizeof *udp + DHCP_MESSAGE_BYTES;

    inet_eth_build(inet, (struct eth_header *)nb->data, message->mac, ETH_TYPE_IPV4);
    *ip = (struct ipv4_header){
        .version_ihl = IPV4_VERSION_IHL,
        .total_length = be16((uint16_t)(sizeof *ip + len)),
        .identification = be16(inet->next_identification++),
        .time_to_live = INET_TTL,
        .protocol = IPV4_PROTOCOL_UDP,
        .source_address = be32(message->source),
        .destination_address = be32(message->destination),
    };
    ip->header_checksum = csum_finish(csum_add(0, ip, sizeof *ip));
    *udp =
        (struct udp_header){be16(DHCP_CLIENT_PORT), be16(DHCP_SERVER_PORT), be16((uint16_t)len), 0};
    uint64_t sum =
        csum_pseudo(message->source, message->destination, IPV4_PROTOCOL_UDP, (uint16_t)len);
    udp->checksum = csum_finish_udp(csum_add(sum, udp, len));
    nb->len = DHCP_FRAME_BYTES;
    nb->flags = 0;
}

/* Has the first address of the host be what the lease says. */
static RUNS_SELDOM void follow_lease(struct inet *inet)
{
    const struct dhcp *dhcp = &inet->dhcp;
    const struct ipv4_prefix ours = inet->addresses[0].prefix;
    const bool probing = dhcp->state == DHCP_PROBING;
    const struct ipv4_prefix leased =
        probing || dhcp_has_address(dhcp) ? dhcp->lease.address : INET_NO_ADDRESS;

    inet->router = leased.address ? dhcp->lease.router : 0;
    if (ours.address == leased.address && (ours.len == leased.len || leased.address == 0))
        return;
    inet_put_address(inet, 0, leased, INET_ADDRESS_LEASED | (probing ? INET_ADDRESS_PROBE : 0));
    inet_arp_forget(inet);
    inet->has_packets = true;
}

RUNS_SELDOM bool inet_dhcp_next(struct inet *inet, struct netbuf *nb)
{
    struct dhcp_message message = {.payload = nb->data + INET_UDP_HEADROOM};
    const uint8_t state = inet->addresses[0].state;

    assert(netbuf_headroom(nb) + DHCP_FRAME_BYTES <= nb->buf_bytes);
    if (state == INET_ADDRESS_USED || state == INET_ADDRESS_TAKEN)
        dhcp_probed(&inet->dhcp, state == INET_ADDRESS_TAKEN);
    const bool sends = dhcp_next(&inet->dhcp, inet->now_ns, &message);
    follow_lease(inet);
    if (sends)
        dhcp_build(inet, nb, &message);
    else
        inet->due_ns = MIN(inet->due_ns, inet->dhcp.due_ns);
    return sends;
}

/* --- told ---------------------------------------------------------------------------------------
 */

RUNS_SELDOM void inet_print_lease(const struct inet *inet)
{
    const struct dhcp_answer *lease = &inet->dhcp.lease;
    char ip[IPV4_TEXT_BYTES];

    if (!inet->by_dhcp || !dhcp_has_address(&inet->dhcp))
        return;
    if (lease->lease_s == DHCP_FOREVER)
        print(", leased for ever");
    else
        print(", leased for %u s", lease->lease_s);
    print(" by %s", ipv4_format(ip, lease->server));
}

RUNS_SELDOM void inet_tell_dhcp(struct inet *inet)
{
    const struct dhcp *dhcp = &inet->dhcp;
    char ip[IPV4_TEXT_BYTES], server[IPV4_TEXT_BYTES];

    ipv4_format(ip, dhcp->lease.address.address);
    ipv4_format(server, dhcp->lease.server);
    switch (dhcp->news) {
    case DHCP_NO_NEWS:
        return;
    case DHCP_SILENCE:
        print("%s: no DHCP server answered in %u s; still asking.\n", boot_app, DHCP_PATIENCE_S);
        break;
    case DHCP_NO_LEASE:
        print("%s: DHCP servers answered, but gave no address in %u s; still asking.\n", boot_app,
              DHCP_PATIENCE_S);
        break;
    case DHCP_REFUSED:
        print("%s: the DHCP server %s refused %s to us; asks for another address.\n", boot_app,
              server, ip);
        break;
    case DHCP_CONFLICT:
        print("%s: the DHCP server %s gave %s, which another host has; declined, asks for another "
              "address.\n",
              boot_app, server, ip);
        break;
    case DHCP_EXPIRED:
        print("%s: the DHCP lease of %s is over, and no server renewed it; asks for another "
              "address.\n",
              boot_app, ip);
        break;
    }
    inet->dhcp.news = DHCP_NO_NEWS;
}
