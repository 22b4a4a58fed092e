/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * protocol.h - how requests are written and answers are read: memcached's text protocol and its
 * binary one. What an answer means for its keys is answer.h's, what is on the way load.c's.
 *
 * A get is answered by values, of those keys that were found in the order in which they were asked
 * for, and by an end. That may come in several messages, each with whole values: memcached 1.6
 * makes one of each value, udpkv one of all.
 */
#ifndef KVLOAD_PROTOCOL_H
#define KVLOAD_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

struct load;
struct load_slot;

enum protocol_end { PROTOCOL_ENDS, PROTOCOL_GOES_ON, PROTOCOL_BROKEN };

enum protocol_done { PROTOCOL_DONE, PROTOCOL_NOT_FOUND, PROTOCOL_FAILED };

/* A value as an answer tells it. */
struct protocol_value {
    uint32_t flags, len;
    const uint8_t *bytes;
};

struct protocol {
    const char *name; /* as --protocol has it */
    /* How many bytes a get of so many keys of so many bytes has. */
    uint32_t (*get_len)(uint32_t keys, uint32_t key_len);
    /* Writes the slot's request and returns its end, behind which up to 36 bytes are overwritten,
     * too. All its keys are left. */
    char *(*write)(struct load *load, const struct load_slot *slot, char *at);
    /* Do the bytes begin with what was stored as some version of the key load_key(left)? Returns
     * how many bytes that is, or 0. */
    uint32_t (*value)(const struct load *load, const struct load_slot *slot, uint32_t left,
                      const uint8_t *bytes, uint32_t len, uint16_t *version);
    /* What is behind a message's values: the end, nothing, or what can't be there. */
    enum protocol_end (*end)(const struct load *load, const struct load_slot *slot,
                             const uint8_t *bytes, uint32_t len);
    /* The answer to a set or a delete. */
    enum protocol_done (*done)(const struct load_slot *slot, const uint8_t *bytes, uint32_t len);
    /* Do the bytes begin as a value, of whatever key and size, which may end behind them? Not for
     * the loop. */
    bool (*any_value)(const uint8_t *bytes, uint32_t len, struct protocol_value *value);
};

extern const struct protocol protocol_text, protocol_binary;

#endif
