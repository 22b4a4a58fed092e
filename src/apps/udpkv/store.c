/* SPDX-License-Identifier: BSD-2-Clause */
/* store.c - what a client can do with items; see store.h. The log itself is in log.c. */
#include "apps/udpkv/store.h"
#include "apps/udpkv/log.h"
#include "apps/udpkv/number.h"

RUNS_SELDOM struct store *store_create(void *memory, size_t len_bytes, uint64_t seed)
{
    struct store *store = memory;
    size_t header = ALIGN_UP(sizeof *store, CACHE_LINE);
    size_t index_bytes = ALIGN_DOWN(len_bytes / 8, CACHE_LINE);

    assert(len_bytes >= STORE_MIN_BYTES && len_bytes <= STORE_MAX_BYTES);
    assert((uintptr_t)memory % CACHE_LINE == 0);
    index_init(&store->index, (uint8_t *)memory + header, index_bytes);
    store->log = (uint8_t *)memory + header + index_bytes;
    store->log_bytes = ALIGN_DOWN(len_bytes - header - index_bytes - STORE_SLACK, STORE_LOG_UNIT);
    store->max_value = MIN(STORE_MAX_VALUE, store->log_bytes / 16);
    store->pinned = SIZE_MAX;
    store->seed = seed;
    return store;
}

void store_tick(struct store *store, uint32_t now_s)
{
    store->now_s = now_s;
    /* memcached's flush_all takes effect in the second before, and so does ours */
    if (store->flush_at_s && now_s >= store->flush_at_s - 1) {
        store->flush_at_s = 0;
        store->fresh_bytes = 0;
    }
}

RUNS_SELDOM void store_flush(struct store *store)
{
    store->flush_at_s = 0;
    store->fresh_bytes = 0;
    store->last_cas++; /* memcached takes an id for it */
}

RUNS_SELDOM void store_flush_at(struct store *store, uint32_t at_s)
{
    store->flush_at_s = at_s > store->now_s ? at_s : 0;
    if (!store->flush_at_s)
        store->last_cas++; /* memcached takes an id for this, too */
}

