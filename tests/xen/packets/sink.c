/* SPDX-License-Identifier: BSD-2-Clause */
/* sink.c - counts numbered packets, from a ring that the kernel writes them to (packet_mmap). */
#include "packets.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "apps/pktgen/account.h"
#include "netbuf/checksum.h"

enum { RING_BLOCK = 1 << 18, RING_BLOCKS = 32, RING_FRAME = 2048 };

struct sink {
    struct account account;
    uint64_t packets, bytes, other, csum_none, csum_bad, csum_open;
    double first, last;
};

static void sink_packet(struct sink *s, const uint8_t *frame, size_t len, uint32_t status)
{
    const struct packet *p = (const struct packet *)frame;

    if (len < sizeof *p || p->eth.type != htons(ETH_TYPE_IPV4) ||
        p->ip.protocol != IPV4_PROTOCOL_UDP || p->stamp.magic != htonl(PACKET_MAGIC)) {
        s->other++;
        return;
    }
    size_t udp = ntohs(p->udp.length);
    if (status & TP_STATUS_CSUMNOTREADY)
        s->csum_open++; /* the guest has left it to us */
    else if (p->udp.checksum == 0)
        s->csum_none++;
    else if (udp > len - sizeof p->eth - sizeof p->ip || csum_fold(packet_sum(p)) != 0xffff)
        s->csum_bad++;
    s->packets++;
    s->bytes += len;
    account_add(&s->account, ntohl(p->stamp.sequence));
}

static void sink_block(struct sink *s, struct tpacket_block_desc *block)
{
    struct tpacket3_hdr *head = (void *)((char *)block + block->hdr.bh1.offset_to_first_pkt);

    for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
        sink_packet(s, (uint8_t *)head + head->tp_mac, head->tp_snaplen, head->tp_status);
        head = (void *)((char *)head + head->tp_next_offset);
    }
}

static char *sink_ring(int fd)
{
    struct tpacket_req3 ring = {
        .tp_block_size = RING_BLOCK,
        .tp_block_nr = RING_BLOCKS,
        .tp_frame_size = RING_FRAME,
        .tp_frame_nr = RING_BLOCK / RING_FRAME * RING_BLOCKS,
        .tp_retire_blk_tov = 10, /* ms until a block that isn't full is handed over */
    };
    int version = TPACKET_V3, on = 1;

    if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ||
        setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring))
        fail("receive ring");
    char *map =
        mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        fail("mmap");
    return map;
}

int packets_sink(const char *interface)
{
    check_keys(" count seconds idle ");
    uint64_t count = (uint64_t)number_of("count", 0);
    double limit = number_of("seconds", 3600), idle = number_of("idle", 0);
    static struct sink s;
    int fd = packet_socket(interface, 0);
    char *map = sink_ring(fd);
    struct packet_mreq promiscuous = {(int)if_nametoindex(interface), PACKET_MR_PROMISC, 0, {0}};
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = promiscuous.mr_ifindex,
    };

    account_init(&s.account, true);
    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) /* from now on packets come */
        fail("bind");
    printf("packets: listening\n");
    fflush(stdout);
    double start = seconds(), now = start;
    for (unsigned at = 0; !over && now - start < limit; now = seconds()) {
        struct tpacket_block_desc *block = (void *)(map + (size_t)at * RING_BLOCK);

        if (!(load_acquire(&block->hdr.bh1.block_status) & TP_STATUS_USER)) {
            if (idle > 0 && s.packets && now - s.last > idle)
                break;
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20);
            continue;
        }
        uint64_t before = s.packets;
        sink_block(&s, block);
        store_release(&block->hdr.bh1.block_status, TP_STATUS_KERNEL);
        at = (at + 1) % RING_BLOCKS;
        if (s.packets != before) {
            s.last = seconds();
            s.first = s.first > 0 ? s.first : s.last;
        }
        if (count && account_unique(&s.account) >= count)
            break;
    }
    struct tpacket_stats_v3 told = {0};
    socklen_t len = sizeof told;
    getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &told, &len);
    double took = s.last - s.first;
    printf("{\"received\":%lu,\"unique\":%lu,\"first\":%lu,\"lost\":%lu,\"reordered\":%lu,"
           "\"duplicates\":%lu,\"stale\":%lu,\"other\":%lu,\"bytes\":%lu,\"seconds\":%.3f,"
           "\"pps\":%.0f,\"csum_open\":%lu,\"csum_none\":%lu,\"csum_bad\":%lu,\"sink_drops\":%u}\n",
           s.packets, account_unique(&s.account), s.account.first, s.account.missing,
           s.account.reordered, s.account.duplicates, s.account.stale, s.other, s.bytes, took,
           took > 0 ? (double)s.packets / took : 0, s.csum_open, s.csum_none, s.csum_bad,
           told.tp_drops);
    return 0;
}
