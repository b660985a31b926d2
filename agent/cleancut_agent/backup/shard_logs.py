"""Logs of the shards of one epoch, followed from before the cut until a standstill is found."""

from __future__ import annotations

import asyncio
import io
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from msgspec.structs import replace

from cleancut.core.backup.participant import LogEnds, StandstillEnds
from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.core.primitives.ids import parse_version
from cleancut.core.protocol.etcd_records import Reading, ShardTask, Standstill, WalEnd
from cleancut.core.protocol.evidence import doubt, first_needed, writes_between
from cleancut.core.wal.operations import WRITES_IDS, reads_state
from cleancut.core.wal.segments import SegmentPlan, build_segments, plan_segments
from cleancut.ports.wal_dir import WalDir
from cleancut.repository.shards.rolled_tar import Log, LogFile
from cleancut.runtime.concurrency import run_in_thread
from cleancut_agent.context import AgentContext
from cleancut_agent.wal.shard_tail import (
    ShardTail,
    open_acknowledged,
    read_acknowledged,
    tails_at_most,
)

POLL_S = 0.2
KEPT_BYTES = 1 << 30
"""The most that is kept of all logs of an epoch, on the agent's disk."""
_IN_MEMORY_BYTES = 256 * 1024


@dataclass(slots=True)
class _ShardLog:
    """What was read of one log since it was opened. `first`: the index of the first kept entry."""

    directory: WalDir
    tail: ShardTail
    kept: _Kept
    ack: int
    first: int
    lengths: list[int] = field(default_factory=list)

    @property
    def end(self) -> WalEnd:
        last = self.tail.last
        return WalEnd(str(self.directory.identity), -1 if last is None else last)

    def read_on(self) -> int:
        """Keeps what is new; how many bytes that are."""
        size = 0
        while True:
            for entry in self.tail.poll():
                if not self.lengths:
                    self.first = entry.index
                self.lengths.append(len(entry.data))
                size += self.kept.append(entry.data)
            if not self.tail.behind:
                return size

    def entries(self, first: int, count: int) -> Iterator[bytes]:
        at = first - self.first
        self.kept.seek(sum(self.lengths[:at]))
        for length in self.lengths[at : at + count]:
            yield self.kept.read(length)


