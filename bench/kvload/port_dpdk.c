/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_dpdk.c - a port of DPDK: a vhost-user socket, whose front end is a VM (vhost.h), or any
 * other device.
 *
 * Frames are Ethernet, IPv4 and UDP. Their headers are made once; what changes are lengths, the IP
 * checksum and the client's port. A vhost-user socket's frames are copied as they are sent, so it
 * has the same buffers for ever, in which the headers stay. Any other device keeps a buffer until
 * the frame is out, so it gets new ones each time. UDP's checksum is left out (zero), as RFC 768
 * allows: both sides are on one machine and every byte of an answer is compared anyway. The port
 * asks for the server by ARP at the start, and answers ARP requests at any time. A frame that isn't
 * from the server to one of our ports is counted as foreign.
 */
#include "port.h"
#include "vhost.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_arp.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

enum { RING = 256, BUFFERS = 2047, CACHE = 256, FIRST_PORT = 20000, ARP_PAUSE_MS = 5 };

struct headers {
    struct rte_ether_hdr eth;
    struct rte_ipv4_hdr ip;
    struct rte_udp_hdr udp;
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct headers) == 42, "Ethernet, IPv4 and UDP without options");

struct dpdk_port {
    struct port port;
    uint32_t clients;
    uint32_t ip_sum; /* of the IP header without its length */
    rte_be32_t server_ip, local_ip;
    rte_be16_t server_port;
    struct rte_ether_addr mac, server_mac;
    bool resolved, vhost;
    struct rte_mempool *pool;
    uint32_t in_count, in_segments, waiting, waiting_sent;
    /* filling[waiting_sent] to filling[waiting - 1] found no room yet. */
    struct rte_mbuf *in[PORT_BURST], *filling[PORT_BURST];
    struct headers headers; /* of client 0 and no length */
};

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "kvload: %s\n", text);
    exit(3);
}

/* --- frames --------------------------------------------------------------------------------- */

/* Sends frames; how many found room. */
static uint32_t send_frames(struct dpdk_port *p, struct rte_mbuf **frames, uint32_t n)
{
    return p->vhost ? vhost_send(frames, n) : rte_eth_tx_burst(0, 0, frames, (uint16_t)n);
}

/* --- ARP ----------------------------------------------------------------------------------- */

static void send_arp(struct dpdk_port *p, uint16_t operation, const struct rte_ether_addr *to,
                     rte_be32_t to_ip)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
    struct {
        struct rte_ether_hdr eth;
        struct rte_arp_hdr arp;
    } __attribute__((packed, aligned(2))) frame = {
        .eth = {.src_addr = p->mac, .ether_type = htons(RTE_ETHER_TYPE_ARP)},
        .arp = {.arp_hardware = htons(RTE_ARP_HRD_ETHER),
                .arp_protocol = htons(RTE_ETHER_TYPE_IPV4),
                .arp_hlen = 6,
                .arp_plen = 4,
                .arp_opcode = htons(operation),
                .arp_data = {.arp_sha = p->mac, .arp_sip = p->local_ip, .arp_tip = to_ip}},
    };

    if (!m)
        return;
    if (to)
        frame.eth.dst_addr = frame.arp.arp_data.arp_tha = *to;
    else
        memset(&frame.eth.dst_addr, 0xff, sizeof frame.eth.dst_addr);
    memset(rte_pktmbuf_append(m, 60), 0, 60);
    memcpy(rte_pktmbuf_mtod(m, void *), &frame, sizeof frame);
    if (send_frames(p, &m, 1) == 0 || p->vhost)
        rte_pktmbuf_free(m);
}

/* Learns the server's address from its requests and replies; answers requests for ours. */
static void take_arp(struct dpdk_port *p, const struct rte_mbuf *m)
{
    struct rte_arp_hdr arp;

    if (m->data_len < sizeof(struct rte_ether_hdr) + sizeof arp)
        return;
    memcpy(&arp, rte_pktmbuf_mtod_offset(m, void *, sizeof(struct rte_ether_hdr)), sizeof arp);
    if (arp.arp_data.arp_sip == p->server_ip && !p->resolved) {
        p->server_mac = arp.arp_data.arp_sha;
        p->resolved = true;
    }
    if (arp.arp_opcode == htons(RTE_ARP_OP_REQUEST) && arp.arp_data.arp_tip == p->local_ip)
        send_arp(p, RTE_ARP_OP_REPLY, &arp.arp_data.arp_sha, arp.arp_data.arp_sip);
}

/* --- packets ------------------------------------------------------------------------------- */

