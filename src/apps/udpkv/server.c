/* server.c - memcached's UDP protocol over packet buffers; see server.h. */
#include "apps/udpkv/server.h"

_Static_assert(SERVER_BUF_BYTES >= INET_UDP_HEADROOM + SERVER_PART_BYTES,
               "an answer's first datagram is built in the buffer that brought the request");

const char *const server_drop_names[SERVER_DROP_REASONS] = {
    [SERVER_DROP_PORT] = "drop_port",     [SERVER_DROP_DENIED] = "drop_denied",
    [SERVER_DROP_LOOP] = "drop_loop",     [SERVER_DROP_HEADER] = "drop_header",
    [SERVER_DROP_PARTS] = "drop_parts",   [SERVER_DROP_CUT] = "drop_cut",
    [SERVER_DROP_NO_BUF] = "drop_no_buf", [SERVER_DROP_NO_ROOM] = "drop_no_room",
};

/* An answer that is being written. */
struct answer {
    struct reply reply; /* first: `more` gets only this */
    struct server *server;
    struct netbuf **parts; /* the datagrams so far, in the burst to send */
    uint32_t count, room;
    enum { LIMIT_NONE, LIMIT_PARTS, LIMIT_ROOM, LIMIT_BUFS } hit;
};

void server_init(struct server *server, const struct server_conf *conf)
{
    uint32_t n = 0;

    assert(conf->allow_count <= SERVER_MAX_ALLOW);
    memset(server, 0, sizeof *server);
    server->conf = *conf;
    if (conf->allow_count == 0) {
        server->conf.allow_count = 1;
        server->conf.allow[0] = conf->ip;
    }
    inet_init(&server->inet, conf->mac, conf->ip);
    server->counters[n++] = (struct text_counter){"requests", &server->requests};
    server->counters[n++] = (struct text_counter){"answers", &server->answers};
    server->counters[n++] = (struct text_counter){"answer_datagrams", &server->datagrams};
    server->counters[n++] = (struct text_counter){"answers_too_long", &server->too_long};
    for (uint32_t i = 0; i < SERVER_DROP_REASONS; i++)
        server->counters[n++] = (struct text_counter){server_drop_names[i], &server->drops[i]};
    assert(n == ARRAY_LEN(server->counters));
    server->text = (struct text){.store = conf->store,
                                 .store_bytes = conf->store_bytes,
                                 .counters = server->counters,
                                 .counter_count = n,
                                 .start_s = conf->now_s};
}

static uint8_t *part_header(struct netbuf *nb)
{
    return nb->data + INET_UDP_HEADROOM;
}

static void add_part(struct answer *answer, struct netbuf *nb)
{
    assert(netbuf_headroom(nb) + INET_UDP_HEADROOM + SERVER_PART_BYTES <= nb->buf_bytes);
    answer->parts[answer->count++] = nb;
    answer->reply.at = part_header(nb) + SERVER_HEADER_BYTES;
    answer->reply.end = part_header(nb) + SERVER_PART_BYTES;
}

static bool more_parts(struct reply *reply)
{
    struct answer *answer = (struct answer *)reply;
    struct netbuf *nb = NULL;

    if (answer->count == SERVER_MAX_PARTS)
        answer->hit = LIMIT_PARTS;
    else if (answer->count == answer->room)
        answer->hit = LIMIT_ROOM;
    else if (!(nb = netbuf_alloc(answer->server->conf.pool)))
        answer->hit = LIMIT_BUFS;
    else
        add_part(answer, nb);
    return nb != NULL;
}

/* Puts an error in the place of an answer that is too long. */
static void replace_answer(struct answer *answer)
{
    struct netbuf *first = answer->parts[0];

    netbuf_free_bulk(answer->parts + 1, answer->count - 1);
    answer->count = 0;
    answer->reply.broken = false;
    add_part(answer, first);
    reply_text(&answer->reply, "SERVER_ERROR answer too long for UDP\r\n");
    answer->server->too_long++;
}

