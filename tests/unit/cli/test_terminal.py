"""Stdout and stderr: hidden characters are escaped, and trouble in writing is no traceback."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from cleancut.cli.exit_codes import Exit
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
