# SPDX-License-Identifier: BSD-2-Clause
"""udpkv as its clients see it, over a forwarded port of 127.0.0.1."""

import contextlib
import os
import re
import subprocess
import time

import pytest

import memcached_random
from memcached_compare import compare
from memcached_peer import Memcached
from udpkv_client import EVERY_COMMAND, Client, many_requests, memcaslap
from vm import CTRL_C, DEADLINE_S, MACHINES, ROOT, Vm, free_udp_port, image, kvm_problem, qemu_command, user_netdev

HOST = "127.0.0.1"


@contextlib.contextmanager
def udpkv(keys="", **machine):
    """Boots udpkv and yields (vm, port); then ends it in order and looks for its pools."""
    port = free_udp_port()
    netdev = user_netdev(port)
    with Vm(qemu_command(image("udpkv"), keys, netdev=netdev, **machine)) as vm:
        vm.expect("^udpkv: serves ")
        yield vm, port
        vm.send(CTRL_C)
        vm.expect(r"^udpkv: every pool is whole\.$")
        assert vm.exit_code() == 0


def test_nc_as_the_readme_has_it():
    """As it stands there, but for the port."""
    lines = re.findall(r"^    (printf .*\| nc .*)$", (ROOT / "README.md").read_text(), re.M)
    assert len(lines) == 2
    with udpkv(machine="microvm") as (vm, port):
        said = [subprocess.run(["bash", "-c", line.replace(" 11211 ", f" {port} ")], stdout=subprocess.PIPE,
                               timeout=DEADLINE_S).stdout for line in lines]
    assert said == [b"STORED\r\n", b"VALUE greeting 0 5\r\nhello\r\nEND\r\n"]


def test_the_client_in_the_readme_works():
    page = (ROOT / "src/apps/udpkv/README.md").read_text()
    code = re.search(r"^```python\n(.*?)^```", page, re.M | re.S)[1]
    names = {}
    exec(code, names)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    with udpkv() as (vm, port):
        client = names["Udpkv"](port=port)
        dialogue = re.findall(r"^    >>> udpkv\.ask\((.*)\)\n    (b'.*')$", page, re.M)
        assert len(dialogue) == 2
        for asked, answered in dialogue:
            assert client.ask(eval(asked)) == eval(answered)
        big = b"x" * 1000
        for key in (b"a", b"b", b"c"):
            assert client.ask(b"set %s 0 0 1000\r\n%s\r\n" % (key, big)) == b"STORED\r\n"
        assert client.ask(b"get a b c\r\n").count(big) == 3, "an answer of several datagrams"


@pytest.mark.parametrize("machine", MACHINES)
def test_it_serves(machine, accel):
    """Every command is answered, on every kind of machine; also with a second processor."""
    with udpkv(machine=machine, accel=accel, cpus=2) as (vm, port), Client(HOST, port) as client:
        answers = {request: client.ask(request) for request in EVERY_COMMAND}
        assert answers[b"set greeting 7 0 5\r\nhello\r\n"] == b"STORED\r\n"
        assert answers[b"incr count 1\r\n"] == b"42\r\n"
        assert answers[b"nonsense\r\n"] == b"ERROR\r\n"
        assert b"STAT cmd_get " in answers[b"stats\r\n"]
        told = [b"VALUE greeting 7 15", b"...welcome, you", b"VALUE count 0 2", b"40", b"END", b""]
        assert answers[b"get greeting count missing\r\n"].split(b"\r\n") == told


