#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Clients of a service behind a balancer, each with a flow of its own: they ask for the value of `who`,
one question after the other, and see which back end answers.

    python3 tests/balancer_clients.py HOST PORT FLOWS

Runs until its standard input ends. For each line that it reads it prints a line of JSON about the time
since the last one: answers, losses (no answer in time), who answered each flow last, how many flows were
answered by another one than before, and since when the oldest question waits, by the system's monotonic clock.
"""
import json
import selectors
import sys
import time

from udpkv_client import HEADER, connected_socket

TIMEOUT_S = 4
PAUSE_S = 0.01  # between two questions of a flow


class Flow:
    """One question at a time, from one port."""

    def __init__(self, host, port):
        self.socket = connected_socket(host, port)
        self.socket.setblocking(False)
        self.ident, self.who, self.due, self.waits = 0, None, 0.0, False

    def ask(self, now):
        self.ident = (self.ident + 1) & 0xFFFF
        self.socket.send(HEADER.pack(self.ident, 0, 1, 0) + b"get who\r\n")
        self.waits, self.due = True, now + TIMEOUT_S

    def answer(self, now):
        """Who answered; None if that was no answer to the question."""
        try:
            data = self.socket.recv(2048)
        except OSError:
            return None  # an ICMP error
        if not self.waits or HEADER.unpack_from(data)[0] != self.ident:
            return None
        self.waits, self.due = False, now + PAUSE_S
        return data.split(b"\r\n")[1].decode() if b"VALUE" in data else "nobody"


class Clients:
    def __init__(self, host, port, count):
        self.flows = [Flow(host, port) for _ in range(count)]
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        for flow in self.flows:
            self.selector.register(flow.socket, selectors.EVENT_READ, flow)
        self.answers = self.lost = self.moved = 0

    def tell(self):
        """False if nobody wants to know any more."""
        if not sys.stdin.readline():
            return False
        asked = [flow.due - TIMEOUT_S for flow in self.flows if flow.waits]
        told = {"answers": self.answers, "lost": self.lost, "moved": self.moved,
                "oldest": min(asked, default=time.monotonic()),
                "who": [flow.who for flow in self.flows]}
        print(json.dumps(told), flush=True)
        self.answers = self.lost = self.moved = 0
        return True

    def answered(self, flow, who):
        self.answers += 1
        self.moved += flow.who not in (None, who)
        flow.who = who

    def turn(self):
        now = time.monotonic()
        for flow in self.flows:
            if now >= flow.due:
                self.lost += flow.waits
                flow.ask(now)
        for key, _ in self.selector.select(PAUSE_S):
            if key.data is None:
                if not self.tell():
                    return False
            elif who := key.data.answer(time.monotonic()):
                self.answered(key.data, who)
        return True


if __name__ == "__main__":
    clients = Clients(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    while clients.turn():
        pass
