# SPDX-License-Identifier: BSD-2-Clause
"""./run as a user meets it: what it says, its exit status, Ctrl-C."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import time

import pytest

from vm import CTRL_C, DEADLINE_S, GUEST_PORT, ROOT, free_udp_port

RUN_DEADLINE_S = 120


def run(*words):
    done = subprocess.run(
        [ROOT / "run", "--no-install", *words],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_DEADLINE_S,
    )
    return done.returncode, done.stdout


def test_once_shows_clients_and_ends_well():
    status, said = run("--once", f"--port={free_udp_port()}")
    assert status == 0, said
    for text in ("$ qemu-system-x86_64", "> set greeting", "$ memcslap", "Rate:", "every pool is whole"):
        assert text in said


def test_the_image_is_reached_where_its_keys_say():
    port = free_udp_port()
    status, said = run("--once", f"--port={port}", "net.ip=10.0.2.77/24", "udpkv.port=4000")
    assert status == 0, said
    assert "udpkv: serves 10.0.2.77:4000/udp" in said


def test_a_port_that_is_taken_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind(("127.0.0.1", GUEST_PORT))
        except OSError:
            pass  # somebody else has it, which is as good
        status, said = run("--once")
    assert status == 1
    assert f"UDP port {GUEST_PORT} of 127.0.0.1 is taken" in said


@pytest.mark.parametrize(
    "words",
    [["--nope"], ["--port=0"], ["--port=65536"], ["--port=x"], ["--machine=isapc"], ["a", "b", "c"]],
    ids=" ".join,
)
def test_a_wrong_option_is_told_without_booting(words):
    status, said = run(*words)
    assert status == 2
    assert "./run: error:" in said
    assert "Traceback" not in said and "qemu-system" not in said


def test_the_status_is_the_images_when_it_cant_serve():
    status, said = run("--once", f"--port={free_udp_port()}", "nope=1")
    assert status == 64
    assert "there is no key 'nope'" in said


@pytest.mark.parametrize("plat", ["kvm", "xen"])
def test_more_cores_than_it_can_give_are_refused(plat):
    status, said = run("udpkv", plat, "cores=2")
    assert status == 1
    assert said.startswith("run: cores=2 can't be had here") and said.count("\n") == 1


def test_on_linux_it_says_what_udpkv_needs():
    status, said = run("udpkv", "linux")
    assert status == 1
    assert "./run udpkv linux vhost=/tmp/vhost.sock" in said
    assert "panic" not in said
    assert run("udpkv", "linux", "help")[0] == 0


def test_another_app_shows_its_console():
    status, said = run("hello")
    assert status == 0
    assert "Hello from Ringloop" in said


def ctrl_c_after(text, words, again=None, expected=0):
    """Runs a command in a terminal, types Ctrl-C once it has printed `text`, and again after the text
    `again` if that is given. Returns what it printed."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
        os.chdir(ROOT)
        os.execvp(words[0], words)
    texts = [text, again] if again else [text]
    said, end = b"", time.monotonic() + RUN_DEADLINE_S
    while time.monotonic() < end:
        if not select.select([terminal], [], [], DEADLINE_S)[0]:
            os.kill(child, signal.SIGKILL)
            break
        try:
            said += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if texts and texts[0] in said:
            os.write(terminal, CTRL_C)
            del texts[0]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    assert not texts and status == expected, said.decode()
    return said


def test_nothing_stays_when_the_terminal_closes():
    port = free_udp_port()
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
        os.execvp(ROOT / "run", ["./run", "--no-install", f"--port={port}"])
    said, end = b"", time.monotonic() + RUN_DEADLINE_S
    while b"until Ctrl-C" not in said and select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        said += os.read(terminal, 65536)
    os.close(terminal)  # the kernel sends SIGHUP
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 129, said.decode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", port))  # QEMU had it


def test_ctrl_c_in_a_terminal_ends_the_image_in_order():
    said = ctrl_c_after(b"until Ctrl-C", ["./run", "--no-install", f"--port={free_udp_port()}"])
    assert b"every pool is whole" in said


def test_ctrl_c_while_the_image_sleeps_long():
    words = ["./run", "--no-install", f"--port={free_udp_port()}", "idle.wake=60000"]
    ctrl_c_after(b"until Ctrl-C", words, again=b"Ctrl-C again ends QEMU", expected=130)


@pytest.mark.parametrize("page", ["README.md", "src/apps/udpkv/README.md"])
def test_the_qemu_commands_of_the_readmes_work(page):
    """As they stand there, but for the port and the accelerator."""
    text = (ROOT / page).read_text()
    command = re.search(r"^    (qemu-system-x86_64(?:.*\\\n)*.*)$", text, re.M)[1]
    command = command.replace("-accel kvm", "-accel tcg").replace(":11211-", f":{free_udp_port()}-")
    said = ctrl_c_after(b"udpkv: serves", ["sh", "-c", f"exec {command}"])
    assert b"every pool is whole" in said
