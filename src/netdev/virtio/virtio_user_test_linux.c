/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the vhost-user front end, against a back end in a thread. */
#define _GNU_SOURCE
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "netdev/virtio/virtio_user_test.h"

struct virtio_user user_front;
struct virtio_net user_net;
struct netdev *const user_dev = &user_net.base;

enum { ALL_EXTENSIONS = 1 << 0 | 1 << 3 | 1 << 16, ACK = 1 << 3 };
static const uint64_t all_features =
    VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
    VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
    VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_BIT(30);

/* --- set-up --------------------------------------------------------------------------------- */

static int first_free_fd(void)
{
    int fd = dup(STDOUT_FILENO);

    close(fd);
    return fd;
}

static int fd_before;

void user_begin(void)
{
    const struct virtio_net old = user_net;

    if (user_dev->state == NETDEV_STARTED)
        netdev_stop(user_dev); /* a test before this one failed */
    fake_pool();
    fd_before = first_free_fd();
    netdev_control_timeout_ns = 1000000000;
    back_end_reset();
    back_end.features = all_features;
    back_end.extensions = UINT64_MAX;
    back_end.pairs = 1;
    back_end_listen();
    virtio_user_attach(&user_front, back_end.path);
    memset(&user_net, 0, sizeof user_net); /* but for the rings' memory, as nothing gives it back */
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        user_net.rx[q].memory = old.rx[q].memory;
        user_net.rx[q].memory_bytes = old.rx[q].memory_bytes;
        user_net.tx[q].memory = old.tx[q].memory;
        user_net.tx[q].memory_bytes = old.tx[q].memory_bytes;
    }
}

int user_open_pairs(uint16_t pairs)
{
    struct netdev_rxq_conf rx[NETDEV_MAX_QUEUE_PAIRS];
    struct netdev_txq_conf tx[NETDEV_MAX_QUEUE_PAIRS];
    int error = virtio_net_init(&user_net, &user_front.base);

    for (uint16_t q = 0; q < pairs; q++) {
        rx[q] = (struct netdev_rxq_conf){.descs = USER_TEST_DESCS, .pool = fake_pool()};
        tx[q] = (struct netdev_txq_conf){.descs = USER_TEST_DESCS};
    }
    return error ? error : netdev_open_queues(user_dev, pairs, rx, tx, 0);
}

int user_open(void)
{
    return user_open_pairs(1);
}

/* Ends all and checks that no buffer and no descriptor is left over. */
void user_finish(void)
{
    if (user_dev->ops && user_dev->state == NETDEV_STARTED)
        CHECK_EQ(netdev_stop(user_dev), 0);
    CHECK(netbuf_pool_whole(fake_pool()));
    vhost_user_close(&user_front.link);
    for (uint32_t q = 0; q < VIRTIO_USER_QUEUES; q++)
        if (user_front.call[q] >= 0)
            close(user_front.call[q]);
    back_end_kill();
    CHECK_EQ(first_free_fd(), fd_before);
}

/* Where the back end sees what is at an address of ours. */
static void *theirs(uint64_t address)
{
    return back_end.memory + (address - (uintptr_t)linux_memory.start);
}

/* The last request of a kind for a ring. */
static const struct back_end_message *last(uint32_t request, uint32_t q)
{
    for (int i = MIN(back_end.requests, (int)BACK_END_LOG) - 1; i >= 0; i--)
        if (back_end.log[i].request == request && (back_end.log[i].payload.state.index & 0xff) == q)
            return &back_end.log[i];
    CHECK(!"a request that was expected wasn't sent");
    return NULL;
}

void user_send_packet(uint8_t first)
{
    struct netbuf *packet = fake_packet(first, 100);

    if (netdev_tx_burst(user_dev, 0, &packet, 1) == 0)
        netbuf_free(packet);
}

