# SPDX-License-Identifier: BSD-2-Clause
"""bench/: its arithmetic, its parsers, and one very short run."""

import json
import os
import re
import subprocess
import sys

import pytest

import testpmd
from vm import ROOT

sys.path.insert(0, str(ROOT / "bench"))
import distance  # noqa: E402
import origin  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402
import trials  # noqa: E402

SHOWN = """
  ######################## NIC statistics for port 0  ########################
  RX-packets: 1000       RX-missed: 0          RX-bytes:  64000
  RX-errors: 0
  RX-nombuf:  0
  TX-packets: 10         TX-errors: 3          TX-bytes:  640

  Throughput (since last show)
  Rx-pps:      2500000          Rx-bps:       1280000000
  Tx-pps:            7          Tx-bps:         3584
  ############################################################################
"""


def row_of(rows, system):
    (row,) = [row for row in rows if row["system"] == system]
    return row


def test_counters_of_testpmd_are_read():
    stats = testpmd.parse_stats(SHOWN)
    assert stats["RX-packets"] == 1000
    assert stats["TX-errors"] == 3
    assert stats["Rx-pps"] == 2500000


def test_output_without_counters_is_refused():
    with pytest.raises(testpmd.TestpmdError):
        testpmd.parse_stats("Invalid port 7\n")


def test_a_rate_is_testpmds_and_frames_are_those_of_the_window():
    before = testpmd.parse_stats(SHOWN)
    after = dict(before, **{"RX-packets": 3000, "RX-bytes": 64000 + 2000 * 128, "Rx-pps": 4000000})
    rate = testpmd.rate_between(before, after)
    assert rate.rx_mpps == 4.0
    assert (rate.rx_packets, rate.rx_bytes) == (2000, 128)
    assert (rate.tx_packets, rate.tx_bytes) == (0, 0)


@pytest.mark.parametrize("frame, gbps, mpps", [(60, 10, 14.881), (1514, 10, 0.8127), (60, 100, 148.81)])
def test_line_rate_is_ethernets(frame, gbps, mpps):
    assert report.line_rate_mpps(frame, gbps) == pytest.approx(mpps, rel=1e-4)


def test_ratios_are_to_the_best_variant_of_the_same_direction_and_size():
    rows = report.summarize({
        ("ringloop-kvm", "tx", 64): [30, 10, 20],
        ("dpdk-split", "tx", 64): [10, 10, 10],
        ("dpdk-packed", "tx", 64): [16, 15, 99],
        ("dpdk-packed", "rx", 64): [1000],
    })
    ours = row_of(rows[:1], "ringloop-kvm")
    assert list(ours)[:7] == [
        "system", "direction", "size_bytes", "mpps_median", "mpps_min", "mpps_max", "ratio_to_best_dpdk",
    ]
    assert ours["mpps_rounds"] == [30, 10, 20]
    assert (ours["mpps_median"], ours["mpps_min"], ours["mpps_max"]) == (20, 10, 30)
    assert ours["ratio_to_best_dpdk"] == 1.25
    assert row_of(rows[1:2], "dpdk-split")["ratio_to_best_dpdk"] == 0.625


def test_what_did_not_run_has_no_numbers():
    samples = {("ringloop-linux", "tx", 64): [], ("ringloop-kvm", "tx", 64): [5.0]}
    rows = report.summarize(samples)
    assert rows[0]["mpps_median"] is None and rows[0]["ratio_to_best_dpdk"] is None
    assert rows[1]["mpps_median"] == 5.0 and rows[1]["ratio_to_best_dpdk"] is None
    table = report.rate_table(rows, {("tx", 64): 64}, {"ringloop-linux": "isn't built"})
    assert "not run: see below" in table


def test_paired_ratios_survive_a_change_of_speed():
    samples = {("ringloop-kvm", "tx", 64): [20, 20, 60], ("dpdk-split", "tx", 64): [10, 30, 30]}
    rows = report.summarize(samples)
    assert report.paired_ratio(rows, rows[0]) == 2
    assert plots.ratio_points(rows, rows[0]) == (2, 20 / 30, 2, [], True)


