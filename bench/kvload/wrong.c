/* SPDX-License-Identifier: BSD-2-Clause */
/* wrong.c - see wrong.h. */
#include "wrong.h"

#include <stdio.h>

/* What came of the answer, but for the header: its first part, if it isn't whole. */
static const uint8_t *beginning(const struct load *load, const struct load_slot *slot,
                                const struct datagram *in, uint32_t *len)
{
    const struct load_parts *own = &load->parts[slot - load->slots];

    if (own->parts && own->sent == slot->sent && own->parts->seen & 1) {
        *len = own->parts->len[0];
        return own->parts->text + own->parts->at[0];
    }
    *len = in->len - PARTS_HEADER;
    return in->bytes + PARTS_HEADER;
}

/* Whose value may it be that the bytes begin with, if it isn't this run's? NULL: nobody's. */
static const char *origin(const struct load *load, const struct load_key *key, const uint8_t *bytes,
                          uint32_t len)
{
    const uint64_t number = load_key_number(load, key->number);
    struct protocol_value value;

    if (!load->options->protocol->any_value(bytes, len, &value))
        return NULL;
    const uint32_t version = value.flags - VALUE_FLAGS_FIRST;
    if (version == 0 || version > VERSION_LAST)
        return "another program stores, by its flags";
    const uint32_t here = len - (uint32_t)(value.bytes - bytes);
    return value.len > 0 &&
                   value.len != value_len(&load->options->sizes, number, (uint16_t)version) &&
                   value_matches(value.bytes, number, (uint16_t)version,
                                 value.len < here ? value.len : here)
               ? "a run with another --data-size stores"
               : NULL;
}

void wrong_show(const struct load *load, const struct load_slot *slot, const struct load_key *about,
                const struct datagram *in)
{
    static const char *const names[] = {"set", "get", "delete"};
    const struct versions *key = &load->keys[about->number];
    uint32_t len;

    if (load->result.wrong > WRONG_SHOWN)
        return;
    fprintf(stderr, "kvload: wrong answer to %s %.*s, ", names[slot->kind], about->text_len,
            about->text);
    if (key->proved == VERSION_OVERLAPS || about->version == VERSION_OVERLAPS)
        fprintf(stderr, "whose writes overlap, so that no order of them explains it (sent %u)",
                key->sent);
    else
        fprintf(stderr, "version %u (sent %u, proved %u)", about->version, key->sent, key->proved);
    fprintf(stderr, ", %u bytes:\n  ", in->len);
    for (uint32_t i = 0; i < in->len && i < 160; i++)
        fprintf(stderr, in->bytes[i] >= ' ' && in->bytes[i] < 127 ? "%c" : "\\x%02x", in->bytes[i]);
    fprintf(stderr, "\n");
    if (in->len < PARTS_HEADER)
        return;
    const uint8_t *bytes = beginning(load, slot, in, &len);
    const char *who = origin(load, about, bytes, len);
    if (who)
        fprintf(stderr,
                "It is what %s. --flush empties the server first, and --key-prefix gives each run "
                "keys of its own.\n",
                who);
}
