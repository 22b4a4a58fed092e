# SPDX-License-Identifier: BSD-2-Clause
"""Machines that are stopped, saved, restored and moved while clients talk to them: QEMU with a monitor,
a UDP port that stays the same wherever the machine is, and a host whose date the test sets."""

import contextlib
import mmap
import os
import select
import socket
import struct
import subprocess
import threading
import time

from tap import Tap
from vhost_port import OUR_MAC, frames
from vm import DEADLINE_S, HOST, Link, Vm, image, mac, qemu_command
from xen.qmp import Qmp

GUEST_MAC = bytes.fromhex(mac(0).replace(":", ""))
BATCH = 64  # packets that are carried before the others get their turn


class Relay:
    """A UDP port of 127.0.0.1. What comes there goes as frames over the cable that is plugged in, once
    that takes them, and answers that come over any cable go back."""

    def __init__(self):
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((HOST, 0))
        self._udp.setblocking(False)
        self.number = self._udp.getsockname()[1]
        self._cables, self._plugged, self._full, self._stop = [], None, False, False
        self._wake_us, self._wake_it = os.pipe()
        self.answers = 0
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def plug(self, cable):
        """From now on datagrams go there."""
        self._cables = [*self._cables, cable]
        self._plugged = cable
        os.write(self._wake_it, b"x")

    def wait_answers(self, wanted, deadline_s=DEADLINE_S):
        """Waits until `answers`, which counts all since the start, is `wanted`."""
        with self._news:
            assert self._news.wait_for(lambda: self.answers >= wanted, deadline_s), "the machine doesn't answer"

    def _run(self):
        while not self._stop:
            with contextlib.suppress(OSError, ValueError):  # a cable may be closed at any time
                self._carry([cable for cable in self._cables if cable.fileno() >= 0])

    def _carry(self, cables):
        waits, asks = ([self._plugged], []) if self._full else ([], [self._udp] if self._plugged else [])
        ready, _, _ = select.select([self._wake_us, *asks, *cables], waits, [], 1)
        self._full = False
        if self._wake_us in ready:
            os.read(self._wake_us, 64)
        for cable in cables:
            if cable in ready:
                self._to_clients(cable)
        if asks and self._udp in ready:
            self._to_guest(self._plugged)

    def _to_guest(self, cable):
        for _ in range(BATCH):
            if not select.select([], [cable], [], 0)[1]:
                self._full = True
                return
            data, (_, port) = self._udp.recvfrom(2048)
            for frame in frames(GUEST_MAC, port, 0, data):
                cable.send(frame)

    def _to_clients(self, cable):
        while answer := cable.recv(0):
            if answer[:6] != OUR_MAC or answer[12:14] != b"\x08\x00" or answer[23] != socket.IPPROTO_UDP:
                continue
            port, size = struct.unpack_from("!HH", answer, 36)
            self._udp.sendto(answer[42 : 34 + size], (HOST, port))
            with self._news:
                self.answers += 1
                self._news.notify_all()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        os.write(self._wake_it, b"x")
        self._thread.join()
        self._udp.close()
        os.close(self._wake_it)
        os.close(self._wake_us)


class UnixCable(Link):
    """A cable that never holds up its user: what the guest doesn't take at once is lost."""

    fds = ()

    def send(self, frame):
        Link.send(self, frame, read=False, deadline_s=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class HostDate:
    """The date of the hosts of machines: that of this machine, and `ahead` seconds, which may be set at
    any time. `environment` has a program see it."""

    SOURCE = r"""
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <sys/time.h>
    #include <time.h>
    #include <unistd.h>

    static const volatile long *ahead_s;
    __attribute__((constructor)) static void map(void)
    {
        int fd = open(getenv("DATE_AHEAD"), O_RDONLY);
        void *page = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0);
        if (fd < 0 || page == MAP_FAILED)
            abort();
        ahead_s = page;
    }
    int clock_gettime(clockid_t id, struct timespec *t)
    {
        int result = (int)syscall(SYS_clock_gettime, id, t);
        if (result == 0 && id == CLOCK_REALTIME && ahead_s)
            t->tv_sec += *ahead_s;
        return result;
    }
    int gettimeofday(struct timeval *t, void *zone)
    {
        struct timespec now;
        (void)zone;
        clock_gettime(CLOCK_REALTIME, &now);
        *t = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
        return 0;
    }
    time_t time(time_t *t)
    {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (t)
            *t = now.tv_sec;
        return now.tv_sec;
    }
    """

    def __init__(self, folder):
        library, file = folder / "date.so", folder / "ahead"
        command = ["gcc", "-O1", "-shared", "-fPIC", "-o", library, "-x", "c", "-"]
        subprocess.run(command, input=self.SOURCE.encode(), check=True)
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), 8)
        self.environment = ["env", f"LD_PRELOAD={library}", f"DATE_AHEAD={file}"]

    def ahead(self, seconds):
        struct.pack_into("=q", self._page, 0, seconds)


