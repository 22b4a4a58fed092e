/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the tap driver; one end of a pair of sockets that keep frames apart is its interface. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "boot/test.h"
#include "netdev/received_test.h"
#include "netdev/tap/tap.h"

enum { BUFS = 32, BUF_BYTES = 1664, HEADROOM = 64, ROOM = BUF_BYTES - HEADROOM, CANARY = 0x5a };
enum { FRAME_MAX = 1500 + 18, HOSTILE_MAX = 65535 };
static struct tap tap;
static struct netdev *const dev = &tap.base;
static struct netbuf_pool *pool;
static int host; /* the other end */
static uint8_t bytes[HOSTILE_MAX], received[HOSTILE_MAX + 1];

/* --- the interface -----------------------------------------------------------------------------
 */

static enum tap_state state;
static int attach_error;

static enum tap_state look_at_fake(const struct tap *t)
{
    CHECK(t == &tap);
    return state;
}

static int attach_fake(const struct tap *t)
{
    CHECK(t == &tap && state == TAP_GONE);
    if (!attach_error)
        state = TAP_UP;
    return attach_error;
}

static const struct tap_port fake_port = {look_at_fake, attach_fake};

/* --- set-up --------------------------------------------------------------------------------- */

static void close_sockets(void)
{
    if (tap.fd > 0)
        close(tap.fd);
    if (host > 0)
        close(host);
    tap.fd = host = -1;
}

static void begin(void)
{
    const struct netbuf_pool_conf conf = {
        .name = "tap", .count = BUFS, .buf_bytes = BUF_BYTES, .headroom_bytes = HEADROOM};
    int ends[2];

    if (dev->state == NETDEV_STARTED)
        netdev_stop(dev); /* a test before this one failed */
    close_sockets();
    if (!pool)
        pool = netbuf_pool_create(&conf);
    CHECK(pool && netbuf_pool_whole(pool));
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
    tap_init(&tap, &fake_port, "ring0", NULL);
    tap.fd = ends[0];
    host = ends[1];
    state = TAP_UP;
    attach_error = 0;
    CHECK_EQ(netdev_open(dev, pool, UINT32_MAX), 0);
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void end_tap(void)
{
    CHECK_EQ(netdev_stop(dev), 0);
    CHECK(netbuf_pool_whole(pool));
    close_sockets();
}

static uint64_t rx_drops(enum netdev_drop reason)
{
    return tap.rx.base.stats.drops[reason];
}

static uint64_t tx_drops(void)
{
    return tap.tx.base.stats.drops[NETDEV_DROP_BAD_META];
}

static void host_sends(size_t len)
{
    CHECK(send(host, bytes, len, 0) == (ssize_t)len);
}

/* One frame of that length comes, and no other. */
static void check_comes(size_t len)
{
    struct netbuf *nb;

    CHECK_EQ(netdev_rx_burst(dev, 0, &nb, 1), 1);
    CHECK_EQ(nb->len, len);
    CHECK(!nb->next && nb->flags == 0 && netbuf_headroom(nb) == HEADROOM);
    CHECK(memcmp(nb->data, bytes, len) == 0);
    netbuf_free(nb);
    CHECK_EQ(netdev_rx_burst(dev, 0, &nb, 1), 0);
}

static struct netbuf *frame(uint32_t len)
{
    struct netbuf *nb = netbuf_alloc(pool);

    CHECK(nb && netbuf_append(nb, len));
    memcpy(nb->data, bytes, len);
    return nb;
}

static uint32_t send_one(struct netbuf *nb)
{
    return netdev_tx_burst(dev, 0, &nb, 1);
}

static void check_host_gets(size_t len)
{
    CHECK_EQ(recv(host, received, sizeof received, 0), len);
    CHECK(memcmp(received, bytes, len) == 0);
}

static void check_host_gets_nothing(void)
{
    CHECK(recv(host, received, sizeof received, 0) < 0 && errno == EAGAIN);
}

/* --- receiving ------------------------------------------------------------------------------ */

TEST(tap_receives_frames_one_by_one)
{
    begin();
    host_sends(14);
    check_comes(14);
    host_sends(FRAME_MAX);
    check_comes(FRAME_MAX);
    host_sends(ROOM); /* more than the MTU says, and there is room for it */
    check_comes(ROOM);
    CHECK_EQ(tap.rx.base.stats.packets, 3);
    CHECK_EQ(tap.rx.base.stats.bytes, 14 + FRAME_MAX + ROOM);
    CHECK_EQ(tap.rx.base.stats.bursts, 3);
    end_tap();
}

TEST(tap_receives_bursts)
{
    struct netbuf *bufs[BUFS];

    begin();
    for (uint32_t i = 0; i < 10; i++)
        host_sends(60 + i);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs, 0), 0);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs, 4), 4);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs + 4, BUFS - 4), 6);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(bufs[i]->len, 60 + i);
    netbuf_free_bulk(bufs, 10);
    end_tap();
}

