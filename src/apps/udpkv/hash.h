/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.h - the hash of a key: XXH3 with a secret seed, so that a client can't choose collisions. */
#ifndef UDPKV_HASH_H
#define UDPKV_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed);

#endif
