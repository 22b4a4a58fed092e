# SPDX-License-Identifier: BSD-2-Clause
"""bench/guest: one very short run, with Linux booted twice; and what it says of a guest that doesn't run."""

import importlib.machinery
import json
import subprocess
import sys
import types

import pytest

from vm import ROOT, image

sys.path.insert(0, str(ROOT / "bench"))
import dpdk_guest  # noqa: E402
from systems import SystemGone  # noqa: E402

guest = types.ModuleType("guest")
importlib.machinery.SourceFileLoader("guest", str(ROOT / "bench/guest")).exec_module(guest)

PATHS = "dpdk-guest-tcg-split took DPDK's standard Tx, mergeable buffer Rx paths."


@pytest.mark.testpmd
def test_dpdk_in_a_linux_guest_is_measured_beside_the_image(tmp_path):
    done = subprocess.run(
        [ROOT / "bench/guest", "--no-build", "--no-install", "--quick", "--accel=tcg", "--systems=ringloop,split",
         "--directions=rx", "--sizes=128", "--rounds=1", "--window=0.1", f"--results={tmp_path}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    if done.returncode == 2:  # measuring needs packages that testing doesn't
        assert "apt-get install" in done.stdout
        return
    assert done.returncode == 0, done.stdout
    names = ["ringloop-tcg", "ringloop-tcg-microvm", "dpdk-guest-tcg-split"]
    rates = json.loads((tmp_path / "guest.json").read_text())
    assert [row["system"] for row in rates] == names
    for row in rates:
        assert row["mpps_rounds"] == [row["mpps_median"]] and row["size_bytes"] == 128, done.stdout
    assert PATHS in (tmp_path / "guest.md").read_text()
    needs = json.loads((tmp_path / "guest-needs.json").read_text())
    assert [row["system"] for row in needs] == names
    for row in needs:
        assert 0 < row["packet_ms_min"] <= row["packet_ms"] <= row["packet_ms_max"]
        assert 0 < row["packed_bytes"] < row["loaded_bytes"]
    assert needs[0]["loaded_bytes"] < needs[2]["loaded_bytes"]


def test_a_linux_guest_that_does_not_start_is_told(tmp_path):
    files = types.SimpleNamespace(kernel=image("pktgen"), initramfs=image("pktgen"))
    system = dpdk_guest.DpdkGuest("split", str(tmp_path / "nobody"), 0, "tcg", "q35", files, huge=False)
    system.prepare("tx", 64)
    try:
        with pytest.raises(SystemGone, match=r"dpdk-guest-tcg-split ended \(1\): .*nobody"):
            system.ready()
    finally:
        system.close()


def test_an_image_with_too_little_memory_sends_no_packet(tmp_path):
    system = dpdk_guest.OurImage("ringloop-tcg", str(tmp_path / "unused"), 0, "tcg", "microvm", huge=False)
    assert guest.first_packet_ms(system, 64, 30) > 0
    with pytest.raises(SystemGone, match="the machine ended: .*give it more memory"):
        guest.first_packet_ms(system, 2, 30)


@pytest.mark.parametrize("least", [1, 2, 3, 138, guest.MOST_MIB - 1, guest.MOST_MIB])
def test_the_least_memory_is_found(monkeypatch, least):
    asked = []

    def starts(_, mib, __):
        asked.append(mib)
        if mib < least:
            raise SystemGone("no packet")

    monkeypatch.setattr(guest, "first_packet_ms", starts)
    assert guest.smallest_mib(None, 1) == least
    assert len(asked) < 12
