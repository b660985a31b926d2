"""Child process that opens or builds shards: a document on stdin, lines of `Line` on stdout.

Its stderr is read all the while, so that a process that writes much there never waits for this one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from cleancut.core.primitives.errors import CleancutError, Corrupt
from cleancut.data.job import Line
from cleancut.runtime.concurrency import first_of

SHOWN_BYTES = 500
"""Of what a process wrote to stderr last."""
_READ_BYTES = 64 << 10


@dataclass(slots=True)
class Child:
    """A process, and the end of what it has written to stderr."""

    process: asyncio.subprocess.Process
    _tail: bytearray = field(default_factory=bytearray)

    async def listen(self) -> None:
        """Reads stderr until the process closes it."""
        assert self.process.stderr is not None
        while piece := await self.process.stderr.read(_READ_BYTES):
            self._tail += piece
            del self._tail[:-SHOWN_BYTES]

    async def line(self, within_s: float | None = None) -> Line | None:
        """The next one on stdout; None at its end, which may have cut the last one short.

        Raises: TimeoutError, if there is none `within_s`.
        """
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            text = await self.process.stdout.readline()
        return msgspec.json.decode(text, type=Line) if text.endswith(b"\n") else None

    def failure(self, label: str, does: str) -> CleancutError:
        """What to say of a process that ended without an answer. `does`: what it is there for.

        Order: after the block of `child`.
        """
        return failure_of(f"{label}: the process that {does}", self.process.returncode, self._tail)


@asynccontextmanager
async def child(module: str, line_bytes: int) -> AsyncIterator[Child]:
    """A process that runs `module` and answers by lines of at most `line_bytes`; it is gone at the
    end of the block, and all of its stderr is read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=line_bytes,
        start_new_session=True,
    )
    started = Child(process)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(started.listen())
            try:
                yield started
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures


def failure_of(process: str, code: int | None, stderr: bytes | bytearray) -> CleancutError:
    """`code`: the exit code of `process`; below 0, the signal that ended it."""
    if code is not None and code < 0:
        return CleancutError(
            f"{process} was ended by signal {-code}",
            "if the system ran out of memory, open fewer shards at a time: --jobs 1",
        )
    said = stderr.decode(errors="replace").strip()
    return Corrupt(
        f"{process} ended with {code}: {said}",
        "`cleancut backup drill` examines the shards of a backup",
    )
