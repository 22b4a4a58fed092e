/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the server over cores: each core has a server, and all have the same few keys. They run
 * on as many cores as the key `cores` says; with one they pass, too, but show little.
 *
 * A core that finds something wrong remembers it, as only core 0 can fail a test.
 */
#include "apps/udpkv/history_test.h"
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"

enum { BUFS = 8, SHARDS = 4, ROUNDS = 400, TIMES = 3000, KEYS = 4000, ANSWER_MAX = 4096 };
#define PATIENCE_NS 60000000000ull

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

/* A core with its server and a client that asks it. */
static struct peer {
    struct server server;
    struct netbuf_pool *pool;
    struct inet client;
    uint64_t random;
    const char *fault;       /* what went wrong first, or NULL */
    uint64_t added, deleted; /* answers to add and delete that said so */
    char answer[ANSWER_MAX];
} * peers;

static struct shards shards;
static uint32_t moment; /* the histories' clock */
static uint32_t arrived;

static struct history_op ops[HISTORY_MAX]; /* of one round, by core */
static uint32_t core_ops;                  /* how many of them a core has */

static void begin_on_cores(void)
{
    const size_t len = boot_cores() * sizeof *peers;
    struct server_conf conf = {.ip = {0x0a00020f, 24}, .port = 11211, .now_s = TEST_NOW_S};

    shards = test_shards(SHARDS, STORE_MIN_BYTES);
    conf.shards = shards;
    memcpy(conf.mac, server_mac, sizeof conf.mac);
    if (!peers) {
        peers = boot_alloc(len, CACHE_LINE);
        CHECK(peers);
        for (uint32_t i = 0; i < boot_cores(); i++)
            peers[i].pool = netbuf_pool_create(&(struct netbuf_pool_conf){
                .name = "cores_test", .count = BUFS, .buf_bytes = 2048, .headroom_bytes = 64});
    }
    for (uint32_t i = 0; i < boot_cores(); i++) {
        struct peer *p = &peers[i];
        CHECK(p->pool);
        conf.pool = p->pool;
        server_init(&p->server, &conf);
        if (i > 0)
            server_join(&peers[0].server, &p->server);
        inet_init(&p->client, client_mac, (struct ipv4_prefix){0x0a000202, 24});
        p->random = 88172645463325252 + i;
        p->fault = NULL;
        p->added = p->deleted = 0;
    }
    moment = arrived = 0;
}

/* After the cores have run: nothing was wrong, no buffer is lost, the shards fit together. */
static void check_end(void)
{
    for (uint32_t i = 0; i < boot_cores(); i++) {
        if (peers[i].fault)
            test_failed(__FILE__, __LINE__, peers[i].fault);
        CHECK(netbuf_pool_whole(peers[i].pool));
    }
    for (uint32_t n = 0; n < SHARDS; n++) {
        test_check_store(shards_nth(&shards, n));
        CHECK_EQ(shards_nth(&shards, n)->lock, 0);
    }
}

static void note_fault(struct peer *p, const char *what)
{
    if (!p->fault)
        p->fault = what;
}

/* Asks a core's server, which answers in one datagram or not at all. */
static const char *ask_text(struct peer *p, const char *text, size_t len)
{
    static const uint8_t header[SERVER_HEADER_BYTES] = {0, 1, 0, 0, 0, 1, 0, 0};
    struct inet_peer to = {.ip = 0x0a00020f, .port = 11211, .local_port = 4000};
    struct netbuf *nb = netbuf_alloc(p->pool), *out[4];
    size_t answered = 0;

    memcpy(to.mac, server_mac, sizeof to.mac);
    memcpy(nb->data + INET_UDP_HEADROOM, header, sizeof header);
    memcpy(nb->data + INET_UDP_HEADROOM + sizeof header, text, len);
    inet_udp_build(&p->client, nb, &to, (uint32_t)(sizeof header + len), false);
    uint32_t n = server_burst(&p->server, &nb, 1, out, ARRAY_LEN(out), TEST_NOW_S);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t before = INET_UDP_HEADROOM + SERVER_HEADER_BYTES;
        memcpy(p->answer + answered, out[i]->data + before, out[i]->len - before);
        answered += out[i]->len - before;
    }
    netbuf_free_bulk(out, n);
    p->answer[answered] = 0;
    return p->answer;
}