/* The back end takes a packet from the ring as it begins, and gives it back. */
void user_check_first_packet(void)
{
    const struct vhost_vring_addr addr = last(9, VIRTIO_NET_TX)->payload.addr;
    const struct vring_avail *avail = theirs(addr.avail_user_addr);
    const struct vring_desc *desc = theirs(addr.desc_user_addr);
    struct vring_used *used = theirs(addr.used_user_addr);

    CHECK_EQ(last(10, VIRTIO_NET_TX)->payload.state.num, 0);
    CHECK(avail->idx == 0 && used->idx == 0);
    user_send_packet(7);
    CHECK_EQ(avail->idx, 1);
    desc += avail->ring[0];
    CHECK_EQ(desc->len, VIRTIO_NET_HEADER + 100);
    CHECK(fake_counts_up((uint8_t *)theirs(desc->addr) + VIRTIO_NET_HEADER, 7, 100));
    used->ring[0].id = avail->ring[0];
    store_release(&used->idx, 1);
    CHECK_EQ(netdev_tx_reclaim(user_dev, 0), 1);
}

/* --- tests ---------------------------------------------------------------------------------- */

static void check_requests(int from, const uint8_t *want, int count)
{
    CHECK_EQ(back_end.requests - from, count);
    for (int i = 0; i < count; i++)
        CHECK_EQ(back_end.log[from + i].request, want[i]);
}

TEST(virtio_user_handshake_with_all_extensions)
{
    static const uint8_t opens[] = {1,  15, 16, 17, 3,  39, 39, 39, /* examined */
                                    39, 39, 39, 39, 2,  5,  39, 40, /* negotiated */
                                    8,  10, 9,  12, 13, 18, 8,  10,
                                    9,  12, 13, 18, 39, 40}; /* begun */
    static const uint8_t stops[] = {18, 11, 18, 11, 39};
    const uint64_t our_memory = (uintptr_t)linux_memory.start;
    uint64_t kicks;

    user_begin();
    CHECK_EQ(user_open(), 0);
    check_requests(0, opens, sizeof opens);
    for (int i = 0; i < back_end.requests; i++) {
        const struct back_end_message *m = &back_end.log[i];
        bool reads = m->request == 1 || m->request == 15 || m->request == 17 || m->request == 40;
        CHECK_EQ(m->flags, i < 4 || reads ? 1 : 1 | 8);
        CHECK_EQ(back_end.had_fd[i], m->request == 5 || m->request == 12 || i == 20);
    }
    CHECK_EQ(back_end.log[2].payload.u64, ALL_EXTENSIONS);
    CHECK_EQ(back_end.log[12].payload.u64, VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(30));
    CHECK_EQ(back_end.log[13].payload.table[0], 1);
    CHECK_EQ(back_end.log[13].payload.table[1], our_memory);
    CHECK_EQ(back_end.log[13].payload.table[2], linux_memory.len);
    CHECK_EQ(back_end.log[13].payload.table[3], our_memory);
    CHECK_EQ(back_end.log[13].payload.table[4], 0);
    CHECK_EQ(back_end.log[16].payload.state.num, USER_TEST_DESCS);
    CHECK_EQ(back_end.log[20].payload.u64, VIRTIO_NET_RX); /* interrupts come for one queue */
    CHECK_EQ(back_end.log[26].payload.u64, VIRTIO_NET_TX | 0x100);
    CHECK_EQ(back_end.status, 15);
    CHECK(!back_end.was_kicked_early);
    for (uint32_t q = 0; q < 2; q++) /* a ring starts at its first kick */
        CHECK(read(back_end.kick[q], &kicks, sizeof kicks) == sizeof kicks && kicks >= 1);
    user_check_first_packet();
    CHECK(read(back_end.kick[1], &kicks, sizeof kicks) == sizeof kicks && kicks == 1);
    int before = back_end.requests;
    CHECK_EQ(netdev_stop(user_dev), 0);
    check_requests(before, stops, sizeof stops);
    CHECK_EQ(back_end.status, 0);
    user_finish();
}

TEST(virtio_user_handshake_without_extensions)
{
    static const uint8_t all[] = {1, 3, 2, 5, 8, 10, 9, 12, 13, 8, 10, 9, 12, 13, 11, 11};

    user_begin();
    back_end.features &= ~VIRTIO_BIT(30);
    CHECK_EQ(user_open(), 0);
    CHECK_EQ(netdev_stop(user_dev), 0); /* ... whose replies tell that all before is done */
    check_requests(0, all, sizeof all);
    CHECK_EQ(back_end.log[2].payload.u64, VIRTIO_BIT(VIRTIO_F_VERSION_1));
    CHECK_EQ(netdev_open(user_dev, fake_pool(), 0), 0); /* over the same connection */
    user_finish();
    CHECK_EQ(back_end.requests, 16 + 14);
}

