/* SPDX-License-Identifier: BSD-2-Clause */
/* value.c - pktgen's keys, from text; see value.h. */
#include "apps/pktgen/value.h"
#include "netbuf/ipv4.h"

enum { NANO_DIGITS = 9, MAC_TEXT = 17 };

/* A cycle of twelve packets: 7 of 40 bytes, 4 of 576, 1 of 1500 as IP sees them, the small ones
 * padded to Ethernet's minimum, in an order that spreads each size evenly. */
static const uint16_t imix[] = {60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60};

uint64_t value_ratio(uint64_t amount, uint64_t scale, uint64_t over)
{
    while (scale > 0 && amount > UINT64_MAX / scale) {
        amount /= 2;
        over /= 2;
    }
    return over > 0 ? amount * scale / over : 0;
}

uint64_t value_cycles(uint64_t ns, uint64_t hz)
{
    uint64_t seconds = ns / 1000000000ull, rest = ns % 1000000000ull;

    if (seconds >= UINT64_MAX / hz)
        return UINT64_MAX;
    return seconds * hz + value_ratio(rest, hz, 1000000000ull);
}

/* Digits, and maybe a point and up to `digits` more of them: the number times ten to the power of
 * `digits`. */
static RUNS_SELDOM bool read_decimal(const char *text, size_t len, unsigned digits, uint64_t *value)
{
    const char *point = memchr(text, '.', len);
    size_t whole_len = point ? (size_t)(point - text) : len;
    size_t part_len = point ? len - whole_len - 1 : 0;
    uint64_t whole, part = 0;

    if (!parse_u64(text, whole_len, UINT64_MAX, &whole) || part_len > digits ||
        (point && !parse_u64(point + 1, part_len, UINT64_MAX, &part)))
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (__builtin_mul_overflow(whole, (uint64_t)10, &whole))
            return false;
        part *= i >= part_len ? 10 : 1;
    }
    return !__builtin_add_overflow(whole, part, value);
}

static RUNS_SELDOM size_t decimal_len(const char *text)
{
    size_t len = 0;

    while (text[len] == '.' || (text[len] >= '0' && text[len] <= '9'))
        len++;
    return len;
}

/* A number with k, M or G for powers of a thousand; *rest is what stands behind. */
static RUNS_SELDOM bool read_scaled(const char *text, uint64_t *value, const char **rest)
{
    size_t len = decimal_len(text);
    char unit = text[len];
    unsigned digits = unit == 'k' || unit == 'K' ? 3 : unit == 'M' ? 6 : unit == 'G' ? 9 : 0;

    *rest = text + len + (digits > 0);
    return read_decimal(text, len, digits, value);
}

RUNS_SELDOM const char *value_parse_choice(const struct boot_key *key, const char *text)
{
    struct value_choice *choice = key->dst;

    for (uint32_t i = 0; choice->words[i]; i++)
        if (strcmp(choice->words[i], text) == 0) {
            choice->chosen = i;
            choice->times_set++;
            return NULL;
        }
    return choice->expected;
}

RUNS_SELDOM const char *value_parse_count(const struct boot_key *key, const char *text)
{
    const char *rest;
    uint64_t value;

    if (!read_scaled(text, &value, &rest) || *rest || value < key->min || value > key->max)
        return "a number such as 5000, 20k or 1.5M";
    *(uint64_t *)key->dst = value;
    return NULL;
}

RUNS_SELDOM const char *value_parse_seconds(const struct boot_key *key, const char *text)
{
    uint64_t ns;

    if (!read_decimal(text, strlen(text), NANO_DIGITS, &ns) || ns > key->max * 1000000000ull)
        return "seconds such as 10 or 0.5";
    *(uint64_t *)key->dst = ns;
    return NULL;
}

RUNS_SELDOM const char *value_parse_rate(const struct boot_key *key, const char *text)
{
    static const char *const packets[] = {"", "pps"}, *const bits[] = {"bit", "bps", "bit/s"};
    struct value_rate *rate = key->dst;
    const char *rest;
    uint64_t value;
    bool known = false;

    if (read_scaled(text, &value, &rest) && value >= key->min && value <= key->max) {
        for (size_t i = 0; i < ARRAY_LEN(packets); i++)
            if (strcmp(rest, packets[i]) == 0)
                known = true, rate->bits = false;
        for (size_t i = 0; i < ARRAY_LEN(bits); i++)
            if (strcmp(rest, bits[i]) == 0)
                known = true, rate->bits = true;
    }
    if (!known)
        return "packets a second such as 20k, 1M or 14.88M, or bits a second on the wire such as "
               "500Mbit or 10Gbit,";
    rate->per_s = value;
    return NULL;
}

