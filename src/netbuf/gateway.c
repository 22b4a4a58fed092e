/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway.c - the key net.gw; see gateway.h. */
#include "netbuf/gateway.h"
#include "boot/boot.h"

static uint32_t router;
BOOT_KEY("net.gw", ipv4_parse_address, &router, NULL, "",
         "the router to other networks, in our own; none if not given");

uint32_t gateway_of(struct ipv4_prefix ours)
{
    const struct ipv4_prefix there = {router, ours.len};
    char text[IPV4_TEXT_BYTES], own[IPV4_TEXT_BYTES];

    if (router &&
        (!ipv4_prefix_has(ours, router) || router == ours.address || !ipv4_prefix_is_host(there)))
        boot_misconfigured(
            "net.gw=%s can't be reached from net.ip=%s/%u; give the address of another host of "
            "that network.",
            ipv4_format(text, router), ipv4_format(own, ours.address), ours.len);
    return router;
}
