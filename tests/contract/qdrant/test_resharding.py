"""Resharding on a real cluster: order of calls, what it keeps, and what it silently loses."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cleancut.core.cluster.hash_ring import HashRing, PointId, point_id
from cleancut.core.cluster.resharding import Direction
from cleancut.core.cluster.ring_counts import RingProof
from cleancut.core.primitives.errors import Denied, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import parse_version
from cleancut_devcluster.launch.qdrant import Kind, launch_peers, wait_until
from tests.contract.qdrant.world import World, points
from tests.support.reshard_driver import ReshardDriver

MANY = 400
UP, DOWN = Direction


def ids_of(count: int) -> list[int | str]:
    """Numbers of all sizes, and UUIDs."""
    source = random.Random(7)
    numbers: list[int | str] = [
        source.getrandbits(source.choice([8, 32, 64])) for _ in range(count)
    ]
    return list(dict.fromkeys(numbers)) + [
        str(uuid.UUID(int=source.getrandbits(128))) for _ in range(count)
    ]


def driver(world: World, name: str, key: Any = None) -> ReshardDriver:
    return ReshardDriver(world.clients, name, key)


async def scrolled(world: World, name: str, peer: int = 0, **body: Any) -> list[Any]:
    path = f"/collections/{name}/points/scroll"
    answer = await world.post(peer, path, {"limit": 100_000, "with_vector": True, **body})
    found: list[Any] = answer["points"]
    return found


async def as_seen(world: World, name: str) -> list[list[Any]]:
    """The whole collection by each peer."""
    return [await scrolled(world, name, peer) for peer in range(len(world.peers))]


async def strays(world: World, name: str, shards: Sequence[int]) -> dict[int, int]:
    """By shard: points in any replica of it that lie elsewhere by the ring of `shards`."""
    counted = await driver(world, name).counts(shards, shards)
    return {shard: sum(one.strays for one in counted if one.shard_id == shard) for shard in shards}


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_a_point_lies_where_the_ring_says(world: World, shards: int) -> None:
    async def check() -> None:
        name = await world.create(shards)
        await world.upsert(name, points(ids_of(MANY)))
        ring, seen = HashRing(range(shards)), 0
        for shard, clients in (await world.hosts(name)).items():
            async for page in clients[0].ids_of_shard(name, shard, page_ids=100):
                ids: list[PointId] = [point_id(one) for one in page]
                assert set(ring.shards_of(ids)) <= {shard}
                seen += len(page)
        assert seen == len(ids_of(MANY))

    world.run(check())


@pytest.mark.parametrize("factor", [1, 2])
def test_a_shard_more_and_a_shard_less_while_clients_write(world: World, factor: int) -> None:
    """Nothing that was acknowledged is lost, stale or there twice; each replica is counted by the
    rings before the commit."""

    async def check() -> None:
        name = await world.create(2, factor)
        await world.upsert(name, points(ids_of(MANY)))
        kept = {one["id"]: one for one in await scrolled(world, name)}
        writers = _Writers(world, name)
        async with asyncio.TaskGroup() as group:
            for peer in range(3):
                group.create_task(writers.run(peer))
            try:
                one = driver(world, name)
                for direction, old, new in ((UP, 2, 3), (DOWN, 3, 2)):
                    state = await one.start(direction)
                    assert (state.direction, state.shard_id) == (direction, 2)
                    await one.migrate(state)
                    proof = RingProof()
                    for _ in range(10):
                        proof.add(await one.counts(range(old), range(new)), {})
                        if not proof.open:
                            break
                    assert proof.open == ()
                    await one.commit(state)
            finally:
                writers.end()
        for seen in await as_seen(world, name):
            by_id = {point["id"]: point for point in seen}
            assert len(by_id) == len(seen)
            assert {i: by_id.pop(i, {}).get("payload") for i in writers.acked} == writers.acked
            assert by_id == kept
        assert await strays(world, name, range(2)) == {0: 0, 1: 0}

    world.run(check())


class _Writers:
    """Each writes to ids of its own, one after the other, and repeats what is refused: a peer that
    has not applied a step yet refuses writes that one ahead of it sends on. `acked`: the last
    payload of each id."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._ended = False
        self.acked: dict[int, Any] = {}

    async def run(self, peer: int) -> None:
        source, version = random.Random(peer), 0
        while not self._ended:
            version += 1
            one = 10**15 + 3 * source.randrange(60) + peer
            path = f"/collections/{self._name}/points"
            if version % 7 == 0:
                await self._write(peer, f"{path}/delete?wait=true", {"points": [one]}, "POST")
                self.acked.pop(one, None)
                continue
            (point,) = points([one])
            body = {"points": [{**point, "payload": {"version": version}}]}
            await self._write(peer, f"{path}?wait=true", body, "PUT")
            self.acked[one] = {"version": version}

    async def _write(self, peer: int, path: str, body: Any, method: str) -> None:
        """Acknowledged; within the bound of the test."""
        while True:
            try:
                await self._world.post(peer, path, body, method)
                return
            except AssertionError as refusal:
                if "failed to apply" not in str(refusal):
                    raise

    def end(self) -> None:
        self._ended = True


