# SPDX-License-Identifier: BSD-2-Clause
"""The systems that bench/udpkv measures: each a key-value server with a kvload of its own.

A pair stays up for all loads of the same items, and its server is held still (SIGSTOP) while others are
measured. start() brings both up and stores every key; run() measures once; close() ends both. A system that
can't run here raises SystemGone with the reason.
"""

import json
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time

import systems
from systems import SystemGone, vm

KVLOAD = vm.ROOT / "build/bench/kvload"
SOCKETS_WINDOW, VHOST_WINDOW = 128, 256  # requests unanswered: what a socket's buffer, a ring, holds
START_DEADLINE_S = 60
SLOWEST_STORED_A_SECOND = 50_000  # keys, before a load
PEER_OPTIONS = "dpdk-packed"  # of the variants of DPDK's driver; its vectorised ones offload no checksum
OUR_IMAGE_MORE_BYTES = 32 << 20  # beside the store: the image, its packets, page tables
FIRST_ANSWER_REQUEST = b"\0\1\0\0\0\1\0\0version\r\n"


class Load:
    """What is asked: the share of gets in per cent, R (uniform) or Z (Zipf 0.99), bytes, keys."""

    def __init__(self, gets, pattern, value_bytes, keys):
        self.gets, self.pattern, self.value_bytes, self.keys = gets, pattern, value_bytes, keys

    def __str__(self):
        spread = {"R": "uniform", "Z": "zipf0.99"}[self.pattern]
        keys = f"{self.keys // 1_000_000}M" if self.keys >= 1_000_000 else f"{self.keys // 1000}k"
        return f"get{self.gets}-{spread}-{self.value_bytes}B-{keys}"

    def store_bytes(self):
        """Memory for all items and then some, so that nothing is evicted, in whole MiB."""
        return max(16, int(self.keys * (self.value_bytes + 64) * 1.6) >> 20) << 20

    def items(self):
        """Loads that are alike in this are of the same items."""
        return type(self), self.value_bytes, self.keys

    def asks(self):
        """Its ratio and its key pattern, for kvload."""
        return f"{100 - self.gets}:{self.gets}", f"{self.pattern}:{self.pattern}"

    def options(self):
        ratio, pattern = self.asks()
        return [
            f"--ratio={ratio}", f"--key-pattern={pattern}",
            "--key-zipf-exp=0.99", f"--data-size={self.value_bytes}", "--key-minimum=1",
            f"--key-maximum={self.keys}",
        ]


