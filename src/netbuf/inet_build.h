/* SPDX-License-Identifier: BSD-2-Clause */
/* inet_build.h - what the files of inet.h share with each other: counting a drop, the addresses
 * that a neighbour can have, the Ethernet header of a packet from us. Not for apps. */
#ifndef NETBUF_INET_BUILD_H
#define NETBUF_INET_BUILD_H

#include "netbuf/checksum.h"
#include "netbuf/inet.h"
#include "netbuf/reassembly.h"
#include "netbuf/udp.h"

/* From nb->data on. */
enum {
    IP_OFFSET = sizeof(struct eth_header),
    L4_OFFSET = IP_OFFSET + sizeof(struct ipv4_header),
};

/* A length, or another field of 16 bits, from a header. The empty asm keeps the compiler from
 * reading it a second time later. */
static inline uint32_t inet_read_length(const void *field)
{
    uint32_t len = load_be16(field);

    __asm__("" : "+r"(len));
    return len;
}

/* An IPv4 address, likewise: what is tested and what is used are one number, in one register. */
static inline uint32_t inet_read_address(const void *field)
{
    uint32_t address = load_be32(field);

    __asm__("" : "+r"(address));
    return address;
}

static inline enum inet_verdict inet_drop(struct inet *inet, enum inet_drop why)
{
    inet->drops[why]++;
    return INET_DROPPED;
}

/* Is an IPv4 datagram whole, whose UDP header lies at nb->data + offset? A sender may leave the
 * checksum out; the device may have verified it; or the sender is on this machine and left the sum
 * to whoever would put it on a wire. */
static inline bool inet_udp_whole(const struct netbuf *nb, uint32_t offset, uint32_t source,
                                  uint32_t destination, uint32_t len)
{
    const struct udp_header *udp = (const struct udp_header *)(nb->data + offset);

    if (udp->checksum == 0 || nb->flags & NETBUF_CSUM_GOOD)
        return true;
    if (nb->flags & NETBUF_CSUM_PARTIAL && nb->csum_start == offset &&
        nb->csum_offset == offsetof(struct udp_header, checksum))
        return true;
    uint64_t sum = csum_pseudo(source, destination, IPV4_PROTOCOL_UDP, (uint16_t)len);
    return csum_fold(csum_add(sum, udp, len)) == 0xffff;
}

static inline bool inet_mac_plausible(const struct inet *inet, uint64_t mac_number)
{
    return !eth_mac_is_group(mac_number) && mac_number != 0 && mac_number != inet->mac_number;
}

/* Is it an address of ours that is in use, or the broadcast address of its network? Nobody else's
 * packet comes from there (inet_address.c). */
bool inet_no_source(const struct inet *inet, uint32_t ip);

/* Can a packet come from this address (RFC 1122, section 3.2.1.3)? */
static inline bool inet_ip_plausible(const struct inet *inet, uint32_t ip)
{
    return ipv4_is_unicast(ip) &&
           (likely(!(inet->no_sources >> ip % 64 & 1)) || !inet_no_source(inet, ip));
}

static inline void inet_eth_build(const struct inet *inet, struct eth_header *eth,
                                  const uint8_t *destination, uint16_t type)
{
    eth_mac_copy(eth->destination, destination);
    eth_mac_copy(eth->source, inet->mac);
    eth->type = be16(type);
}

/* Writes the header of a packet from our address number `local` with payload_len bytes behind it.
 */
static inline void inet_ipv4_build(struct inet *inet, struct ipv4_header *ip, uint32_t local,
                                   uint32_t destination, uint8_t protocol, uint8_t type_of_service,
                                   uint32_t payload_len)
{
    /* Both bytes at once, as they lie in memory: the sum below is made of words. */
    const uint16_t first_word = be16((uint16_t)(IPV4_VERSION_IHL << 8 | type_of_service));

    __builtin_memcpy(ip, &first_word, sizeof first_word);
    ip->total_length = be16((uint16_t)(sizeof *ip + payload_len));
    ip->identification = be16(inet->next_identification++);
    ip->flags_fragment_offset = 0;
    ip->time_to_live = INET_TTL;
    ip->protocol = protocol;
    ip->source_address = be32(inet->own[local]);
    ip->destination_address = be32(destination);
    /* Field by field: csum_add_20 would load wide what was just stored narrow, and wait for it. */
    uint16_t ttl_protocol = be16((uint16_t)(INET_TTL << 8 | protocol));
    uint64_t sum = (uint64_t)ip->source_address + ip->destination_address + first_word +
                   ip->total_length + ip->identification + ttl_protocol;
    ip->header_checksum = csum_finish(sum);
}

/* May another ICMP error be sent now? It then counts as one, of either family. */
bool inet_may_send_error(struct inet *inet);

