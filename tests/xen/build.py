# SPDX-License-Identifier: BSD-2-Clause
"""Makes what the test bed boots, from Debian's packages and without installing them.

    Xen and dom0's kernel, unpacked          build/xen-bed/xen, dom0-kernel
    dom0's initramfs: busybox, xl, modules   build/xen-bed/dom0.cpio
    a Linux guest to compare with            build/xen-bed/linux-kernel, linux.cpio
    the same outside of Xen, for virtio      build/xen-bed/linux-virtio.cpio
    and with its card left to a program      build/xen-bed/linux-uio.cpio

Packages are kept in $XDG_CACHE_HOME/ringloop (default: ~/.cache/ringloop), so that `make clean`
doesn't throw them away. All else is made anew when a package's version or a file of ours changed.
"""

import ctypes
import fcntl
import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "build" / "xen-bed"
APT_LISTS = Path("/var/lib/apt/lists")  # changes with apt-get update
PACKETS = [  # the program of ours that sends, counts and times packets in dom0
    *sorted((HERE / "packets").glob("*.c")),
    ROOT / "src/apps/pktgen/account.c",
    ROOT / "src/netbuf/checksum.c",
]
INGREDIENTS = [
    *(HERE / name for name in ("build.py", "dom0_init", "dom0_vif", "linux_init")),
    ROOT / "tests/install",
    HERE / "packets/packets.h",
    ROOT / "src/apps/pktgen/packet.h",
    ROOT / "src/apps/pktgen/account.h",
    *PACKETS,
]

XEN_BIN = "usr/lib/xen-4.17/bin"
DOM0_PROGRAMS = [f"{XEN_BIN}/{name}" for name in (
    "xl", "libxl-save-helper", "xenstored", "xenconsoled", "xen-init-dom0", "xenconsole",
    "xenctx", "xen-hvmctx", "xen-diag", "lsevtchn",
)] + ["usr/bin/xenstore"]
DOM0_MODULES = (
    "xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-netback virtio_pci virtio_console"
    " 9pnet_virtio 9p bridge virtio_net 8021q"
).split()
LINUX_MODULES = {"linux.cpio": ["xen-netfront"],
                 "linux-virtio.cpio": ["virtio_pci", "virtio_mmio", "virtio_net"],
                 "linux-uio.cpio": ["uio_pci_generic"]}
DLOPENED = ["libgcc_s.so.1"]  # glibc loads it when a thread ends


def say(text):
    print(f"xen bed: {text}", file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"xen bed: {text}")


# --- packages -------------------------------------------------------------------------------------


def cache_folder():
    wanted = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(wanted) / "ringloop" / "packages"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except OSError:  # a user without a home
        folder = ROOT / "build" / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def apt(*words, **options):
    return subprocess.run(words, text=True, stdout=subprocess.PIPE, check=True, **options).stdout


def package_names():
    """The list in tests/install, with the kernels' versions filled in."""
    names = apt(ROOT / "tests/install", "xen", "--list").split()
    for name in [n for n in names if n.startswith("linux-image")]:
        depends = re.search(r"Depends: (linux-image-\d\S*)", apt("apt-cache", "depends", name))
        names[names.index(name)] = depends[1]
    return names


def packages():
    """The .deb files, by package name; those that aren't in the cache yet are downloaded."""
    folder = cache_folder()
    try:
        names = package_names()
        uris = apt("apt-get", "download", "--print-uris", *names, stderr=subprocess.PIPE)
    except (subprocess.CalledProcessError, TypeError) as error:
        detail = (getattr(error, "stderr", None) or "").strip()
        fail(f"apt doesn't know the packages that it is made of. Run: apt-get update\n{detail}")
    files = {}
    for name, size in re.findall(r"^'[^']*' (\S+) (\d+)", uris, re.M):
        files[name.partition("_")[0]] = (folder / name, int(size))
    missing = [name for name, (file, size) in files.items()
               if not file.exists() or file.stat().st_size != size]
    if missing:
        say(f"downloading {len(missing)} packages to {folder}")
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            subprocess.run(["apt-get", "-qq", "download", *missing], cwd=fresh, check=True)
            for file in Path(fresh).iterdir():
                file.rename(folder / file.name)
    return {name: file for name, (file, _) in files.items()}


