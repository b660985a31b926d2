"""Stdout and stderr: hidden characters are escaped, and trouble in writing is no traceback."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys

import click
import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run as run_here
from cleancut.cli.terminal import write_out
from cleancut.core.primitives.visible import visible
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import environment, run

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
MAIN = "from cleancut.cli.main import main; main()"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Bücher 文", "Bücher 文"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\x1b[2J\r", "\\x1b[2J\\r"),
        ("one\ntwo", "one\\ntwo"),
    ],
)
def test_hidden_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_of_a_message_stay_lines() -> None:
    assert visible("one\ntwo\u200b", lines=True) == "one\ntwo\\u200b"


@pytest.mark.slow  # a process for each command line
@pytest.mark.parametrize(
    ("redirected", "complaint"),
    [
        (">/dev/full", "the result was not printed: cannot write to stdout"),
        (">&-", "the result was not printed: stdout is closed"),
        ("| head -n 0", ""),
    ],
)
def test_a_good_backup_stays_good_without_a_usable_stdout(redirected: str, complaint: str) -> None:
    """The backup is committed, so the exit code is 0 and nothing looks like a crash."""

    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            command = f"set -o pipefail; {sys.executable} -c '{MAIN}' backup create {redirected}"
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", command),
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment(CLEANCUT_COORDINATOR=address, PYTHONPATH=os.pathsep.join(sys.path)),
            )
            _, err = await process.communicate()
        assert "Traceback" not in err.decode()
        assert complaint in err.decode()
        assert process.returncode == Exit.OK, err.decode()

    run(scenario())


@pytest.mark.slow
def test_a_name_that_stdout_cannot_encode_is_escaped() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", MAIN, "backup", "create", "-c", "文", "-o", "yaml"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment(CLEANCUT_COORDINATOR=address, PYTHONIOENCODING="latin-1"),
            )
            out, err = await process.communicate()
        assert (process.returncode, b"\\u6587" in out) == (Exit.OK, True), err

    run(scenario())


PIECES = (
    ("--help | head -n 1", Exit.OK),
    ("--help >/dev/full", Exit.FAILED),
    ("version >&-", Exit.FAILED),
    ("version <&- 2>&-", Exit.OK),
    ("key list 2>&-", Exit.USAGE),
    ("-o json key list 2>/dev/full", Exit.USAGE),
    ("backup delete 7 <&-", Exit.USAGE),
)
"""Command lines with what is wrong with their streams, and how they end."""
PLACES = (
    ({"LC_ALL": "C"}, "--store file:///nonexistent/ü/文 backup list", Exit.REFUSED),
    (
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"},
        "token new --name ü --role admin",
        Exit.USAGE,
    ),
    ({"COLUMNS": "20"}, "version", Exit.OK),
)


@pytest.mark.slow
def test_streams_and_places_of_any_kind_leave_no_traceback_and_the_right_exit_code() -> None:
    lines = [f"run {line}; report" for line, _ in PIECES]
    for variables, line, _ in PLACES:
        given = " ".join(f"{name}={value}" for name, value in variables.items())
        lines.append(f"export {given}; run {line}; report; unset {' '.join(variables)}")
    script = f"""
        set -o pipefail; unset HOME
        run() {{ {sys.executable} -c '{MAIN}' "$@"; }}
        report() {{ echo "ended: $?" >&2; }}
    """
    done = subprocess.run(
        ["bash", "-c", script + "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
        env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
    )
    err = done.stderr.decode()
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    ended = [int(line[7:]) for line in err.splitlines() if line.startswith("ended: ")]
    assert ended == [code for *_, code in (*PIECES, *PLACES)], err


class Terminal(io.StringIO):
    """Text that says of itself that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_no_color_means_none(
    variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    err, out = Terminal(), Terminal()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        assert run_here(["key", "list"]) == Exit.USAGE
        write_out(click.style("red", fg="red"))
    assert ("\x1b" in err.getvalue()) is coloured
    assert ("\x1b" in out.getvalue()) is coloured
