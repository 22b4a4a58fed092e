# SPDX-License-Identifier: BSD-2-Clause
"""Requests in IP fragments: made by a host's own stack, and by hand."""

import contextlib
import itertools
import random
import select
import time

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from test_tap import Namespace
from test_tap import end as end_process
from udpkv_client import HEADER, Client
from vm import DEADLINE_S, GUEST_IP, GUEST_PORT, HOST, Link, Vm, free_udp_port, image, qemu_command, user_netdev

GUEST_MAC, HOST_MAC, HOST_IP = "52:54:00:12:34:56", "02:00:00:00:00:01", "10.0.2.2"
SIZES = (1500, 4096, 30000, 60000)
SLOTS = 8  # datagrams in progress, by default


def value_of(size):
    return random.Random(size).randbytes(size)


def check_values(client):
    for size in SIZES:
        value = value_of(size)
        assert client.ask(b"set big%d 0 0 %d\r\n%s\r\n" % (size, size, value)) == b"STORED\r\n"
    for size in SIZES:
        assert client.ask(b"get big%d\r\n" % size) == b"VALUE big%d 0 %d\r\n%s\r\nEND\r\n" % (size, size, value_of(size))


def end(vm):
    vm.interrupt()
    vm.expect(r"every pool is whole\.$")
    assert vm.exit_code() == 0


# --- a host's own stack ---------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_values_of_60000_bytes_are_set_and_read(machine, accel):
    port = free_udp_port()
    command = qemu_command(image("udpkv"), machine=machine, accel=accel, mem="32M", netdev=user_netdev(port))
    with Vm(command) as vm:
        vm.expect("^udpkv: serves")
        with Client(HOST, port) as client:
            check_values(client)
            assert client.stats()["reassembled"] == len(SIZES)
        end(vm)


CHECK_VALUES = """
from test_fragments import check_values
from udpkv_client import Client
with Client({host!r}, 11211) as client:
    before = client.stats()["reassembled"]
    check_values(client)
    print(client.stats()["reassembled"] - before)
"""


@pytest.mark.parametrize("mtu, count", [(1500, len(SIZES)), (576, len(SIZES))])
def test_linux_sets_and_reads_them_over_a_tap(mtu, count):
    """With an MTU of 576 a datagram is up to 109 fragments; what the answers take is the server's choice."""
    with contextlib.closing(Namespace()) as namespace, namespace.app("udpkv", "tap=ring0") as app:
        app.expect("^udpkv: serves")
        namespace.up("ring0")
        namespace.ping()
        namespace.run(f"ip route change 10.0.2.0/24 dev ring0 mtu {mtu}")
        assert namespace.python(CHECK_VALUES.format(host=GUEST_IP)) == f"{count}\n"
        end_process(app)


# --- by hand --------------------------------------------------------------------------------------


class Wire:
    """udpkv at the other end of a cable, and fragments to send there."""

    def __init__(self, vm, link):
        self.vm, self._link = vm, link
        self._id = 0

    def send(self, packet):
        self._link.send(bytes(packet))

    def fragments(self, request, piece=800, src=HOST_IP, **udp):
        """A request in as many fragments as it takes, in order."""
        self._id = (self._id + 1) & 0xFFFF
        fields = {"sport": 4000, "dport": GUEST_PORT, **udp}
        whole = IP(src=src, dst=GUEST_IP) / UDP(**fields) / Raw(HEADER.pack(self._id, 0, 1, 0) + request)
        payload = bytes(whole[UDP])
        return [self.fragment(payload[at : at + piece], at, at + piece < len(payload), src=src)
                for at in range(0, len(payload), piece)]

    def fragment(self, payload, at, more, ident=None, src=HOST_IP, proto=17):
        ident = self._id if ident is None else ident
        header = IP(src=src, dst=GUEST_IP, id=ident, flags="MF" if more else 0, frag=at // 8, proto=proto)
        return Ether(src=HOST_MAC, dst=GUEST_MAC) / header / Raw(payload)

    def recv(self, layer):
        """The next packet of this kind: the host says some things by itself."""
        while raw := self._link.recv(DEADLINE_S):
            packet = Ether(raw)
            if IP in packet and layer in packet:
                return packet[layer]
        raise AssertionError(f"no answer\n{self.vm.console()}")

    def answer(self):
        """The whole answer to the request that was made last."""
        parts, total = {}, 1
        while len(parts) < total:
            datagram = self.recv(UDP)
            payload = bytes(datagram.payload)[: datagram.len - 8]
            ident, number, count, _ = HEADER.unpack_from(payload)
            if ident == self._id:
                total, parts[number] = count, payload[HEADER.size :]
        return b"".join(parts[i] for i in range(total))

    def ask(self, request, **fields):
        for packet in self.fragments(request, 1480, **fields):
            self.send(packet)
        return self.answer()

    def counters(self):
        """Of `stats netdev`, what inet dropped, and of `stats` what was put together."""
        counted = {}
        for request in (b"stats\r\n", b"stats netdev\r\n"):
            words = (line.split(" ", 2) for line in self.ask(request).decode().splitlines()[:-1])
            counted |= {name.removeprefix("inet:drop_"): value for _, name, value in words}
        return counted

    def counted(self, before, name):
        return int(self.counters()[name]) - int(before[name])


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    link = Link(tmp_path_factory.mktemp("link"))
    try:
        with Vm(qemu_command(image("udpkv"), machine="microvm", netdev=link.netdev)) as vm:
            vm.expect("^udpkv: serves")
            yield Wire(vm, link)
            end(vm)
    finally:
        link.close()


def set_of(size, key=b"k"):
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, size, value_of(size))


