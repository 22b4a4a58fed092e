/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflect - sends each UDP datagram back to who sent it. The smallest network app: this file has
 * the device and the loop, reflect.c what is done with a burst of packets.
 *
 * Exits with 0, or with 1 if a packet buffer got lost on the way.
 */
#include "apps/reflect/reflect.h"
#include "netbuf/inet6.h"
#include "netdev/loop.h"

enum { BURST = 32, BUFFERS = 1024, FRAME_BYTES = 1518 };

static struct netdev_loop loop;
static struct reflect reflect;
static struct inet6 inet6;
BOOT_KEY_RANGE("reflect.port", boot_parse_u64, &reflect.port, "7", "",
               "UDP port whose datagrams are sent back (RFC 862)", 1, 65535);

static struct netdev_info info;

static void print_serves(void)
{
    char ip[IPV4_TEXT_BYTES];

    print("reflect: serves %s:%lu/udp", ipv4_format(ip, reflect.inet.prefix.address), reflect.port);
    inet_print_lease(&reflect.inet);
    print(", %s at %s.\n", info.driver, info.where);
}

int app_main(void)
{
    struct netbuf *packets[BURST];
    struct netbuf_pool *pool;

    struct netdev *dev = netdev_pick();
    netdev_open_cores(dev, 1, &pool, BUFFERS, FRAME_BYTES, 0);
    netdev_info(dev, &info);
    inet_init(&reflect.inet, info.mac, inet_ip);
    reflect.inet.mtu_bytes = (uint16_t)MIN(info.mtu_bytes, (uint32_t)ETH_MTU);
    reflect.inet.reassembly = inet_reassembly_create();
    inet6_init(&inet6, &reflect.inet, info.mtu_bytes);
    netdev_loop_init(&loop);
    netdev_loop_add(&loop, dev, 0);
    netdev_loop_host(&loop, dev, 0, &reflect.inet, pool);
    netdev_loop_serves(&loop, print_serves);
    inet6_print(&reflect.inet, "reflect");

    while (!boot_stopping()) {
        uint32_t came = netdev_rx_burst(dev, 0, packets, BURST);
        uint32_t answers = reflect_burst(&reflect, packets, came);
        netdev_send(dev, 0, packets, answers, NETDEV_PATIENCE_NS);
        netdev_loop_turn(&loop, came > 0);
    }

    netdev_stop(dev);
    netdev_print_stats(dev);
    netdev_print_drops("inet", inet_drop_names, reflect.inet.drops, INET_DROP_REASONS);
    netdev_print_drops("datagrams", reflect_drop_names, reflect.drops, REFLECT_DROP_REASONS);
    return netbuf_pools_report() ? 0 : 1;
}
