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

bool line_read(struct line *line, uint8_t *copy, size_t copy_max, const uint8_t *from, size_t len)
{
    const size_t max = MIN(len, copy_max);
    size_t start = 0, zero = SIZE_MAX;

    line->bytes = copy;
    line->taken = 0;
    line->word_count = 0;
    line->hashed = NULL;
    for (size_t at = 0; at < max; at++) {
        uint8_t byte = *(const volatile uint8_t *)(from + at);
        copy[at] = byte;
        if (likely(byte > ' '))
            continue;
        if (byte == ' ') {
            add_word(line, start, MIN(at, zero));
            start = at + 1;
        } else if (byte == '\n') {
            size_t end = at > 0 && copy[at - 1] == '\r' ? at - 1 : at;
            line->len = (uint32_t)MIN(end, zero);
            line->taken = (uint32_t)at + 1;
            add_word(line, start, line->len);
            return true;
        } else if (byte == 0) {
            zero = MIN(zero, at);
        }
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
