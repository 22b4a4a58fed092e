/* SPDX-License-Identifier: BSD-2-Clause */
/* lib.c - formatting and parsing; for all platforms. */
#include "boot/lib.h"

/* Where formatted text goes: counts all of it, keeps what fits. */
struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, const char *text, size_t len)
{
    if (o->len + 1 < o->size)
        memcpy(o->buf + o->len, text, MIN(len, o->size - 1 - o->len));
    o->len += len;
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

    for (; pad > 0 && !s->left; pad--)
        put(o, s->zero ? "0" : " ", 1);
    put(o, text, len);
    for (; pad > 0; pad--)
        put(o, " ", 1);
}

/* Any number, or a character. */
static void put_number(struct out *o, struct spec *s, uint64_t v, char kind)
{
    const bool is_signed = kind == 'd' || kind == 'i', negative = is_signed && (int64_t)v < 0;
    const unsigned base = is_signed || kind == 'u' ? 10 : 16;
    char text[24];
    size_t at = sizeof text;

    if (negative)
        v = 0 - v;
    do {
        text[--at] = kind == 'c' ? (char)v : "0123456789abcdef"[v % base];
        if (kind == 'X' && text[at] >= 'a')
            text[at] &= ~0x20; /* a capital letter */
        v /= base;
    } while (v != 0 && kind != 'c');
    if (negative && s->zero && s->width > 0) {
        put(o, "-", 1);
        s->width--;
    } else if (negative) {
        text[--at] = '-';
    }
    put_padded(o, s, text + at, sizeof text - at);
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

static void put_pointer(struct out *o, struct spec *s, const void *pointer, char kind)
{
    size_t len = 0, max = s->precision >= 0 ? (size_t)s->precision : SIZE_MAX;
    const char *text = pointer ? pointer : "(null)";

    if (kind == 'p') {
        put(o, "0x", 2);
        put_number(o, s, (uintptr_t)pointer, 'x');
        return;
    }
    while (len < max && text[len])
        len++;
    put_padded(o, s, text, len);
}

size_t vformat(char *buf, size_t size, const char *fmt, va_list list)
{
    struct out o = {buf, size, 0};
    struct spec s;
    va_list args;

    va_copy(args, list);
    for (const char *f = fmt;; f++) {
        const char *text = f;
        while (*f && *f != '%')
            f++;
        put(&o, text, (size_t)(f - text));
        if (*f == 0)
            break;
        f = read_spec(&s, f + 1, &args);
        if (*f == 0)
            break;
        if (*f == '%') {
            put(&o, f, 1);
        } else if (*f == 's' || *f == 'p') {
            put_pointer(&o, &s, va_arg(args, const void *), *f);
        } else {
            uint64_t v = s.longs ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            put_number(&o, &s, s.longs || (*f != 'd' && *f != 'i') ? v : (uint64_t)(int32_t)v, *f);
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
