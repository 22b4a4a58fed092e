# SPDX-License-Identifier: BSD-2-Clause
"""The pictures of results, each drawn from a result's .json and the head of its .md, so that none needs
a new measurement. By Debian's python3-matplotlib: it knows how wide a text is, so that labels keep
clear of data and of each other, and it draws where Python has the data already.
"""

import statistics
import textwrap
from pathlib import Path

import report

OURS, OURS_2, OURS_3, RIVAL, OTHER, APART = "#0072b2", "#56b4e9", "#009e73", "#d55e00", "#7f7f7f", "#b0b0b0"
INK, PAPER, BAND = "#222222", "#ffffff", "#f2f2f2"
RATIO_TICKS = (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4)
COLUMNS = 3  # of panels with bars
LETTERS_PER_INCH = 15  # of the text below
LEFT_OUT = "Hollow: windows with the cores nearer or farther apart than in most, left out of the rest."


def color(system):
    if not system.startswith("ringloop"):
        return RIVAL if system.startswith("dpdk") else OTHER
    return OURS_3 if system.removesuffix("-split").endswith("-linux") else OURS_2 if system.endswith("-poll") else OURS


def ratio_points(rows, row):
    """(ratio in the middle, lowest, highest, ratios of windows that don't count, whether it is by rounds)
    of a system to the best DPDK variant, or None. A result of before rounds were kept has medians and
    the lowest and highest window only."""
    best = report.best_peer(rows, row)
    if not best or row["mpps_median"] is None:
        return None
    if "mpps_rounds" not in row:
        return *(row[f"mpps_{name}"] / best["mpps_median"] for name in ("median", "min", "max")), [], False
    seen, apart = report.counted_ratios(rows, row)
    return (statistics.median(seen), min(seen), max(seen), apart, True) if seen else None


def three_digits(number):
    return f"{number:#.3g}".rstrip(".")


def footer(facts, *more):
    about = f"{facts['processor']}; {facts['date']}; Ringloop {facts['ringloop']}"
    return [about, *(line for line in more if line)]


def frame(pyplot, title, below, rows, columns, size, legend=(), **options):
    """A figure of `size` inches for the panels, with its title and legend above and lines of text below."""
    width, below = size[0], [part for line in below for part in textwrap.wrap(line, int(size[0] * LETTERS_PER_INCH))]
    above_in, below_in = 0.42 + 0.26 * bool(legend), 0.17 * len(below) + 0.12
    height = size[1] + above_in + below_in
    figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained",
                                   **options)
    bottom, top = below_in / height, 1 - above_in / height
    if legend:
        figure.legend(handles=legend, loc="upper left", ncol=len(legend), frameon=False, fontsize=9.5,
                      bbox_to_anchor=(0, 1 - 0.33 / height), borderpad=0.1)
    figure.get_layout_engine().set(rect=(0.006, bottom, 0.99, top - bottom), wspace=0.04, hspace=0.06)
    figure.text(0.01, 1 - 0.1 / height, title, ha="left", va="top", fontsize=12, fontweight="bold")
    figure.text(0.01, 0.06 / height, "\n".join(below), ha="left", va="bottom", fontsize=8.5, color=INK)
    return figure, axes


def bars(panel, title, rows, value, scale, unit):
    """Horizontal bars from the top down, each with its number and its lowest and highest window."""
    most = largest(rows, value) / scale
    for place, row in enumerate(rows):
        if row[f"{value}_median"] is None:
            panel.text(0, place, " not run", va="center", fontsize=8.5)
            continue
        middle, low, high = (row[f"{value}_{name}"] / scale for name in ("median", "min", "max"))
        rounds = zip(row.get(f"{value}_rounds", ()), row.get("cores_rounds", ()))
        apart = [rate / scale for rate, state in rounds if state != row["cores"]]
        panel.barh(place, middle, height=0.66, color=color(row["system"]))
        panel.plot([low, high], [place, place], color=INK, lw=1.2, marker="|", ms=5)
        panel.annotate(three_digits(middle), (max(high, *apart, 0), place), (7, 0), textcoords="offset points",
                       va="center", fontsize=9)
        panel.plot(apart, [place] * len(apart), "o", ms=4, mfc="none", mec=INK, ls="none")
    panel.set_yticks(range(len(rows)), [row["system"] for row in rows], fontsize=9)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_xlim(0, most * 1.2)
    panel.set_title(title, fontsize=10, loc="left")
    panel.set_xlabel(unit, fontsize=9)
    panel.grid(axis="x", color="#dddddd", lw=0.6, clip_on=False)


