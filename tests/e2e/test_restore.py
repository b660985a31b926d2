"""A group comes back after total loss, onto as many peers as there are, and is the same data."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from devcluster.demo_compare import compare
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

ODD = "Ünï côde (1)"
MATRIX = [(3, 2, 1), (2, 2, 2), (2, 3, 2)]
if os.environ.get("CLEANCUT_WHOLE_MATRIX"):
    MATRIX += [(3, 3, 1), (3, 4, 1), (3, 4, 2), (1, 3, 1), (3, 1, 1), (4, 2, 2)]


def verdict(world: World, kept: Any) -> list[str]:
    """What differs, in words; nothing may."""
    return [
        f"{one.what}: {one.kept} {one.restored}"
        for one in compare(kept, world.answers())
        if not one.equal
    ]


@pytest.mark.parametrize(("before", "after", "replicas"), MATRIX)
def test_restore_after_total_loss(launch: Launch, before: int, after: int, replicas: int) -> None:
    """Counts, payloads, filters, indexes, aliases and exact searches are equal, every shard is
    proven equal by its count, and the cluster can be written to and backed up again."""
    world = launch(peers=before, coordinators=1)
    world.shape = replace(world.shape, replicas=replicas)
    world.fill()
    world.run(add_odd(world))
    made = world.back_up()
    assert made["evidence"]["grade"] == "quiet"
    kept, odd = world.answers(), world.run(read_odd(world))
    world.lose_all(after)
    assert world.collections() == []
    plan = world.ok("plan", "restore", "plan", made["id"])
    assert plan["obstacles"] == []
    assert {one["name"] for one in plan["collections"]} == {"articles", ODD}
    restored = world.ok("restore", "restore", "start", made["id"], "--yes")
    assert restored["state"] == "DONE"
    assert all(one["counts_equal"] and one["replicas_active"] for one in restored["collections"])
    assert verdict(world, kept) == []
    assert world.run(read_odd(world)) == odd
    world.run(change(world))
    again = world.back_up()
    assert again["evidence"]["grade"] == "quiet"
    assert again["epoch"] > made["epoch"]


def test_restore_of_a_single_qdrant(launch: Launch) -> None:
    """Without cluster mode the same commands do the same."""
    world = launch(peers=1, coordinators=1, standalone=True)
    world.fill()
    made = world.back_up()
    kept = world.answers()
    world.lose_all(1)
    world.ok("restore", "restore", "start", made["id"], "--yes")
    assert verdict(world, kept) == []


def test_restore_of_one_collection_refuses_what_exists(launch: Launch) -> None:
    """A name in use is refused before anything is touched; the free one alone comes back."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    world.run(add_odd(world))
    made, odd = world.back_up(), world.run(read_odd(world))
    refused(world.cleancut("restore", "start", made["id"], "--yes"), 4, "articles", "exist")
    kept = world.answers()
    world.run(drop(world, ODD))
    chosen = ("--collection", ODD)
    world.ok("restore", "restore", "start", made["id"], "--yes", *chosen)
    assert world.run(read_odd(world)) == odd
    assert verdict(world, kept) == []


def test_restore_needs_a_yes_and_a_backup(launch: Launch) -> None:
    """Usage, an unknown id, and a coordinator that is not there have codes of their own."""
    world = launch(peers=1, coordinators=1)
    assert world.cleancut("restore", "start", "1").exit_code == 2
    refused(world.cleancut("restore", "start", "b-none", "--yes"), 3, "b-none")
    refused(world.cleancut("backup", "show", "b-none"), 3, "b-none")
    refused(world.cleancut("backup", "create"), 4, "--allow-empty")
    assert world.groups() == []
    refused(world.bare("--coordinator", "127.0.0.1:1", "cluster", "status"), 7, "127.0.0.1:1")


def client(world: World) -> AsyncQdrantClient:
    return AsyncQdrantClient(world.setup.peers[0].url, check_compatibility=False, timeout=30)


async def add_odd(world: World) -> None:
    """A second collection: a name that needs encoding, named and sparse vectors, uuids as ids."""
    qdrant = client(world)
    await qdrant.create_collection(
        ODD,
        vectors_config={"a b": models.VectorParams(size=4, distance=models.Distance.EUCLID)},
        sparse_vectors_config={"words": models.SparseVectorParams()},
        shard_number=2,
        replication_factor=world.shape.replicas,
    )
    points = [
        models.PointStruct(
            id=f"00000000-0000-4000-8000-{number:012d}",
            vector={
                "a b": [number, 1.0, -number, 0.5],
                "words": models.SparseVector(indices=[number, number + 7], values=[1.0, 0.5]),
            },
            payload={"größe": number, "nested": {"π": [number, None, True]}},
        )
        for number in range(100)
    ]
    await qdrant.upsert(ODD, points, wait=True)
    await qdrant.close()


async def read_odd(world: World) -> list[Any]:
    """Everything in it, in an order that does not depend on shards."""
    qdrant = client(world)
    points, _ = await qdrant.scroll(ODD, limit=1000, with_vectors=True)
    await qdrant.close()
    return sorted((point.model_dump() for point in points), key=lambda point: str(point["id"]))


async def change(world: World) -> None:
    """A write that must find its point's shard again."""
    qdrant = client(world)
    before = (await qdrant.count(ODD, exact=True)).count
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(100)]
    await qdrant.set_payload(ODD, {"seen": True}, points=ids, wait=True)
    await qdrant.delete(ODD, models.PointIdsList(points=ids[:10]), wait=True)
    assert (await qdrant.count(ODD, exact=True)).count == before - 10
    await qdrant.close()


async def drop(world: World, name: str) -> None:
    qdrant = client(world)
    await qdrant.delete_collection(name)
    await qdrant.close()
