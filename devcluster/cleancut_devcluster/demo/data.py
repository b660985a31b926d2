"""Points that look like real ones, and the collection that holds them. Deterministic by seed.

Vectors are drawn around topics and normalised, as embeddings of texts are; payloads follow the
topic. All calls of qdrant-client go through `Data`, which maps its errors once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
import numpy.typing as npt
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from cleancut.core.primitives.errors import Refused, TimedOut, Unavailable
from cleancut.runtime.concurrency import run_all

COLLECTION = "articles"
ALIAS = "articles-live"
CATEGORIES = ("politics", "science", "sport", "music", "film", "travel", "health", "money")
BATCH = 500
PAGE = 1000
OPTIMIZED_S = 300.0
SETTLED_S = 6.0
CALL_S = 60

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """How much data there is, and how it is spread."""

    points: int = 30_000
    dims: int = 128
    shards: int = 6
    replicas: int = 1
    seed: int = 7
    segments: int = 8

    @property
    def indexing_kb(self) -> int:
        """Half of what a segment of a shard holds, so that each one gets an HNSW; Qdrant takes
        nothing under 100 for it, so tiny data gets none."""
        return max(100, min(10_000, self._shard_kb // 4))

    @property
    def indexed(self) -> bool:
        """Whether segments are large enough for an HNSW."""
        return self._shard_kb > 2 * self.indexing_kb

    @property
    def _shard_kb(self) -> int:
        return self.points * self.dims * 4 // 1024 // self.shards


def make_vectors(shape: Shape, start: int, count: int) -> Vectors:
    """Unit vectors of the points `start` to `start + count`, around 64 topics."""
    topics = np.random.default_rng(shape.seed).normal(size=(64, shape.dims))
    ids = np.arange(start, start + count)
    noise = np.random.default_rng([shape.seed, start]).normal(size=(count, shape.dims))
    raw = topics[_topics_of(ids)] + 0.6 * noise
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def make_payload(point: int) -> dict[str, Any]:
    """What a point says of itself; some categories are far more common than others."""
    topic = int(_topics_of(np.array([point]))[0])
    return {
        "title": f"Article {point} about {CATEGORIES[topic % 8]}",
        "category": CATEGORIES[topic % 8],
        "year": 1990 + (point * 31) % 35,
        "words": 120 + (point * 7919) % 4000,
        "tags": [f"t{topic}", f"t{(point * 13) % 97}"],
        "revision": 1,
    }


def _topics_of(ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    spread = (ids * 2654435761) % 4096
    topics: npt.NDArray[Any] = (spread * spread) // (4096 * 64)
    return topics


class Data:
    """The collection work of the demo, at one peer. `async with` closes its connections."""

    def __init__(
        self, url: str, shape: Shape, *, collection: str = COLLECTION, alias: str = ALIAS
    ) -> None:
        self.shape = shape
        self.collection, self.alias = collection, alias
        self.client = AsyncQdrantClient(url, timeout=CALL_S, check_compatibility=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.close()

    async def create(self) -> None:
        """An empty collection with payload indexes and an alias. Raises: Refused, Unavailable."""
        with client_errors():
            await self.client.create_collection(
                self.collection,
                vectors_config=models.VectorParams(
                    size=self.shape.dims, distance=models.Distance.COSINE
                ),
                shard_number=self.shape.shards,
                replication_factor=self.shape.replicas,
                optimizers_config=models.OptimizersConfigDiff(
                    indexing_threshold=100, default_segment_number=self.shape.segments
                ),
            )
            for field, kind in (
                ("category", models.PayloadSchemaType.KEYWORD),
                ("year", models.PayloadSchemaType.INTEGER),
                ("chain", models.PayloadSchemaType.INTEGER),
            ):
                await self.client.create_payload_index(
                    self.collection, field_name=field, field_schema=kind, wait=True
                )
            create = models.CreateAlias(collection_name=self.collection, alias_name=self.alias)
            await self.client.update_collection_aliases(
                [models.CreateAliasOperation(create_alias=create)]
            )

    async def load(self) -> None:
        """All points of the shape are acknowledged. Raises: Refused, Unavailable, TimedOut."""

        async def load_from(start: int) -> None:
            ids = range(start, min(start + BATCH, self.shape.points))
            vectors = make_vectors(self.shape, ids.start, len(ids))
            await self.upsert(ids, vectors, [make_payload(point) for point in ids])

        starts = range(0, self.shape.points, BATCH)
        await run_all([partial(load_from, start) for start in starts], at_once=3)

    async def upsert(
        self, ids: Sequence[int], vectors: Vectors, payloads: list[dict[str, Any]]
    ) -> None:
        """The points are applied. Raises: Refused, Unavailable, TimedOut."""
        batch = models.Batch(ids=list(ids), vectors=vectors.tolist(), payloads=payloads)
        with client_errors():
            await self.client.upsert(self.collection, batch, wait=True)

    async def delete(self, ids: Sequence[int]) -> None:
        """The points are gone. Raises: Refused, Unavailable, TimedOut."""
        with client_errors():
            await self.client.delete(
                self.collection, models.PointIdsList(points=list(ids)), wait=True
            )

    async def steps(self) -> dict[int, set[int]]:
        """The steps of each chain that the collection holds. Raises: as `delete`."""
        found: dict[int, set[int]] = {}
        match = models.FieldCondition(key="category", match=models.MatchValue(value="chain"))
        offset: Any = None
        while True:
            with client_errors():
                points, offset = await self.client.scroll(
                    self.collection,
                    scroll_filter=models.Filter(must=[match]),
                    limit=PAGE,
                    offset=offset,
                )
            for point in points:
                payload = point.payload or {}
                found.setdefault(int(payload["chain"]), set()).add(int(payload["step"]))
            if offset is None:
                return found

    async def change(self, share: float) -> int:
        """Writes `share` of the points again, spread over all; returns how many."""
        step = max(1, round(1 / share))
        ids = range(step // 2, self.shape.points, step)
        vectors = make_vectors(self.shape, 3_000_000_000, len(ids))
        payloads = [{**make_payload(point), "revision": 2} for point in ids]
        for at in range(0, len(ids), BATCH):
            part = slice(at, at + BATCH)
            await self.upsert(ids[part], vectors[part], payloads[part])
        return len(ids)

    async def wait_optimized(self) -> int:
        """Returns the number of indexed vectors once segments are built and at rest: nearly all
        are indexed, or nothing moves any more (small segments stay without an index).

        Limits: 300 s. Raises: TimedOut.
        """
        indexed, since_s = -1, time.monotonic()
        try:
            async with asyncio.timeout(OPTIMIZED_S):
                while True:
                    with client_errors():
                        info = await self.client.get_collection(self.collection)
                    before, indexed = indexed, info.indexed_vectors_count or 0
                    if info.status != models.CollectionStatus.GREEN or indexed != before:
                        since_s = time.monotonic()
                    elif self._built(indexed) or time.monotonic() - since_s > SETTLED_S:
                        return indexed
                    await asyncio.sleep(0.25)
        except TimeoutError as error:
            raise TimedOut(
                f"segments were not built within {OPTIMIZED_S:.0f} s", "see the logs of the peers"
            ) from error

    def _built(self, indexed: int) -> bool:
        return not self.shape.indexed or indexed >= 0.9 * self.shape.points


@contextmanager
def client_errors() -> Iterator[None]:
    """Errors of qdrant-client inside the block become ours."""
    try:
        yield
    except UnexpectedResponse as error:
        text = error.content.decode(errors="replace")[:300]
        raise Refused(f"Qdrant answered {error.status_code}: {text}") from error
    except ResponseHandlingException as error:
        if isinstance(error.source, httpx.TimeoutException):
            raise TimedOut("Qdrant did not answer in time") from error
        raise Unavailable(f"Qdrant cannot be reached: {error}", "is the peer running?") from error
