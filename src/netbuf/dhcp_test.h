/* SPDX-License-Identifier: BSD-2-Clause */
/* dhcp_test.h - a server's messages for the tests of dhcp.h. */
#ifndef NETBUF_DHCP_TEST_H
#define NETBUF_DHCP_TEST_H

#include "boot/test.h"
#include "netbuf/dhcp.h"

#define S 1000000000ull

enum { OURS = 0x0a00020f, SERVER = 0x0a000202, ROUTER = 0x0a000201, OTHER_SERVER = 0x0a000203 };

static const uint8_t mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

/* What the client sent last. */
static uint8_t sent[DHCP_MESSAGE_BYTES];
static struct dhcp_header *const header = (struct dhcp_header *)sent;

/* --- a server's messages ------------------------------------------------------------------------
 */

static uint8_t raw[DHCP_MAX_ANSWER + 1];
static uint32_t raw_len;
static struct dhcp_header *const reply = (struct dhcp_header *)raw;

static inline void put(uint8_t code, const void *bytes, uint8_t len)
{
    raw[raw_len++] = code;
    raw[raw_len++] = len;
    memcpy(raw + raw_len, bytes, len);
    raw_len += len;
}

static inline void put_number(uint8_t code, uint32_t number)
{
    const uint32_t wire = be32(number);

    put(code, &wire, 4);
}

/* A message without options to the question that was sent last. */
static inline void make_header(uint8_t type)
{
    memset(raw, 0, sizeof raw);
    raw_len = sizeof *reply;
    *reply = (struct dhcp_header){.op = DHCP_OP_REPLY, .htype = 1, .hlen = 6};
    reply->xid = header->xid;
    reply->yiaddr = be32(type == DHCP_NAK ? 0 : OURS);
    memcpy(reply->chaddr, mac, sizeof mac);
    reply->magic = be32(DHCP_MAGIC);
    put(DHCP_OPTION_TYPE, &type, 1);
}

static inline void make_reply(uint8_t type, uint32_t lease_s)
{
    make_header(type);
    put_number(DHCP_OPTION_SERVER, SERVER);
    if (type == DHCP_NAK)
        return;
    put_number(DHCP_OPTION_LEASE, lease_s);
    put_number(DHCP_OPTION_MASK, 0xffffff00);
    put_number(DHCP_OPTION_ROUTER, ROUTER);
}

static struct dhcp_answer answer;

static inline enum dhcp_reason read_reply(void)
{
    static uint8_t flush[DHCP_MAX_ANSWER + 1]; /* ends where the sanitizer's guard begins */

    memcpy(flush + sizeof flush - raw_len, raw, raw_len);
    return dhcp_read(flush + sizeof flush - raw_len, raw_len, mac, &answer);
}

/* Is it a time T1 as the client has it? Up to a sixteenth earlier. */
static inline bool is_t1(double s, double t1_s)
{
    return s <= t1_s && s > t1_s * 15 / 16;
}

#endif