/* Makes nb, which came from `source` for our address number `local`, the ICMP error that tells its
 * sender that it can't be delivered (inet_error.c). INET_DROPPED, counted as `why` or as too many
 * errors, if there is to be none. */
enum inet_verdict inet_unreachable(struct inet *inet, struct netbuf *nb, uint32_t local,
                                   uint32_t source, uint8_t code, enum inet_drop why);

/* inet_frame.c: the VLAN that we live in. */
void inet_frame_init(struct inet *inet);

/* Takes the tag off a frame that has one. False, counting why, if it isn't of our VLAN. */
bool inet_untag(struct inet *inet, struct netbuf *nb);

/* Fills a frame up with zeroes to the least that Ethernet carries, as far as its buffer goes. */
void inet_pad(struct netbuf *nb);

/* The last step for every frame from us: padding, and the tag of our VLAN. */
void inet_finish(const struct inet *inet, struct netbuf *nb);

/* inet_address.c: the first address and those of the command line. */
void inet_address_init(struct inet *inet, struct ipv4_prefix prefix);

/* The number of our address that is in use; INET_ADDRESSES if it isn't ours. */
uint32_t inet_find_address(struct inet *inet, uint32_t ip);

/* Drops a packet to an address that isn't ours. */
enum inet_verdict inet_address_drop(struct inet *inet, uint32_t destination);

/* An ARP packet says that `mac` has the address `ip`, or with a probe that it wants it. Does that
 * contradict us? */
bool inet_address_contradicts(struct inet *inet, uint32_t ip, bool probe, const uint8_t *mac);

/* Makes nb the next probe or announcement, if it is time for one; else lowers inet->due_ns. */
bool inet_address_next(struct inet *inet, struct netbuf *nb);

/* Makes the fresh buffer nb a request for `ip` by our address `from`; 0 is none of ours. */
void inet_arp_build_request(const struct inet *inet, struct netbuf *nb, uint32_t from, uint32_t ip);

/* What an address is, as another core tells. */
void inet_address_in_state(struct inet *inet, uint32_t index, enum inet_address_state state);

/* inet_dhcp.c: net.ip=dhcp, as the command line has it. */
void inet_dhcp_init(struct inet *inet);

/* Takes a packet that is for the DHCP client, and counts what became of it; false if it isn't. */
bool inet_dhcp_takes(struct inet *inet, const struct netbuf *nb);

/* An answer that another core has received. */
void inet_dhcp_collect(struct inet *inet, const struct dhcp_answer *answer);

/* Has the first address follow the lease, and makes nb the next message if there is one; else
 * lowers inet->due_ns. inet->has_packets is set if the address changed. */
bool inet_dhcp_next(struct inet *inet, struct netbuf *nb);

/* inet_cores.c: what another core has for the one that speaks for the host. */
void inet_cores_conflict(const struct inet *other, uint32_t index, const uint8_t *mac);
enum dhcp_reason inet_cores_mail(const struct inet *other, const struct dhcp_answer *answer);

/* The speaker's: takes what others left for it, and tells them of the addresses. */
void inet_cores_collect(struct inet *inet);
void inet_cores_publish(struct inet *inet);

/* An ARP packet: learns from it and makes it the answer, if it wants one (inet_arp.c). */
enum inet_verdict inet_arp_input(struct inet *inet, struct netbuf *nb);

/* Nothing is known of neighbours, asked or to be announced any more. */
void inet_arp_forget(struct inet *inet);

/* Takes the options out of an IPv4 header that has such. False, having counted why, if it isn't
 * IPv4, or its lengths or its checksum are wrong (inet_fragment.c). */
bool inet_strip_options(struct inet *inet, struct netbuf *nb);

/* A fragment with len bytes behind its header of 20 bytes; `fragment` is of its flags and offset
 * what makes it one. Of udp->from family, ip and local are set (inet_fragment.c). */
enum inet_verdict inet_fragment_input(struct inet *inet, struct netbuf *nb, uint32_t len,
                                      uint32_t fragment, struct inet_udp *udp);

/* Adds a fragment of either family, and counts what became of it if that isn't a whole datagram.
 * True: *whole is one, which is the caller's to release. For an inet with a reassembly. */
bool inet_reassemble(struct inet *inet, const struct reassembly_fragment *fragment,
                     struct reassembly_whole *whole);

/* A UDP datagram that was put together, for an app that takes it where it is; `pseudo` is the
 * running sum of its pseudo header without the length. Of udp->from the addresses are set. */
enum inet_verdict inet_udp_large(struct inet *inet, struct netbuf *nb,
                                 const struct reassembly_whole *whole, uint64_t pseudo,
                                 struct inet_udp *udp);

/* An ICMP message of `len` bytes behind an IPv4 header of 20 bytes, from `source` to our address
 * number `local`. */
enum inet_verdict inet_icmp_input(struct inet *inet, struct netbuf *nb, uint32_t local,
                                  uint32_t source, uint32_t len);

#endif
