# SPDX-License-Identifier: BSD-2-Clause
"""A client of udpkv, or of any memcached with -U, that shows how the protocol works.

A datagram begins with a header of four big-endian 16-bit fields: the request's id, which the answer
repeats; the datagram's number in the message; how many datagrams the message has; zero. Then comes
memcached's text protocol. Requests are one datagram; long answers are several.
"""

import re
import socket
import struct
import time
from pathlib import Path

HEADER = struct.Struct("!HHHH")
LISTS = (b"get", b"gat", b"stats")  # commands whose answer is a list that ends in END

# One request for every command that udpkv knows, in an order in which each has something to do.
EVERY_COMMAND = [
    b"version\r\n",
    b"set greeting 7 0 5\r\nhello\r\n",
    b"get greeting\r\n",
    b"add greeting 0 0 3\r\nhey\r\n",
    b"add count 0 0 2\r\n41\r\n",
    b"incr count 1\r\n",
    b"decr count 2\r\n",
    b"replace greeting 7 0 7\r\nwelcome\r\n",
    b"append greeting 0 0 5\r\n, you\r\n",
    b"prepend greeting 0 0 3\r\n...\r\n",
    b"get greeting count missing\r\n",
    b"gets greeting\r\n",
    b"cas greeting 0 0 5 1\r\nstale\r\n",
    b"touch greeting 60\r\n",
    b"gat 120 greeting\r\n",
    b"gats 120 greeting\r\n",
    b"delete count\r\n",
    b"delete count\r\n",
    b"verbosity 1\r\n",
    b"stats\r\n",
    b"flush_all\r\n",
    b"get greeting\r\n",
    b"nonsense\r\n",
]


def connected_socket(host, port, source=None):
    """For UDP, over the family that the host's address is of; fe80::1%eth0 tells the interface, too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    if source:
        made.bind((source, 0))
    made.connect(socket.getaddrinfo(host, port, family)[0][4])
    return made


class Client:
    """One question at a time."""

    def __init__(self, host, port, timeout_s=5):
        self._socket = connected_socket(host, port)
        self._timeout_s = timeout_s
        self._id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, request):
        """Sends a request without waiting for an answer, as for one with noreply."""
        self._id = (self._id + 1) & 0xFFFF
        self._socket.send(HEADER.pack(self._id, 0, 1, 0) + request)

    def ask(self, request):
        """Sends a request and returns its whole answer. TimeoutError if it doesn't come.

        memcached answers a get of several keys by several messages, the last of which ends in END.
        """
        self.send(request)
        ends = (b"END\r\n", b"ERROR\r\n") if request.startswith(LISTS) else (b"",)
        text, expected = b"", 0
        end = time.monotonic() + self._timeout_s
        while True:
            self._socket.settimeout(max(end - time.monotonic(), 0.001))
            datagram = self._socket.recv(65536)
            ident, number, count, _ = HEADER.unpack_from(datagram)
            if ident != self._id or count == 0:
                continue  # a late answer to an earlier request, or memcached's empty datagram
            assert number == expected, f"datagram {number} came where {expected} was due"
            text += datagram[HEADER.size :]
            expected = (number + 1) % count
            if expected == 0 and text.endswith(ends):
                return text

    def stats(self):
        """The counters that `stats` answers with, numbers as numbers. Asks a few times: behind a burst
        of another client a request may find a socket's buffer full."""
        for left in reversed(range(4)):
            try:
                answer = self.ask(b"stats\r\n")
                break
            except TimeoutError:
                if not left:
                    raise
        words = (line.split(" ", 2) for line in answer.decode().splitlines())
        pairs = {name: value for _, name, value in (w for w in words if w[0] == "STAT")}
        return {k: int(v) if v.isdigit() else v for k, v in pairs.items()}


