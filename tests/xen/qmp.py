# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's monitor, and UNIX sockets that QEMU makes when it starts."""

import json
import socket
import time


def left_of(end):
    return max(0.0, end - time.monotonic())


def connect(path, deadline_s):
    """Connects to a UNIX socket that a process is about to make."""
    end = time.monotonic() + deadline_s
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return sock
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            if not left_of(end):
                raise TimeoutError(f"nobody listens on {path}") from None
            time.sleep(0.005)


class Qmp:
    """QEMU's monitor."""

    def __init__(self, path, deadline_s):
        self._socket = connect(path, deadline_s)
        self._file = self._socket.makefile("r", encoding="utf-8")
        self._socket.settimeout(deadline_s)
        self._file.readline()  # the greeting
        self.events = []
        self.execute("qmp_capabilities")

    def _read(self):
        line = self._file.readline()
        if not line:
            raise ConnectionError("QEMU closed its monitor")
        return json.loads(line)

    def execute(self, command, **arguments):
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = self._read()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"QEMU: {command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def event(self):
        """The next event."""
        return self._read()

    def running(self):
        """Waits until the machine runs."""
        while self.execute("query-status")["status"] != "running":
            resumed = any(event["event"] == "RESUME" for event in self.events)
            self.events = [] if resumed else [self._read()]

    def migrated(self):
        """Waits until a migration, in or out, is over."""
        while True:
            for event in self.events:
                status = event.get("data", {}).get("status")
                if event["event"] == "MIGRATION" and status in ("completed", "failed"):
                    if status == "failed":
                        raise RuntimeError("QEMU: the migration failed")
                    return
            self.events = [self._read()]

    def close(self):
        self._file.close()
        self._socket.close()
