/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base64.h - keys of meta commands with the flag b: RFC 4648, section 4, as memcached reads it.
 * Characters that are neither digits nor padding are skipped. The bits that padding leaves over may
 * have any value. What follows a group with padding is ignored, but digits and padding must be a
 * multiple of four in all.
 */
#ifndef UDPKV_BASE64_H
#define UDPKV_BASE64_H

#include "boot/lib.h"

/* Characters for len bytes, and the most bytes that len characters hold. */
#define BASE64_TEXT_BYTES(len)   (((len) + 2) / 3 * 4)
#define BASE64_BYTES(text_bytes) ((text_bytes) / 4 * 3)

/* Returns how many bytes `text` stands for, written to `bytes`, which has room for
 * BASE64_BYTES(len); 0 if it isn't base64. */
uint32_t base64_decode(const uint8_t *text, uint32_t len, uint8_t *bytes);

/* Writes BASE64_TEXT_BYTES(len) characters; returns their number. */
uint32_t base64_encode(const uint8_t *bytes, uint32_t len, uint8_t *text);

#endif
