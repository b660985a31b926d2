"""Custom shard keys come back with the ids that decide where their points live; and shards go
where there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.protocol.effect_requests import Drain
from cleancut.core.restore.participant import Verify
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.e2e.restore.attempt import DIMS, EPOCH, POINTS, Attempt

NAME = "tenants"
KEYS: dict[str | int, tuple[int, ...]] = {"a": (1,), "pair": (4, 5), 7: (6,), "7": (8, 9)}
EACH = 300


@pytest.fixture
def attempt(pair: list[PeerProcess], runner: asyncio.Runner, tmp_path: Path) -> Iterator[Attempt]:
    """An empty cluster; a single test makes its group."""

    async def clean() -> None:
        for name in await one.clients[0].collections():
            await one.clients[0].delete_collection(name)

    one = Attempt(runner, pair, tmp_path)
    one.run(clean())
    yield one
    one.run(clean())
    one.run(one.close())


async def make_keyed_group(attempt: Attempt) -> None:
    """Keys of one and two shards, an integer and its text, and the gaps that two keys have left."""
    qdrant = attempt.clients[0]
    vectors = {"size": DIMS, "distance": "Dot"}
    body = {"vectors": vectors, "sharding_method": "custom", "shard_number": 1}
    await qdrant.create_collection(NAME, body)
    await qdrant.create_index(NAME, "number", "integer")
    for key, shards in (("a", 1), ("gone", 2), ("pair", 2), (7, 1), ("left", 1), ("7", 2)):
        await qdrant.create_shard_key(NAME, {"shard_key": key, "shards_number": shards})
    for key in ("gone", "left"):
        await qdrant.delete_shard_key(NAME, key)
    assert await keys(attempt) == KEYS
    await write_all(attempt)
    await attempt.capture(NAME)
    await qdrant.delete_collection(NAME)


async def write_all(attempt: Attempt) -> None:
    for number, key in enumerate(KEYS):
        await attempt.upsert(NAME, range(number * EACH, (number + 1) * EACH), key)


async def keys(attempt: Attempt) -> dict[str | int, tuple[int, ...]]:
    return dict((await attempt.clients[0].placement(NAME)).shard_keys())


def test_keys_come_back_with_their_ids(attempt: Attempt) -> None:
    """Gaps and all; every point is where writes look for it, so that writing all ids again adds
    none; drains reach every key."""

    async def body() -> None:
        await make_keyed_group(attempt)
        await attempt.begin_as()
        tasks = await attempt.create()
        assert await keys(attempt) == KEYS
        assert await attempt.create() == tasks
        await attempt.recover(tasks)
        await attempt.coordinator.run(Drain(EPOCH, attempt.draft, 1))
        report = await attempt.review(tasks)
        (told,) = report.collections
        assert (told.counts_equal, told.keys_equal, told.schema_equal) == (True, True, True)
        assert all(shard.searched == ("",) for shard in report.shards)
        await attempt.reveal()
        assert await attempt.count(NAME) == len(KEYS) * EACH
        await write_all(attempt)
        assert await attempt.count(NAME) == len(KEYS) * EACH

    attempt.run(body())


@pytest.mark.parametrize("there", [1, 2, 3, 5])
def test_keys_that_a_dead_leader_has_made_are_gone_on_with(attempt: Attempt, there: int) -> None:
    """It died after some keys or fillers: the next one makes the others only."""

    async def body() -> None:
        await make_keyed_group(attempt)
        await attempt.begin_as()
        await attempt.create()
        fillers = ("a", 1), ("cleancut-filler-2", 2), ("pair", 2), (7, 1), ("cleancut-filler-7", 1)
        for key in KEYS:
            await attempt.clients[0].delete_shard_key(NAME, key)
        for key, shards in fillers[:there]:
            await attempt.clients[0].create_shard_key(
                NAME, {"shard_key": key, "shards_number": shards}
            )
        tasks = await attempt.create()
        assert await keys(attempt) == KEYS
        assert sorted(task.shard_id for task in tasks) == [1, 4, 5, 6, 8, 9]

    attempt.run(body())


def test_a_key_of_somebody_else_fails_the_restore(attempt: Attempt) -> None:
    """Wrong ids would look right until the first write."""

    async def body() -> None:
        await make_keyed_group(attempt)
        await attempt.begin_as()
        await attempt.create()
        for key in KEYS:
            await attempt.clients[0].delete_shard_key(NAME, key)
        await attempt.clients[0].create_shard_key(NAME, {"shard_key": "pair", "shards_number": 2})
        with pytest.raises(Refused, match=r"shard key 'pair' got the shards \[1, 2\]"):
            await attempt.create()
        await attempt.undo()
        assert await attempt.clients[0].collections() == []

    attempt.run(body())


def test_points_under_wrong_ids_are_found(attempt: Attempt) -> None:
    """The count alone would look right; routing tells."""

    async def body() -> None:
        await make_keyed_group(attempt)
        await attempt.begin_as()
        tasks = {task.shard_id: task for task in await attempt.create()}
        one, other = tasks[4], tasks[5]
        wrong = replace(one, shard_id=other.shard_id, peer_id=other.peer_id)
        await attempt.recover([wrong])
        with pytest.raises(Corrupt, match="belong into another shard"):
            await attempt.as_agent(wrong.peer_id, Verify(EPOCH, (wrong,), "t"))

    attempt.run(body())


def test_empty_shards_move_to_where_there_is_room(attempt: Attempt) -> None:
    """Qdrant spreads two shards over two peers, and only one of those has room."""

    async def body() -> None:
        await attempt.make_group("docs")
        await attempt.begin_as()
        roomy, full = [(await client.cluster()).peer_id for client in attempt.clients]
        attempt.free = {roomy: 10**9, full: 1000}
        tasks = await attempt.create()
        assert {task.peer_id for task in tasks} == {roomy}
        await attempt.recover(tasks)
        assert await attempt.count("docs") == POINTS
        assert [r.peer_id for r in (await attempt.clients[1].placement("docs")).shards] == [
            roomy,
            roomy,
        ]

    attempt.run(body())


def test_where_there_is_no_room_nothing_is_left(attempt: Attempt) -> None:
    async def body() -> None:
        await attempt.make_group("docs")
        await attempt.begin_as()
        attempt.free = {(await client.cluster()).peer_id: 1000 for client in attempt.clients}
        with pytest.raises(Refused, match="cannot be spread"):
            await attempt.create()
        await attempt.undo()
        assert await attempt.clients[0].collections() == []

    attempt.run(body())
