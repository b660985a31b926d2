"""A simulated coordinator: the real machines and the real `Ledger`, on simulated ports.

The order rules are the real shell's: commands in order, what follows a `Persist` only once it was
applied, and a refused one means that everything is read anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import ClassVar, Protocol

from msgspec.structs import replace

from cleancut.attempt import Attempt
from cleancut.barrier import Barrier
from cleancut.canaries import proven
from cleancut.errors import CleancutError, Fenced, LeaseLost, TimedOut, Unavailable
from cleancut.fence import NO_SETTINGS, check_seen_everywhere, choose_fence, facts_of
from cleancut.ids import AgentName, Epoch, OperationId, Token
from cleancut.io.catalog import get_checked
from cleancut.io.ports import Change
from cleancut.manifest import (
    FORMAT,
    AgentDocument,
    Canaries,
    Canary,
    ClusterEntry,
    CollectionEntry,
    Draft,
    Manifest,
    ShardEntry,
    check_complete,
    parse_manifest,
)
from cleancut.phases import Assign, Assigned, Drain, Drained, Keep, Probe, Publish, Stage
from cleancut.records import (
    Bounds,
    Failure,
    Kind,
    Operation,
    Session,
    State,
    Vote,
    decode,
    encode,
)
from cleancut.restore import Restore
from cleancut.steps import (
    Began,
    Cancelled,
    Command,
    Decide,
    Done,
    Effect,
    Event,
    Failed,
    Lift,
    Persist,
    Run,
    SessionMoved,
    Stop,
    Tick,
    Voted,
)
from cleancut.view import View
from coordinator.assign import assign, choose_collections, newest_entries, shard_ids
from coordinator.canaries import kept_canaries
from coordinator.context import Context
from coordinator.leadership import campaign
from coordinator.ledger import Ledger, format_now
from tests.sim.fences import TermLifter, carry_out
from tests.sim.lease import SimLease
from tests.sim.network import Shared, SimClock, SimEtcd, SimStore
from tests.sim.pulling import Pulls
from tests.sim.world import Mailbox, Process, Reply, Scope, Task, crash

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
    restore: Callable[[Bounds], Restore] = Restore
    restore_effects: ClassVar[Callable[[SimCoordinator], Effects]]
    ledger: Callable[[Context, Token], Ledger] = Ledger
    term_of: ClassVar[type[Term]]

    def __init__(self, shared: Shared, pulls: Pulls, name: str) -> None:
        self.shared, self.qdrant, self.pulls = shared, pulls.qdrant, pulls
        self.process = Process(shared.world, name)
        self.etcd = SimEtcd(shared, self.process, shared.keys.leader)
        self.store = SimStore(shared, self.process)
        self.context = Context(
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

    effects: ClassVar[type[CoordinatorEffects]]
    lifter: ClassVar[type[TermLifter]] = TermLifter

    def __init__(
        self, coordinator: SimCoordinator, lease: SimLease, token: Token, scope: Scope
    ) -> None:
        self._owner, self._lease, self._scope = coordinator, lease, scope
        self._world, self._keys = coordinator.shared.world, coordinator.shared.keys
        self._ledger = coordinator.ledger(coordinator.context, token)
        self._effects: dict[Kind, Effects] = {
            Kind.BACKUP: self.effects(coordinator),
            Kind.RESTORE: coordinator.restore_effects(coordinator),
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
                return await self._ledger.persist(command, self.machine.ctl.epoch)
            case Decide():
                votes = {
                    name: vote
                    for name in command.voters
                    if (vote := self.machine.votes.get((command.phase, name))) is not None
                }
                self._owner.say(f"decide {command.ctl.epoch}")
                return await self._ledger.decide(command, votes)
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
        kind = Kind.BACKUP if isinstance(self.machine, Barrier) else Kind.RESTORE
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
        took = await self._ledger.load()
        self._stop(None)
        self.machine = self._machine_for(took.ctl.kind)
        self._owner.say(f"took over {took.ctl.epoch} {took.ctl.phase}")
        await self._step(took)

    def _machine_for(self, kind: Kind) -> Attempt:
        made = self._owner.machine if kind is Kind.BACKUP else self._owner.restore
        return made(BOUNDS)

    async def _between(self) -> None:
        for asked in sorted(self.cancels):
            self.cancels.discard(asked)
            open_one = self.machine.operation
            if open_one is not None and open_one.id == asked and not self.machine.idle:
                await self._step(Cancelled())
            else:
                await self._ledger.cancel_pending(asked)
        if self.machine.idle and self._world.now_s >= self._not_before_s:
            operation = await self._ledger.next_pending()
            if operation is not None:
                await self._begin(operation)

    async def _begin(self, operation: Operation) -> None:
        self._not_before_s = self._world.now_s + RETRY_S
        try:
            epoch = await self._ledger.next_epoch()
        except CleancutError as error:
            if isinstance(error, Fenced):
                raise
            return
        sessions = await self._ledger.sessions()
        self.machine = self._machine_for(operation.kind)
        nonce = f"{self._world.rng.getrandbits(60):x}"
        await self._step(Began(operation, epoch, nonce, sessions))

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
        return SessionMoved(agent, None if change.deleted else Token(change.kv.create_revision))


class CoordinatorEffects:
    """What `Barrier` asks for, done on the simulated cluster and store."""

    def __init__(self, coordinator: SimCoordinator) -> None:
        self._owner, self._shared = coordinator, coordinator.shared
        self._qdrant, self._store = coordinator.qdrant, coordinator.store

    async def run(self, effect: Effect) -> object:
        weather, world = self._shared.weather, self._shared.world
        await self._owner.process.sleep(world.rng.random() * 0.01)
        if world.chance(weather.effect_hangs):
            await self._owner.process.sleep(world.rng.random() * 10.0)
        if world.chance(weather.effect_fails):
            raise Unavailable("a fault of the simulation")
        paths = self._shared.paths
        match effect:
            case Probe():
                path = paths.probe(effect.epoch, "_coordinator")
                await self._store.put(path, effect.nonce.encode())
            case Assign():
                return await self._assign(effect)
            case Drain():
                return await self._drain(effect)
            case Keep():
                await self._put_staged(effect.epoch, encode(effect.canaries))
            case Stage():
                return await self._stage(effect)
            case Publish():
                await self._publish(effect)
            case _:
                await carry_out(self._owner.pulls, self._owner.process, effect)
        return None

    async def _assign(self, effect: Assign) -> Assigned:
        path = self._shared.paths.probe(effect.epoch, effect.view_object)
        view = decode(View, await self._store.get(path), path)
        sessions: dict[AgentName, Session] = {}
        for agent in effect.members:
            found = await self._owner.etcd.get(self._shared.keys.session(agent))
            if found is None:
                raise Unavailable(f"agent {agent} lost its session")
            sessions[agent] = decode(Session, found.value, found.key)
        chosen = choose_collections(view, effect.request.collections, allow_empty=False)
        fence = choose_fence(effect.epoch, effect.request, NO_SETTINGS, view=view, chosen=chosen)
        if fence is not None:
            check_seen_everywhere(view, [session.peer_id for session in sessions.values()])
        tasks = assign(view, chosen, sessions, newest_entries(self._parents()))
        entries = []
        for name in chosen:
            seen = view.collection(name)
            assert seen is not None
            ids = tuple(shard_ids(seen))
            info = self._qdrant.info(name)
            aliases = tuple(alias for alias, of in view.aliases if of == name)
            entries.append(
                CollectionEntry(
                    name=name, uuid=seen.uuid, info=info, shard_ids=ids, aliases=aliases
                )
            )
        draft = Draft(
            epoch=effect.epoch,
            operation=effect.operation,
            cluster="sim",
            cluster_id="sim",
            collections=tuple(entries),
            source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
            shard_keys={},
            undrainable={},
            fence=fence,
        )
        staged = await self._put_staged(effect.epoch, encode(draft))
        return Assigned(staged, tuple(chosen), tasks, fence)

    def _parents(self) -> list[Manifest]:
        """The newest published group. Read without delay: parents are a matter of cost."""
        groups = self._shared.paths.groups
        newest = max((p for p in self._shared.store.objects if p.startswith(groups)), default="")
        return [parse_manifest(self._shared.store.objects[newest], newest)] if newest else []

    async def _put_staged(self, epoch: Epoch, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        await self._store.put(self._shared.paths.staged(epoch, sha256), data)
        return sha256

    async def _draft(self, epoch: Epoch, sha256: str) -> Draft:
        path = self._shared.paths.staged(epoch, sha256)
        return decode(Draft, await get_checked(self._store, path, sha256), path)

    async def _drain(self, effect: Drain) -> Drained:
        draft = await self._draft(effect.epoch, effect.draft)
        answers = [self._drain_one(entry.name) for entry in draft.collections]
        undrained = [index for index, answer in enumerate(answers) if not await answer]
        canaries = _canaries(draft) if effect.round == 2 else None
        return Drained(tuple(undrained), format_now(self._owner.context.clock), canaries)

    def _drain_one(self, name: str) -> Reply:
        """True once it was applied everywhere; False, if that is unknown or impossible."""
        world, weather, reply = self._shared.world, self._shared.weather, Reply()
        world.after(BOUNDS.drain_s, lambda: reply.answer(False), self._owner.process)
        lost = world.chance(weather.lost_answer)
        late_s = world.rng.random() * (4.0 if world.chance(weather.slow) else 0.003)
        back_s = world.rng.random() * 0.003

        def told(done: bool) -> None:
            if not lost:
                world.after(back_s, lambda: reply.answer(done), self._owner.process)

        def arrive() -> None:
            through = world.rng.choice(list(self._qdrant.peers))
            try:
                self._qdrant.drain(name, through, told)
            except Unavailable:
                told(False)

        if not world.chance(weather.lost_request + weather.lost_drain):
            world.after(late_s, arrive)
        return reply

    async def _stage(self, effect: Stage) -> str:
        ctl = effect.ctl
        draft = await self._draft(effect.epoch, ctl.draft)
        undrained = {draft.collections[index].name for index in ctl.undrained}
        uuids = {entry.name: entry.uuid for entry in draft.collections}
        shards: list[ShardEntry] = []
        for agent, sha256 in effect.documents:
            path = self._shared.paths.votes_document(effect.epoch, agent, sha256)
            document = decode(AgentDocument, await get_checked(self._store, path, sha256), path)
            shards += [
                replace(s, drained=s.collection not in undrained, uuid=uuids[s.collection])
                for s in document.shards
            ]
        manifest = Manifest(
            format=FORMAT,
            cluster=draft.cluster,
            cluster_id=draft.cluster_id,
            epoch=effect.epoch,
            operation=ctl.operation,
            created_by="sim",
            cut_at=ctl.cut_at,
            skew_ms=ctl.skew_ms,
            collections=draft.collections,
            shards=tuple(sorted(shards, key=lambda shard: (shard.collection, shard.shard_id))),
            source=draft.source,
            view=ctl.views,
            canaries=proven(await kept_canaries(self._owner.context, ctl), shards),
            fence=facts_of(draft.fence, effect.seen, ctl.fence_ms),
        )
        self.check(manifest)
        return await self._put_staged(effect.epoch, encode(manifest))

    def check(self, manifest: Manifest) -> None:
        check_complete(manifest)

    async def _publish(self, effect: Publish) -> None:
        paths = self._shared.paths
        staged = paths.staged(effect.epoch, effect.manifest)
        data = await get_checked(self._store, staged, effect.manifest)
        await self._store.put(paths.group(effect.epoch), self.to_publish(data))
        await self._store.get(paths.group(effect.epoch))

    def to_publish(self, data: bytes) -> bytes:
        return data


def _canaries(draft: Draft) -> Canaries:
    """Answers without meaning: what matters here is when they are stored, and by whom read."""
    return Canaries(
        epoch=draft.epoch,
        canaries=tuple(
            Canary(collection=entry.name, vector="", query=1, ids=(), scores=())
            for entry in draft.collections
        ),
    )


SimCoordinator.term_of = Term
Term.effects = CoordinatorEffects
