# SPDX-License-Identifier: BSD-2-Clause
"""Starts an image as a VMM does that is not QEMU: a firmware of a few instructions enters it, and all
that PVH defines, Xen's start_info.h, lies where the test says.

    command = pvh_command(image("hello"), folder, StartInfo(line="ring=3", at=40 * MIB))
"""

import dataclasses
import struct
import subprocess

from vm import qemu_command

MIB = 1 << 20
RAM, RESERVED = 1, 2
MAGIC = 0x336EC578
ROM_BYTES, ROM = 1 << 16, 0xFFFF0000

# The processor begins at the ROM's end less 16 bytes, in real mode; PVH wants 32-bit mode with flat
# segments, and start_info's address in ebx.
FIRMWARE = """
        .code16
begin:  cli
        lgdtl %cs:gdtr - begin
        movl $0x11, %eax
        movl %eax, %cr0
        ljmpl $8, $flat
gdtr:   .word 23
        .long gdt
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
        .code32
flat:   movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl ${start_info}, %ebx
        movl ${entry}, %eax
        jmp *%eax
        .org 0xfff0
        .code16
        jmp begin
        .org 0x10000
"""


@dataclasses.dataclass
class StartInfo:
    """What the image is told. `at`, `line_at` and `map_at` are addresses."""

    at: int = 0x1000
    line: str = ""
    line_at: int = 0x2000
    map: list = dataclasses.field(default_factory=lambda: [(0, 0x9F000, RAM), (MIB, 63 * MIB, RAM)])
    map_at: int = 0x4000
    version: int = 1
    modules: int = 0

    def parts(self):
        """(address, bytes) of each structure."""
        head = struct.pack("<IIIIQQQQII", MAGIC, self.version, 0, self.modules, 0, self.line_at, 0,
                           self.map_at if self.map else 0, len(self.map), 0)
        yield self.at, head
        yield self.line_at, self.line.encode() + b"\0"
        if self.map:
            yield self.map_at, b"".join(struct.pack("<QQII", *entry, 0) for entry in self.map)


def pvh_entry(program):
    """The address in the note XEN_ELFNOTE_PHYS32_ENTRY: its name's length, its own, its type, "Xen"."""
    data = program.read_bytes()
    return struct.unpack_from("<Q", data, data.index(struct.pack("<III4s", 4, 8, 18, b"Xen\0")) + 16)[0]


def firmware(folder, start_info, entry):
    source, parts, rom = folder / "firmware.S", folder / "firmware.o", folder / "firmware"
    source.write_text(FIRMWARE.replace("{start_info}", str(start_info)).replace("{entry}", str(entry)))
    subprocess.run(["as", "--32", "-o", parts, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", hex(ROM), "-e", hex(ROM), "--oformat", "binary",
                    "-o", rom, parts], check=True)
    assert rom.stat().st_size == ROM_BYTES
    return rom


def pvh_command(program, folder, info, **machine):
    """QEMU's command line for it; `machine` is for qemu_command()."""
    more = ["-bios", str(firmware(folder, info.at, pvh_entry(program)))]
    for number, (address, data) in enumerate(info.parts()):
        part = folder / f"part{number}"
        part.write_bytes(data)
        more += ["-device", f"loader,file={part},addr={address},force-raw=on"]
    command = qemu_command(program, machine="microvm", more=more, **machine)
    command[command.index("-kernel"):] = ["-device", f"loader,file={program}"]
    return command
