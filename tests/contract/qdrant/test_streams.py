"""Shard streams: what a tar holds, which instant it holds, and how one can end."""

from __future__ import annotations

import asyncio
import io
import socket
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cleancut.core.primitives.errors import NotFound
from cleancut.qdrant.client import Qdrant
from tests.contract.qdrant.world import World, points, read_stream, recover


def members(tar: bytes) -> dict[str, bytes]:
    """Every member's content, holes read as zeros; directories are empty."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {
            member.name: file.read() if (file := archive.extractfile(member)) else b""
            for member in archive
        }


WINDOW_BYTES = 1 << 16


def _small_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    return made


@asynccontextmanager
async def small_stream(url: str, name: str) -> AsyncIterator[aiohttp.StreamReader]:
    """The stream of shard 0 to a client that takes little ahead of its reader: else the system
    may let a socket grow until it holds the whole tar, and the server is done with it."""
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=_small_socket), read_bufsize=WINDOW_BYTES
        ) as session,
        session.get(f"{url}/collections/{name}/shards/0/snapshot") as response,
    ):
        assert response.status == 200
        yield response.content


def host_url(world: World, host: Qdrant) -> str:
    return world.peers[world.clients.index(host)].url


async def big_shard(world: World) -> str:
    """A collection whose one tar of 16 MB is larger than what `small_stream` and the server
    buffer."""
    name = await world.create(shards=1, vectors={"size": 1024, "distance": "Dot"})
    big = [{"id": at, "vector": [at % 7 + 0.5] * 1024} for at in range(4000)]
    await world.upload(name, big, 150)
    return name


def test_a_whole_tar_has_all_its_marks(world: World) -> None:
    """Two closing blocks, the replica's state, the shard's type, a WAL, a version per segment."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(100)))
        host = (await world.hosts(name))[0][0]
        tar = await read_stream(host, name, 0)
        assert len(tar) % 512 == 0
        assert not any(tar[-1024:])
        found = members(tar)
        assert found["shard_config.json"] == b'{"type":"ReplicaSet"}'
        assert b'"is_local":true' in found["replica_state.json"]
        assert any(one.startswith("wal/closed-") for one in found)
        segments = {one.split("/")[1] for one in found if one.startswith("segments/")}
        assert segments
        for segment in segments:
            assert f"segments/{segment}/files/version.info" in found
            assert f"segments/{segment}/files/segment.json" in found
        order = list(found)
        last = max(at for at, one in enumerate(order) if one.startswith("segments/"))
        assert last < order.index("wal") < order.index("replica_state.json")

    world.run(check())


def test_an_unchanged_shard_streams_the_same_bytes(world: World) -> None:
    """Only the WAL's random seed differs: what deduplication relies on."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(100)))
        host = (await world.hosts(name))[0][0]
        one = members(await read_stream(host, name, 0))
        other = members(await read_stream(host, name, 0))
        assert list(one) == list(other)
        differing = {inner for inner in one if one[inner] != other[inner]}
        assert all(inner.startswith("wal/") for inner in differing)

    world.run(check())


def test_the_cut_is_made_before_the_first_byte_of_a_segment(world: World) -> None:
    """What was acknowledged before is in the tar, what was written after that byte is not."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(300), tag="before"))
        host = (await world.hosts(name))[0][0]
        async with host.stream_shard(name, 0) as chunks:
            first = await anext(chunks)
            assert first.startswith(b"segments/")
            await world.upsert(name, points(range(1000, 1100), tag="after"))
            await world.delete(name, [1, 2, 3])
            tar = first + b"".join([chunk async for chunk in chunks])
        target = await world.create(shards=1)
        host = (await world.hosts(target))[0][0]
        await recover(host, target, 0, tar)
        assert await host.count(target, 0) == 300
        assert (await world.counts(name))[0] == [397]

    world.run(check())


def test_the_second_stream_waits_for_the_first(world: World) -> None:
    """It is answered at once and gets no byte until the first one's block is left."""

    async def check() -> None:
        name = await big_shard(world)
        host = (await world.hosts(name))[0][0]
        async with small_stream(host_url(world, host), name) as held:
            assert await held.readany()
            with pytest.raises(TimeoutError):
                await _first_chunk(host, name, 0.3)
        assert await _first_chunk(host, name, 30)
        assert await _first_chunk(host, name, 30), "the stream before was left, and is over"

    world.run(check())


async def _first_chunk(client: Qdrant, name: str, limit_s: float) -> bytes:
    async with asyncio.timeout(limit_s), client.stream_shard(name, 0) as chunks:
        return await anext(chunks)


def test_streams_of_all_shards_run_at_once(world: World) -> None:
    """Every shard's cut can be made while every other stream is open."""

    async def check() -> None:
        name = await world.create(shards=6)
        await world.upsert(name, points(range(600)))
        hosts = await world.hosts(name)
        barrier = asyncio.Barrier(6)
        tars: dict[int, bytes] = {}

        async def stream(shard: int) -> None:
            async with hosts[shard][0].stream_shard(name, shard) as chunks:
                first = await anext(chunks)
                await barrier.wait()
                tars[shard] = first + b"".join([chunk async for chunk in chunks])

        async with asyncio.TaskGroup() as group:
            for shard in hosts:
                group.create_task(stream(shard))
        assert sorted(tars) == list(range(6))
        assert all("shard_config.json" in members(tar) for tar in tars.values())

    world.run(check())


def test_a_shard_that_is_not_there_is_not_found(world: World) -> None:
    """Plain text in the answer, as all errors of this one call are."""

    async def check() -> None:
        name = await world.create(shards=1)
        with pytest.raises(NotFound):
            await read_stream(world.first, name, 77)
        with pytest.raises(NotFound):
            await read_stream(world.first, "nowhere", 0)

    world.run(check())


def test_deleting_the_collection_ends_a_stream_as_if_it_were_whole(world: World) -> None:
    """HTTP tells nothing: only the missing members show that the tar was cut off."""

    async def check() -> None:
        name = await big_shard(world)
        host = (await world.hosts(name))[0][0]
        async with small_stream(host_url(world, host), name) as content:
            received = bytearray(await content.readany())
            await world.first.delete_collection(name)
            received += await content.read()
        assert b"shard_config.json" not in received

    world.run(check())
