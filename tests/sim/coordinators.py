"""A simulated coordinator: the real machines and the real `LeaderState`, on simulated ports.

The order rules are the real shell's: commands in order, what follows a `Persist` only once it was
applied, and a refused one means that everything is read anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.seed import SeedMachine
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, TimedOut, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, OperationId
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Decide, Effect, Lift, Persist, Run, Stop
from cleancut.core.protocol.etcd_records import Bounds, Failure, Operation, Vote
from cleancut.core.protocol.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    SessionMoved,
    Started,
    Tick,
    Voted,
)
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.restore.restore import RestoreMachine
from cleancut.ports.coordination import Change
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.election import campaign
from cleancut_coordinator.leader.state import LeaderState
from tests.sim.fences import TermLifter
from tests.sim.lease import SimLease
from tests.sim.network import Shared, SimClock, SimEtcd, SimStore
from tests.sim.pulling import Pulls
from tests.sim.world import Mailbox, Process, Scope, Task, crash

TTL_S = 3.0
TICK_S = 0.5
RETRY_S = 0.3
BOUNDS = Bounds(
    prepare_s=6,
    drain_s=1,
    cut_s=3,
    seal_s=3,
    upload_s=20,
    stalled_s=25,
    create_s=20,
    recover_s=120,
    verify_s=15,
    publish_s=10,
)


class Effects(Protocol):
    """What carries out a machine's effects."""

    async def run(self, effect: Effect) -> object: ...


class SimCoordinator:
    """One life of a coordinator process: standing by, leading, standing by again."""

    machine: Callable[[Bounds], Barrier] = Barrier
    seed: Callable[[Bounds], SeedMachine] = SeedMachine
    restore: Callable[[Bounds], RestoreMachine] = RestoreMachine
    seed_effects: ClassVar[Callable[[SimCoordinator], Effects]]
    restore_effects: ClassVar[Callable[[SimCoordinator], Effects]]
    leader_state: Callable[[CoordinatorContext, FencingToken], LeaderState] = LeaderState
    term_of: ClassVar[type[Term]]

    def __init__(self, shared: Shared, pulls: Pulls, name: str) -> None:
        self.shared, self.qdrant, self.pulls = shared, pulls.qdrant, pulls
        self.process = Process(shared.world, name)
        self.etcd = SimEtcd(shared, self.process, shared.keys.leader)
        self.store = SimStore(shared, self.process)
        self.context = CoordinatorContext(
            name=name,
            store_url="memory:",
            keys=shared.keys,
            paths=shared.paths,
            etcd=self.etcd,  # type: ignore[arg-type]
            store=self.store,
            peers=(),
            clock=SimClock(shared.world, self.process),
        )
        self.term: Term | None = None
        self.process.spawn(self._live(), crash)

    async def _live(self) -> None:
        while True:
            scope, lease = Scope(self.process), SimLease(self.shared, self.process, TTL_S)
            try:
                await lease.open(scope)
                scope.spawn(lease.watch())
                token = await campaign(self.context, lease, "")  # type: ignore[arg-type]
                self.process.token = token
                self.say(f"leads, token {token}")
                self.term = self.term_of(self, lease, token, scope)
                scope.spawn(self.term.run())
                await scope.over
            except (LeaseLost, Fenced, Unavailable, TimedOut) as error:
                self.say(f"term over: {error}")
            self.term = None
            scope.close()
            lease.drop()
            await self.process.sleep(RETRY_S)

    def say(self, what: str) -> None:
        self.shared.trace.say(self.shared.world.now_s, self.process.name, what)


