/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * number.h - numbers in requests and values, read as C's strtol and strtoull do, because memcached
 * reads them so: white space, a sign, digits; behind them nothing, a zero byte or white space.
 */
#ifndef UDPKV_NUMBER_H
#define UDPKV_NUMBER_H

#include "boot/lib.h"

/* False, with *value untouched, if the text isn't such a number or 64 bits don't hold it. A
 * negative one wraps around 2^64, and is refused if it is over INT64_MAX then. */
bool number_u64(const uint8_t *text, size_t len, uint64_t *value);

/* The same, of which the low 32 bits are kept, however large the number is: memcached does so. */
bool number_u32(const uint8_t *text, size_t len, uint32_t *value);

/* A signed number of 64 bits, of which the low 32 are kept. */
bool number_i32(const uint8_t *text, size_t len, int32_t *value);

#endif
