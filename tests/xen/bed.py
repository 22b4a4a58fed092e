#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A real Xen 4.17 with a Debian dom0 under QEMU's software emulation, for images of PLAT=xen.

    with Bed() as bed:
        print(bed.run("xl list"))
        with bed.domain(image("hello", "xen"), "net.ip=10.0.2.15/24", vif="") as hello:
            hello.expect("Hello from Ringloop")
            assert hello.wait() == "poweroff"

What it boots is made by build.py. The machine is resumed from a snapshot; where that fails it says
so and boots. dom0 takes commands on virtio-serial ports (dom0_init), each a UNIX socket here; a
folder of the host is dom0's /host. Guests' interfaces are on dom0's bridge br0, with dom0 itself at
10.0.2.1 and QEMU's second end, `netdev`: by default QEMU's user network, where images have 10.0.2.15.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent)]

import build  # noqa: E402
from domain import Domain, Job  # noqa: E402
from qmp import Qmp, connect  # noqa: E402
from vm import DEADLINE_S, Vm, end_on_signals  # noqa: E402

BOOT_DEADLINE_S = 120
PORTS = 16  # commands that dom0 can run at a time; each running domain needs one
MEMORY_MB = 1024
DOM0_IP = "10.0.2.1"
START = '[ $PPID = "$1" ] && cd "$2" && shift 2 && exec "$@"'
XEN_OPTIONS = (  # eager-fpu: left to Xen's lazy way, SSE registers get mixed up in QEMU
    "console=com1 com1=115200 noreboot cpuidle=0 cpufreq=none guest_loglvl=all spec-ctrl=eager-fpu"
    " dom0_mem=320M,max:320M dom0_max_vcpus=1"
)
DOM0_OPTIONS = (
    "console=hvc0 quiet mitigations=off apparmor=0 audit=0 cgroup_disable=memory ipv6.disable_ipv6=1"
)


def on_xen_host():
    """Is this the domain that controls others?"""
    try:
        return "control_d" in Path("/proc/xen/capabilities").read_text()
    except OSError:
        return False


def config_text(name, kernel, keys="", memory=32, vcpus=1, vifs=(), **more):
    """What `xl create` wants to read. The domain stays after its end, whatever the reason.

    tsc_mode is native, as RDTSCP, which the other modes make Xen emulate, hangs in QEMU.
    """
    config = {
        "name": name, "type": "pvh", "kernel": str(kernel), "extra": keys, "memory": memory,
        "vcpus": vcpus, "tsc_mode": "native", "on_poweroff": "preserve", "on_reboot": "preserve",
        "on_crash": "preserve", "on_watchdog": "preserve", "on_soft_reset": "preserve",
        "vif": list(vifs), **more,
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())


def packets_told(output):
    """What the program of tests/xen/packets prints at its end, as a dict."""
    return json.loads(re.search(r"^\{.*\}$", output, re.M)[0])


