# SPDX-License-Identifier: BSD-2-Clause
"""udpkv on several cores, each with a queue pair of its own: as a host process, and as an image. The
back end is a VhostPort, which decides on which queue, so for which core, a request comes."""

import contextlib
import functools
import os
import re
import subprocess

import pytest

import memcached_random
from linearizable import Operation, check, linearizable
from memcached_compare import compare
from memcached_peer import Memcached
from udpkv_client import EVERY_COMMAND, Client, many_requests
from vhost_port import VhostPort
from vm import ROOT, Vm, image, kvm_problem, qemu_command

HOST = "127.0.0.1"
SYSTEMS = ["linux", "microvm", "q35"]


def start(system, socket, keys, cores, queues=None, cpus=None):
    if system == "linux":
        keys = f"vhost={socket} cores={cores} mem=128M {keys}"
        return Vm([str(image("udpkv", "linux")), *keys.split()])
    accel = "tcg" if kvm_problem() else "kvm"
    command = qemu_command(image("udpkv"), f"cores={cores} {keys}", machine=system, accel=accel, mem="128M",
                           cpus=cpus or cores, vhost_user=socket, queues=queues or cores)
    return Vm(command)


def end(app, system):
    """Ends it in order; nothing may be lost."""
    if system == "linux":
        app.interrupt()
    else:
        app.send(b"\x03")
    app.expect(r"^udpkv: every pool is whole\.$")
    assert app.status() == (0 if system == "linux" else 1), app.console()


@contextlib.contextmanager
def udpkv(system, folder, keys="", cores=2, queues=2, spread=0):
    """Starts udpkv and yields (app, port); then ends it in order."""
    socket = folder / "vhost"
    with VhostPort(socket, queues, spread, used=min(cores, queues)) as port:
        with start(system, socket, keys, cores, queues) as app:
            app.expect("^udpkv: serves ")
            yield app, port
            end(app, system)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_core_serves_every_key(system, tmp_path):
    with udpkv(system, tmp_path, spread=1) as (app, port), Client(HOST, port.number) as client:
        answers = {request: client.ask(request) for request in EVERY_COMMAND}
        assert answers[b"set greeting 7 0 5\r\nhello\r\n"] == b"STORED\r\n"
        assert answers[b"incr count 1\r\n"] == b"42\r\n"
        told = [b"VALUE greeting 7 15", b"...welcome, you", b"VALUE count 0 2", b"40", b"END", b""]
        assert answers[b"get greeting count missing\r\n"].split(b"\r\n") == told
        many_requests(HOST, port.number, 5000, window=16)
        asked = 5000 + len(EVERY_COMMAND)
        stats = client.stats()
        assert stats["threads"] == 2
        assert stats["requests"] == asked + 1
        netdev = client.ask(b"stats netdev\r\n").decode()
        packets = [int(n) for n in re.findall(r"STAT rx\d:packets (\d+)", netdev)]
        assert sum(packets) == asked + 2
        assert min(packets) == asked // 2 + 1
        assert port.by_queue == packets
    assert re.search(rf"^udpkv: {asked + 2} requests, {asked + 2} answers ", app.console(), re.M)


