# SPDX-License-Identifier: BSD-2-Clause
"""kvload, the load generator of bench/: its arithmetic, its figures, and that it sees what is wrong."""

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import threading

import pytest

from memcached_peer import HOST, Memcached
from testpmd import eal_memory
from udpkv_client import HEADER, Client
from vm import DEADLINE_S, ROOT, Vm, free_udp_port, image, qemu_command, user_netdev

FOLDER = ROOT / "bench/kvload"
PROTOCOLS = pytest.mark.parametrize("protocol", ["-Pmemcache_text", "-Pmemcache_binary"])
SIZES = ("--data-size=0", "--data-size=1300", "--data-size-range=10-900", "--data-size-list=1:1,64:8,1000:1",
         "--data-size=1400", "--data-size=65400", "--data-size-range=0-65400", "--data-size-list=1:8,1301:1,65400:1")


@pytest.fixture(scope="module")
def kvload():
    """The program, built."""
    subprocess.run(["make", "-s", "-C", ROOT, "kvload"], check=True)
    return ROOT / "build/bench/kvload"


def run(kvload, port, *options, json_file=None):
    command = [kvload, f"--port={port}", "--threads=1", *options]
    command += [f"--json-out-file={json_file}"] if json_file else []
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=4 * DEADLINE_S)


@pytest.mark.parametrize("what, count", [("arithmetic", 8), ("versions", 4), ("protocol", 7), ("parts", 4)])
def test_its_units(tmp_path, what, count):
    program = tmp_path / what
    sources = [FOLDER / name for name in (f"{what}_test.c", "histogram.c", "pattern.c", "versions.c", "parts.c", "load.c",
                                          "late.c", "wrong.c", "protocol_text.c", "protocol_binary.c")]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-fsanitize=address,undefined", "-o", program, *sources, "-lm"],
                   check=True)
    done = subprocess.run([program], env={"ASAN_OPTIONS": "detect_leaks=0"}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("ok ") == count


@PROTOCOLS
def test_its_figures_agree_with_memcacheds_own(kvload, tmp_path, protocol):
    """Requests, hits and misses are the same; deletes, too. Half the keys are never stored."""
    with Memcached() as port, Client(HOST, port) as client:
        done = run(kvload, port, protocol, "--clients=4", "--pipeline=8", "--requests=5000", "--ratio=2:7:1",
                   "--key-minimum=1", "--key-maximum=20000", "--key-pattern=Z:R", "--data-size-range=0-500",
                   json_file=tmp_path / "json")
        stats = client.stats()
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "json").read_text())
    sets, gets, deletes, totals = (told["ALL STATS"][name] for name in ("Sets", "Gets", "Deletes", "Totals"))
    assert told["kvload"]["timeouts"] == 0, "a machine this busy can't tell"
    assert totals["Count"] == 20000 == told["kvload"]["sent"]
    assert sets["Count"] == stats["cmd_set"]
    assert gets["Count"] == stats["cmd_get"] and gets["Misses"] > 0
    assert (gets["Hits"], gets["Misses"]) == (stats["get_hits"], stats["get_misses"])
    assert (deletes["Hits"], deletes["Misses"]) == (stats["delete_hits"], stats["delete_misses"])
    assert told["server stats"]["cmd_get"] == stats["cmd_get"]
    assert told["server gauges"]["curr_items"] == stats["curr_items"] > 0
    assert not told["server stats"].keys() & {"curr_items", "bytes", "uptime", "time", "pid", "limit_maxbytes", "threads"}
    seconds = told["kvload"]["seconds"]
    assert totals["Ops/sec"] == pytest.approx(20000 / seconds, rel=0.001)
    latencies = gets["Percentile Latencies"]
    assert gets["Min Latency"] <= latencies["p50.00"] <= latencies["p99.00"] <= latencies["p99.90"]
    assert latencies["p99.90"] <= gets["Max Latency"] <= seconds * 1000