def announcement(mac):
    """How a gratuitous ARP of this address begins."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x08\x06"


class Bed:
    """The running machine. Ended, by its process id, on leaving.

    netdev  the text after -netdev, with id=n0
    enter   words before QEMU's, such as those that enter a network namespace with netdev's tap
    """

    def __init__(self, netdev="user,id=n0", snapshot=True, echo=None, enter=()):
        self._files, self._enter = build.build(), list(enter)
        self._folder = tempfile.TemporaryDirectory(prefix="xen-bed-")
        self.share = Path(self._folder.name) / "share"
        (self.share / "console").mkdir(parents=True)
        self._echo, self._vm, self._qmp, self._ports, self._all_ports = echo, None, None, [], []
        self._count = 0
        self.resumed = False
        try:
            if snapshot:
                self._resume(netdev)
            if not self._vm:
                self._boot(netdev)
            self.run(
                f"date -s @{int(time.time())} && mount -t 9p"
                " -o trans=virtio,version=9p2000.L,msize=131072 host /host"
            )
            self._printed = len(self.console())
        except BaseException:
            self.close()
            raise

    # --- starting it

    def _command(self, netdev, more=()):
        # It dies with this process, however that ends; a process that has ended before the signal
        # was asked for is seen by another parent. File names are relative, as Xen's list of modules
        # has no way to write a blank or a comma.
        command = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", START, "sh", str(os.getpid())]
        command += [str(self._files), "qemu-system-x86_64", "-accel", "tcg"]
        command += ["-machine", "q35", "-cpu", "EPYC,-smap,-monitor", "-smp", "1"]
        command += ["-m", str(MEMORY_MB), "-nodefaults", "-display", "none", "-no-reboot"]
        command += ["-kernel", "xen", "-append", XEN_OPTIONS]
        command += ["-initrd", f"dom0-kernel {DOM0_OPTIONS},dom0.cpio", "-serial", "stdio"]
        folder = self._folder.name.replace(",", ",,")
        command += ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
        command += ["-virtfs", f"local,path={folder}/share,mount_tag=host,security_model=none,id=h9"]
        command += ["-device", f"virtio-serial-pci,max_ports={PORTS + 1}"]
        for i in range(PORTS):
            command += ["-chardev", f"socket,id=p{i},path={folder}/p{i},server=on,wait=off"]
            command += ["-device", f"virtserialport,chardev=p{i},nr={i + 1}"]
        command += ["-netdev", netdev]
        command += ["-device", "virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01,romfile="]
        return command + list(more)

    def _start(self, netdev, more=()):
        self._vm = Vm(self._enter + self._command(netdev, more), echo=self._echo)
        self._qmp = Qmp(f"{self._folder.name}/qmp", DEADLINE_S)
        self._all_ports = [
            connect(f"{self._folder.name}/p{i}", DEADLINE_S) for i in range(PORTS)
        ]
        self._ports = list(self._all_ports)

    def _stop(self):
        for sock in self._all_ports:
            sock.close()
        if self._qmp:
            self._qmp.close()
        if self._vm:
            self._vm.__exit__()
        self._all_ports, self._ports, self._qmp, self._vm = [], [], None, None

    def _boot(self, netdev):
        self._start(netdev)
        self._vm.expect("dom0: ready", BOOT_DEADLINE_S)

    def _snapshot(self):
        """The file to resume from. Made if needed: by several processes at once if need be."""
        told = self._vm_identity()
        path = self._files / f"snapshot-{told}"
        if not path.exists():
            build.say("booting Xen once for a snapshot")
            # Not a user network, which would leave its state in the snapshot.
            netdev = "hubport,id=n0,hubid=0"
            fresh = self._files / f"snapshot-{told}.{os.getpid()}"
            try:
                self._boot(netdev)
                for job in [self.start("true") for _ in range(PORTS)]:
                    job.wait()
                self._qmp.execute("stop")
                self._migrate("migrate", f"exec:cat >{fresh.name}")
                fresh.rename(path)
            finally:
                self._stop()
                fresh.unlink(missing_ok=True)
        return path

    def _vm_identity(self):
        version = build.apt("qemu-system-x86_64", "--version")
        own = (str(self._files), str(os.getpid()))
        shape = [word.replace(self._folder.name, "") for word in self._command("") if word not in own]
        return hashlib.sha256("\n".join([version, *shape]).encode()).hexdigest()[:12]

    def _migrate(self, verb, uri):
        capability = {"capability": "events", "state": True}
        self._qmp.execute("migrate-set-capabilities", capabilities=[capability])
        self._qmp.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 34})
        self._qmp.execute(verb, uri=uri)
        self._qmp.migrated()

    def _resume(self, netdev):
        path = None
        try:
            path = self._snapshot()
            self._start(netdev, ["-incoming", "defer"])
            self._migrate("migrate-incoming", f"exec:cat {path.name}")
            self._qmp.execute("cont")
            self.run("true", deadline_s=10)
            self.resumed = True
        except (AssertionError, OSError, RuntimeError) as error:
            said = self._vm.console() if self._vm else ""
            self._stop()
            if path:
                path.unlink(missing_ok=True)
            build.say(f"no snapshot ({str(error).splitlines()[0]}); booting Xen instead\n{said}")

    # --- using it

    def running(self):
        return self._vm is not None and self._vm.process.poll() is None

    def console(self):
        """What Xen and dom0's kernel printed."""
        return self._vm.console() if self._vm else ""

    def console_since_start(self):
        return self.console()[self._printed :].strip()

    def start(self, command):
        """Starts a command of one line in dom0 and returns its Job."""
        assert self._ports, f"dom0 runs {PORTS} commands already"
        return Job(self, self._ports.pop(), command)

    def run(self, command, check=True, deadline_s=DEADLINE_S):
        """Runs a command in dom0; returns what it printed. With check it must end with 0."""
        job = self.start(command)
        if job.wait(deadline_s) != 0 and check:
            job._fail(f"it ended with {job.status}")
        return job.output

    def put(self, file, name=None):
        """Copies a file into the share; returns its name in dom0."""
        name = name or Path(file).name
        shutil.copy(file, self.share / name)
        return f"/host/{name}"

    @contextlib.contextmanager
    def captured(self):
        """What passes the network outside of dom0, as a function that gives the bytes so far."""
        file = self.share / "capture"
        what = {"qom-type": "filter-dump", "id": "dump", "netdev": "n0", "file": str(file)}
        self._qmp.execute("object-add", **what)
        try:
            yield file.read_bytes
        finally:
            self._qmp.execute("object-del", id="dump")

    def domain(self, kernel, keys="", memory=32, vcpus=1, vif=None, name=None, more="",
               paused=False, echo=None):
        """Starts an image as a domain. It stays after its end, whatever the reason, until it is left.

        vif     a string of xl's vif options, such as "mac=00:16:3e:00:00:02", or a list of them, for
                each interface one; None for no network
        more    further lines of the config; they win over those made here
        paused  it waits for `xl unpause` before its first instruction
        """
        self._count += 1
        name = name or f"{Path(kernel).name}{self._count}"
        kernel = self.put(kernel, f"{name}.kernel")
        text = config_text(name, kernel, keys, memory, vcpus, self._vifs(vif))
        return Domain(self, name, f"{text}{more}\n", paused, echo)

    def _vifs(self, vif):
        """With a bridge and, where the options have none, a MAC address."""
        vifs = [vif] if isinstance(vif, str) else vif or []
        words = []
        for i, text in enumerate(vifs):
            if "mac=" not in text:
                text = f"mac=00:16:3e:00:{self._count & 0xff:02x}:{i + 2:02x},{text}"
            words.append(text if "bridge=" in text else f"{text.rstrip(',')},bridge=br0")
        return words

    def linux(self, keys="", memory=128, vcpus=1, vif=None, name=None, more="", echo=None):
        """A Linux guest (linux_init) with the same netfront options; `linux: ready` comes first."""
        self._count += 1
        name = name or f"linux{self._count}"
        for file in ("linux-kernel", "linux.cpio"):  # in dom0's memory, as mapping a file of the
            if not (self.share / file).exists():  # share reads it page by page
                self.run(f"cp {self.put(self._files / file)} /run")
        keys = f"console=hvc0 quiet mitigations=off {keys}"
        text = config_text(name, "/run/linux-kernel", keys, memory, vcpus, self._vifs(vif),
                           ramdisk="/run/linux.cpio")
        return Domain(self, name, f"{text}{more}\n", echo=echo)

    def close(self):
        self._stop()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- command line ---------------------------------------------------------------------------------


