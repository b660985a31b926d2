"""What peers say and do while another peer, or their consensus, is dead."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from yarl import URL

from cleancut.core.primitives.errors import TimedOut, Unavailable
from cleancut.core.primitives.ids import parse_version
from tests.contract.qdrant.world import SIZE, World, points, read_stream, recover


def test_only_what_lies_on_a_dead_peer_cannot_be_described(fresh: World) -> None:
    """A collection with a shard there answers with an error at every peer, others as always;
    telemetry and placement of both are known."""

    async def check() -> None:
        thin, whole = await fresh.create(shards=3), await fresh.create(shards=1, replicas=3)
        await fresh.upsert(whole, points(range(10)))
        await fresh.peers[2].kill()
        for client in fresh.clients[:2]:
            with pytest.raises(Unavailable, match="1 of 1 read operations failed"):
                await client.collection(thin)
            assert (await client.collection(whole))["config"]["params"]["shard_number"] == 1
            assert set(await client.collections()) >= {thin, whole}
            telemetry = await client.telemetry()
            assert len(telemetry.collections[thin].shards) == 3
            assert {one.state for one in (await client.placement(thin)).shards} == {"Active"}
            assert len((await client.cluster()).peers) == 3
        await fresh.first.drain(whole, [0], [], 20)
        states = [one.state for one in (await fresh.first.placement(whole)).shards]
        assert sorted(states) == ["Active", "Active", "Dead"]

    fresh.run(check())


def test_stopped_consensus_leaves_reads_and_writes(fresh: World) -> None:
    """All peers agree on what none of them can apply. From then on nothing can be agreed on: the
    first that asks a peer waits in vain, the next ones are refused; the peer itself says why. What
    lies in its shards is read and written, and a restart does not help. Since 1.19 the peer
    restarts its consensus in vain, 1 s to 5 min apart; an operation waits for its bound instead of
    being refused at once."""

    async def check() -> None:
        name = await fresh.create(shards=3)
        await fresh.upsert(name, points(range(30)))
        assert (await fresh.first.cluster()).consensus == ""
        restarts = parse_version(await fresh.first.version()) >= (1, 19)
        await _poison(restarts)
        for client in fresh.clients:
            await _stopped(client)
            assert "poison" not in await client.collections()
            assert (await client.collection(name))["points_count"] == 30
            assert await client.count_collection(name) == 30
            await client.drain(name, range(3), [], 20)
        await fresh.upsert(name, points(range(30, 40)))
        action = {"create_alias": {"collection_name": name, "alias_name": "live"}}
        for _ in range(2):
            with pytest.raises((Unavailable, TimedOut)):
                await fresh.first.change_aliases([action], timeout_s=1.0)
        if not restarts:
            with pytest.raises(Unavailable, match="closed channel"):
                await fresh.first.patch_collection(name, {"optimizers_config": {}})
        assert await fresh.first.aliases() == {}
        hosts = await fresh.hosts(name)
        assert await read_stream(hosts[0][0], name, 0)
        await fresh.peers[2].stop()
        with pytest.raises((Unavailable, TimedOut)):
            await fresh.peers[2].start(5.0)

    async def _poison(restarts: bool) -> None:
        """What this version accepts and cannot apply."""
        vectors = {"size": SIZE, "distance": "Cosine"}
        async with aiohttp.ClientSession() as session:
            if restarts:
                url = URL(fresh.peers[0].url + "/collections/%2E%2E", encoded=True)
            else:
                url = URL(fresh.peers[0].url + "/collections/poison")
                vectors["datatype"] = "turbo4"
            async with session.put(url, json={"vectors": vectors}) as answer:
                assert answer.status == 500

    async def _stopped(client: object) -> None:
        for _ in range(100):
            info = await client.cluster()  # type: ignore[attr-defined]
            if info.consensus:
                assert "stopped" in info.consensus
                return
            await asyncio.sleep(0.05)
        raise AssertionError("its consensus goes on")

    fresh.run(check())


def test_a_recover_at_another_peer_makes_a_replica_that_differs(fresh: World) -> None:
    """Both are Active, and the older one holds what the tar holds; nothing makes them equal."""

    async def check() -> None:
        name = await fresh.create(shards=1)
        await fresh.upsert(name, points(range(10)))
        ((host, *_),) = (await fresh.hosts(name)).values()
        tar = await read_stream(host, name, 0)
        await fresh.upsert(name, points(range(10, 200)))
        other = next(one for one in fresh.clients if one is not host)
        await recover(other, name, 0, tar)
        await fresh.settled(name, 2)
        assert await host.count(name, 0) == 200
        assert await other.count(name, 0) == 10
        weights = (await fresh.first.weights()).collections[name]
        found = sorted(one.points or 0 for one in weights.shards[0].replicas)
        assert found == [10, 200]

    fresh.run(check())
