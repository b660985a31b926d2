"""Runner of jobs: a shard's tar is written to scratch, and a process of its own opens it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt, Refused, TimedOut, from_reason
from cleancut.data.child import Child, child
from cleancut.data.job import Line, ShardJob
from cleancut.ports.store import Store
from cleancut.repository.shards.captured_tar import read_captured

_LINE_BYTES = 64 << 20
SILENT_S = 3600.0
"""How long a process may say nothing: it unpacks a shard, opens it, and reports points."""
_NEEDED = 3
"""Scratch that a shard takes, in sizes of its tar: the tar, then unpacked, and what is written."""


class OpenShard(Protocol):
    """What opens a shard and does a job on it: `run_shard`, in a process of its own."""

    async def __call__(
        self,
        store: Store,
        paths: Paths,
        shard: ShardEntry,
        job: ShardJob,
        /,
        *,
        progress: Callable[[int], None],
    ) -> Line: ...


def make_scratch(parent: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A new directory in `parent`, or in the system's temporary one. Raises: Refused."""
    try:
        return tempfile.TemporaryDirectory(prefix="cleancut-data-", dir=parent)
    except OSError as error:
        where = parent or tempfile.gettempdir()
        raise Refused(f"cannot use {where}: {error.strerror}", "see --scratch") from error


def check_scratch(shards: Sequence[ShardEntry], at_once: int, scratch: Path) -> None:
    """Raises: Refused, where `scratch` cannot hold `at_once` of these shards."""
    sizes = sorted((shard.size_bytes for shard in shards), reverse=True)
    needed = _NEEDED * sum(sizes[:at_once])
    free = shutil.disk_usage(scratch).free
    if free < needed:
        raise Refused(
            f"{needed:,} bytes are needed in {scratch.parent}, {free:,} are free",
            "name another directory with --scratch, or open fewer shards at a time with --jobs",
        )


async def run_shard(
    store: Store,
    paths: Paths,
    shard: ShardEntry,
    job: ShardJob,
    *,
    progress: Callable[[int], None],
    silent_s: float = SILENT_S,
) -> Line:
    """Does `job` on `shard`, whose tar and directory lie next to `job.out`; the last line of its
    process. `progress`: takes the points so far.

    Raises: Corrupt, for a damaged shard; TimedOut, if the process says nothing for `silent_s`; what
        the job fails with.
    """
    scratch = Path(job.out)
    tar, directory = scratch.with_suffix(".tar"), scratch.with_suffix(".shard")
    label = f"{shard.collection}/{shard.shard_id}"
    try:
        await write_tar(store, paths, shard, tar)
        opened = replace(job, tar=str(tar), directory=str(directory))
        line = await _run(opened, progress, label, silent_s)
    finally:
        tar.unlink(missing_ok=True)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
    if line.reason:
        kind = from_reason(line.reason)
        raise kind(f"{label}: {line.message}" if kind is Corrupt else line.message, line.hint)
    return line


async def write_tar(store: Store, paths: Paths, shard: ShardEntry, target: Path) -> None:
    try:
        with target.open("xb") as file:
            async with aclosing(read_captured(store, paths, shard)) as chunks:
                async for chunk in chunks:
                    file.write(chunk)
    except OSError as error:
        raise Refused(f"cannot write {target}: {error.strerror}", "see --scratch") from error


async def _run(job: ShardJob, progress: Callable[[int], None], label: str, silent_s: float) -> Line:
    async with child("cleancut.data.shard_process", _LINE_BYTES) as started:
        try:
            last = await _talk(started, job, progress, silent_s)
        except TimeoutError:
            raise TimedOut(
                f"{label}: the process that opens the shard said nothing for {silent_s:g} s",
                "look at the memory and the disk of its host, then try again",
            ) from None
        await started.process.wait()
    if last.parts is None and last.result is None and not last.reason:
        raise started.failure(label, "opens the shard")
    return last


async def _talk(
    started: Child, job: ShardJob, progress: Callable[[int], None], silent_s: float
) -> Line:
    """The last line."""
    stdin = started.process.stdin
    assert stdin is not None
    last = Line()
    try:
        stdin.write(msgspec.json.encode(job))
        await stdin.drain()
        stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return last
    while (line := await started.line(silent_s)) is not None:
        last = line
        progress(last.points)
    return last
