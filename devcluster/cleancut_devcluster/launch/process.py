"""One process of a set-up: started with its output in a file, stopped within bounds.

What it is for is decided elsewhere. Nothing started here outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cleancut.core.primitives.errors import CleancutError, TimedOut, Unavailable

STOP_S = 15.0
KILL_S = 10.0
_POLL_S = 0.1
_DIE_WITH_STARTER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Runs before the program itself does, in its process. A `preexec_fn` would run in a fork of a
starter that has threads (gRPC's among them), and now and then crashes there."""

T = TypeVar("T")


@dataclass(slots=True)
class Child:
    """A process, how it was started, and where its output goes."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str]
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def tail(self, size: int = 2000) -> str:
        """The end of its output, for error messages."""
        try:
            return self.log.read_text(errors="replace")[-size:]
        except OSError:
            return ""

    async def start_again(self) -> None:
        """Runs as it did at first. Order: after it has ended. Raises: Unavailable."""
        self.process = await _spawn(self.name, self.argv, self.log, self.env)

    def freeze(self) -> None:
        """It does not answer, and its connections stay open, until `thaw`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.running:
            self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL, and it is gone. Order: repeatable."""
        await self._end(signal.SIGKILL, KILL_S)

    async def stop(self) -> None:
        """SIGTERM; SIGKILL if that does not end it in time. Order: repeatable."""
        try:
            await self._end(signal.SIGTERM, STOP_S)
        except TimeoutError:
            await self.kill()

    async def _end(self, number: signal.Signals, limit_s: float) -> None:
        if self.running:
            self.process.send_signal(number)
        async with asyncio.timeout(limit_s):
            await self.process.wait()


async def start_child(
    name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Child:
    """Starts `argv`; its output is appended to `log`.

    The process has a session of its own, so that Ctrl-C reaches its starter alone, who then ends
    it in order; the system kills it if its starter is killed.
    Raises: Unavailable, if it cannot be started.
    """
    environment = env or {}
    process = await _spawn(name, argv, log, environment)
    return Child(name, argv, log, environment, process)


async def _spawn(
    name: str, argv: Sequence[str], log: Path, env: Mapping[str, str]
) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which(argv[0]) is None:
        raise Unavailable(f"cannot start {name}", f"check that {argv[0]} can be run")
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _DIE_WITH_STARTER, str(os.getpid()), *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **env},
            start_new_session=True,
        )


async def wait_for(
    look: Callable[[], Awaitable[T | None]], what: str, limit_s: float, poll_s: float = _POLL_S
) -> T:
    """What `look` gives once it is not None; its errors count as None. Raises: TimedOut."""
    last = ""
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    found = await look()
                except CleancutError as error:
                    found, last = None, str(error)
                if found is not None:
                    return found
                await asyncio.sleep(poll_s)
    except TimeoutError as error:
        raise TimedOut(f"waited {limit_s:.0f} s for {what}", last) from error


async def wait_logged(child: Child, event: str, name: str, limit_s: float = 60.0) -> str:
    """The field `name` of the first line of JSON in the log with this `event`.

    Raises: Unavailable, if the process ends before it; TimedOut.
    """

    async def found() -> str | None:
        for line in child.log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("event") == event:
                return str(entry[name])
        return None if child.running else ""

    value = await wait_for(found, f"{child.name} to say {event}", limit_s)
    if not value:
        raise Unavailable(f"{child.name} ended while starting", child.tail())
    return value
