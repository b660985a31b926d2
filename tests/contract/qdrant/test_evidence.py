"""Readings around what makes a shard not quiet: the evidence says so, on the stand-in and on a real
server alike. Each case is what two readings see that a backup makes around its cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from cleancut.core.backup.assignment import choose_collections
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import Parent, Reading, ShardTask
from cleancut.core.protocol.evidence import doubt, is_quiet, is_unchanged
from cleancut.core.protocol.requests import BackupRequest, Selection
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.peer_view import READING_LEVEL, count_optimizing, read_view, readings_of
from cleancut_devcluster.launch.qdrant import Kind, launch_peers, wait_until
from tests.contract.qdrant.world import World, points, read_stream, recover

HELD = range(200)


@pytest.fixture(scope="module")
def alone(
    kind: Kind, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One peer that may be started anew."""
    peers = launch_peers(1, tmp_path_factory.mktemp("alone"), kind)
    started = World(runner, runner.run(peers.__aenter__()))
    try:
        yield started
    finally:
        runner.run(started.close())
        runner.run(peers.__aexit__(None, None, None))


async def read(host: Qdrant, name: str, shard: int = 0, known: str = "") -> Reading:
    seen = await host.telemetry(level=READING_LEVEL)
    task = ShardTask(collection=name, shard_id=ShardId(shard), peer_id=PeerId(seen.peer_id))
    return readings_of(seen, [task], [known]).at(0)


def segment_of(reading: Reading) -> str:
    assert reading.state is not None
    assert reading.state.segment
    return reading.state.segment


async def doubts_after(world: World, name: str, act: Callable[[], Awaitable[object]]) -> str:
    """What is said of the shard if `act` happens between the first reading and the second drain."""
    host = world.first
    await host.drain(name, [0], [], 5)
    first = await read(host, name)
    await act()
    await host.drain(name, [0], [], 5)
    second = await read(host, name, known=segment_of(first))
    told = doubt(first, second, drained=True)
    assert is_quiet(first, second, drained=True) is (told == "")
    return told


async def filled(world: World) -> str:
    name = await world.create(shards=1)
    await world.upsert(name, points(HELD))
    return name


def test_nothing_between_the_readings(alone: World) -> None:
    """Not even searches, counts and streams are something."""

    async def check() -> None:
        name = await filled(alone)

        async def look() -> None:
            await read_stream(alone.first, name, 0)
            await alone.first.count(name, 0)

        assert await doubts_after(alone, name, look) == ""

    alone.run(check())


def test_a_delete_while_a_stream_is_open(alone: World) -> None:
    """Segments stand still under a stream, and tell nothing; the number moves."""

    async def check() -> None:
        name = await filled(alone)

        async def delete() -> None:
            async with alone.first.stream_shard(name, 0) as chunks:
                await anext(chunks)
                await alone.delete(name, [1])
                async for _ in chunks:
                    pass

        assert "1 other operation" in await doubts_after(alone, name, delete)

    alone.run(check())


def test_writes_that_nobody_waited_for(alone: World) -> None:
    """The second drain is behind them in the queue, so they are seen however long they take."""

    async def check() -> None:
        name = await filled(alone)

        async def write() -> None:
            path = f"/collections/{name}/points?wait=false"
            for _ in range(3):
                await alone.post(0, path, {"points": points(HELD)}, "PUT")

        assert "3 other operations" in await doubts_after(alone, name, write)

    alone.run(check())


def test_a_recover_in_place(alone: World) -> None:
    """It may bring back the very number that was read first: the counters tell."""

    async def check() -> None:
        name = await filled(alone)
        tar = await read_stream(alone.first, name, 0)
        told = await doubts_after(alone, name, lambda: recover(alone.first, name, 0, tar))
        assert "recovered" in told

    alone.run(check())


def test_a_restart_of_the_peer(alone: World) -> None:
    """Numbers mean something within one start only."""

    async def check() -> None:
        name = await filled(alone)

        async def restart() -> None:
            await alone.peers[0].stop()
            await alone.peers[0].start()
            await alone.settled(name, 1)

        assert "restarted" in await doubts_after(alone, name, restart)

    alone.run(check())