class ShardLogs:
    """All logs of an epoch, in the order of its tasks. Every log is followed, or none.

    `kept_bytes`: the most that is kept of all of them.
    Order: `open`, `follow` as a task of its own, `note_acks` before the cut, `ends` in each round,
    `decide` once; `log_of` waits for that.
    """

    def __init__(
        self, context: AgentContext, tasks: Sequence[ShardTask], kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._context, self._tasks, self._limit_bytes = context, tasks, kept_bytes
        self._logs: list[_ShardLog] = []
        self._lock = asyncio.Lock()
        self._kept_bytes = 0
        self._lost = ""
        self._still: asyncio.Future[tuple[Standstill, ...] | None] = (
            asyncio.get_running_loop().create_future()
        )

    async def open(self) -> bool:
        """True if all logs are followed from now on."""
        await self._do(self._open_all)
        return not self._lost

    async def follow(self) -> None:
        """Reads what is written, until it is decided what is stored, or the logs are lost. However
        it ends, no file of Qdrant's is held open any more."""
        try:
            while not self._lost and not self._still.done():
                await self._context.clock.sleep(POLL_S)
                await self._do(self._read_on)
        finally:
            async with self._lock:
                self._release()

    async def note_acks(self) -> None:
        """Order: before the first readings, and before the streams are opened."""
        await self._do(self._read_acks)

    async def ends(self) -> LogEnds:
        """Where each log ends now, or why they are not followed any more."""
        await self._do(self._read_on)
        if self._lost:
            return LogEnds(lost=self._lost)
        return LogEnds(tuple(log.end for log in self._logs))

    async def decide(
        self,
        readings: Sequence[tuple[Reading, Reading]],
        still: StandstillEnds | None,
        *,
        qdrant_version: str,
    ) -> tuple[Standstill, ...] | None:
        """What is stored of each log, by the shards' first and second `readings`; None: nothing of
        any. No log is read after it."""
        found: list[Standstill] = []
        async with self._lock:
            if still is not None:
                again = parse_version(qdrant_version)[:2] < WRITES_IDS
                await self._run(partial(self._judge, readings, still, found, again=again))
            kept = tuple(found) if still is not None and not self._lost else None
            if not self._still.done():
                self._still.set_result(kept)
            self._release()
            return kept

    async def log_of(self, index: int) -> Log:
        """What replaces the log in the tar of a shard, once it is decided."""
        found = await asyncio.shield(self._still)
        if found is None or found[index].first < 0:
            return None
        still, log = found[index], self._logs[index]
        lengths = log.lengths[still.first - log.first : still.after.index + 1 - log.first]
        return [
            LogFile(plan.name, plan.size_bytes, partial(_segment, log, plan))
            for plan in plan_segments(lengths, still.first)
        ]

    async def close(self) -> None:
        """Order: repeatable."""
        async with self._lock:
            self._release()
            for log in self._logs:
                log.kept.close()
            self._lost = self._lost or "closed"
        if not self._still.done():
            self._still.set_result(None)

    def _release(self) -> None:
        """Segments that Qdrant has removed take space for as long as they are held open."""
        for log in self._logs:
            log.tail.close()

    # In a thread

    async def _do(self, step: Callable[[], None]) -> None:
        async with self._lock:
            await self._run(step)

    async def _run(self, step: Callable[[], None]) -> None:
        """Order: under the lock."""
        if self._lost or self._still.done():
            return
        try:
            await run_in_thread(step)
        except CleancutError as error:
            self._lost = error.message

    def _open_all(self) -> None:
        if self._context.wal is None:
            raise Refused("the logs of the local peer cannot be read")
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if len(self._tasks) > tails_at_most(files):
            raise Refused(f"{files} open files are too few for {len(self._tasks)} logs")
        for task in self._tasks:
            self._logs.append(self._open(task))
        self._read_on()

    def _open(self, task: ShardTask) -> _ShardLog:
        assert self._context.wal is not None
        directory = self._context.wal.open(task.collection, task.shard_id)
        tail, start = open_acknowledged(directory)
        kept = _Kept(self._context.spill_dir)
        return _ShardLog(directory, tail, kept, ack=start, first=start)

    def _read_on(self) -> None:
        for log in self._logs:
            self._kept_bytes += log.read_on()
            if self._kept_bytes > self._limit_bytes:
                raise Refused(f"over {self._limit_bytes} bytes were written since the backup began")

    def _read_acks(self) -> None:
        for log in self._logs:
            ack = read_acknowledged(log.directory)
            log.ack = log.ack if ack is None else ack

    # What is stored

    def _judge(
        self,
        readings: Sequence[tuple[Reading, Reading]],
        still: StandstillEnds,
        found: list[Standstill],
        *,
        again: bool,
    ) -> None:
        """`again`: Qdrant may replay with another result what reads the state of points."""
        for index, (first, second) in enumerate(readings):
            one = self._standstill(index, first, second, still)
            drained = self._tasks[index].index not in still.undrained
            if again and one.first >= 0 and writes_between(first, second, drained=drained):
                last = min(second.number or 0, one.after.index)
                entries = self._logs[index].entries(one.first, last + 1 - one.first)
                one = replace(one, by_state=any(map(reads_state, entries)))
            found.append(one)

    def _standstill(
        self, index: int, first: Reading, second: Reading, still: StandstillEnds
    ) -> Standstill:
        log, task = self._logs[index], self._tasks[index]
        before, after = still.before[index], still.after[index]
        found = Standstill(round=still.round, before=before, after=after, ack=log.ack)
        drained = task.index not in still.undrained
        if not doubt(first, second, drained=drained) and after.index == second.number:
            return found  # what was cut is what it was at the standstill
        start = min(first_needed(log.ack, first), after.index)
        if start < log.first or after.index >= log.first + len(log.lengths):
            return found  # not kept: the evidence will say so
        size = sum(log.lengths[start - log.first : after.index + 1 - log.first])
        return replace(found, first=start, wal_bytes=size)


def _segment(log: _ShardLog, plan: SegmentPlan) -> Iterator[bytes]:
    for segment in build_segments([plan], log.entries(plan.first, plan.count)):
        yield from segment.chunks


class _Kept:
    """Bytes that are appended and read again: in memory while they are few, then in a file without
    a name."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._size = directory, 0
        self._file: IO[bytes] = io.BytesIO()

    def append(self, data: bytes) -> int:
        """How many bytes were appended: all."""
        before, self._size = self._size, self._size + len(data)
        if before <= _IN_MEMORY_BYTES < self._size:
            held = self._file
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
            held.seek(0)
            shutil.copyfileobj(held, self._file)
        self._file.seek(before)  # what was read meanwhile has moved it
        return self._file.write(data)

    def seek(self, offset: int) -> None:
        self._file.seek(offset)

    def read(self, length: int) -> bytes:
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()
