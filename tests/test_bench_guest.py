# SPDX-License-Identifier: BSD-2-Clause
"""bench/guest: one very short run, with Linux booted twice."""

import json
import subprocess

import pytest

from vm import ROOT

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
