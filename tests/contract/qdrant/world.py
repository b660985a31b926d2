"""A running cluster of either kind, and what the tests do with it again and again."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from cleancut.qdrant.client import Qdrant
from cleancut_devcluster.launch.qdrant import PeerProcess, wait_until

T = TypeVar("T")
LIMIT_S = 60.0
SIZE = 16
_NAMES = itertools.count(1)


class World:
    """Three peers of one kind, and an adapter for each, all on one event loop."""

    def __init__(self, runner: asyncio.Runner, peers: list[PeerProcess]) -> None:
        self._runner = runner
        self.peers = peers
        self.clients = [peer.client() for peer in peers]

    @property
    def kind(self) -> str:
        return self.peers[0].plan.kind

    @property
    def first(self) -> Qdrant:
        return self.clients[0]

    def run(self, check: Coroutine[Any, Any, T]) -> T:
        """What `check` returns; a test that hangs fails."""

        async def bounded() -> T:
            async with asyncio.timeout(LIMIT_S):
                return await check

        return self._runner.run(bounded())

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    async def create(self, shards: int = 2, replicas: int = 1, **body: Any) -> str:
        """The name of a new collection that every peer knows, its replicas all active."""
        name = f"c{next(_NAMES)}"
        config = {
            "vectors": {"size": SIZE, "distance": "Cosine"},
            "shard_number": shards,
            "replication_factor": replicas,
        }
        await self.first.create_collection(name, config | body)
        expected = 0 if body.get("sharding_method") == "custom" else shards * replicas
        await self.settled(name, expected)
        return name

    async def settled(self, name: str, replicas: int) -> None:
        """Every running peer sees so many replicas, all active, and no transfer."""

        async def settled() -> bool:
            for client, peer in zip(self.clients, self.peers, strict=True):
                if not peer.running:
                    continue
                if name not in await client.collections():
                    return False
                placement = await client.placement(name)
                states = [replica.state for replica in placement.shards]
                if states != ["Active"] * replicas or placement.transfers:
                    return False
            return True

        await wait_until(settled, 30, f"{replicas} replicas of {name} are active")

    async def post(self, peer: int, path: str, body: Any, method: str = "POST") -> Any:
        """A plain request, for what the protocol itself never does. The result."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.peers[peer].url + path, json=body) as response,
        ):
            answer = await response.json()
            assert response.status == 200, answer
            return answer["result"]

    async def upsert(self, name: str, points: list[dict[str, Any]], **extra: Any) -> None:
        path = f"/collections/{name}/points?wait=true"
        await self.post(0, path, {"points": points, **extra}, "PUT")

    async def upload(self, name: str, points: list[dict[str, Any]], batch: int) -> None:
        """Many points, `batch` an operation."""
        for start in range(0, len(points), batch):
            await self.upsert(name, points[start : start + batch])

    async def queue(self, name: str, points: list[dict[str, Any]], batch: int = 2000) -> None:
        """As `upload`, without waiting until they are applied."""
        for start in range(0, len(points), batch):
            body = {"points": points[start : start + batch]}
            await self.post(0, f"/collections/{name}/points?wait=false", body, "PUT")

    async def delete(self, name: str, ids: Sequence[int | str]) -> None:
        await self.post(0, f"/collections/{name}/points/delete?wait=true", {"points": list(ids)})

    async def hosts(self, name: str) -> dict[int, list[Qdrant]]:
        """The adapters of the running peers that hold each shard."""
        found: dict[int, list[Qdrant]] = {}
        for client, peer in zip(self.clients, self.peers, strict=True):
            if not peer.running:
                continue
            for replica in (await client.placement(name)).local():
                found.setdefault(replica.shard_id, []).append(client)
        return dict(sorted(found.items()))

    async def counts(self, name: str, *, ring_filter: bool = False) -> dict[int, list[int]]:
        """Exact counts of each shard, one for each replica, asked at its own peer."""
        return {
            shard: [await one.count(name, shard, ring_filter=ring_filter) for one in clients]
            for shard, clients in (await self.hosts(name)).items()
        }

    async def numbers(self, name: str) -> dict[tuple[int, int], int]:
        """The number of each replica, by peer and shard."""
        found = {}
        for client in self.clients:
            telemetry = await client.telemetry()
            for shard, entry in telemetry.collections[name].shards.items():
                if entry.op_num is not None:
                    found[telemetry.peer_id, shard] = entry.op_num
        return found


def points(ids: Sequence[int | str], tag: str = "a", seed: int = 1) -> list[dict[str, Any]]:
    """Points with made-up vectors that depend on the seed alone."""
    source = random.Random(seed)
    return [
        {
            "id": one,
            "vector": [source.gauss(0, 1) for _ in range(SIZE)],
            "payload": {"tag": tag, "n": at},
        }
        for at, one in enumerate(ids)
    ]


async def read_stream(client: Qdrant, name: str, shard: int) -> bytes:
    async with client.stream_shard(name, shard) as chunks:
        return b"".join([chunk async for chunk in chunks])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@asynccontextmanager
async def served(data: bytes) -> AsyncIterator[str]:
    """A URL on loopback under which `data` can be fetched."""

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=data)

    app = web.Application()
    app.add_routes([web.get("/tar", give)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/tar"
    finally:
        await runner.cleanup()


async def recover(client: Qdrant, name: str, shard: int, tar: bytes) -> None:
    """The replica at that peer holds `tar`."""
    async with served(tar) as location:
        await client.recover_shard(name, shard, location=location, sha256=sha256(tar), timeout_s=30)