@PROTOCOLS
def test_a_get_of_several_keys_is_one_request(kvload, tmp_path, protocol):
    """Of ten gets in a row, in requests of at most four keys: 4, 4 and 2. Half the keys are never stored. memcached makes
    a message of each value, some of several datagrams."""
    with Memcached() as port, Client(HOST, port) as client:
        done = run(kvload, port, protocol, "--clients=4", "--pipeline=4", "--requests=1000", "--ratio=1:10",
                   "--multi-key-get=4", "--key-maximum=999", "--data-size-range=0-1300", json_file=tmp_path / "json")
        stats = client.stats()
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "json").read_text())
    sets, gets, totals = (told["ALL STATS"][name] for name in ("Sets", "Gets", "Totals"))
    assert told["kvload"]["timeouts"] == 0, "a machine this busy can't tell"
    assert (sets["Count"], gets["Count"], totals["Count"]) == (1000, 3000, 4000)
    assert told["kvload"]["get_keys"] == stats["cmd_get"] == 10000
    assert (gets["Hits"], gets["Misses"]) == (stats["get_hits"], stats["get_misses"])
    assert gets["Hits"] > 0 and gets["Misses"] > 0
    assert gets["Ops/sec"] == pytest.approx(3000 / told["kvload"]["seconds"], rel=0.001)
    assert told["kvload"]["get_keys_per_s"] == pytest.approx(10000 / told["kvload"]["seconds"], rel=0.001)
    assert gets["Hits/sec"] + gets["Misses/sec"] == pytest.approx(told["kvload"]["get_keys_per_s"], rel=0.001)
    assert "3000 gets asked for 10000 keys: " in done.stdout


@pytest.mark.testpmd  # kvload over DPDK takes a whole core, too
@PROTOCOLS
@pytest.mark.parametrize("size, keys", [(32, 1), (400, 9)])
def test_as_a_machines_back_end_its_figures_agree_with_udpkvs(kvload, tmp_path, protocol, size, keys):
    """Over vhost-user, where kvload speaks Ethernet itself: every key is stored, then read; one by one, or several by a
    get, whose answer is one message of several datagrams."""
    sock = tmp_path / "vhost"
    with socket.socket(socket.AF_UNIX) as leftover:  # of an earlier run, which it removes
        leftover.bind(str(sock))
    load = [kvload, protocol, f"--vhost={sock}", "--clients=2", "--pipeline=16", "--requests=20000", "--ratio=1:9",
            "--key-minimum=1", "--key-maximum=1000", "--populate", f"--data-size={size}", f"--multi-key-get={keys}", f"--json-out-file={tmp_path / 'json'}",
            f"--connect-timeout-ms={DEADLINE_S * 1000}", "--", "--lcores=0@0", "--no-telemetry", *eal_memory(False)]
    with Vm([str(word) for word in load]) as client:
        client.expect("binding succeeded")
        with Vm([str(image("udpkv", "linux")), f"vhost={sock}", "udpkv.mem=8M", "mem=32M"]) as udpkv:
            assert client.status(4 * DEADLINE_S) == 0, f"{client.console()}\n--- udpkv\n{udpkv.console()}"
            udpkv.interrupt()
            summary = udpkv.expect(r"(\d+) requests, .* (\d+) hits, (\d+) misses; (\d+) items")
            assert udpkv.status() == 0, udpkv.console()
    told = json.loads((tmp_path / "json").read_text())
    gets = told["ALL STATS"]["Gets"]
    assert told["kvload"]["timeouts"] == 0, "a machine this busy can't tell"
    assert told["ALL STATS"]["Totals"]["Count"] == 40000
    assert (gets["Hits"], gets["Misses"]) == (int(summary[2]), int(summary[3])) == (gets["Count"] * keys, 0)
    assert int(summary[4]) == 1000


def test_the_table_is_memtiers(kvload):
    with Memcached() as port:
        done = run(kvload, port, "--requests=100", "--key-maximum=99", "--print-percentiles=50,90,99.99")
    assert done.returncode == 0, done.stdout
    head = re.search(r"^Type +Ops/sec +Hits/sec +Misses/sec +Avg\. Latency +p50 Latency +p90 Latency"
                     r" +p99\.99 Latency +KB/sec *$", done.stdout, re.M)
    assert head, done.stdout
    for name in ("Sets", "Gets", "Totals"):
        assert re.search(rf"^{name} +[0-9.]+ ", done.stdout, re.M), done.stdout


@contextlib.contextmanager
def udpkv_image():
    """udpkv behind QEMU's user network, which cuts what is larger than its MTU into fragments; its port."""
    port = free_udp_port()
    command = qemu_command(image("udpkv"), "udpkv.mem=96M", "microvm", "tcg", "160M", netdev=user_netdev(port))
    with Vm(command) as udpkv:
        udpkv.expect("^udpkv: serves")
        yield port


@PROTOCOLS
@pytest.mark.parametrize("server", [Memcached, udpkv_image])
def test_values_of_every_size_come_back(kvload, tmp_path, server, protocol):
    """Sets in one datagram, answers in up to 47."""
    with server() as port:
        for size in SIZES:
            done = run(kvload, port, protocol, "--flush", "--populate", "--clients=2", "--requests=300", "--ratio=1:1",
                       "--key-minimum=1", "--key-maximum=200", size, "--timeout-ms=20000", json_file=tmp_path / "json")
            assert done.returncode == 0, f"{size}: {done.stdout}"
            told = json.loads((tmp_path / "json").read_text())
            assert told["kvload"]["timeouts"] == 0 == told["ALL STATS"]["Gets"]["Misses"], f"{size}: {done.stdout}"


