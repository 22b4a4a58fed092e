/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of grants, event channels and the store with the real Xen and xenstored at the other end:
 * where another domain is needed, this one plays both. */
#include "boot/test.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

#include <xen/event_channel.h>
#include <xen/grant_table.h>

static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t other[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static uint16_t own_domid(void)
{
    char text[16];
    uint64_t domid = 0;
    int len = store_read(0, "domid", text, sizeof text);

    CHECK(len > 0 && parse_u64(text, (size_t)len, DOMID_FIRST_RESERVED, &domid));
    return (uint16_t)domid;
}

/* Copies the page between the place that the reference grants and `other`. Returns the status. */
static int copy(uint32_t ref, bool to_grant)
{
    struct gnttab_copy c = {.len = PAGE_SIZE};
    uint16_t domid = own_domid();

    c.source.domid = c.dest.domid = DOMID_SELF;
    c.source.u.gmfn = c.dest.u.gmfn = (uintptr_t)other / PAGE_SIZE;
    if (to_grant) {
        c.dest.domid = domid;
        c.dest.u.ref = ref;
        c.flags = GNTCOPY_dest_gref;
    } else {
        c.source.domid = domid;
        c.source.u.ref = ref;
        c.flags = GNTCOPY_source_gref;
    }
    CHECK_EQ(xen_hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uintptr_t)&c, 1), 0);
    return c.status;
}

TEST(xen_grant_lets_a_domain_read_and_write)
{
    uint32_t used = xen_grants_used(), ref = xen_grant(own_domid(), page, false);

    CHECK(ref >= GNTTAB_NR_RESERVED_ENTRIES);
    CHECK_EQ(xen_grants_used(), used + 1);
    memset(page, 0x5a, sizeof page);
    memset(other, 0, sizeof other);
    CHECK_EQ(copy(ref, false), GNTST_okay);
    CHECK_EQ(memcmp(page, other, sizeof page), 0);
    other[17] = 1;
    CHECK_EQ(copy(ref, true), GNTST_okay);
    CHECK_EQ(page[17], 1);
    CHECK(xen_grant_end(ref));
    CHECK_EQ(xen_grants_used(), used);
    CHECK(copy(ref, false) != GNTST_okay);
}

TEST(xen_grant_for_reading_only)
{
    uint32_t ref = xen_grant(own_domid(), page, true);

    CHECK_EQ(copy(ref, false), GNTST_okay);
    CHECK(copy(ref, true) != GNTST_okay);
    CHECK(xen_grant_end(ref));
}

TEST(xen_grant_to_another_domain_is_not_ours)
{
    uint32_t ref = xen_grant((uint16_t)(own_domid() + 1), page, false);

    CHECK(copy(ref, false) != GNTST_okay);
    CHECK(xen_grant_end(ref));
}

/* While it is mapped a grant can't be taken back. As Xen keeps one address for a page of a domain,
 * a domain that maps its own loses the first one; so both pages are used for nothing else. */
TEST(xen_grant_stays_while_it_is_mapped)
{
    uint8_t *place = boot_alloc(PAGE_SIZE, PAGE_SIZE), *lost = boot_alloc(PAGE_SIZE, PAGE_SIZE);
    uint32_t ref = xen_grant(own_domid(), lost, false);
    struct gnttab_map_grant_ref map = {
        .host_addr = (uintptr_t)place, .flags = GNTMAP_host_map, .ref = ref, .dom = own_domid()};

    memset(lost, 0x77, PAGE_SIZE);
    CHECK_EQ(xen_hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)&map, 1),
             0);
    CHECK_EQ(map.status, GNTST_okay);
    CHECK_EQ(place[5], 0x77);
    CHECK(!xen_grant_end(ref));
    struct gnttab_unmap_grant_ref unmap = {.host_addr = map.host_addr, .handle = map.handle};
    CHECK_EQ(
        xen_hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (uintptr_t)&unmap, 1),
        0);
    CHECK_EQ(unmap.status, GNTST_okay);
    CHECK(xen_grant_end(ref));
}

