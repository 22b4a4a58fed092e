/* SPDX-License-Identifier: BSD-2-Clause */
/* A search for an order in which the operations on a key may have been done, and its tests; see
 * history_test.h. */
#include "apps/udpkv/history_test.h"
#include "boot/test.h"

/* Positions of the search from which there was no way on: which operations are done, and the value
 * after them. If the table is full the search only takes longer. */
enum { SEEN = 8192 };
static struct seen {
    uint32_t done, value;
    bool used;
} seen[SEEN];

static bool seen_before(uint32_t done, uint32_t value)
{
    uint32_t at = (done * 2654435761u ^ value * 40503u) % SEEN;

    for (uint32_t i = 0; i < 16; i++, at = (at + 1) % SEEN) {
        if (!seen[at].used) {
            seen[at] = (struct seen){done, value, true};
            return false;
        }
        if (seen[at].done == done && seen[at].value == value)
            return true;
    }
    return false;
}

/* Does the operation have its recorded result if the key's value is *value? Sets *value to the one
 * after it. */
static bool fits(const struct history_op *op, uint32_t *value)
{
    const uint32_t there = *value;

    switch (op->what) {
    case HISTORY_SET:
        *value = op->value;
        return true;
    case HISTORY_GET:
        return op->value == there;
    case HISTORY_DELETE:
        *value = 0;
        return (op->result == HISTORY_DONE) == (there != 0);
    case HISTORY_CAS:
        break;
    }
    if (op->result == HISTORY_DONE)
        *value = op->value;
    return op->result == (there == 0              ? HISTORY_MISSING
                          : there == op->expected ? HISTORY_DONE
                                                  : HISTORY_OTHER);
}

/* Is there an order for the operations that aren't done yet? One that began after another's end
 * comes later than that. */
static bool search(const struct history_op *ops, uint32_t count, uint32_t done, uint32_t value)
{
    uint32_t first_end = UINT32_MAX, left = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (done >> i & 1)
            continue;
        first_end = MIN(first_end, ops[i].end);
        left++;
    }
    if (left == 0)
        return true;
    if (seen_before(done, value))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t after = value;
        if (!(done >> i & 1) && ops[i].begin <= first_end && fits(&ops[i], &after) &&
            search(ops, count, done | 1u << i, after))
            return true;
    }
    return false;
}

bool history_linearizable(const struct history_op *ops, uint32_t count)
{
    assert(count <= HISTORY_MAX);
    memset(seen, 0, sizeof seen);
    return search(ops, count, 0, 0);
}

#define LINEARIZABLE(...)                                                                          \
    history_linearizable((const struct history_op[]){__VA_ARGS__},                                 \
                         ARRAY_LEN(((const struct history_op[]){__VA_ARGS__})))
#define SET(begin, end, value)                                                                     \
    {                                                                                              \
        HISTORY_SET, begin, end, value, 0, 0                                                       \
    }
#define GET(begin, end, value)                                                                     \
    {                                                                                              \
        HISTORY_GET, begin, end, value, 0, 0                                                       \
    }
#define DELETE(begin, end, result)                                                                 \
    {                                                                                              \
        HISTORY_DELETE, begin, end, 0, 0, HISTORY_##result                                         \
    }
#define CAS(begin, end, from, to, as)                                                              \
    {                                                                                              \
        HISTORY_CAS, begin, end, to, from, HISTORY_##as                                            \
    }

TEST(history_in_order)
{
    CHECK(LINEARIZABLE(GET(0, 1, 0), SET(2, 3, 1), GET(4, 5, 1), DELETE(6, 7, DONE), GET(8, 9, 0)));
    CHECK(LINEARIZABLE(SET(0, 1, 1), CAS(2, 3, 1, 2, DONE), CAS(4, 5, 1, 3, OTHER), GET(6, 7, 2)));
    CHECK(LINEARIZABLE(CAS(0, 1, 1, 2, MISSING), DELETE(2, 3, MISSING)));
}

/* Operations that overlap may be in either order, but in the same one for all that read. */
TEST(history_that_overlaps)
{
    CHECK(LINEARIZABLE(SET(0, 9, 1), GET(1, 2, 0), GET(3, 4, 1)));
    CHECK(LINEARIZABLE(SET(0, 9, 1), SET(1, 8, 2), GET(10, 11, 1)));
    CHECK(LINEARIZABLE(SET(0, 9, 1), SET(1, 8, 2), GET(10, 11, 2)));
    CHECK(!LINEARIZABLE(SET(0, 9, 1), GET(1, 2, 1), GET(3, 4, 0)));
    CHECK(!LINEARIZABLE(SET(0, 9, 1), SET(1, 8, 2), GET(10, 11, 1), GET(12, 13, 2)));
}

TEST(history_that_cannot_be)
{
    CHECK(!LINEARIZABLE(SET(0, 1, 1), SET(2, 3, 2), GET(4, 5, 1))); /* an old value */
    CHECK(!LINEARIZABLE(SET(0, 1, 1), GET(2, 3, 0)));               /* a lost one */
    CHECK(!LINEARIZABLE(SET(0, 1, 1), GET(2, 3, 7))); /* a value that was never written */
    CHECK(!LINEARIZABLE(SET(0, 1, 1), DELETE(2, 9, DONE), DELETE(3, 8, DONE)));
    CHECK(!LINEARIZABLE(SET(0, 1, 1), CAS(2, 9, 1, 2, DONE), CAS(3, 8, 1, 3, DONE)));
    CHECK(!LINEARIZABLE(SET(0, 1, 1), CAS(2, 3, 1, 2, OTHER)));
    CHECK(!LINEARIZABLE(SET(0, 1, 1), CAS(2, 3, 1, 2, MISSING)));
}
