/* SPDX-License-Identifier: BSD-2-Clause */
/* ipv4.c - IPv4 addresses and prefixes as text. */
#include "netbuf/ipv4.h"

bool ipv4_prefix_is_host(struct ipv4_prefix prefix)
{
    uint32_t host = prefix.address & ~ipv4_prefix_mask(prefix);

    if (!ipv4_is_unicast(prefix.address))
        return false;
    return prefix.len >= 31 || (host != 0 && prefix.address != ipv4_prefix_broadcast(prefix));
}

const char *ipv4_format(char text[IPV4_TEXT_BYTES], uint32_t address)
{
    format(text, IPV4_TEXT_BYTES, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
           address >> 8 & 255, address & 255);
    return text;
}

/* Four numbers and three dots. A leading zero is refused: some would read it as octal. */
static bool read_address(const char *text, size_t len, uint32_t *address)
{
    uint32_t value = 0;

    for (unsigned part = 0; part < 4; part++) {
        const char *dot = memchr(text, '.', len);
        size_t digits = dot ? (size_t)(dot - text) : len;
        uint64_t octet;
        if ((part < 3) != (dot != NULL) || (digits > 1 && text[0] == '0') ||
            !parse_u64(text, digits, 255, &octet))
            return false;
        value = value << 8 | (uint32_t)octet;
        if (dot) {
            text += digits + 1;
            len -= digits + 1;
        }
    }
    *address = value;
    return true;
}

const char *ipv4_parse_address(const struct boot_key *key, const char *text)
{
    return read_address(text, strlen(text), key->dst) ? NULL : "an address such as 10.0.2.15";
}

const char *ipv4_parse_prefix(const struct boot_key *key, const char *text)
{
    static const char expected[] = "an address and prefix length such as 10.0.2.15/24";
    const char *slash = strchr(text, '/');
    uint32_t address;
    uint64_t len;

    if (!slash || !read_address(text, (size_t)(slash - text), &address) ||
        !parse_u64(slash + 1, strlen(slash + 1), 32, &len))
        return expected;
    *(struct ipv4_prefix *)key->dst = (struct ipv4_prefix){address, (uint8_t)len};
    return NULL;
}