def test_of_a_result_without_rounds_medians_are_drawn():
    rows = report.summarize({("ringloop-kvm", "tx", 64): [20, 10, 60], ("dpdk-split", "tx", 64): [10, 10, 10]})
    old = [{key: row[key] for key in list(row)[:7]} for row in rows]
    assert plots.ratio_points(old, old[0]) == (2, 1, 6, [], False)


NEAR, FAR = (92, 95), (431, 440)


@pytest.mark.parametrize("windows, usual, states", [
    ([NEAR, NEAR, NEAR], 93.5, ["usual", "usual", "usual"]),
    ([FAR, NEAR, NEAR], 93.5, ["farther", "usual", "usual"]),
    ([NEAR, FAR, FAR], 435.5, ["nearer", "usual", "usual"]),
    ([NEAR, (95, 430), NEAR], 95, ["usual", "changed", "usual"]),
    ([(260, 320), (262, 265), (300, 259)], 263.5, ["usual", "usual", "usual"]),
    ([NEAR, (None, 93), (None, None)], 93, ["usual", "unknown", "unknown"]),
    ([(None, None)], None, ["unknown"]),
    ([], None, []),
])
def test_windows_are_told_apart_by_the_distance_of_their_cores(windows, usual, states):
    assert distance.states(windows) == (usual, states)


def test_distances_are_summed_up_in_words():
    assert distance.summary([NEAR, NEAR, FAR]) == "92 to 440 ns apart, usually 94; not so in 1 of 3"
    assert distance.summary([(None, None)]) == "not measured"


def test_systems_are_compared_in_a_state_that_all_were_measured_in():
    assert distance.counted([["usual", "farther"], ["farther", "usual"]]) == "usual"
    assert distance.counted([["farther", "usual"], ["farther", "farther"], []]) == "farther"
    assert distance.counted([["changed"], ["changed", "nearer"]]) == "nearer"
    assert distance.counted([["changed"], ["changed"]]) == "changed"
    assert distance.counted([[], []]) == "unknown"


def test_a_rate_is_of_the_windows_in_one_state_and_the_others_are_told():
    samples = {("ringloop-kvm", "tx", 64): [20, 5, 22], ("dpdk-split", "tx", 64): [10, 10, 4]}
    cores = {("ringloop-kvm", "tx", 64): [NEAR, FAR, NEAR], ("dpdk-split", "tx", 64): [NEAR, NEAR, FAR]}
    rows = report.summarize(samples, cores)
    ours, peer = rows
    assert (ours["mpps_min"], ours["mpps_median"], ours["mpps_max"], ours["cores"]) == (20, 21, 22, "usual")
    assert (peer["mpps_median"], ours["ratio_to_best_dpdk"]) == (10, 2.1)
    assert report.paired_ratios(rows, ours) == [(2, "usual")]
    assert ours["cores_ns_before"] == [92, 431, 92] and ours["mpps_rounds"] == [20, 5, 22]
    assert report.cores_ns(ours) == ["94", "1 farther"]
    line = report.rate_table(rows, {("tx", 64): 64}, {}).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[-3:-1]] == ["94", "1 farther"]


def test_where_a_system_has_no_window_in_the_usual_state_another_counts_for_all():
    ours, peer, elsewhere = ("ringloop-kvm", "tx", 64), ("dpdk-split", "tx", 64), ("dpdk-split", "rx", 64)
    rows = report.summarize({ours: [20, 5], peer: [4, 4], elsewhere: [8, 8]},
                            {ours: [NEAR, FAR], peer: [FAR, FAR], elsewhere: [NEAR, NEAR]})
    assert [row["mpps_median"] for row in rows] == [5, 4, 8]
    assert report.cores_ns(rows[0]) == ["436 farther", "1 usual"]
    line = report.short_table(rows).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["tx 64 (cores farther)", "5.0", "4.0", "dpdk-split", "1.25"]


