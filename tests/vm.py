# SPDX-License-Identifier: BSD-2-Clause
"""Starts images under QEMU and talks to them.

./run and every test build QEMU's command line here, in qemu_command(), and nowhere else.

    with Vm(qemu_command(image("hello"), machine="microvm")) as vm:
        vm.expect("Hello from Ringloop")
        assert vm.exit_code() == 0
"""

import collections
import contextlib
import fcntl
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MACHINES = ("microvm", "q35", "pc")
HOST = "127.0.0.1"  # where ports of this machine are forwarded from
GUEST_IP = "10.0.2.15"  # the images' default net.ip, and the address that QEMU's user network gives
GUEST_PORT = 11211
CTRL_C = b"\x03"
DEADLINE_S = 30  # for anything that takes well under a second on a quiet machine


def image(app, plat="kvm"):
    return ROOT / "build" / f"{app}-{plat}" / app


def mac(place):
    """The address of a device by its place on QEMU's command line; for the first it is QEMU's default."""
    return f"52:54:00:12:34:{0x56 + place:02x}"


def kvm_problem():
    """Why KVM can't be used here, or None if it can: asks for a VM with a processor."""
    KVM_CREATE_VM, KVM_CREATE_VCPU = 0xAE01, 0xAE41
    try:
        with open("/dev/kvm", "rb+", buffering=0) as kvm:
            vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
            try:
                os.close(fcntl.ioctl(vm, KVM_CREATE_VCPU, 0))
            finally:
                os.close(vm)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    return None


def end_on_signals():
    """SIGTERM, and SIGHUP as of a terminal that closes, raise SystemExit, so that what was started
    is ended, too; status 143 and 129. Once, so that a second one can't interrupt that."""

    def end(number, _):
        for other in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, end)


def qemu_command(
    image,
    keys="",
    machine="q35",
    accel="tcg",
    mem="64M",
    cpus=1,
    netdev=None,
    netdevs=(),
    vhost_user=None,
    queues=1,
    rss=False,
    more=(),
    debug_exit=True,
):
    """QEMU's command line for an image.

    keys        the image's command line, such as "ring=3 udpkv.mem=16M"
    netdev      the text after -netdev, with id=n0; None for a machine without network
    netdevs     in place of netdev, for several devices: a list of texts, with id=n0, id=n1 and so on.
                Their MAC addresses, of mac(), tell this order, for QEMU gives microvm's virtio-mmio
                slots to devices from the last slot down.
    vhost_user  in place of netdev: the socket of a vhost-user back end
    queues      queue pairs of each device; a netdev of its own has to say so, too
    rss         each device spreads packets by a hash that the guest configures
    more        further options of QEMU, a list of words
    debug_exit  False leaves out the device by which an image hands QEMU its exit code
    """
    # Every feature that the accelerator has, but for MSR 0x10a, which a nested KVM may offer and
    # then refuse to set, whereupon QEMU aborts.
    command = ["qemu-system-x86_64", "-M", machine, "-accel", accel]
    if vhost_user and accel == "tcg" and machine != "microvm":
        keys += " idle.mode=poll"  # with vhost-user, QEMU 7.2 without KVM crashes once an MSI-X entry is unmasked
    if vhost_user:  # the back end maps the machine's memory, so it must be shared
        command[2] += ",memory-backend=mem"
        command += ["-object", f"memory-backend-memfd,id=mem,size={mem},share=on"]
        command += ["-chardev", f"socket,id=c0,path={vhost_user},reconnect=1"]
        netdev = "vhost-user,id=n0,chardev=c0" + (f",queues={queues}" if queues > 1 else "")
    command += ["-cpu", "max,arch-capabilities=off", "-m", mem, "-smp", str(cpus)]
    command += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]
    if debug_exit:
        command += ["-device", "isa-debug-exit,iobase=0x501,iosize=1"]
    if machine == "microvm":
        command += ["-global", "virtio-mmio.force-legacy=false"]
    elif accel == "kvm":
        # SeaBIOS takes seconds on a KVM without hardware virtualization, qboot a tenth of one.
        command += ["-bios", "qboot.rom"]
    driver = "virtio-net-device" if machine == "microvm" else "virtio-net-pci"
    for i, text in enumerate(netdevs or ([netdev] if netdev else [])):
        device = f"{driver},netdev=n{i},mac={mac(i)}"
        device += (",mq=on" if queues > 1 else "") + (",rss=on" if rss else "")
        command += ["-netdev", text, "-device", device]
    command += [*more, "-kernel", str(image)]
    return command + (["-append", keys] if keys else [])


def user_netdev(host_port, guest_port=GUEST_PORT, guest_ip=GUEST_IP):
    """User-mode networking, with one UDP port of 127.0.0.1 forwarded to the guest."""
    return f"user,id=n0,{udp_forward(host_port, guest_ip, guest_port)}"