TEST(virtio_user_rings_of_several_pairs)
{
    static const uint8_t stops[] = {18, 11, 18, 11, 18, 11, 18, 11, 39};
    const uint64_t mq = VIRTIO_BIT(VIRTIO_NET_F_MQ);
    uint64_t kicks;

    user_begin();
    back_end.features |= mq;
    back_end.pairs = 2;
    CHECK_EQ(user_open_pairs(3), NETDEV_EINVAL);
    for (uint32_t round = 0; round < 2; round++) {
        CHECK_EQ(user_open_pairs(2), 0);
        CHECK_EQ(last(2, 0)->payload.u64 & mq, mq);
        for (uint32_t q = 0; q < 4; q++) {
            CHECK_EQ(last(18, q)->payload.state.num, 1);
            CHECK_EQ(last(8, q)->payload.state.num, USER_TEST_DESCS);
            CHECK(read(back_end.kick[q], &kicks, sizeof kicks) == sizeof kicks && kicks >= 1);
        }
        user_check_first_packet();
        struct netbuf *packet = fake_packet(9, 100);
        CHECK_EQ(netdev_tx_burst(user_dev, 1, &packet, 1), 1);
        CHECK(read(back_end.kick[3], &kicks, sizeof kicks) == sizeof kicks && kicks == 1);
        int before = back_end.requests;
        CHECK_EQ(netdev_stop(user_dev), 0);
        check_requests(before, stops, sizeof stops);
        for (uint32_t q = 0; q < BACK_END_RINGS; q++)
            close(back_end.kick[q]);
        back_end.requests = 0; /* the log begins anew */
    }
    CHECK_EQ(user_open_pairs(1), 0); /* over the same connection */
    CHECK_EQ(last(2, 0)->payload.u64 & mq, 0);
    user_finish();
}

TEST(virtio_user_numbers_of_pairs)
{
    static const struct {
        uint64_t pairs, max;
    } numbers[] = {{1, 1}, {5, 5}, {8, 8}, {9, 8}, {128, 8}, {1ull << 32, 8}, {UINT64_MAX, 8}};
    struct netdev_info info;

    for (uint32_t i = 0; i < 2 * ARRAY_LEN(numbers); i++) {
        const bool mq = i % 2; /* or the rings' side says that it serves one pair alone */
        user_begin();
        back_end.features |= mq ? VIRTIO_BIT(VIRTIO_NET_F_MQ) : 0;
        back_end.pairs = numbers[i / 2].pairs;
        CHECK_EQ(virtio_net_init(&user_net, &user_front.base), 0);
        netdev_info(user_dev, &info);
        CHECK_EQ(info.queue_pairs_max, mq ? numbers[i / 2].max : 1);
        user_finish();
    }
}

/* The one that comes back has fewer pairs than are in use. */
TEST(virtio_user_back_end_comes_back_with_fewer_pairs)
{
    user_begin();
    back_end.features |= VIRTIO_BIT(VIRTIO_NET_F_MQ);
    back_end.pairs = 2;
    CHECK_EQ(user_open_pairs(2), 0);
    for (uint64_t pairs = 0; pairs <= 2; pairs++) {
        back_end_kill();
        user_net.lost.next_try_ns = 0;
        CHECK(!netdev_recover(user_dev));
        back_end.requests = 0;
        back_end.pairs = pairs;
        back_end_listen();
        user_net.lost.next_try_ns = 0;
        CHECK_EQ(netdev_recover(user_dev), pairs == 2);
    }
    user_check_first_packet();
    user_finish();
}

TEST(virtio_user_packed_rings_begin_with_their_wrap_counters_set)
{
    struct virtio_queue_place place = {.size = 4};

    user_begin();
    back_end.features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    CHECK_EQ(virtio_negotiate(&user_front.base,
                              VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_PACKED)),
             0);
    CHECK(user_front.base.ops->queue_enable(&user_front.base, 1, &place));
    CHECK_EQ(last(10, 1)->payload.state.num, 0x80008000);
    CHECK(!user_front.base.ops->queue_enable(&user_front.base, 1, &place)); /* once is enough */
    CHECK(!user_front.base.ops->queue_enable(&user_front.base, 2, &place)); /* there is one pair */
    CHECK_EQ(virtio_reset(&user_front.base), 0);
    user_finish();
}