def test_on_the_way_down_each_replica_needs_a_stream(world: World) -> None:
    """With one for each shard everything is Active and answers, and points are missing. The count
    by the rings finds it, while it can still be aborted."""

    async def check() -> None:
        name = await world.create(3, 2)
        await world.upsert(name, points(ids_of(MANY)))
        one = driver(world, name)
        state = await one.start(DOWN)
        await one.migrate(state, every=False)
        proof = RingProof()
        proof.add(await one.counts(range(3), range(2)), {})
        assert len(proof.open) == 2
        assert all("points of shard 2 that move to shard" in words for words in proof.open)
        await one.commit(state)
        await world.settled(name, 4)
        counts = await world.counts(name)
        assert sum(max(count) for count in counts.values()) == len(ids_of(MANY))
        assert all(len(set(count)) == 2 for count in counts.values())

    world.run(check())


def test_only_one_key_is_resharded(world: World) -> None:
    async def check() -> None:
        name = await world.create(2, sharding_method="custom")
        for key in ("a", 7):
            await world.first.create_shard_key(name, {"shard_key": key})
        await world.settled(name, 4)
        for key in ("a", 7):
            await world.upsert(name, points(ids_of(MANY)), shard_key=key)
        before = {key: await scrolled(world, name, shard_key=key) for key in ("a", 7)}
        one, other = driver(world, name, 7), driver(world, name, "a")
        with pytest.raises(Invalid, match="must specify shard key"):
            await world.first.resharding.start(name, UP)
        with pytest.raises(Invalid, match='sharding key "b" does not exist'):
            await world.first.resharding.start(name, UP, shard_key="b")
        for direction, shards in ((UP, 3), (DOWN, 2), (DOWN, 1)):
            await one.step(direction)
            assert (len(await one.replicas()), len(await other.replicas())) == (shards, 2)
            for key, kept in before.items():
                assert await scrolled(world, name, shard_key=key) == kept
        with pytest.raises(Invalid, match="it is the last shard"):
            await one.start(DOWN)

    world.run(check())


def test_calls_out_of_order_are_refused(world: World) -> None:
    """Commits may be repeated, and after the first of them there is no way back."""

    async def check() -> None:
        name = await world.create(1)
        await world.upsert(name, points(ids_of(20)))
        one, calls = driver(world, name), world.first.resharding
        for call in (calls.abort, calls.commit_read_ring, calls.commit_write_ring, calls.finish):
            with pytest.raises(Invalid, match="not in progress"):
                await call(name)
        with pytest.raises(Invalid, match="last shard"):
            await calls.start(name, DOWN)
        mine = str(uuid.uuid4())
        await calls.start(name, UP, uuid=mine)
        (state,) = (await one.placement()).resharding
        assert (state.uuid, state.shard_id) == (mine, 1)
        for direction in Direction:
            with pytest.raises(Invalid, match="already in progress"):
                await calls.start(name, direction)
        for call in (calls.commit_write_ring, calls.finish):
            with pytest.raises(Invalid, match="is at stage MigratingPoints"):
                await call(name)
        with pytest.raises(Invalid, match="has state Some\\(Active\\), but expected"):
            await calls.migration_finished(name, 0, (await one.replicas())[0][0])
        await one.migrate(state)
        with pytest.raises(Invalid, match="has state Some\\(Active\\), but expected"):
            await calls.migration_finished(name, 1, state.peer_id)
        await calls.commit_read_ring(name)
        await calls.commit_read_ring(name)
        for call, words in ((calls.abort, "can't abort"), (calls.finish, "is at stage ReadHash")):
            with pytest.raises(Invalid, match=words):
                await call(name)
        await calls.commit_write_ring(name)
        await calls.commit_write_ring(name)
        with pytest.raises(Invalid, match="can't abort"):
            await calls.abort(name)
        await calls.finish(name)
        with pytest.raises(Invalid, match="not in progress"):
            await calls.finish(name)

    world.run(check())


