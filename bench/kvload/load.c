/* SPDX-License-Identifier: BSD-2-Clause */
/* load.c - makes requests and checks answers; see load.h. */
#include "load.h"
#include "answer.h"
#include "memory.h"
#include "text.h"
#include "wrong.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* A write that is given up may still be done for so many times --timeout-ms: no datagram is on its
 * way that long. */
enum { PATIENCE_TIMEOUTS = 10 };
enum { HEADER = PARTS_HEADER, LOOK_CYCLES = 1 << 21 };

/* What an answer has around a value, with a key of 35 bytes: in text VALUE, flags, a length and
 * END, 28 bytes, in binary a header and flags, as many. */
enum { ANSWER_AROUND_VALUE = 64 };

volatile sig_atomic_t load_stop;

static void *take(size_t count, size_t size)
{
    void *memory = aligned_alloc(64, (count * size + 63) / 64 * 64);

    if (!memory) {
        fprintf(stderr, "kvload: %zu bytes of memory are missing.\n", count * size);
        exit(3);
    }
    return memset(memory, 0, count * size);
}

void load_ask(struct load *load)
{
    const struct options *o = load->options;
    const double median = o->has_median ? (o->key_median - (double)o->key_min) / o->threads : 0;
    pattern_init(&load->set_pattern, o->set_pattern, load->key_count, median,
                 o->key_stddev / o->threads, o->zipf_exponent);
    pattern_init(&load->get_pattern, o->get_pattern, load->key_count, median,
                 o->key_stddev / o->threads, o->zipf_exponent);
    load->ratio_at = 0;
}

void load_init(struct load *load, const struct options *o, struct port *port, uint32_t number,
               uint64_t cycles_hz)
{
    *load = (struct load){.options = o, .port = port, .cycles_hz = cycles_hz};
    load->slot_count = load->free_count = o->clients * o->pipeline;
    while (1u << load->slot_bits < load->slot_count)
        load->slot_bits++;
    load->slots = take(load->slot_count, sizeof *load->slots);
    load->more_keys = take(load->slot_count, (o->multi_key_get - 1) * sizeof *load->more_keys);
    load->plan_keys = take(PORT_BURST, o->multi_key_get * sizeof *load->plan_keys);
    load->free = take(load->slot_count, sizeof *load->free);
    for (uint32_t i = 0; i < load->slot_count; i++) {
        load->slots[i].kind = LOAD_FREE;
        load->slots[i].id = (uint16_t)i;
        load->free[load->slot_count - 1 - i] = i;
    }
    load->key_first = o->key_min + number;
    load->key_step = o->threads;
    load->key_count = (uint32_t)((o->key_max - o->key_min - number) / o->threads + 1);
    load->keys = take(load->key_count, sizeof *load->keys);
    load->history = history_create(cycles_hz / 1000 * o->timeout_ms * PATIENCE_TIMEOUTS);
    load->prefix_len = (uint32_t)strlen(o->key_prefix);
    memcpy(load->prefix, o->key_prefix, load->prefix_len);
    load->rng.state = o->seed + number;
    load_ask(load);
    load->ns_per_cycle_32 = (uint64_t)(1e9 * 4294967296. / (double)cycles_hz);
    load->late = take(UINT16_MAX + 1, sizeof *load->late);
    load->parts = take(load->slot_count, sizeof *load->parts);
    load->parts_room = o->multi_key_get * (ANSWER_AROUND_VALUE + o->sizes.max);
    if (load->parts_room > PARTS_MAX * PARTS_PAYLOAD)
        load->parts_room = PARTS_MAX * PARTS_PAYLOAD;
    load->whole = take(1, HEADER + load->parts_room);
    load->lengths = take(o->sizes.max + 1, sizeof *load->lengths);
    for (uint32_t len = 0; len <= o->sizes.max; len++) {
        char text[16];
        load->lengths[len].text_len = (uint32_t)snprintf(text, sizeof text, " %u\r\n", len);
        memcpy(load->lengths[len].text, text, LOAD_LENGTH_TEXT);
    }
}

/* --- requests ------------------------------------------------------------------------------ */

/* memtier's order: all sets of the ratio, then all gets, several in a request if they are wanted
 * so, then all deletes. */
