"""Tars whose sha256 is not known: what keeps a broken one from taking the place of good data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from cleancut.core.primitives.errors import CleancutError, Corrupt
from cleancut.core.primitives.ids import AgentName, ClusterName, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.health import serve
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.context import AgentContext
from cleancut_agent.restore.recovery import Recovery
from cleancut_agent.restore.tar_server import TarServer
from tests.contract.qdrant.world import World, points, read_stream
from tests.support.capturing import PATHS, capture

STORED, MORE = 400, 10


async def stored_and_more(world: World) -> tuple[str, Qdrant, bytes]:
    """A shard of 410 points, and its tar from when it had 400."""
    name = await world.create(shards=1)
    await world.upsert(name, points(range(STORED)))
    host = (await world.hosts(name))[0][0]
    tar = await read_stream(host, name, 0)
    await world.upsert(name, points(range(1000, 1000 + MORE)))
    return name, host, tar


CUTS: dict[str, Callable[[bytes], int]] = {
    "in a segment": lambda tar: len(tar) // 3,
    "before the log": lambda tar: tar.index(b"wal/\0"),
    "before the replica's state": lambda tar: tar.index(b"replica_state.json\0"),
    "before the shard's config": lambda tar: tar.index(b"shard_config.json\0"),
    "before the end": lambda tar: len(tar.rstrip(b"\0")) // 512 * 512 + 512,
}


@asynccontextmanager
async def broken_off(tar: bytes, at: int) -> AsyncIterator[str]:
    """A URL that promises all of `tar`, gives `at` bytes of it, and then resets the connection."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(tar)
        await response.prepare(request)
        await response.write(tar[:at])
        assert request.transport is not None
        request.transport.abort()
        return response

    app = web.Application()
    app.add_routes([web.get("/tar", give)])
    async with serve(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/tar"


@pytest.mark.parametrize("cut", CUTS)
def test_a_transfer_that_breaks_off_leaves_the_old_data(world: World, cut: str) -> None:
    """Wherever it does, also between two members, where what came would be unpacked as whole."""

    async def check() -> None:
        name, host, tar = await stored_and_more(world)
        async with broken_off(tar, CUTS[cut](tar)) as location:
            with pytest.raises(CleancutError):
                await host.recover_shard(name, 0, location=location, sha256="", timeout_s=30)
        await world.settled(name, 1)
        assert await host.count(name, 0) == STORED + MORE
        assert await host.search_shard(name, 0) == 10

    world.run(check())


def test_zeros_at_the_end_may_be_missing(world: World) -> None:
    """Qdrant reads up to the first of them: by then all members are there."""

    async def check() -> None:
        name, host, tar = await stored_and_more(world)
        async with broken_off(tar, len(tar) - 1) as location:
            with suppress(CleancutError):
                await host.recover_shard(name, 0, location=location, sha256="", timeout_s=30)
                assert await host.count(name, 0) == STORED
                return
        assert await host.count(name, 0) == STORED + MORE

    world.run(check())


@asynccontextmanager
async def recovering(host: Qdrant, store: MemoryStore, folder: Path) -> AsyncIterator[Recovery]:
    """What an agent of that peer does in a restore."""
    tars = TarServer(store, PATHS)
    async with serve(tars.app(), "127.0.0.1", 0) as port:
        context = AgentContext(
            name=AgentName("a"),
            keys=Keys(ClusterName("prod")),
            paths=PATHS,
            etcd=MemoryEtcd(SystemClock()),
            store=store,
            qdrant=host,
            clock=SystemClock(),
            spill_dir=folder,
            loopback=f"http://127.0.0.1:{port}",
        )
        yield Recovery(context, tars)


@pytest.mark.parametrize("way", ["pulled", "uploaded"])
def test_a_damaged_block_fails_the_restore_and_leaves_the_old_data(
    world: World, tmp_path: Path, way: str
) -> None:
    """With the store's reason; the whole tar goes in afterwards, without a sha256 too."""
    store = MemoryStore()
    name, host, tar = world.run(stored_and_more(world))
    shard = capture(store, tmp_path, tar, kept=())
    assert shard.tar_sha256 == ""
    damaged = MemoryStore()
    for path, data in store.objects.items():
        end = len(data) - 2 if "/packs/" in path else len(data)
        damaged.objects[path] = data[:end] + bytes(byte ^ 1 for byte in data[end:])

    async def recover(of: MemoryStore) -> None:
        task = ShardTask(
            collection=name,
            shard_id=ShardId(0),
            peer_id=PeerId((await host.cluster()).peer_id),
            recipe=shard.recipe_digest,
            size_bytes=shard.size_bytes,
            count=STORED + MORE,
        )
        async with recovering(host, of, tmp_path) as recovery:
            recovery._uploads = way == "uploaded"
            await recovery.recover_all([task], empty=False)

    async def check() -> None:
        with pytest.raises(Corrupt, match=r"block \d+ of segments/.* is damaged"):
            await recover(damaged)
        await world.settled(name, 1)
        assert await host.count(name, 0) == STORED + MORE
        await recover(store)
        assert await host.count(name, 0) == STORED

    world.run(check())
