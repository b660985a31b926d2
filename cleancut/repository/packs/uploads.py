"""Brings objects to the store in the background, with bounds on what waits in memory and on disk.

What the objects are, and when one may go, is decided in `pack_writer`.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cleancut.core.cluster.agent_settings import MAX_UPLOADS, MIB, RateLimiter, UploadSettings
from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.ports.store import Store
from cleancut.runtime.pace import wait_turn

T = TypeVar("T")
_SPILLED = "upload-"


@dataclass(slots=True)
class UploadLimits:
    """How many bytes may wait in memory; what else is in `settings` may change at any time.
    `spill_max_bytes`: what may be spilled whatever the settings say; None: no bound of its own."""

    settings: UploadSettings = field(default_factory=UploadSettings)
    memory_bytes: int = 32 * MIB
    spill_max_bytes: int | None = None

    @property
    def spill_bytes(self) -> int:
        """What may wait for the store on the disk."""
        limit = self.settings.spill_bytes
        return limit if self.spill_max_bytes is None else min(limit, self.spill_max_bytes)


@dataclass(slots=True, eq=False)
class Upload:
    """One object on its way: its `data`, or once spilled a file. Until `admit` returns, `data` may
    be a view of a buffer that is used again."""

    path: str
    data: bytes | memoryview
    size_bytes: int
    after: tuple[Upload, ...] = ()
    spilled: Path | None = None
    done: bool = False


@dataclass(slots=True)
class Uploads:
    """Puts what is enqueued, in that order, several at a time, inside its `async with` block.

    `may_spill`: whether what does not fit in memory may go to the disk now; else it waits.
    Order: `admit` first, which waits for room; then `enqueue`, never before those in `after`.
    `stored_bytes`: what the store has taken so far, of `admitted_bytes`.
    Limits: see `UploadLimits`; besides, each running upload of a spilled object holds it in memory.
    Raises: from `admit` and `wait`, the error that the first failed upload ended with.
    """

    store: Store
    pool: Executor
    spill_dir: Path
    limits: UploadLimits
    may_spill: Callable[[], bool] = lambda: True
    stored_bytes: int = 0
    admitted_bytes: int = 0
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _queue: deque[Upload] = field(default_factory=deque)
    _files: set[Path] = field(default_factory=set)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _pace: RateLimiter = field(default_factory=RateLimiter)
    _putting: int = 0
    _on_way: int = 0
    _memory_used: int = 0
    _spill_used: int = 0
    _spill_full: bool = False
    _failure: CleancutError | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for _ in range(MAX_UPLOADS):
            self._tasks.append(self._group.create_task(self._serve()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """What is not stored yet is given up; the own error of the block stays as it is."""
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)
        for file in self._files:
            with suppress(OSError):  # `clear_spill` of the next start gets what stays
                file.unlink()

    async def admit(self, upload: Upload) -> None:
        """Returns once `upload` has its place, in memory or spilled."""
        await self.wait(lambda: self._fits_memory(upload) or self._fits_spill(upload))
        if self._fits_memory(upload):
            self.admitted_bytes += upload.size_bytes
            self._memory_used += upload.size_bytes
            upload.data = bytes(upload.data)
            return
        try:
            await self._spill(upload)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise self._unusable(error) from error
            self._spill_full = True
            await self.admit(upload)
        else:
            self.admitted_bytes += upload.size_bytes

    def enqueue(self, uploads: Iterable[Upload]) -> None:
        for upload in uploads:
            self._queue.append(upload)
            self._on_way += 1
        self.changed()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Returns once `condition` holds; it is asked after each change."""
        while True:
            changed = self._changed
            if self._failure:
                raise self._failure
            if condition():
                return
            await changed.wait()

    def changed(self) -> None:
        """Lets all who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _fits_memory(self, upload: Upload) -> bool:
        """Not while spilled ones come first, which need memory too when their turn comes. Nothing
        on its way: nothing would make room, so it fits whatever its size."""
        fits = self._memory_used + upload.size_bytes <= self.limits.memory_bytes
        spilling = self._spill_used > 0 and self._fits_spill(upload)
        return (fits and not spilling) or not self._on_way

    def _fits_spill(self, upload: Upload) -> bool:
        settings, size_bytes = self.limits.settings, upload.size_bytes
        if self._spill_full or not self.may_spill():
            return False
        if self._spill_used + size_bytes > self.limits.spill_bytes:
            return False
        return _free_bytes(self.spill_dir) - size_bytes >= settings.spill_floor_bytes

    async def _spill(self, upload: Upload) -> None:
        file = self.spill_dir / f"{_SPILLED}{secrets.token_hex(8)}"
        self._files.add(file)
        self._spill_used += upload.size_bytes
        try:
            await self._in_pool(lambda: _write(file, upload.data))
        except OSError:
            self._spill_used -= upload.size_bytes
            raise
        upload.spilled, upload.data = file, b""

    async def _serve(self) -> None:
        while True:
            changed = self._changed
            if not self._queue or self._putting >= self.limits.settings.uploads:
                await changed.wait()
                continue
            upload = self._queue.popleft()
            self._putting += 1
            try:
                await self.wait(lambda u=upload: all(a.done for a in u.after))  # type: ignore[misc]
                await self._put(upload)
            except CleancutError as error:
                self._failure = self._failure or error
            except OSError as error:
                self._failure = self._failure or self._unusable(error)
            else:
                continue
            finally:
                self._putting -= 1
            self.changed()
            return

    async def _put(self, upload: Upload) -> None:
        spilled = upload.spilled
        data = await self._in_pool(spilled.read_bytes) if spilled else bytes(upload.data)
        upload.data = b""
        await self._wait_turn(len(data))
        await self.store.put(upload.path, data)
        self.stored_bytes += len(data)
        if spilled:
            await self._in_pool(spilled.unlink)
            self._files.discard(spilled)
            self._spill_used -= upload.size_bytes
            self._spill_full = False
        else:
            self._memory_used -= upload.size_bytes
        upload.done, upload.after = True, ()
        self._on_way -= 1
        self.changed()

    def _rate(self) -> int:
        return self.limits.settings.upload_bytes_per_s

    async def _wait_turn(self, size_bytes: int) -> None:
        now_s = asyncio.get_running_loop().time
        await wait_turn(self._pace, self._rate, now_s, asyncio.sleep)
        self._pace.went(size_bytes)

    def _unusable(self, error: OSError) -> Refused:
        return Refused(
            f"spill directory {self.spill_dir} cannot be used: {error.strerror}",
            "give the agent a --spill-dir that it can write to",
        )

    async def _in_pool(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, act)


def clear_spill(spill_dir: Path) -> int:
    """Removes what a killed process left in `spill_dir`; how many files. Blocking.

    Order: before the first writer of a process, and never beside one that uses the directory.
    """
    left = list(spill_dir.glob(f"{_SPILLED}*")) if spill_dir.is_dir() else []
    for file in left:
        file.unlink(missing_ok=True)
    return len(left)


def _free_bytes(directory: Path) -> int:
    """What is free on the disk of a directory that may not be there yet."""
    there = next(one for one in (directory, *directory.parents) if one.exists())
    return shutil.disk_usage(there).free


def _write(file: Path, data: bytes | memoryview) -> None:
    """Writes all or leaves nothing: what a full disk could not take must not use it up."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("xb") as target:
            target.write(data)
    except OSError:
        with suppress(OSError):
            file.unlink()
        raise