static RUNS_SELDOM bool add_sizes(struct value_sizes *sizes, uint64_t first, uint64_t last)
{
    for (; first <= last; first++) {
        if (sizes->count == VALUE_SIZES_MAX)
            return false;
        sizes->bytes[sizes->count++] = (uint16_t)first;
    }
    return true;
}

/* A size or a range of them. */
static RUNS_SELDOM bool read_sizes(struct value_sizes *sizes, const char *text, size_t len)
{
    const char *dash = memchr(text, '-', len);
    size_t first_len = dash ? (size_t)(dash - text) : len;
    uint64_t first, last;

    if (!parse_u64(text, first_len, VALUE_SIZE_MAX, &first) || first < VALUE_SIZE_MIN)
        return false;
    last = first;
    if (dash && (!parse_u64(dash + 1, len - first_len - 1, VALUE_SIZE_MAX, &last) || last < first))
        return false;
    return add_sizes(sizes, first, last);
}

RUNS_SELDOM const char *value_parse_sizes(const struct boot_key *key, const char *text)
{
    static const char expected[] = "a size such as 64, a list such as 64,128,1500, a range such as "
                                   "64-1500, or imix; each size in bytes";
    struct value_sizes *sizes = key->dst;

    sizes->count = 0;
    sizes->times_set++;
    if (strcmp(text, "imix") == 0) {
        memcpy(sizes->bytes, imix, sizeof imix);
        sizes->count = ARRAY_LEN(imix);
        return NULL;
    }
    for (;;) {
        const char *comma = strchr(text, ',');
        if (!read_sizes(sizes, text, comma ? (size_t)(comma - text) : strlen(text)))
            return expected;
        if (!comma)
            return NULL;
        text = comma + 1;
    }
}

/* --- ranges ----------------------------------------------------------------------------------- */

typedef bool read_one(const char *text, size_t len, uint64_t *value);

/* One value, or two with a dash between them. */
static RUNS_SELDOM bool read_range(struct value_range *range, const char *text, read_one *read)
{
    const char *dash = strchr(text, '-');
    size_t first_len = dash ? (size_t)(dash - text) : strlen(text);

    range->times_set++;
    if (!read(text, first_len, &range->first))
        return false;
    range->last = range->first;
    return !dash || (read(dash + 1, strlen(dash + 1), &range->last) && range->last >= range->first);
}

static RUNS_SELDOM bool port_from_text(const char *text, size_t len, uint64_t *port)
{
    return parse_u64(text, len, UINT16_MAX, port);
}

static RUNS_SELDOM bool ip_from_text(const char *text, size_t len, uint64_t *ip)
{
    char one[IPV4_TEXT_BYTES];
    uint32_t address;
    const struct boot_key key = {.dst = &address};

    if (len >= sizeof one)
        return false;
    memcpy(one, text, len);
    one[len] = 0;
    if (ipv4_parse_address(&key, one))
        return false;
    *ip = address;
    return true;
}

static RUNS_SELDOM int mac_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static RUNS_SELDOM bool mac_from_text(const char *text, size_t len, uint64_t *mac)
{
    uint64_t value = 0;

    if (len != MAC_TEXT)
        return false;
    for (size_t i = 0; i < len; i++) {
        int digit = mac_digit(text[i]);
        if (i % 3 == 2 ? text[i] != ':' : digit < 0)
            return false;
        if (i % 3 != 2)
            value = value << 4 | (unsigned)digit;
    }
    *mac = value;
    return true;
}

RUNS_SELDOM const char *value_parse_ports(const struct boot_key *key, const char *text)
{
    return read_range(key->dst, text, port_from_text) ? NULL
                                                      : "a port or a range such as 1000-1999";
}

RUNS_SELDOM const char *value_parse_ips(const struct boot_key *key, const char *text)
{
    return read_range(key->dst, text, ip_from_text)
               ? NULL
               : "an IPv4 address or a range such as 10.0.0.1-10.0.0.9";
}

RUNS_SELDOM const char *value_parse_macs(const struct boot_key *key, const char *text)
{
    return read_range(key->dst, text, mac_from_text)
               ? NULL
               : "a MAC address or a range such as 02:00:00:00:00:01-02:00:00:00:00:09";
}

RUNS_SELDOM struct value_range value_share(const struct value_range *range, uint32_t part,
                                           uint32_t parts)
{
    const uint64_t values = range->last - range->first + 1;
    const uint64_t each = values / parts, longer = values % parts;
    struct value_range share = *range;

    if (values < parts)
        return share;
    share.first += part * each + MIN((uint64_t)part, longer);
    share.last = share.first + each - 1 + (part < longer);
    return share;
}
