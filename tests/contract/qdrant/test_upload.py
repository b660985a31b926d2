"""Recovery by upload, where Qdrant may not fetch from URLs or cannot reach the agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import CleancutError, Corrupt, Denied, NotFound, Unavailable
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.recovery import needs_upload
from cleancut_devcluster.launch.qdrant import Kind, PeerProcess, launch_peers
from tests.contract.qdrant.world import SIZE, World, points, read_stream, sha256
from tests.support.addresses import dead_address

KEY, READER = "master-key", "reader-key"


async def in_parts(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]


async def upload(client: Qdrant, name: str, shard: int, tar: bytes, *, digest: str = "") -> None:
    await client.upload_shard(
        name,
        shard,
        chunks=in_parts(tar),
        size_bytes=len(tar),
        sha256=digest or sha256(tar),
        timeout_s=30,
    )


async def only_host(world: World, name: str) -> Qdrant:
    return (await world.hosts(name))[0][0]


def test_an_uploaded_tar_is_as_good_as_one_that_was_fetched(world: World) -> None:
    """Its points are there; a wrong checksum, a cut tar and an unknown shard change nothing."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(400)))
        host = await only_host(world, name)
        tar = await read_stream(host, name, 0)
        await world.upsert(name, points(range(1000, 1010)))
        with pytest.raises(Corrupt):
            await upload(host, name, 0, tar, digest="0" * 64)
        with pytest.raises(Corrupt):
            await upload(host, name, 0, tar[: len(tar) // 3])
        with pytest.raises(NotFound):
            await upload(host, name, 7, tar)
        assert await host.count(name, 0) == 410
        await upload(host, name, 0, tar)
        assert await host.count(name, 0) == 400
        await world.settled(name, 1)

    world.run(check())


def test_a_url_that_cannot_be_fetched_asks_for_an_upload(world: World) -> None:
    """As with a proxy in Qdrant's environment, through which loopback is not reached."""

    async def check() -> None:
        name = await world.create(shards=1)
        host = await only_host(world, name)
        with dead_address() as dead, pytest.raises(Unavailable) as failed:
            await host.recover_shard(
                name, 0, location=f"http://{dead}/tar", sha256="0" * 64, timeout_s=30
            )
        assert needs_upload(failed.value)

    world.run(check())


def test_probes_of_rights_count_as_no_arrival(world: World) -> None:
    """They are asked before each backup, and must not make shards look changed."""

    async def check() -> None:
        before = (await world.first.telemetry()).counters.arrivals
        assert await world.first.allows_urls()
        await world.first.check_upload_rights()
        assert (await world.first.telemetry()).counters.arrivals == before >= 0

    world.run(check())


def test_where_urls_are_forbidden_only_an_upload_works(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """The probe says so beforehand; a key that may only read is denied the upload as well."""

    async def check() -> None:
        block = launch_peers(
            1, tmp_path, kind, api_key=KEY, read_only_api_key=READER, url_recovery=False
        )
        async with block as peers, peers[0].client() as qdrant:
            await qdrant.create_collection("c", {"vectors": {"size": 4, "distance": "Dot"}})
            tar = await read_stream(qdrant, "c", 0)
            assert not await qdrant.allows_urls()
            await qdrant.check_upload_rights()
            with pytest.raises(Denied) as denied:
                await qdrant.recover_shard(
                    "c", 0, location="http://127.0.0.1:1/x", sha256=sha256(tar), timeout_s=30
                )
            assert needs_upload(denied.value)
            assert "enable_snapshot_url_recovery" in denied.value.hint
            await upload(qdrant, "c", 0, tar)
            assert await qdrant.count("c", 0) == 0
            async with Qdrant(peers[0].url, READER) as reader:
                with pytest.raises(CleancutError, match="403"):
                    await reader.check_upload_rights()

    runner.run(check())


CONFIG = {"vectors": {"size": SIZE, "distance": "Cosine"}, "shard_number": 1}


@asynccontextmanager
async def open_world(runner: asyncio.Runner, peers: list[PeerProcess]) -> AsyncIterator[World]:
    world = World(runner, peers)
    try:
        yield world
    finally:
        await world.close()


async def fill(alone: World, name: str, count: int) -> None:
    await alone.first.create_collection(name, CONFIG)
    await alone.upsert(name, points(range(count)))


def test_an_upload_goes_to_what_has_its_name_once_it_is_whole(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """A collection that took the place of another one meanwhile is overwritten. An alias goes with
    its collection, so that an upload by an alias never reaches another one."""

    async def check() -> None:
        async with launch_peers(1, tmp_path, kind) as peers, open_world(runner, peers) as one:
            qdrant = one.first
            await fill(one, "c", 40)
            tar = await read_stream(qdrant, "c", 0)

            async def replaced_meanwhile() -> AsyncIterator[bytes]:
                yield tar[:100]
                await qdrant.delete_collection("c")
                await fill(one, "c", 7)
                yield tar[100:]

            async def send(by: str) -> None:
                await qdrant.upload_shard(
                    by,
                    0,
                    chunks=replaced_meanwhile(),
                    size_bytes=len(tar),
                    sha256=sha256(tar),
                    timeout_s=30,
                )

            await send("c")
            assert await qdrant.count("c", 0) == 40
            alias = {"alias_name": "only of this one", "collection_name": "c"}
            await qdrant.change_aliases([{"create_alias": alias}])
            with pytest.raises(NotFound):
                await send("only of this one")
            assert await qdrant.count("c", 0) == 7

    runner.run(check())
