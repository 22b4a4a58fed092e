/* Tests of the vhost-user front end, against a back end in a thread. */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "netdev/vhost_user_fake_test.h"
#include "netdev/virtio_fake_test.h"
#include "netdev/virtio_user.h"

enum { DESCS = 16 };

static struct virtio_user user;
static struct virtio_net net;
static struct netdev *const dev = &net.base;

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

static void begin(void)
{
    const struct virtio_net old = net;

    if (dev->state == NETDEV_STARTED)
        netdev_stop(dev); /* a test before this one failed */
    fake_pool();
    fd_before = first_free_fd();
    netdev_control_timeout_ns = 1000000000;
    back_end_reset();
    back_end.features = all_features;
    back_end.extensions = UINT64_MAX;
    back_end.pairs = 1;
    back_end_listen();
    virtio_user_attach(&user, back_end.path);
    memset(&net, 0, sizeof net); /* but for the rings' memory, as nothing gives it back */
    net.rx.memory = old.rx.memory;
    net.rx.memory_bytes = old.rx.memory_bytes;
    net.tx.memory = old.tx.memory;
    net.tx.memory_bytes = old.tx.memory_bytes;
}

static int open_device(void)
{
    const struct netdev_conf conf = {.queue_pairs = 1};
    const struct netdev_rxq_conf rx = {.descs = DESCS, .pool = fake_pool()};
    const struct netdev_txq_conf tx = {.descs = DESCS};
    int error = virtio_net_init(&net, &user.base);

    if (!error && !(error = netdev_configure(dev, &conf)) &&
        !(error = netdev_rxq_setup(dev, 0, &rx)) && !(error = netdev_txq_setup(dev, 0, &tx)))
        error = netdev_start(dev);
    return error;
}

/* Ends all and checks that no buffer and no descriptor is left over. */
static void finish(void)
{
    if (dev->ops && dev->state == NETDEV_STARTED)
        CHECK_EQ(netdev_stop(dev), 0);
    CHECK(netbuf_pool_whole(fake_pool()));
    vhost_user_close(&user.link);
    for (uint32_t q = 0; q < VIRTIO_USER_QUEUES; q++)
        if (user.call[q] >= 0)
            close(user.call[q]);
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

static void send_packet(uint8_t first)
{
    struct netbuf *packet = fake_packet(first, 100);

    if (netdev_tx_burst(dev, 0, &packet, 1) == 0)
        netbuf_free(packet);
}

/* The back end takes a packet from the ring as it begins, and gives it back. */
static void check_first_packet(void)
{
    const struct vhost_vring_addr addr = last(9, VIRTIO_NET_TX)->payload.addr;
    const struct vring_avail *avail = theirs(addr.avail_user_addr);
    const struct vring_desc *desc = theirs(addr.desc_user_addr);
    struct vring_used *used = theirs(addr.used_user_addr);

    CHECK_EQ(last(10, VIRTIO_NET_TX)->payload.state.num, 0);
    CHECK(avail->idx == 0 && used->idx == 0);
    send_packet(7);
    CHECK_EQ(avail->idx, 1);
    desc += avail->ring[0];
    CHECK_EQ(desc->len, VIRTIO_NET_HEADER + 100);
    CHECK(fake_counts_up((uint8_t *)theirs(desc->addr) + VIRTIO_NET_HEADER, 7, 100));
    used->ring[0].id = avail->ring[0];
    store_release(&used->idx, 1);
    CHECK_EQ(netdev_tx_reclaim(dev, 0), 1);
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
                                    8,  10, 9,  12, 13, 18, 8,  10, 9, 12, 13, 18, 39};
    static const uint8_t stops[] = {18, 11, 18, 11, 39};
    const uint64_t our_memory = (uintptr_t)linux_memory.start;
    uint64_t kicks;

    begin();
    CHECK_EQ(open_device(), 0);
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
    CHECK_EQ(back_end.log[16].payload.state.num, DESCS);
    CHECK_EQ(back_end.log[20].payload.u64, VIRTIO_NET_RX); /* interrupts come for one queue */
    CHECK_EQ(back_end.log[26].payload.u64, VIRTIO_NET_TX | 0x100);
    CHECK_EQ(back_end.status, 15);
    for (uint32_t q = 0; q < 2; q++) /* a ring starts at its first kick */
        CHECK(read(back_end.kick[q], &kicks, sizeof kicks) == sizeof kicks && kicks >= 1);
    check_first_packet();
    CHECK(read(back_end.kick[1], &kicks, sizeof kicks) == sizeof kicks && kicks == 1);
    int before = back_end.requests;
    CHECK_EQ(netdev_stop(dev), 0);
    check_requests(before, stops, sizeof stops);
    CHECK_EQ(back_end.status, 0);
    finish();
}

