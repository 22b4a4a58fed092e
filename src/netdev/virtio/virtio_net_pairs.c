/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_pairs.c - several queue pairs of a virtio-net device (virtio 1.2, sections 5.1.2,
 * 5.1.6.5.5 and 5.1.6.5.7).
 *
 *     queue 2q      receive queue of pair q        of all pairs that the device has; those that
 *     queue 2q + 1  transmit queue of pair q       aren't configured are never set up
 *     behind the last pair: the control queue
 *
 * A device uses its first pair alone until a command tells it how many there are. With RSS offered
 * the command also says how it chooses the queue of a packet: Toeplitz' hash over addresses and
 * ports, through a table that names all queues equally often. Without, it steers by itself, as a
 * rule to where the flow was last sent from. The hash's key is random, so that nobody outside can
 * make flows that all fall to one core; it isn't symmetric, as nothing here needs both directions
 * of a connection on one core. What has no hash, such as ARP, goes to queue 0.
 *
 * With one pair none of this is negotiated.
 */
#include "boot/boot.h"
#include "netdev/virtio/virtio_net.h"

/* Every device with RSS takes a table and a key of these sizes (section 5.1.4.1). */
enum { RSS_TABLE = 128, RSS_KEY = 40 };

#define HASH_TYPES                                                                                 \
    (VIRTIO_NET_RSS_HASH_TYPE_IPv4 | VIRTIO_NET_RSS_HASH_TYPE_TCPv4 |                              \
     VIRTIO_NET_RSS_HASH_TYPE_UDPv4 | VIRTIO_NET_RSS_HASH_TYPE_IPv6 |                              \
     VIRTIO_NET_RSS_HASH_TYPE_TCPv6 | VIRTIO_NET_RSS_HASH_TYPE_UDPv6)

#define FEATURE_CONTROL VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ)
#define FEATURE_MQ      VIRTIO_BIT(VIRTIO_NET_F_MQ)
#define FEATURE_RSS     VIRTIO_BIT(VIRTIO_NET_F_RSS)

/* What VIRTIO_NET_CTRL_MQ_RSS_CONFIG says. */
struct rss_config {
    uint32_t hash_types;
    uint16_t table_mask, unclassified_queue;
    uint16_t table[RSS_TABLE];
    uint16_t transmit_queues;
    uint8_t key_len;
    uint8_t key[RSS_KEY];
} __attribute__((packed));

_Static_assert(offsetof(struct rss_config, table) ==
                   offsetof(struct virtio_net_rss_config, indirection_table),
               "as the specification has it");
_Static_assert(sizeof(struct rss_config) <= VIRTIO_NET_COMMAND_MAX, "fits a command");

#define CONFIG_OFFSET(field) offsetof(struct virtio_net_config, field)

static bool has_pairs(const struct virtio_net *net)
{
    return (net->offered & FEATURE_MQ) &&
           (net->offered & FEATURE_CONTROL || net->transport->all_pairs);
}

/* The hashes that the device and we both know, in *types; 0 if its limits are below the least. */
static int read_rss(struct virtio_net *net, uint32_t *types)
{
    struct virtio_transport *t = net->transport;
    uint32_t key_max, table_max;

    if (!virtio_config(t, CONFIG_OFFSET(rss_max_key_size), 1, 1, &key_max) ||
        !virtio_config(t, CONFIG_OFFSET(rss_max_indirection_table_length), 2, 1, &table_max) ||
        !virtio_config(t, CONFIG_OFFSET(supported_hash_types), 4, 1, types))
        return NETDEV_EDEVICE;
    *types &= key_max >= RSS_KEY && table_max >= RSS_TABLE ? HASH_TYPES : 0;
    return 0;
}

/* A device that tells nonsense, or has more pairs than a transport can drive, is used as one that
 * has one pair: with more, its control queue comes after all of them, where we can't reach it. */
int virtio_net_read_pairs(struct virtio_net *net)
{
    uint32_t pairs = 0;
    int error = 0;

    net->hash_types = 0;
    net->pairs_device = net->pairs_max = 1;
    if (has_pairs(net) &&
        !virtio_config(net->transport, CONFIG_OFFSET(max_virtqueue_pairs), 2, 1, &pairs))
        return NETDEV_EDEVICE;
    if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || 2 * pairs + 1 > VIRTIO_QUEUES_MAX)
        return 0;
    net->pairs_device = (uint16_t)pairs;
    net->pairs_max = (uint16_t)MIN(pairs, (uint32_t)NETDEV_MAX_QUEUE_PAIRS);
    if ((net->offered & FEATURE_CONTROL) && (net->offered & FEATURE_RSS))
        error = read_rss(net, &net->hash_types);
    return error;
}

uint64_t virtio_net_pairs_features(const struct virtio_net *net)
{
    if (net->base.queue_pairs <= 1)
        return 0;
    return FEATURE_MQ | (net->hash_types ? FEATURE_RSS : 0);
}

static int configure_rss(struct virtio_net *net)
{
    const uint16_t pairs = net->base.queue_pairs;
    struct rss_config config = {
        .hash_types = net->hash_types,
        .table_mask = RSS_TABLE - 1,
        .transmit_queues = pairs,
        .key_len = RSS_KEY,
    };

    for (uint32_t i = 0; i < RSS_TABLE; i++)
        config.table[i] = (uint16_t)(i % pairs);
    for (uint32_t i = 0; i < RSS_KEY; i += sizeof(uint64_t)) {
        uint64_t random = boot_random();
        memcpy(config.key + i, &random, sizeof random);
    }
    return virtio_net_command(net, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, &config,
                              sizeof config);
}

int virtio_net_use_pairs(struct virtio_net *net)
{
    const uint16_t pairs = net->base.queue_pairs;

    if (pairs == 1 || net->transport->all_pairs)
        return 0;
    if (net->features & FEATURE_RSS)
        return configure_rss(net);
    return virtio_net_command(net, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs,
                              sizeof pairs);
}
