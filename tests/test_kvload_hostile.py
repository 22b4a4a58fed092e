# SPDX-License-Identifier: BSD-2-Clause
"""A server that is broken or hostile can't make kvload crash, hang or print what isn't JSON. kvload runs with the
sanitizers here."""

import json
import random
import re
import select
import signal
import socket
import struct
import subprocess
import threading

import pytest

from memcached_peer import HOST
from udpkv_client import HEADER
from vm import ROOT, Vm

FOLDER = ROOT / "bench/kvload"
TRUE = {"answers": 7, "share": 0.25}
TRUE_LINES = b"STAT answers 7\r\nSTAT share 0.25\r\n"


def part(ident, number, total, text):
    return HEADER.pack(ident, number, total, 0) + text


def lines(text):
    """An answer to `stats` of one datagram."""
    return lambda ident: [part(ident, 0, 1, text + b"END\r\n")]


def cut(ident, count, text=TRUE_LINES + b"END\r\n"):
    """An answer in `count` datagrams."""
    size = -(-len(text) // count)
    return [part(ident, i, count, text[i * size : (i + 1) * size]) for i in range(count)]


def filled(size):
    """An answer of so many bytes."""
    return TRUE_LINES + (size - len(TRUE_LINES) - 5) // 2 * b"\r\n" + b"END\r\n"


# Of the binary protocol: magic, opcode, lengths of key and extras, data type, status, length of the body, opaque, cas.
BINARY = struct.Struct(">BBHBBHIIQ")
REQUEST, RESPONSE, GET, SET, GETK, GETKQ, NOT_FOUND = 0x80, 0x81, 0, 1, 0x0C, 0x0D, 1

LONG = b"STAT long " + b"1" * 800 + b"\r\n"

# What a server may answer to `stats`, by name: a function of the request's id, and what kvload may take of it.
WHOLE = {
    "in order": (lambda i: cut(i, 3), TRUE),
    "out of order": (lambda i: cut(i, 5)[::-1], TRUE),
    "a part twice": (lambda i: cut(i, 3)[:1] * 3 + cut(i, 3)[1:], TRUE),
    "64 parts": (lambda i: cut(i, 64, filled(2 * 64)), TRUE),
    "64 full parts": (lambda i: cut(i, 64, filled(1500 * 64)), TRUE),
    "a part with another total in between": (lambda i: cut(i, 3)[:1] + [part(i, 1, 2, b"STAT share 9\r\nEND\r\n")] +
                                             cut(i, 3)[1:], TRUE),
    "other ids in between": (lambda i: [part(i ^ 1, 0, 1, b"STAT share 9\r\nEND\r\n")] + cut(i, 1), TRUE),
    "empty datagrams, a header's half, an empty part": (lambda i: [b"", b"\0\0\0", part(i, 0, 1, b"")] + cut(i, 2),
                                                        TRUE),
    "total 0 first": (lambda i: [part(i, 0, 0, b""), part(i, 0, 0, b"END\r\n")] + cut(i, 1), TRUE),
    "a sequence beyond the total first": (lambda i: [part(i, 3, 3, b"x"), part(i, 65535, 3, b"x")] + cut(i, 3), TRUE),
    "a part of 1501 bytes first": (lambda i: [part(i, 1, 2, b"x" * 1501)] + cut(i, 2), TRUE),
    "a datagram of 65000 bytes first": (lambda i: [part(i, 1, 2, b"x" * 65000)] + cut(i, 2), TRUE),
    "no numbers": (lines(b"STAT version 1.6.18\r\nSTAT a 1x\r\nSTAT b\r\nSTAT c 1 2\r\nnonsense\r\n" + TRUE_LINES), TRUE),
    "numbers that JSON hasn't": (lines(b"STAT a nan\r\nSTAT b -nan(7)\r\nSTAT c inf\r\nSTAT d -infinity\r\n"
                                       b"STAT e 1e999\r\nSTAT f 1e308\r\nSTAT g -1e308\r\n" + LONG + TRUE_LINES), TRUE),
    "the largest": (lines(b"STAT a 18446744073709551615\r\n"), {"a": pytest.approx(2**64)}),
    "a name twice": (lines(TRUE_LINES + b"STAT share 9\r\n"), TRUE),
    "names of strange bytes": (lines(b"STAT a\x01b 1\r\nSTAT \xff\xfe 1\r\nSTAT \x1b[2J 1\r\nSTAT \x7f 1\r\n" +
                                     TRUE_LINES), TRUE),
    "names to be escaped": (lines(b'STAT a"b 1\r\nSTAT a\\u 1\r\n'), {'a"b': 1, "a\\u": 1}),
    "a long name": (lines(b"STAT " + b"n" * 48 + b" 1\r\nSTAT " + b"m" * 47 + b" 1\r\n"), {"m" * 47: 1}),
    "a zero byte": (lines(TRUE_LINES + b"STAT a\0b 1\r\nSTAT c 1\r\n"), TRUE),
    "cycles that can't be": (lines(b"STAT cycles_total 5e-324\r\nSTAT cycles_busy 1e19\r\n"),
                             {"cycles_total": 5e-324, "cycles_busy": 1e19}),
    "many lines": (lambda i: cut(i, 20, b"".join(b"STAT n%d 1\r\n" % n for n in range(1000)) + b"END\r\n"),
                   {f"n{n}": 1 for n in range(256)}),
}
# Of these kvload takes nothing; it asks anew.
BROKEN = {
    "no answer": lambda i: [],
    "a part is missing": lambda i: cut(i, 3)[:2],
    "65 parts": lambda i: cut(i, 65, filled(2 * 65)),
    "parts of 1501 bytes": lambda i: cut(i, 2, TRUE_LINES + b"x" * 2958 + b"\r\nEND\r\n"),
    "parts of different totals": lambda i: [part(i, 0, 2, b"STAT a 1\r\n"), part(i, 1, 3, b"END\r\n"),
                                            part(i, 2, 3, b"END\r\n")],
    "no end": lambda i: [part(i, 0, 1, b"STAT a 1\r\n")],
    "only END's last bytes": lambda i: [part(i, 0, 1, b"D\r\n")],
    "an error": lambda i: [part(i, 0, 1, b"ERROR\r\n")],
}


class Hostile:
    """A server that stores nothing and lies. Requests for stats are answered by what the functions in `stats` make of
    the request's id, one after the other, the last one again and again; a get by what `get` makes of it, and a request
    of the binary protocol by what `binary` makes of its id and the request."""

    def __init__(self, get=lambda ident: [part(ident, 0, 1, b"END\r\n")], version_late_s=0, binary=None):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._get, self._version_late_s, self._binary = get, version_late_s, binary
        self.stats = [lines(b"")]

    def _answer(self, ident, request):
        if request[0] == REQUEST:
            return self._binary(ident, request)
        word = request.split()[0]
        if word == b"get":
            return self._get(ident)
        if word == b"stats":
            return (self.stats.pop(0) if len(self.stats) > 1 else self.stats[0])(ident)
        self._stop.wait(self._version_late_s)
        return [part(ident, 0, 1, b"VERSION 0\r\n")]

    def _serve(self):
        while not self._stop.is_set():
            if not select.select([self._socket], [], [], 0.05)[0]:
                continue
            data, sender = self._socket.recvfrom(2048)
            for answer in self._answer(HEADER.unpack_from(data)[0], data[HEADER.size :]):
                self._socket.sendto(answer, sender)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def kvload(tmp_path_factory):
    """The program, with the sanitizers and without DPDK."""
    program = tmp_path_factory.mktemp("kvload") / "kvload"
    sources = [path for path in FOLDER.glob("*.c") if not re.search("_test|port_dpdk.c|vhost", path.name)]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                    "-o", program, *sources, "-lm", "-pthread"], check=True)
    return program


