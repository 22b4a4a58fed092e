/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.h - memcached's UDP protocol as a pure step over packet buffers: a burst of received
 * packets in, a burst of packets to send out. No device, no clock, no wait: it runs unchanged in
 * the image, in a unit test and under a fuzzer.
 *
 * A request is one datagram: a frame header and text.h's commands, or binary.h's. Its answer is one
 * message of 1 to SERVER_MAX_PARTS datagrams, all but the last of server_part_bytes, or nothing if
 * no command had an answer, such as those that said noreply. protocol.txt, "UDP protocol", has the
 * header; its fields are big endian:
 *
 *      0            2            4            6            8
 *      +------------+------------+------------+------------+----------------
 *      | request id | sequence   | total      | reserved   | commands / answer
 *      +------------+------------+------------+------------+----------------
 *
 * Each request of a burst passes three stages, and some other requests are worked on between two of
 * them, so that many cache misses are waited for side by side: read the packet and prefetch the
 * bucket of its first key; prefetch the item; run the commands. Only the last stage reads and
 * writes items, for one request after the other, so the answers are those of requests that come
 * singly.
 *
 * The first datagram of an answer is built in the buffer that brought the request, further ones in
 * buffers from the pool. The other side can change packet memory while we read it, so a line is
 * copied aside as it is read (line.h), and a value goes to the store in one copy. If the answer
 * reaches the part of the request that is still unread, this part is moved aside first (reply.h).
 *
 * If there aren't enough buffers, or there is no room among the packets to send, for the whole
 * answer, then none of it is sent and the request counts as dropped: for the client the packet was
 * lost, and it never gets a part of an answer.
 */
#ifndef UDPKV_SERVER_H
#define UDPKV_SERVER_H

#include "apps/udpkv/text.h"
#include "netbuf/inet.h"
#include "netbuf/inet6.h"
#include "netbuf/netbuf.h"

enum {
    SERVER_HEADER_BYTES = 8,
    SERVER_PART_BYTES = 1400, /* of a datagram's payload at most, header included: memcached's */
    SERVER_MAX_PARTS = 64,    /* datagrams of an answer: one small request brings at most 88 KiB */
    SERVER_ITEM_BYTES = 512,  /* of an answer beside an item's value: more than any command's */
    SERVER_MAX_ALLOW = 16,
    SERVER_BATCH = 32,       /* requests whose cache misses are waited for side by side */
    SERVER_SHORT_LINE = 128, /* a first line of up to so many bytes is read in the first stage */
    SERVER_MIN_MTU = 576,    /* which every host of IPv4 takes (RFC 791) */
    SERVER_IP_UDP_BYTES = 28,
    SERVER_IP6_UDP_BYTES = 48,
    SERVER_BUF_BYTES = 1518, /* a request may fill an Ethernet frame, VLAN tag included */
};

/* Why a datagram that reached us went without an answer, or a part of it did. */
enum server_drop {
    SERVER_DROP_PORT,    /* not for our port */
    SERVER_DROP_DENIED,  /* from no allowed network */
    SERVER_DROP_LOOP,    /* from our own port number, or an ERROR: two servers would answer each
                            other for ever */
    SERVER_DROP_HEADER,  /* too short for a frame header */
    SERVER_DROP_PARTS,   /* a request of several datagrams */
    SERVER_DROP_CUT,     /* its last line has no end, or its last binary request isn't whole; what
                            stands before it was run */
    SERVER_DROP_NO_BUF,  /* the pool was short of buffers for the answer */
    SERVER_DROP_NO_ROOM, /* the burst to send was full */
    SERVER_DROP_REASONS
};

extern const char *const server_drop_names[SERVER_DROP_REASONS];

/* Bytes of an answer's datagram, header included, on a device with this MTU. */
static inline uint16_t server_part_bytes(uint32_t mtu_bytes)
{
    return (uint16_t)MIN(mtu_bytes - SERVER_IP_UDP_BYTES, (uint32_t)SERVER_PART_BYTES);
}

/* The longest value that every client gets back: what the smallest full answer has room for, which
 * is one to a client of IPv6 that isn't on our link (server_part_bytes_6). */
static inline uint32_t server_max_value(uint32_t part_bytes)
{
    const uint32_t least = MIN(part_bytes, (uint32_t)IPV6_MIN_MTU - SERVER_IP6_UDP_BYTES);

    return SERVER_MAX_PARTS * (least - SERVER_HEADER_BYTES) - SERVER_ITEM_BYTES;
}