static inline uint64_t load_key_word(const uint8_t *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

/* Compares short keys without a call. The last 8 bytes are compared at once, though some of them
 * may have been compared before. */
static inline bool same_key(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (unlikely(len < 8))
        return memcmp(a, b, len) == 0;
    for (size_t at = 0; at + 8 < len; at += 8)
        if (load_key_word(a + at) != load_key_word(b + at))
            return false;
    return load_key_word(a + len - 8) == load_key_word(b + len - 8);
}

/* Finds the item of a key, with the walk on its slot. An item that is expired or flushed is
 * removed. */
static inline struct item *find_item(struct store *store, struct store_key key,
                                     struct index_walk *walk)
{
    *walk = index_walk(&store->index, key.hash);
    for (;;) {
        const uint32_t *ref = index_next(&store->index, walk);
        if (!ref)
            return NULL;
        struct item *item = log_item(store, *ref);
        if (item->key_len != key.len || !same_key(item->bytes, key.bytes, key.len))
            continue;
        const bool flushed = log_flushed(store, item);
        if (likely(!flushed && !log_expired(store, item)))
            return item;
        *(flushed ? &store->stats.get_flushed : &store->stats.get_expired) += 1;
        index_remove(&store->index, key.hash, walk);
        log_kill(store, item);
        return NULL;
    }
}

struct item *store_peek(struct store *store, struct store_key key)
{
    struct index_walk walk;

    return find_item(store, key, &walk);
}

struct item *store_find(struct store *store, struct store_key key)
{
    struct item *item = store_peek(store, key);

    if (item)
        store_use(store, item);
    return item;
}

void store_invalidate(struct store *store, struct item *item)
{
    item->stale = 1;
    item->won = 0;
    item->cas = ++store->last_cas;
}

size_t store_item_bytes(const struct item *item)
{
    return log_footprint(item->key_len, item->value_len);
}

bool store_delete(struct store *store, struct store_key key)
{
    struct index_walk walk;
    struct item *item = find_item(store, key, &walk);

    if (!item)
        return false;
    index_remove(&store->index, key.hash, &walk);
    log_kill(store, item);
    return true;
}

/* Has the client an older id of the item, and may it write all the same (value.stale_cas)? */
static bool is_outdated(const struct item *old, const struct store_value *value)
{
    return value->stale_cas && value->cas != 0 && value->cas < old->cas;
}

/* May the mode write, given the item that is there, or NULL? */
static enum store_result mode_permits(enum store_mode mode, const struct item *old,
                                      const struct store_value *value)
{
    switch (mode) {
    case STORE_ADD:
        return old ? STORE_NOT_STORED : STORE_OK;
    case STORE_REPLACE:
        return old ? STORE_OK : STORE_NOT_STORED;
    case STORE_APPEND:
    case STORE_PREPEND:
        if (!old)
            return STORE_NOT_STORED;
        return value->cas == 0 || value->cas == old->cas ? STORE_OK : STORE_EXISTS;
    case STORE_CAS:
        if (!old)
            return STORE_NOT_FOUND;
        return old->cas == value->cas || is_outdated(old, value) ? STORE_OK : STORE_EXISTS;
    case STORE_SET:
        break;
    }
    return STORE_OK;
}

/* Sets all of an item but its key. */
static void write_value(struct store *store, struct item *item, const struct store_value *value)
{
    item->value_len = value->len;
    item->flags = value->flags;
    item->expire_s = value->expire_s;
    item->cas = ++store->last_cas;
    item->fetched = item->stale = item->won = 0;
    item->binary = value->binary;
    item->used_s = store->now_s & STORE_USED_MASK;
    memcpy(item_value(item), value->bytes, value->len);
    store->stats.total_items++;
}

/* Frees a slot for a hash whose home bucket is full, by removing an item of this bucket: one that
 * is expired, else one that wasn't used, else the first. */
static void free_slot(struct store *store, uint64_t hash)
{
    struct index_bucket *home = index_home(&store->index, hash);
    uint32_t victim = 0, best = 0;

    for (uint32_t slot = 0; slot < INDEX_SLOTS; slot++) {
        const struct item *item = log_item(store, home->refs[slot]);
        uint32_t useless = log_stale(store, item) ? 2 : !item->referenced;
        if (useless > 0 && useless >= best) {
            best = useless;
            victim = slot;
        }
    }
    struct index_walk walk = {.bucket = home, .slot = victim};
    struct item *item = log_item(store, home->refs[victim]);
    if (best == 2) /* stale */
        store->stats.reclaimed++;
    else
        store->stats.evictions++;
    index_remove(&store->index, hash, &walk);
    log_kill(store, item);
}

/* Enters an item into the index, where it is found by its hash from then on. */
static void enter_index(struct store *store, uint64_t hash, size_t offset)
{
    bool entered = index_insert(&store->index, hash, log_ref(offset));

    while (!entered) {
        free_slot(store, hash);
        entered = index_insert(&store->index, hash, log_ref(offset));
    }
}

/* Makes an item at the head of the log, with its key. It is not in the index yet. */
static struct item *append_item(struct store *store, struct store_key key, uint32_t value_len)
{
    struct item *item = log_append(store, log_footprint(key.len, value_len));

    *item = (struct item){.key_len = (uint8_t)key.len, .state = STORE_LIVE};
    memcpy(item->bytes, key.bytes, key.len);
    return item;
}

/* Writes a key's value. `old` is the key's item so far, on whose slot the walk stands, or NULL.
 * Returns the item that has the value. */
static struct item *write_item(struct store *store, struct store_key key, struct item *old,
                               struct index_walk *walk, const struct store_value *value)
{
    if (old && log_footprint(key.len, old->value_len) == log_footprint(key.len, value->len)) {
        old->referenced = 1;
        write_value(store, old, value);
        return old;
    }
    if (old) {
        index_remove(&store->index, key.hash, walk);
        log_kill(store, old);
    }
    struct item *item = append_item(store, key, value->len);
    write_value(store, item, value);
    log_born(store, item);
    enter_index(store, key.hash, log_offset(store, item));
    return item;
}

/* Writes a value from a client that knew an older id: the item is stale, and keeps the expiry and
 * the winner of the one before. */
static void write_outdated(struct store *store, struct store_key key, struct item *old,
                           struct index_walk *walk, const struct store_value *value)
{
    struct store_value late = *value;
    bool won = old->won;

    late.expire_s = old->expire_s;
    struct item *item = write_item(store, key, old, walk, &late);
    item->stale = 1;
    item->won = won;
}

/* Appends to a value, or puts something in front of it. Making room for the longer item must not
 * evict the old one, so that is pinned meanwhile; it may be moved, so it is looked up again. */
static enum store_result extend_item(struct store *store, struct store_key key,
                                     const struct store_value *more, bool front)
{
    struct index_walk walk;
    struct item *old = find_item(store, key, &walk);
    uint32_t len = old->value_len + more->len;

    if (len > store->max_value)
        return STORE_TOO_LARGE;
    store->pinned = log_offset(store, old);
    struct item *item = append_item(store, key, len);
    store->pinned = SIZE_MAX;
    old = find_item(store, key, &walk);
    assert(old);
    item->value_len = len;
    item->flags = old->flags;
    item->expire_s = old->expire_s;
    item->cas = ++store->last_cas;
    item->binary = more->binary;
    item->used_s = store->now_s & STORE_USED_MASK;
    memcpy(item_value(item) + (front ? more->len : 0), item_value(old), old->value_len);
    memcpy(item_value(item) + (front ? 0 : old->value_len), more->bytes, more->len);
    store->stats.total_items++;
    index_remove(&store->index, key.hash, &walk);
    log_kill(store, old);
    log_born(store, item);
    enter_index(store, key.hash, log_offset(store, item));
    return STORE_OK;
}

enum store_result store_put(struct store *store, enum store_mode mode, struct store_key key,
                            const struct store_value *value)
{
    struct index_walk walk;
    struct item *old = find_item(store, key, &walk);

    assert(key.len >= 1 && key.len <= STORE_MAX_KEY);
    if (value->len > store->max_value) {
        if (mode == STORE_SET)
            store_delete(store, key);
        return STORE_TOO_LARGE;
    }
    enum store_result result = mode_permits(mode, old, value);
    if (result != STORE_OK)
        return result;
    if (mode == STORE_APPEND || mode == STORE_PREPEND)
        return extend_item(store, key, value, mode == STORE_PREPEND);
    if (mode == STORE_CAS && is_outdated(old, value))
        write_outdated(store, key, old, &walk, value);
    else
        write_item(store, key, old, &walk, value);
    return STORE_OK;
}

enum store_result store_add(struct store *store, struct store_key key, uint64_t delta, bool down,
                            uint64_t *result)
{
    uint64_t number;
    struct index_walk walk;
    struct item *item = find_item(store, key, &walk);
    char text[24];

    if (!item)
        return STORE_NOT_FOUND;
    if (!number_u64(item_value(item), item->value_len, &number))
        return STORE_NOT_NUMBER;
    number = !down ? number + delta : number > delta ? number - delta : 0;
    *result = number;
    uint32_t len = (uint32_t)format(text, sizeof text, "%lu", number);
    if (len > item->value_len) {
        struct store_value value = {.bytes = (const uint8_t *)text,
                                    .len = len,
                                    .flags = item->flags,
                                    .expire_s = item->expire_s};
        write_item(store, key, item, &walk, &value);
        return STORE_OK;
    }
    memcpy(item_value(item), text, len);
    memset(item_value(item) + len, ' ', item->value_len - len);
    item->cas = ++store->last_cas;
    item->referenced = 1;
    return STORE_OK;
}
