/* SPDX-License-Identifier: BSD-2-Clause */
/* dhcp_message.c - DHCP's messages, read and written; see dhcp.h. */
#include "boot/boot.h"
#include "netbuf/dhcp.h"

/* --- reading ------------------------------------------------------------------------------------
 */

/* The options that say something to us, in a table of their own numbers. */
enum { MASK, ROUTER, LEASE, OVERLOAD, TYPE, SERVER, T1, T2, KNOWN };

static const uint8_t known_codes[KNOWN] = {
    [MASK] = DHCP_OPTION_MASK,   [ROUTER] = DHCP_OPTION_ROUTER,
    [LEASE] = DHCP_OPTION_LEASE, [OVERLOAD] = DHCP_OPTION_OVERLOAD,
    [TYPE] = DHCP_OPTION_TYPE,   [SERVER] = DHCP_OPTION_SERVER,
    [T1] = DHCP_OPTION_T1,       [T2] = DHCP_OPTION_T2,
};

/* An option's first bytes, and how long it is: several of one code are parts of one option
 * (RFC 3396). */
struct option {
    uint8_t bytes[4];
    uint32_t len;
};

static RUNS_SELDOM void add_to_option(struct option *options, uint8_t code, const uint8_t *bytes,
                                      uint32_t len)
{
    for (uint32_t known = 0; known < KNOWN; known++) {
        struct option *option = &options[known];
        if (known_codes[known] != code)
            continue;
        for (uint32_t i = 0; i < len && option->len + i < sizeof option->bytes; i++)
            option->bytes[option->len + i] = bytes[i];
        option->len += len;
    }
}

/* Reads a field of options, up to its END or its end: false if one runs past it. */
static RUNS_SELDOM bool read_options(struct option *options, const uint8_t *field,
                                     uint32_t field_len)
{
    for (uint32_t at = 0; at < field_len && field[at] != DHCP_OPTION_END;) {
        if (field[at] == DHCP_OPTION_PAD) {
            at++;
            continue;
        }
        if (field_len - at < 2 || field[at + 1] > field_len - at - 2)
            return false;
        add_to_option(options, field[at], field + at + 2, field[at + 1]);
        at += 2 + (uint32_t)field[at + 1];
    }
    return true;
}

/* Of the right lengths: an option that isn't there has none. */
static RUNS_SELDOM bool lengths_are_right(const struct option *options)
{
    for (uint32_t known = 0; known < KNOWN; known++) {
        const uint32_t len = options[known].len;
        const bool is_byte = known == OVERLOAD || known == TYPE;
        if (len != 0 && len != (is_byte ? 1 : 4) && (known != ROUTER || len % 4 != 0))
            return false;
    }
    return true;
}

static uint32_t number_of(const struct option *option)
{
    return option->len ? load_be32(option->bytes) : 0;
}

/* The prefix length of a mask; that of the address' class if there is none; 33 if it is no mask. */
static RUNS_SELDOM uint8_t prefix_len(uint32_t address, const struct option *mask)
{
    const uint32_t bits = number_of(mask);
    const uint8_t top = (uint8_t)(address >> 24);
    uint8_t len = 0;

    if (!mask->len)
        return top < 128 ? 8 : top < 192 ? 16 : 24;
    while (len < 32 && bits & 1u << (31 - len))
        len++;
    return bits == ipv4_prefix_mask((struct ipv4_prefix){0, len}) ? len : 33;
}

static RUNS_SELDOM enum dhcp_reason fill_answer(const struct dhcp_header *header,
                                                const struct option *options,
                                                struct dhcp_answer *answer)
{
    const uint32_t yiaddr = be32(header->yiaddr);

    *answer = (struct dhcp_answer){
        .xid = be32(header->xid),
        .type = options[TYPE].bytes[0],
        .address = {yiaddr, prefix_len(yiaddr, &options[MASK])},
        .router = number_of(&options[ROUTER]),
        .server = number_of(&options[SERVER]),
        .lease_s = number_of(&options[LEASE]),
        .t1_s = number_of(&options[T1]),
        .t2_s = number_of(&options[T2]),
    };
    if (answer->type != DHCP_OFFER && answer->type != DHCP_ACK && answer->type != DHCP_NAK)
        return DHCP_BAD_TYPE;
    if (!ipv4_is_unicast(answer->server))
        return DHCP_BAD_SERVER;
    if (answer->type == DHCP_NAK)
        return DHCP_TAKEN;
    if (answer->address.len > 32 || !ipv4_prefix_is_host(answer->address))
        return DHCP_BAD_ADDRESS;
    if (answer->lease_s < DHCP_MIN_LEASE_S)
        return DHCP_BAD_LEASE;
    const struct ipv4_prefix router = {answer->router, answer->address.len};
    if (!ipv4_prefix_has(answer->address, router.address) || !ipv4_prefix_is_host(router) ||
        router.address == yiaddr)
        answer->router = 0; /* none that could be reached */
    return DHCP_TAKEN;
}

