# SPDX-License-Identifier: BSD-2-Clause
"""The systems that bench/pktgen measures: each speaks virtio into a vhost-user socket.

They share four calls. prepare(mode, size) makes the system ready for `tx`, `rx` or `fwd` with
frames of that size, without waiting; ready() raises SystemGone if it ended meanwhile; resume() and
pause() let it run and hold it still, so that all of them stay connected and take turns on one core;
close() ends it. A system that can't run here raises SystemGone with the reason.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import vm  # noqa: E402
from testpmd import BURST, Testpmd, TestpmdError, eal_memory  # noqa: E402

RING_SIZE = 256
QEMU_RING_MIN = 256  # of its virtio-net; a driver may use fewer descriptors than a device has
IMIX = "imix"
END_S = 10  # for a program that was asked to end
# Segments of testpmd, which with `txsplit rand` sends the first, the first two, or all three of
# them in one frame: 64, 570 or 1500 bytes.
IMIX_SEGMENTS = (64, 506, 930)

VIRTIO_USER_VARIANTS = {
    "dpdk-split": "",
    "dpdk-packed": ",packed_vq=1",
    "dpdk-in-order": ",in_order=1",
    "dpdk-vectorised": ",mrg_rxbuf=0,in_order=1,vectorized=1",
    "dpdk-packed-vectorised": ",packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1",
}


class SystemGone(Exception):
    """Why a system can't be measured, in one sentence."""


def set_size(testpmd, size):
    """Sets the frames that a testpmd generates."""
    if size == IMIX:
        testpmd.ask("set txpkts " + ",".join(map(str, IMIX_SEGMENTS)))
        testpmd.ask("set txsplit rand")
    else:
        testpmd.ask("set txsplit off")
        testpmd.ask(f"set txpkts {size}")


def named(members, text, hidden=()):
    """Those whose names contain a word of `text`, a list with commas; all if it is empty. One of `hidden`
    only if a word is its whole name."""
    words = text.split(",") if text else [""]
    return [member for member in members
            if member.name in words or (member not in hidden and any(word in member.name for word in words))]


did_not_build = set()  # paths of programs whose build failed in this run
PEER = os.path.join(ROOT, "build", "bench", "dpdk_peer")


def build_peer():
    """Builds peers/dpdk_peer.c. Raises SystemGone if it doesn't build."""
    os.makedirs(os.path.dirname(PEER), exist_ok=True)
    source = os.path.join(ROOT, "bench", "peers", "dpdk_peer.c")
    command = f"gcc -O3 -march=native -o {PEER} {source} $(pkg-config --cflags --libs libdpdk)"
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        did_not_build.add(PEER)
        raise SystemGone(f"{command} failed: {done.stdout.strip().splitlines()[-1:]}")


def virtio_user_options(name, socket, core, huge, lcores=2, ring=RING_SIZE):
    """EAL's options for one of DPDK's virtio-user variants. One lcore polls; with two, the other
    takes commands on the same core."""
    eal = ["--lcores=" + ",".join(f"{i}@{core}" for i in range(lcores)), "--no-pci", *eal_memory(huge)]
    # One region of memory, as vhost-user takes eight at most. AVX-512 where there is some: the
    # vectorised packed ring needs it.
    eal += ["--no-telemetry", "--single-file-segments", "--force-max-simd-bitwidth=512"]
    vdev = f"net_virtio_user0,path={socket},queues=1,queue_size={ring}"
    return eal + ["--vdev", vdev + VIRTIO_USER_VARIANTS[name]]


