"""Docs and program know each other."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from cleancut.cli.main import root
from cleancut.core.maintenance.notify_rules import unknown_schedules
from cleancut.core.maintenance.stores import check_targets
from cleancut.daemon_settings import (
    load_file,
    read_fences,
    read_notify,
    read_retention,
    read_schedules,
    read_stores,
)
from cleancut_agent.main import cli as agent
from cleancut_coordinator.main import cli as coordinator
from cleancut_solo.main import cli as solo
from tests.tidy.command_lines import parse
from tests.tidy.test_words import BANNED
from tests.tidy.tree import ROOT, files, text_of

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]*)(?:#([^)\s]*))?\)")


def pages() -> list[str]:
    return [path for path in files() if path.endswith(".md")]


def commands(group: click.Group, path: str = "") -> set[str]:
    """Every `noun verb` there is."""
    found: set[str] = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{name} ")
        else:
            found.add(path + name)
    return found


def test_every_command_is_in_the_reference() -> None:
    page = text_of("docs/reference/cli.md")
    missing = [name for name in commands(root) if f"### cleancut {name}\n" not in page]
    assert missing == []


def test_docs_name_no_command_that_does_not_exist() -> None:
    """A reader who types what a page says gets what it promises."""
    nouns = {name for name, command in root.commands.items() if isinstance(command, click.Group)}
    known = commands(root)
    wrong = []
    for path in pages():
        for words in re.findall(r"`cleancut ((?:[a-z]+ ?)+)", text_of(path)):
            first, *rest = words.split()
            named = f"{first} {rest[0]}" if first in nouns and rest else first
            if named not in known | nouns:
                wrong.append(f"{path}: cleancut {words}")
    assert wrong == []


def typed(path: str) -> list[str]:
    """The command lines of a page, indented or fenced, from `cleancut` on; without a comment."""
    fenced = re.findall(r"^```sh\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    .*", text_of(path), re.MULTILINE)
    line = r"^\s*(?:kubectl [^#\n]* -- )?cleancut (.*?)(?:\s+#.*)?$"
    return re.findall(line, "\n".join([*fenced, *indented]), re.MULTILINE)


WITH_COMMANDS = [path for path in pages() if path != "CHANGELOG.md" and typed(path)]


@pytest.mark.parametrize("path", WITH_COMMANDS)
def test_commands_of_a_page_can_be_typed(path: str) -> None:
    """Each is parsed as the program parses it, flags included."""
    for line in typed(path):
        plain = line.partition(" > ")[0].partition(" | ")[0].replace("PEER_ID", "7")
        parse(shlex.split(plain.replace("$(uuidgen)", "7").removesuffix(" ...")))


def snippets(path: str) -> list[str]:
    """The TOML blocks of a page."""
    return re.findall(r"^```toml\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", [path for path in pages() if snippets(path)])
def test_settings_of_a_page_are_accepted(path: str, tmp_path: Path) -> None:
    """Each TOML block has keys of the programs, and tables that a coordinator reads."""
    known = {str(option.name).replace("_", "-") for option in (*agent.params, *solo.params)}
    known |= {str(option.name).replace("_", "-") for option in coordinator.params}
    for number, block in enumerate(snippets(path)):
        file, context = tmp_path / f"{number}.toml", click.Context(coordinator)
        file.write_text(block, encoding="utf-8")
        load_file(context, coordinator.params[0], file)
        read_fences(context, 2.0)
        read_retention(context)
        schedules = read_schedules(context)
        check_targets(schedules, read_stores(context))
        assert unknown_schedules(read_notify(context), schedules) == []
        tables = {"fence", "notify", "retention", "schedule", "store", "roles"}
        assert set(tomllib.loads(block)) <= known | tables


def anchors(path: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", pages())
def test_links_of_a_page_resolve(path: str) -> None:
    """Each relative link names a file or folder of the tree, and a heading of it if it has one."""
    dead = []
    for target, anchor in _LINK.findall(text_of(path)):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = Path(path) if not target else Path(path).parent / target
        name = os.path.normpath(file)
        if not (ROOT / name).exists() or (anchor and anchor not in anchors(name)):
            dead.append(f"{target}#{anchor}" if anchor else target)
    assert dead == []


def test_every_page_is_in_the_index() -> None:
    """Each page under docs/ can be reached from its index, directly or by a folder's README."""
    listed = {
        os.path.normpath(Path("docs") / target)
        for target, _ in _LINK.findall(text_of("docs/index.md"))
    }
    kinds = ("docs/tutorials/", "docs/how-to/", "docs/reference/")
    assert [path for path in pages() if path.startswith(kinds) and path not in listed] == []
    decisions = text_of("docs/decisions/README.md")
    ours = [Path(path).name for path in pages() if path.startswith("docs/decisions/D")]
    assert [name for name in ours if f"({name})" not in decisions] == []


@pytest.mark.parametrize("path", ["CONTRIBUTING.md", "docs/where-is-what.md", "ARCHITECTURE.md"])
def test_files_that_guide_newcomers_exist(path: str) -> None:
    """A file or folder that is named from the root of the tree is there."""
    tops = {file.partition("/")[0] for file in files() if "/" in file}
    quoted = re.findall(r"`(\w+/[\w./-]*)`", text_of(path))
    named = [name for name in quoted if name.partition("/")[0] in tops]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", [path for path in pages() if path.startswith("docs/")])
def test_pages_keep_the_wording_rules(path: str) -> None:
    """Pages that people write, without quoted messages: test_words.py counts those."""
    if "Written by `make docs`" not in text_of(path):
        text = re.sub(r'"[^"]*"', "", " ".join(text_of(path).split()))
        assert BANNED.findall(text) == []