static const char *ask_on(struct peer *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static const char *ask_on(struct peer *p, const char *fmt, ...)
{
    char text[1200];
    va_list args;

    va_start(args, fmt);
    size_t len = vformat(text, sizeof text, fmt, args);
    va_end(args);
    return ask_text(p, text, len);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The number at the start of a text, and where it ends. */
static uint64_t read_digits(const char **text)
{
    uint64_t value = 0;

    for (; **text >= '0' && **text <= '9'; (*text)++)
        value = value * 10 + (uint64_t)(**text - '0');
    return value;
}

/* Reads the answer to gets of a number: "VALUE KEY 0 LEN CAS\r\nNUMBER". False for a miss. */
static bool read_gets(const char *answer, uint64_t *value, uint64_t *cas)
{
    if (!begins(answer, "VALUE "))
        return false;
    answer = strchr(answer + 6, ' ') + 3;
    read_digits(&answer);
    answer++;
    *cas = read_digits(&answer);
    answer += 2;
    *value = read_digits(&answer);
    return true;
}

/* All cores begin together. */
static void meet_others(struct peer *p)
{
    const uint64_t end_ns = clock_ns() + PATIENCE_NS;

    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    while (load_acquire(&arrived) < boot_cores()) {
        __builtin_ia32_pause();
        if (clock_ns() > end_ns) {
            note_fault(p, "another core didn't come");
            return;
        }
    }
}

/* --- counting together ---------------------------------------------------------------------- */

static void add_by_cas(struct peer *p)
{
    uint64_t value, cas;

    do {
        if (!read_gets(ask_on(p, "gets cas\r\n"), &value, &cas)) {
            note_fault(p, "an item that nobody deletes is gone");
            return;
        }
    } while (!begins(ask_on(p, "cas cas 0 0 5 %lu\r\n%05lu\r\n", cas, value + 1), "STORED"));
}

/* Writes and reads values that are one letter many times: a value must be from a single write. */
static void write_and_read_letters(struct peer *p, uint32_t core)
{
    char letters[101];

    memset(letters, 'a' + (int)core, 100);
    letters[100 - core] = 0; /* of other lengths, so that the item moves */
    ask_on(p, "set letters 0 0 %u\r\n%s\r\n", 100 - core, letters);
    const char *got = ask_on(p, "get letters\r\n");
    const char *value = strchr(got, '\n');
    if (!begins(got, "VALUE letters 0 ") || !value)
        note_fault(p, "letters are gone");
    else
        for (uint32_t i = 1; i <= 100u - (uint32_t)(value[1] - 'a'); i++)
            if (value[i] != value[1])
                note_fault(p, "a value is of two writes");
}

static void count_all(uint32_t core)
{
    struct peer *p = &peers[core];

    meet_others(p);
    for (uint32_t i = 0; i < TIMES; i++) {
        ask_on(p, "incr incr 1\r\n");
        ask_on(p, "ma meta\r\n");
        if (i % 4 == 0)
            add_by_cas(p);
        if (i % 8 == 0)
            ask_on(p, "append append 0 0 1\r\n%c\r\n", (char)('a' + core));
        write_and_read_letters(p, core);
        p->added += begins(ask_on(p, "add now 0 0 1\r\nx\r\n"), "STORED");
        p->deleted += begins(ask_on(p, "delete now\r\n"), "DELETED");
    }
}

static uint64_t stat_of(const char *name)
{
    char line[40];
    const char *stats = ask_on(&peers[0], "stats\r\n");

    format(line, sizeof line, "STAT %s ", name);
    for (; *stats; stats = strchr(stats, '\n') + 1) {
        if (begins(stats, line)) {
            stats += strlen(line);
            return read_digits(&stats);
        }
    }
    return UINT64_MAX;
}

TEST(server_cores_count_the_same_items)
{
    const uint64_t all = boot_cores() * (uint64_t)TIMES;
    uint64_t added = 0, deleted = 0, value, cas;

    begin_on_cores();
    ask_on(&peers[0], "set incr 0 0 1\r\n0\r\nset meta 0 0 1\r\n0\r\nset cas 0 0 5\r\n00000\r\n"
                      "set append 0 0 0\r\n\r\n");
    boot_run(count_all);
    check_end();
    CHECK(read_gets(ask_on(&peers[0], "gets incr\r\n"), &value, &cas));
    CHECK_EQ(value, all);
    CHECK(read_gets(ask_on(&peers[0], "gets meta\r\n"), &value, &cas));
    CHECK_EQ(value, all);
    CHECK(read_gets(ask_on(&peers[0], "gets cas\r\n"), &value, &cas));
    CHECK_EQ(value, all / 4);
    for (uint32_t i = 0; i < boot_cores(); i++) {
        added += peers[i].added;
        deleted += peers[i].deleted;
    }
    CHECK_EQ(added - deleted, begins(ask_on(&peers[0], "get now\r\n"), "VALUE"));
    CHECK_EQ(stat_of("threads"), boot_cores());
    CHECK_EQ(stat_of("incr_hits"), 2 * all);
    CHECK_EQ(stat_of("cas_hits"), all / 4);
    CHECK_EQ(stat_of("delete_hits"), deleted);
    uint64_t asked = 0;
    for (uint32_t i = 0; i < boot_cores(); i++)
        asked += peers[i].server.requests;
    CHECK_EQ(stat_of("requests"), asked + 1);
    ask_on(&peers[boot_cores() - 1], "stats reset\r\n");
    CHECK_EQ(stat_of("incr_hits"), 0);
}

/* All letters that the cores appended are there. */
TEST(server_cores_append_to_the_same_item)
{
    const uint32_t each = TIMES / 8;
    uint32_t letters[BOOT_CORES_MAX] = {0};

    begin_on_cores();
    ask_on(&peers[0], "set incr 0 0 1\r\n0\r\nset meta 0 0 1\r\n0\r\nset cas 0 0 5\r\n00000\r\n"
                      "set append 0 0 0\r\n\r\n");
    boot_run(count_all);
    check_end();
    const char *value = ask_on(&peers[0], "get append\r\n");
    for (value = strchr(value, '\n') + 1; *value >= 'a'; value++)
        letters[*value - 'a']++;
    for (uint32_t i = 0; i < boot_cores(); i++)
        CHECK_EQ(letters[i], each);
}

/* --- more than there is room for ------------------------------------------------------------ */

/* Writes and reads more keys than there is room for. The value holds the key's number. */
static void crowd(uint32_t core)
{
    struct peer *p = &peers[core];
    char wanted[40];

    meet_others(p);
    for (uint32_t i = 0; i < 10 * TIMES; i++) {
        uint32_t key = test_random(&p->random) % KEYS, len = 8 + test_random(&p->random) % 1000;
        switch (test_random(&p->random) % 8) {
        case 0:
            ask_on(p, "delete key%u\r\n", key);
            break;
        case 1:
            ask_on(p, "append key%u 0 0 1\r\n.\r\n", key);
            break;
        case 2:
        case 3:
            ask_on(p, "set key%u 0 %s %u\r\n%-*u\r\n", key, key % 16 ? "0" : "-1", len, (int)len,
                   key);
            break;
        default:
            format(wanted, sizeof wanted, "VALUE key%u 0 ", key);
            const char *got = ask_on(p, "get key%u\r\n", key), *value = strchr(got, '\n') + 1;
            if (begins(got, "VALUE ") && (!begins(got, wanted) || read_digits(&value) != key))
                note_fault(p, "the value of another key");
            break;
        }
    }
}

TEST(server_cores_share_a_store_that_is_full)
{
    struct shards_sum sum;

    begin_on_cores();
    boot_run(crowd);
    check_end();
    shards_sum(&shards, &sum);
    CHECK(sum.stats.evictions > 0 && sum.stats.reclaimed + sum.stats.get_expired > 0);
}

TEST(server_cores_flush_all_shards)
{
    begin_on_cores();
    boot_run(crowd);
    CHECK_STR(ask_on(&peers[boot_cores() - 1], "flush_all\r\n"), "OK\r\n");
    for (uint32_t key = 0; key < KEYS; key++)
        CHECK_STR(ask_on(&peers[key % boot_cores()], "get key%u\r\n", key), "END\r\n");
    check_end();
}

/* --- one key's history ------------------------------------------------------------------------ */

static uint32_t next_moment(void)
{
    return __atomic_fetch_add(&moment, 1, __ATOMIC_SEQ_CST);
}

static uint32_t result_of(const char *answer)
{
    return begins(answer, "STORED") || begins(answer, "DELETED") ? HISTORY_DONE
           : begins(answer, "EXISTS")                            ? HISTORY_OTHER
                                                                 : HISTORY_MISSING;
}

/* Does one operation and records its result. *known and *cas are the last value that this core has
 * read, and its id. */
static void operate(struct peer *p, struct history_op *op, uint32_t mine, uint64_t *known,
                    uint64_t *cas)
{
    uint64_t read = 0, id;

    op->what = test_random(&p->random) % 4;
    op->value = mine;
    op->expected = (uint32_t)*known;
    if (op->what == HISTORY_CAS && *known == 0)
        op->what = HISTORY_GET;
    op->begin = next_moment();
    switch (op->what) {
    case HISTORY_SET:
        ask_on(p, "set k 0 0 5\r\n%05u\r\n", mine);
        break;
    case HISTORY_GET:
        if (read_gets(ask_on(p, "gets k\r\n"), &read, &id)) {
            *known = read;
            *cas = id;
        }
        op->value = (uint32_t)read;
        break;
    case HISTORY_DELETE:
        op->result = result_of(ask_on(p, "delete k\r\n"));
        break;
    case HISTORY_CAS:
        op->result = result_of(ask_on(p, "cas k 0 0 5 %lu\r\n%05u\r\n", *cas, mine));
        break;
    }
    op->end = next_moment();
}

static void one_round(uint32_t core)
{
    struct peer *p = &peers[core];
    uint64_t known = 0, cas = 0;

    meet_others(p);
    for (uint32_t i = 0; i < core_ops; i++) {
        uint32_t at = core * core_ops + i;
        operate(p, &ops[at], at + 1, &known, &cas);
    }
}

TEST(server_cores_give_each_key_a_linear_history)
{
    begin_on_cores();
    core_ops = HISTORY_MAX / boot_cores();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        ask_on(&peers[0], "delete k\r\n");
        moment = arrived = 0;
        boot_run(one_round);
        CHECK(history_linearizable(ops, core_ops * boot_cores()));
    }
    check_end();
}
