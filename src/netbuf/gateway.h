/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway.h - the key net.gw, for apps that send to other networks of their own accord. Answers
 * need none: they go to the MAC address that asked. */
#ifndef NETBUF_GATEWAY_H
#define NETBUF_GATEWAY_H

#include "boot/lib.h"

/* The router's address, for inet_resolve; 0 if the command line gives none. An app that uses it has
 * the key. */
extern uint32_t gateway_ip;

#endif
