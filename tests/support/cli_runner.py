"""Runs the command line as a user does: a process, with its streams and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Ran:
    """How one invocation ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """stdout as exactly one JSON document."""
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Ours without anything that would configure the program."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CLEANCUT_", "XDG_"))}
    return {**kept, "HOME": "/nonexistent", "NO_COLOR": "1", **more}


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-c", "from cleancut.cli.main import main; main()", *arguments]


async def cleancut(*arguments: str, **env: str) -> Ran:
    """Runs it to its end, without a terminal."""
    async with asyncio.timeout(LIMIT_S):
        process = await asyncio.create_subprocess_exec(
            *_command(arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**env),
        )
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def interrupted(*arguments: str, after: str) -> Ran:
    """Runs it until stderr says `after`, then sends Ctrl-C once."""
    async with asyncio.timeout(LIMIT_S):
        process = await asyncio.create_subprocess_exec(
            *_command(arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert process.stderr is not None
        seen = ""
        while after not in seen:
            line = (await process.stderr.readline()).decode()
            assert line, f"it ended before it said {after!r}: {seen}"
            seen += line
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), seen + err.decode())


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """One scenario on a loop of its own, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(120):
            await scenario

    asyncio.run(bounded())
