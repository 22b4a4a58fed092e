# SPDX-License-Identifier: BSD-2-Clause
"""What ./run does once the packages are there: build, boot, show the clients at work, serve."""

import errno
import re
import shlex
import socket
import subprocess
import sys
import time

import vm
import xen.bed as bed
from run_arguments import arguments, keys_of, served_port
from udpkv_client import EVERY_COMMAND, Client, memcaslap
from user_network import Unfit, user_netdevs
from vm import HOST, ROOT, Vm, image, kvm_problem, qemu_command

CLIENT_DEADLINE_S = 60
IDLE_WAKE_MAX_S = 60  # of the key idle.wake
MEMCSLAP_SETS, MEMCSLAP_TURNS = 50, 2


def say(text=""):
    print(text, flush=True)


def fail(text):
    sys.exit(f"run: {text}")


def build(folder, plat):
    command = ["make", "-s", f"APP={folder}", f"PLAT={plat}"]
    say(f"$ {shlex.join(command)}")
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        sys.exit(1)  # make has said why


def choose_accel(wanted):
    problem = kvm_problem()
    if wanted == "kvm" and problem:
        fail(f"KVM can't be used here ({problem}). Leave out --accel=kvm.")
    accel = wanted or ("tcg" if problem else "kvm")
    why = f": {problem}" if problem else ""
    say(f"Accelerator: {'KVM' if accel == 'kvm' else 'TCG, software emulation' + why}.")
    return accel


def check_ports(ports):
    for port, _ in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    fail(f"UDP port {port} of {HOST} can't be used: {error.strerror}. Choose another:"
                         " ./run --port=11311")
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
    """Runs a client that someone else wrote, prints what it prints; returns its status and that."""
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
    return done.returncode, done.stdout


def show_memcaslap(port, requests):
    problem = memcaslap(f"{HOST}:{port}", requests, run_client, say)
    if problem:
        fail(problem)


