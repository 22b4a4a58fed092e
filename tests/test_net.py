# SPDX-License-Identifier: BSD-2-Clause
"""Packets made by hand: udpkv answers the good ones and drops and counts each kind of broken one.

One machine a transport (virtio over MMIO on microvm, over PCI on q35) lives through all of it.
"""

import collections
import contextlib
import re

import pytest
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from udpkv_client import HEADER
from vm import CTRL_C, DEADLINE_S, GUEST_IP, GUEST_PORT, Link, Vm, image, qemu_command

pytestmark = pytest.mark.xdist_group("net")  # its machines are for all tests
conf.verb = 0
GUEST_MAC = "52:54:00:12:34:56"  # QEMU's default for the first NIC
HOST_MAC, HOST_IP = "02:00:00:00:00:01", "10.0.2.2"
BROADCAST = "ff:ff:ff:ff:ff:ff"
TRANSPORTS = {"microvm": "virtio-net over MMIO", "q35": "virtio-net over PCI"}
RING = 256  # descriptors of QEMU's receive queue


class Server:
    """udpkv in a machine, at the other end of a cable."""

    def __init__(self, vm, link, announcement):
        self.vm, self.link, self.announcement = vm, link, announcement
        self._id = 0
        self.dropped = collections.Counter()

    def frame(self, request, ident=0, src=HOST_IP, **udp):
        """A good request as a frame."""
        data = HEADER.pack(ident, 0, 1, 0) + request
        fields = {"sport": 4000, "dport": GUEST_PORT, **udp}
        return bytes(ether() / ip(src=src) / UDP(**fields) / data)

    def ask(self, request=b"version\r\n", sport=4000, tries=1, **fields):
        """Sends a good request. Returns its answer and what came before it, frames as Ether.

        After a flood the answer may find no room in the transmit ring and be dropped: such a
        request has several tries.
        """
        before = []
        for _ in range(tries):
            self._id = (self._id + 1) & 0xFFFF
            self.link.send(self.frame(request, self._id, sport=sport, **fields))
            while raw := self.link.recv(DEADLINE_S / tries):
                packet = Ether(raw)
                if ARP in packet and packet[ARP].psrc == packet[ARP].pdst:
                    continue  # its second announcement comes when two seconds have passed
                if UDP in packet and request_id(packet) == self._id and packet[UDP].dport == sport:
                    return packet, before
                before.append(packet)
        raise AssertionError(f"no answer to {request}\n{self.vm.console()}")

    def send_broken(self, packet, counter):
        """Sends what must be dropped, and notes the counter that must tell of it at the end."""
        self.link.send(bytes(packet))
        self.dropped[counter] += 1


def request_id(packet):
    return HEADER.unpack_from(bytes(packet[UDP].payload))[0]


def ether(**fields):
    return Ether(**{"src": HOST_MAC, "dst": GUEST_MAC, **fields})


def ip(**fields):
    return IP(**{"src": HOST_IP, "dst": GUEST_IP, **fields})


def udp(**fields):
    return UDP(**{"sport": 4000, "dport": GUEST_PORT, **fields}) / VERSION


def arp(**fields):
    return ARP(**{"op": 1, "hwsrc": HOST_MAC, "psrc": HOST_IP, "pdst": GUEST_IP, **fields})


PART = Raw(HEADER.pack(0xDEAD, 1, 2, 0) + b"version\r\n")
VERSION = Raw(HEADER.pack(0xDEAD, 0, 1, 0) + b"version\r\n")


@contextlib.contextmanager
def udpkv(folder, machine, keys=""):
    link = Link(folder)
    try:
        with Vm(qemu_command(image("udpkv"), keys, machine=machine, netdev=link.netdev)) as vm:
            vm.expect("^udpkv: serves .*" + TRANSPORTS[machine])
            yield Server(vm, link, Ether(link.recv()))
    finally:
        link.close()


