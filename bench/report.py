# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of measurements: medians, tables, CSV, JSON."""

import csv
import json
import re
import statistics
from pathlib import Path

import distance

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"
KEPT = ROOT / "bench" / "results"  # what is committed
PAGE = ROOT / "docs" / "performance.md"
LINKS_GBPS = (10, 25, 40, 100)
# Besides the frame a link carries its CRC (4), the preamble (8) and the gap between frames (12).
WIRE_OVERHEAD_BYTES = 4 + 8 + 12
OURS_PREFIX, PEER_PREFIX, IDEAL_PREFIX = "ringloop-", "dpdk-", "ideal-"


def line_rate_mpps(frame_bytes, link_gbps):
    """How many frames a second fill a link; frame_bytes has no CRC in it, as testpmd counts."""
    return link_gbps * 1e3 / ((frame_bytes + WIRE_OVERHEAD_BYTES) * 8)


def summarize(samples, cores=None):
    """Rows for the JSON file.

    samples     {(system, direction, size): [mpps of each round]}
    cores       {the same: [(ns before, ns after) of each round]}, how far apart the cores were; None for a
                window in which other programs had a part of the vhost side's core

    The numbers are of the windows in one state (distance.py), which a row names; all windows are in
    mpps_rounds. ratio_to_best_dpdk compares medians of one direction and size, share_of_ideal is the median
    of the ratios round by round. Where there is nothing to divide, be it that a system didn't run or that no
    DPDK variant did, a number is None.
    """
    if cores is None:
        cores = {key: [(None, None)] * len(values) for key, values in samples.items()}
    _, states = distance.states_by_key(cores)
    state_of = {where: distance.counted([states[key] for key in samples if key[1:] == where])
                for where in {key[1:] for key in samples}}
    rows = []
    for key, values in samples.items():
        system, direction, size = key
        state = state_of[direction, size]
        seen = distance.in_state(values, states[key], state)
        rows.append(
            {
                "system": system,
                "direction": direction,
                "size_bytes": size,
                "mpps_median": rounded(statistics.median(seen) if seen else None),
                "mpps_min": rounded(min(seen, default=None)),
                "mpps_max": rounded(max(seen, default=None)),
                "ratio_to_best_dpdk": None,
                "cores": state if state in states[key] else distance.CHANGED if seen else None,
                "mpps_rounds": [rounded(value) for value in values],
                "cores_rounds": states[key],
                "cores_ns_before": [window and window[0] for window in cores[key]],
                "cores_ns_after": [window and window[1] for window in cores[key]],
                "share_of_ideal": None,
            }
        )
    for row in rows:
        best = best_peer(rows, row)
        if best and row["mpps_median"] is not None:
            row["ratio_to_best_dpdk"] = rounded(row["mpps_median"] / best["mpps_median"])
        row["share_of_ideal"] = rounded(paired_ratio(rows, row, ideal))
    return rows


def best_peer(rows, row):
    """The row of the DPDK variant with the highest median at the same direction and size, or None."""
    place = row["direction"], row["size_bytes"]
    peers = [r for r in rows if r["system"].startswith(PEER_PREFIX) and (r["direction"], r["size_bytes"]) == place]
    return max((r for r in peers if r["mpps_median"]), key=lambda r: r["mpps_median"], default=None)


def ideal(rows, row):
    """The row of the ideal front end at the same direction and size that runs as this system does, as an
    image or as a process; None for an ideal one itself, or if there was none."""
    where = row["system"].removeprefix(OURS_PREFIX).removesuffix("-poll")
    name = IDEAL_PREFIX + ("linux" if row["system"].startswith(PEER_PREFIX) else where)
    return next((r for r in rows if r["system"] == name and r["mpps_median"]
                 and (r["direction"], r["size_bytes"]) == (row["direction"], row["size_bytes"])), None)


