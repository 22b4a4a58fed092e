/*
 * bench.c - the server's step alone; see bench.h.
 *
 * A burst of requests is written into packet buffers, server_burst is timed, and every answer is
 * held against what was stored. Only server_burst is timed, from a received frame to the frame to
 * send; what the driver does isn't there. The requests' bytes are in the cache, as they were just
 * written; items and buckets are where chance left them.
 */
#include "apps/udpkv/bench.h"
#include "boot/boot.h"

enum { BURST = 32, VALUE = 32, TEXT = 128, ROUNDS = 5, ROUND_BURSTS = 40000, MOST = 4096 };

static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

static struct server *server;
static struct netbuf_pool *pool;
static struct inet client;
static struct inet_peer to_server;
static uint64_t random_state = 88172645463325252;

/* The requests of a burst, and what must be answered. */
static struct netbuf *in[BURST], *out[BURST];
static char wanted[BURST][TEXT];

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 32) * limit >> 32;
}

/* Every value holds its key's number, so that a wrong one is noticed. */
static RUNS_ONCE void make_request(uint32_t i, uint64_t key, bool set, bool summed)
{
    static const uint8_t header[SERVER_HEADER_BYTES] = {0, 1, 0, 0, 0, 1, 0, 0};
    struct netbuf *nb = netbuf_alloc(pool);

    assert(nb);
    uint8_t *payload = nb->data + INET_UDP_HEADROOM;
    char *text = (char *)payload + sizeof header;
    memcpy(payload, header, sizeof header);
    size_t len =
        set ? format(text, TEXT, "set memtier-%lu 0 0 %d\r\n%0*lu\r\n", key, VALUE, VALUE, key)
            : format(text, TEXT, "get memtier-%lu\r\n", key);
    inet_udp_build(&client, nb, &to_server, (uint32_t)(sizeof header + len), !summed);
    in[i] = nb;
    if (set)
        format(wanted[i], TEXT, "STORED\r\n");
    else
        format(wanted[i], TEXT, "VALUE memtier-%lu 0 %d\r\n%0*lu\r\nEND\r\n", key, VALUE, VALUE,
               key);
}

/* Compares and frees the answers. */
static RUNS_ONCE bool answers_right(uint32_t n)
{
    const uint32_t before = INET_UDP_HEADROOM + SERVER_HEADER_BYTES;
    bool right = n == BURST;

    for (uint32_t i = 0; right && i < n; i++) {
        size_t len = strlen(wanted[i]);
        right = out[i]->len == before + len && memcmp(out[i]->data + before, wanted[i], len) == 0;
    }
    netbuf_free_bulk(out, n);
    return right;
}

/* One burst; returns its cycles. The counter is read once all before it is done, and before
 * anything after it begins. */
static uint64_t timed_burst(uint32_t now_s, uint32_t *n)
{
    __builtin_ia32_lfence();
    uint64_t start = clock_cycles();
    __builtin_ia32_lfence();
    *n = server_burst(server, in, BURST, out, BURST, now_s);
    __builtin_ia32_lfence();
    return clock_cycles() - start;
}

/* Makes the store hold the keys. */
static RUNS_ONCE bool fill(uint64_t keys)
{
    for (uint64_t key = 0; key < keys; key += BURST) {
        uint32_t n;
        for (uint32_t i = 0; i < BURST; i++)
            make_request(i, MIN(key + i, keys - 1), true, true);
        timed_burst(server->conf.now_s, &n);
        if (!answers_right(n))
            return false;
    }
    return true;
}

/* Cycles a request of the burst in the middle. A mean would also count what else the machine does
 * in between. */
static RUNS_ONCE uint32_t median(const uint32_t bursts[MOST])
{
    uint32_t at = 0;

    for (uint32_t seen = bursts[0]; seen < ROUND_BURSTS / 2; seen += bursts[at])
        at++;
    return at;
}

static RUNS_ONCE bool measure(uint32_t round, uint64_t keys, bool summed)
{
    static uint32_t bursts[MOST]; /* by their cycles a request */
    uint64_t cycles = 0;

    memset(bursts, 0, sizeof bursts);
    server->conf.csum_offload = !summed;
    for (uint32_t b = 0; b < ROUND_BURSTS; b++) {
        uint32_t n;
        for (uint32_t i = 0; i < BURST; i++)
            make_request(i, random_below(keys), random_below(10) == 0, summed);
        uint64_t burst = timed_burst(server->conf.now_s, &n);
        cycles += burst;
        bursts[MIN(burst / BURST, (uint64_t)MOST - 1)]++;
        if (!answers_right(n))
            return false;
    }
    print("%u,%s,%lu,%u,%lu\n", round, summed ? "software" : "offload", keys, median(bursts),
          cycles / ((uint64_t)ROUND_BURSTS * BURST));
    return true;
}

RUNS_ONCE int bench_run(struct server *measured, uint64_t keys)
{
    bool right;

    server = measured;
    pool = server->conf.pool;
    inet_init(&client, client_mac,
              (struct ipv4_prefix){server->conf.ip.address ^ 1, server->conf.ip.len});
    to_server = (struct inet_peer){
        .ip = server->conf.ip.address, .port = server->conf.port, .local_port = 40000};
    memcpy(to_server.mac, server->conf.mac, sizeof to_server.mac);
    right = fill(keys);
    print("round,checksums,keys,cycles_median,cycles_mean\n");
    for (uint32_t round = 0; right && round < ROUNDS; round++)
        right = measure(round, keys, true) && measure(round, keys, false);
    if (!right)
        print("udpkv: an answer was wrong; is there memory for %lu keys?\n", keys);
    return right && netbuf_pools_report() ? 0 : 1;
}
