"""etcd as a process reaches it: late, lost, doubled, out of step; and what the faults are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import LeaseLost, TimedOut, Unavailable
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.ports.coordination import Change, Guard, KeyValue, Listing, Op, Put, TxnResult
from cleancut.ports.store import ObjectInfo
from cleancut.testing.etcd_model import EtcdModel
from cleancut.testing.memory_store import MemoryStore
from tests.sim.trace import Trace
from tests.sim.world import Mailbox, Process, Reply, World

T = TypeVar("T")
TRY_S = 1.0
TRIES = 3
EXPIRY_S = 0.25


@dataclass(slots=True)
class Weather:
    """How bad it is now. Chances are per message or call; all zero is fair weather."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    doubled: float = 0.0
    slow: float = 0.0
    slow_s: float = 3.0
    late_watch: float = 0.0
    effect_fails: float = 0.0
    effect_hangs: float = 0.0
    lost_drain: float = 0.0
    lost_recover: float = 0.0
    slow_tar: float = 0.0
    store_fails: float = 0.0

    def clear(self) -> None:
        self.lost_request = self.lost_answer = self.doubled = self.slow = 0.0
        self.late_watch = self.effect_fails = self.effect_hangs = self.lost_drain = 0.0
        self.lost_recover = self.slow_tar = self.store_fails = 0.0


@dataclass(slots=True)
class Watch:
    """Hands over changes in order, after a delay of its own."""

    prefix: str
    process: Process
    deliver: Callable[[Change], None]
    waiting: list[Change]
    scheduled: bool = False


class Shared:
    """What all processes reach: etcd, the store, and the weather between."""

    def __init__(self, world: World, keys: Keys, paths: Paths) -> None:
        self.world, self.keys, self.paths = world, keys, paths
        self.model, self.store = EtcdModel(), MemoryStore()
        self.weather, self.trace = Weather(), Trace(keys)
        self._watches: list[Watch] = []
        self.model.on_change(self._changed)
        self._told = self.model.revision
        self._expire()

    def add_watch(self, watch: Watch, revision: int) -> None:
        for changes in self.model.changes_since(watch.prefix, revision):
            watch.waiting.extend(changes)
        self._watches.append(watch)
        self._schedule(watch)

    def _expire(self) -> None:
        """As lazy as etcd: a lease lives up to this long after its end."""
        self.model.expire(self.world.now_s)
        self.world.after(EXPIRY_S, self._expire)

    def _changed(self) -> None:
        if self.model.revision == self._told:
            return
        changed = self.model.changes_since(self.keys.root, self._told + 1)
        self._told = self.model.revision
        dead = False
        for watch in self._watches:
            if not watch.process.alive:
                dead = True
                continue
            for changes in changed:
                watch.waiting += [c for c in changes if c.kv.key.startswith(watch.prefix)]
            self._schedule(watch)
        if dead:
            self._watches = [watch for watch in self._watches if watch.process.alive]

    def _schedule(self, watch: Watch) -> None:
        if watch.scheduled or not watch.waiting:
            return
        watch.scheduled = True
        world = self.world
        late = world.chance(self.weather.late_watch)
        delay_s = world.rng.random() * (self.weather.slow_s if late else 0.005)
        world.after(delay_s, lambda: self._hand_over(watch), watch.process)

    def drop_watch(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)

    @staticmethod
    def _hand_over(watch: Watch) -> None:
        watch.scheduled = False
        changes, watch.waiting = watch.waiting, []
        for change in changes:
            watch.deliver(change)


