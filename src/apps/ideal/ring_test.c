/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of rings that are posted again and again, against a device in memory. */
#include "apps/ideal/ring.h"
#include "boot/boot.h"
#include "boot/test.h"

enum { SIZE = 64, BATCH = 16, ROOM = 2000, ADDR = 0x10000, TX_ADDR = 0x800000 };

/* A ring and the device's side of it. Its indices run free; they begin with 0, in round 0. */
struct side {
    struct vring_queue queue;
    struct ideal_ring ring;
    struct ideal_desc descs[SIZE];
    uint32_t taken, used;
};

static struct side rx, tx;
static enum vring_kind kind;
static const enum vring_kind kinds[] = {VRING_SPLIT, VRING_PACKED};

static uint32_t len_of(uint32_t i)
{
    return 100 + i;
}

static void begin_side(struct side *s, bool device_writes, uint64_t addr)
{
    void *memory = boot_alloc(vring_bytes(SIZE), PAGE_SIZE);

    CHECK(memory);
    *s = (struct side){0};
    vring_setup(&s->queue, kind, memory, SIZE, false);
    ideal_begin(&s->ring, &s->queue, BATCH, device_writes, s->descs);
    for (uint32_t i = 0; i < SIZE; i++)
        ideal_prepare(&s->ring, kind, i, addr + i, device_writes ? (uint32_t)ROOM : len_of(i));
}

static void begin(enum vring_kind of)
{
    kind = of;
    begin_side(&rx, true, ADDR);
    begin_side(&tx, false, TX_ADDR);
}

/* The device's round of an index, as a wrap counter. */
static bool device_wrap(uint32_t at)
{
    return !(at & SIZE);
}

/* Takes the next descriptor as virtio 1.1 says; false if none is available. */
static bool device_take(struct side *s, struct vring_desc *d)
{
    if (kind == VRING_SPLIT) {
        if ((uint16_t)s->taken == load_acquire(&s->ring.avail->idx))
            return false;
        *d = s->ring.table[s->ring.avail->ring[s->taken++ % SIZE]];
        return true;
    }
    const struct vring_packed_desc *p = &s->ring.slots[s->taken % SIZE].desc;
    const uint32_t want = device_wrap(s->taken) ? VRING_PACKED_AVAIL : VRING_PACKED_USED;
    if ((p->flags & (VRING_PACKED_AVAIL | VRING_PACKED_USED)) != want)
        return false;
    CHECK_EQ(p->id, s->taken % SIZE);
    *d = (struct vring_desc){p->addr, p->len, (uint16_t)(p->flags & VRING_DESC_F_WRITE), 0};
    s->taken++;
    return true;
}

/* Says of the descriptor at `at` that it is used. */
static void device_write_used(struct side *s, uint32_t at, uint32_t id, uint32_t len)
{
    if (kind == VRING_SPLIT) {
        s->ring.used->ring[at % SIZE] = (struct vring_used_elem){id, len};
        return;
    }
    struct vring_packed_desc *p = &s->ring.slots[at % SIZE].desc;
    p->id = (uint16_t)id;
    p->len = len;
    store_release(&p->flags, device_wrap(at) ? VRING_PACKED_AVAIL | VRING_PACKED_USED : 0);
}

static void device_publish(struct side *s, uint32_t n)
{
    s->used += n;
    if (kind == VRING_SPLIT)
        store_release(&s->ring.used->idx, (uint16_t)s->used);
}

/* Uses the next n that were taken; the first of them at the end, as DPDK does. */
static void device_use(struct side *s, uint32_t n, uint32_t len)
{
    for (uint32_t i = n; i-- > 0;)
        device_write_used(s, s->used + i, (s->used + i) % SIZE, len);
    device_publish(s, n);
}

static uint32_t turns(struct side *s)
{
    uint32_t n, posted = 0;

    while ((n = ideal_turn(&s->ring, kind)) > 0) {
        posted += n;
        CHECK_IN_TIME();
    }
    return posted;
}

TEST(ideal_posts_each_descriptor_again_and_again)
{
    struct vring_desc d;
    uint32_t seed = 1;

    for (uint32_t k = 0; k < ARRAY_LEN(kinds); k++) {
        begin(kinds[k]);
        CHECK(!device_take(&tx, &d));
        CHECK_EQ(turns(&tx), SIZE);
        for (uint32_t posted = SIZE, at = 0; at < 2000 * SIZE;) {
            const uint32_t most = (seed = seed * 1664525 + 1013904223) >> 27;
            uint32_t n = 0;
            for (; n < most && device_take(&tx, &d); n++, at++) {
                CHECK_EQ(d.addr, TX_ADDR + at % SIZE);
                CHECK_EQ(d.len, len_of(at % SIZE));
                CHECK_EQ(d.flags, 0);
            }
            device_use(&tx, n, 0);
            posted += turns(&tx);
            CHECK_EQ(posted, SIZE + tx.used / BATCH * BATCH);
        }
    }
}