def show_memcslap(port):
    """libmemcached's memcslap sets values of up to 4 KB, two of three in IP fragments, and wants no
    answers: udpkv's counter tells when all have come. It does so in turns, as it doesn't wait either, and
    the socket of QEMU's user network holds some 40 of them."""
    with Client(HOST, port) as client:
        before = client.stats()["cmd_set"]
        for wanted in range(MEMCSLAP_SETS // MEMCSLAP_TURNS, MEMCSLAP_SETS + 1, MEMCSLAP_SETS // MEMCSLAP_TURNS):
            status, _ = run_client("memcslap", "--udp", f"--servers={HOST}:{port}", "--test=set",
                                   f"--execute-number={MEMCSLAP_SETS // MEMCSLAP_TURNS}")
            if status != 0:
                fail(f"memcslap exited with {status}")
            deadline = time.monotonic() + CLIENT_DEADLINE_S
            while (arrived := client.stats()["cmd_set"] - before) != wanted:
                if time.monotonic() > deadline:
                    fail(f"of memcslap's {wanted} sets udpkv counted {arrived}")
        say(f"udpkv counted all {arrived} sets; {client.stats()['reassembled']} requests so far came in fragments.")


def show_clients(port, requests=50000):
    show_every_command(port)
    show_memcslap(port)
    show_memcaslap(port, requests)


def check_cores(args):
    cores = keys_of(args.keys).get("cores", "1")
    where = {"kvm": 'src/apps/udpkv/README.md, "Cores",', "xen": "docs/xen.md"}.get(args.plat)
    if where and not args.more and cores.isdecimal() and int(cores) > 1:
        fail(f"cores={cores} can't be had here: what ./run starts has one processor, and its user network"
             f" one queue pair. {where} tells how to start one with more.")


def served_at(args):
    """The port of this machine that leads to where the image serves."""
    own = served_port(args)
    return next(host for host, guest in args.port if guest == own)


def netdevs_for(args, xen_host):
    """Of what runs in QEMU: its user networks, the first of which the ports lead to."""
    if args.plat == "linux" or xen_host:
        return []
    others = {bed.DOM0_IP: "dom0, which is on that network, too"} if args.plat == "xen" else {}
    try:
        return user_netdevs(args.keys, 1 if args.nics is None else args.nics, args.port, others)
    except Unfit as error:
        fail(str(error))


def say_ports(args):
    for host, guest in args.port:
        say(f"UDP port {host} of {HOST} leads to the image's {guest}.")


def say_serving(args):
    say(f"\nudpkv serves on UDP port {served_at(args)} of {HOST} until Ctrl-C.")


def exit_code(machine, deadline_s=vm.DEADLINE_S):
    """The image's; QEMU may have refused the command line, of which a part may be the user's."""
    status = machine.status(deadline_s)
    if "Ringloop: " not in machine.console():
        fail(f"QEMU ended with status {status} before the image said anything")
    return machine.exit_code()


def end_in_order(machine):
    """Types Ctrl-C; returns the image's exit code."""
    machine.send(vm.CTRL_C)
    try:
        machine.process.wait(1)
    except subprocess.TimeoutExpired:
        say("Waiting for the image: while it sleeps it hears Ctrl-C within idle.wake. Ctrl-C again ends QEMU.")
    return exit_code(machine, IDLE_WAKE_MAX_S + vm.DEADLINE_S)


def run_on_kvm(args, netdevs):
    accel = choose_accel(args.accel)
    command = qemu_command(
        image(args.app), args.keys, args.machine or "q35", accel, f"{args.mem or 64}M",
        netdevs=netdevs,
    )
    command += args.more
    say_ports(args)
    say(f"$ {shlex.join(command)}")
    with Vm(command, echo=say) as machine:
        return serve(args, machine) if args.serves else follow(machine)


def serve(args, machine):
    """udpkv, with its clients."""
    try:
        machine.expect("^udpkv: serves")
    except AssertionError:
        if machine.ended():  # it has said why
            return exit_code(machine)
        raise
    show_clients(served_at(args))
    if not args.once:
        try:
            say_serving(args)
            machine.process.wait()
        except KeyboardInterrupt:
            say()
    return end_in_order(machine) if machine.process.poll() is None else exit_code(machine)


def follow(machine):
    """Any other app: shows its console until it ends."""
    try:
        machine.process.wait()
    except KeyboardInterrupt:
        return end_in_order(machine)
    return exit_code(machine)


def check_linux_device(args):
    """selftest brings devices of its own, and so does driverbench; other apps may need none."""
    program = image(args.app, "linux")
    given = [word for word in keys_of(args.keys) if word in ("vhost", "tap", "help")]
    if given or args.app in ("selftest", "driverbench"):
        return
    keys = subprocess.run([program, "help"], stdout=subprocess.PIPE, text=True).stdout
    if not re.search(r"^\s*vhost\b", keys, re.M):
        return
    text = (
        f"{args.app} on linux needs a network device. Give it one of\n"
        f"  ./run {args.app} linux tap=NAME     a tap of this machine\n"
        f"  ./run {args.app} linux vhost=SOCK   a vhost-user back end, such as dpdk-testpmd, that listens"
        " on a UNIX socket"
    )
    if args.app == "udpkv":
        text += (
            "\nA back end for udpkv is its load generator (its packages: tests/install bench), which"
            " waits for a minute:\n  make kvload\n  build/bench/kvload --vhost=/tmp/vhost.sock"
            " --connect-timeout-ms=60000 --test-time=10 --hide-histogram --populate --key-maximum=100000"
            " -- --no-huge -m 256\nand in another terminal: ./run udpkv linux vhost=/tmp/vhost.sock"
        )
    fail(text)


def run_on_linux(args):
    """A host process in this terminal: its keys, its console, its exit status."""
    check_linux_device(args)
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


def run_on_xen_host(args):
    """With this host's xl, in this terminal; the domain's network is on xl's default bridge."""
    folder = image(args.app, "xen").parent
    name, config = f"ringloop-{args.app}", folder / f"{args.app}.cfg"
    kernel, more = image(args.app, "xen"), {"on_poweroff": "destroy"}
    vifs = [""] * (1 if args.nics is None else args.nics)
    config.write_text(bed.config_text(name, kernel, args.keys, args.mem or 64, 1, vifs, **more))
    say(f"This is a Xen host. The domain's config is {config}; `xl shutdown {name}` ends it, Ctrl-]"
        " leaves its console.")
    command = ["xl", "create", "-c", str(config)]
    say(f"$ {shlex.join(command)}")
    return subprocess.run(command).returncode


def run_in_bed(args, netdevs):
    """Under Xen in QEMU. udpkv is shown with clients, on the same port as with kvm."""
    say("No Xen host; starting Xen with a dom0 of Debian's packages in QEMU (tests/xen).")
    say_ports(args)
    with bed.Bed(netdevs[0] if netdevs else "user,id=n0") as xen:
        domain = xen.domain(
            image(args.app, "xen"), args.keys, memory=args.mem or 64, vif="" if netdevs else None, echo=say
        )
        say(f"$ xl create {args.app}.cfg, in dom0:\n{domain.config}")
        with domain:
            if args.serves and not domain.follow("^udpkv: serves"):
                show_clients(served_at(args), 2000)  # Xen in QEMU is slow
            try:
                if args.serves and not args.once and domain.reason is None:
                    say_serving(args)
                if not args.once:
                    domain.follow()
            except KeyboardInterrupt:
                say()
            if domain.reason is None:
                domain.shutdown()
            if domain.wait() == "not created":
                fail(f"xl refused the domain. Beside dom0 there is less than {bed.MEMORY_MB}M for it"
                     f" (--mem). xl said:\n{domain.xl().strip()}")
            if domain.reason == "crash":
                say(f"{xen.console_since_start()}\n{domain.processor()}")
            return domain.exit_code()


def check_xen(args, xen_host):
    """What the one or the other way to start a domain can't do."""
    if xen_host and args.port:
        fail("--port isn't for a Xen host, where the domain is on xl's bridge and is reached at its own"
             " address, net.ip. Leave it out.")
    if not xen_host and args.nics and args.nics > 1:
        fail(f"--nics={args.nics} can't be had here: all interfaces would be on the one bridge of the Xen"
             " that ./run starts. Write --nics=1, or use kvm, where each has its own network.")


def main():
    vm.end_on_signals()
    xen_host = bed.on_xen_host()
    args = arguments(sys.argv[1:], xen_host)
    check_cores(args)
    if args.plat == "xen":
        check_xen(args, xen_host)
    netdevs = netdevs_for(args, args.plat == "xen" and xen_host)
    check_ports(args.port)
    build(args.folder, args.plat)
    if args.plat == "linux":
        return run_on_linux(args)
    if args.plat == "xen":
        return run_on_xen_host(args) if xen_host else run_in_bed(args, netdevs)
    if args.plat != "kvm":
        made = image(args.app, args.plat)
        fail(f"./run boots nothing for PLAT={args.plat}; the image is {made}")
    return run_on_kvm(args, netdevs)


try:
    sys.exit(main())
except AssertionError as error:  # what Vm.expect and Client found wrong
    fail(str(error).splitlines()[0])  # the rest was shown already
except TimeoutError:
    fail("udpkv didn't answer in time")
except KeyboardInterrupt:
    sys.exit(130)
