"""etcd and the store as a process reaches them: late, lost, doubled, out of step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import (
    CleancutError,
    LeaseLost,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.etcd.embedded.model import EtcdModel, EtcdSnapshot
from cleancut.etcd.lease import LeaseBlock
from cleancut.etcd.revisions import SeenRevisions
from cleancut.ports.coordination import (
    Change,
    Compacted,
    Guard,
    KeyValue,
    Lease,
    Listing,
    Op,
    Put,
    TxnResult,
)
from cleancut.ports.store import ObjectInfo
from cleancut.testing.memory_store import MemoryStore
from simulation.trace import Trace
from simulation.world import WALL_S, Process, SimClock, World

T = TypeVar("T")
TRY_S = 1.0
TRIES = 3
EXPIRY_S = 0.25
LATE_S = 9.0
"""Half of the longest that a write is under way."""


@dataclass(slots=True)
class Weather:
    """How bad it is now. Chances are per message or call; all zero is fair weather."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    doubled: float = 0.0
    slow: float = 0.0
    slow_s: float = 3.0
    late_watch: float = 0.0
    broken_watch: float = 0.0
    lost_drain: float = 0.0
    lost_recover: float = 0.0
    slow_tar: float = 0.0
    forbidden_urls: float = 0.0
    late_answer: float = 0.0
    no_answer: float = 0.0
    late_cut_s: float = 0.0
    """The longest that a stream takes to begin, besides what it always takes."""
    store_fails: float = 0.0
    apart: frozenset[str] = frozenset()
    """Processes that etcd is cut off from."""
    mute: frozenset[int] = frozenset()
    """Peers whose answers get lost."""

    def clear(self) -> None:
        for one in fields(self):
            setattr(self, one.name, one.default)


@dataclass(slots=True, eq=False)
class Watch:
    """Hands over changes in order, after a delay of its own."""

    prefix: str
    process: Process
    deliver: Callable[[tuple[Change, ...]], None]
    broken: Callable[[], None]
    gone_back: Callable[[], None]
    waiting: list[tuple[Change, ...]] = field(default_factory=list)
    scheduled: bool = False