/* Writes the headers of all parts. The last one ends where the reply does. */
static void finish(struct answer *answer, uint16_t request_id, const struct inet_peer *peer)
{
    struct server *server = answer->server;

    for (uint32_t i = 0; i < answer->count; i++) {
        uint8_t *header = part_header(answer->parts[i]);
        uint32_t len = SERVER_PART_BYTES;
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
}

/* Is this datagram a request that we serve? Counts it if not. */
static bool acceptable(struct server *server, const struct inet_udp *udp)
{
    const struct server_conf *conf = &server->conf;
    uint32_t i = 0;

    if (unlikely(udp->from.local_port != conf->port)) {
        server->drops[SERVER_DROP_PORT]++;
        return false;
    }
    while (i < conf->allow_count && !ipv4_prefix_has(conf->allow[i], udp->from.ip))
        i++;
    if (unlikely(i == conf->allow_count)) {
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

/* Is it an answer, of ours or of one like us? Whatever comes back to us from an echo service, or
 * from a server that takes our answer for a request, begins so in the second round. */
static bool is_error(const uint8_t *text, uint32_t len)
{
    static const char error[] = "ERROR\r\n";

    return len >= sizeof error - 1 && memcmp(text, error, sizeof error - 1) == 0;
}

/* Runs a request and answers it in nb, which it owns. Returns how many packets it put to out. */
static uint32_t serve(struct server *server, struct netbuf *nb, const struct inet_udp *udp,
                      struct netbuf **out, uint32_t room)
{
    struct answer answer = {.reply.more = more_parts, .server = server, .parts = out, .room = room};
    const uint8_t *request = server->request;
    uint32_t len = udp->payload_len;

    assert(len <= sizeof server->request);
    memcpy(server->request, udp->payload, len);
    if (unlikely(load_be16(request + 4) != 1)) {
        server->drops[SERVER_DROP_PARTS]++;
        netbuf_free(nb);
        return 0;
    }
    if (unlikely(is_error(request + SERVER_HEADER_BYTES, len - SERVER_HEADER_BYTES))) {
        server->drops[SERVER_DROP_LOOP]++;
        netbuf_free(nb);
        return 0;
    }
    add_part(&answer, nb);
    server->requests++;
    enum text_end end = text_run(&server->text, request + SERVER_HEADER_BYTES,
                                 len - SERVER_HEADER_BYTES, &answer.reply);
    if (unlikely(end == TEXT_CUT))
        server->drops[SERVER_DROP_CUT]++;
    if (unlikely(answer.hit == LIMIT_PARTS))
        replace_answer(&answer);
    if (unlikely(answer.reply.broken)) {
        server->drops[answer.hit == LIMIT_BUFS ? SERVER_DROP_NO_BUF : SERVER_DROP_NO_ROOM]++;
        netbuf_free_bulk(answer.parts, answer.count);
        return 0;
    }
    if (answer.reply.at == part_header(nb) + SERVER_HEADER_BYTES) { /* nothing to say */
        netbuf_free(nb);
        return 0;
    }
    finish(&answer, load_be16(request), &udp->from);
    return answer.count;
}

uint32_t server_burst(struct server *server, struct netbuf **in, uint32_t n, struct netbuf **out,
                      uint32_t out_max, uint32_t now_s)
{
    uint32_t sent = 0;
    struct inet_udp udp;

    store_tick(server->conf.store, now_s);
    for (uint32_t i = 0; i < n; i++) {
        struct netbuf *nb = in[i];
        if (unlikely(sent == out_max)) {
            server->drops[SERVER_DROP_NO_ROOM]++;
            netbuf_free(nb);
            continue;
        }
        switch (inet_input(&server->inet, nb, &udp)) {
        case INET_UDP:
            if (likely(acceptable(server, &udp)))
                sent += serve(server, nb, &udp, out + sent, out_max - sent);
            else
                netbuf_free(nb);
            break;
        case INET_REPLY:
            out[sent++] = nb;
            break;
        case INET_DROPPED:
            netbuf_free(nb);
            break;
        }
    }
    return sent;
}
