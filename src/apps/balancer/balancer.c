/* SPDX-License-Identifier: BSD-2-Clause */
/* balancer.c - what is done with a burst of packets; see balancer.h. */
#include "apps/balancer/look.h"
#include "netbuf/checksum.h"
#include "netbuf/hash.h"
#include "netbuf/udp.h"

const char *const balancer_drop_names[BALANCER_DROP_REASONS] = {
    "long", "short", "fragment", "ttl", "no_backend", "no_mac", "no_client", "port", "denied"};

/* The table's hash of a flow begins with this: all balancers have to have the same one. */
#define TABLE_SEED 0x2545f4914f6cdd1dull

enum {
    TCP_CHECKSUM = 16, /* its offset in a TCP header (RFC 9293, section 3.1) */
    SWEEP = 64,        /* buckets a tick */
};

static bool drop_packet(struct balancer *lb, enum balancer_drop why)
{
    lb->drops[why]++;
    return false;
}

/* --- where it goes -------------------------------------------------------------------------------
 */

/* The back end of a flow: the one that it has, if that still takes packets, or the table's. */
static uint16_t backend_of(struct balancer *lb, const struct look *look)
{
    uint16_t id = flows_find(&lb->flows, look->place);

    if (likely(id != FLOWS_NONE && backends_takes(&lb->backends, id)))
        return id;
    const uint64_t hash =
        hash_mix(hash_mix(look->addresses ^ TABLE_SEED, HASH_ODD) ^ look->rest, HASH_ODD);
    id = maglev_of(&lb->backends.table, hash);
    if (id == MAGLEV_NOBODY || !backends_takes(&lb->backends, id))
        return BACKENDS_NONE;
    flows_put(&lb->flows, look->place, id);
    return id;
}

/* The word at `at`, as it lies in memory. */
static uint16_t word_at(const uint8_t *at)
{
    uint16_t word;

    __builtin_memcpy(&word, at, sizeof word);
    return word;
}

/* Where the checksum of UDP or TCP lies; NULL: it has none (RFC 768). */
static uint8_t *find_checksum(const struct look *look)
{
    const bool is_udp = look->ip->protocol == IPV4_PROTOCOL_UDP;
    uint8_t *at = (uint8_t *)look->ports +
                  (is_udp ? offsetof(struct udp_header, checksum) : (size_t)TCP_CHECKSUM);

    return is_udp && word_at(at) == 0 ? NULL : at;
}

/* Changes the address at `offset` of the IP header, and both checksums that have it in them. */
static void change_address(const struct look *look, size_t offset, uint32_t ip)
{
    uint8_t *address = (uint8_t *)look->ip + offset, *checksum = find_checksum(look);
    uint16_t header = look->ip->header_checksum, payload = checksum ? word_at(checksum) : 0;
    const uint32_t after = be32(ip);
    const uint16_t words[] = {(uint16_t)after, (uint16_t)(after >> 16)};

    for (uint32_t i = 0; i < ARRAY_LEN(words); i++) {
        const uint16_t before = word_at(address + i * sizeof before);
        header = csum_update(header, before, words[i]);
        payload = csum_update(payload, before, words[i]);
    }
    __builtin_memcpy(address, &after, sizeof after);
    look->ip->header_checksum = header;
    if (checksum)
        __builtin_memcpy(checksum, &payload, sizeof payload);
}

/* As a router does (RFC 1812, section 5.3.1). */
static void take_from_time(struct ipv4_header *ip)
{
    const uint8_t *word = (uint8_t *)ip + offsetof(struct ipv4_header, time_to_live);
    const uint16_t before = word_at(word);

    ip->time_to_live--;
    ip->header_checksum = csum_update(ip->header_checksum, before, word_at(word));
}

static struct balancer_client *client_slot(const struct balancer *lb, uint32_t ip)
{
    return &lb->clients[(hash_mix(ip ^ lb->conf.seed, HASH_ODD) >> 32) % BALANCER_CLIENTS];
}

static void learn_client(struct balancer *lb, const struct look *look)
{
    struct balancer_client *client = client_slot(lb, look->ip->source_address);

    if (likely(client->ip == look->ip->source_address &&
               eth_mac_number(client->mac) == eth_mac_number(look->eth->source)))
        return;
    client->ip = look->ip->source_address;
    eth_mac_copy(client->mac, look->eth->source);
}