class Pair:
    """A server and its kvload. Subclasses have way() and server_command()."""

    vhost = False
    deadline_s = START_DEADLINE_S  # for its start, its first answer, and for storing the keys

    def __init__(self, name, folder, huge):
        self.name, self.huge, self.socket = name, huge, f"{folder}/{name}"
        self.client_core, self.core = systems.cores()
        self.udp_port = None
        self._kvload = self._server = None
        self.commands = {}
        self.first_answer_ms = None

    def way(self):
        """kvload's options on how to reach the server."""
        return ["--threads=1", "--spin", f"--port={self.udp_port}", f"--pipeline={SOCKETS_WINDOW}"]

    def server_command(self, load):
        raise NotImplementedError

    def program(self):
        """The file that is started; for its size."""
        raise NotImplementedError

    def start(self, load):
        if not self.program() or not os.path.exists(self.program()):
            raise SystemGone(f"{self.name}: {self.program() or 'its program'} isn't there")
        self.udp_port = vm.free_udp_port()
        client = ["taskset", "-c", str(self.client_core), str(KVLOAD), *load.options(), "--clients=1"]
        client += ["--populate", "--control", f"--connect-timeout-ms={self.deadline_s * 1000}", *self.way()]
        server = ["taskset", "-c", str(self.core), *map(str, self.server_command(load))]
        self.commands = {self.name: shlex.join(server), f"kvload for {self.name}": shlex.join(client)}
        self._log = open(f"{self.socket}.log", "w+b")
        self._kvload = self._spawn(client, subprocess.PIPE)
        deadline_s = self.deadline_s + load.keys / SLOWEST_STORED_A_SECOND
        end = time.monotonic() + deadline_s
        while self.vhost and not os.path.exists(self.socket):
            self._check(end)
            time.sleep(0.01)
        started_ms = time.time() * 1000
        self._server = self._spawn(server, self._log)
        self.began(end)
        self._line(deadline_s)
        self.first_answer_ms = self.run(0.02)["kvload"]["first_answer_unix_ms"] - started_ms
        self.pause()

    def began(self, end):
        """Gives the server what it needs after its start, before the time `end`."""

    def said(self):
        """All that both have printed, but for kvload's results."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def size_bytes(self):
        """Of what is started: the stripped program with its shared libraries."""
        return program_bytes(self.program())

    def is_up(self):
        return self._kvload is not None

    def _spawn(self, words, out):
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out, stderr=self._log, start_new_session=True)

    def _check(self, end):
        for process in (self._kvload, self._server):
            if process and process.poll() is not None:
                said = self.said().strip().splitlines()[-4:]
                raise SystemGone(f"{self.name} ended ({process.returncode}): {' / '.join(said)}")
        if time.monotonic() > end:
            raise SystemGone(f"{self.name} wasn't ready in time")

    def _line(self, deadline_s):
        """kvload's next line."""
        end = time.monotonic() + deadline_s
        while not select.select([self._kvload.stdout], [], [], 0.2)[0]:
            self._check(end)
        line = self._kvload.stdout.readline()
        if not line:
            self._kvload.wait()
            self._check(end)
        return line.decode()

    def run(self, seconds, rate=0, load=None):
        """One run of the load that it was started for, or of another one of the same items; rate 0 is
        as fast as it goes. What kvload told of it, and `cores`: how many the server kept busy."""
        os.kill(self._server.pid, signal.SIGCONT)
        busy_s, begin = systems.cpu_seconds(self._server.pid), time.monotonic()
        asks = " ".join(load.asks()) if load else ""
        self._kvload.stdin.write(f"{seconds} {rate} {asks}\n".encode())
        self._kvload.stdin.flush()
        result = json.loads(self._line(seconds + START_DEADLINE_S))
        result["cpu_s"] = systems.cpu_seconds(self._server.pid) - busy_s
        result["cores"] = result["cpu_s"] / (time.monotonic() - begin)
        told = result["kvload"]
        if told["wrong"]:
            raise SystemGone(f"{self.name} answered {told['wrong']} requests wrong")
        if not result["ALL STATS"]["Totals"]["Count"]:
            raise SystemGone(f"{self.name} answered nothing")
        return result

    def pause(self):
        os.kill(self._server.pid, signal.SIGSTOP)

    def end(self):
        """Ends the server as an operator does. Its last words."""
        os.kill(self._server.pid, signal.SIGCONT)
        self.interrupt()
        self._server.wait(START_DEADLINE_S)
        return self.said()

    def interrupt(self):
        self._server.send_signal(signal.SIGINT)

    def close(self):
        for process in (self._kvload, self._server):
            if process:
                if process.poll() is None:
                    process.kill()  # ends a stopped process, too
                process.wait()
                process.stdin.close()
                if process.stdout:
                    process.stdout.close()
        if self._kvload:
            self._log.close()
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self._kvload = self._server = None


class Sockets(Pair):
    """udpkv's server on a kernel socket: bench/peers/udpkv_sockets.c."""

    def __init__(self, name, folder, huge, batch):
        super().__init__(name, folder, huge)
        self._batch = batch

    def program(self):
        return vm.ROOT / "build/bench/udpkv_sockets"

    def server_command(self, load):
        mem = load.store_bytes() >> 20
        return [self.program(), f"udpkv.port={self.udp_port}", f"udpkv.mem={mem}M", f"mem={mem + 16}M",
                f"sockets.batch={self._batch}"]


class Memcached(Pair):
    """Debian's memcached with one worker; twice the memory, for its own overhead."""

    def program(self):
        return "/usr/bin/memcached"

    def server_command(self, load):
        return [self.program(), "-u", "nobody", "-l", "127.0.0.1", "-p", "0", "-U", self.udp_port, "-t", "1",
                "-m", str(2 * load.store_bytes() >> 20)]


class Vhost(Pair):
    """One whose packets come through a vhost-user socket."""

    vhost = True

    def way(self):
        eal = [f"--lcores=0@{self.client_core}", "--no-telemetry", *systems.eal_memory(self.huge)]
        eal += ["--log-level=lib.vhost.config:warning", "--log-level=lib.eal:error"]
        return [f"--vhost={self.socket}", f"--pipeline={VHOST_WINDOW}", "--", *eal]


class Dpdk(Vhost):
    """udpkv's server on DPDK's virtio-user driver: bench/peers/udpkv_dpdk.c."""

    def program(self):
        return vm.ROOT / "build/bench/udpkv_dpdk"

    def server_command(self, load):
        mem = load.store_bytes() >> 20
        words = systems.virtio_user_options(PEER_OPTIONS, self.socket, self.core, self.huge, lcores=1)
        return [self.program(), f"udpkv.mem={mem}M", f"mem={mem + 16}M", *(f"eal={word}" for word in words)]