def command(kvload, server, *options):
    # It ends without giving memory back.
    return ["env", "ASAN_OPTIONS=detect_leaks=0", str(kvload), f"--port={server.port}", "--threads=1", "--clients=1",
            "--ratio=0:1", "--key-maximum=9", *options]


def strictly(text):
    """JSON as its standard says: no name twice, no NaN, no Infinity."""
    def once(pairs):
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    def refuse(word):
        raise AssertionError(f"{word} in {text}")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def run_with_stats(load, server, *stats):
    """What a run tells in which requests for stats are answered so."""
    server.stats = list(stats)
    load.send(b"0.001\n")
    return strictly(load.expect(r"^\{.*\}$")[0])


def test_no_answer_to_stats_does_harm(kvload):
    with Hostile() as server, Vm(command(kvload, server, "--control")) as load:
        load.expect("ready")
        for name, (lie, taken) in WHOLE.items():
            told = run_with_stats(load, server, lines(b""), lie)
            assert told["server stats"] == taken, name
            assert "server_idle_share" not in told["kvload"], name
        for name, lie in BROKEN.items():
            assert run_with_stats(load, server, lines(b""), lie, lines(TRUE_LINES))["server stats"] == TRUE, name
        # Without those of before the run, those of after it would tell of all time.
        never = [lambda ident: []] * 5
        assert run_with_stats(load, server, *never, lines(TRUE_LINES))["server stats"] == {}
        assert run_with_stats(load, server, lines(b""), *never)["server stats"] == {}
        restarted = run_with_stats(load, server, lines(b"STAT cycles_total 9\r\nSTAT cycles_busy 9\r\n"),
                                   lines(b"STAT cycles_total 10\r\nSTAT cycles_busy 1\r\n"))
        assert restarted["server stats"] == {} and restarted["server began anew"] == "cycles_busy"
        assert "server_idle_share" not in restarted["kvload"]
        load.process.stdin.close()
        assert load.status() == 0, load.console()


