# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of measurements: medians, tables, CSV, JSON, a plot, and the machine they are from."""

import csv
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
LINKS_GBPS = (10, 25, 40, 100)
# Besides the frame a link carries its CRC (4), the preamble (8) and the gap between frames (12).
WIRE_OVERHEAD_BYTES = 4 + 8 + 12
PEER_PREFIX = "dpdk-"


def line_rate_mpps(frame_bytes, link_gbps):
    """How many frames a second fill a link; frame_bytes has no CRC in it, as testpmd counts."""
    return link_gbps * 1e3 / ((frame_bytes + WIRE_OVERHEAD_BYTES) * 8)


def summarize(samples):
    """Rows for the JSON file from {(system, direction, size): [mpps, ...]}.

    ratio_to_best_dpdk compares medians of one direction and size. Where there is nothing to
    divide, be it that a system didn't run or that no DPDK variant did, a number is None.
    """
    medians = {key: statistics.median(values) for key, values in samples.items() if values}
    rows = []
    for (system, direction, size), values in samples.items():
        rivals = [
            median
            for (name, *where), median in medians.items()
            if name.startswith(PEER_PREFIX) and where == [direction, size] and median > 0
        ]
        median = medians.get((system, direction, size))
        rows.append(
            {
                "system": system,
                "direction": direction,
                "size_bytes": size,
                "mpps_median": rounded(median),
                "mpps_min": rounded(min(values, default=None)),
                "mpps_max": rounded(max(values, default=None)),
                "ratio_to_best_dpdk": rounded(
                    median / max(rivals) if rivals and median is not None else None
                ),
            }
        )
    return rows


def paired_ratio(samples, key):
    """The median over the rounds of a system's rate to that of the best DPDK variant in the same
    round. Unlike the ratio of medians it doesn't suffer when the machine changes its speed in the
    middle. None if there is nothing to compare."""
    system, *where = key
    peers = {k: v for k, v in samples.items() if k[0].startswith(PEER_PREFIX) and list(k[1:]) == where and v}
    if not peers or not samples[key]:
        return None
    best = max(peers.values(), key=statistics.median)
    return statistics.median(ours / theirs for ours, theirs in zip(samples[key], best))


def rounded(value):
    return None if value is None else round(value, 3)


