# SPDX-License-Identifier: BSD-2-Clause
"""How many instructions an image takes to start: counted, so no noise touches the number.

QEMU emulates the image one instruction at a time and logs the address of each (`-singlestep -d exec`), with
`-icount shift=0`, under which an instruction takes a nanosecond of the machine's time, so that what waits for a
time waits for as many instructions in each run. Each round of `rep stosq` and its kin counts as one, as it does
for an emulator. Left out is clock_await, in which an image that asks for the clock's rate early waits until enough
time has passed; and the firmware, as only what lies in the image's own code is logged.

    counted = count("build/hello-kvm/hello", "", "q35", "dgram,id=n0,...", sends=False, deadline_s=60)
    counted.to_main, counted.to_packet, counted.functions
"""

import bisect
import collections
import os
import subprocess
import threading

from vm import Vm, qemu_command

ENTRY, MAIN, WAIT = "pvh_entry", "app_main", "clock_await"
TRANSMIT_QUEUE = " n 1 "  # of the first queue pair
IN_ORDER = {"microvm": "virtio-mmio.ioeventfd=off"}  # who is told of a packet is told before the next instruction

Counted = collections.namedtuple("Counted", "to_main to_packet functions command")


def symbols(image):
    """(address, size, name) of the image's functions, by address."""
    said = subprocess.run(["nm", "-n", "-S", "--defined-only", image], check=True, capture_output=True, text=True)
    found = []
    for line in said.stdout.splitlines():
        words = line.split()
        if words[-2] in "tT":
            found.append((int(words[0], 16), int(words[1], 16) if len(words) == 4 else 0, words[-1]))
    return found


def ranges(functions):
    """What QEMU is to log: the image's code but for the wait."""
    first, last = functions[0][0], max(address + size for address, size, _ in functions)
    for address, size, name in functions:
        if name == WAIT:
            return f"{first:#x}..{address - 1:#x},{address + size:#x}..{last:#x}"
    return f"{first:#x}..{last:#x}"


def count(image, keys, machine, netdev, sends, deadline_s):
    """Counts from the image's first instruction to app_main's, and to the first packet if it sends any. What
    wasn't reached in deadline_s is None."""
    functions = symbols(image)
    read_end, write_end = os.pipe()
    more = ["-icount", "shift=0", "-singlestep", "-d", "exec,nochain", "-dfilter", ranges(functions)]
    more += ["-D", f"/dev/fd/{write_end}", "-trace", "virtio_queue_notify"]
    more += ["-global", IN_ORDER.get(machine, "virtio-pci.ioeventfd=off")]
    command = qemu_command(image, keys, machine, "tcg", "64M", netdev=netdev, more=more)
    with os.fdopen(read_end, encoding="ascii", errors="replace") as log:
        try:
            vm = Vm(command, pass_fds=(write_end,))
        finally:
            os.close(write_end)
        with vm:
            timer = threading.Timer(deadline_s, vm.process.kill)
            timer.start()
            try:
                return Counted(*follow(log, functions, sends), vm.command)
            finally:
                timer.cancel()


def follow(log, functions, sends):
    """(instructions to app_main, to the first packet, the number in each function) of QEMU's log."""
    addresses = [address for address, _, _ in functions]
    entry, main = (next(a for a, _, name in functions if name == wanted) for wanted in (ENTRY, MAIN))
    at = collections.Counter()
    total, to_main, to_packet = 0, None, None
    for line in log:
        if line.startswith("Trace "):  # Trace 0: 0x7f... [0000000000000000/0000000000100020/...
            pc = int(line.split("/", 2)[1], 16)
            if total == 0 and pc != entry:
                continue
            if pc == main and to_main is None:
                to_main = total
                if not sends:
                    break
            total += 1
            at[pc] += 1
        elif line.startswith("virtio_queue_notify") and TRANSMIT_QUEUE in line and to_main is not None:
            to_packet = total
            break
    by_function = collections.Counter()
    for pc, times in at.items():
        by_function[functions[bisect.bisect_right(addresses, pc) - 1][2]] += times
    return to_main, to_packet, dict(by_function.most_common())
