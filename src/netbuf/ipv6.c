/* SPDX-License-Identifier: BSD-2-Clause */
/* ipv6.c - IPv6 addresses and prefixes, and their text (RFC 4291, section 2.2; RFC 5952). */
#include "netbuf/ipv6.h"

enum { GROUPS = 8, NO_ZEROS };

const struct ipv6_address ipv6_nobody;
const struct ipv6_address ipv6_all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};
const struct ipv6_address ipv6_all_routers = {.bytes = {0xff, 0x02, [15] = 2}};

static const struct ipv6_prefix mapped = {{.bytes = {[10] = 0xff, 0xff}}, 96};
static const struct ipv6_prefix compatible = {{.bytes = {0}}, 96};

bool ipv6_is_unicast(const struct ipv6_address *a)
{
    return !ipv6_is_group(a) && !ipv6_prefix_has(&mapped, a) && !ipv6_prefix_has(&compatible, a);
}

RUNS_SELDOM struct ipv6_address ipv6_solicited_node(const struct ipv6_address *a)
{
    struct ipv6_address group = {.bytes = {0xff, 0x02, [11] = 1, 0xff}};

    memcpy(group.bytes + 13, a->bytes + 13, 3);
    return group;
}

bool ipv6_prefix_has(const struct ipv6_prefix *prefix, const struct ipv6_address *address)
{
    const uint32_t whole = prefix->len / 8, bits = prefix->len % 8;

    if (memcmp(prefix->address.bytes, address->bytes, whole) != 0)
        return false;
    return bits == 0 || (prefix->address.bytes[whole] ^ address->bytes[whole]) >> (8 - bits) == 0;
}

RUNS_SELDOM bool ipv6_prefix_is_host(const struct ipv6_prefix *prefix)
{
    uint32_t bit = prefix->len;

    if (!ipv6_is_unicast(&prefix->address))
        return false;
    while (bit < 128 && !(prefix->address.bytes[bit / 8] & 0x80 >> bit % 8))
        bit++;
    return prefix->len >= 127 || bit < 128; /* two hosts at the ends of a wire need no such address
                                               (RFC 6164) */
}

static uint32_t group_of(const struct ipv6_address *address, uint32_t i)
{
    return load_be16(address->bytes + 2 * i);
}

/* Of all runs of zero groups the first longest one that has two groups at least; *len 0: none. */
static RUNS_SELDOM uint32_t longest_zeros(const struct ipv6_address *address, uint32_t *len)
{
    uint32_t at = 0;

    *len = 1;
    for (uint32_t i = 0, run = 0; i < GROUPS; i++) {
        run = group_of(address, i) == 0 ? run + 1 : 0;
        if (run > *len) {
            *len = run;
            at = i + 1 - run;
        }
    }
    if (*len == 1)
        *len = 0;
    return at;
}

RUNS_SELDOM const char *ipv6_format(char text[IPV6_TEXT_BYTES], const struct ipv6_address *address)
{
    uint32_t zeros, at = longest_zeros(address, &zeros);
    size_t len = 0;

    for (uint32_t i = 0; i < GROUPS; i++) {
        if (zeros && i == at) {
            len += format(text + len, IPV6_TEXT_BYTES - len, "::");
            i += zeros - 1;
            continue;
        }
        const char *colon = i > 0 && !(zeros && i == at + zeros) ? ":" : "";
        len += format(text + len, IPV6_TEXT_BYTES - len, "%s%x", colon, group_of(address, i));
    }
    return text;
}

static RUNS_SELDOM int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads up to four digits; how many, 0 if there is none, 5 if there are more. */
static RUNS_SELDOM uint32_t read_group(const char *text, size_t len, uint32_t *value)
{
    uint32_t digits = 0;

    *value = 0;
    while (digits < len && digits < 5 && hex_digit(text[digits]) >= 0)
        *value = *value << 4 | (uint32_t)hex_digit(text[digits++]);
    return digits;
}

RUNS_SELDOM bool ipv6_read(const char *text, size_t len, struct ipv6_address *address)
{
    uint8_t bytes[IPV6_ADDRESS_BYTES];
    uint32_t count = 0, value, zeros_at = NO_ZEROS;
    size_t at = 0;

    if (len >= 2 && text[0] == ':' && text[1] == ':') {
        zeros_at = 0;
        at = 2;
    }
    while (at < len) {
        uint32_t digits = read_group(text + at, len - at, &value);
        if (digits == 0 || digits > 4 || count == GROUPS)
            return false;
        store_be16(bytes + 2 * count++, (uint16_t)value);
        at += digits;
        if (at == len)
            break;
        if (text[at++] != ':' || at == len)
            return false;
        if (text[at] == ':') {
            if (zeros_at != NO_ZEROS)
                return false;
            zeros_at = count;
            at++;
        }
    }
    if (zeros_at == NO_ZEROS ? count != GROUPS : count == GROUPS)
        return false;
    const uint32_t before = MIN(zeros_at, count);
    memset(address, 0, sizeof *address);
    memcpy(address->bytes, bytes, (size_t)2 * before);
    memcpy(address->bytes + 2 * (size_t)(GROUPS - count + before), bytes + 2 * (size_t)before,
           2 * (size_t)(count - before));
    return true;
}

RUNS_SELDOM bool ipv6_read_prefix(const char *text, struct ipv6_prefix *prefix)
{
    const char *slash = strchr(text, '/');
    uint64_t len;

    if (!slash || !ipv6_read(text, (size_t)(slash - text), &prefix->address) ||
        !parse_u64(slash + 1, strlen(slash + 1), 128, &len))
        return false;
    prefix->len = (uint8_t)len;
    return true;
}