class Surroundings:
    """What all processes reach: etcd, the store, the one of copies, and the weather between.
    `archive`: every object that ever was in the store. `metadata`: of the Qdrant cluster.
    `lists_late`: lists of garbage come to the store seconds after they were made.
    `schedules_called`: calls define some; without, a look for them cannot fail.
    `looked` is called when a process is answered what a peer is like, `holds_read` when it reads
    which groups are held, `copies_listed` when it lists the objects of copies."""

    def __init__(self, world: World, keys: Keys, paths: Paths) -> None:
        self.world, self.keys, self.paths = world, keys, paths
        self.model, self.store, self.copies = EtcdModel(), MemoryStore(), MemoryStore()
        self.archive: dict[str, bytes] = {}
        self.metadata: dict[str, object] = {}
        self.lists_late = False
        self.looked: Callable[[Process], None] = lambda _: None
        self.holds_read: Callable[[Process], None] = lambda _: None
        self.copies_listed: Callable[[Process], None] = lambda _: None
        self.weather, self.trace = Weather(), Trace(keys)
        self.clock = SimClock(world)
        self._watches: list[Watch] = []
        self.turns = 0
        self.refused: tuple[str, ...] = ()
        self.has_clock = self.schedules_called = False
        self.clocks: dict[str, float] = {}
        self.on_published: Callable[[int], None] = lambda _: None
        self.model.on_change(self._changed)
        self._told = self.model.revision
        self._expire()

    def clock_of(self, name: str) -> SimClock:
        """That of the process, as it was set."""
        off_s = self.clocks.get(name.partition(".")[0], 0.0)
        if off_s:
            self.trace.wrong_clocks.add(name)
        return SimClock(self.world, off_s)

    def add_watch(self, watch: Watch, revision: int) -> None:
        watch.waiting.extend(self.model.changes_since(watch.prefix, revision))
        self._watches.append(watch)
        self._schedule(watch)

    def _expire(self) -> None:
        """As lazy as etcd: a lease lives up to this long after its end."""
        self.model.expire(self.world.now_s)
        self.world.after(EXPIRY_S, self._expire)

    def turn_back(self, snapshot: EtcdSnapshot, bump: int) -> None:
        """etcd is restored from `snapshot`: what was on its way to it is lost, and every watch is
        opened again. `bump`: by how much its revision is raised (`--bump-revision`)."""
        model = self.model
        self._told = snapshot.revision
        model.go_back(snapshot, self.world.now_s)
        if bump:
            model.revision = model.compacted_revision = snapshot.revision + bump
        self._told = model.revision
        self.turns += 1
        self.trace.turned(self.world.now_s, snapshot.revision, model)
        watches, self._watches = self._watches, []
        for watch in watches:
            late_s = self.world.rng.random()
            self.world.after(late_s, watch.gone_back, watch.process)

    def _changed(self) -> None:
        if self.model.revision == self._told:
            return
        changed = self.model.changes_since(self.keys.root, self._told + 1)
        self._told = self.model.revision
        self._watches = [watch for watch in self._watches if watch.process.alive]
        for watch in self._watches:
            for changes in changed:
                mine = tuple(c for c in changes if c.kv.key.startswith(watch.prefix))
                if mine:
                    watch.waiting.append(mine)
            self._schedule(watch)

    def _schedule(self, watch: Watch) -> None:
        if watch.scheduled or not watch.waiting:
            return
        watch.scheduled = True
        world, weather = self.world, self.weather
        late = world.chance(weather.late_watch) or watch.process.name in weather.apart
        delay_s = world.rng.random() * (weather.slow_s if late else 0.005)
        broken = world.chance(weather.broken_watch)
        world.after(delay_s, lambda: self._hand_over(watch, broken=broken), watch.process)

    def drop_watch(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)

    def _hand_over(self, watch: Watch, *, broken: bool) -> None:
        watch.scheduled = False
        if watch not in self._watches:
            return
        if broken:
            self.drop_watch(watch)
            watch.broken()
        elif watch.process.name in self.weather.apart:
            self._schedule(watch)
        else:
            changes, watch.waiting = watch.waiting, []
            for one in changes:
                watch.deliver(one)


