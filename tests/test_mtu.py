# SPDX-License-Identifier: BSD-2-Clause
"""Devices whose host gives them a small, odd or large MTU, under udpkv, pktgen, forward and reflect."""

import contextlib
import json
import os
import re

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from test_ipv6 import APP, Host
from test_ipv6 import end as end_app
from test_tap import Namespace
from udpkv_client import HEADER, connected_socket
from vm import DEADLINE_S, HOST, Link, Vm, free_udp_port, image, mac, qemu_command, user_netdev

HEADERS = 28  # of IPv4 and UDP
PARTS_MAX = 64
REQUEST_MAX = 65000  # bytes of a value that fits a datagram with its line
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
ONE_BUFFER = 3950  # the MTU of a device whose frames have to fit one buffer each


def start(app, mtu, keys="", mergeable=True, machine="microvm", netdev="user,id=n0", **more):
    settings = ["-global", f"virtio-net-device.host_mtu={mtu}"]
    settings += ["-global", f"virtio-net-device.mrg_rxbuf={'on' if mergeable else 'off'}"]
    return Vm(qemu_command(image(app), keys, machine=machine, netdev=netdev, more=settings, **more))


def end(vm):
    vm.interrupt()
    vm.expect(r"every pool is whole\.$")
    assert vm.exit_code() == 0


def refuses(sentence, app, mtu, *keys):
    with start(app, mtu, *keys) as vm:
        vm.expect(f"^{app}: {sentence}$")
        assert vm.exit_code() == 64


# --- udpkv ------------------------------------------------------------------------------------------


class Udpkv:
    """A client that looks at how an answer is cut, with one item "z" that grows."""

    def __init__(self, port, host=HOST, source=None):
        self._socket = connected_socket(host, port, source)
        self._socket.settimeout(DEADLINE_S)
        self._id = 0
        self.value = b""
        assert self.ask(b"set z 0 0 0\r\n\r\n")[0] == b"STORED\r\n"

    def ask(self, request):
        """The answer, and how long its datagrams are."""
        self._id += 1
        self._socket.send(HEADER.pack(self._id, 0, 1, 0) + request)
        parts, total = {}, 1
        while len(parts) < total:
            datagram = self._socket.recv(65536)
            ident, number, total, zero = HEADER.unpack_from(datagram)
            assert (ident, zero) == (self._id, 0) and number not in parts
            parts[number] = datagram
        return (b"".join(parts[i][HEADER.size :] for i in range(total)), [len(parts[i]) for i in range(total)])

    def grow(self, size, request_max):
        while len(self.value) < size:
            piece = os.urandom(min(size - len(self.value), request_max - 50))
            assert self.ask(b"append z 0 0 %d\r\n%s\r\n" % (len(piece), piece))[0] == b"STORED\r\n"
            self.value += piece

    def close(self):
        self._socket.close()


@contextlib.contextmanager
def udpkv(mtu, **machine):
    port = free_udp_port()
    with start("udpkv", mtu, netdev=user_netdev(port), **machine) as vm:
        told = vm.expect("^udpkv: serves .*")[0]
        client = Udpkv(port)
        yield client, told
        client.close()
        end(vm)


def answer_with(value, asked=1):
    return b"VALUE z 0 %d\r\n%s\r\n" % (len(value), value) * asked + b"END\r\n"


def value_for(answer_bytes, asked=1):
    """How long the value is that makes an answer with the item so long, or a byte less."""
    size = answer_bytes
    while len(answer_with(bytes(size), asked)) > answer_bytes:
        size -= 1
    return size


def value_max(part):
    """The longest value: what a client of IPv6 behind a router gets in an answer, beside 512 bytes."""
    return PARTS_MAX * (min(part, 1232) - HEADER.size) - 512


