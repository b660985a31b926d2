"""Peers and disks that are lost for good, and shards that lost every replica."""

from __future__ import annotations

import aiohttp
import pytest

from cleancut.core.primitives.errors import CleancutError, Invalid, TimedOut, Unavailable
from cleancut.qdrant.live_shards import live_shards
from cleancut_devcluster.launch.qdrant import add_peer, wait_until, wipe_all
from tests.contract.qdrant.world import World, points, read_stream, recover


def test_a_shard_without_any_replica_is_repaired_by_a_recover(fresh: World) -> None:
    """It is unreadable and listed nowhere; recovered at any peer it is whole again."""

    async def check() -> None:
        name = await fresh.create(shards=3)
        await fresh.upsert(name, points(range(200)))
        ids = [(await client.cluster()).peer_id for client in fresh.clients]
        placement = await fresh.first.placement(name)
        shard = next(one.shard_id for one in placement.shards if one.peer_id == ids[1])
        tar = await read_stream(fresh.clients[1], name, shard)
        counts = await fresh.counts(name)
        await fresh.peers[1].kill()
        with pytest.raises(Invalid):
            await fresh.first.remove_peer(ids[1])
        await fresh.first.remove_peer(ids[1], force=True)

        async def forgotten() -> bool:
            known = set((await fresh.first.cluster()).peers)
            placed = {one.shard_id for one in (await fresh.first.placement(name)).shards}
            return known == {ids[0], ids[2]} and shard not in placed

        await wait_until(forgotten, 10, "the peer is forgotten")
        await unreadable(fresh, name)
        await recover(fresh.first, name, shard, tar)
        await fresh.settled(name, 3)
        assert await fresh.counts(name) == counts
        await fresh.upsert(name, points(range(200)))
        total = await fresh.post(0, f"/collections/{name}/points/count", {"exact": True})
        assert total["count"] == 200

    fresh.run(check())


async def unreadable(world: World, name: str) -> None:
    """A collection with a lost shard, at any peer: reads get no answer at all, what describes it
    and what would repair it elsewhere is refused; placement and telemetry still tell."""
    base = f"/collections/{name}"
    for client, peer in zip(world.clients, world.peers, strict=True):
        if not peer.running:
            continue
        with pytest.raises(Unavailable, match=r"0 of 0|no active replica"):
            await client.collection(name)
        async with aiohttp.ClientSession(peer.url) as session:
            for path, body in (
                ("/points/count", {"exact": True}),
                ("/points/scroll", {"limit": 1}),
                ("/points/query", {"query": [0.5] * 16, "limit": 1}),
            ):
                with pytest.raises(aiohttp.ClientError):
                    await session.post(base + path, json=body)
        telemetry = await client.telemetry()
        live = live_shards(name, telemetry.collections[name], await client.placement(name))
        assert len(live.lost) == 1
    with pytest.raises(CleancutError):
        await world.first.drain(name, range(3), (), timeout_s=5.0)
    ids = sorted((await world.first.cluster()).peers)
    with pytest.raises(Invalid, match="not active"):
        await world.first.replicate_shard(name, live.lost[0], source=ids[0], target=ids[1])


def test_a_first_peer_with_an_empty_disk_is_a_cluster_of_its_own(fresh: World) -> None:
    """Ready, with a new id and no collections, while the others still list the old one; once that
    is forgotten it can join them, as a new peer."""

    async def check() -> None:
        name = await fresh.create(shards=3)
        before = await fresh.first.cluster()
        first, others = fresh.peers[0], fresh.clients[1:]
        await first.kill()
        first.wipe()
        await first.start()
        alone = await fresh.first.cluster()
        assert alone.peer_id not in before.peers
        assert set(alone.peers) == {alone.peer_id}
        assert await fresh.first.collections() == []
        assert [set((await one.cluster()).peers) for one in others] == [set(before.peers)] * 2
        await first.kill()
        first.wipe()

        async def forgotten() -> bool:
            """A change that is passed to a leader that has just died waits for its bound."""
            try:
                await others[0].remove_peer(before.peer_id, force=True, timeout_s=5)
            except (TimedOut, Unavailable):
                return False
            return True

        await wait_until(forgotten, 20, "its old id is forgotten")
        first.bootstrap = fresh.peers[1].uri
        await first.start()

        async def joined() -> bool:
            known = [set((await client.cluster()).peers) for client in fresh.clients]
            return len(known[0]) == 3 and known[0] == known[1] == known[2]

        await wait_until(joined, 20, "the first peer has joined the others")
        assert name in await fresh.first.collections()
        assert (await fresh.first.placement(name)).local() == ()

    fresh.run(check())


def test_an_empty_disk_at_an_old_address_does_not_start(fresh: World) -> None:
    """Its old id still holds shards: it has to be forgotten first, then it joins as a new peer."""

    async def check() -> None:
        name = await fresh.create(shards=3)
        before = await fresh.clients[1].cluster()
        await fresh.peers[1].kill()
        fresh.peers[1].wipe()
        with pytest.raises(Unavailable, match="already used"):
            await fresh.peers[1].start()
        await fresh.first.remove_peer(before.peer_id, force=True)
        await fresh.peers[1].start()

        async def joined() -> bool:
            info = await fresh.clients[1].cluster()
            peers = (await fresh.first.cluster()).peers
            return info.peer_id != before.peer_id and info.peer_id in peers and len(peers) == 3

        await wait_until(joined, 20, "the new peer has joined")
        assert (await fresh.clients[1].placement(name)).local() == ()

    fresh.run(check())


def test_a_restore_after_total_loss(fresh: World) -> None:
    """Every disk is gone: a new cluster with new ids takes the tars, on fewer peers too."""

    async def check() -> None:
        name = await fresh.create(shards=3, replicas=2)
        await fresh.upsert(name, points(range(300)))
        hosts = await fresh.hosts(name)
        tars = {shard: await read_stream(one[0], name, shard) for shard, one in hosts.items()}
        counts = {shard: one[0] for shard, one in (await fresh.counts(name)).items()}
        old = {(await client.cluster()).peer_id for client in fresh.clients}
        for peer in fresh.peers:
            await peer.kill()
        wipe_all(fresh.peers)
        await fresh.peers[0].start()
        info = await fresh.first.cluster()
        assert not old & set(info.peers)
        assert await fresh.first.collections() == []
        config = {"vectors": {"size": 16, "distance": "Cosine"}, "shard_number": 3}
        await fresh.first.create_collection(name, config | {"replication_factor": 2})
        placement = await fresh.first.placement(name)
        assert len(placement.local()) == len(placement.shards) == 3
        for shard, tar in tars.items():
            await recover(fresh.first, name, shard, tar)
            assert await fresh.first.count(name, shard, ring_filter=True) == counts[shard]
        kept = (await fresh.first.collection(name))["config"]["params"]["replication_factor"]
        assert kept == 2

    fresh.run(check())


def test_a_new_peer_sees_everything_and_holds_nothing(fresh: World) -> None:
    """Collections and aliases at once; shards only by a move."""

    async def check() -> None:
        name = await fresh.create(shards=2)
        action = {"create_alias": {"collection_name": name, "alias_name": "live"}}
        await fresh.first.change_aliases([action])
        added = await add_peer(fresh.peers)
        async with added.client() as client:

            async def seen() -> bool:
                return name in await client.collections() and "live" in await client.aliases()

            await wait_until(seen, 10, "the new peer sees the collection")
            placement = await client.placement(name)
            assert placement.local() == ()
            assert len(placement.shards) == 2

    fresh.run(check())
