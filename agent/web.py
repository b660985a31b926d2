"""The agent's HTTP: health and metrics for all, and on loopback the tars that Qdrant pulls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from agent.metrics import Metrics


class Health:
    """Alive as long as the loop turns; ready while a session is open. Qdrant's own readiness never
    depends on this: a backup tool must not take a database out of service."""

    def __init__(self) -> None:
        self.ready = False


def health_app(health: Health, metrics: Metrics) -> web.Application:
    """/livez, /readyz and /metrics."""

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="no session in etcd\n")

    async def scrape(_: web.Request) -> web.Response:
        body, content_type = metrics.render()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", scrape)
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serves `app` inside the block; gives the port that it got."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, shutdown_timeout=1.0)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