static inline struct load_plan next_request(struct load *load)
{
    const struct options *o = load->options;
    const uint32_t at = load->ratio_at, gets_end = o->sets + o->gets;
    struct load_plan plan = {.kind = LOAD_DELETE, .keys = 1};

    if (at < o->sets) {
        plan.kind = LOAD_SET;
    } else if (at < gets_end) {
        plan.kind = LOAD_GET;
        plan.keys = (uint8_t)(gets_end - at < o->multi_key_get ? gets_end - at : o->multi_key_get);
    }
    load->ratio_at += plan.keys;
    if (load->ratio_at >= gets_end + o->deletes)
        load->ratio_at = 0;
    return plan;
}

/* Plans requests until the plan is full, and prefetches their keys' versions. */
static void make_plan(struct load *load)
{
    while (load->plan_count < PORT_BURST && load->left > 0) {
        const uint32_t at = (load->plan_first + load->plan_count++) % PORT_BURST;
        struct load_plan *plan = &load->plan[at];
        uint32_t *keys = load->plan_keys + at * load->options->multi_key_get;
        load->left--;
        *plan = load->populating ? (struct load_plan){LOAD_SET, 1} : next_request(load);
        struct pattern *pattern = load->populating         ? &load->all_keys
                                  : plan->kind == LOAD_GET ? &load->get_pattern
                                                           : &load->set_pattern;
        for (uint32_t i = 0; i < plan->keys; i++) {
            keys[i] = (uint32_t)pattern_next(pattern, &load->rng);
            __builtin_prefetch(&load->keys[keys[i]], 1);
        }
    }
}

/* When the key's write of this version was sent; 0 if nobody waits for its answer. */
static __attribute__((noinline)) uint64_t sent_when(const struct load *load, uint32_t key,
                                                    uint16_t version)
{
    for (uint32_t i = 0; i < load->slot_count; i++) {
        const struct load_slot *slot = &load->slots[i];
        if ((slot->kind == LOAD_SET || slot->kind == LOAD_DELETE) && slot->key.number == key &&
            slot->key.version == version)
            return slot->sent;
    }
    return 0;
}

static inline void name_key(const struct load *load, struct load_key *key, uint32_t number)
{
    key->number = number;
    memcpy(key->text, load->prefix, sizeof load->prefix);
    key->text_len = (uint8_t)(load->prefix_len + text_number(key->text + load->prefix_len,
                                                             load_key_number(load, number)));
}

/* The version that a request writes, or for a get the floor. */
static inline uint16_t next_version(struct load *load, const struct load_slot *slot, uint32_t key)
{
    struct versions *versions = &load->keys[key];

    if (slot->kind == LOAD_GET)
        return versions_read(load->history, versions, key);
    if (unlikely(versions_overlap(versions)))
        history_begin(load->history, versions, key, sent_when(load, key, versions->sent),
                      slot->sent);
    return versions_write(load->history, versions, key, slot->sent);
}

/* Makes the request planned at `at` in the slot and writes it to `to`. */
static void write_request(struct load *load, struct load_slot *slot, uint32_t at,
                          struct datagram *to)
{
    const struct load_plan *plan = &load->plan[at];
    const uint32_t *keys = load->plan_keys + at * load->options->multi_key_get;

    slot->id = (uint16_t)(slot->id + (1u << load->slot_bits));
    if (unlikely(load->gave_up))
        load->late[slot->id].sent = 0;
    slot->kind = plan->kind;
    slot->left = plan->keys;
    for (uint32_t i = 0; i < plan->keys; i++) {
        struct load_key *key = load_key(load, slot, plan->keys - i);
        name_key(load, key, keys[i]);
        key->version = next_version(load, slot, keys[i]);
    }
    uint64_t header = htons(slot->id) | (uint64_t)htons(1) << 32;
    memcpy(to->bytes, &header, HEADER);
    char *end = load->options->protocol->write(load, slot, (char *)to->bytes + HEADER);
    to->len = (uint16_t)(end - (char *)to->bytes);
    to->client = (uint16_t)((uint32_t)(slot - load->slots) / load->options->pipeline);
}

/* Sends up to n requests. Returns how many it sent. */
static uint32_t send_requests(struct load *load, uint64_t now, uint32_t n)
{
    struct datagram out[PORT_BURST];

    n = n < load->free_count ? n : load->free_count;
    n = n < load->plan_count ? n : load->plan_count;
    if (n == 0 || (n = load->port->prepare(load->port, out, n)) == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        struct load_slot *slot = &load->slots[load->free[load->free_count - 1 - i]];
        slot->sent = slot->due = now;
        if (load->interval > 0) {
            slot->due = (uint64_t)load->next_due;
            load->next_due += load->interval;
        }
        write_request(load, slot, (load->plan_first + i) % PORT_BURST, &out[i]);
        load->result.kinds[slot->kind].bytes += out[i].len;
    }
    load->free_count -= n;
    load->plan_count -= n;
    load->plan_first += n;
    load->port->send(load->port, out, n);
    load->result.sent += n;
    make_plan(load);
    return n;
}

