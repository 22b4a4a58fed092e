/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * protocol_binary.c - memcached's binary protocol ("Memcache Binary Protocol", its
 * protocol-binary.xml); see protocol.h.
 *
 * A get of several keys is quiet gets, which are answered only if they find something, and a last
 * one, which always is. An opaque is the request's id and how many keys are left, which every
 * answer has to repeat.
 */
#include "load.h"
#include "protocol.h"
#include "text.h"

#include <arpa/inet.h>

enum { REQUEST = 0x80, RESPONSE = 0x81 };
enum { SET = 0x01, DELETE = 0x04, GETK = 0x0c, GETKQ = 0x0d };
enum { OK = 0, KEY_NOT_FOUND = 1 };

/* What a request or an answer begins with; big endian. Extras, a key and a value follow. */
struct header {
    uint8_t magic, opcode;
    uint16_t key_len;
    uint8_t extras_len, data_type;
    uint16_t status; /* 0 in a request */
    uint32_t body_len, opaque;
    uint64_t cas;
};

_Static_assert(sizeof(struct header) == 24, "a header has 24 bytes");

/* An answer whose lengths agree. */
struct answer {
    struct header header; /* as it came but for the lengths */
    const uint8_t *extras, *key, *value;
    uint32_t len, value_len; /* len: of all of it */
};

static uint8_t get_opcode(uint32_t left)
{
    return left > 1 ? GETKQ : GETK;
}

static uint32_t opaque_of(const struct load_slot *slot, uint32_t left)
{
    return htonl((uint32_t)slot->id << 16 | left);
}

/* --- requests ------------------------------------------------------------------------------ */

static uint32_t get_len(uint32_t keys, uint32_t key_len)
{
    return keys * ((uint32_t)sizeof(struct header) + key_len);
}

/* Writes a header for a key and what else a body has. */
static char *put_header(char *at, uint8_t opcode, const struct load_key *key, uint8_t extras_len,
                        uint32_t value_bytes, uint32_t opaque)
{
    const struct header header = {.magic = REQUEST,
                                  .opcode = opcode,
                                  .key_len = htons(key->text_len),
                                  .extras_len = extras_len,
                                  .body_len = htonl(extras_len + key->text_len + value_bytes),
                                  .opaque = opaque};

    memcpy(at, &header, sizeof header);
    return at + sizeof header;
}

static char *write_set(struct load *load, const struct load_slot *slot, char *at)
{
    uint64_t number = load_key_number(load, slot->key.number);
    uint32_t len = value_len(&load->options->sizes, number, slot->key.version);
    const uint32_t extras[] = {htonl(VALUE_FLAGS_FIRST + slot->key.version),
                               htonl(load_expiry_s(load))};

    at = put_header(at, SET, &slot->key, sizeof extras, len, opaque_of(slot, slot->left));
    memcpy(at, extras, sizeof extras);
    at = load_put_key(at + sizeof extras, &slot->key);
    value_write((uint8_t *)at, number, slot->key.version, len);
    return at + len;
}

static char *write_request(struct load *load, const struct load_slot *slot, char *at)
{
    if (slot->kind == LOAD_SET)
        return write_set(load, slot, at);
    for (uint32_t left = slot->left; left > 0; left--) {
        const struct load_key *key = load_key(load, slot, left);
        at = put_header(at, slot->kind == LOAD_GET ? get_opcode(left) : DELETE, key, 0, 0,
                        opaque_of(slot, left));
        at = load_put_key(at, key);
    }
    return at;
}

/* --- answers ------------------------------------------------------------------------------- */

/* Takes the answer that the bytes begin with, whose value may end behind them. False: they begin
 * with none. */