def test_what_one_protocol_stores_the_other_finds(kvload, tmp_path):
    options = ("--clients=2", "--key-maximum=99", "--data-size-range=0-200")
    with Memcached() as port:
        for stored, asked in (("text", "binary"), ("binary", "text")):
            for protocol, ratio in ((stored, "1:0"), (asked, "0:1")):
                done = run(kvload, port, f"--protocol=memcache_{protocol}", *options, f"--ratio={ratio}",
                           "--requests=allkeys", "--key-pattern=S:S", json_file=tmp_path / "json")
                assert done.returncode == 0, done.stdout
            told = json.loads((tmp_path / "json").read_text())
            assert told["configuration"]["protocol"] == f"memcache_{asked} over UDP"
            assert (told["ALL STATS"]["Gets"]["Hits"], told["ALL STATS"]["Gets"]["Misses"]) == (100, 0)


@PROTOCOLS
def test_items_expire_when_they_should(kvload, protocol):
    """memcached tells how long they have: of a hundred some have a minute, some more, none beyond two."""
    with Memcached() as port, Client(HOST, port) as client:
        done = run(kvload, port, protocol, "--ratio=1:0", "--requests=allkeys", "--clients=1", "--key-maximum=99",
                   "--key-pattern=S:S", "--expiry-range=60-120")
        left = [int(client.ask(b"mg memtier-%d t\r\n" % number).split(b" t")[1]) for number in range(100)]
    assert done.returncode == 0, done.stdout
    assert max(left) <= 120 and max(left) - min(left) > 20


def test_a_run_may_have_a_ratio_of_its_own(kvload):
    """Which stays for the runs after it."""
    with Memcached() as port, Vm([str(kvload), f"--port={port}", "--threads=2", "--ratio=1:1", "--key-maximum=99",
                                  "--control"]) as load:
        load.expect("ready")
        counts = []
        for line in ("0.3", "0.3 0 1:0", "0.3 0 0:3:1 S:P", "0.3 1000"):
            load.send(f"{line}\n".encode())
            told = json.loads(load.expect(r"(?m)^\{.*\}\r?$")[0])
            kinds = [told["ALL STATS"].get(name, {"Count": 0}) for name in ("Sets", "Gets", "Deletes")]
            counts.append([kind["Count"] > 0 for kind in kinds])
        load.send(b"1 0 1:x\n")
        load.expect("--ratio is ")
        assert load.status() == 2
    assert counts == [[True, True, False], [True, False, False], [False, True, True], [False, True, True]]


def test_a_rate_is_kept_and_latency_counts_from_when_it_was_due(kvload, tmp_path):
    """2000 a second for half a second is 1000 requests, whatever the machine does meanwhile."""
    with Memcached() as port:
        done = run(kvload, port, "--clients=2", "--pipeline=512", "--rate-limiting=1000", "--test-time=0.5",
                   "--key-maximum=99", json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "json").read_text())["kvload"]
    assert 500 < told["sent"] <= 1001


