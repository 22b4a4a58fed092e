/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib.h - what a freestanding C program needs: memory and string functions, formatting,
 * assert and panic, byte order, fences. Everything here works before any set-up is done.
 */
#ifndef BOOT_LIB_H
#define BOOT_LIB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)         __builtin_expect(!!(x), 1)
#define unlikely(x)       __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a)    (((x) + ((a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a)  ((x) & ~((__typeof__(x))(a)-1))
#define IS_POWER_OF_2(x)  ((x) != 0 && ((x) & ((x)-1)) == 0)
#define CACHE_LINE        64
#define PAGE_SIZE         4096u
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define RUNS_SELDOM       __attribute__((cold)) /* at start-up, or seldom: made small, not fast */

/* For a large variable that is written before it is read. An image clears all others at its start,
 * which costs it half a microsecond for 8 bytes where ring 0 is emulated. */
#define UNCLEARED __attribute__((section(".bss.uncleared")))

/* C's own; the platform provides them (libc on linux, pvh/string.c in an image). */
void *memcpy(void *dst, const void *src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memchr(const void *s, int byte, size_t len);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t len);
char *strchr(const char *s, int c);

/*
 * Formats like snprintf: writes at most `size` bytes with the closing zero and returns the length
 * that the whole text has. Knows %s %.*s %c %d %i %u %x %X %p %% with the flags 0 and -, a width,
 * and the sizes h, hh, l, ll, z. No floating point.
 */
size_t format(char *buf, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
size_t vformat(char *buf, size_t size, const char *fmt, va_list args);

/* Formats a line of at most 1023 bytes and writes it to the console. Adds no newline. Other cores
 * wait until a line that this core has begun is ended by one, a second at most. */
void print(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * In panic.c.
 * panic: the machine can't go on, and no configuration is to blame (boot_misconfigured is for
 * that). Says so in one full sentence that tells what to change, prints a backtrace and exits with
 * BOOT_EXIT_PANIC.
 * assert: a bug of ours. Always on; its expression has no side effect.
 */
_Noreturn void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);
_Noreturn void assert_failed(const char *expr, const char *file, int line);
#define assert(expr) (likely(expr) ? (void)0 : assert_failed(#expr, __FILE__, __LINE__))

/*
 * Where a test expects a panic: while this is set, panic, assert and boot_misconfigured on core 0
 * jump there in place of ending the image. Only test.h's CHECK_PANICS sets it.
 */
extern void **panic_catch;

/*
 * Text to number. `text` must be digits only (at most 20), value at most `max`; false otherwise,
 * with *value untouched.
 */
bool parse_u64(const char *text, size_t len, uint64_t max, uint64_t *value);

/* Byte order. Wire formats are big endian; loads and stores need no alignment. */
static inline uint16_t be16(uint16_t x)
{
    return __builtin_bswap16(x);
}
static inline uint32_t be32(uint32_t x)
{
    return __builtin_bswap32(x);
}
static inline uint16_t load_be16(const void *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}
static inline uint32_t load_be32(const void *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}
static inline void store_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    __builtin_memcpy(p, &v, sizeof v);
}
static inline void store_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(p, &v, sizeof v);
}

/*
 * The three fences that a shared ring needs, and the only ones that are used.
 * load_acquire:  what the other side wrote before the value read here is seen by later reads.
 * store_release: whoever reads the value written here sees all that was written before it.
 * full_fence:    the stores before are seen by all before a load after it is done; wanted only
 *                between "publish" and "does the other side want a kick?".
 */
#define load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define full_fence()        __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Fetches a cache line that will be written soon and that another core may hold. A write whose line
 * isn't there yet holds up all writes behind it, as they go to memory in order. */
static inline void prefetch_to_write(const void *at)
{
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
}

/* Moves a cache line that was just written on to the cache that the cores share, where the core
 * that reads it next gets it sooner. Intel's processors do so since Sapphire Rapids; for others it
 * is a no-op. */
static inline void pass_on(const void *at)
{
    __asm__ volatile("cldemote %0" : : "m"(*(const char *)at));
}

#endif
