"""Simulated agents: the real `BackupParticipant` and `RestoreParticipant` on simulated ports."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from msgspec.structs import replace

from cleancut.core.backup.participant import BackupParticipant
from cleancut.core.backup.participant_requests import (
    Capture,
    Confirm,
    FinishCapture,
    Load,
    ReadJournal,
)
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import AgentDocument, ShardEntry
from cleancut.core.primitives.codec import decode, digest_of, encode
from cleancut.core.primitives.errors import (
    CleancutError,
    LeaseLost,
    NotFound,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, PeerId
from cleancut.core.protocol.commands import CastVote, Command, Effect, Run, Stop
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import (
    Ctl,
    EpochMember,
    Failure,
    Session,
    ShardTask,
)
from cleancut.core.protocol.events import Done, Event, Failed, Seen, Tick
from cleancut.core.protocol.evidence import is_unchanged
from cleancut.core.protocol.fence import is_raised, without_fence
from cleancut.core.protocol.states import OperationKind
from cleancut.core.restore.participant import RestoreParticipant
from cleancut.ports.coordination import Change, Created, Guard, KeyValue, Modified, Put
from cleancut_agent.fence_watchdog import FenceWatchdog
from tests.sim import trace
from tests.sim.fences import lifter_of
from tests.sim.lease import SimLease
from tests.sim.network import Shared, SimEtcd, SimStore
from tests.sim.pulling import Pulls
from tests.sim.world import Mailbox, Process, Reply, Scope, Task, World, crash

TTL_S = 4.0
TICK_S = 0.25


@dataclass(slots=True)
class Home:
    """What outlives an agent's process: its name, its peer, its journal."""

    name: AgentName
    peer: PeerId
    journal: dict[Epoch, str] = field(default_factory=dict)


@dataclass(slots=True)
class Streams:
    """The captures of an epoch. `stored`: the recipe of each task, None while it is running."""

    startup: str
    stored: list[str | None]
    error: CleancutError | None = None


class Effects(Protocol):
    """What carries out a machine's effects."""

    async def run(self, effect: Effect) -> object: ...

    def stop(self, epoch: Epoch) -> None: ...


class SimAgent:
    """One life of an agent process: session after session, until it is killed."""

    machine: Callable[[FencingToken], BackupParticipant] = BackupParticipant
    pull: Callable[[FencingToken], RestoreParticipant] = RestoreParticipant
    lifters: ClassVar[Callable[..., FenceWatchdog]] = staticmethod(lifter_of)
    follower: ClassVar[type[Follower]]
    effects: ClassVar[Callable[[SimAgent, FencingToken, Scope], Effects]]
    seed_effects: ClassVar[Callable[[SimAgent, FencingToken, Scope], Effects]]
    pull_effects: ClassVar[Callable[[SimAgent, FencingToken, Scope], Effects]]

    def __init__(self, shared: Shared, pulls: Pulls, home: Home) -> None:
        self.shared, self.qdrant, self.pulls, self.home = shared, pulls.qdrant, pulls, home
        self.process = Process(shared.world, home.name)
        self.etcd = SimEtcd(shared, self.process, shared.keys.session(home.name))
        self.store = SimStore(shared, self.process)
        self.lifter = self.lifters(
            pulls, self.process, self.store, home.name, peer=home.peer, etcd=self.etcd
        )
        self.process.spawn(self._live(), crash)
        self.process.spawn(self.lifter.run(), crash)

    @property
    def world(self) -> World:
        return self.shared.world

    async def _live(self) -> None:
        while True:
            scope, lease = Scope(self.process), SimLease(self.shared, self.process, TTL_S)
            try:
                token = await self._register(lease, scope)
                self.process.token = token
                scope.spawn(self.follower(self, lease, token, scope).run())
                await scope.over
            except (LeaseLost, Unavailable, TimedOut) as error:
                self.shared.trace.say(self.world.now_s, self.home.name, f"session over: {error}")
            scope.close()
            lease.drop()
            await self.process.sleep(0.5)

    async def _register(self, lease: SimLease, scope: Scope) -> FencingToken:
        await lease.open(scope)
        key = self.shared.keys.session(self.home.name)
        nonce = f"{self.home.name}-{lease.id}"
        said = Session(
            name=self.home.name,
            version="sim",
            peer_id=self.home.peer,
            qdrant_version="1.18.3",
            nonce=nonce,
        )
        while True:
            put = Put(key, encode(said), lease=lease.id)
            result = await self.etcd.txn([Created(key, 0)], [put])
            if result.applied:
                return FencingToken(result.revision)
            found = await self.etcd.get(key)
            if found is not None and found.lease == lease.id:
                return FencingToken(found.create_revision)  # an earlier try was applied late
            if not lease.alive():
                raise LeaseLost("the lease ended before the agent was registered")
            await self.process.sleep(0.3)


