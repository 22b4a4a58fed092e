/* SPDX-License-Identifier: BSD-2-Clause */
/* server.c - memcached's UDP protocol over packet buffers; see server.h. */
#include "apps/udpkv/server.h"
#include "apps/udpkv/binary.h"

_Static_assert(SERVER_BUF_BYTES >= INET_UDP_HEADROOM_6 + SERVER_PART_BYTES,
               "an answer's first datagram is built in the buffer that brought the request");

/* Requests that go through a stage together, and lie between two stages of one: enough for a
 * prefetch to be done. */
enum { GROUP = 8 };

enum {
    ANSWER_BYTES = 80, /* of an answer to a get beside key and value: headers, words, END */
    SHORT_LINES = 3,   /* cache lines that a short request and its answer take */
};

const char *const server_drop_names[SERVER_DROP_REASONS] = {
    [SERVER_DROP_PORT] = "drop_port",     [SERVER_DROP_DENIED] = "drop_denied",
    [SERVER_DROP_LOOP] = "drop_loop",     [SERVER_DROP_HEADER] = "drop_header",
    [SERVER_DROP_PARTS] = "drop_parts",   [SERVER_DROP_CUT] = "drop_cut",
    [SERVER_DROP_NO_BUF] = "drop_no_buf", [SERVER_DROP_NO_ROOM] = "drop_no_room",
};

/* An answer that is being written. */
struct answer {
    struct reply reply;
    struct server *server;
    struct netbuf **parts; /* the datagrams so far, at the end of the burst to send */
    uint32_t count, room;
    uint32_t headroom;   /* inet_udp_headroom of the client */
    uint32_t part_bytes; /* of a datagram's payload at most */
    enum { LIMIT_NONE, LIMIT_PARTS, LIMIT_ROOM, LIMIT_BUFS } hit;
};

_Static_assert(offsetof(struct answer, reply) == 0, "more_parts finds the answer by its reply");

RUNS_SELDOM void server_init(struct server *server, const struct server_conf *conf)
{
    assert(conf->allow_count <= SERVER_MAX_ALLOW && conf->allow6_count <= SERVER_MAX_ALLOW);
    memset(server, 0, sizeof *server);
    server->conf = *conf;
    if (conf->part_bytes == 0)
        server->conf.part_bytes = SERVER_PART_BYTES;
    assert(server->conf.part_bytes >= server_part_bytes(SERVER_MIN_MTU) &&
           server->conf.part_bytes <= SERVER_PART_BYTES);
    shards_limit_values(&server->conf.shards, server_max_value(server->conf.part_bytes));
    /* Our own network is another one when DHCP gives another address. */
    server->allow = server->conf.allow;
    server->allow_count = conf->allow_count;
    if (conf->allow_count == 0 && conf->allow6_count == 0) {
        server->conf.allow_near6 = true;
        server->allow = &server->inet.prefix;
        server->allow_count = 1;
    }
    inet_init(&server->inet, conf->mac, conf->ip);
    server->inet.reassembly = conf->reassembly;
    server_list_counters(server);
    server->parts[0] = (struct text_part){"settings", server_show_settings, server};
    server->parts[1] = conf->part;
    server->text = (struct text){.shards = conf->shards,
                                 .next = &server->text,
                                 .store_bytes = conf->store_bytes,
                                 .counters = server->counters,
                                 .counter_count = ARRAY_LEN(server->counters),
                                 .parts = server->parts,
                                 .part_count = conf->part.name ? 2 : 1,
                                 .start_s = conf->now_s};
}

RUNS_SELDOM void server_join(struct server *server, struct server *alone)
{
    assert(alone->text.next == &alone->text);
    alone->text.next = server->text.next;
    server->text.next = &alone->text;
}

static uint8_t *part_header(const struct answer *answer, struct netbuf *nb)
{
    return nb->data + answer->headroom;
}

static inline void add_part(struct answer *answer, struct netbuf *nb)
{
    assert(netbuf_headroom(nb) + answer->headroom + SERVER_PART_BYTES <= nb->buf_bytes);
    answer->parts[answer->count++] = nb;
    answer->reply.at = part_header(answer, nb) + SERVER_HEADER_BYTES;
    answer->reply.end = part_header(answer, nb) + answer->part_bytes;
}

static bool more_parts(struct reply *reply)
{
    struct answer *answer = (struct answer *)reply;

    if (answer->count == SERVER_MAX_PARTS) {
        answer->hit = LIMIT_PARTS;
        return false;
    }
    if (answer->count == answer->room) {
        answer->hit = LIMIT_ROOM;
        return false;
    }
    struct netbuf *nb = netbuf_alloc(answer->server->conf.pool);
    if (!nb) {
        answer->hit = LIMIT_BUFS;
        return false;
    }
    add_part(answer, nb);
    return true;
}

