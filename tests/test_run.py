# SPDX-License-Identifier: BSD-2-Clause
"""./run as a user meets it: what it says, its exit status, Ctrl-C."""

import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

from user_network import Unfit, user_netdevs
from vm import CTRL_C, DEADLINE_S, GUEST_PORT, Link, ROOT, free_udp_port, mac

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
    for text in ("$ qemu-system-x86_64", "> set greeting", "$ memcslap", "udpkv counted all 50 sets;",
                 "$ memcaslap", "Rate:", "every pool is whole"):
        assert text in said
    sets, gets = re.search(r"udpkv counted all (\d+) sets and (\d+) gets", said).groups()
    assert int(sets) > 1000 and int(sets) + int(gets) == 50000


@pytest.mark.parametrize("ip", ["10.0.2.77/24", "192.168.7.2/24", "10.0.2.3/24", "172.16.9.2/30"])
def test_the_image_is_reached_where_its_keys_say(ip):
    """Also on QEMU's own addresses, and in a network that QEMU doesn't have by itself."""
    port = free_udp_port()
    status, said = run("--once", f"--port={port}", f"net.ip={ip}", "udpkv.port=4000")
    assert status == 0, said
    assert f"udpkv: serves {ip.partition('/')[0]}:4000/udp" in said


def test_ports_lead_where_they_say():
    own, other = free_udp_port(), free_udp_port()
    status, said = run("--once", f"--port={other}:7", f"--port={own}:11211")
    assert status == 0, said
    assert f"--servers=127.0.0.1:{own} " in said
    assert f"hostfwd=udp:127.0.0.1:{other}-10.0.2.15:7" in said


def test_several_devices_have_networks_and_addresses_of_their_own():
    """In the order of QEMU's command line; ports lead to the first."""
    status, said = run("hello", "--nics=8", "--machine=microvm", f"--port={free_udp_port()}:9")
    assert status == 0, said
    command = shlex.split(re.search(r"^\$ (qemu.*)", said, re.M)[1])
    netdevs = [command[i + 1] for i, word in enumerate(command) if word == "-netdev"]
    assert netdevs[0].startswith("user,id=n0,hostfwd=")
    assert netdevs[1:] == [f"user,id=n{i},net=10.0.{2 + i}.0/24" for i in range(1, 8)]
    devices = [word for word in command if word.startswith("virtio-net-device")]
    assert devices == [f"virtio-net-device,netdev=n{i},mac=52:54:00:12:34:{0x56 + i:x}" for i in range(8)]


@pytest.mark.parametrize("ip, further", [
    ("10.0.3.9/24", ["10.0.4.0/24", "10.0.5.0/24"]),
    ("10.1.1.1/8", ["192.168.0.0/24", "192.168.1.0/24"]),
])
def test_no_two_networks_overlap(ip, further):
    netdevs = user_netdevs(f"net.ip={ip}", 3, [])
    assert [text.partition("net=")[2] for text in netdevs[1:]] == further


@pytest.mark.parametrize("value", ["", "x", "10.0.2.15", "10.0.2.0/24", "10.0.2.255/24", "224.0.0.1/24"])
def test_an_address_that_the_image_refuses_is_left_to_it(value):
    assert user_netdevs(f"net.ip={value}", 1, []) == ["user,id=n0"]


@pytest.mark.parametrize("ip", ["10.0.2.15/31", "10.0.2.15/32", "10.0.2.15/3", "10.0.2.1/24"])
def test_an_address_that_cant_be_reached_is_told_with_the_cause(ip):
    with pytest.raises(Unfit, match=re.escape(f"net.ip={ip} can't be reached")):
        user_netdevs(f"net.ip={ip}", 1, [], {"10.0.2.1": "somebody"})


def test_what_stands_behind_two_dashes_is_qemus():
    status, said = run("hello", "--nics=0", "--", "-name", "a name", "-smp", "2", "--help=no key", "-m", "32M")
    assert status == 1
    assert "-name 'a name' -smp 2 '--help=no key' -m 32M\n" in said
    assert "run: QEMU ended with status 1 before the image said anything" in said
    status, said = run("hello", "--nics=0", "--", "-name", "xen", "-m", "32M")
    assert status == 0, said
    assert re.search(r" 3[12] MiB", said) and "-netdev" not in said  # firmware may keep some for ACPI's tables


def test_the_path_of_an_app_goes_to_make_alone(tmp_path):
    """make tells what is wrong with it, and nothing is said behind that."""
    nothing = tmp_path / "nothing"
    status, said = run(os.path.relpath(nothing, "/"))  # run() starts it in /
    assert status == 1
    assert f"$ make -s APP={nothing} PLAT=kvm\n" in said
    assert re.search(r"\*\*\* .*nothing.*\n\Z", said), said


