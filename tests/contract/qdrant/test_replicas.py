"""Replicas: equal by writes, lost with their peer, and moved between peers."""

from __future__ import annotations

import asyncio

import pytest

from cleancut.core.primitives.errors import Invalid, NotFound, Refused, TimedOut, Unavailable
from cleancut_devcluster.launch.qdrant import wait_until
from tests.contract.qdrant.world import World, points, read_stream


def test_replicas_hold_the_same_points(world: World) -> None:
    """Writes enter by every peer at once. (Of one point, through several peers at once, a real
    server lets replicas diverge: its ordering is weak by default, so that is not asked for.)"""

    async def check() -> None:
        name = await world.create(shards=3, replicas=2)
        path = f"/collections/{name}/points?wait=true"
        async with asyncio.TaskGroup() as group:
            for turn in range(15):
                body = {"points": points(range(turn * 20, turn * 20 + 20), seed=turn)}
                group.create_task(world.post(turn % 3, path, body, "PUT"))
        for turn in range(3):
            await world.post(turn, path, {"points": points(range(100), seed=50 + turn)}, "PUT")
        await world.first.drain(name, range(3), [], 10)
        counts = await world.counts(name)
        assert sum(one[0] for one in counts.values()) == 300
        assert all(one[0] == one[1] for one in counts.values())
        for shard, hosts in (await world.hosts(name)).items():
            body = {"limit": 1000, "with_vector": True}
            found = []
            for host in hosts:
                peer = world.clients.index(host)
                where = f"/collections/{name}/shards/{shard}/points/scroll"
                found.append((await world.post(peer, where, body))["points"])
            assert found[0] == found[1]

    world.run(check())


def test_a_shard_moves_with_all_its_points(world: World) -> None:
    """Afterwards one replica, at the target, active and complete; both peers count a transfer."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(300)))
        ids = [(await client.cluster()).peer_id for client in world.clients]
        source = (await world.first.placement(name)).shards[0].peer_id
        target = next(peer for peer in ids if peer != source)
        receiver = world.clients[ids.index(target)]
        before = (await receiver.telemetry()).counters
        await world.first.move_shard(name, 0, source=source, target=target)

        async def moved() -> bool:
            placement = await world.first.placement(name)
            places = [(one.peer_id, one.state) for one in placement.shards]
            return places == [(target, "Active")] and not placement.transfers

        await wait_until(moved, 30, "the shard has moved")
        await world.settled(name, 1)
        assert await receiver.count(name, 0) == 300
        assert await receiver.count(name, 0, ring_filter=True) == 300
        after = (await receiver.telemetry()).counters
        assert after.initiate == before.initiate + 1
        assert after.shard_recover >= before.shard_recover

    world.run(check())


def test_a_replica_is_added_and_dropped(world: World) -> None:
    """A grown replica is complete; the last active one cannot be dropped."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(300)))
        ids = [(await client.cluster()).peer_id for client in world.clients]
        source = (await world.first.placement(name)).shards[0].peer_id
        target = next(peer for peer in ids if peer != source)
        await world.first.replicate_shard(name, 0, source=source, target=target)
        await world.settled(name, 2)
        assert await world.counts(name) == {0: [300, 300]}
        await world.upsert(name, points(range(300, 310)))
        assert await world.counts(name) == {0: [310, 310]}
        await world.first.drop_replica(name, 0, source)
        await world.settled(name, 1)
        with pytest.raises(Invalid):
            await world.first.drop_replica(name, 0, target)
        assert await world.counts(name) == {0: [310]}

    world.run(check())


def test_impossible_moves_are_refused(world: World) -> None:
    """An unknown peer, an unknown shard, a transfer that does not run."""

    async def check() -> None:
        name = await world.create(shards=1)
        source = (await world.first.placement(name)).shards[0].peer_id
        with pytest.raises(Invalid):
            await world.first.move_shard(name, 0, source=source, target=12345)
        with pytest.raises((Invalid, NotFound)):
            await world.first.move_shard(name, 9, source=source, target=source)
        with pytest.raises(NotFound):
            await world.first.abort_transfer(name, 0, source=source, target=12345)

    world.run(check())


