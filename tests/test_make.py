# SPDX-License-Identifier: BSD-2-Clause
"""The build: what it says, what it finds, what comes out of it."""

import os
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
    for file in ("Makefile", "VERSION"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def give_objects(build, tree=ROOT):
    """Those that are built already, so that `tree` compiles only what it has beside this one."""
    for made in (ROOT / "build").glob("obj-*"):
        shutil.copytree(made, build / made.name)
        flags = build / made.name / "flags"  # make builds all anew when they change, and they name the tree
        when = flags.stat()
        flags.write_text(flags.read_text().replace(str(ROOT), str(tree)))
        os.utime(flags, (when.st_atime, when.st_mtime))


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
    give_objects(tree / "build", tree)
    status, said = make("APP=greeter", cwd=tree)
    assert status == 0, said
    assert (tree / "build/greeter-kvm/greeter").exists()
    done = subprocess.run([tree / "build/greeter-linux/greeter"], stdout=subprocess.PIPE, text=True)
    assert "greetings" in done.stdout
    assert done.returncode == 3


# --- an app that lives elsewhere --------------------------------------------------------------------

ELSEWHERE = {
    "main.c": """#include "boot/boot.h"
#include "twice.h"

int doubled(int number)
{
    return twice(number);
}

int app_main(void)
{
    print("doubled %d\\n", doubled(4));
    return 0;
}
""",
    "twice.h": "static inline int twice(int number) { return 2 * number; }\n",
    "doubled_test.c": """#include "boot/test.h"

int doubled(int number);

TEST(doubled_of_three)
{
    CHECK_EQ(doubled(3), 6);
}
""",
}


def app_elsewhere(path):
    path.mkdir(parents=True)
    for name, text in ELSEWHERE.items():
        (path / name).write_text(text)
    return path


def test_an_app_elsewhere_is_built_and_tested(make, tmp_path):
    app, build = app_elsewhere(tmp_path / "one/twice"), f"BUILD={tmp_path}/build"
    give_objects(tmp_path / "build")
    status, said = make("-j2", f"APP={app}", build)
    assert status == 0, said
    done = subprocess.run([tmp_path / "build/twice-linux/twice"], stdout=subprocess.PIPE, text=True)
    assert "doubled 8" in done.stdout and done.returncode == 0
    with Vm(qemu_command(tmp_path / "build/twice-kvm/twice", machine="microvm")) as vm:
        vm.expect("^doubled 8$")
        assert vm.exit_code() == 0
    status, said = make("unit", f"APP={app}/", build)
    assert status == 0 and "1 passed, 0 failed" in said
    other = app_elsewhere(tmp_path / "two/twice")
    (other / "twice.h").write_text("static inline int twice(int number) { return 3 * number; }\n")
    status, said = make("unit", f"APP={other}", build)
    assert status != 0 and "doubled(3) is 9, expected 6" in said, "a folder of the same name is another app"


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("nowhere", "There is no folder '.*/nowhere'"),
        ("empty", "'.*/empty' has no C file"),
        ("a space", "has a space in it"),
        ("hello", "src/apps has an app 'hello' already"),
        ("hello.unit", "src/apps has an app 'hello' already"),
        *((f"a{character}b", f"has '{re.escape(character)}' in it") for character in "$#:%&;|,=\"`("),
    ],
)
def test_an_app_elsewhere_that_cant_be_built_is_explained(make, tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    if name not in ("nowhere", "empty"):
        app_elsewhere(tmp_path / name)
    status, said = make(f"APP={tmp_path / name}", f"BUILD={tmp_path}/build")
    assert status != 0
    assert re.search(sentence, said)


def test_an_app_without_app_main_isnt_linked(make, tmp_path):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing/main.c").write_text("int nothing;\n")
    give_objects(tmp_path / "build")
    status, said = make(f"APP={tmp_path}/nothing", "PLAT=kvm", f"BUILD={tmp_path}/build")
    assert status != 0 and "undefined reference to `app_main'" in said


def test_an_app_without_unit_tests_is_told_where_they_go(make):
    status, said = make("unit", "APP=hello")
    assert status != 0
    assert "hello has no unit tests: files named x_test.c" in said


def test_a_new_platform_is_found_without_touching_the_makefile(make, tree):
    shutil.copytree(tree / "src/boot/linux", tree / "src/boot/other")
    plat = tree / "src/boot/other/plat.mk"
    plat.write_text(plat.read_text().replace("linux", "other"))
    status, said = make("APP=hello", "PLAT=other", cwd=tree)
    assert status == 0, said
    assert (tree / "build/hello-other/hello").exists()


def test_two_builds_of_one_tree_give_the_same_bytes(make, tree):
    """Wherever the tree stands, and in whatever order its files are compiled."""
    commit = re.search(r" \((.*)\)|$", make("version")[1])[1] or ""
    for app in ("hello", "udpkv"):
        status, said = make("-j2", f"APP={app}", "PLAT=kvm", f"COMMIT={commit}", cwd=tree)
        assert status == 0, said
        assert (tree / f"build/{app}-kvm/{app}").read_bytes() == image(app).read_bytes()


@pytest.mark.parametrize("app, limit_kib", [
    ("hello", 22), ("udpkv", 156), ("pktgen", 98), ("reflect", 108), ("forward", 88), ("balancer", 124)])
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
