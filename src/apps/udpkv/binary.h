/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binary.h - memcached's binary protocol, the commands of version 1.6.18, for text.c to run. It is
 * told in memcached's "Memcache Binary Protocol" (protocol-binary.xml); what that leaves open is as
 * memcached does it. A request or an answer is a header of 24 bytes, whose fields are big endian,
 * and a body of extras, key and value:
 *
 *      0       1        2            4         5        6            8
 *      +-------+--------+------------+---------+--------+------------+---------------+
 *      | magic | opcode | key length | extras  | type 0 | status     | body length   |
 *      +-------+--------+------------+---------+--------+------------+---------------+
 *      | opaque: the answer repeats it       | cas                                   |
 *      +-------------------------------------+---------------------------------------+
 *
 * A datagram has one or more requests. Those of quiet opcodes are answered only when they fail, and
 * the quiet gets only when they find something. After a request whose lengths contradict each other
 * or its opcode the rest of the datagram isn't looked at: where the next one begins isn't known.
 */
#ifndef UDPKV_BINARY_H
#define UDPKV_BINARY_H

#include "apps/udpkv/command.h"

enum { BINARY_REQUEST = 0x80 }; /* magic: the first byte of a datagram of binary requests */

enum binary_status {
    BINARY_OK,
    BINARY_NOT_FOUND,
    BINARY_EXISTS,
    BINARY_TOO_LARGE,
    BINARY_INVALID,
    BINARY_NOT_STORED,
    BINARY_NOT_NUMBER,
    BINARY_UNKNOWN = 0x81,
};

/* Runs the requests from c->rest to c->end. */
enum text_end binary_run(struct command *c);

#endif
