"""Recovering a shard from a tar: what it leaves behind, and what a broken one does."""

from __future__ import annotations

import io
import tarfile

import pytest

from cleancut.core.primitives.errors import Corrupt, NotFound, Unavailable
from cleancut.qdrant.client import Qdrant
from tests.contract.qdrant.world import World, points, read_stream, recover, served, sha256
from tests.support.addresses import dead_address

RESTORED = range(400)


async def captured(
    world: World, shards: int = 1, replicas: int = 1
) -> tuple[str, dict[int, bytes]]:
    """A collection with 400 points, and the tar of each of its shards."""
    name = await world.create(shards=shards, replicas=replicas)
    await world.first.create_index(name, "tag", "keyword")
    await world.upsert(name, points(RESTORED))
    hosts = await world.hosts(name)
    return name, {shard: await read_stream(hosts[shard][0], name, shard) for shard in hosts}


async def only_host(world: World, name: str) -> Qdrant:
    return (await world.hosts(name))[0][0]


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_restored_collection_is_the_one_that_was_captured(world: World, replicas: int) -> None:
    """Same counts on every replica, routing right, searches and filters answer, writes work."""

    async def check() -> None:
        _, tars = await captured(world, shards=4)
        target = await world.create(shards=4, replicas=replicas)
        await world.first.create_index(target, "tag", "keyword")
        for shard, hosts in (await world.hosts(target)).items():
            for host in hosts:
                await recover(host, target, shard, tars[shard])
        await world.settled(target, 4 * replicas)
        counts = await world.counts(target)
        assert counts == await world.counts(target, ring_filter=True)
        assert sum(of_shard[0] for of_shard in counts.values()) == len(RESTORED)
        assert all(len(set(of_shard)) == 1 for of_shard in counts.values())
        for shard, hosts in (await world.hosts(target)).items():
            for host in hosts:
                assert await host.search_shard(target, shard) == 10
        await world.upsert(target, points(RESTORED, tag="again"))
        assert await world.counts(target) == counts
        tagged = {"filter": {"must": [{"key": "tag", "match": {"value": "again"}}]}, "exact": True}
        answer = await world.post(1, f"/collections/{target}/points/count", tagged)
        assert answer["count"] == len(RESTORED)

    world.run(check())


def test_a_tar_of_another_shard_is_found_by_the_ring_filter(world: World) -> None:
    """Everything looks right but the count of points that belong there."""

    async def check() -> None:
        name, tars = await captured(world, shards=2)
        target = await world.create(shards=2)
        for shard, hosts in (await world.hosts(target)).items():
            await recover(hosts[0], target, shard, tars[1 - shard])
        plain = await world.counts(target)
        source = await world.counts(name)
        assert plain == {0: source[1], 1: source[0]}
        assert await world.counts(target, ring_filter=True) == {0: [0], 1: [0]}

    world.run(check())


