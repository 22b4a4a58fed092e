/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command.h - a command that is being run, and what commands have in common. text.c fills in a
 * struct command for each line of a request and runs it; the commands are in text.c, meta.c,
 * meta_debug.c and text_stats.c. binary.c does so for each request of the binary protocol. Calls go
 * one way: text.c, then binary.c, then the other three, then this.
 */
#ifndef UDPKV_COMMAND_H
#define UDPKV_COMMAND_H

#include "apps/udpkv/text.h"

struct command {
    struct text *text;
    struct store *store;  /* the shard that was entered last, or the only one */
    struct store *locked; /* with several cores: the shard that is entered now, or NULL */
    struct reply *reply;
    const struct word *words; /* up to LINE_WORDS: enough for all commands but get and its kin */
    uint32_t word_count;      /* all words of the line, even if over LINE_WORDS */
    const uint8_t *line, *line_end;
    const uint8_t *hashed; /* the word that `hash` is of, or NULL */
    uint64_t hash;
    const uint8_t *rest, *end; /* behind the line: the data block, and further commands */
    uint8_t how;               /* which command it is, where one function runs several */
    bool mute;                 /* noreply */
    bool quit;
};

/* Answers with a line, unless the command said noreply. */
static inline void command_say(struct command *c, const char *line)
{
    if (!c->mute)
        reply_text(c->reply, line);
}

/* What a bad line is answered. */
extern const char command_bad_format[];
extern const char command_not_number[];

/* Words have no zero byte, so a longer one differs from the text where that ends. */
static inline bool command_is(struct word word, const char *text)
{
    for (uint32_t i = 0; i < word.len; i++)
        if ((uint8_t)text[i] != word.bytes[i])
            return false;
    return text[word.len] == 0;
}

/* A key of at most STORE_MAX_KEY bytes: a word, or other bytes that stay while the key is used. */
static inline struct store_key command_key(const struct command *c, struct word word)
{
    uint64_t hash = likely(word.bytes == c->hashed)
                        ? c->hash
                        : shards_hash(&c->text->shards, word.bytes, word.len);
    return (struct store_key){word.bytes, (uint8_t)word.len, hash};
}

/* Locks the shard of a key, which c->store is from then on, until command_unlock. For shards that
 * are `locked`. */
static inline void command_lock(struct command *c, uint64_t hash)
{
    c->store = c->locked = shards_of(&c->text->shards, hash);
    shards_lock(&c->text->shards, c->locked);
}

static inline void command_unlock(struct command *c)
{
    shards_unlock(&c->text->shards, c->locked);
    c->locked = NULL;
}

/* Enters the key's shard: c->store from then on. A command enters it once it has read all that it
 * needs of the request, and leaves it when it ends at the latest, so that for other cores all that
 * it does to a key is one step. */
static inline void command_enter(struct command *c, struct store_key key)
{
    if (unlikely(c->text->shards.locked))
        command_lock(c, key.hash);
}

static inline void command_leave(struct command *c)
{
    if (unlikely(c->locked))
        command_unlock(c);
}

/* The longest value. */
static inline size_t command_max_value(const struct command *c)
{
    return c->text->shards.first->max_value;
}

enum { COMMAND_MAX_RELATIVE_S = 60 * 60 * 24 * 30 };

/* When an item with this exptime is gone: up to 30 days are counted from now, more are a moment. */
static inline uint32_t command_expire_s(const struct command *c, int64_t exptime)
{
    if (exptime == 0)
        return 0;
    if (exptime < 0)
        return STORE_EXPIRED;
    return (uint32_t)exptime + (exptime > COMMAND_MAX_RELATIVE_S ? 0 : c->text->shards.now_s);
}

/* Takes the data block off the rest of the request, and counts it. False, having answered, if it
 * isn't there. */
bool command_take_data(struct command *c, uint32_t len, struct store_value *value);

/* Enters the key's shard, stores a value and counts what came of an id to compare. */
enum store_result command_put(struct command *c, enum store_mode mode, struct store_key key,
                              const struct store_value *value);

/* Enters the key's shard and looks for its item, which gets this exptime if the command `touches`.
 * Counts what came of it. */
static inline struct item *command_find_fast(struct command *c, struct store_key key, bool touches,
                                             int64_t exptime)
{
    struct text_stats *stats = &c->text->stats;

    command_enter(c, key);
    struct item *item = store_find(c->store, key);
    stats->cmd_get += !touches;
    stats->cmd_touch += touches;
    if (item) {
        stats->get_hits += !touches;
        stats->touch_hits += touches;
        if (touches)
            item->expire_s = command_expire_s(c, exptime);
    } else {
        stats->get_misses += !touches;
        stats->touch_misses += touches;
    }
    return item;
}

/* The same, as one function for all but get and its kin. */
struct item *command_find(struct command *c, struct store_key key, bool touches, int64_t exptime);

/* Enters the key's shard and adds to its item, or subtracts from it, and counts that. STORE_EXISTS
 * if the item has another id than `cas`, of which 0 is any. A miss is counted by the caller, as
 * some commands create the item then. */
enum store_result command_add(struct command *c, struct store_key key, uint64_t cas, uint64_t delta,
                              bool down, uint64_t *number);
void command_count_miss(struct command *c, bool down);

/* Creates the item that an addition or subtraction missed. */
void command_create_number(struct command *c, struct store_key key, uint64_t number,
                           uint32_t expire_s);

/* Counts a flush and does it, or lets it come with a delay of over 0. */
void command_flush(struct command *c, int64_t exptime);

#endif