def paired_ratios(rows, row, to=best_peer):
    """[(ratio, state)]: in each round a system's rate to that of the best DPDK variant, or of to(rows, row),
    where both windows were in one state. Unlike the ratio of medians these don't suffer when the machine
    changes its speed in the middle. Empty if there is nothing to compare."""
    best = to(rows, row)
    if not best or not row.get("mpps_rounds"):
        return []
    rounds = zip(row["mpps_rounds"], best["mpps_rounds"], row["cores_rounds"], best["cores_rounds"])
    return [(ours / theirs, state) for ours, theirs, state, other in rounds
            if state == other and state not in (distance.CHANGED, distance.DISTURBED) and theirs > 0]


def counted_ratios(rows, row, to=best_peer):
    """([the ratios in the state that counts, or all if none is], [the others])."""
    ratios = paired_ratios(rows, row, to)
    seen = [ratio for ratio, state in ratios if state == row["cores"]]
    if not seen:
        return [ratio for ratio, _ in ratios], []
    return seen, [ratio for ratio, state in ratios if state != row["cores"]]


def paired_ratio(rows, row, to=best_peer):
    seen, _ = counted_ratios(rows, row, to)
    return statistics.median(seen) if seen else None


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


def cores_ns(row):
    """How far apart the cores were in the windows that count, and which windows don't, as two cells."""
    windows = list(zip(row["cores_rounds"], row["cores_ns_before"], row["cores_ns_after"]))
    looks = [ns for state, *both in windows if state == row["cores"] for ns in both if ns is not None]
    text = f"{statistics.median(looks):.0f}" if looks else "?"
    if row["cores"] not in (distance.USUAL, distance.UNKNOWN):
        text += f" {row['cores']}"
    others = [state for state in row["cores_rounds"] if state != row["cores"]]
    return [text, ", ".join(f"{others.count(state)} {state}" for state in dict.fromkeys(others))]


def ratio_and_spread(ratios):
    """The median; the lowest and the highest round beside it if they differ."""
    if not ratios:
        return ""
    low, middle, high = (f"{ratio:.2f}" for ratio in (min(ratios), statistics.median(ratios), max(ratios)))
    return middle if low == high else f"{middle} ({low}-{high})"


def rate_table(rows, frame_bytes, failures):
    """The table of bench/pktgen. frame_bytes: the mean frame that was measured, by (direction, size)."""
    header = ["direction, size, system", "Mpps", "min", "max", "of best DPDK", "round by round", "of ideal"]
    header += [f"{gbps} GbE" for gbps in LINKS_GBPS] + ["cores apart ns", "windows left out"]
    lines = []
    for row in rows:
        size = row["size_bytes"]
        name = f"{row['direction']} {size} {row['system']}"
        if row["mpps_median"] is None:
            why = "not run: see below" if row["system"] in failures else "not run"
            lines.append([name, why, *[""] * (len(header) - 2)])
            continue
        cells = [f"{row[key]:.2f}" for key in ("mpps_median", "mpps_min", "mpps_max")]
        ratios = [row["ratio_to_best_dpdk"], row["share_of_ideal"]]
        cells += ["" if value is None else f"{value:.2f}" for value in ratios]
        cells.insert(-1, ratio_and_spread(counted_ratios(rows, row)[0]))
        for gbps in LINKS_GBPS:
            share = row["mpps_median"] / line_rate_mpps(frame_bytes[row["direction"], size], gbps)
            cells.append(f"{share:.0%}")
        lines.append([name, *cells, *cores_ns(row)])
    return markdown(header, lines)


def interrupt_table(rates, directions):
    """Interrupts a second of those who tell them: rates[system, direction], None where one didn't."""
    def cell(rate):
        return "?" if rate is None else f"{rate:.1f}"

    names = dict.fromkeys(name for name, _ in rates)
    lines = [[name, *(cell(rates.get((name, direction))) for direction in directions)] for name in names]
    return markdown(["interrupts/s while measured", *directions], lines)


