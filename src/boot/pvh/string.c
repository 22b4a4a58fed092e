/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * string.c - C's memory and string functions for an image. Short copies are two overlapping moves;
 * long ones are `rep movsb`, which processors of this century do a cache line at a time. What is
 * only called at the start takes few instructions rather than few cycles, as ring 0 may be
 * emulated.
 */
#include "boot/lib.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) any64;
typedef uint32_t __attribute__((may_alias, aligned(1))) any32;
typedef uint16_t __attribute__((may_alias, aligned(1))) any16;

/* At most 32 bytes. Everything is read before anything is written, so the places may overlap. */
static inline void copy_short(uint8_t *d, const uint8_t *s, size_t len)
{
    if (len >= 16) {
        uint64_t a = *(const any64 *)s, b = *(const any64 *)(s + 8);
        uint64_t c = *(const any64 *)(s + len - 16), e = *(const any64 *)(s + len - 8);
        *(any64 *)d = a;
        *(any64 *)(d + 8) = b;
        *(any64 *)(d + len - 16) = c;
        *(any64 *)(d + len - 8) = e;
    } else if (len >= 8) {
        uint64_t a = *(const any64 *)s, b = *(const any64 *)(s + len - 8);
        *(any64 *)d = a;
        *(any64 *)(d + len - 8) = b;
    } else if (len >= 4) {
        uint32_t a = *(const any32 *)s, b = *(const any32 *)(s + len - 4);
        *(any32 *)d = a;
        *(any32 *)(d + len - 4) = b;
    } else if (len >= 2) {
        uint16_t a = *(const any16 *)s, b = *(const any16 *)(s + len - 2);
        *(any16 *)d = a;
        *(any16 *)(d + len - 2) = b;
    } else if (len == 1) {
        *d = *s;
    }
}

void *memcpy(void *dst, const void *src, size_t len)
{
    void *d = dst;

    if (len <= 32)
        copy_short(d, src, len);
    else
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(len) : : "memory");
    return dst;
}

void *memmove(void *dst, const void *src, size_t len)
{
    uint8_t *d = dst;
    const uint8_t *s = src;

    if (len <= 32) {
        copy_short(d, s, len);
    } else if ((uintptr_t)d - (uintptr_t)s >= len) {
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
    } else {
        while (len >= 8) {
            len -= 8;
            *(any64 *)(d + len) = *(const any64 *)(s + len);
        }
        copy_short(d, s, len);
    }
    return dst;
}

void *memset(void *dst, int byte, size_t len)
{
    const uint64_t bytes = 0x0101010101010101 * (uint8_t)byte;
    size_t words = len / 8;
    void *d = dst;

    len %= 8;
    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(bytes) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(len) : "a"(bytes) : "memory");
    return dst;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;

    for (; len >= 8; len -= 8, x += 8, y += 8) {
        uint64_t v = *(const any64 *)x, w = *(const any64 *)y;
        if (v != w)
            return __builtin_bswap64(v) < __builtin_bswap64(w) ? -1 : 1;
    }
    for (; len > 0; len--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int byte, size_t len)
{
    bool found = false;

    if (len > 0) /* or the flag says nothing */
        __asm__ volatile("repne scasb" : "+D"(s), "+c"(len), "=@ccz"(found) : "a"(byte) : "memory");
    return found ? (char *)(uintptr_t)s - 1 : NULL;
}

size_t strlen(const char *s)
{
    size_t len = 0;

    while (*(const volatile char *)(s + len)) /* volatile: or this becomes a call of strlen */
        len++;
    return len;
}

int strncmp(const char *a, const char *b, size_t len)
{
    for (; len > 0; len--, a++, b++)
        if (*a != *b || *a == 0)
            return (uint8_t)*a - (uint8_t)*b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++)
        if (*s == 0)
            return NULL;
    return (char *)(uintptr_t)s;
}
