/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway.h - the key net.gw, for apps that send to other networks of their own accord. Answers
 * need none: they go to the MAC address that asked. */
#ifndef NETBUF_GATEWAY_H
#define NETBUF_GATEWAY_H

#include "netbuf/ipv4.h"

/* The router that net.gw names, for inet_resolve; 0 if the command line gives none. Ends the
 * image, as boot_misconfigured does, if it can't be a neighbour of ours. An app that calls this has
 * the key. */
uint32_t gateway_of(struct ipv4_prefix ours);

#endif