def check_parts(client, part):
    """Answers come in datagrams of `part` bytes, of which the last one may be shorter, and in 64 at most."""
    room = part - HEADER.size
    largest = value_max(part)
    for asked, size in (*((1, value_for(n)) for n in (60, room - 1, room, room + 1, 10 * room)),
                        (2, value_for(PARTS_MAX * room, 2)), (1, largest)):
        client.grow(size, part)
        answer, lengths = client.ask(b"get%s\r\n" % (b" z" * asked))
        assert answer == answer_with(client.value, asked)
        assert len(lengths) == -(-len(answer) // room)
        assert set(lengths[:-1]) <= {part} and lengths[-1] <= part
        if asked == 2:
            assert len(lengths) == PARTS_MAX
            client.grow(size + 1, part)
            assert client.ask(b"get z z\r\n")[0] == b"SERVER_ERROR answer too long for UDP\r\n"
    assert client.ask(b"append z 0 0 1\r\nx\r\n")[0] == TOO_LARGE
    assert client.ask(b"get z\r\n")[0] == answer_with(client.value)
    for size, answer in (largest, b"STORED\r\n"), (largest + 1, TOO_LARGE):
        if size < REQUEST_MAX:
            assert client.ask(b"set z 0 0 %d\r\n%s\r\n" % (size, bytes(size)))[0] == answer


@pytest.mark.parametrize("mtu, machine, mergeable", [
    (576, "microvm", True), (576, "q35", False), (1280, "microvm", False), (1427, "microvm", True),
    (1428, "microvm", True), (1500, "microvm", False), (9000, "microvm", False), (9000, "q35", True)])
def test_udpkv_cuts_its_answers_to_the_mtu(mtu, machine, mergeable):
    part = min(mtu - HEADERS, 1400)
    with udpkv(mtu, machine=machine, mergeable=mergeable) as (client, told):
        assert (f"answers in datagrams of {part} bytes, as the MTU is {mtu}" in told) == (part < 1400)
        assert b"STAT answer_datagram_bytes %d\r\n" % part in client.ask(b"stats settings\r\n")[0]
        check_parts(client, part)


ALONE = f"net.ip=10.0.2.15/32 udpkv.allow=0.0.0.0/0 net.ip6={APP}/64 udpkv.allow=fd00::/64"
FAR_IP = "203.0.113.9"
ASK_ALONE = f"""
from test_mtu import Udpkv, check_parts
for host, source, part in ("10.0.2.15", "{FAR_IP}", 1252), ("{APP}", None, 1232):
    check_parts(Udpkv(11211, host, source), part)
"""


def check_small_parts(host):
    """A host, whose tap leads to a udpkv with the keys ALONE and an MTU of 1280, asks from its own network by
    IPv6 and, by IPv4, from another one: an address without a network answers by the router that asked."""
    host.run("ip link set ring0 mtu 1280")
    host.run(f"ip address add {FAR_IP}/32 dev ring0")
    host.ping(APP, "-s", "1232", "-M", "do")
    host.python(ASK_ALONE)


def test_udpkv_cuts_its_answers_to_the_mtu_of_a_tap():
    with contextlib.closing(Namespace()) as namespace:
        host = Host(namespace, 1280)
        with host.app("linux", ALONE) as app:
            assert "answers in datagrams of 1252 bytes, as the MTU is 1280" in app.console()
            check_small_parts(host)
            end_app(app)


def test_udpkv_says_which_mtu_it_needs():
    refuses(r"the MTU of virtio-net over MMIO at mmio \S+ is 575 and at least 576 are needed, which every IPv4 network has; "
            "raise it where the host sets it.", "udpkv", 575)


# --- pktgen -----------------------------------------------------------------------------------------


@pytest.fixture
def link(tmp_path):
    link = Link(tmp_path)
    yield link
    link.close()


@pytest.mark.parametrize("mtu, sizes, largest", [(576, "591", 591), (576, "imix", 1514), (576, "64,590,60,600", 600),
                                                 (1280, "1290-1295", 1295), (68, "83", 83)])
def test_pktgen_says_which_sizes_the_mtu_takes(mtu, sizes, largest):
    refuses(rf"size asks for frames of up to {largest} bytes and virtio-net over MMIO at mmio \S+ sends up to {mtu + 14}, "
            rf"its MTU of {mtu} and 14; choose smaller ones or raise the MTU where the host sets it.",
            "pktgen", mtu, f"size={sizes}")


@pytest.mark.parametrize("mtu, sizes", [(576, "590,60,400"), (68, "82"), (1280, "1290-1294"), (1500, "imix"),
                                        (ONE_BUFFER + 4, "3968"), (9000, "3968,64")])
def test_pktgen_sends_frames_of_the_whole_mtu(link, mtu, sizes):
    with start("pktgen", mtu, f"size={sizes} count=24 report=json", netdev=link.netdev) as vm:
        lengths = [len(link.recv()) for _ in range(24)]
        told = json.loads(vm.expect(r"^\{.*\}$")[0])
        assert vm.exit_code() == 0
    assert told["tx"]["packets"] == 24 and told["tx"]["bytes"] == sum(lengths)
    assert max(lengths) == max(int(size) for size in re.findall(r"\d+", sizes.replace("imix", "1514")))


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_pktgen_sends_back_what_comes_in_several_buffers(link, mtu):
    with start("pktgen", mtu, "mode=fwd count=3 report=json", netdev=link.netdev) as vm:
        vm.expect("^pktgen: mode fwd")
        for size in (60, mtu, mtu + 14):
            frame = bytes(Ether(src=mac(1), dst=mac(0), type=0x88B5)).ljust(size, b"x")
            link.send(frame)
            assert link.recv() == frame[6:12] + frame[:6] + frame[12:]
        told = json.loads(vm.expect(r"^\{.*\}$")[0])
        assert vm.exit_code() == 0
    assert told["rx"]["packets"] == told["tx"]["packets"] == 3


# --- forward and reflect ----------------------------------------------------------------------------


@pytest.mark.parametrize("mtu, mergeable", [(576, True), (ONE_BUFFER, False), (9000, True)])
def test_forward_passes_frames_of_the_whole_mtu(tmp_path, mtu, mergeable):
    links = [Link(tmp_path / name) for name in ("0", "1") if not (tmp_path / name).mkdir()]
    netdevs = [link.netdev.replace("id=n0", f"id=n{i}") for i, link in enumerate(links)]
    with start("forward", mtu, mergeable=mergeable, netdevs=netdevs) as vm:
        vm.expect("^forward: passes frames between ")
        for size, kind in ((60, 0x88B5), (mtu, 0x88B5), (mtu + 14, 0x88B5), (mtu + 18, 0x8100)):
            for source, sink in (links, links[::-1]):
                frame = bytes(Ether(src=mac(8), dst=mac(9), type=kind)).ljust(size, b"x")
                source.send(frame)
                assert sink.recv() == frame
        end(vm)
    for link in links:
        link.close()


def test_reflect_answers_within_the_mtu(link):
    """A ping or datagram of more than one buffer is dropped and counted, of one is answered."""
    with start("reflect", 9000, netdev=link.netdev) as vm:
        vm.expect("^reflect: serves ")
        assert ARP in Ether(link.recv())
        for size in (8000, 1472):
            link.send(bytes(Ether(src=mac(1), dst=mac(0)) / IP(src="10.0.2.2", dst="10.0.2.15") /
                            UDP(sport=5000, dport=7) / (b"x" * size)))
        while UDP not in (answer := Ether(link.recv())):
            assert ARP in answer
        assert bytes(answer[UDP].payload) == b"x" * 1472
        end(vm)
        assert "chain 1" in vm.console()