class Term:
    """One term: events in, commands carried out."""

    effects: ClassVar[Callable[[SimCoordinator], Effects]]
    lifter: ClassVar[type[TermLifter]] = TermLifter

    def __init__(
        self, coordinator: SimCoordinator, lease: SimLease, token: FencingToken, scope: Scope
    ) -> None:
        self._owner, self._lease, self._scope = coordinator, lease, scope
        self._world, self._keys = coordinator.shared.world, coordinator.shared.keys
        self._leader_state = coordinator.leader_state(coordinator.context, token)
        self._effects: dict[OperationKind, Effects] = {
            OperationKind.BACKUP: self.effects(coordinator),
            OperationKind.SEED: coordinator.seed_effects(coordinator),
            OperationKind.RESTORE: coordinator.restore_effects(coordinator),
        }
        self.machine: Attempt = coordinator.machine(BOUNDS)
        self._events = Mailbox()
        self._running: dict[Task, Epoch] = {}
        self.cancels: set[OperationId] = set()
        self._not_before_s = 0.0
        self._lifter = self.lifter(coordinator.pulls, coordinator.process, coordinator.etcd, token)

    async def run(self) -> None:
        await self._reload()
        self._scope.spawn(self._lifter.look())
        etcd, watches = self._owner.etcd, []
        for prefix, event_of in (
            (self._keys.all_votes, self._vote_of),
            (self._keys.sessions, self._session_of),
        ):
            listing = await etcd.list(prefix)

            def deliver(change: Change, make: Callable[[Change], Event | None] = event_of) -> None:
                if (event := make(change)) is not None:
                    self._events.put(event)

            for item in listing.items:
                deliver(Change(item, deleted=False))
            watches.append(etcd.follow(prefix, listing.revision + 1, deliver))
        self._scope.spawn(self._tick())
        try:
            while True:
                event = await self._events.get()
                await self._step(event)
                if isinstance(event, Tick):
                    await self._between()
        finally:
            for watch in watches:
                self._owner.shared.drop_watch(watch)

    async def _step(self, event: Event) -> None:
        for command in self.machine.step(event, self._world.now_s):
            await self._owner.process.boundary()
            if not await self._carry_out(command):
                self._owner.say(f"refused: {type(command).__name__}")
                await self._reload()
                return

    async def _carry_out(self, command: Command) -> bool:
        match command:
            case Persist(operation=operation):
                if operation is not None and operation.state is State.PENDING:
                    self._not_before_s = self._world.now_s + RETRY_S
                self._tell(command)
                return await self._leader_state.persist(command, self.machine.ctl.epoch)
            case Decide():
                votes = {
                    name: vote
                    for name in command.voters
                    if (vote := self.machine.votes.get((command.phase, name))) is not None
                }
                self._owner.say(f"decide {command.ctl.epoch}")
                return await self._leader_state.decide(command, votes)
            case Run():
                task = self._scope.spawn(self._run_effect(command.effect))
                self._running[task] = command.effect.epoch
                return True
            case Lift():
                self._scope.spawn(self._lifter.lift(command.fence))
                return True
            case Stop():
                self._stop(command.epoch)
                return True
            case _:
                raise AssertionError(f"not a coordinator's command: {command}")

    def _tell(self, command: Persist) -> None:
        ctl, operation = command.ctl, command.operation
        cause = ctl.failure.message if ctl and ctl.failure else ""
        where = f"ctl {ctl.epoch} {ctl.phase}" if ctl else "members" if command.members else ""
        state = f"{operation.id} {operation.state}" if operation else ""
        self._owner.say(f"persist {where} {state} {cause}")

    async def _run_effect(self, effect: Effect) -> None:
        if not self._lease.alive():
            raise LeaseLost("the coordinator's lease was over")
        event: Event
        kind = self.machine.kind
        try:
            event = Done(effect, await self._effects[kind].run(effect))
        except CleancutError as error:
            self._owner.say(f"{type(effect).__name__} {effect.epoch} failed: {error.message}")
            event = Failed(effect, Failure(reason=error.reason, message=error.message))
        self._events.put(event)

    def _stop(self, epoch: Epoch | None) -> None:
        for task in [t for t, of in self._running.items() if epoch is None or of == epoch]:
            task.close()
            del self._running[task]

    async def _reload(self) -> None:
        took = await self._leader_state.load()
        self._stop(None)
        self.machine = self._machine_for(took.ctl.kind)
        self._owner.say(f"took over {took.ctl.epoch} {took.ctl.phase}")
        await self._step(took)

    def _machine_for(self, kind: OperationKind) -> Attempt:
        owner = self._owner
        made: dict[OperationKind, Callable[[Bounds], Attempt]] = {
            OperationKind.BACKUP: owner.machine,
            OperationKind.SEED: owner.seed,
            OperationKind.RESTORE: owner.restore,
        }
        return made[kind](BOUNDS)

    async def _between(self) -> None:
        for asked in sorted(self.cancels):
            self.cancels.discard(asked)
            open_one = self.machine.operation
            if open_one is not None and open_one.id == asked and not self.machine.idle:
                await self._step(Cancelled())
            else:
                await self._leader_state.cancel_pending(asked)
        if self.machine.idle and self._world.now_s >= self._not_before_s:
            operation = await self._leader_state.next_pending()
            if operation is not None:
                await self._begin(operation)

    async def _begin(self, operation: Operation) -> None:
        self._not_before_s = self._world.now_s + RETRY_S
        try:
            epoch = await self._leader_state.next_epoch()
        except CleancutError as error:
            if isinstance(error, Fenced):
                raise
            return
        sessions = await self._leader_state.sessions()
        self.machine = self._machine_for(operation.kind)
        nonce = f"{self._world.rng.getrandbits(60):x}"
        await self._step(Started(operation, epoch, nonce, sessions))

    async def _tick(self) -> None:
        while True:
            await self._owner.process.sleep(TICK_S)
            self._events.put(Tick())

    def _vote_of(self, change: Change) -> Event | None:
        if change.deleted:
            return None
        epoch, phase, agent = change.kv.key.removeprefix(self._keys.all_votes).split("/")
        vote = decode(Vote, change.kv.value, change.kv.key)
        return Voted(AgentName(agent), Epoch(int(epoch)), phase, vote)

    def _session_of(self, change: Change) -> Event | None:
        agent = AgentName(change.kv.key.removeprefix(self._keys.sessions))
        return SessionMoved(
            agent, None if change.deleted else FencingToken(change.kv.create_revision)
        )


SimCoordinator.term_of = Term
