# SPDX-License-Identifier: BSD-2-Clause
"""What memcached's own test of its UDP side asks, t/udp.t, written anew from the protocol: all of its 67
checks, numbered; and beyond them answers to several requests in flight, and binary requests that follow each
other. memcached has to pass, too.

     1-2   a value is stored; and read
     3-7   an exchange by the bytes: a request is sent; an answer comes; its header; its length; its text
     8-22  ids 161, 161 again and 162, five checks each: an answer comes; it is one datagram; that is number 0;
           its text; it has the request's id
    23-27  a key that isn't there: an answer comes; it is one datagram; that is number 0; its id; its text
    28-45  text: for each answer one check a datagram, that it is there and isn't empty, and one of what it says:
           a set, a set of 4096 bytes, a get, a get of what isn't there, a get of the 4096 bytes (three
           datagrams), incr, decr, delete
    46-67  binary: the same, where a value that is told is a check beside the status
"""

import contextlib
import select

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
        return self.socket.send(HEADER.pack(ident, 0, 1, 0) + request)

    def receive(self, ident):
        """The answer's datagrams in order, without their headers; those to other requests are kept."""
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
        return [parts[i][1] for i in range(total)]

    def ask(self, ident, request):
        self.send(ident, request)
        return self.receive(ident)


class Text:
    """What each question is in the text protocol, and what its answer says."""

    name = b"text"

    def set(self, key, value):
        return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), [b"STORED\r\n"]

    def get(self, key, value):
        found = b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(value), value) if value is not None else b""
        return b"get %s\r\n" % key, [found + b"END\r\n"]

    def add(self, key, down, result):
        return b"%s %s 1\r\n" % (b"decr" if down else b"incr", key), [b"%d\r\n" % result]

    def delete(self, key):
        return b"delete %s\r\n" % key, [b"DELETED\r\n"]

    def says(self, answer):
        return [answer]


class Binary:
    """The same in the binary protocol, where an answer is a status and, if it tells one, a value."""

    name = b"binary"

    def set(self, key, value):
        return binary.request("set", key, binary.flags_and_expiry(), value), [0]

    def get(self, key, value):
        return binary.request("get", key), [0, value] if value is not None else [1]

    def add(self, key, down, result):
        return binary.request("decr" if down else "incr", key, binary.delta(1)), [0, result.to_bytes(8, "big")]

    def delete(self, key):
        return binary.request("delete", key), [0]

    def says(self, text):
        (answer,), rest = binary.answers(text)
        assert answer.opaque == binary.OPAQUE and not rest
        return [answer.status, answer.value] if answer.status == 0 and answer.value else [answer.status]


class Checks:
    """Counts checks, and names the one that fails by its number."""

    def __init__(self):
        self.count = 0

    def equal(self, told, wanted):
        self.count += 1
        assert told == wanted, f"check {self.count}: {told!r} in place of {wanted!r}"


FOO = b"VALUE foo 0 6\r\nfooval\r\nEND\r\n"


def check_single(checks, asker):
    """3 to 7, without what collects datagrams for the others."""
    asked = HEADER.pack(45, 0, 1, 0) + b"get foo\r\n"
    checks.equal(asker.socket.send(asked), len(asked))
    readable, _, _ = select.select([asker.socket], [], [], TIMEOUT_S)
    checks.equal(readable, [asker.socket])
    datagram = asker.socket.recv(65536)
    checks.equal(datagram[:8], b"\0\x2d\0\0\0\1\0\0")
    checks.equal(len(datagram), 36)
    checks.equal(datagram[8:], FOO)


def check_numbers(checks, asker, ident, request, wanted):
    """8 to 27: what `receive` holds together is looked at by itself here."""
    asker.send(ident, request)
    datagram = asker.socket.recv(65536)
    number, sequence, total, _ = HEADER.unpack_from(datagram)
    checks.equal(len(datagram) > HEADER.size, True)
    checks.equal(total, 1)
    checks.equal(sequence, 0)
    checks.equal(datagram[HEADER.size :], wanted)
    checks.equal(number, ident)


def check_udp(host, port):
    """The 67, in the order of the table. Returns how many were made."""
    asker, checks = Asker(host, port), Checks()
    checks.equal(asker.ask(160, b"set foo 0 0 6\r\nfooval\r\n"), [b"STORED\r\n"])
    checks.equal(asker.ask(160, b"get foo\r\n"), [FOO])
    check_single(checks, asker)
    for ident in (161, 161, 162):
        check_numbers(checks, asker, ident, b"get foo\r\n", FOO)
    check_numbers(checks, asker, 404, b"get notexist\r\n", b"END\r\n")
    for protocol in (Text(), Binary()):
        small, large, missing = (protocol.name + b"-" + word for word in (b"small", b"large", b"missing"))
        for request, wanted in (
            protocol.set(small, SMALL), protocol.set(large, LARGE), protocol.get(small, SMALL),
            protocol.get(missing, None), protocol.get(large, LARGE), protocol.add(small, False, 2),
            protocol.add(small, True, 1), protocol.delete(small),
        ):
            datagrams = asker.ask(45, request)
            for datagram in datagrams:
                checks.equal(datagram != b"", True)
            told = protocol.says(b"".join(datagrams))
            assert len(told) == len(wanted), f"behind check {checks.count}: {told!r} in place of {wanted!r}"
            for part, wanted_part in zip(told, wanted):
                checks.equal(part, wanted_part)
        check_flight(asker, protocol, large, missing)
    asker.socket.close()
    return checks.count


def check_flight(asker, protocol, large, missing):
    """Beyond the 67: several requests are asked before the first answer is read."""
    flight = {47 + i: protocol.get(*((large, LARGE) if i % 2 else (missing, None))) for i in range(8)}
    for ident, (request, _) in flight.items():
        asker.send(ident, request)
    for ident, (_, wanted) in reversed(flight.items()):
        assert protocol.says(b"".join(asker.receive(ident))) == wanted


CHECKS = 67


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
