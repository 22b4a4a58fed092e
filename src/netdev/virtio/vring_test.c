/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of vring.h: the rings alone, with the device's part played by hand. */
#include "boot/test.h"
#include "netdev/virtio/vring.h"

enum { SIZE = 8 };

static struct vring_queue ring;
static enum vring_kind kind;
static bool event_idx;
static uint8_t memory[4096] __attribute__((aligned(CACHE_LINE)));
static int owners[SIZE];
static uint16_t taken; /* the device's own indices: free-running chains or, packed, descriptors */
static uint16_t used;

static void begin(enum vring_kind ring_kind)
{
    CHECK(vring_bytes(SIZE) <= sizeof memory);
    kind = ring_kind;
    taken = used = 0;
    vring_setup(&ring, kind, memory, SIZE, event_idx);
}

static void post(uint32_t pieces, void *owner)
{
    struct vring_piece all[SIZE] = {{owner, 4, false}};

    vring_post(&ring, kind, all, pieces, owner);
}

/* Takes a chain as the device does; its id, or -1 if there is none. */
static int take(void)
{
    if (kind == VRING_SPLIT) {
        const struct vring_avail *avail = ring.split.avail;
        return taken == avail->idx ? -1 : avail->ring[taken++ % SIZE];
    }
    for (int id = -1;;) {
        const struct vring_packed_desc *d = &ring.packed.slots[taken % SIZE].desc;
        const bool wrap = !(taken & SIZE);
        if (id < 0 &&
            (!(d->flags & VRING_PACKED_AVAIL) == wrap || !(d->flags & VRING_PACKED_USED) != wrap))
            return -1;
        taken++;
        id = d->id;
        if (!(d->flags & VRING_DESC_F_NEXT))
            return id;
    }
}

/* Returns a chain of so many descriptors as the device does. */
static void use(uint32_t id, uint32_t descs)
{
    if (kind == VRING_SPLIT) {
        ring.split.used->ring[used++ % SIZE] = (struct vring_used_elem){id, 9};
        ring.split.used->idx = used;
        return;
    }
    struct vring_packed_desc *d = &ring.packed.slots[used % SIZE].desc;
    d->id = (uint16_t)id;
    d->len = 9;
    d->flags = used & SIZE ? 0 : VRING_PACKED_AVAIL | VRING_PACKED_USED;
    used = (uint16_t)(used + descs);
}

/* Reaps one chain; its owner or NULL. */
static void *reap(void)
{
    void *owner;
    uint32_t len;

    if (vring_reap(&ring, kind, &owner, &len, 1, vring_fetch_owner, NULL) == 0)
        return NULL;
    CHECK_EQ(len, 9);
    return owner;
}

TEST(vring_layout_keeps_parts_apart)
{
    for (uint32_t size = 1; size <= VRING_SIZE_MAX; size *= 2) {
        const struct vring_split_layout split = vring_split_layout(size);
        const struct vring_packed_layout packed = vring_packed_layout(size);
        CHECK(split.avail >= size * 16 && split.avail % CACHE_LINE == 0);
        CHECK(split.used >= split.avail + 6 + 2 * size && split.used % CACHE_LINE == 0);
        CHECK(split.flight >= split.used + 6 + 8 * size && split.flight % CACHE_LINE == 0);
        CHECK(split.end >= split.flight + vring_flight_bytes(size));
        CHECK(packed.driver_event >= size * 16 && packed.driver_event % CACHE_LINE == 0);
        CHECK_EQ(packed.device_event, packed.driver_event + CACHE_LINE);
        CHECK_EQ(packed.flight, packed.device_event + CACHE_LINE);
        CHECK(packed.end >= packed.flight + vring_flight_bytes(size));
        CHECK(vring_bytes(size) >= split.end && vring_bytes(size) >= packed.end);
    }
    CHECK_PANICS(vring_setup(&ring, VRING_SPLIT, memory, 3, false));
    CHECK_PANICS(vring_setup(&ring, VRING_PACKED, memory, 3, false));
}

static void nothing_is_seen_before_publish(enum vring_kind ring_kind)
{
    begin(ring_kind);
    for (uint32_t round = 0; round < 100; round++) {
        uint32_t count = 1 + round % 4;
        for (uint32_t i = 0; i < count; i++)
            post(1 + i % 2, &owners[i]);
        CHECK_EQ(take(), -1);
        CHECK(!reap());
        vring_publish(&ring, kind);
        for (uint32_t i = 0; i < count; i++) {
            int id = take();
            CHECK(id >= 0);
            use((uint32_t)id, 1 + i % 2);
            CHECK(reap() == &owners[i]);
        }
        vring_publish(&ring, kind); /* nothing new */
        CHECK_EQ(take(), -1);
        CHECK_EQ(vring_known(&ring, kind), 0);
    }
}

TEST(vring_nothing_is_seen_before_publish)
{
    nothing_is_seen_before_publish(VRING_SPLIT);
    nothing_is_seen_before_publish(VRING_PACKED);
}

