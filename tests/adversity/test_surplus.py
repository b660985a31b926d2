"""A rebalance that may drop replicas never drops the better one."""

from __future__ import annotations

import pytest

from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.qdrant import wait_until
from tests.adversity.points import create, upsert
from tests.contract.qdrant.world import read_stream, recover
from tests.e2e.conftest import Launch
from tests.e2e.rebalance.moves import calm, read_placement
from tests.e2e.world import World, refused

FEW, MANY = 10, 1000


async def _count(world: World) -> list[int]:
    """Points of shard 0 by peer, asked at each peer itself."""
    counts = []
    for peer in world.setup.peers:
        async with peer.client() as qdrant:
            local = {one.shard_id for one in (await qdrant.placement(COLLECTION)).local()}
            counts.append(await qdrant.count(COLLECTION, 0) if 0 in local else 0)
    return counts


@pytest.mark.adversity("rebalance --drop-surplus with replicas that disagree")
@pytest.mark.parametrize("stale", [0, 1], ids=["the first is stale", "the second is stale"])
def test_the_good_replica_is_never_dropped(launch: Launch, stale: int) -> None:
    """One of two replicas is put back to few points behind Qdrant's back and calls itself Active:
    the rebalance that would drop one is refused, and every point stays."""
    world = launch(peers=2, coordinators=1)

    async def diverge() -> None:
        url = world.setup.peers[0].url
        await create(url, COLLECTION)
        await upsert(url, COLLECTION, range(FEW))
        (held,) = (await read_placement(world)).shards
        ids = []
        for peer in world.setup.peers:
            async with peer.client() as qdrant:
                ids.append((await qdrant.cluster()).peer_id)
        target = next(one for one in ids if one != held.peer_id)
        async with world.setup.peers[0].client() as qdrant:
            await qdrant.replicate_shard(COLLECTION, 0, source=held.peer_id, target=target)

        async def grown() -> bool:
            return len((await read_placement(world)).shards) == 2

        await wait_until(grown, 30, "there are two replicas")
        await calm(world)
        async with world.setup.peers[stale].client() as qdrant:
            before = await read_stream(qdrant, COLLECTION, 0)
            await upsert(url, COLLECTION, range(FEW, FEW + MANY))
            await recover(qdrant, COLLECTION, 0, before)

    world.run(diverge())
    counts = world.run(_count(world))
    assert sorted(counts) == [FEW, FEW + MANY], "the replicas do not disagree"
    answer = world.cleancut("rebalance", "start", "--drop-surplus", "--yes")
    refused(answer, answer.exit_code, COLLECTION)
    assert answer.exit_code != 0
    assert world.run(_count(world)) == counts
