# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's user networks for the devices of an image. The first suits the image's net.ip, and the UDP
ports of this machine lead to it; each further device has another network."""

import ipaddress
import itertools

import vm

DEFAULT = ipaddress.ip_interface(f"{vm.GUEST_IP}/24")  # the image's, and QEMU's network without options
QEMUS_OWN = [DEFAULT.network[2], DEFAULT.network[3]]  # gateway and DNS of that network
PREFIX_MIN, PREFIX_MAX = 4, 30  # below QEMU refuses; above there is no address left for a gateway


class Unfit(Exception):
    """Why there can't be a user network for an address: one sentence, and what to do."""


def image_address(keys):
    """What net.ip says, or its default: also for what can't be a host's address, as the image itself
    says what is wrong with that."""
    words = dict(word.partition("=")[::2] for word in keys.split())
    text = words.get("net.ip", "")
    try:
        address = ipaddress.IPv4Interface(text if "/" in text else DEFAULT)
    except ValueError:
        return DEFAULT
    ends = (address.network.network_address, address.network.broadcast_address)
    odd = address.is_multicast or address.is_reserved or address.is_loopback or address.is_unspecified
    if odd or (address.ip in ends and address.network.prefixlen <= PREFIX_MAX):
        return DEFAULT
    return address


def network_options(address, others):
    """The options of -netdev user for a network with this address and those of `others`."""
    given, prefix = f"net.ip={address}", address.network.prefixlen
    if str(address.ip) in others:
        raise Unfit(f"{given} can't be reached: that is the address of {others[str(address.ip)]}."
                    f" Give the image another one, such as net.ip={DEFAULT}.")
    if not PREFIX_MIN <= prefix <= PREFIX_MAX:
        raise Unfit(f"{given} can't be reached: QEMU's user network has a gateway beside the image and"
                    f" takes /{PREFIX_MIN} to /{PREFIX_MAX}. Give net.ip such a prefix, or QEMU another"
                    " network: --nics=0 -- -netdev ...")
    if address.network == DEFAULT.network and address.ip not in QEMUS_OWN:
        return ""
    free = (ip for ip in address.network.hosts() if ip != address.ip and str(ip) not in others)
    gateway = next(free)
    dns = next(free, address.network.broadcast_address)  # of a /30, which has no third host
    return f",net={address.network},host={gateway},dns={dns},dhcpstart={address.ip}"


def further_networks(first):
    """Networks of 256 addresses that don't overlap with the first: 10.0.3.0, 10.0.4.0 and so on."""
    for block, start in (("10.0.0.0/16", 3), ("192.168.0.0/16", 0)):
        for network in itertools.islice(ipaddress.ip_network(block).subnets(new_prefix=24), start, None):
            if not network.overlaps(first):
                yield network


def user_netdevs(keys, nics, ports, others=None):
    """The texts after -netdev for `nics` devices of an image with these keys. Each of `ports` is a pair:
    the UDP port of this machine, and the image's. `others` tells who else has addresses on the first
    network: a dict of names by address."""
    if nics == 0:
        return []
    address = image_address(keys)
    first = f"user,id=n0{network_options(address, others or {})}"
    for host, guest in ports:
        first += f",{vm.udp_forward(host, address.ip, guest)}"
    networks = further_networks(address.network)
    return [first, *(f"user,id=n{i},net={next(networks)}" for i in range(1, nics))]
