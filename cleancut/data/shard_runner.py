"""Runner of jobs: a shard's tar is written to scratch, and a process of its own opens it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError, Corrupt, Refused, from_reason
from cleancut.data.job import Line, ShardJob
from cleancut.ports.store import Store
from cleancut.repository.shards.captured_tar import read_captured

_LINE_BYTES = 64 << 20
_SHOWN_BYTES = 500
_NEEDED = 3
"""Scratch that a shard takes, in sizes of its tar: the tar, then unpacked, and what is written."""


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
) -> Line:
    """Does `job` on `shard`, whose tar and directory lie next to `job.out`; the last line of its
    process. `progress`: takes the points so far.

    Raises: Corrupt, for a damaged shard; what the job fails with.
    """
    scratch = Path(job.out)
    tar, directory = scratch.with_suffix(".tar"), scratch.with_suffix(".shard")
    label = f"{shard.collection}/{shard.shard_id}"
    try:
        await write_tar(store, paths, shard, tar)
        line = await _run(replace(job, tar=str(tar), directory=str(directory)), progress, label)
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


@asynccontextmanager
async def child(
    module: str, stderr: BinaryIO | int, line_bytes: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that runs `module` and answers by lines of at most `line_bytes`; it is gone at the
    end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        limit=line_bytes,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _run(job: ShardJob, progress: Callable[[int], None], label: str) -> Line:
    errors = Path(job.out).with_suffix(".err")
    with errors.open("wb") as stderr:
        async with child("cleancut.data.shard_process", stderr, _LINE_BYTES) as process:
            last = await _talk(process, job, progress)
            await process.wait()
    if last.parts is None and last.result is None and not last.reason:
        raise _broken(label, process.returncode or 0, errors.read_bytes()[-_SHOWN_BYTES:])
    return last


def _broken(label: str, code: int, stderr: bytes) -> CleancutError:
    """What to say of a process that ended without an answer; `code`: its exit code."""
    if code < 0:
        return CleancutError(
            f"{label}: the process that opens the shard was ended by signal {-code}",
            "if the system ran out of memory, open fewer shards at a time: --jobs 1",
        )
    said = stderr.decode(errors="replace").strip()
    return Corrupt(
        f"{label}: the process that opens the shard ended with {code}: {said}",
        "`cleancut backup drill` examines the shards of a backup",
    )


async def _talk(
    process: asyncio.subprocess.Process, job: ShardJob, progress: Callable[[int], None]
) -> Line:
    """The last line."""
    assert process.stdin is not None
    assert process.stdout is not None
    last = Line()
    try:
        process.stdin.write(msgspec.json.encode(job))
        await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return last
    async for text in process.stdout:
        last = msgspec.json.decode(text, type=Line)
        progress(last.points)
    return last
