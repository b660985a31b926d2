"""A leader's term: one task owns the machine, carries out its commands, and feeds it events.

Order: a `Persist` is applied before anything after it is started. A refused write means that
something is not as the machine believes: all is read again, and the term goes on or ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.importing import ImportMachine
from cleancut.core.backup.seed import SeedMachine
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, Unavailable
from cleancut.core.primitives.ids import Epoch, FencingToken, OperationId
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Decide, Effect, Lift, Persist, Run, Stop
from cleancut.core.protocol.etcd_keys import agent_of
from cleancut.core.protocol.etcd_records import Bounds, Ctl, Operation, Session, Vote
from cleancut.core.protocol.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    Progressed,
    SessionMoved,
    Started,
    Tick,
    Voted,
)
from cleancut.core.protocol.failures import failure_of
from cleancut.core.protocol.high_water import ReadMarks
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.protocol.votes import agent_problems
from cleancut.core.rebalance.rebalance import RebalanceMachine
from cleancut.core.reshard.reshard import ReshardMachine
from cleancut.core.restore.restore import RestoreMachine
from cleancut.core.undelete.undelete import UndeleteMachine
from cleancut.ports.coordination import Change, Compacted, Lease
from cleancut.runtime.log import Logger, Trouble
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import decode_or_skip
from cleancut_coordinator.leader.fences import FenceReleaser
from cleancut_coordinator.leader.high_water import end_behind, read_marks
from cleancut_coordinator.leader.patience import Patience, serving
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

_TICK_S = 0.5
_RETRY_S = 1.0
_LOOK_S = 5.0
_RETRIES_S = (2.0, 20.0, 30.0)
"""Before the next attempts: a killed agent's lease has to run out before it can come back."""
_QUEUE = 10_000
_MACHINES: dict[OperationKind, type[Attempt]] = {
    OperationKind.BACKUP: Barrier,
    OperationKind.SEED: SeedMachine,
    OperationKind.IMPORT: ImportMachine,
    OperationKind.RESTORE: RestoreMachine,
    OperationKind.REBALANCE: RebalanceMachine,
    OperationKind.RESHARD: ReshardMachine,
    OperationKind.UNDELETE: UndeleteMachine,
}


def _wait_before_next(operation: Operation) -> float:
    """Seconds until the next attempt; who only missed a quiet moment may look for another soon, and
    one that did not fail begins at once."""
    if operation.failure is None:
        return 0.0
    if operation.failure.reason == "NOT_POINT_IN_TIME":
        return _RETRIES_S[0]
    if operation.awaited is not None:  # it waits for agents, and begins once they are back
        return _RETRIES_S[min(operation.excused, len(_RETRIES_S)) - 1]
    return _RETRIES_S[min(operation.attempts, len(_RETRIES_S)) - 1]


class LeaderEffects(Protocol):
    """What carries out a machine's effects."""

    async def run(self, effect: Effect) -> object: ...


