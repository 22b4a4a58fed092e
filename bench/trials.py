# SPDX-License-Identifier: BSD-2-Clause
"""Trials at a given rate: packets go to testpmd, which sends each one back, and are accounted for.

A trial starts the system anew: pktgen in mode=latency, in QEMU or as a process, or for DPDK's
virtio-user driver peers/dpdk_peer.c, which does the same. Both number their packets, stamp them
with the time of sending, and print one JSON object.
"""

import collections
import json
import shlex
import shutil
import subprocess
import tempfile

import common
import distance
import systems
from systems import DpdkPeer, Image, Port, SystemGone
from testpmd import back_end

QUANTILES = ("p50", "p90", "p99", "p99.9", "p99.99")
START_AND_DRAIN_S = 30
TRIAL_S = 2  # what a trial takes beside its packets where nothing else runs
# What is in flight waits in the transmit ring, in testpmd, or in the receive ring. With this one
# the larger, no stall of either side, be it long, makes more packets come back than it has room for.
RINGS = (1024, 256)  # receive, transmit

Trial = collections.namedtuple(
    "Trial", "rate sent lost reordered duplicates seconds latency_ns cores_ns", defaults=[(None, None)]
)  # rate: packets a second that were sent; latency_ns: {"min", "p50", ..., "max"}; cores_ns: before, after


def parse(text):
    """The Trial that a program's output tells: its one line of JSON."""
    for line in text.splitlines():
        if line.startswith("{"):
            data = json.loads(line)
            sequence = data["sequence"]
            seconds = float(data["seconds"])
            sent = data["tx"]["packets"]
            return Trial(sent / seconds if seconds else 0, sent, sequence["lost"], sequence["reordered"],
                         sequence["duplicates"], seconds, data["latency_ns"])
    raise SystemGone(f"no result: {' / '.join(text.strip().splitlines()[-3:])}")


class Bed:
    """testpmd as the vhost side, sending everything back, and the systems that can be tried."""

    def __init__(self, accel, huge, wanted=None, make=None):
        """make(folder, core) gives other systems, with RINGS, than ours and DPDK's variants."""
        self._folder = tempfile.mkdtemp(prefix="ringloop-bench-")
        host_core, core = systems.cores()
        self.systems = make(self._folder, core) if make else [
            Image(f"ringloop-{accel}", f"{self._folder}/image", core, accel, huge=huge, rings=RINGS),
            Port("ringloop-linux", f"{self._folder}/port", core, rings=RINGS),
            *(DpdkPeer(name, f"{self._folder}/{name}", core, huge, rings=RINGS)
              for name in systems.VIRTIO_USER_VARIANTS),
        ]
        self.systems = systems.named(self.systems, wanted)
        if not self.systems:
            shutil.rmtree(self._folder)
            raise SystemGone(f"no system's name contains one of {wanted}")
        self._process = None
        self.commands = {}
        sockets = [system.socket for system in self.systems]
        self.host = back_end(sockets, host_core, huge)
        self.commands["vhost side"] = shlex.join(self.host.command)

    def __enter__(self):
        try:
            self.host.wait_prompt()
            self.host.ask("set fwd macswap")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with common.unbroken():
            if self._process and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self.host.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, system, rate, seconds, size):
        """One trial. Raises SystemGone if the system doesn't run or prints no result."""
        system.check_built()
        if isinstance(system, DpdkPeer):
            command = system.command_line(f"latency {rate} {seconds} {size}")
        else:
            command = system.command_line(
                # dpdk_peer makes no UDP checksum either.
                f"mode=latency rate={rate} duration={seconds} size={size} csum=none report=json report.interval=0"
            )
        self.commands[system.name] = shlex.join(command)
        before_ns = distance.now_ns()
        self.host.ask(f"set portlist {self.systems.index(system)}")
        self.host.ask("start")
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            )
            said, _ = self._process.communicate(timeout=seconds + START_AND_DRAIN_S)
        except OSError as error:
            raise SystemGone(f"{command[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
            raise SystemGone(f"no end after {seconds + START_AND_DRAIN_S} s: {said[-200:]}") from None
        finally:
            self.host.ask("stop")
        return parse(said)._replace(cores_ns=(before_ns, distance.now_ns()))


def bisect(passes, low, high, resolution):
    """The highest rate for which passes(rate) is true, to within `resolution` of it; 0 if not even
    `low` does. Looks at `high` first."""
    if passes(high):
        return high
    if not passes(low):
        return 0
    while high - low > max(resolution * low, 1):
        middle = (low + high) // 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low