def many_requests(host, port, count, window=64, keys=1024):
    """Sends `count` small requests, at most `window` unanswered, and checks every answer.

    Every eighth request is a set, one in 64 a get of a key that doesn't exist, the rest gets. The
    requests and their answers repeat after 65536, the number of ids: they are made beforehand.
    Returns the seconds taken. AssertionError for a wrong answer, or one that doesn't come in 10 s.
    """
    requests, answers = [], []
    for ident in range(65536):
        key, value = b"key%d" % (ident % keys), b"value-of-key-%d" % (ident % keys)
        if ident // keys % 8 == 0:
            text, answer = b"set %s 5 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n"
        elif ident % 64 == 63:
            text, answer = b"get no-%s\r\n" % key, b"END\r\n"
        else:
            text = b"get %s\r\n" % key
            answer = b"VALUE %s 5 %d\r\n%s\r\nEND\r\n" % (key, len(value), value)
        header = HEADER.pack(ident, 0, 1, 0)
        requests.append(header + text)
        answers.append(header + answer)

    with connected_socket(host, port) as sock:
        sock.settimeout(10)
        send, recv = sock.send, sock.recv
        start, sent, waiting = time.monotonic(), 0, set()
        while sent < min(window, count):
            send(requests[sent & 0xFFFF])
            waiting.add(sent & 0xFFFF)
            sent += 1
        while waiting:
            answer = recv(2048)
            ident = answer[0] << 8 | answer[1]
            assert answer == answers[ident], f"{requests[ident]} was answered {answer}"
            waiting.remove(ident)  # KeyError: answered twice
            if sent < count:
                send(requests[sent & 0xFFFF])
                waiting.add(sent & 0xFFFF)
                sent += 1
        return time.monotonic() - start


# What memcaslap counts besides requests: each must be 0.
MEMCASLAP_FAULTS = ("get_misses", "verify_misses", "verify_failed", "packet_drop", "udp_timeout")
MEMCASLAP_TRIES = 3


def memcaslap(server, count, run, say):
    """libmemcached's load generator: `count` sets and gets over UDP in a window, every value compared.
    run(*command) returns its status and what it printed, say(text) tells. Returns what went wrong, or None.

    On a busy machine memcaslap now and then fails an assertion of its own (ms_sort_udp_packet), or waits
    for an answer that it had and then uses what it has freed, with memcached in udpkv's place as well: it
    is run anew then."""
    for left in reversed(range(MEMCASLAP_TRIES)):
        problem = memcaslap_problem(server, count, run, say)
        if problem and left:
            say(f"{problem}; memcaslap is run once more.")
        else:
            return problem


def memcaslap_problem(server, count, run, say):
    """Runs it once. It counts what was answered; that udpkv counts as many shows that everything has
    arrived, and once. Its configuration is given as it would write one to the home folder otherwise."""
    host, port = server.rsplit(":", 1)
    config = Path(__file__).resolve().parent / "memcaslap.cnf"
    with Client(host, int(port)) as client:
        before = client.stats()
        status, text = run(
            "memcaslap", "--udp", f"--servers={server}", f"--cfg_cmd={config}", "--verify=1.0", "--threads=1",
            "--concurrency=16", f"--execute_number={count}")
        after = client.stats()
    if status != 0:
        return f"memcaslap exited with {status}"
    told = {name: int(number) for name, number in re.findall(r"^(\w+): (\d+)$", text, re.M)}
    for name in MEMCASLAP_FAULTS:
        if told.get(name) != 0:
            return f"memcaslap's {name} is {told.get(name)}, not 0"
    for name in ("cmd_set", "cmd_get"):
        arrived = after[name] - before[name]
        if arrived != told[name]:
            return f"of memcaslap's {told[name]} {name} udpkv counted {arrived}"
    if told["cmd_set"] + told["cmd_get"] != count:
        return f"memcaslap asked {told['cmd_set']} sets and {told['cmd_get']} gets, not {count} in all"
    rate = int(re.search(r"TPS: (\d+)", text)[1])
    say(f"Rate: {rate} requests a second, every answer right. udpkv counted all {told['cmd_set']} sets"
        f" and {told['cmd_get']} gets.")
    return None
