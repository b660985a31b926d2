"""A proxy before a Qdrant peer that changes what passes: an old version, a stream cut short; or a
balancer before several."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import web

_HOP = {"transfer-encoding", "content-length", "connection", "host", "content-encoding"}
CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Meddler:
    """`targets`: who is asked, in turn. `version`: what `/` claims. `keep_bytes`: shard streams end
    in good order after as many."""

    targets: Iterator[str]
    session: aiohttp.ClientSession
    version: str | None = None
    keep_bytes: int | None = None

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        async with self.session.request(
            request.method,
            f"{next(self.targets)}{request.raw_path}",
            data=await request.read(),
            headers=headers,
        ) as answer:
            if request.path == "/" and self.version is not None:
                told = msgspec.json.decode(await answer.read())
                return web.json_response({**told, "version": self.version})
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            await self._copy(request, answer, response)
        await response.write_eof()
        return response

    async def _copy(
        self,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        response: web.StreamResponse,
    ) -> None:
        cut_short = self.keep_bytes is not None and request.path.endswith("/snapshot")
        left = self.keep_bytes if cut_short and self.keep_bytes is not None else None
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            if left is None:
                await response.write(chunk)
                continue
            await response.write(chunk[:left])
            left -= len(chunk)
            if left <= 0:
                return


@asynccontextmanager
async def meddle(
    *targets: str, version: str | None = None, keep_bytes: int | None = None
) -> AsyncIterator[str]:
    """The URL of a proxy before `targets`, for the length of the block."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        meddler = Meddler(itertools.cycle(targets), session, version, keep_bytes)
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/{path:.*}", meddler.pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
