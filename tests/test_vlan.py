# SPDX-License-Identifier: BSD-2-Clause
"""Frames with tags (802.1Q): priorities, and a host that lives in a VLAN, against scapy, and behind a bridge of Linux."""

import contextlib
import re

import pytest
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from test_tap import namespace  # noqa: F401
from udpkv_client import HEADER
from vm import CTRL_C, DEADLINE_S, GUEST_IP, GUEST_PORT, Link, Vm, image, mac, qemu_command

conf.verb = 0
VLAN = 7
HOST_MAC, HOST_IP = "02:00:00:00:00:01", "10.0.2.2"


@contextlib.contextmanager
def udpkv(folder, keys):
    link = Link(folder)
    try:
        with Vm(qemu_command(image("udpkv"), keys, machine="microvm", netdev=link.netdev)) as vm:
            vm.expect("^udpkv: serves")
            yield vm, link
    finally:
        link.close()


def request():
    data = HEADER.pack(1, 0, 1, 0) + b"version\r\n"
    return IP(src=HOST_IP, dst=GUEST_IP) / UDP(sport=4000, dport=GUEST_PORT) / data


PACKETS = {
    "udp": (request(), lambda p: UDP in p),
    "ping": (IP(src=HOST_IP, dst=GUEST_IP) / ICMP() / b"ringloop", lambda p: ICMP in p and p[ICMP].type == 0),
    "arp": (ARP(op=1, hwsrc=HOST_MAC, psrc=HOST_IP, pdst=GUEST_IP), lambda p: ARP in p and p[ARP].op == 2),
}


def answer(link, packet, wanted, tags=()):
    frame = Ether(src=HOST_MAC, dst=mac(0))
    for tag in tags:
        frame /= tag
    link.send(bytes(frame / packet))
    while raw := link.recv(DEADLINE_S):
        if wanted(found := Ether(raw)):
            return found, len(raw)
    raise AssertionError("no answer")


def test_a_tag_with_a_priority_only_is_passed_over(tmp_path):
    with udpkv(tmp_path, "") as (vm, link):
        for packet, wanted in PACKETS.values():
            found, size = answer(link, packet, wanted, [Dot1Q(vlan=0, prio=6)])
            assert Dot1Q not in found and size >= 60
        link.send(bytes(Ether(src=HOST_MAC, dst=mac(0)) / Dot1Q(vlan=VLAN) / request()))
        answer(link, *PACKETS["ping"])
        assert vm.end() == 0
        assert "eth_vlan 1" in vm.console()


def test_a_host_in_a_vlan_takes_and_sends_frames_of_that_alone(tmp_path):
    with udpkv(tmp_path, f"net.vlan={VLAN}") as (vm, link):
        assert re.search(f"^udpkv: lives in VLAN {VLAN}\\.$", vm.console(), re.M)
        announced = Ether(link.recv())
        assert announced[Dot1Q].vlan == VLAN and announced[ARP].psrc == GUEST_IP
        ether = Ether(src=HOST_MAC, dst=mac(0))
        for others in ([], [Dot1Q(vlan=0)], [Dot1Q(vlan=VLAN + 1)], [Dot1Q(vlan=VLAN), Dot1Q(vlan=VLAN)]):
            frame = ether
            for tag in others:
                frame /= tag
            link.send(bytes(frame / request()))
        for packet, wanted in PACKETS.values():
            found, size = answer(link, packet, wanted, [Dot1Q(vlan=VLAN, prio=3)])
            assert found[Dot1Q].vlan == VLAN and size >= 64
            again = Ether(bytes(found))
            for layer in (IP, UDP, ICMP):
                if layer in again:
                    del again[layer].chksum
            assert bytes(Ether(bytes(again))) == bytes(found)
        assert vm.end() == 0
        assert all(text in vm.console() for text in ("eth_no_vlan 2", "eth_vlan 1", "eth_type 1"))


OTHER_END = f"""
import fcntl, os, select, struct, sys
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"ring1", 0x1002))  # a tap, without a header before frames
def ask(packet, wanted):
    os.write(tap, bytes(Ether(src="{HOST_MAC}", dst="{mac(0)}") / Dot1Q(vlan={VLAN}) / packet))
    while select.select([tap], [], [], {DEADLINE_S})[0]:
        if wanted(found := Ether(os.read(tap, 65536))) and found.src == "{mac(0)}":
            return found
    sys.exit("no answer")
print("there", flush=True)
sys.stdin.readline()
ask(ARP(op=1, hwsrc="{HOST_MAC}", psrc="{HOST_IP}", pdst="{GUEST_IP}"), lambda p: ARP in p and p[ARP].op == 2)
for request in (b"version\\r\\n", b"get name-of-nothing\\r\\n", b"mn\\r\\n" * 100):
    data = struct.pack(">4H", 1, 0, 1, 0) + request
    found = ask(IP(src="{HOST_IP}", dst="{GUEST_IP}") / UDP(sport=4000, dport={GUEST_PORT}) / data, lambda p: UDP in p)
    again = found.copy()
    del again[UDP].chksum
    print(found[Dot1Q].vlan, found[UDP].chksum != 0 and bytes(again) == bytes(found))
"""


@pytest.mark.parametrize("plat, offload", [("kvm", "on"), ("kvm", "off"), ("linux", "on")])
def test_checksums_are_made_behind_the_tag(namespace, plat, offload):  # noqa: F811
    """With offload the host makes them, where its bridge sends by an interface that makes none."""
    namespace.run("ip tuntap add ring0 mode tap vnet_hdr")
    namespace.run("ip tuntap add ring1 mode tap")
    namespace.run("ip link add name bridge type bridge")
    for name in ("ring0", "ring1"):
        namespace.run(f"ip link set {name} master bridge up")
    namespace.run("ip link set bridge up")
    netdev = "tap,id=n0,ifname=ring0,script=no,downscript=no,vhost=off"
    more = ["-global", f"virtio-net-device.csum={offload}"]
    command = qemu_command(image("udpkv"), f"net.vlan={VLAN}", machine="microvm", netdev=netdev, more=more)
    if plat == "linux":
        command = [str(image("udpkv", "linux")), "mem=32M", "tap=ring0", f"tap.mac={mac(0)}", f"net.vlan={VLAN}"]
    other = namespace.start_python(OTHER_END)
    try:
        with Vm([*namespace.enter, *command]) as vm:
            vm.expect("^udpkv: serves")
            assert other.stdout.readline() == b"there\n"
            told, _ = other.communicate(b"\n", timeout=DEADLINE_S)
            assert told.decode() == f"{VLAN} True\n" * 3
            if plat == "linux":
                vm.interrupt()
            else:
                vm.send(CTRL_C)
            vm.expect(r"^udpkv: every pool is whole\.$")
            assert vm.status() == 0 if plat == "linux" else vm.exit_code() == 0
    finally:
        other.kill()
        other.wait()