def test_only_what_counts_up_is_told_as_a_difference(kvload):
    """Values of the moment are told as they are after the run. A server that began anew meanwhile, or whose counters
    somebody set to 0, tells no differences, even where a counter is by now above what it was."""
    def stats(pid, uptime, curr_items, cmd_get, cmd_set):
        return lines(b"STAT pid %d\r\nSTAT uptime %d\r\nSTAT curr_items %d\r\nSTAT cmd_get %d\r\nSTAT cmd_set %d\r\n" %
                     (pid, uptime, curr_items, cmd_get, cmd_set))

    with Hostile() as server, Vm(command(kvload, server, "--control")) as load:
        load.expect("ready")
        for after, counters, anew in (
            ((1, 9, 3, 110, 107), {"cmd_get": 10, "cmd_set": 7}, None),
            ((2, 9, 3, 110, 107), {}, "pid"),
            ((1, 1, 3, 110, 107), {}, "uptime"),
            ((1, 9, 3, 110, 99), {}, "cmd_set"),
        ):
            told = run_with_stats(load, server, stats(1, 8, 40, 100, 100), stats(*after))
            assert told["server stats"] == counters and told.get("server began anew") == anew
            assert told["server gauges"] == dict(zip(("pid", "uptime", "curr_items"), after))
        load.process.stdin.close()
        assert load.status() == 0, load.console()


def test_what_the_server_dropped_is_told(kvload):
    counts = (b"STAT drop_no_buf %d\r\nSTAT drop_loop 5\r\nSTAT response_obj_oom %d\r\nSTAT drops 5\r\nSTAT cmd_get %d\r\n")
    with Hostile(get=lambda ident: []) as server, Vm(
            command(kvload, server, "--requests=3", "--timeout-ms=50", "--hide-histogram")) as load:
        server.stats = [lines(counts % (1, 2, 3)), lines(counts % (4, 9, 30))]
        load.expect("3 requests timed out")
        load.expect(r"The server counted drop_no_buf 3, response_obj_oom 7\.")
        assert load.status() == 0, load.console()


def test_answers_that_find_no_room_are_told(kvload, tmp_path):
    """kvload stands still while more answers come than its socket holds."""
    def flood(ident):
        load.process.send_signal(signal.SIGSTOP)
        for _ in range(20000):
            yield part(ident, 1, 2, b"x" * 1400)
        load.process.send_signal(signal.SIGCONT)

    path = tmp_path / "json"
    with Hostile(get=flood) as server, Vm(command(kvload, server, "--requests=1", f"--json-out-file={path}")) as load:
        assert load.status() == 1, load.console()
    assert strictly(path.read_text())["kvload"]["no_room"]["own_sockets"] > 0


