# SPDX-License-Identifier: BSD-2-Clause
"""What ./run does once the packages are there: build, boot, show the clients at work, serve."""

import argparse
import errno
import re
import shlex
import socket
import subprocess
import sys

import vm
import xen.bed as bed
from udpkv_client import EVERY_COMMAND, MEMCASLAP_FAULTS, Client, memcaslap_command
from vm import ROOT, Vm, image, kvm_problem, qemu_command, user_netdev

HOST = "127.0.0.1"
CLIENT_DEADLINE_S = 60
IDLE_WAKE_MAX_S = 60  # of the key idle.wake


def say(text=""):
    print(text, flush=True)


def fail(text):
    sys.exit(f"run: {text}")


def port_number(text):
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 65535")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser(prog="./run", add_help=False, usage="./run --help explains")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--port", type=port_number)
    parser.add_argument("--machine", choices=vm.MACHINES, default="q35")
    parser.add_argument("--accel", choices=("kvm", "tcg"))
    parser.add_argument("--mem", default="64M")
    parser.add_argument("--no-install", action="store_true")
    args = parser.parse_intermixed_args()
    names = [word for word in args.words if "=" not in word and word != "help"]
    args.keys = " ".join(word for word in args.words if word not in names)
    if len(names) > 2:
        parser.error(f"what is {names[2]!r}? APP and PLAT are given already")
    args.app, args.plat = (names + ["udpkv", "kvm"][len(names) :])[:2]
    return args


def build(app, plat):
    command = ["make", "-s", f"APP={app}", f"PLAT={plat}"]
    say(f"$ {' '.join(command)}")
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        fail("the build failed")


def choose_accel(wanted):
    problem = kvm_problem()
    if wanted == "kvm" and problem:
        fail(f"KVM can't be used here ({problem}). Leave out --accel=kvm.")
    accel = wanted or ("tcg" if problem else "kvm")
    why = f": {problem}" if problem else ""
    say(f"Accelerator: {'KVM' if accel == 'kvm' else 'TCG, software emulation' + why}.")
    return accel


