/* SPDX-License-Identifier: BSD-2-Clause */
/* traffic.c - makes packets; see traffic.h. */
#include "apps/pktgen/traffic.h"
#include "boot/boot.h"
#include "netbuf/checksum.h"

enum { TTL = 64, PREFILL_BULK = 64 };

static RUNS_SELDOM struct traffic_field field_of(const struct value_range *range)
{
    return (struct traffic_field){.range = *range, .now = range->first};
}

static inline void step_field(struct traffic_field *f)
{
    f->now = f->now == f->range.last ? f->range.first : f->now + 1;
}

static RUNS_SELDOM bool is_one_flow(const struct traffic *t)
{
    const struct traffic_field *const fields[] = {&t->src_mac, &t->dst_mac,  &t->src_ip,
                                                  &t->dst_ip,  &t->src_port, &t->dst_port};

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i]->range.first != fields[i]->range.last)
            return false;
    return true;
}

static void write_mac(uint8_t *to, uint64_t mac)
{
    store_be16(to, (uint16_t)(mac >> 32));
    store_be32(to + 2, (uint32_t)mac);
}

/* The headers' fields that follow from the size and the flow. Returns UDP's sum but for the number
 * and the time. */
static inline uint64_t write_flow(const struct traffic *t, struct packet *p, uint32_t bytes)
{
    const uint16_t ip_bytes = (uint16_t)(bytes - sizeof p->eth);
    const uint16_t udp_bytes = (uint16_t)(ip_bytes - sizeof p->ip);
    const uint16_t ip_len = be16(ip_bytes), udp_len = be16(udp_bytes);
    const uint32_t from = (uint32_t)t->src_ip.now, to = (uint32_t)t->dst_ip.now;
    const uint32_t src = be32(from), dst = be32(to);
    const uint16_t sport = be16((uint16_t)t->src_port.now), dport = be16((uint16_t)t->dst_port.now);
    const uint64_t pseudo = csum_pseudo(from, to, IPV4_PROTOCOL_UDP, udp_bytes);

    write_mac(p->eth.destination, t->dst_mac.now);
    write_mac(p->eth.source, t->src_mac.now);
    p->ip.total_length = ip_len;
    p->ip.header_checksum = csum_finish(t->ip_sum + ip_len + src + dst);
    p->ip.source_address = src;
    p->ip.destination_address = dst;
    p->udp.source_port = sport;
    p->udp.destination_port = dport;
    p->udp.length = udp_len;
    if (t->csum == TRAFFIC_CSUM_OFFLOAD)
        p->udp.checksum = csum_fold(pseudo);
    return pseudo + udp_len + sport + dport + t->magic;
}

static void step_flow(struct traffic *t)
{
    step_field(&t->src_mac);
    step_field(&t->dst_mac);
    step_field(&t->src_ip);
    step_field(&t->dst_ip);
    step_field(&t->src_port);
    step_field(&t->dst_port);
    t->size_at = t->size_at + 1 == t->sizes_count ? 0 : t->size_at + 1;
}

/* The whole of a packet: all that doesn't vary, and the fields of the next one, unnumbered. */
static uint64_t write_packet(const struct traffic *t, struct packet *p)
{
    memset(p, 0, sizeof *p);
    p->eth.type = be16(ETH_TYPE_IPV4);
    p->ip.version_ihl = IPV4_VERSION_IHL;
    p->ip.time_to_live = TTL;
    p->ip.protocol = IPV4_PROTOCOL_UDP;
    p->stamp.magic = t->magic;
    uint64_t sum = write_flow(t, p, traffic_next_bytes(t, 0));
    if (t->csum == TRAFFIC_CSUM_SW)
        p->udp.checksum = csum_finish_udp(sum);
    return sum;
}

RUNS_SELDOM void traffic_init(struct traffic *t, const struct traffic_conf *conf)
{
    struct packet p;

    assert(conf->sizes->count > 0 && (conf->numbered || !conf->timed));
    assert(conf->stream < PACKET_STREAMS);
    *t = (struct traffic){
        .sizes = conf->sizes->bytes,
        .sizes_count = conf->sizes->count,
        .src_mac = field_of(&conf->src_mac),
        .dst_mac = field_of(&conf->dst_mac),
        .src_ip = field_of(&conf->src_ip),
        .dst_ip = field_of(&conf->dst_ip),
        .src_port = field_of(&conf->src_port),
        .dst_port = field_of(&conf->dst_port),
        .csum = conf->csum,
        .numbered = conf->numbered,
        .timed = conf->timed,
        .magic = conf->numbered ? be32(PACKET_MAGIC + conf->stream) : 0,
    };
    t->varies = conf->sizes->count > 1 || !is_one_flow(t);
    write_packet(t, &p); /* for its IPv4 header: the fields that vary count as zero */
    p.ip.total_length = p.ip.header_checksum = 0;
    p.ip.source_address = p.ip.destination_address = 0;
    t->ip_sum = csum_add_20(0, &p.ip);
    t->udp_sum = write_packet(t, &p);
}