@pytest.mark.parametrize("keys", [1, 5])
def test_no_answer_to_a_get_does_harm(kvload, tmp_path, keys):
    """Headers that are right, nearly right and wrong, before up to 65000 random bytes."""
    draw = random.Random(1)
    starts = (b"", b"END\r\n", b"VALUE ", b"VALUE memtier-1 10001 32\r\n", b"VALUE memtier-1 99999 4294967295\r\n",
              b"VALUE memtier-1 10001 -1\r\n", b"VALUE memtier-1 1")

    def lie(ident):
        tail = draw.randbytes(draw.choice((0, 1, 7, 8, 40, 1400, 2040, 2048, 65000)))
        header = (draw.choice((ident, ident, ident ^ 1, 65535)), draw.choice((0, 0, 1, 65535)),
                  draw.choice((0, 1, 1, 2, 65535)), draw.choice((0, 0, 1)))
        answer = HEADER.pack(*header) + draw.choice(starts) + tail
        return [answer[: draw.choice((len(answer), 7, 9))]] * draw.choice((0, 1, 1, 2, 65))

    path = tmp_path / "json"
    with Hostile(get=lie) as server, Vm(command(kvload, server, "--pipeline=64", "--test-time=1", "--timeout-ms=20",
                                                f"--ratio=0:{keys}", f"--multi-key-get={keys}",
                                                f"--json-out-file={path}")) as load:
        assert load.status() == 1, load.console()
    told = strictly(path.read_text())["kvload"]
    assert told["wrong"] > 100 and told["timeouts"] > 100, load.console()


def packed(opaque, opcode=GETK, magic=RESPONSE, key=b"", extras=b"", value=b"", status=0, lengths=(None, None, None),
           data_type=0):
    """An answer of the binary protocol; `lengths` of key, extras and body may lie."""
    true = len(key), len(extras), len(key + extras + value)
    key_len, extras_len, body_len = (t if lie is None else lie for t, lie in zip(true, lengths))
    return BINARY.pack(magic, opcode, key_len, extras_len, data_type, status, body_len, opaque, 0) + extras + key + value


def missed(opaque, key, **lie):
    """The right answer to a get of a key that isn't there, but for the lie."""
    return packed(opaque, **{"key": key, "status": NOT_FOUND, **lie})


FLAGS = struct.pack(">I", 10001)

# What a server may answer to a get of the binary protocol: a function of the request's opaque and key.
BINARY_LIES = {
    "a request's magic": lambda o, k: missed(o, k, magic=REQUEST),
    "no magic": lambda o, k: missed(o, k, magic=0),
    "text": lambda o, k: b"END\r\n",
    "nothing": lambda o, k: b"",
    "a byte": lambda o, k: missed(o, k)[:1],
    "a header but for its last byte": lambda o, k: packed(o, status=NOT_FOUND)[:23],
    "a header alone": lambda o, k: missed(o, k)[:24],
    "all but a byte": lambda o, k: missed(o, k)[:-1],
    "a byte more": lambda o, k: missed(o, k) + b"x",
    "two answers": lambda o, k: missed(o, k) * 2,
    "another opaque": lambda o, k: missed(o ^ 1, k),
    "another request's opaque": lambda o, k: missed(o ^ 0x10000, k),
    "get's opcode": lambda o, k: missed(o, k, opcode=GET),
    "set's opcode": lambda o, k: missed(o, k, opcode=SET),
    "a quiet get's opcode": lambda o, k: missed(o, k, opcode=GETKQ),
    "another data type": lambda o, k: missed(o, k, data_type=1),
    "another key": lambda o, k: missed(o, k[:-1] + b"x"),
    "no key": lambda o, k: missed(o, b""),
    "extras": lambda o, k: missed(o, k, extras=FLAGS),
    "extras longer than the body": lambda o, k: missed(o, k, lengths=(None, 255, None)),
    "a key longer than the body": lambda o, k: missed(o, k, lengths=(65535, None, None)),
    "a body longer than the datagram": lambda o, k: missed(o, k, lengths=(None, None, 65536)),
    "a body of 4 GiB": lambda o, k: missed(o, k, lengths=(None, None, 2**32 - 1)),
    "no body": lambda o, k: missed(o, k, lengths=(None, None, 0)),
    "a body that is a byte short": lambda o, k: missed(o, k, lengths=(None, None, len(k) - 1)),
    "found, and nothing there": lambda o, k: packed(o, key=k),
    "flags and no value": lambda o, k: packed(o, key=k, extras=FLAGS),
    "a value and no flags": lambda o, k: packed(o, key=k, value=b"x" * 32),
    "another value": lambda o, k: packed(o, key=k, extras=FLAGS, value=b"x" * 32),
    "no key, but extras of all the body": lambda o, k: packed(o, extras=FLAGS, value=b"x" * 200, lengths=(0, 204, 204)),
    "out of memory": lambda o, k: packed(o, status=0x82, value=b"Out of memory"),
    "an unknown command": lambda o, k: packed(o, status=0x81, value=b"Unknown command"),
}


