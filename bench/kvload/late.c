/* SPDX-License-Identifier: BSD-2-Clause */
/* late.c - see late.h. */
#include "late.h"
#include "load.h"

void late_expect(struct load *load, const struct load_slot *slot)
{
    const struct load_parts *own = &load->parts[slot - load->slots];
    const bool begun = own->parts && own->sent == slot->sent;

    load->gave_up = true;
    load->late[slot->id] = (struct late){slot->sent, begun ? own->parts->seen : 0};
}

bool late_take(struct load *load, const struct datagram *in, uint64_t now)
{
    if (in->len < PARTS_HEADER)
        return false;
    struct late *late = &load->late[in->bytes[0] << 8 | in->bytes[1]];
    const uint32_t number = (uint32_t)in->bytes[2] << 8 | in->bytes[3];
    const uint32_t total = (uint32_t)in->bytes[4] << 8 | in->bytes[5];
    if (late->sent == 0)
        return false;
    /* Of several keys memcached answers each apart: only of one the same part can't come twice. */
    const bool one_key = load->options->multi_key_get == 1;
    if (total > PARTS_MAX || number >= total || (one_key && late->seen >> number & 1))
        return false;
    late->seen |= 1ull << number;
    if (late->seen != UINT64_MAX >> (64 - total))
        return true;
    load->result.late++;
    if (now - late->sent > load->result.latest_cycles)
        load->result.latest_cycles = now - late->sent;
    *late = (struct late){one_key ? 0 : late->sent, 0};
    return true;
}