@pytest.mark.parametrize("how", ["checksum", "truncated", "empty", "no wal"])
def test_a_broken_tar_is_corrupt_and_leaves_the_data(world: World, how: str) -> None:
    """The old data is still there and readable, the replica active; the good tar still goes in."""

    async def check() -> None:
        name, tars = await captured(world)
        await world.upsert(name, points(range(1000, 1010)))
        host, tar = await only_host(world, name), tars[0]
        broken = {
            "checksum": tar,
            "truncated": tar[: len(tar) // 3],
            "empty": b"",
            "no wal": tar[: tar.index(b"wal/\0")] + bytes(1024),
        }[how]
        digest = "0" * 64 if how == "checksum" else sha256(broken)
        async with served(broken) as location:
            with pytest.raises(Corrupt):
                await host.recover_shard(name, 0, location=location, sha256=digest, timeout_s=30)
        assert await host.count(name, 0) == len(RESTORED) + 10
        await world.settled(name, 1)
        await recover(host, name, 0, tar)
        assert await host.count(name, 0) == len(RESTORED)

    world.run(check())


def test_a_tar_that_cannot_be_fetched_leaves_the_data(world: World) -> None:
    """A dead attempt's URL is 404, a dead agent refuses the connection: both can be repeated."""

    async def check() -> None:
        name, _ = await captured(world)
        host = await only_host(world, name)
        async with served(b"") as location:
            with pytest.raises(Unavailable, match="404"):
                await host.recover_shard(
                    name, 0, location=location + "gone", sha256="0" * 64, timeout_s=30
                )
        with dead_address() as dead, pytest.raises(Unavailable):
            await host.recover_shard(
                name, 0, location=f"http://{dead}/tar", sha256="0" * 64, timeout_s=30
            )
        assert await host.count(name, 0) == len(RESTORED)

    world.run(check())


def test_an_unknown_shard_is_not_found(world: World) -> None:
    async def check() -> None:
        name, tars = await captured(world)
        with pytest.raises(NotFound):
            await recover(await only_host(world, name), name, 7, tars[0])

    world.run(check())


def test_no_sync_leaves_the_other_replica_alone(world: World) -> None:
    """Both stay active with different data: so every hosting peer is recovered, and counted."""

    async def check() -> None:
        name, tars = await captured(world, replicas=2)
        await world.upsert(name, points(range(1000, 1010)))
        host = await only_host(world, name)
        await recover(host, name, 0, tars[0])
        await world.settled(name, 2)
        assert (await world.counts(name))[0] == [len(RESTORED), len(RESTORED) + 10]

    world.run(check())


def test_a_recover_shows_in_the_counters_and_not_in_the_startup(world: World) -> None:
    """What tells a reading after it from one before it, though the number may be the same."""

    async def check() -> None:
        name, tars = await captured(world)
        host = await only_host(world, name)
        before = await host.telemetry()
        await recover(host, name, 0, tars[0])
        after = await host.telemetry()
        assert after.counters.recover == before.counters.recover + 1
        assert after.startup == before.startup
        uuid = before.collections[name].uuid
        assert uuid
        assert after.collections[name].uuid == uuid

    world.run(check())


def test_a_shard_restores_from_another_peer_than_it_was_captured_at(world: World) -> None:
    """Peers are told apart by the live placement alone; a tar knows none."""

    async def check() -> None:
        _, tars = await captured(world)
        for _ in range(3):
            target = await world.create(shards=1)
            await recover(await only_host(world, target), target, 0, tars[0])
            assert (await world.counts(target))[0] == [len(RESTORED)]

    world.run(check())


@pytest.mark.parametrize("what", ["replica state", "version"])
def test_a_tar_without_its_marks_is_taken_and_is_empty(world: World, what: str) -> None:
    """A checksum proves nothing here: the capture must check the marks before it counts."""

    async def check() -> None:
        name, tars = await captured(world)
        host, tar = await only_host(world, name), tars[0]
        if what == "replica state":
            tar = tar[: tar.index(b"replica_state.json\0")] + bytes(1024)
        else:
            tar = without_members(tar, "/version.info")
        await recover(host, name, 0, tar)
        await world.settled(name, 1)
        assert await host.count(name, 0) == 0
        await recover(host, name, 0, tars[0])
        assert await host.count(name, 0) == len(RESTORED)

    world.run(check())


def test_a_tar_that_cannot_be_loaded_costs_the_data_until_a_good_one(world: World) -> None:
    """The replica still shows Active: only its own exact count tells, and a retry repairs it."""

    async def check() -> None:
        name, tars = await captured(world)
        host = await only_host(world, name)
        with pytest.raises(Unavailable):
            await recover(host, name, 0, without_members(tars[0], "/segment.json"))
        await world.settled(name, 1)
        with pytest.raises(Unavailable):
            await host.count(name, 0)
        await recover(host, name, 0, tars[0])
        assert await host.count(name, 0) == len(RESTORED)
        await world.upsert(name, points(RESTORED))
        assert await host.count(name, 0) == len(RESTORED)

    world.run(check())


def without_members(tar: bytes, ending: str) -> bytes:
    """The tar without the plain members whose names end so; all else byte by byte."""
    kept, at = bytearray(), 0
    while at < len(tar):
        with tarfile.open(fileobj=io.BytesIO(tar[at:])) as archive:
            member = archive.next()
            if member is None:
                break
            following = archive.next()
            size = following.offset if following else len(tar) - at
        if not member.name.endswith(ending):
            kept += tar[at : at + size]
        at += size
    return bytes(kept)
