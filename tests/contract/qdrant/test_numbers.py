"""The number of a shard: what moves it, what does not, and what a drain proves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cleancut.core.primitives.errors import NotFound, Refused
from tests.contract.qdrant.world import World, points, read_stream, recover


async def moved(world: World, name: str, change: Callable[[], Awaitable[object]]) -> set[int]:
    """By how much `change` moved the numbers of the replicas."""
    before = await world.numbers(name)
    await change()
    after = await world.numbers(name)
    return {after[replica] - before[replica] for replica in before}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_drain_counts_one_on_every_replica(world: World, replicas: int) -> None:
    """Two drains around a reading are two steps, no more: that is what `quiet` is read from."""

    async def check() -> None:
        name = await world.create(shards=3, replicas=replicas)
        await world.upsert(name, points(range(60)))
        assert await moved(world, name, lambda: world.first.drain(name, range(3), [], 5)) == {1}
        assert await moved(world, name, lambda: world.clients[1].drain(name, range(3), [], 5)) == {
            1
        }
        assert len(await world.numbers(name)) == 3 * replicas

    world.run(check())


def test_every_kind_of_update_counts_one_per_operation(world: World) -> None:
    """Whether an operation finds anything to change makes no difference to the number."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(10)))
        path = f"/collections/{name}/points"
        everything = {"filter": {"must": [{"key": "tag", "match": {"value": "a"}}]}}
        nothing = {"filter": {"must": [{"key": "tag", "match": {"value": "none"}}]}}
        for where, body in (
            ("/payload", {"payload": {"x": 1}, "points": [1]}),
            ("/payload", {"payload": {"x": 1}, "points": [1]}),
            ("/payload", {"payload": {"x": 1}} | everything),
            ("/payload", {"payload": {"x": 1}} | nothing),
            ("/payload/delete", {"keys": ["nowhere"], "points": [2]}),
            ("/payload/clear", {"points": [3]}),
            ("/delete", {"points": [4]}),
            ("/delete", {"points": [4]}),
            ("/delete", nothing),
        ):
            call = world.post(0, f"{path}{where}?wait=true", body)
            assert await moved(world, name, lambda call=call: call) == {1}, (where, body)
        same = points(range(5))
        assert await moved(world, name, lambda: world.upsert(name, same)) == {1}
        assert await moved(world, name, lambda: world.upsert(name, same)) == {1}

    world.run(check())


def test_reads_and_meta_operations_do_not_count(world: World) -> None:
    """A backup's own calls, aliases and the fence's PATCH leave the numbers alone."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(10)))
        alias = {"create_alias": {"collection_name": name, "alias_name": f"{name}-alias"}}
        host = (await world.hosts(name))[0][0]
        for change in (
            lambda: world.first.change_aliases([alias]),
            lambda: world.first.patch_collection(name, {"strict_mode_config": {}}),
            lambda: read_stream(host, name, 0),
            lambda: host.count(name, 0),
            lambda: host.search_shard(name, 0),
        ):
            assert await moved(world, name, change) == {0}

    world.run(check())


def test_a_refused_update_does_not_count(world: World) -> None:
    """A wrong dimension is refused before it is queued."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(3)))

        async def refused() -> None:
            with pytest.raises(AssertionError, match="dim"):
                await world.upsert(name, [{"id": 1, "vector": [1.0, 2.0]}])

        assert await moved(world, name, refused) == {0}

    world.run(check())


def test_an_index_counts_two_and_an_unknown_point_shows_late(world: World) -> None:
    """Steps that are not one: a shard with such a change in between is not called quiet."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(3)))
        index = world.first.create_index(name, "tag", "keyword")
        assert await moved(world, name, lambda: index) == {2}

        async def not_found() -> None:
            body = {"payload": {"x": 1}, "points": [77]}
            with pytest.raises(AssertionError, match="No point with id"):
                await world.post(0, f"/collections/{name}/points/payload?wait=true", body)

        assert await moved(world, name, not_found) == {0}
        assert await moved(world, name, lambda: world.first.drain(name, [0], [], 5)) == {2}

    world.run(check())


def test_an_update_during_a_stream_counts(world: World) -> None:
    """The number moves under an open stream, so a shard that changed is never called quiet."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(500)))
        host = (await world.hosts(name))[0][0]
        async with host.stream_shard(name, 0) as chunks:
            await anext(chunks)
            assert await moved(world, name, lambda: world.delete(name, [1])) == {1}
            assert await moved(world, name, lambda: world.first.drain(name, [0], [], 5)) == {1}
            async for _ in chunks:
                pass

    world.run(check())


def test_the_first_operation_after_a_recover_does_not_count(world: World) -> None:
    """One drain before reading 1 absorbs it; from the second operation on the rule holds again."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(50)))
        host = (await world.hosts(name))[0][0]
        tar = await read_stream(host, name, 0)
        number = next(iter((await world.numbers(name)).values()))
        await world.upsert(name, points(range(50, 60)))
        await recover(host, name, 0, tar)
        assert set((await world.numbers(name)).values()) == {number + 1}
        assert await moved(world, name, lambda: world.first.drain(name, [0], [], 5)) == {0}
        assert await moved(world, name, lambda: world.first.drain(name, [0], [], 5)) == {1}

    world.run(check())


def test_a_drain_of_custom_sharding_needs_every_key(world: World) -> None:
    """Without keys it is refused; with all of them it reaches every shard."""

    async def check() -> None:
        name = await world.create(shards=1, sharding_method="custom")
        for key in ("a", 7):
            await world.first.create_shard_key(name, {"shard_key": key, "shards_number": 2})
        await world.settled(name, 4)
        with pytest.raises(Refused, match=r"[Ss]hard key"):
            await world.first.drain(name, [0], [], 5)
        keys = (await world.first.placement(name)).shard_keys()
        assert [key for key, _ in keys] == ["a", 7]
        ids = [shard for _, shards in keys for shard in shards]
        assert await moved(world, name, lambda: world.first.drain(name, ids, keys, 5)) == {1}

    world.run(check())


def test_a_drain_deletes_nothing_and_reaches_every_shard(world: World) -> None:
    """A dozen shards: each gets an id, and none of the ids is a point's."""

    async def check() -> None:
        name = await world.create(shards=12)
        await world.upsert(name, points(range(200)))
        assert await moved(world, name, lambda: world.first.drain(name, range(12), [], 5)) == {1}
        assert await world.first.count_collection(name) == 200

    world.run(check())


def test_a_drain_of_no_collection_is_not_found(world: World) -> None:
    async def check() -> None:
        with pytest.raises(NotFound):
            await world.first.drain("nowhere", [0], [], 5)

    world.run(check())


def test_a_drain_waits_for_what_was_queued_before(world: World) -> None:
    """After it, the number stands still and every acknowledged point is there."""

    async def check() -> None:
        name = await world.create(shards=2, replicas=2)
        path = f"/collections/{name}/points?wait=false"
        async with asyncio.TaskGroup() as group:
            for start in range(0, 2000, 100):
                body = {"points": points(range(start, start + 100))}
                group.create_task(world.post(start // 100 % 3, path, body, "PUT"))
        await world.first.drain(name, range(2), [], 30)
        before = await world.numbers(name)
        counts = await world.counts(name)
        assert sum(of_shard[0] for of_shard in counts.values()) == 2000
        assert all(len(set(of_shard)) == 1 for of_shard in counts.values())
        assert await world.numbers(name) == before

    world.run(check())