static void send_to(const struct balancer *lb, const struct look *look, const uint8_t *mac)
{
    eth_mac_copy(look->eth->destination, mac);
    eth_mac_copy(look->eth->source, lb->inet.mac);
}

static bool pass_to_backend(struct balancer *lb, struct netbuf *nb, const struct look *look)
{
    const uint16_t id = backend_of(lb, look);

    if (unlikely(id == BACKENDS_NONE))
        return drop_packet(lb, BALANCER_DROP_NO_BACKEND);
    struct backend *backend = &lb->backends.list[id];
    if (unlikely(!backend->has_mac))
        return drop_packet(lb, BALANCER_DROP_NO_MAC);
    learn_client(lb, look);
    if (lb->conf.way == BALANCER_NAT) {
        take_from_time(look->ip);
        change_address(look, offsetof(struct ipv4_header, destination_address), backend->ip);
    }
    send_to(lb, look, backend->mac);
    backend->packets++;
    backend->bytes += nb->len;
    lb->passed++;
    nb->flags = NETBUF_CHANGED;
    return true;
}

static bool pass_to_client(struct balancer *lb, struct netbuf *nb, const struct look *look)
{
    const struct balancer_client *client = client_slot(lb, look->ip->destination_address);

    if (unlikely(client->ip != look->ip->destination_address))
        return drop_packet(lb, BALANCER_DROP_NO_CLIENT);
    if (lb->conf.way == BALANCER_NAT) {
        take_from_time(look->ip);
        change_address(look, offsetof(struct ipv4_header, source_address), look->service->ip);
    }
    send_to(lb, look, client->mac);
    lb->answers++;
    nb->flags = NETBUF_CHANGED;
    return true;
}

/* --- the host ------------------------------------------------------------------------------------
 */

static bool is_allowed(const struct balancer *lb, uint32_t ip)
{
    for (uint32_t i = 0; i < lb->conf.allow_count; i++)
        if (ipv4_prefix_has(lb->conf.allow[i], ip))
            return true;
    return false;
}

/* Makes a command its answer. */
static bool control(struct balancer *lb, struct netbuf *nb, const struct inet_udp *udp,
                    uint64_t now_ns)
{
    char command[128];
    /* A cut one could be another one: then it is none. */
    const uint32_t len = udp->payload_len <= sizeof command ? udp->payload_len : 0;

    if (!is_allowed(lb, udp->from.ip))
        return drop_packet(lb, BALANCER_DROP_DENIED);
    memcpy(command, udp->payload, len);
    const uint32_t room = MIN(inet_udp_room(nb), lb->inet.mtu_bytes - 28u);
    const uint32_t bytes =
        control_run(lb, command, len, (char *)nb->data + INET_UDP_HEADROOM, room, now_ns);
    lb->commands++;
    inet_udp_build(&lb->inet, nb, &udp->from, bytes, false);
    return true;
}

static bool take_datagram(struct balancer *lb, struct netbuf *nb, const struct inet_udp *udp,
                          uint64_t now_ns)
{
    if (udp->from.family == INET_IPV4 && health_answer(lb, udp))
        return false;
    if (udp->from.family == INET_IPV4 && lb->conf.control_port != 0 &&
        udp->from.local_port == lb->conf.control_port)
        return control(lb, nb, udp, now_ns);
    drop_packet(lb, BALANCER_DROP_PORT);
    return inet_refuse(&lb->inet, nb, udp) == INET_REPLY;
}

/* Makes a packet for the host its answer; false if it wants none. */
static bool answer(struct balancer *lb, struct netbuf *nb, uint64_t now_ns)
{
    struct inet_udp udp;

    switch (inet_input(&lb->inet, nb, &udp)) {
    case INET_REPLY:
        return true;
    case INET_UDP:
        return take_datagram(lb, nb, &udp, now_ns);
    case INET_UDP_LARGE: /* nothing that is as long is for us */
        inet_release(&lb->inet, &udp);
        return drop_packet(lb, BALANCER_DROP_LONG);
    case INET_DROPPED:
        break;
    }
    return false;
}