static bool take_front(struct answer *a, const uint8_t *bytes, uint32_t len)
{
    struct header *h = &a->header;

    if (len < sizeof *h)
        return false;
    memcpy(h, bytes, sizeof *h);
    h->key_len = ntohs(h->key_len);
    h->body_len = ntohl(h->body_len);
    const uint32_t front_len = (uint32_t)h->extras_len + h->key_len;
    if (h->magic != RESPONSE || h->data_type != 0 || front_len > len - sizeof *h ||
        front_len > h->body_len)
        return false;
    a->extras = bytes + sizeof *h;
    a->key = a->extras + h->extras_len;
    a->value = a->key + h->key_len;
    a->value_len = h->body_len - front_len;
    a->len = (uint32_t)sizeof *h + h->body_len;
    return true;
}

/* The same for a whole one. */
static bool take(struct answer *a, const uint8_t *bytes, uint32_t len)
{
    return take_front(a, bytes, len) && a->header.body_len <= len - sizeof a->header;
}

static bool answers(const struct answer *a, uint8_t opcode, uint32_t opaque, uint16_t status)
{
    return a->header.opcode == opcode && a->header.opaque == opaque &&
           a->header.status == htons(status);
}

static bool has_key(const struct answer *a, const struct load_key *key)
{
    return a->header.key_len == key->text_len && text_same(a->key, key->text, key->text_len);
}

/* The flags of an answer to a get; 0: there are none. */
static uint32_t flags_of(const struct answer *a)
{
    uint32_t flags;

    if (a->header.extras_len != sizeof flags)
        return 0;
    memcpy(&flags, a->extras, sizeof flags);
    return ntohl(flags);
}

static uint32_t take_value(const struct load *load, const struct load_slot *slot, uint32_t left,
                           const uint8_t *bytes, uint32_t len, uint16_t *version)
{
    const struct load_key *key = load_key(load, slot, left);
    struct answer a;

    if (!take(&a, bytes, len) || !answers(&a, get_opcode(left), opaque_of(slot, left), OK) ||
        !has_key(&a, key))
        return 0;
    const uint32_t flags = flags_of(&a) - VALUE_FLAGS_FIRST;
    if (flags == 0 || flags > VERSION_LAST)
        return 0;
    *version = (uint16_t)flags;
    const uint64_t number = load_key_number(load, key->number);
    return a.value_len == value_len(&load->options->sizes, number, *version) &&
                   value_matches(a.value, number, *version, a.value_len)
               ? a.len
               : 0;
}

static enum protocol_end take_end(const struct load *load, const struct load_slot *slot,
                                  const uint8_t *bytes, uint32_t len)
{
    const struct load_key *last = load_key(load, slot, 1);
    struct answer a;

    if (len == 0)
        return slot->left == 0 ? PROTOCOL_ENDS : PROTOCOL_GOES_ON;
    return slot->left > 0 && take(&a, bytes, len) && a.len == len &&
                   answers(&a, get_opcode(1), opaque_of(slot, 1), KEY_NOT_FOUND) &&
                   a.header.extras_len == 0 && has_key(&a, last) && a.value_len == 0
               ? PROTOCOL_ENDS
               : PROTOCOL_BROKEN;
}

static enum protocol_done take_done(const struct load_slot *slot, const uint8_t *bytes,
                                    uint32_t len)
{
    const uint8_t opcode = slot->kind == LOAD_SET ? SET : DELETE;
    const uint32_t opaque = opaque_of(slot, slot->left);
    struct answer a;

    if (!take(&a, bytes, len) || a.len != len)
        return PROTOCOL_FAILED;
    if (answers(&a, opcode, opaque, OK) && a.header.body_len == 0)
        return PROTOCOL_DONE;
    return opcode == DELETE && answers(&a, opcode, opaque, KEY_NOT_FOUND) ? PROTOCOL_NOT_FOUND
                                                                          : PROTOCOL_FAILED;
}

static bool any_value(const uint8_t *bytes, uint32_t len, struct protocol_value *value)
{
    struct answer a;

    if (!take_front(&a, bytes, len) || a.header.status != OK)
        return false;
    *value = (struct protocol_value){flags_of(&a), a.value_len, a.value};
    return true;
}

const struct protocol protocol_binary = {"memcache_binary", get_len,   write_request, take_value,
                                         take_end,          take_done, any_value};
