"""Direct captures of a real Qdrant, member by member equal to what it streams of the same state:
all kinds of vectors, quantization and payload indexes, and what is done to them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cleancut.core.capture.proof import SETTLED_NS
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.qdrant import PeerProcess, launch_peers, real_binary
from tests.chaos.capture_chain import Chain
from tests.support.segment_dirs import needs_proving_disk

COLLECTION = "variety"
POINTS, BATCH = 4000, 500
VECTORS: dict[str, dict[str, Any]] = {
    "scalar": {
        "size": 96,
        "distance": "Cosine",
        "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
    },
    "binary": {
        "size": 128,
        "distance": "Dot",
        "on_disk": True,
        "quantization_config": {"binary": {}},
    },
    "product": {
        "size": 32,
        "distance": "Euclid",
        "quantization_config": {"product": {"compression": "x16"}},
    },
    "half": {"size": 64, "distance": "Dot", "datatype": "float16", "on_disk": True},
    "bytes": {"size": 64, "distance": "Dot", "datatype": "uint8"},
    "multi": {
        "size": 16,
        "distance": "Dot",
        "multivector_config": {"comparator": "max_sim"},
    },
}
SPARSE: dict[str, dict[str, Any]] = {
    "words": {},
    "tokens": {"index": {"on_disk": True, "datatype": "float16"}},
}
INDEXES: dict[str, Any] = {
    "city": "keyword",
    "street": {"type": "keyword", "on_disk": True},
    "number": "integer",
    "rank": {"type": "integer", "on_disk": True},
    "weight": "float",
    "place": "geo",
    "text": {"type": "text", "on_disk": True},
    "open": "bool",
    "since": "datetime",
    "key": "uuid",
}


def point_of(number: int, seed: int) -> dict[str, Any]:
    choice = random.Random(f"{number}/{seed}")

    def dense(size: int) -> list[float]:
        return [round(choice.random(), 4) for _ in range(size)]

    vectors: dict[str, Any] = {
        name: dense(VECTORS[name]["size"]) for name in ("scalar", "binary", "product", "half")
    }
    vectors["bytes"] = [choice.randrange(256) for _ in range(64)]
    vectors["multi"] = [dense(16) for _ in range(choice.randrange(1, 4))]
    for name in SPARSE:
        indices = choice.sample(range(3000), 12)
        vectors[name] = {"indices": indices, "values": dense(12)}
    return {
        "id": number,
        "vector": vectors,
        "payload": {
            "city": f"city {choice.randrange(50)}",
            "street": f"street {number}",
            "number": choice.randrange(1000),
            "rank": number,
            "weight": choice.random(),
            "place": {"lon": choice.uniform(-90, 90), "lat": choice.uniform(-60, 60)},
            "text": " ".join(f"word{choice.randrange(500)}" for _ in range(12)),
            "open": bool(number % 3),
            "since": f"2026-01-{number % 28 + 1:02}T00:00:00Z",
            "key": f"00000000-0000-4000-8000-{number:012}",
        },
    }


class Collection:
    def __init__(self, peer: PeerProcess) -> None:
        self.peer = peer

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with httpx.AsyncClient(base_url=self.peer.url, timeout=300.0) as http:
            answer = await http.request(method, f"/collections/{COLLECTION}{path}", json=body)
            assert answer.status_code == 200, answer.text[:300]
            return answer.json()["result"]

    async def upsert(self, numbers: range, seed: int) -> None:
        for start in range(0, len(numbers), BATCH):
            points = [point_of(number, seed) for number in numbers[start : start + BATCH]]
            await self.call("PUT", "/points?wait=true", {"points": points})

    async def make(self) -> None:
        body = {
            "vectors": VECTORS,
            "sparse_vectors": SPARSE,
            "hnsw_config": {"m": 8, "ef_construct": 16},
            "optimizers_config": {"default_segment_number": 2, "indexing_threshold": 100},
        }
        await self.call("PUT", "", body)
        for name in INDEXES:
            await self.index(name)
        await self.upsert(range(POINTS), 0)

    async def index(self, name: str) -> None:
        body = {"field_name": name, "field_schema": INDEXES[name]}
        await self.call("PUT", "/index?wait=true", body)

    async def wait_quiet(self) -> None:
        async def green() -> bool | None:
            return (await self.call("GET", ""))["status"] == "green" or None

        await wait_for(green, "the collection is optimized", 300.0, 0.5)

    async def streamed(self) -> bytes:
        async with httpx.AsyncClient(base_url=self.peer.url, timeout=300.0) as http:
            return (await http.get(f"/collections/{COLLECTION}/shards/0/snapshot")).content


@asynccontextmanager
async def made(directory: Path) -> AsyncIterator[tuple[Collection, Chain]]:
    async with launch_peers(1, directory / "peers", "real") as (peer,):
        collection = Collection(peer)
        await collection.make()
        chain = Chain(peer, COLLECTION, directory, SETTLED_NS)
        try:
            yield collection, chain
        finally:
            await chain.close()


def content_of(tar: bytes) -> dict[str, str]:
    """The files of segments, their holes filled."""
    found: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        for one in opened:
            if one.isfile() and one.name.startswith("segments/"):
                file = opened.extractfile(one)
                assert file is not None
                found[one.name] = hashlib.blake2b(file.read()).hexdigest()
    return found


Change = Callable[[Collection], Awaitable[Any]]


async def nothing(_one: Collection) -> None:
    pass


async def upserts(one: Collection) -> None:
    await one.upsert(range(100, 200), 1)


async def payloads(one: Collection) -> None:
    body = {"payload": {"city": "other", "more": "x" * 500}, "points": list(range(300, 360))}
    await one.call("POST", "/points/payload?wait=true", body)
    await one.call("POST", "/points/payload/clear?wait=true", {"points": list(range(400, 430))})


async def vectors(one: Collection) -> None:
    body = {"points": list(range(500, 530)), "vector": ["half", "multi", "words"]}
    await one.call("POST", "/points/vectors/delete?wait=true", body)


async def deletes(one: Collection) -> None:
    await one.call("POST", "/points/delete?wait=true", {"points": list(range(600, 660))})


async def indexes(one: Collection) -> None:
    for name in ("street", "number", "text"):
        await one.call("DELETE", f"/index/{name}?wait=true")
        await one.index(name)


async def restart(one: Collection) -> None:
    await one.peer.stop()
    await one.peer.start()


async def crash(one: Collection) -> None:
    await one.upsert(range(700, 720), 2)
    await one.peer.kill()
    await one.peer.start()


CHANGES: tuple[Change, ...] = (
    nothing,
    upserts,
    payloads,
    vectors,
    deletes,
    indexes,
    restart,
    nothing,
    crash,
)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.skipif(real_binary() is None, reason="needs a real Qdrant")
def test_every_member_is_what_qdrant_streams(tmp_path: Path) -> None:
    needs_proving_disk(tmp_path)

    async def run() -> list[tuple[str, int, int, int]]:
        rows = []
        async with made(tmp_path) as (collection, chain):
            await collection.wait_quiet()
            await chain.capture()
            for change in CHANGES:
                await change(collection)
                await collection.wait_quiet()
                stored, _, _ = await chain.capture()
                tar = tmp_path / "shard.tar"
                await chain.write_tar(tar)
                ours, theirs = content_of(tar.read_bytes()), content_of(await collection.streamed())
                names = ours.keys() | theirs.keys()
                differing = sorted(one for one in names if ours.get(one) != theirs.get(one))
                assert not differing, f"after {change.__name__}: {differing[:5]}"
                sources = stored.sources
                direct, kept = (sources.direct_bytes, sources.kept_bytes) if sources else (0, 0)
                rows.append((change.__name__, len(ours), direct, kept))
        return rows

    rows = asyncio.run(run())
    assert any(kept for _, _, _, kept in rows)
    assert any(direct for _, _, direct, _ in rows)