def unpack(file, folder):
    """The parts of a package that may be needed: a kernel's other modules are 400 MB."""
    parts = ["./boot/*", "./lib/modules/*/kernel/drivers/[cnuvx]*", "./lib/modules/*/kernel/fs/*",
             "./lib/modules/*/kernel/net/*", "./lib/modules/*/kernel/lib/*", "./bin/*",
             "./usr/bin/*", "./lib/*-linux-gnu/*", "./lib64/*", f"./{XEN_BIN}/*",
             "./usr/lib/*-linux-gnu/*"]
    folder.mkdir(parents=True, exist_ok=True)
    source = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE)
    sink = subprocess.run(
        ["tar", "-x", "-C", folder, "--no-same-owner", "--wildcards", *parts],
        stdin=source.stdout, stderr=subprocess.PIPE, text=True,
    )
    problems = [line for line in sink.stderr.splitlines()
                if "Not found in archive" not in line and "previous errors" not in line]
    if problems or source.wait() != 0:
        fail(f"{file} can't be unpacked: {' '.join(problems)}")


# --- kernels --------------------------------------------------------------------------------------


def lz4_legacy(data):
    """LZ4's old format, in which Linux packs its kernel: blocks, each with its packed size."""
    lz4 = ctypes.CDLL("liblz4.so.1")  # apt needs it, so it is everywhere
    out, at = [], 4
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        block = data[at + 4 : at + 4 + size]
        at += 4 + size
        room = ctypes.create_string_buffer(8 << 20)
        length = lz4.LZ4_decompress_safe(block, room, len(block), len(room))
        if length <= 0:
            break  # what follows the last block is the length of it all
        out.append(room.raw[:length])
    return b"".join(out)


def vmlinux(bzimage):
    """The ELF file in a bzImage, which starts quicker than the packed one. The boot protocol of
    Linux (Documentation/x86/boot.rst) has setup_sects at 0x1f1, payload_offset at 0x248."""
    data = bzimage.read_bytes()
    start = (data[0x1F1] + 1) * 512 + int.from_bytes(data[0x248:0x24C], "little")
    payload = data[start : start + int.from_bytes(data[0x24C:0x250], "little")]
    if payload[:6] == b"\xfd7zXZ\0":
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload[:4] == b"\x02\x21\x4c\x18":
        elf = lz4_legacy(payload)
    else:
        fail(f"{bzimage} is packed in an unknown way: {payload[:6].hex()}")
    assert elf[:4] == b"\x7fELF", bzimage
    return elf


def modules_for(tree, wanted):
    """Files of the wanted modules and those that they depend on, in the order of loading."""
    files = {file.stem.replace("-", "_"): file for file in tree.rglob("*.ko")}
    order = []

    def add(name):
        file = files[name.replace("-", "_")]
        depends = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())[1].decode()
        for other in filter(None, depends.split(",")):
            add(other)
        if file not in order:
            order.append(file)

    for name in wanted:
        add(name)
    return order


# --- initramfs ------------------------------------------------------------------------------------


class Cpio:
    """An initramfs (cpio's newc format), written without cpio and without root."""

    def __init__(self):
        self.parts, self.names, self.inode = [], set(), 0

    def _add(self, name, mode, data=b"", device=(0, 0)):
        parent = os.path.dirname(name)
        if parent and parent not in self.names:
            self._add(parent, 0o040755)
        self.names.add(name)
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        for part in (head + name.encode() + b"\0", data):
            self.parts.append(part + bytes(-len(part) % 4))

    def folder(self, name):
        self._add(name, 0o040755)

    def file(self, name, data):
        self._add(name, 0o100755, data)

    def link(self, name, target):
        self._add(name, 0o120777, target.encode())

    def device(self, name, major, minor):
        self._add(name, 0o020600, device=(major, minor))

    def write(self, path):
        self._add("TRAILER!!!", 0)
        path.write_bytes(b"".join(self.parts))


def base(busybox, init, modules, programs):
    """What both initramfs have: busybox with its names, modules, a console, our programs."""
    cpio = Cpio()
    for name in ("proc", "sys", "tmp", "run", "host", "var"):
        cpio.folder(name)
    cpio.device("dev/console", 5, 1)
    cpio.file("bin/busybox", busybox.read_bytes())
    cpio.folder("sbin")
    for name in apt(busybox, "--list").split():
        if name != "busybox":
            cpio.link(f"bin/{name}", "busybox")
    cpio.file("init", (HERE / init).read_bytes())
    for file in modules:
        cpio.file(f"modules/{file.name}", file.read_bytes())
    cpio.file("etc/modules", "".join(f"{file.stem}\n" for file in modules).encode())
    for file in programs:
        cpio.file(f"bin/{file.name}", file.read_bytes())
    return cpio


