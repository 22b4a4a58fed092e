# SPDX-License-Identifier: BSD-2-Clause
"""A domain of a real Xen among Linux hosts: IPv6, fragments, several addresses, a VLAN, a small MTU, DHCP.

    a host: a namespace here               dom0: another host              a domain
    ring0, a tap === virtio NIC of QEMU == br0 ============ netback ====== netfront
    10.0.2.2, fd00::1                      10.0.2.1, fd00::d0              10.0.2.15, fd00::2

What comes from the host has its checksums; netback leaves those of dom0's own packets open. What is sent to a
group passes netback as one only if it comes from outside, so each of the two is asked."""

import contextlib

import pytest

from test_addresses import SEVERAL, check_several_addresses
from test_dhcp import ADDRESS, dnsmasq
from test_fragments import CHECK_VALUES, SIZES
from test_ipv6 import (
    APP, KEYS, TAP, Host, check_answers_are_memcacheds, check_it_gets_along, check_it_is_found, radvd)
from test_mtu import ALONE, check_small_parts
from test_tap import Namespace
from test_xen_images import MAC, VIF, udpkv
from vm import DEADLINE_S, GUEST_IP
from xen.bed import DOM0_IP, Bed, packets_told

DOM0_IP6, LINK_LOCAL = "fd00::d0", "fe80::216:3eff:fe00:2"  # the latter of MAC
VLAN, VLAN_IP, VLAN_IP6 = 7, "10.0.8.15", "fd07::2"


@pytest.fixture(scope="module")
def host():
    with contextlib.closing(Namespace()) as namespace:
        yield Host(namespace, 1500)


@pytest.fixture(scope="module")
def xen(host):
    """In place of the one that the other tests share, whose network is QEMU's."""
    with Bed(TAP, enter=host.namespace.enter) as bed:
        speak_ipv6(bed, "br0", f"{DOM0_IP6}/64")
        yield bed


def speak_ipv6(xen, interface, address):
    """In dom0, without asking whether another host has the address."""
    conf = f"/proc/sys/net/ipv6/conf/{interface}"
    xen.run(f"echo 0 >{conf}/accept_dad; echo 0 >{conf}/disable_ipv6; ip address add {address} dev {interface}")


def ping6_from_dom0(xen, address, *sizes):
    for size in sizes:
        xen.run(f"iputils-ping -6 -n -q -c 1 -w {DEADLINE_S} -s {size} {address}", deadline_s=2 * DEADLINE_S)


@contextlib.contextmanager
def relayed(xen, address):
    """What the host asks at DOM0_IP meanwhile, dom0 asks the domain, at this address."""
    relay = xen.start(f"packets relay {address}")
    try:
        relay.expect("relaying")
        yield
    finally:
        relay.kill()


class TestServer:
    """One udpkv for all of these."""

    @pytest.fixture(scope="class")
    def server(self, xen):
        with udpkv(xen, f"{SEVERAL} {KEYS} net.ip6=auto udpkv.allow=::/0") as domain:
            domain.expect(f"^udpkv: IPv6 addresses are {LINK_LOCAL}, {APP}, and what routers advertise\\.$")
            yield domain
        assert "checksum" not in domain.console()

    def test_ipv6_between_a_host_and_a_domain(self, xen, host, server):
        check_it_gets_along(host, MAC, LINK_LOCAL)
        check_answers_are_memcacheds(host)
        check_it_is_found(host, MAC)
        ping6_from_dom0(xen, APP, 0, 1, 1452)
        assert f"lladdr {MAC}" in xen.run(f"ip -6 neigh show to {APP}")
        with relayed(xen, APP):
            host.ask(DOM0_IP, [1, 100, 1300])

    def test_values_of_60000_bytes_reach_a_domain_in_fragments(self, xen, host, server):
        for address in GUEST_IP, APP:
            assert host.python(CHECK_VALUES.format(host=address)) == f"{len(SIZES)}\n"
            with relayed(xen, address):
                assert host.python(CHECK_VALUES.format(host=DOM0_IP)) == f"{len(SIZES)}\n"

    def test_a_domain_has_several_addresses(self, host, server):
        check_several_addresses(host.namespace)

    def test_a_routers_prefix_makes_an_address_of_a_domain(self, host, server, tmp_path):
        """Last: the MTU is the router's from then on."""
        address = f"2001:db8:1:0{LINK_LOCAL[5:]}"
        with radvd(host, tmp_path):
            server.expect(f"^net.ip6: {address} is ours, as a router advertised its network\\.$")
            host.ping(address)
            host.ask(address, [100, 1352])


def test_a_domain_in_a_vlan(xen, host):
    """dom0 is in it, too; the host isn't, and sees what is sent to all."""
    xen.run(f"ip link add link br0 name br0.{VLAN} type vlan id {VLAN}; ip address add 10.0.8.1/24 dev br0.{VLAN}")
    speak_ipv6(xen, f"br0.{VLAN}", "fd07::1/64")
    xen.run(f"ip link set br0.{VLAN} up")
    announcement = b"\xff" * 6 + bytes.fromhex(MAC.replace(":", "")) + b"\x81\x00\x00%c\x08\x06" % VLAN
    keys = f"net.vlan={VLAN} net.ip={VLAN_IP}/24 net.ip6={VLAN_IP6}/64"
    with xen.captured() as frames, udpkv(xen, keys) as domain:
        told = packets_told(xen.run(f"packets ping {VLAN_IP} size=1400 to=1472"))
        assert told["received"] == told["sent"] == 73 and told["wrong"] == 0
        ping6_from_dom0(xen, VLAN_IP6, 0, 1, 1452)
        for address in VLAN_IP, VLAN_IP6:
            with relayed(xen, address):
                host.ask(DOM0_IP, [1, 100, 1300])
                assert host.python(CHECK_VALUES.format(host=DOM0_IP)) == f"{len(SIZES)}\n"
        xen.run(f"packets send vif{domain.domid}.0 count=10 dst.mac={MAC}")
        assert announcement in frames()
    assert "eth_no_vlan" in domain.console() and "checksum" not in domain.console()


def test_a_domain_gets_its_address_by_dhcp(xen, host, tmp_path):
    """And asks for it again where it was connected anew, as that may be another network."""
    with dnsmasq(host.namespace, tmp_path) as server, udpkv(xen, "net.ip=dhcp net.hostname=kv-1") as domain:
        assert f"\nudpkv: serves {ADDRESS}:11211/udp, leased for 120 s by 10.0.2.2, " in domain.console()
        server.expect(rf"DHCPACK\(ring0\) {ADDRESS} {MAC} kv-1$")
        host.run(f"ping -n -q -c 1 -w {DEADLINE_S} {ADDRESS}")
        xen.run(f"xl network-detach {domain.name} 0; xl network-attach {domain.name} {VIF} bridge=br0")
        server.expect(rf"DHCPACK\(ring0\) {ADDRESS} {MAC} kv-1$", 2)
        host.run(f"ping -n -q -c 1 -w {DEADLINE_S} {ADDRESS}")


def test_a_domain_with_a_small_mtu_and_no_neighbours(xen, host):
    """Last: it makes the host's MTU small, too."""
    with udpkv(xen, ALONE, vif=f"{VIF},mtu=1280") as domain:
        assert "answers in datagrams of 1252 bytes, as the MTU is 1280" in domain.console()
        check_small_parts(host)
