# SPDX-License-Identifier: BSD-2-Clause
"""Apps at the other end of testpmd's vhost-user socket: host processes (PLAT=linux) and images."""

import contextlib
import json
import re

import pytest

from testpmd import back_end
from vm import Vm, image, qemu_command


@pytest.mark.testpmd
@pytest.mark.parametrize(
    "system, cores", [("linux", 1), ("linux", 2), ("microvm", 1), ("microvm", 2), ("q35", 1)]
)
def test_pktgen_goes_on_after_its_back_end_was_killed(tmp_path, system, cores):
    """It sends numbered packets, testpmd sends them back; what a restart costs is what was in
    flight, and the summary accounts for it."""
    socket, ring, seen = tmp_path / "vhost", 256 * cores, []
    keys = f"mode=latency rate=20k cores={cores} report=json report.interval=0"
    command = [str(image("pktgen", "linux")), f"vhost={socket}", *keys.split()]
    if system != "linux":
        command = qemu_command(
            image("pktgen"), keys, machine=system, vhost_user=socket, queues=cores, cpus=cores
        )
    with contextlib.ExitStack() as started:

        def start_back_end():
            options = ["--forward-mode=macswap", "--auto-start"]
            testpmd = started.enter_context(back_end([socket], options=options, queues=cores))
            testpmd.wait_prompt()  # it listens before it can serve
            return testpmd

        testpmd = start_back_end()
        app = started.enter_context(Vm(command))
        app.expect("^pktgen: mode latency")
        for restart in (True, True, False):
            testpmd.wait_link(0)
            testpmd.wait_traffic(0, 10000)
            seen.append(testpmd.stats(0))
            if restart:
                testpmd.close()
                if system == "linux":  # there it is pktgen that reconnects; it is QEMU elsewhere
                    app.expect("^vhost-user .*: the device has gone")
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
    with back_end([socket]), udpkv(f"vhost={socket}", "mem=16M") as app:
        app.expect(r"^udpkv: serves .*, virtio-net over vhost-user at vhost-user \.\.\S*/vhost,")
        app.process.terminate()
        app.expect(r"^udpkv: every pool is whole\.$")
        assert app.status() == 0


def udpkv(*keys):
    return Vm([str(image("udpkv", "linux")), *keys])


def test_without_a_back_end_it_says_what_to_do(tmp_path):
    with udpkv(f"vhost={tmp_path}/nobody") as app:
        app.expect("vhost=.*/nobody can't be used: No such file or directory; start the back end")
        assert app.status() == 64
    with udpkv() as app:
        app.expect("needs a network device and .*; vhost=SOCK names")
        assert app.status() == 64


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
        app.expect(rf"^Ringloop: hello on linux, version [^,]+, {told} MiB in (huge|ordinary) pages")
        assert app.status() == 0