TEST(ideal_waits_for_a_whole_batch)
{
    struct vring_desc d;

    for (uint32_t k = 0; k < ARRAY_LEN(kinds); k++) {
        begin(kinds[k]);
        CHECK_EQ(turns(&rx), SIZE);
        for (uint32_t i = 0; i < SIZE; i++)
            CHECK(device_take(&rx, &d) && d.flags == VRING_DESC_F_WRITE && d.len == ROOM);
        CHECK(!device_take(&rx, &d));
        device_use(&rx, BATCH - 1, 60);
        CHECK_EQ(turns(&rx), 0);
        device_use(&rx, 1, 60);
        CHECK_EQ(turns(&rx), BATCH);
        CHECK(device_take(&rx, &d) && d.addr == ADDR && d.len == ROOM);
    }
}

TEST(ideal_leaves_a_line_alone_whose_first_descriptor_is_not_used_yet)
{
    struct vring_desc d;

    begin(VRING_PACKED);
    CHECK_EQ(turns(&tx), SIZE);
    while (device_take(&tx, &d))
        ;
    for (uint32_t at = 0; at < BATCH; at++)
        if (at != IDEAL_LINE)
            device_write_used(&tx, at, at, 0);
    CHECK_EQ(turns(&tx), IDEAL_LINE); /* the line before it */
    device_write_used(&tx, IDEAL_LINE, IDEAL_LINE, 0);
    CHECK_EQ(turns(&tx), BATCH - IDEAL_LINE);
}

TEST(ideal_stops_at_an_id_out_of_order)
{
    struct vring_desc d;

    for (uint32_t k = 0; k < ARRAY_LEN(kinds); k++) {
        begin(kinds[k]);
        CHECK_EQ(turns(&tx), SIZE);
        while (device_take(&tx, &d))
            ;
        for (uint32_t at = 0; at < BATCH; at++)
            device_write_used(&tx, at, at < BATCH - 1 ? at : 0, 0);
        device_publish(&tx, BATCH);
        CHECK_EQ(turns(&tx), 0);
        device_write_used(&tx, BATCH - 1, BATCH - 1, 0);
        CHECK_EQ(turns(&tx), BATCH);
    }
}

/* Passes n packets through: the device fills buffers and takes them back. */
static void check_forwarded(uint32_t n, uint32_t came, uint32_t sent, bool *seen)
{
    struct vring_desc in, out;
    uint64_t addrs[SIZE];

    for (uint32_t i = 0; i < n; i++) {
        CHECK(device_take(&rx, &in) && in.len == ROOM);
        addrs[i] = in.addr;
    }
    CHECK_EQ(ideal_forward(&rx.ring, &tx.ring, kind), 0);
    device_use(&rx, n, came);
    for (uint32_t i = 0; i < n; i += BATCH)
        CHECK(ideal_forward(&rx.ring, &tx.ring, kind) > 0 || kind == VRING_SPLIT);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(device_take(&tx, &out) && out.flags == 0);
        CHECK_EQ(out.addr, addrs[i]);
        CHECK_EQ(out.len, sent);
        seen[out.addr < TX_ADDR ? out.addr - ADDR : SIZE + out.addr - TX_ADDR] = true;
    }
    device_use(&tx, n, 0);
}

TEST(ideal_forwards_what_came_and_receives_into_what_was_sent)
{
    for (uint32_t k = 0; k < ARRAY_LEN(kinds); k++) {
        bool seen[2 * SIZE] = {false};
        begin(kinds[k]);
        for (uint32_t i = 0; i < SIZE; i++) /* as large as those of rx */
            ideal_prepare(&tx.ring, kind, i, TX_ADDR + i, ROOM);
        CHECK_EQ(turns(&rx), SIZE);
        for (uint32_t i = 0; i < 100; i++)
            check_forwarded((1 + i % (SIZE / BATCH)) * BATCH, 76, 76, seen);
        for (uint32_t i = 0; i < ARRAY_LEN(seen); i++)
            CHECK(seen[i]);
        check_forwarded(BATCH, UINT32_MAX, ROOM, seen);
        check_forwarded(BATCH, 0, IDEAL_LEN_MIN, seen);
    }
}
