/* SPDX-License-Identifier: BSD-2-Clause */
/* server_stats.c - what a server tells of itself: its settings and counters; see server.h. */
#include "apps/udpkv/server.h"

/* The lines of `stats settings`: memcached's names where there is such a setting. */
RUNS_SELDOM void server_show_settings(const void *whose, struct reply *reply)
{
    const struct server *server = whose;
    const struct server_conf *conf = &server->conf;
    char ip[IPV4_TEXT_BYTES];

    text_show_number(reply, "", "maxbytes", conf->store_bytes);
    text_show_number(reply, "", "udpport", conf->port);
    text_show_text(reply, "", "inter", ipv4_format(ip, server->inet.prefix.address));
    text_show_text(reply, "", "evictions", "on");
    text_show_number(reply, "", "num_threads", text_cores(&server->text));
    text_show_text(reply, "", "cas_enabled", "yes");
    text_show_text(reply, "", "flush_enabled", "yes");
    text_show_text(reply, "", "dump_enabled", "no");
    text_show_text(reply, "", "shutdown_command", "no");
    text_show_number(reply, "", "item_size_max", conf->shards.first->max_value);
    text_show_text(reply, "", "hash_algorithm", "xxh3");
    text_show_number(reply, "", "answer_datagrams_max", SERVER_MAX_PARTS);
    text_show_number(reply, "", "answer_datagram_bytes", conf->part_bytes);
    server_show_allowed(server, reply);
}

/* What an operator looks for when requests go unanswered, those in fragments above all. Of
 * fragments_ it is datagrams that are counted, of fragment_ packets. */
static RUNS_SELDOM uint32_t inet_counters(struct text_counter *counters, const struct inet *inet)
{
    const struct text_counter those[] = {
        {"reassembled", &inet->reassembled},
        {"drop_fragments_late", &inet->drops[INET_DROP_FRAGMENTS_LATE]},
        {"drop_fragments_crowded", &inet->drops[INET_DROP_FRAGMENTS_CROWDED]},
        {"drop_fragments_share", &inet->drops[INET_DROP_FRAGMENTS_SHARE]},
        {"drop_fragment_no_room", &inet->drops[INET_DROP_FRAGMENT_NO_ROOM]},
        {"drop_udp_checksum", &inet->drops[INET_DROP_UDP_CHECKSUM]},
    };

    memcpy(counters, those, sizeof those);
    return ARRAY_LEN(those);
}

RUNS_SELDOM void server_list_counters(struct server *server)
{
    static const uint64_t not_told;
    const struct server_conf *conf = &server->conf;
    uint32_t n = 0;

    server->counters[n++] = (struct text_counter){"requests", &server->requests};
    server->counters[n++] = (struct text_counter){"answers", &server->answers};
    server->counters[n++] = (struct text_counter){"answer_datagrams", &server->datagrams};
    server->counters[n++] = (struct text_counter){"answers_too_long", &server->too_long};
    server->counters[n++] =
        (struct text_counter){"cycles_busy", conf->cycles_busy ? conf->cycles_busy : &not_told};
    server->counters[n++] =
        (struct text_counter){"cycles_total", conf->cycles_total ? conf->cycles_total : &not_told};
    for (uint32_t i = 0; i < SERVER_DROP_REASONS; i++)
        server->counters[n++] = (struct text_counter){server_drop_names[i], &server->drops[i]};
    n += inet_counters(server->counters + n, &server->inet);
    assert(n == ARRAY_LEN(server->counters));
}
