"""A rebalance whose leader, whose target or whose user ends it while a transfer is under way."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from cleancut_devcluster.demo.data import Shape
from cleancut_devcluster.launch.process import wait_for, wait_logged
from cleancut_devcluster.launch.qdrant import PeerProcess
from cleancut_devcluster.launch.setup import NOT_SECURED, Secured
from tests.e2e.conftest import Launch
from tests.e2e.rebalance.moves import (
    calm,
    catch,
    join,
    numbers,
    placement,
    read_placement,
    show,
    start,
    verdict,
)
from tests.e2e.world import World

pytestmark = pytest.mark.chaos
SHAPE = Shape(points=4500, dims=64, shards=9)


WITH_PAGE = Secured(coordinator=("--ui", "127.0.0.1:0"))
PAGE_S = 100.0


def begin(
    launch: Launch, coordinators: int, secured: Secured = NOT_SECURED
) -> tuple[World, PeerProcess, Any]:
    """Nine shards on two peers, and a third one that is to get three."""
    world = launch(peers=2, coordinators=coordinators, secured=secured)
    world.shape = SHAPE
    world.fill()
    kept = world.answers()
    assert numbers(world) == [4, 5]
    return world, join(world), kept


@pytest.mark.sample
def test_the_next_leader_finishes(launch: Launch) -> None:
    """The leader is killed amid a transfer, with others to come; the same operation ends in DONE,
    evenly. Who watches the standby's page sees it through, on one stream."""
    world, target, kept = begin(launch, coordinators=2, secured=WITH_PAGE)
    begun = start(world, "--no-wait", "--bandwidth-aware")

    async def body() -> Any:
        leader = await world.setup.leader()
        (standby,) = (one for one in world.setup.coordinators if one is not leader)
        page = await wait_logged(standby.child, "status page", "address")
        await catch(world, target)
        async with (
            aiohttp.ClientSession(f"http://{page}") as session,
            session.get("/rebalances.live") as stream,
            asyncio.timeout(PAGE_S),
        ):

            async def moves() -> bool | None:
                async with session.get("/rebalances.json") as shown:
                    (seen,) = (await shown.json())["rebalances"]
                return (seen["id"], seen["state"]) == (begun["id"], "MOVING") or None

            await stream.content.readany()  # it is open
            await leader.child.kill()
            assert (await show(world, begun["id"]))["state"] == "MOVING"
            assert (await read_placement(world)).transfers
            await wait_for(moves, "the standby's page shows the rebalance", PAGE_S)
            target.thaw()
            await world.setup.wait_leader(other_than=leader.name)
            sent = b""
            while b"b-ok" not in sent:
                sent += await stream.content.readany()

            async def leads() -> bool | None:
                async with session.get("/cluster.json") as shown:
                    return (await shown.json())["cluster"]["leader"] == standby.name or None

            await wait_for(leads, "the page names the next leader", PAGE_S)
        return await world.setup.cleancut("rebalance", "watch", begun["id"])

    done = world.run(body()).value("rebalance")
    assert done["state"] == "DONE"
    assert [step["action"] for step in done["steps"]] == ["move"] * 3
    assert all(step["count"] > 0 for step in done["steps"])
    assert numbers(world) == [3, 3, 3]
    assert placement(world).transfers == ()
    assert verdict(world, kept) == []


def test_a_cancel_leaves_no_transfer(launch: Launch) -> None:
    """What was under way is aborted, finished steps stay, and every answer is as before. A later
    rebalance does the rest."""
    world, target, kept = begin(launch, coordinators=1)
    begun = start(world, "--no-wait", "--bandwidth-aware")

    async def body() -> Any:
        await catch(world, target)
        assert (await show(world, begun["id"]))["state"] == "MOVING"
        answer = await world.setup.cleancut("rebalance", "cancel", begun["id"], "--yes")
        assert (await read_placement(world)).transfers == ()
        target.thaw()
        await calm(world)
        return answer

    ended = world.run(body()).value("rebalance")
    assert ended["state"] == "ABORTED"
    assert len(placement(world).shards) == 9
    assert numbers(world) != [3, 3, 3]
    assert verdict(world, kept) == []
    assert start(world)["state"] == "DONE"
    assert numbers(world) == [3, 3, 3]
    assert verdict(world, kept) == []


def test_a_target_that_stays_dead_ends_it(launch: Launch) -> None:
    """The operation fails and names the step; no transfer is left, and nothing is lost. Once the
    peer is back, a rebalance does the rest."""
    world, target, kept = begin(launch, coordinators=1)
    begun = start(world, "--no-wait", "--bandwidth-aware")

    async def body() -> Any:
        await catch(world, target)
        await target.kill()
        return await world.setup.cleancut("rebalance", "watch", begun["id"])

    answer = world.run(body())
    assert answer.exit_code == 1, answer.err
    assert "move shard" in answer.err
    assert "3 tries" in answer.err
    assert placement(world).transfers == ()
    assert len(placement(world).shards) == 9
    world.run(target.start())
    world.run(world.setup.wait_agents())
    world.run(calm(world))
    assert len(placement(world).shards) == 9
    assert verdict(world, kept) == []
    assert start(world)["state"] == "DONE"
    assert numbers(world) == [3, 3, 3]
    assert verdict(world, kept) == []


@pytest.mark.parametrize("flags", [(), ("--bandwidth-aware",)])
def test_a_target_that_comes_back_is_tried_again(launch: Launch, flags: tuple[str, ...]) -> None:
    """Its transfer is aborted by Qdrant, and asked for again: the operation ends in DONE."""
    world, target, kept = begin(launch, coordinators=1)
    begun = start(world, "--no-wait", *flags)

    async def body() -> Any:
        await catch(world, target)
        await target.kill()
        await target.start()
        return await world.setup.cleancut("rebalance", "watch", begun["id"])

    done = world.run(body()).value("rebalance")
    assert done["state"] == "DONE"
    assert all(step["count"] > 0 for step in done["steps"])
    assert numbers(world) == [3, 3, 3]
    assert placement(world).transfers == ()
    assert verdict(world, kept) == []