class SimEtcd:
    """The `Coordination` calls of one process, with the promises of the real client: a lost answer
    is resolved by sending the same txn again and reading back; what stays open is TimedOut."""

    def __init__(self, shared: Shared, process: Process, holds: str) -> None:
        """`holds`: the leased key whose create_revision is this process's token."""
        self._shared, self._process, self._holds = shared, process, holds

    async def get(self, key: str) -> KeyValue | None:
        return await self._repeat(lambda: self._shared.model.get(key))

    async def list(self, prefix: str) -> Listing:
        return await self._repeat(lambda: self._shared.model.list(prefix))

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        written = (self._process.name, self._process.token)
        put = next((op for op in ops if isinstance(op, Put)), None)
        unsure: TimedOut | None = None

        def apply() -> tuple[TxnResult, KeyValue | None]:
            return self._apply(written, guards, ops, put)

        for _ in range(TRIES):
            try:
                answer = await self._once(
                    lambda: self._apply(written, guards, ops, put), write=True
                )
            except Unavailable:
                continue
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
        if unsure is not None:
            raise unsure
        raise Unavailable("etcd does not answer")

    def _apply(
        self, written: tuple[str, int], guards: Sequence[Guard], ops: Sequence[Op], put: Put | None
    ) -> tuple[TxnResult, KeyValue | None]:
        shared = self._shared
        holder = shared.model.get(self._holds)
        result = shared.model.txn(guards, ops)
        if result.applied:
            held = holder.create_revision if holder else 0
            shared.trace.applied(shared.world.now_s, written, held, ops, shared.model)
        return result, shared.model.get(put.key) if put and not result.applied else None

    async def _repeat(self, call: Callable[[], T]) -> T:
        for _ in range(TRIES):
            try:
                return await self._once(call, write=False)
            except (Unavailable, TimedOut):
                continue
        raise Unavailable("etcd does not answer")

    async def _once(self, call: Callable[[], T], *, write: bool) -> T:
        """One request and its answer. Raises: TimedOut (perhaps done), LeaseLost."""
        world, weather, reply = self._shared.world, self._shared.weather, Reply()
        to_s, back_s = self._delay_s(), self._delay_s()
        answered = not world.chance(weather.lost_answer) and to_s + back_s < TRY_S

        def arrive() -> None:
            error: LeaseLost | None = None
            value: Any = None
            try:
                value = call()
            except LeaseLost as raised:
                error = raised
            if answered:
                world.after(back_s, lambda: reply.answer(value, error), self._process)

        def arrive_again() -> None:
            try:
                call()
            except LeaseLost:
                return

        if world.chance(weather.lost_request):
            answered = False
        else:
            world.after(to_s, arrive)
        if write and world.chance(weather.doubled):
            world.after(to_s + world.rng.random() * weather.slow_s, arrive_again)
        if not answered:
            late = TimedOut("etcd did not answer in time")
            world.after(TRY_S, lambda: reply.answer(error=late), self._process)
        answer: T = await reply
        return answer

    def _delay_s(self) -> float:
        world = self._shared.world
        slow = world.chance(self._shared.weather.slow)
        return world.rng.random() * (self._shared.weather.slow_s if slow else 0.003)

    async def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """As the port has it."""
        changes = Mailbox()
        watch = self.follow(prefix, start_revision, changes.put)
        try:
            while True:
                yield (await changes.get(),)
        finally:
            self._shared.drop_watch(watch)

    def follow(self, prefix: str, revision: int, deliver: Callable[[Change], None]) -> Watch:
        """`deliver` is called with each change from `revision` on, in order."""
        watch = Watch(prefix, self._process, deliver, [])
        self._shared.add_watch(watch, revision)
        return watch


class SimStore:
    """The store of one process: slow, failing now and then, written once."""

    def __init__(self, shared: Shared, process: Process) -> None:
        self._shared, self._process = shared, process

    async def put(self, path: str, data: bytes) -> None:
        await self._reach()
        await self._shared.store.put(path, data)
        groups = self._shared.paths.groups
        if path.startswith(groups) and path.endswith(".json"):
            epoch = int(path.removeprefix(groups).removesuffix(".json"))
            self._shared.trace.published.append((self._shared.world.now_s, epoch, data))

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        await self._reach()
        return await self._shared.store.get(path, offset, length)

    async def stat(self, path: str) -> ObjectInfo | None:
        await self._reach()
        return await self._shared.store.stat(path)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await self._reach()
        async for info in self._shared.store.list(prefix):
            yield info

    async def delete(self, path: str) -> None:
        await self._reach()
        await self._shared.store.delete(path)

    async def close(self) -> None:
        return None

    async def _reach(self) -> None:
        await self._process.sleep(self._shared.world.rng.random() * 0.004)
        if self._shared.world.chance(self._shared.weather.store_fails / 4):
            raise Unavailable("the store fails now")


class SimClock:
    """The clock of a process: the world's, as the wall shows it."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def monotonic_s(self) -> float:
        return self._world.now_s

    def wall_s(self) -> float:
        return 1_700_000_000.0 + self._world.now_s

    async def sleep(self, seconds: float) -> None:
        await self._process.sleep(seconds)
