/*
 * server.h - memcached's UDP protocol as a pure step over packet buffers: a burst of received
 * packets in, a burst of packets to send out. No device, no clock, no wait: it runs unchanged in
 * the image, in a unit test and under a fuzzer.
 *
 * A request is one datagram: a frame header and text.h's commands. Its answer is one message of 1
 * to SERVER_MAX_PARTS datagrams, or nothing if all commands said noreply. protocol.txt, "UDP
 * protocol", has the header; its fields are big endian:
 *
 *      0            2            4            6            8
 *      +------------+------------+------------+------------+----------------
 *      | request id | sequence   | total      | reserved   | commands / answer
 *      +------------+------------+------------+------------+----------------
 *
 * The first datagram of an answer is built in the buffer that brought the request, further ones in
 * buffers from the pool. The request is first copied aside, once: an answer may be longer than what
 * has been read of the request, and packet memory can be changed by the other side while we read
 * it.
 *
 * If the pool or the room for packets to send doesn't suffice for the whole answer, then none of it
 * is sent and the request counts as dropped: the client sees a lost packet, never half an answer.
 */
#ifndef UDPKV_SERVER_H
#define UDPKV_SERVER_H

#include "apps/udpkv/text.h"
#include "netbuf/inet.h"
#include "netbuf/netbuf.h"

enum {
    SERVER_HEADER_BYTES = 8,
    SERVER_PART_BYTES = 1400, /* of a datagram's payload, header included: memcached's size */
    SERVER_MAX_PARTS = 64,    /* datagrams of an answer: one small request brings at most 88 KiB */
    SERVER_MAX_ALLOW = 16,
    SERVER_MIN_MTU = SERVER_PART_BYTES + 28,
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
    SERVER_DROP_CUT,     /* its last line has no end; the lines before it were done */
    SERVER_DROP_NO_BUF,  /* the pool was short of buffers for the answer */
    SERVER_DROP_NO_ROOM, /* the burst to send was full */
    SERVER_DROP_REASONS
};

extern const char *const server_drop_names[SERVER_DROP_REASONS];

struct server_conf {
    struct ipv4_prefix ip; /* own address and network */
    uint8_t mac[6];
    uint16_t port;
    bool csum_offload;        /* leave UDP checksums to the device */
    struct netbuf_pool *pool; /* with SERVER_BUF_BYTES behind the headroom of a buffer */
    struct store *store;
    size_t store_bytes;
    uint32_t now_s;       /* the time of the start */
    uint32_t allow_count; /* 0: only our own network is answered */
    struct ipv4_prefix allow[SERVER_MAX_ALLOW];
};

struct server {
    struct server_conf conf;
    struct inet inet;
    struct text text;
    uint64_t requests;  /* datagrams that went to text_run */
    uint64_t answers;   /* of them, those that were answered */
    uint64_t datagrams; /* that the answers took */
    uint64_t too_long;  /* answers replaced by an error: over SERVER_MAX_PARTS */
    uint64_t drops[SERVER_DROP_REASONS];
    struct text_counter counters[4 + SERVER_DROP_REASONS]; /* the above, for stats */
    uint8_t request[4096]; /* at least the size of a pool's buffer */
};

/* Sets up *server. */
void server_init(struct server *server, const struct server_conf *conf);

/*
 * Handles in[0] to in[n - 1], which it owns from then on, at the time now_s (seconds since 1970).
 * Returns how many packets it put to out, at most out_max; the caller owns them. An answer of full
 * length needs SERVER_MAX_PARTS.
 */
uint32_t server_burst(struct server *server, struct netbuf **in, uint32_t n, struct netbuf **out,
                      uint32_t out_max, uint32_t now_s);

#endif
