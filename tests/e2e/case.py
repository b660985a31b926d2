"""One restore of a set-up with data of all kinds: made, lost, brought back and compared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Placement, ShardKey
from cleancut_devcluster.demo.comparison import Answers, compare, read_answers
from cleancut_devcluster.demo.data import ALIAS, COLLECTION, Data, Shape
from tests.e2e.contents import (
    KEYED,
    ODD,
    Contents,
    add_keyed,
    add_odd,
    client_of,
    read_contents,
    write_again,
)
from tests.e2e.world import World

Launch = Callable[..., World]
SHAPE = Shape(points=1800, dims=128, shards=4)
"""Large enough for an HNSW in each shard."""


@dataclass(slots=True)
class Outcome:
    """What a topology's row shows. Each list holds what is wrong with its column."""

    took_s: float = 0.0
    size_bytes: int = 0
    active: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    top: list[str] = field(default_factory=list)
    routing: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        return [*self.active, *self.counts, *self.top, *self.routing, *self.others]

    def expect(self, holds: object, what: str) -> None:
        """Anything else that must hold in this row."""
        if not holds:
            self.others.append(what)


@dataclass(slots=True)
class Case:
    """`names`: under which name each collection of the group is expected after the restore."""

    world: World
    replicas: int
    made: Any
    main: Answers
    rest: dict[str, Contents]
    names: dict[str, str]
    alias: str = ALIAS
    outcome: Outcome = field(default_factory=Outcome)

    @classmethod
    def begin(cls, launch: Launch, peers: int, replicas: int = 1, *, keyed: bool = False) -> Self:
        """Data in `peers` peers, all of it backed up in a quiet group, and read."""
        world = launch(peers=peers, coordinators=1)
        world.shape = Shape(SHAPE.points, dims=SHAPE.dims, shards=SHAPE.shards, replicas=replicas)
        world.run(_fill(world, keyed=keyed))
        made = world.back_up()
        assert made["evidence"]["consistency"] == "point-in-time", made["evidence"]
        others = [ODD, KEYED] if keyed else [ODD]
        rest = {name: world.run(_contents(world, name)) for name in others}
        names = {name: name for name in (COLLECTION, *others)}
        return cls(world, replicas, made, world.answers(), rest, names)

    def restore(self, *options: str, rebalance: bool = False) -> Any:
        """The finished restore, with what its plan and its report must say; timed."""
        plan = self.world.ok("plan", "restore", "plan", self.made["id"], *options)
        assert plan["blockers"] == [], plan["blockers"]
        self.outcome.size_bytes += sum(
            one["size_bytes"] * one["replicas"] for one in plan["collections"]
        )
        begun_s = time.monotonic()
        asked = ("--yes", *options, *(["--rebalance"] if rebalance else []))
        done = self.world.ok("restore", "restore", "start", self.made["id"], *asked)
        self.outcome.took_s += time.monotonic() - begun_s
        assert done["state"] == "DONE", done
        for one in done["collections"]:
            self.outcome.expect(one["counts_equal"], f"report: {one['name']} counts")
            self.outcome.expect(one["replicas_active"], f"report: {one['name']} replicas")
        return done

    def compare(self, *, replicas: int | None = None) -> Outcome:
        """Everything expected is there, equal, and takes writes; then a backup proves itself."""
        self.compare_reads(replicas=replicas)
        world = self.world
        for name in self.names.values():
            self.outcome.routing += world.run(_misrouted(world, name))
            self.outcome.routing += world.run(_written_again(world, name))
        again = world.back_up()
        self.outcome.expect(
            again["evidence"]["consistency"] == "point-in-time",
            "the next backup is not point-in-time",
        )
        self.outcome.expect(again["epoch"] > self.made["epoch"], "the next epoch is not greater")
        return self.outcome

    def compare_reads(self, *, replicas: int | None = None) -> Outcome:
        """All replicas are active, and everything expected is there and equal."""
        peers = sum(peer.running for peer in self.world.setup.peers)
        wanted = min(self.replicas if replicas is None else replicas, peers)
        for name in self.names.values():
            self.outcome.active += self.world.run(inactive(self.world, name, wanted))
        self._compare_answers(self.names)
        return self.outcome

    def _compare_answers(self, expected: Mapping[str, str]) -> None:
        for name, published in expected.items():
            if name == COLLECTION:
                now = self.world.run(_answers(self.world, published, self.alias))
                for line in compare(self.main, now):
                    column = self.outcome.top if "top-" in line.what else self.outcome.counts
                    if not line.equal:
                        column.append(f"{line.what}: {line.kept} {line.restored}")
                continue
            before, after = self.rest[name], self.world.run(_contents(self.world, published))
            if before.top != after.top:
                self.outcome.top.append(f"{name}: other top-10")
            for what in ("counts", "points", "indexes"):
                if getattr(before, what) != getattr(after, what):
                    self.outcome.counts.append(f"{name}: other {what}")