/* --- a burst -------------------------------------------------------------------------------------
 */

static bool pass(struct balancer *lb, struct netbuf *nb, const struct look *look, uint64_t now_ns)
{
    switch (look->kind) {
    case LOOK_FLOW:
        return pass_to_backend(lb, nb, look);
    case LOOK_ANSWER:
        return pass_to_client(lb, nb, look);
    case LOOK_HOST:
        return answer(lb, nb, now_ns);
    case LOOK_DROP:
        break;
    }
    return false;
}

uint32_t balancer_burst(struct balancer *lb, struct netbuf **packets, uint32_t n, uint64_t now_ns)
{
    struct look looks[BALANCER_BURST];
    uint32_t sends = 0;

    assert(n <= BALANCER_BURST);
    for (uint32_t i = 0; i < n; i++)
        look_at(&looks[i], lb, packets[i]);
    for (uint32_t i = 0; i < n; i++)
        if (pass(lb, packets[i], &looks[i], now_ns))
            packets[sends++] = packets[i];
        else
            netbuf_free(packets[i]);
    return sends;
}

/* --- now and then --------------------------------------------------------------------------------
 */

/* Who has no flow any more, or had time enough, is drained. */
static void end_draining(struct balancer *lb, uint64_t now_ns)
{
    for (uint32_t i = 0; i < lb->backends.count; i++) {
        const uint16_t id = lb->backends.order[i];
        struct backend *b = &lb->backends.list[id];
        if (b->state == BACKEND_DRAINING && (lb->flows.held[id] == 0 || now_ns >= b->drained_ns))
            b->state = BACKEND_DRAINED;
    }
}

void balancer_tick(struct balancer *lb, uint64_t now_ns)
{
    lb->flows.now_s = (uint32_t)(now_ns / 1000000000);
    flows_sweep(&lb->flows, SWEEP);
    end_draining(lb, now_ns);
}

/* --- set-up --------------------------------------------------------------------------------------
 */

RUNS_SELDOM const char *balancer_services_problem(const struct balancer_conf *conf)
{
    for (uint32_t i = 0; i < conf->service_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct balancer_service *a = &conf->services[i], *b = &conf->services[j];
            if (a->port != b->port || a->protocol != b->protocol)
                continue;
            if (a->ip == b->ip)
                return "two services have one address and port";
            if (conf->way == BALANCER_NAT)
                return "two services have one port, so that with lb.way=nat nobody could tell "
                       "which of them a back end's answer is of";
        }
    return conf->service_count == 0 ? "there is no service" : NULL;
}

/* The services' addresses are the host's, too: it answers ARP and pings for them. */
static RUNS_SELDOM bool put_addresses(struct balancer *lb)
{
    uint32_t index = 1;

    for (uint32_t i = 0; i < lb->conf.service_count; i++) {
        const uint32_t ip = lb->conf.services[i].ip;
        bool is_there = ip == lb->conf.ip.address;
        for (uint32_t j = 0; j < i; j++)
            is_there |= lb->conf.services[j].ip == ip;
        if (is_there)
            continue;
        while (index < INET_ADDRESSES && lb->inet.addresses[index].state != INET_ADDRESS_FREE)
            index++;
        if (index == INET_ADDRESSES)
            return false;
        inet_put_address(&lb->inet, index, (struct ipv4_prefix){.address = ip, .len = 32}, 0);
    }
    return true;
}

RUNS_SELDOM bool balancer_init(struct balancer *lb, const struct balancer_conf *conf)
{
    assert(!balancer_services_problem(conf));
    *lb = (struct balancer){.conf = *conf, .nonce = conf->seed};
    inet_init(&lb->inet, conf->mac, conf->ip);
    lb->clients = boot_alloc_private(BALANCER_CLIENTS * sizeof *lb->clients, CACHE_LINE);
    if (!lb->clients || !put_addresses(lb) || !backends_create(&lb->backends, conf->table_size) ||
        !flows_create(&lb->flows, conf->flows, BACKENDS_MAX, conf->idle_s))
        return false;
    lb->backends.keeps_last = conf->keeps_last;
    return true;
}
