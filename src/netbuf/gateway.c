/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway.c - the key net.gw; see gateway.h. */
#include "netbuf/gateway.h"
#include "boot/boot.h"
#include "netbuf/ipv4.h"

uint32_t gateway_ip;
BOOT_KEY("net.gw", ipv4_parse_address, &gateway_ip, NULL, "",
         "the router to other networks, in our own; none if not given");