class Dpdk:
    """testpmd on DPDK's own virtio-user driver, in one of its variants. It can't send a mix of
    sizes in single buffers, so for that peers/dpdk_peer takes its place on the same driver."""

    runs_at_once = False  # not before testpmd is told to `start`
    tells_interrupts = False
    FORWARD_MODES = {"tx": "txonly", "rx": "rxonly", "fwd": "macswap"}

    def __init__(self, name, socket, core, huge):
        self.name, self.socket = name, socket
        self._core, self._huge = core, huge
        self._ring, self._burst, self._options = RING_SIZE, BURST, ()
        self._pmd = self._peer = None
        self._mode = None
        self.command = self.last_words = ""

    def reshape(self, ring, burst, options=()):
        """Other rings, bursts and options of testpmd, from the next prepare() on."""
        if (ring, options) != (self._ring, self._options):
            self.close()
        self._ring, self._burst, self._options = ring, burst, options

    def record(self, on):
        """Whether testpmd counts its busy cycles, to tell them in last_words of a pause()."""
        self._ask(f"set record-core-cycles {'on' if on else 'off'}")

    def prepare(self, mode, size):
        mix = mode == "tx" and size == IMIX
        if mix and not self._peer:
            self.close()
            self._peer = DpdkPeer(self.name, self.socket, self._core, self._huge)
            self._peer.prepare(mode, size)
            self.command += f"\n    {self._peer.command} # {IMIX}"
        elif not mix and not self._pmd:
            self.close()
            eal = virtio_user_options(self.name, self.socket, self._core, self._huge, ring=self._ring)
            self._pmd = Testpmd(eal, self._options)
            self.command = shlex.join(self._pmd.command)
        self.runs_at_once = mix
        self._mode, self._size = mode, size

    def ready(self):
        if self._peer:
            return self._peer.ready()
        try:
            if not self._pmd.is_up():
                self._pmd.wait_prompt()
            self._pmd.ask(f"set fwd {self.FORWARD_MODES[self._mode]}")
            self._pmd.ask(f"set burst {self._burst}")
            set_size(self._pmd, self._size)
            if not re.search(r"^Port 0:", self._pmd.text(), re.M):
                raise SystemGone(f"testpmd got no port: {self._pmd.last_lines(8)}")
        except TestpmdError as error:
            raise SystemGone(str(error)) from None

    def resume(self):
        self._peer.resume() if self._peer else self._ask("start")

    def pause(self):
        if self._peer:
            self._peer.pause()
        else:
            self.last_words = self._ask("stop")

    def _ask(self, command):
        try:
            return self._pmd.ask(command)
        except TestpmdError as error:
            raise SystemGone(str(error)) from None

    def close(self):
        for part in (self._pmd, self._peer):
            if part:
                part.close()
        self._pmd = self._peer = None


class Program:
    """A program that moves packets as long as it runs, restarted when its keys change.

    program the file that is started
    rings   descriptors of its receive and of its transmit ring
    keys    of the program, beside those that a measurement wants
    """

    runs_at_once = True
    tells_interrupts = False
    fair_keys = ""  # by which it does no more than testpmd
    sized_modes = ("tx",)  # modes in which it is told the frames' size, and so starts anew for each

    def __init__(self, name, socket, core, program, rings=(RING_SIZE, RING_SIZE), keys=""):
        self.name, self.socket = name, socket
        self._core, self._program = core, program
        self._rings, self._burst = rings, BURST
        self._own_keys = keys
        self._process = None
        self._words = None
        self._ran_s = self._runs_since = 0
        self._counted = []  # (interrupts, seconds) of each process that told them
        self.command = self.last_words = ""

    def reshape(self, ring, burst, keys=""):
        """Other rings, bursts and keys, from the next prepare() on."""
        self._rings, self._burst, self._own_keys = (ring, ring), burst, keys

    def command_line(self, keys):
        raise NotImplementedError

    def with_rings(self, keys):
        """With the keys of pktgen that make its rings as large, and its own."""
        return f"{keys} rx.descs={self._rings[0]} tx.descs={self._rings[1]} {self._own_keys}".rstrip()

    def check_built(self):
        """Raises SystemGone if there is no program, or only one from before a build that failed."""
        if str(self._program) in did_not_build or not os.path.exists(self._program):
            raise SystemGone(f"{os.path.relpath(self._program, ROOT)} isn't built")

    def prepare(self, mode, size):
        keys = f"mode={mode} burst={self._burst}{self.fair_keys}" + (f" size={size}" if mode in self.sized_modes else "")
        words = self.command_line(keys)
        if self._process and self._process.poll() is None and words == self._words:
            return
        self.close()
        self.check_built()
        self._words = words
        self.command = shlex.join(words)
        self._log = open(f"{self.socket}.log", "w+b")
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._ran_s, self._runs_since = 0, time.monotonic()

    def ready(self):
        self._check()

    def resume(self):
        self._check()
        os.kill(self._process.pid, signal.SIGCONT)
        self._runs_since = time.monotonic()

    def pause(self):
        os.kill(self._process.pid, signal.SIGSTOP)
        self._ran_s += time.monotonic() - self._runs_since
        self._check()

    def interrupt(self):
        """Asks it to end, for those that then tell what they have counted."""

    def count_interrupts(self):
        """Ends the program. Returns the interrupts a second that it, and those before it that had
        other keys, took while they weren't paused; None if none told."""
        self.close()
        interrupts, seconds = map(sum, zip((0, 0), *self._counted))
        self._counted = []
        return interrupts / seconds if seconds else None

    def _check(self):
        if self._process.poll() is not None:
            self._log.seek(0)
            said = self._log.read().decode("utf-8", "replace").strip().splitlines()[-3:]
            raise SystemGone(f"{self.name} ended ({self._process.returncode}): {' / '.join(said)}")

    def close(self):
        if not self._process:
            return
        if self.tells_interrupts and self._process.poll() is None:
            self._end()
        if self._process.poll() is None:
            self._process.kill()  # ends a stopped process, too
        self._process.wait()
        self._process.stdin.close()
        self._log.close()
        self._process = None

    def _end(self):
        try:
            os.kill(self._process.pid, signal.SIGCONT)
            self.interrupt()
            self._process.wait(END_S)
        except (OSError, subprocess.TimeoutExpired):
            return
        self._log.seek(0)
        self.last_words = self._log.read().decode("utf-8", "replace")
        told = re.search(r"woken by (\d+) interrupts", self.last_words)
        if told:
            self._counted.append((int(told[1]), self._ran_s))


