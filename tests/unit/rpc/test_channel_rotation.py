"""Certificates that are replaced while everything runs: nobody restarts anything."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from cleancut.client.client import Client
from cleancut.core.primitives.errors import Denied, Unavailable
from cleancut.qdrant.client import Qdrant
from cleancut.rpc.server import Listen
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import WatchedSecret
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.api_callers import authority, run, tls_with
from tests.support.certificates import Authority


async def answers(address: str, tls: Tls) -> bool:
    """Whether a new connection gets through."""
    async with Client([address], tls, timeout_s=5.0) as client:
        try:
            return (await client.cluster_status()).cluster == "main"
        except Unavailable:
            return False


def replace(old: Authority, new: Authority, *names: str) -> None:
    for name in names:
        (new.folder / name).replace(old.folder / name)


def test_the_api_takes_a_new_certificate_key_and_ca(tmp_path: Path) -> None:
    """Connections of before go on; in the middle of the change the old pair still serves."""
    old, new = authority(tmp_path / "old"), authority(tmp_path / "new")
    served, before = tls_with(old, old.issue("server")), tls_with(old, old.issue("client"))
    after = tls_with(new, new.issue("client"))
    new.issue("server")
    kept_ca = tmp_path / "kept-ca.pem"
    kept_ca.write_bytes(old.ca.read_bytes())
    before = Tls(kept_ca, before.cert, before.key)
    after_ca = tmp_path / "after-ca.pem"
    after_ca.write_bytes(new.ca.read_bytes())
    after = Tls(after_ca, after.cert, after.key)

    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, Listen("127.0.0.1:0", served, grace_s=0.0)) as address,
            Client([address], before) as long_lived,
        ):
            assert (await long_lived.cluster_status()).cluster == "main"
            replace(old, new, "server.pem")
            assert await answers(address, before)
            replace(old, new, "server.key", "ca.pem")
            assert await answers(address, after)
            assert not await answers(address, before)
            assert (await long_lived.cluster_status()).cluster == "main"

    run(scenario())


def test_a_client_that_lives_long_takes_its_new_certificate(tmp_path: Path) -> None:
    """The same server trusts another CA from now on: the next call comes with what is there now."""
    old, new = authority(tmp_path / "old"), authority(tmp_path / "new")
    server = old.issue("server")
    first, second = Tls(old.ca, *server), Tls(new.ca, *server)
    mine = tls_with(old, old.issue("client"))
    new.issue("client")

    async def scenario() -> None:
        async with Client(["127.0.0.1:1"], mine, timeout_s=5.0) as client:
            client._link._files._look_s = 0

            async def ask(tls: Tls) -> str:
                listen = Listen("127.0.0.1:0", tls, grace_s=0.0)
                async with serve_api(MemoryApi().api, listen) as address:
                    client._link._addresses[:] = [address]
                    return (await client.cluster_status()).cluster

            assert await ask(first) == "main"
            with pytest.raises(Unavailable):
                await ask(second)
            replace(old, new, "client.key", "client.pem")
            assert await ask(second) == "main"

    run(scenario())


@asynccontextmanager
async def stand_in(keys: list[str], tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A Qdrant that knows `keys` and says its version; gives its URL."""

    async def version(request: web.Request) -> web.Response:
        if request.headers.get("api-key") not in keys:
            return web.Response(status=401, text="Invalid API key")
        return web.json_response({"title": "qdrant", "version": "1.18.3"})

    app = web.Application()
    app.router.add_get("/", version)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_qdrants_api_key_changes_while_we_run(tmp_path: Path) -> None:
    """What the old key is refused for is asked again with the new one: no call fails."""
    file = tmp_path / "key"
    file.write_text("old-key\n")
    keys = ["old-key"]

    async def scenario() -> None:
        async with stand_in(keys) as url, Qdrant(url, WatchedSecret(file, look_s=3600)) as qdrant:
            assert await qdrant.version() == "1.18.3"
            keys[:] = ["new-key"]
            with pytest.raises(Denied) as caught:
                await qdrant.version()
            assert "key" in caught.value.hint
            assert "old-key" not in str(caught.value)
            file.write_text("new-key\n")
            assert await qdrant.version() == "1.18.3"
            assert await qdrant.version() == "1.18.3"

    run(scenario())


def test_qdrants_ca_changes_while_we_run(tmp_path: Path) -> None:
    old, new = authority(tmp_path / "old"), authority(tmp_path / "new")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(old.ca.read_bytes())

    def serving(one: Authority) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*one.issue("qdrant"))
        return context

    async def scenario() -> None:
        async with (
            stand_in(["k"], serving(old)) as url,
            stand_in(["k"], serving(new)) as newer,
            Qdrant(url, "k", ca) as qdrant,
            Qdrant(newer, "k", ca) as other,
        ):
            other._http._trust._files._look_s = 0  # type: ignore[union-attr]
            assert await qdrant.version() == "1.18.3"
            with pytest.raises(Unavailable):
                await other.version()
            ca.write_bytes(new.ca.read_bytes())
            assert await other.version() == "1.18.3"
            assert await qdrant.version() == "1.18.3", "it was connected before"

    run(scenario())


def test_a_client_keeps_its_files_while_others_are_being_written(tmp_path: Path) -> None:
    """A wait of hours must not end in the second in which a certificate is replaced."""
    ours = authority(tmp_path / "ours")
    served, mine = tls_with(ours, ours.issue("server")), tls_with(ours, ours.issue("client"))
    own_ca = tmp_path / "own-ca.pem"
    own_ca.write_bytes(ours.ca.read_bytes())
    mine = Tls(own_ca, mine.cert, mine.key)

    async def scenario() -> None:
        listen = Listen("127.0.0.1:0", served, grace_s=0.0)
        async with serve_api(MemoryApi().api, listen) as address, Client([address], mine) as client:
            for part in (ours.ca.read_bytes(), b"", ours.ca.read_bytes()[:-40]):
                own_ca.write_bytes(part)
                client._link._files._looked_s = float("-inf")
                assert (await client.cluster_status()).cluster == "main"

    run(scenario())


def test_a_token_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("clé")

    async def scenario() -> None:
        async with Client(["127.0.0.1:1"], token_file=file) as client:
            with pytest.raises(Denied, match="no token"):
                await client.cluster_status()

    run(scenario())
