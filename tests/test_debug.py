# SPDX-License-Identifier: BSD-2-Clause
"""make debug: gdb stops where an image ends, and shows how it came there."""

import os
import re
import shlex
import subprocess

import pytest

from vm import ROOT, free_udp_port, image

pytestmark = pytest.mark.xdist_group("debug")  # one at a time: the socket and .gdbinit are the tree's


def debug(app, *words, gdb=()):
    """Runs tests/debug, with further commands for gdb, which then ends; returns (status, text)."""
    commands = [word for command in gdb for word in ("-ex", command)]
    done = subprocess.run(
        [ROOT / "tests/debug", image(app), *words],
        env={**os.environ, "GDBARGS": shlex.join(["-batch", *commands])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def functions(said):
    """Those of the backtrace that gdb printed last, from the innermost on."""
    trace = said[said.rindex("\n#0 ") :]
    return re.findall(r"^#\d+ +(?:0x\w+ in )?(\w+) \(", trace, re.M)


@pytest.mark.parametrize("name", ["div", "ud", "pf_null", "nx_data", "stack_overflow"])
def test_a_fault_is_shown_with_what_led_to_it(name):
    said = debug("selftest", f"fault={name}", gdb=["continue"])[1]
    assert "The image ends with exit code 71." in said
    called = functions(said)
    assert called[:2] == ["boot_exit", "trap"]
    if name == "stack_overflow":
        assert called[2:].count("recurse") > 20
    else:
        assert called[-4:-2] == ["app_main", "pvh_main"]
        assert "fault_provoke" in called
        assert f"fault_{name}" in called or name == "nx_data"  # which ends by a jump to the data


@pytest.mark.parametrize("name", ["panic", "assert"])
def test_a_panic_is_shown_with_what_led_to_it(name):
    said = debug("selftest", f"fault={name}", gdb=["continue"])[1]
    assert "The image ends with exit code 70." in said
    called = functions(said)
    assert called[:2] == ["boot_exit", "panic"]
    assert f"fault_{name}" in called and "app_main" in called


def test_the_registers_are_those_of_the_fault():
    """fault_div divides 1 by what stands in another register."""
    commands = ["continue", "frame function fault_div", "print $rax", "print $rdx", "x/i $pc"]
    said = debug("selftest", "fault=div", gdb=commands)[1]
    assert "$1 = 1\n" in said and "$2 = 0\n" in said
    assert re.search(r"=> 0x\w+ <fault_div\+\d+>:\s+div", said)


def test_a_triple_fault_leaves_the_machine_to_gdb():
    commands = [f"set var idt[{vector}] = {{0}}" for vector in (6, 8, 11, 13)]
    said = debug("selftest", "fault=ud", gdb=[*commands, "continue", "backtrace"])[1]
    assert "SIGQUIT" in said
    assert functions(said)[:2] == ["fault_ud", "fault_provoke"]


def test_an_end_in_order_is_shown_too():
    assert "The image ends with exit code 0." in debug("hello", gdb=["continue"])[1]


def test_an_end_before_app_main():
    said = debug("hello", "nope=1")[1]
    assert "The image ends with exit code 64." in said
    assert "boot_command_line" in functions(said)


def test_the_network_is_as_asked():
    port = free_udp_port()
    said = debug("hello", "--nics=2", f"--port={port}:7", "--", "-name", "seen")[1]
    command = shlex.split(said.splitlines()[0])
    assert command[-2:] == ["-name", "seen"]
    assert command.count("-netdev") == 2
    assert f"UDP port {port} of 127.0.0.1 leads to the image's 7" in said
    assert "app_main ()" in said
    assert "-netdev" not in debug("hello", "--nics=0")[1]


@pytest.mark.parametrize("word, reason", [("--nics=9", "0 to 8"), ("net.ip=10.0.0.1/31", "/4 to /30")])
def test_what_cant_be_is_told(word, reason):
    status, said = debug("hello", word)
    assert status != 0
    assert reason in said and "Traceback" not in said


@pytest.mark.parametrize("target", ["run", "debug"])
def test_make_hands_on_keys_and_options(make, target):
    status, said = make("-n", target, "APP=hello", "KEYS=a=1 b=2", "ARGS=--nics=2 -- -smp 2")
    assert status == 0
    assert re.search(r"hello.* a=1 b=2 --nics=2 -- -smp 2\n\Z", said), said


def test_a_fault_on_another_core():
    said = debug("selftest", "fault=ud", "fault.core=1", "cores=2", "--", "-smp", "2", gdb=["continue"])[1]
    assert functions(said)[:3] == ["boot_exit", "trap", "fault_ud"]


def test_make_finds_an_app_elsewhere_by_its_folders_name(make, tmp_path):
    (tmp_path / "answerer").mkdir()
    (tmp_path / "answerer/main.c").write_text("")
    status, said = make("-n", "debug", f"APP={tmp_path}/answerer/")
    assert status == 0
    assert said.endswith("tests/debug build/answerer-kvm/answerer\n")