def binary_run(kvload, answer, *options):
    """A run whose gets and sets are answered by what `answer` makes of their opaque and key."""
    def to(ident, request):
        _, _, key_len, extras_len, _, _, _, opaque, _ = BINARY.unpack_from(request)
        return answer(ident, opaque, request[BINARY.size + extras_len :][:key_len])

    with Hostile(binary=to) as server, Vm(command(kvload, server, "-Pmemcache_binary", *options)) as load:
        return load.status(), load.console()


def test_no_binary_answer_that_lies_is_taken(kvload):
    status, console = binary_run(kvload, lambda i, o, k: [part(i, 0, 1, missed(o, k))], "--requests=9")
    assert status == 0, console
    for name, lie in BINARY_LIES.items():
        status, console = binary_run(kvload, lambda i, o, k: [part(i, 0, 1, lie(o, k))], "--requests=9")
        assert status == 1 and "wrong answer to get memtier-" in console, (name, console)
        assert "9 answered, 9 wrong" in console, (name, console)


@pytest.mark.parametrize("status, text", [(3, b"Too large."), (5, b"Not stored."), (0x82, b"Out of memory")])
def test_a_set_that_is_refused_is_wrong(kvload, status, text):
    ended, console = binary_run(kvload, lambda i, o, k: [part(i, 0, 1, packed(o, SET, status=status, value=text))],
                                "--ratio=1:0", "--requests=3")
    assert ended == 1 and "3 answered, 3 wrong" in console and text.decode() in console, console


@pytest.mark.parametrize("keys", [1, 5])
def test_no_bytes_that_answer_a_binary_get_do_harm(kvload, keys):
    """Right answers with some bytes changed, cut or made longer."""
    draw = random.Random(2)

    def spoil(ident, opaque, key):
        answer = bytearray(draw.choice((missed(opaque, key), packed(opaque, key=key, extras=FLAGS, value=b"x" * 32))))
        for _ in range(draw.choice((1, 1, 2, 8))):
            answer[draw.randrange(min(len(answer), 36))] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        answer += draw.randbytes(draw.choice((0, 0, 1, 2000)))
        return [part(ident, 0, 1, bytes(answer[: draw.choice((len(answer), draw.randrange(len(answer))))]))]

    status, console = binary_run(kvload, spoil, "--pipeline=64", "--test-time=1", "--timeout-ms=20",
                                 f"--ratio=0:{keys}", f"--multi-key-get={keys}")
    assert status == 1 and "wrong answer to get" in console, console


def test_a_server_that_answers_late_is_waited_for(kvload):
    """Longer than the pause after which it is asked anew."""
    with Hostile(version_late_s=0.02) as server, Vm(command(kvload, server, "--requests=9")) as load:
        assert load.status() == 0, load.console()


@pytest.mark.parametrize("line", ("nan", "inf", "0", "-1", "1 nan", "1 -1", "1 inf", "x"))
def test_a_run_that_is_none_is_refused(kvload, line):
    with Hostile() as server, Vm(command(kvload, server, "--control")) as load:
        load.expect("ready")
        load.send(f"{line}\n".encode())
        load.expect(f"a run is SECONDS .RATE., .* not '{line}'")
        assert load.status() == 2