class Follower:
    """One session: `ctl` in, votes out."""

    def __init__(self, agent: SimAgent, lease: SimLease, token: FencingToken, scope: Scope) -> None:
        self._agent, self._lease, self._token, self._scope = agent, lease, token, scope
        self._shared, self._process, self._etcd = agent.shared, agent.process, agent.etcd
        self._machines: dict[OperationKind, BackupParticipant | RestoreParticipant] = {
            OperationKind.BACKUP: agent.machine(token),
            OperationKind.SEED: BackupParticipant(token),
            OperationKind.RESTORE: agent.pull(token),
        }
        self._effects: dict[OperationKind, Effects] = {
            OperationKind.BACKUP: agent.effects(agent, token, scope),
            OperationKind.SEED: agent.seed_effects(agent, token, scope),
            OperationKind.RESTORE: agent.pull_effects(agent, token, scope),
        }
        self._ctl, self._revision, self._newest = Ctl(), 0, 0
        self._voted: dict[str, int] = {}
        self._events = Mailbox()
        self._ctls = Mailbox()
        self._tasks: dict[Task, Epoch] = {}

    async def run(self) -> None:
        self._scope.spawn(self._lease.watch())
        self._scope.spawn(self._follow_ctl())
        self._scope.spawn(self._tick())
        while True:
            kind, event, revision = await self._events.get()
            if isinstance(event, Seen) and revision:
                if event.ctl.epoch != self._ctl.epoch:
                    self._voted.clear()
                self._ctl, self._revision = event.ctl, revision
            for command in self._machines[kind].step(event, self._agent.world.now_s):
                await self._process.boundary()
                await self._carry_out(kind, command)

    async def _carry_out(self, kind: OperationKind, command: Command) -> None:
        match command:
            case CastVote():
                await self._cast(command)
            case Run():
                task = self._scope.spawn(self._run_effect(kind, command.effect))
                self._tasks[task] = command.effect.epoch
            case Stop():
                for task in [task for task, epoch in self._tasks.items() if epoch == command.epoch]:
                    task.close()
                    del self._tasks[task]
                self._effects[kind].stop(command.epoch)
            case _:
                raise AssertionError(f"not an agent's command: {command}")

    def guards(self) -> list[Guard]:
        keys, name = self._shared.keys, self._agent.home.name
        return [Created(keys.session(name), self._token), Modified(keys.ctl, self._revision)]

    async def _cast(self, command: CastVote) -> None:
        key = self._shared.keys.vote(self._ctl.epoch, command.phase, self._agent.home.name)
        nonce = f"{self._agent.world.rng.getrandbits(60):x}"
        vote = replace(command.vote, nonce=nonce)
        if key not in self._voted:
            found = await self._etcd.get(key)
            self._voted[key] = found.mod_revision if found else 0
        guards = [*self.guards(), Modified(key, self._voted[key])]
        result = await self._etcd.txn(guards, [Put(key, encode(vote))])
        if result.applied:
            self._voted[key] = result.revision
        verdict = "counted" if result.applied else "refused"
        said = "yes" if vote.yes else f"no ({vote.failure.message if vote.failure else ''})"
        self._say(f"vote {self._ctl.epoch} {command.phase} {said}: {verdict}")

    async def _run_effect(self, kind: OperationKind, effect: Effect) -> None:
        if not self._lease.alive():
            raise LeaseLost("the session was over")
        event: Event
        try:
            event = Done(effect, await self._effects[kind].run(effect))
        except LeaseLost:
            raise
        except CleancutError as error:
            event = Failed(effect, Failure(reason=error.reason, message=error.message))
            self._say(f"{type(effect).__name__} {effect.epoch} failed: {error.message}")
        self._events.put((kind, event, 0))

    async def _tick(self) -> None:
        while True:
            await self._process.sleep(TICK_S)
            self._events.put((self._ctl.kind, Tick(), 0))

    async def _follow_ctl(self) -> None:
        key = self._shared.keys.ctl
        listing = await self._etcd.list(key)
        watch = self._etcd.follow(key, listing.revision + 1, self._deliver)
        try:
            for item in listing.items:
                await self._saw(item)
            while True:
                await self._saw(await self._ctls.get())
        finally:
            self._shared.drop_watch(watch)

    def _deliver(self, change: Change) -> None:
        if not change.deleted:
            self._ctls.put(change.kv)

    async def _saw(self, item: KeyValue) -> None:
        if item.mod_revision <= self._newest:
            return
        self._newest = item.mod_revision
        ctl = decode(Ctl, item.value, item.key)
        key = self._shared.keys.member(ctl.epoch, self._agent.home.name)
        record = await self._etcd.get(key) if ctl.epoch else None
        member = decode(EpochMember, record.value, record.key) if record else None
        for kind in sorted(set(self._machines) - {ctl.kind}):
            self._events.put((kind, Seen(Ctl(kind=kind), None), 0))
        self._events.put((ctl.kind, Seen(ctl, member), item.mod_revision))

    def _say(self, what: str) -> None:
        self._shared.trace.say(self._agent.world.now_s, self._agent.home.name, what)


