# SPDX-License-Identifier: BSD-2-Clause
"""A console that nobody reads holds up no loop, and what was left out is said once it is read."""

import fcntl
import os
import re
import subprocess
import time

from vhost_port import VhostPort
from vm import CTRL_C, DEADLINE_S, Link, image, qemu_command

KEYS = "mode=tx size=64 seq=off rate=4000 report.interval=0.001"
PIPE_BYTES = 8192
KEPT_BYTES = 16 << 10  # by the image, src/boot/console.c
LINE_BYTES = 60  # the shortest line that pktgen prints
UNREAD_FRAMES = 4 * 4 * (PIPE_BYTES + KEPT_BYTES) // LINE_BYTES  # 4 a line: far more than is kept


class Unread:
    """A program whose output nobody reads until read_on() is called."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read_on(self, pattern):
        """Reads until the pattern's line has come; what was read."""
        text, out = b"", self.process.stdout.fileno()
        os.set_blocking(out, False)
        end = time.monotonic() + DEADLINE_S
        while not re.search(pattern, text):
            assert time.monotonic() < end and self.process.poll() is None, text.decode()
            try:
                text += os.read(out, 1 << 16)
            except BlockingIOError:
                time.sleep(0.001)
        os.set_blocking(out, True)
        return text.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def test_kvm_console_not_read(tmp_path, accel):
    link = Link(tmp_path)
    command = qemu_command(image("pktgen"), KEYS, machine="microvm", accel=accel, netdev=link.netdev)
    with Unread(command) as machine:
        for _ in range(UNREAD_FRAMES):
            assert link.recv(), "a console that isn't read has stopped the loop"
        text = machine.read_on(rb"left out here: the console wasn't read\.\n(.*\n){20}")
        before, _, after = text.partition("Ringloop: ")[2].partition("\nRingloop: ")
        assert int(re.match(r"(\d+) lines are left out", after)[1]) > 100
        assert len(before) > KEPT_BYTES  # what was kept came first, in whole lines
        traffic = before.splitlines()[5:] + after.splitlines()[1:-1]
        whole = r"pktgen: tx .* drops|Ringloop: \d+ lines are left out here: the console wasn't read\."
        assert [line for line in traffic if not re.fullmatch(whole, line)] == []
        machine.process.stdin.write(CTRL_C)
        machine.process.stdin.flush()
        assert "pktgen: every pool is whole." in machine.read_on(rb"Ringloop: exit 0\.\n")
    link.close()


def test_linux_console_not_read(tmp_path):
    """A host process ends, too: it waits a second for a reader at its end, and no longer."""
    socket = f"{tmp_path}/port"
    command = [image("pktgen", "linux"), f"vhost={socket}", *KEYS.split(), "duration=1", "mem=16M"]
    with VhostPort(socket, queues=1), Unread(command) as machine:
        assert machine.process.wait(DEADLINE_S) == 0
        assert "pktgen: tx" in machine.process.stdout.read().decode()