RUNS_SELDOM void traffic_prefill(struct traffic *t, struct netbuf_pool *pool)
{
    const bool sizes_alone = t->sizes_count > 1 && is_one_flow(t) && !t->numbered;
    uint32_t count = netbuf_pool_count(pool);
    struct netbuf **bufs = boot_alloc(count * sizeof *bufs, CACHE_LINE);

    t->written = sizes_alone ? boot_alloc(count * sizeof *t->written, CACHE_LINE) : NULL;
    if (!bufs || (sizes_alone && !t->written))
        boot_misconfigured("this machine has no memory left to fill %u packets; give it more.",
                           count);
    uint32_t n = netbuf_alloc_bulk(pool, bufs, count);
    assert(n == count);
    for (uint32_t i = 0; i < n; i++) {
        memset(bufs[i]->data, 0, netbuf_tailroom(bufs[i]));
        write_packet(t, (struct packet *)bufs[i]->data);
        bufs[i]->csum_start = offsetof(struct packet, udp);
        bufs[i]->csum_offset = offsetof(struct udp_header, checksum);
        if (t->written)
            t->written[bufs[i]->index] = (uint16_t)traffic_next_bytes(t, 0);
    }
    netbuf_free_bulk(bufs, n);
}

/* The number, the time, and the checksum over both. */
static inline void write_stamp(struct traffic *t, struct packet *p, uint64_t sum)
{
    uint32_t sequence = be32((uint32_t)t->sequence++);

    p->stamp.sequence = sequence;
    sum += sequence;
    if (t->timed) {
        uint64_t time = clock_cycles();
        p->stamp.time = time;
        sum = csum_carry(sum, time);
    }
    if (t->csum == TRAFFIC_CSUM_SW)
        p->udp.checksum = csum_finish_udp(sum);
}

/* Of one flow and several sizes: has bufs[at] be one whose fields are those of a size, by which it
 * changes places with a later one, or is written. */
static inline void place_size(struct traffic *t, struct netbuf **bufs, uint32_t at, uint32_t n,
                              uint32_t bytes)
{
    struct netbuf *first = bufs[at];

    for (uint32_t i = at; i < n; i++) {
        if (t->written[bufs[i]->index] == bytes) {
            bufs[at] = bufs[i];
            bufs[i] = first;
            return;
        }
    }
    struct packet *p = (struct packet *)first->data;
    const uint64_t sum = write_flow(t, p, bytes);
    if (t->csum == TRAFFIC_CSUM_SW)
        p->udp.checksum = csum_finish_udp(sum);
    t->written[first->index] = (uint16_t)bytes;
}

static void fill_sizes(struct traffic *t, struct netbuf **bufs, uint32_t n, uint16_t flags)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bytes = traffic_next_bytes(t, 0);
        place_size(t, bufs, i, n, bytes);
        bufs[i]->len = (uint16_t)bytes;
        bufs[i]->flags = flags;
        t->size_at = t->size_at + 1 == t->sizes_count ? 0 : t->size_at + 1;
    }
}

void traffic_fill(struct traffic *t, struct netbuf **bufs, uint32_t n)
{
    const uint16_t flags = t->csum == TRAFFIC_CSUM_OFFLOAD ? NETBUF_CSUM_PARTIAL : 0;

    if (t->written) {
        fill_sizes(t, bufs, n, flags);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct packet *p = (struct packet *)bufs[i]->data;
        uint32_t bytes = traffic_next_bytes(t, 0);
        uint64_t sum = t->udp_sum;
        bufs[i]->len = (uint16_t)bytes;
        bufs[i]->flags = flags;
        if (t->varies) {
            sum = write_flow(t, p, bytes);
            step_flow(t);
        }
        if (t->numbered)
            write_stamp(t, p, sum);
        else if (t->varies && t->csum == TRAFFIC_CSUM_SW)
            p->udp.checksum = csum_finish_udp(sum);
    }
}