/* Writes CANARY over all of the pool's memory, or counts the bytes that differ from it. */
static size_t paint(bool check)
{
    size_t len, differ = 0;
    uint8_t *memory = (uint8_t *)(uintptr_t)netbuf_pool_memory(pool, &len);

    for (size_t i = 0; i < len; i++)
        if (check)
            differ += memory[i] != CANARY;
        else
            memory[i] = CANARY;
    return differ;
}

static void check_room_untouched(void)
{
    CHECK(tap.next);
    memset(tap.next->data, CANARY, ROOM);
    CHECK_EQ(paint(true), 0);
}

TEST(tap_drops_frames_that_are_too_short_or_too_long)
{
    static const uint32_t lens[] = {0, 1, 13, ROOM + 1, ROOM + 2, BUF_BYTES, 9000, HOSTILE_MAX};
    struct netbuf *nb;

    begin();
    paint(false);
    for (uint32_t i = 0; i < ARRAY_LEN(lens); i++) {
        host_sends(lens[i]);
        CHECK_EQ(netdev_rx_burst(dev, 0, &nb, 1), 0);
        CHECK_EQ(rx_drops(NETDEV_DROP_BAD_LEN), i + 1);
        check_room_untouched();
    }
    host_sends(100);
    check_comes(100);
    end_tap();
}

TEST(tap_receives_hostile_lengths_within_its_buffer)
{
    uint64_t good = 0;
    struct netbuf *nb;

    begin();
    paint(false);
    for (uint32_t i = 0; i < 2000; i++) {
        const uint64_t random = boot_random();
        const uint32_t len = (uint32_t)(random % (random >> 32 & 1 ? 2 * ROOM : HOSTILE_MAX + 1));
        host_sends(len);
        if (netdev_rx_burst(dev, 0, &nb, 1) == 1) {
            check_received(nb, 0);
            CHECK(!nb->next && nb->len == len && len <= ROOM);
            CHECK(memcmp(nb->data, bytes, len) == 0);
            memset(nb->data, CANARY, ROOM);
            netbuf_free(nb);
            good++;
        }
        if (tap.next)
            memset(tap.next->data, CANARY, ROOM);
    }
    CHECK_EQ(paint(true), 0);
    CHECK_EQ(tap.rx.base.stats.packets, good);
    CHECK_EQ(rx_drops(NETDEV_DROP_BAD_LEN), 2000 - good);
    CHECK(good > 100 && good < 1900);
    end_tap();
}

TEST(tap_leaves_frames_where_they_are_without_a_buffer)
{
    struct netbuf *bufs[BUFS + 1];

    begin();
    for (uint32_t i = 0; i <= BUFS; i++)
        host_sends(60 + i);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs, BUFS + 1), BUFS);
    CHECK_EQ(rx_drops(NETDEV_DROP_NO_BUF), 1);
    CHECK(tap.rx.base.empty);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs + BUFS, 1), 0);
    CHECK_EQ(rx_drops(NETDEV_DROP_NO_BUF), 2);
    netbuf_free_bulk(bufs, BUFS);
    check_comes(60 + BUFS);
    CHECK(!tap.rx.base.empty);
    end_tap();
}

/* --- transmitting --------------------------------------------------------------------------- */

