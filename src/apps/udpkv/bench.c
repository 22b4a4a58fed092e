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
#include "netbuf/udp.h"

enum { TEXT = 1536, DIGITS = 8, ROUNDS = 5, ROUND_REQUESTS = 320000, MOST = 4096 };

static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

/* What one core has for itself. */
struct bench {
    struct server *server;
    struct inet client;
    struct inet_peer to_server;
    uint64_t random_state;
    bool right; /* all answers so far were */
    struct netbuf *in[BENCH_MAX_BURST], *out[BENCH_MAX_BURST];
    uint32_t keys[BENCH_MAX_BURST]; /* asked for */
    bool sets[BENCH_MAX_BURST];
    uint32_t bursts[MOST]; /* by their cycles a request */
};

static struct bench *benches; /* boot_cores() of them */

/* What all cores are measuring now. */
static const uint32_t *conf; /* by enum bench_number */
static uint32_t turn;
static enum { SOFTWARE, OFFLOAD, CHASE, WHATS } what; /* checksums' place, or the pointer chase */

static RUNS_SELDOM uint32_t random_below(struct bench *b, uint32_t limit)
{
    b->random_state ^= b->random_state << 13;
    b->random_state ^= b->random_state >> 7;
    b->random_state ^= b->random_state << 17;
    return (uint32_t)((b->random_state >> 32) * limit >> 32);
}

/* Every value ends in its key's number, so that a wrong one is noticed. */
static RUNS_SELDOM size_t write_value(char *text, uint32_t key)
{
    memset(text, '0', conf[BENCH_VALUE]);
    return conf[BENCH_VALUE] - DIGITS +
           format(text + conf[BENCH_VALUE] - DIGITS, TEXT, "%08u\r\n", key);
}

static RUNS_SELDOM void make_request(struct bench *b, uint32_t i, uint32_t key, bool set)
{
    static const uint8_t header[SERVER_HEADER_BYTES] = {0, 1, 0, 0, 0, 1, 0, 0};
    struct netbuf *nb = netbuf_alloc(b->server->conf.pool);

    assert(nb);
    uint8_t *payload = nb->data + INET_UDP_HEADROOM;
    char *text = (char *)payload + sizeof header;
    memcpy(payload, header, sizeof header);
    size_t len = format(text, TEXT, set ? "set memtier-%u 0 0 %u\r\n" : "get memtier-%u\r\n", key,
                        conf[BENCH_VALUE]);
    if (set)
        len += write_value(text + len, key);
    inet_udp_build(&b->client, nb, &b->to_server, (uint32_t)(sizeof header + len),
                   what != SOFTWARE);
    b->in[i] = nb;
    b->keys[i] = key;
    b->sets[i] = set;
}

/* Compares and frees the answers. */
static RUNS_SELDOM bool answers_right(struct bench *b, uint32_t n)
{
    const uint32_t before = INET_UDP_HEADROOM + SERVER_HEADER_BYTES;
    bool right = n == conf[BENCH_BURST];
    char wanted[TEXT];

    for (uint32_t i = 0; right && i < n; i++) {
        size_t len = format(wanted, TEXT, b->sets[i] ? "STORED\r\n" : "VALUE memtier-%u 0 %u\r\n",
                            b->keys[i], conf[BENCH_VALUE]);
        if (!b->sets[i]) {
            len += write_value(wanted + len, b->keys[i]);
            len += format(wanted + len, TEXT - len, "END\r\n");
        }
        const struct udp_header *udp =
            (const struct udp_header *)(b->out[i]->data + INET_UDP_HEADROOM - sizeof *udp);
        right = be16(udp->length) == sizeof *udp + SERVER_HEADER_BYTES + len &&
                memcmp(b->out[i]->data + before, wanted, len) == 0;
    }
    netbuf_free_bulk(b->out, n);
    return right;
}

/*
 * Loads a word of each of so many cache lines, one after the other: which line is next depends on
 * what was loaded, so the processor can't ask for it earlier. The lines are a random choice from
 * all that the store has in use. What is added to a load's own time, some ten cycles, chooses the
 * line.
 */
static void chase(struct bench *b, uint32_t loads)
{
    static volatile uint64_t nothing; /* 0, but the compiler doesn't know */
    const struct shards *shards = &b->server->conf.shards;
    const struct store *last = shards_nth(shards, shards->mask);
    const uint8_t *start = (const uint8_t *)shards->first;
    const uint64_t lines = (uint64_t)(last->log + last->used_bytes - start) / CACHE_LINE;
    const uint64_t mask = nothing;
    uint64_t x = b->random_state;

    while (loads-- > 0) {
        x = x * 6364136223846793005 + 1442695040888963407;
        x += *(const uint64_t *)(start + ((x >> 32) * lines >> 32) * CACHE_LINE) & mask;
    }
    b->random_state = x | 1;
}

