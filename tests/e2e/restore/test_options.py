"""What a restore can be asked for, through the real command line against real processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from cleancut_devcluster.demo.data import ALIAS, COLLECTION
from tests.e2e.conftest import Launch
from tests.e2e.contents import client_of
from tests.e2e.restore.test_restore import drop, make_odd, odd_of, verdict
from tests.e2e.world import World, refused

KEYED = "tenants"
KEYS: dict[str | int, tuple[int, ...]] = {"acme": (1,), "pair": (3, 4), 7: (5,), "7": (6, 7)}
EACH = 120
REHEARSE = Path(__file__).parents[3] / "deploy" / "rehearse.sh"
REHEARSE_S = 120.0


def connect(world: World) -> AbstractAsyncContextManager[AsyncQdrantClient]:
    return client_of(world.setup.peers[0].url)


def restore(world: World, backup: str, *arguments: str) -> Any:
    return world.ok("restore", "restore", "start", backup, "--yes", *arguments)


def counts(world: World, *names: str) -> tuple[int, ...]:
    async def body() -> tuple[int, ...]:
        async with connect(world) as qdrant:
            found = [(await qdrant.count(name, exact=True)).count for name in names]
        return tuple(found)

    return world.run(body())


async def halve(world: World) -> None:
    """Half of the points are deleted, as by somebody's mistake."""
    async with connect(world) as qdrant:
        points = models.PointIdsList(points=list(range(0, world.shape.points, 2)))
        await qdrant.delete(COLLECTION, points, wait=True)


@pytest.fixture(scope="module")
def made(launch_module: Launch) -> tuple[World, str]:
    """A cluster that has lost half of the points, and the backup from before."""
    world = launch_module(peers=2, coordinators=1)
    world.fill()
    backup: str = world.back_up()["id"]
    world.run(halve(world))
    return world, backup


