"""One real Qdrant peer with one collection: loaded, changed, at rest. Deterministic but for the
peer's own optimizers.

Points go in by gRPC: JSON would take most of the time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
from qdrant_client import grpc as api

from cleancut.core.capture.proof import SETTLED_NS
from cleancut.core.primitives.errors import TimedOut
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import run_all
from cleancut_devcluster.launch.qdrant import PeerProcess

BATCH = 500
AT_ONCE = 4
REST_S = 3600.0
"""The longest that optimizers may take: a graph of 4 GB on two cores."""
STILL_S = 3.0
FLUSH_S = 5.0
"""Qdrant flushes a shard so often, and moves the times of files then."""
SETTLE_S = FLUSH_S + SETTLED_NS / 1e9 + 1
SNAPSHOT_S = 1800.0
CALL_S = 600.0
_MESSAGE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Size:
    """How much data there is."""

    points: int
    dims: int
    shards: int = 1

    @property
    def vector_bytes(self) -> int:
        return self.points * self.dims * 4

    @property
    def indexing_kb(self) -> int:
        """A threshold that each segment exceeds at first; Qdrant takes nothing under 100."""
        return max(100, min(10_000, self.vector_bytes // 1024 // self.shards // 8))


def points_of(size_bytes: int, dims: int) -> int:
    """As many as take about `size_bytes` on the disk."""
    return max(1, size_bytes // (dims * 4 + _OVERHEAD_BYTES))


_OVERHEAD_BYTES = 460
"""Graph, ids and payload of a point."""


@dataclass(slots=True)
class LiveCollection:
    """A collection of `peer`. `ids`: of all points that it holds."""

    peer: PeerProcess
    qdrant: Qdrant
    http: httpx.AsyncClient
    points: Any
    name: str
    size: Size
    ids: list[int] = field(default_factory=list)
    _next: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(7))
    _numpy: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    @property
    def shards(self) -> range:
        return range(self.size.shards)

    async def fill(self) -> None:
        """The collection holds all points, and its optimizers rest."""
        size = self.size
        config = {
            "vectors": {"size": size.dims, "distance": "Cosine"},
            "shard_number": size.shards,
            "hnsw_config": {"m": 8, "ef_construct": 32, "full_scan_threshold": 10_000},
            "optimizers_config": {"indexing_threshold": 0, "default_segment_number": 2},
        }
        await self.qdrant.create_collection(self.name, config)
        await self.qdrant.create_index(self.name, "tag", "keyword")
        await self.qdrant.create_index(self.name, "number", "integer")
        await self.append(size.points)
        threshold = {"optimizers_config": {"indexing_threshold": size.indexing_kb}}
        await self.qdrant.patch_collection(self.name, threshold)
        await self.rest()

    async def append(self, count: int) -> None:
        ids = list(range(self._next, self._next + count))
        self._next += count
        await self._upsert(ids)
        self.ids += ids

    async def update(self, count: int) -> None:
        """New vectors for points spread at random."""
        await self._upsert(self._some(count))

    async def delete(self, count: int) -> None:
        gone = self._some(count)
        await self._each_batch(gone, self._delete)
        self.ids = sorted(set(self.ids) - set(gone))

    async def set_payload(self, count: int) -> None:
        await self._each_batch(self._some(count), self._set_payload)

    async def move(self) -> None:
        """The shard's numbers move, and its data stays: a point that is not there is deleted."""
        await self._delete([2**62])

    async def rest(self) -> None:
        """Returns once optimizers have been at rest for some seconds. Raises: TimedOut."""
        since_s = time.monotonic()
        deadline_s = since_s + REST_S
        while time.monotonic() - since_s < STILL_S:
            info = await self.qdrant.collection(self.name)
            if info["status"] != "green":
                since_s = time.monotonic()
            if since_s > deadline_s:
                raise TimedOut(f"optimizers of {self.name} do not rest within {REST_S:.0f} s")
            await asyncio.sleep(0.2)

    async def settle(self) -> None:
        """Optimizers rest, and the times of all files lie far enough back."""
        await self.rest()
        await asyncio.sleep(SETTLE_S)

    async def snapshot(self, shard: int) -> Path:
        """The file of Qdrant's own snapshot of one shard."""
        answer = await self.http.post(f"{self._snapshots(shard)}?wait=true", timeout=SNAPSHOT_S)
        name = answer.raise_for_status().json()["result"]["name"]
        (found,) = (self.peer.directory / "snapshots").rglob(name)
        return found

    async def drop_snapshot(self, shard: int, file: Path) -> None:
        answer = await self.http.delete(f"{self._snapshots(shard)}/{file.name}?wait=true")
        answer.raise_for_status()

    def stream_url(self, shard: int) -> str:
        return f"{self.peer.url}/collections/{self.name}/shards/{shard}/snapshot"

    def _snapshots(self, shard: int) -> str:
        return f"{self.peer.url}/collections/{self.name}/shards/{shard}/snapshots"

    def _some(self, count: int) -> list[int]:
        return self._random.sample(self.ids, max(1, min(count, len(self.ids))))

    async def _each_batch(self, ids: Sequence[int], act: Any) -> None:
        batches = [ids[at : at + BATCH] for at in range(0, len(ids), BATCH)]
        await run_all([partial(act, batch) for batch in batches], AT_ONCE)

    async def _upsert(self, ids: Sequence[int]) -> None:
        await self._each_batch(ids, self._upsert_batch)

    async def _upsert_batch(self, ids: Sequence[int]) -> None:
        vectors = self._numpy.normal(size=(len(ids), self.size.dims)).astype("f4").tolist()
        made = [
            api.PointStruct(
                id=api.PointId(num=point),
                vectors=api.Vectors(vector=api.Vector(dense=api.DenseVector(data=vector))),
                payload={
                    "tag": api.Value(string_value=f"t{point % 100}"),
                    "number": api.Value(integer_value=point % 10_007),
                    "text": api.Value(string_value=f"document number {point} " * 4),
                },
            )
            for point, vector in zip(ids, vectors, strict=True)
        ]
        request = api.UpsertPoints(collection_name=self.name, wait=True, points=made)
        await self.points.Upsert(request, timeout=CALL_S)

    async def _delete(self, ids: Sequence[int]) -> None:
        request = api.DeletePoints(collection_name=self.name, wait=True, points=_selected(ids))
        await self.points.Delete(request, timeout=CALL_S)

    async def _set_payload(self, ids: Sequence[int]) -> None:
        request = api.SetPayloadPoints(
            collection_name=self.name,
            wait=True,
            payload={"tag": api.Value(string_value=f"s{ids[0] % 100}")},
            points_selector=_selected(ids),
        )
        await self.points.SetPayload(request, timeout=CALL_S)


def _selected(ids: Sequence[int]) -> Any:
    points = [api.PointId(num=point) for point in ids]
    return api.PointsSelector(points=api.PointsIdsList(ids=points))


@asynccontextmanager
async def live_collection(
    peer: PeerProcess, name: str, size: Size
) -> AsyncIterator[LiveCollection]:
    """A filled collection; dropped at the end of the block."""
    options = [
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ]
    address = f"127.0.0.1:{peer.ports[1]}"
    async with (
        peer.client() as qdrant,
        httpx.AsyncClient(timeout=CALL_S) as http,
        grpc.aio.insecure_channel(address, options=options) as channel,
    ):
        points = api.PointsStub(channel)  # type: ignore[no-untyped-call]
        live = LiveCollection(peer, qdrant, http, points, name, size)
        try:
            await live.fill()
            yield live
        finally:
            if peer.running:
                await qdrant.delete_collection(name)