@pytest.fixture(scope="module", params=TRANSPORTS)
def server(request, tmp_path_factory):
    with udpkv(tmp_path_factory.mktemp("link"), request.param) as server:
        yield server


def checksums_hold(packet):
    """Is every checksum what scapy makes of the packet?"""
    again = packet.copy()
    for layer in (IP, UDP, ICMP):
        if layer in again:
            del again[layer].chksum
    return bytes(Ether(bytes(again))) == bytes(packet)


# --- good packets -------------------------------------------------------------------------------


def test_it_announces_itself_at_the_start(server):
    packet = server.announcement
    assert packet.dst == BROADCAST and packet.src == GUEST_MAC
    assert packet[ARP].psrc == packet[ARP].pdst == GUEST_IP
    assert packet[ARP].hwsrc == GUEST_MAC


@pytest.mark.parametrize("to", [BROADCAST, GUEST_MAC])
@pytest.mark.parametrize("psrc", [HOST_IP, "10.0.2.77", "0.0.0.0"])
def test_arp_is_answered(server, to, psrc):
    server.link.send(bytes(ether(dst=to) / arp(psrc=psrc)))
    packet = Ether(server.link.recv())
    assert packet.dst == HOST_MAC and packet.src == GUEST_MAC
    answer = packet[ARP]
    assert (answer.op, answer.hwsrc, answer.psrc) == (2, GUEST_MAC, GUEST_IP)
    assert (answer.hwdst, answer.pdst) == (HOST_MAC, psrc)


@pytest.mark.parametrize("size", [0, 1, 2, 55, 56, 57, 512, 1471, 1472])
def test_ping_is_answered_up_to_the_mtu(server, size):
    data = bytes(i * 7 & 0xFF for i in range(size))
    server.link.send(bytes(ether() / ip(ttl=1) / ICMP(type=8, id=7, seq=size) / data))
    packet = Ether(server.link.recv())
    assert (packet.src, packet.dst) == (GUEST_MAC, HOST_MAC)
    assert (packet[IP].src, packet[IP].dst) == (GUEST_IP, HOST_IP)
    assert (packet[ICMP].type, packet[ICMP].id, packet[ICMP].seq) == (0, 7, size)
    assert bytes(packet[ICMP].payload)[:size] == data
    assert packet[IP].len == 28 + size
    assert checksums_hold(packet)


def test_udp_is_answered(server):
    answer, before = server.ask(sport=54321)
    assert before == []
    assert (answer.src, answer.dst) == (GUEST_MAC, HOST_MAC)
    assert (answer[IP].src, answer[IP].dst) == (GUEST_IP, HOST_IP)
    assert (answer[UDP].sport, answer[UDP].dport) == (GUEST_PORT, 54321)
    assert bytes(answer[UDP].payload)[HEADER.size :].startswith(b"VERSION ")
    assert checksums_hold(answer)


def test_answers_have_right_checksums_at_every_length(server):
    for length in range(1, 40):
        server.ask(b"set k 0 0 %d\r\n%s\r\n" % (length, b"\xfe" * length))
        answer, _ = server.ask(b"get k\r\n")
        assert checksums_hold(answer), length


def test_the_largest_frame_is_taken(server):
    value = b"v" * (1500 - 28 - HEADER.size - len(b"set k 0 0 1400\r\n\r\n"))
    answer, _ = server.ask(b"set k 0 0 %d\r\n%s\r\n" % (len(value), value))
    assert answer[Raw].load[HEADER.size :] == b"STORED\r\n"


GOOD = {
    "UDP without a checksum": ether() / ip() / udp(chksum=0),
    "a time to live of 1": ether() / ip(ttl=1) / udp(),
    "a time to live of 0": ether() / ip(ttl=0) / udp(),
    "IPv4 options": ether() / ip(options=[IPOption_NOP()] * 4) / udp(),
    "as many IPv4 options as there can be": ether() / ip(options=[IPOption_NOP()] * 40) / udp(),
    "don't fragment": ether() / ip(flags="DF") / udp(),
    "a type of service": ether() / ip(tos=0xB8) / udp(),
    "padding behind the packet": bytes(ether() / ip() / udp()) + b"\0" * 17,
    "a lowest and a highest port": ether() / ip() / udp(sport=65535),
}


