# SPDX-License-Identifier: BSD-2-Clause
"""The systems of bench/guest: DPDK's testpmd in a Linux guest with one processor, and pktgen's image.

The guest is Debian's cloud kernel, busybox and uio_pci_generic (tests/xen/build.py), and an archive
with testpmd and its libraries behind them, as Linux unpacks one after the other. testpmd is the first
process that stays, and forwards as soon as it runs, so that the machine is the program.
"""

import re
import subprocess
import time
from pathlib import Path

import systems
from systems import RING_SIZE, Image, Program, SystemGone, vm
from testpmd import TESTPMD
from xen import build

HERE = Path(__file__).resolve().parent
DRIVERS = [f"/usr/lib/x86_64-linux-gnu/{name}" for name in ("librte_net_virtio.so.23", "librte_mempool_ring.so.23")]
FORWARDS = r"^Press enter to exit"  # what testpmd says then
CHOSEN = r"virtio: using (.*) path on port 0"
# {name: (what QEMU's device is told, what DPDK's driver is told)}. The vectorised receive needs the
# device without mergeable buffers; on a packed ring it needs AVX-512, too.
VARIANTS = {
    "split": ("", ""),
    "packed": ("packed=on", ""),
    "vectorised": ("mrg_rxbuf=off", "vectorized=1"),
    "packed-vectorised": ("packed=on mrg_rxbuf=off", "vectorized=1"),
}
MODES = {"tx": "txonly", "rx": "rxonly", "fwd": "macswap"}
GUEST_MIB, HUGE_PAGES = 160, 12  # huge pages are of 2 MiB
# Linux warns of stalls where it was held still for other systems' turns.
LINUX_KEYS = ("console=ttyS0 quiet mitigations=off ipv6.disable=1 panic=-1 nowatchdog"
              f" rcupdate.rcu_cpu_stall_suppress=1 hugepages={HUGE_PAGES}")
START_S = 180  # Linux and testpmd take 3 under TCG where nothing else runs
IMAGE_MIB = 64


class Files:
    """Kernel and initramfs."""

    def __init__(self, folder):
        try:
            bed = build.build()
        except (SystemExit, subprocess.CalledProcessError) as error:
            raise SystemGone(f"no Linux guest could be made: {error}") from None
        self.kernel, self.initramfs = bed / "linux-kernel", Path(folder) / "initramfs"
        archive = Path(folder) / "testpmd.cpio"
        self._write(archive)
        self.initramfs.write_bytes((bed / "linux-uio.cpio").read_bytes() + archive.read_bytes())
        archive.unlink()

    def _write(self, path):
        cpio = build.Cpio()
        programs = [subprocess.run(["which", TESTPMD], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()]
        listed = subprocess.run(["ldd", *programs, *DRIVERS], stdout=subprocess.PIPE, text=True, check=True).stdout
        libraries = {word.rstrip(":") for word in listed.split() if word.startswith("/")}
        for file in sorted({*programs, *DRIVERS, *libraries}):
            cpio.file(file.lstrip("/"), Path(file).read_bytes())
        cpio.file("init", (HERE / "peers/dpdk_guest_init").read_bytes())
        cpio.write(path)


class DpdkGuest(Program):
    """testpmd in a Linux guest, on one of the paths through DPDK's virtio driver."""

    def __init__(self, variant, socket, core, accel, machine, files, huge):
        super().__init__(f"dpdk-guest-{accel}-{variant}", socket, core, files.kernel)
        self._device, self._driver = VARIANTS[variant]
        self._accel, self._machine, self._files = accel, machine, files
        self._pages = ",hugetlb=on,hugetlbsize=2M" if huge else ""
        self.chosen = ""  # which paths testpmd said it took

    def qemu(self, mode, size, mib, netdev, more=()):
        keys = f"{LINUX_KEYS} pmd.mode={MODES[mode]} pmd.size={size}"
        keys += f" pmd.args={self._driver}" if self._driver else ""
        device = [*self._device.split(), f"rx_queue_size={RING_SIZE}", f"tx_queue_size={RING_SIZE}"]
        settings = [word for one in device for word in ("-global", f"virtio-net-device.{one}")]
        return vm.qemu_command(self._files.kernel, keys, self._machine, self._accel, f"{mib}M", netdev=netdev,
                               more=("-initrd", str(self._files.initramfs), *settings, *more))

    def command_line(self, keys):
        told = dict(word.split("=") for word in keys.split())
        memory = f"memory-backend-memfd,id=mem,size={GUEST_MIB}M,share=on{self._pages}"
        more = ("-machine", "memory-backend=mem", "-object", memory, "-chardev", f"socket,id=c0,path={self.socket}")
        return ["taskset", "-c", str(self._core)] + self.qemu(
            told["mode"], told.get("size", 64), GUEST_MIB, "vhost-user,id=n0,chardev=c0", more)

    def loaded(self, _):
        """The files that QEMU loads."""
        return [self._files.kernel, self._files.initramfs]

    def said(self):
        with open(f"{self.socket}.log", encoding="utf-8", errors="replace") as log:
            return log.read().replace("\r", "")

    def ready(self):
        """Waits until testpmd forwards."""
        end = time.monotonic() + START_S
        while not re.search(FORWARDS, self.said(), re.M):
            self._check()
            why = broken(self.said()) or (time.monotonic() > end and f"testpmd didn't start within {START_S} s")
            if why:
                self.close()
                raise SystemGone(f"{self.name}: {why}")
            time.sleep(0.02)
        self.chosen = ", ".join(re.findall(CHOSEN, self.said()))

    def _check(self):
        if self._process.poll() is not None:
            raise SystemGone(f"{self.name} ended ({self._process.returncode}): {last_lines(self.said())}")


def broken(console):
    """Why nothing more can be expected of a machine that hasn't ended; None if it can."""
    return "KVM gave up before testpmd ran" if "KVM internal error" in console else None


def last_lines(console):
    """What tells why a machine ended; of a kernel that gave up, the lines before it did."""
    return " / ".join(console.partition("Kernel panic")[0].strip().splitlines()[-3:])


class OurImage(Image):
    """pktgen's image. With TCG it polls, as testpmd does: QEMU 7.2 with vhost-user and a PCI card
    crashes once the guest lets an interrupt through (MSI-X)."""

    chosen = ""

    def __init__(self, name, socket, core, accel, machine, huge):
        super().__init__(name, socket, core, accel, machine, huge=huge, keys="idle.mode=poll")

    def qemu(self, mode, size, mib, netdev, more=()):
        keys = self.with_rings(f"mode={mode} burst={systems.BURST} seq=off size={size}")
        return vm.qemu_command(self._program, keys, self._machine, self._accel, f"{mib}M", netdev=netdev, more=more)

    def loaded(self, folder):
        """Without what only a debugger reads."""
        stripped = Path(folder) / "image"
        subprocess.run(["strip", "-o", stripped, self._program], check=True)
        return [stripped]


def make(folder, accel, machine, files, huge):
    """The systems of one accelerator, in the order of the table."""
    _, core = systems.cores()
    ours = [(f"ringloop-{accel}", machine), (f"ringloop-{accel}-microvm", "microvm")]
    found = [OurImage(name, f"{folder}/{name}", core, accel, on, huge) for name, on in ours]
    return found + [DpdkGuest(variant, f"{folder}/{accel}-{variant}", core, accel, machine, files, huge)
                    for variant in VARIANTS]


def huge_bytes_needed():
    """Of all systems that are connected at a time, and of the vhost side."""
    return (len(VARIANTS) * GUEST_MIB + 3 * IMAGE_MIB) << 20
