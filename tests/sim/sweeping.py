"""One store under everything that writes and deletes in it, in an order that a seed gives.

The real garbage collector, with a backup, a restore, a deletion and another cluster's restore as a
store and etcd see them. Leaders die, freeze, come back. Each single call waits for its turn: what
must come just between two calls of a run happens often. It stands next to the simulation of whole
programs because of that: 120 histories of those found one of three mutants that these find.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec.structs import replace

from cleancut.core.format.manifest import parse_manifest
from cleancut.core.format.pack_uses import UseTally
from cleancut.core.format.page import Block, BlockKind, PageBuilder, seal
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PageRef, Recipe, TarMember, named_by, open_recipe
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.core.primitives.ids import (
    ClusterName,
    Digest,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    Sha256,
    ShardId,
)
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, Group, ShardTask
from cleancut.core.protocol.states import Phase
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports import coordination
from cleancut.ports.coordination import Created, Delete, Guard, KeyValue, Listing, Op, Put
from cleancut.ports.store import ObjectInfo
from cleancut.repository.catalog import get_checked, list_epochs, load_group, put_staged
from cleancut.repository.garbage import read_unknown
from cleancut.repository.shards.dedup import list_packs
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.backup.seed_effects import record_seed_start
from cleancut_coordinator.context import CoordinatorContext, GcSettings
from cleancut_coordinator.leader.cluster_id import establish
from cleancut_coordinator.maintenance.expiry import put_tombstone
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from tests.support.groups import manifest, shard

KEYS, PATHS = Keys(ClusterName("prod")), Paths(ClusterName("prod"))
LISTED_AT_ONCE = 3
OPERATIONS = 12
SEEDED_HISTORIES, SEEDED = 0.35, 0.3
SPANS = 400
LENGTHS = (1, 3, 10, 60, 200)
IDLE = (0, 40, 200)
GC_RUNS_AT_END = 4
FAR = "2100-01-01T00:00:00.000Z"


class Clock:
    """Stands still: no rule of a gc run may need time."""

    def monotonic_s(self) -> float:
        return 0.0

    def wall_s(self) -> float:
        return 1_800_000_000.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits {seconds} s here")


class Alive:
    """A lease that its holder believes in, whatever has happened: the worst that can be."""

    id = 1

    def remaining_s(self) -> float:
        return 1.0

    def alive(self) -> bool:
        return True

    async def wait_lost(self) -> str:
        raise AssertionError("not waited for")


@dataclass(slots=True)
class Turns:
    """One actor's calls that wait for their turn."""

    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    free: bool = False

    async def take(self) -> None:
        if not self.free:
            turn = asyncio.get_running_loop().create_future()
            self.waiting.append(turn)
            await turn

    def give(self, chance: random.Random) -> None:
        turn = self.waiting.pop(chance.randrange(len(self.waiting)))
        if not turn.done():
            turn.set_result(None)


class TurnStore(MemoryStore):
    """`after`: called when something was put or deleted."""

    def __init__(self, objects: dict[str, bytes], turns: Turns, after: Callable[[], None]) -> None:
        super().__init__()
        self.objects, self._turns, self._after = objects, turns, after

    async def put(self, path: str, data: bytes) -> None:
        await self._turns.take()
        await super().put(path, data)
        self._after()

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        await self._turns.take()
        return await super().get(path, offset, length)

    async def stat(self, path: str) -> ObjectInfo | None:
        await self._turns.take()
        return await super().stat(path)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """In parts, each as it is at its turn, as S3 does."""
        last = ""
        while True:
            await self._turns.take()
            part = sorted(p for p in self.objects if p.startswith(prefix) and p > last)
            for path in part[:LISTED_AT_ONCE]:
                yield ObjectInfo(path, len(self.objects.get(path, b"")))
            if len(part) <= LISTED_AT_ONCE:
                return
            last = part[LISTED_AT_ONCE - 1]

    async def delete(self, path: str) -> None:
        await self._turns.take()
        await super().delete(path)
        self._after()


class TurnEtcd(MemoryEtcd):
    def __init__(self, model: EtcdModel, turns: Turns) -> None:
        super().__init__(Clock(), model)
        self._turns = turns

    async def get(self, key: str) -> KeyValue | None:
        await self._turns.take()
        return await super().get(key)

    async def list(self, prefix: str) -> Listing:
        await self._turns.take()
        return await super().list(prefix)

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> coordination.TxnResult:
        await self._turns.take()
        return await super().txn(guards, ops)


class Lost(AssertionError):
    """Something that is needed has been deleted."""