/* More than one page of the table holds; then until none is left. */
TEST(xen_grants_up_to_the_limit)
{
    uint32_t free = xen_grants_free(), used = xen_grants_used(), given = 0, ref;
    uint32_t *refs = boot_alloc(free * sizeof *refs, 8);

    CHECK(refs && free > 512);
    while ((ref = xen_grant(0, page, true)) != 0 && given < free)
        refs[given++] = ref;
    CHECK_EQ(given, free);
    CHECK_EQ(xen_grants_free(), 0);
    CHECK_EQ(xen_grants_used(), used + given);
    while (given > 0)
        CHECK(xen_grant_end(refs[--given]));
    CHECK_EQ(xen_grants_free(), free);
    CHECK_EQ(xen_grants_used(), used);
}

/* Both ends of a channel. */
static void make_channel(uint32_t *near, uint32_t *far)
{
    *near = xen_event_alloc(own_domid());
    CHECK(*near != 0);
    struct evtchn_bind_interdomain bind = {.remote_dom = DOMID_SELF, .remote_port = *near};
    CHECK_EQ(xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain,
                           (uintptr_t)&bind, 0),
             0);
    *far = bind.local_port;
    xen_event_take(*near);
    xen_event_take(*far); /* Xen sets it in case that something was missed */
}

TEST(xen_events_arrive_once)
{
    uint32_t near, far;

    make_channel(&near, &far);
    CHECK(!xen_event_take(near));
    xen_event_notify(far);
    xen_event_notify(far);
    CHECK(!xen_event_take(far));
    CHECK(xen_event_take(near));
    CHECK(!xen_event_take(near));
    xen_event_notify(near);
    CHECK(xen_event_take(far));
    xen_event_close(near);
    xen_event_close(far);
}

TEST(xen_events_end_waits_where_they_may)
{
    uint64_t interrupts = boot_interrupts(), deadline_ns;
    uint32_t near, far;

    make_channel(&near, &far);
    xen_event_notify(far);
    deadline_ns = clock_ns() + 1000000;
    boot_wait(deadline_ns);
    CHECK(clock_ns() >= deadline_ns);
    CHECK_EQ(boot_interrupts(), interrupts);
    xen_event_wake(near, true); /* counts at once */
    boot_wait(UINT64_MAX);
    CHECK_EQ(boot_interrupts(), interrupts + 1);
    CHECK(!xen_event_take(near));
    for (int i = 0; i < 100; i++) {
        xen_event_notify(far);
        boot_wait(UINT64_MAX);
    }
    CHECK_EQ(boot_interrupts(), interrupts + 101);
    xen_event_wake(near, false);
    xen_event_notify(far);
    deadline_ns = clock_ns() + 1000000;
    boot_wait(deadline_ns);
    CHECK(clock_ns() >= deadline_ns);
    CHECK(xen_event_take(near));
    xen_event_close(near);
    xen_event_close(far);
}

/* A channel that is closed takes what was said of it along. */
TEST(xen_events_of_a_closed_channel_wake_no_more)
{
    uint32_t near, far, port;

    make_channel(&near, &far);
    xen_event_wake(near, true);
    port = near;
    xen_event_close(near);
    xen_event_close(far);
    make_channel(&near, &far);
    CHECK(near == port || far == port);
    xen_event_notify(near == port ? far : near);
    uint64_t deadline_ns = clock_ns() + 1000000;
    boot_wait(deadline_ns);
    CHECK(clock_ns() >= deadline_ns);
    xen_event_close(near);
    xen_event_close(far);
}

TEST(xen_event_wait_ends_with_an_event_or_its_deadline)
{
    uint64_t start_ns = clock_ns(), deadline_ns = start_ns + 20000000;
    uint32_t near, far;

    make_channel(&near, &far);
    while (clock_ns() < deadline_ns)
        events_wait(near, deadline_ns);
    xen_event_notify(far); /* before the wait: it counts */
    events_wait(near, clock_ns() + 3600 * 1000000000ull);
    CHECK(!xen_event_take(near));
    CHECK(clock_ns() - start_ns < 3600 * 1000000000ull);
    xen_event_close(near);
    xen_event_close(far);
}

