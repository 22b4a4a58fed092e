/* SPDX-License-Identifier: BSD-2-Clause */
/* send.c - sends numbered packets; the socket that sending and counting share. */
#include "packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "netbuf/checksum.h"

enum { BURST_MAX = 256, FRAME_MAX = 2048 };

int packet_socket(const char *interface, uint16_t protocol)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = (int)if_nametoindex(interface),
    };

    if (fd < 0 || address.sll_ifindex == 0)
        fail(interface);
    if (bind(fd, (struct sockaddr *)&address, sizeof address))
        fail("bind");
    return fd;
}

uint64_t packet_sum(const struct packet *p)
{
    uint16_t len = ntohs(p->udp.length);
    uint64_t sum = csum_pseudo(ntohl(p->ip.source_address), ntohl(p->ip.destination_address),
                               IPV4_PROTOCOL_UDP, len);

    return csum_add(sum, &p->udp, len);
}

static void make_packet(uint8_t *frame, size_t size, int fd, const char *interface)
{
    struct packet *p = (struct packet *)frame;
    struct ifreq own;

    memset(frame, 0, size);
    memset(&own, 0, sizeof own);
    strncpy(own.ifr_name, interface, sizeof own.ifr_name - 1);
    if (ioctl(fd, SIOCGIFHWADDR, &own))
        fail(interface);
    mac_of("dst.mac", "02:00:00:00:00:00", p->eth.destination);
    memcpy(p->eth.source, own.ifr_hwaddr.sa_data, ETH_MAC_BYTES);
    if (text_of("src.mac", NULL))
        mac_of("src.mac", "", p->eth.source);
    p->eth.type = htons(ETH_TYPE_IPV4);
    p->ip = (struct ipv4_header){
        .version_ihl = IPV4_VERSION_IHL,
        .total_length = htons((uint16_t)(size - sizeof p->eth)),
        .time_to_live = 64,
        .protocol = IPV4_PROTOCOL_UDP,
        .source_address = ip_of(text_of("src.ip", "198.18.0.1")),
        .destination_address = ip_of(text_of("dst.ip", "198.18.0.2")),
    };
    p->ip.header_checksum = csum_finish(csum_add_20(0, &p->ip));
    p->udp = (struct udp_header){
        .source_port = htons((uint16_t)number_of("src.port", 9)),
        .destination_port = htons((uint16_t)number_of("dst.port", 9)),
        .length = htons((uint16_t)(size - sizeof p->eth - sizeof p->ip)),
    };
    p->stamp.magic = htonl(PACKET_MAGIC);
}

static uint8_t frames[BURST_MAX][FRAME_MAX] __attribute__((aligned(64)));

static void number_packet(struct packet *p, uint64_t number, uint64_t sum, bool csum)
{
    p->stamp.sequence = htonl((uint32_t)number);
    if (csum) {
        uint16_t made = csum_finish(csum_carry(sum, p->stamp.sequence));
        p->udp.checksum = made ? made : 0xffff;
    }
}

int packets_send(const char *interface)
{
    check_keys(" size burst count seconds rate dst.mac src.mac src.ip dst.ip src.port dst.port csum"
               " buffer bypass lossy ");
    size_t size = (size_t)number_of("size", 60);
    unsigned burst = (unsigned)number_of("burst", 32);
    uint64_t count = (uint64_t)number_of("count", 0), sent = 0, busy = 0, lost = 0;
    double limit = number_of("seconds", count ? 3600 : 10), rate = number_of("rate", 0);
    bool csum = number_of("csum", 1) != 0;
    int fd = packet_socket(interface, 0), buffer = (int)number_of("buffer", 200000);
    int bypass = number_of("bypass", 1) != 0;
    bool lossy = number_of("lossy", 0) != 0;

    if (size < sizeof(struct packet) || size > FRAME_MAX || burst < 1 || burst > BURST_MAX) {
        fprintf(stderr, "packets: size is 58 to %d, burst 1 to %d\n", FRAME_MAX, BURST_MAX);
        return 2;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass))
        fail("setsockopt");
    struct mmsghdr messages[BURST_MAX] = {0};
    struct iovec parts[BURST_MAX];
    for (unsigned i = 0; i < burst; i++) {
        make_packet(frames[i], size, fd, interface);
        parts[i] = (struct iovec){frames[i], size};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    uint64_t sum = packet_sum((struct packet *)frames[0]);
    double start = seconds(), now = start;
    while (!over && (!count || sent < count) && now - start < limit) {
        unsigned n = count && count - sent < burst ? (unsigned)(count - sent) : burst;

        if (rate > 0 && (double)(sent + lost) > (now - start) * rate) {
            struct timespec wait = {0, 100000};
            nanosleep(&wait, NULL);
            now = seconds();
            continue;
        }
        for (unsigned i = 0; i < n; i++)
            number_packet((struct packet *)frames[i], sent + i, sum, csum);
        int done = sendmmsg(fd, messages, n, 0);
        if (done > 0) {
            sent += (unsigned)done;
        } else if (errno == ENOBUFS || errno == EAGAIN) {
            busy++; /* the driver has stopped its queue */
            lost += lossy;
            if (!lossy)
                sched_yield();
        } else if (errno != EINTR) {
            fail("sendmmsg");
        }
        now = seconds();
    }
    double took = now - start;
    printf("{\"sent\":%lu,\"size\":%zu,\"seconds\":%.3f,\"pps\":%.0f,\"busy\":%lu,"
           "\"lost\":%lu}\n",
           sent, size, took, took > 0 ? (double)sent / took : 0, busy, lost);
    return 0;
}
