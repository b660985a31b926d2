"""What the restore's machines ask for, done on the simulated cluster and store.

`CollectionCreator`, `publish_restore`, `Recovery`, the plan and the review are the real ones, on
simulated ports; only what needs an event loop (several things at once, bounds in time) is restated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, ReadNumbers
from cleancut.core.protocol.etcd_records import ShardTask, Vote
from cleancut.core.protocol.replica_reports import AgentRestoreReport, RestoredShard
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.participant import HasRecovered, Recover, Verified, Verify
from cleancut.core.restore.report import RestoreDraft, RestoreReport
from cleancut.repository.catalog import put_votes_document
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import readings_of
from cleancut_agent.restore.recovery import Recovery
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.restore import effects
from cleancut_coordinator.restore.create_collections import CollectionCreator
from tests.sim.agents import SimAgent
from tests.sim.coordinators import SimCoordinator
from tests.sim.network import SimClock
from tests.sim.peer import SimPeer
from tests.sim.pulling import SimTars
from tests.sim.world import Process, Reply, Scope

T = TypeVar("T")
ACTIVE_S = 5.0
FASTER = 5.0
"""Effects have this part of their bound: nothing takes long here."""


async def run_all(process: Process, calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all `calls`, at once; the first failure ends the others."""
    results: dict[int, T] = {}
    over = Reply()

    async def keep(index: int) -> None:
        results[index] = await calls[index]()

    def ended(error: CleancutError | None) -> None:
        if error is not None or len(results) == len(calls):
            over.answer(error=error)

    tasks = [process.spawn(keep(index), ended) for index in range(len(calls))]
    try:
        if calls:
            await over
    finally:
        for task in tasks:
            task.close()
    return [results[index] for index in range(len(calls))]