async def _fill(world: World, *, keyed: bool) -> None:
    url, replicas = world.setup.peers[0].url, world.shape.replicas
    async with Data(url, world.shape) as data:
        await data.create()
        await data.load()
        await data.wait_optimized()
    async with client_of(url) as client:
        await add_odd(client, replicas)
        if keyed:
            await add_keyed(client, replicas)


async def _answers(world: World, collection: str, alias: str) -> Answers:
    url = world.setup.peers[0].url
    async with Data(url, world.shape, collection=collection, alias=alias) as data:
        return await read_answers(data)


async def _contents(world: World, name: str) -> Contents:
    async with client_of(world.setup.peers[0].url) as client:
        return await read_contents(client, name, await _keys(world, name))


async def _keys(world: World, name: str) -> list[ShardKey]:
    """The shard keys of a collection, or of what an alias points to; none without them."""
    async with world.setup.peers[0].client() as qdrant:
        found = {shard.shard_key for shard in (await _placement(qdrant, name)).shards}
    return sorted((key for key in found if key is not None), key=repr)


async def _placement(qdrant: Qdrant, name: str) -> Placement:
    return await qdrant.placement((await qdrant.aliases()).get(name, name))


async def inactive(world: World, name: str, replicas: int) -> list[str]:
    """Replicas that some peer does not call Active, and shards with another number of them."""
    wrong = []
    for peer in (one for one in world.setup.peers if one.running):
        async with peer.client() as qdrant:
            placement = await _placement(qdrant, name)
        held: dict[int, int] = {}
        for shard in placement.shards:
            held[shard.shard_id] = held.get(shard.shard_id, 0) + 1
            if shard.state != "Active":
                wrong.append(f"{peer.name}: {name} shard {shard.shard_id} is {shard.state}")
        wrong += [f"{name} shard {n}: {held[n]} replicas" for n in held if held[n] != replicas]
        if placement.transfers:
            wrong.append(f"{peer.name}: transfers of {name}")
    return wrong


async def uneven(world: World, names: Sequence[str]) -> list[str]:
    """Collections whose replicas are not spread give or take one; so must be all together."""
    wrong, held = [], Counter[int]()
    async with world.setup.peers[0].client() as qdrant:
        peers = (await qdrant.cluster()).peers
        for name in names:
            found = Counter(shard.peer_id for shard in (await _placement(qdrant, name)).shards)
            held += found
            wrong += [f"{name}: {found} replicas"] if _gap(found, peers) > 1 else []
    return [*wrong, *([f"in all: {held} replicas"] if _gap(held, peers) > 1 else [])]


def _gap(held: Counter[int], peers: Iterable[int]) -> int:
    numbers = [held[peer] for peer in peers]
    return max(numbers) - min(numbers)


async def _misrouted(world: World, name: str) -> list[str]:
    """Replicas that hold points which belong into another shard, each asked at its own peer."""
    wrong = []
    for peer in (one for one in world.setup.peers if one.running):
        async with peer.client() as qdrant:
            collection = (await qdrant.aliases()).get(name, name)
            for shard in (await qdrant.placement(collection)).local():
                own = await qdrant.count(collection, shard.shard_id, ring_filter=True)
                held = await qdrant.count(collection, shard.shard_id)
                if own != held:
                    wrong.append(f"{peer.name}: {name} shard {shard.shard_id}: {own} of {held}")
    return wrong


async def _written_again(world: World, name: str) -> list[str]:
    async with client_of(world.setup.peers[-1].url) as client:
        return await write_again(client, name, await _keys(world, name))
