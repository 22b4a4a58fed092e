"""DPDK's testpmd as a vhost-user back end: the other end of the rings of a linux port or a VM."""

import re
import shutil
import subprocess
import threading
import time

from vm import DEADLINE_S

TESTPMD = "dpdk-testpmd"


def why_no_testpmd():
    """Why testpmd can't be used here, or None if it can."""
    return None if shutil.which(TESTPMD) else f"there is no {TESTPMD} (package dpdk-dev)"


class Testpmd:
    """A running testpmd with one port, which listens on `socket`. Killed on leaving.

    options     words for testpmd itself: forward mode, addresses of what it sends
    It takes ordinary pages, so that tests need neither huge pages nor root.
    """

    __test__ = False  # pytest: no test in here

    def __init__(self, socket, *options):
        socket.unlink(missing_ok=True)  # of one that was killed; it doesn't take it over
        self._command = ["stdbuf", "-oL", TESTPMD, "--no-huge", "--no-shconf", "--no-telemetry", "--no-pci"]
        self._command += ["-m", "128", "--lcores=0@0,1@0", "--vdev", f"net_vhost0,iface={socket},queues=1", "--"]
        self._command += ["-i", "--nb-cores=1", "--total-num-mbufs=2048", *options]
        self.output = ""
        self._ended = False
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.expect("testpmd> ")

    def _read(self):
        while chunk := self.process.stdout.read1(65536):
            with self._news:
                self.output += chunk.decode("utf-8", "replace")
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def expect(self, pattern, start=0):
        """The match of `pattern` in what was printed after `start`."""
        with self._news:
            self._news.wait_for(
                lambda: self._ended or re.search(pattern, self.output[start:]), DEADLINE_S
            )
            found = re.search(pattern, self.output[start:])
        assert found, f"no {pattern!r} from {' '.join(self._command)}\n{self.output}"
        return found

    def command(self, words, answer="testpmd> "):
        """Types a command; returns the match of `answer` in what testpmd prints then."""
        start = len(self.output)
        self.process.stdin.write(words.encode() + b"\n")
        self.process.stdin.flush()
        return self.expect(answer, start)

    def begin(self, words):
        """Types a command that starts forwarding, once someone is at the other end of the port."""
        self.expect("Port 0: link state change event")
        self.command(words)

    def counters(self):
        """Packets received and sent so far."""
        shown = self.command("show port stats 0", r"(?s)RX-packets: (\d+).*TX-packets: (\d+) ")
        return int(shown[1]), int(shown[2])

    def expect_traffic(self, packets):
        """Waits until so many packets more have gone both ways."""
        begin = self.counters()
        end = time.monotonic() + DEADLINE_S
        while min(now - then for now, then in zip(self.counters(), begin)) < packets:
            assert time.monotonic() < end, f"{begin} packets, then {self.counters()}\n{self.output}"
            time.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
