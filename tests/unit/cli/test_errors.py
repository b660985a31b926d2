"""Errors of a command line: one line of JSON where JSON was asked for, and text for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cleancut.api.command_errors import read_command_error
from cleancut.api.values import CommandError
from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.cli.terminal import asked_output

STORE = ("--store", "file:///nonexistent/store")
NOWHERE = ("--coordinator", "127.0.0.1:1")
ERRORS = [
    (("-o", "json", "bakup"), Exit.USAGE, "INVALID"),
    (("backup", "list", "--bogus", "-o", "json"), Exit.USAGE, "INVALID"),
    (("backup", "show", "-ojson"), Exit.USAGE, "INVALID"),
    (("backup", "list", "--limit", "no", "--output=json"), Exit.USAGE, "INVALID"),
    (("-qo", "json", "backup"), Exit.USAGE, "INVALID"),
    (("-o", "json", "backup", "delete", "7"), Exit.USAGE, "INVALID"),
    (("-o", "json", "--config", "/nonexistent/file", "version"), Exit.USAGE, "INVALID"),
    (("-o", "json", *STORE, "backup", "list"), Exit.REFUSED, "REFUSED"),
    (("-o", "json", *STORE, *NOWHERE, "backup", "list"), Exit.USAGE, "INVALID"),
    (("-o", "json", *NOWHERE, "backup", "list"), Exit.NO_LEADER, "UNAVAILABLE"),
    (("-o", "json", "key", "list"), Exit.USAGE, "INVALID"),
]


def error_of(text: str) -> dict[str, Any]:
    """The error of a stderr that holds that line and nothing else."""
    assert text.count("\n") == 1, text
    document = json.loads(text)
    assert document.keys() == {"schema", "error"}
    assert document["schema"] == 1
    error = document["error"]
    assert {key: type(value) for key, value in error.items()} == {
        "code": int,
        "message": str,
        "hint": str,
        "reason": str,
    }
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize(("words", "code", "reason"), ERRORS)
def test_errors_are_one_line_of_json_where_json_was_asked_for(
    words: tuple[str, ...], code: Exit, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == code
    out, err = capfd.readouterr()
    assert out == ""
    error = error_of(err)
    assert (error["code"], error["reason"]) == (code, reason)
    assert error["message"]


def test_the_environment_and_the_settings_file_ask_for_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('output = "json"\n', encoding="utf-8")
    assert run(["--config", str(file), "key", "list"]) == Exit.USAGE
    assert error_of(capfd.readouterr().err)["reason"] == "INVALID"
    monkeypatch.setenv("CLEANCUT_OUTPUT", "json")
    assert run(["backup", "list", "--bogus"]) == Exit.USAGE
    assert "--bogus" in error_of(capfd.readouterr().err)["message"]
    assert run(["-o", "table", "backup", "list", "--bogus"]) == Exit.USAGE
    assert capfd.readouterr().err.startswith("Usage: ")


def test_people_get_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["key", "list"]) == Exit.USAGE
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint", "reason"]


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("-o json backup list", "json"),
        ("backup list -o json", "json"),
        ("backup list -ojson --bogus", "json"),
        ("backup list -qo ndjson", "ndjson"),
        ("backup list --output json", "json"),
        ("backup list --output=yaml", "yaml"),
        ("-o json backup list -o table", "table"),
        ("demo -- -o json", "name"),
        ("backup list", "name"),
        ("backup list -o", "name"),
    ],
)
def test_the_last_flag_beats_the_environment(line: str, asked: str) -> None:
    assert asked_output(line.split(), {"CLEANCUT_OUTPUT": "name"}) == asked


def test_the_error_is_found_between_other_lines() -> None:
    """As the coordinator reads what a verification that it started has printed."""
    line = '{"schema":1,"error":{"code":9,"message":"m","hint":"h","reason":"CORRUPT"}}'
    found = read_command_error(f"backup #1: running\n{line}\nnote: more\n")
    assert found == CommandError(9, "m", "h", "CORRUPT")
    assert read_command_error("backup #1: running\n{}\n") is None