def show(text):
    print(text, flush=True)


def run_image(args):
    vif = [""] * args.vif
    with Bed(snapshot=not args.boot, echo=show if args.xen else None) as bed:
        options = dict(memory=args.memory, vcpus=args.vcpus, vif=vif, more=args.config, echo=show)
        start = bed.linux if args.image == "linux" else lambda k, **o: bed.domain(args.image, k, **o)
        with start(" ".join(args.keys), **options) as domain:
            try:
                reason = domain.wait(args.deadline)
            except AssertionError:
                show(f"--- it still runs after {args.deadline} s\n{domain.processor()}")
                return 3
            show(f"--- {reason}, {time.monotonic() - domain.created_at:.1f} s after xl create")
            if reason == "not created":
                show(domain.xl())
            if reason != "poweroff" and not args.xen:
                show(f"--- Xen's and dom0's console\n{bed.console_since_start()}")
            if reason == "crash":
                show(f"--- xenctx\n{domain.processor()}")
            return 0 if reason == "poweroff" else 1


def shell(args):
    """Lines typed here run in dom0, each by a shell of its own."""
    with Bed(snapshot=not args.boot, echo=show if args.xen else None) as bed:
        show(f"A shell of dom0 for single commands. Its /host is {bed.share} here; Ctrl-D ends it.")
        while True:
            try:
                line = input("dom0# ").strip()
            except EOFError:
                return 0
            if not line:
                continue
            job, shown = bed.start(line), 0
            try:
                while job.status is None:
                    job._read(1)
                    print(job.output[shown:], end="", flush=True)
                    shown = len(job.output)
            except KeyboardInterrupt:
                job.kill("INT")
            if job.status:
                show(f"(status {job.status})")


def main():
    parser = argparse.ArgumentParser(
        prog="tests/xen/bed.py", description="Xen 4.17 with a Debian dom0, in QEMU."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--boot", action="store_true", help="boot; don't resume the snapshot")
    common.add_argument("--xen", action="store_true", help="show the console of Xen and dom0, too")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="make dom0, the Linux guest and the snapshot")
    run = verbs.add_parser(
        "run", parents=[common], help="run an image and print its console",
        epilog="Words behind -- are the image's command line.",
    )
    run.add_argument("image", help="the file; the word linux for the Linux guest")
    run.add_argument("--memory", type=int, default=32, help="MiB")
    run.add_argument("--vcpus", type=int, default=1)
    run.add_argument("--vif", action="count", default=0, help="a network interface; may be repeated")
    run.add_argument("--config", default="", help="a further line of xl's config")
    run.add_argument("--deadline", type=float, default=60, help="seconds to run at most (60)")
    verbs.add_parser("shell", parents=[common], help="run commands in dom0")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:cut])
    args.keys = words[cut + 1 :]
    end_on_signals()
    try:
        if args.verb == "build":
            with Bed():
                print(build.build())
            return 0
        return run_image(args) if args.verb == "run" else shell(args)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