class Archive:
    """The store and etcd, and who works on them."""

    def __init__(
        self, seed: int, garbage_collector: type[GarbageCollector], unknown: Callable[..., Any]
    ) -> None:
        self.chance = random.Random(seed)
        self.collector_of, self.read_unknown = garbage_collector, unknown
        self.objects: dict[str, bytes] = {}
        self.model = EtcdModel()
        self.actors: dict[str, tuple[Turns, asyncio.Task[None]]] = {}
        self.deleted = self.committed = self.spared = 0
        self.left: list[str] = []  # origins of aborted epochs, and of seeds
        # A choice of its own: histories without a seed stay as they were.
        self.seeds = random.Random(f"seeds of {seed}")
        self.seeded_share = SEEDED if self.seeds.random() < SEEDED_HISTORIES else 0.0
        self.sown: dict[int, list[str]] = {}  # packs and pages of seeds, by their epochs

    def context(self, turns: Turns) -> CoordinatorContext:
        return CoordinatorContext(
            name="c0",
            store_url="memory",
            keys=KEYS,
            paths=PATHS,
            etcd=TurnEtcd(self.model, turns),
            store=TurnStore(self.objects, turns, self.check),
            peers=(),
            clock=Clock(),
            gc=GcSettings(grace_s=0.0, every_s=0.0),
        )

    def check(self) -> None:
        """Raises: Lost, unless all that living groups name is there, and what seeds have left that
        no group came after."""
        for path in [p for p in self.objects if p.startswith(PATHS.groups)]:
            stone = path.replace(".json", ".deleted")
            if path.endswith(".json") and stone not in self.objects:
                for entry in parse_manifest(self.objects[path], path).shards:
                    self.check_recipe(entry.recipe, path)

        numbers = [path.removeprefix(PATHS.groups)[:12] for path in self.objects]
        newest = max((int(number) for number in numbers if number.isdigit()), default=0)
        for epoch, paths in self.sown.items():
            gone = [path for path in paths if path not in self.objects]
            if epoch > newest and gone:
                raise Lost(f"{gone[0]}, left by the seed of {epoch}")

    def named_in(self, path: str) -> set[str]:
        """Recipes, pages and packs that the manifest at `path` names."""
        recipes = {entry.recipe for entry in parse_manifest(self.objects[path], path).shards}
        named = set(recipes)
        for digest in recipes:
            named |= set(named_by(open_recipe(digest, self.objects[PATHS.recipe(digest)])))
        return named

    def check_recipe(self, digest: str, needed_by: str) -> None:
        stored = self.objects.get(PATHS.recipe(digest))
        if stored is None:
            raise Lost(f"recipe {digest[:8]}, needed by {needed_by}")
        for name in named_by(open_recipe(digest, stored)):
            where = PATHS.pack(name) if "/" in name else PATHS.page(name)
            if where not in self.objects:
                raise Lost(f"{where}, needed by {needed_by}")

    # Who works

    def start(
        self,
        group: asyncio.TaskGroup,
        name: str,
        work: Callable[[CoordinatorContext], Coroutine[Any, Any, None]],
    ) -> None:
        turns = Turns()
        self.actors[name] = (turns, group.create_task(work(self.context(turns))))

    async def lead(self, context: CoordinatorContext) -> None:
        """A leader that collects until another one is there, and then some."""
        key = KEYS.leader
        self.model.txn([], [Delete(key)])
        result = self.model.txn([Created(key, 0)], [Put(key, b"{}")])
        log = structlog.get_logger()
        garbage_collector = self.collector_of(
            context,
            Alive(),
            FencingToken(result.revision),
            metrics=CoordinatorMetrics("prod"),
            log=log,
        )
        while True:
            with suppress(CleancutError):
                done = await garbage_collector.collect()
                self.deleted += done.deleted_objects

    async def operate(self, context: CoordinatorContext) -> None:
        """Backups, of which some are aborted, and restores, one after the other."""
        for number in range(OPERATIONS):
            for _ in range(self.chance.choice(IDLE)):
                await context.store.stat(PATHS.format)
            epoch = await self._begin(context)
            if self.seeded_share and self.seeds.random() < self.seeded_share:
                await self._sow(context, epoch)
            elif self.chance.random() < 0.75:
                await self._back_up(context, epoch, number)
            else:
                await self._restore(context, epoch)

    async def _begin(self, context: CoordinatorContext) -> Epoch:
        """As the leader state does it: first the number, then ctl."""
        found = await context.etcd.get(KEYS.epoch)
        epoch = Epoch(int(found.value) + 1 if found else 1)
        await context.etcd.txn([], [Put(KEYS.epoch, str(epoch).encode())])
        await self._put_ctl(context, epoch, Phase.PREPARE)
        await context.store.put(PATHS.probe(epoch, "_coordinator"), b"x")
        return epoch

    async def _put_ctl(
        self, context: CoordinatorContext, epoch: Epoch, phase: Phase, *more: Op
    ) -> None:
        await context.etcd.txn([], [Put(KEYS.ctl, encode(Ctl(epoch=epoch, phase=phase))), *more])

    async def _back_up(self, context: CoordinatorContext, epoch: Epoch, number: int) -> None:
        parents: dict[int, str] = {}
        with suppress(NotFound):
            for known in (await list_epochs(context.store, PATHS))[-1:]:
                group = await load_group(context.store, PATHS, known)
                parents = {int(entry.shard_id): entry.recipe for entry in group.shards}
        unknown: frozenset[str] = await self.read_unknown(context.store, PATHS)
        origin = f"{epoch:012d}/{self.chance.getrandbits(64):032x}"
        earlier = sorted(set(await list_packs(context.store, PATHS, self.left[-4:])) - unknown)
        entries = []
        for index in range(2):
            parent = None
            with suppress(NotFound):
                if index in parents:
                    parent = await load_recipe(context.store, PATHS, parents[index])
            known = parents.get(index, "") not in unknown
            if parent and known and unknown.isdisjoint(named_by(parent)) and self.flip():
                digest = parents[index]
            else:
                digest = await self._capture(
                    context, f"{origin}/{index}", parent, earlier=earlier, unknown=unknown
                )
            entries.append(replace(shard("docs", index), recipe=digest))
        if self.chance.random() < 0.4:
            self.left.append(origin)
            await self._put_ctl(context, epoch, Phase.ABORT)
            return
        made = manifest(epoch, tuple(entries), operation=f"b-{number}")
        sha256 = await put_staged(context.store, PATHS, epoch, made)
        decision = Group(epoch=epoch, operation=OperationId("b"), manifest=Sha256(sha256))
        decided = Put(KEYS.group(epoch), encode(decision))
        await self._put_ctl(context, epoch, Phase.COMMIT, decided)
        data = await get_checked(context.store, PATHS.staged(epoch, sha256), sha256)
        await context.store.put(PATHS.group(epoch), data)
        self.committed += 1
        await self._put_ctl(context, epoch, Phase.IDLE)

    async def _sow(self, context: CoordinatorContext, epoch: Epoch) -> None:
        """A seed, to its end or not: what it stores is known to its agent alone."""
        tasks = [
            ShardTask(collection="docs", shard_id=ShardId(n), peer_id=PeerId(1)) for n in range(2)
        ]
        await record_seed_start(context, epoch, tasks)
        unknown: frozenset[str] = await self.read_unknown(context.store, PATHS)
        origin = f"{epoch:012d}/{self.seeds.getrandbits(64):032x}"
        earlier = sorted(set(await list_packs(context.store, PATHS, self.left[-4:])) - unknown)
        self.left.append(origin)
        mark = [path for path in self.objects if path.startswith(PATHS.seeds_of(epoch))]
        left = self.sown[epoch] = mark
        for index in range(self.seeds.randint(1, 2)):
            pack = f"{origin}/{index}"
            digest = await self._capture(context, pack, None, earlier=earlier, unknown=unknown)
            names = named_by(open_recipe(digest, self.objects[PATHS.recipe(digest)]))
            left += [PATHS.pack(pack), *(PATHS.page(one) for one in names if "/" not in one)]
        await self._put_ctl(context, epoch, self.seeds.choice((Phase.IDLE, Phase.ABORT)))

    async def _capture(
        self,
        context: CoordinatorContext,
        pack: str,
        parent: Recipe | None,
        *,
        earlier: Sequence[str],
        unknown: frozenset[str],
    ) -> str:
        """A shard with a new pack, and blocks of packs that were there before."""
        await context.store.put(PATHS.pack(pack), b"new")
        had = [use.pack for use in parent.packs if use.pack not in unknown] if parent else []
        used = sorted({pack, *(one for one in [*had, *earlier] if self.chance.random() < 0.8)})
        builder, tally, origin = PageBuilder(), UseTally(), pack.rpartition("/")[0]
        for one in used:
            builder.add(Block(BlockKind.PACKED, b"d" * 32, one, 0, 3))
            tally.add(one, 0, 3)
        page, stored = seal(builder.page(origin))
        await context.store.put(PATHS.page(page), stored)
        recipe = Recipe(
            origin,
            members := tuple(TarMember(f"m{at}", b"h" * 512, 3) for at in range(len(used))),
            (PageRef(Digest(page), len(used), tally.end_page()),),
            tally.packs,
            Sha256("0" * 64),
            sum(member.tar_bytes() for member in members),
        )
        digest, stored = seal(recipe)
        await context.store.put(PATHS.recipe(digest), stored)
        return digest

    async def _restore(self, context: CoordinatorContext, epoch: Epoch) -> None:
        with suppress(NotFound):
            epochs = await list_epochs(context.store, PATHS)
            if epochs:
                group = await load_group(context.store, PATHS, self.chance.choice(epochs))
                await self._read(context, [entry.recipe for entry in group.shards], "a restore")
        await self._put_ctl(context, epoch, Phase.IDLE)

    async def _read(self, context: CoordinatorContext, recipes: Sequence[str], who: str) -> None:
        """All of it is there, for as long as it takes."""
        for _ in range(3):
            for digest in recipes:
                await context.store.stat(PATHS.recipe(digest))
                self.check_recipe(digest, who)

    async def delete(self, context: CoordinatorContext) -> None:
        while True:
            epochs = await list_epochs(context.store, PATHS)
            if epochs and self.chance.random() < 0.1:
                await put_tombstone(context, self.chance.choice(epochs), "why not")

    async def read_from_afar(self, context: CoordinatorContext) -> None:
        """Another cluster restores one of the groups: it holds it, then looks for a tombstone."""
        number = 0
        while True:
            epochs = await list_epochs(context.store, PATHS)
            if not epochs:
                continue
            number, epoch = number + 1, self.chance.choice(epochs)
            name = OperationId(f"r-{number}")
            path = PATHS.hold(epoch, name)
            held = Hold(operation=name, created_at=FAR, expires_at=FAR)
            await context.store.put(path, encode(held))
            with suppress(NotFound):
                group = await load_group(context.store, PATHS, epoch)
                await self._read(context, [entry.recipe for entry in group.shards], "afar")
            await context.store.delete(path)

    def flip(self) -> bool:
        return self.chance.random() < 0.5


