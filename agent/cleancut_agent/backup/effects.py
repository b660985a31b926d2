"""Effects of the agent's backup machine, on the local peer, the store and the disk."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from cleancut.core.backup.participant import (
    Capture,
    Confirm,
    FinishCapture,
    Load,
    LogEnds,
    ReadJournal,
    ReadLogs,
)
from cleancut.core.format.manifest import AgentDocument, CaptureSources, ShardEntry
from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.errors import CleancutError, TimedOut
from cleancut.core.primitives.ids import Digest, Epoch, PeerId, ShardId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import EpochMember, Reading, ShardTask, Standstill
from cleancut.core.protocol.evidence import doubt, is_same, is_unchanged
from cleancut.core.protocol.failures import UnusableReplicas
from cleancut.core.protocol.fence import aliases_of, is_raised, without_fence
from cleancut.core.protocol.requests import Selection
from cleancut.qdrant.peer_view import (
    READING_LEVEL,
    count_optimizing,
    parents_segment,
    read_view,
    readings_of,
    unusable_replicas,
)
from cleancut.repository.catalog import put_votes_document
from cleancut.repository.shards.capture import CapturedShard
from cleancut.runtime.concurrency import run_in_thread
from cleancut_agent.backup.audit import WRITTEN_TO, audit_shard
from cleancut_agent.backup.captures import Captures, Stored, Stream, cancel
from cleancut_agent.backup.journal import CaptureJournal
from cleancut_agent.backup.parents import Parents
from cleancut_agent.backup.shard_logs import ShardLogs
from cleancut_agent.backup.uncut_replicas import UncutReplicas
from cleancut_agent.context import AgentContext
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.local_peer import count_shards, free_bytes, read_probe
from cleancut_agent.progress import BytesProgress
from cleancut_agent.prompt_store import prompt_store

COUNT_S = 1.0
Chain = tuple[str, str]
"""A chain of the archive, and the identity of the log that it follows; empty: none."""


@dataclass(slots=True)
class _Running:
    """The captures of one epoch; `captured` are the indexes of the tasks that needed a stream.
    `version`: of the local peer."""

    captures: Captures
    task: asyncio.Task[None]
    captured: tuple[int, ...]
    others: UncutReplicas
    segments: tuple[str, ...]
    logs: ShardLogs | None
    chains: tuple[Chain, ...]
    version: str


class AgentBackupEffects:
    """Runs one effect at a time; captures go on between them, as tasks of `group`.

    `reads_logs`: whether the logs of the local peer's shards can be followed now; `reads_files`:
    whether their segments can be captured from the disk. `chain_of`: the chain of the archive that
    follows a shard now.
    """

    def __init__(
        self,
        context: AgentContext,
        group: asyncio.TaskGroup,
        pool: Executor,
        journal: CaptureJournal,
        *,
        watchdog: FenceWatchdog,
        reads_logs: Callable[[], bool],
        reads_files: Callable[[], bool],
        chain_of: Callable[[str, ShardId], Chain],
        count_captured: Callable[[CaptureSources], None] = lambda _sources: None,
    ) -> None:
        self._context, self._group, self._pool, self._journal = context, group, pool, journal
        self._watchdog, self._chain_of = watchdog, chain_of
        self._count_captured = count_captured
        self._reads_logs, self._reads_files = reads_logs, reads_files
        self._parents = Parents(context)
        self._running: dict[Epoch, _Running] = {}
        self._view_at = ""
        self._selections: dict[Epoch, Selection] = {}
        self._logs: tuple[ShardLogs, asyncio.Task[None]] | None = None

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Observe():
                return await self._observe(effect)
            case Load():
                await self.check_loaded(effect)
                await self._parents.load(effect.tasks)
                self.warm(effect)
                return await self._open_logs(effect)
            case Confirm():
                return await self._watchdog.confirm(effect.epoch)
            case Capture():
                return await self._capture(effect)
            case ReadNumbers():
                return await self._read(effect)
            case ReadLogs():
                return await self._read_logs(effect)
            case FinishCapture():
                return await self._finish(effect)
            case ReadJournal():
                return self._journal.read(effect.epoch)
            case _:
                raise AssertionError(f"not a backup's effect: {effect}")

    async def stop(self, epoch: Epoch) -> None:
        """Ends the captures of `epoch`; what they stored stays, named by nothing."""
        running = self._running.pop(epoch, None)
        if running is not None:
            await cancel(running.task)
        await self._close_logs()
        self._parents.forget()

    def moved(self) -> BytesProgress:
        """Of tars, what was read in the epochs that are under way; their parents' sizes tell what
        there is to read."""
        each = [running.captures.moved() for running in self._running.values()]
        return BytesProgress(*map(sum, zip(*each, strict=True))) if each else BytesProgress(0)

    # PREPARE

    async def _observe(self, effect: Observe) -> Observed:
        context = self._context
        probe = await read_probe(context, effect.epoch)
        telemetry = await context.qdrant.telemetry()
        view = await read_view(context.qdrant, probe.selection, telemetry)
        self._selections = {effect.epoch: probe.selection.resolved(aliases_of(view))}
        data = encode(view)
        digest = hashlib.sha256(data).hexdigest()
        name = f"{context.name}.{digest[:32]}"
        path = context.paths.probe(effect.epoch, name)
        if self._view_at != path:
            async with prompt_store("write the view", context.store_bound_s):
                await context.store.put(path, data)
            self._view_at = path
        record = await context.etcd.get(context.keys.member(effect.epoch, context.name))
        read = context.skipped.read
        member = read(EpochMember, record.key, record.value) if record else None
        tasks = member.tasks if member else ()
        return Observed(
            view=digest,
            view_object=name,
            probe=probe.nonce,
            free_bytes=free_bytes(context),
            member=member,
            arrivals=telemetry.counters.arrivals,
            optimizing=await count_optimizing(context.qdrant, telemetry, tasks),
        )

    async def check_loaded(self, effect: Load) -> None:
        """Raises: UnusableReplicas, if one of the tasks is of a replica that this peer has not
        loaded; it names all such replicas of the selection."""
        telemetry = await self._context.qdrant.telemetry()
        selection = self._selections.get(effect.epoch, Selection())
        peer_id = next((task.peer_id for task in effect.tasks), PeerId(0))
        unusable = unusable_replicas(telemetry, peer_id, selection)
        places = {(one.collection, one.shard_id) for one in unusable}
        if any((task.collection, task.shard_id) in places for task in effect.tasks):
            raise UnusableReplicas(unusable)

    async def startup(self) -> str:
        """Of the local peer; "", if its segments are not captured from the disk now."""
        return (await self._context.qdrant.telemetry()).startup if self._reads_files() else ""

    def warm(self, effect: Load) -> None:
        """Starts what makes files show that they are written to: it may last beyond the cut."""
        if (capture := self._context.capture) is not None and self._reads_files():
            self._group.create_task(run_in_thread(partial(capture.warm, effect.tasks)))

    async def _open_logs(self, effect: Load) -> bool:
        """True if the logs of all shards are followed: then the backup can be rolled forward."""
        await self._close_logs()
        if not self._reads_logs():
            return False
        logs = ShardLogs(self._context, effect.tasks)
        if not await logs.open():
            await logs.close()
            return False
        self._logs = logs, self._group.create_task(logs.follow())
        return True

    async def _close_logs(self) -> None:
        logs, self._logs = self._logs, None
        if logs is not None:
            await cancel(logs[1])
            await logs[0].close()

    # CUT and SEAL

    async def _capture(self, effect: Capture) -> Readings:
        context, tasks = self._context, effect.tasks
        chains = self._chains(tasks)
        logs = self._logs[0] if self._logs else None
        if logs is not None:
            await logs.note_acks()
        telemetry = await context.qdrant.telemetry(level=READING_LEVEL)
        first = readings_of(telemetry, tasks, [parents_segment(task) for task in tasks])
        uuids = {name: entry.uuid or "" for name, entry in telemetry.collections.items()}
        captured = tuple(
            index
            for index, task in enumerate(tasks)
            if not self._is_unchanged(task, first.at(index), uuids.get(task.collection, ""))
        )
        captures = self._captures(effect.epoch, telemetry.startup)
        streams = [self._stream(tasks, index, logs) for index in captured]
        running = self._group.create_task(captures.run(streams))
        others = UncutReplicas.among(telemetry, tasks)
        self._running[effect.epoch] = _Running(
            captures=captures,
            task=running,
            captured=captured,
            others=others,
            segments=first.segments(),
            logs=logs,
            chains=chains,
            version=telemetry.app_version,
        )
        if streams:
            await captures.wait_cut()
        return first

    def _captures(self, epoch: Epoch, startup: str) -> Captures:
        """They name nothing of parents or of earlier attempts that may be gone."""
        return Captures(
            self._context,
            epoch,
            self._context.token_hex(16),
            self._pool,
            unknown=self._parents.avoided,
            startup=startup if self._reads_files() else "",
        )

    def _stream(self, tasks: Sequence[ShardTask], index: int, logs: ShardLogs | None) -> Stream:
        stream = self._parents.stream_of(tasks[index])
        log = None if logs is None else partial(logs.log_of, index)
        return dataclasses.replace(stream, log=log)

    def _is_unchanged(self, task: ShardTask, first: Reading, uuid: str) -> bool:
        if task.parent is None or not self._parents.can_take_over(task):
            return False
        return is_unchanged(task.parent, first, uuid)

    async def _read(self, effect: ReadNumbers) -> Readings:
        telemetry = await self._context.qdrant.telemetry(level=READING_LEVEL)
        running = self._running.get(effect.epoch)
        second = readings_of(telemetry, effect.tasks, running.segments if running else ())
        if running is not None:
            running.others.read_again(telemetry)
        selection = self._selections.get(effect.epoch, Selection())
        view, fence = await read_view(self._context.qdrant, selection), effect.fence
        return Readings(
            second.numbers,
            second.incarnation,
            second.arrivals,
            view=digest_of(without_fence(view, fence)),
            fenced=fence is not None and is_raised(fence, dict(view.aliases)),
            states=second.states,
        )

    async def _read_logs(self, effect: ReadLogs) -> LogEnds:
        """Order: the fence last, so that it stood while the logs were read."""
        found = await self._logs[0].ends() if self._logs else LogEnds(lost="it has ended")
        if effect.fence is None or found.lost:
            return found
        aliases = await self._context.qdrant.aliases()
        return dataclasses.replace(found, fenced=is_raised(effect.fence, aliases))

    # UPLOAD

    async def _finish(self, effect: FinishCapture) -> str:
        running = self._running.get(effect.epoch)
        if running is None:
            raise TimedOut("the captures of this epoch are gone", "the backup is tried again")
        still = await self._decide(effect, running)
        chains = kept_chains(running.chains, self._chains(effect.tasks), still)
        counts = await self._count(effect)
        replicas = await running.others.count(self._context.qdrant, COUNT_S)
        stored = await running.captures.wait_stored()
        for one in stored:
            self._count_captured(one.sources or CaptureSources(one.shard.size_bytes))
        by_index = dict(zip(running.captured, stored, strict=True))
        by_index |= await self._roll_parents(effect, still, running)
        audits = [
            await self._audit(effect, index, by_index.get(index), rolled=still)
            for index in range(len(effect.tasks))
        ]
        shards = tuple(
            replace(
                self._entry(effect, index, by_index.get(index)),
                count=count,
                standstill=still[index] if still else None,
                chain=chains[index],
                audit=audits[index],
            )
            for index, count in enumerate(counts)
        )
        document = AgentDocument(
            epoch=effect.epoch, agent=self._context.name, shards=shards, replicas=replicas
        )
        sha256 = await put_votes_document(self._context.store, self._context.paths, document)
        self._journal.write(effect.epoch, sha256)
        return sha256

    async def _audit(
        self,
        effect: FinishCapture,
        index: int,
        stored: Stored | None,
        *,
        rolled: Sequence[Standstill] | None,
    ) -> str | None:
        """None: it is not asked for. Raises: see `audit_shard`."""
        task = effect.tasks[index]
        if not task.audit:
            return None
        first, second = effect.first.at(index), effect.second.at(index)
        doubted = doubt(first, second, drained=True)
        if doubted or (rolled and rolled[index].first >= 0):
            return doubted or WRITTEN_TO

        async def is_still() -> bool:
            telemetry = await self._context.qdrant.telemetry(level=READING_LEVEL)
            now = readings_of(telemetry, effect.tasks, effect.second.segments())
            return is_same(second, now.at(index))

        captures = self._running[effect.epoch].captures
        if stored is not None:
            captures.expect(2 * stored.shard.size_bytes)
        return await audit_shard(
            self._context, self._pool, task, stored, is_still=is_still, on_read=captures.count_read
        )

    def _chains(self, tasks: Sequence[ShardTask]) -> tuple[Chain, ...]:
        return tuple(self._chain_of(task.collection, task.shard_id) for task in tasks)

    async def _decide(
        self, effect: FinishCapture, running: _Running
    ) -> tuple[Standstill, ...] | None:
        logs = running.logs
        if logs is None:
            return None
        indexes = range(len(effect.tasks))
        readings = [(effect.first.at(index), effect.second.at(index)) for index in indexes]
        return await logs.decide(readings, effect.still, qdrant_version=running.version)

    async def _roll_parents(
        self, effect: FinishCapture, still: Sequence[Standstill] | None, running: _Running
    ) -> dict[int, Stored]:
        """Shards that were unchanged at the cut, and were written to before the standstill: what
        their parents hold is read from the store, and stored again with the log."""
        rolled = [index for index, one in enumerate(still or ()) if one.first >= 0]
        needed = [index for index in rolled if index not in running.captured]
        if not needed:
            return {}
        streams = [
            dataclasses.replace(self._stream(effect.tasks, index, running.logs), stored=True)
            for index in needed
        ]
        captures = self._captures(effect.epoch, "")
        await captures.run(streams)
        return dict(zip(needed, await captures.wait_stored(), strict=True))

    async def _count(self, effect: FinishCapture) -> tuple[int | None, ...]:
        """Exact counts of what was read second; None where that is not known.

        They are taken after the votes, so that no write waits for them, and count only if a
        third reading of the number is still the second one.
        """
        counts = await count_shards(self._context.qdrant, effect.tasks, COUNT_S)
        try:
            telemetry = await self._context.qdrant.telemetry(level=READING_LEVEL)
        except CleancutError:
            return (None,) * len(counts)
        third = readings_of(telemetry, effect.tasks, effect.second.segments())
        return tuple(
            count if is_same(effect.second.at(index), third.at(index)) else None
            for index, count in enumerate(counts)
        )

    def _entry(self, effect: FinishCapture, index: int, stored: Stored | None) -> ShardEntry:
        task, first, second = effect.tasks[index], effect.first, effect.second
        source = stored.shard if stored else None
        source = source or _taken_over(task.recipe, self._parents.recipe_of(task))
        return ShardEntry(
            collection=task.collection,
            shard_id=task.shard_id,
            peer_id=task.peer_id,
            agent=self._context.name,
            recipe=source.recipe_digest,
            tar_sha256=source.tar_sha256,
            size_bytes=source.size_bytes,
            new_bytes=source.new_bytes,
            stored_bytes=source.stored_bytes,
            first=first.at(index),
            second=second.at(index),
            drained=False,
            shard_key=task.shard_key,
            reused=stored is None,
            sources=stored.sources if stored else None,
            times=stored.times if stored else None,
        )


def kept_chains(
    before: Sequence[Chain], after: Sequence[Chain], still: Sequence[Standstill] | None
) -> list[str]:
    """The chains that followed the very logs of the shards from `before` to `after`; "": none."""
    found = []
    for index, (chain, log) in enumerate(before):
        other = still is not None and log != still[index].after.log
        found.append("" if other or after[index] != (chain, log) else chain)
    return found


def _taken_over(digest: str, parent: Recipe | None) -> CapturedShard:
    """An unchanged shard: its parent's recipe as it is, with nothing new."""
    assert parent is not None, "a shard without a parent is captured"
    return CapturedShard(
        recipe_digest=Digest(digest),
        tar_sha256=parent.tar_sha256,
        size_bytes=parent.tar_bytes,
        new_bytes=0,
        stored_bytes=0,
        packs=frozenset(use.pack for use in parent.packs),
        lost_parent_pages=0,
    )