def kv_result(rate, p50_ms, cycles, cores_ns=NEAR):
    latencies = {"p50.00": p50_ms, "p99.00": 2 * p50_ms, "p99.90": 3 * p50_ms}
    totals = {"Ops/sec": rate, "Percentile Latencies": latencies}
    return {"ALL STATS": {"Totals": totals}, "cores": 1.0, "cycles": cycles, "cores_ns": cores_ns,
            "kvload": {"busy_share": 0.5, "server_idle_share": 0.1}}


def test_rows_of_the_key_value_table_are_medians():
    full = {("ringloop-kvm", "x"): [kv_result(rate, 1, 100) for rate in (8e6, 2e6, 9e6)], ("dpdk", "x"): []}
    full["ringloop-kvm", "x"].append(kv_result(1e6, 1, 900, FAR))
    half = {("ringloop-kvm", "x"): [kv_result(4e6, ms, 100) for ms in (0.02, 0.01, 0.9)], ("dpdk", "x"): []}
    ours, peer = report.kv_rows(full, half, lambda result: result["cycles"])
    assert dict(list(ours.items())[:9]) == {
        "system": "ringloop-kvm", "load": "x", "reqs_per_s_median": 8e6, "reqs_per_s_min": 2e6,
        "reqs_per_s_max": 9e6, "cycles_per_req": 100, "p50_us": 20, "p99_us": 40, "p999_us": 60,
    }
    assert (ours["server_cores"], ours["server_idle_share"], ours["kvload_busy_share"]) == (1, 0.1, 0.5)
    assert ours["reqs_per_s_rounds"] == [8e6, 2e6, 9e6, 1e6] and ours["cores_rounds"][-1] == "farther"
    assert list(peer) == list(ours) and all(value in (None, []) for value in list(peer.values())[2:])
    table = report.kv_table([ours, peer], "ringloop-kvm")
    assert "x dpdk" in table and "not run" in table and "8.000" in table and "1 farther" in table


PINGED = """PING 10.0.2.15 (10.0.2.15) 56(84) bytes of data.
64 bytes from 10.0.2.15: icmp_seq=1 ttl=64 time=0.074 ms
64 bytes from 10.0.2.15: icmp_seq=2 ttl=64 time=12.5 ms
64 bytes from 10.0.2.15: icmp_seq=2 ttl=64 time=99.9 ms (DUP!)
From 10.0.2.1 icmp_seq=3 Destination Host Unreachable
"""


def test_first_answers_of_ping_are_read():
    assert report.ping_times_us(PINGED) == [74, 12500]


def test_the_latency_table_has_medians_their_spread_and_the_difference_to_poll():
    stats = report.latency_stats(list(range(200, 0, -1)), 203)
    assert stats == {"min": 1, "avg": 100.5, "p50": 101, "p99": 199, "max": 200, "lost": 3}
    names = ["ringloop-kvm-poll", "ringloop-kvm-auto", "linux-kvm"]
    samples = {("idle", name, "processor", "% of a core"): [0.5] for name in names}
    for name, rounds in zip(names, ([10, 30, 20], [50, 60, 70], [600, 500, 400])):
        samples.update({("ping", name, value, "us"): rounds for value in report.LATENCY_STATS})
    rows = report.latency_rows(samples, names)
    assert [row["rounds"] for row in rows if row["measure"] == "ping"][0] == [10, 30, 20]
    assert [row["system"] for row in rows if row["measure"] == "idle"] == names
    poll, auto, linux = [line for line in report.latency_tables(rows).splitlines() if line.startswith("| ping ")]
    assert "20 (10-30)" in poll and poll.split("|")[-2].strip() == ""
    assert auto.split("|")[-2].strip() == "+40"
    assert "500 (400-600)" in linux and linux.split("|")[-2].strip() == ""


def test_only_the_text_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x begin -->\nold\n<!-- x end -->\nafter\n")
    report.replace_between(page, "x", "new\n")
    assert page.read_text() == "before\n<!-- x begin -->\n\nnew\n\n<!-- x end -->\nafter\n"
    with pytest.raises(ValueError):
        report.replace_between(page, "y", "new")