async def play(
    seed: int,
    garbage_collector: type[GarbageCollector] = GarbageCollector,
    unknown: Callable[..., Any] = read_unknown,
) -> Archive:
    """The archive after all operations, and after the gc runs that end it. Raises: Lost."""
    archive = Archive(seed, garbage_collector, unknown)
    chance = archive.chance
    free = Turns(free=True)
    archive.model.txn([], [Put(KEYS.leader, b"{}")])
    leader = archive.model.get(KEYS.leader)
    assert leader is not None
    await establish(archive.context(free), FencingToken(leader.create_revision))
    try:
        async with asyncio.TaskGroup() as group:
            archive.start(group, "operator", archive.operate)
            archive.start(group, "deleter", archive.delete)
            archive.start(group, "afar", archive.read_from_afar)
            archive.start(group, "leader-0", archive.lead)
            await _run(archive, group, chance)
            for _, task in archive.actors.values():
                task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    await _collect_at_end(archive)
    return archive


async def _run(archive: Archive, group: asyncio.TaskGroup, chance: random.Random) -> None:
    """One actor after the other goes on for a while, short or long."""
    leaders = 1
    operator = archive.actors["operator"][1]
    for _ in range(SPANS):
        if operator.done():
            return
        event = chance.random()
        names = sorted(archive.actors)
        if event < 0.03:
            leaders += 1
            archive.start(group, f"leader-{leaders}", archive.lead)
        elif event < 0.06:
            name = chance.choice(names)
            if name.startswith("leader"):
                archive.actors.pop(name)[1].cancel()
        else:
            await _go_on(archive.actors[chance.choice(names)], chance, chance.choice(LENGTHS))


async def _go_on(
    actor: tuple[Turns, asyncio.Task[None]], chance: random.Random, length: int
) -> None:
    turns, task = actor
    for _ in range(length):
        while not turns.waiting:
            if task.done():
                return
            await asyncio.sleep(0)
        turns.give(chance)
        await asyncio.sleep(0)


async def _collect_at_end(archive: Archive) -> None:
    """Nobody else works any more: what nothing names goes."""
    context = archive.context(Turns(free=True))
    await archive._put_ctl(context, Epoch(OPERATIONS + 1), Phase.IDLE)
    archive.model.txn([], [Delete(KEYS.leader)])
    result = archive.model.txn([Created(KEYS.leader, 0)], [Put(KEYS.leader, b"{}")])
    log = structlog.get_logger()
    last = GarbageCollector(
        context, Alive(), FencingToken(result.revision), metrics=CoordinatorMetrics("prod"), log=log
    )
    for _ in range(GC_RUNS_AT_END):
        archive.deleted += (await last.collect()).deleted_objects
    archive.check()
