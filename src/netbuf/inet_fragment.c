/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_fragment.c - IPv4 packets that are seldom: those with options, and fragments.
 *
 * A datagram that was put together and fits the buffer of its last fragment, and a packet of the
 * device's MTU, goes on there as if it had come in one packet. So an answer in place fits, too. A
 * larger one is the app's only if it is UDP.
 */
#include "boot/boot.h"
#include "netbuf/checksum.h"
#include "netbuf/inet_build.h"
#include "netbuf/udp.h"

enum { DEFAULT_SLOTS = 8 };

static uint64_t reassembly_slots = UINT64_MAX; /* not given */
BOOT_KEY_RANGE("net.reassembly", boot_parse_u64, &reassembly_slots, NULL, "datagrams",
               "so many a core can put together from fragments at a time, in 66 KiB each; 0: none; "
               "if not given 8, or fewer in a small machine",
               0, REASSEMBLY_MAX_SLOTS);

RUNS_SELDOM struct reassembly *inet_reassembly_create(void)
{
    const size_t fit = boot_alloc_max() / 8 / reassembly_bytes(1);
    const uint32_t slots =
        (uint32_t)(reassembly_slots == UINT64_MAX ? MIN(fit, (size_t)DEFAULT_SLOTS)
                                                  : reassembly_slots);
    const size_t len = reassembly_bytes(slots);

    if (slots == 0)
        return NULL;
    void *memory = boot_alloc_private(len, CACHE_LINE);
    if (!memory)
        boot_misconfigured("this machine has %zu KiB left and net.reassembly=%u needs %zu KiB for "
                           "each core; give it more memory, or less to net.reassembly.",
                           boot_alloc_max() >> 10, slots, len >> 10);
    return reassembly_create(memory, slots, boot_random());
}

/* --- options -----------------------------------------------------------------------------------
 */

static bool drop_header(struct inet *inet, enum inet_drop why)
{
    inet_drop(inet, why);
    return false;
}

RUNS_SELDOM bool inet_strip_options(struct inet *inet, struct netbuf *nb)
{
    enum { LONGEST = 15 * 4 };
    uint8_t copy[LONGEST]; /* as the packet's memory may change meanwhile */
    struct ipv4_header *ip = (struct ipv4_header *)copy;
    const uint32_t room = nb->len - (uint32_t)IP_OFFSET;

    memcpy(copy, nb->data + IP_OFFSET, MIN(room, (uint32_t)LONGEST));
    const uint32_t len = (copy[0] & 15) * 4u, total = load_be16(copy + 2);
    if (copy[0] >> 4 != 4)
        return drop_header(inet, INET_DROP_IP_VERSION);
    if (len < sizeof *ip || len > total || total > room)
        return drop_header(inet, INET_DROP_IP_LENGTH);
    if (csum_fold(csum_add(0, copy, len)) != 0xffff)
        return drop_header(inet, INET_DROP_IP_CHECKSUM);

    const uint32_t options = len - (uint32_t)sizeof *ip;
    ip->version_ihl = IPV4_VERSION_IHL;
    ip->total_length = be16((uint16_t)(total - options));
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add_20(0, ip));
    memcpy(nb->data + IP_OFFSET, ip, sizeof *ip);
    /* The frame stays where it begins: an answer in its place has the room that it always has. */
    memmove(nb->data + L4_OFFSET, nb->data + L4_OFFSET + options, total - len);
    nb->len = (uint16_t)(L4_OFFSET + total - len);
    nb->csum_start = (uint16_t)(nb->csum_start - options);
    return true;
}

/* --- fragments ---------------------------------------------------------------------------------
 */

_Static_assert(INET_DROP_FRAGMENT_NO_ROOM - INET_DROP_FRAGMENT_KEPT ==
                       REASSEMBLY_NO_ROOM - REASSEMBLY_KEPT &&
                   INET_DROP_FRAGMENT_OVERLAP - INET_DROP_FRAGMENT_KEPT ==
                       REASSEMBLY_OVERLAP - REASSEMBLY_KEPT,
               "both enums have these in the same order");

static void copy_stats(struct inet *inet)
{
    const struct reassembly_stats *stats = reassembly_stats(inet->reassembly);

    inet->reassembled = stats->wholes;
    inet->drops[INET_DROP_FRAGMENTS_LATE] = stats->late;
    inet->drops[INET_DROP_FRAGMENTS_CROWDED] = stats->crowded;
    inet->drops[INET_DROP_FRAGMENTS_SHARE] = stats->share;
}

RUNS_SELDOM void inet_tick(struct inet *inet)
{
    if (!inet->reassembly)
        return;
    reassembly_tick(inet->reassembly, clock_ns());
    copy_stats(inet);
}

void inet_release(struct inet *inet, const struct inet_udp *udp)
{
    reassembly_release(inet->reassembly, udp->payload);
}

RUNS_SELDOM bool inet_reassemble(struct inet *inet, const struct reassembly_fragment *fragment,
                                 struct reassembly_whole *whole)
{
    const enum reassembly_result result =
        reassembly_add(inet->reassembly, fragment, clock_ns(), whole);

