# SPDX-License-Identifier: BSD-2-Clause
"""What the pages say of the tree: links lead somewhere, and lines that are named have what is said."""

import re
import subprocess
import sys

import pytest

from vm import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").glob("*.md"),
                *(ROOT / "src/apps").glob("*/README.md")])
LINES = re.compile(r"\[[^]]*\]\(([^)#]+)#L(\d+)-L(\d+)\) `([^`]+)`")
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page):
    """Those that a page's headings get, as GitHub and cgit make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for path, anchor in LINK.findall(text):
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {path}#{anchor}"


def test_lines_that_a_page_names_have_what_it_says():
    seen = 0
    for page in PAGES:
        for path, first, last, word in LINES.findall(page.read_text()):
            lines = (page.parent / path).read_text().splitlines()[int(first) - 1 : int(last)]
            assert any(word in line for line in lines), f"{page.name}: {path} {first}-{last} has no {word}"
            seen += 1
    assert seen >= 10


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_small_apps_are_small():
    """What an app would have to copy belongs below the apps."""
    for app, limit in (("reflect", 60), ("forward", 90)):
        text = re.sub(r"/\*.*?\*/", "", (ROOT / f"src/apps/{app}/main.c").read_text(), flags=re.S)
        assert len([line for line in text.splitlines() if line.strip()]) <= limit


def names_of_tests():
    """Every test that there is: of pytest, and of C."""
    for source in [*ROOT.glob("tests/test_*.py"), *ROOT.glob("src/**/*test*.c")]:
        yield source.name
        yield from re.findall(r"^ *def (test_\w+)|^[A-Z_]*TEST[A-Z_]*\((?:[A-Z_]+, )?(\w+)", source.read_text(), re.M)


def test_every_test_that_a_page_names_is_there():
    """In the last column of conformance.md, and in machines.md and clients.md."""
    known = {name for names in names_of_tests() for name in ([names] if isinstance(names, str) else names)}
    named = [name for page in ("machines", "clients")
             for name in re.findall(r"`(test_\w+)[`\[]", (ROOT / f"docs/{page}.md").read_text())]
    for row in re.findall(r"^\|.*\|$", (ROOT / "docs/conformance.md").read_text(), re.M):
        named += re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+){2,}\b(?:\.c)?", row.rsplit("|", 2)[1])
    assert len(named) > 100
    assert sorted(set(named) - known) == []


def test_every_parameter_that_a_page_names_is_there():
    """In machines.md, as test_name[parameter]."""
    named = re.findall(r"`((test_\w+)\[[^`]+\])`", (ROOT / "docs/machines.md").read_text())
    assert named
    defined = re.compile(rf"^def ({'|'.join({name for _, name in named})})\(", re.M)
    files = [str(file) for file in ROOT.glob("tests/test_*.py") if defined.search(file.read_text())]
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", *files]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    known = {line.partition("::")[2] for line in listed.splitlines()}
    assert sorted({ident for ident, _ in named} - known) == []