/* --- answers ------------------------------------------------------------------------------- */

/* Nobody waits for the slot's answer any more, or what came isn't one. */
static void give_up(struct load *load, struct load_slot *slot, uint64_t now)
{
    for (; slot->left > 0; slot->left--) {
        const struct load_key *key = load_key(load, slot, slot->left);
        struct versions *versions = &load->keys[key->number];
        if (slot->kind == LOAD_GET)
            versions_missed(load->history, versions, key->number, key->version);
        else
            versions_give_up(load->history, versions, key->number, key->version, now);
    }
}

/* The slot, one of its client's, that may have the request. */
static inline struct load_slot *slot_of(struct load *load, const struct datagram *in)
{
    uint32_t id = (uint32_t)in->bytes[0] << 8 | in->bytes[1];
    uint32_t number = id & ((1u << load->slot_bits) - 1);

    return number - in->client * load->options->pipeline < load->options->pipeline
               ? &load->slots[number]
               : NULL;
}

/* A datagram that belongs to no request: is it at least a late answer? */
static void take_stray(struct load *load, const struct datagram *in, uint64_t now)
{
    if (!late_take(load, in, now) && ++load->result.wrong <= WRONG_SHOWN)
        fprintf(stderr, "kvload: an answer came to no request, or twice\n");
}

/* Takes a datagram that is one of several of the slot's answer, *in. When the last one is there *in
 * becomes all of it, as if it had come in one. */
static __attribute__((noinline)) enum parts_state
put_together(struct load *load, const struct load_slot *slot, struct datagram *in)
{
    static const uint8_t only[] = {0, 0, 0, 1, 0, 0}; /* part 0 of 1 */
    struct load_parts *own = &load->parts[slot - load->slots];

    if (!own->parts)
        own->parts = parts_create(load->parts_room);
    if (own->sent != slot->sent)
        parts_forget(own->parts);
    own->sent = slot->sent;
    enum parts_state state = parts_take(own->parts, in->bytes, in->len);
    if (state == PARTS_WRONG && load->options->multi_key_get > 1) {
        parts_forget(own->parts); /* memcached answers each key apart: a part of the one was lost */
        state = parts_take(own->parts, in->bytes, in->len);
    }
    if (state == PARTS_WHOLE) {
        memcpy(load->whole, in->bytes, 2);
        memcpy(load->whole + 2, only, sizeof only);
        in->bytes = load->whole;
        in->len = HEADER + parts_join(own->parts, load->whole + HEADER);
        parts_forget(own->parts);
    }
    return state;
}

static void take_answer(struct load *load, struct datagram *in, uint64_t now)
{
    static const uint64_t one_part = (uint64_t)1 << 40; /* part 0 of 1, big endian, as loaded */
    struct load_slot *slot = in->len >= HEADER ? slot_of(load, in) : NULL;
    uint64_t header;

    if (unlikely(!slot)) {
        take_stray(load, in, now);
        return;
    }
    memcpy(&header, in->bytes, HEADER);
    if (unlikely(in->len == HEADER && header >> 16 == 0))
        return; /* memcached sends an empty datagram of 0 parts before it says END */
    if (unlikely((header & 0xffff) != htons(slot->id) || slot->kind == LOAD_FREE)) {
        take_stray(load, in, now);
        return;
    }
    struct load_tally *tally = &load->result.kinds[slot->kind];
    const struct load_key *about = load_key(load, slot, slot->left > 0 ? slot->left : 1);
    enum answer answer = ANSWER_WRONG;
    enum parts_state state = PARTS_WHOLE;
    tally->bytes += in->len;
    if (unlikely(header >> 16 != one_part >> 16))
        state = put_together(load, slot, in);
    if (state == PARTS_WHOLE)
        answer = slot->kind == LOAD_GET
                     ? answer_values(load, slot, in->bytes + HEADER, in->len - HEADER, now, &about)
                     : answer_done(load, slot, in->bytes + HEADER, in->len - HEADER, now);
    if (unlikely(answer == ANSWER_GOES_ON || state == PARTS_MORE))
        return;
    if (unlikely(answer == ANSWER_WRONG)) {
        if (state == PARTS_WRONG)
            late_expect(load, slot);
        load->result.wrong++;
        wrong_show(load, slot, about, in);
        tally->misses += slot->left;
        give_up(load, slot, now);
    }
    tally->count++;
    histogram_add(&tally->latency,
                  (uint64_t)((unsigned __int128)(now - slot->due) * load->ns_per_cycle_32 >> 32));
    slot->kind = LOAD_FREE;
    load->free[load->free_count++] = (uint32_t)(slot - load->slots);
}