class SimEtcd:
    """The `Coordination` of one process, with the promises of the real client: a lost answer is
    resolved by sending the same txn again and reading back; what stays open is TimedOut."""

    def __init__(self, shared: Surroundings, process: Process, holds: str) -> None:
        """`holds`: the leased key whose create_revision is this process's token."""
        self.shared, self.process, self._holds = shared, process, holds
        self.seen = SeenRevisions()

    async def get(self, key: str) -> KeyValue | None:
        return await self._repeat(lambda: self.shared.model.get(key))

    async def list(self, prefix: str) -> Listing:
        if prefix == self.shared.keys.schedule_rules and not self.shared.schedules_called:
            return self.shared.model.list(prefix)
        return await self._repeat(lambda: self.shared.model.list(prefix))

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        written = (self.process.name, self.process.token)
        put = next((op for op in ops if isinstance(op, Put)), None)
        unsure: TimedOut | None = None
        for _ in range(TRIES):
            try:
                answer = await self.once(lambda: self._apply(written, guards, ops, put), write=True)
            except TimedOut as error:
                unsure = error
                continue
            result, found = answer
            if result.applied or unsure is None:
                return result
            if put is None:
                break
            if found is not None and (found.value, found.lease) == (put.value, put.lease):
                return TxnResult(True, found.mod_revision)
            return result
        assert unsure is not None, "another try was made for a reason"
        raise unsure

    def _apply(
        self, written: tuple[str, int], guards: Sequence[Guard], ops: Sequence[Op], put: Put | None
    ) -> tuple[TxnResult, KeyValue | None]:
        model = self.shared.model
        holder = model.get(self._holds)
        result = model.txn(guards, ops)
        if result.applied:
            held = holder.create_revision if holder else 0
            self.shared.trace.applied(self.shared.world.now_s, written, held, ops, model)
            if any(op.key == self._holds for op in ops):
                taken = model.get(self._holds)
                self.process.token = taken.create_revision if taken else 0
        return result, model.get(put.key) if put and not result.applied else None

    async def _repeat(self, call: Callable[[], T]) -> T:
        for _ in range(TRIES):
            try:
                return await self.once(call, write=False)
            except TimedOut:
                continue
        raise Unavailable("etcd does not answer")

    async def once(self, call: Callable[[], T], *, write: bool, bound_s: float = TRY_S) -> T:
        """One request and its answer. Raises: TimedOut (perhaps done), LeaseLost."""
        await self.process.boundary()
        world, weather, reply = self.shared.world, self.shared.weather, self.shared.world.reply()
        to_s, back_s = self._delay_s(), self._delay_s()
        if write and self.process.writes_late:
            to_s += LATE_S * (1.0 + world.rng.random())
        apart = self.process.name in weather.apart
        turns, floor, position = self.shared.turns, self.seen.highest, [0, 0]
        answered = not world.chance(weather.lost_answer) and to_s + back_s < bound_s

        def arrive() -> None:
            error: CleancutError | None = None
            value: Any = None
            if self.shared.turns != turns:
                broken = TimedOut("the connection to etcd broke")
                world.after(0.01, lambda: reply.answer(error=broken), self.process)
                return
            try:
                value = call()
            except CleancutError as raised:
                error = raised
            position[:] = self.shared.model.cluster_id, self.shared.model.revision
            if answered:
                world.after(back_s, lambda: reply.answer(value, error), self.process)

        def arrive_again() -> None:
            try:
                if self.shared.turns == turns:
                    call()
            except LeaseLost:
                return

        if apart or world.chance(weather.lost_request):
            answered = False
        else:
            world.after(to_s, arrive)
        if write and not apart and world.chance(weather.doubled):
            world.after(to_s + world.rng.random() * weather.slow_s, arrive_again)
        if not answered:
            late = TimedOut("etcd did not answer in time")
            world.after(bound_s, lambda: reply.answer(error=late), self.process)
        answer: T = await reply
        self.seen.saw(floor, *position)
        return answer

    def _delay_s(self) -> float:
        world = self.shared.world
        slow = world.chance(self.shared.weather.slow)
        return world.rng.random() * (self.shared.weather.slow_s if slow else 0.003)

    async def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """As the port has it."""
        await self.process.boundary()
        changes: asyncio.Queue[tuple[Change, ...] | None] = asyncio.Queue()
        watch = Watch(
            prefix,
            self.process,
            changes.put_nowait,
            lambda: changes.put_nowait(None),
            gone_back=lambda: changes.put_nowait(()),
        )
        turns = self.seen.turns
        self._look_back(turns)
        self.shared.add_watch(watch, start_revision or self.shared.model.revision + 1)
        try:
            while (one := await changes.get()) is not None:
                if not one:
                    self._look_back(turns)
                    raise Compacted(self.shared.model.compacted_revision)
                yield one
        finally:
            self.shared.drop_watch(watch)
        raise Unavailable("the watch of etcd was broken off")

    def _look_back(self, turns: int) -> None:
        """As the real client does for each stream. Raises: Compacted, if etcd has gone back."""
        model = self.shared.model
        self.seen.saw(self.seen.highest, model.cluster_id, model.revision)
        self.seen.check_watch(turns)

    def lease(self, ttl_s: float) -> AbstractAsyncContextManager[Lease]:
        return LeaseBlock(_SimLeases(self), self.shared.clock, ttl_s)

    async def close(self) -> None:
        return None


