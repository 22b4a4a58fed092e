# SPDX-License-Identifier: BSD-2-Clause
"""What memcached's own test of its UDP side asks, t/udp.t, written anew from the protocol: the text and the
binary protocol, a value of 4096 bytes that comes in one datagram, answers of several datagrams, several
requests in flight. memcached has to pass, too, where its answers follow protocol.txt."""

import contextlib

import pytest

import memcached_binary as binary
from memcached_peer import Memcached
from test_tap import Namespace
from test_tap import end as end_process
from test_udpkv import udpkv
from udpkv_client import HEADER, Client, connected_socket
from vm import HOST

TIMEOUT_S = 5
SMALL, LARGE = b"1", b"abcd" * 1024


class Asker:
    """Sends requests with ids of the test's choice, and collects the datagrams of their answers."""

    def __init__(self, host, port):
        self.socket = connected_socket(host, port)
        self.socket.settimeout(TIMEOUT_S)
        self.parts = {}  # by request id: its datagrams by number

    def send(self, ident, request):
        self.parts[ident] = {}
        self.socket.send(HEADER.pack(ident, 0, 1, 0) + request)

    def receive(self, ident):
        """The answer's text and how many datagrams it took; those to other requests are kept."""
        parts, total = self.parts[ident], None
        while len(parts) != total:
            if parts and total is None:
                total = next(iter(parts.values()))[0]
                continue
            datagram = self.socket.recv(65536)
            number, sequence, count, reserved = HEADER.unpack_from(datagram)
            assert reserved == 0 and sequence < count and len(datagram) <= 1400
            of = self.parts[number]  # KeyError: an id that nobody asked with
            assert sequence not in of and all(other == count for other, _ in of.values())
            of[sequence] = count, datagram[HEADER.size :]
        del self.parts[ident]
        return b"".join(parts[i][1] for i in range(total)), total

    def ask(self, ident, request):
        self.send(ident, request)
        return self.receive(ident)[0]


class Text:
    """What each question is in the text protocol, and what its answer says."""

    name = b"text"

    def set(self, key, value):
        return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n"

    def get(self, key, value):
        found = b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(value), value) if value is not None else b""
        return b"get %s\r\n" % key, found + b"END\r\n"

    def add(self, key, down, result):
        return b"%s %s 1\r\n" % (b"decr" if down else b"incr", key), b"%d\r\n" % result

    def delete(self, key):
        return b"delete %s\r\n" % key, b"DELETED\r\n"

    def same(self, told, wanted):
        return told == wanted


class Binary:
    """The same in the binary protocol, where an answer is a status and a value."""

    name = b"binary"

    def set(self, key, value):
        return binary.request("set", key, binary.flags_and_expiry(), value), (0, b"")

    def get(self, key, value):
        return binary.request("get", key), (0, value) if value is not None else (1, b"Not found")

    def add(self, key, down, result):
        return binary.request("decr" if down else "incr", key, binary.delta(1)), (0, result.to_bytes(8, "big"))

    def delete(self, key):
        return binary.request("delete", key), (0, b"")

    def same(self, told, wanted):
        (answer,), rest = binary.answers(told)
        return (answer.status, answer.value) == wanted and answer.opaque == binary.OPAQUE and not rest


def check_udp(host, port):
    """The whole of it. Returns how many answers were right."""
    asker, asked = Asker(host, port), 0
    assert asker.ask(160, b"set foo 0 0 6\r\nfooval\r\n") == b"STORED\r\n"
    for ident in (161, 161, 162):
        asker.send(ident, b"get foo\r\n")
        assert asker.receive(ident) == (b"VALUE foo 0 6\r\nfooval\r\nEND\r\n", 1)
        asked += 1
    for protocol in (Text(), Binary()):
        small, large, missing = (protocol.name + b"-" + word for word in (b"small", b"large", b"missing"))
        for request, wanted in (
            protocol.set(small, SMALL), protocol.set(large, LARGE), protocol.get(small, SMALL),
            protocol.get(large, LARGE), protocol.get(missing, None), protocol.add(small, False, 2),
            protocol.add(small, True, 1), protocol.delete(small), protocol.get(small, None),
        ):
            told = asker.ask(45, request)
            assert protocol.same(told, wanted), (request, told)
            asked += 1
        asker.send(46, protocol.get(large, LARGE)[0])
        assert asker.receive(46)[1] == 3, "an answer of 4096 bytes takes three datagrams"
        flight = {47 + i: protocol.get(*((large, LARGE) if i % 2 else (missing, None))) for i in range(8)}
        for ident, (request, _) in flight.items():
            asker.send(ident, request)
        for ident, (_, wanted) in reversed(flight.items()):
            assert protocol.same(asker.receive(ident)[0], wanted)
            asked += 1
    asker.socket.close()
    return asked


CHECKS = 3 + 2 * (9 + 8)


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_an_image_passes_what_memcacheds_test_of_udp_asks(machine):
    with udpkv(machine=machine) as (_, port):
        assert check_udp(HOST, port) == CHECKS


def test_memcached_passes_it():
    with Memcached() as port:
        assert check_udp(HOST, port) == CHECKS


def test_a_process_passes_it_on_a_tap():
    with contextlib.closing(Namespace()) as namespace, namespace.app("udpkv", "tap=ring0") as app:
        app.expect("^udpkv: serves")
        namespace.up("ring0")
        namespace.ping()
        said = namespace.python("from test_binary import check_udp; print(check_udp('10.0.2.15', 11211))")
        assert said == f"{CHECKS}\n"
        end_process(app)


def test_requests_that_follow_each_other_in_a_datagram_are_one_message():
    """Which is the one difference to memcached's datagrams that a client may see: the bytes are the same."""
    with udpkv(machine="microvm") as (_, port), Client(HOST, port) as client:
        wanted = [b"value-%d" % i * 40 for i in range(12)]
        stores = [binary.request("setq", b"k%d" % i, binary.flags_and_expiry(i), value) for i, value in enumerate(wanted)]
        assert binary.readable(client.ask(b"".join(stores) + binary.request("noop", opaque=9))) == (
            b"0a status 00 extras  key  id 0 opaque 00000009 value \r\n")
        gets = b"".join(binary.request("getkq", b"k%d" % i, opaque=i) for i in range(20))
        found, rest = binary.answers(client.ask(gets + binary.request("noop")))
        assert not rest and found.pop().opcode == binary.OPCODES["noop"]
        assert [(a.key, a.value, a.opaque) for a in found] == [(b"k%d" % i, v, i) for i, v in enumerate(wanted)]


def test_what_cannot_be_answered_is_told_in_the_clients_own_protocol():
    with udpkv(machine="microvm") as (_, port), Client(HOST, port) as client:
        client.ask(binary.request("set", b"big", binary.flags_and_expiry(), b"v" * 30000))
        (answer,), rest = binary.answers(client.ask(binary.request("get", b"big") * 3))
        assert (answer.status, answer.value, answer.opaque, rest) == (3, b"answer too long for UDP", binary.OPAQUE, b"")
        assert client.stats()["answers_too_long"] == 1
        client.send(binary.request("get", b"abc")[:-1])
        client.send(binary.request("noop", magic=0x81))
        stats = client.stats()
        assert stats["drop_cut"] == 2, stats
        (*told, last), rest = binary.answers(client.ask(binary.request("stat")))
        assert {a.key for a in told} == {name.encode() for name in stats} and not rest
        assert last[1:5] == (0, b"", b"", b"")
