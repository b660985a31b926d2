"""Loop of an agent under one session: `ctl` becomes events, commands of the machine become acts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from msgspec.structs import replace

from cleancut.core.backup.participant import BackupParticipant, ReadLogs
from cleancut.core.primitives.codec import encode, pack
from cleancut.core.primitives.errors import CleancutError, LeaseLost, TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import CastVote, Command, Effect, Run, Stop
from cleancut.core.protocol.etcd_records import Concern, Ctl, EpochMember, ProgressRecord
from cleancut.core.protocol.events import Done, Event, Failed, Seen, Tick
from cleancut.core.protocol.failures import failure_of
from cleancut.core.protocol.participant import TICKED, Participant
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.core.reshard.participant import ReshardParticipant
from cleancut.core.restore.participant import RestoreParticipant
from cleancut.core.undelete.participant import UndeleteParticipant
from cleancut.ports.coordination import Compacted, Created, Guard, KeyValue, Modified, Put
from cleancut.runtime.log import Logger
from cleancut_agent.context import AgentContext
from cleancut_agent.metrics import AgentMetrics
from cleancut_agent.progress import BytesProgress
from cleancut_agent.session import OpenSession, refresh

_TICK_S = 0.25
_REFRESH_S = 5.0
_PROGRESS_S = 2.0
_QUEUE = 1000
_RUNNING = frozenset(Phase) - {Phase.IDLE, Phase.ABORT}


class AgentEffects(Protocol):
    """What carries out a machine's effects."""

    async def run(self, effect: Effect) -> object: ...

    async def stop(self, epoch: Epoch) -> None: ...

    def moved(self) -> BytesProgress: ...


