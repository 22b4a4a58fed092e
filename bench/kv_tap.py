# SPDX-License-Identifier: BSD-2-Clause
"""bench/udpkv's systems behind a tap: what a guest serves whose packets QEMU itself moves.

udpkv's image and memcached in a Linux guest have the same machine (q35), card, accelerator and back end,
one processor, and a kvload on the kernel's sockets; memcached on the host is beside them. A Linux guest
runs under TCG everywhere, under KVM only where the processor virtualizes, so TCG is what is compared.
"""

import subprocess
import time
from pathlib import Path

import namespace
from kv_systems import SOCKETS_WINDOW, Load, Memcached, Pair
from systems import SystemGone, vm
from xen import build

MEMCACHED = "/usr/bin/memcached"
OURS = "ringloop-tcg-tap"  # to be compared with the Linux guest
LINUX_MIB = 160  # Debian's cloud kernel with its initramfs of busybox, memcached and libraries


class TapLoad(Load):
    """A load for which the systems of this file are measured, in place of the others."""

    def __str__(self):
        return f"{super().__str__()}-tap"


class Guest(Pair):
    """A guest behind a tap of its own, 10.0.NETWORK.15."""

    def __init__(self, name, folder, accel, network):
        super().__init__(name, folder, huge=False)
        self._accel, self.tap, self.own_ip = accel, f"tap{network}", f"10.0.{network}.1"
        self._ip = f"10.0.{network}.15"

    def way(self):
        return ["--threads=1", "--spin", f"--server={self._ip}", f"--pipeline={SOCKETS_WINDOW}"]

    def qemu(self, program, keys, mib, more=()):
        netdev = namespace.tap_netdev(self.tap)
        return vm.qemu_command(program, f"net.ip={self._ip}/24 {keys}", "q35", self._accel, f"{mib}M", netdev=netdev,
                               more=more)

    def start(self, load):
        namespace.know(self.tap, self._ip)
        super().start(load)


class Image(Guest):
    """udpkv's image."""

    def program(self):
        return vm.image("udpkv")

    def server_command(self, load):
        mib = load.store_bytes() >> 20
        return self.qemu(self.program(), f"udpkv.mem={mib}M", mib + 32)

    def interrupt(self):
        self._server.stdin.write(vm.CTRL_C)
        self._server.stdin.flush()


class LinuxGuest(Guest):
    """Debian's cloud kernel and memcached with one worker: the guest of bench/latency, and an archive
    with memcached behind its own, as Linux unpacks one after the other."""

    deadline_s = 180  # on a busy machine; it starts in some 5 s, and stores 20,000 keys in as many

    def __init__(self, *words):
        super().__init__(*words)
        self._initramfs = Path(f"{self.socket}.cpio")
        self._kernel = None

    def program(self):
        return MEMCACHED

    def size_bytes(self):
        return self._kernel.stat().st_size + self._initramfs.stat().st_size

    def server_command(self, load):
        try:
            files = build.build()
        except (SystemExit, subprocess.CalledProcessError) as error:
            raise SystemGone(f"{self.name}: no Linux guest could be made: {error}") from None
        self._kernel = files / "linux-kernel"
        self._initramfs.write_bytes((files / "linux-virtio.cpio").read_bytes() + self._archive().read_bytes())
        self._mib = 2 * load.store_bytes() >> 20  # twice the memory, as on the host
        return self.qemu(self._kernel, "console=ttyS0 quiet mitigations=off ipv6.disable=1",
                         LINUX_MIB + self._mib, ("-initrd", str(self._initramfs)))

    def _archive(self):
        path, cpio = self._initramfs.with_suffix(".memcached"), build.Cpio()
        cpio.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        cpio.file("bin/memcached", Path(MEMCACHED).read_bytes())
        listed = subprocess.run(["ldd", MEMCACHED], stdout=subprocess.PIPE, text=True, check=True).stdout
        for library in [word for word in listed.split() if word.startswith("/")]:
            cpio.file(library.lstrip("/"), Path(library).read_bytes())
        cpio.write(path)
        return path

    def began(self, end):
        """Its console takes commands once it is up."""
        while "linux: ready" not in self.said():
            self._check(end)
            time.sleep(0.01)
        self._server.stdin.write(f"memcached -u root -p 0 -U 11211 -t 1 -m {self._mib}\n".encode())
        self._server.stdin.flush()


def make(folder, kvm):
    """The systems of a TapLoad, in the order of the table."""
    found = [Memcached("memcached", folder, huge=False), LinuxGuest("linux-tcg-tap", folder, "tcg", 3),
             Image(OURS, folder, "tcg", 2)]
    return found + ([Image("ringloop-kvm-tap", folder, "kvm", 4)] if kvm else [])


def enter_namespace(pairs):
    """For all that follows; takes root."""
    namespace.enter({pair.tap: pair.own_ip for pair in pairs if isinstance(pair, Guest)})
