"""Docs and program know each other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from cleancut.cli.main import root
from tests.tidy.tree import ROOT, files, text_of

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


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
    page = text_of("docs/reference-cli.md")
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


@pytest.mark.parametrize(
    "path", [path for path in pages() if path.startswith(("docs/runbooks/", "docs/monitoring"))]
)
def test_commands_of_runbooks_can_be_typed(path: str) -> None:
    """At night nobody guesses: each is parsed as the program parses it, flags included."""
    for line in re.findall(r"^    cleancut (.*?)(?:\s+#.*)?$", text_of(path), re.MULTILINE):
        command: click.Command = root
        words = shlex.split(line.replace("PEER_ID", "7"))
        while True:
            context = command.make_context(command.name, list(words))
            if not isinstance(command, click.Group):
                break
            _, command, words = command.resolve_command(
                context, context._protected_args + context.args
            )
        assert not isinstance(command, click.Group), line


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for path in pages():
        for target in _LINK.findall(text_of(path)):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (ROOT / Path(path).parent / target).exists():
                dead.append(f"{path}: {target}")
    assert dead == []