RUNS_SELDOM enum dhcp_reason dhcp_read(const uint8_t *payload, uint32_t len, const uint8_t *mac,
                                       struct dhcp_answer *answer)
{
    uint8_t copy[DHCP_MAX_ANSWER];
    struct option options[KNOWN] = {0};

    if (len <= sizeof(struct dhcp_header) || len > sizeof copy)
        return DHCP_BAD_SIZE;
    memcpy(copy, payload, len);
    const struct dhcp_header *header = (const struct dhcp_header *)copy;
    if (header->op != DHCP_OP_REPLY || header->htype != DHCP_HTYPE_ETHERNET ||
        header->hlen != ETH_MAC_BYTES || be32(header->magic) != DHCP_MAGIC)
        return DHCP_BAD_FORMAT;
    if (memcmp(header->chaddr, mac, ETH_MAC_BYTES) != 0)
        return DHCP_BAD_CLIENT;
    if (!read_options(options, copy + sizeof *header, len - (uint32_t)sizeof *header))
        return DHCP_BAD_OPTION;
    /* Which of the other two fields have options, too, is only looked for in the first one. */
    const uint8_t overload = options[OVERLOAD].bytes[0];
    if (overload & 1 && !read_options(options, header->file, sizeof header->file))
        return DHCP_BAD_OPTION;
    if (overload & 2 && !read_options(options, header->sname, sizeof header->sname))
        return DHCP_BAD_OPTION;
    if (!lengths_are_right(options) || overload > 3)
        return DHCP_BAD_OPTION;
    return fill_answer(header, options, answer);
}

/* --- writing ------------------------------------------------------------------------------------
 */

static RUNS_SELDOM uint8_t *put_option(uint8_t *at, enum dhcp_option code, const void *bytes,
                                       size_t len)
{
    at[0] = (uint8_t)code;
    at[1] = (uint8_t)len;
    memcpy(at + 2, bytes, len);
    return at + 2 + len;
}

static RUNS_SELDOM uint8_t *put_address(uint8_t *at, enum dhcp_option code, uint32_t address)
{
    const uint32_t wire = be32(address);

    return put_option(at, code, &wire, sizeof wire);
}

RUNS_SELDOM void dhcp_write(const struct dhcp *dhcp, enum dhcp_type type,
                            uint8_t payload[DHCP_MESSAGE_BYTES])
{
    static const uint8_t wanted[] = {DHCP_OPTION_MASK,   DHCP_OPTION_ROUTER, DHCP_OPTION_LEASE,
                                     DHCP_OPTION_SERVER, DHCP_OPTION_T1,     DHCP_OPTION_T2};
    struct dhcp_header *header = (struct dhcp_header *)payload;
    uint8_t *at = payload + sizeof *header;
    const uint8_t number = (uint8_t)type;

    memset(payload, 0, DHCP_MESSAGE_BYTES);
    header->op = DHCP_OP_REQUEST;
    header->htype = DHCP_HTYPE_ETHERNET;
    header->hlen = ETH_MAC_BYTES;
    header->xid = be32(dhcp->xid);
    header->secs = be16(dhcp->secs);
    header->flags = be16(dhcp->broadcast ? DHCP_FLAG_BROADCAST : 0);
    if (dhcp_has_address(dhcp))
        header->ciaddr = be32(dhcp->lease.address.address);
    memcpy(header->chaddr, dhcp->mac, ETH_MAC_BYTES);
    header->magic = be32(DHCP_MAGIC);
    at = put_option(at, DHCP_OPTION_TYPE, &number, 1);
    if (type != DHCP_DISCOVER && !dhcp_has_address(dhcp)) {
        at = put_address(at, DHCP_OPTION_REQUESTED, dhcp->lease.address.address);
        at = put_address(at, DHCP_OPTION_SERVER, dhcp->lease.server);
    }
    if (type != DHCP_DECLINE) {
        at = put_option(at, DHCP_OPTION_WANTED, wanted, sizeof wanted);
        if (dhcp->name)
            at = put_option(at, DHCP_OPTION_HOST_NAME, dhcp->name,
                            MIN(strlen(dhcp->name), (size_t)DHCP_MAX_NAME));
    }
    *at++ = DHCP_OPTION_END;
    assert(at <= payload + DHCP_MESSAGE_BYTES);
}
