# SPDX-License-Identifier: BSD-2-Clause
"""Runs DPDK's testpmd: the vhost side of tests and measurements, and the peer of the latter.

    with back_end(["/tmp/s"]) as pmd:
        pmd.ask("set fwd rxonly")
        pmd.ask("start")
        print(pmd.rate(port=0, window_s=0.7).rx_mpps)

testpmd prints a prompt after every command; ask() returns what it printed before that. Rates are
those that testpmd computes from its own counters and its own clock, between two `show port stats`.
"""

import collections
import os
import pty
import re
import shutil
import subprocess
import termios
import threading
import time

TESTPMD = "dpdk-testpmd"
PROMPT = "testpmd> "
BURST = 32
MBUFS = 16384
DEADLINE_S = 30  # for anything that takes well under a second on a quiet machine
RETRY_S = 2

Rate = collections.namedtuple("Rate", "rx_mpps tx_mpps rx_bytes tx_bytes rx_packets tx_packets")


class TestpmdError(Exception):
    """testpmd ended, or didn't answer. The text has its last lines."""

    __test__ = False  # pytest: no test in here


def why_no_testpmd():
    """Why testpmd can't be used here, or None if it can."""
    return None if shutil.which(TESTPMD) else f"there is no {TESTPMD} (package dpdk-dev)"


def parse_stats(text):
    """The counters that `show port stats` printed, by testpmd's names: {"RX-packets": 12, ...}."""
    pairs = re.findall(r"([RT][Xx]-[a-z]+):\s+(\d+)", text)
    if not pairs:
        raise TestpmdError(f"testpmd printed no counters, but {text!r}")
    return {name: int(value) for name, value in pairs}


def rate_between(before, after):
    """The rate from two readings of one port, and the mean frame, which has no CRC in it."""

    def mean(direction):
        packets = after[f"{direction}-packets"] - before[f"{direction}-packets"]
        octets = after[f"{direction}-bytes"] - before[f"{direction}-bytes"]
        return packets, octets / packets if packets else 0

    rx_packets, rx_bytes = mean("RX")
    tx_packets, tx_bytes = mean("TX")
    return Rate(after["Rx-pps"] / 1e6, after["Tx-pps"] / 1e6, rx_bytes, tx_bytes, rx_packets, tx_packets)


def eal_memory(huge):
    """Where testpmd's memory comes from: huge pages, or ordinary ones where there are none."""
    return ["--in-memory", "-m", "64"] if huge else ["--no-shconf", "--no-huge", "-m", "128"]


def back_end(sockets, core=0, huge=False, options=(), queues=1):
    """The vhost side: a Testpmd with one port for each socket, each with so many queue pairs. One
    thread polls; the one that takes commands shares its core and sleeps between them."""
    for socket in sockets:  # of one that was killed; testpmd doesn't take it over
        if os.path.exists(socket):
            os.unlink(socket)
    eal = [f"--lcores=0@{core},1@{core}", "--no-pci", *eal_memory(huge), "--no-telemetry"]
    eal += ["--log-level=lib.vhost.config:warning"]  # it talks in the middle of prompts
    for number, socket in enumerate(sockets):
        eal += ["--vdev", f"net_vhost{number},iface={socket},queues={queues}"]
    if queues > 1:
        options = [*options, f"--rxq={queues}", f"--txq={queues}"]
    return Testpmd(eal, options)


class Testpmd:
    """A running testpmd. Ended on leaving, whatever happened.

    eal      EAL's options, before the --
    options  testpmd's own, behind it
    """

    __test__ = False

    def __init__(self, eal, options=()):
        self.command = [TESTPMD, *eal, "--", "-i", "--nb-cores=1", f"--burst={BURST}"]
        # Events would be printed by other threads, in the middle of a prompt.
        self.command += [f"--total-num-mbufs={MBUFS}", "--mask-event=intr_lsc", *options]
        self._text = ""
        self._seen = 0
        self._prompted = False
        self._news = threading.Condition()
        self._ended = False
        # testpmd prints whole lines only to a terminal: elsewhere they wait in a buffer.
        self._terminal, theirs = pty.openpty()
        raw = termios.tcgetattr(theirs)
        raw[1] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, raw)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the other end of a terminal is gone
                data = b""
            with self._news:
                self._text += data.decode("utf-8", "replace")
                self._ended = not data
                self._news.notify_all()
            if not data:
                return

    def wait_prompt(self, deadline_s=DEADLINE_S):
        """What was printed up to the next prompt. A prompt that didn't come was torn by another
        thread's line; an empty command brings a new one."""
        end = time.monotonic() + deadline_s
        retry = time.monotonic() + RETRY_S
        with self._news:
            while True:
                at = self._text.find(PROMPT, self._seen)
                if at >= 0:
                    text = self._text[self._seen : at]
                    self._seen = at + len(PROMPT)
                    self._prompted = True
                    return text
                left = end - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"didn't answer in {deadline_s} s"
                    raise TestpmdError(f"testpmd {why}: {self.last_lines()}")
                self._news.wait(min(left, RETRY_S))
                if time.monotonic() > retry and PROMPT not in self._text[self._seen :]:
                    retry = end
                    self._send("")

    def _skip_to_now(self):
        """Passes over what came unasked, such as the second prompt where the first was only late."""
        with self._news:
            self._seen = len(self._text)

    def _send(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise TestpmdError(f"testpmd ended: {self.last_lines()}") from None

    def ask(self, command, deadline_s=DEADLINE_S):
        self._skip_to_now()
        self._send(command)
        text = self.wait_prompt(deadline_s)
        if re.search(r"Bad arguments|Command not found|Ambiguous command", text):
            raise TestpmdError(f"testpmd doesn't take {command!r}: {text.strip()}")
        return text

    def stats(self, port):
        return parse_stats(self.ask(f"show port stats {port}"))

    def rate(self, port, window_s):
        before = self.stats(port)
        time.sleep(window_s)
        return rate_between(before, self.stats(port))

    def is_up(self):
        """Whether the first prompt has been waited for."""
        return self._prompted

    def link_is_up(self, port):
        """On a vhost port: whether the other side has connected and set up its rings."""
        return bool(re.search(r"Link status: up", self.ask(f"show port info {port}")))

    def wait_link(self, port, still_there=lambda: None, deadline_s=DEADLINE_S):
        """Waits until the other side of a vhost port has set up its rings. still_there() may raise
        what tells that it won't."""
        end = time.monotonic() + deadline_s
        while not self.link_is_up(port):
            still_there()
            if time.monotonic() > end:
                raise TestpmdError(f"nobody connected to testpmd's port {port} in {deadline_s} s")
            time.sleep(0.02)

    def wait_traffic(self, port, packets, deadline_s=DEADLINE_S):
        """Waits until so many packets more have gone both ways."""
        begin = self.stats(port)
        end = time.monotonic() + deadline_s
        while True:
            now = self.stats(port)
            if all(now[name] - begin[name] >= packets for name in ("RX-packets", "TX-packets")):
                return
            if time.monotonic() > end:
                raise TestpmdError(f"port {port} had {begin}, and after {deadline_s} s {now}")
            time.sleep(0.02)

    def last_lines(self, count=6):
        return "\n".join(self._text.replace("\r", "").strip().splitlines()[-count:])

    def text(self):
        return self._text

    def __enter__(self):
        try:
            self.wait_prompt()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kills it, as a crash would; it has taken no memory but its own, and leaves its sockets."""
        if self.process.stdin.closed:
            return
        self.process.kill()
        self.process.wait()
        self._reader.join(1)
        self.process.stdin.close()
        os.close(self._terminal)