def test_fragments_come_in_any_order(wire):
    for order in itertools.permutations(range(4)):
        packets = wire.fragments(set_of(3000))
        assert len(packets) == 4
        for i in order:
            wire.send(packets[i])
        assert wire.answer() == b"STORED\r\n"


def test_a_datagram_that_fits_a_frame_is_put_together_there(wire):
    packets = wire.fragments(set_of(1400))
    for packet in reversed(packets):
        wire.send(packet)
    assert wire.answer() == b"STORED\r\n"
    assert value_of(1400) in wire.ask(b"get k\r\n")


def test_fragments_that_come_twice_do_no_harm(wire):
    before = wire.counters()
    packets = wire.fragments(set_of(3000))
    for packet in packets[:-1]:
        wire.send(packet)
        wire.send(packet)
    wire.send(packets[-1])
    assert wire.answer() == b"STORED\r\n"
    assert wire.counted(before, "fragment_again") == 3


@pytest.mark.parametrize("shift", [-8, 8, 0])
def test_fragments_that_overlap_end_the_datagram(wire, shift):
    """Nothing of it is used, though all of it comes, then or later."""
    before = wire.counters()
    packets = wire.fragments(b"version\r\n" + set_of(3000))
    ident = packets[0][IP].id
    for packet in packets[:2]:
        wire.send(packet)
    wire.send(wire.fragment(b"\xff" * 800, 800 + shift, True, ident))
    for packet in packets:
        wire.send(packet)
    assert wire.ask(b"get none\r\n") == b"END\r\n"
    assert wire.counted(before, "fragment_overlap") == 1
    assert wire.counted(before, "fragment_rest") == len(packets)


def test_ends_that_contradict_each_other_end_the_datagram(wire):
    before = wire.counters()
    packets = wire.fragments(set_of(3000))
    ident = packets[0][IP].id
    wire.send(packets[-1])
    wire.send(wire.fragment(b"x" * 800, 1600, False, ident))
    for packet in packets:
        wire.send(packet)
    assert wire.ask(b"get none\r\n") == b"END\r\n"
    assert wire.counted(before, "fragment_end") == 1


def test_a_source_has_its_share_of_what_is_in_progress(wire):
    before = wire.counters()
    for _ in range(50):
        wire.send(wire.fragments(set_of(3000))[0])
    others = wire.fragments(set_of(3000), src="10.0.2.3")
    wire.send(others[0])
    for i in range(50):
        wire.send(wire.fragment(b"x" * 800, 0, True, 0x4000 + i))
    for packet in others[1:]:
        wire.send(packet)
    assert wire.answer() == b"STORED\r\n"
    assert wire.counted(before, "fragments_share") >= 100 - SLOTS // 2


def test_large_pings_are_answered_if_the_answer_fits_a_frame(wire):
    for size, answered in ((1472, True), (1473, False)):
        before = wire.counters()
        ping = bytes(ICMP(type=8, id=7, seq=1) / Raw(b"p" * size))
        for at in range(0, len(ping), 800):
            wire.send(wire.fragment(ping[at : at + 800], at, at + 800 < len(ping), 0x7000 + size, proto=1))
        if answered:
            reply = wire.recv(ICMP)
            assert reply.type == 0 and bytes(reply.payload) == b"p" * size
        else:
            assert wire.counted(before, "icmp_large") == 1


def test_what_never_completes_is_given_up_and_counted(wire):
    before = wire.counters()
    wire.send(wire.fragments(set_of(3000), src="10.0.2.9")[0])
    deadline = time.monotonic() + DEADLINE_S
    while wire.counted(before, "fragments_late") == 0:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.2)
