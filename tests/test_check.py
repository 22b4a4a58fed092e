# SPDX-License-Identifier: BSD-2-Clause
"""What tests/check finds in a small tree of its own, and in apps elsewhere."""

import importlib.machinery
import importlib.util

import pytest

from vm import ROOT


@pytest.fixture
def check(tmp_path):
    """tests/check as a module that looks at an empty tree in tmp_path."""
    loader = importlib.machinery.SourceFileLoader("check", str(ROOT / "tests/check"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    loader.exec_module(module)
    module.ROOT, module.ALL = tmp_path / "tree", (tmp_path / "tree/src",)
    write(module.ROOT / "src/boot/boot.h", "int app_main(void);\n")
    return module


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def function(name, head="static void"):
    return f"{head} {name}(void)\n{{\n}}\n"


def in_files(check, *texts, name="src/boot/x%d.c"):
    for i, text in enumerate(texts):
        write(check.ROOT / (name % i), text)


def test_a_name_may_stand_in_two_files(check):
    in_files(check, function("find"), function("find"))
    assert not list(check.names())


@pytest.mark.parametrize("head", ["static void", "__attribute__((cold)) static inline int", "INLINE bool"])
def test_a_name_in_three_files_is_found(check, head):
    write(check.ROOT / "src/boot/inline.h", "#define INLINE static inline\n")
    in_files(check, *[function("find", head)] * 3)
    (found,) = check.names()
    assert found.startswith("find() stands in more than 2 files: ")
    assert all(f"x{i}.c" in found for i in range(3))


def test_a_public_function_counts_once_for_all_platforms(check):
    in_files(check, *[function("boot_exit", "void")] * 3)
    assert not list(check.names())
    in_files(check, *[function("boot_exit")] * 2, name="src/boot/static%d.c")
    assert len(list(check.names())) == 1


def test_methods_are_left_out(check):
    method = function("start") + "static const struct ops ops = {\n    .start = start,\n};\n"
    in_files(check, method, method, method, function("start"), function("start"))
    assert not list(check.names())
    in_files(check, function("start"), name="src/boot/more%d.c")
    assert len(list(check.names())) == 1


def test_tests_are_counted_apart_and_begin_each_by_themselves(check):
    in_files(check, *[function("begin") + function("make")] * 2, name="src/boot/x%d_test.c")
    in_files(check, *[function("make")] * 2)
    assert not list(check.names())
    in_files(check, function("begin") + function("make"), name="src/boot/third%d_test.c")
    (found,) = check.names()
    assert found.startswith("make() ")


def test_an_app_elsewhere_is_checked_like_those_of_the_tree(check, tmp_path):
    app = tmp_path / "elsewhere/app"
    write(app / "own.h", "int own;\n")
    write(app / "main.c", '#include "boot/boot.h"\n#include "own.h"\n#include "apps/other/other.h"\n' + "x" * 101)
    write(check.ROOT / "src/apps/other/other.h", "int other;\n")
    check.APPS_ELSEWHERE.append(app)
    assert list(check.includes()) == [f"{app}/main.c:3: nobody includes another app"]
    assert list(check.lengths()) == [f"{app}/main.c:4: 101 columns; at most 100"]
    in_files(check, function("find"), function("find"))
    write(app / "find.c", function("find"))
    assert len(list(check.names())) == 1


def test_links_are_followed_but_not_in_circles(check, tmp_path):
    write(tmp_path / "elsewhere/app/main.c", "x" * 101)
    (check.ROOT / "src/apps").mkdir()
    (check.ROOT / "src/apps/app").symlink_to(tmp_path / "elsewhere/app")
    (tmp_path / "elsewhere/app/back").symlink_to(check.ROOT / "src")
    assert list(check.lengths()) == [f"{check.ROOT}/src/apps/app/main.c:1: 101 columns; at most 100"]