def libraries(tree, programs):
    """Shared libraries that the programs need, from the packages: readelf tells the names."""
    have = {file.name: file for file in tree.rglob("*.so*")}
    found, todo = {}, list(programs)
    for name in ["ld-linux-x86-64.so.2", *DLOPENED]:
        found[name] = have[name]
        todo.append(have[name])
    while todo:
        told = apt("readelf", "-d", todo.pop())
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", told):
            if name not in found:
                if name not in have:
                    fail(f"no package of the list in tests/install has {name}")
                found[name] = have[name]
                todo.append(have[name])
    return found


def dom0_initramfs(tree, kernel, packets, path):
    cpio = base(tree / "bin/busybox", "dom0_init", modules_for(kernel, DOM0_MODULES), [packets])
    programs = {name: tree / name for name in DOM0_PROGRAMS}
    programs["bin/iputils-ping"] = tree / "bin/ping"  # busybox' shell takes its own for `ping`
    for name, file in programs.items():
        cpio.file(name, file.read_bytes())
    for file in sorted((tree / "usr/bin").glob("xenstore-*")):
        cpio.link(f"usr/bin/{file.name}", "xenstore")
    for name, file in libraries(tree, programs.values()).items():
        folder = "lib64" if name.startswith("ld-") else "lib/x86_64-linux-gnu"
        cpio.file(f"{folder}/{name}", file.read_bytes())
    cpio.link("var/run", "../run")
    cpio.link("var/lock", "../run/lock")
    cpio.file("etc/xen/scripts/vif-bridge", (HERE / "dom0_vif").read_bytes())
    cpio.file("etc/xen/xl.conf", b'autoballoon="off"\nvif.default.script="vif-bridge"\n')
    cpio.write(path)


# --- all of it ------------------------------------------------------------------------------------


def make(files, folder):
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        tree = Path(scratch)
        for name, file in files.items():
            part = name if name.startswith("linux-image") else "tools"
            unpack(file, tree / part)
        cloud = next(tree.glob("linux-image-*cloud*"))
        dom0 = next(d for d in tree.glob("linux-image-*") if d != cloud)
        (xen,) = (tree / "tools/boot").glob("xen-4*.gz")
        (folder / "xen").write_bytes(gzip.decompress(xen.read_bytes()))
        for kernel, name in ((dom0, "dom0-kernel"), (cloud, "linux-kernel")):
            (bzimage,) = (kernel / "boot").glob("vmlinuz-*")
            (folder / name).write_bytes(vmlinux(bzimage))
        packets = folder / "packets"
        flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]
        folders = ["-I", ROOT / "src", "-I", HERE / "packets"]
        subprocess.run(["gcc", *flags, "-s", *folders, "-o", packets, *PACKETS], check=True)
        dom0_initramfs(tree / "tools", dom0, packets, folder / "dom0.cpio")
        for name, wanted in LINUX_MODULES.items():
            modules = modules_for(cloud, wanted)
            base(tree / "tools/bin/busybox", "linux_init", modules, [packets]).write(folder / name)


def ingredients():
    """Changes with every file of ours that has a part in the result."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in INGREDIENTS)).hexdigest()


def key_of(files):
    """Names the result: it changes with a package's version and with what we put in."""
    names = [ingredients(), *sorted(file.name for file in files.values())]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def current():
    """The folder made before, if it is as asking apt again would make it; else None."""
    try:
        stamp = OUT / "current"
        name, made_of = stamp.read_text().split()
        changed = APT_LISTS.stat().st_mtime_ns if APT_LISTS.exists() else 0
        if made_of == ingredients() and stamp.stat().st_mtime_ns > changed:
            return OUT / name if (OUT / name).is_dir() else None
    except (OSError, ValueError):
        pass
    return None


held = []  # open files whose locks say, until this process ends, that a folder is in use


def hold(folder):
    held.append(open(folder / "in-use", "a"))
    fcntl.flock(held[-1], fcntl.LOCK_SH)
    return folder


def remove_unused():
    for old in OUT.iterdir():
        if (old / "in-use").exists():
            with open(old / "in-use") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(old)
                except BlockingIOError:
                    pass  # a bed that runs was started from it


def build():
    """The folder with all files, made if needed. Several processes may call it at a time."""
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = current()
        if folder:
            return hold(folder)
        files = packages()
        folder = OUT / key_of(files)
        if not folder.exists():
            say("making dom0 and a Linux guest")
            remove_unused()
            with tempfile.TemporaryDirectory(dir=OUT) as fresh:
                made = Path(fresh) / "made"
                made.mkdir()
                make(files, made)
                made.rename(folder)
            say(f"made {folder}")
        (OUT / "current").write_text(f"{folder.name} {ingredients()}\n")
        return hold(folder)


if __name__ == "__main__":
    print(build())
