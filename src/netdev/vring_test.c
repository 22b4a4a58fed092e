/* Tests of vring.h: the ring alone, with the device's part played by hand. */
#include "boot/test.h"
#include "netdev/vring.h"

enum { SIZE = 8 };

static struct vring_split ring;
static uint8_t memory[4096] __attribute__((aligned(CACHE_LINE)));
static int owners[SIZE];

static void begin(void)
{
    CHECK(vring_bytes(SIZE) <= sizeof memory);
    vring_setup(&ring, memory, SIZE);
}

static void post(uint32_t pieces, void *owner)
{
    struct vring_piece all[SIZE] = {{owner, 4, false}};

    vring_post(&ring, all, pieces, owner);
}

static void use(uint32_t id)
{
    ring.used->ring[ring.used->idx % SIZE] = (struct vring_used_elem){id, 9};
    ring.used->idx++;
}

TEST(vring_layout_keeps_parts_apart)
{
    for (uint32_t size = 1; size <= VRING_SIZE_MAX; size *= 2) {
        const struct vring_layout at = vring_layout(size);
        CHECK(at.avail >= size * 16 && at.avail % CACHE_LINE == 0);
        CHECK(at.used >= at.avail + 6 + 2 * size && at.used % CACHE_LINE == 0);
        CHECK(at.shadow >= at.used + 6 + 8 * size && at.shadow % CACHE_LINE == 0);
        CHECK(at.free_ids >= at.shadow + size * sizeof(struct vring_shadow));
        CHECK(at.end >= at.free_ids + 2 * size);
    }
    CHECK_PANICS(vring_setup(&ring, memory, 3));
}

TEST(vring_nothing_is_seen_before_publish)
{
    begin();
    post(1, &owners[0]);
    CHECK_EQ(ring.avail->idx, 0);
    vring_publish(&ring);
    CHECK_EQ(ring.avail->idx, 1);
    CHECK(vring_wants_kick(&ring));
    ring.used->flags = VRING_USED_F_NO_NOTIFY;
    CHECK(!vring_wants_kick(&ring));
}

TEST(vring_indices_wrap)
{
    uint32_t len;

    begin();
    for (uint32_t round = 0; round < 70000; round++) {
        uint32_t pieces = 1 + round % 3;
        post(pieces, &owners[0]);
        vring_publish(&ring);
        CHECK_EQ(vring_room(&ring), SIZE - pieces);
        CHECK_EQ(vring_waiting(&ring), 0);
        use(ring.avail->ring[round % SIZE]);
        CHECK_EQ(vring_waiting(&ring), 1);
        CHECK(vring_reap(&ring, &len) == &owners[0]);
        CHECK_EQ(len, 9);
        CHECK_EQ(vring_room(&ring), SIZE);
    }
}

TEST(vring_full_of_chains_in_any_order)
{
    uint32_t len;

    begin();
    for (uint32_t round = 0; round < 100; round++) {
        uint16_t first = ring.avail_idx;
        for (uint32_t i = 0; i < SIZE / 2; i++)
            post(2, &owners[i]);
        vring_publish(&ring);
        CHECK_EQ(vring_room(&ring), 0);
        for (uint32_t i = 0; i < SIZE / 2; i++)
            use(ring.avail->ring[(first + (i * 3 + round) % (SIZE / 2)) % SIZE]);
        for (uint32_t i = 0; i < SIZE / 2; i++)
            CHECK(vring_reap(&ring, &len) == &owners[(i * 3 + round) % (SIZE / 2)]);
        CHECK_EQ(vring_room(&ring), SIZE);
    }
}

TEST(vring_catches_lies)
{
    uint32_t len;

    begin();
    use(0);
    CHECK_EQ(vring_waiting(&ring), VRING_RUNAWAY); /* nothing is in flight */
    begin();
    post(2, &owners[0]);
    vring_publish(&ring);
    use(1); /* inside the chain */
    CHECK(vring_reap(&ring, &len) == NULL);
    begin();
    post(2, &owners[0]);
    use(SIZE);
    CHECK(vring_reap(&ring, &len) == NULL);
}

TEST(vring_takes_everything_back)
{
    uint32_t cursor = 0, len;
    struct vring_split unused = {0};

    begin();
    post(2, &owners[0]);
    post(1, &owners[1]);
    post(3, &owners[2]);
    use(2);
    CHECK(vring_reap(&ring, &len) == &owners[1]);
    CHECK(vring_take_back(&ring, &cursor) == &owners[0]);
    CHECK(vring_take_back(&ring, &cursor) == &owners[2]);
    CHECK(vring_take_back(&ring, &cursor) == NULL);
    cursor = 0;
    CHECK(vring_take_back(&unused, &cursor) == NULL);
}
