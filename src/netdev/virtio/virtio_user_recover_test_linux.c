/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the vhost-user front end beside a back end that comes and goes. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/boot.h"
#include "netdev/virtio/virtio_user_test.h"

/* boot_wait ends by the back end's interrupt, also after another back end took the first one's
 * place while the queue was armed. */
TEST(virtio_user_back_end_interrupts)
{
    const uint64_t never_ns = UINT64_MAX;

    user_begin();
    back_end.keeps_call = true;
    CHECK_EQ(user_open(), 0);
    for (uint32_t round = 0; round < 3; round++) {
        CHECK_EQ(netdev_rx_intr(user_dev, 0, true), 0);
        uint64_t before = boot_interrupts();
        eventfd_write(back_end.call, 1);
        boot_wait(never_ns);
        CHECK_EQ(boot_interrupts(), before + 1);
        back_end_kill();
        CHECK(!netdev_recover(user_dev));
        back_end.requests = 0;
        back_end_listen();
        user_net.lost.next_try_ns = 0;
        CHECK(netdev_recover(user_dev));
        eventfd_write(back_end.call, 1);
        boot_wait(never_ns);
        CHECK_EQ(boot_interrupts(), before + 2);
        CHECK_EQ(netdev_rx_intr(user_dev, 0, false), 0);
        eventfd_write(back_end.call, 1);
        boot_wait(clock_ns() + 2000000); /* nobody listens there now */
        CHECK_EQ(boot_interrupts(), before + 2);
        CHECK_EQ(netdev_rx_intr(user_dev, 0, true), 0);
        boot_wait(never_ns); /* ... but it isn't lost */
        CHECK_EQ(boot_interrupts(), before + 3);
        CHECK_EQ(netdev_rx_intr(user_dev, 0, false), 0);
    }
    user_finish();
}

TEST(virtio_user_back_end_goes_and_comes_back)
{
    struct netdev_queue_stats stats;
    struct netbuf *packet;

    user_begin();
    CHECK_EQ(user_open(), 0);
    for (uint32_t round = 0; round < 3; round++) {
        CHECK(netdev_recover(user_dev));
        user_check_first_packet();
        for (uint8_t i = 0; i < 5; i++)
            user_send_packet(i);
        back_end_kill();
        user_net.lost.next_try_ns = 0;
        CHECK(!netdev_recover(user_dev));
        for (uint8_t i = 0; i < 2 * USER_TEST_DESCS; i++) /* the app goes on meanwhile */
            user_send_packet(i);
        CHECK_EQ(netdev_tx_room(user_dev, 0), 0);
        CHECK_EQ(netdev_rx_burst(user_dev, 0, &packet, 1), 0);
        back_end.requests = 0;
        back_end_listen();
        CHECK(!netdev_recover(user_dev)); /* too early for another try */
        user_net.lost.next_try_ns = 0;
        CHECK(netdev_recover(user_dev));
        CHECK_EQ(netdev_tx_room(user_dev, 0), USER_TEST_DESCS);
        CHECK(netdev_txq_stats(user_dev, 0, &stats));
        CHECK_EQ(stats.packets, (USER_TEST_DESCS + 1) * (round + 1));
        CHECK_EQ(stats.drops[NETDEV_DROP_STOP], USER_TEST_DESCS * (round + 1));
    }
    user_check_first_packet();
    back_end_kill();
    CHECK_EQ(netdev_stop(user_dev), 0); /* with nobody there */
    CHECK(!netdev_recover(user_dev));
    back_end_listen();
    CHECK_EQ(netdev_open(user_dev, fake_pool(), 0), 0);
    user_finish();
}

/* A look at the link at a time when the back end is asked for its status. */
static bool look_and_ask(void)
{
    user_front.ask_ns = 0;
    return netdev_recover(user_dev);
}

/* It says so only when it is asked, at the start or later. */
TEST(virtio_user_back_end_needs_a_reset)
{
    user_begin();
    back_end.needs_reset = true;
    CHECK_EQ(user_open(), NETDEV_EDEVICE);
    store_release(&back_end.needs_reset, false);
    CHECK_EQ(user_open(), 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t looks = 0; looks < 10; looks++)
            CHECK(look_and_ask());
        store_release(&back_end.needs_reset, true);
        const uint64_t end_ns = clock_ns() + netdev_control_timeout_ns;
        while (look_and_ask() && clock_ns() < end_ns)
            continue;
        CHECK(!netdev_link_up(user_dev));
        store_release(&back_end.needs_reset, false);
        user_net.lost.next_try_ns = 0;
        CHECK(netdev_recover(user_dev));
    }
    user_finish();
}

/* An answer that is late holds up no look at the link, and no request that comes later. */
TEST(virtio_user_back_end_that_is_slow_to_tell_its_status)
{
    user_begin();
    CHECK_EQ(user_open(), 0);
    back_end.manner = SILENT;
    back_end.bad_at = back_end.requests;
    const uint64_t start_ns = clock_ns();
    for (uint32_t looks = 0; looks < 20; looks++)
        CHECK(look_and_ask());
    CHECK(clock_ns() - start_ns < netdev_control_timeout_ns);
    netdev_control_timeout_ns = 20000000;
    CHECK_EQ(netdev_stop(user_dev), 0); /* this one waits for it, as for its own */
    CHECK_EQ(user_front.link.socket, -1);
    user_finish();
}
