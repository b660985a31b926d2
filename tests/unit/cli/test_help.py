"""Help: each one ends with examples that can be typed, and with the address of its page."""

from __future__ import annotations

import shlex
import tomllib

import click
import pytest

from cleancut.cli.examples import DOCS_URL, explained
from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import root, run
from tests.tidy.tree import ROOT


def commands(command: click.Command, *words: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, groups included; `solo` has the help of its own program."""
    found = [(words, command)]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            if name != "solo":
                found += commands(inner, *words, name)
    return found


ALL = commands(root)


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_help_has_examples_that_parse_and_a_page(
    words: tuple[str, ...], command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == Exit.OK
    shown = capsys.readouterr().out
    found = explained(" ".join(words))
    assert found is not None, "add it to cleancut/cli/examples.py"
    assert shown.endswith(f"\nDocumentation: {found.url}\n")
    assert "\nExamples:\n" in shown
    assert shown.isascii()
    assert "`" not in shown, "help is plain text"
    for line in found.lines:
        assert f"  {line}\n" in shown
        if f"{line} ".startswith("cleancut "):
            called = parsed(line)
            assert called[: len(words)] == words or called[:1] == ("help",)
    page = ROOT / "docs" / f"{found.page}.md"
    assert page.is_file(), page


def parsed(line: str) -> tuple[str, ...]:
    """The words of the command that `line` calls. Raises: UsageError."""
    words = shlex.split(line.partition(" > ")[0])[1:]
    if words[0] == "help":
        return tuple(words)
    command: click.Command = root
    path: list[str] = []
    while isinstance(command, click.Group):
        context = command.make_context(command.name, words)
        name, found, words = command.resolve_command(
            context, context._protected_args + context.args
        )
        assert found is not None
        path.append(str(name))
        command = found
    command.make_context(command.name, words)
    return tuple(path)


def test_help_of_words_is_their_help(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (["help", "backup", "create"], ["backup", "create", "--help"]):
        assert run(words) == Exit.OK
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != ""


def test_the_address_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Documentation"] == DOCS_URL
