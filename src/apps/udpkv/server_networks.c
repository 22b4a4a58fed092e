/* SPDX-License-Identifier: BSD-2-Clause */
/* server_networks.c - whose requests are answered, by default and as `stats settings` tells it, and
 * what is different for clients of IPv6; see server.h. */
#include "apps/udpkv/server.h"

uint32_t server_part_bytes_6(const struct server *server, const struct ipv6_address *client)
{
    const struct inet6 *inet6 = server->inet.inet6;
    const uint32_t mtu_bytes = inet6_is_near(inet6, client) ? inet6->mtu_bytes : IPV6_MIN_MTU;
    const uint32_t most = mtu_bytes - SERVER_IP6_UDP_BYTES;

    return MIN(most, (uint32_t)server->conf.part_bytes);
}

/* Of a further address of ours, whose network is answered where no udpkv.allow is given. */
static bool is_answered(const struct server *server, const struct inet_address *address)
{
    return server->conf.allow_near6 && address->state != INET_ADDRESS_FREE &&
           !(address->flags & INET_ADDRESS_QUIET);
}

RUNS_SELDOM bool server_allows_further(const struct server *server, uint32_t client)
{
    for (uint32_t i = 1; i < INET_ADDRESSES; i++) {
        const struct inet_address *address = &server->inet.addresses[i];
        if (is_answered(server, address) && ipv4_prefix_has(address->prefix, client))
            return true;
    }
    return false;
}

RUNS_SELDOM bool server_answers_nobody(const struct server *server, enum inet_family family)
{
    const struct inet *inet = &server->inet;
    const struct server_conf *conf = &server->conf;
    bool neighbours = inet->prefix.len < 32;

    if (!conf->allow_near6)
        return (family == INET_IPV4 ? conf->allow_count : conf->allow6_count) == 0;
    for (uint32_t i = 1; i < INET_ADDRESSES; i++)
        neighbours |=
            is_answered(server, &inet->addresses[i]) && inet->addresses[i].prefix.len < 32;
    return family == INET_IPV4 && !neighbours;
}

bool server_allows_6(const struct server *server, const struct ipv6_address *client)
{
    const struct server_conf *conf = &server->conf;

    for (uint32_t i = 0; i < conf->allow6_count; i++)
        if (ipv6_prefix_has(&conf->allow6[i], client))
            return true;
    return conf->allow_near6 && inet6_is_near(server->inet.inet6, client);
}

RUNS_SELDOM void server_show_allowed(const struct server *server, struct reply *reply)
{
    const struct server_conf *conf = &server->conf;
    char ip[IPV4_TEXT_BYTES], ip6[IPV6_TEXT_BYTES], network[IPV6_TEXT_BYTES + 4];

    for (uint32_t i = 0; i < server->allow_count; i++) {
        format(network, sizeof network, "%s/%u", ipv4_format(ip, server->allow[i].address),
               server->allow[i].len);
        text_show_text(reply, "", "allow", network);
    }
    for (uint32_t i = 1; i < INET_ADDRESSES; i++) {
        const struct inet_address *address = &server->inet.addresses[i];
        format(network, sizeof network, "%s/%u", ipv4_format(ip, address->prefix.address),
               address->prefix.len);
        if (is_answered(server, address))
            text_show_text(reply, "", "allow", network);
    }
    for (uint32_t i = 0; i < conf->allow6_count; i++) {
        format(network, sizeof network, "%s/%u", ipv6_format(ip6, &conf->allow6[i].address),
               conf->allow6[i].len);
        text_show_text(reply, "", "allow", network);
    }
}