def markdown(header, rows):
    """A table that reads well as text, too. The first column is left-aligned, the others right."""
    table = [header, *rows]
    widths = [max(len(str(row[i])) for row in table) for i in range(len(header))]

    def line(cells):
        first, *rest = [str(cell) for cell in cells]
        padded = [first.ljust(widths[0])] + [c.rjust(w) for c, w in zip(rest, widths[1:])]
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join(["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]) + " |"
    return "\n".join([line(header), rule, *map(line, rows)])


def rate_table(rows, samples, frame_bytes, failures):
    """The table of bench/pktgen. samples: as for summarize(). frame_bytes: the mean frame that was
    measured, by (direction, size)."""
    header = ["direction, size, system", "Mpps", "min", "max", "of best DPDK", "round by round"]
    header += [f"{gbps} GbE" for gbps in LINKS_GBPS]
    lines = []
    for row in rows:
        size = row["size_bytes"]
        name = f"{row['direction']} {size} {row['system']}"
        if row["mpps_median"] is None:
            why = "not run: see below" if row["system"] in failures else "not run"
            lines.append([name, why, *[""] * (len(header) - 2)])
            continue
        ratio = row["ratio_to_best_dpdk"]
        cells = [f"{row[key]:.2f}" for key in ("mpps_median", "mpps_min", "mpps_max")]
        paired = paired_ratio(samples, (row["system"], row["direction"], size))
        cells += ["" if value is None else f"{value:.2f}" for value in (ratio, paired)]
        for gbps in LINKS_GBPS:
            share = row["mpps_median"] / line_rate_mpps(frame_bytes[row["direction"], size], gbps)
            cells.append(f"{share:.0%}")
        lines.append([name, *cells])
    return markdown(header, lines)


def interrupt_table(rates, directions):
    """Interrupts a second of those who tell them: rates[system, direction], None where one didn't."""
    def cell(rate):
        return "?" if rate is None else f"{rate:.1f}"

    names = dict.fromkeys(name for name, _ in rates)
    lines = [[name, *(cell(rates.get((name, direction))) for direction in directions)] for name in names]
    return markdown(["interrupts/s while measured", *directions], lines)


def short_table(rows, sizes, systems):
    """For the README: a line a direction and size; ours, DPDK's best, and the ratio."""
    ours = [name for name in systems if not name.startswith(PEER_PREFIX)]
    header = ["direction, frame", *[f"{name} Mpps" for name in ours], "best of DPDK Mpps", "its driver"]
    header += [f"{name} / best" for name in ours]
    by_key = {(r["direction"], r["size_bytes"], r["system"]): r for r in rows}
    lines = []
    for direction in dict.fromkeys(r["direction"] for r in rows):
        for size in sizes:
            of = {name: by_key.get((direction, size, name)) for name in systems}
            rates = {n: r["mpps_median"] for n, r in of.items() if r and r["mpps_median"] is not None}
            peers = {name: rate for name, rate in rates.items() if name.startswith(PEER_PREFIX)}
            best = max(peers, key=peers.get, default=None)
            cells = [f"{rates[n]:.1f}" if n in rates else "not run" for n in ours]
            cells += [f"{peers[best]:.1f}", best] if best else ["not run", ""]
            cells += [f"{rates[n] / peers[best]:.2f}" if best and n in rates else "" for n in ours]
            lines.append([f"{direction} {size}", *cells])
    return markdown(header, lines)


# --- bench/udpkv: results are kvload's, {(system, load): [result, ...]} ------------------------------


def kv_rows(full, half, cycles_of):
    """Rows for the JSON file. full: as fast as it goes, half: at half of that. cycles_of(None, result)
    gives the server's cycles a request. What didn't run has None for numbers."""
    rows = []
    for (system, load), results in full.items():
        rates = [result["ALL STATS"]["Totals"]["Ops/sec"] for result in results]
        paced = [result["ALL STATS"]["Totals"]["Percentile Latencies"] for result in half[system, load]]
        row = {"system": system, "load": load}
        row["reqs_per_s_median"] = rounded(statistics.median(rates) if rates else None)
        row["reqs_per_s_min"] = rounded(min(rates, default=None))
        row["reqs_per_s_max"] = rounded(max(rates, default=None))
        cycles = [cycles_of(None, result) for result in results]
        row["cycles_per_req"] = rounded(statistics.median(cycles) if cycles else None)
        for name, key in (("p50_us", "p50.00"), ("p99_us", "p99.00"), ("p999_us", "p99.90")):
            row[name] = rounded(statistics.median(p[key] for p in paced) * 1000 if paced else None)
        rows.append(row)
    return rows


def kv_about(full):
    """{(system, load): (cores that the server kept busy, its idle share, kvload's busy share)}, medians."""

    def median(results, pick):
        return statistics.median(map(pick, results))

    return {
        key: (
            median(results, lambda r: r["cores"]),
            median(results, lambda r: r["kvload"].get("server_idle_share", 1 - min(r["cores"], 1))),
            median(results, lambda r: r["kvload"]["busy_share"]),
        )
        for key, results in full.items()
        if results
    }


def kv_table(rows, about, ours=None):
    """The table of bench/udpkv; with `ours` a column says how many times each that one is."""
    header = ["load, system", "million/s", "min", "max", "cycles", "p50 us", "p99 us", "p99.9 us", "cores"]
    header += ["idle", "kvload busy"] + ([f"{ours} is times"] if ours else [])
    rates = {(row["load"], row["system"]): row["reqs_per_s_median"] for row in rows}
    lines = []
    for row in rows:
        name = f"{row['load']} {row['system']}"
        if row["reqs_per_s_median"] is None:
            lines.append([name, "not run", *[""] * (len(header) - 2)])
            continue
        cells = [f"{row[key] / 1e6:.3f}" for key in ("reqs_per_s_median", "reqs_per_s_min", "reqs_per_s_max")]
        cells += [f"{row['cycles_per_req']:.0f}"]
        cells += [f"{row[key]:.1f}" for key in ("p50_us", "p99_us", "p999_us")]
        cores, idle, busy = about[row["system"], row["load"]]
        cells += [f"{cores:.2f}", f"{idle:.0%}", f"{busy:.0%}"]
        if ours:
            best = rates.get((row["load"], ours))
            cells.append(f"{best / row['reqs_per_s_median']:.1f}" if best else "")
        lines.append([name, *cells])
    return markdown(header, lines)


# --- bench/latency: samples are {(measure, system, value, unit): [a number a round]} ----------------

LATENCY_STATS = ("min", "avg", "p50", "p99", "max", "lost")


def ping_times_us(output):
    """The round trips that iputils' ping tells, a line each; second answers to one echo are left out."""
    return [float(ms) * 1000 for ms in re.findall(r"icmp_seq=\d+ .*time=([\d.]+) ms$", output, re.M)]


def latency_stats(times_us, sent):
    """LATENCY_STATS of the answers that came; at least one did."""
    times, n = sorted(times_us), len(times_us)
    values = times[0], sum(times) / n, times[n // 2], times[n * 99 // 100], times[-1], sent - n
    return dict(zip(LATENCY_STATS, values))


def latency_rows(samples, systems):
    """A row a measure, system and value; measures together, systems in their order."""
    rows = [
        {"measure": measure, "system": system, "value": value, "unit": unit,
         "median": rounded(statistics.median(seen)), "lowest": rounded(min(seen)), "highest": rounded(max(seen))}
        for (measure, system, value, unit), seen in samples.items()
    ]
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    return sorted(rows, key=lambda row: (measures.index(row["measure"]), systems.index(row["system"])))


def with_spread(row, digits=0):
    """The median; the lowest and the highest round beside it if they differ."""
    if row is None:
        return ""
    median, low, high = (f"{row[key]:.{digits}f}" for key in ("median", "lowest", "highest"))
    return median if low == high else f"{median} ({low}-{high})"


def latency_tables(rows):
    """The latencies, with how much later than in poll mode the median is; what idling costs, how many
    interrupts udpkv took, and what became of the load."""
    by = {(row["measure"], row["system"], row["value"]): row for row in rows}
    lines = []
    for measure, system in dict.fromkeys((m, s) for m, s, value in by if value == "p50"):
        cells = [with_spread(by[measure, system, value]) for value in LATENCY_STATS]
        poll = by.get((measure, re.sub("-(intr|auto)$", "-poll", system), "p50"))
        if poll and poll["system"] != system:
            cells.append(f"{by[measure, system, 'p50']['median'] - poll['median']:+.0f}")
        lines.append([f"{measure} {system}", *cells, ""][: len(LATENCY_STATS) + 2])
    header = [f"{value} us" for value in LATENCY_STATS[:-1]] + ["lost", "p50 beyond poll's us"]
    first = markdown(["", *header], lines)
    columns = [("idle", "processor", 2, "idle: % of a core"), ("idle", "interrupts", 0, "interrupts/s: idle")]
    columns += [(measure, "interrupts", 0, measure) for measure in ("ping", "flood", "loaded")]
    columns += [("loaded", "taken", 0, "load: packets/s taken"), ("loaded", "load_lost", 2, "lost %")]
    lines = [
        [system, *(with_spread(by.get((measure, system, value)), digits) for measure, value, digits, _ in columns)]
        for system in dict.fromkeys(row["system"] for row in rows if row["measure"] == "idle")
    ]
    second = markdown(["", *(title for *_, title in columns)], lines)
    return f"{first}\n\n{second}"


# --- plots and the machine ------------------------------------------------------------------------


def plot_bars(path, rows, title):
    """A bar a system for every load, by gnuplot, on a logarithmic scale. Returns why not, if not."""
    if not shutil.which("gnuplot"):
        return "There is no gnuplot, so there is no plot. Install it: tests/install bench"
    names = list(dict.fromkeys(row["system"] for row in rows))
    loads = list(dict.fromkeys(row["load"] for row in rows))
    rates = {(row["load"], row["system"]): row["reqs_per_s_median"] for row in rows}
    if not any(rates.values()):
        return "Nothing ran, so there is no plot."
    data = [" ".join(["load", *names])]
    data += [" ".join([load, *(str(rates.get((load, name)) or "?") for name in names)]) for load in loads]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        file.write_text("\n".join(data) + "\n")
        script = [
            f"set terminal svg size {300 + 160 * len(loads)},460 background '#ffffff' font 'sans,11'",
            f"set output '{path}'; set title '{title}'; set style data histograms; set style fill solid 0.8",
            "set logscale y; set yrange [1e4:*]; set format y '10^{%T}'; set grid ytics; set ylabel 'requests/s'",
            "set key outside right font ',9'; set xtics rotate by -30; set datafile missing '?'",
            "plot " + ", ".join(
                f"'{file}' using {i + 2}:xtic(1) title '{name}' lc {i + 1}" for i, name in enumerate(names)
            ),
        ]
        done = subprocess.run(["gnuplot"], input="\n".join(script), text=True, capture_output=True)
    return f"gnuplot failed: {done.stderr.strip()}" if done.returncode else None


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path, data):
    path.write_text(json.dumps(data, indent=1) + "\n")


def plot(path, rows, sizes, systems, title):
    """Rate by frame size, a panel a direction, by gnuplot. Returns why not, if it can't be drawn."""
    if not shutil.which("gnuplot"):
        return "There is no gnuplot, so there is no plot. Install it: tests/install bench"
    directions = list(dict.fromkeys(row["direction"] for row in rows))
    rates = {(r["direction"], r["size_bytes"], r["system"]): r for r in rows}
    script = [
        f"set terminal svg size {360 * len(directions) + 80},420 background '#ffffff' font 'sans,11'",
        f"set output '{path}'",
        f"set multiplot layout 1,{len(directions)} title '{title}'",
        "set style data linespoints; set grid ytics; set yrange [0:*]; set ylabel 'Mpps'",
        "set xlabel 'frame (bytes)'; set key bottom left font ',8'; set xtics rotate by -45",
        f"set xrange [-0.3:{len(sizes) - 0.7}]",
        "set xtics (" + ", ".join(f"'{size}' {i}" for i, size in enumerate(sizes)) + ")",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for direction in directions:
            curves = []
            for number, system in enumerate(systems):
                points = []
                for i, size in enumerate(sizes):
                    row = rates.get((direction, size, system))
                    if row and row["mpps_median"] is not None:
                        points.append(f"{i} {row['mpps_median']} {row['mpps_min']} {row['mpps_max']}")
                if points:
                    data = Path(folder) / f"{direction}-{number}"
                    data.write_text("\n".join(points) + "\n")
                    wide = 1 if system.startswith(PEER_PREFIX) else 2.5
                    look = f"lc {number + 1} lw {wide} pt {number + 4} ps 0.6"
                    curves.append(f"'{data}' using 1:2 title '{system}' {look}")
                    curves.append(f"'{data}' using 1:2:3:4 with yerrorbars notitle {look}")
            if curves:
                script += [f"set title '{direction}'", "plot " + ", ".join(curves)]
        done = subprocess.run(["gnuplot"], input="\n".join(script), text=True, capture_output=True)
    return f"gnuplot failed: {done.stderr.strip()}" if done.returncode else None


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "")


def machine():
    """The machine and the versions that a result depends on, as (name, text)."""
    cpu = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
    commit = "a tree without its history"
    if shutil.which("git") and (ROOT / ".git").exists():
        git = ("git", "-C", str(ROOT))
        commit = first_line(*git, "log", "-1", "--format=%h %cs")
        if first_line(*git, "status", "--porcelain", "--", "src", "bench/*.py"):
            commit += " and changes that aren't committed"
    packages = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", "dpdk-dev", "gcc", "qemu-system-x86"],
        capture_output=True,
        text=True,
    ).stdout.strip(", ")
    load = os.getloadavg()[0]
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", f"{cpu}, {os.cpu_count()} processors"),
        ("kernel", platform.release()),
        ("packages", packages),
        ("ringloop", commit),
        ("load before", f"{load:.2f}" + (" (not a quiet machine)" if load > 0.5 else "")),
    ]


def replace_between(path, marker, text):
    """Rewrites the part of a file between two marker comments; the README's tables are such."""
    begin, end = f"<!-- {marker} begin -->", f"<!-- {marker} end -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path.name} has no '{begin}' ... '{end}'")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
