# SPDX-License-Identifier: BSD-2-Clause
"""What a virtio-net device asks of its driver while it lives, and what a device is that has more than is used."""

import contextlib
import json
import socket

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from tap import Tap, TapError
from vm import DEADLINE_S, GUEST_IP, Link, Vm, image, qemu_command

GUEST_MAC, OUR_MAC, OUR_IP = "52:54:00:12:34:56", "02:00:00:00:00:01", "10.0.2.2"


@contextlib.contextmanager
def linked(folder, app, machine, more):
    """A machine that runs the app, and the other end of its cable."""
    link = Link(folder)
    try:
        with Vm(qemu_command(image(app), machine=machine, netdev=link.netdev, more=more)) as vm:
            vm.expect(f"^{app}: serves ")
            yield vm, link
    finally:
        link.close()


# --- the address is announced ------------------------------------------------------------------------


def await_announcement(link):
    """The next gratuitous ARP; QEMU sends frames of its own between (RARP)."""
    while raw := link.recv(DEADLINE_S):
        packet = Ether(raw)
        if ARP in packet and packet[ARP].op == 1 and packet[ARP].psrc == packet[ARP].pdst == GUEST_IP:
            assert packet.src == packet[ARP].hwsrc == GUEST_MAC and packet.dst == "ff:ff:ff:ff:ff:ff"
            return
    pytest.fail("nothing was announced")


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_it_announces_itself_when_the_device_asks(tmp_path, machine):
    """As QEMU has it do when it was moved; here the monitor asks, twice."""
    monitor_path = tmp_path / "monitor"
    more = ["-monitor", f"unix:{monitor_path},server=on,wait=off", "-trace", "virtio_net_*announce*"]
    with linked(tmp_path, "udpkv", machine, more) as (vm, link), socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(monitor_path))
        for _ in range(2):  # at the start
            await_announcement(link)
        for _ in range(2):
            monitor.sendall(b"announce_self\n")
            vm.expect("virtio_net_announce_notify")
            vm.expect("virtio_net_handle_announce")  # acknowledged
            await_announcement(link)
            await_announcement(link)
        assert vm.end() == 0


# --- the MTU ---------------------------------------------------------------------------------------------


def reflected(link, size):
    """Does an IPv4 packet of that size come back?"""
    headers = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src=OUR_IP, dst=GUEST_IP) / UDP(sport=4000, dport=7)
    payload = bytes(i % 251 for i in range(size - 28))
    link.send(bytes(headers / Raw(payload)))
    while raw := link.recv(DEADLINE_S):
        packet = Ether(raw)
        if UDP in packet:
            return bytes(packet[UDP].payload) == payload
    return False


def test_an_mtu_beyond_a_buffer(tmp_path):
    """Without mergeable buffers it is what a buffer holds, and the device isn't promised more."""
    properties = {"host_mtu": 9000, "mrg_rxbuf": "off"}
    more = [word for key, value in properties.items() for word in ("-global", f"virtio-net-device.{key}={value}")]
    with linked(tmp_path, "reflect", "microvm", more) as (vm, link):
        told = "an MTU of 9000 needs mergeable receive buffers, which the device hasn't (QEMU: mrg_rxbuf=on); it is 3950 now"
        assert told in vm.console()
        assert reflected(link, 3950)
        assert vm.end() == 0


# --- more pairs than are used -----------------------------------------------------------------------------

PAIRS = 4


@pytest.mark.parametrize(
    "machine, cores, rss, packed",
    [("microvm", 1, True, "off"), ("microvm", 2, True, "on"), ("q35", 3, False, "on")],
    ids=["one-of-four", "two-of-four-rss-packed", "three-of-four-packed"],
)
def test_a_device_with_more_pairs_than_are_used(machine, cores, rss, packed):
    """The control queue is behind all pairs or behind the first; no packet goes to a pair that isn't used."""
    count = 300
    try:
        tap = Tap(queues=PAIRS)
    except TapError as error:
        pytest.skip(str(error))
    with tap:
        device = "virtio-net-device" if machine == "microvm" else "virtio-net-pci"
        command = qemu_command(
            image("pktgen"),
            f"mode=fwd cores={cores} report=json report.interval=0",
            machine,
            cpus=cores,
            netdev=tap.netdev,
            queues=PAIRS,
            rss=rss,
            more=["-global", f"{device}.packed={packed}"],
        )
        with Vm(command, pass_fds=tap.fds) as vm:
            vm.expect(r"^pktgen: mode \w+, ")
            for i in range(count):
                headers = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src="10.0.0.1", dst="10.0.0.2")
                tap.send(bytes(headers / UDP(sport=1000 + i % 64, dport=9) / Raw(b"pair".ljust(22, b"\0"))))
                while (frame := tap.recv(DEADLINE_S)) and Ether(frame).src != GUEST_MAC:
                    continue
                assert frame, f"packet {i} of {count} didn't come back"
            vm.interrupt()
            summary = json.loads(vm.expect(r"^\{.*\}$")[0])
            vm.expect(r"^pktgen: every pool is whole\.$")
    assert summary["rx"]["packets"] == summary["tx"]["packets"] == count
