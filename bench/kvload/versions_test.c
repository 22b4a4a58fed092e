/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * versions_test.c - tests versions.c against a search for an order that explains all answers:
 * random operations on one key, whose answers are a register's, or made up. Prints `ok NAME` for
 * each test, ends with 1 at the first that fails.
 */
#include "check.h"
#include "pattern.h"
#include "versions.h"

enum { MOST = 40, SPAN = 4000, PATIENCE = 1000 };

struct operation {
    bool is_write, lost;
    uint64_t asked, at, end; /* at: when the register does it */
    uint16_t version;        /* written or found */
    uint16_t floor;          /* of a get */
};

static struct rng rng = {4711};

static struct operation ops[MOST];
static uint32_t count;
static struct history *histories[2]; /* one forgets what is lost */
static struct history *history;      /* that is told now */
static uint64_t last_end;

static uint64_t below(uint64_t n)
{
    return rng_below(&rng, n);
}

/* Is there an order of the operations that aren't in the set `done`, if `there` is found now? What
 * is answered must be in it, what was lost may be. */
static bool explained(uint32_t done, uint16_t there)
{
    uint64_t first_end = UINT64_MAX;
    bool left = false;

    for (uint32_t i = 0; i < count; i++) {
        if (done >> i & 1 || ops[i].lost)
            continue;
        left = true;
        first_end = ops[i].end < first_end ? ops[i].end : first_end;
    }
    for (uint32_t i = 0; left && i < count; i++) {
        if (done >> i & 1 || ops[i].asked > first_end)
            continue;
        if ((ops[i].is_write || ops[i].version == there) &&
            explained(done | 1u << i, ops[i].version))
            return true;
    }
    return !left;
}

/* Random operations after a first write, which is version 1. Their versions follow the order in
 * which they are asked. */
static void draw(uint32_t wanted, uint32_t width, bool lossy)
{
    uint16_t version = 1;

    ops[0] = (struct operation){.is_write = true, .asked = 1, .at = 2, .end = 3, .version = 1};
    last_end = 3;
    for (count = 1; count < wanted; count++) {
        struct operation *op = &ops[count];
        *op = (struct operation){.is_write = below(2)};
        op->asked = ops[count - 1].asked + 3 + 3 * below(4);
        op->at = op->asked + 1 + 3 * below(width);
        op->end = op->at + 1 + 3 * below(width);
        op->lost = lossy && op->is_write && below(4) == 0;
        if (op->lost && below(2) == 0)
            op->at = below(2) ? UINT64_MAX /* never */ : op->end + 2 + 3 * below(20);
        if (op->is_write)
            op->version = ++version;
        last_end = op->end > last_end ? op->end : last_end;
    }
    CHECK(last_end < SPAN);
}

/* What a register answers. */
static void answer(void)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t latest = 0;
        for (uint32_t j = 0; !ops[i].is_write && j < count; j++) {
            if (!ops[j].is_write || ops[j].at >= ops[i].at || ops[j].at < latest)
                continue;
            latest = ops[j].at;
            ops[i].version = ops[j].version;
        }
    }
}

/* Tells versions.h of them, moment by moment, as of a key of its own; false if that calls an answer
 * wrong. */
static bool told(void)
{
    static uint32_t key;
    struct versions v = {0};
    bool right = true;

    key++;
    for (uint64_t at = 1; right && at <= last_end; at++) {
        const uint64_t before = (uint64_t)key * SPAN, now = before + at;
        uint64_t oldest = at;
        for (uint32_t i = 0; right && i < count; i++) {
            struct operation *op = &ops[i];
            if (op->end != at)
                continue;
            if (op->lost)
                versions_give_up(history, &v, key, op->version, now);
            else if (op->is_write)
                right = versions_written(history, &v, key, op->version, now);
            else
                right = versions_found(history, &v, key, op->version, op->floor, before + op->asked,
                                       now);
        }
        for (uint32_t i = 0; i < count; i++)
            if (ops[i].asked <= at && ops[i].end > at && ops[i].asked < oldest)
                oldest = ops[i].asked;
        if (below(3) == 0)
            history_look(history, before + oldest);
        for (uint32_t i = 0; right && i < count; i++) {
            struct operation *op = &ops[i];
            if (op->asked != at)
                continue;
            if (!op->is_write) {
                op->floor = versions_read(history, &v, key);
                continue;
            }
            uint64_t asked = 0;
            for (uint32_t j = 0; j < i; j++)
                if (ops[j].is_write && ops[j].version == v.sent && ops[j].end > at)
                    asked = before + ops[j].asked;
            if (versions_overlap(&v))
                history_begin(history, &v, key, asked, now);
            CHECK(versions_write(history, &v, key, now) == op->version);
        }
    }
    return right;
}

