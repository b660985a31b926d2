"""A command line that lacks something names all of it at once; `help` works like --help."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from cleancut.cli.main import root
from cleancut_agent.main import cli as agent
from cleancut_coordinator.main import cli as coordinator

NO_SETTINGS = {"XDG_CONFIG_HOME": "/nonexistent", "HOME": "/nonexistent"}


def refused(command: click.Command, *arguments: str, **env: str) -> str:
    """The error of a wrong command line, on one line."""
    result = CliRunner().invoke(command, arguments, env={**NO_SETTINGS, **env})
    assert result.exit_code == 2, result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (agent, ("--cluster", "--etcd", "--store", "--qdrant-url", "--spill-dir")),
        (coordinator, ("--cluster", "--etcd", "--store", "--qdrant-url")),
    ],
)
def test_a_program_names_all_missing_settings_at_once(
    program: click.Command, flags: tuple[str, ...]
) -> None:
    error = refused(program)
    assert all(flag in error for flag in flags)
    assert "CLEANCUT_QDRANT_URL" in error
    assert "--config" in error


def test_what_the_environment_gives_is_not_missing() -> None:
    error = refused(agent, "--store", "file:///x", CLEANCUT_ETCD="h:1", CLEANCUT_CLUSTER="")
    assert "missing options --cluster, --qdrant-url, --spill-dir (" in error


def test_a_verb_names_its_missing_argument_and_flags_at_once() -> None:
    assert "missing argument BACKUP and options --collection, --out" in refused(
        root, "backup", "extract"
    )
    assert "--role (reader | operator | admin)" in refused(root, "token", "new", "--name", "x")


@pytest.mark.parametrize(
    ("asked", "flagged"),
    [
        (("help",), ("--help",)),
        (("help", "backup"), ("backup", "--help")),
        (("help", "backup", "create"), ("backup", "create", "--help")),
        (("backup", "help"), ("backup", "--help")),
        (("backup", "help", "create"), ("backup", "create", "--help")),
    ],
)
def test_help_is_a_command_too(asked: tuple[str, ...], flagged: tuple[str, ...]) -> None:
    runner = CliRunner(env=NO_SETTINGS)
    wanted = runner.invoke(root, flagged)
    found = runner.invoke(root, asked)
    assert found.exit_code == wanted.exit_code == 0
    assert found.output == wanted.output != ""


def test_help_of_an_unknown_command_is_an_error_with_a_suggestion() -> None:
    assert "backup" in refused(root, "help", "backp")