@pytest.mark.parametrize("ring", ["0", "3"])
def test_it_serves_in_either_ring(ring):
    with udpkv(f"ring={ring}", machine="q35") as (vm, port), Client(HOST, port) as client:
        assert client.ask(b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n"


def test_keys_set_address_port_and_memory():
    keys = "net.ip=10.0.2.99/24 udpkv.port=7777 udpkv.mem=16M"
    port = free_udp_port()
    netdev = user_netdev(port, 7777, "10.0.2.99")
    with Vm(qemu_command(image("udpkv"), keys, machine="microvm", netdev=netdev)) as vm:
        vm.expect(r"^udpkv: serves 10\.0\.2\.99:7777/udp, .* 16 MiB for items\.$")
        with Client(HOST, port) as client:
            assert client.ask(b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n"
        assert vm.end() == 0


def test_without_a_network_it_says_what_to_do():
    with Vm(qemu_command(image("udpkv"), machine="q35")) as vm:
        vm.expect("virtio-net")
        assert vm.exit_code() == 64


SMALLEST, TOO_LITTLE = "4M", "3M"


def test_it_serves_with_8_mib():
    with udpkv(machine="microvm", mem="8M") as (vm, port):
        many_requests(HOST, port, 20000)


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_a_store_across_a_gib_that_is_memory_as_a_whole(machine, accel):
    """The second GiB could be one page, which a KVM without hardware virtualization doesn't have."""
    with udpkv("udpkv.mem=1100M", machine=machine, accel=accel, mem="2200M") as (vm, port):
        many_requests(HOST, port, 2000)


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_it_serves_with_the_smallest_memory_that_works(machine):
    with udpkv(machine=machine, mem=SMALLEST) as (vm, port):
        many_requests(HOST, port, 5000)


@pytest.mark.parametrize(
    "mem, keys, sentence",
    [
        (TOO_LITTLE, "", r"^udpkv: .*\bmemory\b"),
        ("64M", "udpkv.mem=64M", r"^udpkv: udpkv\.mem=65536K is more than this machine has left for items; "),
        ("64M", "net.ip=10.0.2.255/24", r"^udpkv: 10\.0\.2\.255/24 can't be a host's address; "),
    ],
)
def test_a_machine_and_keys_that_dont_fit_are_told(mem, keys, sentence):
    """It isn't a panic: a supervisor that starts panicked images again would start this one for ever."""
    command = qemu_command(image("udpkv"), keys, machine="microvm", mem=mem, netdev="user,id=n0")
    with Vm(command) as vm:
        vm.expect(sentence)
        assert vm.exit_code() == 64
        assert "panic" not in vm.console()


def test_stats_tell_the_hosts_time():
    with udpkv(machine="q35") as (vm, port), Client(HOST, port) as client:
        assert abs(client.stats()["time"] - time.time()) <= 2


def test_what_doesnt_fit_pushes_out_the_least_useful():
    """Writes many times the memory; the server stays, and the key that is read all along, too."""
    value = b"v" * 1000
    with udpkv("udpkv.mem=1M", machine="microvm") as (vm, port), Client(HOST, port) as client:
        client.ask(b"set kept 0 0 4\r\nhere\r\n")
        for i in range(4000):
            assert client.ask(b"set k%d 0 0 1000\r\n%s\r\n" % (i, value)) == b"STORED\r\n"
            assert client.ask(b"get kept\r\n") == b"VALUE kept 0 4\r\nhere\r\nEND\r\n"
        assert client.stats()["evictions"] > 1000
        assert client.ask(b"get k0\r\n") == b"END\r\n"
        assert client.ask(b"get k3999\r\n").startswith(b"VALUE k3999 0 1000\r\nvvv")


def test_a_long_answer_is_several_datagrams():
    value = b"".join(b"%07d " % i for i in range(170))
    with udpkv(machine="microvm") as (vm, port), Client(HOST, port) as client:
        for command in (b"set", b"append", b"append", b"append"):
            request = b"%s long 0 0 %d\r\n%s\r\n" % (command, len(value), value)
            assert client.ask(request) == b"STORED\r\n"
        answer = client.ask(b"get long\r\n")
        assert answer == b"VALUE long 0 %d\r\n%s\r\nEND\r\n" % (4 * len(value), 4 * value)


def test_a_million_requests_without_a_wrong_answer(accel):
    """The million in software emulation, which is everywhere; a quarter of it on KVM."""
    with udpkv(machine="q35", accel=accel) as (vm, port):
        many_requests(HOST, port, 1_000_000 if accel == "tcg" else 250_000)


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_memcaslap_finds_every_value(machine):
    """libmemcached's load generator: sets and gets over UDP, each value compared."""

    def run(*command):
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, timeout=60)
        print(done.stdout)
        return done.returncode, done.stdout

    with udpkv(machine=machine) as (vm, port):
        assert memcaslap(f"{HOST}:{port}", 20000, run, print) is None


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_answers_are_memcacheds_to_the_byte(machine):
    with Memcached() as memcached, udpkv(machine=machine) as (vm, port):
        result = compare(f"{HOST}:{memcached}", f"{HOST}:{port}")
    assert not result.errors, "\n".join(result.errors)
    assert result.asked > 500
    assert result.headers_compared > 300


def test_bytes_are_counted_as_by_memcached():
    """Where both send the same datagrams: memcached's answers to other requests are several messages."""
    value = b"v" * 4000
    store = b"set a 0 0 %d\r\n%s\r\n" % (len(value), value)
    with Memcached() as memcached, udpkv(machine="microvm") as (vm, port):
        counted = []
        for host_port in memcached, port:
            with Client(HOST, host_port) as client:
                client.send(b"stats reset\r\n")
                for request in (store, b"get a\r\n", b"incr x 1\r\n", b"mg a s\r\n", b"foo\r\n"):
                    client.ask(request)
                stats = client.stats()
                counted.append({name: stats[name] for name in ("bytes_read", "bytes_written")})
    assert counted[0] == counted[1]
    assert counted[1]["bytes_read"] > len(value) and counted[1]["bytes_written"] > len(value)


def test_random_requests_are_answered_as_by_memcached():
    """SEQUENCES=10000 in the environment for as many; ./test does a hundred."""
    with udpkv(machine="microvm", accel="tcg" if kvm_problem() else "kvm") as (vm, port):
        wanted = int(os.environ.get("SEQUENCES", "100"))
        counts = memcached_random.compare(f"{HOST}:{port}", wanted)
    assert counts["sequences"] >= wanted
    assert counts["requests"] > wanted
