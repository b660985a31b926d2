"""The command line of the project, run as its users run it. Its JSON is all that is known of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cleancut.api.command_errors import read_command_error
from cleancut.core.primitives.errors import Corrupt, TimedOut, from_reason

CALL_S = 120.0
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command gave back."""

    exit_code: int
    out: str
    err: str

    def value(self, noun: str) -> Any:
        """The value under `noun` in the JSON.

        Raises: the error that the command reports, if it failed; Corrupt, if there is no such JSON.
        """
        self.check()
        try:
            return json.loads(self.out)[noun]
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"`cleancut` gave no {noun}: {self.out[:300]!r}") from error

    def check(self) -> None:
        """Raises: the error that the command reports, unless it succeeded."""
        if self.exit_code:
            error = read_command_error(self.err)
            if error is not None:
                kind = from_reason(error.reason)
                raise kind(error.message, error.hint, exit_code=self.exit_code)
            told = dict(line.split(": ", 1) for line in self.err.splitlines() if ": " in line)
            text = told.get("error") or self.err[-500:] or f"exit code {self.exit_code}"
            kind = from_reason(told.get("reason", ""))
            raise kind(text, told.get("hint", ""), exit_code=self.exit_code)


async def run_cleancut(
    *arguments: str,
    timeout_s: float = CALL_S,
    on_line: Callable[[str], None] | None = None,
) -> Answer:
    """Runs `cleancut ARGUMENTS`; `on_line` receives each line of stderr as it comes.

    Raises: TimedOut, after the command was ended.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cleancut.cli.main",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
        start_new_session=True,
        limit=_MAX_LINE,
    )
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            assert process.stdout is not None
            assert process.stderr is not None
            out = group.create_task(process.stdout.read())
            err = group.create_task(_lines(process.stderr, on_line))
            code = await process.wait()
    except TimeoutError as error:
        raise TimedOut(f"`cleancut {' '.join(arguments)}` ran over {timeout_s:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Answer(code, out.result().decode(), err.result())


async def _lines(stream: asyncio.StreamReader, on_line: Callable[[str], None] | None) -> str:
    kept = []
    async for raw in stream:
        line = raw.decode(errors="replace").rstrip("\n")
        kept.append(line)
        if on_line is not None:
            on_line(line)
    return "\n".join(kept)