struct server_conf {
    struct ipv4_prefix ip; /* own address and network */
    uint8_t mac[6];
    uint16_t port;
    uint16_t part_bytes;           /* server_part_bytes of an MTU; 0: SERVER_PART_BYTES */
    bool allow_near6;              /* server_init's: our own networks of IPv6 are answered */
    bool csum_offload;             /* leave UDP checksums to the device */
    struct netbuf_pool *pool;      /* with SERVER_BUF_BYTES behind the headroom of a buffer */
    struct reassembly *reassembly; /* this core's, for requests in fragments; NULL: none */
    struct shards shards;          /* this core's copy */
    size_t store_bytes;
    uint32_t now_s; /* the time of the start */
    /* Networks that are answered. If there are none of both kinds: those that our own addresses are
     * in. */
    uint32_t allow_count, allow6_count;
    struct ipv4_prefix allow[SERVER_MAX_ALLOW];
    struct ipv6_prefix allow6[SERVER_MAX_ALLOW];
    struct text_part part; /* a part of stats that the app shows; name NULL: none */
    /* Cycles of the loop around server_burst, for stats: of turns that had packets, and of all. So
     * a client sees how busy a polling server is, and its cycles a request. NULL: not told. */
    const uint64_t *cycles_busy, *cycles_total;
};

/* A received packet between the stages of a batch. */
struct server_pending {
    enum inet_verdict verdict; /* INET_UDP: a request to be run */
    struct inet_udp udp;
    struct line line;        /* its first one, if it is short */
    const struct item *item; /* where it may be, once its bucket was read: for prefetching */
    uint8_t line_bytes[SERVER_SHORT_LINE];
};

struct server {
    struct server_conf conf;
    struct inet inet;
    struct text text;
    const struct ipv4_prefix *allow; /* whose requests are answered */
    uint32_t allow_count;
    uint64_t requests;  /* datagrams that went to text_run */
    uint64_t answers;   /* of them, those that were answered */
    uint64_t datagrams; /* that the answers took */
    uint64_t too_long;  /* answers replaced by an error: over SERVER_MAX_PARTS */
    uint64_t drops[SERVER_DROP_REASONS];
    struct text_counter counters[12 + SERVER_DROP_REASONS]; /* the above, for stats */
    struct text_part parts[2];
    struct server_pending pending[SERVER_BATCH];
    uint8_t aside[TEXT_MAX_REQUEST]; /* the rest of a request that its answer has reached */
} __attribute__((aligned(CACHE_LINE)));

/* Sets up *server, which is one core's: conf's shards and pool are of this core. */
void server_init(struct server *server, const struct server_conf *conf);

/* Joins `alone`, a server that was joined with none yet, with `server` and those that it was joined
 * with: `stats` of each tells the sums of all. Before any of them runs. */
void server_join(struct server *server, struct server *alone);

/*
 * Handles in[0] to in[n - 1], whose owner it is from then on, at the time now_s (seconds since
 * 1970). Returns how many packets it put to out, at most out_max; these the caller owns. An answer
 * of full length needs SERVER_MAX_PARTS.
 */
uint32_t server_burst(struct server *server, struct netbuf **in, uint32_t n, struct netbuf **out,
                      uint32_t out_max, uint32_t now_s);

/* Is there nobody in the networks that are answered, of this family, which the server has? Without
 * a udpkv.allow that is known for IPv4 once its addresses are. */
bool server_answers_nobody(const struct server *server, enum inet_family family);

/* For server.c, of server_networks.c: is the client in a network that is answered for the sake of
 * another address than our first? */
bool server_allows_further(const struct server *server, uint32_t client);

/* For server.c, of server_networks.c. Bytes of an answer's datagram to a client of IPv6: on our
 * link its routers may have told an MTU; behind it, where no router cuts a packet and we don't hear
 * which one had to drop it, it is what every link carries (RFC 8200, section 5). */
uint32_t server_part_bytes_6(const struct server *server, const struct ipv6_address *client);

bool server_allows_6(const struct server *server, const struct ipv6_address *client);

/* server_stats.c: the lines of `stats settings`, and the counters of plain `stats`. */
void server_show_settings(const void *server, struct reply *reply);
void server_list_counters(struct server *server);

/* Lines of `stats settings`, one for each network that udpkv.allow gave. */
void server_show_allowed(const struct server *server, struct reply *reply);

#endif