class AgentLoop:
    """One session's work. `run` returns only by raising: LeaseLost, or what made it impossible."""

    def __init__(
        self,
        context: AgentContext,
        session: OpenSession,
        effects: dict[OperationKind, AgentEffects],
        *,
        metrics: AgentMetrics,
        log: Logger,
    ) -> None:
        self._context, self._session, self._effects = context, session, effects
        self._metrics, self._log = metrics, log
        self._machines: dict[OperationKind, Participant] = {
            OperationKind.BACKUP: BackupParticipant(session.token),
            OperationKind.SEED: BackupParticipant(session.token),
            OperationKind.IMPORT: BackupParticipant(session.token),
            OperationKind.RESTORE: RestoreParticipant(session.token),
            OperationKind.REBALANCE: RestoreParticipant(session.token),
            OperationKind.RESHARD: ReshardParticipant(session.token),
            OperationKind.UNDELETE: UndeleteParticipant(session.token),
        }
        self._ctl = Ctl()
        self._revision = 0
        self._newest = 0
        self._voted: dict[str, int] = {}
        self._member: tuple[Epoch, EpochMember | None] = (Epoch(0), None)
        self._events: asyncio.Queue[tuple[OperationKind, Event, int]] = asyncio.Queue(_QUEUE)
        self._observing, self._working = asyncio.Event(), asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Epoch] = {}
        self._group: asyncio.TaskGroup | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._moved = BytesProgress(0)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Starts everything in `group` and works until the session is over."""
        self._group = group
        group.create_task(self._watch_lease())
        group.create_task(self._watch_ctl())
        group.create_task(self._tick())
        group.create_task(self._refresh())
        group.create_task(self._report())
        while True:
            kind, event, revision = await self._events.get()
            if isinstance(event, Seen) and revision:
                if event.ctl.epoch != self._ctl.epoch:
                    self._voted.clear()
                self._ctl, self._revision = event.ctl, revision
                _set(self._observing, to=event.ctl.phase is TICKED)
                _set(self._working, to=event.ctl.phase in _RUNNING)
            now_s = self._context.clock.monotonic_s()
            for command in self._machines[kind].step(event, now_s):
                await self._carry_out(kind, command, group)

    async def _carry_out(
        self, kind: OperationKind, command: Command, group: asyncio.TaskGroup
    ) -> None:
        match command:
            case CastVote():
                await self._cast(kind, command)
            case Run():
                task = group.create_task(self._run_effect(kind, command.effect))
                self._tasks[task] = command.effect.epoch
                task.add_done_callback(lambda ended: self._tasks.pop(ended, None))
            case Stop():
                await self._stop(kind, command.epoch)
            case _:
                raise AssertionError(f"not an agent's command: {command}")

    async def _cast(self, kind: OperationKind, command: CastVote) -> None:
        context, moved = self._context, self._effects[kind].moved()
        key = context.keys.vote(self._ctl.epoch, command.phase, context.name)
        vote = replace(
            command.vote,
            nonce=context.token_hex(8),
            read_bytes=moved.done,
            stored_bytes=moved.stored,
        )
        if key not in self._voted:
            found = await context.etcd.get(key)  # of a session before this one
            self._voted[key] = found.mod_revision if found else 0
        guards: list[Guard] = [
            Created(context.keys.session(context.name), self._session.token),
            Modified(context.keys.ctl, self._revision),
            Modified(key, self._voted[key]),  # a repeat that arrives late takes nothing back
        ]
        result = await context.etcd.txn(guards, [Put(key, pack(vote))])
        if result.applied:
            self._voted[key] = result.revision
        (self._log.debug if vote.round > 1 else self._log.info)(
            "vote",
            epoch=self._ctl.epoch,
            phase=command.phase,
            yes=vote.yes,
            counted=result.applied,
            cause=vote.failure.message if vote.failure else None,
        )

    async def _run_effect(self, kind: OperationKind, effect: Effect) -> None:
        began_s, name = self._context.clock.monotonic_s(), type(effect).__name__
        if not self._session.lease.alive():
            raise LeaseLost(f"the session was over before {name}")
        try:
            event: Event = Done(effect, await self._effects[kind].run(effect))
            cause = None
        except CleancutError as error:
            cause = error.message
            failure = failure_of(error)
            event = Failed(effect, failure)
        self._metrics.count_effect(name, "done" if cause is None else "failed")
        took_s = round(self._context.clock.monotonic_s() - began_s, 4)
        again = isinstance(effect, ReadLogs) and effect.round > 1 and cause is None
        (self._log.debug if again else self._log.info)(
            "effect", effect=name, epoch=effect.epoch, took_s=took_s, cause=cause
        )
        await self._events.put((kind, event, 0))

    async def _stop(self, kind: OperationKind, epoch: Epoch) -> None:
        running = [task for task, of in self._tasks.items() if of == epoch]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        self._count_moved(kind)
        await self._effects[kind].stop(epoch)
        self._moved = self._effects[kind].moved()

    # What becomes an event

    async def _watch_ctl(self) -> None:
        key = self._context.keys.ctl
        while True:
            listing = await self._context.etcd.list(key)
            found = next((item for item in listing.items if item.key == key), None)
            if found is not None:
                await self._saw(found)
            try:
                async for item in self._changes(key, listing.revision + 1):
                    await self._saw(item)
            except (Compacted, Unavailable):
                continue  # listed again; the lease ends if etcd stays away

    async def _changes(self, key: str, revision: int) -> AsyncIterator[KeyValue]:
        async for changes in self._context.etcd.watch(key, revision):
            for change in changes:
                if change.kv.key == key and not change.deleted:
                    yield change.kv

    async def _saw(self, item: KeyValue) -> None:
        if item.mod_revision <= self._newest:
            return
        self._newest = item.mod_revision
        skipped = self._context.skipped
        ctl = skipped.read(Ctl, item.key, item.value)
        if ctl is None:
            return
        epoch, known = self._member
        if ctl.phase is Phase.STANDSTILL and ctl.round > 1 and ctl.epoch == epoch:
            await self._events.put((ctl.kind, Seen(ctl, known), item.mod_revision))
            return  # each round takes as long as this; nothing but the round has changed
        record = None
        if ctl.epoch:
            record = await self._context.etcd.get(
                self._context.keys.member(ctl.epoch, self._context.name)
            )
        member = skipped.read(EpochMember, record.key, record.value) if record else None
        self._member = ctl.epoch, member
        self._log.info("ctl", epoch=ctl.epoch, phase=ctl.phase, member=member is not None)
        for kind in set(OperationKind) - {ctl.kind}:
            await self._events.put((kind, Seen(Ctl(kind=kind), None), 0))
        await self._events.put((ctl.kind, Seen(ctl, member), item.mod_revision))
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        unassigned = member is not None and not member.assigned
        if unassigned and ctl.phase is Phase.PREPARE and record and self._group:
            waiting = self._wait_assigned(ctl, item.mod_revision, record)
            self._waiting = self._group.create_task(waiting)

    async def _wait_assigned(self, ctl: Ctl, revision: int, record: KeyValue) -> None:
        """Gives the machine its shards as soon as they are assigned; its looks find them too,
        so that nothing depends on this."""
        with contextlib.suppress(Compacted, Unavailable):
            async for item in self._changes(record.key, record.mod_revision + 1):
                member = self._context.skipped.read(EpochMember, item.key, item.value)
                if member is not None and self._newest == revision:
                    await self._events.put((ctl.kind, Seen(ctl, member), revision))

    async def _tick(self) -> None:
        """While the machine does anything at a tick."""
        while True:
            await self._observing.wait()
            await self._context.clock.sleep(_TICK_S)
            await self._events.put((self._ctl.kind, Tick(), 0))

    async def _watch_lease(self) -> None:
        raise LeaseLost(await self._session.lease.wait_lost())

    async def _refresh(self) -> None:
        """Keeps the session record true; each new problem with the local peer is logged once."""
        logged, concerns, wal, capture = "", tuple[Concern, ...](), "", ""
        while True:
            said = self._session.said
            if wal != (wal := said.wal or ""):
                self._log.info("logs of shards are read" if not wal else "no logs read", cause=wal)
            if capture != (capture := said.capture or ""):
                what = "captures read the disk" if not capture else "captures stream all"
                self._log.info(what, cause=capture)
            self._metrics.set_wal(readable=None if said.wal is None else not wal)
            self._metrics.captures.show(said.capture)
            problem = self._session.said.problem
            for concern in self._session.said.concerns:
                if concern not in concerns:
                    self._log.warning("concern", kind=concern.kind, cause=concern.what)
            concerns = self._session.said.concerns
            if problem != logged:
                logged = problem
                if problem:
                    self._log.warning("Qdrant cannot be used", cause=problem)
                else:
                    self._log.info("Qdrant can be used again")
            await self._context.clock.sleep(_REFRESH_S)
            with contextlib.suppress(Unavailable, TimedOut):  # the lease ends if it lasts
                await refresh(self._context, self._session)

    async def _report(self) -> None:
        """Reports the progress of the epoch: best effort, never part of the protocol."""
        while True:
            await self._working.wait()
            await self._context.clock.sleep(_PROGRESS_S)
            before = self._moved
            read = self._count_moved(self._ctl.kind)
            now, moves = self._moved, self._moved != before
            if self._ctl.phase not in _RUNNING or not moves:
                continue
            progress = ProgressRecord(
                phase=self._ctl.phase,
                done_bytes=now.done,
                total_bytes=now.total,
                stored_bytes=now.stored,
                to_store_bytes=now.to_store,
                rate=read / _PROGRESS_S,
            )
            context = self._context
            key = context.keys.progress(self._ctl.epoch) + context.name
            guard = Created(context.keys.session(context.name), self._session.token)
            put = Put(key, encode(progress), lease=self._session.lease.id)
            with contextlib.suppress(Unavailable, TimedOut):
                await context.etcd.txn([guard], [put])

    def _count_moved(self, kind: OperationKind) -> int:
        """How many bytes have moved since it was called last."""
        before, self._moved = self._moved, self._effects[kind].moved()
        read = max(0, self._moved.done - before.done)
        self._metrics.count_moved(read)
        return read


def _set(event: asyncio.Event, *, to: bool) -> None:
    if to:
        event.set()
    else:
        event.clear()
