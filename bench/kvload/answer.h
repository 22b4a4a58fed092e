/* SPDX-License-Identifier: BSD-2-Clause */
/* answer.h - is what came right? Inline for load.c, where it is done for every answer. */
#ifndef KVLOAD_ANSWER_H
#define KVLOAD_ANSWER_H

#include "load.h"

enum answer { ANSWER_RIGHT, ANSWER_GOES_ON, ANSWER_WRONG };

/* The keys that are left, but for the last `but`, have no value. */
static inline void answer_missed(struct load *load, struct load_slot *slot, uint32_t but)
{
    for (; slot->left > but; slot->left--) {
        const struct load_key *key = load_key(load, slot, slot->left);
        versions_missed(load->history, &load->keys[key->number], key->number, key->version);
        load->result.kinds[LOAD_GET].misses++;
    }
}

/* Takes a message of the answer to a get: whose values are those of keys that are left, in their
 * order. Sets *about to the key that a wrong one is about. */
static inline enum answer answer_values(struct load *load, struct load_slot *slot,
                                        const uint8_t *bytes, uint32_t len, uint64_t now,
                                        const struct load_key **about)
{
    const struct protocol *protocol = load->options->protocol;

    if (len == 0)
        return ANSWER_WRONG;
    while (slot->left > 0 && len > 0) {
        uint32_t left = slot->left, size;
        uint16_t version;
        while (!(size = protocol->value(load, slot, left, bytes, len, &version)) && --left > 0)
            continue;
        if (size == 0)
            break;
        answer_missed(load, slot, left);
        const struct load_key *key = *about = load_key(load, slot, left);
        slot->left--;
        if (unlikely(!versions_found(load->history, &load->keys[key->number], key->number, version,
                                     key->version, slot->sent, now))) {
            load->result.kinds[LOAD_GET].misses++;
            return ANSWER_WRONG;
        }
        load->result.kinds[LOAD_GET].hits++;
        bytes += size;
        len -= size;
    }
    *about = load_key(load, slot, slot->left > 0 ? slot->left : 1);
    switch (protocol->end(load, slot, bytes, len)) {
    case PROTOCOL_ENDS:
        answer_missed(load, slot, 0);
        return ANSWER_RIGHT;
    case PROTOCOL_GOES_ON:
        return ANSWER_GOES_ON;
    default:
        return ANSWER_WRONG;
    }
}

/* Takes the answer to a set or a delete. */
static inline enum answer answer_done(struct load *load, struct load_slot *slot,
                                      const uint8_t *bytes, uint32_t len, uint64_t now)
{
    const struct load_key *key = &slot->key;
    struct versions *versions = &load->keys[key->number];
    struct load_tally *tally = &load->result.kinds[slot->kind];
    enum protocol_done done = load->options->protocol->done(slot, bytes, len);

    slot->left = 0;
    tally->hits += done == PROTOCOL_DONE;
    tally->misses += done != PROTOCOL_DONE;
    if (likely(done != PROTOCOL_FAILED))
        return versions_written(load->history, versions, key->number, key->version, now)
                   ? ANSWER_RIGHT
                   : ANSWER_WRONG;
    versions_give_up(load->history, versions, key->number, key->version, now);
    return ANSWER_WRONG;
}

#endif