TEST(xen_events_have_a_limit)
{
    uint32_t *ports = boot_alloc(EVTCHN_2L_NR_CHANNELS * sizeof *ports, 8), count = 0;

    CHECK(ports);
    while (count < EVTCHN_2L_NR_CHANNELS && (ports[count] = xen_event_alloc(0)) != 0)
        count++;
    CHECK(count > 100 && count < EVTCHN_2L_NR_CHANNELS);
    while (count > 0)
        xen_event_close(ports[--count]);
    uint32_t port = xen_event_alloc(0);
    CHECK(port != 0);
    xen_event_close(port);
}

TEST(xen_store_has_our_folder)
{
    char names[1024], value[64];

    CHECK(store_list(0, "", names, sizeof names) == STORE_EREFUSED);
    CHECK(store_list(0, "control", names, sizeof names) > 0);
    CHECK(store_read(0, "name", value, sizeof value) > 0);
    CHECK_EQ(store_read(0, "nothing/here", value, sizeof value), STORE_ENOENT);
    CHECK_EQ(store_write(0, "/local/domain/0/name", "x"), STORE_EREFUSED);
}

/* The tools make `data` for the domain's own use. */
TEST(xen_store_keeps_what_is_written)
{
    static char longest[STORE_VALUE_MAX + 1], value[STORE_VALUE_MAX + 1];

    memset(longest, 'x', STORE_VALUE_MAX);
    CHECK_EQ(store_write(0, "data/test", longest), STORE_OK);
    CHECK_EQ(store_read(0, "data/test", value, sizeof value), STORE_VALUE_MAX);
    CHECK_STR(value, longest);
    CHECK_EQ(store_remove(0, "data/test"), STORE_OK);
    CHECK_EQ(store_read(0, "data/test", value, sizeof value), STORE_ENOENT);
}

TEST(xen_store_transactions)
{
    char value[16];
    uint32_t tx = 0;

    CHECK_EQ(store_begin(&tx), STORE_OK);
    CHECK_EQ(store_write(tx, "data/test", "1"), STORE_OK);
    CHECK_EQ(store_read(tx, "data/test", value, sizeof value), 1);
    CHECK_EQ(store_read(0, "data/test", value, sizeof value), STORE_ENOENT);
    CHECK_EQ(store_end(tx, false), STORE_OK);
    CHECK_EQ(store_read(0, "data/test", value, sizeof value), STORE_ENOENT);

    CHECK_EQ(store_begin(&tx), STORE_OK);
    CHECK_EQ(store_read(tx, "data/test", value, sizeof value), STORE_ENOENT);
    CHECK_EQ(store_write(tx, "data/test", "mine"), STORE_OK);
    CHECK_EQ(store_write(0, "data/test", "theirs"), STORE_OK);
    CHECK_EQ(store_end(tx, true), STORE_EAGAIN);
    CHECK_EQ(store_read(0, "data/test", value, sizeof value), 6);
    CHECK_EQ(store_remove(0, "data/test"), STORE_OK);
}

static bool fires(int watch)
{
    uint64_t deadline_ns = clock_ns() + store_timeout_ns;

    while (clock_ns() < deadline_ns)
        if (store_watch_fired(watch))
            return true;
    return false;
}

TEST(xen_store_watches)
{
    int watch = store_watch("data");

    CHECK(watch >= 0);
    CHECK(fires(watch));
    CHECK_EQ(store_write(0, "data/below", "1"), STORE_OK);
    CHECK(fires(watch));
    CHECK_EQ(store_remove(0, "data/below"), STORE_OK);
    CHECK(fires(watch));
    store_unwatch(watch);
    CHECK(!store_watch_fired(watch));
}