class _SimLeases:
    """The lease calls of one process."""

    def __init__(self, etcd: SimEtcd) -> None:
        self._etcd, self._model = etcd, etcd.shared.model
        self._turns = etcd.seen.turns

    def _now_s(self) -> float:
        return self._etcd.shared.world.now_s

    async def grant(self, ttl_s: int) -> tuple[int, float]:
        self._turns = self._etcd.seen.turns
        grant = await self._etcd.once(
            lambda: self._model.grant(ttl_s, self._now_s()), write=False, bound_s=2 * TRY_S
        )
        return grant, float(ttl_s)

    async def keep_alive(self, lease: int, timeout_s: float) -> float:
        left_s = await self._etcd.once(
            lambda: self._model.keep_alive(lease, self._now_s()), write=False, bound_s=timeout_s
        )
        self._etcd.seen.check_lease(self._turns)
        return left_s

    async def revoke(self, lease: int) -> None:
        await self._etcd.once(lambda: self._model.revoke(lease), write=False)


class SimStore:
    """The store of one process: slow, failing now and then, written once."""

    def __init__(self, shared: Surroundings, process: Process, *, copy: bool = False) -> None:
        """`copy`: the store of copies, not the main one."""
        self._shared, self._process, self._copy = shared, process, copy
        self._memory = shared.copies if copy else shared.store

    async def put(self, path: str, data: bytes) -> None:
        await self._reach(path)
        shared = self._shared
        if path.startswith(shared.refused):
            raise Refused("the store refuses this object")
        if shared.lists_late and path.startswith(shared.paths.garbage_lists):
            await asyncio.sleep(LATE_S * shared.world.rng.random())
        await self._memory.put(path, data)
        if self._copy:
            return await self._answer()
        shared.archive[path] = bytes(data)
        published = len(shared.trace.published)
        shared.trace.stored(shared.world.now_s, shared.paths, path, data)
        for _, epoch, _ in shared.trace.published[published:]:
            shared.on_published(epoch)
        await self._answer()

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        await self._reach(path)
        return await self._memory.get(path, offset, length)

    async def replace(self, path: str, data: bytes) -> None:
        raise AssertionError("only a repair from another store replaces objects")

    async def folders(self) -> tuple[str, ...]:
        await self._reach()
        return await self._memory.folders()

    async def clock_s(self) -> float | None:
        await self._reach()
        shared = self._shared
        return WALL_S + shared.world.now_s if shared.has_clock else None

    async def stat(self, path: str) -> ObjectInfo | None:
        await self._reach()
        return await self._memory.stat(path)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await self._reach()
        if self._copy:
            self._shared.copies_listed(self._process)
        elif prefix.startswith(self._shared.paths.holds):
            self._shared.holds_read(self._process)
        async for info in self._memory.list(prefix):
            yield info

    async def delete(self, path: str) -> None:
        await self._reach()
        shared = self._shared
        if path in shared.store.objects and not self._copy:
            shared.trace.gone(shared.world.now_s, self._process.name, path)
        await self._memory.delete(path)
        await self._answer()

    async def remove_unfinished(self, age_s: float) -> int:
        return 0  # an object is put in one step

    async def close(self) -> None:
        return None

    async def _reach(self, path: str = "") -> None:
        staged = self._shared.paths.root + "staged/"
        if path.startswith(staged):
            self._process.epoch = int(path.removeprefix(staged).partition("/")[0])
        await self._process.boundary()
        world, weather = self._shared.world, self._shared.weather
        slow = world.chance(weather.slow)
        await asyncio.sleep(world.rng.random() * (weather.slow_s if slow else 0.004))
        if world.chance(weather.store_fails / 4):
            raise Unavailable("the store fails now")

    async def _answer(self) -> None:
        """What was asked for is done; its answer may get lost."""
        if self._shared.world.chance(self._shared.weather.store_fails / 4):
            raise Unavailable("the store's answer got lost")
        await asyncio.sleep(0.0)