def check_port(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                fail(f"UDP port {port} of {HOST} can't be used: {error.strerror}.")
            fail(f"UDP port {port} of {HOST} is taken. End the program that has it"
                 f" (ss -lunp 'sport = :{port}' names it) or choose another: ./run --port=11311")


def readable(text):
    return text.decode("latin-1").rstrip("\r\n").replace("\r\n", "\\r\\n")


def show_every_command(port):
    """Our own client asks every command and prints the dialogue; returns udpkv's counters."""
    say("\n--- tests/udpkv_client.py: every command, as asked (>) and answered (<)")
    with Client(HOST, port) as client:
        for request in EVERY_COMMAND:
            answer = client.ask(request)
            say(f"> {readable(request)}")
            lines = answer.split(b"\r\n")[:-1]
            for line in lines[:6]:
                say(f"< {readable(line)}")
            if len(lines) > 6:
                say(f"< ... {len(lines) - 6} more lines")
        return client.stats()


def run_client(*command):
    """Runs a client that someone else wrote, prints and returns what it printed."""
    say(f"\n$ {' '.join(command)}")
    try:
        done = subprocess.run(
            command,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=CLIENT_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        fail(f"{command[0]} didn't end in {CLIENT_DEADLINE_S} s")
    say(done.stdout.strip())
    if done.returncode != 0:
        fail(f"{command[0]} exited with {done.returncode}")
    return done.stdout


def show_memcslap(port, before):
    """libmemcached's memcslap: sets that want no answer, so udpkv's counter tells what arrived."""
    server = f"--servers={HOST}:{port}"
    run_client("memcslap", "--udp", server, "--test=set", "--execute-number=50")
    with Client(HOST, port) as client:
        stored = client.stats()["cmd_set"] - before["cmd_set"]
    say(f"udpkv counted {stored} sets of 50. memcslap's values have up to 4 KB: a set longer than a"
        "\nframe comes in fragments, which udpkv drops and counts.")
    if stored == 0:
        fail("not one set of memcslap arrived")


def show_memcaslap(port, requests):
    """libmemcached's memcaslap: sets and gets in a window, every value checked, a rate."""
    text = run_client(*memcaslap_command(f"{HOST}:{port}", requests))
    for name in MEMCASLAP_FAULTS:
        if not re.search(rf"^{name}: 0$", text, re.M):
            fail(f"memcaslap's {name} isn't 0")
    rate = int(re.search(r"TPS: (\d+)", text)[1])
    say(f"Rate: {rate} requests a second, every answer right.")


def show_clients(port, requests=50000):
    counters = show_every_command(port)
    show_memcslap(port, counters)
    show_memcaslap(port, requests)


def keys_of(args):
    return dict(word.partition("=")[::2] for word in args.keys.split())


def check_cores(args):
    cores = keys_of(args).get("cores", "1")
    where = {"kvm": 'src/apps/udpkv/README.md, "Cores",', "xen": "docs/xen.md"}.get(args.plat)
    if where and cores.isdecimal() and int(cores) > 1:
        fail(f"cores={cores} can't be had here: what ./run starts has one processor, and its user network"
             f" one queue pair. {where} tells how to start one with more.")


def netdev_for(args):
    """Leads to where the image was told to serve."""
    keys = keys_of(args)
    return user_netdev(
        args.port,
        keys.get("udpkv.port", vm.GUEST_PORT),
        keys.get("net.ip", vm.GUEST_IP).partition("/")[0],
    )


def end_in_order(machine):
    """Types Ctrl-C; returns the image's exit code."""
    machine.send(vm.CTRL_C)
    try:
        machine.process.wait(1)
    except subprocess.TimeoutExpired:
        say("Waiting for the image: while it sleeps it hears Ctrl-C within idle.wake. Ctrl-C again ends QEMU.")
    return machine.exit_code(IDLE_WAKE_MAX_S + vm.DEADLINE_S)


def serve(args, accel):
    netdev = netdev_for(args)
    command = qemu_command(
        image(args.app), args.keys, args.machine, accel, args.mem, netdev=netdev
    )
    say(f"$ {shlex.join(command)}")
    with Vm(command, echo=say) as machine:
        try:
            machine.expect("^udpkv: serves")
        except AssertionError:
            if re.search(r"^Ringloop: exit \d+\.\Z", machine.console(), re.M):
                return machine.exit_code()  # it has said why it can't serve
            raise
        show_clients(args.port)
        if not args.once:
            try:
                say(f"\nudpkv serves on UDP port {args.port} of {HOST} until Ctrl-C.")
                machine.process.wait()
            except KeyboardInterrupt:
                say()
        return end_in_order(machine) if machine.process.poll() is None else machine.exit_code()


def boot(args, accel):
    """Any other app: shows its console until it ends. With --port it is reached like udpkv."""
    netdev = "user,id=n0"
    if args.port:
        check_port(args.port)
        netdev = user_netdev(args.port)
    command = qemu_command(image(args.app), args.keys, args.machine, accel, args.mem, netdev=netdev)
    say(f"$ {shlex.join(command)}")
    with Vm(command, echo=say) as machine:
        try:
            machine.process.wait()
        except KeyboardInterrupt:
            return end_in_order(machine)
        return machine.exit_code()


def run_on_linux(args):
    """A host process in this terminal: its keys, its console, its exit status."""
    if args.app == "udpkv" and not re.search(r"(^| )(vhost=|help$)", args.keys):
        fail(
            "udpkv on linux needs a network device, which is a vhost-user back end that listens on"
            " a UNIX socket.\nStart one in another terminal, for example a load generator (its packages:"
            " tests/install bench)\n  make kvload\n  build/bench/kvload --vhost=/tmp/vhost.sock"
            " --connect-timeout-ms=60000 --test-time=10 --hide-histogram --populate --key-maximum=100000"
            " -- --no-huge -m 256\nand name its socket within a minute: ./run udpkv linux"
            " vhost=/tmp/vhost.sock"
        )
    command = [str(image(args.app, "linux")), *args.keys.split()]
    say(f"$ {shlex.join(command)}")
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # the process got it, too, and ends in order
        except SystemExit:
            process.terminate()
            raise


def megabytes(text):
    match = re.fullmatch(r"(\d+)([MG])?", text)
    if not match:
        fail(f"--mem={text}: write a number and M or G, such as 64M")
    return int(match[1]) * (1024 if match[2] == "G" else 1)


def run_on_xen_host(args):
    """With this host's xl, in this terminal; the domain's network is on xl's default bridge."""
    folder = image(args.app, "xen").parent
    name, config = f"ringloop-{args.app}", folder / f"{args.app}.cfg"
    kernel, more = image(args.app, "xen"), {"on_poweroff": "destroy"}
    config.write_text(bed.config_text(name, kernel, args.keys, megabytes(args.mem), 1, [""], **more))
    say(f"This is a Xen host. The domain's config is {config}; `xl shutdown {name}` ends it, Ctrl-]"
        " leaves its console.")
    command = ["xl", "create", "-c", str(config)]
    say(f"$ {shlex.join(command)}")
    return subprocess.run(command).returncode


def run_in_bed(args, serves):
    """Under Xen in QEMU. udpkv is shown with clients, on the same port as with kvm."""
    if args.port:
        check_port(args.port)
    say("No Xen host; starting Xen with a dom0 of Debian's packages in QEMU (tests/xen).")
    with bed.Bed(netdev_for(args) if args.port else "user,id=n0") as xen:
        domain = xen.domain(
            image(args.app, "xen"), args.keys, memory=megabytes(args.mem), vif="", echo=say
        )
        say(f"$ xl create {args.app}.cfg, in dom0:\n{domain.config}")
        with domain:
            ended = domain.follow(r"^udpkv: serves" if serves else None)
            try:
                if serves and not ended:
                    show_clients(args.port, 2000)  # Xen in QEMU is slow
                    if not args.once:
                        say(f"\nudpkv serves on UDP port {args.port} of {HOST} until Ctrl-C.")
                        domain.follow(None)
            except KeyboardInterrupt:
                say()
            if domain.reason is None:
                domain.shutdown()
            domain.wait()
            if domain.reason == "crash":
                say(f"{xen.console_since_start()}\n{domain.processor()}")
            return domain.exit_code()


def run_on_xen(args, serves):
    if args.accel or args.machine != "q35":
        fail("--machine and --accel are for PLAT=kvm")
    if bed.on_xen_host():
        return run_on_xen_host(args)
    return run_in_bed(args, serves)


def main():
    vm.end_on_signals()
    args = arguments()
    check_cores(args)
    serves = args.app == "udpkv" and args.plat in ("kvm", "xen") and args.keys != "help"
    if serves:
        args.port = args.port or vm.GUEST_PORT
        check_port(args.port)
    build(args.app, args.plat)
    if args.plat == "linux":
        return run_on_linux(args)
    if args.plat == "xen":
        return run_on_xen(args, serves)
    if args.plat != "kvm":
        made = image(args.app, args.plat)
        fail(f"./run boots nothing for PLAT={args.plat}; the image is {made}")
    accel = choose_accel(args.accel)
    return serve(args, accel) if serves else boot(args, accel)


try:
    sys.exit(main())
except AssertionError as error:  # what Vm.expect and Client found wrong
    fail(str(error).splitlines()[0])  # the rest was shown already
except TimeoutError:
    fail("udpkv didn't answer in time")
except KeyboardInterrupt:
    sys.exit(130)