def test_a_call_by_an_alias_that_has_gone_does_nothing(world: World) -> None:
    """An alias does for a name in every call, and stands for one resharding alone."""

    async def check() -> None:
        name = await world.create(1)
        await world.upsert(name, points(ids_of(20)))
        one, calls = driver(world, name), world.first.resharding
        then, now = f"{name}-step-1", f"{name}-step-2"
        named = {"create_alias": {"collection_name": name, "alias_name": then}}
        await world.first.change_aliases([named])
        await calls.start(then, UP)
        await calls.abort(then)
        await one.seen(running=False)
        await world.first.change_aliases(
            [
                {"delete_alias": {"alias_name": then}},
                {"create_alias": {"collection_name": name, "alias_name": now}},
            ]
        )
        state = await one.start(UP)
        await one.migrate(state)
        for late in (calls.commit_read_ring, calls.commit_write_ring, calls.finish, calls.abort):
            with pytest.raises(NotFound):
                await late(then)
        with pytest.raises(NotFound):
            await calls.start(then, UP)
        await calls.commit_read_ring(now)
        await calls.commit_write_ring(now)
        by_peer = await one.by_peer()
        (at,) = (await one.replicas())[0]
        with pytest.raises(NotFound):
            await by_peer[at].resharding.cleanup(then, 0)
        await by_peer[at].resharding.cleanup(now, 0)
        await calls.finish(now)
        assert await world.first.count_collection(name) == len(ids_of(20))

    world.run(check())


@pytest.mark.parametrize("direction", Direction)
def test_an_abort_leaves_the_collection_as_it_was(world: World, direction: Direction) -> None:
    async def check() -> None:
        name = await world.create(2, 2)
        await world.upsert(name, points(ids_of(MANY)))
        before, counts = await scrolled(world, name), await world.counts(name)
        one = driver(world, name)
        state = await one.start(direction)
        await one.migrate(state)
        await one.calls.abort(name)
        await one.seen(running=False)
        await world.settled(name, 4)
        assert await as_seen(world, name) == [before] * 3
        assert await world.counts(name) == counts

    world.run(check())


def test_what_moved_stays_behind_and_grows_stale_until_the_cleanup(world: World) -> None:
    """The cleanup goes by the new ring whatever was committed: too early, it loses points."""

    async def check() -> None:
        name = await world.create(1)
        await world.upsert(name, points(list(range(MANY))))
        one = driver(world, name)
        state = await one.start(UP)
        await one.migrate(state)
        await one.calls.commit_read_ring(name)
        await one.calls.commit_write_ring(name)
        await world.upsert(name, points(list(range(MANY)), tag="new"))
        moved = HashRing(range(2)).shards_of(range(MANY)).count(1)
        ((old,),) = [clients for shard, clients in (await world.hosts(name)).items() if shard == 0]
        left = await old.points_of_shard(name, 0, list(range(MANY)))
        assert [point["payload"]["tag"] for point in left].count("a") == moved
        path = f"/collections/{name}/points/query"
        hits = await world.post(0, path, {"query": points([1])[0]["vector"], "limit": 2 * MANY})
        assert len({hit["id"] for hit in hits["points"]}) == len(hits["points"])
        await old.resharding.cleanup(name, 0)
        assert await old.count(name, 0) == MANY - moved
        others = [client for client in world.clients if client is not old]
        for client in others:
            with pytest.raises(NotFound):
                await client.resharding.cleanup(name, 0)
        await one.calls.finish(name)
        assert await world.first.count_collection(name) == MANY
        await one.start(UP)
        by_peer = await one.by_peer()
        for shard, peers in (await one.replicas()).items():
            await by_peer[peers[0]].resharding.cleanup(name, shard)
        await one.calls.abort(name)
        assert await world.first.count_collection(name) < MANY

    world.run(check())


