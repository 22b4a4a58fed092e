# SPDX-License-Identifier: BSD-2-Clause
"""Which function and instruction an address of a program is, where its library has no symbols.

A library that a distribution has stripped still says where each function begins and ends, as exceptions
need that (.eh_frame), and names those that it exports (.dynsym). A function without a name is called by
the exported ones from which it is called, or by what it calls.
"""

import bisect
import collections
import functools
import os
import re
import subprocess

KERNEL = "kernel"
# What an instruction does, by the first that fits of its AT&T text: copies of packets are done by moves of
# 16 bytes and more on these sides, and so is what a vectorised driver does with descriptors.
MEMORY = r"[-x0-9a-f%\w:]*\((?:%|,)[^)]*\)"
KINDS = (
    ("wait", r"pause\b"),
    ("fence or locked", r"(?:lock |[ml]fence\b|xchg\b.*\()"),
    ("copy: load", rf"(?:rep movs|v?mov(?:dq[ua]|[ua]ps)\w*\s+{MEMORY},%)"),
    ("copy: store", rf"v?mov(?:dq[ua]|[ua]ps)\w*\s+%\w+,{MEMORY}"),
    ("prefetch", r"prefetch"),
    ("store", rf"mov\w*\s+[%$][^(]*,{MEMORY}$"),
    ("load", rf"(?!lea|nop).*{MEMORY}"),
)
OTHER = "other"


def kind(text):
    return next((name for name, pattern in KINDS if re.match(pattern, text)), OTHER)


def output(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def mappings(pid):
    """[(begin, end, offset in the file, path)] of a process' code."""
    with open(f"/proc/{pid}/maps") as file:
        lines = [line.split(maxsplit=5) for line in file]
    return [(*(int(edge, 16) for edge in words[0].split("-")), int(words[2], 16), words[-1].strip())
            for words in lines if "x" in words[1]]


def count_places(addresses, maps):
    """{(path, offset in the file): how many}, of addresses in a process with these mappings."""
    maps = sorted(maps)
    begins = [begin for begin, *_ in maps]

    def place(address):
        index = bisect.bisect(begins, address) - 1
        if index < 0 or address >= maps[index][1]:
            return KERNEL, 0
        begin, _, offset, path = maps[index]
        return path, address - begin + offset

    return collections.Counter(map(place, addresses))


class Library:
    """The functions and instructions of a program or library."""

    def __init__(self, path):
        self.short = os.path.basename(path).partition(".so")[0]
        headers = re.findall(r"^\s+LOAD\s+(\w+) (\w+) \w+ \w+ (\w+) .*\bR E\b|$", output("readelf", "-lW", path), re.M)
        self._segment = next(([int(field, 16) for field in row] for row in headers if row[0]), [0, 0, 0])
        self._disassemble(path)
        self._find_functions(path)

    def _disassemble(self, path):
        """Reads all instructions, and who calls or jumps to what."""
        self._texts, self._calls = {}, []
        for line in output("objdump", "-d", "--no-show-raw-insn", path).splitlines():
            address, colon, text = line.partition(":\t")
            if not colon:
                continue
            address, text = int(address, 16), " ".join(text.split("#")[0].split())
            self._texts[address] = text
            to = re.match(r"(?:call|jmp)\s+([0-9a-f]+)(?: <([^>+]+)@plt>)?", text)
            if to:
                self._calls.append((address, int(to[1], 16), to[2]))
        self._addresses = sorted(self._texts)

    def _find_functions(self, path):
        frames = re.findall(r"pc=([0-9a-f]+)\.\.([0-9a-f]+)", output("readelf", "--debug-dump=frames", path))
        self._ends = {int(begin, 16): int(end, 16) for begin, end in frames}
        self._names = {}
        for table in ("-D", "-a"):
            for address, name in re.findall(r"^(\w+) [TtWi] ([^@\s]+)", output("nm", "--defined-only", table, path), re.M):
                self._names[int(address, 16)] = name
        self._begins = sorted({*self._ends, *self._names})
        self._callers, self._callees = collections.defaultdict(set), collections.defaultdict(set)
        for source, target, imported in self._calls:
            begin = self._begin(source)
            if imported:
                self._callees[begin].add(imported.lstrip("_"))
            elif target in self._ends and target != begin:
                self._callers[target].add(begin)

    def _begin(self, address):
        """Where the function begins that has this address; None if none is known to."""
        index = bisect.bisect(self._begins, address) - 1
        begin = self._begins[index] if index >= 0 else None
        return begin if begin is not None and address < self._ends.get(begin, address + 1) else None

    @functools.lru_cache(maxsize=None)
    def _named(self, begin):
        if begin is None:
            return "?"
        if begin in self._names:
            return self._names[begin]
        seen, edge = {begin}, {begin}
        while edge:
            edge = {caller for at in edge for caller in self._callers[at]} - seen - {None}
            names = sorted(self._names[at] for at in edge if at in self._names)
            if names:
                return f"{begin:x}, of {', '.join(names[:2])}"
            seen |= edge
        callees = sorted(self._callees[begin] - {"stack_chk_fail"}, key=lambda name: ("burst" not in name, name))
        return f"{begin:x}, calls {', '.join(callees[:2])}" if callees else f"{begin:x}"

    def address(self, offset):
        """From an offset in the file to an address as the disassembly has it."""
        begin, address, length = self._segment
        return offset - begin + address if begin <= offset < begin + length else offset

    def function(self, address):
        return f"{self.short}: {self._named(self._begin(address))}"

    def before(self, address):
        """The text of the instruction before the one at this address."""
        index = bisect.bisect_left(self._addresses, address) - 1
        return self._texts[self._addresses[index]] if index >= 0 else ""


@functools.lru_cache(maxsize=None)
def library(path):
    """None for what isn't a file, such as the kernel."""
    return Library(path) if os.path.isfile(path) else None