def test_rename_makes_another_collection(made: tuple[World, str]) -> None:
    world, backup = made
    whole = world.shape.points
    restore(world, backup, "--rename", f"{COLLECTION}=tomes")
    assert counts(world, "tomes", COLLECTION, ALIAS) == (whole, whole // 2, whole // 2)


def test_beside_needs_a_free_name(made: tuple[World, str]) -> None:
    """Published by an alias, next to what exists."""
    world, backup = made
    whole = world.shape.points
    refused(world.cleancut("restore", "start", backup, "--yes", "--beside"), 4, COLLECTION)
    beside = restore(world, backup, "--beside", "--rename", f"{COLLECTION}=fresh")
    (told,) = beside["collections"]
    assert (told["published_as"], told["created_as"]) == ("fresh", f"fresh@{beside['id']}")
    assert counts(world, "fresh", COLLECTION, ALIAS) == (whole, whole // 2, whole // 2)


def test_replace_keeps_the_old_data_until_it_is_cleaned_up(made: tuple[World, str]) -> None:
    world, backup = made
    whole = world.shape.points
    replaced = restore(world, backup, "--replace")
    (told,) = replaced["collections"]
    assert (told["name"], told["published_as"]) == (COLLECTION, ALIAS)
    assert (told["counts_equal"], told["schema_equal"]) == (True, True)
    assert told["keys_equal"] is None
    assert counts(world, ALIAS, COLLECTION) == (whole, whole // 2)
    (kept,) = world.ok("restore", "restore", "show", replaced["id"])["kept"]
    assert kept == {"collection": COLLECTION, "aliases": [ALIAS]}
    before = world.collections()
    for _ in range(2):
        cleaned = world.ok("restore", "restore", "clean", replaced["id"], "--yes")
        assert cleaned["kept"] == []
        assert world.collections() == [name for name in before if name != COLLECTION]
    assert counts(world, ALIAS) == (whole,)


def test_custom_shard_keys(launch: Launch) -> None:
    """Ids, points and routing come back: writing all points again adds none."""
    world = launch(peers=2, coordinators=1)
    world.run(make_keyed(world))
    made = world.back_up()["id"]
    kept = world.run(read_keyed(world))
    world.lose_all(2)
    (told,) = restore(world, made)["collections"]
    assert (told["counts_equal"], told["keys_equal"]) == (True, True)
    assert world.run(keys_of(world)) == KEYS
    assert world.run(read_keyed(world)) == kept
    world.run(write_keyed(world))
    assert counts(world, KEYED) == (len(KEYS) * EACH,)
    assert world.run(read_keyed(world)) == kept
    assert world.back_up()["evidence"]["consistency"] == "point-in-time"


def test_another_clusters_group_needs_nothing_but_the_store(launch: Launch) -> None:
    """Another name, another etcd that knows nothing: one collection of it by its id, and all of it
    by the script with which a disaster is rehearsed."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    world.run(make_odd(world))
    made, kept, odd = world.back_up(), world.answers(), world.run(odd_of(world))
    other = launch(peers=1, coordinators=1, store=world.setup.store_url, cluster="copy")
    start = ("restore", "start", "--yes", "--from-cluster")
    refused(other.cleancut(*start, "demo", "b-none"), 3, "b-none")
    refused(other.cleancut(*start, "nobody", made["id"]), 3, "nobody")
    restored = restore(other, made["id"], "--from-cluster", "demo", "--collection", COLLECTION)
    assert restored["backup_id"] == made["id"]
    assert other.collections() == [COLLECTION]
    assert verdict(other, kept) == []
    other.run(drop(other, COLLECTION))
    rehearse(other, "demo", world.setup.store_url)
    assert verdict(other, kept) == []
    assert other.run(odd_of(other)) == odd
    assert list((world.store / "demo" / "holds").rglob("*.json")) == []
    assert other.groups() == []


def rehearse(world: World, source: str, store: str) -> None:
    """`deploy/rehearse.sh` ends with PASS, and says when each of its steps began."""
    there = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CLEANCUT_COORDINATOR": world.setup.addresses,
    }
    ran = subprocess.run(
        ["sh", REHEARSE, source, store],
        env=os.environ | there,
        capture_output=True,
        text=True,
        timeout=REHEARSE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = re.findall(r"^ +\d+ s  (\w+)", ran.stdout, re.MULTILINE)
    assert len(steps) == 5, ran.stdout
    assert steps[-1] == "PASS"


# A collection with custom shard keys


async def make_keyed(world: World) -> None:
    """Keys of one and two shards, an integer and its text, and the gap that a key has left."""
    async with connect(world) as qdrant:
        await qdrant.create_collection(
            KEYED,
            vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT),
            sharding_method=models.ShardingMethod.CUSTOM,
            shard_number=1,
        )
        for key, shards in (("acme", 1), ("gone", 1), ("pair", 2), (7, 1), ("7", 2)):
            await qdrant.create_shard_key(KEYED, key, shards_number=shards)
        await qdrant.delete_shard_key(KEYED, "gone")
    assert await keys_of(world) == KEYS
    await write_keyed(world)


async def write_keyed(world: World) -> None:
    async with connect(world) as qdrant:
        for index, key in enumerate(KEYS):
            ids = range(index * EACH, (index + 1) * EACH)
            points = [
                models.PointStruct(id=n, vector=[n, 1.0, -n, 2.0], payload={"key": str(key)})
                for n in ids
            ]
            await qdrant.upsert(KEYED, points, wait=True, shard_key_selector=key)


async def read_keyed(world: World) -> list[Any]:
    """All points, each with what the search within its own key finds."""
    async with connect(world) as qdrant:
        found: list[Any] = []
        for key in KEYS:
            points, _ = await qdrant.scroll(KEYED, limit=1000, shard_key_selector=key)
            hits = await qdrant.query_points(
                KEYED, query=[1.0, 2.0, 3.0, 4.0], limit=10, shard_key_selector=key
            )
            found.append((sorted(str(p.id) for p in points), [hit.id for hit in hits.points]))
    return found


async def keys_of(world: World) -> dict[str | int, tuple[int, ...]]:
    async with world.setup.peers[0].client() as qdrant:
        return dict((await qdrant.placement(KEYED)).shard_keys())
