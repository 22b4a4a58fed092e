/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udpkv_dpdk.c - udpkv's server on a DPDK port, such as DPDK's own virtio-user driver.
 *
 * Nothing is copied: a netbuf stands in the private area of each mbuf and describes its data. So
 * this file has its own of those functions of netbuf.h that server_burst needs, over DPDK's pool.
 *
 *     udpkv_dpdk eal=WORD eal=WORD ... udpkv.mem=192M mem=256M
 */
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#undef assert /* libc's, which comes along: boot/lib.h has ours */
#include "boot/boot.h"
#include "udpkv_peer.h"

enum { BURST = 32, OUT_MAX = 256, RING = 256, BUFFERS = 8191, POOL_CACHE = 256, EAL_MAX = 64 };

static const char *parse_eal(const struct boot_key *key, const char *text);

static char program_name[] = "udpkv_dpdk";
static struct {
    char *words[EAL_MAX];
    int count;
} eal = {{program_name}, 1};
BOOT_KEY("eal+", parse_eal, &eal, NULL, "", "a word for DPDK's EAL");

static struct rte_mempool *mbufs;
static struct server server;

static const char *parse_eal(const struct boot_key *key, const char *text)
{
    (void)key;
    if (eal.count == EAL_MAX - 1)
        return "at most 62 words";
    eal.words[eal.count++] = strdup(text);
    return NULL;
}

/* --- netbuf.h over mbufs --------------------------------------------------------------------- */

static inline struct rte_mbuf *mbuf_of(struct netbuf *nb)
{
    return (struct rte_mbuf *)nb - 1;
}

static inline struct netbuf *netbuf_of(struct rte_mbuf *m)
{
    struct netbuf *nb = rte_mbuf_to_priv(m);

    nb->data = rte_pktmbuf_mtod(m, uint8_t *);
    nb->start = m->buf_addr;
    nb->next = NULL;
    nb->len = m->data_len;
    nb->buf_bytes = m->buf_len;
    nb->flags = 0;
    return nb;
}

struct netbuf *netbuf_alloc(struct netbuf_pool *pool)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);

    (void)pool;
    return m ? netbuf_of(m) : NULL;
}

void netbuf_free(struct netbuf *packet)
{
    rte_pktmbuf_free(mbuf_of(packet));
}

void netbuf_free_bulk(struct netbuf **packets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        netbuf_free(packets[i]);
}

/* There are no chains here. */
bool netbuf_linearize(struct netbuf *first)
{
    return first->next == NULL;
}

/* --- the port -------------------------------------------------------------------------------- */

/* Returns whether the device takes over UDP's checksum. */
static bool open_port(uint8_t mac[6])
{
    struct rte_eth_conf conf = {0};
    struct rte_eth_dev_info info;
    struct rte_ether_addr address;

    if (rte_eal_init(eal.count, eal.words) < 0 || rte_eth_dev_count_avail() != 1 ||
        rte_eth_dev_info_get(0, &info) != 0)
        panic("DPDK has no port; look at the words of eal=.");
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    mbufs = rte_pktmbuf_pool_create("packets", BUFFERS, POOL_CACHE, sizeof(struct netbuf),
                                    RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (!mbufs || rte_eth_dev_configure(0, 1, 1, &conf) ||
        rte_eth_rx_queue_setup(0, 0, RING, 0, NULL, mbufs) ||
        rte_eth_tx_queue_setup(0, 0, RING, 0, NULL) || rte_eth_dev_start(0) ||
        rte_eth_macaddr_get(0, &address))
        panic("DPDK's port can't be started; does its memory suffice?");
    memcpy(mac, address.addr_bytes, 6);
    return conf.txmode.offloads != 0;
}

static inline struct rte_mbuf *ready(struct netbuf *nb)
{
    struct rte_mbuf *m = mbuf_of(nb);

    m->data_off = (uint16_t)(nb->data - (uint8_t *)m->buf_addr);
    m->data_len = nb->len;
    m->pkt_len = nb->len;
    m->ol_flags = 0;
    if (nb->flags & NETBUF_CSUM_PARTIAL) {
        m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        m->l2_len = 14;
        m->l3_len = 20;
    }
    return m;
}

static void send_all(struct netbuf **packets, uint32_t n)
{
    struct rte_mbuf *ms[OUT_MAX];
    uint32_t sent = 0;

    for (uint32_t i = 0; i < n; i++)
        ms[i] = ready(packets[i]);
    for (uint32_t tries = 0; sent < n && tries < 100000; tries++)
        sent += rte_eth_tx_burst(0, 0, ms + sent, (uint16_t)(n - sent));
    rte_pktmbuf_free_bulk(ms + sent, n - sent);
}

int app_main(void)
{
    static struct netbuf *in[BURST], *out[OUT_MAX];
    static struct rte_mbuf *ms[BURST];
    uint8_t mac[6];
    bool csum_offload = open_port(mac);

    peer_start(&server, NULL, mac, csum_offload);
    print("udpkv_dpdk: serves port %lu/udp.\n", peer_port);
    for (uint64_t before = clock_cycles(), now; !boot_stopping(); before = now) {
        uint32_t came = rte_eth_rx_burst(0, 0, ms, BURST), n = 0;
        for (uint32_t i = 0; i < came; i++) {
            if (ms[i]->nb_segs == 1)
                in[n++] = netbuf_of(ms[i]);
            else
                rte_pktmbuf_free(ms[i]);
        }
        if (n > 0 && (n = server_burst(&server, in, n, out, OUT_MAX, peer_now_s())) > 0)
            send_all(out, n);
        now = clock_cycles();
        peer_cycles_total += now - before;
        peer_cycles_busy += came > 0 ? now - before : 0;
    }
    return 0;
}
