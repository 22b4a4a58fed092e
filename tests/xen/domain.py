# SPDX-License-Identifier: BSD-2-Clause
"""What runs in the bed: commands of dom0, and domains."""

import re
import select
import time

from qmp import left_of
from vm import DEADLINE_S

LAST_LINE_S = 5  # for a console's last line, behind the end of its domain

REASONS = {0: "poweroff", 1: "reboot", 2: "suspend", 3: "crash", 4: "watchdog", 5: "soft-reset"}


class Job:
    """A command that runs in dom0: what it prints, its status."""

    def __init__(self, bed, port, command):
        assert "\n" not in command, "one line"
        self.command, self.status, self.pid = command, None, None
        self._bed, self._port = bed, port
        self._raw = b""  # as it comes; text once the head is cut off
        self._next = 0  # where expect() goes on
        port.sendall(command.encode() + b"\n")

    @property
    def output(self):
        return self._raw.decode("utf-8", "replace").replace("\r\n", "\n")

    def _read(self, timeout_s):
        """Takes in what comes next; False if nothing did in time."""
        if self.status is not None or not select.select([self._port], [], [], timeout_s)[0]:
            return False
        data = self._port.recv(65536)
        if not data:
            raise AssertionError(f"the bed ended during {self.command!r}\n{self._bed.console()}")
        self._raw += data
        if self.pid is None:
            head = re.match(rb"\0pid (\d+)\n", self._raw)
            if head:
                self.pid, self._raw = int(head[1]), self._raw[head.end() :]
        tail = re.search(rb"\0status (\d+)\n\Z", self._raw)
        if tail:
            self.status, self._raw = int(tail[1]), self._raw[: tail.start()]
            self._bed._ports.append(self._port)
        return True

    def _fail(self, what):
        raise AssertionError(f"{what}\n--- dom0: {self.command}\n{self.output}\n---")

    def expect(self, pattern, deadline_s=DEADLINE_S):
        """The next match of `pattern` in what it prints, line by line (^ and $ as re.M)."""
        end = time.monotonic() + deadline_s
        while True:
            text = self.output
            done = text if self.status is not None else text[: text.rfind("\n") + 1]
            match = re.compile(pattern, re.M).search(done, self._next)
            if match:
                self._next = match.end()
                return match
            if self.status is not None:
                self._fail(f"it ended with {self.status} without {pattern!r}")
            if not self._read(left_of(end)) and not left_of(end):
                self._fail(f"no {pattern!r} in {deadline_s} s")

    def wait(self, deadline_s=DEADLINE_S):
        """Its status, once it has ended. Killed if it doesn't in time."""
        end = time.monotonic() + deadline_s
        while self.status is None:
            if not self._read(left_of(end)) and not left_of(end):
                self.kill()
                self._fail(f"it didn't end in {deadline_s} s")
        return self.status

    def kill(self, signal="KILL", deadline_s=DEADLINE_S):
        end = time.monotonic() + deadline_s
        while self.pid is None and self.status is None and left_of(end):
            self._read(left_of(end))
        if self.status is None:
            self._bed.start(f"kill -{signal} -{self.pid}").wait(deadline_s)
            while self.status is None and left_of(end):
                self._read(left_of(end))
        return self.status


