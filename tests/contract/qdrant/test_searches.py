"""Exact searches by a point's own vector: what canaries are made of."""

from __future__ import annotations

import math
import random
import uuid
from typing import Any

import pytest

from cleancut.core.primitives.errors import CleancutError
from tests.contract.qdrant.world import SIZE, World, points

WAIT_S = 10.0
MIXED = {
    "vectors": {
        "dense": {"size": SIZE, "distance": "Dot"},
        "far": {"size": SIZE, "distance": "Euclid"},
    },
    "sparse_vectors": {"words": {}},
}


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def expected(
    given: list[dict[str, Any]], point: int | str, limit: int
) -> list[tuple[int | str, float]]:
    """The true neighbours by cosine, the point itself first."""
    units = {one["id"]: [x / math.hypot(*one["vector"]) for x in one["vector"]] for one in given}
    query = units[point]
    ranked = sorted(((dot(query, unit), one) for one, unit in units.items()), reverse=True)
    return [(one, score) for score, one in ranked[:limit]]


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("quantized", [False, True])
def test_nearest_is_exact(world: World, replicas: int, quantized: bool) -> None:
    """The true neighbours over all shards at every peer alike, by
    original vectors, also where all replicas have to agree."""
    ids = [*range(1, 150), str(uuid.UUID(int=7))]
    given = points(ids)
    scalar = {"scalar": {"type": "int8", "always_ram": True}} if quantized else None

    async def check() -> None:
        name = await world.create(replicas=replicas, quantization_config=scalar)
        await world.upsert(name, given)
        for client in world.clients:
            for point in (1, str(uuid.UUID(int=7))):
                target = next(one["vector"] for one in given if one["id"] == point)
                hits = await client.nearest(
                    name,
                    target,
                    vector_name="",
                    limit=10,
                    timeout_s=WAIT_S,
                    all_replicas=replicas > 1,
                )
                wanted = expected(given, point, 10)
                assert [one for one, _ in hits] == [one for one, _ in wanted]
                assert [score for _, score in hits] == pytest.approx(
                    [s for _, s in wanted], rel=1e-5
                )

    world.run(check())


def test_each_vector_has_its_own_points(world: World) -> None:
    """Dense by name, by distance, and sparse; a point counts where it has the vector."""
    source = random.Random(3)

    def numbers() -> list[float]:
        return [source.gauss(0, 1) for _ in range(SIZE)]

    given: list[dict[str, Any]] = []
    for number in range(1, 31):
        vector: dict[str, Any] = {"dense": numbers()}
        if number > 10:
            vector["far"] = numbers()
        if number > 20:
            vector["words"] = {"indices": [1, number], "values": [1.0, number / 10]}
        given.append({"id": number, "vector": vector})

    async def check() -> None:
        name = await world.create(**MIXED)
        await world.upsert(name, given)
        for vector, first in (("dense", 1), ("far", 11), ("words", 21)):
            found = await world.first.points_with(name, vector, 3, timeout_s=WAIT_S)
            assert [one for one, _, _ in found] == [first, first + 1, first + 2]
            hits = await world.first.nearest(
                name, found[0][2], vector_name=vector, limit=5, timeout_s=WAIT_S
            )
            scores = [score for _, score in hits]
            assert len(scores) == 5
            assert scores == sorted(scores, reverse=vector != "far")
        vectors = {one["id"]: one["vector"] for one in given}
        target = vectors[1]["dense"]
        hits = await world.first.nearest(
            name, target, vector_name="dense", limit=1, timeout_s=WAIT_S
        )
        best = max(dot(target, vectors[n]["dense"]) for n in vectors)
        assert hits[0][1] == pytest.approx(best, rel=1e-5)
        with pytest.raises(CleancutError):
            await world.first.nearest(name, target, vector_name="words", limit=5, timeout_s=WAIT_S)

    world.run(check())


def test_a_shard_key_is_searched_alone(world: World) -> None:
    """The same ids under several keys: each sample says where it is, and its search stays there.
    Without a key, all keys answer."""

    async def check() -> None:
        name = await world.create(shards=1, sharding_method="custom")
        given = {key: points(range(1, 11), seed=number) for number, key in enumerate(("a", 7))}
        for key in given:
            await world.first.create_shard_key(name, {"shard_key": key, "shards_number": 1})
        await world.settled(name, 2)
        for key, some in given.items():
            await world.upsert(name, some, shard_key=key)
        found = await world.first.points_with(name, "", 4, timeout_s=WAIT_S)
        assert [one for one, _, _ in found] == [1, 2, 3, 4]  # equal ids are merged, whatever key
        for one, key, vector in found:
            assert key is not None
            hits = await world.first.nearest(
                name, vector, vector_name="", limit=10, timeout_s=WAIT_S, shard_key=key
            )
            assert hits[0][0] == one
            assert sorted(point for point, _ in hits) == list(range(1, 11))
        everywhere = await world.first.nearest(
            name, found[0][2], vector_name="", limit=20, timeout_s=WAIT_S
        )
        assert len(everywhere) == 20  # a search keeps equal ids apart

    world.run(check())


def test_an_empty_collection_has_no_samples(world: World) -> None:
    async def check() -> None:
        name = await world.create()
        assert await world.first.points_with(name, "", 3, timeout_s=WAIT_S) == ()

    world.run(check())
