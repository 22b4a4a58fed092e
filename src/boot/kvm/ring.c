/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.c - where the loop runs. Some clouds offer a KVM without hardware virtualization. There
 * guest code in ring 3 runs natively, and code in ring 0 is emulated, about a thousand times
 * slower. So the app runs in ring 3 where ring 0 turns out to be slow, and in ring 0 elsewhere.
 */
#include "boot/pvh/pvh.h"
#include "boot/words.h"

enum { RING_AUTO = -1 };

static const char *parse_ring(const struct boot_key *key, const char *text)
{
    bool good = strcmp(text, "0") == 0 || strcmp(text, "3") == 0 || strcmp(text, "auto") == 0;

    (void)key; /* ring_forced() has read it long ago */
    return good ? NULL : "0, 3 or auto";
}
BOOT_KEY("ring", parse_ring, NULL, "auto", "",
         "processor ring in which the app runs: 0, 3, or auto for the one that is fast here");

/* The ring is needed before the command line is parsed. */
static int ring_forced(const char *command_line)
{
    for (struct word word; word_next(&command_line, &word);) {
        bool ours = word.name_len == 4 && strncmp(word.name, "ring", 4) == 0;
        if (ours && word.value_len == 1 && (*word.value == '0' || *word.value == '3'))
            return *word.value - '0';
    }
    return RING_AUTO;
}

/* Cycles of the quickest of some rounds of a short loop: others may interrupt one, not all. */
static bool ring0_is_emulated(void)
{
    enum { ROUNDS = 3, ITERATIONS = 32, EMULATED_CYCLES = 300 };
    uint64_t best = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_cycles();
        for (int i = 0; i < ITERATIONS; i++)
            __asm__ volatile("");
        best = MIN(best, clock_cycles() - start);
    }
    return best > ITERATIONS * EMULATED_CYCLES;
}

int machine_ring(const char *command_line)
{
    int ring = ring_forced(command_line);

    if (ring == RING_AUTO)
        ring = ring0_is_emulated() ? 3 : 0;
    return ring;
}
