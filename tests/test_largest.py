# SPDX-License-Identifier: BSD-2-Clause
"""Requests as large as a datagram, and answers of as many datagrams as udpkv sends, in each protocol: at the
limit and beyond it, over QEMU's network, and fragment by fragment where a host's own stack refuses."""

import errno

import pytest
from scapy.layers.inet import IP

import memcached_binary as binary
from test_binary import Asker
from test_fragments import wire  # a fixture
from test_udpkv import udpkv
from udpkv_client import HEADER, Client
from vm import HOST

MAX_PAYLOAD = 65507  # 65535 bytes of an IPv4 packet, less its header and UDP's
MAX_REQUEST = MAX_PAYLOAD - HEADER.size
MAX_ANSWER = 64 * (1400 - HEADER.size)
TOO_LONG = b"SERVER_ERROR answer too long for UDP\r\n"


def bytes_of(size):
    return bytes(i * 7 + i // 251 & 0xFF for i in range(size))


@pytest.fixture(scope="module")
def server():
    with udpkv(machine="microvm") as (_, port), Client(HOST, port) as client:
        yield port, client


@pytest.fixture
def ask(server):
    """Sends a request and returns its whole answer."""
    asker = Asker(HOST, server[0])
    yield lambda request: b"".join(asker.ask(7, request))
    asker.socket.close()


def text_set(value):
    return b"set big 0 0 %d\r\n%s\r\n" % (len(value), value), b"STORED\r\n"


def meta_set(value):
    return b"ms big %d\r\n%s\r\n" % (len(value), value), b"HD\r\n"


def binary_set(value):
    return binary.request("setq", b"big", binary.flags_and_expiry(), value) + binary.request("noop", opaque=9), (
        binary.HEADER.pack(binary.ANSWER, binary.OPCODES["noop"], 0, 0, 0, 0, 0, 9, 0))


@pytest.mark.parametrize("store", [text_set, meta_set, binary_set])
def test_a_value_that_fills_a_datagram(server, ask, store):
    _, client = server
    before = client.stats()["reassembled"]
    size = MAX_REQUEST - (len(store(b"x" * 10000)[0]) - 10000)  # its number has five digits, too
    value = bytes_of(size)
    request, wanted = store(value)
    assert len(request) == MAX_REQUEST and ask(request) == wanted
    head = b"VALUE big 0 %d\r\n" % size
    assert ask(b"get big\r\n") == head + value + b"\r\nEND\r\n"
    assert ask(b"mg big v\r\n") == b"VA %d\r\n%s\r\n" % (size, value)
    (answer,), rest = binary.answers(ask(binary.request("get", b"big")))
    assert (answer.status, answer.value, rest) == (0, value, b"")
    assert client.stats()["reassembled"] == before + 1
    with pytest.raises(OSError) as refused:
        ask(store(value + b"x")[0])
    assert refused.value.errno == errno.EMSGSIZE


def test_a_value_that_goes_beyond_the_datagram(ask):
    """It isn't stored, and what is there isn't changed."""
    ask(b"set big 0 0 1\r\nx\r\n")
    for store in (text_set, meta_set):
        request, _ = store(bytes_of(MAX_REQUEST))
        assert ask(request[:MAX_REQUEST]) == b"CLIENT_ERROR bad data chunk\r\n"
    request, _ = binary_set(bytes_of(MAX_REQUEST))
    (answer,), rest = binary.answers(ask(request[:MAX_REQUEST]))
    assert (answer.status, answer.value, rest) == (4, b"Invalid arguments", b"")
    assert ask(b"get big\r\n") == b"VALUE big 0 1\r\nx\r\nEND\r\n"


def text_get(*values):
    found = (b"VALUE full%d 0 %d\r\n%s\r\n" % (i, len(value), value) for i, value in enumerate(values))
    return b"get full0 full1\r\n", b"".join(found) + b"END\r\n", TOO_LONG


def meta_get(*values):
    found = (b"VA %d\r\n%s\r\n" % (len(value), value) for value in values)
    return b"mg full0 v\r\nmg full1 v\r\n", b"".join(found), TOO_LONG


def binary_get(*values):
    def answer(status, extras, value):
        return binary.HEADER.pack(binary.ANSWER, binary.OPCODES["get"], 0, len(extras), 0, status,
                                  len(extras) + len(value), binary.OPAQUE, 0) + extras + value
    return (binary.request("get", b"full0") + binary.request("get", b"full1"),
            b"".join(answer(0, bytes(4), value) for value in values), answer(3, b"", b"answer too long for UDP"))


def without_cas(answer):
    """Binary answers, in which no id is told."""
    return b"".join(
        binary.HEADER.pack(binary.ANSWER, a.opcode, len(a.key), len(a.extras), 0, a.status,
                           len(a.extras) + len(a.key) + len(a.value), a.opaque, 0) + a.extras + a.key + a.value
        for a in binary.answers(answer)[0])


@pytest.mark.parametrize("get", [text_get, meta_get, binary_get])
def test_an_answer_of_all_datagrams_and_one_byte_more(server, ask, get):
    _, client = server
    before = client.stats()
    sizes = [60000, 10000]
    sizes[1] += MAX_ANSWER - len(get(*map(bytes_of, sizes))[1])
    for i, size in enumerate(sizes):
        assert ask(b"set full%d 0 0 %d\r\n%s\r\n" % (i, size, bytes_of(size))) == b"STORED\r\n"
    request, wanted, refused = get(*map(bytes_of, sizes))
    told = ask(request)
    assert len(told) == MAX_ANSWER and (without_cas(told) if get == binary_get else told) == wanted
    assert counted(client, before, "answers_too_long") == 0
    assert ask(b"append full1 0 0 1\r\nx\r\n") == b"STORED\r\n"
    assert ask(request) == refused
    assert counted(client, before, "answers_too_long") == 1


def counted(client, before, name):
    return client.stats()[name] - before[name]


def test_a_get_of_as_many_keys_as_a_datagram_holds(server, ask):
    _, client = server
    ask(b"set k 0 0 1\r\nx\r\n")
    keys = (MAX_REQUEST - len(b"get\r\n")) // 2
    before = client.stats()
    assert ask(b"get" + b" n" * (keys - 1) + b" k\r\n") == b"VALUE k 0 1\r\nx\r\nEND\r\n"
    assert counted(client, before, "get_misses") == keys - 1 and counted(client, before, "get_hits") == 1
    one = b"VALUE k 0 1\r\nx\r\n"
    hits = (MAX_ANSWER - len(b"END\r\n")) // len(one)
    assert ask(b"get" + b" n" * (keys - hits) + b" k" * hits + b"\r\n") == one * hits + b"END\r\n"
    assert ask(b"get" + b" k" * (hits + 1) + b"\r\n") == TOO_LONG
    assert counted(client, before, "answers_too_long") == 1


def test_as_many_meta_gets_as_a_datagram_holds(server, ask):
    _, client = server
    ask(b"set k 0 0 1\r\nx\r\n")
    before = client.stats()
    count = MAX_REQUEST // len(b"mg k v\r\n")
    assert ask(b"mg k v\r\n" * count) == b"VA 1\r\nx\r\n" * count
    assert counted(client, before, "get_hits") == count
    count = MAX_REQUEST // len(b"mg n v\r\n")
    assert ask(b"mg n v\r\n" * (count - 1) + b"mn\r\n") == b"EN\r\n" * (count - 1) + b"MN\r\n"
    ask(b"set k 0 0 10\r\n0123456789\r\n")
    assert ask(b"mg k v\r\n" * count) == TOO_LONG
    assert counted(client, before, "answers_too_long") == 1


def test_as_many_binary_gets_as_a_datagram_holds(server, ask):
    _, client = server
    before = client.stats()
    count = (MAX_REQUEST - binary.HEADER.size) // (binary.HEADER.size + 1)
    noop = binary.request("noop")
    ask(b"set k 0 0 1\r\nx\r\n")
    found, rest = binary.answers(ask(b"".join(binary.request("getkq", b"k", opaque=i) for i in range(count)) + noop))
    assert [(a.key, a.value, a.opaque) for a in found[:-1]] == [(b"k", b"x", i) for i in range(count)] and not rest
    assert counted(client, before, "get_hits") == count
    (answer,), _ = binary.answers(ask(binary.request("getq", b"n") * count + noop))
    assert answer.opcode == binary.OPCODES["noop"]
    assert counted(client, before, "get_misses") == count
    ask(b"set k 0 0 10\r\n0123456789\r\n")
    *_, answer = binary.answers(ask(binary.request("getkq", b"k") * count + noop))[0]
    assert (answer.status, answer.value) == (3, b"answer too long for UDP")
    assert counted(client, before, "answers_too_long") == 1


def test_more_than_a_datagram_is_dropped_and_counted(wire):
    """A last fragment that goes beyond 65535 bytes, and a UDP length that isn't the datagram's."""
    size = MAX_REQUEST - len(b"set big 0 0 65000\r\n\r\n")
    whole = b"set big 0 0 %d\r\n%s\r\n" % (size, b"v" * size)
    assert len(whole) == MAX_REQUEST and wire.ask(whole) == b"STORED\r\n"
    for more, name in ((8, "fragment_shape"), (0, "udp_length")):
        before = wire.counters()
        packets = wire.fragments(whole, 1480)
        last = packets[-1]
        if more:
            last = wire.fragment(bytes(last[IP].payload) + b"v" * more, last[IP].frag * 8, False)
        else:
            last = wire.fragment(bytes(last[IP].payload)[:-8], last[IP].frag * 8, False)
        for packet in [*packets[:-1], last]:
            wire.send(packet)
        assert wire.ask(b"get none\r\n") == b"END\r\n"
        assert wire.counted(before, name) == 1
    assert wire.ask(b"get big\r\n").endswith(b"v\r\nEND\r\n")