/* Runs one burst and returns its cycles. The fences have the counter read when everything before is
 * done, and before anything behind begins. */
static uint64_t timed_burst(struct bench *b, uint32_t *n)
{
    __builtin_ia32_lfence();
    uint64_t start = clock_cycles();
    __builtin_ia32_lfence();
    if (what == CHASE)
        chase(b, conf[BENCH_BURST]);
    else
        *n = server_burst(b->server, b->in, conf[BENCH_BURST], b->out, BENCH_MAX_BURST,
                          b->server->conf.now_s);
    __builtin_ia32_lfence();
    return clock_cycles() - start;
}

/* Makes the store hold the keys. */
static RUNS_SELDOM bool fill_store(struct bench *b)
{
    for (uint32_t key = 0; key < conf[BENCH_KEYS]; key += conf[BENCH_BURST]) {
        uint32_t n;
        for (uint32_t i = 0; i < conf[BENCH_BURST]; i++)
            make_request(b, i, MIN(key + i, conf[BENCH_KEYS] - 1), true);
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

    for (uint32_t seen = bursts[0]; seen < ROUND_REQUESTS / conf[BENCH_BURST] / 2;
         seen += bursts[at])
        at++;
    return at;
}

/* One round on one core, while the other cores have theirs. */
static RUNS_SELDOM void measure_core(uint32_t core)
{
    static const char *const names[] = {"software", "offload", "chase"};
    struct bench *b = &benches[core];
    uint64_t cycles = 0;

    memset(b->bursts, 0, sizeof b->bursts);
    b->server->conf.csum_offload = what != SOFTWARE;
    for (uint32_t bursts = 0; bursts < ROUND_REQUESTS / conf[BENCH_BURST]; bursts++) {
        uint32_t n = 0;
        for (uint32_t i = 0; what != CHASE && i < conf[BENCH_BURST]; i++)
            make_request(b, i, random_below(b, conf[BENCH_KEYS]),
                         random_below(b, 100) < conf[BENCH_SETS]);
        uint64_t burst = timed_burst(b, &n);
        cycles += burst;
        b->bursts[MIN(burst / conf[BENCH_BURST], (uint64_t)MOST - 1)]++;
        b->right &= what == CHASE || answers_right(b, n);
        if (!b->right)
            return;
    }
    print("%u,%s,%u,%u,%u,%lu\n", turn, names[what], conf[BENCH_KEYS], core,
          median_cycles(b->bursts), cycles / ROUND_REQUESTS);
}

/* On all cores at once; false if one had a wrong answer. */
static RUNS_SELDOM bool measure_all(void)
{
    bool right = true;

    for (what = SOFTWARE; what < WHATS; what++) {
        boot_run(measure_core);
        for (uint32_t i = 0; i < boot_cores(); i++)
            right &= benches[i].right;
    }
    return right;
}

static RUNS_SELDOM void init_bench(struct bench *b, struct server *server, uint32_t core)
{
    const struct server_conf *its = &server->conf;

    b->server = server;
    inet_init(&b->client, client_mac, (struct ipv4_prefix){its->ip.address ^ 1, its->ip.len});
    b->to_server = (struct inet_peer){

        .ip = its->ip.address, .port = its->port, .local_port = (uint16_t)(40000 + core)};
    memcpy(b->to_server.mac, its->mac, sizeof b->to_server.mac);
    b->random_state = 88172645463325252 + core;
    b->right = true;
}

RUNS_SELDOM int bench_run(struct server *const servers[], const uint32_t wanted[BENCH_NUMBERS])
{
    benches = boot_alloc(boot_cores() * sizeof *benches, CACHE_LINE);
    if (!benches)
        boot_misconfigured("this machine has no memory left to measure with; give it more.");
    for (uint32_t i = 0; i < boot_cores(); i++)
        init_bench(&benches[i], servers[i], i);
    conf = wanted;
    bool right = fill_store(&benches[0]);
    print("round,what,keys,core,cycles_median,cycles_mean\n");
    for (turn = 0; right && turn < ROUNDS; turn++)
        right = measure_all();
    if (!right)
        print("udpkv: an answer was wrong; is there memory for %u keys?\n", conf[BENCH_KEYS]);
    return right && netbuf_pools_report() ? 0 : 1;
}