def short_table(rows):
    """For docs/performance.md: a line a direction and size; ours, DPDK's best, the ideal front end if it
    ran, and the ratios round by round, those to DPDK with the lowest and highest. Where the windows aren't in
    the run's usual state a line says so."""
    names = list(dict.fromkeys(row["system"] for row in rows))
    ours = [name for name in names if not name.startswith((PEER_PREFIX, IDEAL_PREFIX))]
    limits = [name for name in names if name.startswith(IDEAL_PREFIX)]
    header = ["direction, frame", *[f"{name} Mpps" for name in ours], "best of DPDK Mpps", "its driver"]
    header += [*[f"{name} / best" for name in ours], *[f"{name} Mpps" for name in limits]]
    header += [f"{name} / ideal" for name in ours if limits]
    lines = []
    for direction, size in dict.fromkeys((row["direction"], row["size_bytes"]) for row in rows):
        of = {r["system"]: r for r in rows if (r["direction"], r["size_bytes"]) == (direction, size)}
        best = best_peer(rows, next(iter(of.values())))
        apart = {row["cores"] for row in of.values()} - {distance.USUAL, distance.UNKNOWN, None}

        def rates(some):
            return [f"{of[name]['mpps_median']:.1f}" if name in of and of[name]["mpps_median"] is not None else "not run"
                    for name in some]

        shares = [paired_ratio(rows, of[name], ideal) if name in of else None for name in ours]
        spread = [ratio_and_spread(counted_ratios(rows, of[name])[0]) if name in of else "" for name in ours]
        cells = rates(ours) + ([f"{best['mpps_median']:.1f}", best["system"]] if best else ["not run", ""])
        cells += spread + rates(limits)
        cells += ["" if share is None else f"{share:.2f}" for share in shares] if limits else []
        lines.append([" ".join([direction, str(size), *(f"(cores {state})" for state in sorted(apart))]), *cells])
    return markdown(header, lines)


# --- bench/udpkv: results are kvload's, {(system, load): [result, ...]}, each with its cores_ns --------


def counted_results(results):
    """{key: (state, [the results whose windows count], [states of all])}; systems of a load are compared."""
    _, states = distance.states_by_key({key: [r["cores_ns"] for r in seen] for key, seen in results.items()})
    found = {}
    for key, seen in results.items():
        state = distance.counted([states[other] for other in results if other[1] == key[1]])
        kept = distance.in_state(seen, states[key], state)
        found[key] = (state if state in states[key] else distance.CHANGED, kept, states[key])
    return found


def kv_rows(full, half, cycles_of):
    """Rows for the JSON file. full: as fast as it goes, half: at half of that. cycles_of(result) gives the
    server's cycles a request. The numbers are of the windows in one state (distance.py); all rates are in
    reqs_per_s_rounds. What didn't run has None for numbers."""
    rows = []
    paced = counted_results(half)
    for (system, load), (state, results, states) in counted_results(full).items():
        def median(pick, of):
            return rounded(statistics.median(map(pick, of)) if of else None)

        def rate(result):
            return result["ALL STATS"]["Totals"]["Ops/sec"]

        row = {"system": system, "load": load}
        row["reqs_per_s_median"] = median(rate, results)
        row["reqs_per_s_min"] = rounded(min(map(rate, results), default=None))
        row["reqs_per_s_max"] = rounded(max(map(rate, results), default=None))
        row["cycles_per_req"] = median(cycles_of, results)
        for name, key in (("p50_us", "p50.00"), ("p99_us", "p99.00"), ("p999_us", "p99.90")):
            row[name] = median(lambda r, key=key: r["ALL STATS"]["Totals"]["Percentile Latencies"][key] * 1000,
                               paced[system, load][1])
        row["server_cores"] = median(lambda r: r["cores"], results)
        row["server_idle_share"] = median(
            lambda r: r["kvload"].get("server_idle_share", 1 - min(r["cores"], 1)), results)
        row["kvload_busy_share"] = median(lambda r: r["kvload"]["busy_share"], results)
        row["cores"] = state if results else None
        row["reqs_per_s_rounds"] = [rounded(rate(result)) for result in full[system, load]]
        row["cores_rounds"] = states
        row["cores_ns_before"] = [result["cores_ns"][0] for result in full[system, load]]
        row["cores_ns_after"] = [result["cores_ns"][1] for result in full[system, load]]
        rows.append(row)
    return rows


