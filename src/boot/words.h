/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * words.h - a command line's words, as Linux cuts them: white space ends a word unless it stands in
 * double quotes. Such a quote around a word or around its value isn't part of it.
 */
#ifndef BOOT_WORDS_H
#define BOOT_WORDS_H

#include "boot/lib.h"

struct word {
    const char *name; /* what stands before the first =, or all of a word that has none */
    size_t name_len;
    const char *value; /* NULL if the word has no = */
    size_t value_len;
};

/* Takes the next word, and moves *text behind it; false if there is none. */
bool word_next(const char **text, struct word *word);

/* Is this the name of a parameter of Linux that VMMs, boot loaders and copied command lines have?
 */
bool word_is_linux(const struct word *word);

/* How many letters have to be added, left out, changed or swapped with their neighbour to make one
 * name of the other. Names of more than WORD_NAME_MAX letters are far from each other. */
enum { WORD_NAME_MAX = 31, WORD_FAR = 255 };
unsigned word_distance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