static inline bool is_answer(const struct dpdk_port *p, const struct rte_mbuf *m, uint32_t *client)
{
    const struct headers *h = rte_pktmbuf_mtod(m, const struct headers *);

    if (m->data_len < sizeof *h || m->nb_segs != 1)
        return false;
    *client = (uint32_t)ntohs(h->udp.dst_port) - FIRST_PORT;
    uint32_t udp_len = ntohs(h->udp.dgram_len);
    return h->eth.ether_type == htons(RTE_ETHER_TYPE_IPV4) && h->ip.version_ihl == 0x45 &&
           h->ip.next_proto_id == IPPROTO_UDP && h->ip.src_addr == p->server_ip &&
           h->ip.dst_addr == p->local_ip && h->udp.src_port == p->server_port &&
           *client < p->clients && udp_len >= sizeof h->udp &&
           ntohs(h->ip.total_length) == udp_len + sizeof h->ip &&
           udp_len + sizeof h->ip + sizeof h->eth <= m->data_len;
}

static uint32_t receive_frames(struct dpdk_port *p)
{
    uint32_t n;

    if (p->vhost)
        return vhost_receive(p->pool, p->in, PORT_BURST);
    n = rte_eth_rx_burst(0, 0, p->in, PORT_BURST);
    for (uint32_t i = 0; i < n; i++)
        rte_prefetch0(rte_pktmbuf_mtod(p->in[i], void *));
    return n;
}

/* A frame that is no answer. */
static void take_other(struct dpdk_port *p, const struct rte_mbuf *m)
{
    if (m->data_len >= sizeof(struct rte_ether_hdr) &&
        rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->ether_type == htons(RTE_ETHER_TYPE_ARP))
        take_arp(p, m);
    else
        p->port.foreign++;
}

static void release(struct port *port)
{
    struct dpdk_port *p = (struct dpdk_port *)port;

    if (likely(p->in_segments == p->in_count)) /* nothing to free but the buffers themselves */
        rte_mempool_put_bulk(p->pool, (void **)p->in, p->in_count);
    else
        rte_pktmbuf_free_bulk(p->in, p->in_count);
}

static uint32_t receive(struct port *port, struct datagram *in)
{
    struct dpdk_port *p = (struct dpdk_port *)port;
    uint32_t n = 0, client;

    p->in_count = receive_frames(p);
    p->in_segments = 0;
    for (uint32_t i = 0; i < p->in_count; i++) {
        const struct rte_mbuf *m = p->in[i];
        p->in_segments += m->nb_segs;
        if (likely(is_answer(p, m, &client))) {
            struct headers *h = rte_pktmbuf_mtod(m, struct headers *);
            in[n].bytes = (uint8_t *)(h + 1);
            in[n].len = (uint16_t)(ntohs(h->udp.dgram_len) - sizeof h->udp);
            in[n++].client = (uint16_t)client;
        } else {
            take_other(p, m);
        }
    }
    if (n == 0 && p->in_count > 0)
        release(port);
    return n;
}

static bool send_late(struct dpdk_port *p)
{
    p->waiting_sent += send_frames(p, p->filling + p->waiting_sent, p->waiting - p->waiting_sent);
    if (p->waiting_sent < p->waiting)
        return false;
    p->waiting_sent = p->waiting = 0;
    return true;
}

/* New buffers, with headers. */
static bool fill_headers(struct dpdk_port *p, uint32_t n)
{
    if (rte_pktmbuf_alloc_bulk(p->pool, p->filling, n))
        return false;
    for (uint32_t i = 0; i < n; i++)
        memcpy(rte_pktmbuf_mtod(p->filling[i], void *), &p->headers, sizeof p->headers);
    return true;
}

static uint32_t prepare(struct port *port, struct datagram *out, uint32_t n)
{
    struct dpdk_port *p = (struct dpdk_port *)port;

    if (p->waiting > 0 && !send_late(p))
        return 0;
    if (p->vhost)
        vhost_expect(n);
    else if (!fill_headers(p, n))
        return 0;
    for (uint32_t i = 0; i < n; i++)
        out[i].bytes = rte_pktmbuf_mtod_offset(p->filling[i], uint8_t *, sizeof(struct headers));
    return n;
}

static void send_all(struct port *port, struct datagram *out, uint32_t n)
{
    struct dpdk_port *p = (struct dpdk_port *)port;

    for (uint32_t i = 0; i < n; i++) {
        struct rte_mbuf *m = p->filling[i];
        struct headers *h = rte_pktmbuf_mtod(m, struct headers *);
        uint16_t ip_len = (uint16_t)(out[i].len + sizeof h->udp + sizeof h->ip);
        h->ip.total_length = htons(ip_len);
        uint32_t sum = p->ip_sum + h->ip.total_length;
        sum = (sum & 0xffff) + (sum >> 16);
        h->ip.hdr_checksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
        h->udp.src_port = htons((uint16_t)(FIRST_PORT + out[i].client));
        h->udp.dgram_len = htons((uint16_t)(out[i].len + sizeof h->udp));
        m->data_len = (uint16_t)(ip_len + sizeof h->eth);
        m->pkt_len = m->data_len;
    }
    p->waiting = n;
    p->waiting_sent = 0;
    send_late(p);
}

