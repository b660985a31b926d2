"""Receiver of webhooks in this process: it keeps what it takes and answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import web


class Taken(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.json.decode(self.body)
        return document


class Receiver:
    """`answers`: statuses of the next calls; then 200. `location`: of redirects. `hangs`: no call
    is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.taken: list[Taken] = []
        self.answers: list[int] = []
        self.location = ""
        self.hangs = False
        self.released = asyncio.Event()

    @property
    def events(self) -> list[str]:
        return [one.json["event"] for one in self.taken]

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.taken.append(Taken(request.path_qs, dict(request.headers), body))
        if self.hangs:
            await self.released.wait()
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on loopback, for the length of the block."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver._answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        receiver.released.set()
        await runner.cleanup()
