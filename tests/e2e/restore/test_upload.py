"""A Qdrant that may not, or cannot, fetch snapshots from URLs takes a restore all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from cleancut.runtime.health import serve
from cleancut_devcluster.demo.comparison import compare
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch
from tests.e2e.world import World

NO_PROXY_THERE = 9
"""The port `discard`: nothing listens."""


@pytest.mark.adversity("recovery from URLs is forbidden")
def test_a_restore_goes_by_upload_where_urls_are_forbidden(launch: Launch) -> None:
    """service.enable_snapshot_url_recovery is false: all peers are lost, everything comes back."""
    world = launch(peers=2, coordinators=1, secured=Secured(url_recovery=False))
    lose_all_and_restore(world)


@pytest.mark.adversity("a proxy in the environment of Qdrant")
@pytest.mark.parametrize("answer", ["refuses", "a page"])
def test_a_proxy_in_the_environment_of_qdrant_stops_no_restore(launch: Launch, answer: str) -> None:
    """It diverts what Qdrant fetches from loopback, and refuses or answers in its own name."""
    world = launch(peers=2, coordinators=1)

    async def divert() -> None:
        port = NO_PROXY_THERE
        if answer == "a page":
            port = await proxy.__aenter__()
        for peer in world.setup.peers:
            peer.more_env = dict.fromkeys(("http_proxy", "ALL_PROXY"), f"http://127.0.0.1:{port}")

    proxy = captive_portal()
    world.run(divert())
    try:
        lose_all_and_restore(world)
    finally:
        if answer == "a page":
            world.run(proxy.__aexit__(None, None, None))


def lose_all_and_restore(world: World) -> None:
    world.fill()
    kept = world.answers()
    backup = world.back_up()["id"]
    world.lose_all(2)
    restored = world.ok("restore", "restore", "start", backup, "--yes")
    assert restored["state"] == "DONE"
    assert [one.what for one in compare(kept, world.answers()) if not one.equal] == []


@asynccontextmanager
async def captive_portal() -> AsyncIterator[int]:
    """The port of a proxy that answers everything with a page of its own."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", page)
    async with serve(app, "127.0.0.1", 0) as port:
        yield port
