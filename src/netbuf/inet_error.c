/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_error.c - ICMP errors (RFC 792; RFC 1122, sections 3.2.2 and 4.1.3.1): to who sends to a
 * protocol or a port that nobody here serves, so that a client knows at once and needn't wait.
 *
 * None is sent about a packet to many hosts, from an address that is no host's, about an ICMP
 * message or about a fragment: inet_input has dropped all these before. A datagram that was put
 * together counts as one packet, and its header says so. A sender's address may be made up, so what
 * is sent is bounded: INET_ERRORS_AT_ONCE, and as many more as the time allows.
 */
#include "boot/boot.h"
#include "netbuf/checksum.h"
#include "netbuf/icmp.h"
#include "netbuf/inet6_build.h"
#include "netbuf/inet_build.h"
#include "netbuf/udp.h"

enum {
    ERROR_BYTES = 576, /* of an error with what it quotes at most (RFC 1812, section 4.3.2.3) */
    ERROR_OFFSET = L4_OFFSET + sizeof(struct icmp_header),
};

bool inet_may_send_error(struct inet *inet)
{
    const uint64_t period_ns = 1000000000ull / INET_ERRORS_A_SECOND, now_ns = clock_ns();
    const uint64_t more = (now_ns - inet->errors_ns) / period_ns;

    inet->errors_ns += more * period_ns;
    inet->errors_left = (uint32_t)MIN((uint64_t)INET_ERRORS_AT_ONCE, inet->errors_left + more);
    if (inet->errors_left == 0)
        return false;
    inet->errors_left--;
    return true;
}

RUNS_SELDOM enum inet_verdict inet_unreachable(struct inet *inet, struct netbuf *nb, uint32_t local,
                                               uint32_t source, uint8_t code, enum inet_drop why)
{
    struct eth_header *eth = (struct eth_header *)nb->data;
    struct ipv4_header *ip = (struct ipv4_header *)(nb->data + IP_OFFSET);
    struct icmp_header *icmp = (struct icmp_header *)(nb->data + L4_OFFSET);
    const uint32_t most = MIN((uint32_t)ERROR_BYTES, (uint32_t)inet->mtu_bytes) -
                          (uint32_t)(sizeof *ip + sizeof *icmp);
    const uint32_t quoted = MIN(inet_read_length(&ip->total_length), most);

    if (quoted > nb->len - (uint32_t)IP_OFFSET ||
        netbuf_headroom(nb) + ERROR_OFFSET + quoted > nb->buf_bytes)
        return inet_drop(inet, why);
    if (!inet_may_send_error(inet))
        return inet_drop(inet, INET_DROP_ICMP_RATE);
    memmove(nb->data + ERROR_OFFSET, ip, quoted);
    *icmp = (struct icmp_header){.type = ICMP_UNREACHABLE, .code = code};
    icmp->checksum = csum_finish(csum_add(0, icmp, sizeof *icmp + quoted));
    inet_ipv4_build(inet, ip, local, source, IPV4_PROTOCOL_ICMP, 0,
                    (uint32_t)sizeof *icmp + quoted);
    inet_eth_build(inet, eth, eth->source, ETH_TYPE_IPV4);
    nb->len = (uint16_t)(ERROR_OFFSET + quoted);
    nb->flags = 0;
    inet_finish(inet, nb);
    inet->errors++;
    return INET_REPLY;
}

/* Puts the beginning of a datagram that lies apart where it would be if it had come in one packet,
 * as much as any error quotes. */
static RUNS_SELDOM void bring_beginning(struct netbuf *nb, const struct inet_udp *udp)
{
    const uint32_t offset = inet_udp_headroom(&udp->from) - (uint32_t)sizeof(struct udp_header);
    const uint32_t before = netbuf_headroom(nb) + offset;
    const uint32_t room = nb->buf_bytes > before ? nb->buf_bytes - before : 0;
    const uint32_t len = MIN(MIN(room, (uint32_t)IPV6_MIN_MTU),
                             (uint32_t)sizeof(struct udp_header) + udp->payload_len);

    memcpy(nb->data + offset, udp->payload - sizeof(struct udp_header), len);
    nb->len = (uint16_t)(offset + len);
}

RUNS_SELDOM enum inet_verdict inet_refuse(struct inet *inet, struct netbuf *nb,
                                          const struct inet_udp *udp)
{
    if (udp->payload != nb->data + inet_udp_headroom(&udp->from))
        bring_beginning(nb, udp);
    if (udp->from.family == INET_IPV4)
        return inet_unreachable(inet, nb, udp->from.local, udp->from.ip, ICMP_UNREACHABLE_PORT,
                                INET_DROP_UDP_REFUSED);
    enum inet_verdict verdict = inet6_refuse(inet, nb, udp);
    if (verdict == INET_REPLY)
        inet_finish(inet, nb);
    return verdict;
}