class Process(Vhost):
    """udpkv on PLAT=linux."""

    def program(self):
        return vm.image("udpkv", "linux")

    def server_command(self, load):
        mem = load.store_bytes() >> 20
        return [self.program(), f"vhost={self.socket}", f"udpkv.mem={mem}M", f"mem={mem + 16}M"]


class Image(Vhost):
    """udpkv's image under QEMU."""

    def __init__(self, name, folder, huge, accel, keys=""):
        super().__init__(name, folder, huge)
        self._accel, self._keys = accel, keys

    def program(self):
        return vm.image("udpkv")

    def server_command(self, load):
        mem = (load.store_bytes() + OUR_IMAGE_MORE_BYTES) >> 20
        pages = ",hugetlb=on,hugetlbsize=2M" if self.huge else ""
        return vm.qemu_command(
            self.program(),
            f"udpkv.mem={load.store_bytes() >> 20}M {self._keys}".rstrip(),
            machine="microvm",
            accel=self._accel,
            mem=f"{mem}M",
            netdev="vhost-user,id=n0,chardev=c0",
            more=("-machine", "memory-backend=mem", "-global", "virtio-net-device.packed=on")
            + ("-object", f"memory-backend-memfd,id=mem,size={mem}M,share=on{pages}")
            + ("-chardev", f"socket,id=c0,path={self.socket}"),
        )

    def interrupt(self):
        self._server.stdin.write(vm.CTRL_C)
        self._server.stdin.flush()

    def start(self, load):
        super().start(load)
        self.first_answer_ms = self._first_answer_ms()

    def _first_answer_ms(self):
        """From QEMU's start to the first answer over its user network: vhost-user adds about a second
        to QEMU's own start, which says nothing of the image."""
        port = vm.free_udp_port()
        command = vm.qemu_command(self.program(), machine="microvm", accel=self._accel, netdev=vm.user_netdev(port))
        with vm.socket.socket(vm.socket.AF_INET, vm.socket.SOCK_DGRAM) as client:
            client.settimeout(0.002)
            client.connect(("127.0.0.1", port))
            begin = time.monotonic()
            with vm.Vm(["taskset", "-c", str(self.core), *command]):
                while time.monotonic() - begin < START_DEADLINE_S:
                    try:
                        client.send(FIRST_ANSWER_REQUEST)
                        client.recv(2048)
                        return (time.monotonic() - begin) * 1000
                    except OSError:  # a time-out, or QEMU's port isn't there yet
                        pass
        raise SystemGone(f"{self.name} didn't answer over QEMU's user network")


def make(folder, huge, kvm):
    """All systems in the order of the table; without KVM its row is left out."""
    found = [
        Sockets("linux-single", folder, huge, 1),
        Sockets("linux-batches", folder, huge, 32),
        Memcached("memcached", folder, huge),
        Dpdk("dpdk", folder, huge),
        Process("ringloop-linux", folder, huge),
        Image("ringloop-tcg", folder, huge, "tcg"),
    ]
    if kvm:
        found += [Image("ringloop-kvm-poll", folder, huge, "kvm", "idle.mode=poll"), Image("ringloop-kvm", folder, huge, "kvm")]
    return found


def cycles_per_request(result):
    """By the server's own account where it polls, else by its processor time."""
    told = result["kvload"]
    if "server_cycles_per_request" in told:
        return told["server_cycles_per_request"]
    return result["cpu_s"] * told["cycles_hz"] / result["ALL STATS"]["Totals"]["Count"]


def program_bytes(path):
    """Size of a program, stripped, with the shared libraries that it loads."""
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, str(path)], check=True)
        total = os.path.getsize(stripped.name)
    listed = subprocess.run(["ldd", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    paths = {os.path.realpath(word) for word in listed.split() if word.startswith("/") and os.path.exists(word)}
    return total + sum(os.path.getsize(library) for library in paths)


def memory_bytes(names, load):
    """What these systems need together, and how much of it from huge pages."""
    each = load.store_bytes() + OUR_IMAGE_MORE_BYTES
    total = sum(2 * each if name == "memcached" else each for name in names)
    packets = 64 << 20
    huge = sum(each + packets * (name.startswith("ringloop") + 2 * (name == "dpdk"))
               for name in names if name != "memcached")
    return total + huge - huge // 2, huge