/* Puts an error in the place of an answer that is too long. */
static RUNS_SELDOM void replace_answer(struct answer *answer)
{
    struct netbuf *first = answer->parts[0];

    netbuf_free_bulk(answer->parts + 1, answer->count - 1);
    answer->count = 0;
    answer->reply.broken = false;
    add_part(answer, first);
    if (answer->reply.packet)
        reply_error(&answer->reply, BINARY_TOO_LARGE, "answer too long for UDP");
    else
        reply_text(&answer->reply, "SERVER_ERROR answer too long for UDP\r\n");
    answer->server->too_long++;
}

/* Writes the headers of all parts. The last part ends where the reply ends. */
static void finish_answer(struct answer *answer, uint16_t request_id, const struct inet_peer *peer)
{
    struct server *server = answer->server;
    uint32_t len = answer->part_bytes;

    for (uint32_t i = 0; i < answer->count; i++) {
        uint8_t *header = part_header(answer, answer->parts[i]);
        if (i + 1 == answer->count)
            len = (uint32_t)(answer->reply.at - header);
        store_be16(header, request_id);
        store_be16(header + 2, (uint16_t)i);
        store_be16(header + 4, (uint16_t)answer->count);
        store_be16(header + 6, 0);
        inet_udp_build(&server->inet, answer->parts[i], peer, len, server->conf.csum_offload);
    }
    server->answers++;
    server->datagrams += answer->count;
    server->text.stats.bytes_written += (uint64_t)(answer->count - 1) * answer->part_bytes + len;
}

static inline bool allows(const struct server *server, const struct inet_peer *client)
{
    uint32_t i = 0;

    if (unlikely(client->family != INET_IPV4))
        return server_allows_6(server, &client->ip6);
    while (i < server->allow_count && !ipv4_prefix_has(server->allow[i], client->ip))
        i++;
    return likely(i < server->allow_count) || server_allows_further(server, client->ip);
}

/* Is this datagram for our port, from an allowed network, and long enough? Counts why if not. */
static bool is_for_us(struct server *server, const struct inet_udp *udp)
{
    const struct server_conf *conf = &server->conf;

    if (unlikely(udp->from.local_port != conf->port)) {
        server->drops[SERVER_DROP_PORT]++;
        return false;
    }
    if (unlikely(!allows(server, &udp->from))) {
        server->drops[SERVER_DROP_DENIED]++;
        return false;
    }
    if (unlikely(udp->from.port == conf->port)) {
        server->drops[SERVER_DROP_LOOP]++;
        return false;
    }
    if (unlikely(udp->payload_len < SERVER_HEADER_BYTES)) {
        server->drops[SERVER_DROP_HEADER]++;
        return false;
    }
    return true;
}

/* Is it the answer ERROR? If an echo service returns our answer, or another server takes it for a
 * request and answers it, then ERROR is what we get at the latest the second time. Without this
 * check it would go on for ever. */
static inline bool is_error(const uint8_t *text, uint32_t len)
{
    static const char error[] = "ERROR\r\n";

    return len >= sizeof error - 1 && memcmp(text, error, sizeof error - 1) == 0;
}

/* Is this a request to be run? Counts why if not. */
static inline bool is_request(struct server *server, const struct inet_udp *udp)
{
    const uint8_t *text = udp->payload + SERVER_HEADER_BYTES;

    if (!is_for_us(server, udp))
        return false;
    if (unlikely(load_be16(udp->payload + 4) != 1)) {
        server->drops[SERVER_DROP_PARTS]++;
        return false;
    }
    if (unlikely(is_error(text, udp->payload_len - SERVER_HEADER_BYTES))) {
        server->drops[SERVER_DROP_LOOP]++;
        return false;
    }
    return true;
}

/* The word that is a command's first key. Of a command without keys it may be any word, as its hash
 * is only used to prefetch. */
static inline struct word first_key(const struct line *line)
{
    bool gat = line->word_count > 2 && line->words[0].len >= 3 && line->words[0].bytes[1] == 'a' &&
               line->words[0].bytes[0] == 'g';

    return likely(line->word_count > 1) ? line->words[1 + gat] : (struct word){line->bytes, 0};
}

/* What becomes of a packet with a datagram that is no request: if it is for another port than ours
 * its sender is told. */