TEST(virtio_user_says_no_features_but_its_own)
{
    struct netdev_info info;

    user_begin();
    back_end.features = UINT64_MAX;
    CHECK_EQ(virtio_net_init(&user_net, &user_front.base), 0);
    netdev_info(user_dev, &info);
    CHECK_STR(info.driver, "virtio-net over vhost-user");
    CHECK(strncmp(info.where, "vhost-user ..", 13) == 0);
    CHECK_EQ(info.mtu_bytes, 1500);
    CHECK_EQ(info.rx_descs_max, VIRTIO_NET_DESCS_MAX);
    CHECK_EQ(user_net.offered & (VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_MTU) |
                                 VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_BIT(30)),
             0);
    user_finish();
}

TEST(virtio_user_takes_no_back_end_that_can_not_serve)
{
    user_begin();
    back_end.features &= ~VIRTIO_BIT(VIRTIO_F_VERSION_1);
    CHECK_EQ(user_open(), NETDEV_EDEVICE);
    user_finish();
    user_begin();
    back_end.pairs = 0;
    CHECK_EQ(user_open(), NETDEV_EDEVICE);
    user_finish();
    user_begin();
    back_end.drops_features_ok = true;
    CHECK_EQ(user_open(), NETDEV_EDEVICE);
    user_finish();
}

TEST(virtio_user_refused_requests_are_errors)
{
    static const uint32_t requests[] = {2, 3, 5, 8, 9, 10, 12, 13, 18};

    for (uint32_t i = 0; i < ARRAY_LEN(requests); i++) {
        user_begin();
        back_end.refuses = requests[i];
        CHECK_EQ(user_open(), NETDEV_EDEVICE);
        user_finish();
    }
}

/* At every request in turn, in every manner; whatever comes of it, nothing is left behind and no
 * wait is long. */
static void check_manner(enum back_end_manner manner, uint64_t extensions, int requests)
{
    for (int at = 0; at < requests; at++) {
        user_begin();
        netdev_control_timeout_ns = 4000000;
        back_end.extensions = extensions;
        back_end.manner = manner;
        back_end.bad_at = at;
        uint64_t start_ns = clock_ns();
        int error = user_open();
        /* What it did wrong then wanted no answer; where there are acknowledgements, it has done
         * all that it was told. */
        if (!error && netdev_recover(user_dev) && user_front.extensions & ACK)
            user_check_first_packet();
        CHECK(!back_end.was_bad || manner == REFUSES || error || back_end.requests > requests);
        CHECK(clock_ns() - start_ns < 2000000000);
        user_finish();
    }
}

TEST(virtio_user_back_end_that_closes_at_any_request)
{
    check_manner(CLOSES, ALL_EXTENSIONS, 30);
    check_manner(CLOSES, 0, 26);
}

TEST(virtio_user_back_end_that_falls_silent_at_any_request)
{
    check_manner(SILENT, ALL_EXTENSIONS, 30);
}

TEST(virtio_user_replies_that_are_cut_or_wrong)
{
    for (uint32_t manner = HALF; manner < BACK_END_MANNERS; manner++)
        check_manner((enum back_end_manner)manner, ALL_EXTENSIONS, 30);
}

TEST(virtio_user_nobody_listens)
{
    user_begin();
    back_end_kill();
    CHECK(virtio_user_connect(&user_front) != NULL);
    uint64_t start_ns = clock_ns();
    CHECK_EQ(user_open(), NETDEV_EDEVICE);
    CHECK(clock_ns() - start_ns < netdev_control_timeout_ns / 2);
    back_end_listen();
    CHECK_EQ(user_open(), 0);
    user_finish();
    static char path[] =
        "/tmp/x12345678901234567890123456789012345678901234567890123456789012345678901"
        "23456789012345678901234567890";
    virtio_user_attach(&user_front, path);
    CHECK(virtio_user_connect(&user_front) != NULL);
}
