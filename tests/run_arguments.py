# SPDX-License-Identifier: BSD-2-Clause
"""The command lines of ./run and of tests/debug: what is asked for, checked before anything starts."""

import argparse
import os
from pathlib import Path

import vm

NICS_MAX = 8
MEM_MIN_MB = 8  # an image needs that much
PLATS_OF_OPTIONS = {  # any other option is for all platforms
    "port": ("kvm", "xen"),
    "nics": ("kvm", "xen"),
    "mem": ("kvm", "xen"),
    "once": ("kvm", "xen"),
    "machine": ("kvm",),
    "accel": ("kvm",),
}


def port_number(text):
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number from 1 to 65535")
    return int(text)


def forward(text):
    """HOST:GUEST, or HOST alone, as two numbers; 0 for the port that the image serves."""
    host, *guest = text.split(":")
    if len(guest) > 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} has {len(guest) + 1} parts: write HOST:GUEST, such as 8000:{vm.GUEST_PORT}, or"
            " HOST alone"
        )
    return port_number(host), port_number(guest[0]) if guest else 0


def nic_count(text):
    if not text.isdecimal() or int(text) > NICS_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} network devices can't be had: write a number from 0 to {NICS_MAX}"
        )
    return int(text)


def megabytes(text):
    """A size such as 64M, 1G or 64, in MiB."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("M", "G") else (text, "M")
    limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write a number and M or G, such as 64M")
    size = int(number) * (1024 if unit == "G" else 1)
    if size < MEM_MIN_MB:
        raise argparse.ArgumentTypeError(
            f"{text!r} is too little: an image needs {MEM_MIN_MB}M; 64M is the default"
        )
    if size > limit:
        raise argparse.ArgumentTypeError(
            f"{text!r} is more than this machine has: write at most {limit}M"
        )
    return size


class Parser(argparse.ArgumentParser):
    """With the options that concern the network; what stands behind -- comes as `more`."""

    def __init__(self, prog, usage):
        super().__init__(prog=prog, add_help=False, allow_abbrev=False, usage=usage)
        self.add_argument("words", nargs="*")
        self.add_argument("--port", type=forward, action="append", default=[])
        self.add_argument("--nics", type=nic_count)

    def parse(self, words):
        cut = words.index("--") if "--" in words else len(words)
        args = self.parse_intermixed_args(words[:cut])
        args.more = words[cut + 1 :]
        if args.port and args.nics == 0:
            self.error("--nics=0 leaves no device that --port could lead to: leave out one of the two")
        return args

    def give_ports(self, args, default=None):
        """Makes args.port pairs of numbers (host, guest). If none leads to the port that the image
        serves, the port `default` of this machine does."""
        own = served_port(args)
        for host, guest in args.port:
            if not guest and not own:
                self.error(f"--port={host} doesn't say which port of {args.app} it leads to: write"
                           f" --port={host}:GUEST, or tell by the key {args.app}.port")
        args.port = [(host, guest or own) for host, guest in args.port]
        if default and own not in [guest for _, guest in args.port]:
            args.port.insert(0, (default, own))
        for host, _ in args.port:
            guests = [str(other[1]) for other in args.port if other[0] == host]
            if len(guests) > 1:
                self.error(
                    f"UDP port {host} of {vm.HOST} would have to lead to {' and '.join(guests)} of the"
                    f" image: choose another HOST for one, as in --port=HOST:{guests[-1]}"
                )


def is_key(word):
    """KEY=VALUE, or `help`; a path may hold a `=`, too, but behind a slash."""
    return word == "help" or "=" in word.partition("/")[0]


def keys_of(keys):
    return dict(word.partition("=")[::2] for word in keys.split())


def served_port(args):
    """Where the image is told to serve, or udpkv does by itself; None if that can't be known. The image
    itself says what is wrong with a wrong value."""
    try:
        return port_number(keys_of(args.keys).get(f"{args.app}.port", ""))
    except argparse.ArgumentTypeError:
        return vm.GUEST_PORT if args.app == "udpkv" else None


def find_app(word):
    """What make is told, and the app's name: a folder of src/apps, or any folder by its path."""
    if "/" not in word:
        return word, word
    folder = Path(os.path.abspath(word))
    if folder.parent == vm.ROOT / "src/apps":
        return folder.name, folder.name
    return str(folder), folder.name


def check_platform(parser, args):
    """An option that would have no effect is refused."""
    why = {
        "xen": "QEMU, if it is used at all, runs Xen itself",
        "linux": f"a host process has what its keys give it, which ./run {args.app} linux help lists",
    }
    if args.plat not in why:
        return
    for option, plats in PLATS_OF_OPTIONS.items():
        if getattr(args, option) not in (None, False, []) and args.plat not in plats:
            parser.error(f"--{option} isn't for {args.plat}: {why[args.plat]}. Leave it out")
    if args.more:
        parser.error(f"{args.more[0]!r} behind -- would be QEMU's, which is for kvm only:"
                     f" {why[args.plat]}. Leave it out")


def arguments(words, xen_host):
    """Those of ./run; xen_host: PLAT xen is this machine's own Xen."""
    parser = Parser("./run", "./run --help explains")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--machine", choices=vm.MACHINES)
    parser.add_argument("--accel", choices=("kvm", "tcg"))
    parser.add_argument("--mem", type=megabytes)
    parser.add_argument("--no-install", action="store_true")
    args = parser.parse(words)
    names = [word for word in args.words if not is_key(word)]
    args.keys = " ".join(word for word in args.words if is_key(word))
    if len(names) > 2:
        parser.error(f"what is {names[2]!r}? APP and PLAT are given already")
    app, args.plat = names + ["udpkv", "kvm"][len(names) :]
    args.folder, args.app = find_app(app)
    check_platform(parser, args)
    # udpkv has clients where ports of this machine can lead to it, and if it does more than list keys.
    reached = args.plat == "kvm" or (args.plat == "xen" and not xen_host)
    args.serves = args.folder == "udpkv" and reached and args.nics != 0 and "help" not in args.keys.split()
    if args.once and not args.serves:
        parser.error("--once ends udpkv after its clients, but here are none: leave it out."
                     f" {args.app} runs until it ends by itself, or until Ctrl-C")
    parser.give_ports(args, vm.GUEST_PORT if args.serves else None)
    return args