class AgentEffects:
    """What `BackupParticipant` asks for, done on the simulated peer and store."""

    def __init__(self, agent: SimAgent, token: FencingToken, scope: Scope) -> None:
        self._agent, self._token, self._scope = agent, token, scope
        self._shared, self._qdrant, self._peer = agent.shared, agent.qdrant, agent.home.peer
        self._streams: dict[Epoch, Streams] = {}
        self._tasks: dict[Epoch, Task] = {}

    async def run(self, effect: Effect) -> object:
        await self._suffer()
        match effect:
            case Observe():
                return await self._observe(effect)
            case Load():
                return None
            case Capture():
                return await self._capture(effect)
            case Confirm():
                return await self._agent.lifter.confirm(effect.epoch)
            case ReadNumbers():
                return await self._read(effect)
            case FinishCapture():
                return await self._finish(effect)
            case ReadJournal():
                return self._agent.home.journal.get(effect.epoch, "")
            case _:
                raise AssertionError(f"not an agent's effect: {effect}")

    async def _suffer(self) -> None:
        """Any effect takes time, hangs or fails, as the weather is."""
        weather, world = self._shared.weather, self._shared.world
        await self._agent.process.sleep(world.rng.random() * 0.01)
        if world.chance(weather.effect_hangs):
            await self._agent.process.sleep(world.rng.random() * 10.0)
        if world.chance(weather.effect_fails):
            raise Unavailable("a fault of the simulation")

    def stop(self, epoch: Epoch) -> None:
        task = self._tasks.pop(epoch, None)
        if task is not None:
            task.close()
        self._streams.pop(epoch, None)

    async def _read(self, effect: ReadNumbers) -> Readings:
        seen, fence = self._qdrant.telemetry(self._peer, effect.tasks), effect.fence
        await self._pause(0.005)
        shown = self._qdrant.view_of(self._peer)
        if fence is None:
            return replace_view(seen, shown.digest)
        view = decode(View, shown.data, "a view")
        told = replace_view(seen, digest_of(without_fence(view, fence)))
        return dataclasses.replace(told, fenced=is_raised(fence, dict(view.aliases)))

    async def _pause(self, seconds: float) -> None:
        await self._agent.process.sleep(self._shared.world.rng.random() * seconds)

    async def _observe(self, effect: Observe) -> Observed:
        view, paths, store = self._qdrant.view_of(self._peer), self._shared.paths, self._agent.store
        name = f"{self._agent.home.name}.{view.digest[:32]}"
        await store.put(paths.probe(effect.epoch, name), view.data)
        try:
            probe = (await store.get(paths.probe(effect.epoch, "_coordinator"))).decode()
        except NotFound:
            probe = ""
        key = self._shared.keys.member(effect.epoch, self._agent.home.name)
        record = await self._agent.etcd.get(key)
        member = decode(EpochMember, record.value, record.key) if record else None
        arrivals = self._qdrant.peers[self._peer].arrivals
        return Observed(view.digest, name, probe, 1000, member, arrivals)

    async def _capture(self, effect: Capture) -> Readings:
        """Reads the numbers, then freezes each shard at a moment of its own."""
        first = self._qdrant.telemetry(self._peer, effect.tasks)
        streams = Streams(first.incarnation, [None] * len(effect.tasks))
        self._streams[effect.epoch] = streams
        all_cut = Reply()
        work = self._stream(effect, first, streams, all_cut)
        self._tasks[effect.epoch] = self._scope.spawn(work)
        await all_cut
        return first

    async def _stream(
        self, effect: Capture, first: Readings, streams: Streams, all_cut: Reply
    ) -> None:
        try:
            for index, task in enumerate(effect.tasks):
                taken = self._taken_over(effect, first, index)
                if taken < 0:
                    await self._pause(0.02)
                    self._qdrant.check_alive(self._peer, streams.startup)
                content = self._freeze(effect, task, taken)
                streams.stored[index] = f"{content}"
            all_cut.answer()
            await self._pause(10.0 if self._shared.world.chance(0.3) else 0.5)
            self._qdrant.check_alive(self._peer, streams.startup)
        except CleancutError as error:
            streams.error = error
            all_cut.answer(error=error)
            return
        self._tasks.pop(effect.epoch, None)

    def _freeze(self, effect: Capture, task: ShardTask, taken: int) -> int:
        replica = self._qdrant.freeze_shard(self._peer, task)
        content = replica.content if taken < 0 else taken
        self._shared.trace.captures.append(
            trace.Capture(
                at_s=self._shared.world.now_s,
                agent=self._agent.home.name,
                token=self._token,
                epoch=effect.epoch,
                collection=task.collection,
                shard_id=task.shard_id,
                peer_id=self._peer,
                content=content,
                life=replica.life,
            )
        )
        return content

    def _taken_over(self, effect: Capture, first: Readings, index: int) -> int:
        """The parent's content if the shard is unchanged, else -1."""
        task = effect.tasks[index]
        return int(task.recipe) if self.unchanged(task, first, index) else -1

    def unchanged(self, task: ShardTask, first: Readings, index: int) -> bool:
        parent, uuid = task.parent, self._qdrant.uuid_at(self._peer, task.collection)
        return parent is not None and is_unchanged(parent, first.at(index), uuid)

    async def _finish(self, effect: FinishCapture) -> str:
        streams = self._streams.get(effect.epoch)
        if streams is None:
            raise TimedOut("the captures of this epoch are gone")
        while effect.epoch in self._tasks:
            if streams.error is not None:
                raise streams.error
            await self._pause(0.1)
        shards = tuple(
            self._entry(effect, index, recipe or "") for index, recipe in enumerate(streams.stored)
        )
        document = AgentDocument(epoch=effect.epoch, agent=self._agent.home.name, shards=shards)
        data = encode(document)
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._shared.paths.votes_document(effect.epoch, self._agent.home.name, sha256)
        await self._agent.store.put(path, data)
        self._agent.home.journal[effect.epoch] = sha256
        return sha256

    def _entry(self, effect: FinishCapture, index: int, recipe: str) -> ShardEntry:
        task, first, second = effect.tasks[index], effect.first, effect.second
        return ShardEntry(
            collection=task.collection,
            shard_id=task.shard_id,
            peer_id=task.peer_id,
            agent=self._agent.home.name,
            recipe=recipe,
            tar_sha256="",
            size_bytes=1,
            new_bytes=1,
            stored_bytes=1,
            first=first.at(index),
            second=second.at(index),
            drained=False,
        )


def replace_view(seen: Readings, view: str) -> Readings:
    return dataclasses.replace(seen, view=view)


SimAgent.follower = Follower
SimAgent.effects = AgentEffects
