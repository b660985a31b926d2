"""TLS of the page, names of certificates, and the end of an audit file."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
import structlog

from cleancut.core.auth.roles import Role
from cleancut.core.primitives.errors import Denied
from cleancut.rpc.authentication import Access
from cleancut.runtime.tls import Tls
from cleancut_coordinator.ui.audit_file import MOST, newest_lines
from cleancut_coordinator.ui.listen import PageListen
from cleancut_coordinator.ui.tls import names_of, server_context
from tests.support.api_callers import authority
from tests.support.page_source import MemorySource, served_page


def test_a_client_certificate_has_the_role_that_the_api_gives_it(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ca")
    cert, key = ours.issue("server")
    access = Access(certificates={"dns:localhost": Role.READER}, plaintext=False)
    listen = PageListen("127.0.0.1:0", access, Tls(ours.ca, cert, key))
    client = ssl.create_default_context(cafile=ours.ca)
    client.load_cert_chain(*ours.issue("client"))

    async def scenario() -> None:
        async with (
            served_page(MemorySource(), listen) as address,
            aiohttp.ClientSession() as session,
        ):
            async with session.get(f"https://{address}/.json", ssl=client) as known:
                assert known.status == 200
            async with session.get(f"https://{address}/audit.json", ssl=client) as refused:
                assert refused.status == 403
            unknown = ssl.create_default_context(cafile=ours.ca)
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await session.get(f"https://{address}/", ssl=unknown)

    asyncio.run(scenario())


def test_replaced_files_serve_new_connections(tmp_path: Path) -> None:
    """The old certificate goes on while the new files do not match."""
    ours, log = authority(tmp_path / "ca"), structlog.get_logger("test")
    (cert, key), (other_cert, other_key) = ours.issue("first"), ours.issue("other")
    first, second = cert.read_text(), other_cert.read_text()
    context = server_context(Tls(None, cert, key), log, look_s=0.0)
    with pytest.raises(Denied, match="cannot use the API's certificate"):
        server_context(Tls(None, cert, other_key), log)

    async def scenario() -> None:
        async with await asyncio.start_server(
            lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context
        ) as server:
            address = server.sockets[0].getsockname()[:2]

            async def shown() -> str:
                return (await asyncio.to_thread(ssl.get_server_certificate, address)).strip()

            assert await shown() in first
            cert.write_text(second)
            assert await shown() in first
            key.write_text(other_key.read_text())
            assert await shown() in second

    asyncio.run(scenario())


def test_names_of_a_certificate() -> None:
    names = (("DNS", "Host.Example"), ("URI", "spiffe://a/b"), ("IP Address", "10.0.0.1"))
    assert names_of({"subjectAltName": names}) == (
        "spiffe://a/b",
        "dns:host.example",
        "ip:10.0.0.1",
    )
    assert names_of({"subject": ((("commonName", "cn"),),)}) == ("cn:cn",)
    assert names_of(None) == ()


def test_the_end_of_an_audit_file(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    assert newest_lines(path) == []
    lines = [f'{{"method": "m-{number}"}}' for number in range(MOST + 5)]
    path.write_text("\n".join([*lines, "broken", "[1]"]) + "\n")
    found = newest_lines(path)
    assert (len(found), found[0]["method"]) == (MOST, f"m-{MOST + 4}")