/* --- opening ------------------------------------------------------------------------------- */

static void make_headers(struct dpdk_port *p)
{
    p->headers = (struct headers){
        .eth = {p->server_mac, p->mac, htons(RTE_ETHER_TYPE_IPV4)},
        .ip = {.version_ihl = 0x45,
               .fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG),
               .time_to_live = 64,
               .next_proto_id = IPPROTO_UDP,
               .src_addr = p->local_ip,
               .dst_addr = p->server_ip},
        .udp = {.dst_port = p->server_port},
    };
    /* A sum of all words but the length, folded. */
    p->ip_sum = rte_raw_cksum(&p->headers.ip, sizeof p->headers.ip);
    if (p->vhost && !fill_headers(p, PORT_BURST))
        die("too few packet buffers.");
}

/* Asks for the server's MAC address until it is known, at most for patience_ms. */
static void resolve(struct dpdk_port *p, uint32_t patience_ms)
{
    struct datagram in[PORT_BURST];

    for (uint32_t tried = 0; !p->resolved; tried++) {
        if (tried > patience_ms / ARP_PAUSE_MS)
            die("the server doesn't answer ARP; is the VM up, and is --server its address?");
        send_arp(p, RTE_ARP_OP_REQUEST, NULL, p->server_ip);
        for (int i = 0; i < ARP_PAUSE_MS * 10 && !p->resolved; i++) {
            if (receive(&p->port, in) > 0)
                release(&p->port);
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        }
    }
}

/* Any port of DPDK's but a vhost-user socket. */
static void start_device(struct dpdk_port *p)
{
    struct rte_eth_conf conf = {0};
    struct rte_eth_dev_info info;

    if (rte_eth_dev_count_avail() == 0 || rte_eth_dev_info_get(0, &info))
        die("DPDK found no port.");
    if (rte_eth_dev_configure(0, 1, 1, &conf) ||
        rte_eth_rx_queue_setup(0, 0, RING, 0, NULL, p->pool) ||
        rte_eth_tx_queue_setup(0, 0, RING, 0, NULL) || rte_eth_dev_start(0) ||
        rte_eth_macaddr_get(0, &p->mac))
        die("the DPDK port can't be started; does its memory suffice?");
}

/* Removes the socket that an earlier run left behind; not one on which a process listens. */
static void remove_leftover(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat status;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    if (fd >= 0 && stat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        connect(fd, (struct sockaddr *)&name, sizeof name) < 0 && errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

static void start_vhost(struct dpdk_port *p, const char *path)
{
    remove_leftover(path);
    rte_eth_random_addr(p->mac.addr_bytes);
    if (!vhost_listen(path))
        die("the vhost-user socket can't be opened.");
    p->vhost = true;
}

static void start_eal(const struct options *o)
{
    char *words[64] = {"kvload"};
    int count = 1;

    if (o->vhost)
        words[count++] = "--no-pci";
    for (int i = 0; i < o->eal_count && count < 63; i++)
        words[count++] = o->eal[i];
    if (rte_eal_init(count, words) < 0)
        die("DPDK's EAL can't be started; its options stand behind --.");
}

struct port *port_open_dpdk(const struct options *o)
{
    struct dpdk_port *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    struct in_addr server, local;

    if (!p)
        die("no memory.");
    memset(p, 0, sizeof *p);
    if (inet_pton(AF_INET, o->server, &server) != 1)
        die("--server is no IPv4 address.");
    local.s_addr = htonl((ntohl(server.s_addr) & 0xffffff00) | 2);
    if (local.s_addr == server.s_addr)
        local.s_addr = htonl((ntohl(server.s_addr) & 0xffffff00) | 3);
    if (o->local_ip && inet_pton(AF_INET, o->local_ip, &local) != 1)
        die("--local-ip is no IPv4 address.");
    p->port =
        (struct port){.receive = receive, .release = release, .prepare = prepare, .send = send_all};
    p->clients = o->clients;
    p->server_ip = server.s_addr;
    p->local_ip = local.s_addr;
    p->server_port = htons(o->port);
    start_eal(o);
    p->pool = rte_pktmbuf_pool_create("packets", BUFFERS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (!p->pool)
        die("there is no memory for packet buffers; EAL's options stand behind --.");
    if (o->vhost)
        start_vhost(p, o->vhost);
    else
        start_device(p);
    resolve(p, o->connect_timeout_ms);
    make_headers(p);
    return &p->port;
}