TEST(virtio_user_handshake_without_extensions)
{
    static const uint8_t all[] = {1, 3, 2, 5, 8, 10, 9, 12, 13, 8, 10, 9, 12, 13, 11, 11};

    begin();
    back_end.features &= ~VIRTIO_BIT(30);
    CHECK_EQ(open_device(), 0);
    CHECK_EQ(netdev_stop(dev), 0); /* ... whose replies tell that all before is done */
    check_requests(0, all, sizeof all);
    CHECK_EQ(back_end.log[2].payload.u64, VIRTIO_BIT(VIRTIO_F_VERSION_1));
    CHECK_EQ(netdev_open(dev, fake_pool(), 0), 0); /* over the same connection */
    finish();
    CHECK_EQ(back_end.requests, 16 + 14);
}

TEST(virtio_user_packed_rings_begin_with_their_wrap_counters_set)
{
    struct virtio_queue_place place = {.size = 4};

    begin();
    back_end.features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    CHECK_EQ(virtio_negotiate(&user.base,
                              VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_PACKED)),
             0);
    CHECK(user.base.ops->queue_enable(&user.base, 1, &place));
    CHECK_EQ(last(10, 1)->payload.state.num, 0x80008000);
    CHECK(!user.base.ops->queue_enable(&user.base, 1, &place)); /* once is enough */
    CHECK(!user.base.ops->queue_enable(&user.base, 2, &place)); /* there is one pair */
    CHECK_EQ(virtio_reset(&user.base), 0);
    finish();
}

TEST(virtio_user_says_no_features_but_its_own)
{
    struct netdev_info info;

    begin();
    back_end.features = UINT64_MAX;
    CHECK_EQ(virtio_net_init(&net, &user.base), 0);
    netdev_info(dev, &info);
    CHECK_STR(info.driver, "virtio-net over vhost-user");
    CHECK(strncmp(info.where, "vhost-user ..", 13) == 0);
    CHECK_EQ(info.mtu_bytes, 1500);
    CHECK_EQ(info.rx_descs_max, VIRTIO_NET_DESCS_MAX);
    CHECK_EQ(net.offered & (VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_MTU) |
                            VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) | VIRTIO_BIT(30)),
             0);
    finish();
}

TEST(virtio_user_takes_no_back_end_that_can_not_serve)
{
    begin();
    back_end.features &= ~VIRTIO_BIT(VIRTIO_F_VERSION_1);
    CHECK_EQ(open_device(), NETDEV_EDEVICE);
    finish();
    begin();
    back_end.pairs = 0;
    CHECK_EQ(open_device(), NETDEV_EDEVICE);
    finish();
    begin();
    back_end.drops_features_ok = true;
    CHECK_EQ(open_device(), NETDEV_EDEVICE);
    finish();
}

TEST(virtio_user_refused_requests_are_errors)
{
    static const uint32_t requests[] = {2, 3, 5, 8, 9, 10, 12, 13, 18};

    for (uint32_t i = 0; i < ARRAY_LEN(requests); i++) {
        begin();
        back_end.refuses = requests[i];
        CHECK_EQ(open_device(), NETDEV_EDEVICE);
        finish();
    }
}

/* At every request in turn, in every manner; whatever comes of it, nothing is left behind and no
 * wait is long. */
static void check_manner(enum back_end_manner manner, uint64_t extensions, int requests)
{
    for (int at = 0; at < requests; at++) {
        begin();
        netdev_control_timeout_ns = 4000000;
        back_end.extensions = extensions;
        back_end.manner = manner;
        back_end.bad_at = at;
        uint64_t start_ns = clock_ns();
        int error = open_device();
        /* What it did wrong then wanted no answer; where there are acknowledgements, it has done
         * all that it was told. */
        if (!error && netdev_link_up(dev) && user.extensions & ACK)
            check_first_packet();
        CHECK(!back_end.was_bad || manner == REFUSES || error || back_end.requests > requests);
        CHECK(clock_ns() - start_ns < 2000000000);
        finish();
    }
}