TEST(tap_sends_frames_one_by_one)
{
    struct netbuf *bufs[3];

    begin();
    for (uint32_t i = 0; i < 3; i++)
        bufs[i] = frame(14 + 700 * i);
    CHECK_EQ(netdev_tx_burst(dev, 0, bufs, 3), 3);
    for (uint32_t i = 0; i < 3; i++)
        check_host_gets(14 + 700 * i);
    CHECK_EQ(send_one(frame(FRAME_MAX)), 1);
    check_host_gets(FRAME_MAX);
    CHECK_EQ(tap.tx.base.stats.packets, 4);
    CHECK_EQ(tap.tx.base.stats.bytes, 3 * 14 + 3 * 700 + FRAME_MAX);
    CHECK_EQ(tap.tx.base.stats.bursts, 2);
    CHECK(netdev_tx_room(dev, 0) > 0);
    CHECK_EQ(netdev_tx_reclaim(dev, 0), 0);
    end_tap();
}

TEST(tap_takes_and_counts_what_can_not_be_sent)
{
    struct netbuf *chained, *partial;

    begin();
    chained = frame(60);
    netbuf_chain(chained, frame(60));
    partial = frame(60);
    partial->flags = NETBUF_CSUM_PARTIAL;
    CHECK_EQ(send_one(chained), 1);
    CHECK_EQ(send_one(partial), 1);
    CHECK_EQ(send_one(frame(0)), 1);
    CHECK_EQ(send_one(frame(13)), 1);
    CHECK_EQ(send_one(frame(FRAME_MAX + 1)), 1);
    CHECK_EQ(tx_drops(), 5);
    check_host_gets_nothing();
    CHECK_EQ(tap.tx.base.stats.packets, 0);
    CHECK_EQ(send_one(frame(60)), 1);
    check_host_gets(60);
    end_tap();
}

/* The kernel refuses to write to the one, and to read from the other. */
TEST(tap_counts_what_the_kernel_refuses)
{
    const int zero = open("/dev/zero", O_RDONLY), folder = open("/", O_RDONLY | O_DIRECTORY);
    struct netbuf *nb;

    begin();
    CHECK(zero >= 0 && dup2(zero, tap.fd) == tap.fd);
    CHECK_EQ(send_one(frame(60)), 1);
    CHECK_EQ(tx_drops(), 1);
    CHECK(netdev_tx_room(dev, 0) > 0);
    CHECK(folder >= 0 && dup2(folder, tap.fd) == tap.fd);
    CHECK_EQ(netdev_rx_burst(dev, 0, &nb, 1), 0);
    CHECK_EQ(rx_drops(NETDEV_DROP_BAD_META), 1);
    close(zero);
    close(folder);
    end_tap();
}

TEST(tap_does_not_take_what_has_no_room)
{
    struct netbuf *bufs[2];
    uint32_t taken = 0;

    begin();
    while (netdev_tx_room(dev, 0) > 0 && taken < 100000) {
        bufs[0] = frame(1000);
        bufs[1] = frame(1000);
        const uint32_t n = netdev_tx_burst(dev, 0, bufs, 2);
        netbuf_free_bulk(bufs + n, 2 - n);
        taken += n;
    }
    CHECK(taken > 0 && taken < 100000);
    CHECK_EQ(tap.tx.base.stats.packets, taken);
    CHECK_EQ(tx_drops(), 0);
    for (uint32_t i = 0; i < taken; i++)
        check_host_gets(1000);
    CHECK_EQ(send_one(frame(60)), 1);
    check_host_gets(60);
    CHECK(netdev_tx_room(dev, 0) > 0);
    end_tap();
}

/* --- waiting -------------------------------------------------------------------------------- */