def largest(rows, value):
    """Of all windows, those too that don't count."""
    return max([1e-9] + [one for row in rows for one in (row[f"{value}_max"], *row.get(f"{value}_rounds", ())) if one])


def any_apart(rows):
    return any(state != row["cores"] for row in rows for state in row.get("cores_rounds", ()))


def bar_panels(pyplot, title, facts, groups, value, units, *more):
    """A panel of bars for each of {title: rows}; of `units`, (scale, name), the first that gives numbers over 0.1."""
    rows = [row for group in groups.values() for row in group]
    columns = min(COLUMNS, len(groups))
    lines = -(-len(groups) // columns)
    tallest = max(map(len, groups.values()))
    below = footer(facts, "Bar and number: median of the windows; line: lowest to highest.",
                   LEFT_OUT if any_apart(rows) else "", *more)
    size = (max(4.2 * columns + 0.3, 6), lines * (0.28 * tallest + 0.85))
    figure, axes = frame(pyplot, title, below, lines, columns, size)
    for panel, (name, group) in zip(axes.flat, groups.items()):
        most = largest(group, value)
        scale, unit = next((one for one in units if most > 0.1 * one[0]), units[-1])
        bars(panel, name, group, value, scale, unit)
    for panel in axes.flat[len(groups):]:
        panel.set_axis_off()
    return figure


def packet_rates(pyplot, rows, facts):
    """Our rate to DPDK's, a panel a direction; of one frame size the rates, as bars."""
    sizes = list(dict.fromkeys(row["size_bytes"] for row in rows))
    directions = list(dict.fromkeys(row["direction"] for row in rows))
    if len(sizes) == 1:
        groups = {name: [row for row in rows if row["direction"] == name] for name in directions}
        return bar_panels(pyplot, f"Packet rate, frames of {sizes[0]} bytes", facts, groups, "mpps", [(1, "Mpps")])

    systems = list(dict.fromkeys(row["system"] for row in rows))
    names = [name for name in systems if not name.startswith((report.PEER_PREFIX, report.IDEAL_PREFIX))]
    limits = [name for name in systems if name.startswith(report.IDEAL_PREFIX)]
    peers = len(systems) - len(names) - len(limits)
    points = {(row["direction"], row["system"], row["size_bytes"]): ratio_points(rows, row) for row in rows}
    by_rounds = any(point and point[4] for point in points.values())
    told = "Mark: median over the rounds of the rate to the best DPDK variant's; line: lowest to highest round."
    told += " ideal: a front end that touches no packet." * bool(limits)
    if not by_rounds:
        told = ("This result keeps no rounds. Dot: ratio of the medians; line: our lowest and highest window over"
                " DPDK's median, so a change of the machine's speed is in it.")
    below = footer(facts, told, LEFT_OUT if any_apart(rows) else "")
    looks = dict(zip(names, ((OURS, "o"), (OURS_2, "s"), (OURS_3, "^"), (OTHER, "D"), (OTHER, "v"))))
    looks |= dict(zip(limits, ((OURS, "_"), (OURS_3, "_"), (OTHER, "_"), (OTHER, "x"))))
    handles = [pyplot.Line2D([], [], color=tint, marker=mark, label=name) for name, (tint, mark) in looks.items()]
    title = f"Packet rate: times the best of {peers} DPDK virtio-user variants"
    figure, axes = frame(pyplot, title, below, 1, len(directions), (4.0 * len(directions) + 0.4, 4.0), handles,
                         sharey=True)
    for panel, direction in zip(axes[0], directions):
        ratio_panel(panel, direction, sizes, looks, points)
    axes[0][0].set_ylabel("times DPDK's rate")
    return figure


def ratio_panel(panel, direction, sizes, looks, points):
    step = min(0.25, 0.8 / len(looks))
    for number in range(0, len(sizes), 2):
        panel.axvspan(number - 0.5, number + 0.5, color=BAND, lw=0, clip_on=False)
    panel.axhline(1, color=INK, lw=1.2)
    for index, (name, (tint, mark)) in enumerate(looks.items()):
        for number, size in enumerate(sizes):
            point = points.get((direction, name, size))
            if point:
                at = number + (index - (len(looks) - 1) / 2) * step
                middle, low, high, apart, _ = point
                panel.plot([at, at], [low, high], color=tint, lw=1.6)
                panel.plot(at, middle, mark, color=tint, ms=6)
                panel.plot([at] * len(apart), apart, mark, mfc="none", mec=APART, ms=4, ls="none")
    panel.set_yscale("log")
    panel.set_yticks(RATIO_TICKS, [f"{tick:g}" for tick in RATIO_TICKS])
    panel.minorticks_off()
    panel.grid(axis="y", color="#dddddd", lw=0.6, clip_on=False)
    panel.set_xlim(-0.5, len(sizes) - 0.5)
    panel.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    panel.set_xlabel("frame, bytes without CRC")
    ways = {"tx": "tx: packets sent", "rx": "rx: packets received", "fwd": "fwd: packets sent back"}
    panel.set_title(ways.get(direction, direction), fontsize=10, loc="left")


def key_value(pyplot, rows, facts):
    loads = dict.fromkeys(row["load"] for row in rows)
    groups = {load: [row for row in rows if row["load"] == load] for load in loads}
    return bar_panels(pyplot, "One key-value store: requests a second", facts, groups, "reqs_per_s",
                      [(1e6, "million/s"), (1e3, "thousand/s")],
                      "Over vhost-user, those of Linux over loopback; in a load named tap over a tap without vhost,"
                      " memcached over loopback.")


LATENCY_PANELS = (
    ("ping", "p50", "ping, 30 ms after the last", "us"),
    ("flood", "p50", "ping after ping", "us"),
    ("get", "p50", "get, 20 to 50 ms after the last", "us"),
    ("idle", "processor", "nothing to do", "% of a core"),
)


def latency(pyplot, rows, facts):
    names = list(dict.fromkeys(row["system"] for row in rows))
    by = {(row["measure"], row["value"], row["system"]): row for row in rows}
    panels = [panel for panel in LATENCY_PANELS if any((*panel[:2], name) in by for name in names)]
    below = footer(facts, "Dot and number: median of the rounds, of a round's middle answer; line: lowest to highest"
                          " round; |: 99th percentile. Over a tap without vhost.")
    figure, axes = frame(pyplot, "How long an answer takes, and what waiting for it costs", below, 1, len(panels),
                         (3.1 * len(panels) + 1.4, 0.3 * len(names) + 0.9), sharey=True)
    for panel, (measure, value, title, unit) in zip(axes[0], panels):
        for place, name in enumerate(names):
            row = by.get((measure, value, name))
            if row:
                latency_mark(panel, place, row, by.get((measure, "p99", name)))
        panel.set_xscale("log")
        panel.margins(x=0.22)
        panel.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
        panel.tick_params(axis="x", which="minor", labelbottom=False)
        panel.set_title(title, fontsize=10, loc="left")
        panel.set_xlabel(unit, fontsize=9)
        panel.grid(axis="x", color="#dddddd", lw=0.6, clip_on=False)
    axes[0][0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0][0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def latency_mark(panel, place, row, p99):
    tint = OURS if row["system"].startswith("ringloop") else RIVAL if row["system"].startswith("linux") else OTHER
    panel.axhline(place, color="#eeeeee", lw=0.8, zorder=0)
    panel.plot([row["lowest"], row["highest"]], [place, place], color=tint, lw=2)
    panel.plot(row["median"], place, "o", color=tint, ms=6)
    if p99:
        panel.plot(p99["median"], place, "|", color=tint, ms=9, mew=1.6)
    panel.annotate(three_digits(row["median"]), (row["median"], place), (0, 5), textcoords="offset points", ha="center",
                   va="bottom", fontsize=8)


PACKET_AXES = {
    "frame": "frame, bytes without CRC", "ring": "ring, descriptors", "burst": "burst, packets", "flows": "flows",
}


def growth_packets(pyplot, rows, facts):
    """Cycles a packet, a row of panels a direction, a column for each thing that is varied."""
    axes_of = list(dict.fromkeys(row["axis"] for row in rows))
    directions = list(dict.fromkeys(row["direction"] for row in rows))
    names = list(dict.fromkeys(row["system"] for row in rows))
    dpdk = [name for name in names if name.startswith(report.PEER_PREFIX)]
    tints = dict(zip(dpdk, (RIVAL, OTHER, APART)))
    tints = {name: tints.get(name, color(name)) for name in names}
    handles = [pyplot.Line2D([], [], color=tints[name], marker="o", ms=5, label=name) for name in names]
    handles.append(pyplot.Line2D([], [], color=INK, ls=":", label="busy of these, by the system's own count"))
    below = footer(facts, "Solid: the clock over the rate, so waits for the other side are in it; dot: median of the"
                          " windows, line: lowest to highest. What isn't varied: frames of 64 bytes, rings of 256,"
                          " bursts of 32 (the vhost side's are always of 32), one flow.")
    size = (3.1 * len(axes_of) + 0.5, 2.5 * len(directions) + 0.3)
    title = "How the cost of a packet grows"
    figure, panels = frame(pyplot, title, below, len(directions), len(axes_of), size, handles)
    for line, direction in zip(panels, directions):
        for panel, axis in zip(line, axes_of):
            here = [row for row in rows if (row["axis"], row["direction"]) == (axis, direction)]
            here = [row for row in here if row["cycles_max"] is not None]
            if not here:
                panel.set_axis_off()
                continue
            for name in names:
                packets_line(panel, [row for row in here if row["system"] == name], tints[name])
            packets_panel(panel, axis, sorted({row["x"] for row in here}))
            panel.set_ylim(0, 1.4 * max(row["cycles_median"] for row in here))  # a noisy window may leave it
            panel.set_title(f"{direction}, over the {axis}", fontsize=10, loc="left")
    for line in panels:
        line[0].set_ylabel("cycles a packet", fontsize=9)
    return figure


def packets_line(panel, rows, tint):
    panel.plot([row["x"] for row in rows], [row["cycles_median"] for row in rows], "o-", color=tint, ms=4, lw=1.4)
    for row in rows:
        panel.plot([row["x"]] * 2, [row["cycles_min"], row["cycles_max"]], color=tint, lw=1.2)
    busy = [row for row in rows if row["busy_cycles"] is not None]
    panel.plot([row["x"] for row in busy], [row["busy_cycles"] for row in busy], ":", color=tint, lw=1.2)


def packets_panel(panel, axis, xs):
    """The frame's axis is even, those of powers of two are by doublings."""
    if axis != "frame":
        panel.set_xscale("log", base=2)
        xs = xs if len(xs) <= 6 else sorted({*xs[::2], xs[-1]})
        panel.set_xticks(xs, [f"{x // 1024}k" if x >= 4096 else str(x) for x in xs])
        panel.minorticks_off()
    panel.set_xlabel(PACKET_AXES.get(axis, axis), fontsize=9)
    panel.grid(color="#dddddd", lw=0.6)


GROWTH_LOOKS = {"ringloop-kvm": (OURS, "o", "image (KVM)"), "ringloop-linux": (OURS_3, "^", "process"),
                "ringloop-linux-4k": (OTHER, "s", "process, ordinary pages only")}


def growth(pyplot, rows, facts):
    """Cycles a request over each axis, and over keys also those of a load in the pointer chase."""
    names = list(dict.fromkeys(row["system"] for row in rows))
    axes_of = [axis for axis in report.GROWTH_AXES if any(row["axis"] == axis for row in rows)]
    handles = [pyplot.Line2D([], [], color=GROWTH_LOOKS[name][0], marker=GROWTH_LOOKS[name][1],
                             label=GROWTH_LOOKS[name][2]) for name in names]
    handles.append(pyplot.Line2D([], [], color=INK, ls=":", label="a load of the pointer chase"))
    pages = "; ".join(f"{GROWTH_LOOKS[name][2]}: {kinds}" for name, kinds in growth_pages(rows).items())
    base = next((row for row in rows if row["axis"] != "keys"), None)
    told = f"Where keys aren't the axis there are {base['keys']:,}. " if base else ""
    below = footer(facts, "Mark: median of the rounds; line: lowest to highest. The server's step alone, checksums left"
                          " to the device; values of 32 bytes, 10 % sets and 32 requests a burst where they aren't"
                          f" the axis. {told}Dotted: a load of a random cache line of the same store that has to wait"
                          " for the one before.", f"Pages: {pages}.")
    figure, axes = frame(pyplot, "udpkv: what a request costs", below, 1,
                         len(axes_of), (3.4 * len(axes_of) + 1.6, 3.6), handles, sharey=True)
    for panel, axis in zip(axes[0], axes_of):
        for name in names:
            growth_line(panel, axis, [row for row in rows if (row["axis"], row["system"]) == (axis, name)])
        if axis != "sets_percent":
            panel.set_xscale("log", base=10 if axis == "keys" else 2)
        if axis in ("value_bytes", "burst"):
            panel.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
        panel.set_xlabel(report.GROWTH_AXES[axis])
        panel.grid(color="#dddddd", lw=0.6)
    axes[0][0].set_ylim(bottom=0)
    axes[0][0].set_ylabel("cycles of the time stamp counter")
    return figure


def growth_pages(rows):
    """{system: the pages that its stores had}."""
    return {name: ", ".join(dict.fromkeys(row["pages"] for row in rows if row["system"] == name))
            for name in dict.fromkeys(row["system"] for row in rows)}


def growth_line(panel, axis, rows):
    if not rows:
        return
    tint, mark, _ = GROWTH_LOOKS[rows[0]["system"]]
    at = [row[axis] for row in rows]
    panel.plot(at, [row["offload_median"] for row in rows], color=tint, marker=mark, ms=5, lw=1.4)
    panel.vlines(at, [row["offload_min"] for row in rows], [row["offload_max"] for row in rows], color=tint, lw=1.2)
    if axis == "keys":
        panel.plot(at, [row["chase_median"] for row in rows], color=tint, lw=1.2, ls=":")


PICTURES = {
    "growth": growth, "growth-packets": growth_packets, "latency": latency, "pktgen": packet_rates, "udpkv": key_value,
}


def draw(pyplot, result, rows, facts, endings=(".svg",)):
    """Writes the picture of a result (the path of its .json) beside it; returns the files."""
    with pyplot.rc_context({"font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "ringloop",
                            "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}):
        figure = PICTURES[result.stem](pyplot, rows, facts)
        files = [Path(result).with_suffix(ending) for ending in endings]
        for file in files:
            # Without a date in it the same result gives the same file.
            figure.savefig(file, facecolor=PAPER, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
        pyplot.close(figure)
    return files
