/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of vring.h: when the device is kicked and when it interrupts, by flags and by event
 * indices. The test does what a device has to do by section 2.6.7 or 2.7.14 of virtio 1.1. */
#include "boot/test.h"
#include "netdev/virtio/vring.h"

enum { SIZE = 8 };

static struct vring_queue ring;
static enum vring_kind kind;
static bool event_idx;
static uint8_t memory[4096] __attribute__((aligned(CACHE_LINE)));
static int owner;
static uint16_t taken; /* the device's own indices, free-running: chains or, packed, descriptors */
static uint16_t used;

static void begin(enum vring_kind ring_kind, bool with_event_idx)
{
    kind = ring_kind;
    event_idx = with_event_idx;
    taken = used = 0;
    vring_setup(&ring, kind, memory, SIZE, event_idx);
}

static void publish(uint32_t chains)
{
    const struct vring_piece piece = {&owner, 4, false};

    for (uint32_t i = 0; i < chains; i++)
        vring_post(&ring, kind, &piece, 1, &owner);
    vring_publish(&ring, kind);
}

/* The device takes and finishes a chain, in order: each has one descriptor, and its id is that of
 * its place. True if it interrupts. */
static bool finish(void)
{
    const uint16_t at = used++;

    taken = used;
    if (kind == VRING_SPLIT) {
        ring.split.used->ring[at % SIZE] = (struct vring_used_elem){at % SIZE, 9};
        ring.split.used->idx = used;
        CHECK(!event_idx || ring.split.avail->flags == 0);
        return event_idx ? ring.split.avail->ring[SIZE] == at
                         : !(ring.split.avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
    }
    struct vring_packed_desc *d = &ring.packed.slots[at % SIZE].desc;
    const struct vring_packed_desc_event *event = &ring.packed.driver_event->fields;
    const uint16_t wrap = !(at & SIZE);
    d->id = at % SIZE;
    d->len = 9;
    d->flags = wrap ? VRING_PACKED_AVAIL | VRING_PACKED_USED : 0;
    CHECK(event_idx || event->flags != VRING_PACKED_EVENT_FLAG_DESC);
    return event->flags == VRING_PACKED_EVENT_FLAG_ENABLE ||
           (event->flags == VRING_PACKED_EVENT_FLAG_DESC &&
            event->off_wrap == (at % SIZE | wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
}

static uint32_t reap(uint32_t n)
{
    void *owners[SIZE];

    return vring_reap(&ring, kind, owners, NULL, n, vring_fetch_owner, NULL);
}

/* The device asks for a kick at the chain that is published next. */
static void wants_next(void)
{
    const uint16_t wrap = !(taken & SIZE);

    if (kind == VRING_SPLIT && event_idx)
        ring.split.used->ring[SIZE].id = taken; /* avail_event stands behind the last entry */
    else if (kind == VRING_SPLIT)
        ring.split.used->flags = 0;
    else if (event_idx)
        ring.packed.device_event->fields = (struct vring_packed_desc_event){
            (uint16_t)(taken % SIZE | wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
            VRING_PACKED_EVENT_FLAG_DESC};
    else
        ring.packed.device_event->fields.flags = VRING_PACKED_EVENT_FLAG_ENABLE;
}

/* The four of them: each kind, by flags and by index. */
static void with_each(void (*test)(void))
{
    for (uint32_t i = 0; i < 4; i++) {
        begin(i & 1 ? VRING_PACKED : VRING_SPLIT, i & 2);
        test();
    }
}

/* Long enough for indices to wrap. */
static void armed_is_told_once(void)
{
    for (uint32_t round = 0; round < 70000; round++) {
        uint32_t ahead = round % 3; /* finished before it is armed, and reaped */
        publish(ahead + 2);
        for (uint32_t i = 0; i < ahead; i++)
            CHECK(!finish());
        CHECK_EQ(reap(SIZE), ahead);
        CHECK(!vring_arm(&ring));
        CHECK(finish());
        CHECK(vring_arm(&ring)); /* it has something now */
        CHECK_EQ(reap(SIZE), 1);
        vring_disarm(&ring);
        CHECK(!finish());
        CHECK_EQ(reap(SIZE), 1);
        CHECK_EQ(reap(SIZE), 0);
    }
}

TEST(vring_armed_is_told_once)
{
    with_each(armed_is_told_once);
}

static void arming_sees_what_waits(void)
{
    CHECK(!vring_arm(&ring)); /* nothing is in flight */
    vring_disarm(&ring);
    publish(3);
    CHECK(!finish());
    CHECK(vring_arm(&ring));
    vring_disarm(&ring);
    CHECK(!finish());
    CHECK_EQ(reap(1), 1); /* a split ring knows of the other one without a look */
    CHECK(vring_arm(&ring));
    CHECK_EQ(reap(1), 1);
    CHECK(!vring_arm(&ring));
    CHECK(finish());
}

TEST(vring_arming_sees_what_waits)
{
    with_each(arming_sees_what_waits);
}

/* With an index the device is interrupted for once; by flags, until it is disarmed. */
static void index_is_passed_once(void)
{
    publish(4);
    CHECK(!vring_arm(&ring));
    CHECK(finish());
    CHECK_EQ(finish(), !event_idx);
    CHECK_EQ(finish(), !event_idx);
    vring_disarm(&ring);
    CHECK(!finish());
    CHECK_EQ(reap(SIZE), 4);
}

TEST(vring_index_is_passed_once)
{
    with_each(index_is_passed_once);
}

/* The device's index is more than was posted: arming finds that, so that nobody waits, and the next
 * reap says that the ring is broken. */
TEST(vring_arming_a_broken_ring)
{
    for (uint32_t i = 0; i < 2; i++) {
        begin(VRING_SPLIT, i);
        publish(1);
        ring.split.used->idx = 2;
        CHECK(vring_arm(&ring));
        CHECK_EQ(reap(1), 0);
        CHECK(vring_broken(&ring, kind));
        CHECK(vring_arm(&ring));
    }
}

/* --- kicks ---------------------------------------------------------------------------------- */

static void kicks_at_the_named_chain(void)
{
    for (uint32_t round = 0; round < 70000; round++) {
        const uint32_t count = 1 + round % SIZE;
        wants_next();
        publish(count);
        CHECK(vring_wants_kick(&ring, kind)); /* the named one is the first of several */
        if (event_idx)
            CHECK(!vring_wants_kick(&ring, kind)); /* nothing new */
        for (uint32_t i = 0; i < count; i++)
            finish();
        CHECK_EQ(reap(SIZE), count);
        if (!event_idx)
            continue;
        publish(1 + round % 5); /* the device looks by itself now: it names nothing new */
        CHECK(!vring_wants_kick(&ring, kind));
        for (uint32_t i = 0; i < 1 + round % 5; i++)
            finish();
        CHECK_EQ(reap(SIZE), 1 + round % 5);
    }
}

TEST(vring_kicks_at_the_named_chain)
{
    with_each(kicks_at_the_named_chain);
}

/* The device names any of the chains to come; the kick comes with the publish that passes it. */
static void kicks_when_it_is_passed(void)
{
    for (uint32_t round = 0; round < 5000; round++) {
        const uint32_t named = round % SIZE;
        const uint16_t old = taken;
        taken = (uint16_t)(taken + named);
        wants_next();
        taken = old;
        for (uint32_t i = 0; i < SIZE; i++) {
            publish(1);
            CHECK_EQ(vring_wants_kick(&ring, kind), event_idx ? i == named : true);
        }
        for (uint32_t i = 0; i < SIZE; i++)
            finish();
        CHECK_EQ(reap(SIZE), SIZE);
    }
}

TEST(vring_kicks_when_it_is_passed)
{
    with_each(kicks_when_it_is_passed);
}

/* Two publishes, one look: the chain named is among those of the first. */
static void looks_after_several_publishes(void)
{
    for (uint32_t round = 0; round < 1000; round++) {
        wants_next();
        publish(2);
        publish(3);
        CHECK(vring_wants_kick(&ring, kind));
        for (uint32_t i = 0; i < 5; i++)
            finish();
        CHECK_EQ(reap(SIZE), 5);
    }
}

TEST(vring_looks_after_several_publishes)
{
    with_each(looks_after_several_publishes);
}

/* A device that names chains there are none of, or writes values that mean nothing, breaks nothing
 * of ours; once it says again what it wants, it gets that. */
TEST(vring_hostile_events)
{
    for (uint32_t value = 0; value <= UINT16_MAX; value++) {
        begin(VRING_SPLIT, true);
        publish(3);
        ring.split.used->ring[SIZE].id = value;
        CHECK_EQ(vring_wants_kick(&ring, kind), value < 3);
        begin(VRING_PACKED, true);
        publish(3);
        ring.packed.device_event->fields =
            (struct vring_packed_desc_event){(uint16_t)value, VRING_PACKED_EVENT_FLAG_DESC};
        const bool kicks = vring_wants_kick(&ring, kind);
        CHECK((value & 0x7fff) >= SIZE || kicks == (value >= 1u << 15 && (value & 0x7fff) < 3));
        ring.packed.device_event->fields.flags = (uint16_t)value;
        ring.packed.device_event->fields.off_wrap = 0x7fff;
        publish(1);
        CHECK_EQ(vring_wants_kick(&ring, kind),
                 value != VRING_PACKED_EVENT_FLAG_DISABLE && value != VRING_PACKED_EVENT_FLAG_DESC);
        wants_next();
        CHECK(!vring_wants_kick(&ring, kind));
        CHECK(!vring_broken(&ring, kind));
    }
}