@pytest.mark.parametrize("what", GOOD)
def test_unusual_but_good_is_answered(server, what):
    server.link.send(bytes(GOOD[what]))
    answer = Ether(server.link.recv())
    assert bytes(answer[UDP].payload).startswith(HEADER.pack(0xDEAD, 0, 1, 0) + b"VERSION ")


# --- broken packets -----------------------------------------------------------------------------

# What is wrong: the packet, and the counter of udpkv's statistics that must count it.
BROKEN = {
    "a frame shorter than its header": (b"\x52\x54\x00\x12\x34\x56\x02\x00", "bad_len"),
    "nothing behind the Ethernet header": (ether(type=0x0800), "ip_short"),
    "to another MAC address": (ether(dst="52:54:00:99:99:99") / ip() / udp(), "eth_destination"),
    "to a group of MAC addresses": (ether(dst="01:00:5e:00:00:01") / ip() / udp(), "eth_multicast"),
    "from a group's MAC address": (ether(src="03:00:00:00:00:01") / ip() / udp(), "eth_source"),
    "from MAC address zero": (ether(src="00:00:00:00:00:00") / ip() / udp(), "eth_source"),
    "from the server's own MAC address": (ether(src=GUEST_MAC) / ip() / udp(), "eth_source"),
    "an IPv6 frame of no length": (ether(type=0x86DD) / Raw(b"\x60" + b"\0" * 59), "ip6_length"),
    "a frame with a VLAN tag": (ether(type=0x8100) / Raw(b"\0" * 50), "eth_type"),
    "an IEEE 802.3 length for a type": (ether(type=46) / Raw(b"\0" * 46), "eth_type"),
    "half an ARP packet": (bytes(ether() / arp())[:30], "arp_short"),
    "ARP for another hardware": (ether() / arp(hwtype=6), "arp_format"),
    "ARP for another protocol": (ether() / arp(ptype=0x86DD), "arp_format"),
    "ARP with long addresses": (ether() / arp(hwlen=255), "arp_format"),
    "ARP with an unknown operation": (ether() / arp(op=9), "arp_format"),
    "ARP about another host": (ether(dst=BROADCAST) / arp(pdst="10.0.2.99"), "arp_target"),
    "ARP from our own address": (ether(dst=BROADCAST) / arp(psrc=GUEST_IP), "arp_conflict"),
    "ARP from a group": (ether() / arp(hwsrc="03:00:00:00:00:01"), "arp_sender"),
    "ARP from a multicast address": (ether() / arp(psrc="224.0.0.1"), "arp_sender"),
    "an ARP reply": (ether() / arp(op=2), "arp_reply"),
    "a truncated IPv4 header": (bytes(ether() / ip() / udp())[:33], "ip_short"),
    "IPv4 of version 5": (ether() / ip(version=5) / udp(), "ip_version"),
    "IPv4 of version 0": (ether() / ip(version=0) / udp(), "ip_version"),
    "an IPv4 header of 16 bytes": (ether() / ip(ihl=4) / udp(), "ip_length"),
    "an IPv4 header of 0 bytes": (ether() / ip(ihl=0) / udp(), "ip_length"),
    "an IPv4 header past the frame": (ether() / ip(ihl=15) / udp(), "ip_length"),
    "a wrong IPv4 checksum over options": (ether() / ip(options=[IPOption_NOP()] * 4, chksum=1) / udp(), "ip_checksum"),
    "an IPv4 length past the frame": (ether() / ip(len=1500) / udp(), "ip_length"),
    "an IPv4 length of 65535": (ether() / ip(len=65535) / udp(), "ip_length"),
    "an IPv4 length inside the header": (ether() / ip(len=19) / udp(), "ip_length"),
    "an IPv4 length of 0": (ether() / ip(len=0) / udp(), "ip_length"),
    "a wrong IPv4 checksum": (ether() / ip(chksum=0x1234) / udp(), "ip_checksum"),
    "an IPv4 checksum of 0": (ether() / ip(chksum=0) / udp(), "ip_checksum"),
    "a first fragment of 25 bytes": (ether() / ip(flags="MF") / udp(), "fragment_shape"),
    "a middle fragment of 25 bytes": (ether() / ip(flags="MF", frag=185) / udp(), "fragment_shape"),
    "a fragment of nothing": (ether() / ip(flags="MF", frag=185, proto=17), "fragment_shape"),
    "a fragment past 64 KiB": (ether() / ip(frag=8191) / udp(), "fragment_shape"),
    "a fragment of TCP": (ether() / ip(flags="MF") / TCP(dport=GUEST_PORT), "ip_protocol"),
    "to another IPv4 address": (ether() / ip(dst="10.0.2.99") / udp(), "ip_destination"),
    "to a multicast group": (ether() / ip(dst="224.0.0.1") / udp(), "ip_destination"),
    "to the network's broadcast": (ether() / ip(dst="10.0.2.255") / udp(), "ip_broadcast"),
    "to the world's broadcast": (ether() / ip(dst="255.255.255.255") / udp(), "ip_broadcast"),
    "by Ethernet broadcast": (ether(dst=BROADCAST) / ip() / udp(), "ip_broadcast"),
    "a ping by broadcast": (ether(dst=BROADCAST) / ip(dst="10.0.2.255") / ICMP(), "ip_broadcast"),
    "from loopback": (ether() / ip(src="127.0.0.1") / udp(), "ip_source"),
    "from a multicast group": (ether() / ip(src="224.0.0.1") / udp(), "ip_source"),
    "from the world's broadcast": (ether() / ip(src="255.255.255.255") / udp(), "ip_source"),
    "from the network's broadcast": (ether() / ip(src="10.0.2.255") / udp(), "ip_source"),
    "from address zero": (ether() / ip(src="0.0.0.0") / udp(), "ip_source"),
    "from the server's own address": (ether() / ip(src=GUEST_IP) / udp(), "ip_source"),
    "half an ICMP header": (ether() / ip(proto=1) / Raw(b"\x08\0\0\0"), "icmp_short"),
    "an ICMP timestamp request": (ether() / ip() / ICMP(type=13), "icmp_type"),
    "an echo reply": (ether() / ip() / ICMP(type=0), "icmp_type"),
    "an echo request with a code": (ether() / ip() / ICMP(type=8, code=1), "icmp_type"),
    "a wrong ICMP checksum": (ether() / ip() / ICMP(chksum=1), "icmp_checksum"),
    "half a UDP header": (ether() / ip(proto=17) / Raw(b"\0\1\0\2"), "udp_short"),
    "a UDP length past the packet": (ether() / ip() / udp(len=1000), "udp_length"),
    "a UDP length inside the header": (ether() / ip() / udp(len=7), "udp_length"),
    "a UDP length of 0": (ether() / ip() / udp(len=0), "udp_length"),
    "from port 0": (ether() / ip() / udp(sport=0), "udp_port"),
    "to port 0": (ether() / ip() / udp(dport=0), "udp_port"),
    "a wrong UDP checksum": (ether() / ip() / udp(chksum=0x1234), "udp_checksum"),
    "from the port that we serve": (ether() / ip() / udp(sport=GUEST_PORT), "drop_loop"),
    "half a memcached header": (ether() / ip() / UDP(dport=GUEST_PORT) / b"\0\1\0", "drop_header"),
    "a part of a request": (ether() / ip() / UDP(dport=GUEST_PORT) / PART, "drop_parts"),
    "from a network that isn't allowed": (ether() / ip(src="192.168.7.7") / udp(), "drop_denied"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_is_dropped(server, what):
    server.send_broken(*BROKEN[what])
    _, before = server.ask()  # packets are handled in order, so an answer would come before this
    assert before == []


def test_a_frame_cut_short_anywhere_is_dropped(server):
    whole = bytes(ether() / ip() / udp())
    for length in range(1, len(whole)):
        counter = "bad_len" if length < 14 else "ip_short" if length < 34 else "ip_length"
        server.send_broken(whole[:length], counter)
        assert server.ask()[1] == [], length


# --- floods -------------------------------------------------------------------------------------


def test_a_flood_of_requests_is_answered(server):
    """Many times the ring, as fast as the guest takes them; whatever is answered is right."""
    frames = [server.frame(b"set k%d 0 0 2\r\nxy\r\n" % i, ident=i) for i in range(64)]
    answers = [HEADER.pack(i, 0, 1, 0) + b"STORED\r\n" for i in range(64)]
    count = 20 * RING
    for i in range(count):
        server.link.send(frames[i % 64])
    _, before = server.ask(sport=4001, tries=30)
    assert len(before) > RING
    for packet in before:
        payload = packet[Raw].load  # without what pads a short frame
        assert payload[: packet[UDP].len - 8] in answers
    assert server.ask()[1] == []


def test_a_flood_of_junk_is_dropped(server):
    junk = [(bytes(packet), counter) for packet, counter in BROKEN.values()]
    for i in range(20 * RING):
        server.send_broken(*junk[i % len(junk)])
    assert server.ask()[1] == []


def test_a_flood_of_the_largest_frames_is_answered(server):
    data = b"x" * 1472
    ping = bytes(ether() / ip() / ICMP(type=8, id=1, seq=1) / data)
    for _ in range(4 * RING):
        server.link.send(ping)
    _, before = server.ask(tries=30)
    assert len(before) > RING
    assert all(packet[ICMP].type == 0 and bytes(packet[ICMP].payload) == data for packet in before)


def test_a_client_that_doesnt_read_stops_nobody(server):
    """Answers back up until the transmit ring is full; once they are read, all goes on."""
    frame = server.frame(b"version\r\n")
    for _ in range(8 * RING):
        if not server.link.send(frame, read=False, deadline_s=1):
            break
    _, before = server.ask(sport=4001, tries=30)
    assert len(before) >= RING
    assert all(UDP in packet for packet in before)
    assert server.ask()[1] == []


# --- the end ------------------------------------------------------------------------------------


def test_it_ends_in_order_with_every_drop_counted_and_every_pool_whole(server):
    server.vm.send(CTRL_C)
    dropped = collections.Counter()
    for part in ("server", "inet", "receive queue"):
        line = server.vm.expect(rf"^udpkv: (?:\S+ \S+ )?{part} dropped (\d+)(.*)\.$")
        counted = {name: int(n) for name, n in re.findall(r", (\w+) (\d+)", line[2])}
        assert sum(counted.values()) == int(line[1])
        dropped.update(counted)
    server.vm.expect(r"^udpkv: every pool is whole\.$")
    assert server.vm.exit_code() == 0
    assert dropped == server.dropped


# --- who is answered ----------------------------------------------------------------------------


def test_only_the_allowed_networks_are_answered(tmp_path):
    keys = "udpkv.allow=192.168.7.0/24 udpkv.allow=172.16.0.0/12"
    with udpkv(tmp_path, "microvm", keys) as server:
        for src in (HOST_IP, "192.168.8.1", "172.32.0.1"):
            server.link.send(server.frame(b"version\r\n", src=src))
        for src in ("192.168.7.1", "172.31.255.254"):
            answer, before = server.ask(src=src)
            assert answer[IP].dst == src
            assert before == []
        server.vm.send(CTRL_C)
        server.vm.expect(r"^udpkv: server dropped 3, drop_denied 3\.$")
        assert server.vm.exit_code() == 0