/* Takes a burst of answers. Their keys' versions are prefetched for all of them before the first is
 * checked. */
static uint32_t take_answers(struct load *load)
{
    struct datagram in[PORT_BURST];
    uint32_t n = load->port->receive(load->port, in);

    if (n == 0)
        return 0;
    uint64_t now = load_cycles();
    for (uint32_t i = 0; i < n; i++) {
        struct load_slot *slot = in[i].len >= HEADER ? slot_of(load, &in[i]) : NULL;
        if (likely(slot))
            __builtin_prefetch(&load->keys[slot->key.number], 1);
    }
    for (uint32_t i = 0; i < n; i++)
        take_answer(load, &in[i], now);
    load->port->release(load->port);
    return n;
}

/* Gives up requests that wait too long, and tells the histories when the oldest other was sent. */
static void look_over(struct load *load, uint64_t now)
{
    uint64_t patience = load->cycles_hz / 1000 * load->options->timeout_ms, oldest = now;

    for (uint32_t i = 0; i < load->slot_count; i++) {
        struct load_slot *slot = &load->slots[i];
        if (slot->kind == LOAD_FREE)
            continue;
        if (now < slot->sent + patience) {
            oldest = slot->sent < oldest ? slot->sent : oldest;
            continue;
        }
        late_expect(load, slot);
        give_up(load, slot, now);
        slot->kind = LOAD_FREE;
        load->free[load->free_count++] = i;
        load->result.timeouts++;
    }
    history_look(load->history, oldest);
}

/* A second is over, or the run. */
static void note_second(struct load *load)
{
    load->seconds = memory_grow(load->seconds, (load->second_count + 1) * sizeof *load->seconds);
    struct load_second *second = &load->seconds[load->second_count++];
    for (int k = 0; k < LOAD_KINDS; k++) {
        second->count[k] = load->result.kinds[k].count;
        second->latency_ns[k] = load->result.kinds[k].latency.sum;
    }
}

/* How many requests are due. */
static inline uint32_t due_now(const struct load *load, uint64_t now)
{
    if (load->interval == 0)
        return PORT_BURST;
    double late = (double)now - load->next_due;
    return late < 0                              ? 0
           : late >= PORT_BURST * load->interval ? PORT_BURST
                                                 : 1 + (uint32_t)(late / load->interval);
}

void load_run(struct load *load, const struct load_run *run)
{
    uint64_t start = load_cycles(), now = start, last = start, look = start + LOOK_CYCLES;
    uint64_t second = start;
    uint64_t stop = load_stop         ? start
                    : run->time_s > 0 ? start + (uint64_t)(run->time_s * (double)load->cycles_hz)
                                      : UINT64_MAX;
    bool spin = load->options->spin || !load->port->wait || run->rate > 0;

    load->second_count = 0;
    load->populating = run->populate;
    load->plan_count = 0;
    load->left = run->populate ? load->key_count : run->count;
    pattern_init(&load->all_keys, 'S', load->key_count, 0, 0, 0);
    load->interval = run->rate > 0 ? (double)load->cycles_hz / run->rate : 0;
    load->next_due = (double)start;
    make_plan(load);
    for (uint32_t went = 0;;) {
        uint32_t came = take_answers(load);
        uint64_t before = now;
        now = load_cycles();
        if (came > 0)
            last = now;
        load->result.busy_cycles += came + went > 0 ? now - before : 0;
        went = likely(now < stop) ? send_requests(load, now, due_now(load, now)) : 0;
        if (unlikely(now >= look)) {
            look_over(load, now);
            look = now + LOOK_CYCLES;
            stop = load_stop ? now : stop;
            if (now - second >= load->cycles_hz) {
                second += load->cycles_hz;
                note_second(load);
            }
        }
        if (load->free_count == load->slot_count && (now >= stop || load->plan_count == 0))
            break;
        if (!spin && came + went == 0)
            load->port->wait(load->port);
    }
    note_second(load);
    load->result.cycles = now - start;
    load->result.seconds = (double)(last - start) / (double)load->cycles_hz;
}