TEST(virtio_user_back_end_that_closes_at_any_request)
{
    check_manner(CLOSES, ALL_EXTENSIONS, 29);
    check_manner(CLOSES, 0, 26);
}

TEST(virtio_user_back_end_that_falls_silent_at_any_request)
{
    check_manner(SILENT, ALL_EXTENSIONS, 29);
}

TEST(virtio_user_replies_that_are_cut_or_wrong)
{
    for (uint32_t manner = HALF; manner < BACK_END_MANNERS; manner++)
        check_manner((enum back_end_manner)manner, ALL_EXTENSIONS, 29);
}

TEST(virtio_user_nobody_listens)
{
    begin();
    back_end_kill();
    CHECK(virtio_user_connect(&user) != NULL);
    uint64_t start_ns = clock_ns();
    CHECK_EQ(open_device(), NETDEV_EDEVICE);
    CHECK(clock_ns() - start_ns < netdev_control_timeout_ns / 2);
    back_end_listen();
    CHECK_EQ(open_device(), 0);
    finish();
    static char path[] =
        "/tmp/x12345678901234567890123456789012345678901234567890123456789012345678901"
        "23456789012345678901234567890";
    virtio_user_attach(&user, path);
    CHECK(virtio_user_connect(&user) != NULL);
}

/* boot_wait ends by the back end's interrupt, also after another back end took the first one's
 * place while the queue was armed. */
TEST(virtio_user_back_end_interrupts)
{
    const uint64_t never_ns = UINT64_MAX;

    begin();
    back_end.keeps_call = true;
    CHECK_EQ(open_device(), 0);
    for (uint32_t round = 0; round < 3; round++) {
        CHECK_EQ(netdev_rx_intr(dev, 0, true), 0);
        uint64_t before = boot_interrupts();
        eventfd_write(back_end.call, 1);
        boot_wait(never_ns);
        CHECK_EQ(boot_interrupts(), before + 1);
        back_end_kill();
        CHECK(!netdev_link_up(dev));
        back_end.requests = 0;
        back_end_listen();
        net.lost.next_try_ns = 0;
        CHECK(netdev_link_up(dev));
        eventfd_write(back_end.call, 1);
        boot_wait(never_ns);
        CHECK_EQ(boot_interrupts(), before + 2);
        CHECK_EQ(netdev_rx_intr(dev, 0, false), 0);
        eventfd_write(back_end.call, 1);
        boot_wait(clock_ns() + 2000000); /* nobody listens there now */
        CHECK_EQ(boot_interrupts(), before + 2);
        CHECK_EQ(netdev_rx_intr(dev, 0, true), 0);
        boot_wait(never_ns); /* ... but it isn't lost */
        CHECK_EQ(boot_interrupts(), before + 3);
        CHECK_EQ(netdev_rx_intr(dev, 0, false), 0);
    }
    finish();
}

TEST(virtio_user_back_end_goes_and_comes_back)
{
    struct netdev_queue_stats stats;
    struct netbuf *packet;

    begin();
    CHECK_EQ(open_device(), 0);
    for (uint32_t round = 0; round < 3; round++) {
        CHECK(netdev_link_up(dev));
        check_first_packet();
        for (uint8_t i = 0; i < 5; i++)
            send_packet(i);
        back_end_kill();
        net.lost.next_try_ns = 0;
        CHECK(!netdev_link_up(dev));
        for (uint8_t i = 0; i < 2 * DESCS; i++) /* the app goes on meanwhile */
            send_packet(i);
        CHECK_EQ(netdev_tx_room(dev, 0), 0);
        CHECK_EQ(netdev_rx_burst(dev, 0, &packet, 1), 0);
        back_end.requests = 0;
        back_end_listen();
        CHECK(!netdev_link_up(dev)); /* too early for another try */
        net.lost.next_try_ns = 0;
        CHECK(netdev_link_up(dev));
        CHECK_EQ(netdev_tx_room(dev, 0), DESCS);
        CHECK(netdev_txq_stats(dev, 0, &stats));
        CHECK_EQ(stats.packets, (DESCS + 1) * (round + 1));
        CHECK_EQ(stats.drops[NETDEV_DROP_STOP], DESCS * (round + 1));
    }
    check_first_packet();
    back_end_kill();
    CHECK_EQ(netdev_stop(dev), 0); /* with nobody there */
    CHECK(!netdev_link_up(dev));
    back_end_listen();
    CHECK_EQ(netdev_open(dev, fake_pool(), 0), 0);
    finish();
}
