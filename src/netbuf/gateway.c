/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway.c - the key net.gw; see gateway.h. */
#include "netbuf/gateway.h"
#include "boot/boot.h"

static uint32_t router;
BOOT_KEY(
    "net.gw", ipv4_parse_address, &router, NULL, "",
    "the router to other networks, in our own or if that is a /32 anywhere; none if not given");

uint32_t gateway_of(struct ipv4_prefix ours)
{
    /* An address alone, without a network, has its router on the link all the same. */
    const bool alone = ours.len == 32;
    const struct ipv4_prefix there = {router, ours.len};
    char text[IPV4_TEXT_BYTES], own[IPV4_TEXT_BYTES];

    if (router && ((!alone && !ipv4_prefix_has(ours, router)) || router == ours.address ||
                   !ipv4_prefix_is_host(there)))
        boot_misconfigured(
            "net.gw=%s can't be reached from net.ip=%s/%u; give the address of another host of "
            "that network.",
            ipv4_format(text, router), ipv4_format(own, ours.address), ours.len);
    return router;
}