@pytest.mark.parametrize("limit", [0, 999, 1000, 5000, 123456, 39999999, 40000000])
def test_bisection_finds_the_highest_rate_that_passes(limit):
    asked = []

    def passes(rate):
        asked.append(rate)
        return rate <= limit

    found = trials.bisect(passes, 1000, 40000000, 0.01)
    if limit < 1000:
        assert found == 0
    else:
        assert limit * 0.985 <= found <= limit
    assert len(asked) < 40


def test_a_trial_is_read_from_a_programs_json():
    said = """pktgen: ready
{"seconds":2.0,"tx":{"packets":2000},"sequence":{"lost":3,"reordered":1,"duplicates":0},"latency_ns":{"p50":7}}
Ringloop: exit 0.
"""
    trial = trials.parse(said)
    assert (trial.rate, trial.sent, trial.lost, trial.reordered) == (1000, 2000, 3, 1)
    assert trial.latency_ns["p50"] == 7
    with pytest.raises(trials.SystemGone, match="no device"):
        trials.parse("panic: no device\n")


def bench(script, *words, **environment):
    return subprocess.run(
        [ROOT / "bench" / script, *words],
        env=dict(os.environ, **environment),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )


@pytest.mark.parametrize(
    "script",
    ["account", "boot", "console", "driver", "hitrate", "latency", "paced", "pktgen", "profile", "soak", "udpkv", "xen",
     "zero-loss"],
)
def test_help_and_usage(script):
    assert bench(script, "--help").returncode == 0
    done = bench(script, "--nonsense", "--no-install")
    assert done.returncode == 2
    assert "--nonsense" in done.stdout


@pytest.mark.parametrize("script", ["boot", "growth", "latency", "pktgen", "udpkv", "xen"])
def test_the_page_shows_only_what_is_kept(script, tmp_path):
    page = ROOT / "docs" / ("deploying.md" if script == "boot" else "performance.md")
    before = page.read_bytes()
    assert b"<!-- bench/%s begin -->" % script.encode() in before
    done = bench(script, "--page", "--quick", "--no-install", f"--results={tmp_path}")
    assert done.returncode == 2 and "--results bench/results" in done.stdout
    assert page.read_bytes() == before