class Liar:
    """A server that answers every get with what `answer` makes of (id, key, flags, value), one of several keys with what
    `answer_many` makes of the id and a list of (key, flags, value); sets are stored, but for the one whose number is
    `lost`."""

    def __init__(self, answer=None, lost=None, answer_many=None):
        self._answer = answer
        self._answer_many = answer_many
        self._lost = lost
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.values = {}

    def _serve(self):
        sets = 0
        while not self._stop.is_set():
            if not select.select([self._socket], [], [], 0.05)[0]:
                continue
            data, sender = self._socket.recvfrom(65536)
            ident = data[: HEADER.size]
            words = data[HEADER.size :].split(b"\r\n", 1)[0].split()
            if words[0] == b"set":
                sets += 1
                if sets != self._lost:
                    self.values[words[1]] = words[2], data[HEADER.size :].split(b"\r\n", 1)[1][: int(words[4])]
                answers = [ident + b"STORED\r\n"]
            elif words[0] == b"get":
                items = [(key, *self.values[key]) for key in words[1:]]
                answers = self._answer_many(ident, items) if self._answer_many else self._answer(ident, *items[0])
            else:
                answers = [ident + {b"version": b"VERSION 0\r\n", b"stats": b"STAT pid 1\r\nEND\r\n"}[words[0]]]
            for answer in answers:
                self._socket.sendto(answer, sender)

    def shrink_buffer(self):
        """To the least that the kernel allows, which is a datagram or two."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._socket.close()


def value(ident, key, flags, bytes_):
    return values(ident, [(key, flags, bytes_)])


def values(ident, items, end=b"END\r\n"):
    """A message with a value of each item."""
    return ident + b"".join(b"VALUE %s %s %d\r\n%s\r\n" % (key, flags, len(bytes_), bytes_)
                            for key, flags, bytes_ in items) + end


def one_by_one(ident, items):
    """As memcached does."""
    return [values(ident, [item], b"") for item in items[:-1]] + [values(ident, items[-1:])]


def older(flags):
    return b"%d" % (int(flags) - 1)


LIES = {
    "another byte": lambda i, k, f, v: [value(i, k, f, v[:-1] + bytes([v[-1] ^ 1]))],
    "a shorter value": lambda i, k, f, v: [value(i, k, f, v[:-1])],
    "a longer value": lambda i, k, f, v: [value(i, k, f, v + b"x")],
    "another key": lambda i, k, f, v: [value(i, k[:-1] + b"x", f, v)],
    "other flags": lambda i, k, f, v: [value(i, k, older(f), v)],
    "no end": lambda i, k, f, v: [value(i, k, f, v)[:-5]],
    "an error": lambda i, k, f, v: [i + b"SERVER_ERROR out of memory\r\n"],
    "answered twice": lambda i, k, f, v: [value(i, k, f, v)] * 2,
}
MANY = ("--clients=1", "--requests=40", "--ratio=4:4", "--populate", "--key-minimum=1", "--key-maximum=20",
        "--key-pattern=S:S", "--multi-key-get=4", "--timeout-ms=20000")
MANY_LIES = {
    "another byte of the third": lambda i, v: [values(i, [*v[:2], (*v[2][:2], v[2][2][:-1] + b"!"), v[3]])],
    "an older version of the last": lambda i, v: [values(i, [*v[:3], (v[3][0], older(v[3][1]), v[3][2])])],
    "another key's value": lambda i, v: [values(i, [v[0], (v[1][0], *v[2][1:]), *v[2:]])],
    "two swapped": lambda i, v: [values(i, [v[1], v[0], *v[2:]])],
    "one twice": lambda i, v: [values(i, [v[0], v[0], *v[1:]])],
    "one that wasn't asked for": lambda i, v: [values(i, [*v, (b"memtier-0", *v[0][1:])])],
    "no end": lambda i, v: [values(i, v, b"")],
    "more behind the end": lambda i, v: [values(i, v) + b"END\r\n"],
    "a message again": lambda i, v: one_by_one(i, v)[:1] * 2 + one_by_one(i, v)[1:],
    "a message behind the last": lambda i, v: one_by_one(i, v) + [i + b"END\r\n"],
    "an error after two": lambda i, v: [values(i, v[:2], b"SERVER_ERROR out of memory\r\n")],
}


def parts(ident, key, flags, bytes_, size=1400):
    """An answer in several datagrams."""
    text = value(b"", key, flags, bytes_)
    total = -(-len(text) // size)
    number = HEADER.unpack(ident)[0]
    return [HEADER.pack(number, i, total, 0) + text[i * size : (i + 1) * size] for i in range(total)]


def numbered(part, number, total):
    return HEADER.pack(HEADER.unpack_from(part)[0], number, total, 0) + part[HEADER.size :]


# Of values that come in three datagrams; `p` are these.
LIES_IN_PARTS = {
    "another byte": lambda p: [p[0], p[1][:-1] + bytes([p[1][-1] ^ 1]), p[2]],
    "parts that have changed places": lambda p: [numbered(p[1], 0, 3), numbered(p[0], 1, 3), p[2]],
    "a number beyond the total": lambda p: [p[0], numbered(p[1], 3, 3), p[2]],
    "a number far beyond the total": lambda p: [p[0], numbered(p[1], 65535, 3), p[2]],
    "a total that changes": lambda p: [p[0], p[1], numbered(p[2], 2, 4)],
    "a total of 0": lambda p: [p[0], numbered(p[1], 1, 0), p[2]],
    "a total of 65535": lambda p: [numbered(p[0], 0, 65535)],
    "a part twice": lambda p: [p[0], p[0], p[1], p[2]],
    "all twice": lambda p: p * 2,
    "a part that is empty": lambda p: [p[0], p[1][: HEADER.size], p[2]],
    "a part more": lambda p: [numbered(part, i, 4) for i, part in enumerate(p + [p[0]])],
    "parts without an end": lambda p: [numbered(p[0], i, 64) for i in range(63)],
}


@pytest.mark.parametrize("lie", LIES_IN_PARTS)
def test_a_wrong_answer_in_parts_fails_the_run(kvload, lie):
    options = ("--clients=1", "--requests=40", "--ratio=1:1", "--populate", "--data-size=3000", "--key-maximum=20",
               "--timeout-ms=20000")
    for honest in (lambda p: p, lambda p: p[::-1], lambda p: [p[1], p[2], p[0]]):
        with Liar(lambda i, k, f, v, h=honest: h(parts(i, k, f, v))) as server:
            assert run(kvload, server.port, *options).returncode == 0
    with Liar(lambda i, k, f, v: LIES_IN_PARTS[lie](parts(i, k, f, v))) as liar:
        done = run(kvload, liar.port, *options)
    assert done.returncode == 1, done.stdout
    assert "wrong answer to get" in done.stdout or "or twice" in done.stdout


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_part_that_is_lost_is_a_timeout(kvload, tmp_path, missing):
    lost = []

    def forgetful(ident, key, flags, bytes_):
        came = parts(ident, key, flags, bytes_)
        if len(lost) < 3:
            lost.append(came)
            del came[missing]
        return came

    with Liar(forgetful) as liar:
        done = run(kvload, liar.port, "--clients=1", "--pipeline=4", "--requests=100", "--ratio=1:1", "--populate",
                   "--key-minimum=1", "--key-maximum=20", "--data-size=3000", "--timeout-ms=500",
                   json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "json").read_text())
    assert told["kvload"]["timeouts"] == 3
    assert told["ALL STATS"]["Totals"]["Count"] == 97


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_answer_fails_the_run(kvload, lie):
    options = ("--clients=1", "--pipeline=1", "--requests=40", "--ratio=1:1", "--populate", "--key-minimum=1",
               "--key-maximum=20", "--timeout-ms=20000")
    with Liar(lambda i, k, f, v: [value(i, k, f, v)]) as honest:
        assert run(kvload, honest.port, *options).returncode == 0
    with Liar(LIES[lie]) as liar:
        done = run(kvload, liar.port, *options)
    assert done.returncode == 1, done.stdout
    assert "wrong answer to get" in done.stdout or "or twice" in done.stdout


def test_a_value_of_before_fails_the_run(kvload):
    """The right bytes of an older version: a store that was confirmed must not be lost."""
    first = {}

    def stale(ident, key, flags, bytes_):
        return [value(ident, key, *first.setdefault(key, (flags, bytes_)))]

    with Liar(stale) as liar:
        done = run(kvload, liar.port, "--clients=1", "--requests=400", "--ratio=1:1", "--key-minimum=1",
                   "--populate", "--key-maximum=20", "--key-pattern=S:S")
    assert done.returncode == 1, done.stdout
    assert "wrong answer to get" in done.stdout


def test_an_answer_to_several_keys_may_come_in_one_message_or_more(kvload):
    for honest in (one_by_one, lambda i, v: [values(i, v)], lambda i, v: [values(i, v[:3], b""), values(i, v[3:])]):
        with Liar(answer_many=honest) as server:
            done = run(kvload, server.port, *MANY)
        assert done.returncode == 0 and "0 timeouts, 0 late" in done.stdout, done.stdout


@pytest.mark.parametrize("lie", MANY_LIES)
def test_one_wrong_value_of_several_fails_the_run(kvload, lie):
    with Liar(answer_many=MANY_LIES[lie]) as liar:
        done = run(kvload, liar.port, *MANY)
    assert done.returncode == 1, done.stdout
    assert "wrong answer to get" in done.stdout or "or twice" in done.stdout


def test_late_messages_of_one_answer_are_late_and_not_wrong(kvload, tmp_path):
    """They come when the request was given up and the next one is answered."""
    held = []

    def late(ident, items):
        held.append(one_by_one(ident, items))
        return [] if len(held) == 1 else held[0] + held[1] if len(held) == 2 else held[-1]

    with Liar(answer_many=late) as server:
        done = run(kvload, server.port, *MANY, "--timeout-ms=500", json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "json").read_text())["kvload"]
    assert (told["timeouts"], told["late"]) == (1, 4)


@pytest.mark.parametrize("keys", [1, 5])
@pytest.mark.parametrize("pipeline", [1, 16])
def test_one_lost_set_is_found(kvload, pipeline, keys):
    """Of some 2000 that four clients have on the way beside each other; each key is set anew after some
    ten gets of it, or one of five. REQUESTS=500000 in the environment for as many a client."""
    options = ("--clients=4", f"--pipeline={pipeline}", "--ratio=1:10", "--key-pattern=S:R", "--populate",
               "--key-maximum=99", f"--requests={os.environ.get('REQUESTS', '5000')}", f"--multi-key-get={keys}")
    with Liar(answer_many=one_by_one) as honest:
        done = run(kvload, honest.port, *options)
        assert done.returncode == 0, done.stdout
    with Liar(answer_many=one_by_one, lost=1000) as liar:
        done = run(kvload, liar.port, *options)
    assert done.returncode == 1, done.stdout
    assert "wrong answer to get" in done.stdout


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pipeline", [1, 64])
def test_sets_that_overlap_have_no_order(kvload, threads, pipeline):
    """Several clients set the same twenty keys at the same time, and memcached's threads take them in
    an order of their own."""
    with Memcached(threads=4) as port:
        done = run(kvload, port, f"--threads={threads}", "--clients=4", f"--pipeline={pipeline}", "--ratio=1:1",
                   "--key-maximum=19", "--requests=5000", "--timeout-ms=5000")
    assert done.returncode == 0, done.stdout
    assert re.search(r" 0 wrong", done.stdout), done.stdout


def test_loss_is_a_timeout_and_counted_apart(kvload, tmp_path):
    lost = []

    def forgetful(ident, key, flags, bytes_):
        if len(lost) < 3:
            lost.append(ident)
            return []
        return [value(ident, key, flags, bytes_)]

    with Liar(forgetful) as liar:
        done = run(kvload, liar.port, "--clients=1", "--pipeline=4", "--requests=100", "--ratio=1:1", "--populate",
                   "--key-minimum=1", "--key-maximum=20", "--timeout-ms=500", json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "json").read_text())
    assert told["kvload"]["timeouts"] == 3
    assert told["ALL STATS"]["Totals"]["Count"] == 97


def losses(path):
    """What is told of a run's timeouts."""
    told = json.loads(path.read_text())["kvload"]
    return told["timeouts"], told["late"], told["no_room"]["server_socket"], told["socket_errors"]


