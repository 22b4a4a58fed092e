/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line.h - the first line of what is left of a request, copied aside and cut into words.
 *
 * A request lies in packet memory, which the other side can change while we read it. So each byte
 * of a line is read once, in the pass that copies it, and everything after that uses the copy.
 * Values aren't lines: they are copied once, from the packet to the store.
 */
#ifndef UDPKV_LINE_H
#define UDPKV_LINE_H

#include "boot/lib.h"

/* No command but get and its kin, whose keys are read from the line, has more words than this. */
enum { LINE_WORDS = 20 };

struct word {
    const uint8_t *bytes; /* in the copy */
    uint32_t len;
};

struct line {
    const uint8_t *bytes; /* the copy */
    uint32_t len;         /* without its end, which is \n or \r\n. memcached's lines are C strings,
                             so a zero byte ends it, too, and what is behind that is skipped. */
    uint32_t taken;       /* bytes of the request, the end included; 0: there is no line */
    uint32_t word_count;  /* all words of the line, even if over LINE_WORDS */
    struct word words[LINE_WORDS];
    const uint8_t *hashed; /* the word that `hash` is of, which the caller sets, or NULL */
    uint64_t hash;
};

/* Reads the first line of `len` bytes of a request. It is copied to `copy`, which has room for
 * copy_max bytes and must stay as long as the line is used; it may be `from` itself. All of the
 * `readable` bytes at `from`, of which the request is the beginning, may be read, so that blocks
 * can be loaded. False if no line ends in the request. */
bool line_read(struct line *line, uint8_t *copy, size_t copy_max, const uint8_t *from, size_t len,
               size_t readable);

/* The next word from *at on, which moves behind it; false at the end of the line. */
bool line_next_word(const uint8_t **at, const uint8_t *end, struct word *word);

#endif
