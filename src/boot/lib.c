/* SPDX-License-Identifier: BSD-2-Clause */
/* lib.c - formatting and parsing; for all platforms. */
#include "boot/lib.h"

/* Where formatted text goes: counts all of it, keeps what fits. */
struct out {
    char *buf;
    size_t size, len;
};

static void put_char(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

struct spec {
    bool left, zero;
    unsigned width;
    int precision;  /* -1: none */
    unsigned longs; /* 0: int, 1: long or size_t, 2: long long */
};

static void put_padded(struct out *o, const struct spec *s, const char *text, size_t len)
{
    size_t pad = s->width > len ? s->width - len : 0;

    if (!s->left)
        for (size_t i = 0; i < pad; i++)
            put_char(o, s->zero ? '0' : ' ');
    for (size_t i = 0; i < len; i++)
        put_char(o, text[i]);
    if (s->left)
        for (size_t i = 0; i < pad; i++)
            put_char(o, ' ');
}

static void put_number(struct out *o, struct spec *s, uint64_t v, unsigned base, const char *digits,
                       bool negative)
{
    char text[24];
    size_t at = sizeof text;

    do {
        text[--at] = digits[v % base];
        v /= base;
    } while (v != 0);
    if (negative && s->zero && s->width > 0) {
        put_char(o, '-');
        s->width--;
    } else if (negative) {
        text[--at] = '-';
    }
    put_padded(o, s, text + at, sizeof text - at);
}

static uint64_t next_unsigned(va_list *args, unsigned longs)
{
    return longs == 0 ? va_arg(*args, unsigned) : va_arg(*args, uint64_t);
}

static int64_t next_signed(va_list *args, unsigned longs)
{
    return longs == 0 ? va_arg(*args, int) : va_arg(*args, int64_t);
}

static const char *read_spec(struct spec *s, const char *f, va_list *args)
{
    *s = (struct spec){.precision = -1};
    for (;; f++) {
        if (*f == '-')
            s->left = true;
        else if (*f == '0')
            s->zero = true;
        else
            break;
    }
    if (*f == '*') {
        s->width = va_arg(*args, unsigned);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++)
        s->width = s->width * 10 + (unsigned)(*f - '0');
    if (*f == '.') {
        s->precision = 0;
        if (*++f == '*') {
            s->precision = va_arg(*args, int);
            f++;
        }
        for (; *f >= '0' && *f <= '9'; f++)
            s->precision = s->precision * 10 + (*f - '0');
    }
    for (; *f == 'l' || *f == 'z' || *f == 'h'; f++)
        s->longs += *f != 'h';
    return f;
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    size_t len = 0, max = s->precision >= 0 ? (size_t)s->precision : SIZE_MAX;

    if (!text)
        text = "(null)";
    while (len < max && text[len])
        len++;
    put_padded(o, s, text, len);
}

size_t vformat(char *buf, size_t size, const char *fmt, va_list list)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    struct out o = {buf, size, 0};
    struct spec s;
    va_list args;

    va_copy(args, list);
    for (const char *f = fmt; *f; f++) {
        if (*f != '%') {
            put_char(&o, *f);
            continue;
        }
        f = read_spec(&s, f + 1, &args);
        if (*f == 's') {
            put_string(&o, &s, va_arg(args, const char *));
        } else if (*f == 'c') {
            char c = (char)va_arg(args, int);
            put_padded(&o, &s, &c, 1);
        } else if (*f == 'd' || *f == 'i') {
            int64_t v = next_signed(&args, s.longs);
            put_number(&o, &s, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, lower, v < 0);
        } else if (*f == 'u') {
            put_number(&o, &s, next_unsigned(&args, s.longs), 10, lower, false);
        } else if (*f == 'x' || *f == 'X') {
            put_number(&o, &s, next_unsigned(&args, s.longs), 16, *f == 'x' ? lower : upper, false);
        } else if (*f == 'p') {
            put_char(&o, '0');
            put_char(&o, 'x');
            put_number(&o, &s, (uintptr_t)va_arg(args, void *), 16, lower, false);
        } else {
            put_char(&o, *f); /* %% */
            if (*f == 0)
                break;
        }
    }
    va_end(args);
    if (size > 0)
        buf[MIN(o.len, size - 1)] = 0;
    return o.len;
}

size_t format(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    size_t len = vformat(buf, size, fmt, args);
    va_end(args);
    return len;
}

bool parse_u64(const char *text, size_t len, uint64_t max, uint64_t *value)
{
    uint64_t v = 0;

    if (len == 0 || len > 20)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
            return false;
    }
    if (v > max)
        return false;
    *value = v;
    return true;
}
