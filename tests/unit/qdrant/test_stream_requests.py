"""Many streams: asked for a few at a time, and again if one was given up before it began."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from cleancut.core.primitives.errors import TimedOut, Unavailable
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.http import STREAM_TRIES, STREAMS_TO_ASK_FOR

STREAMS = 3 * STREAMS_TO_ASK_FOR


class Impatient:
    """Gives the first requests up: by 408, or by a connection that is closed."""

    def __init__(self, gives_up: int = 0, how: str = "408") -> None:
        self.gives_up, self.how = gives_up, how
        self.asked = self.most = self._waiting = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        for _ in range(20):
            await asyncio.sleep(0)
        self._waiting -= 1
        if self.asked <= self.gives_up:
            if self.how == "408":
                return web.Response(status=408)
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=b"tar")


@asynccontextmanager
async def client_of(server: Impatient) -> AsyncIterator[Qdrant]:
    app = web.Application()
    app.add_routes([web.get("/{rest:.*}", server.answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with Qdrant(f"http://{host}:{port}") as qdrant:
            yield qdrant
    finally:
        await runner.cleanup()


async def read(qdrant: Qdrant, shard: int = 0) -> bytes:
    async with qdrant.stream_shard("docs", shard) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("how", ["408", "closed"])
def test_a_stream_that_was_given_up_is_asked_for_again(how: str) -> None:
    async def check() -> None:
        async with client_of(Impatient(STREAM_TRIES - 1, how)) as qdrant:
            assert await read(qdrant) == b"tar"

    asyncio.run(check())


@pytest.mark.parametrize("how", ["408", "closed"])
def test_one_that_is_always_given_up_fails_after_some_tries(how: str) -> None:
    async def check() -> None:
        server = Impatient(100, how)
        async with client_of(server) as qdrant:
            with pytest.raises((TimedOut, Unavailable)):
                await read(qdrant)
        assert server.asked >= STREAM_TRIES

    asyncio.run(check())


def test_only_some_are_asked_for_at_once() -> None:
    async def check() -> None:
        server = Impatient()
        async with client_of(server) as qdrant, asyncio.TaskGroup() as group:
            for shard in range(STREAMS):
                group.create_task(read(qdrant, shard))
        assert server.asked == STREAMS
        assert server.most <= STREAMS_TO_ASK_FOR

    asyncio.run(check())