TEST(vring_kicks_are_wanted_or_not)
{
    begin(VRING_SPLIT);
    CHECK(vring_wants_kick(&ring, kind));
    ring.split.used->flags = VRING_USED_F_NO_NOTIFY;
    CHECK(!vring_wants_kick(&ring, kind));
    begin(VRING_PACKED);
    CHECK(vring_wants_kick(&ring, kind));
    ring.packed.device_event->fields.flags = VRING_PACKED_EVENT_FLAG_DISABLE;
    CHECK(!vring_wants_kick(&ring, kind));
    CHECK_EQ(ring.packed.driver_event->fields.flags, VRING_PACKED_EVENT_FLAG_DISABLE);
}

static void indices_wrap(enum vring_kind ring_kind)
{
    begin(ring_kind);
    for (uint32_t round = 0; round < 70000; round++) {
        uint32_t pieces = 1 + round % 3;
        post(pieces, &owners[0]);
        vring_publish(&ring, kind);
        CHECK_EQ(vring_room(&ring, kind), SIZE - pieces);
        CHECK(!reap());
        int id = take();
        CHECK(id >= 0);
        CHECK(!reap());
        use((uint32_t)id, pieces);
        CHECK(reap() == &owners[0]);
        CHECK_EQ(vring_room(&ring, kind), SIZE);
    }
}

TEST(vring_indices_wrap)
{
    indices_wrap(VRING_SPLIT);
    indices_wrap(VRING_PACKED);
}

static void full_of_chains_in_any_order(enum vring_kind ring_kind)
{
    int ids[SIZE / 2];

    begin(ring_kind);
    for (uint32_t round = 0; round < 100; round++) {
        void *got[SIZE];
        for (uint32_t i = 0; i < SIZE / 2; i++)
            post(2, &owners[i]);
        vring_publish(&ring, kind);
        CHECK_EQ(vring_room(&ring, kind), 0);
        for (uint32_t i = 0; i < SIZE / 2; i++)
            CHECK((ids[i] = take()) >= 0);
        CHECK_EQ(take(), -1);
        for (uint32_t i = 0; i < SIZE / 2; i++)
            use((uint32_t)ids[(i * 3 + round) % (SIZE / 2)], 2);
        CHECK_EQ(vring_reap(&ring, kind, got, NULL, SIZE, vring_fetch_owner, NULL), SIZE / 2);
        for (uint32_t i = 0; i < SIZE / 2; i++)
            CHECK(got[i] == &owners[(i * 3 + round) % (SIZE / 2)]);
        CHECK_EQ(vring_room(&ring, kind), SIZE);
    }
}

TEST(vring_full_of_chains_in_any_order)
{
    full_of_chains_in_any_order(VRING_SPLIT);
    full_of_chains_in_any_order(VRING_PACKED);
}

static void catches_lies(enum vring_kind ring_kind)
{
    static const uint32_t ids[] = {1, SIZE, UINT16_MAX};

    for (uint32_t i = 0; i < ARRAY_LEN(ids); i++) {
        begin(ring_kind);
        post(2, &owners[0]); /* split: 1 is inside the chain */
        post(1, &owners[1]);
        vring_publish(&ring, kind);
        use(0, 2);
        use(ids[i] == 1 && kind == VRING_PACKED ? 0 : ids[i], 1); /* packed: a second time */
        CHECK(reap() == &owners[0]);
        CHECK(!vring_broken(&ring, kind));
        CHECK_EQ(vring_known(&ring, kind), 1);
        CHECK(!reap());
        CHECK(vring_broken(&ring, kind));
    }
    begin(ring_kind);
    use(0, 1); /* nothing is in flight */
    CHECK(!reap());
    CHECK(vring_broken(&ring, kind));
}

TEST(vring_catches_lies)
{
    catches_lies(VRING_SPLIT);
    catches_lies(VRING_PACKED);
}

/* Every descriptor marked as used, all with the same id: it's believed once. */
TEST(vring_packed_all_used_at_once)
{
    void *got[SIZE];

    begin(VRING_PACKED);
    for (uint32_t i = 0; i < SIZE; i++)
        post(1, &owners[i]);
    vring_publish(&ring, kind);
    for (uint32_t i = 0; i < SIZE; i++)
        use(3, 1);
    CHECK_EQ(vring_reap(&ring, kind, got, NULL, SIZE, vring_fetch_owner, NULL), 1);
    CHECK(got[0] == &owners[3] && vring_broken(&ring, kind));
}

static void takes_everything_back(enum vring_kind ring_kind)
{
    uint32_t cursor = 0;
    struct vring_queue unused = {0};

    begin(ring_kind);
    post(2, &owners[0]);
    post(1, &owners[1]);
    post(3, &owners[2]);
    vring_publish(&ring, kind);
    CHECK(take() >= 0);
    int second = take();
    use((uint32_t)second, 1);
    CHECK(reap() == &owners[1]);
    CHECK(vring_take_back(&ring, &cursor) == &owners[0]);
    CHECK(vring_take_back(&ring, &cursor) == &owners[2]);
    CHECK(vring_take_back(&ring, &cursor) == NULL);
    cursor = 0;
    CHECK(vring_take_back(&unused, &cursor) == NULL);
}

TEST(vring_takes_everything_back)
{
    takes_everything_back(VRING_SPLIT);
    takes_everything_back(VRING_PACKED);
}
