# SPDX-License-Identifier: BSD-2-Clause
"""Are the answers that several clients got at the same time those of one server that does one thing
at a time? Clients write down when they asked and when they were answered; for each key a search in
the manner of Wing and Gong looks for an order of its operations that explains all answers.

    python3 tests/linearizable.py --udpkv 127.0.0.1:11211

A value is written once only, so a value read tells who wrote it, and an id (cas) stands for it.
"""

import argparse
import collections
import random
import re
import selectors
import socket
import sys
import time

from udpkv_client import HEADER

# value: written, or read (None: no value). expected: of cas, the value whose id was named. result:
# what was answered to cas and delete. end is None, and so is a result, where no answer came.
Operation = collections.namedtuple("Operation", "what begin end value expected result")
PATIENCE_S = 2.0


def after(operation, there):
    """What is there when the operation was done; LookupError if that gives another answer."""
    what, result = operation.what, operation.result
    if what == "set":
        return operation.value
    if what == "get":
        told = there
    elif what == "delete":
        told = b"NOT_FOUND" if there is None else b"DELETED"
        there = None
    else:
        told = b"NOT_FOUND" if there is None else b"STORED" if there == operation.expected else b"EXISTS"
        there = operation.value if told == b"STORED" else there
    if operation.end is not None and told != (operation.value if what == "get" else result):
        raise LookupError
    return there


def linearizable(operations):
    """Whether there is such an order, no value being there at first. Operations that nobody heard of
    again may have been done at any time since, or never."""
    ops = sorted(operations, key=lambda op: op.begin)
    answered = sum(1 << i for i, op in enumerate(ops) if op.end is not None)
    seen, waiting = set(), [(0, None)]
    while waiting:
        done, there = waiting.pop()
        if done & answered == answered:
            return True
        if (done, there) in seen:
            continue
        seen.add((done, there))
        first_end = float("inf")
        for i, op in enumerate(ops):
            if op.begin > first_end:  # and so do all behind it
                break
            if done >> i & 1:
                continue
            if op.end is not None:
                first_end = min(first_end, op.end)
            try:
                waiting.append((done | 1 << i, after(op, there)))
            except LookupError:
                pass
    return False


class Asker:
    """A client with one request at a time under way. It remembers the last id that it was told."""

    def __init__(self, address, name, keys, seed):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.name, self.keys, self.random = name, keys, random.Random(seed)
        self.known = {}  # by key: the last value read, and its id
        self.count, self.what, self.begin = 0, None, 0

    def ask(self):
        """Sends the next request."""
        self.count += 1
        key = self.random.choice(self.keys)
        value = b"%d.%d" % (self.name, self.count)
        what = self.random.choice(["set", "get", "get", "cas", "cas", "delete"])
        value_read, ident = self.known.get(key, (None, None))
        if what == "cas" and value_read is None:
            what = "get"
        request = {
            "set": b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value),
            "get": b"gets %s\r\n" % key,
            "cas": b"cas %s 0 0 %d %d\r\n%s\r\n" % (key, len(value), ident or 0, value),
            "delete": b"delete %s\r\n" % key,
        }[what]
        self.key, self.what = key, what
        self.value, self.expected = (None if what in ("get", "delete") else value), value_read
        self.begin = time.monotonic_ns()
        self.socket.send(HEADER.pack(self.count & 0xFFFF, 0, 1, 0) + request)

    def operation(self, answer=None, end=None):
        """What was asked last, with its answer, if there is one."""
        value, result = self.value, None
        if answer is not None and self.what == "get":
            match = re.fullmatch(rb"VALUE (\S+) 0 \d+ (\d+)\r\n(\S+)\r\nEND\r\n", answer)
            assert (match and match[1] == self.key) or answer == b"END\r\n", answer
            value = match[3] if match else None
            if match:
                self.known[self.key] = value, int(match[2])
        elif answer is not None:
            result = answer.rstrip()
        return Operation(self.what, self.begin, end, value, self.expected, result)

    def hear(self):
        """The operation that was answered now; None for an answer that came too late."""
        answer = self.socket.recv(2048)
        end = time.monotonic_ns()
        if HEADER.unpack_from(answer)[0] != self.count & 0xFFFF:
            return None
        return self.operation(answer[HEADER.size :], end)


def histories(address, clients, each, keys, seed=0):
    """Lets so many clients ask at the same time, `each` requests each; the operations by key. The
    keys aren't there yet."""
    found, left = collections.defaultdict(list), {}
    with selectors.DefaultSelector() as selector:
        askers = [Asker(address, i, keys, seed * clients + i) for i in range(clients)]
        for asker in askers:
            selector.register(asker.socket, selectors.EVENT_READ, asker)
            left[asker] = each
            asker.ask()
        while left:
            ready = [key.data for key, _ in selector.select(PATIENCE_S / 4)]
            heard = [(asker, asker.hear()) for asker in ready]
            now = time.monotonic_ns()
            late = [asker for asker in left if now - asker.begin > PATIENCE_S * 1e9]
            heard += [(asker, asker.operation()) for asker in late if asker not in ready]
            for asker, operation in heard:
                if operation is None or asker not in left:
                    continue
                found[asker.key].append(operation)
                left[asker] -= 1
                if left[asker]:
                    asker.ask()
                else:
                    del left[asker]
        for asker in askers:
            asker.socket.close()
    return found


def overlapping(operations):
    """How many operations began before the one before them had ended."""
    ops = sorted(operations, key=lambda op: op.begin)
    return sum(b.begin < (a.end or float("inf")) for a, b in zip(ops, ops[1:]))


def check(address, rounds, clients=8, each=30, keys_count=4, seed=0):
    """Runs rounds on fresh keys; AssertionError for a key without an order. Returns counts."""
    counts = collections.Counter()
    for number in range(rounds):
        keys = [b"linear.%d.%d.%d" % (seed, number, i) for i in range(keys_count)]
        for key, operations in histories(address, clients, each, keys, seed + number).items():
            told = "\n".join(map(str, sorted(operations, key=lambda op: op.begin)))
            assert linearizable(operations), f"no order explains what was answered for {key}:\n{told}"
            counts["keys"] += 1
            counts["operations"] += len(operations)
            counts["overlapping"] += overlapping(operations)
            counts["cas stored"] += sum(op.result == b"STORED" for op in operations)
            counts["cas too late"] += sum(op.result == b"EXISTS" for op in operations)
            counts["unanswered"] += sum(op.end is None for op in operations)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--udpkv", metavar="HOST:PORT", required=True)
    parser.add_argument("--rounds", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    host, _, port = args.udpkv.rpartition(":")
    try:
        counts = check((host, int(port)), args.rounds, seed=args.seed)
    except AssertionError as error:
        print(error)
        return 1
    for what, count in counts.items():
        print(f"{count:8} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