static RUNS_SELDOM enum inet_verdict refuse(struct server *server, struct netbuf *nb,
                                            const struct inet_udp *udp)
{
    return udp->from.local_port != server->conf.port ? inet_refuse(&server->inet, nb, udp)
                                                     : INET_DROPPED;
}

/* Stage 1 of a request that was put together from fragments: text_run will read its first line. */
static RUNS_SELDOM void read_large(struct server *server, struct netbuf *nb,
                                   struct server_pending *pending)
{
    pending->line.taken = 0;
    if (is_request(server, &pending->udp))
        return;
    pending->verdict = refuse(server, nb, &pending->udp);
    inet_release(&server->inet, &pending->udp);
}

/* Stage 1: reads headers and the first line. Then the bucket of the first key is prefetched. */
static void read_packet(struct server *server, struct netbuf *nb, struct server_pending *pending)
{
    const struct shards *shards = &server->text.shards;
    struct inet_udp *udp = &pending->udp;
    struct line *line = &pending->line;

    pending->verdict = inet_input(&server->inet, nb, udp);
    if (likely(pending->verdict == INET_UDP) && unlikely(!is_request(server, udp)))
        pending->verdict = refuse(server, nb, udp);
    if (unlikely(pending->verdict != INET_UDP)) {
        if (pending->verdict == INET_UDP_LARGE)
            read_large(server, nb, pending);
        return;
    }
    const uint8_t *text = udp->payload + SERVER_HEADER_BYTES;
    line_read(line, pending->line_bytes, sizeof pending->line_bytes, text,
              udp->payload_len - SERVER_HEADER_BYTES, (size_t)(nb->start + nb->buf_bytes - text));
    struct word key = first_key(line);
    line->hashed = key.bytes;
    line->hash = shards_hash(shards, key.bytes, key.len);
}

/* Stage 2: the bucket is in the cache by now; prefetches the item. (Stage 3 does so with the rest
 * of a long one.) */
static inline void prefetch_item(const struct server *server, struct server_pending *pending)
{
    const uint64_t hash = pending->line.hash;

    pending->item = store_prefetch_item(shards_of(&server->text.shards, hash), hash);
}

/* Stage 4: runs a request and answers it in nb, whose owner it is. Returns how many packets it put
 * to out. */
static uint32_t serve_request(struct server *server, struct netbuf *nb,
                              const struct server_pending *pending, struct netbuf **out,
                              uint32_t room)
{
    struct answer answer; /* set field by field: zeroing it as a whole costs more */
    const struct inet_udp *udp = &pending->udp;
    uint16_t request_id = load_be16(udp->payload);

    answer.reply.more = more_parts;
    answer.reply.broken = false;
    /* A large request lies apart, so its answer doesn't reach it. */
    answer.reply.aside = likely(pending->verdict == INET_UDP) ? server->aside : NULL;
    answer.reply.unread = NULL;
    answer.reply.moved = 0;
    answer.reply.packet = NULL;
    answer.server = server;
    answer.parts = out;
    answer.count = 0;
    answer.room = room;
    answer.headroom = inet_udp_headroom(&udp->from);
    answer.part_bytes = likely(udp->from.family == INET_IPV4)
                            ? server->conf.part_bytes
                            : server_part_bytes_6(server, &udp->from.ip6);
    answer.hit = LIMIT_NONE;
    add_part(&answer, nb);
    server->requests++;
    server->text.stats.bytes_read += udp->payload_len;
    enum text_end end =
        text_run(&server->text, udp->payload + SERVER_HEADER_BYTES,
                 udp->payload_len - SERVER_HEADER_BYTES, &pending->line, &answer.reply);
    if (unlikely(pending->verdict == INET_UDP_LARGE))
        inet_release(&server->inet, udp);
    if (unlikely(end == TEXT_CUT))
        server->drops[SERVER_DROP_CUT]++;
    if (unlikely(answer.hit == LIMIT_PARTS))
        replace_answer(&answer);
    if (unlikely(answer.reply.broken)) {
        server->drops[answer.hit == LIMIT_BUFS ? SERVER_DROP_NO_BUF : SERVER_DROP_NO_ROOM]++;
        netbuf_free_bulk(answer.parts, answer.count);
        return 0;
    }
    if (answer.reply.at ==
        part_header(&answer, nb) + SERVER_HEADER_BYTES) { /* no command had an answer */
        netbuf_free(nb);
        return 0;
    }
    finish_answer(&answer, request_id, &udp->from);
    return answer.count;
}