static void what_a_register_answers_is_right(void)
{
    for (uint32_t i = 0; i < 3000; i++) {
        draw(2 + (uint32_t)below(MOST - 2), 1 + (uint32_t)below(40), i % 2);
        answer();
        CHECK(told());
    }
}

static void what_no_order_explains_is_wrong(void)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < 60000; i++) {
        draw(3 + (uint32_t)below(7), 1 + (uint32_t)below(8), i % 2);
        answer();
        uint16_t last = 1;
        for (uint32_t j = 0; j < count; j++)
            last = ops[j].version > last ? ops[j].version : last;
        for (uint32_t changes = 1 + (uint32_t)below(3); changes > 0; changes--) {
            struct operation *op = &ops[below(count)];
            if (!op->is_write)
                op->version = (uint16_t)(1 + below(last));
        }
        bool right = explained(0, 0);
        wrong += !right;
        CHECK(told() == right);
    }
    CHECK(wrong > 5000);
}

/* Two writes that overlapped leave no trace once the second is all that can be found. */
static void a_history_ends(void)
{
    struct versions v = {0};
    const uint32_t key = 0;

    CHECK(versions_write(history, &v, key, 10) == 1 && versions_overlap(&v));
    history_begin(history, &v, key, 10, 20);
    CHECK(versions_write(history, &v, key, 20) == 2 && history_find(history, key));
    CHECK(versions_written(history, &v, key, 2, 30) && versions_written(history, &v, key, 1, 31));
    uint16_t floor = versions_read(history, &v, key);
    CHECK(versions_found(history, &v, key, 1, floor, 40, 50)); /* either may be last */
    floor = versions_read(history, &v, key);
    CHECK(!versions_found(history, &v, key, 2, floor, 60, 70)); /* it was 1 */
    CHECK(versions_write(history, &v, key, 80) == 3);
    CHECK(versions_written(history, &v, key, 3, 90));
    history_look(history, 100);
    floor = versions_read(history, &v, key);
    CHECK(versions_found(history, &v, key, 3, floor, 110, 120));
    CHECK(v.proved == 3 && v.sent == 3 && !history_find(history, key));
}

/* A write that nobody heard of again may be found for a while, then never more. */
static void a_lost_write_is_forgotten(void)
{
    struct versions v = {0};
    const uint32_t key = 0;
    history = histories[1];
    CHECK(versions_write(history, &v, key, 10) == 1 && versions_written(history, &v, key, 1, 11));
    CHECK(versions_write(history, &v, key, 20) == 2);
    versions_give_up(history, &v, key, 2, 30);
    history_begin(history, &v, key, 0, 40);
    CHECK(versions_write(history, &v, key, 40) == 3 && versions_written(history, &v, key, 3, 50));
    uint16_t floor = versions_read(history, &v, key);
    CHECK(versions_found(history, &v, key, 2, floor, 60, 70)); /* it came late */
    for (uint64_t now = 100; now <= 100 + 2 * PATIENCE; now += 2 * PATIENCE) {
        uint16_t version = versions_write(history, &v, key, now);
        versions_give_up(history, &v, key, version, now + 1);
        version = versions_write(history, &v, key, now + 2);
        CHECK(versions_written(history, &v, key, version, now + 3));
    }
    history_look(history, 100 + 4 * PATIENCE);
    floor = versions_read(history, &v, key);
    CHECK(versions_found(history, &v, key, v.sent, floor, 100 + 4 * PATIENCE, 101 + 4 * PATIENCE));
    CHECK(!history_find(history, key));
}

int main(void)
{
    histories[0] = history_create(UINT64_MAX / 2);
    histories[1] = history_create(PATIENCE);
    history = histories[0];
    RUN(what_a_register_answers_is_right);
    RUN(what_no_order_explains_is_wrong);
    RUN(a_history_ends);
    RUN(a_lost_write_is_forgotten);
}
