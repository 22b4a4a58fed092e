/* SPDX-License-Identifier: BSD-2-Clause */
/* udpkv_peer.c - see udpkv_peer.h. */
#include "udpkv_peer.h"
#include "boot/boot.h"

uint64_t peer_port, peer_cycles_busy, peer_cycles_total;
static uint64_t mem_bytes;
BOOT_KEY_RANGE("udpkv.port", boot_parse_u64, &peer_port, "11211", "", "UDP port to serve", 1,
               65535);
BOOT_KEY_RANGE("udpkv.mem", boot_parse_size, &mem_bytes, "64M", "bytes", "memory for items",
               STORE_MIN_BYTES, STORE_MAX_BYTES);

static uint64_t clock_base_s;

void peer_start(struct server *server, struct netbuf_pool *pool, const uint8_t mac[6],
                bool csum_offload)
{
    struct server_conf conf = {.ip = inet_ip,
                               .port = (uint16_t)peer_port,
                               .csum_offload = csum_offload,
                               .pool = pool,
                               .store_bytes = mem_bytes,
                               .cycles_busy = &peer_cycles_busy,
                               .cycles_total = &peer_cycles_total,
                               .allow_count = 1}; /* 0.0.0.0/0 */
    void *memory = boot_alloc(mem_bytes, CACHE_LINE);

    if (!memory)
        panic("udpkv.mem=%luM doesn't fit into mem=; raise that.", mem_bytes >> 20);
    memcpy(conf.mac, mac, sizeof conf.mac);
    shards_create(&conf.shards, memory, mem_bytes, 1, boot_random());
    clock_base_s = clock_unix_s() - clock_ns() / 1000000000ull;
    conf.now_s = peer_now_s();
    server_init(server, &conf);
}

uint32_t peer_now_s(void)
{
    return (uint32_t)(clock_base_s + clock_ns() / 1000000000ull);
}
