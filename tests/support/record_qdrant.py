"""Recorder of a real Qdrant's answers and tars, which tests of the stand-in and the adapter read.

    QDRANT_BIN=... python -m tests.support.record_qdrant tests/data/qdrant-VERSION

Two peers hold collection `docs` in two shards; `t0` is its first state, `t1` the one after updates,
deletes and an optimization.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from cleancut_devcluster.launch.qdrant import PeerProcess, launch_peers, wait_until

NAME, POINTS, DIMENSIONS, QUERIES, TAGS = "docs", 600, 32, 5, 20
WAIT_S = 60
CONFIG = {
    "vectors": {"size": DIMENSIONS, "distance": "Cosine"},
    "shard_number": 2,
    "replication_factor": 1,
    "on_disk_payload": True,
    "hnsw_config": {"m": 8, "ef_construct": 32},
    "optimizers_config": {"default_segment_number": 1, "indexing_threshold": 20},
    "wal_config": {"wal_capacity_mb": 4, "wal_segments_ahead": 0},
}


class Recorder:
    """The peers, the requests, and where the answers go."""

    def __init__(
        self, session: aiohttp.ClientSession, peers: list[PeerProcess], folder: Path
    ) -> None:
        self._session, self._peers, self._folder = session, peers, folder
        self._source = random.Random(7)

    async def call(self, method: str, path: str, body: Any = None, peer: int = 0) -> Any:
        url = self._peers[peer].url + path
        async with self._session.request(method, url, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def run(self) -> None:
        base = f"/collections/{NAME}"
        await self.call("PUT", base, CONFIG)
        await self.call(
            "PUT", f"{base}/index?wait=true", {"field_name": "tag", "field_schema": "keyword"}
        )
        alias = {"create_alias": {"collection_name": NAME, "alias_name": f"{NAME}_live"}}
        await self.call("POST", "/collections/aliases", {"actions": [alias]})
        await self._upsert(range(POINTS))
        queries = [self._vector() for _ in range(QUERIES)]
        await self._record("t0", queries)
        await self._upsert(range(5, 35))
        gone = {"points": [1, 2, POINTS - 1]}
        await self.call("POST", f"{base}/points/delete?wait=true", gone)
        await self._record("t1", queries)

    async def _upsert(self, ids: range) -> None:
        points = [
            {"id": one, "vector": self._vector(), "payload": {"tag": f"t{one % TAGS}", "n": one}}
            for one in ids
        ]
        for at in range(0, len(points), 100):
            body = {"points": points[at : at + 100]}
            await self.call("PUT", f"/collections/{NAME}/points?wait=true", body)

    def _vector(self) -> list[float]:
        return [round(self._source.gauss(0, 1), 4) for _ in range(DIMENSIONS)]

    async def _record(self, moment: str, queries: list[list[float]]) -> None:
        base, peers = f"/collections/{NAME}", range(len(self._peers))

        async def green() -> bool:
            return (await self.call("GET", base))["result"]["status"] == "green"

        await wait_until(green, WAIT_S, f"{NAME} is optimized")
        tagged = {"filter": {"must": [{"key": "tag", "match": {"value": "t7"}}]}, "exact": True}
        answers = {
            "aliases": await self.call("GET", f"{base}/aliases"),
            "cluster": [await self.call("GET", f"{base}/cluster", peer=at) for at in peers],
            "collection": await self.call("GET", base),
            "counts": {},
            "queries": [await self._top10(one) for one in queries],
            "raft": [await self.call("GET", "/cluster", peer=at) for at in peers],
            "t7": await self.call("POST", f"{base}/points/count", tagged),
            "telemetry_3": [
                await self.call("GET", "/telemetry?details_level=3", peer=at) for at in peers
            ],
        }
        for at in peers:
            for local in answers["cluster"][at]["result"]["local_shards"]:
                shard = local["shard_id"]
                counted = f"{base}/shards/{shard}/points/count"
                found = await self.call("POST", counted, {"exact": True}, at)
                answers["counts"][str(shard)] = found
                await self._stream(moment, at, shard)
        text = json.dumps(answers, indent=1, sort_keys=True)
        (self._folder / f"{moment}.json").write_text(text + "\n")

    async def _top10(self, vector: list[float]) -> dict[str, Any]:
        body = {"query": vector, "limit": 10, "params": {"exact": True}}
        found = await self.call("POST", f"/collections/{NAME}/points/query", body)
        return {"vector": vector, "top10": [one["id"] for one in found["result"]["points"]]}

    async def _stream(self, moment: str, peer: int, shard: int) -> None:
        url = f"{self._peers[peer].url}/collections/{NAME}/shards/{shard}/snapshot"
        async with self._session.get(url) as response:
            response.raise_for_status()
            tar = await response.read()
        path = self._folder / f"{moment}-shard{shard}.tar.gz"
        path.write_bytes(gzip.compress(tar, mtime=0))


async def record(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="record-") as scratch:
        async with (
            launch_peers(2, Path(scratch), "real") as peers,
            aiohttp.ClientSession() as session,
        ):
            await Recorder(session, peers, folder).run()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    asyncio.run(record(target))
