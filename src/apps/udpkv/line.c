/* SPDX-License-Identifier: BSD-2-Clause */
/* line.c - a line and its words; see line.h. */
#include "apps/udpkv/line.h"

static inline void add_word(struct line *line, size_t start, size_t end)
{
    if (end <= start)
        return;
    if (line->word_count < LINE_WORDS)
        line->words[line->word_count] = (struct word){line->bytes + start, (uint32_t)(end - start)};
    line->word_count++;
}

/* How far a line is cut into words. */
struct cut {
    size_t start; /* of the word that is being read */
    size_t zero;  /* where the first zero byte is, or SIZE_MAX */
};

/* Looks at a byte that may end a word. True if it ends the line. */
static inline bool cut_at(struct line *line, struct cut *cut, size_t at)
{
    const uint8_t byte = line->bytes[at];

    if (byte == ' ') {
        add_word(line, cut->start, MIN(at, cut->zero));
        cut->start = at + 1;
    } else if (byte == '\n') {
        size_t end = at > 0 && line->bytes[at - 1] == '\r' ? at - 1 : at;
        line->len = (uint32_t)MIN(end, cut->zero);
        line->taken = (uint32_t)at + 1;
        add_word(line, cut->start, line->len);
        return true;
    } else if (byte == 0) {
        cut->zero = MIN(cut->zero, at);
    }
    return false;
}

enum { BLOCK = 16 };

typedef uint8_t block __attribute__((vector_size(BLOCK)));
typedef block packet_block __attribute__((aligned(1), may_alias));
typedef char block_bytes __attribute__((vector_size(BLOCK)));

/* Copies 16 bytes. Returns which of them are a space or a control character, as bits. */
static inline uint32_t copy_block(uint8_t *to, const uint8_t *from)
{
    const block bytes = *(const volatile packet_block *)from;

    *(packet_block *)to = bytes;
    return (uint32_t)__builtin_ia32_pmovmskb128((block_bytes)(bytes <= (uint8_t)' '));
}

bool line_read(struct line *line, uint8_t *copy, size_t copy_max, const uint8_t *from, size_t len,
               size_t readable)
{
    const size_t max = MIN(len, copy_max), blocks_end = MIN(readable, copy_max);
    struct cut cut = {0, SIZE_MAX};
    size_t at = 0;

    assert(len <= readable);
    line->bytes = copy;
    line->taken = 0;
    line->word_count = 0;
    line->hashed = NULL;
    for (; at < max && at + BLOCK <= blocks_end; at += BLOCK) {
        uint32_t bits = copy_block(copy + at, from + at);
        if (at + BLOCK > max)
            bits &= (1u << (max - at)) - 1;
        for (; bits != 0; bits &= bits - 1)
            if (cut_at(line, &cut, at + (uint32_t)__builtin_ctz(bits)))
                return true;
    }
    for (; at < max; at++) {
        copy[at] = *(const volatile uint8_t *)(from + at);
        if (copy[at] <= ' ' && cut_at(line, &cut, at))
            return true;
    }
    return false;
}

bool line_next_word(const uint8_t **at, const uint8_t *end, struct word *word)
{
    const uint8_t *p = *at;

    while (p < end && *p == ' ')
        p++;
    word->bytes = p;
    while (p < end && *p != ' ')
        p++;
    word->len = (uint32_t)(p - word->bytes);
    *at = p;
    return word->len > 0;
}