class Machine:
    """udpkv under QEMU, with a monitor. `vm`, `monitor` and `cable` are for the test's use."""

    def __init__(self, folder, machine="microvm", accel="tcg", cores=1, packed=False, cpu=None, date=None,
                 keys="", more=()):
        folder.mkdir()
        self._accel = accel
        self.cable = UnixCable(folder) if cores == 1 else Tap(queues=cores)
        more = ["-qmp", f"unix:{folder}/monitor,server=on,wait=off", *more]
        if packed:
            more += ["-global", "virtio-net-device.packed=on"]
        command = qemu_command(image("udpkv"), f"cores={cores} udpkv.mem=2M {keys}", machine=machine, accel=accel,
                               mem="24M", cpus=cores, netdev=self.cable.netdev, queues=cores, more=more)
        if cpu:
            command[command.index("-cpu") + 1] = cpu
        with contextlib.ExitStack() as opened:
            opened.enter_context(self.cable)
            self.vm = opened.enter_context(Vm([*(date.environment if date else []), *command],
                                              pass_fds=self.cable.fds))
            self.monitor = Qmp(f"{folder}/monitor", DEADLINE_S)
            opened.callback(self.monitor.close)
            self._opened = opened.pop_all()

    def serves(self):
        self.vm.expect("^udpkv: serves ")
        return self

    def end(self):
        """In order; nothing may be lost."""
        self.vm.send(b"\x03")
        self.vm.expect(r"^udpkv: every pool is whole\.$")
        assert self.vm.exit_code() == 0

    def migrate(self, uri):
        """Under TCG it is stopped first, for QEMU 7.2 then loses what a running machine writes to its memory."""
        if self._accel == "tcg":
            self.monitor.execute("stop")
        self.monitor.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        self.monitor.execute("migrate", uri=uri)
        self.monitor.migrated()

    def goes_on(self):
        """Waits until a machine that is moved has come, and has it run."""
        while self.monitor.execute("query-status")["status"] == "inmigrate":
            time.sleep(0.005)
        self.monitor.execute("cont")
        self.monitor.running()

    def job(self, command, **arguments):
        """Does one of the monitor's jobs, to its end."""
        self.monitor.execute(command, **{"job-id": "job"}, **arguments)
        while not any(event.get("data", {}).get("status") == "concluded" for event in self.monitor.events):
            self.monitor.events = [self.monitor.event()]
        [told] = [job for job in self.monitor.execute("query-jobs") if job["id"] == "job"]
        assert "error" not in told, told
        self.monitor.execute("job-dismiss", id="job")
        self.monitor.events = []

    def add_snapshot_disk(self, path):
        """A disk of QEMU's format that no device of the guest shows: there is where snapshots are."""
        def file():
            return {"driver": "file", "filename": str(path)}

        self.job("blockdev-create", options={**file(), "size": 0})
        self.monitor.execute("blockdev-add", **file(), **{"node-name": "file"})
        self.job("blockdev-create", options={"driver": "qcow2", "file": "file", "size": 1 << 20})
        self.monitor.execute("blockdev-add", driver="qcow2", file="file", **{"node-name": "disk"})

    def snapshot(self, command):
        self.job(command, tag="one", vmstate="disk", devices=["disk"])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._opened.__exit__(*error)