def test_a_folder_of_the_apps_may_be_given_by_its_path():
    status, said = run(str(ROOT / "src/apps/hello") + "/")
    assert status == 0, said
    assert "$ make -s APP=hello PLAT=kvm\n" in said


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
    "words, reasons",
    [
        ("--nope", ["--nope"]),
        ("--mach=pc", ["--mach=pc"]),
        ("--port=0", ["'0'", "from 1 to 65535"]),
        ("--port=65536", ["'65536'", "from 1 to 65535"]),
        ("--port=x", ["'x'", "from 1 to 65535"]),
        ("--port=5:", ["''", "from 1 to 65535"]),
        ("--port=1:2:3", ["'1:2:3' has 3 parts", "HOST:GUEST"]),
        ("--port=5000 --port=5000:7", ["port 5000", "11211 and 7", "choose another HOST"]),
        ("--port=11211:7", ["port 11211", "11211 and 7", "choose another HOST"]),
        ("--port=5000 --nics=0", ["--nics=0", "leave out one"]),
        ("--nics=9", ["'9'", "from 0 to 8"]),
        ("--nics=-1", ["'-1'", "from 0 to 8"]),
        ("--mem=1", ["'1'", "8M"]),
        ("--mem=64K", ["'64K'", "such as 64M"]),
        ("--mem=999999G", ["'999999G'", "at most"]),
        ("--machine=isapc", ["'isapc'", "q35"]),
        ("--accel=hvf", ["'hvf'", "tcg"]),
        ("a b c", ["'c'", "APP and PLAT are given already"]),
        ("hello --once", ["--once", "leave it out"]),
        ("reflect --port=7007", ["--port=7007 doesn't say which port of reflect", "--port=7007:GUEST", "reflect.port"]),
        ("udpkv linux --once", ["--once isn't for linux"]),
        ("udpkv linux --port=5000", ["--port isn't for linux", "./run udpkv linux help"]),
        ("udpkv linux --mem=64M", ["--mem isn't for linux", "./run udpkv linux help"]),
        ("hello linux -- -smp 2", ["'-smp'", "kvm only"]),
        ("hello xen --machine=pc", ["--machine isn't for xen"]),
        ("hello xen -- -smp 2", ["'-smp'", "kvm only"]),
    ],
)
def test_a_wrong_option_is_told_without_booting(words, reasons):
    status, said = run(*words.split())
    assert status == 2
    assert "./run: error:" in said
    for reason in reasons:
        assert reason in said
    assert "Traceback" not in said and "$ make" not in said


@pytest.mark.parametrize(
    "words, reasons",
    [
        ("net.ip=10.0.2.15/31", ["net.ip=10.0.2.15/31", "/4 to /30"]),
        ("udpkv xen net.ip=10.0.2.1/24", ["net.ip=10.0.2.1/24", "dom0"]),
        ("hello xen --nics=2", ["--nics=2", "--nics=1"]),
    ],
)
def test_what_cant_be_had_is_told_without_building(words, reasons):
    status, said = run(*words.split())
    assert status == 1
    assert said.startswith("run: ") and said.count("\n") == 1
    for reason in reasons:
        assert reason in said


def test_the_status_is_the_images_when_it_cant_serve():
    status, said = run("--once", f"--port={free_udp_port()}", "nope=1")
    assert status == 64
    assert "there is no key 'nope'" in said


@pytest.mark.parametrize("plat", ["kvm", "xen"])
def test_more_cores_than_it_can_give_are_refused(plat):
    status, said = run("udpkv", plat, "cores=2")
    assert status == 1
    assert said.startswith("run: cores=2 can't be had here") and said.count("\n") == 1


def test_on_linux_it_says_what_an_app_needs():
    status, said = run("pktgen", "linux", "mode=rx")
    assert status == 1
    assert "./run pktgen linux vhost=SOCK" in said and "./run pktgen linux tap=NAME" in said
    assert "panic" not in said
    assert run("hello", "linux")[0] == 0


def test_on_linux_it_says_what_udpkv_needs():
    status, said = run("udpkv", "linux")
    assert status == 1
    assert "./run udpkv linux vhost=/tmp/vhost.sock" in said and "./run udpkv linux tap=NAME" in said
    assert "panic" not in said
    assert run("udpkv", "linux", "help")[0] == 0


def test_another_app_shows_its_console():
    status, said = run("hello")
    assert status == 0
    assert "Hello from Ringloop" in said


