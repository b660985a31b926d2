"""The tars that Qdrant pulls: whole under their one URL, cut off or absent everywhere else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace
from yarl import URL

from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.repository.shards.capture import CapturedShard
from cleancut.runtime.health import serve
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.restore.tar_server import Offer, TarServer
from tests.support.capturing import PATHS, capture, shard_tar

NAME = "große v1.2 ~x"
TAR = shard_tar({"vectors": random.Random(1).randbytes(3_000_000), "id": b"7"})
BOUND_S = 20.0


class GatedStore(MemoryStore):
    """Holds every read of a pack back until `gate` is set; `reached` tells that one waits."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects = objects
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if "/packs/" in path:
            self.reached.set()
            await self.gate.wait()
        return await super().get(path, offset, length)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[MemoryStore, CapturedShard]:
    store = MemoryStore()
    return store, capture(store, tmp_path, TAR)


def _task(shard: CapturedShard) -> ShardTask:
    return ShardTask(
        collection=NAME,
        shard_id=ShardId(3),
        peer_id=PeerId(1),
        recipe=shard.recipe_digest,
        tar_sha256=shard.tar_sha256,
        size_bytes=shard.size_bytes,
    )


def _run(
    store: MemoryStore, body: Callable[[TarServer, str, aiohttp.ClientSession], Awaitable[None]]
) -> None:
    async def bounded() -> None:
        tars = TarServer(store, PATHS)
        async with (
            asyncio.timeout(BOUND_S),
            serve(tars.app(), "127.0.0.1", 0) as port,
            aiohttp.ClientSession() as client,
        ):
            await body(tars, f"http://127.0.0.1:{port}", client)

    asyncio.run(bounded())


def test_gives_the_tar_byte_for_byte(stored: tuple[MemoryStore, CapturedShard]) -> None:
    """With its length in advance, and however often it is asked for while it is offered."""
    store, shard = stored

    async def body(tars: TarServer, base: str, client: aiohttp.ClientSession) -> None:
        async with tars.offer(_task(shard)) as offer:
            for _ in range(2):
                async with client.get(URL(base + offer.path, encoded=True)) as answer:
                    assert answer.status == 200
                    assert answer.content_length == len(TAR)
                    assert await answer.read() == TAR
            assert offer.failure is None
        assert tars.sent_bytes == 2 * len(TAR)

    _run(store, body)


def test_a_url_works_for_its_offer_only(stored: tuple[MemoryStore, CapturedShard]) -> None:
    """Guesses, another shard under a true id, and URLs of offers that are over are all 404; each
    offer has a new one."""
    store, shard = stored

    async def status(client: aiohttp.ClientSession, url: str) -> int:
        async with client.get(URL(url, encoded=True)) as answer:
            return answer.status

    async def body(tars: TarServer, base: str, client: aiohttp.ClientSession) -> None:
        async with tars.offer(_task(shard)) as offer:
            path = offer.path
            assert await status(client, base + path.replace("/3", "/4")) == 404
            assert await status(client, base + f"/tar/{'0' * 32}/docs/3") == 404
            assert await status(client, base + path) == 200
        assert await status(client, base + path) == 404
        async with tars.offer(_task(shard)) as offer:
            assert offer.path != path
            assert len(offer.path.split("/")[2]) == 32

    _run(store, body)


def test_damage_in_the_store_breaks_the_transfer_off(
    stored: tuple[MemoryStore, CapturedShard],
) -> None:
    """Never a clean end: Qdrant would take a short tar for a whole one. The offer knows why."""
    store, shard = stored
    for path, data in store.objects.items():
        if "/packs/" in path:
            store.objects[path] = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]

    async def body(tars: TarServer, base: str, client: aiohttp.ClientSession) -> None:
        async with tars.offer(_task(shard)) as offer:
            with pytest.raises(aiohttp.ClientError):
                async with client.get(URL(base + offer.path, encoded=True)) as answer:
                    await answer.read()
            assert isinstance(offer.failure, Corrupt)
            assert "damaged" in offer.failure.message

    _run(store, body)


@pytest.mark.parametrize("more", [1, -1, 100_000, -100_000])
def test_a_tar_of_another_length_breaks_the_transfer_off(
    stored: tuple[MemoryStore, CapturedShard], more: int
) -> None:
    """Where no sha256 is known, the length that was promised is the last that is checked."""
    store, shard = stored
    task = replace(_task(shard), tar_sha256="", size_bytes=shard.size_bytes + more)

    async def body(tars: TarServer, base: str, client: aiohttp.ClientSession) -> None:
        async with tars.offer(task) as offer:
            with pytest.raises(aiohttp.ClientError):
                async with client.get(URL(base + offer.path, encoded=True)) as answer:
                    await answer.read()
            assert isinstance(offer.failure, Corrupt)
            assert f"{task.size_bytes} bytes" in offer.failure.message
            with pytest.raises(Corrupt):
                async for _ in tars.chunks(offer):
                    pass

    _run(store, body)


def test_the_end_of_an_offer_cuts_off_what_is_being_sent(
    stored: tuple[MemoryStore, CapturedShard],
) -> None:
    """Leaving the block ends the request before the block is left, and the client sees an error."""
    store, shard = GatedStore(stored[0].objects), stored[1]

    async def pull(client: aiohttp.ClientSession, url: URL) -> None:
        with pytest.raises(aiohttp.ClientError):
            async with client.get(url) as answer:
                await answer.read()

    async def body(tars: TarServer, base: str, client: aiohttp.ClientSession) -> None:
        seen: list[Offer] = []
        async with asyncio.TaskGroup() as group:
            async with tars.offer(_task(shard)) as offer:
                seen.append(offer)
                pulling = group.create_task(pull(client, URL(base + offer.path, encoded=True)))
                await store.reached.wait()
                assert offer.requests
                assert not offer.idle.is_set()
            assert not seen[0].requests
            assert seen[0].idle.is_set()
            await pulling

    _run(store, body)


def test_what_must_not_be_put_in_place_is_not_sent(
    stored: tuple[MemoryStore, CapturedShard],
) -> None:
    """Qdrant has chosen where a tar goes once it asks for it."""
    store, shard = stored

    async def replaced() -> None:
        raise Refused("another collection is there")

    async def body(tars: TarServer, base: str, client: aiohttp.ClientSession) -> None:
        async with tars.offer(_task(shard), replaced) as offer:
            with pytest.raises(aiohttp.ClientError):
                async with client.get(base + offer.path) as response:
                    await response.read()
            assert isinstance(offer.failure, Refused)
            assert tars.sent_bytes == 0

    _run(store, body)
