"""What tests of `rebalance` look at, and how they catch it in the act."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from cleancut.qdrant.responses import Placement
from cleancut_devcluster.demo.comparison import compare
from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.qdrant import PeerProcess, add_peer, wait_until
from tests.e2e.world import World

CAUGHT_S = 60.0
CALM_S = 60.0
READINGS = 15
BETWEEN_S = 0.1


def verdict(world: World, kept: Any) -> list[str]:
    """What the cluster answers otherwise than before; exact counts are part of it."""
    return [one.what for one in compare(kept, world.answers()) if not one.equal]


async def read_placement(world: World) -> Placement:
    peer = next(one for one in world.setup.peers if one.running)
    async with peer.client() as qdrant:
        return await qdrant.placement(COLLECTION)


def placement(world: World) -> Placement:
    return world.run(read_placement(world))


def numbers(world: World) -> list[int]:
    """Replicas of each peer that has any, fewest first."""
    return sorted(Counter(one.peer_id for one in placement(world).shards).values())


async def add_agent(world: World, peer: PeerProcess) -> None:
    await world.setup.start_agent(peer.url)
    await world.setup.wait_agents()


def join(world: World) -> PeerProcess:
    """One more peer, with its agent."""

    async def body() -> PeerProcess:
        peer = await add_peer(world.setup.peers)
        await add_agent(world, peer)
        return peer

    return world.run(body())


def start(world: World, *more: str) -> Any:
    return world.ok("rebalance", "rebalance", "start", "--yes", *more)


async def show(world: World, name: str) -> Any:
    answer = await world.setup.cleancut("rebalance", "show", name)
    return answer.value("rebalance")


async def stays(world: World) -> bool:
    """Whether a transfer is seen in each of many readings: one whose target had received and
    confirmed everything before it was frozen ends without it."""
    for _ in range(READINGS):
        if not (await read_placement(world)).transfers:
            return False
        await asyncio.sleep(BETWEEN_S)
    return True


async def catch(world: World, target: PeerProcess) -> None:
    """A transfer is under way, and cannot end: `target`, which gets all of them, is frozen."""

    async def caught() -> bool:
        if not (await read_placement(world)).transfers:
            return False
        target.freeze()
        if await stays(world):
            return True
        target.thaw()  # that one had just ended: the next
        return False

    await wait_until(caught, CAUGHT_S, "a transfer is under way")


async def calm(world: World) -> None:
    """No transfer is under way, and each replica is Active."""

    async def still() -> bool:
        seen = await read_placement(world)
        return not seen.transfers and {one.state for one in seen.shards} == {"Active"}

    await wait_until(still, CALM_S, "no transfer, and every replica Active")