class App(Program):
    """One of our apps on a platform. pktgen tells how often it was interrupted, and has a key not to
    number packets, nor to look into them; ideal does none of these."""

    def __init__(self, name, socket, core, plat, app="pktgen", program=None, **more):
        """program: the app's, of another tree than this one."""
        super().__init__(name, socket, core, program or vm.image(app, plat), **more)
        self.tells_interrupts = app == "pktgen"
        self.fair_keys = " seq=off" if app == "pktgen" else ""
        if app == "ideal":  # it waits for whole batches: what is left in its ring has the last size
            self.sized_modes = ("tx", "fwd")


class Image(App):
    """The image under QEMU, its network card a vhost-user one."""

    def __init__(self, name, socket, core, accel, machine="microvm", huge=False, **more):
        super().__init__(name, socket, core, "kvm", **more)
        self._accel, self._machine = accel, machine
        # Huge pages for its memory, as DPDK and our host process have.
        self._pages = ",hugetlb=on,hugetlbsize=2M" if huge else ""

    def command_line(self, keys):
        return ["taskset", "-c", str(self._core)] + vm.qemu_command(
            self._program,
            self.with_rings(keys),
            machine=self._machine,
            accel=self._accel,
            netdev="vhost-user,id=n0,chardev=c0",
            # vhost-user: the other process maps the guest's memory, so it must be shared.
            more=("-machine", "memory-backend=mem")
            # Offered, so that virtio.ring=auto takes it; QEMU leaves it off unless asked.
            + ("-global", "virtio-net-device.packed=on")
            + ("-global", f"virtio-net-device.rx_queue_size={max(self._rings[0], QEMU_RING_MIN)}")
            + ("-global", f"virtio-net-device.tx_queue_size={max(self._rings[1], QEMU_RING_MIN)}")
            + ("-object", "memory-backend-memfd,id=mem,size=64M,share=on" + self._pages)
            + ("-chardev", f"socket,id=c0,path={self.socket}"),
        )

    def interrupt(self):
        self._process.stdin.write(vm.CTRL_C)
        self._process.stdin.flush()


class Port(App):
    """The same application and driver as a host process: PLAT=linux."""

    def __init__(self, name, socket, core, **more):
        super().__init__(name, socket, core, "linux", **more)

    def command_line(self, keys):
        command = ["taskset", "-c", str(self._core), str(self._program), f"vhost={self.socket}"]
        return command + self.with_rings(keys).split()

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)


class DpdkPeer(Program):
    """peers/dpdk_peer.c on one of DPDK's virtio-user variants."""

    def __init__(self, name, socket, core, huge, **more):
        super().__init__(name, socket, core, PEER, **more)
        self._options = virtio_user_options(name, socket, core, huge, lcores=1, ring=max(self._rings))

    def command_line(self, keys):
        mode = ["imix"] if keys.startswith("mode=tx") else keys.split()
        return [str(self._program), *self._options, "--", *mode]


def cores():
    """(core of the vhost side, core of the system measured); one core twice if there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 if len(usable) > 1 else 0]


def cpu_seconds(pid):
    """How long the threads of a process have run."""
    total_ns = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total_ns += int(file.read().split()[0])
    return total_ns / 1e9


def free_huge_bytes():
    """Free memory in huge pages of 2 MiB that this user may take; 0 where there are none."""
    folder = "/sys/kernel/mm/hugepages/hugepages-2048kB"
    try:
        with open(f"{folder}/free_hugepages") as file:
            free = int(file.read()) * (2 << 20)
    except OSError:
        return 0
    with open("/proc/mounts") as file:
        mounts = [line.split()[1] for line in file if line.split()[2] == "hugetlbfs"]
    return free if any(os.access(mount, os.W_OK) for mount in mounts) else 0