def test_a_device_may_have_more_queues_than_there_are_cores(tmp_path):
    with udpkv("microvm", tmp_path, cores=1, queues=2) as (app, port), Client(HOST, port.number) as client:
        assert client.ask(b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n"
        assert client.stats()["threads"] == 1


def test_with_too_few_queues_it_says_what_to_do(tmp_path):
    with VhostPort(tmp_path / "vhost", 1), start("microvm", tmp_path / "vhost", "", 2, 1) as app:
        app.expect("cores=2 needs as many queue pairs, and virtio-net .* has 1; with QEMU add ")
        assert app.exit_code() == 64


@pytest.mark.parametrize("mem, shards", [("256K", 1), ("4M", 2), ("64M", 32)])
def test_little_memory_makes_few_shards(mem, shards, tmp_path):
    with udpkv("linux", tmp_path, f"udpkv.mem={mem}", spread=1) as (app, port):
        assert f" in {shards} shards for items, on 2 cores." in app.console()
        many_requests(HOST, port.number, 1000)


def test_it_goes_on_after_its_back_end_was_restarted(tmp_path):
    """All cores leave their queues for it, and have them again."""
    socket = tmp_path / "vhost"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(VhostPort(socket, 2, spread=1))
        app = stack.enter_context(start("linux", socket, "", 2))
        app.expect("^udpkv: serves ")
        many_requests(HOST, first.number, 1000)
        first.close()
        app.expect("^vhost-user .*: the device has gone")
        socket.unlink()
        with VhostPort(socket, 2, spread=1, mac=first.mac) as second:
            app.expect("^vhost-user .*: the device is back")
            many_requests(HOST, second.number, 1000)
            assert min(second.by_queue) > 0
            end(app, "linux")


@pytest.mark.parametrize("system", ["linux", "microvm"])
def test_answers_are_memcacheds_on_each_core(system, tmp_path):
    """Clients take turns on the queues: the recorded requests are answered by one core, the random
    ones by the other."""
    with udpkv(system, tmp_path) as (app, port), Memcached() as memcached:
        result = compare(f"{HOST}:{memcached}", f"{HOST}:{port.number}")
        assert not result.errors, "\n".join(result.errors)
        assert result.asked > 500
        before = list(port.by_queue)
        wanted = int(os.environ.get("SEQUENCES", "30"))
        assert memcached_random.compare(f"{HOST}:{port.number}", wanted)["requests"] > wanted
        assert before[1] < result.asked < before[0]
        assert port.by_queue[1] - before[1] > wanted


@pytest.mark.parametrize("system", ["linux", "microvm"])
def test_answers_are_memcacheds_though_each_is_another_cores(system, tmp_path):
    """A request and the marker behind it come to one core, the next two to the other."""
    with udpkv(system, tmp_path, spread=2) as (app, port), Memcached() as memcached:
        result = compare(f"{HOST}:{memcached}", f"{HOST}:{port.number}", count_ids=False)
    assert not result.errors, "\n".join(result.errors)
    assert min(port.by_queue) > 500


@pytest.mark.parametrize("spread", [0, 1])
@pytest.mark.parametrize("system", ["linux", "microvm"])
def test_every_key_has_a_linear_history(system, spread, tmp_path):
    with udpkv(system, tmp_path, spread=spread) as (app, port):
        counts = check((HOST, port.number), rounds=int(os.environ.get("ROUNDS", "20")))
    assert counts["overlapping"] > counts["operations"] // 4
    assert counts["cas stored"] > 0 and counts["cas too late"] > 0


@pytest.fixture(scope="module")
def kvload():
    subprocess.run(["make", "-s", "-C", ROOT, "kvload"], check=True)
    return ROOT / "build/bench/kvload"


@contextlib.contextmanager
def memcached_of_four_threads(folder):
    with Memcached(threads=4) as port:
        yield port


@contextlib.contextmanager
def udpkv_of_two_cores(system, spread, folder):
    with udpkv(system, folder, spread=spread) as (_, port):
        yield port.number


SERVERS = {
    "memcached": memcached_of_four_threads,
    **{f"{system}-{spread}": functools.partial(udpkv_of_two_cores, system, spread)
       for system in ("linux", "microvm") for spread in (0, 1)},
}


@pytest.mark.parametrize("server", SERVERS)
def test_no_answer_of_many_on_few_keys_is_wrong(server, kvload, tmp_path):
    """Each thread's clients set and get the same few keys at the same time, on whichever core their requests come.
    REQUESTS=100000 in the environment for the long one."""
    with SERVERS[server](tmp_path) as port:
        for threads, clients, pipeline in ((1, 4, 1), (1, 4, 8), (1, 4, 64), (2, 2, 8), (4, 2, 1)):
            done = subprocess.run(
                [kvload, f"--port={port}", f"--threads={threads}", f"--clients={clients}", f"--pipeline={pipeline}",
                 "--ratio=1:1", "--key-maximum=19", f"--requests={os.environ.get('REQUESTS', '500')}", "--flush",
                 "--timeout-ms=20000", "--hide-histogram"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, f"{threads} {clients} {pipeline}: {done.stdout}"
            assert " 0 wrong" in done.stdout, done.stdout


def op(what, begin, end_, value=None, expected=None, result=None):
    return Operation(what, begin, end_, value, expected, result)


def test_what_is_in_order_is_linearizable():
    assert linearizable([op("get", 0, 1), op("set", 2, 3, b"a"), op("get", 4, 5, b"a")])
    assert linearizable([op("set", 0, 9, b"a"), op("get", 1, 2), op("get", 3, 4, b"a")])
    assert linearizable([op("set", 0, None, b"a"), op("get", 1, 2), op("get", 3, 4, b"a")])
    assert linearizable([op("set", 0, None, b"a"), op("get", 1, 2)])
    assert linearizable([op("set", 0, 1, b"a"), op("cas", 2, 9, b"b", b"a", b"STORED"),
                         op("cas", 3, 8, b"c", b"a", b"EXISTS"), op("get", 10, 11, b"b")])


@pytest.mark.parametrize("broken", [
    [op("get", 2, 3), op("set", 0, 1, b"a")],  # lost
    [op("get", 4, 5, b"a"), op("set", 0, 1, b"a"), op("set", 2, 3, b"b")],  # old
    [op("get", 0, 1, b"a")],  # nobody's
    [op("set", 0, 9, b"a"), op("get", 1, 2, b"a"), op("get", 3, 4)],  # there, then not yet
    [op("set", 0, None, b"a"), op("get", 1, 2, b"a"), op("get", 3, 4)],
    [op("set", 0, 1, b"a"), op("cas", 2, 9, b"b", b"a", b"STORED"),
     op("cas", 3, 8, b"c", b"a", b"STORED")],  # an update is lost
    [op("set", 0, 1, b"a"), op("delete", 2, 9, result=b"DELETED"), op("delete", 2, 9, result=b"DELETED")],
])
def test_what_cant_be_is_not_linearizable(broken):
    assert not linearizable(broken)


def measured(keys):
    with Vm([str(image("udpkv", "linux")), *keys.split()]) as app:
        return app.status(), app.console()


def test_the_step_alone_is_measured_on_each_core():
    status, told = measured("cores=2 mem=64M udpkv.mem=16M udpkv.bench=1000")
    assert status == 0, told
    lines = re.findall(r"^(\d),(software|offload|chase),1000,([01]),(\d+),(\d+)$", told, re.M)
    assert len({line[:3] for line in lines}) == len(lines) == 5 * 3 * 2, told
    assert all(int(median) > 0 and int(mean) > 0 for *_, median, mean in lines), told


@pytest.mark.parametrize("numbers", ["1000,8,0,1", "500,1350,100,64"])
def test_the_step_alone_is_measured_with_values_sets_and_bursts_of_any_size(numbers):
    status, told = measured(f"mem=64M udpkv.mem=16M udpkv.bench={numbers}")
    assert status == 0, told
    assert len(re.findall(rf"^\d,(?:software|offload|chase),{numbers.split(',')[0]},0,", told, re.M)) == 15, told


@pytest.mark.parametrize("numbers", ["", "x", "1000,", "1000,7", "1000,1351", "1000,8,101", "1000,8,0,0",
                                     "1000,8,0,65", "1000,8,0,1,1", "100000000"])
def test_numbers_that_the_step_cant_be_measured_with_are_refused(numbers):
    status, told = measured(f"udpkv.bench={numbers}")
    assert status == 64
    assert f"udpkv.bench={numbers} can't be used: expected up to 99999999 keys" in told


def test_a_wrong_answer_ends_the_measuring():
    status, told = measured("cores=2 mem=64M udpkv.mem=4M udpkv.bench=200000")
    assert status == 1
    assert "udpkv: an answer was wrong; is there memory for 200000 keys?" in told