def test_custom_keys_get_the_next_ids_where_they_are_placed(world: World) -> None:
    """Ids ascend from 1 by creation; `7` and `"7"` are two keys; a deleted last id is reused."""

    async def check() -> None:
        name = await world.create(shards=1, sharding_method="custom")
        ids = [(await client.cluster()).peer_id for client in world.clients]
        keys: list[str | int] = ["a", 7, "7"]
        for key in keys:
            body = {"shard_key": key, "shards_number": 2, "placement": [ids[1]]}
            await world.first.create_shard_key(name, body)
        await world.settled(name, 6)
        shards = (await world.first.placement(name)).shards
        assert [(one.shard_id, one.shard_key) for one in shards] == [
            (1, "a"), (2, "a"), (3, 7), (4, 7), (5, "7"), (6, "7"),
        ]  # fmt: skip
        assert {one.peer_id for one in shards} == {ids[1]}
        await world.upsert(name, points(range(100)), shard_key=7)
        counts = {shard: one[0] for shard, one in (await world.counts(name)).items()}
        assert counts[3] + counts[4] == 100
        assert counts[3] > 0 < counts[4]
        assert await world.counts(name, ring_filter=True) == await world.counts(name)
        await world.first.delete_shard_key(name, "7")
        await world.first.create_shard_key(name, {"shard_key": "b", "shards_number": 1})
        await world.settled(name, 5)
        placed = {one.shard_id: one.shard_key for one in (await world.first.placement(name)).shards}
        assert placed[5] == "b"

    world.run(check())


def test_a_killed_peer_comes_back_with_everything(fresh: World) -> None:
    """Writes go on with the other replica; the lost one is Dead, and repairs once it is back."""

    async def check() -> None:
        name = await fresh.create(shards=3, replicas=2)
        await fresh.upsert(name, points(range(300)))
        lost = fresh.clients[2]
        before = await lost.telemetry()
        await fresh.peers[2].kill()
        await fresh.upsert(name, points(range(300, 600)))
        states = {one.state for one in (await fresh.first.placement(name)).shards}
        assert states == {"Active", "Dead"}
        assert await _total(fresh, name) == 600
        await fresh.peers[2].start()
        await fresh.settled(name, 6)
        counts = await fresh.counts(name)
        assert sum(one[0] for one in counts.values()) == 600
        assert all(one[0] == one[1] for one in counts.values())
        after = await lost.telemetry()
        assert after.startup != before.startup
        assert after.peer_id == before.peer_id

    fresh.run(check())


async def _total(world: World, name: str) -> int:
    answer = await world.post(0, f"/collections/{name}/points/count", {"exact": True})
    total: int = answer["count"]
    return total


def test_nothing_acknowledged_is_lost_when_every_peer_is_killed(fresh: World) -> None:
    """The log is replayed: also for a shard that was restored before."""

    async def check() -> None:
        name = await fresh.create(shards=2)
        await fresh.first.create_index(name, "tag", "keyword")
        await fresh.upsert(name, points(range(200)))
        await fresh.delete(name, range(10))
        for peer in fresh.peers:
            await peer.kill()
        async with asyncio.TaskGroup() as group:
            for peer in fresh.peers:
                group.create_task(peer.start())
        await fresh.settled(name, 2)

        async def counted() -> bool:
            return await _total(fresh, name) == 190

        await wait_until(counted, 10, "all points are back")
        assert await fresh.counts(name, ring_filter=True) == await fresh.counts(name)
        for shard, hosts in (await fresh.hosts(name)).items():
            assert b"shard_config.json" in await read_stream(hosts[0], name, shard)

    fresh.run(check())


def test_a_drain_does_not_answer_while_a_replica_is_frozen(fresh: World) -> None:
    """No answer is no proof; once the peer goes on, drains work again."""

    async def check() -> None:
        name = await fresh.create(shards=3, replicas=2)
        fresh.peers[2].freeze()
        try:
            with pytest.raises(TimedOut):
                await fresh.first.drain(name, range(3), [], 2)
        finally:
            fresh.peers[2].thaw()

        async def drained() -> bool:
            try:
                await fresh.first.drain(name, range(3), [], 5)
            except (Refused, TimedOut, Unavailable):
                return False
            return True

        await wait_until(drained, 40, "drains work again")

    fresh.run(check())


def test_an_alias_call_says_nothing_about_a_frozen_peer(fresh: World) -> None:
    """It answers within its bound though one peer has not applied it: each agent must look."""

    async def check() -> None:
        name = await fresh.create(shards=1)
        fresh.peers[2].freeze()
        try:
            action = {"create_alias": {"collection_name": name, "alias_name": "live"}}
            await fresh.first.change_aliases([action], timeout_s=2)
            assert (await fresh.first.aliases()) == {"live": name}
            with pytest.raises(TimedOut):
                await fresh.clients[2].aliases(timeout_s=1)
        finally:
            fresh.peers[2].thaw()

        async def seen() -> bool:
            return (await fresh.clients[2].aliases(timeout_s=5)) == {"live": name}

        await wait_until(seen, 20, "the alias has reached the frozen peer")

    fresh.run(check())
