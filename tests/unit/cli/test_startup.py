"""What the command line loads to start: help, `--version` and TAB need little more than click."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import click
import pytest

from cleancut.cli.main import root
from cleancut.cli.nouns import NOUNS
from tests.support.cli_runner import environment

HEAVY = (
    *("grpc", "google", "rich", "structlog", "aiohttp", "boto3", "botocore", "obstore"),
    *("qdrant_client", "numpy", "msgspec", "yaml", "asyncio", "ssl", "zstandard", "blake3"),
    *("cryptography", "cleancut.v1", "cleancut.store", "cleancut.client", "cleancut.api"),
)
SOLO = ("solo",)
"""Its help is that of a program of its own, which takes the process over."""
RUN = """
import contextlib, io, json, os, sys
from cleancut.cli.main import run
def loaded(*words, **variables):
    os.environ.update(variables)
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(words)
        except SystemExit as over:  # of completion
            code = over.code
    for name in variables:
        del os.environ[name]
    return [list(words), code, sorted({heavy} & sys.modules.keys())]
print(json.dumps([{calls}]))
"""


def modules_after(*calls: str) -> list[Any]:
    """Words, exit code, and which of `HEAVY` are loaded by then, of calls in one process."""
    program = RUN.format(heavy=set(HEAVY), calls=", ".join(f"loaded({one})" for one in calls))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment(),
    )
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def paths(command: click.Command, *words: str) -> list[tuple[str, ...]]:
    """The words of every command, groups included."""
    if not isinstance(command, click.Group):
        return [words]
    inner = (paths(one, *words, name) for name, one in command.commands.items())
    return [words, *(path for found in inner for path in found)]


def test_help_version_and_completion_load_nothing_that_only_a_command_needs() -> None:
    def tab(line: str) -> str:
        at = len(line.split(" ")) - 1
        return f"_CLEANCUT_COMPLETE='bash_complete', COMP_WORDS={line!r}, COMP_CWORD='{at}'"

    calls = ["'--version'", tab("cleancut ba"), tab("cleancut backup list --")]
    calls += [", ".join(map(repr, (*words, "--help"))) for words in paths(root) if words != SOLO]
    assert [one for one in modules_after(*calls) if one[1:] != [0, []]] == []


@pytest.mark.parametrize(
    ("words", "needless"),
    [
        (
            ("-o", "json", "--coordinator", "127.0.0.1:1", "backup", "list"),
            {"boto3", "obstore", "rich", "structlog", "aiohttp", "yaml", "numpy", "qdrant_client"},
        ),
        (
            ("-o", "json", "--store", "file:///nonexistent", "backup", "list"),
            {"boto3", "obstore", "rich", "structlog", "aiohttp", "yaml", "grpc", "google"},
        ),
        (("-o", "json", "version"), set(HEAVY) - {"msgspec", "cleancut.api"}),
    ],
)
def test_a_command_loads_what_it_needs(words: tuple[str, ...], needless: set[str]) -> None:
    found = modules_after(", ".join(map(repr, words)))
    assert needless.isdisjoint(found[0][2])


def test_nouns_are_as_their_commands_say() -> None:
    """The root's help is written from this table, so that it need not load them."""
    for name, noun in NOUNS.items():
        command = noun.load()
        assert command.name == name
        assert command.get_short_help_str(500) == noun.help
        assert noun.short(45) == command.get_short_help_str(45)
        assert not command.hidden
    assert list(NOUNS) == sorted(NOUNS)