def udp_forward(host_port, guest_ip=GUEST_IP, guest_port=GUEST_PORT):
    return f"hostfwd=udp:{HOST}:{host_port}-{guest_ip}:{guest_port}"


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Vm:
    """A running QEMU: its console line by line, what it is told, its end. Killed on leaving."""

    def __init__(self, command, echo=None, pass_fds=()):
        self.command = shlex.join(command)
        self.lines = []  # (arrival in monotonic nanoseconds, text) of every line so far
        self._next = 0  # the first line that expect() hasn't looked at
        self._ended = False
        self._echo = echo
        self._news = threading.Condition()
        # A session of its own, so that a Ctrl-C in the terminal doesn't reach QEMU.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.process.stdout:
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            with self._news:
                self.lines.append((time.monotonic_ns(), text))
                self._news.notify_all()
            if self._echo:
                self._echo(text)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def console(self):
        return "\n".join(text for _, text in self.lines)

    def _fail(self, what):
        shown = f"--- command\n{self.command}\n--- console\n{self.console()}\n---"
        raise AssertionError(f"{what}\n{shown}")

    def expect(self, pattern, deadline_s=DEADLINE_S):
        """The match of the next console line that has `pattern`. Earlier lines are passed over."""
        end = time.monotonic() + deadline_s
        with self._news:
            while True:
                while self._next < len(self.lines):
                    text = self.lines[self._next][1]
                    self._next += 1
                    match = re.search(pattern, text)
                    if match:
                        return match
                    if "KVM internal error" in text:  # QEMU stops the machine and stays
                        self._fail(f"KVM gave up before {pattern!r}")
                if self._ended:
                    self._fail(f"the machine ended without {pattern!r}")
                left = end - time.monotonic()
                if left <= 0:
                    self._fail(f"no {pattern!r} in {deadline_s} s")
                self._news.wait(left)

    def ended(self):
        """Has the console come to its end, as it does with QEMU?"""
        return self._ended

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def status(self, deadline_s=DEADLINE_S):
        """QEMU's exit status, once it has ended by itself."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self._fail(f"the machine still runs after {deadline_s} s")
        self._reader.join()
        return status

    def exit_code(self, deadline_s=DEADLINE_S):
        """The image's exit code, which QEMU's status and the closing line must both tell."""
        status = self.status(deadline_s)
        if status % 2 == 0:
            self._fail(f"QEMU's status is {status}: the image didn't end by isa-debug-exit")
        code = (status - 1) // 2
        if self.lines[-1][1] != f"Ringloop: exit {code}.":
            self._fail(f"QEMU's status says exit {code}, but the last line differs")
        return code

    def interrupt(self):
        """Types Ctrl-C: to an image on its console, to a host process by what a terminal makes of it."""
        if self.process.args[0].startswith("qemu-"):
            self.send(CTRL_C)
        else:
            self.process.send_signal(signal.SIGINT)

    def end(self):
        """Asks the image to end, as an operator does; returns its exit code."""
        self.interrupt()
        return self.exit_code()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


def is_discovery(frame):
    """Whether it is of IPv6's neighbour discovery, or a report of a group, which a host begins by itself."""
    if frame[12:14] != b"\x86\xdd":
        return False
    return (frame[20] == 58 and 133 <= frame[54] <= 136) or (frame[20] == 0 and frame[62] == 131)


class Link:
    """A cable to the guest: sends and receives whole Ethernet frames. Needs no privileges. Frames of
    neighbour discovery are passed over, unless somebody wants to see them."""

    def __init__(self, folder, discovery=False):
        self._discovery = discovery
        self._ours, self._guests = f"{folder}/host", f"{folder}/guest"
        self.netdev = (
            f"dgram,id=n0,local.type=unix,local.path={self._guests}"
            f",remote.type=unix,remote.path={self._ours}"
        )
        self._received = collections.deque()
        self._connected = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._ours)
        self._socket.setblocking(False)

    def close(self):
        self._socket.close()

    def fileno(self):
        """For select: readable when a frame has come that recv() hasn't taken in yet."""
        return self._socket.fileno()

    def _drain(self):
        try:
            while True:
                frame = self._socket.recv(65536)
                if self._discovery or not is_discovery(frame):
                    self._received.append(frame)
        except BlockingIOError:
            pass

    def send(self, frame, read=True, deadline_s=DEADLINE_S):
        """Waits while the guest is behind. With read=False nothing is received meanwhile, and
        False comes back if the guest took no frame for the time given."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                if not self._connected:  # not before QEMU has made its end
                    self._socket.connect(self._guests)
                    self._connected = True
                self._socket.send(frame)
                return True
            except BlockingIOError:
                if read:
                    self._drain()
            left = end - time.monotonic()
            if left <= 0:
                assert not read, f"the guest took no frame for {deadline_s} s"
                return False
            select.select([self._socket] if read else [], [self._socket], [], left)

    def recv(self, deadline_s=DEADLINE_S):
        """The next frame from the guest; None if none came in time."""
        end = time.monotonic() + deadline_s
        while not self._received:
            self._drain()
            left = end - time.monotonic()
            if not self._received:
                if left <= 0:
                    return None
                select.select([self._socket], [], [], left)
        return self._received.popleft()


@contextlib.contextmanager
def power_button(monitor):
    """Presses it by QEMU's monitor, a unix socket, which stays open while this lasts."""
    with socket.socket(socket.AF_UNIX) as button:
        button.connect(monitor)
        button.sendall(b"system_powerdown\n")
        yield
