# SPDX-License-Identifier: BSD-2-Clause
"""What the scripts of this folder share: options, installing, building, and what the machine lacks."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import textwrap

import distance
import report
import systems
from systems import SystemGone, vm

HUGE_NEEDED_BYTES = 864 << 20  # nine of 64 MiB, and 256 and 32 MiB of our host processes
STATUS_TEXT = (
    "Status: 0 measured, 1 nothing could be measured, 2 wrong usage or packages missing, 130\n"
    "interrupted. QUICK=1 in the environment is --quick."
)


def ending(text):
    """Of --help: text, such as how long it takes, and what a script's status says."""
    return f"{textwrap.fill(text, 90)}\n{STATUS_TEXT}"


def add_options(parser, page=False):
    """The options that every script has; with `page` its table stands on a page of docs/."""
    quick = os.environ.get("QUICK", "") not in ("", "0")
    parser.add_argument("--quick", action="store_true", default=quick, help="a short look, not a result")
    add_results(parser)
    if page:
        parser.add_argument("--page", action="store_true",
                            help="with --results bench/results: also put the table into its page of docs/")
    parser.add_argument("--no-build", action="store_true", help="measure what is in build/ already")
    parser.add_argument("--no-install", action="store_true", help="if packages are missing, say so and end")


def add_results(parser):
    parser.add_argument("--results", default=str(report.RESULTS), metavar="FOLDER",
                        help="where to write (default build/results; what is committed: bench/results)")


def words_of(known):
    """An option's type: a list with commas of words out of `known`."""
    def parse_words(text):
        for word in text.split(","):
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word} is none of {', '.join(known)}")
        return text.split(",")
    return parse_words


def sizes_of(*names):
    """An option's type: a list with commas of frame sizes without CRC, or of these names."""
    def parse_sizes(text):
        words = text.split(",")
        for word in words:
            if word not in names and not (word.isdigit() and 60 <= int(word) <= 1514):
                raise argparse.ArgumentTypeError(f"{word} isn't {' or '.join(['a number from 60 to 1514', *names])}")
        return [word if word in names else int(word) for word in words]
    return parse_sizes


def parse(parser):
    """The arguments. A page never shows what isn't kept."""
    args = parser.parse_args()
    if getattr(args, "page", False) and report.Path(args.results).resolve() != report.KEPT:
        parser.error("--page shows what is kept: it goes with --results bench/results")
    return args


def install(args, packages):
    """Whether a list of tests/install is installed, or could be; which it says."""
    command = [vm.ROOT / "tests/install", packages] + ["--no-install"] * args.no_install
    return subprocess.run(command).returncode == 0


def prepare(args, packages, plats=(), peer=False, apps=("pktgen",), more=()):
    """Installs what is missing and builds the apps for each platform, the peer, and make's targets in
    `more`. What doesn't build is said, and shows up as a system that didn't run. Ends the script with
    2 if packages are missing."""
    if not install(args, packages):
        sys.exit(2)
    targets = [(str(vm.image(app, plat)), (f"APP={app}", f"PLAT={plat}")) for app in apps for plat in plats]
    targets += [(target, (target,)) for target in more]
    for target, words in () if args.no_build else targets:
        command = ["make", "-s", "-C", str(vm.ROOT), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            systems.did_not_build.add(target)
            said = done.stdout.strip().splitlines()[-1:]
            print(f"{shlex.join(command)} failed: {' '.join(said)}", flush=True)
    if peer:
        try:
            systems.build_peer()
        except SystemGone as error:
            print(error, flush=True)


def conditions(needed_bytes=HUGE_NEEDED_BYTES):
    """(accelerator, whether there are huge pages, what this machine lacks): labels for the results."""
    labels = []
    kvm_missing = vm.kvm_problem()
    huge = systems.free_huge_bytes() >= needed_bytes
    if kvm_missing:
        labels.append(f"No KVM ({kvm_missing}): the image ran under TCG, QEMU's emulation.")
    if not huge:
        labels.append(
            f"Fewer than {needed_bytes >> 21} free huge pages of 2 MiB: DPDK ran with --no-huge, which"
            f" is slower. To set them aside, as root: echo {max(512, needed_bytes >> 21)} > /proc/sys/vm/nr_hugepages;"
            " mkdir -p /dev/hugepages; mount -t hugetlbfs nodev /dev/hugepages"
        )
    if len(os.sched_getaffinity(0)) < 2:
        labels.append("One core only: both sides took turns on it.")
    return ("tcg" if kvm_missing else "kvm"), huge, labels


def tell_time(what, seconds):
    """What is about to be measured, and how long that takes where nothing else runs."""
    about = f"{max(1, round(seconds / 10))}0 s" if seconds < 100 else f"{round(seconds / 60)} min"
    print(f"{what}: about {about}", flush=True)


@contextlib.contextmanager
def unbroken():
    """In here a second Ctrl-C doesn't keep anything from being ended."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def write(args, name, title, facts, table, notes, commands, rows):
    """Writes NAME.md, .csv and .json into the folder of --results, and prints the table."""
    folder = report.Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    notes = notes + distance.problems
    text = [f"# {title}", "", *(f"- {fact}: {value}" for fact, value in facts), "", table, ""]
    text += [line for note in notes for line in (note, "")]
    text += ["## Commands", ""]
    root = f"{report.Path(__file__).resolve().parent.parent}/"  # where the tree stands is nobody's concern
    commands = {what: command.replace(root, "") for what, command in commands.items() if command}
    text += [f"    # {what}\n    {command}\n" for what, command in commands.items()]
    (folder / f"{name}.md").write_text("\n".join(text))
    report.write_csv(folder / f"{name}.csv", rows)
    report.write_json(folder / f"{name}.json", rows)
    print("\n".join([table, *notes, f"Written: {folder}/{name}.md, .csv, .json"]), flush=True)


def plot(args, name):
    """Draws NAME.svg from NAME.json and NAME.md, or says why not."""
    subprocess.run([vm.ROOT / "bench/plot", report.Path(args.results) / f"{name}.json"])


def put_on_page(args, name, table, facts, notes, page=report.PAGE):
    """With --page, the part of docs/performance.md, or of another page, that shows this result."""
    if args.page:
        told = " ".join([f"{facts['processor']}, {facts['date']}, {facts['ringloop']}.", *notes])
        report.replace_between(page, f"bench/{name}", f"{table}\n\n{told}")


def run(main):
    """Runs a script's main(): its result is the status."""
    vm.end_on_signals()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
