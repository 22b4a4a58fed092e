/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap_interface_linux.c - where a tap interface comes from: a file of /dev/net/tun, which an ioctl
 * attaches to the interface of a name. If there is none, a process that may (CAP_NET_ADMIN) makes
 * one that way, which ends with it; else the user must own a persistent one (`ip tuntap add`).
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "boot/boot.h"
#include "netdev/tap/tap.h"

#include <linux/if_tun.h>

_Static_assert(TAP_NAME_SIZE == IFNAMSIZ, "as the kernel has it");

static const char tun_path[] = "/dev/net/tun";

const char *tap_check_name(const char *name)
{
    const size_t len = strlen(name);
    bool good = len > 0 && len < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;

    for (size_t i = 0; i < len; i++) /* the kernel would count up in place of %d */
        good = good && name[i] > ' ' && name[i] <= '~' && !strchr("/:%", name[i]);
    return good ? NULL : "the name of an interface, of 1 to 15 characters such as ring0";
}

/* 0, or an errno. */
static int attach(const struct tap *tap)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

    memcpy(request.ifr_name, tap->name, sizeof tap->name);
    if (ioctl(tap->fd, TUNSETIFF, &request) != 0)
        return errno;
    /* Another process may have left it so that it hands over frames without checksums. */
    return ioctl(tap->fd, TUNSETOFFLOAD, 0) != 0 ? errno : 0;
}

/* --- tap_port ------------------------------------------------------------------------------- */

static enum tap_state look_at_interface(const struct tap *tap)
{
    struct ifreq request = {0};

    if (ioctl(tap->fd, TUNGETIFF, &request) != 0)
        return TAP_GONE;
    /* It has its name of now. In another network namespace it can't be asked: take it for up. */
    if (ioctl(tap->control, SIOCGIFFLAGS, &request) != 0)
        return TAP_UP;
    return request.ifr_flags & IFF_UP ? TAP_UP : TAP_DOWN;
}

/* What was deleted isn't made anew here: who deleted it decides that. */
static int attach_again(const struct tap *tap)
{
    return if_nametoindex(tap->name) ? attach(tap) : ENODEV;
}

static const struct tap_port kernel = {.look = look_at_interface, .attach_again = attach_again};

/* --- a new device --------------------------------------------------------------------------- */

/* Ends with why /dev/net/tun can't be had, and what to do. */
_Noreturn static void no_file(const struct tap *tap, int error)
{
    if (error == EACCES || error == EPERM)
        boot_misconfigured(
            "tap=%s can't be used: %s: %s; as root: chmod a+rw %s; ip tuntap add %s mode tap "
            "user %u; ip link set %s up.",
            tap->name, tun_path, strerror(error), tun_path, tap->name, geteuid(), tap->name);
    boot_misconfigured("tap=%s can't be used: %s: %s; as root: modprobe tun.", tap->name, tun_path,
                       strerror(error));
}

/* Ends with why the file can't be attached, and what to do. */
_Noreturn static void not_attached(const struct tap *tap, int error)
{
    const bool there = if_nametoindex(tap->name) != 0;
    const char *name = tap->name, *reason = strerror(error);

    if (error == EPERM && there)
        boot_misconfigured(
            "tap=%s can't be used: %s, as that interface is another user's; as root: ip tuntap "
            "del %s mode tap; ip tuntap add %s mode tap user %u; ip link set %s up.",
            name, reason, name, name, geteuid(), name);
    if (error == EBUSY)
        boot_misconfigured(
            "tap=%s can't be used: %s, as another process or another tap= has that interface; "
            "name another one.",
            name, reason);
    if (error == EINVAL && there)
        boot_misconfigured(
            "tap=%s can't be used: %s, as that interface isn't a tap with one queue; name "
            "another one.",
            name, reason);
    boot_misconfigured(
        "tap=%s can't be used: %s; as root: ip tuntap add %s mode tap user %u; ip link set %s up.",
        name, reason, name, geteuid(), name);
}

static void read_mtu(struct tap *tap)
{
    struct ifreq request = {0};

    memcpy(request.ifr_name, tap->name, sizeof tap->name);
    if (ioctl(tap->control, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0)
        tap_limit_mtu(tap, (uint32_t)request.ifr_mtu);
}

void tap_add(const char *name, const uint8_t mac[6])
{
    struct tap *tap = boot_alloc(sizeof *tap, CACHE_LINE);
    int error;

    if (!tap)
        boot_misconfigured(
            "there is no memory for the network device tap=%s; give the process more: mem=256M.",
            name);
    tap_init(tap, &kernel, name, mac);
    tap->fd = open(tun_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap->fd < 0)
        no_file(tap, errno);
    if ((error = attach(tap)))
        not_attached(tap, error);
    tap->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (tap->control < 0)
        boot_misconfigured("tap=%s can't be used: the kernel gives no socket: %s.", name,
                           strerror(errno));
    read_mtu(tap);
    if (look_at_interface(tap) == TAP_DOWN)
        print("tap %s: the interface is down; as root: ip link set %s up.\n", name, name);
    netdev_register(&tap->base);
}