class Domain:
    """A domain: its console as it comes, its end. Destroyed on leaving."""

    def __init__(self, bed, name, config, paused=False, echo=None):
        self.name, self._bed, self._echo = name, bed, echo
        self._log = bed.share / "console" / f"guest-{name}.log"
        self._shown = self._next = self._saves = 0
        self.reason = self._domid = None
        self.config = config
        (bed.share / f"{name}.cfg").write_text(config)
        self.created_at = time.monotonic()
        self._job = bed.start(f"xl create -F {'-p ' if paused else ''}/host/{name}.cfg")

    @property
    def domid(self):
        """Its number, once xl has made it."""
        if self._domid is None:
            self._domid = int(self._job.expect(r"Waiting for domain .* \(domid (\d+)\)")[1])
        return self._domid

    def console(self):
        try:
            text = self._log.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        except FileNotFoundError:
            text = ""
        if self._echo:
            whole = text.rfind("\n") + 1
            if whole > self._shown:
                self._echo(text[self._shown : whole].rstrip("\n"))
                self._shown = whole
        return text

    def _fail(self, what):
        raise AssertionError(
            f"{what}\n--- xl: {self._job.output}\n--- console of {self.name}\n{self.console()}\n"
            f"--- console of Xen and dom0\n{self._bed.console()}\n---"
        )

    def expect(self, pattern, deadline_s=DEADLINE_S):
        """The match of the next console line that has `pattern`. Earlier lines are passed over."""
        end = time.monotonic() + deadline_s
        while True:
            over = self._ended()
            text = self.console()
            match = re.compile(pattern, re.M).search(text[: text.rfind("\n") + 1], self._next)
            if match:
                line_end = text.find("\n", match.end())
                self._next = line_end + 1 if line_end >= 0 else match.end()
                return match
            if over:
                self._fail(f"the domain ended without {pattern!r}")
            if not left_of(end):
                self._fail(f"no {pattern!r} in {deadline_s} s")
            self._job._read(0.01)  # the console is a file, which can't be waited for

    def follow(self, pattern=None):
        """Shows the console until a line has `pattern`, or the domain ends: then True. For somebody
        who watches: there is no deadline."""
        while not self._ended():
            if pattern and re.compile(pattern, re.M).search(self.console()):
                return False
            self.console()
            self._job._read(0.02)
        self.console()
        return True

    def _ended(self):
        """Has it? Then the reason is known."""
        if self._job.status is None:
            self._job._read(0)
        if self.reason is None:
            told = re.search(r"has shut down, reason code (\d+)", self._job.output)
            if told:
                self.reason = REASONS.get(int(told[1]), told[1])
            elif self._job.status is not None:
                self.reason = "gone" if self._domid else "not created"
        return self._job.status is not None

    def wait(self, deadline_s=DEADLINE_S):
        """Why it ended: poweroff, reboot, suspend, crash; gone if it was destroyed, not created if
        xl refused it."""
        end = time.monotonic() + deadline_s
        while not self._ended():
            self.console()
            if not left_of(end):
                self._fail(f"the domain still runs after {deadline_s} s")
            self._job._read(min(0.02, left_of(end)))
        self.console()
        return self.reason

    def exit_code(self, deadline_s=DEADLINE_S):
        """The exit code of an image of ours, which its last line tells."""
        reason = self.wait(deadline_s)
        end = time.monotonic() + LAST_LINE_S  # xl may tell of the end before xenconsoled writes the line
        while not (told := re.search(r"^Ringloop: exit (\d+)\.\n\Z", self.console(), re.M)):
            if not left_of(end):
                self._fail(f"the image ended by {reason} without telling its exit code")
            time.sleep(min(0.02, left_of(end)))
        return int(told[1])

    def shutdown(self):
        """Asks it to end, as an operator does."""
        self._bed.run(f"xl shutdown {self.name}")

    def save_and_restore(self):
        """Puts it away and gets it back, as another domain with the same name and console file."""
        self._saves += 1  # a file of its own: that of the time before goes when its domain has ended
        file = f"/run/{self.name}.saved{self._saves}"
        # It looks at a million page numbers, however small the domain is.
        self._bed.run(f"xl save {self.name} {file}", deadline_s=4 * DEADLINE_S)
        self._job.wait()  # xl sees the old one off
        self._domid = self.reason = None
        self._job = self._bed.start(f"xl restore -F {file}; s=$?; rm {file}; exit $s")

    def xl(self):
        """What xl said."""
        return self._job.output

    def send(self, data):
        """Types on its console."""
        text = "".join(f"\\{byte:03o}" for byte in data)
        tty = f"$(xenstore-read /local/domain/{self.domid}/console/tty)"
        self._bed.run(f"printf '{text}' >{tty}")

    def processor(self):
        """Registers and stack of its first processor, as xenctx tells them."""
        return self._bed.run(f"xenctx -C {self.domid}", check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bed.running():
            self._bed.run(f"xl destroy {self.name} 2>/dev/null", check=False)
            try:
                self._job.wait(5)
            except AssertionError:
                pass  # killed by now, whatever held it
            self.console()
