/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checksum.h - the Internet checksum (RFC 1071): the complement of the ones' complement sum of a
 * packet's 16-bit words.
 *
 * All sums here are made of words as they lie in memory. A folded sum is therefore stored in a
 * header as it is, without be16 (RFC 1071, section 2B). A running sum is 64 bits wide:
 *
 *     uint64_t sum = csum_pseudo(source, destination, IPV4_PROTOCOL_UDP, len);
 *     udp->checksum = csum_finish_udp(csum_add(sum, udp, len));
 *
 * To verify, add the checksum field with the rest: csum_fold gives 0xffff if all is well.
 */
#ifndef NETBUF_CHECKSUM_H
#define NETBUF_CHECKSUM_H

#include "boot/lib.h"

/* Adds two running sums, or a word to one, with end-around carry. */
static inline uint64_t csum_carry(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* Adds len bytes at any alignment. Data added in several pieces: all but the last must be of even
 * length. */
uint64_t csum_add(uint64_t sum, const void *data, size_t len);

/* The same for an IPv4 header without options: 20 bytes. */
static inline uint64_t csum_add_20(uint64_t sum, const void *data)
{
    uint64_t words[2];
    uint32_t last;
    __builtin_memcpy(words, data, 16);
    __builtin_memcpy(&last, (const uint8_t *)data + 16, 4);
    return csum_carry(csum_carry(csum_carry(sum, words[0]), words[1]), last);
}

/* The running sum of the pseudo header of UDP and TCP over IPv4 (RFC 768). Addresses and the length
 * of header and data are in host order. */
static inline uint64_t csum_pseudo(uint32_t source, uint32_t destination, uint8_t protocol,
                                   uint16_t len)
{
    return (uint64_t)be32(source) + be32(destination) + be16(protocol) + be16(len);
}

/* Folds a running sum to 16 bits. */
static inline uint16_t csum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* What belongs in the checksum field. */
static inline uint16_t csum_finish(uint64_t sum)
{
    return (uint16_t)~csum_fold(sum);
}

/* The same for UDP, where 0 would say that there is none: then the other form of the same number
 * (RFC 768). */
static inline uint16_t csum_finish_udp(uint64_t sum)
{
    const uint16_t checksum = csum_finish(sum);

    return checksum == 0 ? 0xffff : checksum;
}

/* The checksum of a packet in which one word changes from `before` to `after`, all three as they
 * lie in memory (RFC 1624, equation 3). What it makes 0 is written in the other form: that is right
 * for a packet of zeroes, too, which the equation is not for. */
static inline uint16_t csum_update(uint16_t checksum, uint16_t before, uint16_t after)
{
    return csum_finish_udp((uint64_t)(uint16_t)~checksum + (uint16_t)~before + after);
}

#endif