class LeaderTerm:
    """One term. `run` returns only by raising: LeaseLost, Fenced, or what made it impossible."""

    def __init__(
        self,
        context: CoordinatorContext,
        lease: Lease,
        token: FencingToken,
        *,
        effects: dict[OperationKind, LeaderEffects],
        metrics: CoordinatorMetrics,
        log: Logger,
        bounds: Bounds | None = None,
    ) -> None:
        self._context, self._lease = context, lease
        self._effects, self._log, self._metrics = effects, log, metrics
        self._trouble = Trouble(log)
        self._state = LeaderState(context, token)
        self._patience = Patience(context, self._state)
        self._releaser = FenceReleaser(context, token, metrics=metrics, log=log)
        self._bounds = bounds or Bounds()
        self.machine: Attempt = Barrier(self._bounds)
        self._events: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        self._running: dict[asyncio.Task[None], Epoch] = {}
        self._cancels: set[OperationId] = set()
        self._not_before_s = 0.0
        self._look_at_s = 0.0
        self._reread = False

    def reread(self) -> None:
        """Reads all from etcd again, as a new leader does."""
        self._reread = True
        self.poke()

    def poke(self) -> None:
        """Looks for a new operation now, not at the next tick."""
        self._look_at_s = 0.0
        if not self._events.full():
            self._events.put_nowait(Tick())

    def cancel(self, operation: OperationId) -> None:
        """Asks for an end of this operation; the answer is its state."""
        self._cancels.add(operation)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Starts everything in `group` and works until the term is over."""
        await self._reload(group)
        group.create_task(self._watch_lease())
        keys = self._context.keys
        group.create_task(self._watch(keys.all_votes, self._vote_of))
        group.create_task(self._watch(keys.sessions, self._session_of))
        group.create_task(self._watch(keys.all_progress, self._progress_of))
        group.create_task(self._tick())
        group.create_task(self._releaser.run())
        while True:
            event = await self._events.get()
            await self._step(event, group)
            if isinstance(event, Tick):
                await self._between(group)

    async def _step(self, event: Event, group: asyncio.TaskGroup) -> None:
        commands = self.machine.step(event, self._context.clock.monotonic_s())
        for command in commands:
            if not await self._carry_out(command, group):
                await self._reload(group)
                return

    async def _carry_out(self, command: Command, group: asyncio.TaskGroup) -> bool:
        """False if a guard refused: nothing that follows may be done."""
        match command:
            case Persist(operation=operation):
                if operation is not None and operation.state is State.PENDING:
                    wait_s = _wait_before_next(operation)
                    self._not_before_s = self._context.clock.monotonic_s() + wait_s
                if command.fence is not None:
                    self._releaser.raised(command.fence)
                applied = await self._state.persist(command, self.machine.ctl.epoch)
                self._log_transition(command, applied)
                return applied
            case Decide():
                votes = {name: self.machine.votes[command.phase, name] for name in command.voters}
                decided = await self._state.decide(command, votes)
                if decided:
                    self._metrics.moved(command.ctl, self._context.clock.monotonic_s())
                return decided
            case Run():
                task = group.create_task(self._run_effect(command.effect))
                self._running[task] = command.effect.epoch
                task.add_done_callback(lambda ended: self._running.pop(ended, None))
                return True
            case Lift():
                self._releaser.lift(command.fence)
                return True
            case Stop():
                await self._stop(command.epoch)
                return True
            case _:
                raise AssertionError(f"not a coordinator's command: {command}")

    def _log_transition(self, command: Persist, applied: bool) -> None:
        ctl, operation = command.ctl, command.operation
        if applied and ctl is not None:
            self._metrics.moved(ctl, self._context.clock.monotonic_s())
        failure = operation.failure if operation else None
        again = ctl is not None and ctl.phase is Phase.STANDSTILL and ctl.round > 1
        (self._log.debug if again else self._log.info)(
            "persist",
            epoch=ctl.epoch if ctl else self.machine.ctl.epoch,
            phase=ctl.phase if ctl else None,
            state=operation.state if operation else None,
            applied=applied,
            cause=failure.message if failure and ctl and ctl.failure else None,
            **(_rounds(ctl) if ctl is not None and ctl.phase is Phase.UPLOAD else {}),
        )

    async def _run_effect(self, effect: Effect) -> None:
        name, began_s = type(effect).__name__, self._context.clock.monotonic_s()
        if not self._lease.alive():
            raise LeaseLost(f"the coordinator's lease was over before {name}")
        kind = self.machine.kind
        cause = None
        try:
            if isinstance(effect, ReadMarks):  # every operation's first, after a takeover
                result: object = await read_marks(self._context, effect.epoch)
            else:
                result = await self._effects[kind].run(effect)
            event: Event = Done(effect, result)
        except CleancutError as error:
            cause = error.message
            failure = failure_of(error)
            event = Failed(effect, failure)
        took_s = round(self._context.clock.monotonic_s() - began_s, 4)
        self._log.info("effect", effect=name, epoch=effect.epoch, took_s=took_s, cause=cause)
        await self._events.put(event)

    async def _stop(self, epoch: Epoch) -> None:
        running = [task for task, of in self._running.items() if of == epoch]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _reload(self, group: asyncio.TaskGroup) -> None:
        """Reads what is persisted and rebuilds the machine from it. Raises: Fenced."""
        took = await self._state.load()
        for epoch in set(self._running.values()):
            await self._stop(epoch)
        self.machine = self._machine_for(took.ctl.kind)
        self._log.info("took over", epoch=took.ctl.epoch, phase=took.ctl.phase)
        await self._step(took, group)

    def _machine_for(self, kind: OperationKind) -> Attempt:
        return _MACHINES[kind](self._bounds)

    # Between attempts

    async def _between(self, group: asyncio.TaskGroup) -> None:
        """Cancels what was asked for, and gives the next operation its turn."""
        if self._reread:
            self._reread = False
            await self._reload(group)
        open_one = self.machine.operation
        for asked in list(self._cancels):
            self._cancels.discard(asked)
            if open_one is not None and open_one.id == asked and not self.machine.idle:
                await self._step(Cancelled(), group)
            else:
                await self._state.cancel_pending(asked)
                self._cancels.update(await self._state.reshards_of_canceled())
        now_s = self._context.clock.monotonic_s()
        if self.machine.idle and now_s >= max(self._not_before_s, self._look_at_s):
            for name in await self._state.reshards_of_canceled():
                await self._state.cancel_pending(name)
            operation = await self._patience.next_ready()
            if operation is None:
                self._look_at_s = now_s + _LOOK_S
                self._reread = await self._state.ctl_moved()
            else:
                await self._begin(operation, group)

    async def _begin(self, operation: Operation, group: asyncio.TaskGroup) -> None:
        self._not_before_s = self._context.clock.monotonic_s() + _RETRY_S
        try:
            stopped = await end_behind(self._context, self._state, operation)
            if stopped is not None:
                self._log.error("etcd is behind the store", cause=stopped.message)
                self._reread = True
                return
            epoch = await self._state.next_epoch()
        except CleancutError as error:
            self._trouble.tell("cannot begin", error.message, operation=operation.id)
            failure = failure_of(error)
            await self._state.note_waiting(operation, failure)
            if isinstance(error, Fenced):
                raise
            return
        self._trouble.end()
        sessions = await self._state.sessions()
        able = {name: seen for name, seen in sessions.items() if seen[1].peer_id is not None}
        problems = agent_problems({name: said for name, (_, said) in sessions.items()})
        for problem in problems:
            self._log.warning("left out", cause=problem, epoch=epoch)
        self.machine = self._machine_for(operation.kind)
        nonce, now_s = self._context.token_hex(16), self._context.clock.wall_s()
        present = serving(said for _, said in able.values())
        away = tuple(sorted(await self._patience.away(present)))
        await self._step(Started(operation, epoch, nonce, able, problems, away, now_s), group)

    # What becomes an event

    async def _tick(self) -> None:
        while True:
            await self._events.put(Tick())
            await self._context.clock.sleep(_TICK_S)

    async def _watch_lease(self) -> None:
        raise LeaseLost(await self._lease.wait_lost())

    async def _watch(self, prefix: str, event_of: Callable[[Change], Event | None]) -> None:
        """Feeds the machine with what changes under `prefix`, and first with what is there."""
        while True:
            listing = await self._context.etcd.list(prefix)
            for item in listing.items:
                await self._feed(event_of(Change(item, deleted=False)))
            try:
                async for changes in self._context.etcd.watch(prefix, listing.revision + 1):
                    for change in changes:
                        await self._feed(event_of(change))
            except (Compacted, Unavailable):
                continue  # listed again; the lease ends if etcd stays away

    async def _feed(self, event: Event | None) -> None:
        if event is not None:
            await self._events.put(event)

    def _vote_of(self, change: Change) -> Event | None:
        if change.deleted:
            return None
        key = self._context.keys.parse_vote(change.kv.key)
        if key is None:
            return None
        vote = decode_or_skip(self._context, Vote, change.kv)
        if vote is None:
            return None
        return Voted(key.agent, key.epoch, key.phase, vote)

    def _session_of(self, change: Change) -> Event | None:
        agent = agent_of(change.kv.key)
        if change.deleted:
            return SessionMoved(agent, None)
        if decode_or_skip(self._context, Session, change.kv) is None:
            return None
        opened = change.kv.create_revision == change.kv.mod_revision
        self._came(opened=opened)
        return SessionMoved(agent, FencingToken(change.kv.create_revision))

    def _came(self, *, opened: bool) -> None:
        """An agent came, or says more of itself: what waits for it is looked at now, and no longer
        held back by the pause after its last attempt."""
        self._look_at_s = 0.0
        if opened and self.machine.idle:
            soon_s = self._context.clock.monotonic_s() + _RETRY_S
            self._not_before_s = min(self._not_before_s, soon_s)

    def _progress_of(self, change: Change) -> Event | None:
        agent = agent_of(change.kv.key)
        return None if change.deleted else Progressed(agent)


def _rounds(ctl: Ctl) -> dict[str, int]:
    """How the search for a standstill went, for logs; nothing, if there was none."""
    if not ctl.round:
        return {}
    return {
        "rounds": ctl.round,
        "standstill": ctl.standstill,
        "waited_ms": ctl.waited_ms,
        "moved": ctl.moved,
        "window_ms": ctl.window_ms,
    }