def ctrl_c_after(text, words, again=None, expected=0, before=None):
    """Runs a command in a terminal, types Ctrl-C once it has printed `text`, and again after the text
    `again` if that is given. before() is called before the first Ctrl-C. Returns what it printed."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
        os.chdir(ROOT)
        os.execvp(words[0], words)
    texts = [text, again] if again else [text]
    said, end = b"", time.monotonic() + RUN_DEADLINE_S
    try:
        while select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if texts and texts[0] in said:
                if before:
                    before()
                    before = None
                os.write(terminal, CTRL_C)
                del texts[0]
        else:
            os.kill(child, signal.SIGTERM)
    except BaseException:
        os.kill(child, signal.SIGTERM)  # which ends what it has started, too
        os.waitpid(child, 0)
        raise
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


def test_ctrl_c_ends_another_app_in_order():
    words = ["./run", "--no-install", "pktgen", "mode=rx", f"--port={free_udp_port()}:9", "--nics=2"]
    said = ctrl_c_after(b"Ringloop: pktgen on kvm", words)
    assert b"every pool is whole" in said and b"Ringloop: exit 0." in said


def echoes(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(("127.0.0.1", port))
        peer.send(b"hello")
        assert peer.recv(2000) == b"hello"


def test_an_app_elsewhere_is_reached(tmp_path):
    """Its path is relative to where ./run is called, here the folder of ./run."""
    folder, port = tmp_path / "answerer", free_udp_port()
    shutil.copytree(ROOT / "src/apps/reflect", folder)
    words = ["./run", "--no-install", os.path.relpath(folder, ROOT), f"--port={port}:7"]
    said = ctrl_c_after(b"reflect: serves", words, before=lambda: echoes(port))
    assert f"$ make -s APP={folder} PLAT=kvm".encode() in said
    assert b"Ringloop: answerer on kvm" in said and b"Ringloop: exit 0." in said


def test_an_app_elsewhere_may_move(tmp_path):
    for place in ("one", "two"):
        shutil.copytree(ROOT / "src/apps/hello", tmp_path / place / "moving")
        status, said = run(str(tmp_path / place / "moving"), "linux")
        assert status == 0 and "Ringloop: moving on linux" in said, said
        shutil.rmtree(tmp_path / place)


def test_another_app_is_reached_where_its_keys_say():
    port = free_udp_port()
    words = ["./run", "--no-install", "reflect", f"--port={port}", "reflect.port=4000", "net.ip=172.20.0.9/16"]
    said = ctrl_c_after(b"reflect: serves 172.20.0.9:4000", words, before=lambda: echoes(port))
    assert b"Ringloop: exit 0." in said


def test_the_first_of_two_devices_is_reached():
    """By its MAC address, as the image may find the devices in another order."""
    port = free_udp_port()
    words = ["./run", "--no-install", "reflect", "--nics=2", f"--port={port}:7", f"net.dev={mac(0)}"]
    said = ctrl_c_after(b"reflect: serves", [*words, "--machine=microvm"], before=lambda: echoes(port))
    assert b"Ringloop: exit 0." in said


@pytest.mark.xdist_group("xen")
def test_reflect_on_xen_is_reached():
    port = free_udp_port()
    words = ["./run", "--no-install", "reflect", "xen", f"--port={port}:7"]
    said = ctrl_c_after(b"reflect: serves", words, before=lambda: echoes(port))
    assert b"every pool is whole" in said and b"Ringloop: exit 0." in said


def test_forward_has_two_networks():
    said = ctrl_c_after(b"forward: passes frames", ["./run", "--no-install", "forward", "kvm", "--nics=2"])
    assert said.count(b"-device virtio-net-pci") == 2 and b"Ringloop: exit 0." in said


def test_forward_carries_frames_between_networks_of_ones_own(tmp_path):
    links, words = [], []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        links.append(Link(tmp_path / str(i)))
        words += ["-netdev", links[i].netdev.replace("id=n0", f"id=n{i}"), "-device", f"virtio-net-pci,netdev=n{i}"]

    def carry():
        for source, sink in (links, reversed(links)):
            source.send(b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + b"\x88\xb5" + b"x" * 46)
            assert sink.recv(DEADLINE_S)[14:] == b"x" * 46

    words = ["./run", "--no-install", "forward", "kvm", "--nics=0", "--", *words]
    said = ctrl_c_after(b"forward: passes frames", words, before=carry)
    assert b"Ringloop: exit 0." in said
    for link in links:
        link.close()


def test_ctrl_c_while_the_image_sleeps_long():
    """pktgen has no address to announce, for which it would wake up."""
    words = ["./run", "--no-install", "pktgen", "mode=rx", "report.interval=0", "idle.wake=60000"]
    ctrl_c_after(b"pktgen: mode rx", words, again=b"Ctrl-C again ends QEMU", expected=130)


@pytest.mark.parametrize("page", ["README.md", "src/apps/udpkv/README.md"])
def test_the_qemu_commands_of_the_readmes_work(page):
    """As they stand there, but for the port and the accelerator."""
    text = (ROOT / page).read_text()
    command = re.search(r"^    (qemu-system-x86_64(?:.*\\\n)*.*)$", text, re.M)[1]
    command = command.replace("-accel kvm", "-accel tcg").replace(":11211-", f":{free_udp_port()}-")
    said = ctrl_c_after(b"udpkv: serves", ["sh", "-c", f"exec {command}"])
    assert b"every pool is whole" in said