TEST(tap_ends_a_wait)
{
    const uint64_t interrupts = boot_interrupts();

    begin();
    CHECK_EQ(netdev_rx_intr(dev, 0, true), 0);
    host_sends(60);
    boot_wait(UINT64_MAX);
    CHECK_EQ(boot_interrupts() - interrupts, 1);
    CHECK_EQ(netdev_rx_intr(dev, 0, true), NETDEV_EAGAIN); /* a frame waits: it isn't armed */
    boot_wait(clock_ns() + 1000000);
    CHECK_EQ(boot_interrupts() - interrupts, 1);
    check_comes(60); /* waiting has left it whole */
    CHECK_EQ(netdev_rx_intr(dev, 0, true), 0);
    CHECK_EQ(netdev_rx_intr(dev, 0, false), 0);
    host_sends(60);
    boot_wait(clock_ns() + 1000000);
    CHECK_EQ(boot_interrupts() - interrupts, 1);
    end_tap();
}

/* --- the interface comes and goes ----------------------------------------------------------- */

TEST(tap_comes_back_with_its_interface)
{
    const uint64_t interrupts = boot_interrupts();
    struct netbuf *nb;

    begin();
    CHECK(netdev_recover(dev));
    state = TAP_DOWN;
    CHECK(!netdev_recover(dev) && !tap.rx.base.broken);
    state = TAP_GONE;
    attach_error = ENODEV;
    CHECK(!netdev_recover(dev) && !netdev_link_up(dev));
    host_sends(60); /* nobody looks */
    CHECK_EQ(netdev_rx_burst(dev, 0, &nb, 1), 0);
    nb = frame(60);
    CHECK_EQ(netdev_tx_burst(dev, 0, &nb, 1), 0);
    CHECK_EQ(netdev_tx_room(dev, 0), 0);
    netbuf_free(nb);
    CHECK_EQ(netdev_rx_intr(dev, 0, true), 0); /* but not waited for */
    boot_wait(clock_ns() + 1000000);
    CHECK_EQ(boot_interrupts(), interrupts);
    attach_error = EPERM; /* another user's */
    CHECK(!netdev_recover(dev) && tap.rx.base.broken);
    attach_error = 0;
    CHECK(netdev_recover(dev));
    check_comes(60);
    CHECK_EQ(send_one(frame(60)), 1);
    check_host_gets(60);
    CHECK(netdev_recover(dev));
    end_tap();
}

/* --- control -------------------------------------------------------------------------------- */

TEST(tap_tells_of_itself)
{
    static const uint8_t mac[6] = {2, 1, 2, 3, 4, 5};
    struct netdev_info info;
    struct tap one, two;

    tap_init(&one, &fake_port, "a-name-of-fifte", NULL);
    tap_init(&two, &fake_port, "b", NULL);
    CHECK((one.mac[0] & 3) == 2 && (two.mac[0] & 3) == 2);
    CHECK(memcmp(one.mac, two.mac, 6) != 0);
    tap_init(&two, &fake_port, "b", mac);
    netdev_info(&one.base, &info);
    CHECK_STR(info.where, "tap a-name-of-fifte");
    CHECK_EQ(info.mtu_bytes, 1500);
    CHECK_EQ(info.offloads, 0);
    CHECK_EQ(info.rx_buf_min_bytes, FRAME_MAX);
    netdev_info(&two.base, &info);
    CHECK(memcmp(info.mac, mac, 6) == 0);
    tap_limit_mtu(&two, 65535);
    netdev_info(&two.base, &info);
    CHECK(info.mtu_max_bytes > 3800 && info.rx_buf_min_bytes <= PAGE_SIZE - 2 * CACHE_LINE);
}

TEST(tap_has_one_queue_pair_and_keeps_its_limits)
{
    const struct netdev_conf two = {.queue_pairs = 2};

    begin();
    CHECK_EQ(netdev_set_promisc(dev, true), 0);
    CHECK_EQ(netdev_set_promisc(dev, false), 0);
    CHECK_EQ(netdev_stop(dev), 0);
    CHECK_EQ(netdev_configure(dev, &two), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(dev, 1501), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(dev, 576), 0);
    CHECK_EQ(netdev_open(dev, pool, 0), 0);
    CHECK_EQ(send_one(frame(576 + 18)), 1);
    check_host_gets(576 + 18);
    CHECK_EQ(send_one(frame(576 + 19)), 1);
    CHECK_EQ(tx_drops(), 1);
    end_tap();
}