async def within(process: Process, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Raises: TimeoutError, and ends it, when its bound is over."""
    done = Reply()

    async def bound() -> None:
        await process.sleep(seconds)
        done.answer(())

    async def keep() -> None:
        done.answer((await work,))

    def ended(error: CleancutError | None) -> None:
        if error is not None:
            done.answer(error=error)

    tasks = [process.spawn(keep(), ended), process.spawn(bound(), ended)]
    try:
        result: tuple[T, ...] = await done
    finally:
        for task in tasks:
            task.close()
    if not result:
        raise TimeoutError
    return result[0]


class OnSim(effects.RestoreEffects):
    """The real effects, but for what needs an event loop, or more of a tar than its name."""

    recreation: Callable[[CoordinatorContext, RestoreDraft], CollectionCreator] = CollectionCreator

    def __init__(self, context: CoordinatorContext, process: Process) -> None:
        super().__init__(context)
        self._process = process

    async def _check_whole(self, draft: RestoreDraft) -> None:
        return None

    def _recreation(self, draft: RestoreDraft) -> CollectionCreator:
        return self.recreation(self._context, draft)

    async def _with_canaries(self, draft: RestoreDraft, report: RestoreReport) -> RestoreReport:
        return report

    async def _at_once(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        await run_all(self._process, calls)

    async def _within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        return await within(self._process, seconds / FASTER, work)


class RestoreEffects:
    """One term's effects of restores."""

    on_sim: Callable[[CoordinatorContext, Process], OnSim] = OnSim

    def __init__(self, coordinator: SimCoordinator) -> None:
        self._owner, self._shared = coordinator, coordinator.shared
        self._first = coordinator.shared.world.rng.randrange(8)

    async def run(self, effect: Effect) -> object:
        weather, world, process = self._shared.weather, self._shared.world, self._owner.process
        await process.sleep(world.rng.random() * 0.01)
        if world.chance(weather.effect_hangs):
            await process.sleep(world.rng.random() * 10.0)
        if world.chance(weather.effect_fails):
            raise Unavailable("a fault of the simulation")
        context: CoordinatorContext = replace(self._owner.context, peers=self._peers(effect.epoch))
        return await self.on_sim(context, process).run(effect)

    def _peers(self, epoch: Epoch) -> Any:
        """All peers, in the order of this coordinator's URLs; changes are made for `epoch`."""
        ids = list(self._owner.qdrant.peers)
        turn = self._first % len(ids)
        return tuple(
            SimPeer(self._owner.pulls, self._owner.process, peer, f"epoch {epoch}")
            for peer in ids[turn:] + ids[:turn]
        )


class SimRecovery(Recovery):
    """The real one; only what it does at once is done by the simulation's hand."""

    def __init__(self, context: AgentContext, tars: SimTars, process: Process) -> None:
        super().__init__(context, tars)  # type: ignore[arg-type]
        self._process = process

    async def _at_once(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        await run_all(self._process, calls)


class PullEffects:
    """What `Pull` asks for, done on the own peer and the store."""

    recovery: Callable[[AgentContext, SimTars, Process], Recovery] = SimRecovery

    def __init__(self, agent: SimAgent, token: FencingToken, scope: Scope) -> None:
        self._agent, self._shared, self._process = agent, agent.shared, agent.process
        self._peer = SimPeer(agent.pulls, agent.process, agent.home.peer)
        self._context = AgentContext(
            name=agent.home.name,
            keys=agent.shared.keys,
            paths=agent.shared.paths,
            etcd=agent.etcd,  # type: ignore[arg-type]
            store=agent.store,
            qdrant=self._peer,  # type: ignore[arg-type]
            clock=SimClock(agent.shared.world, agent.process),
            spill_dir=Path(),
            loopback="",
        )
        tars = SimTars(agent.pulls, agent.process)
        self._recovery = self.recovery(self._context, tars, agent.process)

    async def run(self, effect: Effect) -> object:
        weather, world = self._shared.weather, self._shared.world
        await self._process.sleep(world.rng.random() * 0.01)
        if world.chance(weather.effect_hangs):
            await self._process.sleep(world.rng.random() * 10.0)
        if world.chance(weather.effect_fails):
            raise Unavailable("a fault of the simulation")
        match effect:
            case Observe():
                return await self._observe(effect)
            case HasRecovered():
                return await self._has_recovered(effect.epoch)
            case Recover():
                await self._recovery.recover_all(effect.tasks, empty=effect.empty)
                return None
            case Verify():
                return await self._verify(effect)
            case ReadNumbers():
                return readings_of(await self._peer.telemetry(), effect.tasks)
            case _:
                raise AssertionError(f"not a restore's effect: {effect}")

    def stop(self, epoch: Epoch) -> None:
        """Nothing is left to end once the effects of `epoch` are cancelled."""

    async def _observe(self, effect: Observe) -> Observed:
        view = self._agent.qdrant.view_of(self._agent.home.peer).digest
        path = self._shared.paths.probe(effect.epoch, "_coordinator")
        try:
            probe = (await self._agent.store.get(path)).decode()
        except NotFound:
            probe = ""
        return Observed(view, "", probe, 1 << 40, None)

    async def _has_recovered(self, epoch: Epoch) -> bool:
        key = self._shared.keys.vote(epoch, Phase.RECOVER.value, self._agent.home.name)
        found = await self._agent.etcd.get(key)
        return found is not None and decode(Vote, found.value, key).yes

    async def _verify(self, effect: Verify) -> Verified:
        readings = readings_of(await self._peer.telemetry(), effect.tasks)
        calls = [partial(self._verify_shard, task) for task in effect.tasks]
        found = await run_all(self._process, calls)
        document = AgentRestoreReport(
            epoch=effect.epoch, agent=self._agent.home.name, shards=tuple(found)
        )
        sha256 = await put_votes_document(self._agent.store, self._shared.paths, document)
        return Verified(readings, sha256)

    async def _verify_shard(self, task: ShardTask) -> RestoredShard:
        """As agent/cleancut_agent/restore/shard_checks.py has it."""
        try:
            await within(self._process, ACTIVE_S, self._wait_active(task))
        except TimeoutError as error:
            raise TimedOut(f"{task.collection}/{task.shard_id} is not {ACTIVE}") from error
        count = await self._peer.count(task.collection, task.shard_id)
        if task.count is not None and count != task.count:
            raise Corrupt(f"{task.collection}/{task.shard_id} holds {count}, not {task.count}")
        return RestoredShard(
            collection=task.collection,
            shard_id=task.shard_id,
            peer_id=task.peer_id,
            count=count,
            expected=task.count,
            routed=count,
            status="green",
        )

    async def _wait_active(self, task: ShardTask) -> None:
        while True:
            placement = await self._peer.placement(task.collection)
            states = {replica.shard_id: replica.state for replica in placement.local()}
            if states.get(task.shard_id) == ACTIVE:
                return
            await self._process.sleep(0.25)


SimAgent.pull_effects = PullEffects
SimCoordinator.restore_effects = RestoreEffects