    copy_stats(inet);
    if (result != REASSEMBLY_WHOLE)
        inet_drop(inet, INET_DROP_FRAGMENT_KEPT + (enum inet_drop)(result - REASSEMBLY_KEPT));
    return result == REASSEMBLY_WHOLE;
}

static enum inet_verdict drop_whole(struct inet *inet, const struct reassembly_whole *whole,
                                    enum inet_drop why)
{
    reassembly_release(inet->reassembly, whole->bytes);
    return inet_drop(inet, why);
}

RUNS_SELDOM enum inet_verdict inet_udp_large(struct inet *inet, struct netbuf *nb,
                                             const struct reassembly_whole *whole, uint64_t pseudo,
                                             struct inet_udp *udp)
{
    const struct udp_header *header = (const struct udp_header *)whole->bytes;
    const uint32_t len = be16(header->length);

    if (len < sizeof *header || len > whole->len)
        return drop_whole(inet, whole, INET_DROP_UDP_LENGTH);
    udp->from.port = be16(header->source_port);
    udp->from.local_port = be16(header->destination_port);
    if (udp->from.port == 0 || udp->from.local_port == 0)
        return drop_whole(inet, whole, INET_DROP_UDP_PORT);
    if (header->checksum != 0 &&
        csum_fold(csum_add(pseudo + header->length, header, len)) != 0xffff)
        return drop_whole(inet, whole, INET_DROP_UDP_CHECKSUM);
    eth_mac_copy(udp->from.mac, ((const struct eth_header *)nb->data)->source);
    udp->payload = whole->bytes + sizeof *header;
    udp->payload_len = len - (uint32_t)sizeof *header;
    inet->udp_packets++;
    return INET_UDP_LARGE;
}

/* Makes the last fragment's header that of the whole, as it would have come in one packet: an ICMP
 * error quotes it. */
static RUNS_SELDOM void write_whole_header(struct ipv4_header *ip, uint32_t len)
{
    ip->total_length = be16((uint16_t)(sizeof *ip + len));
    ip->flags_fragment_offset = 0;
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add_20(0, ip));
}

/* A datagram that is complete: in nb, where it fits. */
static RUNS_SELDOM enum inet_verdict ipv4_whole(struct inet *inet, struct netbuf *nb,
                                                const struct reassembly_whole *whole,
                                                struct inet_udp *udp)
{
    const uint32_t before = netbuf_headroom(nb) + L4_OFFSET;
    const uint32_t room = nb->buf_bytes > before ? nb->buf_bytes - before : 0;
    const bool fits =
        whole->len <= room && sizeof(struct ipv4_header) + whole->len <= inet->mtu_bytes;
    const bool is_udp = whole->protocol == IPV4_PROTOCOL_UDP;
    const uint32_t source = udp->from.ip, local = udp->from.local;

    write_whole_header((struct ipv4_header *)(nb->data + IP_OFFSET), whole->len);
    if (!fits && !is_udp)
        return drop_whole(inet, whole, INET_DROP_ICMP_LARGE);
    if (is_udp) {
        const uint64_t pseudo = csum_pseudo(source, inet->own[local], IPV4_PROTOCOL_UDP, 0);
        const enum inet_verdict verdict = inet_udp_large(inet, nb, whole, pseudo, udp);
        if (!fits || verdict != INET_UDP_LARGE)
            return verdict;
        udp->payload = nb->data + INET_UDP_HEADROOM;
    }
    memcpy(nb->data + L4_OFFSET, whole->bytes, whole->len);
    reassembly_release(inet->reassembly, whole->bytes);
    nb->len = (uint16_t)(L4_OFFSET + whole->len);
    nb->flags = 0;
    return is_udp ? INET_UDP : inet_icmp_input(inet, nb, local, source, whole->len);
}

RUNS_SELDOM enum inet_verdict inet_fragment_input(struct inet *inet, struct netbuf *nb,
                                                  uint32_t len, uint32_t fragment,
                                                  struct inet_udp *udp)
{
    const struct ipv4_header *ip = (const struct ipv4_header *)(nb->data + IP_OFFSET);
    const uint8_t protocol = *(const volatile uint8_t *)&ip->protocol;
    struct reassembly_whole whole;

    if (protocol != IPV4_PROTOCOL_UDP && protocol != IPV4_PROTOCOL_ICMP)
        return inet_drop(inet, INET_DROP_IP_PROTOCOL);
    if (!inet->reassembly)
        return inet_drop(inet, INET_DROP_IP_FRAGMENT);
    struct reassembly_fragment part = {
        .key = {.identification = inet_read_length(&ip->identification), .protocol = protocol},
        .bytes = nb->data + L4_OFFSET,
        .len = len,
        .offset = (fragment & IPV4_FRAGMENT_OFFSET) * 8,
        .max_bytes = UINT16_MAX - (uint32_t)sizeof *ip,
        .more = fragment & IPV4_MORE_FRAGMENTS,
        .protocol = protocol,
    };
    reassembly_ipv4_address(part.key.source, udp->from.ip);
    reassembly_ipv4_address(part.key.destination, inet->own[udp->from.local]);
    return inet_reassemble(inet, &part, &whole) ? ipv4_whole(inet, nb, &whole, udp) : INET_DROPPED;
}
