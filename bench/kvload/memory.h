/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.h - memory, or the program's end in words: what kvload measures can't do without. */
#ifndef KVLOAD_MEMORY_H
#define KVLOAD_MEMORY_H

#include <stdio.h>
#include <stdlib.h>

/* As realloc. */
static inline void *memory_grow(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (!memory) {
        fprintf(stderr, "kvload: %zu bytes of memory are missing.\n", bytes);
        exit(3);
    }
    return memory;
}

#endif
