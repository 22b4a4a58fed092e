/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.c - the server's step alone; see bench.h.
 *
 * A burst of requests is written into packet buffers, server_burst is timed, and every answer is
 * held against what was stored. Only server_burst is timed, from a received frame to the frame to
 * send; what the driver does isn't there. The requests' bytes are in the cache, as they were just
 * written; buckets and items are in it or not, as in a server whose clients ask for keys at random.
 */
#include "apps/udpkv/bench.h"
#include "boot/boot.h"

enum { BURST = 32, VALUE = 32, TEXT = 128, ROUNDS = 5, ROUND_BURSTS = 40000, MOST = 4096 };

static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

/* What one core has for itself. */
struct bench {
    struct server *server;
    struct inet client;
    struct inet_peer to_server;
    uint64_t random_state;
    bool right; /* all answers so far were */
    struct netbuf *in[BURST], *out[BURST];
    char wanted[BURST][TEXT]; /* what must be answered */
    uint32_t bursts[MOST];    /* by their cycles a request */
};

static struct bench *benches; /* boot_cores() of them */

/* What all cores are measuring now. */
static uint64_t keys;
static uint32_t turn;
static bool summed;

static uint64_t random_below(struct bench *b, uint64_t limit)
{
    b->random_state ^= b->random_state << 13;
    b->random_state ^= b->random_state >> 7;
    b->random_state ^= b->random_state << 17;
    return (b->random_state >> 32) * limit >> 32;
}

/* Every value holds its key's number, so that a wrong one is noticed. */
static void make_request(struct bench *b, uint32_t i, uint64_t key, bool set)
{
    static const uint8_t header[SERVER_HEADER_BYTES] = {0, 1, 0, 0, 0, 1, 0, 0};
    struct netbuf *nb = netbuf_alloc(b->server->conf.pool);

    assert(nb);
    uint8_t *payload = nb->data + INET_UDP_HEADROOM;
    char *text = (char *)payload + sizeof header;
    memcpy(payload, header, sizeof header);
    size_t len =
        set ? format(text, TEXT, "set memtier-%lu 0 0 %d\r\n%0*lu\r\n", key, VALUE, VALUE, key)
            : format(text, TEXT, "get memtier-%lu\r\n", key);
    inet_udp_build(&b->client, nb, &b->to_server, (uint32_t)(sizeof header + len), !summed);
    b->in[i] = nb;
    if (set)
        format(b->wanted[i], TEXT, "STORED\r\n");
    else
        format(b->wanted[i], TEXT, "VALUE memtier-%lu 0 %d\r\n%0*lu\r\nEND\r\n", key, VALUE, VALUE,
               key);
}

/* Compares and frees the answers. */
static bool answers_right(struct bench *b, uint32_t n)
{
    const uint32_t before = INET_UDP_HEADROOM + SERVER_HEADER_BYTES;
    bool right = n == BURST;

    for (uint32_t i = 0; right && i < n; i++) {
        size_t len = strlen(b->wanted[i]);
        right = b->out[i]->len == before + len &&
                memcmp(b->out[i]->data + before, b->wanted[i], len) == 0;
    }
    netbuf_free_bulk(b->out, n);
    return right;
}

/* Runs one burst and returns its cycles. The fences have the counter read when everything before is
 * done, and before anything behind begins. */
static uint64_t timed_burst(struct bench *b, uint32_t *n)
{
    __builtin_ia32_lfence();
    uint64_t start = clock_cycles();
    __builtin_ia32_lfence();
    *n = server_burst(b->server, b->in, BURST, b->out, BURST, b->server->conf.now_s);
    __builtin_ia32_lfence();
    return clock_cycles() - start;
}

/* Makes the store hold the keys. */
static RUNS_SELDOM bool fill_store(struct bench *b)
{
    for (uint64_t key = 0; key < keys; key += BURST) {
        uint32_t n;
        for (uint32_t i = 0; i < BURST; i++)
            make_request(b, i, MIN(key + i, keys - 1), true);
        timed_burst(b, &n);
        if (!answers_right(b, n))
            return false;
    }
    return true;
}

/* The median of the bursts, in cycles a request. A mean would also count what else the machine does
 * in between. */
static RUNS_SELDOM uint32_t median_cycles(const uint32_t bursts[MOST])
{
    uint32_t at = 0;

    for (uint32_t seen = bursts[0]; seen < ROUND_BURSTS / 2; seen += bursts[at])
        at++;
    return at;
}

/* One round on one core, while the other cores have theirs. */
static RUNS_SELDOM void measure_core(uint32_t core)
{
    struct bench *b = &benches[core];
    uint64_t cycles = 0;

    memset(b->bursts, 0, sizeof b->bursts);
    b->server->conf.csum_offload = !summed;
    for (uint32_t bursts = 0; bursts < ROUND_BURSTS; bursts++) {
        uint32_t n;
        for (uint32_t i = 0; i < BURST; i++)
            make_request(b, i, random_below(b, keys), random_below(b, 10) == 0);
        uint64_t burst = timed_burst(b, &n);
        cycles += burst;
        b->bursts[MIN(burst / BURST, (uint64_t)MOST - 1)]++;
        b->right &= answers_right(b, n);
        if (!b->right)
            return;
    }
    print("%u,%s,%lu,%u,%u,%lu\n", turn, summed ? "software" : "offload", keys, core,
          median_cycles(b->bursts), cycles / ((uint64_t)ROUND_BURSTS * BURST));
}

/* On all cores at once; false if one had a wrong answer. */
static RUNS_SELDOM bool measure_all(bool with_checksums)
{
    bool right = true;

    summed = with_checksums;
    boot_run(measure_core);
    for (uint32_t i = 0; i < boot_cores(); i++)
        right &= benches[i].right;
    return right;
}

static RUNS_SELDOM void init_bench(struct bench *b, struct server *server, uint32_t core)
{
    const struct server_conf *conf = &server->conf;

    b->server = server;
    inet_init(&b->client, client_mac, (struct ipv4_prefix){conf->ip.address ^ 1, conf->ip.len});
    b->to_server = (struct inet_peer){
        .ip = conf->ip.address, .port = conf->port, .local_port = (uint16_t)(40000 + core)};
    memcpy(b->to_server.mac, conf->mac, sizeof b->to_server.mac);
    b->random_state = 88172645463325252 + core;
    b->right = true;
}

RUNS_SELDOM int bench_run(struct server *const servers[], uint64_t key_count)
{
    benches = boot_alloc(boot_cores() * sizeof *benches, CACHE_LINE);
    if (!benches)
        boot_misconfigured(
            "this machine has no memory left to measure with; give it more, or udpkv.mem= less.");
    for (uint32_t i = 0; i < boot_cores(); i++)
        init_bench(&benches[i], servers[i], i);
    keys = key_count;
    summed = true;
    bool right = fill_store(&benches[0]);
    print("round,checksums,keys,core,cycles_median,cycles_mean\n");
    for (turn = 0; right && turn < ROUNDS; turn++)
        right = measure_all(true) && measure_all(false);
    if (!right)
        print("udpkv: an answer was wrong; is there memory for %lu keys?\n", keys);
    return right && netbuf_pools_report() ? 0 : 1;
}
