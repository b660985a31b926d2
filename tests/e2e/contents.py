"""Collections of all kinds that a restore must bring back, and everything that one holds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from cleancut.qdrant.responses import ShardKey

ODD = "Ünï côde (1)"
KEYED = "keyed"
GONE_KEY = "gone"
KEYS: tuple[tuple[str | int, int], ...] = (("eu", 2), (GONE_KEY, 1), (7, 1), ("7", 1))
"""With their shards, in the order of their creation; `GONE_KEY` is deleted again."""
QUERIES = 5
TOP = 10
BATCH = 500
MARK = "again"

Hits = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """`counts` by shard key. `points`: sha256 over all ids, payloads and vectors. `top`: exact
    searches over everything, for each vector."""

    counts: dict[str, int]
    points: str
    top: tuple[Hits, ...]
    indexes: tuple[str, ...]


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(url, check_compatibility=False, timeout=60)
    try:
        yield client
    finally:
        await client.close()


async def add_odd(client: AsyncQdrantClient, replicas: int, name: str = ODD) -> None:
    """A name that needs encoding, named and sparse vectors, uuids as ids, nested payloads."""
    await client.create_collection(
        name,
        vectors_config={"a b": models.VectorParams(size=4, distance=models.Distance.EUCLID)},
        sparse_vectors_config={"words": models.SparseVectorParams()},
        shard_number=2,
        replication_factor=replicas,
    )
    points = [
        models.PointStruct(
            id=f"00000000-0000-4000-8000-{number:012d}",
            vector={
                "a b": [number, 1.0, -0.01 * number * number, 0.5],
                "words": models.SparseVector(indices=[number, number + 7], values=[1.0, 0.5]),
            },
            payload={"größe": number, "nested": {"π": [number, None, True]}},
        )
        for number in range(100)
    ]
    await client.upsert(name, points, wait=True)


async def add_keyed(client: AsyncQdrantClient, replicas: int) -> None:
    """Custom sharding: text and number as keys, one of two shards, and ids that are missing."""
    seeded = random.Random(11)
    await client.create_collection(
        KEYED,
        vectors_config=models.VectorParams(size=8, distance=models.Distance.DOT),
        shard_number=1,
        replication_factor=replicas,
        sharding_method=models.ShardingMethod.CUSTOM,
    )
    await client.create_payload_index(KEYED, "number", models.PayloadSchemaType.INTEGER, wait=True)
    for at, (key, shards) in enumerate(KEYS):
        await client.create_shard_key(KEYED, key, shards_number=shards)
        points = []
        for number in range(at * 300, at * 300 + 300):
            vector = [seeded.random() for _ in range(8)]
            points.append(models.PointStruct(id=number, vector=vector, payload={"number": number}))
        await client.upsert(KEYED, points, wait=True, shard_key_selector=key)
    await client.delete_shard_key(KEYED, GONE_KEY)


async def read_contents(
    client: AsyncQdrantClient, name: str, keys: Sequence[ShardKey] = ()
) -> Contents:
    """Everything in it, in an order that does not depend on shards."""
    counts, everything = {}, []
    for key in keys or (None,):
        points = await _points(client, name, key)
        counts[repr(key)] = len(points)
        everything += points
    told = sorted((point.model_dump(mode="json") for point in everything), key=_id)
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    info = await client.get_collection(name)
    samples = sorted(everything, key=lambda point: str(point.id))[:QUERIES]
    return Contents(
        counts=counts,
        points=digest,
        top=tuple([hits for point in samples for hits in await _top(client, name, point)]),
        indexes=tuple(sorted(info.payload_schema)),
    )


def _id(point: dict[str, Any]) -> str:
    return str(point["id"])


async def _points(client: AsyncQdrantClient, name: str, key: ShardKey) -> list[models.Record]:
    """All points of one key, each as often as Qdrant tells it."""
    found: list[models.Record] = []
    offset = None
    while True:
        page, offset = await client.scroll(
            name, limit=BATCH, offset=offset, with_vectors=True, shard_key_selector=key
        )
        found += page
        if offset is None:
            return found


async def _top(client: AsyncQdrantClient, name: str, point: models.Record) -> list[Hits]:
    """Ids and rounded scores nearest to the point, for each of its vectors; ties by id."""
    vectors = point.vector if isinstance(point.vector, dict) else {"": point.vector}
    lists = []
    for using, vector in sorted(vectors.items()):
        answer = await client.query_points(
            name,
            query=vector,
            using=using or None,
            limit=TOP,
            search_params=models.SearchParams(exact=True),
            with_payload=False,
        )
        hits = [(str(hit.id), round(hit.score, 4)) for hit in answer.points]
        lists.append(tuple(sorted(hits, key=lambda hit: (-hit[1], hit[0]))))
    return lists


async def write_again(
    client: AsyncQdrantClient, name: str, keys: Sequence[ShardKey] = ()
) -> list[str]:
    """Upserts every point that is there once more, with a mark; what went wrong: a point that a
    shard of another number took is there twice, or its old copy stays without the mark."""
    wrong, marked = [], 0
    condition = models.Filter(
        must=[models.FieldCondition(key=MARK, match=models.MatchValue(value=True))]
    )
    for key in keys or (None,):
        points = await _points(client, name, key)
        for at in range(0, len(points), BATCH):
            again = [
                models.PointStruct(
                    id=point.id, vector=point.vector, payload={**(point.payload or {}), MARK: True}
                )
                for point in points[at : at + BATCH]
            ]
            await client.upsert(name, again, wait=True, shard_key_selector=key)
        now = (await client.count(name, exact=True, shard_key_selector=key)).count
        marked = (
            await client.count(name, count_filter=condition, exact=True, shard_key_selector=key)
        ).count
        if not len(points) == now == marked:
            wrong.append(
                f"{name} {key}: {len(points)} points, written again {now}, {marked} of them marked"
            )
    return wrong
