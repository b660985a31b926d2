"""The programs' HTTP: liveness, readiness and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web


class Health:
    """Alive as long as the loop turns; ready while the process has its place in etcd, a coordinator
    only once it has read the store. `lacks`: what it is not ready for. Qdrant's own readiness never
    depends on this: a backup tool must not take a database out of service."""

    def __init__(self) -> None:
        self._ready = False
        self.was_ready = False
        self.lacks = "not connected to etcd"

    @property
    def ready(self) -> bool:
        return self._ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._ready = ready
        self.was_ready = self.was_ready or ready


class Readiness(Protocol):
    """What /readyz answers."""

    @property
    def ready(self) -> bool: ...

    @property
    def lacks(self) -> str: ...


def health_app(health: Readiness, render: Callable[[], tuple[bytes, str]]) -> web.Application:
    """/livez, /readyz and /metrics; `render` gives the metrics' body and content type."""

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=f"{health.lacks}\n")

    async def scrape(_: web.Request) -> web.Response:
        body, content_type = render()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", scrape)
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serves `app` inside the block; gives the port that it got."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