def test_pictures_are_drawn_from_what_is_stored(tmp_path):
    if subprocess.run(["/usr/bin/python3", "-c", "import matplotlib"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("there is no python3-matplotlib, which measuring needs and testing doesn't")
    for name in plots.PICTURES:
        for ending in (".json", ".md"):
            (tmp_path / (name + ending)).write_bytes((report.KEPT / (name + ending)).read_bytes())
        done = bench("plot", str(tmp_path / f"{name}.json"))
        assert done.returncode == 0, done.stdout
        picture = (tmp_path / f"{name}.svg").read_text()
        for fact in ("processor", "date", "ringloop"):
            assert origin.facts_of(tmp_path / f"{name}.md")[fact] in picture
        systems = {row["system"] for row in json.loads((tmp_path / f"{name}.json").read_text())}
        assert all(system in picture for system in systems if not system.startswith("dpdk-"))


def test_a_picture_needs_a_result_and_its_head(tmp_path):
    done = bench("plot", str(tmp_path / "soak.json"))
    assert done.returncode == 2 and "no picture for soak.json" in done.stdout
    (tmp_path / "pktgen.json").write_text("[]")
    done = bench("plot", str(tmp_path / "pktgen.json"))
    assert done.returncode == 2 and "there is no" in done.stdout and "pktgen.md" in done.stdout


def test_the_distance_between_two_processors_is_measured(make):
    status, said = make(distance.TARGET)
    assert status == 0, said
    processors = sorted(os.sched_getaffinity(0))
    for words, said in ((["0"], "usage"), (["x", "1"], "x is no processor"), (["1", "1"], "is one processor")):
        done = subprocess.run([distance.PROGRAM, *words], capture_output=True, text=True)
        assert done.returncode == 2 and said in done.stderr
    if len(processors) < 2:
        pytest.skip("a distance is between two processors, and here is one")
    found = distance.now_ns()
    if found is None:  # other programs have these cores at this time
        assert "other programs take processors" in distance.problems[-1]
    else:
        assert 10 < found < 10_000


@pytest.mark.testpmd
def test_a_short_run_has_a_row_for_everything(tmp_path):
    done = bench("pktgen", "--no-build", "--no-install", "--systems=dpdk-split,ringloop",
                 "--rounds=1", "--window=0.1", f"--results={tmp_path}", QUICK="1")
    installed = subprocess.run([ROOT / "tests/install", "bench", "--no-install"], stderr=subprocess.DEVNULL)
    if installed.returncode != 0:  # measuring needs packages that testing doesn't
        assert done.returncode == 2
        assert "apt-get install" in done.stdout
        return
    assert done.returncode == 0, done.stdout
    rows = json.loads((tmp_path / "pktgen.json").read_text())
    assert re.search(r"^\| ringloop-\S+ +\|( +\d+\.\d \|)+$", (tmp_path / "pktgen.md").read_text(), re.M)
    assert (tmp_path / "pktgen.svg").exists()
    systems = {row["system"] for row in rows}
    assert "dpdk-split" in systems and len(systems) == 4
    assert len(rows) == 3 * len(systems)
    for row in rows:
        if row["mpps_median"] is None:
            assert f"{row['system']} didn't run: " in done.stdout
        else:
            assert 0 < row["mpps_min"] <= row["mpps_median"] <= row["mpps_max"] < 1000
            assert len(row["mpps_rounds"]) == len(row["cores_ns_before"]) == len(row["cores_ns_after"]) == 1
    assert any(row["mpps_median"] for row in rows if row["system"] == "dpdk-split")
    assert (tmp_path / "pktgen.csv").read_text().count("\n") == len(rows) + 1


@pytest.mark.testpmd
def test_profile_shows_both_sides(tmp_path):
    for _ in range(3):  # a busy machine may leave too few samples
        done = bench("profile", "--no-build", "--no-install", "--quick", "--directions=rx",
                     f"--results={tmp_path}")
        if done.returncode == 2:  # measuring needs packages that testing doesn't
            assert "apt-get install" in done.stdout
            return
        assert done.returncode == 0, done.stdout
        text = (tmp_path / "profile.md").read_text()
        if "virtio_net_rx_burst" in text:
            break
    assert "virtio_net_rx_burst" in text and "librte_vhost" in text


@pytest.mark.testpmd
@pytest.mark.parametrize("option", ["--count=1000000", "--lossy"])
def test_every_one_of_a_million_packets_is_accounted_for(tmp_path, option):
    done = bench("account", "--no-build", "--no-install", "--quick", option, f"--results={tmp_path}")
    assert done.returncode == 0, done.stdout
    rows = json.loads((tmp_path / "account.json").read_text())
    assert [row["run"] for row in rows] == ["image to linux", "linux to image", "linux and back"]
    for row in rows:
        dropped = row["dropped_by_testpmd"] + row["dropped_by_image"]
        assert row["sent"] == 1000000 == row["received"] + dropped
        assert row["unexplained"] == row["reordered"] == row["duplicates"] == 0
        assert row["lost_by_numbers"] <= dropped
        assert option == "--lossy" or dropped < 1000  # a stalled machine's: the image waits 100 ms


def test_memcached_in_a_linux_guest_is_measured_beside_the_image(make, tmp_path):
    status, said = make("kvload")
    assert status == 0, said
    done = bench("udpkv", "--no-build", "--no-install", "--quick", "--loads=tap", "--systems=tcg-tap",
                 "--rounds=1", "--window=0.3", f"--results={tmp_path}")
    if done.returncode == 2:  # measuring needs packages that testing doesn't
        assert "apt-get install" in done.stdout
        return
    if os.geteuid() != 0:
        assert done.returncode == 1 and "takes root" in done.stdout
        return
    if "no network namespace" in done.stdout or "ip tuntap" in done.stdout:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
    rows = json.loads((tmp_path / "udpkv.json").read_text())
    assert [row["system"] for row in rows] == ["linux-tcg-tap", "ringloop-tcg-tap"]
    for row in rows:
        assert row["reqs_per_s_median"] and len(row["reqs_per_s_rounds"]) == 1, done.stdout


def test_latency_has_rows_for_ours_and_for_linux(tmp_path):
    done = bench("latency", "--no-build", "--no-install", "--quick", "--accel=tcg", "--systems=ringloop,linux",
                 "--pings=10", "--floods=100", "--idle=0.5", f"--results={tmp_path}")
    if os.geteuid() != 0:
        assert done.returncode == 1 and "Run it as root." in done.stdout
        return
    if "no network namespace" in done.stdout or "ip tuntap" in done.stdout:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
    rows = json.loads((tmp_path / "latency.json").read_text())
    names = ["ringloop-tcg-poll", "ringloop-tcg-intr", "ringloop-tcg-auto", "linux-tcg"]
    for measure in ("ping", "flood", "loaded", "get"):
        for name in names if measure != "get" else names[:-1]:
            seen = {row["value"]: row["median"] for row in rows if (row["measure"], row["system"]) == (measure, name)}
            assert 0 < seen["min"] <= seen["p50"] <= seen["p99"] <= seen["max"], (measure, name)
    idle = {row["system"]: row["median"] for row in rows if row["value"] == "processor"}
    assert list(idle) == names
    interrupts = {row["system"]: row["median"] for row in rows
                  if (row["measure"], row["value"]) == ("flood", "interrupts")}
    assert list(interrupts) == names[:-1]
    assert interrupts["ringloop-tcg-poll"] == 0 < interrupts["ringloop-tcg-intr"]
    assert max(idle["linux-tcg"], idle["ringloop-tcg-auto"]) < idle["ringloop-tcg-poll"]
    assert (tmp_path / "latency.csv").read_text().count("\n") == len(rows) + 1
    assert re.search(r"^- cores: (not measured|\d+ to \d+ ns apart)", (tmp_path / "latency.md").read_text(), re.M)


def growth_row(system, keys, offload, chase):
    return {"axis": "keys", "system": system, "keys": keys, "pages": "2 MiB", "offload_rounds": offload,
            "chase_rounds": chase, "offload_median": offload[0], "chase_median": chase[0]}


def test_growth_compares_ten_million_keys_with_one_million_in_each_round():
    rows = [growth_row("ringloop-linux", 1000000, [300, 600, 300], [200, 400, 200]),
            growth_row("ringloop-linux", 10000000, [360, 660, 450], [250, 500, 250]),
            growth_row("ringloop-kvm", 1000000, [300], [200])]
    (told,) = report.growth_ratios(rows)
    assert told.startswith("ringloop-linux, pages of 2 MiB: ")
    assert "takes 1.20 times (1.10 to 1.50, round by round)" in told and told.endswith("chase 1.25 times.")
    assert report.growth_short_table(rows).splitlines()[-1].split("|")[5].strip() == ""  # not measured


def test_growth_has_a_point_for_each_axis(tmp_path):
    done = bench("growth", "--no-build", "--no-install", "--quick", "--keys=1000", "--axes", "keys", "burst",
                 "--systems", "ringloop-linux", f"--results={tmp_path}")
    if done.returncode == 2:  # measuring needs packages that testing doesn't
        assert "apt-get install" in done.stdout
        return
    assert done.returncode == 0, done.stdout
    rows = json.loads((tmp_path / "growth.json").read_text())
    assert [(row["axis"], row["keys"], row["burst"]) for row in rows] == [
        ("keys", 1000, 32), ("burst", 1000, 1), ("burst", 1000, 64)]
    for row in rows:
        assert row["memory_bytes"] > 1 << 20 and row["pages"], row
        for what in ("offload", "software", "chase"):
            assert row[f"{what}_median"] > 0 and len(row[f"{what}_rounds"]) == 1, row
    assert len(re.findall(r"ringloop-linux +\|", (tmp_path / "growth.md").read_text())) == 3