static uint32_t serve_packet(struct server *server, struct netbuf *nb,
                             const struct server_pending *pending, struct netbuf **out,
                             uint32_t room)
{
    if (unlikely(pending->verdict == INET_DROPPED)) {
        netbuf_free(nb);
        return 0;
    }
    if (unlikely(room == 0)) {
        server->drops[SERVER_DROP_NO_ROOM]++;
        if (pending->verdict == INET_UDP_LARGE)
            inet_release(&server->inet, &pending->udp);
        netbuf_free(nb);
        return 0;
    }
    if (likely(pending->verdict >= INET_UDP)) /* or INET_UDP_LARGE */
        return serve_request(server, nb, pending, out, room);
    out[0] = nb;
    return 1;
}

/* Prefetches the lines that an answer with this item takes beyond a short one's: the client's core
 * has read the last answer from them. */
static inline void prefetch_answer(const struct netbuf *nb, const struct item *item)
{
    const uint32_t len = ANSWER_BYTES + MIN(item->key_len + item->value_len, SERVER_PART_BYTES);

    for (uint32_t at = SHORT_LINES * CACHE_LINE; at < len; at += CACHE_LINE)
        prefetch_to_write(nb->data + at);
}

/* Stages 1 and 2 of a group of requests: what the first prefetches, the second looks at a group
 * later. In each the prefetches stand close together, as one whose page isn't in the TLB waits for
 * the translation, and several such waits then go on side by side. */
static inline void read_group(struct server *server, struct netbuf **in, uint32_t start,
                              uint32_t group, uint32_t *batch_end)
{
    const struct shards *shards = &server->text.shards;
    struct server_pending *pending = server->pending;
    uint32_t end = MIN(start + group, *batch_end);

    for (uint32_t i = start; i < end; i++) {
        read_packet(server, in[i], &pending[i]);
        /* There are few slots for requests that were put together from fragments. So the batch
         * ends behind one, and the next finds its slot free. */
        if (unlikely(pending[i].verdict == INET_UDP_LARGE))
            end = *batch_end = i + 1;
    }
    for (uint32_t i = start; i < end; i++)
        if (likely(pending[i].verdict == INET_UDP))
            store_prefetch_bucket(shards_of(shards, pending[i].line.hash), pending[i].line.hash);
}

static inline void prefetch_items(struct server *server, uint32_t start, uint32_t end)
{
    for (uint32_t i = start; i < end; i++)
        if (likely(server->pending[i].verdict == INET_UDP))
            prefetch_item(server, &server->pending[i]);
}

/* Stages 3 and 4 take turns by the request: a long value has as many lines as can be on their way
 * at a time. Takes as many of the packets as *count says then. */
static uint32_t serve_batch(struct server *server, struct netbuf **in, uint32_t *count,
                            struct netbuf **out, uint32_t room)
{
    const struct server_pending *pending = server->pending;
    const uint32_t group = MIN(*count, (uint32_t)GROUP);
    uint32_t n = *count, sent = 0;

    /* The packets' cache lines are with the core that wrote them, and answers are written to the
     * same lines. So all that a short request and its answer take are prefetched at once, for
     * writing: stores go to memory in order, and each that waits for its line holds up all others.
     */
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t line = 0; line < SHORT_LINES; line++)
            prefetch_to_write(in[i]->data + line * CACHE_LINE);
    for (uint32_t at = 0, next_group = 0; at < n + 3 * group; at++) {
        if (at == next_group) {
            next_group += group;
            if (at < n)
                read_group(server, in, at, group, &n);
            if (at > 0)
                prefetch_items(server, at - group, MIN(at, n));
        }
        /* A number less a larger one is no request's: it is larger than n. */
        const uint32_t third = at - 2 * group, fourth = at - 3 * group;
        if (third < n && likely(pending[third].verdict == INET_UDP)) {
            store_prefetch_rest(pending[third].item);
            prefetch_answer(in[third], pending[third].item);
        }
        if (fourth < n)
            sent += serve_packet(server, in[fourth], &pending[fourth], out + sent, room - sent);
    }
    *count = n;
    return sent;
}

uint32_t server_burst(struct server *server, struct netbuf **in, uint32_t n, struct netbuf **out,
                      uint32_t out_max, uint32_t now_s)
{
    uint32_t sent = 0, taken;

    if (unlikely(now_s != server->text.shards.now_s))
        inet_tick(&server->inet);
    shards_tick(&server->text.shards, now_s);
    for (uint32_t i = 0; i < n; i += taken) {
        taken = MIN(n - i, (uint32_t)SERVER_BATCH);
        sent += serve_batch(server, in + i, &taken, out + sent, out_max - sent);
    }
    return sent;
}
