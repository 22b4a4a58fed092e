/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meta_flags.h - the flags of a meta command: one letter each, some with a token behind it. Only
 * meta.c uses it.
 */
#ifndef UDPKV_META_FLAGS_H
#define UDPKV_META_FLAGS_H

#include "apps/udpkv/base64.h"
#include "apps/udpkv/command.h"

enum {
    META_MAX_WORDS = 19,  /* of a line */
    META_MAX_OPAQUE = 32, /* of an opaque, its letter O included */
    META_MAX_TEXT = 1024, /* more than any flags of an answer take; a long key is half of it */
};

_Static_assert((int)META_MAX_WORDS <= (int)LINE_WORDS, "all words of a meta command are kept");

struct meta {
    struct store_key key;
    uint32_t first; /* the first word that is a flag */
    bool binary;    /* b: the key is decoded */
    bool value;     /* v */
    bool peek;      /* u: not a use of the item */
    bool quiet;     /* q */
    bool invalidate;
    bool remove_value; /* x */
    bool has_cas, has_new_cas, has_vivify, has_ttl;
    bool late;     /* there is an h, an l or a flag that changes the item: it is marked as used only
                      afterwards */
    uint32_t mode; /* the letter behind M; 0: none */
    uint32_t client_flags;
    uint32_t ttl_s, vivify_s, recache_s;   /* T, N and R, as times of expiry */
    uint64_t cas, new_cas, delta, initial; /* C, E, D and J */
    uint8_t decoded[BASE64_BYTES(STORE_MAX_KEY)];
};

/* Does the line have a key of legal length, and not too many words? False, having answered, if it
 * doesn't. */
bool meta_line_fits(struct command *c, const char *too_many);

/* Reads the key and the flags from word `first` on. Returns what to answer to a bad one, or NULL.
 * Flags that mean nothing to the command are checked as well, as in memcached. */
const char *meta_parse(const struct command *c, uint32_t first, struct meta *m);

/* Is the flag an opaque that is too long? memcached checks this after everything else, so
 * meta_parse doesn't. */
bool meta_opaque_too_long(struct word flag);
bool meta_has_opaque_too_long(const struct command *c, const struct meta *m);

/* Writes " k" and a key; in base64 and with " b" behind it if it is binary. */
void meta_put_key(struct reply *reply, const uint8_t *key, uint32_t len, bool binary);

/* Writes a flag and its number: " t30". */
void meta_put_number(struct reply *reply, char flag, uint64_t number);

/* Writes " t" and the seconds that an item has left, -1 without end. */
void meta_put_ttl(struct reply *reply, const struct store *store, const struct item *item);

/* Writes what the flags k and O give back of the request. */
void meta_put_echo(struct reply *reply, const struct meta *m, struct word flag);

#endif
