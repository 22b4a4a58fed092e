/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udpkv_sockets.c - udpkv's server over a kernel UDP socket: one datagram a system call
 * (sockets.batch=1: recvfrom, sendto), or up to 32 (recvmmsg, sendmmsg). It sleeps while nothing
 * comes.
 *
 * server_burst wants frames. The kernel delivers payloads, so they are received right behind where
 * the headers belong, and those are written in front. The sender's place in the batch is the last
 * part of its IP address there; from that of an answer the real address is found again. It costs
 * some tens of cycles a request, where the system calls cost thousands.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "boot/boot.h"
#include "netbuf/eth.h"
#include "netbuf/inet.h"
#include "udpkv_peer.h"

enum { BATCH_MAX = 32, OUT_MAX = 256, BUFFERS = 1024, SOCKET_BUFFER = 4 << 20, HEADERS = 42 };
#define FAKE_IP 0x0a000300u /* 10.0.3.0, and the place in the batch */

static uint64_t batch;
BOOT_KEY_RANGE("sockets.batch", boot_parse_u64, &batch, "32", "datagrams",
               "a system call; 1 is recvfrom and sendto", 1, BATCH_MAX);

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, their_mac[6] = {2, 0, 0, 0, 0, 2};
static struct server server;
static struct netbuf_pool *pool;
static struct sockaddr_in senders[BATCH_MAX];
static struct netbuf *in[BATCH_MAX], *out[OUT_MAX];

static int open_socket(void)
{
    const struct timeval wait = {.tv_usec = 100000}; /* then it is asked whether to stop */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer_port)};
    const int bytes = SOCKET_BUFFER;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        panic("UDP port %lu can't be had; choose another with udpkv.port=.", peer_port);
    return fd;
}

/* Writes the headers of a datagram of len bytes that came from senders[place]. */
static void frame(struct netbuf *nb, uint32_t place, uint32_t len)
{
    uint8_t *p = nb->data;
    uint32_t sum = 0;

    memcpy(p, our_mac, 6);
    memcpy(p + 6, their_mac, 6);
    store_be16(p + 12, 0x0800);
    memset(p + 14, 0, 28);
    p[14] = 0x45;
    store_be16(p + 16, (uint16_t)(28 + len));
    p[22] = 64;
    p[23] = 17;
    store_be16(p + 26, FAKE_IP >> 16);
    store_be16(p + 28, (uint16_t)(FAKE_IP + place + 1));
    store_be16(p + 30, (uint16_t)(inet_ip.address >> 16));
    store_be16(p + 32, (uint16_t)inet_ip.address);
    for (int i = 14; i < 34; i += 2)
        sum += load_be16(p + i);
    sum = (sum & 0xffff) + (sum >> 16);
    store_be16(p + 24, (uint16_t)~sum);
    memcpy(p + 34, &senders[place].sin_port, 2);
    store_be16(p + 36, (uint16_t)peer_port);
    store_be16(p + 38, (uint16_t)(8 + len));
    nb->len = (uint16_t)(HEADERS + len);
}

static uint32_t receive(int fd)
{
    static struct mmsghdr messages[BATCH_MAX];
    static struct iovec pieces[BATCH_MAX];

    for (uint32_t i = 0; i < batch; i++) {
        if (!in[i])
            in[i] = netbuf_alloc(pool);
        assert(in[i]);
        pieces[i] = (struct iovec){in[i]->data + HEADERS, netbuf_tailroom(in[i]) - HEADERS};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &senders[i],
                                              .msg_namelen = sizeof senders[i],
                                              .msg_iov = &pieces[i],
                                              .msg_iovlen = 1};
    }
    if (batch == 1) {
        socklen_t len = sizeof senders[0];
        ssize_t n = recvfrom(fd, pieces[0].iov_base, pieces[0].iov_len, 0,
                             (struct sockaddr *)&senders[0], &len);
        if (n < 0)
            return 0;
        frame(in[0], 0, (uint32_t)n);
        return 1;
    }
    int n = recvmmsg(fd, messages, (unsigned)batch, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++)
        frame(in[i], (uint32_t)i, messages[i].msg_len);
    return n > 0 ? (uint32_t)n : 0;
}

static void send_all(int fd, uint32_t n)
{
    static struct mmsghdr messages[OUT_MAX];
    static struct iovec pieces[OUT_MAX];

    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = load_be16(out[i]->data + 32) - (FAKE_IP & 0xffff) - 1;
        assert(place < batch);
        pieces[i] = (struct iovec){out[i]->data + HEADERS, out[i]->len - HEADERS};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &senders[place],
                                              .msg_namelen = sizeof senders[place],
                                              .msg_iov = &pieces[i],
                                              .msg_iovlen = 1};
    }
    if (batch == 1) {
        for (uint32_t i = 0; i < n; i++)
            sendto(fd, pieces[i].iov_base, pieces[i].iov_len, 0, messages[i].msg_hdr.msg_name,
                   sizeof senders[0]);
    } else {
        for (uint32_t i = 0; i < n;) {
            int sent = sendmmsg(fd, messages + i, n - i, 0);
            i += sent > 0 ? (uint32_t)sent : 1; /* an error loses one */
        }
    }
    netbuf_free_bulk(out, n);
}

int app_main(void)
{
    const struct netbuf_pool_conf conf = {
        .name = "udpkv", .count = BUFFERS, .buf_bytes = 2048, .headroom_bytes = 64};

    pool = netbuf_pool_create(&conf);
    if (!pool)
        panic("There is no memory for packet buffers; raise mem=.");
    peer_start(&server, pool, our_mac, true);
    int fd = open_socket();
    print("udpkv_sockets: serves port %lu/udp, %lu datagrams a system call.\n", peer_port, batch);
    while (!boot_stopping()) {
        uint32_t n = receive(fd);
        uint32_t answers = server_burst(&server, in, n, out, OUT_MAX, peer_now_s());
        memset(in, 0, n * sizeof in[0]); /* the server has them; the others are kept */
        memmove(in, in + n, (BATCH_MAX - n) * sizeof in[0]);
        memset(in + BATCH_MAX - n, 0, n * sizeof in[0]);
        send_all(fd, answers);
    }
    return 0;
}
