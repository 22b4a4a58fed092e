/* SPDX-License-Identifier: BSD-2-Clause */
/* server_networks.c - whose requests are answered, as `stats settings` tells it, and what is
 * different for clients of IPv6; see server.h. */
#include "apps/udpkv/server.h"

uint32_t server_part_bytes_6(const struct server *server)
{
    const uint32_t most = server->inet.inet6->mtu_bytes - SERVER_IP6_UDP_BYTES;

    return MIN(most, (uint32_t)server->conf.part_bytes);
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
    for (uint32_t i = 0; i < conf->allow6_count; i++) {
        format(network, sizeof network, "%s/%u", ipv6_format(ip6, &conf->allow6[i].address),
               conf->allow6[i].len);
        text_show_text(reply, "", "allow", network);
    }
}
