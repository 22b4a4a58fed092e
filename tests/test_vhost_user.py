"""Apps at the other end of testpmd's vhost-user socket: host processes (PLAT=linux) and images."""

import contextlib
import json
import re
import subprocess

import pytest

from testpmd import back_end
from vm import ROOT, Vm, image, qemu_command

MAC = "02:00:00:00:00:01"


@pytest.fixture(scope="module")
def reflect(tmp_path_factory):
    """Builds the app in the docs, which sends every datagram back; tells where it is."""
    page = (ROOT / "docs/writing-an-app.md").read_text()
    tree = tmp_path_factory.mktemp("reflect")
    (tree / "Makefile").symlink_to(ROOT / "Makefile")
    (tree / "src/apps/reflect").mkdir(parents=True)
    for name in ("boot", "netbuf", "netdev"):
        (tree / "src" / name).symlink_to(ROOT / "src" / name)
    (tree / "src/apps/reflect/main.c").write_text(re.search(r"^```c\n(.*?)^```", page, re.M | re.S)[1])
    subprocess.run(["make", "-s", "APP=reflect"], cwd=tree, check=True)
    return lambda plat: tree / f"build/reflect-{plat}/reflect"


def start_testpmd(socket):
    """Sends 32 datagrams to the app when told to, and then swaps addresses and ports of all that
    come back, as the app does: they go round for ever."""
    options = ["--forward-mode=5tswap", f"--eth-peer=0,{MAC}", "--tx-ip=10.0.2.2,10.0.2.15"]
    return back_end([socket], options=[*options, "--tx-udp=4000,7"])


def circulate(testpmd):
    """Once the app is there, sends what then goes round; waits until much of it has."""
    testpmd.wait_link(0)
    testpmd.ask("start tx_first")
    testpmd.wait_traffic(0, 10000)


@pytest.mark.testpmd
def test_packets_go_both_ways_also_after_the_back_end_was_killed(reflect, tmp_path):
    socket = tmp_path / "vhost"
    with start_testpmd(socket) as testpmd:
        with Vm([str(reflect("linux")), f"vhost={socket}", f"vhost.mac={MAC}"]) as app:
            app.expect("^reflect: ready")
            circulate(testpmd)
            for _ in range(2):
                testpmd.close()
                app.expect("^vhost-user .*: the device has gone")
                with start_testpmd(socket) as testpmd:
                    app.expect(r"^vhost-user .*: the device is back; \d+ packets")
                    circulate(testpmd)
            app.process.terminate()
            assert app.status() == 0  # every buffer is back in its pool


@pytest.mark.testpmd
@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_an_image_survives_its_back_end_being_killed(reflect, tmp_path, machine):
    """There it is QEMU that reconnects, and hands over the rings as they are."""
    socket = tmp_path / "vhost"
    more = ["-object", "memory-backend-memfd,id=mem,size=64M,share=on"]
    more += ["-chardev", f"socket,id=c0,path={socket},reconnect=1"]
    with start_testpmd(socket) as testpmd:
        command = qemu_command(reflect("kvm"), machine=machine, netdev="vhost-user,id=n0,chardev=c0")
        command[command.index(machine)] += ",memory-backend=mem"
        device = next(word for word in command if word.endswith(",netdev=n0"))
        command[command.index(device)] += f",mac={MAC}"
        place = command.index("-netdev")
        with Vm(command[:place] + more + command[place:]) as app:
            app.expect("^reflect: ready")
            circulate(testpmd)
            for _ in range(2):
                testpmd.close()
                with start_testpmd(socket) as testpmd:
                    circulate(testpmd)
            assert app.end() == 0


@pytest.mark.testpmd
@pytest.mark.parametrize("system", ["linux", "microvm", "q35"])
def test_pktgen_goes_on_after_its_back_end_was_killed(tmp_path, system):
    """It sends numbered packets, testpmd sends them back; what a restart costs is what was in
    flight, and the summary accounts for it."""
    socket, ring, seen = tmp_path / "vhost", 256, []
    keys = "mode=latency rate=20k report=json report.interval=0"
    command = [str(image("pktgen", "linux")), f"vhost={socket}", *keys.split()]
    if system != "linux":
        command = qemu_command(image("pktgen"), keys, machine=system, vhost_user=socket)
    with contextlib.ExitStack() as started:

        def start_back_end():
            options = ["--forward-mode=macswap", "--auto-start"]
            return started.enter_context(back_end([socket], options=options))

        testpmd = start_back_end()
        app = started.enter_context(Vm(command))
        app.expect("^pktgen: mode latency")
        for restart in (True, True, False):
            testpmd.wait_link(0)
            testpmd.wait_traffic(0, 5000)
            seen.append(testpmd.stats(0))
            if restart:
                testpmd.close()
                testpmd = start_back_end()
        app.interrupt()
        summary = json.loads(app.expect(r"^\{.*\}$")[0])
        app.expect(r"^pktgen: every pool is whole\.$")
        assert app.status() == (0 if system == "linux" else 1), app.console()
    sequence, drops = summary["sequence"], summary["tx"]["drops"]
    assert summary["tx"]["packets"] - drops["stop"] >= sum(stats["RX-packets"] for stats in seen)
    assert sequence["unique"] >= sum(stats["TX-packets"] for stats in seen) - ring * len(seen)
    assert sequence["unique"] + sequence["lost"] == summary["tx"]["packets"]
    told = re.findall(r": the device is back; (\d+) packets", app.console())
    assert len(told) == (2 if system == "linux" else 0)  # to an image it wasn't away
    assert drops.pop("stop") == sum(map(int, told))
    assert not any(drops.values())


@pytest.mark.testpmd
def test_udpkv_serves_on_a_vhost_user_socket(tmp_path):
    socket = tmp_path / "vhost"
    with start_testpmd(socket), udpkv(f"vhost={socket}", "mem=16M") as app:
        app.expect(r"^udpkv: serves .*, virtio-net over vhost-user at vhost-user \.\.\S*/vhost,")
        app.process.terminate()
        app.expect(r"^udpkv: every pool is whole\.$")
        assert app.status() == 0


def udpkv(*keys):
    return Vm([str(image("udpkv", "linux")), *keys])


def test_without_a_back_end_it_says_what_to_do(tmp_path):
    with udpkv(f"vhost={tmp_path}/nobody") as app:
        app.expect("vhost=.*/nobody can't be used: No such file or directory; start the back end")
        assert app.status() == 70
    with udpkv() as app:
        app.expect("no network device; vhost=SOCK names")
        assert app.status() == 70


@pytest.mark.parametrize(
    "mac", ["", "02:00:00:00:00", "02:00:00:00:00:1", "02:00:00:00:00:0g", "02-00-00-00-00-01",
            "03:00:00:00:00:01", "02:00:00:00:00:011"]
)
def test_a_wrong_mac_address_is_refused(mac):
    with udpkv("vhost=x", f"vhost.mac={mac}") as app:
        app.expect("vhost.mac=.* can't be used")
        assert app.status() == 64


@pytest.mark.parametrize("mem, told", [("2M", 2), ("3M", 4), ("64M", 64)])
def test_the_boot_line_tells_memory_and_where_it_is_from(mem, told):
    with Vm([str(image("hello", "linux")), f"mem={mem}"]) as app:
        app.expect(rf"^Ringloop: hello on linux, {told} MiB in (huge|ordinary) pages")
        assert app.status() == 0