def test_a_stream_to_a_shard_that_is_not_there_is_never_asked_for(fresh: World) -> None:
    """Qdrant before 1.19 stops the consensus of all peers for it."""

    async def check() -> None:
        name = await fresh.create(1)
        one = driver(fresh, name)
        peer = (await one.replicas())[0][0]
        with pytest.raises(Refused, match="no resharding is under way"):
            await one.stream((0, peer), (1, peer))
        await one.start(UP)
        for target in (0, 2):
            with pytest.raises(Refused, match=f"shard {target} is not there"):
                await one.stream((0, peer), (target, peer))
        assert (await fresh.first.cluster()).consensus == ""
        body = {
            "shard_id": 0,
            "to_shard_id": 2,
            "from_peer_id": peer,
            "to_peer_id": peer,
            "method": "resharding_stream_records",
        }
        with pytest.raises(AssertionError, match="Destination shard 0 does not exist"):
            await fresh.post(0, f"/collections/{name}/cluster", {"replicate_shard": body})

        async def stopped() -> bool:
            return "stopped" in (await fresh.first.cluster()).consensus

        if parse_version(await fresh.first.version()) < (1, 19, 0):
            await wait_until(stopped, 20, "consensus stopped")
        else:
            await one.calls.abort(name)

    fresh.run(check())


def test_a_peer_that_is_away_holds_it_up_or_ends_it(fresh: World) -> None:
    """Without the new shard's replica it goes on, and points of that shard cannot be written. A
    stream that fails takes all of it back."""

    async def check() -> None:
        name = await fresh.create(2)
        await fresh.upsert(name, points(ids_of(MANY)))
        one, away = driver(fresh, name), fresh.peers[2]
        target = (await fresh.clients[2].cluster()).peer_id
        replicas = (await one.replicas()).items()
        shard, source = next((n, peers[0]) for n, peers in replicas if peers != [target])
        await one.calls.start(name, UP, peer_id=target)
        await one.seen(running=True)
        await away.kill()
        with pytest.raises(AssertionError, match="failed"):
            await fresh.upsert(name, points(range(10**6, 10**6 + 50)))
        assert (await one.placement()).resharding
        await away.start()
        await fresh.upsert(name, points(range(10**6, 10**6 + 50)))
        await away.kill()
        await one.calls.stream_points(name, shard, 2, from_peer=source, to_peer=target)

        async def over() -> bool:
            placement = await one.placement()
            return not placement.resharding and not placement.transfers

        await wait_until(over, 40, "the resharding is aborted")
        await away.start()
        await fresh.settled(name, 2)
        seen = await as_seen(fresh, name)
        assert seen[0] == seen[1] == seen[2]
        assert {point["id"] for point in seen[0]} == {*ids_of(MANY), *range(10**6, 10**6 + 50)}

    fresh.run(check())


def test_a_peer_that_does_not_allow_it_says_so(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def check() -> None:
        launched = launch_peers(1, tmp_path, kind, resharding=False)
        async with launched as (peer,), peer.client() as qdrant:
            assert (await qdrant.telemetry()).resharding_enabled is False
            await qdrant.create_collection("docs", {"vectors": {"size": 4, "distance": "Dot"}})
            with pytest.raises(Denied, match="does not allow resharding") as refusal:
                await qdrant.resharding.start("docs", UP)
            assert "QDRANT__CLUSTER__RESHARDING_ENABLED=true" in refusal.value.hint

    runner.run(check())