def kv_table(rows, ours=None):
    """The table of bench/udpkv; with `ours` a column says how many times each that one is."""
    header = ["load, system", "million/s", "min", "max", "cycles", "p50 us", "p99 us", "p99.9 us", "cores"]
    header += ["idle", "kvload busy", "cores apart ns", "windows left out"] + ([f"{ours} is times"] if ours else [])
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
        cells += [f"{row['server_cores']:.2f}", f"{row['server_idle_share']:.0%}", f"{row['kvload_busy_share']:.0%}"]
        cells += cores_ns(row)
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
         "median": rounded(statistics.median(seen)), "lowest": rounded(min(seen)), "highest": rounded(max(seen)),
         "rounds": [rounded(one) for one in seen]}
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


# --- bench/growth: cycles a request at points along axes ---------------------------------------------

GROWTH_AXES = {"keys": "keys", "value_bytes": "value, bytes", "sets_percent": "sets, %", "burst": "requests a burst"}
TEN_MILLION, ONE_MILLION = 10_000_000, 1_000_000


def growth_table(rows):
    header = ["axis, point, system", "cycles", "min", "max", "checksums in software", "chase", "MiB", "pages"]
    return markdown(header, [
        [f"{GROWTH_AXES[row['axis']]} {row[row['axis']]} {row['system']}",
         *(f"{row[key]:.0f}" for key in ("offload_median", "offload_min", "offload_max", "software_median",
                                         "chase_median")),
         f"{row['memory_bytes'] / (1 << 20):.0f}", row["pages"]]
        for row in rows
    ])


def growth_short_table(rows):
    """For docs/performance.md: keys alone; cycles a request, and of a load in the pointer chase."""
    by = {(row["keys"], row["system"]): row for row in rows if row["axis"] == "keys"}
    names = list(dict.fromkeys(name for _, name in by))
    lines = []
    for keys in sorted({count for count, _ in by}):
        cells = []
        for name in names:
            row = by.get((keys, name))
            cells += [f"{row['offload_median']:.0f}", f"{row['chase_median']:.0f}", row["pages"]] if row else [""] * 3
        lines.append([f"{keys:,}", *cells])
    header = [text for name in names for text in (f"{name}: cycles", "a load", "pages")]
    return markdown(["keys", *header], lines)


def growth_ratios(rows):
    """Sentences: how many times as much a request takes with ten million keys as with one million."""
    told = []
    for system in dict.fromkeys(row["system"] for row in rows):
        ten, one = ([row for row in rows if (row["axis"], row["system"], row["keys"]) == ("keys", system, count)]
                    for count in (TEN_MILLION, ONE_MILLION))
        if ten and one:
            request, load = ([a / b for a, b in zip(ten[0][f"{what}_rounds"], one[0][f"{what}_rounds"])]
                             for what in ("offload", "chase"))
            told.append(f"{system}, pages of {ten[0]['pages']}: with ten million keys a request takes"
                        f" {statistics.median(request):.2f} times ({min(request):.2f} to {max(request):.2f}, round by"
                        f" round) what it does with one million, a load of the chase"
                        f" {statistics.median(load):.2f} times.")
    return told


# --- files ----------------------------------------------------------------------------------------


def write_csv(path, rows):
    """A list, such as the rates of all rounds, becomes its values with spaces between."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            lists = {key: " ".join(map(str, value)) for key, value in row.items() if isinstance(value, list)}
            writer.writerow(row | lists)


def write_json(path, data):
    path.write_text(json.dumps(data, indent=1) + "\n")


def replace_between(path, marker, text):
    """Rewrites the part of a file between two marker comments; docs/performance.md's tables are such."""
    begin, end = f"<!-- {marker} begin -->", f"<!-- {marker} end -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path.name} has no '{begin}' ... '{end}'")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