def test_what_found_no_room_in_the_servers_socket_is_told(kvload, tmp_path):
    with Liar(lambda i, k, f, v: [value(i, k, f, v)]) as liar:
        liar.shrink_buffer()
        done = run(kvload, liar.port, "--clients=1", "--pipeline=64", "--requests=100", "--ratio=1:0", "--key-maximum=99",
                   "--timeout-ms=300", json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    timeouts, late, no_room, _ = losses(tmp_path / "json")
    assert timeouts - late <= no_room <= timeouts + 1 and no_room > 0, done.stdout  # one may be of stats
    assert f"{timeouts} requests timed out: no answer came within 300 ms" in done.stdout
    assert f"port {liar.port} of this machine, had no room for {no_room} datagrams" in done.stdout


def test_late_answers_are_told(kvload, tmp_path):
    """The first answer to a get comes when the next request does: the first one was given up by then."""
    held = []

    def late(ident, key, flags, bytes_):
        held.append(value(ident, key, flags, bytes_))
        return [] if len(held) == 1 else held if len(held) == 2 else held[-1:]

    with Liar(late) as liar:
        done = run(kvload, liar.port, "--clients=1", "--requests=30", "--ratio=1:1", "--populate", "--key-maximum=9",
                   "--timeout-ms=300", json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    assert losses(tmp_path / "json")[:2] == (1, 1), done.stdout
    latest = json.loads((tmp_path / "json").read_text())["kvload"]["latest_answer_ms"]
    assert latest >= 300
    assert f"Late answers came to some, 1 in all, the last one after {latest:.0f} ms." in done.stdout


def test_a_server_that_is_gone_is_told(kvload, tmp_path):
    """By ICMP, which the kernel reports."""
    memcached = Memcached()
    with memcached as port:
        command = [kvload, f"--port={port}", "--threads=1", "--clients=2", "--test-time=1000", "--timeout-ms=300",
                   f"--json-out-file={tmp_path / 'json'}"]
        with Vm([str(word) for word in command]) as load:
            load.expect("[1-9] answered")
            memcached.process.kill()
            load.expect("[1-9] timeouts")
            load.interrupt()
            load.expect("sockets reported [0-9]+ errors, the last one: Connection refused")
            assert load.status() == 130, load.console()
    assert losses(tmp_path / "json")[3] > 0


@pytest.mark.parametrize("server", [Memcached, udpkv_image])
def test_the_default_run_loses_nothing(kvload, tmp_path, server):
    """Its window fits in the server's socket, of memcached or of QEMU's user network."""
    with server() as port:
        for size, window in ((32, (4, 32)), (1400, (4, 10)), (65400, (1, 1))):
            path = tmp_path / f"{size}"
            done = subprocess.run([kvload, f"--port={port}", "--requests=100", "--ratio=1:1", f"--data-size={size}",
                                   "--flush", f"--json-out-file={path}"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=4 * DEADLINE_S)
            assert done.returncode == 0, done.stdout
            assert losses(path) == (0, 0, 0, 0), done.stdout
            told = json.loads(path.read_text())["run information"]
            assert (told["Threads"], told["Connections per thread"]) == window


@PROTOCOLS
def test_values_of_an_earlier_run_are_told_as_that(kvload, protocol):
    options = (protocol, "--clients=1", "--requests=100", "--ratio=1:1", "--key-maximum=20")
    with Memcached() as port:
        assert run(kvload, port, *options, "--populate", "--data-size=40").returncode == 0
        assert run(kvload, port, *options, "--key-pattern=S:R").returncode == 1
        done = run(kvload, port, *options, "--ratio=0:1", "--data-size=50")
        assert done.returncode == 1, done.stdout
        assert "It is what a run with another --data-size stores. --flush empties" in done.stdout
        assert run(kvload, port, *options, "--flush", "--data-size=50").returncode == 0
        assert run(kvload, port, *options, "--key-prefix=other-", "--data-size=60").returncode == 0
        with Client(HOST, port) as client:
            for number in range(21):
                assert client.ask(b"set memtier-%d 0 0 32\r\n%s\r\n" % (number, b"x" * 32)) == b"STORED\r\n"
        done = run(kvload, port, *options, "--ratio=0:1")
        assert done.returncode == 1, done.stdout
        assert "It is what another program stores, by its flags. --flush empties" in done.stdout
        assert run(kvload, port, *options, "--populate", "--data-size=65400", "--flush").returncode == 0
        for size in (50, 9000):  # the answer is longer than any that can be right
            done = run(kvload, port, *options, "--ratio=0:1", f"--data-size={size}")
            assert done.returncode == 1, done.stdout
            assert "It is what a run with another --data-size stores. --flush empties" in done.stdout


@pytest.mark.parametrize("listens, server", [(HOST, "localhost"), ("::1", "::1")])
def test_the_server_has_a_name_or_an_address(kvload, listens, server):
    with Memcached(host=listens) as port:
        done = run(kvload, port, f"--server={server}", "--requests=10")
    assert done.returncode == 0, done.stdout
    assert run(kvload, 11211, "--server=no.such.host.invalid").returncode == 2


def test_an_interrupted_run_tells_what_it_measured(kvload, tmp_path):
    with Memcached() as port:
        command = [kvload, f"--port={port}", "--threads=2", "--test-time=1000", f"--json-out-file={tmp_path / 'json'}"]
        with Vm([str(word) for word in command]) as load:
            load.expect(r"run: 1 s, [1-9]\d* answered, \d+/s \(avg\. \d+/s\), 0 wrong, 0 timeouts")
            load.interrupt()
            load.expect("ALL STATS")
            assert load.status() == 130, load.console()
    assert json.loads((tmp_path / "json").read_text())["ALL STATS"]["Totals"]["Count"] > 0


def test_runs_are_told_as_memtier_does(kvload, tmp_path):
    """Several runs, in files: the table, JSON with a series of seconds, percentiles as HdrHistogram has them."""
    out, prefix = tmp_path / "out", tmp_path / "latency"
    with Memcached() as port:
        done = run(kvload, port, "--clients=4", "--test-time=1.5", "--key-maximum=99", "-x", "2", "--print-all-runs",
                   f"--out-file={out}", f"--hdr-file-prefix={prefix}", json_file=tmp_path / "json")
    assert done.returncode == 0, done.stdout
    titles = ("RUN #1 RESULTS", "RUN #2 RESULTS", "BEST RUN RESULTS", "WORST RUN RESULTS",
              "AGGREGATED AVERAGE RESULTS (2 runs)")
    assert re.findall(r"^.* RESULTS.*$", out.read_text(), re.M) == list(titles)
    assert "Totals" not in done.stdout
    told = json.loads((tmp_path / "json").read_text())["ALL STATS"]
    counts = {name: sum(second["Count"] for second in told[name]["Time-Serie"].values())
              for name in ("Sets", "Gets", "Totals")}
    assert len(told["Totals"]["Time-Serie"]) == 2
    assert counts["Totals"] == counts["Sets"] + counts["Gets"] > 0
    gets = [(tmp_path / f"latency_GET_run_{number}.hgrm").read_text() for number in (1, 2)]
    totals = [int(re.search(r"^#\[Max .*Total count += +(\d+)\]$", text, re.M)[1]) for text in gets]
    assert sum(totals) == told["Gets"]["Count"] and totals[1] == counts["Gets"]
    rows = [[float(word) for word in line.split()[:3]] for line in gets[0].splitlines()[2:] if line[0] != "#"]
    assert rows == sorted(rows) and rows[-1][1:] == [1, totals[0]]
    assert len(rows) > 10


def test_what_a_memtier_user_types(kvload):
    with Memcached() as port:
        done = run(kvload, port, *"-P memcache_text -s localhost -t 2 -c 3 -n 50 -d 100 --random-data --ratio=1:1"
                   " --distinct-client-seed --key-pattern=R:R --hide-histogram -x 1".split())
        assert done.returncode == 0, done.stdout
        assert " 300 answered, 0 wrong" in done.stdout
        assert run(kvload, port, "-P", "redis").returncode == 2


@pytest.mark.parametrize("size", ["--data-size=1301", "--data-size-range=5-1301", "--data-size-list=5:9,1301:1"])
@pytest.mark.parametrize("way", ["--vhost=/nowhere/socket", "-- --no-pci"])
def test_what_fits_in_no_frame_is_refused_over_dpdk(kvload, size, way):
    done = subprocess.run([kvload, size, *way.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 2
    assert "A value of 1301 bytes" in done.stdout and "at most 1300 bytes" in done.stdout and "sockets" in done.stdout


def test_runs_ask_in_the_same_order_unless_told_to_randomize(kvload):
    def keys(*options):
        with Liar(lambda i, k, f, v: [value(i, k, f, v)]) as server:
            assert run(kvload, server.port, "--clients=1", "--requests=50", "--ratio=1:0", *options).returncode == 0
            return list(server.values)

    assert keys() == keys("--random-data", "--distinct-client-seed") != keys("--randomize")
    assert keys("--randomize") != keys("-R", "--randomize")


@pytest.mark.parametrize("listens, option, other", [(HOST, "-4", "--ipv6"), ("::1", "-6", "--ipv4")])
def test_of_a_names_addresses_one_kind_is_taken(kvload, listens, option, other):
    with Memcached(host=listens) as port:
        done = run(kvload, port, "-h", listens, option, "--requests=10")
        assert done.returncode == 0, done.stdout
        done = run(kvload, port, f"--host={listens}", other, "--requests=10")
    assert done.returncode == 2 and "family" in done.stdout, done.stdout


def test_a_file_that_cant_be_written_is_told_before_the_run(kvload, tmp_path):
    done = run(kvload, 1, f"--out-file={tmp_path}/none/out")
    assert done.returncode == 2 and "can't be written" in done.stdout


def test_without_a_server_it_says_so(kvload):
    done = run(kvload, free_udp_port(), "--connect-timeout-ms=50")
    assert done.returncode == 3
    assert "doesn't answer" in done.stdout


def test_the_table_of_memtiers_options_is_true(kvload):
    """In docs/clients.md: --help tells those that kvload has, and no others."""
    told = subprocess.run([kvload, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    table = (ROOT / "docs/clients.md").read_text().split("| memtier_benchmark | kvload |")[1]
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", table, re.M)
    assert len(rows) > 20
    for names, what in rows:
        options = re.findall(r"`(?:-. )?(-[-\w]+)", names)
        have = 0 if re.match("no\\b|always", what) else 1 if what.startswith("the first") else len(options)
        for number, option in enumerate(options):
            assert bool(re.search(rf"(^|[ /]){option}\b(?!-)", told, re.M)) == (number < have), option


@pytest.mark.parametrize("options, told", [
    ("--multi-key-get=84", "84: a request has at most 1432 bytes, which is 83 keys of 16 bytes in memcache_text"),
    ("--multi-key-get=36 -P memcache_binary", "is 35 keys of 16 bytes in memcache_binary"),
    ("--multi-key-get=256", "--multi-key-get is a number from 0 to 255, not '256'"),
    ("--multi-key-get=50 --clients=1000 --pipeline=8", "--multi-key-get is more than 262144 keys"),
])
def test_a_get_of_too_many_keys_is_refused(kvload, options, told):
    done = run(kvload, 11211, *options.split())
    assert done.returncode == 2 and told in done.stdout, done.stdout


@pytest.mark.parametrize("option", ["--ratio=1", "--data-size=65401", "--key-pattern=X:R", "--clients=0",
                                    "--key-prefix=seventeen-letters", "--expiry-range=2-1",
                                    "--nonsense", "--key-maximum=1 --key-minimum=2", "word", "--data-size-list=1",
                                    "--key-pattern=G:G --key-maximum=9 --key-median=10",
                                    "--key-pattern=G:G --key-minimum=5 --key-maximum=9 --key-median=0",
                                    "--key-pattern=G:G --key-maximum=9 --key-stddev=11"])
def test_wrong_usage_is_told(kvload, option):
    done = run(kvload, 11211, *option.split())
    assert done.returncode == 2, done.stdout
    assert "kvload" in done.stdout
    assert subprocess.run([kvload, "--help"], stdout=subprocess.DEVNULL).returncode == 0
