# SPDX-License-Identifier: BSD-2-Clause
"""What a VMM tells an image when it starts it, wherever that lies: PVH's start info."""

import pytest

from pvh_loader import MIB, RAM, RESERVED, StartInfo, pvh_command
from vm import Vm, image

PLACES = {  # start info, command line, memory map
    "low": (0x1000, 0x2000, 0x4000),
    "in page zero": (0x100, 0x200, 0x300),
    "right above the first 16 MiB": (16 * MIB, 16 * MIB + 4096, 16 * MIB + 8192),
    "across 2 MiB": (40 * MIB - 20, 38 * MIB - 3, 36 * MIB - 30),
    "at the end of memory": (64 * MIB - 64, 64 * MIB - 200, 64 * MIB - 400),
}


def hello(folder, info, **machine):
    return Vm(pvh_command(image("hello"), folder, info, **machine))


def starts(folder, info, mib=64, **machine):
    with hello(folder, info, **machine) as vm:
        vm.expect(rf"^Ringloop: hello on kvm, version [^,]+, ring 3, {mib} MiB, ")
        vm.expect("^Hello from Ringloop on kvm.$")
        assert vm.exit_code() == 0


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_start_info_may_lie_anywhere(places, tmp_path):
    at, line_at, map_at = places
    starts(tmp_path, StartInfo(at=at, line="quiet ring=3", line_at=line_at, map_at=map_at))


def test_start_info_may_lie_above_2_gib(tmp_path):
    """As with a huge ramdisk in front of it. Memory that the image gives out."""
    at = 2100 * MIB - 100
    ram = [(0, 0x9F000, RAM), (MIB, 2199 * MIB, RAM)]
    info = StartInfo(at=at, line="ring=3", line_at=at + 50 * MIB, map=ram, map_at=at + 60 * MIB, modules=1)
    starts(tmp_path, info, mib=2200, mem="2200M")


def test_a_memory_map_of_128_entries_is_read(tmp_path):
    pieces = [(0, 0x9F000, RAM), *((MIB * i, MIB, RAM) for i in range(1, 64))]
    empty = [(MIB * i, 0, RESERVED) for i in range(128 - len(pieces))]
    starts(tmp_path, StartInfo(line="ring=3", map=empty + pieces, map_at=20 * MIB))


@pytest.mark.parametrize(
    "change, sentence, code",
    [
        ({"map": [(MIB, 63 * MIB, RAM)] * 129}, "^panic: The VMM's memory map has 129 entries; .* at most 128", 70),
        ({"map": []}, r"^panic: The VMM gives no memory map \(PVH start info version 1\); use ", 70),
        ({"version": 0}, r"^panic: The VMM gives no memory map \(PVH start info version 0\); use ", 70),
        ({"map": [(MIB, 2 * MIB, RESERVED)]}, "^hello: the machine has no memory above the image; ", 64),
    ],
)
def test_a_memory_map_that_cant_be_used_is_told(change, sentence, code, tmp_path):
    with hello(tmp_path, StartInfo(**change)) as vm:
        vm.expect(sentence)
        assert vm.exit_code() == code


def test_a_domain_starts_behind_a_large_ramdisk(xen):
    """xl puts the start info behind the ramdisk."""
    xen.run("dd if=/dev/zero of=/run/ramdisk bs=1M count=20 2>&1")
    with xen.domain(image("hello", "xen"), memory=64, more='ramdisk="/run/ramdisk"') as domain:
        domain.expect("^Hello from Ringloop on xen.$")
        assert domain.exit_code() == 0
    xen.run("rm /run/ramdisk")
