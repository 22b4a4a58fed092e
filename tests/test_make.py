# SPDX-License-Identifier: BSD-2-Clause
"""The build: what it says, what it finds, what comes out of it."""

import re
import shutil
import socket
import subprocess

import pytest

from vm import DEADLINE_S, ROOT, Vm, free_udp_port, image, qemu_command, user_netdev


@pytest.fixture
def tree(tmp_path):
    """A copy of what make needs, to be changed at will."""
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def folders(path):
    return sorted(entry.name for entry in (ROOT / path).iterdir() if entry.is_dir())


def test_help_names_the_targets(make):
    status, said = make("help")
    assert status == 0
    for target in ("run", "debug", "test", "check", "size", "lines", "clean", "bench-pktgen", "bench-boot"):
        assert target in said


def test_an_unknown_app_is_answered_with_those_that_exist(make):
    status, said = make("APP=nope")
    assert status != 0
    assert "no app 'nope'" in said
    for app in folders("src/apps"):
        assert app in said


def test_an_unknown_platform_is_answered_with_those_that_exist(make):
    status, said = make("PLAT=nope")
    assert status != 0
    assert "no platform 'nope'" in said
    for plat in ("kvm", "linux"):
        assert plat in said


@pytest.mark.parametrize("compiler, package", [("gcc-nope", "gcc"), ("clang-nope", "clang")])
def test_a_missing_compiler_names_its_package(make, compiler, package):
    status, said = make(f"CC={compiler}")
    assert status != 0
    assert f"no compiler '{compiler}'" in said
    assert said.split("apt-get install ")[1].startswith(package)


def test_a_missing_header_names_its_package(make, tree):
    plat = tree / "src/boot/kvm/plat.mk"
    plat.write_text(plat.read_text() + "\nkvm.header := /nowhere/start_info.h\n")
    status, said = make("APP=hello", "PLAT=kvm", cwd=tree)
    assert status != 0
    assert "/nowhere/start_info.h is missing" in said
    assert "apt-get install libxen-dev" in said


def test_a_new_app_is_found_without_touching_the_makefile(make, tree):
    new = tree / "src/apps/greeter"
    new.mkdir()
    (new / "main.c").write_text(
        '#include "boot/boot.h"\n'
        'int app_main(void)\n{\n    print("greetings\\n");\n    return 3;\n}\n'
    )
    status, said = make("APP=greeter", cwd=tree)
    assert status == 0, said
    assert (tree / "build/greeter-kvm/greeter").exists()
    done = subprocess.run([tree / "build/greeter-linux/greeter"], stdout=subprocess.PIPE, text=True)
    assert "greetings" in done.stdout
    assert done.returncode == 3


def test_the_app_in_the_docs_builds_and_reflects(make, tree):
    page = (ROOT / "docs/writing-an-app.md").read_text()
    (tree / "src/apps/reflect").mkdir()
    (tree / "src/apps/reflect/main.c").write_text(re.search(r"^```c\n(.*?)^```", page, re.M | re.S)[1])
    status, said = make("APP=reflect", "PLAT=kvm", cwd=tree)
    assert status == 0, said
    port = free_udp_port()
    command = qemu_command(tree / "build/reflect-kvm/reflect", machine="microvm", netdev=user_netdev(port))
    with Vm(command) as vm, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        vm.expect("^reflect: ready")
        peer.settimeout(DEADLINE_S)
        peer.connect(("127.0.0.1", port))
        for text in (b"hello", b"", b"x" * 1472):
            peer.send(text)
            assert peer.recv(2000) == text
        assert vm.end() == 0


def test_a_new_platform_is_found_without_touching_the_makefile(make, tree):
    shutil.copytree(tree / "src/boot/linux", tree / "src/boot/other")
    plat = tree / "src/boot/other/plat.mk"
    plat.write_text(plat.read_text().replace("linux", "other"))
    status, said = make("APP=hello", "PLAT=other", cwd=tree)
    assert status == 0, said
    assert (tree / "build/hello-other/hello").exists()


def test_two_builds_of_one_tree_give_the_same_bytes(make, tree):
    """Wherever the tree stands, and in whatever order its files are compiled."""
    for app in ("hello", "udpkv"):
        status, said = make("-j2", f"APP={app}", "PLAT=kvm", cwd=tree)
        assert status == 0, said
        assert (tree / f"build/{app}-kvm/{app}").read_bytes() == image(app).read_bytes()


@pytest.mark.parametrize("app, limit_kib", [("hello", 24), ("udpkv", 100), ("pktgen", 100)])
def test_images_stay_small(tmp_path, app, limit_kib):
    stripped = tmp_path / app
    subprocess.run(["strip", "-o", stripped, image(app)], check=True)
    assert stripped.stat().st_size <= limit_kib * 1024


@pytest.mark.parametrize(
    "words, command",
    [
        ([], "./run udpkv kvm"),
        (["APP=hello"], "./run hello kvm"),
        (["PLAT=linux"], "./run udpkv linux"),
        (["APP=hello", "PLAT=linux"], "./run hello linux"),
    ],
)
def test_make_run_is_run(make, words, command):
    assert make("-n", "run", *words) == (0, f"{command}\n")


def test_size_is_told_by_section_and_by_file(make):
    status, said = make("size", "APP=hello", "PLAT=kvm")
    assert status == 0
    assert ".text" in said
    assert "boot/lib.c" in said