@pytest.mark.adversity("false evidence: a failed operation is applied again")
def test_a_failed_operation_that_is_applied_again(alone: World) -> None:
    """Our own drain wakes what applies it, and the number stands still meanwhile: the status
    tells, from the failure until it is applied."""
    if alone.kind == "real":
        pytest.skip("a full disk is needed; see the end-to-end tests")

    async def check() -> None:
        name = await filled(alone)
        host = alone.first
        uuid = (await host.telemetry()).collections[name].uuid
        full = alone.peers[0].directory / "collections" / (uuid or "") / "0" / "full"
        full.touch()
        with pytest.raises(AssertionError, match="No space"):
            await alone.upsert(name, points(range(1000, 1010)))
        full.unlink()
        await host.drain(name, [0], [], 5)
        first = await read(host, name)
        assert doubt(first, first, drained=True) != ""

        async def applied() -> bool:
            return await host.count(name, 0) == len(HELD) + 10

        await wait_until(applied, 10, "the failed operation is applied")
        await host.drain(name, [0], [], 5)
        second = await read(host, name, known=segment_of(first))
        assert (first.number or 0) + 1 == second.number
        assert doubt(first, second, drained=True) == "its status is red"

    alone.run(check())


@pytest.mark.adversity("false evidence: a shard is optimized during the cut")
def test_an_optimization_under_way_is_counted(alone: World) -> None:
    """The status of a shallow reading is enough to know that there is none."""

    async def check() -> None:
        host = alone.first
        slow = {"ef_construct": 300, "m": 32}
        name = await alone.create(
            shards=1, hnsw_config=slow, optimizers_config={"indexing_threshold": 20}
        )
        peer = PeerId((await host.telemetry()).peer_id)
        task = ShardTask(collection=name, shard_id=ShardId(0), peer_id=peer)

        async def running() -> int:
            return await count_optimizing(host, await host.telemetry(), [task])

        async def runs() -> bool:
            return await running() == 1

        async def ended() -> bool:
            return await running() == 0

        assert await ended()
        uuid = (await host.telemetry()).collections[name].uuid
        mark = alone.peers[0].directory / "collections" / (uuid or "") / "0" / "optimizing"
        if alone.kind == "real":
            path, all_ = f"/collections/{name}/points?wait=false", points(range(6_000))
            for start in range(0, len(all_), 1000):
                await alone.post(0, path, {"points": all_[start : start + 1000]}, "PUT")
        else:
            mark.touch()
        await wait_until(runs, 30, "an optimization is under way")
        mark.unlink(missing_ok=True)
        await wait_until(ended, 120, "the optimization is over")

    alone.run(check())


@pytest.mark.adversity("false evidence: a shard key is dropped and made again")
def test_a_shard_key_that_is_dropped_and_made_again(alone: World) -> None:
    """The same id, peer, collection and number: only its segments tell that it is another shard."""

    async def check() -> None:
        name = await alone.create(shards=1, sharding_method="custom")
        path, host = f"/collections/{name}/shards", alone.first
        key = {"shard_key": "a"}

        async def fill(seed: int) -> int:
            await alone.post(0, path, key, "PUT")
            await alone.settled(name, 1)
            await alone.upsert(name, points(HELD, seed=seed), shard_key="a")
            return (await host.placement(name)).shards[0].shard_id

        shard = await fill(1)
        await host.drain(name, [1], [("a", [1])], 5)
        first = await read(host, name, shard)
        await host.drain(name, [1], [("a", [1])], 5)
        known = segment_of(first)
        second = await read(host, name, shard, known)
        assert is_quiet(first, second, drained=True)
        uuid = (await host.telemetry()).collections[name].uuid or ""
        await alone.post(0, f"{path}/delete", key)
        await alone.settled(name, 0)
        assert await fill(2) == shard
        while (await read(host, name, shard)).number != (second.number or 0) + 1:
            await host.drain(name, [1], [("a", [1])], 5)
        again = await read(host, name, shard, known)
        assert doubt(second, again, drained=True) == "its segments were replaced"
        assert not is_unchanged(Parent(second=second, uuid=uuid), again, uuid)

    alone.run(check())


@pytest.mark.adversity("false evidence: an alias takes the name of a collection")
def test_a_collection_whose_name_an_alias_has_taken(alone: World) -> None:
    """Qdrant lists it, and describes the alias' target in its place: the view names it."""

    async def check() -> None:
        hidden, other = await filled(alone), await filled(alone)
        host, alias = alone.first, f"alias-of-{other}"
        create = {"alias_name": alias, "collection_name": other}
        await host.change_aliases([{"create_alias": create}])
        assert (await read_view(host, Selection())).hidden == ()
        rename = {"old_alias_name": alias, "new_alias_name": hidden}
        await host.change_aliases([{"rename_alias": rename}])
        view = await read_view(host, Selection())
        assert view.hidden == (hidden,)
        _, sick = choose_collections(view, BackupRequest(allow_missing=True))
        assert "alias" in sick[hidden]
        await host.change_aliases([{"delete_alias": {"alias_name": hidden}}])
        assert (await read_view(host, Selection())).hidden == ()

    alone.run(check())
