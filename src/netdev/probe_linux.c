/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_linux.c - a host process has the network devices that its command line names, in the order
 * of its words:
 *
 *     vhost=/run/sock0 tap=ring0 vhost=/run/sock1 tap.mac=02:00:00:00:00:01
 *
 * A MAC address is for the device whose word has the same number among those of its kind, wherever
 * it stands: here the first tap, which is the second device.
 */
#include "boot/boot.h"
#include "netdev/netdev.h"
#include "netdev/tap/tap.h"
#include "netdev/virtio/virtio_user.h"

const struct netdev_advice netdev_advice = {
    .device = "vhost=SOCK names the UNIX socket of one, on which a vhost-user back end such as "
              "dpdk-testpmd listens, or tap=NAME a tap interface of this host",
    .pairs = "give the back end of vhost= so many queues (a tap has one)",
};

enum { MAC_BYTES = 6 };

/* The words of one kind of device. */
struct kind {
    const char *word;
    void (*add)(const char *name, const uint8_t mac[MAC_BYTES]); /* NULL: one of its own making */
    uint32_t devices, added, mac_count;
    uint8_t macs[NETDEV_MAX][MAC_BYTES];
};

static struct kind vhost = {.word = "vhost", .add = virtio_user_add};
static struct kind tap = {.word = "tap", .add = tap_add};

/* All devices, in the order of the words. */
static struct {
    struct kind *kind;
    const char *name;
} wanted[NETDEV_MAX];
static uint32_t wanted_count;

static const char *want_device(struct kind *kind, const char *name)
{
    _Static_assert(NETDEV_MAX == 8, "the sentence says so");
    if (wanted_count == NETDEV_MAX)
        return "at most 8 network devices";
    wanted[wanted_count].kind = kind;
    wanted[wanted_count++].name = name;
    kind->devices++;
    return NULL;
}

/* False if the text isn't the address of one host. */
static bool parse_address(const char *text, uint8_t mac[MAC_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    static const uint8_t nobody[MAC_BYTES];

    memset(mac, 0, MAC_BYTES);
    for (uint32_t i = 0; i < 17; i++) {
        const char *digit = text[i] ? strchr(digits, text[i] | 0x20) : NULL;
        if (i % 3 == 2 ? text[i] != ':' : !digit)
            return false;
        if (i % 3 != 2)
            mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | (digit - digits));
    }
    return !text[17] && !(mac[0] & 1) && memcmp(mac, nobody, MAC_BYTES) != 0;
}

static const char *parse_mac(const struct boot_key *key, const char *text)
{
    struct kind *kind = key->dst;
    uint8_t mac[MAC_BYTES];

    if (!parse_address(text, mac))
        return "an address of one host such as 02:00:00:00:00:01";
    if (kind->mac_count == NETDEV_MAX)
        return "at most 8 of them";
    memcpy(kind->macs[kind->mac_count++], mac, MAC_BYTES);
    return NULL;
}

static const char *parse_vhost(const struct boot_key *key, const char *text)
{
    return text[0] ? want_device(key->dst, text) : "the path of a UNIX socket";
}

BOOT_KEY("vhost+", parse_vhost, &vhost, NULL, "",
         "UNIX socket of a vhost-user back end, which is a network device; 8 devices at most, "
         "vhost= and tap= together");
BOOT_KEY("vhost.mac+", parse_mac, &vhost, NULL, "",
         "MAC address of the first vhost= device, the next one of the second, and so on; random if "
         "not given");

static const char *parse_tap(const struct boot_key *key, const char *text)
{
    const char *expected = tap_check_name(text);

    return expected ? expected : want_device(key->dst, text);
}

BOOT_KEY("tap+", parse_tap, &tap, NULL, "",
         "tap interface of this host, which is a network device for developing; made if there is "
         "none and this process may; 8 devices at most, vhost= and tap= together");
BOOT_KEY("tap.mac+", parse_mac, &tap, NULL, "",
         "MAC address of the first tap= device, the next one of the second, and so on; random if "
         "not given");

static void check_macs(const struct kind *kind)
{
    if (kind->mac_count <= kind->devices)
        return;
    print("command line: more words %s.mac= (%u) than %s= (%u); leave some out, or name more "
          "devices.\n",
          kind->word, kind->mac_count, kind->word, kind->devices);
    boot_exit(BOOT_EXIT_USAGE);
}

void netdev_probe_platform(void)
{
    check_macs(&vhost);
    check_macs(&tap);
    for (uint32_t i = 0; i < wanted_count; i++) {
        struct kind *kind = wanted[i].kind;
        const uint32_t number = kind->added++;
        kind->add(wanted[i].name, number < kind->mac_count ? kind->macs[number] : NULL);
    }
}
